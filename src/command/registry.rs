//! All commands: the families' tables joined, a dense id for each command and sub-command, and the look-up by name.
//!
//! [`all`] is the same for the whole process and never changes. What a server calls its commands (`rename-command`) and
//! which of them it has (Sentinel) is in its own [`Names`].

use std::fmt;
use std::sync::LazyLock;

use super::keys::Args;
use super::spec::{Categories, Flags, Spec};
use crate::config::LoadError;
use crate::config::load::FileLine;

/// The tables of the families, one line each.
#[rustfmt::skip]
const TABLES: &[&[Spec]] = &[
    super::acl::TABLE,
    super::aof::TABLE,
    super::bitmap::TABLE,
    super::client::TABLE,
    super::config::TABLE,
    super::cluster::TABLE,
    super::connection::TABLE,
    super::debug::TABLE,
    super::dump::TABLE,
    super::ferrite::TABLE,
    super::generic::TABLE,
    super::geo::TABLE,
    super::hash::TABLE,
    super::hyperloglog::TABLE,
    super::info::TABLE,
    super::introspect::TABLE,
    super::latency::TABLE,
    super::list::TABLE,
    super::memory::TABLE,
    super::module::TABLE,
    super::persistence::TABLE,
    super::pubsub::TABLE,
    super::replication::TABLE,
    super::sentinel::TABLE,
    super::scripting::TABLE,
    super::server::TABLE,
    super::set::TABLE,
    super::slowlog::TABLE,
    super::stream::TABLE,
    super::string::TABLE,
    super::transactions::TABLE,
    super::zset::TABLE,
];

/// A command or sub-command with what is derived from its row once and for all.
pub struct Command {
    /// Dense over commands and sub-commands: an index for arrays of statistics and rights.
    pub id: u16,
    pub spec: &'static Spec,
    /// `client|kill`; of a command its name.
    pub full_name: String,
    /// The container of a sub-command.
    pub parent: Option<u16>,
    /// The flags with the derived ones.
    pub flags: Flags,
    /// The categories with the derived ones.
    pub categories: Categories,
    /// The place of the key, if there is always one and at this place.
    pub only_key: Option<u8>,
    /// Ids of the sub-commands: `subs.0..subs.1`.
    subs: (u16, u16),
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.full_name)
    }
}

impl Command {
    /// The sub-commands, in the order of the row.
    pub fn subs(&self) -> &'static [Command] {
        &all()[usize::from(self.subs.0)..usize::from(self.subs.1)]
    }

    /// The sub-command of that name, in any case.
    pub fn sub(&self, name: &[u8]) -> Option<&'static Command> {
        self.subs()
            .iter()
            .find(|c| c.spec.name.as_bytes().eq_ignore_ascii_case(name))
    }

    /// Its replies are messages, which reach even clients that want no replies.
    pub fn replies_by_push(&self) -> bool {
        self.flags.contains(Flags::PUBSUB) && self.spec.name.ends_with("subscribe")
    }

    /// The container of a sub-command.
    pub fn container(&self) -> Option<&'static Command> {
        self.parent.map(|id| &all()[usize::from(id)])
    }
}

static ALL: LazyLock<Vec<Command>> = LazyLock::new(|| {
    let rows = TABLES.iter().copied().flatten();
    let mut commands: Vec<Command> = rows.map(|spec| command(spec, None)).collect();
    for at in 0..commands.len() {
        let (parent, spec, first) = (id(at), commands[at].spec, id(commands.len()));
        commands.extend(
            spec.subs
                .iter()
                .map(|sub| command(sub, Some((parent, spec)))),
        );
        commands[at].subs = (first, id(commands.len()));
    }
    for (at, command) in commands.iter_mut().enumerate() {
        command.id = id(at);
    }
    commands
});

fn id(at: usize) -> u16 {
    u16::try_from(at).expect("less than 65,536 commands")
}

fn command(spec: &'static Spec, container: Option<(u16, &'static Spec)>) -> Command {
    Command {
        id: 0,
        spec,
        full_name: container.map_or_else(
            || spec.name.to_owned(),
            |(_, c)| format!("{}|{}", c.name, spec.name),
        ),
        parent: container.map(|(id, _)| id),
        flags: spec.all_flags(),
        categories: spec.all_categories(),
        only_key: spec.only_key(),
        subs: (0, 0),
    }
}

