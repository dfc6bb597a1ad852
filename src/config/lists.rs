//! Directives whose value is a list: `save`, `bind`, `client-output-buffer-limit` and their like.

use super::directive::{Kind, When};
use super::line::quote;
use super::setting::{Setting, join, parse_int};
use crate::base::memsize;
use bitflags::bitflags;

fn joined(parts: impl IntoIterator<Item = String>) -> Vec<u8> {
    parts.into_iter().collect::<Vec<_>>().join(" ").into_bytes()
}

fn utf8(word: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(word).map_err(|_| "argument must be valid UTF-8".into())
}

/// Save after `seconds` if at least `changes` keys changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SaveRule {
    pub seconds: u32,
    pub changes: u32,
}

/// `save`: the lines of a file add up; the first one takes the place of the built-in rules.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SaveRules(pub Vec<SaveRule>);

impl Setting for SaveRules {
    fn update(&mut self, _: Kind, words: &[Vec<u8>], when: When) -> Result<(), String> {
        let invalid = || "Invalid save parameters".to_string();
        let bounded = |word: &[u8], low: i64| {
            parse_int(word)
                .filter(|n| *n >= low)
                .and_then(|n| u32::try_from(n).ok())
                .filter(|n| *n <= i32::MAX as u32)
        };
        if !words.len().is_multiple_of(2) {
            return Err(invalid());
        }
        let mut rules = Vec::with_capacity(words.len() / 2);
        for pair in words.chunks_exact(2) {
            let seconds = bounded(&pair[0], 1).ok_or_else(invalid)?;
            let changes = bounded(&pair[1], 0).ok_or_else(invalid)?;
            rules.push(SaveRule { seconds, changes });
        }
        if rules.is_empty() || when != (When::Start { first: false }) {
            self.0.clear();
        }
        self.0.append(&mut rules);
        Ok(())
    }

    fn text(&self, _: Kind) -> Vec<u8> {
        joined(
            self.0
                .iter()
                .map(|rule| format!("{} {}", rule.seconds, rule.changes)),
        )
    }

    fn lines(&self, name: &str, _: Kind) -> Vec<Vec<u8>> {
        if self.0.is_empty() {
            return vec![join(name, b"\"\"")];
        }
        self.0
            .iter()
            .map(|rule| format!("{name} {} {}", rule.seconds, rule.changes).into_bytes())
            .collect()
    }
}

/// `bind`: addresses, a leading `-` marks one that may be missing on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bind(pub Vec<String>);

/// Redis' own limit.
const BIND_ADDRESSES_MAX: usize = 16;

impl Bind {
    /// The addresses with the mark taken off: `(address, may be missing)`.
    pub fn addresses(&self) -> impl Iterator<Item = (&str, bool)> {
        self.0
            .iter()
            .map(|address| match address.strip_prefix('-') {
                Some(optional) => (optional, true),
                None => (address.as_str(), false),
            })
    }
}

impl Setting for Bind {
    fn update(&mut self, _: Kind, words: &[Vec<u8>], _: When) -> Result<(), String> {
        if words.len() > BIND_ADDRESSES_MAX {
            return Err("Too many bind addresses specified.".into());
        }
        let addresses = words.iter().map(|word| utf8(word).map(str::to_string));
        self.0 = addresses.collect::<Result<_, _>>()?;
        self.0.retain(|address| !address.is_empty());
        Ok(())
    }

    fn text(&self, _: Kind) -> Vec<u8> {
        joined(self.0.iter().cloned())
    }

    fn lines(&self, name: &str, kind: Kind) -> Vec<Vec<u8>> {
        let text = self.text(kind);
        vec![join(name, if text.is_empty() { b"\"\"" } else { &text })]
    }
}

/// The limits of one class of clients; 0 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OutputLimit {
    pub hard_bytes: u64,
    pub soft_bytes: u64,
    pub soft_seconds: u32,
}

/// `client-output-buffer-limit` by class. Setting one class leaves the others alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OutputLimits {
    pub normal: OutputLimit,
    pub replica: OutputLimit,
    pub pubsub: OutputLimit,
}

