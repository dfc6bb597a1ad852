use super::*;
use crate::base::rng::Rng;

const SPARSE_MAX: usize = 3000;

fn filled(elements: std::ops::Range<u32>, sparse_max: usize) -> Vec<u8> {
    let mut bytes = new();
    for element in elements {
        add(&mut bytes, element.to_string().as_bytes(), sparse_max).unwrap();
    }
    bytes
}

#[test]
fn a_new_one_is_one_run_of_zeros() {
    assert_eq!(new(), b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\0\x7f\xff");
    assert!(is_hll(&new()));
    assert_eq!(count(&new()), Ok(0));
    assert_eq!(cached(&new()), Some(0));
}

#[test]
fn the_bytes_are_those_of_redis() {
    // What redis-server 7.0.15 has after PFADD k a b c.
    let mut bytes = new();
    for element in [b"a", b"b", b"c"] {
        assert_eq!(add(&mut bytes, element, SPARSE_MAX), Ok(true));
        assert_eq!(add(&mut bytes, element, SPARSE_MAX), Ok(false));
    }
    let expected = b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80`\xf3\x80P\xb1\x84K\xfb\x80BZ";
    assert_eq!(bytes, expected);
    assert_eq!(count(&bytes), Ok(3));
}

#[test]
fn sparse_and_dense_agree_while_growing() {
    let (mut sparse, mut dense) = (new(), new());
    make_dense(&mut dense).unwrap();
    let mut was_sparse = 0;
    for n in 0..4000u32 {
        let element = n.to_le_bytes();
        let changed = add(&mut sparse, &element, SPARSE_MAX).unwrap();
        assert_eq!(changed, add(&mut dense, &element, SPARSE_MAX).unwrap());
        was_sparse += u32::from(is_sparse(&sparse));
        assert!(is_hll(&sparse) && is_hll(&dense));
        if n % 97 == 0 {
            assert_eq!(registers(&sparse), registers(&dense));
            assert_eq!(count(&sparse), count(&dense));
        }
    }
    assert!(was_sparse > 1000 && !is_sparse(&sparse), "{was_sparse}");
    assert_eq!(sparse[HEADER..], dense[HEADER..]);
}

#[test]
fn estimates_stay_within_the_error() {
    for n in [10, 1000, 20_000, 200_000] {
        let card = count(&filled(0..n, SPARSE_MAX)).unwrap() as f64;
        let error = (card - f64::from(n)).abs() / f64::from(n);
        assert!(error < 0.03, "{n} estimated as {card}");
    }
}

#[test]
fn merging_counts_the_union() {
    let parts = [
        filled(0..600, SPARSE_MAX),
        filled(300..3000, SPARSE_MAX),
        filled(2000..9000, 0),
    ];
    let mut merged = Box::new([0; REGISTERS]);
    for part in &parts {
        merge(part, &mut merged).unwrap();
    }
    assert_eq!(merged, registers(&filled(0..9000, 0)).unwrap());
}

#[test]
fn any_bytes_are_an_error_or_an_answer() {
    let mut rng = Rng::new(11);
    let bases = [
        filled(0..5, 3000),
        filled(0..700, 3000),
        filled(0..5000, 3000),
        new(),
    ];
    for round in 0..20_000 {
        let mut bytes = bases[round % bases.len()].clone();
        for _ in 0..=rng.below(6) {
            let at = HEADER + rng.below((bytes.len() - HEADER) as u64) as usize;
            bytes[at] = if rng.below(2) == 0 {
                0xff
            } else {
                rng.next_u64() as u8
            };
        }
        match rng.below(4) {
            0 => bytes.truncate(HEADER + rng.below((bytes.len() - HEADER) as u64 + 1) as usize),
            1 => bytes.extend((0..rng.below(8)).map(|_| rng.next_u64() as u8)),
            _ => {}
        }
        if !is_hll(&bytes) {
            continue;
        }
        let whole = registers(&bytes);
        assert_eq!(whole.is_ok(), count(&bytes).is_ok());
        let before = bytes.clone();
        let element = rng.next_u64().to_le_bytes();
        match add(&mut bytes, &element, SPARSE_MAX) {
            Ok(changed) => assert!(changed || bytes == before),
            Err(Corrupted) => assert!(bytes == before && whole.is_err()),
        }
        let _ = make_dense(&mut bytes);
    }
}

#[test]
fn describes_runs() {
    let mut bytes = new();
    raise(&mut bytes, 0, 3, SPARSE_MAX).unwrap();
    raise(&mut bytes, 1, 3, SPARSE_MAX).unwrap();
    raise(&mut bytes, 10, 32, SPARSE_MAX).unwrap();
    assert_eq!(describe(&bytes), "v:3,2 z:8 v:32,1 Z:16373");
    raise(&mut bytes, 11, 33, SPARSE_MAX).unwrap();
    assert!(!is_sparse(&bytes), "33 has no sparse form");
}

#[test]
fn the_self_test_passes() {
    let mut rng = Rng::new(5);
    assert_eq!(self_test(&mut || rng.next_u64()), Ok(()));
}
