//! The wire protocol, without I/O: [`request`] turns bytes into batches of commands, [`reply`]
//! writes RESP2 and RESP3, [`decode`] reads the replies of other servers.

pub mod decode;
pub mod reply;
pub mod request;
