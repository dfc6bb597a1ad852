//! Random fields: HRANDFIELD.

use super::access::{write_field, write_value};
use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::command::set::{MAX_REPEATS, random_count, random_source};
use crate::keyspace::fields;
use crate::resp::reply::Reply;
use crate::value::hash::{FieldRef, Hash};

pub(super) fn hrandfield(ctx: &mut Ctx<'_>) -> Outcome {
    if ctx.args.len() > 2 {
        return random_many(ctx);
    }
    let mut rng = random_source(ctx);
    let now = fields::clock(&ctx.db);
    let hash = ctx.db.read_as::<Hash>(&ctx.args[1])?;
    match hash.and_then(|hash| hash.random(now, &mut rng)) {
        Some(item) => write_field(ctx.out, item.field),
        None => ctx.out.null(),
    }
    Ok(())
}

/// How fields are written.
#[derive(Clone, Copy)]
enum Shape {
    Names,
    /// Field and value after each other, RESP2.
    Flat,
    /// A pair of field and value, RESP3.
    Pairs,
}

impl Shape {
    fn begin(self, out: &mut Reply, count: usize) {
        out.array(if matches!(self, Shape::Flat) {
            2 * count
        } else {
            count
        });
    }

    fn write(self, out: &mut Reply, item: FieldRef<'_>) {
        if let Shape::Pairs = self {
            out.array(2);
        }
        write_field(out, item.field);
        if !matches!(self, Shape::Names) {
            write_value(out, item.value);
        }
    }
}

fn random_many(ctx: &mut Ctx<'_>) -> Outcome {
    let args = ctx.args;
    let (count, repeat) = random_count(ctx, 2)?;
    if args.len() > 4 || args.len() == 4 && !args.is(3, "WITHVALUES") {
        return Err(Error::SYNTAX);
    }
    let shape = match (args.len() == 4, ctx.out.resp3()) {
        (false, _) => Shape::Names,
        (true, false) => Shape::Flat,
        (true, true) => Shape::Pairs,
    };
    if args.len() == 4 && count > i64::MAX as u64 / 2 {
        return Err(Error::OUT_OF_RANGE);
    }
    let mut rng = random_source(ctx);
    let now = fields::clock(&ctx.db);
    let hash = ctx.db.read_as::<Hash>(&args[1])?;
    let live = hash.map_or(0, |hash| hash.live_len(now));
    let Some(hash) = hash.filter(|_| count > 0 && live > 0) else {
        ctx.out.array(0);
        return Ok(());
    };
    let out = &mut *ctx.out;
    if !repeat {
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(live);
        shape.begin(out, count);
        hash.sample(count, now, &mut rng, &mut |item| shape.write(out, item));
        return Ok(());
    }
    if count > MAX_REPEATS && !out.is_capped() {
        return Err(Error::OUT_OF_RANGE);
    }
    shape.begin(out, count as usize);
    for _ in 0..count {
        if out.is_over() {
            break;
        }
        // Some field is alive, as seen above.
        if let Some(item) = hash.random(now, &mut rng) {
            shape.write(out, item);
        }
    }
    Ok(())
}
