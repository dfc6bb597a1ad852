//! The tree beside `BTreeMap`: time per operation, bytes per item, and what a snapshot costs the writes after it.
//! `cargo bench --bench tree [-- ITEMS]` prints a table. Every result is also compared with the map's.

use ferrite::value::tree::{Item, Tree};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// As an entry of a sorted set: a score, and in the place of the member's pointer a number.
#[derive(Clone, PartialEq, Debug)]
struct Entry {
    score: f64,
    member: u64,
}

impl Item for Entry {
    type Key = Entry;

    fn key(&self) -> &Entry {
        self
    }

    fn touch(&self) -> u64 {
        self.score.to_bits()
    }
}

/// The same with a counted pointer, as real members have.
#[derive(Clone)]
struct Counted {
    score: f64,
    member: Arc<u64>,
}

impl Item for Counted {
    type Key = Counted;

    fn key(&self) -> &Counted {
        self
    }

    fn touch(&self) -> u64 {
        self.score.to_bits()
    }
}

/// As a chunk of a list.
#[derive(Clone)]
struct Chunk {
    id: u64,
    count: u64,
}

impl Item for Chunk {
    type Key = ();
    const WEIGHTED: bool = true;

    fn key(&self) -> &() {
        &()
    }

    fn weight(&self) -> u64 {
        self.count
    }
}

/// Scores in order of their bits, for the map.
#[derive(Clone, Copy, PartialEq)]
struct MapKey(f64, u64);

impl Eq for MapKey {}

impl PartialOrd for MapKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for MapKey {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(self.0, other.0).then_with(|| self.1.cmp(&other.1))
    }
}

/// Scores are never NaN, so two comparisons are enough.
fn compare(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or(Ordering::Equal)
}

fn to(score: f64, member: u64) -> impl FnMut(&Entry) -> Ordering {
    move |key| compare(key.score, score).then_with(|| key.member.cmp(&member))
}

