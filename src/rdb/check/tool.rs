//! The tool as it is called: arguments, progress, exit code.

use std::io::{self, IsTerminal, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::{Report, Visitor, check, open, salvage};

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    pub file: PathBuf,
    pub stats: bool,
    pub salvage: Option<PathBuf>,
}

/// Shows how far a tool is: a bar on a terminal, otherwise a line now and then.
pub struct Meter {
    terminal: bool,
    shown: Instant,
    drawn: bool,
}

const BAR: usize = 40;
const REDRAW: Duration = Duration::from_millis(100);
const LINE_EVERY: Duration = Duration::from_secs(5);

impl Default for Meter {
    fn default() -> Self {
        Meter {
            terminal: io::stderr().is_terminal(),
            shown: Instant::now(),
            drawn: false,
        }
    }
}

impl Meter {
    pub fn show(&mut self, at: usize, of: usize) {
        let pause = if self.terminal { REDRAW } else { LINE_EVERY };
        if self.shown.elapsed() < pause {
            return;
        }
        self.shown = Instant::now();
        let percent = at as u128 * 100 / of.max(1) as u128;
        let (at, of) = (at >> 20, of >> 20);
        // Nobody may be there to see it.
        let _ = if self.terminal {
            self.drawn = true;
            let full = BAR * percent as usize / 100;
            let (done, rest) = ("#".repeat(full), ".".repeat(BAR - full));
            write!(io::stderr(), "\r[{done}{rest}] {percent:3} % of {of} MB")
        } else {
            writeln!(io::stderr(), "{percent} % ({at} of {of} MB)")
        };
    }

    /// Takes the bar away.
    pub fn end(&mut self) {
        if self.drawn {
            let _ = write!(io::stderr(), "\r{}\r", " ".repeat(BAR + 30));
        }
    }
}

struct Watching<'a>(&'a mut Meter);

impl Visitor for Watching<'_> {
    fn intact(&mut self, _: Range<usize>) -> io::Result<()> {
        Ok(())
    }

    fn progress(&mut self, at: usize, of: usize) {
        self.0.show(at, of);
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as i64)
}

/// Does it; returns what to say and the code to end with: 0 for an intact file.
pub fn run(task: &Task) -> (String, u8) {
    let name = task.file.display().to_string();
    let mut meter = Meter::default();
    let done = open(&task.file).and_then(|bytes| examine(task, &bytes, &mut meter));
    meter.end();
    match done {
        Ok(report) => {
            let mut text = format!(
                "Checking RDB file {name}\n{}",
                report.text(&name, task.stats)
            );
            if let Some(target) = &task.salvage {
                text.push_str(&saved(&report, target));
            }
            (text, u8::from(!report.is_good()))
        }
        Err(error) => (format!("Cannot check {name}: {error}\n"), 1),
    }
}

fn examine(task: &Task, bytes: &[u8], meter: &mut Meter) -> io::Result<Report> {
    match &task.salvage {
        None => check(bytes, now_ms(), &mut Watching(meter)),
        Some(target) => salvage(bytes, target, now_ms(), &mut |at, of| meter.show(at, of)),
    }
}

fn saved(report: &Report, target: &Path) -> String {
    let (keys, target) = (report.keys, target.display());
    format!("[info] {keys} intact keys were written to {target}\n")
}
