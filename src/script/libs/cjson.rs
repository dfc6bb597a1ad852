//! `cjson`: JSON.

mod decode;
mod encode;

use std::cell::RefCell;
use std::rc::Rc;

use mlua::{Lua, MultiValue, Table, Value};

use super::{bad_argument, cast, string};
use crate::script::api::number;
use crate::script::engine::{Params, Raise, native, one, room_for};
use crate::script::exchange::Shared;

/// What the library can be told.
#[derive(Clone, Copy)]
struct Settings {
    sparse_convert: bool,
    sparse_ratio: i64,
    sparse_safe: i64,
    encode_max_depth: i64,
    encode_invalid: Invalid,
    keep_buffer: bool,
    precision: i64,
    decode_max_depth: i64,
    decode_invalid: bool,
}

/// What becomes of numbers that JSON cannot say.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Invalid {
    Refuse,
    Write,
    Null,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            sparse_convert: false,
            sparse_ratio: 2,
            sparse_safe: 10,
            encode_max_depth: 1000,
            encode_invalid: Invalid::Refuse,
            keep_buffer: true,
            precision: 14,
            decode_max_depth: 1000,
            decode_invalid: true,
        }
    }
}

/// Deeper nesting is refused whatever the settings say.
const DEPTH_MAX: usize = 1500;

/// Room that an instance takes.
const INSTANCE: usize = 4096;

/// `cjson` as scripts find it. With `new` they get one of their own, with settings of its own.
pub fn library(lua: &Lua, exchange: &Shared) -> mlua::Result<Table> {
    let all = instance(lua, exchange)?;
    let shared = exchange.clone();
    let new = native(lua, move |lua, _| {
        room_for(lua, &shared, INSTANCE)?;
        Ok(one(Value::Table(instance(lua, &shared)?)))
    })?;
    all.raw_set("new", new)?;
    Ok(all)
}

fn instance(lua: &Lua, exchange: &Shared) -> mlua::Result<Table> {
    let settings = Rc::new(RefCell::new(Settings::default()));
    let all = lua.create_table()?;
    let (shared, set) = (exchange.clone(), settings.clone());
    let encode = native(lua, move |lua, params| {
        if params.len() != 1 {
            // The prelude stands between the script and this function: the name cannot be looked up.
            return Err("bad argument #1 to 'encode' (expected 1 argument)".into());
        }
        let now = *set.borrow();
        let text = encode::encode(lua, &shared, &now, &params.get(0)?)?;
        room_for(lua, &shared, text.len())?;
        Ok(one(Value::String(lua.create_string(text)?)))
    })?;
    all.raw_set("encode", encode)?;
    let (shared, set) = (exchange.clone(), settings.clone());
    let decode = native(lua, move |lua, params| {
        if params.len() != 1 {
            return Err(bad_argument(lua, 1, "expected 1 argument"));
        }
        let now = *set.borrow();
        let text = string(lua, params, 0)?;
        Ok(one(decode::decode(lua, &shared, &now, &text)?))
    })?;
    all.raw_set("decode", decode)?;
    type Setter = fn(&Lua, &Params, &mut Settings) -> Result<MultiValue, Raise>;
    let setters: [(&str, Setter); 7] = [
        ("encode_sparse_array", encode_sparse_array),
        ("encode_max_depth", |lua, p, s| {
            single(lua, p, &mut s.encode_max_depth, 1, i32::MAX)
        }),
        ("decode_max_depth", |lua, p, s| {
            single(lua, p, &mut s.decode_max_depth, 1, i32::MAX)
        }),
        ("encode_number_precision", |lua, p, s| {
            single(lua, p, &mut s.precision, 1, 14)
        }),
        ("encode_keep_buffer", |lua, p, s| {
            most(lua, p, 1)?;
            Ok(one(switch(lua, p, &mut s.keep_buffer)?))
        }),
        ("decode_invalid_numbers", |lua, p, s| {
            most(lua, p, 1)?;
            Ok(one(switch(lua, p, &mut s.decode_invalid)?))
        }),
        ("encode_invalid_numbers", encode_invalid_numbers),
    ];
    for (name, setter) in setters {
        let set = settings.clone();
        let function = native(lua, move |lua, p| setter(lua, p, &mut set.borrow_mut()))?;
        all.raw_set(name, function)?;
    }
    all.raw_set("null", Value::NULL)?;
    all.raw_set("_NAME", "cjson")?;
    all.raw_set("_VERSION", "2.1.0")?;
    Ok(all)
}

