//! Messages in wire form: encoded once for all who get them.

use std::sync::Arc;

use super::{Kind, Name};
use crate::base::num;
use crate::resp::reply::Reply;

/// Messages of fewer bytes are copied to each client: that costs less than to count its owners and
/// to write in two pieces.
const SHARE_MIN: usize = 1024;

/// Messages in the order in which they were sent. RESP2 and RESP3 differ in the first byte of each.
#[derive(Clone, Debug, Default)]
pub struct Messages {
    resp2: Vec<u8>,
    /// Where each message begins.
    starts: Vec<usize>,
    /// The same as clients share them, made when the first one needs it.
    shared: [Option<Arc<Vec<u8>>>; 2],
}

impl Messages {
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    pub fn len(&self) -> usize {
        self.resp2.len()
    }

    /// Adds one message.
    pub fn add(&mut self, parts: &[&[u8]]) {
        let bytes: usize = parts.iter().map(|part| part.len() + 16).sum();
        self.resp2.reserve(bytes + 16);
        self.starts.push(self.resp2.len());
        header(&mut self.resp2, b'*', parts.len());
        for part in parts {
            header(&mut self.resp2, b'$', part.len());
            self.resp2.extend_from_slice(part);
            self.resp2.extend_from_slice(b"\r\n");
        }
        self.shared = [None, None];
    }

    /// Adds what a channel's subscriber or a pattern's gets.
    pub fn add_message(&mut self, kind: Kind, name: &[u8], channel: &[u8], message: &[u8]) {
        let word = kind.message().as_bytes();
        match kind {
            Kind::Pattern => self.add(&[word, name, channel, message]),
            Kind::Channel | Kind::Shard => self.add(&[word, channel, message]),
        }
    }

    fn form(&mut self, resp3: bool) -> &Arc<Vec<u8>> {
        let (bytes, starts) = (&self.resp2, &self.starts);
        self.shared[usize::from(resp3)].get_or_insert_with(|| {
            let mut bytes = bytes.clone();
            if resp3 {
                starts.iter().for_each(|at| bytes[*at] = b'>');
            }
            Arc::new(bytes)
        })
    }

    /// Writes them to a client's output.
    #[inline]
    pub fn write(&mut self, out: &mut Reply) {
        let resp3 = out.resp3();
        if self.resp2.len() >= SHARE_MIN {
            out.raw_shared(self.form(resp3).clone());
        } else if resp3 {
            out.raw(self.form(true));
        } else {
            out.raw(&self.resp2);
        }
    }

    fn clear(&mut self) {
        self.resp2.clear();
        self.starts.clear();
        self.shared = [None, None];
    }
}

fn header(out: &mut Vec<u8>, kind: u8, n: usize) {
    out.push(kind);
    num::write_i64(out, i64::try_from(n).unwrap_or(i64::MAX));
    out.extend_from_slice(b"\r\n");
}

/// Messages to the subscribers of one name that were not handed out yet.
#[derive(Debug, Default)]
pub(super) struct Run {
    pub target: Option<(Kind, Name)>,
    pub messages: Messages,
}

impl Run {
    pub fn is_for(&self, kind: Kind, name: &[u8]) -> bool {
        let known = |(of, target): &(Kind, Name)| *of == kind && **target == *name;
        self.target.as_ref().is_some_and(known)
    }

    /// Ends the run; its buffers stay.
    pub fn clear(&mut self) {
        self.target = None;
        self.messages.clear();
    }
}
