//! The databases: keys and their values, expiry, eviction, and the one call that reports a change.
//!
//! [`Keyspace`] owns the data. A command sees it through [`Keys`], which stands at one database.
//! Nothing here knows clients, replies or sockets; time and randomness come in from outside.

pub mod cycle;
pub mod db;
pub mod digest;
pub mod effect;
pub mod evict;
pub mod expiry;
pub mod fields;
pub mod keys;
pub mod prefix;
pub mod reaper;
pub mod snapshot;
pub mod table;
#[cfg(test)]
mod tests;
pub mod text;
pub mod undo;

pub use keys::{Expire, Keys};
pub use text::Text;

use std::collections::BTreeSet;

use crate::base::hash::Seed;
use crate::base::rng::Rng;
use crate::log::CommandLog;
use crate::value::Limits;
use db::Db;
use effect::Effects;
use evict::Access;
use reaper::Reaper;

/// Counters that INFO shows.
#[derive(Clone, Debug, Default)]
pub struct KeyStats {
    pub hits: u64,
    pub misses: u64,
    pub expired: u64,
    pub expired_fields: u64,
    pub evicted: u64,
    /// Effects that changed the data set since the last save (`rdb_changes_since_last_save`).
    pub dirty: u64,
}

/// How deletions are logged that no command asked for.
#[derive(Clone, Copy, Debug)]
pub struct Verbs {
    pub expire: &'static str,
    pub evict: &'static str,
}

impl Verbs {
    pub fn new(lazy_expire: bool, lazy_evict: bool) -> Verbs {
        let verb = |lazy| if lazy { "UNLINK" } else { "DEL" };
        Verbs {
            expire: verb(lazy_expire),
            evict: verb(lazy_evict),
        }
    }
}

impl Default for Verbs {
    fn default() -> Self {
        Verbs::new(false, false)
    }
}

/// Who decides that the time of a key is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Judge {
    /// This server: what is over is deleted where it is met.
    #[default]
    Own,
    /// A master: what is over is absent, and stays until the master says that it is gone.
    Hide,
    /// The command comes from the master: what is over is there.
    Keep,
}

/// All databases and what belongs to them.
pub struct Keyspace {
    pub dbs: Vec<Db>,
    pub seed: Seed,
    /// Unix time in ms of the present command or slice.
    pub now_ms: i64,
    pub access: Access,
    pub limits: Limits,
    pub stats: KeyStats,
    pub effects: Effects,
    pub log: CommandLog,
    pub reaper: Reaper,
    /// Prefixes of keys whose use is counted.
    pub prefixes: prefix::Prefixes,
    /// What was flushed and swapped and can be taken back.
    pub undo: undo::Undo,
    pub rng: Rng,
    /// Expired keys are deleted (off with `DEBUG SET-ACTIVE-EXPIRE 0`, which leaves lazy expiry).
    pub active_expire: bool,
    /// How the present command sees keys whose time is over.
    pub judge: Judge,
    /// Verbs by which the log tells of keys that expired and keys that were evicted
    /// (`lazyfree-lazy-expire`, `lazyfree-lazy-eviction`): `DEL` or `UNLINK`.
    pub verbs: Verbs,
    /// Deadlines that clients of a writable replica set: unix ms, database, key. Its master does not
    /// know these keys and will never say that they are gone.
    pub own_deadlines: BTreeSet<(i64, usize, Vec<u8>)>,
    /// The database with which the next expiry slice begins.
    expire_from: usize,
    /// Buffer for small values while they are changed.
    scratch: Vec<u8>,
}

impl Keyspace {
    pub fn new(databases: usize, seed: Seed, rng: Rng) -> Keyspace {
        Keyspace {
            dbs: (0..databases).map(|_| Db::default()).collect(),
            seed,
            now_ms: 0,
            access: Access::default(),
            limits: Limits::default(),
            stats: KeyStats::default(),
            effects: Effects::default(),
            log: CommandLog::default(),
            reaper: Reaper::start(),
            prefixes: prefix::Prefixes::default(),
            undo: undo::Undo::default(),
            rng,
            active_expire: true,
            judge: Judge::Own,
            verbs: Verbs::default(),
            own_deadlines: BTreeSet::new(),
            expire_from: 0,
            scratch: Vec::new(),
        }
    }

    /// Keys in all databases.
    pub fn len(&self) -> usize {
        self.dbs.iter().map(|db| db.table.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The view of database `db` that a command gets.
    pub fn at(&mut self, db: usize) -> Keys<'_> {
        Keys::new(self, db)
    }
}
