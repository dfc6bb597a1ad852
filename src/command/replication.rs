//! The commands of replication: REPLICAOF, ROLE, FAILOVER, WAIT, and those that servers send each
//! other: PSYNC, SYNC, REPLCONF.

use super::ctx::{Ctx, Outcome};
use super::error::Error;
use super::spec::{DocFlags, Group, Spec, cats, flags};
use crate::base::num;
use crate::dispatch::blocked::{Block, Wait};
use crate::dispatch::client::ClientFlags;
use crate::replication::failover::Failover;
use crate::replication::follow::LinkState;
use crate::replication::master::Waiter;

const ROW: Spec = Spec {
    group: Group::Server,
    ..Spec::BLANK
};

pub static TABLE: &[Spec] = &[
    Spec {
        name: "failover",
        since: "6.2.0",
        arity: -1,
        flags: flags!(ADMIN | NOSCRIPT | STALE),
        summary: "Hands the role of master over to one of the replicas.",
        complexity: "O(1)",
        syntax: "[TO:target{host port/i [FORCE]}] [ABORT] [TIMEOUT:milliseconds/i]",
        run: failover,
        ..ROW
    },
    Spec {
        name: "psync",
        since: "2.8.0",
        arity: -3,
        flags: flags!(ADMIN | NOSCRIPT | NO_ASYNC_LOADING | NO_MULTI),
        summary: "Starts or resumes replication; replicas send it.",
        syntax: "replicationid offset/i",
        run: psync,
        ..ROW
    },
    Spec {
        name: "replconf",
        since: "3.0.0",
        arity: -1,
        flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE | ALLOW_BUSY),
        doc_flags: DocFlags::SYSCMD,
        summary: "Exchanges settings and progress of replication; replicas and masters send it.",
        complexity: "O(1)",
        run: replconf,
        ..ROW
    },
    Spec {
        name: "replicaof",
        since: "5.0.0",
        arity: -3,
        flags: flags!(ADMIN | NOSCRIPT | STALE | NO_ASYNC_LOADING),
        summary: "Makes the server a replica of another, or a master again.",
        complexity: "O(1)",
        syntax: "args<host-port{host port/i}|no-one{NO ONE}>",
        run: replicaof,
        ..ROW
    },
    Spec {
        name: "role",
        since: "2.8.12",
        arity: 1,
        flags: flags!(NOSCRIPT | LOADING | STALE | FAST),
        categories: cats!(ADMIN | DANGEROUS),
        summary: "Returns the role of the server in replication and its state.",
        complexity: "O(1)",
        run: role,
        ..ROW
    },
    Spec {
        name: "slaveof",
        since: "1.0.0",
        arity: -3,
        flags: flags!(ADMIN | NOSCRIPT | STALE | NO_ASYNC_LOADING),
        doc_flags: DocFlags::DEPRECATED,
        deprecated_since: "5.0.0",
        replaced_by: "`REPLICAOF`",
        summary: "Makes the server a replica of another, or a master again.",
        complexity: "O(1)",
        syntax: "args<host-port{host port/i}|no-one{NO ONE}>",
        run: slaveof,
        ..ROW
    },
    Spec {
        name: "sync",
        since: "1.0.0",
        arity: 1,
        flags: flags!(ADMIN | NOSCRIPT | NO_ASYNC_LOADING | NO_MULTI),
        summary: "Starts a full replication in the old manner; replicas send it.",
        run: sync,
        ..ROW
    },
    Spec {
        name: "wait",
        since: "3.0.0",
        arity: 3,
        flags: flags!(BLOCKING),
        categories: cats!(CONNECTION),
        tips: &["request_policy:all_shards", "response_policy:agg_min"],
        summary: "Waits until replicas have acknowledged the connection's writes.",
        complexity: "O(1)",
        syntax: "numreplicas/i timeout/i",
        run: wait,
        group: Group::Generic,
        ..ROW
    },
];

