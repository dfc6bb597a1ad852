//! The stream commands: rows and what they share here, handlers in the modules below.

use super::ctx::Ctx;
use super::error::Error;
use super::spec::{Begin, Find, Group, KeySpec, Spec, cats, flags, key};
use crate::keyspace::effect::Class;
use crate::resp::reply::Reply;
use crate::value::packed::Elem;
use crate::value::stream::{Entry, Pending, References, StreamId};

mod add;
mod claim;
mod delete;
mod group;
mod info;
mod pending;
mod range;
mod read;
#[cfg(test)]
mod tests;

const ROW: Spec = Spec {
    group: Group::Stream,
    ..Spec::BLANK
};

pub static TABLE: &[Spec] = &[
    Spec {
        name: "xack",
        since: "5.0.0",
        arity: -4,
        flags: flags!(WRITE | FAST),
        categories: cats!(STREAM),
        keys: &[KeySpec::one(key!(RW | UPDATE), 1)],
        summary: "Acknowledges messages of a consumer group.",
        complexity: "O(1)",
        syntax: "key/k0 group id...",
        run: claim::xack,
        ..ROW
    },
    Spec {
        name: "xackdel",
        since: "8.2.0",
        arity: -6,
        flags: flags!(WRITE | FAST),
        categories: cats!(STREAM),
        keys: &[KeySpec::one(key!(RW | UPDATE | DELETE), 1)],
        summary: "Acknowledges messages of a consumer group and deletes their entries as far as allowed.",
        complexity: "O(1)",
        syntax: "key/k0 group [condition<KEEPREF|DELREF|ACKED>] IDS:ids{numids/i id...}",
        run: delete::xackdel,
        ..ROW
    },
    Spec {
        name: "xadd",
        since: "5.0.0",
        arity: -5,
        flags: flags!(WRITE | DENYOOM | FAST),
        categories: cats!(STREAM),
        keys: &[KeySpec::one(key!(RW | UPDATE), 1)],
        tips: &["nondeterministic_output"],
        history: &[
            ("6.2.0", "Added `NOMKSTREAM`, `MINID` and `LIMIT`."),
            ("7.0.0", "Allowed `*` for the second part of an id."),
            ("8.2.0", "Added `KEEPREF`, `DELREF` and `ACKED`."),
        ],
        summary: "Appends an entry to a stream, which is created if need be.",
        complexity: "O(1); O(N)",
        syntax: "key/k0 [NOMKSTREAM@6.2.0] [condition<KEEPREF|DELREF|ACKED>] [trim{strategy<MAXLEN|MINID@6.2.0> [operator<=:equal/!|~:approximately/!>] threshold [LIMIT:count/i@6.2.0]}] id-selector<*:auto-id/!|id> data{field value}...",
        run: add::xadd,
        ..ROW
    },
    Spec {
        name: "xautoclaim",
        since: "6.2.0",
        arity: -6,
        flags: flags!(WRITE | FAST),
        categories: cats!(STREAM),
        keys: &[KeySpec::one(key!(RW | DELETE), 1)],
        tips: &["nondeterministic_output"],
        history: &[("7.0.0", "Returned and dropped the ids of deleted entries.")],
        summary: "Gives messages that have been pending for long to another consumer, found by the server.",
        complexity: "O(1)",
        syntax: "key/k0 group consumer min-idle-time start [COUNT:count/i] [JUSTID]",
        run: claim::xautoclaim,
        ..ROW
    },
    Spec {
        name: "xclaim",
        since: "5.0.0",
        arity: -6,
        flags: flags!(WRITE | FAST),
        categories: cats!(STREAM),
        keys: &[KeySpec::one(key!(RW | UPDATE), 1)],
        tips: &["nondeterministic_output"],
        summary: "Gives pending messages to another consumer.",
        complexity: "O(log N)",
        syntax: "key/k0 group consumer min-idle-time id... [IDLE:ms/i] [TIME:unix-time-milliseconds/t] [RETRYCOUNT:count/i] [FORCE] [JUSTID] [LASTID:lastid]",
        run: claim::xclaim,
        ..ROW
    },
    Spec {
        name: "xdel",
        since: "5.0.0",
        arity: -3,
        flags: flags!(WRITE | FAST),
        categories: cats!(STREAM),
        keys: &[KeySpec::one(key!(RW | DELETE), 1)],
        summary: "Deletes entries of a stream.",
        complexity: "O(1)",
        syntax: "key/k0 id...",
        run: add::xdel,
        ..ROW
    },
    Spec {
        name: "xdelex",
        since: "8.2.0",
        arity: -5,
        flags: flags!(WRITE | FAST),
        categories: cats!(STREAM),
        keys: &[KeySpec::one(key!(RW | DELETE), 1)],
        summary: "Deletes entries of a stream and chooses what becomes of references to them.",
        complexity: "O(1)",
        syntax: "key/k0 [condition<KEEPREF|DELREF|ACKED>] IDS:ids{numids/i id...}",
        run: delete::xdelex,
        ..ROW
    },
    Spec {
        name: "xgroup",
        since: "5.0.0",
        arity: -2,
        summary: "Groups the commands that manage consumer groups.",
        subs: &[
            Spec {
                name: "create",
                since: "5.0.0",
                arity: -5,
                flags: flags!(WRITE | DENYOOM),
                categories: cats!(STREAM),
                keys: &[KeySpec::one(key!(RW | INSERT), 2)],
                history: &[("7.0.0", "Added `ENTRIESREAD`.")],
                summary: "Creates a consumer group.",
                complexity: "O(1)",
                syntax: "key/k0 group id-selector<id|$:new-id/!> [MKSTREAM] [ENTRIESREAD:entriesread(entries-read)/i]",
                run: group::create,
                ..ROW
            },
            Spec {
                name: "createconsumer",
                since: "6.2.0",
                arity: 5,
                flags: flags!(WRITE | DENYOOM),
                categories: cats!(STREAM),
                keys: &[KeySpec::one(key!(RW | INSERT), 2)],
                summary: "Creates a consumer in a group.",
                complexity: "O(1)",
                syntax: "key/k0 group consumer",
                run: group::create_consumer,
                ..ROW
            },
            Spec {
                name: "delconsumer",
                since: "5.0.0",
                arity: 5,
                flags: flags!(WRITE),
                categories: cats!(STREAM),
                keys: &[KeySpec::one(key!(RW | DELETE), 2)],
                summary: "Deletes a consumer of a group.",
                complexity: "O(1)",
                syntax: "key/k0 group consumer",
                run: group::delete_consumer,
                ..ROW
            },
            Spec {
                name: "destroy",
                since: "5.0.0",
                arity: 4,
                flags: flags!(WRITE),
                categories: cats!(STREAM),
                keys: &[KeySpec::one(key!(RW | DELETE), 2)],
                summary: "Deletes a consumer group.",
                complexity: "O(N)",
                syntax: "key/k0 group",
                run: group::destroy,
                ..ROW
            },
            Spec {
                name: "help",
                since: "5.0.0",
                arity: 2,
                flags: flags!(LOADING | STALE),
                categories: cats!(STREAM),
                summary: "Explains the sub-commands of XGROUP.",
                complexity: "O(1)",
                run: group::help,
                ..ROW
            },
            Spec {
                name: "setid",
                since: "5.0.0",
                arity: -5,
                flags: flags!(WRITE),
                categories: cats!(STREAM),
                keys: &[KeySpec::one(key!(RW | UPDATE), 2)],
                history: &[("7.0.0", "Added `ENTRIESREAD`.")],
                summary: "Sets the last delivered id of a consumer group.",
                complexity: "O(1)",
                syntax: "key/k0 group id-selector<id|$:new-id/!> [ENTRIESREAD:entriesread(entries-read)/i]",
                run: group::set_id,
                ..ROW
            },
        ],
        ..ROW
    },
    Spec {
        name: "xinfo",
        since: "5.0.0",
        arity: -2,
        summary: "Groups the commands that examine streams.",
        subs: &[
            Spec {
                name: "consumers",
                since: "5.0.0",
                arity: 4,
                flags: flags!(READONLY),
                categories: cats!(STREAM),
                keys: &[KeySpec::one(key!(RO | ACCESS), 2)],
                tips: &["nondeterministic_output"],
                history: &[("7.2.0", "Added the field `inactive`.")],
                summary: "Describes the consumers of a group.",
                complexity: "O(1)",
                syntax: "key/k0 group",
                run: info::consumers,
                ..ROW
            },
            Spec {
                name: "groups",
                since: "5.0.0",
                arity: 3,
                flags: flags!(READONLY),
                categories: cats!(STREAM),
                keys: &[KeySpec::one(key!(RO | ACCESS), 2)],
                history: &[("7.0.0", "Added the fields `entries-read` and `lag`.")],
                summary: "Describes the consumer groups of a stream.",
                complexity: "O(1)",
                syntax: "key/k0",
                run: info::groups,
                ..ROW
            },
            Spec {
                name: "help",
                since: "5.0.0",
                arity: 2,
                flags: flags!(LOADING | STALE),
                categories: cats!(STREAM),
                summary: "Explains the sub-commands of XINFO.",
                complexity: "O(1)",
                run: info::help,
                ..ROW
            },
            Spec {
                name: "stream",
                since: "5.0.0",
                arity: -3,
                flags: flags!(READONLY),
                categories: cats!(STREAM),
                keys: &[KeySpec::one(key!(RO | ACCESS), 2)],
                history: &[
                    ("6.0.0", "Added `FULL`."),
                    (
                        "7.0.0",
                        "Added the fields `max-deleted-entry-id`, `entries-added` and `recorded-first-entry-id`; `entries-read` and `lag` of groups.",
                    ),
                    (
                        "7.2.0",
                        "Added `active-time`, and made `seen-time` the last attempt of a consumer.",
                    ),
                ],
                summary: "Describes a stream.",
                complexity: "O(1)",
                syntax: "key/k0 [full-block{FULL [COUNT:count/i]}]",
                run: info::stream,
                ..ROW
            },
        ],
        ..ROW
    },
    Spec {
        name: "xlen",
        since: "5.0.0",
        arity: 2,
        flags: flags!(READONLY | FAST),
        categories: cats!(STREAM),
        keys: &[KeySpec::one(key!(RO), 1)],
        summary: "Counts the entries of a stream.",
        complexity: "O(1)",
        syntax: "key/k0",
        run: add::xlen,
        ..ROW
    },
    Spec {
        name: "xpending",
        since: "5.0.0",
        arity: -3,
        flags: flags!(READONLY),
        categories: cats!(STREAM),
        keys: &[KeySpec::one(key!(RO | ACCESS), 1)],
        tips: &["nondeterministic_output"],
        history: &[("6.2.0", "Added `IDLE`.")],
        summary: "Describes the pending messages of a consumer group.",
        complexity: "O(N); O(1); O(M)",
        syntax: "key/k0 group [filters{[IDLE:min-idle-time/i@6.2.0] start end count/i [consumer]}]",
        run: pending::xpending,
        ..ROW
    },
    Spec {
        name: "xrange",
        since: "5.0.0",
        arity: -4,
        flags: flags!(READONLY),
        categories: cats!(STREAM),
        keys: &[KeySpec::one(key!(RO | ACCESS), 1)],
        history: &[("6.2.0", "Allowed exclusive ends of the range.")],
        summary: "Returns the entries within a range of ids.",
        complexity: "O(N); O(1)",
        syntax: "key/k0 start end [COUNT:count/i]",
        run: range::xrange,
        ..ROW
    },
    Spec {
        name: "xread",
        since: "5.0.0",
        arity: -4,
        flags: flags!(READONLY | BLOCKING),
        categories: cats!(STREAM),
        keys: &[KeySpec {
            flags: key!(RO | ACCESS),
            begin: Begin::Keyword {
                word: "STREAMS",
                from: 1,
            },
            find: Find::Range {
                last: -1,
                step: 1,
                limit: 2,
            },
        }],
        summary: "Returns the entries of streams behind given ids, or waits for new ones.",
        complexity: "O(M); O(1); O(N)",
        syntax: "[COUNT:count/i] [BLOCK:milliseconds/i] STREAMS:streams{key/k0... id...}",
        run: read::xread,
        ..ROW
    },
    Spec {
        name: "xreadgroup",
        since: "5.0.0",
        arity: -7,
        flags: flags!(WRITE | BLOCKING),
        categories: cats!(STREAM),
        keys: &[KeySpec {
            flags: key!(RO | ACCESS),
            begin: Begin::Keyword {
                word: "STREAMS",
                from: 4,
            },
            find: Find::Range {
                last: -1,
                step: 1,
                limit: 2,
            },
        }],
        history: &[("8.4.0", "Added `CLAIM`.")],
        summary: "Returns new or pending messages to a consumer of a group, or waits for new ones.",
        complexity: "O(M); O(1); O(N)",
        syntax: "GROUP:group-block{group consumer} [COUNT:count/i] [BLOCK:milliseconds/i] [CLAIM:min-idle-time/i@8.4.0] [NOACK] STREAMS:streams{key/k0... id...}",
        run: read::xreadgroup,
        ..ROW
    },
    Spec {
        name: "xrevrange",
        since: "5.0.0",
        arity: -4,
        flags: flags!(READONLY),
        categories: cats!(STREAM),
        keys: &[KeySpec::one(key!(RO | ACCESS), 1)],
        history: &[("6.2.0", "Allowed exclusive ends of the range.")],
        summary: "Returns the entries within a range of ids, latest first.",
        complexity: "O(N); O(1)",
        syntax: "key/k0 end start [COUNT:count/i]",
        run: range::xrevrange,
        ..ROW
    },
    Spec {
        name: "xsetid",
        since: "5.0.0",
        arity: -3,
        flags: flags!(WRITE | DENYOOM | FAST),
        categories: cats!(STREAM),
        keys: &[KeySpec::one(key!(RW | UPDATE), 1)],
        history: &[("7.0.0", "Added `ENTRIESADDED` and `MAXDELETEDID`.")],
        summary: "Sets the last id of a stream; servers send it.",
        complexity: "O(1)",
        syntax: "key/k0 last-id [ENTRIESADDED:entries-added/i@7.0.0] [MAXDELETEDID:max-deleted-id@7.0.0]",
        run: add::xsetid,
        ..ROW
    },
    Spec {
        name: "xtrim",
        since: "5.0.0",
        arity: -4,
        flags: flags!(WRITE),
        categories: cats!(STREAM),
        keys: &[KeySpec::one(key!(RW | DELETE), 1)],
        tips: &["nondeterministic_output"],
        history: &[("6.2.0", "Added `MINID` and `LIMIT`.")],
        summary: "Removes the oldest entries of a stream.",
        complexity: "O(N)",
        syntax: "key/k0 trim{strategy<MAXLEN|MINID@6.2.0> [operator<=:equal/!|~:approximately/!>] threshold [LIMIT:count/i@6.2.0] [condition<KEEPREF|DELREF|ACKED>]}",
        run: add::xtrim,
        ..ROW
    },
];

