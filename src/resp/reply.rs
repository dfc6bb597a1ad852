//! The reply writer: one buffer per client, in the shape of the client's protocol version.
//!
//! Small pieces are written straight into a byte buffer. Large strings are queued as shared
//! buffers ([`Chunk::Shared`]) and reach the socket without a copy.

use std::sync::Arc;

use crate::base::num;

/// Strings from this many bytes on are shared with the socket writer instead of copied.
pub const SHARE_MIN: usize = 16 * 1024;

/// Buffers of fewer bytes are worth keeping for the next pushes.
const SEAL_MIN: usize = 2 * 1024;

/// Bytes around a bulk string: `$`, up to 20 digits, two line ends.
const BULK_FRAME: usize = 25;

/// A piece of output.
#[derive(Clone, Debug)]
pub enum Chunk {
    Owned(Vec<u8>),
    Shared(Arc<Vec<u8>>),
}

impl Chunk {
    pub fn bytes(&self) -> &[u8] {
        match self {
            Chunk::Owned(bytes) => bytes,
            Chunk::Shared(bytes) => bytes,
        }
    }
}

/// Where a reply of yet unknown length began; see [`Reply::defer`].
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    chunks: usize,
    at: usize,
}

/// Kinds of aggregate whose length may be written late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregate {
    Array,
    Set,
    /// Length counts pairs.
    Map,
    Push,
}

/// Replies of one client, in order.
#[derive(Debug)]
pub struct Reply {
    chunks: Vec<Chunk>,
    /// Bytes in `chunks`.
    chunked: usize,
    buf: Vec<u8>,
    resp3: bool,
    /// First word of every error line written since the last [`Reply::take_errors`].
    errors: Vec<String>,
    /// Bytes that may wait; what is written beyond is dropped together with all before it.
    cap: usize,
    /// The cap was exceeded.
    over: bool,
}

impl Default for Reply {
    fn default() -> Reply {
        Reply {
            chunks: Vec::new(),
            chunked: 0,
            buf: Vec::new(),
            resp3: false,
            errors: Vec::new(),
            cap: usize::MAX,
            over: false,
        }
    }
}

impl Reply {
    pub fn new() -> Reply {
        Reply::default()
    }

    pub fn resp3(&self) -> bool {
        self.resp3
    }

    pub fn set_resp3(&mut self, on: bool) {
        self.resp3 = on;
    }

    /// Bytes waiting.
    pub fn len(&self) -> usize {
        self.chunked + self.buf.len()
    }

    /// Sets how many bytes may wait: the output limit of the client. A reply that grows beyond it
    /// takes no more memory; its client has to be ended.
    pub fn set_cap(&mut self, cap: usize) {
        self.cap = cap;
    }

    /// Whether there is a cap, so that even an endless reply takes bounded memory.
    pub fn is_capped(&self) -> bool {
        self.cap != usize::MAX
    }

    /// Whether replies were dropped because of the cap. Long loops look at it to stop early.
    #[inline]
    pub fn is_over(&self) -> bool {
        self.over
    }

    #[inline]
    fn check_cap(&mut self) {
        if self.len() >= self.cap {
            self.spill();
        }
    }

    #[cold]
    fn spill(&mut self) {
        self.over = true;
        self.chunks.clear();
        self.chunked = 0;
        self.buf.clear();
    }

    /// Bytes that the present buffer can hold.
    pub fn capacity(&self) -> usize {
        self.buf.capacity()
    }

    pub fn is_empty(&self) -> bool {
        self.buf.is_empty() && self.chunks.is_empty()
    }

    /// Frees the buffer if nothing is in it.
    pub fn give_up_buffer(&mut self) {
        if self.is_empty() {
            (self.buf, self.chunks) = (Vec::new(), Vec::new());
        }
    }

    /// What comes goes to this empty buffer. There must be none.
    pub fn give_buffer(&mut self, spare: Vec<u8>) {
        debug_assert!(spare.is_empty() && self.buf.is_empty());
        self.buf = spare;
    }

    /// Takes everything written so far.
    pub fn take(&mut self) -> (Vec<Chunk>, Vec<u8>) {
        self.chunked = 0;
        (
            std::mem::take(&mut self.chunks),
            std::mem::take(&mut self.buf),
        )
    }

