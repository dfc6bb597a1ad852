//! The functions of `redis`, and what the prelude needs of the host beside the libraries.

use std::cell::Cell;

use mlua::{Function, Lua, MultiValue, Table, Value};
use sha1::{Digest, Sha1};

use super::engine::{Params, Raise, native, obey, one, room_for};
use super::exchange::{Registration, Request, Shared, Step, suspend};
use super::flags::{BAD_NAME, ScriptFlags, valid_name};
use super::libs::{bad_argument, type_name};
use super::trampoline;
use super::{convert, direct};
use crate::base::num;
use crate::log::{Consumer, Spread};

const REPL_AOF: i64 = 1;
const REPL_REPLICAS: i64 = 2;

/// Everything that the prelude builds upon.
///
/// # Errors
/// Those of the interpreter.
pub fn host(lua: &Lua, exchange: &Shared) -> mlua::Result<Table> {
    let host = lua.create_table()?;
    host.raw_set("bind", lua.create_function(trampoline::plain)?)?;
    host.raw_set("bind_pattern", lua.create_function(trampoline::pattern)?)?;
    host.raw_set("bind_host", lua.create_function(trampoline::counted)?)?;
    let shared = exchange.clone();
    host.raw_set(
        "bind_command",
        lua.create_function(move |lua, f| direct::command(lua, f, &shared))?,
    )?;
    host.raw_set("where", where_function(lua)?)?;
    host.raw_set("constants", constants(lua)?)?;
    host.raw_set("rep", rep(lua, exchange)?)?;
    let state = std::rc::Rc::new(Cell::new(Random::from_os()));
    let seed = state.clone();
    let random = native(lua, move |lua, params| random(lua, params, &state))?;
    host.raw_set("random", random)?;
    let randomseed = native(lua, move |lua, params| {
        seed.set(Random::seeded(number(lua, params, 0)? as i64 as i32));
        Ok(MultiValue::new())
    })?;
    host.raw_set("randomseed", randomseed)?;
    host.raw_set("api", functions(lua, exchange)?)?;
    let shared = exchange.clone();
    let register = command_like(lua, move |_, params| register(&shared, params))?;
    host.raw_set("register_function", register)?;
    Ok(host)
}

fn constants(lua: &Lua) -> mlua::Result<Table> {
    let all = lua.create_table()?;
    for (name, value) in [
        ("LOG_DEBUG", 0),
        ("LOG_VERBOSE", 1),
        ("LOG_NOTICE", 2),
        ("LOG_WARNING", 3),
        ("REPL_NONE", 0),
        ("REPL_AOF", REPL_AOF),
        ("REPL_SLAVE", REPL_REPLICAS),
        ("REPL_REPLICA", REPL_REPLICAS),
        ("REPL_ALL", REPL_AOF | REPL_REPLICAS),
    ] {
        all.raw_set(name, value)?;
    }
    let version = crate::cli::REDIS_VERSION;
    let parts = version
        .split('.')
        .filter_map(|part| part.parse::<i64>().ok());
    all.raw_set("REDIS_VERSION", version)?;
    all.raw_set(
        "REDIS_VERSION_NUM",
        parts.fold(0, |number, part| number << 8 | part),
    )?;
    Ok(all)
}

/// Source and line of the innermost code of a user, from `level` on.
pub fn place(lua: &Lua, level: usize) -> Option<(String, usize)> {
    for level in level.. {
        let found = lua.inspect_stack(level, |debug| {
            let source = debug.source();
            let user = source
                .source
                .as_ref()
                .is_some_and(|s| s.starts_with("@user_"));
            user.then(|| {
                let source = source.source.unwrap_or_default().into_owned();
                (source, debug.current_line().unwrap_or(0))
            })
        });
        match found {
            None => return None,
            Some(None) => {}
            Some(place) => return place,
        }
    }
    None
}

fn where_function(lua: &Lua) -> mlua::Result<Function> {
    lua.create_function(|lua, ()| {
        let limit = lua.set_memory_limit(0)?;
        let found = match place(lua, 1) {
            Some((source, line)) => {
                Some((lua.create_string(source)?, i64::try_from(line).unwrap_or(0)))
            }
            None => None,
        };
        lua.set_memory_limit(limit)?;
        Ok(found.unzip())
    })
}

