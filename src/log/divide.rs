//! Units of which the file and the replicas get different commands, because a script said so (`redis.set_repl`).
//!
//! The stream of the replicas is what the log's offset counts. What the file gets in the place of such a unit stands beside
//! it, with the offset behind the unit, so that replies wait for the right thing. If nothing is left for the replicas,
//! they get a PING: an offset names one state of the data only.

use super::{CommandLog, Consumer, EXEC, MULTI, SELECT, Unit, encode, is_select};

/// A command of the unit.
struct Part {
    text: Vec<u8>,
    /// The database that it needs, if it is not the one of the command before it.
    select: Option<usize>,
    keep: bool,
    only: Option<Consumer>,
}

/// What one consumer gets.
#[derive(Default)]
struct Side {
    text: Vec<u8>,
    commands: usize,
    selected: Option<usize>,
}

impl Side {
    fn select(&mut self, db: Option<usize>) {
        if let Some(index) = db.filter(|_| db != self.selected) {
            let mut text = itoa::Buffer::new();
            let words = [&b"SELECT"[..], text.format(index).as_bytes()];
            encode(&mut self.text, words.into_iter());
            (self.selected, self.commands) = (db, self.commands + 1);
        }
    }

    fn push(&mut self, db: Option<usize>, text: &[u8]) {
        self.select(db);
        self.text.extend_from_slice(text);
        self.commands += 1;
    }

    /// As one unit.
    fn whole(self) -> Vec<u8> {
        if self.commands > 1 {
            [MULTI, &self.text, EXEC].concat()
        } else {
            self.text
        }
    }
}

impl CommandLog {
    /// Makes two of the present unit: one for the replicas, and what the file gets instead.
    pub(super) fn divide(&mut self) {
        let parts = self.parts();
        let side = || Side {
            selected: self.unit_db,
            ..Side::default()
        };
        let (mut file, mut replicas) = (side(), side());
        let mut db = self.unit_db;
        for part in &parts {
            db = part.select.or(db);
            if part.keep && part.only != Some(Consumer::Replicas) {
                file.push(db, &part.text);
            }
            if part.only != Some(Consumer::File) {
                replicas.push(db, &part.text);
            }
        }
        if replicas.commands == 0 {
            encode(&mut replicas.text, [&b"PING"[..]].into_iter());
        }
        // Both leave the same database selected: the next unit is for both.
        self.selected = replicas.selected;
        file.select(replicas.selected);
        let same = file.text == replicas.text;
        let text = replicas.whole();
        self.offset -= (self.pending.len() - self.unit_start) as u64;
        self.offset += text.len() as u64;
        self.pending.truncate(self.unit_start);
        self.pending.extend_from_slice(&text);
        self.units.truncate(self.unit);
        if self.file && !same && file.commands > 0 {
            self.instead.push((self.units.len(), file.whole()));
        }
        self.units.push(Unit {
            end: self.pending.len(),
            keep: same,
        });
    }

    /// The commands of the present unit, without the SELECTs between them.
    fn parts(&mut self) -> Vec<Part> {
        let single = std::mem::take(&mut self.single);
        let mut start = self.unit_start;
        let mut parts = Vec::new();
        for (index, unit) in self.units.iter().enumerate().skip(self.unit) {
            let mut text = &self.pending[start..unit.end];
            let mut select = None;
            if is_select(text) {
                // "$1\r\n3\r\n": the length, then the index.
                let mut lines = text[SELECT.len()..].split(|byte| *byte == b'\n');
                let (length, digits) = (lines.next(), lines.next());
                let (length, digits) = (length.unwrap_or_default(), digits.unwrap_or_default());
                let digits = digits.strip_suffix(b"\r").unwrap_or(digits);
                select = std::str::from_utf8(digits)
                    .ok()
                    .and_then(|d| d.parse().ok());
                text = &text[SELECT.len() + length.len() + 1 + digits.len() + 2..];
            }
            parts.push(Part {
                text: text.to_vec(),
                select,
                keep: unit.keep,
                only: single
                    .iter()
                    .find(|(at, _)| *at == index)
                    .map(|(_, only)| *only),
            });
            start = unit.end;
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::super::Spread;
    use super::*;

    fn words(text: &[u8]) -> Vec<String> {
        let text = String::from_utf8_lossy(text);
        let lines = text.split("\r\n");
        lines
            .filter(|line| !line.is_empty() && !line.starts_with(['*', '$']))
            .map(str::to_owned)
            .collect()
    }

    /// What replicas and file get of commands (database, word, for whom).
    fn spread(commands: &[(usize, &str, Spread)]) -> (String, String) {
        let mut log = CommandLog::default();
        log.attach(Consumer::File);
        log.attach(Consumer::Replicas);
        log.append(0, [&b"before"[..]].into_iter());
        log.end_unit(true);
        for (db, word, spread) in commands {
            log.spread = *spread;
            log.append(*db, [word.as_bytes()].into_iter());
        }
        log.spread = Spread::All;
        log.end_unit(true);
        log.append(0, [&b"behind"[..]].into_iter());
        log.end_unit(true);
        let taken = log.take();
        assert_eq!(taken.offset, taken.bytes.len() as u64);
        let (mut file, mut start) = (Vec::new(), 0);
        for (index, unit) in taken.units.iter().enumerate() {
            match taken.instead.iter().find(|(at, _)| *at == index) {
                Some((_, text)) => file.extend_from_slice(text),
                None if unit.keep => file.extend_from_slice(&taken.bytes[start..unit.end]),
                None => {}
            }
            start = unit.end;
        }
        (words(&taken.bytes).join(" "), words(&file).join(" "))
    }

    #[test]
    fn each_consumer_gets_its_part_as_one_unit() {
        let (file, replicas) = (
            Spread::Only(Consumer::File),
            Spread::Only(Consumer::Replicas),
        );
        let unit = [
            (0, "a", Spread::All),
            (0, "b", Spread::Nobody),
            (0, "c", file),
            (0, "d", Spread::All),
        ];
        assert_eq!(
            spread(&unit),
            (
                "SELECT 0 before MULTI a d EXEC behind".into(),
                "SELECT 0 before MULTI a c d EXEC behind".into()
            )
        );
        assert_eq!(
            spread(&[(0, "a", file)]),
            (
                "SELECT 0 before PING behind".into(),
                "SELECT 0 before a behind".into()
            )
        );
        assert_eq!(
            spread(&[(0, "a", replicas), (0, "b", replicas)]),
            (
                "SELECT 0 before MULTI a b EXEC behind".into(),
                "SELECT 0 before behind".into()
            )
        );
    }

    #[test]
    fn both_have_the_same_database_selected_behind_it() {
        let (file, replicas) = (
            Spread::Only(Consumer::File),
            Spread::Only(Consumer::Replicas),
        );
        assert_eq!(
            spread(&[(0, "a", Spread::All), (3, "b", file), (12, "c", replicas)]),
            (
                "SELECT 0 before MULTI a SELECT 12 c EXEC SELECT 0 behind".into(),
                "SELECT 0 before MULTI a SELECT 3 b SELECT 12 EXEC SELECT 0 behind".into()
            )
        );
        assert_eq!(
            spread(&[(0, "a", replicas), (3, "b", file)]),
            (
                "SELECT 0 before a behind".into(),
                "SELECT 0 before MULTI SELECT 3 b SELECT 0 EXEC behind".into()
            )
        );
    }
}
