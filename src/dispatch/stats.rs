//! Counters of commands, errors and traffic, for INFO.

use std::collections::BTreeMap;

use super::histogram::Histogram;

/// Kinds of error that are counted one by one; beyond that, INFO says so instead of growing.
const MAX_ERROR_KINDS: usize = 128;

/// Codes that the server itself gives: these find room always. Others come from scripts.
const OWN_CODES: &[&str] = &[
    "ERR",
    "WRONGTYPE",
    "NOAUTH",
    "NOPERM",
    "WRONGPASS",
    "OOM",
    "EXECABORT",
    "NOSCRIPT",
    "BUSY",
    "LOADING",
    "READONLY",
    "MISCONF",
    "MASTERDOWN",
    "NOREPLICAS",
    "UNBLOCKED",
    "NOGROUP",
    "BUSYGROUP",
    "BUSYKEY",
    "NOPROTO",
];

/// Counters of one command or sub-command.
#[derive(Clone, Debug, Default)]
pub struct CommandStats {
    pub calls: u64,
    pub usec: u64,
    /// Refused before it ran.
    pub rejected: u64,
    /// Ran and replied with an error.
    pub failed: u64,
    pub latency: Option<Box<Histogram>>,
}

/// A rate over the last seconds, as `instantaneous_ops_per_sec`.
#[derive(Clone, Debug, Default)]
pub struct Rate {
    samples: [u64; 16],
    at: usize,
    last: (i64, u64),
}

impl Rate {
    /// Takes the counter's value at a time in ms; called some ten times a second.
    pub fn sample(&mut self, now_ms: i64, counter: u64) {
        let (then, before) = self.last;
        let elapsed = now_ms - then;
        if elapsed > 0 {
            self.samples[self.at] = counter.saturating_sub(before) * 1000 / elapsed as u64;
            self.at = (self.at + 1) % self.samples.len();
            self.last = (now_ms, counter);
        }
    }

    /// Mean of the samples, per second.
    pub fn per_second(&self) -> u64 {
        self.samples.iter().sum::<u64>() / self.samples.len() as u64
    }
}

/// Everything that is counted.
#[derive(Debug, Default)]
pub struct Stats {
    pub commands: Vec<CommandStats>,
    pub errors: BTreeMap<String, u64>,
    /// Errors of kinds that found no room.
    pub errors_overflow: u64,
    pub total_errors: u64,
    pub total_commands: u64,
    pub total_connections: u64,
    pub rejected_connections: u64,
    pub net_in: u64,
    pub net_out: u64,
    pub ops_rate: Rate,
    pub in_rate: Rate,
    pub out_rate: Rate,
    pub unexpected_errors: u64,
    /// Clients that an output limit, the query limit or `maxmemory-clients` ended.
    pub output_limit_disconnections: u64,
    pub query_limit_disconnections: u64,
    pub evicted_clients: u64,
    /// Failed logins, and calls that a user had no right to.
    pub acl_denied_auth: u64,
    pub acl_denied_command: u64,
    pub acl_denied_key: u64,
    pub acl_denied_channel: u64,
    pub slowlog_commands: u64,
    /// Time in µs above `maxmemory`, and of that the part that still runs.
    pub eviction_exceeded_us: i64,
    pub eviction_since_us: Option<i64>,
    pub active_expire_us: i64,
    /// Batches that came from connections, and hand-overs of replies.
    pub reads: u64,
    pub writes: u64,
    /// The actor's loop.
    pub turns: Turns,
}

/// Turns of the actor's loop: how many, and the time in µs that they took.
#[derive(Clone, Debug, Default)]
pub struct Turns {
    pub count: u64,
    pub sum_us: u64,
    pub max_us: u64,
    /// Of the sum, in commands and in the cron.
    pub commands_us: u64,
    pub cron_us: u64,
    /// Most commands of one turn.
    pub max_commands: u64,
    pub count_rate: Rate,
    pub sum_rate: Rate,
}

impl Turns {
    /// Counts a turn with its time and number of commands.
    pub fn record(&mut self, us: u64, commands: u64) {
        self.count += 1;
        self.sum_us += us;
        self.max_us = self.max_us.max(us);
        self.max_commands = self.max_commands.max(commands);
    }

    /// Mean µs of a turn over the last seconds.
    pub fn recent_us(&self) -> u64 {
        self.sum_rate
            .per_second()
            .checked_div(self.count_rate.per_second())
            .unwrap_or(0)
    }
}

impl Stats {
    pub fn new(commands: usize) -> Stats {
        Stats {
            commands: vec![CommandStats::default(); commands],
            ..Stats::default()
        }
    }

    /// Counts an error reply by its code.
    pub fn error(&mut self, code: &str) {
        self.total_errors += 1;
        if let Some(count) = self.errors.get_mut(code) {
            *count += 1;
        } else if self.errors.len() < MAX_ERROR_KINDS || OWN_CODES.contains(&code) {
            self.errors.insert(code.to_owned(), 1);
        } else {
            self.errors_overflow += 1;
        }
    }

    /// `CONFIG RESETSTAT`.
    pub fn reset(&mut self) {
        *self = Stats::new(self.commands.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_means_and_error_kinds_bounded() {
        let mut rate = Rate::default();
        rate.sample(1000, 0);
        (1..=16).for_each(|n| rate.sample(1000 + n * 100, n as u64 * 50));
        assert_eq!(rate.per_second(), 500);
        let mut stats = Stats::new(1);
        (0..1000).for_each(|n| stats.error(&format!("E{n}")));
        assert_eq!(stats.errors.len(), MAX_ERROR_KINDS);
        assert_eq!(stats.errors_overflow, 1000 - MAX_ERROR_KINDS as u64);
        stats.error("ERR");
        assert_eq!(stats.errors["ERR"], 1);
        assert_eq!(stats.total_errors, 1001);
    }
}
