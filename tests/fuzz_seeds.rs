//! The fuzz targets of `fuzz/` for some seconds, on random input from a seed that is printed: `FERRITE_FUZZ_SEED` runs
//! the same again, `FERRITE_FUZZ_SECONDS` makes it longer.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use ferrite::base::words;
use ferrite::command::registry;

#[path = "../fuzz/src/bytes.rs"]
mod bytes;
#[path = "../fuzz/src/calls.rs"]
mod calls;
#[path = "../fuzz/src/commands.rs"]
mod commands;
#[path = "../fuzz/src/rdb.rs"]
mod rdb;
#[path = "../fuzz/src/reply.rs"]
mod reply;
#[path = "../fuzz/src/resp.rs"]
mod resp;
#[path = "../fuzz/src/script.rs"]
mod script;

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is a number"))
    })
}

fn duration() -> Duration {
    Duration::from_secs(from_environment("FERRITE_FUZZ_SECONDS").unwrap_or(10))
}

fn first_seed() -> u64 {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("after 1970");
    from_environment("FERRITE_FUZZ_SEED").unwrap_or(now.as_nanos() as u64)
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

#[test]
fn every_command_has_a_seed() {
    let mut missing: BTreeSet<String> = registry::all()
        .iter()
        .filter(|c| c.spec.has_handler() && !c.full_name.starts_with("sentinel|"))
        .map(|c| c.full_name.clone())
        .collect();
    for line in calls::SEEDS.lines().filter(|line| !line.is_empty()) {
        let words = words::split(line.as_bytes()).unwrap_or_else(|| panic!("quotes: {line}"));
        let lower = |at: usize| {
            words
                .get(at)
                .map(|w| String::from_utf8_lossy(w).to_ascii_lowercase())
                .unwrap_or_default()
        };
        if !missing.remove(&format!("{}|{}", lower(0), lower(1))) {
            missing.remove(&lower(0));
        }
    }
    assert!(
        missing.is_empty(),
        "fuzz/seeds/commands.txt needs a line for each of {missing:?}"
    );
}

#[test]
fn seeds_run() {
    let mut session = commands::Session::default();
    for line in calls::SEEDS.lines().filter(|line| !line.is_empty()) {
        session.run(words::split(line.as_bytes()).expect("quotes"));
    }
}

#[test]
fn commands_on_random_input() {
    let first = first_seed();
    println!("seeds from {first}");
    let begin = Instant::now();
    let (mut seed, mut calls) = (first, 0);
    while begin.elapsed() < duration() {
        let data = Random(seed).bytes(20_000);
        let mut session = commands::Session::default();
        let result = catch_unwind(AssertUnwindSafe(|| commands::run_on(&mut session, &data)));
        if result.is_err() {
            let report = session.report();
            let lines: Vec<&str> = report.lines().collect();
            panic!(
                "FERRITE_FUZZ_SEED={seed}, after:\n{}",
                lines[lines.len().saturating_sub(60)..].join("\n")
            );
        }
        calls += session.history.len();
        seed = seed.wrapping_add(1);
    }
    println!("{calls} calls");
}

/// Pieces of requests, right and wrong.
fn requests(random: &mut Random) -> Vec<u8> {
    const PIECES: &[&[u8]] = &[
        b"*1\r\n$4\r\nPING\r\n",
        b"*2\r\n$4\r\nECHO\r\n$3\r\nabc\r\n",
        b"PING\r\n",
        b"echo 'a b'\n",
        b"\r\n",
        b"*0\r\n",
        b"*-1\r\n",
        b"*",
        b"$",
        b"\r",
        b"\n",
        b"*3\r\n",
        b"$0\r\n\r\n",
        b"$1\r\n",
        b"x",
        b"\r\n",
        b"$32768\r\n",
        b"$40000\r\n",
        b"*2147483647\r\n",
        b"*2147483648\r\n",
        b"$-1\r\n",
        b"$1048577\r\n",
        b":1\r\n",
        b"\"",
        b"'",
        b"POST / HTTP/1.1\r\n",
        b"Host: x\r\n",
        b"*+1\r\n",
        b"*01\r\n",
        b"$ 1\r\n",
        b"\0",
    ];
    let mut out = random.bytes(8);
    for _ in 0..random.below(40) {
        match random.below(20) {
            0 => {
                let len = 30_000 + random.below(6000);
                out.extend_from_slice(format!("*2\r\n$4\r\nECHO\r\n${len}\r\n").as_bytes());
                out.extend(std::iter::repeat_n(b'v', len));
                out.extend_from_slice(b"\r\n");
            }
            1 => {
                let len = random.below(12);
                out.extend(random.bytes(len));
            }
            2..=10 => out.extend_from_slice(PIECES[random.below(6)]),
            _ => out.extend_from_slice(PIECES[random.below(PIECES.len())]),
        }
    }
    out
}

#[test]
fn requests_however_they_are_cut() {
    let first = first_seed();
    println!("seeds from {first}");
    let begin = Instant::now();
    let mut seed = first;
    while begin.elapsed() < duration() {
        let data = requests(&mut Random(seed));
        let result = catch_unwind(|| resp::run(&data));
        assert!(
            result.is_ok(),
            "FERRITE_FUZZ_SEED={seed}: {:?}",
            String::from_utf8_lossy(&data[8..])
        );
        seed = seed.wrapping_add(1);
    }
}

/// Changes some bytes, or cuts, or repeats a piece.
fn mutate(random: &mut Random, bytes: &mut Vec<u8>) {
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        match random.below(8) {
            0 | 1 => bytes[at] ^= 1 << random.below(8),
            2 | 3 => bytes[at] = random.next() as u8,
            4 => bytes[at] = [0, 1, 0x7f, 0x80, 0x81, 0xc3, 0xfe, 0xff][random.below(8)],
            5 => bytes[at] = bytes[at].wrapping_add(1),
            6 => bytes.truncate(at.max(1)),
            _ => {
                let len = random.below(20).min(bytes.len() - at);
                let piece = bytes[at..at + len].to_vec();
                let to = random.below(bytes.len());
                bytes.splice(to..to, piece);
            }
        }
    }
}

