//! The commands: one file per family, with its table of [`spec::Spec`] rows, the handlers beside the rows and their tests.
//! Help, COMMAND, the ACL categories, cluster slots and the checks before a call all read the same rows.

pub mod acl;
pub mod aof;
pub mod args;
pub mod bitmap;
pub mod client;
pub mod client_info;
pub mod cluster;
pub mod config;
pub mod connection;
pub mod ctx;
pub mod debug;
pub mod docs;
pub mod dump;
pub mod element_scan;
pub mod error;
pub mod ferrite;
pub mod generic;
pub mod geo;
pub mod hash;
pub mod hyperloglog;
pub mod info;
pub mod introspect;
pub mod keys;
pub mod latency;
pub mod list;
pub mod memory;
pub mod module;
pub mod mpop;
pub mod persistence;
pub mod pubsub;
pub mod registry;
pub mod replication;
pub mod scripting;
pub mod sentinel;
pub mod server;
pub mod set;
pub mod slowlog;
pub mod spec;
pub mod stream;
pub mod string;
pub mod syntax;
pub mod tracking;
pub mod transactions;
pub mod zset;

#[cfg(test)]
mod effects_tests;
#[cfg(test)]
mod examples;
#[cfg(test)]
mod keys_tests;
// For fuzz targets as well.
#[doc(hidden)]
pub mod testing;
