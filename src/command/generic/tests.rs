//! The family in process.

use crate::command::testing::Bench;
use crate::keyspace::evict::Policy;
use crate::value::hash::Hash;
use crate::value::list::{End, List};
use crate::value::set::Set;

/// Runs lines of `command => reply`.
fn check(bench: &mut Bench, lines: &[(&str, &str)]) {
    for (line, reply) in lines {
        assert_eq!(bench.say(line), *reply, "{line}");
    }
}

/// What the log got since the last call, one command a line.
fn logged(bench: &mut Bench) -> String {
    String::from_utf8_lossy(&bench.server.ks.log.take().bytes).replace("\r\n", " ")
}

#[test]
fn keys_come_and_go() {
    let mut bench = Bench::new();
    check(
        &mut bench,
        &[
            ("DEL a", ":0"),
            ("RANDOMKEY", "$-1"),
            ("SET a 1", "+OK"),
            ("SET b 2", "+OK"),
            ("EXISTS a b a c", ":3"),
            ("TOUCH a b c", ":2"),
            ("TYPE a", "+string"),
            ("TYPE c", "+none"),
            ("DEL a a c", ":1"),
            ("RANDOMKEY", "$1 b"),
            ("UNLINK a b", ":1"),
            ("EXISTS b", ":0"),
        ],
    );
    assert!(bench.server.ks.is_empty());
}

#[test]
fn expiry_is_set_shown_and_taken_back() {
    let mut bench = Bench::new();
    check(
        &mut bench,
        &[
            ("TTL k", ":-2"),
            ("PTTL k", ":-2"),
            ("EXPIRETIME k", ":-2"),
            ("EXPIRE k 10", ":0"),
            ("SET k v", "+OK"),
            ("TTL k", ":-1"),
            ("PEXPIRETIME k", ":-1"),
            ("PERSIST k", ":0"),
            ("EXPIRE k 100", ":1"),
            ("TTL k", ":100"),
            ("PERSIST k", ":1"),
            ("TTL k", ":-1"),
            ("PEXPIRE k 99999", ":1"),
            ("TTL k", ":100"),
            ("EXPIREAT k 9999999999", ":1"),
            ("EXPIRETIME k", ":9999999999"),
            ("PEXPIREAT k 9999999999499", ":1"),
            ("EXPIRETIME k", ":9999999999"),
            ("PEXPIRETIME k", ":9999999999499"),
            ("PEXPIREAT k 9223372036854775807", ":1"),
            ("EXPIRETIME k", ":9223372036854775"),
            ("EXPIRE k 0", ":1"),
            ("EXISTS k", ":0"),
            ("SET k v", "+OK"),
            ("EXPIREAT k -1", ":1"),
            ("EXISTS k", ":0"),
        ],
    );
}

#[test]
fn conditions_compare_with_the_present_expiry() {
    let mut bench = Bench::new();
    check(
        &mut bench,
        &[
            ("SET k v", "+OK"),
            ("EXPIRE k 100 XX", ":0"),
            ("EXPIRE k 100 GT", ":0"),
            ("EXPIRE k 100 LT XX", ":0"),
            ("EXPIRE k 100 LT", ":1"),
            ("EXPIRE k 100 NX", ":0"),
            ("EXPIRE k 50 GT", ":0"),
            ("EXPIRE k 200 LT", ":0"),
            ("EXPIRE k 200 GT XX", ":1"),
            ("TTL k", ":200"),
            ("EXPIRE k 150 xx lt", ":1"),
            ("TTL k", ":150"),
            ("EXPIRE k -1 GT", ":0"),
            ("EXPIRE k -1 LT", ":1"),
            ("EXISTS k", ":0"),
        ],
    );
}

#[test]
fn bad_times_and_options_are_refused() {
    let mut bench = Bench::new();
    let nx = "-ERR NX and XX, GT or LT options at the same time are not compatible";
    check(
        &mut bench,
        &[
            ("SET k v", "+OK"),
            (
                "EXPIRE k abc",
                "-ERR value is not an integer or out of range",
            ),
            ("EXPIRE k abc foo", "-ERR Unsupported option foo"),
            ("EXPIRE k 10 NX XX", nx),
            ("EXPIRE k 10 GT NX", nx),
            (
                "EXPIRE k 10 GT LT",
                "-ERR GT and LT options at the same time are not compatible",
            ),
            (
                "EXPIRE k 9223372036854775807",
                "-ERR invalid expire time in 'expire' command",
            ),
            (
                "EXPIRE k 9223372036854775",
                "-ERR invalid expire time in 'expire' command",
            ),
            (
                "EXPIRE k -9223372036854775808",
                "-ERR invalid expire time in 'expire' command",
            ),
            (
                "PEXPIRE k 9223372036854775807",
                "-ERR invalid expire time in 'pexpire' command",
            ),
            (
                "EXPIREAT k 9223372036854775807",
                "-ERR invalid expire time in 'expireat' command",
            ),
            ("TTL k", ":-1"),
        ],
    );
}

