//! What must hold on every connection, however the bytes come: each scenario starts a server of its own with the
//! given options. `tests/network.rs` runs them as they are, `tests/io_threads.rs` with I/O threads.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use crate::support::resp::encode;
use crate::support::{Client, Server, TempDir, Value};

const PATIENCE: Duration = Duration::from_secs(20);
const MIB: u64 = 1 << 20;

/// A connection as the system gives it.
fn raw(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.addr()).expect("connect");
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Everything that comes until the server closes.
fn read_all(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("{error} after {} bytes", bytes.len()),
    }
    bytes
}

fn read_exactly(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).expect("the reply");
    bytes
}

/// Sends, and expects exactly these bytes and then the end.
fn converse_until_closed(server: &Server, request: &[u8], reply: &[u8]) {
    let mut stream = raw(server);
    stream.write_all(request).unwrap();
    let got = read_all(&mut stream);
    assert_eq!(
        String::from_utf8_lossy(&got),
        String::from_utf8_lossy(reply),
        "to {:?}",
        String::from_utf8_lossy(&request[..request.len().min(200)])
    );
}

/// Resident memory of the server in bytes.
fn rss(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_ascii_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        * 1024
}

fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let start = Instant::now();
    while !check() {
        assert!(
            start.elapsed() < PATIENCE,
            "{what}: not within {PATIENCE:?}"
        );
        sleep(Duration::from_millis(10));
    }
}

fn info_field(client: &mut Client, name: &str) -> String {
    let text = client.call(&["INFO", "everything"]).text();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{name}:")));
    line.unwrap_or_else(|| panic!("INFO has {name}"))
        .to_string()
}

/// Alive, without a panic, and answering.
fn assert_well(server: &mut Server) {
    assert!(server.is_running(), "{}", server.log());
    let log = server.log();
    assert!(!log.contains("panic"), "{log}");
    assert_eq!(
        server.connect().call(&["PING"]),
        Value::Simple("PONG".into())
    );
}

/// The client shuts down its sending side at once: all replies still come, then the end.
pub fn half_closed(options: &[&str]) {
    let server = Server::with_options(options);
    for count in [1, 10, 3000] {
        let mut stream = raw(&server);
        let (mut request, mut expected) = (Vec::new(), Vec::new());
        for n in 0..count {
            let text = format!("value-{n}-{}", "x".repeat(n % 50));
            request.extend(encode(&["SET", "k", &text]));
            request.extend(encode(&["GET", "k"]));
            expected.extend(format!("+OK\r\n${}\r\n{text}\r\n", text.len()).into_bytes());
        }
        // Half a command at the end is no command.
        request.extend_from_slice(b"*1\r\n$4\r\nPI");
        stream.write_all(&request).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let got = read_all(&mut stream);
        assert!(
            got == expected,
            "{} of {} bytes came",
            got.len(),
            expected.len()
        );
    }
    // Nothing was sent at all.
    let mut stream = raw(&server);
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut stream), b"");
    let mut client = server.connect();
    eventually("only one client is left", || {
        client.call(&["CLIENT", "LIST"]).text().lines().count() == 1
    });
}

/// A client that is gone does not wait for the end of a pause, and its commands never run.
pub fn closed_while_paused(options: &[&str]) {
    let server = Server::with_options(options);
    let mut admin = server.connect();
    admin.call(&["CLIENT", "PAUSE", "60000", "WRITE"]);
    let mut stream = raw(&server);
    stream.write_all(&encode(&["SET", "k", "v"])).unwrap();
    eventually("the paused client is there", || {
        admin.call(&["CLIENT", "LIST"]).text().lines().count() == 2
    });
    sleep(Duration::from_millis(50));
    drop(stream);
    eventually("the paused client is gone", || {
        admin.call(&["CLIENT", "LIST"]).text().lines().count() == 1
    });
    admin.call(&["CLIENT", "UNPAUSE"]);
    assert_eq!(admin.call(&["EXISTS", "k"]), Value::Int(0));
}

/// QUIT ends the connection; what stands behind it in the pipeline does not run, errors included.
pub fn quit_in_a_pipeline(options: &[&str]) {
    let server = Server::with_options(options);
    converse_until_closed(
        &server,
        b"PING\r\nQUIT\r\nSET after quit\r\n",
        b"+PONG\r\n+OK\r\n",
    );
    converse_until_closed(&server, b"PING\r\nQUIT\r\n*x\r\n", b"+PONG\r\n+OK\r\n");
    assert_eq!(server.connect().call(&["EXISTS", "after"]), Value::Int(0));
}

