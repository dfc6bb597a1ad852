//! What the documents promise of the tree as a whole: where `unsafe` stands, that every command is tried by some test, and
//! under which licences the dependencies are.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ferrite::command::registry;
use serde_json::Value as Json;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below a folder, libraries of other people aside.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    for entry in entries {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default();
        if path.is_dir() && name != "node_modules" && name != "target" && name != "assets" {
            files(&path, found);
        } else if path.is_file() {
            found.push(path);
        }
    }
}

fn below(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    files(&root().join(folder), &mut found);
    found
}

fn text(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).expect("a file")).into_owned()
}

/// `src/base/sys.rs` is `base::sys`.
fn module(path: &Path) -> String {
    let inside = path.strip_prefix(root().join("src")).expect("in src");
    let parts: Vec<_> = inside
        .with_extension("")
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    parts.join("::")
}

#[test]
fn unsafe_stands_where_the_architecture_says() {
    let architecture = text(&root().join("src/ARCHITECTURE.md"));
    let sentence = architecture
        .split("`unsafe` is denied except in")
        .nth(1)
        .and_then(|rest| rest.split("each with its contract").next())
        .expect("the invariant about unsafe");
    let listed: BTreeSet<String> = sentence
        .split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_string)
        .collect();
    let mut allowing = BTreeSet::new();
    for path in below("src") {
        let source = text(&path);
        if path.extension().is_some_and(|e| e == "rs") && source.contains("allow(unsafe_code)") {
            let head: String = source
                .lines()
                .take_while(|l| l.starts_with("//!"))
                .collect();
            assert!(
                head.to_lowercase().contains("contract"),
                "{} allows unsafe and states no contract at its top",
                path.display()
            );
            allowing.insert(module(&path));
        }
    }
    assert_eq!(allowing, listed, "src/ARCHITECTURE.md lists other modules");
}

/// Lower case, and one space for whatever stands between two words: `"CLIENT", "LIST"` is `client list`.
fn plain(source: &str) -> String {
    let mut out = String::from(" ");
    for c in source.chars() {
        if c.is_ascii_alphanumeric() || c == '_' || c == '-' {
            out.push(c.to_ascii_lowercase());
        } else if !out.ends_with(' ') {
            out.push(' ');
        }
    }
    out.push(' ');
    out
}

/// The sources of tests, and the part of each module that is compiled for tests.
fn tests() -> String {
    let mut all = String::new();
    for path in below("tests") {
        if !path.ends_with("tests/inventory.rs") {
            all.push_str(&plain(&text(&path)));
        }
    }
    // Their cases are sent one by one, by tests/errors.rs and tests/reply_shapes.rs.
    for cases in ["errors.json", "reply_shapes.json"] {
        all.push_str(&plain(&text(
            &root().join("tests/assets/reference").join(cases),
        )));
    }
    for path in below("src") {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let source = text(&path);
        let within = path
            .iter()
            .any(|part| part.to_string_lossy().ends_with("_tests"));
        if name.ends_with("tests.rs") || name == "examples.rs" || within {
            all.push_str(&plain(&source));
        } else if let Some(at) = source.find("#[cfg(test)]\nmod tests {") {
            all.push_str(&plain(&source[at..]));
        }
    }
    all
}

#[test]
fn every_command_is_tried_by_a_test() {
    let tests = tests();
    let untried: Vec<String> = registry::all()
        .iter()
        .map(|command| command.full_name.replace('|', " ").to_lowercase())
        .filter(|name| !tests.contains(&format!(" {name} ")))
        .collect();
    assert!(untried.is_empty(), "no test names {untried:?}");
}

/// Licences under which a dependency may be part of what we ship.
const PERMISSIVE: &[&str] = &[
    "MIT",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "BSL-1.0",
    "Unlicense",
    "0BSD",
    "Unicode-3.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "OpenSSL",
];

/// Whether one can choose permissive licences: OR needs one side, AND (which binds more tightly) both.
fn permits(expression: &str) -> bool {
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let verdict = any(&words, &mut at);
    verdict && at == words.len()
}

fn any(words: &[&str], at: &mut usize) -> bool {
    let mut verdict = all(words, at);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        verdict |= all(words, at);
    }
    verdict
}

fn all(words: &[&str], at: &mut usize) -> bool {
    let mut verdict = one(words, at);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        verdict &= one(words, at);
    }
    verdict
}

fn one(words: &[&str], at: &mut usize) -> bool {
    let word = words.get(*at).copied().unwrap_or_default();
    *at += 1;
    if word != "(" {
        return PERMISSIVE.contains(&word);
    }
    let verdict = any(words, at);
    *at += 1;
    verdict
}

#[test]
fn licences_are_read_rightly() {
    for good in [
        "MIT",
        "MIT/Apache-2.0",
        "GPL-2.0 OR MIT",
        "(MIT OR GPL-2.0) AND Unicode-3.0",
    ] {
        assert!(permits(good), "{good}");
    }
    for bad in [
        "GPL-2.0",
        "",
        "MIT AND GPL-2.0",
        "(MIT OR ISC) AND GPL-2.0",
        "MIT )",
    ] {
        assert!(!permits(bad), "{bad}");
    }
}

#[test]
fn dependencies_have_licences_that_permit_shipping() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Json = serde_json::from_slice(&output.stdout).expect("JSON");
    let used: BTreeSet<&str> = metadata["resolve"]["nodes"]
        .as_array()
        .expect("nodes")
        .iter()
        .filter_map(|node| node["id"].as_str())
        .collect();
    let packages = metadata["packages"].as_array().expect("packages");
    let wrong: Vec<String> = packages
        .iter()
        .filter(|package| package["id"].as_str().is_some_and(|id| used.contains(id)))
        .filter(|package| !permits(package["license"].as_str().unwrap_or_default()))
        .map(|package| format!("{} {}", package["name"], package["license"]))
        .collect();
    assert!(
        used.len() > 20,
        "cargo metadata names {} packages",
        used.len()
    );
    assert!(
        wrong.is_empty(),
        "licences that nobody has looked at: {wrong:?}"
    );
}
