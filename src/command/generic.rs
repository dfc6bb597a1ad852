//! Commands for keys of every type: existence and deletion, expiry, names and places, iteration, OBJECT and SORT.

mod expire;
mod key;
mod object;
mod rename;
mod scan;
mod sort;

use crate::command::keys;
use crate::command::spec::{Begin, Find, Group, KeySpec, Spec, cats, flags, key};

const ROW: Spec = Spec {
    group: Group::Generic,
    ..Spec::BLANK
};

pub static TABLE: &[Spec] = &[
    Spec {
        name: "copy",
        since: "6.2.0",
        arity: -3,
        flags: flags!(WRITE | DENYOOM),
        categories: cats!(KEYSPACE),
        keys: &[
            KeySpec::one(key!(RO | ACCESS), 1),
            KeySpec::one(key!(OW | UPDATE), 2),
        ],
        summary: "Copies a value to another key.",
        complexity: "O(N); O(1)",
        syntax: "source/k0 destination/k1 [DB:destination-db/i] [REPLACE]",
        run: rename::copy,
        ..ROW
    },
    Spec {
        name: "del",
        since: "1.0.0",
        arity: -2,
        flags: flags!(WRITE),
        categories: cats!(KEYSPACE),
        keys: &[KeySpec::range(key!(RM | DELETE), 1, -1, 1)],
        tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
        summary: "Deletes keys.",
        complexity: "O(N); O(M); O(1)",
        syntax: "key/k0...",
        run: key::del,
        ..ROW
    },
    Spec {
        name: "exists",
        since: "1.0.0",
        arity: -2,
        flags: flags!(READONLY | FAST),
        categories: cats!(KEYSPACE),
        keys: &[KeySpec::range(key!(RO), 1, -1, 1)],
        tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
        history: &[("3.0.3", "Allowed several keys in one call.")],
        summary: "Counts which of the given keys exist.",
        complexity: "O(N)",
        syntax: "key/k0...",
        run: key::exists,
        ..ROW
    },
    Spec {
        name: "expire",
        since: "1.0.0",
        arity: -3,
        flags: flags!(WRITE | FAST),
        categories: cats!(KEYSPACE),
        keys: &[KeySpec::one(key!(RW | UPDATE), 1)],
        history: &[("7.0.0", "Added `NX`, `XX`, `GT` and `LT`.")],
        summary: "Sets the expiration of a key in seconds from now.",
        complexity: "O(1)",
        syntax: "key/k0 seconds/i [condition<NX|XX|GT|LT>@7.0.0]",
        run: expire::expire,
        ..ROW
    },
    Spec {
        name: "expireat",
        since: "1.2.0",
        arity: -3,
        flags: flags!(WRITE | FAST),
        categories: cats!(KEYSPACE),
        keys: &[KeySpec::one(key!(RW | UPDATE), 1)],
        history: &[("7.0.0", "Added `NX`, `XX`, `GT` and `LT`.")],
        summary: "Sets the expiration of a key to a Unix time in seconds.",
        complexity: "O(1)",
        syntax: "key/k0 unix-time-seconds/t [condition<NX|XX|GT|LT>@7.0.0]",
        run: expire::expireat,
        ..ROW
    },
    Spec {
        name: "expiretime",
        since: "7.0.0",
        arity: 2,
        flags: flags!(READONLY | FAST),
        categories: cats!(KEYSPACE),
        keys: &[KeySpec::one(key!(RO | ACCESS), 1)],
        summary: "Returns the expiration of a key as a Unix time in seconds.",
        complexity: "O(1)",
        syntax: "key/k0",
        run: expire::expiretime,
        ..ROW
    },
    Spec {
        name: "keys",
        since: "1.0.0",
        arity: 2,
        flags: flags!(READONLY),
        categories: cats!(KEYSPACE | DANGEROUS),
        tips: &["request_policy:all_shards", "nondeterministic_output_order"],
        summary: "Returns all keys that match a pattern.",
        complexity: "O(N)",
        syntax: "pattern/p",
        run: scan::keys,
        ..ROW
    },
    Spec {
        name: "move",
        since: "1.0.0",
        arity: 3,
        flags: flags!(WRITE | FAST),
        categories: cats!(KEYSPACE),
        keys: &[KeySpec::one(key!(RW | ACCESS | UPDATE), 1)],
        summary: "Moves a key to another database.",
        complexity: "O(1)",
        syntax: "key/k0 db/i",
        run: rename::move_,
        ..ROW
    },
    Spec {
        name: "object",
        since: "2.2.3",
        arity: -2,
        summary: "Groups the commands that examine how a value is kept.",
        subs: &[
            Spec {
                name: "encoding",
                since: "2.2.3",
                arity: 3,
                flags: flags!(READONLY),
                categories: cats!(KEYSPACE),
                keys: &[KeySpec::one(key!(RO), 2)],
                tips: &["nondeterministic_output"],
                summary: "Returns the encoding of a value.",
                complexity: "O(1)",
                syntax: "key/k0",
                run: object::encoding_of,
                ..ROW
            },
            Spec {
                name: "freq",
                since: "4.0.0",
                arity: 3,
                flags: flags!(READONLY),
                categories: cats!(KEYSPACE),
                keys: &[KeySpec::one(key!(RO), 2)],
                tips: &["nondeterministic_output"],
                summary: "Returns the logarithmic access frequency of a key.",
                complexity: "O(1)",
                syntax: "key/k0",
                run: object::freq,
                ..ROW
            },
            Spec {
                name: "help",
                since: "6.2.0",
                arity: 2,
                flags: flags!(LOADING | STALE),
                categories: cats!(KEYSPACE),
                summary: "Explains the sub-commands of OBJECT.",
                complexity: "O(1)",
                run: object::help,
                ..ROW
            },
            Spec {
                name: "idletime",
                since: "2.2.3",
                arity: 3,
                flags: flags!(READONLY),
                categories: cats!(KEYSPACE),
                keys: &[KeySpec::one(key!(RO), 2)],
                tips: &["nondeterministic_output"],
                summary: "Returns the seconds since a key was last used.",
                complexity: "O(1)",
                syntax: "key/k0",
                run: object::idletime,
                ..ROW
            },
            Spec {
                name: "refcount",
                since: "2.2.3",
                arity: 3,
                flags: flags!(READONLY),
                categories: cats!(KEYSPACE),
                keys: &[KeySpec::one(key!(RO), 2)],
                tips: &["nondeterministic_output"],
                summary: "Returns the reference count of a value.",
                complexity: "O(1)",
                syntax: "key/k0",
                run: object::refcount,
                ..ROW
            },
        ],
        ..ROW
    },
    Spec {
        name: "persist",
        since: "2.2.0",
        arity: 2,
        flags: flags!(WRITE | FAST),
        categories: cats!(KEYSPACE),
        keys: &[KeySpec::one(key!(RW | UPDATE), 1)],
        summary: "Removes the expiration of a key.",
        complexity: "O(1)",
        syntax: "key/k0",
        run: expire::persist,
        ..ROW
    },
    Spec {
        name: "pexpire",
        since: "2.6.0",
        arity: -3,
        flags: flags!(WRITE | FAST),
        categories: cats!(KEYSPACE),
        keys: &[KeySpec::one(key!(RW | UPDATE), 1)],
        history: &[("7.0.0", "Added `NX`, `XX`, `GT` and `LT`.")],
        summary: "Sets the expiration of a key in milliseconds from now.",
        complexity: "O(1)",
        syntax: "key/k0 milliseconds/i [condition<NX|XX|GT|LT>@7.0.0]",
        run: expire::pexpire,
        ..ROW
    },
    Spec {
        name: "pexpireat",
        since: "2.6.0",
        arity: -3,
        flags: flags!(WRITE | FAST),
        categories: cats!(KEYSPACE),
        keys: &[KeySpec::one(key!(RW | UPDATE), 1)],
        history: &[("7.0.0", "Added `NX`, `XX`, `GT` and `LT`.")],
        summary: "Sets the expiration of a key to a Unix time in milliseconds.",
        complexity: "O(1)",
        syntax: "key/k0 unix-time-milliseconds/t [condition<NX|XX|GT|LT>@7.0.0]",
        run: expire::pexpireat,
        ..ROW
    },
    Spec {
        name: "pexpiretime",
        since: "7.0.0",
        arity: 2,
        flags: flags!(READONLY | FAST),
        categories: cats!(KEYSPACE),
        keys: &[KeySpec::one(key!(RO | ACCESS), 1)],
        summary: "Returns the expiration of a key as a Unix time in milliseconds.",
        complexity: "O(1)",
        syntax: "key/k0",
        run: expire::pexpiretime,
        ..ROW
    },
    Spec {
        name: "pttl",
        since: "2.6.0",
        arity: 2,
        flags: flags!(READONLY | FAST),
        categories: cats!(KEYSPACE),
        keys: &[KeySpec::one(key!(RO | ACCESS), 1)],
        tips: &["nondeterministic_output"],
        history: &[("2.8.0", "Returned -2 for a missing key.")],
        summary: "Returns the milliseconds until a key expires.",
        complexity: "O(1)",
        syntax: "key/k0",
        run: expire::pttl,
        ..ROW
    },
    Spec {
        name: "randomkey",
        since: "1.0.0",
        arity: 1,
        flags: flags!(READONLY),
        categories: cats!(KEYSPACE),
        tips: &[
            "request_policy:all_shards",
            "response_policy:special",
            "nondeterministic_output",
        ],
        summary: "Returns a random key.",
        complexity: "O(1)",
        run: key::randomkey,
        ..ROW
    },
    Spec {
        name: "rename",
        since: "1.0.0",
        arity: 3,
        flags: flags!(WRITE),
        categories: cats!(KEYSPACE),
        keys: &[
            KeySpec::one(key!(RW | ACCESS | DELETE), 1),
            KeySpec::one(key!(OW | UPDATE), 2),
        ],
        history: &[("3.2.0", "Allowed a new name that equals the old one.")],
        summary: "Gives a key another name and replaces what had that name.",
        complexity: "O(1)",
        syntax: "key/k0 newkey/k1",
        run: rename::rename,
        ..ROW
    },
    Spec {
        name: "renamenx",
        since: "1.0.0",
        arity: 3,
        flags: flags!(WRITE | FAST),
        categories: cats!(KEYSPACE),
        keys: &[
            KeySpec::one(key!(RW | ACCESS | DELETE), 1),
            KeySpec::one(key!(OW | INSERT), 2),
        ],
        history: &[("3.2.0", "Allowed a new name that equals the old one.")],
        summary: "Gives a key another name unless that name is taken.",
        complexity: "O(1)",
        syntax: "key/k0 newkey/k1",
        run: rename::renamenx,
        ..ROW
    },
    Spec {
        name: "scan",
        since: "2.8.0",
        arity: -2,
        flags: flags!(READONLY),
        categories: cats!(KEYSPACE),
        tips: &[
            "nondeterministic_output",
            "request_policy:special",
            "response_policy:special",
        ],
        history: &[("6.0.0", "Added `TYPE`.")],
        summary: "Walks through the keys of the database step by step.",
        complexity: "O(1); O(N)",
        syntax: "cursor/i [MATCH:pattern/p] [COUNT:count/i] [TYPE:type@6.0.0]",
        run: scan::scan,
        ..ROW
    },
    Spec {
        name: "sort",
        since: "1.0.0",
        arity: -2,
        flags: flags!(WRITE | DENYOOM),
        categories: cats!(SET | SORTEDSET | LIST | DANGEROUS),
        keys: &[
            KeySpec::one(key!(RO | ACCESS), 1),
            KeySpec {
                flags: key!(RO | ACCESS),
                begin: Begin::Unknown,
                find: Find::Unknown,
            },
            KeySpec {
                flags: key!(OW | UPDATE),
                begin: Begin::Unknown,
                find: Find::Unknown,
            },
        ],
        special_keys: Some(keys::sort),
        summary: "Sorts the elements of a list, set or sorted set, and returns or stores them.",
        complexity: "O(N+M*log(M)); O(N)",
        syntax: "key/k0 [BY:by-pattern(pattern)/p1] [LIMIT:limit{offset/i count/i}] [GET:get-pattern(pattern)/p1+...] [order<ASC|DESC>] [ALPHA:sorting/!] [STORE:destination/k2]",
        run: sort::sort,
        ..ROW
    },
    Spec {
        name: "sort_ro",
        since: "7.0.0",
        arity: -2,
        flags: flags!(READONLY),
        categories: cats!(SET | SORTEDSET | LIST | DANGEROUS),
        keys: &[
            KeySpec::one(key!(RO | ACCESS), 1),
            KeySpec {
                flags: key!(RO | ACCESS),
                begin: Begin::Unknown,
                find: Find::Unknown,
            },
        ],
        summary: "Sorts the elements of a list, set or sorted set and returns them.",
        complexity: "O(N+M*log(M)); O(N)",
        syntax: "key/k0 [BY:by-pattern(pattern)/p1] [LIMIT:limit{offset/i count/i}] [GET:get-pattern(pattern)/p1+...] [order<ASC|DESC>] [ALPHA:sorting/!]",
        run: sort::sort_ro,
        ..ROW
    },
    Spec {
        name: "touch",
        since: "3.2.1",
        arity: -2,
        flags: flags!(READONLY | FAST),
        categories: cats!(KEYSPACE),
        keys: &[KeySpec::range(key!(RO), 1, -1, 1)],
        tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
        summary: "Counts the keys that exist and refreshes when they were last used.",
        complexity: "O(N)",
        syntax: "key/k0...",
        run: key::touch,
        ..ROW
    },
    Spec {
        name: "ttl",
        since: "1.0.0",
        arity: 2,
        flags: flags!(READONLY | FAST),
        categories: cats!(KEYSPACE),
        keys: &[KeySpec::one(key!(RO | ACCESS), 1)],
        tips: &["nondeterministic_output"],
        history: &[("2.8.0", "Returned -2 for a missing key.")],
        summary: "Returns the seconds until a key expires.",
        complexity: "O(1)",
        syntax: "key/k0",
        run: expire::ttl,
        ..ROW
    },
    Spec {
        name: "type",
        since: "1.0.0",
        arity: 2,
        flags: flags!(READONLY | FAST),
        categories: cats!(KEYSPACE),
        keys: &[KeySpec::one(key!(RO), 1)],
        summary: "Returns the type of a value.",
        complexity: "O(1)",
        syntax: "key/k0",
        run: key::type_,
        ..ROW
    },
    Spec {
        name: "unlink",
        since: "4.0.0",
        arity: -2,
        flags: flags!(WRITE | FAST),
        categories: cats!(KEYSPACE),
        keys: &[KeySpec::range(key!(RM | DELETE), 1, -1, 1)],
        tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
        summary: "Deletes keys and frees their memory in the background.",
        complexity: "O(1); O(N)",
        syntax: "key/k0...",
        run: key::unlink,
        ..ROW
    },
];

#[cfg(test)]
mod tests;
