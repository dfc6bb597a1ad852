//! Annotation lines of the append-only file. They begin with `#`, so that Redis and Valkey pass over them.
//!
//! Before each unit (one command, or MULTI to EXEC) stands a frame:
//!
//! ```text
//! #F:<length>:<sequence>:<offset>:<own><chain>      numbers in hex, CR LF at the end
//! ```
//!
//! `length` counts the bytes of the unit, `sequence` the units, `offset` is the offset of the command log behind the
//! unit. The checksum of a unit covers everything since the last frame (times, the frame's numbers, the unit); its lower
//! half is `own`. `chain` is the upper half of a running value that each checksum is added to without any loss. A flipped
//! bit changes both by the same 64-bit amount, so the two halves together find what a whole CRC-64 finds; and `own` can
//! be checked alone, so that reading can go on behind a damaged frame.
//!
//! `#F:begin:…` stands where a writer began: in front of the first unit of a file, or behind what another server
//! appended. `#F:end:…` stands where it ended in good order. Both carry sequence, offset, the whole chain, and a
//! checksum of their own. `#TS:<seconds>` is Redis' own annotation. `#R:<40 hex digits>` before a frame is the
//! replication history that offsets belong to from there on; the frame's checksum covers it as it covers times.

use crc64fast::Digest;

use crate::base::planted::{self, Bug};

/// No line of ours is longer. Redis 7.0 reads lines into 128 bytes.
pub const LINE_MAX: usize = 96;

/// The state that runs through all frames of a history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// Sequence of the last unit; the first one is 1.
    pub seq: u64,
    /// Offset of the command log behind the last unit.
    pub offset: u64,
    pub value: u64,
}

/// An annotation line, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    Frame(Head),
    Begin(Chain),
    End(Chain),
    /// Unix seconds.
    Time(i64),
    /// The history of the replication stream that the offsets from here on belong to.
    History(String),
    /// Somebody else's.
    Other,
}

/// What a frame says of its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub len: u64,
    pub seq: u64,
    pub offset: u64,
    own: u32,
    chain: u32,
}

/// The line looks like ours and is not as we write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged;

impl Chain {
    /// A chain that no other history shares.
    pub fn new(offset: u64) -> Chain {
        let mut bytes = [0u8; 8];
        getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
        Chain {
            seq: 0,
            offset,
            value: u64::from_le_bytes(bytes),
        }
    }

    /// Appends the next unit with its frame. `lead` is what stands in `out` since the last frame: times.
    pub fn write_frame(&mut self, out: &mut Vec<u8>, lead: usize, unit: &[u8], offset: u64) {
        let line = out.len();
        out.extend_from_slice(b"#F:");
        push_hex(out, unit.len() as u64);
        out.push(b':');
        push_hex(out, self.seq + 1);
        out.push(b':');
        push_hex(out, offset);
        out.push(b':');
        let mut digest = Digest::new();
        digest.write(&out[line - lead..]);
        digest.write(unit);
        self.advance(digest.sum64(), offset);
        push_hex_fixed(out, digest.sum64() & 0xffff_ffff, 8);
        push_hex_fixed(out, self.value >> 32, 8);
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(unit);
    }

    fn advance(&mut self, checksum: u64, offset: u64) {
        self.seq += 1;
        self.offset = offset;
        // Rotation and the odd factor lose nothing: another former value gives another result.
        self.value = self
            .value
            .rotate_left(1)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            ^ checksum;
    }

    /// Appends the line that begins a file or goes on in one.
    pub fn write_begin(&self, out: &mut Vec<u8>, lead: usize) {
        self.write_mark(out, lead, b"begin");
    }

    /// Appends the line that ends a file in good order.
    pub fn write_end(&self, out: &mut Vec<u8>, lead: usize) {
        self.write_mark(out, lead, b"end");
    }

    fn write_mark(&self, out: &mut Vec<u8>, lead: usize, name: &[u8]) {
        let line = out.len();
        out.extend_from_slice(b"#F:");
        out.extend_from_slice(name);
        out.push(b':');
        push_hex(out, self.seq);
        out.push(b':');
        push_hex(out, self.offset);
        out.push(b':');
        push_hex_fixed(out, self.value, 16);
        out.push(b':');
        let mut digest = Digest::new();
        digest.write(&out[line - lead..]);
        push_hex_fixed(out, digest.sum64(), 16);
        out.extend_from_slice(b"\r\n");
    }

