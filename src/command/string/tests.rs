use crate::command::testing::Bench;

/// Runs commands one after another and compares each reply.
fn script(bench: &mut Bench, steps: &[(&str, &str)]) {
    for (line, reply) in steps {
        assert_eq!(bench.say(line), *reply, "{line}");
    }
}

const WRONG: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";

#[test]
fn set_keeps_its_options_apart() {
    let mut b = Bench::new();
    script(
        &mut b,
        &[
            ("SET a 1", "+OK"),
            ("SET a 2 NX", "$-1"),
            ("SET a 2 XX GET", "$1 1"),
            ("SET b 2 XX", "$-1"),
            ("SET b 2 NX GET", "$-1"),
            ("GET b", "$1 2"),
            ("SET a b NX XX", "-ERR syntax error"),
            ("SET a b EX", "-ERR syntax error"),
            ("SET a b EX 10 PX 10", "-ERR syntax error"),
            ("SET a b KEEPTTL EX 10", "-ERR syntax error"),
            (
                "SET a b EX abc",
                "-ERR value is not an integer or out of range",
            ),
            (
                "SET a b EX 9223372036854775807",
                "-ERR invalid expire time in 'set' command",
            ),
            (
                "SET a b PXAT -5",
                "-ERR invalid expire time in 'set' command",
            ),
            ("SETEX a 0 v", "-ERR invalid expire time in 'setex' command"),
            ("PSETEX a 100 v", "+OK"),
            ("SET a w KEEPTTL", "+OK"),
        ],
    );
    b.pass_ms(200);
    script(
        &mut b,
        &[
            ("GET a", "$-1"),
            ("SETNX a 1", ":1"),
            ("SETNX a 2", ":0"),
            ("GETSET a x", "$1 1"),
        ],
    );
}

#[test]
fn conditions_compare_values_and_digests() {
    let mut b = Bench::new();
    script(
        &mut b,
        &[
            ("SET a v IFEQ x", "$-1"),
            ("SET a 'Hello world' IFNE x", "+OK"),
            ("DIGEST a", "$16 b6acb9d84a38ff74"),
            ("DIGEST nokey", "$-1"),
            ("SET a y IFDEQ B6ACB9D84A38FF74 GET", "$11 Hello world"),
            ("SET a z IFEQ y NX", "-ERR syntax error"),
            (
                "SET a z IFDNE 00",
                "-ERR digest must be exactly 16 hexadecimal characters",
            ),
            ("DELEX a IFNE y", ":0"),
            (
                "DELEX a IFFY y",
                "-ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE",
            ),
            (
                "DELEX a IFEQ",
                "-ERR wrong number of arguments for 'delex' command",
            ),
            ("DELEX a IFEQ y", ":1"),
            ("DELEX a", ":0"),
            ("DELIFEQ a y", ":0"),
            ("SET a 12", "+OK"),
            ("DELIFEQ a 13", ":0"),
            ("DELIFEQ a 12", ":1"),
        ],
    );
}

#[test]
fn several_keys_at_once() {
    let mut b = Bench::new();
    script(
        &mut b,
        &[
            (
                "MSET a 1 b",
                "-ERR wrong number of arguments for 'mset' command",
            ),
            ("MSET a 1 b 2 a 3", "+OK"),
            ("MGET a b c", "*3 $1 3 $1 2 $-1"),
            ("MSETNX c 1 b 2", ":0"),
            ("MSETNX k 1 k 2", ":1"),
            ("MGET c k", "*2 $-1 $1 2"),
            ("MSETEX 0 a 1", "-ERR invalid numkeys value"),
            (
                "MSETEX 9223372036854775807 a 1",
                "-ERR invalid numkeys value",
            ),
            (
                "MSETEX 2147483647 a 1",
                "-ERR wrong number of key-value pairs",
            ),
            ("MSETEX 2 x 1 y 2 NX XX", "-ERR syntax error"),
            ("MSETEX 2 x 1 a 2 NX", ":0"),
            ("MSETEX 2 x 1 y 2 NX PX 50", ":1"),
            ("MSETEX 2 x 3 y 4 XX KEEPTTL", ":1"),
            ("MGET x y", "*2 $1 3 $1 4"),
        ],
    );
    b.pass_ms(100);
    script(
        &mut b,
        &[("MGET x y", "*2 $-1 $-1"), ("MSETEX 1 x 1 XX", ":0")],
    );
}

