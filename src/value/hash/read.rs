//! Reading a hash in whatever form it is.

use std::collections::HashSet;
use std::sync::Arc;

use super::{BLOB_MAX, Hash, HashTable, expiry_of, is_past, place};
use crate::base::num;
use crate::base::rng::Rng;
use crate::keyspace::table;
use crate::value::entry::{BigRef, Entry, Payload};
use crate::value::packed::{self, Elem, Forward, Needle, PackedRef};
use crate::value::set::Pick;

/// Segments that one call of [`HashRef::scan`] visits per field asked for, at most.
const SCAN_EFFORT: usize = 10;
/// Fields drawn in vain, because their expiry has passed, before a random choice counts through.
const MAX_MISSES: usize = 16;

/// A value of a field.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    Int(i64),
    Str(&'a [u8]),
    Big(BigRef<'a>),
}

impl<'a> Value<'a> {
    #[inline]
    fn of(entry: &'a Entry) -> Value<'a> {
        match entry.payload() {
            Payload::Int(n) => Value::Int(n),
            Payload::Str(text) | Payload::Raw(text) => Value::Str(text),
            Payload::Big(big) => Value::Big(big),
            // A field holds a string and nothing else.
            Payload::None | Payload::Packed(_) | Payload::Obj(_) => Value::Str(b""),
        }
    }

    /// Calls `f` with the text; integers are printed on the stack.
    #[inline]
    pub fn with_bytes<R>(&self, f: impl FnOnce(&[u8]) -> R) -> R {
        match self {
            Value::Int(n) => f(itoa::Buffer::new().format(*n).as_bytes()),
            Value::Str(text) => f(text),
            Value::Big(big) => f(big.bytes()),
        }
    }

    pub fn to_vec(&self) -> Vec<u8> {
        self.with_bytes(<[u8]>::to_vec)
    }

    /// The length of the text.
    pub fn len_text(&self) -> usize {
        match self {
            Value::Int(n) => num::i64_len(*n),
            Value::Str(text) => text.len(),
            Value::Big(big) => big.bytes().len(),
        }
    }

    /// The value as an integer, if its text is one.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Value::Int(n) => Some(*n),
            // Integers are stored as such.
            Value::Str(_) | Value::Big(_) => None,
        }
    }
}

impl<'a> From<Elem<'a>> for Value<'a> {
    #[inline]
    fn from(elem: Elem<'a>) -> Self {
        match elem {
            Elem::Int(n) => Value::Int(n),
            Elem::Str(text) => Value::Str(text),
        }
    }
}

/// One field as it is stored.
#[derive(Clone, Copy, Debug)]
pub struct FieldRef<'a> {
    pub field: Elem<'a>,
    pub value: Value<'a>,
    /// Unix time in ms.
    pub expire: Option<i64>,
}

impl<'a> FieldRef<'a> {
    #[inline]
    fn of(entry: &'a Entry) -> FieldRef<'a> {
        FieldRef {
            field: Elem::Str(entry.key()),
            value: Value::of(entry),
            expire: entry.expire(),
        }
    }
}

/// A borrowed hash.
#[derive(Clone, Copy, Debug)]
pub enum HashRef<'a> {
    /// Field, value pairs.
    Pairs(PackedRef<'a, Forward>),
    /// Field, value, expiry triplets.
    Triplets(PackedRef<'a, Forward>),
    Table(&'a HashTable),
}

impl<'a> HashRef<'a> {
    /// Fields, those whose expiry has passed included.
    #[inline]
    pub fn len(&self) -> usize {
        match self {
            HashRef::Pairs(blob) => blob.len() / 2,
            HashRef::Triplets(blob) => blob.len() / 3,
            HashRef::Table(table) => table.len(),
        }
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fields whose expiry has not passed.
    #[inline]
    pub fn live_len(&self, now_ms: i64) -> usize {
        match self {
            HashRef::Pairs(blob) => blob.len() / 2,
            HashRef::Triplets(_) => self.live(now_ms).count(),
            HashRef::Table(table) => table.len() - table.due_len(now_ms),
        }
    }

    /// As `OBJECT ENCODING` names it.
    pub fn encoding(&self) -> &'static str {
        match self {
            HashRef::Pairs(_) => "listpack",
            HashRef::Triplets(_) => "listpackex",
            HashRef::Table(_) => "hashtable",
        }
    }

    /// A field as it is stored: value and expiry, passed or not.
    #[inline]
    pub fn find(&self, field: &[u8]) -> Option<(Value<'a>, Option<i64>)> {
        match self {
            HashRef::Table(table) => {
                let entry = table.get(field)?;
                Some((Value::of(entry), entry.expire()))
            }
            HashRef::Pairs(_) | HashRef::Triplets(_) if field.len() > BLOB_MAX => None,
            HashRef::Pairs(blob) => {
                let at = blob.find(&Needle::new(field), 1)?;
                Some((blob.at(blob.next_offset(at)).into(), None))
            }
            HashRef::Triplets(blob) => {
                let at = place(*blob, &Needle::new(field), 2)?;
                Some((blob.at(at.value).into(), expiry_of(blob.at(at.after))))
            }
        }
    }

    /// The value of a field whose expiry has not passed.
    #[inline]
    pub fn get(&self, field: &[u8], now_ms: i64) -> Option<Value<'a>> {
        let (value, expire) = self.find(field)?;
        (!is_past(expire, now_ms)).then_some(value)
    }

    /// The earliest expiry of a field.
    pub fn next_expiry(&self) -> Option<i64> {
        match self {
            HashRef::Pairs(_) => None,
            HashRef::Triplets(_) => self.iter().filter_map(|f| f.expire).min(),
            HashRef::Table(table) => table.next_expiry(),
        }
    }

    /// Whether the expiry of any field has passed.
    #[inline]
    pub fn is_due(&self, now_ms: i64) -> bool {
        match self {
            HashRef::Pairs(_) => false,
            _ => is_past(self.next_expiry(), now_ms),
        }
    }

    /// All fields as stored, those whose expiry has passed included.
    #[inline]
    pub fn iter(&self) -> Iter<'a> {
        match *self {
            HashRef::Pairs(blob) => Iter::Pairs(blob.iter()),
            HashRef::Triplets(blob) => Iter::Triplets(blob.iter()),
            HashRef::Table(table) => Iter::Table(table.table.iter()),
        }
    }

    /// The fields whose expiry has not passed.
    #[inline]
    pub fn live(&self, now_ms: i64) -> impl Iterator<Item = FieldRef<'a>> + use<'a> {
        self.iter().filter(move |f| !is_past(f.expire, now_ms))
    }

    /// A random field whose expiry has not passed.
    pub fn random(&self, now_ms: i64, rng: &mut Rng) -> Option<FieldRef<'a>> {
        match self {
            HashRef::Table(table) => {
                for _ in 0..MAX_MISSES {
                    let field = FieldRef::of(table.table.random(&mut || rng.next_u64())?);
                    if !is_past(field.expire, now_ms) {
                        return Some(field);
                    }
                }
            }
            HashRef::Pairs(blob) => {
                let at = blob.offset_of(rng.below(self.len().max(1) as u64) as usize * 2)?;
                let mut iter = Iter::Pairs(blob.iter_from(at));
                return iter.next();
            }
            HashRef::Triplets(_) => {}
        }
        let at = rng.below(self.live_len(now_ms).max(1) as u64) as usize;
        self.live(now_ms).nth(at)
    }

