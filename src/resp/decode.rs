//! Replies of other servers, read from bytes as they come. No I/O.
//!
//! The other side is not trusted: lengths, numbers of elements and depth have limits, and nothing is reserved because a
//! length says so. What has been read is kept between calls, so that a large reply is walked once, however it is cut.

use std::fmt;

use crate::base::num::parse_i64;

/// A reply. Doubles and big numbers stay as the server wrote them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Status(Vec<u8>),
    Error(Vec<u8>),
    Int(i64),
    Bulk(Vec<u8>),
    /// The null of RESP3, and the null string and array of RESP2.
    Null,
    Bool(bool),
    Double(Vec<u8>),
    BigNumber(Vec<u8>),
    /// Its text, without the three letters of its format.
    Verbatim(Vec<u8>),
    Array(Vec<Value>),
    Set(Vec<Value>),
    Push(Vec<Value>),
    Map(Vec<(Value, Value)>),
}

impl Value {
    /// The bytes of a reply that is one text.
    pub fn text(&self) -> Option<&[u8]> {
        match self {
            Value::Status(text)
            | Value::Error(text)
            | Value::Bulk(text)
            | Value::Double(text)
            | Value::BigNumber(text)
            | Value::Verbatim(text) => Some(text),
            _ => None,
        }
    }

    /// The elements of an array, set or push.
    pub fn items(&self) -> Option<&[Value]> {
        match self {
            Value::Array(items) | Value::Set(items) | Value::Push(items) => Some(items),
            _ => None,
        }
    }

    /// Names and values of a map, or of the flat array that RESP2 has instead.
    pub fn pairs(&self) -> Vec<(&Value, &Value)> {
        match self {
            Value::Map(pairs) => pairs.iter().map(|(name, value)| (name, value)).collect(),
            Value::Array(items) => items
                .chunks_exact(2)
                .map(|pair| (&pair[0], &pair[1]))
                .collect(),
            _ => Vec::new(),
        }
    }

    /// The value of that name in a map.
    pub fn field(&self, name: &str) -> Option<&Value> {
        let named = |(key, _): &(&Value, &Value)| key.text() == Some(name.as_bytes());
        self.pairs().into_iter().find(named).map(|(_, value)| value)
    }

    pub fn int(&self) -> Option<i64> {
        match self {
            Value::Int(number) => Some(*number),
            _ => None,
        }
    }
}

/// The largest reply that is taken.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a line, which a status, an error or a number is.
    pub line: usize,
    /// Bytes of a string.
    pub bulk: usize,
    /// Elements of one aggregate.
    pub items: usize,
    pub depth: usize,
}

/// The bytes are no reply, or a larger one than is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault(String);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Protocol error, {}", self.0)
    }
}

fn fault<T>(text: impl Into<String>) -> Result<T, Fault> {
    Err(Fault(text.into()))
}

/// Room that is made before any element has come.
const FIRST_ROOM: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Array,
    Set,
    Push,
    Map,
    /// Read and dropped: what it says of the reply behind it has no place in [`Value`].
    Attribute,
}

/// An aggregate whose elements are still coming.
#[derive(Debug)]
struct Frame {
    kind: Kind,
    left: usize,
    items: Vec<Value>,
}

/// A string whose bytes are still coming.
#[derive(Debug)]
struct Text {
    verbatim: bool,
    len: usize,
    bytes: Vec<u8>,
}

/// Reads replies from pieces of bytes.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    frames: Vec<Frame>,
    text: Option<Text>,
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
}

impl Decoder {
    pub const fn new(limits: Limits) -> Decoder {
        Decoder {
            limits,
            frames: Vec::new(),
            text: None,
            line: Vec::new(),
        }
    }

    /// Nothing of a reply has been read yet.
    pub fn is_between(&self) -> bool {
        self.frames.is_empty() && self.text.is_none() && self.line.is_empty()
    }

