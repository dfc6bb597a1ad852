//! HyperLogLog: an estimate of how many different elements were seen, in a string.
//!
//! The string is byte for byte that of Redis, so that files, replicas and clients that copy it with GET and SET agree:
//!
//! ```text
//! 0   "HYLL"
//! 4   encoding: 0 dense, 1 sparse
//! 5   three unused bytes
//! 8   cached cardinality, little endian; the top bit set: stale
//! 16  dense: 16,384 registers of 6 bits, from the lowest bit up
//!     sparse: runs of registers   00nnnnnn           n+1 zeros
//!                                 01nnnnnn nnnnnnnn  n+1 zeros
//!                                 1vvvvvnn           n+1 registers of value v+1
//! ```
//!
//! Anybody can write anything into a string, so nothing here trusts the bytes: what does not add up is [`Corrupted`].

use sparse::{Run, Runs};

pub mod sparse;
#[cfg(test)]
mod tests;

/// Bits of the hash that choose the register.
const INDEX_BITS: u32 = 14;
pub const REGISTERS: usize = 1 << INDEX_BITS;
/// Bits of the hash whose trailing zeros are counted.
const COUNT_BITS: usize = 64 - INDEX_BITS as usize;
const HEADER: usize = 16;
const MAGIC: &[u8; 4] = b"HYLL";
const ENCODING_AT: usize = 4;
const CARD_AT: usize = 8;
const STALE: u8 = 0x80;
const DENSE: u8 = 0;
const SPARSE: u8 = 1;
const REGISTER_MAX: u8 = 63;
/// Bytes of a dense HyperLogLog.
const DENSE_LEN: usize = HEADER + REGISTERS * 6 / 8;
/// Seed that Redis gives to its hash.
const SEED: u64 = 0xadc8_3b19;

/// The runs of a sparse HyperLogLog are not what they have to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupted;

/// Values of all registers, one byte each.
pub type Registers = [u8; REGISTERS];

/// An empty HyperLogLog.
pub fn new() -> Vec<u8> {
    let mut bytes = vec![0; HEADER];
    bytes[..4].copy_from_slice(MAGIC);
    bytes[ENCODING_AT] = SPARSE;
    Run {
        value: 0,
        len: REGISTERS,
    }
    .write(&mut bytes);
    bytes
}

/// Whether a string has the form of a HyperLogLog; a sparse one can still turn out corrupted.
pub fn is_hll(bytes: &[u8]) -> bool {
    bytes.len() >= HEADER
        && bytes.starts_with(MAGIC)
        && match bytes[ENCODING_AT] {
            DENSE => bytes.len() == DENSE_LEN,
            SPARSE => true,
            _ => false,
        }
}

pub fn is_sparse(bytes: &[u8]) -> bool {
    bytes[ENCODING_AT] == SPARSE
}

/// The cardinality that was computed last, unless registers have changed since.
pub fn cached(bytes: &[u8]) -> Option<u64> {
    let card: [u8; 8] = bytes[CARD_AT..HEADER].try_into().ok()?;
    (card[7] & STALE == 0).then(|| u64::from_le_bytes(card))
}

pub fn set_cached(bytes: &mut [u8], card: u64) {
    bytes[CARD_AT..HEADER].copy_from_slice(&card.to_le_bytes());
}

/// Marks the cached cardinality as stale.
pub fn invalidate(bytes: &mut [u8]) {
    bytes[HEADER - 1] |= STALE;
}

/// Register and value for an element.
fn place(element: &[u8]) -> (usize, u8) {
    let hash = murmur64a(element, SEED);
    let index = hash as usize & (REGISTERS - 1);
    // The extra bit ends the count where all others are zero.
    let rest = hash >> INDEX_BITS | 1 << COUNT_BITS;
    (index, rest.trailing_zeros() as u8 + 1)
}

/// Adds an element; true if a register changed. A sparse HyperLogLog that would grow beyond `sparse_max` bytes
/// becomes dense.
pub fn add(bytes: &mut Vec<u8>, element: &[u8], sparse_max: usize) -> Result<bool, Corrupted> {
    let (index, value) = place(element);
    raise(bytes, index, value, sparse_max)
}

