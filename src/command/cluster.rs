//! Commands of cluster mode. There is none: each of them says so, as Redis does where it is switched off.

use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::command::spec::{DocFlags, Group, Spec, cats, flags};

const ROW: Spec = Spec {
    group: Group::Cluster,
    ..Spec::BLANK
};

pub static TABLE: &[Spec] = &[
    Spec {
        name: "asking",
        since: "3.0.0",
        arity: 1,
        flags: flags!(FAST),
        categories: cats!(CONNECTION),
        summary: "Announces a command that follows a redirection.",
        complexity: "O(1)",
        run: disabled,
        ..ROW
    },
    Spec {
        name: "cluster",
        since: "3.0.0",
        arity: -2,
        summary: "Groups the commands of cluster mode.",
        subs: &[
            Spec {
                name: "addslots",
                since: "3.0.0",
                arity: -3,
                flags: flags!(ADMIN | STALE | NO_ASYNC_LOADING),
                summary: "Assigns slots to this node.",
                complexity: "O(N)",
                syntax: "slot/i...",
                run: disabled,
                ..ROW
            },
            Spec {
                name: "addslotsrange",
                since: "7.0.0",
                arity: -4,
                flags: flags!(ADMIN | STALE | NO_ASYNC_LOADING),
                summary: "Assigns ranges of slots to this node.",
                complexity: "O(N)",
                syntax: "range{start-slot/i end-slot/i}...",
                run: disabled,
                ..ROW
            },
            Spec {
                name: "bumpepoch",
                since: "3.0.0",
                arity: 2,
                flags: flags!(ADMIN | STALE | NO_ASYNC_LOADING),
                tips: &["nondeterministic_output"],
                summary: "Advances the configuration epoch.",
                complexity: "O(1)",
                run: disabled,
                ..ROW
            },
            Spec {
                name: "count-failure-reports",
                since: "3.0.0",
                arity: 3,
                flags: flags!(ADMIN | STALE),
                tips: &["nondeterministic_output"],
                summary: "Counts the reports that a node has failed.",
                complexity: "O(N)",
                syntax: "node-id",
                run: disabled,
                ..ROW
            },
            Spec {
                name: "countkeysinslot",
                since: "3.0.0",
                arity: 3,
                flags: flags!(STALE),
                summary: "Counts the keys in a slot.",
                complexity: "O(1)",
                syntax: "slot/i",
                run: disabled,
                ..ROW
            },
            Spec {
                name: "delslots",
                since: "3.0.0",
                arity: -3,
                flags: flags!(ADMIN | STALE | NO_ASYNC_LOADING),
                summary: "Takes slots from this node.",
                complexity: "O(N)",
                syntax: "slot/i...",
                run: disabled,
                ..ROW
            },
            Spec {
                name: "delslotsrange",
                since: "7.0.0",
                arity: -4,
                flags: flags!(ADMIN | STALE | NO_ASYNC_LOADING),
                summary: "Takes ranges of slots from this node.",
                complexity: "O(N)",
                syntax: "range{start-slot/i end-slot/i}...",
                run: disabled,
                ..ROW
            },
            Spec {
                name: "failover",
                since: "3.0.0",
                arity: -2,
                flags: flags!(ADMIN | STALE | NO_ASYNC_LOADING),
                summary: "Makes a replica the master.",
                complexity: "O(1)",
                syntax: "[options<FORCE|TAKEOVER>]",
                run: disabled,
                ..ROW
            },
            Spec {
                name: "flushslots",
                since: "3.0.0",
                arity: 2,
                flags: flags!(ADMIN | STALE | NO_ASYNC_LOADING),
                summary: "Takes all slots from this node.",
                complexity: "O(1)",
                run: disabled,
                ..ROW
            },
            Spec {
                name: "forget",
                since: "3.0.0",
                arity: 3,
                flags: flags!(ADMIN | STALE | NO_ASYNC_LOADING),
                history: &[("7.2.0", "Gossip tells the other nodes.")],
                summary: "Removes a node.",
                complexity: "O(1)",
                syntax: "node-id",
                run: disabled,
                ..ROW
            },
            Spec {
                name: "getkeysinslot",
                since: "3.0.0",
                arity: 4,
                flags: flags!(STALE),
                tips: &["nondeterministic_output"],
                summary: "Returns names of keys in a slot.",
                complexity: "O(N)",
                syntax: "slot/i count/i",
                run: disabled,
                ..ROW
            },
            Spec {
                name: "help",
                since: "5.0.0",
                arity: 2,
                flags: flags!(LOADING | STALE),
                summary: "Explains the sub-commands of CLUSTER.",
                complexity: "O(1)",
                run: disabled,
                ..ROW
            },
            Spec {
                name: "info",
                since: "3.0.0",
                arity: 2,
                flags: flags!(STALE),
                tips: &["nondeterministic_output"],
                summary: "Describes the state of the cluster.",
                complexity: "O(1)",
                run: disabled,
                ..ROW
            },
            Spec {
                name: "keyslot",
                since: "3.0.0",
                arity: 3,
                flags: flags!(STALE),
                summary: "Returns the slot of a key.",
                complexity: "O(N)",
                syntax: "key",
                run: disabled,
                ..ROW
            },
            Spec {
                name: "links",
                since: "7.0.0",
                arity: 2,
                flags: flags!(STALE),
                tips: &["nondeterministic_output"],
                summary: "Describes the connections between nodes.",
                complexity: "O(N)",
                run: disabled,
                ..ROW
            },
            Spec {
                name: "meet",
                since: "3.0.0",
                arity: -4,
                flags: flags!(ADMIN | STALE | NO_ASYNC_LOADING),
                history: &[("4.0.0", "Added the port of the cluster bus.")],
                summary: "Makes two nodes know each other.",
                complexity: "O(1)",
                syntax: "ip port/i [cluster-bus-port/i@4.0.0]",
                run: disabled,
                ..ROW
            },
            Spec {
                name: "myid",
                since: "3.0.0",
                arity: 2,
                flags: flags!(STALE),
                summary: "Returns the identifier of this node.",
                complexity: "O(1)",
                run: disabled,
                ..ROW
            },
            Spec {
                name: "myshardid",
                since: "7.2.0",
                arity: 2,
                flags: flags!(STALE),
                tips: &["nondeterministic_output"],
                summary: "Returns the identifier of the shard of this node.",
                complexity: "O(1)",
                run: disabled,
                ..ROW
            },
            Spec {
                name: "nodes",
                since: "3.0.0",
                arity: 2,
                flags: flags!(STALE),
                tips: &["nondeterministic_output"],
                summary: "Describes the nodes.",
                complexity: "O(N)",
                run: disabled,
                ..ROW
            },
            Spec {
                name: "replicas",
                since: "5.0.0",
                arity: 3,
                flags: flags!(ADMIN | STALE),
                tips: &["nondeterministic_output"],
                summary: "Lists the replicas of a node.",
                complexity: "O(N)",
                syntax: "node-id",
                run: disabled,
                ..ROW
            },
            Spec {
                name: "replicate",
                since: "3.0.0",
                arity: 3,
                flags: flags!(ADMIN | STALE | NO_ASYNC_LOADING),
                summary: "Makes this node a replica of another.",
                complexity: "O(1)",
                syntax: "node-id",
                run: disabled,
                ..ROW
            },
            Spec {
                name: "reset",
                since: "3.0.0",
                arity: -2,
                flags: flags!(ADMIN | NOSCRIPT | STALE),
                summary: "Forgets everything about the cluster.",
                complexity: "O(N)",
                syntax: "[reset-type<HARD|SOFT>]",
                run: disabled,
                ..ROW
            },
            Spec {
                name: "saveconfig",
                since: "3.0.0",
                arity: 2,
                flags: flags!(ADMIN | STALE | NO_ASYNC_LOADING),
                summary: "Writes the configuration of the cluster.",
                complexity: "O(1)",
                run: disabled,
                ..ROW
            },
            Spec {
                name: "set-config-epoch",
                since: "3.0.0",
                arity: 3,
                flags: flags!(ADMIN | STALE | NO_ASYNC_LOADING),
                summary: "Sets the configuration epoch of a new node.",
                complexity: "O(1)",
                syntax: "config-epoch/i",
                run: disabled,
                ..ROW
            },
            Spec {
                name: "setslot",
                since: "3.0.0",
                arity: -4,
                flags: flags!(ADMIN | STALE | NO_ASYNC_LOADING),
                summary: "Says who has a slot.",
                complexity: "O(1)",
                syntax: "slot/i subcommand<IMPORTING:importing(node-id)|MIGRATING:migrating(node-id)|NODE:node(node-id)|STABLE>",
                run: disabled,
                ..ROW
            },
            Spec {
                name: "shards",
                since: "7.0.0",
                arity: 2,
                flags: flags!(LOADING | STALE),
                tips: &["nondeterministic_output"],
                summary: "Describes which shard has which slots.",
                complexity: "O(N)",
                run: disabled,
                ..ROW
            },
            Spec {
                name: "slaves",
                since: "3.0.0",
                arity: 3,
                flags: flags!(ADMIN | STALE),
                tips: &["nondeterministic_output"],
                doc_flags: DocFlags::DEPRECATED,
                deprecated_since: "5.0.0",
                replaced_by: "`CLUSTER REPLICAS`",
                summary: "Lists the replicas of a node.",
                complexity: "O(N)",
                syntax: "node-id",
                run: disabled,
                ..ROW
            },
            Spec {
                name: "slot-stats",
                since: "8.2.0",
                arity: -4,
                flags: flags!(LOADING | STALE),
                tips: &["nondeterministic_output", "request_policy:all_shards"],
                summary: "Measures the use of slots.",
                complexity: "O(N); O(N*log(N))",
                syntax: "filter<SLOTSRANGE:slotsrange{start-slot/i end-slot/i}|ORDERBY:orderby{metric [LIMIT:limit/i] [order<ASC|DESC>]}>",
                run: disabled,
                ..ROW
            },
            Spec {
                name: "slots",
                since: "3.0.0",
                arity: 2,
                flags: flags!(LOADING | STALE),
                tips: &["nondeterministic_output"],
                doc_flags: DocFlags::DEPRECATED,
                deprecated_since: "7.0.0",
                replaced_by: "`CLUSTER SHARDS`",
                history: &[
                    ("4.0.0", "Added the identifiers of nodes."),
                    ("7.0.0", "Added further data about nodes."),
                ],
                summary: "Describes which node has which slots.",
                complexity: "O(N)",
                run: disabled,
                ..ROW
            },
        ],
        ..ROW
    },
    Spec {
        name: "readonly",
        since: "3.0.0",
        arity: 1,
        flags: flags!(LOADING | STALE | FAST),
        categories: cats!(CONNECTION),
        summary: "Lets the connection read from a replica.",
        complexity: "O(1)",
        run: disabled,
        ..ROW
    },
    Spec {
        name: "readwrite",
        since: "3.0.0",
        arity: 1,
        flags: flags!(LOADING | STALE | FAST),
        categories: cats!(CONNECTION),
        summary: "Ends what READONLY began.",
        complexity: "O(1)",
        run: disabled,
        ..ROW
    },
];

fn disabled(_: &mut Ctx<'_>) -> Outcome {
    Err(Error::new("ERR This instance has cluster support disabled"))
}

#[cfg(test)]
mod tests {
    use crate::command::testing::Bench;

    #[test]
    fn cluster_mode_is_off() {
        let mut bench = Bench::new();
        let off = "-ERR This instance has cluster support disabled";
        for line in [
            "ASKING",
            "READONLY",
            "READWRITE",
            "CLUSTER INFO",
            "CLUSTER HELP",
            "CLUSTER KEYSLOT k",
            "CLUSTER SHARDS",
        ] {
            assert_eq!(bench.say(line), off, "{line}");
        }
        assert!(
            bench
                .say("CLUSTER")
                .starts_with("-ERR wrong number of arguments")
        );
        assert!(
            bench
                .say("CLUSTER foo")
                .starts_with("-ERR unknown subcommand 'foo'")
        );
        assert!(
            bench
                .say("EVAL \"return redis.call('cluster', 'reset')\" 0")
                .contains("not allowed from script")
        );
    }
}
