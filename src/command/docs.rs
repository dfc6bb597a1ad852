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
    flag_names(out, Categories::NAMES, "@", |category| {
        command.categories.contains(category)
    });
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
            let numbers = [
                ("lastkey", i64::from(last)),
                ("keystep", i64::from(step)),
                ("limit", i64::from(limit)),
            ];
            search(out, "range", &numbers);
        }
        Find::KeyNum {
            keynumidx,
            firstkey,
            step,
        } => {
            let numbers = [
                ("keynumidx", keynumidx),
                ("firstkey", firstkey),
                ("keystep", step),
            ];
            search(
                out,
                "keynum",
                &numbers.map(|(name, n)| (name, i64::from(n))),
            );
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
    let deprecation = [
        ("deprecated_since", spec.deprecated_since),
        ("replaced_by", spec.replaced_by),
    ];
    let texts = || texts.iter().filter(|(_, value)| !value.is_empty());
    let deprecation = || deprecation.iter().filter(|(_, value)| !value.is_empty());
    let others = [
        !spec.doc_flags.is_empty(),
        !spec.history.is_empty(),
        !spec.syntax.is_empty(),
        spec.is_container(),
    ];
    out.map(
        texts().count() + deprecation().count() + others.iter().filter(|other| **other).count(),
    );
    for (name, value) in texts() {
        text(out, name, value);
    }
    if !spec.doc_flags.is_empty() {
        out.bulk(b"doc_flags");
        let names = [
            (DocFlags::DEPRECATED, "deprecated"),
            (DocFlags::SYSCMD, "syscmd"),
        ];
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
        arguments(
            out,
            &syntax::parse(spec.syntax).expect("a test has read the syntax of every row"),
        );
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
    let flags = [
        (arg.optional, "optional"),
        (arg.multiple, "multiple"),
        (arg.multiple_token, "multiple_token"),
    ];
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
        text(out, "display_text", arg.shown());
    }
    if let Some(index) = arg.key_spec {
        out.bulk(b"key_spec_index");
        out.int(i64::from(index));
    }
    let texts = [
        ("token", arg.token),
        ("since", arg.since),
        ("deprecated_since", arg.deprecated_since),
    ];
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::registry::Names;

    fn written(resp3: bool, write: impl FnOnce(&mut Reply)) -> String {
        let mut out = Reply::new();
        out.set_resp3(resp3);
        write(&mut out);
        let (chunks, buf) = out.take();
        assert!(chunks.is_empty());
        String::from_utf8(buf).expect("text").replace("\r\n", " ")
    }

    fn of(name: &str, resp3: bool, write: impl FnOnce(&mut Reply, &Command)) -> String {
        let command = Names::default()
            .by_full_name(name.as_bytes())
            .expect("a command");
        written(resp3, |out| write(out, command))
    }

    #[test]
    fn info_of_a_sub_command() {
        assert_eq!(
            of("command|count", false, info),
            "*10 $13 command|count :2 *2 +loading +stale :0 :0 :0 *2 +@slow +@connection *0 *0 *0 "
        );
        assert_eq!(
            of("command|count", true, info),
            "*10 $13 command|count :2 ~2 +loading +stale :0 :0 :0 ~2 +@slow +@connection ~0 ~0 ~0 "
        );
    }

    #[test]
    fn info_of_a_container_lists_sub_commands_in_an_array() {
        let text = of("command", true, info);
        assert!(
            text.starts_with("*10 $7 command :-1 ~2 +loading +stale :0 :0 :0 ~2 "),
            "{text}"
        );
        assert!(text.contains(" ~0 *7 *10 $13 command|count "), "{text}");
    }

    #[test]
    fn key_specs_in_maps() {
        let flags = KeyFlags::RW.union(KeyFlags::ACCESS);
        assert_eq!(
            written(true, |out| key_spec(out, &KeySpec::range(flags, 1, -2, 1))),
            "%3 $5 flags ~2 +RW +access $12 begin_search %2 $4 type $5 index $4 spec %1 $5 index :1 \
             $9 find_keys %2 $4 type $5 range $4 spec %3 $7 lastkey :-2 $7 keystep :1 $5 limit :0 "
        );
        let keyword = KeySpec {
            flags,
            begin: Begin::Keyword {
                word: "KEYS",
                from: -2,
            },
            find: Find::KeyNum {
                keynumidx: 0,
                firstkey: 1,
                step: 2,
            },
        };
        assert_eq!(
            written(false, |out| key_spec(out, &keyword)),
            "*6 $5 flags *2 +RW +access $12 begin_search *4 $4 type $7 keyword $4 spec *4 $7 keyword $4 KEYS \
             $9 startfrom :-2 $9 find_keys *4 $4 type $6 keynum $4 spec *6 $9 keynumidx :0 $8 firstkey :1 $7 keystep :2 "
        );
        let unknown = KeySpec {
            begin: Begin::Unknown,
            find: Find::Unknown,
            ..keyword
        };
        assert!(
            written(true, |out| key_spec(out, &unknown))
                .ends_with("%2 $4 type $7 unknown $4 spec %0 ")
        );
    }

    #[test]
    fn docs_leave_out_what_is_not_known() {
        let help = of("command|help", true, docs);
        assert_eq!(
            help,
            "$12 command|help %4 $7 summary $37 Explains the sub-commands of COMMAND. $5 since $5 5.0.0 \
             $5 group $6 server $10 complexity $4 O(1) "
        );
        let info = of("command|info", false, docs);
        assert!(info.contains("$7 history *1 *2 $5 7.0.0 "), "{info}");
        assert!(
            info.ends_with(
                "$9 arguments *1 *8 $4 name $12 command-name $4 type $6 string $12 display_text $12 command-name \
                 $5 flags *2 +optional +multiple "
            ),
            "{info}"
        );
        let container = of("command", true, docs);
        assert!(
            container.contains("$11 subcommands %7 $13 command|count %4 "),
            "{container}"
        );
    }

    #[test]
    fn arguments_in_maps() {
        let line = "[c<NX|key/k1>@1.2.3] [GET:p(pattern)/p0+...]";
        let args = syntax::parse(line).expect("syntax");
        assert_eq!(
            written(true, |out| arguments(out, &args)),
            "*2 %5 $4 name $1 c $4 type $5 oneof $5 since $5 1.2.3 $5 flags ~1 +optional $9 arguments *2 \
             %4 $4 name $2 nx $4 type $10 pure-token $12 display_text $2 nx $5 token $2 NX \
             %4 $4 name $3 key $4 type $3 key $12 display_text $3 key $14 key_spec_index :1 \
             %6 $4 name $1 p $4 type $7 pattern $12 display_text $7 pattern $14 key_spec_index :0 $5 token $3 GET \
             $5 flags ~3 +optional +multiple +multiple_token "
        );
    }

    #[test]
    fn key_with_flags() {
        let key = Key {
            at: 1,
            flags: KeyFlags::OW | KeyFlags::UPDATE,
        };
        assert_eq!(
            written(true, |out| key_and_flags(out, b"a", key)),
            "*2 $1 a ~2 +OW +update "
        );
    }
}
