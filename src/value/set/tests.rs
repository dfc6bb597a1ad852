use super::*;
use std::collections::BTreeSet;

fn small_limits() -> Limits {
    Limits {
        set_intset_entries: 20,
        set_entries: 12,
        set_value: 16,
        ..Limits::default()
    }
}

fn texts(set: SetRef<'_>) -> BTreeSet<Vec<u8>> {
    set.iter().map(|elem| elem.to_vec()).collect()
}

/// A member of the kinds that matter to the forms: small and large integers, texts of all lengths.
fn member(rng: &mut Rng, kinds: u64) -> Vec<u8> {
    let n = rng.below(30) as i64;
    match rng.below(kinds) {
        0 => n.to_string(),
        1 => (n * 1_000_000_007).to_string(),
        2 => (i64::MAX - n).to_string(),
        3 => format!("m{n}"),
        4 => format!("{n:016}"),
        _ => format!("a member of some length {n}"),
    }
    .into_bytes()
}

/// The set as it comes back out of an entry.
fn stored_and_back(set: Set) -> Set {
    match set.store() {
        Stored::Small(tag, count, bytes) => {
            let blob = Blob {
                tag,
                count,
                bytes: &bytes,
            };
            let view = Set::view(Payload::Packed(blob)).unwrap();
            assert_eq!(view.len(), count as usize);
            Set::from_blob(blob, Vec::new())
        }
        Stored::Large(obj) => Set::from_obj(obj).unwrap(),
    }
}

#[test]
fn random_edits_match_a_btree_set_in_every_form() {
    let limits = small_limits();
    let mut forms = BTreeSet::new();
    for seed in 0..120 {
        let mut rng = Rng::new(seed);
        let kinds = 1 + seed % 6;
        let (mut set, mut model) = (Set::empty(), BTreeSet::new());
        let mut kept: Vec<(Set, BTreeSet<Vec<u8>>)> = Vec::new();
        for step in 0..300 {
            let text = member(&mut rng, kinds);
            match rng.below(8) {
                0..=4 => assert_eq!(set.insert(&text, &limits), model.insert(text)),
                5 | 6 => assert_eq!(set.remove(&text), model.remove(&text)),
                _ => set.pop(step % 4, &mut rng, &mut |elem| {
                    assert!(model.remove(&elem.to_vec()));
                }),
            }
            forms.insert(set.read().encoding());
            set = stored_and_back(set);
            assert_eq!(set.len(), model.len());
            let probe = member(&mut rng, 6);
            assert_eq!(set.contains(&probe), model.contains(&probe));
            if step % 20 == 0 {
                assert_eq!(texts(set.read()), model);
                kept.push((set.read().to_set(), model.clone()));
            }
        }
        for (set, model) in kept {
            assert_eq!(
                texts(set.read()),
                model,
                "a copy is not changed by later writes"
            );
        }
    }
    assert_eq!(forms, ["hashtable", "intset", "listpack"].into());
}

