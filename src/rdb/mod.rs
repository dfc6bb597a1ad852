//! RDB: the data set as one file, and one value as a payload (`DUMP`).
//!
//! - [`snapshot`] is what is saved: shared tables of one moment. [`mod@write`] serialises it to anything that takes bytes,
//!   [`load`] reads one back on two threads; neither knows the actor.
//! - [`value`] is the codec of values, for files and payloads alike. Everything that comes in is checked there, down to
//!   the single element: the values behind it trust their bytes.
//! - [`save`] and [`boot`] are the server's side: background saves, save points, the file at start.
//! - [`temp`] is about files that are not complete yet, and those that never will be.
//! - [`check`] is `ferrite check-rdb`.
//!
//! Files are written in the oldest layout that holds the data, so that redis-server 7.0 reads them; every layout since
//! version 1 is read.

pub mod boot;
pub mod check;
pub mod load;
pub mod read;
pub mod save;
pub mod snapshot;
pub mod temp;
#[cfg(test)]
mod tests;
pub mod value;
pub mod wire;
pub mod write;

/// The oldest version that is written unless `rdb-version` asks for another: redis-server 7.0's.
pub const VERSION_BASE: u32 = 10;
/// From here on small sets may be listpacks, and streams keep when their consumers were active.
pub const VERSION_SET_LISTPACK: u32 = 11;
/// From here on fields of hashes may have an expiry.
pub const VERSION_FIELD_EXPIRY: u32 = 12;
/// The newest version that is read.
pub const VERSION_MAX: u32 = 12;
/// The version of Valkey 9, which counts from 80.
pub const VERSION_VALKEY: u32 = 80;

/// Types of values, as files number them.
pub mod kind {
    pub const STRING: u8 = 0;
    pub const LIST: u8 = 1;
    pub const SET: u8 = 2;
    pub const ZSET: u8 = 3;
    pub const HASH: u8 = 4;
    pub const ZSET_2: u8 = 5;
    pub const MODULE_PRE_GA: u8 = 6;
    pub const MODULE_2: u8 = 7;
    pub const HASH_ZIPMAP: u8 = 9;
    pub const LIST_ZIPLIST: u8 = 10;
    pub const SET_INTSET: u8 = 11;
    pub const ZSET_ZIPLIST: u8 = 12;
    pub const HASH_ZIPLIST: u8 = 13;
    pub const LIST_QUICKLIST: u8 = 14;
    pub const STREAM_LISTPACKS: u8 = 15;
    pub const HASH_LISTPACK: u8 = 16;
    pub const ZSET_LISTPACK: u8 = 17;
    pub const LIST_QUICKLIST_2: u8 = 18;
    pub const STREAM_LISTPACKS_2: u8 = 19;
    pub const SET_LISTPACK: u8 = 20;
    pub const STREAM_LISTPACKS_3: u8 = 21;
    /// Valkey 9's; Redis 7.4's release candidates had another type of this number, which no release reads.
    pub const HASH_2: u8 = 22;
    pub const HASH_METADATA: u8 = 24;
    pub const HASH_LISTPACK_EX: u8 = 25;
}

/// What stands in the place of a type between the keys.
pub mod opcode {
    pub const SLOT_IMPORT: u8 = 243;
    pub const SLOT_INFO: u8 = 244;
    pub const FUNCTION2: u8 = 245;
    pub const FUNCTION_PRE_GA: u8 = 246;
    pub const MODULE_AUX: u8 = 247;
    pub const IDLE: u8 = 248;
    pub const FREQ: u8 = 249;
    pub const AUX: u8 = 250;
    pub const RESIZEDB: u8 = 251;
    pub const EXPIRETIME_MS: u8 = 252;
    pub const EXPIRETIME: u8 = 253;
    pub const SELECTDB: u8 = 254;
    pub const EOF: u8 = 255;
}
