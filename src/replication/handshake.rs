//! The replica's side of a new link, without I/O: lines of the master come in, requests go out,
//! until it is clear how the data comes.
//!
//! The order is that of Redis 7: PING, AUTH, REPLCONF, PSYNC. Before PSYNC the master is asked for
//! its history (INFO replication): whether an unknown id is a new branch of the replica's own
//! history, or another one, decides whether its data may replace the replica's.

use super::history::{History, NO_ID};

/// What the replica tells about itself.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// `masteruser`, `masterauth`.
    pub user: Vec<u8>,
    pub password: Vec<u8>,
    /// `replica-announce-port` or the port it listens on.
    pub port: u16,
    /// `replica-announce-ip`, empty if none.
    pub ip: String,
    /// Where its data comes from: history and offset; `None` if it has nothing to go on from.
    pub at: Option<(String, u64)>,
    /// The PSYNC takes over the mastership (FAILOVER).
    pub failover: bool,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send these bytes, then read a line.
    Send(Vec<u8>),
    /// Read another line.
    Line,
    /// Read that many bytes and a line end, and pass them to [`Handshake::bulk`].
    Bulk(usize),
    /// The data comes as a whole.
    Full { id: String, offset: u64 },
    /// The stream goes on where it was, under this id if it is a new one.
    Continue { id: Option<String> },
    /// Not now: try again later.
    Retry(String),
    /// This master cannot be used as it is.
    Fail(String),
}

/// The Valkey whose transfers are understood: with fields of hashes that expire, in RDB version 80. Valkey 9 gives a
/// replica that does not say so RDB version 11, which has no place for them, and ends the transfer. Redis answers
/// with an error, which is passed over.
const READS_LIKE: &[u8] = b"9.0.0";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ping,
    Auth,
    Port,
    Ip,
    Capa,
    Version,
    Info,
    InfoEnd,
    Psync,
}

/// What the master said of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MasterFacts {
    /// Its history, if it told it.
    pub id: Option<String>,
    pub id2: Option<String>,
    pub second_offset: Option<i64>,
    pub offset: Option<u64>,
    /// Histories before those, each with the offset at which it ended.
    pub earlier: Vec<(String, u64)>,
}

impl MasterFacts {
    /// Whether the master's data comes from the same history as ours.
    pub fn is_related(&self, ours: &History) -> bool {
        let theirs = [&self.id, &self.id2].into_iter().flatten();
        let mut theirs = theirs.chain(self.earlier.iter().map(|(id, _)| id));
        let earlier = |id| ours.earlier.iter().any(|(other, _)| other == id);
        theirs.any(|id| ours.knows(id) || earlier(id))
    }
}

/// A link that is being made.
#[derive(Debug)]
pub struct Handshake {
    identity: Identity,
    state: State,
    pub facts: MasterFacts,
}

/// The request of these words.
pub fn request(words: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    crate::log::encode(&mut out, words.iter().copied());
    out
}

impl Handshake {
    /// Begins; returns it with the first bytes to send.
    pub fn begin(identity: Identity) -> (Handshake, Vec<u8>) {
        let handshake = Handshake {
            identity,
            state: State::Ping,
            facts: MasterFacts::default(),
        };
        (handshake, request(&[b"PING"]))
    }

    /// Everything is told; the answer to PSYNC is to come.
    pub fn asks_for_stream(&self) -> bool {
        self.state == State::Psync
    }

