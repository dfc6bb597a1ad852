//! The index of deadlines: hints that say "look at this key at that time".
//!
//! A hint is the key's hash, 8 bytes, in a bucket of time. Buckets are fine near the present and
//! coarse far away; a coarse bucket is spread over finer ones somewhat before its time begins, when
//! nothing else is due, so that even a million keys in it do not delay the one that ends now.
//! A hint never says *that* a key ends, only that it has to be looked at: the deadline stands in the
//! entry alone. So a key whose deadline moves later needs no change here: its old hint fires early
//! and is put where it belongs then. Every entry knows whether it has a hint at or before its deadline
//! ([`Entry::is_hinted`](crate::value::entry::Entry::is_hinted)).
//!
//! Hints of keys that are gone, and further hints of the same key, stay until they fire or are swept
//! out. Adding pays for sweeping, so that they never outnumber the volatile keys by much.

use std::collections::BTreeMap;

use crate::base::rng::Rng;

/// Hints per chunk of a bucket: growing a bucket never copies more than one chunk.
const CHUNK: usize = 512;

/// A row of buckets.
struct Level {
    /// Span of a bucket in ms.
    width: i64,
    /// Deadlines less than this far away go here.
    reach: i64,
    /// How long before the begin of its span a bucket may be spread. A key that comes to this
    /// level is at least this and a span away.
    lead: i64,
}

const LEVELS: [Level; 4] = [
    Level {
        width: 16,
        reach: 4_096,
        lead: 0,
    },
    Level {
        width: 1_024,
        reach: 262_144,
        lead: 2_000,
    },
    Level {
        width: 65_536,
        reach: 16_777_216,
        lead: 60_000,
    },
    Level {
        width: 4_194_304,
        reach: i64::MAX,
        lead: 1_800_000,
    },
];

/// Fewer stale hints than this are not worth a sweep.
const STALE_MIN: usize = 1024;
/// One sweep of a chunk for so many hints added: four are looked at for each that comes.
const ADDS_PER_SWEEP: u32 = 128;
/// Near buckets hold few hints; one sweep does no more of them than this.
const BUCKETS_PER_SWEEP: usize = 64;

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
}

/// Where the sweep goes on: level, bucket, chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    level: usize,
    time: i64,
    chunk: usize,
}

impl Place {
    fn begin_of(level: usize) -> Place {
        Place {
            level,
            time: i64::MIN,
            chunk: 0,
        }
    }
}

/// Hints of one database by time.
pub struct ExpiryIndex {
    /// For each level its buckets: the finest by the end of their span (all of it has passed
    /// then), the others by its begin.
    levels: [BTreeMap<i64, Bucket>; LEVELS.len()],
    /// The chunk that is being taken, each hash once.
    taking: Vec<u64>,
    hints: usize,
    /// When there is something to take again; `i64::MAX`: never.
    next_due: i64,
    /// Hints added, round and round.
    adds: u32,
    sweep_at: Place,
    /// What the last full round of the sweep left; no new one before it has doubled.
    swept: usize,
}

impl Default for ExpiryIndex {
    fn default() -> Self {
        ExpiryIndex {
            levels: Default::default(),
            taking: Vec::new(),
            hints: 0,
            next_due: i64::MAX,
            adds: 0,
            sweep_at: Place::begin_of(0),
            swept: 0,
        }
    }
}

