//! The master's side: replicas, what they asked for, and the stream that they get.

use std::sync::Arc;

use smallvec::SmallVec;
use std::sync::atomic::Ordering;

use super::backlog::Backlog;
use super::history::History;
use super::output::Parts;
use super::sync::Format;
use crate::dispatch::client::{Client, ClientFlags};
use crate::dispatch::core::random_hex;
use crate::dispatch::run::Runner;
use crate::log::{Consumer, Taken};
use crate::net::conn::Conn;
use crate::resp::reply::Chunk;

/// Bytes of the stream that wait in a replica's output before the rest waits in the backlog.
const AHEAD: usize = 4 << 10;
/// What one turn wrote is given out as blocks of the backlog if it is longer than this.
const LONG_TURN: usize = 32 << 10;
/// Bytes that a replica gets out of the backlog at a time.
const REFILL: usize = 8 << 20;

/// Where a replica stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaState {
    /// It waits for a transfer to begin.
    WaitTransfer,
    /// Its data is being sent.
    Transfer,
    /// It has the data, and says so before it gets the stream.
    WaitAck,
    /// It gets the stream.
    Online,
}

impl ReplicaState {
    /// As INFO names it.
    pub fn name(self) -> &'static str {
        match self {
            // The same while the data is made; see `SyncJob::is_sending`.
            ReplicaState::WaitTransfer | ReplicaState::Transfer => "wait_bgsave",
            ReplicaState::WaitAck | ReplicaState::Online => "online",
        }
    }
}

/// What a replica tells of itself with REPLCONF.
#[derive(Clone, Debug, Default)]
pub struct Introduction {
    pub port: u16,
    /// Empty: that of its connection.
    pub ip: String,
    /// It understands a transfer without a length.
    pub eof: bool,
    pub psync2: bool,
    /// It wants the data and no stream.
    pub rdb_only: bool,
    /// It wants function libraries and no data.
    pub functions_only: bool,
}

/// A replica.
pub struct Replica {
    pub id: u64,
    pub conn: Arc<Conn>,
    pub intro: Introduction,
    pub state: ReplicaState,
    /// It asked with SYNC: no line comes before the data.
    pub old_protocol: bool,
    /// Offset at which its data was taken: the stream goes on there.
    pub start: u64,
    /// It reads slowly: from this offset on it gets the stream out of the backlog, when it has room.
    pub next: Option<u64>,
    /// What is in its output.
    parts: Parts,
    /// What it has confirmed, what of that is on its disk, and when (monotonic ms).
    pub ack: u64,
    pub fsync_ack: u64,
    pub ack_ms: i64,
    pub since_ms: i64,
}

/// A client in WAIT or WAITAOF.
#[derive(Clone, Copy, Debug)]
pub struct Waiter {
    pub id: u64,
    pub offset: u64,
    pub replicas: usize,
}

impl Replica {
    /// Address and port as INFO and ROLE show them.
    pub fn address(&self) -> (String, u16) {
        let peer = self.conn.addr.rsplit_once(':').map_or("", |(ip, _)| ip);
        let ip = if self.intro.ip.is_empty() {
            peer.trim_matches(['[', ']']).to_string()
        } else {
            self.intro.ip.clone()
        };
        (ip, self.intro.port)
    }

    /// The offset from which on the backlog is kept for it: it has not got all data yet, or reads slowly.
    pub fn needs(&self) -> Option<u64> {
        match self.state {
            ReplicaState::WaitTransfer => None,
            ReplicaState::Transfer | ReplicaState::WaitAck => Some(self.start),
            ReplicaState::Online => self.next,
        }
    }

    fn waiting(&self) -> usize {
        self.conn.pending_out.load(Ordering::Relaxed)
    }

    /// Puts a chunk into the output.
    fn push(&mut self, chunk: Chunk) {
        self.push_all([(chunk, None)]);
    }

    /// Puts a part of the stream from `offset` on into the output, of which it shares the blocks with the backlog.
    fn push_stream(&mut self, chunks: Vec<Chunk>, mut offset: u64) {
        self.push_all(chunks.into_iter().map(|chunk| {
            let block = matches!(chunk, Chunk::Shared(_)).then_some(offset);
            offset += chunk.bytes().len() as u64;
            (chunk, block)
        }));
    }

