//! Several sorted sets at once: ZUNION, ZINTER, ZDIFF, what stores their results, ZINTERCARD.
//! Plain sets take part; each of their members has the score 1.

use super::Shape;
use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::keyspace::Keys;
use crate::keyspace::effect::Class;
use crate::value::Collection;
use crate::value::entry::Entry;
use crate::value::packed::Elem;
use crate::value::set::{Set, SetRef};
use crate::value::zset::large::entry_of;
use crate::value::zset::{Gather, Ranked, Zset, ZsetRef};

/// How scores of one member become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aggregate {
    Sum,
    Min,
    Max,
}

impl Aggregate {
    fn of(self, a: f64, b: f64) -> f64 {
        match self {
            // Of opposite infinities, which is where scores could stop being numbers.
            Aggregate::Sum if (a + b).is_nan() => 0.0,
            Aggregate::Sum => a + b,
            Aggregate::Min => {
                if b < a {
                    b
                } else {
                    a
                }
            }
            Aggregate::Max => {
                if b > a {
                    b
                } else {
                    a
                }
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Union,
    Inter,
    Diff,
}

/// A value that takes part.
#[derive(Clone, Copy)]
enum Source<'a> {
    Zset(ZsetRef<'a>),
    Set(SetRef<'a>),
}

impl<'a> Source<'a> {
    fn of(db: &'a Keys<'_>, key: &[u8]) -> Result<Option<Source<'a>>, Error> {
        let Some(entry) = db.peek(key) else {
            return Ok(None);
        };
        let zset = Zset::view(entry.payload()).map(Source::Zset);
        let source = zset.or_else(|| Set::view(entry.payload()).map(Source::Set));
        source.map(Some).ok_or(Error::WRONG_TYPE)
    }

    fn len(&self) -> usize {
        match self {
            Source::Zset(set) => set.len(),
            Source::Set(set) => set.len(),
        }
    }

    fn score(&self, member: &[u8]) -> Option<f64> {
        match self {
            Source::Zset(set) => set.score(member),
            Source::Set(set) => set.contains(member).then_some(1.0),
        }
    }

    /// Shows all members to `f` until it is false.
    fn all(&self, mut f: impl FnMut(Elem<'_>, f64) -> bool) {
        match self {
            Source::Zset(set) => {
                set.iter().all(|(elem, score)| f(elem, score));
            }
            Source::Set(set) => {
                set.iter().all(|elem| f(elem, 1.0));
            }
        }
    }
}

/// What is asked for.
struct Request {
    /// Positions of the keys among the arguments.
    keys: std::ops::Range<usize>,
    /// One for each key.
    weights: Vec<f64>,
    aggregate: Aggregate,
    with_scores: bool,
    /// Of ZINTERCARD; 0: none.
    limit: usize,
}

/// What a command of this family takes beside the keys.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Replies with members.
    Reply,
    Store,
    /// Replies with their number.
    Count,
}

impl Request {
    /// Reads the number of keys at `at` and all behind it. Keys of other types are found before
    /// mistakes in the options.
    fn read(ctx: &mut Ctx<'_>, at: usize, op: Op, kind: Kind) -> Result<Request, Error> {
        let args = ctx.args;
        let count = args.int(at)?;
        let count = usize::try_from(count)
            .ok()
            .filter(|n| *n > 0)
            .ok_or_else(|| {
                let name = &ctx.command.full_name;
                Error::text(format!(
                    "ERR at least 1 input key is needed for '{name}' command"
                ))
            })?;
        if count > args.len() - at - 1 {
            return Err(Error::SYNTAX);
        }
        let keys = at + 1..at + 1 + count;
        for key in keys.clone() {
            // Expires, counts and touches what is read below.
            ctx.db.read(args.get(key));
            Source::of(&ctx.db, args.get(key))?;
        }
        let mut request = Request {
            weights: vec![1.0; count],
            aggregate: Aggregate::Sum,
            with_scores: false,
            limit: 0,
            keys,
        };
        request.read_options(ctx, op, kind)?;
        Ok(request)
    }

    fn read_options(&mut self, ctx: &Ctx<'_>, op: Op, kind: Kind) -> Result<(), Error> {
        let mut rest = ctx.args.cursor(self.keys.end);
        let weighs = op != Op::Diff && kind != Kind::Count;
        while !rest.done() {
            let left = rest.left();
            if weighs && left > self.keys.len() && rest.word("WEIGHTS") {
                for weight in &mut self.weights {
                    *weight = rest
                        .float()
                        .map_err(|_| Error::new("ERR weight value is not a float"))?;
                }
            } else if weighs && left > 1 && rest.word("AGGREGATE") {
                self.aggregate = if rest.word("SUM") {
                    Aggregate::Sum
                } else if rest.word("MIN") {
                    Aggregate::Min
                } else if rest.word("MAX") {
                    Aggregate::Max
                } else {
                    return Err(Error::SYNTAX);
                };
            } else if kind == Kind::Reply && rest.word("WITHSCORES") {
                self.with_scores = true;
            } else if kind == Kind::Count && left > 1 && rest.word("LIMIT") {
                let limit = rest.int().ok().and_then(|n| usize::try_from(n).ok());
                self.limit = limit.ok_or(Error::new("ERR LIMIT can't be negative"))?;
            } else {
                return Err(Error::SYNTAX);
            }
        }
        Ok(())
    }

    /// The values of the keys, each with its weight; `None` where there is no such key.
    fn sources<'a>(&self, ctx: &'a Ctx<'_>) -> Result<Vec<(Option<Source<'a>>, f64)>, Error> {
        let keys = self
            .keys
            .clone()
            .map(|at| Source::of(&ctx.db, ctx.args.get(at)));
        keys.zip(&self.weights)
            .map(|(source, weight)| Ok((source?, *weight)))
            .collect()
    }

    fn result(&self, ctx: &Ctx<'_>, op: Op) -> Result<Vec<Entry>, Error> {
        let mut sources = self.sources(ctx)?;
        match op {
            Op::Diff => Ok(diff(&sources)),
            // The smallest first: sums of floats depend on the order.
            _ => {
                sources.sort_by_key(|(source, _)| source.map_or(0, |source| source.len()));
                Ok(match op {
                    Op::Union => union(&sources, self.aggregate),
                    _ => inter(&sources, self.aggregate),
                })
            }
        }
    }
}

/// A score with its weight; zero by infinity is zero.
fn weighed(score: f64, weight: f64) -> f64 {
    let score = score * weight;
    if score.is_nan() { 0.0 } else { score }
}

fn union(sources: &[(Option<Source<'_>>, f64)], aggregate: Aggregate) -> Vec<Entry> {
    let mut gather = Gather::default();
    for (source, weight) in sources {
        let Some(source) = source else { continue };
        source.all(|elem, score| {
            let score = weighed(score, *weight);
            elem.with_bytes(|member| gather.put(member, score, |old| aggregate.of(old, score)));
            true
        });
    }
    gather.into_entries()
}

/// Shows the members that all sources have to `f` until it is false.
fn common(
    sources: &[(Option<Source<'_>>, f64)],
    aggregate: Aggregate,
    mut f: impl FnMut(&[u8], f64) -> bool,
) {
    let all: Option<Vec<(Source<'_>, f64)>> = sources
        .iter()
        .map(|(source, weight)| Some(((*source)?, *weight)))
        .collect();
    let Some(((first, weight), others)) = all.as_ref().and_then(|all| all.split_first()) else {
        return;
    };
    first.all(|elem, score| {
        elem.with_bytes(|member| {
            let mut score = weighed(score, *weight);
            for (other, weight) in others {
                let Some(value) = other.score(member) else {
                    return true;
                };
                score = aggregate.of(score, value * weight);
            }
            f(member, score)
        })
    });
}

fn inter(sources: &[(Option<Source<'_>>, f64)], aggregate: Aggregate) -> Vec<Entry> {
    let mut found = Vec::new();
    common(sources, aggregate, |member, score| {
        found.push(entry_of(member, score));
        true
    });
    found
}

fn diff(sources: &[(Option<Source<'_>>, f64)]) -> Vec<Entry> {
    let mut found = Vec::new();
    let Some(((Some(first), _), others)) = sources.split_first() else {
        return found;
    };
    let others: Vec<Source<'_>> = others.iter().filter_map(|(source, _)| *source).collect();
    first.all(|elem, score| {
        elem.with_bytes(|member| {
            if others.iter().all(|other| other.score(member).is_none()) {
                found.push(entry_of(member, score));
            }
        });
        true
    });
    found
}

fn reply(ctx: &mut Ctx<'_>, op: Op) -> Outcome {
    let request = Request::read(ctx, 1, op, Kind::Reply)?;
    let members = Ranked::sort(request.result(ctx, op)?);
    let shape = Shape::new(ctx.out, request.with_scores);
    shape.begin(ctx.out, members.len());
    for member in &members {
        shape.write(ctx.out, Elem::Str(member.member()), member.score());
    }
    Ok(())
}

/// Stores a result at the first key and replies with its size.
pub(super) fn store(ctx: &mut Ctx<'_>, event: &'static str, entries: Vec<Entry>) -> Outcome {
    store_at(ctx, 1, event, entries, 1)
}

/// Stores a result at the key of argument `at`, which counts as so many changes, and replies with
/// its size. An empty one deletes.
pub(in crate::command) fn store_at(
    ctx: &mut Ctx<'_>,
    at: usize,
    event: &'static str,
    entries: Vec<Entry>,
    changes: usize,
) -> Outcome {
    let key = ctx.args.get(at);
    let len = entries.len();
    if len > 0 {
        let set = Zset::from_entries(entries, &ctx.db.limits());
        ctx.db.expire_if_due(key);
        ctx.db.replace(key, set);
        ctx.db.effect(Class::ZSET, event, key, changes);
    } else if ctx.db.delete(key) {
        ctx.db.effect(Class::GENERIC, "del", key, 1);
    }
    ctx.out.count(len);
    Ok(())
}

fn store_result(ctx: &mut Ctx<'_>, op: Op, event: &'static str) -> Outcome {
    let request = Request::read(ctx, 2, op, Kind::Store)?;
    let entries = request.result(ctx, op)?;
    store(ctx, event, entries)
}

pub(super) fn zunion(ctx: &mut Ctx<'_>) -> Outcome {
    reply(ctx, Op::Union)
}

pub(super) fn zinter(ctx: &mut Ctx<'_>) -> Outcome {
    reply(ctx, Op::Inter)
}

pub(super) fn zdiff(ctx: &mut Ctx<'_>) -> Outcome {
    reply(ctx, Op::Diff)
}

pub(super) fn zunionstore(ctx: &mut Ctx<'_>) -> Outcome {
    store_result(ctx, Op::Union, "zunionstore")
}

pub(super) fn zinterstore(ctx: &mut Ctx<'_>) -> Outcome {
    store_result(ctx, Op::Inter, "zinterstore")
}

pub(super) fn zdiffstore(ctx: &mut Ctx<'_>) -> Outcome {
    store_result(ctx, Op::Diff, "zdiffstore")
}

pub(super) fn zintercard(ctx: &mut Ctx<'_>) -> Outcome {
    let request = Request::read(ctx, 1, Op::Inter, Kind::Count)?;
    let mut sources = request.sources(ctx)?;
    sources.sort_by_key(|(source, _)| source.map_or(0, |source| source.len()));
    let mut count = 0;
    common(&sources, Aggregate::Sum, |_, _| {
        count += 1;
        count != request.limit
    });
    ctx.out.count(count);
    Ok(())
}
