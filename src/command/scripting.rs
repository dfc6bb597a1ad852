//! Scripts: EVAL, EVALSHA, SCRIPT, and the functions of libraries: FCALL, FUNCTION.

mod library;

use self::library::{
    fcall, fcall_ro, function_delete, function_dump, function_flush, function_help, function_kill,
    function_list, function_load, function_restore, function_stats,
};
use super::args::Args;
use super::ctx::{Ctx, Outcome};
use super::error::Error;
use super::spec::{Group, KeySpec, Spec, cats, flags, key};
use crate::script::api::hex_digest;
use crate::script::cache::{Cache, Digest};
use crate::script::flags::of_script;
use crate::script::host::{self, Run};

const ROW: Spec = Spec {
    group: Group::Scripting,
    ..Spec::BLANK
};

pub static TABLE: &[Spec] = &[
    Spec {
        name: "eval",
        since: "2.6.0",
        arity: -3,
        flags: flags!(NOSCRIPT | STALE | SKIP_MONITOR | NO_MANDATORY_KEYS | MAY_REPLICATE),
        categories: cats!(SCRIPTING),
        keys: &[KeySpec::counted(key!(RW | ACCESS | UPDATE), 2)],
        summary: "Runs a Lua script.",
        syntax: "script numkeys/i [key/k0...] [arg...]",
        run: eval,
        ..ROW
    },
    Spec {
        name: "eval_ro",
        since: "7.0.0",
        arity: -3,
        flags: flags!(READONLY | NOSCRIPT | STALE | SKIP_MONITOR | NO_MANDATORY_KEYS),
        categories: cats!(SCRIPTING),
        keys: &[KeySpec::counted(key!(RO | ACCESS), 2)],
        summary: "Runs a Lua script that only reads.",
        syntax: "script numkeys/i [key/k0...] [arg...]",
        run: eval_ro,
        ..ROW
    },
    Spec {
        name: "evalsha",
        since: "2.6.0",
        arity: -3,
        flags: flags!(NOSCRIPT | STALE | SKIP_MONITOR | NO_MANDATORY_KEYS | MAY_REPLICATE),
        categories: cats!(SCRIPTING),
        keys: &[KeySpec::counted(key!(RW | ACCESS | UPDATE), 2)],
        summary: "Runs a Lua script by its SHA1 digest.",
        syntax: "sha1 numkeys/i [key/k0...] [arg...]",
        run: evalsha,
        ..ROW
    },
    Spec {
        name: "evalsha_ro",
        since: "7.0.0",
        arity: -3,
        flags: flags!(READONLY | NOSCRIPT | STALE | SKIP_MONITOR | NO_MANDATORY_KEYS),
        categories: cats!(SCRIPTING),
        keys: &[KeySpec::counted(key!(RO | ACCESS), 2)],
        summary: "Runs a Lua script that only reads by its SHA1 digest.",
        syntax: "sha1 numkeys/i [key/k0...] [arg...]",
        run: evalsha_ro,
        ..ROW
    },
    Spec {
        name: "fcall",
        since: "7.0.0",
        arity: -3,
        flags: flags!(NOSCRIPT | STALE | SKIP_MONITOR | NO_MANDATORY_KEYS | MAY_REPLICATE),
        categories: cats!(SCRIPTING),
        keys: &[KeySpec::counted(key!(RW | ACCESS | UPDATE), 2)],
        summary: "Calls a function.",
        syntax: "function numkeys/i [key/k0...] [arg...]",
        run: fcall,
        ..ROW
    },
    Spec {
        name: "fcall_ro",
        since: "7.0.0",
        arity: -3,
        flags: flags!(READONLY | NOSCRIPT | STALE | SKIP_MONITOR | NO_MANDATORY_KEYS),
        categories: cats!(SCRIPTING),
        keys: &[KeySpec::counted(key!(RO | ACCESS), 2)],
        summary: "Calls a function that only reads.",
        syntax: "function numkeys/i [key/k0...] [arg...]",
        run: fcall_ro,
        ..ROW
    },
    Spec {
        name: "function",
        since: "7.0.0",
        arity: -2,
        summary: "Groups the commands that manage function libraries.",
        subs: &[
            Spec {
                name: "delete",
                since: "7.0.0",
                arity: 3,
                flags: flags!(WRITE | NOSCRIPT),
                categories: cats!(SCRIPTING),
                tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
                summary: "Deletes a library and its functions.",
                complexity: "O(1)",
                syntax: "library-name",
                run: function_delete,
                ..ROW
            },
            Spec {
                name: "dump",
                since: "7.0.0",
                arity: 2,
                flags: flags!(NOSCRIPT),
                categories: cats!(SCRIPTING),
                summary: "Returns all libraries in serialized form.",
                complexity: "O(N)",
                run: function_dump,
                ..ROW
            },
            Spec {
                name: "flush",
                since: "7.0.0",
                arity: -2,
                flags: flags!(WRITE | NOSCRIPT),
                categories: cats!(SCRIPTING),
                tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
                summary: "Deletes all libraries.",
                complexity: "O(N)",
                syntax: "[flush-type<ASYNC|SYNC>]",
                run: function_flush,
                ..ROW
            },
            Spec {
                name: "help",
                since: "7.0.0",
                arity: 2,
                flags: flags!(LOADING | STALE),
                categories: cats!(SCRIPTING),
                summary: "Explains the sub-commands of FUNCTION.",
                complexity: "O(1)",
                run: function_help,
                ..ROW
            },
            Spec {
                name: "kill",
                since: "7.0.0",
                arity: 2,
                flags: flags!(NOSCRIPT | ALLOW_BUSY),
                categories: cats!(SCRIPTING),
                tips: &["request_policy:all_shards", "response_policy:one_succeeded"],
                summary: "Stops the running function.",
                complexity: "O(1)",
                run: function_kill,
                ..ROW
            },
            Spec {
                name: "list",
                since: "7.0.0",
                arity: -2,
                flags: flags!(NOSCRIPT),
                categories: cats!(SCRIPTING),
                tips: &["nondeterministic_output_order"],
                summary: "Describes the libraries.",
                complexity: "O(N)",
                syntax: "[LIBRARYNAME:library-name-pattern] [WITHCODE]",
                run: function_list,
                ..ROW
            },
            Spec {
                name: "load",
                since: "7.0.0",
                arity: -3,
                flags: flags!(WRITE | DENYOOM | NOSCRIPT),
                categories: cats!(SCRIPTING),
                tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
                summary: "Creates a library from its code.",
                complexity: "O(1)",
                syntax: "[REPLACE] function-code",
                run: function_load,
                ..ROW
            },
            Spec {
                name: "restore",
                since: "7.0.0",
                arity: -3,
                flags: flags!(WRITE | DENYOOM | NOSCRIPT),
                categories: cats!(SCRIPTING),
                tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
                summary: "Restores libraries from their serialized form.",
                complexity: "O(N)",
                syntax: "serialized-value [policy<FLUSH|APPEND|REPLACE>]",
                run: function_restore,
                ..ROW
            },
            Spec {
                name: "stats",
                since: "7.0.0",
                arity: 2,
                flags: flags!(NOSCRIPT | ALLOW_BUSY),
                categories: cats!(SCRIPTING),
                tips: &[
                    "nondeterministic_output",
                    "request_policy:all_shards",
                    "response_policy:special",
                ],
                summary: "Describes the running function and the engines.",
                complexity: "O(1)",
                run: function_stats,
                ..ROW
            },
        ],
        ..ROW
    },
    Spec {
        name: "script",
        since: "2.6.0",
        arity: -2,
        summary: "Groups the commands that manage Lua scripts.",
        subs: &[
            Spec {
                name: "debug",
                since: "3.2.0",
                arity: 3,
                flags: flags!(NOSCRIPT),
                categories: cats!(SCRIPTING),
                summary: "Chooses how the scripts of the connection are debugged.",
                complexity: "O(1)",
                syntax: "mode<YES|SYNC|NO>",
                run: script_debug,
                ..ROW
            },
            Spec {
                name: "exists",
                since: "2.6.0",
                arity: -3,
                flags: flags!(NOSCRIPT),
                categories: cats!(SCRIPTING),
                tips: &[
                    "request_policy:all_shards",
                    "response_policy:agg_logical_and",
                ],
                summary: "Tells which scripts are in the cache.",
                complexity: "O(N); O(1)",
                syntax: "sha1...",
                run: script_exists,
                ..ROW
            },
            Spec {
                name: "flush",
                since: "2.6.0",
                arity: -2,
                flags: flags!(NOSCRIPT),
                categories: cats!(SCRIPTING),
                tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
                history: &[("6.2.0", "Added `ASYNC` and `SYNC`.")],
                summary: "Empties the cache of scripts.",
                complexity: "O(N)",
                syntax: "[flush-type<ASYNC|SYNC>@6.2.0]",
                run: script_flush,
                ..ROW
            },
            Spec {
                name: "help",
                since: "5.0.0",
                arity: 2,
                flags: flags!(LOADING | STALE),
                categories: cats!(SCRIPTING),
                summary: "Explains the sub-commands of SCRIPT.",
                complexity: "O(1)",
                run: script_help,
                ..ROW
            },
            Spec {
                name: "kill",
                since: "2.6.0",
                arity: 2,
                flags: flags!(NOSCRIPT | ALLOW_BUSY),
                categories: cats!(SCRIPTING),
                tips: &["request_policy:all_shards", "response_policy:one_succeeded"],
                summary: "Stops the running script.",
                complexity: "O(1)",
                run: script_kill,
                ..ROW
            },
            Spec {
                name: "load",
                since: "2.6.0",
                arity: 3,
                flags: flags!(NOSCRIPT | STALE),
                categories: cats!(SCRIPTING),
                tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
                summary: "Puts a script into the cache and returns its SHA1 digest.",
                complexity: "O(N)",
                syntax: "script",
                run: script_load,
                ..ROW
            },
        ],
        ..ROW
    },
];

