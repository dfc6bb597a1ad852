//! Commands in files: arrays of bulk strings, as far as a file's end allows.

use smallvec::SmallVec;

use crate::base::num;
pub use crate::log::encode as write;

/// Redis' own limit.
const MAX_ARGS: i64 = i32::MAX as i64;
/// A length line is not longer than this.
const LENGTH_LINE_MAX: usize = 32;

/// The arguments of one command.
pub type Words<'a> = SmallVec<[&'a [u8]; 8]>;

/// What the beginning of some bytes is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A command that ends before this position.
    Done(usize),
    /// The beginning of a command; it takes at least so many bytes.
    More(usize),
    /// No command.
    Bad { at: usize, what: String },
}

/// Looks for one command at the beginning of `bytes`; each argument goes to `word`.
pub fn scan<'a>(bytes: &'a [u8], mut word: impl FnMut(&'a [u8])) -> Step {
    let (count, mut at) = match length(bytes, 0, b'*') {
        Ok(found) => found,
        Err(step) => return step,
    };
    if !(1..=MAX_ARGS).contains(&count) {
        return bad(0, format!("Expected a number of arguments, got: {count}"));
    }
    for _ in 0..count {
        let (len, begin) = match length(bytes, at, b'$') {
            Ok(found) => found,
            Err(step) => return step,
        };
        let end = usize::try_from(len)
            .ok()
            .and_then(|len| begin.checked_add(len));
        let Some((end, next)) = end.and_then(|end| Some((end, end.checked_add(2)?))) else {
            return bad(at, format!("Expected a length, got: {len}"));
        };
        if next > bytes.len() {
            // What is there of the line's end must be right, too.
            let tail = bytes.get(end..).unwrap_or_default();
            if !b"\r\n".starts_with(tail) {
                return bad(end, format!("Expected \\r\\n, got: {tail:02x?}"));
            }
            return Step::More(next);
        }
        if &bytes[end..next] != b"\r\n" {
            return bad(
                end,
                format!(
                    "Expected \\r\\n, got: {:02x}{:02x}",
                    bytes[end],
                    bytes[end + 1]
                ),
            );
        }
        word(&bytes[begin..end]);
        at = next;
    }
    Step::Done(at)
}

fn bad(at: usize, what: String) -> Step {
    Step::Bad { at, what }
}

/// A line of a sign and a number; returns the number and where the next line begins.
fn length(bytes: &[u8], at: usize, sign: u8) -> Result<(i64, usize), Step> {
    let rest = bytes.get(at..).unwrap_or_default();
    match rest.first() {
        None => return Err(Step::More(at + 4)),
        Some(got) if *got != sign => {
            let text = format!(
                "Expected prefix '{}', got: '{}'",
                char::from(sign),
                got.escape_ascii()
            );
            return Err(bad(at, text));
        }
        Some(_) => {}
    }
    let line = &rest[1..rest.len().min(LENGTH_LINE_MAX)];
    let Some(end) = memchr::memchr(b'\n', line) else {
        let digits = line.strip_suffix(b"\r").unwrap_or(line);
        if rest.len() >= LENGTH_LINE_MAX || !digits.iter().all(u8::is_ascii_digit) {
            return Err(bad(at, "Expected a length, got no number".into()));
        }
        return Err(Step::More(at + rest.len() + 1));
    };
    let digits = line[..end]
        .strip_suffix(b"\r")
        .filter(|digits| digits.iter().all(u8::is_ascii_digit));
    match digits.and_then(num::parse_i64) {
        Some(n) => Ok((n, at + 1 + end + 1)),
        None => Err(bad(at, "Expected a length, got no number".into())),
    }
}

/// The commands in the bytes of a whole unit. `None` if they are not commands to the last byte.
pub fn commands(mut bytes: &[u8]) -> Option<Vec<Words<'_>>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        if bytes[0] == b'#' {
            // Other servers annotate within transactions.
            bytes = &bytes[memchr::memchr(b'\n', bytes)? + 1..];
            continue;
        }
        let mut words = Words::new();
        match scan(bytes, |word| words.push(word)) {
            Step::Done(end) => bytes = &bytes[end..],
            _ => return None,
        }
        found.push(words);
    }
    Some(found)
}

/// As many words as can be read from damaged commands, to say what was concerned.
pub fn readable(mut bytes: &[u8]) -> Vec<Words<'_>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let mut words = Words::new();
        let step = scan(bytes, |word| words.push(word));
        if !words.is_empty() {
            found.push(words);
        }
        match step {
            Step::Done(end) => bytes = &bytes[end..],
            _ => break,
        }
    }
    found
}

/// The name of a command is `name`, whatever its case.
pub fn is(words: &[&[u8]], name: &str) -> bool {
    words
        .first()
        .is_some_and(|word| word.eq_ignore_ascii_case(name.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_whole_commands_and_asks_for_more() {
        let mut bytes = Vec::new();
        write(&mut bytes, [&b"SET"[..], b"k", b"v\r\n"].into_iter());
        assert_eq!(scan(&bytes, |_| ()), Step::Done(bytes.len()));
        let words = commands(&bytes).unwrap();
        assert_eq!(words[0].as_slice(), [&b"SET"[..], b"k", b"v\r\n"]);
        for cut in 0..bytes.len() {
            match scan(&bytes[..cut], |_| ()) {
                Step::More(needed) => assert!(
                    needed > cut && needed <= bytes.len().max(cut + 4),
                    "{cut}: {needed}"
                ),
                other => panic!("{cut}: {other:?}"),
            }
        }
    }

    #[test]
    fn refuses_what_is_no_command() {
        for bytes in [
            &b"!!!"[..],
            b"*0\r\n",
            b"*-1\r\n",
            b"*x\r\n",
            b"*1\r\n+OK\r\n",
            b"*1\r\n$2\r\nabc\r\n",
            b"*1\r\n$-1\r\n",
            b"*1\n",
            b"*99999999999999999999\r\n",
            b"\0\0",
        ] {
            assert!(
                matches!(scan(bytes, |_| ()), Step::Bad { .. }),
                "{}",
                bytes.escape_ascii()
            );
        }
        assert_eq!(
            scan(b"*1\r\n$9223372036854775807\r\n", |_| ()),
            Step::More(9_223_372_036_854_775_807 + 28)
        );
    }
}
