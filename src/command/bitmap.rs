//! The bitmap commands: strings read and written bit by bit. BITFIELD stands in a sub-module.

mod field;
#[cfg(test)]
mod tests;

use super::string::range::{clamp, clamp_ordered};
use crate::base::num;
use crate::command::args::Args;
use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::command::keys;
use crate::command::spec::{Group, KeySpec, Spec, cats, flags, key};
use crate::keyspace::effect::Class;
use crate::keyspace::{Expire, Keys, Text};
use crate::value::bits::{self, Op};
use crate::value::entry::New;

const BAD_OFFSET: Error = Error::new("ERR bit offset is not an integer or out of range");
const BAD_BIT: Error = Error::new("ERR bit is not an integer or out of range");
const NOT_A_BIT: Error = Error::new("ERR The bit argument must be 1 or 0.");

const ROW: Spec = Spec {
    group: Group::Bitmap,
    ..Spec::BLANK
};

pub static TABLE: &[Spec] = &[
    Spec {
        name: "bitcount",
        since: "2.6.0",
        arity: -2,
        flags: flags!(READONLY),
        categories: cats!(BITMAP),
        keys: &[KeySpec::one(key!(RO | ACCESS), 1)],
        history: &[("7.0.0", "Added `BYTE` and `BIT`.")],
        summary: "Counts the bits set in a string or a part of it.",
        complexity: "O(N)",
        syntax: "key/k0 [range{start/i end/i [unit<BYTE|BIT>@7.0.0]}]",
        run: bitcount,
        ..ROW
    },
    Spec {
        name: "bitfield",
        since: "3.2.0",
        arity: -2,
        flags: flags!(WRITE | DENYOOM),
        categories: cats!(BITMAP),
        keys: &[KeySpec::one(key!(RW | ACCESS | UPDATE | VARIABLE_FLAGS), 1)],
        special_keys: Some(keys::bitfield),
        summary: "Reads, sets and increases integers of any width inside a string.",
        complexity: "O(1)",
        syntax: "key/k0 [operation<GET:get-block{encoding offset/i}|write{[OVERFLOW:overflow-block<WRAP|SAT|FAIL>] write-operation<SET:set-block{encoding offset/i value/i}|INCRBY:incrby-block{encoding offset/i increment/i}>}>...]",
        run: field::bitfield,
        ..ROW
    },
    Spec {
        name: "bitfield_ro",
        since: "6.0.0",
        arity: -2,
        flags: flags!(READONLY | FAST),
        categories: cats!(BITMAP),
        keys: &[KeySpec::one(key!(RO | ACCESS), 1)],
        summary: "Reads integers of any width inside a string.",
        complexity: "O(1)",
        syntax: "key/k0 [GET:get-block{encoding offset/i}+...]",
        run: field::bitfield_ro,
        ..ROW
    },
    Spec {
        name: "bitop",
        since: "2.6.0",
        arity: -4,
        flags: flags!(WRITE | DENYOOM),
        categories: cats!(BITMAP),
        keys: &[
            KeySpec::one(key!(OW | UPDATE), 2),
            KeySpec::range(key!(RO | ACCESS), 3, -1, 1),
        ],
        summary: "Combines strings bit by bit and stores the result.",
        complexity: "O(N)",
        syntax: "operation<AND|OR|XOR|NOT|DIFF|DIFF1|ANDOR|ONE> destkey/k0 key/k1...",
        run: bitop,
        ..ROW
    },
    Spec {
        name: "bitpos",
        since: "2.8.7",
        arity: -3,
        flags: flags!(READONLY),
        categories: cats!(BITMAP),
        keys: &[KeySpec::one(key!(RO | ACCESS), 1)],
        history: &[("7.0.0", "Added `BYTE` and `BIT`.")],
        summary: "Finds the first bit that is set or clear.",
        complexity: "O(N)",
        syntax: "key/k0 bit/i [range{start/i [end-unit-block{end/i [unit<BYTE|BIT>@7.0.0]}]}]",
        run: bitpos,
        ..ROW
    },
    Spec {
        name: "getbit",
        since: "2.2.0",
        arity: 3,
        flags: flags!(READONLY | FAST),
        categories: cats!(BITMAP),
        keys: &[KeySpec::one(key!(RO | ACCESS), 1)],
        summary: "Returns a bit of a string.",
        complexity: "O(1)",
        syntax: "key/k0 offset/i",
        run: getbit,
        ..ROW
    },
    Spec {
        name: "setbit",
        since: "2.2.0",
        arity: 4,
        flags: flags!(WRITE | DENYOOM),
        categories: cats!(BITMAP),
        keys: &[KeySpec::one(key!(RW | ACCESS | UPDATE), 1)],
        summary: "Sets or clears a bit of a string and returns the one before.",
        complexity: "O(1)",
        syntax: "key/k0 offset/i value/i",
        run: setbit,
        ..ROW
    },
];

