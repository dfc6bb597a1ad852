//! Trimming: the oldest entries go, by number or by identifier.

use super::{NodeItem, Stream, StreamId};
use crate::value::tree::Remains;

/// What stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threshold {
    /// So many entries.
    MaxLen(u64),
    /// Entries from this identifier on.
    MinId(StreamId),
}

/// How far a stream is trimmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trim {
    pub threshold: Threshold,
    /// Only whole nodes go.
    pub approx: bool,
    /// At most so many entries go; 0: any number. Only with `approx`.
    pub limit: u64,
}

/// What becomes of references that groups have to entries that go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum References {
    /// They stay.
    #[default]
    Keep,
    /// They go too.
    Delete,
    /// The entry stays as long as there is one.
    Acked,
}

/// What went.
#[derive(Default)]
pub struct Trimmed {
    /// Entries.
    pub gone: u64,
    /// Nodes that are left to be freed, if they are many.
    pub rest: Option<Remains<NodeItem>>,
}

/// References to so many entries are looked for one by one.
const FEW_ENTRIES: usize = 64;
/// So many nodes are freed in place.
const FEW_NODES: u64 = 64;

impl Stream {
    /// Trims, in time that does not depend on how many entries the nodes hold which go.
    pub fn trim(&mut self, trim: Trim, references: References) -> Trimmed {
        let gone = match references {
            References::Keep => return self.trim_nodes(trim),
            // References are looked at entry by entry: there are no whole nodes to be taken.
            _ if trim.approx => return Trimmed::default(),
            _ => self.unwanted(trim.threshold, references),
        };
        if references == References::Delete && gone.len() > FEW_ENTRIES {
            for name in self.groups_with(|group| group.pending() > 0) {
                self.change_group(&name, |group| group.release_all(&gone));
            }
            return self.trim_nodes(trim);
        }
        for &id in &gone {
            self.delete(id);
            if references == References::Delete {
                self.release_everywhere(id);
            }
        }
        Trimmed {
            gone: gone.len() as u64,
            rest: None,
        }
    }

    fn trim_nodes(&mut self, trim: Trim) -> Trimmed {
        let (count, mut gone, partly) = self.whole_nodes(trim);
        let mut rest = None;
        if count > 0 {
            let kept = self.nodes.split_off(count);
            let dropped = std::mem::replace(&mut self.nodes, kept);
            rest = (count > FEW_NODES).then(|| dropped.dismantle());
            self.len -= gone;
        }
        if partly && !trim.approx {
            let within = self.trim_first(trim.threshold);
            self.len -= within;
            gone += within;
        }
        if self.len == 0 {
            (self.first, self.top) = (StreamId::MIN, StreamId::MIN);
        } else if gone > 0 {
            self.find_first();
        }
        Trimmed { gone, rest }
    }

    /// How many nodes go as a whole, with how many entries, and whether of the next one a part does.
    fn whole_nodes(&self, trim: Trim) -> (u64, u64, bool) {
        let (mut count, mut gone) = (0, 0);
        let mut nodes = self.nodes.iter().peekable();
        while let Some(item) = nodes.next() {
            let left = self.len - gone;
            let whole = match trim.threshold {
                Threshold::MaxLen(len) if left <= len => return (count, gone, false),
                Threshold::MaxLen(len) => left - item.live >= len,
                Threshold::MinId(id) if item.first >= id => return (count, gone, false),
                // What the next node begins with is behind all of this one.
                Threshold::MinId(id) => {
                    nodes.peek().is_some_and(|next| next.first <= id)
                        || item.node.last(item.first).is_none_or(|entry| entry.id < id)
                }
            };
            if trim.limit > 0 && gone + item.live > trim.limit {
                return (count, gone, false);
            }
            if !whole {
                return (count, gone, true);
            }
            (count, gone) = (count + 1, gone + item.live);
        }
        (count, gone, false)
    }

    /// Trims within the first node, of which some entry stays.
    fn trim_first(&mut self, threshold: Threshold) -> u64 {
        let mut excess = match threshold {
            Threshold::MaxLen(len) => self.len.saturating_sub(len),
            Threshold::MinId(_) => u64::MAX,
        };
        let min = match threshold {
            Threshold::MaxLen(_) => StreamId::MAX,
            Threshold::MinId(id) => id,
        };
        let more = |id: StreamId| {
            let more = excess > 0 && id < min;
            excess -= u64::from(more);
            more
        };
        let gone = self
            .nodes
            .modify_first(|item| item.change(|first, node| node.trim(first, more)));
        if self.nodes.first().is_some_and(|item| item.node.live() == 0) {
            self.nodes.pop_first();
        }
        gone.unwrap_or(0)
    }

    /// The entries that go, in order.
    fn unwanted(&self, threshold: Threshold, references: References) -> Vec<StreamId> {
        let mut left = self.len;
        let mut gone = Vec::new();
        for entry in self.range(StreamId::MIN, StreamId::MAX) {
            let stop = match threshold {
                Threshold::MaxLen(len) => left <= len,
                Threshold::MinId(id) => entry.id >= id,
            };
            if stop {
                break;
            }
            if references == References::Acked && self.is_referenced(entry.id) {
                continue;
            }
            gone.push(entry.id);
            left -= 1;
        }
        gone
    }
}
