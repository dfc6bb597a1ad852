//! A string value as commands read it.

use std::ops::Deref;

use crate::resp::reply::Reply;
use crate::value::entry::{BigRef, Payload};

/// Decimal text of an integer.
#[derive(Clone, Copy)]
pub struct Digits {
    text: [u8; 20],
    len: u8,
}

impl Digits {
    pub fn new(n: i64) -> Digits {
        let mut buf = itoa::Buffer::new();
        let digits = buf.format(n).as_bytes();
        let mut text = [0; 20];
        text[..digits.len()].copy_from_slice(digits);
        Digits {
            text,
            len: digits.len() as u8,
        }
    }
}

/// A string value, borrowed: dereferences to its bytes.
pub enum Text<'a> {
    Int(i64, Digits),
    Bytes(&'a [u8]),
    Big(BigRef<'a>),
}

impl<'a> Text<'a> {
    /// The string that a payload holds; `None` for other types.
    #[inline]
    pub fn of(payload: Payload<'a>) -> Option<Text<'a>> {
        match payload {
            Payload::Int(n) => Some(Text::Int(n, Digits::new(n))),
            Payload::Str(bytes) | Payload::Raw(bytes) => Some(Text::Bytes(bytes)),
            Payload::Big(big) => Some(Text::Big(big)),
            Payload::None => Some(Text::Bytes(b"")),
            Payload::Packed(_) | Payload::Obj(_) => None,
        }
    }

    /// Writes the string as a bulk reply; large ones are shared, not copied.
    #[inline]
    pub fn reply(&self, out: &mut Reply) {
        match self {
            Text::Big(big) => out.bulk_shared(big.to_arc()),
            other => out.bulk(other),
        }
    }
}

impl Deref for Text<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Text::Int(_, digits) => &digits.text[..digits.len as usize],
            Text::Bytes(bytes) => bytes,
            Text::Big(big) => big.bytes(),
        }
    }
}
