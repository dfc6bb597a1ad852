use super::*;

/// Writes units as the writer does.
struct Made {
    bytes: Vec<u8>,
    chain: Chain,
    /// Where each unit ends.
    ends: Vec<u64>,
}

fn unit(n: u64) -> Vec<u8> {
    let mut out = Vec::new();
    let (key, value) = (
        format!("key:{n}"),
        format!("value-{n}").repeat(1 + n as usize % 7),
    );
    resp::write(
        &mut out,
        [&b"SET"[..], key.as_bytes(), value.as_bytes()].into_iter(),
    );
    out
}

fn made(first: u64, count: u64) -> Made {
    let mut chain = Chain {
        seq: first - 1,
        offset: 0,
        value: 0x1234_5678_9abc_def0,
    };
    let mut bytes = Vec::new();
    chain.write_begin(&mut bytes, 0);
    let mut ends = vec![bytes.len() as u64];
    for n in first..first + count {
        let mut lead = 0;
        if n % 5 == 0 {
            let before = bytes.len();
            bytes.extend_from_slice(format!("#TS:{}\r\n", 1_700_000_000 + n).as_bytes());
            lead = bytes.len() - before;
        }
        let unit = unit(n);
        let offset = chain.offset + unit.len() as u64;
        chain.write_frame(&mut bytes, lead, &unit, offset);
        ends.push(bytes.len() as u64);
    }
    Made { bytes, chain, ends }
}

fn read(bytes: &[u8]) -> (u64, Option<Fault>, bool) {
    let mut reader = Reader::new(bytes, bytes.len() as u64, None);
    let mut units = 0;
    loop {
        match reader.next_item() {
            Ok(None) => return (units, None, reader.ended),
            Ok(Some(Item::Unit { .. })) => {
                assert!(resp::commands(reader.bytes()).is_some());
                units += 1;
            }
            Ok(Some(_)) => {}
            Err(fault) => return (units, Some(*fault), reader.ended),
        }
    }
}

#[test]
fn reads_what_was_written() {
    let mut made = made(1, 100);
    assert_eq!(read(&made.bytes), (100, None, false));
    made.chain.write_end(&mut made.bytes, 0);
    assert_eq!(read(&made.bytes), (100, None, true));
}

