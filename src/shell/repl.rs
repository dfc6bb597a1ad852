//! Commands one after another: from a terminal, with all that helps people, or from a file or pipe.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Instant;

use super::editor::{Line, LineEditor};
use super::facts::Facts;
use super::help;
use super::history;
use super::interrupt::Interrupts;
use super::options::Output;
use super::session::{Done, Session, print, word};
use crate::base::words;

/// A command that took longer is told how long.
const SLOW_MS: u128 = 500;
/// The longest line that is read from a file or pipe.
const LINE_MAX: usize = 512 << 20;

/// Where lines come from.
enum Source {
    Terminal(Box<LineEditor>),
    Pipe(Pipe),
}

struct Repl {
    session: Session,
    source: Source,
    facts: Arc<Facts>,
}

/// Runs commands until there are no more; the process's exit code.
pub fn run(mut session: Session) -> u8 {
    session.interactive = true;
    let terminal = io::stdin().is_terminal();
    if terminal {
        session.prefer_resp3();
    }
    session.connect(false);
    let facts = if terminal {
        let facts = session.link().and_then(Facts::of);
        Arc::new(facts.unwrap_or_else(Facts::own))
    } else {
        Arc::new(Facts::own())
    };
    let source = if terminal {
        session.interrupts = Interrupts::start().ok();
        match LineEditor::new(facts.clone()) {
            Ok(editor) => Source::Terminal(Box::new(editor)),
            Err(error) => {
                eprintln!("Can't read from the terminal: {error}");
                return 1;
            }
        }
    } else {
        match Pipe::stdin() {
            Ok(pipe) => Source::Pipe(pipe),
            Err(error) => {
                eprintln!("Can't read from standard input: {error}");
                return 1;
            }
        }
    };
    let mut repl = Repl {
        session,
        source,
        facts,
    };
    repl.read_preferences();
    while let Some(line) = repl.next() {
        if !repl.line(&line) {
            break;
        }
    }
    0
}

impl Repl {
    /// The next line; `None` at the end.
    fn next(&mut self) -> Option<Vec<u8>> {
        let session = &mut self.session;
        match &mut self.source {
            Source::Terminal(editor) => loop {
                // One that came too late for its command is nothing to the next.
                session.interrupts.as_ref().map(Interrupts::take);
                match editor.ask(session) {
                    Line::Text(line) => {
                        if !line.trim().is_empty() {
                            editor.remember(&line);
                        }
                        return Some(line.into_bytes());
                    }
                    Line::Interrupted if session.is_listening() => session.leave(),
                    Line::Interrupted | Line::End => return None,
                }
            },
            Source::Pipe(pipe) => {
                if session.is_listening() && !pipe.has_line() {
                    session.listen_until(pipe);
                }
                pipe.line()
            }
        }
    }

    /// Runs a line; false ends the session.
    fn line(&mut self, line: &[u8]) -> bool {
        let Some(args) = words::split(line) else {
            print(b"Invalid argument(s)\n");
            return true;
        };
        let (repeat, args) = match repetition(&args) {
            Ok(split) => split,
            Err(text) => {
                print(text.as_bytes());
                return true;
            }
        };
        if args.is_empty() {
            return true;
        }
        if word(args, 0).starts_with(':') {
            self.preference(args);
            return true;
        }
        match (word(args, 0).as_str(), args.len()) {
            ("quit" | "exit", _) => return false,
            ("restart", _) => print(b"Use 'restart' only in Lua debugging mode.\n"),
            ("connect", 3) => self.connect(args),
            ("clear", 1) => print(b"\x1b[H\x1b[2J"),
            ("help" | "?", _) => self.help(&args[1..]),
            _ => self.command(args, repeat),
        }
        true
    }

    fn command(&mut self, args: &[Vec<u8>], repeat: u64) {
        let begin = Instant::now();
        for _ in 0..repeat {
            if self.session.run(args) != Done::Yes {
                break;
            }
        }
        if self.session.is_monitor() && matches!(self.source, Source::Pipe(_)) {
            // As redis-cli does: what is behind it in the pipe is for afterwards.
            self.session.listen();
        }
        let elapsed = begin.elapsed();
        if elapsed.as_millis() > SLOW_MS && self.session.format.output == Output::Standard {
            print(format!("({:.2}s)\n", elapsed.as_secs_f64()).as_bytes());
        }
    }

    fn connect(&mut self, args: &[Vec<u8>]) {
        let Ok(port) = word(args, 2).parse() else {
            print(b"Invalid server port.\n");
            return;
        };
        let target = &mut self.session.options.target;
        target.host = String::from_utf8_lossy(&args[1]).into_owned();
        (target.port, target.socket) = (port, None);
        self.session.connect(false);
        if let Source::Terminal(editor) = &mut self.source
            && let Some(facts) = self.session.link().and_then(Facts::of)
        {
            self.facts = Arc::new(facts);
            editor.set_facts(self.facts.clone());
        }
    }

