//! The append-only file in the actor's hands: switching it on and off, and what a turn has written.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::dir::Dir;
use super::rewrite::{self, Job, Stage};
use super::sink::{Chunk, Sink};
use super::writer::Writer;
use crate::base::{alloc, failpoint, sys};
use crate::config::enums::AppendFsync;
use crate::dispatch::actor::Message;
use crate::dispatch::core::Core;
use crate::dispatch::held::Promise;
use crate::dispatch::run::Runner;
use crate::dispatch::server::Server;
use crate::keyspace::Keyspace;
use crate::log::Consumer;
use crate::resp::reply::Reply;

/// Time between two attempts to write the base that writes wait for.
const REPLACED_RETRY_MS: i64 = 1000;

/// The reply to those who wait for a file that is no more.
pub const NO_LOCAL: &str =
    "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.";

/// What is to be done when the server is ready.
pub(super) type Ready = Box<dyn FnOnce(&mut Server) + Send>;

/// A client in WAITAOF.
#[derive(Clone, Copy, Debug)]
pub struct Waiter {
    pub id: u64,
    /// What it needs of the log.
    pub offset: u64,
    pub local: bool,
    pub replicas: usize,
}

/// A command has replaced the data, and its client waits until a new base holds that. Before, writes wait: in the files
/// that are there they would be those of the former data.
pub(super) struct Replaced {
    client: u64,
    /// Why the base could not be written so far. Writes are refused then.
    failed: Option<String>,
}

pub struct State {
    pub writer: Option<Writer>,
    pub dir: Option<Arc<Mutex<Dir>>>,
    pub job: Option<Job>,
    /// A rewrite is to begin when it can.
    pub scheduled: bool,
    /// The file was switched on, and its first base is not there yet: nothing is promised.
    pub waits_for_base: bool,
    /// Offset of the log that the base stands for.
    pub base_offset: u64,
    /// Seconds of the last rewrite; -1: there was none.
    pub last_time_s: i64,
    pub last_ok: bool,
    pub rewrites: u64,
    /// Rewrites that failed one after another.
    pub failures: u32,
    /// Monotonic ms before which no rewrite begins by itself.
    pub retry_at_ms: i64,
    /// Bytes of all files after the last rewrite or at start.
    pub base_size: u64,
    /// Bytes of all files when the writer had appended `appended_then`.
    size_then: u64,
    appended_then: u64,
    /// Clients in WAITAOF.
    pub waiters: Vec<Waiter>,
    pub(super) replaced: Option<Replaced>,
    /// Called at the end of the first rewrite, while the server starts.
    pub(super) boot: Option<Ready>,
    /// The replication history that the writer was told last.
    told_history: String,
    /// So much waits for the disk that nothing more is to be written.
    is_full: bool,
}

/// Bytes that may wait for the disk before writes have to: many times what comes between two syncs of a disk that works.
fn room() -> u64 {
    static ROOM: LazyLock<u64> =
        LazyLock::new(|| (sys::total_memory() / 8).clamp(16 << 20, 1 << 30));
    // As a test wants it.
    if failpoint::pass("aof.room").is_err() {
        return 1 << 20;
    }
    *ROOM
}

impl Default for State {
    fn default() -> Self {
        State {
            writer: None,
            dir: None,
            job: None,
            scheduled: false,
            waits_for_base: false,
            base_offset: 0,
            last_time_s: -1,
            last_ok: true,
            rewrites: 0,
            failures: 0,
            retry_at_ms: 0,
            base_size: 0,
            size_then: 0,
            appended_then: 0,
            waiters: Vec::new(),
            replaced: None,
            boot: None,
            told_history: String::new(),
            is_full: false,
        }
    }
}

impl State {
    /// Bytes of commands that are on their way to the file, or kept until they are known to be on the disk.
    pub fn memory(&self) -> u64 {
        alloc::memory_apart(alloc::Kind::Aof)
    }

    /// Starts the threads that write to `sink`.
    pub fn start_writer(core: &Core, sink: Sink, dir: Arc<Mutex<Dir>>) -> io::Result<Writer> {
        let mailbox = core.mailbox.clone();
        let notify = move || {
            if let Some(mailbox) = &mailbox {
                mailbox.send(Message::Task(Box::new(|server| server.core.look_at_aof())));
            }
        };
        Writer::start(sink, dir, core.config.appendfsync, Box::new(notify))
    }

    /// Bytes of all files now.
    pub fn size(&self) -> u64 {
        let appended = self
            .writer
            .as_ref()
            .map_or(0, |w| w.status().appended.load(Ordering::Relaxed));
        self.size_then + appended.saturating_sub(self.appended_then)
    }

