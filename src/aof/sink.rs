//! The increment that is being written: framing, the write itself, and what has to be written again if a sync fails.
//! No threads here; the caller decides when.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;

use crc64fast::Digest;

use super::dir::{Dir, OpenPart};
use super::frame::Chain;
use super::manifest::Part;
use super::seal::Sum;
use crate::base::alloc::Apart;
use crate::base::failpoint;
use crate::base::planted::{self, Bug};
use crate::value::entry::size_class;

/// A buffer that grew beyond this is not kept for the next write.
const KEEP_BUF: usize = 256 << 10;

/// Chunks that are kept are put together up to so many bytes: a turn may have one short command.
const JOINED: usize = 64 << 10;

/// Chunks of fewer bytes are kept as they come.
const SHRINK_MIN: usize = 16 << 10;

/// Units of the log, as the actor hands them over after a turn.
#[derive(Clone, Debug, Default)]
pub struct Chunk {
    pub bytes: Vec<u8>,
    /// Where each unit ends in `bytes`, and the offset of the log there.
    pub ends: Vec<(usize, u64)>,
    /// Offset of the log behind the last byte.
    pub offset: u64,
    /// Unix seconds, if times are to be noted.
    pub time_s: Option<i64>,
    /// The replication history that the offsets belong to from here on, if it is another one.
    pub history: Option<String>,
    pub apart: Apart,
}

impl Chunk {
    /// Counts its memory apart from now on.
    pub fn set_apart(&mut self) {
        let ends = self.ends.capacity() * size_of::<(usize, u64)>();
        let bytes = size_of::<Chunk>() + size_class(self.bytes.capacity()) + size_class(ends);
        self.apart.set(bytes as u64);
    }

    /// Gives back what it has no use for, where that is much: it may be kept for a second.
    fn shrink(&mut self) {
        if self.bytes.capacity() >= SHRINK_MIN {
            self.bytes.shrink_to_fit();
        }
        if self.ends.capacity() >= SHRINK_MIN / size_of::<(usize, u64)>() {
            self.ends.shrink_to_fit();
        }
        self.set_apart();
    }

    /// Bytes that it takes in the file at most, about.
    fn framed_room(&self) -> usize {
        self.bytes.len() + 48 * self.ends.len() + 128
    }

    /// Whether `next` may become a part of this.
    pub(super) fn takes(&self, next: &Chunk) -> bool {
        let len = self.bytes.len() + next.bytes.len();
        len <= JOINED && next.history.is_none() && next.time_s == self.time_s
    }

    /// Puts what comes next behind this.
    pub(super) fn join(&mut self, next: &Chunk) {
        let (bytes, ends) = (&mut self.bytes, &mut self.ends);
        self.apart.during(|| {
            let base = bytes.len();
            bytes.extend_from_slice(&next.bytes);
            ends.extend(next.ends.iter().map(|(at, offset)| (base + at, *offset)));
        });
        self.offset = next.offset;
        self.set_apart();
    }
}

/// A part that takes no more, until it is known to be safe.
struct Closed {
    part: Part,
    file: Arc<File>,
    safe_len: u64,
    sum: Sum,
}

/// How far something is.
#[derive(Clone)]
struct Point {
    len: u64,
    chain: Chain,
    /// Offset of the command log.
    offset: u64,
}

/// What one sync makes safe.
pub struct Plan {
    pub files: Vec<Arc<File>>,
    /// Offset of the log that is safe then.
    pub offset: u64,
    chunks: usize,
    closed: usize,
    point: Point,
    part: String,
}

/// A moment in the current part, for [`super::mark`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SafePoint {
    pub part: String,
    pub len: u64,
    pub chain: Chain,
}

pub struct Sink {
    part: Part,
    file: Arc<File>,
    /// Bytes of whole units in the file.
    written: Point,
    safe: Point,
    /// The part that writing went on in with the last switch, and the last unit before it.
    switched: (u64, u64),
    begun: bool,
    last_time_s: i64,
    /// The last replication history that was noted; each file begins with it.
    history: Option<String>,
    digest: Digest,
    buf: Vec<u8>,
    /// Written and not known to be safe; empty if nobody syncs.
    unsafe_chunks: Vec<Chunk>,
    /// So many of them are in the last plan: nothing is added to these.
    planned: usize,
    closed: Vec<Closed>,
    buf_apart: Apart,
    /// Of the list of chunks.
    list_apart: Apart,
    /// Chunks are kept until a sync.
    pub keeps: bool,
    /// A half-written unit could not be cut off: this file takes no more.
    torn: bool,
}

