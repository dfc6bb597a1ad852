//! The actor: takes batches of commands from the connections, runs them one after another
//! against the keyspace, and hands the replies back.

pub mod client;
pub mod core;
