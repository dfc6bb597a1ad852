//! XGROUP and its sub-commands.

use std::sync::Arc;

use super::{EVENTS, bad_subcommand, consumer_created, no_such_group, strict_id};
use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::value::stream::{Group, Stream, StreamId, StreamMut};

const NO_KEY: Error = Error::new(
    "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically.",
);

/// The options of CREATE and SETID.
#[derive(Default)]
struct Options {
    make: bool,
    entries_read: Option<u64>,
}

impl Options {
    fn read(ctx: &Ctx<'_>, create: bool) -> Result<Options, Error> {
        let mut options = Options::default();
        let mut rest = ctx.args.cursor(5);
        while !rest.done() {
            if create && rest.word("MKSTREAM") {
                options.make = true;
            } else if rest.left() > 1 && rest.word("ENTRIESREAD") {
                let read = rest.int()?;
                if read < -1 {
                    return Err(Error::new(
                        "ERR value for ENTRIESREAD must be positive or -1",
                    ));
                }
                options.entries_read = u64::try_from(read).ok();
            } else {
                return Err(bad_subcommand(ctx.args.get(1), "XGROUP"));
            }
        }
        Ok(options)
    }

    /// Nobody has read more than there was.
    fn entries_read(&self, stream: Option<&Stream>) -> Option<u64> {
        let added = stream.map_or(0, |stream| stream.counters().entries_added);
        self.entries_read.map(|read| read.min(added))
    }
}

/// The stream at the key of a sub-command, if there is one.
fn find<'c>(ctx: &'c mut Ctx<'_>) -> Result<Option<&'c Stream>, Error> {
    let key = ctx.args.get(2);
    ctx.db.expire_if_due(key);
    ctx.db.peek_as::<StreamMut>(key)
}

/// The stream, which must be there and have the group.
fn find_group<'c>(ctx: &'c mut Ctx<'_>) -> Result<&'c Stream, Error> {
    let (key, name) = (ctx.args.get(2), ctx.args.get(3));
    let stream = find(ctx)?.ok_or(NO_KEY)?;
    if stream.group(name).is_none() {
        return Err(no_such_group(key, name));
    }
    Ok(stream)
}

/// An identifier, or `$` for the last one.
fn read_id(text: &[u8], stream: Option<&Stream>) -> Result<StreamId, Error> {
    if text == b"$" {
        return Ok(stream.map_or(StreamId::MIN, Stream::last_id));
    }
    strict_id(text, 0)
}

/// `XGROUP CREATE key group id|$ [MKSTREAM] [ENTRIESREAD entries-read]`
pub(super) fn create(ctx: &mut Ctx<'_>) -> Outcome {
    let options = Options::read(ctx, true)?;
    let (key, name, text) = (ctx.args.get(2), ctx.args.get(3), ctx.args.get(4));
    let stream = find(ctx)?;
    if stream.is_none() && !options.make {
        return Err(NO_KEY);
    }
    if ctx.args.len() > 8 {
        return Err(bad_subcommand(ctx.args.get(1), "XGROUP"));
    }
    let stream = find(ctx)?;
    let group = Group::new(read_id(text, stream)?, options.entries_read(stream));
    if stream.is_some_and(|stream| stream.group(name).is_some()) {
        return Err(Error::new("BUSYGROUP Consumer Group name already exists"));
    }
    ctx.db
        .update(key, |stream: &mut StreamMut| stream.add_group(name, group))?;
    if options.make {
        ctx.db.effect(EVENTS, "xgroup-create", key, 1);
    } else {
        ctx.db.effect(EVENTS, "xgroup-create", key, 0);
        ctx.db.counted(1);
    }
    ctx.out.ok();
    Ok(())
}