    /// Reads on from `bytes` and moves it behind what was read. `None`: all of it was, and the reply goes on.
    pub fn read(&mut self, bytes: &mut &[u8]) -> Result<Option<Value>, Fault> {
        loop {
            let value = if self.text.is_some() {
                self.read_text(bytes)?
            } else {
                let Some(line) = self.take_line(bytes)? else {
                    return Ok(None);
                };
                self.start(&line)?
            };
            let Some(value) = value else {
                if self.text.is_some() && bytes.is_empty() {
                    return Ok(None);
                }
                continue;
            };
            if let Some(whole) = self.place(value) {
                return Ok(Some(whole));
            }
        }
    }

    /// A line without its end; what there is of it is kept if there is no end.
    fn take_line(&mut self, bytes: &mut &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        let end = memchr::memchr(b'\n', bytes);
        let (now, rest) = bytes.split_at(end.map_or(bytes.len(), |end| end + 1));
        if let Some(first) = self.line.first().or(now.first())
            && !b"+-:$*%~>,#(_=|".contains(first)
        {
            return fault(format!("got \"{}\" as reply type byte", escape(*first)));
        }
        if self.line.len() + now.len() > self.limits.line {
            return fault("a line is too long");
        }
        self.line.extend_from_slice(now);
        *bytes = rest;
        if end.is_none() {
            return Ok(None);
        }
        let mut line = std::mem::take(&mut self.line);
        line.truncate(line.len() - 1);
        if line.pop() != Some(b'\r') {
            return fault("a line does not end with CR and LF");
        }
        Ok(Some(line))
    }

    /// The reply that begins with this line, if the line is all of it.
    fn start(&mut self, line: &[u8]) -> Result<Option<Value>, Fault> {
        let Some((kind, rest)) = line.split_first() else {
            return fault("an empty line");
        };
        let value = match kind {
            b'+' => Value::Status(rest.to_vec()),
            b'-' => Value::Error(rest.to_vec()),
            b':' => Value::Int(number(rest)?),
            b',' => Value::Double(rest.to_vec()),
            b'(' => Value::BigNumber(rest.to_vec()),
            b'_' if rest.is_empty() => Value::Null,
            b'#' if rest == b"t" => Value::Bool(true),
            b'#' if rest == b"f" => Value::Bool(false),
            b'$' | b'=' => return self.start_text(*kind == b'=', number(rest)?),
            b'*' => return self.start_aggregate(Kind::Array, number(rest)?),
            b'~' => return self.start_aggregate(Kind::Set, number(rest)?),
            b'>' => return self.start_aggregate(Kind::Push, number(rest)?),
            b'%' => return self.start_aggregate(Kind::Map, number(rest)?),
            b'|' => return self.start_aggregate(Kind::Attribute, number(rest)?),
            _ => return fault(format!("bad value \"{}\"", rest.escape_ascii())),
        };
        Ok(Some(value))
    }

    fn start_text(&mut self, verbatim: bool, len: i64) -> Result<Option<Value>, Fault> {
        if len == -1 {
            return Ok(Some(Value::Null));
        }
        match usize::try_from(len) {
            Ok(len) if len <= self.limits.bulk && (!verbatim || len >= 4) => {
                let bytes = Vec::new();
                self.text = Some(Text {
                    verbatim,
                    len,
                    bytes,
                });
                Ok(None)
            }
            _ => fault("a string's length is out of range"),
        }
    }

    fn read_text(&mut self, bytes: &mut &[u8]) -> Result<Option<Value>, Fault> {
        let Some(text) = &mut self.text else {
            return Ok(None);
        };
        // With the line end behind it.
        let missing = text.len + 2 - text.bytes.len();
        let (now, rest) = bytes.split_at(missing.min(bytes.len()));
        *bytes = rest;
        text.bytes.extend_from_slice(now);
        if text.bytes.len() < text.len + 2 {
            return Ok(None);
        }
        let mut content = std::mem::take(&mut text.bytes);
        let verbatim = text.verbatim;
        self.text = None;
        if !content.ends_with(b"\r\n") {
            return fault("a string does not end where it should");
        }
        content.truncate(content.len() - 2);
        if !verbatim {
            return Ok(Some(Value::Bulk(content)));
        }
        if content[3] != b':' {
            return fault("a verbatim string without a format");
        }
        Ok(Some(Value::Verbatim(content.split_off(4))))
    }

