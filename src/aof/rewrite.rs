//! A new base for the append-only file, from a snapshot, without a fork and without a pause.
//!
//! ```text
//! job thread                       actor                                writer
//! new increment, in the manifest
//! "give me a snapshot"  ─────────► end of turn, snapshot, ────────────► ends the old increment,
//!                                  switch behind what it has written    goes on in the new one
//! writes the base, syncs it  ◄──── snapshot
//! waits until the old increment is safe
//! names the base in the manifest, the rest becomes history
//! result  ───────────────────────► status, sizes
//! ```
//! Whatever happens in between, the manifest names files that together are the data.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crc64fast::Digest;

use super::commands;
use super::dir::{Dir, OpenPart};
use super::manifest::Part;
use super::seal::{Behind, Sum};
use super::sink::{Resume, Sink};
use super::state::{State, pass_on, select_for_file};
use super::writer::{Gate, Writer};
use crate::base::failpoint;
use crate::base::planted::{self, Bug};
use crate::dispatch::actor::{Early, Message};
use crate::dispatch::core::Core;
use crate::dispatch::held::Promise;
use crate::dispatch::server::Server;
use crate::keyspace::Keyspace;
use crate::log::Consumer;
use crate::rdb::save::{self, Plan, SyncedFile};
use crate::rdb::snapshot::Snapshot;
use crate::rdb::write::{Progress, ReplicationState, SaveOptions, save_with_delay};

/// How often the job looks whether the old increment is safe.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A rewrite that goes on.
pub struct Job {
    pub started: Instant,
    pub progress: Arc<Progress>,
    /// It is the first one after `appendonly` was switched on: until its end nothing is promised.
    pub first: bool,
    pub stage: Arc<Progressing>,
    given_up: Arc<AtomicBool>,
}

/// Where a job stands. The actor hears of its end by a message, which waits while a command runs for long; the end of
/// the process asks here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It has no snapshot yet.
    Begun,
    /// It writes, and needs nobody for that.
    Writes,
    /// The manifest names its base.
    Named,
    Failed,
}

/// The stage of a job that runs.
pub struct Progressing(Mutex<Stage>, Condvar);

impl Progressing {
    fn begin() -> Progressing {
        Progressing(Mutex::new(Stage::Begun), Condvar::new())
    }

    fn reach(&self, stage: Stage) {
        *lock(&self.0) = stage;
        self.1.notify_all();
    }

    pub fn now(&self) -> Stage {
        *lock(&self.0)
    }

