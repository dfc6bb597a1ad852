//! The large form of a list: the first and the last chunk by themselves, the others in a counted tree.
//!
//! Pushes and pops touch an end only; a full end goes into the tree, an empty one is fetched from it.
//! Where that leaves a choice, the chunks are those that Redis' quicklist would have, because their
//! number decides when `OBJECT ENCODING` changes back.

use super::chunk::{Blob, Chunk, Fit, Opened};
use crate::value::Limits;
use crate::value::packed::Elem;
use crate::value::tree::{Remains, Tree};
use std::fmt;
use std::ops::ControlFlow;

/// A large list. Cloning it copies its two ends and shares the rest.
#[derive(Clone, Default)]
pub struct ListTree {
    pub(super) head: Blob,
    pub(super) tree: Tree<Chunk>,
    pub(super) tail: Blob,
    /// Redis would have it as a quicklist. If not, everything is in `tail`.
    pub(super) quick: bool,
}

impl fmt::Debug for ListTree {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("ListTree")
            .field("len", &self.len())
            .field("nodes", &self.nodes())
            .finish()
    }
}

/// Where an element is.
pub(super) enum Place {
    Head(usize),
    Tree(u64),
    Tail(usize),
}

impl ListTree {
    /// A list of one blob that is a single listpack to Redis.
    pub(super) fn single(blob: Blob) -> Self {
        Self {
            tail: blob,
            ..Self::default()
        }
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.head.len() + self.tree.weight() as usize + self.tail.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of chunks.
    pub fn nodes(&self) -> usize {
        usize::from(!self.head.is_empty())
            + self.tree.len() as usize
            + usize::from(!self.tail.is_empty())
    }

    pub fn encoding(&self) -> &'static str {
        if self.quick { "quicklist" } else { "listpack" }
    }

    /// Gives the list up, to be freed in slices.
    pub fn dismantle(self) -> Remains<Chunk> {
        self.tree.dismantle()
    }

    /// Bytes on the heap, from up to `samples` chunks (0: all).
    pub fn memory_usage(&self, samples: usize) -> usize {
        let samples = if samples == 0 { usize::MAX } else { samples };
        let (mut seen, mut bytes) = (0, 0);
        for chunk in self.tree.iter().take(samples) {
            seen += 1;
            bytes += chunk.memory() + size_of::<Chunk>();
        }
        let inner = (bytes * self.tree.len() as usize)
            .checked_div(seen)
            .unwrap_or(0);
        size_of::<Self>() + self.head.capacity() + self.tail.capacity() + inner
    }

