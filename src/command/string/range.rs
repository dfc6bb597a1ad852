//! Parts of strings: APPEND, STRLEN, GETRANGE, SETRANGE.

use super::stored;
use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::keyspace::Expire;
use crate::keyspace::effect::Class;
use crate::value::bits;

/// `APPEND key value`
pub(super) fn append(ctx: &mut Ctx<'_>) -> Outcome {
    let (key, value) = (ctx.args.get(1), ctx.args.get(2));
    let len = if ctx.db.exists(key) {
        let limit = ctx.db.limits().string_bytes;
        ctx.db.edit_str(key, |bytes| {
            let len = bytes
                .len()
                .checked_add(value.len())
                .filter(|&len| len <= limit);
            let len = len.ok_or(Error::STRING_TOO_LONG)?;
            bits::reserve(bytes, len).ok_or(Error::STRING_TOO_LONG)?;
            bytes.extend_from_slice(value);
            Ok(len)
        })?
    } else {
        ctx.db.set_str(key, stored(&ctx.args, 2), Expire::Never);
        value.len()
    };
    ctx.db.effect(Class::STRING, "append", key, 1);
    ctx.out.count(len);
    Ok(())
}

/// `STRLEN key`
pub(super) fn strlen(ctx: &mut Ctx<'_>) -> Outcome {
    let len = ctx.db.read_str(&ctx.args[1])?.map_or(0, |text| text.len());
    ctx.out.count(len);
    Ok(())
}

/// The part of a value of `len` units that `start` and `end` (inclusive, negative from the end) name; `None` if it is
/// empty. What lies before the beginning counts as the first unit.
pub(crate) fn clamp(start: i64, end: i64, len: usize) -> Option<(usize, usize)> {
    let len = i64::try_from(len).ok()?;
    let absolute = |at: i64| if at < 0 { (at + len).max(0) } else { at };
    let (start, end) = (absolute(start), absolute(end).min(len - 1));
    (start <= end).then_some((start as usize, end as usize))
}

/// As [`clamp`], but a range that ends before it starts is empty even where both lie before the beginning.
pub(crate) fn clamp_ordered(start: i64, end: i64, len: usize) -> Option<(usize, usize)> {
    if start < 0 && end < 0 && start > end {
        None
    } else {
        clamp(start, end, len)
    }
}

/// `GETRANGE key start end`
pub(super) fn getrange(ctx: &mut Ctx<'_>) -> Outcome {
    let (start, end) = (ctx.args.int(2)?, ctx.args.int(3)?);
    match ctx.db.read_str(&ctx.args[1])? {
        None => ctx.out.bulk(b""),
        Some(text) => match clamp_ordered(start, end, text.len()) {
            None => ctx.out.bulk(b""),
            Some((0, last)) if last + 1 == text.len() => text.reply(ctx.out),
            Some((first, last)) => ctx.out.bulk(&text[first..=last]),
        },
    }
    Ok(())
}

/// `SETRANGE key offset value`
pub(super) fn setrange(ctx: &mut Ctx<'_>) -> Outcome {
    let (key, value) = (ctx.args.get(1), ctx.args.get(3));
    let offset = usize::try_from(ctx.args.int(2)?).map_err(|_| Error::OFFSET_OUT_OF_RANGE)?;
    if value.is_empty() {
        let len = match ctx.db.look(key) {
            None => 0,
            Some(entry) => crate::keyspace::Text::of(entry.payload())
                .ok_or(Error::WRONG_TYPE)?
                .len(),
        };
        ctx.out.count(len);
        return Ok(());
    }
    let limit = ctx.db.limits().string_bytes;
    let end = offset.checked_add(value.len()).filter(|&end| end <= limit);
    let len = ctx.db.edit_str(key, |bytes| {
        let end = end.ok_or(Error::STRING_TOO_LONG)?;
        bits::grow(bytes, end).ok_or(Error::STRING_TOO_LONG)?;
        bytes[offset..end].copy_from_slice(value);
        Ok(bytes.len())
    })?;
    ctx.db.effect(Class::STRING, "setrange", key, 1);
    ctx.out.count(len);
    Ok(())
}
