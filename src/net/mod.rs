//! Sockets: the accept loop and one task per connection.

pub mod conn;
pub mod listen;
pub mod output;
pub mod socket;
pub mod task;
pub mod tls;
