//! Live counts by prefix of key (`track-prefix`): keys, the bytes that MEMORY USAGE gives them, operations.
//!
//! Each change of an entry moves the counts by the difference, so they are exact at any time. Where a count has to begin,
//! because the prefixes are new or a database was loaded, a walk in the order of SCAN goes through the table in slices;
//! a change counts if it is behind the walk. The counts of a database lie in it, and come and go with it.
//!
//! What a change costs: of an entry that holds its value, a change tells by how many bytes the allocation grew, and
//! mostly that is 0 and nothing else happens. Weighing a large collection takes longer than most changes of it, so it is
//! weighed before the first change only and *open* from then on: what it weighs now is asked for when somebody wants to
//! know, and after a tenth of a second, or some tenths if many are open.
//!
//! Without prefixes each change costs one comparison.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

use super::Keyspace;
use super::db::Db;
use super::table::{SCAN_BITS, Table};
use crate::base::hash::Seed;
use crate::value::entry::{Entry, Payload};
use crate::value::usage;

/// Elements of a collection that are weighed, as MEMORY USAGE does.
const SAMPLES: usize = 5;
/// The place in the table, which MEMORY USAGE counts too.
const SLOT: u64 = size_of::<usize>() as u64;
/// Large collections of one database that are open at one time: no more than are weighed in 2 ms, when somebody wants to
/// know. Others are weighed before and after each change, which may be half of what the change costs.
const OPEN_MAX: usize = 2048;
/// So many of them are weighed and closed at a time otherwise, the oldest first.
const CLOSE_MAX: usize = 512;
/// Collections with longer keys are weighed before and after each change, because an open one's key is kept.
const OPEN_KEY_MAX: usize = 1024;

/// What a tracked entry weighs.
fn weight_of(entry: &Entry) -> usize {
    usage::of_entry(entry, SAMPLES)
}

/// A prefix of a key in the form in which keys are compared with it.
#[derive(Debug)]
struct Probe {
    /// The first eight bytes, in a shorter one with zeros behind them.
    word: u64,
    /// Those bits of `word` that are the prefix's.
    mask: u64,
    /// What comes behind these eight bytes.
    rest: Box<[u8]>,
    len: usize,
    /// Its place in the list.
    at: usize,
}

impl Probe {
    fn new(at: usize, prefix: &[u8]) -> Probe {
        Probe {
            word: first_word(prefix),
            mask: first_word(&[0xff; 8][..prefix.len().min(8)]),
            rest: prefix.get(8..).unwrap_or_default().into(),
            len: prefix.len(),
            at,
        }
    }

    #[inline]
    fn matches(&self, word: u64, key: &[u8]) -> bool {
        (word ^ self.word) & self.mask == 0
            && key.len() >= self.len
            && (self.rest.is_empty() || key[8..].starts_with(&self.rest))
    }
}

/// The first eight bytes of a text, with zeros behind a shorter one.
#[inline]
fn first_word(text: &[u8]) -> u64 {
    match text.first_chunk() {
        Some(word) => u64::from_le_bytes(*word),
        None => {
            let bytes = text.iter().rev();
            bytes.fold(0, |word, byte| word << 8 | u64::from(*byte))
        }
    }
}

/// All prefixes, so that a key is compared with few of them.
#[derive(Debug, Default)]
struct Probes {
    /// Those of no length, which every key has, and then the others in the order of their first byte.
    list: Vec<Probe>,
    /// How many are of no length.
    bare: usize,
    /// Of each first byte, where its probes begin and end.
    places: Vec<(usize, usize)>,
}

