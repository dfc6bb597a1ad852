use crate::command::testing::Bench;

const NOT_HLL: &str = "-WRONGTYPE Key is not a valid HyperLogLog string value.";
const CORRUPTED: &str = "-INVALIDOBJ Corrupted HLL object detected";

#[test]
fn elements_are_added_counted_and_merged() {
    let mut b = Bench::new();
    for (line, reply) in [
        ("PFADD a", ":1"),
        ("PFADD a", ":0"),
        ("PFADD a x y z", ":1"),
        ("PFADD a x", ":0"),
        ("PFCOUNT a", ":3"),
        ("PFCOUNT nokey", ":0"),
        ("PFADD b z u", ":1"),
        ("PFCOUNT a b nokey", ":4"),
        ("PFMERGE c a b", "+OK"),
        ("PFCOUNT c", ":4"),
        ("PFDEBUG ENCODING c", "+sparse"),
        ("PFDEBUG TODENSE c", ":1"),
        ("PFDEBUG TODENSE c", ":0"),
        ("PFDEBUG DECODE c", "-ERR HLL encoding is not sparse"),
        ("PFMERGE a c", "+OK"),
        ("PFDEBUG ENCODING a", "+dense"),
        ("PFCOUNT a", ":4"),
        ("STRLEN a", ":12304"),
        ("PFDEBUG foo a", "-ERR Unknown PFDEBUG subcommand 'foo'"),
        (
            "PFDEBUG ENCODING nokey",
            "-ERR The specified key does not exist",
        ),
        ("PFSELFTEST", "+OK"),
    ] {
        assert_eq!(b.say(line), reply, "{line}");
    }
    assert!(b.say("PFDEBUG GETREG b").starts_with("*16384 :0 :0"));
    assert_eq!(b.say("PFDEBUG ENCODING b"), "+dense");
}

#[test]
fn foreign_and_broken_strings_are_refused() {
    let mut b = Bench::new();
    for value in ["abc", "", "HYLL", "HYLLxxxxxxxxxxxx", "HYLL\0aaabbbbbbbb"] {
        b.run(&["SET", "h", value]);
        for line in [
            "PFADD h a",
            "PFCOUNT h",
            "PFCOUNT h h",
            "PFMERGE d h",
            "PFMERGE h",
            "PFDEBUG GETREG h",
        ] {
            assert_eq!(b.say(line), NOT_HLL, "{line} with {value:?}");
        }
    }
    // Runs beyond the last register, missing ones, and a run cut in its middle; the cached count is stale.
    for runs in [
        &b"\x7f\xff\x7f\xff"[..],
        b"\xff\xff\xff",
        b"",
        b"\x7f",
        b"\x40",
    ] {
        let mut value = b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80".to_vec();
        value.extend_from_slice(runs);
        b.run(&[b"SET".as_slice(), b"h", &value]);
        for line in [
            "PFCOUNT h",
            "PFCOUNT h h",
            "PFMERGE d h",
            "PFMERGE h",
            "PFDEBUG GETREG h",
            "PFDEBUG TODENSE h",
        ] {
            assert_eq!(b.say(line), CORRUPTED, "{line} with {runs:?}");
        }
        b.say("PFADD h a b c d e f g");
        assert_eq!(b.say("STRLEN d"), ":0");
    }
    // All or nothing: the first elements fit the runs that are there, a later one does not.
    let mut value = b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80".to_vec();
    value.extend(std::iter::repeat_n(0x3f, 128));
    b.run(&[b"SET".as_slice(), b"h", &value]);
    assert_eq!(
        b.say("PFADD h 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16"),
        CORRUPTED
    );
    assert_eq!(b.run(&["GET", "h"])[6..][..value.len()], value);
}

#[test]
fn a_merge_reads_its_target_and_its_sources() {
    let mut b = Bench::new();
    b.handle("PFMERGE a b").expect("no error");
    let events = b.server.ks.effects.events.drain(..);
    let events: Vec<String> = events
        .map(|event| format!("{} {}", event.name, String::from_utf8_lossy(&event.key)))
        .collect();
    assert_eq!(events, ["keymiss a", "keymiss b", "new a", "pfadd a"]);
}
