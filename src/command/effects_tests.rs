//! The log repeats what was done: every write command is run on a server whose log is read, what was logged is run on
//! another server, and both hold the same data, down to every time of every key and field. The other server has other
//! random numbers, and another time of day.

mod ways;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::examples::{CALLS, PASS_MS, SETUP};
use super::registry;
use super::spec::Flags;
use super::testing::Bench;
use crate::base::rng::Rng;
use crate::base::words::split;
use crate::keyspace::db::Db;
use crate::keyspace::digest;
use crate::value::Collection;
use crate::value::hash::Hash;
use crate::value::stream::{Stream, StreamId, StreamMut};

/// Write commands that no test in one process sees change anything: MIGRATE needs another server.
const NO_EFFECT: &[&str] = &["migrate"];

/// How much of a stream is compared.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Detail {
    /// Without times and counts of deliveries: Redis' log does not tell that a consumer was shown its pending entries
    /// once more.
    Delivered,
    /// Without the times at which consumers were here: no log tells.
    Logged,
    /// Everything, as a file holds it.
    Saved,
}

/// What only [`Detail::Saved`] tells stands between the first two of these in a text, what [`Detail::Logged`] tells as
/// well between the others.
const MARKS: [char; 4] = ['\u{1}', '\u{2}', '\u{3}', '\u{4}'];

/// What a digest leaves out of a stream.
fn groups(stream: &Stream) -> String {
    let [saved, saved_end, logged, logged_end] = MARKS;
    let mut text = format!("{:?}", stream.counters());
    for (name, group) in stream.groups() {
        let name = String::from_utf8_lossy(name);
        text += &format!(" [{name} {} {:?}", group.last_id, group.entries_read);
        for consumer in group.consumers() {
            let name = String::from_utf8_lossy(&consumer.name);
            let (seen, active) = (consumer.seen, consumer.active);
            text += &format!(" {name}{saved}({seen} {active}){saved_end}");
            for id in consumer.pending_from(StreamId::MIN) {
                let entry = group.find_pending(id).expect("it is pending");
                let (time, count) = (entry.time, entry.count);
                text += &format!(" {id}{logged}@{time}x{count}{logged_end}");
            }
        }
        text.push(']');
    }
    text
}

/// Leaves out of a text what is more than `detail`.
fn reduced(text: &str, detail: Detail) -> String {
    let (mut out, mut depth) = (String::new(), 0);
    for c in text.chars() {
        match MARKS.iter().position(|mark| *mark == c) {
            Some(0) if detail < Detail::Saved => depth = 1,
            Some(2) if detail < Detail::Logged => depth = 1,
            Some(1 | 3) => depth = 0,
            Some(_) => {}
            None if depth == 0 => out.push(c),
            None => {}
        }
    }
    out
}

/// All data with all times, as text.
fn data(bench: &Bench) -> String {
    reduced(&whole(bench), Detail::Delivered)
}

fn whole(bench: &Bench) -> String {
    let functions = bench.server.core.function_sources();
    text_of(&bench.server.ks.dbs, &functions)
}

/// Each value by its digest, with what that leaves out: times, groups. DEBUG DIGEST is made of the same digests.
fn text_of(dbs: &[Db], functions: &[Vec<u8>]) -> String {
    let mut lines = BTreeMap::new();
    for (index, db) in dbs.iter().enumerate() {
        for entry in db.table.iter() {
            let mut line = format!("{} {:?}", digest::of_value(entry).hex(), entry.expire());
            if let Some(hash) = Hash::view(entry.payload()) {
                let mut fields: Vec<_> = hash
                    .iter()
                    .map(|field| (field.field.with_bytes(|name| name.to_vec()), field.expire))
                    .collect();
                fields.sort();
                line += &format!(" {fields:?}");
            }
            if let Some(stream) = StreamMut::view(entry.payload()) {
                line += &format!(" {}", groups(stream));
            }
            let key = String::from_utf8_lossy(entry.key()).into_owned();
            lines.insert((index, key), line);
        }
    }
    for source in functions {
        let source = String::from_utf8_lossy(source).into_owned();
        lines.insert((usize::MAX, source), String::new());
    }
    let line = |((db, key), value): (&(usize, String), &String)| format!("{db} {key:?}: {value}\n");
    lines.iter().map(line).collect()
}

