//! The data set and its file, from outside: saves, restarts, damage, LOADING, MISCONF, MIGRATE.

mod support;

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::{Client, Server, TempDir, Value, binary, reference};

const PATIENCE: Duration = Duration::from_secs(20);

fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if check() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{what}: not within {PATIENCE:?}");
}

fn info(client: &mut Client, field: &str) -> String {
    let text = client.call(&["INFO", "everything"]).text();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("INFO has no {field}"))
        .trim()
        .to_string()
}

fn ok(client: &mut Client, line: &str) {
    let reply = client.line(line);
    assert!(!reply.is_error(), "{line}: {reply:?}");
}

fn in_dir(dir: &Path, more: &[&str]) -> Server {
    let dir = dir.to_str().expect("plain path");
    let mut options = vec!["--dir", dir, "--enable-debug-command", "yes"];
    options.extend(more);
    Server::with_options(&options)
}

/// Values of every type, in two databases.
fn fill(client: &mut Client) {
    for n in 0..300 {
        ok(client, &format!("SET string:{n} value{n}"));
        ok(client, &format!("RPUSH list element:{n}"));
        ok(client, &format!("SADD set member:{n} {n}"));
        ok(client, &format!("ZADD zset {n}.5 member:{n}"));
        ok(client, &format!("HSET hash field:{n} {n}"));
        ok(client, &format!("XADD stream {}-1 field {n}", n + 1));
    }
    ok(client, "SADD ints 1 2 3");
    ok(client, "SET volatile 1 PXAT 4102444800000");
    ok(client, "HSET fields a 1 b 2");
    ok(client, "HPEXPIREAT fields 4102444800000 FIELDS 1 a");
    ok(client, "XGROUP CREATE stream group 0");
    ok(
        client,
        "XREADGROUP GROUP group alice COUNT 5 STREAMS stream >",
    );
    ok(client, "XGROUP CREATECONSUMER stream group bob");
    ok(client, "SELECT 9");
    ok(client, "SET other database");
    ok(client, "SELECT 0");
}

#[test]
fn a_data_set_survives_restarts() {
    let dir = TempDir::new();
    let digest = {
        let mut server = in_dir(dir.path(), &[]);
        let mut client = server.connect();
        fill(&mut client);
        let before: i64 = client.call(&["LASTSAVE"]).int();
        assert!(info(&mut client, "rdb_changes_since_last_save") != "0");
        ok(&mut client, "BGSAVE");
        eventually("the save", || {
            info(&mut client, "rdb_bgsave_in_progress") == "0"
        });
        assert_eq!(info(&mut client, "rdb_last_bgsave_status"), "ok");
        assert_eq!(info(&mut client, "rdb_changes_since_last_save"), "0");
        assert!(client.call(&["LASTSAVE"]).int() >= before);
        assert!(
            server.log().contains("DB saved on disk"),
            "{}",
            server.log()
        );
        let digest = client.call(&["DEBUG", "DIGEST"]).text();
        ok(&mut client, "DEBUG RELOAD");
        assert_eq!(client.call(&["DEBUG", "DIGEST"]).text(), digest);
        ok(&mut client, "SET late 1");
        let _ = client.send(&["SHUTDOWN", "SAVE"]);
        assert_eq!(server.wait_for_exit(PATIENCE), Some(0));
        digest
    };
    let files: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .flatten()
        .map(|f| f.file_name())
        .collect();
    assert_eq!(files, ["dump.rdb"], "no other file is left");
    let server = in_dir(dir.path(), &[]);
    let mut client = server.connect();
    eventually("the load", || info(&mut client, "loading") == "0");
    assert!(
        server.log().contains("DB loaded from disk"),
        "{}",
        server.log()
    );
    assert_eq!(client.call(&["DEL", "late"]).int(), 1);
    assert_eq!(client.call(&["DEBUG", "DIGEST"]).text(), digest);
    assert_eq!(
        client.call(&["PEXPIRETIME", "volatile"]).int(),
        4_102_444_800_000
    );
    let idle = client.line("XINFO CONSUMERS stream group");
    assert_eq!(idle.items().len(), 2);
}

