//! XRANGE and XREVRANGE.

use super::{interval, reply_entry};
use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::resp::reply::{Aggregate, Reply};
use crate::value::stream::{Entry, StreamMut};

/// `XRANGE key start end [COUNT count]`
pub(super) fn xrange(ctx: &mut Ctx<'_>) -> Outcome {
    range(ctx, false)
}

/// `XREVRANGE key end start [COUNT count]`
pub(super) fn xrevrange(ctx: &mut Ctx<'_>) -> Outcome {
    range(ctx, true)
}

fn range(ctx: &mut Ctx<'_>, backwards: bool) -> Outcome {
    let (low, high) = if backwards { (3, 2) } else { (2, 3) };
    let (start, end) = interval(ctx.args.get(low), ctx.args.get(high))?;
    let mut count = None;
    let mut rest = ctx.args.cursor(4);
    while !rest.done() {
        if rest.left() < 2 || !rest.word("COUNT") {
            return Err(Error::SYNTAX);
        }
        count = Some(rest.int()?.max(0) as usize);
    }
    let Some(stream) = ctx.db.read_as::<StreamMut>(ctx.args.get(1))? else {
        ctx.out.array(0);
        return Ok(());
    };
    let count = count.unwrap_or(usize::MAX);
    if count == 0 {
        ctx.out.null_array();
    } else if backwards {
        reply_entries(ctx.out, stream.rev_range(start, end).take(count));
    } else {
        reply_entries(ctx.out, stream.range(start, end).take(count));
    }
    Ok(())
}

/// Writes entries whose number is not known.
pub(super) fn reply_entries<'a>(
    out: &mut Reply,
    entries: impl Iterator<Item = Entry<'a>>,
) -> usize {
    let mark = out.defer();
    let mut count = 0;
    for entry in entries {
        reply_entry(out, &entry);
        count += 1;
        if out.is_over() {
            break;
        }
    }
    out.finish(mark, Aggregate::Array, count);
    count
}
