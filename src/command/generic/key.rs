//! Keys as such: whether they exist, of which type they are, one at random, deleting them.

use crate::command::ctx::{Ctx, Outcome};
use crate::keyspace::effect::Class;

/// `DEL key [key …]`
pub(super) fn del(ctx: &mut Ctx<'_>) -> Outcome {
    let mut deleted = 0;
    for key in ctx.args.from(1).iter() {
        if ctx.db.delete(key) {
            ctx.db.effect(Class::GENERIC, "del", key, 1);
            deleted += 1;
        }
    }
    ctx.out.int(deleted);
    Ok(())
}

/// `UNLINK key [key …]`: the same as DEL, which leaves freeing large values to another thread too.
pub(super) fn unlink(ctx: &mut Ctx<'_>) -> Outcome {
    del(ctx)
}

/// Counts the keys that exist; a key that is named twice counts twice.
fn count(ctx: &mut Ctx<'_>) -> Outcome {
    let args = ctx.args.from(1);
    let there = args.iter().filter(|key| ctx.db.read(key).is_some()).count();
    ctx.out.count(there);
    Ok(())
}

/// `EXISTS key [key …]`: not an access.
pub(super) fn exists(ctx: &mut Ctx<'_>) -> Outcome {
    ctx.db.no_touch = true;
    count(ctx)
}

/// `TOUCH key [key …]`: an access even under `CLIENT NO-TOUCH`.
pub(super) fn touch(ctx: &mut Ctx<'_>) -> Outcome {
    ctx.db.no_touch = false;
    count(ctx)
}

/// `TYPE key`
pub(super) fn type_(ctx: &mut Ctx<'_>) -> Outcome {
    ctx.db.no_touch = true;
    let found = ctx.db.read(&ctx.args[1]);
    ctx.out
        .simple(found.map_or("none", |entry| entry.payload().value_type().name()));
    Ok(())
}

/// `RANDOMKEY`
pub(super) fn randomkey(ctx: &mut Ctx<'_>) -> Outcome {
    let key = ctx.db.random_key();
    ctx.out.bulk_or_null(key.as_deref());
    Ok(())
}