fn most(lua: &Lua, params: &Params, count: usize) -> Result<(), Raise> {
    if params.len() > count {
        return Err(bad_argument(lua, count + 1, "found too many arguments"));
    }
    Ok(())
}

fn single(
    lua: &Lua,
    params: &Params,
    setting: &mut i64,
    min: i32,
    max: i32,
) -> Result<MultiValue, Raise> {
    most(lua, params, 1)?;
    Ok(one(bounded(lua, params, 0, setting, min, max)?))
}

/// Sets an integer if the argument is there; its value then.
fn bounded(
    lua: &Lua,
    params: &Params,
    at: usize,
    setting: &mut i64,
    min: i32,
    max: i32,
) -> Result<Value, Raise> {
    if params.get(at)? != Value::Nil {
        let value = i64::from(cast(number(lua, params, at)?) as i32);
        if !(i64::from(min)..=i64::from(max)).contains(&value) {
            let what = format!("expected integer between {min} and {max}");
            return Err(bad_argument(lua, 1, &what));
        }
        *setting = value;
    }
    Ok(Value::Integer(*setting))
}

/// The number of an option that is given as a boolean or by name; `None` if it is not given.
fn option(lua: &Lua, params: &Params, names: &[&str]) -> Result<Option<usize>, Raise> {
    match params.get(0)? {
        Value::Nil => Ok(None),
        Value::Boolean(on) => Ok(Some(usize::from(on))),
        _ => {
            let name = string(lua, params, 0)?;
            let found = names.iter().position(|known| known.as_bytes() == name);
            found.map(Some).ok_or_else(|| {
                let what = format!("invalid option '{}'", String::from_utf8_lossy(&name));
                bad_argument(lua, 1, &what)
            })
        }
    }
}

fn switch(lua: &Lua, params: &Params, setting: &mut bool) -> Result<Value, Raise> {
    if let Some(number) = option(lua, params, &["off", "on"])? {
        *setting = number == 1;
    }
    Ok(Value::Boolean(*setting))
}

fn encode_sparse_array(
    lua: &Lua,
    params: &Params,
    settings: &mut Settings,
) -> Result<MultiValue, Raise> {
    most(lua, params, 3)?;
    let convert = switch(lua, params, &mut settings.sparse_convert)?;
    let ratio = bounded(lua, params, 1, &mut settings.sparse_ratio, 0, i32::MAX)?;
    let safe = bounded(lua, params, 2, &mut settings.sparse_safe, 0, i32::MAX)?;
    Ok(MultiValue::from_iter([convert, ratio, safe]))
}

fn encode_invalid_numbers(
    lua: &Lua,
    params: &Params,
    settings: &mut Settings,
) -> Result<MultiValue, Raise> {
    most(lua, params, 1)?;
    match option(lua, params, &["off", "on", "null"])? {
        Some(0) => settings.encode_invalid = Invalid::Refuse,
        Some(1) => settings.encode_invalid = Invalid::Write,
        Some(_) => settings.encode_invalid = Invalid::Null,
        None => {}
    }
    Ok(one(match settings.encode_invalid {
        Invalid::Refuse => Value::Boolean(false),
        Invalid::Write => Value::Boolean(true),
        Invalid::Null => Value::String(lua.create_string("null")?),
    }))
}
