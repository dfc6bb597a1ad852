//! Command line.

/// The version of Redis whose behaviour this server promises.
pub const REDIS_VERSION: &str = "7.4.2";
