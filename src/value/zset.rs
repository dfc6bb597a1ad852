//! Sorted sets: distinct members, ordered by score and then by their bytes.
//!
//! Two forms: a packed blob of member and score pairs in order while there are few and short
//! members (`listpack`), an index and a tree otherwise (`skiplist`). A set changes to the large
//! form when a member does not fit any more, and never back.

pub mod large;
pub mod range;
mod read;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;

pub use large::{Gather, Ranked, ZsetTree};
pub use range::{LexBound, LexRange, ScoreRange};
pub use read::{Iter, ZsetRef};

use super::entry::{Blob, Entry, ObjRef, Payload};
use super::packed::{Elem, Forward, Needle, Packed, PackedRef};
use super::{Collection, Limits, Obj, Stored, Type, tag};
use crate::base::num;
use large::entry_of;

/// The small form does not grow beyond this many bytes, whatever the limits say: positions in it
/// and lengths in files have 32 bits.
const BLOB_MAX: usize = 1 << 30;

/// A sorted set that is being changed.
#[derive(Debug)]
pub enum Zset {
    Packed(Packed<Forward>),
    Tree(Arc<ZsetTree>),
}

/// Conditions of [`Zset::add`], as `ZADD` has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddFlags {
    /// Only new members.
    pub nx: bool,
    /// Only members that are there.
    pub xx: bool,
    /// Scores only rise, or only fall.
    pub gt: bool,
    pub lt: bool,
    /// The score is added to the present one.
    pub incr: bool,
}

/// What became of a member.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    /// A condition did not hold.
    Skipped,
    Added(f64),
    Updated(f64),
    /// It has that score already.
    Same(f64),
}

/// The score would not be a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nan;

impl AddFlags {
    /// What happens to a member that is there.
    #[inline]
    fn change(self, old: f64, score: f64) -> Result<Change, Nan> {
        if self.nx {
            return Ok(Change::Skipped);
        }
        let score = if self.incr { old + score } else { score };
        if score.is_nan() {
            return Err(Nan);
        }
        Ok(if (self.gt && score <= old) || (self.lt && score >= old) {
            Change::Skipped
        } else if score == old {
            Change::Same(score)
        } else {
            Change::Updated(score)
        })
    }
}

/// The score that a packed element stands for.
#[inline]
fn elem_score(elem: Elem<'_>) -> f64 {
    match elem {
        Elem::Int(n) => n as f64,
        // Only texts of scores are put in; damaged ones are refused where files are read.
        Elem::Str(text) => num::parse_f64(text).unwrap_or_default(),
    }
}

