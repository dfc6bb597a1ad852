//! ACL: users and their rights.

use std::collections::BTreeSet;

use crate::acl::log::Entry;
use crate::acl::user::{Selector, User, has_space};
use crate::acl::{self, DEFAULT, clients, file, rules};
use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::command::registry;
use crate::command::spec::{Categories, Group, Spec, flags};
use crate::resp::reply::Reply;

const ROW: Spec = Spec {
    group: Group::Server,
    ..Spec::BLANK
};

pub static TABLE: &[Spec] = &[Spec {
    name: "acl",
    since: "6.0.0",
    arity: -2,
    summary: "Groups the commands that manage users and their rights.",
    subs: &[
        Spec {
            name: "cat",
            since: "6.0.0",
            arity: -2,
            flags: flags!(NOSCRIPT | LOADING | STALE),
            summary: "Lists the command categories, or the commands of one category.",
            complexity: "O(1)",
            syntax: "[category]",
            run: cat,
            ..ROW
        },
        Spec {
            name: "deluser",
            since: "6.0.0",
            arity: -3,
            flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE),
            tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
            summary: "Removes users and closes their connections.",
            complexity: "O(1)",
            syntax: "username...",
            run: deluser,
            ..ROW
        },
        Spec {
            name: "dryrun",
            since: "7.0.0",
            arity: -4,
            flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE),
            summary: "Tells whether a user may run a command, without running it.",
            complexity: "O(1)",
            syntax: "username command [arg...]",
            run: dryrun,
            ..ROW
        },
        Spec {
            name: "genpass",
            since: "6.0.0",
            arity: -2,
            flags: flags!(NOSCRIPT | LOADING | STALE),
            summary: "Makes a random password that can be used as a secret.",
            complexity: "O(1)",
            syntax: "[bits/i]",
            run: genpass,
            ..ROW
        },
        Spec {
            name: "getuser",
            since: "6.0.0",
            arity: 3,
            flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE),
            history: &[
                ("6.2.0", "Added the patterns of Pub/Sub channels."),
                (
                    "7.0.0",
                    "Added selectors, and whether a key pattern is for reading or writing.",
                ),
            ],
            summary: "Returns the rules of a user.",
            complexity: "O(N)",
            syntax: "username",
            run: getuser,
            ..ROW
        },
        Spec {
            name: "help",
            since: "6.0.0",
            arity: 2,
            flags: flags!(LOADING | STALE),
            summary: "Explains the sub-commands of ACL.",
            complexity: "O(1)",
            run: help,
            ..ROW
        },
        Spec {
            name: "list",
            since: "6.0.0",
            arity: 2,
            flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE),
            summary: "Lists all users with their rules, in the form of the ACL file.",
            complexity: "O(N)",
            run: list,
            ..ROW
        },
        Spec {
            name: "load",
            since: "6.0.0",
            arity: 2,
            flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE),
            summary: "Replaces the users by those of the ACL file.",
            complexity: "O(N)",
            run: load,
            ..ROW
        },
        Spec {
            name: "log",
            since: "6.0.0",
            arity: -2,
            flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE),
            history: &[(
                "7.2.0",
                "Added entry id, creation time and last update to the entries.",
            )],
            summary: "Lists recent denials of rights and failed logins, or clears the list.",
            complexity: "O(N)",
            syntax: "[operation<count/i|RESET>]",
            run: log,
            ..ROW
        },
        Spec {
            name: "save",
            since: "6.0.0",
            arity: 2,
            flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE),
            tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
            summary: "Writes the users to the ACL file.",
            complexity: "O(N)",
            run: save,
            ..ROW
        },
        Spec {
            name: "setuser",
            since: "6.0.0",
            arity: -3,
            flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE),
            tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
            history: &[
                ("6.2.0", "Added the patterns of Pub/Sub channels."),
                (
                    "7.0.0",
                    "Added selectors and key patterns for reading or writing.",
                ),
            ],
            summary: "Creates a user, or changes the rules of one.",
            complexity: "O(N)",
            syntax: "username [rule...]",
            run: setuser,
            ..ROW
        },
        Spec {
            name: "users",
            since: "6.0.0",
            arity: 2,
            flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE),
            summary: "Lists the names of all users.",
            complexity: "O(N)",
            run: users,
            ..ROW
        },
        Spec {
            name: "whoami",
            since: "6.0.0",
            arity: 2,
            flags: flags!(NOSCRIPT | LOADING | STALE),
            summary: "Returns the name of the connection's user.",
            complexity: "O(1)",
            run: whoami,
            ..ROW
        },
    ],
    ..ROW
}];

