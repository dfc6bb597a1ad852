//! A node: up to some dozens of entries in one run of packed elements.
//!
//! ```text
//! name of each master field
//! { flags | ms delta | seq delta | value of each master field             with SAME
//!                                | field count | { field | value }*       without }*
//! ```
//!
//! The master fields are those of the first entry; an entry that has the same ones leaves them out. Deltas count from
//! the node's own identifier, that of its first entry. In Redis' files a node is a listpack with the same elements, a
//! head of counts, and behind each entry the number of its elements: those are left out here, as is the length behind
//! each element, because nothing here is read from its end.

use smallvec::SmallVec;

use super::id::StreamId;
use crate::value::packed::{
    BadListpack, Elem, Forward, Needle, Packed, PackedRef, WithBack, stored_len,
};

/// The entry was deleted.
const DELETED: u8 = 1;
/// The entry has the master fields.
const SAME: u8 = 2;
/// Bytes around the elements of a listpack.
const LISTPACK_FRAME: usize = 7;

/// Entries that follow each other. The identifier that deltas count from is the owner's to keep.
#[derive(Clone, Debug, Default)]
pub struct Node {
    bytes: Vec<u8>,
    live: u32,
    deleted: u32,
    /// Number of master fields.
    fields: u32,
    /// Where the entries begin.
    body: u32,
    /// Bytes of the node's elements as a listpack, without its head of counts: decides when a node is full.
    listpack: u64,
}

/// An entry, borrowed from its node.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    pub id: StreamId,
    node: &'a Node,
    flags: u8,
    /// Where it begins.
    head: usize,
    /// Where its values, or fields and values, begin.
    at: usize,
    fields: usize,
}

/// Why bytes of unknown origin are no node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadNode {
    Listpack(BadListpack),
    /// Elements are missing or not what they should be.
    Structure,
}

impl Node {
    /// A node for entries with these fields.
    pub fn new(fields: &[&[u8]]) -> Node {
        let mut node = Node {
            fields: (fields.len() / 2) as u32,
            ..Node::default()
        };
        for name in fields.iter().step_by(2) {
            node.push(&Needle::new(name));
        }
        // The element that ends the master entry.
        node.listpack += stored_len::<WithBack>(&Needle::int(0)) as u64;
        node.body = node.bytes.len() as u32;
        node
    }

    /// Entries that are not deleted.
    pub fn live(&self) -> u64 {
        u64::from(self.live)
    }

    /// Entries, deleted ones too.
    pub fn all(&self) -> u64 {
        u64::from(self.live) + u64::from(self.deleted)
    }

    /// Bytes on the heap.
    pub fn memory(&self) -> usize {
        self.bytes.capacity()
    }

    /// Bytes that the node takes as a listpack.
    pub fn listpack_len(&self) -> u64 {
        let head = [self.live, self.deleted, self.fields]
            .map(|n| stored_len::<WithBack>(&Needle::int(i64::from(n))));
        self.listpack + (LISTPACK_FRAME + head.iter().sum::<usize>()) as u64
    }

    #[inline]
    fn push(&mut self, needle: &Needle<'_>) {
        needle.append_to(&mut self.bytes);
        self.listpack += stored_len::<WithBack>(needle) as u64;
    }

    /// Appends an entry; `fields` are names and values in turn.
    pub fn append(&mut self, master: StreamId, id: StreamId, fields: &[&[u8]]) {
        let same = self.has_fields(fields);
        self.push(&Needle::int(i64::from(if same { SAME } else { 0 })));
        self.push(&Needle::int(id.ms.wrapping_sub(master.ms) as i64));
        self.push(&Needle::int(id.seq.wrapping_sub(master.seq) as i64));
        let count = fields.len() / 2;
        let elements = if same {
            for value in fields.iter().skip(1).step_by(2) {
                self.push(&Needle::new(value));
            }
            count + 3
        } else {
            self.push(&Needle::int(count as i64));
            for text in fields {
                self.push(&Needle::new(text));
            }
            2 * count + 4
        };
        self.listpack += stored_len::<WithBack>(&Needle::int(elements as i64)) as u64;
        self.live += 1;
    }

    /// Makes room for so many bytes.
    pub fn reserve(&mut self, bytes: usize) {
        self.bytes.reserve(bytes);
    }

    /// Gives room back that no entry will come for.
    pub fn seal(&mut self) {
        self.bytes.shrink_to_fit();
    }

