//! Every byte that is not as it was written is found, and every end that is missing.

use std::fs;
use std::path::PathBuf;

use ferrite::aof::dir::{Dir, Place};
use ferrite::aof::read::{Item, Reader};
use ferrite::rdb::boot::load_file;
use ferrite::rdb::load::{LoadOptions, Progress};

use crate::damage;
use crate::files;
use crate::machine::{Machine, rounds};

fn next(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

/// Flips in the short form, and in the long one.
fn flips() -> u32 {
    if rounds(0) > 0 { 10_000 } else { 1_000 }
}

/// Offsets at which files are cut: each one in the long form.
fn cuts(len: usize) -> impl Iterator<Item = usize> {
    (0..len).step_by(if rounds(0) > 0 { 1 } else { 97 })
}

fn options() -> LoadOptions {
    LoadOptions {
        databases: 16,
        limits: Default::default(),
        access: Default::default(),
        now_ms: 0,
        drop_expired: false,
        checksum: true,
    }
}

/// A snapshot of all types that a server wrote, beside room for a copy.
fn snapshot() -> (Machine, Vec<u8>, PathBuf) {
    let machine = files::filled(&[]);
    machine.call("SAVE");
    let bytes = fs::read(machine.path("dump.rdb")).expect("the snapshot");
    let copy = machine.path("copy.rdb");
    (machine, bytes, copy)
}

#[test]
fn flips_of_a_snapshot_are_found() {
    let (_machine, mut bytes, copy) = snapshot();
    let loads = |bytes: &[u8]| {
        fs::write(&copy, bytes).expect("write");
        load_file(&copy, &options(), &Progress::default()).is_ok()
    };
    assert!(loads(&bytes));
    let mut seed = u64::from(std::process::id()) << 17 | 1;
    println!("seed {seed}, {} flips of {} bytes", flips(), bytes.len());
    for _ in 0..flips() {
        let bit = next(&mut seed) as usize % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(!loads(&bytes), "bit {bit} flipped");
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    for cut in cuts(bytes.len()) {
        assert!(!loads(&bytes[..cut]), "cut at {cut}");
    }
}

#[test]
fn flips_of_the_manifest_are_found() {
    let mut machine = files::filled(&["--appendonly", "yes"]);
    machine.call("BGREWRITEAOF");
    machine.wait_rewrite();
    machine.shut_down();
    let place = Place {
        home: machine.path(""),
        dir: machine.path("appendonlydir"),
        stem: "appendonly.aof".into(),
    };
    let good = Dir::read(place.clone())
        .expect("good")
        .expect("there")
        .manifest;
    for path in [place.manifest(), place.seal()] {
        let bytes = fs::read(&path).expect("the file");
        let is_found = |bad: &[u8]| {
            fs::write(&path, bad).expect("write");
            match Dir::read(place.clone()) {
                Err(_) => true,
                // Capitals mean the same; and a damaged seal is no seal.
                Ok(read) => read.is_some_and(|dir| dir.manifest == good),
            }
        };
        let mut seed = u64::from(std::process::id()) << 17 | 1;
        for _ in 0..flips() {
            let bit = next(&mut seed) as usize % (bytes.len() * 8);
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(is_found(&bad), "{}: bit {bit}", path.display());
        }
        for cut in 0..bytes.len() {
            assert!(is_found(&bytes[..cut]), "{}: cut at {cut}", path.display());
        }
        fs::write(&path, &bytes).expect("write");
    }
}

/// Wherever a file ends, exactly the whole units before that are there, and it is told from a good end.
#[test]
fn a_file_that_ends_anywhere_has_all_units_before_that() {
    let bytes = damage::file();
    let mut ends = Vec::new();
    let mut reader = Reader::new(&bytes[..], bytes.len() as u64, None);
    while let Some(item) = reader.next_item().expect("a good file") {
        if let Item::Unit { end, .. } = item {
            ends.push(end);
        }
    }
    for cut in cuts(bytes.len()) {
        let mut reader = Reader::new(&bytes[..cut], cut as u64, None);
        let mut units = 0;
        let fault = loop {
            match reader.next_item() {
                Ok(Some(Item::Unit { .. })) => units += 1,
                Ok(Some(_)) => {}
                Ok(None) => break None,
                Err(fault) => break Some(fault),
            }
        };
        let whole = ends.iter().filter(|end| **end <= cut as u64).count();
        assert_eq!(units, whole, "cut at {cut}");
        assert!(!reader.ended, "cut at {cut}");
        if let Some(fault) = fault {
            assert!(fault.is_tail(), "cut at {cut}: {fault}");
        }
    }
}

/// A unit that is gone as a whole leaves nothing torn; the chain knows.
#[test]
fn a_unit_that_is_missing_in_the_middle_is_found() {
    let bytes = damage::file();
    let mut reader = Reader::new(&bytes[..], bytes.len() as u64, None);
    let mut units = Vec::new();
    while let Some(item) = reader.next_item().expect("a good file") {
        if let Item::Unit { from, end, .. } = item {
            units.push((from as usize, end as usize));
        }
    }
    let last = units.len() - 1;
    for at in [0, 1, last / 2, last - 1, last] {
        let (from, end) = units[at];
        let cut = [&bytes[..from], &bytes[end..]].concat();
        let mut reader = Reader::new(&cut[..], cut.len() as u64, None);
        let mut read = 0;
        while let Ok(Some(item)) = reader.next_item() {
            read += usize::from(matches!(item, Item::Unit { .. }));
        }
        // It is found there and not only by the mark at the end.
        assert_eq!(read, at, "unit {at} is missing");
        assert!(!damage::is_whole(&cut), "unit {at} is missing");
    }
}
