//! Intervals: ZRANGE and its older forms, ZRANGESTORE, ZCOUNT, ZLEXCOUNT, ZREMRANGEBY….

use std::ops::Range;

use super::Shape;
use crate::base::num;
use crate::command::args::Cursor;
use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::keyspace::effect::Class;
use crate::value::zset::{LexBound, LexRange, ScoreRange, Zset, ZsetRef};

const NOT_SCORES: Error = Error::new("ERR min or max is not a float");
const NOT_LEX: Error = Error::new("ERR min or max not valid string range item");

/// What an interval is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Rank,
    Score,
    Lex,
}

/// An interval of a sorted set, as arguments give it.
#[derive(Clone, Copy, Debug)]
enum Interval<'a> {
    /// First and last position; negative ones count from the end.
    Rank(i64, i64),
    Score(ScoreRange),
    Lex(LexRange<'a>),
}

/// A number as C's `strtod` reads it: nothing is zero, and what is too large is infinite.
fn c_double(text: &[u8]) -> Option<f64> {
    let text = num::c_text(text);
    if text.is_empty() {
        return Some(0.0);
    }
    let value = num::parse_f64(text).or_else(|| std::str::from_utf8(text).ok()?.parse().ok())?;
    (!value.is_nan()).then_some(value)
}

/// A bound of scores, and whether it is itself outside.
fn score_bound(text: &[u8]) -> Result<(f64, bool), Error> {
    let (number, exclusive) = match text.strip_prefix(b"(") {
        Some(number) => (number, true),
        None => (text, false),
    };
    c_double(number)
        .map(|value| (value, exclusive))
        .ok_or(NOT_SCORES)
}

fn lex_bound(text: &[u8]) -> Result<LexBound<'_>, Error> {
    match text {
        b"-" => Ok(LexBound::First),
        b"+" => Ok(LexBound::Last),
        [b'[', member @ ..] => Ok(LexBound::Inclusive(member)),
        [b'(', member @ ..] => Ok(LexBound::Exclusive(member)),
        _ => Err(NOT_LEX),
    }
}

impl<'a> Interval<'a> {
    fn read(by: By, min: &'a [u8], max: &'a [u8]) -> Result<Interval<'a>, Error> {
        Ok(match by {
            By::Rank => {
                let rank = |text| num::parse_i64(text).ok_or(Error::NOT_INTEGER);
                Interval::Rank(rank(min)?, rank(max)?)
            }
            By::Score => {
                let ((min, min_exclusive), (max, max_exclusive)) =
                    (score_bound(min)?, score_bound(max)?);
                Interval::Score(ScoreRange {
                    min,
                    max,
                    min_exclusive,
                    max_exclusive,
                })
            }
            By::Lex => Interval::Lex(LexRange {
                min: lex_bound(min)?,
                max: lex_bound(max)?,
            }),
        })
    }

    /// The positions, in ascending order; `rev`: those given count from the highest member.
    fn ranks(&self, set: ZsetRef<'_>, rev: bool) -> Range<usize> {
        match self {
            Interval::Score(scores) => set.ranks(scores),
            Interval::Lex(members) => set.ranks(members),
            Interval::Rank(first, last) => {
                let len = set.len();
                let from_end = |at: i64| {
                    if at < 0 {
                        at.saturating_add(len as i64)
                    } else {
                        at
                    }
                };
                let (first, last) = (from_end(*first).max(0), from_end(*last));
                if last < first || first >= len as i64 {
                    return 0..0;
                }
                let (first, end) = (first as usize, (last as usize).min(len - 1) + 1);
                if rev {
                    len - end..len - first
                } else {
                    first..end
                }
            }
        }
    }
}

/// `LIMIT offset count`.
#[derive(Clone, Copy, Debug)]
struct Limit {
    offset: i64,
    /// Negative: all.
    count: i64,
}

impl Limit {
    const ALL: Limit = Limit {
        offset: 0,
        count: -1,
    };

    fn read(rest: &mut Cursor<'_>) -> Result<Limit, Error> {
        Ok(Limit {
            offset: rest.int()?,
            count: rest.int()?,
        })
    }

    /// The part of these positions, counted in the direction of the walk.
    fn of(self, ranks: Range<usize>, rev: bool) -> Range<usize> {
        let Ok(offset) = usize::try_from(self.offset) else {
            return 0..0;
        };
        let offset = offset.min(ranks.len());
        let count = usize::try_from(self.count).unwrap_or(usize::MAX);
        let count = count.min(ranks.len() - offset);
        if rev {
            let end = ranks.end - offset;
            end - count..end
        } else {
            let start = ranks.start + offset;
            start..start + count
        }
    }
}

/// What a command of the ZRANGE family asks for.
struct Request<'a> {
    interval: Interval<'a>,
    rev: bool,
    limit: Limit,
    with_scores: bool,
}

/// What the name of the command has already decided.
#[derive(Clone, Copy)]
struct Given {
    by: Option<By>,
    rev: Option<bool>,
    /// The command stores, and takes no WITHSCORES.
    store: bool,
}

