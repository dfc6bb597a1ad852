//! Random operations on sorted sets and on a plain model, in both forms and across the change.

use super::*;
use crate::base::rng::Rng;
use std::collections::BTreeMap;

#[derive(Clone, Default)]
struct Model(BTreeMap<Vec<u8>, f64>);

impl Model {
    fn sorted(&self) -> Vec<(Vec<u8>, f64)> {
        let mut all: Vec<_> = self.0.iter().map(|(m, s)| (m.clone(), *s)).collect();
        all.sort_by(|a, b| range::compare(a.1, &a.0, b.1, &b.0));
        all
    }

    fn add(&mut self, score: f64, member: &[u8], flags: AddFlags) -> Result<Change, Nan> {
        match self.0.get(member).copied() {
            Some(_) if flags.nx => Ok(Change::Skipped),
            Some(old) => {
                let new = if flags.incr { old + score } else { score };
                if new.is_nan() {
                    return Err(Nan);
                }
                if flags.gt && new <= old || flags.lt && new >= old {
                    return Ok(Change::Skipped);
                }
                if new == old {
                    return Ok(Change::Same(new));
                }
                self.0.insert(member.to_vec(), new);
                Ok(Change::Updated(new))
            }
            None if flags.xx => Ok(Change::Skipped),
            None => {
                self.0.insert(member.to_vec(), score);
                Ok(Change::Added(score))
            }
        }
    }
}

fn limits(entries: usize, value: usize) -> Limits {
    Limits {
        zset_entries: entries,
        zset_value: value,
        ..Limits::default()
    }
}

fn collect(iter: Iter<'_>) -> Vec<(Vec<u8>, f64)> {
    iter.map(|(elem, score)| (elem.to_vec(), score)).collect()
}

fn some_score(rng: &mut Rng) -> f64 {
    match rng.below(12) {
        0 => f64::INFINITY,
        1 => f64::NEG_INFINITY,
        2 => -0.0,
        3 => 0.0,
        4 => rng.unit() * 10.0 - 5.0,
        5 => (rng.unit() - 0.5) * 1e300,
        6 => (1u64 << 60) as f64 + rng.below(1 << 20) as f64,
        _ => rng.below(20) as f64 - 10.0,
    }
}

fn some_member(rng: &mut Rng, spread: u64) -> Vec<u8> {
    match rng.below(spread) {
        n @ 0..10 => n.to_string().into_bytes(),
        10 => Vec::new(),
        n @ 11..14 => vec![b'x'; n as usize * 5],
        n => format!("member:{n:07}").into_bytes(),
    }
}

/// Everything that can be read, compared with the model.
fn check(set: &Zset, model: &Model, rng: &mut Rng, spread: u64) {
    let read = set.read();
    let sorted = model.sorted();
    assert_eq!(read.len(), sorted.len());
    assert_eq!(collect(read.iter()), sorted);
    for _ in 0..8 {
        let member = some_member(rng, spread);
        let rank = sorted.iter().position(|(m, _)| *m == member);
        assert_eq!(read.score(&member), model.0.get(&member).copied());
        assert_eq!(read.rank(&member), rank.map(|r| (r, sorted[r].1)));

        let (a, b) = (rng.below(40) as usize, rng.below(40) as usize);
        let expect = sorted.get(a..b.min(sorted.len())).unwrap_or_default();
        assert_eq!(collect(read.range(a..b, false)), expect);
        assert_eq!(read.range(a..b, false).len(), expect.len());
        let mut reverse = expect.to_vec();
        reverse.reverse();
        assert_eq!(collect(read.range(a..b, true)), reverse);
        let at = read.at(a).map(|(elem, score)| (elem.to_vec(), score));
        assert_eq!(at.as_ref(), sorted.get(a));

        let scores = ScoreRange {
            min: some_score(rng),
            max: some_score(rng),
            min_exclusive: rng.below(2) == 0,
            max_exclusive: rng.below(2) == 0,
        };
        let inside = |s: f64| {
            (s > scores.min || s == scores.min && !scores.min_exclusive)
                && (s < scores.max || s == scores.max && !scores.max_exclusive)
        };
        let expect: Vec<_> = sorted.iter().filter(|(_, s)| inside(*s)).cloned().collect();
        let ranks = read.ranks(&scores);
        assert_eq!(ranks.len(), expect.len());
        assert_eq!(collect(read.range(ranks, false)), expect, "{scores:?}");
    }
    let mut seen = 0;
    let mut cursor = 0;
    let mut visited = BTreeMap::new();
    loop {
        cursor = read.scan(cursor, 5, &mut |elem, score| {
            seen += 1;
            visited.insert(elem.to_vec(), score);
        });
        if cursor == 0 {
            break;
        }
    }
    assert_eq!((seen, &visited), (sorted.len(), &model.0));
    let n = rng.below(sorted.len() as u64 + 3) as usize;
    let mut drawn = BTreeMap::new();
    read.sample(n, rng, &mut |elem, score| {
        assert_eq!(model.0.get(&elem.to_vec()), Some(&score));
        assert_eq!(drawn.insert(elem.to_vec(), score), None);
    });
    assert_eq!(drawn.len(), n.min(sorted.len()));
    assert_eq!(read.random(rng).is_none(), sorted.is_empty());
}

