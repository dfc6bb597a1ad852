//! Masters and replicas as processes: of this server, and of others on either end.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use support::peer::{self, Peer};
use support::proxy::Proxy;
use support::replicas::{digest, follow, info, server, until, until_same};
use support::{Client, Server, Value};

/// Writes of every type, some of them random, some that expire, some in transactions.
fn write(client: &mut Client, round: usize) {
    let mut lines = vec![
        format!("SET key:{} {round}", round % 50),
        format!("INCRBY counter {round}"),
        format!("RPUSH list:{} a{round} b{round}", round % 5),
        format!("LPOP list:{}", round % 7),
        format!(
            "SADD set m{} m{} m{}",
            round,
            round * 7 % 100,
            round * 3 % 100
        ),
        "SPOP set".to_string(),
        format!("ZADD zset {} member{}", round as f64 / 3.0, round % 40),
        format!("HSET hash f{} v{round}", round % 30),
        format!("SET short:{round} x PX {}", 20 + round % 50),
        format!("INCRBYFLOAT float 0.{}", round % 10),
        format!("XADD stream * n {round}"),
        format!("PFADD hll e{round}"),
        format!("SETRANGE raw {} text", round % 100),
    ];
    if round.is_multiple_of(3) {
        lines.insert(4, "MULTI".into());
        lines.push("SELECT 3".into());
        lines.push(format!("SET other:{round} {round}"));
        lines.push("SELECT 0".into());
        lines.push("EXEC".into());
    }
    for line in lines {
        let reply = client.line(&line);
        assert!(!reply.is_error(), "{line}: {reply:?}");
    }
}

#[test]
fn a_replica_gets_everything_and_goes_on_after_a_cut() {
    let (master, replica) = (server(&[]), server(&[]));
    let (mut m, mut r) = (master.connect(), replica.connect());
    (0..100).for_each(|round| write(&mut m, round));
    let proxy = Proxy::to(master.addr());
    follow(&mut r, proxy.port());
    for round in 100..200 {
        write(&mut m, round);
        if round % 20 == 10 {
            proxy.cut();
        }
    }
    until("the link is up again", || {
        info(&mut r, "master_link_status") == "up"
    });
    until_same(&mut m, &mut r);
    assert_eq!(
        info(&mut m, "sync_full"),
        "1",
        "everything else was partial"
    );
    assert!(
        info(&mut m, "sync_partial_ok")
            .parse::<u64>()
            .expect("a number")
            >= 1
    );
    assert_eq!(
        r.line("SET a b").text(),
        "READONLY You can't write against a read only replica."
    );
    assert_eq!(r.line("ROLE").items()[3].text(), "connected");
}

#[test]
fn links_that_are_cut_anywhere_converge() {
    let master = server(&["--repl-backlog-size", "20mb"]);
    let replica = server(&[]);
    let (mut m, mut r) = (master.connect(), replica.connect());
    (0..30).for_each(|round| write(&mut m, round));
    let proxy = Proxy::to(master.addr());
    // The handshake, the transfer and the stream are all cut somewhere.
    let lengths = [3u64, 20, 60, 200, 400, 700, 1500, 3000, 5000, 9000, 20_000];
    proxy.limit(lengths[0]);
    assert_eq!(
        r.call(&["REPLICAOF", "127.0.0.1", &proxy.port().to_string()])
            .text(),
        "OK"
    );
    for (round, length) in lengths.into_iter().enumerate() {
        proxy.limit(length);
        proxy.cut();
        write(&mut m, 100 + round);
        std::thread::sleep(Duration::from_millis(700));
    }
    proxy.limit(0);
    proxy.cut();
    until("the link is up", || {
        info(&mut r, "master_link_status") == "up"
    });
    until_same(&mut m, &mut r);
}

#[test]
fn a_promoted_replica_is_followed_by_the_others_without_a_copy() {
    let (a, b, c) = (server(&[]), server(&[]), server(&[]));
    let (mut ca, mut cb, mut cc) = (a.connect(), b.connect(), c.connect());
    (0..20).for_each(|round| write(&mut ca, round));
    follow(&mut cb, a.port());
    follow(&mut cc, b.port());
    (20..40).for_each(|round| write(&mut ca, round));
    // What expires at the former master after the switch would be a history of its own.
    std::thread::sleep(Duration::from_millis(150));
    until_same(&mut ca, &mut cb);
    until_same(&mut ca, &mut cc);
    // b becomes the master; the former one follows it, and c stays where it is.
    assert_eq!(cb.line("REPLICAOF NO ONE").text(), "OK");
    follow(&mut ca, b.port());
    (40..60).for_each(|round| write(&mut cb, round));
    until("c is linked again", || {
        info(&mut cc, "master_link_status") == "up"
    });
    until_same(&mut cb, &mut ca);
    until_same(&mut cb, &mut cc);
    assert_eq!(info(&mut cb, "sync_full"), "1", "only the first of c");
    assert_eq!(
        info(&mut ca, "master_replid"),
        info(&mut cb, "master_replid")
    );
}

