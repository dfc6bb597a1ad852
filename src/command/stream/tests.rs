//! The stream commands in process.

use crate::command::testing::Bench;

fn bench() -> Bench {
    let mut bench = Bench::new();
    for line in [
        "XADD s 1-1 a 1 b 2",
        "XADD s 2-1 a 3 b 4",
        "XADD s 3-1 a 5",
        "XGROUP CREATE s g 0",
    ] {
        assert!(!bench.say(line).starts_with('-'), "{line}");
    }
    bench
}

#[test]
fn identifiers_are_made_and_checked() {
    let mut bench = bench();
    assert_eq!(bench.say("XADD s 3-* f v"), "$3 3-2");
    assert_eq!(bench.say("XADD s 4-* f v"), "$3 4-0");
    assert_eq!(bench.say("XADD new 0-* f v"), "$3 0-1");
    let small = "-ERR The ID specified in XADD is equal or smaller than the target stream top item";
    assert_eq!(bench.say("XADD s 2-* f v"), small);
    assert_eq!(bench.say("XADD s 4 f v"), small);
    assert_eq!(
        bench.say("XADD other 0-0 f v"),
        "-ERR The ID specified in XADD must be greater than 0-0"
    );
    assert_eq!(bench.say("EXISTS other"), ":0");
    bench.say("XADD far 18446744073709551614-18446744073709551615 f v");
    assert_eq!(
        bench.say("XADD far * f v"),
        "$22 18446744073709551615-0",
        "the clock is behind"
    );
    assert_eq!(bench.say("XADD nothing NOMKSTREAM * f v"), "$-1");
    assert_eq!(bench.say("EXISTS nothing"), ":0");
}

#[test]
fn ranges_have_open_and_closed_ends() {
    let mut bench = bench();
    let all = bench.say("XRANGE s - +");
    assert_eq!(
        all,
        "*3 *2 $3 1-1 *4 $1 a $1 1 $1 b $1 2 *2 $3 2-1 *4 $1 a $1 3 $1 b $1 4 *2 $3 3-1 *2 $1 a $1 5"
    );
    assert_eq!(bench.say("XRANGE s (2-1 +"), "*1 *2 $3 3-1 *2 $1 a $1 5");
    assert_eq!(
        bench.say("XREVRANGE s + (2 COUNT 1"),
        "*1 *2 $3 3-1 *2 $1 a $1 5"
    );
    assert_eq!(bench.say("XRANGE s - + COUNT 0"), "*-1");
    assert_eq!(bench.say("XRANGE s 9 +"), "*0");
    assert_eq!(bench.say("XRANGE nokey - + COUNT 0"), "*0");
}

#[test]
fn a_group_delivers_each_entry_once() {
    let mut bench = bench();
    assert!(
        bench
            .say("XREADGROUP GROUP g c COUNT 2 STREAMS s >")
            .contains("2-1")
    );
    assert!(
        bench
            .say("XREADGROUP GROUP g d STREAMS s >")
            .contains("3-1")
    );
    assert_eq!(bench.say("XREADGROUP GROUP g d STREAMS s >"), "*-1");
    assert_eq!(
        bench.say("XPENDING s g"),
        "*4 :3 $3 1-1 $3 3-1 *2 *2 $1 c $1 2 *2 $1 d $1 1"
    );
    bench.say("XDEL s 1-1");
    assert_eq!(
        bench.say("XREADGROUP GROUP g c STREAMS s 0"),
        "*1 *2 $1 s *2 *2 $3 1-1 *-1 *2 $3 2-1 *4 $1 a $1 3 $1 b $1 4"
    );
    assert_eq!(bench.say("XACK s g 1-1 2-1 9-9"), ":2");
    assert_eq!(bench.say("XACK s g 2-1"), ":0");
    assert!(
        bench
            .say("XINFO GROUPS s")
            .ends_with("$12 entries-read :3 $3 lag :0")
    );
}

/// As in Redis' tests: a claim goes by idle time, counts as a delivery, and new entries follow.
#[test]
fn a_read_claims_what_is_idle() {
    let mut bench = bench();
    bench.say("XREADGROUP GROUP g c COUNT 1 STREAMS s >");
    bench.pass_ms(100);
    bench.say("XREADGROUP GROUP g c COUNT 1 STREAMS s >");
    bench.pass_ms(50);
    assert_eq!(
        bench.say("XREADGROUP GROUP g d COUNT 2 CLAIM 100 STREAMS s >"),
        "*1 *2 $1 s *2 *4 $3 1-1 *4 $1 a $1 1 $1 b $1 2 :150 :1 *4 $3 3-1 *2 $1 a $1 5 :0 :0"
    );
    bench.pass_ms(100);
    let reply = bench.say("XREADGROUP GROUP g d CLAIM 50 STREAMS s >");
    let order: Vec<usize> = ["2-1", "1-1", "3-1"]
        .map(|id| reply.find(id).unwrap_or(0))
        .into();
    assert!(order[0] > 0 && order.is_sorted(), "{reply}");
    assert_eq!(
        bench.say("XREADGROUP GROUP g d CLAIM x STREAMS s >"),
        "-ERR min-idle-time is not an integer"
    );
    assert_eq!(
        bench.say("XREADGROUP GROUP g d CLAIM -1 STREAMS s >"),
        "-ERR min-idle-time must be a positive integer"
    );
    assert_eq!(
        bench.say("XREADGROUP GROUP g d MAXCOUNT 5 STREAMS s >"),
        "-ERR syntax error"
    );
}

