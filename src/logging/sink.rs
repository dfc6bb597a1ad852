//! Where log lines go: standard output or a file that may be rotated under us.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

#[derive(Debug)]
pub(super) enum Sink {
    Stdout,
    File {
        path: PathBuf,
        file: File,
        identity: (u64, u64),
    },
}

impl Sink {
    pub fn stdout() -> Self {
        Sink::Stdout
    }

    /// `logfile` as configured: empty is standard output.
    pub fn open(logfile: &str) -> io::Result<Self> {
        if logfile.is_empty() {
            return Ok(Sink::Stdout);
        }
        // The working directory may change later; the file must not follow it.
        let path = std::path::absolute(logfile)?;
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        let identity = identity_of(&file.metadata()?);
        Ok(Sink::File {
            path,
            file,
            identity,
        })
    }

    /// Errors have no place to be reported: a full disk must not end the server.
    pub fn write(&mut self, bytes: &[u8]) {
        match self {
            Sink::Stdout => {
                let mut out = io::stdout().lock();
                let _ = out.write_all(bytes).and_then(|()| out.flush());
            }
            Sink::File {
                path,
                file,
                identity,
            } => {
                let moved =
                    std::fs::metadata(&*path).map_or(true, |now| identity_of(&now) != *identity);
                if moved
                    && let Ok(Sink::File {
                        file: new_file,
                        identity: new,
                        ..
                    }) = Sink::open(&path.to_string_lossy())
                {
                    *file = new_file;
                    *identity = new;
                }
                let _ = file.write_all(bytes);
            }
        }
    }
}

fn identity_of(metadata: &std::fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}
