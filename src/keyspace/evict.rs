//! Which keys go when memory is short: access clocks (LRU, LFU) and the choice of victims.
//!
//! The clock of an entry has 24 bits. LRU keeps seconds. LFU keeps the minute of the last
//! access in the upper 16 bits and a logarithmic counter in the lower 8, as Redis does
//! ("Using Redis as an LRU cache", section on the LFU mode).

use super::{Keys, Keyspace};
use crate::base::rng::Rng;
use crate::value::entry::Entry;

/// Seconds that fit a clock.
const LRU_MASK: i64 = 0xff_ffff;
/// Counter of a new key under LFU, so that it survives its first minutes.
pub const LFU_INIT: u32 = 5;

pub use crate::config::enums::MaxMemoryPolicy as Policy;

impl Policy {
    pub fn is_lfu(self) -> bool {
        matches!(self, Policy::AllKeysLfu | Policy::VolatileLfu)
    }

    /// Whether victims are chosen by their access clock.
    pub fn uses_clock(self) -> bool {
        self.is_lfu() || matches!(self, Policy::AllKeysLru | Policy::VolatileLru)
    }

    fn volatile_only(self) -> bool {
        matches!(
            self,
            Policy::VolatileLru
                | Policy::VolatileLfu
                | Policy::VolatileRandom
                | Policy::VolatileTtl
        )
    }
}

/// More keys than this are never compared: the choice would be hardly better, and every write would pay for it.
pub const SAMPLES_MAX: usize = 64;

/// How accesses are recorded and victims chosen.
#[derive(Clone, Copy, Debug)]
pub struct Access {
    pub policy: Policy,
    /// `maxmemory-samples`.
    pub samples: usize,
    /// `lfu-log-factor`.
    pub lfu_log_factor: u32,
    /// `lfu-decay-time` in minutes; 0: never.
    pub lfu_decay_min: u32,
}

impl Default for Access {
    fn default() -> Self {
        Access {
            policy: Policy::NoEviction,
            samples: 5,
            lfu_log_factor: 10,
            lfu_decay_min: 1,
        }
    }
}

impl Access {
    /// Clock of a key that is created now.
    pub fn fresh(&self, now_ms: i64) -> u32 {
        if self.policy.is_lfu() {
            minutes(now_ms) << 8 | LFU_INIT
        } else {
            seconds(now_ms)
        }
    }

    /// Notes in a key's entry that it is accessed now.
    #[inline]
    pub fn touch(&self, entry: &Entry, now_ms: i64, rng: &mut Rng) {
        entry.set_clock(self.touched(entry.clock(), now_ms, || rng.unit()));
    }

    /// Clock of a key that is accessed now; `dice` is uniform in [0, 1).
    #[inline]
    fn touched(&self, clock: u32, now_ms: i64, dice: impl FnOnce() -> f64) -> u32 {
        if !self.policy.is_lfu() {
            return seconds(now_ms);
        }
        let counter = self.lfu_counter(clock, now_ms);
        minutes(now_ms) << 8 | self.lfu_increment(counter, dice)
    }

    /// The counter after decay.
    pub fn lfu_counter(&self, clock: u32, now_ms: i64) -> u32 {
        let counter = clock & 0xff;
        if self.lfu_decay_min == 0 {
            return counter;
        }
        let idle = minutes(now_ms).wrapping_sub(clock >> 8) & 0xffff;
        counter.saturating_sub(idle / self.lfu_decay_min)
    }

    fn lfu_increment(&self, counter: u32, dice: impl FnOnce() -> f64) -> u32 {
        if counter == 255 {
            return 255;
        }
        let above = counter.saturating_sub(LFU_INIT);
        let odds = 1.0 / (f64::from(above) * f64::from(self.lfu_log_factor) + 1.0);
        counter + u32::from(dice() < odds)
    }

    /// Seconds since the last access, under an LRU policy.
    pub fn idle_s(&self, clock: u32, now_ms: i64) -> i64 {
        i64::from(seconds(now_ms).wrapping_sub(clock)) & LRU_MASK
    }

