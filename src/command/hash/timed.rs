//! Reading and writing fields together with their expiry: HGETEX, HSETEX, HGETDEL.

use super::access::write_found;
use super::expire::{
    BAD_COUNT, From, Touched, Unit, check_type, deadline, is_earlier, is_over, log_fields, named,
};
use crate::base::num;
use crate::command::args::{Args, Cursor};
use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::keyspace::effect::Class;
use crate::keyspace::fields;
use crate::resp::reply::Reply;
use crate::value::hash::Hash;

/// What becomes of the expiry of fields.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expiry {
    /// HGETEX: stays. HSETEX: goes, as with HSET.
    Unsaid,
    Keep,
    Persist,
    At(i64),
}

/// Takes `EX seconds` and its like.
fn read_time(ctx: &Ctx<'_>, rest: &mut Cursor<'_>) -> Result<Option<Expiry>, Error> {
    let words = [
        ("EX", Unit::Seconds, From::Now),
        ("PX", Unit::Millis, From::Now),
        ("EXAT", Unit::Seconds, From::Epoch),
        ("PXAT", Unit::Millis, From::Epoch),
    ];
    let Some((_, unit, from)) = words.into_iter().find(|(word, ..)| rest.word(word)) else {
        return Ok(None);
    };
    let time = rest.int()?;
    deadline(ctx, time, unit, from).map(|at| Some(Expiry::At(at)))
}

pub(super) fn hgetex(ctx: &mut Ctx<'_>) -> Outcome {
    check_type(ctx)?;
    let (args, now) = (ctx.args, fields::clock(&ctx.db));
    let key = args.get(1);
    let mut rest = args.cursor(2);
    let expiry = match read_time(ctx, &mut rest)? {
        Some(expiry) => expiry,
        None if rest.word("PERSIST") => Expiry::Persist,
        None => Expiry::Unsaid,
    };
    let names = named(rest, BAD_COUNT)?;
    if expiry == Expiry::Unsaid {
        let hash = ctx.db.read_as::<Hash>(key)?;
        ctx.out.array(names.len());
        for field in names.iter() {
            write_found(ctx.out, hash.and_then(|hash| hash.get(field, now)));
        }
        return Ok(());
    }
    let over = matches!(expiry, Expiry::At(at) if is_over(&ctx.db, at));
    if ctx.db.read_as::<Hash>(key)?.is_none() {
        reply_nulls(ctx.out, names.len());
        return Ok(());
    }
    ctx.out.array(names.len());
    let out = &mut *ctx.out;
    let touched = ctx.db.modify::<Hash, _>(key, |hash| {
        let mut touched = Touched {
            gone: hash.purge(names.iter(), now),
            ..Touched::default()
        };
        let first = hash.read().next_expiry();
        for field in names.iter() {
            let found = hash.read().find(field);
            write_found(out, found.map(|(value, _)| value));
            match (found.map(|(_, before)| before), expiry) {
                (Some(_), Expiry::At(at)) => {
                    touched.set_expire(hash, field, at, over);
                }
                (Some(Some(_)), Expiry::Persist) => {
                    hash.set_expire(field, None);
                    touched.changed.push(field);
                }
                _ => {}
            }
        }
        touched.earlier = is_earlier(first, hash.read().next_expiry());
        touched
    })?;
    match (touched, expiry) {
        (Some(touched), Expiry::At(at)) => touched.report(&mut ctx.db, key, at),
        (Some(touched), _) => {
            let changed = touched.changed.len();
            fields::announce(&mut ctx.db, key, &touched.gone, changed == 0);
            if changed > 0 {
                ctx.db.effect(Class::HASH, "hpersist", key, changed);
                log_fields(&mut ctx.db, b"HPERSIST", key, None, &touched.changed);
            }
        }
        (None, _) => {}
    }
    Ok(())
}

fn reply_nulls(out: &mut Reply, count: usize) {
    out.array(count);
    (0..count).for_each(|_| out.null());
}

pub(super) fn hgetdel(ctx: &mut Ctx<'_>) -> Outcome {
    check_type(ctx)?;
    let (args, now) = (ctx.args, fields::clock(&ctx.db));
    let key = args.get(1);
    let names = named(args.cursor(2), BAD_COUNT)?;
    if ctx.db.read_as::<Hash>(key)?.is_none() {
        reply_nulls(ctx.out, names.len());
        return Ok(());
    }
    ctx.out.array(names.len());
    let out = &mut *ctx.out;
    let done = ctx.db.modify::<Hash, _>(key, |hash| {
        let gone = hash.purge(names.iter(), now);
        let mut deleted = Vec::with_capacity(names.len());
        for field in names.iter() {
            write_found(out, hash.read().find(field).map(|(value, _)| value));
            if hash.remove(field) {
                deleted.push(field);
            }
        }
        (deleted, gone)
    })?;
    let (deleted, gone) = done.unwrap_or_default();
    fields::announce(&mut ctx.db, key, &gone, deleted.is_empty());
    if !deleted.is_empty() {
        ctx.db.effect(Class::HASH, "hdel", key, deleted.len());
        log_fields(&mut ctx.db, b"HDEL", key, None, &deleted);
    }
    Ok(())
}

/// When HSETEX sets its fields.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Condition {
    Always,
    /// None of them may exist.
    Fnx,
    /// All of them must exist.
    Fxx,
}

/// The arguments of HSETEX.
struct SetEx<'a> {
    condition: Condition,
    expiry: Expiry,
    /// Field, value, field, value, …
    pairs: Args<'a>,
}

