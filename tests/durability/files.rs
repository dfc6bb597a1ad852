//! Never an empty start beside data, and files that other servers read and write.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::machine::{Machine, copy_dir};

pub fn filled(options: &[&str]) -> Machine {
    let mut machine = Machine::new(options);
    machine
        .options
        .extend(["--enable-debug-command", "yes"].map(String::from));
    machine.start();
    for db in [0, 7, 15] {
        let mut client = machine.connect();
        client.line(&format!("SELECT {db}"));
        for line in [
            "SET int 12345",
            "SET text hello PXAT 9000000000000",
            "APPEND text more",
            "RPUSH list a b c 1 2 3",
            "SADD set x y z",
            "SADD ints 1 2 3",
            "ZADD zset 1 a 2.5 b inf c",
            "HSET hash f 1 g two",
            "INCRBYFLOAT float 1.5",
            "SPOP set",
            "XADD stream 5-1 f v",
            "XADD stream 6-1 f w",
            "XGROUP CREATE stream g 0",
            "XREADGROUP GROUP g c COUNT 1 STREAMS stream >",
            "PFADD hll a b c",
            "EXPIRE list 100000",
            "GETEX int EX 5000",
        ] {
            let reply = client.line(line);
            assert!(!reply.is_error(), "{line}: {reply:?}");
        }
    }
    machine
}

#[test]
fn a_data_set_is_the_same_after_every_way_through_its_files() {
    for preamble in ["yes", "no"] {
        let mut machine = filled(&["--appendonly", "yes", "--aof-use-rdb-preamble", preamble]);
        let digest = machine.digest();
        machine.call("DEBUG LOADAOF");
        assert_eq!(machine.digest(), digest, "LOADAOF, {preamble}");
        machine.kill();
        machine.start();
        assert_eq!(machine.digest(), digest, "restart, {preamble}");
        machine.call("BGREWRITEAOF");
        machine.wait_rewrite();
        machine.call("DEBUG LOADAOF");
        assert_eq!(machine.digest(), digest, "rewritten, {preamble}");
        machine.shut_down();
        machine.start();
        assert_eq!(
            machine.digest(),
            digest,
            "rewritten and restarted, {preamble}"
        );
    }
}

#[test]
fn switching_on_and_off_at_run_time() {
    let mut machine = filled(&[]);
    let digest = machine.digest();
    machine.call("CONFIG SET appendonly yes");
    machine.wait_rewrite();
    machine.call("CONFIG SET appendonly no");
    machine.call("CONFIG SET appendonly yes");
    machine.wait_rewrite();
    machine.kill();
    machine
        .options
        .extend(["--appendonly", "yes"].map(String::from));
    machine.start();
    assert_eq!(machine.digest(), digest);
}

/// Files that are begun are ended where they were begun; what begins later begins in the new directory.
#[test]
fn the_directory_changes_while_the_server_runs() {
    let mut machine = filled(&["--enable-protected-configs", "yes", "--save", ""]);
    let digest = machine.digest();
    std::fs::create_dir(machine.path("other")).unwrap();
    let other = format!("CONFIG SET dir {}", machine.path("other").display());
    machine.call("CONFIG SET rdb-key-save-delay 50000");
    machine.call("BGSAVE");
    machine.call(&other);
    machine.call("CONFIG SET rdb-key-save-delay 0");
    machine.wait_until("the save", |m| m.info("rdb_bgsave_in_progress") == "0");
    assert_eq!(machine.info("rdb_last_bgsave_status"), "ok");
    assert!(machine.path("dump.rdb").exists());
    let temps = |dir: PathBuf| -> usize {
        let names = fs::read_dir(dir).unwrap().flatten();
        names
            .filter(|e| e.file_name().to_string_lossy().starts_with("temp-"))
            .count()
    };
    assert_eq!(temps(machine.path("")) + temps(machine.path("other")), 0);

    machine.call(&format!("CONFIG SET dir {}", machine.path("").display()));
    machine.call("CONFIG SET appendonly yes");
    machine.wait_rewrite();
    machine.call(&other);
    assert!(machine.log().contains("The append-only file stays in"));
    machine.call("CONFIG SET appendonly no");
    machine.call("CONFIG SET appendonly yes");
    machine.wait_rewrite();
    assert!(machine.path("other/appendonlydir").exists());
    machine.kill();
    machine.options.extend(
        [
            "--appendonly",
            "yes",
            "--dir",
            &machine.path("other").display().to_string(),
        ]
        .map(String::from),
    );
    machine.start();
    assert_eq!(machine.digest(), digest);
}

