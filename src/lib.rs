//! Ferrite.

pub mod base;
pub mod command;
pub mod dispatch;
pub mod keyspace;
pub mod log;
pub mod net;
pub mod resp;
pub mod value;