    /// Puts chunks into the output, each with its offset if it is a block of the backlog.
    fn push_all(&mut self, chunks: impl IntoIterator<Item = (Chunk, Option<u64>)>) {
        self.parts.settle(self.waiting());
        let (conn, parts) = (&self.conn, &mut self.parts);
        conn.deliver(|outbox| {
            for (chunk, block) in chunks {
                let len = chunk.bytes().len();
                conn.pending_out.fetch_add(len, Ordering::Relaxed);
                outbox.output.push(parts.add(chunk, block));
            }
        });
    }

    /// Bytes of memory that its output takes beside the backlog, which begins with the block at offset `kept`.
    pub(super) fn output_memory(&self, kept: u64) -> u64 {
        self.parts.memory(self.waiting(), kept)
    }
}

/// What a client gets that asks to follow.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// The stream goes on from this offset.
    Continue(u64),
    /// All data.
    Full,
}

/// Decides how a replica that has `offset` bytes of history `id` goes on. `None`: it has nothing.
pub fn decide(history: &History, backlog: Option<&Backlog>, asked: Option<(&str, u64)>) -> Answer {
    match (asked, backlog) {
        (Some((id, offset)), Some(backlog))
            if history.continues(id, offset) && backlog.contains(offset) =>
        {
            Answer::Continue(offset)
        }
        _ => Answer::Full,
    }
}

