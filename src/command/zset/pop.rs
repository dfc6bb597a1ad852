//! Taking members from either end: ZPOPMIN, ZPOPMAX, ZMPOP.

use super::{Shape, write_member};
use crate::command::args::Args;
use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::command::mpop;
use crate::keyspace::effect::Class;
use crate::resp::reply::Reply;
use crate::value::packed::Elem;
use crate::value::zset::Zset;

/// Which end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Min,
    Max,
}

impl End {
    /// The end that an argument names.
    pub(super) fn parse(word: &[u8]) -> Result<End, Error> {
        if word.eq_ignore_ascii_case(b"MIN") {
            Ok(End::Min)
        } else if word.eq_ignore_ascii_case(b"MAX") {
            Ok(End::Max)
        } else {
            Err(Error::SYNTAX)
        }
    }

    fn event(self) -> &'static str {
        match self {
            End::Min => "zpopmin",
            End::Max => "zpopmax",
        }
    }

    pub(super) fn verb(self) -> &'static [u8] {
        match self {
            End::Min => b"ZPOPMIN",
            End::Max => b"ZPOPMAX",
        }
    }
}

/// Takes up to `count` members of a key that has some, and writes them behind what `begin` writes,
/// which gets their number. Returns the number.
pub(super) fn pop(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    end: End,
    count: usize,
    begin: impl FnOnce(&mut Reply, usize),
    write: impl Fn(&mut Reply, Elem<'_>, f64),
) -> Result<usize, Error> {
    let out = &mut *ctx.out;
    let popped = ctx.db.modify::<Zset, _>(key, |set| {
        let len = set.len();
        let count = count.min(len);
        begin(out, count);
        let ranks = match end {
            End::Min => 0..count,
            End::Max => len - count..len,
        };
        set.take(ranks, end == End::Max, &mut |elem, score| {
            write(out, elem, score)
        });
        count
    })?;
    let popped = popped.unwrap_or(0);
    if popped > 0 {
        ctx.db.effect(Class::ZSET, end.event(), key, popped);
    }
    Ok(popped)
}

pub(super) fn zpopmin(ctx: &mut Ctx<'_>) -> Outcome {
    pop_key(ctx, End::Min)
}

pub(super) fn zpopmax(ctx: &mut Ctx<'_>) -> Outcome {
    pop_key(ctx, End::Max)
}

fn pop_key(ctx: &mut Ctx<'_>, end: End) -> Outcome {
    let args = ctx.args;
    let count = match args.len() {
        2 => None,
        3 => {
            let count = args.int(2).ok().and_then(|n| usize::try_from(n).ok());
            Some(count.ok_or(Error::MUST_BE_POSITIVE)?)
        }
        _ => return Err(Error::SYNTAX),
    };
    let key = args.get(1);
    let there = match ctx.db.look(key) {
        Some(_) => ctx.db.peek_as::<Zset>(key)?.is_some(),
        None => false,
    };
    if !there || count == Some(0) {
        ctx.out.array(0);
        return Ok(());
    }
    // Without a count the reply is one flat pair, in RESP3 too.
    let shape = match count {
        None => Shape::Flat,
        Some(_) => Shape::new(ctx.out, true),
    };
    pop(
        ctx,
        key,
        end,
        count.unwrap_or(1),
        |out, count| shape.begin(out, count),
        |out, elem, score| shape.write(out, elem, score),
    )?;
    Ok(())
}

pub(super) fn zmpop(ctx: &mut Ctx<'_>) -> Outcome {
    let (keys, end, count) = mpop::read(ctx.args, 1, End::parse)?;
    if !pop_first(ctx, keys, end, count)? {
        ctx.out.null_array();
    }
    Ok(())
}

/// Replies with the first key that exists and up to `count` of its members. False, without a reply,
/// if there is none. The log names the key that was chosen.
pub(super) fn pop_first(
    ctx: &mut Ctx<'_>,
    keys: Args<'_>,
    end: End,
    count: usize,
) -> Result<bool, Error> {
    for key in keys.iter() {
        if ctx.db.look(key).is_none() {
            continue;
        }
        let popped = pop(
            ctx,
            key,
            end,
            count,
            |out, count| {
                out.array(2);
                out.bulk(key);
                out.array(count);
            },
            |out, elem, score| {
                out.array(2);
                write_member(out, elem);
                out.double(score);
            },
        )?;
        let mut digits = itoa::Buffer::new();
        let popped = digits.format(popped).as_bytes();
        ctx.db.log(&[end.verb(), key, popped]);
        return Ok(true);
    }
    Ok(false)
}
