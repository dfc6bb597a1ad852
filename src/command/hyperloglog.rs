//! The HyperLogLog commands.

use crate::base::rng::Rng;
use crate::command::args::Args;
use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::command::spec::{DocFlags, Group, KeySpec, Spec, cats, flags, key};
use crate::keyspace::effect::Class;
use crate::keyspace::{Keys, Text};
use crate::value::entry::INLINE_MAX;
use crate::value::hll::{self, Corrupted, REGISTERS, Registers};

#[cfg(test)]
mod tests;

const NOT_HLL: Error = Error::new("WRONGTYPE Key is not a valid HyperLogLog string value.");
const CORRUPTED: Error = Error::new("INVALIDOBJ Corrupted HLL object detected");

const ROW: Spec = Spec {
    group: Group::Hyperloglog,
    ..Spec::BLANK
};

pub static TABLE: &[Spec] = &[
    Spec {
        name: "pfadd",
        since: "2.8.9",
        arity: -2,
        flags: flags!(WRITE | DENYOOM | FAST),
        categories: cats!(HYPERLOGLOG),
        keys: &[KeySpec::one(key!(RW | INSERT), 1)],
        summary: "Adds elements to a HyperLogLog, which is created if need be.",
        complexity: "O(1)",
        syntax: "key/k0 [element...]",
        run: pfadd,
        ..ROW
    },
    Spec {
        name: "pfcount",
        since: "2.8.9",
        arity: -2,
        flags: flags!(READONLY | MAY_REPLICATE),
        categories: cats!(HYPERLOGLOG),
        keys: &[KeySpec::range(key!(RW | ACCESS), 1, -1, 1)],
        summary: "Estimates how many different elements HyperLogLogs have seen.",
        complexity: "O(1); O(N)",
        syntax: "key/k0...",
        run: pfcount,
        ..ROW
    },
    Spec {
        name: "pfdebug",
        since: "2.8.9",
        arity: 3,
        flags: flags!(WRITE | DENYOOM | ADMIN),
        categories: cats!(HYPERLOGLOG),
        keys: &[KeySpec::one(key!(RW | ACCESS), 2)],
        doc_flags: DocFlags::SYSCMD,
        summary: "Shows the inside of a HyperLogLog; for tests.",
        syntax: "subcommand key/k0",
        run: pfdebug,
        ..ROW
    },
    Spec {
        name: "pfmerge",
        since: "2.8.9",
        arity: -2,
        flags: flags!(WRITE | DENYOOM),
        categories: cats!(HYPERLOGLOG),
        keys: &[
            KeySpec::one(key!(RW | ACCESS | INSERT), 1),
            KeySpec::range(key!(RO | ACCESS), 2, -1, 1),
        ],
        summary: "Merges HyperLogLogs into one.",
        complexity: "O(N)",
        syntax: "destkey/k0 [sourcekey/k1...]",
        run: pfmerge,
        ..ROW
    },
    Spec {
        name: "pfselftest",
        since: "2.8.9",
        arity: 1,
        flags: flags!(ADMIN),
        categories: cats!(HYPERLOGLOG),
        doc_flags: DocFlags::SYSCMD,
        summary: "Tests the HyperLogLog code.",
        run: pfselftest,
        ..ROW
    },
];

impl From<Corrupted> for Error {
    fn from(_: Corrupted) -> Error {
        CORRUPTED
    }
}

/// The HyperLogLog of a key, for reading; `None` if the key is absent.
fn view<'a>(db: &'a Keys<'_>, key: &[u8]) -> Result<Option<Text<'a>>, Error> {
    let Some(entry) = db.peek(key) else {
        return Ok(None);
    };
    let text = Text::of(entry.payload()).ok_or(Error::WRONG_TYPE)?;
    if hll::is_hll(&text) {
        Ok(Some(text))
    } else {
        Err(NOT_HLL)
    }
}

/// Whether the key holds a HyperLogLog that is about to be changed; an error if it holds anything else.
fn check(db: &mut Keys<'_>, key: &[u8]) -> Result<bool, Error> {
    db.expire_if_due(key);
    Ok(view(db, key)?.is_some())
}

/// `PFADD key [element …]`
fn pfadd(ctx: &mut Ctx<'_>) -> Outcome {
    let (key, elements) = (ctx.args.get(1), ctx.args.from(2));
    let sparse_max = ctx.db.limits().hll_sparse_max_bytes;
    let exists = check(&mut ctx.db, key)?;
    let changes = ctx.db.edit_str(key, |bytes| {
        if !exists {
            *bytes = hll::new();
        }
        // Several elements are added all or, if the runs turn out corrupted on the way, none. (Short strings are put
        // back as they were anyway.)
        let undo = elements.len() > 1 && hll::is_sparse(bytes) && bytes.len() > INLINE_MAX;
        let before = undo.then(|| bytes.clone());
        match add_all(bytes, elements, sparse_max) {
            Ok(added) => {
                let changes = added + usize::from(!exists);
                if changes > 0 {
                    hll::invalidate(bytes);
                }
                Ok(changes)
            }
            Err(corrupted) => {
                if let Some(before) = before {
                    *bytes = before;
                }
                Err(corrupted.into())
            }
        }
    })?;
    if changes > 0 {
        ctx.db.effect(Class::STRING, "pfadd", key, changes);
    }
    ctx.out.int(i64::from(changes > 0));
    Ok(())
}

