//! What a scrape takes from the actor: numbers as they are, for others to write out.
//!
//! Everything in here is a copy, so that the actor is done with it at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::command::info::Outside;
use crate::command::{info, registry};
use crate::config::lists::OutputLimits;
use crate::dispatch::core::Core;
use crate::dispatch::stats::CommandStats;
use crate::keyspace::Keyspace;
use crate::keyspace::prefix::Row;
use crate::sentinel::core::Sentinel;
use crate::sentinel::core::types::Flags;

/// Databases that are shown without a key in them.
const EMPTY_DBS_SHOWN: usize = 16;

/// One database.
#[derive(Clone, Debug)]
pub struct Database {
    pub number: usize,
    pub keys: usize,
    pub volatile: usize,
    pub avg_ttl_ms: i64,
}

/// The slow log in short.
#[derive(Clone, Debug, Default)]
pub struct Slowlog {
    pub len: usize,
    pub last_id: u64,
    pub last_us: i64,
}

/// The last spike of an event.
#[derive(Clone, Debug)]
pub struct Spike {
    pub event: &'static str,
    pub at_s: i64,
    pub ms: u32,
}

/// A master as its Sentinel sees it.
#[derive(Clone, Debug)]
pub struct Watched {
    pub name: Arc<str>,
    pub address: String,
    pub status: &'static str,
    pub replicas: usize,
    pub ok_replicas: usize,
    /// With this one.
    pub sentinels: usize,
    pub ok_sentinels: usize,
    pub quorum: u32,
    /// Enough Sentinels are up to start a failover and to authorize it.
    pub can_fail_over: bool,
    pub config_epoch: u64,
    pub failover_timeout_ms: i64,
    pub parallel_syncs: u32,
    pub down_after_ms: i64,
    pub in_failover: bool,
}

/// The numbers of one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The fields of INFO.
    pub info: String,
    pub started_ms: i64,
    /// Commands that were called or refused.
    pub commands: Vec<(&'static str, CommandStats)>,
    pub percentiles: Vec<f64>,
    pub errors: BTreeMap<String, u64>,
    pub errors_overflow: u64,
    /// `client-output-buffer-limit`
    pub output_limits: OutputLimits,
    pub dbs: Vec<Database>,
    pub slowlog: Slowlog,
    pub spikes: Vec<Spike>,
    pub prefixes: Vec<Row>,
    pub prefixes_complete: bool,
    pub masters: Option<Vec<Watched>>,
}

impl Snapshot {
    pub fn take(ks: &Keyspace, core: &Core, outside: Outside) -> Snapshot {
        let counted = |stats: &CommandStats| stats.calls + stats.rejected + stats.failed > 0;
        let commands = registry::all().iter().zip(&core.stats.commands);
        let (prefixes, prefixes_complete) = ks.prefix_rows();
        let newest = core.slowlog.iter().next();
        let spikes = core.latency.iter().filter_map(|(event, spikes)| {
            let (at_s, ms) = *spikes.samples.back()?;
            Some(Spike { event, at_s, ms })
        });
        Snapshot {
            info: info::for_metrics(core, ks, outside),
            started_ms: core.started_ms,
            commands: commands
                .filter(|(_, stats)| counted(stats))
                .map(|(command, stats)| (command.full_name.as_str(), stats.clone()))
                .collect(),
            percentiles: core.config.latency_tracking_info_percentiles.0.clone(),
            errors: core.stats.errors.clone(),
            errors_overflow: core.stats.errors_overflow,
            output_limits: core.config.client_output_buffer_limit,
            dbs: databases(ks, core),
            slowlog: Slowlog {
                len: core.slowlog.len(),
                last_id: newest.map_or(0, |entry| entry.id),
                last_us: newest.map_or(0, |entry| entry.duration_us),
            },
            spikes: spikes.collect(),
            prefixes,
            prefixes_complete,
            masters: core.sentinel.as_ref().map(|state| watched(&state.core)),
        }
    }
}

fn databases(ks: &Keyspace, core: &Core) -> Vec<Database> {
    if core.sentinel.is_some() {
        return Vec::new();
    }
    let dbs = ks.dbs.iter().enumerate();
    dbs.filter(|(number, db)| *number < EMPTY_DBS_SHOWN || !db.table.is_empty())
        .map(|(number, db)| Database {
            number,
            keys: db.table.len(),
            volatile: db.volatile,
            avg_ttl_ms: db.avg_ttl(ks.now_ms),
        })
        .collect()
}

fn watched(sentinel: &Sentinel) -> Vec<Watched> {
    let masters = sentinel.masters.iter().map(|master| {
        let down = |flags: Flags| flags.contains(Flags::S_DOWN);
        let flags = master.node.flags;
        let status = if flags.contains(Flags::O_DOWN) {
            "odown"
        } else if down(flags) {
            "sdown"
        } else {
            "ok"
        };
        let replicas = master.replicas.values();
        let peers = master.peers.values();
        Watched {
            name: master.name.clone(),
            address: format!("{}:{}", master.node.addr.ip, master.node.addr.port),
            status,
            replicas: master.replicas.len(),
            ok_replicas: replicas.filter(|r| !down(r.node.flags)).count(),
            sentinels: master.peers.len() + 1,
            ok_sentinels: peers.filter(|p| !down(p.node.flags)).count() + 1,
            quorum: master.quorum,
            can_fail_over: sentinel
                .quorum(&master.name)
                .is_some_and(|reached| reached.quorum && reached.majority),
            config_epoch: master.config_epoch,
            failover_timeout_ms: master.failover_timeout,
            parallel_syncs: master.parallel_syncs,
            down_after_ms: master.down_after,
            in_failover: master.in_failover(),
        }
    });
    masters.collect()
}
