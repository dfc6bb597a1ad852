//! Commands in process: nothing panics, every call gets exactly one whole reply, and none takes long.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ferrite::config::Config;
use ferrite::config::enums::AllowFrom;
use ferrite::dispatch::client::{Client, ClientFlags};
use ferrite::dispatch::server::Server;
use ferrite::net::conn::Conn;
use ferrite::resp::reply::Reply;
use ferrite::resp::request::{Batch, Parser, Rules};

use crate::bytes::Bytes;
use crate::calls::{self, Call};
use crate::reply;

/// Longer than any call on so little data may take, even in a slow build on a busy machine.
const TOO_LONG: Duration = Duration::from_secs(5);

/// Sub-commands of DEBUG that end or stop the process on purpose, or fill the memory.
const NOT_RUN: &[&str] = &[
    "debug|sleep",
    "debug|segfault",
    "debug|panic",
    "debug|restart",
    "debug|crash-and-recover",
    "debug|assert",
    "debug|oom",
    "debug|populate",
];

/// A server with one client and no network.
pub struct Session {
    pub server: Server,
    client: Client,
    /// All calls so far, for the report.
    pub history: Vec<Call>,
}

impl Default for Session {
    fn default() -> Self {
        let mut config = Config::default();
        config.adjust(|settings| {
            settings.enable_debug_command = AllowFrom::Yes;
            settings.proto_max_bulk_len = 1 << 20;
            // Saves are tried and fail: no file is left behind.
            settings.dbfilename = "/nonexistent/dump.rdb".into();
        });
        let conn = Conn::new(
            1,
            "127.0.0.1:1".into(),
            "127.0.0.1:2".into(),
            false,
            0,
            true,
        );
        let client = Client::new(Arc::new(conn), 0, ClientFlags::AUTHENTICATED);
        Session {
            server: Server::new(config),
            client,
            history: Vec::new(),
        }
    }
}

/// True for calls that would end, stop or bloat this process by design, or change it for good.
fn is_excluded(call: &Call) -> bool {
    let lower = |at: usize| {
        call.get(at)
            .map(|arg| String::from_utf8_lossy(arg).to_ascii_lowercase())
            .unwrap_or_default()
    };
    let full = format!("{}|{}", lower(0), lower(1));
    if full == "config|set" {
        // Limits of the process and of what a call may take.
        return (2..call.len()).any(|at| {
            matches!(
                lower(at).as_str(),
                "maxclients"
                    | "proto-max-bulk-len"
                    | "oom-score-adj"
                    | "oom-score-adj-values"
                    | "maxmemory"
                    | "requirepass"
            )
        });
    }
    // Files, other servers, and the life of a replica.
    let elsewhere = [
        "save",
        "bgsave",
        "bgrewriteaof",
        "migrate",
        "replicaof",
        "slaveof",
    ];
    elsewhere.contains(&lower(0).as_str())
        || NOT_RUN.contains(&full.as_str())
        || full.starts_with("debug|")
            && !matches!(
                &full[6..],
                "object"
                    | "digest"
                    | "digest-value"
                    | "listpack"
                    | "quicklist"
                    | "htstats"
                    | "protocol"
                    | "stringmatch-len"
                    | "sdslen"
                    | "ziplist"
                    | "help"
            )
}

fn is_unsubscribe(word: &[u8]) -> bool {
    [&b"unsubscribe"[..], b"punsubscribe", b"sunsubscribe"]
        .iter()
        .any(|name| word.eq_ignore_ascii_case(name))
}