/// What was right is answered before the error that ends the connection.
pub fn protocol_errors(options: &[&str]) {
    let mut server = Server::with_options(options);
    let cases: &[(&[u8], &str)] = &[
        (b"*1\r\n:1\r\n", "expected '$', got ':'"),
        (b"*2\r\n+x\r\n", "expected '$', got '+'"),
        (b"*2\r\n$-1\r\n", "invalid bulk length"),
        (b"*x\r\n", "invalid multibulk length"),
        (b"*3000000000\r\n", "invalid multibulk length"),
        (b"*1\r\n$99999999999\r\n", "invalid bulk length"),
        (b"*1\r\n$-99999999999999999999\r\n", "invalid bulk length"),
        (b"set k 'v\r\n", "unbalanced quotes in request"),
        (b"set k \"a\"b\r\n", "unbalanced quotes in request"),
    ];
    for (bad, text) in cases {
        let request = [
            b"PING\r\n*2\r\n$4\r\nECHO\r\n$2\r\nhi\r\n".as_slice(),
            bad,
            b"PING\r\n",
        ]
        .concat();
        let reply = format!("+PONG\r\n$2\r\nhi\r\n-ERR Protocol error: {text}\r\n");
        converse_until_closed(&server, &request, reply.as_bytes());
    }
    // 64 KiB without a line end, in pieces.
    for (begin, text) in [
        ("", "too big inline request"),
        ("*", "too big mbulk count string"),
        ("*1\r\n$", "too big bulk count string"),
    ] {
        let mut stream = raw(&server);
        stream.write_all(begin.as_bytes()).unwrap();
        for _ in 0..9 {
            // It may close before all has been sent.
            let _ = stream.write_all(&[b'1'; 8000]);
        }
        let got = String::from_utf8(read_all(&mut stream)).unwrap();
        // Unread input resets the connection, and the error may be lost with it.
        assert!(
            got.is_empty() || got == format!("-ERR Protocol error: {text}\r\n"),
            "{got}"
        );
    }
    assert_well(&mut server);
}

/// Replies that are switched off, in one pipeline.
pub fn replies_off_and_skip(options: &[&str]) {
    let server = Server::with_options(options);
    let lines = [
        "ECHO 1",
        "CLIENT REPLY SKIP",
        "ECHO 2",
        "ECHO 3",
        "CLIENT REPLY OFF",
        "ECHO 4",
        "NOSUCH",
        "GET",
        "CLIENT REPLY SKIP",
        "ECHO 5",
        "CLIENT REPLY ON",
        "ECHO 6",
        "CLIENT REPLY SKIP",
        "CLIENT REPLY ON",
        "ECHO 7",
        "QUIT",
    ];
    let request = lines.map(|line| format!("{line}\r\n")).concat();
    let reply = b"$1\r\n1\r\n$1\r\n3\r\n+OK\r\n$1\r\n6\r\n+OK\r\n$1\r\n7\r\n+OK\r\n";
    converse_until_closed(&server, request.as_bytes(), reply);
    // A large value is a reply like any other.
    let mut client = server.connect();
    let value = vec![b'v'; 100_000];
    client.call(&[b"SET".as_slice(), b"big", &value]);
    let mut stream = raw(&server);
    stream.write_all(b"PING\r\nCLIENT REPLY SKIP\r\nGET big\r\nPING\r\nCLIENT REPLY OFF\r\nGET big\r\nCLIENT REPLY ON\r\n").unwrap();
    assert_eq!(read_exactly(&mut stream, 19), b"+PONG\r\n+PONG\r\n+OK\r\n");
    // Nobody hears why the connection ends.
    converse_until_closed(&server, b"PING\r\nCLIENT REPLY OFF\r\n*x\r\n", b"+PONG\r\n");
}

/// Empty lines and empty arrays are nothing: they neither answer nor stay.
pub fn empty_requests(options: &[&str]) {
    let mut server = Server::with_options(options);
    let before = rss(&server);
    let mut stream = raw(&server);
    let nothing = b"\r\n*0\r\n*-1\r\n \r\n".repeat(10_000);
    for _ in 0..400 {
        stream.write_all(&nothing).unwrap();
    }
    stream.write_all(b"PING\r\n").unwrap();
    assert_eq!(read_exactly(&mut stream, 7), b"+PONG\r\n");
    let grown = rss(&server).saturating_sub(before);
    assert!(grown < 16 * MIB, "{} MiB", grown / MIB);
    assert_well(&mut server);
}

