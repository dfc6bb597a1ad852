//! The libraries that scripts have beside Lua's own: `cjson`, `cmsgpack`, `struct`, `bit`.
//!
//! They give what Redis' libraries give, also in their errors and in corner cases; nothing here is
//! `unsafe`, and depth and size of everything is bounded.

mod bit;
mod cjson;
mod cmsgpack;
mod struct_;

use mlua::{Lua, Table, Value};

use super::api::text_of;
use super::engine::{Params, Raise};
use super::exchange::Shared;

/// All libraries by name.
///
/// # Errors
/// Those of the interpreter.
pub fn libraries(lua: &Lua, exchange: &Shared) -> mlua::Result<Table> {
    let all = lua.create_table()?;
    all.raw_set("cjson", cjson::library(lua, exchange)?)?;
    all.raw_set("cmsgpack", cmsgpack::library(lua, exchange)?)?;
    all.raw_set("struct", struct_::library(lua, exchange)?)?;
    all.raw_set("bit", bit::library(lua)?)?;
    Ok(all)
}

/// `bad argument #at to 'name' (…)`, with the name by which the script called the function. The
/// script called a function of the prelude, which called the present one.
pub fn bad_argument(lua: &Lua, at: usize, what: &str) -> Raise {
    let names = lua.inspect_stack(1, |debug| {
        let names = debug.names();
        let method = names.name_what == Some("method");
        (names.name.map(|name| name.into_owned()), method)
    });
    let (name, method) = names.unwrap_or((None, false));
    let name = name.unwrap_or_else(|| "?".into());
    if method && at == 1 {
        return format!("calling '{name}' on bad self ({what})").into();
    }
    let at = at - usize::from(method);
    format!("bad argument #{at} to '{name}' ({what})").into()
}

/// The name of a value's type.
pub fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Nil => "nil",
        Value::Boolean(_) => "boolean",
        Value::Integer(_) | Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Table(_) => "table",
        Value::Function(_) => "function",
        Value::Thread(_) => "thread",
        _ => "userdata",
    }
}

/// Argument `at` (from 0) as a string; numbers are taken too.
fn string(lua: &Lua, params: &Params, at: usize) -> Result<Vec<u8>, Raise> {
    let value = params.get(at)?;
    text_of(&value).ok_or_else(|| {
        let got = if at < params.len() {
            type_name(&value)
        } else {
            "no value"
        };
        bad_argument(lua, at + 1, &format!("string expected, got {got}"))
    })
}

/// Argument `at` as an integer, or `default` if it is missing or nil.
fn optional_int(lua: &Lua, params: &Params, at: usize, default: i64) -> Result<i64, Raise> {
    match params.get(at)? {
        Value::Nil => Ok(default),
        _ => Ok(cast(super::api::number(lua, params, at)?)),
    }
}

/// A double as the processor makes an integer of it: what does not fit is the smallest.
fn cast(n: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if (-LIMIT..LIMIT).contains(&n) {
        n as i64
    } else {
        i64::MIN
    }
}

/// A double as C prints it with `%.14g`.
pub fn format_g14(value: f64) -> Vec<u8> {
    format_g(value, 14)
}

/// A double as C prints it with `%.{precision}g`.
fn format_g(value: f64, precision: usize) -> Vec<u8> {
    if value.is_nan() {
        return if value.is_sign_negative() {
            b"-nan".to_vec()
        } else {
            b"nan".to_vec()
        };
    }
    if value.is_infinite() {
        return if value < 0.0 {
            b"-inf".to_vec()
        } else {
            b"inf".to_vec()
        };
    }
    let precision = precision.max(1);
    // As `d.ddde-x`: all digits and the exponent after rounding.
    let text = format!("{value:.*e}", precision - 1);
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trimmed = |text: &str| {
        if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            text.to_owned()
        }
    };
    if exponent < -4 || exponent >= precision as i32 {
        let sign = if exponent < 0 { '-' } else { '+' };
        let digits = exponent.unsigned_abs();
        return format!("{}e{sign}{digits:02}", trimmed(mantissa)).into_bytes();
    }
    let decimals = (precision as i32 - 1 - exponent).max(0) as usize;
    trimmed(&format!("{value:.decimals$}")).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_printed_as_c_does() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (0.1, "0.1"),
            (1.0 / 3.0, "0.33333333333333"),
            (1e14, "1e+14"),
            (99_999_999_999_999.0, "99999999999999"),
            (123_456_789_012_345.0, "1.2345678901234e+14"),
            (1e-5, "1e-05"),
            (0.0001, "0.0001"),
            (1.5e300, "1.5e+300"),
            (9.999_999_999_999_99, "10"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(String::from_utf8(format_g14(value)).unwrap(), text);
        }
        assert_eq!(format_g(1234.5, 3), b"1.23e+03");
    }
}