impl Session {
    /// Runs one call and checks the reply.
    pub fn run(&mut self, call: Call) {
        if call.is_empty() || is_excluded(&call) {
            return;
        }
        let mut batch = Batch {
            buf: encode(&call),
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
        self.history.push(call);
        let is_word = |at: usize, word: &[u8]| {
            batch
                .args(0)
                .iter()
                .nth(at)
                .is_some_and(|arg| arg.eq_ignore_ascii_case(word))
        };
        // What was to be skipped of a command that waits is skipped here: its waiting was ended without a reply.
        let silent = self.client.flags.intersects(
            ClientFlags::REPLY_OFF | ClientFlags::REPLY_SKIP_NEXT | ClientFlags::REPLY_SKIP,
        );
        let mut out = Reply::new();
        out.set_resp3(self.client.resp3);
        self.server.tick();
        let begin = Instant::now();
        self.server
            .runner()
            .execute(&mut self.client, &mut out, batch.args(0));
        let took = begin.elapsed();
        // Whoever waits has no reply yet.
        let waits = self.client.blocked.take();
        if let Some(blocked) = &waits {
            self.server.core.blocking.remove(self.client.id, blocked);
        }
        let (chunks, last) = out.take();
        let mut bytes: Vec<u8> = chunks
            .iter()
            .flat_map(|chunk| chunk.bytes().to_vec())
            .collect();
        bytes.extend(last);
        // SHUTDOWN that works does not answer.
        let ends = self.server.core.shutdown.take().is_some();
        // Replicas get their stream beside the replies, and their word needs none.
        let follows = is_word(0, b"replconf") || self.client.flags.contains(ClientFlags::REPLICA);
        if self.client.flags.contains(ClientFlags::REPLICA) {
            self.client.flags.remove(ClientFlags::REPLICA);
            self.server.core.repl.forget(self.client.id);
        }
        let quiet = ends
            || silent
            || follows
            || waits.is_some()
            || self
                .client
                .flags
                .intersects(ClientFlags::REPLY_OFF | ClientFlags::REPLY_SKIP_NEXT);
        // These show what stands beside replies in RESP3.
        let two = self.client.resp3 && is_word(0, b"debug") && is_word(1, b"protocol");
        let replies = reply::count(&bytes);
        // Subscribers get as many replies as channels, and messages; in a transaction too.
        let subscribes = self.client.subs.is_some()
            || self.client.resp3
            || self
                .history
                .iter()
                .rev()
                .take(if is_word(0, b"exec") { usize::MAX } else { 1 })
                .take_while(|call| !call[0].eq_ignore_ascii_case(b"multi"))
                .any(|call| is_unsubscribe(&call[0]));
        assert!(
            replies == Some(1)
                || subscribes && replies.is_some()
                || two && replies == Some(2)
                || quiet && replies.is_some_and(|n| n <= 1),
            "one reply: {}",
            shown(&bytes)
        );
        assert!(took < TOO_LONG, "{took:?}");
    }

    /// Lets time pass: what is due expires, and the cron runs.
    pub fn pass_ms(&mut self, ms: i64) {
        self.server.core.clock.skip_ms(ms);
        self.server.tick();
        let _ = self.server.expire();
        self.server.cron();
    }

    /// The calls so far as lines for redis-cli.
    pub fn report(&self) -> String {
        self.history
            .iter()
            .map(|call| {
                call.iter()
                    .map(|arg| shown(arg))
                    .collect::<Vec<_>>()
                    .join(" ")
                    + "\n"
            })
            .collect()
    }
}

fn encode(call: &Call) -> Vec<u8> {
    let mut wire = format!("*{}\r\n", call.len()).into_bytes();
    for arg in call {
        wire.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        wire.extend_from_slice(arg);
        wire.extend_from_slice(b"\r\n");
    }
    wire
}

fn shown(bytes: &[u8]) -> String {
    let mut out = Vec::new();
    ferrite::base::words::quote(&bytes[..bytes.len().min(400)], &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// Runs what the bytes ask for on `session`.
pub fn run_on(session: &mut Session, data: &[u8]) {
    let mut bytes = Bytes::new(data);
    while !bytes.is_empty() {
        if bytes.once_in(50) {
            session.pass_ms([1, 100, 1500, 100_000][bytes.below(4)]);
        }
        session.run(calls::next(&mut bytes));
    }
}