#[test]
fn expiry_is_logged_as_an_absolute_time() {
    let mut bench = Bench::new();
    bench.server.ks.log.attach(crate::log::Consumer::File);
    bench.say("SET k v");
    logged(&mut bench);
    bench.say("EXPIRE k 100");
    let at = bench
        .server
        .ks
        .at(0)
        .peek(b"k")
        .and_then(|e| e.expire())
        .unwrap();
    assert_eq!(
        logged(&mut bench),
        format!("*3 $9 PEXPIREAT $1 k $13 {at} ")
    );
    bench.say("EXPIRE k 100 NX");
    assert_eq!(logged(&mut bench), "");
    bench.say("EXPIRE k -100");
    assert_eq!(logged(&mut bench), "*2 $3 DEL $1 k ");
    bench.say("SET k v PX 10");
    logged(&mut bench);
    bench.pass_ms(20);
    assert_eq!(bench.say("TTL k"), ":-2");
    assert_eq!(logged(&mut bench), "*2 $3 DEL $1 k ");
}

fn push(bench: &mut Bench, key: &str, texts: &[&str]) {
    let mut db = bench.server.ks.at(0);
    let limits = db.limits();
    let add = |list: &mut List| {
        texts
            .iter()
            .for_each(|t| list.push(t.as_bytes(), End::Back, &limits))
    };
    db.update(key.as_bytes(), add).unwrap();
}

fn add(bench: &mut Bench, key: &str, texts: &[&str]) {
    let mut db = bench.server.ks.at(0);
    let limits = db.limits();
    let add = |set: &mut Set| {
        texts
            .iter()
            .for_each(|t| assert!(set.insert(t.as_bytes(), &limits)))
    };
    db.update(key.as_bytes(), add).unwrap();
}

fn zadd(bench: &mut Bench, key: &str, pairs: &[(&str, f64)]) {
    for (member, score) in pairs {
        assert_eq!(bench.say(&format!("ZADD {key} {score} {member}")), ":1");
    }
}

fn hset(bench: &mut Bench, key: &str, field: &str, value: &str) {
    let mut db = bench.server.ks.at(0);
    let limits = db.limits();
    let set = |hash: &mut Hash| hash.set_value(field.as_bytes(), value.as_bytes(), &limits);
    assert!(db.update(key.as_bytes(), set).unwrap());
}

/// The bulk strings of an array reply, `~` for null.
fn items(bench: &mut Bench, line: &str) -> String {
    let reply = bench.say(line);
    assert!(reply.starts_with('*'), "{line}: {reply}");
    let words: Vec<&str> = reply.split(' ').collect();
    let mut found = Vec::new();
    let mut at = 1;
    while at < words.len() {
        match words[at] {
            "$-1" => found.push("~"),
            _ => {
                at += 1;
                found.push(words[at]);
            }
        }
        at += 1;
    }
    found.join(" ")
}

