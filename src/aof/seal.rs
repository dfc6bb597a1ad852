//! What the manifest cannot say without confusing other servers: a copy of it, and length and checksum of each part that
//! is complete. It stands in a file of its own beside the manifest, `<manifest>.check`, and ends with its own checksum.

use std::collections::BTreeMap;
use std::fmt::Write;

use crc64fast::Digest;

use super::manifest::{Manifest, quoted};
use crate::base::num;
use crate::base::words;

const TITLE: &str =
    "# What the manifest said and what its complete files held; other servers need none of this.\n";

/// Length and checksum of a complete part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sum {
    pub len: u64,
    pub crc: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seal {
    /// The manifest as it is to be, and as it was before: a crash may fall between the two files.
    pub now: String,
    pub before: String,
    pub sums: BTreeMap<String, Sum>,
    /// What stands behind a base.
    pub follows: BTreeMap<String, Behind>,
}

/// Where the increments behind a base begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behind {
    /// The sequence of the first increment.
    pub part: u64,
    /// The last unit that the base holds, if that is known.
    pub unit: Option<u64>,
}

/// What the manifest on disk is to the seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// What we wrote.
    Ours,
    /// It says the same in other bytes: repaired by writing it again.
    SameInOtherWords,
    /// Another server went on from it.
    Continued,
    /// Somebody wrote another one, with files of his own.
    Replaced,
    Damaged,
}

pub fn crc(bytes: &[u8]) -> u64 {
    let mut digest = Digest::new();
    digest.write(bytes);
    digest.sum64()
}

impl Seal {
    pub fn text(&self) -> String {
        let mut out = TITLE.to_owned();
        for (word, manifest) in [("now", &self.now), ("before", &self.before)] {
            for line in manifest.lines() {
                // Writing to a string does not fail.
                let _ = writeln!(out, "{word} {line}");
            }
        }
        for (name, sum) in &self.sums {
            let _ = writeln!(out, "sum {} {} {:016x}", quoted(name), sum.len, sum.crc);
        }
        for (name, behind) in &self.follows {
            let _ = write!(out, "behind {} {}", quoted(name), behind.part);
            let _ = match behind.unit {
                Some(unit) => writeln!(out, " {unit}"),
                None => writeln!(out),
            };
        }
        let _ = writeln!(out, "crc {:016x}", crc(out.as_bytes()));
        out
    }

    /// `None` if a single byte is not as it was written.
    pub fn parse(text: &[u8]) -> Option<Seal> {
        let text = std::str::from_utf8(text).ok()?;
        let (content, last) = text.strip_suffix('\n')?.rsplit_once('\n')?;
        let content = &text[..content.len() + 1];
        if last != format!("crc {:016x}", crc(content.as_bytes())) {
            return None;
        }
        let mut seal = Seal::default();
        for line in content.lines() {
            match line.split_once(' ')? {
                ("now", rest) => seal.now.extend([rest, "\n"]),
                ("before", rest) => seal.before.extend([rest, "\n"]),
                ("sum", rest) => {
                    let words = words::split(rest.as_bytes())?;
                    let [name, len, crc] = words.as_slice() else {
                        return None;
                    };
                    let crc = u64::from_str_radix(std::str::from_utf8(crc).ok()?, 16).ok()?;
                    let len = num::parse_u64(len)?;
                    seal.sums
                        .insert(String::from_utf8(name.clone()).ok()?, Sum { len, crc });
                }
                ("behind", rest) => {
                    let words = words::split(rest.as_bytes())?;
                    let (name, part, unit) = match words.as_slice() {
                        [name, part] => (name, part, None),
                        [name, part, unit] => (name, part, Some(num::parse_u64(unit)?)),
                        _ => return None,
                    };
                    let name = String::from_utf8(name.clone()).ok()?;
                    let part = num::parse_u64(part)?;
                    seal.follows.insert(name, Behind { part, unit });
                }
                _ => {}
            }
        }
        Some(seal)
    }

