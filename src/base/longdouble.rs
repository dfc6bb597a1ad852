//! The 80-bit x87 arithmetic behind INCRBYFLOAT and HINCRBYFLOAT, done with integers.
//!
//! Redis adds as C `long double` and prints `%.17Lf` without trailing zeros. A `f64` would show other
//! digits (0.1 + 0.2), and then values differ between a master and a replica of another make. So the
//! format is followed exactly: 64-bit mantissa, round to nearest even, subnormals, 15-bit exponent.

mod big;

use big::Big;

/// Exponent of the last mantissa bit of the smallest number.
const EXP_MIN: i64 = -16_445;
/// Numbers are below 2 to this power.
const EXP_TOP: i64 = 16_384;
/// Redis copies the text into a buffer of this size, with its terminator, before it parses.
const MAX_TEXT: usize = 5 * 1024;
/// Powers of five up to this one fit a `u64`.
const SMALL_POWER: u32 = 27;

/// A `long double` that is not NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongDouble {
    negative: bool,
    magnitude: Magnitude,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Magnitude {
    /// `mantissa * 2^exponent`; the top bit is set unless the number is zero or subnormal.
    Finite {
        mantissa: u64,
        exponent: i64,
    },
    Infinite,
}

impl LongDouble {
    /// Parses as Redis' `string2ld`: the whole text, no blanks, no NaN, no overflow or underflow to zero.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.len() >= MAX_TEXT {
            return None;
        }
        let (negative, unsigned) = match text.split_first()? {
            (b'-', rest) => (true, rest),
            (b'+', rest) => (false, rest),
            _ => (false, text),
        };
        if unsigned.eq_ignore_ascii_case(b"inf") || unsigned.eq_ignore_ascii_case(b"infinity") {
            return Some(Self {
                negative,
                magnitude: Magnitude::Infinite,
            });
        }
        let hex = unsigned.len() >= 2 && unsigned[0] == b'0' && unsigned[1] | 0x20 == b'x';
        let (number, is_zero) = if hex {
            let parsed = parse_hex(&unsigned[2..])?;
            (Self::round(negative, parsed), parsed.mantissa == 0)
        } else {
            parse_decimal(negative, unsigned)?
        };
        match number.magnitude {
            Magnitude::Infinite => None,
            Magnitude::Finite { mantissa: 0, .. } if !is_zero => None,
            Magnitude::Finite { .. } => Some(number),
        }
    }

    /// The greatest finite number.
    pub const MAX: Self = Self {
        negative: false,
        magnitude: Magnitude::Finite {
            mantissa: u64::MAX,
            exponent: EXP_TOP - 64,
        },
    };

    /// The same number with the other sign.
    pub fn negated(self) -> Self {
        Self {
            negative: !self.negative,
            ..self
        }
    }

    pub fn is_negative(self) -> bool {
        self.negative
    }

    pub fn is_finite(self) -> bool {
        matches!(self.magnitude, Magnitude::Finite { .. })
    }

    /// Whether this number is less than the other; zeros of either sign are equal.
    pub fn is_less(self, other: Self) -> bool {
        // Normal numbers compare by exponent first; zeros and subnormals have the least one.
        let rank = |n: Self| match n.magnitude {
            Magnitude::Finite { mantissa, exponent } => (exponent, mantissa),
            Magnitude::Infinite => (i64::MAX, 0),
        };
        let zero = (EXP_MIN, 0);
        let (a, b) = (rank(self), rank(other));
        match (self.negative && a != zero, other.negative && b != zero) {
            (true, false) => true,
            (false, true) => false,
            (false, false) => a < b,
            (true, true) => b < a,
        }
    }

    /// The sum, or `None` when it is NaN or infinite.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        let (
            Magnitude::Finite {
                mantissa: a_mantissa,
                exponent: a_exponent,
            },
            Magnitude::Finite {
                mantissa: b_mantissa,
                exponent: b_exponent,
            },
        ) = (self.magnitude, other.magnitude)
        else {
            return None;
        };
        // `high` is the one of greater magnitude; zeros have the least exponent by construction.
        let swap = (a_exponent, a_mantissa) < (b_exponent, b_mantissa);
        let (high_negative, high, high_exponent, low, low_exponent) = if swap {
            (
                other.negative,
                b_mantissa,
                b_exponent,
                a_mantissa,
                a_exponent,
            )
        } else {
            (
                self.negative,
                a_mantissa,
                a_exponent,
                b_mantissa,
                b_exponent,
            )
        };
        let high = (high as u128) << 63;
        let low = (low as u128) << 63;
        let distance = (high_exponent - low_exponent) as u32;
        let shifted = low.checked_shr(distance).unwrap_or(0);
        let sticky = shifted.checked_shl(distance).unwrap_or(0) != low;
        let sum = if self.negative == other.negative {
            high + shifted
        } else {
            high - shifted - u128::from(sticky)
        };
        let negative = if sum == 0 {
            self.negative && other.negative
        } else {
            high_negative
        };
        let exact = Unrounded {
            mantissa: sum,
            sticky,
            exponent: high_exponent - 63,
        };
        let result = Self::round(negative, exact);
        matches!(result.magnitude, Magnitude::Finite { .. }).then_some(result)
    }

    /// Appends the number as `%.17Lf` without trailing zeros, a lone point, or the sign of zero.
    pub fn write(self, out: &mut Vec<u8>) {
        let Magnitude::Finite { mantissa, exponent } = self.magnitude else {
            out.extend_from_slice(if self.negative { b"-inf" } else { b"inf" });
            return;
        };
        if exponent >= 0 {
            if self.negative && mantissa != 0 {
                out.push(b'-');
            }
            let mut whole = Big::from_u64(mantissa);
            whole.shift_left(exponent as usize);
            whole.write_decimal(out);
            return;
        }
        let drop = exponent.unsigned_abs() as u32;
        let mut whole = mantissa.checked_shr(drop).unwrap_or(0);
        let fraction = mantissa - whole.checked_shl(drop).unwrap_or(0);
        // fraction < 2^64 and 10^17 < 2^57, so the product is exact.
        let scaled = fraction as u128 * 10u128.pow(17);
        let mut decimals = round_shift(scaled, false, i64::from(drop));
        if decimals == 10u128.pow(17) {
            decimals = 0;
            whole += 1;
        }
        if self.negative && (whole != 0 || decimals != 0) {
            out.push(b'-');
        }
        out.extend_from_slice(itoa::Buffer::new().format(whole).as_bytes());
        if decimals != 0 {
            let text = format!(".{decimals:017}");
            out.extend_from_slice(text.trim_end_matches('0').as_bytes());
        }
    }

    fn round(negative: bool, exact: Unrounded) -> Self {
        let zero = Magnitude::Finite {
            mantissa: 0,
            exponent: EXP_MIN,
        };
        let magnitude = match exact.round(64, EXP_MIN) {
            (0, _) => zero,
            (mantissa, exponent) => {
                let shift = i64::from(mantissa.leading_zeros()).min(exponent - EXP_MIN);
                if i64::from(64 - mantissa.leading_zeros()) + exponent > EXP_TOP {
                    Magnitude::Infinite
                } else {
                    Magnitude::Finite {
                        mantissa: mantissa << shift,
                        exponent: exponent - shift,
                    }
                }
            }
        };
        Self {
            negative,
            magnitude,
        }
    }
}