#[test]
fn what_is_kept_for_the_file_is_no_reason_to_refuse_writes() {
    let mut machine = Machine::new(&["--appendonly", "yes", "--appendfsync", "everysec"]);
    machine.start();
    let mut client = machine.connect();
    let used: u64 = client
        .line("INFO memory")
        .text()
        .lines()
        .find_map(|line| line.strip_prefix("used_memory:")?.trim().parse().ok())
        .expect("INFO tells it");
    client.line(&format!("CONFIG SET maxmemory {}", used + (2 << 20)));
    let value = "x".repeat(100_000);
    let mut uncounted = 0;
    for n in 0..200 {
        // Far more than the limit within the second in which nothing is synced.
        let reply = client.line(&format!("SET k{} {value}", n % 2));
        assert!(!reply.is_error(), "{n}: {reply:?}");
        let info = client.line("INFO memory").text();
        let field = |name: &str| {
            info.lines()
                .find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok())
                .expect("a number")
        };
        assert!(field("used_memory:") < used + (2 << 20), "{n}: {info}");
        uncounted = uncounted.max(field("mem_aof_buffer:"));
    }
    assert!(uncounted > 2 << 20, "{uncounted}");
}

#[test]
fn what_waits_for_a_slow_disk_is_bounded_and_reads_go_on() {
    let mut machine = Machine::new(&["--appendonly", "yes", "--appendfsync", "everysec"]);
    // Room for 1 MiB, and a disk that takes its time.
    machine.failpoints = "aof.room=eio@1x100000000;aof.fsync=delay:300x100000000".into();
    machine.start();
    let mut reader = machine.connect();
    reader.line("SET there 1");
    let mut client = machine.connect();
    let writer = std::thread::spawn(move || {
        let value = "x".repeat(100_000);
        for n in 0..80 {
            let reply = client.line(&format!("SET k{n} {value}"));
            assert!(!reply.is_error(), "{n}: {reply:?}");
        }
    });
    let (mut most, mut looks) = (0, 0);
    while !writer.is_finished() {
        assert_eq!(reader.line("GET there").text(), "1");
        let info = reader.line("INFO memory").text();
        let kept = info.lines().find_map(|line| {
            line.strip_prefix("mem_aof_buffer:")?
                .trim()
                .parse::<u64>()
                .ok()
        });
        most = most.max(kept.expect("a number"));
        looks += 1;
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    writer.join().expect("all writes were done");
    assert!(looks > 20 && most > 1 << 20, "{looks} {most}");
    assert!(most < 2 << 20, "{most}");
    assert!(
        machine
            .log()
            .contains("Asynchronous AOF fsync is taking too long")
    );
}

#[test]
fn never_an_empty_start_beside_data() {
    let mut machine = filled(&["--appendonly", "yes"]);
    let digest = machine.digest();
    machine.kill();
    let manifest = machine.aof("appendonly.aof.manifest");
    let text = fs::read(&manifest).expect("the manifest");
    // No manifest beside parts.
    fs::remove_file(&manifest).expect("remove");
    assert!(!machine.try_start());
    let log = machine.log();
    assert!(
        log.contains("appendonly.aof.1.incr.aof") && log.contains("aof-ignore-orphans"),
        "{log}"
    );
    // A manifest that names what is missing.
    fs::write(&manifest, &text).expect("write");
    let part = machine.aof("appendonly.aof.1.incr.aof");
    fs::rename(&part, machine.path("aside")).expect("move");
    assert!(!machine.try_start());
    assert!(
        machine
            .log()
            .contains("appendonly.aof.1.incr.aof for reading: No such file"),
        "{}",
        machine.log()
    );
    fs::rename(machine.path("aside"), &part).expect("move back");
    machine.start();
    assert_eq!(machine.digest(), digest);
    // A snapshot and no append-only file.
    machine.call("SAVE");
    machine.kill();
    fs::remove_dir_all(machine.path("appendonlydir")).expect("remove");
    machine.start();
    assert_eq!(machine.digest(), digest);
    machine.kill();
    fs::remove_file(machine.path("dump.rdb")).expect("remove");
    machine.start();
    assert_eq!(machine.digest(), digest, "the snapshot became the base");
}

#[test]
fn what_is_wrong_with_a_manifest_is_said_line_by_line() {
    let mut machine = filled(&["--appendonly", "yes"]);
    machine.kill();
    let manifest = machine.aof("appendonly.aof.manifest");
    fs::write(&manifest, "filx a.1.incr.aof seq 1 type i\n").expect("write");
    assert!(!machine.try_start());
    let log = machine.log();
    assert!(!log.contains("\\n"), "{log}");
    for line in [
        "# *** FATAL AOF MANIFEST FILE ERROR ***\n",
        "# Reading the manifest file, at line 1\n",
        "# >>> 'filx a.1.incr.aof seq 1 type i'\n",
        "# Invalid AOF manifest file format\n",
    ] {
        assert!(log.contains(line), "{line}: {log}");
    }
}

/// A save that was killed leaves its file; the next start removes it, but not one that another server writes.
#[test]
fn files_of_killed_saves_do_not_stay() {
    let mut machine = Machine::new(&[]);
    machine.failpoints = "rdb.sync=abort".into();
    machine.start();
    machine.call("SET k v");
    let killed = machine.path(&format!("temp-{}-1.rdb", machine.process_id()));
    let _ = machine.connect().send(&["BGSAVE"]);
    machine.wait_until("the end", |m| !m.is_running());
    assert!(killed.exists());
    let others = fs::File::create(machine.path("temp-1-1.rdb")).expect("a file");
    others.lock().expect("lock");
    fs::write(machine.path("temp-note.rdb"), "mine").expect("write");
    machine.failpoints.clear();
    machine.start();
    let log = machine.log();
    let name = killed.file_name().expect("a name").to_string_lossy();
    assert!(log.contains(&format!("Removed ./{name} (")), "{log}");
    assert!(!killed.exists());
    assert!(machine.path("temp-1-1.rdb").exists());
    assert!(machine.path("temp-note.rdb").exists());
}

/// Redis 7.0 of the system, and what FERRITE_PEERS names.
fn peers() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::env::var("FERRITE_PEERS")
        .unwrap_or_default()
        .split_whitespace()
        .map(PathBuf::from)
        .collect();
    let which = Command::new("sh")
        .args(["-c", "command -v redis-server"])
        .output()
        .expect("a shell");
    let path = String::from_utf8_lossy(&which.stdout).trim().to_owned();
    if !path.is_empty() {
        found.push(path.into());
    }
    found
}

