//! Reading values, of every layout that was ever written. Everything is checked here: nothing behind this trusts a
//! file.

use std::collections::HashSet;
use std::sync::Arc;

use super::{legacy, stream};
use crate::base::hash::Seed;
use crate::base::num;
use crate::rdb::kind;
use crate::rdb::read::{Cause, Fault, Source, StrHead};
use crate::value::entry::{Blob, Entry, Head, INLINE_MAX, New};
use crate::value::hash::Hash;
use crate::value::intset::IntSet;
use crate::value::list::{self, List};
use crate::value::packed::{Elem, Forward, Layout, Packed};
use crate::value::set::Set;
use crate::value::zset::{Zset, large};
use crate::value::{Collection, Limits, Obj, Stored};

/// Containers of a quicklist's nodes.
const PLAIN: u64 = 1;
const PACKED: u64 = 2;
/// An expiry in Valkey's hashes that stands for none.
const NO_EXPIRY: u64 = u64::MAX;
/// Collections grow while elements come; no more than this is reserved on the strength of a number.
const RESERVE_MAX: u64 = 4096;
/// Packed forms are not kept beyond this many bytes: positions in them have 32 bits.
const BLOB_MAX: usize = 1 << 30;
/// Letters of a module's name.
const MODULE_LETTERS: &[u8; 64] =
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

type Result<T> = std::result::Result<T, Fault>;

/// Reads values; keeps what that needs from one value to the next.
pub struct Decoder {
    limits: Limits,
    scratch: Vec<u8>,
    other: Vec<u8>,
    hashes: Vec<u64>,
    /// For the next value, if it is a stream: see [`stream::ACTIVITY_AUX`].
    pub activity: Option<Vec<u8>>,
}

/// The name that a module's number stands for.
pub fn module_name(id: u64) -> String {
    let letter = |at: u32| MODULE_LETTERS[(id >> (10 + 6 * at)) as usize & 63] as char;
    (0..9).rev().map(letter).collect()
}

impl Decoder {
    pub fn new(limits: Limits) -> Decoder {
        Decoder {
            limits,
            scratch: Vec::new(),
            other: Vec::new(),
            hashes: Vec::new(),
            activity: None,
        }
    }

    /// The value of this type, as an entry. `None` if it holds no element.
    pub fn value<S: Source>(
        &mut self,
        source: &mut S,
        kind: u8,
        key: &[u8],
        head: Head,
    ) -> Result<Option<Entry>> {
        let activity = self.activity.take();
        let stored = match kind {
            kind::STRING => return self.string(source, key, head).map(Some),
            kind::LIST => self.list(source)?.map(Collection::store),
            kind::LIST_ZIPLIST => self.list_ziplist(source)?.map(Collection::store),
            kind::LIST_QUICKLIST => self.quicklist(source, false)?.map(Collection::store),
            kind::LIST_QUICKLIST_2 => self.quicklist(source, true)?.map(Collection::store),
            kind::SET => self.set(source)?.map(Collection::store),
            kind::SET_INTSET => self.intset(source)?.map(Collection::store),
            kind::SET_LISTPACK => self.set_listpack(source)?.map(Collection::store),
            kind::ZSET => self.zset(source, false)?.map(Collection::store),
            kind::ZSET_2 => self.zset(source, true)?.map(Collection::store),
            kind::ZSET_ZIPLIST => self.zset_ziplist(source)?.map(Collection::store),
            kind::ZSET_LISTPACK => self.zset_listpack(source)?.map(Collection::store),
            kind::HASH => self.hash(source)?.map(Collection::store),
            kind::HASH_ZIPMAP => self.hash_zipmap(source)?.map(Collection::store),
            kind::HASH_ZIPLIST => self.hash_ziplist(source)?.map(Collection::store),
            kind::HASH_LISTPACK => self.hash_listpack(source)?.map(Collection::store),
            kind::HASH_2 => self.hash_2(source)?.map(Collection::store),
            kind::HASH_METADATA => self.hash_metadata(source)?.map(Collection::store),
            kind::HASH_LISTPACK_EX => self.hash_listpack_ex(source)?.map(Collection::store),
            kind::STREAM_LISTPACKS | kind::STREAM_LISTPACKS_2 | kind::STREAM_LISTPACKS_3 => {
                let activity = activity.as_deref();
                let stream = stream::read(source, kind, &mut self.scratch, activity)?;
                Some(Stored::Large(Obj::Stream(Arc::new(stream))))
            }
            kind::MODULE_2 => {
                let name = module_name(source.len()?);
                return Err(source.fault(Cause::Unsupported(format!(
                    "holds a value of the module '{name}', which this server does not have"
                ))));
            }
            other => {
                return Err(source.fault(Cause::Unsupported(format!(
                    "holds a value of the unknown type {other}"
                ))));
            }
        };
        Ok(stored.map(|stored| match stored {
            Stored::Small(tag, count, bytes) => {
                let bytes = &bytes;
                Entry::new(key, head, New::Packed(Blob { tag, count, bytes }))
            }
            Stored::Large(obj) => Entry::new(key, head, New::Obj(obj)),
        }))
    }

