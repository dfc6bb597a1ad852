//! Users in files: the ACL file, one `user` line each and nothing else, and the `user` lines of the
//! configuration. Both are taken as a whole or not at all.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::rules::{self, RuleError};
use super::user::{Defaults, User};
use super::{DEFAULT, Users};
use crate::base::atomic_replace::atomic_replace;
use crate::config::enums::AclPubsubDefault;
use crate::config::line::quote;
use crate::config::setting::os_reason;
use crate::config::{Config, LoadError};

/// What the configuration gives to new users.
pub fn defaults(config: &Config) -> Defaults {
    Defaults {
        all_channels: config.acl_pubsub_default == AclPubsubDefault::AllChannels,
    }
}

/// The users as the configuration declares them: `requirepass` and `user` lines.
pub fn from_config(config: &Config) -> Result<Users, LoadError> {
    let defaults = defaults(config);
    let mut users = Users::new(&config.requirepass);
    let mut seen: BTreeSet<&[u8]> = BTreeSet::new();
    for line in &config.users {
        let fail = |word: &[u8], reason: &str| {
            let word = String::from_utf8_lossy(word);
            Err(line.error(format!("Error in user declaration '{word}': {reason}")))
        };
        let Some((name, words)) = line.words.split_first() else {
            return fail(b"", "a user needs a name");
        };
        if !User::is_name(name) {
            return fail(name, "Spaces not allowed in ACL usernames");
        }
        if !seen.insert(name) {
            let reason = "Duplicate user found. A user can only be defined once in config files";
            return fail(name, reason);
        }
        match declared(name, words.iter().map(Vec::as_slice), defaults) {
            Ok(user) => users.put(Arc::new(user)),
            // A rule may be a password.
            Err(Bad::Rule(rule, error)) if rule.starts_with(b"+") || rule.starts_with(b"-") => {
                return fail(&rule, &error.to_string());
            }
            Err(Bad::Rule(_, error)) => return fail(name, &error.to_string()),
            Err(Bad::Unclosed) => return fail(name, UNCLOSED),
        }
    }
    if !config.users.is_empty() && !config.aclfile.is_empty() {
        let reason = "Configuring Redis with users defined in redis.conf and at the same setting an ACL file path is invalid. This setup is very likely to lead to configuration errors and security holes, please define either an ACL file or declare users directly in your redis.conf, but not both.";
        return Err(LoadError::Whole {
            reason: reason.into(),
        });
    }
    Ok(users)
}

const UNCLOSED: &str = "Unmatched parenthesis in selector definition.";

enum Bad {
    Rule(Vec<u8>, RuleError),
    Unclosed,
}

/// A new user with these rules.
fn declared<'w>(
    name: &[u8],
    words: impl Iterator<Item = &'w [u8]>,
    defaults: Defaults,
) -> Result<User, Bad> {
    let words = rules::join_selectors(words).map_err(|_| Bad::Unclosed)?;
    let mut user = User::new(name, defaults);
    rules::apply_all(&mut user, &words, defaults)
        .map_err(|(rule, error)| Bad::Rule(rule.to_vec(), error))?;
    Ok(user)
}

/// The users of the server at its start; the ACL file, if there is one, is read.
pub fn at_start(config: &Config) -> Result<Users, String> {
    let users = from_config(config).map_err(|error| error.to_string())?;
    if config.aclfile.is_empty() {
        return Ok(users);
    }
    read(config).map_err(|reason| format!("Aborting Redis startup because of ACL errors: {reason}"))
}

/// What is wrong with the ACL file of a configuration that is only looked at. A file that cannot be
/// read is found by others.
pub fn faults(config: &Config) -> Option<String> {
    let path = Path::new(&config.dir).join(&config.aclfile);
    let text = std::fs::read(path)
        .ok()
        .filter(|_| !config.aclfile.is_empty())?;
    parse(&text, &config.aclfile, b"", defaults(config)).err()
}

/// Reads the ACL file. A file that does not declare the user `default` leaves it with
/// `requirepass`. (Redis lets everybody in then.)
pub fn read(config: &Config) -> Result<Users, String> {
    let path = &config.aclfile;
    let text = std::fs::read(path).map_err(|error| {
        let reason = os_reason(&error);
        format!("Error loading ACLs, opening file '{path}': {reason}")
    })?;
    parse(&text, path, &config.requirepass, defaults(config))
}

