//! Under writes, append-only files go on and off and are rewritten, links are cut, settings change and masters hand over. At
//! the end all servers have the same data, and so have their files, and nothing that was acknowledged is missing.

mod support;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use ferrite::base::rng::Rng;
use support::replicas::{digest, follow, info, server, until, until_same};
use support::resp::encode;
use support::{Client, Server, Value};

const STEPS: usize = 60;
const WRITERS: usize = 4;

struct Group {
    servers: Vec<Server>,
    /// Where the writers write.
    master: AtomicUsize,
    handovers: AtomicUsize,
    stop: AtomicBool,
}

/// Ends the writers, also when something else fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Some commands, each of which leaves something that a second run of it would change.
fn some_commands(rng: &mut Rng) -> Vec<String> {
    let key = rng.below(100);
    match rng.below(9) {
        0 => vec![format!("APPEND text:{key} x")],
        1 => vec![format!("INCR count:{key}")],
        2 => vec![
            format!("RPUSH list:{key} {}", rng.below(1000)),
            format!("LTRIM list:{key} -50 -1"),
        ],
        3 => vec![
            format!("SADD set:{key} {}", rng.below(1000)),
            format!("SPOP set:{}", rng.below(100)),
        ],
        4 => vec![format!("ZINCRBY scores:{key} 1.5 m{}", rng.below(50))],
        5 => vec![
            "MULTI".into(),
            format!("HINCRBY hash:{key} f{} 1", rng.below(50)),
            format!("XADD stream:{key} MAXLEN 20 * field value"),
            "EXEC".into(),
        ],
        6 => vec![format!(
            "EVAL \"redis.call('incr', KEYS[1]); return redis.call('rpush', KEYS[2], ARGV[1])\" 2 count:{key} list:{key} script"
        )],
        7 => vec![
            "SELECT 1".into(),
            format!("APPEND other:{key} {}", "y".repeat(rng.below(300) as usize)),
            "SELECT 0".into(),
        ],
        _ => vec![
            format!("SET short:{key} x PX {}", 1 + rng.below(60)),
            format!("DEL text:{}", rng.below(100)),
        ],
    }
}

/// Writes until it is told to stop; the numbers that were acknowledged.
fn write(group: &Group, writer: usize) -> Vec<u64> {
    let mut rng = Rng::new(writer as u64);
    let (mut acknowledged, mut next) = (Vec::new(), 0);
    while !group.stop.load(Ordering::Relaxed) {
        let at = group.master.load(Ordering::Relaxed);
        let mut client = group.servers[at].connect();
        while !group.stop.load(Ordering::Relaxed)
            && at == group.master.load(Ordering::Relaxed)
            && write_batch(&mut client, &mut rng, writer, next, &mut acknowledged).is_some()
        {
            next += 1;
        }
        // Whether that one was written is unknown.
        next += 1;
        std::thread::sleep(Duration::from_millis(5));
    }
    acknowledged
}

/// `None` if something failed: the server is not the master, or the connection ended.
fn write_batch(
    client: &mut Client,
    rng: &mut Rng,
    writer: usize,
    next: u64,
    acknowledged: &mut Vec<u64>,
) -> Option<()> {
    let mut lines = vec![format!("SADD ledger:{writer} {next}")];
    for _ in 0..rng.below(12) {
        lines.extend(some_commands(rng));
    }
    let words = |line: &String| support::words::split(line).expect("balanced quotes");
    let bytes: Vec<u8> = lines.iter().flat_map(|line| encode(&words(line))).collect();
    client.send_raw(&bytes).ok()?;
    for at in 0..lines.len() {
        let reply = client.read().ok()?;
        if reply.is_error() {
            return None;
        }
        if at == 0 {
            assert_eq!(reply, Value::Int(1));
            acknowledged.push(next);
        }
    }
    Some(())
}

/// Changes something at one of the servers.
fn disturb(group: &Group, clients: &mut [Client], rng: &mut Rng) {
    let at = rng.below(clients.len() as u64) as usize;
    let client = &mut clients[at];
    let on = ["yes", "no"][rng.below(2) as usize];
    match rng.below(10) {
        0..3 => drop(client.call(&["CONFIG", "SET", "appendonly", on])),
        3 => {
            client.line("MULTI");
            client.call(&["CONFIG", "SET", "appendonly", on]);
            client.line("EXEC");
        }
        4 => drop(client.line("BGREWRITEAOF")),
        5 => drop(client.line("BGSAVE")),
        6 => drop(client.line(&format!(
            "CLIENT KILL TYPE {}",
            ["master", "replica"][at % 2]
        ))),
        7 => {
            let size = ["16kb", "64kb", "1mb"][rng.below(3) as usize];
            client.call(&["CONFIG", "SET", "repl-backlog-size", size]);
            client.call(&["CONFIG", "SET", "repl-diskless-sync", on]);
        }
        8 => {
            let policy = ["always", "everysec", "no"][rng.below(3) as usize];
            client.call(&["CONFIG", "SET", "appendfsync", policy]);
        }
        _ => hand_over(group, clients, at),
    }
}