impl OutputLimits {
    fn class(&mut self, name: &[u8]) -> Option<&mut OutputLimit> {
        match name.to_ascii_lowercase().as_slice() {
            b"normal" => Some(&mut self.normal),
            b"slave" | b"replica" => Some(&mut self.replica),
            b"pubsub" => Some(&mut self.pubsub),
            _ => None,
        }
    }

    pub fn by_class(&self) -> [OutputLimit; 3] {
        [self.normal, self.replica, self.pubsub]
    }
}

impl Setting for OutputLimits {
    fn update(&mut self, _: Kind, words: &[Vec<u8>], _: When) -> Result<(), String> {
        if !words.len().is_multiple_of(4) {
            return Err("Wrong number of arguments in buffer limit configuration.".into());
        }
        let mut limits = *self;
        for group in words.chunks_exact(4) {
            let class = limits
                .class(&group[0])
                .ok_or("Invalid client class specified in buffer limit configuration.")?;
            let parse = || -> Option<OutputLimit> {
                Some(OutputLimit {
                    hard_bytes: memsize::parse(&group[1])?,
                    soft_bytes: memsize::parse(&group[2])?,
                    soft_seconds: parse_int(&group[3])
                        .filter(|n| *n <= i64::from(i32::MAX))?
                        .try_into()
                        .ok()?,
                })
            };
            *class = parse().ok_or(
                "Error in hard, soft or soft_seconds setting in buffer limit configuration.",
            )?;
        }
        *self = limits;
        Ok(())
    }

    fn text(&self, _: Kind) -> Vec<u8> {
        let classes = ["normal", "slave", "pubsub"]
            .into_iter()
            .zip(self.by_class());
        joined(classes.map(|(class, limit)| {
            format!(
                "{class} {} {} {}",
                limit.hard_bytes, limit.soft_bytes, limit.soft_seconds
            )
        }))
    }

    fn lines(&self, name: &str, _: Kind) -> Vec<Vec<u8>> {
        let classes = ["normal", "replica", "pubsub"]
            .into_iter()
            .zip(self.by_class());
        let line = |(class, limit): (&str, OutputLimit)| {
            let (hard, soft) = (
                memsize::format(limit.hard_bytes),
                memsize::format(limit.soft_bytes),
            );
            format!("{name} {class} {hard} {soft} {}", limit.soft_seconds).into_bytes()
        };
        classes.map(line).collect()
    }
}

/// `oom-score-adj-values` for a master, a replica, and background children, of which there are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OomScores(pub [i32; 3]);

impl Setting for OomScores {
    fn update(&mut self, _: Kind, words: &[Vec<u8>], _: When) -> Result<(), String> {
        let [primary, replica, child] = words else {
            return Err("wrong number of arguments".into());
        };
        let score = |word: &Vec<u8>| {
            parse_int(word)
                .filter(|score| (-2000..=2000).contains(score))
                .map(|score| score as i32)
                .ok_or("Invalid oom-score-adj-values, elements must be between -2000 and 2000.")
        };
        self.0 = [score(primary)?, score(replica)?, score(child)?];
        Ok(())
    }

    fn text(&self, _: Kind) -> Vec<u8> {
        joined(self.0.iter().map(i32::to_string))
    }
}

/// `latency-tracking-info-percentiles`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Percentiles(pub Vec<f64>);

impl Setting for Percentiles {
    fn update(&mut self, _: Kind, words: &[Vec<u8>], _: When) -> Result<(), String> {
        let mut percentiles = Vec::with_capacity(words.len());
        for word in words {
            let value = utf8(word)
                .ok()
                .and_then(|text| text.parse::<f64>().ok())
                .filter(|value| !value.is_nan());
            let value = value.ok_or("Invalid latency-tracking-info-percentiles parameters")?;
            if !(0.0..=100.0).contains(&value) {
                return Err(
                    "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]"
                        .into(),
                );
            }
            percentiles.push(value);
        }
        self.0 = percentiles;
        Ok(())
    }

    fn text(&self, _: Kind) -> Vec<u8> {
        joined(self.0.iter().map(f64::to_string))
    }

