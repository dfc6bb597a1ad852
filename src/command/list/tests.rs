use crate::command::testing::Bench;

#[test]
fn pushes_and_pops() {
    let mut b = Bench::new();
    assert_eq!(b.say("LPUSH l a b c"), ":3");
    assert_eq!(b.say("RPUSH l 1 2"), ":5");
    assert_eq!(b.say("LRANGE l 0 -1"), "*5 $1 c $1 b $1 a $1 1 $1 2");
    assert_eq!(b.say("LPUSHX nokey a"), ":0");
    assert_eq!(b.say("RPUSHX l 3"), ":6");
    assert_eq!(b.say("LPOP l"), "$1 c");
    assert_eq!(b.say("RPOP l 2"), "*2 $1 3 $1 2");
    assert_eq!(b.say("LPOP l 0"), "*0");
    assert_eq!(b.say("LLEN l"), ":3");
    assert_eq!(b.say("RPOP l 9223372036854775807"), "*3 $1 1 $1 a $1 b");
    assert_eq!(b.say("LPOP l"), "$-1");
    assert_eq!(b.say("LPOP l 1"), "*-1");
    assert_eq!(
        b.say("LPOP l -1"),
        "-ERR value is out of range, must be positive"
    );
    assert_eq!(
        b.say("LPOP l 1 2"),
        "-ERR wrong number of arguments for 'lpop' command"
    );
}

#[test]
fn refuses_other_types() {
    let mut b = Bench::new();
    b.say("SET s v");
    let wrong = "-WRONGTYPE Operation against a key holding the wrong kind of value";
    for line in [
        "LPUSH s a",
        "RPUSHX s a",
        "LPOP s",
        "LPOP s 0",
        "LLEN s",
        "LINDEX s 0",
        "LSET s 0 a",
        "LINSERT s BEFORE a b",
        "LREM s 0 a",
        "LTRIM s 0 0",
        "LRANGE s 0 0",
        "LPOS s a",
        "LMOVE s l LEFT LEFT",
        "LMPOP 2 nokey s LEFT",
    ] {
        assert_eq!(b.say(line), wrong, "{line}");
    }
    b.say("RPUSH l a");
    assert_eq!(b.say("LMOVE l s LEFT LEFT"), wrong);
    assert_eq!(b.say("LRANGE l 0 -1"), "*1 $1 a");
}

#[test]
fn reads_by_position_and_by_content() {
    let mut b = Bench::new();
    b.say("RPUSH l a 1 b a 1 c a");
    assert_eq!(b.say("LINDEX l -1"), "$1 a");
    assert_eq!(b.say("LINDEX l 7"), "$-1");
    assert_eq!(b.say("LINDEX l -9223372036854775808"), "$-1");
    assert_eq!(b.say("LRANGE l 5 -9223372036854775808"), "*0");
    assert_eq!(b.say("LRANGE l -9223372036854775808 1"), "*2 $1 a $1 1");
    assert_eq!(b.say("LPOS l 1"), ":1");
    assert_eq!(b.say("LPOS l a RANK -2"), ":3");
    assert_eq!(b.say("LPOS l a RANK -1 COUNT 0"), "*3 :6 :3 :0");
    assert_eq!(b.say("LPOS l a COUNT 2 MAXLEN 1"), "*1 :0");
    assert_eq!(b.say("LPOS l x COUNT 0"), "*0");
    assert_eq!(b.say("LPOS l x"), "$-1");
    assert_eq!(b.say("LPOS nokey x COUNT 1"), "*0");
    assert_eq!(
        b.say("LPOS l a RANK 9223372036854775807 COUNT 9223372036854775807"),
        "*0"
    );
}

#[test]
fn changes_in_place() {
    let mut b = Bench::new();
    b.say("RPUSH l a b a c a");
    assert_eq!(b.say("LSET l -2 x"), "+OK");
    assert_eq!(b.say("LSET l 5 x"), "-ERR index out of range");
    assert_eq!(b.say("LINSERT l AFTER b 7"), ":6");
    assert_eq!(b.say("LINSERT l before b 6"), ":7");
    assert_eq!(b.say("LINSERT l before nopivot 6"), ":-1");
    assert_eq!(b.say("LINSERT nokey before b 6"), ":0");
    assert_eq!(
        b.say("LRANGE l 0 -1"),
        "*7 $1 a $1 6 $1 b $1 7 $1 a $1 x $1 a"
    );
    assert_eq!(b.say("LREM l -2 a"), ":2");
    assert_eq!(
        b.say("LREM l -9223372036854775808 a"),
        "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807"
    );
    assert_eq!(b.say("LTRIM l 1 -2"), "+OK");
    assert_eq!(b.say("LRANGE l 0 -1"), "*3 $1 6 $1 b $1 7");
    assert_eq!(b.say("LTRIM l 5 9"), "+OK");
    assert_eq!(b.say("LSET l 0 x"), "-ERR no such key");
}

#[test]
fn moves_between_lists() {
    let mut b = Bench::new();
    b.say("RPUSH l a b c");
    assert_eq!(b.say("LMOVE l l LEFT RIGHT"), "$1 a");
    assert_eq!(b.say("RPOPLPUSH l m"), "$1 a");
    assert_eq!(b.say("LMOVE l m RIGHT right"), "$1 c");
    assert_eq!(b.say("LRANGE m 0 -1"), "*2 $1 a $1 c");
    assert_eq!(b.say("RPOPLPUSH nokey m"), "$-1");
    assert_eq!(
        b.say("LMPOP 2 nokey m RIGHT COUNT 5"),
        "*2 $1 m *2 $1 c $1 a"
    );
    assert_eq!(b.say("LMPOP 1 l LEFT"), "*2 $1 l *1 $1 b");
    assert_eq!(b.say("LMPOP 2 l m LEFT"), "*-1");
    assert_eq!(
        b.say("LMPOP 9223372036854775807 l LEFT"),
        "-ERR syntax error"
    );
    assert_eq!(b.say("LMPOP 1 l LEFT COUNT 1 COUNT 1"), "-ERR syntax error");
}

/// As with redis-server 7.0 and 8.2: all that stands behind the timeout is judged before it.
#[test]
fn errors_of_blmpop_come_in_redis_order() {
    let mut b = Bench::new();
    let numkeys = "-ERR numkeys should be greater than 0";
    let count = "-ERR count should be greater than 0";
    let syntax = "-ERR syntax error";
    for (line, reply) in [
        ("BLMPOP x 0 k LEFT", numkeys),
        ("BLMPOP x x k LEFT", numkeys),
        ("BLMPOP -1 -1 k LEFT", numkeys),
        ("BLMPOP x 2 k LEFT", syntax),
        ("BLMPOP x 9223372036854775807 k LEFT", syntax),
        ("BLMPOP x 1 k BAD", syntax),
        ("BLMPOP x 1 k LEFT COUNT 0", count),
        ("BLMPOP x 1 k LEFT COUNT x", count),
        ("BLMPOP x 1 k LEFT COUNT", syntax),
        ("BLMPOP x 1 k LEFT COUNT 1 COUNT 1", syntax),
        (
            "BLMPOP x 1 k LEFT",
            "-ERR timeout is not a float or out of range",
        ),
        ("BLMPOP -1 1 k LEFT", "-ERR timeout is negative"),
    ] {
        assert_eq!(b.say(line), reply, "{line}");
    }
}
