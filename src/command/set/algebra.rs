//! Intersection, union and difference of sets.

use super::write_member;
use crate::command::args::Args;
use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::keyspace::Keys;
use crate::keyspace::effect::Class;
use crate::resp::reply::Aggregate;
use crate::value::entry::{Entry, Head, New};
use crate::value::packed::Elem;
use crate::value::set::{Set, SetRef};
use crate::value::{Collection, Limits, Stored};

/// Borrows the sets at `keys`, in that order; absent keys are empty sets.
fn gather<'a>(db: &'a mut Keys<'_>, keys: Args<'_>) -> Result<Vec<SetRef<'a>>, Error> {
    for key in keys.iter() {
        // Expires, counts and touches; the borrow must not last.
        db.read(key);
    }
    let empty = SetRef::Ints(crate::value::intset::IntSetRef::new(
        &[],
        Default::default(),
    ));
    keys.iter()
        .map(|key| Ok(db.peek_as::<Set>(key)?.unwrap_or(empty)))
        .collect()
}

/// Shows the members of all `sets` to `f` until it says that it has enough.
fn intersect(mut sets: Vec<SetRef<'_>>, f: &mut impl FnMut(Elem<'_>) -> bool) {
    // From the smallest on, the search for a member ends soonest.
    sets.sort_by_key(SetRef::len);
    let Some((first, rest)) = sets.split_first() else {
        return;
    };
    for elem in first.iter() {
        if rest.iter().all(|set| set.contains_elem(elem)) && !f(elem) {
            return;
        }
    }
}

/// The members of any set.
fn unite(sets: &[SetRef<'_>], limits: &Limits) -> Set {
    let mut result = Set::empty();
    // A large set is shared and then added to, which copies only what the additions touch.
    let largest = (0..sets.len()).max_by_key(|&at| sets[at].len());
    let shared = largest.filter(|&at| matches!(sets[at], SetRef::Table(_)));
    if let Some(at) = shared {
        result = sets[at].to_set();
    }
    for (at, set) in sets.iter().enumerate() {
        if shared != Some(at) {
            set.iter().for_each(|elem| {
                result.insert_elem(elem, limits);
            });
        }
    }
    result
}

/// Shows the members of the first set that no other has to `f`.
fn subtract(sets: &[SetRef<'_>], f: &mut impl FnMut(Elem<'_>)) {
    let Some((first, rest)) = sets.split_first() else {
        return;
    };
    let mut rest: Vec<_> = rest.iter().filter(|set| !set.is_empty()).collect();
    let others: usize = rest.iter().map(|set| set.len()).sum();
    // Either look every member up in every other set, or remove what the others have from a copy.
    let copy_pays = first.len().saturating_mul(rest.len()) > first.len().saturating_add(others);
    if matches!(first, SetRef::Table(_)) && copy_pays {
        let mut left = first.to_set();
        for elem in rest.iter().flat_map(|set| set.iter()) {
            left.remove_elem(elem);
        }
        return left.read().iter().for_each(f);
    }
    // A large set is most likely to have the member.
    rest.sort_by_key(|set| std::cmp::Reverse(set.len()));
    let alone = |elem: &Elem<'_>| !rest.iter().any(|set| set.contains_elem(*elem));
    first.iter().filter(alone).for_each(f);
}

/// Replies a set whose members `each` shows.
fn reply_set(
    ctx: &mut Ctx<'_>,
    each: impl FnOnce(Vec<SetRef<'_>>, &mut dyn FnMut(Elem<'_>)),
) -> Outcome {
    let sets = gather(&mut ctx.db, ctx.args.from(1))?;
    let mark = ctx.out.defer();
    let mut len = 0;
    each(sets, &mut |elem| {
        len += 1;
        write_member(ctx.out, elem);
    });
    ctx.out.finish(mark, Aggregate::Set, len);
    Ok(())
}

/// Stores a result at argument 1 and replies its size.
fn store(ctx: &mut Ctx<'_>, event: &'static str, result: Set) -> Outcome {
    let target = ctx.args.get(1);
    let len = result.len();
    if len == 0 {
        if ctx.db.delete(target) {
            ctx.db.effect(Class::GENERIC, "del", target, 1);
        }
    } else {
        ctx.db.expire_if_due(target);
        ctx.db.replace(target, result);
        ctx.db.effect(Class::SET, event, target, 1);
    }
    ctx.out.count(len);
    Ok(())
}

pub(super) fn sinter(ctx: &mut Ctx<'_>) -> Outcome {
    reply_set(ctx, |sets, f| {
        intersect(sets, &mut |elem| {
            f(elem);
            true
        });
    })
}

pub(super) fn sdiff(ctx: &mut Ctx<'_>) -> Outcome {
    reply_set(ctx, |sets, mut f| subtract(&sets, &mut f))
}

pub(super) fn sunion(ctx: &mut Ctx<'_>) -> Outcome {
    let limits = ctx.db.limits();
    let sets = gather(&mut ctx.db, ctx.args.from(1))?;
    let result = unite(&sets, &limits);
    ctx.out.set(result.len());
    result
        .read()
        .iter()
        .for_each(|elem| write_member(ctx.out, elem));
    // What is large is freed on the thread for that.
    if let Stored::Large(obj) = result.store() {
        ctx.db
            .ks
            .reaper
            .free(Entry::new(b"", Head::default(), New::Obj(obj)));
    }
    Ok(())
}

pub(super) fn sinterstore(ctx: &mut Ctx<'_>) -> Outcome {
    let limits = ctx.db.limits();
    let sets = gather(&mut ctx.db, ctx.args.from(2))?;
    let mut result = Set::empty();
    intersect(sets, &mut |elem| {
        result.insert_elem(elem, &limits);
        true
    });
    store(ctx, "sinterstore", result)
}

pub(super) fn sunionstore(ctx: &mut Ctx<'_>) -> Outcome {
    let limits = ctx.db.limits();
    let sets = gather(&mut ctx.db, ctx.args.from(2))?;
    let result = unite(&sets, &limits);
    store(ctx, "sunionstore", result)
}

pub(super) fn sdiffstore(ctx: &mut Ctx<'_>) -> Outcome {
    let limits = ctx.db.limits();
    let sets = gather(&mut ctx.db, ctx.args.from(2))?;
    let mut result = Set::empty();
    subtract(&sets, &mut |elem| {
        result.insert_elem(elem, &limits);
    });
    store(ctx, "sdiffstore", result)
}

pub(super) fn sintercard(ctx: &mut Ctx<'_>) -> Outcome {
    let args = ctx.args;
    let keys = args
        .int(1)
        .ok()
        .and_then(|n| usize::try_from(n).ok())
        .filter(|&n| n > 0);
    let keys = keys.ok_or(Error::new("ERR numkeys should be greater than 0"))?;
    if keys > args.len() - 2 {
        return Err(Error::new(
            "ERR Number of keys can't be greater than number of args",
        ));
    }
    let mut rest = args.cursor(2 + keys);
    let mut limit = 0;
    while !rest.done() {
        if rest.left() < 2 || !rest.word("LIMIT") {
            return Err(Error::SYNTAX);
        }
        let value = rest.int().ok().and_then(|n| usize::try_from(n).ok());
        limit = value.ok_or(Error::new("ERR LIMIT can't be negative"))?;
    }
    let sets = gather(&mut ctx.db, args.slice(2..2 + keys))?;
    let mut count = 0;
    intersect(sets, &mut |_| {
        count += 1;
        limit == 0 || count < limit
    });
    ctx.out.count(count);
    Ok(())
}
