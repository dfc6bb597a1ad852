//! The global allocator, counting: `used_memory` is exact and costs a few additions to read.
//!
//! jemalloc with a counter per thread around it. Each thread adds to its own cache line, without
//! locked instructions; the sum over all threads is the number of bytes in use. Bytes are those
//! of the size class, not of the request: what the process really holds.
//!
//! # Contract of the unsafe code
//! Every call goes to jemalloc with the caller's layout unchanged. A counter slot belongs to one
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
        counter.store(counter.load(Ordering::Relaxed).wrapping_add(bytes), Ordering::Relaxed);
    }
}

#[inline]
fn class(layout: &Layout) -> i64 {
    size_class(layout.size().max(layout.align())) as i64
}

// SAFETY: every call is passed on to jemalloc as it came.
unsafe impl GlobalAlloc for Counting {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's layout, as GlobalAlloc demands.
        let ptr = unsafe { Jemalloc.alloc(layout) };
        if !ptr.is_null() {
            count(class(&layout));
        }
        ptr
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        let ptr = unsafe { Jemalloc.alloc_zeroed(layout) };
        if !ptr.is_null() {
            count(class(&layout));
        }
        ptr
    }

    #[inline]
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        count(-class(&layout));
        // SAFETY: as above.
        unsafe { Jemalloc.dealloc(ptr, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: as above.
        let new = unsafe { Jemalloc.realloc(ptr, layout, new_size) };
        if !new.is_null() {
            let wanted = size_class(new_size.max(layout.align())) as i64;
            count(wanted - class(&layout));
        }
        new
    }
}

/// Bytes in use by the whole process. Also keeps the peak.
pub fn used_memory() -> u64 {
    let sum: i64 = COUNTS.iter().map(|slot| slot.0.load(Ordering::Relaxed)).sum();
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
