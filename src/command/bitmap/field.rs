//! BITFIELD: integers of any width at any bit of a string.

use super::BAD_OFFSET;
use crate::base::num;
use crate::command::args::{Args, Cursor};
use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::keyspace::effect::Class;
use crate::value::bits;

const BAD_TYPE: Error = Error::new(
    "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
);
const BAD_OVERFLOW: Error = Error::new("ERR Invalid OVERFLOW type specified");
const ONLY_GET: Error = Error::new("ERR BITFIELD_RO only supports the GET subcommand");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Overflow {
    Wrap,
    Saturate,
    Fail,
}

/// Type of an integer: `i1` to `i64`, `u1` to `u63`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kind {
    signed: bool,
    width: u32,
}

impl Kind {
    fn parse(text: &[u8]) -> Result<Kind, Error> {
        let (signed, max) = match text.first() {
            Some(b'i') => (true, 64),
            Some(b'u') => (false, 63),
            _ => return Err(BAD_TYPE),
        };
        let width = num::parse_i64(&text[1..]).filter(|n| (1..=max).contains(n));
        Ok(Kind {
            signed,
            width: width.ok_or(BAD_TYPE)? as u32,
        })
    }

    fn least(self) -> i128 {
        if self.signed {
            -(1 << (self.width - 1))
        } else {
            0
        }
    }

    fn greatest(self) -> i128 {
        (1 << (self.width - u32::from(self.signed))) - 1
    }

    /// The integer of these bits.
    fn decode(self, field: u64) -> i64 {
        let shift = 64 - self.width;
        if self.signed {
            (field << shift) as i64 >> shift
        } else {
            field as i64
        }
    }

    /// A number to be set in a signed field. Redis takes the distance to the greatest number in 64
    /// bits; where that overflows, the number counts as too large instead of too small.
    fn as_redis_sees(self, value: i64) -> i128 {
        let exact = i128::from(value);
        let overflows = self.greatest() - exact > i128::from(i64::MAX);
        if self.width < 64 && overflows {
            exact + (1 << 64)
        } else {
            exact
        }
    }

