//! What goes into an entry and what is read from one: payloads, heads, shared buffers.

use std::sync::Arc;

use super::{Entry, INLINE_MAX};
use crate::value::Obj;
use crate::value::hash::HashTable;
use crate::value::list::ListTree;
use crate::value::set::SetTable;
use crate::value::stream::Stream;
use crate::value::zset::ZsetTree;

/// A small collection as it lies inside its entry: which encoding, how many elements, the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blob<'a> {
    /// One of the `value::tag` constants: type and encoding of the bytes.
    pub tag: u8,
    /// Number of packed elements.
    pub count: u32,
    pub bytes: &'a [u8],
}

/// A view of an entry's value.
#[derive(Clone, Copy, Debug)]
pub enum Payload<'a> {
    None,
    Int(i64),
    /// A short string.
    Str(&'a [u8]),
    /// A short string that was modified in place (`OBJECT ENCODING` says `raw`).
    Raw(&'a [u8]),
    /// A string longer than [`INLINE_MAX`].
    Big(BigRef<'a>),
    /// A small collection.
    Packed(Blob<'a>),
    /// A large collection.
    Obj(ObjRef<'a>),
}

/// A large collection behind an entry, borrowed.
#[derive(Clone, Copy, Debug)]
pub enum ObjRef<'a> {
    List(&'a ListTree),
    Set(&'a SetTable),
    Hash(&'a HashTable),
    Zset(&'a ZsetTree),
    Stream(&'a Stream),
}

impl Obj {
    /// Position of the variant: the entry keeps it in its kind.
    #[inline]
    pub(super) fn tag(&self) -> u8 {
        match self {
            Obj::List(_) => 0,
            Obj::Set(_) => 1,
            Obj::Hash(_) => 2,
            Obj::Zset(_) => 3,
            Obj::Stream(_) => 4,
        }
    }

    #[inline]
    pub(super) fn into_raw(self) -> *const () {
        match self {
            Obj::List(arc) => Arc::into_raw(arc).cast(),
            Obj::Set(arc) => Arc::into_raw(arc).cast(),
            Obj::Hash(arc) => Arc::into_raw(arc).cast(),
            Obj::Zset(arc) => Arc::into_raw(arc).cast(),
            Obj::Stream(arc) => Arc::into_raw(arc).cast(),
        }
    }

    /// SAFETY: `raw` came from `into_raw` of an Obj with this tag, whose count moves back.
    #[inline]
    pub(super) unsafe fn from_raw(tag: u8, raw: *const ()) -> Obj {
        unsafe {
            match tag {
                0 => Obj::List(Arc::from_raw(raw.cast())),
                1 => Obj::Set(Arc::from_raw(raw.cast())),
                2 => Obj::Hash(Arc::from_raw(raw.cast())),
                3 => Obj::Zset(Arc::from_raw(raw.cast())),
                4 => Obj::Stream(Arc::from_raw(raw.cast())),
                _ => unreachable!("unknown collection tag {tag}"),
            }
        }
    }

    /// SAFETY: as from_raw, for the duration of `'a`.
    #[inline]
    pub(super) unsafe fn ref_raw<'a>(tag: u8, raw: *const ()) -> ObjRef<'a> {
        unsafe {
            match tag {
                0 => ObjRef::List(&*raw.cast()),
                1 => ObjRef::Set(&*raw.cast()),
                2 => ObjRef::Hash(&*raw.cast()),
                3 => ObjRef::Zset(&*raw.cast()),
                4 => ObjRef::Stream(&*raw.cast()),
                _ => unreachable!("unknown collection tag {tag}"),
            }
        }
    }
}

/// A shared string buffer behind an entry, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct BigRef<'a> {
    pub(super) raw: *const Vec<u8>,
    pub(super) _life: std::marker::PhantomData<&'a Entry>,
}

// SAFETY: a borrow of an Arc<Vec<u8>>'s content.
unsafe impl Send for BigRef<'_> {}
// SAFETY: as above.
unsafe impl Sync for BigRef<'_> {}

impl<'a> BigRef<'a> {
    pub fn bytes(&self) -> &'a [u8] {
        // SAFETY: the entry owns a strong count of the Arc while it is borrowed.
        unsafe { &*self.raw }
    }

    /// Bytes of the buffer, used or not.
    pub fn capacity(&self) -> usize {
        // SAFETY: as in bytes().
        unsafe { (*self.raw).capacity() }
    }

    /// Another owner of the buffer, for replies that do not copy it.
    pub fn to_arc(&self) -> Arc<Vec<u8>> {
        // SAFETY: raw came from Arc::into_raw; the count is raised for the new owner.
        unsafe {
            Arc::increment_strong_count(self.raw);
            Arc::from_raw(self.raw)
        }
    }
}

/// A value for a new or changed entry.
#[derive(Debug)]
pub enum New<'a> {
    None,
    Int(i64),
    Str(&'a [u8]),
    Raw(&'a [u8]),
    Big(Arc<Vec<u8>>),
    Packed(Blob<'a>),
    Obj(Obj),
}

impl<'a> New<'a> {
    /// A string in the smallest form: integer if canonical, inline if short, else shared.
    pub fn string(bytes: &'a [u8]) -> New<'a> {
        match crate::base::num::parse_i64(bytes) {
            Some(n) => New::Int(n),
            None if bytes.len() <= INLINE_MAX => New::Str(bytes),
            None => New::Big(Arc::new(bytes.to_vec())),
        }
    }

    /// A string that was modified in place: never an integer.
    pub fn raw(bytes: Vec<u8>, scratch: &'a mut Vec<u8>) -> New<'a> {
        if bytes.len() <= INLINE_MAX {
            *scratch = bytes;
            New::Raw(scratch)
        } else {
            New::Big(Arc::new(bytes))
        }
    }
}

/// The parts around the value.
#[derive(Clone, Copy, Debug, Default)]
pub struct Head {
    /// Access clock (24 bits), or none for fields and members.
    pub clock: Option<u32>,
    /// Unix time in ms at which the entry ends.
    pub expire: Option<i64>,
    pub score: Option<f64>,
}