    fn lines(&self, name: &str, kind: Kind) -> Vec<Vec<u8>> {
        let text = self.text(kind);
        vec![join(name, if text.is_empty() { b"\"\"" } else { &text })]
    }
}

bitflags! {
    /// `notify-keyspace-events`: which kinds of events are published, and where.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct NotifyEvents: u32 {
        const KEYSPACE = 1;
        const KEYEVENT = 1 << 1;
        const GENERIC = 1 << 2;
        const STRING = 1 << 3;
        const LIST = 1 << 4;
        const SET = 1 << 5;
        const HASH = 1 << 6;
        const ZSET = 1 << 7;
        const EXPIRED = 1 << 8;
        const EVICTED = 1 << 9;
        const STREAM = 1 << 10;
        const KEY_MISS = 1 << 11;
        const MODULE = 1 << 13;
        const NEW = 1 << 14;
    }
}

impl NotifyEvents {
    /// What `A` stands for: every class but misses and new keys.
    pub const ALL: NotifyEvents = NotifyEvents::GENERIC
        .union(NotifyEvents::STRING)
        .union(NotifyEvents::LIST)
        .union(NotifyEvents::SET)
        .union(NotifyEvents::HASH)
        .union(NotifyEvents::ZSET)
        .union(NotifyEvents::EXPIRED)
        .union(NotifyEvents::EVICTED)
        .union(NotifyEvents::STREAM)
        .union(NotifyEvents::MODULE);

    /// In the order in which Redis writes them back.
    const LETTERS: [(char, NotifyEvents); 15] = [
        ('A', NotifyEvents::ALL),
        ('g', NotifyEvents::GENERIC),
        ('$', NotifyEvents::STRING),
        ('l', NotifyEvents::LIST),
        ('s', NotifyEvents::SET),
        ('h', NotifyEvents::HASH),
        ('z', NotifyEvents::ZSET),
        ('x', NotifyEvents::EXPIRED),
        ('e', NotifyEvents::EVICTED),
        ('t', NotifyEvents::STREAM),
        ('d', NotifyEvents::MODULE),
        ('K', NotifyEvents::KEYSPACE),
        ('E', NotifyEvents::KEYEVENT),
        ('m', NotifyEvents::KEY_MISS),
        ('n', NotifyEvents::NEW),
    ];
}

impl Setting for NotifyEvents {
    fn update(&mut self, _: Kind, words: &[Vec<u8>], _: When) -> Result<(), String> {
        let mut events = NotifyEvents::empty();
        for letter in words.iter().flatten() {
            let known = Self::LETTERS
                .iter()
                .find(|(known, _)| *known == char::from(*letter));
            let (_, flag) = known.ok_or("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.")?;
            events |= *flag;
        }
        *self = events;
        Ok(())
    }

    fn text(&self, _: Kind) -> Vec<u8> {
        let all = self.contains(Self::ALL);
        let shown = |(letter, flag): &&(char, NotifyEvents)| {
            self.contains(*flag) && (*letter == 'A' || !all || !Self::ALL.contains(*flag))
        };
        Self::LETTERS
            .iter()
            .filter(shown)
            .map(|(letter, _)| *letter)
            .collect::<String>()
            .into_bytes()
    }
}

bitflags! {
    /// `shutdown-on-sigterm` and `shutdown-on-sigint`; empty is `default`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct ShutdownOn: u8 {
        const SAVE = 1;
        const NOSAVE = 1 << 1;
        const NOW = 1 << 2;
        const FORCE = 1 << 3;
    }
}

impl ShutdownOn {
    pub const NAMES: &'static [&'static str] = &["default", "save", "nosave", "now", "force"];
    const FLAGS: [ShutdownOn; 5] = [
        ShutdownOn::empty(),
        ShutdownOn::SAVE,
        ShutdownOn::NOSAVE,
        ShutdownOn::NOW,
        ShutdownOn::FORCE,
    ];
}

