//! ACL LOG: the last denials and failed logins, like ones counted together.

use std::collections::VecDeque;

use super::check::Denial;
use crate::command::client_info;
use crate::command::keys::Args;
use crate::command::registry::Command;
use crate::dispatch::client::Client;
use crate::dispatch::core::Core;

/// A new event is compared with so many recent entries.
const LOOK_BACK: usize = 10;
/// Like events further apart than this are different entries.
const GROUPING_MS: i64 = 60_000;
/// Of names and keys no more is kept: the log is for people, and must stay small.
const TEXT_MAX: usize = 1024;

/// Why something was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Command,
    Key,
    Channel,
    Auth,
}

impl Reason {
    pub const fn name(self) -> &'static str {
        match self {
            Reason::Command => "command",
            Reason::Key => "key",
            Reason::Channel => "channel",
            Reason::Auth => "auth",
        }
    }
}

impl From<Denial> for Reason {
    fn from(denial: Denial) -> Reason {
        match denial {
            Denial::Command => Reason::Command,
            Denial::Key(_) => Reason::Key,
            Denial::Channel(_) => Reason::Channel,
        }
    }
}

/// Where the call came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Context {
    #[default]
    Toplevel,
    Multi,
    Script,
}

impl Context {
    pub const fn name(self) -> &'static str {
        match self {
            Context::Toplevel => "toplevel",
            Context::Multi => "multi",
            Context::Script => "lua",
        }
    }
}

/// The command that the client is shown with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    TheCall,
    /// EXEC, or what runs a script.
    WhatRunsIt,
}

/// What was refused to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub reason: Reason,
    pub context: Context,
    /// The command, key or channel; of a failed login, the command that tried it.
    pub object: Vec<u8>,
    pub user: Vec<u8>,
}

/// Like events.
#[derive(Clone, Debug)]
pub struct Entry {
    pub id: u64,
    pub count: u64,
    pub event: Event,
    /// The client at the last event.
    pub client: String,
    /// Unix time of the first and the last event.
    pub created_ms: i64,
    pub updated_ms: i64,
}

/// The entries, newest first.
#[derive(Debug, Default)]
pub struct Log {
    entries: VecDeque<Entry>,
    next_id: u64,
}

impl Log {
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Entry> {
        self.entries.iter()
    }

    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// Adds an event, and keeps at most `max` entries.
    pub fn add(&mut self, event: Event, client: String, now_ms: i64, max: usize) {
        let like = |entry: &Entry| {
            entry.event == event && (now_ms - entry.updated_ms).abs() <= GROUPING_MS
        };
        let recent = self.entries.iter().take(LOOK_BACK);
        let known = recent
            .enumerate()
            .find_map(|(at, entry)| like(entry).then_some(at))
            .and_then(|at| self.entries.remove(at));
        let entry = match known {
            Some(mut entry) => {
                entry.count += 1;
                entry.client = client;
                entry.updated_ms = now_ms;
                entry
            }
            None => {
                let id = self.next_id;
                self.next_id += 1;
                Entry {
                    id,
                    count: 1,
                    event,
                    client,
                    created_ms: now_ms,
                    updated_ms: now_ms,
                }
            }
        };
        self.entries.push_front(entry);
        self.entries.truncate(max);
    }
}

/// Counts and logs a refused call.
pub fn refused(
    core: &mut Core,
    client: &Client,
    denial: Denial,
    context: Context,
    shown: Shown,
    command: &'static Command,
    args: &dyn Args,
) {
    let object = match denial.at() {
        Some(at) => args.arg(at),
        None => command.full_name.as_bytes(),
    };
    let stats = &mut core.stats;
    *match denial {
        Denial::Command => &mut stats.acl_denied_command,
        Denial::Key(_) => &mut stats.acl_denied_key,
        Denial::Channel(_) => &mut stats.acl_denied_channel,
    } += 1;
    let event = Event {
        reason: denial.into(),
        context,
        object: shorten(object),
        user: client.user.name.to_vec(),
    };
    let shown = match shown {
        Shown::TheCall => Some(command),
        Shown::WhatRunsIt => client.last,
    };
    record(core, client, shown, event);
}

/// Counts and logs a failed login by `name`, the command as the client wrote it.
pub fn failed_login(core: &mut Core, client: &Client, context: Context, name: &[u8], user: &[u8]) {
    core.stats.acl_denied_auth += 1;
    let event = Event {
        reason: Reason::Auth,
        context,
        object: shorten(name),
        user: shorten(user),
    };
    record(core, client, client.last, event);
}

fn shorten(text: &[u8]) -> Vec<u8> {
    text[..text.len().min(TEXT_MAX)].to_vec()
}

fn record(core: &mut Core, client: &Client, shown: Option<&'static Command>, event: Event) {
    let max = core.config.acllog_max_len;
    if max == 0 {
        core.acl.log.clear();
        return;
    }
    let line = client_info::line_with(client, core, shown);
    let now_ms = core.unix_us() / 1000;
    core.acl.log.add(event, line, now_ms, max);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(object: &str) -> Event {
        Event {
            reason: Reason::Key,
            context: Context::Toplevel,
            object: object.into(),
            user: b"u".to_vec(),
        }
    }

    fn shape(log: &Log) -> Vec<(u64, u64, String)> {
        let text = |e: &Entry| String::from_utf8_lossy(&e.event.object).into_owned();
        log.iter().map(|e| (e.id, e.count, text(e))).collect()
    }

    #[test]
    fn like_events_are_counted_together() {
        let mut log = Log::default();
        for (object, now_ms) in [("a", 0), ("b", 1), ("a", 2), ("a", 60_003), ("b", 60_004)] {
            log.add(event(object), String::new(), now_ms, 10);
        }
        let expected = [(3, 1, "b"), (2, 1, "a"), (0, 2, "a"), (1, 1, "b")];
        assert_eq!(shape(&log), expected.map(|(i, n, o)| (i, n, o.into())));
        let times: Vec<i64> = log.iter().map(|e| e.updated_ms - e.created_ms).collect();
        assert_eq!(times, [0, 0, 2, 0]);
    }

    #[test]
    fn only_the_newest_stay_and_only_near_ones_are_compared() {
        let mut log = Log::default();
        (0..12).for_each(|n| log.add(event(&format!("k{n}")), String::new(), n, 12));
        log.add(event("k0"), String::new(), 12, 12);
        assert_eq!(shape(&log)[0], (12, 1, "k0".into()));
        assert_eq!(log.iter().len(), 12);
        log.add(event("new"), String::new(), 13, 2);
        assert_eq!(log.iter().len(), 2);
        assert_eq!(shorten(&[b'x'; 5000]).len(), TEXT_MAX);
    }
}