    #[inline]
    fn string<S: Source>(&mut self, source: &mut S, key: &[u8], head: Head) -> Result<Entry> {
        let owned = match source.string_head()? {
            StrHead::Int(n) => return Ok(Entry::new(key, head, New::Int(n))),
            StrHead::Plain(len) if len <= INLINE_MAX => {
                return Ok(Entry::new(key, head, New::string(source.grab(len)?)));
            }
            StrHead::Plain(len) => source.take_vec(len)?,
            StrHead::Lzf { packed, plain } if plain <= INLINE_MAX => {
                self.scratch.clear();
                source.inflate(packed, plain, &mut self.scratch)?;
                return Ok(Entry::new(key, head, New::string(&self.scratch)));
            }
            StrHead::Lzf { packed, plain } => {
                let mut out = Vec::new();
                source.inflate(packed, plain, &mut out)?;
                out
            }
        };
        if owned.len() <= INLINE_MAX {
            return Ok(Entry::new(key, head, New::string(&owned)));
        }
        Ok(Entry::new(key, head, New::Big(Arc::new(owned))))
    }

    /// The bytes of a packed blob.
    fn blob<S: Source>(&mut self, source: &mut S) -> Result<()> {
        self.scratch.clear();
        match source.string_head()? {
            StrHead::Plain(len) => self.scratch.extend_from_slice(source.grab(len)?),
            StrHead::Lzf { packed, plain } => source.inflate(packed, plain, &mut self.scratch)?,
            StrHead::Int(_) => return Err(source.bad("an integer stands where a blob should")),
        }
        Ok(())
    }

    fn listpack<S: Source, B: Layout>(&mut self, source: &mut S) -> Result<Packed<B>> {
        self.blob(source)?;
        Packed::from_listpack(&self.scratch)
            .map_err(|_| source.bad("listpack integrity check failed"))
    }

    // Lists

    fn list<S: Source>(&mut self, source: &mut S) -> Result<Option<List>> {
        let count = source.count(1)?;
        let mut list = List::new();
        for _ in 0..count {
            let text = source.string(&mut self.scratch)?;
            text.with_bytes(|text| list.push_back(text, &self.limits));
        }
        Ok(filled(list))
    }

    fn list_ziplist<S: Source>(&mut self, source: &mut S) -> Result<Option<List>> {
        let mut list = List::new();
        self.push_ziplist(source, &mut list)?;
        list.settle(&self.limits);
        Ok(filled(list))
    }

    fn push_ziplist<S: Source>(&mut self, source: &mut S, list: &mut List) -> Result<()> {
        self.blob(source)?;
        let elems = legacy::ziplist(&self.scratch)
            .ok_or_else(|| source.bad("ziplist integrity check failed"))?;
        let mut blob = list::Blob::new();
        for elem in elems {
            elem.with_bytes(|text| blob.push_back(text));
        }
        list.push_chunk(blob, &self.limits);
        Ok(())
    }

