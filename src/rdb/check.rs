//! `ferrite check-rdb`: what a file holds, what of it is damaged, and what can be saved from it.
//!
//! Each record is read twice: first only its lengths, to know where it ends, then its value. So a damaged value costs that
//! key alone. Where the lengths themselves are damaged, the tool looks for the next place at which several records in a row
//! make sense, and goes on there.

mod report;
mod skip;
#[cfg(test)]
mod tests;
pub mod tool;

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::path::Path;

use super::load::{Item, KeyHead, next_item, read_header};
use super::opcode;
use super::read::{Bytes, Fault, Source};
use super::value::Decoder;
use crate::base::atomic_replace;
use crate::base::crc::{Crc64, crc64};
use crate::base::hash::Seed;
use crate::base::sys::MappedFile;
use crate::value::Limits;
use crate::value::entry::Head;
pub use report::{Report, Stats};
use skip::skip_value;

/// Records in a row that have to make sense for the tool to go on behind a damaged place.
const CONVINCING: usize = 4;
/// Magic and version.
const HEADER: usize = 9;
/// The checksum at the end.
const CHECKSUM: usize = 8;

/// A damaged place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Where it begins, and where the tool could go on.
    pub range: Range<usize>,
    pub key: Option<Vec<u8>>,
    pub db: u64,
    pub text: String,
}

/// One step through a file.
enum Step {
    Aux(Vec<u8>, Vec<u8>),
    Function,
    SelectDb(u64),
    Key {
        kind: u8,
        key: Vec<u8>,
        head: KeyHead,
    },
    End,
}

/// Goes through a file and tells a visitor of each record.
struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    db: u64,
    decoder: Decoder,
}

/// A record that could not be read.
struct Broken {
    fault: Fault,
    key: Option<Vec<u8>>,
    /// Where the record ends, if that is known.
    end: Option<usize>,
}

impl Broken {
    fn frame(fault: Fault) -> Broken {
        Broken {
            fault,
            key: None,
            end: None,
        }
    }
}

