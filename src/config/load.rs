//! Reading configuration: files with `include`, standard input, and `--directive value` options.
//!
//! Everything becomes lines. Each line is applied to the settings in order; the first bad one ends the start, or, for
//! `check-config`, all of them are collected.

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::directive::{Directive, When};
use super::line::{quote, split_words};
use super::nearest::nearest_directive;
use super::setting::os_reason;
use super::store::Config;
use super::table::Settings;

/// `include` inside `include` inside …: a file that includes itself ends here.
const INCLUDE_DEPTH_MAX: usize = 16;
/// Directives of old releases that Redis still accepts and ignores.
const IGNORED: [&[u8]; 2] = [b"list-max-ziplist-entries", b"list-max-ziplist-value"];

/// Where the configuration comes from, in the order in which it is applied.
#[derive(Debug, Default)]
pub struct Sources {
    pub file: Option<PathBuf>,
    /// Content of standard input, for `-`.
    pub stdin: Option<Vec<u8>>,
    /// Words after the file name.
    pub options: Vec<Vec<u8>>,
    pub sentinel_mode: bool,
    /// Lines that come before everything else.
    pub defaults: Vec<Vec<u8>>,
}

/// Where a line stood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// File, `standard input` or `command line`.
    pub source: String,
    /// From 1.
    pub line: usize,
}

/// A line that other parts of the server take care of: the words after the directive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileLine {
    pub origin: Origin,
    /// The whole line, for the error text.
    pub line: Vec<u8>,
    pub words: Vec<Vec<u8>>,
}

impl FileLine {
    /// The error of a start that fails at this line.
    pub fn error(&self, reason: impl Into<String>) -> LoadError {
        LoadError::Line {
            origin: self.origin.clone(),
            line: shown_line(&self.line),
            reason: reason.into(),
        }
    }
}

/// Why the configuration cannot be used. `Display` is Redis' message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoadError {
    Line {
        origin: Origin,
        line: String,
        reason: String,
    },
    Open {
        path: PathBuf,
        reason: String,
    },
    /// Directives that are each right but cannot stand together.
    Whole {
        reason: String,
    },
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heading = format!(
            "\n*** FATAL CONFIG FILE ERROR (Redis {}) ***",
            crate::cli::REDIS_VERSION
        );
        match self {
            LoadError::Open { path, reason } => {
                write!(
                    f,
                    "Fatal error, can't open config file '{}': {reason}",
                    path.display()
                )
            }
            LoadError::Whole { reason } => write!(f, "{heading}\n{reason}"),
            LoadError::Line {
                origin,
                line,
                reason,
            } => write!(
                f,
                "{heading}\nReading the configuration file, at line {} of {}\n>>> '{line}'\n{reason}",
                origin.line, origin.source
            ),
        }
    }
}

/// The line for an error text: control characters escaped, and no password, not even a mistyped one.
fn shown_line(line: &[u8]) -> String {
    let name = line
        .split(|b| b.is_ascii_whitespace() || matches!(b, b'"' | b'\''))
        .find(|word| !word.is_empty());
    let name = name.unwrap_or_default();
    let secret = Directive::find(name).is_some_and(|d| d.meta.sensitive)
        || name.eq_ignore_ascii_case(b"user");
    if secret {
        return format!("{} (redacted)", String::from_utf8_lossy(name));
    }
    let text = String::from_utf8_lossy(line);
    text.chars()
        .flat_map(|c| {
            if c.is_control() {
                c.escape_default().collect()
            } else {
                vec![c]
            }
        })
        .collect()
}

impl Config {
    /// Reads everything that the sources name. The first error ends it.
    pub fn load(sources: &Sources) -> Result<Config, LoadError> {
        let mut loader = Loader::new(sources.sentinel_mode, false);
        loader.read_sources(sources)?;
        let config = loader.finish();
        if config.cluster_enabled && config.replicaof.0.is_some() {
            let reason = "replicaof directive not allowed in cluster mode".to_string();
            return Err(LoadError::Whole { reason });
        }
        Ok(config)
    }

    /// Reads one file.
    pub fn parse_file(path: &Path) -> Result<Config, LoadError> {
        Config::load(&Sources {
            file: Some(path.to_path_buf()),
            ..Sources::default()
        })
    }