/// `mantissa * 2^exponent`, plus something less than one unit if `sticky`.
#[derive(Clone, Copy)]
struct Unrounded {
    mantissa: u128,
    sticky: bool,
    exponent: i64,
}

impl Unrounded {
    /// Rounds to `precision` bits (at most 64), but no finer than `2^least`, to nearest even.
    fn round(self, precision: i64, least: i64) -> (u64, i64) {
        let bits = i64::from(128 - self.mantissa.leading_zeros());
        let drop = (bits - precision).max(least - self.exponent).max(0);
        let kept = round_shift(self.mantissa, self.sticky, drop);
        if kept >> precision == 0 {
            (kept as u64, self.exponent + drop)
        } else {
            ((kept >> 1) as u64, self.exponent + drop + 1)
        }
    }
}

/// `value / 2^drop`, rounded to nearest even; `sticky` stands for a positive remainder below one.
fn round_shift(value: u128, sticky: bool, drop: i64) -> u128 {
    match drop {
        ..=0 => value,
        1..=128 => {
            let kept = if drop == 128 { 0 } else { value >> drop };
            let half = 1u128 << (drop - 1);
            let rest = value & (half | (half - 1));
            kept + u128::from(rest > half || (rest == half && (sticky || kept & 1 == 1)))
        }
        _ => 0,
    }
}

