use super::*;
use crate::base::rng::Rng;

fn limits(size: i64, depth: usize) -> Limits {
    Limits {
        list_size: size,
        list_compress_depth: depth,
        ..Limits::default()
    }
}

fn below(rng: &mut Rng, n: usize) -> usize {
    (rng.next_u64() % n as u64) as usize
}

fn text(rng: &mut Rng) -> Vec<u8> {
    match below(rng, 60) {
        0 => vec![b'p'; 8170 + below(rng, 60)],
        1 => vec![b'q'; 4060 + below(rng, 60)],
        2 => Vec::new(),
        3..=5 => vec![b'r'; below(rng, 600)],
        6..=30 => below(rng, 40).to_string().into_bytes(),
        31..=40 => (rng.next_u64() as i64).to_string().into_bytes(),
        _ => format!("element-{}", below(rng, 30)).into_bytes(),
    }
}

fn contents(view: ListRef) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    assert!(
        view.walk(0, |elem| {
            out.push(elem.to_vec());
            ControlFlow::Continue(())
        })
        .is_continue()
    );
    out
}

fn check(list: &List, model: &[Vec<u8>], rng: &mut Rng) {
    if let List::Large(large) = list {
        assert!(large.quick || (large.head.is_empty() && large.tree.is_empty()));
    }
    check_view(list.view(), model, rng);
}

fn check_view(view: ListRef, model: &[Vec<u8>], rng: &mut Rng) {
    assert_eq!(view.len(), model.len());
    assert!(contents(view) == model, "contents differ");
    let mut saved = Vec::new();
    for chunk in view.chunks() {
        match &chunk {
            Opened::Plain(text) => saved.push(text.to_vec()),
            _ => saved.extend(chunk.blob().unwrap().iter().map(|elem| elem.to_vec())),
        }
    }
    assert!(saved == model, "chunks differ");
    if model.is_empty() {
        return;
    }
    let at = below(rng, model.len());
    assert_eq!(
        view.get(at as i64, |e| e.to_vec()).as_ref(),
        Some(&model[at])
    );
    assert_eq!(
        view.get(at as i64 - model.len() as i64, |e| e.to_vec())
            .as_ref(),
        Some(&model[at])
    );
    let mut back = Vec::new();
    let end = view.walk_back(at, |elem| {
        back.push(elem.to_vec());
        ControlFlow::Continue(())
    });
    assert!(end.is_continue() && back.iter().eq(model[..=at].iter().rev()));
    let to = at + below(rng, model.len() - at);
    let mut part = Vec::new();
    view.range(at, to + 1, |elem| part.push(elem.to_vec()));
    assert!(part == model[at..=to], "range differs");
}

fn step(list: &mut List, model: &mut Vec<Vec<u8>>, rng: &mut Rng, limits: &Limits) {
    let text = text(rng);
    let len = model.len();
    let index = below(rng, len + 1);
    match below(rng, 100) {
        0..=19 => {
            list.push(&text, End::Back, limits);
            model.push(text);
        }
        20..=36 => {
            list.push(&text, End::Front, limits);
            model.insert(0, text);
        }
        37..=38 => {
            let texts: Vec<_> = (0..below(rng, 40)).map(|_| self::text(rng)).collect();
            let front = below(rng, 2) == 0;
            let end = if front { End::Front } else { End::Back };
            list.push_all(texts.iter().map(|t| t.as_slice()), end, limits);
            for text in texts {
                model.insert(if front { 0 } else { model.len() }, text);
            }
        }
        39..=46 => {
            let popped = list.pop(End::Front, limits, |e| e.to_vec());
            assert_eq!(popped, (len > 0).then(|| model.remove(0)));
        }
        47..=54 => assert_eq!(list.pop(End::Back, limits, |e| e.to_vec()), model.pop()),
        55..=69 => {
            list.insert(index, &text, limits);
            model.insert(index, text);
        }
        70..=84 => {
            let back = below(rng, 2) * len;
            let done = list.set(index as i64 - back as i64, &text, limits);
            let at = if back > 0 && index < len {
                Some(index)
            } else if back > 0 {
                Some(0)
            } else {
                Some(index)
            };
            assert_eq!(done, len > 0 && at.is_some_and(|at| at < len));
            if let (true, Some(at)) = (done, at) {
                model[at] = text;
            }
        }
        85..=89 => {
            let count = below(rng, 7) as i64 - 3;
            let removed = list.remove(count, &text, limits);
            assert_eq!(removed, remove(model, count, &text));
        }
        90..=95 => {
            let after = below(rng, 2) == 0;
            let pivot = self::text(rng);
            let at = model.iter().position(|t| *t == pivot);
            let done = if after {
                list.insert_after(&pivot, &text, limits)
            } else {
                list.insert_before(&pivot, &text, limits)
            };
            assert_eq!(done, at.is_some());
            if let Some(at) = at {
                model.insert(at + usize::from(after), text);
            }
        }
        96 => {
            let cut = below(rng, len / 4 + 1);
            let start = below(rng, cut + 1);
            let mut remains = list.trim(start as i64, -(1 + (cut - start) as i64), limits);
            while remains.as_mut().is_some_and(|r| r.free(2)) {}
            model.truncate(len - (cut - start));
            model.drain(..start.min(model.len()));
        }
        _ => {
            let stored = std::mem::take(list).store();
            *list = match stored {
                Stored::Small(tag, count, bytes) => {
                    let blob = entry::Blob {
                        tag,
                        count,
                        bytes: &bytes,
                    };
                    let view = <List as Collection>::view(Payload::Packed(blob)).unwrap();
                    check_view(view, model, rng);
                    List::from_blob(blob, vec![7; 30])
                }
                Stored::Large(obj) => List::from_obj(obj).unwrap(),
            };
        }
    }
}

