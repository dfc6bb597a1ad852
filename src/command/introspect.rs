//! COMMAND: what the server knows of its commands. The replies are made from the rows by [`docs`].

use super::args::Cursor;
use super::ctx::{Ctx, Outcome};
use super::docs;
use super::error::Error;
use super::keys::{self, Key, KeyList};
use super::registry::{Command, Names};
use super::spec::{Categories, Flags, Group, KeyFlags, Spec, cats, flags};
use crate::base::glob;
use crate::resp::reply::Aggregate;

const ROW: Spec = Spec {
    group: Group::Server,
    ..Spec::BLANK
};

pub static TABLE: &[Spec] = &[Spec {
    name: "command",
    since: "2.8.13",
    arity: -1,
    flags: flags!(LOADING | STALE),
    categories: cats!(CONNECTION),
    tips: &["nondeterministic_output_order"],
    summary: "Returns the details of every command.",
    complexity: "O(N)",
    run: command,
    subs: &[
        Spec {
            name: "count",
            since: "2.8.13",
            arity: 2,
            flags: flags!(LOADING | STALE),
            categories: cats!(CONNECTION),
            summary: "Counts the commands of the server.",
            complexity: "O(1)",
            run: command_count,
            ..ROW
        },
        Spec {
            name: "docs",
            since: "7.0.0",
            arity: -2,
            flags: flags!(LOADING | STALE),
            categories: cats!(CONNECTION),
            tips: &["nondeterministic_output_order"],
            summary: "Returns the documentation of the given commands, or of all.",
            complexity: "O(N)",
            syntax: "[command-name...]",
            run: command_docs,
            ..ROW
        },
        Spec {
            name: "getkeys",
            since: "2.8.13",
            arity: -3,
            flags: flags!(LOADING | STALE),
            categories: cats!(CONNECTION),
            summary: "Finds the keys in a complete command.",
            complexity: "O(N)",
            syntax: "command [arg...]",
            run: command_getkeys,
            ..ROW
        },
        Spec {
            name: "getkeysandflags",
            since: "7.0.0",
            arity: -3,
            flags: flags!(LOADING | STALE),
            categories: cats!(CONNECTION),
            summary: "Finds the keys in a complete command and tells how each is accessed.",
            complexity: "O(N)",
            syntax: "command [arg...]",
            run: command_getkeysandflags,
            ..ROW
        },
        Spec {
            name: "help",
            since: "5.0.0",
            arity: 2,
            flags: flags!(LOADING | STALE),
            categories: cats!(CONNECTION),
            summary: "Explains the sub-commands of COMMAND.",
            complexity: "O(1)",
            run: command_help,
            ..ROW
        },
        Spec {
            name: "info",
            since: "2.8.13",
            arity: -2,
            flags: flags!(LOADING | STALE),
            categories: cats!(CONNECTION),
            tips: &["nondeterministic_output_order"],
            history: &[("7.0.0", "Allowed the names of sub-commands.")],
            summary: "Returns the details of the given commands, or of all.",
            complexity: "O(N)",
            syntax: "[command-name...]",
            run: command_info,
            ..ROW
        },
        Spec {
            name: "list",
            since: "7.0.0",
            arity: -2,
            flags: flags!(LOADING | STALE),
            categories: cats!(CONNECTION),
            tips: &["nondeterministic_output_order"],
            summary: "Lists the names of commands, all or filtered.",
            complexity: "O(N)",
            syntax: "[FILTERBY:filterby<MODULE:module-name|ACLCAT:category|PATTERN:pattern/p>]",
            run: command_list,
            ..ROW
        },
    ],
    ..ROW
}];

fn command(ctx: &mut Ctx<'_>) -> Outcome {
    let names = &ctx.core.commands;
    ctx.out.array(names.len());
    for command in names.iter() {
        docs::info(ctx.out, command);
    }
    Ok(())
}

fn command_count(ctx: &mut Ctx<'_>) -> Outcome {
    ctx.out.count(ctx.core.commands.len());
    Ok(())
}

fn command_info(ctx: &mut Ctx<'_>) -> Outcome {
    if ctx.args.len() == 2 {
        return command(ctx);
    }
    ctx.out.array(ctx.args.len() - 2);
    for name in ctx.args.from(2).iter() {
        match ctx.core.commands.by_full_name(name) {
            Some(command) => docs::info(ctx.out, command),
            None => ctx.out.null(),
        }
    }
    Ok(())
}

fn command_docs(ctx: &mut Ctx<'_>) -> Outcome {
    let names = &ctx.core.commands;
    let wanted: Vec<&Command> = if ctx.args.len() == 2 {
        names.iter().collect()
    } else {
        ctx.args
            .from(2)
            .iter()
            .filter_map(|name| names.by_full_name(name))
            .collect()
    };
    ctx.out.map(wanted.len());
    for command in wanted {
        docs::docs(ctx.out, command);
    }
    Ok(())
}

