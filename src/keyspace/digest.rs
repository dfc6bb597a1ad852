//! The digest of a data set or a value, as `DEBUG DIGEST` shows it: equal to Redis' for equal data,
//! whatever the encodings.
//!
//! Two ways of adding to a digest: `mix`, where order counts, and `xor`, where it does not.
//! Databases, keys and lists are mixed or xored so that the result depends on what is stored and
//! not on the order of tables.

use sha1::{Digest as _, Sha1};

use super::Keyspace;
use crate::value::entry::Entry;
use crate::value::hash::Hash;
use crate::value::list::List;
use crate::value::set::Set;
use crate::value::stream::{StreamId, StreamMut};
use crate::value::zset::Zset;
use crate::value::{Collection, Type};

/// A digest; all zeros stand for nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest([u8; 20]);

impl Digest {
    fn xor(&mut self, bytes: &[u8]) {
        let hash = Sha1::digest(bytes);
        self.0
            .iter_mut()
            .zip(hash)
            .for_each(|(mine, other)| *mine ^= other);
    }

    fn mix(&mut self, bytes: &[u8]) {
        self.xor(bytes);
        self.0 = Sha1::digest(self.0).into();
    }

    /// 40 hex digits.
    pub fn hex(&self) -> String {
        self.0.iter().map(|b| format!("{b:02x}")).collect()
    }
}

/// The numbers of types that go into digests: those of Redis' files.
fn type_number(value_type: Type) -> u32 {
    match value_type {
        Type::String => 0,
        Type::List => 1,
        Type::Set => 2,
        Type::Zset => 3,
        Type::Hash => 4,
        Type::Stream => 6,
    }
}

/// The digest of all databases.
pub fn of_keyspace(ks: &Keyspace) -> Digest {
    let mut all = Digest::default();
    for (index, db) in ks
        .dbs
        .iter()
        .enumerate()
        .filter(|(_, db)| !db.table.is_empty())
    {
        all.mix(&(index as u32).to_be_bytes());
        for entry in db.table.iter() {
            let mut digest = Digest::default();
            digest.mix(entry.key());
            add_value(&mut digest, entry);
            all.xor(&digest.0);
        }
    }
    all
}

/// The digest of a value and whether it has an expiry, without its key.
pub fn of_value(entry: &Entry) -> Digest {
    let mut digest = Digest::default();
    add_value(&mut digest, entry);
    digest
}

fn add_value(digest: &mut Digest, entry: &Entry) {
    let payload = entry.payload();
    let value_type = payload.value_type();
    digest.mix(&type_number(value_type).to_be_bytes());
    match value_type {
        Type::String => {
            if let Some(text) = super::Text::of(payload) {
                digest.mix(&text);
            }
        }
        Type::List => {
            if let Some(list) = <List as Collection>::view(payload) {
                list.range(0, list.len(), |elem| {
                    elem.with_bytes(|bytes| digest.mix(bytes))
                });
            }
        }
        Type::Set => {
            let members = Set::view(payload).into_iter().flat_map(|set| set.iter());
            members.for_each(|member| member.with_bytes(|bytes| digest.xor(bytes)));
        }
        Type::Zset => {
            for (member, score) in Zset::view(payload).into_iter().flat_map(|zset| zset.iter()) {
                let mut one = Digest::default();
                member.with_bytes(|bytes| one.mix(bytes));
                one.mix(exact(score).as_bytes());
                digest.xor(&one.0);
            }
        }
        Type::Hash => {
            for field in Hash::view(payload).into_iter().flat_map(|hash| hash.iter()) {
                let mut one = Digest::default();
                field.field.with_bytes(|bytes| one.mix(bytes));
                field.value.with_bytes(|bytes| one.mix(bytes));
                if field.expire.is_some() {
                    one.xor(b"!!hexpire!!");
                }
                digest.xor(&one.0);
            }
        }
        Type::Stream => {
            // Groups are not part of it.
            for item in StreamMut::view(payload)
                .into_iter()
                .flat_map(|stream| stream.range(StreamId::MIN, StreamId::MAX))
            {
                digest.mix(format!("{}.{}", item.id.ms, item.id.seq).as_bytes());
                item.each(|field, value| {
                    field.with_bytes(|bytes| digest.mix(bytes));
                    value.with_bytes(|bytes| digest.mix(bytes));
                });
            }
        }
    }
    if entry.expire().is_some() {
        digest.xor(b"!!expire!!");
    }
}

/// A double with 17 significant digits in the shorter of plain and scientific form, without
/// trailing zeros: C's `%.17g`, which keeps every bit.
fn exact(value: f64) -> String {
    const DIGITS: i32 = 17;
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.into();
    }
    let scientific = format!("{value:.*e}", DIGITS as usize - 1);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |text: &str| {
        if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            text.to_owned()
        }
    };
    if (-4..DIGITS).contains(&exponent) {
        return trim(&format!("{value:.*}", (DIGITS - 1 - exponent) as usize));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trim(mantissa), exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::exact;
    use crate::command::testing::Bench;

    /// As C's printf writes them.
    #[test]
    fn doubles_with_seventeen_digits() {
        let cases = [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (0.1, "0.10000000000000001"),
            (-2.5, "-2.5"),
            (1e16, "10000000000000000"),
            (1e17, "1e+17"),
            (1.5e300, "1.5000000000000001e+300"),
            (0.0001, "0.0001"),
            (0.00001, "1.0000000000000001e-05"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
        ];
        for (value, text) in cases {
            assert_eq!(exact(value), text);
        }
    }

    /// Recorded from redis-server 7.0.15.
    #[test]
    fn digests_are_redis_own() {
        let mut bench = Bench::new();
        let digest = super::of_keyspace(&bench.server.ks).hex();
        assert_eq!(digest, "0".repeat(40));
        bench.say("SET s abc");
        bench.say("SET i 123");
        let of = |bench: &Bench, key: &[u8]| {
            let ks = &bench.server.ks;
            let hash = ks.seed.hash_bytes(key);
            super::of_value(ks.dbs[0].table.get(hash, key).expect("the key is there")).hex()
        };
        assert_eq!(of(&bench, b"s"), "21ffcd2d36aebffca02995acb412bcb827d4c1db");
        assert_eq!(of(&bench, b"i"), "89f7f51b707418f666d5b45e053bd5bbbf82ac2b");
        bench.say("RPUSH l a b c");
        bench.say("HSET h a 1 b 2");
        bench.say("SADD t 1 2 a");
        assert_eq!(of(&bench, b"l"), "8bf72d812571eea9b927f3c11beb0c4165a6ff89");
        assert_eq!(of(&bench, b"h"), "6c8f22b3bf510fdcfd6122dd0f908a80e88243bf");
        assert_eq!(of(&bench, b"t"), "db6fa6d247dc5fcf296628e955a082dc9cd0b645");
        for (score, digest) in [
            ("0.1", "285a6e508750d13f749019c7cddbd43bf282cb72"),
            ("-0.0", "669bd9943b43e6b31f3ab60847ee6a38dd154aba"),
            ("3.5e-7", "ab74345e8d0b415e9e122019a446be0d7b647fb9"),
            ("1e17", "70af2b12199c199e3b8261113e3a31ab1dc7490d"),
        ] {
            bench.say("DEL z");
            bench.say(&format!("ZADD z {score} m"));
            assert_eq!(of(&bench, b"z"), digest, "{score}");
        }
    }
}