/// Both ways, with the same digest, and back again.
#[test]
fn other_servers_read_our_files_and_we_read_theirs() {
    if peers().is_empty() {
        println!("skipped: there is no other server here");
    }
    for peer in peers() {
        for preamble in ["yes", "no"] {
            let mut ours = filled(&["--appendonly", "yes", "--aof-use-rdb-preamble", preamble]);
            let digest = ours.digest();
            ours.call("BGREWRITEAOF");
            ours.wait_rewrite();
            ours.call("SET extra 1");
            ours.call("DEL extra");
            ours.kill();
            let mut theirs = Machine::new(&[
                "--appendonly",
                "yes",
                "--enable-debug-command",
                "yes",
                "--aof-use-rdb-preamble",
                preamble,
            ]);
            theirs.binary = Some(peer.clone());
            copy_dir(&ours.path("appendonlydir"), &theirs.path("appendonlydir"));
            theirs.start();
            assert_eq!(
                theirs.digest(),
                digest,
                "{} reads ours ({preamble})",
                peer.display()
            );
            theirs.call("SET theirs 1");
            theirs.call("RPUSH list 9");
            let digest = theirs.digest();
            // In good order: killed, it would lose what it has acknowledged while it was syncing.
            theirs.shut_down();
            let check = |ours: &mut Machine, theirs: &Machine, digest: &str, what: &str| {
                ours.kill();
                fs::remove_dir_all(ours.path("appendonlydir")).expect("remove");
                copy_dir(&theirs.path("appendonlydir"), &ours.path("appendonlydir"));
                ours.start();
                assert_eq!(
                    ours.digest(),
                    digest,
                    "{what} {} ({preamble})\n{}",
                    peer.display(),
                    ours.log()
                );
            };
            check(&mut ours, &theirs, &digest, "gone on by");
            theirs.start();
            theirs.call("BGREWRITEAOF");
            theirs.wait_rewrite();
            theirs.call("INCR int");
            let digest = theirs.digest();
            // In good order: killed, it would lose what it has acknowledged while it was syncing.
            theirs.shut_down();
            check(&mut ours, &theirs, &digest, "rewritten by");
        }
    }
}

