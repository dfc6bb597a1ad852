//! Connections that end, orderly or not.

use super::*;

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
