//! The task of one connection: reads, parses everything that is complete into one batch, hands
//! it to the actor, writes what comes back.
//!
//! At most one batch is on its way. While the actor works on it (or a client is blocked) the
//! task reads nothing more, but notices when the peer is gone.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use super::conn::{Close, Conn};
use super::socket::Socket;
use crate::base::mailbox::Sender;
use crate::config::SharedSettings;
use crate::dispatch::actor::Message;
use crate::resp::reply::Chunk;
use crate::resp::request::{Batch, Fault, Parser, Rules};

/// Bytes asked for with one read.
const READ: usize = 16 * 1024;
/// Reads in a row before others get their turn.
const READS_PER_TURN: usize = 4;
/// Chunks given to one vectored write.
const WRITE_PARTS: usize = 64;
/// A reply buffer that grew beyond this is not kept for the next replies.
const KEEP_SPARE: usize = 64 * 1024;

/// Pending input of fewer bytes is not worth telling the actor.
const GROWN_MIN: usize = 64 * 1024;

/// State of the task.
struct Task<S> {
    socket: S,
    conn: Arc<Conn>,
    actor: Sender<Message>,
    settings: Arc<SharedSettings>,
    parser: Parser,
    /// Collects the next batch.
    batch: Box<Batch>,
    /// The other batch, while none is on its way.
    idle: Option<Box<Batch>>,
    fault: Option<Fault>,
    /// Output that left the outbox and is not written yet, with how much of the first is.
    writing: std::collections::VecDeque<Chunk>,
    written: usize,
    close: Close,
    /// The peer closed its side, or the socket failed.
    ended: bool,
    /// Bytes of pending input that the actor was told of.
    told: usize,
}

enum Event {
    Outbox,
    Readable,
    Writable,
}

/// Makes room for `wanted` more bytes: for at most 1 MiB or as much as there is already, so that a
/// length that was announced costs nothing before it comes, and never for more than wanted.
fn make_room(target: &mut Vec<u8>, wanted: usize) {
    const STEP: usize = 1 << 20;
    if target.capacity() - target.len() < wanted.min(READ) {
        target.reserve_exact(wanted.min(target.len().max(STEP)));
    }
}

/// Runs a connection until it ends.
pub async fn run<S: Socket>(socket: S, conn: Arc<Conn>, actor: Sender<Message>, settings: Arc<SharedSettings>) {
    actor.send(Message::Connected(conn.clone()));
    let mut task = Task {
        socket,
        conn,
        actor,
        settings,
        parser: Parser::default(),
        batch: Box::default(),
        idle: Some(Box::default()),
        fault: None,
        writing: Default::default(),
        written: 0,
        close: Close::No,
        ended: false,
        told: 0,
    };
    while !task.is_over() {
        let event = std::future::poll_fn(|cx| task.poll_event(cx)).await;
        task.handle(event);
    }
    task.conn.with(|outbox| outbox.gone = true);
    task.actor.send(Message::Closed { id: task.conn.id, slot: task.conn.slot.load(Ordering::Relaxed) });
}

