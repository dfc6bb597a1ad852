//! The two kinds of node as they lie in memory: allocation, counts, copies. No trie logic here.
//!
//! ```text
//! Segment  | refs u32 | len u16 | class u8 | depth u8 | tags: cap bytes, padded to 8 | cap items |
//! Dir      | refs u32 |       … unused …              | 2^bits children of 8 bytes              |
//! ```
//! A [`Node`] is the address of one or the other; its low three bits hold the `bits` of a Dir and
//! are 0 for a Segment, so that a reader comes past a Dir without touching its header.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, Ordering, fence};

use super::Item;

/// Bytes before the tags or the children.
pub(super) const HEADER: usize = 8;
/// Bits that a full Dir consumes.
pub(super) const DIR_BITS: u32 = 6;
/// A segment at this depth grows instead of being split.
pub(super) const MAX_DEPTH: u32 = 48;
/// The class of segment that is split when it is full: 56 items in 512 bytes.
pub(super) const SPLIT_CLASS: u8 = 17;
/// A cache line: the header and all tags of a segment that is to be split when full.
const LINE: usize = 64;
/// Classes of at least one line, whose tags lie in that line.
const LINE_CLASSES: std::ops::RangeInclusive<u8> = 5..=SPLIT_CLASS;
/// References that one node can have; beyond it something is badly wrong.
const MAX_REFS: u32 = u32::MAX / 2;

const CLASSES: usize = 59;

struct Class {
    /// Bytes of the allocation: a size class of the allocator, filled to the last 8 bytes.
    size: u32,
    /// Where the items start.
    items_at: u32,
    cap: u16,
}

static CLASS: [Class; CLASSES] = classes();

const fn classes() -> [Class; CLASSES] {
    let mut table = [const {
        Class {
            size: 0,
            items_at: 0,
            cap: 0,
        }
    }; CLASSES];
    let mut size = 24;
    let mut step = 8;
    let mut i = 0;
    while i < CLASSES {
        let mut cap = (size - HEADER) / 9;
        while items_at(cap) + cap * 8 > size {
            cap -= 1;
        }
        if cap > u16::MAX as usize {
            cap = u16::MAX as usize;
        }
        table[i] = Class {
            size: size as u32,
            items_at: items_at(cap) as u32,
            cap: cap as u16,
        };
        // Eight steps of 8 bytes up to 64, then four steps to each doubling.
        if size >= 64 && size.is_power_of_two() {
            step = size / 4;
        }
        size += step;
        i += 1;
    }
    assert!(table[SPLIT_CLASS as usize].cap == 56 && table[SPLIT_CLASS as usize].size == 512);
    assert!(table[*LINE_CLASSES.start() as usize].size as usize == LINE);
    assert!(table[CLASSES - 1].cap == u16::MAX && table[CLASSES - 2].cap < u16::MAX);
    table
}

const fn items_at(cap: usize) -> usize {
    (HEADER + cap + 7) & !7
}

/// Items that a segment of this class holds.
#[inline]
pub(super) fn cap_of(class: u8) -> usize {
    CLASS[class as usize].cap as usize
}

/// The smallest class that holds `n` items.
pub(super) fn class_for(n: usize) -> u8 {
    assert!(
        n <= u16::MAX as usize,
        "65,536 items whose hashes agree in 48 bits"
    );
    CLASS.partition_point(|class| (class.cap as usize) < n) as u8
}

pub(super) fn dir_size(bits: u32) -> usize {
    HEADER + (8usize << bits)
}

#[repr(C)]
struct Header {
    refs: AtomicU32,
    len: u16,
    class: u8,
    depth: u8,
}

/// The address of a node. Copying the address does not count: whoever stores one holds one
/// reference, and passes it on, [`retain`](Node::retain)s or [`release`](Node::release)s it.
#[repr(transparent)]
pub(super) struct Node<T>(NonNull<u8>, PhantomData<*const T>);

impl<T> Clone for Node<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Node<T> {}
impl<T> PartialEq for Node<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

/// A node that is known to be a segment.
#[repr(transparent)]
pub(super) struct Seg<T>(NonNull<u8>, PhantomData<*const T>);

impl<T> Clone for Seg<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Seg<T> {}

impl<T> Node<T> {
    /// The bits that this Dir consumes, 0 for a segment.
    #[inline]
    pub fn bits(self) -> u32 {
        (self.0.as_ptr().addr() & 7) as u32
    }

    #[inline]
    pub fn as_seg(self) -> Option<Seg<T>> {
        (self.bits() == 0).then_some(Seg(self.0, PhantomData))
    }

