//! Numbers as text, exactly as Redis reads and prints them: 64-bit integers in canonical decimal, and
//! doubles as scores and replies show them.

use crate::base::longdouble;

/// Parses a canonical decimal `i64`: no `+`, no leading zeros, no blanks, no `-0`. These are the texts
/// that come back unchanged when the integer is printed, so they may be stored as integers.
#[inline]
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    let (&first, rest) = text.split_first()?;
    if first == b'-' {
        let magnitude = parse_digits(rest)?;
        // A zero cannot carry the sign; i64::MIN has one more than i64::MAX.
        return (magnitude != 0 && magnitude <= 1 << 63).then(|| (magnitude as i64).wrapping_neg());
    }
    i64::try_from(parse_digits(text)?).ok()
}

/// Parses a canonical decimal `u64`.
#[inline]
pub fn parse_u64(text: &[u8]) -> Option<u64> {
    parse_digits(text)
}

#[inline]
fn parse_digits(text: &[u8]) -> Option<u64> {
    let (&first, rest) = text.split_first()?;
    let mut value = first.wrapping_sub(b'0') as u64;
    if value > 9 || (value == 0 && !rest.is_empty()) || rest.len() > 19 {
        return None;
    }
    // Nineteen digits cannot overflow; only a twentieth needs checking.
    let (safe, last) = rest.split_at(rest.len().min(18));
    for &byte in safe {
        let digit = byte.wrapping_sub(b'0') as u64;
        if digit > 9 {
            return None;
        }
        value = value * 10 + digit;
    }
    for &byte in last {
        let digit = byte.wrapping_sub(b'0') as u64;
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(digit)?;
    }
    Some(value)
}

/// The number of characters of `n` in decimal.
#[inline]
pub fn i64_len(n: i64) -> usize {
    let magnitude = n.unsigned_abs();
    let digits = magnitude.checked_ilog10().map_or(1, |log| log as usize + 1);
    digits + usize::from(n < 0)
}

/// Appends `n` in decimal.
#[inline]
pub fn write_i64(out: &mut Vec<u8>, n: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes());
}

/// Parses a double as Redis does for scores and other float arguments: what C's `strtod` takes as a
/// whole (decimal or hexadecimal, `inf`, `infinity` in any case), except blanks, NaN, and finite texts
/// that overflow to infinity or vanish to zero.
pub fn parse_f64(text: &[u8]) -> Option<f64> {
    let unsigned = text
        .strip_prefix(b"-")
        .or_else(|| text.strip_prefix(b"+"))
        .unwrap_or(text);
    if unsigned.len() >= 2 && unsigned[0] == b'0' && unsigned[1] | 0x20 == b'x' {
        return longdouble::parse_hex_f64(text[0] == b'-', &unsigned[2..]);
    }
    let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    let named = unsigned.first().is_some_and(u8::is_ascii_alphabetic);
    if value.is_nan()
        || (value.is_infinite() && !named)
        || (value == 0.0 && has_nonzero_digit(unsigned))
    {
        return None;
    }
    Some(value)
}

fn has_nonzero_digit(text: &[u8]) -> bool {
    let mantissa = text.iter().take_while(|b| **b | 0x20 != b'e');
    mantissa.into_iter().any(|b| (b'1'..=b'9').contains(b))
}

/// Appends a double as Redis 7.2 and later print scores and RESP3 doubles: whole numbers up to 2^62 in
/// full, anything else with the shortest digits that read back as the same double.
pub fn write_f64(out: &mut Vec<u8>, value: f64) {
    const EXACT: f64 = (1u64 << 62) as f64;
    if value.is_nan() {
        out.extend_from_slice(b"nan");
    } else if value.is_infinite() {
        out.extend_from_slice(if value < 0.0 { b"-inf" } else { b"inf" });
    } else if value == 0.0 {
        out.extend_from_slice(if value.is_sign_negative() {
            b"-0"
        } else {
            b"0"
        });
    } else if value.abs() <= EXACT && value == value.trunc() {
        write_i64(out, value as i64);
    } else {
        write_shortest(out, value);
    }
}

/// Lays the shortest digits out: plain when that takes few zeros, else with an exponent.
fn write_shortest(out: &mut Vec<u8>, value: f64) {
    if value < 0.0 {
        out.push(b'-');
    }
    let (digits, len, exponent) = shortest_digits(value.abs());
    let digits = &digits[..len];
    // The value is digits * 10^exponent; `scale` is the exponent of its first digit.
    let count = len as i32;
    let scale = exponent + count - 1;
    if exponent >= 0 && scale < count + 7 {
        out.extend_from_slice(digits);
        out.resize(out.len() + exponent as usize, b'0');
    } else if exponent < 0 && (exponent > -7 || scale.abs() < 4) {
        let whole = count + exponent;
        if whole <= 0 {
            out.extend_from_slice(b"0.");
            out.resize(out.len() + whole.unsigned_abs() as usize, b'0');
            out.extend_from_slice(digits);
        } else {
            out.extend_from_slice(&digits[..whole as usize]);
            out.push(b'.');
            out.extend_from_slice(&digits[whole as usize..]);
        }
    } else {
        out.push(digits[0]);
        if len > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits[1..]);
        }
        out.extend_from_slice(if scale < 0 { b"e-" } else { b"e+" });
        write_i64(out, scale.unsigned_abs() as i64);
    }
}

/// The shortest digits of a positive finite double, how many there are, and the power of ten of the last.
fn shortest_digits(value: f64) -> ([u8; 24], usize, i32) {
    let mut buffer = ryu::Buffer::new();
    let text = buffer.format_finite(value).as_bytes();
    let mut digits = [0u8; 24];
    let (mut len, mut exponent, mut fraction) = (0, 0i32, false);
    let mut bytes = text.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'.' => fraction = true,
            b'e' => {
                let power = std::str::from_utf8(bytes.as_slice())
                    .ok()
                    .and_then(|s| s.parse::<i32>().ok());
                exponent += power.unwrap_or(0);
                break;
            }
            digit => {
                exponent -= i32::from(fraction);
                // Leading zeros carry no information.
                if len > 0 || digit != b'0' {
                    digits[len] = digit;
                    len += 1;
                }
            }
        }
    }
    while len > 1 && digits[len - 1] == b'0' {
        len -= 1;
        exponent += 1;
    }
    (digits, len, exponent)
}
