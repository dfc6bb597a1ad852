//! The network layer as clients see it, with everything on one thread.

#[path = "network/scenarios.rs"]
mod scenarios;
mod support;

const OPTIONS: &[&str] = &[];

include!("network/run.rs");
