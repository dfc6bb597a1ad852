//! BGREWRITEAOF, WAITAOF.

use crate::aof::{rewrite, state};
use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::command::spec::{Group, Spec, cats, flags};
use crate::dispatch::blocked::{Block, Wait};
use crate::dispatch::client::Client;
use crate::dispatch::core::Core;
use crate::resp::reply::Reply;

const ROW: Spec = Spec {
    group: Group::Server,
    ..Spec::BLANK
};

pub static TABLE: &[Spec] = &[
    Spec {
        name: "bgrewriteaof",
        since: "1.0.0",
        arity: 1,
        flags: flags!(ADMIN | NOSCRIPT | NO_ASYNC_LOADING),
        summary: "Rewrites the append-only file in the background, as short as the data allows.",
        complexity: "O(1)",
        run: bgrewriteaof,
        ..ROW
    },
    Spec {
        name: "waitaof",
        group: Group::Generic,
        since: "7.2.0",
        arity: 4,
        flags: flags!(BLOCKING),
        categories: cats!(CONNECTION),
        tips: &["request_policy:all_shards", "response_policy:agg_min"],
        summary: "Waits until the connection's writes are synced to append-only files here and on replicas.",
        complexity: "O(1)",
        syntax: "numlocal/i numreplicas/i timeout/i",
        run: waitaof,
        ..ROW
    },
];

fn bgrewriteaof(ctx: &mut Ctx<'_>) -> Outcome {
    if ctx.core.aof.job.is_some() {
        return Err(Error::new(
            "ERR Background append only file rewriting already in progress",
        ));
    }
    match rewrite::start(ctx.core) {
        Ok(()) => {
            ctx.out
                .simple("Background append only file rewriting started");
            Ok(())
        }
        Err(error) => {
            tracing::warn!("Can't rewrite the AOF: {error}");
            ctx.core.aof.failed();
            Err(Error::new(
                "ERR Can't execute an AOF background rewriting. Please check the server logs for more information.",
            ))
        }
    }
}

/// `WAITAOF numlocal numreplicas timeout`. Replicas are none.
fn waitaof(ctx: &mut Ctx<'_>) -> Outcome {
    const RANGE: Error = Error::new("ERR value is out of range, value must between 0 and 1");
    let local = ctx
        .args
        .int(1)
        .ok()
        .filter(|n| (0..=1).contains(n))
        .ok_or(RANGE)?;
    let replicas = ctx
        .args
        .int(2)
        .ok()
        .filter(|n| (0..=i64::from(i32::MAX)).contains(n));
    let replicas = replicas.ok_or(Error::new("ERR value is out of range, must be positive"))?;
    let timeout = num_timeout(ctx)?;
    if local > 0 && !ctx.core.config.appendonly {
        return Err(Error::new(state::NO_LOCAL));
    }
    let synced = is_synced(ctx.core, ctx.client);
    if replicas == 0 && (local == 0 || synced) {
        state::waitaof_reply(ctx.out, synced);
        return Ok(());
    }
    if ctx.core.depth == 0 && replicas == 0 {
        ctx.core
            .aof
            .waiters
            .push((ctx.client.id, ctx.client.log_offset));
    }
    ctx.block(Block {
        wait: Wait::Other("waitaof"),
        timeout_ms: timeout,
        on_timeout,
    });
    Ok(())
}

fn num_timeout(ctx: &Ctx<'_>) -> Result<Option<i64>, Error> {
    let ms = ctx
        .args
        .int(3)
        .map_err(|_| Error::new("ERR timeout is not an integer or out of range"))?;
    match ms {
        0 => Ok(None),
        ms if ms < 0 => Err(Error::new("ERR timeout is negative")),
        ms if ctx.core.now_ms().checked_add(ms).is_none() => {
            Err(Error::new("ERR timeout is out of range"))
        }
        ms => Ok(Some(ms)),
    }
}

fn is_synced(core: &Core, client: &Client) -> bool {
    core.aof.writer.is_some() && !core.aof.waits_for_base && client.log_offset <= core.aof.synced()
}

fn on_timeout(core: &Core, client: &Client, out: &mut Reply) {
    state::waitaof_reply(out, is_synced(core, client));
}

#[cfg(test)]
mod tests {
    use crate::command::testing::Bench;

    #[test]
    fn waitaof_checks_its_arguments() {
        let mut bench = Bench::new();
        for (call, reply) in [
            (
                "WAITAOF 2 0 0",
                "-ERR value is out of range, value must between 0 and 1",
            ),
            (
                "WAITAOF -1 0 0",
                "-ERR value is out of range, value must between 0 and 1",
            ),
            ("WAITAOF 0 0 -1", "-ERR timeout is negative"),
            (
                "WAITAOF 1 0 0",
                "-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.",
            ),
            ("WAITAOF 0 0 0", "*2 :0 :0"),
        ] {
            assert_eq!(bench.say(call), reply, "{call}");
        }
    }
}
