//! The replica's link: two threads, one that reads (and loads what comes as a whole), one that
//! tells the master how far the replica is. What is to be done with the data is the actor's
//! business; [`Report`]s bring it there. The socket is in [`wire`], what is told in [`acks`].

mod acks;
mod wire;

use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender as Pipe, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use self::acks::{Acks, KeepAlive};
use self::wire::{Wire, connect_from, read_error, read_line};
use super::divergence::{Outcome, Plan};
use super::handshake::{Handshake, Identity, MasterFacts, Step};
use super::stream::Splitter;
use crate::base::mailbox::Sender;
use crate::dispatch::actor::Message;
use crate::dispatch::server::Server;
use crate::rdb::load::{LoadOptions, Loaded, Progress, load};
use crate::rdb::read::{Reader, Source};
use crate::tls::blocking::Stream;

/// Time between attempts.
const RETRY: Duration = Duration::from_secs(1);
/// The same after the master's data was refused.
const RETRY_REFUSED: Duration = Duration::from_secs(10);
const REFUSED: &str = "the master's data was refused";
/// Longest wait for a byte before the link looks whether the master has been silent for too long.
const TICK: Duration = Duration::from_millis(500);
/// Bytes read from the socket at a time.
const READ: usize = 64 * 1024;
/// Bytes that may wait for the actor before the thread stops reading.
const IN_FLIGHT: u64 = 16 << 20;
/// Characters of the mark around a transfer without a length.
const MARK: usize = 40;

/// What the threads and the actor share.
#[derive(Debug, Default)]
pub struct Shared {
    stop: AtomicBool,
    /// The socket in use, to be shut from outside.
    socket: Mutex<Option<TcpStream>>,
    /// Bytes handed to the actor that it has not applied yet.
    in_flight: AtomicU64,
    /// Offset that the replica has applied.
    pub applied: AtomicU64,
    /// Offset that is on the replica's disk, for WAITAOF; [`NO_FILE`]: it writes no file.
    pub synced: AtomicU64,
    /// `repl-timeout`, in ms.
    pub timeout_ms: AtomicU64,
    /// Bytes received so far of a transfer, for INFO.
    pub progress: Progress,
}

/// There is no append-only file whose progress could be told.
pub const NO_FILE: u64 = u64::MAX;

/// The actor's end of a link.
#[derive(Debug)]
pub struct Handle {
    pub shared: Arc<Shared>,
    asks: Pipe<()>,
}

impl Handle {
    /// Ends the link for good.
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::Release);
        self.cut();
    }

    /// Ends the present connection; the link makes a new one.
    pub fn cut(&self) {
        let socket = self.shared.socket.lock();
        if let Some(socket) = socket.unwrap_or_else(PoisonError::into_inner).as_ref() {
            // It may have ended by itself.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    /// The actor has applied these bytes and is at `offset`.
    pub fn applied(&self, bytes: usize, offset: u64) {
        self.shared.applied.store(offset, Ordering::Release);
        self.shared
            .in_flight
            .fetch_sub(bytes as u64, Ordering::AcqRel);
    }

    /// Tells the master at once how far the replica is.
    pub fn ack_now(&self) {
        // Without a connection there is nobody to tell.
        let _ = self.asks.send(());
    }
}

/// Where the master is and how to reach it.
#[derive(Clone, Debug)]
pub struct Target {
    pub host: String,
    pub port: u16,
    /// Links of former masters are recognised by an older generation.
    pub generation: u64,
    /// Silence that ends the connection; see [`Shared::timeout_ms`].
    pub timeout: Duration,
    pub nodelay: bool,
    /// `bind-source-addr`: the address to connect from; empty if none.
    pub source: String,
}

/// What a connection begins with: what to tell the master, how to load, and TLS if the link is to have it.
pub type Begin = (Identity, LoadOptions, Option<Arc<rustls::ClientConfig>>);

/// What the thread tells the actor; some want an answer.
pub enum Report {
    /// No answer ends the link; `None`: not yet.
    Begin(Pipe<Option<Begin>>),
    /// The connection stands, with the addresses of both ends; the handshake goes on.
    Connected(String, String),
    /// A whole data set is about to come. The answer is what to save of ours before that.
    Full(MasterFacts, Pipe<Option<Plan>>),
    /// That is done.
    Saved((String, Option<u64>, u64), Outcome),
    /// A whole data set is to come.
    Receiving,
    /// It comes, from this history, and is loaded as it comes.
    Loading(String),
    /// It is there. False: it was refused.
    Loaded(Box<Loaded>, String, u64, MasterFacts, Pipe<bool>),
    /// The stream goes on, perhaps under another id. False: it cannot.
    Continued(Option<String>, Pipe<bool>),
    /// Whole units of the stream.
    Units(Vec<u8>),
    /// Something came.
    Alive,
    /// The connection ended.
    Down(End),
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    pub reason: String,
    pub kind: EndKind,
}

/// What follows from the end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndKind {
    /// The link failed; it is tried again.
    Failed,
    /// The stream had come until then: the next attempt is made at once.
    Lost,
    /// The master does not answer PSYNC.
    Rejected,
    /// Its data is not wanted: the next attempt is made after a while.
    Refused,
}

