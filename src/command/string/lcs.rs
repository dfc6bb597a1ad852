//! LCS: the longest common subsequence of two strings.
//!
//! The table of the dynamic program is kept as bits. Going from one row to the next, the lengths `L(i, j)` grow by 0
//! or 1 from column to column, so that a row is a bit vector, and 64 columns are computed at once by addition (Hyyrö
//! 2004): a 0 bit at column j says `L(i, j) = L(i, j-1) + 1`. The rows together tell the way back: where the two bytes
//! differ and the bit is 0, the length came from the row above, otherwise from the column to the left.

use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::keyspace::{Keys, Text};
use crate::resp::reply::Aggregate;

const NOT_STRINGS: Error = Error::new("ERR The specified keys must contain string values");
const BOTH: Error = Error::new("ERR If you want both the length and indexes, please just use IDX.");
const TOO_LARGE: Error =
    Error::new("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len");

#[derive(Default)]
struct Options {
    len: bool,
    idx: bool,
    min_match_len: usize,
    with_match_len: bool,
}

impl Options {
    fn read(ctx: &Ctx<'_>) -> Result<Options, Error> {
        let mut options = Options::default();
        let mut rest = ctx.args.cursor(3);
        while !rest.done() {
            if rest.word("LEN") {
                options.len = true;
            } else if rest.word("IDX") {
                options.idx = true;
            } else if rest.word("WITHMATCHLEN") {
                options.with_match_len = true;
            } else if rest.word("MINMATCHLEN") {
                // A negative one is as good as none.
                options.min_match_len = usize::try_from(rest.int()?).unwrap_or(0);
            } else {
                return Err(Error::SYNTAX);
            }
        }
        if options.len && options.idx {
            return Err(BOTH);
        }
        Ok(options)
    }
}

/// `LCS key1 key2 [LEN] [IDX] [MINMATCHLEN len] [WITHMATCHLEN]`
pub(super) fn lcs(ctx: &mut Ctx<'_>) -> Outcome {
    let (key_a, key_b) = (ctx.args.get(1), ctx.args.get(2));
    for key in [key_a, key_b] {
        let entry = ctx.db.read(key);
        if entry.is_some_and(|entry| Text::of(entry.payload()).is_none()) {
            return Err(NOT_STRINGS);
        }
    }
    let options = Options::read(ctx)?;
    let limit = ctx.db.limits().string_bytes;
    let (a, b) = (text(&ctx.db, key_a), text(&ctx.db, key_b));
    // The measure is that of Redis, a table of 32-bit lengths, though ours is smaller: what is refused there is
    // refused here, and no request can hold the server for long.
    let cells = (a.len() as u128 + 1) * (b.len() as u128 + 1);
    if cells * 4 > limit as u128 {
        return Err(TOO_LARGE);
    }
    if options.len {
        ctx.out.count(length(&a, &b));
        return Ok(());
    }
    let matches = Matches::find(&a, &b);
    if !options.idx {
        let mut common = Vec::with_capacity(matches.len);
        for run in matches.runs.iter().rev() {
            common.extend_from_slice(&a[run.a..run.a + run.len]);
        }
        ctx.out.bulk(&common);
        return Ok(());
    }
    let out = &mut *ctx.out;
    out.map(2);
    out.bulk(b"matches");
    let mark = out.defer();
    let mut shown = 0;
    for run in matches
        .runs
        .iter()
        .filter(|run| run.len >= options.min_match_len)
    {
        out.array(2 + usize::from(options.with_match_len));
        for start in [run.a, run.b] {
            out.array(2);
            out.count(start);
            out.count(start + run.len - 1);
        }
        if options.with_match_len {
            out.count(run.len);
        }
        shown += 1;
    }
    out.finish(mark, Aggregate::Array, shown);
    out.bulk(b"len");
    out.count(matches.len);
    Ok(())
}

/// The string of a key that is absent or a string.
fn text<'a>(db: &'a Keys<'_>, key: &[u8]) -> Text<'a> {
    db.peek(key)
        .and_then(|entry| Text::of(entry.payload()))
        .unwrap_or(Text::Bytes(b""))
}

/// For each byte value of the first string, the columns where the second string has it.
struct Columns {
    bits: Vec<u64>,
    words: usize,
    /// Which part of `bits` belongs to a byte value. Values that the first string has not need none.
    index: [usize; 256],
}

impl Columns {
    fn new(a: &[u8], b: &[u8]) -> Columns {
        let words = b.len().div_ceil(64);
        let mut index = [usize::MAX; 256];
        let mut values = 0;
        for &byte in a {
            let slot = &mut index[usize::from(byte)];
            if *slot == usize::MAX {
                *slot = values;
                values += 1;
            }
        }
        let mut bits = vec![0; words * values];
        for (column, &byte) in b.iter().enumerate() {
            let slot = index[usize::from(byte)];
            if slot != usize::MAX {
                bits[slot * words + column / 64] |= 1 << (column % 64);
            }
        }
        Columns { bits, words, index }
    }

