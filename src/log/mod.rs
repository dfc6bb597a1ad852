//! The command log: the effects of writes as RESP commands, numbered by byte offset.
//!
//! The keyspace appends, consumers (AOF writer, replicas) only read. Without a consumer nothing
//! is encoded; the offset then stands still, as that of a Redis master without backlog does.

mod divide;

use crate::base::num;

/// Who reads the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consumer {
    /// The append only file: keeps what changes data.
    File,
    /// Replicas: get everything.
    Replicas,
}

/// A unit of the log: one command, or a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Where it ends in the bytes that were taken.
    pub end: usize,
    /// It changes data. What does not (PUBLISH, PING) is for replicas only.
    pub keep: bool,
}

/// Effects that consumers have not taken yet.
#[derive(Debug, Default)]
pub struct CommandLog {
    file: bool,
    replicas: bool,
    /// Database that the last entry was for; a SELECT goes before an entry for another one.
    selected: Option<usize>,
    /// Offset behind the last byte of `pending`.
    offset: u64,
    pending: Vec<u8>,
    /// The units in `pending`; of the one that is being written its commands.
    units: Vec<Unit>,
    /// Index in `units` of the first command of the unit that is being written.
    unit: usize,
    /// Where that unit begins, behind the SELECT that may stand before it.
    unit_start: usize,
    /// The database that is selected there.
    unit_db: Option<usize>,
    /// Commands of that unit that are for one consumer only, by their index in `units`.
    single: Vec<(usize, Consumer)>,
    /// As in [`Taken::instead`].
    instead: Vec<(usize, Vec<u8>)>,
    /// There were effects while nobody read.
    gap: bool,
    /// What commands do is not appended: the log is that of a master, and comes from there.
    pub mute: bool,
    /// What a script does is appended for nobody, or for one consumer only (`redis.set_repl`).
    pub spread: Spread,
}

/// For whom effects are appended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Spread {
    #[default]
    All,
    Only(Consumer),
    Nobody,
}

/// What consumers take: whole units.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Taken {
    pub bytes: Vec<u8>,
    pub units: Vec<Unit>,
    /// What the file gets in the place of the unit with this index.
    pub instead: Vec<(usize, Vec<u8>)>,
    /// Offset of the log behind the last byte.
    pub offset: u64,
}

impl CommandLog {
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Sets the offset, to go on where another history ended.
    ///
    /// # Panics
    /// If something is pending: it would count as a part of that history.
    pub fn set_offset(&mut self, offset: u64) {
        assert!(self.pending.is_empty(), "the log is not passed on");
        self.offset = offset;
    }

    /// Begins to keep entries for this consumer, until [`CommandLog::take`].
    ///
    /// # Panics
    /// If something is pending: the consumer would get what is before its begin.
    pub fn attach(&mut self, consumer: Consumer) {
        assert!(self.pending.is_empty(), "the log is not passed on");
        match consumer {
            Consumer::File => self.file = true,
            Consumer::Replicas => self.replicas = true,
        }
        self.selected = None;
    }

    pub fn detach(&mut self, consumer: Consumer) {
        match consumer {
            Consumer::File => self.file = false,
            Consumer::Replicas => self.replicas = false,
        }
        if !self.is_read() {
            self.take();
        }
    }

    /// Somebody reads the log.
    #[inline]
    pub fn is_read(&self) -> bool {
        self.file || self.replicas
    }

    /// Effects were lost since the last call because nobody read: the offset does not tell where
    /// the data stands.
    pub fn has_gap(&self) -> bool {
        self.gap
    }

    /// A new history begins, in which nothing is missing.
    pub fn close_gap(&mut self) {
        self.gap = false;
    }

    /// The database that a reader who has everything has selected.
    pub fn selected(&self) -> Option<usize> {
        self.selected
    }

    /// Replicas read the log.
    pub fn has_replicas(&self) -> bool {
        self.replicas
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

    /// A unit has begun and is not at its end.
    pub fn is_in_unit(&self) -> bool {
        self.units.len() > self.unit
    }

    /// Appends one effect to the present unit.
    #[inline]
    pub fn append<'a>(&mut self, db: usize, args: impl ExactSizeIterator<Item = &'a [u8]>) {
        if self.mute || self.spread == Spread::Nobody {
            return;
        }
        if self.is_read() {
            self.write(Some(db), args, true);
        } else {
            self.gap = true;
        }
    }

