//! The process ends at any moment; the disk keeps what the kernel has.

use std::time::Duration;

use crate::ledger::Ledger;
use crate::machine::{Machine, rounds};

const POLICIES: [&str; 3] = ["always", "everysec", "no"];

/// Steps of the append-only file.
const STEPS: &[&str] = &[
    "aof.write",
    "aof.written",
    "aof.fsync",
    "aof.fsynced",
    "aof.create-incr",
    "aof.seal",
    "aof.manifest",
    "aof.manifest-done",
    "aof.switch",
    "aof.rewrite-begin",
    "aof.rewrite-snapshot",
    "aof.rewrite-write",
    "aof.rewrite-fsync",
    "aof.rewrite-base",
    "aof.base-rename",
    "aof.history",
    "aof.unlink",
    "replace.write",
    "replace.sync",
    "replace.rename",
    "replace.renamed",
    "replace.done",
];

/// Steps of a snapshot.
const SAVE_STEPS: &[&str] = &[
    "rdb.create",
    "rdb.write",
    "rdb.sync",
    "rdb.synced",
    "replace.rename",
    "replace.renamed",
    "replace.done",
];

/// Steps that other tests come to: errors of the disk, the file of an older Redis, and a disk that is slow (nothing is
/// written at that point).
const ELSEWHERE: &[&str] = &[
    "aof.recover-write",
    "aof.recover-fsync",
    "aof.upgrade",
    "aof.room",
];

/// A generator for moments; the seed is in the failure's output.
fn next(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    for policy in POLICIES {
        let mut seed = u64::from(std::process::id()) << 17 | 1;
        println!("{policy}: seed {seed}");
        let mut machine = Machine::new(&[
            "--appendonly",
            "yes",
            "--appendfsync",
            policy,
            "--aof-use-rdb-preamble",
            "yes",
        ]);
        let mut ledger = Ledger::new(8);
        for round in 0..rounds(5) {
            machine.start();
            assert_eq!(
                ledger.check(&machine),
                0,
                "{policy}, round {round}: acknowledged entries are missing\n{}",
                machine.log()
            );
            ledger.write(&machine);
            if round % 2 == 1 {
                std::thread::sleep(Duration::from_millis(next(&mut seed) % 40));
                machine.call("BGREWRITEAOF");
            }
            std::thread::sleep(Duration::from_millis(30 + next(&mut seed) % 120));
            machine.kill();
            ledger.rest();
        }
        machine.start();
        assert_eq!(ledger.check(&machine), 0, "{policy}\n{}", machine.log());
        assert!(ledger.acknowledged() > 0);
    }
}

/// Every step of writing, switching, rewriting: the process ends right there.
#[test]
fn nothing_is_lost_when_the_process_ends_at_any_step() {
    for policy in ["always", "everysec"] {
        for step in STEPS {
            // The first passages belong to the start.
            let passage = match *step {
                "aof.write" | "aof.written" | "aof.fsync" | "aof.fsynced" => 20,
                step if step.starts_with("replace.") => 8,
                _ => 2,
            };
            let mut machine = Machine::new(&["--appendonly", "yes", "--appendfsync", policy]);
            let mut ledger = Ledger::new(4);
            machine.failpoints = format!("{step}=abort@{passage}");
            // It may end while it starts: then it must start the next time.
            let started = machine.try_start();
            if started {
                ledger.write(&machine);
            }
            for _ in 0..10 {
                if !machine.is_running() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(30));
                if let Ok(mut client) = crate::support::Client::try_connect(machine.addr()) {
                    let _ = client.send(&["BGREWRITEAOF"]);
                    let _ = client.read();
                }
            }
            machine.kill();
            ledger.rest();
            machine.failpoints.clear();
            machine.start();
            assert_eq!(
                ledger.check(&machine),
                0,
                "{policy}, {step}\n{}",
                machine.log()
            );
        }
    }
}

