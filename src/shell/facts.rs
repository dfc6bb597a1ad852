//! What is known of commands: from COMMAND DOCS of the server, or, where it has none, from this program's own table.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::link::Link;
use crate::command::registry::{self, Command};
use crate::command::syntax::{self, Kind};
use crate::resp::decode::Value;

/// The deepest nesting of arguments that is read.
const DEPTH_MAX: usize = 16;

/// An argument of a command; see [`syntax::Arg`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arg {
    pub name: String,
    pub kind: Kind,
    pub token: Option<String>,
    pub optional: bool,
    pub multiple: bool,
    pub multiple_token: bool,
    pub args: Vec<Arg>,
}

impl From<&syntax::Arg<'_>> for Arg {
    fn from(arg: &syntax::Arg<'_>) -> Arg {
        Arg {
            name: arg.shown().to_owned(),
            kind: arg.kind,
            token: arg.token.map(str::to_owned),
            optional: arg.optional,
            multiple: arg.multiple,
            multiple_token: arg.multiple_token,
            args: arg.args.iter().map(Arg::from).collect(),
        }
    }
}

impl Arg {
    /// As it stands in a line of syntax, brackets included.
    pub fn write(&self, out: &mut String) {
        if self.optional {
            out.push('[');
        }
        self.write_bare(out);
        if self.optional {
            out.push(']');
        }
    }

    /// Without the brackets of an optional argument.
    pub fn write_bare(&self, out: &mut String) {
        if let Some(token) = self.token() {
            out.push_str(token);
            if self.kind != Kind::PureToken {
                out.push(' ');
            }
        }
        self.write_rest(out);
    }

    /// What follows the token.
    pub fn write_rest(&self, out: &mut String) {
        self.write_value(out);
        if self.multiple {
            out.push(' ');
            self.write_more(out);
        }
    }

    /// That it may be repeated.
    pub fn write_more(&self, out: &mut String) {
        out.push('[');
        if self.multiple_token
            && let Some(token) = self.token()
        {
            let _ = write!(out, "{token} ");
        }
        self.write_value(out);
        out.push_str(" ...]");
    }

    fn token(&self) -> Option<&str> {
        self.token
            .as_deref()
            .map(|token| if token.is_empty() { "\"\"" } else { token })
    }

    fn write_value(&self, out: &mut String) {
        let separator = match self.kind {
            Kind::PureToken => return,
            Kind::OneOf => '|',
            Kind::Block => ' ',
            _ => return out.push_str(&self.name),
        };
        for (at, arg) in self.args.iter().enumerate() {
            if at > 0 {
                out.push(separator);
            }
            arg.write(out);
        }
    }
}

/// A command or sub-command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fact {
    /// In upper case, words with blanks between them.
    pub name: String,
    pub summary: String,
    pub since: String,
    pub group: String,
    pub complexity: String,
    pub deprecated: Option<String>,
    pub args: Vec<Arg>,
}

impl Fact {
    /// The arguments in one line.
    pub fn syntax(&self) -> String {
        join(&self.args)
    }
}

/// Arguments in one line.
pub fn join(args: &[Arg]) -> String {
    let mut out = String::new();
    for (at, arg) in args.iter().enumerate() {
        if at > 0 {
            out.push(' ');
        }
        arg.write(&mut out);
    }
    out
}

/// All commands by their names.
#[derive(Clone, Debug, Default)]
pub struct Facts(BTreeMap<String, Fact>);

impl Facts {
    /// This program's own table.
    pub fn own() -> Facts {
        let facts = registry::all().iter().map(own_fact);
        Facts(facts.map(|fact| (fact.name.clone(), fact)).collect())
    }

    /// What the server says; `None` if it does not.
    pub fn of(link: &mut Link) -> Option<Facts> {
        let reply = link.call(&["COMMAND", "DOCS"]).ok()?;
        let mut facts = Facts::default();
        facts.read(&reply, None, DEPTH_MAX);
        (!facts.0.is_empty()).then_some(facts)
    }

