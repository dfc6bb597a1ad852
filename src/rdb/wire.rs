//! Lengths, strings and numbers: what everything in a file is made of.

use std::io;

use crate::base::lzf::Lzf;
use crate::base::num;

const LEN_14: u8 = 0x40;
const LEN_32: u8 = 0x80;
const LEN_64: u8 = 0x81;
pub(super) const INT_8: u8 = 0xc0;
pub(super) const INT_16: u8 = 0xc1;
pub(super) const INT_32: u8 = 0xc2;
pub(super) const LZF: u8 = 0xc3;

/// Shorter strings are not compressed.
const LZF_MIN: usize = 20;
/// What compressing has to gain.
const LZF_GAIN: usize = 4;
/// Longer texts are no integer of 32 bits.
const INT_TEXT: usize = 11;
/// Strings from this length on go out by themselves instead of through a buffer.
pub const LARGE: usize = 64 * 1024;

/// Takes bytes: a file's writer, or a vector for a payload.
pub trait Sink {
    /// Where bytes are appended.
    fn buf(&mut self) -> &mut Vec<u8>;

    /// To be called now and then: passes on what has gathered in the buffer, if that is much.
    fn spill(&mut self) -> io::Result<()>;

    /// Bytes that are many enough to be passed on without a copy.
    fn put_large(&mut self, bytes: &[u8]) -> io::Result<()>;
}

impl Sink for Vec<u8> {
    fn buf(&mut self) -> &mut Vec<u8> {
        self
    }

    fn spill(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn put_large(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.extend_from_slice(bytes);
        Ok(())
    }
}

pub fn put_len(out: &mut Vec<u8>, len: u64) {
    match len {
        0..0x40 => out.push(len as u8),
        0x40..0x4000 => out.extend_from_slice(&[LEN_14 | (len >> 8) as u8, len as u8]),
        0x4000..=0xffff_ffff => {
            out.push(LEN_32);
            out.extend_from_slice(&(len as u32).to_be_bytes());
        }
        _ => {
            out.push(LEN_64);
            out.extend_from_slice(&len.to_be_bytes());
        }
    }
}

/// A string that is the text of an integer.
pub fn put_int(out: &mut Vec<u8>, n: i64) {
    if let Ok(n) = i8::try_from(n) {
        out.extend_from_slice(&[INT_8, n as u8]);
    } else if let Ok(n) = i16::try_from(n) {
        out.push(INT_16);
        out.extend_from_slice(&n.to_le_bytes());
    } else if let Ok(n) = i32::try_from(n) {
        out.push(INT_32);
        out.extend_from_slice(&n.to_le_bytes());
    } else {
        put_len(out, num::i64_len(n) as u64);
        num::write_i64(out, n);
    }
}

/// How strings are written.
#[derive(Default)]
pub struct Strings {
    /// `rdbcompression`.
    pub lzf: Option<Lzf>,
    scratch: Vec<u8>,
}

impl Strings {
    pub fn new(compress: bool) -> Strings {
        Strings {
            lzf: compress.then(Lzf::default),
            scratch: Vec::new(),
        }
    }

    /// Writes a string in its shortest form.
    pub fn put<S: Sink>(&mut self, sink: &mut S, text: &[u8]) -> io::Result<()> {
        if text.len() <= INT_TEXT
            && let Some(n) = num::parse_i64(text)
            && i32::try_from(n).is_ok()
        {
            put_int(sink.buf(), n);
            return Ok(());
        }
        self.put_text(sink, text)
    }

    /// Writes a string that is known to be no integer, or a blob.
    pub fn put_text<S: Sink>(&mut self, sink: &mut S, text: &[u8]) -> io::Result<()> {
        if text.len() > LZF_MIN
            && let Some(lzf) = &mut self.lzf
        {
            self.scratch.clear();
            let limit = text.len() - LZF_GAIN;
            if let Some(len) = lzf.compress(text, limit, &mut self.scratch) {
                let out = sink.buf();
                out.push(LZF);
                put_len(out, len as u64);
                put_len(out, text.len() as u64);
                return put_bytes(sink, &self.scratch);
            }
        }
        put_len(sink.buf(), text.len() as u64);
        put_bytes(sink, text)
    }
}

fn put_bytes<S: Sink>(sink: &mut S, bytes: &[u8]) -> io::Result<()> {
    if bytes.len() >= LARGE {
        return sink.put_large(bytes);
    }
    sink.buf().extend_from_slice(bytes);
    Ok(())
}

/// The text form that scores had before version 8.
pub fn put_old_double(out: &mut Vec<u8>, value: f64) {
    if value.is_nan() {
        out.push(253);
    } else if value.is_infinite() {
        out.push(if value > 0.0 { 254 } else { 255 });
    } else {
        let mut text = Vec::with_capacity(24);
        num::write_f64(&mut text, value);
        out.push(text.len() as u8);
        out.extend_from_slice(&text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        Strings::new(true).put(&mut out, text).unwrap();
        out
    }

    /// Recorded from DUMP of redis-server 7.0.15 and later, without type and footer.
    #[test]
    fn strings_are_written_as_redis_does() {
        let cases: [(&[u8], &[u8]); 8] = [
            (b"abc", b"\x03abc"),
            (b"5", b"\xc0\x05"),
            (b"-1", b"\xc0\xff"),
            (b"300", b"\xc1\x2c\x01"),
            (b"100000", b"\xc2\xa0\x86\x01\x00"),
            (b"2147483647", b"\xc2\xff\xff\xff\x7f"),
            (b"2147483648", b"\x0a2147483648"),
            (&[b'a'; 20], b"\x14aaaaaaaaaaaaaaaaaaaa"),
        ];
        for (text, bytes) in cases {
            assert_eq!(string(text), bytes, "{}", text.escape_ascii());
        }
        assert_eq!(string(b"007"), b"\x03007");
        assert_eq!(string(&[b'a'; 21])[..3], *b"\xc3\x05\x15");
    }

    #[test]
    fn lengths_take_as_few_bytes_as_they_can() {
        let len = |n| {
            let mut out = Vec::new();
            put_len(&mut out, n);
            out
        };
        assert_eq!(len(63), [63]);
        assert_eq!(len(64), [0x40, 64]);
        assert_eq!(len(16_383), [0x7f, 0xff]);
        assert_eq!(len(16_384), [0x80, 0, 0, 0x40, 0]);
        assert_eq!(len(1 << 32), [0x81, 0, 0, 0, 1, 0, 0, 0, 0]);
    }

    #[test]
    fn old_doubles_are_text() {
        let double = |n| {
            let mut out = Vec::new();
            put_old_double(&mut out, n);
            out
        };
        assert_eq!(double(2.5), b"\x032.5");
        assert_eq!(double(f64::INFINITY), [254]);
        assert_eq!(double(f64::NEG_INFINITY), [255]);
    }
}
