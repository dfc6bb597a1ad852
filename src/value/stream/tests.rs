//! Streams against a plain map, with nodes of a few entries.

use std::collections::BTreeMap;

use super::*;
use crate::base::rng::Rng;

type Fields = Vec<(Vec<u8>, Vec<u8>)>;
type Model = BTreeMap<StreamId, Fields>;

fn limits(bytes: usize, entries: usize) -> Limits {
    Limits {
        stream_node_bytes: bytes,
        stream_node_entries: entries,
        ..Limits::default()
    }
}

fn fields_of(entry: &Entry<'_>) -> Fields {
    let mut fields = Vec::new();
    entry.each(|name, value| fields.push((name.to_vec(), value.to_vec())));
    assert_eq!(fields.len(), entry.len());
    fields
}

fn add(stream: &mut Stream, id: StreamId, fields: &Fields, limits: &Limits) {
    let flat: Vec<&[u8]> = fields
        .iter()
        .flat_map(|(name, value)| [&name[..], &value[..]])
        .collect();
    stream.append(id, &flat, limits);
}

fn random_fields(rng: &mut Rng) -> Fields {
    let count = [1, 2, 2, 2, 3, 40][rng.below(6) as usize];
    let text = |rng: &mut Rng| match rng.below(5) {
        0 => rng.below(300).to_string().into_bytes(),
        1 => (rng.next_u64() as i64).to_string().into_bytes(),
        2 => vec![b'x'; rng.below(200) as usize],
        _ => format!("v{}", rng.below(10)).into_bytes(),
    };
    (0..count)
        .map(|n| {
            let name = if rng.below(8) == 0 { 9 } else { n };
            (format!("f{name}").into_bytes(), text(rng))
        })
        .collect()
}

fn check(stream: &Stream, model: &Model, rng: &mut Rng) {
    assert_eq!(stream.len(), model.len() as u64);
    assert_eq!(
        stream.first_id(),
        model.keys().next().copied().unwrap_or_default()
    );
    let bound = |rng: &mut Rng| match rng.below(6) {
        0 => StreamId::MIN,
        1 => StreamId::MAX,
        _ => StreamId::new(rng.below(stream.last_id().ms + 2), rng.below(4)),
    };
    for _ in 0..4 {
        let (start, end) = (bound(rng), bound(rng));
        let want: Vec<(StreamId, Fields)> = if start <= end {
            let range = model.range(start..=end);
            range.map(|(id, fields)| (*id, fields.clone())).collect()
        } else {
            Vec::new()
        };
        let got: Vec<_> = stream
            .range(start, end)
            .map(|entry| (entry.id, fields_of(&entry)))
            .collect();
        assert_eq!(got, want, "{start} to {end}");
        let mut back: Vec<_> = stream
            .rev_range(start, end)
            .map(|entry| (entry.id, fields_of(&entry)))
            .collect();
        back.reverse();
        assert_eq!(back, want, "back from {end} to {start}");
    }
    assert_eq!(
        stream.last_entry().map(|entry| entry.id),
        model.keys().last().copied()
    );
}

/// Written to listpacks and read again it is the same.
fn check_files(stream: &Stream) {
    let nodes: Vec<(StreamId, Node)> = stream
        .nodes()
        .map(|(first, node)| {
            let bytes = node.to_listpack().expect("not too long");
            assert_eq!(bytes.len() as u64, node.listpack_len());
            let read = Node::from_listpack(first, &bytes).expect("a node");
            assert_eq!(read.to_listpack().as_ref(), Some(&bytes));
            (first, read)
        })
        .collect();
    let again = Stream::from_nodes(nodes, stream.counters()).expect("a stream");
    let all = |stream: &Stream| -> Vec<(StreamId, Fields)> {
        let range = stream.range(StreamId::MIN, StreamId::MAX);
        range.map(|entry| (entry.id, fields_of(&entry))).collect()
    };
    assert_eq!(all(&again), all(stream));
    assert_eq!(again.len(), stream.len());
}

fn trim_model(model: &mut Model, threshold: Threshold) {
    match threshold {
        Threshold::MaxLen(len) => {
            while model.len() as u64 > len {
                model.pop_first();
            }
        }
        Threshold::MinId(id) => *model = model.split_off(&id),
    }
}

