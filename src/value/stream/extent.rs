//! How far a group has come: counts of entries over a stream's whole life.
//!
//! The entries that a group has read are counted while it reads in order. An entry that is deleted out of the middle
//! makes the count worthless, until the group is at a place whose count is known: the ends of the stream.

use std::cmp::Ordering;

use super::{Group, StreamId};

/// The numbers that counting needs.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    pub(super) len: u64,
    pub(super) first_id: StreamId,
    pub(super) last_id: StreamId,
    pub(super) max_deleted_id: StreamId,
    pub(super) entries_added: u64,
}

impl Extent {
    /// Whether an entry from `start` on may have been deleted out of the middle.
    fn has_gap_from(&self, start: StreamId) -> bool {
        self.len > 0
            && !self.max_deleted_id.is_zero()
            && self.max_deleted_id >= self.first_id
            && self.max_deleted_id >= start
    }

    /// Whether what the group has read can be counted on from: it has seen the first entry, and none is missing since.
    fn counts_from(&self, group: &Group) -> bool {
        !self.has_gap_from(group.last_id) && group.last_id >= self.first_id
    }

    /// How many entries of the stream's whole life are not behind `id`; `None` if that cannot be told.
    pub fn entries_until(&self, id: StreamId) -> Option<u64> {
        if self.entries_added == 0 {
            return Some(0);
        }
        if self.len == 0 && id <= self.last_id {
            return Some(self.entries_added);
        }
        match id.cmp(&self.last_id) {
            Ordering::Equal => return Some(self.entries_added),
            // An identifier of the future.
            Ordering::Greater => return None,
            Ordering::Less => {}
        }
        if self.max_deleted_id.is_zero() || self.max_deleted_id < self.first_id {
            let gone = self.entries_added.checked_sub(self.len)?;
            match id.cmp(&self.first_id) {
                Ordering::Less => return Some(gone),
                Ordering::Equal => return Some(gone + 1),
                Ordering::Greater => {}
            }
        }
        None
    }

    /// How many entries a group has not been given yet; `None` if that cannot be told. Negative if the group was told
    /// that it has read more than there ever was.
    pub fn lag(&self, group: &Group) -> Option<i64> {
        let read = match group.entries_read {
            _ if self.entries_added == 0 || self.len == 0 => return Some(0),
            Some(read) if self.counts_from(group) => read,
            _ => self.entries_until(group.last_id)?,
        };
        Some(self.entries_added.wrapping_sub(read) as i64)
    }

    /// Moves a group on to `id`, which was just delivered, and counts it where that can be done.
    pub fn advance(&self, group: &mut Group, id: StreamId) {
        group.entries_read = match group.entries_read {
            Some(read) if self.counts_from(group) => Some(read.saturating_add(1)),
            read if self.entries_added == 0 => read,
            _ => self.entries_until(id),
        };
        group.last_id = id;
    }
}
