//! Conditions on the present value (`IFEQ` and the like), and the commands around them: DIGEST, DELEX, DELIFEQ.

use xxhash_rust::xxh3::xxh3_64;

use crate::command::args::Cursor;
use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::keyspace::Text;
use crate::keyspace::effect::Class;
use crate::value::entry::Entry;

/// What has to be true of a key for a command to act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition<'a> {
    Absent,
    Present,
    Equal(&'a [u8]),
    NotEqual(&'a [u8]),
    Digest(u64),
    NotDigest(u64),
}

impl<'a> Condition<'a> {
    /// Takes the next option if it is `NX` or `XX`. The same one may come again, another condition not.
    pub(super) fn read_presence(
        slot: &mut Option<Condition<'a>>,
        rest: &mut Cursor<'a>,
    ) -> Result<bool, Error> {
        let new = if rest.word("NX") {
            Condition::Absent
        } else if rest.word("XX") {
            Condition::Present
        } else {
            return Ok(false);
        };
        if slot.is_some_and(|old| old != new) {
            return Err(Error::SYNTAX);
        }
        *slot = Some(new);
        Ok(true)
    }

    /// Takes the next option if it is `IFEQ`, `IFNE`, `IFDEQ` or `IFDNE` with its operand.
    pub(super) fn read_comparison(
        slot: &mut Option<Condition<'a>>,
        rest: &mut Cursor<'a>,
    ) -> Result<bool, Error> {
        let new = if rest.word("IFEQ") {
            Condition::Equal(rest.next()?)
        } else if rest.word("IFNE") {
            Condition::NotEqual(rest.next()?)
        } else if rest.word("IFDEQ") {
            Condition::Digest(read_digest(rest.next()?)?)
        } else if rest.word("IFDNE") {
            Condition::NotDigest(read_digest(rest.next()?)?)
        } else {
            return Ok(false);
        };
        if slot.is_some() {
            return Err(Error::SYNTAX);
        }
        *slot = Some(new);
        Ok(true)
    }

    /// `NX` or `XX`.
    pub(super) fn is_presence(self) -> bool {
        matches!(self, Condition::Absent | Condition::Present)
    }

    /// Whether the condition is met. An absent key differs from every value.
    pub(super) fn holds(self, entry: Option<&Entry>) -> Result<bool, Error> {
        let text = match (self, entry) {
            (Condition::Absent, _) => return Ok(entry.is_none()),
            (Condition::Present, _) => return Ok(entry.is_some()),
            (Condition::Equal(_) | Condition::Digest(_), None) => return Ok(false),
            (_, None) => return Ok(true),
            (_, Some(entry)) => Text::of(entry.payload()).ok_or(Error::WRONG_TYPE)?,
        };
        Ok(match self {
            Condition::Equal(value) => *text == *value,
            Condition::NotEqual(value) => *text != *value,
            Condition::Digest(digest) => xxh3_64(&text) == digest,
            Condition::NotDigest(digest) => xxh3_64(&text) != digest,
            Condition::Absent | Condition::Present => false,
        })
    }
}

/// A digest as DIGEST prints it, in either case.
fn read_digest(text: &[u8]) -> Result<u64, Error> {
    const BAD: Error = Error::new("ERR digest must be exactly 16 hexadecimal characters");
    if text.len() != 16 || !text.iter().all(u8::is_ascii_hexdigit) {
        return Err(BAD);
    }
    let text = std::str::from_utf8(text).map_err(|_| BAD)?;
    u64::from_str_radix(text, 16).map_err(|_| BAD)
}

/// `DIGEST key`: XXH3 of the string, in hexadecimal.
pub(super) fn digest(ctx: &mut Ctx<'_>) -> Outcome {
    match ctx.db.read_str(&ctx.args[1])? {
        Some(text) => ctx.out.bulk(format!("{:016x}", xxh3_64(&text)).as_bytes()),
        None => ctx.out.null(),
    }
    Ok(())
}

/// `DELEX key [IFEQ v|IFNE v|IFDEQ d|IFDNE d]`: without a condition, DEL of any type.
pub(super) fn delex(ctx: &mut Ctx<'_>) -> Outcome {
    if ctx.args.len() != 2 && ctx.args.len() != 4 {
        return Err(Error::arity("delex"));
    }
    let mut condition = None;
    let mut rest = ctx.args.cursor(2);
    if !rest.done() && !Condition::read_comparison(&mut condition, &mut rest)? {
        return Err("ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE".into());
    }
    delete_if(ctx, condition)
}

/// `DELIFEQ key value`
pub(super) fn delifeq(ctx: &mut Ctx<'_>) -> Outcome {
    let value = ctx.args.get(2);
    delete_if(ctx, Some(Condition::Equal(value)))
}

/// Deletes the key if it is there and the condition is met, and replies how many keys went.
fn delete_if(ctx: &mut Ctx<'_>, condition: Option<Condition<'_>>) -> Outcome {
    let key = ctx.args.get(1);
    let met = match ctx.db.look(key) {
        None => false,
        Some(entry) => condition.map_or(Ok(true), |c| c.holds(Some(entry)))?,
    };
    if met {
        ctx.db.unlink(key);
        ctx.db.effect(Class::GENERIC, "del", key, 1);
        ctx.db.log(&[b"DEL", key]);
    }
    ctx.out.int(i64::from(met));
    Ok(())
}