    /// Takes off what is behind the first `at` bytes.
    pub fn split_off(&mut self, at: usize) -> Vec<Chunk> {
        let (mut skip, mut later) = (at, Vec::new());
        let (chunks, last) = self.take();
        for chunk in chunks.into_iter().chain([Chunk::Owned(last)]) {
            let bytes = chunk.bytes();
            if skip >= bytes.len() {
                skip -= bytes.len();
                self.append([chunk]);
            } else if skip == 0 {
                later.push(chunk);
            } else {
                later.push(Chunk::Owned(bytes[skip..].to_vec()));
                self.append([Chunk::Owned(bytes[..skip].to_vec())]);
                skip = 0;
            }
        }
        later
    }

    /// Puts pieces behind what was written so far.
    pub fn append(&mut self, pieces: impl IntoIterator<Item = Chunk>) {
        for piece in pieces {
            match piece {
                Chunk::Owned(bytes) if self.buf.is_empty() => self.buf = bytes,
                Chunk::Owned(bytes) => self.buf.extend_from_slice(&bytes),
                Chunk::Shared(bytes) => self.raw_shared(bytes),
            }
        }
    }

    /// The error codes written since the last call (`ERR`, `WRONGTYPE`, …), for statistics.
    pub fn take_errors(&mut self) -> Vec<String> {
        std::mem::take(&mut self.errors)
    }

    pub fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    /// The present end, to cut back to with [`Reply::truncate`].
    pub fn mark(&self) -> Mark {
        Mark {
            chunks: self.chunks.len(),
            at: self.buf.len(),
        }
    }

    /// Forgets what was written since `mark` (`CLIENT REPLY OFF`).
    pub fn truncate(&mut self, mark: Mark) {
        if mark.chunks < self.chunks.len() {
            let mut rest = self.chunks.drain(mark.chunks..);
            if let Some(Chunk::Owned(first)) = rest.next() {
                drop(rest);
                self.buf = first;
            } else {
                drop(rest);
                self.buf.clear();
            }
        }
        self.buf.truncate(mark.at);
        self.chunked = self.chunks.iter().map(|c| c.bytes().len()).sum();
    }

    #[inline]
    fn line(&mut self, kind: u8, n: i64) {
        self.check_cap();
        self.buf.push(kind);
        num::write_i64(&mut self.buf, n);
        self.buf.extend_from_slice(b"\r\n");
    }

