//! Changing a table: the way down that copies what is shared, splitting and merging segments.

use std::mem::MaybeUninit;

use crate::base::hash::Seed;

use super::node::{DIR_BITS, MAX_DEPTH, Node, SPLIT_CLASS, Seg, cap_of, class_for, dir_size};
use super::{Item, slot_of};

/// Two sibling segments with no more items than this together become one. A split leaves 57 to two,
/// so that some twenty removals lie between a split and a merge.
const MERGE: usize = 19;

/// The way to a segment, and what is changed along it once it is [owned](Path::own).
///
/// Pointers lead to the table's own field and into nodes; nothing else of the table is borrowed, and
/// nobody may come to the table by another way as long as the path is in use.
pub(super) struct Path<'a, T> {
    /// The slots that hold the nodes, root first: level `n` lies in the Dir of level `n - 1`.
    slots: [MaybeUninit<*mut Node<T>>; (MAX_DEPTH / DIR_BITS) as usize + 1],
    /// The level of the segment.
    level: usize,
    /// Some node on the way has other holders.
    shared: bool,
    hash: u64,
    /// The table's count of bytes.
    bytes: &'a mut usize,
}

impl<'a, T: Item> Path<'a, T> {
    /// Walks down to the segment of `hash`.
    ///
    /// # Safety
    /// `root` is the root slot of a table that the caller has borrowed mutably for as long as the path
    /// is in use.
    #[inline]
    pub unsafe fn new(root: *mut Node<T>, bytes: &'a mut usize, hash: u64) -> Self {
        let slots = [MaybeUninit::uninit(); _];
        let mut path = Path {
            slots,
            level: 0,
            shared: false,
            hash,
            bytes,
        };
        let mut slot = root;
        loop {
            path.slots[path.level].write(slot);
            // Safe: a node lives as long as those above it, and the root does.
            unsafe {
                let node = *slot;
                path.shared |= !node.is_unique();
                let bits = node.bits();
                if bits == 0 {
                    return path;
                }
                slot = node.child(slot_of(hash, path.level, bits));
            }
            path.level += 1;
        }
    }

    /// The slot of a level up to the segment's.
    #[inline]
    fn slot(&self, level: usize) -> *mut Node<T> {
        assert!(level <= self.level);
        // All up to there have been written.
        unsafe { self.slots[level].assume_init() }
    }

    /// Copies what is shared on the way, so that all of it may be written. A copied segment gets
    /// room for `room` more items, if it may grow.
    ///
    /// # Safety
    /// As for all that follows: nothing but this path has changed the table meanwhile.
    #[inline]
    pub unsafe fn own(&mut self, room: usize) {
        if self.shared {
            unsafe { self.copy_shared(room) };
        }
    }

    #[cold]
    unsafe fn copy_shared(&mut self, room: usize) {
        unsafe {
            for level in 0..self.level {
                let slot = self.slot(level);
                let node = *slot;
                if !node.is_unique() {
                    *slot = node.copy_dir();
                    node.release();
                }
                let child = (*slot).child(slot_of(self.hash, level, node.bits()));
                self.slots[level + 1].write(child);
            }
            if !self.seg().node().is_unique() {
                self.copy_seg(room);
            }
            self.shared = false;
        }
    }

    #[inline]
    pub unsafe fn seg(&self) -> Seg<T> {
        unsafe { (*self.slot(self.level)).seg() }
    }

    fn resized(&mut self, before: usize, after: usize) {
        *self.bytes = *self.bytes - before + after;
    }

    /// Replaces the shared segment at the end by a copy.
    unsafe fn copy_seg(&mut self, room: usize) {
        unsafe {
            let old = self.seg();
            let depth = old.depth();
            let mut class = class_for(old.len() + room);
            if class > SPLIT_CLASS && depth < MAX_DEPTH {
                class = SPLIT_CLASS; // Full: the caller will split it.
            }
            let new = Seg::new(class, depth);
            old.clone_into(new);
            self.resized(old.size(), new.size());
            self.set_run(self.hash, new);
            old.node().release();
        }
    }

    /// Stores a segment in all slots of the last Dir that it covers. Reference counts are the caller's.
    unsafe fn set_run(&mut self, hash: u64, seg: Seg<T>) {
        unsafe {
            let Some(above) = self.level.checked_sub(1) else {
                *self.slot(0) = seg.node();
                return;
            };
            let dir = *self.slot(above);
            let free = above as u32 * DIR_BITS + dir.bits() - seg.depth();
            let start = slot_of(hash, above, dir.bits()) >> free << free;
            for at in start..start + (1 << free) {
                *dir.child(at) = seg.node();
            }
        }
    }

    /// Gives the segment another class, which has room for its items.
    unsafe fn resize(&mut self, class: u8) -> Seg<T> {
        unsafe {
            let old = self.seg();
            let new = Seg::new(class, old.depth());
            self.resized(old.size(), new.size());
            old.move_into(new);
            self.set_run(self.hash, new);
            new
        }
    }

    /// The segment for the path's hash, with room for one more item.
    #[inline]
    pub unsafe fn make_room(&mut self, seed: &Seed) -> Seg<T> {
        unsafe {
            loop {
                let seg = self.seg();
                if !seg.is_full() {
                    return seg;
                }
                if seg.class() < SPLIT_CLASS || seg.depth() >= MAX_DEPTH {
                    return self.resize(class_for(seg.len() + 1));
                }
                self.split(seed);
            }
        }
    }

