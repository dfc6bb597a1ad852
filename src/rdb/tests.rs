use std::path::Path;
use std::sync::Arc;

use super::boot;
use super::load::{LoadOptions, Loaded, Progress, load};
use super::read::{Cause, Reader};
use super::snapshot::Snapshot;
use super::write::{self, ReplicationState, SaveOptions, is_stopped};
use crate::base::crc::crc64;
use crate::base::hash::Seed;
use crate::base::rng::Rng;
use crate::command::testing::Bench;
use crate::keyspace::digest;
use crate::keyspace::evict::Access;
use crate::value::Limits;

fn options() -> LoadOptions {
    LoadOptions {
        databases: 16,
        limits: Limits::default(),
        access: Access::default(),
        now_ms: 1_700_000_000_000,
        drop_expired: true,
        checksum: true,
    }
}

fn saved(bench: &Bench, options: &SaveOptions) -> Vec<u8> {
    let snapshot = Snapshot::take(&bench.server.ks, vec![b"#!lua name=l\n".to_vec()]);
    let mut out = Vec::new();
    let progress = write::Progress::default();
    write::save(Arc::new(snapshot), &mut out, options, &progress).unwrap();
    assert_eq!(progress.bytes.into_inner(), out.len() as u64);
    out
}

fn read(file: &[u8]) -> Result<Loaded, super::load::LoadError> {
    let mut reader = Reader::new(file, Some(file.len() as u64));
    load(&mut reader, &options(), &Progress::default())
}

/// The digest of databases that were read.
fn digest_of(loaded: Loaded) -> String {
    let mut bench = Bench::new();
    bench.server.ks.dbs = loaded.dbs;
    digest::of_keyspace(&bench.server.ks).hex()
}

/// Some of everything, in two databases.
fn sample() -> Bench {
    let mut bench = Bench::new();
    for n in 0..12 {
        bench.say(&format!("SET string:{n} {n}"));
        bench.say(&format!(
            "SET volatile:{n} text{n} PXAT {}",
            4_102_444_800_000i64 + n
        ));
        bench.say(&format!("RPUSH list {n} element{n}"));
        bench.say(&format!("SADD set {n} member{n}"));
        bench.say(&format!("HSET hash field{n} {n}"));
        bench.say(&format!("ZADD zset {n}.5 member{n}"));
    }
    bench.say("HPEXPIREAT hash 4102444800000 FIELDS 1 field3");
    bench.say("SELECT 5");
    for n in 0..140 {
        bench.say(&format!("SADD large member{n}"));
        bench.say(&format!("ZADD zset {} member{n}", n % 3));
        bench.say(&format!("SETRANGE long {}0 abc", n * 2));
    }
    bench
}

#[test]
fn a_data_set_comes_back_as_it_was() {
    let bench = sample();
    let file = saved(&bench, &SaveOptions::default());
    assert_eq!(&file[..9], b"REDIS0012");
    let loaded = read(&file).unwrap();
    assert_eq!(loaded.stats.loaded, 12 + 12 + 4 + 3);
    assert_eq!(loaded.functions, [b"#!lua name=l\n"]);
    assert_eq!(loaded.aux["redis-bits"], "64");
    assert_eq!(loaded.aux_number("aof-base"), Some(0));
    let (before, after) = (&bench.server.ks.dbs[0], &loaded.dbs[0]);
    assert_eq!(after.volatile, before.volatile);
    assert_eq!(after.deadline_sum, before.deadline_sum);
    let long = Seed::process().hash_bytes(b"volatile:7");
    assert!(after.table.get(long, b"volatile:7").unwrap().is_hinted());
    // One hint for each volatile key, and one for the field.
    assert_eq!(after.expiry.len(), 13);
    assert_eq!(
        digest_of(loaded),
        digest::of_keyspace(&bench.server.ks).hex()
    );
}

