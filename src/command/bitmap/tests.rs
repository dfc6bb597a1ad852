use crate::command::testing::Bench;

fn script(steps: &[(&str, &str)]) {
    let mut bench = Bench::new();
    for (line, reply) in steps {
        assert_eq!(bench.say(line), *reply, "{line}");
    }
}

const BAD_OFFSET: &str = "-ERR bit offset is not an integer or out of range";

#[test]
fn bits_are_set_and_read() {
    script(&[
        ("SETBIT a 7 1", ":0"),
        ("SETBIT a 7 1", ":1"),
        ("GET a", "$1 \u{1}"),
        ("GETBIT a 7", ":1"),
        ("GETBIT a 4294967295", ":0"),
        ("GETBIT nokey 7", ":0"),
        ("GETBIT a 4294967296", BAD_OFFSET),
        ("SETBIT a 4294967296 1", BAD_OFFSET),
        ("SETBIT a 9223372036854775807 1", BAD_OFFSET),
        ("SETBIT a -1 1", BAD_OFFSET),
        ("SETBIT a 0 2", "-ERR bit is not an integer or out of range"),
        ("SET n 1", "+OK"),
        ("SETBIT n 6 1", ":0"),
        ("GET n", "$1 3"),
    ]);
}

#[test]
fn counts_and_positions() {
    script(&[
        ("SET a foobar", "+OK"),
        ("BITCOUNT a", ":26"),
        ("BITCOUNT a 0 0", ":4"),
        ("BITCOUNT a 1 1", ":6"),
        ("BITCOUNT a 5 30 BIT", ":17"),
        ("BITCOUNT a 0", "-ERR syntax error"),
        ("BITCOUNT a 0 1 foo", "-ERR syntax error"),
        ("BITCOUNT a 0 1 BIT x", "-ERR syntax error"),
        ("BITCOUNT a x y BIT x", "-ERR syntax error"),
        (
            "BITCOUNT a x 1 foo",
            "-ERR value is not an integer or out of range",
        ),
        ("BITCOUNT a -6 -7", ":0"),
        ("BITCOUNT nokey 0 1", ":0"),
        ("SET b '\\xff\\xf0\\x00'", "+OK"),
        ("SET z ''", "+OK"),
        ("BITPOS z 0", ":-1"),
        ("BITPOS nokey 0", ":0"),
        ("BITPOS nokey 1", ":-1"),
        ("BITPOS nokey 2", "-ERR The bit argument must be 1 or 0."),
        ("BITPOS a 1 0 1 foo", "-ERR syntax error"),
        ("BITPOS a 1 0 x foo", "-ERR syntax error"),
        (
            "BITPOS a 1 x 1 foo",
            "-ERR value is not an integer or out of range",
        ),
        (
            "BITPOS a 1 0 x BIT",
            "-ERR value is not an integer or out of range",
        ),
        ("BITPOS a 1 x x BIT x", "-ERR syntax error"),
        ("SET f \"\\xff\\xff\"", "+OK"),
        ("BITPOS f 0", ":16"),
        ("BITPOS f 0 0 -1", ":-1"),
        ("BITPOS f 0 5", ":-1"),
        ("BITPOS f 1 3 9 BIT", ":3"),
    ]);
}

#[test]
fn strings_are_combined() {
    script(&[
        ("MSET a abc b ab", "+OK"),
        ("BITOP AND d a b", ":3"),
        ("GET d", "$3 ab\0"),
        ("BITOP XOR d a a", ":3"),
        ("GET d", "$3 \0\0\0"),
        ("BITOP DIFF d a b", ":3"),
        ("GET d", "$3 \0\0c"),
        ("BITOP DIFF1 d b a", ":3"),
        ("GET d", "$3 \0\0c"),
        ("BITOP ANDOR d a b nokey", ":3"),
        ("GET d", "$3 ab\0"),
        ("BITOP ONE d a b", ":3"),
        ("GET d", "$3 \0\0c"),
        (
            "BITOP NOT d a b",
            "-ERR BITOP NOT must be called with a single source key.",
        ),
        (
            "BITOP DIFF d a",
            "-ERR BITOP DIFF must be called with at least two source keys.",
        ),
        ("BITOP foo d a", "-ERR syntax error"),
        ("BITOP OR d nokey", ":0"),
        ("GET d", "$-1"),
    ]);
}

#[test]
fn fields_overflow_as_they_are_told() {
    let bad_type = "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.";
    script(&[
        ("BITFIELD k", "*0"),
        ("GET k", "$-1"),
        ("BITFIELD k SET u8 0 255 GET i8 0", "*2 :0 :-1"),
        ("BITFIELD k INCRBY u8 0 1", "*1 :0"),
        (
            "BITFIELD k OVERFLOW SAT INCRBY i8 0 1000 INCRBY i8 0 -1000",
            "*2 :127 :-128",
        ),
        // The smallest numbers count as too large: so does Redis.
        (
            "BITFIELD small OVERFLOW SAT SET i5 8 -9223372036854775792 SET i5 8 -9223372036854775793 SET i5 8 0",
            "*3 :0 :-16 :15",
        ),
        (
            "BITFIELD small SET i5 8 -9223372036854775793 OVERFLOW FAIL SET i5 8 -9223372036854775808 GET i5 8",
            "*3 :0 $-1 :15",
        ),
        (
            "BITFIELD small OVERFLOW SAT SET i63 64 -9223372036854775808 SET i64 128 -9223372036854775808 GET i63 64 GET i64 128",
            "*4 :0 :0 :4611686018427387903 :-9223372036854775808",
        ),
        (
            "BITFIELD k OVERFLOW FAIL INCRBY i8 0 -1 SET u4 0 16",
            "*2 $-1 $-1",
        ),
        (
            "BITFIELD k SET i64 #1 9223372036854775807 INCRBY i64 #1 1",
            "*2 :0 :-9223372036854775808",
        ),
        (
            "BITFIELD k SET u63 0 -1 GET u63 0",
            "*2 :4611686018427387904 :9223372036854775807",
        ),
        ("BITFIELD k GET u64 0", bad_type),
        ("BITFIELD k GET i65 0", bad_type),
        ("BITFIELD k GET u08 0", bad_type),
        ("BITFIELD k SET u8 4294967296 1", BAD_OFFSET),
        ("BITFIELD k GET u8 #576460752303423488", BAD_OFFSET),
        ("BITFIELD k GET i64 #9223372036854775807", BAD_OFFSET),
        ("BITFIELD k GET u8 #-1", BAD_OFFSET),
        (
            "BITFIELD k OVERFLOW foo",
            "-ERR Invalid OVERFLOW type specified",
        ),
        ("BITFIELD k INCRBY u8 0", "-ERR syntax error"),
        (
            "BITFIELD k SET u8 0 abc",
            "-ERR value is not an integer or out of range",
        ),
        (
            "BITFIELD_RO k SET u8 0 1",
            "-ERR BITFIELD_RO only supports the GET subcommand",
        ),
        ("BITFIELD_RO nokey GET u8 0", "*1 :0"),
    ]);
}
