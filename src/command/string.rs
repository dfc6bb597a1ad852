//! The string commands: table, and the handlers that read or store whole values. The others stand in sub-modules by
//! what they do: options of SET and its kin, numbers, ranges, comparisons, LCS.

mod compare;
mod increx;
mod lcs;
mod number;
mod options;
pub(super) mod range;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::command::args::Args;
use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::command::keys;
use crate::command::spec::{Begin, DocFlags, Find, Group, KeySpec, Spec, cats, flags, key};
use crate::keyspace::effect::Class;
use crate::keyspace::{Expire, Text};
use crate::value::entry::{INLINE_MAX, New};

const ROW: Spec = Spec {
    group: Group::String,
    ..Spec::BLANK
};

pub static TABLE: &[Spec] = &[
    Spec {
        name: "append",
        since: "2.0.0",
        arity: 3,
        flags: flags!(WRITE | DENYOOM | FAST),
        categories: cats!(STRING),
        keys: &[KeySpec::one(key!(RW | INSERT), 1)],
        summary: "Appends to a string, which is created if need be.",
        complexity: "O(1)",
        syntax: "key/k0 value",
        run: range::append,
        ..ROW
    },
    Spec {
        name: "decr",
        since: "1.0.0",
        arity: 2,
        flags: flags!(WRITE | DENYOOM | FAST),
        categories: cats!(STRING),
        keys: &[KeySpec::one(key!(RW | ACCESS | UPDATE), 1)],
        summary: "Decreases an integer by one; a missing key counts as 0.",
        complexity: "O(1)",
        syntax: "key/k0",
        run: number::decr,
        ..ROW
    },
    Spec {
        name: "decrby",
        since: "1.0.0",
        arity: 3,
        flags: flags!(WRITE | DENYOOM | FAST),
        categories: cats!(STRING),
        keys: &[KeySpec::one(key!(RW | ACCESS | UPDATE), 1)],
        summary: "Decreases an integer by the given number; a missing key counts as 0.",
        complexity: "O(1)",
        syntax: "key/k0 decrement/i",
        run: number::decrby,
        ..ROW
    },
    Spec {
        name: "delex",
        since: "8.4.0",
        arity: -2,
        flags: flags!(WRITE | FAST),
        categories: cats!(STRING),
        keys: &[KeySpec::one(key!(RW | DELETE), 1)],
        summary: "Deletes a string if its value or digest meets a condition.",
        complexity: "O(1); O(N)",
        syntax: "key/k0 [condition<IFEQ:ifeq-value|IFNE:ifne-value|IFDEQ:ifdeq-digest|IFDNE:ifdne-digest>]",
        run: compare::delex,
        ..ROW
    },
    Spec {
        name: "delifeq",
        since: "9.0.0",
        arity: 3,
        flags: flags!(WRITE | FAST),
        categories: cats!(STRING),
        keys: &[KeySpec::one(key!(RM | DELETE), 1)],
        summary: "Deletes a string if it has the given value.",
        complexity: "O(1)",
        syntax: "key/k0 value",
        run: compare::delifeq,
        ..ROW
    },
    Spec {
        name: "digest",
        since: "8.4.0",
        arity: 2,
        flags: flags!(READONLY | FAST),
        categories: cats!(STRING),
        keys: &[KeySpec::one(key!(RO | ACCESS), 1)],
        summary: "Returns the digest of a string as a hexadecimal number.",
        complexity: "O(N)",
        syntax: "key/k0",
        run: compare::digest,
        ..ROW
    },
    Spec {
        name: "get",
        since: "1.0.0",
        arity: 2,
        flags: flags!(READONLY | FAST),
        categories: cats!(STRING),
        keys: &[KeySpec::one(key!(RO | ACCESS), 1)],
        summary: "Returns the string of a key.",
        complexity: "O(1)",
        syntax: "key/k0",
        run: get,
        ..ROW
    },
    Spec {
        name: "getdel",
        since: "6.2.0",
        arity: 2,
        flags: flags!(WRITE | FAST),
        categories: cats!(STRING),
        keys: &[KeySpec::one(key!(RW | ACCESS | DELETE), 1)],
        summary: "Returns the string of a key and deletes the key.",
        complexity: "O(1)",
        syntax: "key/k0",
        run: getdel,
        ..ROW
    },
    Spec {
        name: "getex",
        since: "6.2.0",
        arity: -2,
        flags: flags!(WRITE | FAST),
        categories: cats!(STRING),
        keys: &[KeySpec::one(key!(RW | ACCESS | UPDATE), 1)],
        summary: "Returns the string of a key and can set or remove its expiration.",
        complexity: "O(1)",
        syntax: "key/k0 [expiration<EX:seconds/i|PX:milliseconds/i|EXAT:unix-time-seconds/t|PXAT:unix-time-milliseconds/t|PERSIST>]",
        run: options::getex,
        ..ROW
    },
    Spec {
        name: "getrange",
        since: "2.4.0",
        arity: 4,
        flags: flags!(READONLY),
        categories: cats!(STRING),
        keys: &[KeySpec::one(key!(RO | ACCESS), 1)],
        summary: "Returns a part of a string.",
        complexity: "O(N); O(1)",
        syntax: "key/k0 start/i end/i",
        run: range::getrange,
        ..ROW
    },
    Spec {
        name: "getset",
        since: "1.0.0",
        arity: 3,
        flags: flags!(WRITE | DENYOOM | FAST),
        categories: cats!(STRING),
        keys: &[KeySpec::one(key!(RW | ACCESS | UPDATE), 1)],
        doc_flags: DocFlags::DEPRECATED,
        deprecated_since: "6.2.0",
        replaced_by: "`SET` with the `GET` argument",
        summary: "Sets a string and returns the one before.",
        complexity: "O(1)",
        syntax: "key/k0 value",
        run: getset,
        ..ROW
    },
    Spec {
        name: "incr",
        since: "1.0.0",
        arity: 2,
        flags: flags!(WRITE | DENYOOM | FAST),
        categories: cats!(STRING),
        keys: &[KeySpec::one(key!(RW | ACCESS | UPDATE), 1)],
        summary: "Increases an integer by one; a missing key counts as 0.",
        complexity: "O(1)",
        syntax: "key/k0",
        run: number::incr,
        ..ROW
    },
    Spec {
        name: "incrby",
        since: "1.0.0",
        arity: 3,
        flags: flags!(WRITE | DENYOOM | FAST),
        categories: cats!(STRING),
        keys: &[KeySpec::one(key!(RW | ACCESS | UPDATE), 1)],
        summary: "Increases an integer by the given number; a missing key counts as 0.",
        complexity: "O(1)",
        syntax: "key/k0 increment/i",
        run: number::incrby,
        ..ROW
    },
    Spec {
        name: "incrbyfloat",
        since: "2.6.0",
        arity: 3,
        flags: flags!(WRITE | DENYOOM | FAST),
        categories: cats!(STRING),
        keys: &[KeySpec::one(key!(RW | ACCESS | UPDATE), 1)],
        summary: "Increases a floating-point number; a missing key counts as 0.",
        complexity: "O(1)",
        syntax: "key/k0 increment/d",
        run: number::incrbyfloat,
        ..ROW
    },
    Spec {
        name: "increx",
        since: "8.8.0",
        arity: -2,
        flags: flags!(WRITE | DENYOOM | FAST),
        categories: cats!(STRING),
        keys: &[KeySpec::one(key!(RW | ACCESS | UPDATE), 1)],
        summary: "Increases a number within bounds and can set its expiration.",
        complexity: "O(1)",
        syntax: "key/k0 [increment<BYFLOAT:float/d|BYINT:integer/i>] [SATURATE] [LBOUND:lowerbound] [UBOUND:upperbound] [expiration<EX:seconds/i|PX:milliseconds/i|EXAT:unix-time-seconds/t|PXAT:unix-time-milliseconds/t|PERSIST>] [ENX]",
        run: increx::increx,
        ..ROW
    },
    Spec {
        name: "lcs",
        since: "7.0.0",
        arity: -3,
        flags: flags!(READONLY),
        categories: cats!(STRING),
        keys: &[KeySpec::range(key!(RO | ACCESS), 1, 1, 1)],
        summary: "Finds the longest common subsequence of two strings.",
        complexity: "O(N*M)",
        syntax: "key1/k0 key2/k0 [LEN] [IDX] [MINMATCHLEN:min-match-len/i] [WITHMATCHLEN]",
        run: lcs::lcs,
        ..ROW
    },
    Spec {
        name: "mget",
        since: "1.0.0",
        arity: -2,
        flags: flags!(READONLY | FAST),
        categories: cats!(STRING),
        keys: &[KeySpec::range(key!(RO | ACCESS), 1, -1, 1)],
        tips: &["request_policy:multi_shard"],
        summary: "Returns the strings of several keys.",
        complexity: "O(N)",
        syntax: "key/k0...",
        run: mget,
        ..ROW
    },
    Spec {
        name: "mset",
        since: "1.0.1",
        arity: -3,
        flags: flags!(WRITE | DENYOOM),
        categories: cats!(STRING),
        keys: &[KeySpec::range(key!(OW | UPDATE), 1, -1, 2)],
        tips: &[
            "request_policy:multi_shard",
            "response_policy:all_succeeded",
        ],
        summary: "Sets the strings of several keys.",
        complexity: "O(N)",
        syntax: "data{key/k0 value}...",
        run: mset,
        ..ROW
    },
    Spec {
        name: "msetex",
        since: "8.4.0",
        arity: -4,
        flags: flags!(WRITE | DENYOOM),
        categories: cats!(STRING),
        keys: &[KeySpec {
            flags: key!(OW | UPDATE),
            begin: Begin::Index(1),
            find: Find::KeyNum {
                keynumidx: 0,
                firstkey: 1,
                step: 2,
            },
        }],
        tips: &[
            "request_policy:multi_shard",
            "response_policy:all_succeeded",
        ],
        summary: "Sets the strings of several keys with a common expiration, on a condition if wanted.",
        complexity: "O(N)",
        syntax: "numkeys/i data{key/k0 value}... [condition<NX|XX>] [expiration<EX:seconds/i|PX:milliseconds/i|EXAT:unix-time-seconds/t|PXAT:unix-time-milliseconds/t|KEEPTTL>]",
        run: options::msetex,
        ..ROW
    },
    Spec {
        name: "msetnx",
        since: "1.0.1",
        arity: -3,
        flags: flags!(WRITE | DENYOOM),
        categories: cats!(STRING),
        keys: &[KeySpec::range(key!(OW | INSERT), 1, -1, 2)],
        summary: "Sets the strings of several keys if none of the keys exists.",
        complexity: "O(N)",
        syntax: "data{key/k0 value}...",
        run: msetnx,
        ..ROW
    },
    Spec {
        name: "psetex",
        since: "2.6.0",
        arity: 4,
        flags: flags!(WRITE | DENYOOM),
        categories: cats!(STRING),
        keys: &[KeySpec::one(key!(OW | UPDATE), 1)],
        doc_flags: DocFlags::DEPRECATED,
        deprecated_since: "2.6.12",
        replaced_by: "`SET` with the `PX` argument",
        summary: "Sets a string and its expiration in milliseconds.",
        complexity: "O(1)",
        syntax: "key/k0 milliseconds/i value",
        run: options::psetex,
        ..ROW
    },
    Spec {
        name: "set",
        since: "1.0.0",
        arity: -3,
        flags: flags!(WRITE | DENYOOM),
        categories: cats!(STRING),
        keys: &[KeySpec::one(key!(RW | ACCESS | UPDATE | VARIABLE_FLAGS), 1)],
        special_keys: Some(keys::set),
        history: &[
            (
                "2.6.12",
                "Added `NX`, `XX`, `IFEQ`, `IFNE`, `IFDEQ`, `IFDNE`, `EX` and `PX`.",
            ),
            ("6.0.0", "Added `KEEPTTL`."),
            ("6.2.0", "Added `GET`, `EXAT` and `PXAT`."),
            ("7.0.0", "Allowed `NX` together with `GET`."),
            ("8.4.0", "Added `IFEQ`, `IFNE`, `IFDEQ` and `IFDNE`."),
        ],
        summary: "Sets the string of a key, with conditions and an expiration if wanted; replaces a value of any type.",
        complexity: "O(1)",
        syntax: "key/k0 value [condition<NX|XX|IFEQ:ifeq-value@8.4.0|IFNE:ifne-value@8.4.0|IFDEQ:ifdeq-digest@8.4.0|IFDNE:ifdne-digest@8.4.0>@2.6.12] [GET@6.2.0] [expiration<EX:seconds/i@2.6.12|PX:milliseconds/i@2.6.12|EXAT:unix-time-seconds/t@6.2.0|PXAT:unix-time-milliseconds/t@6.2.0|KEEPTTL@6.0.0>]",
        run: set,
        ..ROW
    },
    Spec {
        name: "setex",
        since: "2.0.0",
        arity: 4,
        flags: flags!(WRITE | DENYOOM),
        categories: cats!(STRING),
        keys: &[KeySpec::one(key!(OW | UPDATE), 1)],
        doc_flags: DocFlags::DEPRECATED,
        deprecated_since: "2.6.12",
        replaced_by: "`SET` with the `EX` argument",
        summary: "Sets a string and its expiration in seconds.",
        complexity: "O(1)",
        syntax: "key/k0 seconds/i value",
        run: options::setex,
        ..ROW
    },
    Spec {
        name: "setnx",
        since: "1.0.0",
        arity: 3,
        flags: flags!(WRITE | DENYOOM | FAST),
        categories: cats!(STRING),
        keys: &[KeySpec::one(key!(OW | INSERT), 1)],
        doc_flags: DocFlags::DEPRECATED,
        deprecated_since: "2.6.12",
        replaced_by: "`SET` with the `NX` argument",
        summary: "Sets a string if the key does not exist.",
        complexity: "O(1)",
        syntax: "key/k0 value",
        run: options::setnx,
        ..ROW
    },
    Spec {
        name: "setrange",
        since: "2.2.0",
        arity: 4,
        flags: flags!(WRITE | DENYOOM),
        categories: cats!(STRING),
        keys: &[KeySpec::one(key!(RW | UPDATE), 1)],
        summary: "Overwrites a part of a string, which grows with zero bytes if need be.",
        complexity: "O(1); O(M)",
        syntax: "key/k0 offset/i value",
        run: range::setrange,
        ..ROW
    },
    Spec {
        name: "strlen",
        since: "2.2.0",
        arity: 2,
        flags: flags!(READONLY | FAST),
        categories: cats!(STRING),
        keys: &[KeySpec::one(key!(RO), 1)],
        summary: "Returns the length of a string.",
        complexity: "O(1)",
        syntax: "key/k0",
        run: range::strlen,
        ..ROW
    },
    Spec {
        name: "substr",
        since: "1.0.0",
        arity: 4,
        flags: flags!(READONLY),
        categories: cats!(STRING),
        keys: &[KeySpec::one(key!(RO | ACCESS), 1)],
        doc_flags: DocFlags::DEPRECATED,
        deprecated_since: "2.0.0",
        replaced_by: "`GETRANGE`",
        summary: "Returns a part of a string.",
        complexity: "O(N); O(1)",
        syntax: "key/k0 start/i end/i",
        run: range::getrange,
        ..ROW
    },
];

