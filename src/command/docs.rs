//! The rows as COMMAND INFO and COMMAND DOCS print them.

use super::keys::Key;
use super::registry::Command;
use super::spec::{Begin, Categories, DocFlags, Find, Flags, KeyFlags, KeySpec};
use super::syntax::{self, Arg, Kind};
use crate::resp::reply::Reply;

/// One element of COMMAND INFO: ten facts in a fixed order.
pub fn info(out: &mut Reply, command: &Command) {
    let spec = command.spec;
    out.array(10);
    out.bulk(command.full_name.as_bytes());
    out.int(i64::from(spec.arity));
    flag_names(out, Flags::NAMES, "", |flag| command.flags.contains(flag));
    let (first, last, step) = spec.key_triple();
    out.int(first);
    out.int(last);
    out.int(step);
    flag_names(out, Categories::NAMES, "@", |category| command.categories.contains(category));
    out.set(spec.tips.len());
    for tip in spec.tips {
        out.bulk(tip.as_bytes());
    }
    out.set(spec.keys.len());
    for key in spec.keys {
        key_spec(out, key);
    }
    // Redis has an array here, but an empty set where there are none.
    match command.subs() {
        [] => out.set(0),
        subs => {
            out.array(subs.len());
            for sub in subs {
                info(out, sub);
            }
        }
    }
}

/// A key of COMMAND GETKEYSANDFLAGS.
pub fn key_and_flags(out: &mut Reply, name: &[u8], key: Key) {
    out.array(2);
    out.bulk(name);
    flag_names(out, KeyFlags::NAMES, "", |flag| key.flags.contains(flag));
}

/// A set of status words, one for each flag that is on.
fn flag_names<T: Copy>(out: &mut Reply, names: &[(T, &str)], prefix: &str, on: impl Fn(T) -> bool) {
    let on = |entry: &&(T, &str)| on(entry.0);
    out.set(names.iter().filter(on).count());
    for (_, name) in names.iter().filter(on) {
        out.simple(&format!("{prefix}{name}"));
    }
}

fn key_spec(out: &mut Reply, key: &KeySpec) {
    out.map(3);
    out.bulk(b"flags");
    flag_names(out, KeyFlags::NAMES, "", |flag| key.flags.contains(flag));
    out.bulk(b"begin_search");
    match key.begin {
        Begin::Index(at) => search(out, "index", &[("index", i64::from(at))]),
        Begin::Unknown => search(out, "unknown", &[]),
        Begin::Keyword { word, from } => {
            search_head(out, "keyword", 2);
            text(out, "keyword", word);
            out.bulk(b"startfrom");
            out.int(i64::from(from));
        }
    }
    out.bulk(b"find_keys");
    match key.find {
        Find::Range { last, step, limit } => {
            let numbers = [("lastkey", i64::from(last)), ("keystep", i64::from(step)), ("limit", i64::from(limit))];
            search(out, "range", &numbers);
        }
        Find::KeyNum { keynumidx, firstkey, step } => {
            let numbers = [("keynumidx", keynumidx), ("firstkey", firstkey), ("keystep", step)];
            search(out, "keynum", &numbers.map(|(name, n)| (name, i64::from(n))));
        }
        Find::Unknown => search(out, "unknown", &[]),
    }
}

fn search_head(out: &mut Reply, kind: &str, len: usize) {
    out.map(2);
    text(out, "type", kind);
    out.bulk(b"spec");
    out.map(len);
}

fn search(out: &mut Reply, kind: &str, numbers: &[(&str, i64)]) {
    search_head(out, kind, numbers.len());
    for (name, n) in numbers {
        out.bulk(name.as_bytes());
        out.int(*n);
    }
}

fn text(out: &mut Reply, name: &str, value: &str) {
    out.bulk(name.as_bytes());
    out.bulk(value.as_bytes());
}

/// An entry of COMMAND DOCS: the full name, and a map of what is known. Fields without content are left out.
pub fn docs(out: &mut Reply, command: &Command) {
    let spec = command.spec;
    out.bulk(command.full_name.as_bytes());
    let complexity = match spec.complexity {
        "" if spec.is_container() => "Depends on the sub-command.",
        own => own,
    };
    let texts = [
        ("summary", spec.summary),
        ("since", spec.since),
        ("group", spec.group.name()),
        ("complexity", complexity),
    ];
    let deprecation = [("deprecated_since", spec.deprecated_since), ("replaced_by", spec.replaced_by)];
    let texts = || texts.iter().filter(|(_, value)| !value.is_empty());
    let deprecation = || deprecation.iter().filter(|(_, value)| !value.is_empty());
    let others = [
        !spec.doc_flags.is_empty(),
        !spec.history.is_empty(),
        !spec.syntax.is_empty(),
        spec.is_container(),
    ];
    out.map(texts().count() + deprecation().count() + others.iter().filter(|other| **other).count());
    for (name, value) in texts() {
        text(out, name, value);
    }
    if !spec.doc_flags.is_empty() {
        out.bulk(b"doc_flags");
        let names = [(DocFlags::DEPRECATED, "deprecated"), (DocFlags::SYSCMD, "syscmd")];
        flag_names(out, &names, "", |flag| spec.doc_flags.contains(flag));
    }
    for (name, value) in deprecation() {
        text(out, name, value);
    }
    if !spec.history.is_empty() {
        out.bulk(b"history");
        out.set(spec.history.len());
        for (version, change) in spec.history {
            out.array(2);
            out.bulk(version.as_bytes());
            out.bulk(change.as_bytes());
        }
    }
    if !spec.syntax.is_empty() {
        out.bulk(b"arguments");
        arguments(out, &syntax::parse(spec.syntax).expect("a test has read the syntax of every row"));
    }
    if spec.is_container() {
        out.bulk(b"subcommands");
        out.map(command.subs().len());
        for sub in command.subs() {
            docs(out, sub);
        }
    }
}

fn arguments(out: &mut Reply, args: &[Arg<'_>]) {
    out.array(args.len());
    for arg in args {
        argument(out, arg);
    }
}

fn argument(out: &mut Reply, arg: &Arg<'_>) {
    let flags =
        [(arg.optional, "optional"), (arg.multiple, "multiple"), (arg.multiple_token, "multiple_token")];
    let flagged = flags.iter().any(|(on, _)| *on);
    let optional = [
        !arg.kind.is_group(),
        arg.key_spec.is_some(),
        arg.token.is_some(),
        arg.since.is_some(),
        arg.deprecated_since.is_some(),
        flagged,
        arg.kind.is_group(),
    ];
    out.map(2 + optional.iter().filter(|there| **there).count());
    text(out, "name", &arg.name);
    text(out, "type", arg.kind.name());
    if !arg.kind.is_group() {
        text(out, "display_text", &arg.name);
    }
    if let Some(index) = arg.key_spec {
        out.bulk(b"key_spec_index");
        out.int(i64::from(index));
    }
    let texts = [("token", arg.token), ("since", arg.since), ("deprecated_since", arg.deprecated_since)];
    for (name, value) in texts {
        if let Some(value) = value {
            text(out, name, value);
        }
    }
    if flagged {
        out.bulk(b"flags");
        flag_names(out, &flags.map(|(on, name)| (on, name)), "", |on| on);
    }
    if matches!(arg.kind, Kind::OneOf | Kind::Block) {
        out.bulk(b"arguments");
        arguments(out, &arg.args);
    }
}
