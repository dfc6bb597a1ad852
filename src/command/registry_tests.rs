//! All rows against each other and against the reference table of Redis' commands. (That no command of a finished group
//! is missing, `tests/commands_table.rs` sees.)

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::super::spec::{Begin, DocFlags, Find, Handler, KeyFlags, KeySpec, no_handler};
use super::super::syntax::{self, Arg};
use super::*;

const REFERENCE: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/assets/reference/commands.json"
));

/// Served although they are younger than the rest of the table.
const YOUNGER: &[&str] = &["delifeq", "increx"];

fn version(text: &str) -> Vec<u32> {
    text.split('.')
        .map(|part| part.parse().expect("a version of numbers and dots"))
        .collect()
}

fn young(since: &str) -> bool {
    version(since) >= vec![8, 5]
}

/// The commands of the reference up to Redis 8.4, with the younger ones that are served.
fn reference() -> BTreeMap<String, Value> {
    let file: Value = serde_json::from_str(REFERENCE).expect("JSON");
    let rows = file["commands"].as_array().expect("commands").iter();
    rows.filter(|row| {
        let name = row["name"].as_str().expect("name");
        let group = row["group"].as_str().expect("group");
        let old = row["origin"] == "redis" && !young(row["since"].as_str().expect("since"));
        YOUNGER.contains(&name) || old && !["array", "vector_set"].contains(&group)
    })
    .map(|row| (row["name"].as_str().expect("name").to_owned(), row.clone()))
    .collect()
}

/// The arguments of the reference without those that came after Redis 8.4.
fn known_arguments(args: &Value, keep_young: bool) -> Value {
    let args = args.as_array().cloned().unwrap_or_default();
    // AGGREGATE COUNT, of Redis 8.8, has no release in the reference.
    let count = |arg: &Value| arg["type"] == "pure-token" && arg["token"] == "COUNT";
    let known = |arg: &Value| {
        keep_young || arg["since"].as_str().is_none_or(|since| !young(since)) && !count(arg)
    };
    let inner = |mut arg: Value| {
        if let Some(inner) = arg.get("arguments") {
            arg["arguments"] = known_arguments(inner, keep_young);
        }
        arg
    };
    args.into_iter().filter(known).map(inner).collect()
}

fn argument(arg: &Arg<'_>) -> Value {
    let mut out = Map::new();
    out.insert("name".into(), json!(arg.name));
    out.insert("type".into(), json!(arg.kind.name()));
    let texts = [
        ("token", arg.token),
        ("since", arg.since),
        ("deprecated_since", arg.deprecated_since),
    ];
    out.extend(
        texts
            .iter()
            .filter_map(|(name, text)| text.map(|t| ((*name).to_owned(), json!(t)))),
    );
    out.extend(
        arg.key_spec
            .map(|index| ("key_spec_index".to_owned(), json!(index))),
    );
    let marks = [
        ("optional", arg.optional),
        ("multiple", arg.multiple),
        ("multiple_token", arg.multiple_token),
    ];
    out.extend(
        marks
            .iter()
            .filter(|mark| mark.1)
            .map(|mark| (mark.0.to_owned(), json!(true))),
    );
    if arg.kind.is_group() {
        out.insert("arguments".into(), arg.args.iter().map(argument).collect());
    }
    Value::Object(out)
}

fn key_spec(key: &KeySpec) -> Value {
    let flags = KeyFlags::NAMES
        .iter()
        .filter(|(flag, _)| key.flags.contains(*flag));
    json!({
        "flags": flags.map(|(_, name)| *name).collect::<Vec<_>>(),
        "begin_search": match key.begin {
            Begin::Index(at) => json!({"type": "index", "index": at}),
            Begin::Keyword { word, from } => json!({"type": "keyword", "keyword": word, "startfrom": from}),
            Begin::Unknown => json!({"type": "unknown"}),
        },
        "find_keys": match key.find {
            Find::Range { last, step, limit } => json!({"type": "range", "lastkey": last, "step": step, "limit": limit}),
            Find::KeyNum { keynumidx, firstkey, step } =>
                json!({"type": "keynum", "keynumidx": keynumidx, "firstkey": firstkey, "step": step}),
            Find::Unknown => json!({"type": "unknown"}),
        },
    })
}

fn set_of(values: &Value) -> BTreeSet<String> {
    let values = values.as_array().cloned().unwrap_or_default();
    values
        .iter()
        .map(|v| v.as_str().expect("a name").to_owned())
        .collect()
}

