//! The list commands: pushes and pops here, the others in [`read`], [`edit`] and [`moves`].

use super::args::Args;
use super::ctx::{Ctx, Outcome};
use super::error::Error;
use super::spec::{DocFlags, Group, KeySpec, Spec, cats, flags, key};
use crate::base::num;
use crate::keyspace::effect::Class;
use crate::resp::reply::Reply;
use crate::value::list::{Elem, End, List};

mod block;
mod edit;
mod moves;
mod read;
#[cfg(test)]
mod tests;

const ROW: Spec = Spec {
    group: Group::List,
    ..Spec::BLANK
};

pub static TABLE: &[Spec] = &[
    Spec {
        name: "blmove",
        since: "6.2.0",
        arity: 6,
        flags: flags!(WRITE | DENYOOM | BLOCKING),
        categories: cats!(LIST),
        keys: &[
            KeySpec::one(key!(RW | ACCESS | DELETE), 1),
            KeySpec::one(key!(RW | INSERT), 2),
        ],
        summary: "Moves an element between lists and returns it, or waits until there is one.",
        complexity: "O(1)",
        syntax: "source/k0 destination/k1 wherefrom<LEFT|RIGHT> whereto<LEFT|RIGHT> timeout/d",
        run: block::blmove,
        ..ROW
    },
    Spec {
        name: "blmpop",
        since: "7.0.0",
        arity: -5,
        flags: flags!(WRITE | BLOCKING),
        categories: cats!(LIST),
        keys: &[KeySpec::counted(key!(RW | ACCESS | DELETE), 2)],
        summary: "Removes and returns elements of the first list that has some, or waits for one.",
        complexity: "O(N+M)",
        syntax: "timeout/d numkeys/i key/k0... where<LEFT|RIGHT> [COUNT:count/i]",
        run: block::blmpop,
        ..ROW
    },
    Spec {
        name: "blpop",
        since: "2.0.0",
        arity: -3,
        flags: flags!(WRITE | BLOCKING),
        categories: cats!(LIST),
        keys: &[KeySpec::range(key!(RW | ACCESS | DELETE), 1, -2, 1)],
        history: &[("6.0.0", "Allowed fractions of a second as `timeout`.")],
        summary: "Removes and returns the first element of the first list that has one, or waits for one.",
        complexity: "O(N)",
        syntax: "key/k0... timeout/d",
        run: block::blpop,
        ..ROW
    },
    Spec {
        name: "brpop",
        since: "2.0.0",
        arity: -3,
        flags: flags!(WRITE | BLOCKING),
        categories: cats!(LIST),
        keys: &[KeySpec::range(key!(RW | ACCESS | DELETE), 1, -2, 1)],
        history: &[("6.0.0", "Allowed fractions of a second as `timeout`.")],
        summary: "Removes and returns the last element of the first list that has one, or waits for one.",
        complexity: "O(N)",
        syntax: "key/k0... timeout/d",
        run: block::brpop,
        ..ROW
    },
    Spec {
        name: "brpoplpush",
        since: "2.2.0",
        arity: 4,
        flags: flags!(WRITE | DENYOOM | BLOCKING),
        categories: cats!(LIST),
        keys: &[
            KeySpec::one(key!(RW | ACCESS | DELETE), 1),
            KeySpec::one(key!(RW | INSERT), 2),
        ],
        doc_flags: DocFlags::DEPRECATED,
        deprecated_since: "6.2.0",
        replaced_by: "`BLMOVE` with the `RIGHT` and `LEFT` arguments",
        history: &[("6.0.0", "Allowed fractions of a second as `timeout`.")],
        summary: "Moves the last element of a list to the head of another, or waits until there is one.",
        complexity: "O(1)",
        syntax: "source/k0 destination/k1 timeout/d",
        run: block::brpoplpush,
        ..ROW
    },
    Spec {
        name: "lindex",
        since: "1.0.0",
        arity: 3,
        flags: flags!(READONLY),
        categories: cats!(LIST),
        keys: &[KeySpec::one(key!(RO | ACCESS), 1)],
        summary: "Returns the element at a position of a list.",
        complexity: "O(N); O(1)",
        syntax: "key/k0 index/i",
        run: read::lindex,
        ..ROW
    },
    Spec {
        name: "linsert",
        since: "2.2.0",
        arity: 5,
        flags: flags!(WRITE | DENYOOM),
        categories: cats!(LIST),
        keys: &[KeySpec::one(key!(RW | INSERT), 1)],
        summary: "Inserts an element before or after another one of a list.",
        complexity: "O(N); O(1)",
        syntax: "key/k0 where<BEFORE|AFTER> pivot element",
        run: edit::linsert,
        ..ROW
    },
    Spec {
        name: "llen",
        since: "1.0.0",
        arity: 2,
        flags: flags!(READONLY | FAST),
        categories: cats!(LIST),
        keys: &[KeySpec::one(key!(RO), 1)],
        summary: "Returns the length of a list.",
        complexity: "O(1)",
        syntax: "key/k0",
        run: read::llen,
        ..ROW
    },
    Spec {
        name: "lmove",
        since: "6.2.0",
        arity: 5,
        flags: flags!(WRITE | DENYOOM),
        categories: cats!(LIST),
        keys: &[
            KeySpec::one(key!(RW | ACCESS | DELETE), 1),
            KeySpec::one(key!(RW | INSERT), 2),
        ],
        summary: "Moves an element from one end of a list to one end of another and returns it.",
        complexity: "O(1)",
        syntax: "source/k0 destination/k1 wherefrom<LEFT|RIGHT> whereto<LEFT|RIGHT>",
        run: moves::lmove,
        ..ROW
    },
    Spec {
        name: "lmpop",
        since: "7.0.0",
        arity: -4,
        flags: flags!(WRITE),
        categories: cats!(LIST),
        keys: &[KeySpec::counted(key!(RW | ACCESS | DELETE), 1)],
        summary: "Removes and returns elements of the first list that has some.",
        complexity: "O(N+M)",
        syntax: "numkeys/i key/k0... where<LEFT|RIGHT> [COUNT:count/i]",
        run: moves::lmpop,
        ..ROW
    },
    Spec {
        name: "lpop",
        since: "1.0.0",
        arity: -2,
        flags: flags!(WRITE | FAST),
        categories: cats!(LIST),
        keys: &[KeySpec::one(key!(RW | ACCESS | DELETE), 1)],
        history: &[("6.2.0", "Added `count`.")],
        summary: "Removes and returns the first elements of a list.",
        complexity: "O(N)",
        syntax: "key/k0 [count/i@6.2.0]",
        run: lpop,
        ..ROW
    },
    Spec {
        name: "lpos",
        since: "6.0.6",
        arity: -3,
        flags: flags!(READONLY),
        categories: cats!(LIST),
        keys: &[KeySpec::one(key!(RO | ACCESS), 1)],
        summary: "Returns the positions of an element in a list.",
        complexity: "O(N)",
        syntax: "key/k0 element [RANK:rank/i] [COUNT:num-matches/i] [MAXLEN:len/i]",
        run: read::lpos,
        ..ROW
    },
    Spec {
        name: "lpush",
        since: "1.0.0",
        arity: -3,
        flags: flags!(WRITE | DENYOOM | FAST),
        categories: cats!(LIST),
        keys: &[KeySpec::one(key!(RW | INSERT), 1)],
        history: &[("2.4.0", "Allowed several elements in one call.")],
        summary: "Puts elements at the head of a list, which is created if need be.",
        complexity: "O(1); O(N)",
        syntax: "key/k0 element...",
        run: lpush,
        ..ROW
    },
    Spec {
        name: "lpushx",
        since: "2.2.0",
        arity: -3,
        flags: flags!(WRITE | DENYOOM | FAST),
        categories: cats!(LIST),
        keys: &[KeySpec::one(key!(RW | INSERT), 1)],
        history: &[("4.0.0", "Allowed several elements in one call.")],
        summary: "Puts elements at the head of a list if it exists.",
        complexity: "O(1); O(N)",
        syntax: "key/k0 element...",
        run: lpushx,
        ..ROW
    },
    Spec {
        name: "lrange",
        since: "1.0.0",
        arity: 4,
        flags: flags!(READONLY),
        categories: cats!(LIST),
        keys: &[KeySpec::one(key!(RO | ACCESS), 1)],
        summary: "Returns a range of a list.",
        complexity: "O(S+N)",
        syntax: "key/k0 start/i stop/i",
        run: read::lrange,
        ..ROW
    },
    Spec {
        name: "lrem",
        since: "1.0.0",
        arity: 4,
        flags: flags!(WRITE),
        categories: cats!(LIST),
        keys: &[KeySpec::one(key!(RW | DELETE), 1)],
        summary: "Removes elements that equal the given one from a list.",
        complexity: "O(N+M)",
        syntax: "key/k0 count/i element",
        run: edit::lrem,
        ..ROW
    },
    Spec {
        name: "lset",
        since: "1.0.0",
        arity: 4,
        flags: flags!(WRITE | DENYOOM),
        categories: cats!(LIST),
        keys: &[KeySpec::one(key!(RW | UPDATE), 1)],
        summary: "Replaces the element at a position of a list.",
        complexity: "O(N); O(1)",
        syntax: "key/k0 index/i element",
        run: edit::lset,
        ..ROW
    },
    Spec {
        name: "ltrim",
        since: "1.0.0",
        arity: 4,
        flags: flags!(WRITE),
        categories: cats!(LIST),
        keys: &[KeySpec::one(key!(RW | DELETE), 1)],
        summary: "Cuts a list down to a range.",
        complexity: "O(N)",
        syntax: "key/k0 start/i stop/i",
        run: edit::ltrim,
        ..ROW
    },
    Spec {
        name: "rpop",
        since: "1.0.0",
        arity: -2,
        flags: flags!(WRITE | FAST),
        categories: cats!(LIST),
        keys: &[KeySpec::one(key!(RW | ACCESS | DELETE), 1)],
        history: &[("6.2.0", "Added `count`.")],
        summary: "Removes and returns the last elements of a list.",
        complexity: "O(N)",
        syntax: "key/k0 [count/i@6.2.0]",
        run: rpop,
        ..ROW
    },
    Spec {
        name: "rpoplpush",
        since: "1.2.0",
        arity: 3,
        flags: flags!(WRITE | DENYOOM),
        categories: cats!(LIST),
        keys: &[
            KeySpec::one(key!(RW | ACCESS | DELETE), 1),
            KeySpec::one(key!(RW | INSERT), 2),
        ],
        doc_flags: DocFlags::DEPRECATED,
        deprecated_since: "6.2.0",
        replaced_by: "`LMOVE` with the `RIGHT` and `LEFT` arguments",
        summary: "Moves the last element of a list to the head of another and returns it.",
        complexity: "O(1)",
        syntax: "source/k0 destination/k1",
        run: moves::rpoplpush,
        ..ROW
    },
    Spec {
        name: "rpush",
        since: "1.0.0",
        arity: -3,
        flags: flags!(WRITE | DENYOOM | FAST),
        categories: cats!(LIST),
        keys: &[KeySpec::one(key!(RW | INSERT), 1)],
        history: &[("2.4.0", "Allowed several elements in one call.")],
        summary: "Puts elements at the tail of a list, which is created if need be.",
        complexity: "O(1); O(N)",
        syntax: "key/k0 element...",
        run: rpush,
        ..ROW
    },
    Spec {
        name: "rpushx",
        since: "2.2.0",
        arity: -3,
        flags: flags!(WRITE | DENYOOM | FAST),
        categories: cats!(LIST),
        keys: &[KeySpec::one(key!(RW | INSERT), 1)],
        history: &[("4.0.0", "Allowed several elements in one call.")],
        summary: "Puts elements at the tail of a list if it exists.",
        complexity: "O(1); O(N)",
        syntax: "key/k0 element...",
        run: rpushx,
        ..ROW
    },
];

