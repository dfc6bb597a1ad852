use super::*;

/// xorshift64*: enough for tests, and replayable.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() >> 16) as usize % n
    }

    pub fn text(&mut self) -> Vec<u8> {
        match self.below(12) {
            0 => Vec::new(),
            1..=2 => (self.next() as i64 >> self.below(64))
                .to_string()
                .into_bytes(),
            3 => self.below(200).to_string().into_bytes(),
            4 => (self.below(9000) as i64 - 4500).to_string().into_bytes(),
            5 => format!("0{}", self.below(50)).into_bytes(),
            6 => vec![b'x'; [62, 63, 64, 65, 123, 124, 125, 126, 127, 128][self.below(10)]],
            7 if self.below(20) == 0 => vec![b'y'; 4090 + self.below(12)],
            8 if self.below(40) == 0 => vec![b'z'; 16_370 + self.below(20)],
            _ => (0..self.below(24)).map(|_| self.next() as u8).collect(),
        }
    }
}

fn check<B: Layout>(packed: &Packed<B>, model: &[Vec<u8>]) {
    assert_eq!(packed.len(), model.len());
    assert_eq!(validate::<B>(packed.bytes(), true), Ok(model.len()));
    let texts: Vec<_> = packed.view().iter().map(|e| e.to_vec()).collect();
    assert_eq!(texts, model);
}

fn offset<B: Layout>(packed: &Packed<B>, index: usize) -> usize {
    packed.view().offset_of(index).unwrap()
}

/// Random edits against a vector of vectors; returns the final blob.
fn model_run<B: Layout>(seed: u64, steps: usize) -> (Packed<B>, Vec<Vec<u8>>) {
    let mut rng = Rng(seed);
    let (mut packed, mut model) = (Packed::<B>::new(), Vec::<Vec<u8>>::new());
    for _ in 0..steps {
        let text = rng.text();
        let needle = Needle::new(&text);
        let index = rng.below(model.len() + 1);
        match rng.below(13) {
            0..=2 => {
                let before = packed.byte_len();
                packed.push_back(&text);
                assert_eq!(packed.byte_len() - before, stored_len::<B>(&needle));
                model.push(text);
            }
            3..=4 => {
                packed.push_front(&text);
                model.insert(0, text);
            }
            5..=6 => {
                packed.insert(offset(&packed, index), &needle);
                model.insert(index, text);
            }
            7 if index < model.len() => {
                packed.replace(offset(&packed, index), &needle);
                model[index] = text;
            }
            8 => {
                let count = rng.below(4);
                let removed = packed.remove(offset(&packed, index), count);
                let end = (index + count).min(model.len());
                assert_eq!(removed, model.drain(index..end).count());
            }
            9 => {
                let popped = packed.pop_front(|e| e.to_vec());
                assert_eq!(popped, (!model.is_empty()).then(|| model.remove(0)));
            }
            10 => {
                let rest = packed.split_off(index);
                check(&rest, &model[index..]);
                if rng.below(2) == 0 {
                    packed.append(rest.view());
                } else {
                    let first = std::mem::replace(&mut packed, rest);
                    packed.prepend(first.view());
                }
            }
            11 => {
                let (bytes, count) = std::mem::take(&mut packed).into_parts();
                packed = Packed::from_vec(bytes, count);
                packed.shrink();
            }
            _ => {
                let found = packed.view().find(&needle, 0);
                let expected = model.iter().position(|t| *t == text);
                assert_eq!(found, expected.map(|i| offset(&packed, i)));
            }
        }
        if model.len() > 60 {
            packed.remove(offset(&packed, 5), 40);
            model.drain(5..45);
        }
        check(&packed, &model);
        let get = rng.below(model.len() + 2);
        assert_eq!(
            packed.view().get(get).map(|e| e.to_vec()),
            model.get(get).cloned()
        );
    }
    (packed, model)
}

#[test]
fn random_edits_match_a_vector() {
    for seed in 1..40 {
        model_run::<WithBack>(seed, 300);
        model_run::<Forward>(seed, 300);
    }
}

#[test]
fn walks_backward_and_pops_back() {
    for seed in 100..130 {
        let (mut packed, mut model) = model_run::<WithBack>(seed, 100);
        let back: Vec<_> = packed.view().iter_back().map(|e| e.to_vec()).collect();
        assert_eq!(back, model.iter().rev().cloned().collect::<Vec<_>>());
        while let Some(text) = packed.pop_back(|e| e.to_vec()) {
            assert_eq!(Some(text), model.pop());
            check(&packed, &model);
        }
        assert!(model.is_empty());
    }
}

