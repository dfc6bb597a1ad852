//! The large form: an index of members by hash beside a tree of them in order.
//!
//! A member is one entry with its score, held by both. Its place in the tree repeats the score as
//! an integer of the same order, so that searching reads no entry but among equal scores.

use std::cmp::Ordering;
use std::ops::Range;

use super::range::{Interval, order_of, score_at};
use super::{AddFlags, Change, Nan};
use crate::base::hash::Seed;
use crate::base::rng::Rng;
use crate::keyspace::table::Table;
use crate::value::entry::{Entry, Head, New};
use crate::value::packed::Elem;
use crate::value::tree::{self, Tree};

/// Members weighed by [`ZsetTree::memory`] if not told otherwise, as Redis does.
const MEMORY_SAMPLES: usize = 5;

/// A member at its place in the order.
#[derive(Clone)]
pub struct Ranked {
    order: u64,
    entry: Entry,
}

impl Ranked {
    pub fn new(entry: Entry) -> Ranked {
        let order = order_of(score_of(&entry));
        Ranked { order, entry }
    }

    /// Members in order.
    pub fn sort(entries: Vec<Entry>) -> Vec<Ranked> {
        let mut members: Vec<Ranked> = entries.into_iter().map(Ranked::new).collect();
        members.sort_unstable_by(Ranked::order);
        members
    }

    /// Whether entries stand in order as they are.
    pub fn is_sorted(entries: &[Entry]) -> bool {
        entries.is_sorted_by(|a, b| {
            let order = order_of(score_of(a)).cmp(&order_of(score_of(b)));
            order.then_with(|| a.key().cmp(b.key())).is_lt()
        })
    }

    #[inline]
    pub fn member(&self) -> &[u8] {
        self.entry.key()
    }

    #[inline]
    pub fn score(&self) -> f64 {
        // Zero has two signs; all other scores need not be looked up.
        match score_at(self.order) {
            0.0 => score_of(&self.entry),
            score => score,
        }
    }

    /// How this place compares with another.
    #[inline]
    fn compare(&self, order: u64, member: &[u8]) -> Ordering {
        match self.order.cmp(&order) {
            Ordering::Equal => self.entry.key().cmp(member),
            unequal => unequal,
        }
    }

    /// How two members are ordered.
    #[inline]
    pub fn order(&self, other: &Ranked) -> Ordering {
        self.compare(other.order, other.member())
    }

    pub fn entry(&self) -> &Entry {
        &self.entry
    }
}

impl tree::Item for Ranked {
    type Key = Ranked;

    #[inline]
    fn key(&self) -> &Ranked {
        self
    }

    #[inline]
    fn touch(&self) -> u64 {
        self.order
    }
}

/// A member with its score as an entry.
#[inline]
pub fn entry_of(member: &[u8], score: f64) -> Entry {
    let head = Head {
        score: Some(score),
        ..Head::default()
    };
    Entry::new(member, head, New::None)
}

#[inline]
pub fn score_of(entry: &Entry) -> f64 {
    entry.score().unwrap_or_default()
}

/// Members that scores are collected for, each once.
#[derive(Default)]
pub struct Gather(Table<Entry>);

impl Gather {
    /// Gives a member a score; one that is there gets what `change` makes of its present one.
    pub fn put(&mut self, member: &[u8], score: f64, change: impl FnOnce(f64) -> f64) {
        let seed = Seed::process();
        let hash = seed.hash_bytes(member);
        let make = || entry_of(member, score);
        let (entry, new) = self.0.find_or_insert_with(hash, member, seed, make);
        if !new {
            entry.set_score(change(score_of(entry)));
        }
    }

    pub fn into_entries(self) -> Vec<Entry> {
        self.0.iter().cloned().collect()
    }
}

/// Members by hash and in order. `Clone` shares them.
#[derive(Clone, Default)]
pub struct ZsetTree {
    pub(super) index: Table<Entry>,
    pub(super) order: Tree<Ranked>,
}

impl ZsetTree {
    /// The index of members, for fetching ahead.
    pub fn members(&self) -> &Table<Entry> {
        &self.index
    }
}

impl std::fmt::Debug for ZsetTree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ZsetTree")
            .field("len", &self.len())
            .finish()
    }
}

impl ZsetTree {
    /// Of members in order; `None` if they are not distinct.
    pub(super) fn from_sorted(members: Vec<Ranked>) -> Option<ZsetTree> {
        let seed = Seed::process();
        let mut index = Table::new();
        for member in &members {
            let text = member.member();
            let hash = seed.hash_bytes(text);
            let (_, new) = index.find_or_insert_with(hash, text, seed, || member.entry.clone());
            if !new {
                return None;
            }
        }
        Some(ZsetTree {
            index,
            order: Tree::from_sorted(members),
        })
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.index.len()
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    #[inline]
    fn find(&self, member: &[u8]) -> Option<&Entry> {
        self.index.get(Seed::process().hash_bytes(member), member)
    }

    #[inline]
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        self.find(member).map(score_of)
    }

