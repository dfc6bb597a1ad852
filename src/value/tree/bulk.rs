//! What works on many items at once: building, cutting, joining, freeing.

use super::node::{FANOUT, Inner, Kids, LEAF, Leaf, leaf_weight, sum, take_all};
use super::seek::{Gap, Seek};
use super::{Item, Root, Tree};
use smallvec::{SmallVec, smallvec};
use std::sync::Arc;

impl<T: Item> Tree<T> {
    /// A tree with full leaves of items that come in order.
    pub fn from_sorted(items: impl IntoIterator<Item = T>) -> Self {
        let mut items = items.into_iter();
        let mut leaves: Vec<Arc<Leaf<T>>> = Vec::new();
        let mut count = 0;
        let mut weight = 0;
        loop {
            let leaf: Leaf<T> = items.by_ref().take(LEAF).collect();
            if leaf.is_empty() {
                break;
            }
            count += leaf.len() as u64;
            weight += leaf_weight(&leaf);
            leaves.push(Arc::new(leaf));
        }
        let Some(mut nodes) = chunked(leaves, Inner::of_leaves) else {
            return Tree::new();
        };
        while nodes.len() > 1 {
            match chunked(nodes, Inner::of_inners) {
                Some(upper) => nodes = upper,
                None => return Tree::new(),
            }
        }
        let mut tree = Tree {
            root: Root::Tall(nodes.remove(0)),
            items: count,
            weight,
        };
        tree.lower();
        tree
    }

    /// Takes a root away that has a single child, until there is none.
    pub(super) fn lower(&mut self) {
        while let Root::Tall(inner) = &mut self.root {
            if inner.len() > 1 {
                return;
            }
            match &inner.kids {
                Kids::Inners(inners) if inners.len() == 1 => {
                    let child = Arc::clone(&inners[0]);
                    self.root = Root::Tall(child);
                }
                // Not as soon as it fits: a tree that goes up and down around that size should not be rebuilt each time.
                Kids::Leaves(leaves) if leaves.len() == 1 && leaves[0].len() > LEAF / 2 => return,
                Kids::Leaves(leaves) if leaves.len() == 1 => {
                    let mut items = Vec::with_capacity(leaves[0].len());
                    let mut leaf = Arc::clone(&leaves[0]);
                    self.root = Root::Small(Arc::new(Vec::new()));
                    take_all(&mut leaf, &mut items);
                    self.root = Root::Small(Arc::new(items));
                }
                _ => self.root = Root::Small(Arc::new(Vec::new())),
            }
        }
    }

    /// Cuts before the first item that starts at `pos` or after it, and returns what stands behind the cut, in
    /// O(log n) for items of weight 1; others are counted leaf by leaf behind the cut.
    pub fn split_off(&mut self, pos: u64) -> Tree<T> {
        let root = std::mem::replace(&mut self.root, Root::Small(Arc::new(Vec::new())));
        let (left, right) = match root {
            Root::Small(mut items) => {
                let at = Gap { rest: pos }.slot(&items).unwrap_or_else(|at| at);
                let right = Arc::make_mut(&mut items).split_off(at);
                (Root::Small(items), Root::Small(Arc::new(right)))
            }
            Root::Tall(mut inner) => {
                let right = cut(Arc::make_mut(&mut inner), &mut Gap { rest: pos });
                (Root::Tall(inner), Root::Tall(Arc::new(right)))
            }
        };
        let weight = match &right {
            Root::Small(items) => leaf_weight(items),
            Root::Tall(inner) => sum(&inner.weights),
        };
        let items = match &right {
            Root::Small(items) => items.len() as u64,
            Root::Tall(_) if !T::WEIGHTED => weight,
            Root::Tall(inner) => count(inner),
        };
        let mut right = Tree {
            root: right,
            items,
            weight,
        };
        self.root = left;
        self.items -= items;
        self.weight -= weight;
        self.lower();
        right.lower();
        right
    }

    /// Puts all items of `other` behind the own ones, in O(log n).
    pub fn append(&mut self, other: Tree<T>) {
        let own = std::mem::take(self);
        *self = match (own, other) {
            (
                mut own,
                Tree {
                    root: Root::Small(items),
                    ..
                },
            ) => {
                for item in items.iter() {
                    own.push_back(item.clone());
                }
                own
            }
            (
                Tree {
                    root: Root::Small(items),
                    ..
                },
                mut other,
            ) => {
                for item in items.iter().rev() {
                    other.push_front(item.clone());
                }
                other
            }
            (
                Tree {
                    root: Root::Tall(left),
                    items,
                    weight,
                },
                Tree {
                    root: Root::Tall(right),
                    items: other_items,
                    weight: other_weight,
                },
            ) => {
                let height = left.height().max(right.height());
                let (left, right) = (raise(left, height), raise(right, height));
                let mut root = Inner::of_inners(smallvec![left, right]);
                root.repair(weight);
                let root = Root::Tall(Arc::new(root));
                let mut all = Tree {
                    root,
                    items: items + other_items,
                    weight: weight + other_weight,
                };
                all.lower();
                all
            }
        };
    }

