//! MODULE: modules cannot be loaded, and none are.

use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::command::spec::{Group, Spec, flags};

const ROW: Spec = Spec {
    group: Group::Server,
    ..Spec::BLANK
};

pub static TABLE: &[Spec] = &[Spec {
    name: "module",
    since: "4.0.0",
    arity: -2,
    summary: "Groups the commands for modules.",
    subs: &[
        Spec {
            name: "help",
            since: "5.0.0",
            arity: 2,
            flags: flags!(LOADING | STALE),
            summary: "Explains the sub-commands of MODULE.",
            complexity: "O(1)",
            run: help,
            ..ROW
        },
        Spec {
            name: "list",
            since: "4.0.0",
            arity: 2,
            flags: flags!(ADMIN | NOSCRIPT),
            tips: &["nondeterministic_output_order"],
            summary: "Lists the modules that are loaded.",
            complexity: "O(N)",
            run: list,
            ..ROW
        },
        Spec {
            name: "load",
            since: "4.0.0",
            arity: -3,
            flags: flags!(ADMIN | NOSCRIPT | NO_ASYNC_LOADING),
            summary: "Loads a module.",
            complexity: "O(1)",
            syntax: "path [arg...]",
            run: refuse,
            ..ROW
        },
        Spec {
            name: "loadex",
            since: "7.0.0",
            arity: -3,
            flags: flags!(ADMIN | NOSCRIPT | NO_ASYNC_LOADING),
            summary: "Loads a module with settings.",
            complexity: "O(1)",
            syntax: "path [CONFIG:configs{name value}+...] [ARGS:args...]",
            run: refuse,
            ..ROW
        },
        Spec {
            name: "unload",
            since: "4.0.0",
            arity: 3,
            flags: flags!(ADMIN | NOSCRIPT | NO_ASYNC_LOADING),
            summary: "Unloads a module.",
            complexity: "O(1)",
            syntax: "name",
            run: refuse,
            ..ROW
        },
    ],
    ..ROW
}];

const HELP: &[&str] = &[
    "LIST",
    "    Return a list of loaded modules.",
    "LOAD <path> [<arg> ...]",
    "    Load a module library from <path>, passing to it any optional arguments.",
    "LOADEX <path> [[CONFIG NAME VALUE]...] [ARGS ...]",
    "    Load a module library from <path>, while passing it module configurations and optional arguments.",
    "UNLOAD <name>",
    "    Unload a module.",
];

fn help(ctx: &mut Ctx<'_>) -> Outcome {
    ctx.out.help("MODULE", HELP);
    Ok(())
}

fn list(ctx: &mut Ctx<'_>) -> Outcome {
    ctx.out.array(0);
    Ok(())
}

/// What Redis answers where `enable-module-command` is `no`, as it is by default.
fn refuse(_: &mut Ctx<'_>) -> Outcome {
    Err(Error::new(
        "ERR MODULE command not allowed. If the enable-module-command option is set to \"local\", you can run it from a local connection, otherwise you need to set this option in the configuration file, and then restart the server.",
    ))
}

#[cfg(test)]
mod tests {
    use crate::command::testing::Bench;

    #[test]
    fn there_are_no_modules() {
        let mut bench = Bench::new();
        assert_eq!(bench.say("MODULE LIST"), "*0");
        assert!(bench.say("MODULE HELP").contains("MODULE <subcommand> "));
        for line in ["MODULE LOAD /x", "MODULE LOADEX /x", "MODULE UNLOAD x"] {
            assert!(
                bench
                    .say(line)
                    .starts_with("-ERR MODULE command not allowed."),
                "{line}"
            );
        }
    }
}
