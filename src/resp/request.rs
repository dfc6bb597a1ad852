//! Requests: bytes from a client become a [`Batch`] of complete commands.
//!
//! Arguments are ranges in the read buffer. Only a large one ([`BIG_MIN`] and up) that is not
//! complete yet gets a buffer of its own, which the socket then reads into directly and which a
//! command may keep without copying it. Parsing resumes where it stopped: bytes are looked at
//! once, however they arrive.
//!
//! Both forms of Redis are understood: arrays of bulk strings, and inline lines of words.

mod batch;

pub use batch::{Batch, Command, Span};

use std::sync::Arc;

use batch::BIG;
use memchr::memchr;

use crate::base::num;
use crate::base::words;

/// Incomplete arguments from this many bytes on are read into a buffer of their own.
pub const BIG_MIN: usize = 32 * 1024;
/// Longest inline request or length line, in bytes.
pub const INLINE_LIMIT: usize = 64 * 1024;
/// Most arguments of one request; Redis takes as many as a 32-bit count.
const MAX_ARGS: i64 = i32::MAX as i64;
/// Commands of one batch; what follows waits for the next. Inline commands of one letter take
/// forty times their size in memory.
const MAX_COMMANDS: usize = 4096;
/// A large argument gets this much room, and then as much again as has come.
const BIG_STEP: usize = 256 * 1024;
/// Empty requests are dropped from the buffer when there are this many bytes of them.
const COMPACT_MIN: usize = 4096;
/// Limits before authentication.
const UNAUTH_ARGS: i64 = 10;
const UNAUTH_BULK: i64 = 16 * 1024;

/// A request that cannot be understood; the connection ends after the error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Text behind `-ERR Protocol error: `.
    Protocol(String),
    /// The first word was `POST` or `Host:`: a web browser is being abused against us.
    CrossProtocol,
    /// More bytes than `client-query-buffer-limit` in one request.
    QueryBuffer,
}

/// What the parser obeys; they may change between requests.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub authenticated: bool,
    /// `proto-max-bulk-len` in bytes.
    pub max_bulk: i64,
    /// `client-query-buffer-limit` in bytes.
    pub max_query: usize,
}

/// The unfinished part of a client's input.
#[derive(Debug, Default)]
pub struct Parser {
    /// Bytes looked at.
    pos: usize,
    /// Begin of the unfinished command.
    start: usize,
    /// First span of the unfinished command.
    first: usize,
    /// Bytes that its large arguments took.
    big_wire: usize,
    /// Arguments that are still missing; 0: between commands.
    missing: i64,
    /// Length of the argument that comes next, if its header was read.
    bulk: Option<usize>,
    /// Its own buffer, if it is large.
    filling: Option<Vec<u8>>,
}

enum Step {
    More,
    Done,
    /// Nothing to do: an empty line or an empty array.
    Empty,
}

