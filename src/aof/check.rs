//! `ferrite check-aof [--fix] [--truncate-to-timestamp T] MANIFEST|FILE`, also as `redis-check-aof`: what is damaged, and
//! a repair that goes on behind a bad place. Words that scripts know from Redis are Redis'.

mod repair;

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use repair::{rebuild, truncate_to};

use super::dir::{Dir, Place};
use super::frame::Chain;
use super::manifest::{Kind, Manifest, Part};
use super::read::{Fault, FaultKind, Item, Reader};
use super::seal::{Sum, crc};
use crate::rdb;
use crate::rdb::read::Source;

/// What to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Task {
    pub file: PathBuf,
    pub fix: bool,
    /// Unix seconds.
    pub truncate_to: Option<i64>,
    /// Answer yes to every question.
    pub yes: bool,
}

pub const USAGE: &str =
    "Usage: redis-check-aof [--fix|--truncate-to-timestamp $timestamp] <file.manifest|file.aof>";

/// The tool has said why it ends.
struct Stop;

type Done<T> = Result<T, Stop>;

fn stop<T>(text: impl std::fmt::Display) -> Done<T> {
    println!("{text}");
    Err(Stop)
}

/// Does it; the code to end with is 0 if everything is valid, or is now.
pub fn run(task: &Task) -> u8 {
    match is_manifest(&task.file) {
        Err(error) => {
            println!(
                "Cannot open file {}: {error}, aborting...",
                task.file.display()
            );
            1
        }
        Ok(true) => u8::from(check_parts(task).is_err()),
        Ok(false) => u8::from(check_single(task).is_err()),
    }
}

/// A manifest says `file` first; files of commands begin with a sign.
fn is_manifest(path: &Path) -> io::Result<bool> {
    let mut reader = BufReader::new(File::open(path)?);
    loop {
        let mut line = Vec::new();
        if reader.by_ref().take(2048).read_until(b'\n', &mut line)? == 0 {
            // An empty manifest is told as such.
            return Ok(path.extension().is_some_and(|e| e == "manifest"));
        }
        if !line.starts_with(b"#") {
            return Ok(
                line.starts_with(b"file") || path.extension().is_some_and(|e| e == "manifest")
            );
        }
    }
}

/// What one file holds.
struct Found {
    len: u64,
    /// Bytes of a snapshot at the beginning.
    preamble: u64,
    faults: Vec<Fault>,
    /// Good units, and those of them behind the first fault.
    units: u64,
    behind: u64,
    /// Bytes of good units and their annotations, in order.
    good: Vec<(u64, u64)>,
    chain: Option<Chain>,
    lines: u64,
    framed: bool,
}

impl Found {
    fn is_good(&self) -> bool {
        self.faults.is_empty()
    }

    /// Only the end is missing: cutting it off is all that can be done.
    fn only_tail(&self) -> bool {
        self.behind == 0
    }

    fn ok_up_to(&self) -> u64 {
        self.faults.first().map_or(self.len, |fault| fault.from)
    }
}

/// Shows how far the reading is: a bar on a terminal, nothing otherwise.
struct Bar {
    total: u64,
    shown: u64,
    live: bool,
}

impl Bar {
    fn new(total: u64) -> Bar {
        Bar {
            total: total.max(1),
            shown: 0,
            live: io::stderr().is_terminal() && total > 64 << 20,
        }
    }

