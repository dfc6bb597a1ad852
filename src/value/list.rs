//! Lists: sequences of byte strings.
//!
//! - [`List`] owns a list while it is changed, [`ListRef`] borrows one for reading.
//! - Small lists are one packed blob, which the keyspace keeps inside the key's entry, without backlens: so short a
//!   blob is quickly walked from its front. From [`INLINE_BYTES`] on they move behind a pointer, so that a push does
//!   not copy them: a [`ListTree`] whose one chunk Redis would still call a listpack.
//! - Large lists are a tree of chunks with the first and the last chunk in front (`large`).
//!
//! When `OBJECT ENCODING` says "listpack" and when "quicklist" follows Redis' rules (`chunk::Fit`), whatever
//! the form in memory.

mod chunk;
mod edit;
mod large;
#[cfg(test)]
mod tests;

pub use chunk::{Blob, BlobRef, Chunk, Opened, set_packed_threshold};
pub use large::ListTree;

use crate::value::entry::{self, ObjRef, Payload};
pub use crate::value::packed::Elem;
use crate::value::packed::{Forward, Packed, PackedRef};
use crate::value::tree::Remains;
use crate::value::{Collection, Limits, Obj, Stored, Type, tag};
use chunk::Fit;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Longer blobs do not lie in the key's entry; a list that came from there returns at half of it.
pub const INLINE_BYTES: usize = 1024;

/// One of the two ends of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// LEFT, the head.
    Front,
    /// RIGHT, the tail.
    Back,
}

/// A list that is being changed.
#[derive(Clone, Debug)]
pub enum List {
    Small(Packed<Forward>),
    Large(Arc<ListTree>),
}

