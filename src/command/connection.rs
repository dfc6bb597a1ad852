//! Commands about the connection itself: greeting, login, database, end.

use std::sync::atomic::Ordering;

use crate::acl::{self, log::Context};
use crate::cli::REDIS_VERSION;
use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::command::spec::{DocFlags, Group, Spec, cats, flags};
use crate::dispatch::client::{Client, ClientFlags};

const ROW: Spec = Spec {
    group: Group::Connection,
    ..Spec::BLANK
};

pub static TABLE: &[Spec] = &[
    Spec {
        name: "auth",
        since: "1.0.0",
        arity: -2,
        flags: flags!(NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY),
        categories: cats!(CONNECTION),
        history: &[("6.0.0", "Added `username`.")],
        summary: "Logs the connection in.",
        complexity: "O(N)",
        syntax: "[username@6.0.0] password",
        run: auth,
        ..ROW
    },
    Spec {
        name: "echo",
        since: "1.0.0",
        arity: 2,
        flags: flags!(LOADING | STALE | FAST),
        categories: cats!(CONNECTION),
        summary: "Returns the given text.",
        complexity: "O(1)",
        syntax: "message",
        run: echo,
        ..ROW
    },
    Spec {
        name: "hello",
        since: "6.0.0",
        arity: -1,
        flags: flags!(NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY),
        categories: cats!(CONNECTION),
        history: &[("6.2.0", "Made the protocol version optional.")],
        summary: "Greets the server: chooses the protocol, logs in and sets the connection's name.",
        complexity: "O(1)",
        syntax: "[arguments{protover/i [AUTH:auth{username password}] [SETNAME:clientname]}]",
        run: hello,
        ..ROW
    },
    Spec {
        name: "ping",
        since: "1.0.0",
        arity: -1,
        flags: flags!(FAST),
        categories: cats!(CONNECTION),
        tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
        summary: "Tells that the server answers.",
        complexity: "O(1)",
        syntax: "[message]",
        run: ping,
        ..ROW
    },
    Spec {
        name: "quit",
        since: "1.0.0",
        arity: -1,
        flags: flags!(NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY),
        categories: cats!(CONNECTION),
        doc_flags: DocFlags::DEPRECATED,
        deprecated_since: "7.2.0",
        replaced_by: "just closing the connection",
        summary: "Closes the connection.",
        complexity: "O(1)",
        run: quit,
        ..ROW
    },
    Spec {
        name: "reset",
        since: "6.2.0",
        arity: 1,
        flags: flags!(NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY),
        categories: cats!(CONNECTION),
        summary: "Puts the connection back into its first state.",
        complexity: "O(1)",
        run: reset,
        ..ROW
    },
    Spec {
        name: "select",
        since: "1.0.0",
        arity: 2,
        flags: flags!(LOADING | STALE | FAST),
        categories: cats!(CONNECTION),
        summary: "Selects a database for the connection.",
        complexity: "O(1)",
        syntax: "index/i",
        run: select,
        ..ROW
    },
];

const WRONG_PASS: Error =
    Error::new("WRONGPASS invalid username-password pair or user is disabled.");
const NO_PASS: Error = Error::new(
    "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
);
const HELLO_NOAUTH: Error = Error::new(
    "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time",
);

fn ping(ctx: &mut Ctx<'_>) -> Outcome {
    let subscribed = ctx.client.subs.is_some() && !ctx.client.resp3;
    match ctx.args.len() {
        len @ 1..=2 if subscribed => {
            // In the shape of a message, which is all that such a client expects.
            ctx.out.array(2);
            ctx.out.bulk(b"pong");
            ctx.out.bulk(if len == 2 { ctx.args.get(1) } else { b"" });
        }
        1 => ctx.out.simple("PONG"),
        2 => ctx.out.bulk(ctx.args.get(1)),
        _ => return Err(Error::arity("ping")),
    }
    Ok(())
}

fn echo(ctx: &mut Ctx<'_>) -> Outcome {
    match ctx.args.shared(1) {
        Some(text) => ctx.out.bulk_shared(text.clone()),
        None => ctx.out.bulk(ctx.args.get(1)),
    }
    Ok(())
}

fn select(ctx: &mut Ctx<'_>) -> Outcome {
    let index = usize::try_from(ctx.args.int32(1)?)
        .ok()
        .filter(|i| *i < ctx.db.ks.dbs.len());
    ctx.client.db = index.ok_or(Error::new("ERR DB index is out of range"))?;
    ctx.out.ok();
    Ok(())
}

fn quit(ctx: &mut Ctx<'_>) -> Outcome {
    ctx.out.ok();
    ctx.client.flags.insert(ClientFlags::CLOSE_AFTER_REPLY);
    Ok(())
}

