//! A connection to a server: blocking, with what has come and was not read yet.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, poll};
use rustls::pki_types::ServerName;

use super::options::{Target, Tls};
use crate::resp::decode::{self, Decoder, Fault, Limits, Value};
use crate::tls::blocking::Stream;
use crate::tls::tool;

/// The user asked the server: what it sends is wanted, as long as it is a reply. Nothing is reserved by these numbers.
const LIMITS: Limits = Limits {
    line: 64 << 20,
    bulk: 8 << 30,
    items: 1 << 32,
    depth: 512,
};

/// Bytes asked for at a time.
const READ: usize = 64 << 10;

/// Bytes to and from a server.
pub trait Wire: Read + Write + AsFd + Send {
    /// A second handle of the same connection: one thread may write while another one reads.
    fn second(&self) -> io::Result<Box<dyn Wire>>;

    /// Input has come that the socket does not show any more.
    fn has_input(&self) -> bool {
        false
    }
}

impl Wire for TcpStream {
    fn second(&self) -> io::Result<Box<dyn Wire>> {
        Ok(Box::new(self.try_clone()?))
    }
}

impl Wire for UnixStream {
    fn second(&self) -> io::Result<Box<dyn Wire>> {
        Ok(Box::new(self.try_clone()?))
    }
}

/// Why a connection cannot be used any more.
#[derive(Debug)]
pub enum Broken {
    Closed,
    Io(io::Error),
    Fault(Fault),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Broken::Closed => f.write_str("Server closed the connection"),
            Broken::Io(error) => f.write_str(&reason(error)),
            Broken::Fault(fault) => fault.fmt(f),
        }
    }
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Broken {
        match error.kind() {
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof => Broken::Closed,
            _ => Broken::Io(error),
        }
    }
}

/// What the C library says of an error.
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    text.strip_prefix("failed to lookup address information: ")
        .unwrap_or(text)
        .to_owned()
}

/// A connection.
pub struct Link {
    wire: Box<dyn Wire>,
    buf: Vec<u8>,
    /// What of `buf` has been read.
    at: usize,
    decoder: Decoder,
}

