//! A connection to another server for threads that may wait: plain or with TLS, with handles for reading and writing.
//!
//! What TLS knows is behind a lock that nobody holds while the socket makes them wait, so that one thread can write while
//! another one waits for input.

use std::io::{self, BufRead, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

/// Bytes read from the socket at a time.
const READ: usize = 32 * 1024;

/// One handle; clones are of the same connection. One thread at a time may read.
#[derive(Debug)]
pub struct Stream {
    socket: TcpStream,
    tls: Option<Arc<Tls>>,
}

#[derive(Debug)]
struct Tls {
    state: Mutex<ClientConnection>,
    /// Held while records are made and sent, so that they go out in order.
    way_out: Mutex<()>,
    /// Input that is not decrypted yet.
    input: Mutex<Input>,
}

#[derive(Debug, Default)]
struct Input {
    bytes: Vec<u8>,
    used: usize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn damaged(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl Stream {
    pub fn plain(socket: TcpStream) -> Stream {
        Stream { socket, tls: None }
    }

    /// With TLS if there is a configuration for it. The handshake has `patience`, and leaves the socket's timeouts for
    /// reading unset.
    ///
    /// # Errors
    /// If the handshake fails.
    pub fn connect(
        socket: TcpStream,
        config: Option<Arc<ClientConfig>>,
        patience: Duration,
    ) -> io::Result<Stream> {
        match config {
            Some(config) => Stream::connect_to(socket, config, super::any_name(), patience),
            None => Ok(Stream::plain(socket)),
        }
    }

    /// With TLS, to a server that is called so.
    ///
    /// # Errors
    /// If the handshake fails.
    pub fn connect_to(
        socket: TcpStream,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
        patience: Duration,
    ) -> io::Result<Stream> {
        let mut state = ClientConnection::new(config, name).map_err(damaged)?;
        let deadline = Instant::now() + patience;
        socket.set_write_timeout(Some(patience))?;
        let mut out = &socket;
        loop {
            while state.wants_write() {
                state.write_tls(&mut out)?;
            }
            if !state.is_handshaking() {
                break;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            socket.set_read_timeout(Some(left))?;
            match state.read_tls(&mut out) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            if let Err(error) = state.process_new_packets() {
                // The other side may want to know why; it may also be gone.
                let _ = state.write_tls(&mut out);
                return Err(damaged(error));
            }
        }
        socket.set_read_timeout(None)?;
        let tls = Tls {
            state: Mutex::new(state),
            way_out: Mutex::default(),
            input: Mutex::default(),
        };
        Ok(Stream {
            socket,
            tls: Some(Arc::new(tls)),
        })
    }

    /// Another handle.
    ///
    /// # Errors
    /// The system's.
    pub fn try_clone(&self) -> io::Result<Stream> {
        Ok(Stream {
            socket: self.socket.try_clone()?,
            tls: self.tls.clone(),
        })
    }

    /// Ends the connection for all handles.
    pub fn shutdown(&self) {
        if let Some(tls) = &self.tls {
            tls.say_goodbye(&self.socket);
        }
        // It may have ended by itself.
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    /// Input has come that the socket does not show any more.
    pub fn has_input(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| {
            let input = lock(&tls.input);
            let fed = input.used == input.bytes.len();
            !fed || lock(&tls.state)
                .reader()
                .fill_buf()
                .is_ok_and(|bytes| !bytes.is_empty())
        })
    }

    /// The socket, to set what is to be set there. Not for data.
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.peer_addr()
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

impl Tls {
    fn read(&self, mut socket: &TcpStream, buf: &mut [u8]) -> io::Result<usize> {
        let mut input = lock(&self.input);
        loop {
            let (fed, answers) = {
                let mut state = lock(&self.state);
                if let Some(n) = take(&mut state, buf)? {
                    return Ok(n);
                }
                let Input { bytes, used } = &mut *input;
                let fed = *used < bytes.len();
                if fed {
                    *used += state.read_tls(&mut &bytes[*used..])?;
                    state.process_new_packets().map_err(damaged)?;
                }
                (fed, state.wants_write())
            };
            if answers {
                self.send(socket, &[])?;
            }
            if !fed {
                input.bytes.resize(READ, 0);
                let read = socket.read(&mut input.bytes);
                input.bytes.truncate(*read.as_ref().unwrap_or(&0));
                input.used = 0;
                if read? == 0 {
                    // An end without a goodbye is an end all the same.
                    return Ok(0);
                }
            }
        }
    }

    fn send(&self, mut socket: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
        let _in_order = lock(&self.way_out);
        let mut records = Vec::new();
        let n = {
            let mut state = lock(&self.state);
            let n = state.writer().write(bytes)?;
            while state.wants_write() {
                state.write_tls(&mut records)?;
            }
            n
        };
        socket.write_all(&records)?;
        Ok(n)
    }

    fn say_goodbye(&self, mut socket: &TcpStream) {
        // Whoever holds these writes and may have to wait; then there is no goodbye.
        if let (Ok(_in_order), Ok(mut state)) = (self.way_out.try_lock(), self.state.try_lock()) {
            state.send_close_notify();
            let mut records = Vec::new();
            let made = state.write_tls(&mut records);
            drop(state);
            if made.is_ok() && socket.set_nonblocking(true).is_ok() {
                let _ = socket.write_all(&records);
            }
        }
    }
}

/// Decrypted bytes, if there are any; 0 at the end.
fn take(state: &mut ClientConnection, buf: &mut [u8]) -> io::Result<Option<usize>> {
    let mut reader = state.reader();
    match reader.fill_buf() {
        Ok(bytes) => {
            let n = bytes.len().min(buf.len());
            buf[..n].copy_from_slice(&bytes[..n]);
            reader.consume(n);
            Ok(Some(n))
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

impl Read for &Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match &self.tls {
            None => (&self.socket).read(buf),
            Some(tls) => tls.read(&self.socket, buf),
        }
    }
}

impl Write for &Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match &self.tls {
            None => (&self.socket).write(buf),
            Some(tls) => tls.send(&self.socket, buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&mut &*self).read(buf)
    }
}

impl Write for Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&mut &*self).write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