/// `REPLICAOF host port [ACCEPT-DATA-LOSS]`, `REPLICAOF NO ONE`
fn replicaof(ctx: &mut Ctx<'_>) -> Outcome {
    let accept_loss = ctx.args.len() == 4 && ctx.args.is(3, "ACCEPT-DATA-LOSS");
    if ctx.args.len() != 3 && !accept_loss {
        return Err(Error::arity(ctx.command.spec.name));
    }
    if ctx.core.repl.failover.is_some() {
        return Err(Error::new("ERR REPLICAOF not allowed while failing over."));
    }
    if ctx.args.is(1, "NO") && ctx.args.is(2, "ONE") {
        if ctx.core.repl.is_replica() {
            ctx.runner().become_master();
            tracing::warn!(
                "MASTER MODE enabled (user request from '{}')",
                super::client_info::line(ctx.client, ctx.core)
            );
        }
        ctx.out.ok();
        return Ok(());
    }
    if ctx.client.is(ClientFlags::REPLICA) {
        return Err(Error::new(
            "ERR Command is not valid when client is a replica.",
        ));
    }
    let port = num::parse_i64(ctx.args.get(2)).and_then(|port| u16::try_from(port).ok());
    let port = port.ok_or(Error::new("ERR Invalid master port"))?;
    let host = std::str::from_utf8(ctx.args.get(1)).map_err(|_| Error::SYNTAX)?;
    if let Some(following) = &mut ctx.core.repl.following
        && following.host == host
        && following.port == port
    {
        following.accept_loss |= accept_loss;
        ctx.out.simple("OK Already connected to specified master");
        return Ok(());
    }
    ctx.runner()
        .follow(host, port, accept_loss, false)
        .map_err(Error::text)?;
    tracing::warn!(
        "REPLICAOF {host}:{port} enabled (user request from '{}')",
        super::client_info::line(ctx.client, ctx.core)
    );
    ctx.out.ok();
    Ok(())
}

/// `SLAVEOF host port`
fn slaveof(ctx: &mut Ctx<'_>) -> Outcome {
    replicaof(ctx)
}

/// `ROLE`
fn role(ctx: &mut Ctx<'_>) -> Outcome {
    if ctx.core.sentinel.is_some() {
        return super::sentinel::role(ctx);
    }
    let offset = ctx.db.ks.log.offset();
    let (repl, out) = (&ctx.core.repl, &mut *ctx.out);
    if let Some(following) = &repl.following {
        out.array(5);
        out.bulk(b"slave");
        out.bulk(following.host.as_bytes());
        out.int(i64::from(following.port));
        out.bulk(following.state.name().as_bytes());
        let up = following.state == LinkState::Connected;
        out.int(if up { offset as i64 } else { -1 });
        return Ok(());
    }
    out.array(3);
    out.bulk(b"master");
    out.int(offset as i64);
    let online: Vec<_> = repl.online().collect();
    out.array(online.len());
    for replica in online {
        let (ip, port) = replica.address();
        out.array(3);
        out.bulk(ip.as_bytes());
        out.bulk(port.to_string().as_bytes());
        out.bulk(replica.ack.to_string().as_bytes());
    }
    Ok(())
}

/// What a server that cannot give data now says.
fn check_source(ctx: &Ctx<'_>) -> Outcome {
    match &ctx.core.repl.following {
        Some(following) if !following.is_up() => Err(Error::new(
            "NOMASTERLINK Can't SYNC while not connected with my master",
        )),
        _ => Ok(()),
    }
}

/// `PSYNC replicationid offset [FAILOVER]`
fn psync(ctx: &mut Ctx<'_>) -> Outcome {
    if ctx.client.is(ClientFlags::REPLICA) {
        return Ok(());
    }
    let next = ctx.args.int(2).inspect_err(|_| {
        let about = ctx.core.repl.introduced.get(&ctx.client.id);
        let port = about.map_or(0, |about| about.port);
        tracing::warn!(
            "Replica {} (port {port}) asks for synchronization but with a wrong offset",
            ctx.client.conn.addr
        );
    })?;
    let id = String::from_utf8_lossy(ctx.args.get(1)).into_owned();
    if ctx.args.len() > 3 {
        if !ctx.args.is(3, "FAILOVER") {
            return Err(Error::SYNTAX);
        }
        let ours = ctx.core.repl.history.id.clone();
        if !ctx.core.repl.is_replica() {
            return Err(Error::new("ERR PSYNC FAILOVER can't be sent to a master."));
        }
        if !id.eq_ignore_ascii_case(&ours) {
            return Err(Error::new(
                "ERR PSYNC FAILOVER replid must match my replid.",
            ));
        }
        tracing::warn!("Failover request received; becoming the master");
        ctx.runner().become_master();
    }
    check_source(ctx)?;
    let asked = next
        .checked_sub(1)
        .and_then(|offset| u64::try_from(offset).ok());
    let asked = asked.filter(|_| id != "?");
    let asked = asked.map(|offset| (id.as_str(), offset));
    ctx.attach_replica(asked, false);
    Ok(())
}

