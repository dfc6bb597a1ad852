//! XREAD and XREADGROUP, which may wait for entries.

use smallvec::SmallVec;

use super::{
    consumer_created, log_consumer, log_group, log_pending, no_group, reply_entry, reply_id,
    reply_id_and_fields, strict_id,
};
use crate::base::num;
use crate::command::args::Args;
use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::dispatch::blocked::{Block, Wait};
use crate::resp::reply::{Aggregate, Reply};
use crate::value::Type;
use crate::value::stream::{Entry, Group, Pending, Stream, StreamId, StreamMut};

/// Between looks for pending entries that nobody had when the wait began, in ms.
const RECHECK_MS: i64 = 100;

/// What a call asks for.
struct Request<'a> {
    group: Option<(&'a [u8], &'a [u8])>,
    count: usize,
    /// How long to wait in ms, 0 for ever.
    block_ms: Option<i64>,
    no_ack: bool,
    /// Pending entries that are idle for so long are claimed first.
    claim_ms: Option<i64>,
    keys: Args<'a>,
    ids: Args<'a>,
}

/// `XREAD [COUNT count] [BLOCK ms] STREAMS key … id …`
pub(super) fn xread(ctx: &mut Ctx<'_>) -> Outcome {
    let request = Request::read(ctx, false)?;
    let from = positions(ctx, &request)?;
    let begin = Served::begin(ctx.out);
    let mut served = 0;
    for (key, &after) in request.keys.iter().zip(&from) {
        let Some(stream) = ctx.db.read_as::<StreamMut>(key)? else {
            continue;
        };
        let Some(start) = after.next().filter(|start| has_from(stream, *start)) else {
            continue;
        };
        served += 1;
        begin.key(ctx.out, key);
        let entries = stream.range(start, StreamId::MAX).take(request.count);
        super::range::reply_entries(ctx.out, entries);
    }
    if served > 0 {
        begin.end(ctx.out, served);
        return Ok(());
    }
    wait(ctx, &request, from)
}

/// `XREADGROUP GROUP group consumer [COUNT count] [BLOCK ms] [CLAIM min-idle-time] [NOACK] STREAMS key … id …`
pub(super) fn xreadgroup(ctx: &mut Ctx<'_>) -> Outcome {
    let request = Request::read(ctx, true)?;
    let from = positions(ctx, &request)?;
    let begin = Served::begin(ctx.out);
    let mut served = 0;
    for (key, &after) in request.keys.iter().zip(&from) {
        served += usize::from(read_group(ctx, &request, &begin, key, after)?);
    }
    if served > 0 {
        begin.end(ctx.out, served);
        return Ok(());
    }
    wait(ctx, &request, from)
}

