//! Reading a table in hash order: iteration, SCAN, random choice, prefetching.
//!
//! Segments are addressed by the upper 48 bits of the hash, the prefix: a segment at depth `d` holds
//! the prefixes that agree in their first `d` bits, so the next one begins where these end. No state
//! is kept but a prefix, and it stays meaningful whatever is split and merged meanwhile.

use super::node::{MAX_DEPTH, Seg};
use super::{Item, Table, tag_of};

/// Below this, a random choice counts through the table, which is exact.
const COUNT_THROUGH: usize = 512;
/// How much denser than the average a segment may be and still be chosen without bias.
const DENSEST: u64 = 4;
/// Trials before a random choice settles for what it finds; a trial fails in three of four cases.
const TRIALS: u32 = 1000;

impl<T: Item> Table<T> {
    /// The segment of a prefix and the prefix at which the next one begins, 0 after the last.
    #[inline]
    fn seg_at(&self, prefix: u64) -> Option<(Seg<T>, u64)> {
        let seg = self.seg(prefix << (64 - MAX_DEPTH))?;
        let free = MAX_DEPTH - unsafe { seg.depth() };
        let next = ((prefix >> free) + 1) << free;
        Some((seg, next & ((1 << MAX_DEPTH) - 1)))
    }

    /// All items, in no order that means anything.
    pub fn iter(&self) -> Iter<'_, T> {
        Iter {
            table: self,
            items: [].iter(),
            prefix: Some(0),
            left: self.len,
        }
    }

    /// Visits all items of the segment that the cursor points into and returns the cursor of the
    /// next, 0 at the end. Cursors stay below 2^48. What is in the table from the first call to the
    /// last is visited, whatever is split or merged between; some items maybe twice.
    pub fn scan(&self, cursor: u64, visit: &mut impl FnMut(&T)) -> u64 {
        let Some((seg, next)) = self.seg_at(cursor & ((1 << MAX_DEPTH) - 1)) else {
            return 0;
        };
        unsafe { seg.prefetch_items() };
        unsafe { seg.slice() }.iter().for_each(visit);
        next
    }

    /// An item, each as likely as any other. `rng` gives 64 random bits a call.
    pub fn random(&self, rng: &mut impl FnMut() -> u64) -> Option<&T> {
        if self.len <= COUNT_THROUGH {
            return self.iter().nth(below(rng(), self.len)?);
        }
        // A random point hits a segment at depth d once in 2^d; accepted in proportion to
        // its len * 2^d, all items come out equally likely.
        let bound = DENSEST * self.len as u64;
        let mut trials = 0;
        loop {
            trials += 1;
            let seg = self.seg(rng())?;
            let (len, depth) = unsafe { (seg.len(), seg.depth()) };
            let density = (len as u128) << depth;
            let chance = ((u128::from(rng()) * u128::from(bound)) >> 64) as u64;
            if len > 0 && (u128::from(chance) < density || trials > TRIALS) {
                return unsafe { seg.slice() }.get(below(rng(), len)?);
            }
            if trials > 2 * TRIALS {
                return self.iter().nth(below(rng(), self.len)?);
            }
        }
    }

    /// Visits `n` different items (all, if there are fewer) of as few segments as possible: cheap, and
    /// random enough for choosing what to evict.
    pub fn sample(&self, rng: &mut impl FnMut() -> u64, n: usize, visit: &mut impl FnMut(&T)) {
        let mut left = n.min(self.len);
        let mut prefix = rng() >> (64 - MAX_DEPTH);
        while left > 0 {
            let Some((seg, next)) = self.seg_at(prefix) else {
                return;
            };
            let items = unsafe { seg.slice() };
            if let Some(start) = below(rng(), items.len()) {
                let (before, after) = items.split_at(start);
                after.iter().chain(before).take(left).for_each(&mut *visit);
                left = left.saturating_sub(items.len());
            }
            prefix = next;
        }
    }

    /// Has the segment of this hash come to the cache.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        if let Some(seg) = self.seg(hash) {
            seg.prefetch();
        }
    }

    /// With the segment in the cache: has the item come that is probably meant.
    #[inline]
    pub fn prefetch_item(&self, hash: u64) {
        if let Some(seg) = self.seg(hash) {
            unsafe {
                seg.find(tag_of(hash), |item| {
                    item.prefetch();
                    true
                })
            };
        }
    }
}

/// A number below `n` from 64 random bits, none if `n` is 0. The bias is below n / 2^64.
fn below(random: u64, n: usize) -> Option<usize> {
    (n > 0).then(|| ((u128::from(random) * n as u128) >> 64) as usize)
}

/// See [`Table::iter`].
pub struct Iter<'a, T: Item> {
    table: &'a Table<T>,
    items: std::slice::Iter<'a, T>,
    /// Where the next segment begins.
    prefix: Option<u64>,
    left: usize,
}

impl<'a, T: Item> Iterator for Iter<'a, T> {
    type Item = &'a T;

    #[inline]
    fn next(&mut self) -> Option<&'a T> {
        loop {
            if let Some(item) = self.items.next() {
                self.left -= 1;
                return Some(item);
            }
            let (seg, next) = self.table.seg_at(self.prefix?)?;
            self.prefix = (next != 0).then_some(next);
            if let Some(next) = self.table.seg(next << (64 - MAX_DEPTH)) {
                next.prefetch_all();
            }
            unsafe { seg.prefetch_items() };
            self.items = unsafe { seg.slice() }.iter();
        }
    }

    fn nth(&mut self, mut n: usize) -> Option<&'a T> {
        while n >= self.items.len() {
            n -= self.items.len();
            self.left -= self.items.len();
            let (seg, next) = self.table.seg_at(self.prefix?)?;
            self.prefix = (next != 0).then_some(next);
            self.items = unsafe { seg.slice() }.iter();
        }
        self.left -= n + 1;
        self.items.nth(n)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<T: Item> ExactSizeIterator for Iter<'_, T> {}

impl<'a, T: Item> IntoIterator for &'a Table<T> {
    type Item = &'a T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}
