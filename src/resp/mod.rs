//! The wire protocol, without I/O: [`request`] turns bytes into batches of commands, [`reply`]
//! writes RESP2 and RESP3.

pub mod reply;
pub mod request;
