//! Memory of one key with its value, for `MEMORY USAGE`.

use super::entry::{Entry, ObjRef, Payload, size_class};
use super::zset::ZsetTree;

/// Counts around a shared buffer or collection.
const SHARED_HEAD: usize = 16;

/// Bytes of an entry and all that it leads to. Of large collections up to `samples` elements are
/// looked at (0: all).
pub fn of_entry(entry: &Entry, samples: usize) -> usize {
    entry.allocated() + beyond(entry, samples)
}

/// Bytes that an entry leads to.
pub fn beyond(entry: &Entry, samples: usize) -> usize {
    match entry.payload() {
        Payload::Big(big) => SHARED_HEAD + size_of::<Vec<u8>>() + size_class(big.capacity()),
        Payload::Obj(obj) => SHARED_HEAD + of_object(obj, samples),
        Payload::None
        | Payload::Int(_)
        | Payload::Str(_)
        | Payload::Raw(_)
        | Payload::Packed(_) => 0,
    }
}

fn of_object(obj: ObjRef<'_>, samples: usize) -> usize {
    match obj {
        ObjRef::List(list) => list.memory_usage(samples),
        ObjRef::Set(set) => set.memory(samples),
        ObjRef::Hash(hash) => hash.memory(samples),
        ObjRef::Zset(zset) => ZsetTree::memory(zset, Some(samples)),
        ObjRef::Stream(stream) => stream.memory(samples),
    }
}
