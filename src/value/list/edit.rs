//! Changes in the middle of a list: LINSERT, LSET, LREM, LTRIM.

use super::chunk::{Blob, Chunk, Fit, remove_matches};
use super::large::{ListTree, Place};
use crate::value::Limits;
use crate::value::packed::{Elem, Needle, Packed, stored_len};
use crate::value::tree::{Remains, Tree};

impl ListTree {
    /// Puts an element before the one at `index`, which may be the length.
    pub(super) fn insert(&mut self, index: usize, text: &[u8], limits: &Limits) {
        let fit = Fit::new(limits.list_size);
        self.grow(text.len(), 1, fit);
        if index == 0 {
            return self.push_front(text, fit, limits);
        }
        if index >= self.len() {
            return self.push_back(text, fit, limits);
        }
        match self.place(index) {
            Place::Head(at) => {
                if insert_if_room(&mut self.head, at, text, fit) {
                    return;
                }
                self.seal_head(limits);
                self.insert_in_tree(at as u64, text, fit);
            }
            Place::Tail(at) => {
                if !self.quick {
                    let offset = offset_of(&self.tail, at);
                    return self.tail.insert(offset, &Needle::new(text));
                }
                if insert_if_room(&mut self.tail, at, text, fit) {
                    return;
                }
                let pos = self.tree.weight() + at as u64;
                self.seal_tail(limits);
                self.insert_in_tree(pos, text, fit);
            }
            Place::Tree(pos) => self.insert_in_tree(pos, text, fit),
        }
    }

    fn insert_in_tree(&mut self, pos: u64, text: &[u8], fit: Fit) {
        let first = self.tree.modify_at(pos, |chunk, within, after| {
            let pieces = insert_in_chunk(chunk, within as usize, text, fit);
            let mut pieces = pieces.into_iter();
            if let Some(first) = pieces.next() {
                *chunk = first;
            }
            after.extend(pieces);
            pos - within
        });
        if let Some(start) = first {
            self.merge_next(start + self.chunk_len(start), fit);
            self.merge_next(start, fit);
            self.merge_previous(start, fit);
        }
    }

    fn chunk_len(&self, pos: u64) -> u64 {
        self.tree
            .get(pos)
            .map_or(0, |(chunk, _)| chunk.len() as u64)
    }

    /// Joins the chunk before `start` to the one that starts there, if both are small.
    fn merge_previous(&mut self, start: u64, fit: Fit) {
        if let Some((_, within)) = start.checked_sub(1).and_then(|pos| self.tree.get(pos)) {
            self.merge_next(start - 1 - within, fit);
        }
    }

    /// Joins the chunk that starts at `start` and the next one, if both are small.
    fn merge_next(&mut self, start: u64, fit: Fit) {
        let Some((chunk, 0)) = self.tree.get(start) else {
            return;
        };
        let next_start = start + chunk.len() as u64;
        let Some((next, _)) = self.tree.get(next_start) else {
            return;
        };
        let (Some(bytes), Some(more)) = (chunk.blob_len(), next.blob_len()) else {
            return;
        };
        if !fit.should_merge(bytes + more, chunk.len() + next.len()) {
            return;
        }
        let Some(Ok(next)) = self.tree.remove_at(next_start).map(Chunk::into_blob) else {
            return;
        };
        self.tree.modify_at(start, |chunk, _, _| {
            if let Some(mut blob) = chunk.take() {
                blob.append(next.view());
                chunk.put(blob);
            }
        });
    }

    /// Replaces the element at `index`, which must be there.
    pub(super) fn set(&mut self, index: usize, text: &[u8], limits: &Limits) {
        let fit = Fit::new(limits.list_size);
        self.grow(text.len(), 1, fit);
        let done = match self.place(index) {
            Place::Head(at) => replace_if_fits(&mut self.head, at, text, Some(fit)),
            Place::Tail(at) => {
                let fit = self.quick.then_some(fit);
                replace_if_fits(&mut self.tail, at, text, fit)
            }
            Place::Tree(pos) => {
                let replaced = self.tree.modify_at(pos, |chunk, within, _| {
                    let Some(mut blob) = chunk.take() else {
                        return false;
                    };
                    let done = replace_if_fits(&mut blob, within as usize, text, Some(fit));
                    chunk.put(blob);
                    done
                });
                replaced == Some(true)
            }
        };
        if !done {
            self.remove_at(index);
            self.insert(index, text, limits);
        }
        self.shrink(fit, true);
    }

