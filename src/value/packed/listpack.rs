//! Blobs to and from the listpacks of Redis' files, and the checking of bytes of unknown origin.

use super::codec::{self, Needle};
use super::{Layout, Packed};
use std::fmt;

/// Total length (u32) and count (u16) stand before the entries.
const HEADER: usize = 6;
const END: u8 = 0xFF;
/// The count says "too many to say".
const COUNT_UNKNOWN: u16 = u16::MAX;

/// A listpack is damaged, near this byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadListpack {
    pub offset: usize,
}

impl fmt::Display for BadListpack {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "damaged listpack at byte {}", self.offset)
    }
}

impl std::error::Error for BadListpack {}

/// Walks a blob of unknown origin; returns the number of its elements, or the offset of the first
/// element that is malformed or sticks out. With `deep`, each element must also be in the one form that
/// this module writes, backlen included, as the other operations rely on; without, only the walk is checked.
pub fn validate<B: Layout>(bytes: &[u8], deep: bool) -> Result<usize, usize> {
    let (mut offset, mut count) = (0, 0usize);
    while offset < bytes.len() {
        let at = &bytes[offset..];
        let (elem, encoded) = codec::decode_checked(at).ok_or(offset)?;
        if deep && !is_canonical(at, elem, encoded) {
            return Err(offset);
        }
        let mut len = encoded;
        if B::BACK {
            let size = codec::backlen_size(encoded);
            let back = at.get(encoded..encoded + size).ok_or(offset)?;
            if deep && codec::check_backlen(back, encoded) != Some(size) {
                return Err(offset);
            }
            len += size;
        }
        offset += len;
        count += 1;
    }
    if count > u32::MAX as usize {
        Err(offset)
    } else {
        Ok(count)
    }
}

fn is_canonical(at: &[u8], elem: codec::Elem, encoded: usize) -> bool {
    let needle = Needle::canonical(elem);
    needle.encoded_len() == encoded && needle.matches(at)
}

impl<B: Layout> Packed<B> {
    /// The content as a Redis listpack. `None` if it is too long for one (4 GiB).
    pub fn to_listpack(&self) -> Option<Vec<u8>> {
        self.view().to_listpack()
    }

    /// Takes in a listpack of unknown origin: every length is checked, either way of choosing backlen
    /// sizes is accepted, and elements in another form than ours are encoded anew.
    pub fn from_listpack(bytes: &[u8]) -> Result<Self, BadListpack> {
        let bad = |offset| BadListpack { offset };
        let header = bytes.get(..HEADER).ok_or(bad(0))?;
        let total = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
        let count = u16::from_le_bytes([header[4], header[5]]);
        if total as usize != bytes.len() || bytes.len() == HEADER {
            return Err(bad(0));
        }
        let last = bytes.len() - 1;
        if bytes[last] != END {
            return Err(bad(last));
        }
        let entries = &bytes[..last];
        // Never longer than the source, but for a few strings that are not in canonical form.
        let mut packed = Self::with_capacity(last - HEADER);
        let mut offset = HEADER;
        while offset < last {
            let at = &entries[offset..];
            let (elem, encoded) = codec::decode_checked(at).ok_or(bad(offset))?;
            let back =
                codec::check_backlen(&at[encoded..], encoded).ok_or(bad(offset + encoded))?;
            if packed.count() == u32::MAX {
                return Err(bad(offset));
            }
            packed.push_back_needle(&Needle::canonical(elem));
            offset += encoded + back;
        }
        if count != COUNT_UNKNOWN && count as usize != packed.len() {
            return Err(bad(4));
        }
        Ok(packed)
    }
}

impl<B: Layout> super::PackedRef<'_, B> {
    /// The content as a Redis listpack. `None` if it is too long for one (4 GiB).
    pub fn to_listpack(&self) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(
            HEADER + self.bytes.len() + if B::BACK { 1 } else { self.len() + 1 },
        );
        out.resize(HEADER, 0);
        if B::BACK {
            out.extend_from_slice(self.bytes);
        } else {
            let mut rest = self.bytes;
            while !rest.is_empty() {
                let encoded = codec::encoded_len(rest);
                out.extend_from_slice(&rest[..encoded]);
                let end = out.len();
                out.resize(end + codec::backlen_size(encoded), 0);
                codec::write_backlen(encoded, &mut out[end..]);
                rest = &rest[encoded..];
            }
        }
        out.push(END);
        let total = u32::try_from(out.len()).ok()?;
        out[..4].copy_from_slice(&total.to_le_bytes());
        let count = u16::try_from(self.count).unwrap_or(COUNT_UNKNOWN);
        out[4..HEADER].copy_from_slice(&count.to_le_bytes());
        Some(out)
    }
}