const EVENTS: Class = Class::STREAM;
const BAD_ID: Error = Error::new("ERR Invalid stream ID specified as stream command argument");

/// An identifier that is written out.
fn strict_id(text: &[u8], missing_seq: u64) -> Result<StreamId, Error> {
    StreamId::parse(text, missing_seq).ok_or(BAD_ID)
}

/// One end of an interval: an identifier, `-`, `+`, or with `(` what stands next to an identifier.
fn interval_start(text: &[u8]) -> Result<StreamId, Error> {
    match text {
        b"-" => Ok(StreamId::MIN),
        b"+" => Ok(StreamId::MAX),
        [b'(', id @ ..] => strict_id(id, 0)?
            .next()
            .ok_or(Error::new("ERR invalid start ID for the interval")),
        id => strict_id(id, 0),
    }
}

/// The other end.
fn interval_end(text: &[u8]) -> Result<StreamId, Error> {
    match text {
        b"-" => Ok(StreamId::MIN),
        b"+" => Ok(StreamId::MAX),
        [b'(', id @ ..] => strict_id(id, u64::MAX)?
            .prev()
            .ok_or(Error::new("ERR invalid end ID for the interval")),
        id => strict_id(id, u64::MAX),
    }
}

fn interval(start: &[u8], end: &[u8]) -> Result<(StreamId, StreamId), Error> {
    Ok((interval_start(start)?, interval_end(end)?))
}