/// A list that is being read.
#[derive(Clone, Copy, Debug)]
pub enum ListRef<'a> {
    Small(PackedRef<'a, Forward>),
    Large(&'a ListTree),
}

impl Default for List {
    fn default() -> Self {
        Self::new()
    }
}

impl List {
    pub fn new() -> Self {
        Self::Small(Packed::new())
    }

    #[inline]
    pub fn view(&self) -> ListRef<'_> {
        match self {
            List::Small(blob) => ListRef::Small(blob.view()),
            List::Large(list) => ListRef::Large(list),
        }
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.view().len()
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn encoding(&self) -> &'static str {
        self.view().encoding()
    }

    /// Runs a change on the large form; what is still one listpack then becomes small again if it was.
    fn change<R>(&mut self, f: impl FnOnce(&mut ListTree) -> R) -> R {
        match self {
            List::Large(list) => f(Arc::make_mut(list)),
            List::Small(blob) => {
                let mut list = ListTree::single(Packed::with_backlens(blob.view()));
                let result = f(&mut list);
                *self = if list.quick {
                    List::Large(Arc::new(list))
                } else {
                    List::Small(list.tail.without_backlens())
                };
                result
            }
        }
    }

    /// Pushes one element.
    #[inline]
    pub fn push(&mut self, text: &[u8], end: End, limits: &Limits) {
        self.reserve(text.len(), 1, limits);
        self.push_reserved(text, end, limits);
    }

    /// Appends one element.
    #[inline]
    pub fn push_back(&mut self, text: &[u8], limits: &Limits) {
        self.push(text, End::Back, limits);
    }

    /// Pushes several elements one after the other. As in Redis the form is chosen by all of them together.
    pub fn push_all<'t>(
        &mut self,
        texts: impl Iterator<Item = &'t [u8]> + Clone,
        end: End,
        limits: &Limits,
    ) {
        let (len, count) = texts.clone().fold((0usize, 0), |(len, count), text| {
            (len.saturating_add(text.len()), count + 1)
        });
        self.reserve(len, count, limits);
        for text in texts {
            self.push_reserved(text, end, limits);
        }
    }

    #[inline]
    fn reserve(&mut self, len: usize, count: usize, limits: &Limits) {
        let fit = Fit::new(limits.list_size);
        match self {
            List::Small(blob) if fit.stays_small(blob, len, count) => {}
            _ => self.change(|list| list.grow(len, count, fit)),
        }
    }

    #[inline]
    fn push_reserved(&mut self, text: &[u8], end: End, limits: &Limits) {
        let fit = Fit::new(limits.list_size);
        match (self, end) {
            (List::Small(blob), End::Back) => blob.push_back(text),
            (List::Small(blob), End::Front) => blob.push_front(text),
            (List::Large(list), End::Back) => Arc::make_mut(list).push_back(text, fit, limits),
            (List::Large(list), End::Front) => Arc::make_mut(list).push_front(text, fit, limits),
        }
    }

    /// Removes the element at one end after showing it to `f`.
    #[inline]
    pub fn pop<R>(&mut self, end: End, limits: &Limits, f: impl FnOnce(Elem) -> R) -> Option<R> {
        match self {
            List::Small(blob) => match end {
                End::Front => blob.pop_front(f),
                End::Back => blob.pop_back(f),
            },
            List::Large(list) => {
                let list = Arc::make_mut(list);
                let result = match end {
                    End::Front => list.pop_front(f),
                    End::Back => list.pop_back(f),
                };
                list.shrink(Fit::new(limits.list_size), true);
                result
            }
        }
    }

    /// Removes up to `count` elements at one end after showing each, from there on, to `f`. What was
    /// cut off is returned as by [`List::trim`].
    pub fn pop_many(
        &mut self,
        end: End,
        count: usize,
        limits: &Limits,
        mut f: impl FnMut(Elem),
    ) -> Option<Remains<Chunk>> {
        let len = self.len();
        let count = count.min(len);
        if count == 0 {
            return None;
        }
        let (from, to) = match end {
            End::Front => {
                self.view().range(0, count, f);
                (count, len)
            }
            End::Back => {
                let mut left = count;
                let _ = self.view().walk_back(len - 1, |elem| {
                    f(elem);
                    left -= 1;
                    flow(left > 0)
                });
                (0, len - count)
            }
        };
        self.keep(from, to, limits)
    }

    /// Drops what is outside of a range of indices.
    fn keep(&mut self, from: usize, to: usize, limits: &Limits) -> Option<Remains<Chunk>> {
        let List::Small(blob) = self else {
            return self.change(|list| list.trim(from, to, limits));
        };
        let after = blob.view().offset_of(to).unwrap_or(blob.byte_len());
        blob.remove(after, usize::MAX);
        blob.remove(0, from.min(blob.len()));
        None
    }

    /// Replaces the element at `index` (from the end if negative); false if there is none.
    pub fn set(&mut self, index: i64, text: &[u8], limits: &Limits) -> bool {
        let Some(index) = self.view().resolve(index) else {
            return false;
        };
        self.change(|list| list.set(index, text, limits));
        true
    }

    /// Puts an element before the one at `index`; at the end if there is none.
    pub fn insert(&mut self, index: usize, text: &[u8], limits: &Limits) {
        self.change(|list| list.insert(index, text, limits));
    }

    /// Puts an element before the first that equals `pivot`; false if there is none.
    pub fn insert_before(&mut self, pivot: &[u8], text: &[u8], limits: &Limits) -> bool {
        self.insert_beside(pivot, 0, text, limits)
    }

    /// Puts an element after the first that equals `pivot`; false if there is none.
    pub fn insert_after(&mut self, pivot: &[u8], text: &[u8], limits: &Limits) -> bool {
        self.insert_beside(pivot, 1, text, limits)
    }

    fn insert_beside(&mut self, pivot: &[u8], offset: usize, text: &[u8], limits: &Limits) -> bool {
        let Some(index) = self.view().position(pivot) else {
            return false;
        };
        self.insert(index + offset, text, limits);
        true
    }

    /// Removes elements equal to `text`: up to `count` from the front, or from the end if it is
    /// negative, or all if it is 0. Returns how many.
    pub fn remove(&mut self, count: i64, text: &[u8], limits: &Limits) -> usize {
        let limit = match count {
            0 => usize::MAX,
            _ => usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX),
        };
        self.change(|list| list.remove(text, limit, count < 0, limits))
    }

    /// Keeps the elements from `start` to `stop` (from the end if negative). What was cut off is
    /// returned to be freed in slices, if it is more than a chunk.
    pub fn trim(&mut self, start: i64, stop: i64, limits: &Limits) -> Option<Remains<Chunk>> {
        let (from, to) = self.view().resolve_range(start, stop).unwrap_or((0, 0));
        self.keep(from, to, limits)
    }

    /// Appends a chunk as it was saved; [`List::settle`] ends the loading.
    pub fn push_chunk(&mut self, blob: Blob, limits: &Limits) {
        if !blob.is_empty() {
            self.change(|list| list.push_chunk(blob, limits));
        }
    }

    /// Appends a single element that was saved by itself.
    pub fn push_plain(&mut self, text: &[u8], limits: &Limits) {
        self.change(|list| {
            list.quick = true;
            list.push_back(text, Fit::new(limits.list_size), limits);
        });
    }

    /// Chooses the form after loading.
    pub fn settle(&mut self, limits: &Limits) {
        self.change(|list| list.shrink(Fit::new(limits.list_size), false));
    }

    pub fn memory_usage(&self, samples: usize) -> usize {
        self.view().memory_usage(samples)
    }
}

