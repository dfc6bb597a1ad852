//! `bit`: operations on 32 bits.

use mlua::{Lua, MultiValue, Table, Value};

use crate::script::api::number;
use crate::script::engine::{Params, Raise, native, one};

pub fn library(lua: &Lua) -> mlua::Result<Table> {
    let all = lua.create_table()?;
    let add = |name: &str, function: fn(&Lua, &Params) -> Result<MultiValue, Raise>| {
        all.raw_set(name, native(lua, function)?)
    };
    add("tobit", |lua, p| int(arg(lua, p, 0)?))?;
    add("bnot", |lua, p| int(!arg(lua, p, 0)?))?;
    add("bswap", |lua, p| int(arg(lua, p, 0)?.swap_bytes()))?;
    add("band", |lua, p| fold(lua, p, |a, b| a & b))?;
    add("bor", |lua, p| fold(lua, p, |a, b| a | b))?;
    add("bxor", |lua, p| fold(lua, p, |a, b| a ^ b))?;
    add("lshift", |lua, p| shift(lua, p, |b, n| b << n))?;
    add("rshift", |lua, p| shift(lua, p, |b, n| b >> n))?;
    add("arshift", |lua, p| {
        shift(lua, p, |b, n| (b as i32 >> n) as u32)
    })?;
    add("rol", |lua, p| shift(lua, p, u32::rotate_left))?;
    add("ror", |lua, p| shift(lua, p, u32::rotate_right))?;
    add("tohex", tohex)?;
    Ok(all)
}

/// Argument `at`, rounded and reduced to 32 bits: adding 2^52 + 2^51 brings the integer part of a
/// double into the low bits of its form.
fn arg(lua: &Lua, params: &Params, at: usize) -> Result<u32, Raise> {
    const BIAS: f64 = 6_755_399_441_055_744.0;
    Ok((number(lua, params, at)? + BIAS).to_bits() as u32)
}

fn int(bits: u32) -> Result<MultiValue, Raise> {
    Ok(one(Value::Integer(i64::from(bits as i32))))
}

fn fold(lua: &Lua, params: &Params, op: fn(u32, u32) -> u32) -> Result<MultiValue, Raise> {
    let mut bits = arg(lua, params, 0)?;
    for at in (1..params.len()).rev() {
        bits = op(bits, arg(lua, params, at)?);
    }
    int(bits)
}

fn shift(lua: &Lua, params: &Params, op: fn(u32, u32) -> u32) -> Result<MultiValue, Raise> {
    let bits = arg(lua, params, 0)?;
    int(op(bits, arg(lua, params, 1)? & 31))
}

fn tohex(lua: &Lua, params: &Params) -> Result<MultiValue, Raise> {
    let mut bits = arg(lua, params, 0)?;
    let digits = if params.len() < 2 {
        8
    } else {
        arg(lua, params, 1)? as i32
    };
    let table: &[u8; 16] = if digits < 0 {
        b"0123456789ABCDEF"
    } else {
        b"0123456789abcdef"
    };
    let mut text = vec![0; digits.unsigned_abs().min(8) as usize];
    for digit in text.iter_mut().rev() {
        *digit = table[(bits & 15) as usize];
        bits >>= 4;
    }
    Ok(one(Value::String(lua.create_string(text)?)))
}
