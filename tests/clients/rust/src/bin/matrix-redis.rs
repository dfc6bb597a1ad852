//! The crate `redis`, in RESP2 and RESP3: one check an area of the client matrix.
//!
//! usage: matrix-redis PORT; prints a VERSION line and one PASS or FAIL line an area; exit code 1 when one fails.

#[path = "../areas.rs"]
mod areas;

use areas::{Checked, every_byte, expect, port, refused, report, version_of};
use redis::streams::{
    StreamAutoClaimReply, StreamPendingReply, StreamRangeReply, StreamReadOptions, StreamReadReply,
};
use redis::{Client, Commands, Connection, RedisResult, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::Duration;

/// A connection, and how to make another one.
struct Session {
    c: Connection,
    protocol: u8,
}

impl Session {
    fn client(&self, who: &str, database: u8) -> RedisResult<Client> {
        Client::open(format!(
            "redis://{who}127.0.0.1:{}/{database}?protocol=resp{}",
            port(),
            self.protocol
        ))
    }

    fn other(&self) -> RedisResult<Connection> {
        self.client("", 0)?.get_connection()
    }
}

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|word| word.to_string()).collect()
}

fn connect(s: &mut Session) -> Checked {
    expect(redis::cmd("PING").query::<String>(&mut s.c)?, "PONG")?;
    let mut other = s.client("worker:secret@", 3)?.get_connection()?;
    expect(
        redis::cmd("ACL")
            .arg("WHOAMI")
            .query::<String>(&mut other)?,
        "worker",
    )?;
    let _: () = other.set("only-in-3", 1)?;
    expect(s.c.get::<_, Option<i32>>("only-in-3")?, None)?;
    redis::cmd("FLUSHDB").exec(&mut other)?;
    let wrong = s.client("worker:x@", 0)?.get_connection();
    let reason = if s.protocol == 3 {
        "WRONGPASS"
    } else {
        "uthentication failed"
    }; // HELLO, AUTH
    refused(wrong.map(|_| ()), reason)
}

fn strings(s: &mut Session) -> Checked {
    let c = &mut s.c;
    expect(c.set_ex::<_, _, String>("s", "héllo", 100)?, "OK")?;
    expect(c.get::<_, String>("s")?, "héllo")?;
    expect(
        (c.ttl::<_, i64>("s")?, c.set_nx::<_, _, bool>("s", "x")?),
        (100, false),
    )?;
    expect(
        (
            c.incr::<_, _, i64>("n", 40)?,
            c.incr::<_, _, f64>("f", 2.5)?,
        ),
        (40, 2.5),
    )?;
    expect(
        c.mget::<_, Vec<Option<i64>>>(&["n", "none"])?,
        vec![Some(40), None],
    )
}

fn pipeline(s: &mut Session) -> Checked {
    let mut pipe = redis::pipe();
    for _ in 0..2000 {
        pipe.incr("counter", 1);
    }
    expect(
        pipe.query::<Vec<i64>>(&mut s.c)?,
        (1..=2000).collect::<Vec<_>>(),
    )?;
    let mut wrong = redis::pipe();
    wrong
        .incr("counter", 1)
        .lpush("counter", "x")
        .incr("counter", 1);
    refused(wrong.query::<Vec<i64>>(&mut s.c), "WRONGTYPE")?;
    expect(s.c.get::<_, i64>("counter")?, 2002)
}

fn transaction(s: &mut Session) -> Checked {
    let mut other = s.other()?;
    redis::cmd("WATCH").arg("t").exec(&mut s.c)?;
    let _: () = other.set("t", 1)?;
    let unchanged: Option<(i64,)> = redis::pipe().atomic().incr("t", 1).query(&mut s.c)?;
    expect(unchanged, None)?;
    let mut rounds = 0;
    let done: (i64, i64) = redis::transaction(&mut s.c, &["t"], |c, pipe| {
        let seen: i64 = c.get("t")?;
        rounds += 1;
        if rounds == 1 {
            let _: () = other.incr("t", 10)?; // the first round fails by this
        }
        pipe.set("t", seen + 1)
            .ignore()
            .lpush("tl", "a")
            .get("t")
            .query(c)
    })?;
    expect((rounds, done), (2, (1, 12)))
}