#[test]
fn random_changes_match_a_map() {
    for seed in 0..60 {
        let mut rng = Rng::new(seed);
        let limits = limits(
            [0, 4096, 300][rng.below(3) as usize],
            [0, 3, 10, 100][rng.below(4) as usize],
        );
        let mut stream = Stream::default();
        let mut model = Model::new();
        let mut kept: Option<(Stream, Model)> = None;
        let mut id = StreamId::new(1, 0);
        for step in 0..400 {
            match rng.below(20) {
                0..=11 => {
                    id = match rng.below(3) {
                        0 => StreamId::new(id.ms, id.seq + 1),
                        _ => StreamId::new(id.ms + 1 + rng.below(3), rng.below(3)),
                    };
                    let fields = random_fields(&mut rng);
                    add(&mut stream, id, &fields, &limits);
                    model.insert(id, fields);
                }
                12..=15 => {
                    let target = match model.keys().nth(rng.below(50) as usize) {
                        Some(&id) => id,
                        None => StreamId::new(rng.below(100), 1),
                    };
                    assert_eq!(stream.delete(target), model.remove(&target).is_some());
                    assert!(stream.get(target).is_none());
                }
                16 => {
                    let threshold = match rng.below(2) {
                        0 => Threshold::MaxLen(rng.below(200)),
                        _ => Threshold::MinId(StreamId::new(rng.below(id.ms + 3), 1)),
                    };
                    let approx = rng.below(2) == 0;
                    let limit = if approx { rng.below(50) } else { 0 };
                    let before = stream.len();
                    let trim = Trim {
                        threshold,
                        approx,
                        limit,
                    };
                    let gone = stream.trim(trim, References::Keep).gone;
                    assert_eq!(gone, before - stream.len());
                    if approx {
                        // What went is the oldest, and not more than was asked for.
                        let mut all = model.clone();
                        trim_model(&mut all, threshold);
                        assert!(stream.len() >= all.len() as u64 && (limit == 0 || gone <= limit));
                        (0..gone).for_each(|_| drop(model.pop_first()));
                    } else {
                        trim_model(&mut model, threshold);
                    }
                }
                17 => {
                    if let Some((snapshot, then)) = &kept {
                        check(snapshot, then, &mut rng);
                    }
                    kept = Some((stream.clone(), model.clone()));
                }
                _ => check(&stream, &model, &mut rng),
            }
            if step % 100 == 99 {
                check_files(&stream);
            }
        }
    }
}

#[test]
fn nodes_are_full_when_redis_has_them_full() {
    let mut stream = Stream::default();
    let value = vec![b'v'; 500];
    for n in 1..=20 {
        stream.append(StreamId::new(n, 0), &[b"field", &value], &Limits::default());
    }
    let lens: Vec<u64> = stream.nodes().map(|(_, node)| node.all()).collect();
    assert_eq!(lens, [7, 7, 6]);
    assert!(stream.nodes().all(|(_, node)| node.listpack_len() < 4096));
}

#[test]
fn damaged_nodes_are_refused() {
    let mut node = Node::new(&[b"a", b"1", b"b", b"2"]);
    let first = StreamId::new(5, 5);
    node.append(first, first, &[b"a", b"1", b"b", b"2"]);
    node.append(first, StreamId::new(6, 0), &[b"c", b"three"]);
    node.append(first, StreamId::new(7, 9), &[b"a", b"x", b"b", b"y"]);
    let bytes = node.to_listpack().expect("short");
    assert!(Node::from_listpack(first, &bytes).is_ok());
    let mut refused = 0;
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut bad = bytes.clone();
            bad[at] ^= 1 << bit;
            match Node::from_listpack(first, &bad) {
                Err(_) => refused += 1,
                // Another text or number: what it is can be walked over.
                Ok(node) => assert_eq!(node.entries(first).count(), 3),
            }
        }
        assert!(Node::from_listpack(first, &bytes[..at]).is_err());
    }
    assert!(refused > bytes.len() * 4);
    let behind = Counters {
        last_id: StreamId::new(7, 8),
        entries_added: 3,
        ..Counters::default()
    };
    assert_eq!(
        Stream::from_nodes([(first, node.clone())], behind).unwrap_err(),
        BadStream
    );
    let twice = [(first, node.clone()), (first, node)];
    let counters = Counters {
        last_id: StreamId::MAX,
        entries_added: 9,
        ..Counters::default()
    };
    assert_eq!(Stream::from_nodes(twice, counters).unwrap_err(), BadStream);
}

#[test]
fn pending_entries_belong_to_one_consumer() {
    let mut rng = Rng::new(3);
    let mut group = Group::default();
    let mut model: BTreeMap<StreamId, (u64, u64)> = BTreeMap::new();
    let snapshot = group.clone();
    for step in 0..5000 {
        let id = StreamId::new(rng.below(200), 0);
        match rng.below(10) {
            0..=5 => {
                let name = format!("c{}", rng.below(5));
                let (number, _) = group.consumer_or_new(name.as_bytes(), 0);
                group.assign(Pending {
                    id,
                    time: 1,
                    count: step,
                    consumer: number,
                });
                model.insert(id, (number, step));
            }
            6..=8 => assert_eq!(group.release(id), model.remove(&id).is_some()),
            _ if rng.below(20) == 0 => {
                let name = format!("c{}", rng.below(5));
                let number = group.consumer(name.as_bytes()).map(|c| c.number);
                let gone = group.remove_consumer(name.as_bytes());
                assert_eq!(gone.is_some(), number.is_some());
                let before = model.len();
                model.retain(|_, (owner, _)| Some(*owner) != number);
                assert_eq!(gone.unwrap_or(0), (before - model.len()) as u64);
            }
            _ => {}
        }
        assert_eq!(group.pending(), model.len() as u64);
        let got: BTreeMap<_, _> = group
            .pending_from(StreamId::MIN)
            .map(|p| (p.id, (p.consumer, p.count)))
            .collect();
        assert_eq!(got, model);
        for consumer in group.consumers() {
            let own: Vec<StreamId> = consumer.pending_from(StreamId::MIN).collect();
            let want = model
                .iter()
                .filter(|(_, (owner, _))| *owner == consumer.number);
            assert_eq!(own, want.map(|(id, _)| *id).collect::<Vec<_>>());
        }
    }
    assert_eq!(snapshot.pending(), 0);
}