impl Runner<'_> {
    /// There is a backlog from now on.
    pub fn keep_backlog(&mut self) {
        let repl = &mut self.core.repl;
        repl.alone_since_ms = None;
        if repl.backlog.is_some() {
            return;
        }
        // Where a file reads the log, something of this turn may wait in it: that is before the begin.
        crate::aof::state::pass_on(self.ks, self.core);
        let repl = &mut self.core.repl;
        if self.ks.log.has_gap() {
            // What nobody read is in no stream: nobody goes on from before it.
            repl.history = History::new();
            self.ks.log.close_gap();
        }
        let offset = self.ks.log.offset();
        repl.backlog = Some(Backlog::new(offset, self.core.config.repl_backlog_size));
        self.ks.log.attach(Consumer::Replicas);
    }

    /// Nobody followed for so long that the backlog goes.
    pub fn drop_backlog(&mut self) {
        self.core.repl.backlog = None;
        self.core.repl.history = History::new();
        self.ks.log.detach(Consumer::Replicas);
    }

    /// Gives the replicas what one turn wrote.
    pub fn feed_replicas(&mut self, taken: &Taken) {
        let repl = &mut self.core.repl;
        let Some(backlog) = &mut repl.backlog else {
            return;
        };
        if taken.bytes.is_empty() {
            return;
        }
        let first = backlog.end();
        // A replica that has enough to read gets this later; so all of them share it.
        for replica in repl.replicas.values_mut() {
            let online = replica.state == ReplicaState::Online;
            let shares = taken.bytes.len() > LONG_TURN || replica.waiting() > AHEAD;
            if online && replica.next.is_none() && shares {
                replica.next = Some(first);
            }
        }
        let needed = repl.replicas.values().filter_map(Replica::needs).min();
        backlog.append(&taken.bytes, needed.unwrap_or(u64::MAX));
        debug_assert_eq!(backlog.end(), taken.offset, "the stream is out of place");
        if taken.offset == self.ks.log.offset()
            && let Some(db) = self.ks.log.selected()
        {
            backlog.mark(db);
        }
        if repl.replicas.is_empty() {
            return;
        }
        let mut shared = None;
        let ids: SmallVec<[u64; 8]> = repl.replicas.keys().copied().collect();
        for id in ids {
            if let Some(replica) = self.core.repl.replicas.get_mut(&id)
                && replica.state == ReplicaState::Online
                && replica.next.is_none()
            {
                let bytes = shared.get_or_insert_with(|| Arc::new(taken.bytes.clone()));
                replica.push(Chunk::Shared(bytes.clone()));
                if let Some(client) = self.core.clients.get_mut(id) {
                    client.total_out += bytes.len() as u64;
                }
            }
            self.core.check_output_limit(id);
        }
        self.feed_slow_replicas();
    }

    /// Replicas that have read what they had get more out of the backlog.
    pub fn feed_slow_replicas(&mut self) {
        let core = &mut *self.core;
        let Some(backlog) = &core.repl.backlog else {
            return;
        };
        for replica in core.repl.replicas.values_mut() {
            replica.parts.settle(replica.waiting());
            let Some(next) = replica.next.filter(|_| replica.waiting() < AHEAD / 2) else {
                continue;
            };
            let (chunks, end) = backlog.some_from(next, REFILL);
            replica.push_stream(chunks, next);
            replica.next = (end < backlog.end()).then_some(end);
            if let Some(client) = core.clients.get_mut(replica.id) {
                client.total_out += end - next;
            }
        }
    }

    /// The replica has its data: the stream goes on behind it.
    pub fn put_online(&mut self, id: u64) {
        let now_ms = self.core.now_ms();
        let repl = &mut self.core.repl;
        let (Some(replica), Some(backlog)) = (repl.replicas.get_mut(&id), &repl.backlog) else {
            return;
        };
        if !backlog.contains(replica.start) {
            // Cannot be: what is needed is kept.
            return self.core.end_client(id);
        }
        replica.state = ReplicaState::Online;
        replica.ack_ms = now_ms;
        replica.next = Some(replica.start);
        let (ip, port) = replica.address();
        tracing::info!("Synchronization with replica {ip}:{port} succeeded");
        self.feed_slow_replicas();
    }

    /// A replica tells how far it is.
    pub fn confirm(&mut self, id: u64, offset: u64, fsynced: Option<u64>) {
        let now_ms = self.core.now_ms();
        let Some(replica) = self.core.repl.replicas.get_mut(&id) else {
            return;
        };
        replica.ack = replica.ack.max(offset);
        replica.fsync_ack = replica.fsync_ack.max(fsynced.unwrap_or(0));
        replica.ack_ms = now_ms;
        if replica.state == ReplicaState::WaitAck {
            self.put_online(id);
        }
        self.serve_waiters();
        crate::dispatch::shutdown::step(self.ks, self.core);
    }

    /// Answers clients in WAIT whose writes enough replicas have.
    pub fn serve_waiters(&mut self) {
        self.core.serve_waitaof();
        if self.core.repl.waiting.is_empty() {
            return;
        }
        let waiting = std::mem::take(&mut self.core.repl.waiting);
        for waiter in waiting {
            let confirmed = self.core.repl.confirmed(waiter.offset);
            let blocked = self.core.clients.get(waiter.id);
            if blocked.is_none_or(|c| c.blocked.is_none()) {
                continue;
            }
            if confirmed >= waiter.replicas {
                self.core
                    .unblock(waiter.id, |out| out.int(confirmed as i64));
            } else {
                self.core.repl.waiting.push(waiter);
            }
        }
    }

    /// A client asks to follow: its stream, or word of the transfer to come, goes out beside the
    /// ordinary replies.
    pub fn attach_replica(
        &mut self,
        client: &mut Client,
        asked: Option<(&str, u64)>,
        old_protocol: bool,
    ) {
        let intro = self.core.repl.introduced.entry(client.id).or_default();
        let now_ms = self.core.clock.mono_us() / 1000;
        let mut replica = Replica {
            id: client.id,
            conn: client.conn.clone(),
            intro: intro.clone(),
            state: ReplicaState::WaitTransfer,
            old_protocol,
            start: 0,
            next: None,
            parts: Parts::default(),
            ack: 0,
            fsync_ack: 0,
            ack_ms: now_ms,
            since_ms: now_ms,
        };
        client.flags.insert(ClientFlags::REPLICA);
        let (ip, port) = replica.address();
        tracing::info!("Replica {ip}:{port} asks for synchronization");
        let repl = &mut self.core.repl;
        repl.alone_since_ms = None;
        match (
            decide(&repl.history, repl.backlog.as_ref(), asked),
            &repl.backlog,
        ) {
            (Answer::Continue(offset), Some(backlog)) => {
                repl.stats.partial_ok += 1;
                let id = if replica.intro.psync2 {
                    format!(" {}", repl.history.id)
                } else {
                    String::new()
                };
                tracing::info!(
                    "Partial resynchronization request from {ip}:{port} accepted. Sending {} bytes of backlog starting from offset {}.",
                    backlog.end() - offset,
                    offset + 1
                );
                let line = format!("+CONTINUE{id}\r\n").into_bytes();
                replica.push(Chunk::Owned(line));
                replica.push_stream(backlog.from(offset), offset);
                replica.state = ReplicaState::Online;
                replica.ack = offset;
                repl.replicas.insert(client.id, replica);
            }
            _ => {
                repl.stats.partial_err += u64::from(asked.is_some());
                repl.stats.full += 1;
                tracing::info!("Full resync requested by replica {ip}:{port}");
                repl.replicas.insert(client.id, replica);
                self.keep_backlog();
            }
        }
    }

    /// Ends the links of all replicas: they ask anew.
    pub fn drop_replicas(&mut self) {
        for id in self.core.repl.replicas.keys().copied().collect::<Vec<_>>() {
            self.core.end_client(id);
        }
    }

    /// The data changes in a way that no stream tells: whoever follows gets a new copy. The new history knows the former
    /// one, so that its replicas take the copy as that of their own master, and begins one byte later, so that none of
    /// them can go on from there.
    pub fn end_stream(&mut self) {
        crate::aof::state::pass_on(self.ks, self.core);
        self.drop_replicas();
        let repl = &mut self.core.repl;
        if repl.backlog.is_none() {
            repl.history = History::new();
            return;
        }
        let offset = self.ks.log.offset();
        repl.history.branch(offset, random_hex());
        repl.backlog = Some(Backlog::new(offset + 1, self.core.config.repl_backlog_size));
        self.ks.log.set_offset(offset + 1);
        self.ks.log.select_again();
    }

    /// What has to be done for replicas from time to time.
    pub fn replication_cron(&mut self) {
        let now_ms = self.core.now_ms();
        let period = i64::from(self.core.config.repl_ping_replica_period) * 1000;
        let repl = &mut self.core.repl;
        if !repl.is_replica() && now_ms - repl.pinged_ms >= period && !repl.replicas.is_empty() {
            repl.pinged_ms = now_ms;
            self.ks
                .log
                .append_for_replicas(None, [&b"PING"[..]].into_iter());
            self.ks.log.end_unit(false);
        }
        self.tune_link();
        self.core.tell_synced();
        self.drop_silent_replicas(now_ms);
        self.core.repl.trim_backlog();
        if let Some(job) = &self.core.repl.job {
            job.tune(self.core.config.repl_timeout);
        }
        let repl = &mut self.core.repl;
        if repl.backlog.is_some() && repl.replicas.is_empty() && !repl.is_replica() {
            let since = *repl.alone_since_ms.get_or_insert(now_ms);
            let ttl_s = self.core.config.repl_backlog_ttl as i64;
            if ttl_s > 0 && (now_ms - since) / 1000 > ttl_s {
                tracing::info!(
                    "Replication backlog freed after {ttl_s} seconds without connected replicas."
                );
                self.drop_backlog();
            }
        }
        self.start_transfer_if_due();
    }

    fn drop_silent_replicas(&mut self, now_ms: i64) {
        let timeout = i64::from(self.core.config.repl_timeout) * 1000;
        let silent = |r: &&Replica| match r.state {
            // What waits for data gets empty lines meanwhile.
            ReplicaState::WaitTransfer => false,
            ReplicaState::Transfer => r.conn.with(|outbox| outbox.gone),
            ReplicaState::WaitAck | ReplicaState::Online => now_ms - r.ack_ms > timeout,
        };
        let repl = &self.core.repl;
        let ids: Vec<u64> = repl
            .replicas
            .values()
            .filter(silent)
            .map(|r| r.id)
            .collect();
        for id in ids {
            let (ip, port) = self.core.repl.replicas[&id].address();
            tracing::warn!("Disconnecting timedout replica (streaming sync): {ip}:{port}");
            self.core.end_client(id);
        }
        for replica in self.core.repl.replicas.values_mut() {
            if replica.state == ReplicaState::WaitTransfer {
                replica.push(Chunk::Owned(b"\n".to_vec()));
            }
        }
    }

    /// In which form a replica takes the data.
    pub fn format_for(&self, intro: &Introduction) -> Format {
        if self.core.config.repl_diskless_sync && intro.eof {
            Format::Marked
        } else {
            Format::Sized
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_goes_on_and_who_gets_all() {
        let mut history = History::of("a".repeat(40));
        let mut backlog = Backlog::new(100, 10);
        backlog.append(&[b'x'; 20], u64::MAX);
        let id = "a".repeat(40);
        let ask = |history: &History, id: &str, offset| {
            decide(history, Some(&backlog), Some((id, offset)))
        };
        assert_eq!(ask(&history, &id, 120), Answer::Continue(120));
        assert_eq!(ask(&history, &id, 110), Answer::Continue(110));
        assert_eq!(ask(&history, &id, 109), Answer::Full, "too old");
        assert_eq!(ask(&history, &id, 121), Answer::Full, "from the future");
        assert_eq!(ask(&history, &"b".repeat(40), 120), Answer::Full);
        assert_eq!(decide(&history, Some(&backlog), None), Answer::Full);
        assert_eq!(decide(&history, None, Some((&id, 120))), Answer::Full);
        history.branch(115, "c".repeat(40));
        assert_eq!(ask(&history, &id, 115), Answer::Continue(115));
        assert_eq!(ask(&history, &id, 116), Answer::Full, "beyond the branch");
    }
}
