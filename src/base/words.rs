//! Lines of words with quotes, as configuration files and inline requests have them.

/// Splits a line at white space. Double quotes allow `\n \r \t \b \a \xHH \" \\`, single quotes
/// allow `\'`; a closing quote must be followed by white space or the end. `None`: unbalanced.
pub fn split(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut at = 0;
    loop {
        while line.get(at).is_some_and(|b| is_space(*b)) {
            at += 1;
        }
        if at >= line.len() || line[at] == 0 {
            return Some(words);
        }
        let mut word = Vec::new();
        at = read_word(line, at, &mut word)?;
        words.push(word);
    }
}

fn is_space(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

fn read_word(line: &[u8], mut at: usize, word: &mut Vec<u8>) -> Option<usize> {
    while let Some(&b) = line.get(at) {
        match b {
            b'"' => return read_double(line, at + 1, word),
            b'\'' => return read_single(line, at + 1, word),
            0 => break,
            _ if is_space(b) => break,
            _ => word.push(b),
        }
        at += 1;
    }
    Some(at)
}

fn ends_word(line: &[u8], at: usize) -> Option<usize> {
    (at >= line.len() || is_space(line[at])).then_some(at)
}

fn read_single(line: &[u8], mut at: usize, word: &mut Vec<u8>) -> Option<usize> {
    loop {
        match (*line.get(at)?, line.get(at + 1)) {
            (b'\\', Some(b'\'')) => {
                word.push(b'\'');
                at += 2;
            }
            (b'\'', _) => return ends_word(line, at + 1),
            (b, _) => {
                word.push(b);
                at += 1;
            }
        }
    }
}

fn read_double(line: &[u8], mut at: usize, word: &mut Vec<u8>) -> Option<usize> {
    let hex = |b: u8| char::from(b).to_digit(16).map(|d| d as u8);
    loop {
        let b = *line.get(at)?;
        if b == b'"' {
            return ends_word(line, at + 1);
        }
        if b != b'\\' {
            word.push(b);
            at += 1;
            continue;
        }
        if let Some([b'x', high, low]) = line.get(at + 1..at + 4)
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            word.push(high << 4 | low);
            at += 4;
            continue;
        }
        word.push(match *line.get(at + 1)? {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'b' => 8,
            b'a' => 7,
            other => other,
        });
        at += 2;
    }
}

/// Appends the bytes in double quotes, with escapes for what is not printable: what [`split`]
/// reads back.
pub fn quote(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for &b in bytes {
        match b {
            b'\\' | b'"' => out.extend_from_slice(&[b'\\', b]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            7 => out.extend_from_slice(b"\\a"),
            8 => out.extend_from_slice(b"\\b"),
            b' '..=b'~' => out.push(b),
            _ => out.extend_from_slice(format!("\\x{b:02x}").as_bytes()),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn words_quotes_and_escapes() {
        let words = |line: &str| {
            split(line.as_bytes()).map(|w| {
                w.into_iter()
                    .map(|w| String::from_utf8(w).unwrap())
                    .collect::<Vec<_>>()
            })
        };
        assert_eq!(
            words("  set  a b "),
            Some(vec!["set".into(), "a".into(), "b".into()])
        );
        assert_eq!(
            words(r#"set "a b" 'c "d\''"#),
            Some(vec!["set".into(), "a b".into(), "c \"d'".into()])
        );
        assert_eq!(words(r#""\x41\n\q""#), Some(vec!["A\nq".into()]));
        assert_eq!(words(r#""""#), Some(vec![String::new()]));
        assert_eq!(words(""), Some(vec![]));
        for bad in [r#""abc"#, "'abc", r#""a"b"#, "'a'b"] {
            assert_eq!(words(bad), None, "{bad}");
        }
    }
}
