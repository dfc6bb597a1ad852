//! Commands on sets.

mod algebra;
mod random;
#[cfg(test)]
mod tests;

use super::ctx::{Ctx, Outcome};
use super::element_scan;
use crate::command::spec::{Group, KeySpec, Spec, cats, flags, key};
use crate::keyspace::effect::Class;
use crate::resp::reply::Reply;
use crate::value::packed::Elem;
use crate::value::set::Set;

use algebra::{sdiff, sdiffstore, sinter, sintercard, sinterstore, sunion, sunionstore};
use random::{spop, srandmember};

pub(super) use random::{MAX_REPEATS, random_count, random_source};

const ROW: Spec = Spec {
    group: Group::Set,
    ..Spec::BLANK
};

pub static TABLE: &[Spec] = &[
    Spec {
        name: "sadd",
        since: "1.0.0",
        arity: -3,
        flags: flags!(WRITE | DENYOOM | FAST),
        categories: cats!(SET),
        keys: &[KeySpec::one(key!(RW | INSERT), 1)],
        history: &[("2.4.0", "Allowed several members in one call.")],
        summary: "Adds members to a set, which is created if need be.",
        complexity: "O(1); O(N)",
        syntax: "key/k0 member...",
        run: sadd,
        ..ROW
    },
    Spec {
        name: "scard",
        since: "1.0.0",
        arity: 2,
        flags: flags!(READONLY | FAST),
        categories: cats!(SET),
        keys: &[KeySpec::one(key!(RO), 1)],
        summary: "Counts the members of a set.",
        complexity: "O(1)",
        syntax: "key/k0",
        run: scard,
        ..ROW
    },
    Spec {
        name: "sdiff",
        since: "1.0.0",
        arity: -2,
        flags: flags!(READONLY),
        categories: cats!(SET),
        keys: &[KeySpec::range(key!(RO | ACCESS), 1, -1, 1)],
        tips: &["nondeterministic_output_order"],
        summary: "Returns what the first set has and the others have not.",
        complexity: "O(N)",
        syntax: "key/k0...",
        run: sdiff,
        ..ROW
    },
    Spec {
        name: "sdiffstore",
        since: "1.0.0",
        arity: -3,
        flags: flags!(WRITE | DENYOOM),
        categories: cats!(SET),
        keys: &[
            KeySpec::one(key!(OW | UPDATE), 1),
            KeySpec::range(key!(RO | ACCESS), 2, -1, 1),
        ],
        summary: "Stores what the first set has and the others have not.",
        complexity: "O(N)",
        syntax: "destination/k0 key/k1...",
        run: sdiffstore,
        ..ROW
    },
    Spec {
        name: "sinter",
        since: "1.0.0",
        arity: -2,
        flags: flags!(READONLY),
        categories: cats!(SET),
        keys: &[KeySpec::range(key!(RO | ACCESS), 1, -1, 1)],
        tips: &["nondeterministic_output_order"],
        summary: "Returns the intersection of sets.",
        complexity: "O(N*M)",
        syntax: "key/k0...",
        run: sinter,
        ..ROW
    },
    Spec {
        name: "sintercard",
        since: "7.0.0",
        arity: -3,
        flags: flags!(READONLY),
        categories: cats!(SET),
        keys: &[KeySpec::counted(key!(RO | ACCESS), 1)],
        summary: "Counts the members of an intersection of sets.",
        complexity: "O(N*M)",
        syntax: "numkeys/i key/k0... [LIMIT:limit/i]",
        run: sintercard,
        ..ROW
    },
    Spec {
        name: "sinterstore",
        since: "1.0.0",
        arity: -3,
        flags: flags!(WRITE | DENYOOM),
        categories: cats!(SET),
        keys: &[
            KeySpec::one(key!(OW | UPDATE), 1),
            KeySpec::range(key!(RO | ACCESS), 2, -1, 1),
        ],
        summary: "Stores the intersection of sets.",
        complexity: "O(N*M)",
        syntax: "destination/k0 key/k1...",
        run: sinterstore,
        ..ROW
    },
    Spec {
        name: "sismember",
        since: "1.0.0",
        arity: 3,
        flags: flags!(READONLY | FAST),
        categories: cats!(SET),
        keys: &[KeySpec::one(key!(RO), 1)],
        summary: "Tells whether a set has a member.",
        complexity: "O(1)",
        syntax: "key/k0 member",
        run: sismember,
        ..ROW
    },
    Spec {
        name: "smembers",
        since: "1.0.0",
        arity: 2,
        flags: flags!(READONLY),
        categories: cats!(SET),
        keys: &[KeySpec::one(key!(RO | ACCESS), 1)],
        tips: &["nondeterministic_output_order"],
        summary: "Returns all members of a set.",
        complexity: "O(N)",
        syntax: "key/k0",
        run: smembers,
        ..ROW
    },
    Spec {
        name: "smismember",
        since: "6.2.0",
        arity: -3,
        flags: flags!(READONLY | FAST),
        categories: cats!(SET),
        keys: &[KeySpec::one(key!(RO | ACCESS), 1)],
        summary: "Tells for several members whether a set has them.",
        complexity: "O(N)",
        syntax: "key/k0 member...",
        run: smismember,
        ..ROW
    },
    Spec {
        name: "smove",
        since: "1.0.0",
        arity: 4,
        flags: flags!(WRITE | FAST),
        categories: cats!(SET),
        keys: &[
            KeySpec::one(key!(RW | ACCESS | DELETE), 1),
            KeySpec::one(key!(RW | INSERT), 2),
        ],
        summary: "Moves a member from one set to another.",
        complexity: "O(1)",
        syntax: "source/k0 destination/k1 member",
        run: smove,
        ..ROW
    },
    Spec {
        name: "spop",
        since: "1.0.0",
        arity: -2,
        flags: flags!(WRITE | FAST),
        categories: cats!(SET),
        keys: &[KeySpec::one(key!(RW | ACCESS | DELETE), 1)],
        tips: &["nondeterministic_output"],
        history: &[("3.2.0", "Added `count`.")],
        summary: "Removes and returns random members of a set.",
        complexity: "O(1); O(N)",
        syntax: "key/k0 [count/i@3.2.0]",
        run: spop,
        ..ROW
    },
    Spec {
        name: "srandmember",
        since: "1.0.0",
        arity: -2,
        flags: flags!(READONLY),
        categories: cats!(SET),
        keys: &[KeySpec::one(key!(RO | ACCESS), 1)],
        tips: &["nondeterministic_output"],
        history: &[("2.6.0", "Added `count`.")],
        summary: "Returns random members of a set.",
        complexity: "O(1); O(N)",
        syntax: "key/k0 [count/i@2.6.0]",
        run: srandmember,
        ..ROW
    },
    Spec {
        name: "srem",
        since: "1.0.0",
        arity: -3,
        flags: flags!(WRITE | FAST),
        categories: cats!(SET),
        keys: &[KeySpec::one(key!(RW | DELETE), 1)],
        history: &[("2.4.0", "Allowed several members in one call.")],
        summary: "Removes members from a set.",
        complexity: "O(N)",
        syntax: "key/k0 member...",
        run: srem,
        ..ROW
    },
    Spec {
        name: "sscan",
        since: "2.8.0",
        arity: -3,
        flags: flags!(READONLY),
        categories: cats!(SET),
        keys: &[KeySpec::one(key!(RO | ACCESS), 1)],
        tips: &["nondeterministic_output"],
        summary: "Walks through the members of a set step by step.",
        complexity: "O(1); O(N)",
        syntax: "key/k0 cursor/i [MATCH:pattern/p] [COUNT:count/i]",
        run: sscan,
        ..ROW
    },
    Spec {
        name: "sunion",
        since: "1.0.0",
        arity: -2,
        flags: flags!(READONLY),
        categories: cats!(SET),
        keys: &[KeySpec::range(key!(RO | ACCESS), 1, -1, 1)],
        tips: &["nondeterministic_output_order"],
        summary: "Returns the union of sets.",
        complexity: "O(N)",
        syntax: "key/k0...",
        run: sunion,
        ..ROW
    },
    Spec {
        name: "sunionstore",
        since: "1.0.0",
        arity: -3,
        flags: flags!(WRITE | DENYOOM),
        categories: cats!(SET),
        keys: &[
            KeySpec::one(key!(OW | UPDATE), 1),
            KeySpec::range(key!(RO | ACCESS), 2, -1, 1),
        ],
        summary: "Stores the union of sets.",
        complexity: "O(N)",
        syntax: "destination/k0 key/k1...",
        run: sunionstore,
        ..ROW
    },
];

