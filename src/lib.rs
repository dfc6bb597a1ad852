#![doc = include_str!("ARCHITECTURE.md")]

pub mod acl;
pub mod base;
pub mod cli;
pub mod command;
pub mod config;
pub mod dispatch;
pub mod keyspace;
pub mod log;
pub mod logging;
pub mod net;
pub mod rdb;
pub mod replication;
pub mod resp;
pub mod sentinel;
pub mod value;
