//! LATENCY: spikes of named events, and how run times of commands are distributed.

use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::command::registry;
use crate::command::spec::{Group, Spec, flags};
use crate::dispatch::latency::Spikes;
use crate::resp::reply::Reply;

const ROW: Spec = Spec {
    group: Group::Server,
    ..Spec::BLANK
};

pub static TABLE: &[Spec] = &[Spec {
    name: "latency",
    since: "2.8.13",
    arity: -2,
    summary: "Groups the commands that examine delays.",
    subs: &[
        Spec {
            name: "doctor",
            since: "2.8.13",
            arity: 2,
            flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE),
            tips: &[
                "nondeterministic_output",
                "request_policy:all_nodes",
                "response_policy:special",
            ],
            summary: "Reports the observed delays in plain words, with advice.",
            complexity: "O(1)",
            run: doctor,
            ..ROW
        },
        Spec {
            name: "graph",
            since: "2.8.13",
            arity: 3,
            flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE),
            tips: &[
                "nondeterministic_output",
                "request_policy:all_nodes",
                "response_policy:special",
            ],
            summary: "Draws the recent delays of an event.",
            complexity: "O(1)",
            syntax: "event",
            run: graph,
            ..ROW
        },
        Spec {
            name: "help",
            since: "2.8.13",
            arity: 2,
            flags: flags!(LOADING | STALE),
            summary: "Explains the sub-commands of LATENCY.",
            complexity: "O(1)",
            run: help,
            ..ROW
        },
        Spec {
            name: "histogram",
            since: "7.0.0",
            arity: -2,
            flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE),
            tips: &[
                "nondeterministic_output",
                "request_policy:all_nodes",
                "response_policy:special",
            ],
            summary: "Returns how the run times of commands are distributed.",
            complexity: "O(N)",
            syntax: "[command...]",
            run: histogram,
            ..ROW
        },
        Spec {
            name: "history",
            since: "2.8.13",
            arity: 3,
            flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE),
            tips: &[
                "nondeterministic_output",
                "request_policy:all_nodes",
                "response_policy:special",
            ],
            summary: "Returns the recorded delays of an event with their times.",
            complexity: "O(1)",
            syntax: "event",
            run: history,
            ..ROW
        },
        Spec {
            name: "latest",
            since: "2.8.13",
            arity: 2,
            flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE),
            tips: &[
                "nondeterministic_output",
                "request_policy:all_nodes",
                "response_policy:special",
            ],
            summary: "Returns the latest and the worst delay of each event.",
            complexity: "O(1)",
            run: latest,
            ..ROW
        },
        Spec {
            name: "reset",
            since: "2.8.13",
            arity: -2,
            flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE),
            tips: &["request_policy:all_nodes", "response_policy:agg_sum"],
            summary: "Forgets the recorded delays of the given events, or of all.",
            complexity: "O(1)",
            syntax: "[event...]",
            run: reset,
            ..ROW
        },
    ],
    ..ROW
}];

/// Columns of LATENCY GRAPH, and rows of its picture.
const GRAPH_COLUMNS: usize = 80;
const GRAPH_ROWS: u32 = 4;

const HELP: &[&str] = &[
    "DOCTOR",
    "    Return a human readable latency analysis report.",
    "GRAPH <event>",
    "    Return an ASCII latency graph for the <event> class.",
    "HISTORY <event>",
    "    Return time-latency samples for the <event> class.",
    "LATEST",
    "    Return the latest latency samples for all events.",
    "RESET [<event> ...]",
    "    Reset latency data of one or more <event> classes.",
    "    (default: reset all data for all event classes)",
    "HISTOGRAM [COMMAND ...]",
    "    Return a cumulative distribution of latencies in the format of a histogram for the specified command names.",
    "    If no commands are specified then all histograms are replied.",
];

fn help(ctx: &mut Ctx<'_>) -> Outcome {
    ctx.out.help("latency", HELP);
    Ok(())
}

fn history(ctx: &mut Ctx<'_>) -> Outcome {
    let Some(spikes) = ctx.core.latency.get(ctx.args.get(2)) else {
        ctx.out.array(0);
        return Ok(());
    };
    ctx.out.array(spikes.samples.len());
    for (time_s, ms) in &spikes.samples {
        ctx.out.array(2);
        ctx.out.int(*time_s);
        ctx.out.int(i64::from(*ms));
    }
    Ok(())
}

fn latest(ctx: &mut Ctx<'_>) -> Outcome {
    let events = ctx.core.latency.iter();
    ctx.out.array(events.len());
    for (name, spikes) in events {
        let (time_s, ms) = spikes.samples.back().copied().unwrap_or_default();
        ctx.out.array(4);
        ctx.out.bulk(name.as_bytes());
        ctx.out.int(time_s);
        ctx.out.int(i64::from(ms));
        ctx.out.int(i64::from(spikes.max_ms));
    }
    Ok(())
}