fn command_list(ctx: &mut Ctx<'_>) -> Outcome {
    let mut rest = ctx.args.cursor(2);
    let filter = if rest.done() {
        None
    } else {
        Some(Filter::parse(&mut rest)?)
    };
    if !rest.done() {
        return Err(Error::SYNTAX);
    }
    let (mark, mut count) = (ctx.out.defer(), 0);
    for command in with_subs(&ctx.core.commands) {
        if filter.as_ref().is_none_or(|filter| filter.accepts(command)) {
            ctx.out.bulk(command.full_name.as_bytes());
            count += 1;
        }
    }
    ctx.out.finish(mark, Aggregate::Array, count);
    Ok(())
}

/// All commands, each followed by its sub-commands.
fn with_subs(names: &Names) -> impl Iterator<Item = &'static Command> + '_ {
    names
        .iter()
        .flat_map(|command| std::iter::once(command).chain(names.subs(command)))
}

/// What COMMAND LIST FILTERBY asks for.
enum Filter<'a> {
    /// There are no modules, so no command is of one.
    Module,
    /// `None`: of a category that does not exist.
    Category(Option<Categories>),
    Pattern(&'a [u8]),
}

impl<'a> Filter<'a> {
    fn parse(rest: &mut Cursor<'a>) -> Result<Filter<'a>, Error> {
        if !rest.word("FILTERBY") {
            return Err(Error::SYNTAX);
        }
        if rest.word("MODULE") {
            rest.next().map(|_| Filter::Module)
        } else if rest.word("ACLCAT") {
            Ok(Filter::Category(Categories::by_name(rest.next()?)))
        } else if rest.word("PATTERN") {
            Ok(Filter::Pattern(rest.next()?))
        } else {
            Err(Error::SYNTAX)
        }
    }

    fn accepts(&self, command: &Command) -> bool {
        match self {
            Filter::Module => false,
            Filter::Category(category) => {
                category.is_some_and(|category| command.categories.contains(category))
            }
            Filter::Pattern(pattern) => glob::matches(pattern, command.full_name.as_bytes(), true),
        }
    }
}

fn command_getkeys(ctx: &mut Ctx<'_>) -> Outcome {
    let call = ctx.args.from(2);
    let keys = keys_of_call(&ctx.core.commands, &call)?;
    ctx.out.array(keys.len());
    for key in keys {
        ctx.out.bulk(call.get(key.at));
    }
    Ok(())
}

fn command_getkeysandflags(ctx: &mut Ctx<'_>) -> Outcome {
    let call = ctx.args.from(2);
    let keys = keys_of_call(&ctx.core.commands, &call)?;
    ctx.out.array(keys.len());
    for key in keys {
        docs::key_and_flags(ctx.out, call.get(key.at), key);
    }
    Ok(())
}

/// The keys of a call that is given as arguments; without those that stand in the place of keys only for the cluster.
fn keys_of_call(names: &Names, call: &dyn keys::Args) -> Result<KeyList, Error> {
    let Ok(command) = names.find(call) else {
        return Err(Error::new("ERR Invalid command specified"));
    };
    let spec = command.spec;
    if spec
        .keys
        .iter()
        .all(|key| key.flags.contains(KeyFlags::NOT_KEY))
    {
        return Err(Error::new("ERR The command has no key arguments"));
    }
    if !spec.arity_ok(call.len()) {
        return Err(Error::new(
            "ERR Invalid number of arguments specified for command",
        ));
    }
    let mut found = KeyList::new();
    match keys::keys_of(spec, call, &mut found) {
        Ok(()) => {}
        Err(keys::KeysError) if spec.flags.contains(Flags::NO_MANDATORY_KEYS) => found.clear(),
        Err(keys::KeysError) => {
            return Err(Error::new("ERR Invalid arguments specified for command"));
        }
    }
    found.retain(|key: &mut Key| !key.flags.contains(KeyFlags::NOT_KEY));
    Ok(found)
}

fn command_help(ctx: &mut Ctx<'_>) -> Outcome {
    ctx.out.help(
        "command",
        &[
            "(no subcommand)",
            "    Describe all commands, as INFO does.",
            "COUNT",
            "    Count the commands.",
            "DOCS [<command-name> ...]",
            "    Document the given commands, or all.",
            "GETKEYS <full-command>",
            "    Find the keys in a command.",
            "GETKEYSANDFLAGS <full-command>",
            "    Find the keys in a command and tell how each is accessed.",
            "INFO [<command-name> ...]",
            "    Describe the given commands, or all.",
            "LIST [FILTERBY <MODULE <module-name>|ACLCAT <category>|PATTERN <pattern>>]",
            "    List the names of commands.",
        ],
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::Bench;

    #[track_caller]
    fn check(bench: &mut Bench, lines: &[(&str, &str)]) {
        for (line, reply) in lines {
            assert_eq!(bench.say(line), *reply, "{line}");
        }
    }

    fn resp3() -> Bench {
        let mut bench = Bench::new();
        bench.say("HELLO 3");
        bench
    }

    #[test]
    fn all_commands_or_the_given_ones() {
        let mut bench = resp3();
        let all = bench.say("COMMAND");
        assert_eq!(all, bench.say("COMMAND INFO"));
        assert!(
            all.contains(" *10 $7 command :-1 ~2 +loading +stale :0 :0 :0 ~2 +@slow +@connection "),
            "{all}"
        );
        let count = bench.say("COMMAND COUNT");
        assert_eq!(
            all.split(' ').next(),
            Some(count.replace(':', "*").as_str())
        );
        check(
            &mut bench,
            &[
                (
                    "COMMAND INFO command|COUNT nosuch command|nosuch",
                    "*3 *10 $13 command|count :2 ~2 +loading +stale :0 :0 :0 ~2 +@slow +@connection ~0 ~0 ~0 _ _",
                ),
                (
                    "COMMAND COUNT x",
                    "-ERR wrong number of arguments for 'command|count' command",
                ),
                (
                    "COMMAND foo",
                    "-ERR unknown subcommand 'foo'. Try COMMAND HELP.",
                ),
            ],
        );
        assert_eq!(Bench::new().say("COMMAND INFO nosuch"), "*1 $-1");
    }

    #[test]
    fn docs_of_the_commands_that_exist() {
        let mut bench = resp3();
        let docs = bench.say("COMMAND DOCS nosuch command|help command|nosuch");
        assert!(
            docs.starts_with("%1 $12 command|help %4 $7 summary "),
            "{docs}"
        );
        assert_eq!(bench.say("COMMAND DOCS nosuch"), "%0");
        assert_eq!(Bench::new().say("COMMAND DOCS nosuch"), "*0");
        assert!(
            bench
                .say("COMMAND DOCS")
                .contains(" $11 subcommands %7 $13 command|count %4 ")
        );
    }

    #[test]
    fn lists_and_filters() {
        let mut bench = Bench::new();
        let all = bench.say("COMMAND LIST");
        assert!(
            all.contains(" $7 command $13 command|count $12 command|docs "),
            "{all}"
        );
        let keys = "*2 $15 command|getkeys $23 command|getkeysandflags";
        check(
            &mut bench,
            &[
                ("COMMAND LIST FILTERBY PATTERN COMMAND|getkeys*", keys),
                ("command list filterby aclcat nosuch", "*0"),
                ("COMMAND LIST FILTERBY MODULE x", "*0"),
                ("COMMAND LIST FILTERBY", "-ERR syntax error"),
                ("COMMAND LIST FILTERBY foo x", "-ERR syntax error"),
                ("COMMAND LIST FILTERBY PATTERN", "-ERR syntax error"),
                (
                    "COMMAND LIST FILTERBY PATTERN x FILTERBY PATTERN x",
                    "-ERR syntax error",
                ),
                ("COMMAND LIST foo", "-ERR syntax error"),
            ],
        );
        let connection = bench.say("COMMAND LIST FILTERBY ACLCAT Connection");
        assert!(
            connection.contains(" command|count") && !connection.contains(" get "),
            "{connection}"
        );
    }

    #[test]
    fn calls_without_keys_are_explained() {
        check(
            &mut Bench::new(),
            &[
                (
                    "COMMAND GETKEYS",
                    "-ERR wrong number of arguments for 'command|getkeys' command",
                ),
                ("COMMAND GETKEYS foo", "-ERR Invalid command specified"),
                (
                    "COMMAND GETKEYS command nosuch",
                    "-ERR Invalid command specified",
                ),
                (
                    "COMMAND GETKEYS command|info a",
                    "-ERR Invalid command specified",
                ),
                (
                    "COMMAND GETKEYS COMMAND COUNT",
                    "-ERR The command has no key arguments",
                ),
                (
                    "COMMAND GETKEYSANDFLAGS foo",
                    "-ERR Invalid command specified",
                ),
            ],
        );
    }

    #[test]
    fn help_is_an_array_of_lines() {
        let help = Bench::new().say("COMMAND HELP");
        let head = " +COMMAND <subcommand> [<arg> [value] [opt] ...]. Subcommands are: ";
        assert!(
            help.contains(head) && help.contains(" +GETKEYS <full-command> "),
            "{help}"
        );
    }
}
