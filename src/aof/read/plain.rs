//! Units without frames: what parses is a unit.

use std::io::Read;

use memchr::memchr;

use super::fault::{Fault, FaultKind, keys};
use super::{Item, Reader, Result};
use crate::aof::resp::{self, Step};

impl<R: Read> Reader<R> {
    /// A command without a frame, or MULTI to EXEC.
    pub(super) fn plain_unit(&mut self) -> Result<Item> {
        let (mut end, mut in_multi) = (self.pos, false);
        loop {
            if self.buf.get(end) == Some(&b'#') {
                end = self.comment_within(end)?;
            }
            let mut first = None;
            let mut wanted = 1;
            let next = loop {
                self.fill(end, wanted)?;
                match resp::scan(&self.buf[end..], |word| {
                    first.get_or_insert_with(|| word.to_ascii_lowercase());
                }) {
                    Step::Done(len) => break end + len,
                    Step::More(needed) if needed as u64 <= self.left(end) && !self.at_end => {
                        wanted = needed.max(wanted.saturating_mul(2).min(self.left(end) as usize));
                    }
                    Step::More(_) => return Err(self.cut_plain(end, in_multi)),
                    Step::Bad { at, what } => return Err(self.bad_plain(end, at, what)),
                }
            };
            end = next;
            match first.as_deref() {
                Some(b"multi") => in_multi = true,
                Some(b"exec") if in_multi => break,
                _ if !in_multi => break,
                _ => {}
            }
        }
        // Times before a plain unit belong to nothing.
        let unit = self.pos..end;
        self.lines += memchr::memchr_iter(b'\n', &self.buf[unit.clone()]).count() as u64;
        let from = self.base + self.pos as u64;
        (self.start, self.pos) = (end, end);
        self.unit = unit;
        self.foreign += 1;
        self.ended = false;
        Ok(Item::Unit {
            from,
            end: self.base + end as u64,
            framed: false,
        })
    }

    /// Takes comments inside MULTI out of the buffer's way: they are blanked by moving what follows.
    fn comment_within(&mut self, at: usize) -> Result<usize> {
        let (start, pos) = (self.start, self.pos);
        self.pos = at;
        let end = self.line_end();
        (self.start, self.pos) = (start, pos);
        end
    }

    fn cut_plain(&mut self, at: usize, in_multi: bool) -> Box<Fault> {
        let keys = keys(&self.buf[at..]);
        let (kind, what) = match (in_multi, self.buf.len() == at) {
            (true, true) => (
                FaultKind::OpenMulti,
                "Reached EOF before reading EXEC for MULTI".to_owned(),
            ),
            (true, false) => (
                FaultKind::OpenMulti,
                "Unexpected end of file within MULTI".to_owned(),
            ),
            (false, _) => (FaultKind::Truncated, "Unexpected end of file".to_owned()),
        };
        let mut fault = self.fault(kind, self.buf.len(), what);
        fault.keys = keys;
        fault
    }

    fn bad_plain(&mut self, unit: usize, at: usize, what: String) -> Box<Fault> {
        let place = unit + at;
        self.next_try = Some(self.base + place as u64 + 2);
        let keys = keys(&self.buf[unit..]);
        let from_zero = self.buf.get(place).is_some_and(|b| *b == 0)
            || self.buf[unit..]
                .iter()
                .rev()
                .take_while(|b| **b == 0)
                .count()
                > 1;
        let zeros = from_zero && {
            let first = unit + memchr(0, &self.buf[unit..]).unwrap_or(0);
            self.only_zeros_from(first)
        };
        let mut fault = if zeros {
            self.fault(
                FaultKind::Zeros,
                place,
                "The end of the file was never written: zeros".into(),
            )
        } else {
            self.fault(FaultKind::Damaged, place, what)
        };
        fault.keys = keys;
        fault
    }
}
