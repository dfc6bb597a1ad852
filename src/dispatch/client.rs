//! What the actor knows of a client.

use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock};

use bitflags::bitflags;
use smallvec::SmallVec;

use super::blocked::Blocked;
use super::held::HeldReply;
use super::watch::{Multi, WatchedKey};
use crate::acl::User;
use crate::command::registry::Command;
use crate::net::conn::{Close, Conn};
use crate::pubsub::Subscriptions;
use crate::resp::reply::{Chunk, Reply};
use crate::resp::request::{Batch, Fault};
use crate::value::stream::StreamId;

bitflags! {
    /// States of a client.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct ClientFlags: u32 {
        /// `CLIENT NO-EVICT ON`.
        const NO_EVICT = 1 << 0;
        /// `CLIENT NO-TOUCH ON`.
        const NO_TOUCH = 1 << 1;
        /// The connection ends after the replies so far are written (QUIT, faults, CLIENT KILL).
        const CLOSE_AFTER_REPLY = 1 << 2;
        /// MONITOR.
        const MONITOR = 1 << 3;
        /// Connected over the unix socket.
        const UNIX = 1 << 4;
        /// Replies are dropped: `CLIENT REPLY OFF`.
        const REPLY_OFF = 1 << 5;
        /// The next reply is dropped: `CLIENT REPLY SKIP` was the present command.
        const REPLY_SKIP_NEXT = 1 << 6;
        /// The present reply is dropped.
        const REPLY_SKIP = 1 << 7;
        /// Authenticated, or no password is needed.
        const AUTHENTICATED = 1 << 8;
        /// The rest of its batch waits until CLIENT PAUSE ends.
        const PAUSED = 1 << 9;
        /// A key that it watches has changed: EXEC runs nothing.
        const DIRTY_CAS = 1 << 10;
        /// A replica of this server.
        const REPLICA = 1 << 11;
        /// Runs what the master sends.
        const MASTER = 1 << 12;
        /// Its output holds what was pushed in this turn.
        const PUSHED = 1 << 13;
        /// `CLIENT TRACKING ON`.
        const TRACKING = 1 << 14;
        /// The peer sends nothing more: it is not to wait for anything.
        const EOF = 1 << 15;
        /// It was given output since it was last looked at, see [`Client::rest`].
        const BUSY = 1 << 16;
        /// It has buffers, and was given no output since it was last looked at.
        const RESTS = 1 << 17;
    }
}

/// Classes that output limits and CLIENT KILL TYPE tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientType {
    Normal,
    Replica,
    Pubsub,
    Master,
}

/// A batch of which some commands have not run yet.
pub struct Waiting {
    pub batch: Box<Batch>,
    /// The first command that has not run.
    pub next: usize,
    pub fault: Option<Fault>,
}

/// Input or output up to this does not count as memory of its client, nor towards a smaller limit:
/// it is there for a moment only. Redis has fixed buffers of this size.
pub const SMALL_IO: usize = 16 * 1024;

/// A client that is idle for twice as long gives up its buffers.
pub const REST_S: u64 = 2;

/// Who clients are before the server gives them a user.
static SUPERUSER: LazyLock<Arc<User>> = LazyLock::new(|| Arc::new(User::all_permitted()));

/// One client.
pub struct Client {
    pub id: u64,
    pub conn: Arc<Conn>,
    pub flags: ClientFlags,
    /// Selected database.
    pub db: usize,
    pub out: Reply,
    /// `CLIENT SETNAME`, empty if none.
    pub name: Vec<u8>,
    pub lib_name: Vec<u8>,
    pub lib_ver: Vec<u8>,
    /// What it may do; until it logs in, the user `default`.
    pub user: Arc<User>,
    /// Monotonic ms of connection and of the last command.
    pub created_ms: i64,
    pub active_ms: i64,
    pub last: Option<&'static Command>,
    /// The rest of its batch, while it waits for the end of a pause or for its turn.
    pub waiting: Option<Waiting>,
    pub resp3: bool,
    /// The command at the head of `waiting` waits for something.
    pub blocked: Option<Blocked>,
    /// Positions with which XREAD goes on when it runs again: `$` is what it was when the wait began.
    pub resume: SmallVec<[StreamId; 4]>,
    /// µs that the command which runs again has run before.
    pub spent_us: i64,
    /// The transaction that is being queued.
    pub multi: Option<Box<Multi>>,
    pub watching: Vec<WatchedKey>,
    /// Channels and patterns; none if there are none.
    pub subs: Option<Box<Subscriptions>>,
    /// Bytes of the prefixes of keys that it tracks.
    pub prefix_bytes: usize,
    /// Offset of the log behind the effects of its last write.
    pub log_offset: u64,
    /// Its replies wait until the log is safe.
    pub held: Option<HeldReply>,
    /// Since when its output is above the soft limit, monotonic ms.
    pub soft_limit_since_ms: Option<i64>,
    /// Bytes of replies and of requests, and number of commands, for CLIENT LIST.
    pub total_out: u64,
    pub total_in: u64,
    pub total_commands: u64,
    /// What it was last counted with towards `maxmemory-clients`.
    pub weight: u64,
}

