//! Hashes: fields with values, each field with an expiry of its own if wanted.
//!
//! Three forms: a packed blob of field, value pairs (`listpack`); a packed blob of field, value,
//! expiry triplets once any field was given an expiry (`listpackex`); a table of entries with an
//! index of their expiries (`hashtable`). Forms only change in that direction.
//!
//! A field whose expiry has passed is absent for all who look with the present time. It is still
//! stored until [`Hash::purge`] or [`Hash::expire_due`] takes it away.

mod read;
mod table;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub use read::{FieldRef, HashRef, Iter, Value};
pub use table::HashTable;

use super::entry::{Blob, ObjRef, Payload};
use super::packed::{self, Elem, Forward, Needle, Packed, PackedRef};
use super::{Collection, Limits, Obj, Stored, Type, tag};

/// No small form grows beyond this many bytes, whatever the limits say: positions in it and
/// lengths in files have 32 bits.
pub(super) const BLOB_MAX: usize = 1 << 30;

/// Whether an expiry has passed at `now_ms`.
#[inline]
pub fn is_past(expire: Option<i64>, now_ms: i64) -> bool {
    expire.is_some_and(|at| now_ms > at)
}

/// Whether a field of any hash ever had an expiry in this process: where not, files need not be written in the layout
/// that has them.
static ANY_EXPIRES: AtomicBool = AtomicBool::new(false);

/// Whether a field of any hash may have an expiry.
pub fn any_field_expires() -> bool {
    ANY_EXPIRES.load(Ordering::Relaxed)
}

#[inline]
fn note_expiry() {
    if !any_field_expires() {
        ANY_EXPIRES.store(true, Ordering::Relaxed);
    }
}

/// A hash that is being changed.
#[derive(Debug)]
pub enum Hash {
    Pairs(Packed<Forward>),
    Triplets(Packed<Forward>),
    Table(Arc<HashTable>),
}

/// Where a field stands in a blob.
struct Place {
    value: usize,
    /// Behind the value: the expiry of a triplet, else the next field.
    after: usize,
}

fn place(blob: PackedRef<'_, Forward>, field: &Needle<'_>, skip: usize) -> Option<Place> {
    let field = blob.find(field, skip)?;
    let value = blob.next_offset(field);
    Some(Place {
        value,
        after: blob.next_offset(value),
    })
}

/// The expiry that an element of a triplet stands for; 0 is none.
#[inline]
fn expiry_of(elem: Elem<'_>) -> Option<i64> {
    elem.as_i64().filter(|&at| at != 0)
}

