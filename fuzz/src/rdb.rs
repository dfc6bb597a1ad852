//! RDB files and DUMP payloads with a right checksum: whatever is taken is whole, goes out again and comes back equal;
//! whatever is not is an error.

use ferrite::base::crc::crc64;
use ferrite::base::words;
use ferrite::keyspace::digest;
use ferrite::keyspace::evict::Access;
use ferrite::rdb::load::{LoadOptions, Progress, load};
use ferrite::rdb::read::Reader;
use ferrite::rdb::snapshot::Snapshot;
use ferrite::rdb::value::{Encoder, decode, encode, verify};
use ferrite::rdb::write::{self, SaveOptions};
use ferrite::value::Limits;
use ferrite::value::entry::Head;

use crate::commands::Session;

/// Bodies to begin with: every type in its forms.
pub fn bodies() -> Vec<Vec<u8>> {
    let session = sample();
    let mut bodies = Vec::new();
    for entry in session.server.ks.dbs[0].table.iter() {
        for (version, compress) in [(10, false), (10, true), (12, false)] {
            let payload = encode(entry, &mut Encoder::new(compress, version));
            let mut body = payload.expect("it can be written");
            body.truncate(body.len() - 10);
            bodies.push(body);
        }
    }
    bodies
}

/// A small file of every type.
pub fn file() -> Vec<u8> {
    let mut out = Vec::new();
    let snapshot = Snapshot::take(&sample().server.ks, vec![b"#!lua name=l".to_vec()]);
    let progress = write::Progress::default();
    write::save(
        snapshot.into(),
        &mut out,
        &SaveOptions::default(),
        &progress,
    )
    .expect("memory takes all");
    out.truncate(out.len() - 8);
    out
}

fn sample() -> Session {
    let mut session = Session::default();
    let mut say = |line: &str| session.run(words::split(line.as_bytes()).expect("quotes"));
    for n in 0..8 {
        for line in [
            format!("SET string:{n} {}", "text".repeat(n)),
            format!("SET volatile:{n} {n} PXAT 4102444800000"),
            format!("RPUSH list element:{n} {n}"),
            format!("SADD set member:{n} {n}"),
            format!("SADD ints {}", n << (n * 6)),
            format!("HSET hash field:{n} {n}"),
            format!("ZADD zset {n}.25 member:{n}"),
            format!("XADD stream {}-1 field {n}", n + 1),
        ] {
            say(&line);
        }
    }
    say("HSET fields a 1 b 2");
    say("HPEXPIREAT fields 4102444800000 FIELDS 1 a");
    say("XGROUP CREATE stream g 0");
    say("XREADGROUP GROUP g c COUNT 3 STREAMS stream >");
    say("PFADD hll a b c");
    session
}

/// A payload's body.
pub fn run_payload(body: &[u8]) {
    let mut payload = body.to_vec();
    payload.extend_from_slice(&12u16.to_le_bytes());
    let sum = crc64(&payload);
    payload.extend_from_slice(&sum.to_le_bytes());
    assert_eq!(verify(&payload, false), !body.is_empty());
    let read = |payload: &[u8]| decode(payload, b"key", Head::default(), Limits::default());
    let Ok(Some(entry)) = read(&payload) else {
        return;
    };
    let digest = digest::of_value(&entry);
    for version in [10, 12] {
        let again = encode(&entry, &mut Encoder::new(true, version)).expect("it can be written");
        let again = read(&again).expect("it was written here");
        assert_eq!(digest::of_value(&again.expect("not empty")), digest);
    }
}

/// A file without its checksum.
pub fn run_file(file: &[u8]) {
    let mut file = file.to_vec();
    let sum = crc64(&file);
    file.extend_from_slice(&sum.to_le_bytes());
    let options = LoadOptions {
        databases: 16,
        limits: Limits::default(),
        access: Access::default(),
        now_ms: 1_700_000_000_000,
        drop_expired: false,
        checksum: true,
    };
    let mut reader = Reader::new(&file[..], Some(file.len() as u64));
    let Ok(loaded) = load(&mut reader, &options, &Progress::default()) else {
        return;
    };
    let mut session = Session::default();
    session.server.ks.dbs = loaded.dbs;
    digest::of_keyspace(&session.server.ks);
}
