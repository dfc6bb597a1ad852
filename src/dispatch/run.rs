//! Running one command: look-up, gate, handler, effects, statistics; and the unit that it makes
//! with everything that runs inside of it.
//!
//! A *unit* is a command of a client with all that EXEC or a script runs inside of it. Its effects
//! are one entry of the log; blocked clients are served after it, each as a unit of its own.

use std::time::Duration;

use super::blocked::Blocked;
use super::client::{Client, ClientFlags};
use super::core::Core;
use super::crash;
use super::gate::{self, Call};
use crate::base::alloc;
use crate::command::args::Args;
use crate::command::ctx::Ctx;
use crate::command::error::Error;
use crate::command::keys::{self, KeyList};
use crate::command::registry::{Command, Unknown};
use crate::command::spec::{Flags, Group};
use crate::keyspace::effect::{Changes, Form};
use crate::keyspace::{Judge, Keyspace};
use crate::resp::reply::Reply;

/// Eviction hands back after this long, in µs; the next command goes on with it.
const EVICTION_SLICE_US: i64 = 500;
/// Eviction waits this long for what was deleted to be freed before it looks for a victim.
const REAPER_WAIT: Duration = Duration::from_micros(300);

/// Runs commands: [`Server`](super::server::Server) in the hands of one call. A handler makes one
/// from its own parts to run a command inside of itself.
pub struct Runner<'a> {
    pub ks: &'a mut Keyspace,
    pub core: &'a mut Core,
}

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Called {
    /// The reply is written.
    Done,
    /// The client waits; the reply comes later.
    Blocked,
}

