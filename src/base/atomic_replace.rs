//! Replacing a file so that a crash leaves either the old or the new content, never a mixture and never nothing.
//! This is the only place in the program that renames a file.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::failpoint;
use super::planted::{self, Bug};

/// Writes `content` to `path`: temporary file beside it, fsync, rename, fsync of the directory. An existing file keeps its
/// mode; a new one gets `0644` less the umask. On failure the temporary file is removed and the old file is untouched.
pub fn atomic_replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let temp = temp_path(path)?;
    let written = write_temp(path, &temp, content).and_then(|()| rename_into_place(&temp, path));
    if written.is_err() {
        // The error that matters is the first one; a leftover temporary file harms nobody.
        let _ = std::fs::remove_file(&temp);
    }
    written
}

/// A file in the present directory, by a name that stays its own when the server changes its directory.
pub fn here(name: &str) -> PathBuf {
    std::path::absolute(name).unwrap_or_else(|_| PathBuf::from(name))
}

/// Makes a finished, fsynced file `temp` the new `path` and makes the change durable.
pub fn rename_into_place(temp: &Path, path: &Path) -> io::Result<()> {
    failpoint::pass("replace.rename")?;
    std::fs::rename(temp, path)?;
    failpoint::pass("replace.renamed")?;
    if planted::is(Bug::NoDirectorySync) {
        return Ok(());
    }
    sync_directory_of(path)?;
    failpoint::pass("replace.done")
}

fn write_temp(path: &Path, temp: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(temp)?;
    if let Ok(old) = std::fs::metadata(path) {
        file.set_permissions(std::fs::Permissions::from_mode(old.mode() & 0o7777))?;
        // Only root may give a file away: losing the owner is better than failing the write.
        let _ = std::os::unix::fs::fchown(&file, Some(old.uid()), Some(old.gid()));
    }
    failpoint::pass("replace.write")?;
    file.write_all(content)?;
    failpoint::pass("replace.sync")?;
    if planted::is(Bug::NoReplaceSync) {
        return Ok(());
    }
    file.sync_all()
}

fn temp_path(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, "the path does not name a file")
    })?;
    let unique = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos());
    let mut temp_name = OsString::from(name);
    temp_name.push(format!(".{}-{unique}.tmp", std::process::id()));
    Ok(path.with_file_name(temp_name))
}

fn sync_directory_of(path: &Path) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn scratch(name: &str) -> PathBuf {
        let dir =
            std::env::temp_dir().join(format!("ferrite-atomic-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    #[test]
    fn replaces_content_and_keeps_mode() {
        let dir = scratch("mode");
        let file = dir.join("a.conf");
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        atomic_replace(&file, b"new").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn failure_leaves_the_old_file_and_no_temporary() {
        let dir = scratch("fail");
        let target = dir.join("sub");
        fs::create_dir(&target).unwrap();
        fs::write(target.join("x"), "1").unwrap();
        assert!(atomic_replace(&target, b"new").is_err());
        assert!(target.join("x").exists());
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
        assert!(atomic_replace(Path::new("/"), b"x").is_err());
        fs::remove_dir_all(dir).unwrap();
    }

    /// No other file of the program renames: everything that replaces a file goes through here.
    #[test]
    fn no_other_rename_in_the_sources() {
        fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, found);
                } else if path.extension().is_some_and(|e| e == "rs") {
                    let text = fs::read_to_string(&path).unwrap();
                    if ["fs::rename(", "libc::rename(", "libc::renameat"]
                        .iter()
                        .any(|c| text.contains(c))
                    {
                        found.push(path);
                    }
                }
            }
        }
        let mut found = Vec::new();
        walk(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
            &mut found,
        );
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].ends_with("base/atomic_replace.rs"));
    }
}
