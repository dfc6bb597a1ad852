//! The arguments of one call: ranges in the read buffer, never copies.

use std::ops::Index;
use std::sync::Arc;

use super::error::Error;
use crate::base::num;
use crate::resp::request::Span;

/// The arguments of a call, the command name first.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a> {
    buf: &'a [u8],
    big: &'a [Arc<Vec<u8>>],
    spans: &'a [Span],
}

impl<'a> Args<'a> {
    pub fn new(buf: &'a [u8], big: &'a [Arc<Vec<u8>>], spans: &'a [Span]) -> Args<'a> {
        Args { buf, big, spans }
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Argument `at`, with the life of the buffer rather than of this value.
    ///
    /// # Panics
    /// If `at` is not less than [`Args::len`]; the arity of the row has been checked before.
    #[inline]
    pub fn get(&self, at: usize) -> &'a [u8] {
        self.spans[at].bytes(self.buf, self.big)
    }

    /// The shared buffer of a large argument, which a command may keep without copying it.
    pub fn shared(&self, at: usize) -> Option<&'a Arc<Vec<u8>>> {
        self.spans[at].big(self.big)
    }

    /// Arguments from `at` on.
    pub fn from(&self, at: usize) -> Args<'a> {
        Args {
            spans: &self.spans[at.min(self.spans.len())..],
            ..*self
        }
    }

    /// Arguments `range` alone.
    pub fn slice(&self, range: std::ops::Range<usize>) -> Args<'a> {
        Args {
            spans: &self.spans[range],
            ..*self
        }
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &'a [u8]> + ExactSizeIterator + use<'a> {
        let (buf, big) = (self.buf, self.big);
        self.spans.iter().map(move |span| span.bytes(buf, big))
    }

    /// Argument `at` as an integer.
    pub fn int(&self, at: usize) -> Result<i64, Error> {
        num::parse_i64(self.get(at)).ok_or(Error::NOT_INTEGER)
    }

    /// Argument `at` as an integer of 32 bits, as database numbers are.
    pub fn int32(&self, at: usize) -> Result<i32, Error> {
        self.int(at)?.try_into().map_err(|_| Error::NOT_INT32)
    }

    /// Argument `at` as a float.
    pub fn float(&self, at: usize) -> Result<f64, Error> {
        num::parse_f64(self.get(at)).ok_or(Error::NOT_FLOAT)
    }

    /// Whether argument `at` is this word, in any case.
    pub fn is(&self, at: usize, word: &str) -> bool {
        self.get(at).eq_ignore_ascii_case(word.as_bytes())
    }

    /// Reads options from `at` on.
    pub fn cursor(&self, at: usize) -> Cursor<'a> {
        Cursor { args: *self, at }
    }
}

impl Index<usize> for Args<'_> {
    type Output = [u8];

    #[inline]
    fn index(&self, at: usize) -> &[u8] {
        self.get(at)
    }
}

impl super::keys::Args for Args<'_> {
    fn len(&self) -> usize {
        self.spans.len()
    }

    fn arg(&self, at: usize) -> &[u8] {
        self.get(at)
    }
}

/// A position among the arguments, for commands with options.
///
/// ```text
/// let mut rest = ctx.args.cursor(3);
/// while !rest.done() {
///     if rest.word("NX") { … } else if rest.word("EX") { ttl = rest.int()?; } else { return Err(Error::SYNTAX) }
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    args: Args<'a>,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub fn done(&self) -> bool {
        self.at >= self.args.len()
    }

    /// Arguments that are left.
    pub fn left(&self) -> usize {
        self.args.len().saturating_sub(self.at)
    }

    /// Position of the next argument.
    pub fn at(&self) -> usize {
        self.at
    }

    /// The next argument as an integer of 32 bits.
    pub fn int32(&mut self) -> Result<i32, Error> {
        self.int()?.try_into().map_err(|_| Error::NOT_INT32)
    }

    /// Takes the next argument if it is this word, in any case.
    pub fn word(&mut self, word: &str) -> bool {
        let hit = !self.done() && self.args.is(self.at, word);
        self.at += usize::from(hit);
        hit
    }

    /// The next argument; a syntax error if there is none.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<&'a [u8], Error> {
        if self.done() {
            return Err(Error::SYNTAX);
        }
        self.at += 1;
        Ok(self.args.get(self.at - 1))
    }

    /// The next argument as an integer.
    pub fn int(&mut self) -> Result<i64, Error> {
        num::parse_i64(self.next()?).ok_or(Error::NOT_INTEGER)
    }

    /// The next argument as a float.
    pub fn float(&mut self) -> Result<f64, Error> {
        num::parse_f64(self.next()?).ok_or(Error::NOT_FLOAT)
    }

    /// All arguments that are left.
    pub fn rest(&self) -> Args<'a> {
        self.args.from(self.at)
    }
}
