//! Power loss. A run of the server is traced; for every moment of it the states are enumerated that a disk may be in if the
//! power fails there, and a server is started from each of them.
//!
//! What counts as legal: a write or a truncation is safe when a good sync of its file began after it and ended before the
//! loss; a name when its directory was synced. What is not safe is lost in whole, in part, or comes as zeros; names are lost
//! from some change on. Files and directories lose independently. After a failed sync a later good one proves nothing for
//! what was written before it.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::machine::{Machine, rounds, tool};
use crate::support::Client;
use crate::trace::{self, Call, Change, Event};

/// What a run promises.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Promise {
    /// Every reply.
    Always,
    /// Replies that came before the last good sync of an increment.
    EverySec,
    /// Entries that were there when SAVE said OK.
    Save,
}

/// A disk after a loss.
struct State {
    files: BTreeMap<PathBuf, Vec<u8>>,
    dirs: Vec<PathBuf>,
    /// Entries that must be there, and that may be.
    required: u64,
    invoked: u64,
    what: String,
}

/// What is lost of the changes that are not safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    Nothing,
    All,
    /// The last half of the changes.
    Half,
    /// All changes but the last are there, and half of that one.
    Torn,
    /// The lengths are there, the bytes are zeros.
    Zeros,
}

struct Disk<'t> {
    events: &'t [Event],
    promise: Promise,
}

impl Disk<'_> {
    /// Whether a good sync of `target` covers event `at`, at the moment `now`.
    fn is_safe(&self, at: usize, target: &trace::Target, now: usize) -> bool {
        let op = &self.events[at];
        let syncs = || {
            self.events.iter().filter_map(|event| match &event.call {
                Call::Sync { of, ok } if of == target => Some((event, *ok)),
                _ => None,
            })
        };
        let lost = syncs()
            .filter(|(sync, ok)| !ok && sync.end > op.start)
            .map(|(sync, _)| sync.start)
            .min()
            .unwrap_or(usize::MAX);
        syncs().any(|(sync, ok)| ok && sync.start > op.end && sync.end < now && sync.start < lost)
    }

    /// Entries that were acknowledged, and those that must outlive a loss at `now`.
    fn required(&self, now: usize) -> u64 {
        let acked = |before: usize| {
            let acks = self.events.iter().filter(|event| event.start < before);
            let entries = acks.filter_map(|event| match event.call {
                Call::Ack(n) => Some(n),
                _ => None,
            });
            entries.max().unwrap_or(0)
        };
        match self.promise {
            Promise::Always => acked(now),
            Promise::EverySec => {
                let syncs = self.events.iter().filter(|e| {
                    e.end < now && matches!(&e.call, Call::Sync { of: trace::Target::File(_, name), ok: true } if name.ends_with(".incr.aof"))
                });
                syncs.map(|sync| acked(sync.start)).max().unwrap_or(0)
            }
            Promise::Save => {
                let saves = self
                    .events
                    .iter()
                    .filter(|e| e.start < now && matches!(e.call, Call::Ok));
                saves.map(|save| acked(save.start)).max().unwrap_or(0)
            }
        }
    }

    /// Every state that a loss at `now` may leave.
    fn states(&self, now: usize, out: &mut Vec<State>) {
        let begun = || {
            let changes = self.events.iter().enumerate();
            changes.filter_map(|(at, event)| match &event.call {
                Call::Change(target, change) if event.start < now => Some((at, target, change)),
                _ => None,
            })
        };
        // Changes that may be lost, by what they change.
        let mut open: BTreeMap<&trace::Target, Vec<usize>> = BTreeMap::new();
        for (at, target, _) in begun() {
            if !self.is_safe(at, target, now) {
                open.entry(target).or_default().push(at);
            }
        }
        let mut plans: Vec<BTreeMap<&trace::Target, Loss>> = Vec::new();
        let files = |t: &&&trace::Target| matches!(t, trace::Target::File(..));
        for file_loss in [
            Loss::Nothing,
            Loss::All,
            Loss::Half,
            Loss::Torn,
            Loss::Zeros,
        ] {
            for dir_loss in [Loss::Nothing, Loss::All, Loss::Half] {
                let of = |t: &&trace::Target| if files(&t) { file_loss } else { dir_loss };
                plans.push(open.keys().map(|t| (*t, of(t))).collect());
            }
        }
        for alone in open.keys() {
            for (one, rest) in [(Loss::All, Loss::Nothing), (Loss::Nothing, Loss::All)] {
                let of = |t: &&trace::Target| if t == alone { one } else { rest };
                plans.push(open.keys().map(|t| (*t, of(t))).collect());
            }
        }
        for plan in plans {
            let changes = begun().filter_map(|(at, target, change)| {
                let Some(open) = open.get(target) else {
                    return Some(change.clone());
                };
                let Some(place) = open.iter().position(|o| *o == at) else {
                    return Some(change.clone());
                };
                keep(change, plan[target], place, open.len())
            });
            let (files, dirs) = trace::replay(changes);
            let what = format!(
                "moment {now}: {}",
                plan.iter()
                    .map(|(t, l)| format!("{t:?} {l:?}"))
                    .collect::<Vec<_>>()
                    .join(", ")
            );
            out.push(State {
                files,
                dirs,
                required: self.required(now),
                invoked: u64::MAX,
                what,
            });
        }
    }

    /// Every different state of the run, with the most that it must hold.
    fn all(&self) -> Vec<State> {
        let last = self.events.iter().map(|e| e.end).max().unwrap_or(0) + 1;
        let mut moments: Vec<usize> = self.events.iter().map(|e| e.start + 1).collect();
        moments.extend(self.events.iter().map(|e| e.end + 1));
        moments.push(last);
        moments.sort_unstable();
        moments.dedup();
        let mut found: BTreeMap<u64, State> = BTreeMap::new();
        let mut states = Vec::new();
        for moment in moments {
            self.states(moment, &mut states);
            for state in states.drain(..) {
                let mut hasher = DefaultHasher::new();
                (&state.files, &state.dirs).hash(&mut hasher);
                let known = found.entry(hasher.finish());
                let known = known.or_insert_with(|| State {
                    required: 0,
                    files: state.files.clone(),
                    dirs: state.dirs.clone(),
                    invoked: state.invoked,
                    what: state.what.clone(),
                });
                if state.required > known.required {
                    (known.required, known.what) = (state.required, state.what);
                }
            }
        }
        let mut all: Vec<State> = found.into_values().collect();
        all.sort_by_key(|state| state.required);
        all
    }
}