impl Link {
    /// Connects.
    ///
    /// # Errors
    /// The reason, for people.
    pub fn open(target: &Target) -> Result<Link, String> {
        let wire: Box<dyn Wire> = match &target.socket {
            Some(path) => Box::new(UnixStream::connect(path).map_err(|e| reason(&e))?),
            None => {
                let stream = connect(target).map_err(|e| reason(&e))?;
                // Only the first byte of a request waits otherwise.
                let _ = stream.set_nodelay(true);
                let keepalive =
                    socket2::TcpKeepalive::new().with_time(std::time::Duration::from_secs(15));
                let _ = socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive);
                match &target.tls {
                    Some(tls) => encrypt(stream, tls, target)?,
                    None => Box::new(stream),
                }
            }
        };
        Ok(Link {
            wire,
            buf: Vec::new(),
            at: 0,
            decoder: Decoder::new(LIMITS),
        })
    }

    /// A second handle of the socket, to end it from elsewhere.
    pub fn handle(&self) -> io::Result<socket2::Socket> {
        self.wire.as_fd().try_clone_to_owned().map(Into::into)
    }

    pub fn send<A: AsRef<[u8]>>(&mut self, words: &[A]) -> Result<(), Broken> {
        let mut out = Vec::new();
        decode::command(words, &mut out);
        self.send_raw(&out)
    }

    pub fn send_raw(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        self.wire.write_all(bytes)?;
        Ok(self.wire.flush()?)
    }

    /// For a thread that writes while this one reads.
    pub fn second_wire(&self) -> Result<Box<dyn Wire>, Broken> {
        Ok(self.wire.second()?)
    }

    /// True if something (or the end) has come within so many milliseconds.
    pub fn is_readable(&self, timeout_ms: u16) -> bool {
        if self.wire.has_input() {
            return true;
        }
        let mut fds = [PollFd::new(self.wire.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, timeout_ms).is_ok_and(|ready| ready > 0)
    }

    /// The next reply or message; waits for it.
    pub fn read(&mut self) -> Result<Value, Broken> {
        loop {
            if let Some(value) = self.ready()? {
                return Ok(value);
            }
            self.fill()?;
        }
    }

    /// The next reply or message, if it has come.
    pub fn ready(&mut self) -> Result<Option<Value>, Broken> {
        let mut rest = &self.buf[self.at..];
        let value = self.decoder.read(&mut rest);
        self.at = self.buf.len() - rest.len();
        value.map_err(Broken::Fault)
    }

    /// Waits for bytes, and takes all that the socket does not show any more.
    pub fn fill(&mut self) -> Result<(), Broken> {
        self.fill_once()?;
        while self.wire.has_input() {
            self.fill_once()?;
        }
        Ok(())
    }

    fn fill_once(&mut self) -> Result<(), Broken> {
        self.buf.drain(..self.at);
        self.at = 0;
        let len = self.buf.len();
        self.buf.resize(len + READ, 0);
        let read = loop {
            match self.wire.read(&mut self.buf[len..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.buf.truncate(len + *read.as_ref().unwrap_or(&0));
        match read? {
            0 => Err(Broken::Closed),
            _ => Ok(()),
        }
    }

    /// Sends a command and gives its reply; messages that come by themselves are dropped.
    pub fn call<A: AsRef<[u8]>>(&mut self, words: &[A]) -> Result<Value, Broken> {
        self.send(words)?;
        loop {
            match self.read()? {
                Value::Push(_) => {}
                value => return Ok(value),
            }
        }
    }

    /// Sends commands in one go and gives their replies.
    pub fn call_all<A: AsRef<[u8]>>(&mut self, commands: &[Vec<A>]) -> Result<Vec<Value>, Broken> {
        let mut out = Vec::new();
        for words in commands {
            decode::command(words, &mut out);
        }
        self.send_raw(&out)?;
        let mut replies = Vec::with_capacity(commands.len());
        while replies.len() < commands.len() {
            match self.read()? {
                Value::Push(_) => {}
                value => replies.push(value),
            }
        }
        Ok(replies)
    }

    /// A line of what is no reply, without its end.
    pub fn line(&mut self, max: usize) -> Result<Vec<u8>, Broken> {
        loop {
            let rest = &self.buf[self.at..];
            if let Some(end) = memchr::memchr(b'\n', rest) {
                let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
                let line = line.to_vec();
                self.at += end + 1;
                return Ok(line);
            }
            if rest.len() > max {
                return Err(Broken::Io(io::Error::other("a line is too long")));
            }
            self.fill()?;
        }
    }

    /// Some bytes of what is no reply, at most `max`; waits for the first.
    pub fn bytes(&mut self, max: u64) -> Result<&[u8], Broken> {
        if self.at == self.buf.len() {
            self.fill()?;
        }
        let have = self.buf.len() - self.at;
        let len = usize::try_from(max).map_or(have, |max| max.min(have));
        self.at += len;
        Ok(&self.buf[self.at - len..self.at])
    }

    /// Nothing came that was not read.
    pub fn is_drained(&self) -> bool {
        self.at == self.buf.len() && self.decoder.is_between()
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wire.as_fd()
    }
}

fn connect(target: &Target) -> io::Result<TcpStream> {
    let addrs = (target.host.as_str(), target.port).to_socket_addrs()?;
    let mut addrs: Vec<SocketAddr> = addrs.collect();
    // As hiredis does: most servers that have both listen to IPv4.
    addrs.sort_by_key(SocketAddr::is_ipv6);
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for addr in addrs {
        let stream = match target.timeout {
            Some(timeout) => TcpStream::connect_timeout(&addr, timeout),
            None => TcpStream::connect(addr),
        };
        match stream {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Longest handshake, unless `-t` says otherwise.
const HANDSHAKE: Duration = Duration::from_secs(30);

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket().as_fd()
    }
}

impl Wire for Stream {
    fn second(&self) -> io::Result<Box<dyn Wire>> {
        Ok(Box::new(self.try_clone()?))
    }

    fn has_input(&self) -> bool {
        Stream::has_input(self)
    }
}

fn encrypt(stream: TcpStream, tls: &Tls, target: &Target) -> Result<Box<dyn Wire>, String> {
    let text = |path: &Option<PathBuf>| {
        let path = path.as_ref();
        path.map_or(String::new(), |path| path.to_string_lossy().into_owned())
    };
    let config = tool::client(&tool::Wishes {
        ca_file: text(&tls.ca_file),
        ca_dir: text(&tls.ca_dir),
        cert: text(&tls.cert),
        key: text(&tls.key),
        ciphers: tls.ciphers.clone().unwrap_or_default(),
        ciphersuites: tls.ciphersuites.clone().unwrap_or_default(),
        insecure: tls.insecure,
        sends_name: tls.sni.is_some(),
    })?;
    let name = match &tls.sni {
        Some(name) => ServerName::try_from(name.clone()).map_err(|e| format!("--sni: {e}"))?,
        None => crate::tls::any_name(),
    };
    let patience = target.timeout.unwrap_or(HANDSHAKE);
    let stream = Stream::connect_to(stream, config, name, patience);
    let stream = stream.map_err(|error| format!("TLS handshake: {}", reason(&error)))?;
    // Those of the handshake.
    stream
        .socket()
        .set_write_timeout(None)
        .map_err(|e| reason(&e))?;
    Ok(Box::new(stream))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// A link to a server that says this and closes.
    fn told(bytes: &'static [u8]) -> Link {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut target = crate::shell::options::Options::default().target;
        target.port = listener.local_addr().unwrap().port();
        let link = Link::open(&target).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        peer.write_all(bytes).unwrap();
        link
    }

    #[test]
    fn replies_then_the_end() {
        let mut link = told(b"+OK\r\n$3\r\nabc\r\n:1");
        assert_eq!(link.read().unwrap(), Value::Status(b"OK".to_vec()));
        assert_eq!(link.read().unwrap(), Value::Bulk(b"abc".to_vec()));
        let end = link.read().unwrap_err();
        assert_eq!(end.to_string(), "Server closed the connection");
        assert!(!link.is_drained());
    }

    #[test]
    fn lines_and_bytes_of_a_transfer() {
        let mut link = told(b"\n$5\r\nhelloworld");
        assert_eq!(link.line(10).unwrap(), b"");
        assert_eq!(link.line(10).unwrap(), b"$5");
        assert_eq!(link.bytes(5).unwrap(), b"hello");
        assert_eq!(link.bytes(100).unwrap(), b"world");
        assert!(link.is_drained());
    }

    #[test]
    fn reasons_are_those_of_the_c_library() {
        let mut target = crate::shell::options::Options::default().target;
        target.port = 1;
        assert_eq!(Link::open(&target).err().unwrap(), "Connection refused");
        target.socket = Some("/nosuch/socket".into());
        assert_eq!(
            Link::open(&target).err().unwrap(),
            "No such file or directory"
        );
    }
}
