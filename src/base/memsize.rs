//! Memory sizes as the configuration writes them: `1k` is 1000, `1kb` is 1024, no unit is bytes, case does not matter.

/// Parses `100`, `5k`, `64mb`. The empty string is 0, as in Redis. `None`: not a size, or more than 64 bits.
pub fn parse(text: &[u8]) -> Option<u64> {
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    let (number, unit) = text.split_at(digits);
    let unit_bytes: u64 = match unit.to_ascii_lowercase().as_slice() {
        b"" | b"b" => 1,
        b"k" => 1000,
        b"kb" => 1 << 10,
        b"m" => 1_000_000,
        b"mb" => 1 << 20,
        b"g" => 1_000_000_000,
        b"gb" => 1 << 30,
        _ => return None,
    };
    if number.is_empty() {
        return unit.is_empty().then_some(0);
    }
    let number = number.iter().try_fold(0u64, |sum, digit| {
        sum.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    })?;
    number.checked_mul(unit_bytes)
}

/// The shortest exact form with a power-of-two unit: `64mb`, `1500`.
pub fn format(bytes: u64) -> String {
    for (unit, size) in [("gb", 1 << 30), ("mb", 1 << 20), ("kb", 1u64 << 10)] {
        if bytes != 0 && bytes.is_multiple_of(size) {
            return format!("{}{unit}", bytes / size);
        }
    }
    bytes.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_units_in_any_case() {
        let cases: [(&str, u64); 9] = [
            ("", 0),
            ("7", 7),
            ("1b", 1),
            ("1k", 1000),
            ("1KB", 1024),
            ("3m", 3_000_000),
            ("3mb", 3 << 20),
            ("2G", 2_000_000_000),
            ("1gB", 1 << 30),
        ];
        for (text, bytes) in cases {
            assert_eq!(parse(text.as_bytes()), Some(bytes), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_size_or_overflows() {
        for text in [
            "-1",
            "1tb",
            "5.5mb",
            " 5",
            "mb",
            "1kbx",
            "99999999999gb",
            "99999999999999999999999",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn formats_exactly() {
        for bytes in [
            0,
            1,
            1023,
            1024,
            1500,
            1 << 20,
            (1 << 20) + 1,
            5 << 30,
            u64::MAX,
        ] {
            assert_eq!(parse(format(bytes).as_bytes()), Some(bytes));
        }
        assert_eq!(format(64 << 20), "64mb");
        assert_eq!(format(100_000), "100000");
    }
}
