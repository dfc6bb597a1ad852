//! Lua scripts and libraries of functions.
//!
//! [`Scripts`] is what the server keeps: compiled scripts by digest, libraries by name, and two
//! interpreters, one for each. An [`engine`] runs a script and asks its [`host`] for what it needs
//! of the server.

pub mod api;
pub mod cache;
pub mod convert;
pub mod direct;
pub mod engine;
pub mod exchange;
pub mod flags;
pub mod functions;
pub mod host;
pub mod libs;
pub mod payload;
pub mod trampoline;

use std::collections::BTreeMap;

use send_wrapper::SendWrapper;

use crate::command::args::Args;
use crate::command::error::Error;
use crate::command::registry::Command;
use crate::command::spec::{Flags, Group};
use crate::config::Config;
use cache::Cache;
use engine::Engine;
use flags::ScriptFlags;
use functions::{Libraries, Library};

/// An interpreter, made when it is needed first. It belongs to the thread that made it.
#[derive(Default)]
pub struct Place(Option<SendWrapper<Box<Engine>>>);

impl Place {
    /// The interpreter, to compile with.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn engine(&mut self) -> Result<&mut Engine, Error> {
        if self.0.is_none() {
            let engine = Engine::new()
                .map_err(|error| Error::text(format!("ERR can't make an interpreter: {error}")))?;
            self.0 = Some(SendWrapper::new(Box::new(engine)));
        }
        match &mut self.0 {
            Some(engine) => Ok(engine),
            None => Err(Error::new("ERR can't make an interpreter")),
        }
    }

    /// Takes the interpreter out to run something.
    fn take(&mut self) -> Option<SendWrapper<Box<Engine>>> {
        self.0.take()
    }

    fn put_back(&mut self, engine: SendWrapper<Box<Engine>>) {
        self.0 = Some(engine);
    }

    /// The interpreter, if there is one and it does not run.
    pub fn get(&self) -> Option<&Engine> {
        self.0.as_ref().map(|engine| &***engine)
    }

    /// Bytes that the interpreter holds.
    pub fn memory(&self) -> usize {
        self.get().map_or(0, Engine::used_memory)
    }

    /// Forgets the interpreter with all that it has compiled.
    pub fn clear(&mut self) {
        self.0 = None;
    }
}

/// What becomes of the libraries that are there when others come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// They go.
    Flush,
    /// They stay; nothing may have the same name.
    Append,
    /// Those of the same name go.
    Replace,
}

/// A script that runs now.
#[derive(Debug, Default)]
pub struct Running {
    /// It is a function of a library.
    pub is_function: bool,
    /// Monotonic µs at which it began.
    pub begin_us: i64,
    /// It has called a command that writes: it can't be killed.
    pub wrote: bool,
    /// It has run for longer than `busy-reply-threshold`: others are told so.
    pub busy: bool,
    /// Somebody wants it to end.
    pub kill: bool,
    /// Digest or name, and the call; known once it is busy.
    pub name: String,
    pub call: Vec<Vec<u8>>,
}

/// Everything of scripts that the server keeps.
#[derive(Default)]
pub struct Scripts {
    /// Interpreter of EVAL.
    pub eval: Place,
    pub cache: Cache,
    /// Interpreter of libraries.
    pub functions: Place,
    pub libraries: Libraries,
    pub running: Option<Running>,
    /// Scripts that had to go for newer ones.
    pub evicted: u64,
}

impl Scripts {
    /// Sources of all libraries, in the order of their names.
    pub fn library_sources(&self) -> Vec<Vec<u8>> {
        self.libraries.sources()
    }

    /// Adds libraries, all or none.
    ///
    /// # Errors
    /// What is wrong with the first that cannot be added.
    pub fn restore(
        &mut self,
        sources: &[Vec<u8>],
        policy: Policy,
        config: &Config,
    ) -> Result<(), Error> {
        if sources.is_empty() && policy != Policy::Flush {
            return Ok(());
        }
        let limit = memory_limit(config);
        let mut new = Vec::new();
        let mut outcome = Ok(());
        for source in sources {
            match self
                .functions
                .engine()
                .and_then(|engine| functions::create(engine, source, limit))
            {
                Ok(library) => new.push(library),
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            }
        }
        let outcome = outcome.and_then(|()| match policy {
            Policy::Flush => Libraries::default().admits(&new, false),
            Policy::Append => self.libraries.admits(&new, false),
            Policy::Replace => self.libraries.admits(&new, true),
        });
        if let Err(error) = outcome {
            self.forget(&new);
            return Err(error);
        }
        if policy == Policy::Flush {
            let old: Vec<Library> = self.libraries.iter().cloned().collect();
            self.libraries.clear();
            self.forget(&old);
        }
        for library in new {
            if let Some(old) = self.libraries.add(library) {
                self.forget(&[old]);
            }
        }
        Ok(())
    }