    fn at(&mut self, done: u64) {
        let percent = done * 100 / self.total;
        if self.live && percent > self.shown {
            self.shown = percent;
            let filled = "=".repeat(percent as usize / 2);
            eprint!("\r[{filled:<50}] {percent} %");
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if self.shown > 0 {
            eprint!("\r{:60}\r", "");
        }
    }
}

/// Reads a whole file; goes on behind faults.
fn examine(path: &Path, chain: Option<Chain>) -> Done<Found> {
    let opened = File::open(path).and_then(|file| Ok((file.metadata()?.len(), file)));
    let (len, mut file) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            return stop(format_args!(
                "Cannot open file {}: {error}, aborting...",
                path.display()
            ));
        }
    };
    let preamble = match preamble_of(path, &mut file, len) {
        Ok(end) => end,
        Err(text) => {
            println!("{text}");
            return stop("RDB preamble of AOF file is not sane, aborting.");
        }
    };
    if file.seek(SeekFrom::Start(preamble)).is_err() {
        return stop(format_args!("Cannot read {}, aborting...", path.display()));
    }
    let mut found = Found {
        len,
        preamble,
        faults: Vec::new(),
        units: 0,
        behind: 0,
        good: Vec::new(),
        chain: None,
        lines: 1,
        framed: false,
    };
    let mut reader = Reader::new(BufReader::new(file), len, chain).begins_at(preamble);
    let mut bar = Bar::new(len);
    loop {
        match reader.next_item() {
            Ok(None) => break,
            Ok(Some(Item::Unit { from, end, .. })) => {
                found.units += 1;
                found.behind += u64::from(!found.faults.is_empty());
                match found.good.last_mut() {
                    Some(last) if last.1 == from => last.1 = end,
                    _ => found.good.push((from, end)),
                }
                bar.at(end);
            }
            Ok(Some(_)) => {}
            Err(fault) => {
                let missing = matches!(fault.kind, FaultKind::Missing { .. });
                let again = found
                    .faults
                    .last()
                    .is_some_and(|last| !matches!(last.kind, FaultKind::Missing { .. }));
                if missing {
                    reader.accept_gap();
                }
                // What a bad place swallowed is missing behind it: that is one fault.
                if !(missing && again) {
                    found.faults.push(*fault.clone());
                }
                let open = fault.kind == FaultKind::OpenMulti;
                if open || !missing && !matches!(reader.resync(), Ok(Some(_))) {
                    break;
                }
            }
        }
    }
    found.chain = reader.carry();
    found.framed = reader.framed;
    found.lines = found
        .faults
        .first()
        .map_or(reader.lines(), |fault| fault.line);
    Ok(found)
}

/// Where the snapshot at the beginning ends; 0 if there is none.
fn preamble_of(path: &Path, file: &mut File, len: u64) -> Result<u64, String> {
    let mut magic = [0u8; 6];
    let read = file.read_exact(&mut magic).is_ok();
    file.seek(SeekFrom::Start(0)).map_err(|e| e.to_string())?;
    if !read || !(magic.starts_with(b"REDIS") || &magic == b"VALKEY") {
        return Ok(0);
    }
    let options = rdb::load::LoadOptions {
        databases: usize::from(u16::MAX),
        limits: crate::value::Limits::default(),
        access: crate::keyspace::evict::Access::default(),
        now_ms: 0,
        drop_expired: false,
        checksum: true,
    };
    let mut reader = rdb::read::Reader::new(file, Some(len));
    match rdb::load::load(&mut reader, &options, &rdb::load::Progress::default()) {
        Ok(_) => Ok(reader.offset()),
        Err(error) => Err(format!("The snapshot in {} {error}", path.display())),
    }
}

fn analyzed(name: &str, found: &Found) {
    for fault in &found.faults {
        println!("0x{:>16x}: {}", fault.at, fault.what);
        println!("{name} {fault}");
    }
    println!(
        "AOF analyzed: filename={name}, size={}, ok_up_to={}, ok_up_to_line={}, diff={}",
        found.len,
        found.ok_up_to(),
        found.lines,
        found.len - found.ok_up_to()
    );
    if !found.is_good() && !found.only_tail() {
        println!(
            "{} entries are good, {} of them behind the first damaged place; --fix keeps all of them",
            found.units, found.behind
        );
    }
}

fn confirm(task: &Task) -> Done<()> {
    print!("Continue? [y/N]: ");
    let _ = io::stdout().flush();
    let mut answer = String::new();
    if !task.yes {
        let _ = io::stdin().lock().read_line(&mut answer);
    }
    if task.yes || answer.trim_start().starts_with(['y', 'Y']) {
        return Ok(());
    }
    stop("Aborting...")
}

fn cut(path: &Path, len: u64) -> io::Result<()> {
    let file = File::options().write(true).open(path)?;
    file.set_len(len)?;
    file.sync_all()
}

