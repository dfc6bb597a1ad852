//! What one command is: its [`Spec`] row, and everything that follows from the row alone (arity check, derived flags and
//! categories). Where the keys stand in a call is found by [`keys`](super::keys), the only place that knows it.
//!
//! A row says each fact once. What Redis derives (`movablekeys`, the first/last/step triple, the ACL categories that
//! belong to flags) is derived here as well and never written into a row.

use std::fmt;

use bitflags::bitflags;

use super::ctx::{Ctx, Outcome};
use super::keys::SpecialKeys;

/// Flags in a row: `flags!(WRITE | DENYOOM)`. (The `|` of bitflags cannot be used in a static.)
macro_rules! flags {
    ($($flag:ident)|+) => { $crate::command::spec::Flags::empty()$(.union($crate::command::spec::Flags::$flag))+ };
}

/// Categories in a row: `cats!(STRING)`.
macro_rules! cats {
    ($($cat:ident)|+) => {
        $crate::command::spec::Categories::empty()$(.union($crate::command::spec::Categories::$cat))+
    };
}

/// Key flags in a row: `key!(RO | ACCESS)`.
macro_rules! key {
    ($($flag:ident)|+) => { $crate::command::spec::KeyFlags::empty()$(.union($crate::command::spec::KeyFlags::$flag))+ };
}

pub(crate) use {cats, flags, key};

/// The code of a command. It reads its arguments from the context, calls the value and replies once.
pub type Handler = fn(&mut Ctx<'_>) -> Outcome;

/// One row of a command table: a command, a container of sub-commands, or (inside `subs`) a sub-command.
///
/// Rows are written with `..Spec::BLANK`, so that they hold only what is particular to the command.
#[derive(Clone, Copy)]
pub struct Spec {
    /// Lower case; of a sub-command only its own word (`kill`, not `client|kill`).
    pub name: &'static str,
    pub group: Group,
    /// The first Redis release that had the command.
    pub since: &'static str,
    /// Number of arguments, the command name (and the sub-command name) counted; negative: at least that many.
    pub arity: i16,
    pub flags: Flags,
    /// The categories that do not follow from `flags`; [`Spec::all_categories`] has them all.
    pub categories: Categories,
    pub keys: &'static [KeySpec],
    /// Finds the keys where `keys` alone cannot tell, or the flags of the keys where they depend on options.
    pub special_keys: Option<SpecialKeys>,
    /// The channels that a user needs the right to publish or subscribe to.
    pub channels: Option<ChannelSpec>,
    /// Hints for proxies and clients, as COMMAND INFO prints them.
    pub tips: &'static [&'static str],
    pub doc_flags: DocFlags,
    /// Empty unless deprecated.
    pub deprecated_since: &'static str,
    /// What to use instead of a deprecated command, with `` `backquotes` `` around commands and options.
    pub replaced_by: &'static str,
    /// Release and change, oldest first.
    pub history: &'static [(&'static str, &'static str)],
    pub summary: &'static str,
    pub complexity: &'static str,
    /// The argument tree, in the notation of [`syntax`](super::syntax).
    pub syntax: &'static str,
    pub run: Handler,
    pub subs: &'static [Spec],
}

impl fmt::Debug for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Spec {
    pub const BLANK: Spec = Spec {
        name: "",
        group: Group::Generic,
        since: "1.0.0",
        arity: 0,
        flags: Flags::empty(),
        categories: Categories::empty(),
        keys: &[],
        special_keys: None,
        channels: None,
        tips: &[],
        doc_flags: DocFlags::empty(),
        deprecated_since: "",
        replaced_by: "",
        history: &[],
        summary: "",
        complexity: "",
        syntax: "",
        run: no_handler,
        subs: &[],
    };

    /// True if a call with `argc` arguments (names included) has the right number of them.
    pub const fn arity_ok(&self, argc: usize) -> bool {
        let wanted = self.arity.unsigned_abs() as usize;
        if self.arity < 0 {
            argc >= wanted
        } else {
            argc == wanted
        }
    }

    /// A row whose calls name one of its `subs`. (COMMAND is one, but has a handler of its own too.)
    pub const fn is_container(&self) -> bool {
        !self.subs.is_empty()
    }