    /// Removes and returns the items that start in `from..to`.
    pub fn remove_range(&mut self, from: u64, to: u64) -> Tree<T> {
        if from >= to || from >= self.weight {
            return Tree::new();
        }
        let mut middle = self.split_off(from);
        // The item that covers `from` may reach behind it.
        let tail = middle.split_off(to.saturating_sub(self.weight));
        self.append(tail);
        middle
    }

    /// Gives the tree up, to be freed in slices.
    pub fn dismantle(self) -> Remains<T> {
        Remains {
            root: Some(self.root),
        }
    }
}

/// A tree that is being freed. Dropping it frees the rest in one stroke.
pub struct Remains<T: Item> {
    root: Option<Root<T>>,
}

impl<T: Item> Remains<T> {
    /// Frees about `budget` items (one leaf at least) and says whether some are left. What a snapshot shares is only let go.
    pub fn free(&mut self, budget: usize) -> bool {
        if let Some(Root::Tall(inner)) = &mut self.root
            && let Some(inner) = Arc::get_mut(inner)
        {
            let mut budget = budget.max(1);
            inner.free(&mut budget);
            if inner.len() > 0 {
                return true;
            }
        }
        self.root = None;
        false
    }
}

fn chunked<N, T: Item>(
    nodes: Vec<Arc<N>>,
    build: impl Fn(SmallVec<[Arc<N>; FANOUT]>) -> Inner<T>,
) -> Option<Vec<Arc<Inner<T>>>> {
    let mut out = Vec::with_capacity(nodes.len().div_ceil(FANOUT));
    let mut nodes = nodes.into_iter().peekable();
    while nodes.peek().is_some() {
        out.push(Arc::new(build(nodes.by_ref().take(FANOUT).collect())));
    }
    if out.is_empty() { None } else { Some(out) }
}

/// Cuts a subtree; both parts keep its height, and along the cut their nodes may be left with few children. They are
/// edges now, where that is allowed.
fn cut<T: Item>(node: &mut Inner<T>, seek: &mut Gap) -> Inner<T> {
    let at = <Gap as Seek<T>>::child(seek, node);
    // The child that the cut goes through moves right as a whole; its left part comes back.
    let (sep, mut right) = node.cut(at);
    let moved = match &mut right.kids {
        Kids::Leaves(leaves) => {
            let slot = seek.slot(&leaves[0]).unwrap_or_else(|slot| slot);
            let leaf = Arc::make_mut(&mut leaves[0]);
            let tail: Leaf<T> = leaf.drain(slot..).collect();
            let head = std::mem::replace(leaf, tail);
            let weight = leaf_weight(&head);
            if let (true, Kids::Leaves(list)) = (weight > 0, &mut node.kids) {
                list.push(Arc::new(head));
            }
            weight
        }
        Kids::Inners(inners) => {
            let child = Arc::make_mut(&mut inners[0]);
            let tail = cut(child, seek);
            let head = std::mem::replace(child, tail);
            let weight = sum(&head.weights);
            if let (true, Kids::Inners(list)) = (weight > 0, &mut node.kids) {
                list.push(Arc::new(head));
            }
            weight
        }
    };
    if moved > 0 {
        node.weights.push(moved);
        node.seps.extend(sep);
    }
    right.weights[0] -= moved;
    if right.weights[0] == 0 {
        right.remove_child(0);
    }
    right
}

fn count<T: Item>(node: &Inner<T>) -> u64 {
    match &node.kids {
        Kids::Leaves(leaves) => leaves.iter().map(|leaf| leaf.len() as u64).sum(),
        Kids::Inners(inners) => inners.iter().map(|inner| count(inner)).sum(),
    }
}

/// A chain of single-child nodes on top, up to the height wanted.
fn raise<T: Item>(mut node: Arc<Inner<T>>, height: usize) -> Arc<Inner<T>> {
    for _ in node.height()..height {
        node = Arc::new(Inner::of_inners(smallvec![node]));
    }
    node
}
