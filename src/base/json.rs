//! Strings as JSON writes them: for log lines and for the web console.

use std::fmt::Write;

/// Appends a string with its quotes. Escaped is what could end it or its line, and what `also` names.
pub fn string(out: &mut String, text: &str, also: impl Fn(char) -> bool) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() || also(c) => escape(out, c),
            c => out.push(c),
        }
    }
    out.push('"');
}

fn escape(out: &mut String, c: char) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        // Writing to a string does not fail.
        let _ = write!(out, "\\u{unit:04x}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let text: String = ('\0'..'\u{300}')
            .chain("\u{2028}é😀\"\\<".chars())
            .collect();
        for also in [
            |_: char| false,
            |c: char| c == '<' || c == '😀' || c == '\u{2028}',
        ] {
            let mut out = String::new();
            string(&mut out, &text, also);
            assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
            assert!(!out.chars().any(|c| c.is_control() || also(c)), "{out}");
        }
    }
}