/// `SYNC`
fn sync(ctx: &mut Ctx<'_>) -> Outcome {
    if ctx.client.is(ClientFlags::REPLICA) {
        return Ok(());
    }
    check_source(ctx)?;
    ctx.attach_replica(None, true);
    Ok(())
}

/// `REPLCONF option value [option value …]`
fn replconf(ctx: &mut Ctx<'_>) -> Outcome {
    if ctx.args.len().is_multiple_of(2) {
        return Err(Error::SYNTAX);
    }
    let id = ctx.client.id;
    for at in (1..ctx.args.len()).step_by(2) {
        let value = ctx.args.get(at + 1);
        let flag = |value: &[u8]| num::parse_i64(value).filter(|n| (0..=1).contains(n));
        if ctx.args.is(at, "ack") {
            return ack(ctx, at);
        }
        if ctx.args.is(at, "getack") {
            if ctx.client.is(ClientFlags::MASTER) {
                ctx.runner().master_asks();
            }
            return Ok(());
        }
        let intro = ctx.core.repl.introduced.entry(id).or_default();
        if ctx.args.is(at, "listening-port") {
            let port = ctx.args.int(at + 1)?;
            intro.port = u16::try_from(port).map_err(|_| Error::OUT_OF_RANGE)?;
        } else if ctx.args.is(at, "ip-address") {
            if value.len() > 255 {
                return Err(Error::text(format!(
                    "ERR REPLCONF ip-address provided by replica instance is too long: {} bytes",
                    value.len()
                )));
            }
            intro.ip = String::from_utf8_lossy(value).into_owned();
        } else if ctx.args.is(at, "capa") {
            intro.eof |= value.eq_ignore_ascii_case(b"eof");
            intro.psync2 |= value.eq_ignore_ascii_case(b"psync2");
        } else if ctx.args.is(at, "rdb-only") {
            intro.rdb_only = flag(value).ok_or(Error::NOT_INTEGER)? == 1;
        } else if ctx.args.is(at, "rdb-filter-only") {
            intro.functions_only = read_filter(value)?;
        } else if !ctx.args.is(at, "version") {
            let mut text = b"ERR Unrecognized REPLCONF option: ".to_vec();
            text.extend_from_slice(ctx.args.get(at));
            return Err(Error::bytes(text));
        }
    }
    ctx.out.ok();
    Ok(())
}

/// The parts of the data that are wanted: functions only, or everything.
fn read_filter(value: &[u8]) -> Result<bool, Error> {
    let mut functions = false;
    for word in value.split(|b| *b == b' ').filter(|w| !w.is_empty()) {
        if !word.eq_ignore_ascii_case(b"functions") {
            let mut text = b"ERR Unsupported rdb-filter-only option: ".to_vec();
            text.extend_from_slice(word);
            return Err(Error::bytes(text));
        }
        functions = true;
    }
    Ok(functions)
}

/// `REPLCONF ACK offset [FACK offset]`: no reply.
fn ack(ctx: &mut Ctx<'_>, at: usize) -> Outcome {
    if !ctx.client.is(ClientFlags::REPLICA) {
        return Ok(());
    }
    let number = |at: usize| num::parse_i64(ctx.args.get(at)).and_then(|n| u64::try_from(n).ok());
    let Some(offset) = number(at + 1) else {
        return Ok(());
    };
    let fsynced = (ctx.args.len() > at + 3 && ctx.args.is(at + 2, "fack"))
        .then(|| number(at + 3))
        .flatten();
    let id = ctx.client.id;
    ctx.runner().confirm(id, offset, fsynced);
    ctx.runner().failover_step();
    Ok(())
}

