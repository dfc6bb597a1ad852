//! Calls of commands by the interpreter's own functions.
//!
//! Most of what scripts do is `redis.call` with some strings and numbers, and most replies are small. For
//! these, arguments are read from Lua's stack and the reply is put on it without a value of the host in
//! between. What is not as simple (many arguments, errors, maps, replies that may not fit, a script that
//! is to end) is left to the function of the host that [`api`](super::api) makes, which does everything.
//!
//! # Contract of the unsafe code
//! [`call_command`] is called by Lua only, as a closure with two upvalues: the host's function, and the
//! address of the [`Exchange`]'s cell, which the host's function keeps alive. Every call of the interpreter
//! that makes something may leave by a jump: where one is made nothing is to be dropped, and the cell is
//! not borrowed. The reply that is read meanwhile lies in the exchange; nothing changes it before the next
//! request, for only the script that waits for it makes one.
#![allow(unsafe_code)]

use std::cell::RefCell;
use std::ffi::c_int;

use mlua::{Function, Lua, Table, ffi};

use super::exchange::{Exchange, Job, Kind, Request, Results, Shared, Step, suspend};
use super::trampoline::{FEW, call_counted};
use crate::base::num;

/// Bytes of the longest reply that is converted here.
const SMALL: usize = 64 * 1024;
/// Bytes of the interpreter that a byte of a reply takes at most: `*0\r\n` becomes a table.
const GROWTH: usize = 32;
/// Arrays within arrays; each takes a slot of the stack, of which Lua gives 20.
const DEPTH: c_int = 6;

/// `redis.call` or `redis.pcall` as scripts see it; `inner` is called as by
/// [`counted`](super::trampoline::counted) with what is not simple.
///
/// # Errors
/// Those of the interpreter.
pub fn command(lua: &Lua, inner: Function, exchange: &Shared) -> mlua::Result<Function> {
    let cell = std::rc::Rc::as_ptr(exchange);
    // SAFETY: `inner` is on the stack and becomes the first upvalue, the address the second.
    unsafe {
        lua.exec_raw(inner, |state| {
            ffi::lua_pushlightuserdata(state, cell.cast_mut().cast());
            ffi::lua_pushcclosure(state, call_command, 2);
        })
    }
}

/// Places of arguments that are kept for the next script: one script's million is not.
const KEPT_PLACES: usize = 1024;

/// Keys and arguments of a script: where they lie, until they are on Lua's stack.
#[derive(Default)]
pub struct Arguments {
    places: Vec<*const [u8]>,
    keys: usize,
}

impl Arguments {
    /// Notes them; the first `keys` are keys. They must stay where they are until [`run`] has been called:
    /// the engine calls it before its caller, who holds them, goes on.
    pub(super) fn set<'a>(&mut self, items: impl Iterator<Item = &'a [u8]>, keys: usize) {
        self.places.clear();
        self.places.shrink_to(KEPT_PLACES);
        self.places.extend(items.map(std::ptr::from_ref));
        self.keys = keys;
    }
}

/// What the prelude has made for running what is kept.
pub struct World {
    /// Runs the code of a library.
    library: Function,
    /// Functions by their number.
    kept: Table,
    /// The globals that scripts see.
    base: Table,
    /// Notes where an error happened.
    handler: Function,
    /// Makes the results of an error.
    conclude: Function,
}

impl World {
    /// # Errors
    /// Something is missing in `inside`.
    pub(super) fn new(library: Function, inside: &Table) -> mlua::Result<World> {
        Ok(World {
            library,
            kept: inside.raw_get("kept")?,
            base: inside.raw_get("base")?,
            handler: inside.raw_get("handler")?,
            conclude: inside.raw_get("conclude")?,
        })
    }
}