#[test]
fn finds_every_other_element_only() {
    let mut hash = Packed::<Forward>::new();
    for i in 0..100 {
        hash.push_back(format!("field{i}").as_bytes());
        hash.push_back(if i % 2 == 0 {
            b"field7".as_slice()
        } else {
            b"5"
        });
    }
    let view = hash.view();
    for i in 0..100 {
        let name = format!("field{i}");
        let at = view.find(&Needle::new(name.as_bytes()), 1).unwrap();
        assert!(view.at(at).eq_bytes(name.as_bytes()));
        assert_eq!(at, view.offset_of(2 * i).unwrap());
    }
    assert_eq!(view.find(&Needle::new(b"5"), 1), None);
    assert_eq!(view.find(&Needle::new(b"field100"), 1), None);
    assert_eq!(view.find(&Needle::new(b""), 1), None);
    assert_eq!(view.find(&Needle::new(b"5"), 0), view.offset_of(3));
}

#[test]
fn encodes_as_a_listpack_does() {
    let encode = |text: &[u8]| {
        let mut packed = Packed::<WithBack>::new();
        packed.push_back(text);
        packed.bytes().to_vec()
    };
    assert_eq!(encode(b"0"), [0x00, 1]);
    assert_eq!(encode(b"127"), [0x7F, 1]);
    assert_eq!(encode(b"128"), [0xC0, 0x80, 2]);
    assert_eq!(encode(b"-1"), [0xDF, 0xFF, 2]);
    assert_eq!(encode(b"4095"), [0xCF, 0xFF, 2]);
    assert_eq!(encode(b"-4096"), [0xD0, 0x00, 2]);
    assert_eq!(encode(b"4096"), [0xF1, 0x00, 0x10, 3]);
    assert_eq!(encode(b"-32768"), [0xF1, 0x00, 0x80, 3]);
    assert_eq!(encode(b"32768"), [0xF2, 0x00, 0x80, 0x00, 4]);
    assert_eq!(encode(b"-8388609"), [0xF3, 0xFF, 0xFF, 0x7F, 0xFF, 5]);
    assert_eq!(encode(b"2147483648"), [0xF4, 0, 0, 0, 0x80, 0, 0, 0, 0, 9]);
    assert_eq!(encode(b"ab"), [0x82, b'a', b'b', 3]);
    assert_eq!(encode(b"-0"), [0x82, b'-', b'0', 3]);
    assert_eq!(encode(&[b'x'; 64])[..2], [0xE0, 64]);
    assert_eq!(encode(&[b'x'; 4096])[..5], [0xF0, 0, 0x10, 0, 0]);
    // 126 bytes of data and two of header need two bytes of backlen.
    assert_eq!(encode(&[b'x'; 126])[128..], [1, 0x80]);
    // The odd size at 16383.
    assert_eq!(encode(&[b'x'; 16_378])[16_383..], [0, 0xFF, 0xFF]);
}

#[test]
fn listpack_round_trips_and_accepts_both_backlen_sizes() {
    for seed in 200..230 {
        let (packed, model) = model_run::<Forward>(seed, 60);
        let listpack = packed.to_listpack().unwrap();
        check(
            &Packed::<WithBack>::from_listpack(&listpack).unwrap(),
            &model,
        );
        check(
            &Packed::<Forward>::from_listpack(&listpack).unwrap(),
            &model,
        );
        let with_back = Packed::<WithBack>::from_listpack(&listpack).unwrap();
        assert_eq!(with_back.to_listpack().unwrap(), listpack);
    }
    let mut other = vec![0; 6];
    other.push(0xF0);
    other.extend_from_slice(&16_378u32.to_le_bytes());
    other.resize(6 + 16_383, b'x');
    other.extend_from_slice(&[0x7F, 0xFF, 0xFF]);
    let total = other.len() as u32;
    other[..4].copy_from_slice(&total.to_le_bytes());
    other[4] = 1;
    let packed = Packed::<WithBack>::from_listpack(&other).unwrap();
    check(&packed, &[vec![b'x'; 16_378]]);
    assert_eq!(packed.byte_len(), 16_386);
}