#[test]
fn a_damaged_file_stops_the_start_and_can_be_salvaged() {
    let dir = TempDir::new();
    let path = dir.path().join("dump.rdb");
    {
        let server = in_dir(dir.path(), &["--rdbcompression", "no"]);
        let mut client = server.connect();
        fill(&mut client);
        ok(&mut client, "SAVE");
    }
    let good = std::fs::read(&path).unwrap();
    let mut bad = good.clone();
    let at = bad.windows(6).position(|w| w == b"fields").unwrap() + 15;
    bad[at] ^= 0x40;
    std::fs::write(&path, &bad).unwrap();
    let run = |words: &[&str]| {
        let port = support::free_port().to_string();
        let mut command = Command::new(binary());
        command.current_dir(dir.path()).args(words);
        if words.first().is_some_and(|word| word.starts_with("--")) {
            command.args(["--port", &port, "--bind", "127.0.0.1"]);
        }
        let output = command.stdin(Stdio::null()).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (
            String::from_utf8_lossy(&text).into_owned(),
            output.status.code(),
        )
    };
    let (log, code) = run(&["--save", ""]);
    assert_eq!(code, Some(1), "{log}");
    for part in [
        "dump.rdb",
        "offset",
        "'fields'",
        "check-rdb",
        "--salvage",
        "Fatal error loading the DB",
    ] {
        assert!(log.contains(part), "{part}: {log}");
    }
    assert_eq!(std::fs::read(&path).unwrap(), bad, "the file is as it was");
    let (text, code) = run(&["check-rdb", "dump.rdb"]);
    assert!(code == Some(1) && text.contains("'fields'"), "{text}");
    let (text, _) = run(&["check-rdb", "dump.rdb", "--stats", "--salvage", "new.rdb"]);
    assert!(text.contains("keys were written to new.rdb"), "{text}");
    let server = in_dir(dir.path(), &["--dbfilename", "new.rdb"]);
    let mut client = server.connect();
    eventually("the load", || info(&mut client, "loading") == "0");
    assert_eq!(client.call(&["DBSIZE"]).int(), 300 + 7);
    assert_eq!(client.call(&["EXISTS", "fields"]).int(), 0);
    drop(server);
    for len in [0, 5, 9, good.len() / 2, good.len() - 1] {
        std::fs::write(&path, &good[..len]).unwrap();
        let (log, code) = run(&["--save", ""]);
        assert!(
            code == Some(1) && log.contains("Fatal error loading the DB"),
            "{len}: {log}"
        );
    }
    std::fs::write(&path, &good).unwrap();
    let (text, code) = run(&["check-rdb", "dump.rdb"]);
    assert!(code == Some(0) && text.contains("RDB looks OK"), "{text}");
}

/// What is answered while the data set is being loaded, as recorded.
#[test]
fn loading_is_answered_as_recorded() {
    let dir = TempDir::new();
    {
        let server = in_dir(dir.path(), &[]);
        let mut client = server.connect();
        ok(&mut client, "DEBUG POPULATE 100000");
        ok(&mut client, "SAVE");
    }
    let mut server = in_dir(
        dir.path(),
        &[
            "--key-load-delay",
            "1000",
            "--enable-debug-command",
            "no",
            "--enable-protected-configs",
            "yes",
        ],
    );
    let mut client = server.connect();
    for field in [
        "loading_start_time",
        "loading_total_bytes",
        "loading_loaded_bytes",
        "loading_loaded_perc",
        "loading_eta_seconds",
        "loading_rdb_used_mem",
    ] {
        info(&mut client, field);
    }
    assert_eq!(info(&mut client, "loading"), "1");
    let file = reference("errors.json");
    let cases = file["cases"].as_array().unwrap();
    let mut ran = 0;
    for case in cases.iter().filter(|case| case["category"] == "loading") {
        let (request, reply) = (
            case["request"].as_str().unwrap(),
            case["reply"].as_str().unwrap(),
        );
        if reply.contains("(ok)")
            || reply.starts_with(':')
            || support::later::is_later(request).is_some()
        {
            continue;
        }
        let mut client = server.connect();
        let (_, raw) = client.call_raw(&support::words::split(request).unwrap());
        let raw = String::from_utf8_lossy(&raw).into_owned();
        assert!(raw.starts_with(reply), "{request}: {raw}, not {reply}");
        ran += 1;
    }
    assert!(ran >= 12, "{ran}");
    let refused = client.line("CONFIG SET dir /tmp");
    assert!(refused.text().starts_with("LOADING"), "{refused:?}");
    assert_eq!(info(&mut client, "loading"), "1");
    ok(&mut client, "CONFIG SET key-load-delay 0");
    eventually("the load", || info(&mut client, "loading") == "0");
    assert_eq!(client.call(&["DBSIZE"]).int(), 100_000);
    assert_eq!(info(&mut client, "rdb_last_load_keys_loaded"), "100000");
    assert!(server.is_running());
}

