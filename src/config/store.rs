//! The running configuration: CONFIG GET and CONFIG SET on [`Settings`].

use std::collections::HashSet;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;

use super::directive::{Action, Directive, Mutability, When};
use super::enums::AllowFrom;
use super::lists::ReplicaOf;
use super::load::FileLine;
use super::shared::SharedSettings;
use super::table::{DIRECTIVES, Settings};
use crate::base::glob;

/// Owned by the actor; reads go straight to the typed fields (`config.maxmemory`).
#[derive(Debug, Default)]
pub struct Config {
    pub(super) settings: Settings,
    shared: Arc<SharedSettings>,
    /// The file given at start, absolute, for CONFIG REWRITE and INFO.
    pub file: Option<PathBuf>,
    /// `user` lines, for the access control list.
    pub users: Vec<FileLine>,
    /// `rename-command` lines: `[from, to]`; an empty `to` removes the command.
    pub renamed_commands: Vec<FileLine>,
    /// `loadmodule` lines.
    pub modules: Vec<FileLine>,
    /// `sentinel` lines.
    pub sentinel: Vec<FileLine>,
    /// Directives that somebody stated, in a file, on the command line or with CONFIG SET.
    pub stated: HashSet<&'static str>,
    /// Directives that an included file sets: a rewritten main file must state them.
    pub(super) included: HashSet<&'static str>,
    /// What the user should read once at start: directives without effect here.
    pub notices: Vec<String>,
}

impl Deref for Config {
    type Target = Settings;

    fn deref(&self) -> &Settings {
        &self.settings
    }
}

/// Who asks for the change, and when.
#[derive(Debug, Clone, Copy, Default)]
pub struct SetContext {
    /// The client came over a Unix socket or from a loopback address.
    pub local: bool,
    pub loading: bool,
}

/// A setting that a CONFIG SET changed, under the name that the client used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    pub name: String,
    pub directive: &'static str,
    pub action: Option<Action>,
}

/// An accepted CONFIG SET, already visible in [`Config`]. The server now does the actions of `changed`, each [`Action`] once;
/// if one fails it gives this back to [`Config::rollback`].
#[derive(Debug)]
#[must_use = "the actions of the changed settings are still to be done"]
pub struct Pending {
    pub changed: Vec<Changed>,
    before: Box<Settings>,
}

impl Pending {
    /// The actions to do, each once, with the name to blame if it fails.
    pub fn actions(&self) -> Vec<(Action, &str)> {
        let mut seen = HashSet::new();
        let with_action = self
            .changed
            .iter()
            .filter_map(|c| Some((c.action?, c.name.as_str())));
        with_action
            .filter(|(action, _)| seen.insert(*action))
            .collect()
    }

    /// The settings before the change.
    pub fn before(&self) -> &Settings {
        &self.before
    }
}

/// Why CONFIG SET changed nothing. `Display` is the error reply without the leading `-`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigSetError {
    Unknown { name: String },
    Failed { name: String, reason: String },
    Loading,
}

impl std::fmt::Display for ConfigSetError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ConfigSetError::Unknown { name } => {
                write!(
                    f,
                    "ERR Unknown option or number of arguments for CONFIG SET - '{name}'"
                )
            }
            ConfigSetError::Failed { name, reason } => {
                write!(
                    f,
                    "ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}"
                )
            }
            ConfigSetError::Loading => {
                f.write_str("LOADING Redis is loading the dataset in memory")
            }
        }
    }
}

impl Config {
    pub fn new(settings: Settings) -> Self {
        let config = Config {
            settings,
            ..Config::default()
        };
        config.shared.publish(&config.settings);
        config
    }

    /// For connection threads.
    pub fn shared(&self) -> Arc<SharedSettings> {
        Arc::clone(&self.shared)
    }

    /// CONFIG GET: patterns and exact names in any case, names and aliases alike, each once. A name asked for exactly comes
    /// back as it was written, and may be hidden.
    pub fn get(&self, patterns: &[&[u8]]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut found = Vec::new();
        let mut seen = HashSet::new();
        for pattern in patterns {
            if let Some(directive) = Directive::find(pattern) {
                if seen.insert(pattern.to_ascii_lowercase()) {
                    found.push((pattern.to_vec(), directive.text(&self.settings)));
                }
                continue;
            }
            for directive in DIRECTIVES.iter().filter(|d| !d.meta.hidden) {
                for name in std::iter::once(&directive.name).chain(directive.meta.aliases) {
                    let name = name.as_bytes();
                    if glob::matches(pattern, name, true) && seen.insert(name.to_vec()) {
                        found.push((name.to_vec(), directive.text(&self.settings)));
                    }
                }
            }
        }
        found
    }

