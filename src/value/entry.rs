//! The entry: one allocation that holds a key and, whenever it is short, its value.
//!
//! The same type serves as a key of a database, a field of a large hash, a member of a large
//! set (no payload) and a member of a large sorted set (with a score). Optional parts cost
//! nothing where they are absent:
//!
//! ```text
//! 0  reference count   u16, atomic; an entry that has MAX_SHARES owners is copied instead
//! 2  head              u8: kind (low 4 bits), CLOCK, EXPIRE, SCORE, HINTED
//! 3  clock             3 bytes, atomic, only with CLOCK: access time (LRU) or counter (LFU)
//!    expire            i64, unix time in ms, only with EXPIRE
//!    score             f64, only with SCORE
//!    key length        1, 3 or 5 bytes, then the key
//!    payload           by kind: 1/2/4/8-byte integer, length and bytes, or one pointer
//! ```
//!
//! # Contract of the unsafe code
//! - `Entry` owns one reference of an allocation whose size is [`size_class`] of the length that
//!   follows from its own head, lengths and kind; it is freed with that size.
//! - Everything but the count and the clock is written only at construction or through
//!   `&mut self` after [`Entry::is_unique`] was seen, so shared entries are immutable and may be
//!   read from any thread. The clock is stored with relaxed atomics.
//! - A pointer payload owns one strong count of the `Arc` it was made from; the kind says of
//!   which type.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU16, Ordering, fence};

use crate::base::hash::Seed;
use crate::keyspace::table::{Item, prefetch};
use crate::value::Obj;

mod parts;
mod pen;
#[cfg(test)]
mod tests;

pub use parts::{BigRef, Blob, Head, New, ObjRef, Payload};
use pen::{Pen, len_size, new_kind, new_size};

const KIND: u8 = 0x0f;
const CLOCK: u8 = 0x10;
const EXPIRE: u8 = 0x20;
const SCORE: u8 = 0x40;
const HINTED: u8 = 0x80;

const K_NONE: u8 = 0;
const K_INT8: u8 = 1;
const K_INT16: u8 = 2;
const K_INT32: u8 = 3;
const K_INT64: u8 = 4;
const K_STR: u8 = 5;
const K_RAW: u8 = 6;
const K_BIG: u8 = 7;
const K_PACKED: u8 = 8;
/// A pointer payload was moved out by [`Entry::take_obj`] and is about to come back.
const K_TAKEN: u8 = 9;
/// Kinds from here on are `K_OBJ + Obj::tag()`.
const K_OBJ: u8 = 10;

/// Longest string that is stored inside its entry, in bytes. Longer ones are shared buffers, so
/// that replies and snapshots do not copy them.
pub const INLINE_MAX: usize = 1024;

/// Owners that an entry may have. Far from the end of the counter, because threads that meet here
/// count before they look.
const MAX_SHARES: u16 = u16::MAX / 2;

/// A thin, reference-counted pointer to one entry, aligned to 8. `Clone` shares.
#[repr(transparent)]
pub struct Entry(NonNull<u8>);

// SAFETY: shared entries are immutable but for atomics (contract); the Arcs inside hold Send +
// Sync types.
unsafe impl Send for Entry {}
// SAFETY: as above.
unsafe impl Sync for Entry {}

/// The allocator's size class for `size` bytes (8-byte steps to 64, then 4 per doubling).
pub fn size_class(size: usize) -> usize {
    if size <= 64 {
        return size.next_multiple_of(8);
    }
    let step = ((size - 1).ilog2() - 2) as usize;
    size.next_multiple_of(1 << step)
}