const HELP: &[&str] = &[
    "CAT [<category>]",
    "    List all commands that belong to <category>, or all command categories",
    "    when no category is specified.",
    "DELUSER <username> [<username> ...]",
    "    Delete a list of users.",
    "DRYRUN <username> <command> [<arg> ...]",
    "    Returns whether the user can execute the given command without executing the command.",
    "GETUSER <username>",
    "    Get the user's details.",
    "GENPASS [<bits>]",
    "    Generate a secure 256-bit user password. The optional `bits` argument can",
    "    be used to specify a different size.",
    "LIST",
    "    Show users details in config file format.",
    "LOAD",
    "    Reload users from the ACL file.",
    "LOG [<count> | RESET]",
    "    Show the ACL log entries.",
    "SAVE",
    "    Save the current config to the ACL file.",
    "SETUSER <username> <attribute> [<attribute> ...]",
    "    Create or modify a user with the specified attributes.",
    "USERS",
    "    List all the registered usernames.",
    "WHOAMI",
    "    Return the current connection username.",
];

const NO_FILE: Error = Error::new(
    "ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store users in the Redis configuration.",
);
const BAD_BITS: Error = Error::new(
    "ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to 4096",
);

fn help(ctx: &mut Ctx<'_>) -> Outcome {
    ctx.out.help("acl", HELP);
    Ok(())
}

/// For sub-commands that take one argument or none.
fn at_most(ctx: &Ctx<'_>, args: usize) -> Outcome {
    if ctx.args.len() <= args {
        return Ok(());
    }
    let name = ctx.args.get(1);
    let name = &name[..name.len().min(128)];
    Err(Error::bytes(
        [
            b"ERR unknown subcommand or wrong number of arguments for '",
            name,
            b"'. Try ACL HELP.",
        ]
        .concat(),
    ))
}

/// Names and rules, which hold passwords, are nothing for the slow log.
fn hide_arguments(ctx: &mut Ctx<'_>) {
    (2..ctx.args.len()).for_each(|at| ctx.core.redact(at));
}

fn cat(ctx: &mut Ctx<'_>) -> Outcome {
    at_most(ctx, 3)?;
    if ctx.args.len() == 2 {
        ctx.out.array(Categories::NAMES.len());
        for (_, name) in Categories::NAMES {
            ctx.out.bulk(name.as_bytes());
        }
        return Ok(());
    }
    let name = ctx.args.get(2);
    let category = Categories::by_name(name)
        .ok_or_else(|| Error::bytes([b"ERR Unknown category '", name, b"'"].concat()))?;
    // A server has other commands than a Sentinel.
    let served: BTreeSet<u16> = ctx.core.commands.iter().map(|c| c.id).collect();
    let commands = registry::all().iter();
    let names: Vec<&str> = commands
        .filter(|command| served.contains(&command.parent.unwrap_or(command.id)))
        .filter(|command| command.categories.contains(category))
        .map(|command| command.full_name.as_str())
        .collect();
    ctx.out.array(names.len());
    names.iter().for_each(|name| ctx.out.bulk(name.as_bytes()));
    Ok(())
}

fn deluser(ctx: &mut Ctx<'_>) -> Outcome {
    hide_arguments(ctx);
    let names: Vec<&[u8]> = ctx.args.from(2).iter().collect();
    if names.contains(&DEFAULT) {
        return Err(Error::new("ERR The 'default' user cannot be removed"));
    }
    let removed = clients::remove(ctx.core, ctx.client, &names);
    ctx.out.count(removed);
    Ok(())
}

fn dryrun(ctx: &mut Ctx<'_>) -> Outcome {
    let (name, call) = (ctx.args.get(2), ctx.args.from(3));
    let user = ctx.core.acl.users.get(name);
    let user = user.ok_or_else(|| Error::bytes([b"ERR User '", name, b"' not found"].concat()))?;
    let Ok(command) = ctx.core.commands.find(&call) else {
        let text = [b"ERR Command '", call.get(0), b"' not found"].concat();
        return Err(Error::bytes(text));
    };
    let spec = command.spec;
    if !spec.arity_ok(call.len()) || spec.is_container() && !spec.has_handler() {
        return Err(Error::arity(&command.full_name));
    }
    match acl::check(user, command, &call) {
        Ok(()) => ctx.out.ok(),
        Err(denial) => ctx.out.bulk(&denial.verbose(user, command, &call)),
    }
    Ok(())
}

fn genpass(ctx: &mut Ctx<'_>) -> Outcome {
    const BITS_MAX: i64 = 4096;
    at_most(ctx, 3)?;
    let bits = if ctx.args.len() == 3 {
        ctx.args.int(2)?
    } else {
        256
    };
    if !(1..=BITS_MAX).contains(&bits) {
        return Err(BAD_BITS);
    }
    let digits = bits.unsigned_abs().div_ceil(4) as usize;
    let mut bytes = vec![0; digits.div_ceil(2)];
    getrandom::fill(&mut bytes).map_err(|_| Error::new("ERR no random numbers to be had"))?;
    let mut text: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    text.truncate(digits);
    ctx.out.bulk(text.as_bytes());
    Ok(())
}

fn getuser(ctx: &mut Ctx<'_>) -> Outcome {
    hide_arguments(ctx);
    match ctx.core.acl.users.get(ctx.args.get(2)) {
        Some(user) => show_user(ctx.out, user),
        None => ctx.out.null(),
    }
    Ok(())
}

