//! What an interpreter and its host tell each other while a script is suspended.
//!
//! A script runs on a stack of its own ([`engine`](super::engine)). When it needs the server, it puts
//! its wish in here and suspends itself; the host fulfils the wish, puts the answer in here and
//! resumes the script. So no function that Lua calls ever holds the server.

use std::cell::RefCell;
use std::rc::Rc;

use corosensei::Yielder;
use mlua::{Function, Value};

use super::direct::Arguments;
use crate::command::args::Args;
use crate::log::Spread;
use crate::resp::request::Span;

/// Why a script suspended itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It ended; the result is there.
    Done,
    /// It calls a command.
    Call,
    /// It asks whether its user may call a command.
    Check,
    /// It has run many instructions since it was last heard of.
    Pause,
}

/// Bytes of a request: one string can be an argument many times.
const MAX_REQUEST: usize = 2 << 30;

/// The arguments of a command that a script calls.
#[derive(Debug, Default)]
pub struct Request {
    pub buf: Vec<u8>,
    pub spans: Vec<Span>,
}

impl Request {
    pub fn clear(&mut self) {
        self.buf.clear();
        self.spans.clear();
    }

    /// Adds what `write` appends as one argument. False if the request has become too long to be one.
    #[must_use]
    pub fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        let at = self.buf.len();
        write(&mut self.buf);
        if self.buf.len() > MAX_REQUEST {
            return false;
        }
        self.spans.push(Span::new(at, self.buf.len() - at));
        true
    }

    pub fn args(&self) -> Args<'_> {
        Args::new(&self.buf, &[], &self.spans)
    }
}

/// A function that a library registers while it is loaded.
pub struct Registration {
    pub name: String,
    pub callback: Function,
    pub description: Option<Vec<u8>>,
    pub flags: super::flags::ScriptFlags,
}

/// What is to run next: the number of what is kept, and how it runs.
#[derive(Clone, Copy)]
pub struct Job {
    pub kind: Kind,
    pub handle: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Finds its keys and arguments in globals.
    Script,
    /// Is called with its keys and arguments.
    Function,
    /// Sees what code sees that is being loaded.
    Library,
}

/// What a job ended with: whether it is fine, the value or the text of the error, where that happened
/// (source and line), and whether the error has been counted.
pub type Results = (bool, Value, Value, Value, bool);

/// The state that both sides share.
pub struct Exchange {
    pub job: Option<Job>,
    /// The strings that the job is to have.
    pub arguments: Arguments,
    pub result: Option<mlua::Result<Results>>,
    pub request: Request,
    /// The reply to the request, in wire form; its buffer goes to and fro.
    pub reply: Vec<u8>,
    /// The command has run, and its reply is there to be converted.
    pub answered: bool,
    /// The answer to [`Step::Check`]; `None` if there is no such command.
    pub permitted: Option<bool>,
    /// Protocol that the script wants replies in.
    pub resp3: bool,
    /// For whom its effects are (`redis.set_repl`).
    pub spread: Spread,
    /// The text of the error that the script must end with.
    pub kill: Option<&'static str>,
    /// Where it was when it first saw that.
    pub killed_at: Option<(String, usize)>,
    /// It looks up because it has computed for long, not because a command has taken long.
    pub computes: bool,
    /// Most bytes that the interpreter may hold while a script runs.
    pub memory_limit: usize,
    /// What a library has registered, while one is being loaded.
    pub loading: Option<Vec<Registration>>,
}

impl Exchange {
    pub fn new() -> Shared {
        Rc::new(RefCell::new(Exchange {
            job: None,
            arguments: Arguments::default(),
            result: None,
            request: Request::default(),
            reply: Vec::new(),
            answered: false,
            permitted: None,
            resp3: false,
            spread: Spread::All,
            kill: None,
            killed_at: None,
            computes: false,
            memory_limit: 0,
            loading: None,
        }))
    }
}

pub type Shared = Rc<RefCell<Exchange>>;

scoped_tls::scoped_thread_local!(
    /// The way out of the script that runs now.
    pub static YIELDER: Yielder<(), Step>
);

/// Suspends the running script until the host has done what `step` says. False if no script runs
/// on a stack of its own.
pub fn suspend(step: Step) -> bool {
    if !YIELDER.is_set() {
        return false;
    }
    YIELDER.with(|yielder| yielder.suspend(step));
    true
}
