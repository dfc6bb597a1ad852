//! BGREWRITEAOF, WAITAOF.

use crate::aof::{rewrite, state};
use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::command::spec::{Group, Spec, cats, flags};
use crate::dispatch::blocked::{Block, Wait};

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

/// `WAITAOF numlocal numreplicas timeout`
fn waitaof(ctx: &mut Ctx<'_>) -> Outcome {
    const RANGE: Error = Error::new("ERR value is out of range, value must between 0 and 1");
    let local = ctx
        .args
        .int(1)
        .ok()
        .filter(|n| (0..=1).contains(n))
        .ok_or(RANGE)?
        > 0;
    let replicas = ctx.args.int(2).ok().and_then(|n| usize::try_from(n).ok());
    let replicas = replicas.ok_or(Error::new("ERR value is out of range, must be positive"))?;
    let timeout_ms = ctx.timeout_ms(3)?;
    if ctx.core.repl.is_replica() {
        return Err(Error::new(
            "ERR WAITAOF cannot be used with replica instances. Please also note that writes to replicas are just local and are not propagated.",
        ));
    }
    if local && !ctx.core.config.appendonly {
        return Err(Error::new(state::NO_LOCAL));
    }
    let offset = ctx.client.log_offset;
    let there = ctx.core.synced_copies(offset);
    if there.0 >= local && there.1 >= replicas || ctx.core.depth > 0 {
        state::waitaof_reply(ctx.out, there);
        return Ok(());
    }
    ctx.core.repl.ask_replicas |= replicas > 0;
    ctx.core.aof.waiters.push(state::Waiter {
        id: ctx.client.id,
        offset,
        local,
        replicas,
    });
    ctx.block(Block {
        wait: Wait::Other("waitaof"),
        timeout_ms,
        on_timeout: |core, client, out| {
            state::waitaof_reply(out, core.synced_copies(client.log_offset))
        },
    });
    Ok(())
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
