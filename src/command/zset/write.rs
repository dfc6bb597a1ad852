//! Adding members, changing scores, removing members: ZADD, ZINCRBY, ZREM.

use smallvec::SmallVec;

use super::NAN;
use crate::command::args::Args;
use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::keyspace::effect::Class;
use crate::value::Limits;
use crate::value::zset::{AddFlags, Change, Nan, Zset};

/// What the options of ZADD say.
struct Options {
    flags: AddFlags,
    /// The reply counts changed members too.
    ch: bool,
    /// Where the first score stands.
    from: usize,
}

fn options(args: Args<'_>) -> Result<Options, Error> {
    let mut rest = args.cursor(2);
    let mut flags = AddFlags::default();
    let mut ch = false;
    // Most calls have none, and a score first.
    while args
        .get(rest.at())
        .first()
        .is_some_and(u8::is_ascii_alphabetic)
    {
        if rest.word("NX") {
            flags.nx = true;
        } else if rest.word("XX") {
            flags.xx = true;
        } else if rest.word("GT") {
            flags.gt = true;
        } else if rest.word("LT") {
            flags.lt = true;
        } else if rest.word("CH") {
            ch = true;
        } else if rest.word("INCR") {
            flags.incr = true;
        } else {
            break;
        }
        if rest.done() {
            break;
        }
    }
    if rest.done() || !rest.left().is_multiple_of(2) {
        return Err(Error::SYNTAX);
    }
    if flags.nx && flags.xx {
        return Err("ERR XX and NX options at the same time are not compatible".into());
    }
    if (flags.nx && (flags.gt || flags.lt)) || (flags.gt && flags.lt) {
        return Err("ERR GT, LT, and/or NX options at the same time are not compatible".into());
    }
    if flags.incr && rest.left() > 2 {
        return Err("ERR INCR option supports a single increment-element pair".into());
    }
    Ok(Options {
        flags,
        ch,
        from: rest.at(),
    })
}

/// How many members were added and changed.
#[derive(Default)]
pub(in crate::command) struct Counts {
    pub added: usize,
    pub updated: usize,
    /// The last change.
    last: Option<Change>,
}

impl Counts {
    pub fn changes(&self) -> usize {
        self.added + self.updated
    }
}

/// Adds members to a set. Only an increment, which comes alone, can fail.
pub(in crate::command) fn add_all<'a>(
    set: &mut Zset,
    members: impl Iterator<Item = (f64, &'a [u8])> + Clone,
    flags: AddFlags,
    limits: &Limits,
) -> Result<Counts, Nan> {
    let (count, longest) = members.clone().fold((0, 0), |(n, longest), (_, member)| {
        (n + 1, member.len().max(longest))
    });
    set.prepare(count, longest, limits);
    let mut counts = Counts::default();
    for (score, member) in members {
        let change = set.add(score, member, flags, limits)?;
        match change {
            Change::Added(_) => counts.added += 1,
            Change::Updated(_) => counts.updated += 1,
            Change::Skipped | Change::Same(_) => {}
        }
        counts.last = Some(change);
    }
    Ok(counts)
}

pub(super) fn zadd(ctx: &mut Ctx<'_>) -> Outcome {
    let args = ctx.args;
    let options = options(args)?;
    let mut scores: SmallVec<[f64; 8]> = SmallVec::new();
    for at in (options.from..args.len()).step_by(2) {
        scores.push(args.float(at)?);
    }
    add(ctx, &scores, options)
}

pub(super) fn zincrby(ctx: &mut Ctx<'_>) -> Outcome {
    let increment = ctx.args.float(2)?;
    let flags = AddFlags {
        incr: true,
        ..AddFlags::default()
    };
    add(
        ctx,
        &[increment],
        Options {
            flags,
            ch: false,
            from: 2,
        },
    )
}

fn add(ctx: &mut Ctx<'_>, scores: &[f64], options: Options) -> Outcome {
    let (args, limits, flags) = (ctx.args, ctx.db.limits(), options.flags);
    let key = args.get(1);
    let member = |n: usize| args.get(options.from + 2 * n + 1);
    let members = scores
        .iter()
        .enumerate()
        .map(|(n, score)| (*score, member(n)));
    let counts = ctx
        .db
        .update::<Zset, _>(key, |set| add_all(set, members, flags, &limits))?
        .map_err(|Nan| NAN)?;
    if counts.changes() > 0 {
        let event = if flags.incr { "zincr" } else { "zadd" };
        ctx.db.effect(Class::ZSET, event, key, counts.changes());
    }
    match counts.last {
        Some(Change::Added(score) | Change::Updated(score) | Change::Same(score)) if flags.incr => {
            ctx.out.double(score);
        }
        _ if flags.incr => ctx.out.null(),
        _ if options.ch => ctx.out.count(counts.changes()),
        _ => ctx.out.count(counts.added),
    }
    Ok(())
}

pub(super) fn zrem(ctx: &mut Ctx<'_>) -> Outcome {
    let args = ctx.args;
    let removed = ctx.db.modify::<Zset, _>(&args[1], |set| {
        args.iter()
            .skip(2)
            .filter(|member| set.remove(member))
            .count()
    })?;
    let removed = removed.unwrap_or(0);
    if removed > 0 {
        ctx.db.effect(Class::ZSET, "zrem", &args[1], removed);
    }
    ctx.out.count(removed);
    Ok(())
}