fn lists(s: &mut Session) -> Checked {
    expect(s.c.rpush::<_, _, i64>("l", &["a", "b", "c"])?, 3)?;
    expect(s.c.lpop::<_, String>("l", None)?, "a")?;
    expect(
        s.c.lrange::<_, Vec<String>>("l", 0, -1)?,
        words(&["b", "c"]),
    )?;
    expect(s.c.blpop::<_, Option<(String, String)>>("q", 0.05)?, None)?;
    let mut other = s.other()?;
    let pusher = thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        other.rpush::<_, _, i64>("q", "work")
    });
    let got: Option<(String, String)> = s.c.blpop(&["none", "q"], 5.0)?;
    expect(got, Some(("q".into(), "work".into())))?;
    expect(pusher.join().map_err(|_| "the thread panicked")??, 1)
}

fn hashes(s: &mut Session) -> Checked {
    let _: () = s.c.hset_multiple("h", &[("f", "1"), ("g", "two")])?;
    let all: BTreeMap<String, String> = s.c.hgetall("h")?;
    expect(
        all,
        BTreeMap::from([("f".into(), "1".into()), ("g".into(), "two".into())]),
    )?;
    expect(s.c.hincr::<_, _, _, i64>("h", "f", 9)?, 10)?;
    expect(
        (
            s.c.hdel::<_, _, i64>("h", "g")?,
            s.c.hexists::<_, _, bool>("h", "g")?,
        ),
        (1, false),
    )
}

fn sets(s: &mut Session) -> Checked {
    expect(
        (
            s.c.sadd::<_, _, i64>("s1", &["a", "b"])?,
            s.c.sadd::<_, _, i64>("s2", &["b", "c"])?,
        ),
        (2, 2),
    )?;
    expect(s.c.sinter::<_, Vec<String>>(&["s1", "s2"])?, words(&["b"]))?;
    expect(
        s.c.smismember::<_, _, Vec<bool>>("s1", &["a", "z"])?,
        vec![true, false],
    )
}

fn sorted_sets(s: &mut Session) -> Checked {
    expect(
        s.c.zadd_multiple::<_, _, _, i64>("z", &[(1.0, "a"), (2.5, "b"), (f64::INFINITY, "c")])?,
        3,
    )?;
    let all: Vec<(String, f64)> = s.c.zrange_withscores("z", 0, -1)?;
    expect(
        all,
        vec![
            ("a".into(), 1.0),
            ("b".into(), 2.5),
            ("c".into(), f64::INFINITY),
        ],
    )?;
    expect(s.c.zincr::<_, _, _, f64>("z", "a", 2)?, 3.0)?;
    expect(
        s.c.zrangebyscore::<_, _, _, Vec<String>>("z", "(2.5", "+inf")?,
        words(&["a", "c"]),
    )
}

fn streams(s: &mut Session) -> Checked {
    let first: String = s.c.xadd("x", "*", &[("n", 0)])?;
    let second: String = s.c.xadd("x", "*", &[("n", 1)])?;
    let _: () = s.c.xgroup_create("x", "g", "0")?;
    let options = StreamReadOptions::default().group("g", "one").count(2);
    let got: StreamReadReply = s.c.xread_options(&["x"], &[">"], &options)?;
    let ids = |list: &[redis::streams::StreamId]| {
        list.iter()
            .map(|entry| entry.id.clone())
            .collect::<Vec<_>>()
    };
    expect(ids(&got.keys[0].ids), vec![first.clone(), second.clone()])?;
    expect(got.keys[0].ids[1].get::<i64>("n"), Some(1))?;
    expect(s.c.xack::<_, _, _, i64>("x", "g", &[&first])?, 1)?;
    let pending: StreamPendingReply = s.c.xpending("x", "g")?;
    expect(pending.count(), 1usize)?;
    let claimed: StreamAutoClaimReply =
        s.c.xautoclaim_options("x", "g", "two", 0, "0", Default::default())?;
    expect(ids(&claimed.claimed), vec![second])?;
    let range: StreamRangeReply = s.c.xrange_all("x")?;
    expect(range.ids.len(), 2usize)
}

