//! The server's state beside the data: configuration, clients, statistics.

use std::collections::BTreeMap;

use super::client::Client;

/// Everything that commands reach through `ctx.core`.
pub struct Core {
    /// All clients but the one whose command runs, by id.
    pub clients: BTreeMap<u64, Box<Client>>,
}