/// Parses what follows `0x` as a double; same refusals as for decimal text.
pub(super) fn parse_hex_f64(negative: bool, text: &[u8]) -> Option<f64> {
    let exact = parse_hex(text)?;
    let (mantissa, exponent) = exact.round(53, -1074);
    if mantissa == 0 {
        return (exact.mantissa == 0).then_some(if negative { -0.0 } else { 0.0 });
    }
    let power = match exponent {
        -1074..=-1023 => f64::from_bits(1 << (exponent + 1074)),
        -1022..=1023 => f64::from_bits(((exponent + 1023) as u64) << 52),
        _ => return None,
    };
    // Both factors and the product are exact, or the product overflows.
    let value = mantissa as f64 * power;
    value
        .is_finite()
        .then_some(if negative { -value } else { value })
}

fn parse_hex(text: &[u8]) -> Option<Unrounded> {
    let mut exact = Unrounded {
        mantissa: 0,
        sticky: false,
        exponent: 0,
    };
    let (mut seen, mut fraction) = (false, false);
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        if byte == b'.' && !fraction {
            fraction = true;
        } else if let Some(digit) = (byte as char).to_digit(16) {
            seen = true;
            if exact.mantissa >> 124 == 0 {
                exact.mantissa = exact.mantissa << 4 | u128::from(digit);
                exact.exponent -= 4 * i64::from(fraction);
            } else {
                exact.sticky |= digit != 0;
                exact.exponent += 4 * i64::from(!fraction);
            }
        } else {
            break;
        }
        rest = tail;
    }
    if !seen {
        return None;
    }
    if let Some((&byte, tail)) = rest.split_first() {
        if byte | 0x20 != b'p' {
            return None;
        }
        exact.exponent = exact.exponent.saturating_add(parse_exponent(tail)?);
    }
    Some(exact)
}

/// A decimal exponent with optional sign, saturated: a longer one changes nothing any more.
fn parse_exponent(text: &[u8]) -> Option<i64> {
    const FAR: i64 = 1 << 40;
    let (negative, digits) = match text.split_first()? {
        (b'-', rest) => (true, rest),
        (b'+', rest) => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() {
        return None;
    }
    let mut value = 0i64;
    for &byte in digits {
        let digit = (byte as char).to_digit(10)?;
        value = (value * 10 + i64::from(digit)).min(FAR);
    }
    Some(if negative { -value } else { value })
}

/// Parses decimal text; also tells whether its digits are all zero.
fn parse_decimal(negative: bool, text: &[u8]) -> Option<(LongDouble, bool)> {
    let mut digits: Vec<u8> = Vec::with_capacity(text.len().min(40));
    let (mut seen, mut fraction, mut power) = (false, false, 0i64);
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        if byte == b'.' && !fraction {
            fraction = true;
        } else if byte.is_ascii_digit() {
            seen = true;
            power -= i64::from(fraction);
            if !digits.is_empty() || byte != b'0' {
                digits.push(byte - b'0');
            }
        } else {
            break;
        }
        rest = tail;
    }
    if !seen {
        return None;
    }
    if let Some((&byte, tail)) = rest.split_first() {
        if byte | 0x20 != b'e' {
            return None;
        }
        power = power.saturating_add(parse_exponent(tail)?);
    }
    while digits.last() == Some(&0) {
        digits.pop();
        power += 1;
    }
    if digits.is_empty() {
        let zero = Unrounded {
            mantissa: 0,
            sticky: false,
            exponent: 0,
        };
        return Some((LongDouble::round(negative, zero), true));
    }
    // Far outside of the range, no digits need to be looked at.
    let scale = power + digits.len() as i64;
    if !(-4_960..=4_940).contains(&scale) {
        return None;
    }
    Some((
        LongDouble::round(negative, decimal_to_binary(&digits, power)),
        false,
    ))
}