impl<'a> Request<'a> {
    fn read(ctx: &Ctx<'a>, of_group: bool) -> Result<Request<'a>, Error> {
        let args = ctx.args;
        let mut request = Request {
            group: None,
            count: usize::MAX,
            block_ms: None,
            no_ack: false,
            claim_ms: None,
            keys: args.slice(0..0),
            ids: args.slice(0..0),
        };
        let only_groups = |option: &str| {
            Error::text(format!(
                "ERR The {option} option is only supported by XREADGROUP. You called XREAD instead."
            ))
        };
        let mut rest = args.cursor(1);
        while !rest.done() {
            let left = rest.left();
            if left > 1 && rest.word("BLOCK") {
                request.block_ms = Some(block_ms(ctx, rest.next()?)?);
            } else if left > 1 && rest.word("COUNT") {
                // None asked for are all.
                request.count = match rest.int()? {
                    count if count <= 0 => usize::MAX,
                    count => count as usize,
                };
            } else if left > 1 && rest.word("STREAMS") {
                let count = rest.left();
                if !count.is_multiple_of(2) {
                    return Err(unbalanced(of_group));
                }
                let (from, middle) = (rest.at(), rest.at() + count / 2);
                request.keys = args.slice(from..middle);
                request.ids = args.slice(middle..middle + count / 2);
                break;
            } else if left > 2 && rest.word("GROUP") {
                if !of_group {
                    return Err(only_groups("GROUP"));
                }
                request.group = Some((rest.next()?, rest.next()?));
            } else if rest.word("NOACK") {
                if !of_group {
                    return Err(only_groups("NOACK"));
                }
                request.no_ack = true;
            } else if of_group && left > 1 && rest.word("CLAIM") {
                request.claim_ms = Some(claim_ms(rest.next()?)?);
            } else {
                return Err(Error::SYNTAX);
            }
        }
        if request.keys.is_empty() {
            return Err(Error::SYNTAX);
        }
        if of_group && request.group.is_none() {
            return Err(Error::new("ERR Missing GROUP option for XREADGROUP"));
        }
        Ok(request)
    }
}

fn unbalanced(of_group: bool) -> Error {
    let (name, ids) = if of_group {
        ("xreadgroup", "ID or '>'")
    } else {
        ("xread", "ID, '+', or '$'")
    };
    Error::text(format!(
        "ERR Unbalanced '{name}' list of streams: for each stream key an {ids} must be specified."
    ))
}

fn block_ms(ctx: &Ctx<'_>, text: &[u8]) -> Result<i64, Error> {
    let ms =
        num::parse_i64(text).ok_or(Error::new("ERR timeout is not an integer or out of range"))?;
    if ms < 0 {
        return Err(Error::new("ERR timeout is negative"));
    }
    if ms.checked_add(ctx.now_ms()).is_none() {
        return Err(Error::new("ERR timeout is out of range"));
    }
    Ok(ms)
}

fn claim_ms(text: &[u8]) -> Result<i64, Error> {
    let ms = num::parse_i64(text).ok_or(Error::new("ERR min-idle-time is not an integer"))?;
    if ms < 0 {
        return Err(Error::new("ERR min-idle-time must be a positive integer"));
    }
    Ok(ms)
}

/// Behind which identifiers the streams are read; the last one of all stands for `>`. A command that waited goes on
/// with those that it began with.
fn positions(ctx: &mut Ctx<'_>, request: &Request<'_>) -> Result<SmallVec<[StreamId; 4]>, Error> {
    let resumed = std::mem::take(&mut ctx.client.resume);
    let mut from = SmallVec::new();
    for (at, (key, text)) in request.keys.iter().zip(request.ids.iter()).enumerate() {
        if let Some((group, _)) = request.group {
            let stream = ctx.db.read_as::<StreamMut>(key)?;
            if stream.and_then(|stream| stream.group(group)).is_none() {
                return Err(no_group(key, group, " in XREADGROUP with GROUP option"));
            }
        } else {
            // Before anything is replied.
            ctx.db.expire_if_due(key);
            ctx.db.peek_as::<StreamMut>(key)?;
        }
        from.push(match resumed.get(at) {
            Some(&id) => id,
            None => position(ctx, request, key, text)?,
        });
    }
    Ok(from)
}

fn position(
    ctx: &mut Ctx<'_>,
    request: &Request<'_>,
    key: &[u8],
    text: &[u8],
) -> Result<StreamId, Error> {
    let of_group = request.group.is_some();
    match text {
        b"$" | b"+" if of_group => Err(Error::text(format!(
            "ERR The {0} ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying a proper ID, or use the > ID to get new messages. The {0} ID would just return an empty result set.",
            char::from(text[0]),
        ))),
        b"$" => {
            let stream = ctx.db.read_as::<StreamMut>(key)?;
            Ok(stream.map_or(StreamId::MIN, Stream::last_id))
        }
        // Behind the one before the last entry.
        b"+" => {
            let Some(stream) = ctx.db.read_as::<StreamMut>(key)? else {
                return Ok(StreamId::MIN);
            };
            if stream.has_no_entries() {
                return Ok(stream.last_id());
            }
            Ok(stream.top_id().prev().unwrap_or_default())
        }
        b">" if of_group => Ok(StreamId::MAX),
        b">" => Err(Error::new(
            "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.",
        )),
        _ => strict_id(text, 0),
    }
}

fn has_from(stream: &Stream, start: StreamId) -> bool {
    !stream.has_no_entries() && stream.top_id() >= start
}

/// A reply of several keys that is being written.
struct Served {
    mark: crate::resp::reply::Mark,
}

impl Served {
    fn begin(out: &mut Reply) -> Served {
        Served { mark: out.defer() }
    }

    fn key(&self, out: &mut Reply, key: &[u8]) {
        if !out.resp3() {
            out.array(2);
        }
        out.bulk(key);
    }

