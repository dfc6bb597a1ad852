//! When the append-only file is rewritten without being asked, and when its history goes.

use std::time::Duration;

use super::rewrite;
use super::state::replaced_is_safe;
use crate::dispatch::core::Core;

/// Rewrites that fail one after another before they are put off.
const FAILURES_MAX: u32 = 3;
/// Longest time that they are put off for, in minutes.
const LIMIT_MAX_MINUTES: i64 = 60;

/// Several times a second: rewrites that are due.
pub fn cron(core: &mut Core) {
    if core.aof.job.is_some() || core.rdb.loading.is_some() || core.mailbox.is_none() {
        return;
    }
    let due = core.aof.scheduled || is_grown(core);
    if !due || is_limited(core) {
        return;
    }
    if let Err(error) = rewrite::start(core) {
        tracing::warn!("Can't rewrite the AOF: {error}");
        core.aof.failed();
        replaced_is_safe(core, Err(&error));
    }
}

/// `auto-aof-rewrite-percentage` and `auto-aof-rewrite-min-size`.
fn is_grown(core: &Core) -> bool {
    let config = &core.config;
    let size = core.aof.size();
    if core.aof.writer.is_none()
        || config.auto_aof_rewrite_percentage == 0
        || size <= config.auto_aof_rewrite_min_size
    {
        return false;
    }
    let base = u128::from(core.aof.base_size.max(1));
    let growth = (u128::from(size) * 100 / base).saturating_sub(100);
    let grown = growth >= u128::from(config.auto_aof_rewrite_percentage);
    if grown && core.aof.failures < FAILURES_MAX {
        tracing::info!("Starting automatic rewriting of AOF on {growth}% growth");
    }
    grown
}

/// After some failures rewrites that nobody asked for are put off, each time for longer.
fn is_limited(core: &mut Core) -> bool {
    if core.aof.replaced.is_some() {
        return core.now_ms() < core.aof.retry_at_ms;
    }
    if core.aof.failures < FAILURES_MAX {
        return false;
    }
    let now = core.now_ms();
    if core.aof.retry_at_ms == 0 {
        let power = (core.aof.failures - FAILURES_MAX).min(6);
        let minutes = (1i64 << power).min(LIMIT_MAX_MINUTES);
        core.aof.retry_at_ms = now + minutes * 60_000;
        tracing::warn!(
            "Background AOF rewrite has repeatedly failed and triggered the limit, will retry in {minutes} minutes"
        );
    }
    if now < core.aof.retry_at_ms {
        return true;
    }
    core.aof.retry_at_ms = 0;
    false
}

/// `CONFIG SET aof-disable-auto-gc no`: what was kept is not wanted any more. Whoever changes the files just now does it
/// himself at the end.
pub fn drop_history(core: &Core) {
    let Some(dir) = core.aof.dir.as_ref().filter(|_| core.aof.job.is_none()) else {
        return;
    };
    let Ok(mut dir) = dir.try_lock() else {
        return;
    };
    let keep = Duration::from_secs(u64::from(core.config.aof_history_retention));
    if !core.config.aof_disable_auto_gc
        && !dir.manifest.history.is_empty()
        && let Err(error) = dir.drop_history(keep)
    {
        tracing::warn!("Can't remove old AOF files: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::testing::Bench;

    #[test]
    fn rewrites_that_fail_again_and_again_are_put_off_for_longer_each_time() {
        let mut bench = Bench::new();
        // 0 stands for no time at all.
        bench.server.core.now_us = 1_000_000;
        for failures in [3, 4, 9, 100] {
            bench.server.core.aof.failures = failures;
            bench.server.core.aof.retry_at_ms = 0;
            let now = bench.server.core.now_ms();
            assert!(is_limited(&mut bench.server.core));
            let minutes = (bench.server.core.aof.retry_at_ms - now) / 60_000;
            assert_eq!(
                minutes,
                (1i64 << (failures - 3).min(6)).min(60),
                "{failures}"
            );
            // Half of it is not enough.
            bench.server.core.aof.retry_at_ms -= minutes * 30_000;
            assert!(is_limited(&mut bench.server.core));
            bench.server.core.aof.retry_at_ms = now;
            assert!(!is_limited(&mut bench.server.core));
        }
        bench.server.core.aof.failures = 2;
        assert!(!is_limited(&mut bench.server.core));
    }
}
