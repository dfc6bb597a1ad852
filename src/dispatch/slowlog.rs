//! The slow log: the latest commands that took longer than `slowlog-log-slower-than`.

use std::collections::VecDeque;

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

/// The arguments as the log keeps them: at most `max_args` (`slowlog-entry-max-argc`), the last
/// of which then says how many more there were, of at most `max_bytes` each
/// (`slowlog-entry-max-string-len`).
pub fn shorten<'a>(
    args: impl ExactSizeIterator<Item = &'a [u8]>,
    max_args: usize,
    max_bytes: usize,
) -> Vec<Vec<u8>> {
    let total = args.len();
    let kept = if total > max_args {
        max_args - 1
    } else {
        total
    };
    let mut out: Vec<Vec<u8>> = args
        .take(kept)
        .map(|arg| shorten_one(arg, max_bytes))
        .collect();
    if kept < total {
        out.push(format!("... ({} more arguments)", total - kept).into_bytes());
    }
    out
}

fn shorten_one(arg: &[u8], max_bytes: usize) -> Vec<u8> {
    if arg.len() <= max_bytes {
        return arg.to_vec();
    }
    let mut short = arg[..max_bytes].to_vec();
    short.extend_from_slice(format!("... ({} more bytes)", arg.len() - max_bytes).as_bytes());
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_commands_are_shortened_and_old_entries_go() {
        let many: Vec<Vec<u8>> = (0..40).map(|n| vec![b'x'; n * 10]).collect();
        let short = shorten(many.iter().map(Vec::as_slice), 32, 128);
        assert_eq!(short.len(), 32);
        assert_eq!(short[31], b"... (9 more arguments)");
        assert!(short[20].ends_with(b"... (72 more bytes)"));
        let mut log = SlowLog::default();
        for n in 0..5 {
            let entry = Entry {
                id: 0,
                time_s: n,
                duration_us: n,
                args: vec![],
                addr: String::new(),
                name: vec![],
            };
            log.push(entry, 3);
        }
        assert_eq!(log.iter().map(|e| e.id).collect::<Vec<_>>(), [4, 3, 2]);
    }
}
