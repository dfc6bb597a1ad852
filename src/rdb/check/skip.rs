//! Passing over a value by its lengths alone.

use crate::rdb::kind;
use crate::rdb::read::{Cause, Fault, Source};

/// Ids of entries of streams.
const STREAM_ID: usize = 16;

type Done = Result<(), Fault>;

fn strings<S: Source>(source: &mut S, count: u64) -> Done {
    for _ in 0..count {
        source.skip_string()?;
    }
    Ok(())
}

fn lengths<S: Source>(source: &mut S, count: usize) -> Done {
    for _ in 0..count {
        source.len()?;
    }
    Ok(())
}

/// Goes behind a value of this type.
pub fn skip_value<S: Source>(source: &mut S, of: u8) -> Done {
    match of {
        kind::STRING
        | kind::HASH_ZIPMAP
        | kind::LIST_ZIPLIST
        | kind::SET_INTSET
        | kind::ZSET_ZIPLIST
        | kind::HASH_ZIPLIST
        | kind::HASH_LISTPACK
        | kind::ZSET_LISTPACK
        | kind::SET_LISTPACK => source.skip_string(),
        kind::LIST | kind::SET | kind::LIST_QUICKLIST => {
            let count = source.count(1)?;
            strings(source, count)
        }
        kind::HASH => {
            let count = source.count(2)?;
            strings(source, count.saturating_mul(2))
        }
        kind::HASH_LISTPACK_EX => {
            source.grab(8)?;
            source.skip_string()
        }
        kind::STREAM_LISTPACKS => skip_stream(source, 1),
        kind::STREAM_LISTPACKS_2 => skip_stream(source, 2),
        kind::STREAM_LISTPACKS_3 => skip_stream(source, 3),
        kind::MODULE_2 => skip_module(source),
        kind::ZSET | kind::ZSET_2 | kind::LIST_QUICKLIST_2 | kind::HASH_2 | kind::HASH_METADATA => {
            if of == kind::HASH_METADATA {
                source.grab(8)?;
            }
            for _ in 0..source.count(2)? {
                skip_element(source, of)?;
            }
            Ok(())
        }
        other => Err(source.fault(Cause::Unsupported(format!("unknown type {other}")))),
    }
}

fn skip_element<S: Source>(source: &mut S, of: u8) -> Done {
    match of {
        kind::LIST_QUICKLIST_2 => {
            source.len()?;
            source.skip_string()
        }
        kind::ZSET => {
            source.skip_string()?;
            source.old_double().map(drop)
        }
        kind::ZSET_2 => {
            source.skip_string()?;
            source.grab(8).map(drop)
        }
        kind::HASH_2 => {
            strings(source, 2)?;
            source.grab(8).map(drop)
        }
        _ => {
            source.len()?;
            strings(source, 2)
        }
    }
}

fn skip_stream<S: Source>(source: &mut S, layout: u8) -> Done {
    let nodes = source.count(2)?;
    strings(source, nodes.saturating_mul(2))?;
    lengths(source, if layout >= 2 { 8 } else { 3 })?;
    for _ in 0..source.count(5)? {
        source.skip_string()?;
        lengths(source, if layout >= 2 { 3 } else { 2 })?;
        for _ in 0..source.count(STREAM_ID as u64)? {
            source.grab(STREAM_ID + 8)?;
            source.len()?;
        }
        for _ in 0..source.count(10)? {
            source.skip_string()?;
            source.grab(if layout >= 3 { 16 } else { 8 })?;
            for _ in 0..source.count(STREAM_ID as u64)? {
                source.grab(STREAM_ID)?;
            }
        }
    }
    Ok(())
}

/// A value of a module: an id, and parts that say of what type they are.
fn skip_module<S: Source>(source: &mut S) -> Done {
    source.len()?;
    loop {
        match source.len()? {
            0 => return Ok(()),
            1 | 2 => source.len().map(drop)?,
            3 => source.grab(4).map(drop)?,
            4 => source.grab(8).map(drop)?,
            5 => source.skip_string()?,
            _ => return Err(source.bad("unknown part of a module's value")),
        }
    }
}
