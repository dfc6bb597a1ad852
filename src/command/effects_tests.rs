//! The log repeats what was done: every write command is run on a server whose log is read, what was logged is run on
//! another server, and both hold the same data, down to every time of every key and field. The other server has other
//! random numbers, and another time of day.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::examples::{CALLS, PASS_MS, SETUP};
use super::registry;
use super::spec::Flags;
use super::testing::Bench;
use crate::base::rng::Rng;
use crate::base::words::split;
use crate::keyspace::digest;
use crate::value::Collection;
use crate::value::hash::Hash;
use crate::value::stream::{Stream, StreamId, StreamMut};

/// Write commands that no test in one process sees change anything: MIGRATE needs another server.
const NO_EFFECT: &[&str] = &["migrate"];

/// What a digest leaves out of a stream, but for times and counts of deliveries: Redis' log does not tell that a consumer
/// was shown its pending entries once more.
fn groups(stream: &Stream) -> String {
    let mut text = format!("{:?}", stream.counters());
    for (name, group) in stream.groups() {
        let name = String::from_utf8_lossy(name);
        write!(text, " [{name} {} {:?}", group.last_id, group.entries_read)
            .expect("a string takes all");
        for consumer in group.consumers() {
            let name = String::from_utf8_lossy(&consumer.name);
            write!(text, " {name}").expect("a string takes all");
            for id in consumer.pending_from(StreamId::MIN) {
                write!(text, " {id}").expect("a string takes all");
            }
        }
        text.push(']');
    }
    text
}

/// All data with all times, as text.
fn data(bench: &Bench) -> String {
    let mut lines = BTreeMap::new();
    for (index, db) in bench.server.ks.dbs.iter().enumerate() {
        for entry in db.table.iter() {
            let mut line = format!("{} {:?}", digest::of_value(entry).hex(), entry.expire());
            if let Some(hash) = Hash::view(entry.payload()) {
                let mut fields: Vec<_> = hash
                    .iter()
                    .map(|field| (field.field.with_bytes(|name| name.to_vec()), field.expire))
                    .collect();
                fields.sort();
                write!(line, " {fields:?}").expect("a string takes all");
            }
            if let Some(stream) = StreamMut::view(entry.payload()) {
                write!(line, " {}", groups(stream)).expect("a string takes all");
            }
            lines.insert(
                (index, String::from_utf8_lossy(entry.key()).into_owned()),
                line,
            );
        }
    }
    for source in bench.server.core.scripts.library_sources() {
        let source = String::from_utf8_lossy(&source).into_owned();
        lines.insert((usize::MAX, source), String::new());
    }
    format!("{lines:#?}")
}

fn prepared() -> Bench {
    let mut bench = Bench::new();
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
                shown(&[words.clone()]),
                String::from_utf8_lossy(&reply)
            ));
        }
    }
    let again = commands(&bench.server.ks.log.take().bytes);
    (data(&bench), shown(&again))
}

fn name_of(call: &str) -> &'static str {
    let words = split(call.as_bytes()).expect("balanced quotes");
    let names = registry::Names::new(|_| true);
    let command = names.find(words.as_slice()).expect("a known command");
    &command.full_name
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
    for seed in 0..100 {
        let mut rng = Rng::new(seed);
        let mut source = prepared();
        source.server.ks.log.attach(crate::log::Consumer::File);
        for _ in 0..150 {
            let call = CALLS[rng.below(CALLS.len() as u64) as usize];
            if ["FLUSHALL", "FLUSHDB"].contains(&call) && rng.below(10) > 0 {
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
