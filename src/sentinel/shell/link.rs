//! One connection to an instance: a task that logs in, sends what the core orders, and reports what comes back.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::reply::{self, Value};
use crate::base::mailbox::Mailbox;
use crate::sentinel::core::types::{Addr, Login, Renames, Request, Wire};
use crate::tls;

/// How long connecting and logging in may each take.
const PATIENCE: Duration = Duration::from_secs(3);
pub const CHANNEL: &str = "__sentinel__:hello";

/// What is to be connected.
pub struct Job {
    pub wire: Wire,
    pub addr: Addr,
    pub login: Login,
    pub renames: Renames,
    /// For `CLIENT SETNAME`.
    pub name: String,
    /// TLS, if the connection is to have it; why it cannot have it.
    pub tls: Result<Option<Arc<ClientConfig>>, &'static str>,
}

/// What the task tells.
#[derive(Debug)]
pub enum Report {
    Connected {
        local_ip: String,
    },
    Answer(Request, Value),
    /// A message of the hello channel.
    Hello(String),
    /// The connection is over, and why.
    Closed(String),
}

/// A request with the renames of its instance.
pub type Order = (Request, Renames);

/// Runs the connection until it ends.
pub async fn run(job: Job, orders: Mailbox<Order>, report: impl Fn(Report)) {
    let reason = match log_in(&job).await {
        Ok((local_ip, stream, rest)) => {
            report(Report::Connected { local_ip });
            let end = match job.wire {
                Wire::Commands => serve(stream, rest, &orders, &report).await,
                Wire::Hello => listen(stream, rest, &report).await,
            };
            end.err()
                .map_or_else(|| "closed by the peer".into(), |e| e.to_string())
        }
        Err(error) => error.to_string(),
    };
    report(Report::Closed(reason));
}

fn error(text: impl Into<String>) -> io::Error {
    io::Error::other(text.into())
}

/// With TLS or without.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Connects; also gives the own address.
async fn connect(job: &Job) -> io::Result<(String, Box<dyn Stream>)> {
    let tls = job.tls.clone().map_err(error)?;
    let target = (&*job.addr.host, job.addr.port);
    let stream = timeout(PATIENCE, TcpStream::connect(target)).await;
    let stream = stream.map_err(|_| error("no connection in time"))??;
    stream.set_nodelay(true)?;
    let local = stream.local_addr();
    let local_ip = local.map_or(String::new(), |a| a.ip().to_canonical().to_string());
    let Some(config) = tls else {
        return Ok((local_ip, Box::new(stream)));
    };
    let shake = TlsConnector::from(config).connect(tls::any_name(), stream);
    let stream = timeout(PATIENCE, shake).await;
    let stream = stream.map_err(|_| error("no TLS handshake in time"))??;
    Ok((local_ip, Box::new(stream)))
}

/// Connects and logs in. Returns the own address, and what came after the last reply, too.
async fn log_in(job: &Job) -> io::Result<(String, Box<dyn Stream>, Vec<u8>)> {
    let (local_ip, mut stream) = connect(job).await?;
    let mut out = Vec::new();
    let mut expected = 1;
    if let Some(pass) = &job.login.pass {
        expected += 1;
        match &job.login.user {
            Some(user) => encode(&job.renames, &["AUTH", user, pass], &mut out),
            None => encode(&job.renames, &["AUTH", pass], &mut out),
        }
    }
    let naming = ["CLIENT", "SETNAME", &job.name];
    encode(&job.renames, &naming, &mut out);
    if job.wire == Wire::Hello {
        expected += 1;
        encode(&job.renames, &["SUBSCRIBE", CHANNEL], &mut out);
    }
    let replies = timeout(PATIENCE, exchange(&mut *stream, &out, expected)).await;
    let (replies, rest) = replies.map_err(|_| error("no answer in time"))??;
    for reply in &replies {
        let Value::Error(text) = reply else {
            continue;
        };
        // A refused AUTH alone is no failure: the server may let everybody in. Other commands may be unknown there.
        if text.starts_with("NOAUTH") {
            return Err(error(text.clone()));
        }
    }
    if job.wire == Wire::Hello
        && let Some(Value::Error(text)) = replies.last()
    {
        return Err(error(text.clone()));
    }
    Ok((local_ip, stream, rest))
}

async fn exchange(
    stream: &mut dyn Stream,
    out: &[u8],
    expected: usize,
) -> io::Result<(Vec<Value>, Vec<u8>)> {
    stream.write_all(out).await?;
    stream.flush().await?;
    let (mut replies, mut buf) = (Vec::new(), Vec::new());
    while replies.len() < expected {
        match next(&mut buf)? {
            Some(value) => replies.push(value),
            None => fill(stream, &mut buf).await?,
        }
    }
    Ok((replies, buf))
}

