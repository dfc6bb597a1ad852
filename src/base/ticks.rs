//! The processor's time stamp counter: a clock that is read in a few nanoseconds.
//!
//! It is used only where the kernel itself takes its time from it (`clocksource` is `tsc`): then it
//! runs at one speed on all cores. [`super::clock::Clock`] uses it for the moments between two
//! looks at the system's clock, and checks it against that clock at each look.
//!
//! # Contract of the unsafe code
//! `rdtsc` exists on every x86-64 processor; where the kernel forbids it to programs, it does not
//! take its own time from it in their stead, and nothing is read here.
#![allow(unsafe_code)]

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How long the counter is watched at first.
const CALIBRATION: Duration = Duration::from_millis(2);
/// Counter and clock were read together if no more than this many ticks lie between.
const TOGETHER: u64 = 5_000;
/// Tries to read them together: somebody else may get the processor in between.
const TRIES: usize = 16;

/// The speed of the counter.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// Nanoseconds of a tick, times 2^32.
    ns_shifted: u64,
}

impl Rate {
    /// Nanoseconds of so many ticks.
    #[inline]
    pub fn ns(self, ticks: u64) -> u64 {
        let ns = (u128::from(ticks) * u128::from(self.ns_shifted)) >> 32;
        u64::try_from(ns).unwrap_or(u64::MAX)
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
pub fn now() -> u64 {
    unsafe { std::arch::x86_64::_rdtsc() }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline]
pub fn now() -> u64 {
    0
}

/// The counter and the time since `start` in ns, read together; `None` if that does not succeed.
pub fn together(start: Instant) -> Option<(u64, u64)> {
    (0..TRIES).find_map(|_| {
        let before = now();
        let elapsed = start.elapsed();
        let near = now().wrapping_sub(before) <= TOGETHER;
        near.then(|| {
            (
                before,
                u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX),
            )
        })
    })
}

/// The speed of the counter, or `None` where it is not to be used. Takes 2 ms at the first call.
pub fn rate() -> Option<Rate> {
    static RATE: OnceLock<Option<Rate>> = OnceLock::new();
    *RATE.get_or_init(|| if is_trusted() { measure() } else { None })
}

fn is_trusted() -> bool {
    const SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    cfg!(target_arch = "x86_64")
        && std::fs::read_to_string(SOURCE).is_ok_and(|source| source.trim() == "tsc")
}

fn measure() -> Option<Rate> {
    let start = Instant::now();
    let (first, begin_ns) = together(start)?;
    std::thread::sleep(CALIBRATION);
    let (last, end_ns) = together(start)?;
    let ticks = last.checked_sub(first).filter(|ticks| *ticks > 0)?;
    let ns_shifted = (u128::from(end_ns - begin_ns) << 32) / u128::from(ticks);
    let ns_shifted = u64::try_from(ns_shifted).ok()?;
    // From 100 MHz to 100 GHz; anything else is no such counter.
    let sensible = (1u64 << 32) / 100..=10u64 << 32;
    sensible
        .contains(&ns_shifted)
        .then_some(Rate { ns_shifted })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_runs_as_fast_as_the_clock() {
        let Some(rate) = rate() else {
            return; // This machine has none that can be used.
        };
        let start = Instant::now();
        let (Some((first, begin)), ()) = (
            together(start),
            std::thread::sleep(Duration::from_millis(20)),
        ) else {
            return;
        };
        let Some((last, end)) = together(start) else {
            return;
        };
        let (ticks_ns, clock_ns) = (rate.ns(last - first), end - begin);
        assert!(
            ticks_ns.abs_diff(clock_ns) < clock_ns / 100,
            "{ticks_ns} {clock_ns}"
        );
        assert_eq!(rate.ns(0), 0);
    }
}
