//! When keys end: EXPIRE and its relatives, TTL and its relatives, PERSIST.

use crate::base::num;
use crate::command::args::Cursor;
use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::keyspace::effect::Class;

const NX_WITH_OTHERS: Error =
    Error::new("ERR NX and XX, GT or LT options at the same time are not compatible");
const GT_WITH_LT: Error = Error::new("ERR GT and LT options at the same time are not compatible");

/// What a time counts, and from when.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Seconds,
    Ms,
}

/// When an expiry may be set, seen from the one that the key has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Condition {
    nx: bool,
    xx: bool,
    gt: bool,
    lt: bool,
}

impl Condition {
    fn read(mut rest: Cursor<'_>) -> Result<Condition, Error> {
        let mut is = Condition::default();
        while !rest.done() {
            if rest.word("NX") {
                is.nx = true;
            } else if rest.word("XX") {
                is.xx = true;
            } else if rest.word("GT") {
                is.gt = true;
            } else if rest.word("LT") {
                is.lt = true;
            } else {
                let mut text = b"ERR Unsupported option ".to_vec();
                text.extend_from_slice(rest.next()?);
                return Err(Error::bytes(text));
            }
        }
        if is.nx && (is.xx || is.gt || is.lt) {
            return Err(NX_WITH_OTHERS);
        }
        if is.gt && is.lt {
            return Err(GT_WITH_LT);
        }
        Ok(is)
    }

    /// A key without an expiry counts as one that ends after all others.
    fn allows(self, before: Option<i64>, at: i64) -> bool {
        let missing = before.is_none();
        !(self.nx && !missing
            || self.xx && missing
            || self.gt && before.is_none_or(|old| at <= old)
            || self.lt && before.is_some_and(|old| at >= old))
    }
}

/// Turns the time of a command into unix ms.
fn deadline(text: &[u8], unit: Unit, base_ms: i64, command: &str) -> Result<i64, Error> {
    let time = num::parse_i64(text).ok_or(Error::NOT_INTEGER)?;
    let scale = if unit == Unit::Seconds { 1000 } else { 1 };
    let at = time
        .checked_mul(scale)
        .and_then(|ms| ms.checked_add(base_ms));
    at.ok_or_else(|| Error::invalid_expire(command))
}

fn set_deadline(ctx: &mut Ctx<'_>, unit: Unit, base_ms: i64) -> Outcome {
    let condition = Condition::read(ctx.args.cursor(3))?;
    let (key, text) = (ctx.args.get(1), ctx.args.get(2));
    let at = deadline(text, unit, base_ms, ctx.command.spec.name)?;
    let before = ctx.db.look(key).map(|entry| entry.expire());
    let done = before.is_some_and(|before| condition.allows(before, at));
    if done && ctx.db.is_over(at) {
        ctx.db.unlink(key);
        ctx.db.effect(Class::GENERIC, "del", key, 1);
        let verb = ctx.db.ks.verbs.expire;
        ctx.db.log(&[verb.as_bytes(), key]);
    } else if done {
        ctx.db.set_expire(key, Some(at));
        ctx.db.effect(Class::GENERIC, "expire", key, 1);
        let mut ms = itoa::Buffer::new();
        ctx.db.log(&[b"PEXPIREAT", key, ms.format(at).as_bytes()]);
    }
    ctx.out.int(i64::from(done));
    Ok(())
}

/// `EXPIRE key seconds [NX|XX|GT|LT]`
pub(super) fn expire(ctx: &mut Ctx<'_>) -> Outcome {
    set_deadline(ctx, Unit::Seconds, ctx.now_ms())
}

/// `PEXPIRE key ms [NX|XX|GT|LT]`
pub(super) fn pexpire(ctx: &mut Ctx<'_>) -> Outcome {
    set_deadline(ctx, Unit::Ms, ctx.now_ms())
}

/// `EXPIREAT key unix-seconds [NX|XX|GT|LT]`
pub(super) fn expireat(ctx: &mut Ctx<'_>) -> Outcome {
    set_deadline(ctx, Unit::Seconds, 0)
}

/// `PEXPIREAT key unix-ms [NX|XX|GT|LT]`
pub(super) fn pexpireat(ctx: &mut Ctx<'_>) -> Outcome {
    set_deadline(ctx, Unit::Ms, 0)
}

/// Replies with what `show` makes of the key's deadline; -2 without key, -1 without expiry.
fn tell(ctx: &mut Ctx<'_>, show: impl FnOnce(i64) -> i64) -> Outcome {
    ctx.db.no_touch = true;
    let reply = match ctx.db.read(&ctx.args[1]).map(|entry| entry.expire()) {
        None => -2,
        Some(None) => -1,
        Some(Some(at)) => show(at),
    };
    ctx.out.int(reply);
    Ok(())
}

/// To the nearest second.
fn seconds(ms: i64) -> i64 {
    ms.saturating_add(500) / 1000
}

/// `TTL key`
pub(super) fn ttl(ctx: &mut Ctx<'_>) -> Outcome {
    let now = ctx.now_ms();
    tell(ctx, |at| seconds(at.saturating_sub(now).max(0)))
}

/// `PTTL key`
pub(super) fn pttl(ctx: &mut Ctx<'_>) -> Outcome {
    let now = ctx.now_ms();
    tell(ctx, |at| at.saturating_sub(now).max(0))
}

/// `EXPIRETIME key`
pub(super) fn expiretime(ctx: &mut Ctx<'_>) -> Outcome {
    tell(ctx, seconds)
}

/// `PEXPIRETIME key`
pub(super) fn pexpiretime(ctx: &mut Ctx<'_>) -> Outcome {
    tell(ctx, |at| at)
}

/// `PERSIST key`
pub(super) fn persist(ctx: &mut Ctx<'_>) -> Outcome {
    let key = ctx.args.get(1);
    let volatile = ctx
        .db
        .look(key)
        .is_some_and(|entry| entry.expire().is_some());
    if volatile {
        ctx.db.set_expire(key, None);
        ctx.db.effect(Class::GENERIC, "persist", key, 1);
    }
    ctx.out.int(i64::from(volatile));
    Ok(())
}