    /// All chunks in order, for saving.
    pub fn chunks(&self) -> impl Iterator<Item = Opened<'_>> {
        let end = |blob: &'_ Blob| !blob.is_empty();
        let head = end(&self.head).then(|| Opened::Packed(self.head.view()));
        let tail = end(&self.tail).then(|| Opened::Packed(self.tail.view()));
        head.into_iter()
            .chain(self.tree.iter().map(Chunk::open))
            .chain(tail)
    }

    // Reading

    pub(super) fn place(&self, index: usize) -> Place {
        let inner = self.tree.weight() as usize;
        match index.checked_sub(self.head.len()) {
            None => Place::Head(index),
            Some(rest) if rest < inner => Place::Tree(rest as u64),
            Some(rest) => Place::Tail(rest - inner),
        }
    }

    pub(super) fn get<R>(&self, index: usize, f: impl FnOnce(Elem) -> R) -> Option<R> {
        match self.place(index) {
            Place::Head(at) => self.head.view().get(at).map(f),
            Place::Tail(at) => self.tail.view().get(at).map(f),
            Place::Tree(pos) => {
                let (chunk, at) = self.tree.get(pos)?;
                chunk.open().with(at as usize, f)
            }
        }
    }

    /// Shows the elements from `index` on to `f`.
    pub(super) fn walk(
        &self,
        index: usize,
        f: &mut impl FnMut(Elem) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let mut skip = index;
        let mut blob = |blob: &Blob| -> ControlFlow<()> {
            let from = skip.min(blob.len());
            skip -= from;
            let view = blob.view();
            let offset = view.offset_of(from).unwrap_or(view.bytes().len());
            view.iter_from(offset).try_for_each(&mut *f)
        };
        blob(&self.head)?;
        let inner = self.tree.weight() as usize;
        let at = skip.min(inner);
        skip -= at;
        let mut within = self
            .tree
            .get(at as u64)
            .map_or(0, |(_, within)| within as usize);
        for chunk in self.tree.iter_at(at as u64) {
            match chunk.open() {
                Opened::Plain(text) => f(Elem::Str(text))?,
                opened => {
                    let Some(view) = opened.blob() else { continue };
                    let offset = view.offset_of(within).unwrap_or(view.bytes().len());
                    view.iter_from(offset).try_for_each(&mut *f)?;
                }
            }
            within = 0;
        }
        let view = self.tail.view();
        let offset = view.offset_of(skip).unwrap_or(view.bytes().len());
        view.iter_from(offset).try_for_each(f)
    }

    /// Shows the elements from `index` backwards to `f`.
    pub(super) fn walk_back(
        &self,
        index: usize,
        f: &mut impl FnMut(Elem) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let (head, tree, tail) = match self.place(index) {
            Place::Head(at) => (at + 1, 0, 0),
            Place::Tree(pos) => (self.head.len(), pos + 1, 0),
            Place::Tail(at) => (self.head.len(), self.tree.weight(), at + 1),
        };
        let back = |blob: super::chunk::BlobRef,
                    count: usize,
                    f: &mut dyn FnMut(Elem) -> ControlFlow<()>| {
            let skip = blob.len().saturating_sub(count);
            blob.iter_back().skip(skip).try_for_each(f)
        };
        back(self.tail.view(), tail, f)?;
        if let Some(pos) = tree.checked_sub(1) {
            let mut count = self
                .tree
                .get(pos)
                .map_or(0, |(_, within)| within as usize + 1);
            for chunk in self.tree.rev_at(pos) {
                match chunk.open() {
                    Opened::Plain(text) => f(Elem::Str(text))?,
                    opened => {
                        let Some(view) = opened.blob() else { continue };
                        back(view, count, f)?;
                    }
                }
                count = usize::MAX;
            }
        }
        back(self.head.view(), head, f)
    }

    // The ends

    /// Makes it a quicklist if `len` bytes in `texts` more elements are too much for one listpack.
    pub(super) fn grow(&mut self, len: usize, texts: usize, fit: Fit) {
        self.quick = self.quick || !fit.stays_listpack(&self.tail, len, texts);
    }

    /// Makes it a single listpack again if it has become small enough for that.
    pub(super) fn shrink(&mut self, fit: Fit, shrinking: bool) {
        if !self.quick || self.nodes() > 1 {
            return;
        }
        match self.tree.first() {
            Some(chunk) if chunk.blob_len().is_none() => return,
            Some(_) => {
                self.fetch_back();
            }
            None => {}
        }
        if self.tail.is_empty() {
            std::mem::swap(&mut self.head, &mut self.tail);
        }
        self.quick = !fit.becomes_listpack(&self.tail, shrinking);
    }

    /// Pushes without asking whether the list becomes a quicklist; [`ListTree::grow`] did.
    #[inline]
    pub(super) fn push_back(&mut self, text: &[u8], fit: Fit, limits: &Limits) {
        if !self.quick || (!self.tail.is_empty() && fit.has_room(self.tail.view(), text.len())) {
            return self.tail.push_back(text);
        }
        self.push_back_slow(text, fit, limits);
    }

    fn push_back_slow(&mut self, text: &[u8], fit: Fit, limits: &Limits) {
        if fit.is_plain(text.len()) {
            self.seal_tail(limits);
            return self.tree.push_back(Chunk::plain(text));
        }
        if self.tail.is_empty() && self.tree.is_empty() {
            if fit.has_room(self.head.view(), text.len()) {
                return self.head.push_back(text);
            }
        } else if self.tail.is_empty() {
            if self
                .tree
                .last()
                .is_some_and(|last| chunk_has_room(last, text.len(), fit))
            {
                self.fetch_back();
            }
        } else {
            self.seal_tail(limits);
        }
        self.tail.push_back(text);
    }

    #[inline]
    pub(super) fn push_front(&mut self, text: &[u8], fit: Fit, limits: &Limits) {
        if !self.quick {
            return self.tail.push_front(text);
        }
        if !self.head.is_empty() && fit.has_room(self.head.view(), text.len()) {
            return self.head.push_front(text);
        }
        self.push_front_slow(text, fit, limits);
    }

    fn push_front_slow(&mut self, text: &[u8], fit: Fit, limits: &Limits) {
        if fit.is_plain(text.len()) {
            self.seal_head(limits);
            return self.tree.push_front(Chunk::plain(text));
        }
        if self.head.is_empty() && self.tree.is_empty() {
            if fit.has_room(self.tail.view(), text.len()) {
                return self.tail.push_front(text);
            }
        } else if self.head.is_empty() {
            if self
                .tree
                .first()
                .is_some_and(|first| chunk_has_room(first, text.len(), fit))
            {
                self.fetch_front();
            }
        } else {
            self.seal_head(limits);
        }
        self.head.push_front(text);
    }

    #[inline]
    pub(super) fn pop_back<R>(&mut self, f: impl FnOnce(Elem) -> R) -> Option<R> {
        if self.tail.is_empty() {
            if self.tree.is_empty() {
                return self.head.pop_back(f);
            }
            if let Some(plain) = self.fetch_back() {
                return plain.open().with(0, f);
            }
        }
        self.tail.pop_back(f)
    }

    #[inline]
    pub(super) fn pop_front<R>(&mut self, f: impl FnOnce(Elem) -> R) -> Option<R> {
        if self.head.is_empty() {
            if self.tree.is_empty() {
                return self.tail.pop_front(f);
            }
            if let Some(plain) = self.fetch_front() {
                return plain.open().with(0, f);
            }
        }
        self.head.pop_front(f)
    }

    /// Moves the last chunk of the tree into the empty tail; a plain one is removed and given back.
    fn fetch_back(&mut self) -> Option<Chunk> {
        debug_assert!(self.tail.is_empty());
        match self.tree.pop_last()?.into_blob() {
            Ok(blob) => {
                self.tail = blob;
                None
            }
            Err(plain) => Some(plain),
        }
    }

    pub(super) fn fetch_front(&mut self) -> Option<Chunk> {
        debug_assert!(self.head.is_empty());
        match self.tree.pop_first()?.into_blob() {
            Ok(blob) => {
                self.head = blob;
                None
            }
            Err(plain) => Some(plain),
        }
    }

    /// Appends a chunk as it is.
    pub(super) fn push_chunk(&mut self, blob: Blob, limits: &Limits) {
        self.quick = true;
        self.seal_tail(limits);
        self.tail = blob;
    }

    /// Puts the tail into the tree, where there is one.
    pub(super) fn seal_tail(&mut self, limits: &Limits) {
        if !self.tail.is_empty() {
            self.tree
                .push_back(Chunk::packed(std::mem::take(&mut self.tail)));
            self.compress(limits.list_compress_depth, true);
        }
    }

    pub(super) fn seal_head(&mut self, limits: &Limits) {
        if !self.head.is_empty() {
            self.tree
                .push_front(Chunk::packed(std::mem::take(&mut self.head)));
            self.compress(limits.list_compress_depth, false);
        }
    }

    /// After a chunk came to an end of the tree: compresses the one that is now further than `depth`
    /// chunks from that end and from the other.
    fn compress(&mut self, depth: usize, back: bool) {
        // The end itself, about to be filled again, counts as the first of the `depth` chunks.
        if depth == 0 || self.tree.len() < 2 * depth as u64 {
            return;
        }
        let skip: u64 = if back {
            self.tree
                .rev()
                .take(depth - 1)
                .map(|chunk| chunk.len() as u64)
                .sum()
        } else {
            self.tree
                .iter()
                .take(depth - 1)
                .map(|chunk| chunk.len() as u64)
                .sum()
        };
        let pos = if back {
            self.tree.weight() - 1 - skip
        } else {
            skip
        };
        self.tree.modify_at(pos, |chunk, _, _| chunk.compress());
    }
}

fn chunk_has_room(chunk: &Chunk, len: usize, fit: Fit) -> bool {
    // Compressed chunks are asked too: they are few at the ends of the tree.
    chunk
        .open()
        .blob()
        .is_some_and(|blob| fit.has_room(blob, len))
}