    /// # Safety
    /// The node is a segment.
    #[inline]
    pub unsafe fn seg(self) -> Seg<T> {
        debug_assert_eq!(self.bits(), 0);
        Seg(self.0, PhantomData)
    }

    #[inline]
    fn start(self) -> *mut u8 {
        self.0.as_ptr().map_addr(|a| a & !7)
    }

    /// # Safety
    /// The node lives and is a Dir; `at < 2^bits`. Writing through it needs an unshared node.
    #[inline]
    pub unsafe fn child(self, at: usize) -> *mut Node<T> {
        debug_assert!(self.bits() > 0 && at < 1 << self.bits());
        unsafe { self.start().add(HEADER).cast::<Node<T>>().add(at) }
    }

    /// # Safety
    /// The node lives.
    #[inline]
    unsafe fn refs<'a>(self) -> &'a AtomicU32 {
        unsafe { &(*self.start().cast::<Header>()).refs }
    }

    /// True where this is the only reference. Acquire: what another thread did with the node before
    /// it released it has happened.
    ///
    /// # Safety
    /// The node lives.
    #[inline]
    pub unsafe fn is_unique(self) -> bool {
        unsafe { self.refs() }.load(Ordering::Acquire) == 1
    }

    /// One more reference.
    ///
    /// # Safety
    /// The node lives.
    #[inline]
    pub unsafe fn retain(self) {
        let before = unsafe { self.refs() }.fetch_add(1, Ordering::Relaxed);
        if before > MAX_REFS {
            std::process::abort();
        }
    }

    /// A Dir whose children the caller writes next, all of them.
    pub fn new_dir(bits: u32) -> Node<T> {
        debug_assert!((1..=DIR_BITS).contains(&bits));
        let start = allocate(
            dir_size(bits),
            Header {
                refs: AtomicU32::new(1),
                len: 0,
                class: 0,
                depth: 0,
            },
        );
        let tagged = start.as_ptr().map_addr(|a| a | bits as usize);
        // A non-null address with further bits set stays non-null.
        Node(unsafe { NonNull::new_unchecked(tagged) }, PhantomData)
    }

    /// Frees the memory of a Dir and leaves its children alone.
    ///
    /// # Safety
    /// The caller has the only reference, and has taken over or released the children.
    pub unsafe fn free_dir(self) {
        unsafe { free(self.start(), dir_size(self.bits())) }
    }

    /// The distinct children of a Dir, in order: a child that fills a run of slots comes once.
    ///
    /// # Safety
    /// The node is a Dir, and lives while the iterator is in use.
    pub unsafe fn children(self) -> impl Iterator<Item = Node<T>> {
        let mut last = None;
        (0..1usize << self.bits()).filter_map(move |at| {
            let child = unsafe { *self.child(at) };
            (last.replace(child) != Some(child)).then_some(child)
        })
    }
}

impl<T: Item> Node<T> {
    /// A Dir of its own with the same children.
    ///
    /// # Safety
    /// The node lives and is a Dir.
    pub unsafe fn copy_dir(self) -> Node<T> {
        unsafe {
            let copy = Node::new_dir(self.bits());
            ptr::copy_nonoverlapping(self.child(0), copy.child(0), 1 << self.bits());
            for child in self.children() {
                child.retain();
            }
            copy
        }
    }

    /// Gives up one reference; with the last one the node goes, with all that only it holds.
    ///
    /// # Safety
    /// The caller holds this reference and does not use it again.
    pub unsafe fn release(self) {
        unsafe {
            if self.refs().fetch_sub(1, Ordering::Release) != 1 {
                return;
            }
            fence(Ordering::Acquire);
            if let Some(seg) = self.as_seg() {
                seg.drop_items();
                seg.free();
            } else {
                // At most MAX_DEPTH / DIR_BITS levels deep.
                self.children().for_each(|child| child.release());
                self.free_dir();
            }
        }
    }
}

impl<T> Seg<T> {
    /// An empty segment.
    pub fn new(class: u8, depth: u32) -> Seg<T> {
        let of = &CLASS[class as usize];
        let header = Header {
            refs: AtomicU32::new(1),
            len: 0,
            class,
            depth: depth as u8,
        };
        let start = allocate(of.size as usize, header);
        // Tags are read beyond the length too, to the end of the line: there must be something.
        let read = (of.items_at as usize).max(LINE).min(of.size as usize);
        unsafe { start.as_ptr().add(HEADER).write_bytes(0, read - HEADER) };
        Seg(start, PhantomData)
    }

