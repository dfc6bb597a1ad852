//! What a directive is: its row in the table, and the macro that makes the table and [`Settings`] from
//! the same rows, so that a directive is written exactly once.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::table::{DIRECTIVES, Settings};

/// How a directive's text is read, checked and written.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    Bool,
    /// Whole number within inclusive bounds.
    Int(i64, i64),
    /// Whole number that is pulled into 1..=500 instead of refused.
    Hz,
    Octal,
    /// Size with unit, within inclusive bounds.
    Memory(u64, u64),
    /// Size with unit from 1 on, of which one below this is made this instead of refused.
    MemoryFrom(u64),
    MemoryOrPercent,
    Enum(&'static [&'static str]),
    /// Text with its check.
    Text(fn(&str) -> Result<(), String>),
    /// Any bytes, shown to nobody but the one who asks for it by CONFIG GET.
    Secret,
    Dir,
    Bind,
    OutputLimits,
    Percentiles,
    NotifyEvents,
    OomScores,
    Words,
    ReplicaOf,
    Save,
    Shutdown,
}

impl Kind {
    /// Takes any number of words.
    pub fn takes_many(self) -> bool {
        matches!(self, Kind::ReplicaOf) || self.splits_single()
    }

    /// A single word is split at spaces: what CONFIG SET and quoted values give.
    pub fn splits_single(self) -> bool {
        use Kind::*;
        matches!(
            self,
            Bind | OutputLimits | Percentiles | Words | OomScores | Save | Shutdown
        )
    }

    /// The type's name for people.
    pub fn describe(self) -> String {
        match self {
            Kind::Bool => "yes or no".into(),
            Kind::Int(i64::MIN..=0, i64::MAX) => "whole number".into(),
            Kind::Int(low, high) => format!("whole number from {low} to {high}"),
            Kind::Hz => "whole number from 1 to 500".into(),
            Kind::Octal => "octal number".into(),
            Kind::Memory(..) | Kind::MemoryFrom(_) => "size".into(),
            Kind::MemoryOrPercent => "size or percentage".into(),
            Kind::Enum(names) => names.join(" | "),
            Kind::Text(_) | Kind::Secret => "text".into(),
            Kind::Dir => "directory".into(),
            _ => "list".into(),
        }
    }
}

/// When a directive may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutability {
    Mutable,
    Immutable,
    /// CONFIG SET only where `enable-protected-configs` allows it.
    Protected,
    ImmutableProtected,
}

/// What the server must do when a setting changes at run time; settings that are simply read need nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Open the sockets of `bind` and `port` anew.
    Listen,
    /// Read certificates anew.
    Tls,
    /// The same, and open the TLS port.
    TlsPort,
    /// The memory limit or its policy changed: evict if needed.
    MaxMemory,
    /// The limit for all clients together changed.
    ClientEviction,
    /// Raise the file limit.
    MaxClients,
    AppendOnly,
    AppendFsync,
    Save,
    Logging,
    OomScore,
    Hz,
    ReplBacklog,
    /// The default user's password.
    RequirePass,
    /// The working directory was checked and must be entered.
    Dir,
    ProcTitle,
    JemallocBgThread,
    MinReplicas,
    SlowlogMaxLen,
    AclLogMaxLen,
    CrashLog,
    Metrics,
}

/// Everything about a directive except name, type and default.
#[derive(Debug, Clone, Copy)]
pub struct Meta {
    pub mutability: Mutability,
    pub aliases: &'static [&'static str],
    /// CONFIG GET shows it only when asked for by its exact name.
    pub hidden: bool,
    /// The value never reaches a log line or error text.
    pub sensitive: bool,
    /// CONFIG SET is refused while the data set is loading.
    pub not_while_loading: bool,
    /// It names a file that may have changed: CONFIG SET to what it is does its action too.
    pub volatile: bool,
    pub action: Option<Action>,
    /// Known only to Valkey; accepted so that its files load.
    pub valkey: bool,
    /// Why it has no effect here, for the notice at start.
    pub inert: Option<&'static str>,
    /// CONFIG SET to anything but the default fails with this text.
    pub refusal: Option<&'static str>,
}

const PLAIN: Meta = Meta {
    mutability: Mutability::Mutable,
    aliases: &[],
    hidden: false,
    sensitive: false,
    not_while_loading: false,
    volatile: false,
    action: None,
    valkey: false,
    inert: None,
    refusal: None,
};
pub(super) const MUTABLE: Meta = PLAIN;
pub(super) const IMMUTABLE: Meta = Meta {
    mutability: Mutability::Immutable,
    ..PLAIN
};
pub(super) const PROTECTED: Meta = Meta {
    mutability: Mutability::Protected,
    ..PLAIN
};
pub(super) const IMMUTABLE_PROTECTED: Meta = Meta {
    mutability: Mutability::ImmutableProtected,
    ..PLAIN
};

