//! Clients that want too much.

use super::*;

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