fn prepared() -> Bench {
    prepared_at(0)
}

/// A server with values of every type, made at a time that is `ms` off the present one.
fn prepared_at(ms: i64) -> Bench {
    let mut bench = Bench::new();
    bench.pass_ms(ms);
    for line in SETUP {
        let reply = bench.say(line);
        assert!(!reply.starts_with('-'), "{line}: {reply}");
    }
    bench
}

/// The commands in a log.
fn commands(mut log: &[u8]) -> Vec<Vec<Vec<u8>>> {
    fn line<'a>(log: &mut &'a [u8]) -> &'a [u8] {
        let end = log.windows(2).position(|w| w == b"\r\n").expect("a line");
        let line = &log[..end];
        *log = &log[end + 2..];
        line
    }
    let number = |line: &[u8]| -> usize {
        let text = std::str::from_utf8(&line[1..]).expect("digits");
        text.parse().expect("digits")
    };
    let mut out = Vec::new();
    while !log.is_empty() {
        let count = number(line(&mut log));
        let mut command = Vec::new();
        for _ in 0..count {
            let len = number(line(&mut log));
            command.push(log[..len].to_vec());
            log = &log[len + 2..];
        }
        out.push(command);
    }
    out
}

fn shown(log: &[Vec<Vec<u8>>]) -> String {
    let line = |words: &Vec<Vec<u8>>| {
        let mut words: Vec<_> = words
            .iter()
            .map(|word| String::from_utf8_lossy(word))
            .collect();
        // A time that has not come yet is now: where the clock is behind, it is logged anew as another one.
        let time = words.iter().position(|word| word == "TIME");
        if let Some(at) = time.filter(|_| words[0] == "XCLAIM") {
            words[at + 1] = "…".into();
        }
        words.join(" ")
    };
    log.iter().map(line).collect::<Vec<_>>().join("; ")
}

/// Runs what was logged on a server that is `ahead_ms` ahead of the other one's beginning, and logs it again.
fn replayed(log: &[Vec<Vec<u8>>], ahead_ms: i64, faults: &mut Vec<String>) -> (String, String) {
    let mut bench = prepared();
    bench.server.ks.log.attach(crate::log::Consumer::File);
    bench.pass_ms(ahead_ms);
    // A follower waits for the word of its source.
    bench.server.ks.active_expire = false;
    for words in log {
        let reply = bench.run(words);
        if reply.starts_with(b"-") {
            faults.push(format!(
                "logged what fails: {} -> {}",
                shown(std::slice::from_ref(words)),
                String::from_utf8_lossy(&reply)
            ));
        }
    }
    let again = commands(&bench.server.ks.log.take().bytes);
    (data(&bench), shown(&again))
}

fn find(call: &str) -> &'static registry::Command {
    static NAMES: LazyLock<registry::Names> = LazyLock::new(|| registry::Names::new(|_| true));
    let words = split(call.as_bytes()).expect("balanced quotes");
    NAMES.find(words.as_slice()).expect("a known command")
}

fn name_of(call: &str) -> &'static str {
    &find(call).full_name
}

/// Whether the log of a call repeats it; what is wrong goes to `faults`. True if the call changed data.
fn check(call: &str, faults: &mut Vec<String>) -> bool {
    let mut source = prepared();
    source.pass_ms(PASS_MS);
    source.server.ks.log.attach(crate::log::Consumer::File);
    let before = data(&source);
    let reply = source.say(call);
    // OBJECT FREQ depends on the eviction policy.
    if reply.starts_with('-') && !call.starts_with("OBJECT FREQ") {
        faults.push(format!("{call}: {reply}"));
        return false;
    }
    let changed = data(&source) != before;
    compare(call, 1, source, faults);
    changed
}

