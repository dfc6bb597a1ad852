//! Reading a whole file into fresh databases, on two threads: the caller's decodes, another one inserts.
//!
//! The actor is not concerned: whoever calls this puts the databases in their place when all of them are there. A file
//! that is damaged anywhere gives an error and nothing else.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use super::read::{Cause, Fault, Reader, Source};
use super::value::stream::ACTIVITY_AUX;
use super::value::{Decoder, module_name};
use super::{VERSION_MAX, VERSION_VALKEY, opcode};
use crate::base::hash::Seed;
use crate::base::num;
use crate::base::planted::{self, Bug};
use crate::keyspace::db::Db;
use crate::keyspace::evict::Access;
use crate::keyspace::fields;
use crate::value::Limits;
use crate::value::entry::{Entry, Head};

/// Entries that go from one thread to the other at a time.
const BATCH: usize = 512;
/// Batches that may wait between the threads.
const QUEUE: usize = 16;
/// Magic and version.
const HEADER: usize = 9;
/// The checksum stands behind the end from this version on.
pub const VERSION_CHECKSUM: u32 = 5;
/// Aux fields that are kept for the caller; more than any server writes.
const AUX_MAX: usize = 1024;

/// How far a load is, for all to see, and the wish to end it.
#[derive(Debug, Default)]
pub struct Progress {
    /// Bytes of the whole input; 0 if not known.
    pub total: AtomicU64,
    pub bytes: AtomicU64,
    pub keys: AtomicU64,
    /// What the file says that the data took in memory when it was saved.
    pub used_mem: AtomicU64,
    pub stop: AtomicBool,
    /// `key-load-delay`, in µs per key.
    pub delay_us: AtomicU64,
}

/// How to load.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Databases that this server has.
    pub databases: usize,
    pub limits: Limits,
    pub access: Access,
    /// The present time, unix ms.
    pub now_ms: i64,
    /// Keys whose time is over are dropped; a replica keeps them, because its master decides.
    pub drop_expired: bool,
    /// `rdbchecksum`: whether the checksum is looked at.
    pub checksum: bool,
}

/// What a file said beside its keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub version: u32,
    pub loaded: u64,
    pub expired: u64,
    /// Keys of values without any element, which do not exist.
    pub empty: u64,
}

/// A data set that was read.
pub struct Loaded {
    pub dbs: Vec<Db>,
    /// Aux fields: `redis-ver`, `ctime`, `repl-id`, …
    pub aux: BTreeMap<String, String>,
    /// Sources of function libraries.
    pub functions: Vec<Vec<u8>>,
    pub stats: Stats,
}

impl Loaded {
    /// An aux field that is a number.
    pub fn aux_number(&self, name: &str) -> Option<i64> {
        num::parse_i64(self.aux.get(name)?.as_bytes())
    }
}

/// Why a file could not be read, and where.
#[derive(Debug)]
pub struct LoadError {
    pub fault: Fault,
    /// The key whose value was being read.
    pub key: Option<Vec<u8>>,
    pub db: usize,
}

impl LoadError {
    /// Before the first byte.
    pub fn of_io(error: std::io::Error) -> LoadError {
        LoadError {
            fault: Fault {
                cause: Cause::Io(error),
                offset: 0,
            },
            key: None,
            db: 0,
        }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at offset {}", self.fault.cause, self.fault.offset)?;
        match &self.key {
            Some(key) => write!(f, ", key '{}' of database {}", key.escape_ascii(), self.db),
            None => Ok(()),
        }
    }
}

impl std::error::Error for LoadError {}

/// What stands between keys.
pub enum Item {
    Aux(Vec<u8>, Vec<u8>),
    Function(Vec<u8>),
    SelectDb(u64),
    /// A key's type; its head has been read.
    Key(u8),
    End,
}

