use crate::command::testing::Bench;
use std::collections::BTreeMap;

const WRONG: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";

/// The pairs of a flat reply, in order of fields.
fn pairs(reply: &str) -> BTreeMap<String, String> {
    let texts: Vec<&str> = reply.split(' ').skip(2).step_by(2).collect();
    texts
        .chunks(2)
        .map(|p| (p[0].to_owned(), p[1].to_owned()))
        .collect()
}

fn all(bench: &mut Bench, key: &str) -> String {
    let map = pairs(&bench.say(&format!("HGETALL {key}")));
    map.iter()
        .map(|(f, v)| format!("{f}={v}"))
        .collect::<Vec<_>>()
        .join(" ")
}

/// What the commands since the last call put into the log, as words.
fn logged(bench: &mut Bench) -> String {
    let bytes = bench.server.ks.log.take().bytes;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let lines = text
        .split("\r\n")
        .filter(|l| !l.starts_with('$') && !l.is_empty());
    lines
        .map(|l| if l.starts_with('*') { ";" } else { l })
        .collect::<Vec<_>>()
        .join(" ")
}

/// Runs a test in each form: packed, with expiries, as a table.
fn in_every_form(test: impl Fn(&mut Bench)) {
    for prepare in [
        &[][..],
        &["HSET h x y", "HEXPIRE h 100 FIELDS 1 x", "HDEL h x"],
    ] {
        for entries in [128, 0] {
            let mut bench = Bench::new();
            bench.server.ks.limits.hash_entries = entries;
            bench.say("HSET h seed 1");
            prepare.iter().for_each(|line| {
                bench.say(line);
            });
            test(&mut bench);
        }
    }
}

#[test]
fn set_get_and_delete() {
    in_every_form(|b| {
        b.say("HDEL h seed");
        assert_eq!(b.say("HSET h a 1 b two a 3"), ":2");
        assert_eq!(b.say("HSET h a 4"), ":0");
        assert_eq!(b.say("HGET h a"), "$1 4");
        assert_eq!(b.say("HGET h none"), "$-1");
        assert_eq!(b.say("HGET none a"), "$-1");
        assert_eq!(b.say("HMGET h a none b"), "*3 $1 4 $-1 $3 two");
        assert_eq!(b.say("HMGET none a b"), "*2 $-1 $-1");
        assert_eq!(b.say("HLEN h"), ":2");
        assert_eq!(b.say("HEXISTS h b"), ":1");
        assert_eq!(b.say("HEXISTS h c"), ":0");
        assert_eq!(b.say("HSTRLEN h b"), ":3");
        assert_eq!(b.say("HSTRLEN h none"), ":0");
        assert_eq!(b.say("HSETNX h b x"), ":0");
        assert_eq!(b.say("HSETNX h c -12"), ":1");
        assert_eq!(b.say("HSTRLEN h c"), ":3");
        assert_eq!(b.say("HMSET h d 5"), "+OK");
        assert_eq!(all(b, "h"), "a=4 b=two c=-12 d=5");
        assert_eq!(b.say("HDEL h a zz c"), ":2");
        assert_eq!(b.say("HKEYS h").len(), "*2 $1 b $1 d".len());
        assert_eq!(b.say("HVALS h").len(), "*2 $3 two $1 5".len());
        assert_eq!(b.say("HDEL h b d"), ":2");
        assert!(b.server.ks.is_empty());
        assert_eq!(b.say("HGETALL h"), "*0");
        assert_eq!(b.say("HLEN h"), ":0");
        b.say("HSET h a 1");
        b.say("HELLO 3");
        assert_eq!(b.say("HGETALL h"), "%1 $1 a $1 1");
        assert_eq!(b.say("HGETALL none"), "%0");
        assert_eq!(b.say("HGET h none"), "_");
    });
}

#[test]
fn large_values_come_back() {
    let mut b = Bench::new();
    let big = "v".repeat(40_000);
    b.say(&format!("HSET h f {big} g small"));
    assert_eq!(b.say("HGET h f"), format!("$40000 {big}"));
    assert_eq!(b.say("HSTRLEN h f"), ":40000");
    assert_eq!(pairs(&b.say("HGETALL h"))["f"], big);
    assert!(b.say("HSCAN h 0").contains(&big));
}

