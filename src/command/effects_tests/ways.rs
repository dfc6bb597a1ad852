//! Whatever keeps the data has the same data: a replica that follows the log, an RDB file that is loaded again, the
//! append-only file as it was written, and rewritten, with and without a snapshot as its base. After each write command,
//! alone, in a transaction, in a script, for clients that it wakes, and when keys expire or are evicted.
//!
//! The files are real ones, in the formats and through the code of the server; only their threads are missing.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crc64fast::Digest;

use super::{Detail, find, name_of, prepared_at, reduced, text_of, whole};
use crate::aof;
use crate::aof::dir::{Dir, Place};
use crate::aof::seal::Sum;
use crate::aof::sink::{Resume, Sink};
use crate::base::failpoint;
use crate::base::words::split;
use crate::command::examples::{CALLS, PASS_MS, WAKES};
use crate::command::registry;
use crate::command::spec::Flags;
use crate::command::testing::Bench;
use crate::config::Settings;
use crate::keyspace::db::Db;
use crate::log::{Consumer, Taken, Unit};
use crate::rdb::load::LoadOptions;
use crate::rdb::read::Reader;
use crate::rdb::snapshot::Snapshot;
use crate::rdb::write::{self, SaveOptions};
use crate::rdb::{load, save};
use crate::replication::stream::Splitter;

/// How much earlier than the present the examples are made. The files are loaded by the present clock, which must not be
/// behind: a time of delivery that has not come yet is taken for now.
const EARLIER_MS: i64 = PASS_MS + 3_600_000;

/// What keeps a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    /// A replica that had everything before the command.
    Replica,
    /// The same, with a clock by which all is later.
    LateReplica,
    Rdb,
    /// The append-only file: a base from before the command, and the log.
    Aof,
    /// Rewritten as commands.
    RewrittenAof,
    /// Rewritten as a snapshot.
    RewrittenRdb,
}

const WAYS: &[Way] = &[
    Way::Replica,
    Way::LateReplica,
    Way::Rdb,
    Way::Aof,
    Way::RewrittenAof,
    Way::RewrittenRdb,
];

/// How a command is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Alone,
    Multi,
    Script,
}

/// A server before and after something happened, as far as the ways need it.
struct Case {
    what: String,
    /// The data before, as a file.
    before: Vec<u8>,
    log: Taken,
    after: Arc<Snapshot>,
    settings: Box<Settings>,
    now_ms: i64,
    /// The log tells of this much.
    detail: Detail,
    /// All data after it, as text.
    is: String,
    source: Bench,
    changed: bool,
}

/// Examples of a server whose log is read, some time later.
struct Stage {
    source: Bench,
    before: Vec<u8>,
    was: String,
}

impl Stage {
    fn set() -> Stage {
        let mut source = prepared_at(-EARLIER_MS);
        let before = saved(&source, false);
        source.pass_ms(PASS_MS);
        source.server.ks.log.attach(Consumer::File);
        source.server.ks.log.attach(Consumer::Replicas);
        let was = whole(&source);
        Stage {
            source,
            before,
            was,
        }
    }

    fn end(mut self, what: String, detail: Detail) -> Case {
        // What is over and was not met goes now: a file that is loaded does not know who met what.
        self.source.server.ks.expire_slice(&mut || false);
        self.source.server.runner().end_slice();
        let is = whole(&self.source);
        let server = &mut self.source.server;
        Case {
            what,
            before: self.before,
            log: server.ks.log.take(),
            after: Arc::new(save::snapshot(&server.ks, &server.core)),
            settings: Box::new((*server.core.config).clone()),
            now_ms: server.ks.now_ms,
            detail,
            changed: is != self.was,
            is,
            source: self.source,
        }
    }
}