fn show_user(out: &mut Reply, user: &User) {
    out.map(6);
    out.bulk(b"flags");
    let flags = user.flags();
    out.set(flags.len());
    flags.iter().for_each(|flag| out.bulk(flag.as_bytes()));
    out.bulk(b"passwords");
    out.array(user.passwords.len());
    for digest in &user.passwords {
        out.bulk(acl::secret::hex(digest).as_bytes());
    }
    show_selector(out, &user.root);
    out.bulk(b"selectors");
    out.array(user.selectors.len());
    for selector in &user.selectors {
        out.map(3);
        show_selector(out, selector);
    }
}

fn show_selector(out: &mut Reply, selector: &Selector) {
    out.bulk(b"commands");
    out.bulk(&selector.command_rules());
    out.bulk(b"keys");
    out.bulk(&selector.key_rules());
    out.bulk(b"channels");
    out.bulk(&selector.channel_rules());
}

fn list(ctx: &mut Ctx<'_>) -> Outcome {
    let users = ctx.core.acl.users.iter();
    ctx.out.array(users.len());
    users.for_each(|user| ctx.out.bulk(&user.line()));
    Ok(())
}

fn users(ctx: &mut Ctx<'_>) -> Outcome {
    let users = ctx.core.acl.users.iter();
    ctx.out.array(users.len());
    users.for_each(|user| ctx.out.bulk(&user.name));
    Ok(())
}

fn whoami(ctx: &mut Ctx<'_>) -> Outcome {
    ctx.out.bulk(&ctx.client.user.name);
    Ok(())
}

fn load(ctx: &mut Ctx<'_>) -> Outcome {
    if ctx.core.config.aclfile.is_empty() {
        return Err(NO_FILE);
    }
    let users = file::read(&ctx.core.config);
    let users = users.map_err(|reason| Error::text(format!("ERR {reason}")))?;
    clients::replace(ctx.core, ctx.client, users);
    ctx.out.ok();
    Ok(())
}

fn save(ctx: &mut Ctx<'_>) -> Outcome {
    if ctx.core.config.aclfile.is_empty() {
        return Err(NO_FILE);
    }
    if let Err(error) = file::write(&ctx.core.acl.users, &ctx.core.config.aclfile) {
        tracing::warn!("ACL SAVE failed: {error}");
        return Err(Error::new(
            "ERR There was an error trying to save the ACLs. Please check the server logs for more information",
        ));
    }
    ctx.out.ok();
    Ok(())
}

fn log(ctx: &mut Ctx<'_>) -> Outcome {
    const SHOWN: usize = 10;
    at_most(ctx, 3)?;
    let mut shown = SHOWN;
    if ctx.args.len() == 3 {
        if ctx.args.is(2, "RESET") {
            ctx.core.acl.log.clear();
            ctx.out.ok();
            return Ok(());
        }
        shown = usize::try_from(ctx.args.int(2)?).unwrap_or(0);
    }
    let now_ms = ctx.now_ms();
    let log = &ctx.core.acl.log;
    ctx.out.array(log.iter().len().min(shown));
    for entry in log.iter().take(shown) {
        show_entry(ctx.out, entry, now_ms);
    }
    Ok(())
}

fn show_entry(out: &mut Reply, entry: &Entry, now_ms: i64) {
    let event = &entry.event;
    out.map(10);
    out.bulk(b"count");
    out.int(entry.count as i64);
    let texts: [(&str, &[u8]); 4] = [
        ("reason", event.reason.name().as_bytes()),
        ("context", event.context.name().as_bytes()),
        ("object", &event.object),
        ("username", &event.user),
    ];
    for (name, text) in texts {
        out.bulk(name.as_bytes());
        out.bulk(text);
    }
    out.bulk(b"age-seconds");
    out.double((now_ms - entry.updated_ms).max(0) as f64 / 1000.0);
    out.bulk(b"client-info");
    out.bulk(entry.client.as_bytes());
    out.bulk(b"entry-id");
    out.int(entry.id as i64);
    out.bulk(b"timestamp-created");
    out.int(entry.created_ms);
    out.bulk(b"timestamp-last-updated");
    out.int(entry.updated_ms);
}

fn setuser(ctx: &mut Ctx<'_>) -> Outcome {
    hide_arguments(ctx);
    let name = ctx.args.get(2);
    if has_space(name) {
        return Err(Error::new(
            "ERR Usernames can't contain spaces or null characters",
        ));
    }
    let words: Vec<&[u8]> = ctx.args.from(3).iter().collect();
    let words = rules::join_selectors(words).map_err(|opened| {
        let text = b"ERR Unmatched parenthesis in acl selector starting at '";
        Error::bytes([text, opened, b"'."].concat())
    })?;
    let defaults = file::defaults(&ctx.core.config);
    let user = ctx.core.acl.users.changed(name, &words, defaults);
    let user = user.map_err(|(rule, error)| {
        let begin = b"ERR Error in ACL SETUSER modifier '";
        Error::bytes([begin, rule, format!("': {error}").as_bytes()].concat())
    })?;
    clients::install(ctx.core, ctx.client, user);
    ctx.out.ok();
    Ok(())
}