impl<'a> ListRef<'a> {
    #[inline]
    pub fn len(&self) -> usize {
        match self {
            ListRef::Small(blob) => blob.len(),
            ListRef::Large(list) => list.len(),
        }
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// As `OBJECT ENCODING` names it.
    pub fn encoding(&self) -> &'static str {
        match self {
            ListRef::Small(_) => "listpack",
            ListRef::Large(list) => list.encoding(),
        }
    }

    /// An index from the front of what may be one from the end; `None` if it is outside.
    #[inline]
    pub fn resolve(&self, index: i64) -> Option<usize> {
        let len = self.len() as i64;
        let index = if index < 0 {
            index.checked_add(len)?
        } else {
            index
        };
        (0..len).contains(&index).then_some(index as usize)
    }

    /// `start` and `stop` of LRANGE as a range of indices from the front; `None` if it is empty.
    pub fn resolve_range(&self, start: i64, stop: i64) -> Option<(usize, usize)> {
        let len = self.len() as i64;
        let from_end = |index: i64| {
            if index < 0 {
                index.saturating_add(len)
            } else {
                index
            }
        };
        let (start, stop) = (from_end(start).max(0), from_end(stop).min(len - 1));
        (start <= stop).then(|| (start as usize, stop as usize + 1))
    }

    /// Shows the element at `index` (from the end if negative) to `f`.
    #[inline]
    pub fn get<R>(&self, index: i64, f: impl FnOnce(Elem) -> R) -> Option<R> {
        let index = self.resolve(index)?;
        match self {
            ListRef::Small(blob) => blob.get(index).map(f),
            ListRef::Large(list) => list.get(index, f),
        }
    }

    /// Shows the elements of a range of indices to `f`.
    #[inline]
    pub fn range(&self, from: usize, to: usize, mut f: impl FnMut(Elem)) {
        let mut left = to.min(self.len()).saturating_sub(from);
        if left == 0 {
            return;
        }
        // The walk has no other end than the one asked for here.
        let _ = self.walk(from, |elem| {
            f(elem);
            left -= 1;
            flow(left > 0)
        });
    }

    /// Shows the elements from `index` on to `f`, until it breaks.
    #[inline]
    pub fn walk(
        &self,
        index: usize,
        mut f: impl FnMut(Elem) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        match self {
            ListRef::Small(blob) => {
                let offset = blob.offset_of(index).unwrap_or(blob.bytes().len());
                blob.iter_from(offset).try_for_each(f)
            }
            ListRef::Large(list) => list.walk(index, &mut f),
        }
    }