/// Runs a call, with another write before it if there is something around both.
fn run(bench: &mut Bench, form: Form, call: &str) -> Result<(), String> {
    let failed = |reply: &[u8]| reply.starts_with(b"-") || reply.windows(3).any(|w| w == b"\n-E");
    let words = split(call.as_bytes()).expect("balanced quotes");
    let reply = match form {
        Form::Alone => bench.run(&words),
        Form::Multi => {
            bench.say("MULTI");
            bench.say("SET marker 1");
            bench.run(&words);
            bench.say("EXEC").replace(' ', "\n").into_bytes()
        }
        Form::Script => {
            let script = "redis.call('SET', 'marker', 1); return redis.call(unpack(ARGV))";
            let head = ["EVAL", script, "0"].map(|word| word.as_bytes().to_vec());
            let all: Vec<Vec<u8>> = head.into_iter().chain(words).collect();
            bench.run(&all)
        }
    };
    if failed(&reply) {
        return Err(format!("{}", reply.escape_ascii()));
    }
    Ok(())
}

fn detail_of(call: &str) -> Detail {
    // They are shown what they have already.
    let again = call.starts_with("XREADGROUP") && call.ends_with(" 0");
    if again {
        Detail::Delivered
    } else {
        Detail::Logged
    }
}

fn call_case(form: Form, call: &str) -> Result<Case, String> {
    let mut stage = Stage::set();
    run(&mut stage.source, form, call).map_err(|reply| format!("{call}: {reply}"))?;
    Ok(stage.end(format!("{form:?}: {call}"), detail_of(call)))
}

/// A client's command as the log of a server that does not know what an effect is.
fn verbatim(call: &str) -> Taken {
    let words = split(call.as_bytes()).expect("balanced quotes");
    let mut bytes = Vec::new();
    crate::log::encode(&mut bytes, words.iter().map(Vec::as_slice));
    let end = bytes.len();
    Taken {
        bytes,
        units: vec![Unit { end, keep: true }],
        instead: Vec::new(),
        offset: end as u64,
    }
}

fn saved(bench: &Bench, aof_base: bool) -> Vec<u8> {
    let server = &bench.server;
    let snapshot = Arc::new(save::snapshot(&server.ks, &server.core));
    written(snapshot, aof_base)
}

fn written(snapshot: Arc<Snapshot>, aof_base: bool) -> Vec<u8> {
    let options = SaveOptions {
        aof_base,
        ..SaveOptions::default()
    };
    let mut out = Vec::new();
    write::save(snapshot, &mut out, &options, &write::Progress::default())
        .expect("memory takes all");
    out
}

fn load_options(case: &Case) -> LoadOptions {
    LoadOptions {
        databases: case.source.server.ks.dbs.len(),
        limits: case.source.server.ks.limits,
        access: case.source.server.ks.access,
        now_ms: case.now_ms,
        drop_expired: false,
        checksum: true,
    }
}

/// Databases and function libraries.
type Data = (Vec<Db>, Vec<Vec<u8>>);

fn loaded(file: &[u8], case: &Case) -> Result<Data, String> {
    let mut reader = Reader::new(file, Some(file.len() as u64));
    let loaded = load::load(&mut reader, &load_options(case), &load::Progress::default())
        .map_err(|error| error.to_string())?;
    Ok((loaded.dbs, loaded.functions))
}

/// A replica that had the data before, after the stream, which comes in pieces.
fn replica(case: &Case, ahead_ms: i64) -> Result<Data, String> {
    let (dbs, functions) = loaded(&case.before, case)?;
    let mut bench = Bench::new();
    bench.server.ks.dbs = dbs;
    bench.server.core.replace_functions(functions);
    bench.pass_ms(ahead_ms);
    let mut runner = bench.server.runner();
    runner.follow("127.0.0.1", 1, true, false)?;
    runner.ks.log.attach(Consumer::Replicas);
    let following = runner.core.repl.following.as_mut();
    let mut client = following
        .and_then(|following| {
            following.new_client(0);
            following.client.take()
        })
        .expect("somebody runs what comes");
    let mut splitter = Splitter::default();
    for piece in case.log.bytes.chunks(13) {
        splitter.feed(piece);
        let units = splitter.take()?;
        runner.apply_units(&mut client, &units)?;
    }
    if splitter.pending() > 0 || runner.ks.log.take().bytes != case.log.bytes {
        return Err("it hands on something else".into());
    }
    let functions = bench.server.core.function_sources();
    Ok((bench.server.ks.dbs, functions))
}

/// A directory in memory, if there is such; it goes with the value.
struct Home(Place);

