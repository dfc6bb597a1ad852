//! Expiry and eviction in process, through commands.

use crate::command::testing::Bench;
use crate::keyspace::cycle::Slice;
use crate::keyspace::effect::Class;
use crate::keyspace::evict::{Policy, Pool};

fn slice(bench: &mut Bench) -> Slice {
    bench.server.ks.expire_slice(&mut || false)
}

fn hints(bench: &Bench) -> usize {
    bench.server.ks.dbs[0].expiry.len()
}

#[test]
fn every_access_finds_an_expired_key_gone() {
    for line in [
        "GET k",
        "EXISTS k",
        "TYPE k",
        "TTL k",
        "DEL k",
        "PERSIST k",
        "EXPIRE k 10",
        "INCR k",
        "APPEND k x",
    ] {
        let mut bench = Bench::new();
        bench.server.ks.log.attach(crate::log::Consumer::File);
        bench.say("SET k 5 PX 100");
        bench.pass_ms(50);
        assert_eq!(bench.say("GET k"), "$1 5");
        bench.pass_ms(60);
        bench.server.ks.log.take();
        let reply = bench.say(line);
        assert!(
            ["$-1", ":0", ":-2", "+none", ":1"].contains(&reply.as_str()),
            "{line}: {reply}"
        );
        assert_eq!(bench.server.ks.stats.expired, 1, "{line}");
        let log = bench.server.ks.log.take().bytes;
        let log = String::from_utf8_lossy(&log).into_owned();
        let log = log.trim_start_matches("*1\r\n$5\r\nMULTI\r\n");
        assert!(log.starts_with("*2\r\n$3\r\nDEL\r\n$1\r\nk\r\n"), "{line}");
        assert_eq!(bench.server.ks.dbs[0].volatile, 0, "{line}");
    }
}

#[test]
fn the_cycle_deletes_in_every_database_and_only_what_is_over() {
    let mut bench = Bench::new();
    for db in 0..3 {
        bench.say(&format!("SELECT {db}"));
        for n in 0..200 {
            bench.say(&format!("SET k{n} v PX {}", 1000 + n * 10));
        }
        bench.say("SET stays v");
    }
    assert_eq!(slice(&mut bench), Slice::Done);
    assert_eq!(bench.server.ks.len(), 603);
    bench.pass_ms(2020);
    assert_eq!(slice(&mut bench), Slice::Done);
    let left = bench.server.ks.dbs[0].table.len();
    assert!((95..=101).contains(&left), "{left}");
    bench.pass_ms(2000);
    assert_eq!(slice(&mut bench), Slice::Done);
    assert_eq!(bench.server.ks.len(), 3);
    assert_eq!(bench.server.ks.stats.expired, 600);
    assert!(
        bench
            .server
            .ks
            .dbs
            .iter()
            .all(|db| db.expiry.is_empty() && db.volatile == 0)
    );
    assert_eq!(bench.server.ks.next_expiry(), None);
}

#[test]
fn a_slice_ends_in_time_and_no_database_waits_for_another() {
    let mut bench = Bench::new();
    for n in 0..500 {
        bench.say(&format!("SET k{n} v PX 100"));
    }
    bench.say("SELECT 1");
    bench.say("SET k v PX 100");
    bench.pass_ms(200);
    assert_eq!(bench.server.ks.expire_slice(&mut || true), Slice::More);
    assert!(bench.server.ks.dbs[0].table.len() >= 484);
    assert_eq!(bench.server.ks.expire_slice(&mut || true), Slice::More);
    assert!(bench.server.ks.dbs[1].table.is_empty());
    assert!(
        bench
            .server
            .ks
            .next_expiry()
            .is_some_and(|at| at <= bench.server.ks.now_ms)
    );
}

