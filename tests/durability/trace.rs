//! What a process did to its files and told its clients, from strace.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Something that is synced by itself: a file (number and first name), or a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    File(usize, String),
    Dir(PathBuf),
}

/// A change of the disk. Files have numbers, because names come and go; paths are below the server's directory.
#[derive(Clone, Debug)]
pub enum Change {
    Write {
        file: usize,
        at: u64,
        bytes: Vec<u8>,
    },
    Cut {
        file: usize,
        len: u64,
    },
    Name {
        path: PathBuf,
        file: usize,
    },
    Dir {
        path: PathBuf,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
        file: usize,
    },
    Unlink {
        path: PathBuf,
    },
}

impl Change {
    /// What is there of it if it was torn.
    pub fn half(&self) -> Option<Change> {
        match self {
            Change::Write { file, at, bytes } if bytes.len() > 1 => Some(Change::Write {
                file: *file,
                at: *at,
                bytes: bytes[..bytes.len() / 2].to_vec(),
            }),
            _ => None,
        }
    }

    /// The length without the bytes.
    pub fn zeros(&self) -> Change {
        match self {
            Change::Write { file, at, bytes } => Change::Write {
                file: *file,
                at: *at,
                bytes: vec![0; bytes.len()],
            },
            other => other.clone(),
        }
    }
}

#[derive(Clone, Debug)]
pub enum Call {
    Change(Target, Change),
    Sync {
        of: Target,
        ok: bool,
    },
    /// A client was told that entry `n` is there.
    Ack(u64),
    /// A client was told `OK`.
    Ok,
}

/// A call from its begin to its end, in lines of the trace.
#[derive(Clone, Debug)]
pub struct Event {
    pub start: usize,
    pub end: usize,
    pub call: Call,
}

const CALLS: &str = "openat,open,creat,write,pwrite64,writev,sendto,ftruncate,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,mkdir";

/// Whether strace is here and may trace.
pub fn is_possible() -> bool {
    let output = Command::new("strace")
        .args(["-e", "trace=none", "true"])
        .output();
    let possible = output.is_ok_and(|output| output.status.success());
    if !possible {
        println!("skipped: strace cannot be used here");
    }
    possible
}

/// The words in front of a server that is traced into `file`; `inject` are faults, in strace's words.
pub fn wrapper(file: &Path, inject: &[&str]) -> Vec<String> {
    let mut words: Vec<String> = ["strace", "-f", "-yy", "-xx", "-s", "10000000", "-e"]
        .map(String::from)
        .to_vec();
    words.push(format!("trace={CALLS}"));
    for fault in inject {
        words.extend(["-e".into(), format!("inject={fault}")]);
    }
    words.extend(["-o".into(), file.display().to_string()]);
    words
}

/// Files and directories after changes.
pub fn replay(changes: impl Iterator<Item = Change>) -> (BTreeMap<PathBuf, Vec<u8>>, Vec<PathBuf>) {
    let mut bytes: BTreeMap<usize, Vec<u8>> = BTreeMap::new();
    let mut names: BTreeMap<PathBuf, usize> = BTreeMap::new();
    let mut dirs: Vec<PathBuf> = Vec::new();
    for change in changes {
        match change {
            Change::Write {
                file,
                at,
                bytes: new,
            } => {
                let content = bytes.entry(file).or_default();
                let at = at as usize;
                if content.len() < at + new.len() {
                    content.resize(at + new.len(), 0);
                }
                content[at..at + new.len()].copy_from_slice(&new);
            }
            Change::Cut { file, len } => bytes.entry(file).or_default().resize(len as usize, 0),
            Change::Name { path, file } => drop(names.insert(path, file)),
            Change::Dir { path } => dirs.push(path),
            Change::Rename { from, to, file } => {
                names.remove(&from);
                names.insert(to, file);
            }
            Change::Unlink { path } => drop(names.remove(&path)),
        }
    }
    let is_there = |path: &PathBuf| {
        let parent = path.parent().unwrap_or(Path::new(""));
        parent == Path::new("") || dirs.iter().any(|dir| dir == parent)
    };
    let files = names
        .into_iter()
        .filter(|(path, _)| is_there(path))
        .map(|(path, file)| (path, bytes.get(&file).cloned().unwrap_or_default()))
        .collect();
    (files, dirs)
}

