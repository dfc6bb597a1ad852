//! A user: how it logs in, and its selectors, each of which allows some commands on some keys and
//! channels. A call is allowed if one selector allows all of it.

use std::collections::BTreeMap;
use std::fmt;

use super::DEFAULT;
use super::secret::{self, Digest};
use crate::command::registry::{self, Command};
use crate::command::spec::Categories;

/// What the configuration gives to new users and selectors.
#[derive(Clone, Copy, Debug, Default)]
pub struct Defaults {
    /// `acl-pubsub-default allchannels`.
    pub all_channels: bool,
}

/// One user.
#[derive(Clone)]
pub struct User {
    pub name: Box<[u8]>,
    pub enabled: bool,
    /// Every password is right.
    pub nopass: bool,
    /// Payloads of RESTORE are taken without a full check (`skip-sanitize-payload`).
    pub skip_sanitize: bool,
    pub passwords: Vec<Digest>,
    /// What the rules outside of parentheses say.
    pub root: Selector,
    pub selectors: Vec<Selector>,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.name))
    }
}

impl User {
    /// A new user, who may do nothing.
    pub fn new(name: &[u8], defaults: Defaults) -> User {
        User {
            name: name.into(),
            enabled: false,
            nopass: false,
            skip_sanitize: false,
            passwords: Vec::new(),
            root: Selector::new(defaults),
            selectors: Vec::new(),
        }
    }

    /// The user `default` as it is without any rules: `on nopass ~* &* +@all`.
    pub fn all_permitted() -> User {
        let all = Defaults { all_channels: true };
        let mut user = User::new(DEFAULT, all);
        user.enabled = true;
        user.nopass = true;
        user.root.all_keys = true;
        user.root.set_all_commands(true);
        user
    }

    /// A name that can stand in a line of the ACL file.
    pub fn is_name(name: &[u8]) -> bool {
        !has_space(name)
    }

    /// Every call is allowed.
    #[inline]
    pub fn is_unrestricted(&self) -> bool {
        self.root.all_commands && self.root.all_keys && self.root.all_channels
    }

    /// The selectors, the root first.
    pub fn all_selectors(&self) -> impl Iterator<Item = &Selector> {
        std::iter::once(&self.root).chain(&self.selectors)
    }

    /// As `requirepass` sets it: an empty password is none.
    pub fn set_only_password(&mut self, password: &[u8]) {
        self.nopass = password.is_empty();
        self.passwords.clear();
        if !password.is_empty() {
            self.passwords.push(secret::digest(password));
        }
    }

    /// The flags of ACL GETUSER.
    pub fn flags(&self) -> Vec<&'static str> {
        let mut flags = vec![if self.enabled { "on" } else { "off" }];
        if self.nopass {
            flags.push("nopass");
        }
        flags.push(if self.skip_sanitize {
            "skip-sanitize-payload"
        } else {
            "sanitize-payload"
        });
        flags
    }

    /// The rules that make this user out of a new one, in Redis' order. A selector is one rule.
    pub fn rules(&self) -> Vec<Vec<u8>> {
        let mut rules: Vec<Vec<u8>> = self
            .flags()
            .into_iter()
            .map(|flag| flag.as_bytes().to_vec())
            .collect();
        let hash = |digest| format!("#{}", secret::hex(digest)).into_bytes();
        rules.extend(self.passwords.iter().map(hash));
        rules.extend(self.root.rules());
        for selector in &self.selectors {
            let inner = selector.rules().join(&b' ');
            rules.push([b"(", inner.as_slice(), b")"].concat());
        }
        rules
    }

    /// The line of the ACL file, as ACL LIST shows it.
    pub fn line(&self) -> Vec<u8> {
        let words = [b"user".to_vec(), self.name.to_vec()];
        let words: Vec<Vec<u8>> = words.into_iter().chain(self.rules()).collect();
        words.join(&b' ')
    }
}

/// White space or NUL, which no name and no pattern may have.
pub fn has_space(text: &[u8]) -> bool {
    text.iter()
        .any(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c | 0))
}

/// A pattern of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPattern {
    pub pattern: Vec<u8>,
    pub read: bool,
    pub write: bool,
}

impl KeyPattern {
    /// Beside others a `~*` would not be read back: no pattern may follow it.
    fn rule(&self, alone: bool) -> Vec<u8> {
        let sign: &[u8] = match (self.read, self.write) {
            (true, false) => b"%R~",
            (false, true) => b"%W~",
            _ if self.pattern == b"*" && !alone => b"%RW~",
            _ => b"~",
        };
        [sign, &self.pattern].concat()
    }
}

/// A rule about commands as it was given: `+get`, `-@hash`, `+config|get`, `+select|0`.
#[derive(Clone, Debug)]
struct CommandRule {
    allow: bool,
    /// In lower case, without the sign.
    text: Vec<u8>,
}

/// A set of rights: these commands, on these keys, on these channels.
#[derive(Clone)]
pub struct Selector {
    pub all_keys: bool,
    pub all_channels: bool,
    /// All commands, those of later releases included.
    all_commands: bool,
    commands: Bits,
    /// Commands that are allowed with one of these as their first argument, in lower case.
    first_args: BTreeMap<u16, Vec<Vec<u8>>>,
    /// What made `commands` and `first_args`, since all were allowed or forbidden at once.
    rules: Vec<CommandRule>,
    /// Whether the rules begin with all commands or with none.
    from_all: bool,
    pub keys: Vec<KeyPattern>,
    pub channels: Vec<Vec<u8>>,
}

