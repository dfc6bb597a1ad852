//! The gate: checks between look-up and handler, in Redis' order, driven by the flags of the row.

use super::client::{Client, ClientFlags};
use super::run::Runner;
use crate::base::alloc;
use crate::command::args::Args;
use crate::command::error::Error;
use crate::command::registry::Command;
use crate::command::spec::Flags;
use crate::config::enums::AllowFrom;

const OOM: Error = Error::new("OOM command not allowed when used memory > 'maxmemory'.");

/// What is being checked.
pub struct Call<'a> {
    pub client: &'a Client,
    pub command: &'static Command,
    /// Those of the command; for EXEC with those of all that it will run.
    pub flags: Flags,
    pub args: Args<'a>,
}

type Check = fn(&mut Runner<'_>, &Call<'_>) -> Result<(), Error>;

/// All checks, in order; the first error is the reply.
const CHECKS: &[Check] = &[guarded, authenticated, memory, saves_fail, loading];

/// Whether the call may run.
pub fn check(run: &mut Runner<'_>, call: &Call<'_>) -> Result<(), Error> {
    CHECKS.iter().try_for_each(|check| check(run, call))
}

/// What is asked again when a command that was queued in a transaction runs: rights may have
/// changed.
pub fn check_queued(run: &mut Runner<'_>, call: &Call<'_>) -> Result<(), Error> {
    authenticated(run, call)
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

fn authenticated(_: &mut Runner<'_>, call: &Call<'_>) -> Result<(), Error> {
    let free = call.client.is(ClientFlags::AUTHENTICATED) || call.flags.contains(Flags::NO_AUTH);
    if free {
        Ok(())
    } else {
        Err(Error::new("NOAUTH Authentication required."))
    }
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

/// Most commands need the data set that is still being loaded.
fn loading(run: &mut Runner<'_>, call: &Call<'_>) -> Result<(), Error> {
    if run.core.rdb.loading.is_none() || call.flags.contains(Flags::LOADING) {
        return Ok(());
    }
    Err(Error::new("LOADING Redis is loading the dataset in memory"))
}

/// Evicts if the limit is exceeded, and refuses commands that may need memory if that did not
/// help.
fn memory(run: &mut Runner<'_>, call: &Call<'_>) -> Result<(), Error> {
    let limit = run.core.config.maxmemory;
    if limit == 0 || alloc::used_memory() <= limit {
        return Ok(());
    }
    let short = !run.evict();
    if short && call.flags.contains(Flags::DENYOOM) {
        Err(OOM)
    } else {
        Ok(())
    }
}
