//! S70: passwords are shown nowhere, and RESET takes rights away.

use std::time::{Duration, Instant};

use crate::harness::{Target, shown};
use crate::support::Value;

/// Calls with a password in them, right and wrong.
const CALLS: &[&str] = &[
    "AUTH pa55word",
    "AUTH default pa55word",
    "AUTH default pa55word extra",
    "auth nobody pa55word",
    "HELLO 3 AUTH default pa55word",
    "HELLO 2 AUTH default pa55word SETNAME me",
    "HELLO x AUTH default pa55word",
    "HELLO 9 AUTH default pa55word",
    "HELLO 2 nonsense AUTH default pa55word",
    "HELLO 2 AUTH default pa55word nonsense",
    "HELLO 2 SETNAME 'a b' AUTH default pa55word",
    "HELLO 2 AUTH pa55word",
    "CONFIG SET requirepass pa55word",
    "CONFIG SET hz 10 requirepass pa55word",
    "CONFIG SET REQUIREPASS pa55word",
    "CONFIG SET requirepass first pa55word",
    "CONFIG SET masterauth pa55word",
    "CONFIG SET nosuch x requirepass pa55word",
    "CONFIG SET nosuch requirepass pa55word x",
    "CONFIG SET tls-key-file-pass pa55word",
    "ACL SETUSER u on >pa55word",
    "ACL SETUSER u <pa55word <pa55word",
    "ACL SETUSER u (>pa55word)",
    "ACL SETUSER u pa55word +nosuch",
    "ACL GETUSER pa55word",
    "ACL DELUSER u pa55word",
    "MULTI",
    "AUTH u pa55word",
];

#[test]
fn passwords_are_shown_nowhere() {
    let mut target = Target::new(&[
        "--requirepass",
        "pa55word",
        "--loglevel",
        "debug",
        "--slowlog-log-slower-than",
        "0",
        "--slowlog-max-len",
        "1000",
    ]);
    target.say("AUTH pa55word");
    let mut watcher = target.server.connect();
    watcher.call(&["AUTH", "pa55word"]);
    assert_eq!(shown(&watcher.call(&["MONITOR"])), "OK");
    for line in CALLS {
        let mut client = target.server.connect();
        client.line("AUTH pa55word");
        client.line(line);
        let list = target.client.call(&["CLIENT", "LIST"]).text();
        assert!(!list.contains("pa55word"), "{line}: {list}");
    }
    target.say("PING");
    target.say("ECHO end-of-test");
    watcher.set_read_timeout(Duration::from_secs(5));
    let mut seen = String::new();
    while !seen.contains("end-of-test") {
        seen = format!(
            "{}\n{seen}",
            watcher.read().expect("a line of MONITOR").text()
        );
    }
    assert!(!seen.contains("pa55word"), "{seen}");
    assert!(seen.contains("\"AUTH\" \"(redacted)\""), "{seen}");
    let slow = shown(&target.say("SLOWLOG GET -1"));
    assert!(
        slow.contains("(redacted)") && slow.contains("CONFIG SET hz 10 requirepass (redacted)"),
        "{slow}"
    );
    assert!(!slow.contains("pa55word"), "{slow}");
    let denied = shown(&target.say("ACL LOG 100"));
    assert!(denied.contains("reason auth"), "{denied}");
    assert!(!denied.contains("pa55word"), "{denied}");
    let log = target.server.log();
    assert!(!log.contains("pa55word"), "{log}");
    let title = std::fs::read_to_string(format!("/proc/{}/cmdline", target.server.pid()))
        .expect("a live process");
    assert!(!title.contains("pa55word"), "{title}");
}

/// Long and binary arguments neither break a line of MONITOR nor the slow log.
#[test]
fn watchers_get_whole_lines() {
    let mut target = Target::new(&["--slowlog-log-slower-than", "0"]);
    let mut watcher = target.server.connect();
    watcher.call(&["MONITOR"]);
    let poison = "x\r\n+OK\r\n\0\"\\";
    let long = "y".repeat(1_000_000);
    target.client.call(&["ECHO", poison]);
    target.client.call(&["ECHO", &long]);
    target.client.call(&["ECHO", "end"]);
    let lines: Vec<String> = (0..3)
        .map(|_| watcher.read().expect("a line").text())
        .collect();
    assert!(
        lines[0].ends_with(r#""ECHO" "x\r\n+OK\r\n\x00\"\\""#),
        "{}",
        lines[0]
    );
    assert!(lines[1].ends_with("yyy\"") && lines[1].len() > 1_000_000);
    assert!(lines[2].ends_with(r#""ECHO" "end""#), "{}", lines[2]);
    let slow = shown(&target.say("SLOWLOG GET 10"));
    assert!(
        slow.contains("more bytes") && slow.len() < 20_000,
        "{}",
        slow.len()
    );
}

#[test]
fn reset_takes_rights_away() {
    let mut target = Target::new(&["--requirepass", "pa55word"]);
    for greeting in ["AUTH pa55word", "HELLO 3 AUTH default pa55word"] {
        assert!(!target.say(greeting).is_error());
        assert_eq!(shown(&target.say("SELECT 1")), "OK");
        assert_eq!(shown(&target.say("RESET")), "RESET");
        for line in [
            "GET k",
            "MONITOR",
            "CONFIG GET requirepass",
            "CLIENT LIST",
            "HELLO 3",
            "SELECT 0",
        ] {
            assert!(target.say(line).text().starts_with("NOAUTH"), "{line}");
        }
    }
    // And ends MONITOR.
    target.say("AUTH pa55word");
    assert_eq!(shown(&target.say("MONITOR")), "OK");
    assert_eq!(shown(&target.say("RESET")), "RESET");
    let mut other = target.server.connect();
    other.call(&["AUTH", "pa55word"]);
    other.call(&["SET", "k", "v"]);
    assert!(target.say("PING").text().starts_with("NOAUTH"));
}

/// A wrong password takes as long as a right one, more or less, and never lets in.
#[test]
fn wrong_passwords() {
    let mut target = Target::new(&["--requirepass", "pa55word"]);
    let begin = Instant::now();
    for wrong in [
        "",
        "p",
        "pa55wor",
        "pa55wordx",
        "PA55WORD",
        "pa55word\0",
        "\0",
    ] {
        let reply = target.client.call(&["AUTH", wrong]);
        assert!(
            reply.text().starts_with("WRONGPASS"),
            "{wrong:?}: {reply:?}"
        );
        assert!(target.say("GET k").text().starts_with("NOAUTH"));
    }
    assert!(begin.elapsed() < Duration::from_secs(5));
    assert_eq!(
        target.client.call(&["AUTH", "pa55word"]),
        Value::Simple("OK".into())
    );
}
