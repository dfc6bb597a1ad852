//! Reading a data set back from the append-only file.
//!
//! It happens beside the actor: a server of its own, without clients, runs the commands on the loading thread; when all of
//! it is there the actor takes the databases over. So the actor answers meanwhile, and a load that fails has changed
//! nothing.

mod ends;

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crc64fast::Digest;
use ends::Pending;

use super::dir::{Dir, Place};
use super::frame::Chain;
use super::manifest::{Kind, Part};
use super::mark;
use super::read::{Item, Reader};
use super::resp::{self, Words};
use super::sink::{Resume, SafePoint};
use crate::base::planted::{self, Bug};
use crate::config::{Config, Settings};
use crate::dispatch::client::{Client, ClientFlags};
use crate::dispatch::server::Server;
use crate::keyspace::Judge;
use crate::keyspace::db::Db;
use crate::net::conn::Conn;
use crate::rdb;
use crate::rdb::load::{LoadOptions, Progress};
use crate::resp::reply::Reply;
use crate::resp::request::Batch;

/// Commands between two looks at the wish to stop.
const LOOK_EVERY: u64 = 1024;

/// Everything that a load depends on.
pub struct Request {
    pub settings: Box<Settings>,
    pub renamed: Vec<crate::config::load::FileLine>,
    pub rdb: LoadOptions,
    pub progress: Arc<Progress>,
    /// The end of the last file may be cut off. Off for a second reading of files that are being written.
    pub may_cut: bool,
}

/// What was read.
pub struct Loaded {
    pub dbs: Vec<Db>,
    /// Sources of the function libraries.
    pub functions: Vec<Vec<u8>>,
    pub dir: Dir,
    /// Where to go on in the last increment.
    pub resume: Resume,
    /// The place in a replication stream where all of it stands: history, offset, selected database.
    pub place: Option<(String, u64, usize)>,
    pub commands: u64,
    pub base: Option<rdb::load::Stats>,
}

/// Why a load stopped.
#[derive(Debug)]
pub struct Refused(pub String);

impl From<String> for Refused {
    fn from(text: String) -> Refused {
        Refused(text)
    }
}

/// Looks what is there and reads it. `None`: there is no append-only file at all.
///
/// # Errors
/// What is there cannot be read in whole, in words for the log.
pub fn load(place: Place, request: &Request) -> Result<Option<Loaded>, Refused> {
    let Some(dir) = find(place, request.settings.aof_ignore_orphans)? else {
        return Ok(None);
    };
    let mut loader = Loader::new(dir, request);
    loader.run()?;
    loader.finish().map(Some)
}

/// The directory, if there is an append-only file. The single file of an older Redis is taken into it.
fn find(place: Place, ignore_orphans: bool) -> Result<Option<Dir>, Refused> {
    let failed = |e: io::Error| format!("Can't take the old AOF file into its directory: {e}");
    if let Some(mut dir) = Dir::read(place.clone())? {
        if dir.upgrade_was_interrupted() {
            dir.upgrade().map_err(failed)?;
        }
        return Ok(Some(dir));
    }
    clear_unfinished(&place);
    let orphans = place.parts_on_disk();
    let ignore_orphans = ignore_orphans || planted::is(Bug::EmptyStart);
    if !orphans.is_empty() && !ignore_orphans {
        return Err(Refused(format!(
            "There are AOF files in {} but no manifest: {}. Starting would mean to start without their data. Restore {}, or move the files away, or start with 'aof-ignore-orphans yes' to leave them where they are and begin anew.",
            place.dir.display(),
            orphans.join(", "),
            place.manifest().display()
        )));
    }
    if place.legacy().is_file() {
        let mut dir = Dir::empty(place);
        dir.upgrade().map_err(failed)?;
        return Ok(Some(dir));
    }
    Ok(None)
}

/// A crash during the first start leaves parts that no manifest names and that hold nothing: they go.
fn clear_unfinished(place: &Place) {
    /// A snapshot without keys is shorter than this.
    const EMPTY_BASE_MAX: u64 = 256;
    let parts = place.parts_on_disk();
    let holds_nothing = |name: &String| {
        let path = place.dir.join(name);
        let len = std::fs::metadata(&path).map_or(u64::MAX, |meta| meta.len());
        let begin = std::fs::read(&path).map(|bytes| memchr::memmem::find(&bytes, b"*").is_some());
        if name.contains(".incr.") {
            len == 0
        } else if name.ends_with(".rdb") {
            len < EMPTY_BASE_MAX && rdb_is_empty(&path)
        } else {
            len < EMPTY_BASE_MAX && begin.is_ok_and(|commands| !commands)
        }
    };
    if !parts.is_empty() && parts.iter().all(holds_nothing) {
        tracing::info!(
            "Removing what an interrupted first start has left: {}",
            parts.join(", ")
        );
        for name in parts {
            let _ = std::fs::remove_file(place.dir.join(name));
        }
    }
}

