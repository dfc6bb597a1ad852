//! The backlog: the last part of the replication stream, kept so that a replica that lost its link
//! can go on where it was.
//!
//! Offsets count the bytes of a history from its beginning: the byte at offset `n` is the one that
//! a replica which has `n` bytes needs next. Full blocks are shared with the outboxes of replicas
//! that catch up.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::resp::reply::Chunk;

/// Bytes of a block.
pub const BLOCK: usize = 64 * 1024;
/// What a shared buffer takes beside its bytes: the vector and two counts, in their size class.
pub const HEAD: usize = 48;
/// Bytes between two marks.
const MARK: u64 = 16 * 1024;

/// The tail of the stream.
#[derive(Debug)]
pub struct Backlog {
    blocks: VecDeque<Arc<Vec<u8>>>,
    /// The block that is being filled.
    tail: Vec<u8>,
    /// Offset of the first byte that is there.
    first: u64,
    /// Offset behind the last byte.
    end: u64,
    /// Bytes to keep.
    size: u64,
    /// Offsets between two units, with the database that is selected there; about one in [`MARK`] bytes.
    marks: VecDeque<(u64, usize)>,
}

impl Backlog {
    /// An empty backlog of `size` bytes that begins at `offset`.
    pub fn new(offset: u64, size: u64) -> Backlog {
        Backlog {
            blocks: VecDeque::new(),
            tail: Vec::new(),
            first: offset,
            end: offset,
            size,
            // Whoever makes it knows better, or the stream selects a database before all else.
            marks: VecDeque::from([(offset, 0)]),
        }
    }

    pub fn first(&self) -> u64 {
        self.first
    }

    pub fn end(&self) -> u64 {
        self.end
    }

