//! MEMORY: what keys and the server as a whole take.

use crate::base::alloc;
use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::command::info::{Memory, Source};
use crate::command::spec::{Group, KeySpec, Spec, flags, key};
use crate::value::usage;

const ROW: Spec = Spec {
    group: Group::Server,
    ..Spec::BLANK
};

pub static TABLE: &[Spec] = &[Spec {
    name: "memory",
    since: "4.0.0",
    arity: -2,
    summary: "Groups the commands that examine memory.",
    subs: &[
        Spec {
            name: "doctor",
            since: "4.0.0",
            arity: 2,
            tips: &[
                "nondeterministic_output",
                "request_policy:all_shards",
                "response_policy:special",
            ],
            summary: "Reports problems of memory use in plain words, with advice.",
            complexity: "O(1)",
            run: doctor,
            ..ROW
        },
        Spec {
            name: "help",
            since: "4.0.0",
            arity: 2,
            flags: flags!(LOADING | STALE),
            summary: "Explains the sub-commands of MEMORY.",
            complexity: "O(1)",
            run: help,
            ..ROW
        },
        Spec {
            name: "malloc-stats",
            since: "4.0.0",
            arity: 2,
            tips: &[
                "nondeterministic_output",
                "request_policy:all_shards",
                "response_policy:special",
            ],
            summary: "Returns the statistics of the allocator.",
            run: malloc_stats,
            ..ROW
        },
        Spec {
            name: "purge",
            since: "4.0.0",
            arity: 2,
            tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
            summary: "Asks the allocator to give unused memory back to the system.",
            run: purge,
            ..ROW
        },
        Spec {
            name: "stats",
            since: "4.0.0",
            arity: 2,
            tips: &[
                "nondeterministic_output",
                "request_policy:all_shards",
                "response_policy:special",
            ],
            summary: "Returns in detail what the memory is used for.",
            complexity: "O(1)",
            run: stats,
            ..ROW
        },
        Spec {
            name: "usage",
            since: "4.0.0",
            arity: -3,
            flags: flags!(READONLY),
            keys: &[KeySpec::one(key!(RO), 2)],
            summary: "Estimates how many bytes a key and its value take.",
            complexity: "O(N)",
            syntax: "key/k0 [SAMPLES:count/i]",
            run: usage,
            ..ROW
        },
    ],
    ..ROW
}];

/// Elements of a collection that USAGE looks at if it is not told how many.
const DEFAULT_SAMPLES: usize = 5;
/// Bytes that a key takes in the table.
const SLOT: usize = size_of::<usize>();
/// Below this the doctor sees nothing worth a word.
const SMALL_SERVER: u64 = 5 << 20;

const HELP: &[&str] = &[
    "DOCTOR",
    "    Return memory problems reports.",
    "MALLOC-STATS",
    "    Return internal statistics report from the memory allocator.",
    "PURGE",
    "    Attempt to purge dirty pages for reclamation by the allocator.",
    "STATS",
    "    Return information about the memory usage of the server.",
    "USAGE <key> [SAMPLES <count>]",
    "    Return memory in bytes used by <key> and its value. Nested values are",
    "    sampled up to <count> times (default: 5, 0 means sample all).",
];

fn help(ctx: &mut Ctx<'_>) -> Outcome {
    ctx.out.help("memory", HELP);
    Ok(())
}

fn usage(ctx: &mut Ctx<'_>) -> Outcome {
    let mut rest = ctx.args.cursor(3);
    let mut samples = DEFAULT_SAMPLES;
    while !rest.done() {
        if rest.left() < 2 || !rest.word("SAMPLES") {
            return Err(Error::SYNTAX);
        }
        samples = usize::try_from(rest.int()?).map_err(|_| Error::SYNTAX)?;
    }
    let key = ctx.args.get(2);
    match ctx.db.peek(key) {
        Some(entry) => ctx.out.count(usage::of_entry(entry, samples) + SLOT),
        None => ctx.out.null(),
    }
    Ok(())
}

fn purge(ctx: &mut Ctx<'_>) -> Outcome {
    alloc::purge().map_err(|_| Error::new("ERR Error purging dirty pages"))?;
    ctx.out.ok();
    Ok(())
}

fn malloc_stats(ctx: &mut Ctx<'_>) -> Outcome {
    let mut text = Vec::new();
    tikv_jemalloc_ctl::stats_print::stats_print(&mut text, Default::default())
        .map_err(|error| Error::text(format!("ERR The allocator gives no statistics: {error}")))?;
    ctx.out.verbatim("txt", &text);
    Ok(())
}