    /// Appends what happens by itself while a command runs (a key's time is over), whatever a script says of its effects.
    pub fn append_for_all<'a>(&mut self, db: usize, args: impl ExactSizeIterator<Item = &'a [u8]>) {
        let spread = std::mem::take(&mut self.spread);
        self.append(db, args);
        self.spread = spread;
    }

    /// Appends a command that replicas run though it changes no data.
    pub fn append_for_replicas<'a>(
        &mut self,
        db: Option<usize>,
        args: impl ExactSizeIterator<Item = &'a [u8]>,
    ) {
        let nobody = matches!(self.spread, Spread::Nobody | Spread::Only(Consumer::File));
        if self.replicas && !self.mute && !nobody {
            self.write(db, args, false);
        }
    }

    fn write<'a>(
        &mut self,
        db: Option<usize>,
        args: impl ExactSizeIterator<Item = &'a [u8]>,
        keep: bool,
    ) {
        let before = self.pending.len();
        let first = self.units.len() == self.unit;
        if let Some(db) = db.filter(|db| self.selected != Some(*db)) {
            let mut text = itoa::Buffer::new();
            let index = text.format(db).as_bytes();
            encode(&mut self.pending, [&b"SELECT"[..], index].into_iter());
            self.selected = Some(db);
            if first {
                // The file needs it too, whatever the command is.
                self.units.push(Unit {
                    end: self.pending.len(),
                    keep: true,
                });
                self.unit += 1;
            }
        }
        if first {
            self.unit_start = self.pending.len();
            self.unit_db = self.selected;
        }
        if let Spread::Only(consumer) = self.spread {
            self.single.push((self.units.len(), consumer));
        }
        encode(&mut self.pending, args);
        self.offset += (self.pending.len() - before) as u64;
        self.units.push(Unit {
            end: self.pending.len(),
            keep,
        });
    }

    /// Appends a unit as a master wrote it. `db` is the database that it leaves selected.
    pub fn append_unit(&mut self, bytes: &[u8], db: Option<usize>, keep: bool) {
        self.offset += bytes.len() as u64;
        if self.is_read() {
            self.pending.extend_from_slice(bytes);
            self.units.push(Unit {
                end: self.pending.len(),
                keep,
            });
            self.unit = self.units.len();
            self.selected = db;
        }
    }

    /// Bytes of memory that effects take until they are taken.
    pub fn memory(&self) -> usize {
        self.pending.capacity() + self.units.capacity() * size_of::<Unit>()
    }

    /// Ends the present unit. With `whole`, several commands become one transaction; else each is a
    /// unit of its own. False if nothing was appended.
    #[inline]
    pub fn end_unit(&mut self, whole: bool) -> bool {
        let count = self.units.len() - self.unit;
        if count == 0 {
            return false;
        }
        if !self.single.is_empty() {
            self.divide();
        } else if whole && count > 1 {
            self.wrap();
        }
        self.unit = self.units.len();
        true
    }

    /// Forgets the present unit: the process ends in the middle of it.
    pub fn drop_unit(&mut self) {
        if !self.is_in_unit() {
            return;
        }
        self.offset -= (self.pending.len() - self.unit_start) as u64;
        self.pending.truncate(self.unit_start);
        self.units.truncate(self.unit);
        self.single.clear();
    }

    /// Puts MULTI and EXEC around the present unit. A SELECT before it goes into it, as in Redis' streams, unless the
    /// file does not get the unit.
    fn wrap(&mut self) {
        let keep = self.units[self.unit..].iter().any(|unit| unit.keep);
        let mut at = self.unit_start;
        if let Some(before) = self.unit.checked_sub(1).filter(|_| keep) {
            let start = before.checked_sub(1).map_or(0, |b| self.units[b].end);
            if self.units[before].end == at && is_select(&self.pending[start..at]) {
                (at, self.unit) = (start, before);
            }
        }
        self.pending.splice(at..at, MULTI.iter().copied());
        self.pending.extend_from_slice(EXEC);
        self.offset += (MULTI.len() + EXEC.len()) as u64;
        self.units.truncate(self.unit);
        self.units.push(Unit {
            end: self.pending.len(),
            keep,
        });
    }

    /// Everything since the last call, for the consumers. Whole units only: nothing may be in the
    /// middle of one.
    pub fn take(&mut self) -> Taken {
        self.unit = 0;
        Taken {
            bytes: std::mem::take(&mut self.pending),
            units: std::mem::take(&mut self.units),
            instead: std::mem::take(&mut self.instead),
            offset: self.offset,
        }
    }
}

