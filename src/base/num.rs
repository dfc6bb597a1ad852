//! Numbers as text, exactly as Redis reads and prints them: 64-bit integers in canonical decimal, and
//! doubles as scores and replies show them.

mod grisu;

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

/// What C's `strtod` gets to see of a text, for the places where Redis hands one over unchecked: it
/// ends at the first NUL, and blanks before the number do not count. Blanks alone stay as they are:
/// they are no number, while an empty text is read as zero there.
pub fn c_text(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|b| *b == 0).unwrap_or(text.len());
    let text = &text[..end];
    let blank = |b: &u8| b.is_ascii_whitespace() || *b == 0x0b;
    let start = text.iter().position(|b| !blank(b)).unwrap_or(0);
    &text[start..]
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
    let grisu::Digits {
        text,
        len,
        exponent,
    } = grisu::digits(value.abs());
    let digits = &text[..len];
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

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: f64) -> String {
        let mut out = Vec::new();
        write_f64(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn integers_are_canonical_only() {
        for n in [
            0,
            1,
            -1,
            9,
            10,
            99,
            127,
            -128,
            10_000,
            i64::MAX,
            i64::MIN,
            i64::MAX - 1,
            i64::MIN + 1,
        ] {
            let text = n.to_string();
            assert_eq!(parse_i64(text.as_bytes()), Some(n));
            assert_eq!(i64_len(n), text.len());
            let mut out = b"x".to_vec();
            write_i64(&mut out, n);
            assert_eq!(out[1..], *text.as_bytes());
        }
        for power in 0..19 {
            for n in [10i64.pow(power), 10i64.pow(power) - 1, -(10i64.pow(power))] {
                assert_eq!(parse_i64(n.to_string().as_bytes()), Some(n));
                assert_eq!(i64_len(n), n.to_string().len());
            }
        }
        let bad: [&[u8]; 16] = [
            b"",
            b"-",
            b"+1",
            b"-0",
            b"00",
            b"01",
            b"-01",
            b" 1",
            b"1 ",
            b"1a",
            b"a",
            b"1.0",
            b"9223372036854775808",
            b"-9223372036854775809",
            b"18446744073709551616",
            b"100000000000000000000000",
        ];
        for bytes in bad {
            assert_eq!(parse_i64(bytes), None, "{}", bytes.escape_ascii());
        }
        assert_eq!(parse_u64(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(parse_u64(b"18446744073709551616"), None);
        assert_eq!(parse_u64(b"99999999999999999999"), None);
        assert_eq!(parse_u64(b"-1"), None);
    }

    #[test]
    fn c_sees_texts_up_to_a_nul_and_without_leading_blanks() {
        let cases: [(&[u8], &[u8]); 6] = [
            (b"1.5", b"1.5"),
            (b" \t\n\x0b1 ", b"1 "),
            (b"1\x002", b"1"),
            (b"\x001", b""),
            (b"", b""),
            (b"  ", b"  "),
        ];
        for (text, seen) in cases {
            assert_eq!(c_text(text), seen);
        }
    }

    #[test]
    fn doubles_are_read_as_strtod_reads_them() {
        let good: [(&str, f64); 18] = [
            ("3", 3.0),
            ("+5", 5.0),
            ("-.5e-3", -0.0005),
            ("5.", 5.0),
            ("1E5", 1e5),
            ("inf", f64::INFINITY),
            ("+INF", f64::INFINITY),
            ("-Infinity", f64::NEG_INFINITY),
            ("0x10", 16.0),
            ("0x1p3", 8.0),
            ("-0X1.8P1", -3.0),
            ("0x.8", 0.5),
            ("0x1p-1074", 5e-324),
            ("0x1.fffffffffffff8p0", 2.0),
            ("0e999999999999", 0.0),
            ("0x0p99999999999", 0.0),
            ("5e-324", 5e-324),
            ("00012", 12.0),
        ];
        for (text, value) in good {
            assert_eq!(parse_f64(text.as_bytes()), Some(value), "{text}");
        }
        for text in [
            "",
            " 1",
            "1 ",
            "nan",
            "-nan",
            "1e",
            "1e+",
            ".",
            "+",
            "-",
            "--5",
            "0x",
            "0x.",
            "0xg",
            "0x1p",
            "1d",
            "1_0",
            "1e400",
            "-1e400",
            "1e-400",
            "0x1p1024",
            "0x1p-1076",
            "infin",
            "inf ",
            "1e99999999999999999999",
        ] {
            assert_eq!(parse_f64(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse_f64(b"\xff1"), None);
    }

    #[test]
    #[allow(clippy::excessive_precision)] // The digits are those that were asked for.
    fn doubles_are_laid_out_as_redis_does() {
        for (value, expected) in [
            (3.0, "3"),
            (2.5, "2.5"),
            (1e16, "10000000000000000"),
            (1e18, "1000000000000000000"),
            (1e20, "1e+20"),
            (123456789012345678.0, "123456789012345680"),
            (12345678901234567890.0, "12345678901234567000"),
            (4611686018427387904.0, "4611686018427387904"),
            (9223372036854775807.0, "9223372036854776000"),
            (1e-5, "0.00001"),
            (1e-6, "0.000001"),
            (1.5e-7, "1.5e-7"),
            (1e-10, "1e-10"),
            (1.2e25, "1.2e+25"),
            (0.1, "0.1"),
            (-0.1, "-0.1"),
            (1234567.125, "1234567.125"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (0.0, "0"),
            (-0.0, "-0"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
            (-0.000545133, "-5.451330000000001e-4"),
            // Where Redis' algorithm finds other digits than an exact one.
            (0.00877307, "0.008773069999999999"),
            (-634905204880004.75, "-634905204880004.7"),
            (6.0625305487935226e-18, "6.0625305487935226e-18"),
            (274564663099778.125, "274564663099778.13"),
        ] {
            assert_eq!(text(value), expected);
        }
    }

    #[test]
    fn printed_doubles_read_back() {
        let mut bits = 0x9E37_79B9_7F4A_7C15u64;
        for _ in 0..50_000 {
            bits = bits
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let value = f64::from_bits(bits ^ bits >> 32);
            if value.is_finite() {
                assert_eq!(parse_f64(text(value).as_bytes()), Some(value));
            }
        }
    }
}