    /// Removes the element at `index`, which must be there.
    fn remove_at(&mut self, index: usize) {
        let remove = |blob: &mut Blob, at: usize| {
            let offset = offset_of(blob, at);
            blob.remove(offset, 1);
        };
        match self.place(index) {
            Place::Head(at) => remove(&mut self.head, at),
            Place::Tail(at) => remove(&mut self.tail, at),
            Place::Tree(pos) => {
                self.tree.modify_at(pos, |chunk, within, _| {
                    let mut blob = chunk.take().unwrap_or_default();
                    if !blob.is_empty() {
                        remove(&mut blob, within as usize);
                    }
                    chunk.put(blob);
                });
            }
        }
    }

    /// Removes up to `limit` elements equal to `text`, from the end if `back`; returns how many.
    pub(super) fn remove(
        &mut self,
        text: &[u8],
        limit: usize,
        back: bool,
        limits: &Limits,
    ) -> usize {
        let fit = Fit::new(limits.list_size);
        let mut removed = 0;
        // No blob holds a text that is longer than a needle may be.
        let needle = (text.len() <= crate::value::packed::MAX_STRING).then(|| Needle::new(text));
        let end = |blob: &mut Blob, limit: usize| match &needle {
            Some(needle) if limit > 0 => remove_matches(blob, needle, limit, back),
            _ => 0,
        };
        if back {
            removed += end(&mut self.tail, limit);
            removed += self.remove_in_tree(text, limit - removed, true, fit);
            removed += end(&mut self.head, limit - removed);
        } else {
            removed += end(&mut self.head, limit);
            removed += self.remove_in_tree(text, limit - removed, false, fit);
            removed += end(&mut self.tail, limit - removed);
        }
        if removed > 0 {
            self.shrink(fit, true);
        }
        removed
    }

    fn remove_in_tree(&mut self, text: &[u8], limit: usize, back: bool, fit: Fit) -> usize {
        let mut removed = 0;
        // What is still to be looked at: from `pos` on, or before it.
        let mut pos = if back { self.tree.weight() } else { 0 };
        while removed < limit
            && (if back {
                pos > 0
            } else {
                pos < self.tree.weight()
            })
        {
            let at = if back { pos - 1 } else { pos };
            let Some((chunk, within)) = self.tree.get(at) else {
                break;
            };
            let (start, len) = (at - within, chunk.len() as u64);
            let mut gone = 0;
            if chunk_contains(chunk, text) {
                let rest = limit - removed;
                let change = |chunk: &mut Chunk, _: u64, _: &mut Vec<Chunk>| {
                    let Some(mut blob) = chunk.take() else {
                        chunk.put(Blob::new());
                        return 1;
                    };
                    let gone = remove_matches(&mut blob, &Needle::new(text), rest, back);
                    blob.shrink();
                    chunk.put(blob);
                    gone
                };
                gone = self.tree.modify_at(start, change).unwrap_or(0);
                if gone > 0 && (gone as u64) < len {
                    self.merge_next(start, fit);
                }
            }
            removed += gone;
            pos = if back {
                start
            } else {
                start + len - gone as u64
            };
        }
        removed
    }

    /// Keeps `from..to` only; returns what is left to free, if that is much.
    pub(super) fn trim(
        &mut self,
        from: usize,
        to: usize,
        limits: &Limits,
    ) -> Option<Remains<Chunk>> {
        let mut dropped = self.remove_back(self.len() - to);
        let mut front = self.remove_front(from);
        front.append(std::mem::take(&mut dropped));
        self.shrink(Fit::new(limits.list_size), true);
        (!front.is_empty()).then(|| front.dismantle())
    }

    fn remove_front(&mut self, count: usize) -> Tree<Chunk> {
        let from_head = count.min(self.head.len());
        self.head.remove(0, from_head);
        let count = count - from_head;
        let from_tree = (count as u64).min(self.tree.weight());
        self.tail.remove(0, count - from_tree as usize);
        if from_tree == 0 {
            return Tree::new();
        }
        let Some((_, within)) = self.tree.get(from_tree) else {
            return std::mem::take(&mut self.tree);
        };
        let kept = self.tree.split_off(from_tree - within);
        let dropped = std::mem::replace(&mut self.tree, kept);
        if within > 0 {
            // The cut goes through a blob, and the head is empty.
            self.fetch_front();
            self.head.remove(0, within as usize);
        }
        dropped
    }

