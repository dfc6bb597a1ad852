//! The line editor: prompt, history, completion, hints; and what comes from the server while a line is typed.

use std::borrow::Cow;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::{Hint, Hinter};
use rustyline::history::MemHistory;
use rustyline::validate::Validator;
use rustyline::{CompletionType, Config, Context, Editor, ExternalPrinter, Helper};

use super::facts::Facts;
use super::help;
use super::hints;
use super::history;
use super::link::Link;
use super::listener::{self, Listener};
use super::session::Session;

/// What came of asking for a line.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    Text(String),
    /// Ctrl-C.
    Interrupted,
    /// Ctrl-D, or the terminal is gone.
    End,
}

pub struct LineEditor {
    editor: Editor<Assistant, MemHistory>,
    history: Option<PathBuf>,
}

/// What helps while typing.
struct Assistant {
    facts: Arc<Facts>,
    hints: bool,
}

impl Helper for Assistant {}
impl Validator for Assistant {}

/// A hint is shown, and never taken over.
struct Shown(String);

impl Hint for Shown {
    fn display(&self) -> &str {
        &self.0
    }

    fn completion(&self) -> Option<&str> {
        None
    }
}

impl Hinter for Assistant {
    type Hint = Shown;

    fn hint(&self, line: &str, pos: usize, _: &Context<'_>) -> Option<Shown> {
        if !self.hints || pos < line.len() {
            return None;
        }
        hints::hint(&self.facts, line).map(Shown)
    }
}

impl Highlighter for Assistant {
    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        Cow::Owned(format!("\x1b[0;90;49m{hint}\x1b[0m"))
    }
}

impl Completer for Assistant {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let typed = line.get(..pos).unwrap_or_default();
        Ok(complete(&self.facts, typed))
    }
}

/// Where the completed text begins, and what it may be: names of commands, in the case in which they were begun.
fn complete(facts: &Facts, typed: &str) -> (usize, Vec<String>) {
    let start = typed.len() - typed.trim_start().len();
    let begun = &typed[start..];
    let lower = begun.chars().any(|c| c.is_ascii_lowercase());
    let begun = begun.to_ascii_uppercase();
    let cased = |name: &str| {
        if lower {
            name.to_ascii_lowercase()
        } else {
            name.to_owned()
        }
    };
    if let Some(topic) = begun.strip_prefix("HELP ") {
        let fits = help::topics(facts).filter(|name| name.to_ascii_uppercase().starts_with(topic));
        return (
            start + "HELP ".len(),
            fits.map(|name| cased(&name)).collect(),
        );
    }
    let depth = begun.matches(' ').count();
    let names = facts.iter().map(|fact| fact.name.as_str());
    // Sub-commands when their command is there.
    let fits = names.filter(|name| name.matches(' ').count() == depth && name.starts_with(&begun));
    (start, fits.map(cased).collect())
}

/// The connection while a line is typed, shared with the thread that shows what comes on it.
type Shared = Arc<Mutex<Option<Link>>>;

