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
    use crate::command::testing::Bench;
    use crate::log::Consumer;

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