impl<S: Socket> Task<S> {
    fn is_over(&self) -> bool {
        self.ended
            || self.close == Close::Now
            || self.close == Close::AfterFlush && self.writing.is_empty()
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        if self.conn.poll_signal(cx).is_ready() {
            return Poll::Ready(Event::Outbox);
        }
        if !self.writing.is_empty() && self.socket.poll_writable(cx).is_ready() {
            return Poll::Ready(Event::Writable);
        }
        // A large argument that is complete has to be taken before there is room again.
        let reads = self.close == Close::No && self.fault.is_none() && !self.parser.is_full();
        if reads && self.socket.poll_readable(cx).is_ready() {
            return Poll::Ready(Event::Readable);
        }
        Poll::Pending
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Outbox => self.collect(),
            Event::Writable => self.flush(),
            Event::Readable => self.receive(),
        }
    }

    /// Takes what the actor has put into the outbox, and writes.
    fn collect(&mut self) {
        let returned = self.conn.with(|outbox| {
            if self.writing.is_empty() {
                std::mem::swap(&mut self.writing, &mut outbox.chunks);
            } else {
                self.writing.append(&mut outbox.chunks);
            }
            self.close = self.close.max(outbox.close);
            outbox.returned.take()
        });
        if self.close == Close::Now {
            return;
        }
        self.flush();
        if let Some(mut batch) = returned {
            batch.clear();
            self.idle = Some(batch);
            self.submit();
        }
    }

    fn flush(&mut self) {
        while !self.writing.is_empty() {
            match self.write_some() {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.ended = true;
                    return;
                }
            }
        }
    }

    fn write_some(&mut self) -> io::Result<()> {
        let mut parts = [io::IoSlice::new(&[]); WRITE_PARTS];
        let mut used = 0;
        for (part, chunk) in parts.iter_mut().zip(&self.writing) {
            let skip = if used == 0 { self.written } else { 0 };
            *part = io::IoSlice::new(&chunk.bytes()[skip..]);
            used += 1;
        }
        let mut n = self.socket.write(&parts[..used])?;
        self.conn.pending_out.fetch_sub(n, Ordering::Relaxed);
        while let Some(first) = self.writing.front() {
            let left = first.bytes().len() - self.written;
            if n < left {
                self.written += n;
                break;
            }
            n -= left;
            self.written = 0;
            let done = self.writing.pop_front();
            if let Some(Chunk::Owned(buf)) = done {
                self.keep_spare(buf);
            }
        }
        Ok(())
    }

    fn keep_spare(&self, mut buf: Vec<u8>) {
        if self.writing.is_empty() && buf.capacity() <= KEEP_SPARE {
            buf.clear();
            self.conn.with(|outbox| outbox.spare = Some(buf));
        }
    }

    /// Reads, parses, and sends a batch if there is one. While a batch is on its way, reads only
    /// up to a limit, so that the peer's end is noticed.
    fn receive(&mut self) {
        for _ in 0..READS_PER_TURN {
            // To read nothing would look like the peer's end.
            if self.parser.is_full() {
                break;
            }
            let limit = self.settings.client_query_buffer_limit();
            let on_its_way = self.idle.is_none();
            let room = if on_its_way && self.batch.buf.len() >= READ { 1 } else { READ };
            if self.parser.pending(&self.batch) > limit {
                self.fault = Some(Fault::QueryBuffer);
                break;
            }
            let (target, wanted) = self.parser.target(&mut self.batch, room);
            make_room(target, wanted);
            let wanted = wanted.min(target.capacity() - target.len());
            match self.socket.read(target, wanted) {
                Ok(0) => {
                    self.ended = true;
                    return;
                }
                Ok(n) if n < wanted => break,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.ended = true;
                    return;
                }
            }
        }
        if self.parser.pending(&self.batch) > self.settings.client_query_buffer_limit() {
            self.fault = Some(Fault::QueryBuffer);
        }
        self.submit();
    }

    /// Parses what is there and sends it, if no batch is on its way.
    fn submit(&mut self) {
        if self.idle.is_none() || self.close != Close::No {
            return self.count_query();
        }
        let rules = Rules {
            authenticated: self.conn.authenticated.load(Ordering::Acquire),
            max_bulk: i64::try_from(self.settings.proto_max_bulk_len()).unwrap_or(i64::MAX),
            max_query: self.settings.client_query_buffer_limit(),
        };
        if self.fault.is_none()
            && let Err(fault) = self.parser.parse(&mut self.batch, &rules)
        {
            self.fault = Some(fault);
        }
        if self.batch.is_empty() && self.fault.is_none() {
            return self.count_query();
        }
        let Some(mut next) = self.idle.take() else {
            return;
        };
        self.parser.carry(&mut self.batch, &mut next);
        let batch = std::mem::replace(&mut self.batch, next);
        let slot = self.conn.slot.load(Ordering::Relaxed);
        let fault = self.fault.clone();
        self.count_query();
        self.actor.send(Message::Batch { id: self.conn.id, slot, batch, fault });
    }

    /// Tells what the input takes; the actor hears of it each time that it has doubled.
    fn count_query(&mut self) {
        if self.parser.filling_capacity() > 0 && self.batch.buf.capacity() > 2 * READ {
            // Only small parts of this request come here now.
            self.batch.buf.shrink_to(READ);
        }
        let pending = self.parser.pending_len(&self.batch);
        let capacity = self.batch.buf.capacity() + self.parser.filling_capacity();
        self.conn.query_len.store(pending, Ordering::Relaxed);
        self.conn.query_free.store(capacity.saturating_sub(pending), Ordering::Relaxed);
        if pending < GROWN_MIN {
            self.told = 0;
        } else if pending >= self.told.saturating_mul(2) {
            self.told = pending;
            let slot = self.conn.slot.load(Ordering::Relaxed);
            self.actor.send(Message::Grown { id: self.conn.id, slot });
        }
    }
}
