//! MIGRATE: keys go to another server, and leave this one when they have arrived there.
//!
//! ```text
//! actor: takes handles of the entries, the client waits
//!   └► thread: payloads, connection, AUTH, SELECT, RESTORE … replies
//!        └► actor: keys that arrived and are still those same entries are deleted, the client gets its reply
//!             └► those that have changed meanwhile go once more, now with REPLACE (or as DEL, if they are gone)
//! ```
//! The actor never waits for the network, nor do other clients: they may write to the keys meanwhile. A handle shows
//! whether they did, because an entry with two owners is never changed in place. A key that changes each time is left
//! where it is after some rounds, with an error.

mod wire;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;

use crate::base::mailbox::Sender;
use crate::base::num;
use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::dispatch::actor::Message;
use crate::dispatch::blocked::{Block, Wait};
use crate::dispatch::client::Client;
use crate::dispatch::core::Core;
use crate::dispatch::server::Server;
use crate::keyspace::Keyspace;
use crate::keyspace::effect::Class;
use crate::resp::reply::Reply;
use crate::value::entry::Entry;
use wire::Connection;

/// A connection that is not used for so long is closed.
const KEEP: Duration = Duration::from_secs(10);
/// Connections that are kept.
const KEEP_MAX: usize = 64;
/// Rounds after which a key that changes each time is given up.
const ROUNDS: u32 = 16;

type Address = (String, u16);

/// Connections that are kept for the next MIGRATE.
#[derive(Default)]
pub struct Connections(HashMap<Address, Connection>);

impl Connections {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Closes connections that are not used any more.
pub fn cron(core: &mut Core) {
    core.migrations.0.retain(|_, c| c.used.elapsed() < KEEP);
}

/// What a client asked for.
#[derive(Clone, Debug)]
struct Request {
    address: Address,
    db: i64,
    timeout: Duration,
    copy: bool,
    replace: bool,
    /// Words of AUTH.
    auth: Vec<Vec<u8>>,
    compress: bool,
    /// With `tls-cluster`, TLS, or why there is none.
    tls: Result<Option<Arc<ClientConfig>>, &'static str>,
}

/// A key on its way.
enum Parcel {
    /// With the value that it had when it was looked at last.
    Send(Entry),
    /// It is not here any more, but there.
    Delete(Vec<u8>),
}

impl Parcel {
    fn key(&self) -> &[u8] {
        match self {
            Parcel::Send(entry) => entry.key(),
            Parcel::Delete(key) => key,
        }
    }
}

/// What the other server said to each parcel.
struct Answer {
    parcels: Vec<Parcel>,
    /// Parcels, from the first on, that were answered: whether they arrived.
    arrived: Vec<bool>,
    error: Option<Vec<u8>>,
    connection: Option<Connection>,
}

pub fn migrate(ctx: &mut Ctx<'_>) -> Outcome {
    let (request, names) = read_request(ctx)?;
    let mut parcels = Vec::with_capacity(names.len());
    for name in &names {
        parcels.extend(ctx.db.read(name).cloned().map(Parcel::Send));
    }
    if parcels.is_empty() {
        ctx.out.simple("NOKEY");
        return Ok(());
    }
    let connection = ctx.core.migrations.0.remove(&request.address);
    let now_ms = ctx.now_ms();
    let mailbox = ctx.core.mailbox.clone();
    let (Some(mailbox), 0) = (mailbox, ctx.core.depth) else {
        // Inside a transaction or a script everything waits, as in Redis.
        let answer = request.deliver(parcels, connection, now_ms, request.replace);
        let (outcome, _) = settle(ctx.db.ks, ctx.core, ctx.client.db, &request, answer, true);
        outcome.map_err(Error::bytes)?;
        ctx.out.ok();
        return Ok(());
    };
    ctx.block(Block {
        wait: Wait::Other("migrate"),
        timeout_ms: None,
        on_timeout: give_up,
    });
    let journey = Journey {
        client: ctx.client.id,
        from: ctx.client.db,
        replace: request.replace,
        request,
        round: 1,
    };
    journey.start(parcels, connection, now_ms, mailbox);
    Ok(())
}

/// For CLIENT UNBLOCK: the keys go on their way all the same.
fn give_up(_: &Core, _: &Client, out: &mut Reply) {
    out.error("IOERR error or timeout reading to target instance");
}

fn read_request(ctx: &mut Ctx<'_>) -> Result<(Request, Vec<Vec<u8>>), Error> {
    let args = ctx.args;
    let (mut copy, mut replace, mut auth) = (false, false, Vec::new());
    let mut names = vec![args.get(3).to_vec()];
    let mut rest = args.cursor(6);
    while !rest.done() {
        if rest.word("COPY") {
            copy = true;
        } else if rest.word("REPLACE") {
            replace = true;
        } else if rest.left() >= 2 && rest.word("AUTH") {
            ctx.core.redact(rest.at());
            auth = vec![b"AUTH".to_vec(), rest.next()?.to_vec()];
        } else if rest.left() >= 3 && rest.word("AUTH2") {
            ctx.core.redact(rest.at());
            ctx.core.redact(rest.at() + 1);
            let (user, password) = (rest.next()?.to_vec(), rest.next()?.to_vec());
            auth = vec![b"AUTH".to_vec(), user, password];
        } else if rest.word("KEYS") {
            if !args.get(3).is_empty() {
                return Err(Error::new(
                    "ERR When using MIGRATE KEYS option, the key argument must be set to the empty string",
                ));
            }
            names = rest.rest().iter().map(<[u8]>::to_vec).collect();
            break;
        } else {
            return Err(Error::SYNTAX);
        }
    }
    let timeout_ms = args.int(5);
    let db = args.int(4)?;
    let timeout_ms = match timeout_ms? {
        ms @ 1.. => ms as u64,
        _ => 1000,
    };
    let host = String::from_utf8_lossy(args.get(1)).into_owned();
    let port = num::parse_i64(args.get(2)).and_then(|port| u16::try_from(port).ok());
    let request = Request {
        address: (host, port.unwrap_or(0)),
        db,
        timeout: Duration::from_millis(timeout_ms),
        copy,
        replace,
        auth,
        compress: ctx.core.config.rdbcompression,
        tls: ctx.core.tls.for_client(ctx.core.config.tls_cluster),
    };
    Ok((request, names))
}

/// A MIGRATE on its way.
struct Journey {
    client: u64,
    /// Database of the keys here.
    from: usize,
    replace: bool,
    request: Request,
    round: u32,
}

impl Journey {
    fn start(
        self,
        parcels: Vec<Parcel>,
        connection: Option<Connection>,
        now_ms: i64,
        mailbox: Sender<Message>,
    ) {
        let body = move || {
            let answer = self
                .request
                .deliver(parcels, connection, now_ms, self.replace);
            mailbox.send(Message::Task(Box::new(move |server| {
                self.arrive(server, answer)
            })));
        };
        let thread = std::thread::Builder::new().name("ferrite-migrate".into());
        if let Err(error) = thread.spawn(body) {
            tracing::warn!("MIGRATE can't start a thread: {error}");
        }
    }

