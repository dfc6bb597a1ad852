//! Expiry of fields: HEXPIRE and its kin, HTTL and its kin, HPERSIST.

use crate::base::num;
use crate::command::args::{Args, Cursor};
use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::keyspace::effect::Class;
use crate::keyspace::{Keys, fields};
use crate::value::hash::{Hash, is_past};

/// The last expiry that a field can have, in unix ms.
const MAX_EXPIRE_MS: i64 = (1 << 46) - 1;

/// Replies for a field, as documented for each command.
const NO_FIELD: i64 = -2;
const NO_EXPIRE: i64 = -1;
const NOT_MET: i64 = 0;
const DONE: i64 = 1;
const DELETED: i64 = 2;

/// Units of a time argument.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    Millis,
}

/// Where a time argument counts from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    Now,
    Epoch,
}

/// The deadline in unix ms that a time argument stands for.
pub(super) fn deadline(ctx: &Ctx<'_>, time: i64, unit: Unit, from: From) -> Result<i64, Error> {
    if time < 0 {
        return Err(Error::new("ERR invalid expire time, must be >= 0"));
    }
    let ms = if unit == Unit::Seconds {
        time.checked_mul(1000)
    } else {
        Some(time)
    };
    let base = if from == From::Now { ctx.now_ms() } else { 0 };
    ms.and_then(|ms| ms.checked_add(base))
        .filter(|at| *at <= MAX_EXPIRE_MS)
        .ok_or_else(|| Error::invalid_expire(ctx.command.spec.name))
}

/// Whether a deadline is over already, so that the field goes instead of getting it.
pub(super) fn is_over(db: &Keys<'_>, at_ms: i64) -> bool {
    at_ms <= fields::clock(db)
}

/// The key in argument 1 holds a hash or nothing: what these commands look at before the rest of their arguments.
pub(super) fn check_type(ctx: &Ctx<'_>) -> Outcome {
    ctx.db.peek_as::<Hash>(&ctx.args[1]).map(|_| ())
}

/// Reads `FIELDS numfields field…`, which comes last.
pub(super) fn named<'a>(mut rest: Cursor<'a>, bad_count: &'static str) -> Result<Args<'a>, Error> {
    if !rest.word("FIELDS") {
        let text = "ERR Mandatory argument FIELDS is missing or not at the right position";
        return Err(Error::new(text));
    }
    let count = num::parse_i64(rest.next()?)
        .filter(|n| *n > 0)
        .ok_or(Error::new(bad_count))?;
    if rest.left() as u64 != count.unsigned_abs() {
        let text = "ERR The `numfields` parameter must match the number of arguments";
        return Err(Error::new(text));
    }
    Ok(rest.rest())
}

/// What most commands say when the number of fields is none.
pub(super) const BAD_COUNT: &str = "ERR Number of fields must be a positive integer";

/// Logs `verb key [at] [FIELDS n] field…`.
pub(super) fn log_fields(
    db: &mut Keys<'_>,
    verb: &[u8],
    key: &[u8],
    at_ms: Option<i64>,
    names: &[&[u8]],
) {
    let (mut at, mut count) = (itoa::Buffer::new(), itoa::Buffer::new());
    let mut effect = vec![verb, key];
    effect.extend(at_ms.map(|ms| at.format(ms).as_bytes()));
    if verb != b"HDEL" {
        effect.extend([&b"FIELDS"[..], count.format(names.len()).as_bytes()]);
    }
    effect.extend(names);
    db.log(&effect);
}

/// When a new expiry is wanted.
#[derive(Clone, Copy)]
enum Condition {
    Always,
    /// Only for fields without expiry.
    Nx,
    /// Only for fields with one.
    Xx,
    /// Only if it is later than the present one.
    Gt,
    /// Only if it is earlier; none counts as latest of all.
    Lt,
}

impl Condition {
    fn read(rest: &mut Cursor<'_>) -> Condition {
        let words = [
            ("NX", Condition::Nx),
            ("XX", Condition::Xx),
            ("GT", Condition::Gt),
            ("LT", Condition::Lt),
        ];
        let hit = words.into_iter().find(|(word, _)| rest.word(word));
        hit.map_or(Condition::Always, |(_, condition)| condition)
    }

    fn is_met(self, before: Option<i64>, at: i64) -> bool {
        match self {
            Condition::Always => true,
            Condition::Nx => before.is_none(),
            Condition::Xx => before.is_some(),
            Condition::Gt => before.is_some_and(|before| at > before),
            Condition::Lt => before.is_none_or(|before| at < before),
        }
    }
}

/// Fields that were changed together.
#[derive(Default)]
pub(super) struct Touched<'a> {
    /// Those that got or lost an expiry.
    pub changed: Vec<&'a [u8]>,
    /// Those that were deleted because their time is over already.
    pub deleted: Vec<&'a [u8]>,
    /// Those whose time was over before the command.
    pub gone: Vec<Vec<u8>>,
    /// The first of all expiries is earlier than it was.
    pub earlier: bool,
}

impl<'a> Touched<'a> {
    /// Gives a field that is there this expiry, or deletes it if that is over.
    pub fn set_expire(&mut self, hash: &mut Hash, field: &'a [u8], at: i64, over: bool) -> i64 {
        if over {
            hash.remove(field);
            self.deleted.push(field);
            return DELETED;
        }
        hash.set_expire(field, Some(at));
        self.changed.push(field);
        DONE
    }

