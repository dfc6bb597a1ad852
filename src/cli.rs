//! The command line: what the process is to be, decided from the name it was started under and its first words.
//!
//! The server's own options are Redis' (`[file] [--directive value …] [-]`), which no argument parser can describe; they
//! become configuration lines in [`config::load`](crate::config::load). `clap` reads the sub-modes.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, Command};

use crate::acl;
use crate::aof;
use crate::aof::restore::Moment;
use crate::base::memtest;
use crate::base::process::check_system;
use crate::command::registry::Names;
use crate::config::lint::{self, Severity};
use crate::config::{Config, LoadError, Settings, Sources};
use crate::rdb::check::tool;
use crate::sentinel::shell::{self, State};
use crate::shell as client;
use crate::tls;

/// The version of Redis whose behaviour this server promises: INFO, HELLO, `--version` and error texts say it.
pub const REDIS_VERSION: &str = "7.4.2";
pub const FERRITE_VERSION: &str = env!("CARGO_PKG_VERSION");

/// What a Sentinel's configuration starts with.
const SENTINEL_DEFAULTS: [&[u8]; 4] = [
    b"port 26379",
    b"protected-mode no",
    b"save \"\"",
    b"appendonly no",
];

/// Lines that come before the configuration file, for packagers: what a container image has for a default.
const DEFAULTS_VARIABLE: &str = "FERRITE_DEFAULTS";

/// The largest configuration that is taken from standard input.
const STDIN_MAX: u64 = 64 << 20;

/// What this process is to be.
#[derive(Debug)]
pub enum Mode {
    Server(Sources),
    CheckConfig {
        files: Vec<PathBuf>,
        strict: bool,
    },
    CheckSystem,
    /// `--test-memory`, with MiB.
    TestMemory(usize),
    CheckRdb(tool::Task),
    CheckAof(aof::check::Task),
    Restore(aof::restore::Task),
    /// `ferrite cli`, with the words behind its name.
    Client(Vec<OsString>),
    /// Show a text and end with this code; errors go to standard error.
    Print {
        text: String,
        code: u8,
    },
}

/// Decides the mode from all words of the command line, the program's name first. Reads standard input if `-` says so.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Mode {
    let mut words = words.into_iter();
    let program = words.next().unwrap_or_else(|| "ferrite".into());
    let program = Path::new(&program)
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let words: Vec<OsString> = words.collect();
    let first = words
        .first()
        .and_then(|word| word.to_str())
        .unwrap_or_default();

    // All words are the client's: `redis-cli -h` wants a host.
    if ["redis-cli", "valkey-cli", "ferrite-cli"]
        .iter()
        .any(|name| program.starts_with(name))
    {
        return Mode::Client(words);
    }
    match first {
        "cli" => return Mode::Client(words[1..].to_vec()),
        "-v" | "--version" => return print(version_line(), 0),
        "-h" | "--help" => return print(help(&program), 0),
        "--check-system" => return Mode::CheckSystem,
        "--test-memory" => return parse_test_memory(&program, &words[1..]),
        "check-config" => return parse_check_config(&words),
        "check-aof" => return parse_check_aof(&words[1..]),
        "restore" => return parse_restore(&words),
        "server" => return parse_server(&words[1..], false),
        _ => {}
    }
    if first == "sentinel" {
        return parse_server(&words[1..], true);
    }
    let sentinel_option = words.iter().any(|word| word == "--sentinel");
    if sentinel_option || program.starts_with("redis-sentinel") || program.ends_with("-sentinel") {
        let rest: Vec<OsString> = words.into_iter().filter(|w| w != "--sentinel").collect();
        return parse_server(&rest, true);
    }
    let is_called = |tool: &str| {
        ["redis-", "valkey-"]
            .iter()
            .any(|brand| program.starts_with(&format!("{brand}{tool}")))
    };
    if is_called("check-aof") {
        return parse_check_aof(&words);
    }
    if first == "check-rdb" || is_called("check-rdb") {
        return parse_check_rdb(&words[usize::from(first == "check-rdb")..]);
    }
    parse_server(&words, false)
}

fn print(text: String, code: u8) -> Mode {
    Mode::Print { text, code }
}

