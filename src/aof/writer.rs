//! The durability thread and its helper.
//!
//! Under `everysec` and `no` the actor itself writes at the end of its turn, as long as nothing is in the way: that is one
//! system call, and a message to another thread would cost two wake-ups. While a sync is under way, or after an error, and
//! always under `appendfsync always`, chunks go to the queue of the writer thread. It takes all that has come, writes it
//! with one call, and under `always` syncs once for all of it: while that sync runs, the next group collects.
//!
//! ```text
//! actor ── end of turn ──┬─ direct write ───────────────┐
//!                        └─ queue → writer thread ─┬────┴→ file
//!                                                  └ fdatasync (always)
//!                          sync thread: fdatasync each second (everysec)
//! written / synced offsets ── task ──→ actor: releases replies
//! ```

mod sync;

use std::io;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::dir::{Dir, OpenPart};
use super::mark::Marker;
use super::sink::{Chunk, Sink};
use crate::base::failpoint;
use crate::base::planted::{self, Bug};
use crate::config::enums::AppendFsync;

/// After an error the writer tries again this often.
const RETRY: Duration = Duration::from_millis(100);

/// Room for so many jobs is kept in an empty queue.
const KEEP_JOBS: usize = 16;

enum Job {
    Data(Chunk),
    Switch(OpenPart),
}

#[derive(Default)]
struct Queue {
    jobs: Vec<Job>,
    closing: bool,
}

/// How far the log is, for the actor to see.
#[derive(Debug, Default)]
pub struct Status {
    /// Offsets of the command log.
    pub written: AtomicU64,
    pub synced: AtomicU64,
    /// The system's number of the error that holds writing up; 0: none.
    pub error: AtomicI32,
    /// Bytes that were appended since the start.
    pub appended: AtomicU64,
    /// Bytes that wait for the writer thread.
    pub waiting: AtomicU64,
    pub syncs: AtomicU64,
    pub failed_syncs: AtomicU64,
    /// Turns whose data had to wait for a sync that was under way.
    pub delayed: AtomicU64,
}

struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    sink: Mutex<Sink>,
    dir: Arc<Mutex<Dir>>,
    marker: Option<Marker>,
    status: Arc<Status>,
    policy: AtomicU8,
    /// Jobs in the queue or being done.
    busy: AtomicUsize,
    syncing: AtomicBool,
    /// Held from a plan to its end: two that overlap would take what the other one has not made safe.
    turn: Mutex<()>,
    /// The actor has been told of progress and has not looked yet.
    told: AtomicBool,
    notify: Box<dyn Fn() + Send + Sync>,
    /// The next sync reports what was written up to here only: nobody asked for the rest (`appendfsync no`).
    report_most: AtomicU64,
    sync_wish: Mutex<bool>,
    sync_wake: Condvar,
    closing: AtomicBool,
    /// `DEBUG AOF-FLUSH-SLEEP`, in µs.
    sleep_us: AtomicU64,
}

/// The actor's handle.
pub struct Writer {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// What a rewrite may ask.
pub struct Gate(Arc<Shared>);

impl Gate {
    /// The writer has gone on to part `seq`, and what stands before it is safe.
    pub fn is_settled(&self, seq: u64) -> bool {
        lock(&self.0.sink).is_settled(seq)
    }

    /// The last unit before part `seq`, if writing went on in it with the last switch.
    pub fn unit_before(&self, seq: u64) -> Option<u64> {
        lock(&self.0.sink).unit_before(seq)
    }

