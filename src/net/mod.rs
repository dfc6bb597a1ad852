//! Sockets: the accept loop and one task per connection.

pub mod conn;
pub mod listen;
pub mod socket;
pub mod task;