    /// Splits the segment by its next bit. The path leads to its hash's half afterwards.
    #[cold]
    unsafe fn split(&mut self, seed: &Seed) {
        unsafe {
            let old = self.seg();
            let depth = old.depth();
            old.prefetch_items();
            let mut upper = 0u64;
            for (at, item) in old.slice().iter().enumerate() {
                upper |= (item.hash(seed) << depth >> 63) << at;
            }
            let ones = upper.count_ones() as usize;
            // Room for the item that caused the split, on either side.
            let low = Seg::new(class_for(old.len() - ones + 1).min(SPLIT_CLASS), depth + 1);
            let high = Seg::new(class_for(ones + 1).min(SPLIT_CLASS), depth + 1);
            for at in 0..old.len() {
                let to = if upper >> at & 1 == 1 { high } else { low };
                to.push(old.tag(at), old.items().add(at).read());
            }
            self.resized(old.size(), low.size() + high.size());
            self.add_bit(depth);
            old.free();
            let bit = 1 << (63 - depth);
            self.set_run(self.hash & !bit, low);
            self.set_run(self.hash | bit, high);
        }
    }

    /// Sees to it that the Dir above the segment tells the bit at `depth` apart; the slots of the
    /// segment are the caller's to write.
    unsafe fn add_bit(&mut self, depth: u32) {
        unsafe {
            if let Some(above) = self.level.checked_sub(1) {
                let dir = *self.slot(above);
                if depth < above as u32 * DIR_BITS + dir.bits() {
                    return;
                }
                if dir.bits() < DIR_BITS {
                    let bits = dir.bits() + 1;
                    let double = Node::new_dir(bits);
                    for at in 0..1 << bits {
                        double.child(at).write(*dir.child(at >> 1));
                    }
                    self.replace_dir(double);
                    return;
                }
            }
            // The root was a segment, or the Dir above is full: another level.
            let dir = Node::new_dir(1);
            *self.bytes += dir_size(1);
            let old = *self.slot(self.level);
            dir.child(0).write(old);
            dir.child(1).write(old);
            *self.slot(self.level) = dir;
            self.level += 1;
            self.slots[self.level].write(dir.child(slot_of(self.hash, self.level - 1, 1)));
        }
    }

    /// Puts another Dir with the same children in the place of the last one.
    unsafe fn replace_dir(&mut self, new: Node<T>) {
        unsafe {
            let above = self.level - 1;
            let old = *self.slot(above);
            self.resized(dir_size(old.bits()), dir_size(new.bits()));
            old.free_dir();
            *self.slot(above) = new;
            self.slots[self.level].write(new.child(slot_of(self.hash, above, new.bits())));
        }
    }

    /// After a removal: gives memory back where enough is unused.
    pub unsafe fn tighten(&mut self) {
        unsafe {
            while self.merge() {}
            let seg = self.seg();
            // Two classes down before one is given up: else single removals and inserts would take
            // turns in copying.
            if let Some(two_down) = seg.class().checked_sub(2)
                && seg.len() <= cap_of(two_down)
            {
                self.resize(seg.class() - 1);
            }
        }
    }

    /// Merges the segment with its sibling if both are small; true if it did.
    unsafe fn merge(&mut self) -> bool {
        unsafe {
            let Some(above) = self.level.checked_sub(1) else {
                return false;
            };
            let seg = self.seg();
            let (n, depth) = (seg.len(), seg.depth());
            // The sibling is a cache miss away: only every fourth removal asks how full it is.
            if n > MERGE || !n.is_multiple_of(4) {
                return false;
            }
            // A segment has consumed at least one bit of its Dir, so its sibling lies there too.
            let dir = *self.slot(above);
            let sibling_slot = slot_of(self.hash ^ 1 << (64 - depth), above, dir.bits());
            let Some(sibling) = (*dir.child(sibling_slot)).as_seg() else {
                return false;
            };
            if sibling.depth() != depth || n + sibling.len() > MERGE {
                return false;
            }
            let both = Seg::new(class_for(n + sibling.len()), depth - 1);
            self.resized(seg.size() + sibling.size(), both.size());
            seg.move_into(both);
            if sibling.node().is_unique() {
                sibling.move_into(both);
            } else {
                sibling.clone_into(both);
                sibling.node().release();
            }
            if depth - 1 == above as u32 * DIR_BITS {
                // Nothing else is in this Dir.
                *self.bytes -= dir_size(dir.bits());
                dir.free_dir();
                *self.slot(above) = both.node();
                self.level = above;
            } else {
                self.set_run(self.hash, both);
                self.halve();
            }
            true
        }
    }

    /// Halves the last Dir as long as no child needs its last bit.
    unsafe fn halve(&mut self) {
        unsafe {
            loop {
                let dir = *self.slot(self.level - 1);
                let bits = dir.bits() - 1;
                if bits == 0
                    || (0..1 << bits).any(|at| *dir.child(2 * at) != *dir.child(2 * at + 1))
                {
                    return;
                }
                let half = Node::new_dir(bits);
                for at in 0..1 << bits {
                    half.child(at).write(*dir.child(2 * at));
                }
                self.replace_dir(half);
            }
        }
    }
}
