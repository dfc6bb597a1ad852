//! The line that describes a client: CLIENT LIST, CLIENT INFO, log messages.

use std::sync::atomic::Ordering;

use crate::command::registry::Command;
use crate::dispatch::client::{Client, ClientFlags};
use crate::dispatch::core::Core;
use crate::pubsub::Kind;
use crate::tracking::Modes;

/// Letters of the flags in the order in which Redis prints them.
fn flag_letters(client: &Client, core: &Core) -> String {
    let tracks = |mode| {
        core.tracking
            .of(client.id)
            .is_some_and(|t| t.modes.contains(mode))
    };
    let is = |flag| client.is(flag);
    let table = [
        (is(ClientFlags::REPLICA), 'S'),
        (is(ClientFlags::MONITOR), 'O'),
        (is(ClientFlags::MASTER), 'M'),
        (client.subs.is_some(), 'P'),
        (client.multi.is_some(), 'x'),
        (client.blocked.is_some(), 'b'),
        (is(ClientFlags::TRACKING), 't'),
        (tracks(Modes::BROKEN_REDIR), 'R'),
        (tracks(Modes::BCAST), 'B'),
        (is(ClientFlags::DIRTY_CAS), 'd'),
        (is(ClientFlags::CLOSE_AFTER_REPLY), 'c'),
        (is(ClientFlags::UNIX), 'U'),
        (is(ClientFlags::NO_EVICT), 'e'),
        (is(ClientFlags::NO_TOUCH), 'T'),
    ];
    let letters: String = table
        .iter()
        .filter(|(on, _)| *on)
        .map(|(_, c)| *c)
        .collect();
    if letters.is_empty() {
        "N".into()
    } else {
        letters
    }
}

/// The client that gets the invalidations: -1 without tracking, 0 the client itself.
pub fn redirect(client: &Client, core: &Core) -> i64 {
    let tracker = core.tracking.of(client.id);
    tracker.map_or(-1, |t| i64::try_from(t.redirect).unwrap_or(i64::MAX))
}

/// `id=… addr=… …`, without a line end.
pub fn line(client: &Client, core: &Core) -> String {
    line_with(client, core, client.last)
}

/// The same, with this as the client's last command.
pub fn line_with(client: &Client, core: &Core, last: Option<&'static Command>) -> String {
    let conn = &client.conn;
    let now = core.now_ms();
    let query = conn.query_len.load(Ordering::Relaxed);
    let free = conn.query_free.load(Ordering::Relaxed);
    // A replica's part of the stream lies in the backlog.
    let own = conn.pending_out.load(Ordering::Relaxed) as u64;
    let pending = core.repl.stream_waiting(client.id).unwrap_or(0).max(own);
    let queued = conn.with(|outbox| outbox.output.pieces());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let subs = |kind| client.subs.as_ref().map_or(0, |subs| subs.count(kind));
    let events = if pending > 0 { "rw" } else { "r" };
    let waiting = client.waiting.as_ref().map_or(0, |w| w.batch.capacity());
    format!(
        "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={} db={} sub={} psub={} ssub={} multi={} watch={} qbuf={query} qbuf-free={free} argv-mem={waiting} multi-mem={} rbs={} rbp={} obl=0 oll={queued} omem={pending} tot-mem={} events={events} cmd={} user={} redir={} resp={} lib-name={} lib-ver={} io-thread=0 tot-net-in={} tot-net-out={} tot-cmds={}",
        client.id,
        conn.addr,
        conn.laddr,
        conn.fd,
        text(&client.name),
        (now - client.created_ms) / 1000,
        (now - client.active_ms).max(0) / 1000,
        flag_letters(client, core),
        client.db,
        subs(Kind::Channel),
        subs(Kind::Pattern),
        subs(Kind::Shard),
        client
            .multi
            .as_ref()
            .map_or(-1, |m| m.commands.len() as i64),
        client.watching.len(),
        client.multi.as_ref().map_or(0, |m| m.memory()),
        client.out.capacity(),
        client.out.capacity(),
        client.memory(),
        last.map_or("NULL", |c| &c.full_name),
        text(&client.user.name),
        redirect(client, core),
        client.resp(),
        text(&client.lib_name),
        text(&client.lib_ver),
        client.total_in,
        client.total_out,
        client.total_commands,
    )
}
