//! Clients that wait: for keys (BLPOP and its kin, XREAD) or for anything else (WAIT, MIGRATE).
//!
//! A command that finds nothing asks to wait with [`Ctx::block`](crate::command::ctx::Ctx::block).
//! It stands at the head of its client's batch until it is over. When one of its keys changes, the
//! command runs again, in the order in which the clients came; it replies, or asks to wait again
//! and keeps its place.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use super::client::Client;
use super::core::Core;
use super::run::Runner;
use crate::resp::reply::Reply;
use crate::value::Type;

/// What a client waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// One of these keys of the client's database holds a value of this type.
    Keys {
        keys: Vec<Vec<u8>>,
        holds: Type,
        /// Also when a key goes or changes its type (a consumer group goes with it).
        or_gone: bool,
    },
    /// Somebody else ends the wait, with [`Core::unblock`]. The name says what it is.
    Other(&'static str),
}

/// Writes the reply of a wait that took too long.
pub type OnTimeout = fn(&Core, &Client, &mut Reply);

/// What a command asks for.
#[derive(Clone, Debug)]
pub struct Block {
    pub wait: Wait,
    /// ms; `None`: for ever.
    pub timeout_ms: Option<i64>,
    pub on_timeout: OnTimeout,
}

/// The wait of a client.
#[derive(Clone, Debug)]
pub struct Blocked {
    pub wait: Wait,
    /// Monotonic ms.
    pub deadline_ms: Option<i64>,
    pub on_timeout: OnTimeout,
    /// Database of the keys.
    pub db: usize,
    /// µs that its command has run so far.
    pub spent_us: i64,
    /// Place in the line.
    pub(super) seq: u64,
}

impl Blocked {
    pub fn new(block: Block, db: usize, now_ms: i64) -> Blocked {
        Blocked {
            deadline_ms: block.timeout_ms.map(|ms| now_ms.saturating_add(ms)),
            wait: block.wait,
            on_timeout: block.on_timeout,
            db,
            spent_us: 0,
            seq: 0,
        }
    }

    fn keys(&self) -> &[Vec<u8>] {
        match &self.wait {
            Wait::Keys { keys, .. } => keys,
            Wait::Other(_) => &[],
        }
    }
}

/// Clients in the order in which they came to a key: id by place in the line.
type Line = BTreeMap<u64, u64>;

/// All clients that wait.
#[derive(Debug, Default)]
pub struct Blocking {
    lines: HashMap<(usize, Vec<u8>), Line>,
    /// Keys of which a client wants to know that they are gone, with the number of clients.
    or_gone: usize,
    deadlines: BTreeSet<(i64, u64)>,
    /// When a key may have what a client waits for although nothing changes there: entries that were idle for long
    /// enough. The second is the same by key, of which the earliest time is kept.
    rechecks: BTreeSet<(i64, usize, Vec<u8>)>,
    recheck_of: HashMap<(usize, Vec<u8>), i64>,
    ready: VecDeque<(usize, Vec<u8>)>,
    ready_set: HashSet<(usize, Vec<u8>)>,
    next_seq: u64,
    clients: usize,
    /// Waiting clients are being served: what they change is served in the same loop.
    pub serving: bool,
}

impl Blocking {
    /// Clients that wait.
    pub fn len(&self) -> usize {
        self.clients
    }

    pub fn is_empty(&self) -> bool {
        self.clients == 0
    }

    /// Keys that clients wait for, and how many of these with a client that waits for their end.
    pub fn keys(&self) -> (usize, usize) {
        (self.lines.len(), self.or_gone.min(self.lines.len()))
    }

    /// Waits that end some time.
    pub fn deadlines(&self) -> usize {
        self.deadlines.len()
    }

    /// Somebody waits for keys.
    pub fn waits_for_keys(&self) -> bool {
        !self.lines.is_empty()
    }

