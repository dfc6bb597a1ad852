//! Client-side caching: which clients may hold which keys, and who is told when these change.
//!
//! Two ways: the table remembers which client read which key, once each; or a client names prefixes
//! (BCAST) and is told of every change below them, once a turn. The number of keys in the table is
//! bounded: the oldest go first, and their readers are told so.

mod invalidate;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use bitflags::bitflags;

bitflags! {
    /// How a client tracks.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Modes: u8 {
        const BCAST = 1;
        const OPTIN = 1 << 1;
        const OPTOUT = 1 << 2;
        const NOLOOP = 1 << 3;
        /// `CLIENT CACHING` was given for the next command.
        const CACHING = 1 << 4;
        /// The client to which invalidations go is gone.
        const BROKEN_REDIR = 1 << 5;
    }
}

/// A client that tracks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tracker {
    pub modes: Modes,
    /// The client that gets the invalidations instead; 0: none.
    pub redirect: u64,
    /// With BCAST.
    pub prefixes: Vec<Vec<u8>>,
}

impl Tracker {
    /// Whether the keys of the command that ran are to be remembered.
    fn remembers(&self) -> bool {
        let caching = self.modes.contains(Modes::CACHING);
        let unless = match caching {
            true => Modes::OPTOUT,
            false => Modes::OPTIN,
        };
        !self.modes.intersects(Modes::BCAST | unless)
    }
}

/// Clients that may hold a key.
#[derive(Debug)]
struct Readers {
    /// In ascending order.
    ids: Vec<u64>,
    /// Which entry of `order` is this one's.
    seq: u64,
}

/// The clients of a prefix and the keys below it that changed in this turn.
#[derive(Debug, Default)]
struct Prefix {
    clients: BTreeSet<u64>,
    /// With the client that changed it; 0: nobody.
    changed: BTreeMap<Vec<u8>, u64>,
}

/// Everything about client-side caching.
#[derive(Debug, Default)]
pub struct Tracking {
    clients: HashMap<u64, Tracker>,
    table: HashMap<Arc<[u8]>, Readers>,
    /// Keys of the table, oldest first; some are not in it any more, or again with another number.
    order: VecDeque<(u64, Arc<[u8]>)>,
    next_seq: u64,
    /// Clients in the table, each as often as it stands there.
    items: usize,
    prefixes: BTreeMap<Vec<u8>, Prefix>,
}

impl Tracking {
    /// Clients that track.
    pub fn clients(&self) -> usize {
        self.clients.len()
    }

    pub fn keys(&self) -> usize {
        self.table.len()
    }

    pub fn items(&self) -> usize {
        self.items
    }

    pub fn prefixes(&self) -> usize {
        self.prefixes.len()
    }

    pub fn of(&self, id: u64) -> Option<&Tracker> {
        self.clients.get(&id)
    }

    pub fn of_mut(&mut self, id: u64) -> Option<&mut Tracker> {
        self.clients.get_mut(&id)
    }

    /// Somebody wants to hear of changed keys.
    #[inline]
    pub fn is_watching(&self) -> bool {
        !self.table.is_empty() || !self.prefixes.is_empty()
    }

    /// The client tracks in this way from now on, and has these prefixes beside those that it had.
    pub fn enable(&mut self, id: u64, modes: Modes, redirect: u64, prefixes: Vec<Vec<u8>>) {
        let tracker = self.clients.entry(id).or_default();
        tracker.modes = modes;
        tracker.redirect = redirect;
        for prefix in prefixes {
            let place = self.prefixes.entry(prefix.clone()).or_default();
            if place.clients.insert(id) {
                tracker.prefixes.push(prefix);
            }
        }
    }

    /// The client tracks no more. What the table knows of it goes when the keys change.
    pub fn disable(&mut self, id: u64) {
        let Some(tracker) = self.clients.remove(&id) else {
            return;
        };
        for prefix in tracker.prefixes {
            if let Some(place) = self.prefixes.get_mut(&prefix) {
                place.clients.remove(&id);
                if place.clients.is_empty() {
                    self.prefixes.remove(&prefix);
                }
            }
        }
    }

    /// What CLIENT CACHING said was for the command that has run now.
    pub fn forget_caching(&mut self, id: u64) {
        if let Some(tracker) = self.clients.get_mut(&id) {
            tracker.modes.remove(Modes::CACHING);
        }
    }

    /// The client may hold the key from now on.
    fn remember(&mut self, id: u64, key: &[u8]) {
        if let Some(readers) = self.table.get_mut(key) {
            if let Err(at) = readers.ids.binary_search(&id) {
                readers.ids.insert(at, id);
                self.items += 1;
            }
            return;
        }
        self.next_seq += 1;
        let (seq, key) = (self.next_seq, Arc::<[u8]>::from(key));
        self.order.push_back((seq, key.clone()));
        self.table.insert(key, Readers { ids: vec![id], seq });
        self.items += 1;
        self.tidy();
    }

    /// Takes a key out; returns who may hold it.
    fn take(&mut self, key: &[u8]) -> Option<Vec<u64>> {
        let readers = self.table.remove(key)?;
        self.items -= readers.ids.len();
        Some(readers.ids)
    }

    /// The oldest key.
    fn oldest(&mut self) -> Option<Arc<[u8]>> {
        while let Some((seq, key)) = self.order.pop_front() {
            if self.table.get(&key).is_some_and(|r| r.seq == seq) {
                return Some(key);
            }
        }
        None
    }

    /// Drops what is void in the order, when it is more than the rest.
    fn tidy(&mut self) {
        if self.order.len() > 2 * self.table.len() + 64 {
            let table = &self.table;
            self.order
                .retain(|(seq, key)| table.get(key).is_some_and(|r| r.seq == *seq));
        }
    }

    /// All keys are gone: nobody may hold any.
    fn clear_table(&mut self) {
        self.table = HashMap::new();
        self.order = VecDeque::new();
        self.items = 0;
    }

    /// Notes a change for those who track by prefix.
    fn note_change(&mut self, key: &[u8], by: u64) {
        for (prefix, place) in &mut self.prefixes {
            if key.starts_with(prefix) {
                // Of two changes by different clients, each is somebody else's for everybody.
                let changed = place.changed.entry(key.to_vec());
                changed
                    .and_modify(|old| *old = if *old == by { by } else { 0 })
                    .or_insert(by);
            }
        }
    }
}
