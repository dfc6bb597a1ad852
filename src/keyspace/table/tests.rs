//! Random runs against a model, with every invariant of the structure checked, and all drops counted.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering};
use std::thread;

use super::node::{
    DIR_BITS, MAX_DEPTH, Node, SPLIT_CLASS, cap_of, class_for, dir_size, portable_match_8,
};
use super::*;

struct Entry {
    key: u64,
    value: u64,
    live: Arc<AtomicIsize>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.live.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An item whose hash keeps only the bits of `MASK`: 0xff makes all collide in the trie.
#[derive(Clone)]
struct Tok<const MASK: u64>(Arc<Entry>);

const GOOD: u64 = u64::MAX;
/// Agrees in the upper 48 bits.
const SAME: u64 = 0xffff;
/// Few prefixes, and far down: bits 40 to 45.
const DEEP: u64 = 0x00fc_00ff;

impl<const MASK: u64> Item for Tok<MASK> {
    type Key = u64;

    fn hash(&self, seed: &Seed) -> u64 {
        hash::<MASK>(seed, self.0.key)
    }

    fn is(&self, key: &u64) -> bool {
        self.0.key == *key
    }

    fn prefetch(&self) {
        node::prefetch(Arc::as_ptr(&self.0).cast());
    }
}

fn hash<const MASK: u64>(seed: &Seed, key: u64) -> u64 {
    seed.hash_u64(key) & MASK
}

/// splitmix64.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// Walks the whole trie: runs, depths, prefixes, tags, bytes and length are as they should be.
fn check<T: Item>(table: &Table<T>, seed: &Seed) {
    let (mut items, mut bytes) = (0, 0);
    if let Some(root) = table.root {
        let whole = if let Some(seg) = root.as_seg() {
            unsafe { seg.depth() }
        } else {
            0
        };
        assert_eq!(whole, 0, "a root segment has consumed nothing");
        check_node(root, 0, 0, seed, &mut items, &mut bytes);
        assert!(items > 0, "an empty table has no nodes");
    }
    assert_eq!((items, bytes), (table.len(), table.memory()));
}

fn check_node<T: Item>(
    node: Node<T>,
    prefix: u64,
    consumed: u32,
    seed: &Seed,
    items: &mut usize,
    bytes: &mut usize,
) {
    unsafe {
        if let Some(seg) = node.as_seg() {
            assert!(seg.len() <= cap_of(seg.class()));
            assert!(seg.class() <= SPLIT_CLASS || seg.depth() == MAX_DEPTH);
            let depth = seg.depth();
            for (at, item) in seg.slice().iter().enumerate() {
                let hash = item.hash(seed);
                assert_eq!(seg.tag(at), hash as u8);
                assert!(
                    depth == 0 || (hash ^ prefix) >> (64 - depth) == 0,
                    "in the wrong segment"
                );
            }
            *items += seg.len();
            *bytes += seg.size();
            return;
        }
        let bits = node.bits();
        assert_eq!(consumed % DIR_BITS, 0);
        *bytes += dir_size(bits);
        let mut needed = false;
        let mut at = 0;
        while at < 1 << bits {
            let child = *node.child(at);
            let depth = child.as_seg().map_or(consumed + bits, |seg| seg.depth());
            assert!(depth > consumed && depth <= consumed + bits);
            assert!(
                child.as_seg().is_some() || bits == DIR_BITS,
                "only full Dirs have Dirs below"
            );
            let run = 1 << (consumed + bits - depth);
            assert_eq!(at % run, 0);
            assert!((at..at + run).all(|i| *node.child(i) == child));
            needed |= run == 1;
            let below = prefix | (at as u64) << (64 - consumed - bits);
            check_node(child, below, consumed + bits, seed, items, bytes);
            at += run;
        }
        assert!(needed, "a Dir has no more bits than it needs");
    }
}

struct World<const MASK: u64> {
    table: Table<Tok<MASK>>,
    model: HashMap<u64, u64>,
    seed: Seed,
    live: Arc<AtomicIsize>,
    rng: Rng,
}

impl<const MASK: u64> World<MASK> {
    fn new(n: u64) -> Self {
        World {
            table: Table::new(),
            model: HashMap::new(),
            seed: Seed::fixed(n),
            live: Arc::default(),
            rng: Rng(n),
        }
    }