/// `redis.call`, or `redis.pcall`, which returns errors instead of raising them.
fn call_function(lua: &Lua, exchange: &Shared, raises: bool) -> mlua::Result<Function> {
    let shared = exchange.clone();
    lua.create_function(move |lua, values: MultiValue| {
        let limit = lua.set_memory_limit(0)?;
        let reply = match call(lua, &shared, values) {
            Ok(reply) => Ok(reply),
            Err(Raise::Text(text)) => {
                convert::error(lua, &text).map(|error| (Value::Table(error), true))
            }
            Err(Raise::Table(error)) => Ok((Value::Table(error), true)),
            Err(Raise::Lua(error)) => Err(error),
        };
        lua.set_memory_limit(limit)?;
        if shared.borrow().kill.is_some() {
            obey(lua, false)?;
        }
        let (value, failed) = reply?;
        let fine = if failed && raises { None } else { Some(true) };
        Ok((fine, value))
    })
}

/// Wraps a function whose errors are tables, as those of commands.
fn command_like<F>(lua: &Lua, function: F) -> mlua::Result<Function>
where
    F: Fn(&Lua, &Params) -> Result<MultiValue, Raise> + 'static,
{
    native(lua, move |lua, params| match function(lua, params) {
        Err(Raise::Text(text)) => Err(Raise::Table(convert::error(lua, &text)?)),
        other => other,
    })
}

fn call(lua: &Lua, shared: &Shared, values: MultiValue) -> Result<(Value, bool), Raise> {
    let answered = std::mem::take(&mut shared.borrow_mut().answered);
    if !answered {
        let params = Params::new(values)?;
        let mut exchange = shared.borrow_mut();
        exchange.request.clear();
        if exchange.loading.is_some() {
            return Err(
                "ERR redis.call/pcall can only be called inside a script invocation".into(),
            );
        }
        request(&params, &mut exchange.request)?;
        drop(exchange);
        if !suspend(Step::Call) {
            return Err(
                "ERR redis.call/pcall can only be called inside a script invocation".into(),
            );
        }
    }
    let mut exchange = shared.borrow_mut();
    if exchange.request.buf.capacity() > 64 * 1024 {
        exchange.request = Request::default();
    }
    let wire = std::mem::take(&mut exchange.reply);
    drop(exchange);
    let outcome = room_for(lua, shared, wire.len())
        .map_err(|_| Raise::from("ERR not enough memory for the reply of the command"))
        .and_then(|()| convert::from_reply(lua, &wire));
    if wire.capacity() <= 64 * 1024 {
        shared.borrow_mut().reply = wire;
    }
    outcome
}

/// The arguments of a call as arguments of a command.
fn request(params: &Params, request: &mut Request) -> Result<(), Raise> {
    if params.is_empty() {
        return Err("ERR Please specify at least one argument for this redis lib call".into());
    }
    for at in 0..params.len() {
        let value = match params {
            Params::Few(values) => values.get(at).map(std::borrow::Cow::Borrowed),
            Params::Many(..) => Some(std::borrow::Cow::Owned(params.get(at)?)),
        };
        let fits = match value.as_deref() {
            Some(Value::String(text)) => {
                request.push(|buf| buf.extend_from_slice(&text.as_bytes()))
            }
            Some(Value::Integer(n)) => request.push(|buf| num::write_i64(buf, *n)),
            Some(Value::Number(n)) => request.push(|buf| num::write_f64(buf, *n)),
            _ => {
                return Err(
                    "ERR Lua redis lib command arguments must be strings or integers".into(),
                );
            }
        };
        if !fits {
            request.clear();
            return Err("ERR the arguments of the command are too long".into());
        }
    }
    Ok(())
}

/// The functions of `redis`.
fn functions(lua: &Lua, exchange: &Shared) -> mlua::Result<Table> {
    let all = lua.create_table()?;
    all.raw_set("call", call_function(lua, exchange, true)?)?;
    all.raw_set("pcall", call_function(lua, exchange, false)?)?;
    all.raw_set("error_reply", command_like(lua, error_reply)?)?;
    all.raw_set("status_reply", command_like(lua, status_reply)?)?;
    all.raw_set("sha1hex", command_like(lua, sha1hex)?)?;
    all.raw_set("log", command_like(lua, log)?)?;
    let shared = exchange.clone();
    all.raw_set(
        "setresp",
        command_like(lua, move |lua, params| setresp(lua, &shared, params))?,
    )?;
    let shared = exchange.clone();
    all.raw_set(
        "set_repl",
        command_like(lua, move |_, params| set_repl(&shared, params))?,
    )?;
    let shared = exchange.clone();
    all.raw_set(
        "acl_check_cmd",
        command_like(lua, move |_, params| acl_check(&shared, params))?,
    )?;
    all.raw_set(
        "replicate_commands",
        command_like(lua, |_, _| Ok(one(Value::Boolean(true))))?,
    )?;
    // There is no debugger to stop in or to print to.
    all.raw_set(
        "breakpoint",
        command_like(lua, |_, _| Ok(one(Value::Boolean(false))))?,
    )?;
    all.raw_set("debug", command_like(lua, |_, _| Ok(MultiValue::new()))?)?;
    Ok(all)
}

