//! The gate of replies: what a client is told waits until the log is as safe as promised.
//!
//! The actor runs commands on; only the replies wait. Clients are held in the order of the offsets
//! that they need, so one number, the safe offset, releases them.

use std::collections::VecDeque;

use smallvec::SmallVec;

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

/// What waits of a client's output.
#[derive(Debug, Default)]
pub struct HeldReply {
    /// Offsets of the log that have to be safe, growing, and how many bytes of the output may go then.
    steps: SmallVec<[(u64, usize); 1]>,
    /// The batch that is done, and the offset that it waits for.
    batch: Option<(u64, Box<Batch>)>,
}

impl HeldReply {
    /// All of an output of `len` bytes waits, what is behind the present steps for `offset`. True if that is a step of
    /// its own.
    fn add(&mut self, offset: u64, len: usize, batch: Option<Box<Batch>>) -> bool {
        let (needed, is_new) = match self.steps.last_mut() {
            Some((last, end)) if *last >= offset => {
                *end = len;
                (*last, false)
            }
            _ => {
                self.steps.push((offset, len));
                (offset, true)
            }
        };
        if let Some(batch) = batch {
            self.batch = Some((needed, batch));
        }
        is_new
    }

    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.steps.last().map_or(0, |step| step.1)
    }

    /// What may go when `safe` is safe: so many bytes, and the batch. None if nothing may.
    fn take_until(&mut self, safe: u64) -> Option<(usize, Option<Box<Batch>>)> {
        let count = self.steps.iter().take_while(|step| step.0 <= safe).count();
        let (_, len) = *self.steps[..count].last()?;
        self.steps.drain(..count);
        self.steps.iter_mut().for_each(|step| step.1 -= len);
        let batch = self.batch.take_if(|(offset, _)| *offset <= safe);
        Some((len, batch.map(|(_, batch)| batch)))
    }
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
    /// Clients whose replies wait (once for each offset).
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// What a client's output holds and does not wait yet waits for this offset.
    pub fn hold(&mut self, client: &mut Client, offset: u64, batch: Option<Box<Batch>>) {
        let len = client.out.len();
        let held = client.held.get_or_insert_default();
        if held.add(offset, len, batch) {
            self.queue.push_back((offset, client.id));
        }
    }

    /// Hands out what depends on no log, behind what waits.
    pub fn hand_out(&mut self, client: &mut Client, batch: Option<Box<Batch>>) {
        if client.held.is_some() {
            self.hold(client, 0, batch);
        } else {
            client.flush(batch);
        }
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
        self.core.held.hold(client, needed, batch);
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
            self.release_one(id, self.held.safe);
        }
    }

    /// Hands out what a client waits for, as far as that needs no more than `safe`.
    fn release_one(&mut self, id: u64, safe: u64) {
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        let Some(held) = &mut client.held else {
            return;
        };
        let Some((len, batch)) = held.take_until(safe) else {
            return;
        };
        if held.steps.is_empty() {
            client.held = None;
        }
        client.flush_first(len, batch);
        self.check_output_limit(id);
    }

    /// The disk does not work: hands out the replies of clients that have nothing of their own to wait for.
    pub fn release_readers(&mut self) {
        let safe = self.held.safe;
        for (needed, id) in std::mem::take(&mut self.held.queue) {
            let own = self.clients.get(id).map_or(0, |client| client.log_offset);
            if own > safe {
                self.held.queue.push_back((needed, id));
            } else {
                self.release_one(id, u64::MAX);
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
