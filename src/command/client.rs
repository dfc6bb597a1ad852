//! CLIENT: names, lists, ends and settings of connections.

mod kill;

use crate::base::num;
use crate::command::args::Args;
use crate::command::client_info;
use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::command::spec::{Group, Spec, cats, flags};
use crate::command::tracking;
use crate::dispatch::client::{ClientFlags, ClientType};
use crate::dispatch::core::Pause;

const ROW: Spec = Spec {
    group: Group::Connection,
    ..Spec::BLANK
};

pub static TABLE: &[Spec] = &[Spec {
    name: "client",
    since: "2.4.0",
    arity: -2,
    summary: "Groups the commands about client connections.",
    subs: &[
        Spec {
            name: "caching",
            since: "6.0.0",
            arity: 3,
            flags: flags!(NOSCRIPT | LOADING | STALE),
            categories: cats!(CONNECTION),
            summary: "Tells whether the keys of the next command are tracked.",
            complexity: "O(1)",
            syntax: "mode<YES|NO>",
            run: tracking::caching,
            ..ROW
        },
        Spec {
            name: "getname",
            since: "2.6.9",
            arity: 2,
            flags: flags!(NOSCRIPT | LOADING | STALE),
            categories: cats!(CONNECTION),
            summary: "Returns the name of the connection.",
            complexity: "O(1)",
            run: getname,
            ..ROW
        },
        Spec {
            name: "getredir",
            since: "6.0.0",
            arity: 2,
            flags: flags!(NOSCRIPT | LOADING | STALE),
            categories: cats!(CONNECTION),
            summary: "Returns the id of the connection that gets the invalidation messages.",
            complexity: "O(1)",
            run: tracking::getredir,
            ..ROW
        },
        Spec {
            name: "help",
            since: "5.0.0",
            arity: 2,
            flags: flags!(LOADING | STALE),
            categories: cats!(CONNECTION),
            summary: "Explains the sub-commands of CLIENT.",
            complexity: "O(1)",
            run: help,
            ..ROW
        },
        Spec {
            name: "id",
            since: "5.0.0",
            arity: 2,
            flags: flags!(NOSCRIPT | LOADING | STALE),
            categories: cats!(CONNECTION),
            summary: "Returns the id of the connection.",
            complexity: "O(1)",
            run: id,
            ..ROW
        },
        Spec {
            name: "info",
            since: "6.2.0",
            arity: 2,
            flags: flags!(NOSCRIPT | LOADING | STALE),
            categories: cats!(CONNECTION),
            tips: &["nondeterministic_output"],
            summary: "Describes the connection.",
            complexity: "O(1)",
            run: info,
            ..ROW
        },
        Spec {
            name: "kill",
            since: "2.4.0",
            arity: -3,
            flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE),
            categories: cats!(CONNECTION),
            history: &[
                ("2.8.12", "Added `ID` and `TYPE`."),
                ("3.2.0", "Added `MASTER`."),
                ("5.0.0", "Added `REPLICA`."),
                ("6.2.0", "Added `LADDR`."),
                ("7.4.0", "Added `MAXAGE`."),
            ],
            summary: "Closes the connections that match the filters.",
            complexity: "O(N)",
            syntax: "filter<old-format(ip:port)%2.8.12|new-format<[ID:client-id/i@2.8.12]|[TYPE:client-type<NORMAL|MASTER@3.2.0|SLAVE|REPLICA@5.0.0|PUBSUB>@2.8.12]|[USER:username]|[ADDR:addr(ip:port)]|[LADDR:laddr(ip:port)@6.2.0]|[SKIPME:skipme<YES|NO>]|[MAXAGE:maxage/i@7.4.0]>...>",
            run: kill::kill,
            ..ROW
        },
        Spec {
            name: "list",
            since: "2.4.0",
            arity: -2,
            flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE),
            categories: cats!(CONNECTION),
            tips: &["nondeterministic_output"],
            history: &[
                ("2.8.12", "Added the field `id`."),
                ("5.0.0", "Added `TYPE`."),
                ("6.0.0", "Added the field `user`."),
                ("6.2.0", "Added `ID`."),
                (
                    "7.0.0",
                    "Added the fields `resp`, `multi-mem`, `rbs` and `rbp`.",
                ),
                ("7.0.3", "Added the field `ssub`."),
                ("7.2.0", "Added the fields `lib-name` and `lib-ver`."),
                ("7.4.0", "Added the field `watch`."),
                ("8.0.0", "Added the field `io-thread`."),
            ],
            summary: "Describes the open connections.",
            complexity: "O(N)",
            syntax: "[TYPE:client-type<NORMAL|MASTER|REPLICA|PUBSUB>@5.0.0] [ID:client-id/i...@6.2.0]",
            run: list,
            ..ROW
        },
        Spec {
            name: "no-evict",
            since: "7.0.0",
            arity: 3,
            flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE),
            categories: cats!(CONNECTION),
            summary: "Exempts the connection from client eviction, or not.",
            complexity: "O(1)",
            syntax: "enabled<ON|OFF>",
            run: no_evict,
            ..ROW
        },
        Spec {
            name: "no-touch",
            since: "7.2.0",
            arity: 3,
            flags: flags!(NOSCRIPT | LOADING | STALE),
            categories: cats!(CONNECTION),
            summary: "Lets commands leave the access time and frequency of keys alone, or not.",
            complexity: "O(1)",
            syntax: "enabled<ON|OFF>",
            run: no_touch,
            ..ROW
        },
        Spec {
            name: "pause",
            since: "3.0.0",
            arity: -3,
            flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE),
            categories: cats!(CONNECTION),
            history: &[("6.2.0", "Added `WRITE` and `ALL`.")],
            summary: "Holds commands of all clients back for a time.",
            complexity: "O(1)",
            syntax: "timeout/i [mode<WRITE|ALL>@6.2.0]",
            run: pause,
            ..ROW
        },
        Spec {
            name: "reply",
            since: "3.2.0",
            arity: 3,
            flags: flags!(NOSCRIPT | LOADING | STALE),
            categories: cats!(CONNECTION),
            summary: "Switches the replies to the connection on or off.",
            complexity: "O(1)",
            syntax: "action<ON|OFF|SKIP>",
            run: reply,
            ..ROW
        },
        Spec {
            name: "setinfo",
            since: "7.2.0",
            arity: 4,
            flags: flags!(NOSCRIPT | LOADING | STALE),
            categories: cats!(CONNECTION),
            tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
            summary: "Sets the name or version of the client library.",
            complexity: "O(1)",
            syntax: "attr<LIB-NAME:libname|LIB-VER:libver>",
            run: setinfo,
            ..ROW
        },
        Spec {
            name: "setname",
            since: "2.6.9",
            arity: 3,
            flags: flags!(NOSCRIPT | LOADING | STALE),
            categories: cats!(CONNECTION),
            tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
            summary: "Sets the name of the connection.",
            complexity: "O(1)",
            syntax: "connection-name",
            run: setname,
            ..ROW
        },
        Spec {
            name: "tracking",
            since: "6.0.0",
            arity: -3,
            flags: flags!(NOSCRIPT | LOADING | STALE),
            categories: cats!(CONNECTION),
            summary: "Switches the help of the server for client-side caching on or off.",
            complexity: "O(1)",
            syntax: "status<ON|OFF> [REDIRECT:client-id/i] [PREFIX:prefix+...] [BCAST] [OPTIN] [OPTOUT] [NOLOOP]",
            run: tracking::tracking,
            ..ROW
        },
        Spec {
            name: "trackinginfo",
            since: "6.2.0",
            arity: 2,
            flags: flags!(NOSCRIPT | LOADING | STALE),
            categories: cats!(CONNECTION),
            summary: "Describes how the connection tracks keys.",
            complexity: "O(1)",
            run: tracking::trackinginfo,
            ..ROW
        },
        Spec {
            name: "unblock",
            since: "5.0.0",
            arity: -3,
            flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE),
            categories: cats!(CONNECTION),
            summary: "Ends the wait of a blocked client.",
            complexity: "O(log N)",
            syntax: "client-id/i [unblock-type<TIMEOUT|ERROR>]",
            run: unblock,
            ..ROW
        },
        Spec {
            name: "unpause",
            since: "6.2.0",
            arity: 2,
            flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE),
            categories: cats!(CONNECTION),
            summary: "Lets held commands run again.",
            complexity: "O(N)",
            run: unpause,
            ..ROW
        },
    ],
    ..ROW
}];