#[test]
fn numbers() {
    in_every_form(|b| {
        assert_eq!(b.say("HINCRBY h n 5"), ":5");
        assert_eq!(b.say("HINCRBY h n -7"), ":-2");
        assert_eq!(b.say("HINCRBYFLOAT h f 1.5"), "$3 1.5");
        assert_eq!(b.say("HINCRBYFLOAT h f 0.1"), "$3 1.6");
        assert_eq!(b.say("HINCRBYFLOAT h n 0.5"), "$4 -1.5");
        assert_eq!(b.say("HINCRBYFLOAT h f 1e2"), "$5 101.6");
        b.say("HSET h t text m 9223372036854775807 i inf");
        for (line, want) in [
            ("HINCRBY h t 1", "-ERR hash value is not an integer"),
            ("HINCRBY h f 1", "-ERR hash value is not an integer"),
            (
                "HINCRBY h m 1",
                "-ERR increment or decrement would overflow",
            ),
            (
                "HINCRBY h n x",
                "-ERR value is not an integer or out of range",
            ),
            ("HINCRBYFLOAT h t 1", "-ERR hash value is not a float"),
            ("HINCRBYFLOAT h n inf", "-ERR value is NaN or Infinity"),
            ("HINCRBYFLOAT h n -inf", "-ERR value is NaN or Infinity"),
            ("HINCRBYFLOAT h n nan", "-ERR value is not a valid float"),
            (
                "HINCRBYFLOAT h i 1",
                "-ERR increment would produce NaN or Infinity",
            ),
        ] {
            assert_eq!(b.say(line), want, "{line}");
        }
        let digits = "9".repeat(300);
        assert!(
            b.say(&format!("HINCRBYFLOAT h n {digits}"))
                .starts_with("$301 10000000000")
        );
        assert_eq!(
            b.say("HINCRBY none t x"),
            "-ERR value is not an integer or out of range"
        );
        assert_eq!(b.say("HLEN none"), ":0");
    });
}

#[test]
fn expiries_by_condition() {
    in_every_form(|b| {
        b.say("HSET h a 1 b 2 c 3");
        for (line, want) in [
            ("HEXPIRE h 100 FIELDS 2 a nof", "*2 :1 :-2"),
            ("HEXPIRE h 100 NX FIELDS 2 a b", "*2 :0 :1"),
            ("HEXPIRE h 100 XX FIELDS 2 a c", "*2 :1 :0"),
            ("HEXPIRE h 50 GT FIELDS 3 a b c", "*3 :0 :0 :0"),
            ("HEXPIRE h 500 LT FIELDS 3 a b c", "*3 :0 :0 :1"),
            ("HEXPIRE h 50 LT FIELDS 3 a b c", "*3 :1 :1 :1"),
            ("HEXPIRE h 60 GT FIELDS 1 a", "*1 :1"),
            ("HTTL h FIELDS 4 a b c d", "*4 :60 :50 :50 :-2"),
            ("HPERSIST h FIELDS 3 a seed nof", "*3 :1 :-1 :-2"),
            ("HPTTL h FIELDS 2 a nof", "*2 :-1 :-2"),
            ("HEXPIRE h 0 XX FIELDS 1 a", "*1 :0"),
            ("HEXPIRE h 0 FIELDS 1 a", "*1 :2"),
            ("HPEXPIREAT h 1 FIELDS 2 b nof", "*2 :2 :-2"),
            ("HEXPIREAT h 70000000000 FIELDS 1 c", "*1 :1"),
            ("HEXPIRETIME h FIELDS 1 c", "*1 :70000000000"),
            ("HPEXPIRETIME h FIELDS 1 c", "*1 :70000000000000"),
            ("HSET h c 4", ":0"),
            ("HTTL h FIELDS 1 c", "*1 :-1"),
            ("HEXPIRE none 1 FIELDS 2 a b", "*2 :-2 :-2"),
            ("HTTL none FIELDS 1 a", "*1 :-2"),
            ("HPERSIST none FIELDS 2 a b", "*2 :-2 :-2"),
        ] {
            assert_eq!(b.say(line), want, "{line}");
        }
        b.say("HDEL h seed");
        assert_eq!(all(b, "h"), "c=4");
        assert_eq!(b.say("HPEXPIREAT h 0 FIELDS 1 c"), "*1 :2");
        assert!(b.server.ks.is_empty());
    });
}

