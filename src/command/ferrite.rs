//! FERRITE: what this server does beyond Redis.

use crate::aof;
use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::command::spec::{Group, Spec, cats, flags};
use crate::dispatch::blocked::{Block, Wait};
use crate::dispatch::run::Runner;
use crate::dispatch::undo::{Newer, TakenBack};

const ROW: Spec = Spec {
    group: Group::Server,
    since: "7.4.0",
    ..Spec::BLANK
};

pub static TABLE: &[Spec] = &[Spec {
    name: "ferrite",
    arity: -2,
    summary: "Groups the commands that only this server has.",
    subs: &[
        Spec {
            name: "help",
            arity: 2,
            flags: flags!(LOADING | STALE),
            summary: "Explains the sub-commands of FERRITE.",
            complexity: "O(1)",
            run: help,
            ..ROW
        },
        Spec {
            name: "prefixes",
            arity: 2,
            flags: flags!(ADMIN | LOADING | STALE),
            tips: &["nondeterministic_output"],
            summary: "Counts keys, their bytes and operations on them by the prefixes that track-prefix names.",
            complexity: "O(N), where N is the number of prefixes.",
            run: prefixes,
            ..ROW
        },
        Spec {
            name: "undo",
            arity: -2,
            flags: flags!(WRITE | ADMIN | NOSCRIPT | NO_MULTI | NO_ASYNC_LOADING),
            categories: cats!(KEYSPACE | DANGEROUS),
            summary: "Takes back the last FLUSHALL, FLUSHDB or SWAPDB, within undo-window seconds.",
            complexity: "O(1), or O(N) with KEEP, where N is the number of keys that were written since.",
            syntax: "[newer<KEEP|REPLACE>]",
            run: undo,
            ..ROW
        },
        Spec {
            name: "undolist",
            arity: 2,
            flags: flags!(ADMIN | NOSCRIPT),
            categories: cats!(KEYSPACE | DANGEROUS),
            tips: &["nondeterministic_output"],
            summary: "Lists what FERRITE UNDO can take back, the last deed first.",
            complexity: "O(N), where N is the number of deeds.",
            run: undolist,
            ..ROW
        },
    ],
    ..ROW
}];

const HELP: &[&str] = &[
    "PREFIXES",
    "    Count keys, their bytes and operations on them by prefix (see track-prefix).",
    "UNDO [KEEP|REPLACE]",
    "    Take back the last FLUSHALL, FLUSHDB or SWAPDB (see undo-window). If keys were written since to",
    "    a database that comes back: KEEP them beside and in the place of the old ones, or REPLACE them by",
    "    the old ones; without either nothing happens.",
    "UNDOLIST",
    "    List what can be taken back, the last first: command, age, databases, keys, bytes.",
];

fn help(ctx: &mut Ctx<'_>) -> Outcome {
    ctx.out.help("ferrite", HELP);
    Ok(())
}

fn prefixes(ctx: &mut Ctx<'_>) -> Outcome {
    let (rows, complete) = ctx.db.ks.prefix_rows();
    ctx.out.array(rows.len());
    for row in rows {
        ctx.out.map(5);
        ctx.out.bulk(b"prefix");
        ctx.out.bulk(&row.pattern);
        for (name, value) in [
            ("keys", row.keys),
            ("bytes", row.bytes),
            ("operations", row.operations),
            ("complete", u64::from(complete)),
        ] {
            ctx.out.bulk(name.as_bytes());
            ctx.out.int(i64::try_from(value).unwrap_or(i64::MAX));
        }
    }
    Ok(())
}