impl Entry {
    /// One allocation with these parts.
    pub fn new(key: &[u8], head: Head, value: New<'_>) -> Entry {
        let mut flags = new_kind(&value);
        let mut size = 3 + len_size(key.len()) + key.len() + new_size(&value);
        if head.clock.is_some() {
            flags |= CLOCK;
            size += 3;
        }
        if head.expire.is_some() {
            flags |= EXPIRE;
            size += 8;
        }
        if head.score.is_some() {
            flags |= SCORE;
            size += 8;
        }
        let layout = Self::layout(size);
        // SAFETY: the size is not zero; each write below is part of `size` as added up above.
        unsafe {
            let base = alloc(layout);
            let Some(ptr) = NonNull::new(base) else {
                handle_alloc_error(layout);
            };
            base.cast::<u16>().write(1);
            base.add(2).write(flags);
            let entry = Entry(ptr);
            let mut pen = Pen(base.add(3));
            if let Some(clock) = head.clock {
                pen.0 = base.add(6);
                entry.set_clock(clock);
            }
            if let Some(ms) = head.expire {
                pen.put(&ms.to_ne_bytes());
            }
            if let Some(score) = head.score {
                pen.put(&score.to_ne_bytes());
            }
            pen.put_len(key.len());
            pen.put(key);
            pen.put_payload(value);
            entry
        }
    }

    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size_class(size), 8).expect("entry size fits")
    }

    #[inline]
    fn head(&self) -> u8 {
        // SAFETY: byte 2 is always there.
        unsafe { *self.0.as_ptr().add(2) }
    }

    #[inline]
    fn kind(&self) -> u8 {
        self.head() & KIND
    }

    #[inline]
    fn count(&self) -> &AtomicU16 {
        // SAFETY: offset 0, aligned to 8.
        unsafe { &*self.0.as_ptr().cast::<AtomicU16>() }
    }

    /// Nobody else holds this entry.
    #[inline]
    pub fn is_unique(&self) -> bool {
        self.count().load(Ordering::Acquire) == 1
    }

    #[inline]
    fn expire_at(&self) -> usize {
        if self.head() & CLOCK != 0 { 6 } else { 3 }
    }

    #[inline]
    fn score_at(&self) -> usize {
        self.expire_at() + if self.head() & EXPIRE != 0 { 8 } else { 0 }
    }

    #[inline]
    fn key_at(&self) -> usize {
        self.score_at() + if self.head() & SCORE != 0 { 8 } else { 0 }
    }

    /// Reads a length at `at`; returns it and the offset behind it.
    #[inline]
    fn len_at(&self, at: usize) -> (usize, usize) {
        // SAFETY: callers pass offsets of length fields (contract).
        unsafe {
            let p = self.0.as_ptr().add(at);
            match *p {
                254 => (p.add(1).cast::<u16>().read_unaligned() as usize, at + 3),
                255 => (p.add(1).cast::<u32>().read_unaligned() as usize, at + 5),
                n => (n as usize, at + 1),
            }
        }
    }

    #[inline]
    fn slice(&self, at: usize, len: usize) -> &[u8] {
        // SAFETY: callers pass ranges inside the allocation (contract).
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().add(at), len) }
    }

    #[inline]
    fn read8(&self, at: usize) -> [u8; 8] {
        // SAFETY: callers pass the offset of an 8-byte part.
        unsafe { self.0.as_ptr().add(at).cast::<[u8; 8]>().read() }
    }

    #[inline]
    fn write8(&mut self, at: usize, bytes: [u8; 8]) {
        debug_assert!(self.is_unique());
        // SAFETY: as read8, and unique.
        unsafe { self.0.as_ptr().add(at).cast::<[u8; 8]>().write(bytes) }
    }

    /// The key, field or member.
    #[inline]
    pub fn key(&self) -> &[u8] {
        let (len, at) = self.len_at(self.key_at());
        self.slice(at, len)
    }

    #[inline]
    fn payload_at(&self) -> usize {
        let (len, at) = self.len_at(self.key_at());
        at + len
    }

    #[inline]
    pub fn expire(&self) -> Option<i64> {
        (self.head() & EXPIRE != 0).then(|| i64::from_ne_bytes(self.read8(self.expire_at())))
    }

    #[inline]
    pub fn score(&self) -> Option<f64> {
        (self.head() & SCORE != 0).then(|| f64::from_ne_bytes(self.read8(self.score_at())))
    }

    /// 24-bit access clock; 0 for entries without one.
    #[inline]
    pub fn clock(&self) -> u32 {
        if self.head() & CLOCK == 0 {
            return 0;
        }
        // SAFETY: with CLOCK, bytes 3..6 are the clock; 4 is aligned to 2.
        unsafe {
            let base = self.0.as_ptr();
            let low = (*base.add(3).cast::<AtomicU8>()).load(Ordering::Relaxed);
            let high = (*base.add(4).cast::<AtomicU16>()).load(Ordering::Relaxed);
            u32::from(high) << 8 | u32::from(low)
        }
    }

    /// Stores the access clock (24 bits); nothing for entries without one.
    #[inline]
    pub fn set_clock(&self, clock: u32) {
        if self.head() & CLOCK == 0 {
            return;
        }
        // SAFETY: as in clock(); atomics, so a snapshot may read at the same time.
        unsafe {
            let base = self.0.as_ptr();
            (*base.add(3).cast::<AtomicU8>()).store(clock as u8, Ordering::Relaxed);
            (*base.add(4).cast::<AtomicU16>()).store((clock >> 8) as u16, Ordering::Relaxed);
        }
    }

    /// Whether the expiry index has a hint for this entry at or before its expiry.
    pub fn is_hinted(&self) -> bool {
        self.head() & HINTED != 0
    }

    pub fn set_hinted(&mut self, on: bool) {
        if self.is_hinted() != on {
            self.make_unique();
            let head = if on {
                self.head() | HINTED
            } else {
                self.head() & !HINTED
            };
            // SAFETY: unique.
            unsafe { self.0.as_ptr().add(2).write(head) };
        }
    }

    fn head_parts(&self) -> Head {
        Head {
            clock: (self.head() & CLOCK != 0).then(|| self.clock()),
            expire: self.expire(),
            score: self.score(),
        }
    }

    #[inline]
    fn raw_pointer(&self, at: usize) -> *const () {
        usize::from_ne_bytes(self.read8(at)) as *const ()
    }

    /// The value.
    #[inline]
    pub fn payload(&self) -> Payload<'_> {
        let at = self.payload_at();
        match self.kind() {
            K_NONE | K_TAKEN => Payload::None,
            K_INT8 => Payload::Int(i64::from(self.slice(at, 1)[0] as i8)),
            K_INT16 => {
                let b = self.slice(at, 2);
                Payload::Int(i64::from(i16::from_le_bytes([b[0], b[1]])))
            }
            K_INT32 => {
                let b = self.slice(at, 4);
                Payload::Int(i64::from(i32::from_le_bytes([b[0], b[1], b[2], b[3]])))
            }
            K_INT64 => Payload::Int(i64::from_le_bytes(self.read8(at))),
            K_STR | K_RAW => {
                let (len, from) = self.len_at(at);
                let bytes = self.slice(from, len);
                if self.kind() == K_STR {
                    Payload::Str(bytes)
                } else {
                    Payload::Raw(bytes)
                }
            }
            K_BIG => Payload::Big(BigRef {
                raw: self.raw_pointer(at).cast(),
                _life: std::marker::PhantomData,
            }),
            K_PACKED => Payload::Packed(self.blob(at)),
            // SAFETY: the kind was written together with the pointer (contract).
            kind => Payload::Obj(unsafe { Obj::ref_raw(kind - K_OBJ, self.raw_pointer(at)) }),
        }
    }

    fn blob(&self, at: usize) -> Blob<'_> {
        let (count, from) = self.len_at(at + 1);
        let (len, from) = self.len_at(from);
        Blob {
            tag: self.slice(at, 1)[0],
            count: count as u32,
            bytes: self.slice(from, len),
        }
    }

    /// Bytes that the entry uses of its allocation.
    fn used(&self) -> usize {
        let at = self.payload_at();
        at + match self.kind() {
            K_NONE => 0,
            K_INT8 => 1,
            K_INT16 => 2,
            K_INT32 => 4,
            K_STR | K_RAW => {
                let (len, from) = self.len_at(at);
                from - at + len
            }
            K_PACKED => {
                let (_, from) = self.len_at(at + 1);
                let (len, from) = self.len_at(from);
                from - at + len
            }
            _ => 8,
        }
    }

    /// The value is behind a pointer: a large string or a large collection.
    #[inline]
    pub fn has_pointer(&self) -> bool {
        self.kind() == K_BIG || self.kind() >= K_OBJ
    }

    /// Bytes of the allocation, without what its pointers lead to.
    pub fn allocated(&self) -> usize {
        size_class(self.used())
    }

    /// Whether both are handles of one allocation. While somebody holds a handle a change makes a copy, so that this
    /// says that nothing has changed.
    pub fn is_same(&self, other: &Entry) -> bool {
        self.0 == other.0
    }

    /// Makes this handle the only owner of its allocation, copying it if it is shared.
    #[inline]
    pub fn make_unique(&mut self) {
        if !self.is_unique() {
            *self = self.copy();
        }
    }

    /// Another allocation with the same content; large values are shared.
    #[cold]
    fn copy(&self) -> Entry {
        let mut copy = Entry::new(self.key(), self.head_parts(), self.payload_new());
        copy.set_hinted(self.is_hinted());
        copy
    }

    /// The payload as a value for another entry: pointers are shared.
    fn payload_new(&self) -> New<'_> {
        match self.payload() {
            Payload::None => New::None,
            Payload::Int(n) => New::Int(n),
            Payload::Str(b) => New::Str(b),
            Payload::Raw(b) => New::Raw(b),
            Payload::Big(big) => New::Big(big.to_arc()),
            Payload::Packed(blob) => New::Packed(blob),
            Payload::Obj(_) => New::Obj(self.share_obj()),
        }
    }

    /// Drops what the payload points to; the kind is stale afterwards.
    ///
    /// SAFETY: the caller is the only owner and overwrites or frees the payload next.
    unsafe fn drop_payload(&mut self) {
        let kind = self.kind();
        if kind == K_BIG || kind >= K_OBJ {
            let raw = self.raw_pointer(self.payload_at());
            // SAFETY: the pointer was made by Arc::into_raw of the type that the kind names.
            unsafe {
                if kind == K_BIG {
                    drop(Arc::from_raw(raw.cast::<Vec<u8>>()));
                } else {
                    drop(Obj::from_raw(kind - K_OBJ, raw));
                }
            }
        }
    }

    /// Replaces the value. In place when nobody shares the entry and its size class stays. Returns by how many bytes
    /// the allocation is larger than the one before.
    pub fn set_payload(&mut self, value: New<'_>) -> isize {
        let at = self.payload_at();
        let class = size_class(at + new_size(&value));
        let before = self.allocated();
        if !self.is_unique() || class != before {
            let hinted = self.is_hinted();
            *self = Entry::new(self.key(), self.head_parts(), value);
            self.set_hinted(hinted);
            return class as isize - before as isize;
        }
        let head = (self.head() & !KIND) | new_kind(&value);
        // SAFETY: unique, and the new size fits the same allocation; `value` cannot borrow from
        // this entry because of `&mut self`.
        unsafe {
            self.drop_payload();
            self.0.as_ptr().add(2).write(head);
            Pen(self.0.as_ptr().add(at)).put_payload(value);
        }
        debug_assert_eq!(class, self.allocated());
        0
    }

    /// Sets or removes the expiry. `HINTED` is kept.
    pub fn set_expire(&mut self, expire: Option<i64>) {
        match expire {
            Some(ms) if self.head() & EXPIRE != 0 => {
                self.make_unique();
                self.write8(self.expire_at(), ms.to_ne_bytes());
            }
            None if self.head() & EXPIRE == 0 => {}
            _ => {
                let head = Head {
                    expire,
                    ..self.head_parts()
                };
                self.rebuild(head);
            }
        }
    }

    /// Sets the score of an entry that has one.
    pub fn set_score(&mut self, score: f64) {
        assert!(self.head() & SCORE != 0, "entry has no score");
        self.make_unique();
        self.write8(self.score_at(), score.to_ne_bytes());
    }

    fn rebuild(&mut self, head: Head) {
        let hinted = self.is_hinted();
        let copy = if self.is_unique() && self.kind() >= K_OBJ {
            let obj = self.take_obj().expect("kind says so");
            Entry::new(self.key(), head, New::Obj(obj))
        } else {
            Entry::new(self.key(), head, self.payload_new())
        };
        *self = copy;
        self.set_hinted(hinted);
    }

    /// Moves a large collection out, to be changed and put back with [`Entry::set_payload`].
    /// A shared entry is copied first, and the collection shared with it.
    #[inline]
    pub fn take_obj(&mut self) -> Option<Obj> {
        if self.kind() < K_OBJ {
            return None;
        }
        self.make_unique();
        let tag = self.kind() - K_OBJ;
        let raw = self.raw_pointer(self.payload_at());
        let head = (self.head() & !KIND) | K_TAKEN;
        // SAFETY: unique; the strong count moves from the payload to the returned Obj.
        unsafe {
            self.0.as_ptr().add(2).write(head);
            Some(Obj::from_raw(tag, raw))
        }
    }

    /// Puts back what [`Entry::take_obj`] took. Returns what [`Entry::set_payload`] does.
    #[inline]
    pub fn put_obj(&mut self, obj: Obj) -> isize {
        if self.kind() != K_TAKEN || !self.is_unique() {
            return self.set_payload(New::Obj(obj));
        }
        let at = self.payload_at();
        let head = (self.head() & !KIND) | (K_OBJ + obj.tag());
        // SAFETY: unique; the place of the pointer that was taken is free, and its count moves in.
        unsafe {
            self.0.as_ptr().add(2).write(head);
            Pen(self.0.as_ptr().add(at)).put(&(obj.into_raw() as usize).to_ne_bytes());
        }
        0
    }

    /// Another owner of the large collection; only for kinds that have one.
    fn share_obj(&self) -> Obj {
        let tag = self.kind() - K_OBJ;
        // SAFETY: one count is borrowed from the entry, cloned, and given back by forget.
        unsafe {
            let mine = Obj::from_raw(tag, self.raw_pointer(self.payload_at()));
            let other = mine.clone();
            std::mem::forget(mine);
            other
        }
    }

    /// The large collection, shared (for snapshots and copies).
    pub fn obj(&self) -> Option<Obj> {
        (self.kind() >= K_OBJ).then(|| self.share_obj())
    }

    /// Moves a large string out, as [`Entry::take_obj`] does.
    pub fn take_big(&mut self) -> Option<Arc<Vec<u8>>> {
        if self.kind() != K_BIG {
            return None;
        }
        self.make_unique();
        let raw = self.raw_pointer(self.payload_at());
        let head = (self.head() & !KIND) | K_TAKEN;
        // SAFETY: as in take_obj.
        unsafe {
            self.0.as_ptr().add(2).write(head);
            Some(Arc::from_raw(raw.cast()))
        }
    }

    /// The same value and expiry under another key.
    pub fn renamed(&self, key: &[u8]) -> Entry {
        Entry::new(key, self.head_parts(), self.payload_new())
    }
}