fn reset(ctx: &mut Ctx<'_>) -> Outcome {
    let names: Vec<&[u8]> = ctx.args.from(2).iter().collect();
    ctx.out.count(ctx.core.latency.reset(&names));
    Ok(())
}

fn histogram(ctx: &mut Ctx<'_>) -> Outcome {
    let stats = &ctx.core.stats.commands;
    let wanted: Vec<&registry::Command> = if ctx.args.len() == 2 {
        registry::all().iter().collect()
    } else {
        let names = ctx.args.from(2);
        let found = names
            .iter()
            .filter_map(|name| ctx.core.commands.by_full_name(name));
        // A container stands for all its sub-commands.
        found
            .flat_map(|command| std::iter::once(command).chain(command.subs()))
            .collect()
    };
    let shown: Vec<_> = wanted
        .into_iter()
        .filter_map(|c| Some((c, stats[c.id as usize].latency.as_deref()?)))
        .collect();
    ctx.out.map(shown.len());
    for (command, latency) in shown {
        ctx.out.bulk(command.full_name.as_bytes());
        ctx.out.map(2);
        ctx.out.bulk(b"calls");
        ctx.out.int(latency.total() as i64);
        ctx.out.bulk(b"histogram_usec");
        let buckets = latency.doublings_us();
        ctx.out.map(buckets.len());
        for (us, count) in buckets {
            ctx.out.int(us as i64);
            ctx.out.int(count as i64);
        }
    }
    Ok(())
}

fn graph(ctx: &mut Ctx<'_>) -> Outcome {
    let name = ctx.args.get(2);
    let Some(spikes) = ctx.core.latency.get(name) else {
        return Err(Error::bytes(
            [b"ERR No samples available for event '", name, b"'"].concat(),
        ));
    };
    let now_s = ctx.core.unix_us() / 1_000_000;
    let picture = draw(
        &String::from_utf8_lossy(name).to_ascii_lowercase(),
        spikes,
        now_s,
    );
    ctx.out.verbatim("txt", picture.as_bytes());
    Ok(())
}

/// Age in the largest unit that gives at least 1.
fn age(seconds: i64) -> String {
    match seconds.max(0) {
        s @ 0..60 => format!("{s}s"),
        s @ 60..3600 => format!("{}m", s / 60),
        s @ 3600..86_400 => format!("{}h", s / 3600),
        s => format!("{}d", s / 86_400),
    }
}

