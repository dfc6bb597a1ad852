//! The table against `tests/assets/reference/config.json`: what Redis' and Valkey's own servers showed of their directives.

use std::collections::HashSet;

use serde_json::Value;

use super::*;
use crate::config::directive::Mutability;
use crate::config::nearest::FILE_ONLY;

fn reference() -> Value {
    serde_json::from_str(include_str!("../../tests/assets/reference/config.json")).unwrap()
}

fn find(name: &str) -> &'static Directive {
    Directive::find(name.as_bytes()).unwrap_or_else(|| panic!("{name} is missing"))
}

/// Directives of this server alone.
const OWN: [&str; 10] = [
    "aof-history-retention",
    "aof-ignore-orphans",
    "metrics-bind",
    "metrics-hosts",
    "metrics-port",
    "rdb-version",
    "replica-accept-data-loss",
    "script-memory-limit",
    "track-prefix",
    "undo-window",
];

#[test]
fn every_default_passes_its_own_parser_and_reads_back() {
    let settings = Settings::default();
    for directive in DIRECTIVES {
        let text = String::from_utf8(directive.text(&settings)).unwrap();
        assert_eq!(
            text,
            directive_default_as_shown(directive),
            "{}",
            directive.name
        );
        for line in (directive.lines)(&settings) {
            let words = crate::config::line::split_words(&line).unwrap();
            let mut again = settings.clone();
            directive
                .update(&mut again, &words[1..], When::Start { first: false })
                .unwrap();
        }
    }
}

fn directive_default_as_shown(directive: &Directive) -> String {
    match directive.name {
        // The current directory, made absolute.
        "dir" => std::fs::canonicalize(".").unwrap().display().to_string(),
        _ => directive.default.to_string(),
    }
}

#[test]
fn names_are_sorted_and_dashed() {
    let names: Vec<_> = DIRECTIVES.iter().map(|d| d.name).collect();
    assert!(names.is_sorted());
    assert!(names.iter().all(|n| {
        n.bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    }));
}

#[test]
fn nothing_is_missing_and_nothing_is_invented() {
    let reference = reference();
    let mut known: HashSet<String> = HashSet::from(OWN.map(str::to_string));
    // Shown by a forced CONFIG REWRITE of 7.0.15 alone.
    known.insert("lua-enable-deprecated-api".into());
    for entry in reference["directives"].as_array().unwrap() {
        let name = entry["name"].as_str().unwrap();
        find(name);
        known.insert(name.to_string());
        for alias in entry["aliases"].as_array().into_iter().flatten() {
            assert_eq!(find(alias.as_str().unwrap()).name, name);
        }
        let aliases = entry["aliases"].as_array().map_or(0, Vec::len);
        assert_eq!(find(name).meta.aliases.len(), aliases, "{name}");
    }
    for entry in reference["hidden"].as_array().unwrap() {
        let name = entry["name"].as_str().unwrap();
        assert!(find(name).meta.hidden, "{name}");
        assert_eq!(
            find(name).default,
            entry["default"].as_str().unwrap(),
            "{name}"
        );
        known.insert(name.to_string());
    }
    for entry in reference["file_only_directives"].as_array().unwrap() {
        let name = entry["name"].as_str().unwrap();
        let ignored = name.starts_with("list-max-ziplist-");
        assert!(
            FILE_ONLY.contains(&name) || ignored || Directive::find(name.as_bytes()).is_some(),
            "{name}"
        );
    }
    for directive in DIRECTIVES {
        assert!(known.contains(directive.name), "{}", directive.name);
    }
}

#[test]
fn defaults_and_mutability_are_those_observed() {
    for entry in reference()["directives"].as_array().unwrap() {
        let name = entry["name"].as_str().unwrap();
        let directive = find(name);
        match name {
            "dir" => assert_eq!(directive.default, "."),
            // The form is Redis' own, under a name that says so.
            "log-format" => assert_eq!(directive.default, "redis"),
            _ => assert_eq!(
                directive.default,
                entry["default"].as_str().unwrap(),
                "{name}"
            ),
        }
        let mutability = matches!(
            (&entry["mutable"], directive.meta.mutability),
            (Value::Bool(true) | Value::Null, Mutability::Mutable)
                | (Value::Bool(false), Mutability::Immutable)
                | (
                    Value::String(_),
                    Mutability::Protected | Mutability::ImmutableProtected
                )
        );
        assert!(mutability, "{name}");
        assert_eq!(
            directive.meta.valkey,
            entry["origin"] == "valkey" && name != "log-format",
            "{name}"
        );
    }
}

