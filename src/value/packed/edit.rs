//! The owned blob and its editing.
//!
//! The blob may start some bytes into its buffer: popping from the front only moves the start, pushing
//! to the front uses that room again, and makes more in proportion to the blob when there is none. So
//! both ends cost the same, without moving the blob each time.

use super::codec::{self, Elem, Needle};
use super::{Layout, PackedRef, WithBack, entry_len, prev_offset, stored_len};
use std::marker::PhantomData;

/// Front room is not made larger than this at a time.
const MAX_FRONT_ROOM: usize = 4096;

/// An owned blob.
#[derive(Debug)]
pub struct Packed<B> {
    buffer: Vec<u8>,
    /// Where the blob starts in the buffer.
    start: u32,
    count: u32,
    layout: PhantomData<B>,
}

impl<B> Default for Packed<B> {
    fn default() -> Self {
        Self {
            buffer: Vec::new(),
            start: 0,
            count: 0,
            layout: PhantomData,
        }
    }
}

impl<B: Layout> Clone for Packed<B> {
    fn clone(&self) -> Self {
        self.view().to_owned()
    }
}

impl<B: Layout> PartialEq for Packed<B> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl<B: Layout> Packed<B> {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            buffer: Vec::with_capacity(bytes),
            ..Self::default()
        }
    }

    /// Takes the bytes of a trusted blob of `count` elements.
    pub fn from_vec(bytes: Vec<u8>, count: u32) -> Self {
        debug_assert_eq!(bytes.is_empty(), count == 0);
        Self {
            buffer: bytes,
            start: 0,
            count,
            layout: PhantomData,
        }
    }

    /// Gives the bytes and the count back.
    pub fn into_parts(mut self) -> (Vec<u8>, u32) {
        self.close_front();
        (self.buffer, self.count)
    }

    /// Replaces the content with a copy of `other`, keeping the allocation.
    pub fn assign(&mut self, other: PackedRef<B>) {
        self.clear();
        self.append(other);
    }

    #[inline]
    pub fn view(&self) -> PackedRef<'_, B> {
        PackedRef {
            bytes: self.bytes(),
            count: self.count,
            layout: PhantomData,
        }
    }

    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[self.start as usize..]
    }

    /// The length of the blob in bytes.
    #[inline]
    pub fn byte_len(&self) -> usize {
        self.buffer.len() - self.start as usize
    }

    /// The number of elements.
    #[inline]
    pub fn len(&self) -> usize {
        self.count as usize
    }

    #[inline]
    pub fn count(&self) -> u32 {
        self.count
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes reserved on the heap.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    pub fn clear(&mut self) {
        self.buffer.clear();
        self.start = 0;
        self.count = 0;
    }

    /// Gives unused room back, in front and behind.
    pub fn shrink(&mut self) {
        self.close_front();
        self.buffer.shrink_to_fit();
    }

    fn close_front(&mut self) {
        if self.start > 0 {
            self.buffer.drain(..self.start as usize);
            self.start = 0;
        }
    }

    #[inline]
    pub fn push_back(&mut self, text: &[u8]) {
        self.push_back_needle(&Needle::new(text));
    }

    #[inline]
    pub fn push_back_needle(&mut self, needle: &Needle) {
        needle.append_to(&mut self.buffer);
        if B::BACK {
            let encoded = needle.encoded_len();
            if encoded <= 127 {
                self.buffer.push(encoded as u8);
            } else {
                let end = self.buffer.len();
                self.buffer.resize(end + codec::backlen_size(encoded), 0);
                codec::write_backlen(encoded, &mut self.buffer[end..]);
            }
        }
        self.count += 1;
    }

    #[inline]
    pub fn push_front(&mut self, text: &[u8]) {
        self.push_front_needle(&Needle::new(text));
    }

    pub fn push_front_needle(&mut self, needle: &Needle) {
        let need = stored_len::<B>(needle);
        if need > self.start as usize {
            self.open_front(need);
        }
        let start = self.start as usize - need;
        write_entry::<B>(needle, &mut self.buffer[start..start + need]);
        self.start = start as u32;
        self.count += 1;
    }

    /// Makes room for at least `need` bytes in front of the blob.
    fn open_front(&mut self, need: usize) {
        let room = need.saturating_add(self.byte_len().min(MAX_FRONT_ROOM));
        let len = self.byte_len();
        let old = self.start as usize;
        // An element is shorter than 4 GiB, so the start always fits.
        self.start = u32::try_from(room).unwrap_or(need as u32);
        let start = self.start as usize;
        self.buffer.resize(start + len, 0);
        self.buffer.copy_within(old..old + len, start);
    }

    /// Puts an element before the one at `offset`, or at the end when that is the blob's length.
    pub fn insert(&mut self, offset: usize, needle: &Needle) {
        if offset == 0 {
            return self.push_front_needle(needle);
        }
        self.splice(offset, 0, needle);
        self.count += 1;
    }

    /// Replaces the element at `offset`.
    pub fn replace(&mut self, offset: usize, needle: &Needle) {
        let old = entry_len::<B>(&self.bytes()[offset..]);
        self.splice(offset, old, needle);
    }

    /// Overwrites `old` bytes at `offset` with an element.
    fn splice(&mut self, offset: usize, old: usize, needle: &Needle) {
        let need = stored_len::<B>(needle);
        let from = self.start as usize + offset;
        self.resize_gap(from, old, need);
        write_entry::<B>(needle, &mut self.buffer[from..from + need]);
    }

    /// Changes the `old` bytes at buffer position `from` to `new` bytes of any content.
    fn resize_gap(&mut self, from: usize, old: usize, new: usize) {
        let end = self.buffer.len();
        if new > old {
            self.buffer.resize(end + (new - old), 0);
        }
        if new != old {
            self.buffer.copy_within(from + old..end, from + new);
        }
        self.buffer.truncate(end - old + new);
    }

    /// Removes up to `count` elements from `offset` on; returns how many there were.
    pub fn remove(&mut self, offset: usize, count: usize) -> usize {
        let bytes = self.bytes();
        let (mut end, mut removed) = (offset, 0);
        while removed < count && end < bytes.len() {
            end += entry_len::<B>(&bytes[end..]);
            removed += 1;
        }
        self.count -= removed as u32;
        if self.count == 0 {
            self.clear();
        } else if offset == 0 {
            self.start += end as u32;
            // Past a quarter-full buffer the moving is paid for by the pops before.
            if self.start as usize > 3 * self.byte_len() + 64 {
                self.close_front();
            }
        } else {
            let from = self.start as usize + offset;
            self.resize_gap(from, end - offset, 0);
        }
        removed
    }

    /// Removes the first element after showing it to `f`.
    #[inline]
    pub fn pop_front<R>(&mut self, f: impl FnOnce(Elem) -> R) -> Option<R> {
        if self.is_empty() {
            return None;
        }
        let result = f(self.view().at(0));
        self.remove(0, 1);
        Some(result)
    }

    /// Cuts the blob before element `index`; returns the rest.
    pub fn split_off(&mut self, index: usize) -> Self {
        let Some(offset) = self.view().offset_of(index) else {
            return Self::new();
        };
        let rest = self.buffer.split_off(self.start as usize + offset);
        let rest_count = self.count - index as u32;
        self.count = index as u32;
        if self.count == 0 {
            self.clear();
        }
        Self {
            buffer: rest,
            start: 0,
            count: rest_count,
            layout: PhantomData,
        }
    }

    /// Appends all elements of `other`.
    pub fn append(&mut self, other: PackedRef<B>) {
        self.buffer.extend_from_slice(other.bytes);
        self.count += other.count;
    }

    /// Prepends all elements of `other`.
    pub fn prepend(&mut self, other: PackedRef<B>) {
        let start = self.start as usize;
        self.buffer.splice(..start, other.bytes.iter().copied());
        self.start = 0;
        self.count += other.count;
    }
}

impl Packed<WithBack> {
    /// Removes the last element after showing it to `f`.
    #[inline]
    pub fn pop_back<R>(&mut self, f: impl FnOnce(Elem) -> R) -> Option<R> {
        if self.is_empty() {
            return None;
        }
        let offset = prev_offset(self.bytes(), self.byte_len());
        let result = f(self.view().at(offset));
        self.count -= 1;
        if self.count == 0 {
            self.clear();
        } else {
            self.buffer.truncate(self.start as usize + offset);
        }
        Some(result)
    }
}

/// Writes an element over all of `out`.
#[inline]
fn write_entry<B: Layout>(needle: &Needle, out: &mut [u8]) {
    needle.write_into(out);
    if B::BACK {
        let encoded = needle.encoded_len();
        codec::write_backlen(encoded, &mut out[encoded..]);
    }
}
