//! Values between Lua and the protocol.

use mlua::{Lua, Table, Value};

use super::engine::Raise;
use crate::base::num;
use crate::resp::reply::Reply;

/// Arrays within arrays that a script may return, about half as many as Redis
/// takes: the interpreter's references to tables that are open are few.
const MAX_RESULT_DEPTH: usize = 4_000;
/// Maps and sets within each other.
const MAX_MAP_DEPTH: usize = 100;
/// The same for replies of commands.
const MAX_REPLY_DEPTH: usize = 500;

/// A reply in wire form as Lua sees it: the value, and whether it is an error.
///
/// # Errors
/// Those of the interpreter, and for replies that cannot be.
pub fn from_reply(lua: &Lua, wire: &[u8]) -> Result<(Value, bool), Raise> {
    let mut reader = Reader { wire, at: 0 };
    let is_error = wire.first() == Some(&b'-');
    Ok((reader.value(lua, 0)?, is_error))
}

struct Reader<'a> {
    wire: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// The rest of the line, behind its type.
    fn line(&mut self) -> Result<&'a [u8], Raise> {
        let rest = &self.wire[self.at..];
        let end = memchr::memchr(b'\r', rest).ok_or("ERR broken reply")?;
        self.at += end + 2;
        Ok(&rest[..end])
    }

    fn length(&mut self) -> Result<Option<usize>, Raise> {
        let n = num::parse_i64(self.line()?).ok_or("ERR broken reply")?;
        Ok(usize::try_from(n).ok())
    }

    fn bytes(&mut self, len: usize) -> Result<&'a [u8], Raise> {
        let end = self.at.checked_add(len).ok_or("ERR broken reply")?;
        let bytes = self.wire.get(self.at..end).ok_or("ERR broken reply")?;
        self.at = end + 2;
        Ok(bytes)
    }

    fn value(&mut self, lua: &Lua, depth: usize) -> Result<Value, Raise> {
        if depth > MAX_REPLY_DEPTH {
            return Err("ERR reply is nested too deeply".into());
        }
        let kind = *self.wire.get(self.at).ok_or("ERR broken reply")?;
        self.at += 1;
        Ok(match kind {
            b'$' => match self.length()? {
                Some(len) => Value::String(lua.create_string(self.bytes(len)?)?),
                None => Value::Boolean(false),
            },
            b':' => Value::Integer(num::parse_i64(self.line()?).ok_or("ERR broken reply")?),
            b'+' => Value::Table(status(lua, self.line()?)?),
            b'-' => Value::Table(command_error(lua, self.line()?)?),
            b'*' | b'>' => match self.length()? {
                Some(len) => Value::Table(self.array(lua, len, depth)?),
                None => Value::Boolean(false),
            },
            b'%' => {
                let len = self.length()?.unwrap_or(0);
                let inner = lua.create_table_with_capacity(0, len)?;
                for _ in 0..len {
                    let key = self.value(lua, depth + 1)?;
                    let value = self.value(lua, depth + 1)?;
                    inner.raw_set(key, value)?;
                }
                Value::Table(field(lua, "map", inner)?)
            }
            b'~' => {
                let len = self.length()?.unwrap_or(0);
                let inner = lua.create_table_with_capacity(0, len)?;
                for _ in 0..len {
                    inner.raw_set(self.value(lua, depth + 1)?, true)?;
                }
                Value::Table(field(lua, "set", inner)?)
            }
            b'_' => {
                self.line()?;
                Value::Nil
            }
            b'#' => Value::Boolean(self.line()? == b"t"),
            b',' => {
                let number = num::parse_f64(self.line()?).unwrap_or(f64::NAN);
                Value::Table(field(lua, "double", number)?)
            }
            b'(' => Value::Table(field(lua, "big_number", lua.create_string(self.line()?)?)?),
            b'=' => self.verbatim(lua)?,
            b'|' => {
                // Attributes are not shown to scripts.
                for _ in 0..self.length()?.unwrap_or(0) * 2 {
                    self.value(lua, depth + 1)?;
                }
                self.value(lua, depth)?
            }
            _ => return Err("ERR broken reply".into()),
        })
    }

    fn array(&mut self, lua: &Lua, len: usize, depth: usize) -> Result<Table, Raise> {
        let table = lua.create_table_with_capacity(len, 0)?;
        for at in 1..=len {
            // Strings are most of what there is.
            let value = self.value(lua, depth + 1)?;
            table.raw_seti(at, value)?;
        }
        Ok(table)
    }

    fn verbatim(&mut self, lua: &Lua) -> Result<Value, Raise> {
        let len = self.length()?.unwrap_or(0);
        let bytes = self.bytes(len)?;
        let (format, text) = bytes.split_at_checked(4).ok_or("ERR broken reply")?;
        let inner = lua.create_table_with_capacity(0, 2)?;
        inner.raw_set("format", lua.create_string(&format[..3])?)?;
        inner.raw_set("string", lua.create_string(text)?)?;
        Ok(Value::Table(field(lua, "verbatim_string", inner)?))
    }
}