#[test]
fn failing_saves_stop_writes_until_one_works() {
    let server = Server::with_options(&["--save", "900 1", "--enable-debug-command", "yes"]);
    let mut client = server.connect();
    ok(&mut client, "SET k v");
    std::fs::create_dir(server.dir().join("dump.rdb")).unwrap();
    assert_eq!(client.line("SAVE"), Value::Error("ERR".into()));
    assert_eq!(
        client.line("SHUTDOWN").text(),
        "ERR Errors trying to SHUTDOWN. Check logs."
    );
    ok(&mut client, "SET k v");
    ok(&mut client, "BGSAVE");
    eventually("the save", || {
        info(&mut client, "rdb_last_bgsave_status") == "err"
    });
    let file = reference("errors.json");
    let recorded = |id: &str| {
        let cases = file["cases"].as_array().unwrap();
        let case = cases.iter().find(|case| case["id"] == id).unwrap();
        case["reply"].as_str().unwrap()[1..].to_string()
    };
    for (line, id) in [
        ("SET a 1", "misconf-002"),
        ("PING", "misconf-006"),
        ("FLUSHALL", "misconf-010"),
    ] {
        assert_eq!(client.line(line).text(), recorded(id), "{line}");
    }
    assert_eq!(client.line("GET k").text(), "v");
    assert_eq!(client.line("MULTI").text(), "OK");
    assert!(client.line("SET a 1").text().starts_with("MISCONF"));
    assert!(client.line("EXEC").text().starts_with("EXECABORT"));
    let log = server.log();
    assert!(log.contains("Background saving error"), "{log}");
    std::fs::remove_dir(server.dir().join("dump.rdb")).unwrap();
    ok(&mut client, "BGSAVE");
    eventually("the save", || {
        info(&mut client, "rdb_last_bgsave_status") == "ok"
    });
    ok(&mut client, "SET a 1");
    ok(&mut client, "CONFIG SET save ''");
    let names: Vec<_> = std::fs::read_dir(server.dir())
        .unwrap()
        .flatten()
        .map(|f| f.file_name())
        .collect();
    assert!(
        names
            .iter()
            .all(|n| !n.to_string_lossy().starts_with("temp-")),
        "{names:?}"
    );
}

#[test]
fn one_save_at_a_time_and_flushall_ends_it() {
    let server = Server::with_options(&["--enable-debug-command", "yes"]);
    let mut client = server.connect();
    ok(&mut client, "DEBUG POPULATE 1000");
    ok(&mut client, "SET a 1");
    ok(&mut client, "CONFIG SET rdb-key-save-delay 1000000");
    assert_eq!(client.line("BGSAVE").text(), "Background saving started");
    for line in ["BGSAVE", "BGSAVE SCHEDULE", "SAVE"] {
        assert_eq!(
            client.line(line).text(),
            "ERR Background save already in progress",
            "{line}"
        );
    }
    assert_eq!(info(&mut client, "current_save_keys_total"), "1001");
    assert_eq!(client.line("BGSAVE foo").text(), "ERR syntax error");
    let begin = Instant::now();
    ok(&mut client, "FLUSHALL");
    assert_eq!(info(&mut client, "rdb_bgsave_in_progress"), "0");
    assert!(begin.elapsed() < Duration::from_secs(1));
    assert!(info(&mut client, "rdb_changes_since_last_save") != "0");
    eventually("no file is left", || {
        std::fs::read_dir(server.dir())
            .unwrap()
            .flatten()
            .all(|f| f.file_name() == "stdout.txt")
    });
}

#[test]
fn save_points_save_by_themselves() {
    let server = Server::with_options(&["--save", "1 5"]);
    let mut client = server.connect();
    for n in 0..4 {
        ok(&mut client, &format!("SET k{n} v"));
    }
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(info(&mut client, "rdb_saves"), "0");
    ok(&mut client, "SET k5 v");
    eventually("the save", || info(&mut client, "rdb_saves") == "1");
    assert!(
        server.log().contains("5 changes in 1 seconds. Saving..."),
        "{}",
        server.log()
    );
}

fn migrate_line(to: &Server, rest: &str) -> String {
    format!("MIGRATE 127.0.0.1 {} {rest}", to.port())
}

