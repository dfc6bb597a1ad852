//! The keyed hash of keys, fields and members.
//!
//! One [`Seed`] serves the whole process: it is drawn at start, so that nobody outside can make
//! keys that collide. Tests and simulations take a fixed one, so that every run can be replayed.

use std::hash::{BuildHasher, Hasher};
use std::sync::OnceLock;

use ahash::RandomState;

/// The state of the keyed hash. All 64 bits of a hash are of equal worth: tables consume the high
/// bits as the position and keep the low byte as a tag.
#[derive(Clone)]
pub struct Seed(RandomState);

static PROCESS: OnceLock<Seed> = OnceLock::new();

impl Seed {
    /// A seed from the system's source of randomness; where that fails, from addresses and the clock.
    pub fn random() -> Seed {
        let mut keys = [0u64; 4];
        for key in &mut keys {
            *key = getrandom::u64().unwrap_or_else(|_| fallback());
        }
        Seed(RandomState::with_seeds(keys[0], keys[1], keys[2], keys[3]))
    }

    /// A seed that is the same in every run.
    pub fn fixed(n: u64) -> Seed {
        let mixed = n ^ 0x9e37_79b9_7f4a_7c15;
        Seed(RandomState::with_seeds(
            mixed,
            mixed.rotate_left(17) ^ 0xd1b5_4a32_d192_ed03,
            mixed.rotate_left(31) ^ 0x8cb9_2ba7_2f3d_8dd7,
            mixed.rotate_left(47) ^ 0xaef1_7502_108e_f2d9,
        ))
    }

    /// The seed of this process: random unless [`Seed::set_process`] came first.
    pub fn process() -> &'static Seed {
        PROCESS.get_or_init(Seed::random)
    }

    /// Fixes the seed of this process; false where it is in use already.
    pub fn set_process(seed: Seed) -> bool {
        PROCESS.set(seed).is_ok()
    }

    /// The hash of a key, field or member.
    #[inline]
    pub fn hash_bytes(&self, bytes: &[u8]) -> u64 {
        let mut hasher = self.0.build_hasher();
        hasher.write(bytes);
        hasher.finish()
    }

    /// The hash of an integer that stands for itself (not for its digits).
    #[inline]
    pub fn hash_u64(&self, n: u64) -> u64 {
        let mut hasher = self.0.build_hasher();
        hasher.write_u64(n);
        hasher.finish()
    }
}

impl Default for Seed {
    fn default() -> Self {
        Seed::process().clone()
    }
}

impl BuildHasher for Seed {
    type Hasher = ahash::AHasher;

    #[inline]
    fn build_hasher(&self) -> ahash::AHasher {
        self.0.build_hasher()
    }
}

/// The map of the standard library with the process' seed, for what is looked up with every command.
pub type SeededMap<K, V> = std::collections::HashMap<K, V, Seed>;

/// Only for systems without any source of randomness: hard to guess, but no more than that.
fn fallback() -> u64 {
    let stack = 0u8;
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |d| d.as_nanos() as u64);
    let address = (&raw const stack).addr() as u64;
    now.wrapping_mul(0x9e37_79b9_7f4a_7c15)
        ^ address.rotate_left(32)
        ^ u64::from(std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Chi-square of `N` keys over 256 buckets; 255 is expected, 400 is out of all likelihood.
    fn chi_square(bucket: impl Fn(u64) -> u8) -> f64 {
        const N: u64 = 65_536;
        let seed = Seed::fixed(1);
        let mut counts = [0f64; 256];
        for n in 0..N {
            let hash = seed.hash_bytes(format!("key:{n:012}").as_bytes());
            counts[bucket(hash) as usize] += 1.0;
        }
        let expected = N as f64 / 256.0;
        counts
            .iter()
            .map(|c| (c - expected).powi(2) / expected)
            .sum()
    }

    #[test]
    fn every_byte_of_the_hash_is_evenly_spread() {
        for shift in (0..64).step_by(8) {
            let x = chi_square(|hash| (hash >> shift) as u8);
            assert!((150.0..400.0).contains(&x), "bits {shift}..: {x}");
        }
    }

    #[test]
    fn integers_and_short_strings_spread_too() {
        let seed = Seed::fixed(2);
        let mut seen = [0u32; 64];
        for n in 0..6400u64 {
            seen[(seed.hash_u64(n) >> 58) as usize] += 1;
            seen[(seed.hash_bytes(&n.to_le_bytes()[..2]) >> 58) as usize] += 1;
        }
        assert!(seen.iter().all(|&n| (140..260).contains(&n)), "{seen:?}");
    }

    #[test]
    fn seeds_decide_the_hash() {
        assert_eq!(
            Seed::fixed(7).hash_bytes(b"a"),
            Seed::fixed(7).hash_bytes(b"a")
        );
        assert_ne!(
            Seed::fixed(7).hash_bytes(b"a"),
            Seed::fixed(8).hash_bytes(b"a")
        );
        assert_ne!(
            Seed::random().hash_bytes(b"a"),
            Seed::random().hash_bytes(b"a")
        );
        assert_ne!(
            Seed::fixed(7).hash_bytes(b""),
            Seed::fixed(7).hash_bytes(b"\0")
        );
        let process = Seed::process();
        assert!(!Seed::set_process(Seed::fixed(1)));
        assert_eq!(process.hash_bytes(b"k"), Seed::process().hash_bytes(b"k"));
    }
}