    fn read(&mut self, docs: &Value, container: Option<&str>, depth: usize) {
        for (name, doc) in docs.pairs() {
            let Some(name) = name.text() else {
                continue;
            };
            let name = String::from_utf8_lossy(name)
                .to_ascii_uppercase()
                .replace('|', " ");
            // Old servers name a sub-command alone.
            let name = match container {
                Some(container) if !name.starts_with(&format!("{container} ")) => {
                    format!("{container} {name}")
                }
                _ => name,
            };
            let text = |field: &str| {
                let text = doc.field(field).and_then(Value::text);
                String::from_utf8_lossy(text.unwrap_or_default()).into_owned()
            };
            let deprecated = doc.field("deprecated_since").map(|_| text("replaced_by"));
            let args = doc.field("arguments").and_then(Value::items);
            let fact = Fact {
                summary: text("summary"),
                since: text("since"),
                group: text("group"),
                complexity: text("complexity"),
                deprecated,
                args: read_args(args.unwrap_or_default(), depth),
                name: name.clone(),
            };
            if let Some(subs) = doc.field("subcommands")
                && depth > 0
            {
                self.read(subs, Some(&name), depth - 1);
            }
            self.0.insert(name, fact);
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Fact> {
        self.0.values()
    }

    /// The command that a line begins with, and how many of its words are the name.
    pub fn find(&self, words: &[Vec<u8>]) -> Option<(&Fact, usize)> {
        (1..=words.len().min(2)).rev().find_map(|len| {
            let name = words[..len].join(&b' ').to_ascii_uppercase();
            let fact = self.0.get(std::str::from_utf8(&name).ok()?)?;
            Some((fact, len))
        })
    }

    /// The names of groups.
    pub fn groups(&self) -> Vec<&str> {
        let mut groups: Vec<&str> = self.0.values().map(|fact| fact.group.as_str()).collect();
        groups.sort_unstable();
        groups.dedup();
        groups
    }
}

fn own_fact(command: &Command) -> Fact {
    let spec = command.spec;
    let args = syntax::parse(spec.syntax).unwrap_or_default();
    Fact {
        name: command.full_name.to_ascii_uppercase().replace('|', " "),
        summary: spec.summary.into(),
        since: spec.since.into(),
        group: spec.group.name().into(),
        complexity: spec.complexity.into(),
        deprecated: (!spec.deprecated_since.is_empty()).then(|| spec.replaced_by.into()),
        args: args.iter().map(Arg::from).collect(),
    }
}

fn read_args(args: &[Value], depth: usize) -> Vec<Arg> {
    if depth == 0 {
        return Vec::new();
    }
    args.iter().map(|arg| read_arg(arg, depth)).collect()
}

fn read_arg(arg: &Value, depth: usize) -> Arg {
    let text = |field: &str| {
        let text = arg.field(field).and_then(Value::text);
        text.map(|text| String::from_utf8_lossy(text).into_owned())
    };
    let flags = arg
        .field("flags")
        .and_then(Value::items)
        .unwrap_or_default();
    let flag = |name: &str| {
        flags
            .iter()
            .any(|flag| flag.text() == Some(name.as_bytes()))
    };
    let kind = match text("type").unwrap_or_default().as_str() {
        "integer" => Kind::Integer,
        "double" => Kind::Double,
        "key" => Kind::Key,
        "pattern" => Kind::Pattern,
        "unix-time" => Kind::UnixTime,
        "pure-token" => Kind::PureToken,
        "oneof" => Kind::OneOf,
        "block" => Kind::Block,
        _ => Kind::String,
    };
    let inner = arg.field("arguments").and_then(Value::items);
    Arg {
        name: text("display_text")
            .or_else(|| text("name"))
            .unwrap_or_default(),
        kind,
        token: text("token"),
        optional: flag("optional"),
        multiple: flag("multiple"),
        multiple_token: flag("multiple_token"),
        args: read_args(inner.unwrap_or_default(), depth - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::docs;
    use crate::resp::decode::{Decoder, Limits};
    use crate::resp::reply::Reply;

    fn split(line: &str) -> Vec<Vec<u8>> {
        crate::base::words::split(line.as_bytes()).unwrap()
    }

    #[test]
    fn own_facts() {
        let facts = Facts::own();
        let (set, len) = facts.find(&split("set a b")).unwrap();
        assert_eq!(
            (set.name.as_str(), len, set.since.as_str()),
            ("SET", 1, "1.0.0")
        );
        assert!(
            set.syntax().starts_with("key value [NX|XX"),
            "{}",
            set.syntax()
        );
        let (sub, len) = facts.find(&split("config SET a")).unwrap();
        assert_eq!((sub.name.as_str(), len), ("CONFIG SET", 2));
        assert_eq!(sub.syntax(), "parameter value [parameter value ...]");
        assert_eq!(
            facts.find(&split("config nosuch")).unwrap().0.name,
            "CONFIG"
        );
        assert!(facts.find(&split("nosuch")).is_none());
        assert!(facts.groups().contains(&"sorted-set"));
    }

    /// What COMMAND DOCS says of a command is read back as the command's own row, in both protocols.
    #[test]
    fn facts_of_a_server_are_the_same() {
        let own = Facts::own();
        for resp3 in [false, true] {
            let mut out = Reply::new();
            out.set_resp3(resp3);
            let commands: Vec<_> = registry::commands().collect();
            out.map(commands.len());
            for command in commands {
                docs::docs(&mut out, command);
            }
            let bytes = out.take().1;
            let limits = Limits {
                line: 1 << 20,
                bulk: 1 << 20,
                items: 1 << 20,
                depth: 100,
            };
            let docs = Decoder::new(limits).read(&mut &bytes[..]).unwrap().unwrap();
            let mut facts = Facts::default();
            facts.read(&docs, None, DEPTH_MAX);
            assert_eq!(facts.0.len(), own.0.len());
            for fact in facts.iter() {
                let known = own.0.get(&fact.name).unwrap();
                assert_eq!((&fact.args, &fact.summary), (&known.args, &known.summary));
            }
        }
    }
}