/// `XGROUP SETID key group id|$ [ENTRIESREAD entries-read]`
pub(super) fn set_id(ctx: &mut Ctx<'_>) -> Outcome {
    let options = Options::read(ctx, false)?;
    let (key, name, text) = (ctx.args.get(2), ctx.args.get(3), ctx.args.get(4));
    find_group(ctx)?;
    if !matches!(ctx.args.len(), 5 | 7) {
        return Err(bad_subcommand(ctx.args.get(1), "XGROUP"));
    }
    let stream = find_group(ctx)?;
    let id = match text {
        b"-" => StreamId::MIN,
        b"+" => StreamId::MAX,
        _ => read_id(text, Some(stream))?,
    };
    let read = options.entries_read(Some(stream));
    ctx.db.update(key, |stream: &mut StreamMut| {
        stream.change_group(name, |group| {
            group.last_id = id;
            group.entries_read = read;
        })
    })?;
    ctx.db.effect(EVENTS, "xgroup-setid", key, 0);
    ctx.db.counted(1);
    ctx.out.ok();
    Ok(())
}

/// A group with more pending entries is freed off the actor's thread.
const MANY_PENDING: u64 = 64;

/// `XGROUP DESTROY key group`
pub(super) fn destroy(ctx: &mut Ctx<'_>) -> Outcome {
    let (key, name) = (ctx.args.get(2), ctx.args.get(3));
    let there = find(ctx)?.ok_or(NO_KEY)?.group(name).is_some();
    if there {
        let group = ctx
            .db
            .update(key, |stream: &mut StreamMut| stream.remove_group(name))?;
        let large = |group: &Arc<Group>| group.pending() > MANY_PENDING;
        ctx.db.ks.reaper.free_part(group.filter(large));
        // Clients that wait for the group have to hear of it.
        ctx.db.effect(EVENTS, "xgroup-destroy", key, 1);
    }
    ctx.out.int(i64::from(there));
    Ok(())
}

/// `XGROUP CREATECONSUMER key group consumer`
pub(super) fn create_consumer(ctx: &mut Ctx<'_>) -> Outcome {
    let (key, name, consumer) = (ctx.args.get(2), ctx.args.get(3), ctx.args.get(4));
    find_group(ctx)?;
    let now_ms = ctx.now_ms();
    let created = ctx.db.update(key, |stream: &mut StreamMut| {
        stream.change_group(name, |group| group.consumer_or_new(consumer, now_ms).1)
    })?;
    let created = created == Some(true);
    if created {
        consumer_created(ctx, key);
    }
    ctx.out.int(i64::from(created));
    Ok(())
}

/// `XGROUP DELCONSUMER key group consumer`
pub(super) fn delete_consumer(ctx: &mut Ctx<'_>) -> Outcome {
    let (key, name, consumer) = (ctx.args.get(2), ctx.args.get(3), ctx.args.get(4));
    let group = find_group(ctx)?.group(name);
    if group.and_then(|group| group.consumer(consumer)).is_none() {
        ctx.out.int(0);
        return Ok(());
    }
    let pending = ctx.db.update(key, |stream: &mut StreamMut| {
        stream.change_group(name, |group| group.remove_consumer(consumer))
    })?;
    ctx.db.effect(EVENTS, "xgroup-delconsumer", key, 0);
    ctx.db.counted(1);
    ctx.out.count(pending.flatten().unwrap_or(0) as usize);
    Ok(())
}

/// `XGROUP HELP`
pub(super) fn help(ctx: &mut Ctx<'_>) -> Outcome {
    ctx.out.help(
        "XGROUP",
        &[
            "CREATE <key> <groupname> <id|$> [option]",
            "    Create a new consumer group. Options are:",
            "    * MKSTREAM",
            "      Create the empty stream if it does not exist.",
            "    * ENTRIESREAD entries_read",
            "      Set the group's entries_read counter (internal use).",
            "CREATECONSUMER <key> <groupname> <consumer>",
            "    Create a new consumer in the specified group.",
            "DELCONSUMER <key> <groupname> <consumer>",
            "    Remove the specified consumer.",
            "DESTROY <key> <groupname>",
            "    Remove the specified group.",
            "SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
            "    Set the current group ID and entries_read counter.",
        ],
    );
    Ok(())
}
