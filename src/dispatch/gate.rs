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
const CHECKS: &[Check] = &[guarded, authenticated, memory, subscribed];

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
        "ERR {name} command not allowed. If the {directive} option is set to \"local\", you can run it from a local connection, otherwise you need to set this option in the configuration file, and then restart the run."
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
    let short = !run.evict();
    if short && call.flags.contains(Flags::DENYOOM) {
        Err(OOM)
    } else {
        Ok(())
    }
}
