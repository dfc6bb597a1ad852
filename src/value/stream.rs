//! Streams: entries of fields and values in the order of their identifiers, and the groups that read them.
//!
//! Entries lie in nodes of some dozens, nodes in a counted tree by the identifier of their first entry; groups, their
//! consumers and pending entries in trees of the same kind. A clone shares all of it, and a write afterwards copies the
//! node that it touches and the way there.

mod extent;
mod group;
mod id;
mod node;
mod range;
#[cfg(test)]
mod tests;
mod trim;

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

pub use extent::Extent;
pub use group::{Consumer, Group, GroupItem, Pending};
pub use id::{StreamId, number};
pub use node::{BadNode, Entry, Node};
pub use range::{Range, RevRange};
pub use trim::{References, Threshold, Trim, Trimmed};

use super::entry::{Blob, ObjRef, Payload, size_class};
use super::tree::{Item, Tree};
use super::{Collection, Limits, Obj, Stored, Type};

/// A node takes no more bytes than this, whatever the limits say, and an entry no more either.
pub const NODE_BYTES_MAX: u64 = 1 << 30;
/// Room that a node which has just been begun gets for its entries, in bytes, at most.
const FIRST_ROOM: usize = 256;

/// A node in its stream.
#[derive(Clone, Debug)]
pub struct NodeItem {
    /// The identifier of its first entry, deleted or not; deltas count from it.
    pub first: StreamId,
    /// Its living entries, as the node says: trimming counts them without a look into each node.
    live: u64,
    pub node: Arc<Node>,
}

impl NodeItem {
    fn new(first: StreamId, node: Node) -> NodeItem {
        NodeItem {
            first,
            live: node.live(),
            node: Arc::new(node),
        }
    }

    /// Changes the node.
    fn change<R>(&mut self, f: impl FnOnce(StreamId, &mut Node) -> R) -> R {
        let node = Arc::make_mut(&mut self.node);
        let result = f(self.first, node);
        self.live = node.live();
        result
    }
}

impl Item for NodeItem {
    type Key = StreamId;

    fn key(&self) -> &StreamId {
        &self.first
    }

    fn touch(&self) -> u64 {
        self.first.ms
    }
}

/// A stream. Cloning it is O(1).
#[derive(Clone, Debug, Default)]
pub struct Stream {
    nodes: Tree<NodeItem>,
    len: u64,
    /// The first and the last entry; zero without entries.
    first: StreamId,
    top: StreamId,
    last_id: StreamId,
    max_deleted_id: StreamId,
    entries_added: u64,
    groups: Tree<GroupItem>,
}

/// The numbers of a stream beside its entries, as files and `XSETID` give them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub last_id: StreamId,
    pub max_deleted_id: StreamId,
    pub entries_added: u64,
}

/// Nodes and numbers that do not make a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadStream;

impl Stream {
    /// A stream of nodes that were read from a file, with [`Node::from_listpack`]. Nodes without a living entry are
    /// left out.
    ///
    /// # Errors
    /// Nodes that are out of order, or entries behind the last identifier.
    pub fn from_nodes(
        nodes: impl IntoIterator<Item = (StreamId, Node)>,
        counters: Counters,
    ) -> Result<Stream, BadStream> {
        let mut items: Vec<NodeItem> = Vec::new();
        let (mut len, mut last) = (0u64, None);
        for (first, node) in nodes {
            let end = node.last(first).map_or(first, |entry| entry.id);
            if last.is_some_and(|last| first <= last) || end > counters.last_id {
                return Err(BadStream);
            }
            last = Some(end);
            if node.live() == 0 {
                continue;
            }
            len += node.live();
            items.push(NodeItem::new(first, node));
        }
        if len > counters.entries_added {
            return Err(BadStream);
        }
        let mut stream = Stream {
            nodes: Tree::from_sorted(items),
            len,
            first: StreamId::MIN,
            top: StreamId::MIN,
            last_id: counters.last_id,
            max_deleted_id: counters.max_deleted_id,
            entries_added: counters.entries_added,
            groups: Tree::new(),
        };
        stream.find_ends();
        Ok(stream)
    }