impl Parser {
    /// The buffer to read into next and how many bytes it may take, at most `room` or what a
    /// large argument wants. The room is there: for a large argument it grows with what has come,
    /// because its length is only a promise of the client.
    pub fn target<'a>(&'a mut self, batch: &'a mut Batch, room: usize) -> (&'a mut Vec<u8>, usize) {
        match (&mut self.filling, self.bulk) {
            (Some(big), Some(len)) => {
                let wanted = len + 2 - big.len();
                if big.capacity() - big.len() < wanted.min(room) {
                    let step = big.len().max(BIG_STEP);
                    // Not for a line end alone another time.
                    let all = wanted <= step + room;
                    big.reserve_exact(if all { wanted } else { step });
                }
                let free = big.capacity() - big.len();
                (big, wanted.min(free))
            }
            _ => {
                batch.buf.reserve(room);
                (&mut batch.buf, room)
            }
        }
    }

    /// Whether a large argument has come in whole, so that nothing is wanted before it is parsed.
    pub fn is_full(&self) -> bool {
        match (&self.filling, self.bulk) {
            (Some(big), Some(len)) => big.len() >= len + 2,
            _ => false,
        }
    }

    /// Bytes of the request that is not complete yet.
    pub fn pending(&self, batch: &Batch) -> usize {
        batch.buf.len() - self.start + self.filling.as_ref().map_or(0, Vec::len)
    }

    /// The same as Redis counts it: of a request with a large argument on its way, that argument.
    pub fn pending_len(&self, batch: &Batch) -> usize {
        self.filling
            .as_ref()
            .map_or_else(|| self.pending(batch), Vec::len)
    }

    /// Allocated bytes of a large argument on its way.
    pub fn filling_capacity(&self) -> usize {
        self.filling.as_ref().map_or(0, Vec::capacity)
    }

    /// Finds all complete commands in the buffer.
    ///
    /// # Errors
    /// The first fault; commands before it are in the batch and to be executed.
    pub fn parse(&mut self, batch: &mut Batch, rules: &Rules) -> Result<(), Fault> {
        while self.pos < batch.buf.len() || self.filling.is_some() {
            // The command may be AUTH, which lifts the limits for what follows.
            if !rules.authenticated && !batch.commands.is_empty()
                || batch.commands.len() >= MAX_COMMANDS
            {
                break;
            }
            let step = if self.whole(batch, rules) {
                Step::Done
            } else {
                self.step(batch, rules)?
            };
            match step {
                Step::More => break,
                Step::Empty => self.begin(batch),
                Step::Done => {
                    batch.commands.push(Command {
                        first: self.first as u32,
                        count: (batch.spans.len() - self.first) as u32,
                        wire: u32::try_from(self.pos - self.start + self.big_wire)
                            .unwrap_or(u32::MAX),
                    });
                    self.begin(batch);
                }
            }
        }
        if self.pending(batch) > rules.max_query && self.filling.is_none() {
            return Err(Fault::QueryBuffer);
        }
        Ok(())
    }

    /// Moves the unfinished command from `old`, whose commands are on their way, to `new`.
    pub fn carry(&mut self, old: &mut Batch, new: &mut Batch) {
        debug_assert!(new.buf.is_empty() && new.spans.is_empty());
        new.buf.extend_from_slice(&old.buf[self.start..]);
        let big_before: usize = old.spans[..self.first]
            .iter()
            .filter(|s| s.len == BIG)
            .count();
        new.big.extend(old.big.drain(big_before..));
        for span in &old.spans[self.first..] {
            let shift = if span.len == BIG {
                big_before
            } else {
                self.start
            };
            new.spans.push(Span {
                at: span.at - shift as u32,
                len: span.len,
            });
        }
        old.spans.truncate(self.first);
        old.buf.truncate(self.start);
        self.pos -= self.start;
        self.start = 0;
        self.first = 0;
    }

    /// Drops the empty requests before the unfinished command, which no batch carries away. Only
    /// while there is no complete command.
    pub fn compact(&mut self, batch: &mut Batch) {
        debug_assert!(batch.commands.is_empty() && self.first == 0);
        if self.start < COMPACT_MIN && self.start < batch.buf.len() {
            return;
        }
        batch.buf.drain(..self.start);
        for span in batch.spans.iter_mut().filter(|s| s.len != BIG) {
            span.at -= self.start as u32;
        }
        self.pos -= self.start;
        self.start = 0;
    }

    fn begin(&mut self, batch: &Batch) {
        self.start = self.pos;
        self.first = batch.spans.len();
        self.big_wire = 0;
        self.missing = 0;
        self.bulk = None;
    }

    /// Takes a command in one go if it is complete and all its lengths are short, as nearly all are.
    /// False, with nothing changed, for any other.
    #[inline]
    fn whole(&mut self, batch: &mut Batch, rules: &Rules) -> bool {
        let Batch { buf, spans, .. } = batch;
        if self.missing > 0 || !rules.authenticated || buf.len() > u32::MAX as usize {
            return false;
        }
        let Some((count @ 1.., mut at)) = short_length(buf, self.pos, b'*') else {
            return false;
        };
        for _ in 0..count {
            let argument = short_length(buf, at, b'$').filter(|(len, begin)| {
                *len as i64 <= rules.max_bulk && buf.len().saturating_sub(*begin) >= len + 2
            });
            let Some((len, begin)) = argument else {
                spans.truncate(self.first);
                return false;
            };
            spans.push(Span {
                at: begin as u32,
                len: len as u32,
            });
            at = begin + len + 2;
        }
        self.pos = at;
        true
    }

    fn step(&mut self, batch: &mut Batch, rules: &Rules) -> Result<Step, Fault> {
        if self.missing == 0 {
            if batch.buf[self.pos] != b'*' {
                return self.inline(batch);
            }
            let Some(count) = self.length(batch, "too big mbulk count string")? else {
                return Ok(Step::More);
            };
            let count = count.filter(|n| *n <= MAX_ARGS);
            let Some(count) = count else {
                return protocol("invalid multibulk length");
            };
            if count > UNAUTH_ARGS && !rules.authenticated {
                return protocol("unauthenticated multibulk length");
            }
            if count <= 0 {
                return Ok(Step::Empty);
            }
            self.missing = count;
        }
        while self.missing > 0 {
            if !self.argument(batch, rules)? {
                return Ok(Step::More);
            }
            self.missing -= 1;
        }
        Ok(Step::Done)
    }

    /// Reads one argument. False: more bytes are needed.
    fn argument(&mut self, batch: &mut Batch, rules: &Rules) -> Result<bool, Fault> {
        let len = match self.bulk {
            Some(len) => len,
            None => match self.bulk_header(batch, rules)? {
                Some(len) => len,
                None => return Ok(false),
            },
        };
        if let Some(big) = &mut self.filling {
            if big.len() < len + 2 {
                return Ok(false);
            }
            big.truncate(len);
            self.big_wire += len + 2;
            let index = batch.big.len() as u32;
            batch
                .big
                .push(Arc::new(self.filling.take().unwrap_or_default()));
            batch.spans.push(Span {
                at: index,
                len: BIG,
            });
            self.bulk = None;
            return Ok(true);
        }
        let have = batch.buf.len() - self.pos;
        if have < len + 2 {
            if len >= BIG_MIN {
                let mut big = Vec::with_capacity((len + 2).min(BIG_STEP.max(2 * have)));
                big.extend_from_slice(&batch.buf[self.pos..]);
                batch.buf.truncate(self.pos);
                self.filling = Some(big);
            }
            return Ok(false);
        }
        batch.spans.push(Span::new(self.pos, len));
        self.pos += len + 2;
        self.bulk = None;
        Ok(true)
    }

    fn bulk_header(&mut self, batch: &Batch, rules: &Rules) -> Result<Option<usize>, Fault> {
        let Some(&first) = batch.buf.get(self.pos) else {
            return Ok(None);
        };
        if first != b'$' {
            // A line end is awaited first, so that the error does not depend on arrival.
            if !self.has_line(batch, "too big bulk count string")? {
                return Ok(None);
            }
            return protocol(format!("expected '$', got '{}'", printable(first)));
        }
        let Some(len) = self.length(batch, "too big bulk count string")? else {
            return Ok(None);
        };
        let Some(len) = len.filter(|n| (0..=rules.max_bulk).contains(n)) else {
            return protocol("invalid bulk length");
        };
        if len > UNAUTH_BULK && !rules.authenticated {
            return protocol("unauthenticated bulk length");
        }
        self.bulk = Some(len as usize);
        Ok(self.bulk)
    }

    fn has_line(&self, batch: &Batch, too_big: &str) -> Result<bool, Fault> {
        let rest = &batch.buf[self.pos..];
        if memchr(b'\r', rest).is_some_and(|at| at + 1 < rest.len()) {
            return Ok(true);
        }
        if rest.len() > INLINE_LIMIT {
            return protocol(too_big);
        }
        Ok(false)
    }

    /// Reads `*N` or `$N` with its line end. Outer `None`: incomplete; inner: not a number.
    fn length(&mut self, batch: &Batch, too_big: &str) -> Result<Option<Option<i64>>, Fault> {
        let rest = &batch.buf[self.pos..];
        let end = memchr(b'\r', rest);
        let Some(end) = end.filter(|end| end + 1 < rest.len()) else {
            if rest.len() > INLINE_LIMIT {
                return protocol(too_big);
            }
            return Ok(None);
        };
        self.pos += end + 2;
        Ok(Some(num::parse_i64(&rest[1..end])))
    }

    fn inline(&mut self, batch: &mut Batch) -> Result<Step, Fault> {
        let rest = &batch.buf[self.pos..];
        let Some(end) = memchr(b'\n', rest) else {
            if rest.len() > INLINE_LIMIT {
                return protocol("too big inline request");
            }
            return Ok(Step::More);
        };
        let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
        let Some(words) = words::split(line) else {
            return protocol("unbalanced quotes in request");
        };
        self.pos += end + 1;
        let Some(first) = words.first() else {
            return Ok(Step::Empty);
        };
        if first.eq_ignore_ascii_case(b"post") || first.eq_ignore_ascii_case(b"host:") {
            return Err(Fault::CrossProtocol);
        }
        for word in words {
            let index = batch.big.len() as u32;
            batch.big.push(Arc::new(word));
            batch.spans.push(Span {
                at: index,
                len: BIG,
            });
        }
        Ok(Step::Done)
    }
}

