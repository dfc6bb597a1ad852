//! FCALL and FUNCTION.

use super::split;
use crate::base::glob;
use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::script::functions::{self, Library};
use crate::script::host::{self, Run};
use crate::script::{Policy, memory_limit, payload};

/// `FCALL function numkeys [key …] [arg …]`
pub fn fcall(ctx: &mut Ctx<'_>) -> Outcome {
    run(ctx, false)
}

/// `FCALL_RO function numkeys [key …] [arg …]`
pub fn fcall_ro(ctx: &mut Ctx<'_>) -> Outcome {
    run(ctx, true)
}

fn run(ctx: &mut Ctx<'_>, read_only: bool) -> Outcome {
    let found = ctx.core.scripts.libraries.find(&ctx.args[1]);
    let function = found.ok_or(Error::new("ERR Function not found"))?;
    let (name, handle, flags) = (function.name.clone(), function.handle, function.flags);
    let (keys, argv) = split(&ctx.args, Error::new("ERR Bad number of keys provided"))?;
    host::run(
        ctx,
        &Run {
            is_function: true,
            handle,
            flags,
            name: &name,
            read_only,
            keys,
            argv,
        },
    )
}

/// Whoever reads the log gets the command as it came.
fn changed(ctx: &mut Ctx<'_>) {
    ctx.db.ks.effects.present.dirty += 1;
}

/// Compiles a library, without adding it.
fn create(ctx: &mut Ctx<'_>, code: &[u8]) -> Result<Library, Error> {
    let limit = memory_limit(&ctx.core.config);
    let engine = ctx.core.scripts.functions.engine()?;
    functions::create(engine, code, limit)
}

/// `FUNCTION LOAD [REPLACE] function-code`
pub fn function_load(ctx: &mut Ctx<'_>) -> Outcome {
    let mut replace = false;
    let code_at = ctx.args.len() - 1;
    for at in 2..code_at {
        if ctx.args.is(at, "replace") {
            replace = true;
            continue;
        }
        let mut text = b"ERR Unknown option given: ".to_vec();
        text.extend_from_slice(&ctx.args[at]);
        return Err(Error::bytes(text));
    }
    let name = load_library(ctx, ctx.args.get(code_at), replace)?;
    changed(ctx);
    ctx.out.bulk(name.as_bytes());
    Ok(())
}

/// Adds a library from its code; returns its name.
fn load_library(ctx: &mut Ctx<'_>, code: &[u8], replace: bool) -> Result<String, Error> {
    let name = functions::name_of(code)?;
    if !replace && ctx.core.scripts.libraries.get(&name).is_some() {
        return Err(Error::text(format!("ERR Library '{name}' already exists")));
    }
    let library = create(ctx, code)?;
    let scripts = &mut ctx.core.scripts;
    if let Err(error) = scripts
        .libraries
        .admits(std::slice::from_ref(&library), replace)
    {
        scripts.forget(&[library]);
        return Err(error);
    }
    if let Some(old) = scripts.libraries.add(library) {
        scripts.forget(&[old]);
    }
    Ok(name)
}

/// `FUNCTION DELETE library-name`
pub fn function_delete(ctx: &mut Ctx<'_>) -> Outcome {
    let name = String::from_utf8_lossy(&ctx.args[2]).into_owned();
    let scripts = &mut ctx.core.scripts;
    let removed = scripts.libraries.remove(&name);
    let library = removed.ok_or(Error::new("ERR Library not found"))?;
    scripts.forget(&[library]);
    changed(ctx);
    ctx.out.ok();
    Ok(())
}

/// `FUNCTION FLUSH [ASYNC | SYNC]`
pub fn function_flush(ctx: &mut Ctx<'_>) -> Outcome {
    if ctx.args.len() > 3 {
        let sub = String::from_utf8_lossy(&ctx.args[1]).into_owned();
        return Err(syntax(&sub));
    }
    if ctx.args.len() == 3 && !ctx.args.is(2, "async") && !ctx.args.is(2, "sync") {
        return Err(Error::new(
            "ERR FUNCTION FLUSH only supports SYNC|ASYNC option",
        ));
    }
    ctx.core.scripts.libraries.clear();
    ctx.core.scripts.functions.clear();
    changed(ctx);
    ctx.out.ok();
    Ok(())
}

fn syntax(sub: &str) -> Error {
    Error::text(format!(
        "ERR unknown subcommand or wrong number of arguments for '{sub}'. Try FUNCTION HELP."
    ))
}

/// `FUNCTION DUMP`
pub fn function_dump(ctx: &mut Ctx<'_>) -> Outcome {
    let sources = ctx.core.scripts.library_sources();
    ctx.out.bulk(&payload::dump(&sources));
    Ok(())
}

/// `FUNCTION RESTORE serialized-value [FLUSH | APPEND | REPLACE]`
pub fn function_restore(ctx: &mut Ctx<'_>) -> Outcome {
    if ctx.args.len() > 4 {
        return Err(syntax("restore"));
    }
    let policy = match ctx.args.len() {
        3 => Policy::Append,
        _ if ctx.args.is(3, "append") => Policy::Append,
        _ if ctx.args.is(3, "replace") => Policy::Replace,
        _ if ctx.args.is(3, "flush") => Policy::Flush,
        _ => {
            return Err(Error::new(
                "ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.",
            ));
        }
    };
    let check = !ctx.core.debug.skip_checksum;
    let sources = payload::parse(ctx.args.get(2), check).map_err(|broken| match broken {
        payload::Broken::Checksum => Error::new("ERR DUMP payload version or checksum are wrong"),
        payload::Broken::Content => Error::new("ERR given type is not a function"),
    })?;
    let core = &mut *ctx.core;
    core.scripts.restore(&sources, policy, &core.config)?;
    changed(ctx);
    ctx.out.ok();
    Ok(())
}