    /// Lets the interpreter forget libraries.
    pub fn forget(&self, libraries: &[Library]) {
        if let Some(engine) = self.functions.get() {
            libraries
                .iter()
                .for_each(|library| functions::forget(engine, library));
        }
    }

    /// The script has run for long and others are told so.
    pub fn is_busy(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.busy)
    }

    /// What others hear while a script runs for long.
    pub fn busy_error(&self) -> Error {
        match &self.running {
            Some(running) if running.is_function => Error::new(
                "BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.",
            ),
            _ => Error::new(
                "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
            ),
        }
    }

    /// Asks the running script to end.
    ///
    /// # Errors
    /// If there is none that may be ended in this way.
    pub fn kill(&mut self, is_function: bool) -> Result<(), Error> {
        let busy = self.busy_error();
        let Some(running) = &mut self.running else {
            return Err(Error::new("NOTBUSY No scripts in execution right now."));
        };
        if running.wrote {
            return Err(Error::new(
                "UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait the script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command.",
            ));
        }
        if running.is_function != is_function {
            return Err(busy);
        }
        running.kill = true;
        Ok(())
    }

    /// The flags of a call: a script that says what it does has those of what it does.
    pub fn flags_of_call(&self, command: &'static Command, args: &Args<'_>) -> Flags {
        let flags = command.flags;
        if command.spec.group != Group::Scripting || args.len() < 3 {
            return flags;
        }
        let declared = match command.spec.name {
            "eval" | "eval_ro" if args[1].starts_with(b"#!") => {
                flags::of_script(&args[1]).ok().map(|(flags, _)| flags)
            }
            "evalsha" | "evalsha_ro" => self.cache.peek(&args[1]).map(|script| script.flags),
            "fcall" | "fcall_ro" => self.libraries.find(&args[1]).map(|f| f.flags),
            _ => None,
        };
        match declared {
            Some(declared) if !declared.contains(ScriptFlags::COMPATIBLE) => {
                command_flags(flags, declared)
            }
            _ => flags,
        }
    }

    /// Bytes of all that is kept beside the interpreters.
    pub fn memory(&self) -> usize {
        self.cache.memory() + self.libraries.memory()
    }
}

fn command_flags(mut flags: Flags, declared: ScriptFlags) -> Flags {
    flags.remove(Flags::STALE | Flags::DENYOOM | Flags::WRITE | Flags::MAY_REPLICATE);
    let writes = !declared.contains(ScriptFlags::NO_WRITES);
    flags.set(
        Flags::DENYOOM,
        writes && !declared.contains(ScriptFlags::ALLOW_OOM),
    );
    flags.set(Flags::WRITE, writes);
    flags.set(Flags::STALE, declared.contains(ScriptFlags::ALLOW_STALE));
    flags
}

/// Most bytes that an interpreter may hold while a script runs: what is configured, else
/// `maxmemory`, but at most half of the machine's memory.
pub fn memory_limit(config: &Config) -> usize {
    let half = crate::base::sys::total_memory() / 2;
    let limit = match (config.script_memory_limit, config.maxmemory) {
        (0, 0) => half,
        (0, maxmemory) => maxmemory.max(MIN_LIMIT).min(half),
        (limit, _) => limit.max(MIN_LIMIT),
    };
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// The world of an interpreter alone takes some hundred KiB.
const MIN_LIMIT: u64 = 4 << 20;

/// A name in lower case, by which functions are found.
fn folded(name: &[u8]) -> Vec<u8> {
    name.to_ascii_lowercase()
}

/// Named things in order.
type Named<T> = BTreeMap<String, T>;
