//! Error replies are those that clients know: every recorded case is sent, and the reply compared byte for byte.
//!
//! A case needs a state: a list of commands, or a sentence that `prepare` knows how to bring about. Where the
//! observed servers differ, any of their replies will do.

mod support;

use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use support::later::is_later;
use support::{Client, Server, Value, reference, words};

/// Whole categories whose feature does not exist yet.
const LATER_CATEGORIES: &[(&str, &str)] = &[
    ("migrate", "needs another server: tests/rdb.rs"),
    (
        "failover",
        "needs a replica that stands still: tests/replication.rs",
    ),
    ("loading", "needs a server that loads: tests/rdb.rs"),
    ("cluster", "cluster mode is not built yet"),
    ("sentinel", "only a Sentinel has it: tests/sentinel.rs"),
];

/// Single cases that say nothing about this server.
const NOT_APPLICABLE: &[(&str, &str)] = &[
    ("syntax-125", "the reply holds the time of the recording"),
    (
        "protocol-005",
        "the recorded server waits for a million arguments; ours may refuse",
    ),
    (
        "client-002",
        "the second step of client-001, which checks both",
    ),
    (
        "persistence-005",
        "nothing is forked: a rewrite of the log does not wait for a save",
    ),
    (
        "persistence-006",
        "nothing is forked: a rewrite of the log does not wait for a save",
    ),
    ("maxclients-002", "cluster mode is not built yet"),
    ("masterdown-003", "the reply is described, not recorded"),
    ("script-093", "it needs a key of a case before it"),
    ("oom-008", "it needs a key of a case before it"),
    ("noperm-017", "the reply is the number of a connection"),
    ("noperm-044", "the reply is described, not recorded"),
];

/// Bytes for the cases whose request is described in words.
fn raw_request(id: &str) -> Option<Vec<u8>> {
    let long = "1".repeat(70_000);
    Some(match id {
        "protocol-001" => b"*2\r\n$3\r\nGET\r\n$1048577\r\n".to_vec(),
        "protocol-002" => b"*abc\r\n".to_vec(),
        "protocol-003" => b"*-1\r\n*1\r\n$4\r\nPING\r\n".to_vec(),
        "protocol-004" => b"*0\r\n*1\r\n$4\r\nPING\r\n".to_vec(),
        "protocol-006" => b"*2147483648\r\n".to_vec(),
        "protocol-007" => b"*1\r\n:3\r\n".to_vec(),
        "protocol-008" => b"*1\r\nGET\r\n".to_vec(),
        "protocol-009" => b"*1\r\n$abc\r\n".to_vec(),
        "protocol-010" => b"*1\r\n$-1\r\n".to_vec(),
        "protocol-011" => b"*1\r\n$536870913\r\n".to_vec(),
        "protocol-012" => format!("*1\r\n${long}").into_bytes(),
        "protocol-013" => format!("*{long}").into_bytes(),
        "protocol-014" => b"SET k \"abc\r\n".to_vec(),
        "protocol-015" => b"SET k 'abc\r\n".to_vec(),
        "protocol-016" => b"SET k \"abc\"def\r\n".to_vec(),
        "protocol-017" => long.into_bytes(),
        "protocol-018" => b"PING\r\n".to_vec(),
        "protocol-019" => b"ping\n".to_vec(),
        "protocol-020" => b"\r\nPING\r\n".to_vec(),
        "protocol-021" => b"SET k \"\\x41\\n\"\r\nGET k\r\n".to_vec(),
        "protocol-022" => b"*1\r\n$4\r\nPINGXX*1\r\n$4\r\nPING\r\n".to_vec(),
        "protocol-023" => b"*2\r\n$4\r\nECHOxx$2\r\nhixx".to_vec(),
        "protocol-024" => b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        "protocol-025" => b"POST / HTTP/1.1\r\n\r\n".to_vec(),
        "protocol-026" => b"Host: x\r\n".to_vec(),
        "auth-020" => b"*100\r\n".to_vec(),
        "auth-021" => b"*2\r\n$3\r\nGET\r\n$20000\r\n".to_vec(),
        _ => return None,
    })
}

/// A case as the file has it.
struct Case {
    id: String,
    category: String,
    commands_before: Vec<String>,
    state: Option<String>,
    request: String,
    replies: Vec<String>,
}

/// Some requests name a script without quotes around it.
fn quote_script(request: String) -> String {
    let script = request
        .strip_prefix("EVAL ")
        .and_then(|rest| rest.strip_suffix(" 0"));
    match script {
        Some(script) if script.contains(' ') && !script.starts_with(['"', '\'']) => {
            format!("EVAL \"{script}\" 0")
        }
        _ => request,
    }
}

