//! The grammar of ACL SETUSER, the ACL file and `user` lines: one rule is one word, and rules take
//! effect in their order.
//!
//! Stricter than Redis in two points, because what it takes there cannot be read back from its own
//! file: a word inside of parentheses must not end with `)`, and a first argument has no space.

use std::fmt;

use super::secret;
use super::user::{Defaults, KeyPattern, Selector, User, has_space};
use crate::command::registry::{self, Command};
use crate::command::spec::Categories;

/// Why a rule cannot be applied. `Display` is Redis' text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleError {
    Unknown,
    Syntax,
    KeysAreAll,
    ChannelsAreAll,
    NoSuchPassword,
    BadHash,
    FirstArgOfSub,
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RuleError::Unknown => "Unknown command or category name in ACL",
            RuleError::Syntax => "Syntax error",
            RuleError::KeysAreAll => {
                "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. Try 'resetkeys' to start with an empty list of patterns"
            }
            RuleError::ChannelsAreAll => {
                "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any effect. Try 'resetchannels' to start with an empty list of channels"
            }
            RuleError::NoSuchPassword => {
                "The password you are trying to remove from the user does not exist"
            }
            RuleError::BadHash => {
                "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters"
            }
            RuleError::FirstArgOfSub => "Allowing first-arg of a subcommand is not supported",
        })
    }
}

type Applied = Result<(), RuleError>;

/// Joins words that belong to one selector: from one that begins with `(` to one that ends with
/// `)`. The error is the word that opened what nothing closes.
pub fn join_selectors<'a, W: AsRef<[u8]> + 'a + ?Sized>(
    words: impl IntoIterator<Item = &'a W>,
) -> Result<Vec<Vec<u8>>, &'a [u8]> {
    let mut joined: Vec<Vec<u8>> = Vec::new();
    let mut open: Option<(&[u8], Vec<u8>)> = None;
    for word in words {
        let word = word.as_ref();
        let text = match open.take() {
            Some((first, mut text)) => {
                text.push(b' ');
                text.extend_from_slice(word);
                Some((first, text))
            }
            None => word.starts_with(b"(").then(|| (word, word.to_vec())),
        };
        match text {
            Some((_, text)) if word.ends_with(b")") => joined.push(text),
            Some(unclosed) => open = Some(unclosed),
            None => joined.push(word.to_vec()),
        }
    }
    match open {
        Some((first, _)) => Err(first),
        None => Ok(joined),
    }
}

/// Applies rules in order; the first that fails is in the error, and those before it have been
/// applied: the caller works on a copy.
pub fn apply_all<'r>(
    user: &mut User,
    rules: &'r [Vec<u8>],
    defaults: Defaults,
) -> Result<(), (&'r [u8], RuleError)> {
    for rule in rules {
        apply(user, rule, defaults).map_err(|error| (rule.as_slice(), error))?;
    }
    Ok(())
}

fn apply(user: &mut User, rule: &[u8], defaults: Defaults) -> Applied {
    match rule {
        [] => {}
        [b'>', password @ ..] => add_password(user, secret::digest(password)),
        [b'<', password @ ..] => remove_password(user, secret::digest(password))?,
        [b'#', hash @ ..] => {
            add_password(user, secret::from_hex(hash).ok_or(RuleError::BadHash)?);
        }
        [b'!', hash @ ..] => {
            let digest = secret::from_hex(hash).ok_or(RuleError::BadHash)?;
            remove_password(user, digest)?;
        }
        [b'(', inner @ .., b')'] => {
            let mut selector = Selector::new(defaults);
            for word in inner.split(|b| *b == b' ') {
                if word.ends_with(b")") {
                    return Err(RuleError::Syntax);
                }
                apply_to_selector(&mut selector, word)?;
            }
            user.selectors.push(selector);
        }
        _ => match rule.to_ascii_lowercase().as_slice() {
            b"on" => user.enabled = true,
            b"off" => user.enabled = false,
            b"nopass" => {
                user.nopass = true;
                user.passwords.clear();
            }
            b"resetpass" => reset_passwords(user),
            b"skip-sanitize-payload" => user.skip_sanitize = true,
            b"sanitize-payload" => user.skip_sanitize = false,
            b"clearselectors" => user.selectors.clear(),
            b"reset" => *user = User::new(&user.name, defaults),
            _ => apply_to_selector(&mut user.root, rule)?,
        },
    }
    Ok(())
}

fn add_password(user: &mut User, digest: secret::Digest) {
    if !user.passwords.contains(&digest) {
        user.passwords.push(digest);
    }
    user.nopass = false;
}

fn remove_password(user: &mut User, digest: secret::Digest) -> Applied {
    let at = user.passwords.iter().position(|known| *known == digest);
    user.passwords.remove(at.ok_or(RuleError::NoSuchPassword)?);
    Ok(())
}

