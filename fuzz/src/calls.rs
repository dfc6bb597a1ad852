//! Random calls: from the argument tree of a command, or from a seed line, and then spoilt.

use std::sync::LazyLock;

use ferrite::base::words;
use ferrite::command::registry::{self, Command};
use ferrite::command::spec::Group;
use ferrite::command::syntax::{self, Arg, Kind};

use crate::bytes::Bytes;

pub type Call = Vec<Vec<u8>>;

/// One call a line; every command has at least one.
pub const SEEDS: &str = include_str!("../seeds/commands.txt");

const NUMBERS: &[&str] = &[
    "0",
    "1",
    "2",
    "-1",
    "3",
    "5",
    "-2",
    "10",
    "-3",
    "100",
    "64",
    "63",
    "7",
    "255",
    "-100",
    "1000",
    "16384",
    "65536",
    "2147483647",
    "-2147483648",
    "2147483648",
    "4294967295",
    "4294967296",
    "4611686018427387904",
    "-4611686018427387905",
    "9223372036854775807",
    "-9223372036854775808",
    "-9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "9223372036854775806",
    "999999999999999999999999",
    "1.5",
    "",
    "+1",
    "01",
    " 1",
    "1e3",
    "0x10",
    "-0",
    "1000000",
];
const DOUBLES: &[&str] = &[
    "0",
    "1",
    "-1",
    "1.5",
    "inf",
    "-inf",
    "+inf",
    "nan",
    "1e308",
    "-1e308",
    "1e-320",
    "3.0e3",
    "(1",
    "(inf",
    "-",
    "+",
    "[a",
    "(b",
    "180",
    "-180.1",
    "85.05112878",
    "90",
    "17179869184",
    "0.1",
    "1e400",
    "9007199254740993",
    "",
];
const WORDS: &[&str] = &[
    "a",
    "b",
    "c",
    "x",
    "",
    "field",
    "hello world",
    "\r\n",
    "*",
    "a*",
    "[a-",
    "-",
    "+",
    "(a",
    "[a",
    "[\u{ff}",
    "weight_*",
    "w_*->f",
    "#",
    "0",
    "1",
    "-1",
    "u8",
    "i64",
    "u63",
    "u64",
    "#1",
    "#4611686018427387904",
    "WRAP",
    "listpack",
    "normal",
    "zset",
    "m",
    "km",
    "maxmemory",
    "1mb",
    "yes",
    "no",
    "\0",
    "%s%n",
    "'",
    "\"",
    "100-1",
    "$",
    ">",
    "COUNT",
    "LIMIT",
    "GET",
    "BY",
    "NX",
    "XX",
    "KEEPTTL",
    "WITHSCORES",
    "STORE",
    "FIELDS",
    "HYLL",
    "LEFT",
    "RIGHT",
    "BEFORE",
    "AFTER",
    "ABSTTL",
    "default",
    "*?*?*?*?b",
    "notify-keyspace-events",
    "KEA",
    "lib-name",
];

/// The first keys of the pool of each type; all types are hit now and then.
fn key(group: Group, bytes: &mut Bytes<'_>) -> Vec<u8> {
    const KINDS: &[u8] = b"slthzgpn";
    let own = match group {
        Group::String => b's',
        Group::List => b'l',
        Group::Set => b't',
        Group::Hash => b'h',
        Group::SortedSet => b'z',
        Group::Geo => b'g',
        Group::Hyperloglog => b'p',
        Group::Bitmap => b's',
        _ => KINDS[bytes.below(KINDS.len())],
    };
    let kind = if bytes.once_in(12) {
        KINDS[bytes.below(KINDS.len())]
    } else {
        own
    };
    vec![kind, b'0' + bytes.below(4) as u8]
}

fn number(bytes: &mut Bytes<'_>) -> Vec<u8> {
    if bytes.once_in(3) {
        NUMBERS[bytes.below(NUMBERS.len())].into()
    } else {
        NUMBERS[bytes.below(9)].into()
    }
}

fn word(bytes: &mut Bytes<'_>) -> Vec<u8> {
    match bytes.below(8) {
        0..=3 => WORDS[bytes.below(8)].into(),
        4 | 5 => WORDS[bytes.below(WORDS.len())].into(),
        6 => number(bytes),
        _ => {
            let len = [1, 20, 63, 64, 65, 300, 5000, 40_000][bytes.below(8)];
            vec![bytes.byte(); len]
        }
    }
}