#[test]
fn increments_keep_the_expiry() {
    in_every_form(|b| {
        b.say("HSET h a 1");
        b.say("HEXPIRE h 100 FIELDS 1 a");
        b.say("HINCRBY h a 2");
        assert_eq!(b.say("HTTL h FIELDS 1 a"), "*1 :100");
        b.say("HINCRBYFLOAT h a 2.5");
        assert_eq!(b.say("HTTL h FIELDS 1 a"), "*1 :100");
        assert_eq!(b.say("HGET h a"), "$3 5.5");
    });
}

#[test]
fn ended_fields_are_absent_before_they_are_removed() {
    in_every_form(|b| {
        b.server.ks.active_expire = false;
        b.say("HDEL h seed");
        b.say("HSET h a 1 b 2 c 3 d 4 e 5");
        b.say("HPEXPIRE h 10 FIELDS 4 a b c d");
        b.pass_ms(20);
        assert_eq!(b.say("HLEN h"), ":1");
        assert_eq!(b.say("HGET h a"), "$-1");
        assert_eq!(b.say("HMGET h a e"), "*2 $-1 $1 5");
        assert_eq!(b.say("HEXISTS h a"), ":0");
        assert_eq!(b.say("HSTRLEN h a"), ":0");
        assert_eq!(all(b, "h"), "e=5");
        assert_eq!(b.say("HKEYS h"), "*1 $1 e");
        assert_eq!(b.say("HVALS h"), "*1 $1 5");
        assert_eq!(b.say("HRANDFIELD h"), "$1 e");
        assert_eq!(b.say("HRANDFIELD h 10"), "*1 $1 e");
        assert_eq!(b.say("HRANDFIELD h -2"), "*2 $1 e $1 e");
        assert_eq!(b.say("HSCAN h 0"), "*2 $1 0 *2 $1 e $1 5");
        assert_eq!(b.say("HTTL h FIELDS 1 a"), "*1 :-2");
        assert_eq!(b.say("HGETEX h FIELDS 1 a"), "*1 $-1");
        b.server.ks.log.attach(crate::log::Consumer::File);
        assert_eq!(b.say("HDEL h a"), ":0");
        assert_eq!(b.say("HINCRBY h b 7"), ":7");
        assert_eq!(b.say("HSETNX h c 9"), ":1");
        assert_eq!(b.say("HPERSIST h FIELDS 1 d"), "*1 :-2");
        assert_eq!(b.say("HTTL h FIELDS 2 b c"), "*2 :-1 :-1");
        assert_eq!(
            logged(b),
            "; SELECT 0 ; HDEL h a ; MULTI ; HDEL h b ; HINCRBY h b 7 ; EXEC ; MULTI ; HDEL h c ; HSETNX h c 9 ; EXEC ; HDEL h d"
        );
        assert_eq!(b.server.ks.stats.expired_fields, 4);
        assert_eq!(all(b, "h"), "b=7 c=9 e=5");
    });
}

#[test]
fn the_cycle_removes_what_has_ended() {
    in_every_form(|b| {
        b.say("HSET h a 1 b 2 c 3");
        b.say("HPEXPIRE h 200 FIELDS 1 a");
        b.say("HPEXPIRE h 50 FIELDS 1 b");
        b.say("HPEXPIRE h 100000 FIELDS 1 c");
        b.server.ks.log.attach(crate::log::Consumer::File);
        b.pass_ms(100);
        b.server.ks.expire_slice(&mut || false);
        assert_eq!(logged(b), "; SELECT 0 ; HDEL h b");
        b.pass_ms(150);
        b.server.ks.expire_slice(&mut || false);
        assert_eq!(logged(b), "; HDEL h a");
        b.say("HDEL h seed");
        b.pass_ms(100_000);
        for _ in 0..3 {
            b.server.ks.expire_slice(&mut || false);
            b.pass_ms(20);
        }
        assert!(b.server.ks.is_empty());
        assert_eq!(b.server.ks.stats.expired_fields, 3);
    });
}

