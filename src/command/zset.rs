//! Sorted sets: the table. Handlers stand by what they do: [`write`], [`pop`], [`read`], [`range`],
//! [`algebra`].

mod algebra;
mod block;
mod pop;
mod range;
mod read;
#[cfg(test)]
mod tests;
mod write;

use super::error::Error;
use crate::command::spec::{DocFlags, Group, KeySpec, Spec, cats, flags, key};

use crate::resp::reply::Reply;
use crate::value::packed::Elem;
use algebra::{zdiff, zdiffstore, zinter, zintercard, zinterstore, zunion, zunionstore};
use pop::{zmpop, zpopmax, zpopmin};
use range::{
    zcount, zlexcount, zrange, zrangebylex, zrangebyscore, zrangestore, zremrangebylex,
    zremrangebyrank, zremrangebyscore, zrevrange, zrevrangebylex, zrevrangebyscore,
};
use read::{zcard, zmscore, zrandmember, zrank, zrevrank, zscan, zscore};
use write::{zadd, zincrby, zrem};

pub(super) use algebra::store_at;
pub(super) use write::add_all;

const ROW: Spec = Spec {
    group: Group::SortedSet,
    ..Spec::BLANK
};

pub static TABLE: &[Spec] = &[
    Spec {
        name: "bzmpop",
        since: "7.0.0",
        arity: -5,
        flags: flags!(WRITE | BLOCKING),
        categories: cats!(SORTEDSET),
        keys: &[KeySpec::counted(key!(RW | ACCESS | DELETE), 2)],
        summary: "Removes and returns members of the first sorted set that has some, or waits for one.",
        complexity: "O(K); O(M*log(N))",
        syntax: "timeout/d numkeys/i key/k0... where<MIN|MAX> [COUNT:count/i]",
        run: block::bzmpop,
        ..ROW
    },
    Spec {
        name: "bzpopmax",
        since: "5.0.0",
        arity: -3,
        flags: flags!(WRITE | BLOCKING | FAST),
        categories: cats!(SORTEDSET),
        keys: &[KeySpec::range(key!(RW | ACCESS | DELETE), 1, -2, 1)],
        history: &[("6.0.0", "Allowed fractions of a second as `timeout`.")],
        summary: "Removes and returns the highest member of the first sorted set that has one, or waits for one.",
        complexity: "O(log(N))",
        syntax: "key/k0... timeout/d",
        run: block::bzpopmax,
        ..ROW
    },
    Spec {
        name: "bzpopmin",
        since: "5.0.0",
        arity: -3,
        flags: flags!(WRITE | BLOCKING | FAST),
        categories: cats!(SORTEDSET),
        keys: &[KeySpec::range(key!(RW | ACCESS | DELETE), 1, -2, 1)],
        history: &[("6.0.0", "Allowed fractions of a second as `timeout`.")],
        summary: "Removes and returns the lowest member of the first sorted set that has one, or waits for one.",
        complexity: "O(log(N))",
        syntax: "key/k0... timeout/d",
        run: block::bzpopmin,
        ..ROW
    },
    Spec {
        name: "zadd",
        since: "1.2.0",
        arity: -4,
        flags: flags!(WRITE | DENYOOM | FAST),
        categories: cats!(SORTEDSET),
        keys: &[KeySpec::one(key!(RW | UPDATE), 1)],
        history: &[
            ("2.4.0", "Allowed several members in one call."),
            ("3.0.2", "Added `NX`, `XX`, `CH` and `INCR`."),
            ("6.2.0", "Added `GT` and `LT`."),
        ],
        summary: "Adds members to a sorted set, or changes their scores.",
        complexity: "O(log(N))",
        syntax: "key/k0 [condition<NX|XX>@3.0.2] [comparison<GT|LT>@6.2.0] [CH:change/!@3.0.2] [INCR:increment/!@3.0.2] data{score/d member}...",
        run: zadd,
        ..ROW
    },
    Spec {
        name: "zcard",
        since: "1.2.0",
        arity: 2,
        flags: flags!(READONLY | FAST),
        categories: cats!(SORTEDSET),
        keys: &[KeySpec::one(key!(RO), 1)],
        summary: "Counts the members of a sorted set.",
        complexity: "O(1)",
        syntax: "key/k0",
        run: zcard,
        ..ROW
    },
    Spec {
        name: "zcount",
        since: "2.0.0",
        arity: 4,
        flags: flags!(READONLY | FAST),
        categories: cats!(SORTEDSET),
        keys: &[KeySpec::one(key!(RO | ACCESS), 1)],
        summary: "Counts the members within a range of scores.",
        complexity: "O(log(N))",
        syntax: "key/k0 min/d max/d",
        run: zcount,
        ..ROW
    },
    Spec {
        name: "zdiff",
        since: "6.2.0",
        arity: -3,
        flags: flags!(READONLY),
        categories: cats!(SORTEDSET),
        keys: &[KeySpec::counted(key!(RO | ACCESS), 1)],
        summary: "Returns what the first sorted set has and the others have not.",
        complexity: "O(L + (N-K)log(N))",
        syntax: "numkeys/i key/k0... [WITHSCORES]",
        run: zdiff,
        ..ROW
    },
    Spec {
        name: "zdiffstore",
        since: "6.2.0",
        arity: -4,
        flags: flags!(WRITE | DENYOOM),
        categories: cats!(SORTEDSET),
        keys: &[
            KeySpec::one(key!(OW | UPDATE), 1),
            KeySpec::counted(key!(RO | ACCESS), 2),
        ],
        summary: "Stores what the first sorted set has and the others have not.",
        complexity: "O(L + (N-K)log(N))",
        syntax: "destination/k0 numkeys/i key/k1...",
        run: zdiffstore,
        ..ROW
    },
    Spec {
        name: "zincrby",
        since: "1.2.0",
        arity: 4,
        flags: flags!(WRITE | DENYOOM | FAST),
        categories: cats!(SORTEDSET),
        keys: &[KeySpec::one(key!(RW | ACCESS | UPDATE), 1)],
        summary: "Increases the score of a member.",
        complexity: "O(log(N))",
        syntax: "key/k0 increment/i member",
        run: zincrby,
        ..ROW
    },
    Spec {
        name: "zinter",
        since: "6.2.0",
        arity: -3,
        flags: flags!(READONLY),
        categories: cats!(SORTEDSET),
        keys: &[KeySpec::counted(key!(RO | ACCESS), 1)],
        summary: "Returns the intersection of sorted sets.",
        complexity: "O(N*K); O(M*log(M))",
        syntax: "numkeys/i key/k0... [WEIGHTS:weight/i...] [AGGREGATE:aggregate<SUM|MIN|MAX>] [WITHSCORES]",
        run: zinter,
        ..ROW
    },
    Spec {
        name: "zintercard",
        since: "7.0.0",
        arity: -3,
        flags: flags!(READONLY),
        categories: cats!(SORTEDSET),
        keys: &[KeySpec::counted(key!(RO | ACCESS), 1)],
        summary: "Counts the members of an intersection of sorted sets.",
        complexity: "O(N*K)",
        syntax: "numkeys/i key/k0... [LIMIT:limit/i]",
        run: zintercard,
        ..ROW
    },
    Spec {
        name: "zinterstore",
        since: "2.0.0",
        arity: -4,
        flags: flags!(WRITE | DENYOOM),
        categories: cats!(SORTEDSET),
        keys: &[
            KeySpec::one(key!(OW | UPDATE), 1),
            KeySpec::counted(key!(RO | ACCESS), 2),
        ],
        summary: "Stores the intersection of sorted sets.",
        complexity: "O(N*K); O(M*log(M))",
        syntax: "destination/k0 numkeys/i key/k1... [WEIGHTS:weight/i...] [AGGREGATE:aggregate<SUM|MIN|MAX>]",
        run: zinterstore,
        ..ROW
    },
    Spec {
        name: "zlexcount",
        since: "2.8.9",
        arity: 4,
        flags: flags!(READONLY | FAST),
        categories: cats!(SORTEDSET),
        keys: &[KeySpec::one(key!(RO | ACCESS), 1)],
        summary: "Counts the members within a range of names.",
        complexity: "O(log(N))",
        syntax: "key/k0 min max",
        run: zlexcount,
        ..ROW
    },
    Spec {
        name: "zmpop",
        since: "7.0.0",
        arity: -4,
        flags: flags!(WRITE),
        categories: cats!(SORTEDSET),
        keys: &[KeySpec::counted(key!(RW | ACCESS | DELETE), 1)],
        summary: "Removes and returns members of the first sorted set that has some.",
        complexity: "O(K); O(M*log(N))",
        syntax: "numkeys/i key/k0... where<MIN|MAX> [COUNT:count/i]",
        run: zmpop,
        ..ROW
    },
    Spec {
        name: "zmscore",
        since: "6.2.0",
        arity: -3,
        flags: flags!(READONLY | FAST),
        categories: cats!(SORTEDSET),
        keys: &[KeySpec::one(key!(RO | ACCESS), 1)],
        summary: "Returns the scores of several members.",
        complexity: "O(N)",
        syntax: "key/k0 member...",
        run: zmscore,
        ..ROW
    },
    Spec {
        name: "zpopmax",
        since: "5.0.0",
        arity: -2,
        flags: flags!(WRITE | FAST),
        categories: cats!(SORTEDSET),
        keys: &[KeySpec::one(key!(RW | ACCESS | DELETE), 1)],
        summary: "Removes and returns the highest members of a sorted set.",
        complexity: "O(log(N)*M)",
        syntax: "key/k0 [count/i]",
        run: zpopmax,
        ..ROW
    },
    Spec {
        name: "zpopmin",
        since: "5.0.0",
        arity: -2,
        flags: flags!(WRITE | FAST),
        categories: cats!(SORTEDSET),
        keys: &[KeySpec::one(key!(RW | ACCESS | DELETE), 1)],
        summary: "Removes and returns the lowest members of a sorted set.",
        complexity: "O(log(N)*M)",
        syntax: "key/k0 [count/i]",
        run: zpopmin,
        ..ROW
    },
    Spec {
        name: "zrandmember",
        since: "6.2.0",
        arity: -2,
        flags: flags!(READONLY),
        categories: cats!(SORTEDSET),
        keys: &[KeySpec::one(key!(RO | ACCESS), 1)],
        tips: &["nondeterministic_output"],
        summary: "Returns random members of a sorted set.",
        complexity: "O(N)",
        syntax: "key/k0 [options{count/i [WITHSCORES]}]",
        run: zrandmember,
        ..ROW
    },
    Spec {
        name: "zrange",
        since: "1.2.0",
        arity: -4,
        flags: flags!(READONLY),
        categories: cats!(SORTEDSET),
        keys: &[KeySpec::one(key!(RO | ACCESS), 1)],
        history: &[("6.2.0", "Added `BYSCORE`, `BYLEX`, `REV` and `LIMIT`.")],
        summary: "Returns the members within a range of ranks, scores or names.",
        complexity: "O(log(N)+M)",
        syntax: "key/k0 start stop [sortby<BYSCORE|BYLEX>@6.2.0] [REV@6.2.0] [LIMIT:limit{offset/i count/i}@6.2.0] [WITHSCORES]",
        run: zrange,
        ..ROW
    },
    Spec {
        name: "zrangebylex",
        since: "2.8.9",
        arity: -4,
        flags: flags!(READONLY),
        categories: cats!(SORTEDSET),
        keys: &[KeySpec::one(key!(RO | ACCESS), 1)],
        doc_flags: DocFlags::DEPRECATED,
        deprecated_since: "6.2.0",
        replaced_by: "`ZRANGE` with the `BYLEX` argument",
        summary: "Returns the members within a range of names.",
        complexity: "O(log(N)+M); O(log(N))",
        syntax: "key/k0 min max [LIMIT:limit{offset/i count/i}]",
        run: zrangebylex,
        ..ROW
    },
    Spec {
        name: "zrangebyscore",
        since: "1.0.5",
        arity: -4,
        flags: flags!(READONLY),
        categories: cats!(SORTEDSET),
        keys: &[KeySpec::one(key!(RO | ACCESS), 1)],
        doc_flags: DocFlags::DEPRECATED,
        deprecated_since: "6.2.0",
        replaced_by: "`ZRANGE` with the `BYSCORE` argument",
        history: &[("2.0.0", "Added `WITHSCORES`.")],
        summary: "Returns the members within a range of scores.",
        complexity: "O(log(N)+M); O(log(N))",
        syntax: "key/k0 min/d max/d [WITHSCORES@2.0.0] [LIMIT:limit{offset/i count/i}]",
        run: zrangebyscore,
        ..ROW
    },
    Spec {
        name: "zrangestore",
        since: "6.2.0",
        arity: -5,
        flags: flags!(WRITE | DENYOOM),
        categories: cats!(SORTEDSET),
        keys: &[
            KeySpec::one(key!(OW | UPDATE), 1),
            KeySpec::one(key!(RO | ACCESS), 2),
        ],
        summary: "Stores a range of a sorted set under another key.",
        complexity: "O(log(N)+M)",
        syntax: "dst/k0 src/k1 min max [sortby<BYSCORE|BYLEX>] [REV] [LIMIT:limit{offset/i count/i}]",
        run: zrangestore,
        ..ROW
    },
    Spec {
        name: "zrank",
        since: "2.0.0",
        arity: -3,
        flags: flags!(READONLY | FAST),
        categories: cats!(SORTEDSET),
        keys: &[KeySpec::one(key!(RO | ACCESS), 1)],
        history: &[("7.2.0", "Added `WITHSCORE`, which returns the score too.")],
        summary: "Returns the rank of a member, lowest score first.",
        complexity: "O(log(N))",
        syntax: "key/k0 member [WITHSCORE]",
        run: zrank,
        ..ROW
    },
    Spec {
        name: "zrem",
        since: "1.2.0",
        arity: -3,
        flags: flags!(WRITE | FAST),
        categories: cats!(SORTEDSET),
        keys: &[KeySpec::one(key!(RW | DELETE), 1)],
        history: &[("2.4.0", "Allowed several members in one call.")],
        summary: "Removes members from a sorted set.",
        complexity: "O(M*log(N))",
        syntax: "key/k0 member...",
        run: zrem,
        ..ROW
    },
    Spec {
        name: "zremrangebylex",
        since: "2.8.9",
        arity: 4,
        flags: flags!(WRITE),
        categories: cats!(SORTEDSET),
        keys: &[KeySpec::one(key!(RW | DELETE), 1)],
        summary: "Removes the members within a range of names.",
        complexity: "O(log(N)+M)",
        syntax: "key/k0 min max",
        run: zremrangebylex,
        ..ROW
    },
    Spec {
        name: "zremrangebyrank",
        since: "2.0.0",
        arity: 4,
        flags: flags!(WRITE),
        categories: cats!(SORTEDSET),
        keys: &[KeySpec::one(key!(RW | DELETE), 1)],
        summary: "Removes the members within a range of ranks.",
        complexity: "O(log(N)+M)",
        syntax: "key/k0 start/i stop/i",
        run: zremrangebyrank,
        ..ROW
    },
    Spec {
        name: "zremrangebyscore",
        since: "1.2.0",
        arity: 4,
        flags: flags!(WRITE),
        categories: cats!(SORTEDSET),
        keys: &[KeySpec::one(key!(RW | DELETE), 1)],
        summary: "Removes the members within a range of scores.",
        complexity: "O(log(N)+M)",
        syntax: "key/k0 min/d max/d",
        run: zremrangebyscore,
        ..ROW
    },
    Spec {
        name: "zrevrange",
        since: "1.2.0",
        arity: -4,
        flags: flags!(READONLY),
        categories: cats!(SORTEDSET),
        keys: &[KeySpec::one(key!(RO | ACCESS), 1)],
        doc_flags: DocFlags::DEPRECATED,
        deprecated_since: "6.2.0",
        replaced_by: "`ZRANGE` with the `REV` argument",
        summary: "Returns the members within a range of ranks, highest score first.",
        complexity: "O(log(N)+M)",
        syntax: "key/k0 start/i stop/i [WITHSCORES]",
        run: zrevrange,
        ..ROW
    },
    Spec {
        name: "zrevrangebylex",
        since: "2.8.9",
        arity: -4,
        flags: flags!(READONLY),
        categories: cats!(SORTEDSET),
        keys: &[KeySpec::one(key!(RO | ACCESS), 1)],
        doc_flags: DocFlags::DEPRECATED,
        deprecated_since: "6.2.0",
        replaced_by: "`ZRANGE` with the `REV` and `BYLEX` arguments",
        summary: "Returns the members within a range of names, last name first.",
        complexity: "O(log(N)+M); O(log(N))",
        syntax: "key/k0 max min [LIMIT:limit{offset/i count/i}]",
        run: zrevrangebylex,
        ..ROW
    },
    Spec {
        name: "zrevrangebyscore",
        since: "2.2.0",
        arity: -4,
        flags: flags!(READONLY),
        categories: cats!(SORTEDSET),
        keys: &[KeySpec::one(key!(RO | ACCESS), 1)],
        doc_flags: DocFlags::DEPRECATED,
        deprecated_since: "6.2.0",
        replaced_by: "`ZRANGE` with the `REV` and `BYSCORE` arguments",
        history: &[("2.1.6", "Allowed exclusive ends of the range.")],
        summary: "Returns the members within a range of scores, highest score first.",
        complexity: "O(log(N)+M); O(log(N))",
        syntax: "key/k0 max/d min/d [WITHSCORES] [LIMIT:limit{offset/i count/i}]",
        run: zrevrangebyscore,
        ..ROW
    },
    Spec {
        name: "zrevrank",
        since: "2.0.0",
        arity: -3,
        flags: flags!(READONLY | FAST),
        categories: cats!(SORTEDSET),
        keys: &[KeySpec::one(key!(RO | ACCESS), 1)],
        history: &[("7.2.0", "Added `WITHSCORE`, which returns the score too.")],
        summary: "Returns the rank of a member, highest score first.",
        complexity: "O(log(N))",
        syntax: "key/k0 member [WITHSCORE]",
        run: zrevrank,
        ..ROW
    },
    Spec {
        name: "zscan",
        since: "2.8.0",
        arity: -3,
        flags: flags!(READONLY),
        categories: cats!(SORTEDSET),
        keys: &[KeySpec::one(key!(RO | ACCESS), 1)],
        tips: &["nondeterministic_output"],
        summary: "Walks through the members of a sorted set step by step.",
        complexity: "O(1); O(N)",
        syntax: "key/k0 cursor/i [MATCH:pattern/p] [COUNT:count/i]",
        run: zscan,
        ..ROW
    },
    Spec {
        name: "zscore",
        since: "1.2.0",
        arity: 3,
        flags: flags!(READONLY | FAST),
        categories: cats!(SORTEDSET),
        keys: &[KeySpec::one(key!(RO | ACCESS), 1)],
        summary: "Returns the score of a member.",
        complexity: "O(1)",
        syntax: "key/k0 member",
        run: zscore,
        ..ROW
    },
    Spec {
        name: "zunion",
        since: "6.2.0",
        arity: -3,
        flags: flags!(READONLY),
        categories: cats!(SORTEDSET),
        keys: &[KeySpec::counted(key!(RO | ACCESS), 1)],
        summary: "Returns the union of sorted sets.",
        complexity: "O(N); O(M*log(M))",
        syntax: "numkeys/i key/k0... [WEIGHTS:weight/i...] [AGGREGATE:aggregate<SUM|MIN|MAX>] [WITHSCORES]",
        run: zunion,
        ..ROW
    },
    Spec {
        name: "zunionstore",
        since: "2.0.0",
        arity: -4,
        flags: flags!(WRITE | DENYOOM),
        categories: cats!(SORTEDSET),
        keys: &[
            KeySpec::one(key!(OW | UPDATE), 1),
            KeySpec::counted(key!(RO | ACCESS), 2),
        ],
        summary: "Stores the union of sorted sets.",
        complexity: "O(N); O(M log(M))",
        syntax: "destination/k0 numkeys/i key/k1... [WEIGHTS:weight/i...] [AGGREGATE:aggregate<SUM|MIN|MAX>]",
        run: zunionstore,
        ..ROW
    },
];

const NAN: Error = Error::new("ERR resulting score is not a number (NaN)");

/// Writes a member as a bulk string.
#[inline]
pub(super) fn write_member(out: &mut Reply, elem: Elem<'_>) {
    match elem {
        Elem::Int(n) => out.bulk_int(n),
        Elem::Str(text) => out.bulk(text),
    }
}

/// How members are written, maybe with their scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Members,
    /// Member and score after each other, RESP2.
    Flat,
    /// A pair of member and score, RESP3.
    Pairs,
}

impl Shape {
    fn new(out: &Reply, with_scores: bool) -> Shape {
        match (with_scores, out.resp3()) {
            (false, _) => Shape::Members,
            (true, false) => Shape::Flat,
            (true, true) => Shape::Pairs,
        }
    }

    /// Begins a reply of `count` members.
    fn begin(self, out: &mut Reply, count: usize) {
        out.array(if self == Shape::Flat {
            2 * count
        } else {
            count
        });
    }

    #[inline]
    fn write(self, out: &mut Reply, elem: Elem<'_>, score: f64) {
        if self == Shape::Pairs {
            out.array(2);
        }
        write_member(out, elem);
        if self != Shape::Members {
            out.double(score);
        }
    }
}
