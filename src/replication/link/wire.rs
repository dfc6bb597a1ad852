//! The socket of a link: made, and read with the patience that a master is owed.

use std::io::{self, BufRead, BufReader, Read};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use super::{End, Shared};
use crate::tls::blocking::Stream;

/// Longest line of a handshake.
const LINE_MAX: u64 = 64 * 1024;

/// The master's socket. A process that was stopped and goes on finds its reads interrupted, because
/// they have a timeout: that is no reason to lose the link.
pub(super) struct Wire {
    pub socket: Stream,
    pub shared: Arc<Shared>,
    /// The data or the stream is being received: how a timeout is told depends on that.
    pub bulk: bool,
    pub stream: bool,
}

impl Read for Wire {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let begin = Instant::now();
        loop {
            match self.socket.read(buf) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_silence(&error) => {
                    // It may have been changed since.
                    let limit = self.shared.timeout_ms.load(Ordering::Acquire);
                    if begin.elapsed() >= Duration::from_millis(limit) {
                        return Err(self.silent());
                    }
                }
                result => return result,
            }
        }
    }
}

impl Wire {
    /// The master has said nothing for too long.
    fn silent(&self) -> io::Error {
        let text = if self.stream {
            "MASTER timeout: no data nor PING received..."
        } else if self.bulk {
            "Timeout receiving bulk data from MASTER... If the problem persists try to set the 'repl-timeout' parameter to a larger value."
        } else {
            "Timeout connecting to the MASTER..."
        };
        io::Error::new(io::ErrorKind::TimedOut, text)
    }
}

fn is_silence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

/// Connects to `addr`, from the address `source` unless that is empty.
pub(super) fn connect_from(
    source: &str,
    addr: SocketAddr,
    timeout: Duration,
) -> io::Result<TcpStream> {
    if source.is_empty() {
        return TcpStream::connect_timeout(&addr, timeout);
    }
    let source: IpAddr = source
        .parse()
        .map_err(|_| io::Error::other("bind-source-addr is no address"))?;
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(source, 0).into())?;
    socket.connect_timeout(&addr.into(), timeout)?;
    Ok(socket.into())
}

pub(super) fn read_error(error: io::Error) -> End {
    match error.kind() {
        io::ErrorKind::TimedOut => End::from(error.to_string()),
        _ => End::from(format!("Reading from master: {error}")),
    }
}

/// A line without its end.
pub(super) fn read_line(reader: &mut BufReader<Wire>) -> Result<Vec<u8>, End> {
    let mut line = Vec::new();
    let n = reader
        .by_ref()
        .take(LINE_MAX)
        .read_until(b'\n', &mut line)
        .map_err(read_error)?;
    if n == 0 || line.last() != Some(&b'\n') {
        return Err("I/O error reading from the master: the connection ended".into());
    }
    line.pop();
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(line)
}
