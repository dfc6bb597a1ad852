//! DUMP payloads and files that are not what they say: S31 to S36.

use std::process::{Command, Stdio};
use std::time::Instant;

use ferrite::base::crc::crc64;

use crate::harness::Target;
use crate::support::{TempDir, Value, binary, free_port};

const RECORDED: &str = include_str!("../assets/corrupt-payloads.hex");
/// Mutations over the network; many more run in process (`rdb::value`, `fuzz/`).
const RUNS: u64 = 800;

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits: Vec<char> = hex.chars().filter(|c| !c.is_whitespace()).collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

/// A body with version and checksum behind it.
fn payload(body: &[u8]) -> Vec<u8> {
    let mut payload = body.to_vec();
    payload.extend_from_slice(&10u16.to_le_bytes());
    let sum = crc64(&payload);
    payload.extend_from_slice(&sum.to_le_bytes());
    payload
}

/// Restores, and if that goes well has every command look at the value.
fn restore(target: &mut Target, payload: &[u8]) -> bool {
    let begin = Instant::now();
    let words: [&[u8]; 5] = [b"RESTORE", b"key", b"0", payload, b"REPLACE"];
    let taken = !target.client.call(&words).is_error();
    if taken {
        for line in [
            "DEBUG DIGEST-VALUE key",
            "OBJECT ENCODING key",
            "MEMORY USAGE key SAMPLES 0",
            "DUMP key",
            "STRLEN key",
            "LRANGE key 0 -1",
            "LINSERT key BEFORE a b",
            "LSET key 0 x",
            "RPOP key 3",
            "SMEMBERS key",
            "SRANDMEMBER key -5",
            "SPOP key 2",
            "HGETALL key",
            "HSET key f v",
            "HRANDFIELD key -5 WITHVALUES",
            "ZRANGE key 0 -1 REV WITHSCORES",
            "ZADD key 3 new",
            "ZPOPMIN key 2",
            "ZRANDMEMBER key -5 WITHSCORES",
            "XINFO STREAM key FULL",
            "XRANGE key - +",
            "XADD key * a b",
            "XTRIM key MAXLEN 1",
            "XREADGROUP GROUP g c STREAMS key >",
            "PFCOUNT key",
            "COPY key other REPLACE",
            "DEL other",
        ] {
            target.say(line);
        }
        // As a file, too.
        let reloaded = target.say("DEBUG RELOAD");
        assert!(!reloaded.is_error(), "{reloaded:?} after {payload:02x?}");
    }
    assert!(begin.elapsed().as_secs() < 4, "{payload:02x?}");
    taken
}

fn target() -> Target {
    let mut target = Target::new(&["--enable-debug-command", "yes"]);
    target.say("SET warm up");
    target.say("DEBUG RELOAD");
    target.settle();
    target
}

#[test]
fn s31_recorded_payloads() {
    let mut target = target();
    let payloads: Vec<_> = RECORDED
        .lines()
        .filter(|l| !l.starts_with('#'))
        .map(bytes_of)
        .collect();
    assert!(payloads.len() > 60);
    let mut taken = 0;
    for payload in &payloads {
        for sanitize in ["yes", "no"] {
            target.say(&format!("CONFIG SET sanitize-dump-payload {sanitize}"));
            taken += usize::from(restore(&mut target, payload));
        }
        // And with the checksum that it should have.
        let body = &payload[..payload.len().saturating_sub(10)];
        taken += usize::from(restore(&mut target, &self::payload(body)));
        target.assert_well("a recorded payload");
    }
    // Most are refused as a whole: nothing behind RESTORE has to be afraid of them.
    assert!(taken < payloads.len(), "{taken}");
}

