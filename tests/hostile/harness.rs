//! Runs one attack and checks what has to hold after every one.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::support::{Client, Server, Value, words};

/// Most that the resident memory may grow by one attack.
const GROWTH: u64 = 64 << 20;
/// The server answers others within this time; generous, because test machines are busy.
const PATIENCE: Duration = Duration::from_secs(2);

/// What an attack may be answered with.
pub enum Want {
    /// An error whose text begins like this.
    Error(&'static str),
    /// This reply, as [`shown`] writes it.
    Is(&'static str),
    /// Anything; only the server's health counts.
    Any,
}

/// A reply in one line: strings as they are, `(nil)`, `[a b]`.
pub fn shown(value: &Value) -> String {
    let list = |items: &[Value]| {
        format!(
            "[{}]",
            items.iter().map(shown).collect::<Vec<_>>().join(" ")
        )
    };
    match value {
        Value::Error(text) => format!("-{text}"),
        Value::NullBulk | Value::NullArray | Value::Null => "(nil)".into(),
        Value::Array(items) | Value::Set(items) | Value::Push(items) => list(items),
        other => other.text(),
    }
}

/// Resident memory of the server in bytes.
pub fn rss(server: &Server) -> u64 {
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("a live process");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .expect("VmRSS");
    let kib = line.split_ascii_whitespace().nth(1).expect("a number");
    kib.parse::<u64>().expect("a number") * 1024
}

/// A server under attack.
pub struct Target {
    pub server: Server,
    pub client: Client,
    baseline: u64,
}

impl Target {
    pub fn new(options: &[&str]) -> Target {
        let server = Server::with_options(options);
        let client = server.connect();
        let baseline = rss(&server);
        Target {
            server,
            client,
            baseline,
        }
    }

    /// Sends a line, written as for redis-cli.
    pub fn say(&mut self, line: &str) -> Value {
        self.client.line(line)
    }

    /// What the server uses from here on is what attacks may add to.
    pub fn settle(&mut self) {
        self.baseline = rss(&self.server);
    }

    /// The line alone, and once more in the middle of a pipeline.
    pub fn attack(&mut self, line: &str, want: &Want) {
        let begin = Instant::now();
        let reply = self.say(line);
        check(line, &reply, want);
        self.assert_well(line);
        let args = words::split(line).expect("balanced quotes");
        let lines: [&[&str]; 2] = [&["ECHO", "before"], &["ECHO", "after"]];
        let mut wire = crate::support::resp::encode(lines[0]);
        wire.extend(crate::support::resp::encode(&args));
        wire.extend(crate::support::resp::encode(lines[1]));
        self.client.send_raw(&wire).expect("send");
        let mut read = || {
            self.client
                .read()
                .unwrap_or_else(|error| panic!("{line}: {error}"))
        };
        let (first, second, third) = (read(), read(), read());
        assert_eq!(
            (first.text().as_str(), third.text().as_str()),
            ("before", "after"),
            "{line}"
        );
        if let Want::Error(_) = want {
            check(line, &second, want);
        }
        self.assert_well(line);
        assert!(
            begin.elapsed() < 4 * PATIENCE,
            "{line}: {:?}",
            begin.elapsed()
        );
    }

    /// As [`Target::attack_all`], then each of them within MULTI and EXEC, and called by a script; the code of a script
    /// as a function too.
    pub fn attack_everywhere(&mut self, lines: &[(&str, Want)]) {
        self.attack_all(lines);
        for (line, want) in lines {
            let args = words::split(line).expect("balanced quotes");
            self.attack_inside(line, &args, want);
        }
    }

    fn attack_inside(&mut self, line: &str, args: &[Vec<u8>], want: &Want) {
        let name = String::from_utf8_lossy(&args[0]).to_ascii_uppercase();
        let mut wire = crate::support::resp::encode(&["MULTI"]);
        wire.extend(crate::support::resp::encode(args));
        wire.extend(crate::support::resp::encode(&["EXEC"]));
        self.client.send_raw(&wire).expect("send");
        let mut read = || {
            self.client
                .read()
                .unwrap_or_else(|error| panic!("{line} in MULTI: {error}"))
        };
        let (began, queued, result) = (read(), read(), read());
        assert_eq!(began.text(), "OK", "{line}");
        match (&result, want) {
            (Value::Array(replies), _) => {
                assert_eq!(replies.len(), 1, "{line}: {result:?}");
                if let Want::Error(_) = want {
                    check(line, &replies[0], want);
                }
            }
            (_, Want::Error(_)) => check(line, &queued, want),
            _ => assert!(result.text().starts_with("EXECABORT"), "{line}: {result:?}"),
        }
        self.assert_well(line);
        let mut call: Vec<&[u8]> = vec![b"EVAL", b"return redis.call(unpack(ARGV))", b"0"];
        call.extend(args.iter().map(Vec::as_slice));
        let reply = self.client.call(&call);
        if let Want::Error(_) = want {
            assert!(reply.is_error(), "{line} in a script: {reply:?}");
        }
        self.assert_well(line);
        if name == "EVAL" {
            let body: [&[u8]; 3] = [
                b"#!lua name=hostile\nredis.register_function('hostile', function(KEYS, ARGV) ",
                &args[1],
                b"\nend)",
            ];
            let loaded = self
                .client
                .call(&[&b"FUNCTION"[..], b"LOAD", b"REPLACE", &body.concat()]);
            if !loaded.is_error() {
                let reply = self.client.call(&["FCALL", "hostile", "0"]);
                if let Want::Error(_) = want {
                    assert!(reply.is_error(), "{line} in a function: {reply:?}");
                }
            }
            self.assert_well(line);
        }
    }

    pub fn attack_all(&mut self, lines: &[(&str, Want)]) {
        for (line, want) in lines {
            self.attack(line, want);
        }
    }

    /// Alive, answering others, no larger than before, and without a panic in the log.
    pub fn assert_well(&mut self, after: &str) {
        let begin = Instant::now();
        let mut other = self.server.connect();
        other.send(&["PING"]).expect("send");
        let reply = other
            .read()
            .unwrap_or_else(|error| panic!("no PING after {after}: {error}"));
        assert!(
            matches!(
                reply.text().as_str(),
                "PONG" | "NOAUTH Authentication required."
            ),
            "{reply:?}"
        );
        assert!(
            begin.elapsed() < PATIENCE,
            "PING took {:?} after {after}",
            begin.elapsed()
        );
        assert!(self.server.is_running(), "{after}:\n{}", self.server.log());
        let grown = rss(&self.server).saturating_sub(self.baseline);
        assert!(grown < GROWTH, "{} MiB more after {after}", grown >> 20);
        let log = self.server.log();
        assert!(
            !log.contains("panic") && !log.contains("BUG REPORT"),
            "{after}:\n{log}"
        );
    }
}

fn check(line: &str, reply: &Value, want: &Want) {
    let text = shown(reply);
    match want {
        Want::Error(begin) => assert!(
            text.starts_with(&format!("-{begin}")),
            "{line}: {text}, not {begin}"
        ),
        Want::Is(wanted) => assert_eq!(text, *wanted, "{line}"),
        Want::Any => {}
    }
}

/// Sends as much as the peer takes within a moment.
pub fn pour(stream: &mut std::net::TcpStream, bytes: &[u8], times: usize) -> usize {
    stream
        .set_write_timeout(Some(Duration::from_millis(200)))
        .expect("a timeout");
    let mut sent = 0;
    for _ in 0..times {
        match stream.write(bytes) {
            Ok(n) => sent += n,
            Err(_) => break,
        }
    }
    sent
}
