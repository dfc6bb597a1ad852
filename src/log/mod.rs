//! The command log: the effects of writes as RESP commands, numbered by byte offset.
//!
//! The keyspace appends, consumers (AOF writer, replicas) only read. Without a consumer nothing
//! is encoded; the offset then stands still, as that of a Redis master without backlog does.

use crate::base::num;

/// Effects that consumers have not taken yet.
#[derive(Debug, Default)]
pub struct CommandLog {
    /// Number of consumers.
    consumers: usize,
    /// Database that the last entry was for; a SELECT goes before an entry for another one.
    selected: Option<usize>,
    /// Offset behind the last byte of `pending`.
    offset: u64,
    pending: Vec<u8>,
}

impl CommandLog {
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Registers a consumer; entries are kept from now on until [`CommandLog::take`].
    pub fn attach(&mut self) {
        self.consumers += 1;
        self.selected = None;
    }

    pub fn detach(&mut self) {
        self.consumers = self.consumers.saturating_sub(1);
    }

    /// Appends one effect.
    pub fn append<'a>(&mut self, db: usize, args: impl ExactSizeIterator<Item = &'a [u8]>) {
        if self.consumers == 0 {
            return;
        }
        let before = self.pending.len();
        if self.selected != Some(db) {
            let mut text = itoa::Buffer::new();
            let index = text.format(db).as_bytes();
            encode(&mut self.pending, [&b"SELECT"[..], index].into_iter());
            self.selected = Some(db);
        }
        encode(&mut self.pending, args);
        self.offset += (self.pending.len() - before) as u64;
    }

    /// Everything since the last call, for the consumers.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.pending)
    }
}

fn encode<'a>(out: &mut Vec<u8>, args: impl ExactSizeIterator<Item = &'a [u8]>) {
    out.push(b'*');
    num::write_i64(out, args.len() as i64);
    out.extend_from_slice(b"\r\n");
    for arg in args {
        out.push(b'$');
        num::write_i64(out, arg.len() as i64);
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selects_once_per_database_and_counts_bytes() {
        let mut log = CommandLog::default();
        log.append(0, [&b"SET"[..], b"a", b"1"].into_iter());
        assert_eq!(log.offset(), 0, "nobody reads");
        log.attach();
        log.append(3, [&b"DEL"[..], b"a"].into_iter());
        log.append(3, [&b"DEL"[..], b"b"].into_iter());
        let bytes = log.take();
        assert_eq!(
            bytes,
            b"*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n*2\r\n$3\r\nDEL\r\n$1\r\na\r\n*2\r\n$3\r\nDEL\r\n$1\r\nb\r\n"
        );
        assert_eq!(log.offset(), bytes.len() as u64);
    }
}
