//! Replies have the shape that clients parse, in RESP2 and in RESP3: every recorded request, types compared with
//! the recorded notation (see `support::shape`).

mod support;

use support::later::is_later;
use support::shape::{Shape, matches};
use support::{Server, reference};

/// Requests whose recording needs something else than the common setup.
const NOT_APPLICABLE: &[(&str, &str)] = &[
    (
        "DEBUG PROTOCOL ATTRIB",
        "an attribute comes before its reply: two frames",
    ),
    ("DEBUG PROTOCOL PUSH", "two frames in RESP3"),
    ("LATENCY HISTOGRAM", "holds the calls of the recording"),
    ("COMMAND INFO client", "recorded in part"),
    (
        "COMMAND DOCS object",
        "summaries and subcommands of one release",
    ),
    ("SENTINEL", "only a Sentinel has it: tests/sentinel.rs"),
    ("CLUSTER", "recorded in cluster mode"),
    ("ROLE", "a shape for each role: tests/replication.rs"),
    ("INFO sentinel", "only a Sentinel has it: tests/sentinel.rs"),
    (
        "SLOWLOG GET",
        "recorded with entries; see the slowlog tests",
    ),
    ("CONFIG GET port hz", "a map of two in any order"),
];

/// What has to happen before a request, on top of the setup: the recording ran them one after the other.
const BEFORE: &[(&str, &str)] = &[
    (
        "FUNCTION LIST",
        "FUNCTION LOAD REPLACE \"#!lua name=lib\\nredis.register_function{function_name='f', description='text', callback=function() end, flags={'no-writes'}}\"",
    ),
    (
        "FUNCTION LIST WITHCODE",
        "FUNCTION LOAD REPLACE \"#!lua name=lib\\nredis.register_function{function_name='f', description='text', callback=function() end, flags={'no-writes'}}\"",
    ),
    ("SORT l BY nosort GET nokey_* GET #", "LTRIM l 0 1"),
    ("HINCRBYFLOAT h num 1.5", "HSET h num 1"),
    ("ZMPOP 1 z2 MIN COUNT 2", "ZADD z2 4 b"),
    ("ZPOPMAX z2 2", "ZADD z2 4 b"),
    ("LPOS l a COUNT 0", "RPUSH l a"),
    ("XREADGROUP GROUP g c STREAMS x >", "XADD x 9-9 f v"),
    (
        "XREADGROUP GROUP g c STREAMS x 0",
        "XREADGROUP GROUP g c STREAMS x >",
    ),
    (
        "XREADGROUP GROUP g c BLOCK 10 STREAMS x >",
        "XREADGROUP GROUP g c STREAMS x >",
    ),
    ("XINFO STREAM x FULL", "XREADGROUP GROUP g c STREAMS x >"),
    ("XINFO STREAM x FULL", "XCLAIM x g c2 0 1-1 2-1"),
    ("XINFO CONSUMERS x g", "XGROUP CREATECONSUMER x g c2"),
    ("XPENDING x g - + 10", "XREADGROUP GROUP g c STREAMS x >"),
    ("XAUTOCLAIM x g c2 0 0", "XREADGROUP GROUP g c STREAMS x >"),
    (
        "XAUTOCLAIM x g c2 0 0 JUSTID",
        "XREADGROUP GROUP g c STREAMS x >",
    ),
];

fn not_applicable(request: &str) -> Option<&'static str> {
    let listed = NOT_APPLICABLE.iter().find(|(name, _)| {
        *name == request || (!name.contains(' ') && request.split(' ').next() == Some(name))
    });
    let placeholder = request.contains('<').then_some("needs another server");
    let vector = request.starts_with('V') && request.split(' ').nth(1).is_some();
    listed
        .map(|(_, reason)| *reason)
        .or_else(|| is_later(request))
        .or(placeholder)
        .or(vector.then_some("vector sets are not built"))
}

/// The request and its shape, RESP2 and RESP3.
fn recorded() -> Vec<(String, String, String)> {
    let file = reference("reply_shapes.json");
    let text = |value: &serde_json::Value| value.as_str().expect("a string").to_string();
    let list = |name: &str| file[name].as_array().expect("a list").clone();
    let differing = list("differing")
        .iter()
        .map(|row| {
            (
                text(&row["request"]),
                text(&row["resp2"]),
                text(&row["resp3"]),
            )
        })
        .collect::<Vec<_>>();
    let same = list("same_in_both");
    let same = same.iter().map(|row| {
        (
            text(&row["request"]),
            text(&row["shape"]),
            text(&row["shape"]),
        )
    });
    differing.into_iter().chain(same).collect()
}

fn setup() -> Vec<String> {
    let file = reference("reply_shapes.json");
    let lines = file["meta"]["setup"].as_array().expect("setup");
    lines
        .iter()
        .map(|line| line.as_str().expect("a line").to_string())
        .filter(|line| is_later(line).is_none())
        .collect()
}

fn run(proto: u8) {
    let server = Server::with_options(&["--enable-debug-command", "yes"]);
    let setup = setup();
    let (mut ran, mut skipped, mut failures) = (0, 0, Vec::new());
    let mut seen = std::collections::BTreeSet::new();
    for (request, resp2, resp3) in recorded() {
        if not_applicable(&request).is_some() {
            skipped += 1;
            continue;
        }
        let mut client = match proto {
            2 => server.connect(),
            _ => server.connect_resp3(),
        };
        client.line("FLUSHALL");
        for line in &setup {
            client.line(line);
        }
        for (_, line) in BEFORE.iter().filter(|(name, _)| *name == request) {
            client.line(line);
        }
        // What is recorded twice was sent twice.
        if !seen.insert(request.clone()) {
            client.line(&request);
        }
        let notation = if proto == 2 { &resp2 } else { &resp3 };
        let shape = Shape::parse(notation).unwrap_or_else(|| panic!("notation {notation}"));
        let reply = client.line(&request);
        ran += 1;
        if !matches(&shape, &reply) {
            failures.push(format!(
                "{request}\n    expected {notation:.300}\n    got      {reply:?}"
            ));
        }
    }
    println!("RESP{proto}: {ran} requests ran, {skipped} left out");
    assert!(
        failures.is_empty(),
        "{} of {ran} shapes differ in RESP{proto}:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

#[test]
fn replies_have_their_shape_in_resp2() {
    run(2);
}

#[test]
fn replies_have_their_shape_in_resp3() {
    run(3);
}