/// Where writing goes on in a file.
pub struct Resume {
    pub len: u64,
    pub chain: Chain,
    /// Checksum so far.
    pub digest: Digest,
}

impl Default for Resume {
    fn default() -> Self {
        Resume {
            len: 0,
            chain: Chain::new(0),
            digest: Digest::new(),
        }
    }
}

impl Sink {
    /// Appends to `open`, in which everything up to `resume` is safe. `offset` is where the log is now.
    pub fn new(open: OpenPart, resume: Resume, offset: u64, keeps: bool) -> Sink {
        let point = Point {
            len: resume.len,
            chain: Chain {
                offset,
                ..resume.chain
            },
            offset,
        };
        Sink {
            switched: (open.part.seq, resume.chain.seq),
            part: open.part,
            file: Arc::new(open.file),
            written: point.clone(),
            safe: point,
            begun: false,
            last_time_s: 0,
            history: None,
            digest: resume.digest,
            buf: Vec::new(),
            unsafe_chunks: Vec::new(),
            planned: 0,
            closed: Vec::new(),
            buf_apart: Apart::default(),
            list_apart: Apart::default(),
            keeps,
            torn: false,
        }
    }

    pub fn part(&self) -> &Part {
        &self.part
    }

    /// Bytes in the file.
    pub fn size(&self) -> u64 {
        self.written.len
    }

    pub fn is_torn(&self) -> bool {
        self.torn
    }

    /// The last unit before part `seq`, if that is known.
    pub fn unit_before(&self, seq: u64) -> Option<u64> {
        (self.switched.0 == seq).then_some(self.switched.1)
    }

    /// Whether the parts before this one are safe, and it is `seq` or a later one.
    pub fn is_settled(&self, seq: u64) -> bool {
        self.part.seq >= seq && self.closed.is_empty()
    }

    /// Whether there is something that a sync would make safe.
    pub fn is_dirty(&self) -> bool {
        self.written.offset != self.safe.offset || !self.closed.is_empty()
    }

    /// Offset of the log behind what is in the file.
    pub fn written_offset(&self) -> u64 {
        self.written.offset
    }

    /// Appends all units of `chunks`, or none of them.
    ///
    /// # Errors
    /// What the system says; the chunks come back.
    pub fn write(&mut self, chunks: Vec<Chunk>) -> Result<u64, (io::Error, Vec<Chunk>)> {
        let chunks = if planted::is(Bug::DropLastBatch) {
            self.planted_delay(chunks)
        } else {
            chunks
        };
        if self.torn {
            return Err((
                io::Error::other("the file cannot be cut to whole units"),
                chunks,
            ));
        }
        let (mut chain, mut last_time_s) = (self.written.chain, self.last_time_s);
        let mut buf = std::mem::take(&mut self.buf);
        buf.clear();
        let mut begun = self.begun;
        let mut history = self.history.clone();
        let room: usize = chunks.iter().map(Chunk::framed_room).sum();
        if buf.capacity() < room {
            self.buf_apart.set(size_class(room) as u64);
            buf.reserve_exact(room);
        }
        for chunk in &chunks {
            let noted = (&mut last_time_s, &mut begun, &mut history);
            frame_chunk(&mut buf, chunk, &mut chain, noted);
        }
        self.buf_apart.set(size_class(buf.capacity()) as u64);
        let result = self.append(&buf);
        if result.is_ok() {
            self.digest.write(&buf);
            self.written.len += buf.len() as u64;
            self.written.chain = chain;
            self.last_time_s = last_time_s;
            self.begun = begun;
            self.history = history;
        }
        let bytes = buf.len() as u64;
        if buf.capacity() <= KEEP_BUF {
            self.buf = buf;
        } else {
            // Before it is no longer counted apart.
            drop(buf);
        }
        self.buf_apart.set(size_class(self.buf.capacity()) as u64);
        if let Err(error) = result {
            return Err((error, chunks));
        }
        if let Some(last) = chunks.last() {
            self.written.offset = last.offset;
        }
        if self.keeps {
            chunks.into_iter().for_each(|chunk| self.keep(chunk));
        }
        Ok(bytes)
    }

