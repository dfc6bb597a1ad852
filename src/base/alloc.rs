//! The global allocator, counting: `used_memory` is exact and costs a few additions to read.
//!
//! jemalloc with a counter per thread around it. Each thread adds to its own cache line, without
//! locked instructions; the sum over all threads is the number of bytes in use. Bytes are those
//! of the size class, not of the request: what the process really holds.
//!
//! # Contract of the unsafe code
//! Every call goes to jemalloc with the caller's layout, made larger where [`padded`] says so: the
//! same for the same layout, so that memory is given back as it was taken. A counter slot belongs to one
//! thread at a time, so its plain load and store never lose an addition; a thread that finds no
//! free slot shares the last one with a locked addition.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use tikv_jemallocator::Jemalloc;

use crate::value::entry::size_class;

/// Threads with a counter of their own; further ones share the last.
const SLOTS: usize = 64;

#[repr(align(64))]
struct Slot(AtomicI64);

/// Behind each thread's own slot, at a distance of [`SLOTS`], is the one that it adds to within [`Apart::during`].
static COUNTS: [Slot; 2 * SLOTS] = [const { Slot(AtomicI64::new(0)) }; 2 * SLOTS];
static NEXT: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicI64 = AtomicI64::new(0);
static APART: [AtomicI64; 2] = [const { AtomicI64::new(0) }; 2];

thread_local! {
    static MINE: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// The allocator that counts.
pub struct Counting;

#[inline]
fn count(bytes: i64) {
    let slot = MINE.try_with(|mine| {
        if mine.get() == usize::MAX {
            mine.set(NEXT.fetch_add(1, Ordering::Relaxed).min(SLOTS - 1));
        }
        mine.get()
    });
    let slot = slot.unwrap_or(SLOTS - 1);
    let counter = &COUNTS[slot].0;
    if slot == SLOTS - 1 {
        counter.fetch_add(bytes, Ordering::Relaxed);
    } else {
        counter.store(
            counter.load(Ordering::Relaxed).wrapping_add(bytes),
            Ordering::Relaxed,
        );
    }
}

/// What jemalloc is asked for. Its size classes go up in steps of 8 here, and what lies in one of
/// 40 or 56 bytes is aligned to 8 only; yet the wrapper asks for an alignment of 16 by the size
/// alone, as is right with steps of 16. A size that is a multiple of its alignment has an aligned class.
#[inline]
fn padded(layout: Layout) -> Layout {
    if layout.align() <= 8 {
        layout
    } else {
        layout.pad_to_align()
    }
}

#[inline]
fn class(layout: &Layout) -> i64 {
    size_class(layout.size().max(layout.align())) as i64
}

// SAFETY: every call is passed on to jemalloc with at least the size and alignment that it came with, and
// the same ones for the same layout.
unsafe impl GlobalAlloc for Counting {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let layout = padded(layout);
        // SAFETY: the caller's layout, as GlobalAlloc demands, or one with more bytes.
        let ptr = unsafe { Jemalloc.alloc(layout) };
        if !ptr.is_null() {
            count(class(&layout));
        }
        ptr
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let layout = padded(layout);
        // SAFETY: as above.
        let ptr = unsafe { Jemalloc.alloc_zeroed(layout) };
        if !ptr.is_null() {
            count(class(&layout));
        }
        ptr
    }

    #[inline]
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        let layout = padded(layout);
        count(-class(&layout));
        // SAFETY: as above.
        unsafe { Jemalloc.dealloc(ptr, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let layout = padded(layout);
        let new_size = if layout.align() <= 8 {
            new_size
        } else {
            // The caller vouches for a size that does not overflow when it is rounded up.
            new_size.next_multiple_of(layout.align())
        };
        // SAFETY: as above.
        let new = unsafe { Jemalloc.realloc(ptr, layout, new_size) };
        if !new.is_null() {
            let wanted = size_class(new_size.max(layout.align())) as i64;
            count(wanted - class(&layout));
        }
        new
    }
}

/// What is counted apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// What is only on its way to the append-only file, and would be in the system's page cache elsewhere.
    #[default]
    Aof,
    /// Sessions of TLS, which elsewhere belong to a library with an allocator of its own.
    Tls,
}

/// Memory that is counted apart from [`used_memory`] as long as this lives.
#[derive(Debug, Default)]
pub struct Apart {
    kind: Kind,
    bytes: u64,
}

impl Apart {
    pub fn new(kind: Kind, bytes: u64) -> Apart {
        let mut apart = Apart { kind, bytes: 0 };
        apart.set(bytes);
        apart
    }

    /// So many bytes from now on.
    pub fn set(&mut self, bytes: u64) {
        let before = std::mem::replace(&mut self.bytes, bytes);
        if before != bytes {
            APART[self.kind as usize].fetch_add(bytes as i64 - before as i64, Ordering::Relaxed);
        }
    }

    /// Does `work`, and counts apart what it allocates beyond what it frees. Nobody sees what it has only for a moment.
    /// Below 0 nothing is counted: what it frees may have been there before.
    pub fn during<T>(&mut self, work: impl FnOnce() -> T) -> T {
        count(0);
        let own = MINE.get();
        if own >= SLOTS - 1 {
            // Shared with other threads, or within another one of these.
            return work();
        }
        let aside = Aside(own);
        MINE.set(own + SLOTS);
        let result = work();
        let change = COUNTS[own + SLOTS].0.load(Ordering::Relaxed);
        self.set(self.bytes.saturating_add_signed(change));
        drop(aside);
        result
    }
}

