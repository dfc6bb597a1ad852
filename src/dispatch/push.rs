//! What clients get without having asked: messages, invalidations, lines of MONITOR.
//!
//! It goes behind what a client's output holds already, and to the connection when the turn ends:
//! one write for everything. A client whose command runs gets it behind the reply.
//!
//! Where many clients have something coming, a turn hands out to as many as its own time allows
//! ([`Server::flush_some_pushes`]) and the others wait for their turn in a ring: requests are read in
//! between, so that a message to ten thousand subscribers holds up nobody, and what is sent meanwhile
//! reaches those who still wait with the same write.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::Ordering;

use super::client::{Client, ClientFlags};
use super::core::Core;
use super::held::{HeldReply, Promise};
use super::server::Server;
use crate::net::conn;
use crate::pubsub::Messages;
use crate::resp::reply::Reply;

/// Clients that get what was pushed before anything else is looked at.
const AT_ONCE: usize = 8;
/// Invalidations that a client has not taken so many ms later are memory like any other.
const ON_THE_WAY_MS: i64 = 1000;

/// One piece, in no protocol yet.
#[derive(Clone, Debug)]
pub enum Push {
    Messages(Messages),
    /// Keys of a client-side cache that are not valid any more.
    Invalidate {
        /// The keys as an array in wire form; none: all.
        keys: Option<Vec<u8>>,
        /// They are those of another client, which sends them here.
        redirected: bool,
    },
    /// The client to which invalidations were to go is not there.
    RedirBroken(u64),
    /// A line of MONITOR.
    Line(Vec<u8>),
}

impl Push {
    fn write(&mut self, out: &mut Reply, subscribed: bool) {
        match self {
            Push::Messages(messages) => messages.write(out),
            Push::Line(line) => out.raw(line),
            Push::Invalidate { keys, redirected } => {
                if out.resp3() {
                    out.push(2);
                    out.bulk(b"invalidate");
                } else if *redirected && subscribed {
                    out.push(3);
                    out.bulk(b"message");
                    out.bulk(b"__redis__:invalidate");
                } else {
                    // Without RESP3 there is no way to tell it.
                    return;
                }
                match keys {
                    Some(keys) => out.raw(keys),
                    None => out.null(),
                }
            }
            Push::RedirBroken(id) => {
                if out.resp3() {
                    out.push(2);
                    out.bulk(b"tracking-redir-broken");
                    out.int(i64::try_from(*id).unwrap_or(i64::MAX));
                }
            }
        }
    }
}

/// All that waits for the end of a command or of the turn.
#[derive(Debug, Default)]
pub struct Pushes {
    /// Place and id of clients whose output has grown, in the order in which it has.
    marked: VecDeque<(usize, u64)>,
    /// For clients that are out of their place.
    kept: Vec<(u64, Push)>,
    /// Invalidations on their way, by client. Empty without `maxmemory`.
    told: HashMap<u64, Told>,
}

/// Invalidations that a client was sent.
#[derive(Debug)]
struct Told {
    slot: usize,
    bytes: usize,
    /// Monotonic ms of the first of them.
    since_ms: i64,
}

impl Pushes {
    /// The client's output has grown.
    #[inline]
    pub fn mark(&mut self, slot: usize, client: &mut Client) {
        if !client.flags.contains(ClientFlags::PUSHED) {
            client.flags.insert(ClientFlags::PUSHED);
            self.marked.push_back((slot, client.id));
        }
    }

    /// Something waits to be handed to the connections.
    #[inline]
    pub fn is_waiting(&self) -> bool {
        !self.marked.is_empty()
    }

    /// Keeps something for a client that is out of its place.
    pub fn keep(&mut self, id: u64, push: Push) {
        self.kept.push((id, push));
    }

    /// Drops what was kept for a client that goes.
    pub fn forget(&mut self, id: u64) {
        self.kept.retain(|(of, _)| *of != id);
    }
}