fn parse_server(words: &[OsString], sentinel_mode: bool) -> Mode {
    let mut sources = Sources {
        sentinel_mode,
        ..Sources::default()
    };
    if sentinel_mode {
        // A Sentinel listens elsewhere and lets everybody in, unless its file says otherwise.
        sources.defaults = SENTINEL_DEFAULTS.iter().map(|w| w.to_vec()).collect();
    }
    let mut words = words;
    let mut stdin = false;
    if let Some((last, rest)) = words.split_last()
        && last == "-"
    {
        (stdin, words) = (true, rest);
    }
    match words.split_first() {
        Some((first, rest)) if first == "-" => (stdin, words) = (true, rest),
        Some((first, rest)) if !first.as_bytes().starts_with(b"-") => {
            sources.file = Some(PathBuf::from(first));
            words = rest;
        }
        _ => {}
    }
    if stdin {
        let mut text = Vec::new();
        if let Err(error) = std::io::stdin()
            .lock()
            .take(STDIN_MAX)
            .read_to_end(&mut text)
        {
            return print(
                format!("Can't read the configuration from standard input: {error}"),
                1,
            );
        }
        sources.stdin = Some(text);
    }
    sources.options = words.iter().map(|word| word.clone().into_vec()).collect();
    Mode::Server(sources)
}

fn parse_test_memory(program: &str, words: &[OsString]) -> Mode {
    let word = match words {
        [word] => word.to_str(),
        _ => None,
    };
    let number = word.and_then(|word| word.parse().ok());
    match number.filter(|mebibytes| *mebibytes > 0) {
        Some(mebibytes) => Mode::TestMemory(mebibytes),
        None => print(
            format!(
                "Please specify the amount of memory to test in megabytes.\nExample: ./{program} --test-memory 4096\n"
            ),
            1,
        ),
    }
}

fn run_test_memory(mebibytes: usize) -> u8 {
    match memtest::run(mebibytes, memtest::PASSES, &mut std::io::stdout()) {
        Ok(passed) => u8::from(!passed),
        Err(error) => {
            eprintln!("{error}");
            1
        }
    }
}

fn parse_check_config(words: &[OsString]) -> Mode {
    let command = Command::new("ferrite check-config")
        .bin_name("ferrite check-config")
        .about("Checks configuration files without starting a server")
        .arg(Arg::new("strict").long("strict").action(ArgAction::SetTrue).help("Warnings count as errors"))
        .arg(
            Arg::new("FILE")
                .required(true)
                .num_args(1..)
                .value_parser(clap::value_parser!(PathBuf))
                .help("Configuration file"),
        )
        .after_help("Ends with 0 if every file can be used, with 1 if not, with 2 if it was called wrongly.");
    match command.try_get_matches_from(words) {
        Ok(matches) => Mode::CheckConfig {
            files: matches
                .get_many("FILE")
                .into_iter()
                .flatten()
                .cloned()
                .collect(),
            strict: matches.get_flag("strict"),
        },
        Err(error) => print(
            error.to_string().trim_end().to_string(),
            if error.use_stderr() { 2 } else { 0 },
        ),
    }
}

fn parse_check_rdb(words: &[OsString]) -> Mode {
    let path = || clap::value_parser!(PathBuf);
    let command = Command::new("ferrite check-rdb")
        .bin_name("ferrite check-rdb")
        .no_binary_name(true)
        .about("Checks an RDB file: names what is damaged, and saves what is not")
        .arg(
            Arg::new("FILE")
                .required(true)
                .value_parser(path())
                .help("RDB file"),
        )
        .arg(
            Arg::new("stats")
                .long("stats")
                .action(ArgAction::SetTrue)
                .help("Show keys and bytes by type, and the largest keys"),
        )
        .arg(
            Arg::new("salvage")
                .long("salvage")
                .value_name("OUT")
                .value_parser(path())
                .help("Write all intact keys to a new file"),
        )
        .after_help(
            "Ends with 0 if the file is intact, with 1 if not, with 2 if it was called wrongly.",
        );
    match command.try_get_matches_from(words) {
        Ok(matches) => Mode::CheckRdb(tool::Task {
            file: matches
                .get_one::<PathBuf>("FILE")
                .cloned()
                .unwrap_or_default(),
            stats: matches.get_flag("stats"),
            salvage: matches.get_one("salvage").cloned(),
        }),
        Err(error) => print(
            error.to_string().trim_end().to_string(),
            if error.use_stderr() { 2 } else { 0 },
        ),
    }
}

/// Redis' own words: the options stand in front of the file.
fn parse_check_aof(words: &[OsString]) -> Mode {
    let mut task = aof::check::Task::default();
    let usage = || print(aof::check::USAGE.to_owned(), 1);
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        match word.to_str() {
            Some("--fix") => task.fix = true,
            Some("--yes") => task.yes = true,
            Some("--truncate-to-timestamp") => {
                let time = rest.next().and_then(|word| word.to_str()?.parse().ok());
                if time.is_none() {
                    return print("Invalid timestamp, aborting...".into(), 1);
                }
                task.truncate_to = time;
            }
            Some(option) if option.starts_with("--") => return usage(),
            _ if task.file.as_os_str().is_empty() => task.file = PathBuf::from(word),
            _ => return usage(),
        }
    }
    if task.file.as_os_str().is_empty() || task.fix && task.truncate_to.is_some() {
        return usage();
    }
    Mode::CheckAof(task)
}

