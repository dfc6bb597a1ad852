//! Commands on hashes: the table of their rows. The handlers stand in the modules below.

mod access;
mod expire;
mod number;
mod random;
#[cfg(test)]
mod tests;
mod timed;

use crate::command::spec::{DocFlags, Group, KeySpec, Spec, cats, flags, key};

use access::{
    hdel, hexists, hget, hgetall, hkeys, hlen, hmget, hmset, hscan, hset, hsetnx, hstrlen, hvals,
};
use expire::{
    hexpire, hexpireat, hexpiretime, hpersist, hpexpire, hpexpireat, hpexpiretime, hpttl, httl,
};
use number::{hincrby, hincrbyfloat};
use random::hrandfield;
use timed::{hgetdel, hgetex, hsetex};

const ROW: Spec = Spec {
    group: Group::Hash,
    ..Spec::BLANK
};

pub static TABLE: &[Spec] = &[
    Spec {
        name: "hdel",
        since: "2.0.0",
        arity: -3,
        flags: flags!(WRITE | FAST),
        categories: cats!(HASH),
        keys: &[KeySpec::one(key!(RW | DELETE), 1)],
        history: &[("2.4.0", "Allowed several fields in one call.")],
        summary: "Deletes fields of a hash, and the hash with the last one.",
        complexity: "O(N)",
        syntax: "key/k0 field...",
        run: hdel,
        ..ROW
    },
    Spec {
        name: "hexists",
        since: "2.0.0",
        arity: 3,
        flags: flags!(READONLY | FAST),
        categories: cats!(HASH),
        keys: &[KeySpec::one(key!(RO), 1)],
        summary: "Tells whether a field exists.",
        complexity: "O(1)",
        syntax: "key/k0 field",
        run: hexists,
        ..ROW
    },
    Spec {
        name: "hexpire",
        since: "7.4.0",
        arity: -6,
        flags: flags!(WRITE | FAST),
        categories: cats!(HASH),
        keys: &[KeySpec::one(key!(RW | UPDATE), 1)],
        summary: "Sets the expiration of fields in seconds from now.",
        complexity: "O(N)",
        syntax: "key/k0 seconds/i [condition<NX|XX|GT|LT>] FIELDS:fields{numfields/i field...}",
        run: hexpire,
        ..ROW
    },
    Spec {
        name: "hexpireat",
        since: "7.4.0",
        arity: -6,
        flags: flags!(WRITE | FAST),
        categories: cats!(HASH),
        keys: &[KeySpec::one(key!(RW | UPDATE), 1)],
        summary: "Sets the expiration of fields to a Unix time in seconds.",
        complexity: "O(N)",
        syntax: "key/k0 unix-time-seconds/t [condition<NX|XX|GT|LT>] FIELDS:fields{numfields/i field...}",
        run: hexpireat,
        ..ROW
    },
    Spec {
        name: "hexpiretime",
        since: "7.4.0",
        arity: -5,
        flags: flags!(READONLY | FAST),
        categories: cats!(HASH),
        keys: &[KeySpec::one(key!(RO | ACCESS), 1)],
        summary: "Returns the expiration of fields as Unix times in seconds.",
        complexity: "O(N)",
        syntax: "key/k0 FIELDS:fields{numfields/i field...}",
        run: hexpiretime,
        ..ROW
    },
    Spec {
        name: "hget",
        since: "2.0.0",
        arity: 3,
        flags: flags!(READONLY | FAST),
        categories: cats!(HASH),
        keys: &[KeySpec::one(key!(RO | ACCESS), 1)],
        summary: "Returns the value of a field.",
        complexity: "O(1)",
        syntax: "key/k0 field",
        run: hget,
        ..ROW
    },
    Spec {
        name: "hgetall",
        since: "2.0.0",
        arity: 2,
        flags: flags!(READONLY),
        categories: cats!(HASH),
        keys: &[KeySpec::one(key!(RO | ACCESS), 1)],
        tips: &["nondeterministic_output_order"],
        summary: "Returns all fields and values of a hash.",
        complexity: "O(N)",
        syntax: "key/k0",
        run: hgetall,
        ..ROW
    },
    Spec {
        name: "hgetdel",
        since: "8.0.0",
        arity: -5,
        flags: flags!(WRITE | FAST),
        categories: cats!(HASH),
        keys: &[KeySpec::one(key!(RW | ACCESS | DELETE), 1)],
        summary: "Returns the values of fields and deletes the fields.",
        complexity: "O(N)",
        syntax: "key/k0 FIELDS:fields{numfields/i field...}",
        run: hgetdel,
        ..ROW
    },
    Spec {
        name: "hgetex",
        since: "8.0.0",
        arity: -5,
        flags: flags!(WRITE | FAST),
        categories: cats!(HASH),
        keys: &[KeySpec::one(key!(RW | ACCESS | UPDATE), 1)],
        summary: "Returns the values of fields and can set or remove their expiration.",
        complexity: "O(N)",
        syntax: "key/k0 [expiration<EX:seconds/i|PX:milliseconds/i|EXAT:unix-time-seconds/t|PXAT:unix-time-milliseconds/t|PERSIST>] FIELDS:fields{numfields/i field...}",
        run: hgetex,
        ..ROW
    },
    Spec {
        name: "hincrby",
        since: "2.0.0",
        arity: 4,
        flags: flags!(WRITE | DENYOOM | FAST),
        categories: cats!(HASH),
        keys: &[KeySpec::one(key!(RW | ACCESS | UPDATE), 1)],
        summary: "Increases the integer of a field; a missing field counts as 0.",
        complexity: "O(1)",
        syntax: "key/k0 field increment/i",
        run: hincrby,
        ..ROW
    },
    Spec {
        name: "hincrbyfloat",
        since: "2.6.0",
        arity: 4,
        flags: flags!(WRITE | DENYOOM | FAST),
        categories: cats!(HASH),
        keys: &[KeySpec::one(key!(RW | ACCESS | UPDATE), 1)],
        summary: "Increases the floating-point number of a field; a missing field counts as 0.",
        complexity: "O(1)",
        syntax: "key/k0 field increment/d",
        run: hincrbyfloat,
        ..ROW
    },
    Spec {
        name: "hkeys",
        since: "2.0.0",
        arity: 2,
        flags: flags!(READONLY),
        categories: cats!(HASH),
        keys: &[KeySpec::one(key!(RO | ACCESS), 1)],
        tips: &["nondeterministic_output_order"],
        summary: "Returns all fields of a hash.",
        complexity: "O(N)",
        syntax: "key/k0",
        run: hkeys,
        ..ROW
    },
    Spec {
        name: "hlen",
        since: "2.0.0",
        arity: 2,
        flags: flags!(READONLY | FAST),
        categories: cats!(HASH),
        keys: &[KeySpec::one(key!(RO), 1)],
        summary: "Counts the fields of a hash.",
        complexity: "O(1)",
        syntax: "key/k0",
        run: hlen,
        ..ROW
    },
    Spec {
        name: "hmget",
        since: "2.0.0",
        arity: -3,
        flags: flags!(READONLY | FAST),
        categories: cats!(HASH),
        keys: &[KeySpec::one(key!(RO | ACCESS), 1)],
        summary: "Returns the values of several fields.",
        complexity: "O(N)",
        syntax: "key/k0 field...",
        run: hmget,
        ..ROW
    },
    Spec {
        name: "hmset",
        since: "2.0.0",
        arity: -4,
        flags: flags!(WRITE | DENYOOM | FAST),
        categories: cats!(HASH),
        keys: &[KeySpec::one(key!(RW | UPDATE), 1)],
        doc_flags: DocFlags::DEPRECATED,
        deprecated_since: "4.0.0",
        replaced_by: "`HSET` with multiple field-value pairs",
        summary: "Sets several fields.",
        complexity: "O(N)",
        syntax: "key/k0 data{field value}...",
        run: hmset,
        ..ROW
    },
    Spec {
        name: "hpersist",
        since: "7.4.0",
        arity: -5,
        flags: flags!(WRITE | FAST),
        categories: cats!(HASH),
        keys: &[KeySpec::one(key!(RW | UPDATE), 1)],
        summary: "Removes the expiration of fields.",
        complexity: "O(N)",
        syntax: "key/k0 FIELDS:fields{numfields/i field...}",
        run: hpersist,
        ..ROW
    },
    Spec {
        name: "hpexpire",
        since: "7.4.0",
        arity: -6,
        flags: flags!(WRITE | FAST),
        categories: cats!(HASH),
        keys: &[KeySpec::one(key!(RW | UPDATE), 1)],
        summary: "Sets the expiration of fields in milliseconds from now.",
        complexity: "O(N)",
        syntax: "key/k0 milliseconds/i [condition<NX|XX|GT|LT>] FIELDS:fields{numfields/i field...}",
        run: hpexpire,
        ..ROW
    },
    Spec {
        name: "hpexpireat",
        since: "7.4.0",
        arity: -6,
        flags: flags!(WRITE | FAST),
        categories: cats!(HASH),
        keys: &[KeySpec::one(key!(RW | UPDATE), 1)],
        summary: "Sets the expiration of fields to a Unix time in milliseconds.",
        complexity: "O(N)",
        syntax: "key/k0 unix-time-milliseconds/t [condition<NX|XX|GT|LT>] FIELDS:fields{numfields/i field...}",
        run: hpexpireat,
        ..ROW
    },
    Spec {
        name: "hpexpiretime",
        since: "7.4.0",
        arity: -5,
        flags: flags!(READONLY | FAST),
        categories: cats!(HASH),
        keys: &[KeySpec::one(key!(RO | ACCESS), 1)],
        summary: "Returns the expiration of fields as Unix times in milliseconds.",
        complexity: "O(N)",
        syntax: "key/k0 FIELDS:fields{numfields/i field...}",
        run: hpexpiretime,
        ..ROW
    },
    Spec {
        name: "hpttl",
        since: "7.4.0",
        arity: -5,
        flags: flags!(READONLY | FAST),
        categories: cats!(HASH),
        keys: &[KeySpec::one(key!(RO | ACCESS), 1)],
        tips: &["nondeterministic_output"],
        summary: "Returns the milliseconds until fields expire.",
        complexity: "O(N)",
        syntax: "key/k0 FIELDS:fields{numfields/i field...}",
        run: hpttl,
        ..ROW
    },
    Spec {
        name: "hrandfield",
        since: "6.2.0",
        arity: -2,
        flags: flags!(READONLY),
        categories: cats!(HASH),
        keys: &[KeySpec::one(key!(RO | ACCESS), 1)],
        tips: &["nondeterministic_output"],
        summary: "Returns random fields of a hash.",
        complexity: "O(N)",
        syntax: "key/k0 [options{count/i [WITHVALUES]}]",
        run: hrandfield,
        ..ROW
    },
    Spec {
        name: "hscan",
        since: "2.8.0",
        arity: -3,
        flags: flags!(READONLY),
        categories: cats!(HASH),
        keys: &[KeySpec::one(key!(RO | ACCESS), 1)],
        tips: &["nondeterministic_output"],
        summary: "Walks through the fields of a hash step by step.",
        complexity: "O(1); O(N)",
        syntax: "key/k0 cursor/i [MATCH:pattern/p] [COUNT:count/i] [NOVALUES]",
        run: hscan,
        ..ROW
    },
    Spec {
        name: "hset",
        since: "2.0.0",
        arity: -4,
        flags: flags!(WRITE | DENYOOM | FAST),
        categories: cats!(HASH),
        keys: &[KeySpec::one(key!(RW | UPDATE), 1)],
        history: &[("4.0.0", "Allowed several fields in one call.")],
        summary: "Sets fields of a hash, which is created if need be.",
        complexity: "O(1); O(N)",
        syntax: "key/k0 data{field value}...",
        run: hset,
        ..ROW
    },
    Spec {
        name: "hsetex",
        since: "8.0.0",
        arity: -6,
        flags: flags!(WRITE | DENYOOM | FAST),
        categories: cats!(HASH),
        keys: &[KeySpec::one(key!(RW | UPDATE), 1)],
        summary: "Sets fields of a hash with a common expiration, on a condition if wanted.",
        complexity: "O(N)",
        syntax: "key/k0 [condition<FNX|FXX>] [expiration<EX:seconds/i|PX:milliseconds/i|EXAT:unix-time-seconds/t|PXAT:unix-time-milliseconds/t|KEEPTTL>] FIELDS:fields{numfields/i data{field value}...}",
        run: hsetex,
        ..ROW
    },
    Spec {
        name: "hsetnx",
        since: "2.0.0",
        arity: 4,
        flags: flags!(WRITE | DENYOOM | FAST),
        categories: cats!(HASH),
        keys: &[KeySpec::one(key!(RW | INSERT), 1)],
        summary: "Sets a field if it does not exist.",
        complexity: "O(1)",
        syntax: "key/k0 field value",
        run: hsetnx,
        ..ROW
    },
    Spec {
        name: "hstrlen",
        since: "3.2.0",
        arity: 3,
        flags: flags!(READONLY | FAST),
        categories: cats!(HASH),
        keys: &[KeySpec::one(key!(RO), 1)],
        summary: "Returns the length of the value of a field.",
        complexity: "O(1)",
        syntax: "key/k0 field",
        run: hstrlen,
        ..ROW
    },
    Spec {
        name: "httl",
        since: "7.4.0",
        arity: -5,
        flags: flags!(READONLY | FAST),
        categories: cats!(HASH),
        keys: &[KeySpec::one(key!(RO | ACCESS), 1)],
        tips: &["nondeterministic_output"],
        summary: "Returns the seconds until fields expire.",
        complexity: "O(N)",
        syntax: "key/k0 FIELDS:fields{numfields/i field...}",
        run: httl,
        ..ROW
    },
    Spec {
        name: "hvals",
        since: "2.0.0",
        arity: 2,
        flags: flags!(READONLY),
        categories: cats!(HASH),
        keys: &[KeySpec::one(key!(RO | ACCESS), 1)],
        tips: &["nondeterministic_output_order"],
        summary: "Returns all values of a hash.",
        complexity: "O(N)",
        syntax: "key/k0",
        run: hvals,
        ..ROW
    },
];
