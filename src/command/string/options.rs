//! SET with options and the commands that amount to it: SETEX, PSETEX, SETNX, MSETEX; and GETEX, which shares the
//! expiration options.

use super::compare::Condition;
use super::{get, store_pairs, stored};
use crate::command::args::{Args, Cursor};
use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::keyspace::effect::Class;
use crate::keyspace::{Expire, Keys};

/// The expiration that options ask for. Times are read late: a syntax error anywhere in the options comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expiration<'a> {
    Unset,
    Keep,
    Persist,
    Time {
        seconds: bool,
        absolute: bool,
        text: &'a [u8],
    },
}

impl<'a> Expiration<'a> {
    /// Takes the next option if it is `EX`, `PX`, `EXAT` or `PXAT` with its time. The same one may come again, another
    /// one not.
    pub(super) fn read_time(&mut self, rest: &mut Cursor<'a>) -> Result<bool, Error> {
        const FORMS: [(&str, bool, bool); 4] = [
            ("EX", true, false),
            ("PX", false, false),
            ("EXAT", true, true),
            ("PXAT", false, true),
        ];
        for (word, seconds, absolute) in FORMS {
            if !rest.word(word) {
                continue;
            }
            let text = rest.next()?;
            let new = Expiration::Time {
                seconds,
                absolute,
                text,
            };
            if !self.allows(new) {
                return Err(Error::SYNTAX);
            }
            *self = new;
            return Ok(true);
        }
        Ok(false)
    }

    /// Takes the next option if it is this word.
    pub(super) fn read_word(
        &mut self,
        rest: &mut Cursor<'a>,
        word: &str,
        new: Expiration<'a>,
    ) -> Result<bool, Error> {
        if !rest.word(word) {
            return Ok(false);
        }
        if !self.allows(new) {
            return Err(Error::SYNTAX);
        }
        *self = new;
        Ok(true)
    }

    fn allows(self, new: Expiration<'_>) -> bool {
        match (self, new) {
            (Expiration::Unset, _) => true,
            (
                Expiration::Time {
                    seconds, absolute, ..
                },
                Expiration::Time {
                    seconds: s,
                    absolute: a,
                    ..
                },
            ) => (seconds, absolute) == (s, a),
            (old, new) => old == new,
        }
    }

    /// The deadline in unix ms, if a time is given.
    pub(super) fn deadline(self, now_ms: i64, command: &str) -> Result<Option<i64>, Error> {
        let Expiration::Time {
            seconds,
            absolute,
            text,
        } = self
        else {
            return Ok(None);
        };
        let time = crate::base::num::parse_i64(text).ok_or(Error::NOT_INTEGER)?;
        let scale = if seconds { 1000 } else { 1 };
        let base = if absolute { 0 } else { now_ms };
        let deadline = Some(time)
            .filter(|&t| t > 0)
            .and_then(|t| t.checked_mul(scale))
            .and_then(|t| t.checked_add(base));
        deadline
            .map(Some)
            .ok_or_else(|| Error::invalid_expire(command))
    }

    pub(super) fn is_absolute(self) -> bool {
        matches!(self, Expiration::Time { absolute: true, .. })
    }

    fn as_expire(self, deadline: Option<i64>) -> Expire {
        match deadline {
            Some(at) => Expire::At(at),
            None if self == Expiration::Keep => Expire::Keep,
            None => Expire::Never,
        }
    }
}

/// Logs `SET key value` with its expiration in absolute form: what any replica and any Redis understands.
pub(super) fn log_set(db: &mut Keys<'_>, key: &[u8], value: &[u8], expire: Expire) {
    match expire {
        Expire::Never => db.log(&[b"SET", key, value]),
        Expire::Keep => db.log(&[b"SET", key, value, b"KEEPTTL"]),
        Expire::At(ms) => {
            let mut text = itoa::Buffer::new();
            db.log(&[b"SET", key, value, b"PXAT", text.format(ms).as_bytes()]);
        }
    }
}

