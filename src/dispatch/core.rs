//! The server's state beside the data: configuration, clients, statistics.

use std::collections::BTreeMap;

use super::client::Client;
use crate::command::registry::Names;

/// Everything that commands reach through `ctx.core`.
pub struct Core {
    /// The commands that this server has, by the names that it gives them.
    pub commands: Names,
    /// All clients but the one whose command runs, by id.
    pub clients: BTreeMap<u64, Box<Client>>,
}
