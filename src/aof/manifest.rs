//! The manifest: which files make up the data set, in Redis 7's words. One line a file:
//! `file <name> seq <number> type b|h|i`, `b` for the base, `i` for increments in order, `h` for history to be deleted.

use std::fmt;

use crate::base::num;
use crate::base::words;

/// Redis reads lines into a buffer of this size.
const LINE_MAX: usize = 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Base,
    History,
    Incr,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub name: String,
    pub seq: u64,
    pub kind: Kind,
    /// Words that other servers add, such as `startoffset`; kept as they are.
    pub more: Vec<(String, String)>,
}

impl Part {
    pub fn new(name: String, seq: u64, kind: Kind) -> Part {
        Part {
            name,
            seq,
            kind,
            more: Vec::new(),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    pub base: Option<Part>,
    pub history: Vec<Part>,
    pub incrs: Vec<Part>,
}

/// What is wrong with a manifest, in Redis' words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// From 1; 0: the file as a whole.
    pub line: usize,
    pub text: String,
    pub reason: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            return f.write_str(&self.reason);
        }
        write!(
            f,
            "\n*** FATAL AOF MANIFEST FILE ERROR ***\nReading the manifest file, at line {}\n>>> '{}'\n{}",
            self.line, self.text, self.reason
        )
    }
}

impl Manifest {
    /// Reads a manifest as Redis does.
    ///
    /// # Errors
    /// The first line that is not as it should be.
    pub fn parse(text: &[u8]) -> Result<Manifest, Broken> {
        let mut manifest = Manifest::default();
        let mut lines = 0;
        for raw in text.split_inclusive(|b| *b == b'\n') {
            lines += 1;
            let broken = |reason: &str| Broken {
                line: lines,
                text: String::from_utf8_lossy(raw.trim_ascii()).into_owned(),
                reason: reason.to_owned(),
            };
            if raw.starts_with(b"#") {
                continue;
            }
            if raw.last() != Some(&b'\n') || raw.len() >= LINE_MAX {
                return Err(broken("The AOF manifest file contains too long line"));
            }
            let part = parse_line(raw.trim_ascii()).map_err(broken)?;
            manifest.admit(part).map_err(broken)?;
        }
        if lines == 0 {
            return Err(Broken {
                line: 0,
                text: String::new(),
                reason: "Found an empty AOF manifest".into(),
            });
        }
        Ok(manifest)
    }

