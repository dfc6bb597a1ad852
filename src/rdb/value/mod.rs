//! One value as bytes and back.
//!
//! [`Encoder`] writes, [`Decoder`] reads; [`encode`] and [`decode`] do the same for payloads with a footer (`DUMP`,
//! `RESTORE`). A type of value has one place in each direction: the `match` of [`kind_of`] and [`Encoder::put`], and that
//! of [`Decoder::value`].

mod decode;
mod encode;
mod legacy;
pub mod stream;
#[cfg(test)]
mod tests;

pub use decode::{Decoder, module_name};
pub use encode::{Encoder, kind_of, needs_field_expiry};

use super::read::{Bytes, Fault, Source};
use super::{VERSION_BASE, VERSION_FIELD_EXPIRY, VERSION_MAX, VERSION_VALKEY};
use crate::base::crc::crc64;
use crate::value::Limits;
use crate::value::entry::{Entry, Head};

/// Version and checksum behind a payload, in bytes.
const FOOTER: usize = 10;

/// The value of an entry as DUMP replies it.
pub fn encode(entry: &Entry, encoder: &mut Encoder) -> std::io::Result<Vec<u8>> {
    let payload = entry.payload();
    let needed = if needs_field_expiry(payload) {
        VERSION_FIELD_EXPIRY
    } else {
        VERSION_BASE
    };
    let asked = encoder.version;
    let version = asked.max(needed);
    let mut out = vec![kind_of(payload, version)];
    encoder.version = version;
    let done = encoder.put(&mut out, payload);
    encoder.version = asked;
    done?;
    out.extend_from_slice(&(version as u16).to_le_bytes());
    let crc = crc64(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    Ok(out)
}

/// Whether version and checksum of a payload are right (the latter unless `trusted`).
pub fn verify(payload: &[u8], trusted: bool) -> bool {
    let Some(body) = payload.len().checked_sub(FOOTER).filter(|body| *body > 0) else {
        return false;
    };
    let footer = &payload[body..];
    let version = u32::from(u16::from_le_bytes([footer[0], footer[1]]));
    if version > VERSION_MAX && version != VERSION_VALKEY {
        return false;
    }
    let mut sum = [0; 8];
    sum.copy_from_slice(&footer[2..]);
    trusted || crc64(&payload[..body + 2]) == u64::from_le_bytes(sum)
}

/// The value of a payload that [`verify`] accepts, under a key; `None` if it holds no element.
///
/// # Errors
/// Anything that is not exactly as it has to be.
pub fn decode(
    payload: &[u8],
    key: &[u8],
    head: Head,
    limits: Limits,
) -> Result<Option<Entry>, Fault> {
    let body = payload.len().saturating_sub(FOOTER);
    let mut source = Bytes::new(&payload[..body]);
    let kind = source.byte()?;
    let entry = Decoder::new(limits).value(&mut source, kind, key, head)?;
    if source.left() > 0 {
        return Err(source.bad("bytes behind the value"));
    }
    Ok(entry)
}