impl<'a> SetEx<'a> {
    fn read(ctx: &Ctx<'a>) -> Result<SetEx<'a>, Error> {
        let mut rest = ctx.args.cursor(2);
        let (mut condition, mut expiry) = (Condition::Always, Expiry::Unsaid);
        loop {
            let begin = rest;
            if rest.word("FIELDS") {
                let pairs = Self::pairs(ctx, rest)?;
                return Ok(SetEx {
                    condition,
                    expiry,
                    pairs,
                });
            }
            let wanted = if rest.word("FNX") {
                Some(Condition::Fnx)
            } else if rest.word("FXX") {
                Some(Condition::Fxx)
            } else {
                None
            };
            if let Some(wanted) = wanted {
                if condition != Condition::Always {
                    let text = "ERR Only one of FXX or FNX arguments can be specified";
                    return Err(Error::new(text));
                }
                condition = wanted;
                continue;
            }
            let is_expiry = ["EX", "PX", "EXAT", "PXAT", "KEEPTTL"]
                .iter()
                .any(|word| rest.word(word));
            if is_expiry && expiry != Expiry::Unsaid {
                let text =
                    "ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified";
                return Err(Error::new(text));
            }
            rest = begin;
            expiry = match read_time(ctx, &mut rest)? {
                Some(expiry) => expiry,
                None if rest.word("KEEPTTL") => Expiry::Keep,
                None if rest.done() => return Err(Error::arity(ctx.command.spec.name)),
                None => {
                    let mut text = b"ERR unknown argument: ".to_vec();
                    text.extend_from_slice(rest.next()?);
                    return Err(Error::bytes(text));
                }
            };
        }
    }

    fn pairs(ctx: &Ctx<'a>, mut rest: Cursor<'a>) -> Result<Args<'a>, Error> {
        if rest.left() < 3 {
            return Err(Error::arity(ctx.command.spec.name));
        }
        let count = num::parse_i64(rest.next()?).filter(|n| *n > 0);
        let count = count.ok_or(Error::new("ERR invalid number of fields"))?;
        if count.unsigned_abs().checked_mul(2) != Some(rest.left() as u64) {
            return Err(Error::arity(ctx.command.spec.name));
        }
        Ok(rest.rest())
    }

    fn fields(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.pairs.iter().step_by(2)
    }

    /// Whether the condition allows to change this hash.
    fn is_met(&self, hash: &Hash) -> bool {
        let there = |field: &[u8]| hash.read().find(field).is_some();
        match self.condition {
            Condition::Always => true,
            Condition::Fnx => !self.fields().any(there),
            Condition::Fxx => self.fields().all(there),
        }
    }
}

pub(super) fn hsetex(ctx: &mut Ctx<'_>) -> Outcome {
    let set = SetEx::read(ctx)?;
    let (key, limits, now) = (ctx.args.get(1), ctx.db.limits(), fields::clock(&ctx.db));
    let over = matches!(set.expiry, Expiry::At(at) if is_over(&ctx.db, at));
    let count = set.pairs.len() / 2;
    let mut touched = Touched::default();
    let met = ctx.db.update::<Hash, _>(key, |hash| {
        touched.gone = hash.purge(set.fields(), now);
        if !set.is_met(hash) {
            return false;
        }
        let first = hash.read().next_expiry();
        hash.prepare(count, &limits);
        for (field, value) in set.fields().zip(set.pairs.iter().skip(1).step_by(2)) {
            match set.expiry {
                Expiry::At(_) if over => {
                    hash.remove(field);
                }
                Expiry::At(at) => {
                    hash.set(field, value, Some(at), &limits);
                }
                Expiry::Keep => {
                    hash.set_value(field, value, &limits);
                }
                Expiry::Unsaid | Expiry::Persist => {
                    hash.set(field, value, None, &limits);
                }
            }
        }
        touched.earlier = is_earlier(first, hash.read().next_expiry());
        true
    })?;
    fields::announce(&mut ctx.db, key, &touched.gone, !met);
    if met {
        report_set(ctx, &set, over);
        if touched.earlier {
            fields::hint(&mut ctx.db, key);
        }
    }
    ctx.out.int(i64::from(met));
    Ok(())
}

/// Reports the effects of HSETEX in the order in which they happen.
fn report_set(ctx: &mut Ctx<'_>, set: &SetEx<'_>, over: bool) {
    let (key, count) = (ctx.args.get(1), set.pairs.len() / 2);
    if over {
        // The fields were set, and are gone at once.
        let emptied = std::mem::take(&mut ctx.db.ks.effects.present.emptied);
        ctx.db.effect(Class::HASH, "hset", key, count);
        ctx.db.ks.effects.present.emptied = emptied;
        ctx.db.effect(Class::HASH, "hdel", key, count);
        let names: Vec<&[u8]> = set.fields().collect();
        log_fields(&mut ctx.db, b"HDEL", key, None, &names);
        return;
    }
    ctx.db.effect(Class::HASH, "hset", key, count);
    let mut digits = itoa::Buffer::new();
    let mut effect = vec![&b"HSETEX"[..], key];
    match set.expiry {
        Expiry::At(at) => {
            ctx.db.effect(Class::HASH, "hexpire", key, 0);
            effect.extend([&b"PXAT"[..], digits.format(at).as_bytes()]);
        }
        Expiry::Keep => effect.push(b"KEEPTTL"),
        Expiry::Unsaid | Expiry::Persist => {}
    }
    let mut number = itoa::Buffer::new();
    effect.extend([&b"FIELDS"[..], number.format(count).as_bytes()]);
    effect.extend(set.pairs.iter());
    ctx.db.log(&effect);
}