#[test]
fn references_are_kept_deleted_or_minded() {
    let mut bench = bench();
    bench.say("XREADGROUP GROUP g c COUNT 2 STREAMS s >");
    bench.say("XACK s g 1-1");
    assert_eq!(
        bench.say("XDELEX s ACKED IDS 4 1-1 2-1 3-1 9-9"),
        "*4 :1 :2 :2 :-1"
    );
    assert_eq!(bench.say("XDELEX s DELREF IDS 1 2-1"), "*1 :1");
    assert!(bench.say("XPENDING s g").starts_with("*4 :0"));
    assert_eq!(bench.say("XACKDEL s g IDS 2 2-1 3-1"), "*2 :-1 :-1");
    assert_eq!(bench.say("XLEN s"), ":1");
    assert_eq!(bench.say("XACKDEL s nogroup IDS 1 3-1"), "*1 :-1");
    assert_eq!(
        bench.say("XDELEX s IDS 2 3-1"),
        "-ERR The `numids` parameter must match the number of arguments"
    );
}

#[test]
fn events_are_redis_own() {
    let mut bench = bench();
    bench.say("XREADGROUP GROUP g c STREAMS s >");
    for (line, events) in [
        ("XADD s * a b", "xadd s"),
        ("XADD s MAXLEN 3 * a b", "xadd s, xtrim s"),
        ("XTRIM s MAXLEN 2", "xtrim s"),
        ("XTRIM s MAXLEN 2", ""),
        ("XDEL s 1-1", ""),
        ("XSETID s 9999999999999-1", "xsetid s"),
        ("XGROUP CREATE s h $", "xgroup-create s"),
        ("XGROUP SETID s h 0", "xgroup-setid s"),
        ("XGROUP CREATECONSUMER s h c", "xgroup-createconsumer s"),
        (
            "XREADGROUP GROUP h new STREAMS s >",
            "xgroup-createconsumer s",
        ),
        ("XGROUP DELCONSUMER s h c", "xgroup-delconsumer s"),
        ("XGROUP DESTROY s h", "xgroup-destroy s"),
        ("XACK s g 2-1", ""),
        ("XDELEX s IDS 1 1-1", ""),
    ] {
        assert_eq!(bench.events(line), events, "{line}");
    }
}

/// A claim that once ran beyond the end of the pending entries, and counts that overflow.
#[test]
fn a_claim_ends_where_entries_are_gone() {
    let mut bench = bench();
    bench.say("XREADGROUP GROUP g c STREAMS s >");
    bench.say("XDEL s 2-1");
    assert_eq!(
        bench.say("XAUTOCLAIM s g d 0 0 COUNT 1"),
        "*3 $3 2-1 *1 *2 $3 1-1 *4 $1 a $1 1 $1 b $1 2 *0"
    );
    assert_eq!(
        bench.say("XAUTOCLAIM s g d 0 2-1 COUNT 1"),
        "*3 $3 3-1 *0 *1 $3 2-1"
    );
    assert_eq!(
        bench.say("XAUTOCLAIM s g d 0 0 COUNT 8070450532247928833"),
        "-ERR COUNT must be > 0"
    );
}