    /// CONFIG SET: everything or nothing. All names are judged before the first value is read, as in Redis.
    pub fn set(
        &mut self,
        pairs: &[(&[u8], &[u8])],
        context: SetContext,
    ) -> Result<Pending, ConfigSetError> {
        let directives = self.judge_names(pairs, context)?;
        let mut next = Box::new(self.settings.clone());
        for (directive, (name, value)) in directives.iter().zip(pairs) {
            let failed = |reason| ConfigSetError::Failed {
                name: shown(name),
                reason,
            };
            directive
                .update(&mut next, &[value.to_vec()], When::Running)
                .map_err(failed)?;
            if let Some(refusal) = directive.meta.refusal
                && directive.text(&next) != directive.default.as_bytes()
            {
                return Err(failed(refusal.to_string()));
            }
        }
        self.stated.extend(directives.iter().map(|d| d.name));
        let before = std::mem::replace(&mut self.settings, *next);
        let changed = directives
            .iter()
            .zip(pairs)
            .filter(|(directive, _)| {
                directive.meta.volatile || !(directive.equal)(&before, &self.settings)
            })
            .map(|(directive, (name, _))| Changed {
                name: shown(name),
                directive: directive.name,
                action: directive.meta.action,
            })
            .collect();
        self.shared.publish(&self.settings);
        Ok(Pending {
            changed,
            before: Box::new(before),
        })
    }

    fn judge_names(
        &self,
        pairs: &[(&[u8], &[u8])],
        context: SetContext,
    ) -> Result<Vec<&'static Directive>, ConfigSetError> {
        let mut seen = HashSet::new();
        let mut directives = Vec::with_capacity(pairs.len());
        for (name, _) in pairs {
            let failed = |reason: &str| {
                Err(ConfigSetError::Failed {
                    name: shown(name),
                    reason: reason.to_string(),
                })
            };
            let Some(directive) = Directive::find(name) else {
                return Err(ConfigSetError::Unknown { name: shown(name) });
            };
            let mutability = directive.meta.mutability;
            let protected = matches!(
                mutability,
                Mutability::Protected | Mutability::ImmutableProtected
            );
            if protected && !self.protected_configs_allowed(context) {
                return failed("can't set protected config");
            }
            if matches!(
                mutability,
                Mutability::Immutable | Mutability::ImmutableProtected
            ) {
                return failed("can't set immutable config");
            }
            if directive.meta.not_while_loading && context.loading {
                return Err(ConfigSetError::Loading);
            }
            // Redis compares what was written, so a name and its alias may stand together: the later one wins.
            if !seen.insert(name.to_ascii_lowercase()) {
                return failed("duplicate parameter");
            }
            directives.push(directive);
        }
        Ok(directives)
    }

    fn protected_configs_allowed(&self, context: SetContext) -> bool {
        match self.settings.enable_protected_configs {
            AllowFrom::Yes => true,
            AllowFrom::Local => context.local,
            AllowFrom::No => false,
        }
    }

    /// Takes an accepted change back because the action for `name` failed; the result is the error reply. The server must do
    /// again, with the old settings, whatever actions it had done before the failure.
    pub fn rollback(&mut self, pending: Pending, name: &str, reason: &str) -> ConfigSetError {
        self.settings = *pending.before;
        self.shared.publish(&self.settings);
        ConfigSetError::Failed {
            name: name.to_string(),
            reason: reason.to_string(),
        }
    }

    /// Changes a setting on behalf of the server itself (REPLICAOF, file limits, tests), without the rules of CONFIG SET.
    pub fn adjust(&mut self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.settings);
        self.shared.publish(&self.settings);
    }

    /// What REPLICAOF and failover change; CONFIG SET may not.
    pub fn set_replicaof(&mut self, master: Option<(String, u16)>) {
        self.adjust(|settings| settings.replicaof = ReplicaOf(master));
    }
}

