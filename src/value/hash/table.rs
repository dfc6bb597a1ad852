//! The large form of a hash: a table of entries, and an index of those with an expiry.

use crate::base::hash::Seed;
use crate::keyspace::table::Table;
use crate::value::entry::{Entry, Head, New};
use crate::value::tree::{Item, Tree};

/// When a field ends, and the hash of its name. In the index by both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Deadline {
    at_ms: i64,
    hash: u64,
}

impl Item for Deadline {
    type Key = Deadline;

    fn key(&self) -> &Deadline {
        self
    }
}

/// Fields by hash. `Clone` shares them.
#[derive(Clone, Default)]
pub struct HashTable {
    pub(super) table: Table<Entry>,
    /// One deadline for each field with an expiry. Two fields with the same 64-bit hash and the
    /// same deadline would share one; the later of them would then stay, unseen, for ever.
    deadlines: Tree<Deadline>,
}

impl HashTable {
    /// The table of fields, for fetching ahead.
    pub fn fields(&self) -> &Table<Entry> {
        &self.table
    }
}

impl std::fmt::Debug for HashTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HashTable")
            .field("len", &self.len())
            .field("deadlines", &self.deadlines.len())
            .finish()
    }
}

impl HashTable {
    /// Fields, those whose expiry has passed included.
    #[inline]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    #[inline]
    pub fn get(&self, field: &[u8]) -> Option<&Entry> {
        self.table.get(Seed::process().hash_bytes(field), field)
    }

    /// Sets a field and its expiry; whether the field is new.
    #[inline]
    pub fn set(&mut self, field: &[u8], value: &[u8], expire: Option<i64>) -> bool {
        let seed = Seed::process();
        let hash = seed.hash_bytes(field);
        let mut value = Some(New::string(value));
        let (entry, new) = self.table.find_or_insert_with(hash, field, seed, || {
            let head = Head {
                expire,
                ..Head::default()
            };
            Entry::new(field, head, value.take().unwrap_or(New::None))
        });
        let mut before = None;
        if let Some(value) = value {
            before = entry.expire();
            if before != expire {
                entry.set_expire(expire);
            }
            entry.set_payload(value);
        }
        self.move_deadline(hash, before, expire);
        new
    }

    /// Sets or removes the expiry of a field; false if there is no such field.
    pub fn set_expire(&mut self, field: &[u8], expire: Option<i64>) -> bool {
        let seed = Seed::process();
        let hash = seed.hash_bytes(field);
        let Some(entry) = self.table.get_mut(hash, field, seed) else {
            return false;
        };
        let before = entry.expire();
        if before != expire {
            entry.set_expire(expire);
            self.move_deadline(hash, before, expire);
        }
        true
    }

    /// Removes a field; whether it was there.
    pub fn remove(&mut self, field: &[u8]) -> bool {
        let seed = Seed::process();
        let hash = seed.hash_bytes(field);
        let Some(entry) = self.table.remove(hash, field, seed) else {
            return false;
        };
        self.move_deadline(hash, entry.expire(), None);
        true
    }

    #[inline]
    fn move_deadline(&mut self, hash: u64, before: Option<i64>, after: Option<i64>) {
        if before == after {
            return;
        }
        if let Some(at_ms) = before {
            let deadline = Deadline { at_ms, hash };
            self.deadlines.remove(|key| key.cmp(&deadline));
        }
        if let Some(at_ms) = after {
            super::note_expiry();
            let deadline = Deadline { at_ms, hash };
            // One that is there already serves both fields.
            let _ = self.deadlines.insert(deadline, |key| key.cmp(&deadline));
        }
    }

    /// The earliest expiry of a field.
    pub fn next_expiry(&self) -> Option<i64> {
        self.deadlines.first().map(|deadline| deadline.at_ms)
    }

    /// Fields whose expiry has passed.
    pub fn due_len(&self, now_ms: i64) -> usize {
        if self.deadlines.is_empty() {
            return 0;
        }
        self.deadlines.lower_bound(|key| key.at_ms.cmp(&now_ms)) as usize
    }

    /// Up to `max` fields whose expiry has passed.
    pub(super) fn due(&self, now_ms: i64, max: usize) -> Vec<Vec<u8>> {
        let due = self
            .deadlines
            .iter()
            .take_while(|deadline| now_ms > deadline.at_ms)
            .take(max);
        due.filter_map(|deadline| self.table.find_hash(deadline.hash, Seed::process()))
            .filter(|entry| super::is_past(entry.expire(), now_ms))
            .map(|entry| entry.key().to_vec())
            .collect()
    }

    /// Bytes on the heap, fields estimated from `samples` of them (0: all).
    pub fn memory(&self, samples: usize) -> usize {
        let samples = if samples == 0 {
            self.len()
        } else {
            samples.min(self.len())
        };
        let sum: usize = self.table.iter().take(samples).map(entry_size).sum();
        let fields = (sum as u128 * self.len() as u128)
            .checked_div(samples as u128)
            .unwrap_or(0);
        let deadlines = self.deadlines.len() as usize * size_of::<Deadline>() * 5 / 4;
        size_of::<Self>() + self.table.memory() + fields as usize + deadlines
    }
}

fn entry_size(entry: &Entry) -> usize {
    let big = match entry.payload() {
        crate::value::entry::Payload::Big(big) => big.bytes().len(),
        _ => 0,
    };
    entry.allocated() + big
}
