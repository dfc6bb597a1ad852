//! The task of one connection: reads, parses everything that is complete into one batch, hands
//! it to the actor, writes what comes back.
//!
//! At most one batch is on its way. While the actor works on it (or a client is blocked) the
//! task reads ahead, but only [`AHEAD`] bytes, and notices when the peer is gone.
//!
//! A peer that closes its sending side still gets the replies to everything that came before,
//! and then the connection ends.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use super::conn::{Close, Conn};
use super::output::Output;
use super::socket::Socket;
use crate::base::mailbox::Sender;
use crate::config::SharedSettings;
use crate::dispatch::actor::Message;
use crate::resp::request::{Batch, Fault, Parser, Rules};

/// Bytes asked for with one read.
const READ: usize = 16 * 1024;
/// The same of a peer that has not yet sent so much at once: most never do, and their buffers stay small.
const READ_FIRST: usize = 2 * 1024;
/// Reads in a row before others get their turn.
const READS_PER_TURN: usize = 4;
/// Bytes read while a batch is on its way; the rest waits in the kernel, and the peer with it.
const AHEAD: usize = 1 << 20;
/// The same for those who have not logged in.
const AHEAD_STRANGER: usize = READ;
/// Bytes written in a row before others get their turn.
const WRITE_PER_TURN: usize = 1 << 20;
/// Spans are 32 bits wide: no request may grow beyond this, whatever the configuration says.
const QUERY_MAX: usize = 2 << 30;
/// Pending input of fewer bytes is not worth telling the actor.
const GROWN_MIN: usize = 64 * 1024;

