//! Writing values.

use std::io;

use super::stream;

use crate::keyspace::Text;
use crate::rdb::kind;
use crate::rdb::wire::{Sink, Strings, put_int, put_len, put_old_double};
use crate::rdb::{VERSION_BASE, VERSION_SET_LISTPACK};
use crate::value::entry::Payload;
use crate::value::hash::{Hash, HashRef};
use crate::value::list::{List, ListRef, Opened};
use crate::value::packed::{Elem, Forward, Layout, Needle, Packed, PackedRef};
use crate::value::set::{Set, SetRef};
use crate::value::stream::StreamMut;
use crate::value::zset::{Zset, ZsetRef};
use crate::value::{Collection, Type};

/// Containers of a quicklist's nodes.
const PLAIN: u64 = 1;
const PACKED: u64 = 2;
/// Scores are binary from this version on.
const VERSION_BINARY_SCORES: u32 = 8;

/// Whether the value is a hash with a field that has an expiry.
pub fn needs_field_expiry(payload: Payload<'_>) -> bool {
    payload.value_type() == Type::Hash
        && Hash::view(payload).is_some_and(|hash| hash.next_expiry().is_some())
}

/// The type by which a file of this version has the value.
pub fn kind_of(payload: Payload<'_>, version: u32) -> u8 {
    let packed = version >= VERSION_BASE;
    match payload.value_type() {
        Type::String => kind::STRING,
        Type::List if packed => kind::LIST_QUICKLIST_2,
        Type::List => kind::LIST,
        Type::Set => match Set::view(payload) {
            Some(SetRef::Ints(_)) => kind::SET_INTSET,
            Some(SetRef::Packed(_)) if version >= VERSION_SET_LISTPACK => kind::SET_LISTPACK,
            _ => kind::SET,
        },
        Type::Hash => match Hash::view(payload) {
            Some(hash) if hash.next_expiry().is_some() => match hash {
                HashRef::Table(_) => kind::HASH_METADATA,
                HashRef::Pairs(_) | HashRef::Triplets(_) => kind::HASH_LISTPACK_EX,
            },
            Some(HashRef::Pairs(_)) if packed => kind::HASH_LISTPACK,
            _ => kind::HASH,
        },
        Type::Zset => match Zset::view(payload) {
            Some(ZsetRef::Packed(_)) if packed => kind::ZSET_LISTPACK,
            _ if version >= VERSION_BINARY_SCORES => kind::ZSET_2,
            _ => kind::ZSET,
        },
        Type::Stream => stream::kind_for(version),
    }
}

/// Writes values; keeps what that needs from one value to the next.
pub struct Encoder {
    pub strings: Strings,
    /// The version of the file.
    pub version: u32,
}

impl Encoder {
    pub fn new(compress: bool, version: u32) -> Encoder {
        Encoder {
            strings: Strings::new(compress),
            version,
        }
    }

    /// Writes a value, without its type.
    ///
    /// # Errors
    /// The sink's, or one that says that a file of this version cannot hold the value.
    pub fn put<S: Sink>(&mut self, sink: &mut S, payload: Payload<'_>) -> io::Result<()> {
        match payload.value_type() {
            Type::String => self.string(sink, payload),
            Type::List => match <List as Collection>::view(payload) {
                Some(list) => self.list(sink, list),
                None => Ok(()),
            },
            Type::Set => match Set::view(payload) {
                Some(set) => self.set(sink, set),
                None => Ok(()),
            },
            Type::Hash => match Hash::view(payload) {
                Some(hash) => self.hash(sink, hash),
                None => Ok(()),
            },
            Type::Zset => match Zset::view(payload) {
                Some(zset) => self.zset(sink, zset),
                None => Ok(()),
            },
            Type::Stream => match StreamMut::view(payload) {
                Some(value) => {
                    let kind = stream::kind_for(self.version);
                    stream::put(value, kind, &mut self.strings, sink)
                }
                None => Ok(()),
            },
        }
    }

    fn string<S: Sink>(&mut self, sink: &mut S, payload: Payload<'_>) -> io::Result<()> {
        match payload {
            Payload::Int(n) => {
                put_int(sink.buf(), n);
                Ok(())
            }
            payload => {
                let text = Text::of(payload);
                self.strings.put(sink, text.as_deref().unwrap_or_default())
            }
        }
    }

    fn elem<S: Sink>(&mut self, sink: &mut S, elem: Elem<'_>) -> io::Result<()> {
        match elem {
            Elem::Int(n) => {
                put_int(sink.buf(), n);
                Ok(())
            }
            Elem::Str(text) => self.strings.put(sink, text),
        }
    }

