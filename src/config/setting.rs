//! The types that a setting can have: how each reads its words and writes itself back.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::directive::{Kind, When};
use super::line::quote;
use crate::base::memsize;

/// A value of the table. `update` gets the words after the directive's name; texts of errors are Redis' own.
pub trait Setting: Default + Clone + PartialEq {
    fn update(&mut self, kind: Kind, words: &[Vec<u8>], when: When) -> Result<(), String>;

    /// As CONFIG GET shows it.
    fn text(&self, kind: Kind) -> Vec<u8>;

    /// As a file states it; several lines where the directive is repeated.
    fn lines(&self, name: &str, kind: Kind) -> Vec<Vec<u8>> {
        let text = self.text(kind);
        let value = match kind {
            Kind::Text(_) | Kind::Secret | Kind::Dir | Kind::NotifyEvents => quote(&text),
            Kind::Memory(..) | Kind::MemoryFrom(_) => std::str::from_utf8(&text)
                .ok()
                .and_then(|digits| digits.parse().ok())
                .map_or(text, |bytes| memsize::format(bytes).into_bytes()),
            _ => text,
        };
        vec![join(name, &value)]
    }
}

/// `name value` as one line.
pub(super) fn join(name: &str, value: &[u8]) -> Vec<u8> {
    [name.as_bytes(), b" ", value].concat()
}

fn single(words: &[Vec<u8>]) -> Result<&[u8], String> {
    match words {
        [word] => Ok(word),
        _ => Err("wrong number of arguments".into()),
    }
}

impl Setting for bool {
    fn update(&mut self, _: Kind, words: &[Vec<u8>], _: When) -> Result<(), String> {
        *self = match single(words)?.to_ascii_lowercase().as_slice() {
            b"yes" => true,
            b"no" => false,
            _ => return Err("argument must be 'yes' or 'no'".into()),
        };
        Ok(())
    }

    fn text(&self, _: Kind) -> Vec<u8> {
        if *self {
            b"yes".to_vec()
        } else {
            b"no".to_vec()
        }
    }
}

/// Strict decimal: no sign `+`, no leading zero, no space.
pub(super) fn parse_int(word: &[u8]) -> Option<i64> {
    let digits = word.strip_prefix(b"-").unwrap_or(word);
    let canonical = match digits {
        [b'0'] => word.len() == 1,
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if !canonical {
        return None;
    }
    std::str::from_utf8(word).ok()?.parse().ok()
}

/// The number as the kind reads it. Bounds of the table lie within the field's type, which a test checks.
fn parse_number(kind: Kind, word: &[u8]) -> Result<i128, String> {
    let between = |value: i128, low: i128, high: i128| {
        let inside = (low..=high).contains(&value);
        inside
            .then_some(value)
            .ok_or_else(|| format!("argument must be between {low} and {high} inclusive"))
    };
    let whole = || parse_int(word).ok_or("argument couldn't be parsed into an integer");
    let size = || memsize::parse(word).ok_or("argument must be a memory value");
    match kind {
        Kind::Memory(low, high) => between(size()?.into(), low.into(), high.into()),
        Kind::MemoryFrom(least) => {
            between(size()?.into(), 1, i64::MAX.into()).map(|size| size.max(least.into()))
        }
        Kind::Octal => std::str::from_utf8(word)
            .ok()
            .filter(|text| text.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|text| i128::from_str_radix(text, 8).ok())
            .ok_or_else(|| "argument couldn't be parsed into an octal".to_string())
            .and_then(|value| between(value, 0, 0o777)),
        Kind::Hz => between(whole()?.into(), 0, i32::MAX.into()).map(|hz| hz.clamp(1, 500)),
        Kind::Int(low, high) => between(whole()?.into(), low.into(), high.into()),
        _ => Err("argument couldn't be parsed into an integer".into()),
    }
}

macro_rules! number_setting {
    ($($type:ty)*) => {$(
        impl Setting for $type {
            fn update(&mut self, kind: Kind, words: &[Vec<u8>], _: When) -> Result<(), String> {
                let value = parse_number(kind, single(words)?)?;
                *self = <$type>::try_from(value).map_err(|_| "argument is out of range")?;
                Ok(())
            }

            fn text(&self, kind: Kind) -> Vec<u8> {
                match kind {
                    Kind::Octal => format!("{self:o}").into_bytes(),
                    _ => self.to_string().into_bytes(),
                }
            }
        }
    )*};
}
number_setting! { u16 u32 u64 usize i32 i64 }

impl Setting for String {
    fn update(&mut self, kind: Kind, words: &[Vec<u8>], _: When) -> Result<(), String> {
        let text =
            std::str::from_utf8(single(words)?).map_err(|_| "argument must be valid UTF-8")?;
        if text.contains('\0') {
            return Err("argument must not contain a NUL byte".into());
        }
        *self = match kind {
            Kind::Text(check) => {
                check(text)?;
                text.to_string()
            }
            Kind::Dir => enterable_directory(text)?,
            _ => text.to_string(),
        };
        Ok(())
    }

    fn text(&self, _: Kind) -> Vec<u8> {
        self.clone().into_bytes()
    }
}

/// The directory's absolute path, or the operating system's reason why one cannot work in it.
fn enterable_directory(path: &str) -> Result<String, String> {
    let absolute = std::fs::canonicalize(path).map_err(|error| os_reason(&error))?;
    if !absolute.is_dir() {
        return Err("Not a directory".into());
    }
    std::fs::metadata(absolute.join(".")).map_err(|error| os_reason(&error))?;
    absolute
        .into_os_string()
        .into_string()
        .map_err(|_| "argument must be valid UTF-8".into())
}

/// The error as `strerror` words it, without Rust's `(os error N)`.
pub fn os_reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_string(),
        None => text,
    }
}

