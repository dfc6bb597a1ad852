//! The expiry cycle: deletes keys whose time is over, in slices.

use super::{Judge, Keys, Keyspace};
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
    /// Looks at keys whose hints are due until `over` says that time is up. Hints that only have to
    /// be spread come after all that are due in any database.
    pub fn expire_slice(&mut self, over: &mut impl FnMut() -> bool) -> Slice {
        if !self.active_expire {
            return Slice::Done;
        }
        let mut steps = 0u32;
        for early in [false, true] {
            for _ in 0..self.dbs.len() {
                let index = self.expire_from % self.dbs.len();
                // The next slice begins with the next database: none waits for all of another.
                self.expire_from = index + 1;
                if self.expire_in(index, early, &mut steps, over) == Slice::More {
                    return Slice::More;
                }
            }
        }
        Slice::Done
    }

    fn expire_in(
        &mut self,
        index: usize,
        early: bool,
        steps: &mut u32,
        over: &mut impl FnMut() -> bool,
    ) -> Slice {
        loop {
            let hints = &mut self.dbs[index].expiry;
            let now = self.now_ms;
            let Some(hash) = (if early {
                hints.take_early(now)
            } else {
                hints.take_due(now)
            }) else {
                return Slice::Done;
            };
            self.look_at(index, hash);
            *steps += 1;
            if steps.is_multiple_of(16) && over() {
                return Slice::More;
            }
        }
    }

    /// Deletes what clients of a writable replica let expire, on that replica alone.
    pub fn expire_own(&mut self) {
        while self
            .own_deadlines
            .first()
            .is_some_and(|d| d.0 < self.now_ms)
        {
            let Some((_, index, key)) = self.own_deadlines.pop_first() else {
                return;
            };
            // The master may have written it since, and then it decides again.
            let judge = std::mem::replace(&mut self.judge, Judge::Own);
            if index < self.dbs.len() {
                Keys::new(self, index).expire_if_due(&key);
            }
            self.judge = judge;
        }
    }

    /// Unix ms at which the next hint is due.
    pub fn next_expiry(&self) -> Option<i64> {
        if !self.active_expire {
            return None;
        }
        self.dbs.iter().filter_map(|db| db.expiry.next_due()).min()
    }

    /// Looks at the key of a hint. One hint is put back at most, for the key's deadline or that of
    /// its first field, whichever comes first: so copies of a hint never multiply.
    fn look_at(&mut self, index: usize, hash: u64) {
        let now = self.now_ms;
        let db = &mut self.dbs[index];
        let Some(entry) = db.table.find_hash(hash, &self.seed) else {
            return;
        };
        let (deadline, field) = (entry.expire(), fields::next_expiry(entry));
        if deadline.is_some_and(|at| at < now) {
            let key = entry.key().to_vec();
            return Keys::new(self, index).expire_now(&key);
        }
        if field.is_some_and(|at| at < now) {
            let key = entry.key().to_vec();
            // This hints at the next field itself.
            fields::expire_fields(&mut Keys::new(self, index), &key, FIELDS_PER_STEP);
            let mut keys = Keys::new(self, index);
            let next = keys.peek(&key).map(fields::next_expiry);
            if let (Some(at), Some(next)) = (deadline, next)
                && next.is_none_or(|next| next > at)
            {
                keys.hint(&key, at);
            }
            return;
        }
        if let Some(at) = deadline.into_iter().chain(field).min() {
            db.expiry.add(hash, at, now);
        }
    }

    /// Drops hints of a database that nobody needs, a chunk at a time, if they are many.
    pub fn sweep_hints(&mut self, index: usize) {
        if self.dbs[index].expiry.is_littered(self.dbs[index].volatile) {
            self.sweep_chunk(index);
        }
    }

    /// The step of the sweep that adding a hint pays for.
    #[inline]
    pub(super) fn pay_sweep(&mut self, index: usize) {
        if self.dbs[index].expiry.owes_sweep(self.dbs[index].volatile) {
            self.sweep_chunk(index);
        }
    }

    fn sweep_chunk(&mut self, index: usize) {
        let seed = &self.seed;
        let db = &mut self.dbs[index];
        let table = &db.table;
        let mut keep = |hash, fires: i64| {
            let Some(entry) = table.find_hash(hash, seed) else {
                return false;
            };
            // A hint that fires after the deadline has one at or before it beside it.
            entry
                .expire()
                .is_some_and(|at| entry.is_hinted() && fires <= at)
                || fields::next_expiry(entry).is_some_and(|at| fires <= at)
        };
        db.expiry.sweep(&mut keep);
    }
}
