//! Errors of commands: what went wrong by the client's doing, in Redis' words.

use std::borrow::Cow;

/// An error reply without its leading `-`: code, space, text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(Cow<'static, [u8]>);

impl Error {
    pub const WRONG_TYPE: Error =
        Error::new("WRONGTYPE Operation against a key holding the wrong kind of value");
    pub const SYNTAX: Error = Error::new("ERR syntax error");
    pub const NOT_INTEGER: Error = Error::new("ERR value is not an integer or out of range");
    pub const NOT_INT32: Error =
        Error::new("ERR value is out of range, value must between -2147483648 and 2147483647");
    pub const NOT_FLOAT: Error = Error::new("ERR value is not a valid float");
    pub const OUT_OF_RANGE: Error = Error::new("ERR value is out of range");
    pub const MUST_BE_POSITIVE: Error = Error::new("ERR value is out of range, must be positive");
    pub const NO_SUCH_KEY: Error = Error::new("ERR no such key");
    pub const INDEX_OUT_OF_RANGE: Error = Error::new("ERR index out of range");
    pub const OVERFLOW: Error = Error::new("ERR increment or decrement would overflow");
    pub const STRING_TOO_LONG: Error =
        Error::new("ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    pub const OFFSET_OUT_OF_RANGE: Error = Error::new("ERR offset is out of range");

    /// A fixed text.
    pub const fn new(text: &'static str) -> Error {
        Error(Cow::Borrowed(text.as_bytes()))
    }

    /// A composed text. CR, LF and NUL are replaced when it is written.
    pub fn text(text: impl Into<String>) -> Error {
        Error(Cow::Owned(text.into().into_bytes()))
    }

    /// A composed text that holds bytes of the client.
    pub fn bytes(text: Vec<u8>) -> Error {
        Error(Cow::Owned(text))
    }

    /// `ERR wrong number of arguments for '…' command`.
    pub fn arity(name: &str) -> Error {
        Error::text(format!(
            "ERR wrong number of arguments for '{name}' command"
        ))
    }

    /// `ERR invalid expire time in '…' command`.
    pub fn invalid_expire(name: &str) -> Error {
        Error::text(format!("ERR invalid expire time in '{name}' command"))
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<&'static str> for Error {
    fn from(text: &'static str) -> Self {
        Error::new(text)
    }
}
