//! An interpreter, and the stack of its own that its scripts run on.
//!
//! A script calls commands, and may run for long. Both are done by suspending it: it has its own
//! stack, [`Engine::run`] switches to it, and comes back each time that the script wants something
//! ([`Step`]). The host does it with the server in its hands, and switches back. So Lua never
//! holds a reference to the server, and a script that takes long can be left alone in the middle.
//!
//! The memory limit holds while Lua code runs. It is lifted inside functions of the host, which
//! check what they are about to make instead ([`room_for`]).

use std::cell::Cell;
use std::mem;
use std::rc::Rc;
use std::time::{Duration, Instant};

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult};
use mlua::{Function, HookTriggers, Lua, LuaOptions, MultiValue, StdLib, Table, Value, VmState};

use super::direct::World;
use super::exchange::{Exchange, Job, Kind, Shared, Step, YIELDER, suspend};
use super::{api, direct, libs};

/// Instructions between two looks at the clock.
const HOOK_INSTRUCTIONS: u32 = 10_000;
/// Functions of the host look at it themselves after this long: they may take long each.
const LOOK_EVERY: Duration = Duration::from_millis(5);

thread_local! {
    /// When a script last looked at the clock.
    static LOOKED: Cell<Option<Instant>> = const { Cell::new(None) };
}
/// Bytes of a script's stack; only what is used takes memory. Lua nests at most 200 calls from C.
const STACK: usize = 64 << 20;

type Fiber = Coroutine<(), Step, ()>;

/// What the host does for a script.
pub trait Host {
    /// Runs the command in `exchange.request` and puts its reply there.
    fn call(&mut self, exchange: &Shared);
    /// Puts into `exchange.permitted` whether the user may run the command in `exchange.request`.
    fn check(&mut self, exchange: &Shared);
    /// The script has run for a while.
    fn pause(&mut self, exchange: &Shared);
}

/// How a script failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The error, with its code.
    pub text: Vec<u8>,
    /// Source and line, if they are known.
    pub at: Option<(String, i64)>,
    /// It is the error of a command, which has been counted.
    pub counted: bool,
}

impl Failure {
    fn plain(text: impl Into<Vec<u8>>) -> Failure {
        Failure {
            text: text.into(),
            at: None,
            counted: false,
        }
    }
}

/// A function that the interpreter keeps. (References of the host itself are few.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handle(i64);

/// The functions of the prelude that keep what was compiled.
struct Keepers {
    keep: Function,
    drop: Function,
}

/// One interpreter.
pub struct Engine {
    pub lua: Lua,
    pub exchange: Shared,
    keepers: Keepers,
    world: Rc<World>,
    fiber: Option<Fiber>,
}

impl Engine {
    /// A new interpreter with the world that scripts see.
    ///
    /// # Errors
    /// Those of the interpreter while it is built; only lack of memory is expected.
    pub fn new() -> mlua::Result<Engine> {
        let stds = StdLib::TABLE | StdLib::STRING | StdLib::MATH | StdLib::OS;
        let lua = Lua::new_with(stds, LuaOptions::new())?;
        let exchange = Exchange::new();
        lua.set_app_data(exchange.clone());
        let host = api::host(&lua, &exchange)?;
        host.raw_set("libraries", libs::libraries(&lua, &exchange)?)?;
        let prelude = lua.load(include_str!("prelude.lua")).set_name("=prelude");
        let (globals, keep, drop, library, inside): (Table, _, _, _, Table) =
            prelude.call((lua.globals(), host))?;
        lua.set_globals(globals)?;
        let world = Rc::new(World::new(library, &inside)?);
        arm(&lua, &exchange, HOOK_INSTRUCTIONS)?;
        Ok(Engine {
            lua,
            exchange,
            keepers: Keepers { keep, drop },
            world,
            fiber: None,
        })
    }