/// A name in an error text: never a raw line break, never unbounded.
fn shown(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(&name[..name.len().min(128)]).into_owned();
    text.replace(['\r', '\n'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANYONE: SetContext = SetContext {
        local: false,
        loading: false,
    };

    fn set(config: &mut Config, pairs: &[(&str, &str)]) -> Result<Pending, String> {
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(n, v)| (n.as_bytes(), v.as_bytes()))
            .collect();
        config
            .set(&pairs, ANYONE)
            .map_err(|error| error.to_string())
    }

    fn get(config: &Config, patterns: &[&str]) -> Vec<(String, String)> {
        let patterns: Vec<_> = patterns.iter().map(|p| p.as_bytes()).collect();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        config
            .get(&patterns)
            .into_iter()
            .map(|(n, v)| (text(n), text(v)))
            .collect()
    }

    fn failed(name: &str, reason: &str) -> String {
        format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}")
    }

    /// The replies that Redis gave, for every value that a directive refuses by itself.
    #[test]
    fn refusals_are_redis_own() {
        let mut config = Config::new(Settings::default());
        let cases = [
            ("maxmemory", "abc", "argument must be a memory value"),
            (
                "maxclients",
                "0",
                "argument must be between 1 and 4294967295 inclusive",
            ),
            (
                "maxmemory-policy",
                "foo",
                "argument(s) must be one of the following: volatile-lru, volatile-lfu, volatile-random, volatile-ttl, allkeys-lru, allkeys-lfu, allkeys-random, noeviction",
            ),
            (
                "port",
                "99999",
                "argument must be between 0 and 65535 inclusive",
            ),
            ("port", "abc", "argument couldn't be parsed into an integer"),
            ("databases", "3", "can't set immutable config"),
            ("dir", "/nonexistent", "can't set protected config"),
            ("dbfilename", "a/b", "can't set protected config"),
            (
                "enable-protected-configs",
                "yes",
                "can't set protected config",
            ),
            ("save", "1", "Invalid save parameters"),
            ("appendonly", "maybe", "argument must be 'yes' or 'no'"),
            (
                "notify-keyspace-events",
                "xyz",
                "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.",
            ),
            (
                "client-output-buffer-limit",
                "normal 1  2 3",
                "Wrong number of arguments in buffer limit configuration.",
            ),
            (
                "slowlog-max-len",
                "-1",
                "argument must be between 0 and 9223372036854775807 inclusive",
            ),
            (
                "list-max-listpack-size",
                "abc",
                "argument couldn't be parsed into an integer",
            ),
            ("oom-score-adj-values", "1", "wrong number of arguments"),
            (
                "proto-max-bulk-len",
                "5",
                "argument must be between 1048576 and 9223372036854775807 inclusive",
            ),
            (
                "shutdown-on-sigint",
                "",
                "argument(s) must be one of the following: default, save, nosave, now, force",
            ),
        ];
        let before = config.settings.clone();
        for (name, value, reason) in cases {
            assert_eq!(
                set(&mut config, &[(name, value)]).unwrap_err(),
                failed(name, reason)
            );
        }
        let unknown = "ERR Unknown option or number of arguments for CONFIG SET - 'foo'";
        assert_eq!(set(&mut config, &[("foo", "bar")]).unwrap_err(), unknown);
        assert_eq!(config.settings, before);
    }

    #[test]
    fn several_at_once_are_all_or_nothing() {
        let mut config = Config::new(Settings::default());
        let error = set(
            &mut config,
            &[
                ("maxmemory", "1mb"),
                ("maxmemory-clients", "200%"),
                ("hz", "x"),
            ],
        )
        .unwrap_err();
        assert_eq!(
            error,
            failed(
                "maxmemory-clients",
                "percentage argument must be less or equal to 100"
            )
        );
        assert_eq!(config.maxmemory, 0);
        let error = set(&mut config, &[("maxmemory", "x"), ("foo", "1")]).unwrap_err();
        assert!(
            error.starts_with("ERR Unknown option"),
            "names come before values: {error}"
        );
        let error = set(&mut config, &[("maxmemory", "1"), ("MAXMEMORY", "2")]).unwrap_err();
        assert_eq!(error, failed("MAXMEMORY", "duplicate parameter"));
        let pending = set(
            &mut config,
            &[
                ("hash-max-ziplist-entries", "5"),
                ("hash-max-listpack-entries", "6"),
            ],
        )
        .unwrap();
        assert_eq!(pending.changed.len(), 2);
        assert_eq!(config.hash_max_listpack_entries, 6);
    }

    #[test]
    fn changes_name_their_actions_once_and_roll_back() {
        let mut config = Config::new(Settings::default());
        let pending = set(
            &mut config,
            &[
                ("port", "7000"),
                ("bind", "127.0.0.1"),
                ("timeout", "5"),
                ("hz", "10"),
            ],
        )
        .unwrap();
        assert_eq!(pending.actions(), [(Action::Listen, "port")]);
        assert_eq!(pending.changed.len(), 3, "hz was set to what it was");
        assert_eq!(
            (
                pending.before().port,
                config.port,
                config.shared().timeout_s()
            ),
            (6379, 7000, 5)
        );
        let error = config.rollback(
            pending,
            "port",
            "Unable to listen on this port. Check server logs.",
        );
        assert_eq!(
            error.to_string(),
            failed("port", "Unable to listen on this port. Check server logs.")
        );
        assert_eq!(
            (config.port, config.timeout, config.shared().timeout_s()),
            (6379, 0, 0)
        );
    }

    #[test]
    fn get_takes_patterns_names_and_aliases() {
        let config = Config::new(Settings::default());
        let found = get(&config, &["maxmemory", "maxmemory*", "bind", "*of"]);
        let names: HashSet<_> = found.iter().map(|(n, _)| n.clone()).collect();
        assert_eq!(names.len(), found.len());
        for name in [
            "slaveof",
            "replicaof",
            "maxmemory",
            "maxmemory-samples",
            "maxmemory-clients",
            "bind",
        ] {
            assert!(names.contains(name), "{name}");
        }
        assert_eq!(
            get(&config, &["MAXMEMORY"]),
            [("MAXMEMORY".into(), "0".into())]
        );
        assert!(
            get(&config, &["Max*"])
                .iter()
                .any(|(n, _)| n == "maxclients")
        );
        assert!(get(&config, &["key-load*", "foo"]).is_empty());
        assert_eq!(get(&config, &["key-load-delay"]).len(), 1);
    }

    /// What `CONFIG GET *` shows can be set again, and shows the same afterwards.
    #[test]
    fn every_shown_value_can_be_set() {
        let mut config = Config::new(Settings::default());
        config.adjust(|settings| settings.enable_protected_configs = AllowFrom::Local);
        let before = config.get(&[b"*"]);
        let local = SetContext {
            local: true,
            loading: false,
        };
        for (name, value) in &before {
            let directive = Directive::find(name).unwrap();
            if matches!(
                directive.meta.mutability,
                Mutability::Immutable | Mutability::ImmutableProtected
            ) {
                continue;
            }
            let pending = config
                .set(&[(name, value)], local)
                .unwrap_or_else(|e| panic!("{e}"));
            // The directory becomes absolute when it is set; a file may hold something else than before.
            let changes = directive.name == "dir" || directive.meta.volatile;
            assert!(pending.changed.is_empty() || changes, "{}", directive.name);
        }
        assert!(
            set(&mut config, &[("dir", "/")]).is_err(),
            "not from another machine"
        );
        let loading = SetContext {
            local: true,
            loading: true,
        };
        assert_eq!(
            config.set(&[(b"dir", b"/")], loading).unwrap_err(),
            ConfigSetError::Loading
        );
        assert!(config.set(&[(b"loglevel", b"debug")], loading).is_ok());
    }

    #[test]
    fn refused_directives_stay_at_their_default() {
        let mut config = Config::new(Settings::default());
        assert!(
            set(&mut config, &[("activedefrag", "yes")])
                .unwrap_err()
                .contains("cannot be enabled")
        );
        assert!(!config.activedefrag);
        assert!(set(&mut config, &[("activedefrag", "no")]).is_ok());
    }

    #[test]
    fn connection_threads_see_changes() {
        let mut config = Config::new(Settings::default());
        let shared = config.shared();
        let _ = set(
            &mut config,
            &[
                ("timeout", "7"),
                ("client-output-buffer-limit", "pubsub 1mb 2 3"),
            ],
        )
        .unwrap();
        assert_eq!(shared.timeout_s(), 7);
        let limit = shared.output_limit(super::super::ClientClass::PubSub);
        assert_eq!(
            (limit.hard_bytes, limit.soft_bytes, limit.soft_seconds),
            (1 << 20, 2, 3)
        );
    }
}
