//! The gate: checks between look-up and handler, in Redis' order, driven by the flags of the row.

use super::client::{Client, ClientFlags};
use super::core::Core;
use super::run::Runner;
use crate::acl::log::{Context, Shown};
use crate::acl::{self, Denial};
use crate::base::alloc;
use crate::command::args::Args;
use crate::command::error::Error;
use crate::command::registry::Command;
use crate::command::spec::Flags;
use crate::config::enums::AllowFrom;
use crate::replication::follow::LoadKind;

pub const OOM: Error = Error::new("OOM command not allowed when used memory > 'maxmemory'.");

pub const MASTERDOWN: Error =
    Error::new("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.");

const NOT_ON_KEYS: Error = Error::new("ERR Replica can't interact with the keyspace");

/// What commands on keys have, and those that may run such.
const ON_KEYS: Flags = Flags::WRITE
    .union(Flags::READONLY)
    .union(Flags::MAY_REPLICATE);

/// What is being checked.
pub struct Call<'a> {
    pub client: &'a Client,
    pub command: &'static Command,
    /// Those of the command; for EXEC with those of all that it will run.
    pub flags: Flags,
    pub args: Args<'a>,
}

type Check = fn(&mut Runner<'_>, &Call<'_>) -> Result<(), Error>;

/// Those that a command of a script passes; whether memory is short was seen when the script began.
const SCRIPTED: &[Check] = &[
    guarded,
    stale_in_script,
    permitted_in_script,
    saves_fail,
    replicated,
];

/// Whether the call may run: all checks, in order; the first error is the reply. They are called one by one, because
/// every command comes through here and most of them are a look at one flag.
#[inline]
pub fn check(run: &mut Runner<'_>, call: &Call<'_>) -> Result<(), Error> {
    guarded(run, call)?;
    authenticated(run, call)?;
    permitted(run, call)?;
    from_replica(run, call)?;
    memory(run, call)?;
    saves_fail(run, call)?;
    log_fails(run, call)?;
    replicated(run, call)?;
    subscribed(run, call)?;
    loading(run, call)?;
    busy(run, call)?;
    monitoring(run, call)
}

/// What is asked again when a command that was queued in a transaction runs: rights may have
/// changed.
pub fn check_queued(run: &mut Runner<'_>, call: &Call<'_>) -> Result<(), Error> {
    authenticated(run, call)?;
    still_permitted(run, call)
}

/// What a command is asked that a script calls. `call.flags` tell no longer of writes once the script
/// has written: then it can't be stopped by the server's state.
pub fn check_scripted(run: &mut Runner<'_>, call: &Call<'_>, read_only: bool) -> Result<(), Error> {
    let writes = Flags::WRITE | Flags::MAY_REPLICATE;
    if read_only && call.command.flags.intersects(writes) {
        stale_in_script(run, call)?;
        permitted_in_script(run, call)?;
        return Err(Error::new(
            "ERR Write commands are not allowed from read-only scripts.",
        ));
    }
    SCRIPTED.iter().try_for_each(|check| check(run, call))
}

/// Whether the client's user may run a command (`redis.acl_check_cmd`).
pub fn may_run(client: &Client, command: &'static Command, args: &Args<'_>) -> bool {
    acl::check(&client.user, command, args).is_ok()
}

/// The user's rights, for a command that its script calls.
fn permitted_in_script(run: &mut Runner<'_>, call: &Call<'_>) -> Result<(), Error> {
    if call.client.is(ClientFlags::MASTER) {
        return Ok(());
    }
    let Err(denial) = acl::check(&call.client.user, call.command, &call.args) else {
        return Ok(());
    };
    log_denial(run, call, denial, Context::Script, Shown::WhatRunsIt);
    let text = denial.text(&call.client.user, call.command);
    Err(Error::bytes(
        [b"ERR ACL failure in script: ", text.as_slice()].concat(),
    ))
}

/// A script that may run on a replica without its master may not read old data there.
fn stale_in_script(run: &mut Runner<'_>, call: &Call<'_>) -> Result<(), Error> {
    if is_stale(run.core) && !call.command.flags.contains(Flags::STALE) {
        return Err(Error::new(
            "ERR Can not execute the command on a stale replica",
        ));
    }
    Ok(())
}

/// The data is old and must not be read: a replica without its master.
pub fn is_stale(core: &Core) -> bool {
    core.repl.following.as_ref().is_some_and(|f| !f.is_up())
        && !core.config.replica_serve_stale_data
}

