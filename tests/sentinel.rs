//! Sentinel with real processes: failovers, mixed groups with redis-server, the configuration file, and what users and
//! hostile peers send.

#[path = "sentinel/group.rs"]
mod group;
mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use group::{Group, Kind, ask, connect, redis_is_here, role, sentinel, wait};
use support::{Client, TempDir, Value, binary, free_port, reference};

/// A Sentinel alone, with a master that does not answer.
struct Alone {
    process: group::Process,
    master: u16,
    dir: TempDir,
}

fn alone(more: &str) -> Alone {
    let (dir, master) = (TempDir::new(), free_port());
    let lines = format!("sentinel monitor mymaster 127.0.0.1 {master} 2\n{more}");
    let process = sentinel(Kind::Ours, dir.path(), free_port(), &lines);
    drop(process.connect());
    Alone {
        process,
        master,
        dir,
    }
}

fn bytes_of(client: &mut Client, request: &str) -> String {
    let words = support::words::split(request).expect("balanced quotes");
    let (_, raw) = client.call_raw(&words);
    let raw = String::from_utf8(raw).expect("text");
    raw.strip_suffix("\r\n").unwrap_or(&raw).to_owned()
}

#[test]
fn errors_are_those_that_clients_know() {
    let alone = alone("");
    let mut client = alone.process.connect();
    let cases = reference("errors.json");
    let mut seen = 0;
    for case in cases["cases"].as_array().expect("cases") {
        let text = |name: &str| case[name].as_str().unwrap_or_default();
        let alone = text("pre") == "sentinel monitoring mymaster with quorum 2";
        if text("category") != "sentinel" || !alone {
            continue;
        }
        seen += 1;
        let reply = bytes_of(&mut client, text("request"));
        assert_eq!(reply, text("reply"), "{}: {}", text("id"), text("request"));
    }
    assert!(seen > 40, "{seen}");
}

#[test]
fn a_failover_by_hand_says_ok_once() {
    let group = Group::start(Kind::Ours, &[Kind::Ours]);
    let mut client = group.sentinels[0].connect();
    let order = ["SENTINEL", "FAILOVER", "mymaster"];
    assert_eq!(client.call(&order).text(), "OK");
    assert_eq!(
        client.call(&order).text(),
        "INPROG Failover already in progress"
    );
}

#[test]
fn info_has_sentinels_sections() {
    let alone = alone("");
    let mut client = alone.process.connect();
    let info = client.call(&["INFO"]).text();
    for line in [
        "redis_mode:sentinel",
        "maxclients:",
        "used_cpu_user:",
        "sentinel_tilt:0",
    ] {
        assert!(info.contains(line), "{line}");
    }
    for line in [
        "used_memory",
        "rdb_last_bgsave",
        "master_repl_offset",
        "cluster_enabled",
    ] {
        assert!(!info.contains(line), "{line}");
    }
    let own = client.call(&["INFO", "sentinel"]).text();
    let line = format!(
        "master0:name=mymaster,status=ok,address=127.0.0.1:{},slaves=0,sentinels=1",
        alone.master
    );
    assert!(own.contains(&line), "{own}");
}

/// Clients ask with HELLO what they talk to; Redis' Sentinel names no role, and INFO is plain text to it in both protocols.
#[test]
fn hello_says_that_it_is_a_sentinel() {
    let alone = alone("");
    let mut client = alone.process.connect();
    let hello = client.call(&["HELLO", "3"]);
    assert_eq!(hello.field("mode").expect("a mode").text(), "sentinel");
    assert!(hello.field("role").is_none());
    let raw = bytes_of(&mut client, "INFO sentinel");
    assert!(raw.starts_with('$'), "{raw}");
}