impl End {
    /// The end that an argument names.
    fn parse(word: &[u8]) -> Result<End, Error> {
        if word.eq_ignore_ascii_case(b"LEFT") {
            Ok(End::Front)
        } else if word.eq_ignore_ascii_case(b"RIGHT") {
            Ok(End::Back)
        } else {
            Err(Error::SYNTAX)
        }
    }

    /// The event of a push here.
    fn push_event(self) -> &'static str {
        match self {
            End::Front => "lpush",
            End::Back => "rpush",
        }
    }

    /// The command of a pop here.
    fn pop_name(self) -> &'static [u8] {
        match self {
            End::Front => b"LPOP",
            End::Back => b"RPOP",
        }
    }

    /// The event of a pop here.
    fn pop_event(self) -> &'static str {
        match self {
            End::Front => "lpop",
            End::Back => "rpop",
        }
    }
}

/// Pushes the arguments from the third on. Replies with the new length.
fn push(ctx: &mut Ctx<'_>, end: End) -> Outcome {
    let (key, elements) = (ctx.args.get(1), ctx.args.from(2));
    let limits = ctx.db.limits();
    let len = ctx.db.update(key, |list: &mut List| {
        push_all(list, elements, end, &limits);
        list.len()
    })?;
    ctx.db
        .effect(Class::LIST, end.push_event(), key, elements.len());
    ctx.out.count(len);
    Ok(())
}