#[test]
fn the_cycle_empties_a_large_hash_in_steps() {
    let mut b = Bench::new();
    let pairs: String = (0..2000).map(|n| format!(" f{n} v")).collect();
    let names: String = (0..2000).map(|n| format!(" f{n}")).collect();
    b.say(&format!("HSET h{pairs}"));
    b.say(&format!("HPEXPIRE h 30 FIELDS 2000{names}"));
    b.pass_ms(100);
    while b
        .server
        .ks
        .next_expiry()
        .is_some_and(|at| at <= b.server.ks.now_ms)
    {
        b.server.ks.expire_slice(&mut || true);
    }
    assert!(b.server.ks.is_empty());
    assert_eq!(b.server.ks.stats.expired_fields, 2000);
}

#[test]
fn get_with_expiry_and_delete() {
    in_every_form(|b| {
        b.say("HSET h a 1 b 2 c 3");
        b.server.ks.log.attach(crate::log::Consumer::File);
        for (line, want) in [
            ("HGETEX h FIELDS 2 a none", "*2 $1 1 $-1"),
            ("HGETEX h EX 100 FIELDS 2 a none", "*2 $1 1 $-1"),
            ("HTTL h FIELDS 2 a b", "*2 :100 :-1"),
            ("HGETEX h PERSIST FIELDS 2 a b", "*2 $1 1 $1 2"),
            ("HTTL h FIELDS 1 a", "*1 :-1"),
            ("HGETEX h PXAT 70000000000000 FIELDS 1 a", "*1 $1 1"),
            ("HPEXPIRETIME h FIELDS 1 a", "*1 :70000000000000"),
            ("HGETEX h PX 0 FIELDS 2 b b", "*2 $1 2 $-1"),
            ("HGETDEL h FIELDS 3 c none c", "*3 $1 3 $-1 $-1"),
            ("HGETDEL none FIELDS 1 c", "*1 $-1"),
            ("HGETEX none EX 1 FIELDS 1 c", "*1 $-1"),
            ("HGETDEL h FIELDS 2 a seed", "*2 $1 1 $1 1"),
        ] {
            if want.ends_with("$1 1") && line.contains("seed") {
                b.say("HSET h seed 1");
            }
            assert_eq!(b.say(line), want, "{line}");
        }
        assert!(b.server.ks.is_empty());
        let now = b.server.ks.now_ms;
        let log = logged(b);
        let mut effects: Vec<&str> = log.split(" ; ").collect();
        let timed = effects.remove(1);
        assert!(
            timed.starts_with("HPEXPIREAT h ") && timed.ends_with(" FIELDS 1 a"),
            "{timed}"
        );
        let at: i64 = timed.split(' ').nth(2).unwrap().parse().unwrap();
        assert!((now + 90_000..=now + 100_000).contains(&at));
        assert_eq!(
            effects,
            [
                "; SELECT 0",
                "HPERSIST h FIELDS 1 a",
                "HPEXPIREAT h 70000000000000 FIELDS 1 a",
                "HDEL h b",
                "HDEL h c",
                "HSET h seed 1",
                "HDEL h a seed"
            ]
        );
    });
}

