//! Reading one file of commands: units come out whole and checked, or a [`Fault`] says what is wrong and where.
//!
//! Files of other servers have no frames; then a unit is what parses. A file of ours that another server went on with
//! has both. Reading can go on behind a fault with [`Reader::resync`].

mod fault;
mod plain;
mod resync;

use std::io::{self, Read};

use crc64fast::Digest;
use memchr::memchr;

use fault::keys;
pub use fault::{Fault, FaultKind};

use super::frame::{self, Chain, Head, Line};
use super::resp::{self, Step};

const READ_STEP: usize = 1 << 20;
/// A comment of another server may be longer than any line of ours, but not endless.
const COMMENT_MAX: usize = 64 << 10;

/// What was read. Positions are offsets in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// Commands; [`Reader::bytes`] has them. `from` is where the unit's annotations begin.
    Unit {
        from: u64,
        end: u64,
        framed: bool,
    },
    Time(i64),
    /// Offsets belong to this replication history from here on.
    History(String),
    Begin(Chain),
    End(Chain),
}

pub struct Reader<R> {
    source: R,
    /// Bytes of the file.
    total: u64,
    buf: Vec<u8>,
    /// Offset in the file of `buf[0]`.
    base: u64,
    /// End of the last unit, and how far the annotations behind it were read; in `buf`.
    start: usize,
    pos: usize,
    /// The commands of the last unit, in `buf`.
    unit: std::ops::Range<usize>,
    at_end: bool,
    chain: Option<Chain>,
    /// The chain's value is known and not only its sequence.
    whole_chain: bool,
    /// The file has frames of ours.
    pub framed: bool,
    /// Units without frames since the last frame or mark.
    foreign: u64,
    /// Units of this sequence and below were read in a former part, which a failed sync made be written again.
    done_seq: u64,
    /// The last unit before this file, where the chain does not say it.
    last_before: Option<u64>,
    /// A mark stood before the frames, as it must in each file; or the lack of it was accepted.
    begun: bool,
    /// The last thing in the file is an end mark.
    pub ended: bool,
    /// Where the unit behind a damaged one begins, if its length is right; an offset in the file.
    next_try: Option<u64>,
    lines: u64,
    digest: Digest,
}

type Result<T> = std::result::Result<T, Box<Fault>>;

impl<R: Read> Reader<R> {
    /// Reads `source` of `total` bytes; `chain` is what the part before it ended with.
    pub fn new(source: R, total: u64, chain: Option<Chain>) -> Reader<R> {
        Reader {
            source,
            total,
            buf: Vec::new(),
            base: 0,
            start: 0,
            pos: 0,
            unit: 0..0,
            at_end: false,
            done_seq: 0,
            last_before: None,
            whole_chain: chain.is_some(),
            chain,
            framed: false,
            foreign: 0,
            begun: false,
            ended: false,
            next_try: None,
            lines: 1,
            digest: Digest::new(),
        }
    }

    /// Nothing is known of the chain, but that unit `last` came before this file: a later beginning is a gap.
    pub fn follows(mut self, last: Option<u64>) -> Reader<R> {
        self.last_before = last.filter(|_| self.chain.is_none());
        self
    }

    /// Passes over what another reader has read, such as a snapshot at the beginning of the file.
    pub fn begins_at(mut self, offset: u64) -> Reader<R> {
        self.base = offset;
        self
    }

    /// The chain behind the last unit.
    pub fn chain(&self) -> Option<Chain> {
        self.chain
    }

    /// What the next part must go on from; nothing is known behind units of another server.
    pub fn carry(&self) -> Option<Chain> {
        self.chain.filter(|_| self.foreign == 0 && self.whole_chain)
    }

    /// Whether units without frames stand behind the last frame.
    pub fn has_foreign_tail(&self) -> bool {
        self.foreign > 0
    }

    /// Where the last unit ends.
    pub fn good(&self) -> u64 {
        self.base + self.start as u64
    }

    /// Lines of the file up to here, from 1.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// The checksum of everything read.
    pub fn checksum(&self) -> u64 {
        self.digest.sum64()
    }

    /// The checksum so far, to go on with.
    pub fn digest(&self) -> Digest {
        self.digest.clone()
    }

    /// The commands of the unit that [`Reader::next`] returned last.
    pub fn bytes(&self) -> &[u8] {
        &self.buf[self.unit.clone()]
    }