/// Raises a register to `value`; true if it was lower.
pub fn raise(
    bytes: &mut Vec<u8>,
    index: usize,
    value: u8,
    sparse_max: usize,
) -> Result<bool, Corrupted> {
    if !is_sparse(bytes) {
        return Ok(raise_dense(&mut bytes[HEADER..], index, value));
    }
    match sparse::raise(bytes, HEADER, index, value, sparse_max)? {
        sparse::Outcome::Done(changed) => {
            if changed {
                invalidate(bytes);
            }
            Ok(changed)
        }
        sparse::Outcome::TooLarge => {
            make_dense(bytes)?;
            Ok(raise_dense(&mut bytes[HEADER..], index, value))
        }
    }
}

fn dense_get(registers: &[u8], index: usize) -> u8 {
    let (byte, shift) = (index * 6 / 8, index * 6 % 8);
    let low = u16::from(registers[byte]);
    let high = registers.get(byte + 1).map_or(0, |&b| u16::from(b));
    ((high << 8 | low) >> shift) as u8 & REGISTER_MAX
}

fn raise_dense(registers: &mut [u8], index: usize, value: u8) -> bool {
    if dense_get(registers, index) >= value {
        return false;
    }
    let (byte, shift) = (index * 6 / 8, index * 6 % 8);
    let mask = u16::from(REGISTER_MAX) << shift;
    let bits = u16::from(value) << shift;
    registers[byte] = registers[byte] & !(mask as u8) | bits as u8;
    if let Some(next) = registers.get_mut(byte + 1) {
        *next = *next & !((mask >> 8) as u8) | (bits >> 8) as u8;
    }
    true
}

/// Makes a sparse HyperLogLog dense. Its cached cardinality stays.
pub fn make_dense(bytes: &mut Vec<u8>) -> Result<(), Corrupted> {
    if !is_sparse(bytes) {
        return Ok(());
    }
    let mut dense = vec![0; DENSE_LEN];
    dense[..HEADER].copy_from_slice(&bytes[..HEADER]);
    dense[ENCODING_AT] = DENSE;
    each_run(bytes, |first, run| {
        for index in first..first + if run.value == 0 { 0 } else { run.len } {
            raise_dense(&mut dense[HEADER..], index, run.value);
        }
    })?;
    *bytes = dense;
    Ok(())
}

/// The runs of a sparse HyperLogLog as PFDEBUG DECODE shows them.
pub fn describe(bytes: &[u8]) -> String {
    sparse::describe(&bytes[HEADER..])
}

/// Calls `f` with each run of a sparse HyperLogLog and its first register. All runs together are exactly the
/// registers, or it is an error.
fn each_run(bytes: &[u8], mut f: impl FnMut(usize, Run)) -> Result<(), Corrupted> {
    let mut first = 0;
    for run in Runs::new(&bytes[HEADER..]) {
        let (_, run) = run?;
        if run.len > REGISTERS - first {
            return Err(Corrupted);
        }
        f(first, run);
        first += run.len;
    }
    if first == REGISTERS {
        Ok(())
    } else {
        Err(Corrupted)
    }
}

/// Raises `registers` to those of a HyperLogLog where these are higher.
pub fn merge(bytes: &[u8], registers: &mut Registers) -> Result<(), Corrupted> {
    if is_sparse(bytes) {
        return each_run(bytes, |first, run| {
            if run.value > 0 {
                let slots = &mut registers[first..first + run.len];
                slots
                    .iter_mut()
                    .for_each(|slot| *slot = (*slot).max(run.value));
            }
        });
    }
    // Three bytes hold four registers.
    let groups = registers
        .chunks_exact_mut(4)
        .zip(bytes[HEADER..].chunks_exact(3));
    for (slots, group) in groups {
        let bits = u32::from_le_bytes([group[0], group[1], group[2], 0]);
        for (n, slot) in slots.iter_mut().enumerate() {
            *slot = (*slot).max((bits >> (6 * n)) as u8 & REGISTER_MAX);
        }
    }
    Ok(())
}

/// Registers of a HyperLogLog.
pub fn registers(bytes: &[u8]) -> Result<Box<Registers>, Corrupted> {
    let mut registers = Box::new([0; REGISTERS]);
    merge(bytes, &mut registers)?;
    Ok(registers)
}

/// Estimates the cardinality from the bytes, without a look at the cached one.
pub fn count(bytes: &[u8]) -> Result<u64, Corrupted> {
    if !is_sparse(bytes) {
        let registers = registers(bytes)?;
        return Ok(estimate(&registers));
    }
    let mut histogram = [0; REGISTER_MAX as usize + 1];
    each_run(bytes, |_, run| {
        histogram[usize::from(run.value)] += run.len as u32
    })?;
    Ok(estimate_histogram(&histogram))
}

