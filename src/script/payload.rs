//! What FUNCTION DUMP gives and FUNCTION RESTORE takes: the libraries as an RDB file has them, with
//! version and checksum behind them.

use crate::base::crc::crc64;
use crate::base::lzf;

/// Version that is written; Redis 7.0 and later read it.
const VERSION: u16 = 10;
/// Newest version that is read.
const NEWEST: u16 = 13;
const OPCODE: u8 = 245;
/// Version and checksum.
const FOOTER: usize = 10;

/// The sources of libraries as one payload.
pub fn dump(sources: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    for source in sources {
        out.push(OPCODE);
        put_length(&mut out, source.len());
        out.extend_from_slice(source);
    }
    out.extend_from_slice(&VERSION.to_le_bytes());
    let crc = crc64(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    out
}

fn put_length(out: &mut Vec<u8>, len: usize) {
    match len {
        0..64 => out.push(len as u8),
        64..16_384 => out.extend_from_slice(&(len as u16 | 0x4000).to_be_bytes()),
        _ => match u32::try_from(len) {
            Ok(len) => {
                out.push(0x80);
                out.extend_from_slice(&len.to_be_bytes());
            }
            Err(_) => {
                out.push(0x81);
                out.extend_from_slice(&(len as u64).to_be_bytes());
            }
        },
    }
}

/// Why a payload is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    Checksum,
    /// Something else than libraries.
    Content,
}

/// The sources in a payload.
pub fn parse(payload: &[u8], check: bool) -> Result<Vec<Vec<u8>>, Broken> {
    let body = payload.len().checked_sub(FOOTER).ok_or(Broken::Checksum)?;
    let (content, footer) = payload.split_at(body);
    let version = u16::from_le_bytes([footer[0], footer[1]]);
    let crc = footer[2..].try_into().map(u64::from_le_bytes);
    let crc = crc.map_err(|_| Broken::Checksum)?;
    if version > NEWEST || check && crc != 0 && crc64(&payload[..body + 2]) != crc {
        return Err(Broken::Checksum);
    }
    let mut reader = Reader { rest: content };
    let mut sources = Vec::new();
    while !reader.rest.is_empty() {
        if reader.byte().ok_or(Broken::Content)? != OPCODE {
            return Err(Broken::Content);
        }
        sources.push(reader.string().ok_or(Broken::Content)?);
    }
    Ok(sources)
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(taken)
    }

    fn number(&mut self, bytes: usize) -> Option<u64> {
        let push = |n: u64, b: &u8| n << 8 | u64::from(*b);
        Some(self.take(bytes)?.iter().fold(0, push))
    }

    /// A length, or the kind of what is no plain string.
    fn length(&mut self) -> Option<Result<usize, u8>> {
        let first = self.byte()?;
        let low = u64::from(first & 0x3f);
        let len = match first >> 6 {
            0 => low,
            1 => low << 8 | self.number(1)?,
            2 if first == 0x80 => self.number(4)?,
            2 if first == 0x81 => self.number(8)?,
            3 => return Some(Err(first & 0x3f)),
            _ => return None,
        };
        usize::try_from(len).ok().map(Ok)
    }

    fn string(&mut self) -> Option<Vec<u8>> {
        match self.length()? {
            Ok(len) => self.take(len).map(<[u8]>::to_vec),
            // Compressed.
            Err(3) => {
                let packed = self.length()?.ok()?;
                let len = self.length()?.ok()?;
                let packed = self.take(packed)?;
                if len > packed.len().saturating_mul(lzf::MAX_RATIO) {
                    return None;
                }
                let mut out = Vec::new();
                lzf::decompress(packed, len, &mut out)?;
                Some(out)
            }
            // Integers are no sources.
            Err(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dumped_is_read() {
        for sources in [
            vec![],
            vec![b"#!lua name=a\n".to_vec()],
            vec![vec![b'x'; 100], vec![b'y'; 20_000], vec![b'z'; 70_000]],
        ] {
            let payload = dump(&sources);
            assert_eq!(parse(&payload, true), Ok(sources));
            for at in 0..payload.len().min(50) {
                let mut broken = payload.clone();
                broken[at] ^= 1;
                assert!(parse(&broken, true).is_err());
                // Without the checksum it is an error or something else, and no panic.
                let _ = parse(&broken, false);
                assert!(parse(&payload[..at], true).is_err());
            }
        }
    }

    #[test]
    fn compressed_sources_are_read() {
        let mut body = vec![OPCODE, 0xc3];
        let text = [b"#!lua name=a\n".as_slice(), &[b' '; 200]].concat();
        let mut packed = Vec::new();
        let fits = lzf::Lzf::default().compress(&text, 100, &mut packed);
        assert!(fits.is_some());
        put_length(&mut body, packed.len());
        put_length(&mut body, text.len());
        body.extend_from_slice(&packed);
        body.extend_from_slice(&VERSION.to_le_bytes());
        let crc = crc64(&body);
        body.extend_from_slice(&crc.to_le_bytes());
        assert_eq!(parse(&body, true), Ok(vec![text]));
    }
}
