//! What goes wrong between masters and replicas: links that break all the time, processes that are killed and come back,
//! masters that send nonsense, readers that are too slow.

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use support::proxy::Proxy;
use support::replicas::{follow, info, server, until, until_same};
use support::{Client, Server, TempDir};

/// One of the writers of the storm, until it is told to stop.
fn write_until(stop: &AtomicBool, mut client: Client, kind: usize) {
    let mut round = 0;
    while !stop.load(Ordering::Relaxed) {
        round += 1;
        let lines = match kind {
            0 => vec![
                "MULTI".to_string(),
                format!("SET tx:{} {round}", round % 20),
                "INCR tx:count".into(),
                "SELECT 2".into(),
                format!("RPUSH other {round}"),
                "LTRIM other -50 -1".into(),
                "SELECT 0".into(),
                "EXEC".into(),
            ],
            1 => vec![
                format!(
                    "EVAL \"redis.call('incr','script:count'); redis.call('hset','script:hash',ARGV[1],ARGV[1]); return redis.call('spop','script:set')\" 0 {}",
                    round % 30
                ),
                format!("SADD script:set {} {}", round % 9, round % 7),
            ],
            2 => vec![format!("RPUSH queue job{round}")],
            _ => vec![
                format!("SET short:{} x PX {}", round % 200, 5 + round % 60),
                format!("HSET fields f{} v", round % 10),
                format!("HPEXPIRE fields 30 FIELDS 1 f{}", round % 10),
            ],
        };
        for line in lines {
            let reply = client.line(&line);
            assert!(!reply.is_error(), "{line}: {reply:?}");
        }
        std::thread::sleep(Duration::from_micros(300));
    }
}

#[test]
fn a_storm_of_cut_links_ends_with_the_same_data() {
    let master = server(&["--repl-backlog-size", "64mb"]);
    let replica = server(&[]);
    let (mut m, mut r) = (master.connect(), replica.connect());
    let proxy = Proxy::to(master.addr());
    follow(&mut r, proxy.port());
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for kind in 0..4 {
            let client = master.connect();
            let stop = &stop;
            scope.spawn(move || write_until(stop, client, kind));
        }
        for _ in 0..2 {
            let mut client = master.connect();
            let stop = &stop;
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    client.line("BLMOVE queue done LEFT RIGHT 0.2");
                    client.line("BLPOP done 0.01");
                }
            });
        }
        for cut in 0..200u64 {
            until("the link is up", || {
                info(&mut r, "master_link_status") == "up"
            });
            std::thread::sleep(Duration::from_millis(cut % 17));
            // A limit cuts the next link at a byte that nobody chose, in the handshake or in the stream.
            let limited = cut % 25 == 0;
            proxy.limit(if limited { 20 + cut * 37 % 3000 } else { 0 });
            proxy.cut();
            if limited {
                std::thread::sleep(Duration::from_millis(100));
                proxy.limit(0);
            }
        }
        proxy.limit(0);
        proxy.cut();
        stop.store(true, Ordering::Relaxed);
    });
    until("the link is up", || {
        info(&mut r, "master_link_status") == "up"
    });
    m.line("CONFIG SET repl-ping-replica-period 3600");
    // What is to expire has expired.
    std::thread::sleep(Duration::from_millis(300));
    until_same(&mut m, &mut r);
    assert_eq!(
        info(&mut m, "sync_full"),
        "1",
        "everything else was within the backlog"
    );
    let partial: u64 = info(&mut m, "sync_partial_ok").parse().expect("a number");
    assert!(partial > 100, "{partial}");
}

/// The options of a replica that lives in `dir`.
fn aof_replica(dir: &TempDir, port: &str) -> Server {
    let dir = dir.path().to_str().expect("plain path");
    server(&[
        "--dir",
        dir,
        "--appendonly",
        "yes",
        "--appendfsync",
        "always",
        "--replicaof",
        "127.0.0.1",
        port,
    ])
}