#[test]
fn set_with_expiry() {
    in_every_form(|b| {
        b.say("HDEL h seed");
        b.server.ks.log.attach(crate::log::Consumer::File);
        for (line, want) in [
            ("HSETEX h PXAT 70000000000000 FIELDS 2 a 1 b 2", ":1"),
            (
                "HPEXPIRETIME h FIELDS 2 a b",
                "*2 :70000000000000 :70000000000000",
            ),
            ("HSETEX h KEEPTTL FIELDS 2 a 5 c 3", ":1"),
            ("HPEXPIRETIME h FIELDS 2 a c", "*2 :70000000000000 :-1"),
            ("HSETEX h FNX FIELDS 2 a 7 d 7", ":0"),
            ("HSETEX h FXX FIELDS 2 a 7 d 7", ":0"),
            ("HSETEX none FXX FIELDS 1 a 7", ":0"),
            ("HSETEX h FXX FIELDS 2 a 7 b 8", ":1"),
            ("HTTL h FIELDS 2 a b", "*2 :-1 :-1"),
            ("HSETEX h FNX EXAT 70000000000 FIELDS 1 d 9", ":1"),
            ("HSETEX h EX 0 FIELDS 1 d 9", ":1"),
            ("HSETEX none EXAT 1 FIELDS 1 d 9", ":1"),
        ] {
            assert_eq!(b.say(line), want, "{line}");
        }
        assert_eq!(all(b, "h"), "a=7 b=8 c=3");
        assert_eq!(b.server.ks.len(), 1);
        assert_eq!(
            logged(b),
            "; SELECT 0 ; HSETEX h PXAT 70000000000000 FIELDS 2 a 1 b 2 ; \
             HSETEX h KEEPTTL FIELDS 2 a 5 c 3 ; HSETEX h FIELDS 2 a 7 b 8 ; \
             HSETEX h PXAT 70000000000000 FIELDS 1 d 9 ; HDEL h d ; HDEL none d"
        );
    });
}

#[test]
fn increments_are_logged_as_their_result() {
    let mut b = Bench::new();
    b.server.ks.log.attach(crate::log::Consumer::File);
    b.say("HINCRBYFLOAT h f 1.5");
    b.say("HPEXPIREAT h 70000000000000 FIELDS 1 f");
    b.say("HINCRBYFLOAT h f 1.5");
    assert_eq!(
        logged(&mut b),
        "; SELECT 0 ; HSET h f 1.5 ; HPEXPIREAT h 70000000000000 FIELDS 1 f ; MULTI ; HSET h f 3 ; \
         HPEXPIREAT h 70000000000000 FIELDS 1 f ; EXEC"
    );
}

#[test]
fn random_fields() {
    in_every_form(|b| {
        b.say("HDEL h seed");
        let fields: String = (0..30).map(|n| format!(" f{n} {n}")).collect();
        b.say(&format!("HSET h{fields}"));
        let map = pairs(&b.say("HGETALL h"));
        assert!(map.contains_key(b.say("HRANDFIELD h").split(' ').nth(1).unwrap()));
        assert_eq!(pairs(&b.say("HRANDFIELD h 100 WITHVALUES")), map);
        let some = b.say("HRANDFIELD h 5 WITHVALUES");
        assert!(some.starts_with("*10 ") && pairs(&some).len() == 5);
        assert!(pairs(&some).iter().all(|(f, v)| map[f] == *v));
        let many = b.say("HRANDFIELD h -200 withvalues");
        assert!(many.starts_with("*400 ") && pairs(&many).iter().all(|(f, v)| map[f] == *v));
        assert_eq!(b.say("HRANDFIELD h 0"), "*0");
        assert_eq!(b.say("HRANDFIELD none"), "$-1");
        assert_eq!(b.say("HRANDFIELD none 3"), "*0");
        b.say("HELLO 3");
        assert!(b.say("HRANDFIELD h 2 WITHVALUES").starts_with("*2 *2 $"));
    });
}

#[test]
fn scan_pages() {
    let mut b = Bench::new();
    b.say("HSET h a 1 b 2");
    assert_eq!(b.say("HSCAN h 0"), "*2 $1 0 *4 $1 a $1 1 $1 b $1 2");
    assert_eq!(b.say("HSCAN h 0 NOVALUES"), "*2 $1 0 *2 $1 a $1 b");
    assert_eq!(b.say("HSCAN h 0 MATCH b* COUNT 1"), "*2 $1 0 *2 $1 b $1 2");
    assert_eq!(b.say("HSCAN none 0 foo"), "*2 $1 0 *0");
    let fields: String = (0..1000).map(|n| format!(" f{n} v")).collect();
    b.say(&format!("HSET h{fields}"));
    let first = b.say("HSCAN h 0 COUNT 20");
    assert!(!first.starts_with("*2 $1 0 "));
    assert!(
        b.say("HSCAN h 0 COUNT 9223372036854775807")
            .starts_with("*2 $1 0 *2004 ")
    );
}