/// What stays of a change that is number `place` of `count` changes that are not safe.
fn keep(change: &Change, loss: Loss, place: usize, count: usize) -> Option<Change> {
    let last = place + 1 == count;
    match loss {
        Loss::Nothing => Some(change.clone()),
        Loss::All => None,
        Loss::Half => (place < count / 2).then(|| change.clone()),
        Loss::Torn if !last => Some(change.clone()),
        Loss::Torn => change.half(),
        Loss::Zeros => Some(change.zeros()),
    }
}

/// Entry `n`: each third one a transaction with a copy. False if the server is gone.
fn entry(client: &mut Client, n: u64) -> bool {
    let n_text = n.to_string();
    let words: &[&[&str]] = if n.is_multiple_of(3) {
        &[
            &["MULTI"],
            &["RPUSH", "ledger", &n_text],
            &["RPUSH", "copy", &n_text],
            &["EXEC"],
        ]
    } else {
        &[&["RPUSH", "ledger", &n_text]]
    };
    words.iter().all(|call| client.send(call).is_ok())
        && words
            .iter()
            .all(|_| client.read().is_ok_and(|r| !r.is_error()))
}

/// Runs `plan` on a traced server and returns what the disk went through.
fn run(options: &[&str], inject: &[&str], plan: impl Fn(&mut Machine, &mut Client)) -> Vec<Event> {
    let mut machine = Machine::new(options);
    let file = machine.path("trace.txt");
    machine.wrapper = trace::wrapper(&file, inject);
    machine.binary = control();
    machine.start();
    let mut client = machine.connect();
    plan(&mut machine, &mut client);
    machine.shut_down();
    trace::read(&file, machine.dir.path())
}

/// Another server, to see what becomes of its files.
fn control() -> Option<PathBuf> {
    std::env::var_os("FERRITE_CONTROL").map(PathBuf::from)
}

fn write(client: &mut Client, entries: std::ops::RangeInclusive<u64>) {
    for n in entries {
        assert!(entry(client, n), "entry {n}");
    }
}

/// Boots every state (in the short form some of them) and compares. Returns how many were booted and how many were bad.
fn boot_all(
    events: &[Event],
    promise: Promise,
    options: &[&str],
    short: usize,
) -> (usize, Vec<String>) {
    let disk = Disk { events, promise };
    let states = disk.all();
    let total = states.len();
    let step = if rounds(0) > 0 {
        1
    } else {
        total.div_ceil(short).max(1)
    };
    let (mut booted, mut bad) = (0, Vec::new());
    // The last states hold the most: they always come.
    for (at, state) in states.iter().enumerate() {
        if at % step != 0 && at + 4 < total {
            continue;
        }
        booted += 1;
        if let Err(why) = boot(state, options) {
            bad.push(format!("{}: {why}", state.what));
        }
    }
    println!("{total} states, {booted} booted, {} bad", bad.len());
    (booted, bad)
}