const NOSCRIPT: Error = Error::new("NOSCRIPT No matching script. Please use EVAL.");

/// Keys and arguments behind their number, which stands at 2.
fn split<'a>(args: &Args<'a>, not_a_number: Error) -> Result<(Args<'a>, Args<'a>), Error> {
    let count = args.int(2).map_err(|_| not_a_number)?;
    let rest = args.len() - 3;
    if count > rest as i64 {
        return Err(Error::new(
            "ERR Number of keys can't be greater than number of args",
        ));
    }
    let count =
        usize::try_from(count).map_err(|_| Error::new("ERR Number of keys can't be negative"))?;
    Ok((args.slice(3..3 + count), args.from(3 + count)))
}

/// `EVAL script numkeys [key …] [arg …]`
fn eval(ctx: &mut Ctx<'_>) -> Outcome {
    run_text(ctx, false)
}

/// `EVAL_RO script numkeys [key …] [arg …]`
fn eval_ro(ctx: &mut Ctx<'_>) -> Outcome {
    run_text(ctx, true)
}

/// `EVALSHA sha1 numkeys [key …] [arg …]`
fn evalsha(ctx: &mut Ctx<'_>) -> Outcome {
    run_digest(ctx, false)
}

/// `EVALSHA_RO sha1 numkeys [key …] [arg …]`
fn evalsha_ro(ctx: &mut Ctx<'_>) -> Outcome {
    run_digest(ctx, true)
}