#[test]
fn types_ranges_and_names_are_those_observed() {
    for entry in reference()["directives"].as_array().unwrap() {
        let name = entry["name"].as_str().unwrap();
        let kind = find(name).kind;
        let kind_name = entry["type"].as_str().unwrap().split(' ').next().unwrap();
        let fits = match kind_name {
            "bool" => matches!(kind, Kind::Bool),
            "integer" => matches!(kind, Kind::Int(..) | Kind::Hz),
            "memory" => matches!(kind, Kind::Memory(..) | Kind::MemoryFrom(_)),
            "memory-or-percent" => matches!(kind, Kind::MemoryOrPercent),
            "octal" => matches!(kind, Kind::Octal),
            "enum" => matches!(kind, Kind::Enum(_) | Kind::Shutdown),
            "string" => matches!(kind, Kind::Text(_) | Kind::Secret),
            "special" => !matches!(
                kind,
                Kind::Bool | Kind::Int(..) | Kind::Memory(..) | Kind::Enum(_)
            ),
            other => panic!("{other}"),
        };
        assert!(fits, "{name}: {kind:?} for {kind_name}");
        if let Kind::Int(low, high) = kind {
            // Redis answered "between 1 and 4294967295" for this one.
            let observed_low = if name == "maxclients" {
                1
            } else {
                entry["min"].as_i64().unwrap_or(0)
            };
            let observed_high = match name {
                "maxclients" => U32,
                // To 7.4 any number was allowed, since 8.0 at most 64: files of both have to do.
                "maxmemory-samples" => i64::from(i32::MAX),
                _ => entry["max"].as_i64().unwrap_or(i64::MAX),
            };
            assert_eq!((low, high), (observed_low, observed_high), "{name}");
        }
        if let (Kind::Enum(names), Some(observed)) = (kind, entry["enum"].as_array()) {
            let observed: Vec<_> = observed.iter().map(|n| n.as_str().unwrap()).collect();
            match name {
                "log-format" => assert!(observed.iter().all(|n| names.contains(n))),
                _ => assert_eq!(names, observed, "{name}"),
            }
        }
    }
    assert_eq!(
        ShutdownOn::NAMES,
        ["default", "save", "nosave", "now", "force"]
    );
}

/// Both ends of every range can be stored: the field's type is wide enough.
#[test]
fn fields_hold_their_whole_range() {
    for directive in DIRECTIVES {
        let ends = match directive.kind {
            Kind::Int(low, high) => [low.to_string(), high.to_string()],
            Kind::Memory(low, high) => [low.to_string(), high.to_string()],
            Kind::MemoryFrom(low) => [low.to_string(), SIZE.to_string()],
            _ => continue,
        };
        let mut settings = Settings::default();
        for end in ends {
            directive
                .update(&mut settings, &[end.as_bytes().to_vec()], When::Running)
                .unwrap();
            assert_eq!(
                directive.text(&settings),
                end.as_bytes(),
                "{}",
                directive.name
            );
        }
    }
}

#[test]
fn passwords_are_sensitive() {
    for directive in DIRECTIVES {
        let secret = matches!(directive.kind, Kind::Secret);
        assert_eq!(directive.meta.sensitive, secret, "{}", directive.name);
        let looks_secret = directive.name.contains("pass") || directive.name.ends_with("auth");
        assert!(secret || !looks_secret, "{}", directive.name);
    }
}

/// `redis.conf.example` states every directive with its default: taking away all its `#` changes nothing.
#[test]
fn the_example_states_every_default() {
    let text = include_str!("../../redis.conf.example");
    let mut stated = HashSet::new();
    let mut uncommented = String::new();
    for line in text.lines() {
        let Some(line) = line.strip_prefix('#') else {
            continue;
        };
        let name = line.split(' ').next().unwrap_or_default();
        if let Some(directive) = Directive::find(name.as_bytes()) {
            assert_eq!(name, directive.name, "the example uses no alias");
            stated.insert(name);
            uncommented.push_str(line);
            uncommented.push('\n');
        }
    }
    for directive in DIRECTIVES {
        assert!(
            stated.contains(directive.name),
            "{} is missing",
            directive.name
        );
    }
    let load = |text: &str| {
        let sources = crate::config::Sources {
            stdin: Some(text.as_bytes().to_vec()),
            ..Default::default()
        };
        crate::config::Config::load(&sources).unwrap()
    };
    let (all, none) = (load(&uncommented), load(text));
    assert_eq!(*all, *none);
    assert!(all.notices.is_empty(), "{:?}", all.notices);
    assert!(
        FILE_ONLY
            .iter()
            .filter(|n| **n != "sentinel")
            .all(|n| text.contains(n)),
        "file-only ones too"
    );
}