impl Client {
    pub fn new(conn: Arc<Conn>, now_ms: i64, flags: ClientFlags) -> Client {
        Client {
            id: conn.id,
            conn,
            flags,
            db: 0,
            out: Reply::new(),
            name: Vec::new(),
            lib_name: Vec::new(),
            lib_ver: Vec::new(),
            user: SUPERUSER.clone(),
            created_ms: now_ms,
            active_ms: now_ms,
            last: None,
            waiting: None,
            resp3: false,
            blocked: None,
            resume: SmallVec::new(),
            spent_us: 0,
            multi: None,
            watching: Vec::new(),
            subs: None,
            prefix_bytes: 0,
            log_offset: 0,
            held: None,
            soft_limit_since_ms: None,
            total_out: 0,
            total_in: 0,
            total_commands: 0,
            weight: 0,
        }
    }

    /// It repeats what its master has done, or this server before it was started again: such a client has no number.
    pub fn repeats(&self) -> bool {
        self.id == 0 || self.is(ClientFlags::MASTER)
    }

    pub fn is(&self, flag: ClientFlags) -> bool {
        self.flags.contains(flag)
    }

    /// Whether the reply that has just been written is not wanted; of `CLIENT REPLY SKIP` it is the one.
    pub fn drops_reply(&mut self) -> bool {
        let skips = self.is(ClientFlags::REPLY_SKIP);
        self.flags.remove(ClientFlags::REPLY_SKIP);
        skips || self.is(ClientFlags::REPLY_OFF)
    }

    pub fn client_type(&self) -> ClientType {
        if self.is(ClientFlags::REPLICA) {
            ClientType::Replica
        } else if self.is(ClientFlags::MASTER) {
            ClientType::Master
        } else if self.subs.is_some() {
            ClientType::Pubsub
        } else {
            ClientType::Normal
        }
    }

    /// RESP version as CLIENT LIST shows it.
    pub fn resp(&self) -> u8 {
        if self.resp3 { 3 } else { 2 }
    }

    /// Output goes to the buffer whose content is written, if there is one. A client has one buffer, unless another thread
    /// is still writing.
    pub fn reuse_buffer(&mut self) {
        if self.out.capacity() == 0
            && let Some(spare) = self.conn.with(|outbox| outbox.spare.take())
        {
            self.out.give_buffer(spare);
        }
    }

    /// Hands the replies so far to the connection. With a batch, its buffers go back too and the
    /// connection may send the next one.
    pub fn flush(&mut self, returned: Option<Box<Batch>>) {
        if self.held.is_none() {
            self.flush_first(usize::MAX, returned);
        }
    }

    /// Hands the first `most` bytes to the connection, and a batch.
    pub fn flush_first(&mut self, most: usize, returned: Option<Box<Batch>>) {
        let close = self.is(ClientFlags::CLOSE_AFTER_REPLY);
        if self.out.is_empty() && returned.is_none() && !close {
            return;
        }
        let later = (most < self.out.len()).then(|| self.out.split_off(most));
        let close = close && later.is_none();
        let bytes = self.out.len();
        self.flags.insert(ClientFlags::BUSY);
        self.total_out += bytes as u64;
        self.conn.pending_out.fetch_add(bytes, Ordering::Relaxed);
        let out = &mut self.out;
        self.conn.post(|outbox| {
            let (chunks, last) = out.take();
            chunks
                .into_iter()
                .for_each(|chunk| outbox.output.push(chunk));
            outbox.output.push(Chunk::Owned(last));
            if returned.is_some() {
                outbox.returned = returned;
            }
            if close {
                outbox.close = outbox.close.max(Close::AfterFlush);
            }
        });
        if let Some(later) = later {
            self.out.append(later);
        }
    }

    /// To be called every [`REST_S`] seconds: gives up the buffers that were not used between the last two calls.
    pub fn rest(&mut self) {
        if self.is(ClientFlags::BUSY) {
            self.flags.remove(ClientFlags::BUSY);
            self.flags.insert(ClientFlags::RESTS);
        } else if self.is(ClientFlags::RESTS) {
            self.flags.remove(ClientFlags::RESTS);
            self.out.give_up_buffer();
            self.conn.rest();
        }
    }

    /// Bytes that this client costs: buffers of input and output and its own state.
    pub fn memory(&self) -> u64 {
        let conn = &self.conn;
        // The room of a small batch is counted with the buffers of the connection.
        let waiting = self
            .waiting
            .as_ref()
            .map_or(0, |w| w.batch.content().saturating_sub(SMALL_IO));
        let sizes = [
            size_of::<Client>() + size_of::<Conn>(),
            conn.query_len.load(Ordering::Relaxed),
            conn.query_free.load(Ordering::Relaxed),
            // Small replies are on their way out.
            (conn.pending_out.load(Ordering::Relaxed) + self.out.len()).saturating_sub(SMALL_IO),
            waiting,
            self.name.len() + self.lib_name.len() + self.lib_ver.len(),
            self.multi.as_ref().map_or(0, |m| m.memory()),
            self.watching
                .iter()
                .map(|w| w.key.len() + size_of::<WatchedKey>())
                .sum(),
            self.subs.as_ref().map_or(0, |subs| subs.memory()),
            self.prefix_bytes,
        ];
        sizes.iter().map(|n| *n as u64).sum()
    }
}