/// Adds elements and returns how many registers changed.
fn add_all(bytes: &mut Vec<u8>, elements: Args<'_>, sparse_max: usize) -> Result<usize, Corrupted> {
    let mut changes = 0;
    for element in elements.iter() {
        changes += usize::from(hll::add(bytes, element, sparse_max)?);
    }
    Ok(changes)
}

/// `PFCOUNT key [key …]`
fn pfcount(ctx: &mut Ctx<'_>) -> Outcome {
    let keys = ctx.args.from(1);
    if keys.len() == 1 {
        return count_one(ctx);
    }
    let mut registers: Box<Registers> = Box::new([0; REGISTERS]);
    for key in keys.iter() {
        ctx.db.read(key);
        if let Some(bytes) = view(&ctx.db, key)? {
            hll::merge(&bytes, &mut registers)?;
        }
    }
    ctx.out.int(hll::estimate(&registers) as i64);
    Ok(())
}

/// The cardinality of one key, which is kept in the value until the next change.
fn count_one(ctx: &mut Ctx<'_>) -> Outcome {
    let key = ctx.args.get(1);
    ctx.db.read(key);
    let Some(bytes) = view(&ctx.db, key)? else {
        ctx.out.int(0);
        return Ok(());
    };
    if let Some(card) = hll::cached(&bytes) {
        ctx.out.int(card as i64);
        return Ok(());
    }
    let card = hll::count(&bytes)?;
    ctx.db.edit_str(key, |bytes| {
        hll::set_cached(bytes, card);
        Ok(())
    })?;
    // The bytes have changed, so the log and those who watch the key have to know, though nobody is notified.
    ctx.db.changed(key, 1);
    ctx.out.int(card as i64);
    Ok(())
}

/// `PFMERGE destkey [sourcekey …]`
fn pfmerge(ctx: &mut Ctx<'_>) -> Outcome {
    let (target, keys) = (ctx.args.get(1), ctx.args.from(1));
    let mut registers: Box<Registers> = Box::new([0; REGISTERS]);
    let mut dense = false;
    for key in keys.iter() {
        // The target is one of the sources: both count as read.
        ctx.db.read(key);
        if let Some(bytes) = view(&ctx.db, key)? {
            dense |= !hll::is_sparse(&bytes);
            hll::merge(&bytes, &mut registers)?;
        }
    }
    let sparse_max = ctx.db.limits().hll_sparse_max_bytes;
    let exists = check(&mut ctx.db, target)?;
    ctx.db.edit_str(target, |bytes| {
        if !exists {
            *bytes = hll::new();
        }
        if dense {
            hll::make_dense(bytes)?;
        }
        // The merge has read all runs, so that none of these fails half-way.
        for (index, &value) in registers
            .iter()
            .enumerate()
            .filter(|(_, value)| **value > 0)
        {
            hll::raise(bytes, index, value, sparse_max)?;
        }
        hll::invalidate(bytes);
        Ok(())
    })?;
    ctx.db.effect(Class::STRING, "pfadd", target, 1);
    ctx.out.ok();
    Ok(())
}

/// `PFDEBUG GETREG|DECODE|ENCODING|TODENSE key`
fn pfdebug(ctx: &mut Ctx<'_>) -> Outcome {
    let (command, key) = (ctx.args.get(1), ctx.args.get(2));
    if !check(&mut ctx.db, key)? {
        return Err("ERR The specified key does not exist".into());
    }
    let Some(bytes) = view(&ctx.db, key)? else {
        return Ok(());
    };
    let sparse = hll::is_sparse(&bytes);
    match command.to_ascii_uppercase().as_slice() {
        b"GETREG" => {
            let registers = hll::registers(&bytes)?;
            make_dense(ctx, key, sparse)?;
            ctx.out.array(REGISTERS);
            registers
                .iter()
                .for_each(|&value| ctx.out.int(i64::from(value)));
        }
        b"DECODE" if sparse => {
            let text = hll::describe(&bytes);
            ctx.out.bulk(text.as_bytes());
        }
        b"DECODE" => return Err("ERR HLL encoding is not sparse".into()),
        b"ENCODING" => ctx.out.simple(if sparse { "sparse" } else { "dense" }),
        b"TODENSE" => {
            make_dense(ctx, key, sparse)?;
            ctx.out.int(i64::from(sparse));
        }
        _ => {
            let name = String::from_utf8_lossy(command);
            return Err(Error::text(format!(
                "ERR Unknown PFDEBUG subcommand '{name}'"
            )));
        }
    }
    Ok(())
}

fn make_dense(ctx: &mut Ctx<'_>, key: &[u8], sparse: bool) -> Outcome {
    if sparse {
        ctx.db.edit_str(key, |bytes| Ok(hll::make_dense(bytes)?))?;
        ctx.db.changed(key, 1);
    }
    Ok(())
}

/// `PFSELFTEST`
fn pfselftest(ctx: &mut Ctx<'_>) -> Outcome {
    let mut rng = Rng::new(ctx.db.ks.rng.next_u64());
    hll::self_test(&mut || rng.next_u64())
        .map_err(|what| Error::text(format!("ERR TESTFAILED {what}")))?;
    ctx.out.ok();
    Ok(())
}
