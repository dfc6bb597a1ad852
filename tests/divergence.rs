//! What an old master has beyond a switch: it is in a file before the new master's data takes its place.

mod support;

#[path = "durability/machine.rs"]
#[allow(dead_code)]
mod machine;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use machine::Machine;
use support::replicas::{self, info as field, until};

fn machine(more: &[&str]) -> Machine {
    let mut machine = Machine::new(&[replicas::OPTIONS, more].concat());
    machine.start();
    machine
}

fn follow(replica: &Machine, master: &Machine) {
    replicas::follow(&mut replica.connect(), master.addr().port());
}

/// Both have the same, and the replica knows it.
fn until_same(a: &Machine, b: &Machine) {
    replicas::until_same(&mut a.connect(), &mut b.connect());
}

fn digest(machine: &Machine) -> String {
    machine.call("DEBUG DIGEST").text()
}

fn write(machine: &Machine, lines: &[&str]) {
    let mut client = machine.connect();
    for line in lines {
        let reply = client.line(line);
        assert!(!reply.is_error(), "{line}: {reply:?}");
    }
}

/// Changes in several databases, in transactions, random ones, and talk that changes nothing.
const BEYOND: &[&str] = &[
    "SET lost 1",
    "SPOP set",
    "PUBLISH news nothing",
    "SELECT 3",
    "RPUSH list a b c",
    "MULTI",
    "INCR n",
    "SELECT 0",
    "INCR n",
    "EXEC",
    "SET text \"*2\\r\\n$6\\r\\nSELECT\\r\\n$1\\r\\n9\\r\\n\"",
    "SET timed x EX 1000",
    "DEL gone",
];

const BEFORE: &[&str] = &[
    "SADD set 1 2 3 4 5 6 7 8 9",
    "SET gone 1",
    "SELECT 3",
    "SET n 5",
];

fn files(machine: &Machine) -> Vec<PathBuf> {
    let all = std::fs::read_dir(machine.dir.path()).expect("the directory");
    let all = all.map(|entry| entry.expect("an entry").path());
    let ours = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("divergence-") || name.starts_with("temp-divergence-")
    };
    all.filter(ours).collect()
}

/// `redis-cli --pipe`, as an operator would do it.
fn replay(file: &Path, to: &Machine) {
    let port = to.addr().port().to_string();
    let out = Command::new("redis-cli")
        .args(["-p", &port, "--pipe"])
        .stdin(std::fs::File::open(file).expect("the file"))
        .output()
        .expect("redis-cli");
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(text.contains("errors: 0"), "{text}");
}

/// A master and a replica part: the master goes on alone, the replica becomes the master.
fn part(old: &Machine, new: &Machine) {
    write(old, BEFORE);
    follow(new, old);
    until_same(old, new);
    assert_eq!(new.call("REPLICAOF NO ONE").text(), "OK");
    write(old, BEYOND);
}

fn check_saved(old: &Machine, new: &Machine, wanted: &str, commands: &str) -> PathBuf {
    let mut client = old.connect();
    assert_eq!(digest(old), digest(new), "the copy");
    assert_eq!(
        field(&mut client, "divergence_last_status"),
        "saved",
        "{}",
        old.log()
    );
    let counted = (
        field(&mut client, "divergence_saved_files"),
        field(&mut client, "divergence_saved_commands"),
        field(&mut client, "divergence_not_saved"),
    );
    assert_eq!(counted, ("1".into(), commands.into(), "0".into()));
    let files = files(old);
    assert_eq!(files.len(), 1, "{files:?}");
    let size = std::fs::metadata(&files[0]).expect("the file").len();
    let bytes = field(&mut client, "divergence_saved_bytes");
    assert_eq!(bytes, size.to_string());
    let last = field(&mut client, "divergence_last_file");
    assert!(files[0].ends_with(&last), "{last}");
    assert!(old.log().contains("they are saved in divergence-"));
    replay(&files[0], new);
    assert_eq!(digest(new), wanted, "replayed on the new master");
    files[0].clone()
}

