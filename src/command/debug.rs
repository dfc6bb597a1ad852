//! DEBUG: for tests and examinations. Off unless `enable-debug-command` allows it.

mod object;
mod protocol;
mod reload;

use std::time::Duration;

use crate::base::{memsize, num, sys};
use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::command::spec::{DocFlags, Group, Spec, flags};
use crate::keyspace::{Expire, digest};
use crate::replication::history::History;
use crate::value::entry::New;
use crate::value::list;

const ROW: Spec = Spec {
    group: Group::Server,
    ..Spec::BLANK
};

pub static TABLE: &[Spec] = &[Spec {
    name: "debug",
    since: "1.0.0",
    arity: -2,
    flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE | PROTECTED),
    doc_flags: DocFlags::SYSCMD,
    summary: "Groups the commands for testing and examining the server.",
    run: debug,
    ..ROW
}];

/// A sub-command: name, how its arguments are written, least and largest number of them, handler, help.
type Sub = (
    &'static str,
    &'static str,
    usize,
    usize,
    fn(&mut Ctx<'_>) -> Outcome,
    &'static [&'static str],
);

const MANY: usize = usize::MAX;

#[rustfmt::skip]
static SUBS: &[Sub] = &[
    ("AOF-FLUSH-SLEEP", "<microsec>", 1, 1, reload::aof_flush_sleep, &["Server will sleep before flushing the AOF, this is used for testing."]),
    ("ASSERT", "", 0, 0, |_| panic!("assertion failed, as DEBUG ASSERT asked for"), &["Crash by assertion failed."]),
    ("CHANGE-REPL-ID", "", 0, 0, change_repl_id, &[
        "Change the replication IDs of the instance.",
        "Dangerous: should be used only for testing the replication subsystem.",
    ]),
    ("CONFIG-REWRITE-FORCE-ALL", "", 0, 0, rewrite_all, &[
        "Like CONFIG REWRITE but writes all configuration options, including",
        "keywords not listed in original configuration file or default values.",
    ]),
    ("DICT-RESIZING", "<0|1>", 1, 1, ignored_switch, &["Accepted for tests: tables here grow and shrink by single segments."]),
    ("DIGEST", "", 0, 0, digest_all, &["Output a hex signature representing the current DB content."]),
    ("DIGEST-VALUE", "<key> [<key> ...]", 0, MANY, digest_values, &["Output a hex signature of the values of all the specified keys."]),
    ("ERROR", "<string>", 1, 1, error, &["Return a Redis protocol error with <string> as message."]),
    ("HTSTATS", "<dbid> [full]", 1, 2, object::table_of_database, &["Return hash table statistics of the specified Redis database."]),
    ("HTSTATS-KEY", "<key> [full]", 1, 2, object::table_of_key, &["Like HTSTATS but for the hash table stored at <key>'s value."]),
    ("LISTPACK", "<key>", 1, 1, object::listpack, &["Show low level info about the listpack encoding of <key>."]),
    ("LOADAOF", "", 0, 0, reload::load_aof, &[
        "Flush the AOF buffers on disk and reload the AOF in memory.",
    ]),
    ("LOG", "<message>", 1, 1, log, &["Write <message> to the server log."]),
    ("OBJECT", "<key> [fast]", 1, 2, object::object, &["Show low level info about `key` and associated value."]),
    ("PANIC", "", 0, 0, |_| panic!("called by DEBUG PANIC"), &["Crash the server simulating a panic."]),
    ("PAUSE-CRON", "<0|1>", 1, 1, pause_cron, &["Stop periodic cron job processing."]),
    ("POPULATE", "<count> [<prefix>] [<size>]", 1, 3, populate, &[
        "Create <count> string keys named key:<num>. If <prefix> is specified then",
        "it is used instead of the 'key' prefix. These are not propagated to",
        "replicas.",
    ]),
    ("PROTOCOL", "<type>", 1, 1, protocol::protocol, &["Reply with a test value of the specified type."]),
    ("QUICKLIST-PACKED-THRESHOLD", "<size>", 1, 1, packed_threshold, &[
        "Accepted for tests: elements too long for a chunk are kept by themselves.",
    ]),
    ("RELOAD", "[<option> ...]", 0, 3, reload::reload, &[
        "Save the RDB on disk and reload it back to memory. Valid <option> values:",
        "* MERGE: conflicting keys will be loaded from RDB.",
        "* NOFLUSH: the existing database will not be removed before load, but",
        "  conflicting keys will generate an exception and kill the server.",
        "* NOSAVE: the database will be loaded from an existing RDB file.",
        "Examples:",
        "* DEBUG RELOAD: verify that the server is able to persist, flush and reload",
        "  the database.",
        "* DEBUG RELOAD NOSAVE: replace the current database with the contents of an",
        "  existing RDB file.",
        "* DEBUG RELOAD NOSAVE NOFLUSH MERGE: add the contents of an existing RDB",
        "  file to the database.",
    ]),
    ("REPLICATE", "<command> [<arg> ...]", 1, MANY, replicate, &["Replicate the provided command to replicas, allowing data divergence."]),
    ("REPLYBUFFER", "<option> <value>", 2, 2, reply_buffer, &[
        "PEAK-RESET-TIME <NEVER|RESET|time>: accepted for tests.",
        "RESIZING <0|1>: enable or disable the reply buffer resize cron job.",
    ]),
    ("SEGFAULT", "", 0, 0, segfault, &["Crash the server with sigsegv."]),
    ("SET-ACTIVE-EXPIRE", "<0|1>", 1, 1, set_active_expire, &[
        "Setting it to 0 disables expiring keys in background when they are not",
        "accessed (otherwise the Redis behavior). Setting it to 1 reenables back the",
        "default.",
    ]),
    ("SET-DISABLE-DENY-SCRIPTS", "<0|1>", 1, 1, disable_deny_scripts, &[
        "When set to 1, scripts may call commands that are not allowed in scripts.",
    ]),
    ("SET-SKIP-CHECKSUM-VALIDATION", "<0|1>", 1, 1, skip_checksum, &[
        "Enables or disables checksum checks for RDB files and RESTORE's payload.",
    ]),
    ("SLEEP", "<seconds>", 1, 1, sleep, &["Stop the server for <seconds>. Decimals allowed."]),
    ("STRINGMATCH-LEN", "<length> <pattern>", 2, 2, stringmatch, &["Match a string of <length> times 'a' against <pattern>."]),
];

