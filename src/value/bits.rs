//! Strings as sequences of bits, the most significant bit of the first byte first, and how long strings grow.

/// Strings grow by doubling up to this many bytes of spare room, as those of Redis do.
const SPARE_MAX: usize = 1024 * 1024;
/// Bytes that BITOP combines at a time, so that they stay in the first-level cache.
const BLOCK: usize = 4096;

/// Makes room for `len` bytes in all; `None` if there is no memory for them.
pub fn reserve(bytes: &mut Vec<u8>, len: usize) -> Option<()> {
    if len <= bytes.capacity() {
        return Some(());
    }
    let room = len.saturating_add(len.min(SPARE_MAX));
    bytes.try_reserve_exact(room - bytes.len()).ok()
}

/// Extends a string with zero bytes to `len`, if it is shorter; `None` if there is no memory for them.
pub fn grow(bytes: &mut Vec<u8>, len: usize) -> Option<()> {
    if len <= bytes.len() {
        return Some(());
    }
    if len - bytes.len() > SPARE_MAX && len > bytes.capacity() {
        // A huge step: pages that the kernel hands out as zeros need not be written.
        // (Whether there is so much room has to be asked first: `vec!` would end the process.)
        Vec::<u8>::new().try_reserve_exact(len).ok()?;
        let mut zeros = vec![0; len];
        zeros[..bytes.len()].copy_from_slice(bytes);
        *bytes = zeros;
        return Some(());
    }
    reserve(bytes, len)?;
    bytes.resize(len, 0);
    Some(())
}

/// The bit at `offset`; bits behind the end are 0.
pub fn get(bytes: &[u8], offset: usize) -> bool {
    bytes
        .get(offset / 8)
        .is_some_and(|byte| byte & mask(offset) != 0)
}

/// Sets the bit at `offset`, which must be inside, and returns the one before.
pub fn set(bytes: &mut [u8], offset: usize, on: bool) -> bool {
    let byte = &mut bytes[offset / 8];
    let before = *byte & mask(offset) != 0;
    if before != on {
        *byte ^= mask(offset);
    }
    before
}

fn mask(offset: usize) -> u8 {
    0x80 >> (offset % 8)
}

/// The bits of the first byte of a range that begins at bit `first`.
fn head_mask(first: usize) -> u8 {
    0xff >> (first % 8)
}

/// The bits of the last byte of a range that ends with bit `last`.
fn tail_mask(last: usize) -> u8 {
    0xff << (7 - last % 8)
}

/// Counts the ones.
pub fn count(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    let rest: u32 = rest.iter().map(|byte| byte.count_ones()).sum();
    let ones: u64 = words
        .iter()
        .map(|word| u64::from(u64::from_ne_bytes(*word).count_ones()))
        .sum();
    ones as usize + rest as usize
}

/// Counts the ones among bits `first..=last`, which must be inside.
pub fn count_range(bytes: &[u8], first: usize, last: usize) -> usize {
    let (from, to) = (first / 8, last / 8);
    let outside = (bytes[from] & !head_mask(first)).count_ones()
        + (bytes[to] & !tail_mask(last)).count_ones();
    count(&bytes[from..=to]) - outside as usize
}

/// The first bit among `first..=last`, which must be inside, that is `bit`.
pub fn position(bytes: &[u8], bit: bool, first: usize, last: usize) -> Option<usize> {
    let skip: u8 = if bit { 0 } else { 0xff };
    let found = |at: usize, allowed: u8| {
        let hits = (bytes[at] ^ skip) & allowed;
        (hits != 0).then(|| at * 8 + hits.leading_zeros() as usize)
    };
    let (from, to) = (first / 8, last / 8);
    if from == to {
        return found(from, head_mask(first) & tail_mask(last));
    }
    if let Some(at) = found(from, head_mask(first)) {
        return Some(at);
    }
    let middle = &bytes[from + 1..to];
    let (words, _) = middle.as_chunks::<8>();
    let skipped = words.iter().position(|word| *word != [skip; 8]);
    let start = skipped.unwrap_or(words.len()) * 8;
    let byte = middle[start..].iter().position(|&byte| byte != skip);
    match byte {
        Some(n) => found(from + 1 + start + n, 0xff),
        None => found(to, tail_mask(last)),
    }
}

