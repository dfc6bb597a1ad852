//! `cmsgpack`: MessagePack.

use mlua::{Lua, MultiValue, Table, Value};

use super::{bad_argument, cast, optional_int, string};
use crate::script::api::number;
use crate::script::engine::{Params, Raise, native, one, room_for};
use crate::script::exchange::Shared;

/// Tables within tables that are packed; deeper ones become nil, so that circles end.
const MAX_PACK_DEPTH: usize = 16;
/// Arrays and maps within each other that are unpacked.
const MAX_UNPACK_DEPTH: usize = 1000;
/// Most values of one call; Lua has room for some thousand.
const MAX_RESULTS: usize = 6000;

pub fn library(lua: &Lua, exchange: &Shared) -> mlua::Result<Table> {
    let all = lua.create_table()?;
    let shared = exchange.clone();
    all.raw_set("pack", native(lua, move |lua, p| pack(lua, &shared, p))?)?;
    let shared = exchange.clone();
    all.raw_set(
        "unpack",
        native(lua, move |lua, p| unpack(lua, &shared, p, 0, 0))?,
    )?;
    let shared = exchange.clone();
    let unpack_one = native(lua, move |lua, p| {
        let offset = optional_int(lua, p, 1, 0)?;
        unpack(lua, &shared, p, 1, offset)
    })?;
    all.raw_set("unpack_one", unpack_one)?;
    let shared = exchange.clone();
    let unpack_limit = native(lua, move |lua, p| {
        let limit = cast(number(lua, p, 1)?);
        let offset = optional_int(lua, p, 2, 0)?;
        unpack(lua, &shared, p, limit, offset)
    })?;
    all.raw_set("unpack_limit", unpack_limit)?;
    for (name, text) in [
        ("_NAME", "cmsgpack"),
        ("_VERSION", "lua-cmsgpack 0.4.0"),
        ("_COPYRIGHT", "Copyright (C) 2012, Salvatore Sanfilippo"),
        ("_DESCRIPTION", "MessagePack C implementation for Lua"),
    ] {
        all.raw_set(name, text)?;
    }
    Ok(all)
}

fn pack(lua: &Lua, shared: &Shared, params: &Params) -> Result<MultiValue, Raise> {
    if params.is_empty() {
        return Err(bad_argument(lua, 0, "MessagePack pack needs input."));
    }
    let mut packer = Packer {
        lua,
        shared,
        out: Vec::new(),
    };
    for at in 0..params.len() {
        packer.value(&params.get(at)?, 0)?;
    }
    room_for(lua, shared, packer.out.len())?;
    Ok(one(Value::String(lua.create_string(&packer.out)?)))
}

struct Packer<'a> {
    lua: &'a Lua,
    shared: &'a Shared,
    out: Vec<u8>,
}