#[test]
fn values_cannot_become_lines_of_the_file() {
    let alone = alone("");
    let mut client = alone.process.connect();
    let before = std::fs::read_to_string(&alone.process.file).unwrap();
    let evil = "x\nsentinel monitor evil 127.0.0.1 1 1";
    let calls: &[&[&str]] = &[
        &["SENTINEL", "SET", "mymaster", "auth-pass", evil],
        &["SENTINEL", "SET", "mymaster", "auth-user", evil],
        &[
            "SENTINEL",
            "SET",
            "mymaster",
            "rename-command",
            "CONFIG",
            evil,
        ],
        &["SENTINEL", "CONFIG", "SET", "sentinel-pass", evil],
        &["SENTINEL", "CONFIG", "SET", "announce-ip", evil],
        &["SENTINEL", "MONITOR", evil, "127.0.0.1", "1", "1"],
        &["SENTINEL", "MONITOR", "a b", "127.0.0.1", "1", "1"],
        &["SENTINEL", "MONITOR", "a,b", "127.0.0.1", "1", "1"],
        &["SENTINEL", "MONITOR", "", "127.0.0.1", "1", "1"],
        &["SENTINEL", "MONITOR", "evil", evil, "1", "1"],
        &[
            "SENTINEL",
            "SET",
            "mymaster",
            "quorum",
            "2",
            "auth-pass",
            "a\0b",
        ],
    ];
    for call in calls {
        assert!(client.call(call).is_error(), "{call:?}");
    }
    let after = std::fs::read_to_string(&alone.process.file).unwrap();
    assert_eq!(before, after);
    // Quotes and spaces are values like others, and come back as they were.
    let odd = "a \"b\" 'c' #d";
    let set = ["SENTINEL", "SET", "mymaster", "auth-pass", odd];
    assert_eq!(client.call(&set).text(), "OK");
    let text = std::fs::read_to_string(&alone.process.file).unwrap();
    assert!(
        text.contains(r#"sentinel auth-pass mymaster "a \"b\" 'c' #d""#),
        "{text}"
    );
    assert!(
        !alone.process.log().contains("#d"),
        "no password in the log"
    );
}

#[test]
fn scripts_cannot_be_set_at_run_time() {
    let alone = alone("");
    let mut client = alone.process.connect();
    for option in ["notification-script", "client-reconfig-script"] {
        let call = ["SENTINEL", "SET", "mymaster", option, "/bin/sh"];
        let reply = client.call(&call).text();
        assert!(
            reply.starts_with("ERR Reconfiguration of scripts path is denied"),
            "{reply}"
        );
    }
    assert!(
        client
            .call(&["SENTINEL", "SET", "mymaster", "deny-scripts-reconfig", "no"])
            .is_error()
    );
    assert!(
        client
            .call(&["SENTINEL", "CONFIG", "SET", "deny-scripts-reconfig", "no"])
            .is_error()
    );
    let text = std::fs::read_to_string(&alone.process.file).unwrap();
    assert!(!text.contains("script"), "{text}");
}

#[test]
fn malformed_announcements_change_nothing() {
    let alone = alone("");
    let mut client = alone.process.connect();
    let id = "0123456789012345678901234567890123456789";
    let good = format!("127.0.0.1,1,{id},0,mymaster,127.0.0.1,{},0", alone.master);
    let bad = [
        String::new(),
        "1,2".into(),
        format!("{good},more"),
        good.replace("127.0.0.1,1,", "127.0.0.1,0,"),
        good.replace("127.0.0.1,1,", "nohost,1,"),
        good.replace("127.0.0.1,1,", "127.0.0.1,99999,"),
        good.replace(id, "short"),
        good.replace(",0,mymaster", ",-1,mymaster"),
        good.replace(",0,mymaster", ",18446744073709551615,mymaster"),
        good.replace("mymaster", "unknown"),
        format!("{good}\nsentinel monitor evil 127.0.0.1 1 1"),
        "x".repeat(100_000),
    ];
    for text in &bad {
        assert_eq!(
            client.call(&["PUBLISH", "__sentinel__:hello", text]),
            Value::Int(1)
        );
    }
    for call in [
        [
            "SENTINEL",
            "IS-MASTER-DOWN-BY-ADDR",
            "127.0.0.1",
            "-1",
            "0",
            "*",
        ],
        [
            "SENTINEL",
            "IS-MASTER-DOWN-BY-ADDR",
            "127.0.0.1",
            "70000",
            "5",
            id,
        ],
        [
            "SENTINEL",
            "IS-MASTER-DOWN-BY-ADDR",
            "127.0.0.1",
            "1",
            "-5",
            id,
        ],
    ] {
        assert_eq!(client.call(&call).items()[1].text(), "*");
    }
    // A vote for what is no id, or in an epoch that would use all epochs up, is not given.
    let port = alone.master.to_string();
    for (epoch, who) in [("1", "nobody"), ("9223372036854775807", id)] {
        let call = [
            "SENTINEL",
            "IS-MASTER-DOWN-BY-ADDR",
            "127.0.0.1",
            &port,
            epoch,
            who,
        ];
        assert_eq!(client.call(&call).items()[1].text(), "*", "{epoch} {who}");
    }
    let master = client.call(&["SENTINEL", "MASTER", "mymaster"]);
    let field = |name: &str| master.field(name).unwrap().text();
    assert_eq!(
        (field("num-other-sentinels"), field("config-epoch")),
        ("0".into(), "0".into())
    );
    let text = std::fs::read_to_string(&alone.process.file).unwrap();
    assert!(
        !text.contains("evil") && !text.contains("known-sentinel"),
        "{text}"
    );
    // The good one is taken, so the others were refused for what was wrong with them.
    client.call(&["PUBLISH", "__sentinel__:hello", &good]);
    let master = client.call(&["SENTINEL", "MASTER", "mymaster"]);
    assert_eq!(master.field("num-other-sentinels").unwrap().text(), "1");
}

/// An instance whose replies are lies about their length.
#[test]
fn hostile_replies_do_no_harm() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let Ok(mut stream) = stream else { return };
            let replies: [&[u8]; 5] = [
                b"*2147483647\r\n",
                b"$9223372036854775807\r\n",
                b"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n",
                b"$-2147483648\r\n",
                b"\x00\xff\r\n+\r\n",
            ];
            let _ = stream.set_read_timeout(Some(Duration::from_millis(100)));
            let _ = stream.read(&mut [0; 512]);
            let _ = stream.write_all(replies[number % replies.len()]);
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(300));
                drop(stream);
            });
        }
    });
    let mut alone = alone("");
    let mut client = alone.process.connect();
    let monitor = [
        "SENTINEL",
        "MONITOR",
        "evil",
        "127.0.0.1",
        &port.to_string(),
        "1",
    ];
    assert_eq!(client.call(&monitor).text(), "OK");
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(4) {
        let ask = Instant::now();
        assert_eq!(client.call(&["PING"]).text(), "PONG");
        assert!(ask.elapsed() < Duration::from_millis(500));
        std::thread::sleep(Duration::from_millis(20));
    }
    let status = format!(
        "/proc/{}/status",
        alone
            .process
            .connect()
            .call(&["INFO", "server"])
            .text()
            .lines()
            .find_map(|l| l.strip_prefix("process_id:"))
            .unwrap()
    );
    let text = std::fs::read_to_string(status).unwrap();
    let kib: u64 = text
        .lines()
        .find_map(|l| l.strip_prefix("VmRSS:"))
        .unwrap()
        .trim_end_matches("kB")
        .trim()
        .parse()
        .unwrap();
    assert!(kib < 64 * 1024, "{kib} KiB");
    assert!(alone.process.is_running());
}