/// As [`push`], if the key exists.
fn push_if_there(ctx: &mut Ctx<'_>, end: End) -> Outcome {
    if ctx.db.exists(ctx.args.get(1)) {
        return push(ctx, end);
    }
    ctx.out.int(0);
    Ok(())
}

fn push_all(list: &mut List, elements: Args<'_>, end: End, limits: &crate::value::Limits) {
    if elements.len() == 1 {
        list.push(elements.get(0), end, limits);
    } else {
        list.push_all((0..elements.len()).map(|at| elements.get(at)), end, limits);
    }
}

/// `LPUSH key element [element …]`
fn lpush(ctx: &mut Ctx<'_>) -> Outcome {
    push(ctx, End::Front)
}

/// `RPUSH key element [element …]`
fn rpush(ctx: &mut Ctx<'_>) -> Outcome {
    push(ctx, End::Back)
}

/// `LPUSHX key element [element …]`
fn lpushx(ctx: &mut Ctx<'_>) -> Outcome {
    push_if_there(ctx, End::Front)
}

/// `RPUSHX key element [element …]`
fn rpushx(ctx: &mut Ctx<'_>) -> Outcome {
    push_if_there(ctx, End::Back)
}

/// `LPOP key [count]`
fn lpop(ctx: &mut Ctx<'_>) -> Outcome {
    pop(ctx, End::Front)
}

