//! `struct`: numbers and strings as bytes.

use mlua::{Lua, MultiValue, Table, Value};

use super::{bad_argument, cast, optional_int, string};
use crate::script::api::number;
use crate::script::engine::{Params, Raise, native, one, room_for};
use crate::script::exchange::Shared;

/// Bytes of the largest integer.
const MAX_INT: usize = 32;
/// Alignment of `!` without a number.
const MAX_ALIGN: usize = 8;
/// Most results; Lua has room for some thousand.
const MAX_RESULTS: usize = 4000;

pub fn library(lua: &Lua, exchange: &Shared) -> mlua::Result<Table> {
    let all = lua.create_table()?;
    let shared = exchange.clone();
    all.raw_set("pack", native(lua, move |lua, p| pack(lua, &shared, p))?)?;
    all.raw_set("unpack", native(lua, unpack)?)?;
    all.raw_set("size", native(lua, size)?)?;
    Ok(all)
}

/// A format while it is read.
struct Format {
    text: Vec<u8>,
    at: usize,
    big_endian: bool,
    align: usize,
}

/// One option: its letter, its size in bytes, and the padding before it.
struct Item {
    letter: u8,
    size: usize,
    padding: usize,
}

impl Format {
    fn new(mut text: Vec<u8>) -> Format {
        // It is a C string there.
        if let Some(end) = memchr::memchr(0, &text) {
            text.truncate(end);
        }
        Format {
            text,
            at: 0,
            big_endian: false,
            align: 1,
        }
    }

    /// The next option, which would begin at `offset`.
    fn next(&mut self, offset: usize) -> Result<Option<Item>, Raise> {
        let Some(&letter) = self.text.get(self.at) else {
            return Ok(None);
        };
        self.at += 1;
        let size = match letter {
            b'b' | b'B' | b'x' => 1,
            b'h' | b'H' => 2,
            b'f' => 4,
            b'l' | b'L' | b'T' | b'd' => 8,
            b'c' => self.count(1)?,
            b'i' | b'I' => {
                let size = self.count(4)?;
                if size > MAX_INT {
                    return Err(
                        format!("integral size {size} is larger than limit of {MAX_INT}").into(),
                    );
                }
                size
            }
            _ => 0,
        };
        let padding = if size == 0 || letter == b'c' {
            0
        } else {
            let step = size.min(self.align);
            (step.wrapping_sub(offset & (step - 1))) & (step - 1)
        };
        Ok(Some(Item {
            letter,
            size,
            padding,
        }))
    }

    fn count(&mut self, default: usize) -> Result<usize, Raise> {
        let digit = |at: usize| self.text.get(at).filter(|b| b.is_ascii_digit());
        if digit(self.at).is_none() {
            return Ok(default);
        }
        let mut count: i32 = 0;
        let mut at = self.at;
        while let Some(&b) = digit(at) {
            count = count
                .checked_mul(10)
                .and_then(|n| n.checked_add(i32::from(b - b'0')))
                .ok_or("integral size overflow")?;
            at += 1;
        }
        self.at = at;
        Ok(count as usize)
    }

    /// An option that is no item.
    fn control(&mut self, lua: &Lua, letter: u8) -> Result<(), Raise> {
        match letter {
            b' ' => {}
            b'>' => self.big_endian = true,
            b'<' => self.big_endian = false,
            b'!' => {
                let align = self.count(MAX_ALIGN)?;
                if !align.is_power_of_two() {
                    return Err(format!("alignment {align} is not a power of 2").into());
                }
                self.align = align;
            }
            _ => {
                let what = format!("invalid format option '{}'", char::from(letter));
                return Err(bad_argument(lua, 1, &what));
            }
        }
        Ok(())
    }
}

fn pack(lua: &Lua, shared: &Shared, params: &Params) -> Result<MultiValue, Raise> {
    let mut format = Format::new(string(lua, params, 0)?);
    let mut out = Vec::new();
    let mut arg = 1;
    // As Redis counts, which is the length of the result but for what follows an option `s` or `c0`.
    let mut total = 0usize;
    while let Some(item) = format.next(total)? {
        room_for(lua, shared, out.len().saturating_add(item.size))?;
        total += item.padding;
        out.resize(out.len() + item.padding, 0);
        let mut size = item.size;
        match item.letter {
            b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I' => {
                let n = given(lua, params, arg, number)?;
                put_int(&mut out, n, size, format.big_endian);
                arg += 1;
            }
            b'x' => out.push(0),
            b'f' => {
                let bytes = (given(lua, params, arg, number)? as f32).to_le_bytes();
                put(&mut out, bytes, format.big_endian);
                arg += 1;
            }
            b'd' => {
                let bytes = given(lua, params, arg, number)?.to_le_bytes();
                put(&mut out, bytes, format.big_endian);
                arg += 1;
            }
            b'c' | b's' => {
                let text = given(lua, params, arg, string)?;
                arg += 1;
                if size == 0 {
                    size = text.len();
                }
                let text = text
                    .get(..size)
                    .ok_or_else(|| bad_argument(lua, arg + 1, "string too short"))?;
                room_for(lua, shared, out.len().saturating_add(text.len()))?;
                out.extend_from_slice(text);
                if item.letter == b's' {
                    out.push(0);
                    size += 1;
                }
            }
            letter => format.control(lua, letter)?,
        }
        total += size;
    }
    Ok(one(Value::String(lua.create_string(out)?)))
}

