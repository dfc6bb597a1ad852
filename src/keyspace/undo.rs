//! What FLUSHALL, FLUSHDB and SWAPDB took away or changed, kept for a while so that it can be taken back
//! (`undo-window`, `FERRITE UNDO`). A stack: the last deed is taken back first.
//!
//! Databases lie here as they were; nothing expires or is evicted among them. What is let go goes to the reaper.

use std::collections::VecDeque;

use super::db::Db;
use super::reaper::Reaper;
use crate::value::usage;

/// Most deeds that are kept: who empties databases in a loop keeps the latest.
const MOST: usize = 128;
/// Entries of a database that are looked at to know its size.
const SAMPLE: usize = 100;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    FlushAll,
    FlushDb(usize),
    SwapDb(usize, usize),
}

impl Deed {
    /// As it would be said again.
    pub fn command(self) -> String {
        match self {
            Deed::FlushAll => "FLUSHALL".into(),
            Deed::FlushDb(db) => format!("FLUSHDB (db {db})"),
            Deed::SwapDb(a, b) => format!("SWAPDB {a} {b}"),
        }
    }
}

/// A deed that can be taken back.
pub struct Kept {
    pub deed: Deed,
    /// Monotonic ms.
    pub at_ms: i64,
    /// Databases that were emptied, with their indexes. None of them is empty.
    pub dbs: Vec<(usize, Db)>,
    pub keys: usize,
    /// What they take, from a sample.
    pub bytes: usize,
}

/// All of them, the oldest first.
#[derive(Default)]
pub struct Undo {
    kept: VecDeque<Kept>,
    /// Something went for want of memory, which may not be free yet.
    freeing: bool,
}

fn bytes_of(db: &Db) -> usize {
    let mut seen = 0;
    let entries = db.table.iter().take(SAMPLE).inspect(|_| seen += 1);
    let sum: usize = entries.map(|entry| usage::of_entry(entry, 5)).sum();
    db.table.memory() + db.table.len() * sum / seen.max(1)
}

impl Undo {
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Bytes of all that is kept.
    pub fn bytes(&self) -> usize {
        self.kept.iter().map(|kept| kept.bytes).sum()
    }

    /// The last deed first.
    pub fn iter(&self) -> impl Iterator<Item = &Kept> {
        self.kept.iter().rev()
    }

    pub fn last(&self) -> Option<&Kept> {
        self.kept.back()
    }

    pub fn pop(&mut self) -> Option<Kept> {
        self.kept.pop_back()
    }

    /// Keeps a deed of now.
    pub fn keep(&mut self, deed: Deed, dbs: Vec<(usize, Db)>, now_ms: i64, reaper: &Reaper) {
        if self.kept.len() >= MOST {
            self.drop_first(reaper);
        }
        self.kept.push_back(Kept {
            deed,
            at_ms: now_ms,
            keys: dbs.iter().map(|(_, db)| db.table.len()).sum(),
            bytes: dbs.iter().map(|(_, db)| bytes_of(db)).sum(),
            dbs,
        });
    }

    fn drop_first(&mut self, reaper: &Reaper) {
        if let Some(kept) = self.kept.pop_front() {
            reaper.free_databases(kept.dbs.into_iter().map(|(_, db)| db).collect());
        }
    }

    /// Lets go what was done up to this time.
    pub fn end_until(&mut self, ms: i64, reaper: &Reaper) {
        while self.kept.front().is_some_and(|kept| kept.at_ms <= ms) {
            self.drop_first(reaper);
        }
    }

    /// Lets everything go: the data is another.
    pub fn clear(&mut self, reaper: &Reaper) {
        self.end_until(i64::MAX, reaper);
    }

    /// Lets the oldest go because memory is short. False if there is none.
    pub fn yield_memory(&mut self, reaper: &Reaper) -> bool {
        // Deeds without data are not worth anything here; those that lie behind one with data go with it.
        let holds = |kept: &Kept| !kept.dbs.is_empty();
        let Some(first) = self.kept.iter().position(holds) else {
            return false;
        };
        (0..=first).for_each(|_| self.drop_first(reaper));
        self.freeing = true;
        true
    }

    /// Memory that went for want of it is still being freed.
    pub fn is_freeing(&mut self, reaper: &Reaper) -> bool {
        self.freeing &= reaper.pending() > 0;
        self.freeing
    }
}