    fn listpack<S: Sink, B: Layout>(
        &mut self,
        sink: &mut S,
        blob: PackedRef<'_, B>,
    ) -> io::Result<()> {
        let bytes = blob.to_listpack().ok_or_else(too_long)?;
        self.strings.put_text(sink, &bytes)
    }

    fn list<S: Sink>(&mut self, sink: &mut S, list: ListRef<'_>) -> io::Result<()> {
        if self.version < VERSION_BASE {
            put_len(sink.buf(), list.len() as u64);
            let mut done = Ok(());
            list.range(0, list.len(), |elem| {
                if done.is_ok() {
                    done = self.elem(sink, elem).and_then(|()| sink.spill());
                }
            });
            return done;
        }
        put_len(sink.buf(), list.chunks().count() as u64);
        for chunk in list.chunks() {
            match &chunk {
                Opened::Plain(text) => {
                    put_len(sink.buf(), PLAIN);
                    self.strings.put_text(sink, text)?;
                }
                Opened::Packed(_) | Opened::Inflated(_) => {
                    put_len(sink.buf(), PACKED);
                    if let Some(blob) = chunk.blob() {
                        self.listpack(sink, blob)?;
                    }
                }
            }
            sink.spill()?;
        }
        Ok(())
    }

    fn set<S: Sink>(&mut self, sink: &mut S, set: SetRef<'_>) -> io::Result<()> {
        match set {
            SetRef::Ints(ints) => {
                let bytes = ints.to_redis_bytes().ok_or_else(too_long)?;
                return self.strings.put_text(sink, &bytes);
            }
            SetRef::Packed(blob) if self.version >= VERSION_SET_LISTPACK => {
                return self.listpack(sink, blob);
            }
            SetRef::Packed(_) | SetRef::Table(_) => {}
        }
        put_len(sink.buf(), set.len() as u64);
        for elem in set.iter() {
            self.elem(sink, elem)?;
            sink.spill()?;
        }
        Ok(())
    }

    fn hash<S: Sink>(&mut self, sink: &mut S, hash: HashRef<'_>) -> io::Result<()> {
        if let Some(first) = hash.next_expiry() {
            return self.hash_with_expiry(sink, hash, first);
        }
        if let HashRef::Pairs(blob) = hash
            && self.version >= VERSION_BASE
        {
            return self.listpack(sink, blob);
        }
        put_len(sink.buf(), hash.len() as u64);
        for field in hash.iter() {
            self.elem(sink, field.field)?;
            field
                .value
                .with_bytes(|value| self.strings.put(sink, value))?;
            sink.spill()?;
        }
        Ok(())
    }

    /// The two layouts of Redis 7.4; `first` is the earliest expiry.
    fn hash_with_expiry<S: Sink>(
        &mut self,
        sink: &mut S,
        hash: HashRef<'_>,
        first: i64,
    ) -> io::Result<()> {
        sink.buf().extend_from_slice(&first.to_le_bytes());
        if let HashRef::Table(table) = hash {
            put_len(sink.buf(), table.len() as u64);
            for field in hash.iter() {
                let ttl = field.expire.map_or(0, |at| at.abs_diff(first) + 1);
                put_len(sink.buf(), ttl);
                self.elem(sink, field.field)?;
                field
                    .value
                    .with_bytes(|value| self.strings.put(sink, value))?;
                sink.spill()?;
            }
            return Ok(());
        }
        // Redis wants the fields by their expiry, those without any last.
        let mut fields: Vec<_> = hash.iter().collect();
        fields.sort_by_key(|field| field.expire.unwrap_or(i64::MAX));
        let mut blob: Packed<Forward> = Packed::new();
        for field in &fields {
            blob.push_back_needle(&Needle::of(field.field));
            field.value.with_bytes(|value| blob.push_back(value));
            blob.push_back_needle(&Needle::int(field.expire.unwrap_or(0)));
        }
        self.listpack(sink, blob.view())
    }

    fn zset<S: Sink>(&mut self, sink: &mut S, zset: ZsetRef<'_>) -> io::Result<()> {
        if let ZsetRef::Packed(blob) = zset
            && self.version >= VERSION_BASE
        {
            return self.listpack(sink, blob);
        }
        put_len(sink.buf(), zset.len() as u64);
        // From the end, as Redis does: reading servers then always insert at the front.
        for (member, score) in zset.range(0..zset.len(), true) {
            self.elem(sink, member)?;
            if self.version >= VERSION_BINARY_SCORES {
                sink.buf().extend_from_slice(&score.to_le_bytes());
            } else {
                put_old_double(sink.buf(), score);
            }
            sink.spill()?;
        }
        Ok(())
    }
}

fn too_long() -> io::Error {
    io::Error::other("a packed value is too long for a file")
}
