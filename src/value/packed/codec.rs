//! The bytes of one packed element: how a byte string is classified, encoded, measured and decoded.
//!
//! The encoding is that of a listpack entry in Redis' files, without (or with) its trailing `backlen`.
//! Blobs in memory are **canonical**: a text that is a decimal 64-bit integer is stored as an integer,
//! and integers and lengths use the narrowest form. Two elements are therefore equal exactly when
//! their encodings are, which is what makes searching cheap.

use crate::base::num;
use std::borrow::Cow;

/// Longest text of an `i64`.
pub const INT_TEXT: usize = 20;
/// The longest string one element can hold.
pub const MAX_STRING: usize = u32::MAX as usize - 16;

/// One element as stored: a string, or an integer that stands for its decimal text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elem<'a> {
    Str(&'a [u8]),
    Int(i64),
}

impl<'a> Elem<'a> {
    /// Appends the text of the element.
    #[inline]
    pub fn write_to(&self, out: &mut Vec<u8>) {
        match *self {
            Elem::Str(s) => out.extend_from_slice(s),
            Elem::Int(n) => num::write_i64(out, n),
        }
    }

    /// The length of the element's text.
    #[inline]
    pub fn len_text(&self) -> usize {
        match *self {
            Elem::Str(s) => s.len(),
            Elem::Int(n) => num::i64_len(n),
        }
    }

    /// Whether the element's text is `needle`.
    #[inline]
    pub fn eq_bytes(&self, needle: &[u8]) -> bool {
        match *self {
            Elem::Str(s) => s == needle,
            Elem::Int(n) => needle.len() <= INT_TEXT && num::parse_i64(needle) == Some(n),
        }
    }

    /// Calls `f` with the text; integers are printed on the stack.
    #[inline]
    pub fn with_bytes<R>(&self, f: impl FnOnce(&[u8]) -> R) -> R {
        match *self {
            Elem::Str(s) => f(s),
            Elem::Int(n) => f(itoa::Buffer::new().format(n).as_bytes()),
        }
    }

    /// The text, borrowed when it is stored as text.
    pub fn as_cow(&self) -> Cow<'a, [u8]> {
        match *self {
            Elem::Str(s) => Cow::Borrowed(s),
            Elem::Int(n) => Cow::Owned(itoa::Buffer::new().format(n).as_bytes().to_vec()),
        }
    }

    /// The text as an owned vector.
    pub fn to_vec(&self) -> Vec<u8> {
        self.as_cow().into_owned()
    }

    /// The element as an integer, if its text is one.
    #[inline]
    pub fn as_i64(&self) -> Option<i64> {
        match *self {
            Elem::Int(n) => Some(n),
            // Canonical blobs never hold integer text as a string.
            Elem::Str(_) => None,
        }
    }
}

/// A byte string classified and encoded once, for inserting it or for searching it.
#[derive(Clone, Copy, Debug)]
pub struct Needle<'a> {
    head: [u8; 9],
    head_len: u8,
    body: &'a [u8],
}

impl<'a> Needle<'a> {
    /// Classifies `text`. Panics beyond [`MAX_STRING`] bytes: the owner keeps such values elsewhere.
    #[inline]
    pub fn new(text: &'a [u8]) -> Self {
        if text.len() <= INT_TEXT
            && let Some(n) = num::parse_i64(text)
        {
            return Self::int(n);
        }
        Self::str(text)
    }

    /// The encoding of an element that was read from a blob.
    #[inline]
    pub fn of(elem: Elem<'a>) -> Self {
        match elem {
            Elem::Str(s) => Self::str(s),
            Elem::Int(n) => Self::int(n),
        }
    }

    /// The encoding that this module gives to an element of unknown origin.
    pub(super) fn canonical(elem: Elem<'a>) -> Self {
        match elem {
            Elem::Str(s) => Self::new(s),
            Elem::Int(n) => Self::int(n),
        }
    }