    /// Bytes that are already in wire form.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
    }

    /// As [`Reply::raw`], for what many clients get: nothing is copied.
    pub fn raw_shared(&mut self, bytes: Arc<Vec<u8>>) {
        if !self.buf.is_empty() {
            self.chunked += self.buf.len();
            self.chunks
                .push(Chunk::Owned(std::mem::take(&mut self.buf)));
        }
        self.chunked += bytes.len();
        self.chunks.push(Chunk::Shared(bytes));
    }

    /// What was written so far is large and will not come again soon: its buffer goes with it.
    pub fn seal(&mut self) {
        if self.buf.capacity() > SEAL_MIN && !self.buf.is_empty() {
            let buf = std::mem::take(&mut self.buf);
            self.raw_shared(Arc::new(buf));
        }
    }

    #[inline]
    pub fn ok(&mut self) {
        self.buf.extend_from_slice(b"+OK\r\n");
    }

    /// A status line. `text` must not hold CR or LF.
    pub fn simple(&mut self, text: &str) {
        debug_assert!(!text.contains(['\r', '\n']));
        self.buf.push(b'+');
        self.buf.extend_from_slice(text.as_bytes());
        self.buf.extend_from_slice(b"\r\n");
    }

    /// An error line; `text` begins with its code (`ERR …`). CR, LF and NUL become spaces.
    pub fn error(&mut self, text: impl AsRef<[u8]>) {
        let text = text.as_ref();
        let code = text.split(|&b| b == b' ').next().unwrap_or_default();
        self.errors.push(String::from_utf8_lossy(code).into_owned());
        self.buf.push(b'-');
        self.clean(text);
    }

    /// An error that has been counted where it happened: the call failed, but counts no second time.
    pub fn error_counted(&mut self, text: impl AsRef<[u8]>) {
        let before = self.errors.len();
        self.error(text);
        self.errors.truncate(before);
        self.errors.push(String::new());
    }

    /// A status line of any bytes. CR, LF and NUL become spaces.
    pub fn status(&mut self, text: &[u8]) {
        self.buf.push(b'+');
        self.clean(text);
    }

    /// A number of any length as its digits; a bulk string in RESP2.
    pub fn big_number(&mut self, digits: &[u8]) {
        if self.resp3 {
            self.buf.push(b'(');
            self.clean(digits);
        } else {
            let text: Vec<u8> = digits.iter().map(|&b| one_line(b)).collect();
            self.bulk(&text);
        }
    }

    /// The rest of a line, without what would end it.
    fn clean(&mut self, text: &[u8]) {
        self.buf.extend(text.iter().map(|&b| one_line(b)));
        self.buf.extend_from_slice(b"\r\n");
    }

    #[inline]
    pub fn int(&mut self, n: i64) {
        match n {
            0 => self.buf.extend_from_slice(b":0\r\n"),
            1 => self.buf.extend_from_slice(b":1\r\n"),
            _ => self.line(b':', n),
        }
    }

    /// A count or length as an integer reply.
    #[inline]
    pub fn count(&mut self, n: usize) {
        self.int(i64::try_from(n).unwrap_or(i64::MAX));
    }

    #[inline]
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.check_cap();
        self.reserve_bulks(1, bytes.len());
        self.bulk_header(bytes.len());
        self.buf.extend_from_slice(bytes);
        self.buf.extend_from_slice(b"\r\n");
    }

    /// Makes room for bulk strings that hold `bytes` in all, where many follow.
    #[inline]
    pub fn reserve_bulks(&mut self, count: usize, bytes: usize) {
        self.buf
            .reserve(count.saturating_mul(BULK_FRAME).saturating_add(bytes));
    }

    /// Most lengths have one or two digits, which need no general formatting.
    #[inline]
    fn bulk_header(&mut self, len: usize) {
        match len {
            0..10 => self
                .buf
                .extend_from_slice(&[b'$', b'0' + len as u8, b'\r', b'\n']),
            10..100 => {
                let (tens, ones) = (b'0' + (len / 10) as u8, b'0' + (len % 10) as u8);
                self.buf
                    .extend_from_slice(&[b'$', tens, ones, b'\r', b'\n']);
            }
            _ => self.line(b'$', len as i64),
        }
    }

    /// A bulk string that is not copied when it is large.
    pub fn bulk_shared(&mut self, bytes: Arc<Vec<u8>>) {
        if bytes.len() < SHARE_MIN {
            return self.bulk(&bytes);
        }
        self.line(b'$', bytes.len() as i64);
        self.chunked += self.buf.len() + bytes.len();
        self.chunks
            .push(Chunk::Owned(std::mem::take(&mut self.buf)));
        self.chunks.push(Chunk::Shared(bytes));
        self.buf.extend_from_slice(b"\r\n");
    }

    /// An integer as a bulk string.
    #[inline]
    pub fn bulk_int(&mut self, n: i64) {
        let mut text = itoa::Buffer::new();
        self.bulk(text.format(n).as_bytes());
    }

    #[inline]
    pub fn null(&mut self) {
        self.buf
            .extend_from_slice(if self.resp3 { b"_\r\n" } else { b"$-1\r\n" });
    }

    pub fn null_array(&mut self) {
        self.buf
            .extend_from_slice(if self.resp3 { b"_\r\n" } else { b"*-1\r\n" });
    }

    /// `Some`: bulk string, `None`: null.
    pub fn bulk_or_null(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.bulk(bytes),
            None => self.null(),
        }
    }

    #[inline]
    pub fn array(&mut self, len: usize) {
        self.line(b'*', len as i64);
    }

    /// A set; an array in RESP2.
    pub fn set(&mut self, len: usize) {
        self.line(if self.resp3 { b'~' } else { b'*' }, len as i64);
    }

    /// A map of `pairs` entries; a flat array in RESP2.
    pub fn map(&mut self, pairs: usize) {
        if self.resp3 {
            self.line(b'%', pairs as i64);
        } else {
            self.line(b'*', pairs as i64 * 2);
        }
    }

    /// An out-of-band message; an array in RESP2.
    pub fn push(&mut self, len: usize) {
        self.line(if self.resp3 { b'>' } else { b'*' }, len as i64);
    }

    /// A double; a bulk string in RESP2.
    pub fn double(&mut self, value: f64) {
        if self.resp3 {
            self.buf.push(b',');
            num::write_f64(&mut self.buf, value);
            self.buf.extend_from_slice(b"\r\n");
        } else {
            let mut text = Vec::with_capacity(24);
            num::write_f64(&mut text, value);
            self.bulk(&text);
        }
    }

    /// A boolean; 1 or 0 in RESP2.
    pub fn bool(&mut self, on: bool) {
        match (self.resp3, on) {
            (true, true) => self.buf.extend_from_slice(b"#t\r\n"),
            (true, false) => self.buf.extend_from_slice(b"#f\r\n"),
            (false, _) => self.int(i64::from(on)),
        }
    }

    /// Text with a three-letter format; a bulk string in RESP2.
    pub fn verbatim(&mut self, format: &str, text: &[u8]) {
        if self.resp3 {
            self.line(b'=', text.len() as i64 + 4);
            self.buf.extend_from_slice(format.as_bytes());
            self.buf.push(b':');
            self.buf.extend_from_slice(text);
            self.buf.extend_from_slice(b"\r\n");
        } else {
            self.bulk(text);
        }
    }

    /// Begins an aggregate whose length is not known yet; [`Reply::finish`] writes it.
    pub fn defer(&mut self) -> Mark {
        self.mark()
    }

    /// Puts the header of an aggregate of `len` elements (pairs for maps) at `mark`. Moves the
    /// bytes written since, so use it where the length really is unknown.
    pub fn finish(&mut self, mark: Mark, kind: Aggregate, len: usize) {
        if self.over {
            // The mark may be of what was dropped.
            return;
        }
        let mut head = Reply {
            resp3: self.resp3,
            ..Reply::default()
        };
        match kind {
            Aggregate::Array => head.array(len),
            Aggregate::Set => head.set(len),
            Aggregate::Map => head.map(len),
            Aggregate::Push => head.push(len),
        }
        let target = match self.chunks.get_mut(mark.chunks) {
            Some(Chunk::Owned(chunk)) => {
                self.chunked += head.buf.len();
                chunk
            }
            _ => &mut self.buf,
        };
        target.splice(mark.at..mark.at, head.buf);
    }

    /// An array of help lines for `name HELP`, as Redis lays it out.
    pub fn help(&mut self, name: &str, lines: &[&str]) {
        self.array(lines.len() + 3);
        let upper = name.to_ascii_uppercase();
        self.simple(&format!(
            "{upper} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"
        ));
        for line in lines {
            self.simple(line);
        }
        self.simple("HELP");
        self.simple("    Print this help.");
    }
}

