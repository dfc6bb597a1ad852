//! Trimming: the oldest entries go, by number or by identifier.

use std::sync::Arc;

use super::{Stream, StreamId};

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

impl Stream {
    /// Trims; returns how many entries went.
    pub fn trim(&mut self, trim: Trim, references: References) -> u64 {
        match references {
            References::Keep => self.trim_nodes(trim),
            // References are looked at entry by entry: there are no whole nodes to be taken.
            _ if trim.approx => 0,
            _ => self.trim_entries(trim.threshold, references),
        }
    }

    fn trim_nodes(&mut self, trim: Trim) -> u64 {
        let before = self.len;
        while let Some(item) = self.nodes.first() {
            let (first, live) = (item.first, item.node.live());
            let whole = match trim.threshold {
                Threshold::MaxLen(len) if self.len <= len => break,
                Threshold::MaxLen(len) => self.len - live >= len,
                Threshold::MinId(id) if first >= id => break,
                Threshold::MinId(id) => item.node.last(first).is_none_or(|entry| entry.id < id),
            };
            if trim.limit > 0 && before - self.len + live > trim.limit {
                break;
            }
            if whole {
                self.nodes.pop_first();
                self.len -= live;
            } else {
                if !trim.approx {
                    self.len -= self.trim_first(trim.threshold);
                }
                break;
            }
        }
        let gone = before - self.len;
        if self.len == 0 {
            (self.first, self.top) = (StreamId::MIN, StreamId::MIN);
        } else if gone > 0 {
            self.find_first();
        }
        gone
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
        let gone = self.nodes.modify_first(|item| {
            let first = item.first;
            Arc::make_mut(&mut item.node).trim(first, more)
        });
        if self.nodes.first().is_some_and(|item| item.node.live() == 0) {
            self.nodes.pop_first();
        }
        gone.unwrap_or(0)
    }

    fn trim_entries(&mut self, threshold: Threshold, references: References) -> u64 {
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
        for &id in &gone {
            self.delete(id);
            if references == References::Delete {
                self.release_everywhere(id);
            }
        }
        gone.len() as u64
    }
}
