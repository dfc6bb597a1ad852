//! Sets: distinct byte strings without order.
//!
//! Three forms: sorted integers of one width while all members are integers (`intset`), a packed
//! blob while there are few and short members (`listpack`), a table of [`Member`](super::member::Member)s otherwise
//! (`hashtable`). Forms only change towards the table, when a member does not fit any more.
//! Members are read as [`Elem`]s: canonical integers as such, so that algebra between sets of
//! different forms needs no texts.

mod read;
mod table;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use read::{Iter, SetRef};
pub use table::SetTable;

use super::entry::{Blob, Payload};
use super::intset::{IntSet, IntSetRef, Width};
use super::packed::{self, Elem, Forward, Packed};
use super::{Collection, Limits, Obj, Stored, Type, tag};
use crate::base::num;
use crate::base::rng::Rng;
use crate::value::entry::ObjRef;

/// No small form grows beyond this many bytes, whatever the limits say: positions in it and
/// lengths in files have 32 bits.
pub(super) const BLOB_MAX: usize = 1 << 30;
/// Redis' bound for `set-max-intset-entries`.
const INTS_MAX: usize = 1 << 30;

/// A set that is being changed.
#[derive(Debug)]
pub enum Set {
    Ints(IntSet),
    Packed(Packed<Forward>),
    Table(Arc<SetTable>),
}

impl Set {
    pub fn read(&self) -> SetRef<'_> {
        match self {
            Set::Ints(ints) => SetRef::Ints(ints.view()),
            Set::Packed(blob) => SetRef::Packed(blob.view()),
            Set::Table(table) => SetRef::Table(table),
        }
    }

    pub fn len(&self) -> usize {
        self.read().len()
    }

    pub fn contains(&self, text: &[u8]) -> bool {
        self.read().contains(text)
    }

    /// Gives a set that is still empty the form that suits `count` members of which `first` is
    /// one.
    pub fn prepare(&mut self, first: &[u8], count: usize, limits: &Limits) {
        if !self.read().is_empty() {
            return;
        }
        *self = if count <= limits.set_intset_entries && num::parse_i64(first).is_some() {
            Set::Ints(IntSet::new())
        } else if count <= limits.set_entries {
            Set::Packed(Packed::new())
        } else {
            Set::Table(Arc::default())
        };
    }

    /// Adds a member; whether it is new.
    #[inline]
    pub fn insert(&mut self, text: &[u8], limits: &Limits) -> bool {
        match self {
            Set::Table(table) => Arc::make_mut(table).insert(text),
            Set::Packed(_) if text.len() <= limits.set_value.min(BLOB_MAX) => {
                self.insert_packed(&packed::Needle::new(text), text.len(), limits)
            }
            _ => match num::parse_i64(text) {
                Some(n) => self.insert_elem(Elem::Int(n), limits),
                None => self.insert_elem(Elem::Str(text), limits),
            },
        }
    }

    /// Adds an element of another set; whether it is new.
    pub fn insert_elem(&mut self, elem: Elem<'_>, limits: &Limits) -> bool {
        match (&mut *self, elem) {
            (Set::Table(table), _) => Arc::make_mut(table).insert_elem(elem),
            (Set::Ints(ints), Elem::Int(n)) => {
                let new = ints.insert(n);
                if new && ints.len() > limits.set_intset_entries.min(INTS_MAX) {
                    self.make_table();
                }
                new
            }
            (Set::Ints(ints), Elem::Str(text)) => {
                if ints.len() < limits.set_entries
                    && fits_packed(ints.view(), limits)
                    && text.len() <= limits.set_value.min(BLOB_MAX)
                {
                    let mut blob = Packed::with_capacity(ints.len() * 4 + text.len() + 8);
                    for n in ints.view().iter() {
                        blob.push_back_needle(&packed::Needle::int(n));
                    }
                    blob.push_back(text);
                    *self = Set::Packed(blob);
                    return true;
                }
                self.make_table();
                self.insert_elem(elem, limits)
            }
            (Set::Packed(_), Elem::Str(text)) if text.len() > limits.set_value.min(BLOB_MAX) => {
                if self.read().contains_elem(elem) {
                    return false;
                }
                self.make_table();
                self.insert_elem(elem, limits)
            }
            (Set::Packed(_), _) => {
                self.insert_packed(&packed::Needle::of(elem), elem.len_text(), limits)
            }
        }
    }

    /// Adds a member that is short enough for the packed form, which the set has.
    fn insert_packed(&mut self, needle: &packed::Needle<'_>, len: usize, limits: &Limits) -> bool {
        let Set::Packed(blob) = self else {
            unreachable!("the caller has looked");
        };
        if blob.view().find(needle, 0).is_some() {
            return false;
        }
        let fits = blob.len() < limits.set_entries
            && len <= limits.set_value
            && blob.byte_len() + needle.encoded_len() <= BLOB_MAX;
        blob.push_back_needle(needle);
        if !fits {
            self.make_table();
        }
        true
    }

    /// Changes to the large form.
    fn make_table(&mut self) -> &mut SetTable {
        if !matches!(self, Set::Table(_)) {
            let mut table = SetTable::default();
            for elem in self.read().iter() {
                table.insert_elem(elem);
            }
            *self = Set::Table(Arc::new(table));
        }
        match self {
            Set::Table(table) => Arc::make_mut(table),
            _ => unreachable!("just made"),
        }
    }

    /// Removes a member; whether it was there.
    #[inline]
    pub fn remove(&mut self, text: &[u8]) -> bool {
        match self {
            Set::Table(table) => Arc::make_mut(table).remove(text),
            _ => match num::parse_i64(text) {
                Some(n) => self.remove_elem(Elem::Int(n)),
                None => self.remove_elem(Elem::Str(text)),
            },
        }
    }

    /// Removes an element; whether it was there.
    pub fn remove_elem(&mut self, elem: Elem<'_>) -> bool {
        match self {
            Set::Table(table) => Arc::make_mut(table).remove_elem(elem),
            Set::Ints(ints) => elem.as_i64().is_some_and(|n| ints.remove(n)),
            Set::Packed(blob) => {
                if elem.len_text() > BLOB_MAX {
                    return false;
                }
                let at = blob.view().find(&packed::Needle::of(elem), 0);
                at.is_some_and(|at| blob.remove(at, 1) == 1)
            }
        }
    }

    /// Removes up to `n` random members and shows each to `f`.
    pub fn pop(&mut self, n: usize, rng: &mut Rng, f: &mut impl FnMut(Elem<'_>)) {
        let n = n.min(self.len());
        match self {
            Set::Table(table) => {
                let table = Arc::make_mut(table);
                for _ in 0..n {
                    table.pop(rng, f);
                }
            }
            Set::Ints(ints) => {
                let mut pick = Pick::new(n, ints.len());
                let mut gone = Vec::with_capacity(n);
                for at in ints.view().iter() {
                    if pick.next(rng) {
                        f(Elem::Int(at));
                        gone.push(at);
                    }
                }
                for at in gone {
                    ints.remove(at);
                }
            }
            Set::Packed(blob) if n == 1 => {
                let view = blob.view();
                let at = view
                    .offset_of(rng.below(view.len() as u64) as usize)
                    .unwrap_or(0);
                f(view.at(at));
                blob.remove(at, 1);
            }
            Set::Packed(blob) => {
                let mut pick = Pick::new(n, blob.len());
                let mut rest = Packed::with_capacity(blob.byte_len());
                for elem in blob.view().iter() {
                    if pick.next(rng) {
                        f(elem);
                    } else {
                        rest.push_back_needle(&packed::Needle::of(elem));
                    }
                }
                *blob = rest;
            }
        }
    }
}

