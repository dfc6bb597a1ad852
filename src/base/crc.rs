//! CRC-64/REDIS, the checksum of RDB files and DUMP payloads.

use crc_fast::{CrcParams, Digest};

/// Polynomial and check value of "CRC-64/Jones" as Redis computes it: reflected, from 0, without a final xor.
const POLYNOMIAL: u64 = 0xad93_d235_94c9_35a9;
const CHECK: u64 = 0xe9c6_d914_c4b8_d9ca;

fn params() -> CrcParams {
    CrcParams::new("CRC-64/REDIS", 64, POLYNOMIAL, 0, true, 0, CHECK)
}

/// A running checksum.
pub struct Crc64(Digest);

impl Default for Crc64 {
    fn default() -> Self {
        Crc64(Digest::new_with_params(params()))
    }
}

impl Crc64 {
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub fn value(&self) -> u64 {
        self.0.finalize()
    }
}

/// The checksum of some bytes.
pub fn crc64(bytes: &[u8]) -> u64 {
    let mut crc = Crc64::default();
    crc.update(bytes);
    crc.value()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_redis_own() {
        assert_eq!(crc64(b"123456789"), CHECK);
        assert_eq!(crc64(b""), 0);
        let mut parts = Crc64::default();
        parts.update(b"1234");
        parts.update(b"");
        parts.update(b"56789");
        assert_eq!(parts.value(), CHECK);
    }
}