    fn quicklist<S: Source>(&mut self, source: &mut S, second: bool) -> Result<Option<List>> {
        let nodes = source.count(1)?;
        let mut list = List::new();
        for _ in 0..nodes {
            let container = if second { source.len()? } else { 0 };
            match (second, container) {
                (false, _) => self.push_ziplist(source, &mut list)?,
                (true, PACKED) => {
                    let blob = self.listpack(source)?;
                    list.push_chunk(blob, &self.limits);
                }
                (true, PLAIN) => {
                    let text = source.string_vec()?;
                    if text.is_empty() {
                        return Err(source.bad("an element that stands by itself is empty"));
                    }
                    list.push_plain(&text, &self.limits);
                }
                _ => return Err(source.bad("unknown container in a list")),
            }
        }
        list.settle(&self.limits);
        Ok(filled(list))
    }

    // Sets

    fn set<S: Source>(&mut self, source: &mut S) -> Result<Option<Set>> {
        let count = source.count(1)?;
        let mut set = Set::empty();
        for at in 0..count {
            let text = source.string(&mut self.scratch)?;
            let new = text.with_bytes(|text| {
                if at == 0 {
                    set.prepare(text, count as usize, &self.limits);
                }
                set.insert(text, &self.limits)
            });
            if !new {
                return Err(source.bad("a member stands twice in a set"));
            }
        }
        Ok(filled(set))
    }

    fn intset<S: Source>(&mut self, source: &mut S) -> Result<Option<Set>> {
        self.blob(source)?;
        let ints = IntSet::from_redis_bytes(&self.scratch);
        let ints = ints.ok_or_else(|| source.bad("intset integrity check failed"))?;
        if ints.len() <= self.limits.set_intset_entries {
            return Ok(filled(Set::Ints(ints)));
        }
        let elems = ints.view().iter().map(Elem::Int);
        Ok(self.set_of(elems, ints.len()))
    }