impl Home {
    fn new(case: &Case, way: Way) -> Home {
        let shared = PathBuf::from("/dev/shm");
        let root = if shared.is_dir() {
            shared
        } else {
            std::env::temp_dir()
        };
        let name = format!(
            "ferrite-ways-{}-{:?}-{:p}",
            std::process::id(),
            way,
            &raw const *case
        );
        let home = root.join(name);
        let _ = fs::remove_dir_all(&home);
        fs::create_dir_all(&home).expect("a directory");
        Home(Place {
            dir: home.join("appendonlydir"),
            home,
            stem: "appendonly.aof".into(),
        })
    }

    /// The files of a server whose base is `base`, and which has logged `log` since.
    fn fill(&self, base: &[u8], rdb: bool, log: Option<&Taken>) -> std::io::Result<()> {
        let _alone = failpoint::alone();
        let mut dir = Dir::empty(self.0.clone());
        dir.make()?;
        let temp = self.0.home.join("temp");
        fs::write(&temp, base)?;
        let mut digest = Digest::new();
        digest.write(base);
        let sum = Sum {
            len: base.len() as u64,
            crc: digest.sum64(),
        };
        let open = dir.create_incr()?;
        let behind = crate::aof::seal::Behind {
            part: open.part.seq,
            unit: None,
        };
        dir.rebase(&temp, rdb, sum, behind, Some(&open.part))?;
        if let Some(log) = log {
            let mut sink = Sink::new(open, Resume::default(), 0, false);
            let chunk = aof::state::chunk_of(
                Taken {
                    bytes: log.bytes.clone(),
                    units: log.units.clone(),
                    instead: log.instead.clone(),
                    offset: log.offset,
                },
                None,
            );
            sink.write(vec![chunk]).map_err(|(error, _)| error)?;
            sink.end()?;
        }
        Ok(())
    }

    fn load(&self, case: &Case) -> Result<Data, String> {
        let request = aof::load::Request {
            settings: case.settings.clone(),
            renamed: Vec::new(),
            rdb: load_options(case),
            progress: Arc::default(),
            may_cut: false,
        };
        let loaded = aof::load::load(self.0.clone(), &request).map_err(|refused| refused.0)?;
        let loaded = loaded.ok_or("there is no file")?;
        Ok((loaded.dbs, loaded.functions))
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0.home);
    }
}

/// What a way has made of the data.
fn kept(case: &Case, way: Way) -> Result<Data, String> {
    let home = || Home::new(case, way);
    let filled = |home: Home, base: &[u8], rdb: bool, log: Option<&Taken>| {
        home.fill(base, rdb, log)
            .map_err(|error| error.to_string())?;
        home.load(case)
    };
    match way {
        Way::Replica => replica(case, -EARLIER_MS + PASS_MS),
        Way::LateReplica => replica(case, PASS_MS),
        Way::Rdb => loaded(&written(case.after.clone(), false), case),
        Way::Aof => filled(home(), &case.before, true, Some(&case.log)),
        Way::RewrittenAof => {
            let mut base = Vec::new();
            let nothing = (write::Progress::default(), AtomicU64::new(0));
            aof::commands::write(case.after.clone(), &mut base, false, &nothing.0, &nothing.1)
                .expect("memory takes all");
            filled(home(), &base, false, None)
        }
        Way::RewrittenRdb => filled(home(), &written(case.after.clone(), true), true, None),
    }
}

fn detail(case: &Case, way: Way) -> Detail {
    match way {
        Way::Rdb | Way::RewrittenRdb => Detail::Saved,
        Way::Replica | Way::Aof => case.detail,
        Way::RewrittenAof => Detail::Logged,
        Way::LateReplica => Detail::Delivered,
    }
}

