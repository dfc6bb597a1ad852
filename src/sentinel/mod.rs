//! Sentinel: watches masters, and makes a replica the new master when one fails.
//!
//! [`core`] decides, without input or output; [`shell`] connects, writes the file and runs scripts.

pub mod core;
pub mod shell;