    /// All files have this size now, after a rewrite or a load.
    pub fn sized(&mut self, size: u64) {
        self.base_size = size;
        self.size_then = size;
        self.appended_then = self
            .writer
            .as_ref()
            .map_or(0, |w| w.status().appended.load(Ordering::Relaxed));
    }

    /// Writes wait for the base of data that a command has put here, or because too much waits for the disk.
    pub fn makes_writes_wait(&self) -> bool {
        let replaced = self.replaced.as_ref();
        self.is_full || replaced.is_some_and(|replaced| replaced.failed.is_none())
    }

    /// Sees how much waits for the disk.
    fn see_room(&mut self) {
        // Where the disk does not work at all, writes are refused.
        let is_full = self.memory() > room() && self.error().is_none();
        if is_full && !self.is_full {
            tracing::warn!(
                "Asynchronous AOF fsync is taking too long (disk is busy?). {} bytes of commands wait for it; writes wait until it has come to its end.",
                self.memory()
            );
            if let Some(writer) = &self.writer {
                writer.request_sync();
            }
        }
        self.is_full = is_full;
    }

    /// Why there is no such base yet although it was tried.
    pub fn replaced_failed(&self) -> Option<&str> {
        self.replaced.as_ref()?.failed.as_deref()
    }

    /// Another writer begins: it has to be told the replication history.
    pub fn forget_history(&mut self) {
        self.told_history.clear();
    }

    /// A rewrite failed.
    pub fn failed(&mut self) {
        self.last_ok = false;
        self.failures = self.failures.saturating_add(1);
    }

    /// The file was switched on at run time, and nothing of the data is in it yet.
    pub fn is_being_made(&self) -> bool {
        let job = self.job.as_ref().filter(|job| job.first);
        self.boot.is_none() && job.is_some_and(|job| job.stage.now() != Stage::Named)
    }

    /// Waits until the first base is there, if it is being written; at most for so long.
    pub fn wait_for_base(&self, at_most: Duration) {
        if let Some(job) = &self.job {
            job.stage.wait_while_written(at_most);
        }
    }

    /// All that the writer has is to be kept: a base stands before it.
    fn has_base(&self) -> bool {
        !self.waits_for_base
            || self
                .job
                .as_ref()
                .is_some_and(|job| job.stage.now() == Stage::Named)
    }

    /// The system's error that holds writes up.
    pub fn error(&self) -> Option<io::Error> {
        let code = self.writer.as_ref()?.status().error.load(Ordering::Acquire);
        (code != 0).then(|| io::Error::from_raw_os_error(code))
    }

    /// Offset of the log that is known to be on the disk.
    pub fn synced(&self) -> u64 {
        self.writer
            .as_ref()
            .map_or(0, |w| w.status().synced.load(Ordering::Acquire))
    }
}

/// What a policy promises.
pub fn promise_of(policy: AppendFsync) -> Promise {
    match policy {
        AppendFsync::Always => Promise::Synced,
        AppendFsync::EverySec | AppendFsync::No => Promise::Written,
    }
}

pub fn lock(dir: &Mutex<Dir>) -> MutexGuard<'_, Dir> {
    dir.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The part of the log that a file keeps: what changes data.
pub fn chunk_of(taken: crate::log::Taken, time_s: Option<i64>) -> Chunk {
    let first = taken.offset - taken.bytes.len() as u64;
    let mut chunk = Chunk {
        offset: taken.offset,
        time_s,
        ..Chunk::default()
    };
    if taken.instead.is_empty() && taken.units.iter().all(|unit| unit.keep) {
        chunk.ends.extend(
            taken
                .units
                .iter()
                .map(|unit| (unit.end, first + unit.end as u64)),
        );
        chunk.bytes = taken.bytes;
    } else {
        let mut start = 0;
        let mut instead = taken.instead.iter().peekable();
        for (index, unit) in taken.units.iter().enumerate() {
            let bytes = match instead.next_if(|(at, _)| *at == index) {
                Some((_, bytes)) => bytes,
                None if unit.keep => &taken.bytes[start..unit.end],
                None => &[],
            };
            if !bytes.is_empty() {
                chunk.bytes.extend_from_slice(bytes);
                chunk
                    .ends
                    .push((chunk.bytes.len(), first + unit.end as u64));
            }
            start = unit.end;
        }
    }
    chunk
}

/// Gives the writer what the log has.
pub fn take_turn(core: &mut Core, taken: crate::log::Taken) {
    let Some(writer) = &core.aof.writer else {
        return;
    };
    let time_s = core
        .config
        .aof_timestamp_enabled
        .then(|| core.unix_us() / 1_000_000);
    let mut chunk = chunk_of(taken, time_s);
    let history = &core.repl.history.id;
    if core.repl.backlog.is_some() && *history != core.aof.told_history && !chunk.ends.is_empty() {
        chunk.history = Some(history.clone());
        core.aof.told_history.clone_from(history);
    }
    let offset = chunk.offset;
    if writer.put(chunk) && core.held.promise == Promise::Written {
        core.release(offset);
    }
    core.aof.see_room();
}