#[test]
fn the_backlog_gives_what_the_new_master_has_not() {
    let (old, new) = (machine(&[]), machine(&[]));
    part(&old, &new);
    let wanted = digest(&old);
    follow(&old, &new);
    let file = check_saved(&old, &new, &wanted, "8");
    let text = std::fs::read(&file).expect("the file");
    let text = String::from_utf8_lossy(&text);
    assert!(
        text.starts_with("*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n"),
        "{text}"
    );
    assert!(!text.contains("news") && text.contains("MULTI"), "{text}");
}

#[test]
fn redis_server_loads_the_file() {
    let (old, new) = (machine(&[]), machine(&[]));
    part(&old, &new);
    follow(&old, &new);
    let file = files(&old).pop().expect("a file");
    for binary in [None, Some(PathBuf::from("redis-server"))] {
        if binary.is_some() && Command::new("redis-server").arg("-v").output().is_err() {
            eprintln!("skipped: there is no redis-server");
            continue;
        }
        let mut other = Machine::new(&["--appendonly", "yes"]);
        other.binary = binary;
        std::fs::copy(&file, other.path("appendonly.aof")).expect("copy");
        other.start();
        assert_eq!(other.call("GET lost").text(), "1");
        assert_eq!(other.call("GET n").text(), "1");
        let mut client = other.connect();
        client.line("SELECT 3");
        assert_eq!(client.line("LRANGE list 0 -1").items().len(), 3);
    }
}

/// A crash takes the backlog; the append-only file has everything, over several restarts.
#[test]
fn the_file_gives_it_after_a_crash() {
    let mut old = machine(&["--appendonly", "yes", "--appendfsync", "always"]);
    let new = machine(&[]);
    part(&old, &new);
    until("the note of the history", || {
        old.aof("appendonly.aof.manifest.runs").exists()
    });
    old.kill();
    old.start();
    write(&old, &["SET restarted 1"]);
    old.kill();
    old.start();
    write(&old, &["SET restarted 2"]);
    let wanted = digest(&old);
    follow(&old, &new);
    check_saved(&old, &new, &wanted, "10");
}

#[test]
fn a_rewrite_before_the_switch_takes_nothing_away() {
    let mut old = machine(&["--appendonly", "yes", "--appendfsync", "always"]);
    let new = machine(&[]);
    write(&old, &["SET early 1"]);
    assert!(!old.call("BGREWRITEAOF").is_error());
    until("the rewrite", || {
        old.info("aof_rewrite_in_progress") == "0" && old.info("aof_rewrite_scheduled") == "0"
    });
    part(&old, &new);
    std::thread::sleep(Duration::from_millis(300));
    old.kill();
    old.start();
    let wanted = digest(&old);
    follow(&old, &new);
    check_saved(&old, &new, &wanted, "8");
}

#[test]
fn a_rewrite_after_the_switch_is_told() {
    let mut old = machine(&["--appendonly", "yes", "--appendfsync", "always"]);
    let new = machine(&[]);
    part(&old, &new);
    assert!(!old.call("BGREWRITEAOF").is_error());
    until("the rewrite", || {
        old.info("aof_rewrite_in_progress") == "0" && old.info("aof_rewrite_scheduled") == "0"
    });
    write(&old, &["SET after rewrite"]);
    old.kill();
    old.start();
    follow(&old, &new);
    let mut client = old.connect();
    assert_eq!(field(&mut client, "divergence_last_status"), "incomplete");
    assert_eq!(field(&mut client, "divergence_not_saved"), "1");
    assert_eq!(field(&mut client, "divergence_saved_commands"), "1");
    assert!(field(&mut client, "divergence_last_file").ends_with("-incomplete.aof"));
    assert!(old.log().contains("was rewritten since then"));
}

#[test]
fn a_backlog_that_is_too_short_is_told() {
    let (old, new) = (machine(&["--repl-backlog-size", "16kb"]), machine(&[]));
    part(&old, &new);
    for round in 0..40 {
        let line = format!("SET big:{round} {}", "x".repeat(2000));
        write(&old, &[&line]);
    }
    follow(&old, &new);
    let mut client = old.connect();
    assert_eq!(field(&mut client, "divergence_last_status"), "incomplete");
    assert_eq!(field(&mut client, "divergence_not_saved"), "1");
    let files = files(&old);
    assert!(files[0].to_string_lossy().ends_with("-incomplete.aof"));
    replay(&files[0], &new);
    assert_eq!(new.call("EXISTS big:39").text(), "1");
    assert!(old.log().contains("bytes too late"), "{}", old.log());
}