    /// Checks a unit against its frame, without the chain. `before` is everything from the end of the last unit to the
    /// end of the frame's line. The checksum if it is right.
    pub fn check_own(head: &Head, before: &[u8], unit: &[u8]) -> Option<u64> {
        // 16 digits, CR and LF are not covered.
        let covered = before.get(..before.len().checked_sub(18)?)?;
        let mut digest = Digest::new();
        digest.write(covered);
        digest.write(unit);
        let checksum = digest.sum64();
        let right = checksum as u32 == head.own || planted::is(Bug::NoChecksum);
        right.then_some(checksum)
    }

    /// Takes a unit into the chain. False: something is missing or does not belong here; the chain stays.
    pub fn follow(&mut self, head: &Head, checksum: u64) -> bool {
        let mut next = *self;
        next.advance(checksum, head.offset);
        let right = head.seq == next.seq && (next.value >> 32) as u32 == head.chain;
        if planted::is(Bug::NoChain) || right {
            self.value = next.value;
            self.jump(head);
            return true;
        }
        false
    }

    /// Goes on at a frame whose predecessors are lost: the lower half of the value is unknown, so the chain of the next
    /// frames cannot be checked until a mark says the whole.
    pub fn jump(&mut self, head: &Head) {
        self.seq = head.seq;
        self.offset = head.offset;
    }
}

/// Understands the annotation line `line`, which ends with LF. `before` is everything from the end of the last unit to
/// the end of this line.
pub fn parse(line: &[u8], before: &[u8]) -> Result<Line, Damaged> {
    if let Some(rest) = line.strip_prefix(b"#TS:") {
        let digits = rest.strip_suffix(b"\r\n").or(rest.strip_suffix(b"\n"));
        let seconds = digits.and_then(crate::base::num::parse_i64);
        return seconds.map(Line::Time).ok_or(Damaged);
    }
    if let Some(rest) = line.strip_prefix(b"#R:") {
        let id = rest.strip_suffix(b"\r\n").ok_or(Damaged)?;
        let right = id.len() == 40 && id.iter().all(u8::is_ascii_hexdigit);
        let id = String::from_utf8(id.to_vec()).map_err(|_| Damaged)?;
        return right.then_some(Line::History(id)).ok_or(Damaged);
    }
    let Some(rest) = line.strip_prefix(b"#F:") else {
        return Ok(Line::Other);
    };
    let rest = rest.strip_suffix(b"\r\n").ok_or(Damaged)?;
    let mut fields = rest.split(|b| *b == b':');
    let mut next = || fields.next().ok_or(Damaged);
    let first = next()?;
    let line = match first {
        b"begin" | b"end" => {
            let chain = Chain {
                seq: hex(next()?)?,
                offset: hex(next()?)?,
                value: hex_fixed(next()?, 16)?,
            };
            let said = hex_fixed(next()?, 16)?;
            // A mark that goes on in a file of another server covers itself alone.
            if sum_of(before) != said && sum_of(line) != said {
                return Err(Damaged);
            }
            if first == b"begin" {
                Line::Begin(chain)
            } else {
                Line::End(chain)
            }
        }
        len => {
            let (len, seq, offset, sums) = (hex(len)?, hex(next()?)?, hex(next()?)?, next()?);
            if sums.len() != 16 {
                return Err(Damaged);
            }
            Line::Frame(Head {
                len,
                seq,
                offset,
                own: hex_fixed(&sums[..8], 8)? as u32,
                chain: hex_fixed(&sums[8..], 8)? as u32,
            })
        }
    };
    if fields.next().is_some() {
        return Err(Damaged);
    }
    Ok(line)
}