#[test]
fn errors_are_those_of_redis() {
    let mut b = Bench::new();
    b.say("HSET h f v");
    b.say("SADD s a");
    let missing = "-ERR Mandatory argument FIELDS is missing or not at the right position";
    let mismatch = "-ERR The `numfields` parameter must match the number of arguments";
    let count = "-ERR Number of fields must be a positive integer";
    let one = "-ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified";
    let arity = |name: &str| format!("-ERR wrong number of arguments for '{name}' command");
    for (line, want) in [
        ("HSET h f", &*arity("hset")),
        ("HSET h f v g", &*arity("hset")),
        ("HMSET h f v g", &*arity("hmset")),
        ("HRANDFIELD h 1 foo", "-ERR syntax error"),
        (
            "HRANDFIELD h abc",
            "-ERR value is not an integer or out of range",
        ),
        (
            "HRANDFIELD h -9223372036854775808 WITHVALUES",
            "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        ),
        (
            "HRANDFIELD h -9223372036854775807 WITHVALUES",
            "-ERR value is out of range",
        ),
        (
            "HRANDFIELD h -9223372036854775807",
            "-ERR value is out of range",
        ),
        ("HSCAN h abc", "-ERR invalid cursor"),
        ("HSCAN h 0 foo", "-ERR syntax error"),
        ("HEXPIRE h 10 FIELDS 2 a", mismatch),
        ("HEXPIRE h 10 NX XX FIELDS 1 a", missing),
        (
            "HEXPIRE h 10 FIELDS x a",
            "-ERR Parameter `numFields` should be greater than 0",
        ),
        ("HEXPIRE h 1 FIELDS 9223372036854775807 f", mismatch),
        (
            "HEXPIRE h -1 FIELDS 1 f",
            "-ERR invalid expire time, must be >= 0",
        ),
        (
            "HEXPIRE h abc FIELDS 1 f",
            "-ERR value is not an integer or out of range",
        ),
        (
            "HEXPIRE h 9223372036854775807 FIELDS 1 f",
            "-ERR invalid expire time in 'hexpire' command",
        ),
        (
            "HPEXPIREAT h 281474976710656 FIELDS 1 f",
            "-ERR invalid expire time in 'hpexpireat' command",
        ),
        (
            "HPEXPIREAT h 70368744177664 FIELDS 1 f",
            "-ERR invalid expire time in 'hpexpireat' command",
        ),
        ("HTTL h foo 1 a", missing),
        ("HTTL h FIELDS 2 a", mismatch),
        ("HTTL h FIELDS x a", count),
        ("HPERSIST h FIELDS 0 a", count),
        ("HGETDEL h FIELDS 2 a", mismatch),
        ("HGETDEL h FIELDS 0 a", count),
        ("HGETEX h EX 10 PX 10 FIELDS 1 a", missing),
        ("HGETEX h PERSIST EX 1 FIELDS 1 a", missing),
        ("HGETEX h EX 10 FIELDS 1 a PERSIST", mismatch),
        (
            "HGETEX h EX -1 FIELDS 1 a",
            "-ERR invalid expire time, must be >= 0",
        ),
        (
            "HGETEX h PX 9223372036854775807 FIELDS 1 a",
            "-ERR invalid expire time in 'hgetex' command",
        ),
        (
            "HSETEX h FNX FXX FIELDS 1 f v",
            "-ERR Only one of FXX or FNX arguments can be specified",
        ),
        ("HSETEX h EX 10 FIELDS 1 f", &*arity("hsetex")),
        ("HSETEX h EX 1 PX 1 FIELDS 1 a b", one),
        ("HSETEX h EX 10 KEEPTTL FIELDS 1 a b", one),
        ("HSETEX h FIELDS 2 a b", &*arity("hsetex")),
        ("HSETEX h foo FIELDS 1 a b", "-ERR unknown argument: foo"),
        ("HSETEX h FIELDS a a b", "-ERR invalid number of fields"),
        ("HSETEX h FIELDS 0 a", &*arity("hsetex")),
        ("HTTL s foo 1 a", WRONG),
        ("HEXPIRE s abc FIELDS 1 f", WRONG),
        (
            "HSETEX h EX FIELDS 1 a b",
            "-ERR value is not an integer or out of range",
        ),
        ("HSET s f v", WRONG),
        ("HGET s f", WRONG),
        ("HMGET s f", WRONG),
        ("HGETALL s", WRONG),
        ("HDEL s f", WRONG),
        ("HINCRBY s f 1", WRONG),
        ("HINCRBYFLOAT s f 1", WRONG),
        ("HSCAN s 0", WRONG),
        ("HRANDFIELD s", WRONG),
        ("HEXPIRE s 10 FIELDS 1 f", WRONG),
        ("HTTL s FIELDS 1 f", WRONG),
        ("HPERSIST s FIELDS 1 f", WRONG),
        ("HGETEX s EX 1 FIELDS 1 f", WRONG),
        ("HGETDEL s FIELDS 1 f", WRONG),
        ("HSETEX s FIELDS 1 f v", WRONG),
    ] {
        assert_eq!(b.say(line), want, "{line}");
    }
    assert_eq!(b.say("HGETALL h"), "*2 $1 f $1 v");
}

#[test]
fn events_in_the_order_of_redis() {
    in_every_form(|b| {
        b.server.ks.active_expire = false;
        for (line, want) in [
            ("HSET h a 1 b 2 c 3", "hset h"),
            ("HSETNX h a 1", ""),
            ("HEXPIRE h 100 FIELDS 2 a nof", "hexpire h"),
            ("HEXPIRE h 100 NX FIELDS 1 a", ""),
            ("HPERSIST h FIELDS 2 a b", "hpersist h"),
            ("HPERSIST h FIELDS 2 a b", ""),
            ("HEXPIRE h 0 FIELDS 1 a", "hdel h"),
            ("HGETEX h EX 100 FIELDS 1 b", "hexpire h"),
            ("HGETEX h FIELDS 1 b", ""),
            ("HGETEX h PERSIST FIELDS 1 b", "hpersist h"),
            ("HGETEX h PERSIST FIELDS 1 b", ""),
            ("HGETEX h PXAT 1 FIELDS 1 b", "hdel h"),
            ("HSETEX h EX 100 FIELDS 2 a 1 b 2", "hset h, hexpire h"),
            ("HSETEX h KEEPTTL FIELDS 1 a 1", "hset h"),
            ("HSETEX h FNX FIELDS 1 a 1", ""),
            ("HSETEX h EXAT 1 FIELDS 1 a 6", "hset h, hdel h"),
            ("HINCRBY h a 1", "hincrby h"),
            ("HINCRBYFLOAT h a 1", "hincrbyfloat h"),
            ("HGETDEL h FIELDS 2 b nof", "hdel h"),
            ("HGETDEL h FIELDS 1 nof", ""),
            ("HDEL h nof", ""),
            ("HPEXPIRE h 10 FIELDS 2 a c", "hexpire h"),
        ] {
            assert_eq!(b.events(line), want, "{line}");
        }
        b.pass_ms(50);
        assert_eq!(b.events("HSET h a 1"), "hexpired h, hset h");
        assert_eq!(b.events("HDEL h a c seed"), "hexpired h, hdel h, del h");
        b.events("HSETEX h PX 10 FIELDS 1 a 1");
        b.pass_ms(50);
        assert_eq!(b.events("HDEL h a"), "hexpired h, del h");
        b.events("HSET h a 1 b 2");
        assert_eq!(b.events("HGETEX h PX 0 FIELDS 2 a b"), "hdel h, del h");
    });
}