fn debug(ctx: &mut Ctx<'_>) -> Outcome {
    let name = ctx.args.get(1);
    let count = ctx.args.len() - 2;
    if ctx.args.is(1, "HELP") && count == 0 {
        return help(ctx);
    }
    let found = SUBS
        .iter()
        .find(|sub| sub.0.as_bytes().eq_ignore_ascii_case(name));
    match found {
        Some((_, _, least, most, run, _)) if (*least..=*most).contains(&count) => run(ctx),
        _ => {
            let shown = &name[..name.len().min(128)];
            let text = [
                b"ERR unknown subcommand or wrong number of arguments for '",
                shown,
                b"'. Try DEBUG HELP.",
            ];
            Err(Error::bytes(text.concat()))
        }
    }
}

fn help(ctx: &mut Ctx<'_>) -> Outcome {
    let mut lines = Vec::new();
    for (name, args, _, _, _, text) in SUBS {
        lines.push(format!("{name} {args}").trim_end().to_owned());
        lines.extend(text.iter().map(|line| format!("    {line}")));
    }
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    ctx.out.help("debug", &lines);
    Ok(())
}

/// The argument of a switch: 0 is off.
fn switch(ctx: &Ctx<'_>) -> bool {
    num::parse_i64(ctx.args.get(2)).unwrap_or(0) != 0
}

fn ok(ctx: &mut Ctx<'_>) -> Outcome {
    ctx.out.ok();
    Ok(())
}

fn ignored_switch(ctx: &mut Ctx<'_>) -> Outcome {
    ok(ctx)
}

fn change_repl_id(ctx: &mut Ctx<'_>) -> Outcome {
    tracing::info!("Changing replication IDs after receiving change-repl-id");
    ctx.core.repl.history = History::new();
    ok(ctx)
}

fn rewrite_all(ctx: &mut Ctx<'_>) -> Outcome {
    let written = ctx.core.config.rewrite(None, true);
    written
        .map_err(|error| Error::text(format!("ERR CONFIG-REWRITE-FORCE-ALL failed: {error}")))?;
    ok(ctx)
}