fn to_counted(score: f64, member: u64) -> impl FnMut(&Counted) -> Ordering {
    move |key| compare(key.score, score).then_with(|| (*key.member).cmp(&member))
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

fn allocated() -> usize {
    let _ = tikv_jemalloc_ctl::epoch::advance();
    tikv_jemalloc_ctl::stats::allocated::read().unwrap_or(0)
}

fn row(name: &str, value: f64, unit: &str) {
    println!("{name:<58} {value:>10.2} {unit}");
}

/// Runs `f` once and prints the time for each of `count` operations.
fn time<R>(name: &str, count: usize, f: impl FnOnce() -> R) -> R {
    let start = Instant::now();
    let out = f();
    row(
        name,
        start.elapsed().as_nanos() as f64 / count.max(1) as f64,
        "ns/op",
    );
    out
}

fn bytes<R>(name: &str, count: usize, f: impl FnOnce() -> R) -> R {
    let before = allocated();
    let out = f();
    row(
        name,
        (allocated() as f64 - before as f64) / count as f64,
        "bytes/item",
    );
    out
}

fn fill(keys: &[(f64, u64)]) -> Tree<Entry> {
    let mut tree = Tree::new();
    for &(score, member) in keys {
        let done = tree.insert(Entry { score, member }, to(score, member));
        assert!(done.is_ok());
    }
    tree
}

fn ordered(keys: &[(f64, u64)], r: &mut Random) {
    let n = keys.len();
    let mut map = BTreeMap::new();
    bytes("BTreeMap, random inserts", n, || {
        time("BTreeMap insert, random", n, || {
            keys.iter().for_each(|&(score, member)| {
                map.insert(MapKey(score, member), ());
            });
        })
    });
    let mut tree = bytes("tree, random inserts", n, || {
        time("tree insert, random", n, || fill(keys))
    });
    assert!(
        tree.iter()
            .map(|e| (e.score, e.member))
            .eq(map.keys().map(|k| (k.0, k.1)))
    );

    let picks: Vec<usize> = (0..n).map(|_| r.next() as usize % n).collect();
    time("BTreeMap find", n, || {
        for &i in &picks {
            black_box(map.get(&MapKey(keys[i].0, keys[i].1)));
        }
    });
    time("tree find", n, || {
        for &i in &picks {
            assert!(black_box(tree.find(to(keys[i].0, keys[i].1))).is_some());
        }
    });
    time("tree get by rank", n, || {
        for &i in &picks {
            black_box(tree.get(i as u64));
        }
    });
    time("tree rank of an item", n, || {
        for &i in &picks {
            black_box(tree.rank(to(keys[i].0, keys[i].1)));
        }
    });
    time("tree range of 100 by rank, per item", n / 100 * 100, || {
        for &i in &picks[..n / 100] {
            tree.iter_at(i as u64).take(100).for_each(|e| {
                black_box(e.score);
            });
        }
    });
    time("BTreeMap iterate", n, || {
        map.keys().fold(0.0, |a, k| a + black_box(k.0))
    });
    time("tree iterate", n, || {
        tree.iter().fold(0.0, |a, e| a + black_box(e.score))
    });
    time("tree iterate backwards", n, || {
        tree.rev().fold(0.0, |a, e| a + black_box(e.score))
    });

    let gone: Vec<(f64, u64)> = keys[..n / 2].to_vec();
    time("BTreeMap remove, random, half", gone.len(), || {
        gone.iter().for_each(|&(score, member)| {
            map.remove(&MapKey(score, member));
        });
    });
    time("tree remove, random, half", gone.len(), || {
        gone.iter().for_each(|&(score, member)| {
            tree.remove(to(score, member));
        });
    });
    assert!(
        tree.iter()
            .map(|e| (e.score, e.member))
            .eq(map.keys().map(|k| (k.0, k.1)))
    );
    time("tree pop first and last", n / 4, || {
        for _ in 0..n / 8 {
            black_box(tree.pop_first());
            black_box(tree.pop_last());
        }
    });
    time("tree remove_range of 100, per range", 1000, || {
        for pick in &picks[..1000] {
            let from = *pick as u64 % (tree.len() - 100);
            black_box(tree.remove_range(from, from + 100));
        }
    });
}

fn ends(n: usize) {
    let item = |i: usize| Entry {
        score: i as f64,
        member: i as u64,
    };
    let mut tree = Tree::new();
    bytes("tree, appended", n, || {
        time("tree push_back", n, || {
            (0..n).for_each(|i| tree.push_back(item(i)))
        })
    });
    time("tree pop_first", n, || {
        (0..n).for_each(|_| {
            black_box(tree.pop_first());
        })
    });
    time("tree push_front", n, || {
        (0..n).for_each(|i| tree.push_front(item(i)))
    });
    time("tree pop_last", n, || {
        (0..n).for_each(|_| {
            black_box(tree.pop_last());
        })
    });
    let tree = bytes("tree, from_sorted", n, || {
        time("tree from_sorted", n, || {
            Tree::from_sorted((0..n).map(item))
        })
    });
    let mut remains = tree.dismantle();
    let (mut slices, mut slowest) = (0, 0.0_f64);
    loop {
        let start = Instant::now();
        let more = remains.free(10_000);
        slowest = slowest.max(start.elapsed().as_nanos() as f64);
        slices += 1;
        if !more {
            break;
        }
    }
    row(
        "tree dismantle, slowest slice of 10,000 items",
        slowest * 1e6,
        "us",
    );
    assert!(slices >= n / 20_000);
    for small in [1, 10, 20, 62, 63, 130, 200] {
        let trees = bytes(&format!("tree of {small} items"), 1000 * small, || {
            let one = || {
                let mut tree = Tree::new();
                (0..small).for_each(|i| tree.push_back(item(i * 7 % small)));
                tree
            };
            (0..1000).map(|_| one()).collect::<Vec<_>>()
        });
        drop(trees);
    }
}

fn snapshots(keys: &[(f64, u64)], r: &mut Random) {
    let n = keys.len();
    let writes = 100_000.min(n);
    let mut tree = Tree::new();
    for &(score, member) in keys {
        let item = Counted {
            score,
            member: Arc::new(member),
        };
        assert!(tree.insert(item, to_counted(score, member)).is_ok());
    }
    let whole = allocated();
    let picks: Vec<usize> = (0..writes).map(|_| r.next() as usize % n).collect();
    let moves = |name: &str, tree: &mut Tree<Counted>, by: f64| {
        time(name, writes, || {
            for &i in &picks {
                let (score, member) = keys[i];
                if let Some(mut item) = tree.remove(to_counted(score, member)) {
                    item.score = score + by;
                    let done = tree.insert(item, to_counted(score + by, member));
                    assert!(done.is_ok());
                }
            }
        });
    };
    moves(
        "tree move an item (remove, insert), not shared",
        &mut tree,
        0.0,
    );
    time("tree snapshot", 1_000_000, || {
        (0..1_000_000).for_each(|_| {
            black_box(tree.clone());
        })
    });
    let snapshot = tree.clone();
    let before = allocated();
    moves(
        "tree move an item, first 100 k after a snapshot",
        &mut tree,
        0.0,
    );
    let extra = allocated() as f64 - before as f64;
    row(
        "memory that these writes took, of 24 + 16 + tree bytes/item",
        extra / 1024.0 / 1024.0,
        "MiB",
    );
    row("  of the whole", extra * 100.0 / whole as f64, "%");
    moves(
        "tree move an item, next 100 k after a snapshot",
        &mut tree,
        0.0,
    );
    assert_eq!(snapshot.len(), n as u64);
    let mut last = f64::MIN;
    for item in snapshot.iter() {
        assert!(item.score >= last);
        last = item.score;
    }
    time("tree drop of the snapshot, per item", n, || drop(snapshot));
}

fn list(n: usize, r: &mut Random) {
    let mut tree = Tree::new();
    time("list of chunks push_back", n, || {
        (0..n as u64).for_each(|id| {
            tree.push_back(Chunk {
                id,
                count: 1 + id % 200,
            })
        });
    });
    let all = tree.weight();
    time("list of chunks get by position", n, || {
        for _ in 0..n {
            black_box(
                tree.get(r.next() % all)
                    .map(|(chunk, offset)| chunk.id + offset),
            );
        }
    });
    time("list of chunks modify by position", n, || {
        for _ in 0..n {
            tree.modify_at(r.next() % all, |chunk, _, _| chunk.count += 1);
        }
    });
    assert_eq!(tree.weight(), all + n as u64);
}

fn main() {
    let n = std::env::args()
        .skip(1)
        .find_map(|arg| arg.parse().ok())
        .unwrap_or(1_000_000);
    println!("{n} items of 16 bytes");
    let mut r = Random(1);
    let keys: Vec<(f64, u64)> = (0..n as u64)
        .map(|i| ((r.next() >> 11) as f64 / 1e6, i))
        .collect();
    ordered(&keys, &mut r);
    ends(n);
    snapshots(&keys, &mut r);
    list(n, &mut r);
}