    fn admit(&mut self, part: Part) -> Result<(), &'static str> {
        match part.kind {
            Kind::Base if self.base.is_some() => {
                return Err("Found duplicate base file information");
            }
            Kind::Base => self.base = Some(part),
            Kind::History => self.history.push(part),
            Kind::Incr => {
                if self.incrs.last().is_some_and(|last| part.seq <= last.seq) {
                    return Err("Found a non-monotonic sequence number");
                }
                self.incrs.push(part);
            }
        }
        Ok(())
    }

    /// The text as Redis writes it: base, history, increments.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let all = self.base.iter().chain(&self.history).chain(&self.incrs);
        for part in all {
            text.push_str("file ");
            text.push_str(&quoted(&part.name));
            let kind = match part.kind {
                Kind::Base => 'b',
                Kind::History => 'h',
                Kind::Incr => 'i',
            };
            text.push_str(&format!(" seq {} type {kind}", part.seq));
            for (key, value) in &part.more {
                text.push_str(&format!(" {} {}", quoted(key), quoted(value)));
            }
            text.push('\n');
        }
        text
    }

    /// The files that are loaded, in order.
    pub fn live(&self) -> impl Iterator<Item = &Part> {
        self.base.iter().chain(&self.incrs)
    }

    pub fn is_empty(&self) -> bool {
        self.base.is_none() && self.incrs.is_empty()
    }

    /// Sequence for the next base.
    pub fn next_base(&self) -> u64 {
        let history = self.history.iter().filter(|p| p.name.contains(".base."));
        self.base
            .iter()
            .chain(history)
            .map(|p| p.seq)
            .max()
            .unwrap_or(0)
            .saturating_add(1)
    }

    /// Sequence for the next increment.
    pub fn next_incr(&self) -> u64 {
        let history = self.history.iter().filter(|p| p.name.contains(".incr."));
        self.incrs
            .iter()
            .chain(history)
            .map(|p| p.seq)
            .max()
            .unwrap_or(0)
            .saturating_add(1)
    }

    /// Makes `base` the base and everything before increment `first_kept` history, newest first as Redis does.
    pub fn rebase(&mut self, base: Part, first_kept: u64) {
        let as_history = |part: Part| Part {
            kind: Kind::History,
            ..part
        };
        if let Some(old) = self.base.replace(base) {
            self.history.insert(0, as_history(old));
        }
        let (old, kept): (Vec<Part>, Vec<Part>) = std::mem::take(&mut self.incrs)
            .into_iter()
            .partition(|p| p.seq < first_kept);
        self.incrs = kept;
        for part in old {
            self.history.insert(0, as_history(part));
        }
    }

    /// Whether it names a part that `now` has and `before` has not.
    pub fn mentions_new_of(&self, now: &Manifest, before: &Manifest) -> bool {
        let names = |m: &Manifest, name: &str| m.live().chain(&m.history).any(|p| p.name == name);
        now.live()
            .any(|part| !names(before, &part.name) && names(self, &part.name))
    }

    /// Whether another server that went on from `self` can have left `next`: increments were added, or everything of
    /// ours was replaced by a newer base. Anything else is damage.
    pub fn may_become(&self, next: &Manifest) -> bool {
        let known: Vec<(&str, u64)> = self.live().map(|part| (&part.name[..], part.seq)).collect();
        let stem = self.live().find_map(stem_of);
        let named_rightly = next.live().all(|part| {
            known.contains(&(&part.name[..], part.seq)) || stem.is_none() || stem_of(part) == stem
        });
        let same_base = match (&self.base, &next.base) {
            (Some(a), Some(b)) => a.name == b.name && a.seq == b.seq,
            (a, b) => a.is_none() && b.is_none(),
        };
        let plain = |parts: &[Part]| {
            parts
                .iter()
                .map(|p| (p.name.clone(), p.seq))
                .collect::<Vec<_>>()
        };
        let (old, new) = (plain(&self.incrs), plain(&next.incrs));
        if same_base {
            return named_rightly && new.starts_with(&old);
        }
        // A newer base holds what the older files held; increments that began with it stay.
        let newer = next
            .base
            .as_ref()
            .is_some_and(|b| self.base.as_ref().is_none_or(|a| b.seq > a.seq));
        let last = old.last().map_or(0, |p| p.1);
        named_rightly && newer && new.last().is_some_and(|p| p.1 > last)
    }
}

/// The name without sequence and kind, if it is made of them.
fn stem_of(part: &Part) -> Option<&str> {
    let ends: &[&str] = match part.kind {
        Kind::Incr => &["incr.aof"],
        _ => &["base.rdb", "base.aof"],
    };
    ends.iter()
        .find_map(|end| part.name.strip_suffix(&format!(".{}.{end}", part.seq)))
}

fn parse_line(line: &[u8]) -> Result<Part, &'static str> {
    const INVALID: &str = "Invalid AOF manifest file format";
    let words = words::split(line).ok_or(INVALID)?;
    if words.len() < 6 || !words.len().is_multiple_of(2) {
        return Err(INVALID);
    }
    let (mut name, mut seq, mut kind, mut more) = (None, None, None, Vec::new());
    for pair in words.chunks_exact(2) {
        let value = &pair[1];
        if pair[0].eq_ignore_ascii_case(b"file") {
            if value.is_empty() || value.contains(&b'/') || value == b"." || value == b".." {
                return Err("File can't be a path, just a filename");
            }
            name = Some(String::from_utf8(value.clone()).map_err(|_| INVALID)?);
        } else if pair[0].eq_ignore_ascii_case(b"seq") {
            seq = Some(num::parse_u64(value).filter(|n| *n > 0).ok_or(INVALID)?);
        } else if pair[0].eq_ignore_ascii_case(b"type") {
            kind = Some(match value.as_slice() {
                b"b" => Kind::Base,
                b"h" => Kind::History,
                b"i" => Kind::Incr,
                _ => return Err("Unknown AOF file type"),
            });
        } else {
            let text = |word: &[u8]| String::from_utf8_lossy(word).into_owned();
            more.push((text(&pair[0]), text(value)));
        }
    }
    match (name, seq, kind) {
        (Some(name), Some(seq), Some(kind)) => Ok(Part {
            name,
            seq,
            kind,
            more,
        }),
        _ => Err(INVALID),
    }
}

