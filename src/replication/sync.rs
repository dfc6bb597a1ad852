//! Transfers: the whole data set goes to the replicas that wait for it, from one snapshot, written
//! by a thread of its own.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::master::ReplicaState;
use crate::base::atomic_replace::here;
use crate::base::mailbox::Sender;
use crate::dispatch::actor::Message;
use crate::dispatch::core::random_hex;
use crate::dispatch::run::Runner;
use crate::net::conn::{Close, Conn};
use crate::rdb::snapshot::Snapshot;
use crate::rdb::temp;
use crate::rdb::write::{Progress, ReplicationState, SaveOptions, save_with_delay};
use crate::resp::reply::Chunk;

/// Bytes that wait for the slowest replica before the writer waits.
const AHEAD: usize = 4 << 20;
/// How often it looks whether it may go on.
const NAP: Duration = Duration::from_millis(1);
/// Bytes read from a file at a time.
const PIECE: usize = 256 * 1024;

/// How the data is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A mark of 40 characters before it and behind it: it is sent while it is made.
    Marked,
    /// Its length before it: it is made first.
    Sized,
}

/// The transfer that is under way.
pub struct SyncJob {
    pub replicas: Vec<u64>,
    pub progress: Arc<Progress>,
    format: Format,
    /// The file is made and goes out.
    sending: Arc<AtomicBool>,
    /// `repl-timeout` in ms, as it is now.
    timeout_ms: Arc<AtomicU64>,
}

impl SyncJob {
    /// The data is made, and only has to be sent.
    pub fn is_sending(&self) -> bool {
        self.sending.load(Ordering::Relaxed)
    }

    /// Nobody waits for it any more.
    pub fn give_up(&self) {
        if self.format == Format::Marked {
            tracing::warn!("Diskless rdb transfer, last replica dropped, killing fork child.");
        }
        self.progress.stop.store(true, Ordering::Relaxed);
    }

    /// `repl-timeout` may have changed.
    pub fn tune(&self, timeout_s: u32) {
        let ms = u64::from(timeout_s) * 1000;
        self.timeout_ms.store(ms, Ordering::Relaxed);
    }
}

/// Writes the same to several connections, at the pace of the slowest.
struct Fanout {
    conns: Vec<Arc<Conn>>,
    timeout_ms: Arc<AtomicU64>,
}

impl Fanout {
    fn wait(&mut self) -> io::Result<()> {
        let begin = Instant::now();
        loop {
            self.conns
                .retain(|conn| conn.with(|outbox| !outbox.gone && outbox.close == Close::No));
            if self.conns.is_empty() {
                return Err(io::Error::other("no replica is left"));
            }
            let full = |conn: &Arc<Conn>| conn.pending_out.load(Ordering::Relaxed) > AHEAD;
            if !self.conns.iter().any(full) {
                return Ok(());
            }
            let timeout = Duration::from_millis(self.timeout_ms.load(Ordering::Relaxed));
            if begin.elapsed() > timeout {
                for conn in self.conns.iter().filter(|c| full(c)) {
                    tracing::warn!("Disconnecting timedout replica (full sync): {}", conn.addr);
                    conn.close(Close::Now);
                }
            }
            std::thread::sleep(NAP);
        }
    }
}

