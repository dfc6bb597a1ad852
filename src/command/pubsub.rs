//! Messages between clients: SUBSCRIBE, PSUBSCRIBE, SSUBSCRIBE and their ends, PUBLISH, SPUBLISH, PUBSUB.

use super::ctx::{Ctx, Outcome};
use super::error::Error;
use super::spec::{ChannelSpec, Group, KeySpec, Spec, flags, key};
use crate::base::glob;
use crate::pubsub::{Kind, Name};

const ROW: Spec = Spec {
    group: Group::Pubsub,
    ..Spec::BLANK
};

pub static TABLE: &[Spec] = &[
    Spec {
        name: "psubscribe",
        since: "2.0.0",
        arity: -2,
        flags: flags!(PUBSUB | NOSCRIPT | LOADING | STALE),
        history: &[("6.2.0", "Allowed `RESET` to leave subscription mode.")],
        channels: Some(ChannelSpec::patterns(1)),
        summary: "Subscribes to the channels that match patterns.",
        complexity: "O(N)",
        syntax: "pattern/p...",
        run: psubscribe,
        ..ROW
    },
    Spec {
        name: "publish",
        since: "2.0.0",
        arity: 3,
        flags: flags!(PUBSUB | LOADING | STALE | FAST | MAY_REPLICATE),
        channels: Some(ChannelSpec::one(1)),
        summary: "Sends a message to a channel.",
        complexity: "O(N+M)",
        syntax: "channel message",
        run: publish,
        ..ROW
    },
    Spec {
        name: "pubsub",
        since: "2.8.0",
        arity: -2,
        summary: "Groups the commands that examine channels and subscriptions.",
        subs: &[
            Spec {
                name: "channels",
                since: "2.8.0",
                arity: -2,
                flags: flags!(PUBSUB | LOADING | STALE),
                summary: "Lists the channels that have subscribers.",
                complexity: "O(N)",
                syntax: "[pattern/p]",
                run: pubsub_channels,
                ..ROW
            },
            Spec {
                name: "help",
                since: "6.2.0",
                arity: 2,
                flags: flags!(LOADING | STALE),
                summary: "Explains the sub-commands of PUBSUB.",
                complexity: "O(1)",
                run: pubsub_help,
                ..ROW
            },
            Spec {
                name: "numpat",
                since: "2.8.0",
                arity: 2,
                flags: flags!(PUBSUB | LOADING | STALE),
                summary: "Counts the patterns that are subscribed to.",
                complexity: "O(1)",
                run: pubsub_numpat,
                ..ROW
            },
            Spec {
                name: "numsub",
                since: "2.8.0",
                arity: -2,
                flags: flags!(PUBSUB | LOADING | STALE),
                summary: "Counts the subscribers of channels.",
                complexity: "O(N)",
                syntax: "[channel...]",
                run: pubsub_numsub,
                ..ROW
            },
            Spec {
                name: "shardchannels",
                since: "7.0.0",
                arity: -2,
                flags: flags!(PUBSUB | LOADING | STALE),
                summary: "Lists the shard channels that have subscribers.",
                complexity: "O(N)",
                syntax: "[pattern/p]",
                run: pubsub_shardchannels,
                ..ROW
            },
            Spec {
                name: "shardnumsub",
                since: "7.0.0",
                arity: -2,
                flags: flags!(PUBSUB | LOADING | STALE),
                summary: "Counts the subscribers of shard channels.",
                complexity: "O(N)",
                syntax: "[shardchannel...]",
                run: pubsub_shardnumsub,
                ..ROW
            },
        ],
        ..ROW
    },
    Spec {
        name: "punsubscribe",
        since: "2.0.0",
        arity: -1,
        flags: flags!(PUBSUB | NOSCRIPT | LOADING | STALE),
        summary: "Ends the subscriptions to patterns, the given or all.",
        complexity: "O(N)",
        syntax: "[pattern/p...]",
        run: punsubscribe,
        ..ROW
    },
    Spec {
        name: "spublish",
        since: "7.0.0",
        arity: 3,
        flags: flags!(PUBSUB | LOADING | STALE | FAST | MAY_REPLICATE),
        keys: &[KeySpec::one(key!(NOT_KEY), 1)],
        channels: Some(ChannelSpec::one(1)),
        summary: "Sends a message to a shard channel.",
        complexity: "O(N)",
        syntax: "shardchannel message",
        run: spublish,
        ..ROW
    },
    Spec {
        name: "ssubscribe",
        since: "7.0.0",
        arity: -2,
        flags: flags!(PUBSUB | NOSCRIPT | LOADING | STALE),
        keys: &[KeySpec::range(key!(NOT_KEY), 1, -1, 1)],
        channels: Some(ChannelSpec::rest(1)),
        summary: "Subscribes to shard channels.",
        complexity: "O(N)",
        syntax: "shardchannel...",
        run: ssubscribe,
        ..ROW
    },
    Spec {
        name: "subscribe",
        since: "2.0.0",
        arity: -2,
        flags: flags!(PUBSUB | NOSCRIPT | LOADING | STALE),
        history: &[("6.2.0", "Allowed `RESET` to leave subscription mode.")],
        channels: Some(ChannelSpec::rest(1)),
        summary: "Subscribes to channels.",
        complexity: "O(N)",
        syntax: "channel...",
        run: subscribe,
        ..ROW
    },
    Spec {
        name: "sunsubscribe",
        since: "7.0.0",
        arity: -1,
        flags: flags!(PUBSUB | NOSCRIPT | LOADING | STALE),
        keys: &[KeySpec::range(key!(NOT_KEY), 1, -1, 1)],
        summary: "Ends the subscriptions to shard channels, the given or all.",
        complexity: "O(N)",
        syntax: "[shardchannel...]",
        run: sunsubscribe,
        ..ROW
    },
    Spec {
        name: "unsubscribe",
        since: "2.0.0",
        arity: -1,
        flags: flags!(PUBSUB | NOSCRIPT | LOADING | STALE),
        summary: "Ends the subscriptions to channels, the given or all.",
        complexity: "O(N)",
        syntax: "[channel...]",
        run: unsubscribe,
        ..ROW
    },
];

