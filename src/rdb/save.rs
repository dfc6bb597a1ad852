//! Saves of the server: in the background from a snapshot, at once for SAVE and SHUTDOWN, and by themselves at save
//! points.
//!
//! ```text
//! actor: snapshot (some ns) ──► thread: serialise → temp-<pid>-<n>.rdb → fsync → rename → fsync of the directory
//!            ▲ goes on at once                                                     │
//!            └──────────── Message::Task: counters, status, the next save ◄────────┘
//! ```
//! The snapshot is let go on the saving thread, and with it the memory that it alone held.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use super::boot::Loading;
use super::snapshot::Snapshot;
use super::temp;
use super::write::{Progress, ReplicationState, SaveOptions, is_stopped, save_with_delay};
use crate::base::planted::{self, Bug};
use crate::base::{alloc, atomic_replace, failpoint};
use crate::dispatch::actor::Message;
use crate::dispatch::core::Core;
use crate::keyspace::Keyspace;

/// With `rdb-save-incremental-fsync`: bytes that are written between two syncs.
const SYNC_STEP: u64 = 32 << 20;
/// A save point waits so many seconds after a save that failed.
const RETRY_S: i64 = 5;
/// Seconds between two progress lines in the log.
const TELL_EVERY_S: u64 = 10;

/// What the server knows of its saves, and of its load.
pub struct State {
    /// The save that runs in the background.
    pub job: Option<Job>,
    /// `BGSAVE SCHEDULE`: one is to begin when it can.
    pub scheduled: bool,
    /// The last background save went well.
    pub last_ok: bool,
    /// Seconds that it took; -1: there was none.
    pub last_time_s: i64,
    /// Unix seconds at which the last one began.
    pub last_try_s: i64,
    /// Saves that went well.
    pub saves: u64,
    /// Bytes by which memory in use grew during the last one.
    pub last_extra: u64,
    /// The data set is being loaded.
    pub loading: Option<Loading>,
    /// Keys of the last load, and keys that it dropped because their time was over.
    pub loaded: u64,
    pub load_expired: u64,
    /// Aux fields of the file that was loaded: `repl-id`, `repl-offset` and others.
    pub aux: BTreeMap<String, String>,
    /// `rdb-key-save-delay`, for the saving thread.
    pub delay_us: Arc<AtomicU64>,
    /// Background saves begun so far.
    jobs: u64,
    /// Threads of saves that were given up. The next save waits for them, so that none replaces a newer file.
    leaving: Vec<JoinHandle<()>>,
}

impl Default for State {
    fn default() -> Self {
        State {
            job: None,
            scheduled: false,
            last_ok: true,
            last_time_s: -1,
            last_try_s: 0,
            saves: 0,
            last_extra: 0,
            loading: None,
            loaded: 0,
            load_expired: 0,
            aux: BTreeMap::new(),
            delay_us: Arc::default(),
            jobs: 0,
            leaving: Vec::new(),
        }
    }
}

/// A save in the background.
pub struct Job {
    number: u64,
    pub progress: Arc<Progress>,
    /// Keys to save.
    pub total: u64,
    pub started: Instant,
    /// Changes that the file will hold.
    dirty: u64,
    /// Changes that were counted as saved before they are.
    owed: u64,
    used_before: u64,
    /// The most by which memory in use has grown since.
    pub extra: u64,
    told_s: u64,
    thread: Option<JoinHandle<()>>,
}

impl Job {
    /// Bytes by which memory in use is above that at the begin.
    pub fn extra_now(&self) -> u64 {
        alloc::used_memory().saturating_sub(self.used_before)
    }
}

/// How a file is written.
#[derive(Clone)]
pub struct Plan {
    pub options: SaveOptions,
    pub incremental_fsync: bool,
    pub delay_us: Arc<AtomicU64>,
}

impl Plan {
    /// How the configuration says. A server whose stream replicas may go on with writes down where it stands.
    pub fn of(ks: &Keyspace, core: &Core) -> Plan {
        let mut plan = Plan::plain(core);
        if core.repl.backlog.is_some() {
            plan.options.replication = Some(ReplicationState {
                id: core.repl.history.id.clone(),
                offset: ks.log.offset(),
                db: match &core.repl.following {
                    Some(following) => following.db,
                    None => ks.log.selected().unwrap_or(0),
                } as i64,
            });
        }
        plan
    }

    /// How the configuration says, without a place in a stream.
    pub fn plain(core: &Core) -> Plan {
        let config = &core.config;
        Plan {
            options: SaveOptions {
                compress: config.rdbcompression,
                checksum: config.rdbchecksum,
                version: config.rdb_version,
                ..SaveOptions::default()
            },
            incremental_fsync: config.rdb_save_incremental_fsync,
            delay_us: core.rdb.delay_us.clone(),
        }
    }
}

