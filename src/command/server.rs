//! Commands about the server as a whole: sizes, flushes, time, monitoring, the end.

use std::time::Duration;

use crate::cli::REDIS_VERSION;
use crate::command::args::Args;
use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::command::spec::{Group, Spec, cats, flags};
use crate::dispatch::blocked::{Block, Wait};
use crate::dispatch::client::ClientFlags;
use crate::dispatch::core::ShutdownWish;
use crate::dispatch::shutdown;
use crate::keyspace::undo::Deed;
use crate::rdb::save;

const ROW: Spec = Spec {
    group: Group::Server,
    ..Spec::BLANK
};

pub static TABLE: &[Spec] = &[
    Spec {
        name: "dbsize",
        since: "1.0.0",
        arity: 1,
        flags: flags!(READONLY | FAST),
        categories: cats!(KEYSPACE),
        tips: &["request_policy:all_shards", "response_policy:agg_sum"],
        summary: "Counts the keys of the selected database.",
        complexity: "O(1)",
        run: dbsize,
        ..ROW
    },
    Spec {
        name: "flushall",
        since: "1.0.0",
        arity: -1,
        flags: flags!(WRITE),
        categories: cats!(KEYSPACE | DANGEROUS),
        tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
        history: &[("4.0.0", "Added `ASYNC`."), ("6.2.0", "Added `SYNC`.")],
        summary: "Deletes all keys of all databases.",
        complexity: "O(N)",
        syntax: "[flush-type<ASYNC@4.0.0|SYNC@6.2.0>]",
        run: flushall,
        ..ROW
    },
    Spec {
        name: "flushdb",
        since: "1.0.0",
        arity: -1,
        flags: flags!(WRITE),
        categories: cats!(KEYSPACE | DANGEROUS),
        tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
        history: &[("4.0.0", "Added `ASYNC`."), ("6.2.0", "Added `SYNC`.")],
        summary: "Deletes all keys of the selected database.",
        complexity: "O(N)",
        syntax: "[flush-type<ASYNC@4.0.0|SYNC@6.2.0>]",
        run: flushdb,
        ..ROW
    },
    Spec {
        name: "lolwut",
        since: "5.0.0",
        arity: -1,
        flags: flags!(READONLY | FAST),
        summary: "Shows a piece of computer art and the version of the server.",
        syntax: "[VERSION:version/i]",
        run: lolwut,
        ..ROW
    },
    Spec {
        name: "monitor",
        since: "1.0.0",
        arity: 1,
        flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE),
        summary: "Streams every command that the server runs.",
        run: monitor,
        ..ROW
    },
    Spec {
        name: "shutdown",
        since: "1.0.0",
        arity: -1,
        flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE | NO_MULTI | ALLOW_BUSY),
        history: &[("7.0.0", "Added `NOW`, `FORCE` and `ABORT`.")],
        summary: "Saves the data set as configured and stops the server.",
        complexity: "O(N); O(1)",
        syntax: "[save-selector<NOSAVE|SAVE>] [NOW@7.0.0] [FORCE@7.0.0] [ABORT@7.0.0]",
        run: shutdown,
        ..ROW
    },
    Spec {
        name: "swapdb",
        since: "4.0.0",
        arity: 3,
        flags: flags!(WRITE | FAST),
        categories: cats!(KEYSPACE | DANGEROUS),
        summary: "Exchanges the contents of two databases.",
        complexity: "O(N)",
        syntax: "index1/i index2/i",
        run: swapdb,
        ..ROW
    },
    Spec {
        name: "time",
        since: "2.6.0",
        arity: 1,
        flags: flags!(LOADING | STALE | FAST),
        tips: &["nondeterministic_output"],
        summary: "Returns the time of the server, seconds and microseconds.",
        complexity: "O(1)",
        run: time,
        ..ROW
    },
];

/// A flush that is not ASYNC waits this long for the memory to be free; the rest is freed later.
const FLUSH_WAIT: Duration = Duration::from_millis(2);

fn dbsize(ctx: &mut Ctx<'_>) -> Outcome {
    ctx.out.count(ctx.db.len());
    Ok(())
}

