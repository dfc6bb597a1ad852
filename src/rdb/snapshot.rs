//! What is saved: the data set of one moment, shared with the actor, who goes on writing.

use crate::keyspace::Keyspace;
use crate::keyspace::evict::Access;
use crate::keyspace::table::Table;
use crate::value::entry::Entry;

/// One database of a snapshot.
pub struct DbSnapshot {
    pub index: usize,
    pub table: Table<Entry>,
    /// Keys with an expiry.
    pub volatile: usize,
}

/// The data set of one moment. Several consumers may share one.
pub struct Snapshot {
    /// Databases that hold keys, in order.
    pub dbs: Vec<DbSnapshot>,
    /// Sources of the function libraries.
    pub functions: Vec<Vec<u8>>,
    /// Unix ms of the moment.
    pub now_ms: i64,
    /// How access clocks are to be read.
    pub access: Access,
    /// Bytes in use at that moment.
    pub used_memory: u64,
}

impl Snapshot {
    /// The present moment; costs one addition per database.
    pub fn take(ks: &Keyspace, functions: Vec<Vec<u8>>) -> Snapshot {
        let filled = ks
            .dbs
            .iter()
            .enumerate()
            .filter(|(_, db)| !db.table.is_empty());
        Snapshot {
            dbs: filled
                .map(|(index, db)| DbSnapshot {
                    index,
                    table: db.table.clone(),
                    volatile: db.volatile,
                })
                .collect(),
            functions,
            now_ms: ks.now_ms,
            access: ks.access,
            used_memory: crate::base::alloc::used_memory(),
        }
    }

    /// Keys in all databases.
    pub fn len(&self) -> u64 {
        self.dbs.iter().map(|db| db.table.len() as u64).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.dbs.is_empty()
    }
}