    /// Compiles a script; `name` is its place in error messages, without the leading `@`.
    ///
    /// # Errors
    /// The compiler's message.
    pub fn compile(&self, code: &[u8], name: &str) -> Result<Handle, String> {
        let chunk = self.lua.load(code).set_name(format!("@{name}"));
        let chunk = chunk.set_mode(mlua::ChunkMode::Text);
        let function = chunk.into_function().map_err(|error| match error {
            mlua::Error::SyntaxError { message, .. } => message,
            other => other.to_string(),
        })?;
        self.keep(function).map_err(|error| error.to_string())
    }

    /// Keeps a function until it is dropped.
    ///
    /// # Errors
    /// Those of the interpreter.
    pub fn keep(&self, function: Function) -> mlua::Result<Handle> {
        self.keepers.keep.call(function).map(Handle)
    }

    /// Forgets a function.
    pub fn drop_kept(&self, handle: Handle) {
        // It fails for lack of memory only, and then the function stays a while.
        let _ = self.keepers.drop.call::<()>(handle.0);
    }

    /// Bytes that the interpreter holds.
    pub fn used_memory(&self) -> usize {
        self.lua.used_memory()
    }

    /// Runs a script of EVAL.
    ///
    /// # Errors
    /// How it failed.
    pub fn run_script<'a>(
        &mut self,
        script: Handle,
        keys: impl ExactSizeIterator<Item = &'a [u8]>,
        argv: impl Iterator<Item = &'a [u8]>,
        host: &mut dyn Host,
    ) -> Result<Value, Failure> {
        self.run(Kind::Script, script, keys, argv, host)
    }

    /// Runs a function of a library.
    ///
    /// # Errors
    /// How it failed.
    pub fn run_function<'a>(
        &mut self,
        function: Handle,
        keys: impl ExactSizeIterator<Item = &'a [u8]>,
        argv: impl Iterator<Item = &'a [u8]>,
        host: &mut dyn Host,
    ) -> Result<Value, Failure> {
        self.run(Kind::Function, function, keys, argv, host)
    }

    /// Runs the code of a library, which registers its functions.
    ///
    /// # Errors
    /// How it failed.
    pub fn run_library(&mut self, code: Handle, host: &mut dyn Host) -> Result<(), Failure> {
        let none = std::iter::empty;
        self.run(Kind::Library, code, none(), none(), host)
            .map(drop)
    }

    /// Runs a job to its end, serving what it wants.
    fn run<'a>(
        &mut self,
        kind: Kind,
        handle: Handle,
        keys: impl ExactSizeIterator<Item = &'a [u8]>,
        argv: impl Iterator<Item = &'a [u8]>,
        host: &mut dyn Host,
    ) -> Result<Value, Failure> {
        {
            let mut exchange = self.exchange.borrow_mut();
            let numkeys = keys.len();
            exchange.arguments.set(keys.chain(argv), numkeys);
            exchange.job = Some(Job {
                kind,
                handle: handle.0,
            });
            exchange.resp3 = false;
            exchange.spread = crate::log::Spread::All;
            exchange.kill = None;
            exchange.killed_at = None;
        }
        // What the scripts before have left is not to count against this one.
        if self.lua.used_memory() > self.exchange.borrow().memory_limit / 2 {
            let _ = self.lua.gc_collect();
        }
        // While it runs it is taken out: a script inside a script finds none, and is refused.
        let mut fiber = match self.fiber.take() {
            Some(fiber) => fiber,
            None => fiber(&self.lua, &self.exchange, &self.world).map_err(Failure::plain)?,
        };
        loop {
            match fiber.resume(()) {
                CoroutineResult::Yield(Step::Call) => host.call(&self.exchange),
                CoroutineResult::Yield(Step::Check) => host.check(&self.exchange),
                CoroutineResult::Yield(Step::Pause) => host.pause(&self.exchange),
                CoroutineResult::Yield(Step::Done) => {
                    self.fiber = Some(fiber);
                    break;
                }
                CoroutineResult::Return(()) => break,
            }
        }
        self.outcome()
    }

    /// The result of the job that has ended.
    fn outcome(&self) -> Result<Value, Failure> {
        let mut exchange = self.exchange.borrow_mut();
        let result = exchange.result.take();
        if let Some(text) = exchange.kill.take() {
            let at = exchange.killed_at.take();
            drop(exchange);
            // What it was doing is garbage, and may be much.
            drop(result);
            let _ = self.lua.gc_collect();
            return Err(Failure {
                text: format!("ERR {text}").into_bytes(),
                at: at.map(|(source, line)| (source, line as i64)),
                counted: false,
            });
        }
        drop(exchange);
        let (fine, value, source, line, counted) = match result {
            Some(Ok(results)) => results,
            Some(Err(error)) => {
                let failure = internal(error);
                let _ = self.lua.gc_collect();
                return Err(failure);
            }
            None => return Err(Failure::plain("ERR the script has not run")),
        };
        if fine {
            return Ok(value);
        }
        let text = match value {
            Value::String(text) => text.as_bytes().to_vec(),
            _ => b"ERR unknown error".to_vec(),
        };
        let at = match (source, line) {
            (Value::String(source), Value::Integer(line)) => Some((source.to_string_lossy(), line)),
            _ => None,
        };
        Err(Failure { text, at, counted })
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let Some(mut fiber) = self.fiber.take() else {
            return;
        };
        // Without a job it returns.
        self.exchange.borrow_mut().job = None;
        if let CoroutineResult::Yield(_) = fiber.resume(()) {
            mem::forget(fiber);
        }
    }
}

