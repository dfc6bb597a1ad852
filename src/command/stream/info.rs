//! XINFO and its sub-commands.

use super::{bad_subcommand, no_such_group, reply_entry, reply_id};
use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::resp::reply::Reply;
use crate::value::stream::{Consumer, Entry, Extent, Group, Stream, StreamId, StreamMut};

/// Entries and pending entries that FULL shows when it is not told a number.
const FULL_COUNT: i64 = 10;

/// The stream that a sub-command is about.
fn find<'c>(ctx: &'c mut Ctx<'_>) -> Result<&'c Stream, Error> {
    let key = ctx.args.get(2);
    ctx.db.read_as::<StreamMut>(key)?.ok_or(Error::NO_SUCH_KEY)
}

/// `XINFO STREAM key [FULL [COUNT count]]`
pub(super) fn stream(ctx: &mut Ctx<'_>) -> Outcome {
    let args = ctx.args;
    find(ctx)?;
    if args.len() == 3 {
        let stream = ctx.db.peek_as::<StreamMut>(args.get(2))?;
        summary(ctx.out, stream.ok_or(Error::NO_SUCH_KEY)?);
        return Ok(());
    }
    let full = args.is(3, "FULL");
    if !full || !(args.len() == 4 || args.len() == 6 && args.is(4, "COUNT")) {
        return Err(bad_subcommand(args.get(1), "XINFO"));
    }
    let mut count = FULL_COUNT;
    if args.len() == 6 {
        count = args.int(5)?;
        if count < 0 {
            count = FULL_COUNT;
        }
    }
    // None asked for are all.
    let count = if count == 0 {
        usize::MAX
    } else {
        count as usize
    };
    let stream = ctx.db.peek_as::<StreamMut>(args.get(2))?;
    full_info(ctx.out, stream.ok_or(Error::NO_SUCH_KEY)?, count);
    Ok(())
}

fn heads(out: &mut Reply, stream: &Stream) {
    let counters = stream.counters();
    out.bulk(b"length");
    out.count(stream.len() as usize);
    // Redis' tree of nodes; ours has no such numbers.
    out.bulk(b"radix-tree-keys");
    out.count(stream.node_count() as usize);
    out.bulk(b"radix-tree-nodes");
    out.count(stream.node_count() as usize + 1);
    out.bulk(b"last-generated-id");
    reply_id(out, counters.last_id);
    out.bulk(b"max-deleted-entry-id");
    reply_id(out, counters.max_deleted_id);
    out.bulk(b"entries-added");
    out.int(i64::try_from(counters.entries_added).unwrap_or(i64::MAX));
    out.bulk(b"recorded-first-entry-id");
    reply_id(out, stream.first_id());
}

fn summary(out: &mut Reply, stream: &Stream) {
    out.map(10);
    heads(out, stream);
    out.bulk(b"groups");
    out.count(stream.group_count() as usize);
    let edge = |out: &mut Reply, entry: Option<Entry<'_>>| match entry {
        Some(entry) => reply_entry(out, &entry),
        None => out.null(),
    };
    out.bulk(b"first-entry");
    edge(out, stream.range(StreamId::MIN, StreamId::MAX).next());
    out.bulk(b"last-entry");
    edge(out, stream.last_entry());
}

fn full_info(out: &mut Reply, stream: &Stream, count: usize) {
    out.map(9);
    heads(out, stream);
    out.bulk(b"entries");
    out.array(count.min(stream.len() as usize));
    let entries = stream.range(StreamId::MIN, StreamId::MAX);
    entries
        .take(count)
        .for_each(|entry| reply_entry(out, &entry));
    out.bulk(b"groups");
    out.array(stream.group_count() as usize);
    let extent = stream.extent();
    for (name, group) in stream.groups() {
        out.map(7);
        out.bulk(b"name");
        out.bulk(name);
        progress(out, group, &extent);
        out.bulk(b"pel-count");
        out.count(group.pending() as usize);
        out.bulk(b"pending");
        out.array(count.min(group.pending() as usize));
        for pending in group.pending_from(StreamId::MIN).take(count) {
            out.array(4);
            reply_id(out, pending.id);
            let owner = group.numbered(pending.consumer);
            out.bulk(owner.map_or(b"", |consumer| &consumer.name));
            out.int(pending.time);
            out.int(i64::try_from(pending.count).unwrap_or(i64::MAX));
        }
        out.bulk(b"consumers");
        out.array(group.consumer_count() as usize);
        group
            .consumers()
            .for_each(|consumer| full_consumer(out, group, consumer, count));
    }
}