#[test]
fn options_shape_the_file() {
    let mut bench = Bench::new();
    bench.say("SADD k a");
    let base = SaveOptions {
        aof_base: true,
        replication: Some(ReplicationState {
            id: "a".repeat(40),
            offset: 77,
            db: 3,
        }),
        ..SaveOptions::default()
    };
    let file = saved(&bench, &base);
    assert_eq!(&file[..9], b"REDIS0010");
    let loaded = read(&file).unwrap();
    assert_eq!(loaded.aux["repl-id"], "a".repeat(40));
    assert_eq!(loaded.aux_number("repl-offset"), Some(77));
    assert_eq!(loaded.aux_number("aof-base"), Some(1));
    let digest = digest::of_keyspace(&bench.server.ks).hex();
    for version in [1, 7, 9, 10, 11, 12] {
        let wanted = SaveOptions {
            version,
            checksum: version != 11,
            ..SaveOptions::default()
        };
        let file = saved(&bench, &wanted);
        assert_eq!(file[..9], *format!("REDIS{version:04}").as_bytes());
        assert_eq!(digest_of(read(&file).unwrap()), digest, "{version}");
    }
    bench.say("HSET h f v");
    bench.say("HEXPIRE h 1000 FIELDS 1 f");
    let snapshot = Arc::new(Snapshot::take(&bench.server.ks, Vec::new()));
    let old = SaveOptions {
        version: 10,
        ..SaveOptions::default()
    };
    let error = write::save(snapshot, &mut Vec::new(), &old, &Default::default()).unwrap_err();
    assert!(error.to_string().contains("need 12"), "{error}");
}

#[test]
fn a_save_can_be_given_up() {
    let bench = sample();
    let progress = write::Progress::default();
    progress
        .stop
        .store(true, std::sync::atomic::Ordering::Relaxed);
    let snapshot = Arc::new(Snapshot::take(&bench.server.ks, Vec::new()));
    let result = write::save(
        snapshot,
        &mut Vec::new(),
        &SaveOptions::default(),
        &progress,
    );
    assert!(is_stopped(&result.unwrap_err()));
    let progress = Progress::default();
    progress
        .stop
        .store(true, std::sync::atomic::Ordering::Relaxed);
    let file = saved(&bench, &SaveOptions::default());
    let result = load(&mut Reader::new(&file[..], None), &options(), &progress);
    assert!(matches!(result.err().unwrap().fault.cause, Cause::Stopped));
}

#[test]
fn a_snapshot_stays_as_it_was_while_writes_go_on() {
    let mut bench = sample();
    let before = digest::of_keyspace(&bench.server.ks).hex();
    let snapshot = Arc::new(Snapshot::take(&bench.server.ks, Vec::new()));
    let other = Arc::clone(&snapshot);
    for n in 0..300 {
        bench.say(&format!("ZADD zset {} member{n}", n + 7));
        bench.say(&format!("SREM large member{n}"));
        bench.say("APPEND long x");
    }
    bench.say("FLUSHALL");
    for shared in [snapshot, other] {
        let mut file = Vec::new();
        write::save(
            shared,
            &mut file,
            &SaveOptions::default(),
            &Default::default(),
        )
        .unwrap();
        assert_eq!(digest_of(read(&file).unwrap()), before);
    }
}

#[test]
fn what_follows_a_file_stays_in_the_reader() {
    use std::io::Read;
    let bench = sample();
    for size in [true, false] {
        let mut input = saved(&bench, &SaveOptions::default());
        input.extend_from_slice(b"*1\r\n$4\r\nPING\r\n");
        let size = size.then_some(input.len() as u64);
        let mut reader = Reader::new(&input[..], size);
        load(&mut reader, &options(), &Progress::default()).unwrap();
        assert_eq!(reader.peek(4).unwrap(), b"*1\r\n");
        let mut rest = Vec::new();
        reader.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"*1\r\n$4\r\nPING\r\n");
    }
}

#[test]
fn expired_and_empty_keys_are_counted() {
    let mut file = b"REDIS0010\xfe\0".to_vec();
    let past = 1_600_000_000_000i64.to_le_bytes();
    file.extend_from_slice(&[&[0xfc][..], &past, b"\0\x01a\x01b"].concat());
    file.extend_from_slice(b"\x02\x01e\0\0\x01c\x01d\xff");
    let sum = crc64(&file);
    file.extend_from_slice(&sum.to_le_bytes());
    let stats = read(&file).unwrap().stats;
    assert_eq!((stats.loaded, stats.expired, stats.empty), (1, 1, 1));
    let kept = LoadOptions {
        drop_expired: false,
        ..options()
    };
    let loaded = load(
        &mut Reader::new(&file[..], None),
        &kept,
        &Progress::default(),
    )
    .unwrap();
    assert_eq!((loaded.stats.loaded, loaded.stats.expired), (2, 0));
}

