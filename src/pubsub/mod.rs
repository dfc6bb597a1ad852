//! Channels: who subscribes to what, and messages on their way to the subscribers.
//!
//! A message is encoded once. Messages that follow one another to the same subscribers are gathered
//! in one run, which all of them share; it is handed out before anything else can come between:
//! another message, a change of subscriptions, a command of a subscriber, the end of the turn.
//!
//! What a client subscribes to stands with the client ([`Subscriptions`]); here stands the way back
//! from the name to the clients.

mod deliver;
mod messages;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::dispatch::client::Client;
use crate::dispatch::core::Core;
pub use messages::Messages;
use messages::Run;

/// The name of a channel or a pattern.
pub type Name = Arc<[u8]>;

/// What can be subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Channel,
    Pattern,
    Shard,
}

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::Channel, Kind::Pattern, Kind::Shard];

    /// The word that begins a message.
    fn message(self) -> &'static str {
        match self {
            Kind::Channel => "message",
            Kind::Pattern => "pmessage",
            Kind::Shard => "smessage",
        }
    }
}

/// Subscribers of one name: the place of each by its id.
pub type Members = BTreeMap<u64, usize>;

/// What one client subscribes to.
#[derive(Debug, Default)]
pub struct Subscriptions {
    names: [BTreeSet<Name>; 3],
    /// Bytes of the names.
    bytes: usize,
}

impl Subscriptions {
    pub fn count(&self, kind: Kind) -> usize {
        self.names[kind as usize].len()
    }

    /// The number that replies tell: channels and patterns together, or shard channels.
    pub fn count_shown(&self, kind: Kind) -> usize {
        match kind {
            Kind::Shard => self.count(Kind::Shard),
            _ => self.count(Kind::Channel) + self.count(Kind::Pattern),
        }
    }

    pub fn names(&self, kind: Kind) -> impl Iterator<Item = &Name> {
        self.names[kind as usize].iter()
    }

    fn is_empty(&self) -> bool {
        self.names.iter().all(BTreeSet::is_empty)
    }

    /// Bytes that they take.
    pub fn memory(&self) -> usize {
        /// About what a name costs beside its bytes, here and in the table.
        const PER_NAME: usize = 96;
        let names: usize = self.names.iter().map(BTreeSet::len).sum();
        self.bytes + names * PER_NAME
    }
}

/// All channels with subscribers.
#[derive(Debug, Default)]
pub struct PubSub {
    tables: [HashMap<Name, Members>; 3],
    /// Clients that subscribe to anything.
    clients: usize,
    /// Messages that all subscribers of one name are about to get.
    run: Run,
}

impl PubSub {
    /// Clients that subscribe to anything.
    pub fn clients(&self) -> usize {
        self.clients
    }

    /// Nobody subscribes to anything.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.clients == 0
    }

    /// Names with subscribers.
    pub fn len(&self, kind: Kind) -> usize {
        self.tables[kind as usize].len()
    }

    pub fn names(&self, kind: Kind) -> impl Iterator<Item = &Name> {
        self.tables[kind as usize].keys()
    }

    /// Number of subscribers of a name.
    pub fn subscribers(&self, kind: Kind, name: &[u8]) -> usize {
        self.tables[kind as usize].get(name).map_or(0, Members::len)
    }
}

impl Core {
    /// The client gets messages of that name from now on.
    pub fn subscribe(&mut self, client: &mut Client, kind: Kind, name: &[u8]) {
        self.deliver();
        let table = &mut self.pubsub.tables[kind as usize];
        let name: Name = match table.get_key_value(name) {
            Some((known, _)) => known.clone(),
            None => name.into(),
        };
        if client.subs.is_none() {
            self.pubsub.clients += 1;
        }
        let subs = client.subs.get_or_insert_default();
        if subs.names[kind as usize].insert(name.clone()) {
            subs.bytes += name.len();
            let slot = client.conn.slot.load(Ordering::Relaxed);
            table.entry(name).or_default().insert(client.id, slot);
        }
    }

    /// The client gets no messages of that name any more.
    pub fn unsubscribe(&mut self, client: &mut Client, kind: Kind, name: &[u8]) {
        self.deliver();
        let Some(subs) = &mut client.subs else {
            return;
        };
        if !subs.names[kind as usize].remove(name) {
            return;
        }
        subs.bytes -= name.len();
        let table = &mut self.pubsub.tables[kind as usize];
        if let Some(members) = table.get_mut(name) {
            members.remove(&client.id);
            if members.is_empty() {
                table.remove(name);
            }
        }
        if subs.is_empty() {
            client.subs = None;
            self.pubsub.clients -= 1;
        }
    }

    /// The client gets no messages at all any more.
    pub fn unsubscribe_all(&mut self, client: &mut Client) {
        for kind in Kind::ALL {
            let subs = client.subs.iter();
            let names: Vec<Name> = subs.flat_map(|s| s.names(kind).cloned()).collect();
            for name in names {
                self.unsubscribe(client, kind, &name);
            }
        }
    }
}
