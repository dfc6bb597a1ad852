//! Writing the parts of an entry into its allocation.

use std::sync::Arc;

use super::{K_BIG, K_INT8, K_INT16, K_INT32, K_INT64, K_NONE, K_OBJ, K_PACKED, K_RAW, K_STR, New};

pub(super) fn len_size(len: usize) -> usize {
    match len {
        0..=253 => 1,
        254..=0xffff => 3,
        _ => 5,
    }
}

fn int_kind(n: i64) -> (u8, usize) {
    if i8::try_from(n).is_ok() {
        (K_INT8, 1)
    } else if i16::try_from(n).is_ok() {
        (K_INT16, 2)
    } else if i32::try_from(n).is_ok() {
        (K_INT32, 4)
    } else {
        (K_INT64, 8)
    }
}

pub(super) fn new_kind(new: &New<'_>) -> u8 {
    match new {
        New::None => K_NONE,
        New::Int(n) => int_kind(*n).0,
        New::Str(_) => K_STR,
        New::Raw(_) => K_RAW,
        New::Big(_) => K_BIG,
        New::Packed(_) => K_PACKED,
        New::Obj(obj) => K_OBJ + obj.tag(),
    }
}

pub(super) fn new_size(new: &New<'_>) -> usize {
    match new {
        New::None => 0,
        New::Int(n) => int_kind(*n).1,
        New::Str(b) | New::Raw(b) => len_size(b.len()) + b.len(),
        New::Big(_) | New::Obj(_) => 8,
        New::Packed(b) => 1 + len_size(b.count as usize) + len_size(b.bytes.len()) + b.bytes.len(),
    }
}

/// Writes at a moving position of an allocation.
pub(super) struct Pen(pub(super) *mut u8);

impl Pen {
    /// SAFETY: room for `bytes` behind the pen.
    #[inline]
    pub(super) unsafe fn put(&mut self, bytes: &[u8]) {
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.0, bytes.len());
            self.0 = self.0.add(bytes.len());
        }
    }

    /// SAFETY: room for `len_size(len)` bytes.
    pub(super) unsafe fn put_len(&mut self, len: usize) {
        unsafe {
            match len {
                0..=253 => self.put(&[len as u8]),
                254..=0xffff => {
                    self.put(&[254]);
                    self.put(&(len as u16).to_le_bytes());
                }
                _ => {
                    self.put(&[255]);
                    self.put(
                        &u32::try_from(len)
                            .expect("length below 4 GiB")
                            .to_le_bytes(),
                    );
                }
            }
        }
    }

    /// SAFETY: room for `new_size(new)` bytes.
    pub(super) unsafe fn put_payload(&mut self, new: New<'_>) {
        unsafe {
            match new {
                New::None => {}
                New::Int(n) => self.put(&n.to_le_bytes()[..int_kind(n).1]),
                New::Str(b) | New::Raw(b) => {
                    self.put_len(b.len());
                    self.put(b);
                }
                New::Big(arc) => self.put(&(Arc::into_raw(arc) as usize).to_ne_bytes()),
                New::Obj(obj) => self.put(&(obj.into_raw() as usize).to_ne_bytes()),
                New::Packed(b) => {
                    self.put(&[b.tag]);
                    self.put_len(b.count as usize);
                    self.put_len(b.bytes.len());
                    self.put(b.bytes);
                }
            }
        }
    }
}