/// Runs the log of `source` elsewhere and compares. `calls`: how many made it. Of several only the data is compared:
/// HSETEX with a time in the past logs an HDEL also of what was not there, which logs nothing when it is run. And these
/// are not run on a server whose clock is ahead: without being told that it follows, it ends the times of keys itself.
fn compare(what: &str, calls: usize, mut source: Bench, faults: &mut Vec<String>) {
    // What is over and was not met goes now, so that the data does not depend on who met what.
    source.server.ks.expire_slice(&mut || false);
    let log = commands(&source.server.ks.log.take().bytes);
    let wanted = data(&source);
    // As a file that is loaded before the times are over, and as a replica whose clock is ahead.
    let times: &[i64] = if calls == 1 {
        &[0, PASS_MS + 5_000]
    } else {
        &[0]
    };
    for &ahead_ms in times {
        let mut inner = Vec::new();
        let (got, again) = replayed(&log, ahead_ms, &mut inner);
        if got != wanted {
            let differs: Vec<String> = wanted
                .lines()
                .zip(got.lines())
                .filter(|(a, b)| a != b)
                .take(3)
                .map(|(a, b)| format!("\n      is    {a}\n      again {b}"))
                .collect();
            inner.push(format!("the data differs{}", differs.concat()));
        }
        if ahead_ms == 0 && again != shown(&log) && calls == 1 {
            inner.push(format!("logged anew as {again}"));
        }
        if !inner.is_empty() {
            faults.push(format!(
                "{what} (+{ahead_ms} ms)\n    log {}\n    {}",
                shown(&log),
                inner.join("\n    ")
            ));
        }
    }
}

#[test]
fn the_log_of_every_write_repeats_it() {
    let mut faults = Vec::new();
    let mut changing = std::collections::BTreeSet::new();
    for call in CALLS {
        if check(call, &mut faults) {
            changing.insert(name_of(call));
        }
    }
    for command in registry::all() {
        let name = command.full_name.as_str();
        if command.flags.contains(Flags::WRITE)
            && !changing.contains(name)
            && !NO_EFFECT.contains(&name)
        {
            faults.push(format!("no example of {name} changes anything"));
        }
    }
    assert!(
        faults.is_empty(),
        "{} faults:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

/// Each call meets what others have left, in an order that the seed says.
#[test]
fn the_log_of_many_writes_repeats_them() {
    let mut faults = Vec::new();
    for seed in 0..50 {
        let mut rng = Rng::new(seed);
        let mut source = prepared();
        source.server.ks.log.attach(crate::log::Consumer::File);
        for _ in 0..150 {
            let call = CALLS[rng.below(CALLS.len() as u64) as usize];
            if ["FLUSHALL", "FLUSHDB"].contains(&call) && rng.below(10) > 0 {
                continue;
            }
            // What comes back after a flush is in no log: who reads the log gets a new copy.
            if call == "FERRITE UNDO" {
                continue;
            }
            source.say(call);
            source.pass_ms(rng.below(2_000) as i64);
        }
        compare(&format!("seed {seed}"), 150, source, &mut faults);
    }
    assert!(
        faults.is_empty(),
        "{} faults:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

#[test]
fn a_wrong_log_is_noticed() {
    let mut source = prepared();
    source.server.ks.log.attach(crate::log::Consumer::File);
    source.say("SPOP set 3");
    let wanted = data(&source);
    let mut faults = Vec::new();
    // What was asked for, in the place of what was done.
    let asked = vec![split(b"SPOP set 3").expect("words")];
    let others: Vec<String> = (0..8).map(|_| replayed(&asked, 0, &mut faults).0).collect();
    assert!(
        others.iter().any(|data| *data != wanted),
        "eight times the same three of eight"
    );
    assert!(faults.is_empty(), "{faults:?}");
    let (data, _) = replayed(&[split(b"INCR list").expect("words")], 0, &mut faults);
    assert_ne!(data, wanted);
    assert_eq!(faults.len(), 1, "{faults:?}");
}
