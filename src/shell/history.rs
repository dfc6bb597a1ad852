//! The lines of former sessions, one a line, without those that hold secrets.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::base::words;

/// Lines kept in memory, and read from the file.
pub const LINES_MAX: usize = 1000;
/// The longest line that is read from the file.
const LINE_MAX: usize = 64 << 10;

/// `REDISCLI_HISTFILE`, or a file of the user's own; `None`: there is to be none.
pub fn path() -> Option<PathBuf> {
    match std::env::var_os("REDISCLI_HISTFILE") {
        Some(path) if path == "/dev/null" || path.is_empty() => None,
        Some(path) => Some(path.into()),
        None => home(".ferritecli_history"),
    }
}

/// A file in the user's directory.
pub fn home(name: &str) -> Option<PathBuf> {
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty())?;
    Some(Path::new(&home).join(name))
}

/// The last lines of the file, oldest first. A file that cannot be read is none.
pub fn load(path: &Path) -> Vec<String> {
    let Ok(file) = File::open(path) else {
        return Vec::new();
    };
    let mut lines: Vec<String> = BufReader::new(file)
        .split(b'\n')
        .map_while(Result::ok)
        .filter(|line| !line.is_empty() && line.len() <= LINE_MAX)
        .map(|line| String::from_utf8_lossy(&line).into_owned())
        .collect();
    lines.drain(..lines.len().saturating_sub(LINES_MAX));
    lines
}

/// Adds a line to the file. A session goes on without it if that fails.
pub fn append(path: &Path, line: &str) {
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path);
    if let Ok(mut file) = file {
        // As said above.
        let _ = file.write_all(format!("{line}\n").as_bytes());
    }
}

/// Makes the file as short as what is kept in memory.
pub fn trim(path: &Path) {
    let Ok(file) = File::open(path) else {
        return;
    };
    let lines = BufReader::new(file).split(b'\n').count();
    if lines > 2 * LINES_MAX {
        let text = load(path).join("\n") + "\n";
        // It stays long if that fails.
        let _ = crate::base::atomic_replace::atomic_replace(path, text.as_bytes());
    }
}

/// The line holds a password, or may: it is kept nowhere. So is a line whose quotes do not close.
pub fn is_secret(line: &str) -> bool {
    let Some(mut words) = words::split(line.as_bytes()) else {
        return true;
    };
    words
        .iter_mut()
        .for_each(|word| word.make_ascii_lowercase());
    // How often to repeat the command.
    let repeats = words.first().is_some_and(|word| {
        std::str::from_utf8(word).is_ok_and(|word| word.parse::<i64>().is_ok())
    });
    let words: Vec<&[u8]> = words
        .iter()
        .skip(usize::from(repeats))
        .map(Vec::as_slice)
        .collect();
    let has = |secret: &[&[u8]]| words.iter().any(|word| secret.contains(word));
    match words.as_slice() {
        [b"auth", ..] | [b"acl", b"setuser", ..] => true,
        [b"hello", ..] => has(&[b"auth"]),
        [b"migrate", ..] => has(&[b"auth", b"auth2"]),
        [b"config", b"set", ..] => has(&[
            b"requirepass",
            b"masterauth",
            b"primaryauth",
            b"masteruser",
            b"primaryuser",
            b"tls-key-file-pass",
            b"tls-client-key-file-pass",
        ]),
        [b"sentinel", b"config", b"set", ..] => has(&[b"sentinel-pass"]),
        [b"sentinel", b"set", ..] => has(&[b"auth-pass", b"auth-user"]),
        [b"connect", ..] => words.len() > 3,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_seen() {
        for line in [
            "AUTH x",
            "  auth user x",
            "5 AUTH x",
            "ACL SETUSER ann on >x",
            "CONFIG SET requirepass x",
            "config set maxmemory 1 MASTERAUTH x",
            "HELLO 3 AUTH default x",
            "MIGRATE h 1 k 0 1 AUTH2 u p",
            "SENTINEL SET m auth-pass x",
            "\"auth\" x",
            "auth \"x",
        ] {
            assert!(is_secret(line), "{line}");
        }
        for line in [
            "get auth",
            "config set maxmemory 1",
            "hello 3",
            "acl list",
            "set requirepass 1",
        ] {
            assert!(!is_secret(line), "{line}");
        }
    }

    #[test]
    fn lines_come_back_and_only_their_owner_reads_them() {
        use std::os::unix::fs::PermissionsExt;
        let name = format!("ferrite-history-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        for n in 0..2 * LINES_MAX + 10 {
            append(&path, &format!("get {n}"));
        }
        trim(&path);
        let lines = load(&path);
        assert_eq!(lines.len(), LINES_MAX);
        assert_eq!(lines.last().map(String::as_str), Some("get 2009"));
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(
            std::fs::read_to_string(&path).unwrap().lines().count(),
            LINES_MAX
        );
        std::fs::remove_file(&path).unwrap();
        assert!(load(&path).is_empty());
    }
}