    /// A clock that says `idle_s` seconds without access (RESTORE IDLETIME, tests).
    pub fn clock_of_idle(&self, idle_s: i64, now_ms: i64) -> u32 {
        ((now_ms / 1000 - idle_s) & LRU_MASK) as u32
    }

    /// A clock with this LFU counter, accessed now.
    pub fn clock_of_counter(&self, counter: u8, now_ms: i64) -> u32 {
        minutes(now_ms) << 8 | u32::from(counter)
    }

    /// How good a victim the entry is: higher is better.
    fn badness(&self, entry: &Entry, now_ms: i64) -> u64 {
        match self.policy {
            Policy::AllKeysLfu | Policy::VolatileLfu => {
                255 - u64::from(self.lfu_counter(entry.clock(), now_ms))
            }
            Policy::VolatileTtl => u64::MAX - entry.expire().map_or(0, |ms| ms.max(0) as u64),
            _ => self.idle_s(entry.clock(), now_ms) as u64,
        }
    }
}

fn seconds(now_ms: i64) -> u32 {
    ((now_ms / 1000) & LRU_MASK) as u32
}

fn minutes(now_ms: i64) -> u32 {
    ((now_ms / 60_000) & 0xffff) as u32
}

/// The best victims seen so far, best last; kept between evictions, as Redis does, so that a
/// small sample each time comes close to a true order.
#[derive(Default)]
pub struct Pool {
    /// What the candidates were rated by.
    policy: Option<Policy>,
    candidates: Vec<(u64, usize, Vec<u8>)>,
}

/// Candidates that the pool keeps.
const POOL_SIZE: usize = 16;

impl Pool {
    fn offer(&mut self, badness: u64, db: usize, key: &[u8]) {
        if self.candidates.len() == POOL_SIZE && badness <= self.candidates[0].0 {
            return;
        }
        if self.candidates.iter().any(|(_, d, k)| *d == db && k == key) {
            return;
        }
        let at = self.candidates.partition_point(|(b, _, _)| *b < badness);
        self.candidates.insert(at, (badness, db, key.to_vec()));
        if self.candidates.len() > POOL_SIZE {
            self.candidates.remove(0);
        }
    }

    /// Takes the next victim that still exists and fits the policy.
    fn take(&mut self, ks: &Keyspace) -> Option<(usize, Vec<u8>)> {
        while let Some((_, db, key)) = self.candidates.pop() {
            let hash = ks.seed.hash_bytes(&key);
            let found = ks.dbs.get(db).and_then(|d| d.table.get(hash, &key));
            if found.is_some_and(|e| !ks.access.policy.volatile_only() || e.expire().is_some()) {
                return Some((db, key));
            }
        }
        None
    }
}

impl Keyspace {
    /// Removes the best victim of the policy. False if there is none.
    pub fn evict_one(&mut self, pool: &mut Pool) -> bool {
        let victim = match self.access.policy {
            Policy::NoEviction => None,
            Policy::AllKeysRandom | Policy::VolatileRandom => self.random_victim(),
            _ => {
                self.fill(pool);
                pool.take(self)
            }
        };
        let Some((db, key)) = victim else {
            return false;
        };
        Keys::new(self, db).evict(&key)
    }

    fn fill(&mut self, pool: &mut Pool) {
        let (access, now) = (self.access, self.now_ms);
        if pool.policy != Some(access.policy) {
            *pool = Pool {
                policy: Some(access.policy),
                ..Pool::default()
            };
        }
        for (index, db) in self.dbs.iter().enumerate() {
            let mut offer = |entry: &Entry| {
                pool.offer(access.badness(entry, now), index, entry.key());
            };
            if access.policy.volatile_only() {
                sample_volatile(db, &self.seed, &mut self.rng, access.samples, &mut offer);
            } else {
                db.table
                    .sample(&mut || self.rng.next_u64(), access.samples, &mut offer);
            }
        }
    }