/// Estimates the cardinality that registers stand for.
pub fn estimate(registers: &Registers) -> u64 {
    // Four histograms, so that equal neighbours do not wait for each other.
    let mut parts = [[0u32; REGISTER_MAX as usize + 1]; 4];
    for group in registers.chunks_exact(4) {
        for (part, &value) in parts.iter_mut().zip(group) {
            part[usize::from(value & REGISTER_MAX)] += 1;
        }
    }
    let mut histogram = [0; REGISTER_MAX as usize + 1];
    for part in &parts {
        histogram
            .iter_mut()
            .zip(part)
            .for_each(|(sum, n)| *sum += n);
    }
    estimate_histogram(&histogram)
}

/// Ertl's improved raw estimator ("New cardinality estimation algorithms for HyperLogLog sketches", 2017, algorithm
/// 6), the operations in the order in which Redis does them, so that the last digit is the same.
fn estimate_histogram(histogram: &[u32; REGISTER_MAX as usize + 1]) -> u64 {
    const ALPHA_INF: f64 = 0.721_347_520_444_481_7;
    let m = REGISTERS as f64;
    let mut z = m * tau((m - f64::from(histogram[COUNT_BITS + 1])) / m);
    for &n in histogram[1..=COUNT_BITS].iter().rev() {
        z += f64::from(n);
        z *= 0.5;
    }
    z += m * sigma(f64::from(histogram[0]) / m);
    (ALPHA_INF * m * m / z).round() as u64
}

fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

/// MurmurHash64A by Austin Appleby (public domain), read as little endian everywhere.
fn murmur64a(bytes: &[u8], seed: u64) -> u64 {
    const M: u64 = 0xc6a4_a793_5bd1_e995;
    const R: u32 = 47;
    let mut hash = seed ^ (bytes.len() as u64).wrapping_mul(M);
    let (blocks, tail) = bytes.as_chunks::<8>();
    for block in blocks {
        let mut k = u64::from_le_bytes(*block).wrapping_mul(M);
        k ^= k >> R;
        k = k.wrapping_mul(M);
        hash = (hash ^ k).wrapping_mul(M);
    }
    if !tail.is_empty() {
        hash ^= tail.iter().rev().fold(0u64, |k, &b| k << 8 | u64::from(b));
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> R;
    hash = hash.wrapping_mul(M);
    hash ^ hash >> R
}

/// Tests registers and estimates, for PFSELFTEST: `Err` says what is wrong.
pub fn self_test(random: &mut impl FnMut() -> u64) -> Result<(), String> {
    let mut dense = new();
    make_dense(&mut dense).map_err(|_| "an empty HLL is corrupted")?;
    let mut expected = [0u8; REGISTERS];
    for _ in 0..REGISTERS * 2 {
        let bits = random();
        let (index, value) = (bits as usize % REGISTERS, (bits >> 32) as u8 & REGISTER_MAX);
        raise_dense(&mut dense[HEADER..], index, value);
        expected[index] = expected[index].max(value);
    }
    for (index, &value) in expected.iter().enumerate() {
        let found = dense_get(&dense[HEADER..], index);
        if found != value {
            return Err(format!("register {index} should be {value} but is {found}"));
        }
    }
    // Sparse and dense are filled alike; the error has to stay within six deviations.
    let (mut sparse, mut dense) = (new(), new());
    make_dense(&mut dense).map_err(|_| "an empty HLL is corrupted")?;
    let salt = random();
    let mut checkpoint = 1u64;
    for n in 1..=100_000u64 {
        let element = (n ^ salt).to_le_bytes();
        let added = add(&mut sparse, &element, 3000).and(add(&mut dense, &element, 0));
        added.map_err(|_| "an HLL was corrupted by adding")?;
        if n == checkpoint {
            let counts = (count(&sparse), count(&dense));
            let (Ok(a), Ok(b)) = counts else {
                return Err(format!("counting failed at {n}"));
            };
            let allowed = (6.0 * 1.04 / (REGISTERS as f64).sqrt() * n as f64).ceil() as u64 + 1;
            if a != b || a.abs_diff(n) > allowed {
                return Err(format!(
                    "{n} elements are estimated as {a} sparse and {b} dense"
                ));
            }
            checkpoint *= 10;
        }
    }
    Ok(())
}