fn field(lua: &Lua, name: &str, value: impl mlua::IntoLua) -> mlua::Result<Table> {
    let table = lua.create_table_with_capacity(0, 1)?;
    table.raw_set(name, value)?;
    Ok(table)
}

/// `{ok = text}`.
///
/// # Errors
/// Those of the interpreter.
pub fn status(lua: &Lua, text: &[u8]) -> mlua::Result<Table> {
    field(lua, "ok", lua.create_string(text)?)
}

/// `{err = text}`.
///
/// # Errors
/// Those of the interpreter.
pub fn error(lua: &Lua, text: &[u8]) -> mlua::Result<Table> {
    field(lua, "err", lua.create_string(text)?)
}

/// The error of a command, which has been counted where it happened.
fn command_error(lua: &Lua, text: &[u8]) -> mlua::Result<Table> {
    let table = error(lua, text)?;
    table.raw_set("ignore_error_stats_update", true)?;
    Ok(table)
}

/// Writes what a script returned as its reply. `resp3`: the script has asked for RESP3 replies.
///
/// Arrays are walked without recursion, for scripts nest them as they like. Of maps and sets few
/// lie in each other.
///
/// # Errors
/// Those of the interpreter.
pub fn to_reply(value: Value, resp3: bool, out: &mut Reply) -> mlua::Result<()> {
    write(value, resp3, 0, out)
}

fn write(value: Value, resp3: bool, maps: usize, out: &mut Reply) -> mlua::Result<()> {
    let mut open: Vec<(Table, usize, usize)> = Vec::new();
    let mut next = Some(value);
    loop {
        if let Some(value) = next.take() {
            if open.len() + maps * (MAX_RESULT_DEPTH / MAX_MAP_DEPTH) > MAX_RESULT_DEPTH {
                out.error("ERR reached lua stack limit");
            } else if let Some((table, len)) = write_value(value, resp3, maps, out)? {
                open.push((table, 0, len));
            }
        }
        if out.is_over() {
            return Ok(());
        }
        while let Some((table, at, len)) = open.last_mut() {
            if *at < *len {
                *at += 1;
                next = Some(table.raw_get(*at)?);
                break;
            }
            open.pop();
        }
        if open.is_empty() {
            return Ok(());
        }
    }
}

/// Writes one value, or the head of an array with its number of elements.
fn write_value(
    value: Value,
    resp3: bool,
    maps: usize,
    out: &mut Reply,
) -> mlua::Result<Option<(Table, usize)>> {
    match value {
        Value::String(text) => out.bulk(&text.as_bytes()),
        Value::Integer(n) => out.int(n),
        Value::Number(n) => out.int(truncate(n)),
        Value::Boolean(on) if resp3 => out.bool(on),
        Value::Boolean(true) => out.int(1),
        Value::Table(table) => return write_table(table, resp3, maps, out),
        _ => out.null(),
    }
    Ok(None)
}

/// A number as C casts it to a `long long`: everything that does not fit is the smallest.
fn truncate(n: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if (-LIMIT..LIMIT).contains(&n) {
        n as i64
    } else {
        i64::MIN
    }
}

fn write_table(
    table: Table,
    resp3: bool,
    maps: usize,
    out: &mut Reply,
) -> mlua::Result<Option<(Table, usize)>> {
    if let Some(text) = text_field(&table, "err")? {
        let counted = matches!(
            table.raw_get("ignore_error_stats_update")?,
            Value::Boolean(true)
        );
        if counted {
            out.error_counted(&text);
        } else {
            out.error(&text);
        }
        return Ok(None);
    }
    if let Some(text) = text_field(&table, "ok")? {
        out.status(&text);
        return Ok(None);
    }
    match table.raw_get("double")? {
        Value::Number(n) => {
            out.double(n);
            return Ok(None);
        }
        Value::Integer(n) => {
            out.double(n as f64);
            return Ok(None);
        }
        _ => {}
    }
    if let Value::Table(map) = table.raw_get("map")? {
        out.map(map.pairs::<Value, Value>().count());
        map.for_each(|key: Value, value: Value| {
            write(key, resp3, maps + 1, out)?;
            write(value, resp3, maps + 1, out)
        })?;
        return Ok(None);
    }
    if let Value::Table(set) = table.raw_get("set")? {
        out.set(set.pairs::<Value, Value>().count());
        set.for_each(|key: Value, _: Value| write(key, resp3, maps + 1, out))?;
        return Ok(None);
    }
    if let Some(digits) = text_field(&table, "big_number")? {
        out.big_number(&digits);
        return Ok(None);
    }
    if let Value::Table(inner) = table.raw_get("verbatim_string")?
        && let (Some(text), Some(format)) =
            (text_field(&inner, "string")?, text_field(&inner, "format")?)
    {
        let format = String::from_utf8_lossy(&format);
        let mut format: String = format.chars().filter(char::is_ascii).take(3).collect();
        while format.len() < 3 {
            format.push(' ');
        }
        out.verbatim(&format, &text);
        return Ok(None);
    }
    let len = length(&table)?;
    out.array(len);
    Ok(Some((table, len)))
}