impl Probes {
    fn new(patterns: &[Vec<u8>]) -> Probes {
        let bare = |pattern: &'_ Vec<u8>| pattern.strip_suffix(b"*").unwrap_or(pattern).to_vec();
        let mut prefixes: Vec<(usize, Vec<u8>)> = patterns.iter().map(bare).enumerate().collect();
        let first = |prefix: &[u8]| prefix.first().copied();
        prefixes.sort_by_key(|(_, prefix)| first(prefix));
        let begin = |byte: u8| prefixes.partition_point(|(_, p)| first(p) < Some(byte));
        let end = |byte: u8| prefixes.partition_point(|(_, p)| first(p) <= Some(byte));
        Probes {
            list: prefixes.iter().map(|(at, p)| Probe::new(*at, p)).collect(),
            bare: begin(0),
            places: (0..=u8::MAX).map(|byte| (begin(byte), end(byte))).collect(),
        }
    }

    /// Calls with the place of each prefix that the key has.
    #[inline]
    fn find(&self, key: &[u8], mut found: impl FnMut(usize)) {
        self.list[..self.bare].iter().for_each(|p| found(p.at));
        let Some(first) = key.first() else {
            return;
        };
        let (from, to) = self.places[usize::from(*first)];
        if from == to {
            return;
        }
        let word = first_word(key);
        for probe in &self.list[from..to] {
            if probe.matches(word, key) {
                found(probe.at);
            }
        }
    }
}

/// The prefixes that are tracked.
#[derive(Debug, Default)]
pub struct Prefixes {
    /// As they were given.
    patterns: Vec<Vec<u8>>,
    probes: Probes,
    /// What was done with the keys of each.
    operations: Vec<u64>,
    /// Which list this is; no other of the process has that number.
    generation: u64,
}

impl Prefixes {
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Tracks these from now on. Nothing happens if they are tracked already.
    pub fn set(&mut self, patterns: &[Vec<u8>]) {
        static GENERATION: AtomicU64 = AtomicU64::new(0);
        if self.patterns == patterns {
            return;
        }
        self.probes = Probes::new(patterns);
        self.patterns = patterns.to_vec();
        self.operations = vec![0; patterns.len()];
        self.generation = GENERATION.fetch_add(1, Ordering::Relaxed) + 1;
    }

    fn tracks(&self, key: &[u8]) -> bool {
        let mut any = false;
        self.probes.find(key, |_| any = true);
        any
    }

    /// Counts an operation on a key.
    pub fn operation(&mut self, key: &[u8]) {
        self.probes.find(key, |at| self.operations[at] += 1);
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    keys: i64,
    bytes: i64,
}

impl Count {
    fn add(&mut self, keys: i64, bytes: i64) {
        self.keys += keys;
        self.bytes += bytes;
    }
}

/// A large collection that changes.
#[derive(Debug)]
struct Open {
    key: Box<[u8]>,
    /// With what it is counted.
    weight: usize,
}

/// What is to be known of an entry before it is changed.
#[must_use]
pub enum Before {
    /// Bytes that its pointers lead to.
    Beyond(usize),
    /// It is weighed later, or is not counted.
    Later,
}

/// Counts of one database.
#[derive(Debug, Default)]
pub struct Tally {
    counts: Vec<Count>,
    /// The list of prefixes that they are of; 0: of none.
    generation: u64,
    /// Places in the order of SCAN below this one are counted.
    passed: u64,
    /// Large collections that changed since they were weighed, by their hashes.
    open: HashMap<u64, Open, BuildHasherDefault<Hashed>>,
    /// In this order they were opened; some are closed again.
    order: VecDeque<u64>,
}

/// What is hashed already.
#[derive(Debug, Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes
            .iter()
            .fold(self.0, |hash, byte| hash << 8 ^ u64::from(*byte));
    }
}

/// Behind all places.
const ALL: u64 = 1 << SCAN_BITS;

fn place(hash: u64) -> u64 {
    hash >> (64 - SCAN_BITS)
}

impl Tally {
    #[inline]
    fn counts(&self, prefixes: &Prefixes, hash: u64) -> bool {
        self.generation == prefixes.generation && place(hash) < self.passed
    }