struct Tracer<'r> {
    root: &'r Path,
    /// Names and lengths as the process sees them.
    names: BTreeMap<PathBuf, usize>,
    lens: Vec<u64>,
    first_names: Vec<String>,
    events: Vec<Event>,
}

/// Reads a trace; only what lies below `root` counts.
pub fn read(file: &Path, root: &Path) -> Vec<Event> {
    let text = std::fs::read_to_string(file).expect("a trace");
    let mut tracer = Tracer {
        root,
        names: BTreeMap::new(),
        lens: Vec::new(),
        first_names: Vec::new(),
        events: Vec::new(),
    };
    let mut open: BTreeMap<&str, (usize, String)> = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        let Some((pid, rest)) = line.split_once(' ') else {
            continue;
        };
        let rest = rest.trim_start();
        if let Some(begin) = rest.strip_suffix(" <unfinished ...>") {
            open.insert(pid, (number, begin.to_owned()));
        } else if let Some(end) = rest.strip_prefix("<... ") {
            if let (Some((start, begin)), Some((_, end))) =
                (open.remove(pid), end.split_once("resumed>"))
            {
                tracer.line(start, number, &(begin + end));
            }
        } else {
            tracer.line(number, number, rest);
        }
    }
    // What had begun at the end may have happened.
    let end = text.lines().count();
    for (start, begin) in open.into_values() {
        tracer.line(start, end, &(begin + ") = 0"));
    }
    let mut events = tracer.events;
    events.sort_by_key(|event| event.start);
    events
}