fn digest_all(ctx: &mut Ctx<'_>) -> Outcome {
    let hex = digest::of_keyspace(ctx.db.ks).hex();
    ctx.out.simple(&hex);
    Ok(())
}

fn digest_values(ctx: &mut Ctx<'_>) -> Outcome {
    let keys = ctx.args.from(2);
    ctx.out.array(keys.len());
    for key in keys.iter() {
        let digest = ctx.db.peek(key).map(digest::of_value).unwrap_or_default();
        ctx.out.simple(&digest.hex());
    }
    Ok(())
}

fn error(ctx: &mut Ctx<'_>) -> Outcome {
    Err(Error::bytes(ctx.args.get(2).to_vec()))
}

fn log(ctx: &mut Ctx<'_>) -> Outcome {
    tracing::warn!("DEBUG LOG: {}", String::from_utf8_lossy(ctx.args.get(2)));
    ok(ctx)
}

fn pause_cron(ctx: &mut Ctx<'_>) -> Outcome {
    ctx.core.debug.cron_paused = switch(ctx);
    ok(ctx)
}

fn set_active_expire(ctx: &mut Ctx<'_>) -> Outcome {
    ctx.db.ks.active_expire = switch(ctx);
    ok(ctx)
}

fn disable_deny_scripts(ctx: &mut Ctx<'_>) -> Outcome {
    ctx.core.debug.scripts_may_all = switch(ctx);
    ok(ctx)
}

fn skip_checksum(ctx: &mut Ctx<'_>) -> Outcome {
    ctx.core.debug.skip_checksum = switch(ctx);
    ok(ctx)
}

/// From how many bytes on an element of a list is kept by itself.
fn packed_threshold(ctx: &mut Ctx<'_>) -> Outcome {
    match memsize::parse(ctx.args.get(2)).and_then(|bytes| usize::try_from(bytes).ok()) {
        Some(bytes) if bytes < 4 << 30 => {
            list::set_packed_threshold(bytes);
            ok(ctx)
        }
        _ => Err(Error::new(
            "ERR argument must be a memory value bigger than 1 and smaller than 4gb",
        )),
    }
}

fn replicate(ctx: &mut Ctx<'_>) -> Outcome {
    let args: Vec<&[u8]> = ctx.args.from(2).iter().collect();
    ctx.db.log(&args);
    ok(ctx)
}

fn reply_buffer(ctx: &mut Ctx<'_>) -> Outcome {
    if ctx.args.is(2, "RESIZING") {
        ctx.core.debug.reply_buffers_fixed = num::parse_i64(ctx.args.get(3)) == Some(0);
        return ok(ctx);
    }
    if !ctx.args.is(2, "PEAK-RESET-TIME") {
        return Err(Error::SYNTAX);
    }
    let known = ctx.args.is(3, "NEVER") || ctx.args.is(3, "RESET") || ctx.args.int(3).is_ok();
    if known { ok(ctx) } else { Err(Error::SYNTAX) }
}

fn segfault(ctx: &mut Ctx<'_>) -> Outcome {
    let pid = i32::try_from(std::process::id()).unwrap_or(0);
    let sent = sys::kill(pid, libc::SIGSEGV);
    sent.map_err(|error| Error::text(format!("ERR {error}")))?;
    ok(ctx)
}

fn sleep(ctx: &mut Ctx<'_>) -> Outcome {
    let seconds = num::parse_f64(ctx.args.get(2)).unwrap_or(0.0).max(0.0);
    let time = Duration::try_from_secs_f64(seconds).map_err(|_| Error::OUT_OF_RANGE)?;
    std::thread::sleep(time);
    ok(ctx)
}

fn stringmatch(ctx: &mut Ctx<'_>) -> Outcome {
    const MAX: i64 = 1 << 30;
    let length = ctx.args.int(2)?;
    if !(0..=MAX).contains(&length) {
        return Err(Error::OUT_OF_RANGE);
    }
    let text = vec![b'a'; length as usize];
    ctx.out.int(i64::from(crate::base::glob::matches(
        ctx.args.get(3),
        &text,
        false,
    )));
    Ok(())
}

