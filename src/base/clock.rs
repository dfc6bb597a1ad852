//! Time: a monotonic clock, and wall time derived from it.
//!
//! Timers and deadlines follow the monotonic clock, so that a step of the wall clock neither
//! expires keys in a mass nor keeps them for ever. Small corrections of the wall clock are taken
//! over; a step of more than a minute is reported and ignored.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Steps of the wall clock beyond this are not followed, in µs.
const MAX_STEP_US: i64 = 60_000_000;

/// A source of time for one thread.
#[derive(Clone, Debug)]
pub struct Clock {
    start: Instant,
    /// Unix time in µs at `start`.
    wall_us: i64,
    /// The last ignored step, so that it is reported once.
    ignored_s: i64,
}

fn system_us() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_micros()).unwrap_or(i64::MAX),
    }
}

impl Default for Clock {
    fn default() -> Self {
        Clock {
            start: Instant::now(),
            wall_us: system_us(),
            ignored_s: 0,
        }
    }
}

impl Clock {
    /// Monotonic time in µs since the clock was made.
    #[inline]
    pub fn mono_us(&self) -> i64 {
        self.start.elapsed().as_micros() as i64
    }

    /// Unix time in µs that belongs to a monotonic time.
    #[inline]
    pub fn unix_us(&self, mono_us: i64) -> i64 {
        self.wall_us + mono_us
    }

    /// Makes wall time run ahead, for tests of expiry.
    pub fn skip_ms(&mut self, ms: i64) {
        self.wall_us += ms * 1000;
    }

    /// Compares with the system's wall clock. A small difference is taken over; the seconds of a
    /// large one are returned, once.
    pub fn sync(&mut self) -> Option<i64> {
        self.follow(system_us())
    }

    fn follow(&mut self, system_us: i64) -> Option<i64> {
        let step = system_us - self.unix_us(self.mono_us());
        if step.abs() <= MAX_STEP_US {
            self.wall_us += step;
            self.ignored_s = 0;
            return None;
        }
        let seconds = step / 1_000_000;
        let new = (seconds - self.ignored_s).abs() > 1;
        self.ignored_s = if new { seconds } else { self.ignored_s };
        new.then_some(seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_steps_are_followed_and_large_ones_reported_once() {
        let mut clock = Clock::default();
        let before = clock.unix_us(0);
        assert_eq!(
            clock.follow(clock.unix_us(clock.mono_us()) + 5_000_000),
            None
        );
        assert!((clock.unix_us(0) - before - 5_000_000).abs() < 100_000);
        let far = clock.unix_us(clock.mono_us()) + 3_600_000_000;
        assert!(
            clock
                .follow(far)
                .is_some_and(|s| (3590..=3600).contains(&s))
        );
        assert_eq!(clock.follow(far), None);
        assert!((clock.unix_us(0) - before - 5_000_000).abs() < 100_000);
    }
}