    fn tok(&self, key: u64, value: u64) -> Tok<MASK> {
        self.live.fetch_add(1, Ordering::Relaxed);
        Tok(Arc::new(Entry {
            key,
            value,
            live: self.live.clone(),
        }))
    }

    fn hash(&self, key: u64) -> u64 {
        hash::<MASK>(&self.seed, key)
    }

    fn put(&mut self, key: u64, value: u64) {
        let old = self
            .table
            .insert(self.hash(key), self.tok(key, value), &key, &self.seed);
        assert_eq!(old.map(|tok| tok.0.value), self.model.insert(key, value));
    }

    fn remove(&mut self, key: u64) {
        let old = self.table.remove(self.hash(key), &key, &self.seed);
        assert_eq!(old.map(|tok| tok.0.value), self.model.remove(&key));
    }

    /// One random operation on a key below `keys`; inserts and removals as `growth` (of 100) says.
    fn step(&mut self, keys: u64, growth: u64) {
        let (key, value) = (self.rng.below(keys), self.rng.next());
        let hash = self.hash(key);
        match self.rng.below(10) {
            0 => assert_eq!(
                self.table.get(hash, &key).map(|t| t.0.value),
                self.model.get(&key).copied()
            ),
            1 => {
                let new = self.tok(key, value);
                let got = self.table.get_mut(hash, &key, &self.seed);
                assert_eq!(got.is_some(), self.model.contains_key(&key));
                if let Some(slot) = got {
                    *slot = new;
                    self.model.insert(key, value);
                }
            }
            2 if !self.model.contains_key(&key) => {
                self.table
                    .insert_new(hash, self.tok(key, value), &self.seed);
                self.model.insert(key, value);
            }
            3 => {
                let new = self.tok(key, value);
                let (slot, inserted) =
                    self.table
                        .find_or_insert_with(hash, &key, &self.seed, || new);
                assert_eq!(slot.0.value, *self.model.entry(key).or_insert(value));
                assert_eq!(inserted, slot.0.value == value);
            }
            _ if self.rng.below(100) < growth => self.put(key, value),
            _ => self.remove(key),
        }
    }