#[test]
fn moved_deadlines_are_kept() {
    let mut bench = Bench::new();
    bench.say("SET later v PX 1000");
    bench.say("PEXPIRE later 10000");
    bench.say("SET earlier v PX 10000");
    bench.say("PEXPIRE earlier 1000");
    bench.say("SET never v PX 1000");
    bench.say("PERSIST never");
    bench.say("SET again v PX 1000");
    bench.say("SET again v");
    bench.say("PEXPIRE again 2000");
    bench.say("SET renamed0 v PX 1000");
    bench.say("RENAME renamed0 renamed");
    bench.say("SET moved v PX 1000");
    bench.say("MOVE moved 5");
    bench.say("COPY later copied");
    let exist = |bench: &mut Bench| {
        slice(bench);
        let keys = ["later", "earlier", "never", "again", "renamed", "copied"];
        let there = |k: &&&str| bench.server.ks.at(0).peek(k.as_bytes()).is_some();
        keys.iter()
            .filter(there)
            .copied()
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(
        exist(&mut bench),
        "later earlier never again renamed copied"
    );
    bench.pass_ms(1020);
    assert_eq!(exist(&mut bench), "later never again copied");
    assert!(bench.server.ks.dbs[5].table.is_empty());
    bench.pass_ms(1000);
    assert_eq!(exist(&mut bench), "later never copied");
    bench.pass_ms(8100);
    assert_eq!(exist(&mut bench), "never");
    assert_eq!(hints(&bench), 0);
}

#[test]
fn expiry_is_announced() {
    let mut bench = Bench::new();
    bench.server.ks.effects.wanted = Class::all();
    bench.say("SET k v PX 10");
    bench.pass_ms(50);
    bench.server.ks.effects.events.clear();
    slice(&mut bench);
    let events: Vec<_> = bench
        .server
        .ks
        .effects
        .events
        .iter()
        .map(|e| (e.name, &e.key[..]))
        .collect();
    assert_eq!(events, [("expired", &b"k"[..])]);
}

#[test]
fn far_deadlines_are_met_to_the_bucket() {
    let mut bench = Bench::new();
    for (n, seconds) in [3, 60, 3600, 86_400, 864_000].into_iter().enumerate() {
        bench.say(&format!("SET k{n} v EX {seconds}"));
    }
    let begin = bench.server.ks.now_ms;
    let mut gone = Vec::new();
    while let Some(due) = bench.server.ks.next_expiry() {
        let wait = due - bench.server.ks.now_ms;
        bench.pass_ms(wait.max(1));
        let before = bench.server.ks.len();
        slice(&mut bench);
        if bench.server.ks.len() < before {
            gone.push((bench.server.ks.now_ms - begin) / 1000);
        }
    }
    assert_eq!(gone, [3, 60, 3600, 86_400, 864_000]);
}

#[test]
fn hints_do_not_pile_up() {
    let mut bench = Bench::new();
    for n in 0..20_000 {
        bench.say("SET lock v EX 3600");
        bench.say("DEL lock");
        bench.say(&format!("SET a v EX {}", 100_000 - n));
        bench.say("PERSIST b");
        bench.say("SET b v");
        bench.say("EXPIRE b 100");
    }
    assert!(hints(&bench) < 4000, "{}", hints(&bench));
    bench.pass_ms(101_000);
    slice(&mut bench);
    assert_eq!(bench.say("EXISTS a b lock"), ":1");
    bench.pass_ms(90_000_000);
    slice(&mut bench);
    assert_eq!(bench.server.ks.len(), 0);
}

#[test]
fn sweeping_leaves_what_is_needed() {
    let mut bench = Bench::new();
    for n in 0..3000 {
        bench.say(&format!("SET k{n} v EX {}", 10 + n));
    }
    for n in 0..30_000 {
        bench.say(&format!("SET t{n} v EX 5000"));
        bench.say(&format!("DEL t{n}"));
    }
    assert!(hints(&bench) < 12_000, "{}", hints(&bench));
    for _ in 0..1000 {
        bench.server.ks.sweep_hints(0);
    }
    for _ in 0..400 {
        bench.pass_ms(10_000);
        while slice(&mut bench) == Slice::More {}
    }
    assert_eq!(bench.server.ks.len(), 0);
    assert_eq!(bench.server.ks.stats.expired, 3000);
}

fn evict(bench: &mut Bench, policy: Policy, keys: usize) {
    bench.server.ks.access.policy = policy;
    let mut pool = Pool::default();
    for _ in 0..keys {
        assert!(bench.server.ks.evict_one(&mut pool), "{policy:?}");
    }
}

/// 100 keys, `old` ones set 1000 s before the others; every other one volatile.
fn mixed() -> Bench {
    let mut bench = Bench::new();
    for n in 0..100 {
        if n == 50 {
            bench.pass_ms(1_000_000);
        }
        let age = if n < 50 { "old" } else { "new" };
        bench.say(&format!("SET {age}:{n} v"));
        if n % 2 == 0 {
            bench.say(&format!("EXPIRE {age}:{n} {}", 100_000 - n));
        }
    }
    bench
}

fn left(bench: &Bench, prefix: &[u8]) -> (usize, usize) {
    let of = |volatile: bool| {
        let entries = bench.server.ks.dbs[0].table.iter();
        entries
            .filter(|e| e.key().starts_with(prefix) && e.expire().is_some() == volatile)
            .count()
    };
    (of(true), of(false))
}

/// Keys are drawn by chance, so these are sums of many rounds: by chance alone half of those that go would be new ones.
#[test]
fn each_policy_chooses_its_victims() {
    const ROUNDS: usize = 20;
    let mut new = 0;
    for _ in 0..ROUNDS {
        let mut bench = mixed();
        evict(&mut bench, Policy::AllKeysLru, 30);
        new += 50 - left(&bench, b"new").0 - left(&bench, b"new").1;
        assert_eq!(bench.server.ks.stats.evicted, 30);
    }
    assert!(new <= ROUNDS * 30 / 4, "{new}");

    for policy in [Policy::VolatileLru, Policy::VolatileTtl] {
        let mut new = 0;
        for _ in 0..ROUNDS {
            let mut bench = mixed();
            evict(&mut bench, policy, 16);
            assert_eq!((left(&bench, b"old").1, left(&bench, b"new").1), (25, 25));
            new += 25 - left(&bench, b"new").0;
        }
        // The old ones were used earlier, and end sooner.
        assert!(new <= ROUNDS * 16 / 4, "{policy:?}: {new}");
    }

    for policy in [Policy::VolatileRandom, Policy::VolatileLfu] {
        let mut bench = mixed();
        evict(&mut bench, policy, 50);
        assert_eq!(left(&bench, b""), (0, 50), "{policy:?}");
        assert!(!bench.server.ks.evict_one(&mut Pool::default()));
    }

    for policy in [Policy::AllKeysRandom, Policy::AllKeysLfu] {
        let mut bench = mixed();
        evict(&mut bench, policy, 100);
        assert!(bench.server.ks.is_empty());
        assert!(!bench.server.ks.evict_one(&mut Pool::default()));
    }

    let mut bench = mixed();
    bench.server.ks.access.policy = Policy::NoEviction;
    assert!(!bench.server.ks.evict_one(&mut Pool::default()));
    assert_eq!(bench.server.ks.len(), 100);
}

#[test]
fn lfu_spares_what_is_used() {
    let mut bench = Bench::new();
    bench.server.ks.access.policy = Policy::AllKeysLfu;
    for n in 0..100 {
        bench.say(&format!("SET k{n} v"));
    }
    for _ in 0..30 {
        (0..10).for_each(|n| assert_eq!(bench.say(&format!("GET k{n}")), "$1 v"));
    }
    evict(&mut bench, Policy::AllKeysLfu, 60);
    let used = (0..10)
        .filter(|n| bench.say(&format!("EXISTS k{n}")) == ":1")
        .count();
    assert!(used >= 9, "{used}");
}

#[test]
fn few_volatile_keys_among_stale_hints_are_found() {
    let mut bench = Bench::new();
    for n in 0..1000 {
        bench.say(&format!("SET t{n} v EX {}", 100 + n));
        bench.say(&format!("PERSIST t{n}"));
    }
    bench.say("SET only v EX 5000");
    for policy in [
        Policy::VolatileRandom,
        Policy::VolatileLru,
        Policy::VolatileTtl,
    ] {
        bench.say("SET only v EX 5000");
        evict(&mut bench, policy, 1);
        assert_eq!(bench.say("EXISTS only"), ":0", "{policy:?}");
    }
    assert_eq!(bench.server.ks.len(), 1000);
}

#[test]
fn another_policy_begins_with_an_empty_pool() {
    let mut bench = mixed();
    bench.server.ks.access.policy = Policy::VolatileTtl;
    let mut pool = Pool::default();
    assert!(bench.server.ks.evict_one(&mut pool));
    bench.server.ks.access.policy = Policy::AllKeysLru;
    for _ in 0..20 {
        assert!(bench.server.ks.evict_one(&mut pool));
    }
    let new = left(&bench, b"new");
    assert!(new.0 + new.1 >= 40, "{new:?}");
}

#[test]
fn the_log_names_the_configured_verb() {
    let mut bench = Bench::new();
    bench.server.ks.log.attach(crate::log::Consumer::File);
    bench.server.ks.verbs = crate::keyspace::Verbs::new(true, true);
    bench.say("SET k v PX 10");
    bench.pass_ms(50);
    slice(&mut bench);
    assert!(
        bench
            .server
            .ks
            .log
            .take()
            .bytes
            .ends_with(b"*2\r\n$6\r\nUNLINK\r\n$1\r\nk\r\n")
    );
    bench.say("SET k v");
    evict(&mut bench, Policy::AllKeysRandom, 1);
    assert!(
        bench
            .server
            .ks
            .log
            .take()
            .bytes
            .ends_with(b"*2\r\n$6\r\nUNLINK\r\n$1\r\nk\r\n")
    );
}
