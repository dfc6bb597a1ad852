//! Streams in files: nodes, numbers, groups with their pending entries and consumers.
//!
//! ```text
//! nodes (count)      { identifier (string of 16 bytes) | listpack (string) }*
//! entries | last identifier | [2: first, highest deleted identifier, entries added]
//! groups (count)     { name | last identifier | [2: entries read]
//!                      pending (count)   { 16 bytes | time | deliveries }*
//!                      consumers (count) { name | seen | [3: active] | pending (count) { 16 bytes }* }* }*
//! ```
//! Layout 2 is redis-server 7.0's. When consumers were last active is in layout 3 alone; where that is not written, it
//! goes into an aux field of our own in front of the key, which others skip ([`activity`]).

use std::collections::BTreeMap;
use std::io;

use crate::rdb::read::{Fault, Source};
use crate::rdb::wire::{Sink, Strings, put_len};
use crate::rdb::{VERSION_BASE, VERSION_SET_LISTPACK, kind};
use crate::value::stream::{Counters, Group, Node, Pending, Stream, StreamId};

/// The aux field in front of a stream that holds when its consumers were active.
pub const ACTIVITY_AUX: &[u8] = b"ferrite-active";
/// Bytes of an identifier.
const ID: usize = 16;
/// Entries read of a group for which that is not known.
const UNKNOWN: u64 = u64::MAX;

/// The layout of a type.
fn layout_of(of: u8) -> u8 {
    match of {
        kind::STREAM_LISTPACKS => 1,
        kind::STREAM_LISTPACKS_2 => 2,
        _ => 3,
    }
}

/// The type by which a file of this version has streams.
pub fn kind_for(version: u32) -> u8 {
    match version {
        0..VERSION_BASE => kind::STREAM_LISTPACKS,
        VERSION_BASE..VERSION_SET_LISTPACK => kind::STREAM_LISTPACKS_2,
        _ => kind::STREAM_LISTPACKS_3,
    }
}

/// When the consumers of a stream were active, if the type that this version has cannot say that: 8 bytes each, in the
/// order of the file.
pub fn activity(stream: &Stream, version: u32) -> Option<Vec<u8>> {
    if version >= VERSION_SET_LISTPACK {
        return None;
    }
    let consumers = || stream.groups().flat_map(|(_, group)| group.consumers());
    if consumers().all(|consumer| consumer.active == consumer.seen) {
        return None;
    }
    Some(consumers().flat_map(|c| c.active.to_le_bytes()).collect())
}

fn put_id(out: &mut Vec<u8>, id: StreamId) {
    put_len(out, id.ms);
    put_len(out, id.seq);
}

/// Writes a stream in the layout of a type.
pub fn put<S: Sink>(
    stream: &Stream,
    of: u8,
    strings: &mut Strings,
    sink: &mut S,
) -> io::Result<()> {
    let layout = layout_of(of);
    put_len(sink.buf(), stream.node_count());
    for (first, node) in stream.nodes() {
        strings.put_text(sink, &first.to_bytes())?;
        let listpack = node.to_listpack();
        let listpack = listpack.ok_or_else(|| io::Error::other("a node is too long"))?;
        strings.put_text(sink, &listpack)?;
        sink.spill()?;
    }
    let counters = stream.counters();
    let out = sink.buf();
    put_len(out, stream.len());
    put_id(out, counters.last_id);
    if layout >= 2 {
        put_id(out, stream.first_id());
        put_id(out, counters.max_deleted_id);
        put_len(out, counters.entries_added);
    }
    put_len(out, stream.group_count());
    for (name, group) in stream.groups() {
        strings.put(sink, name)?;
        put_group(group, layout, strings, sink)?;
    }
    Ok(())
}

fn put_group<S: Sink>(
    group: &Group,
    layout: u8,
    strings: &mut Strings,
    sink: &mut S,
) -> io::Result<()> {
    let out = sink.buf();
    put_id(out, group.last_id);
    if layout >= 2 {
        put_len(out, group.entries_read.unwrap_or(UNKNOWN));
    }
    put_len(out, group.pending());
    for pending in group.pending_from(StreamId::MIN) {
        let out = sink.buf();
        out.extend_from_slice(&pending.id.to_bytes());
        out.extend_from_slice(&pending.time.to_le_bytes());
        put_len(out, pending.count);
        sink.spill()?;
    }
    put_len(sink.buf(), group.consumer_count());
    for consumer in group.consumers() {
        strings.put(sink, &consumer.name)?;
        let out = sink.buf();
        out.extend_from_slice(&consumer.seen.to_le_bytes());
        if layout >= 3 {
            out.extend_from_slice(&consumer.active.to_le_bytes());
        }
        put_len(out, consumer.pending());
        for id in consumer.pending_from(StreamId::MIN) {
            sink.buf().extend_from_slice(&id.to_bytes());
            sink.spill()?;
        }
    }
    Ok(())
}

