use super::*;
use crate::base::rng::Rng;
use std::collections::{BTreeMap, BTreeSet};

const NOW: i64 = 1_000_000;

type Model = BTreeMap<Vec<u8>, (Vec<u8>, Option<i64>)>;

fn small_limits() -> Limits {
    Limits {
        hash_entries: 10,
        hash_value: 20,
        ..Limits::default()
    }
}

fn content(hash: HashRef<'_>) -> Model {
    hash.iter()
        .map(|f| (f.field.to_vec(), (f.value.to_vec(), f.expire)))
        .collect()
}

fn field(rng: &mut Rng, kinds: u64) -> Vec<u8> {
    let n = rng.below(16);
    match rng.below(kinds) {
        0 => format!("f{n}"),
        1 => n.to_string(),
        _ => format!("a field of some length {n}"),
    }
    .into_bytes()
}

fn value(rng: &mut Rng, kinds: u64) -> Vec<u8> {
    match rng.below(kinds) {
        0 => format!("v{}", rng.below(100)),
        1 => (rng.next_u64() as i64).to_string(),
        2 => "long".repeat(rng.below(20) as usize),
        _ => "x".repeat(1000 + rng.below(100) as usize),
    }
    .into_bytes()
}

/// The hash as it comes back out of an entry.
fn stored_and_back(hash: Hash) -> Hash {
    match hash.store() {
        Stored::Small(tag, count, bytes) => {
            let blob = Blob {
                tag,
                count,
                bytes: &bytes,
            };
            assert!(Hash::view(Payload::Packed(blob)).is_some());
            Hash::from_blob(blob, Vec::new())
        }
        Stored::Large(obj) => Hash::from_obj(obj).unwrap(),
    }
}

fn check(hash: &Hash, model: &Model) {
    assert_eq!(content(hash.read()), *model);
    let read = hash.read();
    assert_eq!(read.len(), model.len());
    assert_eq!(read.next_expiry(), model.values().filter_map(|v| v.1).min());
    let live = model.values().filter(|v| !is_past(v.1, NOW)).count();
    assert_eq!((read.live_len(NOW), read.live(NOW).count()), (live, live));
    assert_eq!(read.is_due(NOW), live < model.len());
}

#[test]
fn random_edits_match_a_map_in_every_form() {
    let limits = small_limits();
    let mut forms = BTreeSet::new();
    for seed in 0..120 {
        let mut rng = Rng::new(seed);
        let (kinds, timed) = (1 + seed % 4, seed % 3);
        let (mut hash, mut model) = (Hash::empty(), Model::new());
        let mut kept: Vec<(Hash, Model)> = Vec::new();
        for step in 0..200 {
            let (name, text) = (field(&mut rng, kinds), value(&mut rng, kinds));
            let expire = (rng.below(3) < timed).then(|| NOW - 20 + rng.below(40) as i64);
            let before = model.get(&name).cloned();
            match rng.below(10) {
                0..=3 => {
                    assert_eq!(hash.set(&name, &text, expire, &limits), before.is_none());
                    model.insert(name, (text, expire));
                }
                4 => {
                    assert_eq!(hash.set_value(&name, &text, &limits), before.is_none());
                    model.insert(name, (text, before.and_then(|b| b.1)));
                }
                5 if timed > 0 => {
                    assert_eq!(hash.set_expire(&name, expire), before.is_some());
                    model.entry(name).and_modify(|v| v.1 = expire);
                }
                5 | 6 => assert_eq!(hash.remove(&name), model.remove(&name).is_some()),
                7 => {
                    let gone = hash.purge([&name[..]].into_iter(), NOW);
                    let past = before.is_some_and(|b| is_past(b.1, NOW));
                    assert_eq!(gone.len(), usize::from(past));
                    gone.iter()
                        .for_each(|name| assert!(model.remove(name).is_some()));
                }
                8 if step % 7 == 0 => {
                    for name in hash.expire_due(NOW, 3) {
                        assert!(is_past(model.remove(&name).unwrap().1, NOW));
                    }
                }
                _ => {
                    let alive = before.filter(|b| !is_past(b.1, NOW)).map(|b| b.0);
                    assert_eq!(hash.get(&name, NOW).map(|v| v.to_vec()), alive);
                }
            }
            forms.insert(hash.read().encoding());
            hash = stored_and_back(hash);
            if step % 10 == 0 {
                check(&hash, &model);
                kept.push((hash.read().to_hash(), model.clone()));
            }
        }
        kept.push((hash, model));
        for (hash, model) in kept {
            check(&hash, &model);
        }
    }
    assert_eq!(forms, ["hashtable", "listpack", "listpackex"].into());
}

