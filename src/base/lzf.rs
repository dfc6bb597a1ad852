//! LZF, as Redis' files have it: a stream of literal runs and of references to what came before.
//!
//! ```text
//! 000LLLLL                     L + 1 literal bytes follow
//! LLLooooo oooooooo            L + 2 bytes from `offset + 1` bytes back, L from 1 to 6
//! 111ooooo LLLLLLLL oooooooo   L + 9 bytes from there
//! ```
//! The table of the compressor is kept from one call to the next and never cleared: positions in it are
//! numbered through all calls. That makes short strings cheap, of which a data set has millions.

const HASH_BITS: u32 = 14;
const MAX_OFFSET: usize = 1 << 13;
const MAX_MATCH: usize = (1 << 8) + (1 << 3);
const MAX_LITERALS: usize = 1 << 5;
/// No stream becomes longer than its own length times this: three bytes stand for [`MAX_MATCH`].
pub const MAX_RATIO: usize = MAX_MATCH / 3 + 1;

/// The compressor's table.
pub struct Lzf {
    /// Position plus one of the last place where three bytes of this hash stood, over all calls.
    table: Box<[u32]>,
    /// What positions of the present call are numbered from.
    base: u32,
}

impl Default for Lzf {
    fn default() -> Self {
        Lzf {
            table: vec![0; 1 << HASH_BITS].into_boxed_slice(),
            base: 0,
        }
    }
}

#[inline]
fn slot(data: &[u8], at: usize) -> usize {
    let bytes = u32::from(data[at]) << 16 | u32::from(data[at + 1]) << 8 | u32::from(data[at + 2]);
    (bytes.wrapping_mul(0x9e37_79b1) >> (32 - HASH_BITS)) as usize
}

impl Lzf {
    /// Appends the compressed form of `data` to `out` if that takes at most `limit` bytes; otherwise `out` is left as it
    /// was. Returns the number of bytes appended.
    pub fn compress(&mut self, data: &[u8], limit: usize, out: &mut Vec<u8>) -> Option<usize> {
        let begin = out.len();
        let len = u32::try_from(data.len())
            .ok()
            .filter(|len| *len < 1 << 31)?;
        if self.base.checked_add(len + 1).is_none() {
            self.table.fill(0);
            self.base = 0;
        }
        let done = self.run(data, begin + limit, out);
        self.base += len + 1;
        if done && out.len() - begin <= limit {
            return Some(out.len() - begin);
        }
        out.truncate(begin);
        None
    }

    /// Whether there is a match for what stands at `at`: where it begins. The table learns the place.
    #[inline]
    fn find(&mut self, data: &[u8], at: usize) -> Option<usize> {
        let entry = &mut self.table[slot(data, at)];
        let here = self.base + at as u32 + 1;
        let before = std::mem::replace(entry, here);
        let found = before.checked_sub(self.base + 1)? as usize;
        (found < at && at - found <= MAX_OFFSET && data[found..found + 3] == data[at..at + 3])
            .then_some(found)
    }

    /// False as soon as `out` is longer than `end`.
    fn run(&mut self, data: &[u8], end: usize, out: &mut Vec<u8>) -> bool {
        let (mut at, mut literals) = (0, 0);
        while at + 2 < data.len() {
            let Some(from) = self.find(data, at) else {
                at += 1;
                if at - literals > end.saturating_sub(out.len()) {
                    return false;
                }
                continue;
            };
            put_literals(out, &data[literals..at]);
            let most = (data.len() - at).min(MAX_MATCH);
            let len = common(&data[from..from + most], &data[at..at + most]);
            put_match(out, at - from - 1, len - 2);
            if out.len() > end {
                return false;
            }
            let next = at + len;
            // The places right before the end of a match are worth finding again.
            for place in [next - 2, next - 1] {
                if place + 2 < data.len() {
                    self.table[slot(data, place)] = self.base + place as u32 + 1;
                }
            }
            (at, literals) = (next, next);
        }
        put_literals(out, &data[literals..]);
        out.len() <= end
    }
}

/// How many bytes two slices of one length have in common at their beginning.
#[inline]
fn common(a: &[u8], b: &[u8]) -> usize {
    let (words_a, rest_a) = a.as_chunks::<8>();
    let (words_b, rest_b) = b.as_chunks::<8>();
    let mut len = 0;
    for (x, y) in words_a.iter().zip(words_b) {
        let differ = u64::from_le_bytes(*x) ^ u64::from_le_bytes(*y);
        if differ != 0 {
            return len + differ.trailing_zeros() as usize / 8;
        }
        len += 8;
    }
    len + rest_a
        .iter()
        .zip(rest_b)
        .take_while(|(x, y)| x == y)
        .count()
}

fn put_literals(out: &mut Vec<u8>, literals: &[u8]) {
    for run in literals.chunks(MAX_LITERALS) {
        out.push((run.len() - 1) as u8);
        out.extend_from_slice(run);
    }
}

fn put_match(out: &mut Vec<u8>, offset: usize, len: usize) {
    let high = (offset >> 8) as u8;
    if len < 7 {
        out.push((len as u8) << 5 | high);
    } else {
        out.push(7 << 5 | high);
        out.push((len - 7) as u8);
    }
    out.push(offset as u8);
}

