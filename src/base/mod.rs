//! Leaves that anything may use: numbers, clocks, checksums and the like.

pub mod longdouble;
pub mod num;
