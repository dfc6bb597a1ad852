//! Random members: SPOP and SRANDMEMBER.

use super::write_member;
use crate::base::rng::Rng;
use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::keyspace::effect::Class;
use crate::value::packed::Elem;
use crate::value::set::Set;

/// Members that one SREM in the log removes.
const LOG_MEMBERS: usize = 1024;
/// Elements with repetitions that one reply may have where no output limit bounds it; more would
/// only exhaust the memory.
pub(crate) const MAX_REPEATS: u64 = 1 << 26;

/// Reads the count of a random choice: distinct elements, or, with true, that many in all.
pub(crate) fn random_count(ctx: &Ctx<'_>, at: usize) -> Result<(u64, bool), Error> {
    let count = ctx.args.int(at)?;
    if count == i64::MIN {
        return Err(Error::new(
            "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        ));
    }
    let repeat = count < 0;
    let count = count.unsigned_abs();
    Ok((count, repeat))
}

/// A generator for one command, drawn from the server's.
pub(crate) fn random_source(ctx: &mut Ctx<'_>) -> Rng {
    Rng::new(ctx.db.ks.rng.next_u64())
}

pub(super) fn spop(ctx: &mut Ctx<'_>) -> Outcome {
    let args = ctx.args;
    match args.len() {
        2 => pop_one(ctx),
        3 => {
            let count = args.int(2).ok().and_then(|n| usize::try_from(n).ok());
            pop_many(ctx, count.ok_or(Error::MUST_BE_POSITIVE)?)
        }
        _ => Err(Error::SYNTAX),
    }
}

fn pop_one(ctx: &mut Ctx<'_>) -> Outcome {
    let key = ctx.args.get(1);
    let mut rng = random_source(ctx);
    let mut member = None;
    ctx.db.modify::<Set, _>(key, |set| {
        set.pop(1, &mut rng, &mut |elem| member = Some(elem.to_vec()));
    })?;
    if let Some(member) = &member {
        ctx.db.effect(Class::SET, "spop", key, 1);
        ctx.db.log(&[b"SREM", key, member]);
    }
    ctx.out.bulk_or_null(member.as_deref());
    Ok(())
}

fn pop_many(ctx: &mut Ctx<'_>, count: usize) -> Outcome {
    let key = ctx.args.get(1);
    ctx.db.expire_if_due(key);
    let len = ctx.db.peek_as::<Set>(key)?.map_or(0, |set| set.len());
    if count == 0 || len == 0 {
        ctx.out.set(0);
        return Ok(());
    }
    if count >= len {
        return pop_all(ctx);
    }
    let mut rng = random_source(ctx);
    ctx.out.set(count);
    let mut gone: Vec<Vec<u8>> = Vec::with_capacity(count);
    let out = &mut *ctx.out;
    ctx.db.modify::<Set, _>(key, |set| {
        set.pop(count, &mut rng, &mut |elem| {
            write_member(out, elem);
            gone.push(elem.to_vec());
        });
    })?;
    ctx.db.effect(Class::SET, "spop", key, count);
    for members in gone.chunks(LOG_MEMBERS) {
        let effect: Vec<&[u8]> = [&b"SREM"[..], key]
            .into_iter()
            .chain(members.iter().map(|m| &m[..]))
            .collect();
        ctx.db.log(&effect);
    }
    Ok(())
}

/// The whole set goes: its key is deleted.
fn pop_all(ctx: &mut Ctx<'_>) -> Outcome {
    let key = ctx.args.get(1);
    let Some(set) = ctx.db.peek_as::<Set>(key)? else {
        return Err(Error::NO_SUCH_KEY);
    };
    let len = set.len();
    ctx.out.set(len);
    set.iter().for_each(|elem| write_member(ctx.out, elem));
    ctx.db.unlink(key);
    ctx.db.effect(Class::SET, "spop", key, len);
    ctx.db.effect(Class::GENERIC, "del", key, 0);
    let verb: &[u8] = if ctx.core.config.lazyfree_lazy_server_del {
        b"UNLINK"
    } else {
        b"DEL"
    };
    ctx.db.log(&[verb, key]);
    Ok(())
}

pub(super) fn srandmember(ctx: &mut Ctx<'_>) -> Outcome {
    let args = ctx.args;
    if args.len() > 3 {
        return Err(Error::SYNTAX);
    }
    if args.len() == 3 {
        return random_many(ctx);
    }
    let mut rng = random_source(ctx);
    let set = ctx.db.read_as::<Set>(&args[1])?;
    match set.and_then(|set| set.random(&mut rng)) {
        Some(elem) => write_member(ctx.out, elem),
        None => ctx.out.null(),
    }
    Ok(())
}

fn random_many(ctx: &mut Ctx<'_>) -> Outcome {
    let (count, repeat) = random_count(ctx, 2)?;
    let mut rng = random_source(ctx);
    let set = ctx.db.read_as::<Set>(&ctx.args[1])?;
    let Some(set) = set.filter(|set| count > 0 && !set.is_empty()) else {
        ctx.out.array(0);
        return Ok(());
    };
    let out = &mut *ctx.out;
    if !repeat {
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(set.len());
        out.array(count);
        set.sample(count, &mut rng, &mut |elem: Elem<'_>| {
            write_member(out, elem)
        });
        return Ok(());
    }
    if count > MAX_REPEATS && !out.is_capped() {
        return Err(Error::OUT_OF_RANGE);
    }
    out.array(count as usize);
    for _ in 0..count {
        if out.is_over() {
            break;
        }
        // Not empty, as seen above.
        if let Some(elem) = set.random(&mut rng) {
            write_member(out, elem);
        }
    }
    Ok(())
}