#[test]
fn faults_name_place_and_key() {
    let text = |file: &[u8]| match read(file) {
        Ok(_) => panic!("it was taken"),
        Err(error) => error.to_string(),
    };
    assert!(text(b"RUBBISH00").contains("is not an RDB file"));
    assert!(text(b"REDIS0013").contains("Can't handle RDB format version 13"));
    assert!(text(b"REDIS0000").contains("version 0"));
    let told = |file: &[u8]| {
        let error = read(file).err().expect("a fault");
        boot::explain(Path::new("dump.rdb"), &error)
    };
    let end = " Nothing was loaded, the file is as it was. To start without this data, move the file away.";
    assert_eq!(
        told(b"REDIS0099"),
        format!("Can't handle RDB format version 99 at offset 9 of the RDB file dump.rdb.{end}")
    );
    assert_eq!(
        told(b"RUBBISH00"),
        format!("The file dump.rdb is not an RDB file at offset 9.{end}")
    );
    let module = told(b"REDIS0010\xf7\x81\xbd\xe7\x2d\xa2\xbb\x1e\xb4\0\0");
    assert!(
        module.starts_with(
            "The file dump.rdb contains AUX module data I can't load: no matching module '"
        ),
        "{module}"
    );
    let twice = text(b"REDIS0010\xfe\x03\0\x01a\x01b\0\x01a\x01c\xff\0\0\0\0\0\0\0\0");
    assert!(twice.contains("a key is there twice") && twice.contains("key 'a' of database 3"));
    let short = text(b"REDIS0010\xfe\0\0\x03abc\x05x");
    assert_eq!(
        short,
        "ends too early at offset 17, key 'abc' of database 0"
    );
    let module = text(b"REDIS0010\x07\x01k\x81\xbd\xe7\x2d\xa2\xbb\x1e\xb4\0\0");
    assert!(
        module.contains("'vectorset'") && module.contains("key 'k'"),
        "{module}"
    );
    let aux = text(b"REDIS0010\xf7\x81\xbd\xe7\x2d\xa2\xbb\x1e\xb4\0\x02\x01\0");
    assert!(aux.contains("no matching module 'vectorset'"), "{aux}");
    assert!(text(b"REDIS0012\xf4\x80\0\0\xff\xff\x01\x00").contains("no such slot"));
    assert!(text(b"REDIS0010\xfe\x10").contains("only 16 databases"));
    assert!(text(b"REDIS0010\xff\x01\x02\x03\x04\x05\x06\x07\x08").contains("RDB CRC error"));
}

/// Every cut and ten thousand flipped bits: an error each time, and nothing worse.
#[test]
fn no_damage_goes_unseen() {
    let bench = sample();
    let file = saved(&bench, &SaveOptions::default());
    for len in 0..file.len() {
        assert!(read(&file[..len]).is_err(), "cut to {len}");
    }
    let mut rng = Rng::new(23);
    for _ in 0..10_000 {
        let mut bad = file.clone();
        let at = rng.below(bad.len() as u64) as usize;
        bad[at] ^= 1 << rng.below(8);
        assert!(read(&bad).is_err(), "byte {at}");
    }
}

/// Damage below a right checksum: taken or not, it never harms.
#[test]
fn damage_with_a_right_checksum_does_no_harm() {
    let bench = sample();
    let file = saved(&bench, &SaveOptions::default());
    let mut rng = Rng::new(29);
    for _ in 0..1500 {
        let mut bad = file[..file.len() - 8].to_vec();
        for _ in 0..=rng.below(4) {
            let at = rng.below(bad.len() as u64) as usize;
            bad[at] = rng.next_u64() as u8;
        }
        let sum = crc64(&bad);
        bad.extend_from_slice(&sum.to_le_bytes());
        if let Ok(loaded) = read(&bad) {
            digest_of(loaded);
        }
    }
}
