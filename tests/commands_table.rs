//! COMMAND, COMMAND INFO and COMMAND DOCS tell clients what `commands.json` says, for every command that the
//! server lists; and the server lists every command that it is meant to have by now.

mod support;

use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use support::later::is_later;
use support::{Client, Server, Value, reference};

/// Groups that are built.
const GROUPS: &[&str] = &[
    "string",
    "list",
    "set",
    "sorted-set",
    "hash",
    "generic",
    "bitmap",
    "hyperloglog",
    "geo",
    "stream",
    "connection",
    "server",
    "pubsub",
];

/// Commands of those groups that this server does not have, beside those of `support::later`.
const NOT_LISTED: &[(&str, &str)] = &[
    ("backup", "of a later release than the one that we promise"),
    ("client|capa", "of another server"),
    ("client|import-source", "of another server"),
    ("commandlog", "of another server"),
    ("hotkeys", "of a later release than the one that we promise"),
    ("himport", "of a later release than the one that we promise"),
    ("blmovem", "of a later release than the one that we promise"),
    ("lmovem", "of a later release than the one that we promise"),
    (
        "sdiffcard",
        "of a later release than the one that we promise",
    ),
    (
        "sunioncard",
        "of a later release than the one that we promise",
    ),
    ("trimslots", "cluster mode is not built yet"),
    ("clusterscan", "cluster mode is not built yet"),
];

/// Differences from the file that are meant: command, field, reason.
const EXPLAINED: &[(&str, &str, &str)] = &[
    ("replicaof", "arity", "it takes ACCEPT-DATA-LOSS as well"),
    ("slaveof", "arity", "it takes ACCEPT-DATA-LOSS as well"),
    (
        "xadd",
        "arguments",
        "IDMP and IDMPAUTO are of a later release than the one that we promise",
    ),
    (
        "xread",
        "arguments",
        "MAXCOUNT and MAXSIZE are of a later release than the one that we promise",
    ),
    (
        "xreadgroup",
        "arguments",
        "MAXCOUNT and MAXSIZE are of a later release than the one that we promise",
    ),
    (
        "zinter",
        "arguments",
        "AGGREGATE COUNT is of a later release than the one that we promise",
    ),
    (
        "zinterstore",
        "arguments",
        "AGGREGATE COUNT is of a later release than the one that we promise",
    ),
    (
        "zunion",
        "arguments",
        "AGGREGATE COUNT is of a later release than the one that we promise",
    ),
    (
        "zunionstore",
        "arguments",
        "AGGREGATE COUNT is of a later release than the one that we promise",
    ),
];

fn text(value: &Json) -> String {
    value.as_str().expect("a string").to_string()
}

fn texts(value: &Json) -> BTreeSet<String> {
    value
        .as_array()
        .map(|list| list.iter().map(text).collect())
        .unwrap_or_default()
}

fn table() -> BTreeMap<String, Json> {
    let file = reference("commands.json");
    let list = file["commands"].as_array().expect("commands");
    list.iter()
        .map(|command| (text(&command["name"]), command.clone()))
        .collect()
}

fn words(value: &Value) -> BTreeSet<String> {
    value.items().iter().map(Value::text).collect()
}

/// The entries of COMMAND and of their subcommands.
fn listed(client: &mut Client) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    let Value::Array(commands) = client.call(&["COMMAND"]) else {
        panic!("COMMAND gave no array");
    };
    for command in commands {
        for sub in command.items()[9].items() {
            all.insert(sub.items()[0].text(), sub.clone());
        }
        all.insert(command.items()[0].text(), command);
    }
    all
}

/// What differs between an entry of COMMAND and the file's row.
fn compare_info(info: &Value, row: &Json) -> Vec<(&'static str, String)> {
    let fields = info.items();
    let mut differences = Vec::new();
    for (name, at) in [
        ("arity", 1),
        ("first_key", 3),
        ("last_key", 4),
        ("key_step", 5),
    ] {
        let wanted = row[name].as_i64().expect("a number");
        if fields[at].int() != wanted {
            differences.push((name, format!("{} instead of {wanted}", fields[at].int())));
        }
    }
    for (name, at) in [("flags", 2), ("acl_categories", 6), ("tips", 7)] {
        let (seen, wanted) = (words(&fields[at]), texts(&row[name]));
        if seen != wanted {
            differences.push((name, format!("{seen:?} instead of {wanted:?}")));
        }
    }
    let seen = key_specs(&fields[8]);
    let wanted = wanted_key_specs(&row["key_specs"]);
    if seen != wanted {
        differences.push(("key_specs", format!("{seen:?} instead of {wanted:?}")));
    }
    differences
}

