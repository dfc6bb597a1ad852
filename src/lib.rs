//! Ferrite.
pub mod command;