fn remove(model: &mut Vec<Vec<u8>>, count: i64, text: &[u8]) -> usize {
    let matches: Vec<usize> = (0..model.len()).filter(|&i| model[i] == text).collect();
    let limit = if count == 0 {
        usize::MAX
    } else {
        count.unsigned_abs() as usize
    };
    let take = limit.min(matches.len());
    let chosen = if count < 0 {
        &matches[matches.len() - take..]
    } else {
        &matches[..take]
    };
    for at in chosen.iter().rev() {
        model.remove(*at);
    }
    take
}

#[test]
fn random_edits_match_a_vector() {
    for (seed, size, depth) in [
        (1, -2, 0),
        (2, -2, 1),
        (3, -1, 0),
        (4, -1, 2),
        (5, 1, 0),
        (6, 1, 1),
        (7, 3, 0),
        (8, 3, 1),
        (9, 5, 2),
        (10, 16, 0),
        (11, 128, 1),
        (12, -5, 0),
        (13, 0, 3),
        (14, 2, 0),
        (15, 7, 1),
        (16, 20, 3),
    ] {
        let limits = limits(size, depth);
        let mut rng = Rng::new(seed);
        let (mut list, mut model) = (List::new(), Vec::new());
        let mut snapshots: Vec<(List, Vec<Vec<u8>>)> = Vec::new();
        for round in 0..2500 {
            step(&mut list, &mut model, &mut rng, &limits);
            if round % 8 == 0 || model.len() < 30 {
                check(&list, &model, &mut rng);
            }
            if round % 200 == 50 {
                snapshots.push((list.clone(), model.clone()));
            }
            if snapshots.len() > 3 {
                let (list, model) = snapshots.remove(0);
                check(&list, &model, &mut rng);
            }
        }
        check(&list, &model, &mut rng);
    }
}

#[test]
fn grows_and_drains_through_many_chunks() {
    for depth in [0, 1, 3] {
        let limits = limits(-2, depth);
        let mut list = List::new();
        for i in 0..20_000 {
            list.push(format!("item-number-{i:05}").as_bytes(), End::Back, &limits);
        }
        let List::Large(large) = &list else {
            panic!("20,000 elements are large")
        };
        assert_eq!(list.encoding(), "quicklist");
        // 19 bytes an element, 8185 bytes a chunk: full chunks only.
        assert!(large.nodes() <= 20_000 / 428 + 1, "{}", large.nodes());
        let compressed = large
            .tree
            .iter()
            .filter(|chunk| chunk.is_compressed())
            .count();
        let expected = if depth == 0 {
            0
        } else {
            large.nodes() - 2 * depth
        };
        assert_eq!(compressed, expected);
        assert_eq!(list.view().position(b"item-number-12345"), Some(12_345));
        assert!(list.memory_usage(0) < 20_000 * 20);
        for i in 0..10_000 {
            let (front, back) = (
                format!("item-number-{i:05}"),
                format!("item-number-{:05}", 19_999 - i),
            );
            assert_eq!(
                list.pop(End::Front, &limits, |e| e.eq_bytes(front.as_bytes())),
                Some(true)
            );
            assert_eq!(
                list.pop(End::Back, &limits, |e| e.eq_bytes(back.as_bytes())),
                Some(true)
            );
        }
        assert!(list.is_empty() && list.pop(End::Back, &limits, |_| ()).is_none());
    }
}

