//! Replication: a master that streams its log to replicas, a replica that follows a master.
//!
//! [`history`], [`handshake`], [`stream`] and [`backlog`] decide and know no sockets; a simulator
//! drives them in tests. [`master`] attaches replicas to the server and feeds them, [`sync`]
//! sends whole data sets, [`link`] is the replica's connection on threads of its own, [`follow`]
//! does what comes over it on the actor's thread. [`divergence`] saves what a returning master has
//! and the new one has not.

pub mod backlog;
pub mod divergence;
pub mod failover;
pub mod follow;
pub mod handshake;
pub mod history;
pub mod link;
pub mod master;
mod output;
pub mod stream;
pub mod sync;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use crate::dispatch::client::Client;
use backlog::Backlog;
use follow::Following;
use history::History;
use master::{Replica, ReplicaState};
use sync::SyncJob;

/// Everything that the server knows of replication.
#[derive(Default)]
pub struct Replication {
    pub history: History,
    /// The end of the stream; there is one while somebody reads it, and for a while after that.
    pub backlog: Option<Backlog>,
    /// Replicas by the id of their client.
    pub replicas: BTreeMap<u64, Replica>,
    /// What a client told with REPLCONF before it asked to follow.
    pub introduced: BTreeMap<u64, master::Introduction>,
    /// The transfer that is under way.
    pub job: Option<SyncJob>,
    /// The master that this server follows.
    pub following: Option<Following>,
    /// Why the last master was refused; empty if it was not.
    pub refused: String,
    /// Monotonic ms since when there is no replica.
    pub alone_since_ms: Option<i64>,
    /// Monotonic ms of the last PING to replicas.
    pub pinged_ms: i64,
    /// Replicas are to be asked how far they are at the end of this turn.
    pub ask_replicas: bool,
    /// Clients in WAIT.
    pub waiting: Vec<master::Waiter>,
    pub stats: SyncStats,
    /// What was saved of data that a master did not have.
    pub divergence: divergence::Divergence,
    /// The FAILOVER that is under way.
    pub failover: Option<failover::Failover>,
}

/// Counters that INFO shows.
#[derive(Clone, Copy, Debug, Default)]
pub struct SyncStats {
    pub full: u64,
    pub partial_ok: u64,
    pub partial_err: u64,
}

impl Replication {
    /// This server follows a master.
    #[inline]
    pub fn is_replica(&self) -> bool {
        self.following.is_some()
    }

    /// A client has gone.
    pub fn forget(&mut self, id: u64) {
        self.introduced.remove(&id);
        self.waiting.retain(|waiter| waiter.id != id);
        let Some(replica) = self.replicas.remove(&id) else {
            return;
        };
        let (ip, port) = replica.address();
        tracing::warn!("Connection with replica {ip}:{port} lost.");
        if let Some(job) = &self.job
            && !job.replicas.iter().any(|id| self.replicas.contains_key(id))
        {
            job.give_up();
        }
        self.trim_backlog();
    }

    /// The lowest offset that a replica in transfer goes on from.
    pub fn needed(&self) -> u64 {
        let offsets = self.replicas.values().filter_map(Replica::needs);
        offsets.min().unwrap_or(u64::MAX)
    }

    /// Bytes of the stream that are kept: the backlog, and what the slowest replica has not been sent. All replicas
    /// share both.
    pub fn buffer_memory(&self) -> u64 {
        let Some(backlog) = &self.backlog else {
            return 0;
        };
        // What waits in outputs are the blocks of the backlog, or such as it has let go, or copies.
        let beside = |replica: &Replica| replica.output_memory(backlog.first_block_at());
        backlog.memory() as u64 + self.online().map(beside).max().unwrap_or(0)
    }

    /// Lets go what no replica needs any more and the backlog need not hold.
    pub fn trim_backlog(&mut self) {
        let needed = self.needed();
        if let Some(backlog) = &mut self.backlog {
            backlog.trim(needed);
        }
    }

    /// `repl-backlog-size` has changed.
    pub fn resize_backlog(&mut self, size: u64) {
        let needed = self.needed();
        if let Some(backlog) = &mut self.backlog {
            backlog.resize(size, needed);
        }
    }

    /// The connection with the master, while there is one.
    pub fn master_client(&self) -> Option<&Client> {
        let following = self.following.as_ref().filter(|f| f.is_up());
        following?.client.as_deref()
    }

    /// Bytes of the stream that wait for a replica in transfer, or for one that reads slowly.
    pub fn stream_waiting(&self, id: u64) -> Option<u64> {
        let replica = self.replicas.get(&id)?;
        let end = self.backlog.as_ref().map_or(0, Backlog::end);
        let kept = replica.needs().map(|from| end.saturating_sub(from));
        match replica.state {
            // What is in its output comes on top.
            ReplicaState::Online => {
                let output = replica.conn.pending_out.load(Ordering::Relaxed) as u64;
                kept.map(|kept| kept + output)
            }
            _ => Some(kept.unwrap_or(0)),
        }
    }

    /// Replicas that are up to date but for what is on its way.
    pub fn online(&self) -> impl Iterator<Item = &Replica> {
        self.replicas
            .values()
            .filter(|r| r.state == ReplicaState::Online)
    }

    /// Replicas that have not confirmed `offset`, whatever keeps them.
    pub fn lagging(&self, offset: u64) -> usize {
        let replicas = self.replicas.values();
        replicas
            .filter(|r| !r.intro.rdb_only && r.ack < offset)
            .count()
    }

    /// Replicas that have confirmed `offset`.
    pub fn confirmed(&self, offset: u64) -> usize {
        self.online().filter(|r| r.ack >= offset).count()
    }

    /// Online replicas heard of within `min-replicas-max-lag` seconds.
    pub fn good_replicas(&self, now_ms: i64, max_lag_s: u32) -> usize {
        let lag = i64::from(max_lag_s) * 1000;
        self.online()
            .filter(|r| max_lag_s == 0 || (now_ms - r.ack_ms) / 1000 * 1000 <= lag)
            .count()
    }
}
