//! A member of a large set in 8 bytes: an integer or a short string in place, else a pointer.
//!
//! ```text
//! low bits  x00   the address of an entry whose key is the member (256 bytes or more)
//!           x11   the address of a slim allocation, plus 3: count of owners (1 byte, atomic),
//!                 length (1 byte), then 8 to 255 bytes
//!            01   an integer of 62 bits, shifted up by 2
//!            10   a string of up to 7 bytes: length in the low byte above the tag, then the bytes
//! ```
//! A text that is a canonical integer of 62 bits is always stored as one, so equal members have
//! equal forms; integers beyond that are slim texts of their digits.
//!
//! # Contract of the unsafe code
//! - A word whose two low bits are zero is an `Entry`, owned by the `Member`: it is dropped and
//!   cloned with it.
//! - A word with low bits 11 is the address of a slim allocation, of which the `Member` owns one
//!   count. It is made and freed with the size class of its length, and never written after it
//!   was made, but for the count.
//! - Any other word is plain data without provenance and is never followed.
//! - `Entry` is `repr(transparent)` over a non-null pointer that is aligned to 8.
//! - A [`Probe`] borrows its text through the [`Needle`] around it: it cannot be copied or moved
//!   out, so whoever holds a `&Probe` holds the borrow of the text as well.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::marker::PhantomData;
use std::mem;
use std::sync::atomic::{AtomicU8, Ordering, fence};

use super::entry::{Entry, Head, New, size_class};
use super::packed::{Elem, INT_TEXT};
use crate::base::hash::Seed;
use crate::base::num;
use crate::keyspace::table::{Item, prefetch};

const TAG: usize = 3;
const ENTRY: usize = 0;
const INT: usize = 1;
const SHORT: usize = 2;
const SLIM: usize = 3;
/// Bytes before the text of a slim allocation.
const SLIM_HEAD: usize = 2;
/// Bytes of a text that a slim allocation can hold.
const SLIM_MAX: usize = u8::MAX as usize;
/// Owners that a slim allocation may have; who comes then gets a copy. Far from the end of the
/// counter, because threads that meet here count before they look.
const SLIM_OWNERS: u8 = 100;
/// Bytes of a string that fits into the word.
const SHORT_MAX: usize = 7;

/// One member. `Clone` shares an entry.
pub struct Member(*mut u8);

// SAFETY: plain data, or an Entry, which is Send and Sync.
unsafe impl Send for Member {}
// SAFETY: as above.
unsafe impl Sync for Member {}

/// What a member is compared with: its word, or the text of one that is too long for a word.
pub struct Probe {
    /// 0 for texts that need an entry.
    word: usize,
    text: *const u8,
    len: usize,
}

/// A member that is looked for or about to be added, classified once.
pub struct Needle<'a> {
    probe: Probe,
    _text: PhantomData<&'a [u8]>,
}

// The length of a short string has to lie in the low byte.
const _: () = assert!(cfg!(target_endian = "little"));
const _: () = assert!(size_of::<usize>() == 8 && size_of::<Member>() == size_of::<Entry>());

impl<'a> Needle<'a> {
    /// Classifies a text.
    #[inline]
    pub fn new(text: &'a [u8]) -> Needle<'a> {
        if text.len() <= INT_TEXT
            && let Some(n) = num::parse_i64(text)
            && let Some(word) = int_word(n)
        {
            return Self::word(word);
        }
        Self::text(text)
    }

    /// The needle of an integer; `digits` takes its text if it is too large for a word.
    #[inline]
    pub fn int(n: i64, digits: &'a mut Vec<u8>) -> Needle<'a> {
        match int_word(n) {
            Some(word) => Self::word(word),
            None => {
                digits.clear();
                num::write_i64(digits, n);
                Self::text(digits)
            }
        }
    }

    /// The needle of an element of another set.
    #[inline]
    pub fn of(elem: Elem<'a>, digits: &'a mut Vec<u8>) -> Needle<'a> {
        match elem {
            Elem::Int(n) => Self::int(n, digits),
            Elem::Str(text) => Self::text(text),
        }
    }

    #[inline]
    fn word(word: usize) -> Needle<'a> {
        Needle {
            probe: Probe {
                word,
                text: std::ptr::null(),
                len: 0,
            },
            _text: PhantomData,
        }
    }

