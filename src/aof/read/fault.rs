//! What is wrong with a file, and where.

use std::fmt;
use std::io;

use super::READ_STEP;
use crate::aof::resp;

/// What a fault is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The file ends within a unit.
    Truncated,
    /// It ends within MULTI.
    OpenMulti,
    /// From somewhere on there are only zeros.
    Zeros,
    /// Bytes are not what was written.
    Damaged,
    /// Whole units are missing before this place: these sequence numbers.
    Missing {
        from: u64,
        to: u64,
    },
    Io(io::ErrorKind),
}

/// Something that stops the reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub kind: FaultKind,
    /// Where it was noticed.
    pub at: u64,
    /// Where the last good unit ends.
    pub from: u64,
    /// Sequence of the unit concerned, if there are frames.
    pub seq: Option<u64>,
    /// Keys of the unit, as far as it can be read.
    pub keys: Vec<Vec<u8>>,
    pub what: String,
    /// Line of the file, from 1.
    pub line: u64,
}

impl Fault {
    /// The end of the file is missing, or was never written: what is there before it is whole.
    pub fn is_tail(&self) -> bool {
        matches!(
            self.kind,
            FaultKind::Truncated | FaultKind::OpenMulti | FaultKind::Zeros
        )
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at offset {}: {}", self.at, self.what)?;
        if let Some(seq) = self.seq {
            write!(f, " (unit {seq})")?;
        }
        if !self.keys.is_empty() {
            let shown = self
                .keys
                .iter()
                .take(8)
                .map(|key| format!("'{}'", key.escape_ascii()));
            write!(
                f,
                ", keys concerned: {}",
                shown.collect::<Vec<_>>().join(" ")
            )?;
        }
        Ok(())
    }
}

/// The keys that the readable part of damaged commands names.
pub(super) fn keys(bytes: &[u8]) -> Vec<Vec<u8>> {
    let bytes = &bytes[..bytes.len().min(READ_STEP)];
    let mut found: Vec<Vec<u8>> = Vec::new();
    for words in resp::readable(bytes).iter().take(64) {
        let control = ["select", "multi", "exec"]
            .iter()
            .any(|name| resp::is(words, name));
        if let (false, Some(key)) = (control, words.get(1)) {
            let key = key[..key.len().min(128)].to_vec();
            if !found.contains(&key) {
                found.push(key);
            }
        }
    }
    found
}
