//! Links: the two connections to an instance, with what is known of its answers. The Sentinels of several masters that
//! are one process share a link.

use super::types::{LinkId, Ms, NEVER, Wire};

/// Requests that may wait for answers on one link, for each of its users.
const MAX_PENDING: u32 = 100;

/// One of the two connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    Closed,
    /// The shell tries; it reports success or failure.
    Opening,
    Open,
}

/// The way to an instance.
#[derive(Debug)]
pub struct Link {
    pub id: LinkId,
    pub refcount: u32,
    pub commands: Connection,
    pub hello: Connection,
    /// Requests without an answer so far.
    pub pending: u32,
    pub commands_since: Ms,
    pub hello_since: Ms,
    /// The last message that came through the hello channel.
    pub hello_activity: Ms,
    /// The last valid answer to PING.
    pub last_avail: Ms,
    /// Silence counts from here: the last valid answer, or the end of a connection that had given one. Servers close
    /// connections for good reasons, such as a change of their role; that alone is no silence.
    pub heard: Ms,
    /// The PING that waits for an answer.
    pub act_ping: Option<Ms>,
    pub last_ping: Ms,
    /// The last answer to PING, valid or not.
    pub last_pong: Ms,
    pub last_reconnect: Ms,
    /// The own address as the instance sees it.
    pub local_ip: Option<Box<str>>,
}

impl Link {
    pub fn is_connected(&self) -> bool {
        self.commands == Connection::Open
    }

    /// A connection is missing and none is on its way.
    pub fn wants(&self, wire: Wire) -> bool {
        match wire {
            Wire::Commands => self.commands == Connection::Closed,
            Wire::Hello => self.hello == Connection::Closed,
        }
    }

    pub fn may_send(&self) -> bool {
        self.is_connected() && self.pending < MAX_PENDING.saturating_mul(self.refcount.max(1))
    }

    /// A new instance stands behind the link: it has its whole time to answer.
    pub fn start_over(&mut self, now: Ms) {
        self.act_ping = Some(now);
        self.last_ping = NEVER;
        self.last_avail = now;
        self.heard = now;
        self.last_pong = now;
        self.last_reconnect = NEVER;
    }

    /// The command connection ended by itself.
    pub fn lost(&mut self, now: Ms) {
        if self.is_connected() && self.last_avail >= self.commands_since {
            self.heard = now;
            self.act_ping = None;
            self.last_reconnect = NEVER;
        }
        self.commands = Connection::Closed;
        self.pending = 0;
    }
}

/// All links.
#[derive(Debug, Default)]
pub struct Links {
    /// In the order of their ids.
    list: Vec<Link>,
    next: LinkId,
}

impl Links {
    pub fn add(&mut self, now: Ms) -> LinkId {
        self.next += 1;
        self.list.push(Link {
            id: self.next,
            refcount: 1,
            commands: Connection::Closed,
            hello: Connection::Closed,
            pending: 0,
            commands_since: NEVER,
            hello_since: NEVER,
            hello_activity: NEVER,
            last_avail: now,
            heard: now,
            act_ping: Some(now),
            last_ping: NEVER,
            last_pong: now,
            last_reconnect: NEVER,
            local_ip: None,
        });
        self.next
    }

    fn place(&self, id: LinkId) -> Option<usize> {
        self.list.binary_search_by_key(&id, |link| link.id).ok()
    }

    pub fn get(&self, id: LinkId) -> Option<&Link> {
        self.place(id).map(|at| &self.list[at])
    }

    pub fn get_mut(&mut self, id: LinkId) -> Option<&mut Link> {
        self.place(id).map(|at| &mut self.list[at])
    }

    /// The link of an instance: instances give their link back when they go, never before.
    pub fn of(&self, id: LinkId) -> &Link {
        self.get(id).expect("an instance has a link")
    }

    pub fn of_mut(&mut self, id: LinkId) -> &mut Link {
        self.get_mut(id).expect("an instance has a link")
    }

    /// One user less. True if that was the last one: the connections are to be closed.
    pub fn release(&mut self, id: LinkId) -> bool {
        let Some(at) = self.place(id) else {
            return false;
        };
        self.list[at].refcount -= 1;
        if self.list[at].refcount == 0 {
            self.list.remove(at);
            return true;
        }
        false
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}
