//! Counters: of the server, of commands, of errors, and percentiles of run times.

use std::sync::atomic::Ordering;

use super::{Lines, Source};
use crate::command::registry;
use crate::pubsub::Kind;

pub fn write(lines: &mut Lines<'_>, source: &Source<'_>) {
    let core = source.core;
    let stats = &core.stats;
    let rejected = core
        .listeners
        .as_ref()
        .map_or(0, |l| l.counters().rejected.load(Ordering::Relaxed));
    lines.field("total_connections_received", stats.total_connections);
    lines.field("total_commands_processed", stats.total_commands);
    lines.field("instantaneous_ops_per_sec", stats.ops_rate.per_second());
    lines.field("total_net_input_bytes", stats.net_in);
    lines.field("total_net_output_bytes", stats.net_out);
    lines.zeros(&["total_net_repl_input_bytes", "total_net_repl_output_bytes"]);
    let kbps = |bytes: u64| format!("{:.2}", bytes as f64 / 1024.0);
    lines.field("instantaneous_input_kbps", kbps(stats.in_rate.per_second()));
    lines.field(
        "instantaneous_output_kbps",
        kbps(stats.out_rate.per_second()),
    );
    lines.field("instantaneous_input_repl_kbps", kbps(0));
    lines.field("instantaneous_output_repl_kbps", kbps(0));
    lines.field("rejected_connections", rejected);
    let sync = core.repl.stats;
    lines.field("sync_full", sync.full);
    lines.field("sync_partial_ok", sync.partial_ok);
    lines.field("sync_partial_err", sync.partial_err);
    keys(lines, source);
    let pubsub = &core.pubsub;
    lines.field("pubsub_channels", pubsub.len(Kind::Channel));
    lines.field("pubsub_patterns", pubsub.len(Kind::Pattern));
    lines.field("pubsubshard_channels", pubsub.len(Kind::Shard));
    lines.zeros(&["latest_fork_usec", "total_forks"]);
    lines.field("migrate_cached_sockets", source.core.migrations.len());
    lines.zeros(&["slave_expires_tracked_keys", "active_defrag_hits"]);
    lines.zeros(&[
        "active_defrag_misses",
        "active_defrag_key_hits",
        "active_defrag_key_misses",
    ]);
    lines.zeros(&["total_active_defrag_time", "current_active_defrag_time"]);
    lines.field("tracking_total_keys", core.tracking.keys());
    lines.field("tracking_total_items", core.tracking.items());
    lines.field("tracking_total_prefixes", core.tracking.prefixes());
    lines.field("unexpected_error_replies", stats.unexpected_errors);
    lines.field("total_error_replies", stats.total_errors);
    lines.field("dump_payload_sanitizations", 0);
    lines.field("total_reads_processed", stats.reads);
    lines.field("total_writes_processed", stats.writes);
    lines.zeros(&[
        "io_threaded_reads_processed",
        "io_threaded_writes_processed",
    ]);
    lines.field(
        "client_query_buffer_limit_disconnections",
        stats.query_limit_disconnections,
    );
    lines.field(
        "client_output_buffer_limit_disconnections",
        stats.output_limit_disconnections,
    );
    lines.zeros(&["reply_buffer_shrinks", "reply_buffer_expands"]);
    lines.field("eventloop_cycles", stats.turns.count);
    lines.field("eventloop_duration_sum", stats.turns.sum_us);
    lines.field("eventloop_duration_cmd_sum", stats.turns.commands_us);
    lines.field(
        "instantaneous_eventloop_cycles_per_sec",
        stats.turns.count_rate.per_second(),
    );
    lines.field(
        "instantaneous_eventloop_duration_usec",
        stats.turns.recent_us(),
    );
    lines.field("acl_access_denied_auth", stats.acl_denied_auth);
    lines.field("acl_access_denied_cmd", stats.acl_denied_command);
    lines.field("acl_access_denied_key", stats.acl_denied_key);
    lines.field("acl_access_denied_channel", stats.acl_denied_channel);
}

/// Expiry, eviction, hits and misses.
fn keys(lines: &mut Lines<'_>, source: &Source<'_>) {
    let stats = &source.core.stats;
    let keys = &source.ks.stats;
    let running_us = stats
        .eviction_since_us
        .map_or(0, |since| (source.core.now_us - since).max(0));
    lines.field("expired_subkeys", keys.expired_fields);
    lines.field("expired_keys", keys.expired);
    lines.field("expired_stale_perc", "0.00");
    lines.field("expired_time_cap_reached_count", 0);
    lines.field(
        "expire_cycle_cpu_milliseconds",
        stats.active_expire_us / 1000,
    );
    lines.field("evicted_keys", keys.evicted);
    lines.field("evicted_clients", stats.evicted_clients);
    lines.field("evicted_scripts", source.core.scripts.evicted);
    lines.field(
        "total_eviction_exceeded_time",
        (stats.eviction_exceeded_us + running_us) / 1000,
    );
    lines.field("current_eviction_exceeded_time", running_us / 1000);
    lines.field("keyspace_hits", keys.hits);
    lines.field("keyspace_misses", keys.misses);
}

pub fn commands(lines: &mut Lines<'_>, source: &Source<'_>) {
    for (command, stats) in registry::all().iter().zip(&source.core.stats.commands) {
        if stats.calls == 0 && stats.rejected == 0 && stats.failed == 0 {
            continue;
        }
        let mean = if stats.calls == 0 {
            0.0
        } else {
            stats.usec as f64 / stats.calls as f64
        };
        lines.field(
            &format!("cmdstat_{}", command.full_name),
            format_args!(
                "calls={},usec={},usec_per_call={mean:.2},rejected_calls={},failed_calls={}",
                stats.calls, stats.usec, stats.rejected, stats.failed
            ),
        );
    }
}

pub fn errors(lines: &mut Lines<'_>, source: &Source<'_>) {
    let stats = &source.core.stats;
    for (code, count) in &stats.errors {
        // A code may hold anything that a script puts there.
        let code: String = code
            .chars()
            .map(|c| if c == ':' || c.is_control() { '_' } else { c })
            .collect();
        lines.field(&format!("errorstat_{code}"), format_args!("count={count}"));
    }
    if stats.errors_overflow > 0 {
        lines.field(
            "errorstat_ERRORSTATS_OVERFLOW",
            format_args!("count={}", stats.errors_overflow),
        );
    }
}

pub fn latencies(lines: &mut Lines<'_>, source: &Source<'_>) {
    let core = source.core;
    for (command, stats) in registry::all().iter().zip(&core.stats.commands) {
        let Some(latency) = &stats.latency else {
            continue;
        };
        let parts: Vec<String> = core
            .config
            .latency_tracking_info_percentiles
            .0
            .iter()
            .map(|percent| {
                format!(
                    "p{percent}={:.3}",
                    latency.percentile(*percent) as f64 / 1000.0
                )
            })
            .collect();
        lines.field(
            &format!("latency_percentiles_usec_{}", command.full_name),
            parts.join(","),
        );
    }
}

pub fn debug(lines: &mut Lines<'_>, source: &Source<'_>) {
    let turns = &source.core.stats.turns;
    lines.field("eventloop_duration_aof_sum", 0);
    lines.field("eventloop_duration_cron_sum", turns.cron_us);
    lines.field("eventloop_duration_max", turns.max_us);
    lines.field("eventloop_cmd_per_cycle_max", turns.max_commands);
}