/// `WAIT numreplicas timeout`
fn wait(ctx: &mut Ctx<'_>) -> Outcome {
    if ctx.core.repl.is_replica() {
        return Err(Error::new(
            "ERR WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if a replica is configured to be writable (which is not the default) writes to replicas are just local and are not propagated.",
        ));
    }
    let replicas = ctx.args.int(1)?;
    let timeout_ms = ctx.timeout_ms(2)?;
    let offset = ctx.client.log_offset;
    let confirmed = ctx.core.repl.confirmed(offset);
    if confirmed as i64 >= replicas || ctx.core.depth > 0 {
        ctx.out.int(confirmed as i64);
        return Ok(());
    }
    ctx.core.repl.ask_replicas = true;
    ctx.core.repl.waiting.push(Waiter {
        id: ctx.client.id,
        offset,
        replicas: usize::try_from(replicas).unwrap_or(usize::MAX),
    });
    ctx.block(Block {
        wait: Wait::Other("wait"),
        timeout_ms,
        on_timeout: |core, client, out| {
            out.int(core.repl.confirmed(client.log_offset) as i64);
        },
    });
    Ok(())
}

/// `FAILOVER [TO host port [FORCE]] [ABORT] [TIMEOUT ms]`
fn failover(ctx: &mut Ctx<'_>) -> Outcome {
    let mut rest = ctx.args.cursor(1);
    let (mut target, mut timeout, mut force, mut abort) = (None, None, false, false);
    while !rest.done() {
        if timeout.is_none() && rest.left() >= 2 && rest.word("TIMEOUT") {
            let ms = rest.int()?;
            if ms <= 0 {
                return Err(Error::new("ERR FAILOVER timeout must be greater than 0"));
            }
            timeout = Some(ms);
        } else if ctx.args.len() == 2 && rest.word("ABORT") {
            abort = true;
        } else if target.is_none() && rest.left() >= 3 && rest.word("TO") {
            let host = String::from_utf8_lossy(rest.next()?).into_owned();
            let port = rest.int()?;
            target = Some((host, u16::try_from(port).map_err(|_| Error::OUT_OF_RANGE)?));
        } else if !force && rest.word("FORCE") {
            force = true;
        } else {
            return Err(Error::SYNTAX);
        }
    }
    if abort {
        if ctx.core.repl.failover.is_none() {
            return Err(Error::new("ERR No failover in progress."));
        }
        ctx.runner().abort_failover("Failover manually aborted");
        ctx.out.ok();
        return Ok(());
    }
    begin_failover(ctx, target, timeout, force)
}

fn begin_failover(
    ctx: &mut Ctx<'_>,
    target: Option<(String, u16)>,
    timeout: Option<i64>,
    force: bool,
) -> Outcome {
    if ctx.core.repl.failover.is_some() {
        return Err(Error::new("ERR FAILOVER already in progress."));
    }
    if ctx.core.repl.is_replica() {
        return Err(Error::new(
            "ERR FAILOVER is not valid when server is a replica.",
        ));
    }
    if ctx.core.repl.replicas.is_empty() {
        return Err(Error::new("ERR FAILOVER requires connected replicas."));
    }
    if force && (timeout.is_none() || target.is_none()) {
        return Err(Error::new(
            "ERR FAILOVER with force option requires both a timeout and target HOST and IP.",
        ));
    }
    if let Some(target) = &target {
        let known = ctx.core.repl.replicas.values();
        let found = known.filter(|r| r.address() == *target).collect::<Vec<_>>();
        if found.is_empty() {
            return Err(Error::new(
                "ERR FAILOVER target HOST and PORT is not a replica.",
            ));
        }
        if ctx.core.repl.online().all(|r| r.address() != *target) {
            return Err(Error::new("ERR FAILOVER target replica is not online."));
        }
    }
    let now_ms = ctx.core.now_ms();
    tracing::info!("FAILOVER requested.");
    ctx.core.repl.failover = Some(Failover {
        target,
        deadline_ms: timeout.map(|ms| now_ms.saturating_add(ms)),
        force,
        in_progress: false,
    });
    ctx.runner().pause_for_failover();
    ctx.core.repl.ask_replicas = true;
    ctx.runner().failover_step();
    ctx.out.ok();
    Ok(())
}