#[test]
fn random_operations_agree_with_a_model() {
    // Always large, always small, and changing at several sizes.
    for (entries, value, spread) in [
        (0, 64, 300),
        (10_000, 64, 200),
        (8, 64, 30),
        (40, 64, 120),
        (128, 30, 60),
    ] {
        let limits = limits(entries, value);
        for seed in 0..6 {
            let mut rng = Rng::new(seed);
            let mut set = Zset::empty();
            let mut model = Model::default();
            let mut snapshots: Vec<(Zset, Model)> = Vec::new();
            for step in 0..1500 {
                let member = some_member(&mut rng, spread);
                match rng.below(20) {
                    0..=13 => {
                        let score = some_score(&mut rng);
                        let flags = AddFlags {
                            nx: rng.below(5) == 0,
                            xx: rng.below(5) == 0,
                            gt: rng.below(5) == 0,
                            lt: rng.below(5) == 0,
                            incr: rng.below(3) == 0,
                        };
                        let did = set.add(score, &member, flags, &limits);
                        assert_eq!(did, model.add(score, &member, flags), "{flags:?} {score}");
                    }
                    14..=16 => {
                        assert_eq!(set.remove(&member), model.0.remove(&member).is_some());
                    }
                    17 => {
                        let sorted = model.sorted();
                        let from = rng.below(sorted.len() as u64 + 2) as usize;
                        let to = from + rng.below(4) as usize;
                        let rev = rng.below(2) == 0;
                        let mut expect: Vec<_> =
                            sorted.into_iter().skip(from).take(to - from).collect();
                        for (member, _) in &expect {
                            model.0.remove(member);
                        }
                        if rev {
                            expect.reverse();
                        }
                        let mut gone = Vec::new();
                        set.take(from..to, rev, &mut |m, s| gone.push((m.to_vec(), s)));
                        assert_eq!(gone, expect);
                    }
                    18 => snapshots.push((set.read().to_zset(), model.clone())),
                    _ if step % 3 == 0 => check(&set, &model, &mut rng, spread),
                    _ => {}
                }
                if snapshots.len() > 3 {
                    let (set, model) = snapshots.remove(0);
                    check(&set, &model, &mut rng, spread);
                }
            }
            check(&set, &model, &mut rng, spread);
        }
    }
}

#[test]
fn a_set_changes_its_form_as_redis_does() {
    let limits = limits(4, 8);
    let plain = AddFlags::default();
    let mut set = Zset::empty();
    for n in 0..4 {
        set.add(f64::from(n), &[b'a' + n as u8], plain, &limits)
            .unwrap();
        assert_eq!(set.read().encoding(), "listpack");
    }
    set.add(9.0, b"a", plain, &limits).unwrap();
    assert_eq!(set.read().encoding(), "listpack");
    set.add(9.0, b"e", plain, &limits).unwrap();
    assert_eq!(set.read().encoding(), "skiplist");
    for member in [b"a", b"b", b"c"] {
        assert!(set.remove(member));
    }
    assert_eq!(set.read().encoding(), "skiplist");

    let mut set = Zset::empty();
    set.add(1.0, b"12345678", plain, &limits).unwrap();
    assert_eq!(set.read().encoding(), "listpack");
    set.add(1.0, b"123456789", plain, &limits).unwrap();
    assert_eq!(set.read().encoding(), "skiplist");

    let mut set = Zset::empty();
    set.prepare(5, 1, &limits);
    assert_eq!(set.read().encoding(), "skiplist");
    let mut set = Zset::empty();
    set.prepare(4, 8, &limits);
    assert_eq!(set.read().encoding(), "listpack");
    set.prepare(4, 9, &limits);
    assert_eq!(set.read().encoding(), "skiplist");
}

