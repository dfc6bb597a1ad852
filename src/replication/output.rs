//! The memory of what waits in a replica's output: copies of parts of the stream, and blocks that it shares with the
//! backlog until that lets them go.

use std::collections::VecDeque;
use std::sync::Arc;

use super::backlog::HEAD;
use crate::resp::reply::Chunk;
use crate::value::entry::size_class;

/// Copies up to this many bytes are taken together.
const SHORT: usize = 4 << 10;
/// What a copy takes beside its bytes, with its place in the list of the output.
const BESIDE: usize = HEAD + size_of::<Chunk>();

/// A part of the output.
#[derive(Clone, Copy, Debug)]
struct Part {
    len: usize,
    /// Bytes of memory, if it is a copy.
    copied: usize,
    /// The offset at which it begins, if it is a block of the backlog.
    block: Option<u64>,
}

/// The parts of an output, oldest first.
#[derive(Debug, Default)]
pub struct Parts {
    parts: VecDeque<Part>,
    all: Sums,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    /// Bytes of the stream.
    len: usize,
    /// Bytes of memory that copies take.
    copied: usize,
    /// Bytes of blocks.
    blocks: usize,
}

impl Parts {
    /// Another part of the output, and as it is to be put there. `block` is the offset at which it begins, if it is a block
    /// of the backlog.
    pub fn add(&mut self, chunk: Chunk, block: Option<u64>) -> Chunk {
        let len = chunk.bytes().len();
        let copied = block.map_or(size_class(len) + BESIDE, |_| 0);
        self.note(Part { len, copied, block });
        match chunk {
            // A connection keeps the last buffer that is its own for replies, of which there are none here.
            Chunk::Owned(bytes) => Chunk::Shared(Arc::new(bytes)),
            shared => shared,
        }
    }

    fn note(&mut self, part: Part) {
        self.all.len += part.len;
        self.all.copied += part.copied;
        if part.block.is_some() {
            self.all.blocks += part.len;
        } else if let Some(last) = self.parts.back_mut()
            && last.block.is_none()
            && last.len + part.len <= SHORT
        {
            last.len += part.len;
            last.copied += part.copied;
            return;
        }
        self.parts.push_back(part);
    }

    /// Forgets what was sent: the last `waiting` bytes are left.
    pub fn settle(&mut self, waiting: usize) {
        let (sent, left) = self.left(waiting);
        self.parts.drain(..sent);
        self.all = left;
    }

    /// How many parts were sent, and what is left. One that was sent in part is in memory as a whole.
    fn left(&self, waiting: usize) -> (usize, Sums) {
        let (mut sent, mut left) = (0, self.all);
        for part in &self.parts {
            if left.len - part.len < waiting {
                break;
            }
            sent += 1;
            left.len -= part.len;
            left.copied -= part.copied;
            left.blocks -= part.block.map_or(0, |_| part.len);
        }
        (sent, left)
    }

    /// Bytes of memory that are not the backlog's, when `waiting` bytes are left and the backlog begins with the block at
    /// offset `kept`. O(1) but for what was sent since [`Parts::settle`].
    pub fn memory(&self, waiting: usize, kept: u64) -> u64 {
        let (sent, left) = self.left(waiting);
        let first = self.parts.iter().skip(sent).find_map(|part| part.block);
        // Copies between blocks may be counted twice; they are few.
        let let_go = first.map_or(0, |first| kept.saturating_sub(first));
        left.copied as u64 + let_go.min(left.blocks as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use crate::replication::backlog::BLOCK;

    fn copy(parts: &mut Parts, len: usize) -> u64 {
        let chunk = parts.add(Chunk::Owned(vec![b'x'; len]), None);
        assert!(matches!(chunk, Chunk::Shared(_)));
        (size_class(len) + BESIDE) as u64
    }

    fn block(parts: &mut Parts, offset: u64) {
        parts.add(Chunk::Shared(Arc::new(vec![b'x'; BLOCK])), Some(offset));
    }

    #[test]
    fn copies_count_until_the_last_byte_is_sent() {
        let mut parts = Parts::default();
        let copied = copy(&mut parts, 30_000);
        block(&mut parts, 30_000);
        assert_eq!(parts.memory(30_000 + BLOCK, 0), copied);
        assert_eq!(parts.memory(BLOCK + 1, 30_000), copied, "one byte is left");
        assert_eq!(parts.memory(BLOCK, 30_000), 0);
        let let_go = 30_000 + BLOCK as u64;
        assert_eq!(parts.memory(BLOCK, let_go), BLOCK as u64);
        assert_eq!(parts.memory(1, let_go), BLOCK as u64, "one byte is left");
        assert_eq!(parts.memory(0, let_go), 0);
        parts.settle(1);
        assert_eq!(parts.memory(1, let_go), BLOCK as u64);
        parts.settle(0);
        assert_eq!(parts.memory(0, let_go), 0);
    }

    #[test]
    fn short_copies_are_taken_together() {
        let mut parts = Parts::default();
        let all: u64 = (0..1000).map(|_| copy(&mut parts, 100)).sum();
        assert!(parts.parts.len() <= 100_000 / (SHORT - 100) + 1);
        assert_eq!(parts.memory(100_000, 0), all);
        let held = parts.memory(50, 0);
        assert!((50..=all / 20).contains(&held), "{held}");
    }

    /// Against a list of every part.
    #[test]
    fn as_if_every_part_was_looked_at() {
        let mut rng = Rng::new(11);
        for _ in 0..50 {
            let (mut parts, mut model) = (Parts::default(), Vec::new());
            let (mut offset, mut waiting, mut kept) = (0u64, 0, 0);
            for _ in 0..100 {
                match rng.below(3) {
                    0 => {
                        let len = SHORT + 1 + rng.below(60_000) as usize;
                        model.push((len, copy(&mut parts, len), None));
                        (offset, waiting) = (offset + len as u64, waiting + len);
                    }
                    1 => {
                        block(&mut parts, offset);
                        model.push((BLOCK, BLOCK as u64, Some(offset)));
                        (offset, waiting) = (offset + BLOCK as u64, waiting + BLOCK);
                    }
                    _ => {
                        waiting -= rng.below(waiting as u64 + 1) as usize;
                        kept += rng.below(offset - kept + 1);
                    }
                }
                if rng.below(4) == 0 {
                    parts.settle(waiting);
                }
                let (mut behind, mut all, mut least) = (0, 0, 0);
                for (len, memory, block) in model.iter().rev() {
                    if behind >= waiting {
                        break;
                    }
                    (behind, all) = (behind + len, all + memory);
                    let only_here = block.is_none_or(|at: u64| at + BLOCK as u64 <= kept);
                    least += if only_here { *memory } else { 0 };
                }
                let memory = parts.memory(waiting, kept);
                assert!(
                    (least..=all).contains(&memory),
                    "{memory}: {least} to {all}"
                );
            }
        }
    }
}
