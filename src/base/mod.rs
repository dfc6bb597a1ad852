//! Leaves that anything may use: numbers, clocks, checksums and the like.

pub mod alloc;
pub mod clock;
pub mod glob;
pub mod hash;
pub mod longdouble;
pub mod mailbox;
pub mod num;
pub mod rng;
pub mod words;
