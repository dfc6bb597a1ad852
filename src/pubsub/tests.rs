use super::Kind;
use crate::command::testing::Bench;

#[test]
fn a_message_reaches_its_subscribers_once_each() {
    let mut bench = Bench::new();
    let (two, three) = (bench.join(false), bench.join(true));
    assert_eq!(bench.say("PUBLISH a hello"), ":0");
    assert_eq!(bench.say_as(two, "SUBSCRIBE a"), "*3 $9 subscribe $1 a :1");
    assert_eq!(
        bench.say_as(three, "SUBSCRIBE a b"),
        ">3 $9 subscribe $1 a :1 >3 $9 subscribe $1 b :2"
    );
    assert_eq!(bench.say("PUBLISH a hello"), ":2");
    assert_eq!(bench.say("PUBLISH b x"), ":1");
    assert_eq!(bench.say("PUBLISH c x"), ":0");
    assert_eq!(bench.heard(two), "*3 $7 message $1 a $5 hello");
    assert_eq!(
        bench.heard(three),
        ">3 $7 message $1 a $5 hello >3 $7 message $1 b $1 x"
    );
    assert_eq!(
        bench.say("PUBSUB NUMSUB a b c"),
        "*6 $1 a :2 $1 b :1 $1 c :0"
    );
}

#[test]
fn channels_and_patterns_come_message_by_message() {
    let mut bench = Bench::new();
    let id = bench.join(false);
    bench.say_as(id, "SUBSCRIBE ab");
    assert_eq!(
        bench.say_as(id, "PSUBSCRIBE a*"),
        "*3 $10 psubscribe $2 a* :2"
    );
    assert_eq!(bench.say("PUBLISH ab 1"), ":2");
    assert_eq!(bench.say("PUBLISH ab 2"), ":2");
    assert_eq!(bench.say("PUBLISH ac 3"), ":1");
    assert_eq!(
        bench.heard(id),
        "*3 $7 message $2 ab $1 1 *4 $8 pmessage $2 a* $2 ab $1 1 \
         *3 $7 message $2 ab $1 2 *4 $8 pmessage $2 a* $2 ab $1 2 \
         *4 $8 pmessage $2 a* $2 ac $1 3"
    );
    assert_eq!(bench.say("PUBSUB NUMPAT"), ":1");
    assert_eq!(bench.say("PUBSUB CHANNELS"), "*1 $2 ab");
    assert_eq!(bench.say("PUBSUB CHANNELS x*"), "*0");
}

#[test]
fn who_comes_and_goes_gets_what_was_sent_meanwhile_alone() {
    let mut bench = Bench::new();
    let (first, second) = (bench.join(false), bench.join(false));
    bench.say_as(first, "SUBSCRIBE a");
    bench.say("PUBLISH a 1");
    bench.say_as(second, "SUBSCRIBE a");
    bench.say("PUBLISH a 2");
    bench.say_as(first, "UNSUBSCRIBE");
    bench.say("PUBLISH a 3");
    let message = |n| format!("*3 $7 message $1 a $1 {n}");
    // What comes before a command of the client goes into its output before the reply.
    assert!(bench.heard(first).starts_with(&message(1)));
    assert_eq!(
        bench.heard(second),
        format!("{} {}", message(2), message(3))
    );
    assert_eq!(bench.say("PUBLISH a 4"), ":1");
    bench.server.core.end_client(second);
    assert_eq!(bench.say("PUBLISH a 5"), ":0");
    assert_eq!(bench.server.core.pubsub.clients(), 0);
    assert_eq!(bench.server.core.pubsub.len(Kind::Channel), 0);
}

#[test]
fn to_oneself_it_comes_after_the_reply() {
    let mut bench = Bench::new();
    let id = bench.join(true);
    bench.say_as(id, "SUBSCRIBE a");
    assert_eq!(
        bench.say_as(id, "PUBLISH a x"),
        ":1 >3 $7 message $1 a $1 x"
    );
    bench.say_as(id, "MULTI");
    bench.say_as(id, "PUBLISH a y");
    bench.say_as(id, "PUBLISH a z");
    bench.say_as(id, "PING");
    assert_eq!(
        bench.say_as(id, "EXEC"),
        "*3 :1 :1 +PONG >3 $7 message $1 a $1 y >3 $7 message $1 a $1 z"
    );
    assert_eq!(bench.heard(id), "");
}

