//! The sorted-set commands that wait: BZPOPMIN, BZPOPMAX, BZMPOP.

use super::pop::{End, pop, pop_first};
use super::write_member;
use crate::command::args::Args;
use crate::command::ctx::{Ctx, Outcome};
use crate::command::mpop;
use crate::dispatch::blocked::{Block, Wait};
use crate::value::Type;
use crate::value::zset::Zset;

/// Waits for a sorted set at one of these keys.
fn wait(ctx: &mut Ctx<'_>, keys: Args<'_>, timeout_ms: Option<i64>) {
    ctx.block(Block {
        wait: Wait::Keys {
            keys: keys.iter().map(<[u8]>::to_vec).collect(),
            holds: Type::Zset,
            or_gone: false,
        },
        timeout_ms,
        on_timeout: |_, _, out| out.null_array(),
    });
}

/// `BZPOPMIN key [key …] timeout`
pub(super) fn bzpopmin(ctx: &mut Ctx<'_>) -> Outcome {
    pop_or_wait(ctx, End::Min)
}

/// `BZPOPMAX key [key …] timeout`
pub(super) fn bzpopmax(ctx: &mut Ctx<'_>) -> Outcome {
    pop_or_wait(ctx, End::Max)
}

fn pop_or_wait(ctx: &mut Ctx<'_>, end: End) -> Outcome {
    let last = ctx.args.len() - 1;
    let timeout = ctx.timeout(last)?;
    let keys = ctx.args.slice(1..last);
    for key in keys.iter() {
        ctx.db.expire_if_due(key);
        if ctx.db.peek_as::<Zset>(key)?.is_none() {
            continue;
        }
        pop(
            ctx,
            key,
            end,
            1,
            |out, _| {
                out.array(3);
                out.bulk(key);
            },
            |out, elem, score| {
                write_member(out, elem);
                out.double(score);
            },
        )?;
        ctx.db.log(&[end.verb(), key]);
        return Ok(());
    }
    wait(ctx, keys, timeout);
    Ok(())
}

/// `BZMPOP timeout numkeys key [key …] MIN|MAX [COUNT count]`
pub(super) fn bzmpop(ctx: &mut Ctx<'_>) -> Outcome {
    let (keys, end, count) = mpop::read(ctx.args, 2, End::parse)?;
    let timeout = ctx.timeout(1)?;
    if !pop_first(ctx, keys, end, count)? {
        wait(ctx, keys, timeout);
    }
    Ok(())
}