/// While a script runs for long, most commands are not for now.
fn busy(run: &mut Runner<'_>, call: &Call<'_>) -> Result<(), Error> {
    if run.core.scripts.is_busy() && !call.flags.contains(Flags::ALLOW_BUSY) {
        return Err(run.core.scripts.busy_error());
    }
    Ok(())
}

/// Commands that are off unless the configuration allows them.
fn guarded(run: &mut Runner<'_>, call: &Call<'_>) -> Result<(), Error> {
    if !call.flags.contains(Flags::PROTECTED) {
        return Ok(());
    }
    let allowed = match run.core.config.enable_debug_command {
        AllowFrom::Yes => true,
        AllowFrom::Local => is_local(call.client),
        AllowFrom::No => false,
    };
    if allowed {
        return Ok(());
    }
    let name = call
        .command
        .full_name
        .split('|')
        .next()
        .unwrap_or_default()
        .to_ascii_uppercase();
    let directive = format!("enable-{}-command", name.to_ascii_lowercase());
    Err(Error::text(format!(
        "ERR {name} command not allowed. If the {directive} option is set to \"local\", you can run it from a local connection, otherwise you need to set this option in the configuration file, and then restart the server."
    )))
}

/// The client came over a unix socket or a loopback address.
pub fn is_local(client: &Client) -> bool {
    client.is(ClientFlags::UNIX)
        || client.conn.addr.starts_with("127.")
        || client.conn.addr.starts_with("[::1]")
        || client.conn.addr.starts_with("::1")
}

fn authenticated(run: &mut Runner<'_>, call: &Call<'_>) -> Result<(), Error> {
    let free = call.client.is(ClientFlags::AUTHENTICATED)
        || call.flags.contains(Flags::NO_AUTH)
        || run.core.acl.users.is_open();
    if free {
        Ok(())
    } else {
        Err(Error::new("NOAUTH Authentication required."))
    }
}

/// A replica has nothing to say but how far it is; anything else ends its link.
fn from_replica(run: &mut Runner<'_>, call: &Call<'_>) -> Result<(), Error> {
    if !call.client.is(ClientFlags::REPLICA) {
        return Ok(());
    }
    let name = call.command.full_name.as_str();
    if matches!(name, "replconf" | "psync" | "sync") {
        return Ok(());
    }
    if call.flags.intersects(ON_KEYS) {
        tracing::warn!(
            "== CRITICAL == This master is sending an error to its replica: 'Replica can't interact with the keyspace' after processing the command '{name}'"
        );
    }
    tracing::warn!(
        "Replica generated a reply to command '{name}', disconnecting it: {}",
        crate::command::client_info::line(call.client, run.core)
    );
    call.client.conn.close(crate::net::conn::Close::Now);
    Err(NOT_ON_KEYS)
}

/// Who MONITORs sees what others do with the keys and leaves them alone: a line of MONITOR would stand among the
/// replies as if it were one. Redis counts such a client among the replicas, and its text says so.
fn monitoring(_: &mut Runner<'_>, call: &Call<'_>) -> Result<(), Error> {
    if call.client.is(ClientFlags::MONITOR) && call.flags.intersects(ON_KEYS) {
        return Err(NOT_ON_KEYS);
    }
    Ok(())
}

/// What roles allow: writes on masters with enough replicas, and reads of data that is not stale.
fn replicated(run: &mut Runner<'_>, call: &Call<'_>) -> Result<(), Error> {
    let (config, repl) = (&run.core.config, &run.core.repl);
    let writes = call.flags.contains(Flags::WRITE);
    if call.client.is(ClientFlags::MASTER) {
        return Ok(());
    }
    let Some(following) = &repl.following else {
        let wanted = config.min_replicas_to_write as usize;
        let few = || repl.good_replicas(run.core.now_ms(), config.min_replicas_max_lag) < wanted;
        if writes && wanted > 0 && config.min_replicas_max_lag > 0 && few() {
            return Err(Error::new("NOREPLICAS Not enough good replicas to write."));
        }
        return Ok(());
    };
    if writes && config.replica_read_only {
        return Err(Error::new(
            "READONLY You can't write against a read only replica.",
        ));
    }
    if !following.is_up() && !config.replica_serve_stale_data && !call.flags.contains(Flags::STALE)
    {
        return Err(MASTERDOWN);
    }
    Ok(())
}

/// The user's rights.
fn permitted(run: &mut Runner<'_>, call: &Call<'_>) -> Result<(), Error> {
    if call.client.is(ClientFlags::MASTER) {
        return Ok(());
    }
    let Err(denial) = acl::check(&call.client.user, call.command, &call.args) else {
        return Ok(());
    };
    let context = if call.client.multi.is_some() {
        Context::Multi
    } else {
        Context::Toplevel
    };
    log_denial(run, call, denial, context, Shown::TheCall);
    let text = denial.text(&call.client.user, call.command);
    Err(Error::bytes([b"NOPERM ", text.as_slice()].concat()))
}