#[test]
fn lists_are_sorted_by_themselves_and_in_windows() {
    let mut bench = Bench::new();
    push(&mut bench, "l", &["b", "a", "c", "a"]);
    push(&mut bench, "t", &["1", "1.0", "01", "-0", "0", "1e0"]);
    push(&mut bench, "n", &["3", "-inf", "20", "inf", "0x10"]);
    for (line, sorted) in [
        ("SORT l ALPHA", "a a b c"),
        ("SORT_RO l ALPHA DESC", "c b a a"),
        ("SORT l BY nosort", "b a c a"),
        ("SORT l BY nosort DESC", "a c a b"),
        ("SORT l BY nosort DESC LIMIT 0 2", "a c"),
        ("SORT l BY a LIMIT 2 9223372036854775807", "c a"),
        (
            "SORT l BY a LIMIT 9223372036854775807 9223372036854775807",
            "",
        ),
        (
            "SORT l BY a LIMIT -9223372036854775808 -9223372036854775808",
            "b a c a",
        ),
        ("SORT l BY a LIMIT 0 0", ""),
        ("SORT l ALPHA LIMIT -5 2", "a a"),
        ("SORT l ALPHA LIMIT 2 -1", "b c"),
        ("SORT l ALPHA LIMIT 10 5", ""),
        ("SORT l ALPHA LIMIT 1 9223372036854775807", "a b c"),
        ("SORT l ASC DESC ALPHA LIMIT 1 2", "b a"),
        ("SORT l BY w_* BY nosort ALPHA", "b a c a"),
        ("SORT t", "-0 0 01 1 1.0 1e0"),
        ("SORT t DESC", "1e0 1.0 1 01 0 -0"),
        ("SORT t BY w_*", "-0 0 01 1 1.0 1e0"),
        ("SORT t BY w_* ALPHA", "1 1.0 01 -0 0 1e0"),
        ("SORT t BY w_* ALPHA DESC", "1 1.0 01 -0 0 1e0"),
        ("SORT n", "-inf 3 0x10 20 inf"),
        ("SORT nokey", ""),
    ] {
        assert_eq!(items(&mut bench, line), sorted, "{line}");
    }
}

#[test]
fn weights_and_results_come_from_other_keys() {
    let mut bench = Bench::new();
    push(&mut bench, "l", &["b", "a", "c", "a"]);
    hset(&mut bench, "h_a", "f", "1");
    hset(&mut bench, "h_a", "g", "9");
    hset(&mut bench, "h_b", "f", "2");
    bench.say("MSET w_a 3 w_b 1 w_c 2 k* star");
    for (line, sorted) in [
        ("SORT l BY w_*", "b c a a"),
        ("SORT l BY w_* DESC", "a a c b"),
        (
            "SORT l BY w_* GET # GET w_* GET no_*",
            "b 1 ~ c 2 ~ a 3 ~ a 3 ~",
        ),
        ("SORT l BY h_*->f", "c a a b"),
        ("SORT l BY h_*->f GET h_*->g", "~ 9 9 ~"),
        ("SORT l BY h_*-> ", "a a b c"),
        ("SORT l ALPHA GET h_*->", "~ ~ ~ ~"),
        ("SORT l ALPHA GET w_x", "~ ~ ~ ~"),
        ("SORT l ALPHA GET h_*", "~ ~ ~ ~"),
        ("SORT l ALPHA GET k*", "~ ~ ~ ~"),
        ("SORT l BY nosort LIMIT 1 1 GET w_*", "3"),
        ("SORT l BY nosort GET # DESC", "a c a b"),
    ] {
        assert_eq!(items(&mut bench, line), sorted, "{line}");
    }
}

#[test]
fn sorted_sets_keep_their_order_if_asked() {
    let mut bench = Bench::new();
    zadd(&mut bench, "z", &[("a", 3.0), ("b", 1.0), ("c", 2.0)]);
    for (line, sorted) in [
        ("SORT z BY nosort", "b c a"),
        ("SORT z BY nosort ALPHA DESC", "a c b"),
        ("SORT z BY nosort LIMIT 1 1", "c"),
        ("SORT z BY nosort DESC LIMIT 1 5", "c b"),
        ("SORT z BY nosort DESC LIMIT 3 1", ""),
        ("SORT z ALPHA DESC LIMIT 0 1", "c"),
    ] {
        assert_eq!(items(&mut bench, line), sorted, "{line}");
    }
}

#[test]
fn sets_get_an_order_when_they_are_stored() {
    let mut bench = Bench::new();
    add(&mut bench, "ints", &["3", "1", "2"]);
    add(&mut bench, "texts", &["z", "x", "y"]);
    assert_eq!(
        items(&mut bench, "SORT ints BY nosort DESC LIMIT 0 2"),
        "1 2"
    );
    assert_eq!(bench.say("SORT texts BY nosort STORE d"), ":3");
    assert_eq!(items(&mut bench, "SORT d BY nosort"), "x y z");
    assert_eq!(
        bench.say("SORT texts BY nosort DESC LIMIT 1 1 STORE d"),
        ":1"
    );
    assert_eq!(items(&mut bench, "SORT d BY nosort"), "y");
}