    /// Bytes that are there.
    pub fn len(&self) -> u64 {
        self.end - self.first
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    /// `needed`: see [`Backlog::append`].
    pub fn resize(&mut self, size: u64, needed: u64) {
        self.size = size;
        self.trim(needed);
    }

    /// Adds bytes; those that are too old go, unless somebody still needs them: `needed` is the
    /// lowest offset that a replica waits for.
    pub fn append(&mut self, mut bytes: &[u8], needed: u64) {
        self.end += bytes.len() as u64;
        while !bytes.is_empty() {
            let room = BLOCK - self.tail.len();
            let (now, later) = bytes.split_at(bytes.len().min(room));
            let wanted = self.tail.len() + now.len();
            if wanted > self.tail.capacity() {
                // A full block is to be exactly one: doubling from any size might end at nearly twice that.
                let capacity = wanted.next_power_of_two().min(BLOCK);
                self.tail.reserve_exact(capacity - self.tail.len());
            }
            self.tail.extend_from_slice(now);
            bytes = later;
            if self.tail.len() == BLOCK {
                self.blocks
                    .push_back(Arc::new(std::mem::take(&mut self.tail)));
            }
        }
        self.trim(needed);
    }

    /// Lets old bytes go that nobody needs.
    pub fn trim(&mut self, needed: u64) {
        while let Some(block) = self.blocks.front() {
            let after = self.first_block_at() + block.len() as u64;
            if self.end - after < self.size || after > needed {
                break;
            }
            self.blocks.pop_front();
            self.first = after;
        }
        // Within a block nothing is freed, but what is beyond the size is not offered any more.
        self.first = self
            .first
            .max(self.end.saturating_sub(self.size).min(needed));
        while self.marks.front().is_some_and(|(at, _)| *at < self.first) {
            self.marks.pop_front();
        }
    }

    /// The end lies between two units, and `db` is selected there.
    pub fn mark(&mut self, db: usize) {
        match self.marks.back_mut() {
            Some(last) if last.0 == self.end => last.1 = db,
            Some(last) if self.end - last.0 < MARK => {}
            _ => self.marks.push_back((self.end, db)),
        }
    }

    /// The last place at or before `offset` from which the stream can be read.
    pub fn mark_before(&self, offset: u64) -> Option<(u64, usize)> {
        let behind = self.marks.partition_point(|(at, _)| *at <= offset);
        self.marks.get(behind.checked_sub(1)?).copied()
    }

    /// The first place from which the stream can be read.
    pub fn first_mark(&self) -> Option<(u64, usize)> {
        self.marks.front().copied()
    }

    /// Offset at which the first block begins; it may lie before `first`.
    pub fn first_block_at(&self) -> u64 {
        self.end - (self.blocks.len() * BLOCK) as u64 - self.tail.len() as u64
    }

    /// Whether a replica that has `offset` bytes can go on from here.
    pub fn contains(&self, offset: u64) -> bool {
        (self.first..=self.end).contains(&offset)
    }

    /// Everything from `offset` on, which must be there.
    pub fn from(&self, offset: u64) -> Vec<Chunk> {
        let mut at = self.first_block_at();
        let mut chunks = Vec::new();
        for block in &self.blocks {
            let end = at + block.len() as u64;
            if offset <= at {
                chunks.push(Chunk::Shared(block.clone()));
            } else if offset < end {
                chunks.push(Chunk::Owned(block[(offset - at) as usize..].to_vec()));
            }
            at = end;
        }
        let skip = offset.saturating_sub(at) as usize;
        if skip < self.tail.len() {
            chunks.push(Chunk::Owned(self.tail[skip..].to_vec()));
        }
        chunks
    }

    /// As [`Backlog::from`], but no more than some blocks beyond `most` bytes; and the offset behind them.
    pub fn some_from(&self, offset: u64, most: usize) -> (Vec<Chunk>, u64) {
        let mut end = offset;
        let mut chunks = self.from(offset);
        let enough = chunks.iter().position(|chunk| {
            end += chunk.bytes().len() as u64;
            end - offset >= most as u64
        });
        if let Some(last) = enough {
            chunks.truncate(last + 1);
        }
        (chunks, end)
    }

    /// Bytes of memory.
    pub fn memory(&self) -> usize {
        let lists = self.blocks.capacity() * size_of::<Arc<Vec<u8>>>()
            + self.marks.capacity() * size_of::<(u64, usize)>();
        self.blocks.len() * (BLOCK + HEAD) + self.tail.capacity() + lists
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    fn bytes(chunks: &[Chunk]) -> Vec<u8> {
        chunks.iter().flat_map(|c| c.bytes().to_vec()).collect()
    }

    #[test]
    fn it_holds_the_last_bytes_and_what_is_needed() {
        let mut rng = Rng::new(7);
        let mut backlog = Backlog::new(1000, 300_000);
        let mut all: Vec<u8> = Vec::new();
        let mut needed = u64::MAX;
        for round in 0..400 {
            let len = (rng.next_u64() % 9_000) as usize;
            let piece: Vec<u8> = (0..len).map(|_| rng.next_u64() as u8).collect();
            all.extend_from_slice(&piece);
            if round % 100 == 50 {
                needed = backlog.end();
            } else if round % 100 == 90 {
                needed = u64::MAX;
            }
            backlog.append(&piece, needed);
            assert_eq!(backlog.end(), 1000 + all.len() as u64);
            let kept = backlog.len();
            assert!(kept >= 300_000.min(all.len() as u64));
            assert!(backlog.contains(backlog.end()) && !backlog.contains(backlog.end() + 1));
            assert!(backlog.blocks.iter().all(|block| block.capacity() == BLOCK));
            assert!(backlog.tail.capacity() <= BLOCK);
            assert!(needed == u64::MAX || backlog.contains(needed));
            for offset in [backlog.first(), backlog.first() + kept / 2, backlog.end()] {
                assert!(backlog.contains(offset));
                let from = (offset - 1000) as usize;
                assert_eq!(bytes(&backlog.from(offset)), all[from..], "{round}");
            }
            assert!(!backlog.contains(backlog.first().wrapping_sub(1)));
            let (mut at, mut pieces) = (backlog.first(), Vec::new());
            while at < backlog.end() {
                let (chunks, next) = backlog.some_from(at, 100_000);
                assert!(next > at && next - at < 100_000 + BLOCK as u64);
                pieces.extend(bytes(&chunks));
                at = next;
            }
            assert_eq!(pieces, bytes(&backlog.from(backlog.first())));
        }
        assert!(backlog.first() > 1000, "old bytes went");
    }

    #[test]
    fn marks_say_where_it_can_be_read_from() {
        let mut backlog = Backlog::new(0, 200_000);
        backlog.mark(7);
        assert_eq!(backlog.mark_before(9), Some((0, 7)));
        assert_eq!(backlog.first_mark(), Some((0, 7)));
        for db in 1..100 {
            backlog.append(&[b'x'; 6000], u64::MAX);
            backlog.mark(db);
        }
        assert!(backlog.marks.len() < 20, "not each end is kept");
        assert_eq!(backlog.mark_before(backlog.first() - 1), None);
        let (first, _) = backlog.first_mark().expect("there are some");
        assert!(first >= backlog.first());
        for offset in [first, first + 5, backlog.end()] {
            let (at, db) = backlog.mark_before(offset).expect("one before");
            assert!(at <= offset && offset - at < MARK + 6000);
            assert_eq!(at, db as u64 * 6000);
        }
    }
}
