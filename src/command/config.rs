//! CONFIG: the running configuration, and what has to happen when it changes.

use std::sync::atomic::Ordering;

use crate::acl;
use crate::aof;
use crate::base::alloc;
use crate::base::process;
use crate::command::ctx::{Ctx, Outcome};
use crate::command::dump::Connections;
use crate::command::error::Error;
use crate::command::spec::{Group, Spec, flags};
use crate::config::{Action, Directive, SetContext};
use crate::dispatch::core::Core;
use crate::dispatch::{apply, crash, gate};
use crate::http;
use crate::keyspace::KeyStats;
use crate::keyspace::evict::Pool;
use crate::replication::SyncStats;

const ROW: Spec = Spec {
    group: Group::Server,
    ..Spec::BLANK
};

pub static TABLE: &[Spec] = &[Spec {
    name: "config",
    since: "2.0.0",
    arity: -2,
    summary: "Groups the commands that read and change the configuration.",
    subs: &[
        Spec {
            name: "get",
            since: "2.0.0",
            arity: -3,
            flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE),
            history: &[("7.0.0", "Allowed several patterns in one call.")],
            summary: "Returns the values of the directives that match the patterns.",
            complexity: "O(N)",
            syntax: "parameter...",
            run: get,
            ..ROW
        },
        Spec {
            name: "help",
            since: "5.0.0",
            arity: 2,
            flags: flags!(LOADING | STALE),
            summary: "Explains the sub-commands of CONFIG.",
            complexity: "O(1)",
            run: help,
            ..ROW
        },
        Spec {
            name: "resetstat",
            since: "2.0.0",
            arity: 2,
            flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE),
            tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
            summary: "Sets the statistics of the server back to zero.",
            complexity: "O(1)",
            run: resetstat,
            ..ROW
        },
        Spec {
            name: "rewrite",
            since: "2.8.0",
            arity: 2,
            flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE),
            tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
            summary: "Writes the running configuration into the configuration file.",
            complexity: "O(1)",
            run: rewrite,
            ..ROW
        },
        Spec {
            name: "set",
            since: "2.0.0",
            arity: -4,
            flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE),
            tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
            history: &[("7.0.0", "Allowed several directives in one call.")],
            summary: "Changes directives of the running server, all of them or none.",
            complexity: "O(N)",
            syntax: "data{parameter value}...",
            run: set,
            ..ROW
        },
    ],
    ..ROW
}];

const HELP: &[&str] = &[
    "GET <pattern>",
    "    Return parameters matching the glob-like <pattern> and their values.",
    "SET <directive> <value>",
    "    Set the configuration <directive> to <value>.",
    "RESETSTAT",
    "    Reset statistics reported by the INFO command.",
    "REWRITE",
    "    Rewrite the configuration file.",
];

fn help(ctx: &mut Ctx<'_>) -> Outcome {
    ctx.out.help("config", HELP);
    Ok(())
}

fn get(ctx: &mut Ctx<'_>) -> Outcome {
    let patterns: Vec<&[u8]> = ctx.args.from(2).iter().collect();
    let found = ctx.core.config.get(&patterns);
    ctx.out.map(found.len());
    for (name, value) in found {
        ctx.out.bulk(&name);
        ctx.out.bulk(&value);
    }
    Ok(())
}

