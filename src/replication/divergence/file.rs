//! Writing the file: whole units of changes, each in its database, without what is only talk between
//! servers. It runs on the link's thread.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use super::runs::Span;
use crate::aof::dir::{Dir, Place};
use crate::aof::manifest::Part;
use crate::aof::read::{Item, Reader};
use crate::aof::resp::{self, Step, Words};
use crate::base::atomic_replace::{here, rename_into_place};
use crate::base::num;
use crate::resp::reply::Chunk;

/// Bytes read from a file at a time.
const STEP: usize = 1 << 20;

/// Where the changes are.
pub enum Source {
    /// The backlog from offset `at` on, where `db` is selected; what is behind `fork` is wanted.
    Backlog {
        chunks: Vec<Chunk>,
        at: u64,
        db: Option<usize>,
        fork: u64,
    },
    /// The append-only file: of the units of `span` those behind `fork`, and all later ones.
    File { place: Place, fork: u64, span: Span },
    /// Nowhere, with the reason.
    None(&'static str),
}

/// What is to be saved.
pub struct Plan {
    /// Our history, the fork if it is known, and where we end.
    pub key: (String, Option<u64>, u64),
    pub source: Source,
    pub unix_ms: i64,
}

/// What was saved.
#[derive(Debug, PartialEq, Eq)]
pub struct Saved {
    pub name: String,
    pub commands: u64,
    pub bytes: u64,
    /// Why it is not everything.
    pub missing: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There were no changes.
    Nothing,
    Saved(Saved),
    NotSaved(String),
    Failed(String),
}

impl Plan {
    /// Writes the file into the present directory.
    pub fn save(self) -> Outcome {
        let (id, fork, _) = &self.key;
        let stem = format!(
            "divergence-{}-{}-{}",
            self.unix_ms,
            &id[..id.len().min(8)],
            fork.unwrap_or(0)
        );
        let temp = here(&format!("temp-{stem}.aof"));
        let mut out = Changes::new(Target::Later(temp.clone()));
        let read = match self.source {
            Source::Backlog {
                chunks,
                at,
                db,
                fork,
            } => from_backlog(&mut out, &chunks, at, db, fork),
            Source::File { place, fork, span } => from_file(&mut out, &place, fork, span),
            Source::None(why) => return Outcome::NotSaved(why.into()),
        };
        let outcome = match read {
            Ok(missing) => out.finish(&stem, &temp, missing),
            Err(error) => Err(error),
        };
        outcome.unwrap_or_else(|error| {
            // It may not have come to be.
            let _ = std::fs::remove_file(&temp);
            Outcome::Failed(error.to_string())
        })
    }
}

/// A file that is made when there is something to write.
enum Target {
    Later(PathBuf),
    Open(BufWriter<File>),
}

/// Takes commands of a stream and writes the changes among them.
struct Changes {
    target: Target,
    /// The database that the stream has selected, and the file.
    db: Option<usize>,
    file_db: Option<usize>,
    /// Changes of the transaction that is being read.
    unit: Option<Vec<u8>>,
    db_unknown: bool,
    commands: u64,
    bytes: u64,
}

impl Changes {
    fn new(target: Target) -> Changes {
        Changes {
            target,
            db: None,
            file_db: None,
            unit: None,
            db_unknown: false,
            commands: 0,
            bytes: 0,
        }
    }