#[test]
fn foreign_forms_become_canonical() {
    // "5" as a string, and 5 as a 64-bit integer, with an unknown count.
    let listpack = [
        21, 0, 0, 0, 0xFF, 0xFF, 0x81, b'5', 2, 0xF4, 5, 0, 0, 0, 0, 0, 0, 0, 9, 0x80, 1, 0xFF,
    ];
    let mut listpack = listpack.to_vec();
    listpack[0] = listpack.len() as u8;
    let packed = Packed::<Forward>::from_listpack(&listpack).unwrap();
    assert_eq!(packed.bytes(), [5, 5, 0x80]);
    assert_eq!(validate::<WithBack>(&listpack[6..21], false), Ok(3));
    assert_eq!(validate::<WithBack>(&listpack[6..21], true), Err(0));
}

#[test]
fn damaged_bytes_are_refused_without_panic() {
    let mut rng = Rng(7);
    let mut refused = 0;
    for seed in 300..330 {
        let (packed, _) = model_run::<WithBack>(seed, 30);
        let listpack = packed.to_listpack().unwrap();
        for _ in 0..300 {
            let mut bytes = listpack.clone();
            for _ in 0..1 + rng.below(3) {
                let at = rng.below(bytes.len());
                match rng.below(4) {
                    0 => bytes.truncate(at),
                    1 => bytes[at] = rng.next() as u8,
                    2 => bytes[at] ^= 1 << rng.below(8),
                    _ => bytes.insert(at, 0xF0 | rng.next() as u8 & 0xF),
                }
                if bytes.is_empty() {
                    break;
                }
            }
            // Often make the header right again, so that the entries are reached.
            if rng.below(2) == 0 && bytes.len() >= 6 {
                let total = bytes.len() as u32;
                bytes[..4].copy_from_slice(&total.to_le_bytes());
                bytes[4..6].fill(0xFF);
            }
            refused += usize::from(Packed::<Forward>::from_listpack(&bytes).is_err());
            if let Ok(packed) = Packed::<WithBack>::from_listpack(&bytes) {
                assert_eq!(validate::<WithBack>(packed.bytes(), true), Ok(packed.len()));
                assert_eq!(packed.view().iter().count(), packed.len());
                assert_eq!(packed.view().iter_back().count(), packed.len());
            }
            let _ = validate::<Forward>(&bytes, true);
            if validate::<WithBack>(&bytes, true).is_ok() && !bytes.is_empty() {
                assert!(PackedRef::<WithBack>::new(&bytes, 1).iter_back().count() > 0);
            }
        }
    }
    assert!(refused > 3000, "{refused}");
    for bytes in [
        &b""[..],
        b"\xFF",
        &[7, 0, 0, 0, 1, 0, 0xFF],
        &[6, 0, 0, 0, 0, 0],
        &[0xFF; 12],
    ] {
        assert!(Packed::<WithBack>::from_listpack(bytes).is_err());
    }
    assert!(
        Packed::<WithBack>::from_listpack(&[7, 0, 0, 0, 0, 0, 0xFF])
            .unwrap()
            .is_empty()
    );
    // A length that would reach past the end, or past the address space.
    assert_eq!(
        validate::<Forward>(&[0xF0, 0xFF, 0xFF, 0xFF, 0xFF, 1], false),
        Err(0)
    );
}

#[test]
fn elements_compare_and_print() {
    let mut packed = Packed::<Forward>::new();
    packed.push_back(b"-123456");
    packed.push_back(b"abc");
    let elems: Vec<_> = packed.view().iter().collect();
    assert_eq!(elems, [Elem::Int(-123_456), Elem::Str(b"abc")]);
    assert!(
        elems[0].eq_bytes(b"-123456")
            && !elems[0].eq_bytes(b"-123457")
            && !elems[0].eq_bytes(b"abc")
    );
    assert_eq!((elems[0].len_text(), elems[1].len_text()), (7, 3));
    assert_eq!(
        (elems[0].as_i64(), elems[1].as_i64()),
        (Some(-123_456), None)
    );
    let mut out = Vec::new();
    elems.iter().for_each(|e| e.write_to(&mut out));
    assert_eq!(out, b"-123456abc");
    assert!(elems[0].with_bytes(|b| b == b"-123456"));
}

#[test]
fn ends_stay_cheap() {
    // A queue through one blob must not grow with what has passed through it.
    let mut packed = Packed::<WithBack>::new();
    for i in 0..10_000 {
        packed.push_back(format!("item-{i}").as_bytes());
        if i >= 50 {
            let popped = packed.pop_front(|e| e.to_vec()).unwrap();
            assert_eq!(popped, format!("item-{}", i - 50).into_bytes());
        }
    }
    assert!(packed.capacity() < 8192, "{}", packed.capacity());
}