fn id<S: Source>(source: &mut S) -> Result<StreamId, Fault> {
    Ok(StreamId::new(source.len()?, source.len()?))
}

/// Reads a stream in the layout of a type. `activity`: what stood in the aux field in front of it.
pub fn read<S: Source>(
    source: &mut S,
    of: u8,
    scratch: &mut Vec<u8>,
    activity: Option<&[u8]>,
) -> Result<Stream, Fault> {
    let layout = layout_of(of);
    let mut nodes = Vec::new();
    for _ in 0..source.count(2)? {
        let master = source
            .string(scratch)?
            .with_bytes(|bytes| <[u8; ID]>::try_from(bytes).ok());
        let master = master.ok_or_else(|| source.bad("a node of a stream has no identifier"))?;
        let master = StreamId::from_bytes(master);
        let node = source
            .string(scratch)?
            .with_bytes(|bytes| Node::from_listpack(master, bytes).ok());
        let node = node.ok_or_else(|| source.bad("Stream listpack integrity check failed"))?;
        nodes.push((master, node));
    }
    let len = source.len()?;
    let mut counters = Counters {
        last_id: id(source)?,
        max_deleted_id: StreamId::MIN,
        entries_added: len,
    };
    let mut first = None;
    if layout >= 2 {
        first = Some(id(source)?);
        counters.max_deleted_id = id(source)?;
        counters.entries_added = source.len()?;
    }
    let stream = Stream::from_nodes(nodes, counters).ok();
    let fits = |stream: &Stream| {
        stream.len() == len && first.is_none_or(|first| len == 0 || first == stream.first_id())
    };
    let mut stream = stream
        .filter(fits)
        .ok_or_else(|| source.bad("the entries of a stream and its numbers do not agree"))?;
    let mut activity = activity.map(|bytes| bytes.chunks_exact(8));
    for _ in 0..source.count(4)? {
        let name = source.string_vec()?;
        let mut group = read_group(source, layout, scratch)?;
        if layout == 1 {
            group.entries_read = stream.extent().entries_until(group.last_id);
        }
        if let Some(times) = &mut activity {
            set_activity(&mut group, times);
        }
        if layout == 1 {
            // Groups were not counted yet: what can be told from where they are.
            group.entries_read = stream.extent().entries_until(group.last_id);
        }
        if !stream.add_group(&name, group) {
            return Err(source.bad("a group stands twice in a stream"));
        }
    }
    Ok(stream)
}

fn read_group<S: Source>(
    source: &mut S,
    layout: u8,
    scratch: &mut Vec<u8>,
) -> Result<Group, Fault> {
    let last_id = id(source)?;
    let entries_read = match layout {
        1 => None,
        _ => Some(source.len()?).filter(|count| *count != UNKNOWN),
    };
    let mut group = Group::new(last_id, entries_read);
    let mut pending = BTreeMap::new();
    for _ in 0..source.count(ID as u64 + 9)? {
        let id = StreamId::from_bytes(source.array()?);
        let time = i64::from_le_bytes(source.array()?);
        let count = source.len()?;
        if pending.insert(id, (time, count)).is_some() {
            return Err(source.bad("an entry is pending twice in a group"));
        }
    }
    for _ in 0..source.count(10)? {
        let name = source.string(scratch)?.to_vec();
        let seen = i64::from_le_bytes(source.array()?);
        let active = match layout {
            3 => i64::from_le_bytes(source.array()?),
            _ => seen,
        };
        let consumer = group.restore_consumer(&name, seen, active);
        let consumer = consumer.ok_or_else(|| source.bad("Duplicate stream consumer detected"))?;
        for _ in 0..source.count(ID as u64)? {
            let id = StreamId::from_bytes(source.array()?);
            let Some((time, count)) = pending.remove(&id) else {
                return Err(source.bad("a consumer has what is not pending, or is another one's"));
            };
            group.assign(Pending {
                id,
                time,
                count,
                consumer,
            });
        }
    }
    if !pending.is_empty() {
        return Err(source.bad("an entry is pending without a consumer"));
    }
    Ok(group)
}

fn set_activity(group: &mut Group, times: &mut std::slice::ChunksExact<'_, u8>) {
    let numbers: Vec<u64> = group.consumers().map(|consumer| consumer.number).collect();
    for number in numbers {
        let Some(Ok(bytes)) = times.next().map(<[u8; 8]>::try_from) else {
            return;
        };
        let active = i64::from_le_bytes(bytes);
        group.change_consumer(number, |consumer| consumer.active = active);
    }
}