/// `FUNCTION LIST [LIBRARYNAME pattern] [WITHCODE]`
pub fn function_list(ctx: &mut Ctx<'_>) -> Outcome {
    let (mut with_code, mut pattern) = (false, None);
    let mut rest = ctx.args.cursor(2);
    while !rest.done() {
        if !with_code && rest.word("withcode") {
            with_code = true;
        } else if pattern.is_none() && rest.word("libraryname") {
            let missing = Error::new("ERR library name argument was not given");
            pattern = Some(rest.next().map_err(|_| missing)?);
        } else {
            let mut text = b"ERR Unknown argument ".to_vec();
            text.extend_from_slice(rest.next()?);
            return Err(Error::bytes(text));
        }
    }
    let libraries = &ctx.core.scripts.libraries;
    let wanted = |library: &&Library| {
        pattern.is_none_or(|pattern| glob::matches(pattern, library.name.as_bytes(), true))
    };
    let shown: Vec<&Library> = libraries.iter().filter(wanted).collect();
    let out = &mut *ctx.out;
    out.array(shown.len());
    for library in shown {
        out.map(if with_code { 4 } else { 3 });
        out.bulk(b"library_name");
        out.bulk(library.name.as_bytes());
        out.bulk(b"engine");
        out.bulk(b"LUA");
        out.bulk(b"functions");
        out.array(library.functions.len());
        for function in &library.functions {
            out.map(3);
            out.bulk(b"name");
            out.bulk(function.name.as_bytes());
            out.bulk(b"description");
            out.bulk_or_null(function.description.as_deref());
            out.bulk(b"flags");
            out.set(function.flags.names().count());
            function.flags.names().for_each(|flag| out.simple(flag));
        }
        if with_code {
            out.bulk(b"library_code");
            out.bulk(&library.code);
        }
    }
    Ok(())
}

/// `FUNCTION STATS`
pub fn function_stats(ctx: &mut Ctx<'_>) -> Outcome {
    let scripts = &ctx.core.scripts;
    let running = scripts.running.as_ref();
    if running.is_some_and(|running| !running.is_function) {
        return Err(scripts.busy_error());
    }
    let now_us = ctx.core.clock.mono_us();
    let out = &mut *ctx.out;
    out.map(2);
    out.bulk(b"running_script");
    match running {
        Some(running) => {
            out.map(3);
            out.bulk(b"name");
            out.bulk(running.name.as_bytes());
            out.bulk(b"command");
            out.array(running.call.len());
            running.call.iter().for_each(|arg| out.bulk(arg));
            out.bulk(b"duration_ms");
            out.int((now_us - running.begin_us) / 1000);
        }
        None => out.null(),
    }
    out.bulk(b"engines");
    out.map(1);
    out.bulk(b"LUA");
    out.map(2);
    out.bulk(b"libraries_count");
    out.count(scripts.libraries.len());
    out.bulk(b"functions_count");
    out.count(scripts.libraries.functions());
    Ok(())
}

/// `FUNCTION KILL`
pub fn function_kill(ctx: &mut Ctx<'_>) -> Outcome {
    ctx.core.scripts.kill(true)?;
    ctx.out.ok();
    Ok(())
}

/// `FUNCTION HELP`
pub fn function_help(ctx: &mut Ctx<'_>) -> Outcome {
    ctx.out.help(
        "function",
        &[
            "LOAD [REPLACE] <FUNCTION CODE>",
            "    Create a new library with the given library name and code.",
            "DELETE <LIBRARY NAME>",
            "    Delete the given library.",
            "LIST [LIBRARYNAME PATTERN] [WITHCODE]",
            "    Return general information on all the libraries:",
            "    * Library name",
            "    * The engine used to run the Library",
            "    * Library description",
            "    * Functions list",
            "    * Library code (if WITHCODE is given)",
            "    It also possible to get only function that matches a pattern using LIBRARYNAME argument.",
            "STATS",
            "    Return information about the current function running:",
            "    * Function name",
            "    * Command used to run the function",
            "    * Duration in MS that the function is running",
            "    If no function is running, return nil",
            "    In addition, returns a list of available engines.",
            "KILL",
            "    Kill the current running function.",
            "FLUSH [ASYNC|SYNC]",
            "    Delete all the libraries.",
            "    When called without the optional mode argument, the behavior is determined by the",
            "    lazyfree-lazy-user-flush configuration directive. Valid modes are:",
            "    * ASYNC: Asynchronously flush the libraries.",
            "    * SYNC: Synchronously flush the libraries.",
            "DUMP",
            "    Return a serialized payload representing the current libraries, can be restored using FUNCTION RESTORE command",
            "RESTORE <PAYLOAD> [FLUSH|APPEND|REPLACE]",
            "    Restore the libraries represented by the given payload, it is possible to give a restore policy to",
            "    control how to handle existing libraries (default APPEND):",
            "    * FLUSH: delete all existing libraries.",
            "    * APPEND: appends the restored libraries to the existing libraries. On collision, abort.",
            "    * REPLACE: appends the restored libraries to the existing libraries, On collision, replace the old",
            "      libraries with the new libraries (notice that even on this option there is a chance of failure",
            "      in case of functions name conflict with another library).",
        ],
    );
    Ok(())
}