/// All errors of a file in one text, one for each bad line.
fn parse(text: &[u8], path: &str, requirepass: &[u8], defaults: Defaults) -> Result<Users, String> {
    let mut users = Users::new(requirepass);
    let mut seen: BTreeSet<&[u8]> = BTreeSet::new();
    let mut errors = String::new();
    for (number, line) in text.split(|b| *b == b'\n').enumerate() {
        let line = trim(line);
        if line.is_empty() {
            continue;
        }
        let number = number + 1;
        let mut words = line.split(|b| *b == b' ');
        let (Some(b"user"), Some(name)) = (words.next(), words.next()) else {
            errors += &format!(
                "{path}:{number} should start with user keyword followed by the username. "
            );
            continue;
        };
        if !User::is_name(name) {
            let name = String::from_utf8_lossy(name);
            errors += &format!("{path}:{number}: username '{name}' contains invalid characters. ");
            continue;
        }
        if !seen.insert(name) {
            let name = String::from_utf8_lossy(name);
            errors += &format!("WARNING: Duplicate user '{name}' found on line {number}. ");
            continue;
        }
        match declared(name, words, defaults) {
            Ok(user) => users.put(Arc::new(user)),
            Err(Bad::Unclosed) => errors += &format!("{path}:{number}: {UNCLOSED} "),
            Err(Bad::Rule(rule, error @ RuleError::Unknown)) => {
                let rule = String::from_utf8_lossy(&rule);
                errors +=
                    &format!("{path}:{number}: Error in applying operation '{rule}': {error}. ");
            }
            Err(Bad::Rule(_, error)) => errors += &format!("{path}:{number}: {error}. "),
        }
    }
    if errors.is_empty() {
        Ok(users)
    } else {
        Err(errors
            + "WARNING: ACL errors detected, no change to the previously active ACL rules was performed")
    }
}

fn trim(line: &[u8]) -> &[u8] {
    let is_space = |b: &u8| matches!(b, b' ' | b'\t' | b'\r');
    let begin = line.iter().position(|b| !is_space(b)).unwrap_or(line.len());
    let end = line
        .iter()
        .rposition(|b| !is_space(b))
        .map_or(begin, |at| at + 1);
    &line[begin..end]
}

/// Replaces the ACL file.
pub fn write(users: &Users, path: &str) -> std::io::Result<()> {
    let mut text = Vec::new();
    for user in users.iter() {
        text.extend(user.line());
        text.push(b'\n');
    }
    // Through a symbolic link, so that the link stays one.
    let path = Path::new(path);
    let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    atomic_replace(&target, &text)
}

/// The `user` lines for CONFIG REWRITE; none, if there is an ACL file. The user `default` is left
/// out while it is what `requirepass` alone makes of it: a line would take precedence over a
/// `requirepass` that somebody changes in the file.
pub fn config_lines(users: &Users, config: &Config) -> Vec<Vec<u8>> {
    if !config.aclfile.is_empty() {
        return Vec::new();
    }
    let plain = Users::new(&config.requirepass).default_user().line();
    let stated = users
        .iter()
        .filter(|user| &*user.name != DEFAULT || user.line() != plain);
    stated
        .map(|user| {
            let mut line = b"user".to_vec();
            for word in std::iter::once(user.name.to_vec()).chain(user.rules()) {
                line.push(b' ');
                line.extend(as_word(word));
            }
            line
        })
        .collect()
}