fn figures(ctx: &Ctx<'_>) -> Memory {
    Memory::take(&Source::new(ctx.core, ctx.db.ks, Some(ctx.client)))
}

/// A value of MEMORY STATS.
enum Figure {
    Int(i64),
    Ratio(f64),
    /// Bytes of the table of one database and of its index of expiries.
    Database(usize, usize),
}

fn stats(ctx: &mut Ctx<'_>) -> Outcome {
    let list = all_figures(&figures(ctx), ctx);
    let out = &mut *ctx.out;
    out.map(list.len());
    for (name, figure) in list {
        out.bulk(name.as_bytes());
        match figure {
            Figure::Int(n) => out.int(n),
            Figure::Ratio(value) => out.double(value),
            Figure::Database(main, expires) => {
                out.map(2);
                out.bulk(b"overhead.hashtable.main");
                out.count(main);
                out.bulk(b"overhead.hashtable.expires");
                out.count(expires);
            }
        }
    }
    Ok(())
}

fn all_figures(memory: &Memory, ctx: &Ctx<'_>) -> Vec<(String, Figure)> {
    let int = |name: &str, value: u64| (name.to_owned(), Figure::Int(value as i64));
    let pair = |ratio: &str, bytes: &str, (a, b): (u64, u64)| {
        let quotient = if b == 0 { 0.0 } else { a as f64 / b as f64 };
        [
            (ratio.to_owned(), Figure::Ratio(quotient)),
            (bytes.to_owned(), Figure::Int(a as i64 - b as i64)),
        ]
    };
    let mut list = vec![
        int("peak.allocated", memory.peak),
        int("total.allocated", memory.used),
        int("startup.allocated", memory.startup),
        int("replication.backlog", 0),
        int("clients.slaves", 0),
        int("clients.normal", memory.clients),
        int("cluster.links", 0),
        int("aof.buffer", ctx.core.aof.memory()),
        int("undo.kept", ctx.db.ks.undo.bytes() as u64),
        int("lua.caches", ctx.core.scripts.cache.memory() as u64),
        int(
            "functions.caches",
            ctx.core.scripts.libraries.memory() as u64,
        ),
    ];
    for (index, db) in ctx
        .db
        .ks
        .dbs
        .iter()
        .enumerate()
        .filter(|(_, db)| !db.table.is_empty())
    {
        let expires = db.expiry.len() * size_of::<u64>();
        list.push((
            format!("db.{index}"),
            Figure::Database(db.table.memory(), expires),
        ));
    }
    list.extend([
        int("overhead.db.hashtable.lut", memory.tables),
        int("overhead.db.hashtable.rehashing", 0),
        int("overhead.total", memory.overhead),
        int("db.dict.rehashing.count", 0),
        int("keys.count", memory.keys),
        int(
            "keys.bytes-per-key",
            memory
                .used
                .saturating_sub(memory.startup)
                .checked_div(memory.keys)
                .unwrap_or(0),
        ),
        int("dataset.bytes", memory.dataset()),
        (
            "dataset.percentage".into(),
            Figure::Ratio(memory.dataset_percent()),
        ),
        (
            "peak.percentage".into(),
            Figure::Ratio(memory.peak_percent()),
        ),
        int("allocator.allocated", memory.allocated),
        int("allocator.active", memory.active),
        int("allocator.resident", memory.resident),
        int("allocator.muzzy", 0),
    ]);
    list.extend(pair(
        "allocator-fragmentation.ratio",
        "allocator-fragmentation.bytes",
        memory.fragmentation(),
    ));
    list.extend(pair(
        "allocator-rss.ratio",
        "allocator-rss.bytes",
        (memory.resident, memory.active),
    ));
    list.extend(pair(
        "rss-overhead.ratio",
        "rss-overhead.bytes",
        (memory.rss, memory.resident),
    ));
    list.extend(pair(
        "fragmentation",
        "fragmentation.bytes",
        (memory.rss, memory.used),
    ));
    list
}

fn doctor(ctx: &mut Ctx<'_>) -> Outcome {
    let clients = ctx.core.clients.len() as u64;
    let text = diagnose(&figures(ctx), clients);
    ctx.out.verbatim("txt", text.as_bytes());
    Ok(())
}