/// A bit offset within the greatest string.
fn read_offset(text: &[u8], limit: usize) -> Result<usize, Error> {
    let offset = num::parse_i64(text).and_then(|n| usize::try_from(n).ok());
    offset.filter(|offset| offset / 8 < limit).ok_or(BAD_OFFSET)
}

/// `SETBIT key offset value`
fn setbit(ctx: &mut Ctx<'_>) -> Outcome {
    let key = ctx.args.get(1);
    let limit = ctx.db.limits().string_bytes;
    let offset = read_offset(ctx.args.get(2), limit)?;
    let on = match ctx.args.get(3) {
        b"0" => false,
        b"1" => true,
        _ => return Err(BAD_BIT),
    };
    let (before, changed) = ctx.db.edit_str(key, |bytes| {
        let grows = offset / 8 >= bytes.len();
        bits::grow(bytes, offset / 8 + 1).ok_or(Error::STRING_TOO_LONG)?;
        let before = bits::set(bytes, offset, on);
        Ok((before, grows || before != on))
    })?;
    if changed {
        ctx.db.effect(Class::STRING, "setbit", key, 1);
    }
    ctx.out.int(i64::from(before));
    Ok(())
}

/// `GETBIT key offset`
fn getbit(ctx: &mut Ctx<'_>) -> Outcome {
    let offset = read_offset(ctx.args.get(2), ctx.db.limits().string_bytes)?;
    let text = ctx.db.read_str(&ctx.args[1])?;
    ctx.out
        .int(i64::from(text.is_some_and(|text| bits::get(&text, offset))));
    Ok(())
}

/// Reads the unit of a range, argument `at`, if it is given: true for `BIT`. It is the last argument.
fn read_unit(args: &Args<'_>, at: usize) -> Result<bool, Error> {
    match args.len().checked_sub(at) {
        None | Some(0) => Ok(false),
        Some(1) if args.is(at, "BIT") => Ok(true),
        Some(1) if args.is(at, "BYTE") => Ok(false),
        Some(_) => Err(Error::SYNTAX),
    }
}

/// First and last bit of a range of whole bytes.
fn bits_of((first, last): (usize, usize)) -> (usize, usize) {
    (first * 8, last * 8 + 7)
}

/// `BITCOUNT key [start end [BYTE|BIT]]`
fn bitcount(ctx: &mut Ctx<'_>) -> Outcome {
    let range = match ctx.args.len() {
        2 => None,
        4 | 5 => {
            let ends = (ctx.args.int(2)?, ctx.args.int(3)?);
            Some((ends, read_unit(&ctx.args, 4)?))
        }
        _ => return Err(Error::SYNTAX),
    };
    let ones = match (ctx.db.read_str(&ctx.args[1])?, range) {
        (None, _) => 0,
        (Some(text), None) => bits::count(&text),
        (Some(text), Some(((start, end), bit))) => {
            let span = if bit {
                clamp_ordered(start, end, text.len() * 8)
            } else {
                clamp_ordered(start, end, text.len()).map(bits_of)
            };
            span.map_or(0, |(first, last)| bits::count_range(&text, first, last))
        }
    };
    ctx.out.count(ones);
    Ok(())
}

