//! `--test_hint_file`: lines and the hints that they should have, as Redis' test suite has them.

use std::path::Path;

use crate::base::words;
use crate::shell::facts::Facts;
use crate::shell::hints;
use crate::shell::link::reason;
use crate::shell::session::{Session, print};

pub fn run(session: &mut Session, file: &Path) -> u8 {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => {
            eprintln!("Can't open file '{}': {}", file.display(), reason(&error));
            return 1;
        }
    };
    session.connect(true);
    let facts = session.link().and_then(Facts::of);
    let facts = facts.unwrap_or_else(Facts::own);
    let (mut passed, mut failed) = (0, 0);
    for line in text.lines() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((input, wanted)) = split(line) else {
            print(format!("Invalid hint test case: {line}\n").as_bytes());
            failed += 1;
            continue;
        };
        let seen = hints::hint(&facts, &input).unwrap_or_default();
        if seen.trim_start() == wanted {
            passed += 1;
        } else {
            failed += 1;
            let text = format!("Test case '{input}' FAILED: expected '{wanted}', got '{seen}'\n");
            print(text.as_bytes());
        }
    }
    let verdict = if failed == 0 { "SUCCESS" } else { "FAILURE" };
    let all = passed + failed;
    print(format!("{verdict}: {passed}/{all} passed\n").as_bytes());
    u8::from(failed > 0)
}

fn split(line: &str) -> Option<(String, String)> {
    let mut words = words::split(line.as_bytes())?.into_iter();
    let mut next = || words.next().and_then(|word| String::from_utf8(word).ok());
    Some((next()?, next()?))
}
