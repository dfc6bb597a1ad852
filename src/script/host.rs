//! The server's side of a running script: commands that it calls, and the time that it takes.

use super::engine::{Engine, Failure, Handle, Host};
use super::exchange::{Request, Shared};
use super::flags::ScriptFlags;
use super::{Running, convert, memory_limit};
use crate::base::alloc;
use crate::command::args::Args;
use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::command::registry::Command;
use crate::command::spec::Flags;
use crate::dispatch::busy;
use crate::dispatch::client::Client;
use crate::dispatch::core::Core;
use crate::dispatch::gate;
use crate::dispatch::run::Runner;
use crate::keyspace::Keyspace;
use crate::log::Spread;
use crate::resp::reply::Reply;

/// Time in commands after which a script looks whether others wait, in µs.
const LOOK_EVERY_US: i64 = 5_000;

/// What is to run.
pub struct Run<'a> {
    pub is_function: bool,
    pub handle: Handle,
    pub flags: ScriptFlags,
    /// Digest or name, for errors.
    pub name: &'a str,
    /// Only reads are allowed: the command ends in `_RO`.
    pub read_only: bool,
    pub keys: Args<'a>,
    pub argv: Args<'a>,
}

/// Runs a script and writes its reply.
pub fn run(ctx: &mut Ctx<'_>, what: &Run<'_>) -> Outcome {
    let declared = !what.flags.contains(ScriptFlags::COMPATIBLE);
    let writes = declared && !what.flags.contains(ScriptFlags::NO_WRITES);
    if writes && what.read_only {
        return Err(Error::new(
            "ERR Can not execute a script with write flag using *_ro command.",
        ));
    }
    if !declared && gate::is_stale(ctx.core) {
        return Err(gate::MASTERDOWN);
    }
    let place = place_of(ctx.core, what.is_function);
    let Some(mut engine) = place.take() else {
        return Err(Error::new("ERR a script can not run inside a script"));
    };
    let mut runner = Runner {
        ks: &mut *ctx.db.ks,
        core: &mut *ctx.core,
    };
    runner.show_script(ctx.client, &ctx.args);
    let limit = memory_limit(&ctx.core.config);
    engine.exchange.borrow_mut().memory_limit = limit;
    ctx.core.scripts.running = Some(Running {
        is_function: what.is_function,
        begin_us: ctx.core.now_us,
        ..Running::default()
    });
    let outcome = call(ctx, &mut engine, what);
    ctx.core.scripts.running = None;
    let resp3 = engine.exchange.borrow().resp3;
    let written = match outcome {
        Ok(value) => convert::to_reply(value, resp3, ctx.out).map_err(|error| {
            let text = error.to_string();
            Error::text(format!("ERR {}", text.lines().next().unwrap_or_default()))
        }),
        Err(failure) => {
            let text = describe(&failure, what.name);
            if failure.counted {
                ctx.out.error_counted(text);
            } else {
                ctx.out.error(text);
            }
            Ok(())
        }
    };
    place_of(ctx.core, what.is_function).put_back(engine);
    written
}

fn place_of(core: &mut Core, is_function: bool) -> &mut super::Place {
    if is_function {
        &mut core.scripts.functions
    } else {
        &mut core.scripts.eval
    }
}

/// The error of a script, and where it happened.
fn describe(failure: &Failure, name: &str) -> Vec<u8> {
    let mut text = failure.text.clone();
    while text.last() == Some(&b'\n') {
        text.pop();
    }
    if let Some((source, line)) = &failure.at {
        let place = format!(" script: {name}, on {source}:{line}.");
        text.extend_from_slice(place.as_bytes());
    } else {
        text.extend_from_slice(format!(" script: {name}").as_bytes());
    }
    text
}

fn call(ctx: &mut Ctx<'_>, engine: &mut Engine, what: &Run<'_>) -> Result<mlua::Value, Failure> {
    let maxmemory = ctx.core.config.maxmemory;
    let db = ctx.client.db;
    let mut caller = Caller {
        oom: maxmemory > 0
            && !what.flags.contains(ScriptFlags::ALLOW_OOM)
            && alloc::used_memory() > maxmemory,
        read_only: what.read_only || what.flags.contains(ScriptFlags::NO_WRITES),
        wrote: false,
        looked_us: ctx.core.now_us,
        call: ctx.args,
        name: what.name,
        ks: &mut *ctx.db.ks,
        core: &mut *ctx.core,
        client: &mut *ctx.client,
        out: Reply::new(),
    };
    let (keys, argv) = (what.keys.iter(), what.argv.iter());
    let outcome = if what.is_function {
        engine.run_function(what.handle, keys, argv, &mut caller)
    } else {
        engine.run_script(what.handle, keys, argv, &mut caller)
    };
    ctx.client.db = db;
    outcome
}

/// The server in the hands of a script.
struct Caller<'a> {
    ks: &'a mut Keyspace,
    core: &'a mut Core,
    client: &'a mut Client,
    /// Memory was short when the script began, and it does not say that it may run then.
    oom: bool,
    read_only: bool,
    /// It has called a command that writes.
    wrote: bool,
    /// When it last looked whether others wait.
    looked_us: i64,
    /// The call that runs the script, and the script's name.
    call: Args<'a>,
    name: &'a str,
    out: Reply,
}