/// The operations of BITOP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    And,
    Or,
    Xor,
    Not,
    /// Bits of the first that none of the others has.
    Diff,
    /// Bits of the others that the first has not.
    Diff1,
    /// Bits of the first that one of the others has.
    AndOr,
    /// Bits that exactly one has.
    One,
}

/// Combines strings; shorter ones count as filled up with zero bytes.
pub fn combine(op: Op, sources: &[&[u8]]) -> Vec<u8> {
    let len = sources.iter().map(|source| source.len()).max().unwrap_or(0);
    let mut result = vec![0; len];
    for (n, block) in result.chunks_mut(BLOCK).enumerate() {
        let from = n * BLOCK;
        let end = from + block.len();
        combine_block(
            op,
            sources
                .iter()
                .map(|s| &s[from.min(s.len())..end.min(s.len())]),
            block,
        );
    }
    result
}

fn combine_block<'a>(op: Op, mut parts: impl Iterator<Item = &'a [u8]>, out: &mut [u8]) {
    let first = parts.next().unwrap_or_default();
    match op {
        Op::And => {
            out[..first.len()].copy_from_slice(first);
            for part in parts {
                zip(out, part, |o, p| *o &= p);
                out[part.len()..].fill(0);
            }
        }
        Op::Or => {
            zip(out, first, |o, p| *o = p);
            parts.for_each(|part| zip(out, part, |o, p| *o |= p));
        }
        Op::Xor => {
            zip(out, first, |o, p| *o = p);
            parts.for_each(|part| zip(out, part, |o, p| *o ^= p));
        }
        Op::Not => {
            zip(out, first, |o, p| *o = p);
            out.iter_mut().for_each(|o| *o = !*o);
        }
        Op::Diff | Op::Diff1 | Op::AndOr => {
            parts.for_each(|part| zip(out, part, |o, p| *o |= p));
            match op {
                Op::Diff => {
                    zip(out, first, |o, p| *o = p & !*o);
                    out[first.len()..].fill(0);
                }
                Op::Diff1 => zip(out, first, |o, p| *o &= !p),
                _ => {
                    zip(out, first, |o, p| *o &= p);
                    out[first.len()..].fill(0);
                }
            }
        }
        Op::One => {
            let mut several = [0; BLOCK];
            zip(out, first, |o, p| *o = p);
            for part in parts {
                for ((o, more), &p) in out.iter_mut().zip(&mut several).zip(part) {
                    *more |= *o & p;
                    *o |= p;
                }
            }
            zip(out, &several, |o, more| *o &= !more);
        }
    }
}

fn zip(out: &mut [u8], part: &[u8], f: impl Fn(&mut u8, u8)) {
    out.iter_mut().zip(part).for_each(|(o, &p)| f(o, p));
}

/// The integer of `width` bits (1 to 64) at bit `offset`; bits behind the end are 0.
pub fn read_field(bytes: &[u8], offset: usize, width: u32) -> u64 {
    let at = offset / 8;
    let window = (0..9).fold(0u128, |window, n| {
        let byte = at.checked_add(n).and_then(|at| bytes.get(at)).copied();
        window << 8 | u128::from(byte.unwrap_or(0))
    });
    (window >> field_shift(offset, width)) as u64 & field_mask(width)
}

/// Stores an integer of `width` bits at bit `offset`; the field must be inside.
pub fn write_field(bytes: &mut [u8], offset: usize, width: u32, value: u64) {
    let (first, last) = (offset / 8, (offset + width as usize - 1) / 8);
    let shift = field_shift(offset, width);
    let value = u128::from(value & field_mask(width)) << shift;
    let mask = u128::from(field_mask(width)) << shift;
    for (n, byte) in bytes[first..=last].iter_mut().enumerate() {
        let shift = 64 - 8 * n;
        *byte = *byte & !((mask >> shift) as u8) | (value >> shift) as u8;
    }
}

/// How far a field is from the end of the nine bytes that begin with its first one.
fn field_shift(offset: usize, width: u32) -> u32 {
    72 - (offset % 8) as u32 - width
}

