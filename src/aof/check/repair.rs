//! Files written anew without what is damaged, or without what came too late.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::{Done, Found, cut, failed, preamble_of, stop};
use crate::aof::frame::Chain;
use crate::aof::read::{Item, Reader};
use crate::aof::resp;
use crate::aof::seal::Sum;
use crate::base::atomic_replace::rename_into_place;

/// Writes the good units of a file into a new one, in a chain that goes on, and puts it in the place of the old one,
/// which is kept as `.damaged`.
pub(super) fn rebuild(path: &Path, found: &Found, chain: &mut Chain) -> io::Result<Sum> {
    let mut source = File::open(path)?;
    let temp = path.with_extension("repair");
    let mut out = Vec::new();
    if found.preamble > 0 {
        out.resize(
            usize::try_from(found.preamble).map_err(io::Error::other)?,
            0,
        );
        source.read_exact(&mut out)?;
    }
    chain.write_begin(&mut out, 0);
    let mut file = File::create(&temp)?;
    let mut digest = crc64fast::Digest::new();
    let mut len = 0u64;
    let mut pass_on = |out: &mut Vec<u8>| -> io::Result<()> {
        file.write_all(out)?;
        digest.write(out);
        len += out.len() as u64;
        out.clear();
        Ok(())
    };
    let mut lead = Vec::new();
    for (from, end) in &found.good {
        source.seek(SeekFrom::Start(*from))?;
        let mut reader =
            Reader::new(BufReader::new(source.try_clone()?), *end, None).begins_at(*from);
        reader.accept_gap();
        while let Some(item) = reader
            .next_item()
            .map_err(|fault| io::Error::other(fault.to_string()))?
        {
            if let Item::Time(seconds) = item {
                lead = format!("#TS:{seconds}\r\n").into_bytes();
            }
            if matches!(item, Item::Unit { .. }) {
                let offset = chain.offset + reader.bytes().len() as u64;
                let unit = without_comments(reader.bytes());
                out.extend_from_slice(&lead);
                chain.write_frame(&mut out, lead.len(), &unit, offset);
                lead.clear();
                if out.len() > 1 << 20 {
                    pass_on(&mut out)?;
                }
            }
        }
    }
    chain.write_end(&mut out, 0);
    pass_on(&mut out)?;
    file.sync_all()?;
    let kept = PathBuf::from(format!("{}.damaged", path.display()));
    let _ = fs::remove_file(&kept);
    fs::hard_link(path, &kept)?;
    rename_into_place(&temp, path)?;
    Ok(Sum {
        len,
        crc: digest.sum64(),
    })
}

/// Annotations of other servers within a transaction have no place inside a frame.
fn without_comments(unit: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(unit.len());
    for words in resp::commands(unit).unwrap_or_default() {
        resp::write(&mut out, words.iter().copied());
    }
    out
}

/// Cuts a file so that nothing later than `time` is in it.
pub(super) fn truncate_to(path: &Path, name: &str, time: i64, last: bool) -> Done<()> {
    let opened = File::open(path).and_then(|file| Ok((file.metadata()?.len(), file)));
    let Ok((len, mut file)) = opened else {
        return stop(format_args!("Cannot open file {name}, aborting..."));
    };
    let begin = match preamble_of(path, &mut file, len) {
        Ok(end) => end,
        Err(text) => return stop(text),
    };
    let _ = file.seek(SeekFrom::Start(begin));
    let mut reader = Reader::new(BufReader::new(file), len, None).begins_at(begin);
    loop {
        let before = reader.good();
        match reader.next_item() {
            Ok(None) => {
                println!("Truncate nothing in AOF {name} to timestamp {time}");
                return Ok(());
            }
            Ok(Some(Item::Time(seconds))) if seconds > time => {
                if before == 0 {
                    return stop(format_args!(
                        "AOF {name} has nothing before timestamp {time}, aborting..."
                    ));
                }
                if !last {
                    return stop(format_args!(
                        "Failed to truncate AOF {name} to timestamp {time} to offset {before} because it is not the last file."
                    ));
                }
                return match cut(path, before) {
                    Ok(()) => {
                        println!("Successfully truncated AOF {name} to timestamp {time}");
                        Ok(())
                    }
                    Err(error) => failed(name, &error),
                };
            }
            Ok(Some(_)) => {}
            Err(fault) => {
                return stop(format_args!(
                    "{name} {fault}. Repair it with --fix first, aborting..."
                ));
            }
        }
    }
}
