//! The orderly end: what has to be on the disk before the process may go.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::core::{Core, Pause, ShutdownWish};
use super::server::Server;
use crate::config::lists::ShutdownOn;
use crate::keyspace::Keyspace;
use crate::rdb::save;

/// The end waits this long for the first base of an append-only file that is nearly there.
const BASE_WAIT: Duration = Duration::from_secs(1);

/// The last save goes on, and nothing else.
static ENDING: AtomicBool = AtomicBool::new(false);

/// To be called for SIGINT: whoever sends it while the last save goes on does not want to wait for that.
pub fn insist() {
    if ENDING.load(Ordering::Relaxed) {
        tracing::warn!("You insist... exiting now.");
        // If it is not there, all the better.
        let _ = std::fs::remove_file(save::temp_file());
        std::process::exit(1);
    }
}

/// An end that waits until the replicas have everything, at most for `shutdown-timeout`. Writes are paused meanwhile.
#[derive(Clone, Debug)]
pub struct Leaving {
    pub wish: ShutdownWish,
    /// Monotonic ms at which it waits no longer.
    pub until_ms: i64,
    /// What the replicas have to have.
    offset: u64,
    /// Clients in SHUTDOWN.
    waiters: Vec<u64>,
    /// The pause that was in force before.
    pause: Option<Pause>,
}

/// What those are told whose SHUTDOWN did not come to its end.
pub const FAILED: &str = "ERR Errors trying to SHUTDOWN. Check logs.";

/// What came of the wish for an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// The process ends after this turn.
    Ends,
    /// Replicas have to catch up first.
    Waits,
}

/// The end is not possible as wished; the log says why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// Begins the end: at once if the replicas have everything, or if nobody wants to wait for them.
///
/// # Errors
/// As [`prepare`].
pub fn begin(
    ks: &mut Keyspace,
    core: &mut Core,
    wish: ShutdownWish,
    client: Option<u64>,
) -> Result<Begun, Refused> {
    if let Some(leaving) = &mut core.leaving {
        if !wish.now {
            leaving.wish.force |= wish.force;
            leaving.waiters.extend(client);
            return Ok(Begun::Waits);
        }
        // Nobody waits any more.
        leaving.wish = wish;
        return finish(ks, core).map(|()| Begun::Ends);
    }
    let offset = ks.log.offset();
    let timeout_ms = i64::from(core.config.shutdown_timeout) * 1000;
    if wish.now || timeout_ms == 0 || core.repl.lagging(offset) == 0 {
        return prepare(ks, core, wish).map(|()| Begun::Ends);
    }
    tracing::info!("Waiting for replicas before shutting down.");
    core.leaving = Some(Leaving {
        wish,
        until_ms: core.now_ms() + timeout_ms,
        offset,
        waiters: client.into_iter().collect(),
        pause: core.active_pause(),
    });
    core.pause = Some(Pause {
        until_ms: i64::MAX / 2000,
        writes_only: core.active_pause().is_none_or(|pause| pause.writes_only),
    });
    core.repl.ask_replicas = true;
    Ok(Begun::Waits)
}

/// Ends if the replicas have everything by now, or have had enough time.
pub fn step(ks: &mut Keyspace, core: &mut Core) {
    let Some(leaving) = &core.leaving else {
        return;
    };
    if core.repl.lagging(leaving.offset) == 0 || core.now_ms() >= leaving.until_ms {
        // What went wrong is in the log, and the waiting clients were told.
        let _ = finish(ks, core);
    }
}

fn finish(ks: &mut Keyspace, core: &mut Core) -> Result<(), Refused> {
    let Some(leaving) = core.leaving.clone() else {
        return Ok(());
    };
    let now_ms = core.now_ms();
    let (all, late) = (core.repl.replicas.len(), core.repl.lagging(leaving.offset));
    for replica in core.repl.replicas.values() {
        if replica.ack < leaving.offset {
            let (ip, port) = replica.address();
            tracing::warn!(
                "Lagging replica {ip}:{port} reported offset {} behind master, lag={}, state={}.",
                leaving.offset - replica.ack,
                (now_ms - replica.ack_ms) / 1000,
                replica.state.name()
            );
        }
    }
    if all > 0 {
        tracing::info!(
            "{} of {all} replicas are in sync when shutting down.",
            all - late
        );
    }
    let ended = prepare(ks, core, leaving.wish);
    if ended.is_err() {
        tracing::warn!(
            "Errors trying to shut down the server. Check the logs for more information."
        );
        stay(core);
    }
    ended
}

