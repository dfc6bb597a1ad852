//! SLOWLOG: the latest commands that took long.

use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::command::spec::{Group, Spec, flags};

const ROW: Spec = Spec {
    group: Group::Server,
    ..Spec::BLANK
};

pub static TABLE: &[Spec] = &[Spec {
    name: "slowlog",
    since: "2.2.12",
    arity: -2,
    summary: "Groups the commands of the slow log.",
    subs: &[
        Spec {
            name: "get",
            since: "2.2.12",
            arity: -2,
            flags: flags!(ADMIN | LOADING | STALE),
            tips: &["request_policy:all_nodes", "nondeterministic_output"],
            history: &[(
                "4.0.0",
                "Added address and name of the client to the entries.",
            )],
            summary: "Returns the latest entries of the slow log.",
            complexity: "O(N)",
            syntax: "[count/i]",
            run: get,
            ..ROW
        },
        Spec {
            name: "help",
            since: "6.2.0",
            arity: 2,
            flags: flags!(LOADING | STALE),
            summary: "Explains the sub-commands of SLOWLOG.",
            complexity: "O(1)",
            run: help,
            ..ROW
        },
        Spec {
            name: "len",
            since: "2.2.12",
            arity: 2,
            flags: flags!(ADMIN | LOADING | STALE),
            tips: &[
                "request_policy:all_nodes",
                "response_policy:agg_sum",
                "nondeterministic_output",
            ],
            summary: "Counts the entries of the slow log.",
            complexity: "O(1)",
            run: len,
            ..ROW
        },
        Spec {
            name: "reset",
            since: "2.2.12",
            arity: 2,
            flags: flags!(ADMIN | LOADING | STALE),
            tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
            summary: "Removes all entries of the slow log.",
            complexity: "O(N)",
            run: reset,
            ..ROW
        },
    ],
    ..ROW
}];

/// Entries that GET shows if it is not told how many.
const DEFAULT_COUNT: usize = 10;

const HELP: &[&str] = &[
    "GET [<count>]",
    "    Return top <count> entries from the slowlog (default: 10, -1 mean all).",
    "    Entries are made of:",
    "    id, timestamp, time in microseconds, arguments array, client IP and port,",
    "    client name",
    "LEN",
    "    Return the length of the slowlog.",
    "RESET",
    "    Reset the slowlog.",
];

fn help(ctx: &mut Ctx<'_>) -> Outcome {
    ctx.out.help("slowlog", HELP);
    Ok(())
}

fn get(ctx: &mut Ctx<'_>) -> Outcome {
    let count = match ctx.args.len() {
        2 => DEFAULT_COUNT,
        3 => match ctx.args.int(2) {
            Ok(-1) => usize::MAX,
            Ok(count) if count >= 0 => usize::try_from(count).unwrap_or(usize::MAX),
            _ => {
                return Err(Error::new(
                    "ERR count should be greater than or equal to -1",
                ));
            }
        },
        _ => return Err(Error::arity(&ctx.command.full_name)),
    };
    let out = &mut *ctx.out;
    out.array(count.min(ctx.core.slowlog.len()));
    for entry in ctx.core.slowlog.iter().take(count) {
        out.array(6);
        out.int(entry.id as i64);
        out.int(entry.time_s);
        out.int(entry.duration_us);
        out.array(entry.args.len());
        entry.args.iter().for_each(|arg| out.bulk(arg));
        out.bulk(entry.addr.as_bytes());
        out.bulk(&entry.name);
    }
    Ok(())
}

fn len(ctx: &mut Ctx<'_>) -> Outcome {
    ctx.out.count(ctx.core.slowlog.len());
    Ok(())
}

fn reset(ctx: &mut Ctx<'_>) -> Outcome {
    ctx.core.slowlog.clear();
    ctx.out.ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testing::Bench;

    #[test]
    fn slow_commands_are_kept_and_secrets_are_not() {
        let mut bench = Bench::new();
        bench.say("CONFIG SET slowlog-log-slower-than 0");
        bench.say("SLOWLOG RESET");
        bench.say("CLIENT SETNAME bob");
        bench.say("CONFIG SET masterauth secret");
        let reply = bench.say("SLOWLOG GET -1");
        assert!(
            reply.contains("$10 masterauth $10 (redacted)") && reply.contains("$3 bob"),
            "{reply}"
        );
        assert!(!reply.contains("secret"));
        assert_eq!(bench.say("SLOWLOG LEN"), ":4");
        assert!(bench.say("SLOWLOG GET 1").starts_with("*1 *6 :"));
        assert!(bench.say("SLOWLOG GET -2").starts_with("-ERR count should"));
        bench.say("CONFIG SET slowlog-max-len 1");
        assert_eq!(bench.say("SLOWLOG LEN"), ":1");
    }
}