/// Runs a job with the arguments in the exchange, and with `limit` as the interpreter's memory limit (bytes; 0:
/// none) from then on.
///
/// # Errors
/// Those of the interpreter.
pub(super) fn run(
    lua: &Lua,
    world: &World,
    job: Job,
    exchange: &Shared,
    limit: usize,
) -> mlua::Result<Results> {
    if job.kind == Kind::Library {
        lua.set_memory_limit(limit)?;
        return world.library.call(job.handle);
    }
    let (places, keys) = {
        let arguments = &exchange.borrow().arguments;
        let places: *const [*const [u8]] = arguments.places.as_slice();
        (places, arguments.keys)
    };
    let inside = (&world.kept, &world.base, &world.handler, &world.conclude);
    // SAFETY: the four are on the stack. The arguments are where they were noted: this is the first that happens
    // after `set`, and until the function is called nobody else runs.
    unsafe {
        lua.exec_raw(inside, |state| {
            const KEPT: c_int = 1;
            const BASE: c_int = 2;
            const HANDLER: c_int = 3;
            const CONCLUDE: c_int = 4;
            let (keys, argv) = (&*places).split_at(keys);
            let mut count = 0;
            if job.kind == Kind::Function {
                ffi::lua_rawgeti_(state, KEPT, job.handle as c_int);
                push_strings(state, keys);
                push_strings(state, argv);
                count = 2;
            } else {
                push_strings(state, keys);
                ffi::lua_setfield(state, BASE, c"KEYS".as_ptr());
                push_strings(state, argv);
                ffi::lua_setfield(state, BASE, c"ARGV".as_ptr());
                ffi::lua_rawgeti_(state, KEPT, job.handle as c_int);
            }
            let _ = lua.set_memory_limit(limit);
            if ffi::lua_pcall(state, count, 1, HANDLER) == ffi::LUA_OK {
                ffi::lua_replace(state, 2);
                ffi::lua_settop(state, 2);
                ffi::lua_pushboolean(state, 1);
                ffi::lua_replace(state, 1);
                return;
            }
            ffi::lua_pushvalue(state, CONCLUDE);
            ffi::lua_insert(state, 1);
            ffi::lua_replace(state, 2);
            ffi::lua_settop(state, 2);
            ffi::lua_call(state, 1, ffi::LUA_MULTRET);
        })
    }
}

/// Pushes a table of strings.
///
/// # Safety
/// The strings are where they were noted; there are two free slots.
unsafe fn push_strings(state: *mut ffi::lua_State, items: &[*const [u8]]) {
    // SAFETY: as said. More than an int counts do not fit into a request.
    unsafe {
        ffi::lua_createtable(state, items.len() as c_int, 0);
        for (at, item) in (1..).zip(items) {
            let item = &**item;
            ffi::lua_pushlstring(state, item.as_ptr().cast(), item.len());
            ffi::lua_rawseti_(state, -2, at);
        }
    }
}

unsafe extern "C-unwind" fn call_command(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: as the contract says.
    unsafe {
        let cell = ffi::lua_touserdata(state, ffi::lua_upvalueindex(2)).cast::<RefCell<Exchange>>();
        let count = ffi::lua_gettop(state);
        if ask(state, count, &*cell) {
            if answer(state, &*cell) {
                return 1;
            }
            // The host's function finds that the command has run.
            ffi::lua_settop(state, count);
            if let Ok(mut exchange) = (*cell).try_borrow_mut() {
                exchange.answered = true;
            }
        }
        call_counted(state)
    }
}

/// Takes the arguments and lets the command run. False if that is for the host's function to do.
///
/// # Safety
/// As the contract says; `count` arguments are on the stack.
unsafe fn ask(state: *mut ffi::lua_State, count: c_int, cell: &RefCell<Exchange>) -> bool {
    let Ok(mut exchange) = cell.try_borrow_mut() else {
        return false;
    };
    if count == 0 || count > FEW || exchange.loading.is_some() {
        return false;
    }
    exchange.request.clear();
    for at in 1..=count {
        // SAFETY: these calls make nothing: a string is not converted, its text stays where it is.
        let taken = unsafe {
            match ffi::lua_type(state, at) {
                ffi::LUA_TSTRING => {
                    let mut len = 0;
                    let text = ffi::lua_tolstring(state, at, &mut len).cast::<u8>();
                    let text = std::slice::from_raw_parts(text, len);
                    exchange.request.push(|buf| buf.extend_from_slice(text))
                }
                ffi::LUA_TNUMBER => {
                    push_number(&mut exchange.request, ffi::lua_tonumber(state, at))
                }
                _ => false,
            }
        };
        if !taken {
            return false;
        }
    }
    drop(exchange);
    suspend(Step::Call)
}