fn rdb_is_empty(path: &Path) -> bool {
    let Ok(bytes) = std::fs::read(path) else {
        return false;
    };
    let options = LoadOptions {
        databases: usize::from(u16::MAX),
        limits: crate::value::Limits::default(),
        access: crate::keyspace::evict::Access::default(),
        now_ms: 0,
        drop_expired: false,
        checksum: true,
    };
    let mut reader = rdb::read::Reader::new(&bytes[..], Some(bytes.len() as u64));
    rdb::load::load(&mut reader, &options, &Progress::default())
        .is_ok_and(|loaded| loaded.stats.loaded == 0 && loaded.functions.is_empty())
}

struct Loader<'a> {
    request: &'a Request,
    dir: Dir,
    server: Server,
    client: Client,
    batch: Batch,
    chain: Option<Chain>,
    /// How far the last increment is known to be on the disk.
    mark: Option<SafePoint>,
    resume: Resume,
    /// The replication history that was noted last, and the offset that is behind the last unit.
    history: Option<String>,
    offset: Option<u64>,
    commands: u64,
    base: Option<rdb::load::Stats>,
    /// Bytes of parts that are done.
    done: u64,
    pending: Option<Pending>,
    /// The last unit that the base holds, until an increment has said more.
    last_before: Option<u64>,
    /// The increment before the present part, and the parts behind it.
    before: Option<Part>,
    later: Vec<Part>,
    /// The rest was given up.
    left: bool,
}

