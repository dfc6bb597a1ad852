//! The list commands that wait: BLPOP, BRPOP, BLMOVE, BRPOPLPUSH, BLMPOP.

use super::moves::{move_element, pop_first};
use super::reply_elem;
use crate::command::args::Args;
use crate::command::ctx::{Ctx, Outcome};
use crate::command::mpop;
use crate::dispatch::blocked::{Block, OnTimeout, Wait};
use crate::keyspace::effect::Class;
use crate::value::Type;
use crate::value::list::{End, List};

/// Waits for a list at one of these keys.
fn wait(ctx: &mut Ctx<'_>, keys: Args<'_>, timeout_ms: Option<i64>, on_timeout: OnTimeout) {
    ctx.block(Block {
        wait: Wait::Keys {
            keys: keys.iter().map(<[u8]>::to_vec).collect(),
            holds: Type::List,
            or_gone: false,
        },
        timeout_ms,
        on_timeout,
    });
}

/// `BLPOP key [key …] timeout`
pub(super) fn blpop(ctx: &mut Ctx<'_>) -> Outcome {
    pop(ctx, End::Front)
}

/// `BRPOP key [key …] timeout`
pub(super) fn brpop(ctx: &mut Ctx<'_>) -> Outcome {
    pop(ctx, End::Back)
}

fn pop(ctx: &mut Ctx<'_>, end: End) -> Outcome {
    let last = ctx.args.len() - 1;
    let timeout = ctx.timeout(last)?;
    let keys = ctx.args.slice(1..last);
    for key in keys.iter() {
        ctx.db.expire_if_due(key);
        if ctx.db.peek_as::<List>(key)?.is_none() {
            continue;
        }
        let (limits, out) = (ctx.db.limits(), &mut *ctx.out);
        out.array(2);
        out.bulk(key);
        ctx.db.update(key, |list: &mut List| {
            list.pop(end, &limits, |elem| reply_elem(out, elem));
        })?;
        ctx.db.effect(Class::LIST, end.pop_event(), key, 1);
        ctx.db.log(&[end.pop_name(), key]);
        return Ok(());
    }
    wait(ctx, keys, timeout, |_, _, out| out.null_array());
    Ok(())
}

/// `BLMOVE source destination LEFT|RIGHT LEFT|RIGHT timeout`
pub(super) fn blmove(ctx: &mut Ctx<'_>) -> Outcome {
    let (from, to) = (End::parse(ctx.args.get(3))?, End::parse(ctx.args.get(4))?);
    let timeout = ctx.timeout(5)?;
    let args = ctx.args;
    move_or_wait(ctx, from, to, timeout, |ctx| {
        let (source, target) = (args.get(1), args.get(2));
        ctx.db
            .log(&[b"LMOVE", source, target, args.get(3), args.get(4)]);
    })
}

/// `BRPOPLPUSH source destination timeout`
pub(super) fn brpoplpush(ctx: &mut Ctx<'_>) -> Outcome {
    let timeout = ctx.timeout(3)?;
    let args = ctx.args;
    move_or_wait(ctx, End::Back, End::Front, timeout, |ctx| {
        ctx.db.log(&[b"RPOPLPUSH", args.get(1), args.get(2)]);
    })
}

fn move_or_wait(
    ctx: &mut Ctx<'_>,
    from: End,
    to: End,
    timeout: Option<i64>,
    log: impl FnOnce(&mut Ctx<'_>),
) -> Outcome {
    let source = ctx.args.get(1);
    ctx.db.expire_if_due(source);
    if ctx.db.peek_as::<List>(source)?.is_none() {
        if ctx.core.depth > 0 {
            ctx.out.null();
        } else {
            // One that has waited in vain is told with another reply than one that may not wait.
            let keys = ctx.args.slice(1..2);
            wait(ctx, keys, timeout, |_, _, out| out.null_array());
        }
        return Ok(());
    }
    move_element(ctx, from, to)?;
    log(ctx);
    Ok(())
}

/// `BLMPOP timeout numkeys key [key …] LEFT|RIGHT [COUNT count]`
pub(super) fn blmpop(ctx: &mut Ctx<'_>) -> Outcome {
    let (keys, end, count) = mpop::read(ctx.args, 2, End::parse)?;
    let timeout = ctx.timeout(1)?;
    if !pop_first(ctx, keys, end, count)? {
        wait(ctx, keys, timeout, |_, _, out| out.null_array());
    }
    Ok(())
}
