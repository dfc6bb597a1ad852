//! Where bytes come from: a payload in memory, or a file or stream behind a buffer.
//!
//! Nothing here trusts a length: it is compared with what is left where that is known, and otherwise memory grows in
//! steps while bytes really come.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Read};

use super::wire;
use crate::base::crc::Crc64;
use crate::base::lzf;
use crate::base::num;

/// Bytes that a reader asks for at a time.
const CHUNK: usize = 256 * 1024;
/// Strings from this length on are read into memory of their own.
const LARGE: usize = 64 * 1024;
/// The longest string that is taken: what one argument of a command can be.
const STRING_MAX: u64 = 1 << 32;

/// Why reading ended.
#[derive(Debug)]
pub enum Cause {
    Io(io::Error),
    /// The input ends in the middle.
    Short,
    /// The bytes make no sense.
    Bad(Cow<'static, str>),
    /// They do, but this server has no use for them: what the file is or holds.
    Unsupported(String),
    /// The same, as a sentence of Redis' own.
    Refused(String),
    /// Somebody wanted the reading to end.
    Stopped,
}

/// A failure and the place of it.
#[derive(Debug)]
pub struct Fault {
    pub cause: Cause,
    /// Bytes from the begin of the input.
    pub offset: u64,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Io(error) => write!(f, "cannot be read: {error}"),
            Cause::Short => write!(f, "ends too early"),
            Cause::Bad(what) => write!(f, "is damaged: {what}"),
            Cause::Unsupported(what) | Cause::Refused(what) => write!(f, "{what}"),
            Cause::Stopped => write!(f, "was given up"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at offset {})", self.cause, self.offset)
    }
}

impl std::error::Error for Fault {}

/// A string as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Str<'a> {
    Bytes(&'a [u8]),
    Int(i64),
}

impl Str<'_> {
    #[inline]
    pub fn with_bytes<R>(&self, f: impl FnOnce(&[u8]) -> R) -> R {
        match self {
            Str::Bytes(bytes) => f(bytes),
            Str::Int(n) => f(itoa::Buffer::new().format(*n).as_bytes()),
        }
    }

    pub fn to_vec(&self) -> Vec<u8> {
        self.with_bytes(<[u8]>::to_vec)
    }
}

/// The first part of a string: what it is, before its bytes are there.
pub enum StrHead {
    Plain(usize),
    Int(i64),
    Lzf { packed: usize, plain: usize },
}

/// Bytes one after the other.
pub trait Source {
    /// The next `len` bytes.
    fn grab(&mut self, len: usize) -> Result<&[u8], Fault>;

    /// The next `len` bytes, which are many, in memory of their own.
    fn take_vec(&mut self, len: usize) -> Result<Vec<u8>, Fault>;

    /// Bytes taken so far.
    fn offset(&self) -> u64;

    /// The most bytes that can still come.
    fn left(&self) -> u64;

    fn fault(&self, cause: Cause) -> Fault {
        Fault {
            cause,
            offset: self.offset(),
        }
    }