/// The report of MEMORY DOCTOR.
fn diagnose(memory: &Memory, clients: u64) -> String {
    if memory.used < SMALL_SERVER {
        return "Hi Sam, this instance is empty or is using very little memory, my issues detector can't be used in these conditions. Please, leave for your mission on Earth and fill it with some data. The new Sam and I will be back to our programming as soon as I finished rebooting.\n".into();
    }
    let exceeds =
        |part: u64, whole: u64, factor: f64| whole > 0 && part as f64 / whole as f64 > factor;
    let (active, allocated) = memory.fragmentation();
    let mut findings = Vec::new();
    if exceeds(memory.peak, memory.used, 1.5) {
        findings.push("Peak memory: In the past this instance used more than 150% the memory that is currently using. The allocator is normally not able to release memory after a peak, so you can expect to see a big fragmentation ratio, however this is actually harmless and is only due to the memory peak, and if the instance Resident Set Size (RSS) is currently bigger than expected, the memory will be used as soon as you fill the instance with more data. If the memory peak was only occasional and you want to try to reclaim memory, please try the MEMORY PURGE command, otherwise the only other option is to shutdown and restart the instance.");
    }
    if exceeds(memory.rss, memory.used, 1.4) && memory.rss.saturating_sub(memory.used) > 10 << 20 {
        findings.push("High total RSS: This instance has a memory fragmentation and RSS overhead greater than 1.4 (this means that the Resident Set Size of the process is much larger than the sum of the logical allocations performed). This problem is usually due either to a large peak memory (check if there is a peak memory entry above in the report) or may result from a workload that causes the allocator to fragment memory a lot.");
    }
    if exceeds(active, allocated, 1.1) && active.saturating_sub(allocated) > 10 << 20 {
        findings.push("High allocator fragmentation: This instance has an allocator external fragmentation greater than 1.1. This problem is usually due either to a large peak memory (check if there is a peak memory entry above in the report) or may result from a workload that causes the allocator to fragment memory a lot.");
    }
    if clients > 0 && memory.clients / clients > 200 * 1024 {
        findings.push("Big client buffers: The clients output buffers in this instance are greater than 200K per client (on average). This may result from different causes, like Pub/Sub clients subscribed to channels but not receiving data fast enough, so that data piles on the output buffer, or clients sending commands with large replies or very large sequences of commands in the same pipeline. Please use the CLIENT LIST command in order to investigate the issue if it causes problems in your instance, or to understand better why certain clients are using a big amount of memory.");
    }
    if findings.is_empty() {
        return "Hi Sam, I can't find any memory issue in your instance. I can only account for what occurs on this base.\n".into();
    }
    let mut text =
        String::from("Sam, I detected a few issues in this Redis instance memory implants:\n\n");
    findings
        .iter()
        .for_each(|finding| text.push_str(&format!(" * {finding}\n\n")));
    text.push_str("I'm here to keep you safe, Sam. I want to help you.\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::testing::Bench;

    #[test]
    fn usage_follows_the_value() {
        let mut bench = Bench::new();
        assert_eq!(bench.say("MEMORY USAGE nokey"), "$-1");
        bench.say("SET s abc");
        let small: usize = bench.say("MEMORY USAGE s")[1..].parse().unwrap();
        bench.run(&["SET", "s", &"x".repeat(100_000)]);
        let large: usize = bench.say("MEMORY USAGE s SAMPLES 0")[1..].parse().unwrap();
        assert!(
            small < 100 && (100_000..140_000).contains(&large),
            "{small} {large}"
        );
        assert_eq!(bench.say("MEMORY USAGE s SAMPLES -1"), "-ERR syntax error");
        assert_eq!(bench.say("MEMORY USAGE s SAMPLES"), "-ERR syntax error");
    }

    #[test]
    fn reports_are_there() {
        let mut bench = Bench::new();
        bench.say("SET s abc");
        let stats = bench.say("MEMORY STATS");
        assert!(
            stats.starts_with("*64 ") || stats.starts_with("*66 "),
            "{stats}"
        );
        assert!(stats.contains("$4 db.0 *4 $23 overhead.hashtable.main :"));
        assert!(bench.say("MEMORY DOCTOR").contains("Sam"));
        assert_eq!(bench.say("MEMORY PURGE"), "+OK");
    }

    #[test]
    fn the_doctor_sees_a_peak() {
        let memory = Memory {
            used: 100 << 20,
            peak: 300 << 20,
            rss: 110 << 20,
            ..Memory::default()
        };
        let text = diagnose(&memory, 1);
        assert!(
            text.contains("Peak memory") && !text.contains("High total RSS"),
            "{text}"
        );
    }
}
