//! Protocol, memory and the time of others, strangers first.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::harness::{Target, Want, pour, rss, shown};
use crate::support::Value;
use crate::support::resp::encode;

fn raw(target: &Target) -> TcpStream {
    let stream = TcpStream::connect(target.server.addr()).expect("connect");
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("a timeout");
    stream
}

/// What comes until the end, after these bytes.
fn answer(target: &Target, bytes: &[u8]) -> String {
    let mut stream = raw(target);
    stream.write_all(bytes).expect("send");
    let mut out = Vec::new();
    // A reset ends it as well.
    let _ = stream.read_to_end(&mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// S41, S44: requests of strangers.
#[test]
fn strangers_have_small_limits() {
    let mut target = Target::new(&["--requirepass", "secret"]);
    let cases: &[(&[u8], &str)] = &[
        (
            b"*100\r\n",
            "-ERR Protocol error: unauthenticated multibulk length\r\n",
        ),
        (
            b"*1\r\n$100000000\r\n",
            "-ERR Protocol error: unauthenticated bulk length\r\n",
        ),
        (
            b"*2\r\n:1\r\n+x\r\n",
            "-ERR Protocol error: expected '$', got ':'\r\n",
        ),
        (
            b"*1\r\n*1\r\n",
            "-ERR Protocol error: expected '$', got '*'\r\n",
        ),
        (
            b"*1\r\n%1\r\n",
            "-ERR Protocol error: expected '$', got '%'\r\n",
        ),
        (
            b"GET k\r\n*1\r\n$-1\r\n",
            "-NOAUTH Authentication required.\r\n-ERR Protocol error: invalid bulk length\r\n",
        ),
    ];
    for (bytes, text) in cases {
        assert_eq!(answer(&target, bytes), *text);
        target.assert_well(text);
    }
    // Nothing, then half a request: the server just waits.
    let mut waiting = Vec::new();
    for half in [
        &b"*0\r\n*-1\r\n\r\n*2\r\n$4\r\nEC"[..],
        b"*-5\r\n",
        b"AUTH sec",
        b"*10\r\n$16384\r\nxx",
        b"$3\r",
    ] {
        let mut stream = raw(&target);
        stream.write_all(half).expect("send");
        waiting.push(stream);
    }
    target.assert_well("half requests");
}

/// S42: 500 strangers send and never read.
#[test]
fn strangers_who_never_read() {
    let mut target = Target::new(&["--requirepass", "secret"]);
    let many = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n".repeat(3000);
    let mut open = Vec::new();
    for _ in 0..500 {
        let mut stream = raw(&target);
        stream.set_nonblocking(true).expect("nonblocking");
        for _ in 0..6 {
            if stream.write(&many).is_err() {
                break;
            }
        }
        open.push(stream);
    }
    target.assert_well("the flood");
    std::thread::sleep(Duration::from_millis(500));
    target.assert_well("the flood");
}

/// S45: patterns that make naive matchers explode.
#[test]
fn patterns_take_linear_time() {
    let mut target = Target::new(&[]);
    let key = "a".repeat(40);
    target.client.call(&["SET", &key, "v"]);
    target.settle();
    let stars = format!("{}b", "a*".repeat(40));
    let questions = "*?".repeat(50_000);
    let class = format!("*{}", "[a-".repeat(2000));
    for pattern in [
        stars.as_str(),
        questions.as_str(),
        class.as_str(),
        "[",
        "\\",
        "[^",
        "[a-\\",
    ] {
        for command in [
            vec!["KEYS", pattern],
            vec!["SCAN", "0", "MATCH", pattern],
            vec!["CONFIG", "GET", pattern],
            vec!["COMMAND", "LIST", "FILTERBY", "PATTERN", pattern],
        ] {
            let begin = Instant::now();
            let reply = target.client.call(&command);
            let short: String = pattern.chars().take(20).collect();
            assert!(
                begin.elapsed() < Duration::from_secs(10),
                "{} {short}: {:?}",
                command[0],
                begin.elapsed()
            );
            // A class that is not closed ends with the pattern, so that one of them is a match.
            if command[0] == "KEYS" {
                let found = usize::from(pattern == class);
                assert_eq!(reply.items().len(), found, "{short}");
            }
            target.assert_well(command[0]);
        }
    }
}

/// S47: what CLIENT LIST and INFO say about the memory of clients is about what there is.
#[test]
fn memory_of_clients_is_counted() {
    let mut target = Target::new(&[]);
    let field = |target: &mut Target, name: &str| -> u64 {
        let text = target.say("INFO memory").text();
        let line = text
            .lines()
            .find_map(|l| l.strip_prefix(&format!("{name}:")))
            .expect("the field");
        line.parse().expect("a number")
    };
    let (used, counted) = (
        field(&mut target, "used_memory"),
        field(&mut target, "mem_clients_normal"),
    );
    // One request of 100,000 arguments that is never finished.
    let mut stream = raw(&target);
    let mut half = b"*1000000\r\n".to_vec();
    half.extend(
        b"$100\r\n"
            .iter()
            .chain(&[b'x'; 100])
            .chain(b"\r\n")
            .copied()
            .collect::<Vec<u8>>()
            .repeat(100_000),
    );
    stream.write_all(&half).expect("send");
    std::thread::sleep(Duration::from_millis(300));
    let used = field(&mut target, "used_memory") - used;
    let counted = field(&mut target, "mem_clients_normal") - counted;
    let share = counted as f64 / used as f64;
    assert!(
        (0.8..=1.2).contains(&share),
        "{counted} of {used} bytes are counted"
    );
}

/// S48, S50: `maxmemory-clients` ends those who use most.
#[test]
fn greedy_clients_are_evicted() {
    let mut target = Target::new(&["--maxmemory-clients", "8mb"]);
    let bulk = [b"$512\r\n".as_slice(), &[b'x'; 512], b"\r\n"].concat();
    let piece = bulk.repeat(2000);
    let mut open = Vec::new();
    for _ in 0..20 {
        let mut stream = raw(&target);
        stream.write_all(b"*1048576\r\n").expect("send");
        pour(&mut stream, &piece, 8);
        open.push(stream);
    }
    target.assert_well("endless requests");
    let begin = Instant::now();
    loop {
        let stats = target.server.connect().call(&["INFO", "stats"]).text();
        let evicted = stats
            .lines()
            .find_map(|l| l.strip_prefix("evicted_clients:"))
            .expect("the field");
        if evicted.parse::<u64>().expect("a number") > 0 {
            break;
        }
        assert!(
            begin.elapsed() < Duration::from_secs(10),
            "nobody was evicted"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    target.assert_well("evictions");
}

/// S51: a web browser that is made to talk to us.
#[test]
fn cross_protocol_requests_end_the_connection() {
    let mut target = Target::new(&[]);
    let attack = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nSET stolen 1\r\n";
    assert_eq!(answer(&target, attack), "");
    let attack = b"GET / HTTP/1.1\r\nhOsT: 127.0.0.1\r\n\r\nSET stolen 1\r\n";
    // The end may overtake the error of the first line.
    let got = answer(&target, attack);
    let error = "-ERR wrong number of arguments for 'get' command\r\n";
    assert!(got.is_empty() || got == error, "{got}");
    assert_eq!(target.say("EXISTS stolen"), Value::Int(0));
    let log = target.server.log();
    assert_eq!(
        log.matches("Possible SECURITY ATTACK detected").count(),
        2,
        "{log}"
    );
    assert!(log.contains("Connection from 127.0.0.1:"), "{log}");
    target.assert_well("POST");
}

/// S15 without scripts: text of the client in an error line injects nothing.
#[test]
fn errors_inject_nothing() {
    let mut target = Target::new(&[]);
    let poison = "x\r\n+OK\r\n$3\r\nabc\0y";
    let calls: &[&[&str]] = &[
        &[poison],
        &[poison, poison],
        &["GET", poison, poison],
        &["CLIENT", poison],
        &["CONFIG", "SET", poison, poison],
        &["CONFIG", "SET", "maxmemory", poison],
        &["CLIENT", "SETINFO", poison, poison],
        &["CLIENT", "SETNAME", poison],
        &["CLIENT", "KILL", poison],
        &["CLIENT", "KILL", "TYPE", poison],
        &["CLIENT", "KILL", "USER", poison],
        &["HELLO", "3", poison],
        &["HELLO", poison],
        &["AUTH", poison, poison],
        &["OBJECT", poison, poison],
        &["COMMAND", "GETKEYS", poison],
        &["COMMAND", "DOCS", poison],
        &["LATENCY", "GRAPH", poison],
        &["DEBUG", poison],
        &["SET", "a", "b", poison],
        &["ZADD", "z", poison, poison],
        &["GEOADD", "g", poison, "1", "m"],
        &["GEOADD", "g", "181", "1", poison],
        &["SORT", "l", poison],
        &["BITOP", poison, "a", "b"],
        &["INFO", poison],
        &["MEMORY", poison],
        &["LOLWUT", poison],
        &["SELECT", poison],
        &["SHUTDOWN", poison],
        &["EXPIRE", "k", poison, poison],
        &["CONFIG", "GET", poison],
        &["SLOWLOG", poison],
        &["BITFIELD", "k", poison],
        &["INCRBYFLOAT", "k", poison],
    ];
    for resp3 in [false, true] {
        let mut client = if resp3 {
            target.server.connect_resp3()
        } else {
            target.server.connect()
        };
        for call in calls {
            let reply = client.call(call);
            assert_eq!(
                shown(&client.call(&["ECHO", "next"])),
                "next",
                "{call:?}: {reply:?}"
            );
        }
    }
    target.assert_well("poison");
}

/// S20 and others: large values that hardly fit, one at a time.
#[test]
fn huge_replies_are_refused_or_shared() {
    let mut target = Target::new(&[]);
    target.client.call(&["SET", "a", &"xy".repeat(32 * 1024)]);
    target.client.call(&["SET", "b", &"yx".repeat(32 * 1024)]);
    target.settle();
    // S21: the table would take 16 GiB.
    target.attack("LCS a b IDX", &Want::Error("ERR Insufficient memory"));
    target.attack("LCS a b LEN", &Want::Error("ERR Insufficient memory"));
    // S27: a sparse HyperLogLog whose runs go past its registers, and other damage.
    for (offset, bytes) in [
        ("16", "\\xff\\xff\\xff\\xff"),
        ("16", "\\x7f\\xff\\x7f\\xff"),
        ("4", "\\x02"),
        ("15", "\\xff"),
        ("16", "\\x40"),
    ] {
        for command in [
            "PFCOUNT hll",
            "PFADD hll z",
            "PFMERGE hll2 hll",
            "PFMERGE hll other",
            "PFDEBUG GETREG hll",
            "PFDEBUG DECODE hll",
            "PFDEBUG TODENSE hll",
        ] {
            target.say("DEL hll other hll2");
            target.say("PFADD hll a b c");
            target.say("PFADD other d");
            target.say(&format!("SETRANGE hll {offset} \"{bytes}\""));
            target.attack(command, &Want::Any);
        }
    }
    // Cut short, sparse and dense.
    for length in 0..40 {
        target.say("DEL hll");
        target.say("PFADD hll a b c");
        let Value::Bulk(whole) = target.say("GET hll") else {
            panic!("a string")
        };
        target
            .client
            .call(&[b"SET".as_slice(), b"hll", &whole[..length.min(whole.len())]]);
        for command in ["PFCOUNT hll", "PFADD hll z", "PFMERGE hll2 hll"] {
            target.attack(command, &Want::Any);
        }
    }
}

/// S69: what writes files or loads code is off.
#[test]
fn files_and_code_are_out_of_reach() {
    let mut target = Target::new(&[]);
    let protected = "ERR CONFIG SET failed";
    for line in [
        "CONFIG SET dir /tmp",
        "CONFIG SET dbfilename evil.so",
        "CONFIG SET enable-protected-configs yes",
        "CONFIG SET enable-debug-command yes",
        "CONFIG SET enable-module-command yes",
    ] {
        target.attack(line, &Want::Error(protected));
    }
    target.attack(
        "DEBUG SEGFAULT",
        &Want::Error("ERR DEBUG command not allowed"),
    );
    target.attack(
        "DEBUG SLEEP 100",
        &Want::Error("ERR DEBUG command not allowed"),
    );
    target.attack("MODULE LOAD /tmp/evil.so", &Want::Error("ERR"));
}

/// S62, S63, S64: the keys that are told are the keys that are used.
#[test]
fn keys_told_are_keys_used() {
    let mut target = Target::new(&[]);
    let cases = [
        ("SORT l BY w_* GET o_* STORE a STORE b", "[l b]"),
        ("SORT_RO l BY w_* GET o_*", "[l]"),
        ("GEORADIUS g 1 1 1 m STORE a STOREDIST b", "[g b]"),
        ("MSETEX 2 allowed v forbidden v", "[allowed forbidden]"),
    ];
    for (call, keys) in cases {
        target.attack(&format!("COMMAND GETKEYS {call}"), &Want::Is(keys));
    }
    target.say("RPUSH l 1");
    target.say("SORT l STORE a STORE b");
    assert_eq!(shown(&target.say("KEYS *")).len(), "[l b]".len());
    assert_eq!(target.say("EXISTS a b"), Value::Int(1));
    target.say("GEOADD g 1 1 m");
    target.say("GEORADIUS g 1 1 1 m STORE c STOREDIST d");
    assert_eq!(target.say("EXISTS c d"), Value::Int(1));
    assert_eq!(target.say("EXISTS d"), Value::Int(1));
    target.attack(
        "COMMAND GETKEYS ZUNION 99999999 a",
        &Want::Error("ERR Invalid arguments specified for command"),
    );
}

/// A client that writes much and one that reads nothing leave the memory as it was when they go.
#[test]
fn memory_comes_back() {
    let mut target = Target::new(&[]);
    let value = "v".repeat(1 << 20);
    target.client.call(&["SET", "big", &value]);
    target.settle();
    for _ in 0..3 {
        let mut open: Vec<TcpStream> = (0..20).map(|_| raw(&target)).collect();
        for stream in &mut open {
            pour(stream, &b"GET big\r\n".repeat(100), 1);
            pour(stream, &encode(&["SET", "other", &value])[..1_000_000], 1);
        }
        drop(open);
        std::thread::sleep(Duration::from_millis(300));
        target.assert_well("greedy clients");
    }
    assert!(rss(&target.server) < 1 << 30);
}
