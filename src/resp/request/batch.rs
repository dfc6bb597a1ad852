//! Complete commands of a client, with the bytes that their arguments lie in.

use std::sync::Arc;

use super::BIG_MIN;
use crate::command::args::Args;

/// Longer buffers and lists are not kept for the next requests: who has much to send fills them again quickly, and until
/// then their memory would be nobody's.
const KEEP_BYTES: usize = 128 * 1024;
const KEEP_SPANS: usize = 8 * 1024;

/// Where one argument lies: in the read buffer, or in a buffer of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub(super) at: u32,
    pub(super) len: u32,
}

/// `Span::len` of an argument with its own buffer; `at` is its number then.
pub(super) const BIG: u32 = u32::MAX;

impl Span {
    pub fn new(at: usize, len: usize) -> Span {
        let fit = |n: usize| u32::try_from(n).expect("the read buffer is below 4 GiB");
        Span {
            at: fit(at),
            len: fit(len),
        }
    }

    #[inline]
    pub fn bytes<'a>(&self, buf: &'a [u8], big: &'a [Arc<Vec<u8>>]) -> &'a [u8] {
        if self.len == BIG {
            return &big[self.at as usize];
        }
        &buf[self.at as usize..self.at as usize + self.len as usize]
    }

    pub fn big<'a>(&self, big: &'a [Arc<Vec<u8>>]) -> Option<&'a Arc<Vec<u8>>> {
        (self.len == BIG).then(|| &big[self.at as usize])
    }
}

/// One complete command of a batch: its arguments are `spans[first..first + count]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command {
    pub first: u32,
    pub count: u32,
    /// Bytes that it took on the wire.
    pub wire: u32,
}

/// Complete commands with the buffer that they point into.
#[derive(Debug, Default)]
pub struct Batch {
    pub buf: Vec<u8>,
    pub big: Vec<Arc<Vec<u8>>>,
    pub spans: Vec<Span>,
    pub commands: Vec<Command>,
}

impl Batch {
    /// Forgets the content and keeps the allocations, as far as they are small.
    pub fn clear(&mut self) {
        self.buf.clear();
        self.big.clear();
        self.spans.clear();
        self.commands.clear();
        if self.buf.capacity() > KEEP_BYTES {
            self.buf = Vec::new();
        }
        if self.spans.capacity() > KEEP_SPANS {
            self.spans = Vec::new();
            self.commands = Vec::new();
        }
    }

    /// Frees what has no content.
    pub fn shrink_to_fit(&mut self) {
        self.buf.shrink_to_fit();
        self.big.shrink_to_fit();
        self.spans.shrink_to_fit();
        self.commands.shrink_to_fit();
    }

    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// Adds a command: a copy of its arguments. Large ones are shared.
    pub fn append(&mut self, args: &Args<'_>) {
        let first = self.spans.len() as u32;
        for at in 0..args.len() {
            let span = match args.shared(at) {
                Some(big) => {
                    self.big.push(big.clone());
                    Span {
                        at: (self.big.len() - 1) as u32,
                        len: BIG,
                    }
                }
                None => self.copied(args.get(at)),
            };
            self.spans.push(span);
        }
        self.close(first);
    }

    /// Adds a command given by its words.
    pub fn append_words<'a>(&mut self, words: impl IntoIterator<Item = &'a [u8]>) {
        let first = self.spans.len() as u32;
        for word in words {
            let span = self.copied(word);
            self.spans.push(span);
        }
        self.close(first);
    }

    fn copied(&mut self, bytes: &[u8]) -> Span {
        if bytes.len() >= BIG_MIN {
            self.big.push(Arc::new(bytes.to_vec()));
            return Span {
                at: (self.big.len() - 1) as u32,
                len: BIG,
            };
        }
        let at = self.buf.len();
        self.buf.extend_from_slice(bytes);
        Span::new(at, bytes.len())
    }

    fn close(&mut self, first: u32) {
        self.commands.push(Command {
            first,
            count: self.spans.len() as u32 - first,
            wire: 0,
        });
    }

    /// Bytes of the requests.
    pub fn content(&self) -> usize {
        self.buf.len() + self.big.iter().map(|b| b.len()).sum::<usize>()
    }

    /// Bytes allocated.
    pub fn capacity(&self) -> usize {
        self.buf.capacity()
            + self.spans.capacity() * size_of::<Span>()
            + self.commands.capacity() * size_of::<Command>()
            + self.big.iter().map(|b| b.capacity()).sum::<usize>()
    }

    /// The arguments of command `index`.
    #[inline]
    pub fn args(&self, index: usize) -> Args<'_> {
        let c = self.commands[index];
        let spans = &self.spans[c.first as usize..(c.first + c.count) as usize];
        Args::new(&self.buf, &self.big, spans)
    }
}
