//! Temporary files of saves, and what a crash leaves of them.
//!
//! A file that is being written belongs to whoever holds the lock on it (`flock`), which ends with the process in
//! whatever way that ends. So a file that can be locked is a leftover. A process id in a name says less: servers in
//! containers all have the same one and may share a directory, and an id that is alive may be another program's.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

/// Somebody may look at a new file before it is locked; it is made again then.
const TRIES: usize = 16;
/// Redis writes files of one of our names and locks nothing: such a file is left alone while it is younger.
const UNLOCKED_AGE: Duration = Duration::from_secs(3600);

/// Makes a file that nobody takes for a leftover while it is open.
///
/// # Errors
/// Those of the system; [`io::ErrorKind::ResourceBusy`] if another server writes the file of that name.
pub fn create(path: &Path) -> io::Result<File> {
    for _ in 0..TRIES {
        let made = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path);
        match made {
            Ok(file) => match file.try_lock() {
                // Whoever looked at it before it was locked has removed it, perhaps.
                Ok(()) if is_at(&file, path) => return Ok(file),
                Ok(()) | Err(TryLockError::WouldBlock) => {}
                // A file system without locks: nobody else can lock it either, and so nobody removes it.
                Err(TryLockError::Error(_)) => return Ok(file),
            },
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => make_way(path)?,
            Err(error) => return Err(error),
        }
    }
    Err(busy())
}

fn busy() -> io::Error {
    let text = "another server is writing this file";
    io::Error::new(io::ErrorKind::ResourceBusy, text)
}

/// Removes the file of a former process that had our id.
fn make_way(path: &Path) -> io::Result<()> {
    match lock_leftover(path) {
        Ok(_held) => fs::remove_file(path),
        Err(TryLockError::WouldBlock) => Err(busy()),
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(TryLockError::Error(_)) => fs::remove_file(path),
    }
}

/// Opens a file that nobody holds. Whoever wants to remove it does that before letting go of it.
fn lock_leftover(path: &Path) -> Result<File, TryLockError> {
    let file = OpenOptions::new()
        .write(true)
        // Neither another file through a link nor a pipe that waits for a reader.
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
        .map_err(TryLockError::Error)?;
    file.try_lock()?;
    // Until it was locked, another file may have come to that place.
    let there = is_at(&file, path).then_some(file);
    there.ok_or_else(|| TryLockError::Error(io::ErrorKind::NotFound.into()))
}

fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(ours), Ok(there)) = (file.metadata(), fs::symlink_metadata(path)) else {
        return false;
    };
    (ours.dev(), ours.ino()) == (there.dev(), there.ino())
}

/// Whose name a file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    /// Only this server makes such.
    Own,
    /// Redis makes such, too.
    Common,
}

/// Names that saves and transfers to replicas give to their files.
fn name_of(file: &str) -> Option<Name> {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let rest = file.strip_prefix("temp-")?.strip_suffix(".rdb")?;
    if number(rest) {
        return Some(Name::Common);
    }
    let (first, second) = rest.split_once('-')?;
    (number(second) && (first == "repl" || number(first))).then_some(Name::Own)
}

/// Removes from a directory what saves of servers that were killed have left there, and says so in the log.
pub fn sweep(dir: &Path) {
    sweep_names(dir, name_of);
}

/// The same for rewrites of an append-only file. Redis makes such files in its working directory, `home`; ours lie beside
/// the parts, in `parts`.
pub fn sweep_rewrites(home: &Path, parts: &Path) {
    let is_rewrite = |file: &str| file.starts_with("temp-rewriteaof-") && file.ends_with(".aof");
    sweep_names(home, |file| is_rewrite(file).then_some(Name::Common));
    sweep_names(parts, |file| is_rewrite(file).then_some(Name::Own));
}