#[test]
fn negative_zero_keeps_its_sign_in_the_large_form_alone() {
    for (entries, negative) in [(0, true), (10, false)] {
        let mut set = Zset::empty();
        set.add(-0.0, b"a", AddFlags::default(), &limits(entries, 64))
            .unwrap();
        let score = set.read().score(b"a").unwrap();
        assert_eq!((score, score.is_sign_negative()), (0.0, negative));
        let again = set.add(0.0, b"a", AddFlags::default(), &limits(entries, 64));
        assert_eq!(again, Ok(Change::Same(0.0)));
        assert_eq!(
            set.read().iter().next().unwrap().1.is_sign_negative(),
            negative
        );
    }
}

#[test]
fn entries_in_any_order_become_a_set() {
    for count in [0usize, 1, 4, 5, 500] {
        let entries = (0..count).map(|n| entry_of(n.to_string().as_bytes(), (n % 7) as f64));
        let set = Zset::from_entries(entries.collect(), &limits(4, 8));
        let mut model = Model::default();
        for n in 0..count {
            model.0.insert(n.to_string().into_bytes(), (n % 7) as f64);
        }
        check(&set, &model, &mut Rng::new(1), 30);
        let name = if count > 4 { "skiplist" } else { "listpack" };
        assert_eq!(set.read().encoding(), name);
    }
}

#[test]
fn members_of_one_score_are_found_by_their_bytes() {
    for entries in [0, 100] {
        let mut set = Zset::empty();
        for member in ["c", "a", "e", "b", "d", "10", "9"] {
            let added = set.add(
                0.0,
                member.as_bytes(),
                AddFlags::default(),
                &limits(entries, 64),
            );
            assert_eq!(added, Ok(Change::Added(0.0)));
        }
        use LexBound::{Exclusive, First, Inclusive, Last};
        let between = |min, max| {
            let read = set.read();
            let members = collect(read.range(read.ranks(&LexRange { min, max }), false));
            let texts = members
                .iter()
                .map(|(m, _)| String::from_utf8_lossy(m).into_owned());
            texts.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(between(First, Last), "10 9 a b c d e");
        assert_eq!(between(Inclusive(b"b"), Exclusive(b"d")), "b c");
        assert_eq!(between(Exclusive(b"b"), Inclusive(b"d")), "c d");
        assert_eq!(between(Exclusive(b"1"), Inclusive(b"9")), "10 9");
        assert_eq!(between(First, Inclusive(b"")), "");
        assert_eq!(between(Exclusive(b"a"), Exclusive(b"a")), "");
        assert_eq!(between(Inclusive(b"d"), Inclusive(b"b")), "");
        assert_eq!(between(Last, First), "");
        assert_eq!(between(Last, Last), "");
    }
}

#[test]
fn a_snapshot_of_a_large_set_stays_as_it_was() {
    let limits = Limits::default();
    let mut set = Zset::empty();
    let mut model = Model::default();
    for n in 0..5000u64 {
        let member = format!("member:{n}");
        let score = (n * 7919 % 5000) as f64;
        set.add(score, member.as_bytes(), AddFlags::default(), &limits)
            .unwrap();
        model.0.insert(member.into_bytes(), score);
    }
    let snapshot = set.read().to_zset();
    for n in (0..5000).step_by(3) {
        let member = format!("member:{n}");
        let flags = AddFlags {
            incr: true,
            ..AddFlags::default()
        };
        set.add(0.5, member.as_bytes(), flags, &limits).unwrap();
    }
    set.take(100..3000, false, &mut |_, _| {});
    check(&snapshot, &model, &mut Rng::new(2), 40);
    assert_eq!(set.len(), 5000 - 2900);
    assert!(set.read().memory(None) > 0);
}