    /// False for containers that cannot be called without a sub-command: the name alone is too short a call.
    pub const fn has_handler(&self) -> bool {
        !self.is_container() || self.arity_ok(1)
    }

    /// The flags as COMMAND INFO prints them: those of the row and the derived ones.
    pub fn all_flags(&self) -> Flags {
        let fixed = |k: &KeySpec| {
            matches!(k.begin, Begin::Index(_))
                && matches!(k.find, Find::Range { .. })
                && !k.flags.contains(KeyFlags::INCOMPLETE)
        };
        if self.keys.iter().all(fixed) {
            self.flags
        } else {
            self.flags | Flags::MOVABLEKEYS
        }
    }

    /// The ACL categories: those of the row and those that follow from its flags.
    pub const fn all_categories(&self) -> Categories {
        const IMPLIED: [(Flags, Categories); 5] = [
            (Flags::WRITE, Categories::WRITE),
            (Flags::READONLY, Categories::READ),
            (Flags::ADMIN, Categories::ADMIN.union(Categories::DANGEROUS)),
            (Flags::PUBSUB, Categories::PUBSUB),
            (Flags::BLOCKING, Categories::BLOCKING),
        ];
        let mut all = self.categories;
        let mut i = 0;
        while i < IMPLIED.len() {
            if self.flags.contains(IMPLIED[i].0) {
                all = all.union(IMPLIED[i].1);
            }
            i += 1;
        }
        if self.categories.contains(Categories::SCRIPTING) {
            // What a script may read, its commands decide.
            all = all.difference(Categories::READ);
        }
        all.union(if self.flags.contains(Flags::FAST) {
            Categories::FAST
        } else {
            Categories::SLOW
        })
    }

    /// The place of the key, if there is always one and at this place.
    pub fn only_key(&self) -> Option<u8> {
        match self.keys {
            [
                KeySpec {
                    begin: Begin::Index(at),
                    find: Find::Range { last: 0, .. },
                    flags,
                },
            ] if self.special_keys.is_none() || flags.contains(KeyFlags::VARIABLE_FLAGS) => {
                Some(*at)
            }
            _ => None,
        }
    }

    /// First key, last key and step, as COMMAND prints them and old clients use them: the first key spec with a fixed
    /// index and a range, joined with those that continue it without a gap.
    pub fn key_triple(&self) -> (i64, i64, i64) {
        let mut triple: Option<(i64, i64, i64)> = None;
        for key in self.keys {
            let (Begin::Index(first), Find::Range { last, step, .. }) = (key.begin, key.find)
            else {
                continue;
            };
            let (first, step) = (i64::from(first), i64::from(step));
            let last = if last < 0 {
                i64::from(last)
            } else {
                first + i64::from(last)
            };
            match &mut triple {
                None => triple = Some((first, last, step)),
                Some((_, end, _)) if *end >= 0 && *end + 1 == first => *end = last,
                Some(_) => {}
            }
        }
        triple.unwrap_or((0, 0, 0))
    }
}

/// The handler of containers: a call always reaches one of their sub-commands.
pub(super) fn no_handler(_: &mut Ctx<'_>) -> Outcome {
    unreachable!("a container is called by the name of one of its sub-commands")
}

/// The group of a command in the documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Group {
    Bitmap,
    Cluster,
    Connection,
    Generic,
    Geo,
    Hash,
    Hyperloglog,
    List,
    Pubsub,
    Scripting,
    Sentinel,
    Server,
    Set,
    SortedSet,
    Stream,
    String,
    Transactions,
}

impl Group {
    pub const fn name(self) -> &'static str {
        match self {
            Group::Bitmap => "bitmap",
            Group::Cluster => "cluster",
            Group::Connection => "connection",
            Group::Generic => "generic",
            Group::Geo => "geo",
            Group::Hash => "hash",
            Group::Hyperloglog => "hyperloglog",
            Group::List => "list",
            Group::Pubsub => "pubsub",
            Group::Scripting => "scripting",
            Group::Sentinel => "sentinel",
            Group::Server => "server",
            Group::Set => "set",
            Group::SortedSet => "sorted-set",
            Group::Stream => "stream",
            Group::String => "string",
            Group::Transactions => "transactions",
        }
    }
}

