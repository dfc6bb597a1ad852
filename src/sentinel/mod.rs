//! Sentinel: watches masters, and makes a replica the new master when one fails.
//!
//! [`core`] decides, without input or output.

pub mod core;