    /// Shows `n` different random fields to `f`, all if there are no more.
    pub fn sample(&self, n: usize, now_ms: i64, rng: &mut Rng, f: &mut impl FnMut(FieldRef<'a>)) {
        let live = self.live_len(now_ms);
        match self {
            // Few of many, most of them alive: drawing in vain is rare.
            HashRef::Table(table) if n <= live / 4 && live >= table.len() / 2 => {
                let mut seen = HashSet::with_capacity(n);
                while seen.len() < n {
                    let Some(entry) = table.table.random(&mut || rng.next_u64()) else {
                        return;
                    };
                    if !is_past(entry.expire(), now_ms) && seen.insert(entry.key()) {
                        f(FieldRef::of(entry));
                    }
                }
            }
            _ => {
                let mut pick = Pick::new(n, live);
                self.live(now_ms).filter(|_| pick.next(rng)).for_each(f);
            }
        }
    }

    /// Visits about `count` fields from `cursor` on, those whose expiry has passed included;
    /// returns where to go on, 0 at the end. Fields that are there from the first call to the
    /// last are visited at least once.
    pub fn scan(&self, cursor: u64, count: usize, f: &mut impl FnMut(FieldRef<'_>)) -> u64 {
        let HashRef::Table(table) = *self else {
            self.iter().for_each(f);
            return 0;
        };
        let (mut cursor, mut visited) = (cursor, 0);
        for _ in 0..count.saturating_mul(SCAN_EFFORT) {
            cursor = table.table.scan(cursor, &mut |entry| {
                visited += 1;
                f(FieldRef::of(entry));
            });
            if cursor == 0 || visited >= count {
                break;
            }
        }
        cursor
    }

    /// A hash of its own with these fields; the large form is shared.
    pub fn to_hash(&self) -> Hash {
        match *self {
            HashRef::Pairs(blob) => Hash::Pairs(blob.to_owned()),
            HashRef::Triplets(blob) => Hash::Triplets(blob.to_owned()),
            HashRef::Table(table) => Hash::Table(Arc::new(table.clone())),
        }
    }

    /// Bytes on the heap besides the entry that holds a small hash; see [`HashTable::memory`].
    pub fn memory(&self, samples: usize) -> usize {
        match self {
            HashRef::Pairs(_) | HashRef::Triplets(_) => 0,
            HashRef::Table(table) => table.memory(samples),
        }
    }
}

/// See [`HashRef::iter`].
pub enum Iter<'a> {
    Pairs(packed::Iter<'a, Forward>),
    Triplets(packed::Iter<'a, Forward>),
    Table(table::Iter<'a, Entry>),
}

impl<'a> Iterator for Iter<'a> {
    type Item = FieldRef<'a>;

    #[inline]
    fn next(&mut self) -> Option<FieldRef<'a>> {
        match self {
            Iter::Pairs(iter) => {
                let (field, value) = (iter.next()?, iter.next()?);
                Some(FieldRef {
                    field,
                    value: value.into(),
                    expire: None,
                })
            }
            Iter::Triplets(iter) => {
                let (field, value, expire) = (iter.next()?, iter.next()?, iter.next()?);
                Some(FieldRef {
                    field,
                    value: value.into(),
                    expire: expiry_of(expire),
                })
            }
            Iter::Table(iter) => iter.next().map(FieldRef::of),
        }
    }
}
