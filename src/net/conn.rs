//! What the actor and a connection's task share: the way out, and numbers for CLIENT LIST.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::resp::reply::Chunk;
use crate::resp::request::Batch;

/// How a connection is to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Close {
    #[default]
    No,
    /// When everything is written.
    AfterFlush,
    /// At once.
    Now,
}

/// The way from the actor to the connection's task.
#[derive(Default)]
pub struct Outbox {
    pub chunks: VecDeque<Chunk>,
    /// The batch is done: its buffers come back, the next one may be sent.
    pub returned: Option<Box<Batch>>,
    pub close: Close,
    /// An empty buffer that the actor may write the next replies to.
    pub spare: Option<Vec<u8>>,
    waker: Option<Waker>,
    /// The task gave up; nobody will write any more.
    pub gone: bool,
}

/// The connection of one client.
pub struct Conn {
    pub id: u64,
    /// Place in the actor's list of clients.
    pub slot: AtomicUsize,
    /// Addresses as CLIENT LIST shows them: `ip:port`, or `path:0` for unix sockets.
    pub addr: String,
    pub laddr: String,
    pub unix: bool,
    /// File descriptor number, for CLIENT LIST only.
    pub fd: i32,
    /// Larger requests are parsed; set by the actor at AUTH.
    pub authenticated: AtomicBool,
    /// Bytes of output that wait to be written.
    pub pending_out: AtomicUsize,
    /// Bytes of input that wait, and unused bytes of the input buffer.
    pub query_len: AtomicUsize,
    pub query_free: AtomicUsize,
    outbox: Mutex<Outbox>,
    signal: AtomicBool,
}

impl Conn {
    pub fn new(
        id: u64,
        addr: String,
        laddr: String,
        unix: bool,
        fd: i32,
        authenticated: bool,
    ) -> Conn {
        Conn {
            id,
            slot: AtomicUsize::new(usize::MAX),
            addr,
            laddr,
            unix,
            fd,
            authenticated: AtomicBool::new(authenticated),
            pending_out: AtomicUsize::new(0),
            query_len: AtomicUsize::new(0),
            query_free: AtomicUsize::new(0),
            outbox: Mutex::new(Outbox::default()),
            signal: AtomicBool::new(false),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the outbox and wakes the connection's task.
    pub fn deliver<R>(&self, f: impl FnOnce(&mut Outbox) -> R) -> R {
        let (result, waker) = {
            let mut outbox = self.lock();
            let result = f(&mut outbox);
            self.signal.store(true, Ordering::Release);
            (result, outbox.waker.take())
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        result
    }

    /// Looks at the outbox without waking anyone.
    pub fn with<R>(&self, f: impl FnOnce(&mut Outbox) -> R) -> R {
        f(&mut self.lock())
    }

    /// Ends the connection; a stronger wish wins.
    pub fn close(&self, how: Close) {
        self.deliver(|outbox| outbox.close = outbox.close.max(how));
    }

    /// Ready when the actor has put something into the outbox since the last time.
    pub fn poll_signal(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.signal.swap(false, Ordering::AcqRel) {
            return Poll::Ready(());
        }
        let mut outbox = self.lock();
        if self.signal.swap(false, Ordering::AcqRel) {
            return Poll::Ready(());
        }
        match &mut outbox.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}
