//! The short sections.

use std::sync::atomic::Ordering;

use super::{Lines, Source};
use crate::base::sys::{self, Usage};
use crate::cli::{FERRITE_VERSION, REDIS_VERSION};
use crate::config::enums::Supervised;
use crate::replication::follow::{LinkState, LoadKind};
use crate::replication::master::ReplicaState;

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
    let mode = if core.sentinel.is_some() {
        "sentinel"
    } else {
        "standalone"
    };
    lines.field("redis_mode", mode);
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
    lines.field("tcp_port", config.shown_port());
    lines.field("server_time_usec", now_us);
    lines.field("uptime_in_seconds", uptime_s);
    lines.field("uptime_in_days", uptime_s / 86_400);
    if let Some(leaving) = &core.leaving {
        let left = leaving.until_ms.saturating_sub(core.now_ms());
        lines.field("shutdown_in_milliseconds", left.max(0));
    }
    lines.field("hz", config.hz);
    lines.field("configured_hz", config.hz);
    lines.field("lru_clock", (now_us / 1_000_000) & 0xff_ffff);
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
    for (name, port) in [("tcp", config.port), ("tls", config.tls_port)] {
        if port == 0 {
            continue;
        }
        let binds: Vec<String> = config
            .bind
            .0
            .iter()
            .map(|address| format!("bind={address}"))
            .collect();
        lines.field(
            &format!("listener{number}"),
            format_args!("name={name},{},port={port}", binds.join(",")),
        );
        number += 1;
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
    // One walk: with many clients it is their memory that takes time.
    let (mut input, mut output) = (0, 0);
    for client in source.clients() {
        input = input.max(client.conn.query_len.load(Ordering::Relaxed));
        output = output.max(client.conn.pending_out.load(Ordering::Relaxed));
    }
    // Replicas are told of in their own section.
    let clients = core.clients.len().saturating_sub(core.repl.replicas.len());
    lines.field("connected_clients", clients);
    lines.field("cluster_connections", 0);
    lines.field("maxclients", core.config.maxclients);
    lines.field("client_recent_max_input_buffer", input);
    lines.field("client_recent_max_output_buffer", output);
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
    saves(lines, source);
    let aof = &source.core.aof;
    lines.field("aof_enabled", u8::from(source.core.config.appendonly));
    lines.field("aof_rewrite_in_progress", u8::from(aof.job.is_some()));
    lines.field("aof_rewrite_scheduled", u8::from(aof.scheduled));
    lines.field("aof_last_rewrite_time_sec", aof.last_time_s);
    let current = aof
        .job
        .as_ref()
        .map_or(-1, |job| job.started.elapsed().as_secs() as i64);
    lines.field("aof_current_rewrite_time_sec", current);
    lines.field(
        "aof_last_bgrewrite_status",
        if aof.last_ok { "ok" } else { "err" },
    );
    lines.field("aof_rewrites", aof.rewrites);
    lines.field("aof_rewrites_consecutive_failures", aof.failures);
    lines.field(
        "aof_last_write_status",
        if aof.error().is_none() { "ok" } else { "err" },
    );
    lines.zeros(&[
        "aof_last_cow_size",
        "module_fork_in_progress",
        "module_fork_last_cow_size",
    ]);
    log_file(lines, source);
    loading(lines, source);
}

/// How the append-only file stands, while there is one.
fn log_file(lines: &mut Lines<'_>, source: &Source<'_>) {
    let aof = &source.core.aof;
    let Some(writer) = &aof.writer else {
        return;
    };
    let status = writer.status();
    lines.field("aof_current_size", aof.size());
    lines.field("aof_base_size", aof.base_size);
    lines.field("aof_pending_rewrite", u8::from(aof.waits_for_base));
    lines.field("aof_buffer_length", status.waiting.load(Ordering::Relaxed));
    let written = status.written.load(Ordering::Relaxed);
    let unsynced = written.saturating_sub(status.synced.load(Ordering::Relaxed));
    lines.field("aof_pending_bio_fsync", u8::from(unsynced > 0));
    lines.field("aof_delayed_fsync", status.delayed.load(Ordering::Relaxed));
    lines.field("aof_unsynced_bytes", unsynced);
    lines.field("aof_fsyncs", status.syncs.load(Ordering::Relaxed));
    lines.field(
        "aof_failed_fsyncs",
        status.failed_syncs.load(Ordering::Relaxed),
    );
}

