//! Consumer groups: what was delivered to whom and not acknowledged yet.
//!
//! The pending entries of a group lie in one tree by identifier, each with its time, count and consumer; a consumer has
//! the identifiers of its own. All of it is in shared trees, so that a snapshot of a group costs nothing.

use std::sync::Arc;

use super::StreamId;
use crate::value::tree::{Item, Tree};

/// A delivered entry that was not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    pub id: StreamId,
    /// Unix time in ms of the last delivery.
    pub time: i64,
    /// Deliveries.
    pub count: u64,
    /// Number of the consumer in its group.
    pub consumer: u64,
}

impl Item for Pending {
    type Key = StreamId;

    fn key(&self) -> &StreamId {
        &self.id
    }
}

impl Item for StreamId {
    type Key = StreamId;

    fn key(&self) -> &StreamId {
        self
    }
}

/// A consumer of a group.
#[derive(Clone, Debug)]
pub struct Consumer {
    /// Its number in the group, which is given once.
    pub number: u64,
    pub name: Arc<[u8]>,
    /// Unix time in ms of its last attempt to read or claim.
    pub seen: i64,
    /// The same of the last one that had a result; -1: there was none.
    pub active: i64,
    /// What it was given.
    pel: Tree<StreamId>,
}

impl Consumer {
    /// Number of pending entries.
    pub fn pending(&self) -> u64 {
        self.pel.len()
    }

    /// Identifiers of pending entries, from `start` on.
    pub fn pending_from(&self, start: StreamId) -> impl Iterator<Item = StreamId> + '_ {
        self.pel.iter_from(move |id| id.cmp(&start)).copied()
    }
}

#[derive(Clone, Debug)]
struct ConsumerItem(Arc<Consumer>);

impl Item for ConsumerItem {
    type Key = u64;

    fn key(&self) -> &u64 {
        &self.0.number
    }
}

/// A consumer's number by its name.
#[derive(Clone, Debug)]
struct NameItem {
    name: Arc<[u8]>,
    number: u64,
}

impl Item for NameItem {
    type Key = Arc<[u8]>;

    fn key(&self) -> &Arc<[u8]> {
        &self.name
    }
}

/// So many entries are taken out one by one.
const FEW: u64 = 64;

/// Takes the items from one identifier to another, both included, out of a tree.
fn cut<T: Item<Key = StreamId>>(tree: &mut Tree<T>, from: StreamId, to: StreamId) -> Tree<T> {
    let begin = tree.lower_bound(|id| id.cmp(&from));
    let end = tree.upper_bound(|id| id.cmp(&to));
    tree.remove_range(begin, end)
}

/// A consumer group.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// The last entry that was delivered as new.
    pub last_id: StreamId,
    /// How many entries of the stream's whole life are not behind `last_id`, if that is known.
    pub entries_read: Option<u64>,
    pel: Tree<Pending>,
    consumers: Tree<ConsumerItem>,
    names: Tree<NameItem>,
    next_number: u64,
}

impl Group {
    pub fn new(last_id: StreamId, entries_read: Option<u64>) -> Group {
        Group {
            last_id,
            entries_read,
            ..Group::default()
        }
    }

    // Consumers

    pub fn consumer_count(&self) -> u64 {
        self.consumers.len()
    }

