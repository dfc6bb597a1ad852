//! Messages and invalidations on the wire: their order among replies, and what the server says of subscribers.

mod support;

use std::time::{Duration, Instant};
use support::{Client, Server, Value};

/// A frame in one line: `>message a x`, `*subscribe a 1`.
fn shown(value: &Value) -> String {
    let list = |mark: &str, items: &[Value]| {
        let items: Vec<String> = items.iter().map(shown).collect();
        format!("{mark}[{}]", items.join(" "))
    };
    match value {
        Value::Push(items) => list(">", items),
        Value::Array(items) => list("", items),
        Value::Null | Value::NullBulk => "nil".into(),
        other => other.text(),
    }
}

fn next(client: &mut Client) -> String {
    shown(&client.read().expect("a frame"))
}

fn say(client: &mut Client, line: &str) -> String {
    shown(&client.line(line))
}

#[test]
fn messages_reach_clients_of_both_protocols_in_order() {
    let server = Server::start();
    let (mut two, mut three) = (server.connect(), server.connect_resp3());
    assert_eq!(say(&mut two, "SUBSCRIBE a"), "[subscribe a 1]");
    assert_eq!(say(&mut three, "SUBSCRIBE a"), ">[subscribe a 1]");
    assert_eq!(say(&mut three, "PSUBSCRIBE ?"), ">[psubscribe ? 2]");
    let mut publisher = server.connect();
    let burst: Vec<Vec<String>> = (0..1000)
        .map(|n| {
            vec![
                "PUBLISH".into(),
                if n % 7 == 0 { "b" } else { "a" }.into(),
                n.to_string(),
            ]
        })
        .collect();
    publisher.pipeline(&burst);
    for n in 0..1000 {
        let channel = if n % 7 == 0 { "b" } else { "a" };
        if channel == "a" {
            assert_eq!(next(&mut two), format!("[message a {n}]"));
            assert_eq!(next(&mut three), format!(">[message a {n}]"));
        }
        assert_eq!(next(&mut three), format!(">[pmessage ? {channel} {n}]"));
    }
    // Commands between messages: on RESP3 any, on RESP2 few.
    assert_eq!(say(&mut three, "SET k v"), "OK");
    assert_eq!(say(&mut three, "PUBLISH x y"), "1");
    assert_eq!(next(&mut three), ">[pmessage ? x y]");
    assert!(say(&mut two, "SET k v").starts_with("ERR Can't execute 'set'"));
    assert_eq!(say(&mut two, "PING"), "[pong ]");
}

#[test]
fn a_blocked_subscriber_gets_messages_before_its_reply() {
    let server = Server::start();
    let mut client = server.connect_resp3();
    say(&mut client, "SUBSCRIBE a");
    client.send(&["BLPOP", "list", "0"]).expect("send");
    let mut other = server.connect();
    while !say(&mut other, "CLIENT LIST").contains("flags=Pb") {
        std::thread::sleep(Duration::from_millis(5));
    }
    let burst = [
        vec!["PUBLISH", "a", "1"],
        vec!["RPUSH", "list", "x"],
        vec!["PUBLISH", "a", "2"],
    ];
    other.pipeline(&burst);
    assert_eq!(next(&mut client), ">[message a 1]");
    assert_eq!(next(&mut client), "[list x]");
    assert_eq!(next(&mut client), ">[message a 2]");
}

#[test]
fn what_the_server_says_of_subscribers() {
    let server = Server::start();
    let mut client = server.connect_resp3();
    say(&mut client, "SUBSCRIBE a b");
    client.read().expect("the second confirmation");
    say(&mut client, "PSUBSCRIBE p*");
    say(&mut client, "SSUBSCRIBE s");
    say(&mut client, "CLIENT TRACKING ON BCAST PREFIX x");
    let line = say(&mut client, "CLIENT INFO");
    for field in ["flags=PtB", "sub=2 psub=1 ssub=1", "redir=0", "resp=3"] {
        assert!(line.contains(field), "{field} in {line}");
    }
    let info = say(&mut client, "INFO");
    for field in [
        "pubsub_channels:2",
        "pubsub_patterns:1",
        "pubsubshard_channels:1",
        "pubsub_clients:1",
        "tracking_clients:1",
        "tracking_total_prefixes:1",
    ] {
        assert!(info.contains(field), "{field}");
    }
    let mut other = server.connect();
    assert!(say(&mut other, "CLIENT LIST TYPE pubsub").contains("sub=2"));
    assert!(!say(&mut other, "CLIENT LIST TYPE normal").contains("sub=2"));
    assert_eq!(say(&mut other, "CLIENT KILL TYPE pubsub"), "1");
    assert!(client.is_closed());
    assert!(say(&mut other, "INFO clients").contains("pubsub_clients:0"));
}

