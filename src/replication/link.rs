//! The replica's link: two threads, one that reads (and loads what comes as a whole), one that
//! tells the master how far the replica is. What is to be done with the data is the actor's
//! business; [`Report`]s bring it there.

use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender as Pipe, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::divergence::{Outcome, Plan};
use super::handshake::{Handshake, Identity, MasterFacts, Step, request};
use super::stream::Splitter;
use crate::base::mailbox::Sender;
use crate::dispatch::actor::Message;
use crate::dispatch::server::Server;
use crate::rdb::load::{LoadOptions, Loaded, Progress, load};
use crate::rdb::read::{Reader, Source};

/// Time between attempts.
const RETRY: Duration = Duration::from_secs(1);
/// The same after the master's data was refused.
const RETRY_REFUSED: Duration = Duration::from_secs(10);
const REFUSED: &str = "the master's data was refused";
/// The replica says how far it is this often.
const ACK_EVERY: Duration = Duration::from_secs(1);
/// Bytes read from the socket at a time.
const READ: usize = 64 * 1024;
/// Bytes that may wait for the actor before the thread stops reading.
const IN_FLIGHT: u64 = 16 << 20;
/// Longest line of a handshake.
const LINE_MAX: u64 = 64 * 1024;
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
    /// Bytes received so far of a transfer, for INFO.
    pub progress: Progress,
}

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
    pub timeout: Duration,
    pub nodelay: bool,
}

/// What the thread tells the actor; some want an answer.
pub enum Report {
    /// What to tell the master and how to load; no answer ends the link.
    Begin(Pipe<(Identity, LoadOptions)>),
    /// The connection stands; the handshake goes on.
    Connected,
    /// A whole data set is about to come. The answer is what to save of ours before that.
    Full(MasterFacts, Pipe<Option<Plan>>),
    /// That is done.
    Saved((String, Option<u64>, u64), Outcome),
    /// A whole data set begins to come.
    Receiving,
    /// It is there. False: it was refused.
    Loaded(Box<Loaded>, String, u64, MasterFacts, Pipe<bool>),
    /// The stream goes on, perhaps under another id. False: it cannot.
    Continued(Option<String>, Pipe<bool>),
    /// Whole units of the stream.
    Units(Vec<u8>),
    /// Something came.
    Alive,
    /// The connection ended, with the reason.
    Down(String),
}

/// Takes a report of the link of that generation on the actor's thread.
pub type Take = fn(&mut Server, u64, Report);

/// Starts the threads of a link.
///
/// # Errors
/// If no thread can be had.
pub fn start(target: Target, mailbox: Sender<Message>, take: Take) -> io::Result<Handle> {
    let shared = Arc::new(Shared::default());
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

/// The master's socket. A process that was stopped and goes on finds its reads interrupted, because
/// they have a timeout: that is no reason to lose the link.
struct Wire(TcpStream);

impl Read for Wire {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read(buf) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }
}

struct Link {
    target: Target,
    mailbox: Sender<Message>,
    take: Take,
    shared: Arc<Shared>,
    asked: Arc<Mutex<Receiver<()>>>,
}

/// Why a connection ended.
type End = String;

fn text(what: &str) -> impl Fn(io::Error) -> End {
    let what = what.to_string();
    move |error| format!("{what}: {error}")
}