const HELP: &[&str] = &[
    "CACHING (YES|NO)",
    "    Enable/disable tracking of the keys for next command in OPTIN/OPTOUT modes.",
    "GETREDIR",
    "    Return the client ID we are redirecting to when tracking is enabled.",
    "GETNAME",
    "    Return the name of the current connection.",
    "ID",
    "    Return the ID of the current connection.",
    "INFO",
    "    Return information about the current client connection.",
    "KILL <ip:port>",
    "    Kill connection made from <ip:port>.",
    "KILL <option> <value> [<option> <value> [...]]",
    "    Kill connections. Options are:",
    "    * ADDR (<ip:port>|<unixsocket>:0)",
    "      Kill connections made from the specified address",
    "    * LADDR (<ip:port>|<unixsocket>:0)",
    "      Kill connections made to specified local address",
    "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
    "      Kill connections by type.",
    "    * USER <username>",
    "      Kill connections authenticated by <username>.",
    "    * SKIPME (YES|NO)",
    "      Skip killing current connection (default: yes).",
    "    * ID <client-id>",
    "      Kill connections by client id.",
    "    * MAXAGE <maxage>",
    "      Kill connections older than the specified age.",
    "LIST [options ...]",
    "    Return information about client connections. Options:",
    "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
    "      Return clients of specified type.",
    "    * ID <client-id> [<client-id> ...]",
    "      Return clients of specified IDs only.",
    "UNPAUSE",
    "    Stop the current client pause, resuming traffic.",
    "PAUSE <timeout> [WRITE|ALL]",
    "    Suspend all, or just write, clients for <timeout> milliseconds.",
    "REPLY (ON|OFF|SKIP)",
    "    Control the replies sent to the current connection.",
    "SETNAME <name>",
    "    Assign the name <name> to the current connection.",
    "SETINFO <option> <value>",
    "    Set client meta attr. Options are:",
    "    * LIB-NAME: the client lib name.",
    "    * LIB-VER: the client lib version.",
    "UNBLOCK <clientid> [TIMEOUT|ERROR]",
    "    Unblock the specified blocked client.",
    "TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> [...]]",
    "         [OPTIN] [OPTOUT] [NOLOOP]",
    "    Control server assisted client side caching.",
    "TRACKINGINFO",
    "    Report tracking status for the current connection.",
    "NO-EVICT (ON|OFF)",
    "    Protect current client connection from eviction.",
    "NO-TOUCH (ON|OFF)",
    "    Will not touch LRU/LFU stats when this mode is on.",
];

