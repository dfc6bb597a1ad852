//! Ferrite.

pub mod base;
pub mod value;