#[test]
fn s32_mutated_payloads_with_a_right_checksum() {
    let mut target = target();
    for n in 0..30 {
        target.say(&format!("RPUSH list element:{n} {n}"));
        target.say(&format!("SADD set member:{n} {n}"));
        target.say(&format!("HSET hash field:{n} {n}"));
        target.say(&format!("ZADD zset {n}.5 member:{n}"));
        target.say(&format!("XADD stream {n}-1 field {n}"));
    }
    target.say("SADD ints 1 2 3 70000");
    target.say("HSET fields a 1 b 2");
    target.say("HPEXPIREAT fields 4102444800000 FIELDS 1 a");
    target.say("PFADD hll a b c");
    target.say("XGROUP CREATE stream g 0");
    target.say("XREADGROUP GROUP g c COUNT 5 STREAMS stream >");
    let keys = [
        "list", "set", "hash", "zset", "stream", "ints", "fields", "hll",
    ];
    let bodies: Vec<Vec<u8>> = keys
        .iter()
        .map(|key| match target.say(&format!("DUMP {key}")) {
            Value::Bulk(bytes) => bytes[..bytes.len() - 10].to_vec(),
            other => panic!("{key}: {other:?}"),
        })
        .collect();
    target.say("DEL list set hash zset stream ints fields hll");
    let mut state = 11u64;
    let mut random = move |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut taken = 0;
    for run in 0..RUNS {
        let mut body = bodies[run as usize % bodies.len()].clone();
        for _ in 0..=random(3) {
            let at = random(body.len());
            match random(4) {
                0 => body[at] ^= 1 << random(8),
                1 => body[at] = random(256) as u8,
                2 => body.truncate(at.max(1)),
                _ => body[at] = 0xff,
            }
        }
        taken += usize::from(restore(&mut target, &payload(&body)));
        if run % 500 == 0 {
            target.assert_well("mutated payloads");
        }
    }
    target.assert_well("mutated payloads");
    assert!(taken > 0 && taken < RUNS as usize, "{taken}");
}

#[test]
fn s33_two_consumers_with_one_pending_entry() {
    let mut target = target();
    let (id, time) = ("00000000000000010000000000000001", "0000000000000000");
    let owner = |name: &str| format!("01{name} {time} 01 {id}");
    let twice = format!(
        "13 00 00 0101 0000 0101 01 01 0167 0101 00 01 {id} {time} 01 02 {} {}",
        owner("61"),
        owner("62")
    );
    assert!(!restore(&mut target, &payload(&bytes_of(&twice))));
    for line in [
        "XACK key g 1-1",
        "XGROUP DELCONSUMER key g a",
        "XGROUP DELCONSUMER key g b",
    ] {
        target.say(line);
    }
    target.assert_well("two owners");
}

#[test]
fn s34_a_slot_out_of_range() {
    let dir = TempDir::new();
    let file = b"REDIS0012\xf4\x80\0\0\xff\xff\x01\0\xff\0\0\0\0\0\0\0\0";
    std::fs::write(dir.path().join("dump.rdb"), file).unwrap();
    let output = Command::new(binary())
        .args([
            "--port",
            &free_port().to_string(),
            "--save",
            "",
            "--bind",
            "127.0.0.1",
        ])
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let log = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{log}");
    assert!(
        log.contains("no such slot") && !log.contains("panic"),
        "{log}"
    );
}

#[test]
fn s35_stream_nodes_with_wrong_field_counts() {
    let mut target = target();
    let right = "13 01 10 00000000000000010000000000000001 1d 1d000000 0a00 01010001010181660200010201000100018176020401ff 01010101010100000100";
    let body = bytes_of(right);
    let mut refused = 0;
    // Every byte of the listpack to every value that a small count can have.
    for at in 19..48 {
        for value in [0u8, 2, 3, 5, 9, 0x7f, 0xf4, 0xff] {
            let mut bad = body.clone();
            bad[at] = value;
            refused += usize::from(bad != body && !restore(&mut target, &payload(&bad)));
        }
    }
    assert!(refused > 150, "{refused}");
    target.assert_well("stream nodes");
}

#[test]
fn s36_values_of_modules() {
    let mut target = target();
    let vector = "07 81bde72da2bb1eb400 02020201025001020005016505027f00 0209020102800100000102000220020002000210020002813f800000 3f800000 00";
    assert!(!restore(&mut target, &payload(&bytes_of(vector))));
    target.assert_well("a module");
}