/// An argument as a value to store. A large one that has its own buffer is shared, not copied.
#[inline]
fn stored<'a>(args: &Args<'a>, at: usize) -> New<'a> {
    match args.shared(at) {
        Some(buffer) if buffer.len() > INLINE_MAX => New::Big(Arc::clone(buffer)),
        _ => New::string(args.get(at)),
    }
}

/// Text to store as it is, even where it looks like an integer.
fn verbatim(text: &[u8]) -> New<'_> {
    if text.len() <= INLINE_MAX {
        New::Str(text)
    } else {
        New::Big(Arc::new(text.to_vec()))
    }
}

/// `GET key`
fn get(ctx: &mut Ctx<'_>) -> Outcome {
    match ctx.db.read_str(&ctx.args[1])? {
        Some(text) => text.reply(ctx.out),
        None => ctx.out.null(),
    }
    Ok(())
}

/// `SET key value [options]`; without options one lookup is all.
fn set(ctx: &mut Ctx<'_>) -> Outcome {
    if ctx.args.len() > 3 {
        return options::set(ctx);
    }
    let key = ctx.args.get(1);
    ctx.db.set_str(key, stored(&ctx.args, 2), Expire::Never);
    ctx.db.effect(Class::STRING, "set", key, 1);
    ctx.out.ok();
    Ok(())
}

