//! What clients get without having asked: messages, invalidations, lines of MONITOR.
//!
//! It goes behind what a client's output holds already, and to the connection when the turn ends:
//! one write for everything. A client whose command runs gets it behind the reply.

use super::client::{Client, ClientFlags};
use super::core::Core;
use super::held::Promise;
use super::server::Server;
use crate::pubsub::Messages;
use crate::resp::reply::Reply;

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
    /// Place and id of clients whose output has grown.
    marked: Vec<(usize, u64)>,
    /// For clients that are out of their place.
    kept: Vec<(u64, Push)>,
}

impl Pushes {
    /// The client's output has grown.
    #[inline]
    pub fn mark(&mut self, slot: usize, client: &mut Client) {
        if !client.flags.contains(ClientFlags::PUSHED) {
            client.flags.insert(ClientFlags::PUSHED);
            self.marked.push((slot, client.id));
        }
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
                push.write(&mut client.out, subscribed);
                self.pushes.mark(slot, client);
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
}

impl Server {
    /// Hands everything that was pushed to the connections.
    pub fn flush_pushes(&mut self) {
        let core = &mut self.core;
        core.limit_tracked_keys();
        core.broadcast_invalidations();
        core.deliver();
        for (id, push) in std::mem::take(&mut core.pushes.kept) {
            core.push(id, push);
        }
        let offset = self.ks.log.offset();
        let mut marked = std::mem::take(&mut core.pushes.marked);
        for (slot, id) in marked.drain(..) {
            let Some(client) = core.clients.at_mut(slot, id) else {
                continue;
            };
            client.flags.remove(ClientFlags::PUSHED);
            core.stats.net_out += client.out.len() as u64;
            let synced = core.held.promise != Promise::Synced || offset <= core.held.safe;
            client.out.seal();
            if synced {
                client.flush(None);
            } else {
                // What it tells of may not be on the disk yet.
                core.held.hold(client, offset);
            }
            core.check_output_limit(id);
            core.weigh(id);
        }
        // The room stays for the next turn.
        core.pushes.marked = marked;
    }
}