    /// Reads `--directive value …` words alone.
    pub fn parse_args(options: &[&str]) -> Result<Config, LoadError> {
        let options = options
            .iter()
            .map(|word| word.as_bytes().to_vec())
            .collect();
        Config::load(&Sources {
            options,
            ..Sources::default()
        })
    }

    /// Reads a file to its end and returns all its errors beside what could be understood.
    pub fn check_file(path: &Path) -> (Config, Vec<LoadError>) {
        Config::check(&Sources {
            file: Some(path.to_path_buf()),
            ..Sources::default()
        })
    }

    /// The same of all sources.
    pub fn check(sources: &Sources) -> (Config, Vec<LoadError>) {
        let mut loader = Loader::new(sources.sentinel_mode, true);
        if let Err(error) = loader.read_sources(sources) {
            loader.errors.push(error);
        }
        let errors = std::mem::take(&mut loader.errors);
        (loader.finish(), errors)
    }
}

struct Loader {
    config: Config,
    /// Directives that some line has set.
    set: HashSet<&'static str>,
    noticed: HashSet<&'static str>,
    sentinel_mode: bool,
    collect: bool,
    errors: Vec<LoadError>,
}

impl Loader {
    fn new(sentinel_mode: bool, collect: bool) -> Self {
        Loader {
            config: Config::new(Settings::default()),
            set: HashSet::new(),
            noticed: HashSet::new(),
            sentinel_mode,
            collect,
            errors: Vec::new(),
        }
    }

    fn read_sources(&mut self, sources: &Sources) -> Result<(), LoadError> {
        self.read_lines("the defaults", &sources.defaults.join(&b'\n'), 0)?;
        // What a default says is no first line of its directive.
        self.set.clear();
        if let Some(path) = &sources.file {
            self.read_file(path, 0)?;
            self.config.file = Some(std::path::absolute(path).unwrap_or_else(|_| path.clone()));
        }
        if let Some(text) = &sources.stdin {
            self.read_lines("standard input", text, 0)?;
        }
        let lines = option_lines(&sources.options);
        self.read_lines("the command line", &lines.join(&b'\n'), 0)
    }

    fn read_file(&mut self, path: &Path, depth: usize) -> Result<(), LoadError> {
        let text = std::fs::read(path).map_err(|error| LoadError::Open {
            path: path.to_path_buf(),
            reason: os_reason(&error),
        })?;
        self.read_lines(&path.display().to_string(), &text, depth)
    }

    fn read_lines(&mut self, source: &str, text: &[u8], depth: usize) -> Result<(), LoadError> {
        for (number, line) in text.split(|b| *b == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let origin = Origin {
                source: source.to_string(),
                line: number + 1,
            };
            if let Err(error) = self.read_line(&origin, line, depth) {
                if !self.collect {
                    return Err(error);
                }
                self.errors.push(error);
            }
        }
        Ok(())
    }

    fn read_line(&mut self, origin: &Origin, line: &[u8], depth: usize) -> Result<(), LoadError> {
        let file_line = |words| FileLine {
            origin: origin.clone(),
            line: line.to_vec(),
            words,
        };
        let fail = |reason: &str| Err(file_line(Vec::new()).error(reason));
        let Some(mut words) = split_words(line) else {
            return fail("Unbalanced quotes in configuration line");
        };
        if words.is_empty() {
            return Ok(());
        }
        let name = words.remove(0).to_ascii_lowercase();
        if let Some(directive) = Directive::find(&name) {
            if depth > 0 {
                self.config.included.insert(directive.name);
            }
            let set = self.apply(directive, &words);
            return set.map_err(|reason| file_line(Vec::new()).error(reason));
        }
        match (name.as_slice(), words.len()) {
            (b"include", 1) => return self.include(&words[0], &file_line(Vec::new()), depth),
            (b"user", 1..) => self.config.users.push(file_line(words)),
            (b"rename-command", 2) => self.config.renamed_commands.push(file_line(words)),
            (b"loadmodule", 1..) => {
                let module = String::from_utf8_lossy(&words[0]).into_owned();
                self.notice(
                    "loadmodule",
                    &format!("the module {module} is not loaded: modules are not supported"),
                );
                self.config.modules.push(file_line(words));
            }
            (b"sentinel", _) if self.sentinel_mode => self.config.sentinel.push(file_line(words)),
            (b"sentinel", _) => return fail("sentinel directive while not in sentinel mode"),
            (ignored, _) if IGNORED.contains(&ignored) => {}
            _ => {
                let mut reason = "Bad directive or wrong number of arguments".to_string();
                if let Some(near) = nearest_directive(&name).filter(|near| near.as_bytes() != name)
                {
                    reason.push_str(&format!("\nDid you mean '{near}'?"));
                }
                return fail(&reason);
            }
        }
        Ok(())
    }