    fn end(self, out: &mut Reply, count: usize) {
        let kind = if out.resp3() {
            Aggregate::Map
        } else {
            Aggregate::Array
        };
        out.finish(self.mark, kind, count);
    }
}

/// Nothing was there: waits if that was asked for.
fn wait(ctx: &mut Ctx<'_>, request: &Request<'_>, from: SmallVec<[StreamId; 4]>) -> Outcome {
    let Some(ms) = request.block_ms else {
        ctx.out.null_array();
        return Ok(());
    };
    ctx.block(Block {
        wait: Wait::Keys {
            keys: request.keys.iter().map(<[u8]>::to_vec).collect(),
            holds: Type::Stream,
            or_gone: request.group.is_some(),
        },
        timeout_ms: (ms > 0).then_some(ms),
        on_timeout: |_, _, out| out.null_array(),
    });
    if ctx.client.blocked.is_some() {
        ctx.client.resume = from;
        if let (Some(idle), Some((group, _))) = (request.claim_ms, request.group) {
            recheck(ctx, request.keys, group, idle);
        }
    }
    Ok(())
}

/// Pending entries become old enough to be claimed while nothing changes: the client tries again when the first one is,
/// or in a while if there is none yet.
fn recheck(ctx: &mut Ctx<'_>, keys: Args<'_>, group: &[u8], idle_ms: i64) {
    let (now_ms, mono_ms) = (ctx.now_ms(), ctx.core.now_ms());
    for key in keys.iter() {
        let stream = ctx.db.peek_as::<StreamMut>(key).ok().flatten();
        let group = stream.and_then(|stream| stream.group(group));
        let oldest = group.and_then(|group| {
            let pending = group.pending_from(StreamId::MIN);
            pending.map(|pending| pending.time).min()
        });
        let wait_ms = oldest.map_or(idle_ms.max(RECHECK_MS), |time| {
            time.saturating_add(idle_ms).saturating_sub(now_ms).max(1)
        });
        let db = ctx.client.db;
        ctx.core
            .blocking
            .recheck(mono_ms.saturating_add(wait_ms), db, key);
    }
}

/// The reader of one stream.
struct Reader<'a> {
    key: &'a [u8],
    group: &'a [u8],
    /// Number of its consumer.
    consumer: u64,
    now_ms: i64,
}

/// A pending entry for the log, as it is now.
struct Logged {
    pending: Pending,
    /// Whose it was, if it is gone because its entry is.
    owner: Option<Vec<u8>>,
    last_id: StreamId,
}

/// What a consumer was given.
#[derive(Default)]
struct Given {
    created: bool,
    /// There is something in the reply.
    served: bool,
    logged: Vec<Logged>,
    /// How far the group is now, if it has moved on.
    moved: Option<(StreamId, Option<u64>)>,
}

/// Reads one stream for a consumer. True if that is part of the reply.
fn read_group(
    ctx: &mut Ctx<'_>,
    request: &Request<'_>,
    begin: &Served,
    key: &[u8],
    after: StreamId,
) -> Result<bool, Error> {
    let Some((name, consumer)) = request.group else {
        return Ok(false);
    };
    let now_ms = ctx.now_ms();
    let out = &mut *ctx.out;
    let given = ctx.db.update(key, |stream: &mut StreamMut| {
        let mut given = Given::default();
        let made = stream.change_group(name, |group| {
            let (number, created) = group.consumer_or_new(consumer, now_ms);
            group.change_consumer(number, |consumer| consumer.seen = now_ms);
            (number, created)
        });
        if let Some((number, created)) = made {
            given.created = created;
            let reader = Reader {
                key,
                group: name,
                consumer: number,
                now_ms,
            };
            if after == StreamId::MAX {
                reader.deliver(out, begin, stream, request, &mut given);
            } else {
                begin.key(out, key);
                reader.history(out, stream, after, request.count);
                given.served = true;
            }
        }
        given
    })?;
    log_given(ctx, key, (name, consumer), &given);
    Ok(given.served)
}

/// The effects: each entry that is pending now, then how far the group is.
fn log_given(ctx: &mut Ctx<'_>, key: &[u8], (group, consumer): (&[u8], &[u8]), given: &Given) {
    if given.created {
        consumer_created(ctx, key);
        // With a pending entry it makes itself.
        if given.logged.iter().all(|logged| logged.owner.is_some()) {
            log_consumer(ctx, key, group, consumer);
        }
    }
    for logged in &given.logged {
        let owner = logged.owner.as_deref().unwrap_or(consumer);
        log_pending(ctx, key, group, owner, &logged.pending, logged.last_id);
    }
    if let Some((last_id, entries_read)) = given.moved {
        log_group(ctx, key, group, last_id, entries_read);
    }
    let changed = given.moved.is_some() || !given.logged.is_empty();
    ctx.db.counted(usize::from(changed));
}