/// `BITPOS key bit [start [end [BYTE|BIT]]]`
fn bitpos(ctx: &mut Ctx<'_>) -> Outcome {
    let bit = match ctx.args.int(2)? {
        0 => false,
        1 => true,
        _ => return Err(NOT_A_BIT),
    };
    let given = ctx.args.len();
    if given > 6 {
        return Err(Error::SYNTAX);
    }
    let start = if given > 3 { ctx.args.int(3)? } else { 0 };
    // A wrong unit is reported before a wrong end.
    let in_bits = read_unit(&ctx.args, 5)?;
    let end = if given > 4 {
        Some(ctx.args.int(4)?)
    } else {
        None
    };
    let Some(text) = ctx.db.read_str(&ctx.args[1])? else {
        // As if zeros went on for ever.
        ctx.out.int(if bit { -1 } else { 0 });
        return Ok(());
    };
    let last = end.unwrap_or(-1);
    let span = if in_bits {
        clamp(start, last, text.len() * 8)
    } else {
        clamp(start, last, text.len()).map(bits_of)
    };
    let found = span.and_then(|(first, last)| bits::position(&text, bit, first, last));
    match found {
        Some(at) => ctx.out.count(at),
        // Without an end, the string counts as followed by zeros.
        None if !bit && end.is_none() && span.is_some() => ctx.out.count(text.len() * 8),
        None => ctx.out.int(-1),
    }
    Ok(())
}

fn read_op(args: &Args<'_>) -> Result<Op, Error> {
    const NAMES: [(&str, Op); 8] = [
        ("AND", Op::And),
        ("OR", Op::Or),
        ("XOR", Op::Xor),
        ("NOT", Op::Not),
        ("DIFF", Op::Diff),
        ("DIFF1", Op::Diff1),
        ("ANDOR", Op::AndOr),
        ("ONE", Op::One),
    ];
    let sources = args.len() - 3;
    let (name, op) = *NAMES
        .iter()
        .find(|(name, _)| args.is(1, name))
        .ok_or(Error::SYNTAX)?;
    match op {
        Op::Not if sources != 1 => {
            Err("ERR BITOP NOT must be called with a single source key.".into())
        }
        Op::Diff | Op::Diff1 | Op::AndOr if sources < 2 => Err(Error::text(format!(
            "ERR BITOP {name} must be called with at least two source keys."
        ))),
        _ => Ok(op),
    }
}

/// The result of an operation over the strings of `sources`.
fn combine(db: &Keys<'_>, op: Op, sources: Args<'_>) -> Vec<u8> {
    let texts: Vec<Text<'_>> = sources
        .iter()
        .map(|key| {
            let entry = db.peek(key);
            entry
                .and_then(|entry| Text::of(entry.payload()))
                .unwrap_or(Text::Bytes(b""))
        })
        .collect();
    let slices: Vec<&[u8]> = texts.iter().map(|text| &**text).collect();
    bits::combine(op, &slices)
}

/// `BITOP operation destkey key [key …]`
fn bitop(ctx: &mut Ctx<'_>) -> Outcome {
    let op = read_op(&ctx.args)?;
    let (target, sources) = (ctx.args.get(2), ctx.args.from(3));
    for key in sources.iter() {
        ctx.db.read_str(key)?;
    }
    let result = combine(&ctx.db, op, sources);
    let len = result.len();
    if len > 0 {
        let mut holder = Vec::new();
        ctx.db
            .set_str(target, New::raw(result, &mut holder), Expire::Never);
        ctx.db.effect(Class::STRING, "set", target, 1);
    } else if ctx.db.delete(target) {
        ctx.db.effect(Class::GENERIC, "del", target, 1);
    }
    ctx.out.count(len);
    Ok(())
}
