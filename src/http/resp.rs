//! Replies of commands, read back from RESP3.

use std::collections::VecDeque;

/// A reply. What the protocol tells apart for typed clients is the same here: texts of every kind, lists and sets.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Int(i64),
    Double(f64),
    Bool(bool),
    Text(Vec<u8>),
    Error(String),
    List(Vec<Value>),
    Map(Vec<(Value, Value)>),
}

/// Replies of commands do not nest deeper.
const DEPTH_MAX: u32 = 16;

impl Value {
    /// Reads one reply that fills all of `bytes`.
    pub fn read(bytes: &[u8]) -> Option<Value> {
        let mut rest = bytes;
        let value = read(&mut rest, DEPTH_MAX)?;
        rest.is_empty().then_some(value)
    }

    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Text(bytes) => Some(bytes),
            _ => None,
        }
    }

    pub fn into_bytes(self) -> Option<Vec<u8>> {
        match self {
            Value::Text(bytes) => Some(bytes),
            _ => None,
        }
    }

    pub fn into_list(self) -> Option<VecDeque<Value>> {
        match self {
            Value::List(items) => Some(items.into()),
            _ => None,
        }
    }

    /// A field of a map, or of a list of names and values.
    pub fn field(&self, name: &str) -> Option<&Value> {
        match self {
            Value::Map(pairs) => {
                let found = pairs
                    .iter()
                    .find(|(key, _)| key.bytes() == Some(name.as_bytes()));
                found.map(|(_, value)| value)
            }
            Value::List(items) => {
                let mut pairs = items.chunks_exact(2);
                pairs
                    .find(|pair| pair[0].bytes() == Some(name.as_bytes()))
                    .map(|pair| &pair[1])
            }
            _ => None,
        }
    }
}

fn line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = memchr::memmem::find(rest, b"\r\n")?;
    let (line, behind) = rest.split_at(end);
    *rest = &behind[2..];
    Some(line)
}

fn number<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn blob(rest: &mut &[u8], length: &[u8]) -> Option<Vec<u8>> {
    let length: usize = number(length)?;
    let bytes = rest.get(..length)?.to_vec();
    *rest = rest.get(length..)?.strip_prefix(b"\r\n")?;
    Some(bytes)
}

fn read(rest: &mut &[u8], depth: u32) -> Option<Value> {
    let depth = depth.checked_sub(1)?;
    let (kind, text) = line(rest)?.split_first()?;
    Some(match kind {
        b'+' | b'(' => Value::Text(text.to_vec()),
        b'-' => Value::Error(String::from_utf8_lossy(text).into_owned()),
        b':' => Value::Int(number(text)?),
        b',' => Value::Double(number(text)?),
        b'#' => Value::Bool(text == b"t"),
        b'_' => Value::Null,
        b'$' if text == b"-1" => Value::Null,
        b'$' => Value::Text(blob(rest, text)?),
        b'!' => Value::Error(String::from_utf8_lossy(&blob(rest, text)?).into_owned()),
        // Behind the format's name.
        b'=' => Value::Text(blob(rest, text)?.get(4..)?.to_vec()),
        b'*' if text == b"-1" => Value::Null,
        b'*' | b'~' | b'>' => {
            let count: usize = number(text)?;
            let items = (0..count).map(|_| read(rest, depth));
            Value::List(items.collect::<Option<_>>()?)
        }
        b'%' => {
            let count: usize = number(text)?;
            let pairs = (0..count).map(|_| Some((read(rest, depth)?, read(rest, depth)?)));
            Value::Map(pairs.collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_reply() {
        let text = |text: &str| Value::Text(text.into());
        let cases = [
            ("+OK\r\n", text("OK")),
            ("$0\r\n\r\n", text("")),
            ("=6\r\ntxt:ab\r\n", text("ab")),
            ("(123\r\n", text("123")),
            ("-ERR no\r\n", Value::Error("ERR no".into())),
            ("!3\r\na\r\n\r\n", Value::Error("a\r\n".into())),
            (":-5\r\n", Value::Int(-5)),
            (",inf\r\n", Value::Double(f64::INFINITY)),
            ("#t\r\n", Value::Bool(true)),
            ("_\r\n", Value::Null),
            ("*-1\r\n", Value::Null),
            (
                "~2\r\n:1\r\n*0\r\n",
                Value::List(vec![Value::Int(1), Value::List(vec![])]),
            ),
            (
                "%1\r\n+a\r\n:1\r\n",
                Value::Map(vec![(text("a"), Value::Int(1))]),
            ),
        ];
        for (bytes, value) in cases {
            assert_eq!(Value::read(bytes.as_bytes()), Some(value), "{bytes:?}");
        }
        for bad in [
            "",
            "+OK",
            "$5\r\nab\r\n",
            "*2\r\n:1\r\n",
            "+a\r\n+b\r\n",
            "?\r\n",
            ":x\r\n",
        ] {
            assert_eq!(Value::read(bad.as_bytes()), None, "{bad:?}");
        }
        assert_eq!(Value::read("*1\r\n".repeat(40).as_bytes()), None);
        let map = Value::read(b"%2\r\n+a\r\n:1\r\n+b\r\n:2\r\n").unwrap();
        assert_eq!(map.field("b"), Some(&Value::Int(2)));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(text in "[-+:$*%~#_,=!(0-9a-z\r\n]{0,60}") {
            let _ = Value::read(text.as_bytes());
            let _ = Value::read(text.replace(' ', "\r\n").as_bytes());
        }
    }
}