fn parse_restore(words: &[OsString]) -> Mode {
    let command = Command::new("ferrite restore")
        .bin_name("ferrite restore")
        .about("Makes a data directory as it was at a moment, from an append-only file and its history")
        .arg(
            Arg::new("at")
                .long("at")
                .value_name("UNIX-SECONDS")
                .value_parser(clap::value_parser!(i64))
                .help("With everything that was written until then (needs aof-timestamp-enabled)"),
        )
        .arg(
            Arg::new("seq")
                .long("seq")
                .value_name("N")
                .value_parser(clap::value_parser!(u64))
                .help("With unit N as the last one"),
        )
        .arg(
            Arg::new("before")
                .long("before")
                .value_name("COMMAND-PATTERN")
                .help("Before the last command that matches, such as flushall or 'del user:*'"),
        )
        .group(clap::ArgGroup::new("moment").args(["at", "seq", "before"]).required(true))
        .arg(
            Arg::new("out")
                .long("out")
                .value_name("DIR")
                .required(true)
                .value_parser(clap::value_parser!(PathBuf))
                .help("Directory to make; it must be empty or not there"),
        )
        .arg(
            Arg::new("MANIFEST")
                .required(true)
                .value_parser(clap::value_parser!(PathBuf))
                .help("The manifest of the append-only file"),
        );
    let matches = match command.try_get_matches_from(words) {
        Ok(matches) => matches,
        Err(error) => {
            return print(
                error.to_string().trim_end().to_string(),
                if error.use_stderr() { 2 } else { 0 },
            );
        }
    };
    let path = |name: &str| {
        matches
            .get_one::<PathBuf>(name)
            .cloned()
            .unwrap_or_default()
    };
    let moment = match (
        matches.get_one("at"),
        matches.get_one("seq"),
        matches.get_one::<String>("before"),
    ) {
        (Some(at), _, _) => Moment::At(*at),
        (_, Some(seq), _) => Moment::Seq(*seq),
        (_, _, pattern) => Moment::Before(pattern.cloned().unwrap_or_default()),
    };
    Mode::Restore(aof::restore::Task {
        moment,
        out: path("out"),
        manifest: path("MANIFEST"),
    })
}

/// ` v=N.N.N ` is the word that tools look for.
pub fn version_line() -> String {
    format!(
        "Redis server v={REDIS_VERSION} sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=0 ferrite={FERRITE_VERSION}"
    )
}

fn help(program: &str) -> String {
    format!(
        "Usage: {program} [FILE] [--DIRECTIVE VALUE ...] [-]
       {program} - (configuration from standard input)
       {program} sentinel FILE [--DIRECTIVE VALUE ...] (also FILE --sentinel)
       {program} check-config [--strict] FILE...
       {program} check-rdb [--stats] [--salvage OUT] FILE
       {program} check-aof [--fix] [--truncate-to-timestamp T] MANIFEST|FILE
       {program} restore --at T | --seq N | --before PATTERN --out DIR MANIFEST
       {program} --check-system
       {program} --test-memory MEGABYTES
       {program} cli [OPTIONS] [COMMAND [ARG ...]] (a client, as redis-cli; cli --help)
       {program} -v | --version
       {program} -h | --help

FILE is a configuration file in Redis' format; redis.conf.example explains every directive.
Directives given as options come after the file and take precedence over it.

Examples:
       {program}
       {program} /etc/redis/redis.conf
       {program} --port 7777 --appendonly yes
       {program} --save \"\" --maxmemory 512mb --maxmemory-policy allkeys-lru
       echo 'maxmemory 128mb' | {program} -
       {program} check-config /etc/redis/redis.conf"
    )
}

/// Does everything but run the server: the sources to load, or the code to end with.
pub fn run(words: impl IntoIterator<Item = OsString>) -> Result<Sources, u8> {
    match parse(words) {
        Mode::Server(mut sources) => {
            let lines = std::env::var_os(DEFAULTS_VARIABLE).unwrap_or_default();
            sources.defaults.extend(defaults(lines.as_bytes()));
            Ok(sources)
        }
        Mode::Print { text, code: 0 } => {
            say(&text);
            Err(0)
        }
        Mode::Print { text, code } => {
            eprintln!("{text}");
            Err(code)
        }
        Mode::CheckSystem => Err(run_check_system()),
        Mode::TestMemory(mebibytes) => Err(run_test_memory(mebibytes)),
        Mode::Client(words) => Err(client::run(words)),
        Mode::CheckAof(task) => Err(aof::check::run(&task)),
        Mode::Restore(task) => {
            let (text, code) = aof::restore::run(&task);
            if code == 0 {
                say(&text);
            } else {
                eprintln!("{text}");
            }
            Err(code)
        }
        Mode::CheckConfig { files, strict } => Err(run_check_config(&files, strict)),
        Mode::CheckRdb(task) => {
            let (text, code) = tool::run(&task);
            say(text.trim_end());
            Err(code)
        }
    }
}

