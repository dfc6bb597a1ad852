//! What clients send and what they get, in whatever pieces.

use super::*;

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
