//! `/metrics`: a [`Snapshot`] in Prometheus' text format.

mod table;
mod text;

use std::collections::HashMap;
use std::time::Duration;

use super::snapshot::{Snapshot, Watched};
use crate::cli::FERRITE_VERSION;
use crate::keyspace::prefix::Row as PrefixRow;
use table::ROWS;
use text::Kind::{Counter, Gauge, Histogram, Summary};
use text::{Kind, Text};

/// Upper bounds of the buckets of run times: powers of two µs up to a second.
const BUCKETS: u32 = 21;

/// What is told of the port itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scrape {
    /// Bytes of the answer before: this one will be about as long.
    pub room: usize,
    /// Scrapes so far, with this one.
    pub count: u64,
    /// From the question to the actor's answer.
    pub waited: Duration,
}

/// The metrics of a server that answered.
pub fn render(snapshot: &Snapshot, scrape: Scrape) -> String {
    let fields: HashMap<&str, &str> = snapshot
        .info
        .lines()
        .filter_map(|line| line.split_once(':'))
        .collect();
    let mut text = Text::with_room(scrape.room + scrape.room / 16);
    text.one("redis_up", Gauge, "1 if the server answers.", 1);
    let started = snapshot.started_ms as f64 / 1000.0;
    let help = "Unix time of the start.";
    text.one("redis_start_time_seconds", Gauge, help, started);
    instance(&mut text, &fields);
    for row in ROWS {
        if let Some(value) = fields.get(row.field).copied().and_then(number) {
            text.one(&format!("redis_{}", row.name), row.kind, row.help, value);
        }
    }
    output_limits(&mut text, snapshot);
    databases(&mut text, snapshot);
    commands(&mut text, snapshot);
    errors(&mut text, snapshot);
    replication(&mut text, &fields);
    slow(&mut text, snapshot);
    prefixes(&mut text, snapshot);
    if let Some(masters) = &snapshot.masters {
        sentinel(&mut text, masters);
    }
    about_scrapes(&mut text, scrape, 0);
    text.finish()
}

/// The metrics of a server that did not answer in time.
pub fn render_down(scrape: Scrape) -> String {
    let mut text = Text::default();
    text.one("redis_up", Gauge, "1 if the server answers.", 0);
    about_scrapes(&mut text, scrape, 1);
    text.finish()
}

fn about_scrapes(text: &mut Text, scrape: Scrape, failed: u8) {
    let help = "Scrapes since the port was opened.";
    text.one("redis_exporter_scrapes_total", Counter, help, scrape.count);
    let (name, help) = (
        "redis_exporter_last_scrape_error",
        "1 if this scrape failed.",
    );
    let err = if failed == 0 { "" } else { "no answer in time" };
    text.family(name, Gauge, help);
    text.sample(name, &[("err", err)], failed);
    let help = "Seconds until the server had answered this scrape.";
    let waited = scrape.waited.as_secs_f64();
    text.one(
        "redis_exporter_last_scrape_duration_seconds",
        Gauge,
        help,
        waited,
    );
}

/// The value of a field, if it is a number or a status.
fn number(value: &str) -> Option<&str> {
    match value {
        "ok" => Some("1"),
        "err" => Some("0"),
        value => value.parse::<f64>().is_ok().then_some(value),
    }
}

fn instance(text: &mut Text, fields: &HashMap<&str, &str>) {
    const LABELS: [&str; 10] = [
        "role",
        "redis_version",
        "redis_build_id",
        "redis_mode",
        "os",
        "maxmemory_policy",
        "tcp_port",
        "run_id",
        "process_id",
        "master_replid",
    ];
    let labels = LABELS.map(|name| (name, fields.get(name).copied().unwrap_or_default()));
    let name = "redis_instance_info";
    text.family(name, Gauge, "What this server is.");
    text.sample(name, &labels, 1);
    let name = "ferrite_build_info";
    text.family(name, Gauge, "The release of Ferrite.");
    text.sample(name, &[("version", FERRITE_VERSION)], 1);
}

