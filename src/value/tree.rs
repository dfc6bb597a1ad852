//! The tree: a counted B+tree with shared nodes, for sorted sets, lists and streams.
//!
//! One sequence of items, found in two ways: by position (every item has a weight, and every inner node the summed
//! weight of each child) and by order (a comparator over the keys, which must rise along the sequence).
//!
//! Nodes are reference-counted. Cloning a tree is cloning its root: an O(1) snapshot that other threads may read. A
//! write changes in place what nobody else holds and copies the path to what somebody does.
//!
//! Comparators are called with the key of an item and say how it compares with what is sought, as in
//! [`slice::binary_search_by`]. Positions count weight: for items of weight 1 they are ranks.
//!
//! No knowledge of what the items are, no reply, no clock belongs here. Closures given to the tree must not panic.

mod bulk;
mod iter;
mod node;
mod seek;
#[cfg(test)]
mod tests;

pub use bulk::Remains;
pub use iter::{Iter, RevIter};

use node::{Edge, Inner, Kids, LEAF, Split};
use seek::{At, Back, Exact, First, Front, Gap, Last, Seek};
use smallvec::smallvec;
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// What a tree holds. Clones must be cheap: a snapshot clones items when their leaf is written to, and the keys of some
/// items stand in inner nodes as separators. 16 bytes is the size that nodes are made for.
pub trait Item: Clone {
    /// What comparators look at. `()` in a sequence that has no order; the item itself or a part of it elsewhere.
    type Key: Clone;

    /// Whether items weigh other than 1.
    const WEIGHTED: bool = false;

    fn key(&self) -> &Self::Key;

    /// Never 0 in the tree, always 1 if not [`Item::WEIGHTED`].
    fn weight(&self) -> u64 {
        1
    }

    /// Some bits that stand in the item itself and that comparators look at, such as the score. The tree reads them from
    /// every cache line of a leaf before it searches there: these reads overlap, those of a binary search wait for each other.
    fn touch(&self) -> u64 {
        0
    }
}

pub struct Tree<T: Item> {
    root: Root<T>,
    items: u64,
    weight: u64,
}

enum Root<T: Item> {
    /// Up to `LEAF` items, in a list that grows with them: small trees cost no full leaf.
    Small(Arc<Vec<T>>),
    Tall(Arc<Inner<T>>),
}

impl<T: Item> Clone for Root<T> {
    fn clone(&self) -> Self {
        match self {
            Root::Small(items) => Root::Small(Arc::clone(items)),
            Root::Tall(inner) => Root::Tall(Arc::clone(inner)),
        }
    }
}

impl<T: Item> Clone for Tree<T> {
    /// A snapshot, in O(1).
    fn clone(&self) -> Self {
        Tree {
            root: self.root.clone(),
            items: self.items,
            weight: self.weight,
        }
    }
}

impl<T: Item> fmt::Debug for Tree<T> {
    /// The sizes only: a tree may hold millions of items.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tree")
            .field("items", &self.items)
            .field("weight", &self.weight)
            .finish_non_exhaustive()
    }
}

impl<T: Item> Default for Tree<T> {
    fn default() -> Self {
        Tree::new()
    }
}

impl<T: Item> Tree<T> {
    pub fn new() -> Self {
        Tree {
            root: Root::Small(Arc::new(Vec::new())),
            items: 0,
            weight: 0,
        }
    }

    /// How many items there are.
    pub fn len(&self) -> u64 {
        self.items
    }

    pub fn is_empty(&self) -> bool {
        self.items == 0
    }

    /// What all items weigh together.
    pub fn weight(&self) -> u64 {
        self.weight
    }

    // Reading

    fn seek<S: Seek<T>>(&self, seek: &mut S) -> Option<&T> {
        let mut node = match &self.root {
            Root::Small(items) => return seek.slot(items).ok().map(|at| &items[at]),
            Root::Tall(inner) => &**inner,
        };
        loop {
            let at = seek.child(node);
            match &node.kids {
                Kids::Leaves(leaves) => {
                    let leaf = &leaves[at];
                    return seek.slot(leaf).ok().map(|at| &leaf[at]);
                }
                Kids::Inners(inners) => node = &inners[at],
            }
        }
    }

    /// The item that covers position `pos`, and how far inside it `pos` is.
    pub fn get(&self, pos: u64) -> Option<(&T, u64)> {
        let mut seek = At { rest: pos };
        self.seek(&mut seek).map(|item| (item, seek.rest))
    }

    /// The item whose key compares equal.
    pub fn find(&self, cmp: impl FnMut(&T::Key) -> Ordering) -> Option<&T> {
        self.seek(&mut Exact { cmp })
    }

    pub fn first(&self) -> Option<&T> {
        self.seek(&mut First)
    }

    pub fn last(&self) -> Option<&T> {
        self.seek(&mut Last)
    }