    /// A string that is known not to be integer text.
    #[inline]
    fn str(body: &'a [u8]) -> Self {
        let len = body.len();
        assert!(len <= MAX_STRING, "a packed element is too long");
        let mut head = [0u8; 9];
        let head_len = if len < 64 {
            head[0] = 0x80 | len as u8;
            1
        } else if len < 4096 {
            head[0] = 0xE0 | (len >> 8) as u8;
            head[1] = len as u8;
            2
        } else {
            head[0] = 0xF0;
            head[1..5].copy_from_slice(&(len as u32).to_le_bytes());
            5
        };
        Self {
            head,
            head_len,
            body,
        }
    }

    /// The integer `n`.
    #[inline]
    pub fn int(n: i64) -> Self {
        let mut head = [0u8; 9];
        let head_len = if (0..=127).contains(&n) {
            head[0] = n as u8;
            1
        } else if (-4096..=4095).contains(&n) {
            let bits = (n & 0x1FFF) as u16;
            head[0] = 0xC0 | (bits >> 8) as u8;
            head[1] = bits as u8;
            2
        } else {
            head[1..9].copy_from_slice(&n.to_le_bytes());
            let (first, len) = if n == i64::from(n as i16) {
                (0xF1, 3)
            } else if (-(1 << 23)..1 << 23).contains(&n) {
                (0xF2, 4)
            } else if n == i64::from(n as i32) {
                (0xF3, 5)
            } else {
                (0xF4, 9)
            };
            head[0] = first;
            len
        };
        Self {
            head,
            head_len,
            body: &[],
        }
    }

    /// Bytes of encoding and data, without backlen.
    #[inline]
    pub fn encoded_len(&self) -> usize {
        self.head_len as usize + self.body.len()
    }

    /// Whether the blob that starts at an element's first byte starts with this very element.
    #[inline]
    pub fn matches(&self, at: &[u8]) -> bool {
        if at[0] != self.head[0] {
            return false;
        }
        let head_len = self.head_len as usize;
        let len = head_len + self.body.len();
        let Some(at) = at.get(..len) else {
            return false;
        };
        // Names that share a prefix mostly differ in their last byte: look there before calling out.
        if let Some(last) = self.body.last()
            && at[len - 1] != *last
        {
            return false;
        }
        (head_len == 1 || at[1..head_len] == self.head[1..head_len]) && at[head_len..] == *self.body
    }

    /// Writes encoding and data into the first [`encoded_len`](Self::encoded_len) bytes of `out`.
    #[inline]
    pub fn write_into(&self, out: &mut [u8]) {
        let (head, body) = out.split_at_mut(self.head_len as usize);
        head.copy_from_slice(&self.head[..self.head_len as usize]);
        body[..self.body.len()].copy_from_slice(self.body);
    }

    /// Appends encoding and data.
    #[inline]
    pub fn append_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head[..self.head_len as usize]);
        out.extend_from_slice(self.body);
    }
}

/// The length of encoding and data of the trusted element that starts `at`.
#[inline(always)]
pub fn encoded_len(at: &[u8]) -> usize {
    let first = at[0];
    if first < 0xC0 {
        // 7-bit integer, or string of up to 63 bytes: no branch between the two.
        let mask = 0u8.wrapping_sub(first >> 7) & 0x3F;
        1 + (first & mask) as usize
    } else {
        encoded_len_wide(at)
    }
}

#[inline]
fn encoded_len_wide(at: &[u8]) -> usize {
    match at[0] {
        0xC0..=0xDF => 2,
        first @ 0xE0..=0xEF => 2 + ((first as usize & 0x0F) << 8 | at[1] as usize),
        0xF0 => 5 + u32_le(&at[1..5]) as usize,
        0xF1 => 3,
        0xF2 => 4,
        0xF3 => 5,
        first => {
            debug_assert_eq!(first, 0xF4, "unknown packed encoding");
            9
        }
    }
}

/// Decodes the trusted element that starts `at`; returns it and the length of encoding and data.
#[inline(always)]
pub fn decode(at: &[u8]) -> (Elem<'_>, usize) {
    let first = at[0];
    if first & 0xC0 == 0x80 {
        let len = 1 + (first & 0x3F) as usize;
        (Elem::Str(&at[1..len]), len)
    } else if first < 0x80 {
        (Elem::Int(first as i64), 1)
    } else {
        decode_wide(at)
    }
}

