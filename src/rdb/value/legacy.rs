//! Packed blobs that only old files have: ziplists and zipmaps. Read, never written.

use crate::value::packed::Elem;

/// Total bytes, offset of the last entry (u32 each) and number of entries (u16) stand before a ziplist's entries.
const ZIPLIST_HEADER: usize = 10;
const END: u8 = 0xff;
/// A count that says "walk to know".
const COUNT_UNKNOWN: u16 = u16::MAX;
/// The length of the previous entry takes four more bytes behind this one.
const WIDE: u8 = 0xfe;
/// From this length on a zipmap does not know its own.
const ZIPMAP_COUNT_UNKNOWN: u8 = 254;

fn u32_le(bytes: &[u8]) -> Option<usize> {
    Some(u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?) as usize)
}

/// The elements of a ziplist of unknown origin; `None` unless everything in it agrees.
pub fn ziplist(bytes: &[u8]) -> Option<Vec<Elem<'_>>> {
    let total = u32_le(bytes)?;
    let tail = u32_le(bytes.get(4..)?)?;
    let count = u16::from_le_bytes(bytes.get(8..ZIPLIST_HEADER)?.try_into().ok()?);
    let last = bytes.len().checked_sub(1)?;
    if total != bytes.len() || last < ZIPLIST_HEADER || bytes[last] != END {
        return None;
    }
    let mut elems = Vec::new();
    let (mut at, mut previous, mut begin) = (ZIPLIST_HEADER, 0, ZIPLIST_HEADER);
    while at < last {
        begin = at;
        let rest = &bytes[at..last];
        let (before, head) = match *rest.first()? {
            WIDE => (u32_le(rest.get(1..)?)?, 5),
            END => return None,
            short => (short as usize, 1),
        };
        if before != previous {
            return None;
        }
        let (elem, len) = entry(&rest[head..])?;
        elems.push(elem);
        previous = head + len;
        at += previous;
    }
    let counted = count == COUNT_UNKNOWN || usize::from(count) == elems.len();
    (counted && tail == begin).then_some(elems)
}

/// An entry without the length of its predecessor, and how long it is.
fn entry(at: &[u8]) -> Option<(Elem<'_>, usize)> {
    let first = *at.first()?;
    let text = |head: usize, len: usize| {
        let end = head.checked_add(len)?;
        Some((Elem::Str(at.get(head..end)?), end))
    };
    let int = |width: usize| {
        let mut wide = [0u8; 8];
        wide[8 - width..].copy_from_slice(at.get(1..=width)?);
        let n = i64::from_le_bytes(wide) >> (64 - 8 * width);
        Some((Elem::Int(n), 1 + width))
    };
    match first {
        0..0x40 => text(1, first as usize),
        0x40..0x80 => text(2, (first as usize & 0x3f) << 8 | *at.get(1)? as usize),
        0x80 => {
            let len: [u8; 4] = at.get(1..5)?.try_into().ok()?;
            text(5, u32::from_be_bytes(len) as usize)
        }
        0xc0 => int(2),
        0xd0 => int(4),
        0xe0 => int(8),
        0xf0 => int(3),
        0xfe => int(1),
        0xf1..=0xfd => Some((Elem::Int(i64::from(first & 0x0f) - 1), 1)),
        _ => None,
    }
}

/// The fields and values of a zipmap of unknown origin; `None` unless everything in it agrees.
pub fn zipmap(bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let (&count, mut rest) = bytes.split_first()?;
    let mut texts = Vec::new();
    loop {
        match rest {
            [END] => break,
            [] => return None,
            _ => {}
        }
        let (field, after) = zipmap_text(rest, false)?;
        let (value, after) = zipmap_text(after, true)?;
        texts.push(field);
        texts.push(value);
        rest = after;
    }
    let counted = count >= ZIPMAP_COUNT_UNKNOWN || usize::from(count) == texts.len() / 2;
    // No server ever wrote an empty one.
    (counted && !texts.is_empty()).then_some(texts)
}