impl Runner<'_> {
    /// Runs one command and writes its reply.
    pub fn execute(&mut self, client: &mut Client, out: &mut Reply, args: Args<'_>) -> Called {
        self.core.unit_us = self.core.now_us;
        let mut begin = out.mark();
        // Of a wait that is over.
        client.resume.clear();
        if client.flags.contains(ClientFlags::REPLY_SKIP_NEXT) {
            client.flags.remove(ClientFlags::REPLY_SKIP_NEXT);
            client.flags.insert(ClientFlags::REPLY_SKIP);
        }
        let (mut called, mut pushed) = (Called::Done, false);
        let resolved = self.resolve(client, &args);
        if self.ks.effects.is_told() {
            // What was evicted for the command goes before it.
            self.tell(Some(client));
            self.ks.log.end_unit(false);
            self.core.settle(client, out);
            begin = out.mark();
        }
        let command = resolved.as_ref().ok().copied();
        match resolved {
            Ok(command) if client.multi.is_some() && !runs_in_multi(command) => {
                let flags = self.core.scripts.flags_of_call(command, &args);
                client.queue(command, flags, &args);
                out.simple("QUEUED");
            }
            Ok(command) => {
                client.last = Some(command);
                pushed = command.replies_by_push();
                called = self.call(client, out, command, args);
                if called == Called::Blocked {
                    self.core.blocking.add(client);
                }
                self.end_unit(client, command);
            }
            Err((command, error)) => self.reject(client, out, command, error),
        }
        // The reply of a command that waits is still to come.
        if called != Called::Blocked && client.drops_reply() && !pushed {
            out.truncate(begin);
        }
        if self.core.shutdown.is_some() {
            // The connection ends with the process: whoever sees that may rely on the files.
            out.truncate(begin);
        }
        let client_command = command.is_some_and(|c| c.full_name.starts_with("client|"));
        if client.is(ClientFlags::TRACKING) && client.multi.is_none() && !client_command {
            self.core.tracking.forget_caching(client.id);
        }
        if self.core.owes(client) {
            self.core.settle(client, out);
        }
        called
    }

    /// Answers a command that may not run. Within a transaction that spoils the transaction.
    pub(super) fn reject(
        &mut self,
        client: &mut Client,
        out: &mut Reply,
        command: Option<&'static Command>,
        error: Error,
    ) {
        let is_exec = command.is_some_and(|c| c.spec.name == "exec" && c.parent.is_none());
        if is_exec {
            self.core.discard(client);
            let mut text = b"EXECABORT Transaction discarded because of: ".to_vec();
            let reason = error.as_bytes();
            text.extend_from_slice(reason.strip_prefix(b"ERR ").unwrap_or(reason));
            out.error(text);
        } else {
            if let Some(multi) = &mut client.multi {
                multi.aborted = true;
            }
            out.error(error.as_bytes());
        }
        self.count_errors(out);
        if let Some(command) = command {
            self.core.stats.commands[command.id as usize].rejected += 1;
        }
    }

    /// Finds the command and asks the gate.
    pub fn resolve(
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
        let mut flags = self.core.scripts.flags_of_call(command, args);
        if let Some(multi) = &client.multi {
            if flags.contains(Flags::NO_MULTI) {
                let error = Error::new("ERR Command not allowed inside a transaction");
                return Err((Some(command), error));
            }
            if command.spec.name == "exec" {
                flags = multi.flags_of_exec(flags);
            }
        }
        let call = Call {
            client,
            command,
            flags,
            args: *args,
        };
        gate::check(self, &call).map_err(|error| (Some(command), error))?;
        Ok(command)
    }

    /// Calls a handler and does everything that belongs to one call.
    fn call(
        &mut self,
        client: &mut Client,
        out: &mut Reply,
        command: &'static Command,
        args: Args<'_>,
    ) -> Called {
        self.ks.effects.begin();
        self.ks.effects.watching = self.core.is_watching();
        if self.core.repl.is_replica() {
            self.ks.judge = if client.is(ClientFlags::MASTER) {
                Judge::Keep
            } else if command.flags.contains(Flags::WRITE) {
                Judge::Own
            } else {
                Judge::Hide
            };
        }
        // While clients are paused nothing is deleted; what is over is not seen all the same.
        let hides = self.ks.judge == Judge::Own
            && self.core.active_pause().is_some()
            && !command.flags.contains(Flags::WRITE);
        if hides {
            self.ks.judge = Judge::Hide;
        }
        let begin_us = self.core.now_us;
        let db = client.db;
        let mut keys = self.ks.at(db);
        keys.no_touch = client.flags.contains(ClientFlags::NO_TOUCH);
        crash::running(Some(command.id));
        let begin = out.mark();
        let mut ctx = Ctx {
            args,
            db: keys,
            out,
            client,
            core: self.core,
            command,
        };
        if let Err(error) = (command.spec.run)(&mut ctx) {
            // An error is the whole reply, whatever the handler had begun to write.
            out.truncate(begin);
            out.error(error.as_bytes());
        }
        crash::running(None);
        if hides {
            self.ks.judge = Judge::Own;
        }
        self.spread_effects(client, db, &args);
        if client.is(ClientFlags::TRACKING) {
            self.core.remember_read(client, command, &args);
        }
        let failed = out.has_errors();
        if failed {
            self.count_errors(out);
        }
        let end_us = self.core.clock.mono_us();
        let mut duration_us = end_us - begin_us;
        self.core.now_us = end_us;
        if let Some(blocked) = &mut client.blocked {
            // It counts once, when it is over; who MONITORs sees it come.
            blocked.spent_us += duration_us;
            self.show(client, command, &args);
            self.core.redacted.clear();
            return Called::Blocked;
        }
        if !self.ks.prefixes.is_empty() {
            self.count_operation(command, &args);
        }
        duration_us += std::mem::take(&mut client.spent_us);
        client.total_commands += 1;
        self.record(client, command, &args, duration_us, failed);
        Called::Done
    }

    /// Runs a command inside the one that runs now, whose effects and reply go on after it. The
    /// gate is the caller's business. Nothing blocks in here.
    pub fn nested(
        &mut self,
        client: &mut Client,
        out: &mut Reply,
        command: &'static Command,
        args: Args<'_>,
    ) {
        let outer = std::mem::take(&mut self.ks.effects.present);
        let redacted = std::mem::take(&mut self.core.redacted);
        self.core.depth += 1;
        self.call(client, out, command, args);
        self.core.depth -= 1;
        self.core.redacted = redacted;
        self.ks.effects.present = outer;
    }

    /// Counts the command by the prefixes of its keys. What a script runs counts by itself.
    fn count_operation(&mut self, command: &Command, args: &Args<'_>) {
        if let Some(at) = command.only_key {
            if usize::from(at) < args.len() {
                self.ks.prefixes.operation(&args[usize::from(at)]);
            }
            return;
        }
        let mut keys = KeyList::new();
        if command.spec.group == Group::Scripting
            || keys::keys_of(command.spec, args, &mut keys).is_err()
        {
            return;
        }
        for key in keys {
            self.ks.prefixes.operation(&args[key.at]);
        }
    }

    /// Sends the effects of a command to the log, and tells those who listen.
    fn spread_effects(&mut self, client: &mut Client, db: usize, args: &Args<'_>) {
        let Changes { dirty, form, .. } = self.ks.effects.present;
        if dirty > 0 {
            self.ks.stats.dirty += dirty;
            if form == Form::Verbatim {
                self.ks.log.append(db, args.iter());
            }
        }
        if self.ks.effects.is_told() {
            self.tell(Some(client));
        }
    }

    /// Tells those who listen what changed: since the last time, by commands or between them. The
    /// client whose command runs is not in its place and hears of it here.
    pub fn tell(&mut self, mut client: Option<&mut Client>) {
        let mut events = std::mem::take(&mut self.ks.effects.events);
        for event in events.drain(..) {
            self.core.announce(&event);
        }
        self.ks.effects.events = events;
        self.ks.effects.bytes = 0;
        let by = client.as_deref().map_or(0, |client| client.id);
        for key in std::mem::take(&mut self.ks.effects.lapsed) {
            self.core.key_changed(&key, 0);
        }
        let mut touched = std::mem::take(&mut self.ks.effects.touched);
        for (db, key) in touched.drain(..) {
            self.core
                .touch_watched((db, &key), self.ks, client.as_deref_mut());
            self.core.key_changed(&key, by);
            self.core.blocking.signal(db, key);
        }
        self.ks.effects.touched = touched;
        for db in std::mem::take(&mut self.ks.effects.whole) {
            self.core
                .touch_watched_db(db, self.ks, client.as_deref_mut());
            self.core.blocking.signal_db(db);
        }
        if std::mem::take(&mut self.ks.effects.flushed) {
            self.core.invalidate_all();
        }
    }

    /// Ends a unit: its effects become one entry of the log, and clients that waited for its keys
    /// are served.
    fn end_unit(&mut self, client: &mut Client, command: &Command) {
        if self.core.shutdown.is_some() {
            // It was interrupted: nobody hears of it, and the files do not.
            return self.ks.log.drop_unit();
        }
        if self.ks.log.end_unit(!touches_any_key(command)) {
            client.log_offset = self.ks.log.offset();
        }
        if self.core.blocking.is_ready() && !self.core.blocking.serving {
            self.serve_blocked();
        }
    }

    /// Ends what was changed between commands (expiry, eviction): each change is a unit of its own.
    pub fn end_slice(&mut self) {
        if self.ks.effects.is_told() {
            self.tell(None);
        }
        self.ks.log.end_unit(false);
        if self.core.blocking.is_ready() {
            self.serve_blocked();
        }
    }

    /// Runs the command of a client that waits once more. True if it is done.
    pub(super) fn retry(&mut self, client: &mut Client) -> bool {
        let (Some(waiting), Some(blocked)) = (client.waiting.take(), client.blocked.take()) else {
            return false;
        };
        let args = waiting.batch.args(waiting.next);
        let mut out = std::mem::take(&mut client.out);
        if self.core.owes(client) {
            self.core.settle(client, &mut out);
        }
        let begin = out.mark();
        client.spent_us = blocked.spent_us;
        let outer_us = self.core.now_us;
        let done = match self.resolve(client, &args) {
            Ok(command) => {
                let called = self.call(client, &mut out, command, args);
                self.end_unit(client, command);
                called == Called::Done
            }
            Err((command, error)) => {
                self.reject(client, &mut out, command, error);
                true
            }
        };
        self.core.now_us = self.core.now_us.max(outer_us);
        if done && client.drops_reply() {
            out.truncate(begin);
        }
        if self.core.owes(client) {
            self.core.settle(client, &mut out);
        }
        client.out = out;
        client.waiting = Some(waiting);
        if done {
            self.core.blocking.remove(client.id, &blocked);
            client.spent_us = 0;
        } else {
            // It keeps its place in the line and its deadline.
            client.spent_us = 0;
            let spent_us = client.blocked.take().map_or(0, |again| again.spent_us);
            client.blocked = Some(Blocked {
                spent_us: blocked.spent_us + spent_us,
                ..blocked
            });
        }
        done
    }

    /// Removes victims until memory is within the limit. False if it is not and nothing more can
    /// be removed; true also when time is up and the next command goes on.
    pub fn evict(&mut self) -> bool {
        if self.core.active_pause().is_some() {
            return true;
        }
        self.ks.effects.watching = self.core.is_watching();
        let begin = self.core.clock.mono_us();
        let mut freed_any = false;
        let told = self.core.told_memory();
        while alloc::used_memory() > self.eviction_limit(told) {
            // What was flushed goes before what is there, and what it leaves is waited for.
            if self.ks.undo.is_freeing(&self.ks.reaper)
                || self.ks.undo.yield_memory(&self.ks.reaper)
            {
                self.ks.reaper.wait_at_most(REAPER_WAIT);
                if self.ks.undo.is_freeing(&self.ks.reaper) {
                    break;
                }
                continue;
            }
            // The same for what was deleted: it is freed on another thread, and without its memory too much would go.
            if self.ks.reaper.pending() > 0 {
                if self.ks.reaper.wait_at_most(REAPER_WAIT) {
                    continue;
                }
                if !self.is_far_beyond(told) {
                    break;
                }
            }
            if !self.ks.evict_one(&mut self.core.pool) {
                return false;
            }
            freed_any = true;
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

impl Runner<'_> {
    /// What others are to be told of evicted keys takes memory too, for a moment, as does what they were `told`: it is
    /// no reason to evict more.
    fn eviction_limit(&self, told: u64) -> u64 {
        let told = told.saturating_add(self.ks.effects.bytes as u64);
        self.core.memory_limit(&self.ks.log).saturating_add(told)
    }

    /// So much more than the limit is in use that keys go even if memory is about to be free.
    fn is_far_beyond(&self, told: u64) -> bool {
        let limit = self.eviction_limit(told);
        alloc::used_memory() > limit.saturating_add(limit / 8)
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

/// Commands that run at once although a transaction is being queued.
pub(super) fn runs_in_multi(command: &Command) -> bool {
    matches!(
        command.full_name.as_str(),
        "exec" | "discard" | "multi" | "watch" | "quit" | "reset"
    )
}

/// Commands that look at keys of their own choice: what expires under them is not theirs, and each
/// deletion stands alone in the log.
fn touches_any_key(command: &Command) -> bool {
    matches!(command.spec.name, "scan" | "randomkey") && command.parent.is_none()
}