/// Reads the begin of a file; returns its version.
///
/// # Errors
/// If this is no RDB file, or of a version that is not known.
pub fn read_header<S: Source>(source: &mut S) -> Result<u32, Fault> {
    let magic: [u8; HEADER] = source.array()?;
    let (digits, valkey) = match magic {
        [b'R', b'E', b'D', b'I', b'S', ..] => (&magic[5..], false),
        [b'V', b'A', b'L', b'K', b'E', b'Y', ..] => (&magic[6..], true),
        _ => return Err(source.fault(Cause::Unsupported("is not an RDB file".into()))),
    };
    let version = digits.iter().try_fold(0u32, |n, digit| {
        digit
            .is_ascii_digit()
            .then(|| n * 10 + u32::from(digit - b'0'))
    });
    match version {
        Some(version) if valkey && version == VERSION_VALKEY => Ok(version),
        Some(version) if !valkey && (1..=VERSION_MAX).contains(&version) => Ok(version),
        Some(version) => Err(source.fault(Cause::Refused(format!(
            "Can't handle RDB format version {version}"
        )))),
        None => Err(source.bad("the version is not a number")),
    }
}

/// What stands before a key's type.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyHead {
    pub expire: Option<i64>,
    pub idle_s: Option<u64>,
    pub freq: Option<u8>,
}

/// Reads up to the next thing of interest; the head of a key is left in `head`.
pub fn next_item<S: Source>(source: &mut S, head: &mut KeyHead) -> Result<Item, Fault> {
    loop {
        let code = source.byte()?;
        if code < opcode::SLOT_IMPORT {
            return Ok(Item::Key(code));
        }
        match code {
            opcode::EXPIRETIME_MS => head.expire = Some(i64::from_le_bytes(source.array()?)),
            opcode::EXPIRETIME => {
                let seconds = i64::from(i32::from_le_bytes(source.array()?));
                head.expire = Some(seconds * 1000);
            }
            opcode::IDLE => head.idle_s = Some(source.len()?),
            opcode::FREQ => head.freq = Some(source.byte()?),
            opcode::SELECTDB => return Ok(Item::SelectDb(source.len()?)),
            // Hints of sizes: tables here grow by single segments.
            opcode::RESIZEDB => {
                source.len()?;
                source.len()?;
            }
            opcode::SLOT_INFO => {
                if source.len()? >= 16_384 {
                    return Err(source.bad("there is no such slot"));
                }
                source.len()?;
                source.len()?;
            }
            opcode::SLOT_IMPORT => {
                source.skip_string()?;
                for _ in 0..source.count(2)? {
                    source.len()?;
                    source.len()?;
                }
            }
            opcode::AUX => return Ok(Item::Aux(source.string_vec()?, source.string_vec()?)),
            opcode::FUNCTION2 => return Ok(Item::Function(source.string_vec()?)),
            opcode::FUNCTION_PRE_GA => {
                let text = "Pre-release function format not supported";
                return Err(source.fault(Cause::Refused(text.into())));
            }
            opcode::MODULE_AUX => {
                let name = module_name(source.len()?);
                return Err(source.fault(Cause::Unsupported(format!(
                    "contains AUX module data I can't load: no matching module '{name}'"
                ))));
            }
            _ => return Ok(Item::End),
        }
    }
}

/// Reads the checksum behind the end and compares it.
pub fn read_checksum<R: Read>(
    reader: &mut Reader<R>,
    version: u32,
    checked: bool,
) -> Result<(), Fault> {
    if version < VERSION_CHECKSUM {
        return Ok(());
    }
    let computed = reader.checksum();
    let stored = u64::from_le_bytes(reader.array()?);
    if checked && stored != 0 && stored != computed && !planted::is(Bug::NoRdbChecksum) {
        return Err(reader.bad("RDB CRC error, the checksum does not agree with the content"));
    }
    Ok(())
}

/// A key on its way from the decoding thread to the inserting one.
struct Parcel {
    hash: u64,
    entry: Entry,
}

enum Batch {
    SelectDb(usize),
    Keys(Vec<Parcel>),
}