#[test]
fn without_a_divergence_there_is_no_file() {
    let (old, new) = (machine(&[]), machine(&[]));
    write(&old, BEFORE);
    follow(&new, &old);
    until_same(&old, &new);
    assert_eq!(new.call("REPLICAOF NO ONE").text(), "OK");
    write(&old, &["PUBLISH news nothing"]);
    write(&new, &["SET other 1"]);
    follow(&old, &new);
    let mut client = old.connect();
    assert_eq!(field(&mut client, "divergence_last_status"), "none");
    assert!(files(&old).is_empty());
    // A replica that falls behind has nothing of its own either.
    assert_eq!(new.call("DEBUG CHANGE-REPL-ID").text(), "OK");
    assert_eq!(old.call("REPLICAOF NO ONE").text(), "OK");
    follow(&old, &new);
    assert_eq!(field(&mut client, "divergence_saved_files"), "0");
}

#[test]
fn a_master_without_a_common_past_is_told() {
    let (old, new) = (machine(&[]), machine(&[]));
    write(&old, BEYOND);
    write(&new, &["SET other 1"]);
    follow(&old, &new);
    let mut client = old.connect();
    assert_eq!(field(&mut client, "divergence_last_status"), "not_saved");
    assert_eq!(field(&mut client, "divergence_not_saved"), "1");
    assert!(files(&old).is_empty());
    assert!(old.log().contains("nothing in common"), "{}", old.log());
}

/// Two switches while the old master is away: the last master knows where the first one left.
#[test]
fn a_server_that_slept_through_two_switches_finds_its_place() {
    let (first, second, third) = (machine(&[]), machine(&[]), machine(&[]));
    write(&first, BEFORE);
    follow(&second, &first);
    follow(&third, &first);
    until_same(&first, &second);
    until_same(&first, &third);
    assert_eq!(second.call("REPLICAOF NO ONE").text(), "OK");
    follow(&third, &second);
    write(&second, &["SET second 1"]);
    until_same(&second, &third);
    assert_eq!(third.call("REPLICAOF NO ONE").text(), "OK");
    write(&first, BEYOND);
    follow(&first, &third);
    let mut client = first.connect();
    assert_eq!(field(&mut client, "divergence_last_status"), "saved");
    assert_eq!(field(&mut client, "divergence_saved_commands"), "8");
}

/// A disk that is full does not keep the server from following; it is told.
#[test]
fn a_file_that_cannot_be_written_is_told() {
    let old = machine(&["--enable-protected-configs", "yes"]);
    let new = machine(&[]);
    part(&old, &new);
    let place = old.path("nowhere");
    std::fs::create_dir(&place).expect("a directory");
    let set = format!("CONFIG SET dir {}", place.display());
    assert!(!old.call(&set).is_error());
    std::fs::remove_dir(&place).expect("remove it");
    follow(&old, &new);
    let mut client = old.connect();
    assert_eq!(field(&mut client, "divergence_last_status"), "failed");
    assert_eq!(field(&mut client, "divergence_not_saved"), "1");
    assert_eq!(digest(&old), digest(&new));
}

/// Redis as the new master: it tells enough of its history.
#[test]
fn behind_redis_it_is_the_same() {
    if Command::new("redis-server").arg("-v").output().is_err() {
        eprintln!("skipped: there is no redis-server");
        return;
    }
    let old = machine(&[]);
    let mut new = Machine::new(&["--enable-debug-command", "yes"]);
    new.binary = Some("redis-server".into());
    new.start();
    part(&old, &new);
    follow(&old, &new);
    let mut client = old.connect();
    assert_eq!(field(&mut client, "divergence_last_status"), "saved");
    assert_eq!(field(&mut client, "divergence_saved_commands"), "8");
    let files = files(&old);
    let mut pipe = Command::new("redis-cli")
        .args(["-p", &new.addr().port().to_string(), "--pipe"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-cli");
    let bytes = std::fs::read(&files[0]).expect("the file");
    pipe.stdin
        .take()
        .expect("a pipe")
        .write_all(&bytes)
        .expect("write");
    assert!(pipe.wait().expect("redis-cli").success());
    assert_eq!(new.call("GET lost").text(), "1");
}