/// The lines of `FERRITE_DEFAULTS`; a semicolon ends one as well.
fn defaults(text: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    text.split(|&b| b == b'\n' || b == b';')
        .map(|line| line.trim_ascii().to_vec())
        .filter(|line| !line.is_empty())
}

/// Loads the configuration, users included; an error is shown as Redis shows it.
pub fn load(sources: &Sources) -> Result<Config, u8> {
    let config =
        Config::load(sources).and_then(|config| match judge_lines(&config).into_iter().next() {
            Some(error) => Err(error),
            None => Ok(config),
        });
    config.map_err(|error| {
        eprintln!("{error}");
        1
    })
}

/// In Sentinel's mode, the Sentinel that the configuration describes.
///
/// # Errors
/// At what keeps it from starting.
pub fn sentinel(sentinel_mode: bool, config: &Config) -> Result<Option<Box<State>>, LoadError> {
    if !sentinel_mode {
        return Ok(None);
    }
    Ok(Some(Box::new(State::load(config)?)))
}

/// A reader that went away (`| head`) is no reason for a panic.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

fn run_check_system() -> u8 {
    let mut code = 0;
    for check in check_system(&Settings::default()) {
        match check.warning {
            None => say(&format!("[{}]...OK", check.name)),
            Some(warning) => {
                say(&format!("[{}]...WARNING:\n{warning}\n", check.name));
                code = 1;
            }
        }
    }
    code
}

/// The first `user` line and the first `rename-command` line that cannot be followed.
fn judge_lines(config: &Config) -> Vec<LoadError> {
    let users = acl::file::from_config(config).err();
    let names = Names::configured(&config.renamed_commands).err();
    users.into_iter().chain(names).collect()
}

/// What else than its directives is wrong with a configuration: users, names of commands, the ACL file, TLS, and all wrong
/// lines of a Sentinel.
fn judge(config: &Config) -> Vec<LoadError> {
    // What is wrong with the file as a whole, others say.
    let lines = judge_lines(config).into_iter();
    let lines = lines.filter(|error| matches!(error, LoadError::Line { .. }));
    let file = acl::file::faults(config).map(|reason| LoadError::Whole { reason });
    lines
        .chain(file)
        .chain(shell::wrong_lines(config))
        .chain(
            tls::check(config)
                .err()
                .map(|reason| LoadError::Whole { reason }),
        )
        .collect()
}

/// What of the TLS directives has no effect.
fn advise(config: &Config) -> Vec<String> {
    tls::check(config).unwrap_or_default()
}

/// A file with `sentinel` lines is a Sentinel's.
fn is_sentinels(file: &Path) -> bool {
    let text = std::fs::read(file).unwrap_or_default();
    let first = |line: &[u8]| {
        let line = line.trim_ascii();
        let end = line.iter().position(u8::is_ascii_whitespace);
        line[..end.unwrap_or(line.len())].eq_ignore_ascii_case(b"sentinel")
    };
    text.split(|b| *b == b'\n').any(first)
}

fn run_check_config(files: &[PathBuf], strict: bool) -> u8 {
    let mut code = 0;
    for file in files {
        let mut sources = Sources {
            file: Some(file.clone()),
            ..Sources::default()
        };
        if is_sentinels(file) {
            sources.sentinel_mode = true;
            sources.defaults = SENTINEL_DEFAULTS.iter().map(|w| w.to_vec()).collect();
        }
        let findings = lint::check_file(file, &sources, judge, advise);
        for finding in &findings {
            say(&format!("{}: {finding}", file.display()));
        }
        let errors = findings
            .iter()
            .filter(|f| f.severity == Severity::Error)
            .count();
        let warnings = findings.len() - errors;
        let usable = errors == 0 && (warnings == 0 || !strict);
        let verdict = if usable { "ok" } else { "not usable" };
        let whose = if sources.sentinel_mode {
            " for a Sentinel"
        } else {
            ""
        };
        say(&format!(
            "{}: {verdict}{whose} (errors: {errors}, warnings: {warnings})",
            file.display()
        ));
        if !usable {
            code = 1;
        }
    }
    code
}

#[cfg(test)]
mod tests;