fn run_text(ctx: &mut Ctx<'_>, read_only: bool) -> Outcome {
    let (keys, argv) = split(&ctx.args, Error::NOT_INTEGER)?;
    let body = ctx.args.get(1);
    let key = digest(body);
    if ctx.core.scripts.cache.get(&key).is_none() {
        compile(ctx, body, false)?;
    }
    run_cached(ctx, key, keys, argv, read_only)
}

fn run_digest(ctx: &mut Ctx<'_>, read_only: bool) -> Outcome {
    let key = Cache::key(&ctx.args[1]).ok_or(NOSCRIPT)?;
    let (keys, argv) = split(&ctx.args, Error::NOT_INTEGER)?;
    run_cached(ctx, key, keys, argv, read_only)
}

fn run_cached(
    ctx: &mut Ctx<'_>,
    key: Digest,
    keys: Args<'_>,
    argv: Args<'_>,
    read_only: bool,
) -> Outcome {
    let Some(script) = ctx.core.scripts.cache.get(&key) else {
        return Err(NOSCRIPT);
    };
    let (handle, flags) = (script.handle, script.flags);
    host::run(
        ctx,
        &Run {
            is_function: false,
            handle,
            flags,
            name: std::str::from_utf8(&key).unwrap_or_default(),
            read_only,
            keys,
            argv,
        },
    )
}

