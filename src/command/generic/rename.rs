//! Other names and other places for a value: RENAME, MOVE, COPY. All take the value as a whole, whatever its size.

use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::keyspace::effect::Class;

const SAME_OBJECT: Error = Error::new("ERR source and destination objects are the same");
const NO_SUCH_DB: Error = Error::new("ERR DB index is out of range");

/// Renames; false if the new name is taken and must not be.
fn rename_key(ctx: &mut Ctx<'_>, may_replace: bool) -> Result<bool, Error> {
    let (from, to) = (ctx.args.get(1), ctx.args.get(2));
    if !ctx.db.exists(from) {
        return Err(Error::NO_SUCH_KEY);
    }
    if from == to {
        return Ok(may_replace);
    }
    if ctx.db.exists(to) && !may_replace {
        return Ok(false);
    }
    if let Some(entry) = ctx.db.take(from) {
        ctx.db.put(entry.renamed(to));
    }
    ctx.db.changed(from, 0);
    ctx.db.effect(Class::GENERIC, "rename_from", from, 0);
    ctx.db.effect(Class::GENERIC, "rename_to", to, 1);
    Ok(true)
}

/// `RENAME key newkey`
pub(super) fn rename(ctx: &mut Ctx<'_>) -> Outcome {
    rename_key(ctx, true)?;
    ctx.out.ok();
    Ok(())
}

/// `RENAMENX key newkey`
pub(super) fn renamenx(ctx: &mut Ctx<'_>) -> Outcome {
    let renamed = rename_key(ctx, false)?;
    ctx.out.int(i64::from(renamed));
    Ok(())
}

/// A database number from an argument.
fn database(ctx: &Ctx<'_>, number: i32) -> Result<usize, Error> {
    let fits = |n: &usize| *n < ctx.db.ks.dbs.len();
    usize::try_from(number).ok().filter(fits).ok_or(NO_SUCH_DB)
}

/// `MOVE key db`
pub(super) fn move_(ctx: &mut Ctx<'_>) -> Outcome {
    let key = ctx.args.get(1);
    let index = database(ctx, ctx.args.int32(2)?)?;
    if index == ctx.db.index {
        return Err(SAME_OBJECT);
    }
    let moves = ctx.db.exists(key) && !ctx.db.other(index).exists(key);
    if moves && let Some(entry) = ctx.db.take(key) {
        ctx.db.other(index).put(entry);
        ctx.db.changed(key, 1);
        ctx.db.effect(Class::GENERIC, "move_from", key, 0);
        let mut there = ctx.db.other(index);
        there.changed(key, 0);
        there.effect(Class::GENERIC, "move_to", key, 0);
    }
    ctx.out.int(i64::from(moves));
    Ok(())
}

/// `COPY source destination [DB db] [REPLACE]`
pub(super) fn copy(ctx: &mut Ctx<'_>) -> Outcome {
    let (from, to) = (ctx.args.get(1), ctx.args.get(2));
    let (mut index, mut replace) = (ctx.db.index, false);
    let mut rest = ctx.args.cursor(3);
    while !rest.done() {
        if rest.word("REPLACE") {
            replace = true;
        } else if rest.left() > 1 && rest.word("DB") {
            index = database(ctx, rest.int32()?)?;
        } else {
            return Err(Error::SYNTAX);
        }
    }
    if index == ctx.db.index && from == to {
        return Err(SAME_OBJECT);
    }
    // The copy shares what is large with its source until one of both changes.
    let copy = ctx.db.read(from).map(|entry| entry.renamed(to));
    let copied = match copy {
        Some(copy) if replace || !ctx.db.other(index).exists(to) => {
            copy.set_clock(ctx.db.ks.access.fresh(ctx.now_ms()));
            let mut there = ctx.db.other(index);
            there.put(copy);
            there.effect(Class::GENERIC, "copy_to", to, 1);
            true
        }
        _ => false,
    };
    ctx.out.int(i64::from(copied));
    Ok(())
}
