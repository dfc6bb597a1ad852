//! What a handler works with: its arguments, the keys, the reply, the client, the server.
//!
//! The parts are separate fields, so that a handler can write the reply while it holds a value:
//!
//! ```text
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
use crate::base::num;
use crate::dispatch::blocked::{Block, Blocked};
use crate::dispatch::client::Client;
use crate::dispatch::core::Core;
use crate::dispatch::run::Runner;
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
    /// What runs commands, made of the parts of this call.
    pub fn runner(&mut self) -> Runner<'_> {
        Runner {
            ks: &mut *self.db.ks,
            core: &mut *self.core,
        }
    }

    /// The client follows this server from now on.
    pub fn attach_replica(&mut self, asked: Option<(&str, u64)>, old_protocol: bool) {
        let mut runner = Runner {
            ks: &mut *self.db.ks,
            core: &mut *self.core,
        };
        runner.attach_replica(self.client, asked, old_protocol);
    }

    /// Runs a command inside this one; it writes to the same reply. The gate is the caller's
    /// business.
    pub fn nest(&mut self, command: &'static Command, args: Args<'_>) {
        let mut runner = Runner {
            ks: &mut *self.db.ks,
            core: &mut *self.core,
        };
        runner.nested(self.client, self.out, command, args);
    }

    /// As [`Ctx::nest`] with a reply of its own.
    pub fn nest_into(&mut self, out: &mut Reply, command: &'static Command, args: Args<'_>) {
        let mut runner = Runner {
            ks: &mut *self.db.ks,
            core: &mut *self.core,
        };
        runner.nested(self.client, out, command, args);
    }

    /// Argument `at` as the seconds that a command may wait, in ms; `None`: for ever.
    ///
    /// # Errors
    /// For anything but a number from 0 on whose end can be told.
    pub fn timeout(&self, at: usize) -> Result<Option<i64>, Error> {
        let text = self.args.get(at);
        // What is too large for a number of 64 bits is a number all the same.
        let huge = || std::str::from_utf8(text).ok()?.parse().ok();
        let seconds: Option<f64> = num::parse_f64(text).or_else(huge).filter(|s| !s.is_nan());
        let seconds = seconds.ok_or(Error::new("ERR timeout is not a float or out of range"))?;
        let ms = (seconds * 1000.0).ceil();
        let far = ms >= (i64::MAX - self.core.now_ms()) as f64;
        match () {
            () if seconds < 0.0 => Err(Error::new("ERR timeout is negative")),
            () if far => Err(Error::new("ERR timeout is out of range")),
            () if ms == 0.0 => Ok(None),
            () => Ok(Some(ms as i64)),
        }
    }

    /// Argument `at` as the whole ms that a command may wait; `None`: for ever.
    ///
    /// # Errors
    /// For anything but a number from 0 on whose end can be told.
    pub fn timeout_ms(&self, at: usize) -> Result<Option<i64>, Error> {
        let ms = num::parse_i64(self.args.get(at));
        let ms = ms.ok_or(Error::new("ERR timeout is not an integer or out of range"))?;
        match ms {
            ..0 => Err(Error::new("ERR timeout is negative")),
            0 => Ok(None),
            _ if ms > i64::MAX - self.core.now_ms() => {
                Err(Error::new("ERR timeout is out of range"))
            }
            _ => Ok(Some(ms)),
        }
    }

    /// The client waits; the handler returns without a reply. When what it waits for may be there
    /// the handler runs again. In a transaction or a script nothing waits: the reply is that of a
    /// wait whose time is over.
    pub fn block(&mut self, block: Block) {
        if self.core.depth > 0 {
            (block.on_timeout)(self.core, self.client, self.out);
        } else {
            let now_ms = self.core.now_ms();
            self.client.blocked = Some(Blocked::new(block, self.client.db, now_ms));
        }
    }

    /// Sends the command to the replicas although it changes nothing.
    pub fn replicate_only(&mut self) {
        let args = self.args.iter();
        self.db
            .ks
            .log
            .append_for_replicas(Some(self.db.index), args);
    }

    /// Unix time in ms at which the call began; the same for the whole call.
    pub fn now_ms(&self) -> i64 {
        self.db.now_ms()
    }
}