#[test]
fn failover_hands_over_what_was_acknowledged() {
    let (a, b) = (server(&[]), server(&[]));
    let (mut ca, mut cb) = (a.connect(), b.connect());
    (0..20).for_each(|round| write(&mut ca, round));
    follow(&mut cb, a.port());
    assert_eq!(ca.line("FAILOVER TIMEOUT 10000").text(), "OK");
    until("b is the master", || info(&mut cb, "role") == "master");
    until("a follows", || info(&mut ca, "master_link_status") == "up");
    write(&mut cb, 21);
    until_same(&mut cb, &mut ca);
    assert_eq!(info(&mut ca, "master_failover_state"), "no-failover");
    assert_eq!(info(&mut cb, "sync_full"), "0");
}

#[test]
fn wait_counts_replicas_that_have_it() {
    let (master, replica) = (server(&[]), server(&[]));
    let (mut m, mut r) = (master.connect(), replica.connect());
    follow(&mut r, master.port());
    m.line("SET a 1");
    assert_eq!(m.line("WAIT 1 5000").int(), 1);
    let begin = Instant::now();
    assert_eq!(m.line("WAIT 2 100").int(), 1);
    assert!(begin.elapsed() >= Duration::from_millis(95));
    assert!(r.line("WAIT 1 1").is_error());
}

#[test]
fn who_wrote_to_a_server_with_a_file_is_answered_when_it_follows() {
    let (master, replica) = (server(&[]), server(&["--appendonly", "yes"]));
    let (mut m, mut r) = (master.connect(), replica.connect());
    until("it has loaded", || info(&mut r, "loading") == "0");
    (0..200).for_each(|round| write(&mut r, round));
    m.line("SET key:1 the-master's");
    let port = master.port().to_string();
    r.line(&format!("REPLICAOF 127.0.0.1 {port} ACCEPT-DATA-LOSS"));
    let mut other = replica.connect();
    until("the file has its new base", || {
        info(&mut other, "master_link_status") == "up"
            && info(&mut other, "aof_pending_rewrite") == "0"
    });
    // Its own writes stand at higher offsets than the master's stream has reached.
    assert_eq!(r.line("GET key:1").text(), "the-master's");
}

#[test]
fn an_empty_or_younger_master_of_another_history_is_refused() {
    let (old, empty) = (server(&[]), server(&[]));
    let (mut o, mut e) = (old.connect(), empty.connect());
    let keeper = server(&[]);
    follow(&mut keeper.connect(), old.port());
    (0..30).for_each(|round| write(&mut o, round));
    // Some of the keys live for some ms only.
    until("they are over", || {
        o.call(&["KEYS", "short:*"]).items().is_empty()
    });
    until_same(&mut o, &mut keeper.connect());
    let before = digest(&mut o);
    let port = empty.port().to_string();
    assert_eq!(o.call(&["REPLICAOF", "127.0.0.1", &port]).text(), "OK");
    until("the reason is told", || {
        info(&mut o, "master_refused_reason").contains("it is empty")
    });
    assert_eq!(digest(&mut o), before, "nothing was lost");
    e.line("SET a 1");
    until("the reason is told", || {
        info(&mut o, "master_refused_reason").contains("younger")
    });
    assert_eq!(digest(&mut o), before, "nothing was lost");
    assert!(old.log().contains("Full synchronization refused"));
    // The word of the operator overrides.
    let reply = o.call(&["REPLICAOF", "127.0.0.1", &port, "ACCEPT-DATA-LOSS"]);
    assert!(reply.text().starts_with("OK"), "{reply:?}");
    until("the link is up", || {
        info(&mut o, "master_link_status") == "up"
    });
    until_same(&mut e, &mut o);
}

#[test]
fn keys_that_are_over_are_hidden_until_the_master_deletes_them() {
    let (master, replica) = (server(&[]), server(&[]));
    let (mut m, mut r) = (master.connect(), replica.connect());
    follow(&mut r, master.port());
    m.line("DEBUG SET-ACTIVE-EXPIRE 0");
    m.line("SET a 1 PX 50");
    m.line("SET b 1");
    until_same(&mut m, &mut r);
    std::thread::sleep(Duration::from_millis(80));
    assert_eq!(r.line("EXISTS a").int(), 0);
    assert!(matches!(r.line("GET a"), Value::NullBulk));
    assert_eq!(r.line("DBSIZE").int(), 2, "the master has not said so yet");
    assert!(matches!(m.line("GET a"), Value::NullBulk));
    until("the deletion came", || r.line("DBSIZE").int() == 1);
}

#[test]
fn a_client_that_follows_may_say_nothing_else() {
    let master = server(&[]);
    let mut client = master.connect();
    assert_eq!(client.line("REPLCONF listening-port 1").text(), "OK");
    client.send(&["PSYNC", "?", "-1"]).expect("sent");
    std::thread::sleep(Duration::from_millis(300));
    client.send(&["SET", "a", "b"]).expect("sent");
    let mut other = master.connect();
    until("the link is closed", || {
        info(&mut other, "connected_slaves") == "0"
    });
    assert_eq!(master.connect().line("EXISTS a").int(), 0);
    assert!(
        master
            .log()
            .contains("Replica generated a reply to command 'set'")
    );
}