impl From<String> for End {
    fn from(reason: String) -> End {
        End {
            reason,
            kind: EndKind::Failed,
        }
    }
}

impl From<&str> for End {
    fn from(reason: &str) -> End {
        End::from(reason.to_string())
    }
}

/// Takes a report of the link of that generation on the actor's thread.
pub type Take = fn(&mut Server, u64, Report);

/// Starts the threads of a link.
///
/// # Errors
/// If no thread can be had.
pub fn start(target: Target, mailbox: Sender<Message>, take: Take) -> io::Result<Handle> {
    let shared = Arc::new(Shared::default());
    shared.synced.store(NO_FILE, Ordering::Release);
    let timeout_ms = u64::try_from(target.timeout.as_millis()).unwrap_or(u64::MAX);
    shared.timeout_ms.store(timeout_ms, Ordering::Release);
    let (asks, asked) = channel();
    let link = Link {
        target,
        mailbox,
        take,
        shared: shared.clone(),
        asked: Arc::new(Mutex::new(asked)),
    };
    std::thread::Builder::new()
        .name("ferrite-link".into())
        .spawn(move || link.run())?;
    Ok(Handle { shared, asks })
}

struct Link {
    target: Target,
    mailbox: Sender<Message>,
    take: Take,
    shared: Arc<Shared>,
    asked: Arc<Mutex<Receiver<()>>>,
}

fn text(what: &str) -> impl Fn(io::Error) -> End {
    let what = what.to_string();
    move |error| End::from(format!("{what}: {error}"))
}

impl Link {
    fn run(self) {
        while !self.stopped() {
            let mut rest = RETRY;
            if let Err(end) = self.connect_and_follow() {
                rest = match end.kind {
                    EndKind::Lost => Duration::ZERO,
                    // Such a master makes a copy each time that it is asked.
                    EndKind::Refused => RETRY_REFUSED,
                    EndKind::Failed | EndKind::Rejected => RETRY,
                };
                self.report(Report::Down(end));
            }
            let begin = Instant::now();
            while begin.elapsed() < rest {
                if self.stopped() {
                    return;
                }
                std::thread::sleep(RETRY / 10);
            }
        }
    }

    fn stopped(&self) -> bool {
        self.shared.stop.load(Ordering::Acquire)
    }

    fn report(&self, report: Report) {
        let (take, generation) = (self.take, self.target.generation);
        self.mailbox.send(Message::Task(Box::new(move |server| {
            take(server, generation, report);
        })));
    }

    /// Reports and waits for the answer; an error if the actor does not want this link any more.
    fn ask<R>(&self, report: impl FnOnce(Pipe<R>) -> Report) -> Result<R, End> {
        let (answer, wait) = channel();
        self.report(report(answer));
        wait.recv()
            .map_err(|_| End::from("the link is not wanted any more"))
    }