impl Meta {
    pub(super) const fn alias(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }
    pub(super) const fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }
    pub(super) const fn sensitive(mut self) -> Self {
        self.sensitive = true;
        self
    }
    pub(super) const fn not_loading(mut self) -> Self {
        self.not_while_loading = true;
        self
    }
    pub(super) const fn volatile(mut self) -> Self {
        self.volatile = true;
        self
    }
    pub(super) const fn action(mut self, action: Action) -> Self {
        self.action = Some(action);
        self
    }
    pub(super) const fn valkey(mut self) -> Self {
        self.valkey = true;
        self.hidden = true;
        self
    }
    pub(super) const fn inert(mut self, reason: &'static str) -> Self {
        self.inert = Some(reason);
        self
    }
    pub(super) const fn refused(mut self, text: &'static str) -> Self {
        self.refusal = Some(text);
        self
    }
}

/// Where a value comes from: some directives add up over the lines of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// From file or command line; `first` if no line of this start has set the directive yet.
    Start { first: bool },
    /// From CONFIG SET.
    Running,
}

/// Reads words into the directive's field.
pub(super) type Update = fn(&mut Settings, &[Vec<u8>], When) -> Result<(), String>;

/// One row of the table.
pub struct Directive {
    pub name: &'static str,
    pub kind: Kind,
    /// As a file would write it.
    pub default: &'static str,
    pub meta: Meta,
    pub(super) update: Update,
    pub(super) text: fn(&Settings) -> Vec<u8>,
    pub(super) lines: fn(&Settings) -> Vec<Vec<u8>>,
    pub(super) equal: fn(&Settings, &Settings) -> bool,
}

impl Directive {
    /// The directive of that name or alias, in any case.
    pub fn find(name: &[u8]) -> Option<&'static Directive> {
        BY_NAME.get(name.to_ascii_lowercase().as_slice()).copied()
    }

    /// The value as CONFIG GET shows it.
    pub fn text(&self, settings: &Settings) -> Vec<u8> {
        (self.text)(settings)
    }

    /// Checks the words and stores the value; on error `settings` may be half changed and must be thrown away.
    pub fn update(
        &self,
        settings: &mut Settings,
        words: &[Vec<u8>],
        when: When,
    ) -> Result<(), String> {
        let split;
        let words = match words {
            [single] if self.kind.splits_single() => {
                split = split_at_spaces(single);
                &split
            }
            _ => words,
        };
        if !self.kind.takes_many() && words.len() != 1 {
            return Err("wrong number of arguments".into());
        }
        (self.update)(settings, words, when)
    }
}

/// An empty word stands for an empty list; two spaces in a row give an empty word, which the directive refuses.
fn split_at_spaces(word: &[u8]) -> Vec<Vec<u8>> {
    if word.is_empty() {
        return Vec::new();
    }
    word.split(|b| *b == b' ').map(<[u8]>::to_vec).collect()
}

static BY_NAME: LazyLock<HashMap<&'static [u8], &'static Directive>> = LazyLock::new(|| {
    let mut map = HashMap::new();
    for directive in DIRECTIVES {
        for name in std::iter::once(&directive.name).chain(directive.meta.aliases) {
            let before = map.insert(name.as_bytes(), directive);
            assert!(
                before.is_none(),
                "the name {name} stands twice in the table of directives"
            );
        }
    }
    map
});

/// Turns the field name into the directive's name at compile time.
pub(super) const fn dashed<const N: usize>(field: &str) -> [u8; N] {
    let bytes = field.as_bytes();
    let mut out = [0; N];
    let mut at = 0;
    while at < N {
        out[at] = if bytes[at] == b'_' { b'-' } else { bytes[at] };
        at += 1;
    }
    out
}

/// `field: Type = "default", Kind, META;` → a public field of `Settings` and a row of `DIRECTIVES`.
macro_rules! directives {
    ($($field:ident: $type:ty = $default:literal, $kind:expr, $meta:expr;)*) => {
        /// Every setting as a plain typed field, named as the directive with `_` for `-`.
        #[derive(Debug, Clone, PartialEq)]
        pub struct Settings {
            $(pub $field: $type,)*
        }

        impl Settings {
            /// All fields empty: only the ground on which the defaults are parsed.
            fn blank() -> Self {
                Settings { $($field: <$type>::default(),)* }
            }
        }

        pub static DIRECTIVES: &[Directive] = &[$({
            const KIND: Kind = $kind;
            const NAME: &str = {
                const BYTES: [u8; stringify!($field).len()] = dashed(stringify!($field));
                match std::str::from_utf8(&BYTES) {
                    Ok(name) => name,
                    Err(_) => panic!("field names are ASCII"),
                }
            };
            Directive {
                name: NAME,
                kind: KIND,
                default: $default,
                meta: $meta,
                update: |settings, words, when| settings.$field.update(KIND, words, when),
                text: |settings| settings.$field.text(KIND),
                lines: |settings| settings.$field.lines(NAME, KIND),
                equal: |a, b| a.$field == b.$field,
            }
        },)*];
    };
}
pub(super) use directives;
