//! Whether a user may make a call. The keys come from [`keys_of`] and the channels from the row of
//! the command, as for everybody else who needs them.

use super::user::{KeyPattern, Selector, User};
use crate::base::glob;
use crate::command::keys::{Args, KeyList, keys_of};
use crate::command::registry::Command;
use crate::command::spec::{Flags, KeyFlags};

/// What is missing, in the order in which the selectors' answers count: the later one, and of the
/// same kind the later argument, is what is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Denial {
    Command,
    /// The key at this argument.
    Key(usize),
    /// The channel at this argument.
    Channel(usize),
}

impl Denial {
    /// The argument that ACL LOG names, if it is not the command.
    pub fn at(self) -> Option<usize> {
        match self {
            Denial::Command => None,
            Denial::Key(at) | Denial::Channel(at) => Some(at),
        }
    }

    /// What is told to the client, without an error code.
    pub fn text(self, user: &User, command: &Command) -> Vec<u8> {
        match self {
            Denial::Command => {
                let name = format!("run the '{}' command", command.full_name);
                about(user, name.as_bytes())
            }
            Denial::Key(_) => b"No permissions to access a key".to_vec(),
            Denial::Channel(_) => b"No permissions to access a channel".to_vec(),
        }
    }

    /// What ACL DRYRUN tells: it names the key or channel.
    pub fn verbose(self, user: &User, command: &Command, args: &dyn Args) -> Vec<u8> {
        let what = match self {
            Denial::Command => return self.text(user, command),
            Denial::Key(_) => "key",
            Denial::Channel(_) => "channel",
        };
        let object = self.at().map_or(&[][..], |at| args.arg(at));
        about(
            user,
            &[b"access the '", object, b"' ", what.as_bytes()].concat(),
        )
    }

    /// The reply to a command in EXEC that was allowed when it was queued.
    pub fn in_exec(self) -> String {
        let reason = match self {
            Denial::Command => "no permission to execute the command or subcommand",
            Denial::Key(_) => "no permission to touch the specified keys",
            Denial::Channel(_) => {
                "no permission to access one of the channels used as arguments to the command"
            }
        };
        format!(
            "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command is no longer allowed for the following reason: {reason}"
        )
    }
}

fn about(user: &User, what: &[u8]) -> Vec<u8> {
    [b"User ", &*user.name, b" has no permissions to ", what].concat()
}

/// Whether the user may make this call. The number of arguments has passed the command's arity;
/// of a sub-command, `args` begin with the container's name.
#[inline]
pub fn check(user: &User, command: &Command, args: &dyn Args) -> Result<(), Denial> {
    if user.is_unrestricted() {
        return Ok(());
    }
    check_selectors(user, command, args)
}

fn check_selectors(user: &User, command: &Command, args: &dyn Args) -> Result<(), Denial> {
    let mut keys = None;
    let mut worst = Denial::Command;
    for selector in user.all_selectors() {
        match check_selector(selector, command, args, &mut keys) {
            Ok(()) => return Ok(()),
            Err(denial) => worst = worst.max(denial),
        }
    }
    Err(worst)
}

fn check_selector(
    selector: &Selector,
    command: &Command,
    args: &dyn Args,
    keys: &mut Option<KeyList>,
) -> Result<(), Denial> {
    if !may_run(selector, command, args) {
        return Err(Denial::Command);
    }
    if !selector.all_keys {
        let keys = keys.get_or_insert_with(|| keys_to_check(command, args));
        for key in keys.iter() {
            if !may_access(&selector.keys, key.flags, args.arg(key.at)) {
                return Err(Denial::Key(key.at));
            }
        }
    }
    if let Some(channels) = command.spec.channels.filter(|_| !selector.all_channels) {
        let first = usize::from(channels.first);
        let end = if channels.all { args.len() } else { first + 1 };
        for at in first..end.min(args.len()) {
            if !may_use(&selector.channels, args.arg(at), channels.pattern) {
                return Err(Denial::Channel(at));
            }
        }
    }
    Ok(())
}

fn may_run(selector: &Selector, command: &Command, args: &dyn Args) -> bool {
    if selector.allows(command) || command.flags.contains(Flags::NO_AUTH) {
        return true;
    }
    let at = if command.parent.is_some() { 2 } else { 1 };
    at < args.len() && selector.allows_first_arg(command, args.arg(at))
}

/// None, if the call is such that execution will refuse it before it looks at any.
fn keys_to_check(command: &Command, args: &dyn Args) -> KeyList {
    let mut keys = KeyList::new();
    if keys_of(command.spec, args, &mut keys).is_err() {
        keys.clear();
    }
    keys.retain(|key| !key.flags.contains(KeyFlags::NOT_KEY));
    keys
}

fn may_access(patterns: &[KeyPattern], flags: KeyFlags, key: &[u8]) -> bool {
    let reads = flags.contains(KeyFlags::ACCESS);
    let writes = flags.intersects(KeyFlags::INSERT | KeyFlags::DELETE | KeyFlags::UPDATE);
    patterns.iter().any(|known| {
        (known.read || !reads)
            && (known.write || !writes)
            && glob::matches(&known.pattern, key, false)
    })
}

/// A pattern to subscribe to must be one of the user's, to the letter.
fn may_use(known: &[Vec<u8>], channel: &[u8], is_pattern: bool) -> bool {
    known.iter().any(|known| {
        if is_pattern {
            known == channel
        } else {
            glob::matches(known, channel, false)
        }
    })
}

/// Whether the user may keep subscriptions to all these channels, or, with `is_pattern`, patterns.
/// Each may come from another selector.
pub fn may_channels<'c>(
    user: &User,
    mut channels: impl Iterator<Item = &'c [u8]>,
    is_pattern: bool,
) -> bool {
    user.all_selectors().any(|selector| selector.all_channels)
        || channels.all(|channel| {
            user.all_selectors()
                .any(|selector| may_use(&selector.channels, channel, is_pattern))
        })
}

/// Whether the user may make this call and read every key there is: for commands that make names
/// of keys from values, as SORT does with BY and GET.
pub fn may_read_all_keys(user: &User, command: &Command, args: &dyn Args) -> bool {
    user.is_unrestricted()
        || user.all_selectors().any(|selector| {
            let all = |known: &KeyPattern| known.read && known.pattern == b"*";
            (selector.all_keys || selector.keys.iter().any(all))
                && check_selector(selector, command, args, &mut None).is_ok()
        })
}

/// Whether that holds for every key.
pub fn may_know_all_keys(user: &User) -> bool {
    user.all_selectors().any(|selector| selector.all_keys)
}

/// Whether the user may be told that this key exists or has changed: some selector lets it read or
/// write the key.
pub fn may_know_key(user: &User, key: &[u8]) -> bool {
    user.all_selectors()
        .any(|selector| selector.all_keys || may_access(&selector.keys, KeyFlags::empty(), key))
}