    fn start_aggregate(&mut self, kind: Kind, len: i64) -> Result<Option<Value>, Fault> {
        if len == -1 && kind == Kind::Array {
            return Ok(Some(Value::Null));
        }
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        if len > self.limits.items {
            return fault("a number of elements is out of range");
        }
        if self.frames.len() >= self.limits.depth {
            return fault("elements are nested too deep");
        }
        let left = match kind {
            Kind::Map | Kind::Attribute => len.saturating_mul(2),
            Kind::Array | Kind::Set | Kind::Push => len,
        };
        if left == 0 {
            return Ok(whole(kind, Vec::new()));
        }
        self.frames.push(Frame {
            kind,
            left,
            items: Vec::with_capacity(left.min(FIRST_ROOM)),
        });
        Ok(None)
    }

    /// Puts a value where it belongs; gives it back if it belongs to nothing.
    fn place(&mut self, mut value: Value) -> Option<Value> {
        loop {
            let Some(frame) = self.frames.last_mut() else {
                return Some(value);
            };
            frame.items.push(value);
            frame.left -= 1;
            if frame.left > 0 {
                return None;
            }
            let frame = self.frames.pop()?;
            // Nothing comes of an attribute: the next value takes its place.
            value = whole(frame.kind, frame.items)?;
        }
    }
}

fn whole(kind: Kind, items: Vec<Value>) -> Option<Value> {
    match kind {
        Kind::Array => Some(Value::Array(items)),
        Kind::Set => Some(Value::Set(items)),
        Kind::Push => Some(Value::Push(items)),
        Kind::Map => {
            let mut items = items.into_iter();
            let mut pairs = Vec::with_capacity(items.len() / 2);
            while let (Some(name), Some(value)) = (items.next(), items.next()) {
                pairs.push((name, value));
            }
            Some(Value::Map(pairs))
        }
        Kind::Attribute => None,
    }
}

fn number(digits: &[u8]) -> Result<i64, Fault> {
    let digits = digits.strip_prefix(b"+").unwrap_or(digits);
    parse_i64(digits).map_or_else(
        || fault(format!("bad number \"{}\"", digits.escape_ascii())),
        Ok,
    )
}

/// A byte as C programs show it.
fn escape(byte: u8) -> String {
    match byte {
        b'"' => "\\\"".into(),
        b' '..=b'~' => char::from(byte).to_string(),
        _ => byte.escape_ascii().to_string(),
    }
}

