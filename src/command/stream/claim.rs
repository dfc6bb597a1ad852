//! Acknowledging and taking over pending entries: XACK, XCLAIM, XAUTOCLAIM.

use smallvec::SmallVec;

use super::range::reply_entries;
use super::{
    consumer_created, interval_start, log_consumer, log_group, log_pending, no_group, reply_id,
    strict_id,
};
use crate::base::num;
use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::value::stream::{Group, Pending, Stream, StreamId, StreamMut};

/// Pending entries that XAUTOCLAIM looks at for each that it may claim.
const ATTEMPTS: usize = 10;
/// Entries that XAUTOCLAIM claims when it is not told a number.
const CLAIM_COUNT: usize = 100;
/// Bytes that Redis reserves for each of them, which bounds the number.
const CLAIM_SIZE: usize = 16;

type Ids = SmallVec<[StreamId; 16]>;

/// `XACK key group id [id …]`
pub(super) fn xack(ctx: &mut Ctx<'_>) -> Outcome {
    let (key, name) = (ctx.args.get(1), ctx.args.get(2));
    let stream = ctx.db.read_as::<StreamMut>(key)?;
    if stream.and_then(|stream| stream.group(name)).is_none() {
        ctx.out.int(0);
        return Ok(());
    }
    let ids: Result<Ids, Error> = ctx
        .args
        .from(3)
        .iter()
        .map(|text| strict_id(text, 0))
        .collect();
    let ids = ids?;
    let done = ctx.db.update(key, |stream: &mut StreamMut| {
        stream.change_group(name, |group| {
            ids.iter().filter(|&&id| group.release(id)).count()
        })
    })?;
    let done = done.unwrap_or(0);
    ctx.db.counted(done);
    ctx.out.count(done);
    Ok(())
}

/// What a claim does to the entries that it gets.
struct Claim<'a> {
    key: &'a [u8],
    group: &'a [u8],
    consumer: &'a [u8],
    min_idle: i64,
    time: i64,
    retry_count: Option<u64>,
    just_id: bool,
    force: bool,
    last_id: Option<StreamId>,
}

impl<'a> Claim<'a> {
    /// Reads what XCLAIM and XAUTOCLAIM begin with.
    fn begin(ctx: &mut Ctx<'a>, name: &str) -> Result<Claim<'a>, Error> {
        let min_idle = num::parse_i64(ctx.args.get(4))
            .ok_or_else(|| Error::text(format!("ERR Invalid min-idle-time argument for {name}")))?;
        Ok(Claim {
            key: ctx.args.get(1),
            group: ctx.args.get(2),
            consumer: ctx.args.get(3),
            min_idle: min_idle.max(0),
            time: ctx.now_ms(),
            retry_count: None,
            just_id: false,
            force: false,
            last_id: None,
        })
    }

    /// The stream, if it has the group.
    fn stream<'c>(&self, ctx: &'c mut Ctx<'_>) -> Result<&'c Stream, Error> {
        ctx.db.expire_if_due(self.key);
        let stream = ctx.db.peek_as::<StreamMut>(self.key)?;
        stream
            .filter(|stream| stream.group(self.group).is_some())
            .ok_or_else(|| no_group(self.key, self.group, ""))
    }

    fn is_idle(&self, pending: &Pending, now_ms: i64) -> bool {
        self.min_idle == 0 || now_ms.saturating_sub(pending.time) >= self.min_idle
    }
}

/// What became of pending entries.
#[derive(Default)]
struct Claimed {
    created: bool,
    /// In the order in which they go into the log: those that the consumer has now, and those that are gone.
    logged: SmallVec<[(Pending, Option<Vec<u8>>); 8]>,
    ids: Ids,
    last_id: StreamId,
    entries_read: Option<u64>,
    moved: bool,
}

impl Claimed {
    /// Takes an entry off the pending ones, because it is not in the stream any more.
    fn drop_gone(&mut self, group: &mut Group, pending: Pending) {
        let owner = group.numbered(pending.consumer).map(|c| c.name.to_vec());
        group.release(pending.id);
        self.logged.push((pending, owner));
    }

