//! Running commands: the keyspace and everything beside it, in the hands of one thread.

use std::time::Duration;

use super::client::{Client, ClientFlags, Waiting};
use super::core::Core;
use super::crash;
use super::gate::{self, Call};
use super::prefetch::{PREFETCH, window};
use super::slowlog;
use crate::base::alloc;
use crate::base::hash::Seed;
use crate::base::rng::Rng;
use crate::command::args::Args;
use crate::command::ctx::Ctx;
use crate::command::error::Error;
use crate::command::registry::{Command, Unknown};
use crate::command::spec::Flags;
use crate::config::Config;
use crate::keyspace::Keyspace;
use crate::keyspace::effect::Form;
use crate::net::conn::Close;
use crate::resp::reply::Reply;
use crate::resp::request::Fault;

/// A client's batch gives way to others after this long, in µs, if it is alone.
const BATCH_SLICE_US: i64 = 2_000;
/// With many clients each gets its part of that, but no less than this: long enough for any
/// pipeline of some hundred small commands.
const BATCH_SLICE_MIN_US: i64 = 250;
/// Eviction hands back after this long, in µs; the next command goes on with it.
const EVICTION_SLICE_US: i64 = 500;
/// Eviction waits this long for a large value to be freed before it looks for another victim.
const REAPER_WAIT: Duration = Duration::from_micros(300);

/// Data and state of the server.
pub struct Server {
    pub ks: Keyspace,
    pub core: Core,
    /// What a batch gets of this turn, in µs.
    slice_us: i64,
}

/// Where a batch stands after its turn.
pub enum Turn {
    /// All commands ran.
    Done,
    /// It used its time; it goes on after the others.
    Yield,
    /// It waits until the pause ends.
    Paused,
    /// Its output is above the limit: the client is to be ended.
    OverLimit,
}

impl Server {
    pub fn new(config: Config) -> Server {
        let ks = Keyspace::new(config.databases, Seed::process().clone(), Rng::from_os());
        let mut server = Server {
            ks,
            core: Core::new(config),
            slice_us: BATCH_SLICE_US,
        };
        server.apply_settings();
        server.tick();
        server
    }

    /// Takes the time for what runs next.
    pub fn tick(&mut self) {
        self.core.now_us = self.core.clock.mono_us();
        self.ks.now_ms = self.core.clock.unix_us(self.core.now_us).div_euclid(1000);
    }

    /// Divides the time of one turn between this many batches.
    pub fn share_turn(&mut self, batches: usize) {
        let batches = i64::try_from(batches).unwrap_or(i64::MAX).max(1);
        self.slice_us = (BATCH_SLICE_US / batches).max(BATCH_SLICE_MIN_US);
    }

    /// Runs the commands of a client's batch from where it stands.
    pub fn run_batch(&mut self, client: &mut Client, waiting: &mut Waiting) -> Turn {
        self.tick();
        let begin_us = self.core.now_us;
        client.active_ms = self.core.now_ms();
        let mut out = std::mem::take(&mut client.out);
        let room = self.output_room(client);
        out.set_cap(room);
        let batch = &*waiting.batch;
        let mut turn = Turn::Done;
        while waiting.next < batch.commands.len() && !client.is(ClientFlags::CLOSE_AFTER_REPLY) {
            if waiting.next.is_multiple_of(PREFETCH) {
                self.prefetch(client.db, window(batch, waiting.next));
            }
            let args = batch.args(waiting.next);
            let wire = u64::from(batch.commands[waiting.next].wire);
            if self.must_pause(&args) {
                turn = Turn::Paused;
                break;
            }
            client.total_in += wire;
            self.core.stats.net_in += wire;
            self.execute(client, &mut out, args);
            waiting.next += 1;
            if out.is_over() || out.len() >= room {
                turn = Turn::OverLimit;
                break;
            }
            if self.core.now_us - begin_us > self.slice_us && waiting.next < batch.commands.len() {
                turn = Turn::Yield;
                break;
            }
        }
        if matches!(turn, Turn::Done)
            && !client.is(ClientFlags::CLOSE_AFTER_REPLY)
            && let Some(fault) = waiting.fault.take()
        {
            self.refuse(client, &mut out, &fault);
        }
        client.active_ms = self.core.now_ms();
        self.core.stats.net_out += out.len() as u64;
        client.out = out;
        turn
    }

