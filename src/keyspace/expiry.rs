//! The index of deadlines: hints that say "look at this key at that time".
//!
//! A hint is the key's hash, 8 bytes, in a bucket of time. Buckets are fine near the present and
//! coarse far away; a coarse bucket that comes due spreads over finer ones. A hint never says
//! *that* a key ends, only that it has to be looked at: the deadline stands in the entry alone.
//! So a key whose deadline moves later needs no change here: its old hint fires early and is put
//! where it belongs then. Every entry knows whether it has a hint at or before its deadline
//! ([`Entry::is_hinted`](crate::value::entry::Entry::is_hinted)).
//!
//! Hints of keys that are gone are swept out when they outnumber the volatile keys.

use std::collections::BTreeMap;

use crate::base::rng::Rng;

/// Hints per chunk of a bucket: growing a bucket never copies more than one chunk.
const CHUNK: usize = 512;

/// Bucket widths in ms with the distance up to which they are used.
const WIDTHS: [(i64, i64); 4] =
    [(16, 4_096), (1_024, 262_144), (65_536, 16_777_216), (4_194_304, i64::MAX)];

#[derive(Default)]
struct Bucket {
    chunks: Vec<Vec<u64>>,
}

impl Bucket {
    fn push(&mut self, hash: u64) {
        match self.chunks.last_mut() {
            Some(chunk) if chunk.len() < CHUNK => chunk.push(hash),
            _ => self.chunks.push(vec![hash]),
        }
    }

    fn pop(&mut self) -> Option<u64> {
        let chunk = self.chunks.last_mut()?;
        let hash = chunk.pop();
        if chunk.is_empty() {
            self.chunks.pop();
        }
        hash
    }
}

/// Hints of one database by time.
#[derive(Default)]
pub struct ExpiryIndex {
    /// By the time in ms at which a bucket comes due: the begin of its span for coarse ones (to
    /// be spread), the end of its span for the finest (all of it has passed).
    buckets: BTreeMap<i64, Bucket>,
    hints: usize,
}

impl ExpiryIndex {
    /// Hints held, stale ones included.
    pub fn len(&self) -> usize {
        self.hints
    }

    pub fn is_empty(&self) -> bool {
        self.hints == 0
    }

    /// Asks for a look at `hash` at `deadline_ms`, or shortly before if that is far away.
    pub fn add(&mut self, hash: u64, deadline_ms: i64, now_ms: i64) {
        let distance = deadline_ms.saturating_sub(now_ms);
        let &(width, _) =
            WIDTHS.iter().find(|(_, reach)| distance < *reach).unwrap_or(&WIDTHS[WIDTHS.len() - 1]);
        let begin = deadline_ms - deadline_ms.rem_euclid(width);
        let due = if width == WIDTHS[0].0 { begin.saturating_add(width) } else { begin };
        // A coarse bucket that began already would fire again and again until its deadline.
        let due = if due <= now_ms && deadline_ms > now_ms { deadline_ms } else { due };
        self.buckets.entry(due).or_default().push(hash);
        self.hints += 1;
    }

    /// Takes one hint that is due, if any. The caller looks at the key and, if its deadline is
    /// later, adds it again.
    pub fn take_due(&mut self, now_ms: i64) -> Option<u64> {
        let mut first = self.buckets.first_entry()?;
        if *first.key() > now_ms {
            return None;
        }
        let hash = first.get_mut().pop();
        if first.get().chunks.is_empty() {
            first.remove();
        }
        self.hints -= usize::from(hash.is_some());
        hash
    }

    /// When the next hint is due, in unix ms.
    pub fn next_due(&self) -> Option<i64> {
        self.buckets.first_key_value().map(|(due, _)| *due)
    }

    /// A random hint, not quite uniform; it may be stale.
    pub fn random_hint(&self, rng: &mut Rng) -> Option<u64> {
        let (first, last) =
            (*self.buckets.first_key_value()?.0, *self.buckets.last_key_value()?.0);
        let span = last.abs_diff(first).saturating_add(1);
        let at = first.saturating_add_unsigned(rng.below(span));
        let (_, bucket) = self.buckets.range(at..).next().or(self.buckets.first_key_value())?;
        let chunk = &bucket.chunks[rng.below(bucket.chunks.len() as u64) as usize];
        Some(chunk[rng.below(chunk.len() as u64) as usize])
    }

    /// Drops the hints of up to one chunk that `keep` does not want, going round by `cursor`
    /// (a due time to go on from). Returns the cursor for the next call.
    pub fn sweep(&mut self, cursor: (i64, usize), keep: &mut impl FnMut(u64) -> bool) -> (i64, usize) {
        let Some((&due, bucket)) = self.buckets.range_mut(cursor.0..).next() else {
            return (i64::MIN, 0);
        };
        let at = if due == cursor.0 { cursor.1 } else { 0 };
        let Some(chunk) = bucket.chunks.get_mut(at) else {
            return (due.saturating_add(1), 0);
        };
        let before = chunk.len();
        chunk.retain(|&hash| keep(hash));
        self.hints -= before - chunk.len();
        if chunk.is_empty() {
            bucket.chunks.swap_remove(at);
            if bucket.chunks.is_empty() {
                self.buckets.remove(&due);
            }
            return (due, at);
        }
        (due, at + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hint_comes_due_not_later_than_a_bucket_after_its_deadline() {
        let mut rng = Rng::new(3);
        let mut index = ExpiryIndex::default();
        let start = 1_700_000_000_000i64;
        let mut deadlines = Vec::new();
        for hash in 0..5000u64 {
            let far = 1i64 << rng.below(26);
            let deadline = start + 1 + rng.below(far as u64) as i64;
            deadlines.push(deadline);
            index.add(hash, deadline, start);
        }
        let mut fired = vec![0i64; 5000];
        let mut now = start;
        while let Some(due) = index.next_due() {
            now = now.max(due);
            while let Some(hash) = index.take_due(now) {
                let deadline = deadlines[hash as usize];
                if deadline > now {
                    index.add(hash, deadline, now);
                } else {
                    assert_eq!(fired[hash as usize], 0);
                    fired[hash as usize] = now;
                }
            }
        }
        assert!(index.is_empty());
        for (fired, deadline) in fired.iter().zip(&deadlines) {
            assert!((0..=16).contains(&(fired - deadline)), "{fired} {deadline}");
        }
    }

    #[test]
    fn sweep_drops_what_is_not_wanted() {
        let mut index = ExpiryIndex::default();
        for hash in 0..10_000u64 {
            index.add(hash, 1_000_000 + (hash as i64 % 7) * 100_000, 0);
        }
        let mut cursor = (i64::MIN, 0);
        loop {
            cursor = index.sweep(cursor, &mut |hash| hash % 10 == 0);
            if cursor.0 == i64::MIN {
                break;
            }
        }
        assert_eq!(index.len(), 1000);
    }
}
