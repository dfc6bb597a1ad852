//! The actor: takes batches of commands from the connections, runs them one after another
//! against the keyspace, and hands the replies back.
//!
//! [`actor`] is the loop, the only part that knows tokio. [`server`] runs batches, [`run`] one
//! command: look-up, [`gate`], handler, effects, statistics. [`blocked`] are clients that wait,
//! [`held`] replies that wait for the log, [`watch`] the keys of transactions. [`cron`] is what
//! happens between commands.

pub mod actor;
pub mod apply;
pub mod blocked;
pub mod busy;
pub mod client;
pub mod clients;
pub mod core;
pub mod crash;
pub mod cron;
pub mod gate;
pub mod held;
pub mod histogram;
pub mod latency;
pub mod prefetch;
pub mod push;
pub mod record;
pub mod run;
pub mod server;
pub mod shutdown;
pub mod slowlog;
pub mod stats;
pub mod undo;
pub mod watch;