impl Setting for ShutdownOn {
    fn update(&mut self, _: Kind, words: &[Vec<u8>], _: When) -> Result<(), String> {
        let invalid = || {
            format!(
                "argument(s) must be one of the following: {}",
                Self::NAMES.join(", ")
            )
        };
        if words.is_empty() {
            return Err(invalid());
        }
        let mut flags = ShutdownOn::empty();
        for word in words {
            let position = Self::NAMES
                .iter()
                .position(|name| name.as_bytes().eq_ignore_ascii_case(word));
            flags |= Self::FLAGS[position.ok_or_else(invalid)?];
        }
        if flags.contains(ShutdownOn::SAVE | ShutdownOn::NOSAVE) {
            return Err("shutdown options SAVE and NOSAVE can't be used simultaneously".into());
        }
        *self = flags;
        Ok(())
    }

    fn text(&self, _: Kind) -> Vec<u8> {
        if self.is_empty() {
            return b"default".to_vec();
        }
        let names = Self::NAMES.iter().zip(Self::FLAGS).skip(1);
        joined(
            names
                .filter(|(_, flag)| self.contains(*flag))
                .map(|(name, _)| name.to_string()),
        )
    }
}

/// Words of any number: the patterns of `track-prefix`, the names of `metrics-hosts`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Words(pub Vec<Vec<u8>>);

impl Setting for Words {
    fn update(&mut self, _: Kind, words: &[Vec<u8>], _: When) -> Result<(), String> {
        self.0 = words
            .iter()
            .filter(|word| !word.is_empty())
            .cloned()
            .collect();
        Ok(())
    }

    fn text(&self, _: Kind) -> Vec<u8> {
        self.0.join(&b' ')
    }

    fn lines(&self, name: &str, _: Kind) -> Vec<Vec<u8>> {
        let quoted: Vec<Vec<u8>> = self.0.iter().map(|word| quote(word)).collect();
        vec![join(
            name,
            if quoted.is_empty() {
                b"\"\"".to_vec()
            } else {
                quoted.join(&b' ')
            }
            .as_slice(),
        )]
    }
}

/// `replicaof`: the master, if this server is a replica.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReplicaOf(pub Option<(String, u16)>);

impl Setting for ReplicaOf {
    fn update(&mut self, _: Kind, words: &[Vec<u8>], _: When) -> Result<(), String> {
        let [host, port] = words else {
            return Err("wrong number of arguments".into());
        };
        if host.eq_ignore_ascii_case(b"no") && port.eq_ignore_ascii_case(b"one") {
            self.0 = None;
            return Ok(());
        }
        let port = parse_int(port)
            .and_then(|port| u16::try_from(port).ok())
            .ok_or("Invalid master port")?;
        self.0 = Some((utf8(host)?.to_string(), port));
        Ok(())
    }

    fn text(&self, _: Kind) -> Vec<u8> {
        self.0.as_ref().map_or_else(Vec::new, |(host, port)| {
            format!("{host} {port}").into_bytes()
        })
    }

