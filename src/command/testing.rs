//! Commands in process, for the tests of the families: no socket, no runtime.

use std::sync::Arc;

use crate::command::ctx::{Ctx, Outcome};
use crate::config::Config;
use crate::dispatch::client::{Client, ClientFlags, Waiting};
use crate::dispatch::server::{Server, Turn};
use crate::keyspace::effect::Class;
use crate::net::conn::Conn;
use crate::resp::reply::Reply;
use crate::resp::request::{Batch, Parser, Rules};

/// A server with one client.
pub struct Bench {
    pub server: Server,
    pub client: Client,
}

/// A request as it comes over a connection.
fn request<A: AsRef<[u8]>>(words: &[A]) -> Batch {
    let mut wire = Vec::new();
    crate::log::encode(&mut wire, words.iter().map(AsRef::as_ref));
    let mut batch = Batch {
        buf: wire,
        ..Batch::default()
    };
    let rules = Rules {
        authenticated: true,
        max_bulk: 512 << 20,
        max_query: 1 << 30,
    };
    Parser::default()
        .parse(&mut batch, &rules)
        .expect("a well-formed request");
    batch
}

impl Default for Bench {
    fn default() -> Self {
        Bench::new()
    }
}

impl Bench {
    pub fn new() -> Bench {
        let conn = Conn::new(
            1,
            "127.0.0.1:1".into(),
            "127.0.0.1:2".into(),
            false,
            0,
            true,
        );
        let client = Client::new(Arc::new(conn), 0, ClientFlags::AUTHENTICATED);
        Bench {
            server: Server::new(Config::default()),
            client,
        }
    }

    /// Runs one command; returns its reply in wire form.
    pub fn run<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Vec<u8> {
        let batch = request(args);
        let mut out = Reply::new();
        out.set_resp3(self.client.resp3);
        self.server.tick();
        self.server
            .runner()
            .execute(&mut self.client, &mut out, batch.args(0));
        let (chunks, last) = out.take();
        let mut bytes: Vec<u8> = chunks.iter().flat_map(|c| c.bytes().to_vec()).collect();
        bytes.extend(last);
        bytes
    }

    /// Adds a client beside the one that [`Bench::say`] speaks for; returns its id.
    pub fn join(&mut self, resp3: bool) -> u64 {
        let id = 100 + self.server.core.clients.len() as u64;
        let conn = Conn::new(id, format!("127.0.0.1:{id}"), "".into(), false, 0, true);
        let mut client = Client::new(Arc::new(conn), 0, ClientFlags::AUTHENTICATED);
        client.resp3 = resp3;
        client.out.set_resp3(resp3);
        let slot = self.server.core.clients.add(Box::new(client));
        let client = self.server.core.clients.at_mut(slot, id);
        let conn = &client.expect("just added").conn;
        conn.slot.store(slot, std::sync::atomic::Ordering::Relaxed);
        id
    }

    /// As [`Bench::say`] for a client that has joined.
    pub fn say_as(&mut self, id: u64, line: &str) -> String {
        let slot = self.server.core.clients.slot_of(id).expect("it has joined");
        let client = self.server.core.clients.take(slot, id);
        let mut client = client.expect("it is in its place");
        std::mem::swap(&mut self.client, &mut client);
        let reply = self.say(line);
        std::mem::swap(&mut self.client, &mut client);
        self.server.core.clients.put_back(slot, client);
        reply
    }

    /// Runs one command of a client that has joined as its connection would; true if it waits now, until another
    /// client's command ends that.
    pub fn waits(&mut self, id: u64, line: &str) -> bool {
        let words = crate::base::words::split(line.as_bytes()).expect("balanced quotes");
        let mut waiting = Waiting {
            batch: Box::new(request(&words)),
            next: 0,
            fault: None,
        };
        let slot = self.server.core.clients.slot_of(id).expect("it has joined");
        let client = self.server.core.clients.take(slot, id);
        let mut client = client.expect("it is in its place");
        let blocked = matches!(
            self.server.run_batch(&mut client, &mut waiting),
            Turn::Blocked
        );
        client.waiting = blocked.then_some(waiting);
        self.server.core.clients.put_back(slot, client);
        blocked
    }

    /// Ends the turn; returns what came to the client without a request, as [`Bench::say`] does.
    pub fn heard(&mut self, id: u64) -> String {
        self.server.end_turn();
        let client = self.server.core.clients.get(id).expect("it has joined");
        let output = client
            .conn
            .with(|outbox| std::mem::take(&mut outbox.output));
        let bytes: Vec<u8> = output.chunks().flat_map(|c| c.bytes().to_vec()).collect();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        text.trim_end().replace("\r\n", " ")
    }

    /// Runs one command given as words; returns its reply as text, quoted as `\r\n`-free lines
    /// joined by spaces: `+OK`, `:1`, `*2 $1 a $1 b`.
    pub fn say(&mut self, line: &str) -> String {
        let words = crate::base::words::split(line.as_bytes()).expect("balanced quotes");
        let reply = String::from_utf8_lossy(&self.run(&words)).into_owned();
        reply.trim_end().replace("\r\n", " ")
    }

    /// Runs one command without a server around its handler; returns the events that it
    /// announced, as `name key` in their order (`new` and `keymiss` are left out).
    pub fn events(&mut self, line: &str) -> String {
        self.handle(line).expect("no error");
        let events = self.server.ks.effects.events.drain(..);
        let events = events.filter(|event| !matches!(event.name, "new" | "keymiss"));
        let texts: Vec<String> = events
            .map(|event| format!("{} {}", event.name, String::from_utf8_lossy(&event.key)))
            .collect();
        texts.join(", ")
    }

    /// Runs one command without a server around its handler; its effects stay where they are
    /// collected.
    pub fn handle(&mut self, line: &str) -> Outcome {
        let words = crate::base::words::split(line.as_bytes()).expect("balanced quotes");
        let batch = request(&words);
        let args = batch.args(0);
        self.server.tick();
        let server = &mut self.server;
        let command = server.core.commands.find(&args).expect("a known command");
        server.ks.effects.begin();
        server.ks.effects.events.clear();
        server.ks.effects.touched.clear();
        server.ks.effects.wanted = Class::all();
        server.ks.effects.watching = true;
        let mut ctx = Ctx {
            args,
            db: server.ks.at(0),
            out: &mut Reply::new(),
            client: &mut self.client,
            core: &mut server.core,
            command,
        };
        (command.spec.run)(&mut ctx)
    }

    /// Lets `ms` milliseconds pass for expiry.
    pub fn pass_ms(&mut self, ms: i64) {
        self.server.core.clock.skip_ms(ms);
        self.server.tick();
    }
}

#[cfg(test)]
mod tests {
    use super::Bench;

    #[test]
    fn a_bench_answers() {
        let mut bench = Bench::new();
        assert_eq!(bench.say("PING"), "+PONG");
        assert_eq!(bench.say("echo 'a b'"), "$3 a b");
        assert_eq!(bench.say("SELECT 16"), "-ERR DB index is out of range");
        assert_eq!(
            bench.say("nosuch a b"),
            "-ERR unknown command 'nosuch', with args beginning with: 'a' 'b'"
        );
        assert_eq!(
            bench.say("PING a b"),
            "-ERR wrong number of arguments for 'ping' command"
        );
        assert!(bench.say("HELLO 3").starts_with("%7 $6 server $5 redis"));
    }
}
