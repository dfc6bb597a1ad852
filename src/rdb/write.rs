//! Writing a whole file: to a disk, a socket, or into memory.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::snapshot::Snapshot;
use super::value::{Encoder, kind_of, needs_field_expiry, stream};
use super::wire::{Sink, Strings, put_len};
use super::{VERSION_BASE, VERSION_FIELD_EXPIRY, kind, opcode};
use crate::base::crc::Crc64;
use crate::cli::REDIS_VERSION;
use crate::keyspace::evict::Access;
use crate::keyspace::snapshot::FrozenDb;
use crate::value::entry::{Entry, ObjRef, Payload};
use crate::value::hash::any_field_expires;

/// Bytes that gather before they are passed on.
const FLUSH: usize = 256 * 1024;
/// Longest uninterrupted wait of a delay between keys.
const NAP: Duration = Duration::from_millis(5);

/// The place in a replication stream that a data set stands at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicationState {
    pub id: String,
    pub offset: u64,
    /// Database that the stream has selected.
    pub db: i64,
}

/// How to write.
#[derive(Clone, Debug)]
pub struct SaveOptions {
    /// `rdbcompression`.
    pub compress: bool,
    /// `rdbchecksum`.
    pub checksum: bool,
    /// `rdb-version`; 0 stands for the oldest that holds the data.
    pub version: u32,
    /// The file is the base of an AOF.
    pub aof_base: bool,
    pub replication: Option<ReplicationState>,
}

impl Default for SaveOptions {
    fn default() -> Self {
        SaveOptions {
            compress: true,
            checksum: true,
            version: 0,
            aof_base: false,
            replication: None,
        }
    }
}

/// How far a save is, for all to see, and the wish to end it.
#[derive(Debug, Default)]
pub struct Progress {
    pub keys: AtomicU64,
    pub bytes: AtomicU64,
    pub stop: AtomicBool,
}

/// Somebody wished the save to end.
pub fn is_stopped(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Interrupted
}

fn stopped() -> io::Error {
    io::Error::new(io::ErrorKind::Interrupted, "the save was given up")
}

/// Takes bytes with a checksum over them.
pub struct Writer<'w> {
    out: &'w mut dyn Write,
    buf: Vec<u8>,
    crc: Option<Crc64>,
    progress: &'w Progress,
}

impl<'w> Writer<'w> {
    pub fn new(out: &'w mut dyn Write, checksum: bool, progress: &'w Progress) -> Writer<'w> {
        Writer {
            out,
            buf: Vec::with_capacity(FLUSH + FLUSH / 4),
            crc: checksum.then(Crc64::default),
            progress,
        }
    }

    fn pass_on(&mut self) -> io::Result<()> {
        if let Some(crc) = &mut self.crc {
            crc.update(&self.buf);
        }
        self.out.write_all(&self.buf)?;
        self.progress
            .bytes
            .fetch_add(self.buf.len() as u64, Ordering::Relaxed);
        self.buf.clear();
        if self.progress.stop.load(Ordering::Relaxed) {
            return Err(stopped());
        }
        Ok(())
    }

    /// The end: checksum, and everything passed on.
    fn finish(mut self) -> io::Result<()> {
        self.buf.push(opcode::EOF);
        self.pass_on()?;
        let sum = self.crc.take().map_or(0, |crc| crc.value());
        self.buf.extend_from_slice(&sum.to_le_bytes());
        self.pass_on()?;
        self.out.flush()
    }
}

impl Sink for Writer<'_> {
    #[inline]
    fn buf(&mut self) -> &mut Vec<u8> {
        &mut self.buf
    }

    #[inline]
    fn spill(&mut self) -> io::Result<()> {
        if self.buf.len() < FLUSH {
            return Ok(());
        }
        self.pass_on()
    }

    fn put_large(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.pass_on()?;
        if let Some(crc) = &mut self.crc {
            crc.update(bytes);
        }
        self.out.write_all(bytes)?;
        self.progress
            .bytes
            .fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }
}

/// Writes a data set as a file. The snapshot is let go piece by piece, so that memory that it alone kept alive becomes free
/// while the file is written; all of that happens on the calling thread.
///
/// # Errors
/// The output's, or [`is_stopped`].
pub fn save(
    snapshot: Arc<Snapshot>,
    out: &mut dyn Write,
    options: &SaveOptions,
    progress: &Progress,
) -> io::Result<()> {
    save_with_delay(snapshot, out, options, progress, &AtomicU64::new(0))
}