    /// Everything written is safe now, and is kept from now on until it is.
    ///
    /// # Errors
    /// If the sync fails.
    pub fn begin_to_keep(&self) -> io::Result<()> {
        let _turn = lock(&self.0.turn);
        let plan = {
            let mut sink = lock(&self.0.sink);
            sink.keeps = !self.0.is(AppendFsync::No);
            sink.plan()
        };
        self.0.sync_files(&plan)?;
        self.0.note_synced(&plan);
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn code(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}

fn number(policy: AppendFsync) -> u8 {
    match policy {
        AppendFsync::Always => 0,
        AppendFsync::EverySec => 1,
        AppendFsync::No => 2,
    }
}

impl Writer {
    /// Starts the threads. `notify` is called, from them, when the actor should look at the status.
    pub fn start(
        sink: Sink,
        dir: Arc<Mutex<Dir>>,
        policy: AppendFsync,
        notify: Box<dyn Fn() + Send + Sync>,
    ) -> io::Result<Writer> {
        let status = Arc::new(Status::default());
        status
            .written
            .store(sink.written_offset(), Ordering::Release);
        status
            .synced
            .store(sink.written_offset(), Ordering::Release);
        let marker = Marker::open(&lock(&dir).place.mark()).ok();
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            wake: Condvar::new(),
            sink: Mutex::new(sink),
            dir,
            marker,
            status,
            policy: AtomicU8::new(number(policy)),
            busy: AtomicUsize::new(0),
            syncing: AtomicBool::new(false),
            turn: Mutex::new(()),
            told: AtomicBool::new(false),
            notify,
            report_most: AtomicU64::new(u64::MAX),
            sync_wish: Mutex::new(false),
            sync_wake: Condvar::new(),
            closing: AtomicBool::new(false),
            sleep_us: AtomicU64::new(0),
        });
        let thread = |name: &str, run: fn(&Shared)| {
            let shared = shared.clone();
            std::thread::Builder::new()
                .name(name.into())
                .spawn(move || run(&shared))
        };
        let threads = vec![
            thread("aof-write", Shared::write_loop)?,
            thread("aof-sync", Shared::sync_loop)?,
        ];
        Ok(Writer { shared, threads })
    }

    pub fn status(&self) -> &Status {
        &self.shared.status
    }

    /// The directory that the writer appends to.
    pub fn dir(&self) -> Arc<Mutex<Dir>> {
        self.shared.dir.clone()
    }

    /// Takes what a turn has written. True if it is in the file already.
    pub fn put(&self, mut chunk: Chunk) -> bool {
        chunk.set_apart();
        let shared = &*self.shared;
        let always = shared.is(AppendFsync::Always);
        let idle = !always
            && shared.busy.load(Ordering::Acquire) == 0
            && shared.status.error.load(Ordering::Acquire) == 0;
        let chunk = if idle && !shared.syncing.load(Ordering::Acquire) {
            match shared.write_now(chunk) {
                None => return true,
                Some(chunk) => chunk,
            }
        } else {
            if idle {
                shared.status.delayed.fetch_add(1, Ordering::Relaxed);
            }
            chunk
        };
        shared
            .status
            .waiting
            .fetch_add(chunk.bytes.len() as u64, Ordering::Relaxed);
        shared.push(Job::Data(chunk));
        false
    }

    /// Goes on in another part, behind everything put so far.
    pub fn switch(&self, open: OpenPart) {
        self.shared.push(Job::Switch(open));
    }

    /// Changes the policy. Before the first base is there, nothing is kept.
    pub fn set_policy(&self, policy: AppendFsync, waits_for_base: bool) {
        self.shared.policy.store(number(policy), Ordering::Release);
        // What is written from now on is kept or not; what was not kept is made safe first.
        let mut sink = lock(&self.shared.sink);
        sink.keeps = policy != AppendFsync::No && !waits_for_base;
        let most = match policy {
            AppendFsync::No => sink.written_offset(),
            AppendFsync::Always | AppendFsync::EverySec => u64::MAX,
        };
        self.shared.report_most.store(most, Ordering::Release);
        drop(sink);
        self.request_sync();
    }

    /// What a rewrite has to know of the writer.
    pub fn gate(&self) -> Gate {
        Gate(self.shared.clone())
    }