    /// No line at all for a server that is no replica.
    fn lines(&self, name: &str, kind: Kind) -> Vec<Vec<u8>> {
        self.0
            .iter()
            .map(|_| join(name, &self.text(kind)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use When::*;

    fn words(text: &str) -> Vec<Vec<u8>> {
        text.split(' ')
            .filter(|w| !w.is_empty())
            .map(|w| w.as_bytes().to_vec())
            .collect()
    }

    fn set<T: Setting>(value: &mut T, text: &str) -> Result<String, String> {
        value.update(Kind::Save, &words(text), Running)?;
        Ok(String::from_utf8(value.text(Kind::Save)).unwrap())
    }

    #[test]
    fn save_lines_add_up_after_the_first() {
        let mut rules = SaveRules(vec![SaveRule {
            seconds: 1,
            changes: 1,
        }]);
        rules
            .update(Kind::Save, &words("900 1"), Start { first: true })
            .unwrap();
        rules
            .update(Kind::Save, &words("100 100"), Start { first: false })
            .unwrap();
        assert_eq!(rules.text(Kind::Save), b"900 1 100 100");
        assert_eq!(
            rules.lines("save", Kind::Save),
            [b"save 900 1".to_vec(), b"save 100 100".to_vec()]
        );
        rules
            .update(Kind::Save, &[], Start { first: false })
            .unwrap();
        assert_eq!(rules.lines("save", Kind::Save), [b"save \"\"".to_vec()]);
        assert_eq!(set(&mut rules, "3600 1").unwrap(), "3600 1");
        for bad in ["1", "1 2 3", "0 1", "a b", "1 -1", "4294967296 1"] {
            assert_eq!(
                set(&mut rules, bad).unwrap_err(),
                "Invalid save parameters",
                "{bad}"
            );
        }
    }

    #[test]
    fn output_limits_change_only_the_named_class() {
        let mut limits = OutputLimits::default();
        let shown = set(&mut limits, "REPLICA 1mb 2 3 pubsub 4k 5 6").unwrap();
        assert_eq!(shown, "normal 0 0 0 slave 1048576 2 3 pubsub 4000 5 6");
        let before = limits;
        for (bad, text) in [
            (
                "normal 1 2",
                "Wrong number of arguments in buffer limit configuration.",
            ),
            (
                "master 1 2 3",
                "Invalid client class specified in buffer limit configuration.",
            ),
            (
                "normal 1 2 3 pubsub 1 2 -3",
                "Error in hard, soft or soft_seconds setting in buffer limit configuration.",
            ),
        ] {
            assert_eq!(set(&mut limits, bad).unwrap_err(), text);
            assert_eq!(limits, before);
        }
    }

    #[test]
    fn notify_letters_come_back_in_order() {
        let mut events = NotifyEvents::default();
        for (given, shown) in [
            ("KA", "AK"),
            ("KEA", "AKE"),
            ("Kg$lshzxetd", "AK"),
            ("gt", "gt"),
            ("KEgxmnd", "gxdKEmn"),
            ("", ""),
        ] {
            assert_eq!(set(&mut events, given).unwrap(), shown);
        }
        assert!(
            set(&mut events, "xyz")
                .unwrap_err()
                .starts_with("Invalid event class character.")
        );
    }

    #[test]
    fn shutdown_flags() {
        let mut flags = ShutdownOn::default();
        assert_eq!(set(&mut flags, "force save").unwrap(), "save force");
        assert_eq!(
            set(&mut flags, "nosave force now").unwrap(),
            "nosave now force"
        );
        assert_eq!(set(&mut flags, "default SAVE").unwrap(), "save");
        assert!(set(&mut flags, "save nosave").is_err());
        assert!(
            set(&mut flags, "")
                .unwrap_err()
                .starts_with("argument(s) must be one of the following: default, save")
        );
    }

    #[test]
    fn scores_percentiles_master_and_addresses() {
        let mut scores = OomScores::default();
        assert_eq!(set(&mut scores, "5 2 -1").unwrap(), "5 2 -1");
        assert_eq!(
            set(&mut scores, "1").unwrap_err(),
            "wrong number of arguments"
        );
        assert!(
            set(&mut scores, "2001 0 0")
                .unwrap_err()
                .contains("must be between -2000 and 2000")
        );

        let mut percentiles = Percentiles::default();
        assert_eq!(set(&mut percentiles, "50 99.999").unwrap(), "50 99.999");
        assert_eq!(set(&mut percentiles, "").unwrap(), "");
        for bad in ["101", "-1"] {
            assert!(
                set(&mut percentiles, bad)
                    .unwrap_err()
                    .contains("[0.0,100.0]")
            );
        }
        for bad in ["abc", "nan"] {
            assert_eq!(
                set(&mut percentiles, bad).unwrap_err(),
                "Invalid latency-tracking-info-percentiles parameters"
            );
        }

        let mut master = ReplicaOf::default();
        assert_eq!(set(&mut master, "h 6379").unwrap(), "h 6379");
        assert_eq!(
            set(&mut master, "h abc").unwrap_err(),
            "Invalid master port"
        );
        assert_eq!(set(&mut master, "NO one").unwrap(), "");

        let mut bind = Bind::default();
        assert_eq!(set(&mut bind, "127.0.0.1 -::1").unwrap(), "127.0.0.1 -::1");
        assert_eq!(
            bind.addresses().collect::<Vec<_>>(),
            [("127.0.0.1", false), ("::1", true)]
        );
        assert_eq!(
            set(&mut bind, &"1 ".repeat(17)).unwrap_err(),
            "Too many bind addresses specified."
        );
    }
}