/// A number as an argument: an integer if it is one.
fn push_number(request: &mut Request, number: f64) -> bool {
    let whole = number as i64;
    if (whole as f64).to_bits() == number.to_bits() && whole != i64::MAX {
        request.push(|buf| num::write_i64(buf, whole))
    } else {
        request.push(|buf| num::write_f64(buf, number))
    }
}

/// Puts the reply on the stack. False if that is for the host's function to do.
///
/// # Safety
/// As the contract says.
unsafe fn answer(state: *mut ffi::lua_State, cell: &RefCell<Exchange>) -> bool {
    // SAFETY: as the contract says: the reply stays as it is while it is read.
    unsafe {
        let (reply, limit) = {
            let Ok(exchange) = cell.try_borrow() else {
                return false;
            };
            let plain = exchange.kill.is_none() && exchange.request.buf.capacity() <= SMALL;
            if !plain || exchange.reply.len() > SMALL {
                return false;
            }
            let reply =
                std::ptr::slice_from_raw_parts(exchange.reply.as_ptr(), exchange.reply.len());
            (&*reply, exchange.memory_limit)
        };
        let used = ffi::lua_gc(state, ffi::LUA_GCCOUNT, 0) as usize * 1024;
        if limit > 0 && used + reply.len() * GROWTH + SMALL > limit {
            return false;
        }
        let mut rest = reply;
        push_value(state, &mut rest, DEPTH)
    }
}

/// Reads one value off the front of `rest` and pushes it. False, with anything on the stack, if it is not
/// one of the simple kinds.
///
/// # Safety
/// As the contract says; there are `depth` + 3 free slots.
unsafe fn push_value(state: *mut ffi::lua_State, rest: &mut &[u8], depth: c_int) -> bool {
    let Some((kind, line)) = next_line(rest) else {
        return false;
    };
    // SAFETY: as the contract says.
    unsafe {
        match kind {
            b'$' => match num::parse_i64(line).map(usize::try_from) {
                Some(Ok(len)) => {
                    let Some((text, behind)) = rest.split_at_checked(len) else {
                        return false;
                    };
                    let Some(behind) = behind.get(2..) else {
                        return false;
                    };
                    *rest = behind;
                    ffi::lua_pushlstring(state, text.as_ptr().cast(), text.len());
                }
                Some(Err(_)) => ffi::lua_pushboolean(state, 0),
                None => return false,
            },
            b':' => match num::parse_i64(line) {
                Some(n) => ffi::lua_pushnumber(state, n as f64),
                None => return false,
            },
            b'+' => {
                ffi::lua_createtable(state, 0, 1);
                ffi::lua_pushlstring(state, line.as_ptr().cast(), line.len());
                ffi::lua_setfield(state, -2, c"ok".as_ptr());
            }
            b'_' => ffi::lua_pushnil(state),
            b'#' => ffi::lua_pushboolean(state, c_int::from(line == b"t")),
            b'*' if depth > 0 => match num::parse_i64(line).map(c_int::try_from) {
                Some(Ok(len)) if len >= 0 => {
                    ffi::lua_createtable(state, len, 0);
                    for at in 1..=len {
                        if !push_value(state, rest, depth - 1) {
                            return false;
                        }
                        ffi::lua_rawseti_(state, -2, at);
                    }
                }
                Some(Ok(_)) => ffi::lua_pushboolean(state, 0),
                _ => return false,
            },
            _ => return false,
        }
    }
    true
}

/// The type and the rest of the first line, which is taken.
fn next_line<'a>(rest: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (&kind, behind) = rest.split_first()?;
    let end = memchr::memchr(b'\r', behind)?;
    let line = &behind[..end];
    *rest = behind.get(end + 2..)?;
    Some((kind, line))
}