impl Selector {
    pub fn new(defaults: Defaults) -> Selector {
        Selector {
            all_keys: false,
            all_channels: defaults.all_channels,
            all_commands: false,
            commands: Bits::new(registry::all().len()),
            first_args: BTreeMap::new(),
            rules: Vec::new(),
            from_all: false,
            keys: Vec::new(),
            channels: Vec::new(),
        }
    }

    /// The command may be called, with any keys and channels of the selector.
    #[inline]
    pub fn allows(&self, command: &Command) -> bool {
        self.all_commands || self.commands.has(command.id)
    }

    /// The command may be called with this as its first argument (of a sub-command: as the first
    /// one behind it).
    pub fn allows_first_arg(&self, command: &Command, arg: &[u8]) -> bool {
        self.first_args
            .get(&command.id)
            .is_some_and(|args| args.iter().any(|known| known.eq_ignore_ascii_case(arg)))
    }

    /// `allcommands`, `nocommands`.
    pub fn set_all_commands(&mut self, allow: bool) {
        self.all_commands = allow;
        self.from_all = allow;
        self.commands.fill(allow);
        self.first_args.clear();
        self.rules.clear();
    }

    /// Allows or forbids a command with its sub-commands, or a sub-command.
    pub fn set_command(&mut self, command: &'static Command, allow: bool) {
        self.change(command, allow);
        let name = command.full_name.as_bytes();
        self.rules.retain(|rule| {
            let sub = rule.text.strip_prefix(name);
            sub.is_none_or(|rest| !rest.is_empty() && rest[0] != b'|')
        });
        self.rules.push(CommandRule {
            allow,
            text: name.to_vec(),
        });
    }

    /// Allows or forbids all commands of a category.
    pub fn set_category(&mut self, category: Categories, name: &str, allow: bool) {
        for command in registry::all() {
            // Sub-commands stand behind all commands, so what is particular to them stays.
            if command.categories.contains(category) {
                self.change(command, allow);
            }
        }
        self.add_rule(allow, format!("@{name}").into_bytes());
    }

    /// Allows a command with this first argument.
    pub fn add_first_arg(&mut self, command: &'static Command, arg: &[u8]) {
        let arg = arg.to_ascii_lowercase();
        let text = [command.full_name.as_bytes(), b"|", &arg].concat();
        let known = self.first_args.entry(command.id).or_default();
        if !known.contains(&arg) {
            known.push(arg);
        }
        self.add_rule(true, text);
    }

    fn add_rule(&mut self, allow: bool, text: Vec<u8>) {
        self.rules.retain(|rule| rule.text != text);
        self.rules.push(CommandRule { allow, text });
    }

    fn change(&mut self, command: &'static Command, allow: bool) {
        self.all_commands &= allow;
        for command in std::iter::once(command).chain(command.subs()) {
            self.commands.set(command.id, allow);
            self.first_args.remove(&command.id);
        }
    }

    /// The rules about commands, as ACL GETUSER shows them.
    pub fn command_rules(&self) -> Vec<u8> {
        let mut text = if self.from_all { b"+@all" } else { b"-@all" }.to_vec();
        for rule in &self.rules {
            text.extend_from_slice(if rule.allow { b" +" } else { b" -" });
            text.extend_from_slice(&rule.text);
        }
        text
    }

    fn key_patterns(&self) -> Vec<Vec<u8>> {
        if self.all_keys {
            return vec![b"~*".to_vec()];
        }
        let alone = self.keys.len() == 1;
        self.keys.iter().map(|key| key.rule(alone)).collect()
    }

    /// The rules about keys, as ACL GETUSER shows them.
    pub fn key_rules(&self) -> Vec<u8> {
        self.key_patterns().join(&b' ')
    }

    /// The rules about channels, as ACL GETUSER shows them.
    pub fn channel_rules(&self) -> Vec<u8> {
        if self.all_channels {
            return b"&*".to_vec();
        }
        let rules: Vec<Vec<u8>> = self.channels.iter().map(|c| channel_rule(c)).collect();
        rules.join(&b' ')
    }

    /// All rules, in Redis' order.
    fn rules(&self) -> Vec<Vec<u8>> {
        let mut rules = self.key_patterns();
        if self.all_channels {
            rules.push(b"&*".to_vec());
        } else {
            rules.push(b"resetchannels".to_vec());
            rules.extend(self.channels.iter().map(|c| channel_rule(c)));
        }
        let commands = self.command_rules();
        rules.extend(commands.split(|b| *b == b' ').map(<[u8]>::to_vec));
        rules
    }
}

fn channel_rule(pattern: &[u8]) -> Vec<u8> {
    [b"&", pattern].concat()
}

/// One bit per command id.
#[derive(Clone)]
struct Bits(Box<[u64]>);

impl Bits {
    fn new(len: usize) -> Bits {
        Bits(vec![0; len.div_ceil(64)].into())
    }

    #[inline]
    fn has(&self, id: u16) -> bool {
        self.0[usize::from(id / 64)] & (1 << (id % 64)) != 0
    }

    fn set(&mut self, id: u16, on: bool) {
        let (word, bit) = (&mut self.0[usize::from(id / 64)], 1 << (id % 64));
        if on {
            *word |= bit;
        } else {
            *word &= !bit;
        }
    }

    fn fill(&mut self, on: bool) {
        self.0.fill(if on { u64::MAX } else { 0 });
    }
}
