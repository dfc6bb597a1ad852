//! `FERRITE UNDO`: what comes back is in the append-only file and on replicas, whole or not at all, and what is written
//! behind it is not lost.

use std::time::{Duration, Instant};

use crate::machine::Machine;
use crate::support::peer::{self, Peer};
use crate::support::replicas::{digest, until};
use crate::support::{Client, Server, Value};

const OPTIONS: &[&str] = &[
    "--appendonly",
    "yes",
    "--appendfsync",
    "always",
    "--undo-window",
    "60",
    "--enable-debug-command",
    "yes",
    "--repl-diskless-sync-delay",
    "0",
];

fn fill(client: &mut Client) {
    for n in 0..50 {
        for line in [
            format!("SET key:{n} value{n} PXAT 9000000000000"),
            format!("SADD set member{n}"),
            format!("HSET hash field{n} {n}"),
            format!("XADD stream {}-1 n {n}", n + 1),
        ] {
            assert!(!client.line(&line).is_error(), "{line}");
        }
    }
    for line in [
        "HPEXPIREAT hash 9000000000000 FIELDS 1 field7",
        "XGROUP CREATE stream group 0",
        "SELECT 3",
        "RPUSH list a b c",
        "SELECT 0",
    ] {
        assert!(!client.line(line).is_error(), "{line}");
    }
}

#[test]
fn what_comes_back_is_on_replicas_and_in_the_file() {
    let mut master = Machine::new(OPTIONS);
    master.start();
    let mut client = master.connect();
    let ours = Server::with_options(&["--enable-debug-command", "yes"]);
    // This one knows nothing of expiries of fields.
    let theirs: Vec<Peer> = peer::all()
        .iter()
        .filter(|(name, _)| *name == "redis-server")
        .map(|(_, binary)| Peer::start(binary, &[]))
        .collect();
    fill(&mut client);
    if !theirs.is_empty() {
        client.line("HPERSIST hash FIELDS 1 field7");
    }
    let mut replicas: Vec<Client> = vec![ours.connect()];
    replicas.extend(theirs.iter().map(Peer::connect));
    let port = master.addr().port().to_string();
    for replica in &mut replicas {
        replica.call(&["REPLICAOF", "127.0.0.1", &port]);
    }
    let until_same = |what: &str, client: &mut Client, replicas: &mut [Client]| {
        let wanted = digest(client);
        for replica in replicas {
            until(what, || digest(replica) == wanted);
        }
    };
    until_same("the first copy", &mut client, &mut replicas);

    let before = digest(&mut client);
    assert_eq!(client.line("FLUSHALL").text(), "OK");
    client.line("SET since 1");
    until_same("the flush", &mut client, &mut replicas);
    assert!(
        client
            .line("FERRITE UNDO")
            .text()
            .starts_with("CONFLICT 1 keys")
    );
    assert_eq!(client.line("FERRITE UNDO KEEP").text(), "OK");
    // The reply says that it is on the disk.
    let whole = digest(&mut client);
    assert_eq!(client.line("GET since").text(), "1");
    client.line("DEL since");
    assert_eq!(digest(&mut client), before);
    client.line("SET since 1");
    until_same("the undo", &mut client, &mut replicas);
    assert!(
        replicas[0]
            .line("FERRITE UNDO")
            .text()
            .starts_with("READONLY")
    );
    client.line("SWAPDB 0 3");
    until_same("the swap", &mut client, &mut replicas);
    assert_eq!(client.line("FERRITE UNDO").text(), "OK");
    until_same("the swap back", &mut client, &mut replicas);
    assert_eq!(digest(&mut client), whole);
    assert_eq!(client.line("INCR counter"), Value::Int(1));
    until_same("later writes", &mut client, &mut replicas);
    let last = digest(&mut client);
    master.kill();
    master.start();
    assert_eq!(master.digest(), last);
}

