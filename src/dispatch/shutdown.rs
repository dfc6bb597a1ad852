//! The orderly end: what has to be on the disk before the process may go.

use std::sync::atomic::{AtomicBool, Ordering};

use super::core::{Core, ShutdownWish};
use super::server::Server;
use crate::config::lists::ShutdownOn;
use crate::keyspace::Keyspace;
use crate::rdb::save;

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

/// The end is not possible as wished; the log says why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

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
    let points = !core.config.save.0.is_empty();
    let wanted =
        wish.save.unwrap_or(points) && core.rdb.loading.is_none() && core.sentinel.is_none();
    if wanted {
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

impl Server {
    /// Sees to a signal that asked for the end.
    pub(super) fn obey_signal(&mut self) {
        let Some(name) = self.core.signal.take() else {
            return;
        };
        let config = &self.core.config;
        let flags = match name {
            "SIGINT" => config.shutdown_on_sigint,
            _ => config.shutdown_on_sigterm,
        };
        let save = match () {
            () if flags.contains(ShutdownOn::SAVE) => Some(true),
            () if flags.contains(ShutdownOn::NOSAVE) => Some(false),
            () => None,
        };
        let wish = ShutdownWish {
            save,
            now: flags.contains(ShutdownOn::NOW),
            force: flags.contains(ShutdownOn::FORCE),
        };
        if prepare(&mut self.ks, &mut self.core, wish).is_err() {
            tracing::warn!(
                "{name} received but errors trying to shut down the server, check the logs for more information"
            );
        }
    }
}