/// The ways that do not keep the data, with what is wrong.
fn faults(case: &Case, ways: &[Way]) -> Vec<(Way, String)> {
    let mut faults = Vec::new();
    for way in ways {
        let detail = detail(case, *way);
        let wanted = reduced(&case.is, detail);
        let why = match kept(case, *way) {
            Err(error) => error,
            Ok((dbs, functions)) => {
                let got = reduced(&text_of(&dbs, &functions), detail);
                if got == wanted {
                    continue;
                }
                let (wanted, got): (BTreeSet<&str>, BTreeSet<&str>) =
                    (wanted.lines().collect(), got.lines().collect());
                let only = |a: &BTreeSet<&str>, b: &BTreeSet<&str>| {
                    let lines: Vec<&str> = a.difference(b).copied().take(3).collect();
                    lines.join("\n            ")
                };
                format!(
                    "is        {}\n      became    {}",
                    only(&wanted, &got),
                    only(&got, &wanted)
                )
            }
        };
        faults.push((
            *way,
            format!(
                "{}: {way:?}: {why}\n      log {}",
                case.what,
                case.log.bytes.escape_ascii()
            ),
        ));
    }
    faults
}

fn collect(case: Result<Case, String>, texts: &mut Vec<String>) -> bool {
    match case {
        Err(text) => {
            texts.push(text);
            false
        }
        Ok(case) => {
            texts.extend(faults(&case, WAYS).into_iter().map(|(_, text)| text));
            case.changed
        }
    }
}

fn assert_none(texts: &[String]) {
    assert!(
        texts.is_empty(),
        "{} faults:\n{}",
        texts.len(),
        texts.join("\n")
    );
}

/// The write commands among the examples that may be called in this form.
fn writes(form: Form) -> impl Iterator<Item = &'static str> {
    let refused = match form {
        Form::Alone => Flags::empty(),
        Form::Multi => Flags::NO_MULTI,
        Form::Script => Flags::NOSCRIPT,
    };
    let may_write = Flags::WRITE | Flags::MAY_REPLICATE;
    CALLS.iter().copied().filter(move |call| {
        let command = find(call);
        command.flags.intersects(may_write) && !command.flags.intersects(refused)
    })
}

/// Every write command of the table: one that has no example, or none that changes anything, is a fault.
fn all_writes_are_kept(form: Form) {
    let (mut texts, mut changing) = (Vec::new(), BTreeSet::new());
    for call in writes(form) {
        if collect(call_case(form, call), &mut texts) {
            changing.insert(name_of(call));
        }
    }
    let refused = match form {
        Form::Alone => Flags::empty(),
        Form::Multi => Flags::NO_MULTI,
        Form::Script => Flags::NOSCRIPT,
    };
    for command in registry::all() {
        let name = command.full_name.as_str();
        if command.flags.contains(Flags::WRITE)
            && !command.flags.intersects(refused)
            && !changing.contains(name)
            && !super::NO_EFFECT.contains(&name)
        {
            texts.push(format!("no example of {name} changes anything"));
        }
    }
    assert_none(&texts);
}

#[test]
fn every_write_is_kept() {
    all_writes_are_kept(Form::Alone);
}

#[test]
fn every_write_in_a_transaction_is_kept() {
    all_writes_are_kept(Form::Multi);
}

#[test]
fn every_write_in_a_script_is_kept() {
    all_writes_are_kept(Form::Script);
}

#[test]
fn what_woken_clients_do_is_kept() {
    let mut texts = Vec::new();
    for (waits, waker) in WAKES {
        for form in [Form::Alone, Form::Multi, Form::Script] {
            let mut stage = Stage::set();
            let ids: Vec<u64> = waits
                .iter()
                .map(|call| {
                    let id = stage.source.join(false);
                    assert!(stage.source.waits(id, call), "{call} does not wait");
                    id
                })
                .collect();
            run(&mut stage.source, form, waker).expect("no error");
            let first = stage.source.server.core.clients.get(ids[0]);
            let what = format!("{form:?}: {waits:?} woken by {waker}");
            assert!(first.is_some_and(|c| c.blocked.is_none()), "{what}");
            collect(Ok(stage.end(what, Detail::Logged)), &mut texts);
        }
    }
    for command in registry::all() {
        let flags = Flags::WRITE | Flags::BLOCKING;
        let name = command.full_name.as_str();
        let woken = |(waits, _): &&(&[&str], &str)| waits.iter().any(|call| name_of(call) == name);
        if command.flags.contains(flags) && !WAKES.iter().any(|wake| woken(&wake)) {
            texts.push(format!("no example of {name} that waits and is woken"));
        }
    }
    assert_none(&texts);
}

