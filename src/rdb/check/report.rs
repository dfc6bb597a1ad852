//! What was found in a file, in words.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Damage, Step, checksum_is_right};
use crate::rdb::write::type_name;

/// Keys that are listed as the largest, of all and of each type.
const LARGEST: usize = 10;
/// Bytes of a key that are shown.
const SHOWN: usize = 64;

/// Keys of one type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub keys: u64,
    /// Bytes in the file, with keys and times.
    pub bytes: u64,
    /// The largest: bytes, database, key.
    pub largest: Vec<(usize, u64, Vec<u8>)>,
}

impl Stats {
    fn add(&mut self, bytes: usize, db: u64, key: &[u8]) {
        self.keys += 1;
        self.bytes += bytes as u64;
        let full = self.largest.len() == LARGEST;
        if full && self.largest.last().is_some_and(|last| last.0 >= bytes) {
            return;
        }
        let at = self.largest.partition_point(|other| other.0 >= bytes);
        self.largest.insert(at, (bytes, db, key.to_vec()));
        self.largest.truncate(LARGEST);
    }
}

/// What was found.
#[derive(Debug, Default)]
pub struct Report {
    pub version: u32,
    pub keys: u64,
    pub volatile: u64,
    pub expired: u64,
    pub functions: u64,
    pub aux: Vec<(Vec<u8>, Vec<u8>)>,
    pub databases: BTreeMap<u64, u64>,
    pub types: BTreeMap<&'static str, Stats>,
    pub damages: Vec<Damage>,
    /// The end of the file was not found.
    pub is_cut: bool,
    /// Whether the checksum is right; `None` if there is none.
    pub checksum: Option<bool>,
    /// Bytes behind the checksum.
    pub behind: usize,
    db: u64,
}

pub(super) fn shown(key: &[u8]) -> String {
    let cut = key.len() > SHOWN;
    let text = key[..key.len().min(SHOWN)].escape_ascii().to_string();
    format!("'{text}{}'", if cut { "…" } else { "" })
}

impl Report {
    /// Nothing is wrong.
    pub fn is_good(&self) -> bool {
        self.damages.is_empty() && !self.is_cut && self.checksum != Some(false)
    }

    pub(super) fn note(&mut self, step: &Step, bytes: usize, now_ms: i64) {
        match step {
            Step::Aux(name, value) => self.aux.push((name.clone(), value.clone())),
            Step::Function => self.functions += 1,
            Step::SelectDb(db) => self.db = *db,
            Step::Key { kind, key, head } => {
                self.keys += 1;
                self.volatile += u64::from(head.expire.is_some());
                self.expired += u64::from(head.expire.is_some_and(|at| at < now_ms));
                *self.databases.entry(self.db).or_default() += 1;
                let stats = self.types.entry(type_name(*kind)).or_default();
                stats.add(bytes, self.db, key);
            }
            Step::End => {}
        }
    }

    pub(super) fn judge_checksum(&mut self, bytes: &[u8], end: usize) {
        if self.version >= 5 {
            self.checksum = checksum_is_right(bytes, end);
            self.is_cut = bytes.len() < end + 8;
            self.behind = bytes.len().saturating_sub(end + 8);
        }
    }

    /// The whole report. `name`: the file's.
    pub fn text(&self, name: &str, with_stats: bool) -> String {
        let mut out = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut out, name, with_stats);
        out
    }

    fn write(&self, out: &mut String, name: &str, with_stats: bool) -> std::fmt::Result {
        for (key, value) in &self.aux {
            let (key, value) = (key.escape_ascii(), value.escape_ascii());
            writeln!(out, "AUX FIELD {key} = '{value}'")?;
        }
        writeln!(out, "[info] RDB version {}", self.version)?;
        writeln!(out, "[info] {} keys read", self.keys)?;
        writeln!(out, "[info] {} expires", self.volatile)?;
        writeln!(out, "[info] {} already expired", self.expired)?;
        if self.functions > 0 {
            writeln!(out, "[info] {} function libraries", self.functions)?;
        }
        if with_stats {
            self.write_stats(out)?;
        }
        for damage in &self.damages {
            write!(out, "[offset {}] damaged", damage.range.start)?;
            if let Some(key) = &damage.key {
                write!(out, ", key {} of database {}", shown(key), damage.db)?;
            }
            writeln!(out, ": {}", damage.text)?;
            let lost = damage.range.len();
            writeln!(
                out,
                "[offset {}] goes on after {lost} bytes",
                damage.range.end
            )?;
        }
        if self.behind > 0 {
            writeln!(
                out,
                "[info] {} bytes follow, which are not part of the RDB",
                self.behind
            )?;
        }
        match self.checksum {
            Some(true) => writeln!(out, "Checksum OK")?,
            Some(false) if self.damages.is_empty() => writeln!(
                out,
                "RDB CRC error: every record can be read, but at least one byte of the file is not what was written"
            )?,
            Some(false) => writeln!(out, "RDB CRC error")?,
            None if self.is_cut => writeln!(out, "The file ends too early: its end is missing")?,
            None => writeln!(out, "There is no checksum")?,
        }
        if self.is_good() {
            writeln!(out, "\\o/ RDB looks OK! \\o/")
        } else {
            let count = self.damages.len();
            writeln!(
                out,
                "--- RDB ERROR DETECTED --- {name}: {count} damaged places"
            )?;
            writeln!(
                out,
                "'ferrite check-rdb {name} --salvage NEW' writes what is intact to NEW"
            )
        }
    }

    fn write_stats(&self, out: &mut String) -> std::fmt::Result {
        for (db, keys) in &self.databases {
            writeln!(out, "db{db}: {keys} keys")?;
        }
        for (name, stats) in &self.types {
            let (keys, bytes) = (stats.keys, stats.bytes);
            let mean = bytes.checked_div(keys).unwrap_or(0);
            writeln!(out, "{name}: {keys} keys, {bytes} bytes, {mean} each")?;
            for (bytes, db, key) in &stats.largest {
                writeln!(out, "    {bytes:>12} bytes  db{db}  {}", shown(key))?;
            }
        }
        Ok(())
    }
}
