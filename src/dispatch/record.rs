//! What is kept of a call: statistics, latency, slow log, and the line for those who MONITOR.

use super::client::{Client, ClientFlags};
use super::push::Push;
use super::run::Runner;
use super::slowlog;
use crate::command::args::Args;
use crate::command::registry::Command;
use crate::command::spec::Flags;
use crate::resp::reply::Reply;

impl Runner<'_> {
    pub fn count_errors(&mut self, out: &mut Reply) {
        // What has no code has been counted where it came from.
        for code in out.take_errors().iter().filter(|code| !code.is_empty()) {
            self.core.stats.error(code);
        }
    }

    pub(super) fn record(
        &mut self,
        client: &Client,
        command: &'static Command,
        args: &Args<'_>,
        duration_us: i64,
        failed: bool,
    ) {
        let core = &mut *self.core;
        core.stats.total_commands += 1;
        core.stats.turns.commands_us += duration_us.max(0) as u64;
        let stats = &mut core.stats.commands[command.id as usize];
        stats.calls += 1;
        stats.usec += duration_us as u64;
        stats.failed += u64::from(failed);
        if core.config.latency_tracking {
            stats
                .latency
                .get_or_insert_default()
                .record(duration_us as u64 * 1000);
        }
        if core.config.latency_monitor_threshold > 0 {
            let fast = command.flags.contains(Flags::FAST);
            core.latency_spike(if fast { "fast-command" } else { "command" }, duration_us);
        }
        let slow = core.config.slowlog_log_slower_than;
        if slow >= 0
            && duration_us >= slow
            && core.config.slowlog_max_len > 0
            && !command.flags.contains(Flags::SKIP_SLOWLOG)
        {
            self.log_slow(client, args, duration_us);
        }
        self.show(client, command, args);
        self.core.redacted.clear();
    }

    /// Shows the call of a script to the clients that MONITOR, before what it calls.
    pub fn show_script(&mut self, client: &Client, args: &Args<'_>) {
        if !self.core.monitors.is_empty() {
            self.feed_monitors(client, args);
        }
    }

    /// Shows a command to the clients that MONITOR; those that run again were shown before.
    pub(super) fn show(&mut self, client: &Client, command: &Command, args: &Args<'_>) {
        let hidden = command.flags.intersects(Flags::SKIP_MONITOR | Flags::ADMIN);
        if !self.core.monitors.is_empty() && !hidden && !self.core.blocking.serving {
            self.feed_monitors(client, args);
        }
    }

    fn log_slow(&mut self, client: &Client, args: &Args<'_>, duration_us: i64) {
        let core = &mut *self.core;
        let config = &core.config;
        let redacted = &core.redacted;
        let hide = |(at, arg)| {
            if redacted.contains(&at) {
                &b"(redacted)"[..]
            } else {
                arg
            }
        };
        let shown: Vec<&[u8]> = args.iter().enumerate().map(hide).collect();
        let entry = slowlog::Entry {
            id: 0,
            time_s: core.clock.unix_us(core.now_us) / 1_000_000,
            duration_us,
            args: slowlog::shorten(
                shown.into_iter(),
                config.slowlog_entry_max_argc,
                config.slowlog_entry_max_string_len,
            ),
            addr: client.conn.addr.clone(),
            name: client.name.clone(),
        };
        core.stats.slowlog_commands += 1;
        core.slowlog.push(entry, config.slowlog_max_len);
    }

    fn feed_monitors(&mut self, client: &Client, args: &Args<'_>) {
        let us = self.core.clock.unix_us(self.core.now_us);
        let place = if self.core.scripts.running.is_some() {
            "lua".to_owned()
        } else if client.is(ClientFlags::UNIX) {
            format!("unix:{}", client.conn.laddr.trim_end_matches(":0"))
        } else {
            client.conn.addr.clone()
        };
        let mut line = format!(
            "+{}.{:06} [{} {place}]",
            us / 1_000_000,
            us % 1_000_000,
            client.db
        )
        .into_bytes();
        for (at, arg) in args.iter().enumerate() {
            let hidden = self.core.redacted.contains(&at);
            line.push(b' ');
            crate::base::words::quote(if hidden { b"(redacted)" } else { arg }, &mut line);
        }
        line.extend_from_slice(b"\r\n");
        for id in self.core.monitors.clone() {
            self.core.push(id, Push::Line(line.clone()));
        }
    }
}