    #[inline]
    pub fn node(self) -> Node<T> {
        Node(self.0, PhantomData)
    }

    #[inline]
    fn header(self) -> *mut Header {
        self.0.as_ptr().cast()
    }

    /// # Safety
    /// The segment lives; so in all that follows.
    #[inline]
    pub unsafe fn len(self) -> usize {
        unsafe { (*self.header()).len as usize }
    }

    #[inline]
    pub unsafe fn class(self) -> u8 {
        unsafe { (*self.header()).class }
    }

    /// Bits of the hash that all items of this segment have in common.
    #[inline]
    pub unsafe fn depth(self) -> u32 {
        unsafe { (*self.header()).depth as u32 }
    }

    #[inline]
    pub unsafe fn size(self) -> usize {
        unsafe { CLASS[self.class() as usize].size as usize }
    }

    #[inline]
    pub unsafe fn is_full(self) -> bool {
        unsafe { self.len() == cap_of(self.class()) }
    }

    #[inline]
    fn tags(self) -> *mut u8 {
        unsafe { self.0.as_ptr().add(HEADER) }
    }

    #[inline]
    pub unsafe fn items(self) -> *mut T {
        unsafe {
            self.0
                .as_ptr()
                .add(CLASS[self.class() as usize].items_at as usize)
                .cast()
        }
    }

    #[inline]
    pub unsafe fn slice<'a>(self) -> &'a [T] {
        unsafe { std::slice::from_raw_parts(self.items(), self.len()) }
    }

    #[inline]
    pub unsafe fn tag(self, at: usize) -> u8 {
        unsafe { *self.tags().add(at) }
    }

    /// Has the header and the first tags come to the cache.
    #[inline]
    pub fn prefetch(self) {
        prefetch(self.0.as_ptr());
    }

    /// Has all of a segment of ordinary size come, without a look at its header.
    #[inline]
    pub fn prefetch_all(self) {
        for line in 0..8 {
            prefetch(self.0.as_ptr().wrapping_add(line * LINE));
        }
    }

    /// Has the last item come, which is to fill the place of a removed one.
    #[inline]
    pub unsafe fn prefetch_last(self) {
        unsafe { prefetch(self.items().wrapping_add(self.len()).wrapping_sub(1).cast()) }
    }

    /// The position of the item with this tag that `is` says yes to.
    ///
    /// Without a branch that depends on the segment until the tags are compared: a wrong guess there
    /// would wait for the cache miss, and so keep the processor from the next lookups.
    #[inline]
    pub unsafe fn find(self, tag: u8, mut is: impl FnMut(&T) -> bool) -> Option<usize> {
        unsafe {
            if !LINE_CLASSES.contains(&self.class()) {
                return self.find_by_groups(tag, is);
            }
            let tags = self.tags();
            let mut hits = u64::from(match_16(tags, tag))
                | u64::from(match_16(tags.add(16), tag)) << 16
                | u64::from(match_16(tags.add(32), tag)) << 32
                | u64::from(match_8(tags.add(48), tag)) << 48;
            hits &= (1 << self.len()) - 1;
            let items = self.items();
            while hits != 0 {
                let at = hits.trailing_zeros() as usize;
                if is(&*items.add(at)) {
                    return Some(at);
                }
                hits &= hits - 1;
            }
            None
        }
    }

    /// The same for segments of few items, and for those of many that agree in 48 bits.
    unsafe fn find_by_groups(self, tag: u8, mut is: impl FnMut(&T) -> bool) -> Option<usize> {
        unsafe {
            let len = self.len();
            let items = self.items();
            for from in (0..len).step_by(8) {
                // Tags are padded to 8.
                let mut hits = match_8(self.tags().add(from), tag) & 0xff;
                while hits != 0 {
                    let at = from + hits.trailing_zeros() as usize;
                    if at < len && is(&*items.add(at)) {
                        return Some(at);
                    }
                    hits &= hits - 1;
                }
            }
            None
        }
    }

    /// Appends an item; returns its position. The segment is unshared and not full.
    pub unsafe fn push(self, tag: u8, item: T) -> usize {
        unsafe {
            let at = self.len();
            debug_assert!(!self.is_full());
            self.tags().add(at).write(tag);
            self.items().add(at).write(item);
            (*self.header()).len = at as u16 + 1;
            at
        }
    }

    /// Takes an item out; the last one fills its place. The segment is unshared.
    pub unsafe fn swap_remove(self, at: usize) -> T {
        unsafe {
            let last = self.len() - 1;
            let item = self.items().add(at).read();
            self.items().add(at).write(self.items().add(last).read());
            self.tags().add(at).write(self.tag(last));
            (*self.header()).len = last as u16;
            item
        }
    }