impl Hash {
    pub fn read(&self) -> HashRef<'_> {
        match self {
            Hash::Pairs(blob) => HashRef::Pairs(blob.view()),
            Hash::Triplets(blob) => HashRef::Triplets(blob.view()),
            Hash::Table(table) => HashRef::Table(table),
        }
    }

    /// Fields, those whose expiry has passed included.
    pub fn len(&self) -> usize {
        self.read().len()
    }

    /// The value of a field.
    pub fn get(&self, field: &[u8], now_ms: i64) -> Option<Value<'_>> {
        self.read().get(field, now_ms)
    }

    /// The form at once that `count` more fields need.
    pub fn prepare(&mut self, count: usize, limits: &Limits) {
        if count > limits.hash_entries && !matches!(self, Hash::Table(_)) {
            self.make_table();
        }
    }

    /// Sets a field, and its expiry: `None` for none. Whether the field is new.
    #[inline]
    pub fn set(
        &mut self,
        field: &[u8],
        value: &[u8],
        expire: Option<i64>,
        limits: &Limits,
    ) -> bool {
        if let Hash::Table(table) = self {
            return Arc::make_mut(table).set(field, value, expire);
        }
        if field.len().max(value.len()) > limits.hash_value.min(BLOB_MAX) {
            return self.make_table().set(field, value, expire);
        }
        if expire.is_some() {
            self.make_triplets();
        }
        let value = Needle::new(value);
        let expire = Needle::int(expire.unwrap_or(0));
        self.set_packed(&Needle::new(field), &value, &expire, limits)
    }

    fn set_packed(
        &mut self,
        field: &Needle<'_>,
        value: &Needle<'_>,
        expire: &Needle<'_>,
        limits: &Limits,
    ) -> bool {
        let (blob, width) = match self {
            Hash::Pairs(blob) => (blob, 2),
            Hash::Triplets(blob) => (blob, 3),
            Hash::Table(_) => unreachable!("only small forms are packed"),
        };
        if let Some(at) = place(blob.view(), field, width - 1) {
            if width == 3 {
                blob.replace(at.after, expire);
            }
            blob.replace(at.value, value);
            return false;
        }
        blob.push_back_needle(field);
        blob.push_back_needle(value);
        if width == 3 {
            blob.push_back_needle(expire);
        }
        if blob.len() / width > limits.hash_entries || blob.byte_len() > BLOB_MAX {
            self.make_table();
        }
        true
    }

    /// Sets a field and leaves the expiry that it has. Whether the field is new.
    pub fn set_value(&mut self, field: &[u8], value: &[u8], limits: &Limits) -> bool {
        let expire = match self {
            Hash::Pairs(_) => None,
            _ => self.read().find(field).and_then(|(_, expire)| expire),
        };
        self.set(field, value, expire, limits)
    }

    /// Sets or removes the expiry of a field; false if there is no such field.
    pub fn set_expire(&mut self, field: &[u8], expire: Option<i64>) -> bool {
        if let Hash::Table(table) = self {
            return Arc::make_mut(table).set_expire(field, expire);
        }
        if field.len() > BLOB_MAX {
            return false;
        }
        if expire.is_some() {
            self.make_triplets();
        }
        let Hash::Triplets(blob) = self else {
            return self.read().find(field).is_some();
        };
        let Some(at) = place(blob.view(), &Needle::new(field), 2) else {
            return false;
        };
        blob.replace(at.after, &Needle::int(expire.unwrap_or(0)));
        true
    }

    /// Removes a field; whether it was there.
    pub fn remove(&mut self, field: &[u8]) -> bool {
        let (blob, width) = match self {
            Hash::Table(table) => return Arc::make_mut(table).remove(field),
            Hash::Pairs(blob) => (blob, 2),
            Hash::Triplets(blob) => (blob, 3),
        };
        if field.len() > BLOB_MAX {
            return false;
        }
        let at = blob.view().find(&Needle::new(field), width - 1);
        at.is_some_and(|at| blob.remove(at, width) == width)
    }

    /// Removes those of `fields` whose expiry has passed, and returns them.
    #[inline]
    pub fn purge<'f>(
        &mut self,
        fields: impl Iterator<Item = &'f [u8]>,
        now_ms: i64,
    ) -> Vec<Vec<u8>> {
        let mut gone = Vec::new();
        if !self.read().is_due(now_ms) {
            return gone;
        }
        for field in fields {
            let found = self.read().find(field);
            if found.is_some_and(|(_, expire)| is_past(expire, now_ms)) && self.remove(field) {
                gone.push(field.to_vec());
            }
        }
        gone
    }

    /// Removes up to `max` fields whose expiry has passed, and returns them.
    pub fn expire_due(&mut self, now_ms: i64, max: usize) -> Vec<Vec<u8>> {
        let fields: Vec<Vec<u8>> = match self {
            Hash::Pairs(_) => Vec::new(),
            Hash::Triplets(_) => {
                let due = self.read().iter().filter(|f| is_past(f.expire, now_ms));
                due.take(max).map(|f| f.field.to_vec()).collect()
            }
            Hash::Table(table) => table.due(now_ms, max),
        };
        for field in &fields {
            self.remove(field);
        }
        fields
    }

    fn make_triplets(&mut self) {
        note_expiry();
        let Hash::Pairs(blob) = self else {
            return;
        };
        let mut wide = Packed::with_capacity(blob.byte_len() + blob.len());
        let none = Needle::int(0);
        for (at, elem) in blob.view().iter().enumerate() {
            wide.push_back_needle(&Needle::of(elem));
            if at % 2 == 1 {
                wide.push_back_needle(&none);
            }
        }
        *self = Hash::Triplets(wide);
    }

    /// Changes to the large form.
    fn make_table(&mut self) -> &mut HashTable {
        if !matches!(self, Hash::Table(_)) {
            let mut table = HashTable::default();
            for item in self.read().iter() {
                item.field.with_bytes(|field| {
                    item.value
                        .with_bytes(|value| table.set(field, value, item.expire))
                });
            }
            *self = Hash::Table(Arc::new(table));
        }
        match self {
            Hash::Table(table) => Arc::make_mut(table),
            _ => unreachable!("just made"),
        }
    }
}

impl Collection for Hash {
    type Ref<'a> = HashRef<'a>;
    const TYPE: Type = Type::Hash;

    fn empty() -> Self {
        Hash::Pairs(Packed::new())
    }

    fn is_empty(&self) -> bool {
        self.read().is_empty()
    }

    #[inline]
    fn view(payload: Payload<'_>) -> Option<HashRef<'_>> {
        match payload {
            Payload::Packed(blob) => {
                let packed = PackedRef::new(blob.bytes, blob.count);
                match blob.tag {
                    tag::HASH => Some(HashRef::Pairs(packed)),
                    tag::HASH_EX => Some(HashRef::Triplets(packed)),
                    _ => None,
                }
            }
            Payload::Obj(ObjRef::Hash(table)) => Some(HashRef::Table(table)),
            _ => None,
        }
    }

    #[inline]
    fn from_blob(blob: Blob<'_>, mut scratch: Vec<u8>) -> Self {
        scratch.extend_from_slice(blob.bytes);
        let packed = packed::Packed::from_vec(scratch, blob.count);
        match blob.tag {
            tag::HASH_EX => Hash::Triplets(packed),
            _ => Hash::Pairs(packed),
        }
    }

    #[inline]
    fn from_obj(obj: Obj) -> Option<Self> {
        match obj {
            Obj::Hash(table) => Some(Hash::Table(table)),
            _ => None,
        }
    }

    #[inline]
    fn store(self) -> Stored {
        let (blob, tag) = match self {
            Hash::Pairs(blob) => (blob, tag::HASH),
            Hash::Triplets(blob) => (blob, tag::HASH_EX),
            Hash::Table(table) => return Stored::Large(Obj::Hash(table)),
        };
        let (bytes, count) = blob.into_parts();
        Stored::Small(tag, count, bytes)
    }
}