fn set(ctx: &mut Ctx<'_>) -> Outcome {
    let words: Vec<&[u8]> = ctx.args.from(2).iter().collect();
    // A call that is out of step may have its password anywhere.
    let out_of_step = !words.len().is_multiple_of(2)
        || words
            .chunks(2)
            .any(|pair| Directive::find(pair[0]).is_none());
    for (at, pair) in words.chunks(2).enumerate() {
        if out_of_step {
            ctx.core.redact(2 + at * 2);
        }
        if out_of_step || Directive::find(pair[0]).is_some_and(|d| d.meta.sensitive) {
            ctx.core.redact(2 + at * 2 + 1);
        }
    }
    if !words.len().is_multiple_of(2) {
        return Err(Error::SYNTAX);
    }
    let pairs: Vec<(&[u8], &[u8])> = words
        .chunks_exact(2)
        .map(|pair| (pair[0], pair[1]))
        .collect();
    let context = SetContext {
        local: gate::is_local(ctx.client),
        loading: ctx.core.rdb.loading.is_some()
            || ctx
                .core
                .repl
                .following
                .as_ref()
                .is_some_and(|f| f.loading.is_some()),
    };
    let pending = ctx
        .core
        .config
        .set(&pairs, context)
        .map_err(|e| Error::text(e.to_string()))?;
    let actions: Vec<(Action, String)> = pending
        .actions()
        .into_iter()
        .map(|(action, name)| (action, name.to_owned()))
        .collect();
    for (at, (action, name)) in actions.iter().enumerate() {
        let Err(reason) = act(ctx, *action, name) else {
            continue;
        };
        let error = ctx.core.config.rollback(pending, name, &reason);
        // What was done before, and the half of what failed, is done again with the old settings.
        for (action, name) in &actions[..=at] {
            if let Err(reason) = act(ctx, *action, name) {
                tracing::warn!(
                    "CONFIG SET failed, and going back to the former '{name}' failed too: {reason}"
                );
            }
        }
        return Err(Error::text(error.to_string()));
    }
    apply::apply(&ctx.core.config, ctx.db.ks);
    apply::apply_delays(ctx.core);
    crate::aof::due::drop_history(ctx.core);
    crash::configure(
        ctx.core.config.crash_log_enabled,
        ctx.core.config.use_exit_on_panic,
    );
    ctx.out.ok();
    Ok(())
}

/// Does what a changed setting asks for; on failure the reason for the client.
fn act(ctx: &mut Ctx<'_>, action: Action, name: &str) -> Result<(), String> {
    let core = &mut *ctx.core;
    match action {
        Action::Listen => {
            if let Some(listeners) = &mut core.listeners {
                let opened = listeners
                    .open_tcp(&core.config)
                    .and_then(|()| listeners.open_tls(&core.config));
                opened.map_err(|_| {
                    let port = "Unable to listen on this port. Check server logs.";
                    let bind = "Failed to bind to specified addresses.";
                    if name == "bind" {
                        bind.to_owned()
                    } else {
                        port.to_owned()
                    }
                })?;
            }
        }
        Action::MaxMemory => limit_memory(ctx),
        Action::ClientEviction => core.evict_clients(ctx.client.memory()),
        Action::MaxClients => process::make_room_for_clients(core.config.maxclients)?,
        Action::Logging => {
            if let Some(log) = &core.log {
                log.apply(&core.config);
            }
        }
        Action::OomScore => core.set_oom_score()?,
        Action::RequirePass => {
            let password = core.config.requirepass.clone();
            acl::clients::set_default_password(core, ctx.client, &password);
        }
        Action::Dir => {
            process::enter_directory(&core.config)?;
            aof::state::directory_changed(core);
        }
        Action::JemallocBgThread => {
            alloc::set_background_thread(core.config.jemalloc_bg_thread)?;
        }
        Action::SlowlogMaxLen => core.slowlog.trim(core.config.slowlog_max_len),
        Action::AppendOnly if core.config.appendonly => aof::state::switch_on(core)?,
        Action::AppendOnly => aof::state::switch_off(ctx.db.ks, core),
        Action::AppendFsync => aof::state::set_policy(core),
        Action::Metrics => open_metrics(core)?,
        // A Sentinel has another CONFIG.
        Action::ProcTitle => process::set_title(&core.config, ""),
        Action::Tls => configure_tls(core)?,
        Action::TlsPort => {
            configure_tls(core)?;
            if let Some(listeners) = &mut core.listeners {
                let failed = |_| "Unable to listen on this port. Check server logs.".to_owned();
                listeners.open_tls(&core.config).map_err(failed)?;
            }
        }
        Action::ReplBacklog => {
            core.repl.resize_backlog(core.config.repl_backlog_size);
        }
        // These are read where they are used.
        Action::Save
        | Action::Hz
        | Action::MinReplicas
        | Action::AclLogMaxLen
        | Action::CrashLog => {}
    }
    Ok(())
}