    /// Waits until everything put so far is in the file, or an error is in the way.
    pub fn drain(&self) {
        while self.shared.busy.load(Ordering::Acquire) > 0
            && self.shared.status.error.load(Ordering::Acquire) == 0
        {
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// Ends the threads; the file is not wanted any more.
    pub fn abandon(mut self) {
        lock(&self.shared.queue).jobs.clear();
        self.stop();
    }

    fn stop(&mut self) {
        lock(&self.shared.queue).closing = true;
        self.shared.closing.store(true, Ordering::Release);
        self.shared.wake.notify_one();
        self.request_sync();
        for thread in self.threads.drain(..) {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
    }

    /// Each write takes so much longer, for tests.
    pub fn set_sleep_us(&self, us: u64) {
        self.shared.sleep_us.store(us, Ordering::Relaxed);
    }

    /// Asks for a sync out of turn.
    pub fn request_sync(&self) {
        *lock(&self.shared.sync_wish) = true;
        self.shared.sync_wake.notify_one();
    }

    /// The actor looks at the status now: the next progress is told again.
    pub fn seen(&self) {
        self.shared.told.store(false, Ordering::Release);
    }

    /// Name and length of the part that is being written.
    pub fn current(&self) -> (String, u64) {
        let sink = lock(&self.shared.sink);
        (sink.part().name.clone(), sink.size())
    }

    /// Writes and syncs everything, with the mark of a good end. False if that was not possible.
    pub fn close(mut self) -> bool {
        self.stop();
        self.shared.finish()
    }
}

impl Shared {
    fn is(&self, policy: AppendFsync) -> bool {
        self.policy.load(Ordering::Acquire) == number(policy)
    }

    fn push(&self, job: Job) {
        let mut queue = lock(&self.queue);
        if let (Some(Job::Data(last)), Job::Data(next)) = (queue.jobs.last_mut(), &job)
            && last.takes(next)
        {
            // The writer has been woken for what it joins.
            return last.join(next);
        }
        self.busy.fetch_add(1, Ordering::AcqRel);
        queue.jobs.push(job);
        drop(queue);
        self.wake.notify_one();
    }

    /// Writes on the caller's thread. The chunk comes back if that did not work.
    fn write_now(&self, chunk: Chunk) -> Option<Chunk> {
        let Ok(mut sink) = self.sink.try_lock() else {
            return Some(chunk);
        };
        self.nap();
        let offset = chunk.offset;
        match sink.write(vec![chunk]) {
            Ok(bytes) => {
                self.status.appended.fetch_add(bytes, Ordering::Relaxed);
                self.status.written.store(offset, Ordering::Release);
                None
            }
            Err((error, mut chunks)) => {
                self.stumble("writing to", &error);
                chunks.pop()
            }
        }
    }

    /// Notes an error, and says so when it is new.
    fn stumble(&self, what: &str, error: &io::Error) {
        if self.status.error.swap(code(error), Ordering::AcqRel) == 0 {
            tracing::warn!(
                "Error {what} the AOF file: {error}. Writes are refused until it works again; what was executed meanwhile is kept and written then."
            );
            self.tell();
        }
    }

    fn is_well(&self) {
        if self.status.error.swap(0, Ordering::AcqRel) != 0 {
            tracing::warn!("AOF write error looks solved. The server can write again.");
        }
        self.tell();
    }

    fn tell(&self) {
        if !self.told.swap(true, Ordering::AcqRel) {
            (self.notify)();
        }
    }

    fn write_loop(&self) {
        let mut backlog: Vec<Job> = Vec::new();
        loop {
            {
                let mut queue = lock(&self.queue);
                while queue.jobs.is_empty() && backlog.is_empty() && !queue.closing {
                    queue = self
                        .wake
                        .wait(queue)
                        .unwrap_or_else(PoisonError::into_inner);
                }
                backlog.append(&mut queue.jobs);
                if queue.jobs.capacity() > KEEP_JOBS {
                    queue.jobs = Vec::new();
                }
                if backlog.is_empty() && queue.closing {
                    return;
                }
            }
            let before = backlog.len();
            let done = self.work(&mut backlog);
            self.busy
                .fetch_sub(before - backlog.len(), Ordering::AcqRel);
            if !done {
                if self.closing.load(Ordering::Acquire) {
                    return;
                }
                std::thread::sleep(RETRY);
            }
        }
    }

    /// Does what is in the backlog, in order. False if something is left because of an error.
    fn work(&self, backlog: &mut Vec<Job>) -> bool {
        while !backlog.is_empty() {
            let count = backlog
                .iter()
                .take_while(|job| matches!(job, Job::Data(_)))
                .count();
            if count == 0 {
                if !self.do_switch(backlog) {
                    return false;
                }
                continue;
            }
            let rest = backlog.split_off(count);
            let chunks: Vec<Chunk> = std::mem::replace(backlog, rest)
                .into_iter()
                .filter_map(|job| match job {
                    Job::Data(chunk) => Some(chunk),
                    Job::Switch(_) => None,
                })
                .collect();
            if let Err(chunks) = self.write_group(chunks) {
                backlog.splice(..0, chunks.into_iter().map(Job::Data));
                return false;
            }
        }
        true
    }

    fn write_group(&self, chunks: Vec<Chunk>) -> Result<(), Vec<Chunk>> {
        let bytes: usize = chunks.iter().map(|c| c.bytes.len()).sum();
        self.nap();
        let result = lock(&self.sink).write(chunks);
        match result {
            Ok(framed) => {
                self.status.appended.fetch_add(framed, Ordering::Relaxed);
                self.status
                    .waiting
                    .fetch_sub(bytes as u64, Ordering::Relaxed);
                let offset = lock(&self.sink).written_offset();
                self.status.written.store(offset, Ordering::Release);
            }
            Err((error, chunks)) => {
                self.stumble("writing to", &error);
                // If half a unit could not be cut off, a new part is the only way on.
                self.leave_torn();
                return Err(chunks);
            }
        }
        if self.is(AppendFsync::Always) {
            if planted::is(Bug::AckBeforeSync) {
                let written = self.status.written.load(Ordering::Acquire);
                self.status.synced.store(written, Ordering::Release);
                self.tell();
            }
            self.sync();
        }
        self.is_well();
        Ok(())
    }

    fn nap(&self) {
        let us = self.sleep_us.load(Ordering::Relaxed);
        if us > 0 {
            std::thread::sleep(Duration::from_micros(us));
        }
    }

    fn leave_torn(&self) {
        let _turn = lock(&self.turn);
        let mut sink = lock(&self.sink);
        if sink.is_torn() {
            let recovered = sink.recover(&mut lock(&self.dir));
            if let Ok(offset) = recovered {
                self.status.synced.fetch_max(offset, Ordering::AcqRel);
            }
        }
    }

    /// The switch at the head of the backlog. A failure is tried again: the part exists and is in the manifest.
    fn do_switch(&self, backlog: &mut Vec<Job>) -> bool {
        let Job::Switch(open) = backlog.remove(0) else {
            return true;
        };
        let again = open.file.try_clone().map(|file| OpenPart {
            part: open.part.clone(),
            file,
        });
        let result = failpoint::pass("aof.switch").and_then(|()| lock(&self.sink).switch(open));
        match (result, again) {
            (Ok(()), _) => {
                self.is_well();
                if self.is(AppendFsync::Always) {
                    self.sync();
                } else {
                    *lock(&self.sync_wish) = true;
                    self.sync_wake.notify_one();
                }
                true
            }
            (Err(error), Ok(open)) => {
                self.stumble("closing", &error);
                backlog.insert(0, Job::Switch(open));
                false
            }
            (Err(error), Err(_)) => {
                // Writing goes on in the old part, which is as good.
                self.stumble("closing", &error);
                self.is_well();
                true
            }
        }
    }

    /// Ends the part in good order.
    fn finish(&self) -> bool {
        let mut sink = lock(&self.sink);
        let jobs = std::mem::take(&mut lock(&self.queue).jobs);
        let ended =
            jobs.is_empty() && self.status.error.load(Ordering::Acquire) == 0 && sink.end().is_ok();
        let plan = sink.plan();
        let synced = plan.files.iter().all(|file| file.sync_all().is_ok());
        if !ended || !synced {
            return false;
        }
        let (sums, _) = sink.synced(&plan);
        let mut dir = lock(&self.dir);
        for (name, sum) in sums {
            dir.set_sum(&name, sum);
        }
        let (name, sum) = (sink.part().name.clone(), sink.sum());
        dir.set_sum(&name, sum);
        self.status.synced.fetch_max(plan.offset, Ordering::AcqRel);
        dir.persist_seal().is_ok()
    }
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