#[test]
fn keys_move_to_another_server() {
    let (from, to) = (Server::start(), Server::start());
    let (mut here, mut there) = (from.connect(), to.connect());
    fill(&mut here);
    let keys = "string:1 list set zset hash stream ints volatile fields";
    let moved = migrate_line(&to, &format!("'' 3 5000 KEYS nokey {keys}"));
    assert_eq!(here.line(&moved).text(), "OK");
    assert_eq!(here.line(&format!("EXISTS {keys}")).int(), 0);
    ok(&mut there, "SELECT 3");
    assert_eq!(there.line(&format!("EXISTS {keys}")).int(), 9);
    assert_eq!(there.line("LLEN list").int(), 300);
    let left = there.line("PTTL volatile").int();
    assert!(left > 1_000_000_000, "{left}");
    assert_eq!(info(&mut here, "migrate_cached_sockets"), "1");

    ok(&mut there, "SET string:2 mine");
    let busy = here.line(&migrate_line(&to, "string:2 3 1000"));
    assert_eq!(
        busy.text(),
        "ERR Target instance replied with error: BUSYKEY Target key name already exists."
    );
    assert_eq!(here.line("GET string:2").text(), "value2");
    assert_eq!(
        here.line(&migrate_line(&to, "string:2 3 1000 COPY REPLACE"))
            .text(),
        "OK"
    );
    assert_eq!(here.line("GET string:2").text(), "value2");
    assert_eq!(there.line("GET string:2").text(), "value2");
    let range = here.line(&migrate_line(&to, "string:3 99 1000"));
    assert!(
        range.text().contains("DB index is out of range"),
        "{range:?}"
    );
    assert_eq!(here.line("GET string:3").text(), "value3");

    ok(&mut here, "MULTI");
    ok(&mut here, &migrate_line(&to, "string:4 3 1000"));
    assert_eq!(here.line("EXEC").items()[0].text(), "OK");
    assert_eq!(here.line("EXISTS string:4").int(), 0);

    ok(&mut there, "CONFIG SET requirepass secret");
    let auth = migrate_line(&to, "string:5 3 1000 REPLACE AUTH bad");
    let text = here.line(&auth).text();
    assert!(text.contains("replied with error: WRONGPASS"), "{text}");
    for login in ["AUTH secret", "AUTH2 default secret"] {
        ok(&mut here, "SET string:5 v");
        let reply = here.line(&migrate_line(
            &to,
            &format!("string:5 3 1000 REPLACE {login}"),
        ));
        assert_eq!(reply.text(), "OK");
        assert_eq!(here.line("EXISTS string:5").int(), 0);
    }
}

/// A server that accepts and says nothing: nobody else waits, and the key stays.
#[test]
fn a_silent_target_holds_nobody_up() {
    let server = Server::start();
    let mut client = server.connect();
    ok(&mut client, "SET k v");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    client
        .send(&["MIGRATE", "127.0.0.1", &port.to_string(), "k", "0", "1000"])
        .unwrap();
    let mut other = server.connect();
    let begin = Instant::now();
    for n in 0..100 {
        ok(&mut other, &format!("SET other:{n} v"));
    }
    assert!(
        begin.elapsed() < Duration::from_millis(700),
        "{:?}",
        begin.elapsed()
    );
    let reply = client.read().unwrap();
    assert_eq!(
        reply.text(),
        "IOERR error or timeout reading to target instance"
    );
    assert_eq!(client.line("GET k").text(), "v");
    let closed = support::free_port();
    let reply = client.line(&format!("MIGRATE 127.0.0.1 {closed} k 0 100"));
    assert_eq!(
        reply.text(),
        "IOERR error or timeout writing to target instance"
    );
}

/// Writes to a key that is on its way are not lost: the target has the last value, or the source has.
#[test]
fn a_key_that_changes_on_its_way_loses_no_write() {
    let (from, to) = (
        Server::start(),
        Server::with_options(&["--enable-debug-command", "yes"]),
    );
    let (mut here, mut writer, mut there) = (from.connect(), from.connect(), to.connect());
    ok(&mut here, "SET counter 0");
    // The target is busy for a moment, so that the writes come in between.
    let mut sleeper = to.connect();
    sleeper.send(&["DEBUG", "SLEEP", "0.3"]).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    let words = [
        "MIGRATE",
        "127.0.0.1",
        &to.port().to_string(),
        "counter",
        "0",
        "5000",
    ]
    .map(String::from);
    here.send(&words).unwrap();
    let mut last = 0;
    for _ in 0..20 {
        last = writer.line("INCR counter").int();
    }
    assert_eq!(here.read().unwrap().text(), "OK");
    assert_eq!(here.line("EXISTS counter").int(), 0);
    assert_eq!(there.line("GET counter").text(), last.to_string());
}
