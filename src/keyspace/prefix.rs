//! Live counts by prefix of key (`track-prefix`): keys, the bytes that MEMORY USAGE gives them, operations.
//!
//! Each change of an entry moves the counts by the difference, so they are exact at any time. Where a count has to begin,
//! because the prefixes are new or a database was loaded, a walk in the order of SCAN goes through the table in slices;
//! a change counts if it is behind the walk. The counts of a database lie in it, and come and go with it.
//!
//! Without prefixes each change costs one comparison.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Keyspace;
use super::db::Db;
use super::table::{SCAN_BITS, Table};
use crate::base::hash::Seed;
use crate::value::entry::Entry;
use crate::value::usage;

/// Elements of a collection that are weighed, as MEMORY USAGE does.
const SAMPLES: usize = 5;
/// The place in the table, which MEMORY USAGE counts too.
const SLOT: u64 = size_of::<usize>() as u64;

/// One prefix and what was done with its keys.
#[derive(Debug)]
struct Tracked {
    /// As it was given.
    pattern: Vec<u8>,
    /// Bytes of `pattern` without the star at its end.
    len: usize,
    operations: u64,
}

impl Tracked {
    #[inline]
    fn matches(&self, key: &[u8]) -> bool {
        let prefix = &self.pattern[..self.len];
        // Most prefixes differ in the first byte from most keys.
        prefix
            .first()
            .is_none_or(|first| key.first() == Some(first))
            && key.starts_with(prefix)
    }
}

/// What a tracked entry weighs.
#[inline]
pub fn weight_of(entry: &Entry) -> usize {
    usage::of_entry(entry, SAMPLES)
}

/// The prefixes that are tracked.
#[derive(Debug, Default)]
pub struct Prefixes {
    list: Vec<Tracked>,
    /// Which list this is; no other of the process has that number.
    generation: u64,
}

impl Prefixes {
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Tracks these from now on. Nothing happens if they are tracked already.
    pub fn set(&mut self, patterns: &[Vec<u8>]) {
        static GENERATION: AtomicU64 = AtomicU64::new(0);
        if self.list.iter().map(|t| &t.pattern).eq(patterns) {
            return;
        }
        let tracked = |pattern: &Vec<u8>| Tracked {
            len: pattern.strip_suffix(b"*").unwrap_or(pattern).len(),
            pattern: pattern.clone(),
            operations: 0,
        };
        self.list = patterns.iter().map(tracked).collect();
        self.generation = GENERATION.fetch_add(1, Ordering::Relaxed) + 1;
    }

    /// What an entry weighs before it is changed; `None` if nobody wants to know.
    #[inline]
    pub fn weigh(&self, entry: &Entry) -> Option<usize> {
        if self.list.is_empty() {
            return None;
        }
        self.weigh_tracked(entry)
    }

    fn weigh_tracked(&self, entry: &Entry) -> Option<usize> {
        let tracked = self.list.iter().any(|t| t.matches(entry.key()));
        tracked.then(|| weight_of(entry))
    }

    /// Counts an operation on a key.
    pub fn operation(&mut self, key: &[u8]) {
        for tracked in self.list.iter_mut().filter(|t| t.matches(key)) {
            tracked.operations += 1;
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    keys: i64,
    bytes: i64,
}

/// Counts of one database.
#[derive(Debug, Default)]
pub struct Tally {
    counts: Vec<Count>,
    /// The list of prefixes that they are of; 0: of none.
    generation: u64,
    /// Places in the order of SCAN below this one are counted.
    passed: u64,
}

/// Behind all places.
const ALL: u64 = 1 << SCAN_BITS;

fn place(hash: u64) -> u64 {
    hash >> (64 - SCAN_BITS)
}

impl Tally {
    fn add(&mut self, prefixes: &Prefixes, key: &[u8], keys: i64, bytes: i64) {
        for (tracked, count) in prefixes.list.iter().zip(&mut self.counts) {
            if tracked.matches(key) {
                count.keys += keys;
                count.bytes += bytes;
            }
        }
    }

    /// An entry came (`before` is `None`), went (`after` is) or changed.
    pub fn change(
        &mut self,
        prefixes: &Prefixes,
        hash: u64,
        key: &[u8],
        before: Option<usize>,
        after: Option<usize>,
    ) {
        if before == after || self.generation != prefixes.generation || place(hash) >= self.passed {
            return;
        }
        let keys = i64::from(after.is_some()) - i64::from(before.is_some());
        let bytes = after.unwrap_or(0) as i64 - before.unwrap_or(0) as i64;
        self.add(prefixes, key, keys, bytes);
    }

    /// Goes on counting until all is counted or time is up. True if all is.
    fn walk(
        &mut self,
        table: &Table<Entry>,
        prefixes: &Prefixes,
        seed: &Seed,
        is_over: &mut dyn FnMut() -> bool,
    ) -> bool {
        if self.generation != prefixes.generation {
            self.counts = vec![Count::default(); prefixes.list.len()];
            (self.generation, self.passed) = (prefixes.generation, 0);
        }
        while self.passed < ALL {
            if is_over() {
                return false;
            }
            let from = self.passed;
            let next = table.scan(from, &mut |entry: &Entry| {
                // A segment that was merged meanwhile begins before `from`.
                if let Some(weight) = prefixes.weigh(entry)
                    && place(seed.hash_bytes(entry.key())) >= from
                {
                    self.add(prefixes, entry.key(), 1, weight as i64);
                }
            });
            self.passed = if next == 0 { ALL } else { next };
        }
        true
    }

    fn is_complete(&self, prefixes: &Prefixes) -> bool {
        self.generation == prefixes.generation && self.passed == ALL
    }
}

/// What is known of one prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub pattern: Vec<u8>,
    pub keys: u64,
    pub bytes: u64,
    pub operations: u64,
}

impl Keyspace {
    /// Counts what is not counted yet. True if nothing is left.
    pub fn count_prefixes(&mut self, is_over: &mut dyn FnMut() -> bool) -> bool {
        if self.prefixes.is_empty() {
            return true;
        }
        let (prefixes, seed) = (&self.prefixes, &self.seed);
        self.dbs
            .iter_mut()
            .all(|db| db.tally.walk(&db.table, prefixes, seed, is_over))
    }

    /// The counts of all prefixes, and whether they are complete.
    pub fn prefix_rows(&self) -> (Vec<Row>, bool) {
        let current = |db: &&Db| db.tally.generation == self.prefixes.generation;
        let row = |(at, tracked): (usize, &Tracked)| {
            let counts = self
                .dbs
                .iter()
                .filter(current)
                .map(|db| db.tally.counts[at]);
            let sum = counts.fold(Count::default(), |a, b| Count {
                keys: a.keys + b.keys,
                bytes: a.bytes + b.bytes,
            });
            let keys = sum.keys.max(0) as u64;
            Row {
                pattern: tracked.pattern.clone(),
                keys,
                bytes: sum.bytes.max(0) as u64 + keys * SLOT,
                operations: tracked.operations,
            }
        };
        let rows = self.prefixes.list.iter().enumerate().map(row).collect();
        let complete = |db: &Db| db.tally.is_complete(&self.prefixes);
        (rows, self.dbs.iter().all(complete))
    }
}