#[test]
fn five_hundred_thousand_entries_take_less_than_redis() {
    let mut stream = Stream::default();
    let limits = Limits::default();
    for n in 0..50_000u64 {
        let value = format!("value-{n:06}");
        let number = n.to_string();
        let id = StreamId::new(1_700_000_000_000 + n / 10, n % 10);
        let fields = [&b"field"[..], value.as_bytes(), b"n", number.as_bytes()];
        stream.append(id, &fields, &limits);
    }
    let each = stream.memory(0) as f64 / 50_000.0;
    assert!(each < 30.0, "{each}");
}

#[test]
fn what_is_cut_off_by_a_trim_is_given_away() {
    let mut stream = Stream::default();
    for n in 1..=100_000 {
        stream.append(StreamId::new(n, 0), &[b"f", b"v"], &Limits::default());
    }
    let exact = |threshold| Trim {
        threshold,
        approx: false,
        limit: 0,
    };
    let snapshot = stream.clone();
    let trimmed = stream.trim(exact(Threshold::MaxLen(90_050)), References::Keep);
    assert_eq!((trimmed.gone, stream.len()), (9_950, 90_050));
    assert!(trimmed.rest.is_some());
    let trimmed = stream.trim(
        exact(Threshold::MinId(StreamId::new(10_001, 0))),
        References::Keep,
    );
    assert_eq!((trimmed.gone, stream.len()), (50, 90_000));
    assert!(trimmed.rest.is_none(), "few nodes are freed in place");
    assert_eq!(stream.first_id(), StreamId::new(10_001, 0));
    let trimmed = stream.trim(exact(Threshold::MaxLen(0)), References::Keep);
    assert_eq!(
        (trimmed.gone, stream.len(), stream.node_count()),
        (90_000, 0, 0)
    );
    assert!(trimmed.rest.is_some());
    assert_eq!(
        snapshot.range(StreamId::MIN, StreamId::MAX).count(),
        100_000
    );
}

#[test]
fn many_references_go_as_one_by_one() {
    let limits = Limits::default();
    for (xdel, keep) in [
        (false, 700u64),
        (true, 700),
        (true, 0),
        (false, 1999),
        (true, 300),
    ] {
        let mut streams = [Stream::default(), Stream::default()];
        for stream in &mut streams {
            let mut group = Group::new(StreamId::MAX, None);
            let numbers = [b"a", b"b", b"c"].map(|name| group.consumer_or_new(name, 0).0);
            for ms in 1..=2000u64 {
                let id = StreamId { ms, seq: 0 };
                stream.append(id, &[b"f", b"v"], &limits);
                if ms % 5 != 0 {
                    let consumer = numbers[usize::from(ms > 1000) + usize::from(ms % 3 == 0)];
                    group.assign(Pending {
                        id,
                        time: 0,
                        count: 1,
                        consumer,
                    });
                }
            }
            stream.add_group(b"g", group);
            if xdel {
                for ms in (1..=2000).step_by(7) {
                    stream.delete(StreamId { ms, seq: 0 });
                }
            }
        }
        let [quick, slow] = &mut streams;
        let trim = Trim {
            threshold: Threshold::MaxLen(keep),
            approx: false,
            limit: 0,
        };
        let gone = quick.trim(trim, References::Delete).gone;
        while slow.len() > keep {
            let first = slow.first_id();
            slow.delete(first);
            slow.release_everywhere(first);
        }
        let all = |stream: &Stream| {
            let entries: Vec<StreamId> = stream
                .range(StreamId::MIN, StreamId::MAX)
                .map(|entry| entry.id)
                .collect();
            let group = stream.group(b"g").expect("the group");
            let pending: Vec<Pending> = group.pending_from(StreamId::MIN).copied().collect();
            let own: Vec<Vec<StreamId>> = group
                .consumers()
                .map(|c| c.pending_from(StreamId::MIN).collect())
                .collect();
            (entries, pending, own, stream.first_id(), stream.top_id())
        };
        assert!(gone > 0);
        assert_eq!(all(quick), all(slow), "{xdel} {keep}");
        // A consumer with much goes as one with little.
        let before = all(quick).1;
        let changed = quick.change_group(b"g", |group| {
            let number = group.consumer(b"c").expect("c").number;
            let left: Vec<Pending> = before
                .iter()
                .filter(|p| p.consumer != number)
                .copied()
                .collect();
            group.remove_consumer(b"c");
            assert_eq!(
                group
                    .pending_from(StreamId::MIN)
                    .copied()
                    .collect::<Vec<_>>(),
                left
            );
        });
        assert!(changed.is_some());
    }
}