    fn random_victim(&mut self) -> Option<(usize, Vec<u8>)> {
        let volatile = self.access.policy.volatile_only();
        let start = self.rng.below(self.dbs.len() as u64) as usize;
        for step in 0..self.dbs.len() {
            let index = (start + step) % self.dbs.len();
            let db = &self.dbs[index];
            let mut victim = None;
            let mut keep = |entry: &Entry| victim = Some(entry.key().to_vec());
            if volatile {
                sample_volatile(db, &self.seed, &mut self.rng, 1, &mut keep);
            } else if let Some(entry) = db.table.random(&mut || self.rng.next_u64()) {
                keep(entry);
            }
            if let Some(key) = victim {
                return Some((index, key));
            }
        }
        None
    }
}

/// Shows about `n` random volatile entries, one at least if there is one: from the table if they
/// are many of it, else from the expiry index.
fn sample_volatile(
    db: &super::db::Db,
    seed: &crate::base::hash::Seed,
    rng: &mut crate::base::rng::Rng,
    n: usize,
    f: &mut impl FnMut(&Entry),
) {
    if db.volatile == 0 {
        return;
    }
    let mut left = n;
    if db.volatile >= db.table.len() / 4 {
        for _ in 0..4 {
            db.table.sample(&mut || rng.next_u64(), n, &mut |entry| {
                if left > 0 && entry.expire().is_some() {
                    left -= 1;
                    f(entry);
                }
            });
            if left == 0 {
                return;
            }
        }
    }
    let find = |hash| {
        db.table
            .find_hash(hash, seed)
            .filter(|entry| entry.expire().is_some())
    };
    for _ in 0..n * 8 {
        if left == 0 {
            return;
        }
        if let Some(entry) = db.expiry.random_hint(rng).and_then(find) {
            left -= 1;
            f(entry);
        }
    }
    // Most hints may be stale; that must not look as if no key were volatile.
    if left == n
        && let Some(entry) = db.expiry.iter().find_map(find)
    {
        f(entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lru_idle_time_counts_seconds_and_wraps() {
        let access = Access::default();
        let now = 1_700_000_000_000;
        let clock = access.fresh(now);
        assert_eq!(access.idle_s(clock, now + 10_000), 10);
        assert_eq!(access.idle_s(access.clock_of_idle(77, now), now), 77);
        let wrapped = access.idle_s(clock, now + (LRU_MASK + 6) * 1000);
        assert_eq!(wrapped, 5);
    }

    #[test]
    fn lfu_counter_grows_by_chance_and_decays_by_the_minute() {
        let access = Access {
            policy: Policy::AllKeysLfu,
            ..Access::default()
        };
        let now = 1_700_000_000_000;
        let fresh = access.fresh(now);
        assert_eq!(access.lfu_counter(fresh, now), LFU_INIT);
        let up = access.touched(fresh, now, || 0.0);
        assert_eq!(access.lfu_counter(up, now), LFU_INIT + 1);
        let same = access.touched(up, now, || 0.99);
        assert_eq!(access.lfu_counter(same, now), LFU_INIT + 1);
        assert_eq!(access.lfu_counter(up, now + 3 * 60_000), LFU_INIT - 2);
        assert_eq!(access.lfu_counter(up, now + 90 * 60_000), 0);
    }

    #[test]
    fn the_pool_keeps_the_best_and_each_key_once() {
        let mut pool = Pool::default();
        for n in 0..40u64 {
            pool.offer(n * 7 % 41, 0, format!("k{}", n % 20).as_bytes());
        }
        assert_eq!(pool.candidates.len(), POOL_SIZE);
        assert!(pool.candidates.is_sorted_by_key(|c| c.0));
        let names: std::collections::HashSet<_> = pool.candidates.iter().map(|c| &c.2).collect();
        assert_eq!(names.len(), POOL_SIZE);
    }
}
