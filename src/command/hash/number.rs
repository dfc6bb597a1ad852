//! Numbers in fields: HINCRBY and HINCRBYFLOAT.

use crate::base::longdouble::LongDouble;
use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::keyspace::effect::Class;
use crate::keyspace::fields;
use crate::value::hash::{Hash, Value};

/// A field after it was changed.
struct Changed {
    text: Vec<u8>,
    /// The expiry, which stays.
    expire: Option<i64>,
}

/// Replaces the value of the field in argument 2 by what `f` makes of it.
fn change(
    ctx: &mut Ctx<'_>,
    event: &'static str,
    f: impl FnOnce(Option<Value<'_>>) -> Result<Vec<u8>, Error>,
) -> Result<Changed, Error> {
    let (key, field) = (ctx.args.get(1), ctx.args.get(2));
    let (limits, now) = (ctx.db.limits(), fields::clock(&ctx.db));
    let (changed, gone) = ctx.db.update::<Hash, _>(key, |hash| {
        let gone = hash.purge([field].into_iter(), now);
        let found = hash.read().find(field);
        let expire = found.and_then(|(_, expire)| expire);
        let changed = f(found.map(|(value, _)| value)).map(|text| {
            hash.set(field, &text, expire, &limits);
            Changed { text, expire }
        });
        (changed, gone)
    })?;
    fields::announce(&mut ctx.db, key, &gone, changed.is_err());
    if changed.is_ok() {
        ctx.db.effect(Class::HASH, event, key, 1);
    }
    changed
}

pub(super) fn hincrby(ctx: &mut Ctx<'_>) -> Outcome {
    let by = ctx.args.int(3)?;
    let mut sum = 0;
    change(ctx, "hincrby", |value| {
        let before = match value {
            None => 0,
            Some(value) => value
                .as_i64()
                .ok_or(Error::new("ERR hash value is not an integer"))?,
        };
        sum = before.checked_add(by).ok_or(Error::OVERFLOW)?;
        Ok(itoa::Buffer::new().format(sum).as_bytes().to_vec())
    })?;
    ctx.out.int(sum);
    Ok(())
}

pub(super) fn hincrbyfloat(ctx: &mut Ctx<'_>) -> Outcome {
    let (key, field) = (ctx.args.get(1), ctx.args.get(2));
    let by = LongDouble::parse(&ctx.args[3]).ok_or(Error::NOT_FLOAT)?;
    let zero = LongDouble::parse(b"0").ok_or(Error::NOT_FLOAT)?;
    // A sum is never infinite.
    let by = zero
        .checked_add(by)
        .ok_or(Error::new("ERR value is NaN or Infinity"))?;
    let changed = change(ctx, "hincrbyfloat", |value| {
        let before = match value {
            None => Some(zero),
            Some(value) => value.with_bytes(LongDouble::parse),
        };
        let before = before.ok_or(Error::new("ERR hash value is not a float"))?;
        let sum = before.checked_add(by);
        let sum = sum.ok_or(Error::new("ERR increment would produce NaN or Infinity"))?;
        let mut text = Vec::new();
        sum.write(&mut text);
        Ok(text)
    })?;
    ctx.out.bulk(&changed.text);
    // Other machines may add differently; HSET would drop the expiry.
    ctx.db.log(&[b"HSET", key, field, &changed.text]);
    if let Some(at) = changed.expire {
        let mut digits = itoa::Buffer::new();
        let at = digits.format(at).as_bytes();
        ctx.db
            .log(&[b"HPEXPIREAT", key, at, b"FIELDS", b"1", field]);
    }
    Ok(())
}
