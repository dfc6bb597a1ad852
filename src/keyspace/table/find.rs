//! Finding an item by its hash alone, for indexes that keep hashes instead of keys.

use super::{Item, Table, tag_of};
use crate::base::hash::Seed;

impl<T: Item> Table<T> {
    /// An item whose hash is exactly `hash`. With a 64-bit keyed hash two keys share one about
    /// never; callers treat the answer as a hint and look at the item itself.
    pub fn find_hash(&self, hash: u64, seed: &Seed) -> Option<&T> {
        let seg = self.seg(hash)?;
        // SAFETY: the segment lives as long as the table is borrowed.
        unsafe {
            let at = seg.find(tag_of(hash), |item| item.hash(seed) == hash)?;
            Some(&*seg.items().add(at))
        }
    }
}