fn full_consumer(out: &mut Reply, group: &Group, consumer: &Consumer, count: usize) {
    out.map(5);
    out.bulk(b"name");
    out.bulk(&consumer.name);
    out.bulk(b"seen-time");
    out.int(consumer.seen);
    out.bulk(b"active-time");
    out.int(consumer.active);
    out.bulk(b"pel-count");
    out.count(consumer.pending() as usize);
    out.bulk(b"pending");
    out.array(count.min(consumer.pending() as usize));
    for id in consumer.pending_from(StreamId::MIN).take(count) {
        let pending = group.find_pending(id);
        out.array(3);
        reply_id(out, id);
        out.int(pending.map_or(0, |pending| pending.time));
        out.int(pending.map_or(0, |pending| {
            i64::try_from(pending.count).unwrap_or(i64::MAX)
        }));
    }
}

/// How far a group is.
fn progress(out: &mut Reply, group: &Group, extent: &Extent) {
    let number = |out: &mut Reply, n: Option<i64>| match n {
        Some(n) => out.int(n),
        None => out.null(),
    };
    out.bulk(b"last-delivered-id");
    reply_id(out, group.last_id);
    out.bulk(b"entries-read");
    number(
        out,
        group
            .entries_read
            .map(|n| i64::try_from(n).unwrap_or(i64::MAX)),
    );
    out.bulk(b"lag");
    number(out, extent.lag(group));
}

/// `XINFO GROUPS key`
pub(super) fn groups(ctx: &mut Ctx<'_>) -> Outcome {
    let key = ctx.args.get(2);
    let stream = ctx
        .db
        .read_as::<StreamMut>(key)?
        .ok_or(Error::NO_SUCH_KEY)?;
    let out = &mut *ctx.out;
    out.array(stream.group_count() as usize);
    let extent = stream.extent();
    for (name, group) in stream.groups() {
        out.map(6);
        out.bulk(b"name");
        out.bulk(name);
        out.bulk(b"consumers");
        out.count(group.consumer_count() as usize);
        out.bulk(b"pending");
        out.count(group.pending() as usize);
        progress(out, group, &extent);
    }
    Ok(())
}

/// `XINFO CONSUMERS key group`
pub(super) fn consumers(ctx: &mut Ctx<'_>) -> Outcome {
    let (key, name) = (ctx.args.get(2), ctx.args.get(3));
    let now_ms = ctx.now_ms();
    let stream = ctx
        .db
        .read_as::<StreamMut>(key)?
        .ok_or(Error::NO_SUCH_KEY)?;
    let group = stream.group(name).ok_or_else(|| no_such_group(key, name))?;
    let out = &mut *ctx.out;
    out.array(group.consumer_count() as usize);
    for consumer in group.consumers() {
        out.map(4);
        out.bulk(b"name");
        out.bulk(&consumer.name);
        out.bulk(b"pending");
        out.count(consumer.pending() as usize);
        out.bulk(b"idle");
        out.int(now_ms.saturating_sub(consumer.seen).max(0));
        out.bulk(b"inactive");
        out.int(match consumer.active {
            -1 => -1,
            active => now_ms.saturating_sub(active).max(0),
        });
    }
    Ok(())
}

/// `XINFO HELP`
pub(super) fn help(ctx: &mut Ctx<'_>) -> Outcome {
    ctx.out.help(
        "XINFO",
        &[
            "CONSUMERS <key> <groupname>",
            "    Show consumers of <groupname>.",
            "GROUPS <key>",
            "    Show the stream consumer groups.",
            "STREAM <key> [FULL [COUNT <count>]",
            "    Show information about the stream.",
        ],
    );
    Ok(())
}