/// Gives everybody what the log has, in the middle of a turn. What the present unit has so far becomes one of its own.
pub fn pass_on(ks: &mut Keyspace, core: &mut Core) {
    ks.log.end_unit(true);
    if ks.log.has_pending() {
        let taken = ks.log.take();
        Runner { ks, core }.feed_replicas(&taken);
        take_turn(core, taken);
    }
}

/// A file of a replica begins, or goes on: the stream of its master does not select its database again for that.
pub fn select_for_file(ks: &Keyspace, core: &Core) {
    let (Some(following), Some(writer)) = (&core.repl.following, &core.aof.writer) else {
        return;
    };
    let (mut bytes, db) = (Vec::new(), following.db.to_string());
    crate::log::encode(&mut bytes, [&b"SELECT"[..], db.as_bytes()].into_iter());
    let offset = ks.log.offset();
    writer.put(Chunk {
        ends: vec![(bytes.len(), offset)],
        bytes,
        offset,
        ..Chunk::default()
    });
}

/// `CONFIG SET appendfsync`.
pub fn set_policy(core: &mut Core) {
    let policy = core.config.appendfsync;
    let Some(writer) = &core.aof.writer else {
        return;
    };
    writer.set_policy(policy, core.aof.waits_for_base);
    if !core.aof.waits_for_base {
        core.held.promise = promise_of(policy);
        core.held.safe = safe_offset(core);
        core.look_at_aof();
    }
}

fn safe_offset(core: &Core) -> u64 {
    let Some(writer) = &core.aof.writer else {
        return 0;
    };
    let status = writer.status();
    match core.held.promise {
        Promise::Synced => status.synced.load(Ordering::Acquire),
        Promise::Written | Promise::Nothing => status.written.load(Ordering::Acquire),
    }
}

impl Core {
    /// The writer has made progress, or met an error.
    pub fn look_at_aof(&mut self) {
        let Some(writer) = &self.aof.writer else {
            return;
        };
        writer.seen();
        self.aof.see_room();
        if self.held.promise != Promise::Nothing {
            let safe = safe_offset(self);
            self.release(safe);
            if self.held.promise == Promise::Synced && self.aof.error().is_some() {
                self.release_readers();
            }
        }
        self.serve_waitaof();
        self.tell_synced();
    }

    /// Answers clients in WAITAOF whose writes are as safe as they want.
    pub fn serve_waitaof(&mut self) {
        if self.aof.waiters.is_empty() {
            return;
        }
        let waiters = std::mem::take(&mut self.aof.waiters);
        for waiter in waiters {
            let (local, replicas) = self.synced_copies(waiter.offset);
            if self
                .clients
                .get(waiter.id)
                .is_none_or(|c| c.blocked.is_none())
            {
                continue;
            }
            if local >= waiter.local && replicas >= waiter.replicas {
                self.unblock(waiter.id, |out| waitaof_reply(out, (local, replicas)));
            } else {
                self.aof.waiters.push(waiter);
            }
        }
    }

    /// Whether the log is on our disk up to `offset`, and on how many replicas' disks.
    pub fn synced_copies(&self, offset: u64) -> (bool, usize) {
        let local =
            self.aof.writer.is_some() && !self.aof.waits_for_base && offset <= self.aof.synced();
        let replicas = self
            .repl
            .online()
            .filter(|replica| replica.fsync_ack >= offset)
            .count();
        (local, replicas)
    }
}

/// The reply of WAITAOF: the local file, and replicas.
pub fn waitaof_reply(out: &mut Reply, (local, replicas): (bool, usize)) {
    out.array(2);
    out.int(i64::from(local));
    out.int(replicas as i64);
}

/// Another data set was put in the place of the one that the files hold: they get a new base. Until that is there, they
/// hold the former data.
pub fn data_replaced(ks: &mut Keyspace, core: &mut Core) {
    if !core.config.appendonly || core.rdb.loading.is_some() {
        return;
    }
    switch_off(ks, core);
    if core.aof.job.is_some() || rewrite::start(core).is_err() {
        core.aof.scheduled = true;
    }
}

/// Whether the reply of a command that has replaced the data is to wait for the new base. It is given by
/// [`replaced_is_safe`].
pub fn wait_for_base(core: &mut Core, client: u64) -> bool {
    let waits = core.config.appendonly && core.mailbox.is_some();
    if waits {
        core.aof.replaced = Some(Replaced {
            client,
            failed: None,
        });
    }
    waits
}