/// What may stand in a line of its own.
fn one_line(b: u8) -> u8 {
    if matches!(b, b'\r' | b'\n' | 0) {
        b' '
    } else {
        b
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_beyond_its_cap_takes_no_memory() {
        let mut out = Reply::new();
        out.set_cap(1000);
        let mark = out.defer();
        for _ in 0..10_000 {
            out.bulk(&[b'x'; 90]);
            assert!(out.len() < 1200);
        }
        assert!(out.is_over());
        out.finish(mark, Aggregate::Array, 10_000);
        let mut out = Reply::new();
        out.set_cap(100_000);
        let big = Arc::new(vec![0; SHARE_MIN]);
        (0..8).for_each(|_| out.bulk_shared(big.clone()));
        assert!(out.is_over() && out.len() < 2 * SHARE_MIN);
    }

    #[test]
    fn the_length_counts_every_piece() {
        let mut out = Reply::new();
        let mark = out.defer();
        out.bulk_shared(Arc::new(vec![0; SHARE_MIN]));
        let middle = out.mark();
        out.bulk(b"abc");
        out.finish(mark, Aggregate::Array, 2);
        let pieces =
            |out: &Reply| out.chunks.iter().map(|c| c.bytes().len()).sum::<usize>() + out.buf.len();
        assert_eq!(out.len(), pieces(&out));
        out.truncate(middle);
        assert_eq!(out.len(), pieces(&out));
        out.truncate(mark);
        assert_eq!(out.len(), 0);
    }

    /// All bytes in order.
    fn bytes(out: &Reply) -> Vec<u8> {
        let chunks = out.chunks.iter().flat_map(|c| c.bytes().to_vec());
        chunks.chain(out.buf.iter().copied()).collect()
    }

    #[test]
    fn cutting_anywhere_and_joining_again_keeps_every_byte() {
        let make = || {
            let mut out = Reply::new();
            for n in 0..6u8 {
                out.raw(&vec![n; usize::from(n)]);
                out.raw_shared(Arc::new(vec![b'a' + n; 3]));
            }
            out.raw(b"end");
            out
        };
        let whole = bytes(&make());
        for at in 0..=whole.len() + 1 {
            let mut out = make();
            let later = out.split_off(at);
            let cut = at.min(whole.len());
            assert_eq!((bytes(&out), out.len()), (whole[..cut].to_vec(), cut));
            assert!(later.iter().all(|chunk| !chunk.bytes().is_empty()));
            out.append(later);
            assert_eq!((bytes(&out), out.len()), (whole.clone(), whole.len()));
        }
    }
}
