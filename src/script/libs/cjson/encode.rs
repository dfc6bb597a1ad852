//! Values to JSON text.

use mlua::{Lua, Table, Value};

use super::super::{format_g, type_name};
use super::{DEPTH_MAX, Invalid, Settings};
use crate::script::engine::{Raise, room_for};
use crate::script::exchange::Shared;

/// Text between two looks at the memory limit.
const CHECK_STEP: usize = 1 << 20;

pub fn encode(
    lua: &Lua,
    shared: &Shared,
    settings: &Settings,
    value: &Value,
) -> Result<Vec<u8>, Raise> {
    let mut encoder = Encoder {
        lua,
        shared,
        settings,
        out: Vec::new(),
        checked: 0,
    };
    encoder.value(value, 0)?;
    Ok(encoder.out)
}

struct Encoder<'a> {
    lua: &'a Lua,
    shared: &'a Shared,
    settings: &'a Settings,
    out: Vec<u8>,
    checked: usize,
}

fn refuse(value: &Value, reason: &str) -> Raise {
    format!("Cannot serialise {}: {reason}", type_name(value)).into()
}

impl Encoder<'_> {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Raise> {
        if self.out.len() - self.checked > CHECK_STEP {
            self.checked = self.out.len();
            room_for(self.lua, self.shared, self.out.len())?;
        }
        match value {
            Value::String(text) => self.text(&text.as_bytes())?,
            Value::Integer(n) => self.number(value, *n as f64)?,
            Value::Number(n) => self.number(value, *n)?,
            Value::Boolean(on) => {
                let text: &[u8] = if *on { b"true" } else { b"false" };
                self.out.extend_from_slice(text);
            }
            Value::Table(table) => self.table(value, table, depth + 1)?,
            Value::Nil => self.out.extend_from_slice(b"null"),
            Value::LightUserData(pointer) if pointer.0.is_null() => {
                self.out.extend_from_slice(b"null");
            }
            _ => return Err(refuse(value, "type not supported")),
        }
        Ok(())
    }

    fn number(&mut self, value: &Value, n: f64) -> Result<(), Raise> {
        if !n.is_finite() {
            match self.settings.encode_invalid {
                Invalid::Refuse => return Err(refuse(value, "must not be NaN or Inf")),
                Invalid::Write if n.is_nan() => self.out.extend_from_slice(b"nan"),
                Invalid::Write => self.out.extend(format_g(n, 14)),
                Invalid::Null => self.out.extend_from_slice(b"null"),
            }
            return Ok(());
        }
        let precision = self.settings.precision as usize;
        if n == n.trunc()
            && n.abs() < 1e14
            && precision == 14
            && !(n == 0.0 && n.is_sign_negative())
        {
            crate::base::num::write_i64(&mut self.out, n as i64);
        } else {
            self.out.extend(format_g(n, precision));
        }
        Ok(())
    }

    fn text(&mut self, text: &[u8]) -> Result<(), Raise> {
        // Every byte may take six, and the result is made once more as a string of Lua.
        if text.len() > CHECK_STEP {
            let most = text.len().saturating_mul(2).saturating_add(self.out.len());
            room_for(self.lua, self.shared, most)?;
        }
        self.out.push(b'"');
        let mut plain = 0;
        for (at, &b) in text.iter().enumerate() {
            let short = match b {
                b'"' | b'\\' | b'/' => b,
                8 => b'b',
                9 => b't',
                10 => b'n',
                12 => b'f',
                13 => b'r',
                0..32 | 127 => b'u',
                _ => continue,
            };
            self.out.extend_from_slice(&text[plain..at]);
            plain = at + 1;
            self.out.extend_from_slice(&[b'\\', short]);
            if short == b'u' {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                let digits = [
                    b'0',
                    b'0',
                    DIGITS[usize::from(b >> 4)],
                    DIGITS[usize::from(b & 15)],
                ];
                self.out.extend_from_slice(&digits);
            }
            if self.out.len() - self.checked > CHECK_STEP {
                self.checked = self.out.len();
                room_for(self.lua, self.shared, self.out.len())?;
            }
        }
        self.out.extend_from_slice(&text[plain..]);
        self.out.push(b'"');
        Ok(())
    }

    fn table(&mut self, value: &Value, table: &Table, depth: usize) -> Result<(), Raise> {
        if depth as i64 > self.settings.encode_max_depth || depth > DEPTH_MAX {
            return Err(format!("Cannot serialise, excessive nesting ({depth})").into());
        }
        match self.array_length(value, table)? {
            Some(len) if len > 0 => self.array(table, len, depth),
            _ => self.object(table, depth),
        }
    }

    /// The highest index, if all keys are indices and not too many are missing.
    fn array_length(&self, value: &Value, table: &Table) -> Result<Option<i64>, Raise> {
        // The highest is an integer of 32 bits there, and overflows as such.
        let (mut max, mut count) = (0i32, 0i64);
        let mut pairs = table.pairs::<Value, Value>();
        let plain = pairs.try_fold((), |(), pair| {
            let index = match pair {
                Ok((Value::Integer(n), _)) if n >= 1 => Ok(Some(n as f64)),
                Ok((Value::Number(n), _)) if n >= 1.0 && n == n.floor() => Ok(Some(n)),
                Ok(_) => Ok(None),
                Err(error) => Err(error),
            };
            match index {
                Ok(Some(n)) => {
                    if n > f64::from(max) {
                        max = i32::try_from(super::cast(n)).unwrap_or(i32::MIN);
                    }
                    count += 1;
                    Ok(())
                }
                Ok(None) => Err(None),
                Err(error) => Err(Some(error)),
            }
        });
        match plain {
            Ok(()) => {}
            Err(None) => return Ok(None),
            Err(Some(error)) => return Err(error.into()),
        }
        let (settings, max) = (self.settings, i64::from(max));
        if settings.sparse_ratio > 0
            && max > count.saturating_mul(settings.sparse_ratio)
            && max > settings.sparse_safe
        {
            if !settings.sparse_convert {
                return Err(refuse(value, "excessively sparse array"));
            }
            return Ok(None);
        }
        Ok(Some(max))
    }

    fn array(&mut self, table: &Table, len: i64, depth: usize) -> Result<(), Raise> {
        self.out.push(b'[');
        for at in 1..=len {
            if at > 1 {
                self.out.push(b',');
            }
            self.value(&table.raw_get(at)?, depth)?;
        }
        self.out.push(b']');
        Ok(())
    }

    fn object(&mut self, table: &Table, depth: usize) -> Result<(), Raise> {
        self.out.push(b'{');
        for (at, pair) in table.pairs::<Value, Value>().enumerate() {
            let (key, value) = pair?;
            if at > 0 {
                self.out.push(b',');
            }
            match &key {
                Value::String(text) => self.text(&text.as_bytes())?,
                Value::Integer(_) | Value::Number(_) => {
                    self.out.push(b'"');
                    self.value(&key, depth)?;
                    self.out.push(b'"');
                }
                _ => return Err(refuse(&key, "table key must be a number or string")),
            }
            self.out.push(b':');
            self.value(&value, depth)?;
        }
        self.out.push(b'}');
        Ok(())
    }
}