/// A word as Redis writes it: quoted only where it must be.
pub fn quoted(word: &str) -> String {
    let plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b'"' | b'\'' | b'\\');
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    let mut out = Vec::new();
    words::quote(word.as_bytes(), &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREE: &str = "file a.aof.2.base.rdb seq 2 type b\nfile a.aof.1.base.rdb seq 1 type h\nfile a.aof.3.incr.aof seq 3 type i\nfile a.aof.4.incr.aof seq 4 type i\n";

    #[test]
    fn reads_and_writes_what_redis_writes() {
        let manifest = Manifest::parse(THREE.as_bytes()).unwrap();
        assert_eq!(manifest.text(), THREE);
        assert_eq!((manifest.next_base(), manifest.next_incr()), (3, 5));
        assert_eq!(manifest.live().count(), 3);
        let spaced = "file \"a b.aof.1.base.rdb\" seq 1 type b\n";
        assert_eq!(Manifest::parse(spaced.as_bytes()).unwrap().text(), spaced);
        let more = "file a.1.incr.aof seq 1 type i startoffset 14 endoffset 20\n";
        assert_eq!(Manifest::parse(more.as_bytes()).unwrap().text(), more);
        let commented = format!("#hello\n{THREE}");
        assert_eq!(Manifest::parse(commented.as_bytes()).unwrap(), manifest);
    }

    #[test]
    fn refuses_in_the_words_of_redis() {
        let cases = [
            ("", "Found an empty AOF manifest"),
            ("\n", "Invalid AOF manifest file format"),
            ("file a seq 1 type\n", "Invalid AOF manifest file format"),
            (
                "file a seq 1 type i x\n",
                "Invalid AOF manifest file format",
            ),
            ("filx a seq 1 type i\n", "Invalid AOF manifest file format"),
            (
                "file a/b seq 1 type i\n",
                "File can't be a path, just a filename",
            ),
            ("file a seq 1 type x\n", "Unknown AOF file type"),
            ("file a seq x type i\n", "Invalid AOF manifest file format"),
            (
                "file a seq 1 type b\nfile b seq 1 type b\n",
                "Found duplicate base file information",
            ),
            (
                "file a seq 2 type i\nfile b seq 2 type i\n",
                "Found a non-monotonic sequence number",
            ),
            (
                "file a seq 1 type i",
                "The AOF manifest file contains too long line",
            ),
        ];
        for (text, reason) in cases {
            assert_eq!(
                Manifest::parse(text.as_bytes()).unwrap_err().reason,
                reason,
                "{text:?}"
            );
        }
        let long = format!("file {} seq 1 type i\n", "a".repeat(1024));
        assert!(
            Manifest::parse(long.as_bytes())
                .unwrap_err()
                .reason
                .contains("too long line")
        );
    }

    #[test]
    fn a_new_base_turns_the_rest_into_history() {
        let mut manifest = Manifest::parse(THREE.as_bytes()).unwrap();
        manifest.rebase(Part::new("a.aof.3.base.rdb".into(), 3, Kind::Base), 4);
        assert_eq!(
            manifest.text(),
            "file a.aof.3.base.rdb seq 3 type b\nfile a.aof.3.incr.aof seq 3 type h\nfile a.aof.2.base.rdb seq 2 type h\nfile a.aof.1.base.rdb seq 1 type h\nfile a.aof.4.incr.aof seq 4 type i\n"
        );
    }

    #[test]
    fn another_servers_work_is_told_from_damage() {
        let ours =
            Manifest::parse(b"file a.1.base.rdb seq 1 type b\nfile a.1.incr.aof seq 1 type i\n")
                .unwrap();
        let may = |text: &str| ours.may_become(&Manifest::parse(text.as_bytes()).unwrap());
        assert!(may(
            "file a.1.base.rdb seq 1 type b\nfile a.1.incr.aof seq 1 type i\nfile a.2.incr.aof seq 2 type i\n"
        ));
        assert!(may(
            "file a.2.base.rdb seq 2 type b\nfile a.2.incr.aof seq 2 type i\n"
        ));
        assert!(may(
            "file a.2.base.rdb seq 2 type b\nfile a.1.incr.aof seq 1 type h\nfile a.2.incr.aof seq 2 type i\n"
        ));
        assert!(!may(
            "file a.1.base.rdb seq 1 type b\nfile a.1.incr.aof seq 1 type h\n"
        ));
        assert!(!may(
            "file a.1.base.rdb seq 3 type b\nfile a.1.incr.aof seq 1 type i\n"
        ));
        assert!(!may(
            "file a.1.base.rdb seq 1 type b\nfile a.1.incr.aof seq 3 type i\n"
        ));
        assert!(!may("file a.1.base.rdb seq 1 type b\n"));
    }
}