#[test]
fn keys_are_invalidated_before_the_reply_that_evicted_them() {
    let server = Server::with_options(&["--maxmemory-policy", "allkeys-lru"]);
    let mut client = server.connect_resp3();
    say(&mut client, "CLIENT TRACKING ON");
    say(&mut client, "SET k v");
    say(&mut client, "GET k");
    let mut other = server.connect();
    say(&mut other, "DEBUG PAUSE-CRON 1");
    client
        .send_raw(b"CONFIG SET maxmemory 1\r\nSET new x\r\nPING\r\n")
        .expect("send");
    assert_eq!(next(&mut client), "OK");
    assert_eq!(next(&mut client), ">[invalidate [k]]");
    assert!(next(&mut client).starts_with("OOM"));
    assert_eq!(next(&mut client), "PONG");
}

/// What clients are told of evicted keys takes more memory than these did, until it is written: by the end of the turn,
/// or later by another thread.
#[test]
fn telling_of_evicted_keys_evicts_no_more() {
    for threads in ["1", "4"] {
        let server = Server::with_options(&["--io-threads", threads]);
        let mut admin = server.connect();
        let key = |n: usize| format!("{n}{}", "x".repeat(1000));
        let keys: Vec<String> = (0..300).map(key).collect();
        let sets: Vec<Vec<&str>> = keys.iter().map(|key| vec!["SET", key, "v"]).collect();
        admin.pipeline(&sets);
        let gets: Vec<Vec<&str>> = keys.iter().map(|key| vec!["GET", key]).collect();
        let mut trackers: Vec<Client> = (0..30).map(|_| server.connect_resp3()).collect();
        for tracker in &mut trackers {
            assert_eq!(say(tracker, "CLIENT TRACKING ON"), "OK");
            tracker.pipeline(&gets);
        }
        let info = admin.line("INFO memory").text();
        let used = info
            .lines()
            .find_map(|line| line.strip_prefix("used_memory:"));
        let used: u64 = used.expect("used_memory").parse().expect("a number");
        let limit = (used - 40_000).to_string();
        let mut commands = vec![
            vec!["CONFIG", "SET", "maxmemory-policy", "allkeys-random"],
            vec!["CONFIG", "SET", "maxmemory", &limit],
        ];
        commands.resize(100, vec!["PING"]);
        admin.pipeline(&commands);
        let left = admin.line("DBSIZE").int();
        assert!((200..300).contains(&left), "{left} with {threads} threads");
        for tracker in &mut trackers {
            assert!(next(tracker).starts_with(">[invalidate ["));
        }
    }
}

#[test]
fn events_of_keys_come_on_time() {
    let server = Server::with_options(&["--notify-keyspace-events", "KEA"]);
    let mut watcher = server.connect();
    say(&mut watcher, "PSUBSCRIBE __key*@0__:*");
    let mut client = server.connect();
    say(&mut client, "SET k v PX 50");
    let begin = std::time::Instant::now();
    let both = |name: &str| {
        [
            format!("[pmessage __key*@0__:* __keyspace@0__:k {name}]"),
            format!("[pmessage __key*@0__:* __keyevent@0__:{name} k]"),
        ]
    };
    for expected in [both("set"), both("expire"), both("expired")].as_flattened() {
        assert_eq!(next(&mut watcher), *expected);
    }
    let took = begin.elapsed();
    assert!(took >= Duration::from_millis(40), "{took:?}");
    assert!(took < Duration::from_millis(500), "{took:?}");
}