fn reset_passwords(user: &mut User) {
    user.nopass = false;
    user.passwords.clear();
}

fn apply_to_selector(selector: &mut Selector, rule: &[u8]) -> Applied {
    let word = rule.to_ascii_lowercase();
    match word.as_slice() {
        b"" => {}
        b"allkeys" | b"~*" => {
            selector.all_keys = true;
            selector.keys.clear();
        }
        b"resetkeys" => {
            selector.all_keys = false;
            selector.keys.clear();
        }
        b"allchannels" | b"&*" => {
            selector.all_channels = true;
            selector.channels.clear();
        }
        b"resetchannels" => {
            selector.all_channels = false;
            selector.channels.clear();
        }
        b"allcommands" | b"+@all" => selector.set_all_commands(true),
        b"nocommands" | b"-@all" => selector.set_all_commands(false),
        _ => match rule {
            [b'~' | b'%', ..] => add_keys(selector, rule)?,
            [b'&', pattern @ ..] => add_channels(selector, pattern)?,
            [sign @ (b'+' | b'-'), b'@', name @ ..] => set_category(selector, name, *sign == b'+')?,
            [b'+', name @ ..] => add_command(selector, name)?,
            [b'-', name @ ..] => {
                let command = command(name).ok_or(RuleError::Unknown)?;
                selector.set_command(command, false);
            }
            _ => return Err(RuleError::Syntax),
        },
    }
    Ok(())
}

fn set_category(selector: &mut Selector, name: &[u8], allow: bool) -> Applied {
    let (category, name) = Categories::NAMES
        .iter()
        .find(|(_, known)| known.as_bytes().eq_ignore_ascii_case(name))
        .ok_or(RuleError::Unknown)?;
    selector.set_category(*category, name, allow);
    Ok(())
}

/// By the name that the command has in Redis, whatever `rename-command` made of it.
fn command(name: &[u8]) -> Option<&'static Command> {
    registry::all()
        .iter()
        .find(|command| command.full_name.as_bytes().eq_ignore_ascii_case(name))
}

/// `get`, `config|get`, or, with a first argument, `select|0`.
fn add_command(selector: &mut Selector, name: &[u8]) -> Applied {
    if let Some(command) = command(name) {
        selector.set_command(command, true);
        return Ok(());
    }
    let bar = name.iter().rposition(|b| *b == b'|');
    let (name, arg) = name.split_at(bar.ok_or(RuleError::Unknown)?);
    let (command, arg) = (command(name).ok_or(RuleError::Unknown)?, &arg[1..]);
    if command.parent.is_some() {
        return Err(RuleError::FirstArgOfSub);
    }
    if arg.is_empty() || has_space(arg) {
        return Err(RuleError::Syntax);
    }
    if command.spec.is_container() {
        return Err(RuleError::Unknown);
    }
    selector.add_first_arg(command, arg);
    Ok(())
}

/// `~pattern`, `%R~pattern`, `%W~pattern`, `%RW~pattern`.
fn add_keys(selector: &mut Selector, rule: &[u8]) -> Applied {
    if selector.all_keys {
        return Err(RuleError::KeysAreAll);
    }
    let (read, write, pattern) = match rule {
        [b'%', rest @ ..] => read_access(rest)?,
        _ => (true, true, &rule[1..]),
    };
    if has_space(pattern) {
        return Err(RuleError::Syntax);
    }
    match selector.keys.iter_mut().find(|k| k.pattern == pattern) {
        Some(known) => {
            known.read |= read;
            known.write |= write;
        }
        None => selector.keys.push(KeyPattern {
            pattern: pattern.to_vec(),
            read,
            write,
        }),
    }
    Ok(())
}

/// What stands behind `%`: letters, each once, and the pattern behind `~`. Letters alone stand for
/// an empty pattern, as in Redis.
fn read_access(text: &[u8]) -> Result<(bool, bool, &[u8]), RuleError> {
    let (mut read, mut write) = (false, false);
    for (at, b) in text.iter().enumerate() {
        match b {
            b'R' | b'r' if !read => read = true,
            b'W' | b'w' if !write => write = true,
            b'~' if read || write => return Ok((read, write, &text[at + 1..])),
            _ => return Err(RuleError::Syntax),
        }
    }
    if read || write {
        Ok((read, write, &[]))
    } else {
        Err(RuleError::Syntax)
    }
}

fn add_channels(selector: &mut Selector, pattern: &[u8]) -> Applied {
    if selector.all_channels {
        return Err(RuleError::ChannelsAreAll);
    }
    if has_space(pattern) {
        return Err(RuleError::Syntax);
    }
    if !selector.channels.iter().any(|known| known == pattern) {
        selector.channels.push(pattern.to_vec());
    }
    Ok(())
}
