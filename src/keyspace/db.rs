//! One database: its keys and the index of their deadlines.

use super::expiry::ExpiryIndex;
use super::prefix::Tally;
use super::table::Table;
use crate::value::entry::Entry;

/// Keys of one database.
#[derive(Default)]
pub struct Db {
    pub table: Table<Entry>,
    pub expiry: ExpiryIndex,
    /// Keys with an expiry.
    pub volatile: usize,
    /// Sum of the deadlines of volatile keys in ms, for `avg_ttl`.
    pub deadline_sum: i128,
    /// Counts by prefix of key.
    pub tally: Tally,
}

impl Db {
    /// Keeps the counts of volatile keys when an entry comes, changes or goes.
    pub fn count_expire(&mut self, before: Option<i64>, after: Option<i64>) {
        if let Some(ms) = before {
            self.volatile -= 1;
            self.deadline_sum -= i128::from(ms);
        }
        if let Some(ms) = after {
            self.volatile += 1;
            self.deadline_sum += i128::from(ms);
        }
    }

    /// Mean time to live of volatile keys in ms.
    pub fn avg_ttl(&self, now_ms: i64) -> i64 {
        if self.volatile == 0 {
            return 0;
        }
        let mean = self.deadline_sum / self.volatile as i128 - i128::from(now_ms);
        i64::try_from(mean.max(0)).unwrap_or(i64::MAX)
    }
}