fn open_metrics(core: &mut Core) -> Result<(), String> {
    http::open(core).map_err(|reason| {
        tracing::warn!("{reason}");
        "Unable to listen on this port. Check server logs.".to_owned()
    })
}

fn configure_tls(core: &mut Core) -> Result<(), String> {
    core.tls.configure(&core.config).map_err(|reason| {
        tracing::warn!("{reason}");
        "Unable to update TLS configuration. Check server logs.".to_owned()
    })?;
    // Connections that are kept may be of another kind.
    core.migrations = Connections::default();
    Ok(())
}

/// The next command and the cron evict; candidates of another policy are no good for that.
fn limit_memory(ctx: &mut Ctx<'_>) {
    ctx.core.pool = Pool::default();
    let (limit, used) = (ctx.core.config.maxmemory, alloc::used_memory());
    if limit > 0 && used > limit {
        tracing::warn!(
            "WARNING: the new maxmemory value set via CONFIG SET ({limit}) is smaller than the current memory usage ({used}). This will result in key eviction and/or the inability to accept new write commands depending on the maxmemory-policy."
        );
    }
}

fn rewrite(ctx: &mut Ctx<'_>) -> Outcome {
    let users = acl::file::config_lines(&ctx.core.acl.users, &ctx.core.config);
    if let Err(error) = ctx.core.config.rewrite(Some(&users), false) {
        tracing::warn!("CONFIG REWRITE failed: {error}");
        return Err(Error::text(error.to_string()));
    }
    tracing::info!("CONFIG REWRITE executed with success.");
    ctx.out.ok();
    Ok(())
}

fn resetstat(ctx: &mut Ctx<'_>) -> Outcome {
    let ks = &mut *ctx.db.ks;
    ks.stats = KeyStats {
        dirty: ks.stats.dirty,
        ..KeyStats::default()
    };
    ks.reaper.reset_freed();
    ctx.core.stats.reset();
    ctx.core.scripts.evicted = 0;
    ctx.core.repl.stats = SyncStats::default();
    if let Some(listeners) = &ctx.core.listeners {
        listeners.counters().rejected.store(0, Ordering::Relaxed);
    }
    alloc::reset_peak();
    ctx.out.ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testing::Bench;
    use crate::config::enums::MaxMemoryPolicy;

    #[test]
    fn settings_are_in_force_at_once() {
        let mut bench = Bench::new();
        assert_eq!(
            bench.say("CONFIG SET maxmemory-policy allkeys-lfu hash-max-listpack-entries 7"),
            "+OK"
        );
        assert_eq!(bench.server.ks.access.policy, MaxMemoryPolicy::AllKeysLfu);
        assert_eq!(bench.server.ks.limits.hash_entries, 7);
        assert_eq!(
            bench.say("CONFIG GET hash-max-ziplist-entries"),
            "*2 $24 hash-max-ziplist-entries $1 7"
        );
        assert_eq!(bench.say("CONFIG SET a b c"), "-ERR syntax error");
        assert_eq!(
            bench.say("CONFIG REWRITE"),
            "-ERR The server is running without a config file"
        );
    }

    #[test]
    fn nothing_changes_if_an_action_fails() {
        let mut bench = Bench::new();
        let reply = bench.say("CONFIG SET hz 50 appendonly yes");
        assert!(
            reply.starts_with(
                "-ERR CONFIG SET failed (possibly related to argument 'appendonly') - "
            ),
            "{reply}"
        );
        assert_eq!(
            bench.say("CONFIG GET hz appendonly"),
            "*4 $2 hz $2 10 $10 appendonly $2 no"
        );
    }

    #[test]
    fn a_removed_password_lets_everybody_in() {
        let mut bench = Bench::new();
        assert_eq!(bench.say("CONFIG SET requirepass x"), "+OK");
        assert_eq!(bench.say("RESET"), "+RESET");
        assert_eq!(bench.say("PING"), "-NOAUTH Authentication required.");
        assert_eq!(bench.say("AUTH x"), "+OK");
        assert_eq!(bench.say("CONFIG SET requirepass ''"), "+OK");
        assert_eq!(bench.say("RESET"), "+RESET");
        assert_eq!(bench.say("PING"), "+PONG");
    }
}
