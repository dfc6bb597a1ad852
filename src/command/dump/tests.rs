use crate::command::testing::Bench;

fn dumped(bench: &mut Bench, key: &str) -> Vec<u8> {
    let reply = bench.run(&["DUMP", key]);
    let begin = reply.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    reply[begin..reply.len() - 2].to_vec()
}

fn restore(bench: &mut Bench, key: &str, ttl: &str, payload: &[u8], rest: &[&str]) -> String {
    let mut words: Vec<&[u8]> = vec![b"RESTORE", key.as_bytes(), ttl.as_bytes(), payload];
    words.extend(rest.iter().map(|word| word.as_bytes()));
    let reply = bench.run(&words);
    String::from_utf8_lossy(&reply).trim_end().to_owned()
}

#[test]
fn a_key_goes_through_a_payload() {
    let mut bench = Bench::new();
    bench.say("RPUSH l a 1 300");
    let payload = dumped(&mut bench, "l");
    let recorded = b"\x12\x01\x02\x0f\x0f\0\0\0\x03\0\x81a\x02\x01\x01\xc1,\x02\xff\x0a\0";
    assert_eq!(payload[..payload.len() - 8], recorded[..]);
    assert_eq!(restore(&mut bench, "m", "0", &payload, &[]), "+OK");
    assert_eq!(bench.say("LRANGE m 0 -1"), "*3 $1 a $1 1 $3 300");
    assert_eq!(bench.say("TTL m"), ":-1");
    assert_eq!(restore(&mut bench, "n", "5000", &payload, &[]), "+OK");
    // Time goes by between the two.
    let left: i64 = bench.say("PTTL n")[1..].parse().expect("a number");
    assert!((4000..=5000).contains(&left), "{left}");
    assert_eq!(bench.say("DUMP nosuch"), "$-1");
    let busy = "-BUSYKEY Target key name already exists.";
    assert_eq!(restore(&mut bench, "l", "0", &payload, &[]), busy);
    assert_eq!(restore(&mut bench, "l", "0", b"bad", &[]), busy);
    assert_eq!(restore(&mut bench, "l", "0", &payload, &["replace"]), "+OK");
}

#[test]
fn arguments_and_payloads_are_checked() {
    let mut bench = Bench::new();
    bench.say("SET s abc");
    let good = dumped(&mut bench, "s");
    let mut run =
        |ttl: &str, payload: &[u8], rest: &[&str]| restore(&mut bench, "k", ttl, payload, rest);
    let wrong = "-ERR DUMP payload version or checksum are wrong";
    assert_eq!(run("0", b"bad", &[]), wrong);
    assert_eq!(
        run("-1", &good, &[]),
        "-ERR Invalid TTL value, must be >= 0"
    );
    let number = "-ERR value is not an integer or out of range";
    assert_eq!(run("abc", &good, &[]), number);
    let idle = "-ERR Invalid IDLETIME value, must be >= 0";
    assert_eq!(run("0", &good, &["IDLETIME", "-1"]), idle);
    let freq = "-ERR Invalid FREQ value, must be >= 0 and <= 255";
    assert_eq!(run("0", &good, &["FREQ", "256"]), freq);
    let both = ["IDLETIME", "1", "FREQ", "1"];
    assert_eq!(run("0", &good, &both), "-ERR syntax error");
    assert_eq!(run("0", &good, &["IDLETIME"]), "-ERR syntax error");
    assert_eq!(run("0", &good, &["foo"]), "-ERR syntax error");
    let far = "9223372036854775807";
    assert_eq!(
        run(far, &good, &[]),
        "-ERR invalid expire time in 'restore' command"
    );
    let mut bad = good.clone();
    bad[2] ^= 1;
    assert_eq!(run("0", &bad, &[]), wrong);
    assert_eq!(run("1", &good, &["ABSTTL"]), "+OK");
    assert_eq!(bench.say("EXISTS k"), ":0");
}

#[test]
fn access_clocks_come_with_the_key() {
    let mut bench = Bench::new();
    bench.say("SET s abc");
    let payload = dumped(&mut bench, "s");
    bench.say("CONFIG SET maxmemory-policy allkeys-lru");
    restore(&mut bench, "k", "0", &payload, &["IDLETIME", "1000"]);
    assert_eq!(bench.say("OBJECT IDLETIME k"), ":1000");
    bench.say("CONFIG SET maxmemory-policy allkeys-lfu");
    restore(&mut bench, "k", "0", &payload, &["FREQ", "100", "REPLACE"]);
    assert_eq!(bench.say("OBJECT FREQ k"), ":100");
}

#[test]
fn relative_times_are_logged_as_moments() {
    let mut bench = Bench::new();
    bench.say("SET s abc");
    let payload = dumped(&mut bench, "s");
    bench.server.ks.log.attach(crate::log::Consumer::File);
    restore(&mut bench, "k", "5000", &payload, &[]);
    let at = bench.server.ks.now_ms + 5000;
    let log = bench.server.ks.log.take().bytes;
    let log = String::from_utf8_lossy(&log).into_owned();
    assert!(
        log.contains(&at.to_string()) && log.contains("ABSTTL"),
        "{log}"
    );
    restore(&mut bench, "k", "1", &payload, &["REPLACE", "ABSTTL"]);
    let log = bench.server.ks.log.take().bytes;
    assert!(String::from_utf8_lossy(&log).contains("DEL"));
}

#[test]
fn migrate_reads_all_its_arguments_first() {
    let mut bench = Bench::new();
    bench.say("SET s abc");
    let number = "-ERR value is not an integer or out of range";
    assert_eq!(bench.say("MIGRATE 127.0.0.1 1 s abc 100"), number);
    assert_eq!(bench.say("MIGRATE 127.0.0.1 1 s 0 abc"), number);
    assert_eq!(bench.say("MIGRATE h 1 k 0 1 foo"), "-ERR syntax error");
    assert_eq!(bench.say("MIGRATE h 1 nosuch 0 1"), "+NOKEY");
    assert_eq!(bench.say("MIGRATE h 1 '' 0 1 KEYS a b"), "+NOKEY");
    assert_eq!(
        bench.say("MIGRATE h 1 s 0 1 KEYS a"),
        "-ERR When using MIGRATE KEYS option, the key argument must be set to the empty string"
    );
    assert_eq!(
        bench.say("MIGRATE 127.0.0.1 1 s 0 100"),
        "-IOERR error or timeout writing to target instance"
    );
    assert_eq!(bench.say("GET s"), "$3 abc");
}
