//! Inputs that have broken servers of this kind: an error or the right answer, the server goes on answering, its
//! memory hardly grows, and nothing panics. The names are the rows of the project's list of known attacks.

#[path = "hostile/acl.rs"]
mod acl;
#[path = "hostile/arithmetic.rs"]
mod arithmetic;
#[path = "hostile/harness.rs"]
mod harness;
#[path = "hostile/later.rs"]
mod later;
#[path = "hostile/payloads.rs"]
mod payloads;
#[path = "hostile/protocol.rs"]
mod protocol;
#[path = "hostile/pubsub.rs"]
mod pubsub;
#[path = "hostile/scripts.rs"]
mod scripts;
#[path = "hostile/secrets.rs"]
mod secrets;
#[path = "hostile/streams.rs"]
mod streams;
mod support;
