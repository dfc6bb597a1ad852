//! The crate `fred`, in RESP2 and RESP3: one check an area of the client matrix.
//!
//! usage: matrix-fred PORT; prints a VERSION line and one PASS or FAIL line an area; exit code 1 when one fails.

#[path = "../areas.rs"]
mod areas;

use areas::{Checked, every_byte, expect, port, refused, report, version_of};
use fred::clients::Client;
use fred::prelude::*;
use fred::types::scan::ScanType;
use fred::types::{ClusterHash, CustomCommand, RespVersion, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

async fn open(protocol: u8, who: &str, database: u8) -> Result<Client, Error> {
    let mut config = Config::from_url(&format!("redis://{who}127.0.0.1:{}/{database}", port()))?;
    config.version = if protocol == 3 {
        RespVersion::RESP3
    } else {
        RespVersion::RESP2
    };
    config.fail_fast = true;
    let client = Builder::from_config(config).build()?;
    client.init().await?;
    Ok(client)
}

async fn custom(c: &Client, name: &'static str, words: &[&str]) -> Result<Value, Error> {
    let command = CustomCommand::new_static(name, ClusterHash::FirstKey, false);
    c.custom(
        command,
        words
            .iter()
            .map(|word| word.to_string())
            .collect::<Vec<_>>(),
    )
    .await
}

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|word| word.to_string()).collect()
}

async fn connect(c: &Client, protocol: u8) -> Checked {
    expect(c.ping::<String>(None).await?, "PONG")?;
    let other = open(protocol, "worker:secret@", 3).await?;
    expect(other.acl_whoami::<String>().await?, "worker")?;
    let () = other.set("only-in-3", 1, None, None, false).await?;
    expect(c.get::<Option<i64>, _>("only-in-3").await?, None)?;
    let _: i64 = other.del("only-in-3").await?;
    other.quit().await?;
    refused(
        open(protocol, "worker:x@", 0).await.map(|_| ()),
        "WRONGPASS",
    )
}

async fn strings(c: &Client, _: u8) -> Checked {
    let () = c
        .set("s", "héllo", Some(Expiration::EX(100)), None, false)
        .await?;
    expect(
        (c.get::<String, _>("s").await?, c.ttl::<i64, _>("s").await?),
        ("héllo".into(), 100),
    )?;
    let kept: Option<String> = c.set("s", "x", None, Some(SetOptions::NX), false).await?;
    expect((kept, c.incr_by::<i64, _>("n", 40).await?), (None, 40))?;
    expect(
        c.mget::<Vec<Option<i64>>, _>(vec!["n", "none"]).await?,
        vec![Some(40), None],
    )
}

async fn pipeline(c: &Client, _: u8) -> Checked {
    let pipe = c.pipeline();
    for _ in 0..2000 {
        let () = pipe.incr("counter").await?;
    }
    expect(
        pipe.all::<Vec<i64>>().await?,
        (1..=2000).collect::<Vec<_>>(),
    )?;
    let pipe = c.pipeline();
    let () = pipe.lpush("counter", "x").await?;
    let () = pipe.get("counter").await?;
    let replies = pipe.try_all::<Value>().await;
    expect(
        (replies[0].is_err(), replies[1].clone()?.as_string()),
        (true, Some("2000".to_string())),
    )
}

async fn transaction(c: &Client, protocol: u8) -> Checked {
    let other = open(protocol, "", 0).await?;
    c.watch("t").await?;
    let () = other.set("t", 1, None, None, false).await?;
    let blocked = c.multi();
    let () = blocked.incr("t").await?;
    expect(blocked.exec::<Value>(true).await?, Value::Null)?;
    other.quit().await?;
    let free = c.multi();
    let () = free.incr("t").await?;
    let () = free.lpush("tl", "a").await?;
    expect(free.exec::<Vec<i64>>(true).await?, vec![2, 1])
}