    /// Adds a client whose command asked to wait.
    pub fn add(&mut self, client: &mut Client) {
        let id = client.id;
        let Some(blocked) = &mut client.blocked else {
            return;
        };
        self.next_seq += 1;
        blocked.seq = self.next_seq;
        for key in blocked.keys() {
            let line = self.lines.entry((blocked.db, key.clone())).or_default();
            line.insert(blocked.seq, id);
        }
        self.or_gone += usize::from(matches!(blocked.wait, Wait::Keys { or_gone: true, .. }));
        if let Some(at) = blocked.deadline_ms {
            self.deadlines.insert((at, id));
        }
        self.clients += 1;
    }

    /// Removes a client whose wait is over.
    pub fn remove(&mut self, id: u64, blocked: &Blocked) {
        for key in blocked.keys() {
            let place = (blocked.db, key.clone());
            if let Some(line) = self.lines.get_mut(&place) {
                line.remove(&blocked.seq);
                if line.is_empty() {
                    self.lines.remove(&place);
                }
            }
        }
        self.or_gone -= usize::from(matches!(blocked.wait, Wait::Keys { or_gone: true, .. }));
        if let Some(at) = blocked.deadline_ms {
            self.deadlines.remove(&(at, id));
        }
        self.clients -= 1;
    }

    /// A key has changed.
    pub fn signal(&mut self, db: usize, key: Vec<u8>) {
        if self.lines.is_empty() {
            return;
        }
        let place = (db, key);
        if self.lines.contains_key(&place) && self.ready_set.insert(place.clone()) {
            self.ready.push_back(place);
        }
    }

    /// All keys of a database have changed.
    pub fn signal_db(&mut self, db: usize) {
        let keys: Vec<Vec<u8>> = self
            .lines
            .keys()
            .filter(|(of, _)| *of == db)
            .map(|(_, key)| key.clone())
            .collect();
        keys.into_iter().for_each(|key| self.signal(db, key));
    }

    pub fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    fn next_ready(&mut self) -> Option<(usize, Vec<u8>)> {
        let place = self.ready.pop_front()?;
        self.ready_set.remove(&place);
        Some(place)
    }

    fn line(&self, place: &(usize, Vec<u8>)) -> Vec<u64> {
        let line = self.lines.get(place);
        line.map_or_else(Vec::new, |line| line.values().copied().collect())
    }

    /// Clients that wait for this key try again at this monotonic ms.
    pub fn recheck(&mut self, at_ms: i64, db: usize, key: &[u8]) {
        let place = (db, key.to_vec());
        match self.recheck_of.get(&place) {
            Some(&before) if before <= at_ms => return,
            Some(&before) => drop(self.rechecks.remove(&(before, db, key.to_vec()))),
            None => {}
        }
        self.rechecks.insert((at_ms, db, key.to_vec()));
        self.recheck_of.insert(place, at_ms);
    }

    /// Signals the keys whose time to be tried again has come.
    fn signal_rechecks(&mut self, now_ms: i64) {
        while self.rechecks.first().is_some_and(|(at, ..)| *at <= now_ms)
            && let Some((_, db, key)) = self.rechecks.pop_first()
        {
            self.recheck_of.remove(&(db, key.clone()));
            self.signal(db, key);
        }
    }

    /// Monotonic ms at which the next wait ends or is tried again.
    pub fn next_deadline(&self) -> Option<i64> {
        let deadline = self.deadlines.first().map(|(at, _)| *at);
        let recheck = self.rechecks.first().map(|(at, ..)| *at);
        deadline.into_iter().chain(recheck).min()
    }
}