/// Reads a file from its first byte through its checksum. What stands behind it is left in the reader.
///
/// # Errors
/// Whatever is not as it has to be: nothing of the file is kept then.
pub fn load<R: Read>(
    reader: &mut Reader<R>,
    options: &LoadOptions,
    progress: &Progress,
) -> Result<Loaded, LoadError> {
    if !options.checksum {
        reader.without_checksum();
    }
    let (batches, queue) = sync_channel(QUEUE);
    let mut dbs: Vec<Db> = Vec::new();
    dbs.resize_with(options.databases, Db::default);
    std::thread::scope(|scope| {
        let now_ms = options.now_ms;
        let inserter = std::thread::Builder::new()
            .name("ferrite-insert".into())
            .spawn_scoped(scope, move || insert_all(dbs, &queue, now_ms))
            .map_err(LoadError::of_io)?;
        let mut loader = Loader {
            reader,
            options,
            progress,
            decoder: Decoder::new(options.limits),
            key: Vec::new(),
            parcels: Vec::with_capacity(BATCH),
            batches,
            db: 0,
            in_key: false,
            found: Found::default(),
        };
        let read = loader.run();
        let failed = read.err().map(|fault| LoadError {
            fault,
            key: loader.in_key.then(|| std::mem::take(&mut loader.key)),
            db: loader.db,
        });
        let (found, end) = (std::mem::take(&mut loader.found), loader.reader.offset());
        // The channel closes, and the other thread ends.
        drop(loader);
        let inserted = inserter.join();
        let (dbs, twin) = inserted.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        // A key that is there twice ends the other thread, and with it this one.
        match (twin, failed) {
            (Some((db, key)), _) => Err(LoadError {
                fault: Fault {
                    cause: Cause::Bad("a key is there twice".into()),
                    offset: end,
                },
                key: Some(key),
                db,
            }),
            (None, Some(error)) => Err(error),
            (None, None) => Ok(Loaded {
                dbs,
                aux: found.aux,
                functions: found.functions,
                stats: found.stats,
            }),
        }
    })
}

#[derive(Default)]
struct Found {
    aux: BTreeMap<String, String>,
    functions: Vec<Vec<u8>>,
    stats: Stats,
}

/// The decoding thread.
struct Loader<'a, R> {
    reader: &'a mut Reader<R>,
    options: &'a LoadOptions,
    progress: &'a Progress,
    decoder: Decoder,
    key: Vec<u8>,
    parcels: Vec<Parcel>,
    batches: SyncSender<Batch>,
    db: usize,
    /// The fault, should there be one now, is that of `key`.
    in_key: bool,
    found: Found,
}

impl<R: Read> Loader<'_, R> {
    fn run(&mut self) -> Result<(), Fault> {
        let version = read_header(self.reader)?;
        self.found.stats.version = version;
        let mut head = KeyHead::default();
        loop {
            match next_item(self.reader, &mut head)? {
                Item::Aux(name, value) => self.aux(&name, &value),
                Item::Function(source) => self.found.functions.push(source),
                Item::SelectDb(index) => self.select(index)?,
                Item::Key(kind) => {
                    self.key(kind, std::mem::take(&mut head))?;
                    self.in_key = false;
                }
                Item::End => break,
            }
        }
        read_checksum(self.reader, version, self.options.checksum)?;
        self.send()
    }

    fn aux(&mut self, name: &[u8], value: &[u8]) {
        if name == ACTIVITY_AUX {
            self.decoder.activity = Some(value.to_vec());
            return;
        }
        if self.found.aux.len() < AUX_MAX {
            let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
            if name == b"used-mem"
                && let Some(bytes) = num::parse_u64(value)
            {
                self.progress.used_mem.store(bytes, Ordering::Relaxed);
            }
            self.found.aux.insert(text(name), text(value));
        }
    }

    fn select(&mut self, index: u64) -> Result<(), Fault> {
        if index >= self.options.databases as u64 {
            return Err(self.reader.fault(Cause::Unsupported(format!(
                "holds keys of database {index}, but only {} databases are configured",
                self.options.databases
            ))));
        }
        self.send()?;
        self.db = index as usize;
        self.pass(Batch::SelectDb(self.db))
    }

    #[inline]
    fn key(&mut self, kind: u8, head: KeyHead) -> Result<(), Fault> {
        self.key.clear();
        let mut scratch = Vec::new();
        let key = self.reader.string(&mut scratch)?;
        key.with_bytes(|key| self.key.extend_from_slice(key));
        self.in_key = true;
        let options = self.options;
        let parts = Head {
            clock: Some(clock_of(&head, &options.access, options.now_ms)),
            expire: head.expire,
            score: None,
        };
        let entry = self.decoder.value(self.reader, kind, &self.key, parts)?;
        let stats = &mut self.found.stats;
        match entry {
            None => {
                stats.empty += 1;
                tracing::info!(
                    "rdbLoadObject skipping empty key: {}",
                    self.key.escape_ascii()
                );
            }
            // In a file with a place in a stream they stay: their end has to go into the stream.
            Some(_)
                if options.drop_expired
                    && !self.found.aux.contains_key("repl-id")
                    && is_over(head.expire, options.now_ms) =>
            {
                stats.expired += 1;
            }
            Some(entry) => {
                stats.loaded += 1;
                let hash = Seed::process().hash_bytes(&self.key);
                self.parcels.push(Parcel { hash, entry });
                if self.parcels.len() >= BATCH {
                    self.send()?;
                }
            }
        }
        let delay = self.progress.delay_us.load(Ordering::Relaxed);
        if delay > 0 {
            self.nap(delay)?;
        }
        Ok(())
    }

    /// `key-load-delay`, for tests.
    #[cold]
    fn nap(&mut self, delay_us: u64) -> Result<(), Fault> {
        std::thread::sleep(Duration::from_micros(delay_us));
        self.tell()
    }

    fn send(&mut self) -> Result<(), Fault> {
        self.tell()?;
        if self.parcels.is_empty() {
            return Ok(());
        }
        let parcels = std::mem::replace(&mut self.parcels, Vec::with_capacity(BATCH));
        self.pass(Batch::Keys(parcels))
    }

    fn pass(&self, batch: Batch) -> Result<(), Fault> {
        let sent = self.batches.send(batch);
        sent.map_err(|_| self.reader.fault(Cause::Stopped))
    }

    /// Tells how far it is, and looks whether to go on.
    fn tell(&self) -> Result<(), Fault> {
        let progress = self.progress;
        progress
            .bytes
            .store(self.reader.offset(), Ordering::Relaxed);
        let stats = &self.found.stats;
        progress
            .keys
            .store(stats.loaded + stats.expired, Ordering::Relaxed);
        if progress.stop.load(Ordering::Relaxed) {
            return Err(self.reader.fault(Cause::Stopped));
        }
        Ok(())
    }
}