/// Calls `f` with the element that a score is packed as. Negative zero loses its sign, as in Redis.
#[inline]
fn with_score<R>(score: f64, f: impl FnOnce(&Needle<'_>) -> R) -> R {
    const EXACT: f64 = (1u64 << 53) as f64;
    if score == score.trunc() && score.abs() <= EXACT {
        return f(&Needle::int(score as i64));
    }
    let mut text = Vec::with_capacity(24);
    num::write_f64(&mut text, score);
    f(&Needle::new(&text))
}

impl Zset {
    /// Of distinct entries with scores in any order, in the form that suits them.
    pub fn from_entries(entries: Vec<Entry>, limits: &Limits) -> Zset {
        match Self::from_unchecked(entries, limits) {
            Some(zset) => zset,
            None => unreachable!("the entries are distinct"),
        }
    }

    /// As [`Zset::from_entries`] for entries of unknown origin: `None` if two are of the same member.
    pub fn from_unchecked(entries: Vec<Entry>, limits: &Limits) -> Option<Zset> {
        let longest = entries.iter().map(|e| e.key().len()).max().unwrap_or(0);
        let members = Ranked::sort(entries);
        if members.len() > limits.zset_entries
            || longest > limits.zset_value
            || longest.saturating_mul(members.len()) > BLOB_MAX
        {
            let tree = ZsetTree::from_sorted(members)?;
            return Some(Zset::Tree(Arc::new(tree)));
        }
        let mut names: Vec<&[u8]> = members.iter().map(Ranked::member).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            return None;
        }
        let mut blob = Packed::new();
        for member in &members {
            blob.push_back(member.member());
            with_score(member.score(), |needle| blob.push_back_needle(needle));
        }
        Some(Zset::Packed(blob))
    }

    pub fn read(&self) -> ZsetRef<'_> {
        match self {
            Zset::Packed(blob) => ZsetRef::Packed(blob.view()),
            Zset::Tree(tree) => ZsetRef::Tree(tree),
        }
    }

    pub fn len(&self) -> usize {
        self.read().len()
    }

    /// Gives a set that is still empty the form that suits `count` members of up to `longest`
    /// bytes.
    pub fn prepare(&mut self, count: usize, longest: usize, limits: &Limits) {
        if self.read().is_empty() && (count > limits.zset_entries || longest > limits.zset_value) {
            *self = Zset::Tree(Arc::default());
        }
    }

    /// Adds a member or changes its score.
    ///
    /// # Errors
    /// [`Nan`] if the score, or the sum of an increment, is not a number; nothing has changed.
    pub fn add(
        &mut self,
        score: f64,
        member: &[u8],
        flags: AddFlags,
        limits: &Limits,
    ) -> Result<Change, Nan> {
        if score.is_nan() {
            return Err(Nan);
        }
        let blob = match self {
            Zset::Tree(tree) => return Arc::make_mut(tree).add(score, member, flags),
            Zset::Packed(blob) => blob,
        };
        if let Some(at) = read::find(blob.view(), member) {
            let old = elem_score(blob.view().at(blob.view().next_offset(at)));
            let change = flags.change(old, score)?;
            if let Change::Updated(score) = change {
                blob.remove(at, 2);
                insert(blob, score, member);
            }
            return Ok(change);
        }
        if flags.xx {
            return Ok(Change::Skipped);
        }
        // Members have few bytes of encoding each, and scores up to 25.
        let fits = blob.len() / 2 < limits.zset_entries
            && member.len() <= limits.zset_value
            && blob.byte_len() + member.len().min(BLOB_MAX) + 32 <= BLOB_MAX;
        if !fits {
            return self.make_tree().add(score, member, flags);
        }
        insert(blob, score, member);
        Ok(Change::Added(score))
    }

    /// Changes to the large form.
    fn make_tree(&mut self) -> &mut ZsetTree {
        if let Zset::Packed(blob) = self {
            let members = ZsetRef::Packed(blob.view())
                .iter()
                .map(|(elem, score)| Ranked::new(elem.with_bytes(|m| entry_of(m, score))))
                .collect();
            let tree = ZsetTree::from_sorted(members);
            *self = Zset::Tree(Arc::new(tree.expect("members of a set are distinct")));
        }
        match self {
            Zset::Tree(tree) => Arc::make_mut(tree),
            Zset::Packed(_) => unreachable!("just made"),
        }
    }

    /// Removes a member; whether it was there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        match self {
            Zset::Packed(blob) => match read::find(blob.view(), member) {
                Some(at) => blob.remove(at, 2) == 2,
                None => false,
            },
            Zset::Tree(tree) => Arc::make_mut(tree).remove(member),
        }
    }

    /// Removes the members at these positions and shows them to `f`, backwards if `rev`.
    pub fn take(&mut self, ranks: Range<usize>, rev: bool, f: &mut impl FnMut(Elem<'_>, f64)) {
        let ranks = ranks.start..ranks.end.min(self.len());
        if ranks.is_empty() {
            return;
        }
        match self {
            Zset::Packed(blob) => {
                ZsetRef::Packed(blob.view())
                    .range(ranks.clone(), rev)
                    .for_each(|(elem, score)| f(elem, score));
                let at = blob.view().offset_of(2 * ranks.start);
                blob.remove(at.unwrap_or(0), 2 * ranks.len());
            }
            Zset::Tree(tree) => Arc::make_mut(tree).take(ranks, rev, f),
        }
    }
}

/// Puts a pair in its place.
fn insert(blob: &mut Packed<Forward>, score: f64, member: &[u8]) {
    let at = read::slot(blob.view(), score, member);
    if at == blob.byte_len() {
        blob.push_back(member);
        with_score(score, |needle| blob.push_back_needle(needle));
        return;
    }
    with_score(score, |needle| blob.insert(at, needle));
    blob.insert(at, &Needle::new(member));
}

impl Collection for Zset {
    type Ref<'a> = ZsetRef<'a>;
    const TYPE: Type = Type::Zset;

    fn empty() -> Self {
        Zset::Packed(Packed::new())
    }

    fn is_empty(&self) -> bool {
        self.read().is_empty()
    }

    #[inline]
    fn view(payload: Payload<'_>) -> Option<ZsetRef<'_>> {
        match payload {
            Payload::Packed(blob) if blob.tag == tag::ZSET => {
                Some(ZsetRef::Packed(PackedRef::new(blob.bytes, blob.count)))
            }
            Payload::Obj(ObjRef::Zset(tree)) => Some(ZsetRef::Tree(tree)),
            _ => None,
        }
    }

    #[inline]
    fn from_blob(blob: Blob<'_>, mut scratch: Vec<u8>) -> Self {
        scratch.extend_from_slice(blob.bytes);
        Zset::Packed(Packed::from_vec(scratch, blob.count))
    }

    #[inline]
    fn from_obj(obj: Obj) -> Option<Self> {
        match obj {
            Obj::Zset(tree) => Some(Zset::Tree(tree)),
            _ => None,
        }
    }

    #[inline]
    fn store(self) -> Stored {
        match self {
            Zset::Packed(blob) => {
                let (bytes, count) = blob.into_parts();
                Stored::Small(tag::ZSET, count, bytes)
            }
            Zset::Tree(tree) => Stored::Large(Obj::Zset(tree)),
        }
    }
}