const MULTI: &[u8] = b"*1\r\n$5\r\nMULTI\r\n";
const EXEC: &[u8] = b"*1\r\n$4\r\nEXEC\r\n";
const SELECT: &[u8] = b"*2\r\n$6\r\nSELECT\r\n";

/// `text`, which begins with a whole command of the log, begins with a SELECT.
fn is_select(text: &[u8]) -> bool {
    text.starts_with(SELECT)
}

/// Appends a command as a client would send it.
pub fn encode<'a>(out: &mut Vec<u8>, args: impl ExactSizeIterator<Item = &'a [u8]>) {
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
        log.attach(Consumer::File);
        log.append(3, [&b"DEL"[..], b"a"].into_iter());
        log.append(3, [&b"DEL"[..], b"b"].into_iter());
        log.end_unit(false);
        let taken = log.take();
        assert_eq!(
            taken.bytes,
            b"*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n*2\r\n$3\r\nDEL\r\n$1\r\na\r\n*2\r\n$3\r\nDEL\r\n$1\r\nb\r\n"
        );
        assert_eq!(log.offset(), taken.bytes.len() as u64);
        assert_eq!(taken.units.len(), 3);
    }

    #[test]
    fn a_dropped_unit_leaves_what_was_before_it() {
        let mut log = CommandLog::default();
        log.attach(Consumer::File);
        log.append(0, [&b"A"[..]].into_iter());
        log.end_unit(true);
        let before = log.take();
        // Nothing has begun.
        log.drop_unit();
        assert_eq!(log.offset(), before.offset);
        log.append(0, [&b"B"[..]].into_iter());
        log.end_unit(true);
        let whole = log.offset();
        log.drop_unit();
        log.append(0, [&b"C"[..]].into_iter());
        log.append(0, [&b"D"[..]].into_iter());
        log.drop_unit();
        assert_eq!(log.offset(), whole);
        let taken = log.take();
        assert_eq!(taken.bytes, b"*1\r\n$1\r\nB\r\n");
        assert_eq!((taken.units.len(), taken.offset), (1, whole));
    }

    #[test]
    fn a_unit_of_several_commands_is_a_transaction() {
        let mut log = CommandLog::default();
        log.attach(Consumer::File);
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
            "SELECT", "0", "A", "MULTI", "SELECT", "1", "B", "SELECT", "0", "C", "EXEC",
        ];
        assert_eq!(words, expected);
        assert_eq!(taken.units.last().map(|u| u.end), Some(taken.bytes.len()));
        assert_eq!(
            (taken.units.len(), taken.offset),
            (3, taken.bytes.len() as u64)
        );
        assert_eq!(
            log.take(),
            Taken {
                offset: taken.offset,
                ..Taken::default()
            }
        );
    }

    #[test]
    fn what_changes_nothing_is_for_replicas() {
        let mut log = CommandLog::default();
        log.attach(Consumer::File);
        log.append_for_replicas(None, [&b"PING"[..]].into_iter());
        assert!(!log.end_unit(true), "nobody to tell");
        log.attach(Consumer::Replicas);
        log.append_for_replicas(None, [&b"PING"[..]].into_iter());
        assert!(log.end_unit(true));
        log.append_unit(b"*1\r\n$3\r\nFOO\r\n", Some(2), true);
        log.append(2, [&b"BAR"[..]].into_iter());
        log.end_unit(true);
        let taken = log.take();
        let keep: Vec<bool> = taken.units.iter().map(|unit| unit.keep).collect();
        assert_eq!(keep, [false, true, true]);
        assert!(taken.bytes.ends_with(b"FOO\r\n*1\r\n$3\r\nBAR\r\n"));
    }
}
