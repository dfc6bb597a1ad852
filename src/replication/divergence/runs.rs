//! Which units of the append-only file belong to which history: a note beside the manifest.
//!
//! A master that starts from its file begins a new history: where the former one stood, if the file tells that, else at
//! offset 0. Units of the file are numbered through, so a run is the number at which it began and the history that it had.

use std::io;
use std::path::Path;

use super::{Line, fork};
use crate::base::atomic_replace::atomic_replace;
use crate::replication::history::{History, NO_ID};

/// Former runs that are kept.
const MOST: usize = 8;

/// Units behind `after`, up to `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub after: u64,
    pub last: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Run {
    after: u64,
    history: History,
}

/// The runs of this file.
#[derive(Debug, Default)]
pub struct Runs {
    former: Vec<Run>,
    /// The last unit before the present run.
    after: u64,
    noted: Option<History>,
}

impl Runs {
    /// The server goes on in a file whose last unit is `last`; `path` is the note beside it.
    pub fn go_on(&mut self, path: &Path, last: u64) {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let former = text.lines().map(parse).collect::<Option<Vec<Run>>>();
        self.former = former.unwrap_or_default();
        // Where the file does not reach as far as the note, its end was cut off.
        self.former.retain(|run| run.after <= last);
        self.after = last;
        self.noted = None;
    }

    /// The file is another one.
    pub fn forget(&mut self) {
        *self = Runs::default();
    }

    /// The units of the present run.
    pub fn present(&self) -> Span {
        Span {
            after: self.after,
            last: u64::MAX,
        }
    }

    /// Where the former runs and another history part: the latest such place, in the run that came to it first.
    pub fn fork(&self, theirs: &Line) -> Option<(u64, Span)> {
        let (mut last, mut found) = (self.after, None);
        for Run { after, history } in self.former.iter().rev() {
            if let Some(at) = fork(&history.line(u64::MAX), theirs)
                && found.is_none_or(|(best, _)| at >= best)
            {
                found = Some((
                    at,
                    Span {
                        after: *after,
                        last,
                    },
                ));
            }
            last = *after;
        }
        found
    }

    /// The histories that came before this one, each with the offset at which it ended, the latest first.
    pub fn before(&self, id: &str) -> Line {
        let (mut id, mut line) = (id, Line::new());
        for Run { history, .. } in self
            .former
            .iter()
            .rev()
            .filter(|run| run.history.id2 != NO_ID)
        {
            if history.id == id
                && let Ok(end) = u64::try_from(history.second_offset - 1)
            {
                line.push((history.id2.clone(), end));
                id = &history.id2;
            }
        }
        line
    }

    pub fn is_noted(&self, history: &History) -> bool {
        self.noted.as_ref() == Some(history)
    }

    /// Writes the note.
    ///
    /// # Errors
    /// If it cannot be written. It is not tried again before the history changes.
    pub fn note(&mut self, path: &Path, history: &History) -> io::Result<()> {
        self.noted = Some(history.clone());
        let skip = self.former.len().saturating_sub(MOST);
        let mut text: String = self.former.iter().skip(skip).map(line).collect();
        text += &line(&Run {
            after: self.after,
            history: history.clone(),
        });
        atomic_replace(path, text.as_bytes())
    }
}

fn line(run: &Run) -> String {
    let history = &run.history;
    format!(
        "run {} {} {} {}\n",
        run.after, history.id, history.id2, history.second_offset
    )
}

fn parse(line: &str) -> Option<Run> {
    let words: Vec<&str> = line.split(' ').collect();
    let ["run", after, id, id2, second] = words[..] else {
        return None;
    };
    let mut history = History::of(id.to_string());
    let second = second.parse().ok()?;
    if id2 != NO_ID {
        (history.id2, history.second_offset) = (id2.to_string(), second);
    }
    (id.len() == 40 && id2.len() == 40).then_some(Run {
        after: after.parse().ok()?,
        history,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_found_again_after_restarts() {
        let dir = std::env::temp_dir().join(format!("ferrite-runs-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("runs");
        let id = |c: &str| c.repeat(40);
        let mut first = Runs::default();
        let mut history = History::of(id("a"));
        first.note(&path, &history).unwrap();
        history.branch(500, id("b"));
        assert!(!first.is_noted(&history));
        first.note(&path, &history).unwrap();
        assert!(first.is_noted(&history));

        let mut second = Runs::default();
        second.go_on(&path, 70);
        assert_eq!(
            second.present(),
            Span {
                after: 70,
                last: u64::MAX
            }
        );
        second.note(&path, &History::of(id("c"))).unwrap();
        let mut third = Runs::default();
        third.go_on(&path, 90);
        let theirs = |parts: &[(&str, u64)]| -> Line {
            parts.iter().map(|(c, end)| (id(c), *end)).collect()
        };
        let found = |runs: &Runs, parts: &[(&str, u64)]| runs.fork(&theirs(parts));
        let span = |after, last| Span { after, last };
        assert_eq!(
            found(&third, &[("x", 900), ("b", 800)]),
            Some((800, span(0, 70)))
        );
        assert_eq!(
            found(&third, &[("x", 900), ("a", 400)]),
            Some((400, span(0, 70)))
        );
        assert_eq!(
            found(&third, &[("x", 900), ("c", 30)]),
            Some((30, span(70, 90)))
        );
        assert_eq!(found(&third, &[("x", 900)]), None);

        // A file that was cut, a note that is damaged, no note: nothing is known.
        third.go_on(&path, 60);
        assert_eq!(found(&third, &[("x", 900), ("c", 30)]), None);
        std::fs::write(&path, "run 5 short short 7\n").unwrap();
        third.go_on(&path, 60);
        assert_eq!(found(&third, &[("x", 900), ("b", 30)]), None);
        std::fs::remove_dir_all(&dir).unwrap();
        third.go_on(&path, 60);
        assert_eq!(third.former, []);
    }
}