/// The checksum of a mark: 16 digits, CR and LF are not covered.
fn sum_of(covered: &[u8]) -> u64 {
    let mut digest = Digest::new();
    digest.write(&covered[..covered.len().saturating_sub(18)]);
    digest.sum64()
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

fn push_hex(out: &mut Vec<u8>, n: u64) {
    push_hex_fixed(out, n, (64 - n.leading_zeros() as usize).div_ceil(4).max(1));
}

fn push_hex_fixed(out: &mut Vec<u8>, n: u64, digits: usize) {
    let mut text = [0u8; 16];
    for (at, place) in text[..digits].iter_mut().rev().enumerate() {
        *place = DIGITS[(n >> (at * 4)) as usize & 15];
    }
    out.extend_from_slice(&text[..digits]);
}

/// A number as [`push_hex`] writes it, and no other way.
fn hex(text: &[u8]) -> Result<u64, Damaged> {
    if text.len() > 1 && text[0] == b'0' {
        return Err(Damaged);
    }
    hex_fixed(text, text.len())
}

fn hex_fixed(text: &[u8], digits: usize) -> Result<u64, Damaged> {
    if text.len() != digits || digits == 0 || digits > 16 {
        return Err(Damaged);
    }
    text.iter().try_fold(0u64, |n, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return Err(Damaged),
        };
        Ok(n << 4 | u64::from(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line_end(bytes: &[u8]) -> usize {
        bytes.iter().position(|b| *b == b'\n').expect("a line") + 1
    }

    #[test]
    fn a_frame_says_what_was_written() {
        let mut chain = Chain {
            seq: 6,
            offset: 10,
            value: 7,
        };
        let mut reader = chain;
        let mut out = b"#TS:1700000000\r\n".to_vec();
        let lead = out.len();
        chain.write_frame(&mut out, lead, b"*1\r\n$4\r\nPING\r\n", 24);
        let end = lead + line_end(&out[lead..]);
        assert!(end - lead <= LINE_MAX);
        let Ok(Line::Frame(head)) = parse(&out[lead..end], &out[..end]) else {
            panic!("not a frame")
        };
        assert_eq!((head.len, head.seq, head.offset), (14, 7, 24));
        let sum = Chain::check_own(&head, &out[..end], &out[end..]).expect("the right sum");
        assert!(reader.follow(&head, sum));
        assert_eq!(reader, chain);
        assert!(!reader.follow(&head, sum), "the same unit twice");
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let start = Chain {
            seq: 0xfe,
            offset: 0,
            value: 99,
        };
        let mut chain = start;
        let mut out = b"#TS:1700000000\r\n".to_vec();
        chain.write_frame(&mut out, 16, b"*1\r\n$4\r\nPING\r\n", 14);
        for bit in 0..out.len() * 8 {
            let mut bad = out.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let fine = (|| {
                let time_end = bad.iter().position(|b| *b == b'\n')? + 1;
                parse(&bad[..time_end], &bad[..time_end]).ok()?;
                let end = time_end + bad[time_end..].iter().position(|b| *b == b'\n')? + 1;
                let Ok(Line::Frame(head)) = parse(&bad[time_end..end], &bad[..end]) else {
                    return None;
                };
                (head.len as usize == bad.len() - end).then_some(())?;
                let sum = Chain::check_own(&head, &bad[..end], &bad[end..])?;
                start.clone().follow(&head, sum).then_some(())
            })();
            assert!(
                fine.is_none(),
                "bit {bit} of {}",
                String::from_utf8_lossy(&bad)
            );
        }
    }

    #[test]
    fn marks_carry_the_whole_chain_and_their_own_sum() {
        let chain = Chain {
            seq: u64::MAX,
            offset: u64::MAX,
            value: u64::MAX,
        };
        let mut out = Vec::new();
        chain.write_begin(&mut out, 0);
        assert!(out.len() <= LINE_MAX, "{}", out.len());
        assert_eq!(parse(&out, &out), Ok(Line::Begin(chain)));
        for bit in 0..out.len() * 8 {
            let mut bad = out.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(
                !matches!(parse(&bad, &bad), Ok(Line::Begin(_) | Line::End(_))),
                "bit {bit}"
            );
        }
        out.clear();
        chain.write_end(&mut out, 0);
        assert_eq!(parse(&out, &out), Ok(Line::End(chain)));
        assert_eq!(parse(b"#TS:12\r\n", b""), Ok(Line::Time(12)));
        assert_eq!(parse(b"#TS:x\r\n", b""), Err(Damaged));
        assert_eq!(parse(b"#hello\n", b""), Ok(Line::Other));
        let id = "0123456789abcdef0123456789abcdef01234567";
        let line = format!("#R:{id}\r\n");
        assert_eq!(parse(line.as_bytes(), b""), Ok(Line::History(id.into())));
        assert_eq!(parse(b"#R:0123\r\n", b""), Err(Damaged));
        assert_eq!(parse(b"#F:01:1:1:0000000000000000\r\n", b""), Err(Damaged));
    }
}
