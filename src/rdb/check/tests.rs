use std::ops::Range;

use super::*;
use crate::base::rng::Rng;
use crate::command::testing::Bench;
use crate::rdb::load::{LoadOptions, Progress, load};
use crate::rdb::read::Reader;
use crate::rdb::snapshot::Snapshot;
use crate::rdb::write::{SaveOptions, save};

struct Silent;

impl Visitor for Silent {
    fn intact(&mut self, _: Range<usize>) -> io::Result<()> {
        Ok(())
    }
    fn progress(&mut self, _: usize, _: usize) {}
}

const KEYS: u64 = 203;

fn file() -> Vec<u8> {
    let mut bench = Bench::new();
    for n in 0..100 {
        bench.say(&format!("SET string:{n} 'value number {n}'"));
        bench.say(&format!("HSET hash:{n} field{n} {n} other text"));
        bench.say(&format!("ZADD zset {n}.5 member{n}"));
        bench.say(&format!("RPUSH list element{n}"));
    }
    bench.say("SELECT 3");
    bench.say("SET last 1 PXAT 4102444800000");
    let snapshot = Snapshot::take(&bench.server.ks, Vec::new());
    let mut out = Vec::new();
    let options = SaveOptions {
        compress: false,
        ..SaveOptions::default()
    };
    save(snapshot.into(), &mut out, &options, &Default::default()).unwrap();
    out
}

fn checked(bytes: &[u8]) -> Report {
    check(bytes, 0, &mut Silent).unwrap()
}

fn loads(bytes: &[u8]) -> u64 {
    let options = LoadOptions {
        databases: 16,
        limits: Limits::default(),
        access: Default::default(),
        now_ms: 0,
        drop_expired: true,
        checksum: true,
    };
    let mut reader = Reader::new(bytes, Some(bytes.len() as u64));
    let loaded = load(&mut reader, &options, &Progress::default());
    loaded.unwrap().stats.loaded
}

fn salvaged(bytes: &[u8], name: &str) -> (Report, Vec<u8>) {
    let target = std::env::temp_dir().join(format!("ferrite-check-{}-{name}", std::process::id()));
    let report = salvage(bytes, &target, 0, &mut |_, _| {}).unwrap();
    let file = std::fs::read(&target).unwrap();
    std::fs::remove_file(&target).unwrap();
    (report, file)
}

#[test]
fn an_intact_file_is_found_intact() {
    let bytes = file();
    let report = checked(&bytes);
    assert!(report.is_good(), "{report:?}");
    assert_eq!((report.keys, report.volatile, report.expired), (KEYS, 1, 0));
    assert_eq!(report.types["hash"].keys, 100);
    assert_eq!(report.types["list"].largest[0].2, b"list");
    let text = report.text("dump.rdb", true);
    assert!(
        text.contains("Checksum OK") && text.contains("RDB looks OK"),
        "{text}"
    );
    assert!(
        text.contains("string: 101 keys") && text.contains("db3: 1 keys"),
        "{text}"
    );
    assert!(text.contains("AUX FIELD redis-bits = '64'"), "{text}");
    let (_, copy) = salvaged(&bytes, "intact");
    // Without hints of sizes, which belong to no record, nothing else is missing.
    assert_eq!(loads(&copy), KEYS);
}

#[test]
fn a_damaged_value_costs_its_key_alone() {
    let bytes = file();
    let place = |name: &[u8]| bytes.windows(name.len()).position(|w| w == name).unwrap();
    // The listpack of a hash: its number of elements.
    let mut bad = bytes.clone();
    // With its length before it: other keys begin with the same name.
    bad[place(b"\x06hash:7") + 1 + 6 + 1 + 4] ^= 1;
    let report = checked(&bad);
    assert_eq!(report.keys, KEYS - 1);
    assert_eq!(report.damages.len(), 1);
    assert_eq!(report.damages[0].key.as_deref(), Some(&b"hash:7"[..]));
    assert_eq!(report.checksum, Some(false));
    let text = report.text("dump.rdb", false);
    assert!(
        text.contains("key 'hash:7' of database 0: is damaged: listpack integrity check failed"),
        "{text}"
    );
    let (_, copy) = salvaged(&bad, "value");
    assert_eq!(loads(&copy), KEYS - 1);
    // A text: no record shows it, only the checksum.
    let mut bad = bytes.clone();
    bad[place(b"value number 50")] ^= 1;
    let report = checked(&bad);
    assert_eq!((report.keys, report.damages.len()), (KEYS, 0));
    assert!(!report.is_good());
    assert!(report.text("f", false).contains("every record can be read"));
}

#[test]
fn behind_damaged_lengths_it_goes_on() {
    let bytes = file();
    let mut rng = Rng::new(7);
    for round in 0..100 {
        let mut bad = bytes.clone();
        let at = 150 + rng.below(bad.len() as u64 - 200) as usize;
        bad[at] = if round % 2 == 0 {
            0xff
        } else {
            rng.next_u64() as u8
        };
        let report = checked(&bad);
        // A length that became large may take its neighbours along.
        assert!(report.keys >= KEYS * 3 / 4, "byte {at}: {report:?}");
        if bad != bytes {
            assert!(!report.is_good(), "byte {at}");
        }
        let (_, copy) = salvaged(&bad, "lengths");
        assert_eq!(loads(&copy), report.keys, "byte {at}");
    }
}

#[test]
fn a_file_that_was_cut_off_is_saved_up_to_there() {
    let bytes = file();
    let cut = &bytes[..bytes.len() / 2];
    let report = checked(cut);
    assert!(report.is_cut && !report.is_good());
    assert!(report.keys > KEYS / 4 && report.keys < KEYS);
    let (_, copy) = salvaged(cut, "cut");
    assert_eq!(loads(&copy), report.keys);
    let text = checked(b"no rdb file at all").text("x", false);
    assert!(text.contains("is not an RDB file"), "{text}");
    assert!(!checked(b"").is_good());
}
