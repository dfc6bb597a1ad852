//! Time: a monotonic clock, and wall time derived from it.
//!
//! Timers and deadlines follow the monotonic clock, so that a step of the wall clock neither
//! expires keys in a mass nor keeps them for ever. Small corrections of the wall clock are taken
//! over; a step of more than a minute is reported and ignored.
//!
//! Every command asks for the time. So the system's clock is asked once in a millisecond, and in
//! between the processor's counter says how much has passed ([`super::ticks`], where it is to be trusted).

use std::cell::Cell;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::ticks::{self, Rate};

/// Steps of the wall clock beyond this are not followed, in µs.
const MAX_STEP_US: i64 = 60_000_000;
/// The counter is followed for so long, in ns.
const FOLLOW_NS: u64 = 1_000_000;
/// From one look at the clock to the next the counter may go wrong by this part of the time, and by
/// `TOLERANCE_NS` more; otherwise it is not used any more.
const TOLERANCE_PART: u64 = 64;
const TOLERANCE_NS: u64 = 10_000;

/// A source of time for one thread.
#[derive(Clone, Debug)]
pub struct Clock {
    start: Instant,
    /// Unix time in µs at `start`.
    wall_us: i64,
    /// The last ignored step, so that it is reported once.
    ignored_s: i64,
    /// `None`: the counter is not to be trusted.
    rate: Cell<Option<Rate>>,
    /// Counter and ns since `start` at the last look at the clock.
    anchor: Cell<(u64, u64)>,
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
            rate: Cell::new(ticks::rate()),
            anchor: Cell::new((0, 0)),
        }
    }
}

impl Clock {
    /// Monotonic time in µs since the clock was made.
    #[inline]
    pub fn mono_us(&self) -> i64 {
        if let Some(rate) = self.rate.get() {
            let (ticks, ns) = self.anchor.get();
            let passed = rate.ns(ticks::now().wrapping_sub(ticks));
            if passed < FOLLOW_NS {
                return ((ns + passed) / 1000) as i64;
            }
        }
        self.look()
    }

    /// Asks the system's clock, and compares what the counter said. Time does not go back, whatever
    /// the counter did.
    #[cold]
    fn look(&self) -> i64 {
        if let Some(rate) = self.rate.get()
            && let Some((ticks, ns)) = ticks::together(self.start)
        {
            let (old_ticks, old_ns) = self.anchor.get();
            let said = old_ns.saturating_add(rate.ns(ticks.wrapping_sub(old_ticks)));
            let tolerance = ns.saturating_sub(old_ns) / TOLERANCE_PART + TOLERANCE_NS;
            if old_ns > 0 && said.abs_diff(ns) > tolerance {
                self.rate.set(None);
            }
            let given_out = said.min(old_ns + FOLLOW_NS);
            let ns = if old_ns > 0 { ns.max(given_out) } else { ns };
            self.anchor.set((ticks, ns));
        }
        let ns = self.start.elapsed().as_nanos() as u64;
        (ns.max(self.anchor.get().1) / 1000) as i64
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
    fn follows_the_system_and_never_goes_back() {
        let clock = Clock::default();
        let mut last = clock.mono_us();
        for _ in 0..200_000 {
            let now = clock.mono_us();
            assert!(now >= last);
            last = now;
        }
        let system = clock.start.elapsed().as_micros() as i64;
        assert!((system - last).abs() < 200_000, "{system} {last}");
    }

    #[test]
    fn a_counter_that_goes_wrong_is_given_up() {
        let clock = Clock::default();
        clock.mono_us();
        let (ticks, ns) = clock.anchor.get();
        if clock.rate.get().is_none() || ns == 0 {
            return; // There is none on this machine.
        }
        // As if it had jumped ahead by far.
        clock.anchor.set((ticks.wrapping_sub(1 << 40), ns));
        let after = clock.mono_us();
        assert!(clock.rate.get().is_none());
        let system = clock.start.elapsed().as_micros() as i64;
        assert!((after - system).abs() < 100_000 && clock.mono_us() >= after);
    }

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
