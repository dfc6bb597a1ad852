//! The expiry cycle: deletes keys whose time is over, in slices.

use super::{Keys, Keyspace};
use crate::keyspace::fields;

/// Fields of one hash that are expired in one go.
const FIELDS_PER_STEP: usize = 64;

/// What a slice left to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slice {
    /// Nothing is due any more.
    Done,
    /// Time was up first.
    More,
}

impl Keyspace {
    /// Looks at keys whose hints are due until `over` says that time is up.
    pub fn expire_slice(&mut self, over: &mut impl FnMut() -> bool) -> Slice {
        if !self.active_expire {
            return Slice::Done;
        }
        for index in 0..self.dbs.len() {
            let mut steps = 0u32;
            while let Some(hash) = self.dbs[index].expiry.take_due(self.now_ms) {
                self.look_at(index, hash);
                steps += 1;
                if steps.is_multiple_of(16) && over() {
                    return Slice::More;
                }
            }
        }
        Slice::Done
    }

    /// Unix ms at which the next hint is due.
    pub fn next_expiry(&self) -> Option<i64> {
        if !self.active_expire {
            return None;
        }
        self.dbs.iter().filter_map(|db| db.expiry.next_due()).min()
    }

    fn look_at(&mut self, index: usize, hash: u64) {
        let now = self.now_ms;
        let db = &mut self.dbs[index];
        let Some(entry) = db.table.find_hash(hash, &self.seed) else {
            return;
        };
        let key = entry.key().to_vec();
        match entry.expire() {
            Some(at) if at < now => return Keys::new(self, index).expire_now(&key),
            Some(at) if entry.is_hinted() => db.expiry.add(hash, at.saturating_add(1), now),
            _ => {}
        }
        if fields::next_expiry(entry).is_some_and(|at| at <= now) {
            fields::expire_fields(&mut Keys::new(self, index), &key, FIELDS_PER_STEP);
        } else if let Some(at) = fields::next_expiry(entry) {
            db.expiry.add(hash, at, now);
        }
    }

    /// Drops stale hints of a database, a chunk at a time, if they outnumber the volatile keys.
    pub fn sweep_hints(&mut self, index: usize) {
        let seed = self.seed.clone();
        let db = &mut self.dbs[index];
        if db.expiry.len() <= 2 * db.volatile + 1024 {
            return;
        }
        let table = &db.table;
        let mut keep = |hash| {
            table.find_hash(hash, &seed).is_some_and(|e| {
                e.expire().is_some() && e.is_hinted() || fields::next_expiry(e).is_some()
            })
        };
        db.sweep_at = db.expiry.sweep(db.sweep_at, &mut keep);
    }
}
