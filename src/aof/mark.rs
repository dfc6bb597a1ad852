//! How far the last increment is known to be on the disk: a small file beside the manifest that is overwritten about once a
//! second, so that a file that ends too early is noticed also where it ends between two units.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::frame::Chain;
use super::manifest::quoted;
use super::seal;
use super::sink::SafePoint;
use crate::base::num;
use crate::base::words;

/// The file is always this long, so that overwriting it changes no metadata.
const SIZE: usize = 512;

/// Writes the mark; it is not synced, because an older or a torn one harms nobody.
pub struct Marker {
    file: File,
}

impl Marker {
    pub fn open(path: &Path) -> io::Result<Marker> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        Ok(Marker { file })
    }

    pub fn set(&self, point: &SafePoint) -> io::Result<()> {
        self.file.write_all_at(&encode(point), 0)
    }
}

fn encode(point: &SafePoint) -> Vec<u8> {
    let chain = &point.chain;
    let mut text = format!(
        "safe {} {} {} {:016x} ",
        quoted(&point.part),
        point.len,
        chain.seq,
        chain.value
    )
    .into_bytes();
    let crc = seal::crc(&text);
    text.extend_from_slice(format!("{crc:016x}").as_bytes());
    text.resize(SIZE - 1, b' ');
    text.push(b'\n');
    text
}

/// Reads the mark; `None` if there is none or if it is torn.
pub fn read(path: &Path) -> Option<SafePoint> {
    let bytes = std::fs::read(path).ok()?;
    let text = bytes.trim_ascii();
    let at = text.len().checked_sub(16)?;
    let (content, crc) = text.split_at(at);
    if format!("{:016x}", seal::crc(content)).as_bytes() != crc {
        return None;
    }
    let words = words::split(content)?;
    let [tag, part, len, seq, value] = words.as_slice() else {
        return None;
    };
    (tag == b"safe").then_some(())?;
    Some(SafePoint {
        part: String::from_utf8(part.clone()).ok()?,
        len: num::parse_u64(len)?,
        chain: Chain {
            seq: num::parse_u64(seq)?,
            offset: 0,
            value: u64::from_str_radix(std::str::from_utf8(value).ok()?, 16).ok()?,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_read_as_set_and_not_at_all_if_damaged() {
        let path = std::env::temp_dir().join(format!("ferrite-mark-{}", std::process::id()));
        let point = SafePoint {
            part: "a b.aof.1.incr.aof".into(),
            len: 12_345,
            chain: Chain {
                seq: 77,
                offset: 0,
                value: 0xfeed,
            },
        };
        Marker::open(&path).unwrap().set(&point).unwrap();
        assert_eq!(read(&path), Some(point.clone()));
        let mut bytes = encode(&point);
        bytes[8] ^= 4;
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(read(&path), None);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(read(&path), None);
    }
}