#[test]
fn forms_change_as_in_redis() {
    let limits = Limits::default();
    let ints = |n: i64| {
        let mut set = Set::empty();
        (0..n).for_each(|n| assert!(set.insert(n.to_string().as_bytes(), &limits)));
        set
    };
    assert_eq!(ints(512).read().encoding(), "intset");
    assert_eq!(ints(513).read().encoding(), "hashtable");
    for (n, form) in [
        (10, "listpack"),
        (127, "listpack"),
        (128, "hashtable"),
        (512, "hashtable"),
    ] {
        let mut set = ints(n);
        assert!(set.insert(b"abc", &limits) && set.contains(b"abc") && set.contains(b"5"));
        assert_eq!(set.read().encoding(), form);
        assert_eq!(set.len(), n as usize + 1);
    }
    let mut set = Set::empty();
    for n in 0..129 {
        let form = if n > 128 {
            "hashtable"
        } else if n > 0 {
            "listpack"
        } else {
            "intset"
        };
        assert_eq!(set.read().encoding(), form);
        set.insert(format!("m{n}").as_bytes(), &limits);
    }
    assert_eq!(set.read().encoding(), "hashtable");
    let one = |text: &str, limits: &Limits| {
        let mut set = Set::empty();
        set.prepare(text.as_bytes(), 1, limits);
        set.insert(text.as_bytes(), limits);
        set.read().encoding()
    };
    assert_eq!(one(&"x".repeat(64), &limits), "listpack");
    assert_eq!(one(&"x".repeat(65), &limits), "hashtable");
    assert_eq!(one("9223372036854775807", &limits), "intset");
    assert_eq!(one("9223372036854775808", &limits), "listpack");
    assert_eq!(one("007", &limits), "listpack");
    assert_eq!(
        one(
            "1",
            &Limits {
                set_intset_entries: 0,
                ..limits
            }
        ),
        "listpack"
    );
    assert_eq!(
        one(
            "a",
            &Limits {
                set_entries: 0,
                ..limits
            }
        ),
        "hashtable"
    );
    // A narrow bound for the length of members holds for the digits of integers too.
    let mut set = ints(120);
    set.insert(
        b"ab",
        &Limits {
            set_value: 2,
            ..limits
        },
    );
    assert_eq!(set.read().encoding(), "hashtable");
    let mut set = Set::empty();
    set.prepare(b"a", 129, &limits);
    assert_eq!(set.read().encoding(), "hashtable");
}

#[test]
fn random_choices_are_distinct_and_even() {
    for (count, limits) in [
        (40, Limits::default()),
        (40, small_limits()),
        (1000, Limits::default()),
    ] {
        for prefix in ["", "m"] {
            let mut set = Set::empty();
            for n in 0..count {
                set.insert(format!("{prefix}{n}").as_bytes(), &limits);
            }
            let view = set.read();
            let mut rng = Rng::new(9);
            for n in [0, 1, 7, count / 4, count / 2, count - 1, count, count + 5] {
                let mut seen = BTreeSet::new();
                view.sample(n, &mut rng, &mut |elem| assert!(seen.insert(elem.to_vec())));
                assert_eq!(seen.len(), n.min(count));
            }
            let mut hits = std::collections::BTreeMap::<Vec<u8>, u32>::new();
            for _ in 0..count * 50 {
                *hits
                    .entry(view.random(&mut rng).unwrap().to_vec())
                    .or_default() += 1;
            }
            for _ in 0..count * 10 {
                view.sample(5, &mut rng, &mut |e| {
                    *hits.entry(e.to_vec()).or_default() += 1
                });
            }
            assert_eq!(hits.len(), count);
            assert!(hits.values().all(|n| (50..160).contains(n)), "{hits:?}");
        }
    }
    assert!(Set::empty().read().random(&mut Rng::new(1)).is_none());
}

#[test]
fn scan_visits_what_stays() {
    let limits = Limits::default();
    let mut set = Set::empty();
    for n in 0..3000 {
        set.insert(format!("m{n}").as_bytes(), &limits);
    }
    let (mut seen, mut cursor, mut calls, mut extra) = (BTreeSet::new(), 0, 0, 0);
    loop {
        cursor = set.read().scan(cursor, 10, &mut |elem| {
            seen.insert(elem.to_vec());
        });
        calls += 1;
        for _ in 0..20 {
            extra += 1;
            set.insert(format!("new{extra}").as_bytes(), &limits);
            set.remove(format!("m{}", 2999 - extra % 1500).as_bytes());
        }
        if cursor == 0 {
            break;
        }
    }
    assert!(calls > 20);
    assert!((0..1500).all(|n| seen.contains(format!("m{n}").as_bytes())));
}

#[test]
fn members_are_small() {
    let mut sets = [SetTable::default(), SetTable::default()];
    let mut rng = Rng::new(4);
    let count = 100_000;
    for n in 0..count {
        let digits = 4 + rng.below(5) as usize;
        sets[0].insert(format!("{n:06}{:0digits$}", rng.below(10_000)).as_bytes());
        sets[1].insert_elem(Elem::Int(n * 7919));
    }
    // 10 to 14 bytes each, and integers: bytes of heap a member.
    let [texts, ints] = sets.map(|set| set.memory(0) as f64 / count as f64);
    assert!(texts < 34.0 && ints < 14.0, "{texts} {ints}");
}