#[test]
fn subscribers_share_one_message() {
    let server = Server::with_options(&["--client-output-buffer-limit", "pubsub 0 0 0"]);
    let mut subscribers: Vec<Client> = (0..500).map(|_| server.connect()).collect();
    for client in &mut subscribers {
        say(client, "SUBSCRIBE a");
    }
    let mut publisher = server.connect();
    let text = "x".repeat(256 * 1024);
    assert_eq!(publisher.call(&["PUBLISH", "a", &text]).int(), 500);
    let info = publisher.call(&["INFO", "memory"]).text();
    let used = info
        .lines()
        .find_map(|line| line.strip_prefix("used_memory:"));
    let used: usize = used.expect("the field").parse().expect("a number");
    assert!(used < 64 << 20, "{used}: 500 copies would take 128 MB");
    for client in &mut subscribers {
        assert_eq!(
            client.read().expect("the message").items()[2].text().len(),
            text.len()
        );
    }
}

/// Most memory that the server ever had resident, in bytes.
fn peak_memory(server: &Server) -> u64 {
    let path = format!("/proc/{}/status", server.pid());
    let status = std::fs::read_to_string(path).expect("a live process");
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_ascii_whitespace().next());
    number.expect("VmHWM").parse::<u64>().expect("a number") * 1024
}

/// Room for so many connections on both sides; false if that may not be.
fn raise_file_limit(files: u64) -> bool {
    use ferrite::base::sys;
    let enough = |limit: std::io::Result<(u64, u64)>| limit.is_ok_and(|(soft, _)| soft >= files);
    enough(sys::open_files_limit())
        || sys::set_open_files_limit(files).is_ok() && enough(sys::open_files_limit())
}

/// One message to ten thousand subscribers is encoded once; one of them that does not read is cut off, and the others
/// get what comes after it in time.
#[test]
fn ten_thousand_subscribers() {
    const SUBSCRIBERS: usize = 10_000;
    const BYTES: usize = 8 * 1024;
    if !raise_file_limit(SUBSCRIBERS as u64 + 500) {
        eprintln!("skipped: no {SUBSCRIBERS} open files are allowed here");
        return;
    }
    let server = Server::with_options(&[
        "--maxclients",
        "10200",
        "--client-output-buffer-limit",
        "pubsub 1mb 0 0",
    ]);
    let mut subscribers: Vec<Client> = (0..SUBSCRIBERS).map(|_| server.connect()).collect();
    for client in &mut subscribers {
        client.send(&["SUBSCRIBE", "news"]).expect("send");
    }
    for client in &mut subscribers {
        assert_eq!(next(client), "[subscribe news 1]");
    }
    let mut deaf = server.connect();
    deaf.line("SUBSCRIBE flood");
    deaf.send(&["SUBSCRIBE", "news"]).expect("send");
    let mut publisher = server.connect();
    publisher.set_read_timeout(Duration::from_secs(20));
    let mut publish = |text: &str, receivers: usize| {
        let begin = Instant::now();
        assert_eq!(
            publisher.call(&["PUBLISH", "news", text]).int(),
            receivers as i64
        );
        for client in &mut subscribers {
            let message = client.read().expect("the message");
            assert_eq!(message.items()[2].text(), text);
        }
        let took = begin.elapsed();
        assert!(took < Duration::from_secs(20), "{took:?}");
    };
    let before = peak_memory(&server);
    publish(&"x".repeat(BYTES), SUBSCRIBERS + 1);
    let more = peak_memory(&server) - before;
    // A copy for each of them would be 80 MB.
    assert!(
        more < (SUBSCRIBERS * BYTES / 4) as u64,
        "{} KiB more",
        more >> 10
    );
    // One stops reading while much comes for it.
    let mut flooder = server.connect();
    let flood: Vec<Vec<String>> = (0..100)
        .map(|_| vec!["PUBLISH".into(), "flood".into(), "y".repeat(BYTES)])
        .collect();
    for turn in 0.. {
        assert!(turn < 200, "the subscriber is still there");
        flooder.pipeline(&flood);
        if flooder.line("PUBSUB NUMSUB flood").items()[1].int() == 0 {
            break;
        }
    }
    publish("behind it", SUBSCRIBERS);
    assert!(server.log().contains("overcoming of output buffer limits"));
}
