//! Sorted sets as a server uses them: time per operation at two sizes, and bytes per member.
//! `cargo bench --bench zset [-- MEMBERS…]` prints a table; without numbers 100 000 and 1 000 000 members.

use ferrite::base::rng::Rng;
use ferrite::value::Limits;
use ferrite::value::zset::{AddFlags, ScoreRange, Zset};
use std::hint::black_box;
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const OPERATIONS: usize = 500_000;

fn resident() -> usize {
    tikv_jemalloc_ctl::epoch::advance().expect("statistics are there");
    tikv_jemalloc_ctl::stats::resident::read().expect("statistics are there")
}

fn allocated() -> usize {
    tikv_jemalloc_ctl::epoch::advance().expect("statistics are there");
    tikv_jemalloc_ctl::stats::allocated::read().expect("statistics are there")
}

/// Fourteen bytes, as `member:0001234`.
fn member(n: u64) -> [u8; 14] {
    let mut text = *b"member:0000000";
    let mut rest = n;
    for byte in text[7..].iter_mut().rev() {
        *byte = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    text
}

fn measure(name: &str, count: usize, mut operation: impl FnMut()) {
    let start = Instant::now();
    for _ in 0..count {
        operation();
    }
    let each = start.elapsed().as_nanos() as f64 / count as f64;
    println!("  {name:<34} {each:8.0} ns");
}

fn run(members: u64) {
    let limits = Limits::default();
    let plain = AddFlags::default();
    let increment = AddFlags {
        incr: true,
        ..plain
    };
    let mut rng = Rng::new(1);
    let (resident_before, allocated_before) = (resident(), allocated());
    let mut set = Zset::from_entries(Vec::new(), &limits);
    let mut order: Vec<u32> = (0..members as u32).collect();
    for at in (1..order.len()).rev() {
        order.swap(at, rng.below(at as u64 + 1) as usize);
    }
    println!("{members} members");
    let mut next = order.iter();
    let mut score = Rng::new(2);
    measure("add, new", members as usize, || {
        let n = next.next().copied().unwrap_or_default();
        let score = score.below(1 << 30) as f64;
        black_box(
            set.add(score, &member(u64::from(n)), plain, &limits)
                .is_ok(),
        );
    });
    drop(order);
    println!(
        "  bytes per member: {:.1} allocated, {:.1} resident",
        (allocated() - allocated_before) as f64 / members as f64,
        resident().saturating_sub(resident_before) as f64 / members as f64,
    );
    measure("add, another score", OPERATIONS, || {
        let score = rng.below(1 << 30) as f64;
        let name = member(rng.below(members));
        black_box(set.add(score, &name, plain, &limits).is_ok());
    });
    measure("add, one more", OPERATIONS, || {
        let name = member(rng.below(members));
        black_box(set.add(1.0, &name, increment, &limits).is_ok());
    });
    measure("score", OPERATIONS, || {
        black_box(set.read().score(&member(rng.below(members))));
    });
    measure("rank", OPERATIONS, || {
        black_box(set.read().rank(&member(rng.below(members))));
    });
    measure("range of 100 by rank", OPERATIONS / 10, || {
        let from = rng.below(members - 100) as usize;
        let sum: f64 = set.read().range(from..from + 100, false).map(|m| m.1).sum();
        black_box(sum);
    });
    measure("count of scores", OPERATIONS, || {
        let min = rng.below(1 << 30) as f64;
        let scores = ScoreRange {
            min,
            max: min * 1.1,
            min_exclusive: false,
            max_exclusive: false,
        };
        black_box(set.read().ranks(&scores).len());
    });
    let snapshot = set.read().to_zset();
    measure("add, another score, after snapshot", OPERATIONS, || {
        let score = rng.below(1 << 30) as f64;
        let name = member(rng.below(members));
        black_box(set.add(score, &name, plain, &limits).is_ok());
    });
    drop(snapshot);
    measure("pop of the least", members as usize / 2, || {
        set.take(0..1, false, &mut |_, score| {
            black_box(score);
        });
    });
    measure("remove", OPERATIONS, || {
        black_box(set.remove(&member(rng.below(members))));
    });
}

fn main() {
    let sizes: Vec<u64> = std::env::args()
        .skip(1)
        .filter_map(|arg| arg.parse().ok())
        .collect();
    let sizes = if sizes.is_empty() {
        vec![100_000, 1_000_000]
    } else {
        sizes
    };
    sizes.into_iter().for_each(run);
}