/// The directive client-output-buffer-limit.
fn output_limits(text: &mut Text, snapshot: &Snapshot) {
    let limits = &snapshot.output_limits;
    let classes = [
        ("normal", limits.normal),
        ("slave", limits.replica),
        ("pubsub", limits.pubsub),
    ];
    let name = "redis_config_client_output_buffer_limit_bytes";
    text.family(
        name,
        Gauge,
        "Bytes of output at which a client is ended; 0 is none.",
    );
    for (class, limit) in &classes {
        for (kind, bytes) in [("hard", limit.hard_bytes), ("soft", limit.soft_bytes)] {
            text.sample(name, &[("class", class), ("limit", kind)], bytes);
        }
    }
    let name = "redis_config_client_output_buffer_limit_overcome_seconds";
    let help = "Seconds that a client may be above its soft limit.";
    text.family(name, Gauge, help);
    for (class, limit) in &classes {
        let labels = [("class", *class), ("limit", "soft")];
        text.sample(name, &labels, limit.soft_seconds);
    }
}

fn databases(text: &mut Text, snapshot: &Snapshot) {
    let names: Vec<String> = snapshot
        .dbs
        .iter()
        .map(|db| format!("db{}", db.number))
        .collect();
    let dbs = || names.iter().zip(&snapshot.dbs);
    if names.is_empty() {
        return;
    }
    let name = "redis_db_keys";
    text.family(name, Gauge, "Keys of a database.");
    dbs().for_each(|(db, d)| text.sample(name, &[("db", db)], d.keys));
    let name = "redis_db_keys_expiring";
    text.family(name, Gauge, "Keys of a database that have an expiry.");
    dbs().for_each(|(db, d)| text.sample(name, &[("db", db)], d.volatile));
    let name = "redis_db_avg_ttl_seconds";
    text.family(
        name,
        Gauge,
        "Mean time to live of the keys that have an expiry.",
    );
    for (db, d) in dbs() {
        text.sample(name, &[("db", db)], d.avg_ttl_ms as f64 / 1000.0);
    }
}

fn commands(text: &mut Text, snapshot: &Snapshot) {
    let commands = &snapshot.commands;
    if commands.is_empty() {
        return;
    }
    let name = "redis_commands_total";
    text.family(name, Counter, "Calls of a command.");
    for (cmd, stats) in commands {
        text.sample(name, &[("cmd", cmd)], stats.calls);
    }
    let name = "redis_commands_duration_seconds_total";
    text.family(name, Counter, "Seconds spent in a command.");
    for (cmd, stats) in commands {
        text.sample(name, &[("cmd", cmd)], stats.usec as f64 / 1e6);
    }
    let name = "redis_commands_rejected_calls_total";
    text.family(name, Counter, "Calls that were refused before they ran.");
    for (cmd, stats) in commands {
        text.sample(name, &[("cmd", cmd)], stats.rejected);
    }
    let name = "redis_commands_failed_calls_total";
    text.family(name, Counter, "Calls that ended with an error.");
    for (cmd, stats) in commands {
        text.sample(name, &[("cmd", cmd)], stats.failed);
    }
    run_times(text, snapshot);
}

fn run_times(text: &mut Text, snapshot: &Snapshot) {
    let timed = || {
        let commands = snapshot.commands.iter();
        commands.filter_map(|(cmd, stats)| Some((*cmd, stats, stats.latency.as_deref()?)))
    };
    if timed().next().is_none() {
        return;
    }
    let name = "redis_commands_latencies_usec";
    text.family(name, Histogram, "Run times of a command in microseconds.");
    let (sum, count) = (format!("{name}_sum"), format!("{name}_count"));
    let mut bounds: Vec<String> = (0..BUCKETS).map(|n| (1u64 << n).to_string()).collect();
    bounds.push("+Inf".to_owned());
    for (cmd, stats, latency) in timed() {
        let seen = latency.up_to_doublings_us(BUCKETS);
        let seen = seen.iter().map(|(_, seen)| *seen).chain([latency.total()]);
        let counts = bounds.iter().map(String::as_str).zip(seen);
        text.buckets(name, ("cmd", cmd), counts);
        text.sample(&sum, &[("cmd", cmd)], stats.usec);
        text.sample(&count, &[("cmd", cmd)], latency.total());
    }
    let name = "redis_latency_percentiles_usec";
    text.family(
        name,
        Summary,
        "Percentiles of the run times of a command in microseconds.",
    );
    let (sum, count) = (format!("{name}_sum"), format!("{name}_count"));
    for (cmd, stats, latency) in timed() {
        for percent in &snapshot.percentiles {
            // Rounded, so that 99.9 is 0.999.
            let quantile = ((percent * 1e9).round() / 1e11).to_string();
            let us = latency.percentile(*percent) as f64 / 1000.0;
            text.sample(name, &[("cmd", cmd), ("quantile", &quantile)], us);
        }
        text.sample(&sum, &[("cmd", cmd)], stats.usec);
        text.sample(&count, &[("cmd", cmd)], latency.total());
    }
}