/// The process does not end: everything goes on as it was before. False if no end had begun.
pub fn stay(core: &mut Core) -> bool {
    let Some(leaving) = core.leaving.take() else {
        return false;
    };
    core.pause = leaving.pause;
    for id in leaving.waiters {
        core.unblock(id, |out| out.error(FAILED));
    }
    true
}

/// Whether the data set is saved before such an end.
fn saves(core: &Core, wish: ShutdownWish) -> bool {
    let points = !core.config.save.0.is_empty();
    wish.save.unwrap_or(points) && core.rdb.loading.is_none() && core.sentinel.is_none()
}

/// Does what has to be done before the end. On success the process ends after this turn.
///
/// # Errors
/// If the data set should be saved and cannot; with `force` it ends all the same.
pub fn prepare(ks: &mut Keyspace, core: &mut Core, wish: ShutdownWish) -> Result<(), Refused> {
    if core.rdb.job.is_some() {
        tracing::warn!("There is a background save of the RDB file. Giving it up!");
        save::abort(core);
    }
    leaves_no_aof(core, wish)?;
    if saves(core, wish) {
        tracing::info!("Saving the final RDB snapshot before exiting.");
        ENDING.store(true, Ordering::Relaxed);
        let saved = save::now(ks, core);
        ENDING.store(false, Ordering::Relaxed);
        if saved.is_err() {
            if !wish.force {
                tracing::warn!("Error trying to save the DB, can't exit.");
                return Err(Refused);
            }
            tracing::warn!("Error trying to save the DB, but the end is forced.");
        }
    }
    core.shutdown = Some(wish);
    Ok(())
}

/// A file that is being made for the first time is what the next start will look for.
fn leaves_no_aof(core: &Core, wish: ShutdownWish) -> Result<(), Refused> {
    if core.aof.is_being_made() && !wish.force {
        core.aof.wait_for_base(BASE_WAIT);
    }
    if !core.aof.is_being_made() {
        return Ok(());
    }
    if wish.force {
        tracing::warn!("Writing initial AOF. Exit anyway.");
        return Ok(());
    }
    tracing::warn!("Writing initial AOF, can't exit");
    Err(Refused)
}

/// An end for which nothing is saved need not wait for a command that runs for long: what that has done so far is
/// forgotten. Of data that are saved it can't be taken out again.
pub(super) fn within_command(ks: &mut Keyspace, core: &mut Core) {
    let leaving = core.leaving.as_ref().map(|leaving| leaving.wish);
    if leaving.is_some_and(|wish| !saves(core, wish)) {
        step(ks, core);
    }
    if let Some(name) = core.signal
        && !saves(core, wish_of(core, name))
    {
        core.signal = None;
        obey(ks, core, name);
    }
}

/// What a signal asks for.
fn wish_of(core: &Core, name: &str) -> ShutdownWish {
    let flags = match name {
        "SIGINT" => core.config.shutdown_on_sigint,
        _ => core.config.shutdown_on_sigterm,
    };
    let save = match () {
        () if flags.contains(ShutdownOn::SAVE) => Some(true),
        () if flags.contains(ShutdownOn::NOSAVE) => Some(false),
        () => None,
    };
    ShutdownWish {
        save,
        now: flags.contains(ShutdownOn::NOW),
        force: flags.contains(ShutdownOn::FORCE),
    }
}

fn obey(ks: &mut Keyspace, core: &mut Core, name: &str) {
    tracing::warn!("User requested shutdown...");
    let wish = wish_of(core, name);
    if begin(ks, core, wish, None).is_err() {
        tracing::warn!(
            "{name} received but errors trying to shut down the server, check the logs for more information"
        );
    }
}

impl Server {
    /// Sees to a signal that asked for the end.
    pub(super) fn obey_signal(&mut self) {
        if let Some(name) = self.core.signal.take() {
            obey(&mut self.ks, &mut self.core, name);
        }
    }
}