/// A file that is synced while it grows, so that the sync at the end has little to do.
pub struct SyncedFile {
    file: File,
    step: u64,
    unsynced: u64,
}

impl SyncedFile {
    pub fn create(path: &Path, incremental: bool) -> io::Result<SyncedFile> {
        Ok(SyncedFile {
            file: temp::create(path)?,
            step: if incremental { SYNC_STEP } else { u64::MAX },
            unsynced: 0,
        })
    }

    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}

impl Write for SyncedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        failpoint::pass("rdb.write")?;
        let written = self.file.write(bytes)?;
        self.unsynced += written as u64;
        if self.unsynced >= self.step {
            self.file.sync_data()?;
            self.unsynced = 0;
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Writes a snapshot to `temp`, and makes that the new `target` when all of it is on the disk.
pub fn to_file(
    snapshot: Arc<Snapshot>,
    temp: &Path,
    target: &Path,
    plan: &Plan,
    progress: &Progress,
) -> io::Result<()> {
    failpoint::pass("rdb.create")?;
    let mut file = SyncedFile::create(temp, plan.incremental_fsync)
        .map_err(|error| in_words("Failed opening the temp RDB file", temp, &error))?;
    // It stays open, and so ours, until it has its name or is gone.
    let done = write_file(snapshot, &mut file, plan, progress)
        .and_then(|()| atomic_replace::rename_into_place(temp, target));
    if done.is_err() {
        // What matters is the first error.
        let _ = std::fs::remove_file(temp);
    }
    done
}

fn write_file(
    snapshot: Arc<Snapshot>,
    file: &mut SyncedFile,
    plan: &Plan,
    progress: &Progress,
) -> io::Result<()> {
    save_with_delay(snapshot, file, &plan.options, progress, &plan.delay_us)?;
    failpoint::pass("rdb.sync")?;
    if planted::is(Bug::NoRdbSync) {
        return Ok(());
    }
    file.sync()?;
    failpoint::pass("rdb.synced")
}

fn in_words(what: &str, path: &Path, error: &io::Error) -> io::Error {
    let text = format!("{what} {} for saving: {error}", path.display());
    io::Error::new(error.kind(), text)
}

/// Where the file of a save at once is written before it is complete.
pub fn temp_file() -> PathBuf {
    PathBuf::from(format!("temp-{}.rdb", std::process::id()))
}

/// The snapshot of now, with everything that a file holds.
pub fn snapshot(ks: &Keyspace, core: &Core) -> Snapshot {
    Snapshot::take(ks, core.scripts.library_sources())
}

/// Saves at once; nothing else happens meanwhile.
///
/// # Errors
/// What is in the log as well.
pub fn now(ks: &mut Keyspace, core: &mut Core) -> io::Result<()> {
    abort(core);
    let plan = Plan::of(ks, core);
    let target = PathBuf::from(&core.config.dbfilename);
    let snapshot = Arc::new(snapshot(ks, core));
    match to_file(snapshot, &temp_file(), &target, &plan, &Progress::default()) {
        Ok(()) => {
            tracing::info!("DB saved on disk");
            let dirty = ks.stats.dirty;
            succeeded(ks, core, dirty);
            core.rdb.last_ok = true;
            Ok(())
        }
        Err(error) => {
            tracing::warn!("Write error saving DB on disk: {error}");
            Err(error)
        }
    }
}

fn succeeded(ks: &mut Keyspace, core: &mut Core, dirty: u64) {
    ks.stats.dirty = ks.stats.dirty.saturating_sub(dirty);
    core.last_save_s = core.clock.unix_us(core.clock.mono_us()) / 1_000_000;
    core.rdb.saves += 1;
}

/// Begins a save in the background; there must be none.
///
/// # Errors
/// If no thread can be had.
pub fn start(ks: &mut Keyspace, core: &mut Core) -> io::Result<()> {
    let plan = Plan::of(ks, core);
    let target = atomic_replace::here(&core.config.dbfilename);
    let snapshot = Arc::new(snapshot(ks, core));
    core.rdb.jobs += 1;
    let number = core.rdb.jobs;
    let temp = target.with_file_name(format!("temp-{}-{number}.rdb", std::process::id()));
    let progress = Arc::new(Progress::default());
    core.rdb.scheduled = false;
    core.rdb.last_try_s = core.unix_us() / 1_000_000;
    core.rdb.job = Some(Job {
        number,
        progress: progress.clone(),
        total: snapshot.len(),
        started: Instant::now(),
        dirty: ks.stats.dirty,
        owed: 0,
        used_before: snapshot.used_memory,
        extra: 0,
        told_s: 0,
        thread: None,
    });
    tracing::info!("Background saving started by pid {}", std::process::id());
    let run = move || to_file(snapshot, &temp, &target, &plan, &progress);
    let Some(mailbox) = core.mailbox.clone() else {
        // Tests without an actor.
        let result = run();
        finish(ks, core, number, result);
        return Ok(());
    };
    let leaving = std::mem::take(&mut core.rdb.leaving);
    let body = move || {
        join(leaving);
        let result = run();
        mailbox.send(Message::Task(Box::new(move |server| {
            finish(&mut server.ks, &mut server.core, number, result);
        })));
    };
    let thread = std::thread::Builder::new()
        .name("ferrite-save".into())
        .spawn(body);
    match thread {
        Ok(thread) => {
            if let Some(job) = &mut core.rdb.job {
                job.thread = Some(thread);
            }
            Ok(())
        }
        Err(error) => {
            tracing::warn!("Can't save in background: {error}");
            core.rdb.job = None;
            core.rdb.last_ok = false;
            Err(error)
        }
    }
}

/// The end of a background save.
fn finish(ks: &mut Keyspace, core: &mut Core, number: u64, result: io::Result<()>) {
    // One that was given up before has nothing more to say.
    let Some(job) = core.rdb.job.take_if(|job| job.number == number) else {
        return;
    };
    core.rdb.last_time_s = job.started.elapsed().as_secs() as i64;
    core.rdb.last_extra = job.extra.max(job.extra_now());
    match result {
        Ok(()) => {
            tracing::info!("DB saved on disk");
            tracing::info!("Background saving terminated with success");
            succeeded(ks, core, job.dirty);
            core.rdb.last_ok = true;
        }
        Err(error) if is_stopped(&error) => {
            tracing::warn!("Background saving was given up");
            ks.stats.dirty += job.owed;
        }
        Err(error) => {
            ks.stats.dirty += job.owed;
            tracing::warn!("Write error saving DB on disk: {error}");
            tracing::warn!("Background saving error");
            core.rdb.last_ok = false;
        }
    }
}

/// Gives the background save up, if there is one, and waits until its file is gone.
pub fn abort(core: &mut Core) {
    if let Some(job) = core.rdb.job.take() {
        leave(core, job);
    }
    join(std::mem::take(&mut core.rdb.leaving));
}

fn leave(core: &mut Core, job: Job) {
    job.progress.stop.store(true, Ordering::Relaxed);
    core.rdb.last_time_s = job.started.elapsed().as_secs() as i64;
    core.rdb.leaving.extend(job.thread);
}

fn join(threads: Vec<JoinHandle<()>>) {
    for thread in threads {
        // A thread that panicked has ended the process.
        let _ = thread.join();
    }
}

/// Gives the background save up without waiting: all that it saves is obsolete (FLUSHALL).
pub fn forsake(core: &mut Core) {
    if let Some(job) = core.rdb.job.take() {
        leave(core, job);
        tracing::info!("Background saving was given up: all data was deleted");
    }
}

/// All data was deleted: with save points the file is to say so soon, as Redis has it. The changes up to here count as saved
/// unless that fails.
pub fn after_flush(ks: &mut Keyspace, core: &mut Core) {
    if core.config.save.0.is_empty() || core.mailbox.is_none() || start(ks, core).is_err() {
        return;
    }
    if let Some(job) = &mut core.rdb.job {
        job.owed = std::mem::take(&mut job.dirty);
        ks.stats.dirty = 0;
        ks.effects.present.dirty = 0;
    }
}

/// Runs with the cron: save points, scheduled saves, progress.
pub fn cron(ks: &mut Keyspace, core: &mut Core) {
    if core.rdb.loading.is_some() || core.sentinel.is_some() {
        return;
    }
    if let Some(job) = &mut core.rdb.job {
        job.extra = job.extra.max(job.extra_now());
        tell_progress(job);
        return;
    }
    let now_s = core.unix_us() / 1_000_000;
    let due = |rule: &crate::config::lists::SaveRule| {
        ks.stats.dirty >= u64::from(rule.changes)
            && now_s - core.last_save_s > i64::from(rule.seconds)
    };
    let rested = core.rdb.last_ok || now_s - core.rdb.last_try_s > RETRY_S;
    if core.rdb.scheduled && rested {
        // The error, if any, is in the log and in the status.
        let _ = start(ks, core);
        return;
    }
    if let Some(rule) = core.config.save.0.iter().copied().find(due)
        && rested
    {
        tracing::info!(
            "{} changes in {} seconds. Saving...",
            rule.changes,
            rule.seconds
        );
        let _ = start(ks, core);
    }
}

fn tell_progress(job: &mut Job) {
    let seconds = job.started.elapsed().as_secs();
    if seconds < job.told_s + TELL_EVERY_S {
        return;
    }
    job.told_s = seconds;
    let keys = job.progress.keys.load(Ordering::Relaxed);
    tracing::info!(
        "Background saving: {keys} of {} keys ({:.0} %), {} MB written in {seconds} seconds",
        job.total,
        keys as f64 * 100.0 / job.total.max(1) as f64,
        job.progress.bytes.load(Ordering::Relaxed) >> 20,
    );
}
