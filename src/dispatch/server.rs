//! Running commands: the keyspace and everything beside it, in the hands of one thread.

use super::client::{Client, ClientFlags, Waiting};
use super::core::Core;
use super::prefetch::{PREFETCH, window};
use super::run::{Called, Runner};
use crate::aof;
use crate::base::hash::Seed;
use crate::base::rng::Rng;
use crate::command::args::Args;
use crate::command::spec::Flags;
use crate::config::Config;
use crate::keyspace::Keyspace;
use crate::net::conn::Close;
use crate::resp::reply::Reply;
use crate::resp::request::Fault;

/// A client's batch gives way to others after this long, in µs, if it is alone.
const BATCH_SLICE_US: i64 = 2_000;
/// With many clients each gets its part of that, but no less than this: long enough for any
/// pipeline of some hundred small commands.
const BATCH_SLICE_MIN_US: i64 = 250;

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
    /// Its next command waits for something.
    Blocked,
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

    /// What runs commands.
    #[inline]
    pub fn runner(&mut self) -> Runner<'_> {
        Runner {
            ks: &mut self.ks,
            core: &mut self.core,
        }
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
        client.reuse_buffer();
        let mut out = std::mem::take(&mut client.out);
        if self.core.owes(client) {
            self.core.settle(client, &mut out);
        }
        let room = self.output_room(client);
        out.set_cap(room);
        let batch = &*waiting.batch;
        let mut turn = Turn::Done;
        let goes_on = |core: &Core, client: &Client| {
            !client.is(ClientFlags::CLOSE_AFTER_REPLY) && core.shutdown.is_none()
        };
        while waiting.next < batch.commands.len() && goes_on(&self.core, client) {
            if waiting.next.is_multiple_of(PREFETCH) {
                self.prefetch(client.db, window(batch, waiting.next));
            }
            let args = batch.args(waiting.next);
            let wire = u64::from(batch.commands[waiting.next].wire);
            if self.must_pause(client, &args) {
                turn = Turn::Paused;
                break;
            }
            client.total_in += wire;
            self.core.stats.net_in += wire;
            if self.runner().execute(client, &mut out, args) == Called::Blocked {
                turn = Turn::Blocked;
                break;
            }
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
            && goes_on(&self.core, client)
            && let Some(fault) = waiting.fault.take()
        {
            self.refuse(client, &mut out, &fault);
        }
        client.active_ms = self.core.now_ms();
        self.core.stats.net_out += out.len() as u64;
        client.out = out;
        turn
    }

    fn must_pause(&self, client: &Client, args: &Args<'_>) -> bool {
        let Some(pause) = self.core.active_pause() else {
            return false;
        };
        // What is refused anyway is refused at once.
        let Ok(command) = self.core.commands.find(args) else {
            return false;
        };
        if !command.spec.arity_ok(args.len()) {
            return false;
        }
        // Or the pause could not be ended.
        if command.full_name == "client|unpause" {
            return false;
        }
        let mut flags = self.core.scripts.flags_of_call(command, args);
        if let Some(multi) = &client.multi
            && command.full_name == "exec"
        {
            flags = multi.flags_of_exec(flags);
        }
        !pause.writes_only || flags.intersects(Flags::WRITE | Flags::MAY_REPLICATE)
    }

    /// Ends what is as good as a turn: whoever reads the log gets what it wrote, clients what was pushed.
    pub fn end_turn(&mut self) {
        self.hand_on_log();
        self.flush_pushes();
    }

    /// Whoever reads the log gets what the turn wrote.
    pub fn hand_on_log(&mut self) {
        if std::mem::take(&mut self.core.repl.ask_replicas) {
            let words: [&[u8]; 3] = [b"REPLCONF", b"GETACK", b"*"];
            self.ks.log.append_for_replicas(None, words.into_iter());
            self.ks.log.end_unit(false);
        }
        if self.ks.log.has_pending() {
            let taken = self.ks.log.take();
            self.runner().feed_replicas(&taken);
            aof::state::take_turn(&mut self.core, taken);
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
        self.runner().count_errors(out);
        client.flags.insert(ClientFlags::CLOSE_AFTER_REPLY);
    }
}