impl Packer<'_> {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Raise> {
        match value {
            Value::String(text) => {
                let bytes = text.as_bytes();
                room_for(self.lua, self.shared, self.out.len() + bytes.len())?;
                self.head(bytes.len(), (0xa0, 32), &[0xd9, 0xda, 0xdb]);
                self.out.extend_from_slice(&bytes);
            }
            Value::Boolean(on) => self.out.push(if *on { 0xc3 } else { 0xc2 }),
            Value::Integer(n) => self.int(*n),
            Value::Number(n) => self.number(*n),
            Value::Table(table) if depth < MAX_PACK_DEPTH => self.table(table, depth)?,
            _ => self.out.push(0xc0),
        }
        Ok(())
    }

    /// A length: in the type's own byte if it is below the bound, else in 1, 2 or 4 bytes.
    fn head(&mut self, len: usize, (small, bound): (u8, usize), wide: &[u8]) {
        let wide16 = wide[wide.len() - 2];
        if len < bound {
            self.out.push(small | len as u8);
        } else if len <= 0xff && wide.len() == 3 {
            self.out.extend_from_slice(&[wide[0], len as u8]);
        } else if let Ok(len) = u16::try_from(len) {
            self.out.push(wide16);
            self.out.extend_from_slice(&len.to_be_bytes());
        } else {
            self.out.push(wide[wide.len() - 1]);
            self.out.extend_from_slice(&(len as u32).to_be_bytes());
        }
    }

    fn number(&mut self, n: f64) {
        let int = cast(n);
        if int as f64 == n && !n.is_infinite() {
            return self.int(int);
        }
        let single = n as f32;
        if f64::from(single) == n {
            self.out.push(0xca);
            self.out.extend_from_slice(&single.to_be_bytes());
        } else {
            self.out.push(0xcb);
            self.out.extend_from_slice(&n.to_be_bytes());
        }
    }

    fn int(&mut self, n: i64) {
        let (kind, bytes) = match n {
            -32..=127 => return self.out.push(n as u8),
            128..=0xff => (0xcc, 1),
            0x100..=0xffff => (0xcd, 2),
            0x1_0000..=0xffff_ffff => (0xce, 4),
            0x1_0000_0000.. => (0xcf, 8),
            -128..=-33 => (0xd0, 1),
            -32768..=-129 => (0xd1, 2),
            -2_147_483_648..=-32769 => (0xd2, 4),
            _ => (0xd3, 8),
        };
        self.out.push(kind);
        self.out.extend_from_slice(&n.to_be_bytes()[8 - bytes..]);
    }

    fn table(&mut self, table: &Table, depth: usize) -> Result<(), Raise> {
        room_for(self.lua, self.shared, self.out.len())?;
        if is_array(table)? {
            let len = table.raw_len();
            self.head(len, (0x90, 16), &[0xdc, 0xdd]);
            for at in 1..=len {
                self.value(&table.raw_get(at)?, depth + 1)?;
            }
            return Ok(());
        }
        let mut count = 0;
        for pair in table.pairs::<Value, Value>() {
            pair?;
            count += 1;
        }
        self.head(count, (0x80, 16), &[0xde, 0xdf]);
        for pair in table.pairs::<Value, Value>() {
            let (key, value) = pair?;
            self.value(&key, depth + 1)?;
            self.value(&value, depth + 1)?;
        }
        Ok(())
    }
}

/// Whether the keys are 1 to the number of keys.
fn is_array(table: &Table) -> mlua::Result<bool> {
    let (mut count, mut max) = (0, 0);
    for pair in table.pairs::<Value, Value>() {
        match pair?.0 {
            Value::Integer(n) if n > 0 && n <= i64::from(i32::MAX) => {
                max = max.max(n);
                count += 1;
            }
            _ => return Ok(false),
        }
    }
    Ok(max == count)
}

fn unpack(
    lua: &Lua,
    shared: &Shared,
    params: &Params,
    limit: i64,
    offset: i64,
) -> Result<MultiValue, Raise> {
    let (limit, offset) = (limit as i32, offset as i32);
    let data = string(lua, params, 0)?;
    let all = limit == 0 && offset == 0;
    let len = data.len();
    let Some((limit, start)) = usize::try_from(limit)
        .ok()
        .zip(usize::try_from(offset).ok())
    else {
        return Err(format!(
            "Invalid request to unpack with offset of {offset} and limit of {len}."
        )
        .into());
    };
    if start > len {
        return Err(format!("Start offset {offset} greater than input length {len}.").into());
    }
    let mut reader = Reader {
        lua,
        shared,
        data: &data,
        at: start,
    };
    let limit = if all { usize::MAX } else { limit };
    let mut values = Vec::new();
    while reader.at < len && values.len() < limit {
        if values.len() >= MAX_RESULTS {
            return Err("stack overflow (too many return values at once; use unpack_one or unpack_limit instead.)".into());
        }
        values.push(reader.value(0)?);
    }
    let mut results = MultiValue::from_vec(values);
    if !all {
        let next = if reader.at == len {
            -1
        } else {
            reader.at as i64
        };
        results.push_front(Value::Integer(next));
    }
    Ok(results)
}

