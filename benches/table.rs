//! The table against hashbrown: throughput, bytes per item, pauses, and what a snapshot costs.
//!
//! `cargo bench --bench table -- [throughput|memory|pause|snapshot …] [millions of items …]`

use std::hint::black_box;
use std::sync::Arc;

use ferrite::base::hash::Seed;
use ferrite::keyspace::table::{Item, Table};
use hashbrown::HashTable;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// 48 bytes behind the two counts of an Arc: 64 in all.
struct Entry {
    key: [u8; 16],
    value: [u8; 32],
}

#[derive(Clone)]
struct Tok(Arc<Entry>);

impl Tok {
    fn new(key: [u8; 16]) -> Tok {
        Tok(Arc::new(Entry {
            key,
            value: [1; 32],
        }))
    }
}

impl Item for Tok {
    type Key = [u8; 16];

    #[inline]
    fn hash(&self, seed: &Seed) -> u64 {
        seed.hash_bytes(&self.0.key)
    }

    #[inline]
    fn is(&self, key: &[u8; 16]) -> bool {
        self.0.key == *key
    }

    #[inline]
    fn prefetch(&self) {
        #[cfg(target_arch = "x86_64")]
        #[allow(unsafe_code)]
        // SAFETY: a hint, whatever the address.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T0>(Arc::as_ptr(&self.0).cast());
        }
    }
}

/// An item without memory of its own, so that all that is allocated is the table's.
#[derive(Clone)]
struct Word(u64);

impl Item for Word {
    type Key = u64;

    fn hash(&self, seed: &Seed) -> u64 {
        seed.hash_u64(self.0)
    }

    fn is(&self, key: &u64) -> bool {
        self.0 == *key
    }
}

