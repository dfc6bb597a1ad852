//! Packed blobs and lists on their hot paths: nanoseconds per operation, best of several rounds.
//! Run with `cargo bench --bench packed`.

use ferrite::value::Limits;
use ferrite::value::list::{End, List};
use ferrite::value::packed::{Elem, Forward, Needle, Packed, WithBack};
use std::hint::black_box;
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const ROUNDS: usize = 7;

fn bench(name: &str, operations: usize, mut f: impl FnMut()) {
    let round = |f: &mut dyn FnMut()| {
        let start = Instant::now();
        f();
        start.elapsed().as_nanos() as f64 / operations as f64
    };
    let best = (0..ROUNDS).map(|_| round(&mut f)).fold(f64::MAX, f64::min);
    println!("{name:44} {best:9.2} ns");
}

fn hash(fields: usize) -> Packed<Forward> {
    let mut blob = Packed::new();
    for i in 0..fields {
        blob.push_back(format!("field{i:02}").as_bytes());
        blob.push_back(format!("some value of field {i}").as_bytes());
    }
    blob
}

fn blobs() {
    const N: usize = 200_000;
    for fields in [10, 20, 50] {
        let blob = hash(fields);
        let names: Vec<String> = (0..fields).map(|i| format!("field{i:02}")).collect();
        bench(&format!("find any of {fields} fields"), N, || {
            for i in 0..N {
                let needle = Needle::new(black_box(names[i % fields].as_bytes()));
                black_box(blob.view().find(&needle, 1));
            }
        });
        bench(&format!("find a missing one in {fields} fields"), N, || {
            for _ in 0..N {
                let needle = Needle::new(black_box(b"fieldxx"));
                black_box(blob.view().find(&needle, 1));
            }
        });
    }
    let mut list = Packed::<WithBack>::new();
    for i in 0..100 {
        list.push_back(
            if i % 4 == 0 {
                format!("{}", i * 1000)
            } else {
                format!("element of a list {i}")
            }
            .as_bytes(),
        );
    }
    let rounds = N / 100;
    let mut out = Vec::with_capacity(1 << 16);
    bench("iterate, per element of 100", rounds * 100, || {
        for _ in 0..rounds {
            black_box(
                list.view()
                    .iter()
                    .map(|elem| matches!(elem, Elem::Int(_)) as usize)
                    .sum::<usize>(),
            );
        }
    });
    bench("iterate back, per element of 100", rounds * 100, || {
        for _ in 0..rounds {
            black_box(
                list.view()
                    .iter_back()
                    .map(|elem| matches!(elem, Elem::Int(_)) as usize)
                    .sum::<usize>(),
            );
        }
    });
    bench("write as text, per element of 100", rounds * 100, || {
        for _ in 0..rounds {
            out.clear();
            list.view().iter().for_each(|elem| elem.write_to(&mut out));
            black_box(&out);
        }
    });
    bench("push_back of 16 bytes", rounds * 100, || {
        for _ in 0..rounds {
            let mut blob = Packed::<WithBack>::new();
            (0..100).for_each(|_| blob.push_back(black_box(b"sixteen bytes ok")));
            black_box(blob);
        }
    });
    bench("push_front of 16 bytes", rounds * 100, || {
        for _ in 0..rounds {
            let mut blob = Packed::<WithBack>::new();
            (0..100).for_each(|_| blob.push_front(black_box(b"sixteen bytes ok")));
            black_box(blob);
        }
    });
}

fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<usize>().ok());
    pages.unwrap_or(0) * 4096
}

fn lists() {
    const N: usize = 1_000_000;
    let limits = Limits::default();
    let before = resident();
    let mut list = List::new();
    for i in 0..N {
        list.push_back(format!("list-item-{i:07}").as_bytes(), &limits);
    }
    let bytes = (resident() - before) as f64 / N as f64;
    println!(
        "{:44} {bytes:9.2} bytes",
        "resident, per 17-byte element of 1 M"
    );
    bench("range of 100 in 1 M", N / 100, || {
        for i in 0..N / 100 {
            let start = i * 7919 % (N - 100);
            list.view().range(start, start + 100, |elem| {
                black_box(elem.len_text());
            });
        }
    });
    bench("get by position in 1 M", N / 10, || {
        for i in 0..N / 10 {
            black_box(
                list.view()
                    .get((i * 7919 % N) as i64, |elem| elem.len_text()),
            );
        }
    });
    let text = b"sixteen bytes ok";
    bench("push and pop back, each, around 1 M", 2 * N, || {
        (0..N).for_each(|_| list.push_back(black_box(text), &limits));
        (0..N).for_each(|_| {
            black_box(list.pop(End::Back, &limits, |elem| elem.len_text()));
        });
    });
    bench("push and pop front, each, around 1 M", 2 * N, || {
        (0..N).for_each(|_| list.push(black_box(text), End::Front, &limits));
        (0..N).for_each(|_| {
            black_box(list.pop(End::Front, &limits, |elem| elem.len_text()));
        });
    });
    bench("queue: push back, pop front, each, 1 M", 2 * N, || {
        for _ in 0..N {
            list.push_back(black_box(text), &limits);
            list.pop(End::Front, &limits, |elem| elem.len_text());
        }
    });
    let mut short = List::new();
    (0..100).for_each(|_| short.push_back(text, &limits));
    bench("queue: push back, pop front, each, 100", 2 * N, || {
        for _ in 0..N {
            short.push_back(black_box(text), &limits);
            short.pop(End::Front, &limits, |elem| elem.len_text());
        }
    });
    bench("insert in the middle of 1 M", N / 50, || {
        for i in 0..N / 50 {
            list.insert(i * 7919 % N, black_box(text), &limits);
        }
    });
    let snapshot = list.clone();
    bench("set while a snapshot is held", N / 50, || {
        for i in 0..N / 50 {
            list.set(
                (i * 7919 % N) as i64,
                black_box(b"another value ok"),
                &limits,
            );
        }
    });
    drop(snapshot);
}

fn main() {
    blobs();
    lists();
}