/// One reply to (UN)SUBSCRIBE: the name, and to how many the client subscribes now.
fn confirm(ctx: &mut Ctx<'_>, name: Option<&[u8]>, kind: Kind) {
    let subs = ctx.client.subs.as_ref();
    let count = subs.map_or(0, |subs| subs.count_shown(kind));
    ctx.out.push(3);
    ctx.out.bulk(ctx.command.spec.name.as_bytes());
    ctx.out.bulk_or_null(name);
    ctx.out.count(count);
}

fn begin(ctx: &mut Ctx<'_>, kind: Kind) -> Outcome {
    let args = ctx.args;
    for name in args.from(1).iter() {
        ctx.core.subscribe(ctx.client, kind, name);
        confirm(ctx, Some(name), kind);
    }
    Ok(())
}

/// Ends the named subscriptions, or all of the kind.
fn end(ctx: &mut Ctx<'_>, kind: Kind) -> Outcome {
    let args = ctx.args;
    if args.len() > 1 {
        for name in args.from(1).iter() {
            ctx.core.unsubscribe(ctx.client, kind, name);
            confirm(ctx, Some(name), kind);
        }
        return Ok(());
    }
    let subs = ctx.client.subs.iter();
    let names: Vec<Name> = subs.flat_map(|s| s.names(kind).cloned()).collect();
    if names.is_empty() {
        confirm(ctx, None, kind);
    }
    for name in names {
        ctx.core.unsubscribe(ctx.client, kind, &name);
        confirm(ctx, Some(&name), kind);
    }
    Ok(())
}

/// `SUBSCRIBE channel [channel …]`
fn subscribe(ctx: &mut Ctx<'_>) -> Outcome {
    begin(ctx, Kind::Channel)
}

/// `PSUBSCRIBE pattern [pattern …]`
fn psubscribe(ctx: &mut Ctx<'_>) -> Outcome {
    begin(ctx, Kind::Pattern)
}

/// `SSUBSCRIBE shardchannel [shardchannel …]`
fn ssubscribe(ctx: &mut Ctx<'_>) -> Outcome {
    begin(ctx, Kind::Shard)
}

