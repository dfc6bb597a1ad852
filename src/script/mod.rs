//! Lua scripts and libraries of functions.

pub mod api;
pub mod convert;
pub mod engine;
pub mod exchange;
pub mod flags;
pub mod libs;