/// Whether the databases are to be freed in the background.
fn flush_mode(ctx: &Ctx<'_>) -> Result<bool, Error> {
    match ctx.args.len() {
        1 => Ok(ctx.core.config.lazyfree_lazy_user_flush),
        2 if ctx.args.is(1, "ASYNC") => Ok(true),
        2 if ctx.args.is(1, "SYNC") => Ok(false),
        _ => Err(Error::SYNTAX),
    }
}

/// Empties databases. The command is logged even if they were empty: a replica's may not be. Within `undo-window` it can
/// be taken back.
fn flush(ctx: &mut Ctx<'_>, indexes: std::ops::Range<usize>, deed: Deed) -> Outcome {
    let in_background = flush_mode(ctx)?;
    let name = ctx.command.spec.name.to_ascii_uppercase();
    let ks = &mut *ctx.db.ks;
    let mut old = Vec::new();
    ks.effects.flushed = true;
    for index in indexes {
        if !ks.dbs[index].table.is_empty() {
            ks.effects.present.dirty += ks.dbs[index].table.len() as u64;
            ks.effects.change_whole(index);
        }
        old.push((index, std::mem::take(&mut ks.dbs[index])));
    }
    let (full, empty): (Vec<_>, Vec<_>) = old.into_iter().partition(|(_, db)| !db.table.is_empty());
    if ctx.core.config.undo_window > 0 && !full.is_empty() {
        ks.undo.keep(deed, full, ctx.core.now_ms(), &ks.reaper);
    } else {
        let gone = full.into_iter().chain(empty).map(|(_, db)| db);
        ks.reaper.free_databases(gone.collect());
        if !in_background {
            ks.reaper.wait_at_most(FLUSH_WAIT);
        }
    }
    ctx.db.log(&[name.as_bytes()]);
    ctx.out.ok();
    Ok(())
}

fn flushdb(ctx: &mut Ctx<'_>) -> Outcome {
    let index = ctx.db.index;
    flush(ctx, index..index + 1, Deed::FlushDb(index))
}

fn flushall(ctx: &mut Ctx<'_>) -> Outcome {
    flush_mode(ctx)?;
    save::forsake(ctx.core);
    let count = ctx.db.ks.dbs.len();
    flush(ctx, 0..count, Deed::FlushAll)?;
    save::after_flush(ctx.db.ks, ctx.core);
    Ok(())
}

fn swapdb(ctx: &mut Ctx<'_>) -> Outcome {
    let index = |at, error| ctx.args.int(at).map_err(|_| Error::new(error));
    let first = index(1, "ERR invalid first DB index")?;
    let second = index(2, "ERR invalid second DB index")?;
    let count = ctx.db.ks.dbs.len();
    let checked = |index| usize::try_from(index).ok().filter(|index| *index < count);
    let (Some(first), Some(second)) = (checked(first), checked(second)) else {
        return Err(Error::new("ERR DB index is out of range"));
    };
    if first != second {
        let ks = &mut *ctx.db.ks;
        ks.dbs.swap(first, second);
        ks.effects.change_whole(first);
        ks.effects.change_whole(second);
        if ctx.core.config.undo_window > 0 {
            let deed = Deed::SwapDb(first, second);
            ks.undo
                .keep(deed, Vec::new(), ctx.core.now_ms(), &ks.reaper);
        }
    }
    ctx.db.ks.effects.present.dirty += 1;
    ctx.out.ok();
    Ok(())
}

fn time(ctx: &mut Ctx<'_>) -> Outcome {
    let us = ctx.core.unit_unix_us();
    ctx.out.array(2);
    ctx.out.bulk_int(us / 1_000_000);
    ctx.out.bulk_int(us % 1_000_000);
    Ok(())
}

/// The client is a monitor from now on; it stays one until it ends or says RESET.
fn monitor(ctx: &mut Ctx<'_>) -> Outcome {
    if ctx.core.depth > 0 {
        return Err("ERR MONITOR isn't allowed for DENY BLOCKING client".into());
    }
    if !ctx.client.is(ClientFlags::MONITOR) {
        ctx.client.flags.insert(ClientFlags::MONITOR);
        ctx.core.monitors.push(ctx.client.id);
    }
    ctx.out.ok();
    Ok(())
}