#[test]
fn results_are_stored_as_a_list() {
    let mut bench = Bench::new();
    bench.server.ks.log.attach(crate::log::Consumer::File);
    push(&mut bench, "l", &["b", "a"]);
    check(
        &mut bench,
        &[
            ("MSET w_a 3 str x", "+OK"),
            ("SORT l ALPHA STORE str GET # GET w_* GET no*", ":6"),
            ("TYPE str", "+list"),
            ("OBJECT ENCODING str", "$8 listpack"),
            ("EXPIRE str 100", ":1"),
            ("SORT l ALPHA STORE str", ":2"),
            ("TTL str", ":-1"),
            ("SORT nokey STORE nokey2", ":0"),
            ("SORT nokey STORE str", ":0"),
            ("EXISTS str", ":0"),
            ("SORT l ALPHA STORE l", ":2"),
        ],
    );
    assert_eq!(items(&mut bench, "SORT l BY nosort"), "a b");
    assert!(logged(&mut bench).ends_with("*5 $4 SORT $1 l $5 ALPHA $5 STORE $1 l "));
}

#[test]
fn sort_refuses_what_it_cannot_read() {
    let mut bench = Bench::new();
    push(&mut bench, "l", &["b", "a"]);
    push(&mut bench, "nan", &["1", "nan"]);
    push(&mut bench, "blank", &["1 "]);
    push(&mut bench, "fine", &[" 2", "1", ""]);
    let score = "-ERR One or more scores can't be converted into double";
    let syntax = "-ERR syntax error";
    check(
        &mut bench,
        &[
            ("MSET s x w_a 1 w_b abc", "+OK"),
            (
                "SORT s",
                "-WRONGTYPE Operation against a key holding the wrong kind of value",
            ),
            ("SORT l", score),
            ("SORT l STORE d", score),
            ("EXISTS d", ":0"),
            ("SORT l BY w_*", score),
            ("SORT nan", score),
            ("SORT blank", score),
            ("SORT fine LIMIT 1 2", "*2 $1 1 $2  2"),
            ("SORT l foo", syntax),
            ("SORT l BY", syntax),
            ("SORT l GET", syntax),
            ("SORT l LIMIT 1", syntax),
            (
                "SORT l LIMIT a b",
                "-ERR value is not an integer or out of range",
            ),
            ("SORT_RO l STORE d", syntax),
        ],
    );
}

#[test]
fn renaming_keeps_the_expiry_and_says_so() {
    let mut bench = Bench::new();
    bench.server.ks.effects.wanted = crate::keyspace::effect::Class::all();
    check(
        &mut bench,
        &[
            ("RENAME a b", "-ERR no such key"),
            ("RENAMENX a a", "-ERR no such key"),
            ("SET a 1 EX 100", "+OK"),
            ("RENAME a a", "+OK"),
            ("RENAMENX a a", ":0"),
            ("SET b 2", "+OK"),
            ("RENAMENX a b", ":0"),
            ("RENAME a b", "+OK"),
            ("TTL b", ":100"),
            ("GET b", "$1 1"),
            ("EXISTS a", ":0"),
            ("RENAMENX b c", ":1"),
            ("TTL c", ":100"),
        ],
    );
    bench.pass_ms(101_000);
    assert_eq!(bench.say("RENAME c d"), "-ERR no such key");
    assert!(bench.server.ks.is_empty());
}

#[test]
fn values_move_between_databases() {
    let mut bench = Bench::new();
    let same = "-ERR source and destination objects are the same";
    check(
        &mut bench,
        &[
            ("SET a 1 EX 100", "+OK"),
            ("MOVE a 0", same),
            ("MOVE a 16", "-ERR DB index is out of range"),
            ("MOVE a -1", "-ERR DB index is out of range"),
            ("MOVE a abc", "-ERR value is not an integer or out of range"),
            ("MOVE nokey 1", ":0"),
            ("MOVE a 1", ":1"),
            ("EXISTS a", ":0"),
            ("SET a 2", "+OK"),
            ("MOVE a 1", ":0"),
            ("SELECT 1", "+OK"),
            ("GET a", "$1 1"),
            ("TTL a", ":100"),
        ],
    );
    assert_eq!(bench.server.ks.dbs[0].volatile, 0);
    assert_eq!(bench.server.ks.dbs[1].volatile, 1);
}

