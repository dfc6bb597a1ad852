//! Flags of scripts and functions, and the first line of a script that names them.

use bitflags::bitflags;

use crate::command::error::Error;

bitflags! {
    /// What a script or function declares of itself.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct ScriptFlags: u8 {
        const NO_WRITES = 1 << 0;
        const ALLOW_OOM = 1 << 1;
        const ALLOW_STALE = 1 << 2;
        const NO_CLUSTER = 1 << 3;
        const ALLOW_CROSS_SLOT_KEYS = 1 << 4;
        /// A script without a first line that begins with `#!`: what it does is only known when it
        /// does it.
        const COMPATIBLE = 1 << 5;
    }
}

impl ScriptFlags {
    const NAMES: [(&'static str, ScriptFlags); 5] = [
        ("no-writes", ScriptFlags::NO_WRITES),
        ("allow-oom", ScriptFlags::ALLOW_OOM),
        ("allow-stale", ScriptFlags::ALLOW_STALE),
        ("no-cluster", ScriptFlags::NO_CLUSTER),
        ("allow-cross-slot-keys", ScriptFlags::ALLOW_CROSS_SLOT_KEYS),
    ];

    /// The flag of that name.
    pub fn named(name: &[u8]) -> Option<ScriptFlags> {
        let mut names = ScriptFlags::NAMES.iter();
        names
            .find(|(known, _)| known.as_bytes() == name)
            .map(|(_, flag)| *flag)
    }

    /// The names of all flags that are set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let set = move |(_, flag): &&(&str, ScriptFlags)| self.contains(*flag);
        ScriptFlags::NAMES.iter().filter(set).map(|(name, _)| *name)
    }
}

/// The words of a `#!` line, and what follows it; the line end stays with what follows, so that
/// line numbers are right.
fn first_line(code: &[u8]) -> Option<(Vec<&[u8]>, &[u8])> {
    if !code.starts_with(b"#!") {
        return None;
    }
    let end = memchr::memchr(b'\n', code)?;
    let words = code[..end]
        .split(|b| b.is_ascii_whitespace())
        .filter(|word| !word.is_empty());
    Some((words.collect(), &code[end..]))
}

/// The flags of a script of EVAL and the code that is to be compiled.
pub fn of_script(code: &[u8]) -> Result<(ScriptFlags, &[u8]), Error> {
    if !code.starts_with(b"#!") {
        return Ok((ScriptFlags::COMPATIBLE, code));
    }
    let (words, rest) = first_line(code).ok_or(Error::new("ERR Invalid script shebang"))?;
    if words[0] != b"#!lua" {
        return Err(named("ERR Unexpected engine in script shebang: ", words[0]));
    }
    let mut flags = ScriptFlags::empty();
    for word in &words[1..] {
        let Some(list) = word.strip_prefix(b"flags=") else {
            return Err(named("ERR Unknown lua shebang option: ", word));
        };
        for name in list.split(|&b| b == b',').filter(|n| !n.is_empty()) {
            flags |= ScriptFlags::named(name)
                .ok_or_else(|| named("ERR Unexpected flag in script shebang: ", name))?;
        }
    }
    Ok((flags, rest))
}

/// The name of a library and the code that is to be compiled.
pub fn of_library(code: &[u8]) -> Result<(String, &[u8]), Error> {
    if !code.starts_with(b"#!") {
        return Err(Error::new("ERR Missing library metadata"));
    }
    let Some(end) = memchr::memchr(b'\n', code) else {
        return Err(Error::new("ERR Invalid library metadata"));
    };
    let words = crate::base::words::split(&code[..end])
        .ok_or(Error::new("ERR Invalid library metadata"))?;
    let engine = words
        .first()
        .map_or(&b""[..], |word| word.strip_prefix(b"#!").unwrap_or(word));
    let mut name = None;
    for word in words.iter().skip(1) {
        let Some(value) = word.strip_prefix(b"name=") else {
            return Err(named("ERR Invalid metadata value given: ", word));
        };
        if name.replace(value).is_some() {
            return Err(Error::new(
                "ERR Invalid metadata value, name argument was given multiple times",
            ));
        }
    }
    let name = name.ok_or(Error::new("ERR Library name was not given"))?;
    let name = valid_name(name).ok_or(Error::new(BAD_NAME))?;
    if !engine.eq_ignore_ascii_case(b"lua") {
        let mut text = b"ERR Engine '".to_vec();
        text.extend_from_slice(engine);
        text.extend_from_slice(b"' not found");
        return Err(Error::bytes(text));
    }
    Ok((name, &code[end..]))
}

/// The error for a name of a library or function that [`valid_name`] refuses.
pub const BAD_NAME: &str = "ERR Library names can only contain letters, numbers, or underscores(_) and must be at least one character long";

/// The name, if it is one that a library or function may have.
pub fn valid_name(name: &[u8]) -> Option<String> {
    let ok = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
    if name.is_empty() || !name.iter().all(ok) {
        return None;
    }
    String::from_utf8(name.to_vec()).ok()
}

fn named(text: &str, word: &[u8]) -> Error {
    let mut text = text.as_bytes().to_vec();
    text.extend_from_slice(word);
    Error::bytes(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(code: &str) -> Result<(ScriptFlags, String), String> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        of_script(code.as_bytes())
            .map(|(flags, code)| (flags, text(code)))
            .map_err(|e| text(e.as_bytes()))
    }

    #[test]
    fn scripts_without_a_first_line_are_compatible() {
        let (flags, code) = script("return 1").unwrap();
        assert_eq!(
            (flags, code.as_str()),
            (ScriptFlags::COMPATIBLE, "return 1")
        );
    }

    #[test]
    fn the_first_line_names_flags_and_keeps_its_end() {
        let (flags, code) = script("#!lua flags=no-writes,allow-oom\nreturn 1").unwrap();
        assert_eq!(flags, ScriptFlags::NO_WRITES | ScriptFlags::ALLOW_OOM);
        assert_eq!(code, "\nreturn 1");
        assert_eq!(script("#!lua flags=\nx").unwrap().0, ScriptFlags::empty());
        for (code, error) in [
            ("#!lua", "ERR Invalid script shebang"),
            (
                "#!python\n",
                "ERR Unexpected engine in script shebang: #!python",
            ),
            ("#!lua name=x\n", "ERR Unknown lua shebang option: name=x"),
            (
                "#!lua flags=a,b\n",
                "ERR Unexpected flag in script shebang: a",
            ),
        ] {
            assert_eq!(script(code).unwrap_err(), error);
        }
    }

    #[test]
    fn libraries_have_a_name() {
        assert_eq!(
            of_library(b"#!lua name=\"ab_1\"\nx").unwrap(),
            ("ab_1".into(), &b"\nx"[..])
        );
        assert!(of_library(b"#!LUA name=a\n").is_ok());
        for (code, error) in [
            ("x", "ERR Missing library metadata"),
            ("#!lua name=a", "ERR Invalid library metadata"),
            ("#!lua\n", "ERR Library name was not given"),
            ("#!lua name=\n", BAD_NAME),
            ("#! name=a\n", "ERR Engine '' not found"),
            ("#!lua foo=a\n", "ERR Invalid metadata value given: foo=a"),
        ] {
            assert_eq!(
                of_library(code.as_bytes()).unwrap_err().as_bytes(),
                error.as_bytes()
            );
        }
    }
}