    fn check(&self) {
        check(&self.table, &self.seed);
        same(&self.table, &self.model);
    }
}

fn same<const MASK: u64>(table: &Table<Tok<MASK>>, model: &HashMap<u64, u64>) {
    assert_eq!(table.len(), model.len());
    assert_eq!(table.iter().len(), model.len());
    let found: HashMap<u64, u64> = table.iter().map(|tok| (tok.0.key, tok.0.value)).collect();
    assert_eq!(&found, model);
}

/// Rounds of growing and shrinking, with snapshots that must stay what they were.
fn model_run<const MASK: u64>(n: u64, keys: u64, rounds: u64, steps: u64) {
    let mut world = World::<MASK>::new(n);
    let mut snapshots = Vec::new();
    for round in 0..rounds {
        let growth = [90, 50, 10, 65][round as usize % 4];
        for _ in 0..steps {
            world.step(keys, growth);
            if world.rng.below(steps) < 3 {
                snapshots.push((world.table.clone(), world.model.clone()));
            }
        }
        world.check();
        if snapshots.len() > 6 {
            let at = world.rng.below(snapshots.len() as u64) as usize;
            let (table, model) = snapshots.swap_remove(at);
            let mut walked = HashMap::new();
            let mut walk = table.into_walk();
            while walk.next_segment(&mut |tok: &Tok<MASK>| {
                assert!(walked.insert(tok.0.key, tok.0.value).is_none());
            }) {
                let key = world.rng.below(keys);
                world.put(key, round);
            }
            assert_eq!(walked, model);
        }
    }
    for (table, model) in &snapshots {
        check(table, &world.seed);
        same(table, model);
    }
    drop(snapshots);
    let keys: Vec<u64> = world.model.keys().copied().collect();
    for key in keys {
        world.remove(key);
    }
    world.check();
    assert_eq!(
        (world.table.memory(), world.live.load(Ordering::Relaxed)),
        (0, 0)
    );
}

#[test]
fn agrees_with_a_model() {
    for n in 0..6 {
        model_run::<GOOD>(n, 100 << n, 12, 800 << n.min(4));
    }
}

#[test]
fn agrees_with_a_model_when_hashes_collide() {
    model_run::<SAME>(11, 900, 8, 2000);
    model_run::<DEEP>(12, 3000, 8, 6000);
    model_run::<0xff00_0000_0000_00ff>(13, 3000, 8, 9000);
}

#[test]
fn small_tables_are_small() {
    let mut world = World::<GOOD>::new(3);
    assert_eq!(world.table.memory(), 0);
    world.put(1, 1);
    assert_eq!(world.table.memory(), 24);
    for key in 0..56 {
        world.put(key, 1);
        world.check();
    }
    assert_eq!(world.table.memory(), 512);
    assert_eq!(size_of::<Table<Tok<GOOD>>>(), 32);
}

#[test]
fn average_memory_while_growing() {
    let mut world = World::<GOOD>::new(4);
    let (mut worst, mut sum, mut n) = (0f64, 0f64, 0f64);
    for key in 0..150_000u64 {
        let tok = world.tok(key, 0);
        world.table.insert_new(world.hash(key), tok, &world.seed);
        if key > 20_000 && key % 500 == 0 {
            let each = world.table.memory() as f64 / world.table.len() as f64;
            (worst, sum, n) = (worst.max(each), sum + each, n + 1.0);
        }
    }
    assert!(
        worst < 11.2 && sum / n < 10.6,
        "worst {worst:.2}, average {:.2}",
        sum / n
    );
    assert_eq!(world.table.iter().len(), 150_000);
    check(&world.table, &world.seed);
}

#[test]
fn memory_comes_back() {
    let mut world = World::<GOOD>::new(5);
    for key in 0..60_000 {
        world.put(key, 0);
    }
    for left in [30_000, 6000, 600, 60, 6u64] {
        for key in left..world.table.len() as u64 {
            world.remove(key);
        }
        let each = world.table.memory() as f64 / left as f64;
        assert!(each < 19.0, "{left}: {each:.1} bytes each");
        world.check();
    }
}

#[test]
fn scan_finds_what_stays() {
    for n in 0..20u64 {
        let mut world = World::<GOOD>::new(n);
        let staying = 40 + n * 60;
        for key in 0..staying {
            world.put(key, 0);
        }
        let mut seen = HashSet::new();
        let (mut cursor, mut calls) = (0, 0);
        loop {
            cursor = world.table.scan(cursor, &mut |tok| {
                seen.insert(tok.0.key);
            });
            assert!(cursor < 1 << 48);
            if cursor == 0 {
                break;
            }
            // Others come in crowds and go again: splits, merges, Dirs folding up.
            let from = 1_000_000 + world.rng.below(4) * 1000;
            let adding = world.rng.below(2) == 0;
            for key in from..from + 1000 {
                if adding {
                    world.put(key, 1)
                } else {
                    world.remove(key)
                }
            }
            calls += 1;
            assert!(calls < 10_000);
        }
        assert!((0..staying).all(|key| seen.contains(&key)), "seed {n}");
        world.check();
    }
}

#[test]
fn scan_takes_any_cursor() {
    let mut world = World::<GOOD>::new(1);
    assert_eq!(world.table.scan(77, &mut |_| panic!("empty")), 0);
    for key in 0..1000 {
        world.put(key, 0);
    }
    assert_eq!(world.table.scan((1 << 48) - 1, &mut |_| ()), 0);
    assert!(
        world.table.scan(u64::MAX << 48, &mut |_| ()) > 0,
        "the upper bits say nothing"
    );
    let mut calls = 0;
    let mut cursor = 0;
    let mut seen = 0;
    loop {
        cursor = world.table.scan(cursor, &mut |_| seen += 1);
        calls += 1;
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(seen, 1000);
    assert!((18..64).contains(&calls), "{calls}");
}

#[test]
fn random_is_even() {
    // Also with a hash that crowds a quarter of the items into few bits.
    for keys in [1u64, 50, 400, 3000] {
        let mut world = World::<GOOD>::new(keys);
        for key in 0..keys {
            world.put(key, 0);
        }
        let draws = keys * 100;
        let mut counts = vec![0f64; keys as usize];
        let mut rng = Rng(9);
        for _ in 0..draws {
            let tok = world.table.random(&mut || rng.next()).expect("not empty");
            counts[tok.0.key as usize] += 1.0;
        }
        let chi: f64 = counts
            .iter()
            .map(|c| (c - 100.0) * (c - 100.0) / 100.0)
            .sum();
        // Mean keys - 1, variance twice that: five sigma.
        let sigma = (2.0 * keys as f64).sqrt();
        assert!(
            (chi - keys as f64).abs() < 5.0 * sigma,
            "{keys} keys: {chi}"
        );
    }
    let empty = Table::<Tok<GOOD>>::new();
    assert!(empty.random(&mut || 1).is_none());
}

#[test]
fn random_ends_with_any_shape() {
    let mut world = World::<SAME>::new(2);
    for key in 0..900 {
        world.put(key, 0);
    }
    let mut rng = Rng(3);
    let drawn: HashSet<u64> = (0..50)
        .map(|_| {
            world
                .table
                .random(&mut || rng.next())
                .expect("not empty")
                .0
                .key
        })
        .collect();
    assert!(drawn.len() > 40);
}

#[test]
fn sample_gives_different_items() {
    for keys in [0u64, 1, 3, 57, 2000] {
        let mut world = World::<GOOD>::new(keys);
        for key in 0..keys {
            world.put(key, 0);
        }
        for n in [0, 1, 5, 64, 5000] {
            let mut rng = Rng(n as u64);
            let mut seen = Vec::new();
            world
                .table
                .sample(&mut || rng.next(), n, &mut |tok| seen.push(tok.0.key));
            assert_eq!(seen.len(), n.min(keys as usize));
            assert_eq!(seen.iter().collect::<HashSet<_>>().len(), seen.len());
        }
    }
}

#[test]
fn dismantle_works_in_slices() {
    let mut world = World::<GOOD>::new(6);
    for key in 0..20_000 {
        world.put(key, 0);
    }
    let snapshot = world.table.clone();
    let before = world.live.load(Ordering::Relaxed);
    assert!(!world.table.dismantle(1000));
    assert_eq!((world.table.len(), world.table.memory()), (0, 0));
    assert_eq!(
        world.live.load(Ordering::Relaxed),
        before,
        "the snapshot holds them"
    );
    same(&snapshot, &world.model);
    drop(snapshot);
    let mut slices = 0;
    loop {
        let before = world.live.load(Ordering::Relaxed);
        let done = world.table.dismantle(1000);
        assert!(before - world.live.load(Ordering::Relaxed) < 1100);
        slices += 1;
        if done {
            break;
        }
    }
    assert!((15..30).contains(&slices), "{slices}");
    assert_eq!(world.live.load(Ordering::Relaxed), 0);
    assert!(world.table.dismantle(1));
}

#[test]
fn a_walk_gives_memory_back_as_it_goes() {
    let mut world = World::<GOOD>::new(7);
    for key in 0..10_000 {
        world.put(key, 0);
    }
    let mut walk = world.table.clone().into_walk();
    assert!(world.table.dismantle(usize::MAX));
    let mut visited = 0;
    while walk.next_segment(&mut |_| visited += 1) {
        assert_eq!(world.live.load(Ordering::Relaxed), 10_000 - visited);
    }
    assert_eq!(visited, 10_000);
    // One that is given up half way leaves nothing either.
    world.model.clear();
    for key in 0..3000 {
        world.put(key, 0);
    }
    let mut walk = std::mem::take(&mut world.table).into_walk();
    for _ in 0..10 {
        assert!(walk.next_segment(&mut |_| ()));
    }
    drop(walk);
    assert_eq!(world.live.load(Ordering::Relaxed), 0);
}

#[test]
fn a_panicking_visitor_loses_nothing() {
    let mut world = World::<GOOD>::new(8);
    for key in 0..500 {
        world.put(key, 0);
    }
    let mut walk = world.table.clone().into_walk();
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        walk.next_segment(&mut |_| panic!("visitor"));
    }));
    assert!(caught.is_err());
    let mut visited = 0;
    while walk.next_segment(&mut |_| visited += 1) {}
    assert_eq!(visited, 500);
    let (hash, seed) = (world.hash(1000), world.seed.clone());
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        world
            .table
            .find_or_insert_with(hash, &1000, &seed, || panic!("maker"));
    }));
    assert!(caught.is_err());
    world.check();
}