    fn add(&mut self, prefixes: &Prefixes, key: &[u8], keys: i64, bytes: i64) {
        prefixes
            .probes
            .find(key, |at| self.counts[at].add(keys, bytes));
    }

    /// Begins to change an entry.
    #[inline]
    pub fn begin(&mut self, prefixes: &Prefixes, hash: u64, entry: &Entry) -> Before {
        if prefixes.is_empty() || !entry.has_pointer() {
            return Before::Beyond(0);
        }
        self.begin_large(prefixes, hash, entry)
    }

    fn begin_large(&mut self, prefixes: &Prefixes, hash: u64, entry: &Entry) -> Before {
        if !self.counts(prefixes, hash) {
            return Before::Later;
        }
        if self.open.contains_key(&hash) {
            return Before::Later;
        }
        let key = entry.key();
        if !prefixes.tracks(key) {
            return Before::Later;
        }
        let cannot_open = self.open.len() >= OPEN_MAX || key.len() > OPEN_KEY_MAX;
        if cannot_open || matches!(entry.payload(), Payload::Big(_)) {
            return Before::Beyond(usage::beyond(entry, SAMPLES));
        }
        let open = Open {
            key: key.into(),
            weight: weight_of(entry),
        };
        self.open.insert(hash, open);
        self.order.push_back(hash);
        Before::Later
    }

    /// The entry was changed, and its own allocation grew by so many bytes.
    #[inline]
    pub fn end(
        &mut self,
        prefixes: &Prefixes,
        hash: u64,
        entry: &Entry,
        before: Before,
        grown: isize,
    ) {
        let Before::Beyond(before) = before else {
            // A value without a pointer would be asked no more whether it is open.
            if !entry.has_pointer()
                && let Some(weight) = self.close(hash)
            {
                let more = weight_of(entry) as i64 - weight as i64;
                self.add(prefixes, entry.key(), 0, more);
            }
            return;
        };
        let is_still = before == 0 && grown == 0 && !entry.has_pointer();
        if !is_still && !prefixes.is_empty() {
            let after = usage::beyond(entry, SAMPLES);
            let bytes = grown as i64 + after as i64 - before as i64;
            if self.counts(prefixes, hash) {
                self.add(prefixes, entry.key(), 0, bytes);
            }
        }
    }

    /// An entry came.
    pub fn came(&mut self, prefixes: &Prefixes, hash: u64, entry: &Entry) {
        if !prefixes.is_empty() && self.counts(prefixes, hash) && prefixes.tracks(entry.key()) {
            self.add(prefixes, entry.key(), 1, weight_of(entry) as i64);
        }
    }

    /// An entry went.
    pub fn went(&mut self, prefixes: &Prefixes, hash: u64, entry: &Entry) {
        if !prefixes.is_empty() && self.counts(prefixes, hash) && prefixes.tracks(entry.key()) {
            let weight = self.close(hash).unwrap_or_else(|| weight_of(entry));
            self.add(prefixes, entry.key(), -1, -(weight as i64));
        }
    }

    /// With what an open collection is counted, which is not open any more.
    fn close(&mut self, hash: u64) -> Option<usize> {
        self.open.remove(&hash).map(|open| open.weight)
    }

    /// Calls with the key of each open collection and what it weighs more than it is counted with.
    fn differences(&self, table: &Table<Entry>, found: &mut dyn FnMut(&Open, i64)) {
        for (hash, open) in &self.open {
            if let Some(entry) = table.get(*hash, &open.key) {
                found(open, weight_of(entry) as i64 - open.weight as i64);
            }
        }
    }