/// Every command and sub-command; the index is the id. The commands stand before all sub-commands.
pub fn all() -> &'static [Command] {
    &ALL
}

/// The commands without the sub-commands.
pub fn commands() -> impl Iterator<Item = &'static Command> {
    all().iter().take_while(|c| c.parent.is_none())
}

/// Why a call names no command.
#[derive(Clone, Copy, Debug)]
pub enum Unknown {
    Command,
    /// The container is there, and has no such sub-command.
    Sub(&'static Command),
}

/// A name of up to 16 bytes in lower case: its first and last eight bytes (four, or all, of shorter ones), which with the
/// length are the whole name. Read this way no bytes are copied and no name is hashed byte by byte.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Folded {
    first: u64,
    last: u64,
    len: usize,
}

/// Slots of the hash table, more than twice the number of commands, so that nearly every name is found at the first.
const SLOTS: usize = 1024;

/// The names under which a server has its commands: the look-up of every call, about 6 ns.
///
/// Open addressing over folded names; the set of names is ours, so the hash need not be keyed.
pub struct Names {
    slots: Box<[Option<u16>; SLOTS]>,
    short: Vec<(Folded, &'static Command)>,
    /// Longer ones, in lower case: two, and what `rename-command` makes of others.
    long: Vec<(Box<[u8]>, &'static Command)>,
    /// Sub-commands that this server has not, though it has their container.
    hidden: Vec<u16>,
}

impl Default for Names {
    fn default() -> Names {
        Names::new(super::sentinel::is_for_servers)
    }
}

impl Names {
    /// The commands that `serves` accepts, under their own names.
    pub fn new(serves: impl Fn(&Command) -> bool) -> Names {
        let mut names = Names {
            slots: Box::new([None; SLOTS]),
            short: Vec::new(),
            long: Vec::new(),
            hidden: Vec::new(),
        };
        let subs = all().iter().filter(|c| c.parent.is_some());
        names
            .hidden
            .extend(subs.filter(|c| !serves(c)).map(|c| c.id));
        for command in commands().filter(|c| serves(c)) {
            names.add(command.spec.name.as_bytes(), command);
        }
        names.index();
        names
    }

    fn add(&mut self, name: &[u8], command: &'static Command) {
        match fold(name) {
            Some(folded) => self.short.push((folded, command)),
            None => self.long.push((name.to_ascii_lowercase().into(), command)),
        }
    }

    /// The command of that name, in any case; never a sub-command.
    #[inline]
    pub fn lookup(&self, name: &[u8]) -> Option<&'static Command> {
        let Some(folded) = fold(name) else {
            return self.lookup_long(name);
        };
        let mut at = hash(&folded);
        while let Some(entry) = self.slots[at] {
            let (known, command) = &self.short[usize::from(entry)];
            if *known == folded {
                return Some(command);
            }
            at = (at + 1) % SLOTS;
        }
        None
    }

    #[cold]
    fn lookup_long(&self, name: &[u8]) -> Option<&'static Command> {
        self.long
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, command)| *command)
    }

    /// The command that a call reaches: the sub-command, if the first argument names a container and there is a second.
    /// `args` hold at least the name.
    #[inline]
    pub fn find<A: Args + ?Sized>(&self, args: &A) -> Result<&'static Command, Unknown> {
        let command = self.lookup(args.arg(0)).ok_or(Unknown::Command)?;
        if !command.spec.is_container() || args.len() < 2 {
            return Ok(command);
        }
        self.sub(command, args.arg(1)).ok_or(Unknown::Sub(command))
    }

    /// The sub-command of that name, if this server has it.
    fn sub(&self, command: &'static Command, name: &[u8]) -> Option<&'static Command> {
        let alias = (command.spec.name == "sentinel")
            .then(|| super::sentinel::alias(name))
            .flatten();
        command
            .sub(alias.unwrap_or(name))
            .filter(|sub| self.hidden.is_empty() || !self.hidden.contains(&sub.id))
    }

    /// The sub-commands of a container that this server has.
    pub fn subs(&self, command: &'static Command) -> impl Iterator<Item = &'static Command> + '_ {
        let subs = command.subs().iter();
        subs.filter(|sub| !self.hidden.contains(&sub.id))
    }

    /// The command or sub-command by its full name, `config` or `config|get`.
    pub fn by_full_name(&self, name: &[u8]) -> Option<&'static Command> {
        match name.iter().position(|&b| b == b'|') {
            None => self.lookup(name),
            Some(bar) => self.sub(self.lookup(&name[..bar])?, &name[bar + 1..]),
        }
    }

    /// Number of commands of this server, without sub-commands.
    pub fn len(&self) -> usize {
        self.short.len() + self.long.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All commands of this server.
    pub fn iter(&self) -> impl Iterator<Item = &'static Command> + '_ {
        self.short
            .iter()
            .map(|(_, command)| *command)
            .chain(self.long.iter().map(|(_, command)| *command))
    }

    /// The names that the `rename-command` lines of a configuration make.
    ///
    /// # Errors
    /// At the first line that cannot be followed.
    pub fn configured(lines: &[FileLine]) -> Result<Names, LoadError> {
        let mut names = Names::default();
        for line in lines {
            if let [from, to] = line.words.as_slice() {
                let renamed = names.rename(from, to);
                renamed.map_err(|why| line.error(why.reason()))?;
            }
        }
        Ok(names)
    }

    /// `rename-command`: gives the command another name, or, with an empty one, takes it away.
    pub fn rename(&mut self, old: &[u8], new: &[u8]) -> Result<(), RenameError> {
        let command = self.lookup(old).ok_or(RenameError::NoSuchCommand)?;
        if !new.is_empty() && self.lookup(new).is_some() {
            return Err(RenameError::Taken);
        }
        // One command has one name.
        self.short.retain(|(_, known)| known.id != command.id);
        self.long.retain(|(_, known)| known.id != command.id);
        if !new.is_empty() {
            self.add(new, command);
        }
        self.index();
        Ok(())
    }

    fn index(&mut self) {
        assert!(
            self.short.len() < SLOTS,
            "the table of names keeps a free slot"
        );
        self.slots.fill(None);
        for (entry, (name, _)) in self.short.iter().enumerate() {
            let mut at = hash(name);
            while self.slots[at].is_some() {
                at = (at + 1) % SLOTS;
            }
            self.slots[at] = Some(id(entry));
        }
    }
}