fn locked(shared: &Shared) -> MutexGuard<'_, Option<Link>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LineEditor {
    pub fn new(facts: Arc<Facts>) -> rustyline::Result<LineEditor> {
        let config = Config::builder()
            .completion_type(CompletionType::Circular)
            .max_history_size(history::LINES_MAX)?
            .history_ignore_dups(true)?
            .auto_add_history(false)
            .build();
        let mut editor = Editor::with_history(config.clone(), MemHistory::with_config(&config))?;
        let hints = true;
        editor.set_helper(Some(Assistant { facts, hints }));
        let history = history::path();
        if let Some(path) = &history {
            history::trim(path);
            for line in history::load(path) {
                editor.add_history_entry(line)?;
            }
        }
        Ok(LineEditor { editor, history })
    }

    pub fn set_hints(&mut self, on: bool) {
        if let Some(assistant) = self.editor.helper_mut() {
            assistant.hints = on;
        }
    }

    pub fn set_facts(&mut self, facts: Arc<Facts>) {
        if let Some(assistant) = self.editor.helper_mut() {
            assistant.facts = facts;
        }
    }

    /// Keeps a line, unless it holds a secret.
    pub fn remember(&mut self, line: &str) {
        if history::is_secret(line) {
            return;
        }
        let added = self.editor.add_history_entry(line);
        if let (Ok(true), Some(path)) = (added, &self.history) {
            history::append(path, line);
        }
    }

    /// Asks for a line. What the server sends meanwhile is shown above it.
    pub fn ask(&mut self, session: &mut Session) -> Line {
        let prompt = session.prompt();
        let shared: Shared = Arc::new(Mutex::new(session.take_link()));
        let watch = self.watch(session, &shared);
        if watch.is_none() && session.is_listening() {
            // On a terminal that cannot show messages above a line.
            session.put_link(locked(&shared).take());
            session.listen_until(&std::io::stdin());
            *locked(&shared) = session.take_link();
        }
        let line = self.editor.readline(&prompt);
        session.put_link(locked(&shared).take());
        // The thread's end of this is shut: it goes when it sees that, at the latest when the next line is asked for.
        drop(watch);
        match line {
            Ok(line) => Line::Text(line),
            Err(ReadlineError::Interrupted) => Line::Interrupted,
            Err(_) => Line::End,
        }
    }

    /// Starts the thread that shows what comes; `None` if there is nothing to watch or no way to show it.
    fn watch(&mut self, session: &Session, shared: &Shared) -> Option<UnixStream> {
        let socket = locked(shared).as_ref()?.as_fd().try_clone_to_owned().ok()?;
        let printer = self.editor.create_external_printer().ok()?;
        let (ours, theirs) = UnixStream::pair().ok()?;
        let watcher = Watcher {
            socket,
            end: theirs,
            link: shared.clone(),
            listener: session.listener(),
        };
        std::thread::Builder::new()
            .name("ferrite-messages".into())
            .spawn(move || watcher.run(printer))
            .ok()?;
        Some(ours)
    }
}

struct Watcher {
    socket: OwnedFd,
    end: UnixStream,
    link: Shared,
    listener: Arc<Mutex<Listener>>,
}

impl Watcher {
    fn run(self, mut printer: impl ExternalPrinter) {
        loop {
            let mut fds = [
                PollFd::new(self.end.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.socket.as_fd(), PollFlags::POLLIN),
            ];
            // An interrupted wait is no reason to stop.
            let _ = poll(&mut fds, PollTimeout::NONE);
            let has = |fd: &PollFd| fd.revents().is_some_and(|events| !events.is_empty());
            if has(&fds[0]) {
                return;
            }
            if !has(&fds[1]) {
                continue;
            }
            // Not under the lock: showing may have to wait until a line is typed again.
            let (text, goes_on) = self.take();
            if !text.is_empty() {
                let text = String::from_utf8_lossy(&text).into_owned();
                if printer.print(text).is_err() {
                    return;
                }
            }
            if !goes_on {
                return;
            }
        }
    }

    /// What came, as text; false at the end of the connection.
    fn take(&self) -> (Vec<u8>, bool) {
        let mut text = Vec::new();
        let mut guard = locked(&self.link);
        let Some(link) = guard.as_mut() else {
            return (text, false);
        };
        let mut ended = link.fill().is_err();
        let mut listener = listener::locked(&self.listener);
        while !ended {
            match link.ready() {
                Ok(Some(value)) => text.extend(listener.show(value)),
                Ok(None) => break,
                Err(_) => ended = true,
            }
        }
        if ended {
            *guard = None;
        }
        (text, !ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_completed_in_the_case_in_which_they_begin() {
        let facts = Facts::own();
        assert_eq!(complete(&facts, "getd"), (0, vec!["getdel".to_owned()]));
        assert_eq!(complete(&facts, "  GETD"), (2, vec!["GETDEL".to_owned()]));
        let (start, subs) = complete(&facts, "config re");
        assert_eq!(
            (start, subs),
            (0, vec!["config resetstat".into(), "config rewrite".into()])
        );
        let (_, names) = complete(&facts, "conf");
        assert_eq!(names, ["config"]);
        assert!(complete(&facts, "get a").1.is_empty());
        assert!(complete(&facts, "").1.len() > 100);
    }

    #[test]
    fn topics_are_completed_behind_help() {
        let facts = Facts::own();
        assert_eq!(
            complete(&facts, "help @so"),
            (5, vec!["@sorted-set".to_owned()])
        );
        assert_eq!(
            complete(&facts, "HELP GETD"),
            (5, vec!["GETDEL".to_owned()])
        );
        assert_eq!(complete(&facts, "help config rew").1, ["config rewrite"]);
    }
}