/// Every step of a save: what was saved before is there, or what is being saved.
#[test]
fn a_snapshot_is_whole_when_the_process_ends_at_any_step() {
    for step in SAVE_STEPS {
        for save in ["SAVE", "BGSAVE"] {
            let mut machine = Machine::new(&["--appendonly", "no"]);
            machine.failpoints = format!("{step}=abort@2");
            machine.start();
            let mut client = machine.connect();
            let push = |client: &mut crate::support::Client, from: u64| {
                for n in from..from + 10 {
                    client.line(&format!("RPUSH list {n}"));
                }
            };
            push(&mut client, 1);
            // A save passes some steps more than once.
            let saved = client.send(&["SAVE"]).is_ok()
                && client.read().is_ok_and(|reply| reply.text() == "OK");
            if saved {
                push(&mut client, 11);
                let _ = client.send(&[save]);
                let _ = client.read();
            }
            machine.wait_until("the end", |m| !m.is_running());
            machine.failpoints.clear();
            machine.start();
            let there = machine.call("LRANGE list 0 -1");
            let there: Vec<u64> = there
                .items()
                .iter()
                .map(|item| item.text().parse().expect("a number"))
                .collect();
            let count = there.len() as u64;
            assert!(
                there.iter().copied().eq(1..=count),
                "{step}, {save}: {there:?}"
            );
            assert!(
                count == 20 || count == 10 || count == 0 && !saved,
                "{step}, {save}: {count} entries\n{}",
                machine.log()
            );
        }
    }
}

/// The lists above know every step that the sources name.
#[test]
fn no_step_is_left_out() {
    fn walk(dir: &std::path::Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(dir).expect("the sources").flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, found);
            } else if !path.ends_with("base/failpoint.rs") {
                let text = std::fs::read_to_string(&path).unwrap_or_default();
                for begin in ["failpoint::pass(\"", "failpoint::pass_write(\""] {
                    let names = text.split(begin).skip(1);
                    found.extend(names.filter_map(|n| Some(n.split_once('"')?.0.to_owned())));
                }
            }
        }
    }
    let mut found = Vec::new();
    let sources = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    walk(&sources, &mut found);
    assert!(found.len() > 20);
    let known = |name: &str| {
        [STEPS, SAVE_STEPS, ELSEWHERE]
            .iter()
            .any(|list| list.contains(&name))
    };
    found.retain(|name| !known(name));
    assert!(found.is_empty(), "no test ends the process at {found:?}");
}

/// Steps that fail instead of ending the process: the server goes on, and so do its writers.
#[test]
fn the_server_goes_on_after_errors_of_the_disk() {
    for policy in POLICIES {
        for fault in [
            "aof.write=enospc@10x5",
            "aof.write=short@10x3",
            "aof.write=eio@10x2",
            "aof.fsync=eio@5",
            "aof.fsync=eio@5x2",
            "aof.fsync=eio@3;aof.recover-fsync=eio@1x3",
            "aof.manifest=eio@2x2",
            "aof.rewrite-write=enospc@3",
            "aof.rewrite-fsync=eio@2",
            "aof.base-rename=eio@2",
            "aof.switch=eio@1x2",
        ] {
            let mut machine = Machine::new(&["--appendonly", "yes", "--appendfsync", policy]);
            let mut ledger = Ledger::new(4);
            machine.failpoints = fault.into();
            machine.start();
            ledger.write(&machine);
            println!("{policy}, {fault}");
            // A rewrite would hide what a failed write or sync has left in the file.
            let rewrites = ["rewrite", "manifest", "base", "switch"];
            let rewrites = rewrites.iter().any(|word| fault.contains(word));
            for _ in 0..3 {
                ledger.wait_acknowledged(20);
                if rewrites {
                    machine.call("BGREWRITEAOF");
                    machine.wait_rewrite();
                }
            }
            machine.wait_until("health", |m| m.info("aof_last_write_status") == "ok");
            ledger.wait_acknowledged(20);
            machine.kill();
            ledger.rest();
            machine.failpoints.clear();
            machine.start();
            assert_eq!(
                ledger.check(&machine),
                0,
                "{policy}, {fault}\n{}",
                machine.log()
            );
        }
    }
}
