//! A data set as commands, for a base without a snapshot (`aof-use-rdb-preamble no`).

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::frame::Chain;
use super::resp;
use crate::base::num;
use crate::keyspace::text::Text;
use crate::rdb::snapshot::Snapshot;
use crate::rdb::value::Encoder;
use crate::rdb::write::Progress;
use crate::value::entry::Entry;
use crate::value::hash::Hash;
use crate::value::list::List;
use crate::value::set::Set;
use crate::value::zset::Zset;
use crate::value::{Collection, Type};

/// Elements of one command.
const ITEMS: usize = 64;
/// Bytes that gather before they are passed on.
const FLUSH: usize = 256 << 10;

struct Out<'w> {
    out: &'w mut dyn Write,
    chain: Chain,
    buf: Vec<u8>,
    unit: Vec<u8>,
    progress: &'w Progress,
}

impl Out<'_> {
    fn command(&mut self, words: &[&[u8]]) -> io::Result<()> {
        self.unit.clear();
        resp::write(&mut self.unit, words.iter().copied());
        // The base stands before the log's beginning: its units have no place in it.
        let offset = self.chain.offset;
        self.chain.write_frame(&mut self.buf, 0, &self.unit, offset);
        if self.buf.len() >= FLUSH {
            self.pass_on()?;
        }
        Ok(())
    }

    fn pass_on(&mut self) -> io::Result<()> {
        self.out.write_all(&self.buf)?;
        self.progress
            .bytes
            .fetch_add(self.buf.len() as u64, Ordering::Relaxed);
        self.buf.clear();
        if self.progress.stop.load(Ordering::Relaxed) {
            return Err(io::Error::new(
                io::ErrorKind::Interrupted,
                "the rewrite was given up",
            ));
        }
        Ok(())
    }

    /// `verb key item…` for all items, some at a time; `width` words belong together.
    fn many(&mut self, verb: &str, key: &[u8], items: &[Vec<u8>], width: usize) -> io::Result<()> {
        for group in items.chunks(ITEMS * width) {
            let mut words: Vec<&[u8]> = vec![verb.as_bytes(), key];
            words.extend(group.iter().map(|item| &item[..]));
            self.command(&words)?;
        }
        Ok(())
    }
}

/// Writes the data set. A delay, in µs, comes after each key.
pub fn write(
    snapshot: Arc<Snapshot>,
    out: &mut dyn Write,
    times: bool,
    progress: &Progress,
    delay_us: &AtomicU64,
) -> io::Result<()> {
    let mut out = Out {
        out,
        chain: Chain::new(0),
        buf: Vec::new(),
        unit: Vec::new(),
        progress,
    };
    let mut lead = 0;
    if times {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| d.as_secs());
        write!(out.buf, "#TS:{now}\r\n")?;
        lead = out.buf.len();
    }
    out.chain.write_begin(&mut out.buf, lead);
    for source in &snapshot.functions {
        out.command(&[b"FUNCTION", b"LOAD", source])?;
    }
    for (index, db) in snapshot.data.dbs.iter().enumerate() {
        if db.table.is_empty() {
            continue;
        }
        out.command(&[b"SELECT", index.to_string().as_bytes()])?;
        for entry in db.table.iter() {
            key(&mut out, entry)?;
            out.progress.keys.fetch_add(1, Ordering::Relaxed);
            nap(delay_us, out.progress);
        }
    }
    let chain = out.chain;
    chain.write_end(&mut out.buf, 0);
    out.pass_on()
}

fn nap(delay_us: &AtomicU64, progress: &Progress) {
    let begin = std::time::Instant::now();
    loop {
        let wanted = Duration::from_micros(delay_us.load(Ordering::Relaxed));
        let left = wanted.saturating_sub(begin.elapsed());
        if left.is_zero() || progress.stop.load(Ordering::Relaxed) {
            return;
        }
        std::thread::sleep(left.min(Duration::from_millis(5)));
    }
}

fn key(out: &mut Out<'_>, entry: &Entry) -> io::Result<()> {
    let key = entry.key();
    match entry.payload().value_type() {
        Type::String => {
            if let Some(text) = Text::of(entry.payload()) {
                out.command(&[b"SET", key, &text])?;
            }
        }
        Type::List => {
            if let Some(list) = <List as Collection>::view(entry.payload()) {
                let mut items = Vec::with_capacity(list.len());
                list.range(0, list.len(), |elem| items.push(elem.to_vec()));
                out.many("RPUSH", key, &items, 1)?;
            }
        }
        Type::Set => {
            let set = <Set as Collection>::view(entry.payload());
            let items: Vec<Vec<u8>> = set
                .iter()
                .flat_map(|set| set.iter())
                .map(|item| item.with_bytes(|b| b.to_vec()))
                .collect();
            out.many("SADD", key, &items, 1)?;
        }
        Type::Zset => {
            let zset = <Zset as Collection>::view(entry.payload());
            let mut items = Vec::new();
            for (member, score) in zset.iter().flat_map(|zset| zset.iter()) {
                let mut text = Vec::new();
                num::write_f64(&mut text, score);
                items.push(text);
                items.push(member.to_vec());
            }
            out.many("ZADD", key, &items, 2)?;
        }
        Type::Hash => hash(out, key, entry)?,
        #[allow(unreachable_patterns)]
        _ => {
            let mut encoder = Encoder::new(true, 0);
            let payload = crate::rdb::value::encode(entry, &mut encoder)?;
            out.command(&[b"RESTORE", key, b"0", &payload])?;
        }
    }
    if let Some(at) = entry.expire() {
        out.command(&[b"PEXPIREAT", key, at.to_string().as_bytes()])?;
    }
    Ok(())
}

fn hash(out: &mut Out<'_>, key: &[u8], entry: &Entry) -> io::Result<()> {
    let Some(hash) = <Hash as Collection>::view(entry.payload()) else {
        return Ok(());
    };
    let (mut items, mut timed) = (Vec::new(), Vec::new());
    for field in hash.iter() {
        let name = field.field.with_bytes(|b| b.to_vec());
        if let Some(at) = field.expire {
            timed.push((at, name.clone()));
        }
        items.push(name);
        items.push(field.value.to_vec());
    }
    out.many("HMSET", key, &items, 2)?;
    timed.sort();
    for same in timed.chunk_by(|a, b| a.0 == b.0) {
        for group in same.chunks(ITEMS) {
            let (at, count) = (group[0].0.to_string(), group.len().to_string());
            let mut words: Vec<&[u8]> = vec![
                b"HPEXPIREAT",
                key,
                at.as_bytes(),
                b"FIELDS",
                count.as_bytes(),
            ];
            words.extend(group.iter().map(|(_, name)| &name[..]));
            out.command(&words)?;
        }
    }
    Ok(())
}
