//! Replies of instances, read from bytes. Instances are not trusted: lengths and depths are bounded before anything is kept.

/// A reply as instances that were not asked for RESP3 send it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Status(String),
    Error(String),
    Int(i64),
    Bulk(String),
    Null,
    Array(Vec<Value>),
}

/// The reply is none, or larger than any that is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// The longest text: INFO of a server with many replicas is far below.
const BULK_MAX: usize = 4 << 20;
const LINE_MAX: usize = 64 << 10;
const ITEMS_MAX: usize = 1024;
const DEPTH_MAX: u32 = 4;

/// Reads one reply from the start of `bytes`: it and its length, or `None` while it is not complete.
pub fn read(bytes: &[u8]) -> Result<Option<(Value, usize)>, Malformed> {
    let mut at = 0;
    match value(bytes, &mut at, DEPTH_MAX) {
        Ok(value) => Ok(Some((value, at))),
        Err(Stop::Incomplete) => Ok(None),
        Err(Stop::Malformed) => Err(Malformed),
    }
}

enum Stop {
    Incomplete,
    Malformed,
}

fn value(bytes: &[u8], at: &mut usize, depth: u32) -> Result<Value, Stop> {
    let line = line(bytes, at)?;
    let (kind, rest) = line.split_first().ok_or(Stop::Malformed)?;
    let text = || String::from_utf8_lossy(rest).into_owned();
    match kind {
        b'+' => Ok(Value::Status(text())),
        b'-' => Ok(Value::Error(text())),
        b':' => Ok(Value::Int(number(rest)?)),
        b'$' => match number(rest)? {
            -1 => Ok(Value::Null),
            len => bulk(bytes, at, len),
        },
        b'*' => match number(rest)? {
            -1 => Ok(Value::Null),
            len => {
                let len = usize::try_from(len).map_err(|_| Stop::Malformed)?;
                if len > ITEMS_MAX || depth == 0 {
                    return Err(Stop::Malformed);
                }
                (0..len)
                    .map(|_| value(bytes, at, depth - 1))
                    .collect::<Result<_, _>>()
                    .map(Value::Array)
            }
        },
        _ => Err(Stop::Malformed),
    }
}

fn number(digits: &[u8]) -> Result<i64, Stop> {
    let text = std::str::from_utf8(digits).map_err(|_| Stop::Malformed)?;
    text.parse().map_err(|_| Stop::Malformed)
}

fn line<'a>(bytes: &'a [u8], at: &mut usize) -> Result<&'a [u8], Stop> {
    let rest = bytes.get(*at..).unwrap_or_default();
    let Some(end) = memchr::memchr(b'\n', rest) else {
        return Err(if rest.len() > LINE_MAX {
            Stop::Malformed
        } else {
            Stop::Incomplete
        });
    };
    *at += end + 1;
    rest[..end].strip_suffix(b"\r").ok_or(Stop::Malformed)
}

fn bulk(bytes: &[u8], at: &mut usize, len: i64) -> Result<Value, Stop> {
    let len = usize::try_from(len)
        .ok()
        .filter(|len| *len <= BULK_MAX)
        .ok_or(Stop::Malformed)?;
    let rest = bytes.get(*at..).unwrap_or_default();
    let Some(whole) = rest.get(..len + 2) else {
        return Err(Stop::Incomplete);
    };
    let (text, end) = whole.split_at(len);
    if end != b"\r\n" {
        return Err(Stop::Malformed);
    }
    *at += len + 2;
    Ok(Value::Bulk(String::from_utf8_lossy(text).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_read_when_they_are_complete() {
        let bytes = b"*3\r\n:1\r\n$1\r\n*\r\n$-1\r\n+PONG\r\n-ERR x\r\n";
        for cut in 0..20 {
            assert_eq!(read(&bytes[..cut]), Ok(None), "{cut}");
        }
        let (value, used) = read(bytes).unwrap().unwrap();
        let items = vec![Value::Int(1), Value::Bulk("*".into()), Value::Null];
        assert_eq!((value, used), (Value::Array(items), 20));
        let (pong, more) = read(&bytes[20..]).unwrap().unwrap();
        assert_eq!(pong, Value::Status("PONG".into()));
        assert_eq!(
            read(&bytes[20 + more..]).unwrap().unwrap().0,
            Value::Error("ERR x".into())
        );
    }

    #[test]
    fn hostile_lengths_are_refused_at_once() {
        for bad in [
            "*2147483647\r\n",
            "*-2\r\n",
            "$99999999999\r\n",
            "$9223372036854775807\r\n",
            "$-5\r\n",
            "$abc\r\n",
            ":x\r\n",
            "?\r\n",
            "\r\n",
            "+OK\n",
            "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n",
            "$2\r\nabcd",
        ] {
            assert_eq!(read(bad.as_bytes()), Err(Malformed), "{bad:?}");
        }
        assert_eq!(read(&vec![b'a'; LINE_MAX + 1]), Err(Malformed));
    }
}
