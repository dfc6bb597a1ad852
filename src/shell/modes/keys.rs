//! `--bigkeys` and `--memkeys`: the largest key of each type, and averages.

use std::fmt::Write;

use crate::base::words::quote;
use crate::resp::decode::Value;
use crate::shell::link::Link;
use crate::shell::options::Options;
use crate::shell::session::{Session, print, rest};

use super::scan::{Cursor, dbsize};
use super::{Ended, code};

/// What makes a key large.
#[derive(Clone, Copy, Debug)]
pub enum Measure {
    Elements,
    /// Looking at so many elements; `None`: as many as the server looks at by itself.
    Memory(Option<u64>),
}

/// SCANs between two rests.
const SCANS: u64 = 100;
/// Keys between two notes of how far it is.
const NOTE: u64 = 1_000_000;

/// A type of values.
struct Type {
    name: String,
    /// What tells the number of elements; none of types that are not known.
    command: Option<&'static str>,
    unit: &'static str,
    keys: u64,
    total: u64,
    largest: Option<(Vec<u8>, u64)>,
}

/// In the order in which redis-cli sums up.
const KNOWN: [(&str, &str, &str); 6] = [
    ("list", "LLEN", "items"),
    ("hash", "HLEN", "fields"),
    ("string", "STRLEN", "bytes"),
    ("stream", "XLEN", "entries"),
    ("set", "SCARD", "members"),
    ("zset", "ZCARD", "members"),
];

impl Type {
    fn new(name: &str, command: Option<&'static str>, unit: &'static str) -> Type {
        Type {
            name: name.to_owned(),
            command,
            unit,
            keys: 0,
            total: 0,
            largest: None,
        }
    }
}

/// What is seen on the way.
struct Survey {
    measure: Measure,
    types: Vec<Type>,
    keys: u64,
    names: u64,
    /// How much of the database had been seen before the present keys, in percent.
    percent: f64,
}

pub fn run(session: &mut Session, measure: Measure) -> u8 {
    let options = session.options.clone();
    let Some(link) = session.link() else {
        return 1;
    };
    code(walk(link, &options, measure))
}

fn walk(link: &mut Link, options: &Options, measure: Measure) -> Result<(), Ended> {
    let all = dbsize(link)?;
    print(
        b"\n# Scanning the entire keyspace to find biggest keys as well as\n\
          # average sizes per key type.  You can use -i 0.1 to sleep 0.1 sec\n\
          # per 100 SCAN commands (not usually needed).\n\n",
    );
    let known = KNOWN.iter();
    let mut survey = Survey {
        measure,
        types: known
            .map(|(name, command, unit)| Type::new(name, Some(command), unit))
            .collect(),
        keys: 0,
        names: 0,
        percent: 0.0,
    };
    let mut cursor = Cursor::new(options, "SCAN error: ");
    let mut scans = 0;
    while let Some(keys) = cursor.next(link)? {
        survey.percent = 100.0 * survey.keys as f64 / all.max(1) as f64;
        survey.look_at(link, keys)?;
        scans += 1;
        if scans % SCANS == 0 {
            rest(options.interval);
        }
    }
    print(&survey.summary());
    Ok(())
}