#[test]
fn bad_lines_end_the_start_with_their_reason() {
    let dir = TempDir::new();
    let file = dir.path().join("bad.conf");
    let monitor = "sentinel monitor m 127.0.0.1 1 2";
    let cases = [
        (
            "sentinel quorum m 1",
            "Unrecognized sentinel configuration statement.",
        ),
        (
            "sentinel monitor m 127.0.0.1 1",
            "Unrecognized sentinel configuration statement.",
        ),
        (
            "sentinel monitor m 127.0.0.1 1 0",
            "Quorum must be 1 or greater.",
        ),
        (
            "sentinel monitor m 127.0.0.1 99999 1",
            "Invalid port number.",
        ),
        (
            "sentinel monitor m nohost 1 1",
            "Can't resolve instance hostname.",
        ),
        (
            "sentinel down-after-milliseconds other 1000",
            "No such master with specified name.",
        ),
        (
            "sentinel notification-script m /no/such",
            "Notification script seems non existing or non executable.",
        ),
        (
            "sentinel myid short",
            "Malformed Sentinel id in myid option.",
        ),
        (
            "sentinel known-sentinel m 127.0.0.1 5 nonsense",
            "Malformed Sentinel id in known-sentinel option.",
        ),
        (
            "sentinel known-replica m 127.0.0.1 0",
            "Wrong hostname or port for replica.",
        ),
        (
            "sentinel resolve-hostnames perhaps",
            "argument must be 'yes' or 'no'",
        ),
        (
            "sentinel auth-pass m \"x\\nsentinel monitor e 127.0.0.1 2 2\"",
            "Control characters are not allowed.",
        ),
        (monitor, "Duplicate master name."),
    ];
    for (line, reason) in cases {
        let own_monitor = line.starts_with("sentinel monitor m ") && line != monitor;
        let first = if own_monitor { "" } else { monitor };
        std::fs::write(&file, format!("port {}\n{first}\n{line}\n", free_port())).unwrap();
        let out = Command::new(binary())
            .args(["sentinel", file.to_str().unwrap()])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(1), "{line}");
        assert!(text.contains(reason), "{line}: {text}");
    }
    let out = Command::new(binary()).args(["sentinel"]).output().unwrap();
    assert_eq!(out.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&out.stderr).contains("config file"));
}