/// Appends the plain form of `data`, which has to be exactly `len` bytes long, to `out`. `None`, with `out` as it was, if
/// the stream is damaged or of another length. Memory grows with what comes out, not with `len`.
pub fn decompress(data: &[u8], len: usize, out: &mut Vec<u8>) -> Option<()> {
    if len > data.len().saturating_mul(MAX_RATIO) {
        return None;
    }
    let begin = out.len();
    let done = expand(data, begin.checked_add(len)?, out).filter(|()| out.len() - begin == len);
    if done.is_none() {
        out.truncate(begin);
    }
    done
}

fn expand(mut data: &[u8], end: usize, out: &mut Vec<u8>) -> Option<()> {
    let begin = out.len();
    out.reserve(end - begin);
    while let Some((&control, rest)) = data.split_first() {
        data = rest;
        if control < 1 << 5 {
            let (literals, rest) = data.split_at_checked(control as usize + 1)?;
            if out.len() + literals.len() > end {
                return None;
            }
            out.extend_from_slice(literals);
            data = rest;
            continue;
        }
        let mut len = (control >> 5) as usize;
        if len == 7 {
            let (&more, rest) = data.split_first()?;
            len += more as usize;
            data = rest;
        }
        let (&low, rest) = data.split_first()?;
        data = rest;
        let back = ((control as usize & 0x1f) << 8 | low as usize) + 1;
        let len = len + 2;
        let from = out.len().checked_sub(back).filter(|from| *from >= begin)?;
        if out.len() + len > end {
            return None;
        }
        if back >= len {
            out.extend_from_within(from..from + len);
        } else {
            // The copy reads what it has just written.
            for at in from..from + len {
                out.push(out[at]);
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    fn packed(lzf: &mut Lzf, data: &[u8]) -> Option<Vec<u8>> {
        let mut out = b"x".to_vec();
        let len = lzf.compress(data, data.len(), &mut out)?;
        assert_eq!(out.len(), len + 1);
        Some(out.split_off(1))
    }

    fn plain(data: &[u8], len: usize) -> Option<Vec<u8>> {
        let mut out = b"y".to_vec();
        match decompress(data, len, &mut out) {
            Some(()) => Some(out.split_off(1)),
            None => {
                assert_eq!(out, b"y");
                None
            }
        }
    }

    /// The second and third stream are redis-server's.
    #[test]
    fn runs_are_references_to_themselves() {
        let mut lzf = Lzf::default();
        assert_eq!(packed(&mut lzf, &[b'a'; 21]).unwrap(), b"\0a\xe0\x0b\0");
        assert_eq!(plain(b"\x01aa\xe0\x0a\x00", 21).unwrap(), [b'a'; 21]);
        assert_eq!(plain(b"\x01aa\xe0\x39\x00\x01aa", 70).unwrap(), [b'a'; 70]);
    }

    #[test]
    fn texts_come_back() {
        let mut lzf = Lzf::default();
        let mut rng = Rng::new(5);
        let mut shrunk = 0;
        for round in 0..3000 {
            let letters = 1 + rng.below(if round % 3 == 0 { 250 } else { 4 });
            let len = rng.below(if round % 50 == 0 { 70_000 } else { 300 });
            let mut data: Vec<u8> = (0..len).map(|_| rng.below(letters) as u8).collect();
            if round % 7 == 0 {
                data = data.repeat(3);
            }
            if let Some(small) = packed(&mut lzf, &data) {
                shrunk += 1;
                assert_eq!(plain(&small, data.len()).unwrap(), data);
                assert_eq!(plain(&small, data.len() + 1), None);
                if !data.is_empty() {
                    assert_eq!(plain(&small, data.len() - 1), None);
                }
            }
        }
        assert!(shrunk > 1500, "{shrunk}");
        lzf.base = u32::MAX - 10;
        let text = b"one two three one two three one two three".repeat(2);
        let small = packed(&mut lzf, &text).unwrap();
        assert_eq!(plain(&small, text.len()).unwrap(), text);
    }

    #[test]
    fn a_limit_is_kept() {
        let mut lzf = Lzf::default();
        let text = b"abcabcabcabcabcabcabcabcabcabcabc0123456789";
        let mut out = Vec::new();
        let need = lzf.compress(text, text.len(), &mut out).unwrap();
        for limit in 0..need {
            out.clear();
            assert_eq!(lzf.compress(text, limit, &mut out), None, "{limit}");
            assert!(out.is_empty());
        }
        assert_eq!(lzf.compress(text, need, &mut out), Some(need));
    }

    #[test]
    fn damage_is_refused_and_takes_no_memory() {
        assert_eq!(plain(b"\x20\x00", 3), None, "nothing stands before");
        assert_eq!(plain(b"\x05abc", 6), None, "literals are missing");
        assert_eq!(plain(b"\x00a\xe0\x0b", 21), None, "an offset is missing");
        assert_eq!(plain(b"\x00a", 1 << 40), None);
        assert_eq!(plain(b"", 0).unwrap(), b"");
        let mut rng = Rng::new(9);
        for _ in 0..20_000 {
            let data: Vec<u8> = (0..rng.below(20)).map(|_| rng.next_u64() as u8).collect();
            let len = rng.below(200) as usize;
            if let Some(text) = plain(&data, len) {
                assert_eq!(text.len(), len);
            }
        }
    }
}