    /// Judges the manifest on disk.
    pub fn judge(&self, text: &[u8], manifest: &Manifest) -> Verdict {
        if text == self.now.as_bytes() || text == self.before.as_bytes() {
            return Verdict::Ours;
        }
        let read = |text: &String| Manifest::parse(text.as_bytes()).ok();
        let (now, before) = (read(&self.now), read(&self.before));
        if now.as_ref() == Some(manifest) || before.as_ref() == Some(manifest) {
            Verdict::SameInOtherWords
        } else if now.as_ref().is_none_or(|now| now.may_become(manifest)) {
            Verdict::Continued
        } else if let (Some(now), Some(before)) = (now, before)
            && before.may_become(manifest)
            && !manifest.mentions_new_of(&now, &before)
        {
            // Our change did not come to the disk, and another server went on from the former state.
            Verdict::Continued
        } else if self.is_another(text, manifest) {
            Verdict::Replaced
        } else {
            Verdict::Damaged
        }
    }

    /// Bytes that flip keep the length, and a lost line adds none: a text of another length that names what was never
    /// written here is somebody's own. Whether the files that it names are there is seen when they are read.
    fn is_another(&self, text: &[u8], manifest: &Manifest) -> bool {
        let lines = |known: &String| known.lines().count();
        let written = text.iter().filter(|b| **b == b'\n').count();
        let other_length = [&self.now, &self.before]
            .iter()
            .all(|known| text.len() != known.len() && written >= lines(known));
        let is_known = |name: &str| {
            let quoted = quoted(name);
            [&self.now, &self.before]
                .iter()
                .any(|known| known.contains(&*quoted))
        };
        other_length && manifest.live().any(|part| !is_known(&part.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal() -> Seal {
        let mut sums = BTreeMap::new();
        sums.insert(
            "a b.aof.1.base.rdb".into(),
            Sum {
                len: 88,
                crc: 0x0123_4567_89ab_cdef,
            },
        );
        sums.insert("a.aof.1.incr.aof".into(), Sum { len: 0, crc: 0 });
        Seal {
            now: "file a.1.base.rdb seq 1 type b\nfile a.2.incr.aof seq 2 type i\n".into(),
            before: "file a.1.base.rdb seq 1 type b\n".into(),
            sums,
            follows: [
                (
                    "a.1.base.rdb".to_owned(),
                    Behind {
                        part: 2,
                        unit: None,
                    },
                ),
                (
                    "a.2.base.rdb".to_owned(),
                    Behind {
                        part: 3,
                        unit: Some(77),
                    },
                ),
            ]
            .into(),
        }
    }

    #[test]
    fn is_read_as_written_and_every_flipped_bit_is_found() {
        let mut bytes = seal().text().into_bytes();
        assert_eq!(Seal::parse(&bytes), Some(seal()));
        assert_eq!(
            Seal::parse(Seal::default().text().as_bytes()),
            Some(Seal::default())
        );
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Seal::parse(&bytes), None, "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        for cut in 0..bytes.len() {
            assert_eq!(Seal::parse(&bytes[..cut]), None, "cut at {cut}");
        }
    }

    /// A manifest that somebody wrote by hand, over files of the same names, is his; one that has lost a line is not.
    #[test]
    fn a_manifest_of_somebody_else_is_told_from_a_damaged_one() {
        let seal = seal();
        let judge = |text: &str| {
            let manifest = Manifest::parse(text.as_bytes()).unwrap();
            seal.judge(text.as_bytes(), &manifest)
        };
        let own = "file a.1.base.aof seq 1 type b\nfile a.1.incr.aof seq 1 type i\nfile a.3.incr.aof seq 3 type i\n";
        assert_eq!(judge(own), Verdict::Replaced);
        assert_eq!(judge("file a.2.incr.aof seq 2 type i\n"), Verdict::Damaged);
    }

    /// Whatever is flipped in a manifest is refused, or says the same.
    #[test]
    fn flips_of_the_manifest_are_found() {
        let seal = seal();
        let good = seal.now.clone().into_bytes();
        assert_eq!(
            seal.judge(&good, &Manifest::parse(&good).unwrap()),
            Verdict::Ours
        );
        let mut same = 0;
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            match Manifest::parse(&bad).map(|manifest| seal.judge(&bad, &manifest)) {
                Err(_) | Ok(Verdict::Damaged) => {}
                Ok(Verdict::SameInOtherWords) => same += 1,
                Ok(other) => panic!("bit {bit}: {other:?} for {}", String::from_utf8_lossy(&bad)),
            }
        }
        assert!(same > 0, "keywords in capitals mean the same");
    }
}