impl Clone for Entry {
    #[inline]
    fn clone(&self) -> Self {
        let before = self.count().fetch_add(1, Ordering::Relaxed);
        if before >= MAX_SHARES {
            self.count().fetch_sub(1, Ordering::Relaxed);
            return self.copy();
        }
        Entry(self.0)
    }
}

impl Drop for Entry {
    #[inline]
    fn drop(&mut self) {
        // A unique owner needs no read-modify-write.
        if !self.is_unique() {
            if self.count().fetch_sub(1, Ordering::Release) != 1 {
                return;
            }
            fence(Ordering::Acquire);
        }
        let layout = Self::layout(self.used());
        // SAFETY: the last owner: payload pointers are dropped once, the allocation is freed
        // with the size class that it was made with.
        unsafe {
            self.drop_payload();
            dealloc(self.0.as_ptr(), layout);
        }
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry")
            .field("key", &self.key().escape_ascii().to_string())
            .field("payload", &self.payload())
            .finish()
    }
}

impl Item for Entry {
    type Key = [u8];

    #[inline]
    fn hash(&self, seed: &Seed) -> u64 {
        seed.hash_bytes(self.key())
    }

    #[inline]
    fn is(&self, key: &[u8]) -> bool {
        self.key() == key
    }

    #[inline]
    fn prefetch(&self) {
        prefetch(self.0.as_ptr());
    }
}