impl Core {
    /// Sends something to a client.
    pub fn push(&mut self, id: u64, mut push: Push) {
        self.deliver();
        let Some(slot) = self.clients.slot_of(id) else {
            return;
        };
        match self.clients.at_mut(slot, id) {
            Some(client) => {
                let subscribed = client.subs.is_some();
                client.reuse_buffer();
                let before = client.out.len();
                push.write(&mut client.out, subscribed);
                self.pushes.mark(slot, client);
                if self.config.maxmemory > 0 && matches!(push, Push::Invalidate { .. }) {
                    let bytes = client.out.len() - before;
                    let since_ms = self.now_us / 1000;
                    let told = self.pushes.told.entry(id).or_insert(Told {
                        slot,
                        bytes: 0,
                        since_ms,
                    });
                    told.bytes += bytes;
                }
            }
            None => self.pushes.keep(id, push),
        }
    }

    /// Something may wait for this client, which is out of its place.
    #[inline]
    pub fn owes(&self, client: &Client) -> bool {
        !self.pushes.kept.is_empty() || self.has_run() && client.subs.is_some()
    }

    /// Gives a client that is out of its place what waits for it.
    pub fn settle(&mut self, client: &Client, out: &mut Reply) {
        self.deliver();
        let own = |(id, _): &mut (u64, Push)| *id == client.id;
        for (_, mut push) in self.pushes.kept.extract_if(.., own) {
            push.write(out, client.subs.is_some());
        }
    }

    /// Bytes of invalidations on their way to clients that take them. They tell of keys that were evicted, perhaps, and
    /// must not be the reason why more are. Takes a step for each of these clients.
    pub fn told_memory(&mut self) -> u64 {
        let (clients, now_ms) = (&mut self.clients, self.now_us / 1000);
        let mut sum = 0;
        self.pushes.told.retain(|id, told| {
            let waits = clients.at_mut(told.slot, *id).map_or(0, |client| {
                client.conn.pending_out.load(Ordering::Relaxed) + client.out.len()
            });
            let bytes = told.bytes.min(waits);
            // A buffer that grows takes up to twice as much.
            sum += 2 * bytes as u64;
            bytes > 0 && now_ms - told.since_ms < ON_THE_WAY_MS
        });
        sum
    }

    /// Hands what was pushed to the connections of at most `most` clients. `offset` is the end of the log.
    pub fn flush_marked(&mut self, offset: u64, most: usize) {
        for _ in 0..most.min(self.pushes.marked.len()) {
            let Some((slot, id)) = self.pushes.marked.pop_front() else {
                return;
            };
            let Some(client) = self.clients.at_mut(slot, id) else {
                if self.clients.slot_of(id).is_some() {
                    // Its command runs.
                    self.pushes.marked.push_back((slot, id));
                }
                continue;
            };
            client.flags.remove(ClientFlags::PUSHED);
            client.out.seal();
            let synced = self.held.promise != Promise::Synced || offset <= self.held.safe;
            let held = client.held.as_ref().map_or(0, HeldReply::len);
            self.stats.net_out += client.out.len().saturating_sub(held) as u64;
            if synced && client.held.is_none() {
                client.flush(None);
            } else {
                // What it tells of may not be on the disk yet, or something before it.
                self.held.hold(client, offset, None);
            }
            self.check_output_limit(id);
            self.weigh(id);
        }
    }
}

impl Server {
    /// Writes what was pushed behind the outputs of its clients.
    fn settle_pushes(&mut self) {
        let core = &mut self.core;
        core.limit_tracked_keys();
        core.broadcast_invalidations();
        core.deliver();
        for (id, push) in std::mem::take(&mut core.pushes.kept) {
            core.push(id, push);
        }
    }

    /// Hands everything that was pushed to the connections.
    pub fn flush_pushes(&mut self) {
        self.settle_pushes();
        self.core.flush_marked(self.ks.log.offset(), usize::MAX);
    }

    /// Hands out to the clients that have waited longest, until that has taken as long as the rest of the
    /// turn, which began at `begin_us`. Nobody waits longer than twice the time that all would take alone.
    pub fn flush_some_pushes(&mut self, begin_us: i64) {
        self.settle_pushes();
        let offset = self.ks.log.offset();
        if self.core.pushes.marked.len() <= AT_ONCE {
            return self.core.flush_marked(offset, AT_ONCE);
        }
        let now_us = self.core.clock.mono_us();
        let until_us = now_us + now_us.saturating_sub(begin_us).max(0);
        while self.core.pushes.is_waiting() {
            self.core.flush_marked(offset, AT_ONCE);
            conn::write_posted();
            if self.core.clock.mono_us() >= until_us {
                return;
            }
        }
    }
}
