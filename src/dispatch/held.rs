//! The gate of replies: what a client is told waits until the log is as safe as promised.
//!
//! The actor runs commands on; only the replies wait. Clients are held in the order of the offsets
//! that they need, so one number, the safe offset, releases them.

use std::collections::VecDeque;

use super::client::Client;
use super::core::Core;
use super::server::Server;
use crate::resp::request::Batch;

/// When a reply may go out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Promise {
    /// At once: there is no log.
    #[default]
    Nothing,
    /// When the effects of the client's own writes are in the file.
    Written,
    /// When everything that the reply may depend on is on the disk.
    Synced,
}

/// Replies of a client that wait.
#[derive(Debug)]
pub struct HeldReply {
    /// Offset of the log that has to be safe.
    offset: u64,
    /// The batch that goes back with them, if it is done.
    batch: Option<Box<Batch>>,
}

/// All clients whose replies wait.
#[derive(Debug, Default)]
pub struct Held {
    pub promise: Promise,
    /// The log is safe up to here.
    pub safe: u64,
    queue: VecDeque<(u64, u64)>,
}

impl Held {
    /// Clients whose replies wait (twice if they wait for two offsets).
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// What a client's output holds waits for this offset, with what waits already.
    pub fn hold(&mut self, client: &mut Client, offset: u64) {
        self.queue.push_back((offset, client.id));
        let batch = client.held.take().and_then(|held| held.batch);
        client.held = Some(HeldReply { offset, batch });
    }
}

impl Server {
    /// Hands a client's replies out, or holds them until the log is safe.
    pub fn reply_when_safe(&mut self, client: &mut Client, batch: Option<Box<Batch>>) {
        let needed = match self.core.held.promise {
            Promise::Nothing => 0,
            Promise::Written => client.log_offset,
            // While the disk does not work, who has written nothing is answered all the same.
            Promise::Synced if self.core.aof.error().is_some() => client.log_offset,
            Promise::Synced => self.ks.log.offset(),
        };
        if needed <= self.core.held.safe && client.held.is_none() {
            return client.flush(batch);
        }
        self.core.held.queue.push_back((needed, client.id));
        client.held = Some(HeldReply {
            offset: needed,
            batch,
        });
    }
}

impl Core {
    /// The log is safe up to `offset`: hands out what waited for that.
    pub fn release(&mut self, offset: u64) {
        let held = &mut self.held;
        held.safe = held.safe.max(offset);
        while let Some((needed, id)) = self.held.queue.front().copied() {
            if needed > self.held.safe {
                return;
            }
            self.held.queue.pop_front();
            let safe = self.held.safe;
            let Some(client) = self.clients.get_mut(id) else {
                continue;
            };
            // It may wait for a later offset by now.
            if let Some(reply) = client.held.take_if(|reply| reply.offset <= safe) {
                client.flush(reply.batch);
                self.check_output_limit(id);
            }
        }
    }

    /// The disk does not work: hands out the replies of clients that have nothing of their own to wait for.
    pub fn release_readers(&mut self) {
        let safe = self.held.safe;
        for (needed, id) in std::mem::take(&mut self.held.queue) {
            let own = self.clients.get(id).map_or(0, |client| client.log_offset);
            if own > safe {
                self.held.queue.push_back((needed, id));
            } else if let Some(client) = self.clients.get_mut(id)
                && let Some(reply) = client.held.take()
            {
                client.flush(reply.batch);
                self.check_output_limit(id);
            }
        }
    }

    /// Nothing has to be safe any more: hands out everything.
    pub fn release_all(&mut self) {
        self.held.promise = Promise::Nothing;
        self.release(u64::MAX);
        self.held.safe = 0;
    }
}