/// Writes a member as a bulk string.
#[inline]
fn write_member(out: &mut Reply, elem: Elem<'_>) {
    match elem {
        Elem::Int(n) => out.bulk_int(n),
        Elem::Str(text) => out.bulk(text),
    }
}

fn sadd(ctx: &mut Ctx<'_>) -> Outcome {
    let (args, limits) = (ctx.args, ctx.db.limits());
    let added = ctx.db.update::<Set, _>(&args[1], |set| {
        set.prepare(&args[2], args.len() - 2, &limits);
        args.iter()
            .skip(2)
            .filter(|member| set.insert(member, &limits))
            .count()
    })?;
    if added > 0 {
        ctx.db.effect(Class::SET, "sadd", &args[1], added);
    }
    ctx.out.count(added);
    Ok(())
}

fn srem(ctx: &mut Ctx<'_>) -> Outcome {
    let args = ctx.args;
    let removed = ctx.db.modify::<Set, _>(&args[1], |set| {
        args.iter()
            .skip(2)
            .filter(|member| set.remove(member))
            .count()
    })?;
    let removed = removed.unwrap_or(0);
    if removed > 0 {
        ctx.db.effect(Class::SET, "srem", &args[1], removed);
    }
    ctx.out.count(removed);
    Ok(())
}

