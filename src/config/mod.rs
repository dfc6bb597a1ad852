//! Configuration: the table of directives, files and command line, CONFIG GET, SET and REWRITE, and the checks of
//! `check-config`. A leaf that anyone may use; apart from reading and rewriting configuration files it
//! changes nothing in the process: what a changed setting must cause is reported as [`Action`] and done by the server.
//!
//! - [`table`]: one row per directive; from it come [`Settings`] (typed fields for code) and `DIRECTIVES` (for text).
//! - [`directive`], [`setting`], [`lists`], [`enums`]: what a row means and how each type reads and writes itself.
//! - [`load`], [`mod@line`]: files, `include`, command line. [`rewrite`]: CONFIG REWRITE. [`lint`]: `check-config`.
//! - [`shared`]: the handful of values for connection threads.

pub mod directive;
pub mod enums;
pub mod line;
pub mod lint;
pub mod lists;
pub mod load;
mod nearest;
mod rewrite;
pub mod setting;
pub mod shared;
mod store;
pub mod table;

pub use directive::{Action, Directive, Kind};
pub use load::{LoadError, Sources};
pub use rewrite::RewriteError;
pub use shared::{ClientClass, SharedSettings};
pub use store::{Changed, Config, ConfigSetError, Pending, SetContext};
pub use table::Settings;

impl Settings {
    /// The port that is shown where there is room for one.
    pub fn shown_port(&self) -> u16 {
        match self.port {
            0 => self.tls_port,
            port => port,
        }
    }

    /// The port under which other servers reach this one.
    pub fn announced_port(&self) -> u16 {
        if self.tls_replication && self.tls_port != 0 {
            self.tls_port
        } else {
            self.port
        }
    }
}