impl Survey {
    fn unit(&self, of: usize) -> &'static str {
        match self.measure {
            Measure::Elements => self.types[of].unit,
            Measure::Memory(_) => "bytes",
        }
    }

    fn look_at(&mut self, link: &mut Link, keys: Vec<Vec<u8>>) -> Result<(), Ended> {
        let questions = keys.iter().map(|key| vec![b"TYPE".to_vec(), key.clone()]);
        let types = link.call_all(&questions.collect::<Vec<_>>())?;
        let mut measured = Vec::new();
        let mut questions = Vec::new();
        for (key, reply) in keys.into_iter().zip(types) {
            let name = match &reply {
                Value::Status(name) => String::from_utf8_lossy(name).into_owned(),
                _ => return Err(told("TYPE", &reply)),
            };
            // It is gone.
            if name == "none" {
                continue;
            }
            let of = self.type_named(&name);
            if let Some(question) = self.question(of, &key) {
                questions.push(question);
                measured.push((key, of, true));
            } else {
                measured.push((key, of, false));
            }
        }
        let mut sizes = link.call_all(&questions)?.into_iter();
        for (key, of, asked) in measured {
            let reply = if asked { sizes.next() } else { None };
            let size = match &reply {
                Some(Value::Int(size)) => u64::try_from(*size).unwrap_or(0),
                Some(Value::Null) | None => 0,
                Some(_) => {
                    // It changed in between.
                    let command = self.types[of].command.unwrap_or("MEMORY USAGE");
                    let name = String::from_utf8_lossy(&key);
                    eprintln!("Warning:  {command} on '{name}' failed (may have changed type)");
                    0
                }
            };
            self.note(key, of, size);
        }
        Ok(())
    }

    fn type_named(&mut self, name: &str) -> usize {
        let known = self.types.iter().position(|t| t.name == name);
        known.unwrap_or_else(|| {
            self.types.push(Type::new(name, None, "?"));
            self.types.len() - 1
        })
    }

    fn question(&self, of: usize, key: &[u8]) -> Option<Vec<Vec<u8>>> {
        let mut words: Vec<Vec<u8>> = match self.measure {
            Measure::Elements => vec![self.types[of].command?.into()],
            Measure::Memory(_) => vec![b"MEMORY".to_vec(), b"USAGE".to_vec()],
        };
        words.push(key.to_vec());
        if let Measure::Memory(Some(samples)) = self.measure {
            words.extend([b"SAMPLES".to_vec(), samples.to_string().into_bytes()]);
        }
        Some(words)
    }

    fn note(&mut self, key: Vec<u8>, of: usize, size: u64) {
        self.keys += 1;
        self.names += key.len() as u64;
        let unit = self.unit(of);
        let kind = &mut self.types[of];
        kind.keys += 1;
        kind.total = kind.total.saturating_add(size);
        let largest = kind.largest.as_ref().map_or(0, |(_, size)| *size);
        if size > largest {
            let begin = format!(
                "[{:05.2}%] Biggest {:<6} found so far '",
                self.percent, kind.name
            );
            let mut out = begin.into_bytes();
            quote(&key, &mut out);
            out.extend(format!("' with {size} {unit}\n").bytes());
            print(&out);
            kind.largest = Some((key, size));
        }
        if self.keys.is_multiple_of(NOTE) {
            let text = format!(
                "[{:05.2}%] Sampled {} keys so far\n",
                self.percent, self.keys
            );
            print(text.as_bytes());
        }
    }

    fn summary(&self) -> Vec<u8> {
        let average = |sum: u64, n: u64| if n == 0 { 0.0 } else { sum as f64 / n as f64 };
        let mut out = format!(
            "\n-------- summary -------\n\nSampled {} keys in the keyspace!\n\
             Total key length in bytes is {} (avg len {:.2})\n\n",
            self.keys,
            self.names,
            average(self.names, self.keys)
        )
        .into_bytes();
        for (of, kind) in self.types.iter().enumerate() {
            if let Some((key, size)) = &kind.largest {
                out.extend(format!("Biggest {:>6} found '", kind.name).bytes());
                quote(key, &mut out);
                out.extend(format!("' has {size} {}\n", self.unit(of)).bytes());
            }
        }
        out.push(b'\n');
        let mut text = String::new();
        for (of, kind) in self.types.iter().enumerate() {
            let share = 100.0 * average(kind.keys, self.keys);
            // A string takes everything.
            let _ = writeln!(
                text,
                "{} {}s with {} {} ({share:05.2}% of keys, avg size {:.2})",
                kind.keys,
                kind.name,
                kind.total,
                self.unit(of),
                average(kind.total, kind.keys)
            );
        }
        out.extend(text.bytes());
        out
    }
}

fn told(command: &str, reply: &Value) -> Ended {
    let text = String::from_utf8_lossy(reply.text().unwrap_or_default()).into_owned();
    Ended::Told(format!("{command} returned an error: {text}"))
}
