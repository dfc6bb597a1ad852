//! The append-only file: the command log on disk, in Redis 7's files, with proof that nothing in them has changed.
//!
//! `frame` and `manifest` are the formats, `read` checks and reads them, `dir` is the directory that holds the files,
//! `state` has the file in the actor's hands.

pub mod check;
pub mod commands;
pub mod dir;
pub mod due;
pub mod frame;
pub mod load;
pub mod manifest;
pub mod mark;
pub mod read;
pub mod resp;
pub mod restore;
pub mod rewrite;
pub mod seal;
pub mod sink;
pub mod start;
pub mod state;
pub mod writer;
