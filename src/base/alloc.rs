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

static COUNTS: [Slot; SLOTS] = [const { Slot(AtomicI64::new(0)) }; SLOTS];
static NEXT: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicI64 = AtomicI64::new(0);
static APART: AtomicI64 = AtomicI64::new(0);

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

/// Memory that is counted apart from [`used_memory`] as long as this lives: what is only on its way to a file, and
/// would be in the system's page cache elsewhere.
#[derive(Debug, Default)]
pub struct Apart(u64);

impl Apart {
    pub fn new(bytes: u64) -> Apart {
        let mut apart = Apart(0);
        apart.set(bytes);
        apart
    }

    /// So many bytes from now on.
    pub fn set(&mut self, bytes: u64) {
        let before = std::mem::replace(&mut self.0, bytes);
        if before != bytes {
            APART.fetch_add(bytes as i64 - before as i64, Ordering::Relaxed);
        }
    }
}

impl Clone for Apart {
    fn clone(&self) -> Apart {
        Apart::new(self.0)
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// Bytes that are counted apart.
pub fn memory_apart() -> u64 {
    APART.load(Ordering::Relaxed).max(0) as u64
}

/// Bytes in use by the whole process, but for those counted [`Apart`]. Also keeps the peak.
pub fn used_memory() -> u64 {
    let all: i64 = COUNTS
        .iter()
        .map(|slot| slot.0.load(Ordering::Relaxed))
        .sum();
    let sum = all - APART.load(Ordering::Relaxed);
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

#[cfg(test)]
mod tests {
    use super::*;

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