    /// The nodes in order, for saving: [`Node::to_listpack`] writes one as Redis does.
    pub fn nodes(&self) -> impl Iterator<Item = (StreamId, &Node)> + '_ {
        self.nodes.iter().map(|item| (item.first, &*item.node))
    }

    pub fn node_count(&self) -> u64 {
        self.nodes.len()
    }

    /// Number of entries.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it has no entries. It exists all the same.
    pub fn has_no_entries(&self) -> bool {
        self.len == 0
    }

    pub fn counters(&self) -> Counters {
        Counters {
            last_id: self.last_id,
            max_deleted_id: self.max_deleted_id,
            entries_added: self.entries_added,
        }
    }

    pub fn set_counters(&mut self, counters: Counters) {
        self.last_id = counters.last_id;
        self.max_deleted_id = counters.max_deleted_id;
        self.entries_added = counters.entries_added;
    }

    /// The highest identifier that an entry ever had.
    pub fn last_id(&self) -> StreamId {
        self.last_id
    }

    /// The identifier of the first entry; zero without entries.
    pub fn first_id(&self) -> StreamId {
        self.first
    }

    /// The identifier of the last entry; zero without entries.
    pub fn top_id(&self) -> StreamId {
        self.top
    }

    fn find_first(&mut self) {
        let first = self.range(StreamId::MIN, StreamId::MAX).next();
        self.first = first.map_or(StreamId::MIN, |entry| entry.id);
    }

    fn find_ends(&mut self) {
        self.find_first();
        let last = self.last_entry();
        self.top = last.map_or(StreamId::MIN, |entry| entry.id);
    }

    // Entries

    /// Appends an entry. `fields` are names and values in turn; `id` must be behind the last identifier.
    pub fn append(&mut self, id: StreamId, fields: &[&[u8]], limits: &Limits) {
        debug_assert!(id > self.last_id || self.entries_added == 0);
        let added: usize = fields.iter().map(|text| text.len()).sum();
        let full = self
            .nodes
            .last()
            .map(|item| is_full(&item.node, added, limits));
        if full == Some(false) {
            self.nodes.modify_last(|item| {
                item.change(|first, node| node.append(first, id, fields));
            });
        } else {
            if full == Some(true) {
                self.nodes.modify_last(|item| {
                    if let Some(node) = Arc::get_mut(&mut item.node) {
                        node.seal();
                    }
                });
            }
            let mut node = Node::new(fields);
            node.reserve(added.min(FIRST_ROOM));
            node.append(id, id, fields);
            self.nodes.push_back(NodeItem::new(id, node));
        }
        if self.len == 0 {
            self.first = id;
        }
        self.len += 1;
        self.top = id;
        self.last_id = id;
        self.entries_added = self.entries_added.saturating_add(1);
    }

    /// The living entries of a range, both ends included.
    pub fn range(&self, start: StreamId, end: StreamId) -> Range<'_> {
        Range::new(self, start, end)
    }

    /// The same backwards.
    pub fn rev_range(&self, start: StreamId, end: StreamId) -> RevRange<'_> {
        RevRange::new(self, start, end)
    }

    /// The living entry with this identifier.
    pub fn get(&self, id: StreamId) -> Option<Entry<'_>> {
        self.range(id, id).next()
    }

    pub fn last_entry(&self) -> Option<Entry<'_>> {
        self.rev_range(StreamId::MIN, StreamId::MAX).next()
    }

    /// Deletes an entry. False if it is not there.
    pub fn delete(&mut self, id: StreamId) -> bool {
        let Some(item) = self.nodes.rev_from(|first| first.cmp(&id)).next() else {
            return false;
        };
        let first = item.first;
        let found = item.node.entries(first).find(|entry| entry.id >= id);
        let Some(entry) = found.filter(|entry| entry.id == id && !entry.is_deleted()) else {
            return false;
        };
        let place = entry.place();
        if item.node.live() == 1 {
            self.nodes.remove(|other| other.cmp(&first));
        } else {
            self.nodes.modify(
                |other| other.cmp(&first),
                |item| item.change(|_, node| node.mark_deleted(place)),
            );
        }
        self.len -= 1;
        if id == self.first || id == self.top {
            self.find_ends();
        }
        true
    }

    /// Remembers that this entry was deleted, for the counts of groups.
    pub fn note_deleted(&mut self, id: StreamId) {
        self.max_deleted_id = self.max_deleted_id.max(id);
    }

    // Groups

    pub fn group_count(&self) -> u64 {
        self.groups.len()
    }

    /// The groups by name.
    pub fn groups(&self) -> impl Iterator<Item = (&[u8], &Group)> + '_ {
        self.groups.iter().map(|item| (&*item.name, &*item.group))
    }

    pub fn group(&self, name: &[u8]) -> Option<&Group> {
        let item = self.groups.find(|other| (**other).cmp(name));
        item.map(|item| &*item.group)
    }

    /// Changes a group; `None` if there is none of that name.
    pub fn change_group<R>(&mut self, name: &[u8], f: impl FnOnce(&mut Group) -> R) -> Option<R> {
        self.groups.modify(
            |other| (**other).cmp(name),
            |item| f(Arc::make_mut(&mut item.group)),
        )
    }

    /// Adds a group. False if there is one of that name.
    pub fn add_group(&mut self, name: &[u8], group: Group) -> bool {
        let item = GroupItem {
            name: name.into(),
            group: Arc::new(group),
        };
        self.groups
            .insert(item, |other| (**other).cmp(name))
            .is_ok()
    }

    pub fn remove_group(&mut self, name: &[u8]) -> Option<Arc<Group>> {
        self.group(name)?;
        let item = self.groups.remove(|other| (**other).cmp(name))?;
        Some(item.group)
    }

    /// Takes an entry off the pending ones of all groups.
    pub fn release_everywhere(&mut self, id: StreamId) {
        for name in self.groups_with(|group| group.find_pending(id).is_some()) {
            self.change_group(&name, |group| group.release(id));
        }
    }

    fn groups_with(&self, mut f: impl FnMut(&Group) -> bool) -> Vec<Arc<[u8]>> {
        let groups = self.groups.iter().filter(|item| f(&item.group));
        groups.map(|item| item.name.clone()).collect()
    }

    /// Whether a group has this entry pending.
    pub fn is_pending(&self, id: StreamId) -> bool {
        self.groups()
            .any(|(_, group)| group.find_pending(id).is_some())
    }

    /// Whether a group still needs this entry: it was not delivered there, or not acknowledged.
    pub fn is_referenced(&self, id: StreamId) -> bool {
        self.groups()
            .any(|(_, group)| group.last_id < id || group.find_pending(id).is_some())
    }

    /// What counts of groups are made from.
    pub fn extent(&self) -> Extent {
        Extent {
            len: self.len,
            first_id: self.first,
            last_id: self.last_id,
            max_deleted_id: self.max_deleted_id,
            entries_added: self.entries_added,
        }
    }

    // Memory

    /// Allocations that freeing the stream takes, about.
    pub fn free_effort(&self) -> u64 {
        let groups = self
            .groups()
            .map(|(_, group)| 1 + group.pending() + group.consumer_count());
        self.nodes.len() + groups.sum::<u64>()
    }

    /// Bytes on the heap, from up to `samples` nodes (0: all).
    pub fn memory(&self, samples: usize) -> usize {
        let samples = if samples == 0 { usize::MAX } else { samples };
        let (mut seen, mut bytes) = (0, 0);
        for item in self.nodes.iter().take(samples) {
            seen += 1;
            bytes += size_class(item.node.memory()) + size_of::<Node>() + size_of::<[usize; 2]>();
            bytes += size_of::<NodeItem>();
        }
        let nodes = (bytes * self.nodes.len() as usize)
            .checked_div(seen)
            .unwrap_or(0);
        let groups = self
            .groups()
            .map(|(name, group)| name.len() + size_of::<GroupItem>() + group.memory());
        size_of::<Stream>() + nodes + groups.sum::<usize>()
    }
}

