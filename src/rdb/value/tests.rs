use super::*;
use crate::base::rng::Rng;
use crate::command::testing::Bench;
use crate::keyspace::digest;
use crate::rdb::kind;
use crate::value::encoding::encoding;

fn bytes_of(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The value at a key, as DUMP gives it without its footer.
fn body(bench: &Bench, key: &str, version: u32) -> Vec<u8> {
    let ks = &bench.server.ks;
    let entry = ks.dbs[0]
        .table
        .get(ks.seed.hash_bytes(key.as_bytes()), key.as_bytes());
    let mut payload = encode(entry.unwrap(), &mut Encoder::new(true, version)).unwrap();
    payload.truncate(payload.len() - FOOTER);
    payload
}

/// Reads a body under a key.
fn read(body: &[u8]) -> Result<Option<Entry>, Fault> {
    let limits = Limits::default();
    let mut source = Bytes::new(body);
    let kind = source.byte()?;
    let entry = Decoder::new(limits).value(&mut source, kind, b"k", Head::default())?;
    if source.left() > 0 {
        return Err(source.bad("more"));
    }
    Ok(entry)
}

/// Bodies that redis-server 7.0.15 (version 10) and 7.2 (version 11) wrote.
const RECORDED: &[(&str, u32, &str)] = &[
    ("SET k abc", 10, "0003616263"),
    ("SET k 100000", 10, "00c2a0860100"),
    ("SET k 2147483648", 10, "000a32313437343833363438"),
    (
        "RPUSH k a 1 300",
        10,
        "1201020f0f00000003008161020101c12c02ff",
    ),
    ("SADD k 1 2 3", 10, "0b0e0200000003000000010002000300"),
    ("SADD k 70000", 10, "0b0c040000000100000070110100"),
    ("SADD k a", 10, "02010161"),
    ("SADD k a", 11, "140a0a0000000100816102ff"),
    ("HSET k f v", 10, "100d0d0000000200816602817602ff"),
    (
        "ZADD k 1 a 2.5 b",
        10,
        "1114140000000400816102010181620283322e3504ff",
    ),
];

#[test]
fn values_are_written_as_redis_does_and_read_back() {
    for (command, version, hex) in RECORDED {
        let mut bench = Bench::new();
        bench.say(command);
        assert_eq!(hex_of(&body(&bench, "k", *version)), *hex, "{command}");
        let entry = read(&bytes_of(hex)).unwrap().unwrap();
        let ks = &bench.server.ks;
        let stored = ks.dbs[0].table.get(ks.seed.hash_bytes(b"k"), b"k").unwrap();
        assert_eq!(
            digest::of_value(&entry).hex(),
            digest::of_value(stored).hex(),
            "{command}"
        );
        assert_eq!(encoding(entry.payload()), encoding(stored.payload()));
    }
}

#[test]
fn hashes_whose_fields_end() {
    let packed =
        "1900d8c32cbb0300001f1f0000000600816602817602f400d8c32cbb030000098167028177020001ff";
    let table = "1800d8c32cbb0300000201016601760001670177";
    let valkey = "16020166017600d8c32cbb03000001670177ffffffffffffffff";
    let mut bench = Bench::new();
    bench.say("HSET k f v g w");
    bench.say("HPEXPIREAT k 4102444800000 FIELDS 1 f");
    assert_eq!(hex_of(&body(&bench, "k", 10)), packed);
    bench.say("CONFIG SET hash-max-listpack-entries 1");
    bench.say("COPY k l");
    bench.say("HSET l x y");
    bench.say("HDEL l x");
    let of_table = body(&bench, "l", 12);
    let ks = &bench.server.ks;
    let stored = ks.dbs[0].table.get(ks.seed.hash_bytes(b"k"), b"k").unwrap();
    for body in [
        &bytes_of(packed),
        &bytes_of(table),
        &bytes_of(valkey),
        &of_table,
    ] {
        let entry = read(body).unwrap().unwrap();
        assert_eq!(digest::of_value(&entry), digest::of_value(stored));
        let hash = <crate::value::hash::Hash as crate::value::Collection>::view(entry.payload());
        let found = hash.unwrap().find(b"f").unwrap();
        assert_eq!(found.1, Some(4_102_444_800_000));
    }
}

/// Values of all types and forms.
fn sample() -> Vec<Vec<u8>> {
    let mut bench = Bench::new();
    let commands = [
        "SET s1 abc",
        "SET s2 -12345",
        "SETRANGE s3 5000 x",
        "RPUSH l1 a 1 300 abcdefghijklmnopqrstuvwxyz",
        "SADD t1 1 2 70000",
        "SADD t2 a b 5",
        "HSET h1 f v g 12",
        "HSET h2 f v g w",
        "HPEXPIREAT h2 4102444800000 FIELDS 1 f",
        "ZADD z1 1 a 2.5 b inf c -0.1 d",
        "PFADD p a b c",
    ];
    for command in commands {
        assert!(!bench.say(command).starts_with('-'), "{command}");
    }
    for n in 0..300 {
        bench.say(&format!("RPUSH l2 element:{n}:{n:0100}"));
        bench.say(&format!("SADD t3 member:{n}"));
        bench.say(&format!("HSET h3 field{n} {n}"));
        bench.say(&format!("ZADD z2 {}.25 member:{n}", n % 7));
    }
    for n in 0..600 {
        bench.say(&format!("HSET h4 field{n} {n}"));
        bench.say(&format!("SADD t4 {n}"));
    }
    bench.say("HPEXPIREAT h4 4102444800000 FIELDS 2 field1 field7");
    let mut bodies = Vec::new();
    for entry in bench.server.ks.dbs[0].table.iter() {
        for version in [10, 12] {
            for compress in [false, true] {
                let mut payload = encode(entry, &mut Encoder::new(compress, version)).unwrap();
                assert!(verify(&payload, false));
                payload.truncate(payload.len() - FOOTER);
                let back = read(&payload).unwrap().unwrap();
                let name = entry.key().escape_ascii().to_string();
                assert_eq!(digest::of_value(&back), digest::of_value(entry), "{name}");
                if back.payload().value_type() != crate::value::Type::String {
                    assert_eq!(
                        encoding(back.payload()),
                        encoding(entry.payload()),
                        "{name}"
                    );
                }
                bodies.push(payload);
            }
        }
    }
    bodies
}

#[test]
fn truncated_values_are_errors_and_changed_ones_never_harm() {
    let mut rng = Rng::new(17);
    for body in sample() {
        let step = 1 + body.len() / 50;
        for len in (0..body.len()).step_by(step) {
            assert!(read(&body[..len]).is_err(), "{} of {}", len, body.len());
        }
        for _ in 0..80 {
            let mut bad = body.clone();
            for _ in 0..=rng.below(3) {
                let at = rng.below(bad.len() as u64) as usize;
                bad[at] = match rng.below(3) {
                    0 => bad[at] ^ 1 << rng.below(8),
                    1 => rng.next_u64() as u8,
                    _ => 0xff,
                };
            }
            if let Ok(Some(entry)) = read(&bad) {
                // What was taken is whole: it can be read and written.
                digest::of_value(&entry);
                let again = encode(&entry, &mut Encoder::new(false, 12)).unwrap();
                let again = read(&again[..again.len() - FOOTER]).unwrap().unwrap();
                assert_eq!(digest::of_value(&again), digest::of_value(&entry));
            }
        }
    }
}

#[test]
fn what_cannot_be_is_refused() {
    let refused = [
        ("a member twice", "0202016101 61"),
        (
            "a member twice in a listpack",
            "14 0d 0d000000 0200 816102 816102 ff",
        ),
        ("a field twice", "04 02 0161 0176 0161 0177"),
        (
            "a member twice in a sorted set",
            "05 02 0161 000000000000f03f 0161 0000000000000040",
        ),
        ("a score that is no number", "05 01 0161 000000000000f87f"),
        (
            "a score that is text",
            "11 0d 0d000000 0200 816102 817802 ff",
        ),
        ("a field without a value", "10 0a 0a000000 0100 816102 ff"),
        ("an unknown container", "12 01 03 0161"),
        ("an unknown type", "1d 00"),
        ("a module", "07 81bde72da2bb1eb400 00"),
        ("a list of four milliards", "01 80ffffffff 0161"),
        ("a text of four milliards", "00 80ffffffff 61"),
        (
            "a compressed text of a milliard",
            "00 c3 02 8040000000 0061",
        ),
    ];
    for (what, hex) in refused {
        let result = read(&bytes_of(&hex.replace(' ', "")));
        assert!(result.is_err(), "{what}: {result:?}");
    }
    let empty = [
        "0100",
        "0200",
        "0400",
        "0500",
        "1200",
        "1007 07000000 0000 ff",
        "0e00",
    ];
    for hex in empty {
        let result = read(&bytes_of(&hex.replace(' ', "")));
        assert!(matches!(result, Ok(None)), "{hex}: {result:?}");
    }
    let error = read(&bytes_of("0781bde72da2bb1eb40000")).unwrap_err();
    assert!(error.to_string().contains("module 'vectorset'"), "{error}");
}

#[test]
fn footers_are_checked() {
    let complete = "100d0d0000000200816602817602ff";
    for footer in [
        "0a0020f13d442354089d",
        "0b00492e8037decbe114",
        "0c00eb870984d97e96d4",
        "5000efdbf4d5bd066f69",
    ] {
        let payload = bytes_of(&format!("{complete}{footer}"));
        assert!(verify(&payload, false), "{footer}");
        assert!(
            decode(&payload, b"k", Head::default(), Limits::default())
                .unwrap()
                .is_some()
        );
        for at in 0..payload.len() {
            let mut bad = payload.clone();
            bad[at] ^= 4;
            assert!(!verify(&bad, false), "byte {at}");
        }
        for len in 0..payload.len() {
            assert!(!verify(&payload[..len], false));
        }
    }
    let newer = bytes_of(&format!("{complete}0d00eb870984d97e96d4"));
    assert!(!verify(&newer, true), "a version that does not exist yet");
    assert_eq!(kind::HASH_LISTPACK, 0x10);
}

fn with_stream() -> Bench {
    let mut bench = Bench::new();
    for n in 1..250 {
        bench.say(&format!("XADD k {n}-1 f {n} g text{n}"));
    }
    bench.say("XADD k 300-1 other fields");
    bench.say("XDEL k 7-1 300-1");
    bench.say("XGROUP CREATE k g 0");
    bench.say("XGROUP CREATE k idle 5 ENTRIESREAD 5");
    bench.say("XREADGROUP GROUP g alice COUNT 20 STREAMS k >");
    bench.say("XREADGROUP GROUP g bob COUNT 3 STREAMS k >");
    bench.say("XACK k g 3-1");
    bench.say("XGROUP CREATECONSUMER k g carol");
    bench
}

/// Bodies that redis-server 7.0.15 and 7.2 wrote.
#[test]
fn streams_of_every_layout() {
    let entries = "110000000000000000100000000000000011d1d0000000a0001010001010181660200010201000100018176020401ff";
    let entry = "0110000000000000000100000000000000011d1d0000000a0001010001010181660200010201000100018176020401ff";
    let (v2, v3) = (
        format!("13{entry}010101010100000100"),
        format!("15{entry}010101010100000100"),
    );
    assert!(entry.ends_with(&entries[1..]));
    let mut bench = Bench::new();
    bench.say("XADD k 1-1 f v");
    assert_eq!(hex_of(&body(&bench, "k", 10)), v2);
    assert_eq!(hex_of(&body(&bench, "k", 11)), v3);
    let v1 = format!("0f{entry}01010100");
    let ks = &bench.server.ks;
    let stored = ks.dbs[0].table.get(ks.seed.hash_bytes(b"k"), b"k").unwrap();
    for hex in [v1, v2, v3, "1300000101000001010100".into()] {
        let back = read(&bytes_of(&hex)).unwrap().unwrap();
        if hex.len() > 30 {
            assert_eq!(digest::of_value(&back), digest::of_value(stored), "{hex}");
        }
    }
}

#[test]
fn streams_come_back_with_groups() {
    let bench = with_stream();
    let ks = &bench.server.ks;
    let stored = ks.dbs[0].table.get(ks.seed.hash_bytes(b"k"), b"k").unwrap();
    for version in [10, 11] {
        let body = body(&bench, "k", version);
        let back = read(&body).unwrap().unwrap();
        assert_eq!(digest::of_value(&back), digest::of_value(stored));
        let again = encode(&back, &mut Encoder::new(true, version)).unwrap();
        assert_eq!(again[..again.len() - FOOTER], body);
        let mut rng = Rng::new(3);
        for _ in 0..300 {
            let mut bad = body.clone();
            let at = rng.below(bad.len() as u64) as usize;
            bad[at] = rng.next_u64() as u8;
            if let Ok(Some(entry)) = read(&bad) {
                digest::of_value(&entry);
            }
            assert!(read(&bad[..at]).is_err());
        }
    }
}

/// Two consumers with the same pending entry, one that nobody has, one that is not pending.
#[test]
fn pending_entries_have_one_owner() {
    let id = "00000000000000010000000000000001";
    let time = "0000000000000000";
    let pending = |entries: &str, consumers: &str| {
        read(&bytes_of(
            &format!("13 00 00 0101 0000 0101 01 01 0167 0101 00 {entries} {consumers}")
                .replace(' ', ""),
        ))
    };
    let one = format!("01 {id} {time} 01");
    let owner = |name: &str| format!("01{name} {time} 01 {id}");
    assert!(pending(&one, &format!("01 {}", owner("61"))).is_ok());
    assert!(pending(&one, &format!("02 {} {}", owner("61"), owner("62"))).is_err());
    assert!(pending(&one, &format!("02 {} 0161 {time} 00", owner("61"))).is_err());
    assert!(pending(&one, "00").is_err());
    assert!(pending("00", &format!("01 {}", owner("61"))).is_err());
    assert!(pending(&format!("02 {id} {time} 01 {id} {time} 01"), "00").is_err());
}