fn errors(text: &mut Text, snapshot: &Snapshot) {
    let name = "redis_errors_total";
    text.family(name, Counter, "Error replies by their code.");
    for (code, count) in &snapshot.errors {
        text.sample(name, &[("err", code)], count);
    }
    if snapshot.errors_overflow > 0 {
        let labels = [("err", "ERRORSTATS_OVERFLOW")];
        text.sample(name, &labels, snapshot.errors_overflow);
    }
}

/// One connected replica as INFO shows it: `ip=…,port=…,state=…,offset=…,lag=…`.
fn replica_fields(value: &str) -> HashMap<&str, &str> {
    value
        .split(',')
        .filter_map(|part| part.split_once('='))
        .collect()
}

fn replication(text: &mut Text, fields: &HashMap<&str, &str>) {
    let numbers = (0..).map(|n| fields.get(format!("slave{n}").as_str()));
    let replicas: Vec<_> = numbers
        .map_while(|value| value.map(|text| replica_fields(text)))
        .collect();
    for (name, field, help) in [
        (
            "redis_connected_slave_offset_bytes",
            "offset",
            "Offset that a replica has acknowledged.",
        ),
        (
            "redis_connected_slave_lag_seconds",
            "lag",
            "Seconds since a replica was heard of.",
        ),
    ] {
        if !replicas.is_empty() {
            text.family(name, Gauge, help);
        }
        for replica in &replicas {
            let get = |name| replica.get(name).copied().unwrap_or_default();
            let labels = [
                ("slave_ip", get("ip")),
                ("slave_port", get("port")),
                ("slave_state", get("state")),
            ];
            text.sample(name, &labels, get(field));
        }
    }
    let (Some(host), Some(port)) = (fields.get("master_host"), fields.get("master_port")) else {
        return;
    };
    let master = [("master_host", *host), ("master_port", *port)];
    let read_only = fields.get("slave_read_only").copied().unwrap_or("1");
    let name = "redis_slave_info";
    text.family(name, Gauge, "Whose replica this server is.");
    text.sample(name, &[master[0], master[1], ("read_only", read_only)], 1);
    let up = fields.get("master_link_status") == Some(&"up");
    let name = "redis_master_link_up";
    text.family(name, Gauge, "1 if the link with the master stands.");
    text.sample(name, &master, u8::from(up));
    for (field, help) in [
        (
            "master_sync_in_progress",
            "1 while all data comes from the master.",
        ),
        (
            "master_last_io_seconds_ago",
            "Seconds since the master was heard of; -1 without a link.",
        ),
        (
            "master_link_down_since_seconds",
            "Seconds since the link was lost.",
        ),
        ("slave_repl_offset", "Offset that this replica has applied."),
        (
            "slave_read_repl_offset",
            "Offset that this replica has read.",
        ),
    ] {
        if let Some(value) = fields.get(field) {
            let name = format!("redis_{field}");
            text.family(&name, Gauge, help);
            text.sample(&name, &master, value);
        }
    }
}