/// State of the task.
struct Task<S> {
    socket: Arc<S>,
    conn: Arc<Conn>,
    actor: Sender<Message>,
    settings: Arc<SharedSettings>,
    parser: Parser,
    /// Collects the next batch.
    batch: Box<Batch>,
    /// The other batch, while none is on its way.
    idle: Option<Box<Batch>>,
    fault: Option<Fault>,
    /// Output that left the outbox and is not written yet.
    writing: Output,
    close: Close,
    /// The peer sends nothing more; what it has sent is still answered.
    eof: bool,
    /// The socket failed.
    ended: bool,
    /// Bytes of pending input that the actor was told of.
    told: usize,
    /// The turn was used up: others come first.
    tired: bool,
    /// Bytes to ask for with the next read.
    room: usize,
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
pub async fn run<S: Socket>(
    socket: Arc<S>,
    conn: Arc<Conn>,
    actor: Sender<Message>,
    settings: Arc<SharedSettings>,
) {
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
        writing: Output::default(),
        close: Close::No,
        eof: false,
        ended: false,
        told: 0,
        tired: false,
        room: READ_FIRST,
    };
    while !task.is_over() {
        let event = std::future::poll_fn(|cx| task.poll_event(cx)).await;
        task.handle(event);
        task.conn.hurry.store(task.hurries(), Ordering::Relaxed);
        if std::mem::take(&mut task.tired) {
            tokio::task::yield_now().await;
        }
    }
    task.conn.with(|outbox| outbox.gone = true);
    task.actor.send(Message::Closed {
        id: task.conn.id,
        slot: task.conn.slot.load(Ordering::Relaxed),
    });
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
        if self.wants_input() && self.socket.poll_readable(cx).is_ready() {
            return Poll::Ready(Event::Readable);
        }
        Poll::Pending
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Outbox => self.collect(),
            Event::Writable => {
                self.flush();
                if self.writing.is_empty() {
                    self.submit();
                }
            }
            Event::Readable => self.receive(),
        }
    }

    fn wants_input(&self) -> bool {
        // A large argument that is complete has to be taken before there is room again.
        self.close == Close::No
            && self.fault.is_none()
            && !self.eof
            && !self.parser.is_full()
            && (self.may_send() || self.batch.buf.len() < self.ahead())
    }

    fn ahead(&self) -> usize {
        if self.conn.authenticated.load(Ordering::Acquire) {
            AHEAD
        } else {
            AHEAD_STRANGER
        }
    }

    /// Whether a batch can go to the actor now. Those who have not logged in must read the
    /// replies first, so that they cannot pile up.
    fn may_send(&self) -> bool {
        self.idle.is_some()
            && (self.writing.is_empty() || self.conn.authenticated.load(Ordering::Acquire))
    }

    fn query_limit(&self) -> usize {
        self.settings.client_query_buffer_limit().min(QUERY_MAX)
    }

    /// Takes what the actor has put into the outbox, and writes.
    fn collect(&mut self) {
        let (returned, rest) = self.conn.with(|outbox| {
            self.writing.append(&mut outbox.output);
            self.close = self.close.max(outbox.close);
            (outbox.returned.take(), std::mem::take(&mut outbox.rest))
        });
        if self.close == Close::Now {
            return;
        }
        self.flush();
        if let Some(batch) = returned {
            self.reuse(batch);
            self.submit();
        }
        if rest {
            self.rest();
        }
    }

    /// Gives up what holds nothing now.
    fn rest(&mut self) {
        if self.writing.is_empty() {
            self.writing = Output::default();
        }
        if let Some(idle) = &mut self.idle {
            **idle = Batch::default();
        }
        self.batch.shrink_to_fit();
        self.room = READ_FIRST;
        self.count_query();
    }

    fn reuse(&mut self, mut batch: Box<Batch>) {
        batch.clear();
        self.idle = Some(batch);
    }

    /// Whether there is something to do as soon as the batch comes back. If not, the next input is
    /// early enough to look for it.
    fn hurries(&self) -> bool {
        let waits = self.eof || self.fault.is_some() || self.parser.pending(&self.batch) > 0;
        waits && self.idle.is_none()
    }

    fn flush(&mut self) {
        let mut left = WRITE_PER_TURN;
        while !self.writing.is_empty() {
            if left == 0 {
                self.tired = true;
                return;
            }
            match self.write_some() {
                Ok(n) => left = left.saturating_sub(n),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.ended = true;
                    return;
                }
            }
        }
    }

    /// One write; returns the number of bytes.
    fn write_some(&mut self) -> io::Result<usize> {
        let (n, spare) = self.writing.write_to(&*self.socket)?;
        self.conn.pending_out.fetch_sub(n, Ordering::Relaxed);
        if spare.is_some() {
            self.conn.with(|outbox| outbox.spare = spare);
        }
        Ok(n)
    }

    /// Reads, parses, and sends a batch if there is one.
    fn receive(&mut self) {
        if self.idle.is_none()
            && let Some(batch) = self.conn.with(|outbox| outbox.returned.take())
        {
            self.reuse(batch);
        }
        self.tired = true;
        let reads = if self.conn.authenticated.load(Ordering::Acquire) {
            READS_PER_TURN
        } else {
            1
        };
        for _ in 0..reads {
            if !self.wants_input() {
                break;
            }
            if self.parser.pending(&self.batch) > self.query_limit() {
                self.fault = Some(Fault::QueryBuffer);
                break;
            }
            let (target, wanted) = self.parser.target(&mut self.batch, self.room);
            make_room(target, wanted);
            let wanted = wanted.min(target.capacity() - target.len());
            match self.socket.read(target, wanted) {
                Ok(n) => {
                    self.eof = n == 0;
                    if n < wanted {
                        self.tired = false;
                        break;
                    }
                    self.room = READ;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.tired = false;
                    break;
                }
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
        if self.eof && self.idle.is_none() {
            let slot = self.conn.slot.load(Ordering::Relaxed);
            self.actor.send(Message::Eof {
                id: self.conn.id,
                slot,
            });
        }
    }

    /// Parses what is there and sends it, if no batch is on its way.
    fn submit(&mut self) {
        if !self.may_send() || self.close != Close::No {
            return self.count_query();
        }
        let rules = Rules {
            authenticated: self.conn.authenticated.load(Ordering::Acquire),
            max_bulk: i64::try_from(self.settings.proto_max_bulk_len()).unwrap_or(i64::MAX),
            max_query: self.query_limit(),
        };
        if self.fault.is_none()
            && let Err(fault) = self.parser.parse(&mut self.batch, &rules)
        {
            self.fault = Some(fault);
        }
        if self.batch.is_empty() && self.fault.is_none() {
            self.parser.compact(&mut self.batch);
            if self.eof {
                self.close = self.close.max(Close::AfterFlush);
            }
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
        self.actor.send(Message::Batch {
            id: self.conn.id,
            slot,
            batch,
            fault,
        });
    }

    /// Tells what the input takes; the actor hears of it each time that it has doubled, and when the
    /// peer pauses.
    fn count_query(&mut self) {
        if self.parser.filling_capacity() > 0 && self.batch.buf.capacity() > READ_FIRST {
            // Only small parts of this request come here now. What a client takes depends on what it has sent, and not
            // on the pieces that came.
            self.batch.buf.shrink_to(READ_FIRST);
        }
        let pending = self.parser.pending_len(&self.batch);
        let capacity = self.batch.buf.capacity() + self.parser.filling_capacity();
        self.conn.query_len.store(pending, Ordering::Relaxed);
        self.conn
            .query_free
            .store(capacity.saturating_sub(pending), Ordering::Relaxed);
        if pending < GROWN_MIN {
            self.told = 0;
        } else if pending >= self.told.saturating_mul(2) || pending > self.told && !self.tired {
            self.told = pending;
            let slot = self.conn.slot.load(Ordering::Relaxed);
            self.actor.send(Message::Grown {
                id: self.conn.id,
                slot,
            });
        }
    }
}