impl ExpiryIndex {
    /// Hints held, stale ones included.
    pub fn len(&self) -> usize {
        self.hints + self.taking.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Asks for a look at `hash` when `deadline_ms` has passed, or before if that is far away.
    pub fn add(&mut self, hash: u64, deadline_ms: i64, now_ms: i64) {
        let distance = deadline_ms.saturating_sub(now_ms);
        let fits = LEVELS.iter().position(|level| distance < level.reach);
        let at = fits.unwrap_or(LEVELS.len() - 1);
        let level = &LEVELS[at];
        let begin = deadline_ms - deadline_ms.rem_euclid(level.width);
        let time = if at == 0 {
            begin.saturating_add(level.width)
        } else {
            begin
        };
        self.levels[at].entry(time).or_default().push(hash);
        self.hints += 1;
        self.adds = self.adds.wrapping_add(1);
        self.next_due = self.next_due.min(time.saturating_sub(level.lead));
    }

    /// Takes one hint whose time has come. The caller looks at the key and, if its deadline is
    /// later, adds it again.
    #[inline]
    pub fn take_due(&mut self, now_ms: i64) -> Option<u64> {
        self.take(now_ms, false)
    }

    /// Takes one hint of a coarse bucket whose time comes soon, to be added again.
    #[inline]
    pub fn take_early(&mut self, now_ms: i64) -> Option<u64> {
        self.take(now_ms, true)
    }

    #[inline]
    fn take(&mut self, now_ms: i64, early: bool) -> Option<u64> {
        if let Some(hash) = self.taking.pop() {
            return Some(hash);
        }
        if self.next_due > now_ms {
            return None;
        }
        self.open_chunk(now_ms, early);
        self.taking.pop()
    }

    /// Moves the next chunk to `taking`: of the bucket that is due first or, if `early`, of one
    /// whose lead has begun.
    fn open_chunk(&mut self, now_ms: i64, early: bool) {
        let firsts = self.levels.iter().enumerate();
        let firsts = firsts.filter_map(|(at, level)| Some((*level.first_key_value()?.0, at)));
        let ready = |(time, at): &(i64, usize)| {
            let lead = if early { LEVELS[*at].lead } else { 0 };
            time.saturating_sub(lead) <= now_ms
        };
        if let Some((_, at)) = firsts.filter(ready).min()
            && let Some(mut first) = self.levels[at].first_entry()
        {
            let bucket = first.get_mut();
            self.taking = bucket.chunks.pop().unwrap_or_default();
            if bucket.chunks.is_empty() {
                first.remove();
            }
            self.hints -= self.taking.len();
            // Sorted, neighbours in the table come together, and copies of a hint fall out.
            self.taking.sort_unstable();
            self.taking.dedup();
        }
        self.next_due = self.earliest();
    }

    fn earliest(&self) -> i64 {
        let firsts = self.levels.iter().zip(&LEVELS);
        let dues = firsts.filter_map(|(buckets, level)| {
            Some(buckets.first_key_value()?.0.saturating_sub(level.lead))
        });
        dues.min().unwrap_or(i64::MAX)
    }

    /// When the next hint can be taken, in unix ms.
    #[inline]
    pub fn next_due(&self) -> Option<i64> {
        if !self.taking.is_empty() {
            return Some(i64::MIN);
        }
        (self.next_due < i64::MAX).then_some(self.next_due)
    }

    /// A random hint, not quite uniform; it may be stale.
    pub fn random_hint(&self, rng: &mut Rng) -> Option<u64> {
        let filled: smallvec::SmallVec<[_; LEVELS.len()]> = self
            .levels
            .iter()
            .filter(|level| !level.is_empty())
            .collect();
        if filled.is_empty() {
            return self.taking.first().copied();
        }
        let level = filled[rng.below(filled.len() as u64) as usize];
        let (first, last) = (*level.first_key_value()?.0, *level.last_key_value()?.0);
        let span = last.abs_diff(first).saturating_add(1);
        let at = first.saturating_add_unsigned(rng.below(span));
        let (_, bucket) = level.range(at..).next().or(level.first_key_value())?;
        let chunk = &bucket.chunks[rng.below(bucket.chunks.len() as u64) as usize];
        Some(chunk[rng.below(chunk.len() as u64) as usize])
    }

    /// All hints.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        let buckets = self.levels.iter().flat_map(BTreeMap::values);
        let chunks = buckets.flat_map(|bucket| &bucket.chunks);
        chunks.flatten().chain(&self.taking).copied()
    }

    /// Whether hints that are not needed outnumber those that are, by about `needed`.
    pub fn is_littered(&self, needed: usize) -> bool {
        self.hints > 2 * needed + STALE_MIN
    }

    /// Whether this is a moment at which adding pays for a step of the sweep.
    #[inline]
    pub fn owes_sweep(&self, needed: usize) -> bool {
        self.adds.is_multiple_of(ADDS_PER_SWEEP)
            && self.is_littered(needed)
            && (self.hints > 2 * self.swept || self.sweep_at != Place::begin_of(0))
    }

    /// Drops the hints that `keep` does not want, which gets the hash and a time not later than the
    /// one at which the hint fires. Each call does about a chunk, round and round.
    pub fn sweep(&mut self, keep: &mut impl FnMut(u64, i64) -> bool) {
        let mut looked = 0;
        for _ in 0..BUCKETS_PER_SWEEP {
            looked += self.sweep_chunk(keep);
            if looked >= CHUNK {
                return;
            }
        }
    }