/// Stores argument `value` with its events.
fn store(ctx: &mut Ctx<'_>, key: &[u8], value: usize, expire: Expire) {
    ctx.db.set_str(key, stored(&ctx.args, value), expire);
    ctx.db.effect(Class::STRING, "set", key, 1);
    if matches!(expire, Expire::At(_)) {
        ctx.db.effect(Class::GENERIC, "expire", key, 0);
    }
}

struct SetOptions<'a> {
    condition: Option<Condition<'a>>,
    expiration: Expiration<'a>,
    get: bool,
}

impl<'a> SetOptions<'a> {
    fn read(args: &Args<'a>) -> Result<SetOptions<'a>, Error> {
        let mut options = SetOptions {
            condition: None,
            expiration: Expiration::Unset,
            get: false,
        };
        let mut rest = args.cursor(3);
        while !rest.done() {
            if rest.word("GET") {
                options.get = true;
                continue;
            }
            let known = Condition::read_presence(&mut options.condition, &mut rest)?
                || Condition::read_comparison(&mut options.condition, &mut rest)?
                || options
                    .expiration
                    .read_word(&mut rest, "KEEPTTL", Expiration::Keep)?
                || options.expiration.read_time(&mut rest)?;
            if !known {
                return Err(Error::SYNTAX);
            }
        }
        Ok(options)
    }
}

/// `SET key value [NX|XX|IFEQ v|IFNE v|IFDEQ d|IFDNE d] [GET] [EX s|PX ms|EXAT s|PXAT ms|KEEPTTL]`
pub(super) fn set(ctx: &mut Ctx<'_>) -> Outcome {
    let args = ctx.args;
    let (key, value) = (args.get(1), args.get(2));
    let options = SetOptions::read(&args)?;
    let deadline = options.expiration.deadline(ctx.now_ms(), "set")?;
    // The type is checked before the reply is begun: with GET a value of another type is an error.
    let met = match options.condition {
        Some(condition) => condition.holds(ctx.db.look(key))?,
        None => true,
    };
    if options.get {
        get(ctx)?;
    } else if met {
        ctx.out.ok();
    } else {
        ctx.out.null();
    }
    if !met {
        return Ok(());
    }
    let expire = options.expiration.as_expire(deadline);
    store(ctx, key, 2, expire);
    let plain = options.condition.is_none_or(|c| c.is_presence());
    // PXAT says what any replica understands.
    let absolute = matches!(
        options.expiration,
        Expiration::Time {
            seconds: false,
            absolute: true,
            ..
        }
    );
    if options.get || deadline.is_some() && !absolute || !plain {
        log_set(&mut ctx.db, key, value, expire);
    }
    Ok(())
}

/// `SETNX key value`
pub(super) fn setnx(ctx: &mut Ctx<'_>) -> Outcome {
    let key = ctx.args.get(1);
    let free = !ctx.db.exists(key);
    if free {
        store(ctx, key, 2, Expire::Never);
    }
    ctx.out.int(i64::from(free));
    Ok(())
}

/// `SETEX key seconds value`
pub(super) fn setex(ctx: &mut Ctx<'_>) -> Outcome {
    set_for(ctx, true, "setex")
}

/// `PSETEX key milliseconds value`
pub(super) fn psetex(ctx: &mut Ctx<'_>) -> Outcome {
    set_for(ctx, false, "psetex")
}

fn set_for(ctx: &mut Ctx<'_>, seconds: bool, command: &str) -> Outcome {
    let args = ctx.args;
    let time = Expiration::Time {
        seconds,
        absolute: false,
        text: args.get(2),
    };
    let deadline = time.deadline(ctx.now_ms(), command)?;
    let expire = time.as_expire(deadline);
    store(ctx, args.get(1), 3, expire);
    log_set(&mut ctx.db, args.get(1), args.get(3), expire);
    ctx.out.ok();
    Ok(())
}

/// `GETEX key [EX s|PX ms|EXAT s|PXAT ms|PERSIST]`
pub(super) fn getex(ctx: &mut Ctx<'_>) -> Outcome {
    let key = ctx.args.get(1);
    let mut expiration = Expiration::Unset;
    let mut rest = ctx.args.cursor(2);
    while !rest.done() {
        let known = expiration.read_word(&mut rest, "PERSIST", Expiration::Persist)?
            || expiration.read_time(&mut rest)?;
        if !known {
            return Err(Error::SYNTAX);
        }
    }
    // The time is only looked at if there is something to expire.
    let now_ms = ctx.now_ms();
    let Some(text) = ctx.db.read_str(key)? else {
        ctx.out.null();
        return Ok(());
    };
    let deadline = expiration.deadline(now_ms, "getex")?;
    text.reply(ctx.out);
    apply_expiration(&mut ctx.db, key, expiration, deadline, true);
    Ok(())
}

/// Gives an existing key its new deadline, takes it away, or deletes the key if the deadline has passed. `log` says
/// whether that is the whole effect of the command.
pub(super) fn apply_expiration(
    db: &mut Keys<'_>,
    key: &[u8],
    expiration: Expiration<'_>,
    deadline: Option<i64>,
    log: bool,
) {
    match deadline {
        Some(at) if expiration.is_absolute() && db.is_over(at) => {
            db.unlink(key);
            db.effect(Class::GENERIC, "del", key, 1);
            if log {
                db.log(&[db.ks.verbs.expire.as_bytes(), key]);
            }
        }
        Some(at) => {
            db.set_expire(key, Some(at));
            db.effect(Class::GENERIC, "expire", key, 1);
            if log {
                let mut text = itoa::Buffer::new();
                db.log(&[b"PEXPIREAT", key, text.format(at).as_bytes()]);
            }
        }
        None if expiration == Expiration::Persist
            && db.peek(key).is_some_and(|entry| entry.expire().is_some()) =>
        {
            db.set_expire(key, None);
            db.effect(Class::GENERIC, "persist", key, 1);
            if log {
                db.log(&[b"PERSIST", key]);
            }
        }
        None => {}
    }
}

/// `MSETEX numkeys key value [key value …] [NX|XX] [EX s|PX ms|EXAT s|PXAT ms|KEEPTTL]`
pub(super) fn msetex(ctx: &mut Ctx<'_>) -> Outcome {
    const BAD_COUNT: Error = Error::new("ERR invalid numkeys value");
    const BAD_PAIRS: Error = Error::new("ERR wrong number of key-value pairs");
    let args = ctx.args;
    let count = crate::base::num::parse_i64(args.get(1))
        .filter(|n| (1..=i64::from(i32::MAX)).contains(n))
        .ok_or(BAD_COUNT)? as usize;
    let end = 2 + count * 2;
    if args.len() < end {
        return Err(BAD_PAIRS);
    }
    let (mut condition, mut expiration) = (None, Expiration::Unset);
    let mut rest = args.cursor(end);
    while !rest.done() {
        let known = Condition::read_presence(&mut condition, &mut rest)?
            || expiration.read_word(&mut rest, "KEEPTTL", Expiration::Keep)?
            || expiration.read_time(&mut rest)?;
        if !known {
            return Err(Error::SYNTAX);
        }
    }
    let deadline = expiration.deadline(ctx.now_ms(), "msetex")?;
    if let Some(condition) = condition {
        for at in (2..end).step_by(2) {
            if !condition.holds(ctx.db.look(args.get(at)))? {
                ctx.out.int(0);
                return Ok(());
            }
        }
    }
    let expire = expiration.as_expire(deadline);
    store_pairs(ctx, 2, end, expire);
    for at in (2..end).step_by(2) {
        if deadline.is_some() {
            ctx.db.effect(Class::GENERIC, "expire", args.get(at), 0);
        }
        // Spelled out, because Redis before 8.4 does not know the command.
        log_set(&mut ctx.db, args.get(at), args.get(at + 1), expire);
    }
    ctx.out.int(1);
    Ok(())
}