/// What a word says about references to entries that go.
fn references(word: &[u8]) -> Option<References> {
    let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
    match () {
        () if is("KEEPREF") => Some(References::Keep),
        () if is("DELREF") => Some(References::Delete),
        () if is("ACKED") => Some(References::Acked),
        () => None,
    }
}

fn reply_id(out: &mut Reply, id: StreamId) {
    id.with_text(|text| out.bulk(text));
}

#[inline]
fn reply_elem(out: &mut Reply, elem: Elem<'_>) {
    match elem {
        Elem::Str(text) => out.bulk(text),
        Elem::Int(n) => out.bulk_int(n),
    }
}

/// Identifier, and fields with values.
fn reply_entry(out: &mut Reply, entry: &Entry<'_>) {
    out.array(2);
    reply_id_and_fields(out, entry);
}

fn reply_id_and_fields(out: &mut Reply, entry: &Entry<'_>) {
    reply_id(out, entry.id);
    out.array(2 * entry.len());
    entry.each(|name, value| {
        reply_elem(out, name);
        reply_elem(out, value);
    });
}

/// The error for a key without that group.
fn no_group(key: &[u8], group: &[u8], behind: &str) -> Error {
    let mut text = b"NOGROUP No such key '".to_vec();
    text.extend_from_slice(key);
    text.extend_from_slice(b"' or consumer group '");
    text.extend_from_slice(group);
    text.extend_from_slice(b"'");
    text.extend_from_slice(behind.as_bytes());
    Error::bytes(text)
}

