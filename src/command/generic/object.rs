//! OBJECT: how a value is kept and when it was last used. None of these is an access, so none announces that a key
//! is missing.

use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::value::encoding::encoding;
use crate::value::entry::{Entry, Payload};

const NO_LFU: Error = Error::new(
    "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching \
     between policies at runtime LRU and LFU data will take some time to adjust.",
);
const IS_LFU: Error = Error::new(
    "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between \
     policies at runtime LRU and LFU data will take some time to adjust.",
);
/// The count that Redis shows for the integers of which it keeps one object for all keys.
const SHARED: i64 = i32::MAX as i64;
const SHARED_INTS: std::ops::Range<i64> = 0..10_000;

/// The entry of the sub-command's key.
fn target<'a>(ctx: &'a mut Ctx<'_>) -> Option<&'a Entry> {
    ctx.db.inspect(&ctx.args[2])
}

/// `OBJECT ENCODING key`
pub(super) fn encoding_of(ctx: &mut Ctx<'_>) -> Outcome {
    match target(ctx).map(|entry| encoding(entry.payload())) {
        Some(name) => ctx.out.bulk(name.as_bytes()),
        None => ctx.out.null(),
    }
    Ok(())
}

/// `OBJECT FREQ key`
pub(super) fn freq(ctx: &mut Ctx<'_>) -> Outcome {
    let Some(clock) = target(ctx).map(Entry::clock) else {
        ctx.out.null();
        return Ok(());
    };
    let access = ctx.db.ks.access;
    if !access.policy.is_lfu() {
        return Err(NO_LFU);
    }
    ctx.out
        .int(i64::from(access.lfu_counter(clock, ctx.now_ms())));
    Ok(())
}

/// `OBJECT IDLETIME key`
pub(super) fn idletime(ctx: &mut Ctx<'_>) -> Outcome {
    let Some(clock) = target(ctx).map(Entry::clock) else {
        ctx.out.null();
        return Ok(());
    };
    let access = ctx.db.ks.access;
    if access.policy.is_lfu() {
        return Err(IS_LFU);
    }
    ctx.out.int(access.idle_s(clock, ctx.now_ms()));
    Ok(())
}

/// `OBJECT REFCOUNT key`
pub(super) fn refcount(ctx: &mut Ctx<'_>) -> Outcome {
    // With access clocks that decide about eviction, every key needs an object of its own.
    let policy = ctx.core.config.maxmemory_policy;
    let own = ctx.core.config.maxmemory > 0 && policy.uses_clock();
    let count = target(ctx).map(|entry| match entry.payload() {
        Payload::Int(n) if SHARED_INTS.contains(&n) && !own => SHARED,
        _ => 1,
    });
    match count {
        Some(count) => ctx.out.int(count),
        None => ctx.out.null(),
    }
    Ok(())
}

/// `OBJECT HELP`
pub(super) fn help(ctx: &mut Ctx<'_>) -> Outcome {
    ctx.out.help(
        "object",
        &[
            "ENCODING <key>",
            "    Return the kind of internal representation used in order to store the value",
            "    associated with a <key>.",
            "FREQ <key>",
            "    Return the access frequency index of the <key>. The returned integer is",
            "    proportional to the logarithm of the recent access frequency of the key.",
            "IDLETIME <key>",
            "    Return the idle time of the <key>, that is the approximated number of",
            "    seconds elapsed since the last access to the key.",
            "REFCOUNT <key>",
            "    Return the number of references of the value associated with the specified",
            "    <key>.",
        ],
    );
    Ok(())
}