fn is_full(node: &Node, added: usize, limits: &Limits) -> bool {
    let bytes = match limits.stream_node_bytes as u64 {
        0 => NODE_BYTES_MAX,
        bytes => bytes.min(NODE_BYTES_MAX),
    };
    node.listpack_len() + added as u64 >= bytes
        || (limits.stream_node_entries > 0 && node.all() >= limits.stream_node_entries as u64)
}

/// A stream that is being changed.
#[derive(Debug)]
pub struct StreamMut(Arc<Stream>);

impl Deref for StreamMut {
    type Target = Stream;

    fn deref(&self) -> &Stream {
        &self.0
    }
}

impl DerefMut for StreamMut {
    fn deref_mut(&mut self) -> &mut Stream {
        Arc::make_mut(&mut self.0)
    }
}

impl Collection for StreamMut {
    type Ref<'a> = &'a Stream;
    const TYPE: Type = Type::Stream;

    fn empty() -> Self {
        StreamMut(Arc::default())
    }

    /// Never: a key with an empty stream stays.
    fn is_empty(&self) -> bool {
        false
    }

    fn view(payload: Payload<'_>) -> Option<&Stream> {
        match payload {
            Payload::Obj(ObjRef::Stream(stream)) => Some(stream),
            _ => None,
        }
    }

    fn from_blob(_: Blob<'_>, _: Vec<u8>) -> Self {
        unreachable!("a stream has no small form")
    }

    fn from_obj(obj: Obj) -> Option<Self> {
        match obj {
            Obj::Stream(stream) => Some(StreamMut(stream)),
            _ => None,
        }
    }

    fn store(self) -> Stored {
        Stored::Large(Obj::Stream(self.0))
    }
}