/// `GETSET key value`
fn getset(ctx: &mut Ctx<'_>) -> Outcome {
    let (key, args) = (ctx.args.get(1), ctx.args);
    get(ctx)?;
    ctx.db.set_str(key, stored(&args, 2), Expire::Never);
    ctx.db.effect(Class::STRING, "set", key, 1);
    ctx.db.log(&[b"SET", key, args.get(2)]);
    Ok(())
}

/// `GETDEL key`
fn getdel(ctx: &mut Ctx<'_>) -> Outcome {
    let key = ctx.args.get(1);
    get(ctx)?;
    if ctx.db.unlink(key) {
        ctx.db.effect(Class::GENERIC, "del", key, 1);
        ctx.db.log(&[b"DEL", key]);
    }
    Ok(())
}

/// `MGET key [key …]`; values of other types count as absent.
fn mget(ctx: &mut Ctx<'_>) -> Outcome {
    ctx.out.array(ctx.args.len() - 1);
    for key in ctx.args.from(1).iter() {
        match ctx.db.read(key).and_then(|entry| Text::of(entry.payload())) {
            Some(text) => text.reply(ctx.out),
            None => ctx.out.null(),
        }
    }
    Ok(())
}

/// Stores pairs of key and value that stand from argument `first` to before `end`.
fn store_pairs(ctx: &mut Ctx<'_>, first: usize, end: usize, expire: Expire) {
    for at in (first..end).step_by(2) {
        let key = ctx.args.get(at);
        ctx.db.set_str(key, stored(&ctx.args, at + 1), expire);
        ctx.db.effect(Class::STRING, "set", key, 1);
    }
}

/// `MSET key value [key value …]`
fn mset(ctx: &mut Ctx<'_>) -> Outcome {
    let end = ctx.args.len();
    if end.is_multiple_of(2) {
        return Err(Error::arity("mset"));
    }
    store_pairs(ctx, 1, end, Expire::Never);
    ctx.out.ok();
    Ok(())
}

/// `MSETNX key value [key value …]`: all or, if one of the keys exists, none.
fn msetnx(ctx: &mut Ctx<'_>) -> Outcome {
    let end = ctx.args.len();
    if end.is_multiple_of(2) {
        return Err(Error::arity("msetnx"));
    }
    let free = !(1..end)
        .step_by(2)
        .any(|at| ctx.db.exists(ctx.args.get(at)));
    if free {
        store_pairs(ctx, 1, end, Expire::Never);
    }
    ctx.out.int(i64::from(free));
    Ok(())
}
