//! What `ferrite cli` does besides commands: one file a mode.

pub mod eval;
pub mod hint_file;
pub mod hot_keys;
pub mod keys;
pub mod latency;
pub mod pipe;
pub mod rdb;
pub mod replica;
pub mod scan;
pub mod spectrum;
pub mod stat;
pub mod transfer;

use super::link::Broken;

/// Why a mode ended.
pub enum Ended {
    Broken(Broken),
    /// For standard error.
    Told(String),
}

impl From<Broken> for Ended {
    fn from(broken: Broken) -> Ended {
        Ended::Broken(broken)
    }
}

/// The exit code, when the end was told.
fn code(result: Result<(), Ended>) -> u8 {
    match result {
        Ok(()) => return 0,
        Err(Ended::Broken(broken)) => eprintln!("Error: {broken}"),
        Err(Ended::Told(text)) => eprintln!("{text}"),
    }
    1
}