    /// A set of distinct elements, in the form that suits so many.
    fn set_of<'e>(&self, elems: impl Iterator<Item = Elem<'e>>, count: usize) -> Option<Set> {
        let mut set = Set::empty();
        for (at, elem) in elems.enumerate() {
            if at == 0 {
                elem.with_bytes(|text| set.prepare(text, count, &self.limits));
            }
            set.insert_elem(elem, &self.limits);
        }
        filled(set)
    }

    fn set_listpack<S: Source>(&mut self, source: &mut S) -> Result<Option<Set>> {
        let blob: Packed<Forward> = self.listpack(source)?;
        if self.has_twins(&blob, 1) {
            return Err(source.bad("listpack with dup elements: a member stands twice in a set"));
        }
        if blob.len() <= self.limits.set_entries && blob.byte_len() <= BLOB_MAX {
            return Ok(filled(Set::Packed(blob)));
        }
        Ok(self.set_of(blob.view().iter(), blob.len()))
    }

    /// Whether two of the elements that stand at every `step`-th place are equal.
    fn has_twins(&mut self, blob: &Packed<Forward>, step: usize) -> bool {
        let (view, seed) = (blob.view(), Seed::process());
        let bytes = view.bytes();
        let mut at = 0;
        self.hashes.clear();
        while at < bytes.len() {
            let next = view.next_offset(at);
            self.hashes.push(seed.hash_bytes(&bytes[at..next]));
            at = next;
            for _ in 1..step {
                if at < bytes.len() {
                    at = view.next_offset(at);
                }
            }
        }
        self.hashes.sort_unstable();
        if self.hashes.windows(2).all(|pair| pair[0] != pair[1]) {
            return false;
        }
        // Equal hashes of different elements are next to impossible: now it has to be known.
        let mut seen = HashSet::new();
        !view
            .iter()
            .step_by(step)
            .all(|elem| seen.insert(elem.to_vec()))
    }

    // Sorted sets

    fn zset<S: Source>(&mut self, source: &mut S, binary: bool) -> Result<Option<Zset>> {
        let count = source.count(2)?;
        let mut entries = Vec::with_capacity(count.min(RESERVE_MAX) as usize);
        for _ in 0..count {
            // The score stands behind the member, which the source may overwrite.
            self.other.clear();
            let member = source.string(&mut self.scratch)?;
            member.with_bytes(|text| self.other.extend_from_slice(text));
            let score = if binary {
                f64::from_le_bytes(source.array()?)
            } else {
                source.old_double()?
            };
            if score.is_nan() {
                return Err(source.bad("a score is not a number"));
            }
            entries.push(large::entry_of(&self.other, score));
        }
        self.zset_of(source, entries)
    }

    fn zset_of<S: Source>(&self, source: &S, entries: Vec<Entry>) -> Result<Option<Zset>> {
        match Zset::from_unchecked(entries, &self.limits) {
            Some(zset) => Ok(filled(zset)),
            None => Err(source.bad("a member stands twice in a sorted set")),
        }
    }

    /// Members with their scores, from elements that stand in turn.
    fn zset_pairs<'e, S: Source>(
        &self,
        source: &S,
        mut elems: impl Iterator<Item = Elem<'e>>,
    ) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        while let Some(member) = elems.next() {
            let score = match elems.next() {
                Some(Elem::Int(n)) => Some(n as f64),
                Some(Elem::Str(text)) => num::parse_f64(text).filter(|score| !score.is_nan()),
                None => return Err(source.bad("a member of a sorted set has no score")),
            };
            let score = score.ok_or_else(|| source.bad("a score is not a number"))?;
            entries.push(member.with_bytes(|text| large::entry_of(text, score)));
        }
        Ok(entries)
    }

    fn zset_ziplist<S: Source>(&mut self, source: &mut S) -> Result<Option<Zset>> {
        self.blob(source)?;
        let elems = legacy::ziplist(&self.scratch)
            .ok_or_else(|| source.bad("Zset ziplist integrity check failed"))?;
        let entries = self.zset_pairs(source, elems.into_iter())?;
        self.zset_of(source, entries)
    }

    fn zset_listpack<S: Source>(&mut self, source: &mut S) -> Result<Option<Zset>> {
        let blob: Packed<Forward> = self.listpack(source)?;
        let entries = self.zset_pairs(source, blob.view().iter())?;
        let ranked = large::Ranked::is_sorted(&entries);
        let small = entries.len() <= self.limits.zset_entries && blob.byte_len() <= BLOB_MAX;
        if ranked && small && !self.has_twins(&blob, 2) {
            return Ok(filled(Zset::Packed(blob)));
        }
        self.zset_of(source, entries)
    }

    // Hashes

    fn hash<S: Source>(&mut self, source: &mut S) -> Result<Option<Hash>> {
        let count = source.count(2)?;
        let mut hash = Hash::empty();
        hash.prepare(count as usize, &self.limits);
        for _ in 0..count {
            self.field(source)?;
            self.value_of_field(source, &mut hash, |_| Ok(None))?;
        }
        Ok(filled(hash))
    }

    /// Reads a field into `other`.
    fn field<S: Source>(&mut self, source: &mut S) -> Result<()> {
        self.other.clear();
        let field = source.string(&mut self.scratch)?;
        field.with_bytes(|text| self.other.extend_from_slice(text));
        Ok(())
    }

    /// Reads the value of the field in `other`, then its expiry, and sets it.
    fn value_of_field<S: Source>(
        &mut self,
        source: &mut S,
        hash: &mut Hash,
        expire: impl FnOnce(&mut S) -> Result<Option<i64>>,
    ) -> Result<()> {
        let value = source.string(&mut self.scratch)?;
        let limits = &self.limits;
        let new = value.with_bytes(|value| hash.set(&self.other, value, None, limits));
        if !new {
            return Err(source.bad("a field stands twice in a hash"));
        }
        if let Some(at) = expire(source)? {
            hash.set_expire(&self.other, Some(at));
        }
        Ok(())
    }

    fn hash_2<S: Source>(&mut self, source: &mut S) -> Result<Option<Hash>> {
        let count = source.count(10)?;
        let mut hash = Hash::empty();
        hash.prepare(count as usize, &self.limits);
        for _ in 0..count {
            self.field(source)?;
            self.value_of_field(source, &mut hash, |source| {
                match u64::from_le_bytes(source.array()?) {
                    NO_EXPIRY => Ok(None),
                    at => expiry(source, at),
                }
            })?;
        }
        Ok(filled(hash))
    }

    fn hash_metadata<S: Source>(&mut self, source: &mut S) -> Result<Option<Hash>> {
        let first = u64::from_le_bytes(source.array()?);
        let count = source.count(3)?;
        let mut hash = Hash::empty();
        hash.prepare(count as usize, &self.limits);
        for _ in 0..count {
            let at = match source.len()? {
                0 => None,
                ttl => {
                    let at = first.checked_add(ttl - 1);
                    expiry(source, at.unwrap_or(u64::MAX))?
                }
            };
            self.field(source)?;
            self.value_of_field(source, &mut hash, |_| Ok(at))?;
        }
        Ok(filled(hash))
    }

    fn hash_zipmap<S: Source>(&mut self, source: &mut S) -> Result<Option<Hash>> {
        self.blob(source)?;
        let texts = legacy::zipmap(&self.scratch)
            .ok_or_else(|| source.bad("Zipmap integrity check failed"))?;
        self.hash_of(source, texts.into_iter().map(Elem::Str))
    }

    fn hash_ziplist<S: Source>(&mut self, source: &mut S) -> Result<Option<Hash>> {
        self.blob(source)?;
        let elems = legacy::ziplist(&self.scratch)
            .ok_or_else(|| source.bad("ziplist integrity check failed"))?;
        if elems.len() % 2 == 1 {
            return Err(source.bad("a field of a hash has no value"));
        }
        self.hash_of(source, elems.into_iter())
    }

    /// A hash of fields and values in turn, in the form that suits them.
    fn hash_of<'e, S: Source>(
        &self,
        source: &S,
        mut elems: impl ExactSizeIterator<Item = Elem<'e>>,
    ) -> Result<Option<Hash>> {
        let mut hash = Hash::empty();
        hash.prepare(elems.len() / 2, &self.limits);
        while let (Some(field), Some(value)) = (elems.next(), elems.next()) {
            let limits = &self.limits;
            let new = field
                .with_bytes(|field| value.with_bytes(|value| hash.set(field, value, None, limits)));
            if !new {
                return Err(source.bad("a field stands twice in a hash"));
            }
        }
        Ok(filled(hash))
    }

    fn hash_listpack<S: Source>(&mut self, source: &mut S) -> Result<Option<Hash>> {
        let blob: Packed<Forward> = self.listpack(source)?;
        if blob.len() % 2 == 1 {
            return Err(source.bad("a field of a hash has no value"));
        }
        if self.has_twins(&blob, 2) {
            return Err(source.bad("listpack with dup elements: a field stands twice in a hash"));
        }
        if blob.len() / 2 <= self.limits.hash_entries && blob.byte_len() <= BLOB_MAX {
            return Ok(filled(Hash::Pairs(blob)));
        }
        let elems: Vec<Elem<'_>> = blob.view().iter().collect();
        self.hash_of(source, elems.into_iter())
    }

    fn hash_listpack_ex<S: Source>(&mut self, source: &mut S) -> Result<Option<Hash>> {
        source.grab(8)?;
        let blob: Packed<Forward> = self.listpack(source)?;
        if !blob.len().is_multiple_of(3) {
            return Err(source.bad("a field of a hash has no value or expiry"));
        }
        if self.has_twins(&blob, 3) {
            return Err(source.bad("listpack with dup elements: a field stands twice in a hash"));
        }
        let mut elems = blob.view().iter();
        let mut hash = Hash::empty();
        hash.prepare(blob.len() / 3, &self.limits);
        while let (Some(field), Some(value), Some(at)) = (elems.next(), elems.next(), elems.next())
        {
            let at = match at.as_i64() {
                Some(0) => None,
                Some(at) => expiry(source, at as u64)?,
                None => return Err(source.bad("an expiry is not a number")),
            };
            let limits = &self.limits;
            field.with_bytes(|field| value.with_bytes(|value| hash.set(field, value, at, limits)));
        }
        Ok(filled(hash))
    }
}

/// An expiry of a field; none may be beyond what times can be.
fn expiry<S: Source>(source: &S, at: u64) -> Result<Option<i64>> {
    match i64::try_from(at) {
        Ok(at) => Ok(Some(at)),
        Err(_) => Err(source.bad("an expiry cannot be that far away")),
    }
}

fn filled<C: Collection>(value: C) -> Option<C> {
    (!value.is_empty()).then_some(value)
}