/// What SHUTDOWN is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Abort,
    Stop(ShutdownWish),
}

fn read_end(args: &Args<'_>) -> Result<End, Error> {
    let mut wish = ShutdownWish {
        save: None,
        now: false,
        force: false,
    };
    let mut abort = false;
    let mut rest = args.cursor(1);
    while !rest.done() {
        if rest.word("NOSAVE") && wish.save != Some(true) {
            wish.save = Some(false);
        } else if rest.word("SAVE") && wish.save != Some(false) {
            wish.save = Some(true);
        } else if rest.word("NOW") {
            wish.now = true;
        } else if rest.word("FORCE") {
            wish.force = true;
        } else if rest.word("ABORT") {
            abort = true;
        } else {
            return Err(Error::SYNTAX);
        }
    }
    match (abort, args.len()) {
        (false, _) => Ok(End::Stop(wish)),
        (true, 2) => Ok(End::Abort),
        (true, _) => Err(Error::SYNTAX),
    }
}

/// No reply if it succeeds: the connection ends with the process.
fn shutdown(ctx: &mut Ctx<'_>) -> Outcome {
    match read_end(&ctx.args)? {
        End::Abort => {
            let signal = ctx.core.signal.take().is_some();
            if !shutdown::stay(ctx.core) && !signal {
                return Err(Error::new("ERR No shutdown in progress."));
            }
            tracing::warn!("Shutdown manually aborted.");
            ctx.out.ok();
            Ok(())
        }
        End::Stop(wish) => {
            if ctx.core.scripts.is_busy() && wish.save != Some(false) {
                return Err(ctx.core.scripts.busy_error());
            }
            tracing::warn!("User requested shutdown...");
            let id = ctx.client.id;
            let begun = shutdown::begin(ctx.db.ks, ctx.core, wish, Some(id));
            let begun = begun.map_err(|_| Error::new(shutdown::FAILED))?;
            if begun == shutdown::Begun::Waits {
                ctx.block(Block {
                    wait: Wait::Other("shutdown"),
                    timeout_ms: None,
                    on_timeout: |_, _, out| out.error(shutdown::FAILED),
                });
            }
            Ok(())
        }
    }
}

/// Largest picture that LOLWUT draws.
const MAX_COLUMNS: i64 = 160;
const MAX_ROWS: i64 = 60;