#[test]
fn getex_and_getdel() {
    let mut b = Bench::new();
    script(
        &mut b,
        &[
            ("GETEX nokey EX abc", "$-1"),
            ("SET a v", "+OK"),
            ("GETEX a EX 10 PERSIST", "-ERR syntax error"),
            (
                "GETEX a EX 0",
                "-ERR invalid expire time in 'getex' command",
            ),
            ("GETEX a PX 50", "$1 v"),
            ("GETEX a PERSIST", "$1 v"),
        ],
    );
    b.pass_ms(100);
    script(
        &mut b,
        &[
            ("GETEX a PXAT 1", "$1 v"),
            ("GET a", "$-1"),
            ("SET a v", "+OK"),
            ("GETDEL a", "$1 v"),
            ("GETDEL a", "$-1"),
        ],
    );
}

#[test]
fn numbers_stay_within_64_bits() {
    let mut b = Bench::new();
    script(
        &mut b,
        &[
            ("INCR n", ":1"),
            ("INCRBY n 9223372036854775806", ":9223372036854775807"),
            ("INCR n", "-ERR increment or decrement would overflow"),
            (
                "DECRBY n -9223372036854775808",
                "-ERR decrement would overflow",
            ),
            ("DECRBY n 9223372036854775807", ":0"),
            ("DECR n", ":-1"),
            ("APPEND n 5", ":3"),
            ("INCR n", ":-14"),
            ("SET s ' 1'", "+OK"),
            ("INCR s", "-ERR value is not an integer or out of range"),
            ("INCRBYFLOAT n 0.1", "$5 -13.9"),
            (
                "INCRBYFLOAT n inf",
                "-ERR increment would produce NaN or Infinity",
            ),
            ("INCRBYFLOAT n x", "-ERR value is not a valid float"),
        ],
    );
    script(&mut b, &[("SET t 1 PX 50", "+OK"), ("INCR t", ":2")]);
    b.pass_ms(100);
    script(&mut b, &[("INCR t", ":1")]);
}

#[test]
fn increx_keeps_within_bounds() {
    let mut b = Bench::new();
    script(
        &mut b,
        &[
            ("INCREX n", "*2 :1 :1"),
            ("INCREX n BYINT 5 UBOUND 4", "*2 :1 :0"),
            ("INCREX n BYINT 5 UBOUND 4 SATURATE", "*2 :4 :3"),
            (
                "INCREX n BYINT -9223372036854775808 SATURATE",
                "*2 :-9223372036854775804 :-9223372036854775808",
            ),
            (
                "INCREX n LBOUND 2 UBOUND 1",
                "-ERR LBOUND can't be greater than UBOUND",
            ),
            ("INCREX n BYINT 1 BYFLOAT 1", "-ERR syntax error"),
            ("INCREX n ENX", "-ERR ENX flag requires an expiration"),
            ("INCREX n PERSIST ENX", "-ERR syntax error"),
            (
                "INCREX n BYINT x",
                "-ERR value is not an integer or out of range",
            ),
            ("INCREX f BYFLOAT 1.5", "*2 $3 1.5 $3 1.5"),
            ("INCREX f BYFLOAT 1.5 UBOUND 2.5", "*2 $3 1.5 $1 0"),
            ("INCREX f BYFLOAT 1.5 UBOUND 2.5 SATURATE", "*2 $3 2.5 $1 1"),
            (
                "INCREX f BYFLOAT inf",
                "-ERR increment would produce NaN or Infinity",
            ),
            (
                "INCREX f BYFLOAT 1e4932 UBOUND 9 LBOUND -9",
                "*2 $3 2.5 $1 0",
            ),
            ("INCREX f", "-ERR value is not an integer or out of range"),
            ("INCREX w PX 50 ENX", "*2 :1 :1"),
            ("INCREX w PX 5000 ENX", "*2 :2 :1"),
        ],
    );
    b.pass_ms(100);
    script(
        &mut b,
        &[
            ("GET w", "$-1"),
            ("INCREX w PXAT 1", "*2 :1 :1"),
            ("GET w", "$-1"),
        ],
    );
}