/// As redis-server logs them; of what 7.0 and 8.2 do differently, 8.2's. A consumer that was made but given nothing is
/// logged in any case.
#[test]
fn effects_are_logged_as_redis_does() {
    let mut bench = bench();
    bench.server.ks.log.attach(crate::log::Consumer::File);
    let mut logged = |line: &str| {
        let reply = bench.say(line);
        assert!(!reply.starts_with('-'), "{line}: {reply}");
        let bytes = bench.server.ks.log.take().bytes;
        let text = String::from_utf8_lossy(&bytes).replace("\r\n", " ");
        let words = text
            .split(' ')
            .filter(|w| !w.is_empty() && !w.starts_with(['*', '$']));
        // The time of day.
        let words = words.map(|w| if w.len() == 13 { "NOW" } else { w });
        let text = words.collect::<Vec<_>>().join(" ");
        text.strip_prefix("SELECT 0 ").unwrap_or(&text).to_owned()
    };
    for (line, log) in [
        (
            "XREADGROUP GROUP g c COUNT 2 STREAMS s >",
            "MULTI SELECT 0 XCLAIM s g c 0 1-1 TIME NOW RETRYCOUNT 1 FORCE JUSTID LASTID 1-1 \
             XCLAIM s g c 0 2-1 TIME NOW RETRYCOUNT 1 FORCE JUSTID LASTID 2-1 \
             XGROUP SETID s g 2-1 ENTRIESREAD 2 EXEC",
        ),
        ("XREADGROUP GROUP g c STREAMS s 0", ""),
        (
            "XREADGROUP GROUP g d NOACK STREAMS s >",
            "MULTI XGROUP CREATECONSUMER s g d XGROUP SETID s g 3-1 ENTRIESREAD 3 EXEC",
        ),
        ("XREADGROUP GROUP g d NOACK STREAMS s >", ""),
        (
            "XCLAIM s g e 0 1-1",
            "XCLAIM s g e 0 1-1 TIME NOW RETRYCOUNT 3 FORCE JUSTID LASTID 3-1",
        ),
        (
            "XAUTOCLAIM s g e 0 2 JUSTID",
            "XCLAIM s g e 0 2-1 TIME NOW RETRYCOUNT 2 FORCE JUSTID LASTID 3-1",
        ),
        (
            "XCLAIM s g e 0 9-9 LASTID 7-7",
            "XGROUP SETID s g 7-7 ENTRIESREAD 3",
        ),
        ("XADD s MAXLEN ~ 100 4-1 f v", "XADD s MAXLEN = 4 4-1 f v"),
        (
            "XADD s NOMKSTREAM MINID ~ 1 LIMIT 5 5-* f v",
            "XADD s NOMKSTREAM MINID = 1-1 5-0 f v",
        ),
        ("XADD s maxlen 4 6-1 f v", "XADD s maxlen 4 6-1 f v"),
        ("XTRIM s MAXLEN ~ 1", ""),
        ("XTRIM s MAXLEN 2", "XTRIM s MAXLEN 2"),
        ("XTRIM s MAXLEN ~ 0", "XTRIM s MAXLEN = 0"),
        ("XACK s g 1-1 9-9", "XACK s g 1-1 9-9"),
        ("XACK s g 1-1", ""),
        (
            "XAUTOCLAIM s g new 0 0",
            "MULTI XGROUP CREATECONSUMER s g new \
             XCLAIM s g e 0 2-1 TIME NOW RETRYCOUNT 2 FORCE JUSTID LASTID 7-7 EXEC",
        ),
    ] {
        assert_eq!(logged(line), log, "{line}");
    }
}

#[test]
fn a_read_of_a_wrong_type_replies_once() {
    let mut bench = Bench::new();
    bench.say("XADD s 1-1 a b");
    bench.say("SET other x");
    let wrong = "-WRONGTYPE Operation against a key holding the wrong kind of value";
    assert_eq!(bench.say("XREAD STREAMS s other 0 0"), wrong);
    assert_eq!(bench.say("XREAD STREAMS other s 0 0"), wrong);
}

/// As with redis-server 8.2.
#[test]
fn a_deletion_announces_a_missing_key_only_where_a_group_is_asked_for() {
    for (line, events) in [
        ("XDELEX k IDS 1 1-1", &[][..]),
        ("XDELEX k IDS 2 1-1", &[]),
        ("XACKDEL k g IDS 1 1-1", &["keymiss"]),
        ("XACKDEL k g IDS 2 1-1", &["keymiss"]),
    ] {
        let mut bench = Bench::new();
        // Half of these end in an error.
        let _ = bench.handle(line);
        let heard = &bench.server.ks.effects.events;
        let names: Vec<&str> = heard.iter().map(|event| event.name).collect();
        assert_eq!(names, events, "{line}");
    }
    let mut bench = Bench::new();
    bench.say("XADD k 1-1 a b");
    bench.handle("XACKDEL k g IDS 1 1-1").expect("no error");
    assert!(
        bench.server.ks.effects.events.is_empty(),
        "only the group is missing"
    );
}

#[test]
fn what_reads_a_group_announces_that_the_key_is_missing() {
    for line in [
        "XREADGROUP GROUP g c STREAMS k >",
        "XACK k g 1-1",
        "XCLAIM k g c 0 1-1",
        "XAUTOCLAIM k g c 0 0",
    ] {
        let mut bench = Bench::new();
        // Most of these end in an error.
        let _ = bench.handle(line);
        let events = &bench.server.ks.effects.events;
        let names: Vec<&str> = events.iter().map(|event| event.name).collect();
        assert_eq!(names, ["keymiss"], "{line}");
    }
}
