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
        }
    }

    /// Begins a new history at `offset`, remembering this one.
    pub fn branch(&mut self, offset: u64, id: String) {
        self.id2 = std::mem::replace(&mut self.id, id);
        self.second_offset = offset as i64 + 1;
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
}