/// Kills, stops and cuts off masters; each time there is a new one, and the old one comes back as a replica.
fn failovers(mut group: Group) {
    for how in ["KILL", "STOP"] {
        let old = group.agreed().expect("one master");
        let begin = Instant::now();
        if how == "KILL" {
            group.server(old).kill();
        } else {
            group.server(old).signal("STOP");
        }
        let (new, took) = group.wait_for_switch(old, Duration::from_secs(25));
        println!("{how}: {old} to {new} within {took:?}");
        wait("a write", Duration::from_secs(10), || {
            ask(new, &["SET", how, "1"]).is_some_and(|v| v.text() == "OK")
        });
        if how == "KILL" {
            group.restart(old);
        } else {
            group.server(old).signal("CONT");
        }
        group.wait_until_followed(new, Duration::from_secs(60));
        wait("the old master's copy", Duration::from_secs(10), || {
            ask(old, &["GET", how]).is_some_and(|v| v.text() == "1")
        });
        // The next one may not be held up by the pause between two failovers.
        let pause = Duration::from_secs(17).saturating_sub(begin.elapsed());
        std::thread::sleep(pause);
        group.wait_until_known();
    }
}

#[test]
fn our_sentinels_over_redis_servers() {
    if redis_is_here() {
        failovers(Group::start(
            Kind::Redis,
            &[Kind::Ours, Kind::Ours, Kind::Ours],
        ));
    }
}

#[test]
fn one_of_ours_votes_with_two_of_theirs() {
    if redis_is_here() {
        failovers(Group::start(
            Kind::Redis,
            &[Kind::Redis, Kind::Ours, Kind::Redis],
        ));
    }
}

#[test]
fn redis_sentinels_over_our_servers() {
    if redis_is_here() {
        failovers(Group::start(
            Kind::Ours,
            &[Kind::Redis, Kind::Redis, Kind::Redis],
        ));
    }
}

#[test]
fn our_sentinels_over_our_servers() {
    failovers(Group::start(
        Kind::Ours,
        &[Kind::Ours, Kind::Ours, Kind::Ours],
    ));
}

/// A failover by hand under a busy writer: whatever was acknowledged is on the new master.
fn planned(data: Kind) {
    let group = Group::start(data, &[Kind::Ours, Kind::Ours, Kind::Ours]);
    let old = group.agreed().expect("one master");
    let (stop, acknowledged) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let (stop, acknowledged) = (stop.clone(), acknowledged.clone());
            std::thread::spawn(move || {
                let key = format!("writer:{writer}");
                let mut client = connect(old);
                let mut next = 0u64;
                while !stop.load(Ordering::Relaxed) {
                    let value = next.to_string();
                    if client.send(&["SADD", &key, &value]).is_err() {
                        break;
                    }
                    // The end of the connection: this one is unknown, and the last of this writer.
                    match client.read() {
                        Ok(Value::Int(1)) => next += 1,
                        _ => break,
                    }
                    acknowledged.fetch_add(1, Ordering::Relaxed);
                }
                (key, next)
            })
        })
        .collect();
    std::thread::sleep(Duration::from_millis(500));
    let (new, took) = switch_by_hand(&group, old);
    println!(
        "{old} to {new} within {took:?}, {} writes",
        acknowledged.load(Ordering::Relaxed)
    );
    stop.store(true, Ordering::Relaxed);
    let mut client = connect(new);
    for writer in writers {
        let (key, acknowledged) = writer.join().unwrap();
        assert!(acknowledged > 0);
        for value in 0..acknowledged {
            let found = client.call(&["SISMEMBER", &key, &value.to_string()]);
            assert_eq!(
                found,
                Value::Int(1),
                "{key} {value} of {acknowledged} is lost"
            );
        }
    }
    assert!(group.sentinels[1].log().contains("whose writes are paused"));
    group.wait_until_followed(new, Duration::from_secs(30));
}