    fn keep(&mut self, mut chunk: Chunk) {
        let unplanned = self.unsafe_chunks.get_mut(self.planned..);
        match unplanned.and_then(|chunks| chunks.last_mut()) {
            Some(last) if last.takes(&chunk) => last.join(&chunk),
            _ => {
                chunk.shrink();
                let list = &mut self.unsafe_chunks;
                self.list_apart.during(|| list.push(chunk));
            }
        }
    }

    /// The mistake of keeping the last batch back until the next one comes.
    fn planted_delay(&mut self, mut chunks: Vec<Chunk>) -> Vec<Chunk> {
        static KEPT: std::sync::Mutex<Vec<Chunk>> = std::sync::Mutex::new(Vec::new());
        let mut kept = KEPT.lock().unwrap_or_else(|e| e.into_inner());
        let last = chunks.pop().into_iter().collect();
        let mut out = std::mem::replace(&mut *kept, last);
        out.append(&mut chunks);
        out
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = (|| {
            if failpoint::pass_write("aof.write")? {
                (&*self.file).write_all(&bytes[..bytes.len() / 2])?;
                return Err(io::Error::from_raw_os_error(libc::ENOSPC));
            }
            (&*self.file).write_all(bytes)?;
            failpoint::pass("aof.written")
        })();
        if written.is_err() && !planted::is(Bug::KeepTorn) {
            // Half a unit must not stay: what follows it could not be read.
            self.torn = self.file.set_len(self.written.len).is_err();
        }
        written
    }

    /// Ends the current part in good order and goes on in another.
    ///
    /// # Errors
    /// The mark cannot be written; the current part stays.
    pub fn switch(&mut self, open: OpenPart) -> io::Result<()> {
        self.end()?;
        self.switched = (open.part.seq, self.written.chain.seq);
        let old = Closed {
            part: std::mem::replace(&mut self.part, open.part),
            file: std::mem::replace(&mut self.file, Arc::new(open.file)),
            safe_len: self.safe.len,
            sum: Sum {
                len: self.written.len,
                crc: self.digest.sum64(),
            },
        };
        self.closed.push(old);
        self.digest = Digest::new();
        self.written.len = 0;
        self.safe.len = 0;
        self.begun = false;
        self.last_time_s = 0;
        Ok(())
    }

    /// Writes the mark of a good end.
    pub fn end(&mut self) -> io::Result<()> {
        if !self.begun {
            // Nothing of ours is in this file.
            return Ok(());
        }
        let mut line = Vec::new();
        self.written.chain.write_end(&mut line, 0);
        self.append(&line)?;
        self.digest.write(&line);
        self.written.len += line.len() as u64;
        self.begun = false;
        Ok(())
    }

    /// What a sync has to do now.
    pub fn plan(&mut self) -> Plan {
        self.planned = self.unsafe_chunks.len();
        let mut files: Vec<Arc<File>> = self.closed.iter().map(|c| c.file.clone()).collect();
        files.push(self.file.clone());
        Plan {
            files,
            offset: self.written.offset,
            chunks: self.unsafe_chunks.len(),
            closed: self.closed.len(),
            point: self.written.clone(),
            part: self.part.name.clone(),
        }
    }

    /// The plan was carried out. Returns what the completed parts hold, and where the current one is safe.
    pub fn synced(&mut self, plan: &Plan) -> (Vec<(String, Sum)>, Option<SafePoint>) {
        let freed = plan.chunks.min(self.unsafe_chunks.len());
        self.unsafe_chunks.drain(..freed);
        if self.unsafe_chunks.is_empty() {
            let list = &mut self.unsafe_chunks;
            self.list_apart.during(|| *list = Vec::new());
        }
        self.planned = self.planned.saturating_sub(freed);
        let sums = self
            .closed
            .drain(..plan.closed)
            .map(|c| (c.part.name, c.sum))
            .collect();
        self.safe.chain = plan.point.chain;
        self.safe.offset = plan.point.offset;
        if self.part.name != plan.part {
            // Switched meanwhile: what was synced is in a part that is closed by now.
            if let Some(closed) = self.closed.iter_mut().find(|c| c.part.name == plan.part) {
                closed.safe_len = plan.point.len;
            }
            return (sums, None);
        }
        self.safe.len = plan.point.len;
        let safe = SafePoint {
            part: plan.part.clone(),
            len: plan.point.len,
            chain: plan.point.chain,
        };
        (sums, Some(safe))
    }