/// `RPOP key [count]`
fn rpop(ctx: &mut Ctx<'_>) -> Outcome {
    pop(ctx, End::Back)
}

fn pop(ctx: &mut Ctx<'_>, end: End) -> Outcome {
    match ctx.args.len() {
        2 => {}
        3 => return pop_count(ctx, end),
        _ => return Err(Error::arity(ctx.command.spec.name)),
    }
    let key = ctx.args.get(1);
    let (limits, out) = (ctx.db.limits(), &mut *ctx.out);
    let popped = ctx.db.update(key, |list: &mut List| {
        list.pop(end, &limits, |elem| reply_elem(out, elem))
            .is_some()
    })?;
    if popped {
        ctx.db.effect(Class::LIST, end.pop_event(), key, 1);
    } else {
        ctx.out.null();
    }
    Ok(())
}

fn pop_count(ctx: &mut Ctx<'_>, end: End) -> Outcome {
    let count = num::parse_i64(ctx.args.get(2)).and_then(|n| usize::try_from(n).ok());
    let count = count.ok_or(Error::MUST_BE_POSITIVE)?;
    let key = ctx.args.get(1);
    let there = ctx.db.modify(key, |_: &mut List| ())?.is_some();
    if !there {
        ctx.out.null_array();
        return Ok(());
    }
    let popped = pop_many(ctx, key, end, count)?;
    if popped > 0 {
        ctx.db.effect(Class::LIST, end.pop_event(), key, popped);
    }
    Ok(())
}

/// Removes up to `count` elements and replies with them; returns how many.
fn pop_many(ctx: &mut Ctx<'_>, key: &[u8], end: End, count: usize) -> Result<usize, Error> {
    let (limits, out) = (ctx.db.limits(), &mut *ctx.out);
    let (count, rest) = ctx.db.update(key, |list: &mut List| {
        let count = count.min(list.len());
        out.array(count);
        (
            count,
            list.pop_many(end, count, &limits, |elem| reply_elem(out, elem)),
        )
    })?;
    ctx.db.ks.reaper.free_part(rest);
    Ok(count)
}

/// Writes an element as a bulk string.
#[inline]
fn reply_elem(out: &mut Reply, elem: Elem<'_>) {
    elem.with_bytes(|bytes| out.bulk(bytes));
}
