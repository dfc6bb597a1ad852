//! Sockets: the accept loop and one task per connection.

pub mod conn;
