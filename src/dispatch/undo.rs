//! Taking back FLUSHALL, FLUSHDB and SWAPDB.
//!
//! A swap is swapped again, which goes into the log as the same command. What comes back after a flush is in no log, so
//! the stream ends there: replicas, of whatever make, get a new copy, and the append-only file a new base. Until that is
//! on the disk writes wait, and so does the client that asked: a crash before leaves the data as it was before the undo,
//! a crash behind leaves all of it.

use super::run::Runner;
use crate::aof;
use crate::keyspace::db::Db;
use crate::keyspace::undo::{Deed, Kept};

/// What becomes of keys that were written since, in databases that come back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Newer {
    /// Nothing is taken back if there are any.
    #[default]
    Refuse,
    /// They stay, in the place of older ones of their names.
    Keep,
    /// They go.
    Replace,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TakenBack {
    Nothing,
    /// So many keys were written since, in this database.
    Newer(usize, usize),
    Swapped(usize, usize),
    /// Data came back. The log does not tell.
    Restored,
}

impl Runner<'_> {
    /// Takes the last deed back.
    pub fn take_back(&mut self, newer: Newer) -> TakenBack {
        let Some(last) = self.ks.undo.last() else {
            return TakenBack::Nothing;
        };
        if newer == Newer::Refuse {
            let there = |(index, _): &(usize, Db)| (*index, self.ks.dbs[*index].table.len());
            let found = last.dbs.iter().map(there).find(|(_, keys)| *keys > 0);
            if let Some((index, keys)) = found {
                return TakenBack::Newer(index, keys);
            }
        }
        let Some(kept) = self.ks.undo.pop() else {
            return TakenBack::Nothing;
        };
        tracing::warn!("{} is taken back: {} keys", kept.deed.command(), kept.keys);
        match kept.deed {
            Deed::SwapDb(a, b) => {
                self.ks.dbs.swap(a, b);
                self.ks.effects.change_whole(a);
                self.ks.effects.change_whole(b);
                TakenBack::Swapped(a, b)
            }
            Deed::FlushAll | Deed::FlushDb(_) => {
                self.put_back(kept, newer);
                TakenBack::Restored
            }
        }
    }

    fn put_back(&mut self, kept: Kept, newer: Newer) {
        self.end_stream();
        let mut gone = Vec::new();
        for (index, db) in kept.dbs {
            let later = std::mem::replace(&mut self.ks.dbs[index], db);
            if newer == Newer::Keep {
                for entry in later.table.iter() {
                    self.ks.at(index).put(entry.clone());
                }
            }
            gone.push(later);
            self.ks.effects.change_whole(index);
        }
        self.ks.reaper.free_databases(gone);
        self.ks.effects.flushed = true;
        self.ks.effects.present.dirty += kept.keys as u64;
        // The file of the flushed data is there already, or on its way.
        if !self.core.config.save.0.is_empty() {
            self.core.rdb.scheduled = true;
        }
        aof::state::data_replaced(self.ks, self.core);
    }
}
