//! What metrics and readiness say of a server in its various states.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::client::{Observed, get, read};
use crate::exposition::{find, parse};
use crate::support::{Server, TempDir, binary, free_port};

/// Polls until `check` gives a value.
fn eventually<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(15) {
        if let Some(value) = check() {
            return value;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("{what}: not in time");
}

#[test]
fn the_exposition_is_well_formed() {
    let observed = Observed::start(&[
        "--latency-monitor-threshold",
        "1",
        "--slowlog-log-slower-than",
        "0",
    ]);
    let mut client = observed.server.connect();
    for line in [
        "SET user:1 x EX 100",
        "GET user:1",
        "GET nosuch",
        "LPUSH user:1 x",
        "SELECT 3",
        "SET k v",
        "NOSUCH",
        "GET",
        "EVAL \"return redis.error_reply('ODD\\\"COD\\\\\\\\E x')\" 0",
        "DEBUG SLEEP 0.01",
        "SUBSCRIBE channel",
    ] {
        client.line(line);
    }
    let mut admin = observed.server.connect();
    admin.call(&[
        &b"CONFIG"[..],
        b"SET",
        b"track-prefix",
        b"user:* we\"ird\\* \xff*",
    ]);
    // Keys that are there already are counted in the background.
    let families = eventually("counted", || {
        let families = parse(observed.get("/metrics").text());
        (find(&families, "ferrite_prefix_complete", &[]) == Some(1.0)).then_some(families)
    });
    assert!(families.len() > 150, "{} families", families.len());
    for (name, labels, value) in [
        ("redis_up", &[][..], 1.0),
        ("redis_connected_clients", &[], 2.0),
        ("redis_pubsub_channels", &[], 1.0),
        ("redis_commands_total", &[("cmd", "get")], 2.0),
        (
            "redis_commands_rejected_calls_total",
            &[("cmd", "get")],
            1.0,
        ),
        (
            "redis_commands_failed_calls_total",
            &[("cmd", "lpush")],
            1.0,
        ),
        ("redis_errors_total", &[("err", "WRONGTYPE")], 1.0),
        ("redis_db_keys", &[("db", "db0")], 1.0),
        ("redis_db_keys_expiring", &[("db", "db0")], 1.0),
        ("redis_db_keys", &[("db", "db3")], 1.0),
        ("redis_keyspace_hits_total", &[], 1.0),
        ("redis_keyspace_misses_total", &[], 1.0),
        (
            "redis_commands_latencies_usec_count",
            &[("cmd", "set")],
            2.0,
        ),
        ("ferrite_prefix_keys", &[("prefix", "user:*")], 1.0),
    ] {
        assert_eq!(
            find(&families, name, labels),
            Some(value),
            "{name} {labels:?}"
        );
    }
    assert!(find(&families, "redis_exporter_scrapes_total", &[]).unwrap() >= 1.0);
    let weird = find(
        &families,
        "ferrite_prefix_keys",
        &[("prefix", "we\"ird\\*")],
    );
    assert_eq!(weird, Some(0.0));
    assert!(find(&families, "redis_db_avg_ttl_seconds", &[("db", "db0")]).unwrap() > 90.0);
    assert!(find(&families, "redis_slowlog_length", &[]).unwrap() > 5.0);
    assert!(find(&families, "redis_memory_used_bytes", &[]).unwrap() > 100_000.0);
    let started = find(&families, "redis_start_time_seconds", &[]).unwrap();
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs_f64();
    assert!((0.0..60.0).contains(&(now - started)), "{started}");
    // Names that alerts and dashboards are known to use.
    for name in [
        "redis_uptime_in_seconds",
        "redis_memory_max_bytes",
        "redis_commands_processed_total",
        "redis_net_input_bytes_total",
        "redis_net_output_bytes_total",
        "redis_expired_keys_total",
        "redis_evicted_keys_total",
        "redis_blocked_clients",
        "redis_rdb_last_save_timestamp_seconds",
        "redis_rdb_last_bgsave_status",
        "redis_aof_enabled",
        "redis_connected_slaves",
        "redis_cpu_sys_seconds_total",
        "redis_cpu_user_seconds_total",
        "redis_instance_info",
        "redis_mem_fragmentation_ratio",
        "redis_rejected_connections_total",
        "redis_loading_dump_file",
        "redis_master_repl_offset",
        "redis_config_maxclients",
        "redis_total_system_memory_bytes",
        "redis_commands_duration_seconds_total",
        "redis_latency_spike_last",
        "redis_exporter_last_scrape_error",
        "redis_memory_used_rss_bytes",
        "redis_rdb_changes_since_last_save",
    ] {
        assert!(find(&families, name, &[]).is_some(), "{name}");
    }
}

#[test]
fn a_replica_is_ready_when_it_is_in_sync() {
    let master = Observed::start(&[]);
    master.server.connect().line("SET a 1");
    let nowhere = free_port().to_string();
    let replica = Observed::start(&["--replicaof", "127.0.0.1", &nowhere]);
    let answer = replica.get("/readyz");
    assert_eq!(answer.status, 503);
    assert_eq!(
        answer.text(),
        format!("not in sync with the master 127.0.0.1:{nowhere}\n")
    );
    assert_eq!(replica.get("/healthz").status, 200);
    let port = master.server.port().to_string();
    replica
        .server
        .connect()
        .line(&format!("REPLICAOF 127.0.0.1 {port}"));
    eventually("in sync", || {
        (replica.get("/readyz").status == 200).then_some(())
    });
    let families = parse(replica.get("/metrics").text());
    let labels = [("master_host", "127.0.0.1"), ("master_port", port.as_str())];
    assert_eq!(find(&families, "redis_master_link_up", &labels), Some(1.0));
    assert_eq!(
        find(&families, "redis_slave_info", &[("read_only", "1")]),
        Some(1.0)
    );
    assert_eq!(
        find(&families, "redis_instance_info", &[("role", "slave")]),
        Some(1.0)
    );
    let of_master = eventually("an acknowledgement", || {
        let families = parse(master.get("/metrics").text());
        let labels = [("slave_ip", "127.0.0.1"), ("slave_state", "online")];
        find(&families, "redis_connected_slave_offset_bytes", &labels).map(|_| families)
    });
    assert_eq!(find(&of_master, "redis_connected_slaves", &[]), Some(1.0));
    replica.server.connect().line("REPLICAOF NO ONE");
    assert_eq!(replica.get("/readyz").status, 200);
}

#[test]
fn a_server_that_loads_is_alive_and_not_ready() {
    let first = Server::start();
    let mut client = first.connect();
    let sets: Vec<Vec<String>> = (0..300)
        .map(|n| vec!["SET".into(), format!("k{n}"), "v".into()])
        .collect();
    client.pipeline(&sets);
    assert_eq!(client.line("SAVE").text(), "OK");
    let dir = first.dir().to_str().unwrap().to_owned();
    let second = Observed::start(&["--dir", &dir, "--key-load-delay", "10000"]);
    let answer = second.get("/readyz");
    assert_eq!(answer.status, 503);
    assert!(
        answer.text().starts_with("loading the data set: "),
        "{}",
        answer.text()
    );
    assert_eq!(second.get("/healthz").status, 200);
    assert_eq!(
        second.metric("redis_loading_dump_file").as_deref(),
        Some("1")
    );
    let keys = second.api("keys");
    assert!(
        keys["keys"]["error"]
            .as_str()
            .unwrap()
            .starts_with("LOADING"),
        "{keys}"
    );
    eventually("loaded", || {
        (second.get("/readyz").status == 200).then_some(())
    });
    assert_eq!(
        second.metric("redis_db_keys{db=\"db0\"}").as_deref(),
        Some("300")
    );
}

#[test]
fn a_server_that_cannot_save_is_not_ready() {
    let observed = Observed::start(&[]);
    let mut client = observed.server.connect();
    client.line("SET a 1");
    // A directory cannot be replaced by a file.
    std::fs::create_dir(observed.server.dir().join("dump.rdb")).unwrap();
    client.line("CONFIG SET save '3600 1'");
    client.line("BGSAVE");
    let answer = eventually("a failed save", || {
        let answer = observed.get("/readyz");
        (answer.status == 503).then_some(answer)
    });
    assert_eq!(
        answer.text(),
        "writes are refused: the last save of the data set failed\n"
    );
    assert_eq!(
        observed.metric("redis_rdb_last_bgsave_status").as_deref(),
        Some("0")
    );
    client.line("CONFIG SET stop-writes-on-bgsave-error no");
    assert_eq!(observed.get("/readyz").status, 200);
}

#[test]
fn a_busy_server_is_scraped_all_the_same() {
    let observed = Observed::start(&["--busy-reply-threshold", "50"]);
    let mut client = observed.server.connect();
    client.send(&["EVAL", "while true do end", "0"]).unwrap();
    eventually("busy", || {
        let answer = observed.get("/readyz");
        answer
            .text()
            .starts_with("busy: a script runs")
            .then_some(())
    });
    assert_eq!(observed.metric("redis_up").as_deref(), Some("1"));
    assert_eq!(observed.get("/healthz").status, 200);
    assert_eq!(observed.get("/api/info").status, 503);
    assert_eq!(observed.server.connect().line("SCRIPT KILL").text(), "OK");
    eventually("at leisure", || {
        (observed.get("/readyz").status == 200).then_some(())
    });
    assert_eq!(observed.get("/api/info").status, 200);
}

#[test]
fn a_server_that_does_not_answer_is_down() {
    let observed = Observed::start(&["--enable-debug-command", "yes"]);
    let mut client = observed.server.connect();
    client.send(&["DEBUG", "SLEEP", "5"]).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(observed.get("/healthz").status, 200);
    assert_eq!(
        observed.get("/readyz").text(),
        "busy: the server does not answer\n"
    );
    let families = parse(observed.get("/metrics").text());
    assert_eq!(find(&families, "redis_up", &[]), Some(0.0));
}

#[test]
fn a_thousand_clients_are_no_burden() {
    let observed = Observed::start(&[]);
    let clients: Vec<_> = (0..1000)
        .map(|_| std::net::TcpStream::connect(observed.server.addr()).unwrap())
        .collect();
    eventually("all connected", || {
        (observed.metric("redis_connected_clients").as_deref() == Some("1000")).then_some(())
    });
    let mut stream = observed.connect();
    let mut times: Vec<Duration> = (0..20)
        .map(|_| {
            // Not so often that an answer comes again.
            std::thread::sleep(Duration::from_millis(60));
            let begin = Instant::now();
            stream
                .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
                .unwrap();
            assert_eq!(read(&mut stream, true).unwrap().status, 200);
            begin.elapsed()
        })
        .collect();
    times.sort();
    println!(
        "scrapes with 1,000 clients: median {:?}, worst {:?}",
        times[10], times[19]
    );
    // This build is not optimized, and the machine may be busy; the figure for a release is in ARCHITECTURE.md.
    assert!(times[10] < Duration::from_millis(100), "{times:?}");
    drop(clients);
}

#[test]
fn sentinels_have_metrics_and_a_console_too() {
    let master = Server::start();
    let dir = TempDir::new();
    let (port, metrics) = (free_port(), free_port());
    let file = dir.path().join("s.conf");
    let text = format!(
        "port {port}\nbind 127.0.0.1\nmetrics-port {metrics}\ndir {}\nsentinel monitor one 127.0.0.1 {} 1\n",
        dir.path().display(),
        master.port()
    );
    std::fs::write(&file, text).unwrap();
    let mut child = Command::new(binary())
        .args(["sentinel", file.to_str().unwrap()])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    eventually("up", || {
        std::net::TcpStream::connect(("127.0.0.1", metrics)).ok()
    });
    let families = parse(get(metrics, "/metrics", "").text());
    assert_eq!(find(&families, "redis_sentinel_masters", &[]), Some(1.0));
    let labels = [("master_name", "one"), ("master_status", "ok")];
    assert_eq!(
        find(&families, "redis_sentinel_master_status", &labels),
        Some(1.0)
    );
    assert_eq!(
        find(
            &families,
            "redis_sentinel_master_ckquorum_status",
            &[("master_name", "one")]
        ),
        Some(1.0)
    );
    assert_eq!(
        find(&families, "redis_sentinel_master_sentinels", &[]),
        Some(1.0)
    );
    assert_eq!(
        find(
            &families,
            "redis_instance_info",
            &[("redis_mode", "sentinel")]
        ),
        Some(1.0)
    );
    assert_eq!(get(metrics, "/readyz", "").status, 200);
    let answer = get(metrics, "/api/sentinel", "").json();
    let name = &answer["masters"][0]["master"][0];
    assert_eq!(*name, serde_json::json!(["name", "one"]), "{answer}");
    child.kill().unwrap();
    child.wait().unwrap();
}
