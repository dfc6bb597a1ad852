//! A blocking RESP2/RESP3 client that keeps the exact bytes of each reply beside its parsed form.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// A reply. Doubles and big numbers stay text, so that tests see what went over the wire.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Simple(String),
    Error(String),
    Int(i64),
    Bulk(Vec<u8>),
    NullBulk,
    NullArray,
    Null,
    Bool(bool),
    Double(String),
    BigNumber(String),
    Verbatim(String, Vec<u8>),
    Array(Vec<Value>),
    Set(Vec<Value>),
    Push(Vec<Value>),
    Map(Vec<(Value, Value)>),
    Attribute(Vec<(Value, Value)>),
}

impl Value {
    /// The text of a status, error, bulk or verbatim reply.
    pub fn text(&self) -> String {
        match self {
            Value::Simple(text) | Value::Error(text) => text.clone(),
            Value::Double(text) | Value::BigNumber(text) => text.clone(),
            Value::Bulk(bytes) | Value::Verbatim(_, bytes) => {
                String::from_utf8_lossy(bytes).into_owned()
            }
            Value::Int(number) => number.to_string(),
            other => panic!("not a text reply: {other:?}"),
        }
    }

    pub fn int(&self) -> i64 {
        match self {
            Value::Int(number) => *number,
            other => panic!("not an integer: {other:?}"),
        }
    }

    /// The elements of an array, set or push.
    pub fn items(&self) -> &[Value] {
        match self {
            Value::Array(items) | Value::Set(items) | Value::Push(items) => items,
            other => panic!("not an aggregate: {other:?}"),
        }
    }

    /// The pairs of a map, or of a flat array in which names and values alternate.
    pub fn pairs(&self) -> Vec<(Value, Value)> {
        match self {
            Value::Map(pairs) => pairs.clone(),
            Value::Array(items) => items
                .chunks(2)
                .map(|pair| (pair[0].clone(), pair[1].clone()))
                .collect(),
            other => panic!("not a map: {other:?}"),
        }
    }

    /// The value of a named entry of a map or a flat array.
    pub fn field(&self, name: &str) -> Option<Value> {
        self.pairs()
            .into_iter()
            .find(|(key, _)| key.text() == name)
            .map(|(_, value)| value)
    }

    pub fn is_error(&self) -> bool {
        matches!(self, Value::Error(_))
    }
}

/// One connection.
pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
    position: usize,
}

impl Client {
    pub fn try_connect(addr: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(READ_TIMEOUT))?;
        Ok(Self {
            stream,
            buffer: Vec::new(),
            position: 0,
        })
    }

    pub fn set_read_timeout(&mut self, timeout: Duration) {
        self.stream
            .set_read_timeout(Some(timeout))
            .expect("set the read timeout");
    }

    /// Sends one command as an array of bulk strings.
    pub fn send<A: AsRef<[u8]>>(&mut self, args: &[A]) -> io::Result<()> {
        self.stream.write_all(&encode(args))
    }

    /// Sends bytes as they are.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends a command and gives its reply.
    pub fn call<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Value {
        self.call_raw(args).0
    }

    /// Sends a command written as redis-cli takes it, and gives its reply.
    pub fn line(&mut self, line: &str) -> Value {
        self.call(&super::words::split(line).expect("balanced quotes"))
    }

    /// Sends a command and gives its reply and the bytes of it.
    pub fn call_raw<A: AsRef<[u8]>>(&mut self, args: &[A]) -> (Value, Vec<u8>) {
        self.send(args).expect("send");
        self.read_raw().expect("read the reply")
    }

    /// Sends many commands at once and reads all replies.
    pub fn pipeline<A: AsRef<[u8]>>(&mut self, commands: &[Vec<A>]) -> Vec<Value> {
        let bytes: Vec<u8> = commands.iter().flat_map(|args| encode(args)).collect();
        self.send_raw(&bytes).expect("send");
        commands
            .iter()
            .map(|_| self.read().expect("read the reply"))
            .collect()
    }

    pub fn read(&mut self) -> io::Result<Value> {
        self.read_raw().map(|(value, _)| value)
    }

    /// Reads one reply; `UnexpectedEof` when the server closed, `WouldBlock` when nothing came in time.
    pub fn read_raw(&mut self) -> io::Result<(Value, Vec<u8>)> {
        let start = self.position;
        let value = self.value()?;
        let raw = self.buffer[start..self.position].to_vec();
        self.buffer.drain(..self.position);
        self.position = 0;
        Ok((value, raw))
    }

    /// True when the server closes the connection without sending anything more.
    pub fn is_closed(&mut self) -> bool {
        if self.position < self.buffer.len() {
            return false;
        }
        let mut byte = [0];
        match self.stream.read(&mut byte) {
            Ok(0) => true,
            Ok(_) => {
                self.buffer.push(byte[0]);
                false
            }
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut chunk = [0; 16 * 1024];
        match self.stream.read(&mut chunk)? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            count => {
                self.buffer.extend_from_slice(&chunk[..count]);
                Ok(())
            }
        }
    }

    fn take_line(&mut self) -> io::Result<String> {
        loop {
            let rest = &self.buffer[self.position..];
            if let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") {
                let line = String::from_utf8_lossy(&rest[..end]).into_owned();
                self.position += end + 2;
                return Ok(line);
            }
            self.fill()?;
        }
    }

    fn take_bytes(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < self.position + count + 2 {
            self.fill()?;
        }
        let bytes = self.buffer[self.position..self.position + count].to_vec();
        self.position += count + 2;
        Ok(bytes)
    }

    fn values(&mut self, count: i64) -> io::Result<Vec<Value>> {
        (0..count).map(|_| self.value()).collect()
    }

    fn entries(&mut self, count: i64) -> io::Result<Vec<(Value, Value)>> {
        (0..count)
            .map(|_| Ok((self.value()?, self.value()?)))
            .collect()
    }

    fn value(&mut self) -> io::Result<Value> {
        let line = self.take_line()?;
        let invalid = |what: &str| io::Error::new(ErrorKind::InvalidData, what.to_string());
        let mut chars = line.chars();
        let kind = chars.next().ok_or_else(|| invalid("empty line"))?;
        let rest = chars.as_str().to_string();
        let number = || rest.parse::<i64>().map_err(|_| invalid(&line));
        Ok(match kind {
            '+' => Value::Simple(rest),
            '-' => Value::Error(rest),
            ':' => Value::Int(number()?),
            ',' => Value::Double(rest),
            '(' => Value::BigNumber(rest),
            '_' => Value::Null,
            '#' => Value::Bool(rest == "t"),
            '$' if rest == "-1" => Value::NullBulk,
            '$' => Value::Bulk(self.take_bytes(number()? as usize)?),
            '=' => {
                let bytes = self.take_bytes(number()? as usize)?;
                let format = String::from_utf8_lossy(&bytes[..3]).into_owned();
                Value::Verbatim(format, bytes[4..].to_vec())
            }
            '*' if rest == "-1" => Value::NullArray,
            '*' => Value::Array(self.values(number()?)?),
            '~' => Value::Set(self.values(number()?)?),
            '>' => Value::Push(self.values(number()?)?),
            '%' => Value::Map(self.entries(number()?)?),
            '|' => Value::Attribute(self.entries(number()?)?),
            _ => return Err(invalid(&line)),
        })
    }
}

/// A command as an array of bulk strings.
pub fn encode<A: AsRef<[u8]>>(args: &[A]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        let arg = arg.as_ref();
        bytes.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        bytes.extend_from_slice(arg);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}
