//! INCR, DECR and their kin.

use super::verbatim;
use crate::base::longdouble::LongDouble;
use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::keyspace::Expire;
use crate::keyspace::effect::Class;

pub(super) const NOT_FINITE: Error = Error::new("ERR increment would produce NaN or Infinity");

fn add(ctx: &mut Ctx<'_>, by: i64) -> Outcome {
    let key = ctx.args.get(1);
    let sum = ctx
        .db
        .update_int(key, |n| n.checked_add(by).ok_or(Error::OVERFLOW))?;
    ctx.db.effect(Class::STRING, "incrby", key, 1);
    ctx.out.int(sum);
    Ok(())
}

/// `INCR key`
pub(super) fn incr(ctx: &mut Ctx<'_>) -> Outcome {
    add(ctx, 1)
}

/// `DECR key`
pub(super) fn decr(ctx: &mut Ctx<'_>) -> Outcome {
    add(ctx, -1)
}

/// `INCRBY key increment`
pub(super) fn incrby(ctx: &mut Ctx<'_>) -> Outcome {
    let by = ctx.args.int(2)?;
    add(ctx, by)
}

/// `DECRBY key decrement`
pub(super) fn decrby(ctx: &mut Ctx<'_>) -> Outcome {
    let by = ctx.args.int(2)?.checked_neg();
    add(ctx, by.ok_or("ERR decrement would overflow")?)
}

/// `INCRBYFLOAT key increment`. Goes into the log as the sum, so that nobody has to add again.
pub(super) fn incrbyfloat(ctx: &mut Ctx<'_>) -> Outcome {
    let key = ctx.args.get(1);
    let old = match ctx.db.look(key) {
        None => LongDouble::parse(b"0"),
        Some(entry) => {
            let text = crate::keyspace::Text::of(entry.payload()).ok_or(Error::WRONG_TYPE)?;
            LongDouble::parse(&text)
        }
    };
    let old = old.ok_or(Error::NOT_FLOAT)?;
    let by = LongDouble::parse(ctx.args.get(2)).ok_or(Error::NOT_FLOAT)?;
    let mut text = Vec::with_capacity(32);
    old.checked_add(by).ok_or(NOT_FINITE)?.write(&mut text);
    // The result is text even where it looks like an integer, as in Redis.
    ctx.db.set_str(key, verbatim(&text), Expire::Keep);
    ctx.db.effect(Class::STRING, "incrbyfloat", key, 1);
    ctx.db.log(&[b"SET", key, &text, b"KEEPTTL"]);
    ctx.out.bulk(&text);
    Ok(())
}
