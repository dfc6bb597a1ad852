//! INFO: the state and the statistics of the server as `field:value` lines in sections.

mod memory;
mod sections;
mod stats;

pub use memory::{Memory, Outside};

use std::fmt::{Display, Write};

use crate::base::alloc;
use crate::command::args::Args;
use crate::command::ctx::{Ctx, Outcome};
use crate::command::spec::{Group, Spec, cats, flags};
use crate::dispatch::client::Client;
use crate::dispatch::core::Core;
use crate::keyspace::Keyspace;

const ROW: Spec = Spec {
    group: Group::Server,
    ..Spec::BLANK
};

pub static TABLE: &[Spec] = &[Spec {
    name: "info",
    since: "1.0.0",
    arity: -1,
    flags: flags!(LOADING | STALE),
    categories: cats!(DANGEROUS),
    tips: &[
        "nondeterministic_output",
        "request_policy:all_shards",
        "response_policy:special",
    ],
    history: &[("7.0.0", "Allowed several sections in one call.")],
    summary: "Reports the state and the statistics of the server.",
    complexity: "O(1)",
    syntax: "[section...]",
    run: info,
    ..ROW
}];

/// What sections are made of.
pub struct Source<'a> {
    pub core: &'a Core,
    pub ks: &'a Keyspace,
    /// The client that asks: it is out of its place in the list.
    pub client: Option<&'a Client>,
    /// Bytes in use before the answer took any.
    pub used: u64,
    /// If another thread has asked for it already.
    outside: Option<Outside>,
}

impl<'a> Source<'a> {
    pub fn new(core: &'a Core, ks: &'a Keyspace, client: Option<&'a Client>) -> Source<'a> {
        Source {
            core,
            ks,
            client,
            used: alloc::used_memory(),
            outside: None,
        }
    }

    /// All clients, in no order.
    fn clients(&self) -> impl Iterator<Item = &'a Client> {
        self.core.clients.iter().chain(self.client)
    }
}

/// Which calls show a section.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// Always.
    Default,
    /// `INFO all` and by name.
    All,
    /// By name.
    Named,
}

struct Section {
    title: &'static str,
    shown: Shown,
    write: fn(&mut Lines<'_>, &Source<'_>),
}

const fn section(
    title: &'static str,
    shown: Shown,
    write: fn(&mut Lines<'_>, &Source<'_>),
) -> Section {
    Section {
        title,
        shown,
        write,
    }
}

/// All sections in the order of the reply.
static SECTIONS: &[Section] = &[
    section("Server", Shown::Default, sections::server),
    section("Clients", Shown::Default, sections::clients),
    section("Memory", Shown::Default, memory::write),
    section("Persistence", Shown::Default, sections::persistence),
    section("Stats", Shown::Default, stats::write),
    section("Replication", Shown::Default, sections::replication),
    section("CPU", Shown::Default, sections::cpu),
    section("Modules", Shown::Default, |_, _| {}),
    section("Commandstats", Shown::All, stats::commands),
    section("Errorstats", Shown::Default, stats::errors),
    section("Latencystats", Shown::All, stats::latencies),
    section("Cluster", Shown::Default, sections::cluster),
    section("Keyspace", Shown::Default, sections::keyspace),
    section("Debug", Shown::Named, stats::debug),
];

/// The sections of a Sentinel.
static SENTINEL: &[Section] = &[
    section("Server", Shown::Default, sections::server),
    section("Clients", Shown::Default, sections::clients),
    section("Stats", Shown::Default, stats::write),
    section("CPU", Shown::Default, sections::cpu),
    section("Sentinel", Shown::Default, |lines, source| {
        if let Some(state) = &source.core.sentinel {
            super::sentinel::write_info(lines, &state.core);
        }
    }),
];

/// Writes `field:value` lines.
pub struct Lines<'a>(&'a mut String);

impl Lines<'_> {
    pub fn field(&mut self, name: &str, value: impl Display) {
        // Writing to a string does not fail.
        let _ = write!(self.0, "{name}:{value}\r\n");
    }

    /// The same number twice, the second time for people.
    pub fn bytes(&mut self, name: &str, value: u64) {
        self.field(name, value);
        self.field(&format!("{name}_human"), human(value));
    }

    /// Fields that have had no occasion to be anything else.
    pub fn zeros(&mut self, names: &[&str]) {
        names.iter().for_each(|name| self.field(name, 0));
    }
}

/// `1.50M`.
pub fn human(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["K", "M", "G", "T", "P"];
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let power = (bytes.ilog2() / 10).min(UNITS.len() as u32);
    format!(
        "{:.2}{}",
        bytes as f64 / 1024f64.powi(power as i32),
        UNITS[power as usize - 1]
    )
}

