//! Adding, trimming and deleting entries: XADD, XTRIM, XDEL, XSETID, XLEN.

use smallvec::SmallVec;

use super::{BAD_ID, EVENTS, references, strict_id};
use crate::command::args::Args;
use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::keyspace::effect::Class;
use crate::value::stream::{
    Counters, NODE_BYTES_MAX, References, Stream, StreamId, StreamMut, Threshold, Trim, Trimmed,
    number,
};

/// Entries that an approximate trim looks at when it is not told a number.
const LIMIT_PER_NODE: u64 = 100;
const LIMIT_DEFAULT: u64 = 10_000;
const LIMIT_MAX: u64 = 1_000_000;

const TWO_STRATEGIES: Error =
    Error::new("ERR syntax error, MAXLEN and MINID options at the same time are not compatible");
const TOO_SMALL: Error =
    Error::new("ERR The ID specified in XADD is equal or smaller than the target stream top item");

/// How an entry gets its identifier.
#[derive(Clone, Copy)]
enum NewId {
    /// `*`
    Auto,
    /// `ms-*`
    Ms(u64),
    Given(StreamId),
}

/// The options of XADD and XTRIM.
#[derive(Default)]
struct Options {
    no_create: bool,
    references: Option<References>,
    trim: Option<Trim>,
    /// Where the `~` and the threshold stand, for the log.
    marker_at: usize,
    threshold_at: usize,
    limit: Option<u64>,
    limit_at: usize,
}

impl Options {
    /// Reads options from the third argument on; returns where they end. With `add`, an argument that is no option
    /// is the identifier and ends them.
    fn read(
        args: &Args<'_>,
        add: bool,
        rules: Rules,
    ) -> Result<(Options, usize, Option<NewId>), Error> {
        let mut options = Options::default();
        let mut at = 2;
        let mut id = None;
        while at < args.len() {
            let more = args.len() - 1 - at;
            if add && args.get(at) == b"*" {
                id = Some(NewId::Auto);
                break;
            } else if args.is(at, "MAXLEN") && more > 0 {
                at = options.threshold(args, at, |text| {
                    let len = crate::base::num::parse_i64(text).ok_or(Error::NOT_INTEGER)?;
                    let len = u64::try_from(len);
                    len.map(Threshold::MaxLen)
                        .map_err(|_| Error::new("ERR The MAXLEN argument must be >= 0."))
                })?;
            } else if args.is(at, "MINID") && more > 0 {
                at =
                    options.threshold(args, at, |text| strict_id(text, 0).map(Threshold::MinId))?;
            } else if args.is(at, "LIMIT") && more > 0 {
                let limit = u64::try_from(args.int(at + 1)?);
                let limit =
                    limit.map_err(|_| Error::new("ERR The LIMIT argument must be >= 0."))?;
                options.limit = Some(limit);
                options.limit_at = at;
                at += 2;
            } else if add && args.is(at, "NOMKSTREAM") {
                options.no_create = true;
                at += 1;
            } else if let Some(found) =
                references(args.get(at)).filter(|_| options.references.is_none())
            {
                options.references = Some(found);
                at += 1;
            } else if add {
                id = Some(NewId::parse(args.get(at))?);
                break;
            } else {
                return Err(Error::SYNTAX);
            }
        }
        options.check(add, rules)?;
        Ok((options, at, id))
    }

    /// Reads a threshold behind its strategy at `at`; returns what stands behind it.
    fn threshold(
        &mut self,
        args: &Args<'_>,
        at: usize,
        parse: impl FnOnce(&[u8]) -> Result<Threshold, Error>,
    ) -> Result<usize, Error> {
        if self.trim.is_some() {
            return Err(TWO_STRATEGIES);
        }
        let has_marker = args.len() > at + 2 && matches!(args.get(at + 1), b"~" | b"=");
        let approx = has_marker && args.get(at + 1) == b"~";
        self.marker_at = at + 1;
        self.threshold_at = at + 1 + usize::from(has_marker);
        self.trim = Some(Trim {
            threshold: parse(args.get(self.threshold_at))?,
            approx,
            limit: 0,
        });
        Ok(self.threshold_at + 1)
    }

    fn check(&mut self, add: bool, rules: Rules) -> Result<(), Error> {
        let Some(trim) = &mut self.trim else {
            return match self.limit {
                Some(limit) if limit > 0 => Err(Error::new(
                    "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy",
                )),
                Some(_) => Err(LIMIT_WITHOUT_APPROX),
                None if add => Ok(()),
                None => Err(Error::new(
                    "ERR syntax error, XTRIM must be called with a trimming strategy",
                )),
            };
        };
        match self.limit {
            // Redis puts exact thresholds into its log, but leaves limits as they were.
            _ if rules.obey => {}
            Some(limit) if trim.approx => trim.limit = limit,
            Some(_) => return Err(LIMIT_WITHOUT_APPROX),
            None if trim.approx => trim.limit = rules.limit,
            None => {}
        }
        Ok(())
    }