    /// Position in ascending order, and the score.
    pub fn rank(&self, member: &[u8]) -> Option<(usize, f64)> {
        let score = self.score(member)?;
        let order = order_of(score);
        let rank = self.order.lower_bound(|at| at.compare(order, member));
        Some((rank as usize, score))
    }

    /// Positions inside an interval.
    pub fn ranks(&self, interval: &impl Interval) -> Range<usize> {
        let before = |is: bool| {
            if is {
                Ordering::Less
            } else {
                Ordering::Greater
            }
        };
        let place = |at: &Ranked| score_at(at.order);
        let start = self
            .order
            .lower_bound(|at| before(interval.is_before(place(at), at.member())));
        let end = self
            .order
            .lower_bound(|at| before(!interval.is_behind(place(at), at.member())));
        start as usize..end.max(start) as usize
    }

    pub fn at(&self, rank: usize) -> Option<&Ranked> {
        self.order.get(rank as u64).map(|(member, _)| member)
    }

    pub fn random(&self, rng: &mut Rng) -> Option<&Ranked> {
        if self.is_empty() {
            return None;
        }
        self.at(rng.below(self.len() as u64) as usize)
    }

    /// Bytes on the heap: all nodes, and members by the average of some (0: of all).
    pub fn memory(&self, samples: Option<usize>) -> usize {
        let samples = match samples.unwrap_or(MEMORY_SAMPLES) {
            0 => self.len(),
            n => n.min(self.len()),
        };
        let weighed: usize = self
            .index
            .iter()
            .take(samples)
            .map(|entry| entry.allocated())
            .sum();
        let members = weighed / samples.max(1) * self.len();
        // Leaves that random inserts filled are full to 89 %; inner nodes add a thirtieth.
        let places = self.len() * size_of::<Ranked>() * 23 / 20;
        size_of::<ZsetTree>() + self.index.memory() + places + members
    }

    pub(super) fn add(
        &mut self,
        score: f64,
        member: &[u8],
        flags: AddFlags,
    ) -> Result<Change, Nan> {
        let seed = Seed::process();
        let hash = seed.hash_bytes(member);
        let Some(held) = self.index.get(hash, member) else {
            if flags.xx {
                return Ok(Change::Skipped);
            }
            let entry = entry_of(member, score);
            self.index.insert_new(hash, entry.clone(), seed);
            self.place(entry, member);
            return Ok(Change::Added(score));
        };
        let old = score_of(held);
        let change = flags.change(old, score)?;
        if let Change::Updated(score) = change {
            self.displace(old, member);
            // Where no snapshot holds the entry, nobody else does now.
            if let Some(held) = self.index.get_mut(hash, member, seed) {
                held.set_score(score);
                let entry = held.clone();
                self.place(entry, member);
            }
        }
        Ok(change)
    }

    /// Puts a member in order that is not there.
    #[inline]
    fn place(&mut self, entry: Entry, member: &[u8]) {
        let item = Ranked::new(entry);
        let order = item.order;
        let placed = self.order.insert(item, |at| at.compare(order, member));
        debug_assert!(placed.is_ok(), "index and order hold the same members");
    }

    /// Takes a member out of the order.
    #[inline]
    fn displace(&mut self, score: f64, member: &[u8]) {
        let order = order_of(score);
        let gone = self.order.remove(|at| at.compare(order, member));
        debug_assert!(gone.is_some(), "index and order hold the same members");
    }

    pub(super) fn remove(&mut self, member: &[u8]) -> bool {
        let seed = Seed::process();
        let hash = seed.hash_bytes(member);
        match self.index.remove(hash, member, seed) {
            Some(entry) => {
                self.displace(score_of(&entry), member);
                true
            }
            None => false,
        }
    }

    /// Removes the members at these positions and shows them to `f`, backwards if `rev`.
    pub(super) fn take(
        &mut self,
        ranks: Range<usize>,
        rev: bool,
        f: &mut impl FnMut(Elem<'_>, f64),
    ) {
        let seed = Seed::process();
        let index = &mut self.index;
        let mut drop_one = |gone: &Ranked| {
            f(Elem::Str(gone.member()), gone.score());
            let hash = seed.hash_bytes(gone.member());
            let entry = index.remove(hash, gone.member(), seed);
            debug_assert!(entry.is_some(), "index and order hold the same members");
        };
        if ranks.len() == 1 {
            let gone = self.order.remove_at(ranks.start as u64);
            gone.iter().for_each(drop_one);
            return;
        }
        let gone = self
            .order
            .remove_range(ranks.start as u64, ranks.end as u64);
        if rev {
            gone.rev().for_each(&mut drop_one);
        } else {
            gone.iter().for_each(&mut drop_one);
        }
    }
}