/// A text and what comes behind it; a value has a number of unused bytes behind it.
fn zipmap_text(at: &[u8], value: bool) -> Option<(&[u8], &[u8])> {
    let (len, rest) = match at.split_first()? {
        (&WIDE, rest) => (u32_le(rest)?, rest.get(4..)?),
        (&END, _) => return None,
        (&short, rest) => (short as usize, rest),
    };
    let (free, rest) = if value {
        let (&free, rest) = rest.split_first()?;
        (free as usize, rest)
    } else {
        (0, rest)
    };
    let (text, rest) = rest.split_at_checked(len)?;
    Some((text, rest.get(free..)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    /// "a", 1, 300, a text of 70 bytes, -7, 100000, 2^40, 12, -70000.
    fn sample() -> Vec<u8> {
        let long = [b'x'; 70];
        let parts: [Vec<u8>; 9] = [
            vec![1, b'a'],
            vec![0xf2],
            vec![0xc0, 44, 1],
            [&[0x40, 70][..], &long].concat(),
            vec![0xfe, 0xf9],
            [&[0xd0][..], &100_000i32.to_le_bytes()].concat(),
            [&[0xe0][..], &(1i64 << 40).to_le_bytes()].concat(),
            vec![0xfd],
            [&[0xf0][..], &(-70_000i32).to_le_bytes()[..3]].concat(),
        ];
        let mut bytes = vec![0; ZIPLIST_HEADER];
        let (mut previous, mut tail) = (0, 0);
        for part in &parts {
            tail = bytes.len();
            bytes.push(previous as u8);
            bytes.extend(part);
            previous = bytes.len() - tail;
        }
        bytes.push(END);
        let total = bytes.len() as u32;
        bytes[..4].copy_from_slice(&total.to_le_bytes());
        bytes[4..8].copy_from_slice(&(tail as u32).to_le_bytes());
        bytes[8] = parts.len() as u8;
        bytes
    }

    #[test]
    fn ziplists_of_all_encodings() {
        let bytes = sample();
        let long = [b'x'; 70];
        let expected = [
            Elem::Str(b"a"),
            Elem::Int(1),
            Elem::Int(300),
            Elem::Str(&long),
            Elem::Int(-7),
            Elem::Int(100_000),
            Elem::Int(1 << 40),
            Elem::Int(12),
            Elem::Int(-70_000),
        ];
        assert_eq!(ziplist(&bytes).unwrap(), expected);
        assert_eq!(ziplist(&[11, 0, 0, 0, 10, 0, 0, 0, 0, 0, 255]).unwrap(), []);
    }

    #[test]
    fn damaged_ziplists_are_refused() {
        let good = sample();
        for len in 0..good.len() {
            assert!(ziplist(&good[..len]).is_none());
        }
        for at in [0, 4, 8, 10, 13] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(ziplist(&bad).is_none(), "byte {at}");
        }
        let mut rng = Rng::new(3);
        for _ in 0..50_000 {
            let mut bytes = good.clone();
            for _ in 0..=rng.below(3) {
                let at = rng.below(bytes.len() as u64) as usize;
                bytes[at] = rng.next_u64() as u8;
            }
            // Whatever comes out, nothing is read that is not there.
            let _ = ziplist(&bytes);
        }
    }

    #[test]
    fn zipmaps_with_free_bytes_and_long_texts() {
        let long = vec![b'v'; 300];
        let mut bytes = vec![2, 1, b'f', 2, 3, b'v', b'w', 0, 0, 0, 1, b'g', 254];
        bytes.extend_from_slice(&300u32.to_le_bytes());
        bytes.push(0);
        bytes.extend_from_slice(&long);
        bytes.push(END);
        assert_eq!(zipmap(&bytes).unwrap(), [&b"f"[..], b"vw", b"g", &long]);
        for len in 0..bytes.len() {
            assert!(zipmap(&bytes[..len]).is_none());
        }
        bytes[0] = 3;
        assert!(zipmap(&bytes).is_none());
        bytes[0] = 254;
        assert!(zipmap(&bytes).is_some());
        assert!(zipmap(&[0, END]).is_none());
    }
}