/// Why a command cannot be renamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenameError {
    NoSuchCommand,
    /// Another command has the name.
    Taken,
}

impl RenameError {
    fn reason(self) -> &'static str {
        match self {
            RenameError::NoSuchCommand => "No such command in rename-command",
            RenameError::Taken => "Target command name already exists",
        }
    }
}

#[inline]
fn fold(name: &[u8]) -> Option<Folded> {
    let len = name.len();
    let (first, last) = if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
        if len > 16 {
            return None;
        }
        (u64::from_le_bytes(*first), u64::from_le_bytes(*last))
    } else if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
        (
            u64::from(u32::from_le_bytes(*first)),
            u64::from(u32::from_le_bytes(*last)),
        )
    } else if let [first, .., last] = *name {
        (
            u64::from_le_bytes([first, name[len / 2], last, 0, 0, 0, 0, 0]),
            0,
        )
    } else {
        (name.first().map_or(0, |&only| u64::from(only)), 0)
    };
    Some(Folded {
        first: lower(first),
        last: lower(last),
        len,
    })
}

/// Eight bytes with ASCII letters in lower case.
#[inline]
const fn lower(bytes: u64) -> u64 {
    const EACH: u64 = u64::MAX / 255;
    let low = bytes & (0x7f * EACH);
    // Bit 7 of each byte: at least `A`, more than `Z`; neither sum carries into the next byte.
    let from_a = low + (0x80 - b'A' as u64) * EACH;
    let past_z = low + (0x7f - b'Z' as u64) * EACH;
    let upper = (from_a ^ past_z) & !bytes & (0x80 * EACH);
    bytes | (upper >> 2)
}

#[inline]
fn hash(name: &Folded) -> usize {
    let mixed = (name.first ^ name.last.rotate_left(29) ^ name.len as u64)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed ^ (mixed >> 32)).wrapping_mul(0xff51_afd7_ed55_8ccd) >> 54) as usize
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
