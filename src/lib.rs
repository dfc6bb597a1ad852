//! Ferrite.
pub mod value;