    /// A text that is not an integer of 62 bits.
    #[inline]
    fn text(text: &'a [u8]) -> Needle<'a> {
        let mut bytes = [0u8; 8];
        let word = if text.len() <= SHORT_MAX {
            bytes[0] = (text.len() << 2 | SHORT) as u8;
            bytes[1..=text.len()].copy_from_slice(text);
            usize::from_le_bytes(bytes)
        } else {
            0
        };
        Needle {
            probe: Probe {
                word,
                text: text.as_ptr(),
                len: text.len(),
            },
            _text: PhantomData,
        }
    }

    #[inline]
    pub fn probe(&self) -> &Probe {
        &self.probe
    }

    #[inline]
    pub fn hash(&self, seed: &Seed) -> u64 {
        match self.probe.word {
            0 => seed.hash_bytes(self.probe.text()),
            word => seed.hash_u64(word as u64),
        }
    }

    /// The member itself.
    #[inline]
    pub fn member(&self) -> Member {
        match self.probe.word {
            0 if self.probe.len <= SLIM_MAX => Member(slim(self.probe.text())),
            0 => {
                let entry = Entry::new(self.probe.text(), Head::default(), New::None);
                // SAFETY: Entry is a non-null pointer (contract); Member owns it from here on.
                Member(unsafe { mem::transmute::<Entry, *mut u8>(entry) })
            }
            word => Member(std::ptr::without_provenance_mut(word)),
        }
    }
}

impl Probe {
    #[inline]
    fn text(&self) -> &[u8] {
        if self.len == 0 {
            return &[];
        }
        // SAFETY: the needle around this probe borrows the text (contract).
        unsafe { std::slice::from_raw_parts(self.text, self.len) }
    }
}

#[inline]
fn int_word(n: i64) -> Option<usize> {
    (n << 2 >> 2 == n).then_some((n << 2) as usize | INT)
}

fn slim_layout(len: usize) -> Layout {
    Layout::from_size_align(size_class(SLIM_HEAD + len), 8).expect("at most 257 bytes")
}

/// A new slim allocation with one owner, tagged.
fn slim(text: &[u8]) -> *mut u8 {
    let layout = slim_layout(text.len());
    // SAFETY: the size is not zero, and has room for the head and the text.
    unsafe {
        let base = alloc(layout);
        if base.is_null() {
            handle_alloc_error(layout);
        }
        base.write(1);
        base.add(1).write(text.len() as u8);
        std::ptr::copy_nonoverlapping(text.as_ptr(), base.add(SLIM_HEAD), text.len());
        base.map_addr(|addr| addr | SLIM)
    }
}

impl Member {
    /// The slim allocation, if that is what the word is.
    #[inline]
    fn slim(&self) -> Option<*mut u8> {
        (self.0.addr() & TAG == SLIM).then(|| self.0.map_addr(|addr| addr & !TAG))
    }

    #[inline]
    fn slim_count(base: *mut u8) -> &'static AtomicU8 {
        // SAFETY: the first byte of a live slim allocation; callers do not keep the reference.
        unsafe { &*base.cast::<AtomicU8>() }
    }

    /// The text of a member that does not fit into the word.
    #[inline]
    fn text(&self) -> Option<&[u8]> {
        match self.slim() {
            // SAFETY: the length and the text follow the count (contract), while `self` lives.
            Some(base) => Some(unsafe {
                std::slice::from_raw_parts(base.add(SLIM_HEAD), usize::from(*base.add(1)))
            }),
            None => self.entry().map(Entry::key),
        }
    }

    #[inline]
    fn entry(&self) -> Option<&Entry> {
        if self.0.addr() & TAG != ENTRY {
            return None;
        }
        // SAFETY: the word is an Entry (contract), which has the size and layout of the pointer.
        Some(unsafe { &*(&raw const self.0).cast::<Entry>() })
    }

    /// The member as an element: integers as such.
    #[inline]
    pub fn elem(&self) -> Elem<'_> {
        if let Some(text) = self.text() {
            // Only integers beyond 62 bits are texts, and they have 19 or 20 characters.
            if (INT_TEXT - 1..=INT_TEXT).contains(&text.len())
                && let Some(n) = num::parse_i64(text)
            {
                return Elem::Int(n);
            }
            return Elem::Str(text);
        }
        let word = self.0.addr();
        if word & TAG == INT {
            return Elem::Int(word as i64 >> 2);
        }
        let len = (word & 0xff) >> 2;
        // SAFETY: the 8 bytes of the word lie in `self`; at most 7 of them follow the first.
        // Reading a pointer without provenance as bytes gives its address.
        let bytes = unsafe { &*(&raw const self.0).cast::<[u8; 8]>() };
        Elem::Str(&bytes[1..=len])
    }

    /// Bytes on the heap.
    pub fn allocated(&self) -> usize {
        match self.slim() {
            Some(_) => self
                .text()
                .map_or(0, |text| size_class(SLIM_HEAD + text.len())),
            None => self.entry().map_or(0, Entry::allocated),
        }
    }

    /// A number that no other member of the same set has at the same time.
    #[inline]
    pub fn identity(&self) -> usize {
        self.0.addr()
    }
}

impl Clone for Member {
    #[inline]
    fn clone(&self) -> Self {
        if let Some(base) = self.slim() {
            let before = Self::slim_count(base).fetch_add(1, Ordering::Relaxed);
            if before < SLIM_OWNERS {
                return Member(self.0);
            }
            Self::slim_count(base).fetch_sub(1, Ordering::Relaxed);
            return Member(slim(self.text().unwrap_or_default()));
        }
        match self.entry() {
            // SAFETY: as in Needle::member: the new reference belongs to the new Member.
            Some(entry) => Member(unsafe { mem::transmute::<Entry, *mut u8>(entry.clone()) }),
            None => Member(self.0),
        }
    }
}

