//! Splits a command line into words as redis-cli does, with quotes and escapes.

/// The words of `line`; `None` when a quote does not close. A quote counts at the start of a word only.
pub fn split(line: &str) -> Option<Vec<Vec<u8>>> {
    let bytes = line.as_bytes();
    let mut words = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b' ' => at += 1,
            b'"' => {
                let (word, next) = double_quoted(bytes, at + 1)?;
                words.push(word);
                at = next;
            }
            b'\'' => {
                let length = bytes[at + 1..].iter().position(|&byte| byte == b'\'')?;
                words.push(bytes[at + 1..at + 1 + length].to_vec());
                at += length + 2;
            }
            _ => {
                let length = bytes[at..].iter().take_while(|&&byte| byte != b' ').count();
                words.push(bytes[at..at + length].to_vec());
                at += length;
            }
        }
    }
    Some(words)
}

fn double_quoted(bytes: &[u8], mut at: usize) -> Option<(Vec<u8>, usize)> {
    let mut word = Vec::new();
    loop {
        match *bytes.get(at)? {
            b'"' => return Some((word, at + 1)),
            b'\\' => {
                let escape = *bytes.get(at + 1)?;
                at += 2;
                if escape == b'x' {
                    let digits = std::str::from_utf8(bytes.get(at..at + 2)?).ok()?;
                    word.push(u8::from_str_radix(digits, 16).ok()?);
                    at += 2;
                    continue;
                }
                word.push(match escape {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'a' => 7,
                    b'b' => 8,
                    other => other,
                });
            }
            byte => {
                word.push(byte);
                at += 1;
            }
        }
    }
}
