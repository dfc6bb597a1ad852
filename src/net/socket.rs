//! Streams that a connection can run over.

use std::io;
use std::task::{Context, Poll};

use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};

/// A connected stream, as the connection's task uses it.
pub trait Socket: Send + Sync + 'static {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    /// Appends up to `max` bytes to `buf`'s spare room.
    fn read(&self, buf: &mut Vec<u8>, max: usize) -> io::Result<usize>;
    fn write(&self, parts: &[io::IoSlice<'_>]) -> io::Result<usize>;
}

/// Reads into the part of a vector that is beyond its length.
struct Tail<'a>(bytes::buf::Limit<&'a mut Vec<u8>>);

impl<'a> Tail<'a> {
    fn of(buf: &'a mut Vec<u8>, max: usize) -> Tail<'a> {
        Tail(bytes::BufMut::limit(buf, max))
    }
}

macro_rules! socket {
    ($stream:ty) => {
        impl Socket for $stream {
            fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.poll_read_ready(cx)
            }

            fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.poll_write_ready(cx)
            }

            fn read(&self, buf: &mut Vec<u8>, max: usize) -> io::Result<usize> {
                let n = self.try_read_buf(&mut Tail::of(buf, max).0)?;
                if 0 < n && n < max {
                    // Everything that had come was taken: the next readiness is a new event, so
                    // the read that would only say so can be spared.
                    let drained = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
                    let _ = self.try_io(Interest::READABLE, drained);
                }
                Ok(n)
            }

            fn write(&self, parts: &[io::IoSlice<'_>]) -> io::Result<usize> {
                match parts {
                    [one] => self.try_write(one),
                    many => self.try_write_vectored(many),
                }
            }
        }
    };
}

socket!(TcpStream);
socket!(UnixStream);