/// Names of clients and libraries must be printable without spaces, so that CLIENT LIST can be
/// taken apart.
pub fn check_name(name: &[u8]) -> Result<(), Error> {
    if is_plain(name) {
        return Ok(());
    }
    Err(Error::new(
        "ERR Client names cannot contain spaces, newlines or special characters.",
    ))
}

fn is_plain(text: &[u8]) -> bool {
    text.iter().all(|b| (b'!'..=b'~').contains(b))
}

fn help(ctx: &mut Ctx<'_>) -> Outcome {
    ctx.out.help("client", HELP);
    Ok(())
}

fn id(ctx: &mut Ctx<'_>) -> Outcome {
    ctx.out.int(ctx.client.id as i64);
    Ok(())
}

fn getname(ctx: &mut Ctx<'_>) -> Outcome {
    let name = ctx.client.name.as_slice();
    ctx.out.bulk_or_null((!name.is_empty()).then_some(name));
    Ok(())
}

fn setname(ctx: &mut Ctx<'_>) -> Outcome {
    let name = ctx.args.get(2);
    check_name(name)?;
    ctx.client.name = name.to_vec();
    ctx.out.ok();
    Ok(())
}

fn setinfo(ctx: &mut Ctx<'_>) -> Outcome {
    let (option, value) = (ctx.args.get(2), ctx.args.get(3));
    let about =
        |begin: &str, end: &str| Error::bytes([begin.as_bytes(), option, end.as_bytes()].concat());
    let client = &mut *ctx.client;
    let target = if ctx.args.is(2, "LIB-NAME") {
        &mut client.lib_name
    } else if ctx.args.is(2, "LIB-VER") {
        &mut client.lib_ver
    } else {
        return Err(about("ERR Unrecognized option '", "'"));
    };
    if !is_plain(value) {
        return Err(about(
            "ERR ",
            " cannot contain spaces, newlines or special characters.",
        ));
    }
    *target = value.to_vec();
    ctx.out.ok();
    Ok(())
}