/// `POPULATE count [prefix] [size]`: keys that are there already stay as they are.
fn populate(ctx: &mut Ctx<'_>) -> Outcome {
    let positive = |at| match ctx.args.int(at) {
        Ok(n) if n >= 0 => Ok(n as u64),
        _ => Err(Error::MUST_BE_POSITIVE),
    };
    let count = positive(2)?;
    let prefix = if ctx.args.len() > 3 {
        ctx.args.get(3)
    } else {
        b"key"
    };
    let size = if ctx.args.len() > 4 { positive(4)? } else { 0 };
    let each = size.saturating_add(prefix.len() as u64).saturating_add(32);
    if count.saturating_mul(each) > sys::total_memory() {
        return Err(Error::new(
            "OOM populating would take more memory than there is",
        ));
    }
    for number in 0..count {
        let key = [prefix, b":", number.to_string().as_bytes()].concat();
        if ctx.db.exists(&key) {
            continue;
        }
        let mut value = format!("value:{number}").into_bytes();
        if size > 0 {
            value.resize(size as usize, 0);
        }
        ctx.db.set_str(&key, New::string(&value), Expire::Never);
    }
    ok(ctx)
}

#[cfg(test)]
mod tests {
    use super::SUBS;
    use crate::command::testing::Bench;

    fn bench() -> Bench {
        let mut bench = Bench::new();
        bench
            .server
            .core
            .config
            .adjust(|s| s.enable_debug_command = crate::config::enums::AllowFrom::Yes);
        bench
    }

    #[test]
    fn sub_commands_are_told_apart() {
        let mut bench = bench();
        let unknown =
            "-ERR unknown subcommand or wrong number of arguments for 'foo'. Try DEBUG HELP.";
        assert_eq!(bench.say("DEBUG foo"), unknown);
        assert!(
            bench
                .say("DEBUG SLEEP")
                .contains("wrong number of arguments for 'SLEEP'")
        );
        assert_eq!(bench.say("DEBUG SLEEP 0"), "+OK");
        assert_eq!(bench.say("DEBUG SLEEP 1e300"), "-ERR value is out of range");
        assert_eq!(bench.say("DEBUG ERROR 'my err'"), "-my err");
        assert_eq!(bench.say("DEBUG LOG hello"), "+OK");
        assert_eq!(bench.say("DEBUG STRINGMATCH-LEN 5 a*"), ":1");
        assert!(bench.say("DEBUG HELP").contains("+DIGEST-VALUE"));
        assert_eq!(
            bench
                .say("DEBUG QUICKLIST-PACKED-THRESHOLD 5gb")
                .split(' ')
                .next(),
            Some("-ERR")
        );
    }

    #[test]
    fn populate_makes_keys_and_keeps_old_ones() {
        let mut bench = bench();
        bench.say("SET key:1 old");
        assert_eq!(bench.say("DEBUG POPULATE 3"), "+OK");
        assert_eq!(bench.say("GET key:1"), "$3 old");
        assert_eq!(bench.say("GET key:2"), "$7 value:2");
        assert_eq!(bench.say("DEBUG POPULATE 1 p 3"), "+OK");
        assert_eq!(bench.say("GET p:0"), "$3 val");
        assert_eq!(
            bench.say("DEBUG POPULATE x"),
            "-ERR value is out of range, must be positive"
        );
        assert!(
            bench
                .say("DEBUG POPULATE 9223372036854775807")
                .starts_with("-OOM")
        );
    }

    #[test]
    fn digests_depend_on_content_alone() {
        let mut bench = bench();
        assert_eq!(bench.say("DEBUG DIGEST"), format!("+{}", "0".repeat(40)));
        bench.say("SET a 1");
        let digest = bench.say("DEBUG DIGEST");
        bench.say("SET b 1");
        assert_ne!(bench.say("DEBUG DIGEST"), digest);
        assert_eq!(
            bench.say("DEBUG DIGEST-VALUE b nokey").split(' ').nth(2),
            Some(format!("+{}", "0".repeat(40)).as_str())
        );
        assert_eq!(bench.say("FLUSHALL"), "+OK");
        bench.say("SET a 1");
        assert_eq!(bench.say("DEBUG DIGEST"), digest);
    }

    #[test]
    fn help_shows_arguments_wherever_there_are_some() {
        let mut bench = bench();
        let help = bench.say("DEBUG HELP");
        assert!(
            help.contains("POPULATE <count> [<prefix>] [<size>]"),
            "{help}"
        );
        for (name, args, _, most, ..) in SUBS {
            assert_eq!(args.is_empty(), *most == 0, "{name}");
        }
    }
}
