//! `--rdb` and `--functions-rdb`: the server's data set as a file.
//!
//! It is written under another name, synced, and then takes its name: whatever happens, there is no half of a file.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::base::atomic_replace::rename_into_place;
use crate::shell::link::{Link, reason};
use crate::shell::session::Session;

use super::transfer::{self, Form};
use super::{Ended, code};

pub fn run(session: &mut Session, file: &Path, functions_only: bool) -> u8 {
    let Some(link) = session.link() else {
        return 1;
    };
    code(fetch(link, file, functions_only))
}

fn fetch(link: &mut Link, path: &Path, functions_only: bool) -> Result<(), Ended> {
    transfer::replconf(link, "capa", "eof")?;
    transfer::replconf(link, "rdb-only", "1")?;
    if functions_only && !transfer::replconf(link, "rdb-filter-only", "functions")? {
        let text = "Failed requesting functions only RDB from server, aborting";
        return Err(Ended::Told(text.into()));
    }
    let form = transfer::sync(link)?;
    let name = path.display();
    match &form {
        Form::Length(len) => eprintln!("SYNC sent to master, writing {len} bytes to '{name}'"),
        Form::Mark(_) => eprintln!(
            "SYNC sent to master, writing bytes of bulk transfer until EOF marker to '{name}'"
        ),
    }
    let mut target = Target::open(path)?;
    let received = transfer::receive(link, &form, |piece| target.write(piece));
    let len = received.map_err(transfer::interrupted)?;
    target.finish()?;
    match form {
        Form::Length(_) => eprintln!("Transfer finished with success."),
        Form::Mark(_) => eprintln!("Transfer finished with success after {len} bytes"),
    }
    Ok(())
}

/// Where the data goes.
enum Target {
    Stdout,
    /// Something that is no file of its own, such as a pipe or `/dev/null`.
    Device(File),
    File {
        file: File,
        temp: PathBuf,
        path: PathBuf,
        done: bool,
    },
}

fn failed(what: &str, path: &Path, error: &io::Error) -> Ended {
    Ended::Told(format!("{what} '{}': {}", path.display(), reason(error)))
}

impl Target {
    fn open(path: &Path) -> Result<Target, Ended> {
        if path == Path::new("-") {
            return Ok(Target::Stdout);
        }
        let opening = |error: io::Error| failed("Error opening", path, &error);
        if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
            let device = File::options().write(true).open(path);
            return device.map(Target::Device).map_err(opening);
        }
        let mut temp = path.as_os_str().to_owned();
        temp.push(format!(".{}.tmp", std::process::id()));
        let temp = PathBuf::from(temp);
        let file = File::create(&temp).map_err(opening)?;
        Ok(Target::File {
            file,
            temp,
            path: path.to_owned(),
            done: false,
        })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Ended> {
        let (written, path) = match self {
            Target::Stdout => (io::stdout().write_all(bytes), Path::new("-")),
            Target::Device(file) => (file.write_all(bytes), Path::new("-")),
            Target::File { file, temp, .. } => (file.write_all(bytes), temp.as_path()),
        };
        written.map_err(|error| failed("Error writing data to", path, &error))
    }

    fn finish(&mut self) -> Result<(), Ended> {
        match self {
            Target::Stdout => io::stdout()
                .flush()
                .map_err(|error| failed("Error writing data to", Path::new("-"), &error)),
            Target::Device(_) => Ok(()),
            Target::File {
                file,
                temp,
                path,
                done,
            } => {
                let placed = file.sync_all().and_then(|()| rename_into_place(temp, path));
                *done = placed.is_ok();
                placed.map_err(|error| failed("Fail to fsync or rename", path, &error))
            }
        }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Target::File {
            temp, done: false, ..
        } = self
        {
            // Half of a data set is of no use; if it cannot be removed, its name says what it is.
            let _ = std::fs::remove_file(temp);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_there_as_a_whole_or_not_at_all() {
        let name = format!("ferrite-cli-rdb-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let begun = |text: &[u8]| {
            let mut target = Target::open(&path).unwrap_or_else(|_| panic!("opens"));
            assert!(target.write(text).is_ok());
            target
        };
        drop(begun(b"half"));
        assert!(!path.exists());
        assert!(begun(b"whole").finish().is_ok());
        drop(begun(b"half of another"));
        assert_eq!(std::fs::read(&path).unwrap(), b"whole");
        std::fs::remove_file(&path).unwrap();
    }
}