#[test]
fn ends_of_subscriptions() {
    let mut bench = Bench::new();
    assert_eq!(bench.say("UNSUBSCRIBE"), "*3 $11 unsubscribe $-1 :0");
    assert_eq!(bench.say("UNSUBSCRIBE a"), "*3 $11 unsubscribe $1 a :0");
    bench.say("SUBSCRIBE a a b");
    bench.say("PSUBSCRIBE p");
    assert_eq!(bench.say("SSUBSCRIBE s"), "*3 $10 ssubscribe $1 s :1");
    assert_eq!(
        bench.say("UNSUBSCRIBE"),
        "*3 $11 unsubscribe $1 a :2 *3 $11 unsubscribe $1 b :1"
    );
    assert_eq!(bench.say("PUNSUBSCRIBE"), "*3 $12 punsubscribe $1 p :0");
    assert_eq!(
        bench.say("GET k"),
        "-ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
    );
    assert_eq!(bench.say("PING"), "*2 $4 pong $0");
    assert_eq!(bench.say("PING x"), "*2 $4 pong $1 x");
    assert_eq!(bench.say("SUNSUBSCRIBE"), "*3 $12 sunsubscribe $1 s :0");
    assert_eq!(bench.say("GET k"), "$-1");
    bench.say("SUBSCRIBE a");
    assert_eq!(bench.say("RESET"), "+RESET");
    assert_eq!(bench.say("PUBLISH a x"), ":0");
}

#[test]
fn shard_channels_are_apart() {
    let mut bench = Bench::new();
    let id = bench.join(false);
    bench.say_as(id, "SSUBSCRIBE a");
    bench.say_as(id, "PSUBSCRIBE x*");
    assert_eq!(bench.say("PUBLISH a x"), ":0");
    assert_eq!(bench.say("SPUBLISH a x"), ":1");
    assert_eq!(bench.say("SPUBLISH xa x"), ":0");
    assert_eq!(bench.heard(id), "*3 $8 smessage $1 a $1 x");
    assert_eq!(bench.say("PUBSUB SHARDCHANNELS"), "*1 $1 a");
    assert_eq!(bench.say("PUBSUB SHARDNUMSUB a"), "*2 $1 a :1");
    assert_eq!(bench.say("PUBSUB CHANNELS"), "*0");
}

#[test]
fn large_messages_are_shared() {
    use crate::resp::reply::Chunk;
    use std::sync::Arc;
    let mut bench = Bench::new();
    let ids = [bench.join(false), bench.join(false), bench.join(true)];
    for id in ids {
        bench.say_as(id, "SUBSCRIBE a");
    }
    let text = "x".repeat(5000);
    bench.say(&format!("PUBLISH a {text}"));
    bench.say(&format!("PUBLISH a {text}"));
    bench.server.end_turn();
    let shared = ids.map(|id| {
        let client = bench.server.core.clients.get(id).expect("it has joined");
        let output = client
            .conn
            .with(|outbox| std::mem::take(&mut outbox.output));
        match output.chunks().next() {
            Some(Chunk::Shared(bytes)) => bytes.clone(),
            other => panic!("{other:?}"),
        }
    });
    assert!(Arc::ptr_eq(&shared[0], &shared[1]));
    assert_eq!(shared[0].iter().filter(|b| **b == b'*').count(), 2);
    assert_eq!(shared[2].iter().filter(|b| **b == b'>').count(), 2);
    assert_eq!(shared[0].len(), shared[2].len());
}

