//! A model test: random changes of entries that are shared at random, against plain values.

use std::sync::Arc;

use super::*;
use crate::base::rng::Rng;

#[derive(Clone, Debug, PartialEq)]
enum Model {
    None,
    Int(i64),
    Str(Vec<u8>),
    Raw(Vec<u8>),
    Big(Vec<u8>),
    Packed(u8, u32, Vec<u8>),
}

impl Model {
    fn random(rng: &mut Rng) -> Model {
        let len = match rng.below(8) {
            0 => 0,
            1 => 250 + rng.below(8),
            2 => rng.below(2000),
            3 => 65_530 + rng.below(10),
            _ => rng.below(40),
        } as usize;
        let bytes: Vec<u8> = (0..len).map(|_| rng.next_u64() as u8).collect();
        match rng.below(7) {
            0 => Model::None,
            1 => Model::Int((rng.next_u64() as i64) >> rng.below(64)),
            2 | 3 => Model::Str(bytes),
            4 => Model::Raw(bytes),
            5 => Model::Big(bytes),
            _ => Model::Packed(rng.below(8) as u8, rng.below(100_000) as u32, bytes),
        }
    }

    fn parts(&self) -> New<'_> {
        match self {
            Model::None => New::None,
            Model::Int(n) => New::Int(*n),
            Model::Str(b) => New::Str(b),
            Model::Raw(b) => New::Raw(b),
            Model::Big(b) => New::Big(Arc::new(b.clone())),
            Model::Packed(tag, count, b) => New::Packed(Blob {
                tag: *tag,
                count: *count,
                bytes: b,
            }),
        }
    }

    fn of(payload: Payload<'_>) -> Model {
        match payload {
            Payload::None => Model::None,
            Payload::Int(n) => Model::Int(n),
            Payload::Str(b) => Model::Str(b.to_vec()),
            Payload::Raw(b) => Model::Raw(b.to_vec()),
            Payload::Big(big) => Model::Big(big.bytes().to_vec()),
            Payload::Packed(b) => Model::Packed(b.tag, b.count, b.bytes.to_vec()),
            Payload::Obj(_) => unreachable!("the test makes no large collections"),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Content {
    key: Vec<u8>,
    clock: Option<u32>,
    expire: Option<i64>,
    score: Option<f64>,
    hinted: bool,
    value: Model,
}

impl Content {
    fn check(&self, entry: &Entry) {
        assert_eq!(entry.key(), self.key);
        assert_eq!(entry.clock(), self.clock.unwrap_or(0));
        assert_eq!(entry.expire(), self.expire);
        assert_eq!(entry.score(), self.score);
        assert_eq!(entry.is_hinted(), self.hinted);
        assert_eq!(Model::of(entry.payload()), self.value);
    }
}

#[test]
fn entries_and_their_shares_keep_what_they_hold() {
    let seed = 20_260;
    let mut rng = Rng::new(seed);
    for round in 0..3_000 {
        let key_len = if rng.below(20) == 0 {
            70_000
        } else {
            rng.below(300)
        } as usize;
        let mut content = Content {
            key: (0..key_len).map(|_| rng.next_u64() as u8).collect(),
            clock: (rng.below(2) == 0).then(|| (rng.next_u64() & 0xff_ffff) as u32),
            expire: (rng.below(2) == 0).then(|| rng.next_u64() as i64),
            score: (rng.below(2) == 0).then(|| rng.unit()),
            hinted: false,
            value: Model::random(&mut rng),
        };
        let head = Head {
            clock: content.clock,
            expire: content.expire,
            score: content.score,
        };
        let mut entry = Entry::new(&content.key, head, content.value.parts());
        let mut shares: Vec<(Entry, Content)> = Vec::new();
        for _ in 0..12 {
            content.check(&entry);
            match rng.below(7) {
                0 => shares.push((entry.clone(), content.clone())),
                1 | 2 => {
                    content.value = Model::random(&mut rng);
                    entry.set_payload(content.value.parts());
                }
                3 => {
                    content.expire = (rng.below(2) == 0).then(|| rng.next_u64() as i64);
                    entry.set_expire(content.expire);
                }
                4 if content.score.is_some() => {
                    content.score = Some(rng.unit());
                    entry.set_score(content.score.unwrap());
                }
                5 => {
                    content.hinted = !content.hinted;
                    entry.set_hinted(content.hinted);
                }
                6 if matches!(content.value, Model::Big(_)) => {
                    let mut big = entry.take_big().expect("it is big");
                    Arc::make_mut(&mut big).push(round as u8);
                    entry.set_payload(New::Big(big));
                    let Model::Big(bytes) = &mut content.value else {
                        unreachable!()
                    };
                    bytes.push(round as u8);
                }
                _ => {
                    shares.pop();
                }
            }
        }
        content.check(&entry);
        // The clock is shared by design; everything else of a share is as it was.
        shares.iter().for_each(|(share, then)| then.check(share));
    }
}

#[test]
fn sizes_are_as_small_as_the_layout_says() {
    let head = Head {
        clock: Some(1),
        ..Head::default()
    };
    let entry = Entry::new(&[b'k'; 16], head, New::Str(&[b'v'; 32]));
    assert_eq!(entry.allocated(), 56);
    let volatile = Head {
        expire: Some(1),
        ..head
    };
    assert_eq!(
        Entry::new(&[b'k'; 16], volatile, New::Str(&[b'v'; 32])).allocated(),
        64
    );
    assert_eq!(
        Entry::new(b"short:11", head, New::Int(1_000_000)).allocated(),
        24
    );
    assert_eq!(
        Entry::new(b"member:12", Head::default(), New::None).allocated(),
        16
    );
    for size in 1..5000 {
        assert!(size_class(size) >= size);
        assert!(size_class(size) <= size + size / 4 + 8);
    }
}

#[test]
fn too_many_shares_become_copies() {
    let entry = Entry::new(b"key", Head::default(), New::Str(b"value"));
    let shares: Vec<Entry> = (0..70_000).map(|_| entry.clone()).collect();
    assert!(shares.iter().all(|share| share.key() == b"key"));
    assert!(entry.count().load(Ordering::Relaxed) <= MAX_SHARES + 1);
    drop(shares);
    assert!(entry.is_unique());
}

#[test]
fn a_large_collection_moves_out_and_back_and_is_shared_by_copies() {
    use crate::value::list::ListTree;
    let tree = Arc::new(ListTree::default());
    let mut entry = Entry::new(b"l", Head::default(), New::Obj(Obj::List(tree.clone())));
    let share = entry.clone();
    assert_eq!(Arc::strong_count(&tree), 2, "one allocation, two handles");
    let obj = entry.take_obj().expect("a list");
    assert_eq!(Arc::strong_count(&tree), 3, "the share keeps its own");
    entry.set_payload(New::Obj(obj));
    drop(share);
    assert_eq!(Arc::strong_count(&tree), 2);
    entry.set_payload(New::Int(1));
    assert_eq!(Arc::strong_count(&tree), 1);
}