impl Link {
    fn run(self) {
        while !self.stopped() {
            let mut rest = RETRY;
            if let Err(reason) = self.connect_and_follow() {
                // A master whose data is refused makes a copy each time that it is asked.
                rest = if reason == REFUSED {
                    RETRY_REFUSED
                } else {
                    RETRY
                };
                self.report(Report::Down(reason));
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
            .map_err(|_| "the link is not wanted any more".to_string())
    }

    fn connect(&self) -> Result<TcpStream, End> {
        let target = &self.target;
        let addrs = (target.host.as_str(), target.port).to_socket_addrs();
        let addrs = addrs.map_err(text("Unable to resolve the master's name"))?;
        let mut last = "Unable to connect to MASTER: no address".to_string();
        for addr in addrs {
            match TcpStream::connect_timeout(&addr, target.timeout) {
                Ok(socket) => {
                    let failed = text("Unable to set up the link");
                    socket.set_nodelay(target.nodelay).map_err(&failed)?;
                    socket
                        .set_read_timeout(Some(target.timeout))
                        .map_err(&failed)?;
                    socket
                        .set_write_timeout(Some(target.timeout))
                        .map_err(&failed)?;
                    let shared = self.shared.socket.lock();
                    let clone = socket.try_clone().map_err(&failed)?;
                    *shared.unwrap_or_else(PoisonError::into_inner) = Some(clone);
                    return Ok(socket);
                }
                Err(error) => last = format!("Error condition on socket for SYNC: {error}"),
            }
        }
        Err(last)
    }

    fn connect_and_follow(&self) -> Result<(), End> {
        let (identity, options) = self.ask(Report::Begin)?;
        let socket = self.connect()?;
        // A stop between the question and the connection would have found no socket.
        if self.stopped() {
            return Ok(());
        }
        self.report(Report::Connected);
        let writer = socket
            .try_clone()
            .map_err(text("Unable to set up the link"))?;
        let mut reader = BufReader::with_capacity(READ, Wire(socket));
        let (step, facts) = shake_hands(identity, &mut reader, &writer)?;
        match step {
            Step::Full { id, offset } => {
                self.save_divergence(&facts, &writer)?;
                let loaded = self.receive(&mut reader, &options, &writer)?;
                let loaded = Box::new(loaded);
                let taken = self.ask(|answer| Report::Loaded(loaded, id, offset, facts, answer))?;
                if !taken {
                    return Err(REFUSED.into());
                }
            }
            Step::Continue { id } => {
                if !self.ask(|answer| Report::Continued(id, answer))? {
                    return Err("the stream cannot go on from here".into());
                }
            }
            Step::Retry(reason) | Step::Fail(reason) => return Err(reason),
            Step::Send(_) | Step::Line | Step::Bulk(_) => return Ok(()),
        }
        self.shared.in_flight.store(0, Ordering::Release);
        self.follow(reader, writer)
    }

    /// Saves what this server has and the master has not.
    fn save_divergence(&self, facts: &MasterFacts, writer: &TcpStream) -> Result<(), End> {
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
        writer: &TcpStream,
    ) -> Result<Loaded, End> {
        let line = loop {
            let line = read_line(reader)?;
            if !line.is_empty() {
                break String::from_utf8_lossy(&line).into_owned();
            }
        };
        self.report(Report::Receiving);
        let failed = |error: &dyn std::fmt::Display| {
            format!("Failed trying to load the MASTER synchronization DB: {error}")
        };
        let progress = &self.shared.progress;
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
                    format!(
                        "Bad protocol from MASTER, the first byte is not '$' (we received '{line}')"
                    )
                })?;
                let mut source = Reader::new(reader.by_ref().take(size), Some(size));
                load(&mut source, options, progress).map_err(|e| failed(&e))?
            }
        };
        drop(alive);
        Ok(loaded)
    }

    /// Reads the stream until it ends.
    fn follow(&self, mut reader: BufReader<Wire>, writer: TcpStream) -> Result<(), End> {
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
        // The socket may have ended by itself.
        let _ = reader.get_ref().0.shutdown(Shutdown::Both);
        // It ends with its socket, within a second. Nobody waits for that: the actor has to know now.
        drop(thread);
        end
    }

    fn read_stream(&self, reader: &mut BufReader<Wire>) -> Result<(), End> {
        let mut splitter = Splitter::default();
        let mut piece = vec![0; READ];
        loop {
            let n = reader.read(&mut piece).map_err(read_error)?;
            if n == 0 {
                return Err("Connection with master lost.".into());
            }
            splitter.feed(&piece[..n]);
            let units = splitter
                .take()
                .map_err(|fault| format!("the master's stream is damaged: {fault}"))?;
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

fn read_error(error: io::Error) -> End {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            "MASTER timeout: no data nor PING received...".into()
        }
        _ => format!("Reading from master: {error}"),
    }
}

/// A line without its end.
fn read_line(reader: &mut BufReader<Wire>) -> Result<Vec<u8>, End> {
    use std::io::BufRead;
    let mut line = Vec::new();
    let n = reader
        .by_ref()
        .take(LINE_MAX)
        .read_until(b'\n', &mut line)
        .map_err(read_error)?;
    if n == 0 || line.last() != Some(&b'\n') {
        return Err("I/O error reading from the master: the connection ended".into());
    }
    line.pop();
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(line)
}

fn shake_hands(
    identity: Identity,
    reader: &mut BufReader<Wire>,
    mut writer: &TcpStream,
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
            Step::Fail(reason) => return Err(reason),
            Step::Retry(reason) => return Err(reason),
            done => return Ok((done, handshake.facts)),
        };
    }
}

/// Sends an empty line each second while a data set is loaded.
struct KeepAlive {
    done: Option<std::sync::mpsc::SyncSender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl KeepAlive {
    fn start(socket: &TcpStream) -> Result<KeepAlive, End> {
        let mut socket = socket
            .try_clone()
            .map_err(text("Unable to set up the link"))?;
        let (done, gone) = sync_channel::<()>(0);
        let run = move || {
            while let Err(RecvTimeoutError::Timeout) = gone.recv_timeout(ACK_EVERY) {
                if socket.write_all(b"\n").is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("ferrite-alive".into())
            .spawn(run);
        let thread = thread.map_err(text("Unable to start a thread"))?;
        Ok(KeepAlive {
            done: Some(done),
            thread: Some(thread),
        })
    }
}

impl Drop for KeepAlive {
    fn drop(&mut self) {
        self.done = None;
        if let Some(thread) = self.thread.take() {
            // It ends with its channel; a panic has been reported.
            let _ = thread.join();
        }
    }
}

/// Tells the master how far the replica is.
struct Acks {
    socket: TcpStream,
    shared: Arc<Shared>,
    asked: Arc<Mutex<Receiver<()>>>,
    gone: Receiver<()>,
}

impl Acks {
    fn run(mut self) {
        let asked = self.asked.clone();
        let asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let offset = self.shared.applied.load(Ordering::Acquire).to_string();
            let ack = request(&[b"REPLCONF", b"ACK", offset.as_bytes()]);
            if self.socket.write_all(&ack).is_err() {
                // The reading side notices as well.
                return;
            }
            match asked.recv_timeout(ACK_EVERY) {
                Ok(()) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            while asked.try_recv().is_ok() {}
            if let Err(std::sync::mpsc::TryRecvError::Disconnected) = self.gone.try_recv() {
                return;
            }
        }
    }
}
