//! DEBUG RELOAD: the data set through its file and back.

use std::path::PathBuf;

use crate::base::hash::Seed;
use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::keyspace::Keyspace;
use crate::rdb::load::{Loaded, Progress, insert_new};
use crate::rdb::{boot, save};
use crate::script::Policy;

/// What is wished.
#[derive(Clone, Copy, Debug, Default)]
struct Options {
    merge: bool,
    no_flush: bool,
    no_save: bool,
}

pub fn reload(ctx: &mut Ctx<'_>) -> Outcome {
    let mut options = Options::default();
    let mut rest = ctx.args.cursor(2);
    while !rest.done() {
        if rest.word("MERGE") {
            options.merge = true;
        } else if rest.word("NOFLUSH") {
            options.no_flush = true;
        } else if rest.word("NOSAVE") {
            options.no_save = true;
        } else {
            return Err(Error::new(
                "ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.",
            ));
        }
    }
    if !options.no_save {
        save::now(ctx.db.ks, ctx.core).map_err(|_| Error::new("ERR"))?;
    }
    let path = PathBuf::from(&ctx.core.config.dbfilename);
    let load = boot::load_options(ctx.db.ks, ctx.core);
    let loaded = boot::load_file(&path, &load, &Progress::default()).map_err(|error| {
        tracing::warn!("{}", boot::explain(&path, &error));
        Error::new("ERR Error trying to load the RDB dump, check server logs.")
    })?;
    if options.no_flush {
        let policy = if options.merge {
            Policy::Replace
        } else {
            Policy::Append
        };
        let core = &mut *ctx.core;
        core.scripts
            .restore(&loaded.functions, policy, &core.config)
            .map_err(|error| {
                tracing::warn!("{}", String::from_utf8_lossy(error.as_bytes()));
                Error::new("ERR Error trying to load the RDB dump, check server logs.")
            })?;
        merge(ctx.db.ks, loaded, options.merge)?;
    } else {
        boot::install(ctx.db.ks, ctx.core, loaded);
    }
    crate::aof::state::data_replaced(ctx.db.ks, ctx.core);
    tracing::warn!("DB reloaded by DEBUG RELOAD");
    ctx.out.ok();
    Ok(())
}

/// Adds a data set to the present one.
///
/// # Errors
/// If a key is in both and may not be replaced; nothing has changed then.
fn merge(ks: &mut Keyspace, loaded: Loaded, replace: bool) -> Outcome {
    let seed = Seed::process();
    let pairs = || ks.dbs.iter().zip(&loaded.dbs);
    let is_twin = pairs().any(|(db, other)| {
        let mut keys = other.table.iter().map(|entry| entry.key());
        keys.any(|key| db.table.get(seed.hash_bytes(key), key).is_some())
    });
    if is_twin && !replace {
        return Err(Error::new(
            "ERR A key of the file is in the data set already; nothing was loaded",
        ));
    }
    for (index, db) in loaded.dbs.iter().enumerate() {
        for entry in db.table.iter() {
            let hash = seed.hash_bytes(entry.key());
            ks.at(index).unlink(entry.key());
            let mut entry = entry.clone();
            entry.set_hinted(false);
            let now_ms = ks.now_ms;
            insert_new(&mut ks.dbs[index], hash, entry, now_ms);
        }
        ks.effects.change_whole(index);
    }
    Ok(())
}

/// `DEBUG LOADAOF`
pub(super) fn load_aof(ctx: &mut Ctx<'_>) -> Outcome {
    crate::aof::start::reload(ctx.db.ks, ctx.core).map_err(Error::text)?;
    tracing::info!("Append Only File loaded by DEBUG LOADAOF");
    ctx.out.ok();
    Ok(())
}

/// `DEBUG AOF-FLUSH-SLEEP µs`
pub(super) fn aof_flush_sleep(ctx: &mut Ctx<'_>) -> Outcome {
    let us = u64::try_from(ctx.args.int(2)?).map_err(|_| Error::OUT_OF_RANGE)?;
    if let Some(writer) = &ctx.core.aof.writer {
        writer.set_sleep_us(us);
    }
    ctx.out.ok();
    Ok(())
}
