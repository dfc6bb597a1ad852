//! Divergence: what this server has and the master that it is about to copy has not.
//!
//! An old master that returns may have taken writes that the new one never saw. They end with the
//! copy, so they are saved before it as a file of plain commands, `divergence-*.aof`: a human can read
//! it, redis-cli --pipe can replay it, and a server can load it. They come from the backlog, or, where
//! that begins too late (after a restart it is empty), from the append-only file. What cannot be saved
//! is told in the log and counted.
//!
//! Where both histories part is known from their ids ([`super::history`]). A restart from the
//! append-only file begins a new history; [`runs`] notes which part of the file belongs to which.

mod file;
pub mod runs;

use super::handshake::MasterFacts;
use super::history::end_of;
use crate::dispatch::run::Runner;
use crate::dispatch::server::Server;
use file::Source;
use runs::Runs;

pub use file::{Outcome, Plan};

/// What became of the last divergence, for INFO.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// There was none.
    #[default]
    None,
    /// Everything is in the file.
    Saved,
    /// A part of it is in the file.
    Incomplete,
    /// The master's history shows no common past, or nothing is there any more that could be saved.
    NotSaved,
    /// The file could not be written.
    Failed,
}

impl Status {
    pub fn name(self) -> &'static str {
        match self {
            Status::None => "none",
            Status::Saved => "saved",
            Status::Incomplete => "incomplete",
            Status::NotSaved => "not_saved",
            Status::Failed => "failed",
        }
    }
}

/// What INFO tells, and what has to be remembered for it.
#[derive(Default)]
pub struct Divergence {
    pub files: u64,
    pub commands: u64,
    pub bytes: u64,
    /// Divergences of which nothing or not everything is in a file.
    pub not_saved: u64,
    pub last_file: String,
    pub last: Status,
    /// History, fork and end of what was saved last: a transfer that fails is tried again.
    saved: Option<(String, Option<u64>, u64)>,
    /// This server took writes of its own since its data last came from a master.
    was_master: bool,
    pub runs: Runs,
}

/// A history as a line of ids, each with the offset up to which it holds.
pub type Line = Vec<(String, u64)>;

/// The last offset that two histories share.
pub fn fork(ours: &Line, theirs: &Line) -> Option<u64> {
    let both = |(id, end): &(String, u64)| {
        let same = theirs.iter().filter(|(other, _)| other == id);
        same.map(|(_, other_end)| *end.min(other_end)).max()
    };
    ours.iter().filter_map(both).max()
}

impl MasterFacts {
    /// The master's history.
    pub fn line(&self) -> Line {
        let first = self.id.clone().zip(self.offset);
        let second = self.second_offset.and_then(end_of);
        let second = self.id2.clone().zip(second);
        first
            .into_iter()
            .chain(second)
            .chain(self.earlier.clone())
            .collect()
    }
}

impl Divergence {
    /// The data came from a master.
    pub fn replaced(&mut self) {
        self.was_master = false;
        self.runs.forget();
    }

    /// The link's thread has done what was planned.
    pub fn note(&mut self, plan: (String, Option<u64>, u64), outcome: Outcome) {
        match outcome {
            Outcome::Nothing => {}
            Outcome::Saved(saved) => {
                self.files += 1;
                self.commands += saved.commands;
                self.bytes += saved.bytes;
                self.last = Status::Saved;
                tracing::warn!(
                    "The new master does not have {} commands that this server has: they are saved in {} ({} bytes)",
                    saved.commands,
                    saved.name,
                    saved.bytes
                );
                if let Some(why) = &saved.missing {
                    self.not_saved += 1;
                    self.last = Status::Incomplete;
                    tracing::warn!("{} is not complete: {why}", saved.name);
                }
                self.last_file = saved.name;
            }
            Outcome::NotSaved(why) => {
                self.not_saved += 1;
                self.last = Status::NotSaved;
                tracing::warn!(
                    "What this server has and the new master has not cannot be saved: {why}"
                );
            }
            Outcome::Failed(error) => {
                self.not_saved += 1;
                self.last = Status::Failed;
                tracing::error!(
                    "What this server has and the new master has not could not be saved: {error}"
                );
                // The next try may fare better.
                return;
            }
        }
        self.saved = Some(plan);
    }
}