fn cases() -> Vec<Case> {
    let file = reference("errors.json");
    let text = |value: &Json| value.as_str().expect("a string").to_string();
    let list = file["cases"].as_array().expect("cases");
    list.iter()
        .map(|case| Case {
            id: text(&case["id"]),
            category: text(&case["category"]),
            commands_before: case["pre"]
                .as_array()
                .map(|commands| commands.iter().map(text).collect())
                .unwrap_or_default(),
            state: case["pre"].as_str().map(str::to_string),
            request: quote_script(text(&case["request"])),
            replies: ["reply", "reply_7.2.6", "reply_8.2.3"]
                .iter()
                .filter_map(|name| case.get(*name).map(text))
                .collect(),
        })
        .collect()
}

/// The reason for leaving a case out.
fn skip_reason(case: &Case) -> Option<&'static str> {
    let single = NOT_APPLICABLE.iter().find(|(id, _)| *id == case.id);
    let category = LATER_CATEGORIES
        .iter()
        .find(|(name, _)| *name == case.category);
    if let Some((_, reason)) = single.or(category) {
        return Some(reason);
    }
    let lines = case.commands_before.iter().chain([&case.request]);
    lines.filter_map(|line| is_later(line)).next()
}

/// What holds a state beside the connection that sends the request.
#[derive(Default)]
struct Others {
    clients: Vec<Client>,
    master: Option<Server>,
}

impl From<Client> for Others {
    fn from(client: Client) -> Others {
        Others {
            clients: vec![client],
            master: None,
        }
    }
}