/// Puts the connection back into the state of a new one.
fn reset(ctx: &mut Ctx<'_>) -> Outcome {
    let id = ctx.client.id;
    ctx.core.monitors.retain(|m| *m != id);
    ctx.core.discard(ctx.client);
    ctx.core.unsubscribe_all(ctx.client);
    super::tracking::disable(ctx);
    let client = &mut *ctx.client;
    client.flags.remove(
        ClientFlags::MONITOR
            | ClientFlags::NO_EVICT
            | ClientFlags::NO_TOUCH
            | ClientFlags::REPLY_OFF
            | ClientFlags::REPLY_SKIP
            | ClientFlags::REPLY_SKIP_NEXT,
    );
    client.db = 0;
    client.name.clear();
    client.resp3 = false;
    ctx.out.set_resp3(false);
    let users = &ctx.core.acl.users;
    client.user = users.default_user().clone();
    set_authenticated(client, users.is_open());
    ctx.out.simple("RESET");
    Ok(())
}

fn set_authenticated(client: &mut Client, on: bool) {
    client.flags.set(ClientFlags::AUTHENTICATED, on);
    client.conn.authenticated.store(on, Ordering::Release);
}

/// Logs the client in.
fn login(ctx: &mut Ctx<'_>, user: &[u8], password: &[u8]) -> Outcome {
    let Some(user) = ctx.core.acl.users.authenticate(user, password).cloned() else {
        let name = ctx.args.get(0);
        let context = if ctx.core.depth > 0 {
            Context::Multi
        } else {
            Context::Toplevel
        };
        acl::log::failed_login(ctx.core, ctx.client, context, name, user);
        return Err(WRONG_PASS);
    };
    ctx.client.user = user;
    set_authenticated(ctx.client, true);
    Ok(())
}

fn auth(ctx: &mut Ctx<'_>) -> Outcome {
    (1..ctx.args.len()).for_each(|at| ctx.core.redact(at));
    match ctx.args.len() {
        2 if ctx.core.acl.users.default_user().nopass => return Err(NO_PASS),
        2 => login(ctx, b"default", ctx.args.get(1))?,
        3 => login(ctx, ctx.args.get(1), ctx.args.get(2))?,
        _ => return Err(Error::SYNTAX),
    }
    ctx.out.ok();
    Ok(())
}

/// What HELLO's options ask for.
#[derive(Default)]
struct Greeting<'a> {
    version: Option<i64>,
    login: Option<(&'a [u8], &'a [u8])>,
    name: Option<&'a [u8]>,
}

fn read_hello<'a>(ctx: &mut Ctx<'a>) -> Result<Greeting<'a>, Error> {
    // Before anything can fail: what is wrong with a call is no reason to show its password.
    if let Some(at) = (1..ctx.args.len()).find(|at| ctx.args.is(*at, "AUTH")) {
        (at + 1..ctx.args.len()).for_each(|at| ctx.core.redact(at));
    }
    let mut greeting = Greeting::default();
    let mut rest = ctx.args.cursor(1);
    if !rest.done() {
        let version = rest
            .int()
            .map_err(|_| Error::new("ERR Protocol version is not an integer or out of range"))?;
        if !(2..=3).contains(&version) {
            return Err(Error::new("NOPROTO unsupported protocol version"));
        }
        greeting.version = Some(version);
    }
    while !rest.done() {
        if rest.left() >= 3 && rest.word("AUTH") {
            greeting.login = Some((rest.next()?, rest.next()?));
        } else if rest.left() >= 2 && rest.word("SETNAME") {
            greeting.name = Some(rest.next()?);
        } else {
            let mut text = b"ERR Syntax error in HELLO option '".to_vec();
            text.extend_from_slice(rest.next()?);
            text.push(b'\'');
            return Err(Error::bytes(text));
        }
    }
    Ok(greeting)
}

fn hello(ctx: &mut Ctx<'_>) -> Outcome {
    let greeting = read_hello(ctx)?;
    if let Some(name) = greeting.name {
        super::client::check_name(name)?;
    }
    if let Some((user, password)) = greeting.login {
        login(ctx, user, password)?;
    }
    if !ctx.client.is(ClientFlags::AUTHENTICATED) && !ctx.core.acl.users.is_open() {
        return Err(HELLO_NOAUTH);
    }
    if let Some(name) = greeting.name {
        ctx.client.name = name.to_vec();
    }
    if let Some(version) = greeting.version {
        ctx.client.resp3 = version == 3;
        ctx.out.set_resp3(version == 3);
    }
    let out = &mut *ctx.out;
    let sentinel = ctx.core.sentinel.is_some();
    out.map(if sentinel { 6 } else { 7 });
    out.bulk(b"server");
    out.bulk(b"redis");
    out.bulk(b"version");
    out.bulk(REDIS_VERSION.as_bytes());
    out.bulk(b"proto");
    out.int(i64::from(ctx.client.resp()));
    out.bulk(b"id");
    out.int(ctx.client.id as i64);
    out.bulk(b"mode");
    if sentinel {
        out.bulk(b"sentinel");
    } else {
        out.bulk(b"standalone");
        out.bulk(b"role");
        out.bulk(if ctx.core.repl.is_replica() {
            b"replica"
        } else {
            b"master"
        });
    }
    out.bulk(b"modules");
    out.array(0);
    Ok(())
}
