//! DUMP, RESTORE, RESTORE-ASKING, MIGRATE: single keys as payloads.

mod migrate;
#[cfg(test)]
mod tests;

pub use migrate::{Connections, cron};

use crate::command::args::Cursor;
use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::command::keys;
use crate::command::spec::{Begin, DocFlags, Find, Group, KeySpec, Spec, cats, flags, key};
use crate::keyspace::effect::Class;
use crate::rdb::load::{KeyHead, clock_of};
use crate::rdb::value::{self, Encoder};
use crate::value::entry::Head;

const ROW: Spec = Spec {
    group: Group::Generic,
    ..Spec::BLANK
};

const RESTORE_SYNTAX: &str = "key/k0 ttl/i serialized-value [REPLACE@3.0.0] [ABSTTL@5.0.0] [IDLETIME:seconds/i@5.0.0] [FREQ:frequency/i@5.0.0]";
const RESTORE_HISTORY: &[(&str, &str)] = &[
    ("3.0.0", "Added `REPLACE`."),
    ("5.0.0", "Added `ABSTTL`, `IDLETIME` and `FREQ`."),
];

pub static TABLE: &[Spec] = &[
    Spec {
        name: "dump",
        since: "2.6.0",
        arity: 2,
        flags: flags!(READONLY),
        categories: cats!(KEYSPACE),
        keys: &[KeySpec::one(key!(RO | ACCESS), 1)],
        tips: &["nondeterministic_output"],
        summary: "Returns a value in the serialized form that RESTORE reads.",
        complexity: "O(1); O(N*M); O(1*M)",
        syntax: "key/k0",
        run: dump,
        ..ROW
    },
    Spec {
        name: "migrate",
        since: "2.6.0",
        arity: -6,
        flags: flags!(WRITE),
        categories: cats!(KEYSPACE | DANGEROUS),
        keys: &[
            KeySpec::one(key!(RW | ACCESS | DELETE), 3),
            KeySpec {
                flags: key!(RW | ACCESS | DELETE | INCOMPLETE),
                begin: Begin::Keyword {
                    word: "KEYS",
                    from: -2,
                },
                find: Find::Range {
                    last: -1,
                    step: 1,
                    limit: 0,
                },
            },
        ],
        special_keys: Some(keys::migrate),
        tips: &["nondeterministic_output"],
        history: &[
            ("3.0.0", "Added `COPY` and `REPLACE`."),
            ("3.0.6", "Added `KEYS`."),
            ("4.0.7", "Added `AUTH`."),
            ("6.0.0", "Added `AUTH2`."),
        ],
        summary: "Moves keys to another server.",
        complexity: "O(N)",
        syntax: "host port/i key-selector<key/k0|'':empty-string/!> destination-db/i timeout/i [COPY@3.0.0] [REPLACE@3.0.0] [authentication<AUTH:auth(password)@4.0.7|AUTH2:auth2{username password}@6.0.0>] [KEYS:keys(key)/k1...@3.0.6]",
        run: migrate::migrate,
        ..ROW
    },
    Spec {
        name: "restore",
        since: "2.6.0",
        arity: -4,
        flags: flags!(WRITE | DENYOOM),
        categories: cats!(KEYSPACE | DANGEROUS),
        keys: &[KeySpec::one(key!(OW | UPDATE), 1)],
        history: RESTORE_HISTORY,
        summary: "Creates a key from a value serialized by DUMP.",
        complexity: "O(1); O(N*M); O(1*M); O(N*M*log(N)); O(log(N))",
        syntax: RESTORE_SYNTAX,
        run: restore,
        ..ROW
    },
    Spec {
        name: "restore-asking",
        since: "3.0.0",
        arity: -4,
        flags: flags!(WRITE | DENYOOM | ASKING),
        categories: cats!(KEYSPACE | DANGEROUS),
        keys: &[KeySpec::one(key!(OW | UPDATE), 1)],
        group: Group::Server,
        doc_flags: DocFlags::SYSCMD,
        history: RESTORE_HISTORY,
        summary: "Restores a dumped value while a cluster slot is being moved; servers send it.",
        complexity: "O(1); O(N*M); O(1*M); O(N*M*log(N)); O(log(N))",
        syntax: RESTORE_SYNTAX,
        run: restore,
        ..ROW
    },
];