impl Reader<'_> {
    /// Gives entries that are new to the group, behind those that it claims.
    fn deliver(
        &self,
        out: &mut Reply,
        begin: &Served,
        stream: &mut Stream,
        request: &Request<'_>,
        given: &mut Given,
    ) {
        let Some(group) = stream.group(self.group) else {
            return;
        };
        let (claimed, gone) = self.claimable(stream, group, request);
        let start = group.last_id.next();
        let left = request.count - claimed.len();
        let start = start.filter(|start| left > 0 && has_from(stream, *start));
        let mut new: Vec<StreamId> = Vec::new();
        if start.is_some() || !claimed.is_empty() {
            given.served = true;
            begin.key(out, self.key);
            let mark = out.defer();
            for pending in &claimed {
                if let Some(entry) = stream.get(pending.id) {
                    let idle = self.now_ms.saturating_sub(pending.time).max(0);
                    reply_claimed(out, &entry, idle, pending.count);
                }
            }
            let end = StreamId::MAX;
            for entry in start
                .into_iter()
                .flat_map(|start| stream.range(start, end))
                .take(left)
            {
                match request.claim_ms {
                    Some(_) => reply_claimed(out, &entry, 0, 0),
                    None => reply_entry(out, &entry),
                }
                new.push(entry.id);
            }
            out.finish(mark, Aggregate::Array, claimed.len() + new.len());
        }
        let extent = stream.extent();
        stream.change_group(self.group, |group| {
            for pending in gone {
                let owner = group.numbered(pending.consumer).map(|c| c.name.to_vec());
                group.release(pending.id);
                let last_id = group.last_id;
                given.logged.push(Logged {
                    pending,
                    owner,
                    last_id,
                });
            }
            for before in &claimed {
                let count = before.count.saturating_add(1);
                self.assign(group, before.id, count, given);
            }
            for &id in &new {
                extent.advance(group, id);
                if !request.no_ack {
                    self.assign(group, id, 1, given);
                }
            }
            if !new.is_empty() {
                given.moved = Some((group.last_id, group.entries_read));
            }
            if given.served {
                group.change_consumer(self.consumer, |consumer| consumer.active = self.now_ms);
            }
        });
    }

    fn assign(&self, group: &mut Group, id: StreamId, count: u64, given: &mut Given) {
        let pending = Pending {
            id,
            time: self.now_ms,
            count,
            consumer: self.consumer,
        };
        group.assign(pending);
        given.logged.push(Logged {
            pending,
            owner: None,
            last_id: group.last_id,
        });
    }

    /// The pending entries that have been idle for long, the longest first; and those among them that are not in the
    /// stream any more.
    fn claimable(
        &self,
        stream: &Stream,
        group: &Group,
        request: &Request<'_>,
    ) -> (Vec<Pending>, Vec<Pending>) {
        let Some(min_idle) = request.claim_ms else {
            return (Vec::new(), Vec::new());
        };
        let mut idle: Vec<Pending> = group
            .pending_from(StreamId::MIN)
            .filter(|pending| self.now_ms.saturating_sub(pending.time) >= min_idle)
            .copied()
            .collect();
        idle.sort_by_key(|pending| pending.time);
        let mut gone = Vec::new();
        let there = idle.into_iter().filter(|pending| {
            let there = stream.get(pending.id).is_some();
            if !there {
                gone.push(*pending);
            }
            there
        });
        (there.take(request.count).collect(), gone)
    }

    /// Gives what the consumer has pending, which counts as one more delivery.
    fn history(&self, out: &mut Reply, stream: &mut Stream, after: StreamId, count: usize) {
        let Some(consumer) = stream
            .group(self.group)
            .and_then(|group| group.numbered(self.consumer))
        else {
            return;
        };
        let mut again: Vec<StreamId> = Vec::new();
        let mark = out.defer();
        let mut written = 0;
        let start = after.next();
        for id in start
            .into_iter()
            .flat_map(|start| consumer.pending_from(start))
            .take(count)
        {
            written += 1;
            match stream.get(id) {
                Some(entry) => {
                    reply_entry(out, &entry);
                    again.push(id);
                }
                None => {
                    out.array(2);
                    reply_id(out, id);
                    out.null_array();
                }
            }
        }
        out.finish(mark, Aggregate::Array, written);
        stream.change_group(self.group, |group| {
            for id in again {
                group.change_pending(id, |pending| {
                    pending.time = self.now_ms;
                    pending.count = pending.count.saturating_add(1);
                });
            }
        });
    }
}

/// An entry with the time since its last delivery and the number of deliveries before.
fn reply_claimed(out: &mut Reply, entry: &Entry<'_>, idle_ms: i64, count: u64) {
    out.array(4);
    reply_id_and_fields(out, entry);
    out.int(idle_ms);
    out.int(i64::try_from(count).unwrap_or(i64::MAX));
}
