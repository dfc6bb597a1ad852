//! What SCAN, SSCAN, HSCAN and ZSCAN have in common: cursor, options, and the reply of one page.

use super::args::Cursor;
use super::error::Error;
use crate::base::glob;
use crate::resp::reply::Reply;

/// Elements that one call looks at without `COUNT`.
const DEFAULT_COUNT: usize = 10;

/// Reads a cursor: an unsigned decimal number of 64 bits, with what C's `strtoull` takes beside plain digits.
pub fn cursor(text: &[u8]) -> Result<u64, Error> {
    let digits = text.strip_prefix(b"+").unwrap_or(text);
    let add = |sum: u64, digit: &u8| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
        sum.checked_mul(10)?.checked_add(u64::from(digit))
    };
    let number = digits
        .iter()
        .try_fold(0, add)
        .filter(|_| !digits.is_empty());
    number.ok_or(Error::new("ERR invalid cursor"))
}

/// What is asked for.
pub struct Options<'a> {
    /// `None`: everything matches.
    pattern: Option<&'a [u8]>,
    pub count: usize,
    /// Fields without their values.
    pub no_values: bool,
}

impl<'a> Options<'a> {
    /// Reads the options that are left. `fields`: those of HSCAN as well.
    pub fn read(mut rest: Cursor<'a>, fields: bool) -> Result<Options<'a>, Error> {
        let mut options = Options {
            pattern: None,
            count: DEFAULT_COUNT,
            no_values: false,
        };
        while !rest.done() {
            if rest.left() > 1 && rest.word("COUNT") {
                let count = rest.int()?;
                if count < 1 {
                    return Err(Error::SYNTAX);
                }
                options.count = usize::try_from(count).unwrap_or(usize::MAX);
            } else if rest.left() > 1 && rest.word("MATCH") {
                options.pattern = Some(rest.next()?).filter(|pattern| *pattern != b"*");
            } else if fields && rest.word("NOVALUES") {
                options.no_values = true;
            } else {
                return Err(Error::SYNTAX);
            }
        }
        Ok(options)
    }

    #[inline]
    pub fn wants(&self, text: &[u8]) -> bool {
        self.pattern
            .is_none_or(|pattern| glob::matches(pattern, text, false))
    }
}

/// The elements of one reply, whose cursor comes before them but is known after them.
#[derive(Default)]
pub struct Page {
    items: Reply,
    len: usize,
}

impl Page {
    /// Where to write one more element, as a bulk string.
    #[inline]
    pub fn element(&mut self) -> &mut Reply {
        self.len += 1;
        &mut self.items
    }

    /// Writes the whole reply.
    pub fn reply(mut self, next: u64, out: &mut Reply) {
        let (chunks, last) = self.items.take();
        out.array(2);
        // Cursors are below 2^48.
        out.bulk_int(next as i64);
        out.array(self.len);
        chunks.iter().for_each(|chunk| out.raw(chunk.bytes()));
        out.raw(&last);
    }
}

/// The reply for a key that does not exist.
pub fn empty(out: &mut Reply) {
    Page::default().reply(0, out);
}