    /// The integer as it fits the type; `None` if it does not and that is a failure.
    fn fit(self, exact: i128, overflow: Overflow) -> Option<i64> {
        let inside = exact.clamp(self.least(), self.greatest());
        if inside == exact {
            return Some(exact as i64);
        }
        match overflow {
            Overflow::Fail => None,
            Overflow::Saturate => Some(inside as i64),
            Overflow::Wrap => {
                let low = exact as u64 & (u64::MAX >> (64 - self.width));
                Some(self.decode(low))
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Action {
    Get,
    Set(i64),
    Increase(i64),
}

#[derive(Clone, Copy, Debug)]
struct Operation {
    kind: Kind,
    offset: usize,
    action: Action,
    overflow: Overflow,
}

impl Operation {
    /// Bytes that a string needs to hold the field.
    fn end(&self) -> usize {
        (self.offset + self.kind.width as usize).div_ceil(8)
    }

    fn read(self, bytes: &[u8]) -> i64 {
        self.kind
            .decode(bits::read_field(bytes, self.offset, self.kind.width))
    }

    /// Does a write; returns the reply and whether the field changed.
    fn write(self, bytes: &mut [u8]) -> (Option<i64>, bool) {
        let old = self.read(bytes);
        let exact = match self.action {
            Action::Get => return (Some(old), false),
            // A negative number for an unsigned field counts as the large number of the same 64 bits.
            Action::Set(value) if self.kind.signed => self.kind.as_redis_sees(value),
            Action::Set(value) => i128::from(value as u64),
            Action::Increase(by) => i128::from(old) + i128::from(by),
        };
        let Some(new) = self.kind.fit(exact, self.overflow) else {
            return (None, false);
        };
        bits::write_field(bytes, self.offset, self.kind.width, new as u64);
        let reply = if matches!(self.action, Action::Set(_)) {
            old
        } else {
            new
        };
        (Some(reply), new != old)
    }
}

/// An offset: bits, or with `#` fields of this type.
fn read_offset(text: &[u8], kind: Kind, limit: usize) -> Result<usize, Error> {
    let (text, scale) = match text.strip_prefix(b"#") {
        Some(rest) => (rest, i64::from(kind.width)),
        None => (text, 1),
    };
    let offset = num::parse_i64(text).and_then(|n| n.checked_mul(scale));
    let offset = offset.and_then(|n| usize::try_from(n).ok());
    offset.filter(|offset| offset / 8 < limit).ok_or(BAD_OFFSET)
}

fn read_overflow(rest: &mut Cursor<'_>) -> Result<Overflow, Error> {
    if rest.word("WRAP") {
        Ok(Overflow::Wrap)
    } else if rest.word("SAT") {
        Ok(Overflow::Saturate)
    } else if rest.word("FAIL") {
        Ok(Overflow::Fail)
    } else {
        Err(BAD_OVERFLOW)
    }
}

fn read_operations(args: &Args<'_>, limit: usize) -> Result<Vec<Operation>, Error> {
    let mut operations = Vec::new();
    let mut overflow = Overflow::Wrap;
    let mut rest = args.cursor(2);
    while !rest.done() {
        let left = rest.left();
        if left > 1 && rest.word("OVERFLOW") {
            overflow = read_overflow(&mut rest)?;
            continue;
        }
        let is_get = left > 2 && rest.word("GET");
        let is_set = !is_get && left > 3 && rest.word("SET");
        let known = is_get || is_set || left > 3 && rest.word("INCRBY");
        if !known {
            return Err(Error::SYNTAX);
        }
        let kind = Kind::parse(rest.next()?)?;
        let offset = read_offset(rest.next()?, kind, limit)?;
        let action = if is_get {
            Action::Get
        } else if is_set {
            Action::Set(rest.int()?)
        } else {
            Action::Increase(rest.int()?)
        };
        operations.push(Operation {
            kind,
            offset,
            action,
            overflow,
        });
    }
    Ok(operations)
}

/// `BITFIELD key [GET type offset|[OVERFLOW how] SET type offset value|INCRBY type offset n …]`
pub(super) fn bitfield(ctx: &mut Ctx<'_>) -> Outcome {
    let key = ctx.args.get(1);
    let operations = read_operations(&ctx.args, ctx.db.limits().string_bytes)?;
    let writes = operations
        .iter()
        .filter(|op| !matches!(op.action, Action::Get));
    let Some(end) = writes.map(Operation::end).max() else {
        return read_all(ctx, &operations);
    };
    let out = &mut *ctx.out;
    let changes = ctx.db.edit_str(key, |bytes| {
        let grown = end > bytes.len();
        bits::grow(bytes, end).ok_or(Error::STRING_TOO_LONG)?;
        out.array(operations.len());
        let mut changes = 0;
        for operation in &operations {
            let (reply, changed) = operation.write(bytes);
            match reply {
                Some(n) => out.int(n),
                None => out.null(),
            }
            let written = reply.is_some() && !matches!(operation.action, Action::Get);
            changes += usize::from(changed || (grown && written));
        }
        // A string that only grew, because all writes failed, has changed as well.
        Ok(changes.max(usize::from(grown)))
    })?;
    if changes > 0 {
        ctx.db.effect(Class::STRING, "setbit", key, changes);
    }
    Ok(())
}

/// `BITFIELD_RO key [GET type offset …]`
pub(super) fn bitfield_ro(ctx: &mut Ctx<'_>) -> Outcome {
    let operations = read_operations(&ctx.args, ctx.db.limits().string_bytes)?;
    if operations
        .iter()
        .any(|op| !matches!(op.action, Action::Get))
    {
        return Err(ONLY_GET);
    }
    read_all(ctx, &operations)
}

fn read_all(ctx: &mut Ctx<'_>, operations: &[Operation]) -> Outcome {
    let text = ctx.db.read_str(&ctx.args[1])?;
    let bytes: &[u8] = text.as_deref().unwrap_or_default();
    ctx.out.array(operations.len());
    for operation in operations {
        ctx.out.int(operation.read(bytes));
    }
    Ok(())
}