fn scan(s: &mut Session) -> Checked {
    let pairs: Vec<_> = (0..1000).map(|i| (format!("scan:{i}"), i)).collect();
    let _: () = s.c.mset(&pairs)?;
    let found =
        s.c.scan_match::<_, String>("scan:*")?
            .collect::<Result<BTreeSet<_>, _>>()?;
    expect(found.len(), 1000usize)?;
    let _: () = s.c.hset_multiple("hs", &pairs)?;
    let fields =
        s.c.hscan::<_, (String, i64)>("hs")?
            .collect::<Result<BTreeMap<_, _>, _>>()?;
    expect(fields.len(), 1000usize)
}

fn pubsub(s: &mut Session) -> Checked {
    let mut other = s.other()?;
    other.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut listener = other.as_pubsub();
    listener.subscribe("news")?;
    listener.psubscribe("n?ws*")?;
    expect(s.c.publish::<_, _, i64>("news", every_byte())?, 2)?;
    for pattern in [None, Some("n?ws*".to_string())] {
        let message = listener.get_message()?;
        expect(message.get_pattern::<Option<String>>()?, pattern)?;
        expect(message.get_payload_bytes(), every_byte())?;
    }
    listener.unsubscribe("news")?;
    expect(s.c.publish::<_, _, i64>("news", "x")?, 1)
}

fn scripts(s: &mut Session) -> Checked {
    let script =
        redis::Script::new("redis.call('SET', KEYS[1], ARGV[1]) return {KEYS[1], 7, false}");
    for _ in 0..2 {
        redis::cmd("SCRIPT").arg("FLUSH").exec(&mut s.c)?;
        let got: (String, i64, Value) = script.key("k").arg("v").invoke(&mut s.c)?;
        expect(got, ("k".into(), 7, Value::Nil))?;
    }
    let none = redis::cmd("EVALSHA")
        .arg("0".repeat(40))
        .arg(0)
        .query::<Value>(&mut s.c);
    refused(none, "NoScript")?;
    let own = redis::cmd("EVAL")
        .arg("return redis.error_reply('MINE words')")
        .arg(0)
        .query::<Value>(&mut s.c);
    refused(own, "words")
}

fn binary(s: &mut Session) -> Checked {
    let _: () = s.c.set(every_byte(), every_byte())?;
    expect(s.c.get::<_, Vec<u8>>(every_byte())?, every_byte())?;
    let _: () = s.c.set("", "")?;
    expect(s.c.get::<_, Option<String>>("")?, Some(String::new()))
}

fn big(s: &mut Session) -> Checked {
    let value = every_byte().repeat(65536);
    let _: () = s.c.set("big", &value)?;
    expect(s.c.get::<_, Vec<u8>>("big")? == value, true)
}

fn errors(s: &mut Session) -> Checked {
    let _: () = s.c.set("e", "x")?;
    let wrong = s.c.lpush::<_, _, i64>("e", 1);
    expect(
        wrong
            .err()
            .and_then(|error| error.code().map(str::to_string)),
        Some("WRONGTYPE".to_string()),
    )?;
    refused(
        s.c.incr::<_, _, i64>("e", 1),
        "value is not an integer or out of range",
    )?;
    refused(
        redis::cmd("GET").query::<Value>(&mut s.c),
        "wrong number of arguments for 'get' command",
    )?;
    refused(
        redis::cmd("NOSUCH").query::<Value>(&mut s.c),
        "unknown command 'NOSUCH'",
    )?;
    expect(redis::cmd("PING").query::<String>(&mut s.c)?, "PONG")
}

type Area = fn(&mut Session) -> Checked;

const AREAS: &[(&str, Area)] = &[
    ("connect", connect),
    ("strings", strings),
    ("pipeline", pipeline),
    ("transaction", transaction),
    ("list", lists),
    ("hash", hashes),
    ("set", sets),
    ("zset", sorted_sets),
    ("stream", streams),
    ("scan", scan),
    ("pubsub", pubsub),
    ("script", scripts),
    ("binary", binary),
    ("big", big),
    ("errors", errors),
];

fn main() -> Checked {
    println!("VERSION {}", version_of("redis"));
    let mut good = true;
    for protocol in [2, 3] {
        let client = Client::open(format!(
            "redis://127.0.0.1:{}/?protocol=resp{protocol}",
            port()
        ))?;
        let mut session = Session {
            c: client.get_connection()?,
            protocol,
        };
        redis::cmd("FLUSHALL").exec(&mut session.c)?;
        for (name, area) in AREAS {
            good &= report(name, protocol, area(&mut session));
        }
    }
    std::process::exit(i32::from(!good));
}
