//! Walks over the items in either direction. A walk keeps the path of nodes above the present leaf, so a step inside a leaf
//! is a step in a slice.

use super::node::{Inner, Kids};
use super::seek::{At, Seek};
use super::{Item, Root, Tree};
use smallvec::SmallVec;
use std::slice;

/// Forwards.
pub type Iter<'a, T> = Walk<'a, T, false>;
/// Backwards.
pub type RevIter<'a, T> = Walk<'a, T, true>;

pub struct Walk<'a, T: Item, const REV: bool> {
    leaf: slice::Iter<'a, T>,
    /// Each node on the path with its children that are still to come: those from the number on, or if `REV` those
    /// before it.
    path: SmallVec<[(&'a Inner<T>, usize); 5]>,
    offset: u64,
}

impl<'a, T: Item, const REV: bool> Walk<'a, T, REV> {
    /// A walk over nothing.
    pub fn empty() -> Self {
        Walk {
            leaf: [].iter(),
            path: SmallVec::new(),
            offset: 0,
        }
    }

    pub(super) fn new(tree: &'a Tree<T>, pos: u64) -> Self {
        let mut walk = Walk::empty();
        let pos = if pos < tree.weight {
            pos
        } else if REV && tree.weight > 0 {
            tree.weight - 1
        } else {
            return walk;
        };
        let mut seek = At { rest: pos };
        let mut node = match &tree.root {
            Root::Small(items) => {
                walk.enter(&mut seek, items);
                return walk;
            }
            Root::Tall(inner) => &**inner,
        };
        loop {
            let at = seek.child(node);
            walk.path.push((node, if REV { at } else { at + 1 }));
            match &node.kids {
                Kids::Leaves(leaves) => {
                    walk.enter(&mut seek, &leaves[at]);
                    return walk;
                }
                Kids::Inners(inners) => node = &inners[at],
            }
        }
    }

    fn enter(&mut self, seek: &mut At, items: &'a [T]) {
        if let Ok(at) = seek.slot(items) {
            self.leaf = if REV {
                items[..=at].iter()
            } else {
                items[at..].iter()
            };
            self.offset = seek.rest;
        }
    }

    /// How far inside the first item the position was that the walk started from.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    #[cold]
    fn next_leaf(&mut self) -> Option<&'a T> {
        loop {
            let (node, next) = self.path.last_mut()?;
            let at = if REV {
                if *next == 0 {
                    self.path.pop();
                    continue;
                }
                *next -= 1;
                *next
            } else {
                if *next == node.len() {
                    self.path.pop();
                    continue;
                }
                *next += 1;
                *next - 1
            };
            match &node.kids {
                Kids::Leaves(leaves) => {
                    self.leaf = leaves[at].iter();
                    return if REV {
                        self.leaf.next_back()
                    } else {
                        self.leaf.next()
                    };
                }
                Kids::Inners(inners) => {
                    let child = &inners[at];
                    self.path.push((child, if REV { child.len() } else { 0 }));
                }
            }
        }
    }
}

impl<'a, T: Item, const REV: bool> Iterator for Walk<'a, T, REV> {
    type Item = &'a T;

    #[inline]
    fn next(&mut self) -> Option<&'a T> {
        let item = if REV {
            self.leaf.next_back()
        } else {
            self.leaf.next()
        };
        match item {
            Some(item) => Some(item),
            None => self.next_leaf(),
        }
    }
}