#[test]
fn keyspace_events_are_messages() {
    let mut bench = Bench::new();
    let id = bench.join(false);
    bench.say("CONFIG SET notify-keyspace-events KEA");
    bench.say_as(id, "PSUBSCRIBE __key*");
    bench.say("SET k v");
    bench.say("SELECT 1");
    bench.say("DEL k");
    bench.say("PEXPIRE nokey 5");
    bench.say("SET k v PX 5");
    let event = |channel: &str, text: &str| {
        format!(
            "*4 $8 pmessage $6 __key* ${} {channel} ${} {text}",
            channel.len(),
            text.len()
        )
    };
    let both = |db: u8, name: &str| {
        let (space, event_channel) = (
            format!("__keyspace@{db}__:k"),
            format!("__keyevent@{db}__:{name}"),
        );
        format!("{} {}", event(&space, name), event(&event_channel, "k"))
    };
    let expected = [both(0, "set"), both(1, "set"), both(1, "expire")].join(" ");
    assert_eq!(bench.heard(id), expected);
    bench.pass_ms(50);
    bench.server.expire();
    assert_eq!(bench.heard(id), both(1, "expired"));
    bench.say("CONFIG SET notify-keyspace-events Kl");
    bench.say("SET k v");
    bench.say("RPUSH l a");
    assert_eq!(bench.heard(id), event("__keyspace@1__:l", "rpush"));
}

#[test]
fn messages_come_also_with_replies_off() {
    let mut bench = Bench::new();
    let id = bench.join(true);
    bench.say_as(id, "CLIENT REPLY OFF");
    assert_eq!(bench.say_as(id, "SUBSCRIBE a"), ">3 $9 subscribe $1 a :1");
    assert_eq!(bench.say_as(id, "PUBLISH a x"), ">3 $7 message $1 a $1 x");
}

/// What is on its way to a client.
fn on_its_way(bench: &Bench, id: u64) -> String {
    let client = bench.server.core.clients.get(id).expect("it has joined");
    client.conn.with(|outbox| {
        let bytes: Vec<u8> = outbox
            .output
            .chunks()
            .flat_map(|c| c.bytes().to_vec())
            .collect();
        String::from_utf8_lossy(&bytes)
            .trim_end()
            .replace("\r\n", " ")
    })
}

#[test]
fn who_waits_in_the_ring_gets_all_that_came_meanwhile() {
    let mut bench = Bench::new();
    let ids: Vec<u64> = (0..20).map(|_| bench.join(false)).collect();
    for id in &ids {
        bench.say_as(*id, "SUBSCRIBE a");
    }
    bench.server.end_turn();
    let message = |n: u32| format!("*3 $7 message $1 a $1 {n}");
    bench.say("PUBLISH a 1");
    bench.server.core.deliver();
    bench.server.core.flush_marked(0, 8);
    assert!(bench.server.core.pushes.is_waiting());
    bench.say("PUBLISH a 2");
    bench.server.core.deliver();
    for id in &ids[..8] {
        assert_eq!(on_its_way(&bench, *id), message(1), "{id}");
    }
    for id in &ids[8..] {
        assert_eq!(on_its_way(&bench, *id), "", "{id}");
    }
    // Those who have waited longest come first.
    bench.server.core.flush_marked(0, 12);
    for id in &ids[..8] {
        assert_eq!(on_its_way(&bench, *id), message(1), "{id}");
    }
    let both = format!("{} {}", message(1), message(2));
    for id in &ids[8..] {
        assert_eq!(on_its_way(&bench, *id), both, "{id}");
    }
    bench.server.end_turn();
    for id in &ids {
        assert_eq!(on_its_way(&bench, *id), both, "{id}");
    }
    assert!(!bench.server.core.pushes.is_waiting());
}

#[test]
fn what_is_pushed_while_the_disk_is_awaited_does_not_put_off_what_waits() {
    use crate::dispatch::held::Promise;
    let mut bench = Bench::new();
    let id = bench.join(false);
    bench.say_as(id, "SUBSCRIBE a");
    bench.server.end_turn();
    on_its_way(&bench, id);
    bench.server.core.held.promise = Promise::Synced;
    let mut expected = String::new();
    for n in 1..=5 {
        // Each turn pushes something that needs a later offset than the disk has.
        bench.say(&format!("PUBLISH a {n}"));
        bench.server.core.deliver();
        bench.server.core.flush_marked(10 * n, 8);
        bench.server.core.release(10 * (n - 1));
        let so_far = on_its_way(&bench, id);
        assert_eq!(so_far.trim_start(), expected.trim_start(), "turn {n}");
        expected += &format!(" *3 $7 message $1 a $1 {n}");
    }
}