    /// Moves all items to the end of `to`, whose room suffices, and frees this segment. Both are unshared.
    pub unsafe fn move_into(self, to: Seg<T>) {
        unsafe {
            let (n, at) = (self.len(), to.len());
            debug_assert!(n + at <= cap_of(to.class()));
            ptr::copy_nonoverlapping(self.items(), to.items().add(at), n);
            ptr::copy_nonoverlapping(self.tags(), to.tags().add(at), n);
            (*to.header()).len = (at + n) as u16;
            self.free();
        }
    }

    /// Frees the memory and forgets the items. The segment is unshared.
    pub unsafe fn free(self) {
        unsafe { free(self.0.as_ptr(), self.size()) }
    }
}

impl<T: Item> Seg<T> {
    /// Has what the items point to come to the cache, all at once: the counts in there would
    /// otherwise be fetched one after another, for an atomic addition waits for those before it.
    pub unsafe fn prefetch_items(self) {
        unsafe { self.slice() }.iter().for_each(Item::prefetch);
    }

    /// Clones all items to the end of `to`, whose room suffices and which is unshared.
    pub unsafe fn clone_into(self, to: Seg<T>) {
        unsafe {
            self.prefetch_items();
            for (at, item) in self.slice().iter().enumerate() {
                to.push(self.tag(at), item.clone());
            }
        }
    }

    unsafe fn drop_items(self) {
        unsafe {
            if std::mem::needs_drop::<T>() {
                self.prefetch_items();
                ptr::drop_in_place(ptr::slice_from_raw_parts_mut(self.items(), self.len()));
            }
        }
    }
}

fn allocate(size: usize, header: Header) -> NonNull<u8> {
    let layout = layout(size);
    let Some(start) = NonNull::new(unsafe { alloc(layout) }) else {
        handle_alloc_error(layout);
    };
    unsafe { start.cast::<Header>().write(header) };
    start
}

unsafe fn free(start: *mut u8, size: usize) {
    unsafe { dealloc(start, layout(size)) }
}

fn layout(size: usize) -> Layout {
    // Never zero, a multiple of 8, far below isize::MAX.
    unsafe { Layout::from_size_align_unchecked(size, 8) }
}

/// Has a cache line come; any address will do.
#[inline]
pub(crate) fn prefetch(at: *const u8) {
    #[cfg(target_arch = "x86_64")]
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(at.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// Bit i says whether byte i is the tag. Reads 16 bytes.
#[inline]
unsafe fn match_16(tags: *const u8, tag: u8) -> u32 {
    #[cfg(target_arch = "x86_64")]
    unsafe {
        use std::arch::x86_64::{
            _mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_set1_epi8,
        };
        let group = _mm_loadu_si128(tags.cast());
        _mm_movemask_epi8(_mm_cmpeq_epi8(group, _mm_set1_epi8(tag as i8))) as u32
    }
    #[cfg(not(target_arch = "x86_64"))]
    unsafe {
        portable_match_8(tags, tag) | portable_match_8(tags.add(8), tag) << 8
    }
}

/// Bit i says whether byte i is the tag. Reads 8 bytes; the bits above say nothing.
#[inline]
unsafe fn match_8(tags: *const u8, tag: u8) -> u32 {
    #[cfg(target_arch = "x86_64")]
    unsafe {
        use std::arch::x86_64::{
            _mm_cmpeq_epi8, _mm_loadl_epi64, _mm_movemask_epi8, _mm_set1_epi8,
        };
        let group = _mm_loadl_epi64(tags.cast());
        _mm_movemask_epi8(_mm_cmpeq_epi8(group, _mm_set1_epi8(tag as i8))) as u32
    }
    #[cfg(not(target_arch = "x86_64"))]
    unsafe {
        portable_match_8(tags, tag)
    }
}

/// The same within one word, for processors without SSE2.
#[cfg(any(test, not(target_arch = "x86_64")))]
#[inline]
pub(super) unsafe fn portable_match_8(tags: *const u8, tag: u8) -> u32 {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const SEVEN: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let group = u64::from_le_bytes(unsafe { tags.cast::<[u8; 8]>().read() });
    let diff = group ^ (LOW * u64::from(tag));
    // The top bit of each byte that is zero; exact, for no carry leaves a byte.
    let zero = !(((diff & SEVEN) + SEVEN) | diff | SEVEN);
    // Gathers the eight top bits into the top byte.
    ((zero >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u32
}