/// The master hands over to another, if that is in sync in time; all follow who is the master then.
fn hand_over(group: &Group, clients: &mut [Client], which: usize) {
    let old = group.master.load(Ordering::Relaxed);
    let to = (old + 1 + which % 2) % clients.len();
    let port = group.servers[to].port().to_string();
    let request = ["FAILOVER", "TO", "127.0.0.1", &port, "TIMEOUT", "3000"];
    if clients[old].call(&request).is_error() {
        return;
    }
    until("the end of the failover", || {
        info(&mut clients[old], "master_failover_state") == "no-failover"
    });
    if info(&mut clients[old], "role") == "master" {
        return;
    }
    until("the new master", || {
        info(&mut clients[to], "role") == "master"
    });
    group.master.store(to, Ordering::Relaxed);
    group.handovers.fetch_add(1, Ordering::Relaxed);
    for (at, client) in clients.iter_mut().enumerate() {
        if at != to {
            let reply = client.call(&["REPLICAOF", "127.0.0.1", &port]);
            // The old master may be "already connected".
            assert!(reply.text().starts_with("OK"), "{reply:?}");
        }
    }
}

/// What the file holds is what the server has.
fn assert_file(client: &mut Client) {
    assert_eq!(client.line("CONFIG SET appendonly yes").text(), "OK");
    until("the file is there", || {
        info(client, "aof_rewrite_in_progress") == "0"
            && info(client, "aof_rewrite_scheduled") == "0"
    });
    let before = digest(client);
    assert_eq!(client.line("DEBUG LOADAOF").text(), "OK");
    assert_eq!(digest(client), before, "the file holds something else");
}

fn turmoil(seed: u64, threads: &str) {
    let options = [
        "--appendonly",
        "yes",
        "--io-threads",
        threads,
        "--repl-ping-replica-period",
        "3600",
    ];
    let group = Group {
        servers: (0..3).map(|_| server(&options)).collect(),
        master: AtomicUsize::new(0),
        handovers: AtomicUsize::new(0),
        stop: AtomicBool::new(false),
    };
    let mut clients: Vec<Client> = group.servers.iter().map(Server::connect).collect();
    let mut rng = Rng::new(seed);
    let ledgers: Vec<Vec<u64>> = std::thread::scope(|scope| {
        let group = &group;
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| scope.spawn(move || write(group, writer)))
            .collect();
        let stop = Stop(&group.stop);
        // Not before something is written: the stream begins in the middle of it.
        for replica in &mut clients[1..] {
            follow(replica, group.servers[0].port());
        }
        for _ in 0..STEPS {
            std::thread::sleep(Duration::from_millis(rng.below(150)));
            disturb(group, &mut clients, &mut rng);
        }
        drop(stop);
        writers
            .into_iter()
            .map(|w| w.join().expect("a writer"))
            .collect()
    });
    let handovers = group.handovers.into_inner();
    println!("{handovers} handovers");
    assert!(handovers > 0);
    // What is to expire has expired.
    std::thread::sleep(Duration::from_millis(300));
    let mut master = clients.remove(group.master.load(Ordering::Relaxed));
    for replica in &mut clients {
        until_same(&mut master, replica);
    }
    for server in &group.servers {
        let log = server.log();
        assert!(!log.contains("stream is damaged"), "{log}");
    }
    clients.push(master);
    for client in &mut clients {
        assert_file(client);
        for (writer, ledger) in ledgers.iter().enumerate() {
            assert!(!ledger.is_empty(), "writer {writer} wrote nothing");
            let key = format!("ledger:{writer}");
            let members = ledger.iter().map(u64::to_string);
            let request: Vec<String> = ["SMISMEMBER".to_string(), key]
                .into_iter()
                .chain(members)
                .collect();
            let found = client.call(&request);
            let missing = found.items().iter().position(|one| *one != Value::Int(1));
            assert_eq!(
                missing.map(|at| ledger[at]),
                None,
                "acknowledged by writer {writer}"
            );
        }
    }
}

#[test]
fn nothing_is_lost_or_done_twice() {
    turmoil(1, "1");
}

#[test]
fn nothing_is_lost_or_done_twice_with_threads() {
    turmoil(2, "4");
}