impl Setting for Vec<u8> {
    fn update(&mut self, _: Kind, words: &[Vec<u8>], _: When) -> Result<(), String> {
        *self = single(words)?.to_vec();
        Ok(())
    }

    fn text(&self, _: Kind) -> Vec<u8> {
        self.clone()
    }
}

/// `maxmemory-clients`: a size, or a share of `maxmemory`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryOrPercent {
    Bytes(u64),
    Percent(u8),
}

impl Default for MemoryOrPercent {
    fn default() -> Self {
        MemoryOrPercent::Bytes(0)
    }
}

impl MemoryOrPercent {
    /// The limit in bytes; 0 is no limit.
    pub fn bytes_of(self, whole: u64) -> u64 {
        match self {
            MemoryOrPercent::Bytes(bytes) => bytes,
            MemoryOrPercent::Percent(share) => (u128::from(whole) * u128::from(share) / 100) as u64,
        }
    }
}

impl Setting for MemoryOrPercent {
    fn update(&mut self, _: Kind, words: &[Vec<u8>], _: When) -> Result<(), String> {
        let word = single(words)?;
        let invalid = || "argument must be a memory or percent value".to_string();
        *self = match word.strip_suffix(b"%") {
            None => MemoryOrPercent::Bytes(memsize::parse(word).ok_or_else(invalid)?),
            Some(share) => {
                let digits = !share.is_empty() && share.iter().all(u8::is_ascii_digit);
                let share = std::str::from_utf8(share)
                    .ok()
                    .filter(|_| digits)
                    .ok_or_else(invalid)?;
                match share.parse::<u8>() {
                    Ok(0) => MemoryOrPercent::Bytes(0),
                    Ok(share @ 1..=100) => MemoryOrPercent::Percent(share),
                    _ => return Err("percentage argument must be less or equal to 100".into()),
                }
            }
        };
        Ok(())
    }

    fn text(&self, _: Kind) -> Vec<u8> {
        match self {
            MemoryOrPercent::Bytes(bytes) => bytes.to_string().into_bytes(),
            MemoryOrPercent::Percent(share) => format!("{share}%").into_bytes(),
        }
    }
}

/// Checks of text directives.
pub(super) mod check {
    use super::*;

    pub fn any(_: &str) -> Result<(), String> {
        Ok(())
    }

    pub fn dbfilename(name: &str) -> Result<(), String> {
        plain_name("dbfilename", name)
    }

    pub fn appendfilename(name: &str) -> Result<(), String> {
        not_empty("appendfilename", name)?;
        plain_name("appendfilename", name)
    }

    pub fn appenddirname(name: &str) -> Result<(), String> {
        not_empty("appenddirname", name)?;
        let plain = !name.contains('/') && name != "." && name != "..";
        plain
            .then_some(())
            .ok_or_else(|| "appenddirname can't be a path, just a dirname".into())
    }

    fn not_empty(directive: &str, name: &str) -> Result<(), String> {
        if name.is_empty() {
            Err(format!("{directive} can't be empty"))
        } else {
            Ok(())
        }
    }

    fn plain_name(directive: &str, name: &str) -> Result<(), String> {
        let plain = !name.contains('/') && name != "." && name != "..";
        plain
            .then_some(())
            .ok_or_else(|| format!("{directive} can't be a path, just a filename"))
    }

    pub fn hostname(name: &str) -> Result<(), String> {
        if name.len() >= 256 {
            return Err("Hostnames must be less than 256 characters".into());
        }
        let allowed = name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
        allowed.then_some(()).ok_or_else(|| {
            "Hostnames may only contain alphanumeric characters, hyphens or dots".into()
        })
    }

    pub fn ipv4(text: &str) -> Result<(), String> {
        let valid = text.is_empty() || text.parse::<Ipv4Addr>().is_ok();
        valid
            .then_some(())
            .ok_or_else(|| "Invalid IPv4 address".into())
    }

