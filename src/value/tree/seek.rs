//! Ways down the tree, by position and by order.

use super::Item;
use super::node::Inner;
use std::cmp::Ordering;
use std::hint::black_box;

/// Has the whole leaf on its way from memory before the first comparison.
pub(super) fn touch<T: Item>(items: &[T]) {
    let step = (64 / size_of::<T>().max(1)).max(1);
    black_box(
        items
            .iter()
            .step_by(step)
            .fold(0, |a, item| a ^ item.touch()),
    );
}

/// [`slice::partition_point`] in two runs, one in strides and one in steps. A few comparisons more than a binary search of
/// so short a list, but the processor runs ahead: it loads the next items while it compares, and is wrong only twice.
pub(super) fn partition<T>(list: &[T], mut before: impl FnMut(&T) -> bool) -> usize {
    const STRIDE: usize = 7;
    let mut at = 0;
    while let Some(item) = list.get(at + STRIDE) {
        if !before(item) {
            break;
        }
        at += STRIDE + 1;
    }
    while let Some(item) = list.get(at) {
        if !before(item) {
            break;
        }
        at += 1;
    }
    at
}

/// A way down the tree. Each method is called once a level, from the root to a leaf.
pub(super) trait Seek<T: Item> {
    fn child(&mut self, node: &Inner<T>) -> usize;
    /// `Ok` is the item sought; `Err` is where it would be inserted.
    fn slot(&mut self, items: &[T]) -> Result<usize, usize>;
}

/// The item that covers a position; afterwards `rest` is the offset inside it.
pub(super) struct At {
    pub(super) rest: u64,
}

impl<T: Item> Seek<T> for At {
    fn child(&mut self, node: &Inner<T>) -> usize {
        let last = node.weights.len() - 1;
        for (i, &w) in node.weights[..last].iter().enumerate() {
            if self.rest < w {
                return i;
            }
            self.rest -= w;
        }
        last
    }

    fn slot(&mut self, items: &[T]) -> Result<usize, usize> {
        if T::WEIGHTED {
            for (i, item) in items.iter().enumerate() {
                let w = item.weight();
                if self.rest < w {
                    return Ok(i);
                }
                self.rest -= w;
            }
            return Err(items.len());
        }
        let at = self.rest.min(items.len() as u64) as usize;
        self.rest -= at as u64;
        if at < items.len() { Ok(at) } else { Err(at) }
    }
}

/// The place before the first item that starts at a position or after it. Between two leaves it is the end of the left.
pub(super) struct Gap {
    pub(super) rest: u64,
}

impl<T: Item> Seek<T> for Gap {
    fn child(&mut self, node: &Inner<T>) -> usize {
        let last = node.weights.len() - 1;
        for (i, &w) in node.weights[..last].iter().enumerate() {
            if self.rest <= w {
                return i;
            }
            self.rest -= w;
        }
        last
    }

    fn slot(&mut self, items: &[T]) -> Result<usize, usize> {
        if !T::WEIGHTED {
            return Err(self.rest.min(items.len() as u64) as usize);
        }
        for (i, item) in items.iter().enumerate() {
            if self.rest == 0 {
                return Err(i);
            }
            self.rest = self.rest.saturating_sub(item.weight());
        }
        Err(items.len())
    }
}

/// The one item whose key compares equal.
pub(super) struct Exact<F> {
    pub(super) cmp: F,
}

impl<T: Item, F: FnMut(&T::Key) -> Ordering> Seek<T> for Exact<F> {
    fn child(&mut self, node: &Inner<T>) -> usize {
        partition(&node.seps, |key| (self.cmp)(key) != Ordering::Greater)
    }

    fn slot(&mut self, items: &[T]) -> Result<usize, usize> {
        touch(items);
        let at = partition(items, |item| (self.cmp)(item.key()) == Ordering::Less);
        match items.get(at) {
            Some(item) if (self.cmp)(item.key()) == Ordering::Equal => Ok(at),
            _ => Err(at),
        }
    }
}

/// The first item, to take or modify it.
pub(super) struct First;
/// The last item, to take or modify it.
pub(super) struct Last;
/// The place before the first item.
pub(super) struct Front;
/// The place after the last item.
pub(super) struct Back;

impl<T: Item> Seek<T> for First {
    fn child(&mut self, _: &Inner<T>) -> usize {
        0
    }

    fn slot(&mut self, items: &[T]) -> Result<usize, usize> {
        if items.is_empty() { Err(0) } else { Ok(0) }
    }
}

impl<T: Item> Seek<T> for Last {
    fn child(&mut self, node: &Inner<T>) -> usize {
        node.len() - 1
    }

    fn slot(&mut self, items: &[T]) -> Result<usize, usize> {
        items.len().checked_sub(1).ok_or(0)
    }
}

impl<T: Item> Seek<T> for Front {
    fn child(&mut self, _: &Inner<T>) -> usize {
        0
    }

    fn slot(&mut self, _: &[T]) -> Result<usize, usize> {
        Err(0)
    }
}

impl<T: Item> Seek<T> for Back {
    fn child(&mut self, node: &Inner<T>) -> usize {
        node.len() - 1
    }

    fn slot(&mut self, items: &[T]) -> Result<usize, usize> {
        Err(items.len())
    }
}