/// The RDB part. Nothing is copied by forking here: `cow` counts by how much memory in use has grown since the
/// snapshot was taken.
fn saves(lines: &mut Lines<'_>, source: &Source<'_>) {
    let rdb = &source.core.rdb;
    let job = rdb.job.as_ref();
    let keys = job.map_or(0, |job| job.progress.keys.load(Ordering::Relaxed));
    let total = job.map_or(0, |job| job.total);
    let link = source.core.repl.following.as_ref().and_then(|f| f.loading);
    let blocking = rdb.loading.is_some() || link == Some(LoadKind::Blocking);
    lines.field("loading", u8::from(blocking));
    lines.field("async_loading", u8::from(link == Some(LoadKind::Async)));
    let extra = job.map_or(0, |job| job.extra_now());
    lines.field(
        "current_cow_peak",
        job.map_or(0, |job| job.extra.max(extra)),
    );
    lines.field("current_cow_size", extra);
    lines.field("current_cow_size_age", 0);
    let done = if total == 0 {
        0.0
    } else {
        keys as f64 * 100.0 / total as f64
    };
    lines.field("current_fork_perc", format_args!("{done:.2}"));
    lines.field("current_save_keys_processed", keys);
    lines.field("current_save_keys_total", total);
    lines.field("rdb_changes_since_last_save", source.ks.stats.dirty);
    // Replicas that get the data are served by a save, as far as others can see.
    let saving = job.is_some() || source.core.repl.job.is_some();
    lines.field("rdb_bgsave_in_progress", u8::from(saving));
    lines.field("rdb_last_save_time", source.core.last_save_s);
    let status = if rdb.last_ok { "ok" } else { "err" };
    lines.field("rdb_last_bgsave_status", status);
    lines.field("rdb_last_bgsave_time_sec", rdb.last_time_s);
    let current = job.map_or(-1, |job| job.started.elapsed().as_secs() as i64);
    lines.field("rdb_current_bgsave_time_sec", current);
    lines.field("rdb_saves", rdb.saves);
    lines.field("rdb_last_cow_size", rdb.last_extra);
    lines.field("rdb_last_load_keys_expired", rdb.load_expired);
    lines.field("rdb_last_load_keys_loaded", rdb.loaded);
}

/// How far the load is.
fn loading(lines: &mut Lines<'_>, source: &Source<'_>) {
    let Some(loading) = &source.core.rdb.loading else {
        return;
    };
    let (total, read) = loading.bytes();
    lines.field("loading_start_time", loading.start_s);
    lines.field("loading_total_bytes", total);
    lines.field(
        "loading_rdb_used_mem",
        loading.progress.used_mem.load(Ordering::Relaxed),
    );
    lines.field("loading_loaded_bytes", read);
    let done = read as f64 * 100.0 / total.max(1) as f64;
    lines.field("loading_loaded_perc", format_args!("{done:.2}"));
    lines.field("loading_eta_seconds", loading.eta_s());
}