bitflags! {
    /// What the checks before a call need to know; the order is that of COMMAND INFO.
    #[derive(Default, Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Flags: u64 {
        /// May change the data set.
        const WRITE = 1 << 0;
        /// Reads keys and never changes them.
        const READONLY = 1 << 1;
        /// May need more memory; refused when out of it.
        const DENYOOM = 1 << 2;
        const MODULE = 1 << 3;
        const ADMIN = 1 << 4;
        const PUBSUB = 1 << 5;
        const NOSCRIPT = 1 << 6;
        /// May block the client.
        const BLOCKING = 1 << 7;
        /// Allowed while the data set is being loaded.
        const LOADING = 1 << 8;
        /// Allowed on a replica whose data is stale.
        const STALE = 1 << 9;
        const SKIP_MONITOR = 1 << 10;
        const SKIP_SLOWLOG = 1 << 11;
        /// Accepts an importing cluster slot without ASKING.
        const ASKING = 1 << 12;
        const FAST = 1 << 13;
        /// Allowed before authentication.
        const NO_AUTH = 1 << 14;
        /// Not a write itself, but may have effects to propagate.
        const MAY_REPLICATE = 1 << 15;
        /// Exists in Sentinel mode too.
        const SENTINEL = 1 << 16;
        /// Exists in Sentinel mode only.
        const ONLY_SENTINEL = 1 << 17;
        /// Takes keys, but a call without any is right.
        const NO_MANDATORY_KEYS = 1 << 18;
        /// Derived: the keys cannot be told from fixed positions.
        const MOVABLEKEYS = 1 << 19;
        const PROTECTED = 1 << 20;
        /// Refused inside MULTI.
        const NO_MULTI = 1 << 21;
        const ALLOW_BUSY = 1 << 22;
        /// Refused while a replica loads in the background beside its old data.
        const NO_ASYNC_LOADING = 1 << 23;
    }
}

impl Flags {
    /// The flags that COMMAND INFO shows (there are others, which it keeps to itself), in its order, with their names there.
    pub const NAMES: &'static [(Flags, &'static str)] = &[
        (Flags::WRITE, "write"),
        (Flags::READONLY, "readonly"),
        (Flags::DENYOOM, "denyoom"),
        (Flags::MODULE, "module"),
        (Flags::ADMIN, "admin"),
        (Flags::PUBSUB, "pubsub"),
        (Flags::NOSCRIPT, "noscript"),
        (Flags::BLOCKING, "blocking"),
        (Flags::LOADING, "loading"),
        (Flags::STALE, "stale"),
        (Flags::SKIP_MONITOR, "skip_monitor"),
        (Flags::SKIP_SLOWLOG, "skip_slowlog"),
        (Flags::ASKING, "asking"),
        (Flags::FAST, "fast"),
        (Flags::NO_AUTH, "no_auth"),
        (Flags::NO_MANDATORY_KEYS, "no_mandatory_keys"),
        (Flags::NO_ASYNC_LOADING, "no_async_loading"),
        (Flags::NO_MULTI, "no_multi"),
        (Flags::MOVABLEKEYS, "movablekeys"),
        (Flags::ALLOW_BUSY, "allow_busy"),
    ];
}

bitflags! {
    /// The ACL categories.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Categories: u32 {
        const KEYSPACE = 1 << 0;
        const READ = 1 << 1;
        const WRITE = 1 << 2;
        const SET = 1 << 3;
        const SORTEDSET = 1 << 4;
        const LIST = 1 << 5;
        const HASH = 1 << 6;
        const STRING = 1 << 7;
        const BITMAP = 1 << 8;
        const HYPERLOGLOG = 1 << 9;
        const GEO = 1 << 10;
        const STREAM = 1 << 11;
        const PUBSUB = 1 << 12;
        const ADMIN = 1 << 13;
        const FAST = 1 << 14;
        const SLOW = 1 << 15;
        const BLOCKING = 1 << 16;
        const DANGEROUS = 1 << 17;
        const CONNECTION = 1 << 18;
        const TRANSACTION = 1 << 19;
        const SCRIPTING = 1 << 20;
    }
}