/// An argument of `pack`; one that is missing is nil there.
fn given<T>(
    lua: &Lua,
    params: &Params,
    at: usize,
    read: fn(&Lua, &Params, usize) -> Result<T, Raise>,
) -> Result<T, Raise> {
    if at < params.len() {
        return read(lua, params, at);
    }
    read(lua, params, at).map_err(|error| match error {
        Raise::Text(text) => {
            let text = String::from_utf8_lossy(&text);
            text.replace("got no value", "got nil").into()
        }
        other => other,
    })
}

fn put<const N: usize>(out: &mut Vec<u8>, mut bytes: [u8; N], big_endian: bool) {
    if big_endian {
        bytes.reverse();
    }
    out.extend_from_slice(&bytes);
}

fn put_int(out: &mut Vec<u8>, n: f64, size: usize, big_endian: bool) {
    let bytes = unsigned(n).to_le_bytes();
    let byte = |at: usize| bytes.get(at).copied().unwrap_or(0);
    if big_endian {
        out.extend((0..size).rev().map(byte));
    } else {
        out.extend((0..size).map(byte));
    }
}

/// A double as 64 bits: negative ones in two's complement.
fn unsigned(n: f64) -> u64 {
    const HALF: f64 = 9_223_372_036_854_775_808.0;
    if n >= HALF {
        cast(n - HALF) as u64 ^ 1 << 63
    } else {
        cast(n) as u64
    }
}

fn unpack(lua: &Lua, params: &Params) -> Result<MultiValue, Raise> {
    let mut format = Format::new(string(lua, params, 0)?);
    let data = string(lua, params, 1)?;
    let start = optional_int(lua, params, 2, 1)?;
    if start == 0 {
        return Err(bad_argument(lua, 3, "offset must be 1 or greater"));
    }
    // As in C: a negative position is far behind the data.
    let mut at = start.wrapping_sub(1) as usize;
    let mut results: Vec<Value> = Vec::new();
    while let Some(item) = format.next(at)? {
        at = at.wrapping_add(item.padding);
        let too_short = || bad_argument(lua, 2, "data string too short");
        let mut bytes = slice(&data, at, item.size).ok_or_else(too_short)?;
        if results.len() >= MAX_RESULTS {
            return Err("stack overflow (too many results)".into());
        }
        match item.letter {
            b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I' => {
                let signed = item.letter.is_ascii_lowercase();
                results.push(Value::Number(get_int(bytes, format.big_endian, signed)));
            }
            b'x' => {}
            b'f' | b'd' => {
                let mut ordered = bytes.to_vec();
                if format.big_endian {
                    ordered.reverse();
                }
                results.push(Value::Number(float(&ordered).ok_or_else(too_short)?));
            }
            b'c' => {
                if item.size == 0 {
                    let size = match results.pop() {
                        Some(Value::Number(size)) => size,
                        Some(Value::String(text)) => {
                            let coerced = lua.coerce_number(Value::String(text))?;
                            coerced.ok_or("format 'c0' needs a previous size")?
                        }
                        _ => return Err("format 'c0' needs a previous size".into()),
                    };
                    let size = usize::try_from(cast(size)).map_err(|_| too_short())?;
                    bytes = slice(&data, at, size).ok_or_else(too_short)?;
                }
                results.push(Value::String(lua.create_string(bytes)?));
                at += bytes.len() - item.size;
            }
            b's' => {
                let rest = data.get(at..).unwrap_or_default();
                let end = memchr::memchr(0, rest).ok_or("unfinished string in data")?;
                results.push(Value::String(lua.create_string(&rest[..end])?));
                at += end + 1;
            }
            letter => format.control(lua, letter)?,
        }
        at = at.wrapping_add(item.size);
    }
    results.push(Value::Integer((at as i64).wrapping_add(1)));
    Ok(MultiValue::from_vec(results))
}

fn slice(data: &[u8], at: usize, size: usize) -> Option<&[u8]> {
    data.get(at..at.checked_add(size)?)
}

fn float(bytes: &[u8]) -> Option<f64> {
    match bytes.len() {
        4 => Some(f64::from(f32::from_le_bytes(bytes.try_into().ok()?))),
        _ => Some(f64::from_le_bytes(bytes.try_into().ok()?)),
    }
}

/// Of more than 8 bytes the high ones fall off at the top, as in C.
fn get_int(bytes: &[u8], big_endian: bool, signed: bool) -> f64 {
    let push = |n: u64, b: &u8| n << 8 | u64::from(*b);
    let n = if big_endian {
        bytes.iter().fold(0, push)
    } else {
        bytes.iter().rev().fold(0, push)
    };
    if !signed {
        return n as f64;
    }
    let sign = u64::MAX.wrapping_shl((bytes.len() as u32 * 8).wrapping_sub(1));
    let n = if n & sign != 0 { n | sign } else { n };
    n as i64 as f64
}

fn size(lua: &Lua, params: &Params) -> Result<MultiValue, Raise> {
    let mut format = Format::new(string(lua, params, 0)?);
    let mut total = 0usize;
    while let Some(item) = format.next(total)? {
        match item.letter {
            b's' => return Err(bad_argument(lua, 1, "option 's' has no fixed size")),
            b'c' if item.size == 0 => {
                return Err(bad_argument(lua, 1, "option 'c0' has no fixed size"));
            }
            letter if !letter.is_ascii_alphanumeric() => format.control(lua, letter)?,
            _ => {}
        }
        total = total.saturating_add(item.padding).saturating_add(item.size);
    }
    Ok(one(Value::Integer(
        i64::try_from(total).unwrap_or(i64::MAX),
    )))
}
