//! Fetching ahead: the memory of an element of a large collection, before its command runs.

use super::entry::{Entry, ObjRef};
use super::member::{Member, Needle};
use crate::base::hash::Seed;
use crate::keyspace::table::Table;

/// Collections with fewer elements are in the cache anyway.
const MIN_ELEMENTS: usize = 2_000;

/// Where an element lies, probably.
#[derive(Clone, Copy)]
pub enum Ahead<'a> {
    Entries(&'a Table<Entry>, u64),
    Members(&'a Table<Member>, u64),
}

impl<'a> Ahead<'a> {
    /// The place of a field or member, for collections that are searched by it. `arg` gives the
    /// arguments of the command by position.
    pub fn of(obj: ObjRef<'a>, arg: impl Fn(usize) -> Option<&'a [u8]>) -> Option<Ahead<'a>> {
        let seed = Seed::process();
        match obj {
            ObjRef::List(_) | ObjRef::Stream(_) => None,
            ObjRef::Hash(hash) if hash.len() >= MIN_ELEMENTS => {
                Some(Ahead::Entries(hash.fields(), seed.hash_bytes(arg(2)?)))
            }
            ObjRef::Zset(zset) if zset.len() >= MIN_ELEMENTS => {
                let member = arg(3).or_else(|| arg(2))?;
                Some(Ahead::Entries(zset.members(), seed.hash_bytes(member)))
            }
            ObjRef::Set(set) if set.len() >= MIN_ELEMENTS => Some(Ahead::Members(
                set.members(),
                Needle::new(arg(2)?).hash(seed),
            )),
            ObjRef::Hash(_) | ObjRef::Zset(_) | ObjRef::Set(_) => None,
        }
    }

    /// Begins to fetch the segment.
    pub fn prefetch(&self) {
        match self {
            Ahead::Entries(table, hash) => table.prefetch(*hash),
            Ahead::Members(table, hash) => table.prefetch(*hash),
        }
    }

    /// With the segment there: begins to fetch the element.
    pub fn prefetch_item(&self) {
        match self {
            Ahead::Entries(table, hash) => table.prefetch_item(*hash),
            Ahead::Members(table, hash) => table.prefetch_item(*hash),
        }
    }
}
