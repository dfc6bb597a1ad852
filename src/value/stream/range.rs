//! Walks over the entries of a range of identifiers, from either end.

use smallvec::SmallVec;

use super::node::{Entry, Walk};
use super::{Stream, StreamId};
use crate::value::tree;

/// The living entries of a range, the lowest first.
pub struct Range<'a> {
    nodes: tree::Iter<'a, super::NodeItem>,
    walk: Walk<'a>,
    start: StreamId,
    end: StreamId,
}

impl<'a> Range<'a> {
    pub(super) fn new(stream: &'a Stream, start: StreamId, end: StreamId) -> Range<'a> {
        // The node that may hold `start` is the last one that does not begin behind it.
        let nodes = stream.nodes.upper_bound(|first| first.cmp(&start));
        Range {
            nodes: stream.nodes.iter_at(nodes.saturating_sub(1)),
            walk: Walk::empty(),
            start,
            end,
        }
    }
}

impl<'a> Iterator for Range<'a> {
    type Item = Entry<'a>;

    #[inline]
    fn next(&mut self) -> Option<Entry<'a>> {
        loop {
            for entry in self.walk.by_ref() {
                if entry.id > self.end {
                    self.nodes = tree::Iter::empty();
                    self.walk = Walk::empty();
                    return None;
                }
                if entry.id >= self.start && !entry.is_deleted() {
                    return Some(entry);
                }
            }
            let item = self.nodes.next()?;
            self.walk = item.node.entries(item.first);
        }
    }
}

/// The living entries of a range, the highest first.
pub struct RevRange<'a> {
    nodes: tree::RevIter<'a, super::NodeItem>,
    present: Option<&'a super::NodeItem>,
    /// Places in the present node of entries that are to come, the next one last.
    held: SmallVec<[u32; 128]>,
    start: StreamId,
    end: StreamId,
}

impl<'a> RevRange<'a> {
    pub(super) fn new(stream: &'a Stream, start: StreamId, end: StreamId) -> RevRange<'a> {
        RevRange {
            nodes: stream.nodes.rev_from(|first| first.cmp(&end)),
            present: None,
            held: SmallVec::new(),
            start,
            end,
        }
    }
}

impl<'a> Iterator for RevRange<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        loop {
            if let (Some(place), Some(item)) = (self.held.pop(), self.present) {
                return item.node.entry_at(item.first, place as usize);
            }
            let item = self.nodes.next()?;
            let (start, end) = (self.start, self.end);
            let within = item
                .node
                .entries(item.first)
                .take_while(|entry| entry.id <= end)
                .filter(|entry| entry.id >= start && !entry.is_deleted());
            // Nodes are a few gigabytes at most, of which the last entry is one.
            self.held.extend(within.map(|entry| entry.place() as u32));
            self.present = Some(item);
            if self.held.is_empty() && item.first <= start {
                self.nodes = tree::RevIter::empty();
            }
        }
    }
}
