//! Looking at members: ZCARD, ZSCORE, ZMSCORE, ZRANK, ZREVRANK, ZRANDMEMBER, ZSCAN.

use super::{Shape, write_member};
use crate::base::num;
use crate::command::ctx::{Ctx, Outcome};
use crate::command::element_scan;
use crate::command::error::Error;
use crate::command::set::{MAX_REPEATS, random_count, random_source};
use crate::value::zset::Zset;

pub(super) fn zcard(ctx: &mut Ctx<'_>) -> Outcome {
    let set = ctx.db.read_as::<Zset>(&ctx.args[1])?;
    ctx.out.count(set.map_or(0, |set| set.len()));
    Ok(())
}

pub(super) fn zscore(ctx: &mut Ctx<'_>) -> Outcome {
    let set = ctx.db.read_as::<Zset>(&ctx.args[1])?;
    match set.and_then(|set| set.score(&ctx.args[2])) {
        Some(score) => ctx.out.double(score),
        None => ctx.out.null(),
    }
    Ok(())
}

pub(super) fn zmscore(ctx: &mut Ctx<'_>) -> Outcome {
    let set = ctx.db.read_as::<Zset>(&ctx.args[1])?;
    let members = ctx.args.from(2);
    ctx.out.array(members.len());
    for member in members.iter() {
        match set.and_then(|set| set.score(member)) {
            Some(score) => ctx.out.double(score),
            None => ctx.out.null(),
        }
    }
    Ok(())
}

pub(super) fn zrank(ctx: &mut Ctx<'_>) -> Outcome {
    rank(ctx, false)
}

pub(super) fn zrevrank(ctx: &mut Ctx<'_>) -> Outcome {
    rank(ctx, true)
}

fn rank(ctx: &mut Ctx<'_>, rev: bool) -> Outcome {
    let args = ctx.args;
    if args.len() > 4 {
        return Err(Error::arity(&ctx.command.full_name));
    }
    let with_score = args.len() == 4;
    if with_score && !args.is(3, "WITHSCORE") {
        return Err(Error::SYNTAX);
    }
    let set = ctx.db.read_as::<Zset>(&args[1])?;
    let found = set.and_then(|set| Some((set.len(), set.rank(&args[2])?)));
    match found {
        Some((len, (rank, score))) => {
            if with_score {
                ctx.out.array(2);
            }
            ctx.out.count(if rev { len - 1 - rank } else { rank });
            if with_score {
                ctx.out.double(score);
            }
        }
        None if with_score => ctx.out.null_array(),
        None => ctx.out.null(),
    }
    Ok(())
}

pub(super) fn zrandmember(ctx: &mut Ctx<'_>) -> Outcome {
    let args = ctx.args;
    let mut rng = random_source(ctx);
    if args.len() == 2 {
        let set = ctx.db.read_as::<Zset>(&args[1])?;
        match set.and_then(|set| set.random(&mut rng)) {
            Some((elem, _)) => write_member(ctx.out, elem),
            None => ctx.out.null(),
        }
        return Ok(());
    }
    let (count, repeat) = random_count(ctx, 2)?;
    if args.len() > 4 || args.len() == 4 && !args.is(3, "WITHSCORES") {
        return Err(Error::SYNTAX);
    }
    let with_scores = args.len() == 4;
    if with_scores && count > i64::MAX as u64 / 2 {
        return Err(Error::OUT_OF_RANGE);
    }
    let shape = Shape::new(ctx.out, with_scores);
    let set = ctx.db.read_as::<Zset>(&args[1])?;
    let Some(set) = set.filter(|_| count != 0) else {
        ctx.out.array(0);
        return Ok(());
    };
    let out = &mut *ctx.out;
    if !repeat {
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(set.len());
        shape.begin(out, count);
        set.sample(count, &mut rng, &mut |elem, score| {
            shape.write(out, elem, score)
        });
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
        // Not empty, as seen above.
        if let Some((elem, score)) = set.random(&mut rng) {
            shape.write(out, elem, score);
        }
    }
    Ok(())
}

pub(super) fn zscan(ctx: &mut Ctx<'_>) -> Outcome {
    let cursor = element_scan::cursor(&ctx.args[2])?;
    let Some(set) = ctx.db.read_as::<Zset>(&ctx.args[1])? else {
        element_scan::empty(ctx.out);
        return Ok(());
    };
    let options = element_scan::Options::read(ctx.args.cursor(3), false)?;
    let mut page = element_scan::Page::default();
    let mut text = Vec::new();
    let next = set.scan(cursor, options.count, &mut |elem, score| {
        if elem.with_bytes(|member| options.wants(member)) {
            write_member(page.element(), elem);
            // A bulk string in RESP3 too.
            text.clear();
            num::write_f64(&mut text, score);
            page.element().bulk(&text);
        }
    });
    page.reply(next, ctx.out);
    Ok(())
}