    /// A line of the master, without its end.
    pub fn line(&mut self, line: &[u8]) -> Step {
        // Empty lines keep the link alive while the master prepares its answer.
        if line.is_empty() && self.state != State::InfoEnd {
            return Step::Line;
        }
        let text = String::from_utf8_lossy(line).into_owned();
        let error = line.first() == Some(&b'-');
        match self.state {
            State::Ping => self.after_ping(&text, error),
            State::Auth if error => Step::Fail(format!("Unable to AUTH to MASTER: {text}")),
            State::Auth => self.go(State::Port),
            // Masters that do not know an option can do without it.
            State::Port if self.identity.ip.is_empty() => self.go(State::Capa),
            State::Port => self.go(State::Ip),
            State::Ip => self.go(State::Capa),
            State::Capa => self.go(State::Version),
            State::Version => self.go(State::Info),
            State::Info => self.after_info(&text),
            State::InfoEnd => self.go(State::Psync),
            State::Psync => self.after_psync(&text),
        }
    }

    fn after_ping(&mut self, text: &str, error: bool) -> Step {
        let asks = ["-NOAUTH", "-NOPERM", "-ERR operation not permitted"];
        if error && !asks.iter().any(|start| text.starts_with(start)) {
            return Step::Retry(format!("Error reply to PING from master: '{text}'"));
        }
        if self.identity.password.is_empty() {
            self.go(State::Port)
        } else {
            self.go(State::Auth)
        }
    }

    fn after_info(&mut self, text: &str) -> Step {
        // Without the right to ask, the master's history stays unknown.
        match text.strip_prefix('$').map(str::parse::<usize>) {
            Some(Ok(len)) if len <= 1 << 20 => {
                self.state = State::InfoEnd;
                Step::Bulk(len)
            }
            Some(_) => Step::Fail("the master's INFO makes no sense".into()),
            None => self.go(State::Psync),
        }
    }