fn is_over(expire: Option<i64>, now_ms: i64) -> bool {
    expire.is_some_and(|at| at < now_ms)
}

/// The access clock of a key that was saved with this head.
pub fn clock_of(head: &KeyHead, access: &Access, now_ms: i64) -> u32 {
    match (head.idle_s, head.freq) {
        (_, Some(counter)) if access.policy.is_lfu() => access.clock_of_counter(counter, now_ms),
        (Some(idle_s), _) if !access.policy.is_lfu() => {
            access.clock_of_idle(i64::try_from(idle_s).unwrap_or(i64::MAX), now_ms)
        }
        _ => access.fresh(now_ms),
    }
}

/// The inserting thread: the databases, and a key that is there twice.
fn insert_all(
    mut dbs: Vec<Db>,
    queue: &Receiver<Batch>,
    now_ms: i64,
) -> (Vec<Db>, Option<(usize, Vec<u8>)>) {
    let mut index = 0;
    for batch in queue {
        match batch {
            Batch::SelectDb(selected) => index = selected,
            Batch::Keys(parcels) => {
                if let Some(key) = insert_batch(&mut dbs[index], parcels, now_ms) {
                    return (dbs, Some((index, key)));
                }
            }
        }
    }
    (dbs, None)
}

/// Keys whose memory is asked for ahead.
const AHEAD: usize = 16;

fn insert_batch(db: &mut Db, parcels: Vec<Parcel>, now_ms: i64) -> Option<Vec<u8>> {
    let hashes: Vec<u64> = parcels.iter().map(|parcel| parcel.hash).collect();
    for hash in hashes.iter().take(AHEAD) {
        db.table.prefetch(*hash);
    }
    for (at, parcel) in parcels.into_iter().enumerate() {
        if let Some(ahead) = hashes.get(at + AHEAD) {
            db.table.prefetch(*ahead);
        }
        if db.table.get(parcel.hash, parcel.entry.key()).is_some() {
            return Some(parcel.entry.key().to_vec());
        }
        insert_new(db, parcel.hash, parcel.entry, now_ms);
    }
    None
}

/// Adds an entry to a database that does not have its key, outside of any command.
pub fn insert_new(db: &mut Db, hash: u64, mut entry: Entry, now_ms: i64) {
    let expire = entry.expire();
    if let Some(at) = expire {
        db.count_expire(None, expire);
        db.expiry.add(hash, at, now_ms);
        entry.set_hinted(true);
    }
    if let Some(at) = fields::next_expiry(&entry) {
        db.expiry.add(hash, at.saturating_add(1), now_ms);
    }
    db.table.insert_new(hash, entry, Seed::process());
}