/// Elements before the first nil.
fn length(table: &Table) -> mlua::Result<usize> {
    let border = table.raw_len();
    // Lua's own length may be any place where a nil follows; holes before it end the array too.
    for at in 1..=border {
        if table.raw_get::<Value>(at)? == Value::Nil {
            return Ok(at - 1);
        }
    }
    Ok(border)
}

fn text_field(table: &Table, name: &str) -> mlua::Result<Option<Vec<u8>>> {
    Ok(match table.raw_get(name)? {
        Value::String(text) => Some(text.as_bytes().to_vec()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply_of(lua: &Lua, code: &str, resp3: bool) -> String {
        let mut out = Reply::new();
        out.set_resp3(resp3);
        let value: Value = lua.load(code).eval().unwrap();
        to_reply(value, resp3, &mut out).unwrap();
        String::from_utf8_lossy(&out.take().1).replace("\r\n", " ")
    }

    #[test]
    fn results_become_replies() {
        let lua = Lua::new();
        for (code, resp2, resp3) in [
            ("return 3.9", ":3 ", ":3 "),
            (
                "return 0/0",
                ":-9223372036854775808 ",
                ":-9223372036854775808 ",
            ),
            ("return true", ":1 ", "#t "),
            ("return false", "$-1 ", "#f "),
            ("return nil", "$-1 ", "_ "),
            ("return {1,'a',nil,4}", "*2 :1 $1 a ", "*2 :1 $1 a "),
            ("return {ok='a\\r\\nb', err=1}", "+a  b ", "+a  b "),
            ("return {err='A b\\n'}", "-A b  ", "-A b  "),
            ("return {double=3.5}", "$3 3.5 ", ",3.5 "),
            ("return {map={a=1}}", "*2 $1 a :1 ", "%1 $1 a :1 "),
            ("return {set={a=true}}", "*1 $1 a ", "~1 $1 a "),
            ("return {big_number='12'}", "$2 12 ", "(12 "),
            (
                "return {verbatim_string={format='mkd',string='t'}}",
                "$1 t ",
                "=5 mkd:t ",
            ),
            ("return {{1},{{}}}", "*2 *1 :1 *1 *0 ", "*2 *1 :1 *1 *0 "),
            ("return print", "$-1 ", "_ "),
        ] {
            assert_eq!(reply_of(&lua, code, false), resp2, "{code}");
            assert_eq!(reply_of(&lua, code, true), resp3, "{code}");
        }
    }

    #[test]
    fn endless_results_end() {
        let lua = Lua::new();
        let text = reply_of(&lua, "local a = {} a[1] = {a} return a", false);
        assert!(text.ends_with("-ERR reached lua stack limit "));
    }

    #[test]
    fn replies_become_values() {
        let lua = Lua::new();
        for (wire, check) in [
            ("$1\r\na\r\n", "v == 'a'"),
            ("$-1\r\n", "v == false"),
            ("*-1\r\n", "v == false"),
            ("_\r\n", "v == nil"),
            (":-5\r\n", "v == -5"),
            ("+OK\r\n", "v.ok == 'OK'"),
            (
                "-ERR x\r\n",
                "v.err == 'ERR x' and v.ignore_error_stats_update",
            ),
            (
                "*2\r\n:1\r\n*1\r\n$1\r\nb\r\n",
                "#v == 2 and v[2][1] == 'b'",
            ),
            ("%1\r\n$1\r\na\r\n:2\r\n", "v.map.a == 2"),
            ("~1\r\n$1\r\na\r\n", "v.set.a == true"),
            ("#t\r\n", "v == true"),
            (",1.5\r\n", "v.double == 1.5"),
            ("(123\r\n", "v.big_number == '123'"),
            (
                "=7\r\ntxt:abc\r\n",
                "v.verbatim_string.format == 'txt' and v.verbatim_string.string == 'abc'",
            ),
            ("|1\r\n+a\r\n+b\r\n:7\r\n", "v == 7"),
        ] {
            let (value, _) = from_reply(&lua, wire.as_bytes()).unwrap();
            let check: mlua::Function = lua
                .load(format!("local v = ... return {check}"))
                .into_function()
                .unwrap();
            assert!(check.call::<bool>(value).unwrap(), "{wire}");
        }
        for broken in ["", "$5\r\na\r\n", "*2\r\n:1\r\n", "?\r\n", "=2\r\nab\r\n"] {
            assert!(from_reply(&lua, broken.as_bytes()).is_err(), "{broken}");
        }
    }
}
