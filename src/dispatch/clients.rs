//! All clients of the server, by place and by id.

use std::collections::BTreeMap;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::client::{Client, ClientFlags};
use super::core::Core;
use crate::net::conn::Conn;

/// The clients. The one whose command runs is taken out of its place meanwhile.
#[derive(Default)]
pub struct Clients {
    slots: Vec<Option<Box<Client>>>,
    free: Vec<usize>,
    /// Ids grow, so this is also the order of connection.
    by_id: BTreeMap<u64, usize>,
}

impl Clients {
    /// Adds a client; returns its place.
    pub fn add(&mut self, client: Box<Client>) -> usize {
        let id = client.id;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[slot] = Some(client);
        self.by_id.insert(id, slot);
        slot
    }

    /// Takes a client out to run its commands; [`Clients::put_back`] has to follow.
    #[inline]
    pub fn take(&mut self, slot: usize, id: u64) -> Option<Box<Client>> {
        let place = self.slots.get_mut(slot)?;
        if place.as_ref()?.id == id {
            place.take()
        } else {
            None
        }
    }

    /// The client at a place; `None` if it is not there or if its command runs.
    #[inline]
    pub fn at_mut(&mut self, slot: usize, id: u64) -> Option<&mut Client> {
        let client = self.slots.get_mut(slot)?.as_deref_mut()?;
        (client.id == id).then_some(client)
    }

    #[inline]
    pub fn put_back(&mut self, slot: usize, client: Box<Client>) {
        self.slots[slot] = Some(client);
    }

    /// Removes a client for good.
    pub fn remove(&mut self, id: u64) -> Option<Box<Client>> {
        let slot = self.by_id.remove(&id)?;
        self.free.push(slot);
        self.slots[slot].take()
    }

    pub fn slot_of(&self, id: u64) -> Option<usize> {
        self.by_id.get(&id).copied()
    }

    /// `None` for an unknown client and for the one whose command runs.
    pub fn get(&self, id: u64) -> Option<&Client> {
        self.slots[self.slot_of(id)?].as_deref()
    }

    /// As [`Clients::get`].
    pub fn get_mut(&mut self, id: u64) -> Option<&mut Client> {
        let slot = self.slot_of(id)?;
        self.slots[slot].as_deref_mut()
    }

    /// All clients, the running one included.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// All clients but the running one, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Client> {
        self.by_id
            .values()
            .filter_map(|slot| self.slots[*slot].as_deref())
    }

    /// The log goes on at another offset, with other data: nobody waits for what it wrote before.
    pub fn forget_writes(&mut self) {
        for client in self.slots.iter_mut().flatten() {
            client.log_offset = 0;
        }
    }

    pub fn ids(&self) -> Vec<u64> {
        self.by_id.keys().copied().collect()
    }
}

impl Core {
    /// Gives a new connection its client.
    pub fn connect(&mut self, conn: Arc<Conn>) {
        let core = self;
        core.stats.total_connections += 1;
        let mut flags = ClientFlags::BUSY;
        flags.set(ClientFlags::UNIX, conn.unix);
        let open = core.acl.users.is_open();
        flags.set(ClientFlags::AUTHENTICATED, open);
        conn.authenticated.store(open, Ordering::Release);
        let now_ms = core.clock.mono_us() / 1000;
        let mut client = Box::new(Client::new(conn.clone(), now_ms, flags));
        client.user = core.acl.users.default_user().clone();
        // A certificate names a user: it is as good as a password.
        let named = conn
            .tls_user()
            .and_then(|n| core.acl.users.get(n.as_bytes()));
        if let Some(user) = named.filter(|user| user.enabled) {
            client.user = user.clone();
            client.flags.insert(ClientFlags::AUTHENTICATED);
            conn.authenticated.store(true, Ordering::Release);
        }
        let slot = core.clients.add(client);
        conn.slot.store(slot, Ordering::Relaxed);
    }
}