/// The word, quoted if it would not be read back as it is.
fn as_word(word: Vec<u8>) -> Vec<u8> {
    let is_plain = |b: &u8| (b' '..=b'~').contains(b) && !matches!(b, b'"' | b'\'' | b'\\');
    if !word.is_empty() && word.iter().all(is_plain) {
        word
    } else {
        quote(&word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &[u8]) -> Result<Vec<String>, String> {
        let users = parse(text, "f", b"", Defaults::default())?;
        Ok(lines(&users))
    }

    fn lines(users: &Users) -> Vec<String> {
        users
            .iter()
            .map(|user| String::from_utf8_lossy(&user.line()).into_owned())
            .collect()
    }

    const DEFAULT_LINE: &str = "user default on nopass sanitize-payload ~* &* +@all";
    const END: &str =
        "WARNING: ACL errors detected, no change to the previously active ACL rules was performed";

    #[test]
    fn a_file_is_read_as_a_whole() {
        let text = b"\n \t\r\nuser b on (+get ~x) &c +@read -get\r\n  user a";
        let expected = [
            "user a off sanitize-payload resetchannels -@all",
            "user b on sanitize-payload resetchannels &c -@all +@read -get (~x resetchannels -@all +get)",
            DEFAULT_LINE,
        ];
        assert_eq!(parsed(text).unwrap(), expected);
        assert_eq!(parsed(b"").unwrap(), [DEFAULT_LINE]);
    }

    #[test]
    fn every_bad_line_is_named() {
        let cases: [(&[u8], &str); 9] = [
            (
                b"user a +foo\n#x",
                "f:1: Error in applying operation '+foo': Unknown command or category name in ACL. f:2 should start with user keyword followed by the username. ",
            ),
            (b"user a ~x \"~b\"", "f:1: Syntax error. "),
            (b"user  a on", "f:1: Syntax error. "),
            (
                b"user",
                "f:1 should start with user keyword followed by the username. ",
            ),
            (
                b"user a\n\nuser a",
                "WARNING: Duplicate user 'a' found on line 3. ",
            ),
            (
                b"user a\tb on",
                "f:1: username 'a\tb' contains invalid characters. ",
            ),
            (
                b"user a <p",
                "f:1: The password you are trying to remove from the user does not exist. ",
            ),
            (
                b"user a (+get",
                "f:1: Unmatched parenthesis in selector definition. ",
            ),
            (b"user a (~x) )", "f:1: Syntax error. "),
        ];
        for (text, error) in cases {
            assert_eq!(parsed(text).unwrap_err(), format!("{error}{END}"));
        }
    }

    #[test]
    fn requirepass_stays_in_force_beside_a_file_without_the_default_user() {
        let users = parse(b"user a on", "f", b"pw", Defaults::default()).unwrap();
        assert!(!users.is_open());
        assert!(users.authenticate(b"default", b"pw").is_some());
        let users = parse(b"user default on nopass", "f", b"pw", Defaults::default()).unwrap();
        assert!(users.is_open());
    }

    #[test]
    fn what_is_written_is_read_back() {
        let dir = std::env::temp_dir().join(format!("ferrite-acl-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("users.acl");
        let text = b"user \xff\" on >pw skip-sanitize-payload ~a\"b %R~' %W~\\x &\x01 +@all -get (+config|get %RW~z) ()\nuser  on";
        let users = parse(text, "f", b"", Defaults::default());
        // The empty name is one, as in Redis.
        let users = users.unwrap_or_else(|error| panic!("{error}"));
        write(&users, path.to_str().unwrap()).unwrap();
        let back = parse(
            &std::fs::read(&path).unwrap(),
            "f",
            b"",
            Defaults::default(),
        )
        .unwrap();
        assert_eq!(lines(&back), lines(&users));
        std::fs::remove_dir_all(&dir).unwrap();

        let config = Config::default();
        let written = config_lines(&users, &config).join(&b'\n');
        let back = Config::load(&crate::config::Sources {
            stdin: Some(written),
            ..Default::default()
        });
        let back = from_config(&back.unwrap()).unwrap();
        assert_eq!(lines(&back), lines(&users));
    }

    #[test]
    fn lines_of_the_configuration() {
        let load = |options: &[&str]| from_config(&Config::parse_args(options).unwrap());
        let users = load(&["--requirepass", "x", "--user", "u", "on", "(+get", "~k)"]).unwrap();
        assert_eq!(
            lines(&users)[1],
            "user u on sanitize-payload resetchannels -@all (~k resetchannels -@all +get)"
        );
        assert!(users.authenticate(b"default", b"x").is_some());
        let users = load(&["--requirepass", "x", "--user", "default", "on", "nopass"]).unwrap();
        assert!(users.is_open());
        let bad = [
            (vec!["--user", "u", "+foo"], "'+foo': Unknown command"),
            (vec!["--user", "u", "<secret"], "'u': The password you"),
            (vec!["--user", "u", "(+get"], "'u': Unmatched"),
            (vec!["--user", "a b", "on"], "Spaces not allowed"),
            (vec!["--user", "u", "--user", "u"], "Duplicate user found"),
            (vec!["--user", "u", "on", "--aclfile", "f"], "but not both"),
        ];
        for (options, reason) in bad {
            let error = load(&options).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