#[test]
fn copies_share_until_one_changes() {
    let mut bench = Bench::new();
    let texts: Vec<String> = (0..5000).map(|n| format!("text-{n}")).collect();
    push(
        &mut bench,
        "l",
        &texts.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    check(
        &mut bench,
        &[
            (
                "COPY l l",
                "-ERR source and destination objects are the same",
            ),
            (
                "COPY l l DB 0",
                "-ERR source and destination objects are the same",
            ),
            ("COPY l m DB 16", "-ERR DB index is out of range"),
            (
                "COPY l m DB abc",
                "-ERR value is not an integer or out of range",
            ),
            ("COPY l m foo", "-ERR syntax error"),
            ("COPY l m DB", "-ERR syntax error"),
            ("COPY nokey m", ":0"),
            ("PEXPIREAT l 9999999999999", ":1"),
            ("COPY l m", ":1"),
            ("PEXPIRETIME m", ":9999999999999"),
            ("COPY l m", ":0"),
            ("COPY l m REPLACE", ":1"),
            ("COPY l l DB 1 REPLACE", ":1"),
        ],
    );
    push(&mut bench, "m", &["more"]);
    let len = |bench: &mut Bench, db: usize, key: &[u8]| {
        bench
            .server
            .ks
            .at(db)
            .peek_as::<List>(key)
            .unwrap()
            .map(|l| l.len())
    };
    assert_eq!(len(&mut bench, 0, b"l"), Some(5000));
    assert_eq!(len(&mut bench, 0, b"m"), Some(5001));
    assert_eq!(len(&mut bench, 1, b"l"), Some(5000));
    assert_eq!(bench.server.ks.dbs[0].volatile, 2);
}

#[test]
fn object_counts_a_missing_key_and_announces_nothing() {
    for what in ["ENCODING", "FREQ", "IDLETIME", "REFCOUNT"] {
        let mut bench = Bench::new();
        bench.handle(&format!("OBJECT {what} nokey")).unwrap();
        assert!(bench.server.ks.effects.events.is_empty(), "{what}");
        assert_eq!(bench.server.ks.stats.misses, 1, "{what}");
    }
    let mut bench = Bench::new();
    bench.say("SET k v");
    bench.say("OBJECT ENCODING k");
    assert_eq!(bench.server.ks.stats.hits, 1);
}

#[test]
fn object_tells_encoding_and_clocks() {
    let mut bench = Bench::new();
    push(&mut bench, "l", &["a"]);
    add(&mut bench, "s", &["1"]);
    hset(&mut bench, "h", "f", "v");
    check(
        &mut bench,
        &[
            ("MSET i 12 t text", "+OK"),
            ("OBJECT ENCODING i", "$3 int"),
            ("OBJECT ENCODING t", "$6 embstr"),
            ("OBJECT ENCODING l", "$8 listpack"),
            ("OBJECT ENCODING s", "$6 intset"),
            ("OBJECT ENCODING h", "$8 listpack"),
            ("OBJECT ENCODING nokey", "$-1"),
            ("OBJECT REFCOUNT t", ":1"),
            ("OBJECT REFCOUNT i", ":2147483647"),
            ("OBJECT IDLETIME t", ":0"),
        ],
    );
    assert!(
        bench
            .say("OBJECT FREQ t")
            .starts_with("-ERR An LFU maxmemory policy is not selected")
    );
    bench.pass_ms(5000);
    check(
        &mut bench,
        &[
            ("TYPE t", "+string"),
            ("EXISTS t", ":1"),
            ("OBJECT IDLETIME t", ":5"),
        ],
    );
    bench
        .client
        .flags
        .insert(crate::dispatch::client::ClientFlags::NO_TOUCH);
    check(
        &mut bench,
        &[
            ("GET t", "$4 text"),
            ("OBJECT IDLETIME t", ":5"),
            ("APPEND t ing", ":7"),
            ("OBJECT IDLETIME t", ":5"),
            ("TOUCH t", ":1"),
        ],
    );
    assert_eq!(bench.say("OBJECT IDLETIME t"), ":0");
    bench.server.ks.access.policy = Policy::AllKeysLfu;
    assert_eq!(bench.say("SET fresh 1"), "+OK");
    assert_eq!(bench.say("OBJECT FREQ fresh"), ":5");
    assert!(
        bench
            .say("OBJECT IDLETIME t")
            .starts_with("-ERR An LFU maxmemory policy is selected")
    );
    assert!(
        bench
            .say("OBJECT HELP")
            .starts_with("*15 +OBJECT <subcommand>")
    );
}

/// The cursor and the keys of a SCAN reply.
fn scan(bench: &mut Bench, line: &str) -> (String, Vec<String>) {
    let reply = bench.say(line);
    let words: Vec<&str> = reply.split(' ').collect();
    assert_eq!(words[0], "*2", "{line}: {reply}");
    let keys = words[4..]
        .iter()
        .skip(1)
        .step_by(2)
        .map(|w| (*w).to_owned())
        .collect();
    (words[2].to_owned(), keys)
}

fn scan_all(bench: &mut Bench, options: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut cursor = "0".to_owned();
    loop {
        let (next, keys) = scan(bench, &format!("SCAN {cursor} {options}"));
        all.extend(keys);
        if next == "0" {
            all.sort();
            return all;
        }
        cursor = next;
    }
}

#[test]
fn scan_finds_every_key_once() {
    let mut bench = Bench::new();
    assert_eq!(scan(&mut bench, "SCAN 0"), ("0".into(), vec![]));
    for n in 0..2000 {
        bench.say(&format!("SET key:{n} {n}"));
    }
    push(&mut bench, "list", &["a"]);
    for count in ["", "COUNT 1", "COUNT 100", "COUNT 9223372036854775807"] {
        let all = scan_all(&mut bench, count);
        assert_eq!(all.len(), 2001, "{count}");
        assert!(all.windows(2).all(|pair| pair[0] < pair[1]));
    }
    assert_eq!(scan_all(&mut bench, "TYPE list"), ["list"]);
    assert_eq!(scan_all(&mut bench, "TYPE LIST MATCH l*t"), ["list"]);
    assert_eq!(scan_all(&mut bench, "TYPE nosuch").len(), 0);
    assert_eq!(scan_all(&mut bench, "MATCH key:19?? COUNT 37").len(), 100);
    assert_eq!(items(&mut bench, "KEYS *").split(' ').count(), 2001);
    assert_eq!(items(&mut bench, "KEYS key:[12]").split(' ').count(), 2);
}

#[test]
fn scan_keeps_its_promise_while_keys_come_and_go() {
    let mut bench = Bench::new();
    for n in 0..1000 {
        bench.say(&format!("SET stays:{n} {n}"));
    }
    let mut seen = std::collections::HashSet::new();
    let mut cursor = "0".to_owned();
    for turn in 0.. {
        let (next, keys) = scan(&mut bench, &format!("SCAN {cursor} COUNT 3"));
        seen.extend(keys);
        for n in 0..200 {
            let verb = if turn < 20 { "SET" } else { "DEL" };
            let value = if turn < 20 { "v" } else { "" };
            bench.say(&format!("{verb} goes:{}:{n} {value}", turn % 20));
        }
        cursor = next;
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(
        seen.iter().filter(|key| key.starts_with("stays")).count(),
        1000
    );
}

#[test]
fn scan_drops_expired_keys_and_refuses_bad_arguments() {
    let mut bench = Bench::new();
    for n in 0..10 {
        bench.say(&format!("SET k{n} v PX 50"));
    }
    bench.say("SET stays v");
    bench.pass_ms(60);
    assert_eq!(items(&mut bench, "KEYS *"), "stays");
    assert_eq!(bench.server.ks.len(), 11);
    assert_eq!(scan_all(&mut bench, "TYPE list"), Vec::<String>::new());
    assert_eq!(
        bench.server.ks.len(),
        11,
        "what is not asked for is not looked at"
    );
    assert_eq!(scan_all(&mut bench, ""), ["stays"]);
    assert_eq!(bench.server.ks.len(), 1);
    assert_eq!(bench.server.ks.stats.expired, 10);
    let integer = "-ERR value is not an integer or out of range";
    check(
        &mut bench,
        &[
            ("SCAN abc", "-ERR invalid cursor"),
            ("SCAN -1", "-ERR invalid cursor"),
            ("SCAN 1a", "-ERR invalid cursor"),
            ("SCAN ''", "-ERR invalid cursor"),
            ("SCAN 18446744073709551616", "-ERR invalid cursor"),
            ("SCAN 18446744073709551615", "*2 $1 0 *1 $5 stays"),
            ("SCAN +0", "*2 $1 0 *1 $5 stays"),
            ("SCAN 0 COUNT 0", "-ERR syntax error"),
            ("SCAN 0 COUNT -1", "-ERR syntax error"),
            ("SCAN 0 COUNT abc", integer),
            ("SCAN 0 COUNT 9223372036854775808", integer),
            ("SCAN 0 MATCH", "-ERR syntax error"),
            ("SCAN 0 foo", "-ERR syntax error"),
        ],
    );
}