impl Runner<'_> {
    /// This server was a master until now.
    pub fn leave_mastership(&mut self) {
        let divergence = &mut self.core.repl.divergence;
        divergence.was_master |= self.core.rdb.loading.is_none() && !self.ks.is_empty();
    }

    /// All data of a master is about to come: what to save of ours before that.
    pub fn plan_divergence(&self, facts: &MasterFacts) -> Option<Plan> {
        let repl = &self.core.repl;
        let end = self.ks.log.offset();
        let theirs = facts.line();
        let known = !self.ks.log.has_gap();
        let ours = repl.history.line(end);
        let fork = known.then(|| fork(&ours, &theirs)).flatten();
        let (fork, source) = match fork {
            Some(fork) if fork >= end => return None,
            Some(fork) => (Some(fork), self.source(fork, &theirs)),
            None => match repl.divergence.runs.fork(&theirs) {
                Some((fork, span)) => (Some(fork), self.file_source(fork, span)),
                None if repl.divergence.was_master && !self.ks.is_empty() => (
                    None,
                    Source::None("the histories of both have nothing in common"),
                ),
                None => return None,
            },
        };
        let key = (repl.history.id.clone(), fork, end);
        if repl.divergence.saved.as_ref() == Some(&key) {
            return None;
        }
        Some(Plan {
            key,
            source,
            unix_ms: self.core.unix_us() / 1000,
        })
    }

    /// Where the stream from `fork` on is.
    fn source(&self, fork: u64, theirs: &Line) -> Source {
        let late = match &self.core.repl.backlog {
            Some(backlog) => match backlog.mark_before(fork) {
                Some((at, db)) => {
                    return Source::Backlog {
                        chunks: backlog.from(at),
                        at,
                        db: Some(db),
                        fork,
                    };
                }
                None => backlog.first_mark().map(|(at, db)| Source::Backlog {
                    chunks: backlog.from(at),
                    at,
                    db: Some(db),
                    fork,
                }),
            },
            None => None,
        };
        if self.core.aof.dir.is_some() {
            // A server that went on from its file has the end of an earlier run there.
            let runs = &self.core.repl.divergence.runs;
            let former = runs.fork(theirs).filter(|(at, _)| *at == fork);
            let span = former.map_or(runs.present(), |(_, span)| span);
            return self.file_source(fork, span);
        }
        late.unwrap_or(Source::None("the backlog does not reach back so far"))
    }

    fn file_source(&self, fork: u64, span: runs::Span) -> Source {
        let Some(dir) = &self.core.aof.dir else {
            return Source::None("the append-only file is off");
        };
        if let Some(writer) = &self.core.aof.writer {
            // Nothing has been written for a while: at most the last chunk is on its way.
            writer.drain();
        }
        Source::File {
            place: crate::aof::state::lock(dir).place.clone(),
            fork,
            span,
        }
    }
}

impl Server {
    /// Keeps the note of which history the append-only file is of up to date.
    pub fn note_history(&mut self) {
        let core = &mut self.core;
        let Some(dir) = core.aof.dir.as_ref().filter(|_| core.aof.writer.is_some()) else {
            return;
        };
        if core.repl.divergence.runs.is_noted(&core.repl.history) {
            return;
        }
        let path = crate::aof::state::lock(dir).place.runs();
        let history = core.repl.history.clone();
        if let Err(error) = core.repl.divergence.runs.note(&path, &history) {
            tracing::warn!("Can't write {}: {error}", path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(parts: &[(&str, u64)]) -> Line {
        parts
            .iter()
            .map(|(id, end)| ((*id).to_string(), *end))
            .collect()
    }

    #[test]
    fn histories_part_where_the_last_common_id_ends() {
        let ours = line(&[("b", 900), ("a", 500)]);
        assert_eq!(
            fork(&ours, &line(&[("b", 950)])),
            Some(900),
            "theirs is ahead"
        );
        assert_eq!(fork(&ours, &line(&[("b", 800)])), Some(800));
        assert_eq!(fork(&ours, &line(&[("c", 990), ("b", 850)])), Some(850));
        assert_eq!(fork(&ours, &line(&[("c", 990), ("a", 450)])), Some(450));
        assert_eq!(
            fork(&ours, &line(&[("c", 990), ("b", 850), ("a", 500)])),
            Some(850)
        );
        assert_eq!(fork(&ours, &line(&[("c", 990)])), None);
        assert_eq!(fork(&ours, &line(&[])), None);
    }

    /// What a master says of its history may be nonsense.
    #[test]
    fn facts_that_make_no_sense_are_no_history() {
        for second_offset in [i64::MIN, -1, 0] {
            let facts = MasterFacts {
                id2: Some("a".repeat(40)),
                second_offset: Some(second_offset),
                ..MasterFacts::default()
            };
            assert_eq!(facts.line(), Line::new());
        }
    }
}
