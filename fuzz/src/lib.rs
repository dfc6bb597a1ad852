//! What is fuzzed. A target takes bytes and panics if something is wrong; cargo-fuzz and `tests/fuzz_seeds.rs` call
//! the same ones.

pub mod bytes;
pub mod calls;
pub mod commands;
pub mod rdb;
pub mod reply;
pub mod resp;
pub mod script;