    fn apply(&mut self, directive: &'static Directive, words: &[Vec<u8>]) -> Result<(), String> {
        let first = self.set.insert(directive.name);
        self.config.stated.insert(directive.name);
        let settings = &mut self.config.settings;
        let before = self.collect.then(|| settings.clone());
        if let Err(reason) = directive.update(settings, words, When::Start { first }) {
            if let Some(before) = before {
                *settings = before;
            }
            return Err(reason);
        }
        let changed = directive.text(settings) != directive.default.as_bytes();
        if let Some(reason) = directive.meta.inert.filter(|_| changed) {
            self.notice(directive.name, &format!("it has no effect here: {reason}"));
            if directive.meta.refusal.is_some() {
                let default = [directive.default.as_bytes().to_vec()];
                directive.update(&mut self.config.settings, &default, When::Start { first })?;
            }
        }
        Ok(())
    }

    /// Each directive is mentioned once.
    fn notice(&mut self, name: &'static str, text: &str) {
        if self.noticed.insert(name) {
            self.config
                .notices
                .push(format!("Directive '{name}' was read, but {text}."));
        }
    }

    fn include(&mut self, pattern: &[u8], at: &FileLine, depth: usize) -> Result<(), LoadError> {
        if depth + 1 > INCLUDE_DEPTH_MAX {
            return Err(at.error("include is nested too deeply: does a file include itself?"));
        }
        let Ok(pattern) = std::str::from_utf8(pattern) else {
            return Err(at.error("the path must be valid UTF-8"));
        };
        if !pattern.contains(['*', '?', '[']) {
            return self.read_file(Path::new(pattern), depth + 1);
        }
        let paths = glob::glob(pattern).map_err(|error| at.error(error.to_string()))?;
        for path in paths {
            let path = path.map_err(|error| at.error(os_reason(&io::Error::from(error))))?;
            self.read_file(&path, depth + 1)?;
        }
        Ok(())
    }

    fn finish(self) -> Config {
        let mut config = self.config;
        // The default directory becomes absolute like a given one, so that CONFIG GET and REWRITE name it fully.
        if let Ok(current) = std::fs::canonicalize(&config.settings.dir) {
            config.settings.dir =
                String::from_utf8_lossy(current.as_os_str().as_bytes()).into_owned();
        }
        config.adjust(|_| {});
        config
    }
}

/// Turns `--name value …` words into lines. A word that starts with `--` begins a directive, except right after a name that
/// has no value yet: then it is that directive's value (but `--save` may stand without any). A name and its value may
/// stand in one word: `"--port 7000"`. Words before the first name are one line of their own, as Redis takes them.
fn option_lines(words: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut lines: Vec<Vec<u8>> = Vec::new();
    let mut lacks_value = false;
    for word in words {
        let name = word.strip_prefix(b"--");
        let is_bare_save = lacks_value
            && lines
                .last()
                .is_some_and(|line| line.eq_ignore_ascii_case(b"save"));
        match name {
            Some(name) if !lacks_value || is_bare_save => {
                lacks_value = split_words(name).is_some_and(|words| words.len() == 1);
                lines.push(escape_line_breaks(name));
            }
            _ => {
                let value = quote(word);
                match lines.last_mut() {
                    Some(line) => {
                        line.push(b' ');
                        line.extend(value);
                    }
                    None => lines.push(value),
                }
                lacks_value = false;
            }
        }
    }
    lines
}

/// A word is one line, whatever it contains.
fn escape_line_breaks(word: &[u8]) -> Vec<u8> {
    word.iter()
        .map(|b| if matches!(b, b'\n' | b'\r') { b' ' } else { *b })
        .collect()
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