    /// Annotations and commands of that unit, as they stand in the file.
    pub fn raw(&self, from: u64, end: u64) -> &[u8] {
        let at =
            |offset: u64| usize::try_from(offset.saturating_sub(self.base)).unwrap_or(usize::MAX);
        self.buf.get(at(from)..at(end)).unwrap_or_default()
    }

    /// Makes `wanted` bytes from `from` on available, if the file has them.
    fn fill(&mut self, from: usize, wanted: usize) -> Result<bool> {
        while self.buf.len() - from < wanted && !self.at_end {
            let old = self.buf.len();
            let left = self.total.saturating_sub(self.base + old as u64);
            let missing = (wanted - (old - from)).max(READ_STEP);
            let step = usize::try_from(left).unwrap_or(usize::MAX).min(missing);
            if step == 0 {
                self.at_end = true;
                break;
            }
            self.buf.resize(old + step, 0);
            let got = loop {
                match self.source.read(&mut self.buf[old..]) {
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    other => break other,
                }
            };
            let got = got.map_err(|e| {
                self.buf.truncate(old);
                self.fault(FaultKind::Io(e.kind()), old, format!("cannot be read: {e}"))
            })?;
            self.buf.truncate(old + got);
            self.digest.write(&self.buf[old..]);
            self.at_end = got == 0;
        }
        Ok(self.buf.len() - from >= wanted)
    }

    /// Bytes of the file from `pos` on.
    fn left(&self, pos: usize) -> u64 {
        self.total.saturating_sub(self.base + pos as u64)
    }

    fn compact(&mut self) {
        if self.start > READ_STEP && self.start > self.buf.len() / 2 || self.start == self.buf.len()
        {
            self.buf.drain(..self.start);
            self.base += self.start as u64;
            self.pos -= self.start;
            self.unit = 0..0;
            self.start = 0;
        }
    }

    /// The next thing in the file; `None` at its end.
    pub fn next_item(&mut self) -> Result<Option<Item>> {
        self.compact();
        loop {
            if !self.fill(self.pos, 1)? {
                return Ok(None);
            }
            let item = match self.buf[self.pos] {
                b'#' => self.annotation()?,
                _ => Some(self.plain_unit()?),
            };
            if item.is_some() {
                return Ok(item);
            }
        }
    }

    fn annotation(&mut self) -> Result<Option<Item>> {
        let line = self.pos..self.line_end()?;
        let before = &self.buf[self.start..line.end];
        match frame::parse(&self.buf[line.clone()], before) {
            Ok(Line::Time(seconds)) => {
                self.lines += 1;
                self.pos = line.end;
                Ok(Some(Item::Time(seconds)))
            }
            Ok(Line::History(id)) => {
                self.lines += 1;
                self.pos = line.end;
                Ok(Some(Item::History(id)))
            }
            Ok(Line::Frame(head)) => self.framed_unit(&head, line.end),
            Ok(Line::Begin(chain)) => self.begin(chain, line.end).map(Some),
            Ok(Line::End(chain)) => self.end(chain, line.end).map(Some),
            Ok(Line::Other) if !self.framed => {
                self.lines += 1;
                self.pos = line.end;
                Ok(None)
            }
            Ok(Line::Other) | Err(_) => Err(self.bad_line(line.end)),
        }
    }

    fn bad_line(&mut self, end: usize) -> Box<Fault> {
        let mut fault = self.fault(
            FaultKind::Damaged,
            self.pos,
            "An annotation is not as it was written".into(),
        );
        if self.framed {
            fault.seq = self.chain.map(|c| c.seq.saturating_add(1));
        }
        let _ = self.fill(end, 4096);
        fault.keys = keys(&self.buf[end..]);
        fault
    }

    /// Where the line at `pos` ends, its LF included.
    fn line_end(&mut self) -> Result<usize> {
        let mut wanted = frame::LINE_MAX;
        loop {
            let there = self.fill(self.pos, wanted)?;
            if let Some(end) = memchr(b'\n', &self.buf[self.pos..]) {
                return Ok(self.pos + end + 1);
            }
            let rest = &self.buf[self.pos..];
            if rest.len() >= COMMENT_MAX {
                return Err(self.fault(
                    FaultKind::Damaged,
                    self.pos,
                    "A comment without an end".into(),
                ));
            }
            if !there {
                let zero = memchr(0, rest);
                let kind = match zero {
                    Some(at) if rest[at..].iter().all(|b| *b == 0) => FaultKind::Zeros,
                    Some(_) => FaultKind::Damaged,
                    None => {
                        let text = rest.strip_suffix(b"\r").unwrap_or(rest);
                        if text.iter().all(|b| b.is_ascii_graphic()) || !self.framed {
                            FaultKind::Truncated
                        } else {
                            FaultKind::Damaged
                        }
                    }
                };
                return Err(self.fault(
                    kind,
                    self.buf.len(),
                    "Unexpected end within an annotation".into(),
                ));
            }
            wanted *= 8;
        }
    }