async fn lists(c: &Client, protocol: u8) -> Checked {
    expect(c.rpush::<i64, _, _>("l", vec!["a", "b", "c"]).await?, 3)?;
    expect(c.lpop::<String, _>("l", None).await?, "a")?;
    expect(
        c.lrange::<Vec<String>, _>("l", 0, -1).await?,
        words(&["b", "c"]),
    )?;
    refused(c.blpop::<Value, _>("q", 0.05).await, "timed out")?; // the library's word for a null
    let other = open(protocol, "", 0).await?;
    let push = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        other.rpush::<i64, _, _>("q", "work").await
    };
    let (got, pushed) = tokio::join!(c.blpop::<Vec<String>, _>(vec!["none", "q"], 5.0), push);
    other.quit().await?;
    expect((got?, pushed?), (words(&["q", "work"]), 1))
}

async fn hashes(c: &Client, _: u8) -> Checked {
    expect(
        c.hset::<i64, _, _>("h", vec![("f", "1"), ("g", "two")])
            .await?,
        2,
    )?;
    let all: BTreeMap<String, String> = c.hgetall("h").await?;
    expect(
        all,
        BTreeMap::from([("f".into(), "1".into()), ("g".into(), "two".into())]),
    )?;
    expect(
        (
            c.hincrby::<i64, _, _>("h", "f", 9).await?,
            c.hdel::<i64, _, _>("h", "g").await?,
        ),
        (10, 1),
    )
}

async fn sets(c: &Client, _: u8) -> Checked {
    expect(c.sadd::<i64, _, _>("s1", vec!["a", "b"]).await?, 2)?;
    expect(c.sadd::<i64, _, _>("s2", vec!["b", "c"]).await?, 2)?;
    expect(
        c.sinter::<Vec<String>, _>(vec!["s1", "s2"]).await?,
        words(&["b"]),
    )?;
    expect(
        c.smismember::<Vec<bool>, _, _>("s1", vec!["a", "z"])
            .await?,
        vec![true, false],
    )
}

async fn sorted_sets(c: &Client, _: u8) -> Checked {
    expect(
        c.zadd::<i64, _, _>("z", None, None, false, false, vec![(1.0, "a"), (2.5, "b")])
            .await?,
        2,
    )?;
    let all: Value = c.zrange("z", 0, -1, None, false, None, true).await?;
    // The library turns the order around.
    expect(
        all.into_zset_result()?,
        vec![("b".into(), 2.5), ("a".into(), 1.0)],
    )?;
    expect(c.zincrby::<f64, _, _>("z", 2.0, "a").await?, 3.0)?;
    expect(
        c.zrangebyscore::<Vec<String>, _, _, _>("z", "(2.5", "+inf", false, None)
            .await?,
        words(&["a"]),
    )
}

async fn streams(c: &Client, _: u8) -> Checked {
    let first: String = c.xadd("x", false, None, "*", vec![("n", 0)]).await?;
    let second: String = c.xadd("x", false, None, "*", vec![("n", 1)]).await?;
    let () = c.xgroup_create("x", "g", "0", false).await?;
    let got = c.xreadgroup_map::<String, String, String, i64, _, _, _, _>(
        "g",
        "one",
        Some(2),
        None,
        false,
        "x",
        ">",
    );
    let entries: Vec<_> = got.await?.remove("x").unwrap_or_default();
    let seen: Vec<_> = entries
        .into_iter()
        .map(|(id, fields)| (id, fields["n"]))
        .collect();
    expect(seen, vec![(first.clone(), 0), (second.clone(), 1)])?;
    expect(c.xack::<i64, _, _, _>("x", "g", first).await?, 1)?;
    let claimed = c
        .xautoclaim_values::<String, String, i64, _, _, _, _>("x", "g", "two", 0, "0", None, false);
    let (_, entries) = claimed.await?;
    expect((entries.len(), entries[0].0.clone()), (1, second))
}