/// The error for a group that a stream does not have.
fn no_such_group(key: &[u8], group: &[u8]) -> Error {
    let mut text = b"NOGROUP No such consumer group '".to_vec();
    text.extend_from_slice(group);
    text.extend_from_slice(b"' for key name '");
    text.extend_from_slice(key);
    text.extend_from_slice(b"'");
    Error::bytes(text)
}

/// The error for a sub-command whose arguments make no sense.
fn bad_subcommand(name: &[u8], container: &str) -> Error {
    let mut text = b"ERR unknown subcommand or wrong number of arguments for '".to_vec();
    text.extend(name.iter().take(128));
    text.extend_from_slice(format!("'. Try {container} HELP.").as_bytes());
    Error::bytes(text)
}

/// Logs the state of one pending entry, whoever had it before.
fn log_pending(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    group: &[u8],
    consumer: &[u8],
    pending: &Pending,
    last_id: StreamId,
) {
    let time = pending.time.to_string();
    let count = pending.count.to_string();
    pending.id.with_text(|id| {
        last_id.with_text(|last_id| {
            ctx.db.log(&[
                b"XCLAIM",
                key,
                group,
                consumer,
                b"0",
                id,
                b"TIME",
                time.as_bytes(),
                b"RETRYCOUNT",
                count.as_bytes(),
                b"FORCE",
                b"JUSTID",
                b"LASTID",
                last_id,
            ]);
        });
    });
}

/// Logs how far a group is.
fn log_group(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    group: &[u8],
    last_id: StreamId,
    entries_read: Option<u64>,
) {
    let read = entries_read.map_or("-1".into(), |read| read.to_string());
    last_id.with_text(|id| {
        ctx.db.log(&[
            b"XGROUP",
            b"SETID",
            key,
            group,
            id,
            b"ENTRIESREAD",
            read.as_bytes(),
        ]);
    });
}

/// Reports a consumer that a command made by naming it.
fn consumer_created(ctx: &mut Ctx<'_>, key: &[u8]) {
    ctx.db.effect(EVENTS, "xgroup-createconsumer", key, 0);
    ctx.db.counted(1);
}

/// Logs a consumer that was made without being given an entry.
fn log_consumer(ctx: &mut Ctx<'_>, key: &[u8], group: &[u8], consumer: &[u8]) {
    ctx.db
        .log(&[b"XGROUP", b"CREATECONSUMER", key, group, consumer]);
}