    fn help(&self, topic: &[Vec<u8>]) {
        let color = matches!(self.source, Source::Terminal(_));
        print(help::answer(&self.facts, topic, color).as_bytes());
    }

    fn preference(&mut self, args: &[Vec<u8>]) {
        let text = match (word(args, 0).as_str(), word(args, 1).as_str()) {
            (":set", "hints") => return self.set_hints(true),
            (":set", "nohints") => return self.set_hints(false),
            (":set", other) => format!("unknown redis-cli preference '{other}'\n"),
            (other, _) => format!("unknown redis-cli internal command '{other}'\n"),
        };
        print(text.as_bytes());
    }

    fn set_hints(&mut self, on: bool) {
        if let Source::Terminal(editor) = &mut self.source {
            editor.set_hints(on);
        }
    }

    /// The lines of `REDISCLI_RCFILE` or `~/.redisclirc`.
    fn read_preferences(&mut self) {
        if !matches!(self.source, Source::Terminal(_)) {
            return;
        }
        let path = match std::env::var_os("REDISCLI_RCFILE") {
            Some(path) => Some(path.into()),
            None => history::home(".redisclirc"),
        };
        let Some(text) = path.and_then(|path| std::fs::read_to_string(path).ok()) else {
            return;
        };
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            if let Some(args) = words::split(line.as_bytes())
                && !args.is_empty()
            {
                self.preference(&args);
            }
        }
    }
}

/// How often to run a command, and the command: a number may stand in front of it.
fn repetition(args: &[Vec<u8>]) -> Result<(u64, &[Vec<u8>]), &'static str> {
    let Some((first, rest)) = args.split_first() else {
        return Ok((1, args));
    };
    let is_number = |digits: &[u8]| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    if rest.is_empty() || !is_number(first.strip_prefix(b"-").unwrap_or(first)) {
        return Ok((1, args));
    }
    let number = std::str::from_utf8(first)
        .ok()
        .and_then(|text| text.parse().ok());
    match number {
        Some(repeat) if repeat > 0 => Ok((repeat, rest)),
        _ => Err("Invalid redis-cli repeat command option value.\n"),
    }
}

/// Lines of standard input, without taking more than has come.
struct Pipe {
    file: File,
    buf: Vec<u8>,
    ended: bool,
}

impl AsFd for Pipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Pipe {
    fn stdin() -> io::Result<Pipe> {
        Ok(Pipe {
            file: File::from(io::stdin().as_fd().try_clone_to_owned()?),
            buf: Vec::new(),
            ended: false,
        })
    }

    fn has_line(&self) -> bool {
        self.buf.contains(&b'\n')
    }

    fn line(&mut self) -> Option<Vec<u8>> {
        let mut searched = 0;
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.buf[searched..]) {
                let rest = self.buf.split_off(searched + end + 1);
                let mut line = std::mem::replace(&mut self.buf, rest);
                line.pop();
                return Some(line);
            }
            if self.ended || self.buf.len() > LINE_MAX {
                let line = std::mem::take(&mut self.buf);
                return (!line.is_empty()).then_some(line);
            }
            searched = self.buf.len();
            let mut piece = vec![0; 64 << 10];
            match self.file.read(&mut piece) {
                Ok(0) => self.ended = true,
                Ok(n) => self.buf.extend_from_slice(&piece[..n]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.ended = true,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions() {
        let words = |line: &str| words::split(line.as_bytes()).unwrap();
        assert_eq!(repetition(&words("5 incr a")).unwrap().0, 5);
        assert_eq!(repetition(&words("5")).unwrap(), (1, &words("5")[..]));
        assert_eq!(repetition(&words("5x incr")).unwrap().0, 1);
        for bad in ["0 incr a", "-1 incr a", "99999999999999999999 incr a"] {
            assert!(repetition(&words(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn lines_of_a_pipe() {
        use std::io::Write;
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(b"a b\n\nc").unwrap();
        drop(writer);
        let mut pipe = Pipe {
            file: File::from(std::os::fd::OwnedFd::from(reader)),
            buf: Vec::new(),
            ended: false,
        };
        assert_eq!(pipe.line().as_deref(), Some(&b"a b"[..]));
        assert!(pipe.has_line());
        assert_eq!(pipe.line().as_deref(), Some(&b""[..]));
        assert_eq!(pipe.line().as_deref(), Some(&b"c"[..]));
        assert_eq!(pipe.line(), None);
    }
}