impl Categories {
    /// All categories in the order of ACL CAT, with their names there.
    pub const NAMES: &'static [(Categories, &'static str)] = &[
        (Categories::KEYSPACE, "keyspace"),
        (Categories::READ, "read"),
        (Categories::WRITE, "write"),
        (Categories::SET, "set"),
        (Categories::SORTEDSET, "sortedset"),
        (Categories::LIST, "list"),
        (Categories::HASH, "hash"),
        (Categories::STRING, "string"),
        (Categories::BITMAP, "bitmap"),
        (Categories::HYPERLOGLOG, "hyperloglog"),
        (Categories::GEO, "geo"),
        (Categories::STREAM, "stream"),
        (Categories::PUBSUB, "pubsub"),
        (Categories::ADMIN, "admin"),
        (Categories::FAST, "fast"),
        (Categories::SLOW, "slow"),
        (Categories::BLOCKING, "blocking"),
        (Categories::DANGEROUS, "dangerous"),
        (Categories::CONNECTION, "connection"),
        (Categories::TRANSACTION, "transaction"),
        (Categories::SCRIPTING, "scripting"),
    ];

    /// The category of that name (any case, without `@`).
    pub fn by_name(name: &[u8]) -> Option<Categories> {
        Self::NAMES
            .iter()
            .find(|(_, n)| n.as_bytes().eq_ignore_ascii_case(name))
            .map(|&(c, _)| c)
    }
}

bitflags! {
    /// The flags of COMMAND DOCS.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct DocFlags: u8 {
        const DEPRECATED = 1 << 0;
        /// Internal: servers send it, people do not.
        const SYSCMD = 1 << 1;
    }
}

bitflags! {
    /// What a command does with a key.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct KeyFlags: u16 {
        /// Reads the value, and does not change it.
        const RO = 1 << 0;
        /// Changes the value, and what it was matters.
        const RW = 1 << 1;
        /// Overwrites the value, whatever it was.
        const OW = 1 << 2;
        /// Deletes the key.
        const RM = 1 << 3;
        /// User data of the value is returned, copied or can be inferred.
        const ACCESS = 1 << 4;
        const UPDATE = 1 << 5;
        const INSERT = 1 << 6;
        const DELETE = 1 << 7;
        /// Stands in the place of a key for cluster slots only.
        const NOT_KEY = 1 << 8;
        /// The key spec may miss keys.
        const INCOMPLETE = 1 << 9;
        /// The flags depend on the arguments of the call.
        const VARIABLE_FLAGS = 1 << 10;
    }
}

impl KeyFlags {
    /// All key flags in the order of COMMAND INFO, with their names there.
    pub const NAMES: &'static [(KeyFlags, &'static str)] = &[
        (KeyFlags::RO, "RO"),
        (KeyFlags::RW, "RW"),
        (KeyFlags::OW, "OW"),
        (KeyFlags::RM, "RM"),
        (KeyFlags::ACCESS, "access"),
        (KeyFlags::UPDATE, "update"),
        (KeyFlags::INSERT, "insert"),
        (KeyFlags::DELETE, "delete"),
        (KeyFlags::NOT_KEY, "not_key"),
        (KeyFlags::INCOMPLETE, "incomplete"),
        (KeyFlags::VARIABLE_FLAGS, "variable_flags"),
    ];
}

/// Where some of the keys of a command stand, and what it does with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySpec {
    pub flags: KeyFlags,
    pub begin: Begin,
    pub find: Find,
}

impl KeySpec {
    /// Keys from argument `first` to `first + last` (or counted from the end if `last` is negative), each `step`-th.
    pub const fn range(flags: KeyFlags, first: u8, last: i8, step: u8) -> KeySpec {
        KeySpec {
            flags,
            begin: Begin::Index(first),
            find: Find::Range {
                last,
                step,
                limit: 0,
            },
        }
    }

    /// The single key at argument `at`.
    pub const fn one(flags: KeyFlags, at: u8) -> KeySpec {
        KeySpec::range(flags, at, 0, 1)
    }

    /// A number of keys at argument `at`, and behind it that many keys.
    pub const fn counted(flags: KeyFlags, at: u8) -> KeySpec {
        KeySpec {
            flags,
            begin: Begin::Index(at),
            find: Find::KeyNum {
                keynumidx: 0,
                firstkey: 1,
                step: 1,
            },
        }
    }
}