fn sha1hex(lua: &Lua, params: &Params) -> Result<MultiValue, Raise> {
    if params.len() != 1 {
        return Err("ERR wrong number of arguments".into());
    }
    let text = text_of(&params.get(0)?).unwrap_or_default();
    Ok(one(Value::String(lua.create_string(hex_digest(&text))?)))
}

/// SHA1 in hex digits.
pub fn hex_digest(text: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digest = Sha1::digest(text);
    let mut hex = String::with_capacity(40);
    for byte in digest {
        hex.push(char::from(DIGITS[usize::from(byte >> 4)]));
        hex.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    hex
}

fn log(_: &Lua, params: &Params) -> Result<MultiValue, Raise> {
    if params.len() < 2 {
        return Err("ERR redis.log() requires two arguments or more.".into());
    }
    let level = match params.get(0)? {
        Value::Integer(level) => level,
        Value::Number(level) => level as i64,
        _ => return Err("ERR First argument must be a number (log level).".into()),
    };
    let mut line = Vec::new();
    for at in 1..params.len() {
        if at > 1 {
            line.push(b' ');
        }
        line.extend(text_of(&params.get(at)?).unwrap_or_default());
    }
    let line = String::from_utf8_lossy(&line);
    match level {
        0 => tracing::trace!("{line}"),
        1 => tracing::debug!("{line}"),
        2 => tracing::info!("{line}"),
        3 => tracing::warn!("{line}"),
        _ => return Err("ERR Invalid log level.".into()),
    }
    Ok(MultiValue::new())
}

fn setresp(lua: &Lua, shared: &Shared, params: &Params) -> Result<MultiValue, Raise> {
    if params.len() != 1 {
        return Err("ERR redis.setresp() requires one argument.".into());
    }
    let version = match params.get(0)? {
        // As for all of Lua's own, a string that says a number is one.
        Value::String(_) => number(lua, params, 0).unwrap_or(0.0),
        Value::Integer(n) => n as f64,
        Value::Number(n) => n,
        _ => 0.0,
    };
    let resp3 = match version as i64 {
        2 => false,
        3 => true,
        _ => return Err("ERR RESP version must be 2 or 3.".into()),
    };
    shared.borrow_mut().resp3 = resp3;
    Ok(MultiValue::new())
}

fn set_repl(shared: &Shared, params: &Params) -> Result<MultiValue, Raise> {
    if params.len() != 1 {
        return Err("ERR redis.set_repl() requires one argument.".into());
    }
    let flags = match params.get(0)? {
        Value::Integer(flags) => flags,
        // As in C, what is no number is 0.
        _ => 0,
    };
    if flags & !(REPL_AOF | REPL_REPLICAS) != 0 {
        return Err(
            "ERR Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE."
                .into(),
        );
    }
    shared.borrow_mut().spread = match (flags & REPL_AOF != 0, flags & REPL_REPLICAS != 0) {
        (true, true) => Spread::All,
        (true, false) => Spread::Only(Consumer::File),
        (false, true) => Spread::Only(Consumer::Replicas),
        (false, false) => Spread::Nobody,
    };
    Ok(MultiValue::new())
}

fn acl_check(shared: &Shared, params: &Params) -> Result<MultiValue, Raise> {
    {
        let mut exchange = shared.borrow_mut();
        exchange.request.clear();
        exchange.permitted = None;
        request(params, &mut exchange.request)?;
    }
    if !suspend(Step::Check) {
        return Err("ERR redis.acl_check_cmd() can only be called inside a script".into());
    }
    match shared.borrow_mut().permitted.take() {
        Some(permitted) => Ok(one(Value::Boolean(permitted))),
        None => Err("ERR Invalid command passed to redis.acl_check_cmd()".into()),
    }
}

fn error_reply(lua: &Lua, params: &Params) -> Result<MultiValue, Raise> {
    let Value::String(text) = params.get(0)? else {
        return wrong_reply(lua);
    };
    if params.len() != 1 {
        return wrong_reply(lua);
    }
    let bytes = text.as_bytes();
    let mut text: &[u8] = bytes.strip_prefix(b"-").unwrap_or(&bytes);
    while let Some(shorter) = text.strip_suffix(b"\n").or(text.strip_suffix(b"\r")) {
        text = shorter;
    }
    // A single word is no code.
    let whole = if text.contains(&b' ') {
        text.to_vec()
    } else {
        [b"ERR ", text].concat()
    };
    Ok(one(Value::Table(convert::error(lua, &whole)?)))
}

fn status_reply(lua: &Lua, params: &Params) -> Result<MultiValue, Raise> {
    match params.get(0)? {
        Value::String(text) if params.len() == 1 => {
            Ok(one(Value::Table(convert::status(lua, &text.as_bytes())?)))
        }
        _ => wrong_reply(lua),
    }
}

/// These two return their own error instead of raising it.
fn wrong_reply(lua: &Lua) -> Result<MultiValue, Raise> {
    let error = convert::error(lua, b"ERR wrong number or type of arguments")?;
    Ok(one(Value::Table(error)))
}

/// `string.rep`, which must not make more than there is room for.
fn rep(lua: &Lua, exchange: &Shared) -> mlua::Result<Function> {
    let shared = exchange.clone();
    native(lua, move |lua, params| {
        let Some(text) = text_of(&params.get(0)?) else {
            return Err(bad_argument(lua, 1, &expected("string", params, 0)?));
        };
        let times = number(lua, params, 1)?;
        let times = if times >= 1.0 { times as usize } else { 0 };
        let bytes = text.len().checked_mul(times).ok_or("not enough memory")?;
        // The string is made once here and once in Lua.
        room_for(lua, &shared, bytes.saturating_mul(2))?;
        if bytes > 1 << 30 && shared.borrow().memory_limit == 0 {
            return Err("not enough memory".into());
        }
        Ok(one(Value::String(lua.create_string(text.repeat(times))?)))
    })
}

fn expected(what: &str, params: &Params, at: usize) -> Result<String, Raise> {
    let got = if at < params.len() {
        type_name(&params.get(at)?)
    } else {
        "no value"
    };
    Ok(format!("{what} expected, got {got}"))
}

/// Argument `at` as a number, as Lua's own functions take one.
pub fn number(lua: &Lua, params: &Params, at: usize) -> Result<f64, Raise> {
    match params.get(at)? {
        Value::Integer(n) => Ok(n as f64),
        Value::Number(n) => Ok(n),
        Value::String(text) => match lua.coerce_number(Value::String(text))? {
            Some(n) => Ok(n),
            None => Err(bad_argument(lua, at + 1, "number expected, got string")),
        },
        _ => Err(bad_argument(lua, at + 1, &expected("number", params, at)?)),
    }
}

/// A string, or a number as Lua writes it.
pub fn text_of(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => Some(text.as_bytes().to_vec()),
        Value::Integer(n) if n.unsigned_abs() < 100_000_000_000_000 => {
            Some(n.to_string().into_bytes())
        }
        Value::Integer(n) => Some(super::libs::format_g14(*n as f64)),
        Value::Number(n) => Some(super::libs::format_g14(*n)),
        _ => None,
    }
}