fn failed<T>(name: &str, error: &io::Error) -> Done<T> {
    stop(format_args!("Failed to change AOF {name}: {error}"))
}

/// A file without a manifest.
fn check_single(task: &Task) -> Done<()> {
    let name = task.file.display().to_string();
    println!("Start checking Old-Style AOF");
    if let Some(time) = task.truncate_to {
        return truncate_to(&task.file, &name, time, true);
    }
    if starts_with_rdb(&task.file) {
        println!(
            "The AOF appears to start with an RDB preamble.\nChecking the RDB preamble to start:"
        );
    }
    let found = examine(&task.file, None)?;
    if found.preamble > 0 {
        println!("RDB preamble is OK, proceeding with AOF tail...");
    }
    analyzed(&name, &found);
    if found.is_good() {
        println!("AOF {name} is valid");
        return Ok(());
    }
    if !task.fix {
        return stop(format_args!(
            "AOF {name} is not valid. Use the --fix option to try fixing it."
        ));
    }
    if found.only_tail() {
        return cut_tail(task, &task.file, &name, &found);
    }
    announce_repair(&name, &found);
    confirm(task)?;
    let mut chain = Chain::new(0);
    match rebuild(&task.file, &found, &mut chain) {
        Ok(_) => {
            println!(
                "Successfully repaired AOF {name}; the damaged file is kept as {name}.damaged"
            );
            Ok(())
        }
        Err(error) => failed(&name, &error),
    }
}

fn starts_with_rdb(path: &Path) -> bool {
    let mut magic = [0u8; 6];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut magic));
    read.is_ok() && (magic.starts_with(b"REDIS") || &magic == b"VALKEY")
}

fn cut_tail(task: &Task, path: &Path, name: &str, found: &Found) -> Done<()> {
    let ok = found.ok_up_to();
    println!(
        "This will shrink the AOF {name} from {} bytes, with {} bytes, to {ok} bytes",
        found.len,
        found.len - ok
    );
    confirm(task)?;
    match cut(path, ok) {
        Ok(()) => {
            println!("Successfully truncated AOF {name}");
            Ok(())
        }
        Err(error) => failed(name, &error),
    }
}

fn announce_repair(name: &str, found: &Found) {
    let good: u64 = found.good.iter().map(|(from, end)| end - from).sum();
    println!(
        "This will remove {} damaged places from the AOF {name} and keep {} entries ({good} bytes), {} of them behind the first damaged place",
        found.faults.len(),
        found.units,
        found.behind
    );
}

/// A manifest and its files.
fn check_parts(task: &Task) -> Done<()> {
    println!("Start checking Multi Part AOF");
    let text = match fs::read(&task.file) {
        Ok(text) => text,
        Err(error) => {
            return stop(format_args!(
                "Cannot open file {}: {error}, aborting...",
                task.file.display()
            ));
        }
    };
    let manifest = match Manifest::parse(&text) {
        Ok(manifest) => manifest,
        Err(broken) => return stop(broken),
    };
    let place = place_of(&task.file);
    let known = match Dir::read(place.clone()) {
        Ok(dir) => dir,
        Err(text) => return stop(text),
    };
    let parts: Vec<Part> = manifest.live().cloned().collect();
    if let Some(time) = task.truncate_to {
        return truncate_parts(&place, &parts, time);
    }
    let sum = |name: &str| known.as_ref().and_then(|dir| dir.sum(name));
    let (mut chain, mut checked) = (None, Vec::new());
    let mut told_incr = false;
    for (at, part) in parts.iter().enumerate() {
        let path = place.part(part);
        if part.kind == Kind::Base {
            let format = if starts_with_rdb(&path) {
                "RDB"
            } else {
                "RESP"
            };
            println!("Start to check BASE AOF ({format} format).");
            if format == "RDB" {
                println!(
                    "The AOF appears to start with an RDB preamble.\nChecking the RDB preamble to start:"
                );
            }
        } else if !told_incr {
            println!("Start to check INCR files.");
            told_incr = true;
        }
        let found = examine(&path, chain)?;
        if found.preamble > 0 {
            println!("RDB preamble is OK, proceeding with AOF tail...");
        }
        analyzed(&part.name, &found);
        let sealed =
            !found.framed || sum(&part.name).is_none_or(|sum| is_sealed(&path, &found, sum));
        if found.is_good() && sealed {
            let kind = if part.kind == Kind::Base {
                "BASE"
            } else {
                "INCR"
            };
            println!("{kind} AOF {} is valid", part.name);
        } else if !task.fix {
            return stop(format_args!(
                "AOF {} is not valid. Use the --fix option to try fixing it.",
                part.name
            ));
        } else if found.only_tail() && at + 1 < parts.len() {
            return stop(format_args!(
                "Failed to truncate AOF {} because it is not the last file",
                part.name
            ));
        }
        // A base is a history of its own.
        chain = if part.kind == Kind::Base {
            None
        } else {
            found.chain
        };
        checked.push(found);
    }
    if checked.iter().any(|found| !found.is_good()) {
        repair_parts(task, &place, &parts, &checked)?;
    }
    println!("All AOF files and manifest are valid");
    Ok(())
}

