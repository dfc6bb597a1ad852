//! Files that are not as they were written: found, named, repaired.

use std::fs;

use ferrite::aof::frame::Chain;
use ferrite::aof::read::{Item, Reader};

use crate::machine::{Machine, rounds, tool};

/// A file of about 64 KiB as the writer makes it.
pub fn file() -> Vec<u8> {
    let mut chain = Chain {
        seq: 0,
        offset: 0,
        value: 0x0123_4567_89ab_cdef,
    };
    let mut bytes = Vec::new();
    chain.write_begin(&mut bytes, 0);
    let mut n = 0;
    while bytes.len() < 64 << 10 {
        n += 1;
        let (key, value) = (format!("key:{n}"), "v".repeat(n % 60));
        let unit = format!(
            "*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${}\r\n{value}\r\n",
            key.len(),
            value.len()
        );
        chain.write_frame(&mut bytes, 0, unit.as_bytes(), 0);
    }
    chain.write_end(&mut bytes, 0);
    bytes
}

pub fn is_whole(bytes: &[u8]) -> bool {
    let mut reader = Reader::new(bytes, bytes.len() as u64, None);
    loop {
        match reader.next_item() {
            Ok(None) => return reader.ended,
            Ok(Some(_)) => {}
            Err(_) => return false,
        }
    }
}

#[test]
fn every_flipped_byte_of_a_file_is_found() {
    let mut bytes = file();
    assert!(is_whole(&bytes));
    // All of them in the long form.
    let step = (64 / rounds(1).max(1)).max(1) as usize;
    for at in (0..bytes.len()).step_by(step) {
        bytes[at] ^= 1 << (at % 8);
        assert!(!is_whole(&bytes), "a bit of byte {at} flipped");
        bytes[at] ^= 1 << (at % 8);
    }
}

fn thousand() -> Machine {
    let mut machine = Machine::new(&["--appendonly", "yes", "--enable-debug-command", "yes"]);
    machine.start();
    let mut client = machine.connect();
    let commands: Vec<Vec<String>> = (0..1000)
        .map(|n| vec!["SET".into(), format!("key:{n}"), format!("value:{n}")])
        .collect();
    assert!(
        client
            .pipeline(&commands)
            .iter()
            .all(|reply| reply.text() == "OK")
    );
    machine.shut_down();
    machine
}

/// Peers stop at the first bad byte: 5 of 1,000 recovered.
#[test]
fn the_repair_goes_on_behind_a_bad_byte() {
    let mut machine = thousand();
    let path = machine.last_incr();
    let mut bytes = fs::read(&path).expect("the file");
    let at = bytes
        .windows(7)
        .position(|w| w == b"value:5")
        .expect("the fifth value");
    bytes[at + 3] ^= 0x20;
    fs::write(&path, &bytes).expect("write");
    assert!(!machine.try_start(), "a damaged file was served");
    let log = machine.log();
    for told in [
        "Bad file format",
        "appendonly.aof.1.incr.aof",
        "'key:5'",
        "unit 7",
        "check-aof --fix",
    ] {
        assert!(log.contains(told), "{told} is not in\n{log}");
    }
    let manifest = machine.aof("appendonly.aof.manifest").display().to_string();
    let (text, good) = tool(&["check-aof", &manifest], "");
    assert!(
        !good && text.contains("1000 entries are good, 994 of them behind"),
        "{text}"
    );
    let (text, good) = tool(&["check-aof", "--fix", &manifest], "y\n");
    assert!(
        good && text.contains("All AOF files and manifest are valid"),
        "{text}"
    );
    machine.start();
    assert_eq!(machine.call("DBSIZE").int(), 999);
    assert_eq!(machine.call("EXISTS key:5").int(), 0);
    let (text, good) = tool(&["check-aof", &manifest], "");
    assert!(good, "{text}");
}

#[test]
fn a_file_cut_between_two_entries_is_noticed() {
    let mut machine = thousand();
    let path = machine.last_incr();
    let bytes = fs::read(&path).expect("the file");
    let mut reader = Reader::new(&bytes[..], bytes.len() as u64, None);
    let mut end = 0;
    for _ in 0..500 {
        if let Some(Item::Unit { end: e, .. }) = reader.next_item().expect("a good file") {
            end = e;
        }
    }
    fs::write(&path, &bytes[..end as usize]).expect("cut");
    assert!(!machine.try_start(), "half of the data was served");
    assert!(
        machine.log().contains("bytes long, and it was"),
        "{}",
        machine.log()
    );
}

/// Torn and zero-filled ends are cut at the last whole entry, and the log says what is missing.
#[test]
fn torn_ends_are_cut_and_told() {
    for zeros in [false, true] {
        let mut machine = Machine::new(&["--appendonly", "yes"]);
        machine.start();
        for n in 0..50 {
            machine.call(&format!("SET key:{n} value"));
        }
        machine.kill();
        let path = machine.last_incr();
        let mut bytes = fs::read(&path).expect("the file");
        let len = bytes.len();
        if zeros {
            bytes[len - 20..].fill(0);
            bytes.extend([0; 4096]);
        } else {
            bytes.truncate(len - 20);
        }
        fs::write(&path, &bytes).expect("write");
        let _ = fs::remove_file(machine.aof("appendonly.aof.manifest.mark"));
        machine.start();
        assert_eq!(machine.call("DBSIZE").int(), 49);
        let log = machine.log();
        assert!(
            log.contains("short read") && log.contains("unit 51"),
            "{log}"
        );
        machine.call("SET more 1");
        machine.kill();
        machine.start();
        assert_eq!(machine.call("DBSIZE").int(), 50);
    }
}

#[test]
fn going_back_to_a_moment() {
    let mut machine = thousand();
    machine
        .options
        .extend(["--aof-history-retention".into(), "3600".into()]);
    machine.start();
    machine.call("FLUSHALL");
    machine.call("SET after 1");
    machine.call("BGREWRITEAOF");
    machine.wait_rewrite();
    machine.call("SET later 1");
    machine.shut_down();
    let manifest = machine.aof("appendonly.aof.manifest").display().to_string();
    for (words, keys) in [(["--before", "flushall"], 1000), (["--seq", "501"], 500)] {
        let mut old = Machine::new(&["--appendonly", "yes"]);
        let out = old.dir.path().join("restored");
        let (text, good) = tool(
            &[
                "restore",
                words[0],
                words[1],
                "--out",
                out.to_str().expect("plain"),
                &manifest,
            ],
            "",
        );
        assert!(good, "{text}");
        old.options
            .extend(["--dir".into(), out.display().to_string()]);
        old.start();
        assert_eq!(old.call("DBSIZE").int(), keys, "{words:?}");
    }
}
