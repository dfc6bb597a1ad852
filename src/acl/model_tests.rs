//! Random rules and random calls, compared with a model that knows nothing of the code: it keeps
//! the rules as they were given and, for a call, reads them from the first to the last.

use crate::base::glob;
use crate::base::rng::Rng;
use crate::command::keys::{KeyList, keys_of};
use crate::command::registry::{self, Command};
use crate::command::sentinel::is_for_servers;
use crate::command::spec::{Categories, KeyFlags};
use crate::command::testing::Bench;

struct Model {
    /// The rules outside of parentheses, and those of each selector.
    selectors: Vec<Vec<String>>,
}

/// What the last rule that says something about the command says.
fn may_run(rules: &[String], command: &Command, args: &[String]) -> bool {
    let name = command.full_name.as_str();
    let container = name.split('|').next().unwrap_or_default();
    let depth = if command.parent.is_some() { 2 } else { 1 };
    let mut allowed = false;
    let mut first_args: Vec<&str> = Vec::new();
    for rule in rules {
        let (on, what) = match rule.split_at(rule.len().min(1)) {
            ("+", what) => (true, what),
            ("-", what) => (false, what),
            _ if rule == "allcommands" => (true, "@all"),
            _ if rule == "nocommands" => (false, "@all"),
            _ => continue,
        };
        let of_category = |of: &Command, name: &str| {
            Categories::by_name(name.as_bytes()).is_some_and(|c| of.categories.contains(c))
        };
        let says = match what.strip_prefix('@') {
            Some("all") => true,
            Some(category) => {
                of_category(command, category)
                    || command
                        .container()
                        .is_some_and(|c| of_category(c, category))
            }
            None => what == name || what == container,
        };
        if says {
            allowed = on;
            first_args.clear();
        } else if let Some(arg) = what
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix('|'))
        {
            first_args.push(arg);
        }
    }
    allowed
        || args
            .get(depth)
            .is_some_and(|arg| first_args.contains(&arg.as_str()))
}

fn may_touch(rules: &[String], key: &str, flags: KeyFlags) -> bool {
    let reads = flags.contains(KeyFlags::ACCESS);
    let writes = flags.intersects(KeyFlags::INSERT | KeyFlags::UPDATE | KeyFlags::DELETE);
    // A pattern that is given twice, for reading and for writing, is for both.
    let mut patterns: Vec<(&str, bool, bool)> = Vec::new();
    for rule in rules {
        let (pattern, read, write) = match rule.as_str() {
            "allkeys" | "~*" => ("*", true, true),
            "resetkeys" => {
                patterns.clear();
                continue;
            }
            other => match other.split_once('~') {
                Some(("", pattern)) => (pattern, true, true),
                Some(("%R", pattern)) => (pattern, true, false),
                Some(("%W", pattern)) => (pattern, false, true),
                Some(("%RW", pattern)) => (pattern, true, true),
                _ => continue,
            },
        };
        patterns.push((pattern, read, write));
    }
    let may = |of: &str, read: bool| {
        patterns
            .iter()
            .any(|(p, r, w)| *p == of && if read { *r } else { *w })
    };
    patterns.iter().any(|(pattern, ..)| {
        glob::matches(pattern.as_bytes(), key.as_bytes(), false)
            && (!reads || may(pattern, true))
            && (!writes || may(pattern, false))
    })
}

fn may_reach(rules: &[String], command: &Command, args: &[String]) -> bool {
    let (channels, is_pattern) = match command.full_name.as_str() {
        "publish" | "spublish" => (&args[1..2], false),
        "subscribe" | "ssubscribe" => (&args[1..], false),
        "psubscribe" => (&args[1..], true),
        _ => return true,
    };
    let since = rules.iter().rposition(|rule| rule == "resetchannels");
    let patterns: Vec<&str> = rules[since.unwrap_or(0)..]
        .iter()
        .filter_map(|rule| rule.strip_prefix('&'))
        .collect();
    channels.iter().all(|channel| {
        patterns.iter().any(|pattern| match is_pattern {
            true => pattern == channel,
            false => glob::matches(pattern.as_bytes(), channel.as_bytes(), false),
        })
    })
}

impl Model {
    fn allows(&self, command: &Command, args: &[String]) -> bool {
        let mut keys = KeyList::new();
        if keys_of(command.spec, &args, &mut keys).is_err() {
            keys.clear();
        }
        keys.retain(|key| !key.flags.contains(KeyFlags::NOT_KEY));
        let allows = |rules: &Vec<String>| {
            may_run(rules, command, args)
                && may_reach(rules, command, args)
                && keys
                    .iter()
                    .all(|key| may_touch(rules, &args[key.at], key.flags))
        };
        self.selectors.iter().any(allows)
    }
}

struct Dice(Rng);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0.below(n as u64) as usize
    }

    fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }
}