/// The generator of `drand48`, so that a seed gives the numbers that it gives in Redis.
#[derive(Clone, Copy)]
struct Random(u64);

impl Random {
    /// Numbers are below this.
    const MAX: i64 = i32::MAX as i64;

    fn seeded(seed: i32) -> Random {
        Random(u64::from(seed as u32) << 16 | 0x330e)
    }

    fn from_os() -> Random {
        let mut bytes = [0; 4];
        // Without the system's help, any number does here.
        let _ = getrandom::fill(&mut bytes);
        Random::seeded(i32::from_le_bytes(bytes))
    }

    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(0x5_DEEC_E66D).wrapping_add(0xB) & 0xffff_ffff_ffff;
        let n = (self.0 >> 17) as i64;
        (n % Random::MAX) as f64 / Random::MAX as f64
    }
}

fn random(lua: &Lua, params: &Params, state: &Cell<Random>) -> Result<MultiValue, Raise> {
    let mut generator = state.get();
    let r = generator.next();
    state.set(generator);
    let int = |n: f64| n as i64 as f64;
    let value = match params.len() {
        0 => r,
        1 => {
            let upper = int(number(lua, params, 0)?);
            if upper < 1.0 {
                return Err(bad_argument(lua, 1, "interval is empty"));
            }
            (r * upper).floor() + 1.0
        }
        2 => {
            let lower = int(number(lua, params, 0)?);
            let upper = int(number(lua, params, 1)?);
            if lower > upper {
                return Err(bad_argument(lua, 2, "interval is empty"));
            }
            (r * (upper - lower + 1.0)).floor() + lower
        }
        _ => return Err("wrong number of arguments".into()),
    };
    Ok(one(Value::Number(value)))
}