impl Drop for Member {
    #[inline]
    fn drop(&mut self) {
        if let Some(base) = self.slim() {
            let count = Self::slim_count(base);
            if count.load(Ordering::Acquire) != 1 {
                if count.fetch_sub(1, Ordering::Release) != 1 {
                    return;
                }
                fence(Ordering::Acquire);
            }
            // SAFETY: the last owner; the length says with which layout it was made.
            unsafe { dealloc(base, slim_layout(usize::from(*base.add(1)))) };
            return;
        }
        if self.0.addr() & TAG == ENTRY {
            // SAFETY: the word is an Entry that this Member owns; it is not used afterwards.
            drop(unsafe { mem::transmute::<*mut u8, Entry>(self.0) });
        }
    }
}

impl Item for Member {
    type Key = Probe;

    #[inline]
    fn hash(&self, seed: &Seed) -> u64 {
        match self.text() {
            Some(text) => seed.hash_bytes(text),
            None => seed.hash_u64(self.0.addr() as u64),
        }
    }

    #[inline]
    fn is(&self, probe: &Probe) -> bool {
        match probe.word {
            0 => self.text().is_some_and(|text| text == probe.text()),
            word => self.0.addr() == word,
        }
    }

    #[inline]
    fn prefetch(&self) {
        if matches!(self.0.addr() & TAG, SLIM | ENTRY) {
            prefetch(self.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use crate::keyspace::table::Table;
    use std::collections::BTreeSet;

    #[test]
    fn a_slim_text_with_many_owners_is_copied() {
        let member = Needle::new(b"twelve bytes").member();
        let owners: Vec<Member> = (0..1000).map(|_| member.clone()).collect();
        assert!(
            owners
                .iter()
                .all(|m| m.elem() == Elem::Str(b"twelve bytes"))
        );
        let shared = owners
            .iter()
            .filter(|m| m.identity() == member.identity())
            .count();
        assert_eq!(
            shared + 1,
            usize::from(SLIM_OWNERS),
            "the first owner counts"
        );
        drop(owners);
        assert_eq!(member.elem(), Elem::Str(b"twelve bytes"));
        assert_eq!(member.allocated(), 16);
    }

    #[test]
    fn texts_come_back_as_they_went_in() {
        let longest = (0..=40).map(|len| vec![b'x'; len]);
        let ints = [
            0,
            1,
            -1,
            7,
            1 << 61,
            (1 << 61) - 1,
            -(1 << 61),
            -(1 << 61) - 1,
            i64::MAX,
            i64::MIN,
        ];
        let texts = ints.map(|n: i64| n.to_string().into_bytes());
        let odd = [
            &b"007"[..],
            b"-0",
            b"+1",
            b"\0\0\0",
            b"9223372036854775808",
            b"1234567",
            b"12345678",
        ];
        for text in longest.chain(texts).chain(odd.map(<[u8]>::to_vec)) {
            let needle = Needle::new(&text);
            let member = needle.member();
            assert_eq!(member.elem().to_vec(), text);
            assert_eq!(
                matches!(member.elem(), Elem::Int(_)),
                num::parse_i64(&text).is_some()
            );
            assert!(member.is(needle.probe()));
            let seed = Seed::fixed(1);
            assert_eq!(member.hash(&seed), needle.hash(&seed));
            let mut digits = Vec::new();
            let again = Needle::of(member.elem(), &mut digits);
            assert!(member.is(again.probe()) && member.clone().is(again.probe()));
            assert_eq!(
                member.allocated() > 0,
                text.len() > 7 && int_of(&text).is_none()
            );
        }
    }

    fn int_of(text: &[u8]) -> Option<usize> {
        num::parse_i64(text).and_then(int_word)
    }

    #[test]
    fn a_table_of_members_is_a_set_of_texts() {
        let seed = Seed::fixed(5);
        let mut rng = Rng::new(11);
        let mut table: Table<Member> = Table::new();
        let mut model = BTreeSet::new();
        let mut kept = Vec::new();
        for step in 0..20_000u32 {
            let n = rng.below(3000) as i64;
            let text = match n % 4 {
                0 => n.to_string(),
                1 => format!("{n:x}"),
                2 => format!("member:{n:09}"),
                _ => (n << 51).to_string(),
            };
            let needle = Needle::new(text.as_bytes());
            let hash = needle.hash(&seed);
            if rng.below(3) > 0 {
                let (_, new) =
                    table.find_or_insert_with(hash, needle.probe(), &seed, || needle.member());
                assert_eq!(new, model.insert(text.clone()));
            } else {
                let gone = table.remove(hash, needle.probe(), &seed);
                assert_eq!(gone.is_some(), model.remove(&text));
            }
            if step % 4000 == 0 {
                kept.push((table.clone(), model.clone()));
            }
        }
        kept.push((table, model));
        for (table, model) in kept {
            let texts: BTreeSet<_> = table
                .iter()
                .map(|m| String::from_utf8(m.elem().to_vec()).unwrap())
                .collect();
            assert_eq!(texts, model);
            assert_eq!(table.len(), model.len());
        }
    }
}