fn smove(ctx: &mut Ctx<'_>) -> Outcome {
    let (args, limits) = (ctx.args, ctx.db.limits());
    let (source, target, member) = (args.get(1), args.get(2), args.get(3));
    ctx.db.expire_if_due(source);
    ctx.db.expire_if_due(target);
    let Some(set) = ctx.db.peek_as::<Set>(source)? else {
        ctx.out.int(0);
        return Ok(());
    };
    let there = set.contains(member);
    ctx.db.peek_as::<Set>(target)?;
    if there && source != target {
        ctx.db.modify::<Set, _>(source, |set| set.remove(member))?;
        ctx.db.effect(Class::SET, "srem", source, 1);
        let added = ctx.db.update::<Set, _>(target, |set| {
            set.prepare(member, 1, &limits);
            set.insert(member, &limits)
        })?;
        if added {
            ctx.db.effect(Class::SET, "sadd", target, 1);
        }
    }
    ctx.out.int(i64::from(there));
    Ok(())
}

fn scard(ctx: &mut Ctx<'_>) -> Outcome {
    let set = ctx.db.read_as::<Set>(&ctx.args[1])?;
    ctx.out.count(set.map_or(0, |set| set.len()));
    Ok(())
}

fn sismember(ctx: &mut Ctx<'_>) -> Outcome {
    let set = ctx.db.read_as::<Set>(&ctx.args[1])?;
    let there = set.is_some_and(|set| set.contains(&ctx.args[2]));
    ctx.out.int(i64::from(there));
    Ok(())
}

fn smismember(ctx: &mut Ctx<'_>) -> Outcome {
    let set = ctx.db.read_as::<Set>(&ctx.args[1])?;
    let members = ctx.args.from(2);
    ctx.out.array(members.len());
    for member in members.iter() {
        let there = set.is_some_and(|set| set.contains(member));
        ctx.out.int(i64::from(there));
    }
    Ok(())
}

fn smembers(ctx: &mut Ctx<'_>) -> Outcome {
    let Some(set) = ctx.db.read_as::<Set>(&ctx.args[1])? else {
        ctx.out.set(0);
        return Ok(());
    };
    ctx.out.set(set.len());
    set.iter().for_each(|elem| write_member(ctx.out, elem));
    Ok(())
}

fn sscan(ctx: &mut Ctx<'_>) -> Outcome {
    let cursor = element_scan::cursor(&ctx.args[2])?;
    let Some(set) = ctx.db.read_as::<Set>(&ctx.args[1])? else {
        element_scan::empty(ctx.out);
        return Ok(());
    };
    let options = element_scan::Options::read(ctx.args.cursor(3), false)?;
    let mut page = element_scan::Page::default();
    let next = set.scan(cursor, options.count, &mut |elem| {
        if elem.with_bytes(|text| options.wants(text)) {
            write_member(page.element(), elem);
        }
    });
    page.reply(next, ctx.out);
    Ok(())
}