/// `UNSUBSCRIBE [channel …]`
fn unsubscribe(ctx: &mut Ctx<'_>) -> Outcome {
    end(ctx, Kind::Channel)
}

/// `PUNSUBSCRIBE [pattern …]`
fn punsubscribe(ctx: &mut Ctx<'_>) -> Outcome {
    end(ctx, Kind::Pattern)
}

/// `SUNSUBSCRIBE [shardchannel …]`
fn sunsubscribe(ctx: &mut Ctx<'_>) -> Outcome {
    end(ctx, Kind::Shard)
}

fn send(ctx: &mut Ctx<'_>, shard: bool) -> Outcome {
    let (channel, message) = (ctx.args.get(1), ctx.args.get(2));
    let receivers = ctx.core.publish(shard, channel, message);
    ctx.replicate_only();
    ctx.out.count(receivers);
    Ok(())
}

/// `PUBLISH channel message`
fn publish(ctx: &mut Ctx<'_>) -> Outcome {
    if ctx.core.sentinel.is_some() {
        return super::sentinel::publish(ctx);
    }
    send(ctx, false)
}

/// `SPUBLISH shardchannel message`
fn spublish(ctx: &mut Ctx<'_>) -> Outcome {
    send(ctx, true)
}

fn list_names(ctx: &mut Ctx<'_>, kind: Kind) -> Outcome {
    if ctx.args.len() > 3 {
        let begin = b"ERR unknown subcommand or wrong number of arguments for '";
        let text = [begin, ctx.args.get(1), b"'. Try PUBSUB HELP."].concat();
        return Err(Error::bytes(text));
    }
    let args = ctx.args;
    let pattern = (args.len() == 3).then(|| args.get(2));
    let fits = |name: &&Name| pattern.is_none_or(|p| glob::matches(p, name, false));
    let names: Vec<&Name> = ctx.core.pubsub.names(kind).filter(fits).collect();
    ctx.out.array(names.len());
    names.iter().for_each(|name| ctx.out.bulk(name));
    Ok(())
}

/// `PUBSUB CHANNELS [pattern]`
fn pubsub_channels(ctx: &mut Ctx<'_>) -> Outcome {
    list_names(ctx, Kind::Channel)
}

/// `PUBSUB SHARDCHANNELS [pattern]`
fn pubsub_shardchannels(ctx: &mut Ctx<'_>) -> Outcome {
    list_names(ctx, Kind::Shard)
}

fn count_each(ctx: &mut Ctx<'_>, kind: Kind) -> Outcome {
    let names = ctx.args.from(2);
    ctx.out.array(names.len() * 2);
    for name in names.iter() {
        ctx.out.bulk(name);
        ctx.out.count(ctx.core.pubsub.subscribers(kind, name));
    }
    Ok(())
}

/// `PUBSUB NUMSUB [channel …]`
fn pubsub_numsub(ctx: &mut Ctx<'_>) -> Outcome {
    count_each(ctx, Kind::Channel)
}

/// `PUBSUB SHARDNUMSUB [shardchannel …]`
fn pubsub_shardnumsub(ctx: &mut Ctx<'_>) -> Outcome {
    count_each(ctx, Kind::Shard)
}

/// `PUBSUB NUMPAT`
fn pubsub_numpat(ctx: &mut Ctx<'_>) -> Outcome {
    ctx.out.count(ctx.core.pubsub.len(Kind::Pattern));
    Ok(())
}

const HELP: &[&str] = &[
    "CHANNELS [<pattern>]",
    "    Return the currently active channels matching a <pattern> (default: '*').",
    "NUMPAT",
    "    Return number of subscriptions to patterns.",
    "NUMSUB [<channel> ...]",
    "    Return the number of subscribers for the specified channels, excluding",
    "    pattern subscriptions(default: no channels).",
    "SHARDCHANNELS [<pattern>]",
    "    Return the currently active shard level channels matching a <pattern> (default: '*').",
    "SHARDNUMSUB [<shardchannel> ...]",
    "    Return the number of subscribers for the specified shard level channel(s)",
];

/// `PUBSUB HELP`
fn pubsub_help(ctx: &mut Ctx<'_>) -> Outcome {
    ctx.out.help("pubsub", HELP);
    Ok(())
}
