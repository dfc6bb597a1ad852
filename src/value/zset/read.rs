//! Reading a sorted set in whatever form it is.
//!
//! Everything goes by rank: intervals of scores and members are turned into ranges of ranks, in
//! O(log n) for the large form, and ranges of ranks are walked or counted.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use super::large::{Ranked, ZsetTree, entry_of, score_of};
use super::range::{Interval, compare};
use super::{BLOB_MAX, Zset, elem_score};
use crate::base::rng::Rng;
use crate::value::entry::Entry;
use crate::value::packed::{self, Elem, Forward, Needle, PackedRef};
use crate::value::tree;

/// Segments that one call of [`ZsetRef::scan`] visits per element asked for, at most.
const SCAN_EFFORT: usize = 10;

/// A borrowed sorted set.
#[derive(Clone, Copy, Debug)]
pub enum ZsetRef<'a> {
    Packed(PackedRef<'a, Forward>),
    Tree(&'a ZsetTree),
}

impl<'a> ZsetRef<'a> {
    #[inline]
    pub fn len(&self) -> usize {
        match self {
            ZsetRef::Packed(blob) => blob.len() / 2,
            ZsetRef::Tree(tree) => tree.len(),
        }
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// As `OBJECT ENCODING` names it.
    pub fn encoding(&self) -> &'static str {
        match self {
            ZsetRef::Packed(_) => "listpack",
            ZsetRef::Tree(_) => "skiplist",
        }
    }

    pub fn score(&self, member: &[u8]) -> Option<f64> {
        match self {
            ZsetRef::Packed(blob) => {
                let at = find(*blob, member)?;
                Some(elem_score(blob.at(blob.next_offset(at))))
            }
            ZsetRef::Tree(tree) => tree.score(member),
        }
    }

    /// Position in ascending order, and the score.
    pub fn rank(&self, member: &[u8]) -> Option<(usize, f64)> {
        match self {
            ZsetRef::Packed(blob) => pairs(*blob)
                .enumerate()
                .find(|(_, (elem, _))| elem.eq_bytes(member))
                .map(|(rank, (_, score))| (rank, score)),
            ZsetRef::Tree(tree) => tree.rank(member),
        }
    }

    /// Positions inside an interval of scores or members.
    pub fn ranks(&self, interval: &impl Interval) -> Range<usize> {
        match self {
            ZsetRef::Packed(blob) => {
                let mut start = 0;
                let mut end = 0;
                for (elem, score) in pairs(*blob) {
                    let (before, behind) = elem.with_bytes(|member| {
                        (
                            interval.is_before(score, member),
                            interval.is_behind(score, member),
                        )
                    });
                    start += usize::from(before && start == end);
                    if behind {
                        break;
                    }
                    end += 1;
                }
                start..end.max(start)
            }
            ZsetRef::Tree(tree) => tree.ranks(interval),
        }
    }

    /// The members at these positions, backwards if `rev`.
    pub fn range(&self, ranks: Range<usize>, rev: bool) -> Iter<'a> {
        let ranks = ranks.start.min(self.len())..ranks.end.min(self.len());
        if ranks.is_empty() {
            return Iter::Packed(PackedRef::new(&[], 0).iter(), 0);
        }
        match *self {
            ZsetRef::Packed(blob) if rev => Iter::PackedRev(blob, offsets(blob, ranks)),
            ZsetRef::Packed(blob) => {
                let mut iter = blob.iter();
                iter.skip_elements(2 * ranks.start);
                Iter::Packed(iter, ranks.len())
            }
            ZsetRef::Tree(tree) if rev => {
                Iter::TreeRev(tree.order.rev_at(ranks.end as u64 - 1), ranks.len())
            }
            ZsetRef::Tree(tree) => Iter::Tree(tree.order.iter_at(ranks.start as u64), ranks.len()),
        }
    }

    /// The members at these positions as entries; those of the large form are shared.
    pub fn entries(&self, ranks: Range<usize>) -> Vec<Entry> {
        match *self {
            ZsetRef::Tree(tree) => {
                let count = ranks.end.min(tree.len()).saturating_sub(ranks.start);
                let members = tree.order.iter_at(ranks.start as u64).take(count);
                members.map(|member| member.entry().clone()).collect()
            }
            ZsetRef::Packed(_) => self
                .range(ranks, false)
                .map(|(elem, score)| elem.with_bytes(|member| entry_of(member, score)))
                .collect(),
        }
    }

    /// All members in ascending order.
    pub fn iter(&self) -> Iter<'a> {
        self.range(0..self.len(), false)
    }

    /// The member at this position.
    pub fn at(&self, rank: usize) -> Option<(Elem<'a>, f64)> {
        match *self {
            ZsetRef::Packed(blob) => {
                let at = (rank < self.len()).then(|| blob.offset_of(2 * rank))??;
                Some((blob.at(at), elem_score(blob.at(blob.next_offset(at)))))
            }
            ZsetRef::Tree(tree) => tree.at(rank).map(pair),
        }
    }

    /// A random member.
    pub fn random(&self, rng: &mut Rng) -> Option<(Elem<'a>, f64)> {
        if self.is_empty() {
            return None;
        }
        self.at(rng.below(self.len() as u64) as usize)
    }

    /// Shows `n` different random members to `f`, all if there are no more.
    pub fn sample(&self, n: usize, rng: &mut Rng, f: &mut impl FnMut(Elem<'a>, f64)) {
        let len = self.len();
        if n >= len {
            return self.iter().for_each(|(elem, score)| f(elem, score));
        }
        if n <= len / 4 && matches!(self, ZsetRef::Tree(_)) {
            // Few of many: drawing again what was drawn before is rare.
            let mut seen = HashSet::with_capacity(n);
            while seen.len() < n {
                let rank = rng.below(len as u64) as usize;
                if seen.insert(rank)
                    && let Some((elem, score)) = self.at(rank)
                {
                    f(elem, score);
                }
            }
            return;
        }
        let mut wanted = n;
        for (at, (elem, score)) in self.iter().enumerate() {
            if rng.below((len - at) as u64) < wanted as u64 {
                wanted -= 1;
                f(elem, score);
            }
        }
    }

    /// Visits about `count` members from `cursor` on; returns where to go on, 0 at the end.
    /// Members that are there from the first call to the last are visited at least once.
    pub fn scan(&self, cursor: u64, count: usize, f: &mut impl FnMut(Elem<'_>, f64)) -> u64 {
        let ZsetRef::Tree(tree) = *self else {
            self.iter().for_each(|(elem, score)| f(elem, score));
            return 0;
        };
        let (mut cursor, mut visited) = (cursor, 0);
        for _ in 0..count.saturating_mul(SCAN_EFFORT) {
            cursor = tree.index.scan(cursor, &mut |entry| {
                visited += 1;
                f(Elem::Str(entry.key()), score_of(entry));
            });
            if cursor == 0 || visited >= count {
                break;
            }
        }
        cursor
    }

    /// A sorted set of its own with these members; the large form is shared.
    pub fn to_zset(&self) -> Zset {
        match *self {
            ZsetRef::Packed(blob) => Zset::Packed(blob.to_owned()),
            ZsetRef::Tree(tree) => Zset::Tree(Arc::new(tree.clone())),
        }
    }

    /// Bytes on the heap besides the entry that holds a small one; see [`ZsetTree::memory`].
    pub fn memory(&self, samples: Option<usize>) -> usize {
        match self {
            ZsetRef::Packed(_) => 0,
            ZsetRef::Tree(tree) => tree.memory(samples),
        }
    }
}

/// Where the pair of this member starts.
#[inline]
pub(super) fn find(blob: PackedRef<'_, Forward>, member: &[u8]) -> Option<usize> {
    if member.len() > BLOB_MAX {
        return None;
    }
    blob.find(&Needle::new(member), 1)
}

/// Where a pair with this score and member belongs: the start of the first pair behind it.
pub(super) fn slot(blob: PackedRef<'_, Forward>, score: f64, member: &[u8]) -> usize {
    let mut at = 0;
    while at < blob.bytes().len() {
        let score_at = blob.next_offset(at);
        let other = elem_score(blob.at(score_at));
        if other > score
            || (other == score
                && blob
                    .at(at)
                    .with_bytes(|other_member| compare(other, other_member, score, member).is_gt()))
        {
            break;
        }
        at = blob.next_offset(score_at);
    }
    at
}

fn pairs(blob: PackedRef<'_, Forward>) -> impl Iterator<Item = (Elem<'_>, f64)> {
    Iter::Packed(blob.iter(), blob.len() / 2)
}

/// Where the pairs at these positions start.
fn offsets(blob: PackedRef<'_, Forward>, ranks: Range<usize>) -> Vec<usize> {
    let mut offsets = Vec::with_capacity(ranks.len());
    let mut at = blob.offset_of(2 * ranks.start).unwrap_or(0);
    for _ in ranks {
        offsets.push(at);
        at = blob.next_offset(blob.next_offset(at));
    }
    offsets
}

fn pair(member: &Ranked) -> (Elem<'_>, f64) {
    (Elem::Str(member.member()), member.score())
}

/// Members with their scores; see [`ZsetRef::range`]. Integers of the large form come as strings.
pub enum Iter<'a> {
    Packed(packed::Iter<'a, Forward>, usize),
    PackedRev(PackedRef<'a, Forward>, Vec<usize>),
    Tree(tree::Iter<'a, Ranked>, usize),
    TreeRev(tree::RevIter<'a, Ranked>, usize),
}

impl<'a> Iterator for Iter<'a> {
    type Item = (Elem<'a>, f64);

    #[inline]
    fn next(&mut self) -> Option<(Elem<'a>, f64)> {
        match self {
            Iter::Packed(iter, left) => {
                *left = left.checked_sub(1)?;
                Some((iter.next()?, elem_score(iter.next()?)))
            }
            Iter::PackedRev(blob, offsets) => {
                let at = offsets.pop()?;
                Some((blob.at(at), elem_score(blob.at(blob.next_offset(at)))))
            }
            Iter::Tree(iter, left) => {
                *left = left.checked_sub(1)?;
                iter.next().map(pair)
            }
            Iter::TreeRev(iter, left) => {
                *left = left.checked_sub(1)?;
                iter.next().map(pair)
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = match self {
            Iter::Packed(_, left) | Iter::Tree(_, left) | Iter::TreeRev(_, left) => *left,
            Iter::PackedRev(_, offsets) => offsets.len(),
        };
        (left, Some(left))
    }
}

impl ExactSizeIterator for Iter<'_> {}