/// Asks until the reply is of this kind.
fn wait_for(client: &mut Client, line: &str, done: impl Fn(&Value) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let reply = client.line(line);
        if done(&reply) {
            return;
        }
        assert!(Instant::now() < deadline, "{line}: {reply:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn is_busy(reply: &Value) -> bool {
    reply.is_error() && reply.text().starts_with("BUSY")
}

/// A client whose script runs, for so long that others hear of it.
fn run_without_end(server: &Server, state: &str) -> Client {
    let mut client = server.connect();
    client.line("CONFIG SET busy-reply-threshold 20");
    let writes = if state.contains("has written") {
        "redis.call('set', 'x', '1') "
    } else {
        ""
    };
    if state.starts_with("FCALL") {
        client.line(&format!("FUNCTION LOAD \"#!lua name=l\\nredis.register_function('f', function() {writes}while 1 do end end)\""));
        client.send(&["FCALL", "f", "0"]).expect("send");
    } else {
        let code = format!("{writes}while 1 do end");
        client.send(&["EVAL", &code, "0"]).expect("send");
    }
    wait_for(&mut server.connect(), "PING", is_busy);
    client
}

/// The server follows another one, which runs until the case is over.
fn follow(server: &Server) -> Others {
    let master = Server::start();
    let mut client = server.connect();
    client.line(&format!("REPLICAOF 127.0.0.1 {}", master.port()));
    wait_for(&mut client, "INFO replication", |info| {
        info.text().contains("master_link_status:up")
    });
    Others {
        clients: Vec::new(),
        master: Some(master),
    }
}

/// The user of the cases about missing rights.
const USER_U: &str =
    "on >p ~a* %R~r* %W~w* &ch* +@all -set -config|set -@dangerous +client -client|kill +select";

fn become_user(client: &mut Client) {
    let made = client.line(&format!("ACL SETUSER u {USER_U}"));
    assert_eq!(made.text(), "OK");
    assert_eq!(client.line("AUTH u p").text(), "OK");
}

/// Brings about a state that the file describes in words. `None`: this state is not known.
fn prepare(state: &str, server: &Server, client: &mut Client) -> Option<Others> {
    let set = |client: &mut Client, name: &str, value: &str| {
        let reply = client.call(&["CONFIG", "SET", name, value]);
        assert_eq!(reply.text(), "OK", "CONFIG SET {name} {value}");
    };
    let track = |client: &mut Client, options: &[&str]| {
        let reply = client.call(&[&["CLIENT", "TRACKING", "ON"], options].concat());
        assert_eq!(reply.text(), "OK", "{options:?}");
    };
    match state {
        "requirepass pw, not authenticated" => {
            set(client, "requirepass", "pw");
            *client = server.connect();
        }
        "user off exists but is disabled" => {
            client.line("ACL SETUSER off off >p");
        }
        "ACL DRYRUN reply" => {
            client.line(&format!("ACL SETUSER u {USER_U}"));
        }
        "same user, inside MULTI" => {
            become_user(client);
            client.line("MULTI");
        }
        "same user, after NOPERM inside MULTI" => {
            become_user(client);
            client.line("MULTI");
            client.line("SET a 1");
        }
        _ if state.strip_prefix("ACL user u: ") == Some(USER_U) => become_user(client),
        "maxmemory 1, maxmemory-policy noeviction" => {
            client.call(&["SET", "k", "v"]);
            set(client, "maxmemory", "1");
        }
        "proto-max-bulk-len 1mb" => set(client, "proto-max-bulk-len", "1mb"),
        "proto-max-bulk-len 1mb, 1048570 byte value" => {
            set(client, "proto-max-bulk-len", "1mb");
            client.call(&[&b"SET"[..], b"big", &vec![b'x'; 1_048_570]]);
        }
        "maxmemory-policy allkeys-lfu" => {
            set(client, "maxmemory-policy", "allkeys-lfu");
            client.call(&["SET", "k", "v"]);
        }
        "maxmemory-policy noeviction" => {
            client.call(&["SET", "k", "v"]);
        }
        "SET h HYLLxxxxxxxxxxxx" => {
            client.call(&["SET", "h", "HYLLxxxxxxxxxxxx"]);
        }
        "string with HYLL header, sparse, bad opcodes" => {
            let mut value = b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\0".to_vec();
            value.extend_from_slice(b"zzzz");
            client.call(&[&b"SET"[..], b"h", &value]);
        }
        "RESP2 client subscribed to a" => {
            client.call(&["SUBSCRIBE", "a"]);
        }
        "RESP3 client subscribed to a" => {
            client.call(&["HELLO", "3"]);
            client.call(&["SUBSCRIBE", "a"]);
        }
        "RESP2" => {}
        "tracking on" | "tracking on (default mode)" => track(client, &[]),
        "tracking OPTIN" => track(client, &["OPTIN"]),
        "tracking OPTOUT" => track(client, &["OPTOUT"]),
        "tracking BCAST PREFIX ab" => track(client, &["BCAST", "PREFIX", "ab"]),
        "reply of the killed script" | "reply of the killed function" => {
            client.line("CONFIG SET busy-reply-threshold 20");
            client.line("FUNCTION LOAD \"#!lua name=l\\nredis.register_function('f', function() while 1 do end end)\"");
            return Some(server.connect().into());
        }
        _ if disturbance(state).is_some() => {
            client.call(&["XGROUP", "CREATE", "xs", "g", "$", "MKSTREAM"]);
            return Some(server.connect().into());
        }
        "second client idle" | "own id" => return Some(server.connect().into()),
        "nothing running" => {}
        "EVAL running, MULTI/SET queued before" => {
            client.line("MULTI");
            client.line("SET k v");
            return Some(run_without_end(server, state).into());
        }
        _ if state.starts_with("EVAL ") || state.starts_with("FCALL ") => {
            return Some(run_without_end(server, state).into());
        }
        "replica, link up" => return Some(follow(server)),
        "replica, link down, replica-serve-stale-data no" => {
            client.line(&format!("REPLICAOF 127.0.0.1 {}", support::free_port()));
            set(client, "replica-serve-stale-data", "no");
        }
        "min-replicas-to-write 3, one replica"
        | "min-replicas-to-write 3, in MULTI"
        | "after it" => {
            set(client, "min-replicas-to-write", "3");
            if state != "min-replicas-to-write 3, one replica" {
                client.line("MULTI");
            }
        }
        "maxclients 2, two connected" => {
            let other = server.connect();
            set(client, "maxclients", "2");
            return Some(other.into());
        }
        "dbfilename is a directory"
        | "save point configured, dbfilename is a directory"
        | "same" => {
            set(client, "save", "900 1");
            fail_saves(server);
        }
        "last BGSAVE failed, save point configured, stop-writes-on-bgsave-error yes" => {
            client.call(&["SET", "k", "v"]);
            set(client, "save", "900 1");
            fail_saves(server);
            client.call(&["BGSAVE"]);
            let failed = "rdb_last_bgsave_status:err";
            while !client
                .call(&["INFO", "persistence"])
                .text()
                .contains(failed)
            {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        "BGSAVE child running" => {
            client.call(&["SET", "k", "v"]);
            set(client, "rdb-key-save-delay", "10000000");
            client.call(&["BGSAVE"]);
        }
        _ => return None,
    }
    Some(Others::default())
}

/// Puts a directory where the file of saves should be.
fn fail_saves(server: &Server) {
    std::fs::create_dir(server.dir().join("dump.rdb")).expect("make a directory");
}

/// The value "abc" as redis-server 7.0.15 dumps it, with some bytes changed, for a request line.
fn payload(change: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut bytes = b"\0\x03abc\x0a\0\xd9\xac0=Ar\xa2\xe2".to_vec();
    change(&mut bytes);
    let escaped: String = bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect();
    format!("\"{escaped}\"")
}

/// What another client does while the request of a case waits.
fn disturbance(state: &str) -> Option<&'static str> {
    Some(match state {
        "client blocked in XREADGROUP, key deleted" => "DEL xs",
        "client blocked in XREADGROUP, group destroyed" => "XGROUP DESTROY xs g",
        "client blocked in XREADGROUP, key overwritten by SET" => "SET xs v",
        "reply of the killed script" => "SCRIPT KILL",
        "reply of the killed function" => "FUNCTION KILL",
        _ => return None,
    })
}

fn wait_until_blocked(other: &mut Client) {
    let deadline = Instant::now() + Duration::from_secs(3);
    while !other
        .call(&["INFO", "clients"])
        .text()
        .contains("blocked_clients:1")
    {
        assert!(Instant::now() < deadline, "the request does not wait");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Replaces what the file puts in angle brackets.
fn fill_in(request: &str, client: &mut Client, others: &mut Others) -> String {
    let mut text = request.to_string();
    if text.contains("<own id>") {
        let id = client.call(&["CLIENT", "ID"]).int().to_string();
        text = text.replace("<own id>", &id);
    }
    if text.contains("<its id>") {
        let id = others.clients[0].call(&["CLIENT", "ID"]).int().to_string();
        text = text.replace("<its id>", &id);
    }
    let version = payload(|bytes| bytes[5..7].copy_from_slice(&32767u16.to_le_bytes()));
    for (name, with) in [
        ("<valid DUMP payload>", payload(|_| {})),
        ("<DUMP payload with footer version 32767>", version),
        (
            "<DUMP payload with wrong CRC>",
            payload(|bytes| bytes[9] ^= 1),
        ),
        (
            "<DUMP payload with unknown type byte>",
            payload(|bytes| bytes[0] = 99),
        ),
        ("<closed port>", support::free_port().to_string()),
        (
            "<master port>",
            others.master.as_ref().map_or(0, Server::port).to_string(),
        ),
    ] {
        text = text.replace(name, &with);
    }
    text.replace("<10 bytes>", "0123456789")
}

/// Reads until the bytes differ from what is expected, or the connection closes, or all has come.
fn observe(client: &mut Client, expected: &str) -> String {
    let mut seen = Vec::new();
    let wanted = expected
        .trim_end_matches("<open>")
        .trim_end_matches("<closed>");
    let wanted = latin1(wanted.trim_end_matches("\r\n"));
    while seen.len() < wanted.len() {
        match client.read_raw() {
            Ok((_, raw)) => seen.extend_from_slice(&raw),
            Err(_) => break,
        }
    }
    let text: String = seen.iter().map(|&byte| char::from(byte)).collect();
    if expected.ends_with("<closed>") {
        let end = if client.is_closed() {
            "<closed>"
        } else {
            "<not closed>"
        };
        return format!("{text}{end}");
    }
    if expected.ends_with("<open>") {
        let alive = client.send(&["PING"]).is_ok() && client.read().is_ok();
        return format!("{text}{}", if alive { "<open>" } else { "<not open>" });
    }
    text.strip_suffix("\r\n").unwrap_or(&text).to_string()
}

/// The file's strings hold one byte of a reply in each character.
fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|char| char as u32 as u8).collect()
}

enum Outcome {
    Same,
    UnknownState,
    Different(String),
}

fn run(case: &Case, server: &Server) -> Outcome {
    let mut client = server.connect();
    client.set_read_timeout(Duration::from_secs(3));
    for line in &case.commands_before {
        client.line(line);
    }
    let mut others = Others::default();
    if let Some(state) = &case.state {
        match prepare(state, server, &mut client) {
            Some(prepared) => others = prepared,
            None => return Outcome::UnknownState,
        }
    }
    // These cases go on where the two before them in the file ended.
    let goes_on = ["oom-012", "misconf-009", "readonly-replica-012"];
    if goes_on.contains(&case.id.as_str()) {
        client.line("MULTI");
    }
    if goes_on.contains(&case.id.as_str()) || case.id == "noreplicas-006" {
        client.line("SET a 1");
    }
    if case.request == "(connect)" {
        // The first connection must stay, or the new one may take its place.
        others
            .clients
            .push(std::mem::replace(&mut client, server.connect()));
        client.set_read_timeout(Duration::from_secs(3));
    } else {
        let bytes = raw_request(&case.id).unwrap_or_else(|| {
            let request = fill_in(&case.request, &mut client, &mut others);
            // What the file says about the connection is not part of the request.
            let request = match request.split_once(" (") {
                Some((start, _)) if start.starts_with("CLIENT TRACKING") => start.to_string(),
                _ => request,
            };
            support::resp::encode(&words::split(&request).expect("balanced quotes"))
        });
        // The server may close before it has read everything: what counts is what it says.
        let _ = client.send_raw(&bytes);
    }
    if let Some(line) = case.state.as_deref().and_then(disturbance) {
        if line.ends_with("KILL") {
            wait_for(&mut others.clients[0], "PING", is_busy);
        } else {
            wait_until_blocked(&mut others.clients[0]);
        }
        others.clients[0].line(line);
    }
    let seen = observe(&mut client, &case.replies[0]);
    // Of one reply the file tells only how it begins.
    let begins = |wanted: &str| {
        let begin = wanted.strip_suffix(" ...(ok)");
        begin.is_some_and(|begin| seen.starts_with(begin))
    };
    let fits = |wanted: &String| {
        *wanted == seen || wanted.trim_end_matches("\r\n") == seen || begins(wanted)
    };
    if !case.replies.iter().any(fits) {
        return Outcome::Different(seen);
    }
    if case.id == "client-001" && !others.clients[0].is_closed() {
        return Outcome::Different("the killed client is still connected".to_string());
    }
    Outcome::Same
}

/// States that stay in the server: such a case gets one of its own.
fn needs_own_server(case: &Case) -> bool {
    let changes = [
        "CONFIG SET",
        "CONFIG REWRITE",
        "SHUTDOWN",
        "CLIENT PAUSE",
        "DEBUG",
    ];
    case.state.is_some()
        || changes
            .iter()
            .any(|start| case.request.to_ascii_uppercase().starts_with(start))
}

#[test]
fn error_replies_are_the_known_ones() {
    let mut server = Server::start();
    let mut ran: BTreeMap<String, usize> = BTreeMap::new();
    let mut skipped: BTreeMap<&str, usize> = BTreeMap::new();
    let mut failures = Vec::new();
    for case in cases() {
        if let Some(reason) = skip_reason(&case) {
            *skipped.entry(reason).or_default() += 1;
            continue;
        }
        // Which of two refusals is meant shows only where DEBUG is allowed.
        let options: &[&str] = match case.category.as_str() {
            "noperm" => &["--enable-debug-command", "yes"],
            _ => &[],
        };
        let own = needs_own_server(&case).then(|| Server::with_options(options));
        if !server.is_running() {
            server = Server::start();
        }
        server.connect().call(&["FLUSHALL"]);
        match run(&case, own.as_ref().unwrap_or(&server)) {
            Outcome::Same => {}
            Outcome::UnknownState => {
                *skipped
                    .entry("the state needs a feature not built yet")
                    .or_default() += 1;
                continue;
            }
            Outcome::Different(seen) => failures.push(format!(
                "{} ({:?}, {:?})\n    request  {:.200}\n    expected {:?}\n    got      {seen:?}",
                case.id, case.commands_before, case.state, case.request, case.replies
            )),
        }
        *ran.entry(case.category).or_default() += 1;
    }
    let total: usize = ran.values().sum();
    println!("{total} cases ran: {ran:?}");
    println!("left out: {skipped:#?}");
    assert!(
        failures.is_empty(),
        "{} of {total} cases differ:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

#[test]
fn a_wrong_reply_is_noticed() {
    let server = Server::start();
    let case = Case {
        id: "control".to_string(),
        category: "syntax".to_string(),
        commands_before: vec!["SET k v".to_string()],
        state: None,
        request: "GET k".to_string(),
        replies: vec!["-ERR syntax error".to_string()],
    };
    assert!(matches!(run(&case, &server), Outcome::Different(seen) if seen == "$1\r\nv"));
    assert_eq!(
        server.connect().call(&["GET", "k"]),
        Value::Bulk(b"v".to_vec())
    );
}