/// `redis.register_function`.
fn register(shared: &Shared, params: &Params) -> Result<MultiValue, Raise> {
    if shared.borrow().loading.is_none() {
        return Err(
            "ERR redis.register_function can only be called on FUNCTION LOAD command".into(),
        );
    }
    let registration = match params.len() {
        1 => match params.get(0)? {
            Value::Table(named) => register_named(&named)?,
            _ => {
                return Err("ERR calling redis.register_function with a single argument is only applicable to Lua table (representing named arguments).".into());
            }
        },
        2 => register_plain(params)?,
        _ => return Err("ERR wrong number of arguments to redis.register_function".into()),
    };
    let mut exchange = shared.borrow_mut();
    let Some(loading) = exchange.loading.as_mut() else {
        return Ok(MultiValue::new());
    };
    if loading.iter().any(|known| known.name == registration.name) {
        return Err("ERR Function already exists in the library".into());
    }
    if loading.len() >= MAX_FUNCTIONS {
        return Err("ERR too many functions in the library".into());
    }
    loading.push(registration);
    Ok(MultiValue::new())
}

/// Functions of one library: while it is loaded, each takes one of the host's few references.
const MAX_FUNCTIONS: usize = 2000;

fn register_plain(params: &Params) -> Result<Registration, Raise> {
    let Some(name) = text_of(&params.get(0)?) else {
        return Err("ERR first argument to redis.register_function must be a string".into());
    };
    let Value::Function(callback) = params.get(1)? else {
        return Err("ERR second argument to redis.register_function must be a function".into());
    };
    Ok(Registration {
        name: valid_name(&name).ok_or(BAD_NAME)?,
        callback,
        description: None,
        flags: ScriptFlags::empty(),
    })
}

fn register_named(named: &Table) -> Result<Registration, Raise> {
    let (mut name, mut callback, mut description) = (None, None, None);
    let mut flags = ScriptFlags::empty();
    for pair in named.pairs::<Value, Value>() {
        let (key, value) = pair?;
        let Value::String(key) = key else {
            return Err(
                "ERR named argument key given to redis.register_function is not a string".into(),
            );
        };
        match &*key.as_bytes() {
            b"function_name" => {
                name = Some(text_of(&value).ok_or(
                    "ERR function_name argument given to redis.register_function must be a string",
                )?);
            }
            b"description" => {
                description = Some(text_of(&value).ok_or(
                    "ERR description argument given to redis.register_function must be a string",
                )?);
            }
            b"callback" => {
                match value {
                    Value::Function(function) => callback = Some(function),
                    _ => {
                        return Err("ERR callback argument given to redis.register_function must be a function".into());
                    }
                }
            }
            b"flags" => match value {
                Value::Table(list) => flags = register_flags(&list)?,
                _ => {
                    return Err("ERR flags argument to redis.register_function must be a table representing function flags".into());
                }
            },
            _ => return Err("ERR unknown argument given to redis.register_function".into()),
        }
    }
    let name = name.ok_or("ERR redis.register_function must get a function name argument")?;
    let callback = callback.ok_or("ERR redis.register_function must get a callback argument")?;
    Ok(Registration {
        name: valid_name(&name).ok_or(BAD_NAME)?,
        callback,
        description,
        flags,
    })
}

fn register_flags(list: &Table) -> Result<ScriptFlags, Raise> {
    let mut flags = ScriptFlags::empty();
    for at in 1.. {
        match list.raw_get::<Value>(at)? {
            Value::Nil => break,
            Value::String(name) => {
                flags |= ScriptFlags::named(&name.as_bytes()).ok_or("ERR unknown flag given")?;
            }
            _ => return Err("ERR unknown flag given".into()),
        }
    }
    Ok(flags)
}