/// Pushes `text` until the encoding changes; returns how many there are then.
fn pushes_to_quicklist(text: &[u8], size: i64) -> usize {
    let limits = limits(size, 0);
    let mut list = List::new();
    while list.encoding() == "listpack" {
        list.push(text, End::Back, &limits);
    }
    list.len()
}

#[test]
fn encoding_changes_where_redis_changes_it() {
    assert_eq!(pushes_to_quicklist(b"x", -2), 2730);
    for (size, count) in [
        (-2, 80),
        (128, 80),
        (-1, 40),
        (-3, 160),
        (-4, 319),
        (-5, 637),
        (1, 2),
    ] {
        assert_eq!(pushes_to_quicklist(&[b'x'; 100], size), count, "{size}");
    }
    for size in [-2, 128] {
        let encoding = |len| {
            let mut list = List::new();
            list.push(&vec![b'x'; len], End::Back, &limits(size, 0));
            list.encoding()
        };
        assert_eq!((encoding(8185), encoding(8186)), ("listpack", "quicklist"));
    }
    let limits = limits(-2, 0);
    let filled = || {
        let mut list = List::new();
        (0..200).for_each(|_| list.push(&[b'x'; 100], End::Back, &limits));
        list
    };
    let mut list = filled();
    while list.encoding() == "quicklist" {
        list.pop(End::Back, &limits, |_| ());
    }
    assert_eq!(list.len(), 39);
    let mut list = filled();
    while list.encoding() == "quicklist" {
        assert_eq!(list.remove(1, &[b'x'; 100], &limits), 1);
    }
    assert_eq!(list.len(), 39);
    let mut list = filled();
    list.trim(0, 9, &limits);
    assert_eq!(list.encoding(), "listpack");

    let mut list = List::new();
    list.push(b"a", End::Back, &limits);
    assert!(list.set(0, &[b'x'; 9000], &limits));
    assert_eq!(list.encoding(), "quicklist");
    assert!(list.set(0, b"b", &limits));
    assert_eq!(list.encoding(), "listpack");
    list.insert(0, &[b'x'; 9000], &limits);
    assert_eq!(list.encoding(), "quicklist");
}

#[test]
fn lies_in_the_entry_only_while_short() {
    let limits = Limits::default();
    let mut list = List::new();
    (0..20).for_each(|_| list.push(b"sixteen bytes ok", End::Back, &limits));
    assert!(
        matches!(list.clone().store(), Stored::Small(tag::LIST, 20, bytes) if bytes.len() == 340)
    );
    (0..60).for_each(|_| list.push(b"sixteen bytes ok", End::Back, &limits));
    let Stored::Large(obj) = list.store() else {
        panic!("longer than an entry should be")
    };
    let mut list = List::from_obj(obj).unwrap();
    assert_eq!((list.encoding(), list.len()), ("listpack", 80));
    list.trim(0, 9, &limits);
    assert!(matches!(list.store(), Stored::Small(tag::LIST, 10, _)));
}

#[test]
fn saved_chunks_load_again() {
    let limits = limits(-2, 1);
    let mut list = List::new();
    for i in 0..5000 {
        list.push(format!("value {i}").as_bytes(), End::Back, &limits);
    }
    list.insert(2500, &[b'x'; 9000], &limits);
    let mut copy = List::new();
    for chunk in list.view().chunks() {
        match chunk.blob() {
            Some(blob) => copy.push_chunk(blob.to_owned(), &limits),
            None => chunk
                .with(0, |elem| {
                    elem.with_bytes(|text| copy.push_plain(text, &limits))
                })
                .unwrap(),
        }
    }
    copy.settle(&limits);
    assert!(contents(copy.view()) == contents(list.view()));
    assert_eq!(copy.encoding(), "quicklist");
    let mut small = List::new();
    small.push_chunk(
        Packed::from_listpack(&[9, 0, 0, 0, 1, 0, 5, 1, 0xFF]).unwrap(),
        &limits,
    );
    small.settle(&limits);
    assert_eq!(
        (small.encoding(), contents(small.view())),
        ("listpack", vec![b"5".to_vec()])
    );
}
