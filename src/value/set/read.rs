//! Reading a set in whatever form it is.

use std::collections::HashSet;
use std::sync::Arc;

use super::{BLOB_MAX, Pick, Set, SetTable};
use crate::base::num;
use crate::base::rng::Rng;
use crate::keyspace::table;
use crate::value::intset::{IntSet, IntSetRef};
use crate::value::member::Member;
use crate::value::packed::{self, Elem, Forward, PackedRef};

/// Segments that one call of [`SetRef::scan`] visits per element asked for, at most.
const SCAN_EFFORT: usize = 10;

/// A borrowed set.
#[derive(Clone, Copy, Debug)]
pub enum SetRef<'a> {
    Ints(IntSetRef<'a>),
    Packed(PackedRef<'a, Forward>),
    Table(&'a SetTable),
}

impl<'a> SetRef<'a> {
    #[inline]
    pub fn len(&self) -> usize {
        match self {
            SetRef::Ints(ints) => ints.len(),
            SetRef::Packed(blob) => blob.len(),
            SetRef::Table(table) => table.len(),
        }
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// As `OBJECT ENCODING` names it.
    pub fn encoding(&self) -> &'static str {
        match self {
            SetRef::Ints(_) => "intset",
            SetRef::Packed(_) => "listpack",
            SetRef::Table(_) => "hashtable",
        }
    }

    #[inline]
    pub fn contains(&self, text: &[u8]) -> bool {
        match self {
            SetRef::Ints(ints) => num::parse_i64(text).is_some_and(|n| ints.contains(n)),
            SetRef::Packed(blob) => {
                text.len() <= BLOB_MAX && blob.find(&packed::Needle::new(text), 0).is_some()
            }
            SetRef::Table(table) => table.contains(text),
        }
    }

    /// Whether an element of another set is in this one.
    #[inline]
    pub fn contains_elem(&self, elem: Elem<'_>) -> bool {
        match self {
            SetRef::Ints(ints) => elem.as_i64().is_some_and(|n| ints.contains(n)),
            SetRef::Packed(blob) => {
                elem.len_text() <= BLOB_MAX && blob.find(&packed::Needle::of(elem), 0).is_some()
            }
            SetRef::Table(table) => table.contains_elem(elem),
        }
    }

    /// All members: ascending for integers, in order of arrival when packed, else in none.
    #[inline]
    pub fn iter(&self) -> Iter<'a> {
        match *self {
            SetRef::Ints(ints) => Iter::Ints(ints, 0),
            SetRef::Packed(blob) => Iter::Packed(blob.iter()),
            SetRef::Table(table) => Iter::Table(table.table.iter()),
        }
    }

    /// A random member.
    pub fn random(&self, rng: &mut Rng) -> Option<Elem<'a>> {
        match self {
            SetRef::Ints(ints) => ints.random(rng.next_u64()).map(Elem::Int),
            SetRef::Packed(blob) if blob.is_empty() => None,
            SetRef::Packed(blob) => blob.get(rng.below(blob.len() as u64) as usize),
            SetRef::Table(table) => table.random(rng),
        }
    }

    /// Shows `n` different random members to `f`, all if there are no more.
    pub fn sample(&self, n: usize, rng: &mut Rng, f: &mut impl FnMut(Elem<'a>)) {
        match *self {
            // Few of many: drawing again what was drawn before is rare.
            SetRef::Table(table) if n <= table.len() / 4 => {
                let mut seen = HashSet::with_capacity(n);
                while seen.len() < n {
                    let Some(member) = table.table.random(&mut || rng.next_u64()) else {
                        return;
                    };
                    if seen.insert(member.identity()) {
                        f(member.elem());
                    }
                }
            }
            _ => {
                let mut pick = Pick::new(n, self.len());
                self.iter().filter(|_| pick.next(rng)).for_each(f);
            }
        }
    }

    /// Visits about `count` members from `cursor` on; returns where to go on, 0 at the end.
    /// Members that are there from the first call to the last are visited at least once.
    pub fn scan(&self, cursor: u64, count: usize, f: &mut impl FnMut(Elem<'_>)) -> u64 {
        let SetRef::Table(table) = *self else {
            self.iter().for_each(f);
            return 0;
        };
        let (mut cursor, mut visited) = (cursor, 0);
        for _ in 0..count.saturating_mul(SCAN_EFFORT) {
            cursor = table.table.scan(cursor, &mut |member| {
                visited += 1;
                f(member.elem());
            });
            if cursor == 0 || visited >= count {
                break;
            }
        }
        cursor
    }

    /// A set of its own with these members; the large form is shared.
    pub fn to_set(&self) -> Set {
        match *self {
            SetRef::Ints(ints) => Set::Ints(IntSet::from_vec(ints.bytes().to_vec(), ints.width())),
            SetRef::Packed(blob) => Set::Packed(blob.to_owned()),
            SetRef::Table(table) => Set::Table(Arc::new(table.clone())),
        }
    }

    /// Bytes on the heap besides the entry that holds a small set; see [`SetTable::memory`].
    pub fn memory(&self, samples: usize) -> usize {
        match self {
            SetRef::Ints(_) | SetRef::Packed(_) => 0,
            SetRef::Table(table) => table.memory(samples),
        }
    }
}

/// See [`SetRef::iter`].
pub enum Iter<'a> {
    Ints(IntSetRef<'a>, usize),
    Packed(packed::Iter<'a, Forward>),
    Table(table::Iter<'a, Member>),
}

impl<'a> Iterator for Iter<'a> {
    type Item = Elem<'a>;

    #[inline]
    fn next(&mut self) -> Option<Elem<'a>> {
        match self {
            Iter::Ints(ints, at) => {
                *at += 1;
                ints.get(*at - 1).map(Elem::Int)
            }
            Iter::Packed(iter) => iter.next(),
            Iter::Table(iter) => iter.next().map(Member::elem),
        }
    }
}