    fn must_pause(&self, args: &Args<'_>) -> bool {
        let Some(pause) = self.core.active_pause() else {
            return false;
        };
        let Ok(command) = self.core.commands.find(args) else {
            return !pause.writes_only;
        };
        // CLIENT UNPAUSE and the like must get through, or the pause could not be ended.
        if command.flags.contains(Flags::ADMIN) && !pause.writes_only {
            return !command.full_name.starts_with("client|");
        }
        !pause.writes_only
            || command
                .flags
                .intersects(Flags::WRITE | Flags::MAY_REPLICATE)
    }

    /// Runs one command and writes its reply.
    pub fn execute(&mut self, client: &mut Client, out: &mut Reply, args: Args<'_>) {
        let begin = out.mark();
        if client.flags.contains(ClientFlags::REPLY_SKIP_NEXT) {
            client.flags.remove(ClientFlags::REPLY_SKIP_NEXT);
            client.flags.insert(ClientFlags::REPLY_SKIP);
        }
        match self.resolve(client, &args) {
            Ok(command) => {
                client.last = Some(command);
                self.call(client, out, command, args);
            }
            Err((command, error)) => {
                out.error(error.as_bytes());
                self.count_errors(out);
                if let Some(command) = command {
                    self.core.stats.commands[command.id as usize].rejected += 1;
                }
            }
        }
        client.total_commands += 1;
        if client
            .flags
            .intersects(ClientFlags::REPLY_OFF | ClientFlags::REPLY_SKIP)
        {
            client.flags.remove(ClientFlags::REPLY_SKIP);
            out.truncate(begin);
        }
    }

