//! Packed blobs: small collections as one run of encoded elements.
//!
//! A blob is the elements and nothing else: no header, no terminator. Its owner keeps the byte length
//! and the element count. Two layouts exist:
//! - [`WithBack`]: each element is followed by its backlen, exactly the entries of a Redis listpack, so a
//!   blob can be walked from its end. For lists.
//! - [`Forward`]: no backlen, a byte less per element. For small hashes, sets and sorted sets, and for small lists
//!   while nobody changes them.
//!
//! [`PackedRef`] reads borrowed bytes, so that a blob can live inside another allocation; [`Packed`] owns
//! its bytes and can be edited. Bytes from files are taken in through [`Packed::from_listpack`] only, or
//! checked by [`validate`]; everything else trusts the blob and panics on a damaged one, but never reads
//! outside of it.

mod backlens;
mod codec;
mod edit;
mod listpack;
#[cfg(test)]
mod tests;

pub use codec::{Elem, INT_TEXT, MAX_STRING, Needle};
pub use edit::Packed;
pub use listpack::{BadListpack, validate};

use std::marker::PhantomData;

/// How elements follow each other in a blob.
pub trait Layout: Copy + 'static {
    /// Whether each element is followed by its backlen.
    const BACK: bool;
}

/// Elements with backlen, as in a listpack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WithBack;
/// Elements without backlen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward;

impl Layout for WithBack {
    const BACK: bool = true;
}
impl Layout for Forward {
    const BACK: bool = false;
}

/// The bytes that `needle` will take in a blob of layout `B`.
#[inline]
pub fn stored_len<B: Layout>(needle: &Needle) -> usize {
    with_backlen::<B>(needle.encoded_len())
}

#[inline(always)]
fn with_backlen<B: Layout>(encoded: usize) -> usize {
    if B::BACK {
        encoded + codec::backlen_size(encoded)
    } else {
        encoded
    }
}

/// The bytes of the trusted element that starts `at`, backlen included.
#[inline(always)]
fn entry_len<B: Layout>(at: &[u8]) -> usize {
    with_backlen::<B>(codec::encoded_len(at))
}

/// A borrowed blob. Offsets count from its first byte and always stand at an element's start.
#[derive(Clone, Copy, Debug)]
pub struct PackedRef<'a, B> {
    bytes: &'a [u8],
    count: u32,
    layout: PhantomData<B>,
}

impl<'a, B: Layout> PackedRef<'a, B> {
    /// Takes a trusted blob that holds `count` elements.
    #[inline]
    pub fn new(bytes: &'a [u8], count: u32) -> Self {
        debug_assert_eq!(bytes.is_empty(), count == 0);
        Self {
            bytes,
            count,
            layout: PhantomData,
        }
    }

    #[inline]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The number of elements.
    #[inline]
    pub fn len(&self) -> usize {
        self.count as usize
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    #[inline]
    pub fn iter(&self) -> Iter<'a, B> {
        self.iter_from(0)
    }

    /// Iterates from the element at `offset` on.
    #[inline]
    pub fn iter_from(&self, offset: usize) -> Iter<'a, B> {
        Iter {
            rest: &self.bytes[offset..],
            layout: PhantomData,
        }
    }

    /// The element at `offset`.
    #[inline]
    pub fn at(&self, offset: usize) -> Elem<'a> {
        codec::decode(&self.bytes[offset..]).0
    }

    /// The offset after the element at `offset`; the blob's length after the last one.
    #[inline]
    pub fn next_offset(&self, offset: usize) -> usize {
        offset + entry_len::<B>(&self.bytes[offset..])
    }

    /// The offset of element `index`; the blob's length for `index == len`.
    #[inline]
    pub fn offset_of(&self, index: usize) -> Option<usize> {
        if index >= self.len() {
            return (index == self.len()).then_some(self.bytes.len());
        }
        if B::BACK && index > self.len() / 2 {
            let back = self.len() - index;
            return Some((0..back).fold(self.bytes.len(), |end, _| prev_offset(self.bytes, end)));
        }
        let mut rest = self.bytes;
        for _ in 0..index {
            rest = &rest[entry_len::<B>(rest)..];
        }
        Some(self.bytes.len() - rest.len())
    }

    /// The element at position `index`.
    #[inline]
    pub fn get(&self, index: usize) -> Option<Elem<'a>> {
        if index >= self.len() {
            return None;
        }
        self.offset_of(index).map(|offset| self.at(offset))
    }

    /// The offset of the first element equal to `needle`, looking at one and then skipping `skip`.
    #[inline]
    pub fn find(&self, needle: &Needle, skip: usize) -> Option<usize> {
        self.find_from(0, needle, skip)
    }

    /// As [`find`](Self::find), starting at the element at `offset`.
    #[inline]
    pub fn find_from(&self, offset: usize, needle: &Needle, skip: usize) -> Option<usize> {
        let mut rest = &self.bytes[offset..];
        while !rest.is_empty() {
            if needle.matches(rest) {
                return Some(self.bytes.len() - rest.len());
            }
            for _ in 0..=skip {
                rest = &rest[entry_len::<B>(rest)..];
            }
        }
        None
    }

    /// An owned copy.
    pub fn to_owned(&self) -> Packed<B> {
        Packed::from_vec(self.bytes.to_vec(), self.count)
    }
}

impl<'a> PackedRef<'a, WithBack> {
    /// Iterates from the last element to the first.
    #[inline]
    pub fn iter_back(&self) -> IterBack<'a> {
        IterBack { rest: self.bytes }
    }

    /// The offset of the element before `offset`, which may be the blob's length.
    #[inline]
    pub fn prev_offset(&self, offset: usize) -> Option<usize> {
        (offset > 0).then(|| prev_offset(self.bytes, offset))
    }
}

#[inline]
fn prev_offset(bytes: &[u8], end: usize) -> usize {
    let (encoded, backlen) = codec::read_backlen(&bytes[..end]);
    end - encoded - backlen
}

/// Forward iterator over a blob.
#[derive(Clone, Debug)]
pub struct Iter<'a, B> {
    rest: &'a [u8],
    layout: PhantomData<B>,
}

impl<'a, B: Layout> Iter<'a, B> {
    /// The bytes from the next element on.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Steps over `count` elements, which must be there, without decoding them.
    #[inline]
    pub fn skip_elements(&mut self, count: usize) {
        for _ in 0..count {
            self.rest = &self.rest[entry_len::<B>(self.rest)..];
        }
    }
}

impl<'a, B: Layout> Iterator for Iter<'a, B> {
    type Item = Elem<'a>;

    #[inline]
    fn next(&mut self) -> Option<Elem<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let (elem, encoded) = codec::decode(self.rest);
        self.rest = &self.rest[with_backlen::<B>(encoded)..];
        Some(elem)
    }
}

/// Backward iterator over a blob with backlens.
#[derive(Clone, Debug)]
pub struct IterBack<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for IterBack<'a> {
    type Item = Elem<'a>;

    #[inline]
    fn next(&mut self) -> Option<Elem<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let offset = prev_offset(self.rest, self.rest.len());
        let elem = codec::decode(&self.rest[offset..]).0;
        self.rest = &self.rest[..offset];
        Some(elem)
    }
}
