//! The talk with the other server, on a thread of its own.

use std::io::{self, BufReader, BufWriter, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;

use super::{Address, Answer, Parcel, Request};
use crate::rdb::value::{self, Encoder};
use crate::tls::blocking::Stream;

/// Longest line that another server may reply.
const LINE_MAX: usize = 64 * 1024;
/// It is not known what database the other side has selected.
const UNKNOWN_DB: i64 = -1;

/// A connection to another server.
pub(super) struct Connection {
    input: BufReader<Stream>,
    output: BufWriter<Stream>,
    /// What the other side has selected.
    db: i64,
    pub(super) used: Instant,
}

/// What could not be done, and why.
type Failure = (&'static str, io::Error);

impl Request {
    /// Sends parcels and reads what the other server says to each.
    pub(super) fn deliver(
        &self,
        parcels: Vec<Parcel>,
        connection: Option<Connection>,
        now_ms: i64,
        replace: bool,
    ) -> Answer {
        let mut answer = Answer {
            parcels,
            arrived: Vec::new(),
            error: None,
            connection: None,
        };
        let kept = connection.is_some();
        let mut done = self.converse(connection, &mut answer, now_ms, replace);
        if kept
            && answer.arrived.is_empty()
            && let Err((_, error)) = &done
            && !is_timeout(error)
        {
            // The other side may have closed a connection that was not used for a while.
            done = self.converse(None, &mut answer, now_ms, replace);
        }
        match done {
            Ok(connection) => answer.connection = Some(connection),
            Err((step, error)) => {
                let (host, port) = &self.address;
                tracing::debug!("MIGRATE: {step} {host}:{port}: {error}");
                let text = format!("IOERR error or timeout {step} to target instance");
                answer.error = Some(text.into_bytes());
            }
        }
        answer
    }

    fn converse(
        &self,
        connection: Option<Connection>,
        answer: &mut Answer,
        now_ms: i64,
        replace: bool,
    ) -> Result<Connection, Failure> {
        let writing = |error| ("writing", error);
        let reading = |error| ("reading", error);
        let deadline = Instant::now() + self.timeout;
        let mut connection = match connection {
            Some(connection) => connection,
            None => {
                let tls = self.tls.clone().map_err(|e| writing(io::Error::other(e)))?;
                Connection::open(&self.address, self.timeout, tls).map_err(writing)?
            }
        };
        connection.set_timeout(self.timeout).map_err(writing)?;
        let select = connection.db != self.db;
        self.write_all(&mut connection, &answer.parcels, select, now_ms, replace)
            .map_err(writing)?;
        for wanted in [!self.auth.is_empty(), select] {
            if wanted && let Err(text) = connection.read_status(deadline).map_err(reading)? {
                answer.error.get_or_insert_with(|| told(&text));
            }
        }
        let refused = answer.error.is_some();
        if refused {
            connection.db = UNKNOWN_DB;
        } else {
            connection.db = self.db;
        }
        for _ in 0..answer.parcels.len() {
            let reply = connection.read_status(deadline).map_err(reading)?;
            // Without the right user or database nothing has arrived where it should.
            answer.arrived.push(reply.is_ok() && !refused);
            if let Err(text) = reply {
                answer.error.get_or_insert_with(|| told(&text));
            }
        }
        connection.used = Instant::now();
        Ok(connection)
    }

    fn write_all(
        &self,
        connection: &mut Connection,
        parcels: &[Parcel],
        select: bool,
        now_ms: i64,
        replace: bool,
    ) -> io::Result<()> {
        let out = &mut connection.output;
        if !self.auth.is_empty() {
            let words: Vec<&[u8]> = self.auth.iter().map(|word| &word[..]).collect();
            write_command(out, &words)?;
        }
        if select {
            let db = self.db.to_string();
            write_command(out, &[b"SELECT", db.as_bytes()])?;
        }
        let mut encoder = Encoder::new(self.compress, 0);
        for parcel in parcels {
            let Parcel::Send(entry) = parcel else {
                write_command(out, &[b"DEL", parcel.key()])?;
                continue;
            };
            // What ends meanwhile lives for another moment there.
            let left = |at: i64| at.saturating_sub(now_ms).max(1);
            let ttl = entry.expire().map_or(0, left).to_string();
            let payload = value::encode(entry, &mut encoder)?;
            let mut words: Vec<&[u8]> = vec![b"RESTORE", entry.key(), ttl.as_bytes(), &payload];
            if replace {
                words.push(b"REPLACE");
            }
            write_command(out, &words)?;
        }
        out.flush()
    }
}

fn is_timeout(error: &io::Error) -> bool {
    let kind = error.kind();
    matches!(kind, io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
}

/// What the other server says, in our words.
fn told(text: &[u8]) -> Vec<u8> {
    [b"ERR Target instance replied with error: ", text].concat()
}

fn write_command(out: &mut impl Write, words: &[&[u8]]) -> io::Result<()> {
    write!(out, "*{}\r\n", words.len())?;
    for word in words {
        write!(out, "${}\r\n", word.len())?;
        out.write_all(word)?;
        out.write_all(b"\r\n")?;
    }
    Ok(())
}

impl Connection {
    fn open(
        address: &Address,
        timeout: Duration,
        tls: Option<Arc<ClientConfig>>,
    ) -> io::Result<Connection> {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for place in (address.0.as_str(), address.1).to_socket_addrs()? {
            match TcpStream::connect_timeout(&place, timeout) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    let stream = Stream::connect(stream, tls, timeout)?;
                    return Ok(Connection {
                        input: BufReader::new(stream.try_clone()?),
                        output: BufWriter::new(stream),
                        db: UNKNOWN_DB,
                        used: Instant::now(),
                    });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn set_timeout(&self, timeout: Duration) -> io::Result<()> {
        let stream = self.input.get_ref().socket();
        stream.set_write_timeout(Some(timeout))
    }

    /// A reply of one line, which has to come before `deadline`: its text if it is an error.
    fn read_status(&mut self, deadline: Instant) -> io::Result<Result<(), Vec<u8>>> {
        let mut line = Vec::new();
        let mut byte = [0];
        while !line.ends_with(b"\r\n") {
            if line.len() >= LINE_MAX {
                return Err(io::ErrorKind::InvalidData.into());
            }
            if self.input.buffer().is_empty() {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                self.input.get_ref().socket().set_read_timeout(Some(left))?;
            }
            self.input.read_exact(&mut byte)?;
            line.push(byte[0]);
        }
        line.truncate(line.len() - 2);
        match line.split_first() {
            Some((b'-', text)) => Ok(Err(text.to_vec())),
            Some((b'+' | b':', _)) => Ok(Ok(())),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}
