//! Reading, setting and deleting fields.

use crate::command::ctx::{Ctx, Outcome};
use crate::command::element_scan;
use crate::command::error::Error;
use crate::keyspace::effect::Class;
use crate::keyspace::fields;
use crate::resp::reply::Reply;
use crate::value::hash::{FieldRef, Hash, HashRef, Value, is_past};
use crate::value::packed::Elem;

/// Writes a field as a bulk string.
#[inline]
pub(super) fn write_field(out: &mut Reply, field: Elem<'_>) {
    match field {
        Elem::Int(n) => out.bulk_int(n),
        Elem::Str(text) => out.bulk(text),
    }
}

/// Writes a value as a bulk string; large ones are shared, not copied.
#[inline]
pub(super) fn write_value(out: &mut Reply, value: Value<'_>) {
    match value {
        Value::Int(n) => out.bulk_int(n),
        Value::Str(text) => out.bulk(text),
        Value::Big(big) => out.bulk_shared(big.to_arc()),
    }
}

/// Writes a value, or null where there is none.
#[inline]
pub(super) fn write_found(out: &mut Reply, value: Option<Value<'_>>) {
    match value {
        Some(value) => write_value(out, value),
        None => out.null(),
    }
}

/// Sets the pairs from argument 2 on; returns how many fields are new.
fn set_pairs(ctx: &mut Ctx<'_>) -> Result<usize, Error> {
    let args = ctx.args;
    if !args.len().is_multiple_of(2) {
        return Err(Error::arity(ctx.command.spec.name));
    }
    let (key, limits, now) = (args.get(1), ctx.db.limits(), fields::clock(&ctx.db));
    let pairs = (args.len() - 2) / 2;
    let (created, gone) = ctx.db.update::<Hash, _>(key, |hash| {
        hash.prepare(pairs, &limits);
        let gone = hash.purge(args.iter().skip(2).step_by(2), now);
        let mut created = 0;
        for at in (2..args.len()).step_by(2) {
            created += usize::from(hash.set(args.get(at), args.get(at + 1), None, &limits));
        }
        (created, gone)
    })?;
    fields::announce(&mut ctx.db, key, &gone, false);
    ctx.db.effect(Class::HASH, "hset", key, pairs);
    Ok(created)
}

pub(super) fn hset(ctx: &mut Ctx<'_>) -> Outcome {
    let created = set_pairs(ctx)?;
    ctx.out.count(created);
    Ok(())
}

pub(super) fn hmset(ctx: &mut Ctx<'_>) -> Outcome {
    set_pairs(ctx)?;
    ctx.out.ok();
    Ok(())
}

pub(super) fn hsetnx(ctx: &mut Ctx<'_>) -> Outcome {
    let args = ctx.args;
    let (key, field, value) = (args.get(1), args.get(2), args.get(3));
    let (limits, now) = (ctx.db.limits(), fields::clock(&ctx.db));
    let (created, gone) = ctx.db.update::<Hash, _>(key, |hash| {
        let gone = hash.purge([field].into_iter(), now);
        let there = hash.read().find(field).is_some();
        (!there && hash.set(field, value, None, &limits), gone)
    })?;
    fields::announce(&mut ctx.db, key, &gone, !created);
    if created {
        ctx.db.effect(Class::HASH, "hset", key, 1);
    }
    ctx.out.int(i64::from(created));
    Ok(())
}

pub(super) fn hdel(ctx: &mut Ctx<'_>) -> Outcome {
    let (args, now) = (ctx.args, fields::clock(&ctx.db));
    let key = args.get(1);
    let done = ctx.db.modify::<Hash, _>(key, |hash| {
        let gone = hash.purge(args.iter().skip(2), now);
        (
            args.iter()
                .skip(2)
                .filter(|field| hash.remove(field))
                .count(),
            gone,
        )
    })?;
    let (removed, gone) = done.unwrap_or_default();
    fields::announce(&mut ctx.db, key, &gone, removed == 0);
    if removed > 0 {
        ctx.db.effect(Class::HASH, "hdel", key, removed);
    }
    ctx.out.count(removed);
    Ok(())
}

