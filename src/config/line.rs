//! One configuration line: splitting it into words with Redis' quoting rules, and writing words back quoted.

/// Splits a line into words. Words may be wholly or partly in double quotes (`\n \r \t \a \b \xHH` and `\` before any
/// other character) or single quotes (`\'` only). A closing quote must end the word.
/// `None`: a quote is not closed, or something follows the closing one.
pub fn split_words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        let start = rest.iter().position(|b| !is_space(*b));
        let Some(start) = start else {
            return Some(words);
        };
        let (word, after) = take_word(&rest[start..])?;
        words.push(word);
        rest = after;
    }
}

fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

fn take_word(line: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut word = Vec::new();
    let mut at = 0;
    while let Some(&byte) = line.get(at) {
        match byte {
            b'"' | b'\'' => {
                let end = if byte == b'"' {
                    take_double_quoted(line, at + 1, &mut word)?
                } else {
                    take_single_quoted(line, at + 1, &mut word)?
                };
                let closed = line.get(end).is_none_or(|next| is_space(*next));
                return closed.then(|| (word, &line[end..]));
            }
            _ if is_space(byte) => break,
            _ => word.push(byte),
        }
        at += 1;
    }
    Some((word, &line[at..]))
}

/// Returns the position after the closing quote.
fn take_double_quoted(line: &[u8], mut at: usize, word: &mut Vec<u8>) -> Option<usize> {
    loop {
        match *line.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => {
                let escaped = *line.get(at + 1)?;
                let hex = (escaped == b'x')
                    .then(|| hex_byte(line.get(at + 2..at + 4)?))
                    .flatten();
                if let Some(value) = hex {
                    word.push(value);
                    at += 4;
                    continue;
                }
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    other => other,
                });
                at += 2;
            }
            other => {
                word.push(other);
                at += 1;
            }
        }
    }
}

fn take_single_quoted(line: &[u8], mut at: usize, word: &mut Vec<u8>) -> Option<usize> {
    loop {
        match *line.get(at)? {
            b'\'' => return Some(at + 1),
            b'\\' if line.get(at + 1) == Some(&b'\'') => {
                word.push(b'\'');
                at += 2;
            }
            other => {
                word.push(other);
                at += 1;
            }
        }
    }
}

fn hex_byte(digits: &[u8]) -> Option<u8> {
    let [high, low] = digits else { return None };
    let high = char::from(*high).to_digit(16)?;
    let low = char::from(*low).to_digit(16)?;
    u8::try_from(high * 16 + low).ok()
}

/// Writes a word in double quotes so that [`split_words`] reads the same bytes back; line breaks never reach the file raw.
pub fn quote(word: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(word.len() + 2);
    out.push(b'"');
    for &byte in word {
        match byte {
            b'\\' | b'"' => out.extend([b'\\', byte]),
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            b'\t' => out.extend(b"\\t"),
            0x07 => out.extend(b"\\a"),
            0x08 => out.extend(b"\\b"),
            b' '..=b'~' => out.push(byte),
            _ => out.extend(format!("\\x{byte:02x}").into_bytes()),
        }
    }
    out.push(b'"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Option<Vec<String>> {
        let words = split_words(line.as_bytes())?;
        Some(
            words
                .into_iter()
                .map(|w| String::from_utf8_lossy(&w).into_owned())
                .collect(),
        )
    }

    #[test]
    fn splits_plain_and_quoted_words() {
        assert_eq!(words("  a  b\tc ").unwrap(), ["a", "b", "c"]);
        assert_eq!(words("save \"\"").unwrap(), ["save", ""]);
        assert_eq!(
            words("x 'it\\'s' \"a \\\"b\\\" \\x41\\n\"").unwrap(),
            ["x", "it's", "a \"b\" A\n"]
        );
        assert_eq!(words("ab\"c d\"").unwrap(), ["abc d"]);
        assert_eq!(words("").unwrap(), Vec::<String>::new());
        assert_eq!(words("\"\\xzz\"").unwrap(), ["xzz"]);
    }

    #[test]
    fn refuses_unbalanced_quotes() {
        for line in ["a \"b", "a 'b", "\"a\"b", "'a'b", "\"a\\", "\""] {
            assert_eq!(words(line), None, "{line}");
        }
    }

    #[test]
    fn quoting_round_trips_every_byte() {
        let all: Vec<u8> = (0..=255).collect();
        let quoted = quote(&all);
        assert!(quoted.iter().all(|b| (b' '..=b'~').contains(b)));
        assert_eq!(split_words(&quoted).unwrap(), [all]);
    }
}
