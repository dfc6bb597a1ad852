//! A frozen view of all databases, for other threads to read while the actor writes on.
//!
//! Taking one costs a clone of each table's root; what the actor changes afterwards it copies
//! first. Dropping the last handle frees what only the snapshot still held, so that belongs on the
//! reader's thread.

use super::Keyspace;
use super::table::Table;
use crate::value::entry::Entry;

/// One database as it was.
pub struct FrozenDb {
    pub table: Table<Entry>,
    /// Keys with an expiry.
    pub volatile: usize,
}

/// All databases as they were at one moment.
pub struct Snapshot {
    pub dbs: Vec<FrozenDb>,
    /// Unix time in ms of that moment.
    pub now_ms: i64,
    /// Offset of the command log at that moment.
    pub log_offset: u64,
    /// Changes that `rdb_changes_since_last_save` counted until then.
    pub dirty: u64,
}

impl Snapshot {
    /// Keys in all databases.
    pub fn len(&self) -> usize {
        self.dbs.iter().map(|db| db.table.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Keyspace {
    /// Freezes all data as it is now, between two commands.
    pub fn snapshot(&self) -> Snapshot {
        let freeze = |db: &super::db::Db| FrozenDb {
            table: db.table.clone(),
            volatile: db.volatile,
        };
        Snapshot {
            dbs: self.dbs.iter().map(freeze).collect(),
            now_ms: self.now_ms,
            log_offset: self.log.offset(),
            dirty: self.stats.dirty,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::command::testing::Bench;

    #[test]
    fn a_snapshot_is_read_elsewhere_while_the_data_changes() {
        let mut bench = Bench::new();
        for n in 0..2000 {
            bench.say(&format!("SET key:{n} {n}"));
        }
        let snapshot = bench.server.ks.snapshot();
        let reader = std::thread::spawn(move || {
            let db = &snapshot.dbs[0];
            let keys = db.table.iter().filter(|e| e.key().starts_with(b"key:"));
            (snapshot.len(), keys.count(), snapshot.is_empty())
        });
        for n in 0..2000 {
            bench.say(&format!("DEL key:{n}"));
            bench.say(&format!("SET new:{n} x"));
        }
        assert_eq!(reader.join().expect("no panic"), (2000, 2000, false));
    }
}