/// Looks up the field in argument 2.
#[inline]
fn find<R>(
    ctx: &mut Ctx<'_>,
    f: impl FnOnce(&mut Reply, Option<Value<'_>>) -> R,
) -> Result<R, Error> {
    let now = fields::clock(&ctx.db);
    let hash = ctx.db.read_as::<Hash>(&ctx.args[1])?;
    Ok(f(
        ctx.out,
        hash.and_then(|hash| hash.get(&ctx.args[2], now)),
    ))
}

pub(super) fn hget(ctx: &mut Ctx<'_>) -> Outcome {
    find(ctx, write_found)
}

pub(super) fn hexists(ctx: &mut Ctx<'_>) -> Outcome {
    find(ctx, |out, value| out.int(i64::from(value.is_some())))
}

pub(super) fn hstrlen(ctx: &mut Ctx<'_>) -> Outcome {
    find(ctx, |out, value| {
        out.count(value.map_or(0, |value| value.len_text()))
    })
}

pub(super) fn hlen(ctx: &mut Ctx<'_>) -> Outcome {
    let now = fields::clock(&ctx.db);
    let hash = ctx.db.read_as::<Hash>(&ctx.args[1])?;
    ctx.out.count(hash.map_or(0, |hash| hash.live_len(now)));
    Ok(())
}

pub(super) fn hmget(ctx: &mut Ctx<'_>) -> Outcome {
    let now = fields::clock(&ctx.db);
    let hash = ctx.db.read_as::<Hash>(&ctx.args[1])?;
    let wanted = ctx.args.from(2);
    ctx.out.array(wanted.len());
    for field in wanted.iter() {
        write_found(ctx.out, hash.and_then(|hash| hash.get(field, now)));
    }
    Ok(())
}

/// Replies all fields: `head` with their number, then `each` of them.
fn reply_all(
    ctx: &mut Ctx<'_>,
    head: impl FnOnce(&mut Reply, usize),
    each: impl Fn(&mut Reply, FieldRef<'_>),
) -> Outcome {
    let now = fields::clock(&ctx.db);
    let hash: Option<HashRef<'_>> = ctx.db.read_as::<Hash>(&ctx.args[1])?;
    head(ctx.out, hash.map_or(0, |hash| hash.live_len(now)));
    for item in hash.iter().flat_map(|hash| hash.live(now)) {
        each(ctx.out, item);
    }
    Ok(())
}

pub(super) fn hgetall(ctx: &mut Ctx<'_>) -> Outcome {
    reply_all(ctx, Reply::map, |out, item| {
        write_field(out, item.field);
        write_value(out, item.value);
    })
}

pub(super) fn hkeys(ctx: &mut Ctx<'_>) -> Outcome {
    reply_all(ctx, Reply::array, |out, item| write_field(out, item.field))
}

pub(super) fn hvals(ctx: &mut Ctx<'_>) -> Outcome {
    reply_all(ctx, Reply::array, |out, item| write_value(out, item.value))
}

pub(super) fn hscan(ctx: &mut Ctx<'_>) -> Outcome {
    let now = fields::clock(&ctx.db);
    let cursor = element_scan::cursor(&ctx.args[2])?;
    let Some(hash) = ctx.db.read_as::<Hash>(&ctx.args[1])? else {
        element_scan::empty(ctx.out);
        return Ok(());
    };
    let options = element_scan::Options::read(ctx.args.cursor(3), true)?;
    let mut page = element_scan::Page::default();
    let next = hash.scan(cursor, options.count, &mut |item| {
        if is_past(item.expire, now) || !item.field.with_bytes(|text| options.wants(text)) {
            return;
        }
        write_field(page.element(), item.field);
        if !options.no_values {
            write_value(page.element(), item.value);
        }
    });
    page.reply(next, ctx.out);
    Ok(())
}
