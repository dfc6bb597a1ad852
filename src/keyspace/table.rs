//! The one table: keys of a database, fields of a large hash, members of a large set, member index
//! of a sorted set.
//!
//! A hash trie. `Dir` nodes consume up to six bits of the hash each, from the top; leaves are
//! segments of up to 56 items, dense, each item with an 8-bit tag (the low byte of its hash). A full
//! segment grows in small steps, then splits in two: there is no global rehash, the longest insert
//! touches one segment and one Dir of 64 slots. Removals shrink and merge segments and fold Dirs up
//! again, each a little.
//!
//! Extendible hashing within a Dir: a segment that has consumed fewer bits than its Dir fills a run
//! of slots, and the Dir doubles up to 64 slots before another level begins. So a Dir at level
//! `n` starts at bit `6 n`, and only full Dirs have Dirs below them.
//!
//! Nodes are counted. Cloning a table is one addition; a write copies the nodes on its way that are
//! shared and changes the others in place. Items of a copied segment are cloned, which for a counted
//! pointer is one addition each.
//!
//! # Contract of the unsafe code
//! - A node's count is the number of Dirs (once per Dir, whatever the run), tables and walks that
//!   hold it. A node is written only when its count and that of all nodes above it is 1 and the
//!   table itself is borrowed mutably: then nobody else can come to it. The owner's load is
//!   Acquire, releasing is Release: other threads' reads come before the owner's writes.
//! - `T` is 8 bytes, aligned to 8 or less, without padding, and its own 8 bytes are not changed
//!   through `&T`: they may be read as tags (and the result thrown away).
//! - [`Item`]'s functions and `T`'s drop do not panic, and do not use the table that they are called
//!   from. Closures given to `scan`, `sample`, `Walk` and `find_or_insert_with` may panic: nothing
//!   is half done when they run.
//! - Tables made from one another by `clone` must be given the same [`Seed`] and the same hash for
//!   the same key, always. A wrong hash loses items, but touches no foreign memory.
#![allow(unsafe_code)]

mod edit;
mod find;
mod node;
mod read;
#[cfg(test)]
mod tests;
mod walk;

use crate::base::hash::Seed;

pub use read::Iter;
pub use walk::Walk;

use edit::Path;
pub(crate) use node::prefetch;
use node::{DIR_BITS, Node, Seg};

/// What a table holds: a counted pointer or a tagged word of 8 bytes.
pub trait Item: Clone {
    type Key: ?Sized;

    /// The hash of this item's key. Splitting a segment asks for it.
    fn hash(&self, seed: &Seed) -> u64;

    /// Whether this item's key is `key`.
    fn is(&self, key: &Self::Key) -> bool;

    /// Has what the item points to come to the cache: a hint, for many items at once.
    #[inline]
    fn prefetch(&self) {}
}

/// Bits of a cursor of [`Table::scan`]: the upper ones of the hash.
pub const SCAN_BITS: u32 = node::MAX_DEPTH;

/// A table of items. See the module.
pub struct Table<T: Item> {
    root: Option<Node<T>>,
    len: usize,
    /// Bytes of all nodes that this table reaches.
    bytes: usize,
    /// What [`Table::dismantle`] has still to free; not part of the table any more.
    wreck: Option<Box<Walk<T>>>,
}

// Nodes are shared between threads as Arcs are: read by all, written by a sole owner, dropped by the last.
unsafe impl<T: Item + Send + Sync> Send for Table<T> {}
unsafe impl<T: Item + Send + Sync> Sync for Table<T> {}

impl<T: Item> Default for Table<T> {
    fn default() -> Self {
        Table::new()
    }
}

impl<T: Item> Clone for Table<T> {
    /// A snapshot: O(1).
    fn clone(&self) -> Self {
        if let Some(root) = self.root {
            unsafe { root.retain() };
        }
        Table {
            root: self.root,
            len: self.len,
            bytes: self.bytes,
            wreck: None,
        }
    }
}

impl<T: Item> Drop for Table<T> {
    /// In one stroke: large tables go through [`Table::dismantle`] or another thread first.
    fn drop(&mut self) {
        if let Some(root) = self.root.take() {
            unsafe { root.release() };
        }
    }
}

/// The slot of a Dir that this hash belongs to.
#[inline]
fn slot_of(hash: u64, level: usize, bits: u32) -> usize {
    ((hash << (level as u32 * DIR_BITS)) >> (64 - bits)) as usize
}

#[inline]
fn tag_of(hash: u64) -> u8 {
    hash as u8
}