/// As [`save`]; after each key it waits as many µs as `delay_us` says at that time.
pub fn save_with_delay(
    snapshot: Arc<Snapshot>,
    out: &mut dyn Write,
    options: &SaveOptions,
    progress: &Progress,
    delay_us: &AtomicU64,
) -> io::Result<()> {
    let version = version_for(&snapshot, options.version, progress)?;
    let mut writer = Writer::new(out, options.checksum, progress);
    let mut encoder = Encoder::new(options.compress, version);
    write!(writer.buf, "REDIS{version:04}")?;
    put_aux_fields(&mut writer, &mut encoder.strings, &snapshot, options)?;
    if version >= VERSION_BASE {
        for source in &snapshot.functions {
            writer.buf.push(opcode::FUNCTION2);
            encoder.strings.put_text(&mut writer, source)?;
        }
    }
    let mut body = Body {
        writer,
        encoder,
        clocks: Clocks::new(&snapshot),
        delay_us,
        large: Vec::new(),
    };
    // Each database is a share of its own; the whole goes with the last consumer.
    let share = |db: &FrozenDb| FrozenDb {
        table: db.table.clone(),
        volatile: db.volatile,
    };
    let dbs: Vec<FrozenDb> = snapshot.data.dbs.iter().map(share).collect();
    drop(snapshot);
    for (index, db) in dbs.into_iter().enumerate() {
        if !db.table.is_empty() {
            body.database(index, db)?;
        }
    }
    body.writer.finish()
}

/// The version of the file: the one asked for, or the oldest that holds the data.
fn version_for(snapshot: &Snapshot, wanted: u32, progress: &Progress) -> io::Result<u32> {
    // Without any expiry of a field since the process began there is nothing to look for.
    let needed = if any_field_expires() && has_field_expiry(snapshot, progress)? {
        VERSION_FIELD_EXPIRY
    } else {
        0
    };
    if wanted != 0 && wanted < needed {
        return Err(io::Error::other(format!(
            "rdb-version {wanted} cannot hold hashes whose fields have an expiry: they need {needed}"
        )));
    }
    Ok(match wanted {
        0 => needed.max(VERSION_BASE),
        wanted => wanted,
    })
}

fn has_field_expiry(snapshot: &Snapshot, progress: &Progress) -> io::Result<bool> {
    for db in &snapshot.data.dbs {
        for (at, entry) in db.table.iter().enumerate() {
            if needs_field_expiry(entry.payload()) {
                return Ok(true);
            }
            if at % 4096 == 0 && progress.stop.load(Ordering::Relaxed) {
                return Err(stopped());
            }
        }
    }
    Ok(false)
}

fn put_aux_fields(
    writer: &mut Writer<'_>,
    strings: &mut Strings,
    snapshot: &Snapshot,
    options: &SaveOptions,
) -> io::Result<()> {
    let mut aux = |name: &str, value: &str| {
        writer.buf.push(opcode::AUX);
        strings.put(writer, name.as_bytes())?;
        strings.put(writer, value.as_bytes())
    };
    aux("redis-ver", REDIS_VERSION)?;
    aux("redis-bits", "64")?;
    aux("ctime", &snapshot.data.now_ms.div_euclid(1000).to_string())?;
    aux("used-mem", &snapshot.used_memory.to_string())?;
    if let Some(state) = &options.replication {
        aux("repl-stream-db", &state.db.to_string())?;
        aux("repl-id", &state.id)?;
        aux("repl-offset", &state.offset.to_string())?;
    }
    aux("aof-base", if options.aof_base { "1" } else { "0" })
}

/// How access clocks go into the file.
struct Clocks {
    access: Access,
    now_ms: i64,
}

impl Clocks {
    fn new(snapshot: &Snapshot) -> Clocks {
        Clocks {
            access: snapshot.access,
            now_ms: snapshot.data.now_ms,
        }
    }

    fn put(&self, out: &mut Vec<u8>, entry: &Entry) {
        if !self.access.policy.uses_clock() {
            return;
        }
        if self.access.policy.is_lfu() {
            let counter = self.access.lfu_counter(entry.clock(), self.now_ms);
            out.extend_from_slice(&[opcode::FREQ, counter as u8]);
        } else {
            out.push(opcode::IDLE);
            let idle = self.access.idle_s(entry.clock(), self.now_ms);
            put_len(out, idle.max(0) as u64);
        }
    }
}