#[test]
fn every_flipped_bit_of_a_file_is_found() {
    let mut made = made(1, 40);
    made.chain.write_end(&mut made.bytes, 0);
    for bit in 0..made.bytes.len() * 8 {
        made.bytes[bit / 8] ^= 1 << (bit % 8);
        let (units, fault, _) = read(&made.bytes);
        let fault = fault.unwrap_or_else(|| panic!("bit {bit} is not noticed"));
        assert_eq!(
            fault.from,
            made.ends
                .iter()
                .copied()
                .rfind(|end| *end <= bit as u64 / 8)
                .unwrap_or(0),
            "bit {bit}: {fault:?}"
        );
        assert!(!fault.is_tail(), "bit {bit} is no torn tail: {fault:?}");
        assert!(fault.at >= fault.from && units <= 40);
        made.bytes[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn every_truncation_is_told_from_damage_and_cut_at_the_last_whole_unit() {
    let made = made(1, 30);
    for cut in 0..made.bytes.len() {
        let (units, fault, _) = read(&made.bytes[..cut]);
        let whole = made
            .ends
            .iter()
            .filter(|end| **end <= cut as u64)
            .count()
            .saturating_sub(1) as u64;
        assert_eq!(units, whole, "cut at {cut}");
        let at_edge = cut == 0
            || made.ends.contains(&(cut as u64))
            || made.bytes[..cut].ends_with(b"\r\n") && fault.is_none();
        match fault {
            None => assert!(at_edge, "cut at {cut}"),
            Some(fault) => {
                assert!(fault.is_tail(), "cut at {cut}: {fault:?}");
                let end = made
                    .ends
                    .iter()
                    .copied()
                    .rfind(|end| *end <= cut as u64)
                    .unwrap_or(0);
                assert_eq!(fault.from, end);
            }
        }
        // The same tail, never written.
        let mut zeroed = made.bytes.clone();
        zeroed[cut..].fill(0);
        let (units, fault, _) = read(&zeroed);
        if cut + 2 < made.bytes.len() {
            let fault = fault.unwrap_or_else(|| panic!("zeros from {cut}"));
            assert_eq!(units, whole, "zeros from {cut}");
            assert_eq!(fault.kind, FaultKind::Zeros, "zeros from {cut}: {fault:?}");
        }
    }
}

#[test]
fn a_file_cut_between_units_is_noticed_by_the_mark_and_by_the_next_part() {
    let whole = made(1, 20);
    let cut = whole.ends[17] as usize;
    let mut next = Vec::new();
    whole.chain.write_begin(&mut next, 0);
    let mut reader = Reader::new(&whole.bytes[..cut], cut as u64, None);
    while reader.next_item().unwrap().is_some() {}
    let mut second = Reader::new(&next[..], next.len() as u64, reader.carry());
    let fault = second.next_item().unwrap_err();
    assert_eq!(fault.kind, FaultKind::Missing { from: 18, to: 20 });
    let mut ended = whole.bytes[..cut].to_vec();
    whole.chain.write_end(&mut ended, 0);
    let fault = read(&ended).1.unwrap();
    assert_eq!(fault.kind, FaultKind::Missing { from: 18, to: 20 });
}

#[test]
fn goes_on_behind_one_bad_byte() {
    let made = made(1, 1000);
    for at in [
        made.ends[4] + 2,
        made.ends[4] + 30,
        made.ends[5] - 1,
        made.ends[5] - 4,
    ] {
        let mut bytes = made.bytes.clone();
        bytes[at as usize] ^= 0x10;
        let mut reader = Reader::new(&bytes[..], bytes.len() as u64, None);
        let (mut units, mut missing) = (0, Vec::new());
        loop {
            match reader.next_item() {
                Ok(None) => break,
                Ok(Some(Item::Unit { .. })) => units += 1,
                Ok(Some(_)) => {}
                Err(fault) => match fault.kind {
                    FaultKind::Missing { from, to } => {
                        missing.push((from, to));
                        reader.accept_gap();
                    }
                    _ => {
                        assert_eq!(fault.seq, Some(5));
                        assert_eq!(fault.from, made.ends[4]);
                        reader.resync().unwrap().expect("the next unit");
                    }
                },
            }
        }
        assert_eq!((units, missing), (999, vec![(5, 5)]), "byte {at}");
    }
}

#[test]
fn files_without_frames_are_read_and_their_tails_are_named() {
    let mut bytes = b"#TS:1628217470\r\n".to_vec();
    bytes.extend(unit(1));
    resp::write(&mut bytes, [&b"MULTI"[..]].into_iter());
    bytes.extend(unit(2));
    bytes.extend_from_slice(b"#TS:1628217471\r\n");
    bytes.extend(unit(3));
    let open = bytes.len();
    resp::write(&mut bytes, [&b"EXEC"[..]].into_iter());
    assert_eq!(read(&bytes), (2, None, false));
    let fault = read(&bytes[..open]).1.unwrap();
    assert_eq!((fault.kind, fault.keys.len()), (FaultKind::OpenMulti, 0));
    let fault = read(&bytes[..open - 3]).1.unwrap();
    assert_eq!(
        (fault.kind, fault.keys),
        (FaultKind::OpenMulti, vec![b"key:3".to_vec()])
    );
    let fault = read(&bytes[..30]).1.unwrap();
    assert_eq!(fault.kind, FaultKind::Truncated);
    let mut bad = bytes.clone();
    bad.extend_from_slice(b"!!!");
    let fault = read(&bad).1.unwrap();
    assert_eq!(
        (fault.kind, fault.from),
        (FaultKind::Damaged, bytes.len() as u64)
    );
    let mut zeros = bytes.clone();
    zeros.extend_from_slice(&[0; 100]);
    assert_eq!(read(&zeros).1.unwrap().kind, FaultKind::Zeros);
}

#[test]
fn another_server_may_go_on_in_a_file_and_we_behind_it() {
    let mut made = made(1, 10);
    made.bytes.extend(unit(11));
    made.bytes.extend(unit(12));
    let mut again = Chain {
        value: 77,
        ..made.chain
    };
    again.write_begin(&mut made.bytes, 0);
    again.write_frame(&mut made.bytes, 0, &unit(13), 0);
    assert_eq!(read(&made.bytes), (13, None, false));
}

#[test]
fn what_a_failed_sync_made_be_written_again_is_read_once() {
    let whole = made(1, 20);
    let mut first = Reader::new(&whole.bytes[..], whole.bytes.len() as u64, None);
    while first.next_item().unwrap().is_some() {}
    // The next part goes on behind unit 15.
    let mut at_15 = Reader::new(&whole.bytes[..], whole.bytes.len() as u64, None);
    let mut seen = 0;
    while seen < 15 {
        seen += u32::from(matches!(
            at_15.next_item().unwrap(),
            Some(Item::Unit { .. })
        ));
    }
    let mut chain = at_15.chain().unwrap();
    let mut next = Vec::new();
    chain.write_begin(&mut next, 0);
    for n in 16..=22 {
        chain.write_frame(&mut next, 0, &unit(n), 0);
    }
    let mut second = Reader::new(&next[..], next.len() as u64, first.carry());
    let mut units = 0;
    while let Some(item) = second.next_item().unwrap() {
        units += u32::from(matches!(item, Item::Unit { .. }));
    }
    assert_eq!(units, 2);
}