fn undo(ctx: &mut Ctx<'_>) -> Outcome {
    let newer = match ctx.args.len() {
        2 => Newer::Refuse,
        3 if ctx.args.is(2, "KEEP") => Newer::Keep,
        3 if ctx.args.is(2, "REPLACE") => Newer::Replace,
        _ => return Err(Error::SYNTAX),
    };
    if ctx.core.repl.is_replica() {
        return Err(Error::new(
            "ERR A replica holds what its master holds: FERRITE UNDO is for the master",
        ));
    }
    let mut runner = Runner {
        ks: ctx.db.ks,
        core: ctx.core,
    };
    match runner.take_back(newer) {
        TakenBack::Nothing => Err(Error::new(
            "ERR There is nothing to take back. FLUSHALL, FLUSHDB and SWAPDB can be taken back for undo-window seconds",
        )),
        TakenBack::Newer(index, keys) => Err(Error::text(format!(
            "CONFLICT {keys} keys were written since to database {index}, which would come back. FERRITE UNDO KEEP keeps them beside and in the place of the old ones, FERRITE UNDO REPLACE deletes them"
        ))),
        TakenBack::Swapped(a, b) => {
            let (a, b) = (a.to_string(), b.to_string());
            ctx.db.ks.effects.present.dirty += 1;
            ctx.db.log(&[b"SWAPDB", a.as_bytes(), b.as_bytes()]);
            ctx.out.ok();
            Ok(())
        }
        TakenBack::Restored => {
            ctx.db.log_nothing();
            if aof::state::wait_for_base(ctx.core, ctx.client.id) {
                ctx.block(Block {
                    wait: Wait::Other("undo"),
                    timeout_ms: None,
                    on_timeout: |_, _, out| out.ok(),
                });
            } else {
                ctx.out.ok();
            }
            Ok(())
        }
    }
}

