//! C functions around functions of the host and of the prelude.
//!
//! Scripts see C functions, for two reasons. An error that mlua raises is an object of its own, and
//! scripts must see strings and tables. And `return f(x)` forgets the caller where `f` is a Lua function, but
//! errors name the line of the caller.
//!
//! The function inside returns true and its results; or false and a message, which gets the place of
//! the caller in front; or nil and what is to be raised as it is.
//!
//! # Contract of the unsafe code
//! Both functions are called by Lua only, with at least `LUA_MINSTACK` free slots of stack behind the
//! arguments, and push no more than four values. Every call of the interpreter in here may leave by a
//! jump: nothing in these frames is to be dropped, and no reference of Rust is held over a call.
#![allow(unsafe_code)]

use std::ffi::c_int;

use mlua::{Function, Lua, ffi};

/// Up to this many arguments are passed as they are, more in a table: the host has room for references
/// to some thousand values only.
pub(super) const FEW: c_int = 16;

/// A function of the prelude as scripts see it.
///
/// # Errors
/// Those of the interpreter.
pub fn plain(lua: &Lua, inner: Function) -> mlua::Result<Function> {
    wrap(lua, inner, call_plain)
}

/// A function of the host as scripts see it. It is called with the number of arguments and the
/// arguments, or with minus their number and a table.
///
/// # Errors
/// Those of the interpreter.
pub fn counted(lua: &Lua, inner: Function) -> mlua::Result<Function> {
    wrap(lua, inner, call_counted)
}

/// A function of Lua's string library that takes a pattern, which must not be too long: matching
/// goes one call deeper with every item.
///
/// # Errors
/// Those of the interpreter.
pub fn pattern(lua: &Lua, inner: Function) -> mlua::Result<Function> {
    wrap(lua, inner, call_pattern)
}

/// Bytes of the longest pattern.
const MAX_PATTERN: usize = 64 * 1024;

unsafe extern "C-unwind" fn call_pattern(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: as the contract says. The upvalue is one of Lua's own functions, which has no upvalues:
    // it finds its arguments in this frame as in its own.
    unsafe {
        if ffi::lua_type(state, 2) == ffi::LUA_TSTRING && ffi::lua_objlen(state, 2) > MAX_PATTERN {
            return ffi::luaL_error(state, c"pattern too complex".as_ptr());
        }
        match ffi::lua_tocfunction(state, ffi::lua_upvalueindex(1)) {
            Some(inner) => inner(state),
            None => 0,
        }
    }
}

fn wrap(
    lua: &Lua,
    inner: Function,
    outer: unsafe extern "C-unwind" fn(*mut ffi::lua_State) -> c_int,
) -> mlua::Result<Function> {
    // SAFETY: the one argument is on the stack and becomes the closure's upvalue.
    unsafe {
        lua.exec_raw(inner, |state| {
            ffi::lua_pushcclosure(state, outer, 1);
        })
    }
}

unsafe extern "C-unwind" fn call_plain(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: as the contract says.
    unsafe {
        let count = ffi::lua_gettop(state);
        ffi::lua_pushvalue(state, ffi::lua_upvalueindex(1));
        ffi::lua_insert(state, 1);
        ffi::lua_call(state, count, ffi::LUA_MULTRET);
        conclude(state)
    }
}

/// Calls the function of the host in the first upvalue.
///
/// # Safety
/// It is called by Lua, or by a function that Lua has called, with nothing but the arguments on the stack.
pub(super) unsafe extern "C-unwind" fn call_counted(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: as the contract says; the table has been made for as many elements.
    unsafe {
        let mut count = ffi::lua_gettop(state);
        if count > FEW {
            ffi::lua_createtable(state, count, 0);
            ffi::lua_insert(state, 1);
            for at in (1..=count).rev() {
                ffi::lua_rawseti_(state, 1, at);
            }
            count = -count;
        }
        ffi::lua_pushvalue(state, ffi::lua_upvalueindex(1));
        ffi::lua_insert(state, 1);
        ffi::lua_pushinteger(state, count as ffi::lua_Integer);
        ffi::lua_insert(state, 2);
        ffi::lua_call(state, ffi::lua_gettop(state) - 1, ffi::LUA_MULTRET);
        conclude(state)
    }
}