fn boot(state: &State, options: &[&str]) -> Result<(), String> {
    let mut machine = Machine::new(options);
    machine.binary = control();
    let root = machine.dir.path().to_path_buf();
    for dir in &state.dirs {
        std::fs::create_dir_all(root.join(dir)).map_err(|e| e.to_string())?;
    }
    for (path, bytes) in &state.files {
        std::fs::write(root.join(path), bytes).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    if !machine.try_start() {
        // Good entries behind zeros are nothing that a server may throw away by itself.
        let manifest = machine.aof("appendonly.aof.manifest");
        let behind = machine.log().contains("Bad file format") && control().is_none();
        if !behind || !repaired(&manifest) || !machine.try_start() {
            return Err(format!("it does not start:\n{}", machine.log()));
        }
    }
    let mut client = machine.connect();
    let list = |client: &mut Client, key: &str| -> Vec<u64> {
        let reply = client.call(&["LRANGE", key, "0", "-1"]);
        let items = reply.items().iter();
        items.map(|i| i.text().parse().unwrap_or(0)).collect()
    };
    let (first, copy) = (list(&mut client, "ledger"), list(&mut client, "copy"));
    let count = first.len() as u64;
    if !first.iter().copied().eq(1..=count) {
        return Err(format!("order or number is wrong: {first:?}"));
    }
    if !copy.iter().copied().eq((1..=count).filter(|n| n % 3 == 0)) {
        return Err(format!("a transaction is not whole: {first:?} {copy:?}"));
    }
    if count < state.required || count > state.invoked {
        return Err(format!("{count} entries, {} were safe", state.required));
    }
    Ok(())
}

fn repaired(manifest: &Path) -> bool {
    let manifest = manifest.display().to_string();
    tool(&["check-aof", "--fix", &manifest], "y\n").1
}

fn aof_plan(machine: &mut Machine, client: &mut Client) {
    write(client, 1..=7);
    machine.call("BGREWRITEAOF");
    write(client, 8..=12);
    machine.wait_rewrite();
    write(client, 13..=15);
    std::thread::sleep(Duration::from_millis(1200));
    write(client, 16..=19);
    machine.call("BGREWRITEAOF");
    machine.wait_rewrite();
    write(client, 20..=22);
}

const AOF: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

fn judge(name: &str, (booted, bad): (usize, Vec<String>)) {
    assert!(booted > 20, "{name}: {booted} states");
    assert!(
        bad.is_empty(),
        "{name}: {} of {booted} states, first {}",
        bad.len(),
        bad[0]
    );
}

#[test]
fn what_was_acknowledged_outlives_the_power_under_always() {
    if !trace::is_possible() {
        return;
    }
    let events = run(&AOF, &[], aof_plan);
    judge("always", boot_all(&events, Promise::Always, &AOF, 60));
}

#[test]
fn what_was_synced_outlives_the_power_under_everysec() {
    if !trace::is_possible() {
        return;
    }
    let options = ["--appendonly", "yes", "--appendfsync", "everysec"];
    let events = run(&options, &[], aof_plan);
    judge(
        "everysec",
        boot_all(&events, Promise::EverySec, &options, 60),
    );
}

/// A sync that fails takes what it should have saved with it, whatever the next one says.
#[test]
fn a_failed_sync_takes_nothing_acknowledged_with_it() {
    if !trace::is_possible() {
        return;
    }
    let plan = |machine: &mut Machine, client: &mut Client| {
        write(client, 1..=9);
        machine.wait_until("health", |m| m.info("aof_last_write_status") == "ok");
        write(client, 10..=14);
    };
    let events = run(&AOF, &["fdatasync:error=EIO:when=5"], plan);
    assert!(
        events
            .iter()
            .any(|e| matches!(e.call, Call::Sync { ok: false, .. })),
        "no sync failed"
    );
    judge("failed sync", boot_all(&events, Promise::Always, &AOF, 40));
}

#[test]
fn a_snapshot_that_was_saved_outlives_the_power() {
    if !trace::is_possible() {
        return;
    }
    let plan = |machine: &mut Machine, client: &mut Client| {
        write(client, 1..=5);
        client.call(&["SAVE"]);
        write(client, 6..=9);
        machine.call("BGSAVE");
        machine.wait_until("the save", |m| m.info("rdb_bgsave_in_progress") == "0");
        write(client, 10..=12);
        client.call(&["SAVE"]);
    };
    let events = run(&["--appendonly", "no"], &[], plan);
    judge(
        "save",
        boot_all(&events, Promise::Save, &["--appendonly", "no"], 40),
    );
}