async fn scan(c: &Client, _: u8) -> Checked {
    let () = c
        .mset(
            (0..1000)
                .map(|i| (format!("scan:{i}"), i))
                .collect::<Vec<_>>(),
        )
        .await?;
    let mut found = BTreeSet::new();
    let mut at = "0".to_string();
    loop {
        let (next, keys): (String, Vec<String>) = c
            .scan_page(at, "scan:*", Some(70), Some(ScanType::String))
            .await?;
        found.extend(keys);
        at = next;
        if at == "0" {
            break;
        }
    }
    expect(found.len(), 1000usize)
}

async fn pubsub(c: &Client, protocol: u8) -> Checked {
    let other = open(protocol, "", 0).await?;
    let mut messages = other.message_rx();
    other.subscribe("news").await?;
    other.psubscribe("n?ws*").await?;
    // The library does not wait for the server's word.
    while c.pubsub_numpat::<i64>().await? == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    expect(
        c.publish::<i64, _, _>("news", every_byte().as_slice())
            .await?,
        2,
    )?;
    for _ in 0..2 {
        let message = tokio::time::timeout(Duration::from_secs(5), messages.recv()).await??;
        expect(
            (&*message.channel, message.value.as_bytes()),
            ("news", Some(every_byte().as_slice())),
        )?;
    }
    Ok(other.quit().await?)
}

async fn scripts(c: &Client, _: u8) -> Checked {
    let text = "redis.call('SET', KEYS[1], ARGV[1]) return {KEYS[1], 7, false}";
    c.script_flush(false).await?;
    let none = c
        .evalsha::<Value, _, _, _>("0".repeat(40), Vec::<String>::new(), Vec::<String>::new())
        .await;
    refused(none, "NOSCRIPT")?;
    let wanted = Value::Array(vec!["k".into(), 7.into(), Value::Null]);
    expect(
        c.eval::<Value, _, _, _>(text, "k", "v").await?,
        wanted.clone(),
    )?;
    let sha: String = c.script_load(text).await?;
    expect(c.evalsha::<Value, _, _, _>(sha, "k", "v").await?, wanted)
}

async fn binary(c: &Client, _: u8) -> Checked {
    let all = every_byte();
    let () = c
        .set(all.as_slice(), all.as_slice(), None, None, false)
        .await?;
    expect(c.get::<Vec<u8>, _>(all.as_slice()).await?, all)?;
    let () = c.set("", "", None, None, false).await?;
    expect(c.get::<Option<String>, _>("").await?, Some(String::new()))
}

async fn big(c: &Client, _: u8) -> Checked {
    let value = every_byte().repeat(65536);
    let () = c.set("big", value.as_slice(), None, None, false).await?;
    expect(c.get::<Vec<u8>, _>("big").await? == value, true)
}

async fn errors(c: &Client, _: u8) -> Checked {
    let () = c.set("e", "x", None, None, false).await?;
    refused(c.lpush::<i64, _, _>("e", 1).await, "WRONGTYPE")?;
    refused(
        c.incr::<i64, _>("e").await,
        "value is not an integer or out of range",
    )?;
    refused(
        custom(c, "GET", &[]).await,
        "wrong number of arguments for 'get' command",
    )?;
    refused(
        custom(c, "NOSUCH", &["x"]).await,
        "unknown command 'NOSUCH'",
    )?;
    expect(c.ping::<String>(None).await?, "PONG")
}

async fn all(protocol: u8) -> Result<bool, Error> {
    let c = open(protocol, "", 0).await?;
    custom(&c, "FLUSHALL", &[]).await?;
    let mut good = true;
    macro_rules! run {
        ($($name:literal $area:ident),*) => {
            $(good &= report($name, protocol, $area(&c, protocol).await);)*
        };
    }
    run!("connect" connect, "strings" strings, "pipeline" pipeline, "transaction" transaction, "list" lists, "hash" hashes,
        "set" sets, "zset" sorted_sets, "stream" streams, "scan" scan, "pubsub" pubsub, "script" scripts, "binary" binary,
        "big" big, "errors" errors);
    c.quit().await?;
    Ok(good)
}

fn main() -> Checked {
    println!("VERSION {}", version_of("fred"));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let good = runtime.block_on(all(2))? & runtime.block_on(all(3))?;
    std::process::exit(i32::from(!good));
}