fn names_of<T: Copy>(
    names: &[(T, &'static str)],
    has: impl Fn(T) -> bool,
    prefix: &str,
) -> BTreeSet<String> {
    names
        .iter()
        .filter(|(flag, _)| has(*flag))
        .map(|(_, name)| format!("{prefix}{name}"))
        .collect()
}

fn check(command: &Command, row: &Value) {
    let (spec, name) = (command.spec, &command.full_name);
    assert_eq!(json!(spec.group.name()), row["group"], "{name}: group");
    assert_eq!(json!(spec.since), row["since"], "{name}: since");
    // They take one more word here: ACCEPT-DATA-LOSS.
    if !matches!(name.as_str(), "replicaof" | "slaveof") {
        assert_eq!(json!(spec.arity), row["arity"], "{name}: arity");
    }
    let flags = names_of(Flags::NAMES, |flag| command.flags.contains(flag), "");
    assert_eq!(flags, set_of(&row["flags"]), "{name}: flags");
    let categories = names_of(
        Categories::NAMES,
        |category| command.categories.contains(category),
        "@",
    );
    assert_eq!(
        categories,
        set_of(&row["acl_categories"]),
        "{name}: categories"
    );
    let (first, last, step) = spec.key_triple();
    assert_eq!(
        json!([first, last, step]),
        json!([row["first_key"], row["last_key"], row["key_step"]]),
        "{name}: triple"
    );
    assert_eq!(
        spec.keys.iter().map(key_spec).collect::<Value>(),
        row["key_specs"],
        "{name}: key specs"
    );
    assert_eq!(
        spec.tips
            .iter()
            .map(|t| (*t).to_owned())
            .collect::<BTreeSet<_>>(),
        set_of(&row["tips"]),
        "{name}: tips"
    );
    let complexity = row["complexity"]
        .as_array()
        .map_or_else(String::new, |parts| {
            parts
                .iter()
                .map(|p| p.as_str().expect("text"))
                .collect::<Vec<_>>()
                .join("; ")
        });
    assert_eq!(spec.complexity, complexity, "{name}: complexity");
    let args = syntax::parse(spec.syntax).unwrap_or_else(|e| panic!("{name}: syntax at {}", e.at));
    let known = known_arguments(&row["arguments"], YOUNGER.contains(&name.as_str()));
    assert_eq!(
        args.iter().map(argument).collect::<Value>(),
        known,
        "{name}: arguments"
    );
    let doc_flags = [
        (DocFlags::DEPRECATED, "deprecated"),
        (DocFlags::SYSCMD, "syscmd"),
    ];
    let doc_flags = names_of(&doc_flags, |flag| spec.doc_flags.contains(flag), "");
    assert_eq!(doc_flags, set_of(&row["doc_flags"]), "{name}: doc flags");
    assert_eq!(
        spec.deprecated_since,
        row["deprecated_since"].as_str().unwrap_or(""),
        "{name}: deprecated"
    );
    for text in set_of(&row["replaced_by"])
        .iter()
        .flat_map(|text| text.split(' '))
    {
        assert!(
            spec.replaced_by.contains(text),
            "{name}: replaced by {text}"
        );
    }
    let changed = row["changed_in"].as_array().cloned().unwrap_or_default();
    let changed = changed
        .iter()
        .filter_map(Value::as_str)
        .filter(|v| YOUNGER.contains(&name.as_str()) || !young(v));
    assert_eq!(
        spec.history.iter().map(|h| h.0).collect::<Vec<_>>(),
        changed.collect::<Vec<_>>(),
        "{name}: history"
    );
}

#[test]
fn rows_agree_with_the_reference() {
    let reference = reference();
    // FERRITE and what is in it is not Redis'.
    let of_redis = |name: &str| name != "ferrite" && !name.starts_with("ferrite|");
    for command in all().iter().filter(|c| of_redis(&c.full_name)) {
        let name = &command.full_name;
        check(
            command,
            reference
                .get(name)
                .unwrap_or_else(|| panic!("{name} is not in the reference")),
        );
    }
}

#[test]
fn rows_are_complete_and_unique() {
    let mut seen = BTreeSet::new();
    for command in all() {
        let (spec, name) = (command.spec, &command.full_name);
        assert!(seen.insert(name.clone()), "{name} stands twice");
        assert_eq!(*name, name.to_ascii_lowercase());
        let none = std::ptr::fn_addr_eq(spec.run, no_handler as Handler);
        assert_eq!(spec.has_handler(), !none, "{name}: handler");
        assert!(
            spec.summary.len() > 10 && spec.summary.ends_with('.'),
            "{name}: summary"
        );
        assert!(
            spec.history.iter().all(|(_, change)| change.ends_with('.')),
            "{name}: history"
        );
        assert!(
            spec.subs.iter().all(|sub| sub.subs.is_empty()),
            "{name}: sub-commands have none"
        );
        let variable = |key: &KeySpec| {
            key.flags
                .intersects(KeyFlags::VARIABLE_FLAGS | KeyFlags::INCOMPLETE)
        };
        let blind = spec
            .keys
            .iter()
            .any(|key| variable(key) || key.begin == Begin::Unknown);
        let read_only_sort = spec.name == "sort_ro";
        assert!(
            !blind || spec.special_keys.is_some() || read_only_sort,
            "{name}: its key specs do not tell all"
        );
    }
}

#[test]
fn ids_are_dense() {
    for (at, command) in all().iter().enumerate() {
        assert_eq!(usize::from(command.id), at);
        for sub in command.subs() {
            assert_eq!(sub.parent, Some(command.id));
            assert_eq!(sub.container().map(|c| c.id), Some(command.id));
            assert_eq!(
                sub.full_name,
                format!("{}|{}", command.spec.name, sub.spec.name)
            );
        }
    }
    assert!(commands().all(|c| c.parent.is_none()));
    assert_eq!(
        commands().map(|c| 1 + c.subs().len()).sum::<usize>(),
        all().len()
    );
}

#[test]
fn names_are_found_in_any_case() {
    let names = Names::new(|_| true);
    assert_eq!(names.len(), commands().count());
    for command in commands() {
        let name = command.spec.name;
        for form in [name.to_owned(), name.to_ascii_uppercase()] {
            assert_eq!(
                names.lookup(form.as_bytes()).map(|c| c.id),
                Some(command.id),
                "{form}"
            );
        }
        for wrong in [
            format!("{name}\0"),
            format!("{name}#"),
            name[1..].to_owned() + "#",
            format!("{name:->40}"),
        ] {
            assert!(names.lookup(wrong.as_bytes()).is_none(), "{wrong}");
        }
    }
    for sub in all().iter().filter(|c| c.parent.is_some()) {
        assert_eq!(
            names.by_full_name(sub.full_name.as_bytes()).map(|c| c.id),
            Some(sub.id)
        );
        assert!(names.lookup(sub.full_name.as_bytes()).is_none());
    }
    assert!(names.lookup(b"").is_none());
    assert_eq!(names.iter().count(), names.len());
}

#[test]
fn folding_is_lower_case_of_ascii_letters() {
    for byte in 0..=255u8 {
        let word = u64::from_le_bytes([byte, b'Z', 0, 255, byte, b'a', b'@', b'[']);
        assert_eq!(
            lower(word).to_le_bytes(),
            word.to_le_bytes().map(|b| b.to_ascii_lowercase())
        );
    }
    let folded = |name: &[u8]| fold(name).expect("short");
    let name = b"ZRANGEBYSCORE-AB";
    for len in 0..=16 {
        assert!(folded(&name[..len]) == folded(&name[..len].to_ascii_lowercase()));
        for at in 0..len {
            let mut other = name[..len].to_vec();
            other[at] ^= 1;
            assert!(folded(&name[..len]) != folded(&other), "{len} {at}");
        }
    }
    assert!(fold(b"ZRANGEBYSCORE-ABC").is_none());
    assert!(folded(b"") != folded(b"\0") && folded(b"ab") != folded(b"abb"));
}

#[test]
fn calls_reach_sub_commands() {
    let names = Names::default();
    let find = |call: &[&str]| names.find(&call);
    assert_eq!(
        find(&["COMMAND"]).ok().map(|c| c.full_name.as_str()),
        Some("command")
    );
    assert_eq!(
        find(&["command", "Info"])
            .ok()
            .map(|c| c.full_name.as_str()),
        Some("command|info")
    );
    assert!(
        matches!(find(&["command", "nosuch"]), Err(Unknown::Sub(c)) if c.spec.name == "command")
    );
    assert!(matches!(find(&["nosuch", "info"]), Err(Unknown::Command)));
}

#[test]
fn commands_are_renamed_and_taken_away() {
    let mut names = Names::new(|_| true);
    let id = names.lookup(b"command").map(|c| c.id);
    let long = "b840fc02d524045429941cc15f59e41cb7be6c52";
    assert_eq!(names.rename(b"COMMAND", long.as_bytes()), Ok(()));
    assert!(names.lookup(b"command").is_none());
    assert_eq!(
        names
            .lookup(long.to_ascii_uppercase().as_bytes())
            .map(|c| c.id),
        id
    );
    assert_eq!(names.rename(long.as_bytes(), b"Cmds"), Ok(()));
    assert_eq!(names.lookup(b"cmdS").map(|c| c.id), id);
    assert_eq!(names.rename(b"cmds", b"CMDS"), Err(RenameError::Taken));
    assert_eq!(
        names.rename(b"nosuch", b"x"),
        Err(RenameError::NoSuchCommand)
    );
    assert_eq!(names.rename(b"cmds", b""), Ok(()));
    assert!(names.lookup(b"cmds").is_none());
    assert_eq!(names.len(), commands().count() - 1);
}

#[test]
fn a_server_may_have_a_part_of_the_commands() {
    let none = Names::new(|_| false);
    assert!(none.lookup(b"command").is_none());
    let some = Names::new(|c| c.spec.name == "command");
    assert!(some.lookup(b"command").is_some());
    // A Sentinel's commands are nobody else's, and it has not all sub-commands of what it shares.
    let (server, sentinel) = (Names::default(), super::super::sentinel::names());
    assert!(server.lookup(b"sentinel").is_none() && sentinel.lookup(b"sentinel").is_some());
    assert!(sentinel.lookup(b"get").is_none());
    assert_eq!(sentinel.len(), 15);
    assert!(server.by_full_name(b"client|no-touch").is_some());
    assert!(sentinel.by_full_name(b"client|no-touch").is_none());
    assert!(sentinel.by_full_name(b"client|setname").is_some());
}
