//! INCREX: an increment within bounds, with an expiration.
//!
//! A result out of bounds changes nothing, the expiration included, and is told by an increment of 0 in the reply;
//! with SATURATE it becomes the bound.

use super::number::NOT_FINITE;
use super::options::{Expiration, apply_expiration, log_set};
use super::verbatim;
use crate::base::longdouble::LongDouble;
use crate::base::num;
use crate::command::args::Args;
use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::keyspace::effect::Class;
use crate::keyspace::{Expire, Text};
use crate::value::entry::New;

const CROSSED: Error = Error::new("ERR LBOUND can't be greater than UBOUND");
const ENX_ALONE: Error = Error::new("ERR ENX flag requires an expiration");

struct Options<'a> {
    /// The increment, and whether it is a float; none: 1.
    by: Option<(bool, &'a [u8])>,
    saturate: bool,
    lower: Option<&'a [u8]>,
    upper: Option<&'a [u8]>,
    expiration: Expiration<'a>,
    only_without_ttl: bool,
}

impl<'a> Options<'a> {
    fn read(args: &Args<'a>) -> Result<Options<'a>, Error> {
        let mut options = Options {
            by: None,
            saturate: false,
            lower: None,
            upper: None,
            expiration: Expiration::Unset,
            only_without_ttl: false,
        };
        let mut rest = args.cursor(2);
        while !rest.done() {
            let float = rest.word("BYFLOAT");
            if float || rest.word("BYINT") {
                let by = (float, rest.next()?);
                if options.by.replace(by).is_some_and(|(old, _)| old != float) {
                    return Err(Error::SYNTAX);
                }
            } else if rest.word("SATURATE") {
                options.saturate = true;
            } else if rest.word("LBOUND") {
                options.lower = Some(rest.next()?);
            } else if rest.word("UBOUND") {
                options.upper = Some(rest.next()?);
            } else if rest.word("ENX") {
                options.only_without_ttl = true;
            } else if !options
                .expiration
                .read_word(&mut rest, "PERSIST", Expiration::Persist)?
                && !options.expiration.read_time(&mut rest)?
            {
                return Err(Error::SYNTAX);
            }
        }
        match options.expiration {
            Expiration::Persist if options.only_without_ttl => Err(Error::SYNTAX),
            Expiration::Unset if options.only_without_ttl => Err(ENX_ALONE),
            _ => Ok(options),
        }
    }
}

/// What an increment comes to.
enum Sum<N> {
    /// Value and increment.
    Changed(N, N),
    OutOfBounds(N),
}

/// `INCREX key [BYINT n|BYFLOAT x] [SATURATE] [LBOUND n] [UBOUND n] [EX …|PX …|EXAT …|PXAT …|PERSIST] [ENX]`
pub(super) fn increx(ctx: &mut Ctx<'_>) -> Outcome {
    let args = ctx.args;
    let key = args.get(1);
    let options = Options::read(&args)?;
    let deadline = options.expiration.deadline(ctx.now_ms(), "increx")?;
    let (old, volatile) = match ctx.db.look(key) {
        None => (None, false),
        Some(entry) => {
            let text = Text::of(entry.payload()).ok_or(Error::WRONG_TYPE)?;
            (Some(text.to_vec()), entry.expire().is_some())
        }
    };
    let old = old.as_deref().unwrap_or(b"0");
    let (value, increment, changed) = if let Some((true, by)) = options.by {
        let (value, by, changed) = add_float(old, by, &options)?;
        if changed {
            ctx.db.set_str(key, verbatim(&value), Expire::Keep);
            ctx.db.effect(Class::STRING, "incrbyfloat", key, 1);
        }
        (Number::Float(value), Number::Float(by), changed)
    } else {
        let (value, by, changed) = match add_int(old, &options)? {
            Sum::Changed(value, by) => (value, by, true),
            Sum::OutOfBounds(value) => (value, 0, false),
        };
        if changed {
            ctx.db.set_str(key, New::Int(value), Expire::Keep);
            ctx.db.effect(Class::STRING, "incrby", key, 1);
        }
        (Number::Int(value), Number::Int(by), changed)
    };
    if changed {
        expire(ctx, key, &options, deadline, volatile);
    }
    ctx.out.array(2);
    value.reply(ctx);
    increment.reply(ctx);
    Ok(())
}

/// Applies the expiration after a change and logs both as one effect.
fn expire(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    options: &Options<'_>,
    deadline: Option<i64>,
    volatile: bool,
) {
    if !(options.only_without_ttl && volatile) {
        apply_expiration(&mut ctx.db, key, options.expiration, deadline, false);
    }
    let Some(entry) = ctx.db.look(key) else {
        return ctx.db.log(&[b"DEL", key]);
    };
    let value = Text::of(entry.payload())
        .map(|text| text.to_vec())
        .unwrap_or_default();
    let expire = entry.expire().map_or(Expire::Never, Expire::At);
    log_set(&mut ctx.db, key, &value, expire);
}

enum Number {
    Int(i64),
    Float(Vec<u8>),
}

impl Number {
    fn reply(&self, ctx: &mut Ctx<'_>) {
        match self {
            Number::Int(n) => ctx.out.int(*n),
            // More digits than a double has; as text they reach the client whole.
            Number::Float(text) if ctx.out.resp3() => {
                ctx.out.raw(b",");
                ctx.out.raw(text);
                ctx.out.raw(b"\r\n");
            }
            Number::Float(text) => ctx.out.bulk(text),
        }
    }
}

fn add_int(old: &[u8], options: &Options<'_>) -> Result<Sum<i64>, Error> {
    let parse = |text: &[u8]| num::parse_i64(text).ok_or(Error::NOT_INTEGER);
    let by = options.by.map_or(Ok(1), |(_, text)| parse(text))?;
    let lower = options.lower.map_or(Ok(i64::MIN), parse)?;
    let upper = options.upper.map_or(Ok(i64::MAX), parse)?;
    if lower > upper {
        return Err(CROSSED);
    }
    let old = parse(old)?;
    let sum = i128::from(old) + i128::from(by);
    let inside = sum.clamp(i128::from(lower), i128::from(upper));
    if sum != inside && !options.saturate {
        return Ok(Sum::OutOfBounds(old));
    }
    let by = i64::try_from(inside - i128::from(old)).map_err(|_| Error::OVERFLOW)?;
    Ok(Sum::Changed(inside as i64, by))
}

/// Value and increment as text, and whether there is a change.
fn add_float(
    old: &[u8],
    by: &[u8],
    options: &Options<'_>,
) -> Result<(Vec<u8>, Vec<u8>, bool), Error> {
    let parse = |text: &[u8]| LongDouble::parse(text).ok_or(Error::NOT_FLOAT);
    let by = parse(by)?;
    let least = LongDouble::MAX.negated();
    let lower = options.lower.map_or(Ok(least), parse)?;
    let upper = options.upper.map_or(Ok(LongDouble::MAX), parse)?;
    if upper.is_less(lower) {
        return Err(CROSSED);
    }
    let old = parse(old)?;
    if !by.is_finite() || !old.is_finite() {
        return Err(NOT_FINITE);
    }
    let bound = match old.checked_add(by) {
        Some(sum) if sum.is_less(lower) => lower,
        Some(sum) if upper.is_less(sum) => upper,
        Some(sum) => return Ok((show(sum), show(by), true)),
        None if by.is_negative() => lower,
        None => upper,
    };
    if !options.saturate {
        return Ok((show(old), b"0".to_vec(), false));
    }
    let by = bound.checked_add(old.negated()).ok_or(NOT_FINITE)?;
    Ok((show(bound), show(by), true))
}

fn show(number: LongDouble) -> Vec<u8> {
    let mut text = Vec::with_capacity(32);
    number.write(&mut text);
    text
}