#[test]
fn a_killed_replica_goes_on_from_its_append_only_file() {
    let master = server(&[]);
    let mut m = master.connect();
    m.line("CONFIG SET repl-ping-replica-period 3600");
    m.line("SET before 1");
    let dir = TempDir::new();
    let port = master.port().to_string();
    let replica = aof_replica(&dir, &port);
    let mut r = replica.connect();
    until("the link is up", || {
        info(&mut r, "master_link_status") == "up"
    });
    until("the file has its base", || {
        info(&mut r, "aof_rewrite_in_progress") == "0" && info(&mut r, "aof_enabled") == "1"
    });
    // The stream stands in another database, and does not say so again.
    m.line("SELECT 5");
    m.line("SET in5 1");
    until_same(&mut m, &mut r);
    for round in 0..3 {
        if round == 1 {
            assert!(!r.line("BGREWRITEAOF").is_error());
            until("it is rewritten", || {
                info(&mut r, "aof_rewrite_in_progress") == "0"
            });
        }
        m.line(&format!("SET round{round} {round}"));
        m.line("RPUSH list a b c");
        assert_eq!(m.line("WAITAOF 0 1 10000").items()[1].int(), 1);
    }
    // It is killed, and misses something.
    drop(replica);
    m.line("INCR after");
    let replica = aof_replica(&dir, &port);
    let mut r = replica.connect();
    until("the link is up again", || {
        info(&mut r, "master_link_status") == "up"
    });
    m.line("SET last 1");
    until_same(&mut m, &mut r);
    assert_eq!(info(&mut m, "sync_full"), "1", "{}", replica.log());
    assert!(
        info(&mut m, "sync_partial_ok")
            .parse::<u64>()
            .expect("a number")
            >= 1
    );
    assert_eq!(r.line("EXISTS in5").int(), 0);
    r.line("SELECT 5");
    assert_eq!(r.line("EXISTS in5 round0 round1 round2 list last").int(), 6);
}

#[test]
fn replicas_tell_how_far_their_files_are() {
    let master = server(&["--appendonly", "yes"]);
    let replica = server(&["--appendonly", "yes", "--appendfsync", "everysec"]);
    let plain = server(&[]);
    let (mut m, mut r, mut p) = (master.connect(), replica.connect(), plain.connect());
    follow(&mut r, master.port());
    follow(&mut p, master.port());
    until("the file is there", || {
        info(&mut r, "aof_rewrite_in_progress") == "0"
    });
    m.line("SET a 1");
    let reply = m.line("WAITAOF 1 1 10000");
    assert_eq!((reply.items()[0].int(), reply.items()[1].int()), (1, 1));
    m.line("SET a 2");
    assert_eq!(
        m.line("WAITAOF 0 2 1500").items()[1].int(),
        1,
        "one writes no file"
    );
}

#[test]
fn a_transfer_that_nobody_waits_for_ends() {
    let master = server(&["--rdb-key-save-delay", "1000000"]);
    let (mut m, replica) = (master.connect(), server(&[]));
    m.line("DEBUG POPULATE 1000");
    let mut r = replica.connect();
    for diskless in ["yes", "no"] {
        m.line(&format!("CONFIG SET repl-diskless-sync {diskless}"));
        r.call(&["REPLICAOF", "127.0.0.1", &master.port().to_string()]);
        until("it has begun", || {
            info(&mut m, "rdb_bgsave_in_progress") == "1"
        });
        assert!(info(&mut m, "slave0").contains("state=wait_bgsave"));
        until("it waits", || r.line("ROLE").items()[3].text() == "sync");
        r.line("REPLICAOF NO ONE");
        until("it has ended", || {
            info(&mut m, "rdb_bgsave_in_progress") == "0"
        });
    }
}

#[test]
fn what_waits_for_a_replica_in_transfer_counts_towards_its_limit() {
    let master = server(&[
        "--rdb-key-save-delay",
        "1000000",
        "--repl-backlog-size",
        "16384",
    ]);
    let (mut m, replica) = (master.connect(), server(&[]));
    m.line("DEBUG POPULATE 1000");
    m.line("CONFIG SET client-output-buffer-limit 'replica 1mb 0 0'");
    let mut r = replica.connect();
    r.call(&["REPLICAOF", "127.0.0.1", &master.port().to_string()]);
    until("it has begun", || {
        info(&mut m, "rdb_bgsave_in_progress") == "1"
    });
    let value = "x".repeat(100_000);
    let mut written = 0;
    until("the replica is given up", || {
        m.call(&["SET", "big", &value]);
        written += 1;
        info(&mut m, "client_output_buffer_limit_disconnections") != "0"
    });
    assert!((9..40).contains(&written), "{written}");
}