/// The user's rights once more, when a queued command runs.
fn still_permitted(run: &mut Runner<'_>, call: &Call<'_>) -> Result<(), Error> {
    let Err(denial) = acl::check(&call.client.user, call.command, &call.args) else {
        return Ok(());
    };
    log_denial(run, call, denial, Context::Multi, Shown::WhatRunsIt);
    Err(Error::text(denial.in_exec()))
}

fn log_denial(
    run: &mut Runner<'_>,
    call: &Call<'_>,
    denial: Denial,
    context: Context,
    shown: Shown,
) {
    let (client, command) = (call.client, call.command);
    acl::log::refused(
        run.core, client, denial, context, shown, command, &call.args,
    );
}

/// `stop-writes-on-bgsave-error`: who relies on saves is to notice that there are none.
fn saves_fail(run: &mut Runner<'_>, call: &Call<'_>) -> Result<(), Error> {
    let config = &run.core.config;
    if run.core.rdb.last_ok
        || !config.stop_writes_on_bgsave_error
        || config.save.0.is_empty()
        || !(call.flags.contains(Flags::WRITE) || call.command.full_name == "ping")
    {
        return Ok(());
    }
    Err(Error::new(
        "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. Commands that may modify the data set are disabled, because this instance is configured to report errors during writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis logs for details about the RDB error.",
    ))
}

/// What cannot be logged must not happen. What needs no memory goes on, deletions above all: its reply waits until the
/// log can be written.
fn log_fails(run: &mut Runner<'_>, call: &Call<'_>) -> Result<(), Error> {
    if call.flags.contains(Flags::WRITE)
        && let Some(why) = run.core.aof.replaced_failed()
    {
        return Err(Error::text(format!(
            "MISCONF Errors writing the AOF anew: {why}"
        )));
    }
    let refused =
        call.flags.contains(Flags::WRITE | Flags::DENYOOM) || call.command.full_name == "ping";
    if !refused {
        return Ok(());
    }
    match run.core.aof.error() {
        None => Ok(()),
        Some(error) => {
            let text = error.to_string();
            let text = text.split(" (os error").next().unwrap_or_default();
            Err(Error::text(format!(
                "MISCONF Errors writing to the AOF file: {text}"
            )))
        }
    }
}

/// Most commands need the data set that is still being loaded.
fn loading(run: &mut Runner<'_>, call: &Call<'_>) -> Result<(), Error> {
    let link = run.core.repl.following.as_ref().and_then(|f| f.loading);
    let refused = match link {
        _ if run.core.rdb.loading.is_some() => !call.flags.contains(Flags::LOADING),
        None => false,
        Some(_) if call.client.is(ClientFlags::MASTER) => false,
        Some(LoadKind::Blocking) => !call.flags.contains(Flags::LOADING),
        // What is there is still read and written; what would change the server is not for now.
        Some(LoadKind::Async) => call.flags.contains(Flags::NO_ASYNC_LOADING),
    };
    if refused {
        return Err(Error::new("LOADING Redis is loading the dataset in memory"));
    }
    Ok(())
}

/// A client of RESP2 that subscribes cannot tell messages from replies: it may do little else.
fn subscribed(_: &mut Runner<'_>, call: &Call<'_>) -> Result<(), Error> {
    if call.client.subs.is_none() || call.client.resp3 {
        return Ok(());
    }
    let name = call.command.full_name.as_str();
    if call.command.replies_by_push() || matches!(name, "ping" | "quit" | "reset") {
        return Ok(());
    }
    Err(Error::text(format!(
        "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
    )))
}

/// Evicts if the limit is exceeded, and refuses commands that may need memory if that did not
/// help.
fn memory(run: &mut Runner<'_>, call: &Call<'_>) -> Result<(), Error> {
    let limit = run.core.config.maxmemory;
    if limit == 0 || alloc::used_memory() <= limit {
        return Ok(());
    }
    if alloc::used_memory() <= run.core.memory_limit(&run.ks.log) {
        return Ok(());
    }
    if run.core.repl.is_replica() && run.core.config.replica_ignore_maxmemory {
        return Ok(());
    }
    let short = !run.evict();
    if short && call.flags.contains(Flags::DENYOOM) {
        Err(OOM)
    } else {
        Ok(())
    }
}
