//! The family in process.

use crate::command::testing::Bench;

/// Runs lines of `command => reply`.
fn check(bench: &mut Bench, lines: &[(&str, &str)]) {
    for (line, reply) in lines {
        assert_eq!(bench.say(line), *reply, "{line}");
    }
}

/// What the log got since the last call, one command a line.
fn logged(bench: &mut Bench) -> String {
    String::from_utf8_lossy(&bench.server.ks.log.take()).replace("\r\n", " ")
}

#[test]
fn keys_come_and_go() {
    let mut bench = Bench::new();
    check(
        &mut bench,
        &[
            ("DEL a", ":0"),
            ("RANDOMKEY", "$-1"),
            ("SET a 1", "+OK"),
            ("SET b 2", "+OK"),
            ("EXISTS a b a c", ":3"),
            ("TOUCH a b c", ":2"),
            ("TYPE a", "+string"),
            ("TYPE c", "+none"),
            ("DEL a a c", ":1"),
            ("RANDOMKEY", "$1 b"),
            ("UNLINK a b", ":1"),
            ("EXISTS b", ":0"),
        ],
    );
    assert!(bench.server.ks.is_empty());
}

#[test]
fn expiry_is_set_shown_and_taken_back() {
    let mut bench = Bench::new();
    check(
        &mut bench,
        &[
            ("TTL k", ":-2"),
            ("PTTL k", ":-2"),
            ("EXPIRETIME k", ":-2"),
            ("EXPIRE k 10", ":0"),
            ("SET k v", "+OK"),
            ("TTL k", ":-1"),
            ("PEXPIRETIME k", ":-1"),
            ("PERSIST k", ":0"),
            ("EXPIRE k 100", ":1"),
            ("TTL k", ":100"),
            ("PERSIST k", ":1"),
            ("TTL k", ":-1"),
            ("PEXPIRE k 99999", ":1"),
            ("TTL k", ":100"),
            ("EXPIREAT k 9999999999", ":1"),
            ("EXPIRETIME k", ":9999999999"),
            ("PEXPIREAT k 9999999999499", ":1"),
            ("EXPIRETIME k", ":9999999999"),
            ("PEXPIRETIME k", ":9999999999499"),
            ("PEXPIREAT k 9223372036854775807", ":1"),
            ("EXPIRETIME k", ":9223372036854775"),
            ("EXPIRE k 0", ":1"),
            ("EXISTS k", ":0"),
            ("SET k v", "+OK"),
            ("EXPIREAT k -1", ":1"),
            ("EXISTS k", ":0"),
        ],
    );
}

#[test]
fn conditions_compare_with_the_present_expiry() {
    let mut bench = Bench::new();
    check(
        &mut bench,
        &[
            ("SET k v", "+OK"),
            ("EXPIRE k 100 XX", ":0"),
            ("EXPIRE k 100 GT", ":0"),
            ("EXPIRE k 100 LT XX", ":0"),
            ("EXPIRE k 100 LT", ":1"),
            ("EXPIRE k 100 NX", ":0"),
            ("EXPIRE k 50 GT", ":0"),
            ("EXPIRE k 200 LT", ":0"),
            ("EXPIRE k 200 GT XX", ":1"),
            ("TTL k", ":200"),
            ("EXPIRE k 150 xx lt", ":1"),
            ("TTL k", ":150"),
            ("EXPIRE k -1 GT", ":0"),
            ("EXPIRE k -1 LT", ":1"),
            ("EXISTS k", ":0"),
        ],
    );
}

#[test]
fn bad_times_and_options_are_refused() {
    let mut bench = Bench::new();
    let nx = "-ERR NX and XX, GT or LT options at the same time are not compatible";
    check(
        &mut bench,
        &[
            ("SET k v", "+OK"),
            (
                "EXPIRE k abc",
                "-ERR value is not an integer or out of range",
            ),
            ("EXPIRE k abc foo", "-ERR Unsupported option foo"),
            ("EXPIRE k 10 NX XX", nx),
            ("EXPIRE k 10 GT NX", nx),
            (
                "EXPIRE k 10 GT LT",
                "-ERR GT and LT options at the same time are not compatible",
            ),
            (
                "EXPIRE k 9223372036854775807",
                "-ERR invalid expire time in 'expire' command",
            ),
            (
                "EXPIRE k 9223372036854775",
                "-ERR invalid expire time in 'expire' command",
            ),
            (
                "EXPIRE k -9223372036854775808",
                "-ERR invalid expire time in 'expire' command",
            ),
            (
                "PEXPIRE k 9223372036854775807",
                "-ERR invalid expire time in 'pexpire' command",
            ),
            (
                "EXPIREAT k 9223372036854775807",
                "-ERR invalid expire time in 'expireat' command",
            ),
            ("TTL k", ":-1"),
        ],
    );
}

#[test]
fn expiry_is_logged_as_an_absolute_time() {
    let mut bench = Bench::new();
    bench.server.ks.log.attach();
    bench.say("SET k v");
    logged(&mut bench);
    bench.say("EXPIRE k 100");
    let at = bench
        .server
        .ks
        .at(0)
        .peek(b"k")
        .and_then(|e| e.expire())
        .unwrap();
    assert_eq!(
        logged(&mut bench),
        format!("*3 $9 PEXPIREAT $1 k $13 {at} ")
    );
    bench.say("EXPIRE k 100 NX");
    assert_eq!(logged(&mut bench), "");
    bench.say("EXPIRE k -100");
    assert_eq!(logged(&mut bench), "*2 $3 DEL $1 k ");
    bench.say("SET k v PX 10");
    logged(&mut bench);
    bench.pass_ms(20);
    assert_eq!(bench.say("TTL k"), ":-2");
    assert_eq!(logged(&mut bench), "*2 $3 DEL $1 k ");
}
