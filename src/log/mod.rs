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
    /// How many of them are replicas, which also get what changes no data (PUBLISH).
    pub replicas: usize,
    /// Database that the last entry was for; a SELECT goes before an entry for another one.
    selected: Option<usize>,
    /// Offset behind the last byte of `pending`.
    offset: u64,
    pending: Vec<u8>,
    /// Ends of the units in `pending`; those of the unit that is being written are the ends of its
    /// commands.
    ends: Vec<usize>,
    /// Index in `ends` of the first command of the unit that is being written.
    unit: usize,
    /// Where that unit begins, behind the SELECT that may stand before it.
    unit_start: usize,
}

/// What consumers take: whole units.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Taken {
    pub bytes: Vec<u8>,
    /// Where each unit ends in `bytes`.
    pub ends: Vec<usize>,
    /// Offset of the log behind the last byte.
    pub offset: u64,
}

impl CommandLog {
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Sets the offset, to go on where another history ended. Nothing may be pending.
    pub fn set_offset(&mut self, offset: u64) {
        self.offset = offset;
    }

    /// Registers a consumer; entries are kept from now on until [`CommandLog::take`].
    pub fn attach(&mut self) {
        self.consumers += 1;
        self.selected = None;
    }

    pub fn detach(&mut self) {
        self.consumers = self.consumers.saturating_sub(1);
        if self.consumers == 0 {
            self.take();
        }
    }

    /// The next entry is preceded by its database, for a consumer that begins here.
    pub fn select_again(&mut self) {
        self.selected = None;
    }

    /// There is something for the consumers.
    #[inline]
    pub fn has_pending(&self) -> bool {
        self.unit > 0
    }

    /// Appends one effect to the present unit.
    pub fn append<'a>(&mut self, db: usize, args: impl ExactSizeIterator<Item = &'a [u8]>) {
        if self.consumers == 0 {
            return;
        }
        if self.ends.len() == self.unit {
            self.unit_start = self.pending.len();
        }
        let before = self.pending.len();
        if self.selected != Some(db) {
            let mut text = itoa::Buffer::new();
            let index = text.format(db).as_bytes();
            encode(&mut self.pending, [&b"SELECT"[..], index].into_iter());
            self.selected = Some(db);
            if self.ends.len() == self.unit {
                self.unit_start = self.pending.len();
            }
        }
        encode(&mut self.pending, args);
        self.offset += (self.pending.len() - before) as u64;
        self.ends.push(self.pending.len());
    }

    /// As [`CommandLog::append`], for what only replicas need: without one it goes nowhere.
    pub fn append_for_replicas<'a>(
        &mut self,
        db: usize,
        args: impl ExactSizeIterator<Item = &'a [u8]>,
    ) {
        if self.replicas > 0 {
            self.append(db, args);
        }
    }

    /// Ends the present unit. With `whole`, several commands become one transaction; else each is a
    /// unit of its own. False if nothing was appended.
    #[inline]
    pub fn end_unit(&mut self, whole: bool) -> bool {
        let count = self.ends.len() - self.unit;
        if count == 0 {
            return false;
        }
        if whole && count > 1 {
            self.wrap();
        }
        self.unit = self.ends.len();
        true
    }

    /// Puts MULTI and EXEC around the present unit.
    fn wrap(&mut self) {
        const MULTI: &[u8] = b"*1\r\n$5\r\nMULTI\r\n";
        const EXEC: &[u8] = b"*1\r\n$4\r\nEXEC\r\n";
        let at = self.unit_start;
        self.pending.splice(at..at, MULTI.iter().copied());
        self.pending.extend_from_slice(EXEC);
        self.offset += (MULTI.len() + EXEC.len()) as u64;
        self.ends.truncate(self.unit);
        self.ends.push(self.pending.len());
    }

    /// Everything since the last call, for the consumers. Whole units only: nothing may be in the
    /// middle of one.
    pub fn take(&mut self) -> Taken {
        self.unit = 0;
        Taken {
            bytes: std::mem::take(&mut self.pending),
            ends: std::mem::take(&mut self.ends),
            offset: self.offset,
        }
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
        log.end_unit(false);
        let taken = log.take();
        assert_eq!(
            taken.bytes,
            b"*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n*2\r\n$3\r\nDEL\r\n$1\r\na\r\n*2\r\n$3\r\nDEL\r\n$1\r\nb\r\n"
        );
        assert_eq!(log.offset(), taken.bytes.len() as u64);
        assert_eq!(taken.ends.len(), 2);
    }

    #[test]
    fn a_unit_of_several_commands_is_a_transaction() {
        let mut log = CommandLog::default();
        log.attach();
        assert!(!log.end_unit(true));
        log.append(0, [&b"A"[..]].into_iter());
        assert!(log.end_unit(true));
        log.append(1, [&b"B"[..]].into_iter());
        log.append(0, [&b"C"[..]].into_iter());
        assert!(log.end_unit(true));
        let taken = log.take();
        let text = String::from_utf8_lossy(&taken.bytes).replace("\r\n", " ");
        let words: Vec<&str> = text
            .split(' ')
            .filter(|w| !w.is_empty() && !w.starts_with(['*', '$']))
            .collect();
        let expected = [
            "SELECT", "0", "A", "SELECT", "1", "MULTI", "B", "SELECT", "0", "C", "EXEC",
        ];
        assert_eq!(words, expected);
        assert_eq!(taken.ends.last(), Some(&taken.bytes.len()));
        assert_eq!(
            (taken.ends.len(), taken.offset),
            (2, taken.bytes.len() as u64)
        );
        assert_eq!(
            log.take(),
            Taken {
                offset: taken.offset,
                ..Taken::default()
            }
        );
    }
}