#[test]
fn a_crash_leaves_all_of_it_or_nothing() {
    let points = [
        ("aof.rewrite-begin", false),
        ("aof.rewrite-snapshot", false),
        ("aof.rewrite-base", false),
        ("aof.base-rename", false),
        ("aof.seal", false),
        ("aof.manifest", false),
        ("aof.manifest-done", true),
    ];
    for (point, all) in points {
        let mut machine = Machine::new(OPTIONS);
        machine.start();
        fill(&mut machine.connect());
        let before = machine.digest();
        machine.kill();
        machine.failpoints = format!("{point}=abort");
        machine.start();
        let mut client = machine.connect();
        client.line("FLUSHALL");
        let flushed = machine.digest();
        client.send(&["FERRITE", "UNDO"]).expect("it is sent");
        assert!(client.read().is_err(), "{point}: the server lives");
        machine.kill();
        machine.failpoints.clear();
        machine.start();
        let wanted = if all { before } else { flushed };
        assert_eq!(machine.digest(), wanted, "{point}");
    }
}

#[test]
fn writes_wait_for_the_new_base() {
    let mut machine = Machine::new(OPTIONS);
    machine.start();
    fill(&mut machine.connect());
    machine.kill();
    machine.failpoints = "aof.rewrite-base=delay:1500".into();
    machine.start();
    let (mut one, mut other) = (machine.connect(), machine.connect());
    one.line("FLUSHALL");
    one.send(&["FERRITE", "UNDO"]).expect("it is sent");
    until("the data is back", || {
        machine.call("GET key:1").text() == "value1"
    });
    let begin = Instant::now();
    machine.call("CLIENT UNPAUSE");
    assert_eq!(other.line("APPEND key:1 +").text(), "7");
    assert!(begin.elapsed() > Duration::from_millis(300));
    assert_eq!(one.read().expect("a reply").text(), "OK");
    machine.kill();
    machine.failpoints.clear();
    machine.start();
    assert_eq!(machine.call("GET key:1").text(), "value1+");
    assert_eq!(machine.call("SCARD set"), Value::Int(50));
}

#[test]
fn without_a_new_base_writes_are_refused() {
    let mut machine = Machine::new(OPTIONS);
    machine.start();
    fill(&mut machine.connect());
    machine.kill();
    machine.failpoints = "aof.rewrite-base=enospc@1x2".into();
    machine.start();
    let mut client = machine.connect();
    let before = digest(&mut client);
    client.line("FLUSHALL");
    let reply = client.line("FERRITE UNDO").text();
    assert!(
        reply.starts_with("ERR The data is back in memory, but"),
        "{reply}"
    );
    assert_eq!(digest(&mut client), before);
    assert!(client.line("DEL key:1").text().starts_with("MISCONF"));
    until("the disk has room again", || {
        client.line("SET after 1").text() == "OK"
    });
    machine.kill();
    machine.failpoints.clear();
    machine.start();
    assert_eq!(machine.call("GET after").text(), "1");
    assert_eq!(machine.call("GET key:1").text(), "value1");
}

#[test]
fn what_was_flushed_goes_first_when_memory_is_short() {
    let server = Server::with_options(&[
        "--undo-window",
        "600",
        "--maxmemory",
        "64mb",
        "--maxmemory-policy",
        "allkeys-lru",
        "--enable-debug-command",
        "yes",
    ]);
    let mut client = server.connect();
    client.line("DEBUG POPULATE 100000 old 300");
    client.line("FLUSHALL");
    client.line("DEBUG POPULATE 20000 new 300");
    let info = client.line("INFO memory").text();
    let kept: usize = info
        .lines()
        .find_map(|line| line.strip_prefix("mem_undo:"))
        .and_then(|text| text.trim().parse().ok())
        .expect("a number");
    // 300 bytes of value and some of key and table.
    assert!((33_000_000..50_000_000).contains(&kept), "{kept}");
    client.line("DEBUG POPULATE 100000 more 300");
    until("it is gone", || {
        client.line("SET one more");
        client.line("FERRITE UNDOLIST") == Value::Array(Vec::new())
    });
    assert_eq!(client.line("EXISTS new:1 new:19999"), Value::Int(2));
    let evicted = client.line("INFO stats").text();
    assert!(evicted.contains("evicted_keys:0\r\n"), "{evicted}");
}
