//! The append-only file in the actor's hands: switching it on and off, what a turn has written, when to rewrite, and
//! reading it at start.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::dir::{Dir, Place};
use super::load::{self, Loaded, Refused, Request};
use super::rewrite::{self, Job};
use super::sink::{Chunk, Resume, Sink};
use super::writer::Writer;
use crate::config::enums::AppendFsync;
use crate::dispatch::actor::Message;
use crate::dispatch::busy;
use crate::dispatch::core::Core;
use crate::dispatch::held::Promise;
use crate::dispatch::run::Runner;
use crate::dispatch::server::Server;
use crate::keyspace::Keyspace;
use crate::log::Consumer;
use crate::rdb::boot::{self, Loading};
use crate::rdb::load::Progress;
use crate::resp::reply::Reply;

/// Rewrites that fail one after another before they are put off.
const FAILURES_MAX: u32 = 3;
/// While the files are read again, so long passes between two looks at who wants something.
const RELOAD_LOOK: Duration = Duration::from_millis(1);
/// Time between two attempts to write the base that writes wait for.
const REPLACED_RETRY_MS: i64 = 1000;
/// Longest time that they are put off for, in minutes.
const LIMIT_MAX_MINUTES: i64 = 60;

/// The reply to those who wait for a file that is no more.
pub const NO_LOCAL: &str =
    "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.";

/// What is to be done when the server is ready.
type Ready = Box<dyn FnOnce(&mut Server) + Send>;

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
struct Replaced {
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
    replaced: Option<Replaced>,
    /// Called at the end of the first rewrite, while the server starts.
    boot: Option<Ready>,
    /// The replication history that the writer was told last.
    told_history: String,
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
        }
    }
}

impl State {
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