    /// Back on the actor's thread.
    fn arrive(mut self, server: &mut Server, answer: Answer) {
        let (ks, core) = (&mut server.ks, &mut server.core);
        let (mut outcome, changed) = settle(ks, core, self.from, &self.request, answer, false);
        server.runner().end_slice();
        let (ks, core) = (&mut server.ks, &mut server.core);
        if let (Some(first), true) = (changed.first(), outcome.is_ok()) {
            let waits = core.clients.get(self.client).is_some();
            if let (true, Some(mailbox)) = (waits && self.round < ROUNDS, core.mailbox.clone()) {
                self.round += 1;
                self.replace = true;
                let connection = core.migrations.0.remove(&self.request.address);
                return self.start(changed, connection, ks.now_ms, mailbox);
            }
            let mut text = b"ERR Key changed each time it was sent, it stays here and the target has an older copy: ".to_vec();
            text.extend_from_slice(first.key());
            outcome = Err(text);
        }
        let offset = ks.log.offset();
        if let Some(client) = core.clients.get_mut(self.client) {
            client.log_offset = offset;
        }
        core.unblock(self.client, |out| match outcome {
            Ok(()) => out.ok(),
            Err(text) => out.error(text),
        });
    }
}

/// Deletes what has arrived and is still as it was sent. Returns the reply, and what has changed meanwhile. `counted`: a
/// command runs that counts changes.
fn settle(
    ks: &mut Keyspace,
    core: &mut Core,
    db: usize,
    request: &Request,
    answer: Answer,
    counted: bool,
) -> (Result<(), Vec<u8>>, Vec<Parcel>) {
    if let Some(connection) = answer.connection
        && core.migrations.len() < KEEP_MAX
    {
        let address = request.address.clone();
        core.migrations.0.insert(address, connection);
    }
    let outcome = answer.error.map_or(Ok(()), Err);
    let mut gone: Vec<Vec<u8>> = Vec::new();
    let mut changed = Vec::new();
    let mut keys = ks.at(db);
    let pairs = answer.parcels.into_iter().zip(answer.arrived);
    let arrived = pairs.filter(|(_, arrived)| *arrived && !request.copy);
    for (parcel, _) in arrived {
        let Parcel::Send(sent) = parcel else {
            continue;
        };
        match keys.look(sent.key()) {
            Some(present) if present.is_same(&sent) => gone.push(sent.key().to_vec()),
            Some(present) => changed.push(Parcel::Send(present.clone())),
            None => changed.push(Parcel::Delete(sent.key().to_vec())),
        }
    }
    for name in &gone {
        keys.unlink(name);
        keys.effect(Class::GENERIC, "del", name, 1);
    }
    if !counted {
        keys.ks.stats.dirty += gone.len() as u64;
    }
    if gone.is_empty() {
        keys.log_nothing();
    } else {
        let mut effect: Vec<&[u8]> = vec![b"DEL"];
        effect.extend(gone.iter().map(|name| &name[..]));
        keys.log(&effect);
    }
    (outcome, changed)
}