    fn of(&self, byte: u8) -> &[u64] {
        let start = self.index[usize::from(byte)] * self.words;
        &self.bits[start..start + self.words]
    }

    /// The row below `row`, for one more byte of the first string.
    fn step(&self, byte: u8, row: &mut [u64]) {
        let mut carry = false;
        for (word, &hits) in row.iter_mut().zip(self.of(byte)) {
            let common = *word & hits;
            let (sum, over) = word.overflowing_add(common);
            let (sum, over_carry) = sum.overflowing_add(u64::from(carry));
            carry = over || over_carry;
            *word = sum | (*word - common);
        }
    }
}

/// Length of the longest common subsequence.
fn length(a: &[u8], b: &[u8]) -> usize {
    let columns = Columns::new(a, b);
    let mut row = vec![u64::MAX; columns.words];
    for &byte in a {
        columns.step(byte, &mut row);
    }
    let zeros: u32 = row.iter().map(|word| word.count_zeros()).sum();
    zeros as usize
}

/// A stretch that both strings have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    a: usize,
    b: usize,
    len: usize,
}

/// The longest common subsequence as stretches, last one first.
struct Matches {
    runs: Vec<Run>,
    len: usize,
}

impl Matches {
    fn find(a: &[u8], b: &[u8]) -> Matches {
        let columns = Columns::new(a, b);
        // Rows are kept to the byte, for the sake of many rows of few columns.
        let width = b.len().div_ceil(8);
        let mut rows: Vec<u8> = Vec::with_capacity(a.len() * width);
        let mut row = vec![u64::MAX; columns.words];
        for &byte in a {
            columns.step(byte, &mut row);
            rows.extend(row.iter().flat_map(|word| word.to_le_bytes()).take(width));
        }
        let mut runs: Vec<Run> = Vec::new();
        let (mut i, mut j, mut len) = (a.len(), b.len(), 0);
        while i > 0 && j > 0 {
            if a[i - 1] == b[j - 1] {
                (i, j) = (i - 1, j - 1);
                len += 1;
                match runs.last_mut() {
                    Some(run) if (run.a, run.b) == (i + 1, j + 1) => {
                        *run = Run {
                            a: i,
                            b: j,
                            len: run.len + 1,
                        };
                    }
                    _ => runs.push(Run { a: i, b: j, len: 1 }),
                }
                continue;
            }
            let byte = rows[(i - 1) * width + (j - 1) / 8];
            if byte >> ((j - 1) % 8) & 1 == 0 {
                i -= 1;
            } else {
                j -= 1;
            }
        }
        Matches { runs, len }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    /// The textbook table and way back.
    fn plain(a: &[u8], b: &[u8]) -> (Vec<Run>, usize) {
        let mut table = vec![vec![0usize; b.len() + 1]; a.len() + 1];
        for i in 1..=a.len() {
            for j in 1..=b.len() {
                table[i][j] = if a[i - 1] == b[j - 1] {
                    table[i - 1][j - 1] + 1
                } else {
                    table[i - 1][j].max(table[i][j - 1])
                };
            }
        }
        let (mut i, mut j) = (a.len(), b.len());
        let mut runs: Vec<Run> = Vec::new();
        while i > 0 && j > 0 {
            if a[i - 1] == b[j - 1] {
                (i, j) = (i - 1, j - 1);
                match runs.last_mut() {
                    Some(run) if (run.a, run.b) == (i + 1, j + 1) => {
                        *run = Run {
                            a: i,
                            b: j,
                            len: run.len + 1,
                        };
                    }
                    _ => runs.push(Run { a: i, b: j, len: 1 }),
                }
            } else if table[i - 1][j] > table[i][j - 1] {
                i -= 1;
            } else {
                j -= 1;
            }
        }
        (runs, table[a.len()][b.len()])
    }

    #[test]
    fn agrees_with_the_textbook_table() {
        let mut rng = Rng::new(7);
        for _ in 0..400 {
            let mut string = |max: u64| {
                let len = rng.below(max);
                (0..len)
                    .map(|_| b'a' + rng.below(4) as u8)
                    .collect::<Vec<u8>>()
            };
            let (a, b) = (string(150), string(200));
            let (runs, len) = plain(&a, &b);
            let found = Matches::find(&a, &b);
            assert_eq!(length(&a, &b), len);
            assert_eq!(found.len, len);
            assert_eq!(found.runs, runs);
        }
    }

    #[test]
    fn empty_strings_have_nothing_in_common() {
        assert_eq!(length(b"", b"abc"), 0);
        assert_eq!(length(b"abc", b""), 0);
        assert_eq!(Matches::find(b"", b"").runs, []);
    }
}