/// Takes a complete reply out of the buffer.
fn next(buf: &mut Vec<u8>) -> io::Result<Option<Value>> {
    match reply::read(buf) {
        Ok(Some((value, used))) => {
            buf.drain(..used);
            Ok(Some(value))
        }
        Ok(None) => Ok(None),
        Err(reply::Malformed) => Err(error("malformed reply")),
    }
}

async fn fill(stream: &mut dyn Stream, buf: &mut Vec<u8>) -> io::Result<()> {
    buf.reserve(4096);
    match stream.read_buf(buf).await? {
        0 => Err(error("closed by the peer")),
        _ => Ok(()),
    }
}

/// Sends orders and matches the replies to them.
async fn serve(
    mut stream: Box<dyn Stream>,
    mut buf: Vec<u8>,
    orders: &Mailbox<Order>,
    report: &impl Fn(Report),
) -> io::Result<()> {
    let mut waiting: VecDeque<(Request, Vec<Value>)> = VecDeque::new();
    let mut taken: Vec<Order> = Vec::new();
    loop {
        while let Some(value) = next(&mut buf)? {
            let Some((request, parts)) = waiting.front_mut() else {
                return Err(error("a reply that nobody asked for"));
            };
            parts.push(value);
            if parts.len() == replies_of(request)
                && let Some((request, mut parts)) = waiting.pop_front()
                && let Some(last) = parts.pop()
            {
                report(Report::Answer(request, last));
            }
        }
        tokio::select! {
            () = std::future::poll_fn(|cx| orders.poll_take(cx, &mut taken)) => {
                let mut out = Vec::new();
                for (request, renames) in taken.drain(..) {
                    render(&request, &renames, &mut out);
                    waiting.push_back((request, Vec::new()));
                }
                stream.write_all(&out).await?;
                // With TLS, records may wait.
                stream.flush().await?;
            }
            filled = fill(&mut *stream, &mut buf) => filled?,
        }
    }
}

/// Listens to the hello channel.
async fn listen(
    mut stream: Box<dyn Stream>,
    mut buf: Vec<u8>,
    report: &impl Fn(Report),
) -> io::Result<()> {
    loop {
        while let Some(value) = next(&mut buf)? {
            if let Value::Array(parts) = value
                && let [Value::Bulk(kind), Value::Bulk(_), Value::Bulk(text)] = parts.as_slice()
                && kind == "message"
            {
                report(Report::Hello(text.clone()));
            }
        }
        fill(&mut *stream, &mut buf).await?;
    }
}

/// Replies that a request brings.
fn replies_of(request: &Request) -> usize {
    match request {
        Request::Slaveof(_) => 6,
        _ => 1,
    }
}

/// The command in the bytes of the protocol.
fn render(request: &Request, renames: &Renames, out: &mut Vec<u8>) {
    let mut put = |words: &[&str]| encode(renames, words, out);
    match request {
        Request::Ping => put(&["PING"]),
        Request::Info => put(&["INFO"]),
        Request::Hello(text) => put(&["PUBLISH", CHANNEL, text]),
        Request::AskDown {
            addr, epoch, runid, ..
        } => put(&[
            "SENTINEL",
            "is-master-down-by-addr",
            &addr.ip,
            &addr.port.to_string(),
            &epoch.to_string(),
            runid,
        ]),
        Request::Slaveof(to) => {
            put(&["MULTI"]);
            match to {
                Some(addr) => put(&["SLAVEOF", &addr.host, &addr.port.to_string()]),
                None => put(&["SLAVEOF", "NO", "ONE"]),
            }
            put(&["CONFIG", "REWRITE"]);
            put(&["CLIENT", "KILL", "TYPE", "normal"]);
            put(&["CLIENT", "KILL", "TYPE", "pubsub"]);
            put(&["EXEC"]);
        }
        Request::Pause(ms) => put(&["CLIENT", "PAUSE", &ms.to_string(), "WRITE"]),
        Request::Unpause => put(&["CLIENT", "UNPAUSE"]),
        Request::ScriptKill => put(&["SCRIPT", "KILL"]),
    }
}

fn encode(renames: &Renames, words: &[&str], out: &mut Vec<u8>) {
    let own = words[0];
    let renamed = renames
        .iter()
        .find(|(from, _)| from.eq_ignore_ascii_case(own))
        .map_or(own, |(_, to)| to);
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in std::iter::once(renamed).chain(words[1..].iter().copied()) {
        out.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_use_the_names_that_the_instance_gives_its_commands() {
        let renames: Renames = vec![("config".into(), "guarded".into())].into();
        let mut out = Vec::new();
        render(&Request::Slaveof(None), &renames, &mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("$7\r\nguarded\r\n$7\r\nREWRITE") && !text.contains("CONFIG"));
        assert_eq!(
            text.matches('*').count(),
            replies_of(&Request::Slaveof(None))
        );
    }
}