    /// Writes wait for the base of data that a command has put here.
    pub fn makes_writes_wait(&self) -> bool {
        self.replaced
            .as_ref()
            .is_some_and(|replaced| replaced.failed.is_none())
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
        self.boot.is_none() && self.job.as_ref().is_some_and(|job| job.first)
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
}

/// Gives everybody what the log has, in the middle of a turn.
pub fn pass_on(ks: &mut Keyspace, core: &mut Core) {
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
            if !self
                .clients
                .get(waiter.id)
                .is_some_and(|c| c.blocked.is_some())
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
    core.aof.waits_for_base = false;
    core.release_all();
    if !core.config.appendonly {
        replaced_is_safe(core, Ok(()));
        for waiter in std::mem::take(&mut core.aof.waiters) {
            core.unblock(waiter.id, |out| out.error(NO_LOCAL));
        }
    }
}

/// The orderly end of the process.
pub fn close(server: &mut Server) {
    server.end_turn();
    rewrite::give_up(&mut server.core);
    let Some(writer) = server.core.aof.writer.take() else {
        return;
    };
    if server.core.aof.waits_for_base {
        return writer.abandon();
    }
    tracing::info!("Calling fsync() on the AOF file.");
    if !writer.close() {
        tracing::warn!("The end of the AOF could not be written.");
    }
}

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

fn request(ks: &Keyspace, core: &Core, progress: Arc<Progress>, may_cut: bool) -> Request {
    let settings = &core.config;
    Request {
        settings: Box::new((**settings).clone()),
        renamed: core.config.renamed_commands.clone(),
        rdb: crate::rdb::load::LoadOptions {
            // What a command makes of a key depends on whether it is there.
            drop_expired: false,
            ..boot::load_options(ks, core)
        },
        progress,
        may_cut,
    }
}

/// Reads what is there at start; without `appendonly` that is the RDB file. `ready` is called when the server may begin.
///
/// # Errors
/// If no thread can be had.
pub fn start(
    server: &mut Server,
    ready: impl FnOnce(&mut Server) + Send + 'static,
) -> io::Result<()> {
    let place = Place::of(&server.core.config);
    rewrite::clean(&place.home);
    rewrite::clean(&place.dir);
    if !server.core.config.appendonly {
        let orphans = place.parts_on_disk();
        let no_rdb = !std::path::Path::new(&server.core.config.dbfilename).exists();
        if !orphans.is_empty() && no_rdb {
            tracing::warn!(
                "There is no RDB file, but AOF files are in {} and 'appendonly' is off: their data is not loaded.",
                place.dir.display()
            );
        }
        return rdb_or_nothing(server, Box::new(ready));
    }
    let Some(mailbox) = server.core.mailbox.clone() else {
        ready(server);
        return Ok(());
    };
    server.tick();
    let loading = Loading::new(&server.core);
    let request = request(&server.ks, &server.core, loading.progress.clone(), true);
    server.core.rdb.loading = Some(loading);
    let body = move || {
        let result = load::load(place, &request);
        mailbox.send(Message::Task(Box::new(move |server| {
            arrived(server, result, Box::new(ready))
        })));
    };
    std::thread::Builder::new()
        .name("aof-load".into())
        .spawn(body)?;
    Ok(())
}

fn rdb_or_nothing(server: &mut Server, ready: Ready) -> io::Result<()> {
    // `ready` is called once, by whoever gets it.
    let shared = Arc::new(Mutex::new(Some(ready)));
    let later = shared.clone();
    let call = move |server: &mut Server| {
        let ready = later.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(ready) = ready {
            ready(server);
        }
    };
    if !boot::start(server, call.clone())? {
        call(server);
    }
    Ok(())
}

/// The files were read.
fn arrived(server: &mut Server, result: Result<Option<Loaded>, Refused>, ready: Ready) {
    let loading = server.core.rdb.loading.take();
    match result {
        Err(Refused(why)) => boot::refuse(&why),
        Ok(Some(loaded)) => {
            let seconds = loading.map_or(0.0, |l| l.started.elapsed().as_secs_f64());
            if let Err(error) = go_on(server, loaded) {
                boot::refuse(&format!("Can't open the append-only file: {error}"));
            }
            tracing::info!("DB loaded from append only file: {seconds:.3} seconds");
            ready(server);
        }
        Ok(None) => {
            // A snapshot that is there becomes the base of the new file.
            let then = Box::new(move |server: &mut Server| begin_new(server, ready));
            if let Err(error) = rdb_or_nothing(server, then) {
                boot::refuse(&format!("Can't load the data set: {error}"));
            }
        }
    }
}

/// Makes the first files of a server that has none. Until they are there it answers LOADING.
fn begin_new(server: &mut Server, ready: Ready) {
    server.core.rdb.loading = Some(Loading::new(&server.core));
    server.core.aof.boot = Some(ready);
    if !server.ks.is_empty() {
        tracing::info!(
            "There is an RDB file and no append-only file: its data becomes the base of a new one."
        );
    }
    if let Err(error) = rewrite::start(&mut server.core) {
        boot::refuse(&format!("Can't create the append-only file: {error}"));
    }
}

/// The first rewrite is done. True if the server was starting.
pub fn booted(server: &mut Server, result: Result<(), &io::Error>) {
    let Some(ready) = server.core.aof.boot.take() else {
        return;
    };
    if let Err(error) = result {
        boot::refuse(&format!("Can't create the append-only file: {error}"));
    }
    server.core.rdb.loading = None;
    ready(server);
}

/// Takes a loaded data set over and goes on writing where its files end.
fn go_on(server: &mut Server, loaded: Loaded) -> io::Result<()> {
    let retention = u64::from(server.core.config.aof_history_retention);
    let place = loaded.place.clone();
    let (mut dir, resume) = install(server, loaded);
    dir.make()?;
    if let Some((id, offset, db)) = place {
        server.runner().resume_at(id, offset, db);
    }
    let (open, resume) = match dir.open_last_incr()? {
        Some(open) => (open, resume),
        None => {
            let open = dir.create_incr()?;
            dir.add_incr(&open.part)?;
            let chain = resume.chain;
            (
                open,
                Resume {
                    chain,
                    ..Resume::default()
                },
            )
        }
    };
    dir.forget_sum(&open.part.name);
    dir.persist_seal()?;
    if !server.core.config.aof_disable_auto_gc {
        dir.drop_history(Duration::from_secs(retention))?;
    }
    let size = dir.size();
    let runs = dir.place.runs();
    let dir = Arc::new(Mutex::new(dir));
    let core = &mut server.core;
    core.repl.divergence.runs.go_on(&runs, resume.chain.seq);
    server.ks.log.attach(Consumer::File);
    let policy = core.config.appendfsync;
    let sink = Sink::new(
        open,
        resume,
        server.ks.log.offset(),
        policy != AppendFsync::No,
    );
    core.aof.writer = Some(State::start_writer(core, sink, dir.clone())?);
    core.aof.forget_history();
    core.aof.dir = Some(dir);
    core.aof.sized(size);
    core.held.promise = promise_of(policy);
    core.held.safe = server.ks.log.offset();
    select_for_file(&server.ks, &server.core);
    server.note_history();
    Ok(())
}

/// Puts loaded data in the place of the present ones.
fn install(server: &mut Server, loaded: Loaded) -> (Dir, Resume) {
    let old = std::mem::replace(&mut server.ks.dbs, loaded.dbs);
    for index in 0..server.ks.dbs.len() {
        server.ks.effects.change_whole(index);
    }
    server.ks.reaper.free_databases(old);
    if let Some(stats) = loaded.base {
        server.core.rdb.loaded = stats.loaded;
        server.core.rdb.load_expired = stats.expired;
    }
    server.core.replace_functions(loaded.functions);
    (loaded.dir, loaded.resume)
}

/// `DEBUG LOADAOF`: everything is read again from the files. Meanwhile others hear that the server is loading.
///
/// # Errors
/// What is to be told to the client.
pub fn reload(ks: &mut Keyspace, core: &mut Core) -> Result<(), String> {
    if core.rdb.loading.is_some() {
        return Err("ERR the data set is being loaded".into());
    }
    pass_on(ks, core);
    if let Some(writer) = &core.aof.writer {
        writer.drain();
    }
    let place = match &core.aof.dir {
        Some(dir) => lock(dir).place.clone(),
        None => Place::of(&core.config),
    };
    let loading = Loading::new(core);
    let request = request(ks, core, loading.progress.clone(), false);
    core.rdb.loading = Some(loading);
    let result = std::thread::scope(|scope| {
        let body = || load::load(place, &request);
        let thread = std::thread::Builder::new()
            .name("aof-load".into())
            .spawn_scoped(scope, body)?;
        while !thread.is_finished() {
            busy::breathe(ks, core);
            std::thread::sleep(RELOAD_LOOK);
        }
        Ok::<_, io::Error>(thread.join())
    });
    core.rdb.loading = None;
    let loaded = match result {
        Ok(Ok(Ok(Some(loaded)))) => loaded,
        Ok(Ok(Ok(None))) => {
            return Err(
                "ERR Error trying to load the AOF files, check server logs: there are none".into(),
            );
        }
        Ok(Ok(Err(Refused(why)))) => {
            tracing::warn!("{why}");
            return Err("ERR Error trying to load the AOF files, check server logs".into());
        }
        Ok(Err(panic)) => std::panic::resume_unwind(panic),
        Err(error) => return Err(format!("ERR {error}")),
    };
    core.replace_functions(loaded.functions);
    let old = std::mem::replace(&mut ks.dbs, loaded.dbs);
    ks.reaper.free_databases(old);
    for index in 0..ks.dbs.len() {
        ks.effects.change_whole(index);
    }
    ks.stats.dirty = 0;
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testing::Bench;

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
}
