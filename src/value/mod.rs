//! Values: what a key can hold, without knowledge of clients, replies or sockets.
//!
//! Every collection but a stream has a small form (packed bytes that lie inside the key's
//! [`entry::Entry`]) and a large form behind one pointer. Both are reached through the same type: [`list::List`],
//! [`set::Set`], [`hash::Hash`], [`zset::Zset`] own a value while it is changed; their `…Ref`
//! twins borrow it for reading. Clones of large forms share structure, so that a snapshot costs
//! the same for one element and for a million.

pub mod ahead;
pub mod bits;
pub mod encoding;
pub mod entry;
pub mod geohash;
pub mod hash;
pub mod hll;
pub mod intset;
pub mod list;
pub mod member;
pub mod packed;
pub mod set;
pub mod stream;
pub mod tree;
pub mod usage;
pub mod zset;

use std::sync::Arc;

use entry::{Blob, ObjRef, Payload};

/// Types as `TYPE` names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    String,
    List,
    Set,
    Zset,
    Hash,
    Stream,
}

impl Type {
    pub fn name(self) -> &'static str {
        match self {
            Type::String => "string",
            Type::List => "list",
            Type::Set => "set",
            Type::Zset => "zset",
            Type::Hash => "hash",
            Type::Stream => "stream",
        }
    }
}

/// What the bytes of a small collection are.
pub mod tag {
    pub const LIST: u8 = 0;
    pub const SET_PACKED: u8 = 1;
    pub const SET_INT16: u8 = 2;
    pub const SET_INT32: u8 = 3;
    pub const SET_INT64: u8 = 4;
    pub const HASH: u8 = 5;
    /// Field, value, expiry (unix ms, 0 = none) triplets.
    pub const HASH_EX: u8 = 6;
    pub const ZSET: u8 = 7;
}

/// A large collection. `Clone` shares it.
#[derive(Clone, Debug)]
pub enum Obj {
    List(Arc<list::ListTree>),
    Set(Arc<set::SetTable>),
    Hash(Arc<hash::HashTable>),
    Zset(Arc<zset::ZsetTree>),
    Stream(Arc<stream::Stream>),
}

/// How a collection goes back into its entry.
pub enum Stored {
    /// Small: tag, number of packed elements, bytes.
    Small(u8, u32, Vec<u8>),
    Large(Obj),
}

/// A type of collection, as the keyspace moves it in and out of entries.
pub trait Collection: Sized {
    /// The borrowed form, for reads.
    type Ref<'a>;
    const TYPE: Type;

    /// An empty value, for a key that does not exist yet.
    fn empty() -> Self;
    fn is_empty(&self) -> bool;
    /// Borrows the value of an entry of this type; `None` if it is of another type.
    fn view(payload: Payload<'_>) -> Option<Self::Ref<'_>>;
    /// Takes a small value out of its entry: its bytes are copied into `scratch`.
    fn from_blob(blob: Blob<'_>, scratch: Vec<u8>) -> Self;
    /// Takes a large value out of its entry.
    fn from_obj(obj: Obj) -> Option<Self>;
    fn store(self) -> Stored;
}

impl Payload<'_> {
    /// Type of the value.
    pub fn value_type(&self) -> Type {
        match self {
            Payload::None
            | Payload::Int(_)
            | Payload::Str(_)
            | Payload::Raw(_)
            | Payload::Big(_) => Type::String,
            Payload::Packed(blob) => match blob.tag {
                tag::LIST => Type::List,
                tag::SET_PACKED..=tag::SET_INT64 => Type::Set,
                tag::HASH | tag::HASH_EX => Type::Hash,
                _ => Type::Zset,
            },
            Payload::Obj(obj) => match obj {
                ObjRef::List(_) => Type::List,
                ObjRef::Set(_) => Type::Set,
                ObjRef::Hash(_) => Type::Hash,
                ObjRef::Zset(_) => Type::Zset,
                ObjRef::Stream(_) => Type::Stream,
            },
        }
    }
}

/// Thresholds between small and large forms; directives of the same names set them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `hash-max-listpack-entries`, `hash-max-listpack-value`.
    pub hash_entries: usize,
    pub hash_value: usize,
    /// `set-max-intset-entries`, `set-max-listpack-entries`, `set-max-listpack-value`.
    pub set_intset_entries: usize,
    pub set_entries: usize,
    pub set_value: usize,
    /// `zset-max-listpack-entries`, `zset-max-listpack-value`.
    pub zset_entries: usize,
    pub zset_value: usize,
    /// `list-max-listpack-size`: elements per chunk, or -1..-5 for 4 to 64 KiB.
    pub list_size: i64,
    /// `list-compress-depth`: chunks at both ends that stay plain; 0: no compression.
    pub list_compress_depth: usize,
    /// `stream-node-max-bytes`, `stream-node-max-entries`; 0: no such limit.
    pub stream_node_bytes: usize,
    pub stream_node_entries: usize,
    /// `hll-sparse-max-bytes`.
    pub hll_sparse_max_bytes: usize,
    /// `proto-max-bulk-len`: no command makes a longer string.
    pub string_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            hash_entries: 512,
            hash_value: 64,
            set_intset_entries: 512,
            set_entries: 128,
            set_value: 64,
            zset_entries: 128,
            zset_value: 64,
            list_size: -2,
            list_compress_depth: 0,
            stream_node_bytes: 4096,
            stream_node_entries: 100,
            hll_sparse_max_bytes: 3000,
            string_bytes: 512 * 1024 * 1024,
        }
    }
}
