//! Calls of commands from scripts: the short way, which reads arguments from Lua's stack and puts the reply on it
//! (`script::direct`), and the long one over values of the host, which calls with many arguments take, agree on what
//! the command hears and on what the script gets.

use ferrite::script::engine::{Engine, Handle, Host};
use ferrite::script::exchange::Shared;

use crate::bytes::Bytes;

/// KEYS are the arguments, `n` before a number and `s` before a string; ARGV are what makes them too many.
const BOTH_WAYS: &str = "
    local function show(v)
      if type(v) ~= 'table' then return type(v) .. ':' .. tostring(v) end
      local parts = {}
      for k, e in pairs(v) do parts[#parts + 1] = show(k) .. '=' .. show(e) end
      table.sort(parts)
      return '{' .. table.concat(parts, ',') .. '}'
    end
    redis.setresp(tonumber(KEYS[1]))
    local args, many = {}, {}
    for i = 2, #KEYS do
      local text = string.sub(KEYS[i], 2)
      args[i - 1] = string.sub(KEYS[i], 1, 1) == 'n' and tonumber(text) or text
      many[i - 1] = args[i - 1]
    end
    for i = 1, #ARGV do many[#many + 1] = ARGV[i] end
    local short, long = show(redis.pcall(unpack(args))), show(redis.pcall(unpack(many)))
    if short ~= long then error(short .. ' but ' .. long) end
";
/// Arguments that take the short way at most.
const FEW: usize = 16;
const DEEPEST: usize = 9;
/// Above this a reply takes the long way.
const LARGE: usize = 64 * 1024;

const NUMBERS: &[&str] = &[
    "0",
    "-0",
    "1",
    "-1",
    "3.5",
    "1e15",
    "123456789012345678",
    "9007199254740993",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551616",
    "1e17",
    "1e300",
    "5e-324",
    "0.1",
    "inf",
    "-inf",
    "nan",
    "100000000000000000000",
];

/// Answers every call with the same reply, and notes what it hears.
struct Answers {
    reply: Vec<u8>,
    heard: Vec<Vec<Vec<u8>>>,
}

impl Host for Answers {
    fn call(&mut self, exchange: &Shared) {
        let mut exchange = exchange.borrow_mut();
        self.heard
            .push(exchange.request.args().iter().map(<[u8]>::to_vec).collect());
        exchange.reply.clone_from(&self.reply);
    }

    fn check(&mut self, exchange: &Shared) {
        exchange.borrow_mut().permitted = Some(true);
    }

    fn pause(&mut self, _: &Shared) {}
}

/// An interpreter with the script.
pub struct Ways {
    engine: Engine,
    script: Handle,
}

impl Default for Ways {
    fn default() -> Ways {
        let engine = Engine::new().expect("an interpreter");
        let script = engine.compile(BOTH_WAYS.as_bytes(), "both_ways");
        Ways {
            script: script.expect("a script"),
            engine,
        }
    }
}

impl Ways {
    /// Makes calls from the bytes until they are used up.
    pub fn run(&mut self, data: &[u8]) {
        let mut bytes = Bytes::new(data);
        while !bytes.is_empty() {
            self.call(&mut bytes);
        }
    }

    fn call(&mut self, bytes: &mut Bytes<'_>) {
        let mut keys = vec![if bytes.once_in(3) { b"3" } else { b"2" }.to_vec()];
        for _ in 0..=bytes.below(FEW) {
            keys.push(argument(bytes));
        }
        let mut host = Answers {
            reply: Vec::new(),
            heard: Vec::new(),
        };
        write_value(bytes, DEEPEST, &mut host.reply);
        let more = vec![b"more".to_vec(); FEW];
        let outcome = self.engine.run_script(
            self.script,
            keys.iter().map(Vec::as_slice),
            more.iter().map(Vec::as_slice),
            &mut host,
        );
        if let Err(failure) = outcome {
            let text = String::from_utf8_lossy(&failure.text).into_owned();
            let reply = String::from_utf8_lossy(&host.reply).into_owned();
            panic!("{text}, of {reply:?}");
        }
        let [short, long] = host.heard.as_slice() else {
            panic!("{} calls instead of two", host.heard.len());
        };
        let (given, behind) = long.split_at(short.len());
        assert_eq!(short.len(), keys.len() - 1);
        assert_eq!(short, given, "of {keys:?}");
        assert_eq!(behind, more);
    }
}

fn argument(bytes: &mut Bytes<'_>) -> Vec<u8> {
    match bytes.below(4) {
        0 => format!("n{}", NUMBERS[bytes.below(NUMBERS.len())]).into_bytes(),
        1 => {
            let raw = std::array::from_fn(|_| bytes.byte());
            format!("n{:e}", f64::from_le_bytes(raw)).into_bytes()
        }
        _ => {
            let mut text = b"s".to_vec();
            write_text(bytes, &mut text);
            text
        }
    }
}

fn write_text(bytes: &mut Bytes<'_>, out: &mut Vec<u8>) {
    if bytes.once_in(200) {
        return out.resize(out.len() + LARGE - 10 + bytes.below(20), b'x');
    }
    for _ in 0..bytes.below(20) {
        out.push(bytes.byte());
    }
}

/// A line without an end in it.
fn write_line(bytes: &mut Bytes<'_>, out: &mut Vec<u8>) {
    for _ in 0..bytes.below(12) {
        out.push(b' ' + bytes.byte() % 90);
    }
}

/// A reply as the server writes them.
fn write_value(bytes: &mut Bytes<'_>, depth: usize, out: &mut Vec<u8>) {
    let kinds = if depth == 0 { 10 } else { 16 };
    match bytes.below(kinds) {
        0 | 1 => {
            let mut text = Vec::new();
            write_text(bytes, &mut text);
            out.extend_from_slice(format!("${}\r\n", text.len()).as_bytes());
            out.extend_from_slice(&text);
        }
        2 => out.extend_from_slice(b"$-1"),
        3 => out.extend_from_slice(b"*-1"),
        4 => {
            let n = i64::from_le_bytes(std::array::from_fn(|_| bytes.byte()));
            out.extend_from_slice(format!(":{}", n >> bytes.below(64)).as_bytes());
        }
        5 => {
            out.push(b'+');
            write_line(bytes, out);
        }
        6 => {
            out.extend_from_slice(b"-ERR ");
            write_line(bytes, out);
        }
        7 => out.extend_from_slice(b"_"),
        8 => out.extend_from_slice(if bytes.once_in(2) { b"#t" } else { b"#f" }),
        9 => {
            let number = NUMBERS[bytes.below(NUMBERS.len())];
            out.extend_from_slice(format!(",{number}").as_bytes());
        }
        kind => {
            let sign = match kind {
                10..=13 => '*',
                14 => '~',
                _ => '%',
            };
            let len = bytes.below(5);
            out.extend_from_slice(format!("{sign}{len}\r\n").as_bytes());
            for at in 0..len {
                // Null and NaN are no keys or members, in Lua and in what commands reply.
                if sign != '*' {
                    out.extend_from_slice(format!("+{at}\r\n").as_bytes());
                }
                if sign != '~' {
                    write_value(bytes, depth - 1, out);
                }
            }
            return;
        }
    }
    out.extend_from_slice(b"\r\n");
}