/// What integration/aof-multi-part of the Tcl suite plays with killed children: rewrites that fail, one after another.
#[test]
fn failing_rewrites_leave_increments_and_a_good_one_clears_up() {
    let mut machine = Machine::new(&[
        "--appendonly",
        "yes",
        "--auto-aof-rewrite-percentage",
        "0",
        "--enable-debug-command",
        "yes",
    ]);
    machine.failpoints = "aof.rewrite-snapshot=eio@2x3".into();
    machine.start();
    let manifest = machine.aof("appendonly.aof.manifest");
    let parts = || -> Vec<String> {
        let text = fs::read_to_string(&manifest).expect("the manifest");
        let part = |line: &str| line["file appendonly.aof.".len()..].to_owned();
        text.lines().map(part).collect()
    };
    let base = |n: u32| format!("{n}.base.rdb seq {n} type b");
    let incr = |n: u32| format!("{n}.incr.aof seq {n} type i");
    let rewrite = |machine: &mut Machine| {
        machine.call("INCR counter");
        machine.call("BGREWRITEAOF");
        machine.wait_rewrite();
    };
    for _ in 0..3 {
        rewrite(&mut machine);
    }
    assert_eq!(parts(), [base(1), incr(1), incr(2), incr(3), incr(4)]);
    let digest = machine.digest();
    machine.call("DEBUG LOADAOF");
    assert_eq!(machine.digest(), digest);
    rewrite(&mut machine);
    assert_eq!(parts(), [base(2), incr(5)]);
    // Off: the base alone is made new; on again, it goes on with an increment.
    machine.call("CONFIG SET appendonly no");
    rewrite(&mut machine);
    assert_eq!(parts(), [base(3)]);
    machine.call("DEBUG LOADAOF");
    assert_eq!(machine.call("GET counter").text(), "5");
    machine.call("CONFIG SET appendonly yes");
    machine.wait_rewrite();
    assert_eq!(parts(), [base(4), incr(1)]);
    machine.call("CONFIG SET aof-disable-auto-gc yes");
    rewrite(&mut machine);
    assert_eq!(parts().iter().filter(|p| p.ends_with("type h")).count(), 2);
    machine.call("CONFIG SET aof-disable-auto-gc no");
    assert_eq!(parts(), [base(5), incr(2)]);
    machine.call("DEBUG LOADAOF");
    rewrite(&mut machine);
    assert_eq!(parts(), [base(6), incr(3)]);
    assert_eq!(machine.call("GET counter").text(), "7");
}

/// Switched on at run time, with a first rewrite that fails: nothing of it stays, and it is tried again.
#[test]
fn a_first_rewrite_that_fails_leaves_nothing_and_is_repeated() {
    let mut machine = Machine::new(&[]);
    machine.failpoints = "aof.rewrite-base=eio".into();
    machine.start();
    machine.call("SET k v");
    machine.call("CONFIG SET appendonly yes");
    machine.wait_until("a second try", |m| {
        m.info("aof_last_bgrewrite_status") == "ok"
            && m.log().contains("Removing the temp incr aof file")
    });
    machine.wait_rewrite();
    machine.call("SET l w");
    machine.kill();
    machine
        .options
        .extend(["--appendonly", "yes"].map(String::from));
    machine.failpoints.clear();
    machine.start();
    assert_eq!(machine.call("DBSIZE").int(), 2);
}