/// Asks for the failover until it is done: a replica that has not got all writes within half a second, as can be on a
/// machine with much to do, does not become the master, and nothing has changed then.
fn switch_by_hand(group: &Group, old: u16) -> (u16, Duration) {
    let begin = Instant::now();
    for aborted in 0.. {
        let mut client = group.sentinels[1].connect();
        let reply = client.call(&["SENTINEL", "FAILOVER", "mymaster"]);
        assert_eq!(reply.text(), "OK");
        let aborts = || {
            let log = group.sentinels[1].log();
            log.matches("no switch without loss").count() > aborted
        };
        wait("an end of the failover", Duration::from_secs(20), || {
            aborts() || group.agreed().is_some_and(|new| new != old)
        });
        if !aborts() {
            break;
        }
        assert_eq!(group.agreed(), Some(old));
        assert!(begin.elapsed() < Duration::from_secs(60), "{aborted} times");
    }
    let (new, _) = group.wait_for_switch(old, Duration::from_secs(20));
    (new, begin.elapsed())
}

#[test]
fn a_planned_failover_of_redis_servers_loses_nothing() {
    if redis_is_here() {
        planned(Kind::Redis);
    }
}

#[test]
fn a_planned_failover_of_our_servers_loses_nothing() {
    planned(Kind::Ours);
}

#[test]
fn events_reach_subscribers_and_scripts() {
    let out = TempDir::new();
    let script = out.path().join("script");
    let log = out.path().join("calls");
    let text = format!("#!/bin/sh\necho \"$@\" >> {}\n", log.display());
    std::fs::write(&script, text).unwrap();
    let chmod = Command::new("chmod").arg("+x").arg(&script).status();
    assert!(chmod.unwrap().success());
    let more = format!(
        "sentinel notification-script mymaster {0}\nsentinel client-reconfig-script mymaster {0}\n",
        script.display()
    );
    let mut group = Group::with(Kind::Ours, &[Kind::Ours], &more);
    let old = group.master_of(0);
    let mut listener = group.sentinels[0].connect();
    listener.call(&["PSUBSCRIBE", "*"]);
    group.server(old).kill();
    let (new, _) = group.wait_for_switch(old, Duration::from_secs(25));
    let mut seen = Vec::new();
    while !seen.iter().any(|(channel, _)| channel == "+switch-master") {
        let message = listener.read().expect("an event");
        let items: Vec<String> = message.items().iter().map(Value::text).collect();
        seen.push((items[2].clone(), items[3].clone()));
    }
    let master = format!("master mymaster 127.0.0.1 {old}");
    let replica = format!("slave 127.0.0.1:{new} 127.0.0.1 {new} @ mymaster 127.0.0.1 {old}");
    let wanted = [
        ("+sdown", master.clone()),
        ("+odown", format!("{master} #quorum 1/1")),
        ("+new-epoch", "1".into()),
        ("+try-failover", master.clone()),
        ("+elected-leader", master.clone()),
        ("+failover-state-select-slave", master.clone()),
        ("+selected-slave", replica.clone()),
        ("+failover-state-send-slaveof-noone", replica.clone()),
        ("+failover-state-wait-promotion", replica.clone()),
        ("+promoted-slave", replica.clone()),
        ("+failover-state-reconf-slaves", master.clone()),
        ("+failover-end", master),
        (
            "+switch-master",
            format!("mymaster 127.0.0.1 {old} 127.0.0.1 {new}"),
        ),
    ];
    let mut rest = seen.iter();
    for (channel, payload) in &wanted {
        let found = rest.any(|(c, p)| c == channel && p == payload);
        assert!(found, "{channel} {payload} in {seen:#?}");
    }
    let call = format!("mymaster leader start 127.0.0.1 {old} 127.0.0.1 {new}");
    wait("the scripts", Duration::from_secs(10), || {
        let calls = std::fs::read_to_string(&log).unwrap_or_default();
        calls.contains(&call) && calls.contains("+sdown master mymaster")
    });
}