fn sweep_names(dir: &Path, name_of: impl Fn(&str) -> Option<Name>) {
    // Without the directory nothing else will work either, and that is told where it happens.
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    for entry in entries.flatten() {
        let file_name = entry.file_name();
        let Some(name) = file_name.to_str().and_then(&name_of) else {
            continue;
        };
        let path = entry.path();
        // What can't be opened or locked is somebody's, or not for us to judge.
        let Ok(held) = lock_leftover(&path) else {
            continue;
        };
        if let Some(bytes) = removable(&held, name) {
            match fs::remove_file(&path) {
                Ok(()) => tracing::info!(
                    "Removed {} ({bytes} bytes), left by a server that was killed while writing it",
                    path.display()
                ),
                Err(error) => tracing::warn!(
                    "{} was left by a server that was killed while writing it, and can't be removed: {error}",
                    path.display()
                ),
            }
        }
    }
}

/// The size of a file that may go.
fn removable(file: &File, name: Name) -> Option<u64> {
    let data = file.metadata().ok()?;
    let old = || {
        let age = data.modified().ok()?.elapsed().ok()?;
        (age >= UNLOCKED_AGE).then_some(())
    };
    let may = data.is_file() && (name == Name::Own || old().is_some());
    may.then_some(data.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::path::PathBuf;
    use std::time::SystemTime;

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("ferrite-temp-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(dir)
            .unwrap()
            .flatten()
            .map(|e| e.file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn only_our_names_are_known() {
        for name in ["temp-1-1.rdb", "temp-4711-20.rdb", "temp-repl-7.rdb"] {
            assert_eq!(name_of(name), Some(Name::Own), "{name}");
        }
        assert_eq!(name_of("temp-12.rdb"), Some(Name::Common));
        for name in [
            "dump.rdb",
            "temp.rdb",
            "temp-.rdb",
            "temp-1-.rdb",
            "temp-x-1.rdb",
            "temp-1-1-1.rdb",
            "temp-repl-.rdb",
            "temp-1-1.rdb.bak",
            "temp-rewriteaof-bg-1.aof",
            "temp-divergence-1.aof",
            "my-temp-1-1.rdb",
        ] {
            assert_eq!(name_of(name), None, "{name}");
        }
    }

    #[test]
    fn what_nobody_holds_goes() {
        let dir = scratch("sweep");
        let held = create(&dir.join("temp-1-2.rdb")).unwrap();
        for name in ["temp-1-1.rdb", "temp-repl-1.rdb", "temp-9.rdb", "dump.rdb"] {
            fs::write(dir.join(name), "x").unwrap();
        }
        let old = File::create(dir.join("temp-8.rdb")).unwrap();
        let before = SystemTime::now() - 2 * UNLOCKED_AGE;
        old.set_modified(before).unwrap();
        std::os::unix::fs::symlink("dump.rdb", dir.join("temp-1-3.rdb")).unwrap();
        fs::create_dir(dir.join("temp-1-4.rdb")).unwrap();
        sweep(&dir);
        assert_eq!(
            names(&dir),
            [
                "dump.rdb",
                "temp-1-2.rdb",
                "temp-1-3.rdb",
                "temp-1-4.rdb",
                "temp-9.rdb"
            ]
        );
        drop(held);
        sweep(&dir);
        assert!(!dir.join("temp-1-2.rdb").exists());
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn rewrites_that_go_on_and_files_of_redis_stay() {
        let dir = scratch("rewrites");
        let parts = dir.join("parts");
        fs::create_dir(&parts).unwrap();
        let name = |number| format!("temp-rewriteaof-bg-{number}.aof");
        let _held = create(&parts.join(name(1))).unwrap();
        for path in [dir.join(name(2)), parts.join(name(3)), parts.join("x.aof")] {
            fs::write(path, "x").unwrap();
        }
        sweep_rewrites(&dir, &parts);
        assert_eq!(names(&dir), ["parts".to_owned(), name(2)]);
        assert_eq!(names(&parts), [name(1), "x.aof".into()]);
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_file_is_written_by_one_server_at_a_time() {
        let dir = scratch("create");
        let path = dir.join("temp-1-1.rdb");
        fs::write(&path, "what a former process wrote").unwrap();
        let mut file = create(&path).unwrap();
        file.write_all(b"new").unwrap();
        let error = create(&path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
        assert_eq!(fs::read(&path).unwrap(), b"new");
        drop(file);
        assert_eq!(create(&path).unwrap().metadata().unwrap().len(), 0);
        fs::remove_dir_all(dir).unwrap();
    }
}