struct Reader<'a> {
    lua: &'a Lua,
    shared: &'a Shared,
    data: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Raise> {
        let end = self.at.checked_add(len);
        let bytes = end.and_then(|end| self.data.get(self.at..end));
        let bytes = bytes.ok_or("Missing bytes in input.")?;
        self.at += len;
        Ok(bytes)
    }

    fn unsigned(&mut self, bytes: usize) -> Result<u64, Raise> {
        let push = |n: u64, b: &u8| n << 8 | u64::from(*b);
        Ok(self.take(bytes)?.iter().fold(0, push))
    }

    fn signed(&mut self, bytes: usize) -> Result<Value, Raise> {
        let unused = 64 - 8 * bytes as u32;
        let n = (self.unsigned(bytes)? << unused) as i64 >> unused;
        Ok(Value::Number(n as f64))
    }

    fn value(&mut self, depth: usize) -> Result<Value, Raise> {
        if depth > MAX_UNPACK_DEPTH {
            return Err("stack overflow (too many nested values)".into());
        }
        let kind = self.take(1)?[0];
        Ok(match kind {
            0x00..=0x7f => Value::Integer(i64::from(kind)),
            0xe0..=0xff => Value::Integer(i64::from(kind as i8)),
            0x80..=0x8f => self.map(usize::from(kind & 15), depth)?,
            0x90..=0x9f => self.array(usize::from(kind & 15), depth)?,
            0xa0..=0xbf => self.text(usize::from(kind & 31))?,
            0xc0 => Value::Nil,
            0xc2 => Value::Boolean(false),
            0xc3 => Value::Boolean(true),
            0xca => {
                let bits = self.unsigned(4)? as u32;
                Value::Number(f64::from(f32::from_bits(bits)))
            }
            0xcb => Value::Number(f64::from_bits(self.unsigned(8)?)),
            // Redis takes the largest ones for negative numbers.
            0xcc..=0xcf => Value::Number(self.unsigned(1 << (kind - 0xcc))? as i64 as f64),
            0xd0..=0xd3 => self.signed(1 << (kind - 0xd0))?,
            0xd9..=0xdb => {
                let len = self.unsigned(1 << (kind - 0xd9))? as usize;
                self.text(len)?
            }
            0xdc | 0xdd => {
                let len = self.unsigned(2 << (kind - 0xdc))? as usize;
                self.array(len, depth)?
            }
            0xde | 0xdf => {
                let len = self.unsigned(2 << (kind - 0xde))? as usize;
                self.map(len, depth)?
            }
            _ => return Err("Bad data format in input.".into()),
        })
    }

    fn text(&mut self, len: usize) -> Result<Value, Raise> {
        let bytes = self.take(len)?;
        Ok(Value::String(self.lua.create_string(bytes)?))
    }

    fn array(&mut self, len: usize, depth: usize) -> Result<Value, Raise> {
        room_for(self.lua, self.shared, 0)?;
        let table = self.lua.create_table()?;
        for at in 1..=len {
            let value = self.value(depth + 1)?;
            table.raw_set(at, value)?;
        }
        Ok(Value::Table(table))
    }

    fn map(&mut self, len: usize, depth: usize) -> Result<Value, Raise> {
        room_for(self.lua, self.shared, 0)?;
        let table = self.lua.create_table()?;
        for _ in 0..len {
            let key = self.value(depth + 1)?;
            let value = self.value(depth + 1)?;
            match key {
                Value::Nil => return Err("table index is nil".into()),
                Value::Number(n) if n.is_nan() => return Err("table index is NaN".into()),
                key => table.raw_set(key, value)?,
            }
        }
        Ok(Value::Table(table))
    }
}