/// A base was written, or there was an error; or there is to be no file any more.
pub fn replaced_is_safe(core: &mut Core, result: Result<(), &io::Error>) {
    let Some(mut replaced) = core.aof.replaced.take() else {
        return;
    };
    match result {
        Ok(()) => {
            core.unblock(replaced.client, Reply::ok);
        }
        Err(error) => {
            let why = error.to_string();
            if replaced.failed.is_none() {
                core.unblock(replaced.client, |out| {
                    out.error(format!(
                        "ERR The data is back in memory, but the append-only file could not be written anew: {why}. Writes are refused until it is."
                    ));
                });
            }
            replaced.failed = Some(why);
            core.aof.replaced = Some(replaced);
            core.aof.retry_at_ms = core.now_ms() + REPLACED_RETRY_MS;
        }
    }
}

/// `CONFIG SET appendonly yes`: what is logged from now on gathers beside a base that is made of what is there.
pub fn switch_on(core: &mut Core) -> Result<(), String> {
    if core.aof.writer.is_some() || core.rdb.loading.is_some() {
        return Ok(());
    }
    if core.aof.job.is_some() {
        core.aof.scheduled = true;
        return Ok(());
    }
    rewrite::start(core).map_err(|error| {
        tracing::warn!("The AOF can't be switched on: {error}");
        "Unable to turn on AOF. Check server logs.".to_owned()
    })
}

/// `CONFIG SET appendonly no`.
pub fn switch_off(ks: &mut Keyspace, core: &mut Core) {
    rewrite::give_up(core);
    core.aof.scheduled = false;
    core.repl.divergence.runs.forget();
    pass_on(ks, core);
    if let Some(writer) = core.aof.writer.take() {
        if core.aof.waits_for_base {
            writer.abandon();
        } else if !writer.close() {
            tracing::warn!("The AOF is switched off, and its end could not be written.");
        }
        ks.log.detach(Consumer::File);
    }
    core.aof.is_full = false;
    // Switched on again, it begins in the directory and under the name that are configured then.
    core.aof.dir = None;
    core.aof.waits_for_base = false;
    core.release_all();
    if !core.config.appendonly {
        replaced_is_safe(core, Ok(()));
        for waiter in std::mem::take(&mut core.aof.waiters) {
            core.unblock(waiter.id, |out| out.error(NO_LOCAL));
        }
    }
}

/// `CONFIG SET dir`.
pub fn directory_changed(core: &Core) {
    if let (Some(_), Some(dir)) = (&core.aof.writer, &core.aof.dir) {
        tracing::warn!(
            "The append-only file stays in {}: a server that starts in the new directory does not find it there. 'CONFIG SET appendonly no' and 'yes' begin one in the new directory.",
            lock(dir).place.dir.display()
        );
    }
}

/// The orderly end of the process.
pub fn close(server: &mut Server) {
    server.end_turn();
    rewrite::give_up(&mut server.core);
    let keep = server.core.aof.has_base();
    let Some(writer) = server.core.aof.writer.take() else {
        return;
    };
    if !keep {
        return writer.abandon();
    }
    tracing::info!("Calling fsync() on the AOF file.");
    if !writer.close() {
        tracing::warn!("The end of the AOF could not be written.");
    }
}

#[cfg(test)]
mod tests {
    use crate::command::testing::Bench;
    use crate::log::Consumer;

    #[test]
    fn replicas_get_what_the_file_takes_in_the_middle_of_a_turn() {
        let mut bench = Bench::new();
        bench.server.runner().keep_backlog();
        bench.say("SET a 1");
        super::switch_off(&mut bench.server.ks, &mut bench.server.core);
        let offset = bench.server.ks.log.offset();
        let backlog = bench.server.core.repl.backlog.as_ref();
        assert!(offset > 0);
        assert_eq!(backlog.map(|backlog| backlog.end()), Some(offset));
    }

    /// The file reads the log already, so that something waits in it when the first replica comes.
    #[test]
    fn a_backlog_begins_behind_what_the_turn_has_written() {
        for transaction in [false, true] {
            let mut bench = Bench::new();
            bench.server.ks.log.attach(Consumer::File);
            bench.say("SET a 1");
            if transaction {
                let words = [&b"SET"[..], b"b", b"2"];
                bench.server.ks.log.append(0, words.into_iter());
            }
            bench.server.runner().keep_backlog();
            bench.say("SET c 3");
            bench.server.hand_on_log();
            let backlog = bench.server.core.repl.backlog.as_ref().unwrap();
            assert_eq!(backlog.end(), bench.server.ks.log.offset());
            let stream = backlog.from(backlog.first());
            let stream: Vec<u8> = stream.iter().flat_map(|c| c.bytes().to_vec()).collect();
            let expected =
                "*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nSET\r\n$1\r\nc\r\n$1\r\n3\r\n";
            assert_eq!(String::from_utf8_lossy(&stream), expected);
        }
    }
}