/// `LOLWUT [VERSION version] [columns] [rows]`: a maze of random diagonals.
fn lolwut(ctx: &mut Ctx<'_>) -> Outcome {
    let mut rest = ctx.args.cursor(1);
    if rest.left() >= 2 && rest.word("VERSION") {
        rest.int()?;
    }
    let columns = if rest.done() {
        60
    } else {
        rest.int()?.clamp(1, MAX_COLUMNS)
    };
    let rows = if rest.done() {
        8
    } else {
        rest.int()?.clamp(1, MAX_ROWS)
    };
    let mut text = String::new();
    for _ in 0..rows {
        for _ in 0..columns {
            text.push(if ctx.db.ks.rng.below(2) == 0 {
                '\u{2571}'
            } else {
                '\u{2572}'
            });
        }
        text.push('\n');
    }
    text.push_str(&format!(
        "\nDiagonals by chance. Redis ver. {REDIS_VERSION}\n"
    ));
    ctx.out.verbatim("txt", text.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testing::Bench;

    #[test]
    fn a_transaction_does_not_become_a_monitor() {
        let mut bench = Bench::new();
        bench.say("MULTI");
        bench.say("MONITOR");
        assert_eq!(
            bench.say("EXEC"),
            "*1 -ERR MONITOR isn't allowed for DENY BLOCKING client"
        );
        assert!(bench.server.core.monitors.is_empty());
    }

    /// As with redis-server 7.0 and 8.2.
    #[test]
    fn who_monitors_leaves_the_keys_alone() {
        let mut bench = Bench::new();
        let id = bench.join(false);
        assert_eq!(bench.say_as(id, "MONITOR"), "+OK");
        const REFUSED: &str = "-ERR Replica can't interact with the keyspace";
        for line in [
            "GET k",
            "SET k v",
            "DBSIZE",
            "FLUSHALL",
            "PUBLISH c x",
            "EVAL 'return 1' 0",
            "FCALL f 0",
            "BLPOP k 0",
        ] {
            assert_eq!(bench.say_as(id, line), REFUSED, "{line}");
        }
        for (line, reply) in [
            ("GET", "-ERR wrong number of arguments for 'get' command"),
            ("PING", "+PONG"),
            ("ECHO x", "$1 x"),
            ("SELECT 1", "+OK"),
            ("SELECT 0", "+OK"),
            ("WATCH k", "+OK"),
            ("MULTI", "+OK"),
            ("SET k v", REFUSED),
            (
                "EXEC",
                "-EXECABORT Transaction discarded because of previous errors.",
            ),
        ] {
            // Behind the reply comes the line that shows the command.
            let said = bench.say_as(id, line);
            let said = said.split(" +").next();
            assert_eq!(said, Some(reply), "{line}");
        }
        assert_eq!(bench.say("SET k v"), "+OK");
        assert!(bench.heard(id).ends_with("\"SET\" \"k\" \"v\""));
        assert_eq!(bench.say_as(id, "RESET"), "+RESET");
        assert_eq!(bench.say_as(id, "GET k"), "$1 v");
    }

    #[test]
    fn flushes_and_swaps_whole_databases() {
        let mut bench = Bench::new();
        bench.say("SET a 1");
        bench.say("SET b 2");
        bench.say("SELECT 3");
        bench.say("SET c 3");
        let dirty = bench.server.ks.stats.dirty;
        assert_eq!(bench.say("SWAPDB 0 3"), "+OK");
        assert_eq!(bench.server.ks.stats.dirty, dirty + 1);
        assert_eq!(bench.say("DBSIZE"), ":2");
        assert_eq!(bench.say("FLUSHDB async"), "+OK");
        assert_eq!(bench.server.ks.stats.dirty, dirty + 3);
        assert_eq!(bench.say("DBSIZE"), ":0");
        bench.say("SELECT 0");
        assert_eq!(bench.say("GET c"), "$1 3");
        assert_eq!(bench.say("FLUSHALL"), "+OK");
        assert_eq!(bench.say("DBSIZE"), ":0");
        assert_eq!(bench.say("FLUSHALL now"), "-ERR syntax error");
        assert_eq!(bench.say("SWAPDB 0 16"), "-ERR DB index is out of range");
        assert_eq!(bench.say("SWAPDB 0 x"), "-ERR invalid second DB index");
    }

    #[test]
    fn shutdown_is_a_wish_without_a_reply() {
        let mut bench = Bench::new();
        for wrong in ["SAVE NOSAVE", "NOSAVE SAVE", "ABORT NOW", "foo"] {
            assert_eq!(
                bench.say(&format!("SHUTDOWN {wrong}")),
                "-ERR syntax error",
                "{wrong}"
            );
        }
        assert_eq!(bench.say("SHUTDOWN ABORT"), "-ERR No shutdown in progress.");
        bench
            .server
            .core
            .config
            .adjust(|s| s.dbfilename = "/no/such/directory.rdb".into());
        assert!(
            bench
                .say("SHUTDOWN SAVE")
                .starts_with("-ERR Errors trying to SHUTDOWN")
        );
        assert!(bench.server.core.shutdown.is_none());
        assert_eq!(bench.say("SHUTDOWN NOSAVE NOW"), "");
        assert!(
            bench
                .server
                .core
                .shutdown
                .is_some_and(|wish| wish.now && wish.save == Some(false))
        );
    }

    #[test]
    fn lolwut_is_bounded() {
        let mut bench = Bench::new();
        assert_eq!(
            bench.say("LOLWUT VERSION abc"),
            "-ERR value is not an integer or out of range"
        );
        let picture = bench.run(&[
            "LOLWUT",
            "VERSION",
            "5",
            "9223372036854775807",
            "9223372036854775807",
        ]);
        assert!(picture.len() < 40_000);
        assert!(String::from_utf8_lossy(&picture).contains("Redis ver. "));
    }
}