/// `ON` or `OFF` as the last argument.
fn switch(args: &Args<'_>) -> Result<bool, Error> {
    if args.is(2, "ON") {
        Ok(true)
    } else if args.is(2, "OFF") {
        Ok(false)
    } else {
        Err(Error::SYNTAX)
    }
}

fn no_evict(ctx: &mut Ctx<'_>) -> Outcome {
    let on = switch(&ctx.args)?;
    ctx.client.flags.set(ClientFlags::NO_EVICT, on);
    ctx.out.ok();
    Ok(())
}

fn no_touch(ctx: &mut Ctx<'_>) -> Outcome {
    let on = switch(&ctx.args)?;
    ctx.client.flags.set(ClientFlags::NO_TOUCH, on);
    ctx.out.ok();
    Ok(())
}

/// OFF and SKIP give no reply themselves: what is written under them is dropped.
fn reply(ctx: &mut Ctx<'_>) -> Outcome {
    let flags = &mut ctx.client.flags;
    if ctx.args.is(2, "ON") {
        flags.remove(ClientFlags::REPLY_OFF | ClientFlags::REPLY_SKIP);
        ctx.out.ok();
    } else if ctx.args.is(2, "OFF") {
        flags.insert(ClientFlags::REPLY_OFF);
    } else if ctx.args.is(2, "SKIP") {
        flags.set(
            ClientFlags::REPLY_SKIP_NEXT,
            !flags.contains(ClientFlags::REPLY_OFF),
        );
        if ctx.core.depth > 0 {
            // Without this the reply of EXEC would lack an element, and its client would wait for it.
            ctx.out.ok();
        }
    } else {
        return Err(Error::SYNTAX);
    }
    Ok(())
}

fn info(ctx: &mut Ctx<'_>) -> Outcome {
    let mut text = client_info::line(ctx.client, ctx.core);
    text.push('\n');
    ctx.out.verbatim("txt", text.as_bytes());
    Ok(())
}

fn client_type(word: &[u8]) -> Result<ClientType, Error> {
    match word.to_ascii_lowercase().as_slice() {
        b"normal" => Ok(ClientType::Normal),
        b"replica" | b"slave" => Ok(ClientType::Replica),
        b"pubsub" => Ok(ClientType::Pubsub),
        b"master" | b"primary" => Ok(ClientType::Master),
        _ => Err(Error::bytes(
            [b"ERR Unknown client type '", word, b"'"].concat(),
        )),
    }
}