impl<'a> Loader<'a> {
    fn new(dir: Dir, request: &'a Request) -> Loader<'a> {
        let mut config = Config::default();
        config.adjust(|settings| {
            *settings = (*request.settings).clone();
            // What is flushed here was over long ago.
            settings.undo_window = 0;
            settings.track_prefix.0.clear();
        });
        config.renamed_commands = request.renamed.clone();
        let mut server = Server::new(config);
        server.ks.judge = Judge::Keep;
        server.ks.active_expire = false;
        server.tick();
        let conn = Conn::new(0, String::new(), String::new(), false, 0, true);
        let client = Client::new(Arc::new(conn), 0, ClientFlags::AUTHENTICATED);
        let mark = mark::read(&dir.place.mark());
        Loader {
            request,
            dir,
            server,
            client,
            batch: Batch::default(),
            chain: None,
            mark,
            resume: Resume::default(),
            history: None,
            offset: None,
            commands: 0,
            base: None,
            done: 0,
            pending: None,
            last_before: None,
            before: None,
            later: Vec::new(),
            left: false,
        }
    }

    fn run(&mut self) -> Result<(), Refused> {
        let parts: Vec<Part> = self.dir.manifest.live().cloned().collect();
        self.request
            .progress
            .total
            .store(self.dir.size(), Ordering::Relaxed);
        for (at, part) in parts.iter().enumerate() {
            self.later = parts[at + 1..].to_vec();
            self.part(part)?;
            if self.left {
                return Ok(());
            }
            if part.kind == Kind::Base {
                self.last_before = self.dir.last_unit_in(&part.name);
            }
            self.before = (part.kind == Kind::Incr).then(|| part.clone());
        }
        match self.pending.take() {
            Some(pending) => self.leave(pending),
            None => Ok(()),
        }
    }

    fn finish(self) -> Result<Loaded, Refused> {
        let db = self.client.db;
        let place = self.history.zip(self.offset);
        Ok(Loaded {
            place: place.map(|(id, offset)| (id, offset, db)),
            functions: self.server.core.function_sources(),
            dbs: self.server.ks.dbs,
            dir: self.dir,
            resume: self.resume,
            commands: self.commands,
            base: self.base,
        })
    }

    fn open(&self, part: &Part) -> Result<(File, u64), Refused> {
        let path = self.dir.place.part(part);
        let opened = File::open(&path).and_then(|file| {
            let len = file.metadata()?.len();
            Ok((file, len))
        });
        opened.map_err(|e| {
            Refused(format!(
                "Fatal error: can't open the append log file {} for reading: {e}. It is named in {}",
                part.name,
                self.dir.place.manifest().display()
            ))
        })
    }

    fn part(&mut self, part: &Part) -> Result<(), Refused> {
        let (file, len) = self.open(part)?;
        // Of another server's file of that name nothing was noted; a snapshot knows its own end.
        let ours = is_ours(&self.dir.place.part(part));
        let sum = self.dir.sum(&part.name).filter(|_| ours);
        if let Some(sum) = sum.filter(|sum| sum.len > len) {
            return Err(Refused(format!(
                "The AOF file {} is {len} bytes long, and it was {} when it was complete. What is missing cannot be restored from it; 'ferrite check-aof' shows what is there.",
                part.name, sum.len
            )));
        }
        if !ours
            && self
                .mark
                .as_ref()
                .is_some_and(|mark| mark.part == part.name)
        {
            self.mark = None;
        }
        let (file, begin) = self.preamble(part, file, len)?;
        if begin < len || len == 0 || part.kind == Kind::Incr {
            self.commands_of(part, file, begin, len)?;
        }
        self.done += len;
        self.request
            .progress
            .bytes
            .store(self.done, Ordering::Relaxed);
        Ok(())
    }

    /// Loads the snapshot that the file may begin with; returns the file where the rest begins.
    fn preamble(&mut self, part: &Part, mut file: File, len: u64) -> Result<(File, u64), Refused> {
        let cannot = |e: io::Error| Refused(format!("Can't read the AOF file {}: {e}", part.name));
        let mut magic = [0u8; 6];
        let short = file.read_exact(&mut magic).is_err();
        file.seek(SeekFrom::Start(0)).map_err(cannot)?;
        if short || !(magic.starts_with(b"REDIS") || &magic == b"VALKEY") {
            return Ok((file, 0));
        }
        let mut sum = Summed {
            file: &mut file,
            digest: Digest::new(),
        };
        let mut reader = rdb::read::Reader::new(&mut sum, Some(len));
        let loaded = rdb::load::load(&mut reader, &self.request.rdb, &self.request.progress).map_err(|e| {
            Refused(format!(
                "Bad file format reading the append only file {}: the snapshot in it {e}. Nothing was loaded; 'ferrite check-rdb {}' shows the damage.",
                part.name,
                self.dir.place.part(part).display()
            ))
        })?;
        use rdb::read::Source;
        let end = reader.offset();
        drop(reader);
        // Whole files were noted; the snapshot's own checksum may be switched off.
        if end == len
            && let Some(known) = self.dir.sum(&part.name)
            && known.len == len
            && known.crc != sum.digest.sum64()
        {
            return Err(Refused(format!(
                "Bad file format reading the append only file {}: its bytes are not those that were written (checksum {:016x}, written {:016x}). 'ferrite check-rdb {}' may show where.",
                part.name,
                sum.digest.sum64(),
                known.crc,
                self.dir.place.part(part).display()
            )));
        }
        let number = |name| loaded.aux_number(name);
        self.history = loaded
            .aux
            .get("repl-id")
            .filter(|id| id.len() == 40)
            .cloned();
        self.offset = number("repl-offset").and_then(|n| u64::try_from(n).ok());
        let db = number("repl-stream-db").and_then(|n| usize::try_from(n).ok());
        self.client.db = db.filter(|db| *db < loaded.dbs.len()).unwrap_or(0);
        self.server.ks.dbs = loaded.dbs;
        // What follows may change them.
        self.server.core.replace_functions(loaded.functions);
        self.base = Some(loaded.stats);
        self.request
            .progress
            .total
            .store(self.dir.size(), Ordering::Relaxed);
        file.seek(SeekFrom::Start(end)).map_err(cannot)?;
        Ok((file, end))
    }

    fn commands_of(
        &mut self,
        part: &Part,
        file: File,
        begin: u64,
        len: u64,
    ) -> Result<(), Refused> {
        let mut reader = Reader::new(BufReader::with_capacity(1 << 20, file), len, self.chain)
            .follows(self.last_before)
            .begins_at(begin);
        loop {
            let item = match reader.next_item() {
                Ok(item) => item,
                Err(fault) => return self.stopped(part, &reader, fault),
            };
            if !matches!(
                item,
                Some(Item::Begin(_) | Item::Time(_) | Item::History(_))
            ) && let Some(pending) = self.pending.take()
            {
                // What is behind the fault was not written again.
                return self.leave(pending);
            }
            if matches!(item, Some(Item::Begin(_)))
                && let Some(pending) = self.pending.take()
            {
                tracing::info!(
                    "The damaged end of {} was written again in {}: nothing is missing",
                    pending.part.name,
                    part.name
                );
            }
            match item {
                None => break,
                Some(Item::Unit { from, framed, .. }) => {
                    self.unit(part, &reader, from)?;
                    if framed {
                        self.offset = reader.chain().map(|chain| chain.offset);
                    } else {
                        // Another server went on here: its changes are in no stream.
                        (self.history, self.offset) = (None, None);
                    }
                }
                Some(Item::History(id)) => self.history = Some(id),
                Some(Item::Time(_) | Item::Begin(_) | Item::End(_)) => {}
            }
        }
        self.is_complete(part, &reader)?;
        // A base is a history of its own.
        self.chain = if part.kind == Kind::Base {
            None
        } else {
            reader.carry()
        };
        if part.kind == Kind::Incr && reader.good() > 0 {
            self.last_before = None;
        }
        self.note_resume(&reader, begin, len);
        Ok(())
    }

    /// A chain of its own, behind what the base holds.
    fn fresh_chain(&self) -> Chain {
        Chain {
            seq: self.last_before.unwrap_or(0),
            ..Chain::new(0)
        }
    }

    fn note_resume<R: Read>(&mut self, reader: &Reader<R>, begin: u64, len: u64) {
        let fresh = self.fresh_chain();
        let chain = reader.chain().unwrap_or(fresh);
        // Behind units of another server the chain begins anew.
        let value = if reader.carry().is_some() {
            chain.value
        } else {
            fresh.value
        };
        self.resume = Resume {
            len,
            chain: Chain { value, ..chain },
            // Of a part with a snapshot not every byte has passed the reader.
            digest: if begin == 0 {
                reader.digest()
            } else {
                Digest::new()
            },
        };
    }

    fn unit<R: Read>(&mut self, part: &Part, reader: &Reader<R>, from: u64) -> Result<(), Refused> {
        let Some(commands) = resp::commands(reader.bytes()) else {
            return Err(Refused(format!(
                "Bad file format reading the append only file {}, at offset {from}: the checksum is right, but these are no commands",
                part.name
            )));
        };
        for words in &commands {
            if resp::is(words, "multi") || resp::is(words, "exec") {
                // A unit is whole; there is nothing to wait for.
                continue;
            }
            self.command(part, words, from)?;
        }
        self.commands += commands.len() as u64;
        if self.commands % LOOK_EVERY < commands.len() as u64 {
            let progress = &self.request.progress;
            progress
                .bytes
                .store(self.done + reader.good(), Ordering::Relaxed);
            if progress.stop.load(Ordering::Relaxed) {
                return Err(Refused("The load was given up".into()));
            }
        }
        Ok(())
    }

    fn command(&mut self, part: &Part, words: &Words<'_>, from: u64) -> Result<(), Refused> {
        self.batch.clear();
        self.batch.append_words(words.iter().copied());
        let args = self.batch.args(0);
        let Ok(command) = self
            .server
            .core
            .commands
            .find(&args)
            .or_else(|_| original(&args))
        else {
            return Err(Refused(format!(
                "Unknown command '{}' reading the append only file {}, at offset {from}",
                words[0].escape_ascii(),
                part.name
            )));
        };
        let mut out = Reply::new();
        if command.spec.arity_ok(args.len()) && command.spec.has_handler() {
            self.server
                .runner()
                .nested(&mut self.client, &mut out, command, args);
        } else {
            out.error(crate::command::error::Error::arity(&command.full_name).as_bytes());
        }
        self.server.ks.log.end_unit(false);
        let (_, reply) = out.take();
        if reply.starts_with(b"-") {
            return Err(Refused(format!(
                "A command of the append only file {} failed, at offset {from}: '{}' on '{}' said {}. What follows would not be what it was; nothing was loaded.",
                part.name,
                words[0].escape_ascii(),
                words
                    .get(1)
                    .map_or(String::new(), |key| key.escape_ascii().to_string()),
                reply.trim_ascii().escape_ascii()
            )));
        }
        Ok(())
    }
}

/// Whether the file is one that we wrote, or nothing at all.
fn is_ours(path: &Path) -> bool {
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(256).read_to_end(&mut head));
    read.is_ok() && (head.is_empty() || memchr::memmem::find(&head, b"#F:begin:").is_some())
}

/// A command by its own name, where `rename-command` gave it another: what the server logs by itself has that name.
fn original(
    args: &crate::command::args::Args<'_>,
) -> Result<&'static crate::command::registry::Command, ()> {
    crate::command::registry::Names::default()
        .find(args)
        .map_err(|_| ())
}

/// Counts a checksum on the way.
struct Summed<'f> {
    file: &'f mut File,
    digest: Digest,
}

impl Read for Summed<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let got = self.file.read(buf)?;
        self.digest.write(&buf[..got]);
        Ok(got)
    }
}

/// The checksum of a whole file.
pub fn digest_of(path: &Path) -> io::Result<Digest> {
    let mut file = File::open(path)?;
    let mut digest = Digest::new();
    let mut buf = vec![0; 1 << 20];
    loop {
        let got = file.read(&mut buf)?;
        if got == 0 {
            return Ok(digest);
        }
        digest.write(&buf[..got]);
    }
}
