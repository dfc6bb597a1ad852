//! Output that waits to be written: pieces in order, the first maybe written in part.

use std::collections::VecDeque;
use std::io;

use super::socket::Socket;
use crate::resp::reply::Chunk;

/// Pieces given to one vectored write.
const WRITE_PARTS: usize = 64;
/// A reply buffer that grew beyond this is not kept for the next replies.
const KEEP_SPARE: usize = 64 * 1024;
/// Pieces that an empty list has room for at most.
const KEEP_LIST: usize = 256;
/// Replies that wait are put together up to this many bytes.
const JOINED: usize = 16 * 1024;

#[derive(Debug, Default)]
pub struct Output {
    chunks: VecDeque<Chunk>,
    /// Bytes of the first that are written.
    written: usize,
    /// Bytes that are not.
    len: usize,
}

impl Output {
    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Buffers that wait.
    pub fn pieces(&self) -> usize {
        self.chunks.len()
    }

    pub fn chunks(&self) -> impl Iterator<Item = &Chunk> {
        self.chunks.iter()
    }

    pub fn push(&mut self, chunk: Chunk) {
        let len = chunk.bytes().len();
        self.len += len;
        match (self.chunks.back_mut(), &chunk) {
            _ if len == 0 => {}
            // A peer that does not read may have a million short replies waiting.
            (Some(Chunk::Owned(last)), Chunk::Owned(next)) if last.len() + len <= JOINED => {
                last.extend_from_slice(next);
            }
            _ => self.chunks.push_back(chunk),
        }
    }

    /// Moves everything from `other` behind this.
    pub fn append(&mut self, other: &mut Output) {
        if self.is_empty() {
            std::mem::swap(self, other);
        } else {
            debug_assert_eq!(
                other.written, 0,
                "whoever writes has taken what came before"
            );
            self.len += std::mem::take(&mut other.len);
            self.chunks.append(&mut other.chunks);
            other.shrink();
        }
    }

    /// One write. Gives the number of bytes, and, when everything is written, the buffer of the last
    /// piece for the next replies.
    pub fn write_to<S: Socket + ?Sized>(
        &mut self,
        socket: &S,
    ) -> io::Result<(usize, Option<Vec<u8>>)> {
        let n = match (self.chunks.len(), self.chunks.front()) {
            (1, Some(one)) => socket.write(&[io::IoSlice::new(&one.bytes()[self.written..])])?,
            _ => self.write_many(socket)?,
        };
        Ok((n, self.forget(n)))
    }

    fn write_many<S: Socket + ?Sized>(&self, socket: &S) -> io::Result<usize> {
        let mut parts = [io::IoSlice::new(&[]); WRITE_PARTS];
        let mut used = 0;
        for (part, chunk) in parts.iter_mut().zip(&self.chunks) {
            let skip = if used == 0 { self.written } else { 0 };
            *part = io::IoSlice::new(&chunk.bytes()[skip..]);
            used += 1;
        }
        socket.write(&parts[..used])
    }

    /// Takes `n` bytes off the front.
    fn forget(&mut self, mut n: usize) -> Option<Vec<u8>> {
        self.len -= n;
        while let Some(first) = self.chunks.front() {
            let left = first.bytes().len() - self.written;
            if n < left {
                self.written += n;
                return None;
            }
            n -= left;
            self.written = 0;
            let first = self.chunks.pop_front();
            if !self.chunks.is_empty() {
                continue;
            }
            self.shrink();
            if let Some(Chunk::Owned(mut buf)) = first
                && buf.capacity() <= KEEP_SPARE
            {
                buf.clear();
                return Some(buf);
            }
        }
        None
    }

    /// A list that was long is not kept.
    fn shrink(&mut self) {
        if self.chunks.capacity() > KEEP_LIST {
            self.chunks = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::task::{Context, Poll};

    use super::*;

    /// Takes at most so many bytes at a time.
    struct Narrow(usize, Mutex<Vec<u8>>);

    impl Socket for Narrow {
        fn poll_readable(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn poll_writable(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn read(&self, _: &mut Vec<u8>, _: usize) -> io::Result<usize> {
            Ok(0)
        }

        fn write(&self, parts: &[io::IoSlice<'_>]) -> io::Result<usize> {
            let all: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
            let n = all.len().min(self.0);
            self.1.lock().unwrap().extend_from_slice(&all[..n]);
            Ok(n)
        }
    }

    #[test]
    fn writes_all_in_order_whatever_the_socket_takes() {
        for step in [1, 2, 3, 7, 100, 10_000] {
            let (mut output, mut expected) = (Output::default(), Vec::new());
            for n in 0..200u8 {
                let bytes = vec![n; usize::from(n) % 9];
                expected.extend_from_slice(&bytes);
                output.push(if n % 3 == 0 {
                    Chunk::Shared(Arc::new(bytes))
                } else {
                    Chunk::Owned(bytes)
                });
            }
            let mut more = Output::default();
            more.push(Chunk::Owned(b"end".to_vec()));
            expected.extend_from_slice(b"end");
            output.append(&mut more);
            assert_eq!((more.is_empty(), more.len), (true, 0));
            let socket = Narrow(step, Mutex::default());
            let (mut left, mut spare) = (expected.len(), None);
            while !output.is_empty() {
                assert_eq!(output.len(), left);
                let (n, buf) = output.write_to(&socket).unwrap();
                left -= n;
                spare = buf;
            }
            assert_eq!((left, output.len()), (0, 0));
            assert_eq!(*socket.1.lock().unwrap(), expected);
            assert!(spare.is_some_and(|buf| buf.is_empty() && buf.capacity() > 0));
        }
    }

    #[test]
    fn short_replies_that_wait_take_little_room() {
        let mut output = Output::default();
        for n in 0..100_000 {
            output.push(Chunk::Owned(format!(":{}\r\n", n % 10).into_bytes()));
            assert_eq!(output.len(), (n + 1) * 4);
        }
        assert!(output.pieces() < 30, "{}", output.pieces());
        for n in 0..2000 {
            output.push(Chunk::Shared(Arc::new(vec![b'x'; 1 + n % 3])));
        }
        assert!(output.pieces() > 2000);
        let socket = Narrow(1 << 20, Mutex::default());
        while !output.is_empty() {
            output.write_to(&socket).unwrap();
        }
        assert!(output.chunks.capacity() <= KEEP_LIST);
        let written = socket.1.lock().unwrap();
        assert_eq!(
            (written.len(), &written[39_996..40_004]),
            (404_000 - 1, &b":9\r\n:0\r\n"[..])
        );
    }
}