impl Tracer<'_> {
    fn line(&mut self, start: usize, end: usize, line: &str) {
        let Some((name, rest)) = line.split_once('(') else {
            return;
        };
        let Some((args, result)) = rest.rsplit_once(" = ") else {
            return;
        };
        let Some(args) = args.trim_end().strip_suffix(')') else {
            return;
        };
        let args: Vec<&str> = args.split(", ").collect();
        let ok = !result.starts_with('-');
        let call = match name {
            "fsync" | "fdatasync" => self.target(args[0]).map(|of| Call::Sync { of, ok }),
            _ if !ok => None,
            "sendto" | "write" | "writev" | "pwrite64" => {
                let done: u64 = result
                    .split([' ', '<'])
                    .next()
                    .unwrap_or("")
                    .parse()
                    .unwrap_or(0);
                self.written(&args, done)
            }
            "ftruncate" => self.cut(&args),
            "openat" | "open" | "creat" => return self.opened(start, end, &args, name),
            "mkdir" => self
                .path(args[0])
                .map(|path| self.in_dir(&path.clone(), Change::Dir { path })),
            "unlink" => self.unlinked(args[0]),
            "unlinkat" => self.unlinked(args[1]),
            "rename" => self.renamed(args[0], args[1]),
            "renameat" | "renameat2" => self.renamed(args[1], args[3]),
            _ => None,
        };
        self.push(start, end, call);
    }

    fn push(&mut self, start: usize, end: usize, call: Option<Call>) {
        self.events
            .extend(call.map(|call| Event { start, end, call }));
    }

    /// A path below the root, from a word of the trace.
    fn path(&self, word: &str) -> Option<PathBuf> {
        let bytes = decode(word);
        let path = PathBuf::from(String::from_utf8(bytes).ok()?);
        let path = if path.is_absolute() {
            path.strip_prefix(self.root).ok()?.to_path_buf()
        } else {
            path
        };
        let name = path.to_string_lossy().into_owned();
        let ours = ["log.txt", "trace.txt"].iter().all(|own| name != *own);
        ours.then_some(path)
    }

    fn file(&self, word: &str) -> Option<(PathBuf, usize)> {
        let (_, annotation) = word.split_once('<')?;
        let path = self.path(annotation.strip_suffix('>')?)?;
        let file = *self.names.get(&path)?;
        Some((path, file))
    }

    fn target(&self, word: &str) -> Option<Target> {
        if let Some((_, file)) = self.file(word) {
            return Some(self.of_file(file));
        }
        let (_, annotation) = word.split_once('<')?;
        Some(Target::Dir(self.path(annotation.strip_suffix('>')?)?))
    }

    fn of_file(&self, file: usize) -> Target {
        Target::File(file, self.first_names[file].clone())
    }

    fn in_dir(&self, path: &Path, change: Change) -> Call {
        let dir = path.parent().unwrap_or(Path::new("")).to_path_buf();
        Call::Change(Target::Dir(dir), change)
    }

    fn written(&mut self, args: &[&str], done: u64) -> Option<Call> {
        let text: Vec<u8> = args
            .iter()
            .filter(|a| a.contains('"'))
            .flat_map(|a| decode(a))
            .collect();
        let (_, annotation) = args[0].split_once('<')?;
        if annotation.starts_with("TCP") {
            return told(&text);
        }
        let (_, file) = self.file(args[0])?;
        let at = match args.get(3) {
            Some(at) => at.parse().ok()?,
            None => self.lens[file],
        };
        let mut bytes = text;
        if done > 0 {
            bytes.truncate(done as usize);
        }
        self.lens[file] = self.lens[file].max(at + bytes.len() as u64);
        Some(Call::Change(
            self.of_file(file),
            Change::Write { file, at, bytes },
        ))
    }

    fn cut(&mut self, args: &[&str]) -> Option<Call> {
        let (_, file) = self.file(args[0])?;
        let len = args[1].parse().ok()?;
        if self.lens[file] == len {
            return None;
        }
        self.lens[file] = len;
        Some(Call::Change(self.of_file(file), Change::Cut { file, len }))
    }

    fn opened(&mut self, start: usize, end: usize, args: &[&str], name: &str) {
        let at = usize::from(name == "openat");
        let flags = args.get(at + 1).copied().unwrap_or("O_CREAT|O_TRUNC");
        let Some(path) = self.path(args[at]) else {
            return;
        };
        if let Some(file) = self.names.get(&path).copied() {
            if flags.contains("O_TRUNC") && self.lens[file] > 0 {
                self.lens[file] = 0;
                let call = Call::Change(self.of_file(file), Change::Cut { file, len: 0 });
                self.push(start, end, Some(call));
            }
        } else if flags.contains("O_CREAT") || name == "creat" {
            let file = self.lens.len();
            self.lens.push(0);
            self.first_names.push(path.to_string_lossy().into_owned());
            self.names.insert(path.clone(), file);
            let call = self.in_dir(&path.clone(), Change::Name { path, file });
            self.push(start, end, Some(call));
        }
    }

    fn unlinked(&mut self, word: &str) -> Option<Call> {
        let path = self.path(word)?;
        self.names.remove(&path)?;
        Some(self.in_dir(&path.clone(), Change::Unlink { path }))
    }

    fn renamed(&mut self, from: &str, to: &str) -> Option<Call> {
        let (from, to) = (self.path(from)?, self.path(to)?);
        let file = self.names.remove(&from)?;
        self.names.insert(to.clone(), file);
        Some(self.in_dir(&to.clone(), Change::Rename { from, to, file }))
    }
}

/// What a client hears.
fn told(text: &[u8]) -> Option<Call> {
    let text = std::str::from_utf8(text).ok()?;
    if text == "+OK\r\n" {
        return Some(Call::Ok);
    }
    let number = match text.split_once("*2\r\n:") {
        Some((_, rest)) => rest,
        None => text.strip_prefix(':')?,
    };
    let digits = number.split('\r').next()?;
    digits.parse().ok().map(Call::Ack)
}

/// The bytes of a word in `\x61` form, with or without quotes.
fn decode(word: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut parts = word.split("\\x");
    parts.next();
    for part in parts {
        if let Some(byte) = part
            .get(..2)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok())
        {
            out.push(byte);
        }
    }
    out
}