fn slow(text: &mut Text, snapshot: &Snapshot) {
    let log = &snapshot.slowlog;
    text.one(
        "redis_slowlog_length",
        Gauge,
        "Entries of the slow log.",
        log.len,
    );
    let help = "Number of the last entry of the slow log.";
    text.one("redis_slowlog_last_id", Gauge, help, log.last_id);
    let help = "Seconds of the last entry of the slow log.";
    let seconds = log.last_us as f64 / 1e6;
    text.one(
        "redis_last_slow_execution_duration_seconds",
        Gauge,
        help,
        seconds,
    );
    if snapshot.spikes.is_empty() {
        return;
    }
    let name = "redis_latency_spike_last";
    text.family(name, Gauge, "Unix time of the last spike of an event.");
    for spike in &snapshot.spikes {
        text.sample(name, &[("event_name", spike.event)], spike.at_s);
    }
    let name = "redis_latency_spike_duration_seconds";
    text.family(name, Gauge, "Seconds of the last spike of an event.");
    for spike in &snapshot.spikes {
        let seconds = f64::from(spike.ms) / 1000.0;
        text.sample(name, &[("event_name", spike.event)], seconds);
    }
}

/// The counts of `FERRITE PREFIXES`.
fn prefixes(text: &mut Text, snapshot: &Snapshot) {
    if snapshot.prefixes.is_empty() {
        return;
    }
    // Different patterns may look the same once they are text; a label may come only once.
    let mut rows: Vec<(String, &PrefixRow)> = Vec::new();
    for row in &snapshot.prefixes {
        let pattern = String::from_utf8_lossy(&row.pattern).into_owned();
        if rows.iter().all(|(known, _)| *known != pattern) {
            rows.push((pattern, row));
        }
    }
    type Read = fn(&PrefixRow) -> u64;
    let families: [(&str, Kind, &str, Read); 3] = [
        (
            "ferrite_prefix_keys",
            Gauge,
            "Keys with a tracked prefix.",
            |row| row.keys,
        ),
        (
            "ferrite_prefix_bytes",
            Gauge,
            "Bytes of keys with a tracked prefix.",
            |row| row.bytes,
        ),
        (
            "ferrite_prefix_operations_total",
            Counter,
            "Operations on keys with a tracked prefix.",
            |row| row.operations,
        ),
    ];
    for (name, kind, help, read) in families {
        text.family(name, kind, help);
        for (pattern, row) in &rows {
            text.sample(name, &[("prefix", pattern)], read(row));
        }
    }
    let help = "1 if all keys are counted; 0 while a count is made.";
    let complete = u8::from(snapshot.prefixes_complete);
    text.one("ferrite_prefix_complete", Gauge, help, complete);
}