    fn has_fields(&self, fields: &[&[u8]]) -> bool {
        self.fields as usize * 2 == fields.len()
            && self
                .view(0)
                .iter()
                .zip(fields.iter().step_by(2))
                .all(|(mine, name)| mine.eq_bytes(name))
    }

    /// The elements from `at` on. How many there are is not needed.
    #[inline]
    fn view(&self, at: usize) -> PackedRef<'_, Forward> {
        let bytes = &self.bytes[at..];
        PackedRef::new(bytes, u32::from(!bytes.is_empty()))
    }

    /// The entries from the one at `at` on, deleted ones too.
    #[inline]
    fn walk(&self, master: StreamId, at: usize) -> Walk<'_> {
        Walk {
            node: self,
            master,
            at,
        }
    }

    /// The entries, deleted ones too.
    #[inline]
    pub fn entries(&self, master: StreamId) -> Walk<'_> {
        self.walk(master, self.body as usize)
    }

    /// The entry that begins at a place.
    #[inline]
    pub(super) fn entry_at(&self, master: StreamId, place: usize) -> Option<Entry<'_>> {
        self.walk(master, place).next()
    }

    /// The last entry, deleted or not.
    pub fn last(&self, master: StreamId) -> Option<Entry<'_>> {
        self.entries(master).last()
    }

    /// Marks the entry at this place of the run as deleted.
    pub(super) fn mark_deleted(&mut self, place: usize) {
        // Flags are small integers: one byte that stands for itself.
        debug_assert_eq!(self.bytes[place] & DELETED, 0);
        self.bytes[place] |= DELETED;
        self.live -= 1;
        self.deleted += 1;
    }

    /// Marks the first entries as deleted while `more` agrees; returns how many.
    pub(super) fn trim(&mut self, master: StreamId, mut more: impl FnMut(StreamId) -> bool) -> u64 {
        let mut places: SmallVec<[usize; 128]> = SmallVec::new();
        for entry in self.entries(master).filter(|entry| !entry.is_deleted()) {
            if !more(entry.id) {
                break;
            }
            places.push(entry.place());
        }
        places.iter().for_each(|&place| self.mark_deleted(place));
        places.len() as u64
    }

    /// The node as a listpack, as it stands in Redis' files. `None` if it is too long for one.
    pub fn to_listpack(&self) -> Option<Vec<u8>> {
        let mut out: Packed<WithBack> = Packed::with_capacity(self.listpack as usize + 16);
        let mut put = |elem: Elem<'_>| out.push_back_needle(&Needle::of(elem));
        for count in [self.live, self.deleted, self.fields] {
            put(Elem::Int(i64::from(count)));
        }
        self.view(0)
            .iter()
            .take(self.fields as usize)
            .for_each(&mut put);
        put(Elem::Int(0));
        for entry in self.entries(StreamId::MIN) {
            let mut elements = self.view(entry.place()).iter();
            let count = entry.elements();
            elements.by_ref().take(count).for_each(&mut put);
            put(Elem::Int(count as i64));
        }
        out.to_listpack()
    }

    /// Takes in a listpack of unknown origin: everything is checked. Its entries must rise from the master
    /// identifier on.
    ///
    /// # Errors
    /// Damaged bytes, or counts and numbers that do not fit together.
    pub fn from_listpack(master: StreamId, bytes: &[u8]) -> Result<Node, BadNode> {
        let listpack = Packed::<WithBack>::from_listpack(bytes).map_err(BadNode::Listpack)?;
        Reading {
            elements: listpack.view().iter(),
            left: listpack.len(),
        }
        .node(master)
        .ok_or(BadNode::Structure)
    }
}

/// The elements of a listpack that is read in.
struct Reading<'a> {
    elements: crate::value::packed::Iter<'a, WithBack>,
    left: usize,
}