impl Host for Caller<'_> {
    fn call(&mut self, exchange: &Shared) {
        let (request, mut buf, resp3, spread) = {
            let mut exchange = exchange.borrow_mut();
            let request = std::mem::take(&mut exchange.request);
            let buf = std::mem::take(&mut exchange.reply);
            (request, buf, exchange.resp3, exchange.spread)
        };
        buf.clear();
        self.out.take();
        self.out.give_buffer(buf);
        self.out.set_resp3(resp3);
        self.serve(&request, spread);
        let (chunks, mut last) = self.out.take();
        if !chunks.is_empty() {
            let mut whole = Vec::new();
            for chunk in &chunks {
                whole.extend_from_slice(chunk.bytes());
            }
            whole.append(&mut last);
            last = whole;
        }
        {
            let mut exchange = exchange.borrow_mut();
            exchange.request = request;
            exchange.reply = last;
        }
        // Commands may take long, and the interpreter looks at the clock by its own instructions.
        if self.core.now_us - self.looked_us > LOOK_EVERY_US {
            self.pause(exchange);
        }
    }

    fn check(&mut self, exchange: &Shared) {
        let request = std::mem::take(&mut exchange.borrow_mut().request);
        let found = self.core.commands.find(&request.args()).ok();
        let permitted = found.map(|command| gate::may_run(self.client, command, &request.args()));
        let mut exchange = exchange.borrow_mut();
        exchange.request = request;
        exchange.permitted = permitted;
    }

    fn pause(&mut self, exchange: &Shared) {
        let computes = std::mem::take(&mut exchange.borrow_mut().computes);
        let now_us = self.core.clock.mono_us();
        self.looked_us = now_us;
        let threshold_us = self.core.config.busy_reply_threshold.saturating_mul(1000);
        let Some(running) = &mut self.core.scripts.running else {
            return;
        };
        let spent_us = (now_us - running.begin_us).max(0) as u64;
        if threshold_us == 0 || spent_us < threshold_us {
            return;
        }
        if !running.busy {
            running.busy = true;
            running.name = self.name.to_owned();
            running.call = self.call.iter().map(<[u8]>::to_vec).collect();
            let command = if running.is_function {
                "FUNCTION KILL"
            } else {
                "SCRIPT KILL"
            };
            tracing::warn!(
                "Slow script detected: still in execution after {} milliseconds. You can try killing the script using the {command} command. Script name is: {}.",
                spent_us / 1000,
                self.name
            );
        }
        // Nobody can be answered from the thread that reads an append-only file: the actor does that meanwhile.
        busy::breathe(self.ks, self.core);
        // Others have seen time go by, and a script may wait for that; as in Redis, it does not see it behind a long command.
        if computes {
            self.core.unit_us = self.core.clock.mono_us();
        }
        let ends = self.core.shutdown.is_some() || self.core.signal.is_some();
        if ends || self.core.scripts.running.as_ref().is_some_and(|r| r.kill) {
            exchange.borrow_mut().kill = Some("Script killed by user with SCRIPT KILL...");
        }
    }
}

impl Caller<'_> {
    /// Answers the call of a command.
    fn serve(&mut self, request: &Request, spread: Spread) {
        let args = request.args();
        let command = match self.admit(&args) {
            Ok(command) => command,
            Err((command, error)) => {
                self.out.error(error.as_bytes());
                let mut run = Runner {
                    ks: self.ks,
                    core: self.core,
                };
                run.count_errors(&mut self.out);
                if let Some(command) = command {
                    self.core.stats.commands[command.id as usize].rejected += 1;
                }
                return;
            }
        };
        if command.flags.contains(Flags::WRITE) {
            self.wrote = true;
            if let Some(running) = &mut self.core.scripts.running {
                running.wrote = true;
            }
        }
        let outer = std::mem::replace(&mut self.ks.log.spread, spread);
        // Time has passed since the last command; for the keys it stands still.
        self.core.now_us = self.core.clock.mono_us();
        let mut out = std::mem::take(&mut self.out);
        let mut run = Runner {
            ks: self.ks,
            core: self.core,
        };
        run.nested(self.client, &mut out, command, args);
        self.out = out;
        self.ks.log.spread = outer;
    }

    /// The command, if the script may call it now.
    fn admit(
        &mut self,
        args: &Args<'_>,
    ) -> Result<&'static Command, (Option<&'static Command>, Error)> {
        let Ok(command) = self.core.commands.find(args) else {
            let error = Error::new("ERR Unknown Redis command called from script");
            return Err((None, error));
        };
        let fail = |text: &'static str| Err((Some(command), Error::new(text)));
        let spec = command.spec;
        if !spec.arity_ok(args.len()) || spec.is_container() && !spec.has_handler() {
            return fail("ERR Wrong number of args calling Redis command from script");
        }
        if command.flags.contains(Flags::NOSCRIPT) && !self.core.debug.scripts_may_all {
            return fail("ERR This Redis command is not allowed from script");
        }
        let mut flags = command.flags;
        if self.wrote {
            // It can't be stopped in the middle.
            flags.remove(Flags::WRITE | Flags::DENYOOM);
        }
        let call = gate::Call {
            client: self.client,
            command,
            flags,
            args: *args,
        };
        let mut run = Runner {
            ks: self.ks,
            core: self.core,
        };
        gate::check_scripted(&mut run, &call, self.read_only)
            .map_err(|error| (Some(command), error))?;
        if self.oom && flags.contains(Flags::DENYOOM) {
            return Err((Some(command), gate::OOM));
        }
        Ok(command)
    }
}