/// `digits * 10^power` to at least 65 bits and a sticky bit.
fn decimal_to_binary(digits: &[u8], power: i64) -> Unrounded {
    let small = power.unsigned_abs() <= u64::from(SMALL_POWER);
    if digits.len() <= 19 && small {
        let value = digits
            .iter()
            .fold(0u64, |value, &digit| value * 10 + u64::from(digit));
        let five = 5u128.pow(power.unsigned_abs() as u32);
        if power >= 0 {
            return Unrounded {
                mantissa: u128::from(value) * five,
                sticky: false,
                exponent: power,
            };
        }
        // The divisor is below 2^63, so a dividend of 128 bits leaves at least 65.
        let shift = u128::from(value).leading_zeros();
        let dividend = u128::from(value) << shift;
        return Unrounded {
            mantissa: dividend / five,
            sticky: dividend % five != 0,
            exponent: power - i64::from(shift),
        };
    }
    let mut value = Big::from_digits(digits);
    if power >= 0 {
        value.mul_power_of_five(power as u64);
        let (mantissa, sticky, dropped) = value.top_bits();
        return Unrounded {
            mantissa,
            sticky,
            exponent: power + dropped as i64,
        };
    }
    let mut divisor = Big::from_u64(1);
    divisor.mul_power_of_five(power.unsigned_abs());
    // Scale so that the quotient has 66 or 67 bits.
    let shift = divisor.bits() as i64 + 66 - value.bits() as i64;
    if shift >= 0 {
        value.shift_left(shift as usize);
    } else {
        divisor.shift_left(shift.unsigned_abs() as usize);
    }
    let (mantissa, sticky) = value.divide_small_quotient(divisor, 67);
    Unrounded {
        mantissa,
        sticky,
        exponent: power - shift,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(a: &str, b: &str) -> Option<String> {
        let mut out = Vec::new();
        let (a, b) = (
            LongDouble::parse(a.as_bytes()),
            LongDouble::parse(b.as_bytes()),
        );
        a.unwrap().checked_add(b.unwrap())?.write(&mut out);
        Some(String::from_utf8(out).unwrap())
    }

    #[test]
    fn sums_are_those_of_redis() {
        // Replies of INCRBYFLOAT.
        for (a, b, expected) in [
            ("0.1", "0.2", "0.3"),
            ("10.50", "0.1", "10.6"),
            ("5.0e3", "2.0e2", "5200"),
            ("3.0", "-3", "0"),
            ("-0", "-0", "0"),
            ("1", "0x10", "17"),
            ("1", "0x1p-3", "1.125"),
            ("17179869184", "17179869184", "34359738368"),
            ("9223372036854775807", "1", "9223372036854775808"),
            ("1e18", "0.5", "1000000000000000000.5"),
            ("1e-17", "0", "0.00000000000000001"),
            ("4e-18", "0", "0"),
            ("0.99999999999999999999", "0", "1"),
            ("1e25", "0", "10000000000000000000000000"),
        ] {
            assert_eq!(sum(a, b).as_deref(), Some(expected), "{a} + {b}");
        }
        let start = "100000000000000000002818806839475865145864534336290520386";
        assert!(sum("1e400", "1").is_some_and(|s| s.len() == 401 && s.starts_with(&start[..16])));
    }

    #[test]
    fn infinity_is_no_sum() {
        assert_eq!(sum("inf", "1"), None);
        assert_eq!(sum("inf", "-inf"), None);
        assert_eq!(sum("1.1e4932", "1.1e4932"), None);
        assert!(sum("1.1e4932", "1").is_some_and(|s| s.len() == 4933));
        assert!(sum("1.1e4932", "-1.1e4932").is_some_and(|s| s == "0"));
    }

    #[test]
    fn refuses_what_is_no_float() {
        let long = "1".repeat(5120);
        for text in [
            "", " 1", "1 ", "nan", "1e", ".", "-", "0x", "1e5000", "1e-5000", "inf1", "1f", &long,
        ] {
            assert_eq!(LongDouble::parse(text.as_bytes()), None, "{text}");
        }
        for text in [
            "1e-4950",
            "1e4932",
            "0e99999",
            "Infinity",
            &"1".repeat(4933),
            &"0".repeat(5119),
        ] {
            let text = if text.len() == 4933 {
                &text[..4932]
            } else {
                text
            };
            assert!(LongDouble::parse(text.as_bytes()).is_some(), "{text}");
        }
    }

    #[test]
    fn small_and_big_conversions_agree() {
        // The same number with and without digits that force the long way.
        let mut state = 88_172_645_463_325_252u64;
        for _ in 0..3_000 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let (digits, power) = (state >> (state % 50), (state % 55) as i64 - 27);
            let short = format!("{digits}e{power}");
            let long = format!("{digits}.{}e{power}", "0".repeat(30));
            assert_eq!(
                LongDouble::parse(short.as_bytes()),
                LongDouble::parse(long.as_bytes())
            );
            let digits: Vec<u8> = digits.to_string().bytes().map(|b| b - b'0').collect();
            let mut padded = digits.clone();
            padded.resize(40, 0);
            let pad = 40 - digits.len() as i64;
            assert_eq!(
                LongDouble::round(false, decimal_to_binary(&digits, power)),
                LongDouble::round(false, decimal_to_binary(&padded, power - pad)),
                "{short}"
            );
        }
    }
}