    pub fn wait_while_written(&self, at_most: Duration) {
        let writes = |stage: &mut Stage| *stage == Stage::Writes;
        let waited = self.1.wait_timeout_while(lock(&self.0), at_most, writes);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

/// What a job is to do.
struct Order {
    dir: Arc<Mutex<Dir>>,
    mode: Mode,
    rdb: bool,
    times: bool,
    plan: Plan,
    progress: Arc<Progress>,
    stage: Arc<Progressing>,
    given_up: Arc<AtomicBool>,
    retention: Duration,
    keep_history: bool,
    temp: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// A writer runs and goes on in a new increment.
    Running,
    /// The file is being switched on.
    First,
    /// It is off: the base alone is made new.
    Off,
}

/// What the actor gives a job.
struct Given {
    snapshot: Arc<Snapshot>,
    /// Where it stands in a replication stream.
    replication: Option<ReplicationState>,
    gate: Option<Gate>,
}

/// What a job has made.
struct Done {
    base_bytes: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Begins a rewrite. There must be none.
///
/// # Errors
/// What is to be told to the client.
pub fn start(core: &mut Core) -> io::Result<()> {
    let Some(mailbox) = core.mailbox.clone() else {
        return Err(io::Error::other("there is nobody to do it"));
    };
    let config = &core.config;
    let dir = match &core.aof.dir {
        Some(dir) => dir.clone(),
        None => {
            let place = super::dir::Place::of(config);
            let read = Dir::read(place.clone()).map_err(io::Error::other)?;
            let dir = Arc::new(Mutex::new(read.unwrap_or_else(|| Dir::empty(place))));
            core.aof.dir = Some(dir.clone());
            dir
        }
    };
    let mode = match () {
        () if core.aof.writer.is_some() => Mode::Running,
        () if config.appendonly => Mode::First,
        () => Mode::Off,
    };
    let mut plan = Plan::plain(core);
    plan.options.aof_base = true;
    plan.incremental_fsync = config.aof_rewrite_incremental_fsync;
    // Beside the parts: a rename must not leave the file system.
    let home = lock(&dir).place.dir.clone();
    let order = Order {
        dir,
        mode,
        rdb: config.aof_use_rdb_preamble,
        times: config.aof_timestamp_enabled,
        plan,
        progress: Arc::default(),
        stage: Arc::new(Progressing::begin()),
        given_up: Arc::default(),
        retention: Duration::from_secs(u64::from(config.aof_history_retention)),
        keep_history: config.aof_disable_auto_gc,
        temp: home.join(format!("temp-rewriteaof-bg-{}.aof", std::process::id())),
    };
    let job = Job {
        started: Instant::now(),
        progress: order.progress.clone(),
        first: mode == Mode::First,
        stage: order.stage.clone(),
        given_up: order.given_up.clone(),
    };
    let body = move || {
        let result = order.run(&|work| mailbox.send(Message::Early(work)));
        order.stage.reach(match &result {
            Ok(_) => Stage::Named,
            Err(_) => Stage::Failed,
        });
        let (mode, dir) = (order.mode, order.dir.clone());
        mailbox.send(Message::Task(Box::new(move |server| {
            finish(server, mode, &dir, result);
        })));
    };
    std::thread::Builder::new()
        .name("aof-rewrite".into())
        .spawn(body)?;
    core.aof.scheduled = false;
    core.aof.job = Some(job);
    tracing::info!(
        "Background append only file rewriting started by pid {}",
        std::process::id()
    );
    Ok(())
}

/// Gives the rewrite up, if there is one. It ends soon, and its end is told as a failure.
pub fn give_up(core: &mut Core) {
    if let Some(job) = &core.aof.job {
        job.progress.stop.store(true, Ordering::Relaxed);
        job.given_up.store(true, Ordering::Release);
        tracing::info!("Killing AOF child: the background rewrite is given up");
    }
}

impl Order {
    fn run(&self, ask: &dyn Fn(Early)) -> io::Result<Done> {
        failpoint::pass("aof.rewrite-begin")?;
        let open = match self.mode {
            Mode::Off => None,
            // The snapshot is asked for as soon as possible: SHUTDOWN has to wait for it.
            Mode::First => Some(lock(&self.dir).open_new_incr()?),
            Mode::Running => {
                let mut dir = lock(&self.dir);
                let open = dir.create_incr()?;
                // Named before anything stands in it.
                dir.add_incr(&open.part)?;
                Some(open)
            }
        };
        let part = open.as_ref().map(|open| open.part.clone());
        let done = self.with_increment(open, part.as_ref(), ask);
        if done.is_err() {
            let _ = std::fs::remove_file(&self.temp);
            if let (Mode::First, Some(part)) = (self.mode, &part) {
                let dir = lock(&self.dir);
                if dir.manifest.incrs.iter().all(|p| p.name != part.name) {
                    tracing::info!(
                        "Removing the temp incr aof file {} in the background",
                        part.name
                    );
                    let _ = std::fs::remove_file(dir.place.part(part));
                }
            }
        }
        done
    }

    fn with_increment(
        &self,
        open: Option<OpenPart>,
        part: Option<&Part>,
        ask: &dyn Fn(Early),
    ) -> io::Result<Done> {
        let generation = lock(&self.dir).generation;
        let given = self.ask_for_snapshot(open, ask)?;
        {
            let dir = lock(&self.dir);
            dir.make()?;
            dir.sync()?;
        }
        failpoint::pass("aof.rewrite-snapshot")?;
        let sum = self.write_base(given.snapshot, given.replication)?;
        failpoint::pass("aof.rewrite-base")?;
        let first_kept = part.map_or(u64::MAX, |part| part.seq);
        match (self.mode, &given.gate, part) {
            (Mode::Running, Some(gate), Some(part)) => self.wait_until_settled(gate, part)?,
            (Mode::First, Some(gate), _) => gate.begin_to_keep()?,
            _ => {}
        }
        let mut dir = lock(&self.dir);
        if self.given_up.load(Ordering::Acquire) {
            return Err(io::Error::other("it was given up"));
        }
        if self.mode == Mode::Running && dir.generation != generation {
            // A failed sync had the end of the old increment written again, behind the beginning of the new one.
            return Err(io::Error::other("a sync failed meanwhile"));
        }
        let named = if self.mode == Mode::First { part } else { None };
        let gate = given.gate.as_ref();
        let behind = Behind {
            part: first_kept,
            unit: gate.and_then(|gate| gate.unit_before(first_kept)),
        };
        dir.rebase(&self.temp, self.rdb, sum, behind, named)?;
        if !self.keep_history
            && let Err(error) = dir.drop_history(self.retention)
        {
            tracing::warn!("Can't remove old AOF files: {error}");
        }
        Ok(Done {
            base_bytes: sum.len,
        })
    }

    fn ask_for_snapshot(&self, open: Option<OpenPart>, ask: &dyn Fn(Early)) -> io::Result<Given> {
        let (sender, receiver): (_, Receiver<io::Result<Given>>) = sync_channel(1);
        let (mode, dir) = (self.mode, self.dir.clone());
        let stage = self.stage.clone();
        ask(Box::new(move |ks, core| {
            let given = give(ks, core, mode, open, dir);
            if given.is_ok() {
                stage.reach(Stage::Writes);
            }
            let _ = sender.send(given);
        }));
        receiver
            .recv()
            .unwrap_or_else(|_| Err(io::Error::other("the server ends")))
    }

    fn write_base(
        &self,
        snapshot: Arc<Snapshot>,
        replication: Option<ReplicationState>,
    ) -> io::Result<Sum> {
        let file = SyncedFile::create(&self.temp, self.plan.incremental_fsync)?;
        let mut out = Summed {
            file,
            digest: Digest::new(),
            len: 0,
        };
        if self.rdb {
            let options = SaveOptions {
                replication,
                ..self.plan.options.clone()
            };
            save_with_delay(
                snapshot,
                &mut out,
                &options,
                &self.progress,
                &self.plan.delay_us,
            )?;
        } else {
            commands::write(
                snapshot,
                &mut out,
                self.times,
                &self.progress,
                &self.plan.delay_us,
            )?;
        }
        out.flush()?;
        failpoint::pass("aof.rewrite-fsync")?;
        if !planted::is(Bug::NoBaseSync) {
            out.file.sync()?;
        }
        Ok(Sum {
            len: out.len,
            crc: out.digest.sum64(),
        })
    }

    /// What stands before the snapshot must be safe in its file before that file becomes history: a sync that failed
    /// later would write it again, behind the base.
    fn wait_until_settled(&self, gate: &Gate, part: &Part) -> io::Result<()> {
        while !gate.is_settled(part.seq) {
            if self.given_up.load(Ordering::Acquire) {
                return Err(io::Error::other("it was given up"));
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }
}

/// On the actor's thread: the snapshot, and the log goes on in the new increment.
fn give(
    ks: &mut Keyspace,
    core: &mut Core,
    mode: Mode,
    open: Option<OpenPart>,
    dir: Arc<Mutex<Dir>>,
) -> io::Result<Given> {
    // Of a command that runs for long nothing may be half told here.
    assert!(!ks.log.is_in_unit());
    pass_on(ks, core);
    let snapshot = Arc::new(save::snapshot(ks, core));
    let replication = Plan::of(ks, core).options.replication;
    match (mode, open) {
        (Mode::Running, Some(open)) => {
            let Some(writer) = &core.aof.writer else {
                return Err(io::Error::other("the file was switched off"));
            };
            ks.log.select_again();
            writer.switch(open);
            select_for_file(ks, core);
        }
        (Mode::First, Some(open)) => {
            if !core.config.appendonly {
                return Err(io::Error::other("the file was switched off"));
            }
            ks.log.attach(Consumer::File);
            let offset = ks.log.offset();
            let sink = Sink::new(open, Resume::default(), offset, false);
            let writer = State::start_writer(core, sink, dir)?;
            core.aof.writer = Some(writer);
            core.aof.waits_for_base = true;
            core.aof.base_offset = offset;
            core.aof.forget_history();
            select_for_file(ks, core);
        }
        _ => {}
    }
    let gate = core.aof.writer.as_ref().map(Writer::gate);
    Ok(Given {
        snapshot,
        replication,
        gate,
    })
}

/// On the actor's thread: the end of a job.
fn finish(server: &mut Server, mode: Mode, dir: &Arc<Mutex<Dir>>, result: io::Result<Done>) {
    let core = &mut server.core;
    let Some(job) = core.aof.job.take() else {
        return;
    };
    core.aof.last_time_s = job.started.elapsed().as_secs() as i64;
    match result {
        Ok(done) => {
            tracing::info!("Background AOF rewrite terminated with success");
            tracing::info!("Background AOF rewrite finished successfully");
            core.aof.last_ok = true;
            core.aof.rewrites += 1;
            core.aof.failures = 0;
            core.aof.retry_at_ms = 0;
            let size = lock(dir).size().max(done.base_bytes);
            core.aof.sized(size);
            if core.aof.waits_for_base {
                core.aof.waits_for_base = false;
                core.held.promise = super::state::promise_of(core.config.appendfsync);
                core.held.safe = server.ks.log.offset();
                if let Some(writer) = &core.aof.writer {
                    // The base is on the disk.
                    let synced = &writer.status().synced;
                    synced.fetch_max(core.aof.base_offset, Ordering::AcqRel);
                }
                core.look_at_aof();
                super::state::replaced_is_safe(core, Ok(()));
            }
            super::start::booted(server, Ok(()));
        }
        Err(error) => {
            super::start::booted(server, Err(&error));
            let core = &mut server.core;
            tracing::warn!("Background AOF rewrite terminated with an error: {error}");
            core.aof.failed();
            if mode == Mode::First && !job.given_up.load(Ordering::Acquire) {
                super::state::replaced_is_safe(core, Err(&error));
            }
            if core.aof.waits_for_base {
                // Nothing was promised; the next attempt begins from the start.
                core.aof.waits_for_base = false;
                if let Some(writer) = core.aof.writer.take() {
                    writer.abandon();
                }
                server.ks.log.detach(Consumer::File);
            }
            if mode == Mode::First && server.core.config.appendonly {
                server.core.aof.scheduled = true;
            }
        }
    }
    debug_assert!(server.core.aof.writer.is_some() || server.core.held.promise == Promise::Nothing);
}

/// Counts length and checksum on the way.
struct Summed {
    file: SyncedFile,
    digest: Digest,
    len: u64,
}

impl Write for Summed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        failpoint::pass("aof.rewrite-write")?;
        let written = self.file.write(bytes)?;
        self.digest.write(&bytes[..written]);
        self.len += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
