//! Reading lists: LLEN, LINDEX, LRANGE, LPOS.

use std::ops::ControlFlow;

use super::reply_elem;
use crate::base::num;
use crate::command::args::Args;
use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::resp::reply::Aggregate;
use crate::value::list::{Elem, List, ListRef};

/// `LLEN key`
pub(super) fn llen(ctx: &mut Ctx<'_>) -> Outcome {
    let len = ctx
        .db
        .read_as::<List>(&ctx.args[1])?
        .map_or(0, |list| list.len());
    ctx.out.count(len);
    Ok(())
}

/// `LINDEX key index`
pub(super) fn lindex(ctx: &mut Ctx<'_>) -> Outcome {
    let out = &mut *ctx.out;
    let found = match ctx.db.read_as::<List>(&ctx.args[1])? {
        None => None,
        Some(list) => list.get(ctx.args.int(2)?, |elem| reply_elem(out, elem)),
    };
    if found.is_none() {
        ctx.out.null();
    }
    Ok(())
}

/// `LRANGE key start stop`
pub(super) fn lrange(ctx: &mut Ctx<'_>) -> Outcome {
    let (start, stop) = (ctx.args.int(2)?, ctx.args.int(3)?);
    let list = ctx.db.read_as::<List>(&ctx.args[1])?;
    let Some((list, (from, to))) =
        list.and_then(|list| Some((list, list.resolve_range(start, stop)?)))
    else {
        ctx.out.array(0);
        return Ok(());
    };
    ctx.out.array(to - from);
    list.range(from, to, |elem| reply_elem(ctx.out, elem));
    Ok(())
}

/// What LPOS is asked for.
struct Search {
    /// Matches to pass over first.
    skip: u64,
    /// From the tail to the head.
    back: bool,
    /// Matches to report: one without an array, or up to so many (0: all).
    count: Option<usize>,
    /// Elements to compare at most (0: all).
    max_len: usize,
}

impl Search {
    fn parse(args: Args<'_>) -> Result<Search, Error> {
        let mut search = Search {
            skip: 0,
            back: false,
            count: None,
            max_len: 0,
        };
        let mut rest = args.cursor(3);
        while !rest.done() {
            if rest.left() < 2 {
                return Err(Error::SYNTAX);
            }
            if rest.word("RANK") {
                let rank = rest.int()?;
                if rank == i64::MIN {
                    return Err(TOO_LOW);
                }
                search.back = rank < 0;
                search.skip = rank.unsigned_abs().checked_sub(1).ok_or(RANK_ZERO)?;
            } else if rest.word("COUNT") {
                search.count = Some(natural(rest.next()?, COUNT_NEGATIVE)?);
            } else if rest.word("MAXLEN") {
                search.max_len = natural(rest.next()?, MAXLEN_NEGATIVE)?;
            } else {
                return Err(Error::SYNTAX);
            }
        }
        Ok(search)
    }

    /// Calls `f` with the index of each match until there are enough of them.
    fn run(&self, list: ListRef<'_>, element: &[u8], mut f: impl FnMut(usize)) {
        let len = list.len();
        let mut skip = self.skip;
        let mut matches_left = match self.count {
            None => 1,
            Some(0) => usize::MAX,
            Some(count) => count,
        };
        let mut left = if self.max_len == 0 {
            len
        } else {
            self.max_len.min(len)
        };
        let mut index = if self.back { len } else { 0 };
        let wanted = element_matcher(element);
        let visit = |elem: Elem<'_>| {
            let at = if self.back { index - 1 } else { index };
            index = if self.back { at } else { at + 1 };
            if wanted(elem) {
                if skip > 0 {
                    skip -= 1;
                } else {
                    f(at);
                    matches_left -= 1;
                }
            }
            left -= 1;
            if left == 0 || matches_left == 0 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        // Whether the walk was broken off is of no interest.
        let _ = if self.back {
            list.walk_back(len - 1, visit)
        } else {
            list.walk(0, visit)
        };
    }
}

const RANK_ZERO: Error = Error::new(
    "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from \
     the end of the list",
);
/// Of numbers whose sign says the direction, the one that cannot be turned round.
pub(super) const TOO_LOW: Error = Error::new(
    "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
);
const COUNT_NEGATIVE: Error = Error::new("ERR COUNT can't be negative");
const MAXLEN_NEGATIVE: Error = Error::new("ERR MAXLEN can't be negative");

/// A number from 0 on.
fn natural(text: &[u8], otherwise: Error) -> Result<usize, Error> {
    num::parse_i64(text)
        .and_then(|n| usize::try_from(n).ok())
        .ok_or(otherwise)
}

/// Compares elements with `text`, which is parsed once.
fn element_matcher(text: &[u8]) -> impl Fn(Elem<'_>) -> bool + '_ {
    let int = num::parse_i64(text);
    move |elem| match elem {
        Elem::Str(bytes) => bytes == text,
        Elem::Int(n) => int == Some(n),
    }
}

/// `LPOS key element [RANK rank] [COUNT num-matches] [MAXLEN len]`
pub(super) fn lpos(ctx: &mut Ctx<'_>) -> Outcome {
    let search = Search::parse(ctx.args)?;
    let list = ctx.db.read_as::<List>(&ctx.args[1])?;
    let element = ctx.args.get(2);
    if search.count.is_none() {
        let mut found = None;
        if let Some(list) = list {
            search.run(list, element, |index| found = Some(index));
        }
        match found {
            Some(index) => ctx.out.count(index),
            None => ctx.out.null(),
        }
        return Ok(());
    }
    let mark = ctx.out.defer();
    let mut matches = 0;
    if let Some(list) = list {
        search.run(list, element, |index| {
            ctx.out.count(index);
            matches += 1;
        });
    }
    ctx.out.finish(mark, Aggregate::Array, matches);
    Ok(())
}