fn key(n: usize) -> [u8; 16] {
    let mut key = *b"key:000000000000";
    key[4..12].copy_from_slice(&(n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    key
}

/// The numbers below `n` in random order, another one for each `seed`.
fn shuffled(n: usize, seed: u64) -> Vec<u32> {
    let mut order: Vec<u32> = (0..n as u32).collect();
    let mut state = seed;
    for at in (1..n).rev() {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        order.swap(at, ((u128::from(state) * (at as u128 + 1)) >> 64) as usize);
    }
    order
}

fn allocated() -> usize {
    tikv_jemalloc_ctl::epoch::advance().expect("jemalloc");
    tikv_jemalloc_ctl::stats::allocated::read().expect("jemalloc")
}

/// The processor time of this thread in ns: what other processes take does not count as a pause.
#[allow(unsafe_code)]
fn now() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: writes one timespec, which is ours.
    let rc = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(rc, 0);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Nanoseconds for each of `n`.
fn each(n: usize, work: impl FnOnce()) -> f64 {
    let start = now();
    work();
    (now() - start) as f64 / n as f64
}

/// Nanoseconds of one piece of work.
fn timed(work: impl FnOnce()) -> u32 {
    let start = now();
    work();
    u32::try_from(now() - start).unwrap_or(u32::MAX)
}

const PHASES: [&str; 7] = [
    "insert",
    "lookup hit",
    "hit, batches of 16",
    "lookup miss",
    "iterate",
    "remove",
    "remove, batches of 16",
];

fn ours(n: usize) -> Vec<f64> {
    let seed = Seed::fixed(1);
    let hash = |key: &[u8; 16]| seed.hash_bytes(key);
    let orders: Vec<Vec<u32>> = (0..4).map(|seed| shuffled(n, seed)).collect();
    let mut table = Table::<Tok>::new();
    let mut times = Vec::new();
    times.push(each(n, || {
        for i in 0..n {
            let key = key(i);
            table.find_or_insert_with(hash(&key), &key, &seed, || Tok::new(key));
        }
    }));
    times.push(each(n, || {
        for i in &orders[0] {
            let key = key(*i as usize);
            let tok = table.get(hash(&key), &key).expect("present");
            black_box(tok.0.value[0]);
        }
    }));
    let mut batch = Vec::with_capacity(16);
    times.push(each(n, || {
        for part in orders[1].chunks(16) {
            batch.clear();
            batch.extend(
                part.iter()
                    .map(|i| (hash(&key(*i as usize)), key(*i as usize))),
            );
            batch.iter().for_each(|(hash, _)| table.prefetch(*hash));
            batch
                .iter()
                .for_each(|(hash, _)| table.prefetch_item(*hash));
            for (hash, key) in &batch {
                let tok = table.get(*hash, key).expect("present");
                black_box(tok.0.value[0]);
            }
        }
    }));
    times.push(each(n, || {
        for i in &orders[2] {
            let key = key(*i as usize + n);
            assert!(table.get(hash(&key), &key).is_none());
        }
    }));
    times.push(each(n, || {
        let sum: u64 = table.iter().map(|tok| u64::from(tok.0.value[0])).sum();
        assert_eq!(sum, n as u64);
    }));
    let (first, second) = orders[3].split_at(n / 2);
    times.push(each(n / 2, || {
        for i in first {
            let key = key(*i as usize);
            assert!(table.remove(hash(&key), &key, &seed).is_some());
        }
    }));
    times.push(each(n / 2, || {
        for part in second.chunks(16) {
            batch.clear();
            batch.extend(
                part.iter()
                    .map(|i| (hash(&key(*i as usize)), key(*i as usize))),
            );
            batch.iter().for_each(|(hash, _)| table.prefetch(*hash));
            batch
                .iter()
                .for_each(|(hash, _)| table.prefetch_item(*hash));
            for (hash, key) in &batch {
                assert!(table.remove(*hash, key, &seed).is_some());
            }
        }
    }));
    times
}

fn hashbrown(n: usize) -> Vec<f64> {
    let seed = Seed::fixed(1);
    let hash = |key: &[u8; 16]| seed.hash_bytes(key);
    let orders: Vec<Vec<u32>> = (0..4).map(|seed| shuffled(n, seed)).collect();
    let mut table = HashTable::<Tok>::new();
    let mut times = Vec::new();
    times.push(each(n, || {
        for i in 0..n {
            let key = key(i);
            table
                .entry(hash(&key), |tok| tok.0.key == key, |tok| hash(&tok.0.key))
                .or_insert_with(|| Tok::new(key));
        }
    }));
    for order in &orders[0..2] {
        times.push(each(n, || {
            for i in order {
                let key = key(*i as usize);
                let tok = table
                    .find(hash(&key), |tok| tok.0.key == key)
                    .expect("present");
                black_box(tok.0.value[0]);
            }
        }));
    }
    times.push(each(n, || {
        for i in &orders[2] {
            let key = key(*i as usize + n);
            assert!(table.find(hash(&key), |tok| tok.0.key == key).is_none());
        }
    }));
    times.push(each(n, || {
        let sum: u64 = table.iter().map(|tok| u64::from(tok.0.value[0])).sum();
        assert_eq!(sum, n as u64);
    }));
    for half in orders[3].chunks(n / 2) {
        times.push(each(n / 2, || {
            for i in half {
                let key = key(*i as usize);
                let found = table.find_entry(hash(&key), |tok| tok.0.key == key);
                found.ok().expect("present").remove();
            }
        }));
    }
    times
}

/// Each in a process of its own, in turns, so that neither finds the other's heap; the best of three.
fn throughput(n: usize) {
    let run = |which: &str, best: &mut Vec<f64>| {
        let program = std::env::current_exe().expect("own path");
        let args = [which.to_string(), (n / 1_000_000).to_string()];
        let output = std::process::Command::new(program)
            .args(args)
            .output()
            .expect("runs");
        let text = String::from_utf8(output.stdout).expect("text");
        for (at, ns) in text
            .split_whitespace()
            .filter_map(|ns| ns.parse::<f64>().ok())
            .enumerate()
        {
            best[at] = best[at].min(ns);
        }
    };
    let (mut ours, mut theirs) = (vec![f64::MAX; PHASES.len()], vec![f64::MAX; PHASES.len()]);
    for _ in 0..3 {
        run("ours", &mut ours);
        run("hashbrown", &mut theirs);
    }
    println!("\n{n} items, ns each: table | hashbrown");
    for (at, name) in PHASES.iter().enumerate() {
        println!("  {name:<20} {:>7.1} | {:>7.1}", ours[at], theirs[at]);
    }
}

fn memory(n: usize) {
    let seed = Seed::fixed(2);
    let mut table = Table::new();
    let before = allocated();
    let (mut worst, mut at, mut sum, mut count) = (0f64, 0, 0f64, 0);
    println!("\nbytes per item, the item's own 8 included (allocator's count)");
    for i in 0..n {
        table.insert_new(seed.hash_u64(i as u64), Word(i as u64), &seed);
        if i >= 500_000 && i % 10_000 == 0 {
            let bytes = (allocated() - before) as f64 / i as f64;
            if bytes > worst {
                (worst, at) = (bytes, i);
            }
            sum += bytes;
            count += 1;
            if i % 500_000 == 0 {
                println!(
                    "  {i:>9} {bytes:>6.2}  (own count {:.2})",
                    table.memory() as f64 / i as f64
                );
            }
        }
    }
    if count > 0 {
        println!(
            "  0.5 M to {n}: average {:.2}, worst {worst:.2} at {at}",
            sum / f64::from(count)
        );
    }
    for part in [2, 10, 100, 1000] {
        for i in n / part..table.len().max(n / part) {
            table.remove(seed.hash_u64(i as u64), &(i as u64), &seed);
        }
        let left = table.len().max(1);
        println!(
            "  after removal down to {left}: {:.2}",
            table.memory() as f64 / left as f64
        );
    }
}

fn pause(n: usize) {
    let seed = Seed::fixed(3);
    let mut table = Table::<Tok>::new();
    let mut nanos: Vec<u32> = Vec::with_capacity(n);
    for i in 0..n {
        let key = key(i);
        let hash = seed.hash_bytes(&key);
        nanos.push(timed(|| {
            table.find_or_insert_with(hash, &key, &seed, || Tok::new(key));
        }));
    }
    report(&format!("one insert while growing to {n}"), nanos);
    let mut kept = Vec::with_capacity(n);
    let nanos = (0..n)
        .map(|i| timed(|| kept.push(Tok::new(key(i)))))
        .collect();
    report("control: the item's allocation alone, no table", nanos);
    drop(kept);
    let mut nanos = Vec::new();
    loop {
        let mut done = false;
        nanos.push(timed(|| done = table.dismantle(5000)));
        if done {
            break;
        }
    }
    report("one dismantle(5000)", nanos);
}

fn report(what: &str, mut nanos: Vec<u32>) {
    nanos.sort_unstable();
    let at = |part: f64| f64::from(nanos[((nanos.len() - 1) as f64 * part) as usize]) / 1000.0;
    println!(
        "\n{what}, µs: median {:.2}, 99 % {:.2}, 99.99 % {:.2}, 99.9999 % {:.2}, longest {:.1}",
        at(0.5),
        at(0.99),
        at(0.9999),
        at(0.999_999),
        at(1.0)
    );
}

fn snapshot(n: usize) {
    let seed = Seed::fixed(4);
    let mut table = Table::<Tok>::new();
    for i in 0..n {
        let key = key(i);
        table.insert_new(seed.hash_bytes(&key), Tok::new(key), &seed);
    }
    let clone = each(1000, || {
        for _ in 0..1000 {
            black_box(table.clone());
        }
    });
    println!("\n{n} items: clone {clone:.0} ns");
    let write = |table: &mut Table<Tok>, i: usize| {
        let key = key(i);
        let held = table
            .get_mut(seed.hash_bytes(&key), &key, &seed)
            .expect("present");
        match Arc::get_mut(&mut held.0) {
            Some(entry) => entry.value[0] ^= 1,
            None => *held = Tok::new(key),
        }
    };
    let order = shuffled(n, 1);
    let base = each(n, || {
        order.iter().for_each(|i| write(&mut table, *i as usize))
    });
    println!("  write without snapshot {base:.0} ns");
    for part in [100, 10, 1] {
        let order = shuffled(n, part as u64);
        let frozen = table.clone();
        let before = allocated();
        let touched = n / part;
        let mut nanos = Vec::with_capacity(touched);
        let ns = each(touched, || {
            for i in &order[..touched] {
                nanos.push(timed(|| write(&mut table, *i as usize)));
            }
        });
        let extra = allocated() - before - touched * 4;
        let new_entries = touched * 64;
        println!(
            "  {}% of the keys written: {ns:.0} ns a write; extra memory {:.1} bytes per key of the table, {:.1} of it nodes",
            100 / part,
            extra as f64 / n as f64,
            (extra - new_entries) as f64 / n as f64,
        );
        report("    one such write", nanos);
        let mut walk = frozen.into_walk();
        let mut visited = 0;
        let ns = each(n, || {
            while walk.next_segment(&mut |tok| visited += usize::from(tok.0.value[1])) {}
        });
        assert_eq!(visited, n);
        println!("    walking the snapshot: {ns:.1} ns an item");
    }
}

fn main() {
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with('-'))
        .collect();
    let mut sizes: Vec<usize> = args
        .iter()
        .filter_map(|arg| arg.parse().ok())
        .map(|m: usize| m * 1_000_000)
        .collect();
    let all = args.len() == sizes.len();
    if sizes.is_empty() {
        sizes = vec![1_000_000, 6_000_000];
    }
    for (name, run) in [
        ("ours", ours as fn(usize) -> Vec<f64>),
        ("hashbrown", hashbrown),
    ] {
        if args.iter().any(|arg| arg == name) {
            sizes
                .iter()
                .flat_map(|n| run(*n))
                .for_each(|ns| println!("{ns:.1}"));
            return;
        }
    }
    let wanted = |name: &str| all || args.iter().any(|arg| arg == name);
    let largest = sizes.iter().copied().max().unwrap_or_default();
    if wanted("throughput") {
        sizes.iter().for_each(|n| throughput(*n));
    }
    if wanted("memory") {
        memory(largest);
    }
    if wanted("pause") {
        pause(largest);
    }
    if wanted("snapshot") {
        snapshot(largest);
    }
}
