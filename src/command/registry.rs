//! All commands: the families' tables joined, a dense id for each command and sub-command, and the look-up by name.
//!
//! [`all`] is the same for the whole process and never changes. What a server calls its commands (`rename-command`) and
//! which of them it has (Sentinel) is in its own [`Names`].

use std::sync::LazyLock;

use super::introspect;
use super::keys::Args;
use super::spec::{Categories, Flags, Spec};

/// The tables of the families, one line each.
const TABLES: &[&[Spec]] = &[introspect::TABLE];

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
    /// Ids of the sub-commands: `subs.0..subs.1`.
    subs: (u16, u16),
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
#[derive(Clone, Copy)]
pub enum Unknown {
    Command,
    /// The container is there, and has no such sub-command.
    Sub(&'static Command),
}

/// Names are compared in this form: lower case, filled up with zeros, the length in the last byte.
type Folded = [u8; 32];

/// Slots of the hash table, more than twice the number of commands, so that nearly every name is found at the first.
const SLOTS: usize = 1024;

/// The names under which a server has its commands: the look-up of every call.
///
/// Open addressing over folded names; the set of names is ours, so the hash need not be keyed. About 10 ns a look-up.
pub struct Names {
    slots: Box<[Option<u16>; SLOTS]>,
    names: Vec<Name>,
}

struct Name {
    folded: Folded,
    /// In lower case, if it is too long to be folded. Only `rename-command` makes such names; they are few.
    long: Option<Box<[u8]>>,
    command: &'static Command,
}

impl Name {
    fn new(name: &[u8], command: &'static Command) -> Name {
        match fold(name) {
            Some(folded) => Name {
                folded,
                long: None,
                command,
            },
            None => Name {
                folded: [0; 32],
                long: Some(name.to_ascii_lowercase().into()),
                command,
            },
        }
    }
}

impl Default for Names {
    fn default() -> Names {
        Names::new(|_| true)
    }
}

impl Names {
    /// The commands that `serves` accepts, under their own names.
    pub fn new(serves: impl Fn(&Command) -> bool) -> Names {
        let mut names = Names {
            slots: Box::new([None; SLOTS]),
            names: Vec::new(),
        };
        names.names = commands()
            .filter(|c| serves(c))
            .map(|c| Name::new(c.spec.name.as_bytes(), c))
            .collect();
        names.index();
        names
    }

    /// The command of that name, in any case; never a sub-command.
    #[inline]
    pub fn lookup(&self, name: &[u8]) -> Option<&'static Command> {
        let Some(folded) = fold(name) else {
            return self.lookup_long(name);
        };
        let mut at = hash(&folded);
        while let Some(entry) = self.slots[at] {
            let known = &self.names[usize::from(entry)];
            if known.folded == folded {
                return Some(known.command);
            }
            at = (at + 1) % SLOTS;
        }
        None
    }

    #[cold]
    fn lookup_long(&self, name: &[u8]) -> Option<&'static Command> {
        let is_it = |known: &&Name| {
            known
                .long
                .as_ref()
                .is_some_and(|long| long.eq_ignore_ascii_case(name))
        };
        self.names.iter().find(is_it).map(|known| known.command)
    }

    /// The command that a call reaches: the sub-command, if the first argument names a container and there is a second.
    /// `args` hold at least the name.
    #[inline]
    pub fn find(&self, args: &dyn Args) -> Result<&'static Command, Unknown> {
        let command = self.lookup(args.arg(0)).ok_or(Unknown::Command)?;
        if !command.spec.is_container() || args.len() < 2 {
            return Ok(command);
        }
        command.sub(args.arg(1)).ok_or(Unknown::Sub(command))
    }

    /// The command or sub-command by its full name, `config` or `config|get`.
    pub fn by_full_name(&self, name: &[u8]) -> Option<&'static Command> {
        match name.iter().position(|&b| b == b'|') {
            None => self.lookup(name),
            Some(bar) => self.lookup(&name[..bar])?.sub(&name[bar + 1..]),
        }
    }

    /// All commands of this server, in the order of the tables.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'static Command> + '_ {
        self.names.iter().map(|name| name.command)
    }

    /// `rename-command`: gives the command another name, or, with an empty one, takes it away.
    pub fn rename(&mut self, old: &[u8], new: &[u8]) -> Result<(), RenameError> {
        let command = self.lookup(old).ok_or(RenameError::NoSuchCommand)?;
        if !new.is_empty() && self.lookup(new).is_some() {
            return Err(RenameError::Taken);
        }
        // One command has one name.
        self.names.retain(|name| name.command.id != command.id);
        if !new.is_empty() {
            self.names.push(Name::new(new, command));
        }
        self.index();
        Ok(())
    }

    fn index(&mut self) {
        assert!(
            self.names.len() < SLOTS,
            "the table of names keeps a free slot"
        );
        self.slots.fill(None);
        for (entry, name) in self
            .names
            .iter()
            .enumerate()
            .filter(|(_, name)| name.long.is_none())
        {
            let mut at = hash(&name.folded);
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

#[inline]
fn fold(name: &[u8]) -> Option<Folded> {
    let mut folded = [0; 32];
    folded[..31].get_mut(..name.len())?.copy_from_slice(name);
    folded.make_ascii_lowercase();
    // So that a name with zeros at its end is not taken for the one without.
    folded[31] = name.len() as u8;
    Some(folded)
}

#[inline]
fn hash(folded: &Folded) -> usize {
    let (words, _) = folded.as_chunks::<8>();
    let mixed = words.iter().fold(0u64, |mixed, word| {
        (mixed.rotate_left(5) ^ u64::from_le_bytes(*word)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    });
    (mixed >> 54) as usize
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
