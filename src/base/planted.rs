//! Mistakes that the durability tests plant, to see that they would be noticed: `FERRITE_PLANTED=no-base-sync`.
//!
//! In release builds there are none: [`is`] is a constant there.

use std::sync::OnceLock;

/// Each breaks one rule of what an acknowledgement means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A rename is not followed by a sync of the directory.
    NoDirectorySync,
    /// A file takes the place of another one before it is synced.
    NoReplaceSync,
    /// `always`: the reply leaves when the entry is written.
    AckBeforeSync,
    /// What is written last stays in memory until the next write.
    DropLastBatch,
    /// The checksum of a unit is not compared.
    NoChecksum,
    /// Whether a unit follows the one before is not compared.
    NoChain,
    /// After a failed sync the same file is synced again.
    RetrySync,
    /// Parts without a manifest are overlooked.
    EmptyStart,
    /// A new base is named before it is synced.
    NoBaseSync,
    /// Former parts are deleted before the manifest names the new base.
    UnlinkFirst,
    /// Nothing is noted of complete parts.
    NoSums,
    /// Half a unit stays in the file after a write that failed.
    KeepTorn,
    /// The checksum of a snapshot is not compared.
    NoRdbChecksum,
    /// A snapshot takes its name before it is synced.
    NoRdbSync,
}

/// All of them, by name.
pub const ALL: [(&str, Bug); 14] = [
    ("no-directory-sync", Bug::NoDirectorySync),
    ("no-replace-sync", Bug::NoReplaceSync),
    ("ack-before-sync", Bug::AckBeforeSync),
    ("drop-last-batch", Bug::DropLastBatch),
    ("no-checksum", Bug::NoChecksum),
    ("no-chain", Bug::NoChain),
    ("retry-sync", Bug::RetrySync),
    ("empty-start", Bug::EmptyStart),
    ("no-base-sync", Bug::NoBaseSync),
    ("unlink-first", Bug::UnlinkFirst),
    ("no-sums", Bug::NoSums),
    ("keep-torn", Bug::KeepTorn),
    ("no-rdb-checksum", Bug::NoRdbChecksum),
    ("no-rdb-sync", Bug::NoRdbSync),
];

static PLANTED: OnceLock<Option<Bug>> = OnceLock::new();

/// Whether this mistake is planted.
#[inline]
pub fn is(bug: Bug) -> bool {
    cfg!(debug_assertions) && *PLANTED.get_or_init(from_environment) == Some(bug)
}

fn from_environment() -> Option<Bug> {
    let name = std::env::var("FERRITE_PLANTED").ok()?;
    ALL.iter().find(|(n, _)| *n == name).map(|(_, bug)| *bug)
}