fn list(ctx: &mut Ctx<'_>) -> Outcome {
    let mut rest = ctx.args.cursor(2);
    let mut wanted_type = None;
    let all = rest.done() || ctx.args.is(2, "TYPE");
    let ids = if rest.done() {
        ctx.core.clients.ids()
    } else if rest.left() == 2 && rest.word("TYPE") {
        wanted_type = Some(client_type(rest.next()?)?);
        ctx.core.clients.ids()
    } else if rest.left() > 1 && rest.word("ID") {
        let id = |word| num::parse_i64(word).ok_or(Error::new("ERR Invalid client ID"));
        let ids: Result<Vec<i64>, Error> = rest.rest().iter().map(id).collect();
        ids?.into_iter()
            .filter_map(|id| u64::try_from(id).ok())
            .collect()
    } else {
        return Err(Error::SYNTAX);
    };
    let mut text = String::new();
    let with_master = matches!(wanted_type, None | Some(ClientType::Master)) && all;
    for id in ids {
        let client = if id == ctx.client.id {
            Some(&*ctx.client)
        } else {
            ctx.core.clients.get(id)
        };
        if let Some(client) = client.filter(|c| wanted_type.is_none_or(|t| c.client_type() == t)) {
            text.push_str(&client_info::line(client, ctx.core));
            text.push('\n');
        }
    }
    if let Some(master) = ctx.core.repl.master_client().filter(|_| with_master) {
        text.push_str(&client_info::line(master, ctx.core));
        text.push('\n');
    }
    ctx.out.verbatim("txt", text.as_bytes());
    Ok(())
}

fn pause(ctx: &mut Ctx<'_>) -> Outcome {
    let writes_only = match ctx.args.len() {
        3 => false,
        4 if ctx.args.is(3, "WRITE") => true,
        4 if ctx.args.is(3, "ALL") => false,
        4 => return Err(Error::new("ERR CLIENT PAUSE mode must be WRITE or ALL")),
        _ => return Err(Error::SYNTAX),
    };
    let timeout = ctx
        .args
        .int(2)
        .map_err(|_| Error::new("ERR timeout is not an integer or out of range"))?;
    if timeout < 0 {
        return Err(Error::new("ERR timeout is negative"));
    }
    let now = ctx.core.now_ms();
    // As a time of day it must fit too.
    let fits = ctx.now_ms().checked_add(timeout).is_some();
    let until_ms = now.checked_add(timeout).filter(|_| fits);
    let until_ms = until_ms.ok_or(Error::new("ERR timeout is out of range"))?;
    // A pause in force is made stricter or longer, never weaker.
    ctx.core.pause = Some(match ctx.core.asked_pause() {
        Some(old) => Pause {
            until_ms: until_ms.max(old.until_ms),
            writes_only: writes_only && old.writes_only,
        },
        None => Pause {
            until_ms,
            writes_only,
        },
    });
    ctx.out.ok();
    Ok(())
}

/// The actor wakes the waiting clients when it sees that there is no pause any more.
fn unpause(ctx: &mut Ctx<'_>) -> Outcome {
    ctx.core.pause = None;
    ctx.out.ok();
    Ok(())
}

fn unblock(ctx: &mut Ctx<'_>) -> Outcome {
    if ctx.args.len() > 4 {
        return Err(Error::SYNTAX);
    }
    if ctx.args.len() == 4 && !ctx.args.is(3, "TIMEOUT") && !ctx.args.is(3, "ERROR") {
        return Err(Error::new(
            "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR",
        ));
    }
    let id = u64::try_from(ctx.args.int(2)?).unwrap_or(0);
    let with_error = ctx.args.len() == 4 && ctx.args.is(3, "ERROR");
    let done = if with_error {
        ctx.core.unblock(id, |out| {
            out.error("UNBLOCKED client unblocked via CLIENT UNBLOCK");
        })
    } else {
        ctx.core.end_wait(id, None)
    };
    ctx.out.int(i64::from(done));
    Ok(())
}

#[cfg(test)]
mod tests;