impl<'a> Walk<'a> {
    fn new(bytes: &'a [u8], at: usize) -> Walk<'a> {
        Walk {
            bytes,
            at,
            db: 0,
            decoder: Decoder::new(Limits::default()),
        }
    }

    /// Reads the record at the present place and goes behind it.
    fn step(&mut self) -> Result<Step, Broken> {
        let mut source = Bytes::starting(self.bytes, self.at);
        let mut head = KeyHead::default();
        let item = next_item(&mut source, &mut head).map_err(Broken::frame)?;
        let kind = match item {
            Item::Aux(name, value) => {
                self.at = source.at();
                return Ok(Step::Aux(name, value));
            }
            Item::Function(_) => {
                self.at = source.at();
                return Ok(Step::Function);
            }
            Item::SelectDb(db) => {
                self.at = source.at();
                self.db = db;
                return Ok(Step::SelectDb(db));
            }
            Item::End => {
                self.at = source.at();
                return Ok(Step::End);
            }
            Item::Key(kind) => kind,
        };
        let key = source.string_vec().map_err(Broken::frame)?;
        let begin = source.at();
        let broken = |fault, end| Broken {
            fault,
            key: Some(key.clone()),
            end,
        };
        skip_value(&mut source, kind).map_err(|fault| broken(fault, None))?;
        let end = source.at();
        let mut value = Bytes::starting(&self.bytes[..end], begin);
        let read = self.decoder.value(&mut value, kind, &key, Head::default());
        read.map_err(|fault| broken(fault, Some(end)))?;
        self.at = end;
        Ok(Step::Key { kind, key, head })
    }

    /// Looks for the next place behind `from` at which records make sense.
    fn find_next(&mut self, from: usize) -> Option<usize> {
        (from..self.bytes.len().saturating_sub(CHECKSUM)).find(|at| self.makes_sense(*at))
    }

    fn makes_sense(&mut self, at: usize) -> bool {
        // What no record begins with is most of what there is.
        if !matches!(self.bytes[at], 0..=25 | opcode::IDLE..=opcode::EOF) {
            return false;
        }
        let mut trial = Walk::new(self.bytes, at);
        for _ in 0..CONVINCING {
            match trial.step() {
                Ok(Step::End) => return trial.at + CHECKSUM == self.bytes.len(),
                Ok(_) => {}
                Err(_) => return false,
            }
        }
        true
    }
}

/// What to do with what is found.
pub trait Visitor {
    /// An intact record and where it lies.
    fn intact(&mut self, range: Range<usize>) -> io::Result<()>;
    /// How far it is.
    fn progress(&mut self, at: usize, of: usize);
}

/// Goes through a whole file.
///
/// # Errors
/// The visitor's.
pub fn check(bytes: &[u8], now_ms: i64, visitor: &mut dyn Visitor) -> io::Result<Report> {
    let mut report = Report::default();
    match read_header(&mut Bytes::new(bytes)) {
        Ok(version) => report.version = version,
        Err(fault) => {
            report.damages.push(Damage {
                range: 0..bytes.len(),
                key: None,
                db: 0,
                text: fault.cause.to_string(),
            });
            return Ok(report);
        }
    }
    let mut walk = Walk::new(bytes, HEADER);
    let mut seen = HashSet::new();
    loop {
        let begin = walk.at;
        visitor.progress(begin, bytes.len());
        match walk.step() {
            Ok(Step::End) => {
                // An end in the middle is one only if the checksum says so too.
                let real = walk.at + CHECKSUM >= bytes.len()
                    || checksum_is_right(bytes, walk.at) == Some(true);
                let next = if real {
                    None
                } else {
                    walk.find_next(begin + 1)
                };
                match next {
                    Some(next) => {
                        report.damages.push(Damage {
                            range: begin..next,
                            key: None,
                            db: walk.db,
                            text: "an end stands in the middle".into(),
                        });
                        walk.at = next;
                    }
                    None => break,
                }
            }
            Ok(step) => {
                let range = begin..walk.at;
                if let Step::Key { key, .. } = &step {
                    let hash = Seed::process().hash_bytes(key);
                    if !seen.insert((walk.db, hash)) {
                        report.damages.push(Damage {
                            range,
                            key: Some(key.clone()),
                            db: walk.db,
                            text: "the key is there twice".into(),
                        });
                        continue;
                    }
                }
                report.note(&step, range.len(), now_ms);
                visitor.intact(range)?;
            }
            Err(broken) => {
                let next = broken.end.or_else(|| walk.find_next(begin + 1));
                report.damages.push(Damage {
                    range: begin..next.unwrap_or(bytes.len()),
                    key: broken.key,
                    db: walk.db,
                    text: broken.fault.to_string(),
                });
                match next {
                    Some(next) => walk.at = next,
                    None => {
                        report.is_cut = true;
                        return Ok(report);
                    }
                }
            }
        }
    }
    report.judge_checksum(bytes, walk.at);
    Ok(report)
}

/// Copies intact records to a new file.
pub struct Salvage {
    out: BufWriter<File>,
    crc: Crc64,
}

/// Writes all intact records of `bytes` to a new file, which takes its place when it is complete.
///
/// # Errors
/// If it cannot be written.
pub fn salvage(
    bytes: &[u8],
    target: &Path,
    now_ms: i64,
    progress: &mut dyn FnMut(usize, usize),
) -> io::Result<Report> {
    let mut name = target.as_os_str().to_owned();
    name.push(".part");
    let temp = Path::new(&name);
    let result = write_salvage(bytes, temp, now_ms, progress);
    match result {
        Ok(report) => atomic_replace::rename_into_place(temp, target).map(|()| report),
        Err(error) => {
            // What matters is the first error.
            let _ = std::fs::remove_file(temp);
            Err(error)
        }
    }
}

fn write_salvage(
    bytes: &[u8],
    temp: &Path,
    now_ms: i64,
    progress: &mut dyn FnMut(usize, usize),
) -> io::Result<Report> {
    struct Copying<'a> {
        bytes: &'a [u8],
        salvage: &'a mut Salvage,
        progress: &'a mut dyn FnMut(usize, usize),
    }
    impl Visitor for Copying<'_> {
        fn intact(&mut self, range: Range<usize>) -> io::Result<()> {
            self.salvage.put(&self.bytes[range])
        }
        fn progress(&mut self, at: usize, of: usize) {
            (self.progress)(at, of);
        }
    }
    if let Err(fault) = read_header(&mut Bytes::new(bytes)) {
        return Err(io::Error::other(fault.cause.to_string()));
    }
    let mut salvage = Salvage {
        out: BufWriter::new(File::create(temp)?),
        crc: Crc64::default(),
    };
    salvage.put(&bytes[..HEADER.min(bytes.len())])?;
    let mut copying = Copying {
        bytes,
        salvage: &mut salvage,
        progress,
    };
    let report = check(bytes, now_ms, &mut copying)?;
    salvage.put(&[opcode::EOF])?;
    if report.version >= 5 {
        let sum = salvage.crc.value();
        salvage.out.write_all(&sum.to_le_bytes())?;
    }
    let file = salvage.out.into_inner().map_err(io::Error::from)?;
    file.sync_all()?;
    Ok(report)
}

impl Salvage {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.crc.update(bytes);
        self.out.write_all(bytes)
    }
}

/// A file as memory.
///
/// # Errors
/// If it cannot be read.
pub fn open(path: &Path) -> io::Result<MappedFile> {
    MappedFile::open(&File::open(path)?)
}

/// Whether the checksum behind `end` is right; `None` if there is none.
fn checksum_is_right(bytes: &[u8], end: usize) -> Option<bool> {
    let stored = bytes.get(end..end + CHECKSUM)?;
    let stored = u64::from_le_bytes(stored.try_into().ok()?);
    (stored != 0).then(|| stored == crc64(&bytes[..end]))
}