#[test]
fn forms_change_as_in_redis() {
    let limits = Limits::default();
    let grown = |n: usize| {
        let mut hash = Hash::empty();
        (0..n).for_each(|n| assert!(hash.set(format!("f{n}").as_bytes(), b"v", None, &limits)));
        hash
    };
    assert_eq!(grown(512).read().encoding(), "listpack");
    assert_eq!(grown(513).read().encoding(), "hashtable");
    for (field, value, form) in [
        (64, 64, "listpack"),
        (65, 1, "hashtable"),
        (1, 65, "hashtable"),
    ] {
        let mut hash = Hash::empty();
        hash.set(
            "f".repeat(field).as_bytes(),
            "v".repeat(value).as_bytes(),
            None,
            &limits,
        );
        assert_eq!(hash.read().encoding(), form);
    }
    let mut hash = grown(3);
    assert!(!hash.set_expire(b"none", None) && hash.set_expire(b"f1", None));
    assert_eq!(hash.read().encoding(), "listpack");
    assert!(hash.set_expire(b"f1", Some(NOW)));
    assert_eq!(hash.read().encoding(), "listpackex");
    assert!(hash.set_expire(b"f1", None));
    assert_eq!(hash.read().encoding(), "listpackex");
    for n in 3..513 {
        assert_eq!(hash.read().encoding(), "listpackex");
        hash.set(format!("f{n}").as_bytes(), b"v", None, &limits);
    }
    assert_eq!(hash.read().encoding(), "hashtable");
    while hash.len() > 1 {
        hash.remove(format!("f{}", hash.len() - 1).as_bytes());
    }
    assert_eq!(hash.read().encoding(), "hashtable");
    let mut hash = Hash::empty();
    hash.prepare(513, &limits);
    assert_eq!(hash.read().encoding(), "hashtable");
}

#[test]
fn random_choices_are_distinct_alive_and_even() {
    for count in [40, 1000] {
        for timed in [false, true] {
            let mut hash = Hash::empty();
            for n in 0..count {
                let expire = (timed && n % 4 == 0).then_some(NOW - 1);
                hash.set(format!("f{n}").as_bytes(), b"v", expire, &Limits::default());
            }
            let read = hash.read();
            let live = read.live_len(NOW);
            assert_eq!(live, if timed { count * 3 / 4 } else { count });
            let mut rng = Rng::new(9);
            for n in [0, 1, 7, count / 5, count / 2, live - 1, live, live + 5] {
                let mut seen = BTreeSet::new();
                read.sample(n, NOW, &mut rng, &mut |f| {
                    assert!(seen.insert(f.field.to_vec()))
                });
                assert_eq!(seen.len(), n.min(live));
            }
            let mut hits = BTreeMap::<Vec<u8>, u32>::new();
            for _ in 0..live * 100 {
                let field = read.random(NOW, &mut rng).unwrap();
                assert!(!is_past(field.expire, NOW));
                *hits.entry(field.field.to_vec()).or_default() += 1;
            }
            assert_eq!(hits.len(), live);
            assert!(hits.values().all(|n| (50..160).contains(n)), "{hits:?}");
        }
    }
    let mut hash = Hash::empty();
    assert!(hash.read().random(NOW, &mut Rng::new(1)).is_none());
    hash.set(b"f", b"v", Some(NOW - 1), &Limits::default());
    assert!(hash.read().random(NOW, &mut Rng::new(1)).is_none());
}

#[test]
fn scan_visits_what_stays() {
    let limits = Limits::default();
    let mut hash = Hash::empty();
    for n in 0..2000 {
        hash.set(format!("f{n}").as_bytes(), b"v", None, &limits);
    }
    let (mut seen, mut cursor, mut calls) = (BTreeSet::new(), 0, 0);
    loop {
        cursor = hash.read().scan(cursor, 10, &mut |f| {
            seen.insert(f.field.to_vec());
        });
        calls += 1;
        for n in 0..20 {
            hash.set(format!("new{calls}-{n}").as_bytes(), b"v", None, &limits);
        }
        if cursor == 0 {
            break;
        }
    }
    assert!(calls > 20 && (0..2000).all(|n| seen.contains(format!("f{n}").as_bytes())));
}

#[test]
fn fields_are_small() {
    let mut table = HashTable::default();
    let count = 100_000;
    for n in 0..count {
        table.set(
            format!("field:{n:07}").as_bytes(),
            format!("value:{n:07}").as_bytes(),
            None,
        );
    }
    let each = table.memory(0) as f64 / f64::from(count);
    assert!(each < 54.0, "{each}");
}
