//! The slow log: the latest commands that took longer than `slowlog-log-slower-than`.

use std::collections::VecDeque;

/// Arguments kept of one command; the last one then says how many more there were.
const MAX_ARGS: usize = 32;
/// Bytes kept of one argument.
const MAX_BYTES: usize = 128;

/// One slow command.
#[derive(Clone, Debug)]
pub struct Entry {
    pub id: u64,
    /// Unix time in seconds.
    pub time_s: i64,
    pub duration_us: i64,
    pub args: Vec<Vec<u8>>,
    pub addr: String,
    pub name: Vec<u8>,
}

/// Newest first.
#[derive(Debug, Default)]
pub struct SlowLog {
    entries: VecDeque<Entry>,
    next: u64,
}

impl SlowLog {
    /// Records a command; keeps at most `max` entries.
    pub fn push(&mut self, mut entry: Entry, max: usize) {
        entry.id = self.next;
        self.next += 1;
        self.entries.push_front(entry);
        self.trim(max);
    }

    pub fn trim(&mut self, max: usize) {
        self.entries.truncate(max);
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn clear(&mut self) {
        self.entries.clear();
    }

    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }
}

/// The arguments as the log keeps them.
pub fn shorten<'a>(args: impl ExactSizeIterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let total = args.len();
    let kept = if total > MAX_ARGS { MAX_ARGS - 1 } else { total };
    let mut out: Vec<Vec<u8>> = args.take(kept).map(shorten_one).collect();
    if kept < total {
        out.push(format!("... ({} more arguments)", total - kept).into_bytes());
    }
    out
}

fn shorten_one(arg: &[u8]) -> Vec<u8> {
    if arg.len() <= MAX_BYTES {
        return arg.to_vec();
    }
    let mut short = arg[..MAX_BYTES].to_vec();
    short.extend_from_slice(format!("... ({} more bytes)", arg.len() - MAX_BYTES).as_bytes());
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_commands_are_shortened_and_old_entries_go() {
        let many: Vec<Vec<u8>> = (0..40).map(|n| vec![b'x'; n * 10]).collect();
        let short = shorten(many.iter().map(Vec::as_slice));
        assert_eq!(short.len(), 32);
        assert_eq!(short[31], b"... (9 more arguments)");
        assert!(short[20].ends_with(b"... (72 more bytes)"));
        let mut log = SlowLog::default();
        for n in 0..5 {
            let entry = Entry { id: 0, time_s: n, duration_us: n, args: vec![], addr: String::new(), name: vec![] };
            log.push(entry, 3);
        }
        assert_eq!(log.iter().map(|e| e.id).collect::<Vec<_>>(), [4, 3, 2]);
    }
}