#[test]
fn snapshots_are_read_and_dropped_on_other_threads() {
    let mut world = World::<GOOD>::new(10);
    for key in 0..5000 {
        world.put(key, 0);
    }
    let mut threads = Vec::new();
    for round in 0..12u64 {
        let (snapshot, model) = (world.table.clone(), world.model.clone());
        threads.push(thread::spawn(move || match round % 3 {
            0 => {
                let mut found = HashMap::new();
                let mut walk = snapshot.into_walk();
                while walk.next_segment(&mut |tok: &Tok<GOOD>| {
                    found.insert(tok.0.key, tok.0.value);
                }) {}
                assert_eq!(found, model);
            }
            1 => same(&snapshot, &model),
            _ => {
                let mut own = snapshot.clone();
                drop(snapshot);
                let seed = Seed::fixed(10);
                for key in model.keys() {
                    let hash = hash::<GOOD>(&seed, *key);
                    assert!(own.remove(hash, key, &seed).is_some());
                }
                check(&own, &seed);
                assert!(own.is_empty());
            }
        }));
        for _ in 0..3000 {
            world.step(6000, [80, 20, 50][round as usize % 3]);
        }
    }
    threads.into_iter().for_each(|t| t.join().expect("thread"));
    world.check();
    let live = world.live.clone();
    assert_eq!(live.load(Ordering::Relaxed), world.model.len() as isize);
    drop(world);
    assert_eq!(live.load(Ordering::Relaxed), 0);
}