/// Key specifications as one line each: flags, where to begin, how to go on.
fn key_specs(value: &Value) -> Vec<String> {
    let step = |value: Value| {
        let kind = value.field("type").expect("type").text();
        let spec = value.field("spec").expect("spec");
        let numbers: BTreeMap<String, String> = spec
            .pairs()
            .iter()
            .map(|(name, value)| (name.text(), value.text()))
            .collect();
        format!("{kind}{numbers:?}")
    };
    let line = |spec: &Value| {
        let flags = words(&spec.field("flags").expect("flags"));
        let begin = step(spec.field("begin_search").expect("begin_search"));
        let find = step(spec.field("find_keys").expect("find_keys"));
        format!("{flags:?} {begin} {find}")
    };
    value.items().iter().map(line).collect()
}

fn wanted_key_specs(value: &Json) -> Vec<String> {
    let step = |value: &Json| {
        let object = value.as_object().expect("an object");
        let numbers: BTreeMap<String, String> = object
            .iter()
            .filter(|(name, _)| *name != "type")
            .map(|(name, value)| {
                // The one name that differs between the file and the wire.
                let name = if name == "step" { "keystep" } else { name };
                (
                    name.to_string(),
                    value.to_string().trim_matches('"').to_string(),
                )
            })
            .collect();
        format!("{}{numbers:?}", text(&value["type"]))
    };
    let specs = value.as_array().expect("key_specs");
    let line = |spec: &Json| {
        format!(
            "{:?} {} {}",
            texts(&spec["flags"]),
            step(&spec["begin_search"]),
            step(&spec["find_keys"])
        )
    };
    specs.iter().map(line).collect()
}

/// What differs between an entry of COMMAND DOCS and the file's row.
fn compare_docs(docs: &Value, row: &Json) -> Vec<(&'static str, String)> {
    let mut differences = Vec::new();
    for name in ["group", "since"] {
        let seen = docs
            .field(name)
            .map(|value| value.text())
            .unwrap_or_default();
        if seen != text(&row[name]) {
            differences.push((name, format!("{seen} instead of {}", row[name])));
        }
    }
    let summary = docs.field("summary").map(|value| value.text());
    if summary.is_none_or(|text| text.is_empty()) {
        differences.push(("summary", "missing".to_string()));
    }
    let seen = docs.field("arguments").map(|list| arguments(&list));
    let wanted = wanted_arguments(&row["arguments"]);
    if seen.unwrap_or_default() != wanted {
        let seen = docs.field("arguments").map(|list| arguments(&list));
        differences.push((
            "arguments",
            format!("{seen:?}\n      instead of {wanted:?}"),
        ));
    }
    differences
}

/// Arguments as text: name, type, token, flags, and in brackets those inside.
fn arguments(value: &Value) -> Vec<String> {
    let line = |argument: &Value| {
        let get = |name: &str| argument.field(name).map(|value| value.text());
        let flags = argument.field("flags").map(|flags| words(&flags));
        let inner = argument.field("arguments").map(|list| arguments(&list));
        describe(
            &get("name").unwrap_or_default(),
            &get("type").unwrap_or_default(),
            get("token"),
            flags.unwrap_or_default(),
            inner.unwrap_or_default(),
        )
    };
    value.items().iter().map(line).collect()
}

fn wanted_arguments(value: &Json) -> Vec<String> {
    let line = |argument: &Json| {
        let set = |name: &&str| argument[*name].as_bool() == Some(true);
        let flags = ["optional", "multiple", "multiple_token"];
        describe(
            &text(&argument["name"]),
            &text(&argument["type"]),
            argument["token"].as_str().map(str::to_string),
            flags
                .iter()
                .filter(|name| set(name))
                .map(|name| name.to_string())
                .collect(),
            wanted_arguments(&argument["arguments"]),
        )
    };
    value
        .as_array()
        .map(|list| list.iter().map(line).collect())
        .unwrap_or_default()
}

fn describe(
    name: &str,
    kind: &str,
    token: Option<String>,
    flags: BTreeSet<String>,
    inner: Vec<String>,
) -> String {
    format!("{name}:{kind}:{token:?}{flags:?}{inner:?}")
}