    fn take(&mut self, group: &mut Group, claim: &Claim<'_>, before: Pending, consumer: u64) {
        let count = match claim.retry_count {
            Some(count) => count,
            None => before.count.saturating_add(u64::from(!claim.just_id)),
        };
        let pending = Pending {
            consumer,
            time: claim.time,
            count,
            ..before
        };
        group.assign(pending);
        self.logged.push((pending, None));
        self.ids.push(pending.id);
    }

    /// Writes what was claimed, and reports it.
    fn finish(&self, ctx: &mut Ctx<'_>, claim: &Claim<'_>) -> Result<(), Error> {
        if claim.just_id {
            ctx.out.array(self.ids.len());
            self.ids.iter().for_each(|&id| reply_id(ctx.out, id));
        } else if let Some(stream) = ctx.db.peek_as::<StreamMut>(claim.key)? {
            reply_entries(ctx.out, self.ids.iter().filter_map(|&id| stream.get(id)));
        }
        if self.created {
            consumer_created(ctx, claim.key);
            if self.ids.is_empty() {
                log_consumer(ctx, claim.key, claim.group, claim.consumer);
            }
        }
        for (pending, owner) in &self.logged {
            let owner = owner.as_deref().unwrap_or(claim.consumer);
            log_pending(ctx, claim.key, claim.group, owner, pending, self.last_id);
        }
        let mut changes = self.logged.len();
        if self.moved && self.logged.is_empty() {
            log_group(ctx, claim.key, claim.group, self.last_id, self.entries_read);
            changes += 1;
        }
        ctx.db.counted(changes);
        Ok(())
    }
}

/// Runs a claim on its group: makes the consumer, calls `f` with its number, and notes who was active.
fn on_group(
    ctx: &mut Ctx<'_>,
    claim: &Claim<'_>,
    f: impl FnOnce(&mut Group, u64, &mut Claimed),
) -> Result<Claimed, Error> {
    let now_ms = ctx.now_ms();
    ctx.db.update(claim.key, |stream: &mut StreamMut| {
        let mut claimed = Claimed::default();
        stream.change_group(claim.group, |group| {
            if let Some(id) = claim.last_id.filter(|id| *id > group.last_id) {
                group.last_id = id;
                claimed.moved = true;
            }
            let (consumer, created) = group.consumer_or_new(claim.consumer, now_ms);
            claimed.created = created;
            f(group, consumer, &mut claimed);
            group.change_consumer(consumer, |consumer| {
                consumer.seen = now_ms;
                if !claimed.ids.is_empty() {
                    consumer.active = now_ms;
                }
            });
            claimed.last_id = group.last_id;
            claimed.entries_read = group.entries_read;
        });
        claimed
    })
}

/// `XCLAIM key group consumer min-idle-time id [id …] [IDLE ms] [TIME unix-ms] [RETRYCOUNT count] [FORCE] [JUSTID] [LASTID id]`
pub(super) fn xclaim(ctx: &mut Ctx<'_>) -> Outcome {
    // The group is looked up before anything is read.
    let (key, name) = (ctx.args.get(1), ctx.args.get(2));
    let stream = ctx.db.read_as::<StreamMut>(key)?;
    if stream.and_then(|stream| stream.group(name)).is_none() {
        return Err(no_group(key, name, ""));
    }
    let mut claim = Claim::begin(ctx, "XCLAIM")?;
    let mut ids = Ids::new();
    let mut at = 5;
    while at < ctx.args.len()
        && let Some(id) = StreamId::parse(ctx.args.get(at), 0)
    {
        ids.push(id);
        at += 1;
    }
    read_options(ctx, &mut claim, at)?;
    let now_ms = ctx.now_ms();
    let there: SmallVec<[bool; 16]> = {
        let stream = claim.stream(ctx)?;
        ids.iter().map(|&id| stream.get(id).is_some()).collect()
    };
    let claimed = on_group(ctx, &claim, |group, consumer, claimed| {
        for (&id, there) in ids.iter().zip(there) {
            let before = group.find_pending(id).copied();
            let before = match before {
                Some(before) if !there => {
                    claimed.drop_gone(group, before);
                    continue;
                }
                Some(before) if !claim.is_idle(&before, now_ms) => continue,
                Some(before) => before,
                None if !there || !claim.force => continue,
                None => Pending {
                    id,
                    time: now_ms,
                    count: 1,
                    consumer,
                },
            };
            claimed.take(group, &claim, before, consumer);
        }
    })?;
    claimed.finish(ctx, &claim)
}

fn read_options(ctx: &Ctx<'_>, claim: &mut Claim<'_>, at: usize) -> Result<(), Error> {
    let now_ms = ctx.now_ms();
    let mut rest = ctx.args.cursor(at);
    let bad = |name: &str| Error::text(format!("ERR Invalid {name} option argument for XCLAIM"));
    let mut time = None;
    while !rest.done() {
        let more = rest.left() > 1;
        if rest.word("FORCE") {
            claim.force = true;
        } else if rest.word("JUSTID") {
            claim.just_id = true;
        } else if more && rest.word("IDLE") {
            let idle = rest.int().map_err(|_| bad("IDLE"))?;
            time = Some(now_ms.saturating_sub(idle));
        } else if more && rest.word("TIME") {
            time = Some(rest.int().map_err(|_| bad("TIME"))?);
        } else if more && rest.word("RETRYCOUNT") {
            let count = rest.int().map_err(|_| bad("RETRYCOUNT"))?;
            claim.retry_count = u64::try_from(count).ok();
        } else if more && rest.word("LASTID") {
            claim.last_id = Some(strict_id(rest.next()?, 0)?);
        } else {
            let mut text = b"ERR Unrecognized XCLAIM option '".to_vec();
            text.extend_from_slice(rest.next()?);
            text.push(b'\'');
            return Err(Error::bytes(text));
        }
    }
    // A time that makes no sense is now. The source of a follower's log may be ahead.
    let latest = if ctx.client.repeats() {
        i64::MAX
    } else {
        now_ms
    };
    claim.time = time.filter(|t| (0..=latest).contains(t)).unwrap_or(now_ms);
    Ok(())
}

/// `XAUTOCLAIM key group consumer min-idle-time start [COUNT count] [JUSTID]`
pub(super) fn xautoclaim(ctx: &mut Ctx<'_>) -> Outcome {
    let mut claim = Claim::begin(ctx, "XAUTOCLAIM")?;
    let start = interval_start(ctx.args.get(5))?;
    let mut count = CLAIM_COUNT;
    let mut rest = ctx.args.cursor(6);
    while !rest.done() {
        if rest.left() > 1 && rest.word("COUNT") {
            let number = num::parse_i64(rest.next()?).and_then(|n| usize::try_from(n).ok());
            let range = 1..=i64::MAX as usize / CLAIM_SIZE;
            count = number
                .filter(|n| range.contains(n))
                .ok_or(Error::new("ERR COUNT must be > 0"))?;
        } else if rest.word("JUSTID") {
            claim.just_id = true;
        } else {
            return Err(Error::SYNTAX);
        }
    }
    let now_ms = ctx.now_ms();
    let (mut found, mut gone, mut cursor) = (Ids::new(), Ids::new(), StreamId::MIN);
    ctx.db.read(claim.key);
    let stream = claim.stream(ctx)?;
    if let Some(group) = stream.group(claim.group) {
        let attempts = count.saturating_mul(ATTEMPTS);
        for (at, pending) in group.pending_from(start).enumerate() {
            if at == attempts || found.len() + gone.len() == count {
                cursor = pending.id;
                break;
            }
            if stream.get(pending.id).is_none() {
                gone.push(pending.id);
            } else if claim.is_idle(pending, now_ms) {
                found.push(pending.id);
            }
        }
    }
    let claimed = on_group(ctx, &claim, |group, consumer, claimed| {
        let mut ids: Ids = found.iter().chain(&gone).copied().collect();
        ids.sort_unstable();
        for id in ids {
            match group.find_pending(id).copied() {
                Some(pending) if gone.binary_search(&id).is_ok() => {
                    claimed.drop_gone(group, pending);
                }
                Some(pending) => claimed.take(group, &claim, pending, consumer),
                None => {}
            }
        }
    })?;
    ctx.out.array(3);
    reply_id(ctx.out, cursor);
    claimed.finish(ctx, &claim)?;
    ctx.out.array(gone.len());
    gone.iter().for_each(|&id| reply_id(ctx.out, id));
    Ok(())
}
