//! `--test-memory`: writes patterns into memory and looks whether they stay.
//!
//! Each pass writes the number of each word, the same with all bits turned, random numbers, solid bits and a
//! checkerboard, and reads each of them back from the other end of the memory, which has then been out of the
//! processor's caches, if it is larger than they are. It tests the memory that the system happens to give.

use std::hint::black_box;
use std::io::{self, Write};

use super::rng::Rng;

/// As Redis does.
pub const PASSES: u32 = 50;
const WORDS_IN_MIB: usize = (1 << 20) / size_of::<u64>();

#[derive(Clone, Copy, Debug)]
enum Pattern {
    Numbers,
    TurnedNumbers,
    Random,
    Solid,
    Checkerboard,
}

const PATTERNS: [Pattern; 5] = [
    Pattern::Numbers,
    Pattern::TurnedNumbers,
    Pattern::Random,
    Pattern::Solid,
    Pattern::Checkerboard,
];

impl Pattern {
    fn name(self) -> &'static str {
        match self {
            Pattern::Numbers => "numbers",
            Pattern::TurnedNumbers => "turned numbers",
            Pattern::Random => "random",
            Pattern::Solid => "solid",
            Pattern::Checkerboard => "checkerboard",
        }
    }

    /// What a word has to hold. Neighbours differ in all bits, and so does a word from one pass to the next, where the
    /// pattern leaves that open.
    fn word(self, at: u64, pass: u32) -> u64 {
        let turned = (at + u64::from(pass)).is_multiple_of(2);
        let flip = |word: u64| if turned { !word } else { word };
        match self {
            Pattern::Numbers => at,
            Pattern::TurnedNumbers => !at,
            Pattern::Random => Rng::new(at ^ u64::from(pass) << 56).next_u64(),
            Pattern::Solid => flip(0),
            Pattern::Checkerboard => flip(0x5555_5555_5555_5555),
        }
    }
}

/// A word that did not keep what was written.
#[derive(Clone, Copy, Debug)]
struct Fault {
    pattern: Pattern,
    at: usize,
    wrote: u64,
    read: u64,
}

/// Writes a pattern and reads it; `meanwhile` is what happens to the memory in between.
fn try_pattern(
    words: &mut [u64],
    pattern: Pattern,
    pass: u32,
    meanwhile: &mut dyn FnMut(&mut [u64]),
) -> Result<(), Fault> {
    for (at, word) in words.iter_mut().enumerate() {
        *word = pattern.word(at as u64, pass);
    }
    meanwhile(words);
    // From the end: what was written last may still be in a cache, and has left it when its turn comes in the next.
    for (at, &read) in words.iter().enumerate().rev() {
        let wrote = pattern.word(at as u64, pass);
        if read != wrote {
            return Err(Fault {
                pattern,
                at,
                wrote,
                read,
            });
        }
    }
    Ok(())
}

/// Tests so many MiB and tells on `out` how far it is. True if nothing was found.
///
/// # Errors
/// If there is not so much memory, or `out` fails.
pub fn run(mebibytes: usize, passes: u32, out: &mut dyn Write) -> io::Result<bool> {
    // The compiler must not know that nothing happens.
    test(mebibytes, passes, out, &mut |words| {
        black_box(words);
    })
}

fn test(
    mebibytes: usize,
    passes: u32,
    out: &mut dyn Write,
    meanwhile: &mut dyn FnMut(&mut [u64]),
) -> io::Result<bool> {
    let mut words: Vec<u64> = Vec::new();
    let count = mebibytes.checked_mul(WORDS_IN_MIB);
    let room = count.map(|count| words.try_reserve_exact(count));
    let (Some(count), Some(Ok(()))) = (count, room) else {
        let text = format!("Unable to allocate {mebibytes} megabytes");
        return Err(io::Error::new(io::ErrorKind::OutOfMemory, text));
    };
    words.resize(count, 0);
    for pass in 1..=passes {
        write!(out, "Pass {pass} of {passes}:")?;
        for pattern in PATTERNS {
            write!(out, " {}", pattern.name())?;
            out.flush()?;
            if let Err(fault) = try_pattern(&mut words, pattern, pass, meanwhile) {
                writeln!(
                    out,
                    "\n*** MEMORY ERROR DETECTED: pattern '{}', word {}: wrote {:016x}, read {:016x}",
                    fault.pattern.name(),
                    fault.at,
                    fault.wrote,
                    fault.read
                )?;
                return Ok(false);
            }
        }
        writeln!(out)?;
    }
    writeln!(out, "\nYour memory passed this test.")?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_memory_passes() {
        let mut out = Vec::new();
        assert!(run(1, 2, &mut out).unwrap());
        let text = String::from_utf8(out).unwrap();
        let all = "numbers turned numbers random solid checkerboard\n";
        let expected =
            format!("Pass 1 of 2: {all}Pass 2 of 2: {all}\nYour memory passed this test.\n");
        assert_eq!(text, expected);
    }

    /// A bit that falls over, one that stands still at 0, and an address line that does not work.
    #[test]
    fn faults_are_found() {
        type Fault<'a> = &'a mut dyn FnMut(&mut [u64]);
        let faults: [Fault<'_>; 4] = [
            &mut |words| words[70_000] ^= 1 << 17,
            &mut |words| words[3] &= !(1 << 40),
            &mut |words| words[131_071] |= 1 << 63,
            &mut |words| words[5] = words[5 | 1 << 12],
        ];
        for fault in faults {
            let mut out = Vec::new();
            assert!(!test(1, 2, &mut out, fault).unwrap());
            let text = String::from_utf8(out).unwrap();
            assert!(text.contains("*** MEMORY ERROR DETECTED"), "{text}");
        }
    }

    #[test]
    fn too_much_is_refused() {
        for mebibytes in [usize::MAX, usize::MAX >> 20] {
            let error = run(mebibytes, 1, &mut Vec::new()).unwrap_err();
            assert!(error.to_string().contains("Unable to allocate"));
        }
    }
}
