use crate::command::testing::Bench;
use std::collections::BTreeSet;

const WRONG: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";

/// The bulk strings of an array or set reply.
fn bulks(reply: &str) -> BTreeSet<String> {
    let mut words = reply.split(' ');
    let head = words.next().unwrap();
    assert!(head.starts_with(['*', '~']), "{reply}");
    let items: BTreeSet<String> = words.skip(1).step_by(2).map(str::to_owned).collect();
    assert_eq!(items.len().to_string(), head[1..], "{reply}");
    items
}

fn words(text: &str) -> BTreeSet<String> {
    text.split_whitespace().map(str::to_owned).collect()
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

#[test]
fn add_remove_and_look() {
    let mut b = Bench::new();
    assert_eq!(b.say("SADD s a b a 1"), ":3");
    assert_eq!(b.say("SADD s a 1"), ":0");
    assert_eq!(b.say("SCARD s"), ":3");
    assert_eq!(b.say("SISMEMBER s a"), ":1");
    assert_eq!(b.say("SISMEMBER s zz"), ":0");
    assert_eq!(b.say("SMISMEMBER s a zz 1"), "*3 :1 :0 :1");
    assert_eq!(b.say("SMISMEMBER none a"), "*1 :0");
    assert_eq!(bulks(&b.say("SMEMBERS s")), words("a b 1"));
    assert_eq!(b.say("SREM s a 1 zz"), ":2");
    assert_eq!(b.say("SREM s b"), ":1");
    assert_eq!(b.say("SCARD s"), ":0");
    assert!(b.server.ks.is_empty());
    assert_eq!(b.say("SMEMBERS s"), "*0");
    b.say("SADD s a");
    b.say("HELLO 3");
    assert_eq!(b.say("SMEMBERS s"), "~1 $1 a");
    assert_eq!(b.say("SMEMBERS none"), "~0");
    assert_eq!(b.say("SPOP none"), "_");
    assert_eq!(b.say("SPOP none 2"), "~0");
    assert_eq!(b.say("SPOP s 1"), "~1 $1 a");
    assert_eq!(b.say("SRANDMEMBER none"), "_");
    assert_eq!(b.say("SINTER none s"), "~0");
}

#[test]
fn move_between_sets() {
    let mut b = Bench::new();
    b.say("SADD s a b");
    assert_eq!(b.say("SMOVE s d a"), ":1");
    assert_eq!(b.say("SMOVE s d a"), ":0");
    assert_eq!(b.say("SMOVE s s b"), ":1");
    assert_eq!(b.say("SMOVE none d b"), ":0");
    assert_eq!(b.say("SMOVE s d b"), ":1");
    assert_eq!(bulks(&b.say("SMEMBERS d")), words("a b"));
    assert_eq!(b.server.ks.len(), 1);
    b.say("HSET h f v");
    assert_eq!(b.say("SMOVE d h a"), WRONG);
    assert_eq!(b.say("SMOVE h d a"), WRONG);
    assert_eq!(b.say("SMOVE none h a"), ":0");
    assert_eq!(b.say("SCARD d"), ":2");
}

#[test]
fn algebra_in_all_mixtures_of_forms() {
    let mut b = Bench::new();
    let ints = "1 2 3 9223372036854775807 -5";
    let small = "a b 1 2 9223372036854775807";
    let large = format!("a 1 3 -5 9223372036854775807 {}", "x".repeat(100));
    for (key, members) in [("i", ints), ("p", small), ("t", &large)] {
        b.say(&format!("SADD {key} {members}"));
    }
    let sets = [
        ("i", words(ints)),
        ("p", words(small)),
        ("t", words(&large)),
        ("none", words("")),
    ];
    for (ka, a) in &sets {
        for (kb, other) in &sets {
            for (op, want) in [
                ("SINTER", a & other),
                ("SUNION", a | other),
                ("SDIFF", a - other),
            ] {
                assert_eq!(
                    bulks(&b.say(&format!("{op} {ka} {kb}"))),
                    want,
                    "{op} {ka} {kb}"
                );
                let stored = b.say(&format!("{op}STORE d {ka} {kb}"));
                assert_eq!(stored, format!(":{}", want.len()));
                assert_eq!(bulks(&b.say("SMEMBERS d")), want);
            }
            let common = (a & other).len();
            assert_eq!(
                b.say(&format!("SINTERCARD 2 {ka} {kb}")),
                format!(":{common}")
            );
            let limited = b.say(&format!("SINTERCARD 2 {ka} {kb} LIMIT 2"));
            assert_eq!(limited, format!(":{}", common.min(2)));
        }
    }
    assert_eq!(
        bulks(&b.say("SUNION i p t none")),
        &(&sets[0].1 | &sets[1].1) | &sets[2].1
    );
    assert_eq!(b.say("SUNIONSTORE i i p"), ":7");
    assert_eq!(b.say("SDIFFSTORE i i i"), ":0");
    assert_eq!(b.say("SMEMBERS i"), "*0");
    b.say("HSET h f v");
    for line in [
        "SINTER p h",
        "SINTER none h",
        "SUNION h",
        "SDIFF p h",
        "SUNIONSTORE d h",
        "SINTERCARD 1 h",
    ] {
        assert_eq!(b.say(line), WRONG, "{line}");
    }
    assert_eq!(b.say("SUNIONSTORE h p"), ":5");
    assert_eq!(b.say("SCARD h"), ":5");
}

#[test]
fn difference_from_a_large_set() {
    let mut b = Bench::new();
    let members: Vec<String> = (0..2000).map(|n| format!("m{n}")).collect();
    b.say(&format!("SADD big {}", members.join(" ")));
    let mut keys = String::new();
    for n in 0..8 {
        b.say(&format!(
            "SADD s{n} {} other{n}",
            members[n * 10..n * 10 + 10].join(" ")
        ));
        keys += &format!(" s{n}");
    }
    assert_eq!(
        bulks(&b.say(&format!("SDIFF big{keys}"))),
        members[80..].iter().cloned().collect()
    );
    assert_eq!(b.say(&format!("SDIFFSTORE d big{keys}")), ":1920");
    assert_eq!(b.say("SCARD big"), ":2000");
    assert_eq!(b.say(&format!("SUNIONSTORE d big{keys}")), ":2008");
    assert_eq!(b.say("SCARD big"), ":2000");
}

#[test]
fn random_members() {
    let mut b = Bench::new();
    for n in [5, 300] {
        let members: Vec<String> = (0..n).map(|n| format!("m{n}")).collect();
        let all: BTreeSet<String> = members.iter().cloned().collect();
        b.say(&format!("SADD s {}", members.join(" ")));
        assert!(all.contains(b.say("SRANDMEMBER s").split(' ').nth(1).unwrap()));
        assert_eq!(bulks(&b.say("SRANDMEMBER s 1000")), all);
        assert!(bulks(&b.say("SRANDMEMBER s 3")).is_subset(&all));
        assert_eq!(b.say("SRANDMEMBER s 0"), "*0");
        let many = b.say("SRANDMEMBER s -1000");
        assert!(many.starts_with("*1000 "));
        assert!(many.split(' ').skip(2).step_by(2).all(|m| all.contains(m)));
        let popped = bulks(&b.say("SPOP s 3"));
        assert_eq!(popped.len(), 3);
        assert_eq!(&all - &popped, bulks(&b.say("SMEMBERS s")));
        assert_eq!(b.say("SPOP s 0"), "*0");
        let one = b.say("SPOP s").split(' ').nth(1).unwrap().to_owned();
        assert_eq!(b.say(&format!("SISMEMBER s {one}")), ":0");
        assert_eq!(bulks(&b.say("SPOP s 1000")).len(), n - 4);
        assert!(b.server.ks.is_empty());
    }
    assert_eq!(b.say("SPOP s"), "$-1");
    assert_eq!(b.say("SRANDMEMBER s -5"), "*0");
}

#[test]
fn random_choices_are_logged_as_what_they_did() {
    let mut b = Bench::new();
    b.server.ks.log.attach(crate::log::Consumer::File);
    b.say("SADD s a");
    b.say("SPOP s");
    b.say("SADD s 1 2");
    b.say("SPOP s 7");
    b.say("SPOP s 7");
    assert_eq!(
        logged(&mut b),
        "; SELECT 0 ; SADD s a ; SREM s a ; SADD s 1 2 ; DEL s"
    );
    b.say("SADD s a b c");
    let gone = b.say("SPOP s 2").replace("*2 ", "").replace("$1 ", "");
    assert_eq!(logged(&mut b), format!("; SADD s a b c ; SREM s {gone}"));
    b.say("SMOVE s none zz");
    b.say("SREM s zz");
    b.say("SUNIONSTORE d none");
    assert_eq!(logged(&mut b), "");
    b.say("SUNIONSTORE d s");
    b.say("SINTERSTORE d none");
    assert_eq!(logged(&mut b), "; SUNIONSTORE d s ; SINTERSTORE d none");
}

#[test]
fn scan_pages() {
    let mut b = Bench::new();
    b.say("SADD s a b 12");
    assert!(b.say("SSCAN s 0").starts_with("*2 $1 0 *3 "));
    assert_eq!(b.say("SSCAN s 0 MATCH 1?"), "*2 $1 0 *1 $2 12");
    assert_eq!(b.say("SSCAN none 0 foo"), "*2 $1 0 *0");
    let members: Vec<String> = (0..1000).map(|n| format!("m{n}")).collect();
    b.say(&format!("SADD s {}", members.join(" ")));
    let (mut cursor, mut seen, mut calls) = (String::from("0"), BTreeSet::new(), 0);
    loop {
        let reply = b.say(&format!("SSCAN s {cursor} COUNT 20"));
        let parts: Vec<&str> = reply.splitn(5, ' ').collect();
        cursor = parts[2].to_owned();
        if let Some(rest) = parts.get(4) {
            seen.extend(rest.split(' ').skip(1).step_by(2).map(str::to_owned));
        }
        calls += 1;
        if cursor == "0" {
            break;
        }
    }
    assert!(calls > 10 && calls < 60, "{calls}");
    assert_eq!(seen.len(), 1003);
    let all = b.say("SSCAN s 0 COUNT 9223372036854775807");
    assert!(all.starts_with("*2 $1 0 *1003 "));
}

#[test]
fn errors_are_those_of_redis() {
    let mut b = Bench::new();
    b.say("SADD st a");
    b.say("HSET h f v");
    for (line, want) in [
        ("SINTERCARD 1 a foo", "-ERR syntax error"),
        ("SINTERCARD 1 a LIMIT", "-ERR syntax error"),
        ("SPOP s 1 2", "-ERR syntax error"),
        ("SRANDMEMBER s 1 2", "-ERR syntax error"),
        ("SPOP st -1", "-ERR value is out of range, must be positive"),
        (
            "SPOP st abc",
            "-ERR value is out of range, must be positive",
        ),
        (
            "SRANDMEMBER st abc",
            "-ERR value is not an integer or out of range",
        ),
        (
            "SRANDMEMBER st -9223372036854775808",
            "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        ),
        (
            "SRANDMEMBER st -9223372036854775807",
            "-ERR value is out of range",
        ),
        ("SINTERCARD 0 st", "-ERR numkeys should be greater than 0"),
        ("SINTERCARD abc st", "-ERR numkeys should be greater than 0"),
        (
            "SINTERCARD 9223372036854775807 st",
            "-ERR Number of keys can't be greater than number of args",
        ),
        (
            "SINTERCARD 2 st",
            "-ERR Number of keys can't be greater than number of args",
        ),
        ("SINTERCARD 1 st LIMIT -1", "-ERR LIMIT can't be negative"),
        ("SINTERCARD 1 st LIMIT abc", "-ERR LIMIT can't be negative"),
        ("SSCAN st abc", "-ERR invalid cursor"),
        ("SSCAN st 0 COUNT 0", "-ERR syntax error"),
        ("SSCAN st 0 NOVALUES", "-ERR syntax error"),
        (
            "SSCAN st 0 COUNT x",
            "-ERR value is not an integer or out of range",
        ),
        ("SSCAN st 0 MATCH", "-ERR syntax error"),
        ("SADD h x", WRONG),
        ("SREM h x", WRONG),
        ("SMEMBERS h", WRONG),
        ("SCARD h", WRONG),
        ("SISMEMBER h x", WRONG),
        ("SMISMEMBER h x", WRONG),
        ("SPOP h", WRONG),
        ("SPOP h 2", WRONG),
        ("SRANDMEMBER h", WRONG),
        ("SRANDMEMBER h 2", WRONG),
        ("SSCAN h 0", WRONG),
    ] {
        assert_eq!(b.say(line), want, "{line}");
    }
    assert_eq!(b.say("SMEMBERS st"), "*1 $1 a");
}

#[test]
fn events_in_the_order_of_redis() {
    let mut b = Bench::new();
    for (line, want) in [
        ("SADD s a b c d", "sadd s"),
        ("SADD s a", ""),
        ("SREM s zz", ""),
        ("SREM s d", "srem s"),
        ("SMOVE s d a", "srem s, sadd d"),
        ("SMOVE s d a", ""),
        ("SMOVE d d a", ""),
        ("SPOP s 0", ""),
        ("SMOVE d e a", "srem d, del d, sadd e"),
        ("SPOP e", "spop e, del e"),
        ("SPOP s 1", "spop s"),
        ("SUNIONSTORE u s", "sunionstore u"),
        ("SDIFFSTORE u u s", "del u"),
        ("SINTERSTORE u u s", ""),
        ("SPOP s 5", "spop s, del s"),
        ("SPOP s", ""),
    ] {
        assert_eq!(b.events(line), want, "{line}");
    }
}