fn dump(ctx: &mut Ctx<'_>) -> Outcome {
    let mut encoder = Encoder::new(ctx.core.config.rdbcompression, 0);
    let Some(entry) = ctx.db.read(&ctx.args[1]) else {
        ctx.out.null();
        return Ok(());
    };
    let payload = value::encode(entry, &mut encoder);
    let payload = payload.map_err(|error| Error::text(format!("ERR {error}")))?;
    ctx.out.bulk(&payload);
    Ok(())
}

/// The options of RESTORE.
#[derive(Clone, Copy, Debug, Default)]
struct Options {
    replace: bool,
    absolute: bool,
    idle_s: Option<i64>,
    freq: Option<u8>,
}

fn read_options(mut rest: Cursor<'_>) -> Result<Options, Error> {
    let mut options = Options::default();
    while !rest.done() {
        if rest.word("REPLACE") {
            options.replace = true;
        } else if rest.word("ABSTTL") {
            options.absolute = true;
        } else if rest.left() >= 2 && options.freq.is_none() && rest.word("IDLETIME") {
            let idle_s = rest.int()?;
            if idle_s < 0 {
                return Err(Error::new("ERR Invalid IDLETIME value, must be >= 0"));
            }
            options.idle_s = Some(idle_s);
        } else if rest.left() >= 2 && options.idle_s.is_none() && rest.word("FREQ") {
            let freq = u8::try_from(rest.int()?);
            options.freq = Some(
                freq.map_err(|_| Error::new("ERR Invalid FREQ value, must be >= 0 and <= 255"))?,
            );
        } else {
            return Err(Error::SYNTAX);
        }
    }
    Ok(options)
}

fn restore(ctx: &mut Ctx<'_>) -> Outcome {
    let options = read_options(ctx.args.cursor(4))?;
    let (name, payload) = (ctx.args.get(1), ctx.args.get(3));
    if !options.replace && ctx.db.exists(name) {
        return Err(Error::new("BUSYKEY Target key name already exists."));
    }
    let ttl = ctx.args.int(2)?;
    if ttl < 0 {
        return Err(Error::new("ERR Invalid TTL value, must be >= 0"));
    }
    if !value::verify(payload, ctx.core.debug.skip_checksum) {
        return Err(Error::new("ERR DUMP payload version or checksum are wrong"));
    }
    let now_ms = ctx.now_ms();
    let expire = match ttl {
        0 => None,
        ttl if options.absolute => Some(ttl),
        ttl => {
            let at = now_ms.checked_add(ttl);
            Some(at.ok_or_else(|| Error::invalid_expire(ctx.command.spec.name))?)
        }
    };
    let head = KeyHead {
        expire,
        idle_s: options.idle_s.map(|idle_s| idle_s as u64),
        freq: options.freq,
    };
    let parts = Head {
        clock: Some(clock_of(&head, &ctx.db.ks.access, now_ms)),
        expire,
        score: None,
    };
    let entry = value::decode(payload, name, parts, ctx.db.limits());
    let entry = entry.unwrap_or_else(|fault| {
        tracing::warn!("RESTORE of a bad payload: integrity check failed: it {fault}");
        None
    });
    let entry = entry.ok_or(Error::new("ERR Bad data format"))?;
    let existed = options.replace && ctx.db.delete(name);
    if expire.is_some_and(|at| ctx.db.is_over(at)) {
        // It would be gone at once: only what it replaces goes.
        if existed {
            let lazy = ctx.core.config.lazyfree_lazy_server_del;
            let verb: &[u8] = if lazy { b"UNLINK" } else { b"DEL" };
            ctx.db.effect(Class::GENERIC, "del", name, 1);
            ctx.db.log(&[verb, name]);
        }
        ctx.out.ok();
        return Ok(());
    }
    ctx.db.put(entry);
    ctx.db.effect(Class::GENERIC, "restore", name, 1);
    if let Some(at) = expire
        && !options.absolute
    {
        let mut at_text = itoa::Buffer::new();
        let at_text = at_text.format(at).as_bytes();
        let mut effect: Vec<&[u8]> = vec![b"RESTORE", name, at_text, payload];
        effect.extend(ctx.args.from(4).iter());
        effect.push(b"ABSTTL");
        ctx.db.log(&effect);
    }
    ctx.out.ok();
    Ok(())
}
