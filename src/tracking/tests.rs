use crate::command::testing::Bench;

/// A bench and a client of RESP3 that tracks in some way.
fn tracking(options: &str) -> (Bench, u64) {
    let mut bench = Bench::new();
    let id = bench.join(true);
    assert_eq!(
        bench.say_as(id, &format!("CLIENT TRACKING ON {options}")),
        "+OK"
    );
    (bench, id)
}

const K: &str = ">2 $10 invalidate *1 $1 k";

#[test]
fn a_read_key_is_invalidated_once() {
    let (mut bench, id) = tracking("");
    bench.say("SET k 1");
    assert_eq!(bench.heard(id), "");
    bench.say_as(id, "GET k");
    bench.say_as(id, "GET nokey");
    bench.say("SET k 2");
    bench.say("SET k 3");
    assert_eq!(bench.heard(id), K);
    bench.say("SET nokey 3");
    assert_eq!(bench.heard(id), ">2 $10 invalidate *1 $5 nokey");
    let tracking = &bench.server.core.tracking;
    assert_eq!((tracking.keys(), tracking.items()), (0, 0));
}

#[test]
fn of_its_own_writes_a_client_hears_after_the_reply() {
    let (mut bench, id) = tracking("");
    bench.say_as(id, "GET k");
    assert_eq!(bench.say_as(id, "SET k 1"), format!("+OK {K}"));
    bench.say_as(id, "GET k");
    bench.say_as(id, "MULTI");
    bench.say_as(id, "INCR k");
    bench.say_as(id, "PING");
    assert_eq!(bench.say_as(id, "EXEC"), format!("*2 :2 +PONG {K}"));
    let (mut bench, id) = tracking("NOLOOP");
    bench.say_as(id, "GET k");
    assert_eq!(bench.say_as(id, "SET k 1"), "+OK");
    bench.say_as(id, "GET k");
    bench.say("SET k 1");
    assert_eq!(bench.heard(id), K);
}

#[test]
fn expiry_and_flush_invalidate() {
    let (mut bench, id) = tracking("");
    bench.say("SET k v PX 5");
    bench.say_as(id, "GET k");
    bench.pass_ms(50);
    bench.server.expire();
    assert_eq!(bench.heard(id), K);
    bench.say_as(id, "GET k");
    bench.say("FLUSHALL");
    assert_eq!(bench.heard(id), ">2 $10 invalidate _");
    assert_eq!(bench.server.core.tracking.keys(), 0);
    assert_eq!(bench.say_as(id, "FLUSHDB"), "+OK >2 $10 invalidate _");
}

#[test]
fn opt_in_and_out() {
    let (mut bench, id) = tracking("OPTIN");
    bench.say_as(id, "GET k");
    bench.say("SET k 1");
    assert_eq!(bench.heard(id), "");
    bench.say_as(id, "CLIENT CACHING YES");
    bench.say_as(id, "GET k");
    bench.say_as(id, "GET other");
    assert_eq!(bench.server.core.tracking.keys(), 1);
    bench.say("SET k 1");
    assert_eq!(bench.heard(id), K);
    let (mut bench, id) = tracking("OPTOUT");
    bench.say_as(id, "CLIENT CACHING NO");
    assert_eq!(
        bench.say_as(id, "CLIENT TRACKINGINFO"),
        "%3 $5 flags ~3 $2 on $6 optout $10 caching-no $8 redirect :0 $8 prefixes *0"
    );
    bench.say_as(id, "GET k");
    bench.say_as(id, "GET other");
    bench.say("MSET k 1 other 1");
    assert_eq!(bench.heard(id), ">2 $10 invalidate *1 $5 other");
}

#[test]
fn prefixes_are_told_once_a_turn() {
    let (mut bench, id) = tracking("BCAST PREFIX a PREFIX b");
    bench.say("MSET b1 x a2 x c x");
    bench.say("SET a1 x");
    assert_eq!(
        bench.heard(id),
        ">2 $10 invalidate *2 $2 a1 $2 a2 >2 $10 invalidate *1 $2 b1"
    );
    bench.say_as(id, "SET a1 x");
    assert_eq!(bench.heard(id), ">2 $10 invalidate *1 $2 a1");
    assert_eq!(bench.say_as(id, "CLIENT TRACKING OFF"), "+OK");
    bench.say("SET a1 x");
    assert_eq!(bench.heard(id), "");
    let (mut bench, id) = tracking("BCAST NOLOOP");
    bench.say_as(id, "SET mine x");
    bench.say("SET k x");
    assert_eq!(bench.heard(id), K);
    assert_eq!(bench.server.core.tracking.prefixes(), 1);
    bench.server.core.end_client(id);
    assert_eq!(bench.server.core.tracking.prefixes(), 0);
}

#[test]
fn redirected_to_a_subscriber() {
    let mut bench = Bench::new();
    let (data, events) = (bench.join(false), bench.join(false));
    bench.say_as(events, "SUBSCRIBE __redis__:invalidate");
    bench.say_as(data, &format!("CLIENT TRACKING ON REDIRECT {events}"));
    assert_eq!(bench.say_as(data, "CLIENT GETREDIR"), format!(":{events}"));
    bench.say_as(data, "GET k");
    bench.say("SET k x");
    let head = "*3 $7 message $20 __redis__:invalidate";
    assert_eq!(bench.heard(events), format!("{head} *1 $1 k"));
    bench.say("FLUSHALL");
    assert_eq!(bench.heard(events), format!("{head} $-1"));
    bench.say_as(events, "UNSUBSCRIBE");
    bench.say_as(data, "GET k");
    bench.say("SET k x");
    assert_eq!(bench.heard(events), "");
    let list = bench.say("CLIENT LIST");
    assert!(list.contains(&format!("redir={events}")), "{list}");
}

#[test]
fn a_lost_redirection_is_told() {
    let mut bench = Bench::new();
    let (data, events) = (bench.join(true), bench.join(true));
    bench.say_as(data, &format!("CLIENT TRACKING ON REDIRECT {events}"));
    bench.say_as(data, "GET k");
    bench.say("SET k x");
    assert_eq!(bench.heard(events), K);
    bench.say_as(data, "GET k");
    bench.server.core.end_client(events);
    bench.say("SET k x");
    assert_eq!(
        bench.heard(data),
        format!(">2 $21 tracking-redir-broken :{events}")
    );
    let info = bench.say_as(data, "CLIENT TRACKINGINFO");
    assert!(info.contains("broken_redirect"), "{info}");
}

#[test]
fn the_table_is_bounded() {
    let (mut bench, id) = tracking("");
    bench.say("CONFIG SET tracking-table-max-keys 2");
    bench.say_as(id, "GET k");
    bench.say_as(id, "GET l");
    assert_eq!(
        bench.say_as(id, "GET m"),
        format!("_ {K}"),
        "the oldest goes"
    );
    for n in 0..1000 {
        bench.say_as(id, &format!("GET key{n}"));
        bench.say(&format!("SET key{n} x"));
    }
    assert!(bench.server.core.tracking.order.len() < 100);
}