    /// Weighs what has been open for longest, and closes it.
    fn settle(&mut self, table: &Table<Entry>, prefixes: &Prefixes) {
        let mut left = CLOSE_MAX;
        while left > 0
            && let Some(hash) = self.order.pop_front()
        {
            let Some(open) = self.open.remove(&hash) else {
                continue;
            };
            left -= 1;
            if let Some(entry) = table.get(hash, &open.key) {
                let more = weight_of(entry) as i64 - open.weight as i64;
                self.add(prefixes, &open.key, 0, more);
            }
        }
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
            self.counts = vec![Count::default(); prefixes.patterns.len()];
            (self.generation, self.passed) = (prefixes.generation, 0);
            (self.open, self.order) = (HashMap::default(), VecDeque::new());
        }
        while self.passed < ALL {
            if is_over() {
                return false;
            }
            let from = self.passed;
            let next = table.scan(from, &mut |entry: &Entry| {
                // A segment that was merged meanwhile begins before `from`.
                if prefixes.tracks(entry.key()) && place(seed.hash_bytes(entry.key())) >= from {
                    self.add(prefixes, entry.key(), 1, weight_of(entry) as i64);
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
        self.dbs.iter_mut().all(|db| {
            let complete = db.tally.walk(&db.table, prefixes, seed, is_over);
            db.tally.settle(&db.table, prefixes);
            complete
        })
    }

    /// The counts of all prefixes, and whether they are complete.
    pub fn prefix_rows(&self) -> (Vec<Row>, bool) {
        let prefixes = &self.prefixes;
        let mut sums = vec![Count::default(); prefixes.patterns.len()];
        let current = |db: &&Db| db.tally.generation == prefixes.generation;
        for db in self.dbs.iter().filter(current) {
            for (sum, count) in sums.iter_mut().zip(&db.tally.counts) {
                sum.add(count.keys, count.bytes);
            }
            db.tally.differences(&db.table, &mut |open, more| {
                prefixes.probes.find(&open.key, |at| sums[at].add(0, more));
            });
        }
        let rows = sums
            .iter()
            .zip(&prefixes.patterns)
            .zip(&prefixes.operations);
        let rows = rows.map(|((sum, pattern), operations)| {
            let keys = sum.keys.max(0) as u64;
            Row {
                pattern: pattern.clone(),
                keys,
                bytes: sum.bytes.max(0) as u64 + keys * SLOT,
                operations: *operations,
            }
        });
        let complete = |db: &Db| db.tally.is_complete(prefixes);
        (rows.collect(), self.dbs.iter().all(complete))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::testing::Bench;

    /// The bytes that are kept, and those that there are.
    fn bytes(bench: &Bench) -> (u64, u64) {
        let (rows, _) = bench.server.ks.prefix_rows();
        let entries = bench.server.ks.dbs[0].table.iter();
        (
            rows[0].bytes,
            entries.map(|e| weight_of(e) as u64 + SLOT).sum(),
        )
    }

    #[test]
    fn more_collections_than_can_be_open_are_counted_exactly() {
        let mut bench = Bench::new();
        bench.say("CONFIG SET hash-max-listpack-entries 1");
        bench.say("CONFIG SET track-prefix h:");
        bench.server.ks.count_prefixes(&mut || false);
        for round in 0..2 {
            for n in 0..OPEN_MAX + 300 {
                bench.say(&format!("HSET h:{n} a 1 b 2 c{round} 3"));
            }
            let (kept, there) = bytes(&bench);
            assert_eq!(kept, there, "round {round}");
        }
        let tally = |bench: &Bench| {
            let tally = &bench.server.ks.dbs[0].tally;
            (tally.open.len(), tally.order.len())
        };
        assert_eq!(tally(&bench), (OPEN_MAX, OPEN_MAX));
        // One that is closed and opened again does not stay in the order.
        for n in 0..1000 {
            bench.say("DEL h:0");
            bench.say(&format!("HSET h:0 a 1 b 2 c {n}"));
            bench.say("HSET h:0 d 1");
        }
        for _ in 0..=OPEN_MAX / CLOSE_MAX {
            bench.server.ks.count_prefixes(&mut || false);
            let (kept, there) = bytes(&bench);
            assert_eq!(kept, there);
        }
        assert_eq!(tally(&bench), (0, 0));
    }
}