const PATTERNS: &[&str] = &["a", "a*", "*", "b?", "[ab]*", "zz"];
const KEYS: &[&str] = &["a", "ab", "b1", "b", "zz", "2", "get", "store"];
const FIRST: &[&str] = &["get", "select", "ping", "debug", "set"];

fn rule(dice: &mut Dice) -> String {
    let commands = registry::all();
    let sign = dice.of(&["+", "-"]);
    match dice.below(11) {
        10 => dice
            .of(&["&a", "&a*", "&b?", "&?", "&zz", "resetchannels"])
            .into(),
        0..3 => format!("{sign}{}", commands[dice.below(commands.len())].full_name),
        3..5 => format!("{sign}@{}", dice.of(Categories::NAMES).1),
        5 => format!("+{}|{}", dice.of(FIRST), dice.of(KEYS)),
        6..8 => format!(
            "{}~{}",
            dice.of(&["", "%R", "%W", "%RW"]),
            dice.of(&PATTERNS[..2])
        ),
        8 => format!("{}~{}", dice.of(&["%R", "%W", "%RW"]), dice.of(PATTERNS)),
        _ => dice
            .of(&["+@all", "-@all", "allcommands", "nocommands", "resetkeys"])
            .to_string(),
    }
}

fn rules(dice: &mut Dice) -> Vec<String> {
    let begin = dice
        .of(&["+@all", "-@all", "+@read", "+@write"])
        .to_string();
    let count = dice.below(7);
    std::iter::once(begin)
        .chain((0..count).map(|_| rule(dice)))
        .collect()
}

fn call(dice: &mut Dice) -> (&'static Command, Vec<String>) {
    let commands = registry::all();
    let of_channels: Vec<&Command> = commands
        .iter()
        .filter(|c| c.categories.contains(Categories::PUBSUB))
        .collect();
    loop {
        let command = match dice.below(8) {
            0 => dice.of(&of_channels),
            _ => &commands[dice.below(commands.len())],
        };
        let top = command.container().unwrap_or(command);
        if command.spec.is_container() || !is_for_servers(top) {
            continue;
        }
        let mut args: Vec<String> = command.full_name.split('|').map(Into::into).collect();
        let least = usize::from(command.spec.arity.unsigned_abs());
        let more = if command.spec.arity < 0 {
            dice.below(4)
        } else {
            0
        };
        while args.len() < least + more {
            args.push(dice.of(KEYS).into());
        }
        if command.spec.arity_ok(args.len()) {
            return (command, args);
        }
    }
}

#[test]
fn rights_are_those_of_the_model() {
    let seed = std::env::var("ACL_SEED")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(1);
    println!("ACL_SEED={seed}");
    let mut dice = Dice(Rng::new(seed));
    let mut bench = Bench::new();
    let (mut allowed, mut denied) = (0, 0);
    for _ in 0..400 {
        let count = 1 + dice.below(3);
        let model = Model {
            selectors: (0..count).map(|_| rules(&mut dice)).collect(),
        };
        let mut words: Vec<String> = ["ACL", "SETUSER", "u", "reset"].map(Into::into).into();
        words.extend(model.selectors[0].iter().cloned());
        let inner = model.selectors[1..].iter();
        words.extend(inner.map(|rules| format!("({})", rules.join(" "))));
        assert_eq!(bench.run(&words), b"+OK\r\n", "{words:?}");
        for _ in 0..60 {
            let (command, args) = call(&mut dice);
            let free = command.flags.contains(crate::command::spec::Flags::NO_AUTH);
            let expected = free || model.allows(command, &args);
            let mut dryrun: Vec<String> = ["ACL", "DRYRUN", "u"].map(Into::into).into();
            dryrun.extend(args.iter().cloned());
            let reply = bench.run(&dryrun);
            assert_eq!(
                reply == b"+OK\r\n",
                expected,
                "{words:?} {args:?}: {}",
                String::from_utf8_lossy(&reply)
            );
            *(if expected { &mut allowed } else { &mut denied }) += 1;
        }
        // What is written makes the same user again.
        let line = bench.server.core.acl.users.get(b"u").expect("u").line();
        let mut again: Vec<Vec<u8>> = ["ACL", "SETUSER", "u2", "reset"]
            .map(|w| w.as_bytes().to_vec())
            .into();
        again.extend(line.split(|b| *b == b' ').skip(2).map(<[u8]>::to_vec));
        let shown = String::from_utf8_lossy(&line);
        assert_eq!(bench.run(&again), b"+OK\r\n", "{shown}");
        let copy = bench.server.core.acl.users.get(b"u2").expect("u2").line();
        assert_eq!(copy[b"user u2".len()..], line[b"user u".len()..], "{shown}");
    }
    assert!(allowed > 1000 && denied > 1000, "{allowed} {denied}");
}