    /// A command; one that is not `wanted` only selects.
    fn command(&mut self, words: &[&[u8]], raw: &[u8], wanted: bool) -> io::Result<()> {
        if resp::is(words, "SELECT") {
            let index = words.get(1).and_then(|word| num::parse_i64(word));
            self.db = index.and_then(|n| usize::try_from(n).ok());
            return Ok(());
        }
        let talk = ["PING", "REPLCONF", "PUBLISH", "SPUBLISH"];
        if !wanted || talk.iter().any(|name| resp::is(words, name)) {
            return Ok(());
        }
        if resp::is(words, "MULTI") {
            self.unit = Some(Vec::new());
            return Ok(());
        }
        if resp::is(words, "EXEC") {
            let unit = self.unit.take().unwrap_or_default();
            if unit.is_empty() {
                return Ok(());
            }
            let mut bytes = Vec::new();
            resp::write(&mut bytes, [&b"MULTI"[..]].into_iter());
            bytes.extend_from_slice(&unit);
            resp::write(&mut bytes, [&b"EXEC"[..]].into_iter());
            return self.put(&bytes);
        }
        let mut bytes = Vec::new();
        if self.db != self.file_db {
            let index = self.db.unwrap_or(0).to_string();
            resp::write(&mut bytes, [&b"SELECT"[..], index.as_bytes()].into_iter());
            self.file_db = self.db;
        }
        self.db_unknown |= self.db.is_none();
        bytes.extend_from_slice(raw);
        self.commands += 1;
        match &mut self.unit {
            Some(unit) => unit.extend_from_slice(&bytes),
            None => self.put(&bytes)?,
        }
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Target::Later(path) = &self.target {
            let file = File::options().write(true).create_new(true).open(path)?;
            self.target = Target::Open(BufWriter::with_capacity(STEP, file));
        }
        if let Target::Open(file) = &mut self.target {
            file.write_all(bytes)?;
        }
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    fn finish(self, stem: &str, temp: &Path, missing: Option<String>) -> io::Result<Outcome> {
        let missing = match missing {
            None if self.db_unknown => {
                Some("the database of its first commands is not known".into())
            }
            other => other,
        };
        let Target::Open(file) = self.target else {
            return Ok(missing.map_or(Outcome::Nothing, Outcome::NotSaved));
        };
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        let mark = if missing.is_some() { "-incomplete" } else { "" };
        let name = format!("{stem}{mark}.aof");
        rename_into_place(temp, &temp.with_file_name(&name))?;
        Ok(Outcome::Saved(Saved {
            name,
            commands: self.commands,
            bytes: self.bytes,
            missing,
        }))
    }
}

/// Commands of the backlog; returns why something is missing, if so.
fn from_backlog(
    out: &mut Changes,
    chunks: &[Chunk],
    mut at: u64,
    db: Option<usize>,
    fork: u64,
) -> io::Result<Option<String>> {
    let late = (at > fork).then(|| format!("the backlog begins {} bytes too late", at - fork));
    out.db = db;
    let mut buf: Vec<u8> = Vec::new();
    for chunk in chunks {
        buf.extend_from_slice(chunk.bytes());
        let mut done = 0;
        loop {
            let rest = &buf[done..];
            // Empty lines keep a link alive.
            let blank = rest
                .iter()
                .take_while(|b| matches!(b, b'\r' | b'\n'))
                .count();
            done += blank;
            at += blank as u64;
            let mut words = Words::new();
            match resp::scan(&buf[done..], |word| words.push(word)) {
                Step::Done(len) => {
                    out.command(&words, &buf[done..done + len], at >= fork)?;
                    done += len;
                    at += len as u64;
                }
                Step::More(_) => break,
                Step::Bad { what, .. } => {
                    return Ok(Some(format!("the backlog cannot be read at {at}: {what}")));
                }
            }
        }
        buf.drain(..done);
    }
    let cut = (!buf.is_empty() || out.unit.is_some()).then(|| "its end is cut off".to_string());
    Ok(late.or(cut))
}

/// Units of the append-only file; returns why something is missing, if so.
fn from_file(
    out: &mut Changes,
    place: &Place,
    fork: u64,
    span: Span,
) -> io::Result<Option<String>> {
    let dir = match Dir::read(place.clone()) {
        Ok(Some(dir)) => dir,
        Ok(None) => return Ok(Some("there is no append-only file".into())),
        Err(why) => return Ok(Some(why)),
    };
    let mut walk = Walk {
        fork,
        span,
        begun: false,
        missing: None,
        chain: None,
    };
    for part in &dir.manifest.incrs {
        if let Some(why) = walk.part(out, place, part)? {
            return Ok(Some(why));
        }
    }
    if !walk.begun {
        return Ok(Some("the append-only file has no changes".into()));
    }
    Ok(walk.missing)
}

struct Walk {
    fork: u64,
    span: Span,
    /// A begin was seen: it tells from where on the file has everything.
    begun: bool,
    missing: Option<String>,
    chain: Option<crate::aof::frame::Chain>,
}

impl Walk {
    /// Reads an increment. The reason if it cannot be read to its end.
    fn part(
        &mut self,
        out: &mut Changes,
        place: &Place,
        part: &Part,
    ) -> io::Result<Option<String>> {
        let path = place.part(part);
        let file = File::open(&path)?;
        let len = file.metadata()?.len();
        let source = BufReader::with_capacity(STEP, file).take(len);
        let mut reader = Reader::new(source, len, self.chain);
        // Every increment is read from a first database of 0.
        out.db = Some(0);
        loop {
            match reader.next_item() {
                Ok(None) => break,
                Ok(Some(Item::Begin(chain))) => self.begin(chain.seq, chain.offset),
                Ok(Some(Item::Unit { framed, .. })) => {
                    let Some(chain) = reader.chain().filter(|_| framed) else {
                        return Ok(Some(format!("{} is not of this server", part.name)));
                    };
                    let within = chain.seq > self.span.after && chain.offset > self.fork;
                    let wanted = within || chain.seq > self.span.last;
                    let Some(commands) = resp::commands(reader.bytes()) else {
                        return Ok(Some(format!("{} cannot be read", part.name)));
                    };
                    for words in commands {
                        let mut raw = Vec::new();
                        resp::write(&mut raw, words.iter().copied());
                        out.command(&words, &raw, wanted)?;
                    }
                }
                Ok(Some(Item::Time(_) | Item::History(_) | Item::End(_))) => {}
                Err(fault) => return Ok(Some(format!("{} {fault}", part.name))),
            }
        }
        self.chain = reader.carry();
        Ok(None)
    }

    fn begin(&mut self, seq: u64, offset: u64) {
        if self.begun {
            return;
        }
        self.begun = true;
        let in_run = seq >= self.span.after && offset > self.fork;
        if in_run || seq > self.span.last {
            self.missing = Some("the append-only file was rewritten since then".into());
        }
    }
}
