//! `ferrite restore --at TIME | --seq N | --before COMMAND-PATTERN --out DIR MANIFEST`: a data directory as it was at a
//! moment, from the files and from the history that `aof-history-retention` has kept. The source is only read.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::PathBuf;

use super::check::place_of;
use super::dir::{Dir, Place};
use super::frame::Chain;
use super::manifest::{Kind, Manifest, Part};
use super::read::{Item, Reader};
use super::resp;
use crate::base::atomic_replace::atomic_replace;
use crate::base::glob;

/// The moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Unix seconds: with everything that was written until then.
    At(i64),
    /// With this unit as the last one.
    Seq(u64),
    /// Before the last command that matches.
    Before(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    pub moment: Moment,
    pub out: PathBuf,
    pub manifest: PathBuf,
}

/// Where to cut.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cut {
    /// Index of the part, and bytes of it that are taken.
    part: usize,
    len: u64,
    seq: u64,
    time: Option<i64>,
}

/// A base and the increments behind it, oldest first.
struct Line {
    parts: Vec<Part>,
}

/// Does it; returns what to say and the code to end with.
pub fn run(task: &Task) -> (String, u8) {
    match restore(task) {
        Ok(text) => (text, 0),
        Err(text) => (text, 1),
    }
}

fn restore(task: &Task) -> Result<String, String> {
    let place = place_of(&task.manifest);
    let dir = Dir::read(place.clone())?
        .ok_or(format!("There is no manifest {}", task.manifest.display()))?;
    let lines = lines_of(&dir);
    let mut reason = String::from("the manifest names no files");
    // The latest base that is not too late makes the shortest way.
    for line in lines.iter().rev() {
        match find(&place, line, &task.moment)? {
            Ok(cut) => return write(task, &place, line, &cut),
            Err(why) => reason = why,
        }
    }
    Err(format!(
        "The moment cannot be reached: {reason}. Older files are kept only while aof-history-retention says so."
    ))
}

/// Every base with what follows it.
fn lines_of(dir: &Dir) -> Vec<Line> {
    let manifest = &dir.manifest;
    let mut bases: Vec<&Part> = manifest
        .history
        .iter()
        .chain(&manifest.base)
        .filter(|p| p.kind == Kind::Base || p.name.contains(".base."))
        .collect();
    bases.sort_by_key(|part| part.seq);
    let mut incrs: Vec<&Part> = manifest
        .history
        .iter()
        .chain(&manifest.incrs)
        .filter(|p| p.name.contains(".incr."))
        .collect();
    incrs.sort_by_key(|part| part.seq);
    let line = |base: &Part| {
        let live = manifest.base.as_ref().is_some_and(|b| b.name == base.name);
        let first = dir
            .first_behind(&base.name)
            .or_else(|| live.then(|| manifest.incrs.first().map_or(u64::MAX, |p| p.seq)))?;
        let behind = incrs
            .iter()
            .filter(|p| p.seq >= first)
            .map(|p| (*p).clone());
        Some(Line {
            parts: std::iter::once(base.clone()).chain(behind).collect(),
        })
    };
    let lines: Vec<Line> = bases.iter().filter_map(|base| line(base)).collect();
    if lines.is_empty() && !incrs.is_empty() {
        return vec![Line {
            parts: incrs.into_iter().cloned().collect(),
        }];
    }
    lines
}

type Found = Result<Cut, String>;