fn report(failures: &[String], checked: usize) {
    println!("{checked} commands compared");
    assert!(
        failures.is_empty(),
        "{} differences in {checked} commands:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

/// FERRITE and what is in it is not Redis'.
fn is_own(name: &str) -> bool {
    name == "ferrite" || name.starts_with("ferrite|")
}

fn explained(name: &str, field: &str) -> bool {
    EXPLAINED
        .iter()
        .any(|(command, what, _)| *command == name && *what == field)
}

#[test]
fn command_info_agrees_with_the_reference() {
    let server = Server::start();
    let table = table();
    let listed = listed(&mut server.connect());
    let mut failures = Vec::new();
    for (name, info) in listed.iter().filter(|(name, _)| !is_own(name)) {
        let Some(row) = table.get(name) else {
            failures.push(format!("{name}: not in the reference"));
            continue;
        };
        for (field, what) in compare_info(info, row) {
            if !explained(name, field) {
                failures.push(format!("{name}: {field}: {what}"));
            }
        }
    }
    assert!(listed.len() > 100, "only {} commands listed", listed.len());
    report(&failures, listed.len());
}

#[test]
fn command_docs_agree_with_the_reference() {
    let server = Server::start();
    let table = table();
    let docs = server.connect().call(&["COMMAND", "DOCS"]);
    let mut all = BTreeMap::new();
    for (name, entry) in docs.pairs() {
        for (sub, inner) in entry
            .field("subcommands")
            .map(|s| s.pairs())
            .unwrap_or_default()
        {
            all.insert(sub.text(), inner);
        }
        all.insert(name.text(), entry);
    }
    let mut failures = Vec::new();
    for (name, entry) in all.iter().filter(|(name, _)| !is_own(name)) {
        let Some(row) = table.get(name) else {
            failures.push(format!("{name}: not in the reference"));
            continue;
        };
        for (field, what) in compare_docs(entry, row) {
            if !explained(name, field) {
                failures.push(format!("{name}: {field}: {what}"));
            }
        }
    }
    assert!(all.len() > 100, "only {} commands documented", all.len());
    report(&failures, all.len());
}

#[test]
fn every_command_of_the_built_groups_is_listed() {
    let server = Server::start();
    let listed = listed(&mut server.connect());
    let left_out = |name: &str| {
        let container = name.split('|').next().unwrap_or(name);
        NOT_LISTED
            .iter()
            .any(|(other, _)| *other == name || *other == container)
    };
    let missing: Vec<String> = table()
        .into_iter()
        .filter(|(name, row)| {
            GROUPS.contains(&row["group"].as_str().expect("group"))
                && is_later(name).is_none()
                && !left_out(name)
                && !listed.contains_key(name)
        })
        .map(|(name, _)| name)
        .collect();
    assert!(missing.is_empty(), "{} missing: {missing:?}", missing.len());
}

#[test]
fn count_and_list_and_info_agree() {
    let server = Server::start();
    let mut client = server.connect();
    let count = client.call(&["COMMAND", "COUNT"]).int() as usize;
    let names = words(&client.call(&["COMMAND", "LIST"]));
    let top: BTreeSet<&String> = names.iter().filter(|name| !name.contains('|')).collect();
    assert_eq!(top.len(), count);
    for name in &top {
        let info = client.call(&["COMMAND", "INFO", name]);
        assert_eq!(info.items()[0].items()[0].text(), **name);
    }
}

#[test]
fn every_container_helps() {
    let server = Server::start();
    let mut client = server.connect();
    let all = listed(&mut client);
    let helping: Vec<&str> = all
        .keys()
        .filter_map(|name| name.strip_suffix("|help"))
        .collect();
    assert!(helping.len() > 10, "{helping:?}");
    let mut check = |call: &[&str]| {
        let lines = client.call(call);
        let first = lines.items()[0].text();
        let wanted = format!("{} <subcommand>", call[0].to_uppercase());
        assert!(first.starts_with(&wanted), "{call:?}: {first}");
        assert!(lines.items().len() >= 4, "{call:?}: {lines:?}");
    };
    for name in helping {
        // Where cluster mode is switched off, it does not even help.
        if name != "cluster" {
            check(&[name, "help"]);
        }
    }
    check(&["FERRITE", "HELP"]);
}