/// Runs jobs until there is none.
fn fiber(lua: &Lua, exchange: &Shared, world: &Rc<World>) -> Result<Fiber, String> {
    let (lua, exchange, world) = (lua.clone(), exchange.clone(), world.clone());
    let stack = DefaultStack::new(STACK)
        .map_err(|error| format!("ERR can't make a stack for scripts: {error}"))?;
    Ok(Coroutine::with_stack(stack, move |yielder, ()| {
        loop {
            let Some(job) = exchange.borrow_mut().job.take() else {
                return;
            };
            let limit = exchange.borrow().memory_limit;
            let run = || {
                let result = direct::run(&lua, &world, job, &exchange, limit);
                lua.set_memory_limit(0)?;
                result
            };
            let result = YIELDER.set(yielder, run);
            exchange.borrow_mut().result = Some(result);
            yielder.suspend(Step::Done);
        }
    }))
}

/// Makes the running thread of the interpreter look up from its work every so many instructions.
fn arm(lua: &Lua, exchange: &Shared, every: u32) -> mlua::Result<()> {
    let shared = exchange.clone();
    let triggers = HookTriggers::new().every_nth_instruction(every);
    lua.set_global_hook(triggers, move |lua, _| {
        shared.borrow_mut().computes = true;
        look_up(lua, &shared, every)
    })
}

/// Tells the host that time has passed, and ends a script that is to end.
fn look_up(lua: &Lua, exchange: &Shared, every: u32) -> mlua::Result<VmState> {
    let killed = exchange.borrow().kill.is_some();
    if !killed && every != HOOK_INSTRUCTIONS {
        // The script before this one was ended.
        arm(lua, exchange, HOOK_INSTRUCTIONS)?;
        return Ok(VmState::Continue);
    }
    if !killed {
        suspend(Step::Pause);
    }
    let Some(text) = exchange.borrow().kill else {
        return Ok(VmState::Continue);
    };
    let limit = lua.set_memory_limit(0)?;
    if exchange.borrow().killed_at.is_none() {
        let place = api::place(lua, 0);
        exchange.borrow_mut().killed_at = place;
    }
    // From now on at every instruction, so that no pcall of the script gets past it.
    let armed = arm(lua, exchange, 1);
    lua.set_memory_limit(limit)?;
    armed?;
    Err(mlua::Error::runtime(text))
}

fn internal(error: mlua::Error) -> Failure {
    match error {
        mlua::Error::MemoryError(_) => Failure::plain("ERR not enough memory"),
        other => {
            let text = other.to_string();
            let first = text.lines().next().unwrap_or_default();
            Failure::plain(format!("ERR {first}"))
        }
    }
}

/// The arguments of a function of the host.
pub enum Params {
    Few(MultiValue),
    Many(Table, usize),
}