    /// The consumers by name.
    pub fn consumers(&self) -> impl Iterator<Item = &Consumer> + '_ {
        self.names
            .iter()
            .filter_map(|item| self.numbered(item.number))
    }

    pub fn consumer(&self, name: &[u8]) -> Option<&Consumer> {
        let item = self.names.find(|other| (**other).cmp(name))?;
        self.numbered(item.number)
    }

    /// The consumer with this number.
    pub fn numbered(&self, number: u64) -> Option<&Consumer> {
        let item = self.consumers.find(|other| other.cmp(&number));
        item.map(|item| &*item.0)
    }

    /// Changes the consumer with this number.
    pub fn change_consumer<R>(
        &mut self,
        number: u64,
        f: impl FnOnce(&mut Consumer) -> R,
    ) -> Option<R> {
        self.consumers.modify(
            |other| other.cmp(&number),
            |item| f(Arc::make_mut(&mut item.0)),
        )
    }

    /// The number of the consumer with this name, and whether it had to be created.
    pub fn consumer_or_new(&mut self, name: &[u8], now_ms: i64) -> (u64, bool) {
        if let Some(consumer) = self.consumer(name) {
            return (consumer.number, false);
        }
        (self.add_consumer(name, now_ms, -1), true)
    }

    /// Adds a consumer whose name is known to be new.
    fn add_consumer(&mut self, name: &[u8], seen: i64, active: i64) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        let name: Arc<[u8]> = name.into();
        let consumer = Consumer {
            number,
            name: name.clone(),
            seen,
            active,
            pel: Tree::new(),
        };
        self.consumers.push_back(ConsumerItem(Arc::new(consumer)));
        let item = NameItem {
            name: name.clone(),
            number,
        };
        // Nobody has this name.
        let _ = self.names.insert(item, |other| other.cmp(&name));
        number
    }

    /// Adds a consumer that is read from a file; `None` if there is one of that name.
    pub fn restore_consumer(&mut self, name: &[u8], seen: i64, active: i64) -> Option<u64> {
        let is_new = self.consumer(name).is_none();
        is_new.then(|| self.add_consumer(name, seen, active))
    }

    /// Removes a consumer with all that it has pending; returns how much that was.
    pub fn remove_consumer(&mut self, name: &[u8]) -> Option<u64> {
        let number = self.names.remove(|other| (**other).cmp(name))?.number;
        let consumer = self.consumers.remove(|other| other.cmp(&number))?;
        let pending = consumer.0.pending();
        if pending > FEW && pending > self.pel.len() / 8 {
            // What stays is put together anew: that is quicker than to take so much out.
            let others = self.pel.iter().filter(|item| item.consumer != number);
            self.pel = Tree::from_sorted(others.copied());
        } else {
            for id in consumer.0.pel.iter() {
                self.pel.remove(|other| other.cmp(id));
            }
        }
        Some(pending)
    }

    // Pending entries

    /// Number of pending entries.
    pub fn pending(&self) -> u64 {
        self.pel.len()
    }

    /// Pending entries from `start` on.
    pub fn pending_from(&self, start: StreamId) -> impl Iterator<Item = &Pending> + '_ {
        self.pel.iter_from(move |id| id.cmp(&start))
    }

    pub fn last_pending(&self) -> Option<&Pending> {
        self.pel.last()
    }

    pub fn find_pending(&self, id: StreamId) -> Option<&Pending> {
        self.pel.find(|other| other.cmp(&id))
    }

    /// Makes an entry pending, or takes it over from who has it. The consumer must exist.
    pub fn assign(&mut self, pending: Pending) {
        let id = pending.id;
        if self.pel.last().is_none_or(|last| last.id < id) {
            self.pel.push_back(pending);
            self.change_consumer(pending.consumer, |consumer| consumer.pel.push_back(id));
            return;
        }
        let before = self.pel.modify(
            |other| other.cmp(&id),
            |item| std::mem::replace(item, pending).consumer,
        );
        match before {
            Some(number) if number == pending.consumer => return,
            Some(number) => self.forget(number, id),
            // There is no such entry: checked right above.
            None => {
                let _ = self.pel.insert(pending, |other| other.cmp(&id));
            }
        }
        self.change_consumer(pending.consumer, |consumer| {
            if consumer.pel.last().is_none_or(|last| *last < id) {
                consumer.pel.push_back(id);
            } else {
                // It is not there: it was not this consumer's.
                let _ = consumer.pel.insert(id, |other| other.cmp(&id));
            }
        });
    }

    fn forget(&mut self, number: u64, id: StreamId) {
        self.change_consumer(number, |consumer| {
            consumer.pel.remove(|other| other.cmp(&id));
        });
    }

    /// Changes time and count of a pending entry.
    pub fn change_pending(&mut self, id: StreamId, f: impl FnOnce(&mut Pending)) {
        self.pel.modify(|other| other.cmp(&id), f);
    }

    /// Takes an entry off the pending ones, as acknowledged or gone. False if it was not pending.
    pub fn release(&mut self, id: StreamId) -> bool {
        // Looked for first: a removal in vain would copy what a snapshot shares.
        if self.find_pending(id).is_none() {
            return false;
        }
        let Some(pending) = self.pel.remove(|other| other.cmp(&id)) else {
            return false;
        };
        self.forget(pending.consumer, id);
        true
    }

    /// Takes many entries, which are in order, off the pending ones.
    pub(super) fn release_all(&mut self, ids: &[StreamId]) {
        let (Some(&from), Some(&to)) = (ids.first(), ids.last()) else {
            return;
        };
        let taken = cut(&mut self.pel, from, to);
        if taken.is_empty() {
            return;
        }
        // Entries that were deleted before stay pending.
        let mut ids = ids.iter().peekable();
        let is_other = |pending: &&Pending| {
            while ids.next_if(|id| **id < pending.id).is_some() {}
            ids.peek().is_none_or(|id| **id != pending.id)
        };
        let others: Vec<Pending> = taken.iter().filter(is_other).copied().collect();
        let numbers: Vec<u64> = self.consumers.iter().map(|item| item.0.number).collect();
        for number in numbers {
            let has = self
                .numbered(number)
                .and_then(|c| c.pending_from(from).next());
            if has.is_some_and(|id| id <= to) {
                self.change_consumer(number, |consumer| drop(cut(&mut consumer.pel, from, to)));
            }
        }
        for pending in others {
            let id = pending.id;
            // All of that range were taken out.
            let _ = self.pel.insert(pending, |other| other.cmp(&id));
            self.change_consumer(pending.consumer, |consumer| {
                let _ = consumer.pel.insert(id, |other| other.cmp(&id));
            });
        }
    }

    /// Bytes on the heap, about.
    pub fn memory(&self) -> usize {
        let pending = (size_of::<Pending>() + size_of::<StreamId>()) * self.pel.len() as usize;
        let consumers = self.consumers.iter().map(|item| {
            item.0.name.len()
                + size_of::<Consumer>()
                + size_of::<NameItem>()
                + 4 * size_of::<usize>()
        });
        size_of::<Group>() + pending + consumers.sum::<usize>()
    }
}

/// A group in its stream.
#[derive(Clone, Debug)]
pub struct GroupItem {
    pub name: Arc<[u8]>,
    pub group: Arc<Group>,
}

impl Item for GroupItem {
    type Key = Arc<[u8]>;

    fn key(&self) -> &Arc<[u8]> {
        &self.name
    }
}