#[test]
fn what_time_and_memory_end_is_kept() {
    let mut texts = Vec::new();
    // Nobody meets what is over.
    for lazy in ["no", "yes"] {
        let mut stage = Stage::set();
        stage
            .source
            .say(&format!("CONFIG SET lazyfree-lazy-expire {lazy}"));
        let case = stage.end("expiry".into(), Detail::Logged);
        assert!(case.changed && !case.log.bytes.is_empty());
        collect(Ok(case), &mut texts);
    }
    // Reads and writes meet it, in a transaction and a script too.
    for call in CALLS {
        let words = split(call.as_bytes()).expect("balanced quotes");
        let meets = ["due", "fields", "last", "due-stream"].map(|key| key.as_bytes().to_vec());
        if find(call).flags.contains(Flags::READONLY) && words.iter().any(|w| meets.contains(w)) {
            for form in [Form::Alone, Form::Multi, Form::Script] {
                collect(call_case(form, call), &mut texts);
            }
        }
    }
    let policies = [
        "allkeys-lru",
        "allkeys-lfu",
        "allkeys-random",
        "volatile-lru",
        "volatile-lfu",
        "volatile-random",
        "volatile-ttl",
    ];
    for policy in policies {
        let mut stage = Stage::set();
        let bench = &mut stage.source;
        let before = bench.server.ks.stats.evicted;
        bench.say(&format!("CONFIG SET maxmemory-policy {policy}"));
        let server = &mut bench.server;
        while server.ks.stats.evicted < before + 3 && server.ks.evict_one(&mut server.core.pool) {}
        server.runner().end_slice();
        assert!(server.ks.stats.evicted > before, "{policy} evicts nothing");
        collect(Ok(stage.end(policy.into(), Detail::Logged)), &mut texts);
    }
    assert_none(&texts);
}

fn ways_of(faults: Vec<(Way, String)>) -> Vec<Way> {
    faults.into_iter().map(|(way, _)| way).collect()
}

#[test]
fn wrong_effects_and_wrong_files_are_noticed() {
    let follow_the_log = [Way::Replica, Way::LateReplica, Way::Aof];
    let hold_the_data = [Way::Rdb, Way::RewrittenAof, Way::RewrittenRdb];
    let planted: [(&str, &str); 7] = [
        ("SPOP set 3", "SREM set a"),
        ("XADD new * f v", "XADD new 1-1 f v"),
        ("PEXPIRE text 100000", "PEXPIREAT text 9000000000000"),
        ("HPEXPIRE hash 100000 FIELDS 1 n", "PERSIST hash"),
        (
            "XREADGROUP GROUP group new COUNT 1 STREAMS stream >",
            "XGROUP SETID stream group 4-1",
        ),
        (
            "XCLAIM stream group three 0 1-1 IDLE 1000 RETRYCOUNT 7",
            "XCLAIM stream group three 0 1-1 TIME 1000 RETRYCOUNT 7 FORCE JUSTID LASTID 2-1",
        ),
        ("SWAPDB 0 1", "SELECT 1"),
    ];
    for (call, effect) in planted {
        let mut case = call_case(Form::Alone, call).expect("no error");
        assert_eq!(ways_of(faults(&case, WAYS)), [], "{call}");
        case.log = verbatim(effect);
        let noticed = ways_of(faults(&case, &[Way::Replica, Way::Aof]));
        assert_eq!(noticed, [Way::Replica, Way::Aof], "{call}");
    }
    // An effect that fails elsewhere, one that is missing, and files without the last change.
    let mut case = call_case(Form::Alone, "SET text v").expect("no error");
    case.log = verbatim("INCR list");
    assert_eq!(ways_of(faults(&case, WAYS)), follow_the_log);
    case.log = Taken::default();
    assert_eq!(ways_of(faults(&case, WAYS)), follow_the_log);
    let mut case =
        call_case(Form::Alone, "XREADGROUP GROUP group one STREAMS stream >").expect("no error");
    let before = prepared_at(-EARLIER_MS);
    case.after = Arc::new(save::snapshot(&before.server.ks, &before.server.core));
    assert_eq!(ways_of(faults(&case, WAYS)), hold_the_data);
}
