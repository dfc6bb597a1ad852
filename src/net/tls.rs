//! Connections with TLS: the handshake, and the stream that a connection's task uses like any other.
//!
//! Handshakes cost a millisecond of arithmetic each, so they have a thread of their own; a connection moves to its
//! place when it is through.

use std::io::{self, BufRead, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio_rustls::TlsAcceptor;

use super::socket::Socket;
use crate::base::alloc::{Apart, Kind};

/// A handshake that takes longer is given up.
const PATIENCE: Duration = Duration::from_secs(10);
/// The first byte of every handshake: the type of its record.
const HANDSHAKE: u8 = 22;

/// Starts the thread of handshakes.
///
/// # Errors
/// The system's.
pub fn start_thread() -> io::Result<Handle> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let handle = runtime.handle().clone();
    std::thread::Builder::new()
        .name("ferrite-tls".into())
        .spawn(move || runtime.block_on(std::future::pending::<()>()))?;
    Ok(handle)
}

/// A connection whose handshake is done, on its way to its place.
pub struct Ready {
    stream: std::net::TcpStream,
    session: ServerConnection,
}

impl AsRawFd for Ready {
    fn as_raw_fd(&self) -> RawFd {
        self.stream.as_raw_fd()
    }
}

impl Ready {
    /// The client's own certificate, if it showed one.
    pub fn certificate(&self) -> Option<&[u8]> {
        let first = self.session.peer_certificates()?.first()?;
        Some(first)
    }

    /// Registers it with the present runtime.
    pub fn into_socket(self) -> io::Result<TlsSocket> {
        Ok(TlsSocket {
            stream: TcpStream::from_std(self.stream)?,
            state: Mutex::new(State {
                session: self.session,
                memory: Apart::new(Kind::Tls, 0),
                taken: 0,
                ended: false,
            }),
            // The last message of the handshake may have come with the first request.
            waits: AtomicBool::new(true),
        })
    }

    /// Writes a text, if the peer takes it at once, and closes.
    pub fn refuse(mut self, text: &str) {
        let mut stream = &self.stream;
        let written = self.session.writer().write_all(text.as_bytes());
        self.session.send_close_notify();
        while written.is_ok() && self.session.wants_write() {
            if self.session.write_tls(&mut stream).is_err() {
                return;
            }
        }
    }
}

/// Does the handshake.
///
/// # Errors
/// Why there is no connection; the peer has been told, if it speaks TLS.
pub async fn shake_hands(
    stream: std::net::TcpStream,
    config: Arc<ServerConfig>,
) -> io::Result<Ready> {
    let stream = TcpStream::from_std(stream)?;
    let work = async {
        let mut first = [0];
        if stream.peek(&mut first).await? == 0 {
            return Err(io::Error::other("the connection ended before it began"));
        }
        if first[0] != HANDSHAKE {
            // Plain text: an alert would only be taken for a reply.
            return Err(io::Error::other("wrong version number: no TLS record came"));
        }
        TlsAcceptor::from(config).accept(stream).await
    };
    let done = tokio::time::timeout(PATIENCE, work).await;
    let late = |_| io::Error::other("the handshake took too long");
    let (stream, session) = done.map_err(late)??.into_inner();
    let stream = stream.into_std()?;
    Ok(Ready { stream, session })
}

/// The stream. A write of which the system does not take everything at once blocks as a whole; the task then comes again
/// with the same bytes, and perhaps more behind them.
pub struct TlsSocket {
    stream: TcpStream,
    state: Mutex<State>,
    /// There may be input that has left the system's buffer.
    waits: AtomicBool,
}

struct State {
    session: ServerConnection,
    /// Its buffers: up to some 100 KiB while a peer does not read.
    memory: Apart,
    /// Bytes that are encrypted, while their records are not all written.
    taken: usize,
    /// Nothing more comes.
    ended: bool,
}

/// The system's socket as the library wants it.
struct Raw<'a> {
    stream: &'a TcpStream,
    /// Less came than there was room for: nothing is left.
    drained: bool,
}

impl Read for Raw<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.stream.try_read(buf)?;
        if 0 < n && n < buf.len() {
            self.drained = true;
            // The next readiness is a new event.
            let drained = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
            let _ = self.stream.try_io(Interest::READABLE, drained);
        }
        Ok(n)
    }
}

impl Write for Raw<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.stream.try_write(buf)
    }

    fn write_vectored(&mut self, parts: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.stream.try_write_vectored(parts)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl State {
    /// Writes the records that wait.
    fn flush(&mut self, stream: &TcpStream) -> io::Result<()> {
        let mut raw = Raw {
            stream,
            drained: false,
        };
        while self.session.wants_write() {
            self.memory.during(|| self.session.write_tls(&mut raw))?;
        }
        Ok(())
    }

    /// Appends up to `max` decrypted bytes to `buf`.
    fn decrypted(&mut self, buf: &mut Vec<u8>, max: usize) -> io::Result<usize> {
        let mut total = 0;
        while total < max {
            let mut reader = self.session.reader();
            let n = match reader.fill_buf() {
                Ok([]) => {
                    self.ended = true;
                    break;
                }
                Ok(bytes) => {
                    let n = bytes.len().min(max - total);
                    buf.extend_from_slice(&bytes[..n]);
                    n
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // Many clients end without a goodbye.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    self.ended = true;
                    break;
                }
                Err(error) => return Err(error),
            };
            self.memory.during(|| reader.consume(n));
            total += n;
        }
        Ok(total)
    }

    fn read(&mut self, stream: &TcpStream, buf: &mut Vec<u8>, max: usize) -> io::Result<usize> {
        let mut raw = Raw {
            stream,
            drained: false,
        };
        let mut total = 0;
        loop {
            total += self.decrypted(buf, max - total)?;
            if total == max || self.ended {
                return Ok(total);
            }
            let read = if raw.drained {
                Err(io::ErrorKind::WouldBlock.into())
            } else {
                self.memory.during(|| self.session.read_tls(&mut raw))
            };
            match read {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // What came is worth more than that nothing else did; a failure comes again.
                Err(_) if total > 0 => return Ok(total),
                Err(error) => return Err(error),
            }
            let processed = self.memory.during(|| self.session.process_new_packets());
            // Answers of the protocol and alerts; what does not fit goes out with the next write.
            let _ = self.flush(stream);
            if let Err(error) = processed {
                tracing::debug!("A TLS connection failed: {error}");
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
        }
    }
}

impl TlsSocket {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Socket for TlsSocket {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.waits.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        self.stream.poll_read_ready(cx)
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_write_ready(cx)
    }

    fn read(&self, buf: &mut Vec<u8>, max: usize) -> io::Result<usize> {
        let mut state = self.state();
        let read = state.read(&self.stream, buf, max);
        let more = state.ended || read.as_ref().is_ok_and(|n| *n == max);
        self.waits.store(more, Ordering::Relaxed);
        read
    }

    fn write(&self, parts: &[io::IoSlice<'_>]) -> io::Result<usize> {
        let mut state = self.state();
        if state.taken == 0 {
            state.flush(&self.stream)?;
            let State {
                session, memory, ..
            } = &mut *state;
            state.taken = memory.during(|| session.writer().write_vectored(parts))?;
        }
        state.flush(&self.stream)?;
        Ok(std::mem::take(&mut state.taken))
    }
}

impl Drop for TlsSocket {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        state.session.send_close_notify();
        // The peer may be gone, or not read.
        let _ = state.flush(&self.stream);
    }
}