impl<T: Item> Table<T> {
    pub const fn new() -> Self {
        const { assert!(size_of::<T>() == 8 && align_of::<T>() <= 8) }
        Table {
            root: None,
            len: 0,
            bytes: 0,
            wreck: None,
        }
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of the nodes, not of what items point to. Nodes shared with snapshots count for each.
    #[inline]
    pub fn memory(&self) -> usize {
        self.bytes
    }

    /// The segment that holds this hash.
    #[inline]
    fn seg(&self, hash: u64) -> Option<Seg<T>> {
        let mut node = self.root?;
        let mut rest = hash;
        loop {
            let bits = node.bits();
            if bits == 0 {
                return node.as_seg();
            }
            // Safe: the shift leaves `bits` bits, and nodes below a live table live.
            node = unsafe { *node.child((rest >> (64 - bits)) as usize) };
            rest <<= bits;
        }
    }

    #[inline]
    pub fn get(&self, hash: u64, key: &T::Key) -> Option<&T> {
        let seg = self.seg(hash)?;
        unsafe {
            let at = seg.find(tag_of(hash), |item| item.is(key))?;
            Some(&*seg.items().add(at))
        }
    }

    /// The item for changing it in place (its key must stay). Nodes on the way are the table's own
    /// afterwards; whether the item is shared is its own business.
    pub fn get_mut(&mut self, hash: u64, key: &T::Key, _seed: &Seed) -> Option<&mut T> {
        unsafe {
            let mut path = Path::new(self.root.as_mut()?, &mut self.bytes, hash);
            let at = path.seg().find(tag_of(hash), |item| item.is(key))?;
            path.own(0);
            // Should the segment have been copied, its order has stayed.
            Some(&mut *path.seg().items().add(at))
        }
    }

    /// Puts an item in; returns the equal one that it replaces. `hash` and `key` are the item's.
    pub fn insert(&mut self, hash: u64, item: T, key: &T::Key, seed: &Seed) -> Option<T> {
        let mut item = Some(item);
        let (held, _) =
            self.find_or_insert_with(hash, key, seed, || item.take().expect("called once"));
        item.map(|item| std::mem::replace(held, item))
    }

    /// Puts an item in whose key is known to be absent.
    pub fn insert_new(&mut self, hash: u64, item: T, seed: &Seed) {
        unsafe {
            match self.root.as_mut() {
                Some(root) => {
                    let mut path = Path::new(root, &mut self.bytes, hash);
                    path.own(1);
                    path.make_room(seed).push(tag_of(hash), item);
                }
                None => {
                    self.plant(hash, item);
                }
            }
        }
        self.len += 1;
    }

    /// The item of this key, made by `make` where there was none (then with true).
    pub fn find_or_insert_with(
        &mut self,
        hash: u64,
        key: &T::Key,
        seed: &Seed,
        make: impl FnOnce() -> T,
    ) -> (&mut T, bool) {
        unsafe {
            let Some(root) = self.root.as_mut() else {
                let place = self.plant(hash, make());
                self.len += 1;
                return (&mut *place, true);
            };
            let mut path = Path::new(root, &mut self.bytes, hash);
            if let Some(at) = path.seg().find(tag_of(hash), |item| item.is(key)) {
                path.own(0);
                return (&mut *path.seg().items().add(at), false);
            }
            let item = make();
            path.own(1);
            let seg = path.make_room(seed);
            let at = seg.push(tag_of(hash), item);
            self.len += 1;
            (&mut *seg.items().add(at), true)
        }
    }

    /// The first item of an empty table.
    fn plant(&mut self, hash: u64, item: T) -> *mut T {
        let seg = Seg::new(0, 0);
        self.root = Some(seg.node());
        unsafe {
            self.bytes = seg.size();
            seg.push(tag_of(hash), item);
            seg.items()
        }
    }

    /// Takes the item of this key out.
    pub fn remove(&mut self, hash: u64, key: &T::Key, _seed: &Seed) -> Option<T> {
        unsafe {
            let mut path = Path::new(self.root.as_mut()?, &mut self.bytes, hash);
            path.seg().prefetch_last();
            let at = path.seg().find(tag_of(hash), |item| item.is(key))?;
            path.own(0);
            let item = path.seg().swap_remove(at);
            path.tighten();
            self.len -= 1;
            if self.len == 0
                && let Some(root) = self.root.take()
            {
                root.release();
                self.bytes = 0;
            }
            Some(item)
        }
    }

    /// Frees about `budget` items and returns; true when nothing is left. From the first call on the
    /// table is empty to all who look. What is put in between two calls goes as well: who wants
    /// to go on with an empty table takes this one out of its place first.
    pub fn dismantle(&mut self, budget: usize) -> bool {
        let mut left = budget.max(1);
        loop {
            if self.wreck.is_none() {
                let Some(root) = self.root.take() else {
                    return true;
                };
                (self.len, self.bytes) = (0, 0);
                self.wreck = Some(Box::new(Walk::new(Some(root))));
            }
            if let Some(walk) = &mut self.wreck {
                let mut freed = 1;
                if !walk.next_segment(&mut |_| freed += 1) {
                    self.wreck = None;
                    continue;
                }
                let Some(rest) = left.checked_sub(freed) else {
                    return false;
                };
                left = rest;
            }
        }
    }

    /// Makes a snapshot's table into a walk that releases it as it goes.
    pub fn into_walk(mut self) -> Walk<T> {
        Walk::new(self.root.take())
    }
}