/// A length of up to three digits behind `kind`, and where the bytes after its line end begin.
#[inline]
fn short_length(buf: &[u8], at: usize, kind: u8) -> Option<(usize, usize)> {
    let digit = |d: u8| usize::from(d - b'0');
    let (len, bytes) = match *buf.get(at..)? {
        [k, a @ b'0'..=b'9', b'\r', _, ..] if k == kind => (digit(a), 4),
        [k, a @ b'1'..=b'9', b @ b'0'..=b'9', b'\r', _, ..] if k == kind => {
            (digit(a) * 10 + digit(b), 5)
        }
        [
            k,
            a @ b'1'..=b'9',
            b @ b'0'..=b'9',
            c @ b'0'..=b'9',
            b'\r',
            _,
            ..,
        ] if k == kind => (digit(a) * 100 + digit(b) * 10 + digit(c), 6),
        _ => return None,
    };
    Some((len, at + bytes))
}

fn protocol<T>(text: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::Protocol(text.into()))
}

fn printable(byte: u8) -> char {
    if byte.is_ascii_graphic() || byte == b' ' {
        char::from(byte)
    } else {
        '?'
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules {
        authenticated: true,
        max_bulk: 512 << 20,
        max_query: 1 << 30,
    };

    fn feed(
        parser: &mut Parser,
        batch: &mut Batch,
        mut bytes: &[u8],
        rules: &Rules,
    ) -> Result<(), Fault> {
        while !bytes.is_empty() {
            let (target, wanted) = parser.target(batch, 16 * 1024);
            let n = wanted.min(bytes.len());
            target.extend_from_slice(&bytes[..n]);
            bytes = &bytes[n..];
            parser.parse(batch, rules)?;
        }
        Ok(())
    }

    #[test]
    fn empty_requests_do_not_pile_up() {
        let (mut parser, mut batch) = (Parser::default(), Batch::default());
        for _ in 0..1000 {
            feed(
                &mut parser,
                &mut batch,
                &b"\r\n*0\r\n*-1\r\n".repeat(500),
                &RULES,
            )
            .unwrap();
            parser.compact(&mut batch);
        }
        assert!(batch.buf.len() < COMPACT_MIN && batch.buf.capacity() < 1 << 16);
        feed(
            &mut parser,
            &mut batch,
            b"*2\r\n$4\r\nECHO\r\n$1\r\n",
            &RULES,
        )
        .unwrap();
        parser.compact(&mut batch);
        feed(&mut parser, &mut batch, b"x\r\n", &RULES).unwrap();
        assert_eq!(
            batch.args(0).iter().collect::<Vec<_>>(),
            [b"ECHO".as_slice(), b"x"]
        );
    }

    #[test]
    fn an_empty_array_may_be_the_last_that_came() {
        let (mut parser, mut batch) = (Parser::default(), Batch::default());
        feed(
            &mut parser,
            &mut batch,
            b"*1\r\n$4\r\nPING\r\n*0\r\n",
            &RULES,
        )
        .unwrap();
        assert_eq!(batch.commands.len(), 1);
        feed(&mut parser, &mut batch, b"*1\r\n$4\r\nPING\r\n", &RULES).unwrap();
        assert_eq!(batch.commands.len(), 2);
    }

    #[test]
    fn compaction_moves_the_arguments_of_an_unfinished_command() {
        let (mut parser, mut batch) = (Parser::default(), Batch::default());
        let mut bytes = b"\r\n".repeat(COMPACT_MIN);
        bytes.extend_from_slice(b"*2\r\n$4\r\nECHO\r\n$1");
        feed(&mut parser, &mut batch, &bytes, &RULES).unwrap();
        parser.compact(&mut batch);
        assert!(batch.buf.len() < 100);
        feed(&mut parser, &mut batch, b"\r\ny\r\nPING\r\n", &RULES).unwrap();
        assert_eq!(
            batch.args(0).iter().collect::<Vec<_>>(),
            [b"ECHO".as_slice(), b"y"]
        );
        assert_eq!(
            batch.args(1).iter().collect::<Vec<_>>(),
            [b"PING".as_slice()]
        );
    }

    #[test]
    fn a_promised_length_reserves_nothing() {
        let (mut parser, mut batch) = (Parser::default(), Batch::default());
        feed(
            &mut parser,
            &mut batch,
            b"*2\r\n$4\r\nECHO\r\n$536870912\r\nabc",
            &RULES,
        )
        .unwrap();
        assert!(parser.filling_capacity() <= BIG_STEP);
        let piece = vec![b'x'; 3 << 20];
        feed(&mut parser, &mut batch, &piece, &RULES).unwrap();
        assert!((3 << 20..=8 << 20).contains(&parser.filling_capacity()));
    }

    #[test]
    fn a_large_argument_has_no_spare_room_in_the_end() {
        let (mut parser, mut batch) = (Parser::default(), Batch::default());
        let len = 5_000_000;
        let mut bytes = format!("*1\r\n${len}\r\n").into_bytes();
        bytes.extend(std::iter::repeat_n(b'x', len));
        bytes.extend_from_slice(b"\r\n*1\r\n$4\r\nPING\r\n");
        feed(&mut parser, &mut batch, &bytes, &RULES).unwrap();
        assert_eq!(batch.commands.len(), 2);
        assert_eq!(batch.args(0).get(0).len(), len);
        assert!(batch.big[0].capacity() <= len + 2);
        assert_eq!(batch.args(1).get(0), b"PING");
    }

    #[test]
    fn a_batch_has_a_limited_number_of_commands() {
        let (mut parser, mut batch) = (Parser::default(), Batch::default());
        let bytes = b"a\n".repeat(3 * MAX_COMMANDS + 7);
        batch.buf.extend_from_slice(&bytes);
        let mut counts = Vec::new();
        loop {
            parser.parse(&mut batch, &RULES).unwrap();
            if batch.is_empty() {
                break;
            }
            counts.push(batch.commands.len());
            let mut next = Batch::default();
            parser.carry(&mut batch, &mut next);
            batch = next;
        }
        assert_eq!(counts, [MAX_COMMANDS, MAX_COMMANDS, MAX_COMMANDS, 7]);
    }

    #[test]
    fn both_ways_find_the_same_commands() {
        let mut bytes = Vec::new();
        for n in 0..60usize {
            let arg = vec![b'a' + n as u8 % 26; n * n % 1100];
            bytes.extend_from_slice(format!("*{}\r\n", 1 + n % 12).as_bytes());
            for _ in 0..1 + n % 12 {
                bytes.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
                bytes.extend_from_slice(&arg);
                bytes.extend_from_slice(b"\r\n");
            }
        }
        let parse = |step: usize| {
            let (mut parser, mut batch) = (Parser::default(), Batch::default());
            for piece in bytes.chunks(step) {
                batch.buf.extend_from_slice(piece);
                parser.parse(&mut batch, &RULES).unwrap();
            }
            assert_eq!(parser.pending(&batch), 0);
            (batch.spans, batch.commands)
        };
        let whole = parse(bytes.len());
        assert_eq!(whole.1.len(), 60);
        for step in [1, 2, 3, 7, 64, 1000, 4096] {
            assert_eq!(parse(step), whole);
        }
    }

    #[test]
    fn limits_before_login() {
        let rules = Rules {
            authenticated: false,
            ..RULES
        };
        let fault =
            |bytes: &[u8]| feed(&mut Parser::default(), &mut Batch::default(), bytes, &rules);
        assert_eq!(
            fault(b"*11\r\n"),
            protocol("unauthenticated multibulk length")
        );
        assert_eq!(
            fault(b"*1\r\n$16385\r\n"),
            protocol("unauthenticated bulk length")
        );
        assert_eq!(fault(b"*10\r\n$16384\r\n"), Ok(()));
        assert_eq!(fault(b"*1\r\n:1\r\n"), protocol("expected '$', got ':'"));
    }
}