/// Where the channels of a call stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelSpec {
    pub first: u8,
    /// All arguments from there on are channels.
    pub all: bool,
    /// They are patterns.
    pub pattern: bool,
}

impl ChannelSpec {
    /// The single channel at argument `first`.
    pub const fn one(first: u8) -> ChannelSpec {
        ChannelSpec {
            first,
            all: false,
            pattern: false,
        }
    }

    /// Channels from argument `first` on.
    pub const fn rest(first: u8) -> ChannelSpec {
        ChannelSpec {
            all: true,
            ..ChannelSpec::one(first)
        }
    }

    /// Patterns from argument `first` on.
    pub const fn patterns(first: u8) -> ChannelSpec {
        ChannelSpec {
            pattern: true,
            ..ChannelSpec::rest(first)
        }
    }
}

/// How the search for keys begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// At this argument (0 is the command name).
    Index(u8),
    /// Behind the word, which is looked for from argument `from` on, or, if negative, from the end to the front.
    Keyword {
        word: &'static str,
        from: i8,
    },
    Unknown,
}

/// How the keys are found from where the search begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Find {
    /// `last` relative to the begin, or, if negative, to the number of arguments. With `last` -1, a `limit` of 2 or
    /// more means that only that part of the rest (1/2, 1/3, …) holds keys.
    Range {
        last: i8,
        step: u8,
        limit: u8,
    },
    /// The number of keys at `keynumidx`, the first key at `firstkey`, both relative to the begin.
    KeyNum {
        keynumidx: u8,
        firstkey: u8,
        step: u8,
    },
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: Spec = Spec {
        name: "get",
        arity: 2,
        flags: Flags::READONLY.union(Flags::FAST),
        categories: Categories::STRING,
        keys: &[KeySpec::one(KeyFlags::RO.union(KeyFlags::ACCESS), 1)],
        ..Spec::BLANK
    };

    #[test]
    fn arity_counts_names() {
        assert!(GET.arity_ok(2));
        assert!(!GET.arity_ok(1) && !GET.arity_ok(3));
        let mget = Spec { arity: -2, ..GET };
        assert!(mget.arity_ok(2) && mget.arity_ok(100));
        assert!(!mget.arity_ok(1));
    }

    #[test]
    fn categories_follow_from_flags() {
        assert_eq!(
            GET.all_categories(),
            Categories::STRING | Categories::READ | Categories::FAST
        );
        let shutdown = Spec {
            flags: Flags::ADMIN,
            ..Spec::BLANK
        };
        assert_eq!(
            shutdown.all_categories(),
            Categories::ADMIN | Categories::DANGEROUS | Categories::SLOW
        );
    }

    #[test]
    fn triple_joins_specs_without_a_gap() {
        assert_eq!(GET.key_triple(), (1, 1, 1));
        const LMOVE: &[KeySpec] = &[KeySpec::one(KeyFlags::RW, 1), KeySpec::one(KeyFlags::RW, 2)];
        assert_eq!(Spec { keys: LMOVE, ..GET }.key_triple(), (1, 2, 1));
        const SUNIONSTORE: &[KeySpec] = &[
            KeySpec::one(KeyFlags::OW, 1),
            KeySpec::range(KeyFlags::RO, 2, -1, 1),
        ];
        assert_eq!(
            Spec {
                keys: SUNIONSTORE,
                ..GET
            }
            .key_triple(),
            (1, -1, 1)
        );
        assert_eq!(Spec { keys: &[], ..GET }.key_triple(), (0, 0, 0));
    }

    #[test]
    fn names_are_complete() {
        let all =
            |names: &[(Categories, &str)]| names.iter().fold(Categories::empty(), |a, n| a | n.0);
        assert_eq!(all(Categories::NAMES), Categories::all());
        assert_eq!(
            Categories::by_name(b"SortedSet"),
            Some(Categories::SORTEDSET)
        );
        assert_eq!(Categories::by_name(b"nosuch"), None);
        assert_eq!(
            KeyFlags::NAMES
                .iter()
                .fold(KeyFlags::empty(), |a, n| a | n.0),
            KeyFlags::all()
        );
    }
}
