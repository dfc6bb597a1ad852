//! The network layer as clients see it, with connections on threads of their own.

#[path = "network/scenarios.rs"]
mod scenarios;
mod support;

const OPTIONS: &[&str] = &["--io-threads", "4"];

include!("network/run.rs");