/// Returns or raises what the inner function said.
///
/// # Safety
/// Its results are all that is on the stack; the first is there.
unsafe fn conclude(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: as the contract says.
    unsafe {
        if ffi::lua_toboolean(state, 1) != 0 {
            return ffi::lua_gettop(state) - 1;
        }
        let placed = ffi::lua_type(state, 1) == ffi::LUA_TBOOLEAN;
        ffi::lua_settop(state, 2);
        if placed {
            ffi::luaL_where(state, 1);
            ffi::lua_insert(state, 2);
            ffi::lua_concat(state, 2);
        }
        ffi::lua_error(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world() -> Lua {
        let lua = Lua::new();
        let bind = lua
            .create_function(|lua, f: Function| plain(lua, f))
            .unwrap();
        lua.globals().set("plain", bind).unwrap();
        let bind = lua
            .create_function(|lua, f: Function| counted(lua, f))
            .unwrap();
        lua.globals().set("counted", bind).unwrap();
        lua
    }

    fn text(lua: &Lua, code: &str) -> String {
        lua.load(code).set_name("=t").eval().unwrap()
    }

    #[test]
    fn results_pass_and_errors_have_their_place() {
        let lua = world();
        assert_eq!(
            text(
                &lua,
                "local f = plain(function(...) return true, ... end) return table.concat({f('a', 'b')}, '|')"
            ),
            "a|b"
        );
        assert_eq!(
            text(
                &lua,
                "local f = plain(function() return true end) return '' .. select('#', f())"
            ),
            "0"
        );
        assert_eq!(
            text(
                &lua,
                "local f = plain(function() return false, 'no' end)\nlocal function g() return f() end\nreturn select(2, pcall(g))"
            ),
            "t:2: no"
        );
        assert_eq!(
            text(
                &lua,
                "local f = plain(function() return nil, {err = 'e'} end) return select(2, pcall(f)).err"
            ),
            "e"
        );
        assert_eq!(
            text(
                &lua,
                "local f = plain(function() return false, 'no' end) return select(2, pcall(f))"
            ),
            "no"
        );
    }

    #[test]
    fn many_arguments_come_in_a_table() {
        let lua = world();
        lua.load(
            "f = counted(function(n, t, ...) if n < 0 then assert(#t == -n) return true, t[1] .. t[-n] end return true, 'few ' .. n end)",
        )
        .exec()
        .unwrap();
        assert_eq!(text(&lua, "return f()"), "few 0");
        assert_eq!(text(&lua, "return f(1, 2)"), "few 2");
        assert_eq!(
            text(
                &lua,
                "local t = {} for i = 1, 7990 do t[i] = 'x' .. i end return f(unpack(t))"
            ),
            "x1x7990"
        );
    }

    /// Random results, in random depth of calls, under a limit of memory that is hit again and again.
    #[test]
    fn jumps_leave_the_interpreter_sound() {
        let lua = world();
        lua.load(
            "inner = plain(function(a, ...) if a == 1 then return true, ... elseif a == 2 then return false, 'm' elseif a == 3 then return nil, {err = 'x'} else error('raw') end end)
             function deep(n, ...) if n == 0 then return inner(...) end return (function(...) return deep(n - 1, ...) end)(...) end",
        )
        .exec()
        .unwrap();
        for round in 0..200 {
            lua.set_memory_limit(lua.used_memory() + 2000 + round * 100)
                .unwrap();
            let code = "local out = {} for i = 1, 200 do local ok, r = pcall(deep, i % 20, i % 4 + 1, i, ('y'):rep(i)) out[i] = tostring(ok) end return table.concat(out, ' ')";
            let result: mlua::Result<String> = lua.load(code).eval();
            lua.set_memory_limit(0).unwrap();
            if let Ok(text) = result {
                assert!(text.contains("true") || text.contains("false"));
            }
            lua.gc_collect().unwrap();
        }
        assert_eq!(text(&lua, "return inner(1, 'fine')"), "fine");
    }
}