    /// The position of the item whose key compares equal.
    pub fn rank(&self, mut cmp: impl FnMut(&T::Key) -> Ordering) -> Option<u64> {
        let mut equal = false;
        let rank = self.lower_bound(|key| {
            let order = cmp(key);
            equal |= order == Ordering::Equal;
            order
        });
        // The search for the first key that is not less looks at that key, in a leaf or as a separator.
        equal.then_some(rank)
    }

    /// The position of the first item that is not less; the whole weight if there is none.
    pub fn lower_bound(&self, mut cmp: impl FnMut(&T::Key) -> Ordering) -> u64 {
        self.partition(|key| cmp(key) == Ordering::Less)
    }

    /// The position of the first item that is greater; the whole weight if there is none.
    pub fn upper_bound(&self, mut cmp: impl FnMut(&T::Key) -> Ordering) -> u64 {
        self.partition(|key| cmp(key) != Ordering::Greater)
    }

    /// The position of the first item that `before` is false for.
    fn partition(&self, mut before: impl FnMut(&T::Key) -> bool) -> u64 {
        let mut rank = 0;
        let mut node = match &self.root {
            Root::Small(items) => {
                let at = seek::partition(items, |item| before(item.key()));
                return node::leaf_weight(&items[..at]);
            }
            Root::Tall(inner) => &**inner,
        };
        loop {
            let at = seek::partition(&node.seps, &mut before);
            rank += node::sum(&node.weights[..at]);
            match &node.kids {
                Kids::Leaves(leaves) => {
                    seek::touch(&leaves[at]);
                    let at_item = seek::partition(&leaves[at], |item| before(item.key()));
                    return rank + node::leaf_weight(&leaves[at][..at_item]);
                }
                Kids::Inners(inners) => node = &inners[at],
            }
        }
    }