fn sentinel(text: &mut Text, masters: &[Watched]) {
    let name = "redis_sentinel_master_status";
    text.family(name, Gauge, "1 if this Sentinel sees the master up.");
    for master in masters {
        let labels = [
            ("master_name", &*master.name),
            ("master_address", &*master.address),
            ("master_status", master.status),
        ];
        text.sample(name, &labels, u8::from(master.status == "ok"));
    }
    let name = "redis_sentinel_master_ckquorum_status";
    let help = "1 if enough Sentinels are up for a failover of the master.";
    text.family(name, Gauge, help);
    for master in masters {
        let message = if master.can_fail_over {
            "OK"
        } else {
            "NOQUORUM"
        };
        let labels = [("master_name", &*master.name), ("message", message)];
        text.sample(name, &labels, u8::from(master.can_fail_over));
    }
    type Read = fn(&Watched) -> i64;
    let families: [(&str, &str, Read); 10] = [
        (
            "config_epoch",
            "Epoch of the master's configuration.",
            |m| i64::try_from(m.config_epoch).unwrap_or(i64::MAX),
        ),
        ("slaves", "Replicas of the master.", |m| m.replicas as i64),
        ("ok_slaves", "Replicas of the master that are up.", |m| {
            m.ok_replicas as i64
        }),
        (
            "sentinels",
            "Sentinels of the master, with this one.",
            |m| m.sentinels as i64,
        ),
        (
            "ok_sentinels",
            "Sentinels of the master that are up, with this one.",
            |m| m.ok_sentinels as i64,
        ),
        (
            "setting_ckquorum",
            "Sentinels that must agree that the master is down.",
            |m| i64::from(m.quorum),
        ),
        (
            "setting_failover_timeout",
            "Milliseconds that a failover may take.",
            |m| m.failover_timeout_ms,
        ),
        (
            "setting_parallel_syncs",
            "Replicas that follow a new master at once.",
            |m| i64::from(m.parallel_syncs),
        ),
        (
            "setting_down_after_milliseconds",
            "Milliseconds of silence after which an instance is down.",
            |m| m.down_after_ms,
        ),
        ("failover_in_progress", "1 while a failover runs.", |m| {
            i64::from(m.in_failover)
        }),
    ];
    for (suffix, help, read) in families {
        let name = format!("redis_sentinel_master_{suffix}");
        text.family(&name, Gauge, help);
        for master in masters {
            let labels = [
                ("master_name", &*master.name),
                ("master_address", &*master.address),
            ];
            text.sample(&name, &labels, read(master));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::testing::Bench;

    fn scrape(bench: &Bench) -> String {
        let snapshot = Snapshot::take(
            &bench.server.ks,
            &bench.server.core,
            crate::command::info::Outside::take(),
        );
        render(&snapshot, Scrape::default())
    }

    fn value<'a>(text: &'a str, sample: &str) -> Option<&'a str> {
        text.lines()
            .find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '))
    }

    #[test]
    fn counts_and_labels() {
        let mut bench = Bench::new();
        bench.say("SET a 1");
        bench.say("GET a");
        bench.say("GET nosuch");
        bench.say("LPUSH a 1");
        bench.say("SELECT");
        bench.say("CONFIG SET track-prefix 'a*'");
        let text = scrape(&bench);
        for (sample, expected) in [
            ("redis_up", "1"),
            (
                "redis_config_client_output_buffer_limit_bytes{class=\"slave\",limit=\"hard\"}",
                "268435456",
            ),
            (
                "redis_config_client_output_buffer_limit_overcome_seconds{class=\"pubsub\",limit=\"soft\"}",
                "60",
            ),
            ("redis_commands_total{cmd=\"get\"}", "2"),
            ("redis_commands_total{cmd=\"config|set\"}", "1"),
            ("redis_commands_failed_calls_total{cmd=\"lpush\"}", "1"),
            ("redis_commands_rejected_calls_total{cmd=\"select\"}", "1"),
            ("redis_errors_total{err=\"WRONGTYPE\"}", "1"),
            ("redis_keyspace_hits_total", "1"),
            ("redis_keyspace_misses_total", "1"),
            ("redis_db_keys{db=\"db0\"}", "1"),
            ("redis_db_keys{db=\"db15\"}", "0"),
            ("redis_rdb_last_bgsave_status", "1"),
            (
                "redis_commands_latencies_usec_bucket{cmd=\"get\",le=\"+Inf\"}",
                "2",
            ),
            (
                "redis_commands_latencies_usec_bucket{cmd=\"get\",le=\"1048576\"}",
                "2",
            ),
            ("redis_commands_latencies_usec_count{cmd=\"get\"}", "2"),
            ("ferrite_prefix_keys{prefix=\"a*\"}", "0"),
            ("ferrite_prefix_complete", "0"),
        ] {
            assert_eq!(value(&text, sample), Some(expected), "{sample}\n{text}");
        }
        assert!(
            value(
                &text,
                "redis_latency_percentiles_usec{cmd=\"get\",quantile=\"0.999\"}"
            )
            .is_some()
        );
        assert!(text.contains("redis_instance_info{role=\"master\",redis_version=\"7."));
        let down = render_down(Scrape::default());
        assert_eq!(value(&down, "redis_up"), Some("0"));
    }

    #[test]
    fn every_row_is_a_field_that_info_can_show() {
        // Those that are there only sometimes.
        let sometimes = |field: &str| {
            field.starts_with("aof_")
                || field.starts_with("sentinel_")
                || field == "min_slaves_good_slaves"
                || field == "slave_priority"
        };
        let bench = Bench::new();
        let text = scrape(&bench);
        for row in ROWS.iter().filter(|row| !sometimes(row.field)) {
            let name = format!("redis_{}", row.name);
            assert!(value(&text, &name).is_some(), "{name}");
        }
        let mut names: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
