//! What a handler works with: its arguments, the keys, the reply, the client, the server.
//!
//! The parts are separate fields, so that a handler can write the reply while it holds a value:
//!
//! ```ignore
//! fn hget(ctx: &mut Ctx<'_>) -> Outcome {
//!     let value = ctx.db.read_as::<Hash>(&ctx.args[1])?.and_then(|h| h.get(&ctx.args[2]));
//!     …
//! }
//! ```
//! A handler has three parts: read all arguments, call the value, reply once. It changes nothing
//! before its arguments are valid, and reports each change through [`Keys::effect`].

use super::args::Args;
use super::error::Error;
use super::registry::Command;
use crate::dispatch::client::Client;
use crate::dispatch::core::Core;
use crate::keyspace::Keys;
use crate::resp::reply::Reply;

/// What a handler returns: it has replied, or the error to reply.
pub type Outcome = Result<(), Error>;

/// One call.
pub struct Ctx<'a> {
    pub args: Args<'a>,
    /// The keyspace, at the client's database.
    pub db: Keys<'a>,
    pub out: &'a mut Reply,
    pub client: &'a mut Client,
    /// Everything else that the server has: configuration, clients, statistics.
    pub core: &'a mut Core,
    /// What is being called.
    pub command: &'static Command,
}

impl Ctx<'_> {
    /// Unix time in ms at which the call began; the same for the whole call.
    pub fn now_ms(&self) -> i64 {
        self.db.now_ms()
    }
}