fn digest(body: &[u8]) -> Digest {
    let mut key = [0; 40];
    key.copy_from_slice(hex_digest(body).as_bytes());
    key
}

/// Compiles a script and puts it into the cache.
fn compile(ctx: &mut Ctx<'_>, body: &[u8], stays: bool) -> Result<Digest, Error> {
    let key = digest(body);
    let scripts = &mut ctx.core.scripts;
    if scripts.cache.get(&key).is_some() {
        if stays {
            scripts.cache.make_stay(&key);
        }
        return Ok(key);
    }
    let (flags, code) = of_script(body)?;
    let engine = scripts.eval.engine()?;
    let handle = engine.compile(code, "user_script").map_err(|message| {
        let mut text = b"ERR Error compiling script (new function): ".to_vec();
        text.extend_from_slice(message.as_bytes());
        Error::bytes(text)
    })?;
    if let Some(gone) = scripts.cache.add(key, handle, flags, body, stays) {
        engine.drop_kept(gone.handle);
        scripts.evicted += 1;
    }
    Ok(key)
}

/// `SCRIPT LOAD script`
fn script_load(ctx: &mut Ctx<'_>) -> Outcome {
    let key = compile(ctx, ctx.args.get(2), true)?;
    ctx.out.bulk(&key);
    Ok(())
}

/// `SCRIPT EXISTS sha1 [sha1 …]`
fn script_exists(ctx: &mut Ctx<'_>) -> Outcome {
    let digests = ctx.args.from(2);
    ctx.out.array(digests.len());
    for sha in digests.iter() {
        let known = ctx.core.scripts.cache.peek(sha).is_some();
        ctx.out.int(i64::from(known));
    }
    Ok(())
}

/// `SCRIPT FLUSH [ASYNC | SYNC]`
fn script_flush(ctx: &mut Ctx<'_>) -> Outcome {
    let known = ctx.args.len() == 2
        || ctx.args.len() == 3 && (ctx.args.is(2, "async") || ctx.args.is(2, "sync"));
    if !known {
        return Err(Error::new(
            "ERR SCRIPT FLUSH only support SYNC|ASYNC option",
        ));
    }
    ctx.core.scripts.cache.clear();
    ctx.core.scripts.eval.clear();
    ctx.out.ok();
    Ok(())
}

/// `SCRIPT KILL`
fn script_kill(ctx: &mut Ctx<'_>) -> Outcome {
    ctx.core.scripts.kill(false)?;
    ctx.out.ok();
    Ok(())
}

/// `SCRIPT DEBUG YES | SYNC | NO`: there is no debugger; asking for one is refused.
fn script_debug(ctx: &mut Ctx<'_>) -> Outcome {
    if ctx.args.is(2, "no") {
        ctx.out.ok();
        return Ok(());
    }
    if ctx.args.is(2, "yes") || ctx.args.is(2, "sync") {
        return Err(Error::new("ERR the debugger of scripts is not supported"));
    }
    Err(Error::new("ERR Use SCRIPT DEBUG YES/SYNC/NO"))
}

/// `SCRIPT HELP`
fn script_help(ctx: &mut Ctx<'_>) -> Outcome {
    ctx.out.help(
        "script",
        &[
            "DEBUG (YES|SYNC|NO)",
            "    Set the debug mode for subsequent scripts executed.",
            "EXISTS <sha1> [<sha1> ...]",
            "    Return information about the existence of the scripts in the script cache.",
            "FLUSH [ASYNC|SYNC]",
            "    Flush the Lua scripts cache. Very dangerous on replicas.",
            "    When called without the optional mode argument, the behavior is determined",
            "    by the lazyfree-lazy-user-flush configuration directive. Valid modes are:",
            "    * ASYNC: Asynchronously flush the scripts cache.",
            "    * SYNC: Synchronously flush the scripts cache.",
            "KILL",
            "    Kill the currently executing Lua script.",
            "LOAD <script>",
            "    Load a script into the scripts cache without executing it.",
        ],
    );
    Ok(())
}

#[cfg(test)]
mod tests;
