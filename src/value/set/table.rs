//! The large form of a set: a table of members.

use crate::base::hash::Seed;
use crate::base::rng::Rng;
use crate::keyspace::table::Table;
use crate::value::member::{Member, Needle};
use crate::value::packed::Elem;

/// Members by hash. `Clone` shares them.
#[derive(Clone, Default)]
pub struct SetTable {
    pub(super) table: Table<Member>,
}

impl SetTable {
    /// The table of members, for fetching ahead.
    pub fn members(&self) -> &Table<Member> {
        &self.table
    }
}

impl std::fmt::Debug for SetTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SetTable")
            .field("len", &self.len())
            .finish()
    }
}

impl SetTable {
    #[inline]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    #[inline]
    pub fn contains(&self, text: &[u8]) -> bool {
        self.has(&Needle::new(text))
    }

    #[inline]
    pub fn contains_elem(&self, elem: Elem<'_>) -> bool {
        self.has(&Needle::of(elem, &mut Vec::new()))
    }

    #[inline]
    fn has(&self, needle: &Needle<'_>) -> bool {
        self.table
            .get(needle.hash(Seed::process()), needle.probe())
            .is_some()
    }

    /// Adds a member; whether it is new.
    #[inline]
    pub fn insert(&mut self, text: &[u8]) -> bool {
        self.add(&Needle::new(text))
    }

    pub fn insert_elem(&mut self, elem: Elem<'_>) -> bool {
        self.add(&Needle::of(elem, &mut Vec::new()))
    }

    #[inline]
    fn add(&mut self, needle: &Needle<'_>) -> bool {
        let seed = Seed::process();
        let hash = needle.hash(seed);
        self.table
            .find_or_insert_with(hash, needle.probe(), seed, || needle.member())
            .1
    }

    /// Removes a member; whether it was there.
    pub fn remove(&mut self, text: &[u8]) -> bool {
        self.take(&Needle::new(text))
    }

    pub fn remove_elem(&mut self, elem: Elem<'_>) -> bool {
        self.take(&Needle::of(elem, &mut Vec::new()))
    }

    fn take(&mut self, needle: &Needle<'_>) -> bool {
        let seed = Seed::process();
        self.table
            .remove(needle.hash(seed), needle.probe(), seed)
            .is_some()
    }

    pub fn random(&self, rng: &mut Rng) -> Option<Elem<'_>> {
        self.table.random(&mut || rng.next_u64()).map(Member::elem)
    }

    /// Removes a random member and shows it to `f`.
    pub(super) fn pop(&mut self, rng: &mut Rng, f: &mut impl FnMut(Elem<'_>)) {
        // A handle of its own, so that the table can be changed while the element is looked at.
        let Some(member) = self.table.random(&mut || rng.next_u64()).cloned() else {
            return;
        };
        self.remove_elem(member.elem());
        f(member.elem());
    }

    /// Bytes on the heap, members estimated from `samples` of them (0: all).
    pub fn memory(&self, samples: usize) -> usize {
        let samples = if samples == 0 {
            self.len()
        } else {
            samples.min(self.len())
        };
        let sum: usize = self.table.iter().take(samples).map(Member::allocated).sum();
        let members = (sum as u128 * self.len() as u128)
            .checked_div(samples as u128)
            .unwrap_or(0);
        size_of::<Self>() + self.table.memory() + members as usize
    }
}