#[test]
fn redis_cli_takes_a_copy() {
    let master = server(&[]);
    let mut m = master.connect();
    (0..20).for_each(|round| write(&mut m, round));
    let file = master.dir().join("copy.rdb");
    let status = std::process::Command::new("redis-cli")
        .args(["-p", &master.port().to_string(), "--rdb"])
        .arg(&file)
        .output()
        .expect("redis-cli runs");
    assert!(status.status.success(), "{status:?}");
    let bytes = std::fs::read(&file).expect("the copy");
    assert!(bytes.starts_with(b"REDIS00"), "{:?}", &bytes[..9]);
    let dir = file
        .parent()
        .expect("a directory")
        .to_str()
        .expect("plain path");
    let copy = Server::with_options(&[
        "--dbfilename",
        "copy.rdb",
        "--dir",
        dir,
        "--enable-debug-command",
        "yes",
    ]);
    let mut c = copy.connect();
    m.line("DEBUG SLEEP 0.1");
    until("what expires is gone", || digest(&mut m) == digest(&mut c));
}

#[test]
fn other_servers_follow_and_are_followed() {
    for (name, binary) in peer::all() {
        // Their replica, with links that are cut.
        let ours = server(&[]);
        let theirs = Peer::start(&binary, &[]);
        let (mut o, mut t) = (ours.connect(), theirs.connect());
        (0..40).for_each(|round| write(&mut o, round));
        let proxy = Proxy::to(ours.addr());
        follow(&mut t, proxy.port());
        for round in 40..120 {
            write(&mut o, round);
            if round % 40 == 20 {
                proxy.cut();
            }
        }
        until(name, || info(&mut t, "master_link_status") == "up");
        until_same(&mut o, &mut t);
        assert_eq!(info(&mut o, "sync_full"), "1", "{name}");
        // Their master.
        let ours = server(&[]);
        let theirs = Peer::start(&binary, &[]);
        let (mut o, mut t) = (ours.connect(), theirs.connect());
        (0..40).for_each(|round| write(&mut t, round));
        let proxy = Proxy::to(theirs.addr());
        follow(&mut o, proxy.port());
        for round in 40..120 {
            write(&mut t, round);
            if round % 40 == 20 {
                proxy.cut();
            }
        }
        until(name, || info(&mut o, "master_link_status") == "up");
        until_same(&mut t, &mut o);
        // Fields that expire, in a whole copy.
        t.line("HSET fields a 1 b 2");
        if !t.line("HPEXPIRE fields 1000000 FIELDS 1 a").is_error() {
            let ours = server(&[]);
            let mut o = ours.connect();
            follow(&mut o, theirs.port());
            until(name, || info(&mut o, "master_link_status") == "up");
            let left = o.line("HPTTL fields FIELDS 2 a b");
            let Value::Array(left) = left else {
                panic!("{name}: {left:?}");
            };
            assert!(
                matches!(left[0], Value::Int(900_000..=1_000_000)),
                "{name}: {left:?}"
            );
            assert_eq!(left[1], Value::Int(-1), "{name}");
        }
        println!("{name}: both directions");
    }
}

/// Writes wait in the log for the append-only file when the first replica asks within the same turn: they are in its copy,
/// and not in its stream.
#[test]
fn a_stream_begins_behind_what_its_own_turn_has_written() {
    let master = server(&["--appendonly", "yes", "--repl-diskless-sync", "no"]);
    let mut other = master.connect();
    until("it has loaded", || info(&mut other, "loading") == "0");
    let mut stream = TcpStream::connect(master.addr()).expect("connect");
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    // One packet, so one turn.
    stream
        .write_all(b"SET in-the-copy 1\r\nPSYNC ? -1\r\n")
        .expect("sent");
    until("the replica is online", || {
        info(&mut other, "slave0").contains("state=online")
    });
    assert_eq!(other.line("SET in-the-stream 2").text(), "OK");
    let mut got = Vec::new();
    let mut part = [0; 4096];
    let end = b"in-the-stream\r\n$1\r\n2\r\n";
    while !got.ends_with(end) {
        let count = stream.read(&mut part).expect("more of the stream");
        assert!(count > 0, "{}", got.escape_ascii());
        got.extend_from_slice(&part[..count]);
    }
    let text = String::from_utf8_lossy(&got);
    let expected =
        "*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nSET\r\n$13\r\nin-the-stream\r\n$1\r\n2\r\n";
    assert!(text.ends_with(expected), "{}", got.escape_ascii());
    // Behind the copy there is nothing else, but PING.
    let stream = text.rsplit_once("*2\r\n$6\r\nSELECT").unwrap().0;
    assert!(
        !stream.contains("SET\r\n$11\r\nin-the-copy"),
        "{}",
        got.escape_ascii()
    );
}