    fn connect(&self) -> Result<TcpStream, End> {
        let target = &self.target;
        let addrs = (target.host.as_str(), target.port).to_socket_addrs();
        let addrs = addrs.map_err(text("Unable to resolve the master's name"))?;
        let mut last = "Unable to connect to MASTER: no address".to_string();
        let timeout = Duration::from_millis(self.shared.timeout_ms.load(Ordering::Acquire).max(1));
        for addr in addrs {
            match connect_from(&target.source, addr, timeout) {
                Ok(socket) => {
                    let failed = text("Unable to set up the link");
                    socket.set_nodelay(target.nodelay).map_err(&failed)?;
                    let shared = self.shared.socket.lock();
                    let clone = socket.try_clone().map_err(&failed)?;
                    *shared.unwrap_or_else(PoisonError::into_inner) = Some(clone);
                    return Ok(socket);
                }
                Err(error) => last = format!("Error condition on socket for SYNC: {error}"),
            }
        }
        Err(last.into())
    }

    /// With TLS if there is a configuration for it.
    fn encrypt(
        &self,
        socket: TcpStream,
        tls: Option<Arc<rustls::ClientConfig>>,
    ) -> Result<Stream, End> {
        let failed = text("Error condition on socket for SYNC");
        let patience = Duration::from_millis(self.shared.timeout_ms.load(Ordering::Acquire).max(1));
        let stream = Stream::connect(socket, tls, patience).map_err(&failed)?;
        let raw = stream.socket();
        raw.set_read_timeout(Some(TICK)).map_err(&failed)?;
        raw.set_write_timeout(Some(patience)).map_err(&failed)?;
        Ok(stream)
    }

    fn connect_and_follow(&self) -> Result<(), End> {
        let Some((identity, options, tls)) = self.ask(Report::Begin)? else {
            return Ok(());
        };
        let socket = self.connect()?;
        // A stop between the question and the connection would have found no socket.
        if self.stopped() {
            return Ok(());
        }
        let socket = self.encrypt(socket, tls)?;
        let name = |addr: io::Result<SocketAddr>| addr.map_or(String::new(), |a| a.to_string());
        let ends = (name(socket.peer_addr()), name(socket.local_addr()));
        self.report(Report::Connected(ends.0, ends.1));
        let writer = socket
            .try_clone()
            .map_err(text("Unable to set up the link"))?;
        let wire = Wire {
            socket,
            shared: self.shared.clone(),
            bulk: false,
            stream: false,
        };
        let mut reader = BufReader::with_capacity(READ, wire);
        let (step, facts) = shake_hands(identity, &mut reader, &writer)?;
        match step {
            Step::Full { id, offset } => {
                self.save_divergence(&facts, &writer)?;
                reader.get_mut().bulk = true;
                self.report(Report::Receiving);
                let loaded = self.receive(&mut reader, &options, &writer, &id)?;
                let loaded = Box::new(loaded);
                let taken = self.ask(|answer| Report::Loaded(loaded, id, offset, facts, answer))?;
                if !taken {
                    return Err(End {
                        reason: REFUSED.into(),
                        kind: EndKind::Refused,
                    });
                }
            }
            Step::Continue { id } => {
                if !self.ask(|answer| Report::Continued(id, answer))? {
                    return Err("the stream cannot go on from here".into());
                }
            }
            Step::Retry(reason) | Step::Fail(reason) => return Err(reason.into()),
            Step::Send(_) | Step::Line | Step::Bulk(_) => return Ok(()),
        }
        self.shared.in_flight.store(0, Ordering::Release);
        reader.get_mut().stream = true;
        self.follow(reader, writer)
    }

    /// Saves what this server has and the master has not.
    fn save_divergence(&self, facts: &MasterFacts, writer: &Stream) -> Result<(), End> {
        let plan = self.ask(|answer| Report::Full(facts.clone(), answer))?;
        if let Some(plan) = plan {
            let alive = KeepAlive::start(writer)?;
            let key = plan.key.clone();
            let outcome = plan.save();
            drop(alive);
            self.report(Report::Saved(key, outcome));
        }
        Ok(())
    }

