//! SAVE, BGSAVE, LASTSAVE.

use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::command::spec::{Group, Spec, cats, flags};
use crate::rdb::save;

const ROW: Spec = Spec {
    group: Group::Server,
    ..Spec::BLANK
};

const IN_PROGRESS: Error = Error::new("ERR Background save already in progress");

pub static TABLE: &[Spec] = &[
    Spec {
        name: "bgsave",
        since: "1.0.0",
        arity: -1,
        flags: flags!(ADMIN | NOSCRIPT | NO_ASYNC_LOADING),
        history: &[("3.2.2", "Added `SCHEDULE`.")],
        summary: "Saves the data set to the RDB file in the background.",
        complexity: "O(1)",
        syntax: "[SCHEDULE@3.2.2]",
        run: bgsave,
        ..ROW
    },
    Spec {
        name: "lastsave",
        since: "1.0.0",
        arity: 1,
        flags: flags!(LOADING | STALE | FAST),
        categories: cats!(ADMIN | DANGEROUS),
        tips: &["nondeterministic_output"],
        summary: "Returns the Unix time of the last successful save.",
        complexity: "O(1)",
        run: lastsave,
        ..ROW
    },
    Spec {
        name: "save",
        since: "1.0.0",
        arity: 1,
        flags: flags!(ADMIN | NOSCRIPT | NO_ASYNC_LOADING | NO_MULTI),
        summary: "Saves the data set to the RDB file at once, while all clients wait.",
        complexity: "O(N)",
        run: save_now,
        ..ROW
    },
];

/// A save shares nothing with other jobs but the data: it never has to wait for one, and SCHEDULE changes nothing.
fn bgsave(ctx: &mut Ctx<'_>) -> Outcome {
    match ctx.args.len() {
        1 => {}
        2 if ctx.args.is(1, "SCHEDULE") => {}
        _ => return Err(Error::SYNTAX),
    }
    if ctx.core.rdb.job.is_some() {
        return Err(IN_PROGRESS);
    }
    match save::start(ctx.db.ks, ctx.core) {
        Ok(()) => ctx.out.simple("Background saving started"),
        Err(error) => return Err(Error::text(format!("ERR {error}"))),
    }
    Ok(())
}

fn save_now(ctx: &mut Ctx<'_>) -> Outcome {
    if ctx.core.rdb.job.is_some() {
        return Err(IN_PROGRESS);
    }
    save::now(ctx.db.ks, ctx.core).map_err(|_| Error::new("ERR"))?;
    ctx.out.ok();
    Ok(())
}

fn lastsave(ctx: &mut Ctx<'_>) -> Outcome {
    ctx.out.int(ctx.core.last_save_s);
    Ok(())
}
