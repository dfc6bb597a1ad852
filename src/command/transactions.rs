//! Transactions: MULTI, EXEC, DISCARD, WATCH, UNWATCH.
//!
//! Queued commands are copied into the client's [`Multi`]; EXEC runs them inside of itself, so that
//! they are one unit of the log and nobody is served in between.

use super::ctx::{Ctx, Outcome};
use super::error::Error;
use super::spec::{Group, KeySpec, Spec, cats, flags, key};
use crate::dispatch::client::ClientFlags;
use crate::dispatch::gate;
use crate::dispatch::run::Runner;
use crate::dispatch::watch::{Multi, WatchedKey};

const ROW: Spec = Spec {
    group: Group::Transactions,
    ..Spec::BLANK
};

pub static TABLE: &[Spec] = &[
    Spec {
        name: "discard",
        since: "2.0.0",
        arity: 1,
        flags: flags!(NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY),
        categories: cats!(TRANSACTION),
        summary: "Drops the queued commands of a transaction.",
        complexity: "O(N)",
        run: discard,
        ..ROW
    },
    Spec {
        name: "exec",
        since: "1.2.0",
        arity: 1,
        flags: flags!(NOSCRIPT | LOADING | STALE | SKIP_SLOWLOG),
        categories: cats!(TRANSACTION),
        summary: "Runs the queued commands of a transaction.",
        run: exec,
        ..ROW
    },
    Spec {
        name: "multi",
        since: "1.2.0",
        arity: 1,
        flags: flags!(NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY),
        categories: cats!(TRANSACTION),
        summary: "Begins a transaction.",
        complexity: "O(1)",
        run: multi,
        ..ROW
    },
    Spec {
        name: "unwatch",
        since: "2.2.0",
        arity: 1,
        flags: flags!(NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY),
        categories: cats!(TRANSACTION),
        summary: "Forgets all watched keys.",
        complexity: "O(1)",
        run: unwatch,
        ..ROW
    },
    Spec {
        name: "watch",
        since: "2.2.0",
        arity: -2,
        flags: flags!(NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY),
        categories: cats!(TRANSACTION),
        keys: &[KeySpec::range(key!(RO), 1, -1, 1)],
        summary: "Watches keys, so that EXEC fails if one of them changes.",
        complexity: "O(1)",
        syntax: "key/k0...",
        run: watch,
        ..ROW
    },
];

/// `MULTI`
fn multi(ctx: &mut Ctx<'_>) -> Outcome {
    if let Some(multi) = &mut ctx.client.multi {
        multi.aborted = true;
        return Err(Error::new("ERR MULTI calls can not be nested"));
    }
    ctx.client.multi = Some(Box::default());
    ctx.out.ok();
    Ok(())
}

/// `DISCARD`
fn discard(ctx: &mut Ctx<'_>) -> Outcome {
    if ctx.client.multi.is_none() {
        return Err(Error::new("ERR DISCARD without MULTI"));
    }
    ctx.core.discard(ctx.client);
    ctx.out.ok();
    Ok(())
}

/// `WATCH key [key …]`
fn watch(ctx: &mut Ctx<'_>) -> Outcome {
    if let Some(multi) = &mut ctx.client.multi {
        multi.aborted = true;
        return Err(Error::new("ERR WATCH inside MULTI is not allowed"));
    }
    // The transaction is spoilt already: more keys change nothing.
    if !ctx.client.is(ClientFlags::DIRTY_CAS) {
        for key in ctx.args.from(1).iter() {
            let watched = WatchedKey {
                db: ctx.client.db,
                key: key.to_vec(),
                existed: ctx.db.peek(key).is_some(),
            };
            ctx.core.watched.add(ctx.client, watched);
        }
    }
    ctx.out.ok();
    Ok(())
}

/// `UNWATCH`
fn unwatch(ctx: &mut Ctx<'_>) -> Outcome {
    ctx.core.watched.forget(ctx.client);
    ctx.out.ok();
    Ok(())
}

/// A watched key that was there is gone now because its time is over.
fn watched_key_expired(ctx: &mut Ctx<'_>) -> bool {
    let keys = ctx.client.watching.iter();
    let mut existed = keys.filter(|watched| watched.existed);
    existed.any(|watched| ctx.db.ks.at(watched.db).peek(&watched.key).is_none())
}

/// `EXEC`
fn exec(ctx: &mut Ctx<'_>) -> Outcome {
    if ctx.client.multi.is_none() {
        return Err(Error::new("ERR EXEC without MULTI"));
    }
    let dirty = ctx.client.is(ClientFlags::DIRTY_CAS) || watched_key_expired(ctx);
    ctx.core.watched.forget(ctx.client);
    let Some(multi) = ctx.client.multi.take() else {
        return Ok(());
    };
    if multi.aborted {
        return Err(Error::new(
            "EXECABORT Transaction discarded because of previous errors.",
        ));
    }
    if dirty {
        ctx.out.null_array();
        return Ok(());
    }
    run_all(ctx, &multi);
    Ok(())
}

fn run_all(ctx: &mut Ctx<'_>, multi: &Multi) {
    ctx.out.array(multi.commands.len());
    for (at, command) in multi.commands.iter().enumerate() {
        let args = multi.batch.args(at);
        // Rights may have changed since the command was queued.
        let mut runner = Runner {
            ks: &mut *ctx.db.ks,
            core: &mut *ctx.core,
        };
        let call = gate::Call {
            client: ctx.client,
            command,
            flags: command.flags,
            args,
        };
        match gate::check_queued(&mut runner, &call) {
            Ok(()) => ctx.nest(command, args),
            Err(error) => ctx.out.error(error.as_bytes()),
        }
    }
}