    /// Finds the command and asks the gate.
    fn resolve(
        &mut self,
        client: &Client,
        args: &Args<'_>,
    ) -> Result<&'static Command, (Option<&'static Command>, Error)> {
        let command = match self.core.commands.find(args) {
            Ok(command) => command,
            Err(unknown) => return Err((None, unknown_command(&unknown, args))),
        };
        let spec = command.spec;
        if !spec.arity_ok(args.len()) || spec.is_container() && !spec.has_handler() {
            return Err((Some(command), Error::arity(&command.full_name)));
        }
        let call = Call {
            client,
            command,
            args: *args,
        };
        gate::check(self, &call).map_err(|error| (Some(command), error))?;
        Ok(command)
    }

    fn call(
        &mut self,
        client: &mut Client,
        out: &mut Reply,
        command: &'static Command,
        args: Args<'_>,
    ) {
        self.ks.effects.begin();
        let db = client.db;
        let mut keys = self.ks.at(db);
        keys.no_touch = client.flags.contains(ClientFlags::NO_TOUCH);
        crash::running(Some(command.id));
        let mut ctx = Ctx {
            args,
            db: keys,
            out,
            client,
            core: &mut self.core,
            command,
        };
        if let Err(error) = (command.spec.run)(&mut ctx) {
            out.error(error.as_bytes());
        }
        crash::running(None);
        self.spread_effects(db, &args);
        let failed = out.has_errors();
        if failed {
            self.count_errors(out);
        }
        let end_us = self.core.clock.mono_us();
        let duration_us = end_us - self.core.now_us;
        self.record(client, command, &args, duration_us, failed);
        self.core.now_us = end_us;
    }

    /// Sends the effects of a command to the log, and forgets what nobody waits for.
    fn spread_effects(&mut self, db: usize, args: &Args<'_>) {
        let effects = &mut self.ks.effects;
        if effects.dirty > 0 {
            self.ks.stats.dirty += effects.dirty;
            if effects.form == Form::Verbatim {
                self.ks.log.append(db, args.iter());
            }
        }
        effects.events.clear();
        effects.touched.clear();
        effects.whole.clear();
    }

    fn count_errors(&mut self, out: &mut Reply) {
        for code in out.take_errors() {
            self.core.stats.error(&code);
        }
    }

    fn record(
        &mut self,
        client: &Client,
        command: &'static Command,
        args: &Args<'_>,
        duration_us: i64,
        failed: bool,
    ) {
        let core = &mut self.core;
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
        if !self.core.monitors.is_empty()
            && !command.flags.intersects(Flags::SKIP_MONITOR | Flags::ADMIN)
        {
            self.feed_monitors(client, args);
        }
        self.core.redacted.clear();
    }

    fn log_slow(&mut self, client: &Client, args: &Args<'_>, duration_us: i64) {
        let core = &mut self.core;
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

    /// Shows a command to the clients that MONITOR.
    fn feed_monitors(&mut self, client: &Client, args: &Args<'_>) {
        let us = self.core.clock.unix_us(self.core.now_us);
        let place = if client.is(ClientFlags::UNIX) {
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
            if let Some(watcher) = self.core.clients.get_mut(id) {
                watcher.out.raw(&line);
                watcher.flush(None);
            }
            self.check_output_limit(id);
        }
    }

    /// Ends a connection whose request cannot be understood.
    fn refuse(&mut self, client: &mut Client, out: &mut Reply, fault: &Fault) {
        match fault {
            Fault::Protocol(text) => {
                let begin = out.mark();
                out.error(format!("ERR Protocol error: {text}"));
                if client.is(ClientFlags::REPLY_OFF) {
                    out.truncate(begin);
                }
                tracing::debug!("Protocol error ({text}) from client: {}", client.conn.addr);
            }
            Fault::CrossProtocol => {
                // At once: whoever is behind this learns nothing, not even from earlier replies.
                client.conn.close(Close::Now);
                tracing::warn!(
                    "Possible SECURITY ATTACK detected. It looks like somebody is sending POST or Host: commands to Redis. This is likely due to an attacker attempting to use Cross Protocol Scripting to compromise your Redis instance. Connection from {} aborted.",
                    client.conn.addr
                );
            }
            Fault::QueryBuffer => {
                self.core.stats.query_limit_disconnections += 1;
                tracing::warn!(
                    "Closing client that reached max query buffer length: {}",
                    crate::command::client_info::line(client, &self.core)
                );
            }
        }
        self.count_errors(out);
        client.flags.insert(ClientFlags::CLOSE_AFTER_REPLY);
    }

    /// Removes victims until memory is within the limit. False if it is not and nothing more can
    /// be removed; true also when time is up and the next command goes on.
    pub fn evict(&mut self) -> bool {
        let limit = self.core.config.maxmemory;
        let begin = self.core.clock.mono_us();
        let mut freed_any = false;
        while alloc::used_memory() > limit {
            if !self.ks.evict_one(&mut self.core.pool) {
                // What the reaper holds will be free soon.
                if self.ks.reaper.pending() == 0 {
                    return false;
                }
                self.ks.reaper.wait();
                if alloc::used_memory() > limit {
                    return false;
                }
                break;
            }
            freed_any = true;
            if self.ks.reaper.pending() > 0 {
                // Large values are freed on another thread; without their memory too much would go.
                self.ks.reaper.wait_at_most(REAPER_WAIT);
            }
            if self.core.clock.mono_us() - begin > EVICTION_SLICE_US {
                break;
            }
        }
        if freed_any {
            self.core
                .latency_spike("eviction-cycle", self.core.clock.mono_us() - begin);
        }
        true
    }
}

/// The error for a name that is no command, in Redis' words.
fn unknown_command(unknown: &Unknown, args: &Args<'_>) -> Error {
    const SHOWN: usize = 128;
    if let Unknown::Sub(container) = unknown {
        let mut text = b"ERR unknown subcommand '".to_vec();
        text.extend(args[1].iter().take(SHOWN));
        let name = container.spec.name.to_ascii_uppercase();
        text.extend_from_slice(format!("'. Try {name} HELP.").as_bytes());
        return Error::bytes(text);
    }
    let mut list: Vec<u8> = Vec::new();
    for arg in args.from(1).iter() {
        if list.len() >= SHOWN {
            break;
        }
        let room = SHOWN - list.len();
        list.push(b'\'');
        list.extend(arg.iter().take(room));
        list.extend_from_slice(b"' ");
    }
    let mut text = b"ERR unknown command '".to_vec();
    text.extend(args[0].iter().take(SHOWN));
    text.extend_from_slice(b"', with args beginning with: ");
    text.extend(list);
    Error::bytes(text)
}