    /// A sync failed: what the file holds is unknown from the last good sync on, and asking again proves nothing. What is
    /// not known to be safe is written to a new part, which is synced and then named in the manifest.
    ///
    /// # Errors
    /// That failed too; nothing has changed but perhaps an unnamed file more.
    pub fn recover(&mut self, dir: &mut Dir) -> io::Result<u64> {
        if !self.keeps && self.is_dirty() {
            return Err(io::Error::other(
                "what was written since the last sync was not kept",
            ));
        }
        let open = dir.create_incr()?;
        let (mut chain, mut begun, mut last_time_s) = (self.safe.chain, false, 0);
        let mut history = self.history.clone();
        let mut buf = Vec::new();
        let mut digest = Digest::new();
        let mut len = 0;
        let mut file = &open.file;
        for chunk in &self.unsafe_chunks {
            buf.clear();
            let noted = (&mut last_time_s, &mut begun, &mut history);
            frame_chunk(&mut buf, chunk, &mut chain, noted);
            failpoint::pass("aof.recover-write")?;
            file.write_all(&buf)?;
            digest.write(&buf);
            len += buf.len() as u64;
        }
        failpoint::pass("aof.recover-fsync")?;
        file.sync_all()?;
        if !self.closed.is_empty() {
            dir.generation += 1;
        }
        dir.add_incr(&open.part)?;
        // Other servers would run twice what stands in both files. Our own reader knows better, so that this may fail.
        let _ = self.file.set_len(self.safe.len);
        for closed in self.closed.drain(..) {
            let _ = closed.file.set_len(closed.safe_len);
        }
        self.part = open.part;
        self.file = Arc::new(open.file);
        self.digest = digest;
        self.written = Point {
            len,
            chain,
            offset: self
                .unsafe_chunks
                .last()
                .map_or(self.safe.offset, |c| c.offset),
        };
        self.safe = self.written.clone();
        self.begun = begun;
        self.last_time_s = last_time_s;
        self.unsafe_chunks.clear();
        self.planned = 0;
        self.torn = false;
        Ok(self.safe.offset)
    }

    /// What the current part holds, after its end and a sync.
    pub fn sum(&self) -> Sum {
        Sum {
            len: self.written.len,
            crc: self.digest.sum64(),
        }
    }
}

/// Appends the units of a chunk with their annotations.
fn frame_chunk(
    buf: &mut Vec<u8>,
    chunk: &Chunk,
    chain: &mut Chain,
    (last_time_s, begun, history): (&mut i64, &mut bool, &mut Option<String>),
) {
    let mut lead = 0;
    if chunk.ends.is_empty() {
        return;
    }
    if let Some(now) = chunk.time_s.filter(|now| *now != *last_time_s) {
        let before = buf.len();
        buf.extend_from_slice(b"#TS:");
        crate::base::num::write_i64(buf, now);
        buf.extend_from_slice(b"\r\n");
        lead = buf.len() - before;
        *last_time_s = now;
    }
    if chunk.history.is_some() {
        history.clone_from(&chunk.history);
    }
    if let Some(id) = history
        .as_ref()
        .filter(|_| chunk.history.is_some() || !*begun)
    {
        buf.extend_from_slice(b"#R:");
        buf.extend_from_slice(id.as_bytes());
        buf.extend_from_slice(b"\r\n");
        lead += id.len() + 5;
    }
    if !*begun {
        chain.write_begin(buf, lead);
        lead = 0;
        *begun = true;
    }
    let mut start = 0;
    for (end, offset) in &chunk.ends {
        chain.write_frame(buf, lead, &chunk.bytes[start..*end], *offset);
        lead = 0;
        start = *end;
    }
}