impl<'a> Reading<'a> {
    fn elem(&mut self) -> Option<Elem<'a>> {
        self.left = self.left.checked_sub(1)?;
        self.elements.next()
    }

    fn int(&mut self) -> Option<i64> {
        self.elem()?.as_i64()
    }

    /// A count of things that take at least `each` elements, so that they can all be there.
    fn count(&mut self, each: usize) -> Option<usize> {
        let count = usize::try_from(self.int()?).ok()?;
        (count.checked_mul(each)? <= self.left).then_some(count)
    }

    fn node(mut self, master: StreamId) -> Option<Node> {
        let (live, deleted) = (self.int()?, self.int()?);
        let fields = self.count(1)?;
        let mut node = Node {
            fields: u32::try_from(fields).ok()?,
            ..Node::default()
        };
        for _ in 0..fields {
            node.push(&Needle::of(self.elem()?));
        }
        if self.int()? != 0 {
            return None;
        }
        node.listpack += stored_len::<WithBack>(&Needle::int(0)) as u64;
        node.body = u32::try_from(node.bytes.len()).ok()?;
        let mut last = None;
        while self.left > 0 {
            let id = self.entry(&mut node, master)?;
            if last.is_some_and(|last| last >= id) || id < master {
                return None;
            }
            last = Some(id);
        }
        let fits = i64::from(node.live) == live && i64::from(node.deleted) == deleted;
        node.bytes.shrink_to_fit();
        fits.then_some(node)
    }

    fn entry(&mut self, node: &mut Node, master: StreamId) -> Option<StreamId> {
        let flags = self.int()?;
        let (ms, seq) = (self.int()?, self.int()?);
        if !(0..=i64::from(DELETED | SAME)).contains(&flags) {
            return None;
        }
        for n in [flags, ms, seq] {
            node.push(&Needle::int(n));
        }
        let (rest, elements) = if flags & i64::from(SAME) != 0 {
            (node.fields as usize, node.fields as usize + 3)
        } else {
            let count = self.count(2)?;
            node.push(&Needle::int(count as i64));
            (2 * count, 2 * count + 4)
        };
        for _ in 0..rest {
            node.push(&Needle::of(self.elem()?));
        }
        if self.int()? != elements as i64 {
            return None;
        }
        node.listpack += stored_len::<WithBack>(&Needle::int(elements as i64)) as u64;
        if flags & i64::from(DELETED) != 0 {
            node.deleted = node.deleted.checked_add(1)?;
        } else {
            node.live = node.live.checked_add(1)?;
        }
        Some(moved(master, ms, seq))
    }
}

#[inline]
fn moved(master: StreamId, ms: i64, seq: i64) -> StreamId {
    StreamId::new(
        master.ms.wrapping_add(ms as u64),
        master.seq.wrapping_add(seq as u64),
    )
}

/// Walks over the entries of a node, deleted ones too.
#[derive(Clone, Debug)]
pub struct Walk<'a> {
    node: &'a Node,
    master: StreamId,
    at: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn empty() -> Walk<'a> {
        static NONE: Node = Node {
            bytes: Vec::new(),
            live: 0,
            deleted: 0,
            fields: 0,
            body: 0,
            listpack: 0,
        };
        NONE.entries(StreamId::MIN)
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = Entry<'a>;

    #[inline]
    fn next(&mut self) -> Option<Entry<'a>> {
        if self.at >= self.node.bytes.len() {
            return None;
        }
        let flags = self.node.bytes[self.at];
        let mut elements = self.node.view(self.at + 1).iter();
        let mut int = || elements.next().and_then(|elem| elem.as_i64()).unwrap_or(0);
        let id = moved(self.master, int(), int());
        let (fields, rest) = if flags & SAME != 0 {
            let fields = self.node.fields as usize;
            (fields, fields)
        } else {
            let fields = int() as usize;
            (fields, 2 * fields)
        };
        let len = self.node.bytes.len();
        let entry = Entry {
            id,
            node: self.node,
            flags,
            head: self.at,
            at: len - elements.rest().len(),
            fields,
        };
        elements.skip_elements(rest);
        self.at = len - elements.rest().len();
        Some(entry)
    }
}

impl<'a> Entry<'a> {
    #[inline]
    pub fn is_deleted(&self) -> bool {
        self.flags & DELETED != 0
    }

    #[inline]
    fn is_same(&self) -> bool {
        self.flags & SAME != 0
    }

    /// Number of fields.
    #[inline]
    pub fn len(&self) -> usize {
        self.fields
    }

    /// Never: an entry has a field. A file may hold one without.
    pub fn is_empty(&self) -> bool {
        self.fields == 0
    }

    /// Elements that the entry takes.
    fn elements(&self) -> usize {
        if self.is_same() {
            self.fields + 3
        } else {
            2 * self.fields + 4
        }
    }

    /// Where the entry begins in its node.
    pub(super) fn place(&self) -> usize {
        self.head
    }

    /// Calls `f` with each field and its value.
    #[inline]
    pub fn each(&self, mut f: impl FnMut(Elem<'a>, Elem<'a>)) {
        let mut values = self.node.view(self.at).iter();
        let mut names = self.node.view(0).iter();
        for _ in 0..self.fields {
            let name = if self.is_same() {
                names.next()
            } else {
                values.next()
            };
            if let (Some(name), Some(value)) = (name, values.next()) {
                f(name, value);
            }
        }
    }
}