/// Runs a target on mutations of seeds until the time is over.
fn mutations(seeds: &[Vec<u8>], run: impl Fn(&[u8]) + std::panic::RefUnwindSafe) {
    let first = first_seed();
    println!("seeds from {first}");
    let begin = Instant::now();
    let (mut seed, mut runs) = (first, 0);
    while begin.elapsed() < duration() {
        let mut random = Random(seed);
        let mut data = seeds[random.below(seeds.len())].clone();
        mutate(&mut random, &mut data);
        let result = catch_unwind(|| run(&data));
        assert!(result.is_ok(), "FERRITE_FUZZ_SEED={seed}: {data:02x?}");
        seed = seed.wrapping_add(1);
        runs += 1;
    }
    println!("{runs} runs");
}

#[test]
fn payloads_with_a_right_checksum() {
    let bodies = rdb::bodies();
    bodies.iter().for_each(|body| rdb::run_payload(body));
    mutations(&bodies, rdb::run_payload);
}

#[test]
fn files_with_a_right_checksum() {
    let file = rdb::file();
    rdb::run_file(&file);
    mutations(&[file], rdb::run_file);
}

#[test]
fn calls_from_scripts_by_both_ways() {
    let first = first_seed();
    println!("seeds from {first}");
    let begin = Instant::now();
    let (mut seed, mut ways) = (first, script::Ways::default());
    while begin.elapsed() < duration() {
        let data = Random(seed).bytes(2_000);
        let result = catch_unwind(AssertUnwindSafe(|| ways.run(&data)));
        assert!(result.is_ok(), "FERRITE_FUZZ_SEED={seed}");
        seed = seed.wrapping_add(1);
    }
}