#[test]
fn ranges_are_cut_to_the_string() {
    let mut b = Bench::new();
    script(
        &mut b,
        &[
            ("SETRANGE a 3 ''", ":0"),
            ("GET a", "$-1"),
            ("SETRANGE a 2 xy", ":4"),
            ("SETRANGE a -1 x", "-ERR offset is out of range"),
            (
                "SETRANGE a 9223372036854775807 A",
                "-ERR string exceeds maximum allowed size (proto-max-bulk-len)",
            ),
            (
                "SETRANGE a 536870911 AB",
                "-ERR string exceeds maximum allowed size (proto-max-bulk-len)",
            ),
            ("SET a 'Hello World'", "+OK"),
            ("GETRANGE a 0 3", "$4 Hell"),
            ("GETRANGE a -4 -1", "$4 orld"),
            ("GETRANGE a 5 3", "$0"),
            ("GETRANGE a -5000 9223372036854775807", "$11 Hello World"),
            (
                "GETRANGE a -9223372036854775808 -9223372036854775808",
                "$1 H",
            ),
            ("SUBSTR nokey 0 1", "$0"),
            ("STRLEN a", ":11"),
            ("STRLEN nokey", ":0"),
        ],
    );
}

#[test]
fn a_string_that_would_be_too_long_is_refused() {
    let mut b = Bench::new();
    b.server.ks.limits.string_bytes = 10;
    script(
        &mut b,
        &[
            ("APPEND a 123456789", ":9"),
            (
                "APPEND a 12",
                "-ERR string exceeds maximum allowed size (proto-max-bulk-len)",
            ),
            ("APPEND a 1", ":10"),
            (
                "SETRANGE a 10 x",
                "-ERR string exceeds maximum allowed size (proto-max-bulk-len)",
            ),
        ],
    );
}

#[test]
fn lcs_replies_in_all_forms() {
    let mut b = Bench::new();
    script(
        &mut b,
        &[
            ("MSET a ohmytext b mynewtext", "+OK"),
            ("LCS a b", "$6 mytext"),
            ("LCS a b LEN", ":6"),
            (
                "LCS a b IDX",
                "*4 $7 matches *2 *2 *2 :4 :7 *2 :5 :8 *2 *2 :2 :3 *2 :0 :1 $3 len :6",
            ),
            (
                "LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN",
                "*4 $7 matches *1 *3 *2 :4 :7 *2 :5 :8 :4 $3 len :6",
            ),
            ("LCS a nokey IDX", "*4 $7 matches *0 $3 len :0"),
            (
                "LCS a b LEN IDX",
                "-ERR If you want both the length and indexes, please just use IDX.",
            ),
            ("LCS a b foo", "-ERR syntax error"),
        ],
    );
    let long = vec![b'a'; 65536];
    b.run(&[b"SET".as_slice(), b"a", &long]);
    b.run(&[b"SET".as_slice(), b"b", &long]);
    let refused = "-ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len";
    script(
        &mut b,
        &[("LCS a b IDX", refused), ("LCS a b LEN", refused)],
    );
}