/// Compares a complete part with what was noted of it. A part that another server went on with may be longer.
fn is_sealed(path: &Path, found: &Found, sum: Sum) -> bool {
    let same = found.len != sum.len || fs::read(path).is_ok_and(|bytes| crc(&bytes) == sum.crc);
    if found.len < sum.len || !same {
        println!(
            "{} has {} bytes; when it was complete it had {}, with checksum {:016x}",
            path.display(),
            found.len,
            sum.len,
            sum.crc
        );
    }
    found.len >= sum.len && same
}

pub fn place_of(manifest: &Path) -> Place {
    let manifest = std::path::absolute(manifest).unwrap_or_else(|_| manifest.to_path_buf());
    let dir = manifest.parent().unwrap_or(Path::new(".")).to_path_buf();
    let name = manifest
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    Place {
        home: dir.parent().unwrap_or(Path::new("/")).to_path_buf(),
        dir,
        stem: name.strip_suffix(".manifest").unwrap_or(&name).to_owned(),
    }
}

fn truncate_parts(place: &Place, parts: &[Part], time: i64) -> Done<()> {
    for (at, part) in parts.iter().enumerate() {
        let path = place.part(part);
        if part.kind == Kind::Base {
            println!(
                "Start to check BASE AOF ({} format).",
                if starts_with_rdb(&path) {
                    "RDB"
                } else {
                    "RESP"
                }
            );
        }
        truncate_to(&path, &part.name, time, at + 1 == parts.len())?;
    }
    forget(place);
    println!("All AOF files and manifest are valid");
    Ok(())
}

/// What was noted of the files as they were is not true any more.
fn forget(place: &Place) {
    let _ = fs::remove_file(place.mark());
    let _ = fs::remove_file(place.seal());
}

fn repair_parts(task: &Task, place: &Place, parts: &[Part], checked: &[Found]) -> Done<()> {
    let first = checked
        .iter()
        .position(|found| !found.is_good())
        .unwrap_or(0);
    let only_last_tail = first + 1 == parts.len() && checked[first].only_tail();
    if only_last_tail {
        cut_tail(
            task,
            &place.part(&parts[first]),
            &parts[first].name,
            &checked[first],
        )?;
        forget(place);
        return Ok(());
    }
    for (part, found) in parts
        .iter()
        .zip(checked)
        .filter(|(_, found)| !found.is_good())
    {
        announce_repair(&part.name, found);
    }
    confirm(task)?;
    // What stands behind a repaired file goes on from its new end.
    let mut chain = first
        .checked_sub(1)
        .filter(|at| parts[*at].kind == Kind::Incr)
        .and_then(|at| checked[at].chain)
        .unwrap_or_else(|| Chain::new(0));
    for (part, found) in parts.iter().zip(checked).skip(first) {
        match rebuild(&place.part(part), found, &mut chain) {
            Ok(_) => println!(
                "Successfully repaired AOF {}; the former file is kept as {}.damaged",
                part.name, part.name
            ),
            Err(error) => return failed(&part.name, &error),
        }
    }
    forget(place);
    Ok(())
}
