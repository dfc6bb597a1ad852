//! The crates `redis` (blocking, asynchronous, RESP3) and `fred` against the server.
//!
//! usage: rust-clients PORT; prints one PASS or FAIL line a check; exit code 1 when one fails.

use fred::prelude::*;
use redis::{AsyncCommands, Commands};
use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::sync::atomic::{AtomicUsize, Ordering};

static FAILURES: AtomicUsize = AtomicUsize::new(0);

fn check<T: PartialEq + Debug, E: Debug>(name: &str, seen: Result<T, E>, wanted: T) {
    match seen {
        Ok(seen) if seen == wanted => println!("PASS {name}"),
        other => {
            FAILURES.fetch_add(1, Ordering::Relaxed);
            println!("FAIL {name}: got {other:?}, expected {wanted:?}");
        }
    }
}

fn blocking(port: u16, proto: u8) -> redis::RedisResult<()> {
    let p = format!("redis-rs resp{proto}");
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}/?protocol=resp{proto}"))?;
    let mut c = client.get_connection()?;
    redis::cmd("FLUSHALL").exec(&mut c)?;
    check(&format!("{p} set"), c.set("s", "v"), "OK".to_string());
    check(&format!("{p} get"), c.get("s"), Some("v".to_string()));
    check(&format!("{p} get missing"), c.get("none"), None::<String>);
    check(&format!("{p} incr"), c.incr("n", 5), 5);
    check(
        &format!("{p} mget"),
        c.mget(&["s", "none"]),
        vec![Some("v".to_string()), None],
    );
    check(
        &format!("{p} hset"),
        c.hset_multiple("h", &[("f", "1"), ("g", "2")]),
        "OK".to_string(),
    );
    let wanted: HashMap<String, i64> = [("f".to_string(), 1), ("g".to_string(), 2)].into();
    check(&format!("{p} hgetall"), c.hgetall("h"), wanted);
    check(&format!("{p} rpush"), c.rpush("l", &[1, 2, 3]), 3);
    check(&format!("{p} lrange"), c.lrange("l", 0, -1), vec![1, 2, 3]);
    check(&format!("{p} sadd"), c.sadd("st", &["a", "b"]), 2);
    let wanted: HashSet<String> = ["a".to_string(), "b".to_string()].into();
    check(&format!("{p} smembers"), c.smembers("st"), wanted);
    check(
        &format!("{p} zadd"),
        c.zadd_multiple("z", &[(1.0, "a"), (2.5, "b")]),
        2,
    );
    let wanted = vec![("a".to_string(), 1.0), ("b".to_string(), 2.5)];
    check(
        &format!("{p} zrange withscores"),
        c.zrange_withscores("z", 0, -1),
        wanted,
    );
    check(&format!("{p} zscore"), c.zscore("z", "b"), Some(2.5));
    let place = redis::geo::Coord::lon_lat(13.361389, 38.115556);
    check(
        &format!("{p} geoadd"),
        c.geo_add("g", (place, "Palermo")),
        1,
    );
    let error = c
        .lpush::<_, _, i64>("s", 1)
        .map_err(|error| error.code().map(str::to_string));
    check(
        &format!("{p} wrong type"),
        error.err().ok_or("no error"),
        Some("WRONGTYPE".to_string()),
    );
    let mut pipe = redis::pipe();
    for number in 0..500 {
        pipe.set(format!("p:{number}"), number).ignore();
    }
    pipe.get("p:499");
    check(&format!("{p} pipeline"), pipe.query(&mut c), vec![499]);
    let found = c
        .scan_match::<_, String>("p:*")?
        .collect::<Result<HashSet<_>, _>>()?;
    check(&format!("{p} scan"), Ok::<_, ()>(found.len()), 500);
    let info: redis::InfoDict = redis::cmd("INFO").query(&mut c)?;
    check(
        &format!("{p} info"),
        info.get::<String>("redis_mode").ok_or(()),
        "standalone".to_string(),
    );
    Ok(())
}

async fn asynchronous(port: u16) -> redis::RedisResult<()> {
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}/"))?;
    let mut c = client.get_multiplexed_async_connection().await?;
    let mut tasks = Vec::new();
    for _ in 0..200 {
        let mut c = c.clone();
        tasks.push(tokio::spawn(async move {
            AsyncCommands::incr::<_, _, i64>(&mut c, "multi", 1).await
        }));
    }
    for task in tasks {
        task.await.expect("a task")?;
    }
    check(
        "redis-rs asynchronous",
        AsyncCommands::get(&mut c, "multi").await,
        200,
    );
    Ok(())
}

async fn with_fred(port: u16) -> Result<(), fred::error::Error> {
    let config = fred::prelude::Config::from_url(&format!("redis://127.0.0.1:{port}"))?;
    let client = Builder::from_config(config).build()?;
    client.init().await?;
    check(
        "fred set",
        client.set("fs", "v", None, None, false).await,
        "OK".to_string(),
    );
    check("fred get", client.get("fs").await, Some("v".to_string()));
    check(
        "fred hset",
        client.hset("fh", [("a", 1), ("b", 2)]).await,
        2,
    );
    let wanted: HashMap<String, i64> = [("a".to_string(), 1), ("b".to_string(), 2)].into();
    check("fred hgetall", client.hgetall("fh").await, wanted);
    check("fred rpush", client.rpush("fl", vec![1, 2, 3]).await, 3);
    check(
        "fred lrange",
        client.lrange("fl", 0, -1).await,
        vec![1, 2, 3],
    );
    check("fred sadd", client.sadd("fset", vec!["a", "b"]).await, 2);
    check(
        "fred zadd",
        client
            .zadd("fz", None, None, false, false, vec![(1.0, "a"), (2.0, "b")])
            .await,
        2,
    );
    check("fred zscore", client.zscore("fz", "b").await, Some(2.0));
    let pipeline = client.pipeline();
    for number in 0..100 {
        let () = pipeline.incr_by("fp", number).await?;
    }
    let replies: Vec<i64> = pipeline.all().await?;
    check(
        "fred pipeline",
        Ok::<_, ()>(replies.last().copied()),
        Some(4950),
    );
    client.quit().await
}

fn main() {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok());
    let port: u16 = port.expect("usage: rust-clients PORT");
    for proto in [2, 3] {
        check(&format!("redis-rs resp{proto}"), blocking(port, proto), ());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    check(
        "redis-rs asynchronous connection",
        runtime.block_on(asynchronous(port)),
        (),
    );
    check("fred", runtime.block_on(with_fred(port)), ());
    std::process::exit(i32::from(FAILURES.load(Ordering::Relaxed) > 0));
}