/// A master that answers a handshake, sends `data` as a transfer and `stream` behind it.
fn false_master(data: Vec<u8>, stream: Vec<u8>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            serve(socket, &data, &stream);
        }
    });
    port
}

fn serve(mut socket: TcpStream, data: &[u8], stream: &[u8]) {
    let mut buf = [0; 4096];
    loop {
        let n = socket.read(&mut buf).unwrap_or(0);
        if n == 0 {
            return;
        }
        let text = String::from_utf8_lossy(&buf[..n]).to_uppercase();
        let reply: Vec<u8> = match () {
            () if text.contains("\nPSYNC\r") => {
                let id = "f".repeat(40);
                let head = format!("+FULLRESYNC {id} 1000\r\n${}\r\n", data.len());
                [head.as_bytes(), data, stream].concat()
            }
            () if text.contains("PING") => b"+PONG\r\n".to_vec(),
            () if text.contains("\nACK") => continue,
            () if text.contains("INFO") => b"$0\r\n\r\n".to_vec(),
            () => b"+OK\r\n".to_vec(),
        };
        if socket.write_all(&reply).is_err() {
            return;
        }
    }
}

#[test]
fn nonsense_ends_the_link_and_applies_nothing_by_halves() {
    let source = server(&[]);
    source.connect().line("SET from master");
    source.connect().line("SAVE");
    let good = std::fs::read(source.dir().join("dump.rdb")).expect("a file");
    let mut flipped = good.clone();
    let middle = flipped.len() - 12;
    flipped[middle] ^= 1;
    let begin = b"*1\r\n$5\r\nMULTI\r\n*3\r\n$3\r\nSET\r\n$4\r\nhalf\r\n$1\r\n1\r\n".to_vec();
    let cases: Vec<(&str, Vec<u8>, Vec<u8>, &str)> = vec![
        (
            "a flipped bit",
            flipped,
            Vec::new(),
            "Internal error in RDB",
        ),
        (
            "a short file",
            good[..good.len() / 2].to_vec(),
            Vec::new(),
            "Internal error in RDB",
        ),
        (
            "no file at all",
            b"nonsense".to_vec(),
            Vec::new(),
            "Internal error in RDB",
        ),
        (
            "a length without end",
            good.clone(),
            [&begin[..], b"*99999999999999999999\r\n"].concat(),
            "stream is damaged",
        ),
        (
            "a negative length",
            good.clone(),
            [&begin[..], b"*2\r\n$-5\r\n"].concat(),
            "stream is damaged",
        ),
        (
            "no command",
            good.clone(),
            [&begin[..], b"hello\r\n"].concat(),
            "stream is damaged",
        ),
        (
            "an unknown command",
            good,
            b"*1\r\n$7\r\nNOTHING\r\n".to_vec(),
            "failed here",
        ),
    ];
    for (what, data, stream, word) in cases {
        let replica = server(&["--replica-accept-data-loss", "yes"]);
        let mut r = replica.connect();
        let whole = !stream.is_empty();
        r.line("SET mine 1");
        let port = false_master(data, stream);
        r.call(&["REPLICAOF", "127.0.0.1", &port.to_string()]);
        let begin = Instant::now();
        while !replica.log().contains(word) {
            let late = begin.elapsed() > Duration::from_secs(10);
            assert!(!late, "{what}: {}", replica.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(r.line("EXISTS half").int(), 0, "{what}");
        assert_eq!(r.line("EXISTS mine").int(), i64::from(!whole), "{what}");
        assert_eq!(r.line("EXISTS from").int(), i64::from(whole), "{what}");
        assert_eq!(r.line("PING").text(), "PONG", "{what}");
    }
}