struct Filler<'a, 'b> {
    group: Group,
    bytes: &'a mut Bytes<'b>,
    out: Call,
    /// What `numkeys` and the like have promised.
    promised: Option<usize>,
}

impl Filler<'_, '_> {
    fn fill(&mut self, args: &[Arg<'_>]) {
        for arg in args {
            if arg.optional && self.bytes.below(2) == 0 {
                continue;
            }
            let times = match (arg.multiple, self.promised.take()) {
                (true, Some(times)) => times,
                (true, None) => 1 + self.bytes.below(4),
                (false, promised) => {
                    self.promised = promised;
                    1
                }
            };
            for time in 0..times {
                if let Some(token) = arg
                    .token
                    .filter(|t| !t.is_empty() && (time == 0 || arg.multiple_token))
                {
                    self.out.push(token.into());
                }
                self.value(arg);
            }
        }
    }

    fn value(&mut self, arg: &Arg<'_>) {
        let value = match arg.kind {
            Kind::PureToken => return,
            Kind::OneOf => {
                let one = self.bytes.below(arg.args.len());
                let inner = Arg {
                    optional: false,
                    ..arg.args[one].clone()
                };
                return self.fill(&[inner]);
            }
            Kind::Block => return self.fill(&arg.args),
            Kind::Key => key(self.group, self.bytes),
            Kind::Integer if arg.name.starts_with("num") => {
                let count = 1 + self.bytes.below(3);
                self.promised = Some(count);
                count.to_string().into()
            }
            Kind::Integer => number(self.bytes),
            Kind::Double => DOUBLES[self.bytes.below(DOUBLES.len())].into(),
            Kind::UnixTime if self.bytes.below(2) == 0 => b"1999999999".to_vec(),
            Kind::UnixTime => number(self.bytes),
            Kind::Pattern | Kind::String => word(self.bytes),
        };
        self.out.push(value);
    }
}

/// Name, and name of the sub-command.
fn name_of(command: &Command) -> Call {
    command
        .full_name
        .split('|')
        .map(|part| part.as_bytes().to_vec())
        .collect()
}

fn from_syntax(command: &'static Command, bytes: &mut Bytes<'_>) -> Call {
    static TREES: LazyLock<Vec<Vec<Arg<'static>>>> = LazyLock::new(|| {
        registry::all()
            .iter()
            .map(|c| syntax::parse(c.spec.syntax).expect("checked by a test"))
            .collect()
    });
    let mut filler = Filler {
        group: command.spec.group,
        bytes,
        out: name_of(command),
        promised: None,
    };
    filler.fill(&TREES[usize::from(command.id)]);
    filler.out
}

fn from_seed(bytes: &mut Bytes<'_>) -> Call {
    static LINES: LazyLock<Vec<Call>> = LazyLock::new(|| {
        let lines = SEEDS.lines().filter(|line| !line.is_empty());
        lines
            .map(|line| words::split(line.as_bytes()).expect("quotes of a seed"))
            .collect()
    });
    LINES[bytes.below(LINES.len())].clone()
}

fn spoil(call: &mut Call, bytes: &mut Bytes<'_>) {
    let at = bytes.below(call.len());
    match bytes.below(8) {
        0 if call.len() > 1 => drop(call.remove(at)),
        1 => call.insert(at + 1, word(bytes)),
        2 => call.insert(at + 1, number(bytes)),
        3 if at > 0 => call[at] = word(bytes),
        4 if at > 0 => call[at] = DOUBLES[bytes.below(DOUBLES.len())].into(),
        5 => {
            let twin = call[at].clone();
            call.push(twin);
        }
        6 => {
            let other = bytes.below(call.len());
            if at > 0 && other > 0 {
                call.swap(at, other);
            }
        }
        _ if at > 0 => call[at] = number(bytes),
        _ => {}
    }
}

/// The next call that the bytes ask for.
pub fn next(bytes: &mut Bytes<'_>) -> Call {
    let all = registry::all();
    let mut call = if bytes.once_in(4) {
        from_seed(bytes)
    } else {
        from_syntax(&all[bytes.below(all.len())], bytes)
    };
    while bytes.once_in(3) && !bytes.is_empty() {
        spoil(&mut call, bytes);
    }
    call
}
