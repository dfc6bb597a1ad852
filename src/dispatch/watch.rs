//! WATCH: which clients watch which keys, and whose transaction is spoilt by a change.

use std::collections::HashMap;

use super::client::{Client, ClientFlags};
use super::core::Core;
use crate::command::args::Args;
use crate::command::registry::Command;
use crate::command::spec::Flags;
use crate::keyspace::Keyspace;
use crate::resp::request::Batch;

/// The clients that watch each key, by database.
#[derive(Debug, Default)]
pub struct Watched {
    keys: HashMap<usize, HashMap<Vec<u8>, Vec<u64>>>,
    /// Clients that watch keys.
    clients: usize,
}

/// A key that a client watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchedKey {
    pub db: usize,
    pub key: Vec<u8>,
    /// It was there and alive when the watch began.
    pub existed: bool,
}

/// A transaction that is being queued.
#[derive(Debug, Default)]
pub struct Multi {
    /// The commands with their arguments.
    pub batch: Batch,
    pub commands: Vec<&'static Command>,
    /// Flags that one of them has, and those that one of them lacks.
    pub flags: Flags,
    pub lacking: Flags,
    /// One of them was refused: EXEC fails.
    pub aborted: bool,
}

impl Multi {
    /// What EXEC needs to be allowed: what one of the commands does, and what all of them may be done in.
    pub fn flags_of_exec(&self, exec: Flags) -> Flags {
        let does = Flags::WRITE | Flags::DENYOOM | Flags::MAY_REPLICATE;
        let may = Flags::STALE | Flags::LOADING;
        (exec | self.flags & does) - (self.lacking & may)
    }

    /// Bytes that the queue takes.
    pub fn memory(&self) -> usize {
        self.batch.capacity() + self.commands.capacity() * size_of::<&Command>()
    }
}

impl Watched {
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Clients that watch keys.
    pub fn clients(&self) -> usize {
        self.clients
    }

    /// Keys that are watched.
    pub fn len(&self) -> usize {
        self.keys.values().map(HashMap::len).sum()
    }

    /// The client watches the key from now on.
    pub fn add(&mut self, client: &mut Client, watched: WatchedKey) {
        let known = |w: &WatchedKey| w.db == watched.db && w.key == watched.key;
        if client.watching.iter().any(known) {
            return;
        }
        self.clients += usize::from(client.watching.is_empty());
        let keys = self.keys.entry(watched.db).or_default();
        keys.entry(watched.key.clone()).or_default().push(client.id);
        client.watching.push(watched);
    }

    /// The client watches nothing any more.
    pub fn forget(&mut self, client: &mut Client) {
        self.clients -= usize::from(!client.watching.is_empty());
        for watched in client.watching.drain(..) {
            let Some(keys) = self.keys.get_mut(&watched.db) else {
                continue;
            };
            if let Some(ids) = keys.get_mut(&watched.key) {
                ids.retain(|id| *id != client.id);
                if ids.is_empty() {
                    keys.remove(&watched.key);
                }
            }
            if keys.is_empty() {
                self.keys.remove(&watched.db);
            }
        }
        client.flags.remove(ClientFlags::DIRTY_CAS);
    }

    fn of(&self, db: usize, key: &[u8]) -> &[u64] {
        let ids = self.keys.get(&db).and_then(|keys| keys.get(key));
        ids.map_or(&[], Vec::as_slice)
    }

    fn all_of(&self, db: usize) -> Vec<u64> {
        let keys = self.keys.get(&db);
        let mut ids: Vec<u64> = keys
            .into_iter()
            .flat_map(HashMap::values)
            .flatten()
            .copied()
            .collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }
}

impl Client {
    /// Puts a command into the transaction.
    pub fn queue(&mut self, command: &'static Command, flags: Flags, args: &Args<'_>) {
        let multi = self.multi.get_or_insert_default();
        multi.batch.append(args);
        multi.commands.push(command);
        multi.flags |= flags;
        multi.lacking |= !flags;
    }
}

impl Core {
    /// A key has changed: spoils the transactions of those who watch it. `running` is out of its
    /// place. That a key which was no more when the watch began is deleted is no change.
    pub fn touch_watched(
        &mut self,
        (db, key): (usize, &[u8]),
        ks: &mut Keyspace,
        running: Option<&mut Client>,
    ) {
        if self.watched.is_empty() {
            return;
        }
        let mut running = running;
        let known = |w: &&WatchedKey| w.db == db && w.key == key;
        let mut there = None;
        for id in self.watched.of(db, key) {
            let client = match running.as_deref_mut().filter(|c| c.id == *id) {
                Some(client) => Some(client),
                None => self.clients.get_mut(*id),
            };
            let Some(client) = client else {
                continue;
            };
            let existed = client
                .watching
                .iter()
                .find(known)
                .is_some_and(|w| w.existed);
            if existed || *there.get_or_insert_with(|| ks.at(db).peek(key).is_some()) {
                client.flags.insert(ClientFlags::DIRTY_CAS);
            }
        }
    }

    /// A database has changed as a whole: spoils the transactions of those who watch a key that was
    /// there or is there now.
    pub fn touch_watched_db(&mut self, db: usize, ks: &mut Keyspace, running: Option<&mut Client>) {
        let mut running = running;
        let keys = ks.at(db);
        let hit = |client: &Client| {
            let mut own = client.watching.iter().filter(|w| w.db == db);
            own.any(|w| w.existed || keys.peek(&w.key).is_some())
        };
        for id in self.watched.all_of(db) {
            let client = match running.as_deref_mut().filter(|c| c.id == id) {
                Some(client) => client,
                None => match self.clients.get_mut(id) {
                    Some(client) => client,
                    None => continue,
                },
            };
            if hit(client) {
                client.flags.insert(ClientFlags::DIRTY_CAS);
            }
        }
    }

    /// Ends a transaction without running it, and its watches.
    pub fn discard(&mut self, client: &mut Client) {
        client.multi = None;
        self.watched.forget(client);
    }
}