    fn framed_unit(&mut self, head: &Head, line_end: usize) -> Result<Option<Item>> {
        self.framed = true;
        if !self.begun {
            // The line that begins the frames was not understood.
            let mut fault = self.fault(
                FaultKind::Damaged,
                self.pos,
                "A unit stands before any mark of a beginning".into(),
            );
            fault.seq = Some(head.seq);
            return Err(fault);
        }
        let left = self.left(line_end);
        if head.len > left {
            return Err(self.cut_unit(head, line_end));
        }
        let len = usize::try_from(head.len).unwrap_or(usize::MAX);
        if !self.fill(line_end, len)? {
            return Err(self.cut_unit(head, line_end));
        }
        let end = line_end + len;
        let unit = line_end..end;
        let checksum = Chain::check_own(
            head,
            &self.buf[self.start..line_end],
            &self.buf[unit.clone()],
        );
        let Some(checksum) = checksum else {
            return Err(self.damaged_unit(head, unit));
        };
        let mut repeated = false;
        if let Some(mut chain) = self.chain {
            if self.whole_chain && !chain.follow(head, checksum)
                || !self.whole_chain && head.seq != chain.seq.saturating_add(1)
            {
                return Err(self.gap(head));
            }
            if !self.whole_chain {
                chain.jump(head);
            }
            repeated = head.seq <= self.done_seq;
            self.chain = Some(chain);
        } else {
            // The file begins without a mark: only its own checksums can be checked.
            let mut chain = Chain::default();
            chain.jump(head);
            (self.chain, self.whole_chain) = (Some(chain), false);
        }
        self.lines += 1 + memchr::memchr_iter(b'\n', &self.buf[unit.clone()]).count() as u64;
        let from = self.base + self.start as u64;
        (self.start, self.pos) = (end, end);
        self.unit = unit;
        self.foreign = 0;
        self.ended = false;
        let item = Item::Unit {
            from,
            end: self.base + end as u64,
            framed: true,
        };
        Ok((!repeated).then_some(item))
    }

    /// The file ends before the unit does; unless it is the frame's number that is wrong.
    fn cut_unit(&mut self, head: &Head, line_end: usize) -> Box<Fault> {
        // A unit that is there in whole was not cut.
        let _ = self.fill(line_end, READ_STEP * 4);
        let rest = &self.buf[line_end..];
        let zeros = rest.iter().rev().take_while(|b| **b == 0).count();
        let mut text = &rest[..rest.len() - zeros];
        let mut whole = !text.is_empty() && zeros == 0;
        let mut wrong = false;
        loop {
            match resp::scan(text, |_| ()) {
                Step::Done(end) if end == text.len() => break,
                Step::Done(end) => {
                    text = &text[end..];
                    if text.first() == Some(&b'#') {
                        // The next frame: this one's length is wrong.
                        wrong = true;
                        break;
                    }
                }
                Step::More(_) => {
                    whole = false;
                    break;
                }
                Step::Bad { .. } => {
                    wrong = zeros == 0;
                    whole = false;
                    break;
                }
            }
        }
        let (kind, what) = if whole || wrong {
            (
                FaultKind::Damaged,
                "The length of a unit is not as it was written",
            )
        } else if zeros > 0 {
            (
                FaultKind::Zeros,
                "The end of the file was never written: zeros",
            )
        } else {
            (FaultKind::Truncated, "Unexpected end of file")
        };
        let keys = keys(rest);
        let at = if whole || wrong {
            self.pos
        } else {
            self.buf.len() - zeros
        };
        let mut fault = self.fault(kind, at, what.into());
        fault.seq = Some(head.seq);
        fault.keys = keys;
        fault
    }

