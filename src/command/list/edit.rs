//! Changing lists in place: LSET, LINSERT, LREM, LTRIM.

use super::read::TOO_LOW;
use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::keyspace::effect::Class;
use crate::value::list::List;

/// `LSET key index element`
pub(super) fn lset(ctx: &mut Ctx<'_>) -> Outcome {
    let (key, element) = (ctx.args.get(1), ctx.args.get(3));
    let limits = ctx.db.limits();
    let index = ctx.args.int(2);
    let done = ctx.db.modify(key, |list: &mut List| {
        index.map(|index| list.set(index, element, &limits))
    })?;
    if !done.ok_or(Error::NO_SUCH_KEY)?? {
        return Err(Error::INDEX_OUT_OF_RANGE);
    }
    ctx.db.effect(Class::LIST, "lset", key, 1);
    ctx.out.ok();
    Ok(())
}

/// `LINSERT key BEFORE|AFTER pivot element`
pub(super) fn linsert(ctx: &mut Ctx<'_>) -> Outcome {
    let after = ctx.args.is(2, "AFTER");
    if !after && !ctx.args.is(2, "BEFORE") {
        return Err(Error::SYNTAX);
    }
    let (key, pivot, element) = (ctx.args.get(1), ctx.args.get(3), ctx.args.get(4));
    let limits = ctx.db.limits();
    let done = ctx.db.modify(key, |list: &mut List| {
        let found = if after {
            list.insert_after(pivot, element, &limits)
        } else {
            list.insert_before(pivot, element, &limits)
        };
        found.then(|| list.len())
    })?;
    match done {
        None => ctx.out.int(0),
        Some(None) => ctx.out.int(-1),
        Some(Some(len)) => {
            ctx.db.effect(Class::LIST, "linsert", key, 1);
            ctx.out.count(len);
        }
    }
    Ok(())
}

/// `LREM key count element`
pub(super) fn lrem(ctx: &mut Ctx<'_>) -> Outcome {
    let (key, count, element) = (ctx.args.get(1), ctx.args.int(2)?, ctx.args.get(3));
    if count == i64::MIN {
        return Err(TOO_LOW);
    }
    let limits = ctx.db.limits();
    let removed = ctx
        .db
        .modify(key, |list: &mut List| list.remove(count, element, &limits))?;
    let removed = removed.unwrap_or(0);
    if removed > 0 {
        ctx.db.effect(Class::LIST, "lrem", key, removed);
    }
    ctx.out.count(removed);
    Ok(())
}

/// `LTRIM key start stop`
pub(super) fn ltrim(ctx: &mut Ctx<'_>) -> Outcome {
    let (key, start, stop) = (ctx.args.get(1), ctx.args.int(2)?, ctx.args.int(3)?);
    let limits = ctx.db.limits();
    let trimmed = ctx.db.modify(key, |list: &mut List| {
        let before = list.len();
        let rest = list.trim(start, stop, &limits);
        (before - list.len(), rest)
    })?;
    if let Some((removed, rest)) = trimmed {
        ctx.db.ks.reaper.free_part(rest);
        ctx.db.effect(Class::LIST, "ltrim", key, removed);
    }
    ctx.out.ok();
    Ok(())
}