    /// Sweeps one chunk. Returns the hints that it held.
    fn sweep_chunk(&mut self, keep: &mut impl FnMut(u64, i64) -> bool) -> usize {
        let Place { level, time, chunk } = self.sweep_at;
        let Some((&found, bucket)) = self.levels[level].range_mut(time..).next() else {
            self.sweep_at = Place::begin_of((level + 1) % LEVELS.len());
            if self.sweep_at.level == 0 {
                self.swept = self.hints;
            }
            return 0;
        };
        let at = if found == time { chunk } else { 0 };
        if at >= bucket.chunks.len() {
            self.sweep_at = Place {
                level,
                time: found.saturating_add(1),
                chunk: 0,
            };
            return 0;
        }
        let mut hints = std::mem::take(&mut bucket.chunks[at]);
        let before = hints.len();
        hints.sort_unstable();
        hints.dedup();
        hints.retain(|&hash| keep(hash, found.saturating_sub(LEVELS[0].width)));
        self.hints -= before - hints.len();
        let mut next = at + 1;
        let joins = at > 0 && bucket.chunks[at - 1].len() + hints.len() <= CHUNK;
        if joins || hints.is_empty() {
            if joins {
                bucket.chunks[at - 1].append(&mut hints);
            }
            bucket.chunks.swap_remove(at);
            next = at;
        } else {
            hints.shrink_to(hints.len().next_power_of_two());
            bucket.chunks[at] = hints;
        }
        if bucket.chunks.is_empty() {
            self.levels[level].remove(&found);
            self.next_due = self.earliest();
        }
        self.sweep_at = Place {
            level,
            time: found,
            chunk: next,
        };
        before
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
            let far = 1i64 << rng.below(36);
            let deadline = start + 1 + rng.below(far as u64) as i64;
            deadlines.push(deadline);
            index.add(hash, deadline, start);
        }
        let mut fired = vec![0i64; 5000];
        let mut now = start;
        let mut takes = 0;
        while let Some(due) = index.next_due() {
            now = now.max(due);
            while let Some(hash) = index.take_due(now).or_else(|| index.take_early(now)) {
                takes += 1;
                let deadline = deadlines[hash as usize];
                if deadline >= now {
                    index.add(hash, deadline, now);
                } else {
                    assert_eq!(fired[hash as usize], 0);
                    fired[hash as usize] = now;
                }
            }
        }
        assert!(index.is_empty());
        for (fired, deadline) in fired.iter().zip(&deadlines) {
            assert!((1..=16).contains(&(fired - deadline)), "{fired} {deadline}");
        }
        assert!(takes <= 4 * 5000, "{takes}");
    }

    #[test]
    fn what_is_due_goes_before_what_is_spread_early() {
        let mut index = ExpiryIndex::default();
        let start = 1_700_000_000_000i64;
        let coarse = (start + 500_000) / 65_536 * 65_536;
        (0..2000u64).for_each(|hash| index.add(hash, coarse + 60_000, start));
        let now = coarse - 30_000;
        assert_eq!(index.take_due(now), None);
        index.add(9999, now - 100, now);
        assert_eq!(index.take_due(now), Some(9999));
        assert_eq!(index.take_due(now), None);
        assert!(index.take_early(now).is_some());
        assert!(index.next_due().is_some_and(|due| due <= now));
    }

    #[test]
    fn extreme_deadlines_are_held() {
        let mut index = ExpiryIndex::default();
        for (hash, deadline) in [i64::MAX, i64::MIN, 0, -1, i64::MAX - 1]
            .into_iter()
            .enumerate()
        {
            index.add(hash as u64, deadline, 1_700_000_000_000);
        }
        let mut due: Vec<u64> = std::iter::from_fn(|| index.take_due(1_700_000_000_000)).collect();
        due.sort_unstable();
        assert_eq!(due, [1, 2, 3]);
        assert_eq!(index.len(), 2);
    }

    #[test]
    fn copies_of_a_hint_fire_once() {
        let mut index = ExpiryIndex::default();
        (0..300).for_each(|_| index.add(7, 1000, 900));
        assert_eq!(index.take_due(2000), Some(7));
        assert_eq!(index.take_due(2000), None);
        assert!(index.is_empty());
        assert_eq!(index.next_due(), None);
    }

    #[test]
    fn sweep_drops_what_is_not_wanted_and_joins_chunks() {
        let mut index = ExpiryIndex::default();
        for hash in 0..10_000u64 {
            index.add(hash, 1_000_000 + (hash as i64 % 7) * 100_000, 0);
            index.add(hash, 1_000_000 + (hash as i64 % 7) * 100_000, 0);
        }
        let chunks = |index: &ExpiryIndex| -> usize {
            index
                .levels
                .iter()
                .flat_map(|l| l.values())
                .map(|b| b.chunks.len())
                .sum()
        };
        let before = chunks(&index);
        for _ in 0..400 {
            index.sweep(&mut |hash, _| hash % 10 == 0);
        }
        assert_eq!(index.len(), 1000);
        assert_eq!(index.iter().count(), 1000);
        assert!(
            chunks(&index) <= before / 5,
            "{} of {before}",
            chunks(&index)
        );
        for _ in 0..200 {
            index.sweep(&mut |_, _| false);
        }
        assert!(index.is_empty());
        assert_eq!(index.next_due(), None);
    }
}
