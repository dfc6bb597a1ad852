//! The short sections.

use std::sync::atomic::Ordering;

use super::{Lines, Source};
use crate::base::sys::{self, Usage};
use crate::cli::{FERRITE_VERSION, REDIS_VERSION};
use crate::config::enums::Supervised;

const NO_REPLICATION_ID: &str = "0000000000000000000000000000000000000000";

pub fn server(lines: &mut Lines<'_>, source: &Source<'_>) {
    let core = source.core;
    let config = &core.config;
    let (system, release, machine) = sys::system_names();
    let now_us = core.unix_us();
    let uptime_s = (now_us / 1000 - core.started_ms) / 1000;
    lines.field("redis_version", REDIS_VERSION);
    lines.field("ferrite_version", FERRITE_VERSION);
    lines.field("redis_git_sha1", "00000000");
    lines.field("redis_git_dirty", 0);
    lines.field("redis_build_id", 0);
    lines.field("redis_mode", "standalone");
    lines.field("os", format_args!("{system} {release} {machine}"));
    lines.field("arch_bits", usize::BITS);
    lines.field("monotonic_clock", "POSIX clock_gettime");
    lines.field("multiplexing_api", "epoll");
    lines.field("atomicvar_api", "c11-builtin");
    lines.field("gcc_version", "0.0.0");
    lines.field("process_id", std::process::id());
    let supervised = match config.supervised {
        Supervised::No => "no",
        Supervised::Upstart => "upstart",
        Supervised::Systemd => "systemd",
        Supervised::Auto => "unknown",
    };
    lines.field("process_supervised", supervised);
    lines.field("run_id", &core.run_id);
    lines.field("tcp_port", config.port);
    lines.field("server_time_usec", now_us);
    lines.field("uptime_in_seconds", uptime_s);
    lines.field("uptime_in_days", uptime_s / 86_400);
    lines.field("hz", config.hz);
    lines.field("configured_hz", config.hz);
    lines.field("lru_clock", now_us / 1_000_000 & 0xff_ffff);
    lines.field("executable", core.executable.display());
    let file = config
        .file
        .as_deref()
        .map(|path| path.display().to_string())
        .unwrap_or_default();
    lines.field("config_file", file);
    lines.field("io_threads_active", u8::from(config.io_threads > 1));
    listeners(lines, source);
}

fn listeners(lines: &mut Lines<'_>, source: &Source<'_>) {
    let config = &source.core.config;
    let mut number = 0;
    if config.port != 0 {
        let binds: Vec<String> = config
            .bind
            .0
            .iter()
            .map(|address| format!("bind={address}"))
            .collect();
        lines.field(
            "listener0",
            format_args!("name=tcp,{},port={}", binds.join(","), config.port),
        );
        number = 1;
    }
    if !config.unixsocket.is_empty() {
        lines.field(
            &format!("listener{number}"),
            format_args!("name=unix,bind={}", config.unixsocket),
        );
    }
}

pub fn clients(lines: &mut Lines<'_>, source: &Source<'_>) {
    let core = source.core;
    let largest = |of: fn(&crate::dispatch::client::Client) -> usize| {
        source.clients().map(of).max().unwrap_or(0)
    };
    lines.field("connected_clients", core.clients.len());
    lines.field("cluster_connections", 0);
    lines.field("maxclients", core.config.maxclients);
    lines.field(
        "client_recent_max_input_buffer",
        largest(|c| c.conn.query_len.load(Ordering::Relaxed)),
    );
    lines.field(
        "client_recent_max_output_buffer",
        largest(|c| c.conn.pending_out.load(Ordering::Relaxed)),
    );
    lines.field("blocked_clients", core.blocking.len() + core.paused.len());
    lines.field("tracking_clients", core.tracking.clients());
    lines.field("pubsub_clients", core.pubsub.clients());
    lines.field("watching_clients", core.watched.clients());
    lines.field("clients_in_timeout_table", core.blocking.deadlines());
    lines.field("total_watched_keys", core.watched.len());
    let (keys, or_gone) = core.blocking.keys();
    lines.field("total_blocking_keys", keys);
    lines.field("total_blocking_keys_on_nokey", or_gone);
}

pub fn persistence(lines: &mut Lines<'_>, source: &Source<'_>) {
    let core = source.core;
    lines.zeros(&[
        "loading",
        "async_loading",
        "current_cow_peak",
        "current_cow_size",
        "current_cow_size_age",
    ]);
    lines.field("current_fork_perc", "0.00");
    lines.zeros(&["current_save_keys_processed", "current_save_keys_total"]);
    lines.field("rdb_changes_since_last_save", source.ks.stats.dirty);
    lines.field("rdb_bgsave_in_progress", 0);
    lines.field("rdb_last_save_time", core.last_save_s);
    lines.field("rdb_last_bgsave_status", "ok");
    lines.field("rdb_last_bgsave_time_sec", -1);
    lines.field("rdb_current_bgsave_time_sec", -1);
    lines.zeros(&[
        "rdb_saves",
        "rdb_last_cow_size",
        "rdb_last_load_keys_expired",
        "rdb_last_load_keys_loaded",
    ]);
    lines.zeros(&[
        "aof_enabled",
        "aof_rewrite_in_progress",
        "aof_rewrite_scheduled",
    ]);
    lines.field("aof_last_rewrite_time_sec", -1);
    lines.field("aof_current_rewrite_time_sec", -1);
    lines.field("aof_last_bgrewrite_status", "ok");
    lines.zeros(&["aof_rewrites", "aof_rewrites_consecutive_failures"]);
    lines.field("aof_last_write_status", "ok");
    lines.zeros(&[
        "aof_last_cow_size",
        "module_fork_in_progress",
        "module_fork_last_cow_size",
    ]);
}

pub fn replication(lines: &mut Lines<'_>, source: &Source<'_>) {
    let core = source.core;
    lines.field("role", "master");
    lines.field("connected_slaves", 0);
    lines.field("master_failover_state", "no-failover");
    lines.field("master_replid", &core.repl_id);
    lines.field("master_replid2", NO_REPLICATION_ID);
    lines.field("master_repl_offset", source.ks.log.offset());
    lines.field("second_repl_offset", -1);
    lines.field("repl_backlog_active", 0);
    lines.field("repl_backlog_size", core.config.repl_backlog_size);
    lines.zeros(&["repl_backlog_first_byte_offset", "repl_backlog_histlen"]);
}

pub fn cpu(lines: &mut Lines<'_>, _: &Source<'_>) {
    let mut both = |suffix: &str, of| {
        let (system, user) = sys::cpu_time_us(of);
        for (name, us) in [("used_cpu_sys", system), ("used_cpu_user", user)] {
            lines.field(
                &format!("{name}{suffix}"),
                format_args!("{}.{:06}", us / 1_000_000, us % 1_000_000),
            );
        }
    };
    both("", Usage::Process);
    both("_children", Usage::Children);
    both("_main_thread", Usage::Thread);
}

pub fn cluster(lines: &mut Lines<'_>, _: &Source<'_>) {
    lines.field("cluster_enabled", 0);
}

pub fn keyspace(lines: &mut Lines<'_>, source: &Source<'_>) {
    for (index, db) in source
        .ks
        .dbs
        .iter()
        .enumerate()
        .filter(|(_, db)| !db.table.is_empty())
    {
        lines.field(
            &format!("db{index}"),
            format_args!(
                "keys={},expires={},avg_ttl={}",
                db.table.len(),
                db.volatile,
                db.avg_ttl(source.ks.now_ms)
            ),
        );
    }
}