    /// Reports what was done, with `at` as the new expiry.
    pub fn report(&self, db: &mut Keys<'_>, key: &[u8], at: i64) {
        let none = self.changed.is_empty() && self.deleted.is_empty();
        fields::announce(db, key, &self.gone, none);
        if !self.deleted.is_empty() {
            db.effect(Class::HASH, "hdel", key, self.deleted.len());
            log_fields(db, b"HDEL", key, None, &self.deleted);
        }
        if !self.changed.is_empty() {
            db.effect(Class::HASH, "hexpire", key, self.changed.len());
            log_fields(db, b"HPEXPIREAT", key, Some(at), &self.changed);
        }
        if self.earlier {
            fields::hint(db, key);
        }
    }
}

/// Whether the first expiry came to lie earlier.
pub(super) fn is_earlier(before: Option<i64>, after: Option<i64>) -> bool {
    after.is_some_and(|after| before.is_none_or(|before| after < before))
}

fn expire(ctx: &mut Ctx<'_>, unit: Unit, from: From) -> Outcome {
    check_type(ctx)?;
    let args = ctx.args;
    let (key, time) = (args.get(1), args.int(2)?);
    let at = deadline(ctx, time, unit, from)?;
    let mut rest = args.cursor(3);
    let condition = Condition::read(&mut rest);
    let names = named(rest, "ERR Parameter `numFields` should be greater than 0")?;
    let (now, over) = (fields::clock(&ctx.db), is_over(&ctx.db, at));
    let mut codes = Vec::with_capacity(names.len());
    let touched = ctx.db.modify::<Hash, _>(key, |hash| {
        let mut touched = Touched {
            gone: hash.purge(names.iter(), now),
            ..Touched::default()
        };
        let first = hash.read().next_expiry();
        for field in names.iter() {
            codes.push(match hash.read().find(field) {
                None => NO_FIELD,
                Some((_, before)) if !condition.is_met(before, at) => NOT_MET,
                Some(_) => touched.set_expire(hash, field, at, over),
            });
        }
        touched.earlier = is_earlier(first, hash.read().next_expiry());
        touched
    })?;
    match touched {
        Some(touched) => touched.report(&mut ctx.db, key, at),
        None => codes.resize(names.len(), NO_FIELD),
    }
    reply_codes(ctx, &codes);
    Ok(())
}

fn reply_codes(ctx: &mut Ctx<'_>, codes: &[i64]) {
    ctx.out.array(codes.len());
    codes.iter().for_each(|code| ctx.out.int(*code));
}

pub(super) fn hexpire(ctx: &mut Ctx<'_>) -> Outcome {
    expire(ctx, Unit::Seconds, From::Now)
}

pub(super) fn hpexpire(ctx: &mut Ctx<'_>) -> Outcome {
    expire(ctx, Unit::Millis, From::Now)
}

pub(super) fn hexpireat(ctx: &mut Ctx<'_>) -> Outcome {
    expire(ctx, Unit::Seconds, From::Epoch)
}

pub(super) fn hpexpireat(ctx: &mut Ctx<'_>) -> Outcome {
    expire(ctx, Unit::Millis, From::Epoch)
}

pub(super) fn hpersist(ctx: &mut Ctx<'_>) -> Outcome {
    check_type(ctx)?;
    let (args, now) = (ctx.args, fields::clock(&ctx.db));
    let key = args.get(1);
    let names = named(args.cursor(2), BAD_COUNT)?;
    let mut codes = Vec::with_capacity(names.len());
    let gone = ctx.db.modify::<Hash, _>(key, |hash| {
        let gone = hash.purge(names.iter(), now);
        for field in names.iter() {
            codes.push(match hash.read().find(field) {
                None => NO_FIELD,
                Some((_, None)) => NO_EXPIRE,
                Some((_, Some(_))) => {
                    hash.set_expire(field, None);
                    DONE
                }
            });
        }
        gone
    })?;
    codes.resize(names.len(), NO_FIELD);
    let changed = codes.iter().filter(|code| **code == DONE).count();
    fields::announce(&mut ctx.db, key, &gone.unwrap_or_default(), changed == 0);
    if changed > 0 {
        ctx.db.effect(Class::HASH, "hpersist", key, changed);
    }
    reply_codes(ctx, &codes);
    Ok(())
}

fn ttl(ctx: &mut Ctx<'_>, unit: Unit, from: From) -> Outcome {
    check_type(ctx)?;
    let now = fields::clock(&ctx.db);
    let base = if from == From::Now { ctx.now_ms() } else { 0 };
    let names = named(ctx.args.cursor(2), BAD_COUNT)?;
    let hash = ctx.db.read_as::<Hash>(&ctx.args[1])?;
    ctx.out.array(names.len());
    for field in names.iter() {
        let found = hash.and_then(|hash| hash.find(field));
        ctx.out
            .int(match found.filter(|(_, expire)| !is_past(*expire, now)) {
                None => NO_FIELD,
                Some((_, None)) => NO_EXPIRE,
                Some((_, Some(at))) if unit == Unit::Seconds => (at - base + 999).div_euclid(1000),
                Some((_, Some(at))) => at - base,
            });
    }
    Ok(())
}

pub(super) fn httl(ctx: &mut Ctx<'_>) -> Outcome {
    ttl(ctx, Unit::Seconds, From::Now)
}

pub(super) fn hpttl(ctx: &mut Ctx<'_>) -> Outcome {
    ttl(ctx, Unit::Millis, From::Now)
}

pub(super) fn hexpiretime(ctx: &mut Ctx<'_>) -> Outcome {
    ttl(ctx, Unit::Seconds, From::Epoch)
}

pub(super) fn hpexpiretime(ctx: &mut Ctx<'_>) -> Outcome {
    ttl(ctx, Unit::Millis, From::Epoch)
}