    /// The items from the one that covers `pos` on.
    pub fn iter_at(&self, pos: u64) -> Iter<'_, T> {
        Iter::new(self, pos)
    }

    pub fn iter(&self) -> Iter<'_, T> {
        Iter::new(self, 0)
    }

    /// The items from the one that covers `pos` backwards.
    pub fn rev_at(&self, pos: u64) -> RevIter<'_, T> {
        RevIter::new(self, pos)
    }

    pub fn rev(&self) -> RevIter<'_, T> {
        RevIter::new(self, self.weight.saturating_sub(1))
    }

    /// The items from the first that is not less on.
    pub fn iter_from(&self, cmp: impl FnMut(&T::Key) -> Ordering) -> Iter<'_, T> {
        Iter::new(self, self.lower_bound(cmp))
    }

    /// The items from the last that is not greater backwards.
    pub fn rev_from(&self, cmp: impl FnMut(&T::Key) -> Ordering) -> RevIter<'_, T> {
        match self.upper_bound(cmp) {
            0 => RevIter::empty(),
            end => RevIter::new(self, end - 1),
        }
    }

    // Inserting

    fn insert_with<S: Seek<T>>(&mut self, seek: &mut S, item: T) -> Result<(), T> {
        let weight = item.weight();
        debug_assert!(weight > 0, "an item without weight has no position");
        if let Root::Small(items) = &mut self.root
            && items.len() < LEAF
        {
            match seek.slot(items) {
                Ok(at) => return Err(items[at].clone()),
                Err(at) => Arc::make_mut(items).insert(at, item),
            }
            self.items += 1;
            self.weight += weight;
            return Ok(());
        }
        let root = self.make_tall();
        if let Some(split) = root.insert(seek, item, Edge::ROOT)? {
            self.grow(split);
        }
        self.items += 1;
        self.weight += weight;
        Ok(())
    }

    /// The root as an inner node of our own.
    fn make_tall(&mut self) -> &mut Inner<T> {
        if let Root::Small(items) = &mut self.root {
            let leaf = match Arc::get_mut(items) {
                Some(own) => own.drain(..).collect(),
                None => items.iter().cloned().collect(),
            };
            self.root = Root::Tall(Arc::new(Inner::of_leaves(smallvec![Arc::new(leaf)])));
        }
        match &mut self.root {
            Root::Tall(inner) => Arc::make_mut(inner),
            Root::Small(_) => unreachable!("the root was made tall"),
        }
    }

    /// A new root above the old one and what was split off it.
    fn grow(&mut self, split: Split<T>) {
        if let Root::Tall(inner) = &self.root {
            let left = Arc::clone(inner);
            let root = Inner {
                weights: smallvec![node::sum(&left.weights), node::sum(&split.right.weights)],
                seps: smallvec![split.sep],
                kids: Kids::Inners(smallvec![left, Arc::new(split.right)]),
            };
            self.root = Root::Tall(Arc::new(root));
        }
    }

    /// Inserts where the comparator changes from less to greater; an item that compares equal is given back instead.
    pub fn insert(&mut self, item: T, cmp: impl FnMut(&T::Key) -> Ordering) -> Result<(), T> {
        self.insert_with(&mut Exact { cmp }, item)
    }

    /// Inserts before the first item that starts at `pos` or after it.
    pub fn insert_at(&mut self, pos: u64, item: T) {
        let done = self.insert_with(&mut Gap { rest: pos }, item);
        debug_assert!(done.is_ok(), "a gap holds no item");
    }

    pub fn push_front(&mut self, item: T) {
        let done = self.insert_with(&mut Front, item);
        debug_assert!(done.is_ok(), "a gap holds no item");
    }

    pub fn push_back(&mut self, item: T) {
        let done = self.insert_with(&mut Back, item);
        debug_assert!(done.is_ok(), "a gap holds no item");
    }

    // Removing and changing

    fn edit<S: Seek<T>, R>(
        &mut self,
        seek: &mut S,
        f: impl FnOnce(&mut T, &S) -> (R, bool),
    ) -> Option<(R, Option<T>)> {
        let (out, removed, old_weight, new_weight) = match &mut self.root {
            Root::Small(items) => {
                let at = seek.slot(items).ok()?;
                let items = Arc::make_mut(items);
                let old_weight = items[at].weight();
                let (out, remove) = f(&mut items[at], seek);
                let new_weight = if remove { 0 } else { items[at].weight() };
                let removed = remove.then(|| items.remove(at));
                if items.len() < items.capacity() / 4 {
                    items.shrink_to(items.len() * 2);
                }
                (out, removed, old_weight, new_weight)
            }
            Root::Tall(inner) => {
                let done = Arc::make_mut(inner).edit(seek, Edge::ROOT, f)?;
                if done.removed.is_some() && inner.len() == 1 {
                    self.lower();
                }
                (done.out, done.removed, done.old_weight, done.new_weight)
            }
        };
        debug_assert!(
            removed.is_some() || new_weight > 0,
            "an item without weight has no position"
        );
        self.items -= u64::from(removed.is_some());
        self.weight = self.weight - old_weight + new_weight;
        Some((out, removed))
    }

    fn remove_with<S: Seek<T>>(&mut self, seek: &mut S) -> Option<T> {
        self.edit(seek, |_, _| ((), true))?.1
    }

    /// Removes the item whose key compares equal. What a snapshot shares may be copied even if there is none.
    pub fn remove(&mut self, cmp: impl FnMut(&T::Key) -> Ordering) -> Option<T> {
        self.remove_with(&mut Exact { cmp })
    }

    /// Removes the item that covers position `pos`.
    pub fn remove_at(&mut self, pos: u64) -> Option<T> {
        self.remove_with(&mut At { rest: pos })
    }

    pub fn pop_first(&mut self) -> Option<T> {
        self.remove_with(&mut First)
    }

    pub fn pop_last(&mut self) -> Option<T> {
        self.remove_with(&mut Last)
    }

    /// Changes the item that covers `pos`; `f` also gets how far inside it `pos` is, and a list to put items in that shall
    /// follow it. If the item weighs 0 afterwards it is removed. Its place in the order must stay.
    pub fn modify_at<R>(
        &mut self,
        pos: u64,
        f: impl FnOnce(&mut T, u64, &mut Vec<T>) -> R,
    ) -> Option<R> {
        let mut after = Vec::new();
        let mut next = 0;
        let (out, _) = self.edit(&mut At { rest: pos }, |item, seek| {
            let out = f(item, seek.rest, &mut after);
            next = pos - seek.rest + item.weight();
            (out, item.weight() == 0)
        })?;
        for item in after {
            let weight = item.weight();
            self.insert_at(next, item);
            next += weight;
        }
        Some(out)
    }

    /// Changes the item whose key compares equal. If it weighs 0 afterwards it is removed. Its place in the order must stay.
    pub fn modify<R>(
        &mut self,
        cmp: impl FnMut(&T::Key) -> Ordering,
        f: impl FnOnce(&mut T) -> R,
    ) -> Option<R> {
        let change = |item: &mut T, _: &_| {
            let out = f(item);
            (out, item.weight() == 0)
        };
        self.edit(&mut Exact { cmp }, change).map(|(out, _)| out)
    }

    /// [`Tree::modify`] for the first item.
    pub fn modify_first<R>(&mut self, f: impl FnOnce(&mut T) -> R) -> Option<R> {
        self.modify_end(&mut First, f)
    }

    /// [`Tree::modify`] for the last item.
    pub fn modify_last<R>(&mut self, f: impl FnOnce(&mut T) -> R) -> Option<R> {
        self.modify_end(&mut Last, f)
    }

    fn modify_end<S: Seek<T>, R>(&mut self, end: &mut S, f: impl FnOnce(&mut T) -> R) -> Option<R> {
        let change = |item: &mut T, _: &S| {
            let out = f(item);
            (out, item.weight() == 0)
        };
        self.edit(end, change).map(|(out, _)| out)
    }
}