/// What a Sentinel knows and has promised is there after a restart; the other kind of Sentinel reads the same file.
#[test]
fn the_file_keeps_the_state_and_its_comments() {
    let mut group = Group::start(Kind::Ours, &[Kind::Ours, Kind::Ours, Kind::Ours]);
    let old = group.agreed().expect("one master");
    let id = group.sentinels[0]
        .connect()
        .call(&["SENTINEL", "MYID"])
        .text();
    group.server(old).kill();
    let (new, _) = group.wait_for_switch(old, Duration::from_secs(25));
    let file = group.sentinels[0].file.clone();
    wait("the file", Duration::from_secs(5), || {
        let text = std::fs::read_to_string(&file).unwrap();
        text.contains(&format!("sentinel monitor mymaster 127.0.0.1 {new} 2"))
    });
    let text = std::fs::read_to_string(&file).unwrap();
    for line in [
        "# a Sentinel",
        "# patience",
        "sentinel down-after-milliseconds mymaster 1000",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    for line in [
        format!("sentinel myid {id}"),
        "sentinel config-epoch mymaster 1".into(),
        "sentinel current-epoch 1".into(),
        format!("sentinel known-replica mymaster 127.0.0.1 {old}"),
    ] {
        assert!(text.lines().any(|l| l == line), "{line} in {text}");
    }
    assert_eq!(text.matches("sentinel known-sentinel ").count(), 2);
    let port = group.sentinels[0].port;
    let dir = group.dir.path().to_owned();
    for kind in [Kind::Ours, Kind::Redis] {
        if kind == Kind::Redis && !redis_is_here() {
            continue;
        }
        group.sentinels[0].kill();
        group.sentinels[0] = sentinel(kind, &dir, port, "");
        let mut client = group.sentinels[0].connect();
        assert_eq!(client.call(&["SENTINEL", "MYID"]).text(), id);
        assert_eq!(group.master_of(0), new);
        let master = client.call(&["SENTINEL", "MASTER", "mymaster"]);
        let field = |name: &str| master.field(name).unwrap().text();
        assert_eq!(field("config-epoch"), "1");
        assert_eq!(field("num-other-sentinels"), "2");
        assert_eq!(field("down-after-milliseconds"), "1000");
    }
    assert_eq!(role(new), "master");
}

/// A state that cannot be written is not promised.
#[test]
fn no_vote_without_the_file() {
    let alone = alone("");
    let mut client = alone.process.connect();
    let aside = alone.dir.path().join("aside");
    std::fs::rename(&alone.process.file, &aside).unwrap();
    std::fs::create_dir(&alone.process.file).unwrap();
    let id = "0123456789012345678901234567890123456789";
    let port = alone.master.to_string();
    let ask = [
        "SENTINEL",
        "IS-MASTER-DOWN-BY-ADDR",
        "127.0.0.1",
        &port,
        "7",
        id,
    ];
    assert_eq!(client.call(&ask).items()[1].text(), "*");
    let set = client.call(&["SENTINEL", "SET", "mymaster", "quorum", "3"]);
    assert!(
        set.text().starts_with("ERR Failed to save config file"),
        "{set:?}"
    );
    std::fs::remove_dir(&alone.process.file).unwrap();
    std::fs::rename(&aside, &alone.process.file).unwrap();
    assert_eq!(client.call(&["SENTINEL", "FLUSHCONFIG"]).text(), "OK");
    let text = std::fs::read_to_string(&alone.process.file).unwrap();
    assert!(text.contains("sentinel leader-epoch mymaster 7"), "{text}");
    assert_eq!(client.call(&ask).items()[1].text(), id);
}