fn undolist(ctx: &mut Ctx<'_>) -> Outcome {
    let now_ms = ctx.core.now_ms();
    let window_s = i64::from(ctx.core.config.undo_window);
    let undo = &ctx.db.ks.undo;
    ctx.out.array(undo.len());
    for kept in undo.iter() {
        let age_s = (now_ms - kept.at_ms) / 1000;
        ctx.out.map(6);
        ctx.out.bulk(b"command");
        ctx.out.bulk(kept.deed.command().as_bytes());
        ctx.out.bulk(b"age-seconds");
        ctx.out.int(age_s);
        ctx.out.bulk(b"seconds-left");
        ctx.out.int((window_s - age_s).max(0));
        ctx.out.bulk(b"databases");
        ctx.out.array(kept.dbs.len());
        kept.dbs.iter().for_each(|(index, _)| ctx.out.count(*index));
        ctx.out.bulk(b"keys");
        ctx.out.count(kept.keys);
        ctx.out.bulk(b"bytes");
        ctx.out.count(kept.bytes);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::base::rng::Rng;
    use crate::command::examples::{CALLS, PASS_MS, SETUP};
    use crate::command::testing::Bench;
    use crate::log::Consumer;
    use crate::value::usage;

    fn filled() -> Bench {
        let mut bench = Bench::new();
        bench.say("CONFIG SET undo-window 60");
        bench.say("MSET a 1 b 2");
        bench.say("SET due x PX 5000");
        bench.say("HSET hash f v g w");
        bench.say("HPEXPIRE hash 5000 FIELDS 1 f");
        bench.say("SELECT 2");
        bench.say("SET there 1");
        bench.say("SELECT 0");
        bench
    }

    /// Counts by prefix as they are kept, and as they are.
    fn counts(bench: &Bench, patterns: &[&str]) -> [Vec<(u64, u64)>; 2] {
        let (rows, complete) = bench.server.ks.prefix_rows();
        assert!(complete);
        let kept = rows.iter().map(|row| (row.keys, row.bytes)).collect();
        let count = |pattern: &&str| {
            let prefix = pattern.trim_end_matches('*').as_bytes();
            let dbs = bench.server.ks.dbs.iter();
            let entries = dbs.flat_map(|db| db.table.iter());
            entries
                .filter(|entry| entry.key().starts_with(prefix))
                .fold((0, 0), |(keys, bytes), entry| {
                    (keys + 1, bytes + usage::of_entry(entry, 5) as u64 + 8)
                })
        };
        [kept, patterns.iter().map(count).collect()]
    }

    #[test]
    fn counts_by_prefix_follow_every_command() {
        let patterns = ["*", "s*", "set", "nothing*"];
        for call in CALLS {
            let mut bench = Bench::new();
            bench.say(&format!("CONFIG SET track-prefix '{}'", patterns.join(" ")));
            bench.server.ks.count_prefixes(&mut || false);
            SETUP.iter().for_each(|line| drop(bench.say(line)));
            bench.pass_ms(PASS_MS);
            bench.say(call);
            bench.server.ks.count_prefixes(&mut || false);
            let [kept, there] = counts(&bench, &patterns);
            assert_eq!(kept, there, "{call}");
        }
        let mut bench = Bench::new();
        bench.say("CONFIG SET track-prefix '*'");
        bench.server.cron();
        for seed in 0..10 {
            let mut rng = Rng::new(seed);
            SETUP.iter().for_each(|line| drop(bench.say(line)));
            for _ in 0..300 {
                bench.say(CALLS[rng.below(CALLS.len() as u64) as usize]);
                bench.pass_ms(rng.below(1000) as i64);
                bench.server.ks.expire_slice(&mut || false);
            }
            bench.server.ks.count_prefixes(&mut || false);
            let [kept, there] = counts(&bench, &["*"]);
            assert_eq!(kept, there, "seed {seed}");
        }
    }

    #[test]
    fn counting_begins_while_keys_come_and_go() {
        let mut bench = Bench::new();
        for n in 0..5000 {
            bench.say(&format!("SET user:{n} {n}"));
        }
        bench.say("CONFIG SET track-prefix 'user:* item:*'");
        let mut rng = Rng::new(1);
        let mut slices = 0;
        loop {
            let mut left = 7;
            let done = bench.server.ks.count_prefixes(&mut || {
                left -= 1;
                left == 0
            });
            if done {
                break;
            }
            slices += 1;
            for _ in 0..200 {
                let n = rng.below(8000);
                match rng.below(3) {
                    0 => bench.say(&format!("DEL user:{n}")),
                    1 => bench.say(&format!("APPEND user:{n} {}", "x".repeat(30))),
                    _ => bench.say(&format!("RPUSH item:{n} a b c")),
                };
            }
        }
        assert!(slices > 5, "{slices}");
        let [kept, there] = counts(&bench, &["user:*", "item:*"]);
        assert_eq!(kept, there);
        bench.say("SWAPDB 0 3");
        bench.say("MGET user:1 item:2 other");
        bench.say("EVAL \"return redis.call('get', KEYS[1])\" 1 user:3");
        let before = bench.server.ks.prefix_rows().0[0].operations;
        bench.say("GET user:1");
        let reply = bench.say("FERRITE PREFIXES");
        let (rows, _) = bench.server.ks.prefix_rows();
        assert_eq!(rows[0].operations, before + 1);
        let first = format!(
            "*2 *10 $6 prefix $6 user:* $4 keys :{} $5 bytes :{} $10 operations :{} $8 complete :1 *10",
            rows[0].keys, rows[0].bytes, rows[0].operations
        );
        assert!(reply.starts_with(&first), "{reply}");
        assert!(reply.contains(&format!(
            "keys :{} $5 bytes :{}",
            rows[1].keys, rows[1].bytes
        )));
        bench.say("FLUSHALL");
        bench.server.cron();
        assert!(
            bench
                .say("FERRITE PREFIXES")
                .contains("$4 keys :0 $5 bytes :0")
        );
        bench.say("CONFIG SET track-prefix ''");
        assert_eq!(bench.say("FERRITE PREFIXES"), "*0");
    }

    #[test]
    fn large_collections_and_operations_count_as_they_change() {
        let patterns = [
            "*",
            "c",
            "collection:*",
            "collection:1*",
            "collision*",
            "nothing",
        ];
        let mut bench = Bench::new();
        for kind in ["hash", "set", "zset", "list"] {
            bench.say(&format!(
                "CONFIG SET {kind}-max-listpack-{} 2",
                if kind == "list" { "size" } else { "entries" }
            ));
        }
        let mut rng = Rng::new(7);
        let mut operations = [0; 6];
        bench.say(&format!("CONFIG SET track-prefix '{}'", patterns.join(" ")));
        bench.server.ks.count_prefixes(&mut || false);
        for round in 0..30 {
            for _ in 0..800 {
                let (n, m) = (rng.below(900), rng.below(40));
                let long = "v".repeat([1, 70, 1500][rng.below(3) as usize]);
                let key = ["c:", "collection:", "cOllection:"][rng.below(3) as usize];
                let key = format!("{key}{n}");
                let call = match (n % 6, rng.below(8)) {
                    (_, 0) => format!("DEL {key}"),
                    (0, 1) => format!("SET {key} {long}"),
                    (0, 2) => format!("RENAME {key} {key}"),
                    (0, _) => format!("HSET {key} a 1 b 2 f{m} {long}"),
                    (1, 1) => format!("SREM {key} {m}"),
                    (1, _) => format!("SADD {key} a b {m} {long}"),
                    (2, 1) => format!("PEXPIRE {key} {}", m * 100 + 1),
                    (2, _) => format!("ZADD {key} 1 a 2 b 3 {m} 4 {long}"),
                    (3, 1) => format!("LPOP {key} {m}"),
                    (3, _) => format!("RPUSH {key} a b {m} {long}"),
                    (4, 1) => format!("XTRIM {key} MAXLEN {m}"),
                    (4, _) => format!("XADD {key} * {m} {long}"),
                    (_, 1) => format!("COPY {key} {key}"),
                    (_, 2) => format!("SETRANGE {key} {m} {long}"),
                    _ => format!("APPEND {key} {long}"),
                };
                let keys = 1 + u64::from(call.starts_with("RENAME") || call.starts_with("COPY"));
                for (pattern, count) in patterns.iter().zip(&mut operations) {
                    let is_there = key.starts_with(pattern.trim_end_matches('*'));
                    *count += if is_there { keys } else { 0 };
                }
                bench.say(&call);
            }
            bench.pass_ms(200);
            // Others hold what is changed next.
            let snapshot = (round % 3 == 0).then(|| bench.server.ks.dbs[0].table.clone());
            if round % 2 == 0 {
                bench.server.ks.count_prefixes(&mut || false);
            }
            let [kept, there] = counts(&bench, &patterns);
            assert_eq!(kept, there, "round {round}");
            drop(snapshot);
        }
        let (rows, _) = bench.server.ks.prefix_rows();
        let counted: Vec<u64> = rows.iter().map(|row| row.operations).collect();
        assert_eq!(counted, operations);
        assert!(rows[1].keys > 300 && rows[2].keys > 200 && rows[4].keys == 0);
    }

    #[test]
    fn without_a_window_nothing_is_kept() {
        let mut bench = Bench::new();
        bench.say("SET a 1");
        bench.say("FLUSHALL");
        bench.say("SWAPDB 0 1");
        assert!(
            bench
                .say("FERRITE UNDO")
                .starts_with("-ERR There is nothing")
        );
        assert_eq!(bench.say("FERRITE UNDOLIST"), "*0");
        assert_eq!(bench.say("FERRITE UNDO SOON"), "-ERR syntax error");
    }

    #[test]
    fn what_was_flushed_comes_back_with_its_times() {
        let mut bench = filled();
        let digest = bench.say("DEBUG DIGEST");
        bench.say("FLUSHALL SYNC");
        assert_eq!(
            (bench.say("DBSIZE"), bench.say("GET a")),
            (":0".into(), "$-1".into())
        );
        assert!(bench.server.ks.undo.bytes() > 0);
        assert!(bench.say("INFO memory").contains("mem_undo:"));
        assert_eq!(bench.say("FERRITE UNDO"), "+OK");
        assert_eq!(bench.say("DEBUG DIGEST"), digest);
        assert_eq!(bench.server.ks.undo.bytes(), 0);
        // Times went on meanwhile, and the index of deadlines came back too.
        bench.pass_ms(6000);
        bench.server.ks.expire_slice(&mut || false);
        assert_eq!(bench.say("DBSIZE"), ":3");
        assert_eq!(bench.say("HLEN hash"), ":1");
        bench.say("FLUSHDB");
        bench.say("SELECT 2");
        assert_eq!(bench.say("GET there"), "$1 1", "only one database");
        bench.say("FERRITE UNDO");
        bench.say("SELECT 0");
        assert_eq!(bench.say("DBSIZE"), ":3");
    }

    #[test]
    fn keys_written_since_are_not_lost_unasked() {
        let mut bench = filled();
        bench.say("FLUSHALL");
        bench.say("SELECT 7");
        bench.say("SET elsewhere 1");
        bench.say("SELECT 0");
        bench.say("SET a new PX 4000");
        bench.say("SET c 3");
        let refused = bench.say("FERRITE UNDO");
        assert!(
            refused.starts_with("-CONFLICT 2 keys were written since to database 0"),
            "{refused}"
        );
        assert_eq!(bench.say("DBSIZE"), ":2");
        assert_eq!(bench.say("FERRITE UNDO KEEP"), "+OK");
        assert_eq!(bench.say("MGET a b c due"), "*4 $3 new $1 2 $1 3 $1 x");
        bench.pass_ms(4500);
        bench.server.ks.expire_slice(&mut || false);
        assert_eq!(
            bench.say("EXISTS a b c due"),
            ":3",
            "the time of the new key counts"
        );
        bench.say("FLUSHALL");
        bench.say("SET b new");
        assert_eq!(bench.say("FERRITE UNDO REPLACE"), "+OK");
        assert_eq!(bench.say("MGET b c"), "*2 $1 2 $1 3");
        bench.say("SELECT 7");
        assert_eq!(bench.say("GET elsewhere"), "$1 1");
    }

    #[test]
    fn the_last_deed_is_taken_back_first() {
        let mut bench = filled();
        bench.say("FLUSHDB");
        bench.say("SWAPDB 0 2");
        bench.say("FLUSHALL");
        // Of nothing nothing is kept.
        bench.say("FLUSHALL");
        let list = bench.say("FERRITE UNDOLIST");
        let at = |text: &str| list.find(text).expect("it is listed");
        assert!(list.starts_with("*3 *12 $7 command $8 FLUSHALL $11 age-seconds :0 $12 seconds-left :60 $9 databases *1 :0 $4 keys :1"), "{list}");
        assert!(at("FLUSHALL") < at("SWAPDB 0 2") && at("SWAPDB 0 2") < at("FLUSHDB (db 0)"));
        bench.server.ks.log.attach(Consumer::File);
        assert_eq!(bench.say("FERRITE UNDO"), "+OK");
        assert_eq!(bench.say("GET there"), "$1 1");
        assert_eq!(bench.say("FERRITE UNDO"), "+OK");
        assert_eq!(bench.say("GET there"), "$-1");
        let log = bench.server.ks.log.take().bytes;
        assert!(log.ends_with(b"$6\r\nSWAPDB\r\n$1\r\n0\r\n$1\r\n2\r\n"));
        assert_eq!(bench.say("FERRITE UNDO"), "+OK");
        assert_eq!(bench.say("DBSIZE"), ":4");
        assert!(bench.say("FERRITE UNDO").starts_with("-ERR"));
    }

    #[test]
    fn the_window_ends_and_memory_goes_first() {
        let mut bench = filled();
        bench.say("FLUSHALL");
        bench.server.cron();
        assert_eq!(bench.server.ks.undo.len(), 1);
        bench.say("CONFIG SET undo-window 0");
        bench.server.cron();
        assert!(bench.server.ks.undo.is_empty());
        let mut bench = filled();
        bench.say("FLUSHDB");
        bench.say("SWAPDB 0 2");
        let ks = &mut bench.server.ks;
        assert!(ks.undo.yield_memory(&ks.reaper));
        assert!(!ks.undo.yield_memory(&ks.reaper), "a swap holds no memory");
        ks.reaper.wait();
        assert!(!ks.undo.is_freeing(&ks.reaper));
        assert_eq!(bench.say("FERRITE UNDO"), "+OK");
        assert!(bench.say("FERRITE UNDO").starts_with("-ERR"));
    }

    #[test]
    fn those_who_watch_and_wait_hear_of_it() {
        let mut bench = filled();
        bench.say("RPUSH list x");
        bench.say("FLUSHALL");
        let waiter = bench.join(false);
        assert!(bench.waits(waiter, "BLPOP list 0"));
        bench.say("WATCH b");
        bench.say("FERRITE UNDO");
        bench.say("MULTI");
        bench.say("GET b");
        assert_eq!(bench.say("EXEC"), "*-1");
        assert_eq!(bench.say("EXISTS list"), ":0", "the one who waited has it");
        assert_eq!(
            bench
                .say("EVAL 'return redis.call(\"FERRITE\", \"UNDO\")' 0")
                .get(..4),
            Some("-ERR")
        );
    }
}