    /// Receives a whole data set and loads it beside the present one.
    fn receive(
        &self,
        reader: &mut BufReader<Wire>,
        options: &LoadOptions,
        writer: &Stream,
        id: &str,
    ) -> Result<Loaded, End> {
        let line = loop {
            let line = read_line(reader)?;
            if !line.is_empty() {
                break String::from_utf8_lossy(&line).into_owned();
            }
        };
        self.report(Report::Loading(id.into()));
        let failed = |error: &dyn std::fmt::Display| {
            End::from(format!(
                "Failed trying to load the MASTER synchronization DB: Internal error in RDB: {error}"
            ))
        };
        let progress = &self.shared.progress;
        progress.total.store(0, Ordering::Relaxed);
        progress.bytes.store(0, Ordering::Relaxed);
        // While nothing is said, the master may take the replica for dead.
        let alive = KeepAlive::start(writer)?;
        let loaded = match line.strip_prefix("$EOF:") {
            Some(mark) if mark.len() == MARK => {
                let mut source = Reader::new(&mut *reader, None);
                let loaded = load(&mut source, options, progress).map_err(|e| failed(&e))?;
                let end: [u8; MARK] = source.array().map_err(|fault| failed(&fault.cause))?;
                if end != mark.as_bytes() {
                    return Err(failed(&"the mark behind the data is not that before it"));
                }
                loaded
            }
            _ => {
                let size = line.strip_prefix('$').and_then(|n| n.parse::<u64>().ok());
                let size = size.ok_or_else(|| {
                    End::from(format!(
                        "Bad protocol from MASTER, the first byte is not '$' (we received '{line}')"
                    ))
                })?;
                progress.total.store(size, Ordering::Relaxed);
                let mut source = Reader::new(reader.by_ref().take(size), Some(size));
                load(&mut source, options, progress).map_err(|e| failed(&e))?
            }
        };
        drop(alive);
        Ok(loaded)
    }

    /// Reads the stream until it ends.
    fn follow(&self, mut reader: BufReader<Wire>, writer: Stream) -> Result<(), End> {
        let (done, gone) = sync_channel::<()>(0);
        let acks = Acks {
            socket: writer,
            shared: self.shared.clone(),
            asked: self.asked.clone(),
            gone,
        };
        let thread = std::thread::Builder::new()
            .name("ferrite-acks".into())
            .spawn(move || acks.run());
        let thread = thread.map_err(text("Unable to start a thread"))?;
        let end = self.read_stream(&mut reader);
        drop(done);
        reader.get_ref().socket.shutdown();
        // It ends with its socket, within a second. Nobody waits for that: the actor has to know now.
        drop(thread);
        end
    }

    /// The stream had come: the next attempt is made at once.
    fn lost(reason: impl Into<String>) -> End {
        End {
            reason: reason.into(),
            kind: EndKind::Lost,
        }
    }

    fn read_stream(&self, reader: &mut BufReader<Wire>) -> Result<(), End> {
        let mut splitter = Splitter::default();
        let mut piece = vec![0; READ];
        loop {
            let n = reader
                .read(&mut piece)
                .map_err(|error| Self::lost(read_error(error).reason))?;
            if n == 0 {
                return Err(Self::lost("Connection with master lost."));
            }
            splitter.feed(&piece[..n]);
            let units = splitter
                .take()
                .map_err(|fault| End::from(format!("the master's stream is damaged: {fault}")))?;
            if units.is_empty() {
                self.report(Report::Alive);
                continue;
            }
            let in_flight = &self.shared.in_flight;
            in_flight.fetch_add(units.len() as u64, Ordering::AcqRel);
            self.report(Report::Units(units));
            while in_flight.load(Ordering::Acquire) > IN_FLIGHT && !self.stopped() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

fn shake_hands(
    identity: Identity,
    reader: &mut BufReader<Wire>,
    mut writer: &Stream,
) -> Result<(Step, MasterFacts), End> {
    let (mut handshake, first) = Handshake::begin(identity);
    let mut step = Step::Send(first);
    loop {
        step = match step {
            Step::Send(bytes) => {
                writer
                    .write_all(&bytes)
                    .map_err(text("Sending command to master in replication handshake"))?;
                handshake.line(&read_line(reader)?)
            }
            Step::Line => handshake.line(&read_line(reader)?),
            Step::Bulk(len) => {
                let mut bytes = vec![0; len + 2];
                reader.read_exact(&mut bytes).map_err(read_error)?;
                handshake.bulk(&bytes[..len])
            }
            Step::Fail(reason) | Step::Retry(reason) => {
                let kind = if handshake.asks_for_stream() {
                    EndKind::Rejected
                } else {
                    EndKind::Failed
                };
                return Err(End { reason, kind });
            }
            done => return Ok((done, handshake.facts)),
        };
    }
}
