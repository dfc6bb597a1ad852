//! Making what is written safe, and what happens where that fails.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{RETRY, Shared, code, lock};
use crate::aof::sink::Plan;
use crate::base::failpoint;
use crate::base::planted::{self, Bug};
use crate::config::enums::AppendFsync;

/// `everysec`.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// The mark of safety is set at most this often.
const MARK_EVERY: Duration = Duration::from_millis(500);

impl Shared {
    pub(super) fn sync_loop(&self) {
        let mut next = Instant::now() + SYNC_EVERY;
        loop {
            let wished = {
                let mut wish = lock(&self.sync_wish);
                while !*wish && Instant::now() < next && !self.closing.load(Ordering::Acquire) {
                    let wait = next.saturating_duration_since(Instant::now());
                    wish = self
                        .sync_wake
                        .wait_timeout(wish, wait)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0;
                }
                let wished = std::mem::take(&mut *wish);
                drop(wish);
                if self.closing.load(Ordering::Acquire) {
                    return;
                }
                next = Instant::now() + SYNC_EVERY;
                if !wished && !self.is(AppendFsync::EverySec) {
                    continue;
                }
                wished
            };
            // What was made safe without being reported is reported to who wishes it.
            if wished || lock(&self.sink).is_dirty() {
                self.sync();
                self.tell();
            }
        }
    }

    /// Makes what is written safe. Comes back when it is, or when the process is about to end.
    pub(super) fn sync(&self) {
        let _turn = lock(&self.turn);
        self.syncing.store(true, Ordering::Release);
        let mut plan = lock(&self.sink).plan();
        let most = self.report_most.swap(u64::MAX, Ordering::AcqRel);
        plan.offset = plan.offset.min(most);
        let result = self.sync_files(&plan);
        self.status.syncs.fetch_add(1, Ordering::Relaxed);
        match result {
            Ok(()) => self.note_synced(&plan),
            Err(_) if planted::is(Bug::RetrySync) && self.sync_files(&plan).is_ok() => {
                self.note_synced(&plan);
            }
            Err(error) => self.start_over(&plan, &error),
        }
        self.syncing.store(false, Ordering::Release);
    }

    pub(super) fn sync_files(&self, plan: &Plan) -> io::Result<()> {
        failpoint::pass("aof.fsync")?;
        for file in &plan.files {
            file.sync_data()?;
        }
        failpoint::pass("aof.fsynced")
    }

    pub(super) fn note_synced(&self, plan: &Plan) {
        let (sums, safe) = lock(&self.sink).synced(plan);
        self.status.synced.fetch_max(plan.offset, Ordering::AcqRel);
        if !sums.is_empty() {
            let mut dir = lock(&self.dir);
            for (name, sum) in sums {
                dir.set_sum(&name, sum);
            }
            // The seal is proof, not data: without it the frames still are.
            if let Err(error) = dir.persist_seal() {
                tracing::warn!("Can't write {}: {error}", dir.place.seal().display());
            }
        }
        static LAST: Mutex<Option<Instant>> = Mutex::new(None);
        let mut last = lock(&LAST);
        if last.is_none_or(|at| at.elapsed() >= MARK_EVERY)
            && let (Some(marker), Some(safe)) = (&self.marker, safe)
        {
            *last = Some(Instant::now());
            let _ = marker.set(&safe);
        }
    }

    /// After a failed sync.
    fn start_over(&self, plan: &Plan, error: &io::Error) {
        self.status.failed_syncs.fetch_add(1, Ordering::Relaxed);
        self.stumble("syncing", error);
        if !lock(&self.sink).keeps {
            // Nobody was promised anything (`appendfsync no`), and nothing was kept.
            lock(&self.sink).synced(plan);
            return self.is_well();
        }
        loop {
            let result = {
                let mut sink = lock(&self.sink);
                sink.recover(&mut lock(&self.dir))
                    .map(|offset| (offset, sink.part().name.clone()))
            };
            match result {
                Ok((offset, part)) => {
                    tracing::warn!(
                        "What was not known to be on the disk after the failed sync was written to {part} and synced there."
                    );
                    self.status.written.fetch_max(offset, Ordering::AcqRel);
                    self.status.synced.fetch_max(offset, Ordering::AcqRel);
                    return self.is_well();
                }
                Err(error) => {
                    self.status.error.store(code(&error), Ordering::Release);
                    tracing::debug!("A new AOF file does not work either: {error}");
                }
            }
            if self.closing.load(Ordering::Acquire) {
                return;
            }
            std::thread::sleep(RETRY);
        }
    }
}
