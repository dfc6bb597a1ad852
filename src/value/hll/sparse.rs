//! The sparse form: runs of registers, read and changed in place.

use super::{Corrupted, REGISTERS};

/// Longest run of zeros in one byte, and of a value.
const ZERO_MAX: usize = 64;
const VALUE_RUN_MAX: usize = 4;
/// Greatest value that a run can have.
const VALUE_MAX: u8 = 32;
/// Runs that are looked at for neighbours of equal value after a change.
const MERGE_RUNS: usize = 5;

/// Registers of the same value, one after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    pub value: u8,
    pub len: usize,
}

impl Run {
    /// Reads the run at the beginning of `bytes`, with the number of its bytes.
    fn read(bytes: &[u8]) -> Result<(Run, usize), Corrupted> {
        let &first = bytes.first().ok_or(Corrupted)?;
        if first & 0x80 != 0 {
            let (value, len) = ((first >> 2 & 0x1f) + 1, usize::from(first & 3) + 1);
            return Ok((Run { value, len }, 1));
        }
        let high = usize::from(first & 0x3f);
        if first & 0x40 == 0 {
            return Ok((
                Run {
                    value: 0,
                    len: high + 1,
                },
                1,
            ));
        }
        let &low = bytes.get(1).ok_or(Corrupted)?;
        Ok((
            Run {
                value: 0,
                len: (high << 8 | usize::from(low)) + 1,
            },
            2,
        ))
    }

    /// Appends the run, in its shortest form.
    pub fn write(self, out: &mut impl Extend<u8>) {
        let len = self.len - 1;
        if self.value > 0 {
            out.extend([0x80 | (self.value - 1) << 2 | len as u8]);
        } else if self.len <= ZERO_MAX {
            out.extend([len as u8]);
        } else {
            out.extend([0x40 | (len >> 8) as u8, len as u8]);
        }
    }
}

/// The runs one after another, with the number of bytes of each. Ends after an error.
pub struct Runs<'a> {
    bytes: &'a [u8],
}

impl<'a> Runs<'a> {
    pub fn new(bytes: &'a [u8]) -> Runs<'a> {
        Runs { bytes }
    }
}

impl Iterator for Runs<'_> {
    type Item = Result<(usize, Run), Corrupted>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.bytes.is_empty() {
            return None;
        }
        match Run::read(self.bytes) {
            Ok((run, size)) => {
                self.bytes = &self.bytes[size..];
                Some(Ok((size, run)))
            }
            Err(error) => {
                self.bytes = &[];
                Some(Err(error))
            }
        }
    }
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Whether the register was lower.
    Done(bool),
    /// It has to become dense first.
    TooLarge,
}

/// Where the run of a register is.
struct Found {
    /// Position of the run before, if there is one.
    prev: Option<usize>,
    at: usize,
    size: usize,
    run: Run,
    /// First register of the run.
    first: usize,
}

fn find(bytes: &[u8], start: usize, index: usize) -> Result<Found, Corrupted> {
    let (mut at, mut first, mut prev) = (start, 0, None);
    for run in Runs::new(&bytes[start..]) {
        let (size, run) = run?;
        if index < first + run.len {
            return Ok(Found {
                prev,
                at,
                size,
                run,
                first,
            });
        }
        prev = Some(at);
        at += size;
        first += run.len;
        if first > REGISTERS {
            return Err(Corrupted);
        }
    }
    Err(Corrupted)
}

/// Raises register `index` to `value`; the runs begin at `start`. The string is split and merged exactly as Redis does
/// it, because others compare the bytes.
pub fn raise(
    bytes: &mut Vec<u8>,
    start: usize,
    index: usize,
    value: u8,
    max_bytes: usize,
) -> Result<Outcome, Corrupted> {
    if value > VALUE_MAX {
        return Ok(Outcome::TooLarge);
    }
    let found = find(bytes, start, index)?;
    let run = found.run;
    if run.value >= value {
        return Ok(Outcome::Done(false));
    }
    let mut pieces = Pieces::default();
    let (before, after) = (index - found.first, found.first + run.len - 1 - index);
    for (value, len) in [(run.value, before), (value, 1), (run.value, after)] {
        if len > 0 {
            Run { value, len }.write(&mut pieces);
        }
    }
    let pieces = pieces.bytes();
    if pieces.len() > found.size && bytes.len() + pieces.len() - found.size > max_bytes {
        return Ok(Outcome::TooLarge);
    }
    bytes.splice(found.at..found.at + found.size, pieces.iter().copied());
    merge_equal(bytes, found.prev.unwrap_or(start));
    Ok(Outcome::Done(true))
}

/// The bytes of at most three runs.
#[derive(Default)]
struct Pieces {
    bytes: [u8; 6],
    len: usize,
}

impl Pieces {
    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Extend<u8> for Pieces {
    fn extend<T: IntoIterator<Item = u8>>(&mut self, bytes: T) {
        for byte in bytes {
            self.bytes[self.len] = byte;
            self.len += 1;
        }
    }
}

/// Joins neighbouring runs of the same value among the few runs from `at` on.
fn merge_equal(bytes: &mut Vec<u8>, mut at: usize) {
    for _ in 0..MERGE_RUNS {
        let Some(Ok((run, size))) = bytes.get(at..).map(Run::read) else {
            return;
        };
        if run.value > 0
            && let Ok((next, 1)) = Run::read(&bytes[at + 1..])
            && next.value == run.value
            && run.len + next.len <= VALUE_RUN_MAX
        {
            bytes[at] += next.len as u8;
            bytes.remove(at + 1);
            // The joined run may fit the next one as well.
            continue;
        }
        at += size;
    }
}

/// The runs as PFDEBUG DECODE shows them.
pub fn describe(bytes: &[u8]) -> String {
    let mut text = String::new();
    for run in Runs::new(bytes) {
        let Ok((size, run)) = run else {
            break;
        };
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(&match (run.value, size) {
            (0, 1) => format!("z:{}", run.len),
            (0, _) => format!("Z:{}", run.len),
            (value, _) => format!("v:{value},{}", run.len),
        });
    }
    text
}