/// Looks for the moment behind one base. The inner error: it is not there.
fn find(place: &Place, line: &Line, moment: &Moment) -> Result<Found, String> {
    let mut chain: Option<Chain> = None;
    let (mut last, mut hit): (Option<Cut>, Option<Cut>) = (None, None);
    let (mut time, mut first_time, mut first_seq) = (None, None, None);
    for (index, part) in line.parts.iter().enumerate() {
        let path = place.part(part);
        let open = File::open(&path).and_then(|f| Ok((f.metadata()?.len(), f)));
        let (len, mut file) = open.map_err(|e| format!("Can't read {}: {e}", path.display()))?;
        let mut magic = [0u8; 6];
        let is_rdb = file.read_exact(&mut magic).is_ok()
            && (magic.starts_with(b"REDIS") || &magic == b"VALKEY");
        let is_base = part.name.contains(".base.") || part.kind == Kind::Base;
        if is_base || is_rdb {
            // The base is taken as a whole.
            last = Some(Cut {
                part: index,
                len,
                seq: 0,
                time: None,
            });
            continue;
        }
        let file = File::open(&path).map_err(|e| format!("Can't read {}: {e}", path.display()))?;
        let mut reader = Reader::new(BufReader::with_capacity(1 << 20, file), len, chain);
        loop {
            let before = last.clone();
            match reader.next_item() {
                Ok(None) => break,
                Ok(Some(Item::Time(seconds))) => {
                    time = Some(seconds);
                    first_time.get_or_insert(seconds);
                    if let Moment::At(at) = moment
                        && seconds > *at
                    {
                        if first_time == Some(seconds)
                            && before.as_ref().is_none_or(|cut| cut.part != index)
                            && seconds_of_base(place, line) > Some(*at)
                        {
                            return Ok(Err(format!("the base {} is later", line.parts[0].name)));
                        }
                        return Ok(before.ok_or_else(|| "nothing was written before".into()));
                    }
                }
                Ok(Some(Item::Begin(begin))) => {
                    first_seq.get_or_insert(begin.seq);
                    if let (Moment::Seq(seq), Some(first)) = (moment, first_seq)
                        && *seq < first
                    {
                        return Ok(Err(format!(
                            "the base {} stands behind unit {first}",
                            line.parts[0].name
                        )));
                    }
                }
                Ok(Some(Item::End(_) | Item::History(_))) => {}
                Ok(Some(Item::Unit { .. })) => {
                    let seq = reader.chain().map_or(0, |c| c.seq);
                    match moment {
                        Moment::Before(pattern) if matches(reader.bytes(), pattern) => hit = before,
                        Moment::Seq(wanted) if seq > *wanted => {
                            return Ok(before.ok_or_else(|| "nothing was written before".into()));
                        }
                        _ => {}
                    }
                    last = Some(Cut {
                        part: index,
                        len: reader.good(),
                        seq,
                        time,
                    });
                }
                Err(fault) => {
                    return Err(format!(
                        "{} {fault}. Repair it with check-aof --fix first.",
                        part.name
                    ));
                }
            }
        }
        chain = reader.carry();
        if last.as_ref().is_none_or(|cut| cut.part != index) {
            // An increment without a unit.
            last = last.map(|cut| Cut {
                part: index,
                len: 0,
                ..cut
            });
        }
    }
    Ok(match moment {
        Moment::Before(pattern) => hit.ok_or_else(|| format!("no command matches '{pattern}'")),
        Moment::Seq(wanted) if last.as_ref().is_some_and(|cut| cut.seq < *wanted) => Err(format!(
            "the last unit is {}",
            last.map_or(0, |cut| cut.seq)
        )),
        Moment::At(_) if first_time.is_none() => {
            Err("no times were noted (aof-timestamp-enabled was off)".into())
        }
        _ => last.ok_or_else(|| "there is nothing".into()),
    })
}

/// When the base was complete, in unix seconds.
fn seconds_of_base(place: &Place, line: &Line) -> Option<i64> {
    let path = place.part(line.parts.first()?);
    let at = fs::metadata(path).and_then(|meta| meta.modified()).ok()?;
    let since = at.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok()
}

/// Whether a command of the unit matches: the pattern is compared with all words, separated by blanks, in any case.
fn matches(unit: &[u8], pattern: &str) -> bool {
    resp::commands(unit)
        .unwrap_or_default()
        .iter()
        .any(|words| {
            let line = words.join(&b' ');
            glob::matches(pattern.as_bytes(), &line, true)
                || glob::matches(format!("{pattern} *").as_bytes(), &line, true)
        })
}

fn write(task: &Task, place: &Place, line: &Line, cut: &Cut) -> Result<String, String> {
    let cannot = |e: io::Error| format!("Can't write to {}: {e}", task.out.display());
    if task.out.exists() && fs::read_dir(&task.out).map_err(cannot)?.next().is_some() {
        return Err(format!("{} is not empty", task.out.display()));
    }
    let dir_name = place.dir.file_name().unwrap_or_default();
    let target = Place {
        home: task.out.clone(),
        dir: task.out.join(dir_name),
        stem: place.stem.clone(),
    };
    fs::create_dir_all(&target.dir).map_err(cannot)?;
    let mut manifest = Manifest::default();
    for (index, part) in line.parts.iter().enumerate().take(cut.part + 1) {
        let to = target.part(part);
        fs::copy(place.part(part), &to).map_err(cannot)?;
        let file = File::options().write(true).open(&to).map_err(cannot)?;
        if index == cut.part {
            file.set_len(cut.len).map_err(cannot)?;
        }
        file.sync_all().map_err(cannot)?;
        if part.name.contains(".incr.") {
            manifest.incrs.push(Part {
                kind: Kind::Incr,
                ..part.clone()
            });
        } else {
            manifest.base = Some(Part {
                kind: Kind::Base,
                ..part.clone()
            });
        }
    }
    atomic_replace(&target.manifest(), manifest.text().as_bytes()).map_err(cannot)?;
    let time = cut.time.map_or(String::new(), |time| {
        format!(", the last time noted is {time}")
    });
    Ok(format!(
        "{} holds the data up to unit {}{time}. Start with: ferrite --dir {} --appendonly yes",
        task.out.display(),
        cut.seq,
        task.out.display()
    ))
}