/// A command in the bytes of the protocol.
pub fn command<A: AsRef<[u8]>>(words: &[A], out: &mut Vec<u8>) {
    let head = |out: &mut Vec<u8>, kind: u8, n: usize| {
        out.push(kind);
        out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes());
        out.extend_from_slice(b"\r\n");
    };
    head(out, b'*', words.len());
    for word in words {
        let word = word.as_ref();
        head(out, b'$', word.len());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        line: 64,
        bulk: 1000,
        items: 100,
        depth: 3,
    };

    fn bulk(text: &str) -> Value {
        Value::Bulk(text.into())
    }

    /// However the bytes are cut, the replies are these.
    fn all(bytes: &[u8], piece: usize) -> Result<Vec<Value>, Fault> {
        let mut decoder = Decoder::new(LIMITS);
        let mut replies = Vec::new();
        for mut piece in bytes.chunks(piece) {
            while let Some(value) = decoder.read(&mut piece)? {
                replies.push(value);
                if piece.is_empty() {
                    break;
                }
            }
            assert!(piece.is_empty());
        }
        assert!(decoder.is_between());
        Ok(replies)
    }

    #[test]
    fn every_kind_in_pieces_of_every_size() {
        let bytes = b"+OK\r\n-ERR x\r\n:-5\r\n$3\r\na\nb\r\n$0\r\n\r\n$-1\r\n*-1\r\n_\r\n#t\r\n#f\r\n,inf\r\n(123\r\n\
            =8\r\ntxt:some\r\n*2\r\n:1\r\n*1\r\n$1\r\nx\r\n~1\r\n:1\r\n>1\r\n+m\r\n%1\r\n+k\r\n*0\r\n|1\r\n+a\r\n:1\r\n+OK\r\n";
        let wanted = vec![
            Value::Status(b"OK".to_vec()),
            Value::Error(b"ERR x".to_vec()),
            Value::Int(-5),
            bulk("a\nb"),
            bulk(""),
            Value::Null,
            Value::Null,
            Value::Null,
            Value::Bool(true),
            Value::Bool(false),
            Value::Double(b"inf".to_vec()),
            Value::BigNumber(b"123".to_vec()),
            Value::Verbatim(b"some".to_vec()),
            Value::Array(vec![Value::Int(1), Value::Array(vec![bulk("x")])]),
            Value::Set(vec![Value::Int(1)]),
            Value::Push(vec![Value::Status(b"m".to_vec())]),
            Value::Map(vec![(Value::Status(b"k".to_vec()), Value::Array(vec![]))]),
            Value::Status(b"OK".to_vec()),
        ];
        for piece in [1, 2, 3, 7, 50, 1000] {
            assert_eq!(all(bytes, piece).as_ref(), Ok(&wanted), "{piece}");
        }
    }

    #[test]
    fn what_is_no_reply_is_refused_at_once() {
        for bad in [
            "*2147483647\r\n",
            "*-2\r\n",
            "%-1\r\n",
            "$99999999999\r\n",
            "$9223372036854775807\r\n",
            "$-5\r\n",
            "$abc\r\n",
            ":x\r\n",
            "?\r\n",
            "\r\n",
            "+OK\n",
            "#x\r\n",
            "=3\r\nabc\r\n",
            "=4\r\nabcd\r\n",
            "*1\r\n*1\r\n*1\r\n*1\r\n",
            "$2\r\nabcd",
        ] {
            for piece in [1, 100] {
                let mut decoder = Decoder::new(LIMITS);
                let read = bad
                    .as_bytes()
                    .chunks(piece)
                    .map(|mut piece| decoder.read(&mut piece))
                    .find(|read| !matches!(read, Ok(None)));
                assert!(matches!(read, Some(Err(_))), "{bad:?} {piece}: {read:?}");
            }
        }
        let long = [b"+".as_slice(), &[b'a'; 100]].concat();
        assert!(Decoder::new(LIMITS).read(&mut &long[..]).is_err());
        let told = Decoder::new(LIMITS).read(&mut &b"\x01"[..]).unwrap_err();
        assert_eq!(
            told.to_string(),
            "Protocol error, got \"\\x01\" as reply type byte"
        );
    }

    #[test]
    fn names_and_values_of_both_protocols() {
        let pairs = vec![(bulk("a"), Value::Int(1)), (bulk("b"), Value::Null)];
        let flat = vec![bulk("a"), Value::Int(1), bulk("b"), Value::Null];
        for value in [Value::Map(pairs), Value::Array(flat)] {
            assert_eq!(value.field("a").and_then(Value::int), Some(1));
            assert_eq!(value.field("c"), None);
        }
    }

    #[test]
    fn commands_are_arrays_of_strings() {
        let mut out = Vec::new();
        command(&["GET", "a b"], &mut out);
        assert_eq!(out, b"*2\r\n$3\r\nGET\r\n$3\r\na b\r\n");
    }
}
