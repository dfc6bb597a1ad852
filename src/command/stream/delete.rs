//! Deleting with regard to groups: XDELEX and XACKDEL.

use smallvec::SmallVec;

use super::add::delete;
use super::{EVENTS, references, strict_id};
use crate::base::num;
use crate::command::args::Args;
use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::value::stream::{References, Stream, StreamId, StreamMut};

/// What became of an entry, as the reply says it.
const NOT_THERE: i64 = -1;
const DELETED: i64 = 1;
/// It stays, because a group still needs it.
const REFERENCED: i64 = 2;

type Ids = SmallVec<[StreamId; 16]>;

/// Reads `[KEEPREF|DELREF|ACKED] IDS numids id …` from `at` on.
fn read<'a>(ctx: &Ctx<'a>, at: usize) -> Result<(References, Args<'a>), Error> {
    let mut kind = None;
    let mut ids = None;
    let mut rest = ctx.args.cursor(at);
    while !rest.done() {
        if rest.left() > 1 && rest.word("IDS") {
            let count = num::parse_i64(rest.next()?).and_then(|n| usize::try_from(n).ok());
            let count = count.filter(|&n| n > 0);
            let count = count.ok_or(Error::new("ERR Number of IDs must be a positive integer"))?;
            if count > rest.left() {
                return Err(Error::new(
                    "ERR The `numids` parameter must match the number of arguments",
                ));
            }
            let begin = rest.at();
            for _ in 0..count {
                rest.next()?;
            }
            ids = Some(begin..begin + count);
        } else if let Some(found) = references(rest.next()?).filter(|_| kind.is_none()) {
            kind = Some(found);
        } else {
            return Err(Error::SYNTAX);
        }
    }
    let ids = ctx.args.slice(ids.ok_or(Error::SYNTAX)?);
    Ok((kind.unwrap_or_default(), ids))
}

fn parse(ids: Args<'_>) -> Result<Ids, Error> {
    ids.iter().map(|text| strict_id(text, 0)).collect()
}

/// Deletes one entry as far as that is allowed.
fn delete_one(stream: &mut Stream, id: StreamId, kind: References) -> i64 {
    if kind == References::Acked && stream.get(id).is_some() && stream.is_referenced(id) {
        return REFERENCED;
    }
    let gone = delete(stream, id);
    if kind == References::Delete {
        stream.release_everywhere(id);
    }
    if gone { DELETED } else { NOT_THERE }
}

/// `XDELEX key [KEEPREF|DELREF|ACKED] IDS numids id [id …]`
pub(super) fn xdelex(ctx: &mut Ctx<'_>) -> Outcome {
    let key = ctx.args.get(1);
    ctx.db.expire_if_due(key);
    let there = ctx.db.peek_as::<StreamMut>(key)?.is_some();
    let (kind, ids) = read(ctx, 2)?;
    let mut done: SmallVec<[i64; 16]> = SmallVec::from_elem(NOT_THERE, ids.len());
    let mut changes = 0;
    if there {
        let ids = parse(ids)?;
        changes = ctx.db.update(key, |stream: &mut StreamMut| {
            let mut changes = 0;
            for (&id, done) in ids.iter().zip(&mut done) {
                let pending = kind == References::Delete && stream.is_pending(id);
                *done = delete_one(stream, id, kind);
                changes += usize::from(*done == DELETED || pending);
            }
            changes
        })?;
    }
    finish(ctx, key, &done, changes);
    Ok(())
}

/// `XACKDEL key group [KEEPREF|DELREF|ACKED] IDS numids id [id …]`
pub(super) fn xackdel(ctx: &mut Ctx<'_>) -> Outcome {
    let (key, name) = (ctx.args.get(1), ctx.args.get(2));
    let stream = ctx.db.read_as::<StreamMut>(key)?;
    let there = stream.is_some_and(|stream| stream.group(name).is_some());
    let (kind, ids) = read(ctx, 3)?;
    let mut done: SmallVec<[i64; 16]> = SmallVec::from_elem(NOT_THERE, ids.len());
    let mut changes = 0;
    if there {
        let ids = parse(ids)?;
        changes = ctx.db.update(key, |stream: &mut StreamMut| {
            let mut changes = 0;
            for (&id, done) in ids.iter().zip(&mut done) {
                if stream.change_group(name, |group| group.release(id)) != Some(true) {
                    continue;
                }
                changes += 1;
                // That it was acknowledged counts, also if the entry itself was gone before.
                *done = match delete_one(stream, id, kind) {
                    REFERENCED => REFERENCED,
                    _ => DELETED,
                };
            }
            changes
        })?;
    }
    finish(ctx, key, &done, changes);
    Ok(())
}

fn finish(ctx: &mut Ctx<'_>, key: &[u8], done: &[i64], changes: usize) {
    if done.contains(&DELETED) {
        ctx.db.effect(EVENTS, "xdel", key, changes);
    } else {
        ctx.db.counted(changes);
    }
    ctx.out.array(done.len());
    done.iter().for_each(|&n| ctx.out.int(n));
}
