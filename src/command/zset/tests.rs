//! Commands of sorted sets in process: replies, errors, events, what goes into the log.

use crate::command::ctx::Ctx;
use crate::command::testing::Bench;
use crate::config::lists::NotifyEvents;
use crate::keyspace::effect::Form;
use crate::resp::reply::Reply;
use crate::resp::request::{Batch, Parser, Rules};

fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.say("ZADD z 1 a 2 b 3 c");
    bench.say("SET text v");
    bench
}

/// Each request with its reply.
fn talk(bench: &mut Bench, lines: &[(&str, &str)]) {
    for (request, reply) in lines {
        assert_eq!(bench.say(request), *reply, "{request}");
    }
}

/// The events of one request, and what goes into the log in its place (`=`: itself).
fn traces(bench: &mut Bench, request: &str) -> (String, String) {
    let words: Vec<&str> = request.split(' ').collect();
    let mut wire = format!("*{}\r\n", words.len());
    for word in &words {
        wire.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    let mut batch = Batch {
        buf: wire.into_bytes(),
        ..Batch::default()
    };
    let rules = Rules {
        authenticated: true,
        max_bulk: 1 << 20,
        max_query: 1 << 20,
    };
    Parser::default()
        .parse(&mut batch, &rules)
        .expect("a well-formed request");
    let (server, args) = (&mut bench.server, batch.args(0));
    let command = server.core.commands.find(&args).expect("a known command");
    server.ks.effects.wanted = NotifyEvents::all();
    server.ks.log.attach(crate::log::Consumer::File);
    server.ks.log.take();
    server.ks.effects.begin();
    let mut ctx = Ctx {
        args,
        db: server.ks.at(0),
        out: &mut Reply::new(),
        client: &mut bench.client,
        core: &mut server.core,
        command,
    };
    (command.spec.run)(&mut ctx).expect("no error");
    let effects = &mut server.ks.effects;
    let events = effects.events.drain(..);
    let events: Vec<String> = events
        .filter(|event| event.name != "keymiss")
        .map(|event| format!("{} {}", event.name, String::from_utf8_lossy(&event.key)))
        .collect();
    let events = events.join(", ");
    if effects.present.form == Form::Verbatim {
        let log = if effects.present.dirty > 0 { "=" } else { "" };
        return (events, log.to_owned());
    }
    let log = String::from_utf8_lossy(&server.ks.log.take().bytes).into_owned();
    let words: Vec<&str> = log
        .split("\r\n")
        .filter(|word| !word.is_empty() && !word.starts_with(['*', '$']))
        .collect();
    (events, words.join(" "))
}

#[test]
fn zadd_reads_its_options() {
    let mut bench = bench();
    talk(
        &mut bench,
        &[
            ("ZADD z 1 a 5 d", ":1"),
            ("ZADD z CH 1 a 6 d 7 e", ":2"),
            ("ZADD z nx CH 100 a 8 f", ":1"),
            ("ZADD z XX CH 10 a 8 g", ":1"),
            ("ZADD z GT CH 5 a 20 b", ":1"),
            ("ZADD z LT CH 5 a 30 b", ":1"),
            ("ZADD z GT XX 6 a 6 new", ":0"),
            ("ZADD z INCR 1.5 a", "$3 7.5"),
            ("ZADD z NX INCR 1.5 a", "$-1"),
            ("ZADD z LT INCR 1 a", "$-1"),
            ("ZADD z INCR inf x", "$3 inf"),
            (
                "ZADD z INCR -inf x",
                "-ERR resulting score is not a number (NaN)",
            ),
            (
                "ZINCRBY z -inf x",
                "-ERR resulting score is not a number (NaN)",
            ),
            (
                "ZADD z NX XX 1 a",
                "-ERR XX and NX options at the same time are not compatible",
            ),
            (
                "ZADD z GT LT 1 a",
                "-ERR GT, LT, and/or NX options at the same time are not compatible",
            ),
            (
                "ZADD z INCR 1 a 2 b",
                "-ERR INCR option supports a single increment-element pair",
            ),
            ("ZADD z 1 a 2", "-ERR syntax error"),
            ("ZADD z NX CH", "-ERR syntax error"),
            ("ZADD z 1 a x b", "-ERR value is not a valid float"),
            ("ZADD z nan a", "-ERR value is not a valid float"),
            (
                "ZADD z foo",
                "-ERR wrong number of arguments for 'zadd' command",
            ),
            ("ZADD none XX 1 a", ":0"),
            ("ZCARD none", ":0"),
            (
                "ZADD text 1 a",
                "-WRONGTYPE Operation against a key holding the wrong kind of value",
            ),
            ("ZSCORE z a", "$3 7.5"),
            ("ZMSCORE z a none b", "*3 $3 7.5 $-1 $2 20"),
        ],
    );
}

#[test]
fn ranges_are_read_in_every_way() {
    let mut bench = bench();
    talk(
        &mut bench,
        &[
            ("ZRANGE z 0 -1", "*3 $1 a $1 b $1 c"),
            ("ZRANGE z -2 100 WITHSCORES", "*4 $1 b $1 2 $1 c $1 3"),
            ("ZRANGE z 0 1 REV", "*2 $1 c $1 b"),
            ("ZRANGE z 5 9", "*0"),
            ("ZRANGE z 9223372036854775807 -9223372036854775808", "*0"),
            (
                "ZRANGE z -9223372036854775808 9223372036854775807",
                "*3 $1 a $1 b $1 c",
            ),
            ("ZRANGE z (1 +inf BYSCORE", "*2 $1 b $1 c"),
            ("ZRANGE z 3 (1 BYSCORE REV LIMIT 1 5", "*1 $1 b"),
            ("ZRANGE z [b + BYLEX", "*2 $1 b $1 c"),
            ("ZRANGE z + - BYLEX REV LIMIT 0 1", "*1 $1 c"),
            (
                "ZRANGE z -inf inf BYSCORE LIMIT -1 9223372036854775807",
                "*0",
            ),
            (
                "ZRANGE z -inf inf BYSCORE LIMIT 1 -9223372036854775808",
                "*2 $1 b $1 c",
            ),
            (
                "ZRANGE z -inf inf BYSCORE LIMIT 9223372036854775807 9223372036854775807",
                "*0",
            ),
            ("ZRANGEBYSCORE z 1 2 WITHSCORES LIMIT 0 1", "*2 $1 a $1 1"),
            ("ZREVRANGEBYSCORE z 2 -inf", "*2 $1 b $1 a"),
            ("ZREVRANGE z 0 0 WITHSCORES", "*2 $1 c $1 3"),
            ("ZRANGEBYLEX z - (b", "*1 $1 a"),
            ("ZREVRANGEBYLEX z (b -", "*1 $1 a"),
            ("ZCOUNT z 5 1", ":0"),
            ("ZCOUNT z (1 3", ":2"),
            ("ZLEXCOUNT z - +", ":3"),
            ("ZRANGE none 0 -1", "*0"),
            ("ZRANGE z 0 1 foo", "-ERR syntax error"),
            ("ZRANGE z 0 1 LIMIT 0", "-ERR syntax error"),
            ("ZRANGE z 0 1 BYSCORE BYLEX", "-ERR syntax error"),
            (
                "ZRANGE z a b",
                "-ERR value is not an integer or out of range",
            ),
            ("ZRANGE z a b BYSCORE", "-ERR min or max is not a float"),
            (
                "ZRANGE z a b BYLEX",
                "-ERR min or max not valid string range item",
            ),
            (
                "ZRANGE z 0 1 LIMIT 0 1",
                "-ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
            ),
            (
                "ZRANGE z - + BYLEX WITHSCORES",
                "-ERR syntax error, WITHSCORES not supported in combination with BYLEX",
            ),
            ("ZRANGESTORE d z 0 -1 WITHSCORES", "-ERR syntax error"),
            ("ZRANGESTORE d z 1 -1", ":2"),
            ("ZRANGE d 0 -1 WITHSCORES", "*4 $1 b $1 2 $1 c $1 3"),
            ("ZRANGESTORE d z 7 9", ":0"),
            ("EXISTS d", ":0"),
            ("ZRANK z b", ":1"),
            ("ZREVRANK z a WITHSCORE", "*2 :2 $1 1"),
            ("ZRANK z none WITHSCORE", "*-1"),
            ("ZRANK z a foo", "-ERR syntax error"),
            ("ZREMRANGEBYRANK z 0 0", ":1"),
            ("ZREMRANGEBYSCORE z (2 3", ":1"),
            ("ZREMRANGEBYLEX z - +", ":1"),
            ("EXISTS z", ":0"),
        ],
    );
}

#[test]
fn several_sets_become_one() {
    let mut bench = bench();
    bench.say("ZADD y 10 b 20 d");
    bench.say("SADD s a d 7");
    talk(
        &mut bench,
        &[
            (
                "ZUNION 2 z y WITHSCORES",
                "*8 $1 a $1 1 $1 c $1 3 $1 b $2 12 $1 d $2 20",
            ),
            (
                "ZUNION 2 z s WITHSCORES WEIGHTS 2 5",
                "*10 $1 b $1 4 $1 7 $1 5 $1 d $1 5 $1 c $1 6 $1 a $1 7",
            ),
            ("ZINTER 2 z y AGGREGATE MAX WITHSCORES", "*2 $1 b $2 10"),
            ("ZINTER 3 z y s", "*0"),
            ("ZDIFF 2 z s WITHSCORES", "*4 $1 b $1 2 $1 c $1 3"),
            ("ZDIFF 2 s z", "*2 $1 7 $1 d"),
            ("ZINTERCARD 2 z s", ":1"),
            ("ZINTERCARD 2 z z LIMIT 2", ":2"),
            ("ZINTERCARD 2 z z LIMIT 0", ":3"),
            ("ZINTERCARD 2 z none", ":0"),
            ("ZUNIONSTORE z 2 z y", ":4"),
            ("ZINTERSTORE d 2 z s", ":2"),
            ("ZDIFFSTORE d 2 z z", ":0"),
            ("EXISTS d", ":0"),
            ("ZADD i inf m", ":1"),
            ("ZADD j -inf m", ":1"),
            ("ZUNION 2 i j WITHSCORES", "*2 $1 m $1 0"),
            ("ZUNION 1 i WEIGHTS 0 WITHSCORES", "*2 $1 m $1 0"),
            (
                "ZUNION 0 z",
                "-ERR at least 1 input key is needed for 'zunion' command",
            ),
            ("ZUNION 2 z", "-ERR syntax error"),
            ("ZUNION 9223372036854775807 z", "-ERR syntax error"),
            (
                "ZUNIONSTORE d 1 z WEIGHTS x",
                "-ERR weight value is not a float",
            ),
            ("ZUNIONSTORE d 1 z WITHSCORES", "-ERR syntax error"),
            ("ZDIFF 1 z WEIGHTS 1", "-ERR syntax error"),
            ("ZINTERCARD 1 z LIMIT -1", "-ERR LIMIT can't be negative"),
            (
                "ZUNION 2 z text",
                "-WRONGTYPE Operation against a key holding the wrong kind of value",
            ),
        ],
    );
}

#[test]
fn members_are_popped_and_drawn() {
    let mut bench = bench();
    talk(
        &mut bench,
        &[
            ("ZPOPMIN z", "*2 $1 a $1 1"),
            ("ZPOPMAX z 9223372036854775807", "*4 $1 c $1 3 $1 b $1 2"),
            ("EXISTS z", ":0"),
            ("ZPOPMIN z", "*0"),
            (
                "ZPOPMIN z -1",
                "-ERR value is out of range, must be positive",
            ),
            ("ZADD z 1 a 2 b 3 c", ":3"),
            ("ZPOPMIN z 0", "*0"),
            ("ZMPOP 2 none z MAX", "*2 $1 z *1 *2 $1 c $1 3"),
            (
                "ZMPOP 1 z MIN COUNT 9223372036854775807",
                "*2 $1 z *2 *2 $1 a $1 1 *2 $1 b $1 2",
            ),
            ("ZMPOP 1 z MIN", "*-1"),
            ("ZMPOP 0 z MIN", "-ERR numkeys should be greater than 0"),
            ("ZMPOP 9223372036854775807 z MIN", "-ERR syntax error"),
            (
                "ZMPOP 1 z MIN COUNT 0",
                "-ERR count should be greater than 0",
            ),
            ("ZMPOP 1 z foo", "-ERR syntax error"),
            ("ZADD z 1 a", ":1"),
            ("ZRANDMEMBER z", "$1 a"),
            ("ZRANDMEMBER z 5 WITHSCORES", "*2 $1 a $1 1"),
            ("ZRANDMEMBER z -2", "*2 $1 a $1 a"),
            ("ZRANDMEMBER none", "$-1"),
            ("ZRANDMEMBER none 2", "*0"),
            (
                "ZRANDMEMBER z -9223372036854775808 WITHSCORES",
                "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
            ),
            (
                "ZRANDMEMBER z -9223372036854770000 WITHSCORES",
                "-ERR value is out of range",
            ),
            (
                "ZRANDMEMBER z -9223372036854775807",
                "-ERR value is out of range",
            ),
            ("ZRANDMEMBER z 1 foo", "-ERR syntax error"),
            ("ZSCAN z 0", "*2 $1 0 *2 $1 a $1 1"),
            ("ZSCAN z 0 COUNT 9223372036854775807 MATCH b*", "*2 $1 0 *0"),
            ("ZSCAN z abc", "-ERR invalid cursor"),
        ],
    );
}

#[test]
fn resp3_has_doubles_and_pairs() {
    let mut bench = bench();
    bench.say("HELLO 3");
    talk(
        &mut bench,
        &[
            ("ZSCORE z a", ",1"),
            ("ZSCORE z none", "_"),
            ("ZADD z INCR 0.5 a", ",1.5"),
            ("ZRANGE z 0 0 WITHSCORES", "*1 *2 $1 a ,1.5"),
            ("ZRANK z a WITHSCORE", "*2 :0 ,1.5"),
            (
                "ZUNION 1 z WITHSCORES",
                "*3 *2 $1 a ,1.5 *2 $1 b ,2 *2 $1 c ,3",
            ),
            ("ZPOPMIN z", "*2 $1 a ,1.5"),
            ("ZPOPMIN z 1", "*1 *2 $1 b ,2"),
            ("ZRANDMEMBER z -1 WITHSCORES", "*1 *2 $1 c ,3"),
            ("ZSCAN z 0", "*2 $1 0 *2 $1 c $1 3"),
            ("ZMPOP 1 z MIN", "*2 $1 z *1 *2 $1 c ,3"),
            ("ZMPOP 1 z MIN", "_"),
        ],
    );
}

#[test]
fn changes_are_announced_and_logged() {
    let mut bench = bench();
    for (request, events, log) in [
        ("ZADD z 1 a", "", ""),
        ("ZADD z 5 a 6 d", "zadd z", "="),
        ("ZADD new 1 a", "new new, zadd new", "="),
        ("ZINCRBY z 1 a", "zincr z", "="),
        ("ZADD z INCR 1 a", "zincr z", "="),
        ("ZREM z none", "", ""),
        ("ZREM new a", "zrem new, del new", "="),
        ("ZPOPMIN z", "zpopmin z", "="),
        ("ZPOPMIN none", "", ""),
        (
            "ZMPOP 2 none z MAX COUNT 1",
            "zpopmax z",
            "SELECT 0 ZPOPMAX z 1",
        ),
        ("ZMPOP 1 none MAX", "", ""),
        ("ZRANGESTORE d z 0 -1", "new d, zrangestore d", "="),
        ("ZRANGESTORE d z 9 9", "del d", "="),
        ("ZUNIONSTORE d 1 z", "new d, zunionstore d", "="),
        ("ZINTERSTORE d 1 none", "del d", "="),
        ("ZDIFFSTORE d 1 none", "", ""),
        ("ZREMRANGEBYRANK z 0 0", "zremrangebyrank z", "="),
        ("ZREMRANGEBYSCORE z 0 9", "zremrangebyscore z, del z", "="),
        ("ZREMRANGEBYLEX z - +", "", ""),
    ] {
        let seen = traces(&mut bench, request);
        assert_eq!(
            (seen.0.as_str(), seen.1.as_str()),
            (events, log),
            "{request}"
        );
    }
}

#[test]
fn the_form_follows_the_limits() {
    let mut bench = bench();
    bench.server.ks.limits.zset_entries = 4;
    talk(
        &mut bench,
        &[
            ("OBJECT ENCODING z", "$8 listpack"),
            ("ZADD z 4 d", ":1"),
            ("OBJECT ENCODING z", "$8 listpack"),
            ("ZADD z 5 e", ":1"),
            ("OBJECT ENCODING z", "$8 skiplist"),
            ("ZRANGESTORE d z 0 1", ":2"),
            ("OBJECT ENCODING d", "$8 listpack"),
            ("ZUNIONSTORE d 1 z", ":5"),
            ("OBJECT ENCODING d", "$8 skiplist"),
        ],
    );
}

#[test]
fn a_scan_meets_every_member_in_both_forms() {
    for (count, encoding) in [(30, "$8 listpack"), (1000, "$8 skiplist")] {
        let mut bench = bench();
        for at in 0..count {
            bench.say(&format!("ZADD s {at} key:{at}"));
        }
        assert_eq!(bench.say("OBJECT ENCODING s"), encoding);
        let mut met = std::collections::BTreeSet::new();
        let mut cursor = "0".to_string();
        loop {
            let reply = bench.say(&format!("ZSCAN s {cursor}"));
            // "*2 $n cursor *m", then "$n" and a text for each member and each score.
            let words: Vec<&str> = reply.split(' ').collect();
            for pair in words[4..].chunks_exact(4) {
                assert_eq!(pair[1], format!("key:{}", pair[3]));
                met.insert(pair[1].to_string());
            }
            cursor = words[2].to_string();
            if cursor == "0" {
                break;
            }
        }
        assert_eq!(met.len(), count);
    }
}

/// As with redis-server 7.0 and 8.2: all that stands behind the timeout is judged before it.
#[test]
fn errors_of_bzmpop_come_in_redis_order() {
    let mut b = Bench::new();
    let numkeys = "-ERR numkeys should be greater than 0";
    let count = "-ERR count should be greater than 0";
    let syntax = "-ERR syntax error";
    for (line, reply) in [
        ("BZMPOP x 0 k MIN", numkeys),
        ("BZMPOP x x k MIN", numkeys),
        ("BZMPOP -1 -1 k MIN", numkeys),
        ("BZMPOP x 2 k MIN", syntax),
        ("BZMPOP x 9223372036854775807 k MIN", syntax),
        ("BZMPOP x 1 k BAD", syntax),
        ("BZMPOP x 1 k MIN COUNT 0", count),
        ("BZMPOP x 1 k MIN COUNT x", count),
        ("BZMPOP x 1 k MIN COUNT", syntax),
        ("BZMPOP x 1 k MIN COUNT 1 COUNT 1", syntax),
        (
            "BZMPOP x 1 k MIN",
            "-ERR timeout is not a float or out of range",
        ),
        ("BZMPOP -1 1 k MIN", "-ERR timeout is negative"),
    ] {
        assert_eq!(b.say(line), reply, "{line}");
    }
}