    fn remove_back(&mut self, count: usize) -> Tree<Chunk> {
        let from_tail = count.min(self.tail.len());
        truncate(&mut self.tail, from_tail);
        let count = count - from_tail;
        let from_tree = (count as u64).min(self.tree.weight());
        truncate(&mut self.head, count - from_tree as usize);
        if from_tree == 0 {
            return Tree::new();
        }
        let keep = self.tree.weight() - from_tree;
        let within = self.tree.get(keep).map_or(0, |(_, within)| within);
        let mut dropped = self.tree.split_off(keep - within);
        if within > 0
            && let Some(Ok(mut blob)) = dropped.pop_first().map(Chunk::into_blob)
        {
            let excess = blob.len() - within as usize;
            truncate(&mut blob, excess);
            self.tail = blob;
        }
        dropped
    }
}

fn offset_of(blob: &Blob, index: usize) -> usize {
    blob.view().offset_of(index).unwrap_or(blob.byte_len())
}

/// Removes the last `count` elements.
fn truncate(blob: &mut Blob, count: usize) {
    if count > 0 {
        let offset = offset_of(blob, blob.len() - count);
        blob.remove(offset, count);
    }
}

fn insert_if_room(blob: &mut Blob, at: usize, text: &[u8], fit: Fit) -> bool {
    let room = !fit.is_plain(text.len()) && fit.has_room(blob.view(), text.len());
    if room {
        let offset = offset_of(blob, at);
        blob.insert(offset, &Needle::new(text));
    }
    room
}

/// Replaces an element if the blob stays within the limit of a chunk, or in any case without one.
fn replace_if_fits(blob: &mut Blob, at: usize, text: &[u8], fit: Option<Fit>) -> bool {
    if fit.is_some_and(|fit| fit.is_plain(text.len())) {
        return false;
    }
    let needle = Needle::new(text);
    let offset = offset_of(blob, at);
    let old = blob.view().next_offset(offset) - offset;
    let bytes = blob.byte_len() - old + stored_len::<crate::value::packed::WithBack>(&needle);
    let fits = fit.is_none_or(|fit| fit.allows(bytes, blob.len()));
    if fits {
        blob.replace(offset, &needle);
    }
    fits
}

fn chunk_contains(chunk: &Chunk, text: &[u8]) -> bool {
    let opened = chunk.open();
    match opened.blob() {
        Some(_) if text.len() > crate::value::packed::MAX_STRING => false,
        Some(blob) => blob.find(&Needle::new(text), 0).is_some(),
        None => opened.with(0, |elem| elem == Elem::Str(text)) == Some(true),
    }
}

/// The chunks that stand in the place of `chunk` after an insertion before its element `within`.
fn insert_in_chunk(chunk: &mut Chunk, within: usize, text: &[u8], fit: Fit) -> Vec<Chunk> {
    let compress = chunk.is_compressed();
    let plain = fit.is_plain(text.len());
    let single = || {
        if plain {
            return Chunk::plain(text);
        }
        let mut blob = Packed::new();
        blob.push_back(text);
        Chunk::packed(blob)
    };
    let Some(mut left) = chunk.take() else {
        return vec![single(), chunk.clone()];
    };
    if insert_if_room(&mut left, within, text, fit) {
        chunk.put(left);
        return vec![chunk.clone()];
    }
    let mut right = left.split_off(within);
    let mut middle = None;
    if !plain && !left.is_empty() && fit.has_room(left.view(), text.len()) {
        left.push_back(text);
    } else if !plain && !right.is_empty() && fit.has_room(right.view(), text.len()) {
        right.push_front(text);
    } else {
        middle = Some(single());
    }
    let part = |blob: Blob| (!blob.is_empty()).then(|| Chunk::packed(blob));
    let mut pieces: Vec<Chunk> = [part(left), middle, part(right)]
        .into_iter()
        .flatten()
        .collect();
    if compress {
        pieces.iter_mut().for_each(Chunk::compress);
    }
    pieces
}