/// One byte at a time, both forms of requests.
pub fn byte_by_byte(options: &[&str]) {
    let server = Server::with_options(options);
    let mut stream = raw(&server);
    let mut request =
        b"\r\nSET inline \"a \\x41\\n\"\r\nGET inline\n*0\r\nECHO 'it\\'s'\r\n".to_vec();
    request.extend(encode(&["SET", "k", "two\r\nlines"]));
    request.extend(encode(&["GET", "k"]));
    request.extend(encode(&["ECHO", ""]));
    for byte in request {
        stream.write_all(&[byte]).unwrap();
    }
    let expected = b"+OK\r\n$4\r\na A\n\r\n$4\r\nit's\r\n+OK\r\n$10\r\ntwo\r\nlines\r\n$0\r\n\r\n";
    let got = read_exactly(&mut stream, expected.len());
    assert_eq!(
        String::from_utf8_lossy(&got),
        String::from_utf8_lossy(expected)
    );
}

/// A command sent with the connection itself is never lost.
pub fn first_command_comes_with_the_connection(options: &[&str]) {
    let server = Server::with_options(options);
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let addr = server.addr();
            thread::spawn(move || {
                for _ in 0..200 {
                    let mut stream = TcpStream::connect(addr).unwrap();
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    stream.write_all(b"PING\r\n").unwrap();
                    assert_eq!(read_exactly(&mut stream, 7), b"+PONG\r\n");
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().unwrap());
}

/// A million commands in one stream: all answered, in order, without much memory.
pub fn a_million_tiny_commands(options: &[&str]) {
    let mut server = Server::with_options(options);
    let before = rss(&server);
    let stream = raw(&server);
    let mut reader = stream.try_clone().unwrap();
    let writer = thread::spawn(move || {
        let mut stream = stream;
        let many = b"PING\n".repeat(100_000);
        for _ in 0..10 {
            stream.write_all(&many).unwrap();
        }
        stream
    });
    let mut buffer = vec![0; 7 * 100_000];
    let expected = b"+PONG\r\n".repeat(100_000);
    let mut highest = 0;
    for _ in 0..10 {
        reader.read_exact(&mut buffer).unwrap();
        assert!(buffer == expected);
        highest = highest.max(rss(&server));
    }
    drop(writer.join().unwrap());
    let grown = highest.saturating_sub(before);
    assert!(grown < 64 * MIB, "{} MiB", grown / MIB);
    assert_well(&mut server);
}

/// A client that waits for the end of a pause and goes on sending is read only so far.
pub fn paused_client_keeps_sending(options: &[&str]) {
    let server = Server::with_options(options);
    let mut admin = server.connect();
    let before = rss(&server);
    admin.call(&["CLIENT", "PAUSE", "600000", "WRITE"]);
    let stream = raw(&server);
    let mut reader = stream.try_clone().unwrap();
    let sent = std::sync::Arc::new(AtomicUsize::new(0));
    let count = 400_000;
    let (progress, mut writer) = (sent.clone(), stream);
    let writing = thread::spawn(move || {
        for chunk in 0..count / 1000 {
            let request: Vec<u8> = (0..1000)
                .flat_map(|n| encode(&["INCRBY", "n", &(chunk * 1000 + n).to_string()]))
                .collect();
            writer.write_all(&request).unwrap();
            progress.fetch_add(1, Ordering::Relaxed);
        }
    });
    // Until the sender is stuck.
    let mut last = usize::MAX;
    eventually("the sender has to wait", || {
        let now = sent.load(Ordering::Relaxed);
        let stuck = now == last;
        last = now;
        sleep(Duration::from_millis(200));
        stuck
    });
    assert_eq!(admin.call(&["PING"]), Value::Simple("PONG".into()));
    let grown = rss(&server).saturating_sub(before);
    assert!(grown < 32 * MIB, "{} MiB", grown / MIB);
    admin.call(&["CLIENT", "UNPAUSE"]);
    let mut expected = Vec::new();
    let mut sum = 0u64;
    for n in 0..count {
        sum += n;
        expected.extend(format!(":{sum}\r\n").into_bytes());
    }
    let mut got = vec![0; expected.len()];
    reader.read_exact(&mut got).expect("all replies");
    assert!(got == expected, "replies in order");
    writing.join().unwrap();
}

/// Strangers who send and never read cost nothing.
pub fn unauthenticated_flood(options: &[&str]) {
    let mut server = Server::with_options(&[options, &["--requirepass", "secret"]].concat());
    let before = rss(&server);
    let many = b"GET k\r\n".repeat(20_000);
    let mut strangers = Vec::new();
    for _ in 0..100 {
        let mut stream = raw(&server);
        stream.set_nonblocking(true).unwrap();
        let mut sent = 0;
        while sent < 20 * many.len() {
            match stream.write(&many) {
                Ok(n) => sent += n,
                Err(_) => break,
            }
        }
        strangers.push(stream);
    }
    sleep(Duration::from_millis(500));
    let mut client = server.connect();
    assert_eq!(client.call(&["AUTH", "secret"]), Value::Simple("OK".into()));
    // Each may have what the kernel took and one read-ahead.
    let grown = rss(&server).saturating_sub(before);
    assert!(grown < 150 * MIB, "{} MiB", grown / MIB);
    let waiting: u64 = client
        .call(&["CLIENT", "LIST"])
        .text()
        .lines()
        .filter_map(|line| {
            line.split(' ')
                .find_map(|word| word.strip_prefix("omem="))
                .map(|n| n.parse::<u64>().unwrap())
        })
        .sum();
    assert!(waiting < 32 * MIB, "{waiting} bytes of output wait");
    // They still get their answers if they do read.
    let mut one = strangers.pop().unwrap();
    one.set_nonblocking(false).unwrap();
    let noauth = b"-NOAUTH Authentication required.\r\n";
    let got = read_exactly(&mut one, noauth.len() * 10_000);
    assert!(got == noauth.repeat(10_000));
    drop(strangers);
    assert!(server.is_running() && !server.log().contains("panic"));
}

/// Before login only small requests are read.
pub fn limits_before_login(options: &[&str]) {
    let server = Server::with_options(&[options, &["--requirepass", "secret"]].concat());
    converse_until_closed(
        &server,
        b"*100\r\n",
        b"-ERR Protocol error: unauthenticated multibulk length\r\n",
    );
    converse_until_closed(
        &server,
        b"*1\r\n$100000000\r\n",
        b"-ERR Protocol error: unauthenticated bulk length\r\n",
    );
    // The limits go with the login, in one pipeline too.
    let big = "x".repeat(100_000);
    let mut stream = raw(&server);
    stream
        .write_all(
            &[
                encode(&["AUTH", "secret"]),
                encode(&["SET", "k", &big]),
                encode(&["STRLEN", "k"]),
            ]
            .concat(),
        )
        .unwrap();
    assert_eq!(read_exactly(&mut stream, 19), b"+OK\r\n+OK\r\n:100000\r\n");
    // And come back with RESET.
    stream.write_all(b"RESET\r\n").unwrap();
    assert_eq!(read_exactly(&mut stream, 8), b"+RESET\r\n");
    stream.write_all(b"*100\r\n").unwrap();
    assert_eq!(
        read_all(&mut stream),
        b"-ERR Protocol error: unauthenticated multibulk length\r\n"
    );
}

/// A large value in slow pieces, and promises that nobody keeps.
pub fn large_values(options: &[&str]) {
    let mut server = Server::with_options(options);
    let len = 48 << 20;
    let piece: Vec<u8> = (0..1 << 20).map(|n: u32| (n % 251) as u8).collect();
    let mut stream = raw(&server);
    stream
        .write_all(format!("*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n${len}\r\n").as_bytes())
        .unwrap();
    for n in 0..48 {
        stream.write_all(&piece).unwrap();
        if n % 8 == 0 {
            assert_eq!(
                server.connect().call(&["PING"]),
                Value::Simple("PONG".into())
            );
        }
    }
    stream
        .write_all(b"\r\n*2\r\n$6\r\nSTRLEN\r\n$3\r\nbig\r\n")
        .unwrap();
    assert_eq!(
        read_exactly(&mut stream, 16),
        format!("+OK\r\n:{len}\r\n").as_bytes()
    );
    stream.write_all(b"GET big\r\nPING\r\n").unwrap();
    let head = format!("${len}\r\n");
    assert_eq!(read_exactly(&mut stream, head.len()), head.as_bytes());
    for _ in 0..48 {
        assert!(read_exactly(&mut stream, 1 << 20) == piece);
    }
    assert_eq!(read_exactly(&mut stream, 9), b"\r\n+PONG\r\n");
    // A length alone reserves nothing that would count against maxmemory.
    let mut client = server.connect();
    client.call(&["DEL", "big"]);
    let before: u64 = info_field(&mut client, "used_memory").parse().unwrap();
    let promises: Vec<TcpStream> = (0..50)
        .map(|_| {
            let mut stream = raw(&server);
            stream
                .write_all(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\nabc")
                .unwrap();
            stream
        })
        .collect();
    sleep(Duration::from_millis(200));
    let after: u64 = info_field(&mut client, "used_memory").parse().unwrap();
    assert!(after < before + 64 * MIB, "{} MiB", (after - before) / MIB);
    drop(promises);
    // The limit of one argument.
    client.call(&["CONFIG", "SET", "proto-max-bulk-len", "1mb"]);
    converse_until_closed(
        &server,
        b"*2\r\n$4\r\nECHO\r\n$1048577\r\n",
        b"-ERR Protocol error: invalid bulk length\r\n",
    );
    let text = "y".repeat(1 << 20);
    assert_eq!(client.call(&["ECHO", &text]).text(), text);
    assert_well(&mut server);
}

/// `client-query-buffer-limit`: a request that never ends does.
pub fn endless_requests(options: &[&str]) {
    let mut server =
        Server::with_options(&[options, &["--client-query-buffer-limit", "1mb"]].concat());
    let before = rss(&server);
    let mut open = Vec::new();
    for _ in 0..20 {
        let mut stream = raw(&server);
        let mut request = b"*1048576\r\n".to_vec();
        let bulk = [b"$512\r\n".as_slice(), &[b'x'; 512], b"\r\n"].concat();
        request.extend(bulk.repeat(5000));
        let _ = stream.write_all(&request);
        let mut byte = [0];
        assert!(
            matches!(stream.read(&mut byte), Ok(0) | Err(_)),
            "the connection ends"
        );
        open.push(stream);
    }
    let grown = rss(&server).saturating_sub(before);
    assert!(grown < 64 * MIB, "{} MiB", grown / MIB);
    assert!(server.log().contains("max query buffer length"));
    assert_well(&mut server);
}

/// One client with an endless pipeline does not hold up the others.
pub fn fairness(options: &[&str]) {
    let mut server = Server::with_options(options);
    let mut client = server.connect();
    for n in 0..500 {
        client.call(&["RPUSH", "list", &n.to_string()]);
    }
    let stop = std::sync::Arc::new(AtomicBool::new(false));
    let mut threads = Vec::new();
    for _ in 0..2 {
        let stream = raw(&server);
        let (mut reader, mut writer) = (stream.try_clone().unwrap(), stream);
        let ended = stop.clone();
        threads.push(thread::spawn(move || {
            let many = b"LRANGE list 0 -1\r\n".repeat(2000);
            while !ended.load(Ordering::Relaxed) && writer.write_all(&many).is_ok() {}
            let _ = writer.shutdown(Shutdown::Both);
        }));
        threads.push(thread::spawn(move || {
            let mut buffer = vec![0; 1 << 20];
            while reader.read(&mut buffer).is_ok_and(|n| n > 0) {}
        }));
    }
    sleep(Duration::from_millis(200));
    let mut times: Vec<Duration> = (0..100)
        .map(|_| {
            let start = Instant::now();
            assert_eq!(client.call(&["PING"]), Value::Simple("PONG".into()));
            start.elapsed()
        })
        .collect();
    stop.store(true, Ordering::Relaxed);
    times.sort();
    // The slices are of 2 ms; the rest is for slow machines with other work.
    assert!(
        times[50] < Duration::from_millis(50),
        "median {:?}",
        times[50]
    );
    assert!(
        times[99] < Duration::from_secs(1),
        "slowest {:?}",
        times[99]
    );
    threads.into_iter().for_each(|t| t.join().unwrap());
    assert_well(&mut server);
}

/// A reader of one huge reply does not hold up the others either, nor does one who stops reading.
pub fn slow_and_fast_readers(options: &[&str]) {
    let mut server = Server::with_options(options);
    let mut client = server.connect();
    let value = vec![b'v'; 32 << 20];
    client.call(&[b"SET".as_slice(), b"big", &value]);
    let before = rss(&server);
    let mut lazy = raw(&server);
    lazy.write_all(&b"GET big\r\n".repeat(50)).unwrap();
    let mut eager = raw(&server);
    eager.write_all(&b"GET big\r\n".repeat(4)).unwrap();
    let reading = thread::spawn(move || {
        let mut buffer = vec![0; 4 << 20];
        let mut left = 4 * (11 + (32 << 20) + 2);
        while left > 0 {
            left -= eager.read(&mut buffer).unwrap();
        }
    });
    let mut slowest = Duration::ZERO;
    while !reading.is_finished() {
        let start = Instant::now();
        client.call(&["PING"]);
        slowest = slowest.max(start.elapsed());
    }
    reading.join().unwrap();
    assert!(slowest < Duration::from_millis(500), "{slowest:?}");
    // 50 replies wait and share one value.
    let grown = rss(&server).saturating_sub(before);
    assert!(grown < 64 * MIB, "{} MiB", grown / MIB);
    client.call(&[
        "CONFIG",
        "SET",
        "client-output-buffer-limit",
        "normal 100mb 0 0",
    ]);
    eventually("the lazy reader is cut off", || {
        client.call(&["CLIENT", "LIST"]).text().lines().count() == 1
    });
    assert_well(&mut server);
}

/// A client whose first command is served while it goes is not left waiting in its second one.
pub fn nobody_waits_whose_peer_has_gone(options: &[&str]) {
    let mut server = Server::with_options(options);
    let mut pusher = server.connect();
    for round in 0..300u64 {
        let mut stream = raw(&server);
        stream
            .write_all(b"BRPOPLPUSH a b 0\r\nBRPOPLPUSH a b 0\r\n")
            .unwrap();
        eventually("it waits", || {
            info_field(&mut pusher, "blocked_clients") == "1"
        });
        pusher.send(&["LPUSH", "a", "x"]).expect("send");
        sleep(Duration::from_micros(round % 30 * 10));
        drop(stream);
        pusher.read().expect("the length");
        eventually("it has gone", || {
            info_field(&mut pusher, "blocked_clients") == "0"
        });
        pusher.call(&["DEL", "a", "b"]);
    }
    assert_well(&mut server);
}

/// Connections that are reset at once.
pub fn storm_of_resets(options: &[&str]) {
    let mut server = Server::with_options(options);
    let storm: Vec<_> = (0..4)
        .map(|_| {
            let addr = server.addr();
            thread::spawn(move || {
                for n in 0..500 {
                    let Ok(mut stream) = TcpStream::connect(addr) else {
                        continue;
                    };
                    // Unread replies make the kernel send a reset.
                    if n % 2 == 0 {
                        let _ = stream.write_all(&b"PING\r\n".repeat(100));
                    }
                    let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
                }
            })
        })
        .collect();
    let mut times = Vec::new();
    while storm.iter().any(|t| !t.is_finished()) {
        let start = Instant::now();
        assert_eq!(
            server.connect().call(&["PING"]),
            Value::Simple("PONG".into())
        );
        times.push(start.elapsed());
    }
    storm.into_iter().for_each(|t| t.join().unwrap());
    // On a busy machine the kernel loses SYNs, which costs a second or, again, two and four.
    let slowest = times.into_iter().max();
    assert!(slowest < Some(Duration::from_secs(10)), "{slowest:?}");
    let mut client = server.connect();
    eventually("all are gone", || {
        client.call(&["CLIENT", "LIST"]).text().lines().count() == 1
    });
    assert_eq!(info_field(&mut client, "connected_clients"), "1");
    assert_well(&mut server);
}

/// `maxclients` holds when all come at once, and places come back.
pub fn maxclients(options: &[&str]) {
    let mut server = Server::with_options(&[options, &["--maxclients", "10"]].concat());
    eventually("the starter's connection is gone", || {
        let mut client = server.connect();
        client.send(&["CLIENT", "LIST"]).is_ok()
            && client
                .read()
                .is_ok_and(|list| list.text().lines().count() == 1)
    });
    for _ in 0..3 {
        eventually("places are free", || {
            let mut client = server.connect();
            client.send(&["INFO", "clients"]).is_ok()
                && client
                    .read()
                    .is_ok_and(|text| text.text().contains("connected_clients:1\r"))
        });
        let addr = server.addr();
        let tries: Vec<_> = (0..40)
            .map(|_| {
                thread::spawn(move || {
                    let mut stream = TcpStream::connect(addr).unwrap();
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    let _ = stream.write_all(b"PING\r\n");
                    let mut reply = [0; 5];
                    let entered = stream.read_exact(&mut reply).is_ok() && &reply == b"+PONG";
                    (stream, entered)
                })
            })
            .collect();
        let all: Vec<_> = tries.into_iter().map(|t| t.join().unwrap()).collect();
        let entered = all.iter().filter(|(_, entered)| *entered).count();
        assert!((9..=10).contains(&entered), "{entered} entered");
    }
    eventually("a place is free", || {
        let mut client = server.connect();
        client.send(&["PING"]).is_ok()
            && client
                .read()
                .is_ok_and(|reply| reply == Value::Simple("PONG".into()))
    });
    assert!(server.is_running() && !server.log().contains("panic"));
}

/// Out of file descriptors: those who are in are served, the others come in later.
pub fn no_file_descriptors(options: &[&str]) {
    let mut server = Server::with_options(options);
    let mut client = server.connect();
    let open = std::fs::read_dir(format!("/proc/{}/fd", server.pid()))
        .unwrap()
        .count();
    let limit = format!("--nofile={0}:{0}", open + 5);
    let set = std::process::Command::new("prlimit")
        .args(["--pid", &server.pid().to_string(), &limit])
        .status();
    if !set.is_ok_and(|status| status.success()) {
        eprintln!("skipped: prlimit does not work here");
        return;
    }
    let crowd: Vec<TcpStream> = (0..40).map(|_| raw(&server)).collect();
    sleep(Duration::from_millis(300));
    for _ in 0..20 {
        let start = Instant::now();
        assert_eq!(client.call(&["PING"]), Value::Simple("PONG".into()));
        assert!(start.elapsed() < Duration::from_millis(500));
    }
    assert!(
        server
            .log()
            .contains("Accepting client connection: Too many open files"),
        "{}",
        server.log()
    );
    let complaints = server.log().matches("Too many open files").count();
    assert!(complaints < 50, "{complaints} lines in the log");
    drop(crowd);
    assert_well(&mut server);
}

/// The unix socket: its mode, its name in CLIENT LIST, and its end.
pub fn unix_socket(options: &[&str]) {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixStream;
    let dir = TempDir::new();
    let path = dir.path().join("ferrite.sock");
    let name = path.display().to_string();
    let mut server = Server::with_options(
        &[options, &["--unixsocket", &name, "--unixsocketperm", "700"]].concat(),
    );
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"PING\r\nCLIENT LIST\r\n").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("+PONG\r\n$"), "{text}");
    assert!(
        text.contains(&format!("addr={name}:0 laddr={name}:0 ")) && text.contains(" flags=U "),
        "{text}"
    );
    server.connect().send(&["SHUTDOWN", "NOSAVE"]).unwrap();
    assert_eq!(server.wait_for_exit(PATIENCE), Some(0));
    assert!(!path.exists());
}

/// IPv6, where the machine has it.
pub fn ipv6(options: &[&str]) {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        eprintln!("skipped: no IPv6 here");
        return;
    }
    let server = Server::with_options(&[options, &["--bind", "127.0.0.1", "::1"]].concat());
    let mut stream = TcpStream::connect(("::1", server.port())).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"CLIENT INFO\r\nQUIT\r\n").unwrap();
    let text = String::from_utf8(read_all(&mut stream)).unwrap();
    assert!(text.contains(" addr=[::1]:"), "{text}");
    assert!(
        text.contains(&format!(" laddr=[::1]:{} ", server.port())),
        "{text}"
    );
}

