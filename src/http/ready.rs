//! Whether the server is fit to serve, for load balancers and orchestrators.

use crate::dispatch::core::Core;
use crate::replication::follow::LoadKind;

/// Why clients are better not sent here now; `None` if they may come.
///
/// A master without enough replicas is not among the reasons: replicas that find it by what this says would never come.
pub fn obstacle(core: &Core) -> Option<String> {
    if core.leaving.is_some() || core.shutdown.is_some() {
        return Some("shutting down".into());
    }
    if let Some(state) = &core.sentinel {
        let tilt = state.core.sh.tilt_since.is_some();
        return tilt.then(|| "tilt: the clock jumped, this Sentinel only watches".into());
    }
    if let Some(loading) = &core.rdb.loading {
        let (total, read) = loading.bytes();
        let percent = read as f64 * 100.0 / total.max(1) as f64;
        return Some(format!("loading the data set: {percent:.0} %"));
    }
    if core.scripts.is_busy() {
        return Some("busy: a script runs for long".into());
    }
    if let Some(following) = &core.repl.following {
        if following.loading == Some(LoadKind::Blocking) {
            return Some("loading the data set of the master".into());
        }
        if !following.is_up() {
            let (host, port) = (&following.host, following.port);
            return Some(format!("not in sync with the master {host}:{port}"));
        }
        // What fails to reach the disk of a replica keeps nobody from reading.
        return None;
    }
    refuses_writes(core)
}

/// Writes are answered with MISCONF.
fn refuses_writes(core: &Core) -> Option<String> {
    let config = &core.config;
    if !core.rdb.last_ok && config.stop_writes_on_bgsave_error && !config.save.0.is_empty() {
        return Some("writes are refused: the last save of the data set failed".into());
    }
    if let Some(why) = core.aof.replaced_failed() {
        return Some(format!(
            "writes are refused: can't write the AOF anew: {why}"
        ));
    }
    let error = core.aof.error()?;
    let text = crate::net::listen::os_text(&error);
    Some(format!("writes are refused: can't write the AOF: {text}"))
}