impl Write for Fanout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.wait()?;
        let shared = Arc::new(bytes.to_vec());
        for conn in &self.conns {
            conn.pending_out.fetch_add(bytes.len(), Ordering::Relaxed);
            conn.deliver(|outbox| outbox.output.push(Chunk::Shared(shared.clone())));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the thread needs.
struct Transfer {
    snapshot: Arc<Snapshot>,
    out: Fanout,
    format: Format,
    options: SaveOptions,
    progress: Arc<Progress>,
    delay_us: Arc<AtomicU64>,
    sending: Arc<AtomicBool>,
    file: PathBuf,
}

impl Transfer {
    fn run(mut self) -> io::Result<()> {
        match self.format {
            Format::Marked => {
                let mark = random_hex();
                self.out.write_all(format!("$EOF:{mark}\r\n").as_bytes())?;
                let (options, progress) = (&self.options, &self.progress);
                save_with_delay(
                    self.snapshot,
                    &mut self.out,
                    options,
                    progress,
                    &self.delay_us,
                )?;
                self.out.write_all(mark.as_bytes())
            }
            Format::Sized => {
                let mut file = temp::create(&self.file)?;
                let result = self.through_file(&mut file);
                // What matters is the first error.
                let _ = std::fs::remove_file(&self.file);
                result
            }
        }
    }

    fn through_file(&mut self, file: &mut File) -> io::Result<()> {
        let snapshot = self.snapshot.clone();
        let (options, progress) = (&self.options, &self.progress);
        save_with_delay(snapshot, file, options, progress, &self.delay_us)?;
        self.sending.store(true, Ordering::Relaxed);
        file.rewind()?;
        let size = file.metadata()?.len();
        self.out.write_all(format!("${size}\r\n").as_bytes())?;
        let mut piece = vec![0; PIECE];
        loop {
            let n = file.read(&mut piece)?;
            if n == 0 {
                return Ok(());
            }
            self.out.write_all(&piece[..n])?;
        }
    }
}

impl Runner<'_> {
    /// Begins a transfer if replicas have waited for long enough. To be called between turns, when
    /// the log has been handed out.
    pub fn start_transfer_if_due(&mut self) {
        let now_ms = self.core.now_ms();
        let repl = &self.core.repl;
        if repl.job.is_some() || self.core.mailbox.is_none() {
            return;
        }
        let waiting = || {
            let all = repl.replicas.values();
            all.filter(|r| r.state == ReplicaState::WaitTransfer)
        };
        let Some(first) = waiting().min_by_key(|r| r.since_ms) else {
            return;
        };
        let format = self.format_for(&first.intro);
        let config = &self.core.config;
        let delay_ms = i64::from(config.repl_diskless_sync_delay) * 1000;
        let most = config.repl_diskless_sync_max_replicas as usize;
        let enough = most > 0 && waiting().count() >= most;
        let only_data = waiting().all(|r| r.intro.rdb_only);
        if format == Format::Marked && !enough && now_ms - first.since_ms < delay_ms && !only_data {
            return;
        }
        let functions_only = first.intro.functions_only;
        let fits = |r: &&super::master::Replica| {
            self.format_for(&r.intro) == format && r.intro.functions_only == functions_only
        };
        let ids: Vec<u64> = waiting().filter(fits).map(|r| r.id).collect();
        self.start_transfer(ids, format, functions_only);
    }

    fn start_transfer(&mut self, ids: Vec<u64>, format: Format, functions_only: bool) {
        let Some(mailbox) = self.core.mailbox.clone() else {
            return;
        };
        let db = self.stream_db();
        self.ks.log.select_again();
        let offset = self.ks.log.offset();
        let id = self.core.repl.history.id.clone();
        let mut conns = Vec::new();
        for replica in &ids {
            let Some(replica) = self.core.repl.replicas.get_mut(replica) else {
                continue;
            };
            replica.state = ReplicaState::Transfer;
            replica.start = offset;
            if !replica.old_protocol {
                let line = format!("+FULLRESYNC {id} {offset}\r\n").into_bytes();
                let conn = &replica.conn;
                conn.pending_out.fetch_add(line.len(), Ordering::Relaxed);
                conn.deliver(|outbox| outbox.output.push(Chunk::Owned(line)));
            }
            conns.push(replica.conn.clone());
        }
        let mut snapshot = Snapshot::take(self.ks, self.core.scripts.library_sources());
        if functions_only {
            snapshot.data.dbs.clear();
        }
        let progress = Arc::new(Progress::default());
        let sending = Arc::new(AtomicBool::new(false));
        let timeout_ms = Arc::new(AtomicU64::new(
            u64::from(self.core.config.repl_timeout) * 1000,
        ));
        let transfer = Transfer {
            snapshot: Arc::new(snapshot),
            out: Fanout {
                conns,
                timeout_ms: timeout_ms.clone(),
            },
            format,
            options: SaveOptions {
                compress: self.core.config.rdbcompression,
                checksum: self.core.config.rdbchecksum,
                version: 0,
                aof_base: false,
                replication: Some(ReplicationState {
                    id,
                    offset,
                    db: db as i64,
                }),
            },
            progress: progress.clone(),
            delay_us: self.core.rdb.delay_us.clone(),
            sending: sending.clone(),
            file: here(&format!("temp-repl-{}.rdb", std::process::id())),
        };
        tracing::info!(
            "Starting BGSAVE for SYNC with target: {}",
            match format {
                Format::Marked => "replicas sockets",
                Format::Sized => "disk",
            }
        );
        self.core.repl.job = Some(SyncJob {
            replicas: ids,
            progress,
            format,
            sending,
            timeout_ms,
        });
        tracing::info!(
            "Background RDB transfer started by pid {}",
            std::process::id()
        );
        spawn(transfer, mailbox, format);
    }

    fn end_transfer(&mut self, format: Format, result: io::Result<()>) {
        let Some(job) = self.core.repl.job.take() else {
            return;
        };
        match &result {
            Ok(()) => {
                let up = |id: &&u64| self.core.repl.replicas.contains_key(id);
                tracing::info!(
                    "Diskless rdb transfer, done reading from pipe, {} replicas still up.",
                    job.replicas.iter().filter(up).count()
                );
            }
            Err(error) => tracing::warn!("SYNC failed: {error}"),
        }
        for id in job.replicas {
            let Some(replica) = self.core.repl.replicas.get_mut(&id) else {
                continue;
            };
            if result.is_err() {
                self.core.end_client(id);
            } else if replica.intro.rdb_only {
                // The data is all it wanted.
                replica.conn.close(Close::AfterFlush);
                self.core.repl.replicas.remove(&id);
            } else {
                replica.state = ReplicaState::WaitAck;
                replica.ack_ms = self.core.now_us / 1000;
                // With a length before it the replica knows the end by itself.
                if format == Format::Sized {
                    self.put_online(id);
                }
            }
        }
        // Others may have come meanwhile.
        self.start_transfer_if_due();
    }
}

fn spawn(transfer: Transfer, mailbox: Sender<Message>, format: Format) {
    let report = mailbox.clone();
    let run = move || {
        let result = transfer.run();
        report.send(Message::Task(Box::new(move |server| {
            server.runner().end_transfer(format, result);
        })));
    };
    let spawned = std::thread::Builder::new()
        .name("ferrite-sync".into())
        .spawn(run);
    if let Err(error) = spawned {
        mailbox.send(Message::Task(Box::new(move |server| {
            server.runner().end_transfer(format, Err(error));
        })));
    }
}
