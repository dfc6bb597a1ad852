//! One configuration line: splitting it into words with Redis' quoting rules, and writing words back quoted.

use crate::base::words;

pub use words::split as split_words;

/// Writes a word in double quotes so that [`split_words`] reads the same bytes back; line breaks never reach the file raw.
pub fn quote(word: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(word.len() + 2);
    words::quote(word, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Option<Vec<String>> {
        let words = split_words(line.as_bytes())?;
        Some(
            words
                .into_iter()
                .map(|w| String::from_utf8_lossy(&w).into_owned())
                .collect(),
        )
    }

    #[test]
    fn splits_plain_and_quoted_words() {
        assert_eq!(words("  a  b\tc ").unwrap(), ["a", "b", "c"]);
        assert_eq!(words("save \"\"").unwrap(), ["save", ""]);
        assert_eq!(
            words("x 'it\\'s' \"a \\\"b\\\" \\x41\\n\"").unwrap(),
            ["x", "it's", "a \"b\" A\n"]
        );
        assert_eq!(words("ab\"c d\"").unwrap(), ["abc d"]);
        assert_eq!(words("").unwrap(), Vec::<String>::new());
        assert_eq!(words("\"\\xzz\"").unwrap(), ["xzz"]);
    }

    #[test]
    fn refuses_unbalanced_quotes() {
        for line in ["a \"b", "a 'b", "\"a\"b", "'a'b", "\"a\\", "\""] {
            assert_eq!(words(line), None, "{line}");
        }
    }

    #[test]
    fn quoting_round_trips_every_byte() {
        let all: Vec<u8> = (0..=255).collect();
        let quoted = quote(&all);
        assert!(quoted.iter().all(|b| (b' '..=b'~').contains(b)));
        assert_eq!(split_words(&quoted).unwrap(), [all]);
    }
}