/// As long as this lives the thread's allocations are counted aside. At the end, and if the work panics, they join the
/// others.
struct Aside(usize);

impl Drop for Aside {
    fn drop(&mut self) {
        MINE.set(self.0);
        let change = COUNTS[self.0 + SLOTS].0.swap(0, Ordering::Relaxed);
        count(change);
    }
}

impl Clone for Apart {
    fn clone(&self) -> Apart {
        Apart::new(self.kind, self.bytes)
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// Bytes that are counted apart.
pub fn memory_apart(kind: Kind) -> u64 {
    APART[kind as usize].load(Ordering::Relaxed).max(0) as u64
}

/// Bytes in use by the whole process, but for those counted [`Apart`]. Also keeps the peak.
pub fn used_memory() -> u64 {
    let all: i64 = COUNTS[..SLOTS]
        .iter()
        .map(|slot| slot.0.load(Ordering::Relaxed))
        .sum();
    let apart: i64 = APART
        .iter()
        .map(|bytes| bytes.load(Ordering::Relaxed))
        .sum();
    let sum = all - apart;
    PEAK.fetch_max(sum, Ordering::Relaxed);
    sum.max(0) as u64
}

/// The highest [`used_memory`] that was ever seen when it was read.
pub fn peak_memory() -> u64 {
    PEAK.load(Ordering::Relaxed).max(0) as u64
}

/// Forgets the peak (`CONFIG RESETSTAT`, tests).
pub fn reset_peak() {
    PEAK.store(0, Ordering::Relaxed);
    used_memory();
}

/// Gives unused pages back to the system (`MEMORY PURGE`).
///
/// # Errors
/// The allocator's error code.
pub fn purge() -> Result<(), i32> {
    // All arenas at once (MALLCTL_ARENAS_ALL).
    let name = c"arena.4096.purge";
    // SAFETY: a terminated name; this control takes and gives no value, as null pointers say.
    let code = unsafe {
        tikv_jemalloc_sys::mallctl(
            name.as_ptr(),
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            0,
        )
    };
    if code == 0 { Ok(()) } else { Err(code) }
}

/// Has a thread of the allocator give unused pages back (`jemalloc-bg-thread`).
///
/// # Errors
/// The allocator's reason.
pub fn set_background_thread(on: bool) -> Result<(), String> {
    tikv_jemalloc_ctl::background_thread::write(on).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On a thread of its own, so that it has a slot if any thread has one.
    #[test]
    fn what_work_allocates_is_counted_apart_and_given_back() {
        let own = || COUNTS[MINE.get()].0.load(Ordering::Relaxed);
        let layout = |size| Layout::from_size_align(size, 8).expect("a small layout");
        // SAFETY: the sizes are not zero, and what is freed was allocated with that layout.
        let take = move |size| unsafe { Counting.alloc(layout(size)) };
        // SAFETY: as above.
        let free = move |block, size| unsafe { Counting.dealloc(block, layout(size)) };
        let work = move || {
            let mut apart = Apart::new(Kind::Tls, 0);
            count(0);
            if MINE.get() == SLOTS - 1 {
                return;
            }
            let before = own();
            let kept = apart.during(|| {
                free(take(100_000), 100_000);
                assert_eq!(COUNTS[MINE.get() - SLOTS].0.load(Ordering::Relaxed), before);
                take(5000)
            });
            assert_eq!(apart.bytes, size_class(5000) as u64);
            assert_eq!(own() - before, apart.bytes as i64);
            assert!(memory_apart(Kind::Tls) >= apart.bytes);
            apart.during(|| free(kept, 5000));
            assert_eq!((apart.bytes, own()), (0, before));
            let old = take(100);
            apart.during(|| free(old, 100));
            assert_eq!((apart.bytes, own()), (0, before));
            let thrown = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                apart.during(|| std::panic::resume_unwind(Box::new(())))
            }));
            assert!(thrown.is_err() && MINE.get() < SLOTS);
        };
        std::thread::spawn(work)
            .join()
            .expect("the thread ends well");
    }

    /// Many of each, for one in two or four of a class may happen to be aligned well.
    #[test]
    fn what_is_allocated_has_its_alignment() {
        for align in [1, 2, 4, 8, 16, 32, 64] {
            for size in 1..300 {
                let layout = Layout::from_size_align(size, align).expect("a small layout");
                let blocks: Vec<*mut u8> = (0..16)
                    // SAFETY: the size is not zero.
                    .map(|_| unsafe { Counting.alloc(layout) })
                    .collect();
                for block in blocks {
                    assert!(!block.is_null() && block.addr() % align == 0, "{layout:?}");
                    // SAFETY: allocated above with this layout, and grown and freed once.
                    unsafe {
                        let grown = Counting.realloc(block, layout, size + 24);
                        assert!(!grown.is_null() && grown.addr() % align == 0, "{layout:?}");
                        let layout =
                            Layout::from_size_align(size + 24, align).expect("a small layout");
                        Counting.dealloc(grown, layout);
                    }
                }
            }
        }
    }
}