    fn bad(&self, what: &'static str) -> Fault {
        self.fault(Cause::Bad(Cow::Borrowed(what)))
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, Fault> {
        Ok(self.grab(1)?[0])
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut out = [0; N];
        out.copy_from_slice(self.grab(N)?);
        Ok(out)
    }

    /// A length, or the code of another encoding: `Err(code)`.
    #[inline]
    fn len_or_code(&mut self) -> Result<Result<u64, u8>, Fault> {
        let first = self.byte()?;
        Ok(match first {
            0..0x40 => Ok(u64::from(first)),
            0x40..0x80 => Ok(u64::from(first & 0x3f) << 8 | u64::from(self.byte()?)),
            0x80 => Ok(u64::from(u32::from_be_bytes(self.array()?))),
            0x81 => Ok(u64::from_be_bytes(self.array()?)),
            0xc0.. => Err(first),
            _ => return Err(self.bad("no length begins with this byte")),
        })
    }

    fn len(&mut self) -> Result<u64, Fault> {
        match self.len_or_code()? {
            Ok(len) => Ok(len),
            Err(_) => Err(self.bad("a string stands where a length should")),
        }
    }

    /// The number of things that follow, of which each takes `each` bytes at least.
    fn count(&mut self, each: u64) -> Result<u64, Fault> {
        let count = self.len()?;
        if count > self.left() / each.max(1) {
            return Err(self.bad("more elements are announced than can be there"));
        }
        Ok(count)
    }

    #[inline]
    fn string_head(&mut self) -> Result<StrHead, Fault> {
        let head = match self.len_or_code()? {
            Ok(len) => StrHead::Plain(self.fitting(len)?),
            Err(wire::INT_8) => StrHead::Int(i64::from(self.byte()? as i8)),
            Err(wire::INT_16) => StrHead::Int(i64::from(i16::from_le_bytes(self.array()?))),
            Err(wire::INT_32) => StrHead::Int(i64::from(i32::from_le_bytes(self.array()?))),
            Err(wire::LZF) => {
                let packed = self.len()?;
                let packed = self.fitting(packed)?;
                let plain = self.len()?;
                let most = (packed as u64).saturating_mul(lzf::MAX_RATIO as u64);
                if plain > most.min(STRING_MAX) {
                    return Err(self.bad("a compressed string cannot be that long"));
                }
                StrHead::Lzf {
                    packed,
                    plain: plain as usize,
                }
            }
            Err(_) => return Err(self.bad("unknown encoding of a string")),
        };
        Ok(head)
    }

    #[inline]
    fn fitting(&self, len: u64) -> Result<usize, Fault> {
        if len > self.left() {
            return Err(self.fault(Cause::Short));
        }
        if len > STRING_MAX {
            return Err(self.bad("a string cannot be that long"));
        }
        Ok(len as usize)
    }

    /// A string; `scratch` holds one that was compressed.
    #[inline]
    fn string<'s>(&'s mut self, scratch: &'s mut Vec<u8>) -> Result<Str<'s>, Fault> {
        Ok(match self.string_head()? {
            StrHead::Plain(len) => Str::Bytes(self.grab(len)?),
            StrHead::Int(n) => Str::Int(n),
            StrHead::Lzf { packed, plain } => {
                scratch.clear();
                self.inflate(packed, plain, scratch)?;
                Str::Bytes(scratch)
            }
        })
    }

    fn inflate(&mut self, packed: usize, plain: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
        let done = lzf::decompress(self.grab(packed)?, plain, out);
        done.ok_or_else(|| self.bad("a compressed string cannot be expanded"))
    }

    /// A string in memory of its own, without a second copy where it is long.
    fn string_vec(&mut self) -> Result<Vec<u8>, Fault> {
        match self.string_head()? {
            StrHead::Plain(len) if len >= LARGE => self.take_vec(len),
            StrHead::Plain(len) => Ok(self.grab(len)?.to_vec()),
            StrHead::Int(n) => {
                let mut text = Vec::new();
                num::write_i64(&mut text, n);
                Ok(text)
            }
            StrHead::Lzf { packed, plain } => {
                let mut out = Vec::new();
                self.inflate(packed, plain, &mut out)?;
                Ok(out)
            }
        }
    }

    /// Passes over a string.
    fn skip_string(&mut self) -> Result<(), Fault> {
        let mut len = match self.string_head()? {
            StrHead::Plain(len) => len,
            StrHead::Int(_) => 0,
            StrHead::Lzf { packed, .. } => packed,
        };
        while len > 0 {
            let step = len.min(LARGE);
            self.grab(step)?;
            len -= step;
        }
        Ok(())
    }

    /// A score as it was before version 8.
    fn old_double(&mut self) -> Result<f64, Fault> {
        match self.byte()? {
            253 => Ok(f64::NAN),
            254 => Ok(f64::INFINITY),
            255 => Ok(f64::NEG_INFINITY),
            len => {
                let value = num::parse_f64(self.grab(len as usize)?);
                value.ok_or_else(|| self.bad("a score is not a number"))
            }
        }
    }
}

/// A payload in memory.
pub struct Bytes<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bytes<'a> {
    pub fn new(bytes: &'a [u8]) -> Bytes<'a> {
        Bytes { bytes, at: 0 }
    }

    /// From `at` on, which is also where offsets go on.
    pub fn starting(bytes: &'a [u8], at: usize) -> Bytes<'a> {
        let at = at.min(bytes.len());
        Bytes { bytes, at }
    }

    /// Bytes taken so far.
    pub fn at(&self) -> usize {
        self.at
    }
}

impl Source for Bytes<'_> {
    #[inline]
    fn grab(&mut self, len: usize) -> Result<&[u8], Fault> {
        let end = self
            .at
            .checked_add(len)
            .filter(|end| *end <= self.bytes.len());
        let Some(end) = end else {
            return Err(self.fault(Cause::Short));
        };
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn take_vec(&mut self, len: usize) -> Result<Vec<u8>, Fault> {
        self.grab(len).map(<[u8]>::to_vec)
    }

    fn offset(&self) -> u64 {
        self.at as u64
    }

    fn left(&self) -> u64 {
        (self.bytes.len() - self.at) as u64
    }
}

/// A file or stream behind a buffer, with a checksum of everything that was taken.
pub struct Reader<R> {
    input: R,
    buf: Vec<u8>,
    /// What was taken, and what was read, of the buffer.
    at: usize,
    end: usize,
    /// Offset of the buffer's first byte.
    base: u64,
    /// Bytes of the whole input, if known.
    size: Option<u64>,
    crc: Crc64,
    /// Bytes of the buffer that `crc` has seen.
    summed: usize,
    sums: bool,
}

impl<R: Read> Reader<R> {
    /// `size`: bytes of the whole input, where that is known.
    pub fn new(input: R, size: Option<u64>) -> Reader<R> {
        let room = size.map_or(CHUNK, |size| size.min(CHUNK as u64) as usize);
        Reader {
            input,
            buf: vec![0; room],
            at: 0,
            end: 0,
            base: 0,
            size,
            crc: Crc64::default(),
            summed: 0,
            sums: true,
        }
    }

    /// Computes no checksum from here on.
    pub fn without_checksum(&mut self) {
        self.sums = false;
    }

    /// The checksum of all bytes that were taken.
    pub fn checksum(&mut self) -> u64 {
        self.sum_up();
        self.crc.value()
    }

    fn sum_up(&mut self) {
        if self.sums && self.at > self.summed {
            self.crc.update(&self.buf[self.summed..self.at]);
        }
        self.summed = self.at;
    }

    /// Shows the bytes that come next without taking them: fewer than `len` at the end of the input.
    pub fn peek(&mut self, len: usize) -> io::Result<&[u8]> {
        match self.fill(len) {
            Ok(()) => {}
            Err(Fault {
                cause: Cause::Io(error),
                ..
            }) => return Err(error),
            Err(_) => {}
        }
        Ok(&self.buf[self.at..self.end.min(self.at + len)])
    }

    /// Makes `len` bytes come to stand together in the buffer.
    #[cold]
    fn fill(&mut self, len: usize) -> Result<(), Fault> {
        self.sum_up();
        self.buf.copy_within(self.at..self.end, 0);
        self.base += self.at as u64;
        self.end -= self.at;
        (self.at, self.summed) = (0, 0);
        if self.buf.len() > 4 * CHUNK && len <= CHUNK && self.end <= CHUNK {
            self.buf.truncate(CHUNK);
            self.buf.shrink_to_fit();
        }
        while self.end < len {
            if self.buf.len() < self.end + CHUNK {
                let room = (2 * self.buf.len()).min(len + CHUNK).max(self.end + CHUNK);
                self.buf.resize(room, 0);
            }
            let read = self.read_some()?;
            if read == 0 {
                return Err(self.fault(Cause::Short));
            }
        }
        Ok(())
    }

    fn read_some(&mut self) -> Result<usize, Fault> {
        loop {
            match self.input.read(&mut self.buf[self.end..]) {
                Ok(read) => {
                    self.end += read;
                    return Ok(read);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.fault(Cause::Io(error))),
            }
        }
    }
}

impl<R: Read> Source for Reader<R> {
    #[inline]
    fn grab(&mut self, len: usize) -> Result<&[u8], Fault> {
        if self.end - self.at < len {
            self.fill(len)?;
        }
        let taken = &self.buf[self.at..self.at + len];
        self.at += len;
        Ok(taken)
    }

    fn take_vec(&mut self, len: usize) -> Result<Vec<u8>, Fault> {
        let ready = len.min(self.end - self.at);
        let mut out = self.grab(ready)?.to_vec();
        self.sum_up();
        while out.len() < len {
            let from = out.len();
            // Twice what has really come, no more.
            let room = (len - from).min(from.max(CHUNK));
            out.resize(from + room, 0);
            let mut filled = from;
            while filled < out.len() {
                match self.input.read(&mut out[filled..]) {
                    Ok(0) => return Err(self.fault(Cause::Short)),
                    Ok(read) => filled += read,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(self.fault(Cause::Io(error))),
                }
            }
            if self.sums {
                self.crc.update(&out[from..]);
            }
            self.base += room as u64;
        }
        Ok(out)
    }

    #[inline]
    fn offset(&self) -> u64 {
        self.base + self.at as u64
    }

    #[inline]
    fn left(&self) -> u64 {
        self.size
            .map_or(u64::MAX, |size| size.saturating_sub(self.offset()))
    }
}

/// What comes behind an RDB in the same input: the commands of an AOF.
impl<R: Read> Read for Reader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.at == self.end {
            self.sum_up();
            self.base += self.at as u64;
            (self.at, self.end, self.summed) = (0, 0, 0);
            let read = self.input.read(out)?;
            self.base += read as u64;
            return Ok(read);
        }
        let len = out.len().min(self.end - self.at);
        out[..len].copy_from_slice(&self.buf[self.at..self.at + len]);
        self.at += len;
        Ok(len)
    }
}
