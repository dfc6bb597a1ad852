//! Nodes of the tree: their layout, and what keeps them full.
//!
//! A leaf is one allocation of items, an inner node one allocation of summed weights, separators and children.
//! Both are sized for the 1 KiB class of the allocator when items and keys are 16 bytes.
//!
//! Separator `i` is the key of the first item below child `i + 1`, always exactly: a stale one would keep a deleted
//! item alive. Child 0 has none here; its first key, if anything separates it, stands in an ancestor.

use super::Item;
use super::seek::Seek;
use smallvec::SmallVec;
use std::sync::Arc;

/// Items in a full leaf: 62 × 16 bytes + 8 (`SmallVec`) + 16 (`Arc`) = 1016. Unit tests use small nodes, so that small
/// trees are high.
pub(super) const LEAF: usize = if cfg!(test) { 12 } else { 62 };
/// Children of a full inner node: 31 × 8 + 30 × 16 + 31 × 8 + 32 (lengths, kind) + 16 (`Arc`) = 1024.
pub(super) const FANOUT: usize = if cfg!(test) { 9 } else { 31 };
/// Below this many items a leaf that is not at an edge of the tree is joined with, or filled from, a sibling.
pub(super) const LEAF_MIN: usize = LEAF / 4;
/// The same for the children of an inner node.
pub(super) const FANOUT_MIN: usize = FANOUT / 4;
/// Two siblings become one if that one keeps some room, so that the next insert does not split it again.
const LEAF_JOIN: usize = LEAF * 7 / 8;
const FANOUT_JOIN: usize = FANOUT * 7 / 8;
/// Full leaves are split in groups: `WINDOW` become `WINDOW + 1`. Random inserts then fill leaves to
/// W · ln((W + 1) / W) on average: 69 % for one, 81 % for two, 89 % for four.
const WINDOW: usize = 4;
/// A group is spread evenly instead of split while it has this much room for each of its leaves.
const SPREAD_ROOM: usize = 3;
/// A neighbour with this much room shares it without the rest of the group being touched.
const PAIR_ROOM: usize = 12;

pub(super) type Leaf<T> = SmallVec<[T; LEAF]>;
type Children<N> = SmallVec<[Arc<N>; FANOUT]>;

#[derive(Clone)]
pub(super) struct Inner<T: Item> {
    /// The summed weight below each child.
    pub(super) weights: SmallVec<[u64; FANOUT]>,
    pub(super) seps: SmallVec<[T::Key; FANOUT - 1]>,
    pub(super) kids: Kids<T>,
}

#[derive(Clone)]
pub(super) enum Kids<T: Item> {
    Leaves(Children<Leaf<T>>),
    Inners(Children<Inner<T>>),
}

/// A node that was split off to the right of the node that was written to.
pub(super) struct Split<T: Item> {
    pub(super) sep: T::Key,
    pub(super) right: Inner<T>,
}

/// Which edges of the tree a node lies on. Edge nodes may be nearly empty: queues eat them up and appends start them.
#[derive(Clone, Copy)]
pub(super) struct Edge {
    left: bool,
    right: bool,
}

impl Edge {
    pub(super) const ROOT: Edge = Edge {
        left: true,
        right: true,
    };

    pub(super) fn child(self, at: usize, count: usize) -> Edge {
        Edge {
            left: self.left && at == 0,
            right: self.right && at + 1 == count,
        }
    }

    pub(super) fn any(self) -> bool {
        self.left || self.right
    }
}

pub(super) fn leaf_weight<T: Item>(items: &[T]) -> u64 {
    if T::WEIGHTED {
        items.iter().map(Item::weight).sum()
    } else {
        items.len() as u64
    }
}

/// Plain wrapping sum: overflow checks would keep the compiler from using vector instructions on the hottest loop.
pub(super) fn sum(weights: &[u64]) -> u64 {
    weights.iter().fold(0, |a, &b| a.wrapping_add(b))
}

/// What an edit of one item did.
pub(super) struct Edited<T, R> {
    pub(super) out: R,
    pub(super) removed: Option<T>,
    pub(super) old_weight: u64,
    pub(super) new_weight: u64,
    /// The first key below the node may be another one now.
    first: bool,
}

impl<T: Item> Inner<T> {
    pub(super) fn of_leaves(leaves: Children<Leaf<T>>) -> Self {
        Inner {
            weights: leaves.iter().map(|leaf| leaf_weight(leaf)).collect(),
            seps: leaves
                .iter()
                .skip(1)
                .map(|leaf| leaf[0].key().clone())
                .collect(),
            kids: Kids::Leaves(leaves),
        }
    }

