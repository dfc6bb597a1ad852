//! What the actor and a connection's task share: the way out, and numbers for CLIENT LIST.
//!
//! Replies go through the [`Outbox`]. Where the task runs on another thread, it is woken and writes.
//! Where it runs on the actor's own thread, the actor writes what its turn has produced at the end of
//! the turn ([`write_posted`]): the task is woken only if that leaves something to do. All replies of
//! a turn go out in a row on purpose: peers that are woken one by one between the commands of others
//! cost the kernel far more.

use std::cell::RefCell;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use super::output::Output;
use super::socket::Socket;
use crate::resp::request::Batch;

/// More than this is left to the task, which gives others their turn in between.
const WRITE_AT_ONCE: usize = 256 * 1024;

thread_local! {
    /// Connections of this thread that got something in the present turn.
    static POSTED: RefCell<Vec<Arc<Conn>>> = const { RefCell::new(Vec::new()) };
}

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
    pub output: Output,
    /// The batch is done: its buffers come back, the next one may be sent.
    pub returned: Option<Box<Batch>>,
    pub close: Close,
    /// An empty buffer that the actor may write the next replies to.
    pub spare: Option<Vec<u8>>,
    /// The task is to give up its buffers.
    pub rest: bool,
    waker: Option<Waker>,
    /// It is in the list of what the actor writes.
    posted: bool,
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
    /// The user that the client's certificate names.
    tls_user: OnceLock<String>,
    /// Larger requests are parsed; set by the actor at AUTH.
    pub authenticated: AtomicBool,
    /// Bytes of output that wait to be written.
    pub pending_out: AtomicUsize,
    /// Bytes of input that wait, and unused bytes of the input buffer.
    pub query_len: AtomicUsize,
    pub query_free: AtomicUsize,
    /// The task has input that waits for its batch to come back.
    pub hurry: AtomicBool,
    /// The socket, if the actor may write to it.
    socket: OnceLock<Weak<dyn Socket>>,
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
            tls_user: OnceLock::new(),
            authenticated: AtomicBool::new(authenticated),
            pending_out: AtomicUsize::new(0),
            query_len: AtomicUsize::new(0),
            query_free: AtomicUsize::new(0),
            hurry: AtomicBool::new(false),
            socket: OnceLock::new(),
            outbox: Mutex::new(Outbox::default()),
            signal: AtomicBool::new(false),
        }
    }

    /// The client's certificate says who it is.
    pub fn name_user(&self, name: String) {
        // A connection has one certificate.
        let _ = self.tls_user.set(name);
    }

    /// Who the client is by its certificate.
    pub fn tls_user(&self) -> Option<&str> {
        self.tls_user.get().map(String::as_str)
    }

    fn lock(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The task runs on the actor's thread: the actor may write to the socket as long as it is open.
    pub fn share_socket(&self, socket: Weak<dyn Socket>) {
        // A connection has one socket, which is made once.
        let _ = self.socket.set(socket);
    }

    /// Changes the outbox; what is in it then is written at the end of the actor's turn, or by the
    /// task if that is on another thread. Only for the actor.
    pub fn post(self: &Arc<Self>, f: impl FnOnce(&mut Outbox)) {
        if self.socket.get().is_none() {
            return self.deliver(f);
        }
        let mut outbox = self.lock();
        f(&mut outbox);
        if !std::mem::replace(&mut outbox.posted, true) {
            POSTED.with_borrow_mut(|posted| posted.push(self.clone()));
        }
    }

    /// Writes what is in the outbox, and wakes the task if there is more to do than that.
    fn write_out(&self) {
        let mut outbox = self.lock();
        outbox.posted = false;
        if outbox.close == Close::Now || outbox.gone {
            return; // The task knows that already.
        }
        let pending = self.pending_out.load(Ordering::Relaxed);
        let own = pending.saturating_sub(outbox.output.len());
        let done = own == 0 && self.try_write(&mut outbox);
        let returns = outbox.returned.is_some() && self.hurry.load(Ordering::Relaxed);
        if done && !returns && outbox.close == Close::No {
            return;
        }
        self.signal.store(true, Ordering::Release);
        let waker = outbox.waker.take();
        drop(outbox);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// True if everything is written. Errors are for the task, which meets them as well.
    fn try_write(&self, outbox: &mut Outbox) -> bool {
        let Some(socket) = self.socket.get().and_then(Weak::upgrade) else {
            return false;
        };
        if outbox.output.len() > WRITE_AT_ONCE {
            return false;
        }
        while !outbox.output.is_empty() {
            match outbox.output.write_to(&*socket) {
                Ok((n, spare)) => {
                    self.pending_out.fetch_sub(n, Ordering::Relaxed);
                    outbox.spare = spare.or(outbox.spare.take());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        true
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

    /// The connection gives up its buffers: nothing was said for a while.
    pub fn rest(&self) {
        self.deliver(|outbox| {
            outbox.spare = None;
            outbox.rest = true;
        });
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

/// Writes what the actor's turn has produced for connections of its own thread.
pub fn write_posted() {
    let mut posted = POSTED.take();
    posted.drain(..).for_each(|conn| conn.write_out());
    // Nothing posts while it is written; the list keeps its room.
    POSTED.set(posted);
}