#[test]
fn other_types_are_refused() {
    use crate::value::entry::{Blob, Entry, Head, New};
    let mut b = Bench::new();
    // A small list, put there by hand: these tests know no other family.
    let blob = Blob {
        tag: crate::value::tag::LIST,
        count: 1,
        bytes: b"\x01a\x02",
    };
    let put = |b: &mut Bench| {
        b.server
            .ks
            .at(0)
            .put(Entry::new(b"l", Head::default(), New::Packed(blob)))
    };
    put(&mut b);
    for line in [
        "GET l",
        "GETSET l x",
        "GETDEL l",
        "GETEX l",
        "SET l x GET",
        "SET l x IFEQ y",
        "APPEND l x",
        "STRLEN l",
        "GETRANGE l 0 1",
        "SETRANGE l 0 x",
        "SETRANGE l 0 ''",
        "INCR l",
        "INCRBYFLOAT l x",
        "INCREX l",
        "DIGEST l",
        "DELIFEQ l x",
        "DELEX l IFEQ x",
        "SETBIT l 0 1",
        "GETBIT l 0",
        "BITCOUNT l",
        "BITPOS l 1",
        "BITOP AND d l",
        "BITFIELD l GET u8 0",
        "BITFIELD l SET u8 0 1",
        "PFADD l x",
        "PFCOUNT l",
        "PFCOUNT l l",
        "PFMERGE d l",
    ] {
        assert_eq!(b.say(line), WRONG, "{line}");
    }
    script(
        &mut b,
        &[
            ("MGET l", "*1 $-1"),
            (
                "LCS l l",
                "-ERR The specified keys must contain string values",
            ),
            ("DELEX l", ":1"),
        ],
    );
    put(&mut b);
    script(&mut b, &[("SET l x", "+OK"), ("GET l", "$1 x")]);
}

#[test]
fn what_goes_into_the_log_is_the_effect() {
    let mut b = Bench::new();
    b.server.ks.log.attach(crate::log::Consumer::File);
    let mut logged = |line: &str| {
        b.say(line);
        let bytes = b.server.ks.log.take().bytes;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        // Words only: without counts and lengths.
        let words = text
            .split("\r\n")
            .filter(|w| !w.is_empty() && !w.starts_with(['*', '$']));
        words.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(logged("SET a 1"), "SELECT 0 SET a 1");
    assert_eq!(logged("SET a 1 NX"), "");
    assert_eq!(logged("SET a 2 GET KEEPTTL"), "SET a 2 KEEPTTL");
    assert_eq!(logged("SET a 3 IFEQ 2"), "SET a 3");
    assert_eq!(
        logged("SET a 3 PXAT 4000000000000"),
        "SET a 3 PXAT 4000000000000"
    );
    assert!(logged("SET a 3 EX 100").starts_with("SET a 3 PXAT "));
    assert!(logged("SETEX a 100 4").starts_with("SET a 4 PXAT "));
    assert_eq!(logged("INCRBYFLOAT a 0.5"), "SET a 4.5 KEEPTTL");
    assert_eq!(logged("GETEX a PERSIST"), "PERSIST a");
    assert!(logged("GETEX a EX 100").starts_with("PEXPIREAT a "));
    assert_eq!(logged("GETSET a 5"), "SET a 5");
    assert_eq!(logged("INCREX a BYINT 2"), "SET a 7");
    assert_eq!(logged("INCREX a UBOUND 1"), "");
    assert_eq!(logged("MSETEX 2 a 1 b 2"), "MULTI SET a 1 SET b 2 EXEC");
    assert_eq!(logged("GETDEL a"), "DEL a");
    assert_eq!(logged("DELIFEQ b 2"), "DEL b");
    assert_eq!(logged("SETBIT c 1 1"), "SETBIT c 1 1");
    assert_eq!(logged("SETBIT c 1 1"), "", "nothing changed");
    assert_eq!(logged("PFADD h a"), "PFADD h a");
    assert_eq!(logged("PFCOUNT h"), "PFCOUNT h");
    assert_eq!(logged("PFCOUNT h"), "", "the result is kept in the value");
}

#[test]
fn a_large_argument_is_stored_without_a_copy() {
    let mut b = Bench::new();
    let long = vec![b'x'; 200_000];
    assert_eq!(b.run(&[b"SET".as_slice(), b"a", &long]), b"+OK\r\n");
    assert_eq!(b.say("STRLEN a"), ":200000");
    assert_eq!(b.say("APPEND a y"), ":200001");
    assert_eq!(b.say("GETRANGE a 199999 -1"), "$2 xy");
}