fn field_mask(width: u32) -> u64 {
    u64::MAX >> (64 - width)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    fn random(rng: &mut Rng, max: u64) -> Vec<u8> {
        let len = rng.below(max);
        let fill = rng.below(3);
        (0..len)
            .map(|_| match fill {
                0 if rng.below(20) > 0 => 0,
                1 if rng.below(20) > 0 => 0xff,
                _ => rng.next_u64() as u8,
            })
            .collect()
    }

    #[test]
    fn counts_and_finds_as_bit_by_bit() {
        let mut rng = Rng::new(1);
        for _ in 0..3000 {
            let bytes = random(&mut rng, 60);
            if bytes.is_empty() {
                continue;
            }
            let bits = bytes.len() as u64 * 8;
            let first = rng.below(bits) as usize;
            let last = first + rng.below(bits - first as u64) as usize;
            let plain = (first..=last).filter(|&at| get(&bytes, at)).count();
            assert_eq!(
                count_range(&bytes, first, last),
                plain,
                "{bytes:?} {first} {last}"
            );
            for bit in [false, true] {
                let plain = (first..=last).find(|&at| get(&bytes, at) == bit);
                assert_eq!(
                    position(&bytes, bit, first, last),
                    plain,
                    "{bytes:?} {first} {last}"
                );
            }
        }
    }

    #[test]
    fn combines_as_bit_by_bit() {
        let mut rng = Rng::new(2);
        let ops = [
            Op::And,
            Op::Or,
            Op::Xor,
            Op::Not,
            Op::Diff,
            Op::Diff1,
            Op::AndOr,
            Op::One,
        ];
        for round in 0..600 {
            let max = if round % 20 == 0 {
                3 * BLOCK as u64
            } else {
                40
            };
            let op = ops[rng.below(8) as usize];
            let n = if op == Op::Not { 1 } else { 2 + rng.below(3) };
            let sources: Vec<Vec<u8>> = (0..n).map(|_| random(&mut rng, max)).collect();
            let borrowed: Vec<&[u8]> = sources.iter().map(Vec::as_slice).collect();
            let result = combine(op, &borrowed);
            let len = sources.iter().map(Vec::len).max().unwrap_or(0);
            assert_eq!(result.len(), len);
            for at in 0..len * 8 {
                let on = sources.iter().filter(|s| get(s, at)).count();
                let first = get(&sources[0], at);
                let others = on > usize::from(first);
                let expected = match op {
                    Op::And => on == sources.len(),
                    Op::Or => on > 0,
                    Op::Xor => on % 2 == 1,
                    Op::Not => on == 0,
                    Op::Diff => first && !others,
                    Op::Diff1 => !first && others,
                    Op::AndOr => first && others,
                    Op::One => on == 1,
                };
                assert_eq!(get(&result, at), expected, "{op:?} bit {at}");
            }
        }
    }

    #[test]
    fn fields_keep_their_neighbours() {
        let mut rng = Rng::new(3);
        for _ in 0..3000 {
            let mut bytes: Vec<u8> = (0..24).map(|_| rng.next_u64() as u8).collect();
            let width = 1 + rng.below(64) as u32;
            let offset = rng.below(24 * 8 - u64::from(width) + 1) as usize;
            let before = bytes.clone();
            let value = rng.next_u64();
            write_field(&mut bytes, offset, width, value);
            assert_eq!(read_field(&bytes, offset, width), value & field_mask(width));
            for at in (0..offset).chain(offset + width as usize..24 * 8) {
                assert_eq!(get(&bytes, at), get(&before, at));
            }
        }
        assert_eq!(read_field(b"\xff", 4, 8), 0xf0, "behind the end are zeros");
        assert_eq!(read_field(b"\xff", usize::MAX, 64), 0);
    }

    #[test]
    fn grows_with_zeros() {
        let mut bytes = b"abc".to_vec();
        grow(&mut bytes, 5).unwrap();
        assert_eq!(bytes, b"abc\0\0");
        grow(&mut bytes, 2).unwrap();
        assert_eq!(bytes.len(), 5);
        grow(&mut bytes, 8 << 20).unwrap();
        assert_eq!(bytes.len(), 8 << 20);
        assert!(bytes.starts_with(b"abc\0") && bytes[5..].iter().all(|&b| b == 0));
        assert!(grow(&mut Vec::new(), isize::MAX as usize).is_none());
        assert!(reserve(&mut Vec::new(), usize::MAX).is_none());
    }
}
