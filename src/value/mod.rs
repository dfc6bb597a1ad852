//! The value types and their encodings. Nothing here knows a client, a reply or a socket.

pub mod intset;
pub mod packed;