    /// The text of INFO. The line end behind it has been read.
    pub fn bulk(&mut self, text: &[u8]) -> Step {
        let text = String::from_utf8_lossy(text);
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.strip_prefix(':')).map(str::trim)
        };
        let id = |name| field(name).filter(|id| *id != NO_ID).map(String::from);
        self.facts = MasterFacts {
            id: id("master_replid"),
            id2: id("master_replid2"),
            second_offset: field("second_repl_offset").and_then(|n| n.parse().ok()),
            offset: field("master_repl_offset").and_then(|n| n.parse().ok()),
            earlier: field("master_replid_earlier").map_or(Vec::new(), History::parse_earlier),
        };
        self.go(State::Psync)
    }

    fn after_psync(&self, text: &str) -> Step {
        let mut words = text.split_ascii_whitespace();
        match words.next() {
            Some("+FULLRESYNC") => {
                let (id, offset) = (words.next(), words.next().map(str::parse));
                match (id, offset) {
                    (Some(id), Some(Ok(offset))) if id.len() == 40 => Step::Full {
                        id: id.into(),
                        offset,
                    },
                    _ => Step::Fail(format!(
                        "Master replied with wrong +FULLRESYNC syntax: {text}"
                    )),
                }
            }
            Some("+CONTINUE") => Step::Continue {
                id: words.next().filter(|id| id.len() == 40).map(String::from),
            },
            Some("-NOMASTERLINK" | "-LOADING" | "-MASTERDOWN") => Step::Retry(format!(
                "Master is currently unable to PSYNC but should be in the future: {text}"
            )),
            _ => Step::Fail(format!("Unexpected reply to PSYNC from master: {text}")),
        }
    }

    /// Goes to a state; returns its request.
    fn go(&mut self, state: State) -> Step {
        self.state = state;
        let identity = &self.identity;
        let port = identity.port.to_string();
        Step::Send(match state {
            State::Ping => request(&[b"PING"]),
            State::Auth if identity.user.is_empty() => request(&[b"AUTH", &identity.password]),
            State::Auth => request(&[b"AUTH", &identity.user, &identity.password]),
            State::Port => request(&[b"REPLCONF", b"listening-port", port.as_bytes()]),
            State::Ip => request(&[b"REPLCONF", b"ip-address", identity.ip.as_bytes()]),
            State::Capa => request(&[b"REPLCONF", b"capa", b"eof", b"capa", b"psync2"]),
            State::Version => request(&[b"REPLCONF", b"version", READS_LIKE]),
            State::Info => request(&[b"INFO", b"replication"]),
            State::InfoEnd => return Step::Line,
            State::Psync => self.psync(),
        })
    }

    fn psync(&self) -> Vec<u8> {
        let (id, next) = match &self.identity.at {
            Some((id, offset)) => (id.as_str(), (offset + 1).to_string()),
            None => ("?", "-1".into()),
        };
        let mut words: Vec<&[u8]> = vec![b"PSYNC", id.as_bytes(), next.as_bytes()];
        if self.identity.failover {
            words.push(b"FAILOVER");
        }
        request(&words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(step: Step) -> String {
        match step {
            Step::Send(bytes) => {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let words = text.split("\r\n").filter(|w| !w.is_empty());
                let words = words.filter(|w| !w.starts_with(['*', '$']));
                words.collect::<Vec<_>>().join(" ")
            }
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn the_steps_are_those_of_redis() {
        let identity = Identity {
            user: b"u".to_vec(),
            password: b"p".to_vec(),
            port: 6380,
            ip: "10.0.0.1".into(),
            at: Some(("a".repeat(40), 99)),
            failover: false,
        };
        let (mut link, first) = Handshake::begin(identity);
        assert_eq!(sent(Step::Send(first)), "PING");
        assert_eq!(
            sent(link.line(b"-NOAUTH Authentication required.")),
            "AUTH u p"
        );
        assert_eq!(sent(link.line(b"+OK")), "REPLCONF listening-port 6380");
        assert_eq!(sent(link.line(b"+OK")), "REPLCONF ip-address 10.0.0.1");
        assert_eq!(
            sent(link.line(b"-ERR unknown")),
            "REPLCONF capa eof capa psync2"
        );
        assert_eq!(sent(link.line(b"+OK")), "REPLCONF version 9.0.0");
        let unknown = b"-ERR Unrecognized REPLCONF option: version";
        assert_eq!(sent(link.line(unknown)), "INFO replication");
        assert_eq!(link.line(b"$5"), Step::Bulk(5));
        let info = format!(
            "# Replication\r\nmaster_replid:{}\r\nmaster_replid2:{NO_ID}\r\nmaster_repl_offset:7\r\n",
            "c".repeat(40)
        );
        assert_eq!(
            sent(link.bulk(info.as_bytes())),
            format!("PSYNC {} 100", "a".repeat(40))
        );
        assert_eq!(link.facts.offset, Some(7));
        assert!(link.facts.is_related(&History::of("c".repeat(40))));
        assert!(!link.facts.is_related(&History::of("a".repeat(40))));
        assert_eq!(link.line(b""), Step::Line);
        let full = format!("+FULLRESYNC {} 500", "b".repeat(40));
        let wanted = Step::Full {
            id: "b".repeat(40),
            offset: 500,
        };
        assert_eq!(link.line(full.as_bytes()), wanted);
    }

    #[test]
    fn what_makes_no_sense_ends_the_link() {
        let at_psync = || {
            let (mut link, _) = Handshake::begin(Identity::default());
            for line in [&b"+PONG"[..], b"+OK", b"+OK", b"-ERR no", b"-NOPERM no"] {
                assert!(matches!(link.line(line), Step::Send(_)));
            }
            link
        };
        for bad in ["+FULLRESYNC", "+FULLRESYNC abc 5", "+OK", "*3", "-ERR no"] {
            assert!(
                matches!(at_psync().line(bad.as_bytes()), Step::Fail(_)),
                "{bad}"
            );
        }
        assert!(matches!(at_psync().line(b"-LOADING wait"), Step::Retry(_)));
        assert_eq!(at_psync().line(b"+CONTINUE"), Step::Continue { id: None });
        let (mut link, _) = Handshake::begin(Identity::default());
        assert!(matches!(link.line(b"-LOADING x"), Step::Retry(_)));
    }
}