/// The keys of a file on their way out.
struct Body<'w> {
    writer: Writer<'w>,
    encoder: Encoder,
    clocks: Clocks,
    delay_us: &'w AtomicU64,
    /// Keys of the present segment that take long: they are written when the segment has been let go.
    large: Vec<Entry>,
}

/// Collections from this many elements on are written by themselves.
const LARGE_LEN: usize = 4096;

fn is_large(payload: Payload<'_>) -> bool {
    match payload {
        Payload::Obj(obj) => {
            let len = match obj {
                ObjRef::List(list) => list.len(),
                ObjRef::Set(set) => set.len(),
                ObjRef::Hash(hash) => hash.len(),
                ObjRef::Zset(zset) => zset.len(),
                ObjRef::Stream(stream) => stream.len() as usize,
            };
            len >= LARGE_LEN
        }
        _ => false,
    }
}

impl Body<'_> {
    fn database(&mut self, index: usize, db: FrozenDb) -> io::Result<()> {
        let out = &mut self.writer.buf;
        out.push(opcode::SELECTDB);
        put_len(out, index as u64);
        out.push(opcode::RESIZEDB);
        put_len(out, db.table.len() as u64);
        put_len(out, db.volatile as u64);
        let mut walk = db.table.into_walk();
        let mut done = Ok(());
        loop {
            let more = walk.next_segment(&mut |entry| {
                if done.is_err() {
                } else if is_large(entry.payload()) {
                    self.large.push(entry.clone());
                } else {
                    done = self.key(entry);
                }
            });
            std::mem::replace(&mut done, Ok(()))?;
            for entry in std::mem::take(&mut self.large) {
                self.key(&entry)?;
            }
            if !more {
                return Ok(());
            }
            if self.writer.progress.stop.load(Ordering::Relaxed) {
                return Err(stopped());
            }
        }
    }

    #[inline]
    fn key(&mut self, entry: &Entry) -> io::Result<()> {
        if let Payload::Obj(ObjRef::Stream(value)) = entry.payload()
            && let Some(activity) = stream::activity(value, self.encoder.version)
        {
            self.writer.buf.push(opcode::AUX);
            let strings = &mut self.encoder.strings;
            strings.put_text(&mut self.writer, stream::ACTIVITY_AUX)?;
            strings.put_text(&mut self.writer, &activity)?;
        }
        let out = &mut self.writer.buf;
        if let Some(at) = entry.expire() {
            out.push(opcode::EXPIRETIME_MS);
            out.extend_from_slice(&at.to_le_bytes());
        }
        self.clocks.put(out, entry);
        let payload = entry.payload();
        let kind = kind_of(payload, self.encoder.version);
        out.push(kind);
        self.encoder.strings.put(&mut self.writer, entry.key())?;
        self.encoder.put(&mut self.writer, payload)?;
        // Nobody else counts.
        let keys = &self.writer.progress.keys;
        keys.store(keys.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        if self.delay_us.load(Ordering::Relaxed) > 0 {
            self.wait()?;
        }
        self.writer.spill()
    }

    /// `rdb-key-save-delay`, for tests: in naps, so that a change of it or a wish to stop takes effect at once.
    #[cold]
    fn wait(&mut self) -> io::Result<()> {
        let begin = std::time::Instant::now();
        loop {
            let delay = Duration::from_micros(self.delay_us.load(Ordering::Relaxed));
            let Some(left) = delay.checked_sub(begin.elapsed()).filter(|d| !d.is_zero()) else {
                return Ok(());
            };
            if self.writer.progress.stop.load(Ordering::Relaxed) {
                return Err(stopped());
            }
            std::thread::sleep(left.min(NAP));
        }
    }
}

/// As numbers of types stand in messages.
pub fn type_name(kind: u8) -> &'static str {
    match kind {
        kind::STRING => "string",
        kind::LIST | kind::LIST_ZIPLIST | kind::LIST_QUICKLIST | kind::LIST_QUICKLIST_2 => "list",
        kind::SET | kind::SET_INTSET | kind::SET_LISTPACK => "set",
        kind::ZSET | kind::ZSET_2 | kind::ZSET_ZIPLIST | kind::ZSET_LISTPACK => "zset",
        kind::STREAM_LISTPACKS | kind::STREAM_LISTPACKS_2 | kind::STREAM_LISTPACKS_3 => "stream",
        kind::MODULE_2 | kind::MODULE_PRE_GA => "module",
        _ => "hash",
    }
}