    fn trim(&self, stream: &mut Stream) -> Trimmed {
        let references = self.references.unwrap_or_default();
        let trim = self.trim.map(|trim| stream.trim(trim, references));
        trim.unwrap_or_default()
    }

    /// What an approximate trim has left, as the threshold of an exact one.
    fn exact(&self, stream: &Stream) -> Option<Vec<u8>> {
        let trim = self.trim.filter(|trim| trim.approx)?;
        Some(match trim.threshold {
            Threshold::MaxLen(_) => stream.len().to_string().into_bytes(),
            Threshold::MinId(_) if stream.has_no_entries() => {
                StreamId::MAX.to_string().into_bytes()
            }
            Threshold::MinId(_) => stream.first_id().to_string().into_bytes(),
        })
    }

    /// Logs the call with an exact threshold and the real identifier.
    fn log(&self, ctx: &mut Ctx<'_>, exact: Option<&[u8]>, id: Option<(usize, &[u8])>) {
        let mut words: SmallVec<[&[u8]; 16]> = ctx.args.iter().collect();
        if let Some((at, text)) = id {
            words[at] = text;
        }
        if let Some(exact) = exact {
            words[self.marker_at] = b"=";
            words[self.threshold_at] = exact;
            if self.limit.is_some() {
                words.drain(self.limit_at..self.limit_at + 2);
            }
        }
        ctx.db.log(&words);
    }
}

const LIMIT_WITHOUT_APPROX: Error =
    Error::new("ERR syntax error, LIMIT cannot be used without the special ~ option");

impl NewId {
    fn parse(text: &[u8]) -> Result<NewId, Error> {
        match text.strip_suffix(b"-*") {
            Some(ms) => number(ms).map(NewId::Ms).ok_or(BAD_ID),
            None => strict_id(text, 0).map(NewId::Given),
        }
    }

    /// The identifier, behind the last one.
    fn resolve(self, last: StreamId, now_ms: i64) -> Result<StreamId, Error> {
        if last == StreamId::MAX {
            return Err(Error::new(
                "ERR The stream has exhausted the last possible ID, unable to add more items",
            ));
        }
        let id = match self {
            NewId::Auto => {
                let ms = u64::try_from(now_ms).unwrap_or(0);
                if ms > last.ms {
                    Some(StreamId::new(ms, 0))
                } else {
                    last.next()
                }
            }
            NewId::Ms(ms) if ms == last.ms => {
                last.seq.checked_add(1).map(|seq| StreamId::new(ms, seq))
            }
            NewId::Ms(ms) => Some(StreamId::new(ms, 0)),
            NewId::Given(id) => Some(id),
        };
        id.filter(|id| *id > last).ok_or(TOO_SMALL)
    }
}

/// What options mean for this client.
#[derive(Clone, Copy)]
struct Rules {
    /// The limit of an approximate trim that is not told one.
    limit: u64,
    /// The client repeats what another server did: nothing is limited.
    obey: bool,
}

fn rules(ctx: &Ctx<'_>) -> Rules {
    let limit = match LIMIT_PER_NODE.saturating_mul(ctx.db.limits().stream_node_entries as u64) {
        0 => LIMIT_DEFAULT,
        limit => limit.min(LIMIT_MAX),
    };
    Rules {
        limit,
        obey: ctx.client.repeats(),
    }
}

/// `XADD key [NOMKSTREAM] [KEEPREF|DELREF|ACKED] [MAXLEN|MINID [=|~] threshold [LIMIT count]] id field value …`
pub(super) fn xadd(ctx: &mut Ctx<'_>) -> Outcome {
    let (options, at, id) = Options::read(&ctx.args, true, rules(ctx))?;
    let fields: SmallVec<[&[u8]; 16]> = ctx.args.from(at + 1).iter().collect();
    let Some(new) = id.filter(|_| !fields.is_empty() && fields.len().is_multiple_of(2)) else {
        return Err(Error::arity("xadd"));
    };
    if matches!(new, NewId::Given(StreamId::MIN)) {
        return Err(Error::new(
            "ERR The ID specified in XADD must be greater than 0-0",
        ));
    }
    let key = ctx.args.get(1);
    ctx.db.expire_if_due(key);
    let last = ctx
        .db
        .peek_as::<StreamMut>(key)?
        .map(|stream| stream.last_id());
    if last.is_none() && options.no_create {
        ctx.out.null();
        return Ok(());
    }
    let id = new.resolve(last.unwrap_or_default(), ctx.now_ms())?;
    if fields.iter().map(|text| text.len() as u64).sum::<u64>() > NODE_BYTES_MAX {
        return Err(Error::new("ERR Elements are too large to be stored"));
    }
    let limits = ctx.db.limits();
    let (Trimmed { gone, rest }, exact) = ctx.db.update(key, |stream: &mut StreamMut| {
        stream.append(id, &fields, &limits);
        let trimmed = options.trim(stream);
        (trimmed, options.exact(stream))
    })?;
    ctx.db.ks.reaper.free_part(rest);
    ctx.db.effect(EVENTS, "xadd", key, 1);
    if gone > 0 {
        ctx.db.effect(EVENTS, "xtrim", key, 0);
    }
    id.with_text(|text| {
        ctx.out.bulk(text);
        let replaced = (!matches!(new, NewId::Given(_))).then_some((at, text));
        if exact.is_some() || replaced.is_some() {
            options.log(ctx, exact.as_deref(), replaced);
        }
    });
    Ok(())
}