pub fn replication(lines: &mut Lines<'_>, source: &Source<'_>) {
    let core = source.core;
    let repl = &core.repl;
    let now_ms = core.now_ms();
    let offset = source.ks.log.offset();
    lines.field("role", if repl.is_replica() { "slave" } else { "master" });
    if let Some(following) = &repl.following {
        let up = following.is_up();
        lines.field("master_host", &following.host);
        lines.field("master_port", following.port);
        lines.field("master_link_status", if up { "up" } else { "down" });
        let quiet_s = (now_ms - following.io_ms) / 1000;
        lines.field("master_last_io_seconds_ago", if up { quiet_s } else { -1 });
        let syncing = following.state == LinkState::Sync;
        lines.field("master_sync_in_progress", u8::from(syncing));
        lines.field("slave_read_repl_offset", offset + following.held_bytes());
        lines.field("slave_repl_offset", offset);
        if syncing && let Some(handle) = &following.handle {
            let read = handle.shared.progress.bytes.load(Ordering::Relaxed);
            let total = handle.shared.progress.total.load(Ordering::Relaxed);
            let done = read as f64 * 100.0 / total.max(1) as f64;
            // Without a length before the data nobody knows what is left.
            let left = if total == 0 {
                -1
            } else {
                total.saturating_sub(read) as i64
            };
            lines.field("master_sync_total_bytes", total);
            lines.field("master_sync_read_bytes", read);
            lines.field("master_sync_left_bytes", left);
            let done = if total == 0 { 0.0 } else { done };
            lines.field("master_sync_perc", format_args!("{done:.2}"));
            lines.field("master_sync_last_io_seconds_ago", quiet_s);
        }
        if !up {
            let down_s = (now_ms - following.down_since_ms) / 1000;
            lines.field("master_link_down_since_seconds", down_s);
        }
        lines.field("master_refused_reason", &repl.refused);
        lines.field("slave_priority", core.config.replica_priority);
        lines.field("slave_read_only", u8::from(core.config.replica_read_only));
        lines.field("replica_announced", u8::from(core.config.replica_announced));
    }
    lines.field("connected_slaves", repl.replicas.len());
    lines.field("replicas_waiting_psync", 0);
    if core.config.min_replicas_to_write > 0 && core.config.min_replicas_max_lag > 0 {
        let good = repl.good_replicas(now_ms, core.config.min_replicas_max_lag);
        lines.field("min_slaves_good_slaves", good);
    }
    for (number, replica) in repl.replicas.values().enumerate() {
        let (ip, port) = replica.address();
        let lag = match replica.state {
            ReplicaState::Online => (now_ms - replica.ack_ms) / 1000,
            _ => 0,
        };
        lines.field(
            &format!("slave{number}"),
            format!(
                "ip={ip},port={port},state={},offset={},lag={lag}",
                match (&replica.state, &repl.job) {
                    (ReplicaState::Transfer, Some(job)) if job.is_sending() => "send_bulk",
                    (state, _) => state.name(),
                },
                replica.ack
            ),
        );
    }
    let failover = match &repl.failover {
        None => "no-failover",
        Some(failover) if failover.in_progress => "failover-in-progress",
        Some(_) => "waiting-for-sync",
    };
    lines.field("master_failover_state", failover);
    lines.field("master_replid", &repl.history.id);
    lines.field("master_replid2", &repl.history.id2);
    lines.field("master_repl_offset", offset);
    lines.field("second_repl_offset", repl.history.second_offset);
    let backlog = repl.backlog.as_ref();
    lines.field("repl_backlog_active", u8::from(backlog.is_some()));
    lines.field("repl_backlog_size", core.config.repl_backlog_size);
    lines.field(
        "repl_backlog_first_byte_offset",
        backlog.map_or(0, |b| b.first() + 1),
    );
    lines.field("repl_backlog_histlen", backlog.map_or(0, |b| b.len()));
    lines.field("master_replid_earlier", repl.history.earlier_text());
    let divergence = &repl.divergence;
    lines.field("divergence_saved_files", divergence.files);
    lines.field("divergence_saved_commands", divergence.commands);
    lines.field("divergence_saved_bytes", divergence.bytes);
    lines.field("divergence_not_saved", divergence.not_saved);
    lines.field("divergence_last_file", &divergence.last_file);
    lines.field("divergence_last_status", divergence.last.name());
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