#[inline]
fn decode_wide(at: &[u8]) -> (Elem<'_>, usize) {
    let first = at[0];
    match first {
        0xC0..=0xDF => {
            let bits = (first as i64 & 0x1F) << 8 | at[1] as i64;
            (Elem::Int(bits << 51 >> 51), 2)
        }
        0xE0..=0xEF => {
            let len = (first as usize & 0x0F) << 8 | at[1] as usize;
            (Elem::Str(&at[2..2 + len]), 2 + len)
        }
        0xF0 => {
            let len = u32_le(&at[1..5]) as usize;
            (Elem::Str(&at[5..5 + len]), 5 + len)
        }
        0xF1 => (Elem::Int(int_le(&at[1..3])), 3),
        0xF2 => (Elem::Int(int_le(&at[1..4])), 4),
        0xF3 => (Elem::Int(int_le(&at[1..5])), 5),
        _ => {
            debug_assert_eq!(first, 0xF4, "unknown packed encoding");
            (Elem::Int(int_le(&at[1..9])), 9)
        }
    }
}

/// Decodes an element of unknown origin. `None` when it is malformed or does not fit.
pub fn decode_checked(at: &[u8]) -> Option<(Elem<'_>, usize)> {
    let need = match *at.first()? {
        first @ 0..=0xBF => {
            1 + if first >= 0x80 {
                (first & 0x3F) as usize
            } else {
                0
            }
        }
        0xC0..=0xDF => 2,
        first @ 0xE0..=0xEF => 2 + ((first as usize & 0x0F) << 8 | *at.get(1)? as usize),
        0xF0 => 5usize.checked_add(u32_le(at.get(1..5)?) as usize)?,
        0xF1 => 3,
        0xF2 => 4,
        0xF3 => 5,
        0xF4 => 9,
        _ => return None,
    };
    if need > at.len() || need > MAX_STRING {
        return None;
    }
    Some(decode(at))
}

#[inline]
fn u32_le(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// Sign-extends up to eight little-endian bytes.
#[inline]
fn int_le(bytes: &[u8]) -> i64 {
    let mut wide = [0u8; 8];
    wide[8 - bytes.len()..].copy_from_slice(bytes);
    i64::from_le_bytes(wide) >> (64 - 8 * bytes.len() as u32)
}

/// How many bytes the backlen of an element of `len` encoded bytes takes. The limits are one less than
/// seven bits a byte would allow: Redis up to 8.2 wrote them so, and checks for it.
#[inline]
pub fn backlen_size(len: usize) -> usize {
    match len {
        0..=127 => 1,
        128..=16_382 => 2,
        16_383..=2_097_150 => 3,
        2_097_151..=268_435_454 => 4,
        _ => 5,
    }
}

/// Writes the backlen of an element of `len` encoded bytes into all of `out`, whose length is its size.
#[inline]
pub fn write_backlen(len: usize, out: &mut [u8]) {
    let mut rest = len;
    for (i, byte) in out.iter_mut().enumerate().rev() {
        *byte = (rest & 0x7F) as u8 | if i == 0 { 0 } else { 0x80 };
        rest >>= 7;
    }
    debug_assert_eq!(rest, 0);
}

/// Reads the backlen that ends a trusted blob; returns the element's encoded length and the backlen's size.
#[inline]
pub fn read_backlen(blob: &[u8]) -> (usize, usize) {
    let last = blob[blob.len() - 1];
    if last < 0x80 {
        return (last as usize, 1);
    }
    let mut len = 0usize;
    for (i, &byte) in blob.iter().rev().take(5).enumerate() {
        len |= ((byte & 0x7F) as usize) << (7 * i);
        if byte < 0x80 {
            return (len, i + 1);
        }
    }
    unreachable!("backlen of a packed blob is damaged");
}

/// The size of the backlen at the start of `at` if it is a right one for `len` in either of the two
/// ways in which servers choose its size.
pub fn check_backlen(at: &[u8], len: usize) -> Option<usize> {
    let ours = backlen_size(len);
    let theirs = match len {
        16_383 | 2_097_151 | 268_435_455 => ours - 1,
        _ => ours,
    };
    [ours, theirs].into_iter().find(|&size| {
        let mut want = [0u8; 5];
        write_backlen(len, &mut want[..size]);
        at.get(..size) == Some(&want[..size])
    })
}