    fn damaged_unit(&mut self, head: &Head, unit: std::ops::Range<usize>) -> Box<Fault> {
        self.next_try = Some(self.base + unit.end as u64);
        let bytes = &self.buf[unit.clone()];
        let keys = keys(bytes);
        let zeros = bytes.iter().rev().take_while(|b| **b == 0).count();
        // What was written ends with CR and LF.
        let rest = self.left(unit.end);
        let last =
            zeros > 0 && zeros as u64 + rest > 1 && (rest == 0 || self.only_zeros_from(unit.end));
        let (kind, what, at) = if last {
            (
                FaultKind::Zeros,
                "The end of the file was never written: zeros",
                unit.end - zeros,
            )
        } else {
            (
                FaultKind::Damaged,
                "The checksum of a unit is wrong",
                unit.start,
            )
        };
        let mut fault = self.fault(kind, at, what.into());
        fault.seq = Some(head.seq);
        fault.keys = keys;
        fault
    }

    /// The frame is right, but it does not follow the last one.
    fn gap(&mut self, head: &Head) -> Box<Fault> {
        let last = self.chain.map_or(0, |c| c.seq);
        let next = last.saturating_add(1);
        let (kind, what) = if head.seq > next {
            let to = head.seq - 1;
            (
                FaultKind::Missing { from: next, to },
                format!("{} units are missing here, {next} to {to}", to - last),
            )
        } else {
            (
                FaultKind::Damaged,
                format!("Unit {} does not belong behind unit {last}", head.seq),
            )
        };
        let mut fault = self.fault(kind, self.pos, what);
        fault.seq = Some(head.seq);
        fault
    }

    fn begin(&mut self, begin: Chain, end: usize) -> Result<Item> {
        let fits = match self.chain {
            Some(last) if self.whole_chain && self.foreign == 0 => {
                let rewritten = begin.seq < last.seq && self.good() == 0;
                if rewritten {
                    // A failed sync: what was not known to be safe was written again here.
                    self.done_seq = last.seq;
                }
                rewritten || begin.seq == last.seq && begin.value == last.value
            }
            Some(last) if self.foreign == 0 => begin.seq == last.seq,
            None if self.foreign == 0 => self.last_before.is_none_or(|last| begin.seq <= last),
            _ => true,
        };
        if !fits {
            let before = self.last_before.unwrap_or(0);
            let last = self.chain.map_or(before, |c| c.seq);
            let (kind, what) = if begin.seq > last {
                let (from, to) = (last + 1, begin.seq);
                (
                    FaultKind::Missing { from, to },
                    format!("{} units are missing here, {from} to {to}", to - last),
                )
            } else {
                (
                    FaultKind::Damaged,
                    format!("What begins here does not belong behind unit {last}"),
                )
            };
            // Reading may go on from here.
            let fault = self.fault(kind, self.pos, what);
            self.take_mark(begin, end);
            return Err(fault);
        }
        self.take_mark(begin, end);
        self.ended = false;
        Ok(Item::Begin(begin))
    }

    fn end(&mut self, chain: Chain, end: usize) -> Result<Item> {
        let fits = self.chain.is_none_or(|last| {
            last.seq == chain.seq && (last.value == chain.value || !self.whole_chain)
        });
        if !fits {
            let last = self.chain.map_or(0, |c| c.seq);
            let (from, to) = (last.saturating_add(1), chain.seq);
            let kind = if to >= from {
                FaultKind::Missing { from, to }
            } else {
                FaultKind::Damaged
            };
            let fault = self.fault(
                kind,
                self.pos,
                format!("The file ended with unit {to}, and here is unit {last}"),
            );
            self.take_mark(chain, end);
            return Err(fault);
        }
        self.take_mark(chain, end);
        self.ended = true;
        Ok(Item::End(chain))
    }

    fn take_mark(&mut self, chain: Chain, end: usize) {
        (self.framed, self.begun) = (true, true);
        (self.chain, self.whole_chain) = (Some(chain), true);
        self.foreign = 0;
        self.lines += 1;
        (self.start, self.pos) = (end, end);
    }

    /// Whether the file has only zeros from there on. Reads what is in the buffer and 1 MiB more, which is enough to
    /// tell a hole from data.
    fn only_zeros_from(&mut self, at: usize) -> bool {
        let _ = self.fill(at, READ_STEP);
        self.buf[at..].iter().all(|b| *b == 0)
    }

    fn fault(&self, kind: FaultKind, at: usize, what: String) -> Box<Fault> {
        let seen = &self.buf[self.start..at.clamp(self.start, self.buf.len())];
        Box::new(Fault {
            kind,
            at: self.base + at as u64,
            from: self.good(),
            seq: None,
            keys: Vec::new(),
            what,
            line: self.lines + memchr::memchr_iter(b'\n', seen).count() as u64,
        })
    }
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
