//! Histories: which stream of changes a data set comes from, and whether one goes on from another.
//!
//! A history has an id. A replica that becomes a master begins a new one, and remembers the former
//! with the offset up to which both are the same: so its fellow replicas can follow it without a
//! new copy of the data.

use crate::dispatch::core::random_hex;

/// Forty zeros: no history.
pub const NO_ID: &str = "0000000000000000000000000000000000000000";

/// The history of this server's data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// 40 hex digits.
    pub id: String,
    /// The former history, or [`NO_ID`].
    pub id2: String,
    /// The former history holds for requests up to this one (offset + 1); -1: none.
    pub second_offset: i64,
    /// Histories before that with the offsets at which they ended, the latest first. They only tell
    /// where a server that was away for long parted from this one.
    pub earlier: Vec<(String, u64)>,
}

/// Earlier histories that are remembered.
const EARLIER_MAX: usize = 16;

/// Where a former history ended, from the offset that INFO tells: one more, or -1. It may come from anywhere.
pub fn end_of(second_offset: i64) -> Option<u64> {
    u64::try_from(second_offset.checked_sub(1)?).ok()
}

impl Default for History {
    fn default() -> Self {
        History::new()
    }
}

impl History {
    /// A history of its own.
    pub fn new() -> History {
        History::of(random_hex())
    }

    /// The history of that id.
    pub fn of(id: String) -> History {
        History {
            id,
            id2: NO_ID.into(),
            second_offset: -1,
            earlier: Vec::new(),
        }
    }

    /// Begins a new history at `offset`, remembering this one.
    pub fn branch(&mut self, offset: u64, id: String) {
        if let Some(end) = end_of(self.second_offset) {
            self.earlier.insert(0, (self.id2.clone(), end));
            self.earlier.truncate(EARLIER_MAX);
        }
        self.id2 = std::mem::replace(&mut self.id, id);
        self.second_offset = offset as i64 + 1;
    }

    /// All ids of this history, each with the offset up to which it holds; `offset` is the present one.
    pub fn line(&self, offset: u64) -> Vec<(String, u64)> {
        let second = end_of(self.second_offset);
        let second = second.map(|end| (self.id2.clone(), end));
        let first = std::iter::once((self.id.clone(), offset));
        first.chain(second).chain(self.earlier.clone()).collect()
    }

    /// Earlier histories as INFO tells them.
    pub fn earlier_text(&self) -> String {
        let one = |(id, end): &(String, u64)| format!("{id}:{end}");
        self.earlier.iter().map(one).collect::<Vec<_>>().join(",")
    }

    /// Reads what [`History::earlier_text`] wrote; what makes no sense is left out.
    pub fn parse_earlier(text: &str) -> Vec<(String, u64)> {
        let one = |part: &str| {
            let (id, end) = part.split_once(':')?;
            let plain = id.len() == 40 && id.bytes().all(|b| b.is_ascii_hexdigit());
            Some((id.to_string(), end.parse().ok()?)).filter(|_| plain)
        };
        text.split(',').filter_map(one).take(EARLIER_MAX).collect()
    }

    /// Whether a replica that has `offset` bytes of history `id` has nothing that this one has not.
    pub fn continues(&self, id: &str, offset: u64) -> bool {
        let wanted = offset as i64 + 1;
        id.eq_ignore_ascii_case(&self.id)
            || id.eq_ignore_ascii_case(&self.id2) && wanted <= self.second_offset
    }

    /// Whether the id belongs to this history or to the one before it.
    pub fn knows(&self, id: &str) -> bool {
        id == self.id || id == self.id2 && id != NO_ID
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_is_continued_up_to_where_it_left() {
        let mut history = History::of("a".repeat(40));
        assert!(history.continues(&"A".repeat(40), 700));
        assert!(!history.continues(&"b".repeat(40), 0));
        assert!(!history.continues(NO_ID, 0), "nothing comes before it");
        history.branch(500, "b".repeat(40));
        assert!(history.continues(&"a".repeat(40), 500));
        assert!(!history.continues(&"a".repeat(40), 501));
        assert!(history.continues(&"b".repeat(40), 501));
        assert!(history.knows(&"a".repeat(40)) && !history.knows(NO_ID));
    }

    #[test]
    fn earlier_branches_are_remembered() {
        let id = |c: &str| c.repeat(40);
        let mut history = History::of(id("a"));
        assert_eq!(history.line(9), [(id("a"), 9)]);
        history.branch(500, id("b"));
        history.branch(700, id("c"));
        let line = [(id("c"), 900), (id("b"), 700), (id("a"), 500)];
        assert_eq!(history.line(900), line);
        assert_eq!(
            History::parse_earlier(&history.earlier_text()),
            history.earlier
        );
        for bad in [
            "",
            ",",
            "a:5",
            &format!("{}:x", id("a")),
            &format!("{}:-1", id("a")),
        ] {
            assert!(History::parse_earlier(bad).is_empty(), "{bad}");
        }
        history.second_offset = i64::MIN;
        assert_eq!(history.line(900).len(), 2, "no end at all");
        history.second_offset = 701;
        for n in 0..40 {
            history.branch(1000 + n, id("d"));
        }
        assert_eq!(history.earlier.len(), EARLIER_MAX);
        assert!(
            !history.continues(&id("a"), 500),
            "they are not to go on from"
        );
    }
}