    /// Shows the elements from `index`, which must be there, backwards to `f`, until it breaks.
    pub fn walk_back(
        &self,
        index: usize,
        mut f: impl FnMut(Elem) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        match self {
            ListRef::Small(blob) => {
                let elements: Vec<Elem> = blob.iter().take(index + 1).collect();
                elements.into_iter().rev().try_for_each(f)
            }
            ListRef::Large(list) => list.walk_back(index, &mut f),
        }
    }

    /// The index of the first element that equals `text`.
    pub fn position(&self, text: &[u8]) -> Option<usize> {
        let mut index = 0;
        let found = self.walk(0, |elem| {
            if elem.eq_bytes(text) {
                return ControlFlow::Break(());
            }
            index += 1;
            ControlFlow::Continue(())
        });
        found.is_break().then_some(index)
    }

    /// All chunks in order, for saving.
    pub fn chunks(&self) -> impl Iterator<Item = Opened<'a>> + use<'a> {
        let (small, large) = match *self {
            ListRef::Small(blob) => {
                let open = || Opened::Inflated(Packed::with_backlens(blob));
                ((!blob.is_empty()).then(open), None)
            }
            ListRef::Large(list) => (None, Some(list.chunks())),
        };
        small.into_iter().chain(large.into_iter().flatten())
    }

    /// Bytes on the heap, from up to `samples` chunks (0: all). A small list is counted by its bytes.
    pub fn memory_usage(&self, samples: usize) -> usize {
        match self {
            ListRef::Small(blob) => blob.bytes().len(),
            ListRef::Large(list) => list.memory_usage(samples),
        }
    }
}

/// Whether a walk goes on.
#[inline]
fn flow(on: bool) -> ControlFlow<()> {
    if on {
        ControlFlow::Continue(())
    } else {
        ControlFlow::Break(())
    }
}

impl Collection for List {
    type Ref<'a> = ListRef<'a>;
    const TYPE: Type = Type::List;

    fn empty() -> Self {
        Self::new()
    }

    fn is_empty(&self) -> bool {
        List::is_empty(self)
    }

    #[inline]
    fn view(payload: Payload<'_>) -> Option<ListRef<'_>> {
        match payload {
            Payload::Packed(blob) if blob.tag == tag::LIST => {
                Some(ListRef::Small(PackedRef::new(blob.bytes, blob.count)))
            }
            Payload::Obj(ObjRef::List(list)) => Some(ListRef::Large(list)),
            _ => None,
        }
    }

    fn from_blob(blob: entry::Blob<'_>, mut scratch: Vec<u8>) -> Self {
        scratch.clear();
        scratch.extend_from_slice(blob.bytes);
        List::Small(Packed::from_vec(scratch, blob.count))
    }

    #[inline]
    fn from_obj(obj: Obj) -> Option<Self> {
        match obj {
            Obj::List(list) => Some(List::Large(list)),
            _ => None,
        }
    }

    #[inline]
    fn store(self) -> Stored {
        match self {
            List::Large(list) if list.quick || list.tail.byte_len() > INLINE_BYTES / 2 => {
                Stored::Large(Obj::List(list))
            }
            List::Large(list) => small(Arc::unwrap_or_clone(list).tail.without_backlens()),
            List::Small(blob) if blob.byte_len() > INLINE_BYTES => {
                let mut blob = Packed::with_backlens(blob.view());
                blob.shrink();
                Stored::Large(Obj::List(Arc::new(ListTree::single(blob))))
            }
            List::Small(blob) => small(blob),
        }
    }
}

fn small(blob: Packed<Forward>) -> Stored {
    let (bytes, count) = blob.into_parts();
    Stored::Small(tag::LIST, count, bytes)
}
