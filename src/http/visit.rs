//! Commands of the console: they run as its user, through look-up, gate and handler as those of any other client.

use std::sync::Arc;

use super::auth::Login;
use crate::acl;
use crate::acl::log::Context;
use crate::command::args::Args;
use crate::command::spec::Flags;
use crate::dispatch::client::{Client, ClientFlags};
use crate::dispatch::server::Server;
use crate::net::conn::Conn;
use crate::resp::reply::Reply;
use crate::resp::request::{Batch, Parser, Rules};

/// Longest argument; the head of a request is far shorter.
const ARGUMENT_MAX: i64 = 64 * 1024;

const ONLY_READS: &[u8] = b"-ERR the console only reads\r\n";

/// Somebody at the console and what he wants to know.
pub struct Visit {
    /// `None` without credentials: then it is the user `default`, if that needs no password.
    pub login: Option<Login>,
    pub peer: String,
    pub db: usize,
    pub batch: Box<Batch>,
    /// Bytes of one reply.
    pub reply_max: usize,
}

/// What became of a visit.
#[derive(Debug, PartialEq, Eq)]
pub enum Seen {
    /// There is no such user, or the password is wrong, or one is needed.
    Unknown,
    NoSuchDb,
    /// A reply to each command in RESP3; `None` stands for one that is too large.
    Replies(Vec<Option<Vec<u8>>>),
}

/// The commands as a client would send them. `None` if one is not fit to be sent.
pub fn batch(commands: &[Vec<&[u8]>]) -> Option<Box<Batch>> {
    let mut batch = Box::<Batch>::default();
    for words in commands {
        crate::log::encode(&mut batch.buf, words.iter().copied());
    }
    let rules = Rules {
        authenticated: true,
        max_bulk: ARGUMENT_MAX,
        max_query: usize::MAX,
    };
    Parser::default().parse(&mut batch, &rules).ok()?;
    (batch.commands.len() == commands.len()).then_some(batch)
}

/// Runs the commands of a visit.
pub fn receive(server: &mut Server, visit: &Visit) -> Seen {
    server.tick();
    let Some(mut client) = client_of(server, visit) else {
        return Seen::Unknown;
    };
    if visit.db >= server.ks.dbs.len() {
        return Seen::NoSuchDb;
    }
    client.db = visit.db;
    let batch = &*visit.batch;
    let replies =
        (0..batch.commands.len()).map(|at| run(server, &mut client, batch.args(at), visit));
    Seen::Replies(replies.collect())
}

/// The visitor as a client that stands in no list: it lives as long as its commands run.
fn client_of(server: &mut Server, visit: &Visit) -> Option<Client> {
    let core = &mut server.core;
    let id = core
        .listeners
        .as_ref()
        .map_or(u64::MAX, |l| l.counters().fresh_id());
    let conn = Conn::new(id, visit.peer.clone(), String::new(), false, -1, true);
    // What somebody looks at is not in use for that.
    let flags = ClientFlags::AUTHENTICATED | ClientFlags::NO_TOUCH;
    let mut client = Client::new(Arc::new(conn), core.now_ms(), flags);
    client.name = b"console".to_vec();
    client.resp3 = true;
    let users = &core.acl.users;
    let user = match &visit.login {
        Some(login) => users.authenticate(&login.user, &login.password),
        None => Some(users.default_user()).filter(|_| users.is_open()),
    };
    match (user.cloned(), &visit.login) {
        (Some(user), _) => {
            client.user = user;
            Some(client)
        }
        (None, Some(login)) => {
            acl::log::failed_login(core, &client, Context::Toplevel, b"http", &login.user);
            None
        }
        (None, None) => None,
    }
}

fn run(server: &mut Server, client: &mut Client, args: Args<'_>, visit: &Visit) -> Option<Vec<u8>> {
    let changes = Flags::WRITE | Flags::MAY_REPLICATE;
    let command = server.core.commands.find(&args).ok();
    if command.is_some_and(|command| command.flags.intersects(changes)) {
        // Nothing here asks for it; but a command may have been given the name of another.
        return Some(ONLY_READS.to_vec());
    }
    let mut out = Reply::new();
    out.set_resp3(true);
    out.set_cap(visit.reply_max);
    server.runner().execute(client, &mut out, args);
    if out.is_over() || out.len() > visit.reply_max {
        return None;
    }
    let (chunks, last) = out.take();
    let mut bytes =
        Vec::with_capacity(chunks.iter().map(|c| c.bytes().len()).sum::<usize>() + last.len());
    chunks
        .iter()
        .for_each(|chunk| bytes.extend_from_slice(chunk.bytes()));
    bytes.extend_from_slice(&last);
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::testing::Bench;

    fn visit(login: Option<(&str, &str)>, line: &str) -> Visit {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        Visit {
            login: login.map(|(user, password)| Login {
                user: user.into(),
                password: password.into(),
            }),
            peer: "127.0.0.1:1".into(),
            db: 0,
            batch: batch(&[words]).unwrap(),
            reply_max: 64,
        }
    }

    fn said(bench: &mut Bench, login: Option<(&str, &str)>, line: &str) -> Seen {
        receive(&mut bench.server, &visit(login, line))
    }

    fn reply(text: &str) -> Seen {
        Seen::Replies(vec![Some(text.as_bytes().to_vec())])
    }

    #[test]
    fn visitors_have_the_rights_of_their_user() {
        let mut bench = Bench::new();
        bench.say("SET a 1");
        assert_eq!(said(&mut bench, None, "GET a"), reply("$1\r\n1\r\n"));
        bench.say("ACL SETUSER bob on >pw ~b* +get");
        let bob = Some(("bob", "pw"));
        let denied = "-NOPERM No permissions to access a key\r\n";
        assert_eq!(said(&mut bench, bob, "GET a"), reply(denied));
        assert_eq!(said(&mut bench, bob, "GET b"), reply("_\r\n"));
        assert_eq!(
            said(&mut bench, Some(("bob", "no")), "GET b"),
            Seen::Unknown
        );
        assert!(bench.say("ACL LOG").contains("$8 username $3 bob"));
        bench.say("CONFIG SET requirepass x");
        assert_eq!(said(&mut bench, None, "GET a"), Seen::Unknown);
        let default = Some(("default", "x"));
        assert_eq!(said(&mut bench, default, "GET a"), reply("$1\r\n1\r\n"));
    }

    #[test]
    fn replies_are_bounded() {
        let mut bench = Bench::new();
        bench.run(&["SET", "a", &"x".repeat(1000)]);
        bench.run(&["SET", "b", &"x".repeat(100_000)]);
        for key in ["a", "b"] {
            let got = said(&mut bench, None, &format!("GET {key}"));
            assert_eq!(got, Seen::Replies(vec![None]));
        }
        let mut there = visit(None, "GET a");
        there.db = 16;
        assert_eq!(receive(&mut bench.server, &there), Seen::NoSuchDb);
    }

    #[test]
    fn nothing_is_changed() {
        let mut bench = Bench::new();
        let refused = Seen::Replies(vec![Some(ONLY_READS.to_vec())]);
        for line in ["SET a 1", "DEL a", "FLUSHALL", "PUBLISH a b", "EVAL x 0"] {
            assert_eq!(said(&mut bench, None, line), refused, "{line}");
        }
        assert_eq!(bench.say("DBSIZE"), ":0");
    }
}