impl<'a> Request<'a> {
    /// Reads the bounds at `at` and the options behind them.
    fn read(ctx: &Ctx<'a>, at: usize, given: Given) -> Result<Request<'a>, Error> {
        let args = ctx.args;
        let mut rest = args.cursor(at + 2);
        let (mut by, mut rev) = (given.by, given.rev);
        let (mut limit, mut with_scores) = (Limit::ALL, false);
        while !rest.done() {
            if !given.store && rest.word("WITHSCORES") {
                with_scores = true;
            } else if rest.left() > 2 && rest.word("LIMIT") {
                limit = Limit::read(&mut rest)?;
            } else if rev.is_none() && rest.word("REV") {
                rev = Some(true);
            } else if by.is_none() && rest.word("BYLEX") {
                by = Some(By::Lex);
            } else if by.is_none() && rest.word("BYSCORE") {
                by = Some(By::Score);
            } else {
                return Err(Error::SYNTAX);
            }
        }
        let (by, rev) = (by.unwrap_or(By::Rank), rev.unwrap_or(false));
        if limit.count != -1 && by == By::Rank {
            return Err("ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX".into());
        }
        if with_scores && by == By::Lex {
            return Err(
                "ERR syntax error, WITHSCORES not supported in combination with BYLEX".into(),
            );
        }
        let (first, second) = (args.get(at), args.get(at + 1));
        // Backwards, the greater bound comes first.
        let (min, max) = if rev && by != By::Rank {
            (second, first)
        } else {
            (first, second)
        };
        let interval = Interval::read(by, min, max)?;
        Ok(Request {
            interval,
            rev,
            limit,
            with_scores,
        })
    }

    fn ranks(&self, set: ZsetRef<'_>) -> Range<usize> {
        let ranks = self.interval.ranks(set, self.rev);
        match self.interval {
            Interval::Rank(..) => ranks,
            _ => self.limit.of(ranks, self.rev),
        }
    }
}

fn range(ctx: &mut Ctx<'_>, by: Option<By>, rev: Option<bool>) -> Outcome {
    let request = Request::read(
        ctx,
        2,
        Given {
            by,
            rev,
            store: false,
        },
    )?;
    let shape = Shape::new(ctx.out, request.with_scores);
    let out = &mut *ctx.out;
    let Some(set) = ctx.db.read_as::<Zset>(&ctx.args[1])? else {
        out.array(0);
        return Ok(());
    };
    let ranks = request.ranks(set);
    shape.begin(out, ranks.len());
    for (elem, score) in set.range(ranks, request.rev) {
        shape.write(out, elem, score);
    }
    Ok(())
}

pub(super) fn zrange(ctx: &mut Ctx<'_>) -> Outcome {
    range(ctx, None, None)
}

pub(super) fn zrevrange(ctx: &mut Ctx<'_>) -> Outcome {
    range(ctx, Some(By::Rank), Some(true))
}

pub(super) fn zrangebyscore(ctx: &mut Ctx<'_>) -> Outcome {
    range(ctx, Some(By::Score), Some(false))
}

pub(super) fn zrevrangebyscore(ctx: &mut Ctx<'_>) -> Outcome {
    range(ctx, Some(By::Score), Some(true))
}

pub(super) fn zrangebylex(ctx: &mut Ctx<'_>) -> Outcome {
    range(ctx, Some(By::Lex), Some(false))
}

pub(super) fn zrevrangebylex(ctx: &mut Ctx<'_>) -> Outcome {
    range(ctx, Some(By::Lex), Some(true))
}

pub(super) fn zrangestore(ctx: &mut Ctx<'_>) -> Outcome {
    let request = Request::read(
        ctx,
        3,
        Given {
            by: None,
            rev: None,
            store: true,
        },
    )?;
    let set = ctx.db.read_as::<Zset>(&ctx.args[2])?;
    let entries = set.map(|set| set.entries(request.ranks(set)));
    super::algebra::store(ctx, "zrangestore", entries.unwrap_or_default())
}

fn count(ctx: &mut Ctx<'_>, by: By) -> Outcome {
    let args = ctx.args;
    let interval = Interval::read(by, args.get(2), args.get(3))?;
    let set = ctx.db.read_as::<Zset>(&args[1])?;
    ctx.out
        .count(set.map_or(0, |set| interval.ranks(set, false).len()));
    Ok(())
}

pub(super) fn zcount(ctx: &mut Ctx<'_>) -> Outcome {
    count(ctx, By::Score)
}

pub(super) fn zlexcount(ctx: &mut Ctx<'_>) -> Outcome {
    count(ctx, By::Lex)
}

fn remove(ctx: &mut Ctx<'_>, by: By, event: &'static str) -> Outcome {
    let args = ctx.args;
    let key = args.get(1);
    let interval = Interval::read(by, args.get(2), args.get(3))?;
    ctx.db.expire_if_due(key);
    let Some(set) = ctx.db.peek_as::<Zset>(key)? else {
        ctx.out.int(0);
        return Ok(());
    };
    let ranks = interval.ranks(set, false);
    let removed = ranks.len();
    if removed == set.len() {
        // Nothing stays, so the key goes as a whole, and what is large is freed elsewhere.
        ctx.db.delete(key);
        ctx.db.effect(Class::ZSET, event, key, removed);
        ctx.db.effect(Class::GENERIC, "del", key, 0);
    } else if removed > 0 {
        ctx.db
            .modify::<Zset, _>(key, |set| set.take(ranks, false, &mut |_, _| {}))?;
        ctx.db.effect(Class::ZSET, event, key, removed);
    }
    ctx.out.count(removed);
    Ok(())
}

pub(super) fn zremrangebyrank(ctx: &mut Ctx<'_>) -> Outcome {
    remove(ctx, By::Rank, "zremrangebyrank")
}

pub(super) fn zremrangebyscore(ctx: &mut Ctx<'_>) -> Outcome {
    remove(ctx, By::Score, "zremrangebyscore")
}

pub(super) fn zremrangebylex(ctx: &mut Ctx<'_>) -> Outcome {
    remove(ctx, By::Lex, "zremrangebylex")
}