/// Whether a call with these arguments shows the section.
fn is_wanted(section: &Section, args: &Args<'_>) -> bool {
    if args.is_empty() {
        return section.shown == Shown::Default;
    }
    args.iter()
        .any(|arg| match arg.to_ascii_lowercase().as_slice() {
            b"default" => section.shown == Shown::Default,
            b"all" | b"everything" => section.shown != Shown::Named,
            name => section.title.as_bytes().eq_ignore_ascii_case(name),
        })
}

fn text(source: &Source<'_>, wanted: impl Fn(&Section) -> bool) -> String {
    let mut text = String::with_capacity(8192);
    let sections = if source.core.sentinel.is_some() {
        SENTINEL
    } else {
        SECTIONS
    };
    for section in sections.iter().filter(|section| wanted(section)) {
        if !text.is_empty() {
            text.push_str("\r\n");
        }
        let _ = write!(text, "# {}\r\n", section.title);
        (section.write)(&mut Lines(&mut text), source);
    }
    text
}

/// Everything, for crash reports.
pub fn everything(core: &Core, ks: &Keyspace) -> String {
    text(&Source::new(core, ks, None), |section| {
        section.shown != Shown::Named
    })
}

/// The fields of the default sections, for who reads them by name. Errors are counted elsewhere under their own names.
pub fn for_metrics(core: &Core, ks: &Keyspace, outside: Outside) -> String {
    let source = Source {
        outside: Some(outside),
        ..Source::new(core, ks, None)
    };
    text(&source, |section| {
        section.shown == Shown::Default && section.title != "Errorstats"
    })
}

fn info(ctx: &mut Ctx<'_>) -> Outcome {
    let args = ctx.args.from(1);
    let source = Source::new(ctx.core, ctx.db.ks, Some(ctx.client));
    let text = text(&source, |section| is_wanted(section, &args));
    if ctx.core.sentinel.is_some() {
        // Redis' Sentinel does not say that it is text.
        ctx.out.bulk(text.as_bytes());
    } else {
        ctx.out.verbatim("txt", text.as_bytes());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::human;
    use crate::command::testing::Bench;

    fn titles(text: &str) -> Vec<&str> {
        text.split("# ")
            .skip(1)
            .filter_map(|part| part.split_whitespace().next())
            .collect()
    }

    #[test]
    fn sections_come_by_name_and_in_order() {
        let mut bench = Bench::new();
        assert_eq!(
            titles(&bench.say("INFO keyspace SERVER nosuch server")),
            ["Server", "Keyspace"]
        );
        assert_eq!(bench.say("INFO nosuch"), "$0");
        let all = bench.say("INFO all");
        let expected = [
            "Server",
            "Clients",
            "Memory",
            "Persistence",
            "Stats",
            "Replication",
            "CPU",
            "Modules",
            "Commandstats",
            "Errorstats",
            "Latencystats",
            "Cluster",
            "Keyspace",
        ];
        assert_eq!(titles(&all), expected);
        let default = bench.say("INFO");
        assert!(!default.contains("# Commandstats") && !default.contains("# Debug"));
    }

    /// Every recorded field of these sections is there, in the recorded order.
    #[test]
    fn fields_are_those_that_monitoring_knows() {
        let mut bench = Bench::new();
        let text = String::from_utf8(bench.run(&["INFO", "everything"])).unwrap();
        let mut seen = std::collections::HashSet::new();
        for line in text.lines().skip(1).filter(|l| l.contains(':')) {
            let (name, value) = line.split_once(':').unwrap();
            assert!(seen.insert(name.to_owned()), "{name} twice");
            if name.ends_with("_version") {
                let dotted = value.split('.').all(|part| part.parse::<u32>().is_ok());
                assert!(dotted, "{line}: versions are dotted numbers");
            }
        }
        let wanted = [
            "redis_version",
            "ferrite_version",
            "run_id",
            "tcp_port",
            "uptime_in_seconds",
            "connected_clients",
            "used_memory",
            "used_memory_rss",
            "mem_fragmentation_ratio",
            "maxmemory_policy",
            "loading",
            "rdb_changes_since_last_save",
            "aof_enabled",
            "total_connections_received",
            "instantaneous_ops_per_sec",
            "keyspace_hits",
            "role",
            "connected_slaves",
            "master_replid",
            "used_cpu_sys",
            "cluster_enabled",
        ];
        for name in wanted {
            assert!(seen.contains(name), "{name} is missing");
        }
    }

    #[test]
    fn sizes_for_people() {
        let cases = [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1.00K"),
            (1_537_880, "1.47M"),
            (u64::MAX, "16384.00P"),
        ];
        for (bytes, text) in cases {
            assert_eq!(human(bytes), text);
        }
    }
}