impl Params {
    /// What the prelude passes: a count and the arguments, or minus the count and a table of them.
    pub fn new(mut values: MultiValue) -> mlua::Result<Params> {
        let count = match values.pop_front() {
            Some(Value::Integer(n)) => n,
            _ => return Err(mlua::Error::runtime("no count of arguments")),
        };
        match values.front() {
            Some(Value::Table(all)) if count < 0 => {
                Ok(Params::Many(all.clone(), count.unsigned_abs() as usize))
            }
            _ => Ok(Params::Few(values)),
        }
    }

    pub fn len(&self) -> usize {
        match self {
            Params::Few(values) => values.len(),
            Params::Many(_, count) => *count,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Argument `at` (from 0); nil if there are fewer.
    pub fn get(&self, at: usize) -> mlua::Result<Value> {
        match self {
            Params::Few(values) => Ok(values.get(at).cloned().unwrap_or(Value::Nil)),
            Params::Many(all, _) => all.raw_get(at + 1),
        }
    }
}

/// Makes a function of the host one that a [`trampoline`](super::trampoline) calls. The memory limit
/// is lifted while it runs.
pub fn native<F>(lua: &Lua, function: F) -> mlua::Result<Function>
where
    F: Fn(&Lua, &Params) -> Result<MultiValue, Raise> + 'static,
{
    lua.create_function(move |lua, values: MultiValue| {
        let limit = lua.set_memory_limit(0)?;
        let outcome = match Params::new(values)
            .map_err(Raise::Lua)
            .and_then(|p| function(lua, &p))
        {
            Ok(mut values) => {
                values.push_front(Value::Boolean(true));
                Ok(values)
            }
            Err(Raise::Text(text)) => Ok(MultiValue::from_iter([
                Value::Boolean(false),
                Value::String(lua.create_string(text)?),
            ])),
            Err(Raise::Table(error)) => {
                Ok(MultiValue::from_iter([Value::Nil, Value::Table(error)]))
            }
            Err(Raise::Lua(error)) => Err(error),
        };
        lua.set_memory_limit(limit)?;
        let now = Instant::now();
        let due = LOOKED.get().is_none_or(|then| now - then > LOOK_EVERY);
        if due && YIELDER.is_set() {
            LOOKED.set(Some(now));
            obey(lua, true)?;
        }
        outcome
    })
}

/// Ends the running script if it is to end; asks about that first if `ask`.
///
/// # Errors
/// The end of the script.
pub fn obey(lua: &Lua, ask: bool) -> mlua::Result<()> {
    let shared = lua.app_data_ref::<Shared>().map(|shared| shared.clone());
    let Some(shared) = shared else {
        return Ok(());
    };
    if ask || shared.borrow().kill.is_some() {
        look_up(lua, &shared, HOOK_INSTRUCTIONS)?;
    }
    Ok(())
}

/// One result.
pub fn one(value: Value) -> MultiValue {
    MultiValue::from_iter([value])
}

/// Why a function of the host fails.
#[derive(Debug)]
pub enum Raise {
    /// A message that gets the place of the caller in front.
    Text(Vec<u8>),
    /// An error as a table.
    Table(Table),
    /// The interpreter's own.
    Lua(mlua::Error),
}

impl From<mlua::Error> for Raise {
    fn from(error: mlua::Error) -> Raise {
        Raise::Lua(error)
    }
}

impl From<&str> for Raise {
    fn from(text: &str) -> Raise {
        Raise::Text(text.as_bytes().to_vec())
    }
}

impl From<String> for Raise {
    fn from(text: String) -> Raise {
        Raise::Text(text.into_bytes())
    }
}

/// Checks that the interpreter may hold `bytes` more.
pub fn room_for(lua: &Lua, exchange: &Shared, bytes: usize) -> Result<(), Raise> {
    let limit = exchange.borrow().memory_limit;
    let over = || lua.used_memory().saturating_add(bytes) > limit;
    if limit > 0 && over() {
        // Much of it may be garbage.
        lua.gc_collect()?;
        if over() {
            return Err("not enough memory".into());
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
