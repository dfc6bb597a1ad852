//! What the actor and a connection's task share.

/// The connection of one client.
pub struct Conn {
    pub id: u64,
}