    pub fn ipv6(text: &str) -> Result<(), String> {
        let valid = text.is_empty() || text.parse::<Ipv6Addr>().is_ok();
        valid
            .then_some(())
            .ok_or_else(|| "Invalid IPv6 address".into())
    }

    /// `{title} {listen-addr}`: only these variables, and something must come out.
    pub fn title_template(template: &str) -> Result<(), String> {
        const VARIABLES: [&str; 7] = [
            "title",
            "listen-addr",
            "server-mode",
            "port",
            "tls-port",
            "unixsocket",
            "config-file",
        ];
        let invalid = || "template format is invalid or contains unknown variables".to_string();
        if template.trim().is_empty() {
            return Err(invalid());
        }
        let mut rest = template;
        while let Some(open) = rest.find('{') {
            let inner = &rest[open + 1..];
            let close = inner.find('}').ok_or_else(invalid)?;
            if !VARIABLES.contains(&&inner[..close]) {
                return Err(invalid());
            }
            rest = &inner[close + 1..];
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set<T: Setting>(kind: Kind, word: &str) -> Result<T, String> {
        let mut value = T::default();
        value
            .update(kind, &[word.as_bytes().to_vec()], When::Running)
            .map(|()| value)
    }

    #[test]
    fn whole_numbers_are_strict_and_bounded() {
        let kind = Kind::Int(-2, 65535);
        assert_eq!(set::<i32>(kind, "-2"), Ok(-2));
        for word in ["", " 5", "+5", "05", "5x", "-0", "99999999999999999999"] {
            assert_eq!(
                set::<i32>(kind, word).unwrap_err(),
                "argument couldn't be parsed into an integer",
                "{word}"
            );
        }
        assert_eq!(
            set::<i32>(kind, "70000").unwrap_err(),
            "argument must be between -2 and 65535 inclusive"
        );
        assert_eq!(set::<u32>(Kind::Hz, "0"), Ok(1));
        assert_eq!(set::<u32>(Kind::Hz, "1000"), Ok(500));
    }

    #[test]
    fn a_size_below_the_least_is_made_the_least() {
        let kind = Kind::MemoryFrom(16384);
        for (word, size) in [("1", 16384), ("16384", 16384), ("1mb", 1 << 20)] {
            assert_eq!(set::<u64>(kind, word), Ok(size), "{word}");
        }
        assert_eq!(
            set::<u64>(kind, "0").unwrap_err(),
            "argument must be between 1 and 9223372036854775807 inclusive"
        );
        let lines = 16384u64.lines("repl-backlog-size", kind);
        assert_eq!(lines, [b"repl-backlog-size 16kb".to_vec()]);
    }

    #[test]
    fn octal_reads_and_writes_as_octal() {
        let mode: u32 = set(Kind::Octal, "770").unwrap();
        assert_eq!(mode, 0o770);
        assert_eq!(mode.text(Kind::Octal), b"770");
        assert!(set::<u32>(Kind::Octal, "8").is_err());
        assert!(set::<u32>(Kind::Octal, "7777").is_err());
    }

    #[test]
    fn share_or_size() {
        let kind = Kind::MemoryOrPercent;
        let share: MemoryOrPercent = set(kind, "5%").unwrap();
        assert_eq!(
            (share.text(kind), share.bytes_of(1000)),
            (b"5%".to_vec(), 50)
        );
        assert_eq!(set(kind, "1mb"), Ok(MemoryOrPercent::Bytes(1 << 20)));
        for word in ["x%", "%", "-1", "x"] {
            let error = set::<MemoryOrPercent>(kind, word).unwrap_err();
            assert_eq!(
                error, "argument must be a memory or percent value",
                "{word}"
            );
        }
        let error = set::<MemoryOrPercent>(kind, "200%").unwrap_err();
        assert_eq!(error, "percentage argument must be less or equal to 100");
    }

    #[test]
    fn text_checks() {
        assert!(
            check::dbfilename("a/b")
                .unwrap_err()
                .starts_with("dbfilename can't be a path")
        );
        assert!(check::dbfilename("..").is_err());
        assert!(check::appendfilename("").is_err());
        assert!(check::title_template("{title} {listen-addr}").is_ok());
        for template in ["", "{bad}", "{title"] {
            assert!(check::title_template(template).is_err(), "{template}");
        }
        assert!(check::hostname("a b").is_err());
        assert!(check::hostname(&"a".repeat(256)).is_err());
        assert!(set::<String>(Kind::Text(check::any), "a\0b").is_err());
    }

    #[test]
    fn directories_give_the_systems_reason() {
        assert_eq!(
            set::<String>(Kind::Dir, "/nonexistent").unwrap_err(),
            "No such file or directory"
        );
        assert_eq!(
            set::<String>(Kind::Dir, "/etc/passwd").unwrap_err(),
            "Not a directory"
        );
        assert_eq!(set::<String>(Kind::Dir, "/").unwrap(), "/");
    }
}
