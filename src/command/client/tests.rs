//! Tests of CLIENT in process.

use super::*;
use crate::command::testing::Bench;

#[test]
fn names_and_library_are_shown() {
    let mut bench = Bench::new();
    assert_eq!(bench.say("CLIENT GETNAME"), "$-1");
    assert_eq!(bench.say("CLIENT SETNAME bob"), "+OK");
    assert_eq!(bench.say("CLIENT GETNAME"), "$3 bob");
    assert!(
        bench
            .say("CLIENT SETNAME 'a b'")
            .starts_with("-ERR Client names cannot")
    );
    assert_eq!(bench.say("CLIENT SETINFO lib-name x"), "+OK");
    assert_eq!(
        bench.say("CLIENT SETINFO foo x"),
        "-ERR Unrecognized option 'foo'"
    );
    let info = bench.say("CLIENT INFO");
    for part in [
        " name=bob ",
        " lib-name=x lib-ver= ",
        " cmd=client|info ",
        " laddr=127.0.0.1:2 ",
    ] {
        assert!(info.contains(part), "{part}: {info}");
    }
}

#[test]
fn filters_of_kill() {
    let mut bench = Bench::new();
    let errors = [
        ("ID 0", "client-id should be greater than 0"),
        ("ID 1 x", "syntax error"),
        ("TYPE foo", "Unknown client type 'foo'"),
        ("USER x", "No such user 'x'"),
        (
            "MAXAGE 99999999999999999999",
            "maxage is not an integer or out of range",
        ),
        ("1.2.3.4:5", "No such client"),
    ];
    for (args, error) in errors {
        assert_eq!(
            bench.say(&format!("CLIENT KILL {args}")),
            format!("-ERR {error}")
        );
    }
    assert_eq!(bench.say("CLIENT KILL ID 1"), ":0");
    assert_eq!(bench.say("CLIENT KILL ID 1 MAXAGE 100 SKIPME no"), ":0");
    assert_eq!(
        bench.say("CLIENT KILL ID 1 ADDR 127.0.0.1:1 SKIPME no"),
        ":1"
    );
    assert!(bench.client.is(ClientFlags::CLOSE_AFTER_REPLY));
}

#[test]
fn replies_are_dropped_on_request() {
    let mut bench = Bench::new();
    assert_eq!(bench.say("CLIENT REPLY SKIP"), "");
    assert_eq!(bench.say("PING"), "");
    assert_eq!(bench.say("PING"), "+PONG");
    assert_eq!(bench.say("CLIENT REPLY OFF"), "");
    assert_eq!(bench.say("PING"), "");
    assert_eq!(bench.say("CLIENT REPLY ON"), "+OK");
    assert_eq!(bench.say("CLIENT REPLY maybe"), "-ERR syntax error");
    // The reply of EXEC has an element for each command.
    bench.say("MULTI");
    bench.say("CLIENT REPLY SKIP");
    bench.say("PING");
    assert_eq!(bench.say("EXEC"), "*2 +OK +PONG");
}

#[test]
fn the_skipped_reply_may_be_one_that_is_waited_for() {
    let mut bench = Bench::new();
    let id = bench.join(false);
    assert_eq!(bench.say_as(id, "CLIENT REPLY SKIP"), "");
    assert!(bench.waits(id, "BLPOP l 0"));
    assert_eq!(bench.say("RPUSH l a"), ":1");
    assert_eq!(bench.heard(id), "");
    assert_eq!(bench.say("EXISTS l"), ":0");
    assert_eq!(bench.say_as(id, "PING"), "+PONG");
}

#[test]
fn a_pause_only_grows() {
    let mut bench = Bench::new();
    assert_eq!(bench.say("CLIENT PAUSE 100000 WRITE"), "+OK");
    assert_eq!(bench.say("CLIENT PAUSE 10"), "+OK");
    let pause = bench.server.core.active_pause().expect("a pause");
    assert!(!pause.writes_only && pause.until_ms > bench.server.core.now_ms() + 90_000);
    assert_eq!(bench.say("CLIENT UNPAUSE"), "+OK");
    assert!(bench.server.core.active_pause().is_none());
    assert_eq!(bench.say("CLIENT PAUSE -1"), "-ERR timeout is negative");
    assert_eq!(
        bench.say(&format!("CLIENT PAUSE {}", i64::MAX)),
        "-ERR timeout is out of range"
    );
}
