//! `ferrite cli`: a client for people and scripts, used as redis-cli is.
//!
//! [`options`] reads the command line, [`session`] speaks with the server over a [`link`], [`format`] shows replies,
//! [`repl`] takes commands one after another (on a terminal through [`editor`], with [`facts`], [`hints`] and [`help`] of
//! commands), and [`modes`] does everything else: `--scan`, `--pipe`, `--bigkeys`, `--rdb` and so on. What is printed is
//! what redis-cli 7.0 prints, byte for byte, because scripts read it; tests/cli.rs compares the two.
//!
//! It is a blocking program of one thread, with one more for Ctrl-C and one for messages that come while a line is typed.

mod editor;
mod facts;
mod format;
mod help;
mod hints;
mod history;
mod interrupt;
mod link;
mod listener;
mod modes;
mod options;
mod password;
mod repl;
mod session;
mod uri;

use std::ffi::OsString;
use std::io::{self, IsTerminal, Read};
use std::os::unix::ffi::OsStringExt;

use self::facts::Facts;
use self::options::{Mode, Options, Stdin, Stop};
use self::session::{Session, print};

/// Runs `ferrite cli` with the words behind its name; the process's exit code.
pub fn run(words: Vec<OsString>) -> u8 {
    let password = std::env::var_os("REDISCLI_AUTH").map(OsStringExt::into_vec);
    let mut options = match options::parse(words, password) {
        Ok(options) => options,
        Err(stop) => return tell(&stop),
    };
    if options.askpass {
        match password::ask() {
            Ok(password) => options.target.password = Some(password),
            Err(error) => return fail(&format!("Can't read the password: {error}")),
        }
    }
    if options.quoted_input {
        let args = options.args.iter().map(|arg| options::unquote(arg));
        match args.collect() {
            Some(args) => options.args = args,
            None => {
                print(b"Invalid quoted string\n");
                return 1;
            }
        }
    }
    let pretend = std::env::var_os("FAKETTY").is_some_and(|value| value == "1");
    let tty = io::stdout().is_terminal() || pretend;
    start(options, tty)
}

fn tell(stop: &Stop) -> u8 {
    match stop {
        Stop::Help => print(format!("{}\n", help::USAGE).as_bytes()),
        Stop::Version => print(
            format!(
                "redis-cli {} (ferrite cli {})\n",
                crate::cli::REDIS_VERSION,
                crate::cli::FERRITE_VERSION
            )
            .as_bytes(),
        ),
        Stop::Error(text) => return fail(text),
    }
    0
}

/// Says why not.
fn fail(text: &str) -> u8 {
    eprintln!("{text}");
    1
}

fn start(options: Options, tty: bool) -> u8 {
    let mode = options.mode.clone();
    let waits = options.stdin == Stdin::No && options.args.is_empty();
    let mut session = Session::new(options, tty);
    match mode {
        Mode::Commands if waits => return repl::run(session),
        // From the own table of commands: it needs no server.
        Mode::Commands if help::is_asked(&session.options.args) => {
            let topic = &session.options.args[1..];
            print(help::answer(&Facts::own(), topic, tty).as_bytes());
            return 0;
        }
        Mode::IntrinsicLatency(time) => return modes::latency::intrinsic(time),
        Mode::TestHints(file) => return modes::hint_file::run(&mut session, &file),
        _ => {}
    }
    if !session.connect(false) {
        return 1;
    }
    match mode {
        Mode::Commands => command(&mut session),
        Mode::Eval(file) => modes::eval::run(&mut session, &file),
        Mode::Pipe => modes::pipe::run(&mut session),
        Mode::Scan => modes::scan::run(&mut session),
        Mode::Stat => modes::stat::run(&mut session),
        Mode::Latency => modes::latency::run(&mut session, false),
        Mode::LatencyHistory => modes::latency::run(&mut session, true),
        Mode::LatencyDist => modes::spectrum::run(&mut session),
        Mode::BigKeys => modes::keys::run(&mut session, modes::keys::Measure::Elements),
        Mode::MemKeys(samples) => {
            modes::keys::run(&mut session, modes::keys::Measure::Memory(samples))
        }
        Mode::HotKeys => modes::hot_keys::run(&mut session),
        Mode::Rdb {
            file,
            functions_only,
        } => modes::rdb::run(&mut session, &file, functions_only),
        Mode::Replica => modes::replica::follow(&mut session),
        Mode::IntrinsicLatency(_) | Mode::TestHints(_) => 0,
    }
}

/// The command of the command line.
fn command(session: &mut Session) -> u8 {
    let mut args = session.options.args.clone();
    if session.options.stdin != Stdin::No {
        let mut text = Vec::new();
        if let Err(error) = io::stdin().lock().read_to_end(&mut text) {
            return fail(&format!("Can't read from standard input: {error}"));
        }
        match &session.options.stdin {
            Stdin::Tag(_) if args.is_empty() => args.push(text),
            Stdin::Tag(tag) => match args.iter_mut().find(|arg| *arg == tag) {
                Some(arg) => *arg = text,
                None => return fail("Using -X option but stdin tag not match."),
            },
            Stdin::Last | Stdin::No => args.push(text),
        }
    }
    session.repeat(&args)
}
