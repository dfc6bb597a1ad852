//! XPENDING.

use super::{interval, no_group, reply_id};
use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::resp::reply::{Aggregate, Reply};
use crate::value::stream::{Group, Pending, Stream, StreamId, StreamMut};

/// Which pending entries are wanted.
struct Filter<'a> {
    min_idle: i64,
    start: StreamId,
    end: StreamId,
    count: usize,
    consumer: Option<&'a [u8]>,
}

/// `XPENDING key group [[IDLE min-idle-time] start end count [consumer]]`
pub(super) fn xpending(ctx: &mut Ctx<'_>) -> Outcome {
    let filter = read_filter(ctx)?;
    let (key, name) = (ctx.args.get(1), ctx.args.get(2));
    let now_ms = ctx.now_ms();
    let stream = ctx.db.read_as::<StreamMut>(key)?;
    let group = stream
        .and_then(|stream: &Stream| stream.group(name))
        .ok_or_else(|| no_group(key, name, ""))?;
    match filter {
        None => summary(ctx.out, group),
        Some(filter) => list(ctx.out, group, &filter, now_ms),
    }
    Ok(())
}

fn read_filter<'a>(ctx: &Ctx<'a>) -> Result<Option<Filter<'a>>, Error> {
    if ctx.args.len() == 3 {
        return Ok(None);
    }
    if !(6..=9).contains(&ctx.args.len()) {
        return Err(Error::SYNTAX);
    }
    let mut at = 3;
    let mut min_idle = 0;
    if ctx.args.is(3, "IDLE") {
        min_idle = ctx.args.int(4)?;
        if ctx.args.len() < 8 {
            return Err(Error::SYNTAX);
        }
        at = 5;
    }
    let count = ctx.args.int(at + 2)?.max(0) as usize;
    let (start, end) = interval(ctx.args.get(at), ctx.args.get(at + 1))?;
    Ok(Some(Filter {
        min_idle,
        start,
        end,
        count,
        consumer: (ctx.args.len() > at + 3).then(|| ctx.args.get(at + 3)),
    }))
}

fn summary(out: &mut Reply, group: &Group) {
    out.array(4);
    out.count(group.pending() as usize);
    let first = group.pending_from(StreamId::MIN).next();
    let (Some(first), Some(last)) = (first, group.last_pending()) else {
        out.null();
        out.null();
        out.null_array();
        return;
    };
    reply_id(out, first.id);
    reply_id(out, last.id);
    let mark = out.defer();
    let mut count = 0;
    for consumer in group.consumers().filter(|consumer| consumer.pending() > 0) {
        out.array(2);
        out.bulk(&consumer.name);
        out.bulk_int(consumer.pending() as i64);
        count += 1;
    }
    out.finish(mark, Aggregate::Array, count);
}

fn list(out: &mut Reply, group: &Group, filter: &Filter<'_>, now_ms: i64) {
    let wanted = |pending: &&Pending| {
        filter.min_idle == 0 || now_ms.saturating_sub(pending.time) >= filter.min_idle
    };
    let mark = out.defer();
    let mut count = 0;
    let mut each = |pending: &Pending| {
        out.array(4);
        reply_id(out, pending.id);
        let owner = group.numbered(pending.consumer);
        out.bulk(owner.map_or(b"", |consumer| &consumer.name));
        out.int(now_ms.saturating_sub(pending.time).max(0));
        out.int(i64::try_from(pending.count).unwrap_or(i64::MAX));
        count += 1;
    };
    match filter.consumer {
        None => group
            .pending_from(filter.start)
            .take_while(|pending| pending.id <= filter.end)
            .filter(wanted)
            .take(filter.count)
            .for_each(&mut each),
        Some(name) => group
            .consumer(name)
            .into_iter()
            .flat_map(|consumer| consumer.pending_from(filter.start))
            .take_while(|id| *id <= filter.end)
            .filter_map(|id| group.find_pending(id))
            .filter(wanted)
            .take(filter.count)
            .for_each(&mut each),
    }
    out.finish(mark, Aggregate::Array, count);
}
