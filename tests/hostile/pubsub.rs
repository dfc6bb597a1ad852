//! Channels under pressure: no memory left, endless names, readers that do not read.

use std::time::{Duration, Instant};

use crate::harness::{Target, shown};
use crate::support::{Client, Server};

/// Row S52: a subscription while memory is full is neither refused nor fatal.
#[test]
fn subscribing_without_memory() {
    let mut target = Target::new(&[]);
    target.say("SET k v");
    target.say("CONFIG SET maxmemory 1");
    for (line, wanted) in [
        (
            "SET k w",
            "-OOM command not allowed when used memory > 'maxmemory'.",
        ),
        ("SUBSCRIBE a", "[subscribe a 1]"),
        ("PSUBSCRIBE a*", "[psubscribe a* 2]"),
        ("SSUBSCRIBE a", "[ssubscribe a 1]"),
        ("UNSUBSCRIBE", "[unsubscribe a 1]"),
        ("RESET", "RESET"),
        ("PUBLISH a b", "0"),
    ] {
        assert_eq!(shown(&target.say(line)), wanted, "{line}");
    }
}

/// A subscriber that reads nothing is cut off, and those who read get every message in time.
#[test]
fn a_subscriber_that_does_not_read() {
    const MESSAGES: usize = 2_000;
    let server = Server::with_options(&["--client-output-buffer-limit", "pubsub 1mb 0 0"]);
    let subscribe = || {
        let mut client = server.connect();
        client.call(&["SUBSCRIBE", "news"]);
        client
    };
    let mut deaf = subscribe();
    let mut reader = subscribe();
    let collected = std::thread::spawn(move || {
        let mut slowest = Duration::ZERO;
        for n in 0..MESSAGES {
            let begin = Instant::now();
            let message = reader.read().expect("a message");
            slowest = slowest.max(begin.elapsed());
            let text = message.items()[2].text();
            assert!(text.starts_with(&format!("{n} ")), "{n}: {:.20}", text);
        }
        slowest
    });
    let mut publisher = server.connect();
    for n in 0..MESSAGES {
        let text = format!("{n} {}", "x".repeat(8 * 1024));
        publisher.call(&["PUBLISH", "news", &text]);
    }
    let slowest = collected.join().expect("every message came");
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    assert_eq!(
        publisher.call(&["PUBSUB", "NUMSUB", "news"]).items()[1].int(),
        0
    );
    let list = publisher.call(&["CLIENT", "LIST", "TYPE", "pubsub"]).text();
    assert_eq!(list, "", "both are gone: one was cut off, one has hung up");
    deaf.set_read_timeout(Duration::from_secs(5));
    while deaf.read().is_ok() {}
    assert!(server.log().contains("overcoming of output buffer limits"));
}

/// Many names, long names, the same name again and again: all of it goes with the client.
#[test]
fn names_without_end() {
    let mut target = Target::new(&[]);
    let mut many = target.server.connect();
    for round in 0..20 {
        let names = (0..1000).map(|n| format!("{round}:{n}"));
        let command: Vec<String> = ["SUBSCRIBE".to_string()].into_iter().chain(names).collect();
        subscribe_all(&mut many, &command);
    }
    let long = "x".repeat(1 << 20);
    subscribe_all(
        &mut many,
        &[
            "PSUBSCRIBE".to_string(),
            long.clone(),
            "*:".repeat(5000),
            long,
        ],
    );
    assert_eq!(
        target.say("PUBLISH 3:3 x").int(),
        1,
        "the stars match nothing"
    );
    assert_eq!(target.say("PUBSUB NUMPAT").int(), 2);
    drop(many);
    let deadline = Instant::now() + Duration::from_secs(5);
    while target.say("PUBSUB CHANNELS").items().len() + target.say("PUBSUB NUMPAT").int() as usize
        > 0
    {
        assert!(
            Instant::now() < deadline,
            "subscriptions of a client that is gone"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn subscribe_all(client: &mut Client, command: &[String]) {
    client.send(command).expect("send");
    for _ in 1..command.len() {
        client.read().expect("a confirmation");
    }
}

/// Row S72: a subscriber whose user loses the right to its channel is disconnected; others stay.
#[test]
fn rights_that_are_taken_away() {
    let mut target = Target::new(&[]);
    for (name, rule) in [("one", "&news"), ("two", "allchannels")] {
        let line = format!("ACL SETUSER {name} on nopass resetchannels {rule} +@all");
        assert_eq!(shown(&target.say(&line)), "OK");
    }
    let login = |name: &str, subscribe: &str| {
        let mut client = target.server.connect();
        assert_eq!(shown(&client.call(&["AUTH", name, "x"])), "OK");
        (shown(&client.line(subscribe)), client)
    };
    let (denied, _) = login("one", "SUBSCRIBE sport");
    assert!(denied.starts_with("-NOPERM"), "{denied}");
    // A pattern must be allowed as it stands: that its channels would be is not enough.
    let (denied, _) = login("one", "PSUBSCRIBE new[s]");
    assert!(denied.starts_with("-NOPERM"), "{denied}");
    let (reply, mut loser) = login("one", "SUBSCRIBE news");
    assert_eq!(reply, "[subscribe news 1]");
    let (_, mut keeper) = login("two", "PSUBSCRIBE *");
    target.say("ACL SETUSER one resetchannels");
    assert!(loser.is_closed());
    target.say("ACL SETUSER two allchannels");
    assert_eq!(target.say("PUBLISH news x").int(), 1);
    let message = keeper.read().expect("a message");
    assert_eq!(shown(&message), "[pmessage * news x]");
}
