//! From list to list, and from the first of several: LMOVE, RPOPLPUSH, LMPOP.

use super::pop_many;
use crate::command::args::Args;
use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::command::mpop;
use crate::keyspace::effect::Class;
use crate::value::list::{End, List};

/// `LMOVE source destination LEFT|RIGHT LEFT|RIGHT`
pub(super) fn lmove(ctx: &mut Ctx<'_>) -> Outcome {
    let (from, to) = (End::parse(ctx.args.get(3))?, End::parse(ctx.args.get(4))?);
    move_element(ctx, from, to)
}

/// `RPOPLPUSH source destination`
pub(super) fn rpoplpush(ctx: &mut Ctx<'_>) -> Outcome {
    move_element(ctx, End::Back, End::Front)
}

pub(super) fn move_element(ctx: &mut Ctx<'_>, from: End, to: End) -> Outcome {
    let (source, target) = (ctx.args.get(1), ctx.args.get(2));
    ctx.db.expire_if_due(source);
    if ctx.db.peek_as::<List>(source)?.is_none() {
        ctx.out.null();
        return Ok(());
    }
    ctx.db.expire_if_due(target);
    ctx.db.peek_as::<List>(target)?;
    let limits = ctx.db.limits();
    if source == target {
        let out = &mut *ctx.out;
        ctx.db.update(source, |list: &mut List| {
            if let Some(element) = list.pop(from, &limits, |elem| elem.to_vec()) {
                list.push(&element, to, &limits);
                out.bulk(&element);
            }
        })?;
        ctx.db.effect(Class::LIST, to.push_event(), target, 0);
        ctx.db.effect(Class::LIST, from.pop_event(), source, 1);
        return Ok(());
    }
    // The push comes first: its event does, and the pop may delete the source.
    let mut element = Vec::new();
    let index = if from == End::Front { 0 } else { -1 };
    if let Some(list) = ctx.db.peek_as::<List>(source)? {
        list.get(index, |elem| elem.write_to(&mut element));
    }
    ctx.db
        .update(target, |list: &mut List| list.push(&element, to, &limits))?;
    ctx.db.changed(target, 0);
    ctx.db.effect(Class::LIST, to.push_event(), target, 0);
    ctx.db
        .update(source, |list: &mut List| list.pop(from, &limits, |_| ()))?;
    ctx.db.effect(Class::LIST, from.pop_event(), source, 1);
    ctx.out.bulk(&element);
    Ok(())
}

/// `LMPOP numkeys key [key …] LEFT|RIGHT [COUNT count]`
pub(super) fn lmpop(ctx: &mut Ctx<'_>) -> Outcome {
    let (keys, end, count) = mpop::read(ctx.args, 1, End::parse)?;
    if !pop_first(ctx, keys, end, count)? {
        ctx.out.null_array();
    }
    Ok(())
}

/// Replies with the first key that has elements and with up to `count` of them. False, without a
/// reply, if there is none. The log gets an LPOP or RPOP of what there was.
pub(super) fn pop_first(
    ctx: &mut Ctx<'_>,
    keys: Args<'_>,
    end: End,
    count: usize,
) -> Result<bool, Error> {
    for key in keys.iter() {
        ctx.db.expire_if_due(key);
        if ctx.db.peek_as::<List>(key)?.is_none() {
            continue;
        }
        ctx.out.array(2);
        ctx.out.bulk(key);
        let popped = pop_many(ctx, key, end, count)?;
        ctx.db.effect(Class::LIST, end.pop_event(), key, popped);
        ctx.db
            .log(&[end.pop_name(), key, popped.to_string().as_bytes()]);
        return Ok(true);
    }
    Ok(false)
}