    pub(super) fn of_inners(inners: Children<Inner<T>>) -> Self {
        Inner {
            weights: inners.iter().map(|inner| sum(&inner.weights)).collect(),
            seps: inners
                .iter()
                .skip(1)
                .map(|inner| inner.first_key().clone())
                .collect(),
            kids: Kids::Inners(inners),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.weights.len()
    }

    pub(super) fn first_key(&self) -> &T::Key {
        let mut node = self;
        loop {
            match &node.kids {
                Kids::Leaves(leaves) => return leaves[0][0].key(),
                Kids::Inners(inners) => node = &inners[0],
            }
        }
    }

    /// Inner levels from here down to the leaves.
    pub(super) fn height(&self) -> usize {
        let (mut node, mut height) = (self, 1);
        while let Kids::Inners(inners) = &node.kids {
            node = &inners[0];
            height += 1;
        }
        height
    }

    /// Inserts where `seek` leads, or gives back the item that is there already.
    pub(super) fn insert<S: Seek<T>>(
        &mut self,
        seek: &mut S,
        item: T,
        edge: Edge,
    ) -> Result<Option<Split<T>>, T> {
        let at = seek.child(self);
        let edge = edge.child(at, self.len());
        match &mut self.kids {
            Kids::Leaves(leaves) => {
                let leaf = &mut leaves[at];
                let slot = match seek.slot(leaf) {
                    Ok(slot) => return Err(leaf[slot].clone()),
                    Err(slot) => slot,
                };
                if leaf.len() < LEAF {
                    self.weights[at] += item.weight();
                    Arc::make_mut(leaf).insert(slot, item);
                    return Ok(None);
                }
                if edge.right && slot == leaf.len() {
                    self.insert_leaf(at + 1, item);
                } else if edge.left && slot == 0 {
                    self.insert_leaf(0, item);
                } else {
                    self.insert_full(at, slot, item);
                }
            }
            Kids::Inners(inners) => {
                let weight = item.weight();
                let split = Arc::make_mut(&mut inners[at]).insert(seek, item, edge)?;
                self.weights[at] += weight;
                if let Some(split) = split {
                    let moved = sum(&split.right.weights);
                    self.weights[at] -= moved;
                    self.weights.insert(at + 1, moved);
                    self.seps.insert(at, split.sep);
                    inners.insert(at + 1, Arc::new(split.right));
                }
            }
        }
        Ok(self.split_if_over(edge))
    }

    /// A leaf for one item at an edge of the tree: the neighbour stays full.
    fn insert_leaf(&mut self, at: usize, item: T) {
        let Kids::Leaves(leaves) = &mut self.kids else {
            unreachable!("leaves stand below this node")
        };
        self.weights.insert(at, item.weight());
        let sep = if at == 0 {
            leaves[0][0].key().clone()
        } else {
            item.key().clone()
        };
        self.seps.insert(at.saturating_sub(1), sep);
        let mut leaf = Leaf::new();
        leaf.push(item);
        leaves.insert(at, Arc::new(leaf));
    }

    /// Inserts into a full leaf: spreads it and its neighbours evenly, over one more leaf if they are full as well.
    fn insert_full(&mut self, at: usize, slot: usize, item: T) {
        let Kids::Leaves(leaves) = &mut self.kids else {
            unreachable!("leaves stand below this node")
        };
        let (from, to, split) = choose_window(leaves, at);
        let before: usize = leaves[from..at].iter().map(|leaf| leaf.len()).sum();
        let total: usize = before + leaves[at..to].iter().map(|leaf| leaf.len()).sum::<usize>();
        let mut items: Vec<T> = Vec::with_capacity(total + 1);
        for leaf in &mut leaves[from..to] {
            take_all(leaf, &mut items);
        }
        items.insert(before + slot, item);
        if split {
            leaves.insert(to, Arc::new(Leaf::new()));
            self.weights.insert(to, 0);
            self.seps.insert(to - 1, items[0].key().clone());
        }
        let to = to + usize::from(split);
        let mut left = items.len();
        let mut items = items.into_iter();
        for i in from..to {
            let share = left.div_ceil(to - i);
            left -= share;
            let leaf = Arc::make_mut(&mut leaves[i]);
            leaf.extend(items.by_ref().take(share));
            self.weights[i] = leaf_weight(leaf);
            if i > from {
                self.seps[i - 1] = leaf[0].key().clone();
            }
        }
    }

    fn split_if_over(&mut self, edge: Edge) -> Option<Split<T>> {
        let len = self.len();
        if len <= FANOUT {
            return None;
        }
        let keep = match edge {
            Edge { right: true, .. } => len - 1,
            Edge { left: true, .. } => 1,
            _ => len / 2,
        };
        let (sep, right) = self.cut(keep);
        Some(Split { sep: sep?, right })
    }

    /// Takes the children from `keep` on away, with the separator before them.
    pub(super) fn cut(&mut self, keep: usize) -> (Option<T::Key>, Inner<T>) {
        fn tail<A: smallvec::Array>(list: &mut SmallVec<A>, keep: usize) -> SmallVec<A> {
            let out = list.drain(keep..).collect();
            // One child too many moved the list to the heap.
            list.shrink_to_fit();
            out
        }
        let weights = tail(&mut self.weights, keep);
        let inside = keep.min(self.seps.len());
        let seps = tail(&mut self.seps, inside);
        let sep = if keep > 0 && !weights.is_empty() {
            self.seps.pop()
        } else {
            None
        };
        self.seps.shrink_to_fit();
        let kids = match &mut self.kids {
            Kids::Leaves(leaves) => Kids::Leaves(tail(leaves, keep)),
            Kids::Inners(inners) => Kids::Inners(tail(inners, keep)),
        };
        (
            sep,
            Inner {
                weights,
                seps,
                kids,
            },
        )
    }

    /// Runs `f` on the item that `seek` finds, and removes the item if `f` says so.
    pub(super) fn edit<S, R, F>(&mut self, seek: &mut S, edge: Edge, f: F) -> Option<Edited<T, R>>
    where
        S: Seek<T>,
        F: FnOnce(&mut T, &S) -> (R, bool),
    {
        let at = seek.child(self);
        let edge = edge.child(at, self.len());
        let (mut done, len, min) = match &mut self.kids {
            Kids::Leaves(leaves) => {
                let slot = seek.slot(&leaves[at]).ok()?;
                let leaf = Arc::make_mut(&mut leaves[at]);
                let item = &mut leaf[slot];
                let old_weight = item.weight();
                let (out, remove) = f(item, seek);
                let new_weight = if remove { 0 } else { item.weight() };
                let removed = remove.then(|| leaf.remove(slot));
                (
                    Edited {
                        out,
                        removed,
                        old_weight,
                        new_weight,
                        first: slot == 0,
                    },
                    leaf.len(),
                    LEAF_MIN,
                )
            }
            Kids::Inners(inners) => {
                let child = Arc::make_mut(&mut inners[at]);
                (child.edit(seek, edge, f)?, child.len(), FANOUT_MIN)
            }
        };
        self.weights[at] = self.weights[at] - done.old_weight + done.new_weight;
        if len == 0 {
            self.remove_child(at);
            done.first = at == 0;
            return Some(done);
        }
        if done.first && at > 0 {
            self.seps[at - 1] = self.child_first_key(at).clone();
            done.first = false;
        }
        if len < min && done.removed.is_some() && !edge.any() {
            self.refill(at);
        }
        Some(done)
    }

    fn child_first_key(&self, at: usize) -> &T::Key {
        match &self.kids {
            Kids::Leaves(leaves) => leaves[at][0].key(),
            Kids::Inners(inners) => inners[at].first_key(),
        }
    }

    pub(super) fn remove_child(&mut self, at: usize) {
        self.weights.remove(at);
        if !self.seps.is_empty() {
            self.seps.remove(at.saturating_sub(1));
        }
        match &mut self.kids {
            Kids::Leaves(leaves) => drop(leaves.remove(at)),
            Kids::Inners(inners) => drop(inners.remove(at)),
        }
    }

    fn is_low(&self, at: usize) -> bool {
        match &self.kids {
            Kids::Leaves(leaves) => leaves[at].len() < LEAF_MIN,
            Kids::Inners(inners) => inners[at].len() < FANOUT_MIN,
        }
    }

    /// Joins a child that is low with a sibling, or evens the two out.
    fn refill(&mut self, at: usize) {
        if self.len() < 2 {
            return;
        }
        let l = at.saturating_sub(1);
        let r = l + 1;
        let joined = match &mut self.kids {
            Kids::Leaves(leaves) => {
                let total = leaves[l].len() + leaves[r].len();
                let (left, right) = pair(leaves, l);
                let left = Arc::make_mut(left);
                if total <= LEAF_JOIN {
                    take_all(right, left);
                } else {
                    even_out(left, Arc::make_mut(right), total / 2);
                    self.seps[l] = right[0].key().clone();
                }
                total <= LEAF_JOIN
            }
            Kids::Inners(inners) => {
                let total = inners[l].len() + inners[r].len();
                let (left, right) = pair(inners, l);
                let (left, right) = (Arc::make_mut(left), Arc::make_mut(right));
                left.seps.push(self.seps[l].clone());
                if total <= FANOUT_JOIN {
                    left.append(right);
                } else {
                    let mut rest = std::mem::replace(right, Inner::of_leaves(Children::new()));
                    left.append(&mut rest);
                    let (sep, rest) = left.cut(total / 2);
                    *right = rest;
                    if let Some(sep) = sep {
                        self.seps[l] = sep;
                    }
                }
                total <= FANOUT_JOIN
            }
        };
        let both = self.weights[l] + self.weights[r];
        if joined {
            self.weights[l] = both;
            self.weights.remove(r);
            self.seps.remove(l);
            match &mut self.kids {
                Kids::Leaves(leaves) => drop(leaves.remove(r)),
                Kids::Inners(inners) => drop(inners.remove(r)),
            }
            return;
        }
        self.weights[l] = match &self.kids {
            Kids::Leaves(leaves) => leaf_weight(&leaves[l]),
            Kids::Inners(inners) => sum(&inners[l].weights),
        };
        self.weights[r] = both - self.weights[l];
    }

    /// Moves all of `right` behind the own children. The separator between the two is already in place.
    fn append(&mut self, right: &mut Inner<T>) {
        self.weights.append(&mut right.weights);
        self.seps.append(&mut right.seps);
        match (&mut self.kids, &mut right.kids) {
            (Kids::Leaves(a), Kids::Leaves(b)) => a.append(b),
            (Kids::Inners(a), Kids::Inners(b)) => a.append(b),
            _ => unreachable!("siblings have one height"),
        }
    }

    /// Frees children from the end until the budget of items is used up or none is left.
    pub(super) fn free(&mut self, budget: &mut usize) {
        while *budget > 0 && self.len() > 0 {
            let last = self.len() - 1;
            match &mut self.kids {
                Kids::Leaves(leaves) => *budget = budget.saturating_sub(leaves[last].len()),
                Kids::Inners(inners) => match Arc::get_mut(&mut inners[last]) {
                    Some(own) => {
                        own.free(budget);
                        if own.len() > 0 {
                            return;
                        }
                    }
                    None => *budget -= 1,
                },
            }
            self.remove_child(last);
        }
    }

    /// Refills what is low on both sides of a position, where two trees were put together.
    pub(super) fn repair(&mut self, pos: u64) {
        self.refill_seam(pos);
        let mut start = 0;
        for at in 0..self.len() {
            let weight = self.weights[at];
            if start <= pos
                && pos <= start + weight
                && let Kids::Inners(inners) = &mut self.kids
            {
                Arc::make_mut(&mut inners[at]).repair(pos - start);
            }
            start += weight;
        }
        self.refill_seam(pos);
    }

    fn refill_seam(&mut self, pos: u64) {
        while self.len() > 1 {
            let mut start = 0;
            let low = (0..self.len()).find(|&at| {
                let end = start + self.weights[at];
                let touches = start <= pos && pos <= end;
                start = end;
                touches && self.is_low(at)
            });
            match low {
                Some(at) => self.refill(at),
                None => return,
            }
        }
    }
}

/// Which leaves around a full one share its overflow, and whether they need another leaf.
fn choose_window<T>(leaves: &[Arc<Leaf<T>>], at: usize) -> (usize, usize, bool) {
    let room = |i: usize| LEAF - leaves[i].len();
    let left = if at > 0 { room(at - 1) } else { 0 };
    let right = if at + 1 < leaves.len() {
        room(at + 1)
    } else {
        0
    };
    if left.max(right) >= PAIR_ROOM {
        return if left >= right {
            (at - 1, at + 1, false)
        } else {
            (at, at + 2, false)
        };
    }
    let count = leaves.len().min(WINDOW);
    let from = at.saturating_sub(WINDOW / 2).min(leaves.len() - count);
    let free: usize = (from..from + count).map(room).sum();
    (from, from + count, free < SPREAD_ROOM * count)
}

/// Moves the items out of a leaf, or copies them if somebody else holds it; leaves an empty leaf of our own.
pub(super) fn take_all<T: Clone>(leaf: &mut Arc<Leaf<T>>, out: &mut impl Extend<T>) {
    match Arc::get_mut(leaf) {
        Some(own) => out.extend(own.drain(..)),
        None => {
            out.extend(leaf.iter().cloned());
            *leaf = Arc::new(Leaf::new());
        }
    }
}

fn pair<N>(list: &mut [Arc<N>], left: usize) -> (&mut Arc<N>, &mut Arc<N>) {
    let (a, b) = list.split_at_mut(left + 1);
    (&mut a[left], &mut b[0])
}

fn even_out<T>(left: &mut Leaf<T>, right: &mut Leaf<T>, keep: usize) {
    if left.len() < keep {
        let missing = keep - left.len();
        left.extend(right.drain(..missing));
    } else {
        let moved: Leaf<T> = left.drain(keep..).collect();
        right.insert_many(0, moved);
    }
}