/// `XTRIM key MAXLEN|MINID [=|~] threshold [LIMIT count] [KEEPREF|DELREF|ACKED]`
pub(super) fn xtrim(ctx: &mut Ctx<'_>) -> Outcome {
    let (options, ..) = Options::read(&ctx.args, false, rules(ctx))?;
    let key = ctx.args.get(1);
    let done = ctx.db.modify(key, |stream: &mut StreamMut| {
        (options.trim(stream), options.exact(stream))
    })?;
    let (Trimmed { gone, rest }, exact) = done.unwrap_or_default();
    ctx.db.ks.reaper.free_part(rest);
    if gone > 0 {
        ctx.db.effect(EVENTS, "xtrim", key, gone as usize);
        if exact.is_some() {
            options.log(ctx, exact.as_deref(), None);
        }
    }
    ctx.out.count(gone as usize);
    Ok(())
}

/// `XDEL key id [id …]`
pub(super) fn xdel(ctx: &mut Ctx<'_>) -> Outcome {
    let key = ctx.args.get(1);
    ctx.db.expire_if_due(key);
    if ctx.db.peek_as::<StreamMut>(key)?.is_none() {
        ctx.out.int(0);
        return Ok(());
    }
    let ids: Result<SmallVec<[StreamId; 16]>, Error> = ctx
        .args
        .from(2)
        .iter()
        .map(|text| strict_id(text, 0))
        .collect();
    let ids = ids?;
    let gone = ctx.db.update(key, |stream: &mut StreamMut| {
        let gone = ids.iter().filter(|&&id| delete(stream, id));
        gone.count()
    })?;
    if gone > 0 {
        ctx.db.effect(EVENTS, "xdel", key, gone);
    }
    ctx.out.count(gone);
    Ok(())
}

/// Deletes an entry for good: groups count by it.
pub(super) fn delete(stream: &mut Stream, id: StreamId) -> bool {
    let gone = stream.delete(id);
    if gone {
        stream.note_deleted(id);
    }
    gone
}

/// `XLEN key`
pub(super) fn xlen(ctx: &mut Ctx<'_>) -> Outcome {
    let stream = ctx.db.read_as::<StreamMut>(ctx.args.get(1))?;
    ctx.out.count(stream.map_or(0, Stream::len) as usize);
    Ok(())
}

/// `XSETID key last-id [ENTRIESADDED entries-added] [MAXDELETEDID max-deleted-id]`
pub(super) fn xsetid(ctx: &mut Ctx<'_>) -> Outcome {
    let last_id = strict_id(ctx.args.get(2), 0)?;
    let (mut added, mut max_deleted) = (None, StreamId::MIN);
    let mut rest = ctx.args.cursor(3);
    while !rest.done() {
        if rest.left() > 1 && rest.word("ENTRIESADDED") {
            let number = u64::try_from(rest.int()?);
            let number = number.map_err(|_| Error::new("ERR entries_added must be positive"))?;
            added = Some(number);
        } else if rest.left() > 1 && rest.word("MAXDELETEDID") {
            max_deleted = strict_id(rest.next()?, 0)?;
            if last_id < max_deleted {
                return Err(Error::new(
                    "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id",
                ));
            }
        } else {
            return Err(Error::SYNTAX);
        }
    }
    let key = ctx.args.get(1);
    ctx.db.expire_if_due(key);
    let stream = ctx
        .db
        .peek_as::<StreamMut>(key)?
        .ok_or(Error::NO_SUCH_KEY)?;
    let before = stream.counters();
    if last_id < before.max_deleted_id {
        return Err(Error::new(
            "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id",
        ));
    }
    if last_id < stream.top_id() {
        return Err(Error::new(
            "ERR The ID specified in XSETID is smaller than the target stream top item",
        ));
    }
    if added.is_some_and(|added| added < stream.len()) {
        return Err(Error::new(
            "ERR The entries_added specified in XSETID is smaller than the target stream length",
        ));
    }
    let counters = Counters {
        last_id,
        entries_added: added.unwrap_or(before.entries_added),
        max_deleted_id: if max_deleted.is_zero() {
            before.max_deleted_id
        } else {
            max_deleted
        },
    };
    ctx.db
        .update(key, |stream: &mut StreamMut| stream.set_counters(counters))?;
    ctx.db.effect(Class::STREAM, "xsetid", key, 1);
    ctx.out.ok();
    Ok(())
}