/// A bar for each of the latest samples, its age written downwards below it.
fn draw(event: &str, spikes: &Spikes, now_s: i64) -> String {
    let skip = spikes.samples.len().saturating_sub(GRAPH_COLUMNS);
    let samples: Vec<(i64, u32)> = spikes.samples.iter().skip(skip).copied().collect();
    let low = samples.iter().map(|s| s.1).min().unwrap_or(0);
    let high = samples.iter().map(|s| s.1).max().unwrap_or(0);
    let mut text = format!(
        "{event} - high {high} ms, low {low} ms (all time high {} ms)\n{}\n",
        spikes.max_ms,
        "-".repeat(GRAPH_COLUMNS)
    );
    // Heights in half rows: `_` is a low top, `o` and `#` higher ones.
    let steps = GRAPH_ROWS * 2;
    let span = u64::from((high - low).max(1));
    let height = |ms: u32| (u64::from(ms - low) * u64::from(steps - 1) / span) as u32;
    for row in (0..GRAPH_ROWS).rev() {
        let line: String = samples
            .iter()
            .map(|(_, ms)| match height(*ms) {
                h if h / 2 == row && h % 2 == 0 => '_',
                h if h / 2 == row => 'o',
                h if h / 2 > row => '|',
                _ => ' ',
            })
            .collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text.push('\n');
    let ages: Vec<Vec<u8>> = samples
        .iter()
        .map(|(at, _)| age(now_s - at).into_bytes())
        .collect();
    for row in 0..ages.iter().map(Vec::len).max().unwrap_or(0) {
        let line: String = ages
            .iter()
            .map(|age| age.get(row).map_or(' ', |b| char::from(*b)))
            .collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn doctor(ctx: &mut Ctx<'_>) -> Outcome {
    let text = diagnose(ctx);
    verbatim(ctx.out, &text);
    Ok(())
}

fn verbatim(out: &mut Reply, text: &str) {
    out.verbatim("txt", text.as_bytes());
}

/// The report of LATENCY DOCTOR.
fn diagnose(ctx: &Ctx<'_>) -> String {
    let core = &*ctx.core;
    let threshold = core.config.latency_monitor_threshold;
    if threshold == 0 {
        return "I'm sorry, Dave, I can't do that. Latency monitoring is disabled in this Redis instance. You may use \"CONFIG SET latency-monitor-threshold <milliseconds>.\" in order to enable it.\n".into();
    }
    if core.latency.iter().len() == 0 {
        return "Dave, no latency spike was observed during the lifetime of this Redis instance, not in the slightest bit. I honestly think you ought to sit down calmly, take a stress pill, and think things over.\n".into();
    }
    let mut text = String::from(
        "Dave, I have observed latency spikes in this Redis instance. You don't mind talking about it, do you Dave?\n\n",
    );
    for (number, (name, spikes)) in core.latency.iter().enumerate() {
        let count = spikes.samples.len();
        let sum: u64 = spikes.samples.iter().map(|(_, ms)| u64::from(*ms)).sum();
        let mean = sum / count.max(1) as u64;
        let deviation: u64 = spikes
            .samples
            .iter()
            .map(|(_, ms)| u64::from(*ms).abs_diff(mean))
            .sum();
        let first = spikes.samples.front().map_or(0, |s| s.0);
        let last = spikes.samples.back().map_or(0, |s| s.0);
        text.push_str(&format!(
            "{}. {name}: {count} latency spikes (average {mean}ms, mean deviation {}ms, period {:.2} sec). Worst all time event {}ms.\n",
            number + 1,
            deviation / count.max(1) as u64,
            (last - first) as f64 / count.max(1) as f64,
            spikes.max_ms
        ));
    }
    text.push_str("\nI have a few advices for you:\n\n");
    for (name, _) in core.latency.iter() {
        if let Some(advice) = advice(name) {
            text.push_str(&format!("- {advice}\n"));
        }
    }
    text
}

fn advice(event: &str) -> Option<&'static str> {
    match event {
        "command" => Some(
            "Check your Slow Log to understand what are the commands you are running which are too slow to execute. Please check SLOWLOG GET for more information.",
        ),
        "fast-command" => Some(
            "Commands that are fast by themselves took long: the machine is overloaded, or memory is swapped. Check the load of the system.",
        ),
        "eviction-cycle" => Some(
            "Sudden changes to the 'maxmemory' setting via 'CONFIG SET', or allocation of large objects via sets or sorted sets intersections, STORE option of SORT, may create sudden memory pressure forcing the server to block trying to evict keys.",
        ),
        "expire-cycle" => Some("Many keys end at the same time. Spread their expiry if you can."),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::testing::Bench;

    #[test]
    fn spikes_are_shown() {
        let mut bench = Bench::new();
        assert!(
            bench
                .say("LATENCY DOCTOR")
                .contains("Latency monitoring is disabled")
        );
        assert_eq!(
            bench.say("LATENCY GRAPH foo"),
            "-ERR No samples available for event 'foo'"
        );
        bench.say("CONFIG SET latency-monitor-threshold 1");
        assert!(bench.say("LATENCY DOCTOR").contains("no latency spike"));
        for (second, ms) in [(100, 5), (101, 40), (103, 17)] {
            bench.server.core.latency.record("command", second, ms);
        }
        assert_eq!(
            bench.say("LATENCY HISTORY command"),
            "*3 *2 :100 :5 *2 :101 :40 *2 :103 :17"
        );
        assert_eq!(bench.say("LATENCY LATEST"), "*1 *4 $7 command :103 :17 :40");
        assert!(
            bench
                .say("LATENCY DOCTOR")
                .contains("1. command: 3 latency spikes (average 20ms, mean deviation 12ms")
        );
        assert!(
            bench
                .say("LATENCY GRAPH command")
                .contains("command - high 40 ms, low 5 ms (all time high 40 ms)")
        );
        assert_eq!(bench.say("LATENCY RESET foo"), ":0");
        assert_eq!(bench.say("LATENCY RESET"), ":1");
        assert_eq!(bench.say("LATENCY LATEST"), "*0");
    }

    #[test]
    fn a_graph_has_a_column_for_each_sample() {
        let mut spikes = Spikes {
            max_ms: 80,
            ..Spikes::default()
        };
        spikes.samples.extend([(940, 10), (990, 80), (1000, 45)]);
        let text = draw("command", &spikes, 1000);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[2..6], [" o", " |", " |o", "_||"], "{text}");
        assert_eq!(lines[7..], ["110", "m0s", " s"]);
    }

    #[test]
    fn run_times_of_commands() {
        let mut bench = Bench::new();
        bench.say("CLIENT ID");
        bench.say("CONFIG GET hz");
        let reply = bench.say("LATENCY HISTOGRAM client config|get nosuch");
        assert!(
            reply.starts_with("*4 $9 client|id *4 $5 calls :1 $14 histogram_usec *2 :"),
            "{reply}"
        );
        assert!(reply.contains("$10 config|get "));
        assert_eq!(bench.say("LATENCY HISTOGRAM foo"), "*0");
    }
}