/// Many clients with deep pipelines: every reply is the right one, in its place.
pub fn deep_pipelines(options: &[&str]) {
    let mut server = Server::with_options(options);
    let threads: Vec<_> = (0..50)
        .map(|who| {
            let addr = server.addr();
            thread::spawn(move || {
                let mut stream = TcpStream::connect(addr).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                for round in 0..5 {
                    let (mut request, mut expected) = (Vec::new(), Vec::new());
                    for n in 0..400 {
                        let key = format!("k{who}");
                        let value = format!("{who}-{round}-{n}-{}", "z".repeat((n * 37) % 300));
                        request.extend(encode(&["SET", &key, &value]));
                        request.extend(encode(&["GET", &key]));
                        request.extend(encode(&["NOSUCH"]));
                        expected
                            .extend(format!("+OK\r\n${}\r\n{value}\r\n", value.len()).into_bytes());
                        expected.extend_from_slice(
                            b"-ERR unknown command 'NOSUCH', with args beginning with: \r\n",
                        );
                    }
                    let mut sender = stream.try_clone().unwrap();
                    let sending = thread::spawn(move || sender.write_all(&request).unwrap());
                    let mut got = vec![0; expected.len()];
                    stream.read_exact(&mut got).unwrap();
                    sending.join().unwrap();
                    assert!(got == expected, "client {who}, round {round}");
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().unwrap());
    assert_well(&mut server);
}

/// A client that is killed while its pipeline runs gets no more, and nobody else suffers.
pub fn killed_in_a_pipeline(options: &[&str]) {
    let mut server = Server::with_options(options);
    let mut admin = server.connect();
    for _ in 0..20 {
        let mut victim = raw(&server);
        victim.write_all(b"CLIENT ID\r\n").unwrap();
        let mut reply = [0; 64];
        let n = victim.read(&mut reply).unwrap();
        let id = String::from_utf8_lossy(&reply[1..n - 2]).into_owned();
        let mut sender = victim.try_clone().unwrap();
        let sending = thread::spawn(move || {
            let _ = sender.write_all(&b"SET a b\r\n".repeat(50_000));
        });
        sleep(Duration::from_millis(2));
        assert_eq!(admin.call(&["CLIENT", "KILL", "ID", &id]), Value::Int(1));
        let rest = read_all(&mut victim);
        let expected = b"+OK\r\n".repeat(rest.len() / 5 + 1);
        assert!(expected.starts_with(&rest));
        sending.join().unwrap();
    }
    assert_well(&mut server);
}

/// Who has sent SHUTDOWN sees the end of the connection when the files are complete, and may copy them then. What came
/// behind it was not executed.
pub fn ends_with_the_process(options: &[&str]) {
    let more = [options, &["--appendonly", "yes"]].concat();
    let mut server = Server::with_options(&more);
    let mut client = server.connect();
    eventually("the file is loaded", || {
        client.call(&["PING"]).text() == "PONG"
    });
    let mut stream = raw(&server);
    let words = [&["SET", "k", "1"][..], &["SHUTDOWN"], &["INCR", "k"]];
    let request: Vec<u8> = words.into_iter().flat_map(encode).collect();
    stream.write_all(&request).unwrap();
    assert_eq!(read_all(&mut stream), b"+OK\r\n");
    let log = server.log();
    assert!(log.contains("Redis is now ready to exit"), "{log}");
    assert_eq!(server.wait_for_exit(Duration::from_secs(10)), Some(0));
    let folder = server.dir().join("appendonlydir");
    let file = std::fs::read(folder.join("appendonly.aof.1.incr.aof")).unwrap();
    let text = String::from_utf8_lossy(&file);
    assert!(text.contains("SET") && !text.contains("INCR"), "{text}");
}

/// A client that says nothing for some seconds costs little, whatever it had to say before, and then goes on.
pub fn idle_clients_give_up_their_buffers(options: &[&str]) {
    let server = Server::with_options(options);
    let mut admin = server.connect();
    let mut used = || -> u64 { info_field(&mut admin, "used_memory").parse().unwrap() };
    let begin = used();
    let mut clients: Vec<Client> = (0..300).map(|_| server.connect()).collect();
    let value = "x".repeat(20_000);
    for client in &mut clients {
        client.call(&["SET", "k", &value]);
        client.pipeline(&vec![vec!["GET", "k"]; 3]);
        // Half a command waits for its end.
        client.send_raw(b"*2\r\n$4\r\nECHO\r\n$5\r\nhe").unwrap();
    }
    assert!(
        used() > begin + 300 * 16_000,
        "there is something to give up"
    );
    eventually("they are small", || used() < begin + 300 * 5000);
    for client in &mut clients {
        client.send_raw(b"llo\r\n").unwrap();
        assert_eq!(client.read().unwrap().text(), "hello");
        assert_eq!(client.call(&["GET", "k"]).text(), value);
    }
}
