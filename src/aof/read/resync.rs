//! Going on behind a fault.

use std::io::Read;

use memchr::memchr;

use super::{READ_STEP, Reader, Result};
use crate::aof::frame::{self, Chain, Line};
use crate::aof::resp::{self, Step};

impl<R: Read> Reader<R> {
    /// Goes on behind a fault: looks for the next place from which a whole unit can be read. Returns where it is, or
    /// `None` if there is none.
    pub fn resync(&mut self) -> Result<Option<u64>> {
        let plain = !self.framed || self.foreign > 0;
        let known = self
            .next_try
            .take()
            .and_then(|at| usize::try_from(at.checked_sub(self.base)?).ok());
        if let Some(place) = known.filter(|at| (self.start + 1..=self.buf.len()).contains(at))
            && self.is_unit_at(place)?
        {
            return Ok(Some(self.go_on_at(place)));
        }
        let mut at = self.start;
        loop {
            self.fill(at, READ_STEP)?;
            if let Some(found) = memchr(b'\n', &self.buf[at..]) {
                at += found + 1;
                self.fill(at, 1)?;
                let begins = match self.buf.get(at) {
                    Some(b'#') => true,
                    Some(b'*') => plain,
                    _ => false,
                };
                if begins && self.is_unit_at(at)? {
                    return Ok(Some(self.go_on_at(at)));
                }
                continue;
            }
            if self.at_end {
                return Ok(None);
            }
            at = self.buf.len();
            self.buf.drain(..at - 1);
            self.base += at as u64 - 1;
            (self.start, self.pos, self.unit) = (0, 0, 0..0);
            at = 0;
        }
    }

    fn go_on_at(&mut self, place: usize) -> u64 {
        (self.start, self.pos) = (place, place);
        self.whole_chain = false;
        self.base + place as u64
    }

    /// Whether something whole begins there: a mark or a frame with the right checksum, or a plausible command.
    fn is_unit_at(&mut self, place: usize) -> Result<bool> {
        let (start, pos) = (self.start, self.pos);
        (self.start, self.pos) = (place, place);
        let found = self.looks_whole();
        (self.start, self.pos) = (start, pos);
        found
    }

    fn looks_whole(&mut self) -> Result<bool> {
        if !self.fill(self.pos, 1)? {
            return Ok(false);
        }
        if self.buf[self.pos] == b'*' {
            let left = self.left(self.pos);
            let mut wanted = 4096;
            loop {
                self.fill(self.pos, wanted)?;
                let mut name = None;
                let step = resp::scan(&self.buf[self.pos..], |word| {
                    name.get_or_insert_with(|| word.to_vec());
                });
                match step {
                    Step::Done(_) => {
                        let name = name.unwrap_or_default();
                        return Ok(name.len() >= 2
                            && name
                                .iter()
                                .all(|b| b.is_ascii_alphanumeric() || b"-.|_".contains(b)));
                    }
                    Step::More(needed) if needed as u64 <= left && !self.at_end => {
                        wanted = needed.max(wanted * 2)
                    }
                    _ => return Ok(false),
                }
            }
        }
        // Times may stand before the frame, and its checksum covers them.
        loop {
            if self.buf.get(self.pos) != Some(&b'#') {
                return Ok(false);
            }
            let Ok(end) = self.line_end() else {
                return Ok(false);
            };
            let line = &self.buf[self.pos..end];
            match frame::parse(line, &self.buf[self.start..end]) {
                Ok(Line::Time(_) | Line::History(_)) => self.pos = end,
                Ok(Line::Begin(_) | Line::End(_)) => return Ok(true),
                Ok(Line::Frame(head)) => {
                    if head.len > self.left(end) || !self.fill(end, head.len as usize)? {
                        return Ok(false);
                    }
                    let unit = &self.buf[end..end + head.len as usize];
                    let before = &self.buf[self.start..end];
                    return Ok(Chain::check_own(&head, before, unit).is_some());
                }
                Ok(Line::Other) | Err(_) => return Ok(false),
            }
            self.fill(self.pos, 1)?;
        }
    }

    /// After [`Reader::resync`]: the frames that were passed over are given up, the next one is taken as it is.
    pub fn accept_gap(&mut self) {
        self.chain = None;
        self.whole_chain = false;
        self.begun = true;
    }
}
