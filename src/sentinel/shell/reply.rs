//! Replies of instances, read from bytes. Instances are not trusted: lengths and depths are bounded before anything is kept.

use crate::resp::decode::{self, Decoder, Limits};

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

const LIMITS: Limits = Limits {
    line: LINE_MAX,
    // INFO of a server with many replicas is far below.
    bulk: 4 << 20,
    items: 1024,
    depth: 4,
};
const LINE_MAX: usize = 64 << 10;

/// Reads one reply from the start of `bytes`: it and its length, or `None` while it is not complete.
pub fn read(bytes: &[u8]) -> Result<Option<(Value, usize)>, Malformed> {
    let mut rest = bytes;
    let reply = Decoder::new(LIMITS).read(&mut rest);
    let Some(reply) = reply.map_err(|_| Malformed)? else {
        return Ok(None);
    };
    Ok(Some((value(reply)?, bytes.len() - rest.len())))
}

fn value(reply: decode::Value) -> Result<Value, Malformed> {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(match reply {
        decode::Value::Status(bytes) => Value::Status(text(bytes)),
        decode::Value::Error(bytes) => Value::Error(text(bytes)),
        decode::Value::Int(number) => Value::Int(number),
        decode::Value::Bulk(bytes) => Value::Bulk(text(bytes)),
        decode::Value::Null => Value::Null,
        decode::Value::Array(items) => {
            let items = items.into_iter().map(value);
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        _ => return Err(Malformed),
    })
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