impl Runner<'_> {
    /// Runs the commands of clients that wait for keys which have changed, until no more can.
    pub(super) fn serve_blocked(&mut self) {
        self.core.blocking.serving = true;
        self.core.unit_us = self.core.now_us;
        // Time went by since the unit began, which saw one time for all of it.
        let now_us = self.core.clock.unix_us(self.core.now_us);
        self.ks.now_ms = now_us.div_euclid(1000);
        while let Some(place) = self.core.blocking.next_ready() {
            for id in self.core.blocking.line(&place) {
                if !self.serve_one(id, &place) {
                    break;
                }
            }
        }
        self.core.blocking.serving = false;
    }

    /// Lets one client try. False if nobody else in the line can have something of the key.
    fn serve_one(&mut self, id: u64, place: &(usize, Vec<u8>)) -> bool {
        let (db, key) = (place.0, place.1.as_slice());
        let Some(slot) = self.core.clients.slot_of(id) else {
            return true;
        };
        let Some(client) = self.core.clients.get(id) else {
            return true;
        };
        let Some(Wait::Keys { holds, or_gone, .. }) = client.blocked.as_ref().map(|b| &b.wait)
        else {
            return true;
        };
        let found = self.ks.at(db).peek(key).map(|e| e.payload().value_type());
        if found != Some(*holds) && !or_gone {
            // Without the key there may still be clients in the line who want to know that.
            return found.is_some() || self.core.blocking.or_gone > 0;
        }
        let Some(mut client) = self.core.clients.take(slot, id) else {
            return true;
        };
        if self.retry(&mut client) {
            if let Some(waiting) = &mut client.waiting {
                waiting.next += 1;
            }
            self.core.runnable.push_back(id);
        }
        self.core.clients.put_back(slot, client);
        true
    }

    /// Ends the waits whose time is over.
    pub fn time_out_blocked(&mut self) {
        let now_ms = self.core.now_ms();
        self.core.blocking.signal_rechecks(now_ms);
        if self.core.blocking.is_ready() {
            self.serve_blocked();
        }
        while let Some((at, id)) = self.core.blocking.deadlines.first().copied() {
            if at > now_ms {
                return;
            }
            if !self.core.end_wait(id, None) {
                self.core.blocking.deadlines.remove(&(at, id));
            }
        }
    }
}

impl Core {
    /// Ends the wait of a client with a reply from outside. False if it does not wait.
    pub fn unblock(&mut self, id: u64, reply: impl FnOnce(&mut Reply)) -> bool {
        let mut reply = Some(reply);
        let mut write = move |out: &mut Reply| {
            if let Some(reply) = reply.take() {
                reply(out);
            }
        };
        self.end_wait(id, Some(&mut write))
    }

    /// Ends the wait of every client with an error.
    pub fn unblock_all(&mut self, error: &'static str) {
        for id in self.clients.ids() {
            self.unblock(id, |out| out.error(error));
        }
    }

    /// Ends the wait of a client, as if its time were over if there is no other reply.
    pub fn end_wait(&mut self, id: u64, reply: Option<&mut dyn FnMut(&mut Reply)>) -> bool {
        let Some(slot) = self.clients.slot_of(id) else {
            return false;
        };
        self.deliver();
        let Some(mut client) = self.clients.take(slot, id) else {
            return false;
        };
        let Some(blocked) = client.blocked.take() else {
            self.clients.put_back(slot, client);
            return false;
        };
        self.blocking.remove(id, &blocked);
        let mut out = std::mem::take(&mut client.out);
        let begin = out.mark();
        match reply {
            Some(write) => write(&mut out),
            None => (blocked.on_timeout)(self, &client, &mut out),
        }
        let failed = out.has_errors();
        for code in out.take_errors() {
            self.stats.error(&code);
        }
        if client.drops_reply() {
            out.truncate(begin);
        }
        client.out = out;
        if let Some(command) = client.last {
            let stats = &mut self.stats.commands[command.id as usize];
            stats.calls += 1;
            stats.usec += blocked.spent_us.max(0) as u64;
            stats.failed += u64::from(failed);
            self.stats.total_commands += 1;
            client.total_commands += 1;
        }
        if let Some(waiting) = &mut client.waiting {
            waiting.next += 1;
        }
        self.clients.put_back(slot, client);
        self.runnable.push_back(id);
        true
    }
}