#[test]
fn prefetching_changes_nothing() {
    let mut world = World::<GOOD>::new(14);
    world.table.prefetch(5);
    world.table.prefetch_item(5);
    for key in 0..2000 {
        world.put(key, 0);
        world.table.prefetch(world.hash(key));
        world.table.prefetch_item(world.hash(key));
    }
    world.check();
}

#[test]
fn classes_fill_the_allocator_s_sizes() {
    let caps: Vec<usize> = (0..=SPLIT_CLASS).map(cap_of).collect();
    assert_eq!(
        caps,
        [
            1, 2, 3, 4, 5, 6, 8, 9, 11, 13, 16, 20, 24, 27, 34, 41, 48, 56
        ]
    );
    for n in 1..=65_535 {
        let class = class_for(n);
        assert!(cap_of(class) >= n && (class == 0 || cap_of(class - 1) < n));
    }
}

#[test]
fn portable_tags_agree() {
    let mut rng = Rng(15);
    for _ in 0..20_000 {
        let tags: [u8; 8] = std::array::from_fn(|_| {
            [0, 1, 0x7f, 0x80, 0xff, rng.next() as u8][rng.below(6) as usize]
        });
        for tag in [0, 1, 0x7f, 0x80, 0x81, 0xff] {
            let expected = (0..8)
                .filter(|&i| tags[i] == tag)
                .map(|i| 1 << i)
                .sum::<u32>();
            assert_eq!(unsafe { portable_match_8(tags.as_ptr(), tag) }, expected);
        }
    }
}