/// Whether all members of an intset are short enough for the packed form.
fn fits_packed(ints: IntSetRef<'_>, limits: &Limits) -> bool {
    [ints.min(), ints.max()]
        .into_iter()
        .flatten()
        .all(|n| num::i64_len(n) <= limits.set_value)
}

/// Chooses `wanted` of `left` things that come one by one, every choice equally likely.
pub(crate) struct Pick {
    wanted: usize,
    left: usize,
}

impl Pick {
    pub(crate) fn new(wanted: usize, left: usize) -> Pick {
        Pick { wanted, left }
    }

    /// Whether the next thing is chosen.
    #[inline]
    pub(crate) fn next(&mut self, rng: &mut Rng) -> bool {
        if self.wanted == 0 || self.left == 0 {
            return false;
        }
        let hit = self.wanted >= self.left || rng.below(self.left as u64) < self.wanted as u64;
        self.left -= 1;
        self.wanted -= usize::from(hit);
        hit
    }
}

impl Collection for Set {
    type Ref<'a> = SetRef<'a>;
    const TYPE: Type = Type::Set;

    fn empty() -> Self {
        Set::Ints(IntSet::new())
    }

    fn is_empty(&self) -> bool {
        self.read().is_empty()
    }

    #[inline]
    fn view(payload: Payload<'_>) -> Option<SetRef<'_>> {
        match payload {
            Payload::Packed(blob) => Some(match blob.tag {
                tag::SET_PACKED => SetRef::Packed(packed::PackedRef::new(blob.bytes, blob.count)),
                tag => SetRef::Ints(IntSetRef::new(blob.bytes, width(tag)?)),
            }),
            Payload::Obj(ObjRef::Set(table)) => Some(SetRef::Table(table)),
            _ => None,
        }
    }

    #[inline]
    fn from_blob(blob: Blob<'_>, mut scratch: Vec<u8>) -> Self {
        scratch.extend_from_slice(blob.bytes);
        match width(blob.tag) {
            Some(width) => Set::Ints(IntSet::from_vec(scratch, width)),
            None => Set::Packed(Packed::from_vec(scratch, blob.count)),
        }
    }

    #[inline]
    fn from_obj(obj: Obj) -> Option<Self> {
        match obj {
            Obj::Set(table) => Some(Set::Table(table)),
            _ => None,
        }
    }

    #[inline]
    fn store(self) -> Stored {
        match self {
            Set::Ints(ints) => {
                let count = ints.len() as u32;
                let (bytes, width) = ints.into_parts();
                let tag = match width {
                    Width::Two => tag::SET_INT16,
                    Width::Four => tag::SET_INT32,
                    Width::Eight => tag::SET_INT64,
                };
                Stored::Small(tag, count, bytes)
            }
            Set::Packed(blob) => {
                let (bytes, count) = blob.into_parts();
                Stored::Small(tag::SET_PACKED, count, bytes)
            }
            Set::Table(table) => Stored::Large(Obj::Set(table)),
        }
    }
}

/// The width that a tag of an intset stands for.
#[inline]
fn width(tag: u8) -> Option<Width> {
    match tag {
        tag::SET_INT16 => Some(Width::Two),
        tag::SET_INT32 => Some(Width::Four),
        tag::SET_INT64 => Some(Width::Eight),
        _ => None,
    }
}
