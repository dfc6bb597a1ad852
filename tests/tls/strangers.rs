//! Those who have no business here, or do not speak as they should.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::certs::{Open, directives, file, say, server, text};
use crate::support::replicas::until;
use crate::support::{binary, free_port};

#[test]
fn certificates_of_clients() {
    let (server, port) = server(&[]);
    let mut admin = server.connect();
    for (auth, nobody, stranger) in [
        ("yes", false, false),
        ("no", true, true),
        ("optional", true, false),
    ] {
        assert_eq!(
            admin
                .call(&["CONFIG", "SET", "tls-auth-clients", auth])
                .text(),
            "OK"
        );
        for (who, wanted) in [
            ("alice", true),
            ("bob", true),
            ("", nobody),
            ("stranger", stranger),
        ] {
            let said = say(port, who, &["PING"]);
            assert_eq!(said == "PONG", wanted, "{auth} {who}: {said}");
        }
    }
    let log = server.log();
    assert!(
        log.contains(
            "Error accepting a client connection: peer sent no certificates (addr=127.0.0.1:"
        ),
        "{log}"
    );
    assert!(log.contains("UnknownIssuer"), "{log}");
}

#[test]
fn a_certificate_may_name_the_user() {
    let (server, port) = server(&["--tls-auth-clients-user", "CN", "--requirepass", "secret"]);
    let mut admin = server.connect();
    admin.line("AUTH secret");
    admin.line("ACL SETUSER alice on nopass +@all ~*");
    admin.line("ACL SETUSER bob off nopass +@all ~*");
    assert_eq!(say(port, "alice", &["ACL", "WHOAMI"]), "alice");
    assert!(say(port, "bob", &["ACL", "WHOAMI"]).starts_with("NOAUTH"));
    admin.line("CONFIG SET tls-auth-clients-user URI");
    admin.line("ACL SETUSER urn:ferrite on nopass +@all ~*");
    assert_eq!(say(port, "bob", &["ACL", "WHOAMI"]), "urn:ferrite");
    assert!(say(port, "alice", &["ACL", "WHOAMI"]).starts_with("NOAUTH"));
    admin.line("CONFIG SET tls-auth-clients-user off");
    assert!(say(port, "bob", &["ACL", "WHOAMI"]).starts_with("NOAUTH"));
}

/// Sends bytes and reads until the end; no byte may come back if `silent`.
fn speak(port: u16, bytes: &[u8], silent: bool) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(15)))
        .unwrap();
    let _ = stream.write_all(bytes);
    let mut back = Vec::new();
    if let Err(error) = stream.read_to_end(&mut back) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
    assert!(back.is_empty() || !silent, "{back:?}");
}

#[test]
fn what_is_no_tls_is_turned_away() {
    let (mut server, port) = server(&[]);
    speak(port, b"PING\r\n", true);
    speak(port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", true);
    speak(port, &[0; 5000], true);
    // Records that claim to be a handshake.
    for body in [
        vec![22, 3, 1, 0xff, 0xff],
        vec![22; 40_000],
        [&[22, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff][..], &[9; 9]].concat(),
    ] {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let _ = stream.write_all(&body);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    }
    // A stranger who shakes hands and then writes rubbish.
    let mut openssl = Command::new("openssl")
        .args([
            "s_client",
            "-connect",
            &format!("127.0.0.1:{port}"),
            "-quiet",
            "-cert",
            &file("bob.crt"),
            "-key",
            &file("bob.key"),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    openssl
        .stdin
        .take()
        .unwrap()
        .write_all(b"*1\r\n$-5\r\nPING\r\n")
        .unwrap();
    assert!(text(openssl.wait_with_output().unwrap()).contains("-ERR Protocol error"));
    assert_eq!(say(port, "bob", &["PING"]), "PONG");
    assert!(server.is_running());
    let log = server.log();
    assert!(
        log.matches("Error accepting a client connection: wrong version number")
            .count()
            >= 3,
        "{log}"
    );
}

#[test]
fn a_handshake_that_stops_holds_up_nobody() {
    let (server, port) = server(&["--maxclients", "30"]);
    let begin = Instant::now();
    let mut halves: Vec<TcpStream> = (0..20)
        .map(|n| {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            if n % 2 == 0 {
                stream.write_all(&[22, 3, 1, 2, 0, 1, 0]).unwrap();
            }
            stream
        })
        .collect();
    assert_eq!(say(port, "bob", &["PING"]), "PONG");
    assert_eq!(server.connect().line("PING").text(), "PONG");
    // They end by themselves.
    for stream in &mut halves {
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    }
    let passed = begin.elapsed();
    assert!((9..15).contains(&passed.as_secs()), "{passed:?}");
    assert!(server.log().contains("the handshake took too long"));
}

/// Row S49 of the list of hostile inputs: a client is killed while records of its wait to be decrypted. (S66, a name with a
/// zero byte, is beside the code that reads certificates.)
#[test]
fn clients_are_killed_in_the_middle_of_what_they_send() {
    let (mut server, port) = server(&["--io-threads", "4"]);
    let mut admin = server.connect();
    for round in 0..20 {
        let mut victims: Vec<Open> = (0..4).map(|_| Open::new(port, "bob")).collect();
        let flood = "PING\r\n".repeat(20_000);
        let senders: Vec<_> = victims
            .drain(..)
            .map(|mut victim| {
                let flood = flood.clone();
                std::thread::spawn(move || while victim.send(&flood) {})
            })
            .collect();
        std::thread::sleep(Duration::from_millis(round % 7));
        let kill = vec!["CLIENT", "KILL", "LADDR"];
        let laddr = format!("127.0.0.1:{port}");
        let mut words = kill.clone();
        words.push(&laddr);
        let commands = vec![words; 10];
        let killed: i64 = admin.pipeline(&commands).iter().map(|v| v.int()).sum();
        // Those that were on their way to their place are killed when they are there.
        let mut all = killed;
        until("all are gone", || {
            all += admin.call(&commands[0]).int();
            all >= 4
        });
        senders.into_iter().for_each(|s| s.join().unwrap());
    }
    assert_eq!(say(port, "bob", &["PING"]), "PONG");
    assert!(server.is_running());
}

/// The records that wait for a peer count towards no limit, as the library's own memory in Redis.
#[test]
fn the_sessions_buffers_are_counted_apart() {
    let (server, port) = server(&[]);
    let mut admin = server.connect();
    let mut memory = |name: &str| {
        let info = admin.line("INFO memory").text();
        let field = info.lines().find_map(|line| line.strip_prefix(name));
        field.expect(name).parse::<u64>().expect("a number")
    };
    let before = memory("mem_tls_sessions:");
    server.connect().line("SETRANGE k 1000000 x");
    let mut deaf = Open::new(port, "bob");
    assert!(deaf.send(&"GET k\r\n".repeat(30)));
    until("a record waits", || memory("mem_tls_sessions:") > 16 << 10);
    let all = memory("used_memory:");
    let beside = memory("mem_clients_normal:") + memory("used_memory_startup:");
    // The key, and little else.
    assert!(all < beside + (2 << 20), "{all} {beside}");
    drop(deaf);
    until("it is given back", || memory("mem_tls_sessions:") == before);
}

#[test]
fn there_are_no_more_clients_than_maxclients() {
    let (server, port) = server(&["--maxclients", "5"]);
    let mut open: Vec<Open> = (0..4).map(|_| Open::new(port, "bob")).collect();
    assert_eq!(open[3].line("PING"), "+PONG");
    let fifth = server.connect();
    assert_ne!(say(port, "bob", &["PING"]), "PONG");
    drop((open.pop(), fifth));
    until("there is room again", || {
        say(port, "bob", &["PING"]) == "PONG"
    });
}

fn s_client(port: u16, more: &[&str]) -> String {
    let output = Command::new("openssl")
        .args([
            "s_client",
            "-connect",
            &format!("127.0.0.1:{port}"),
            "-cert",
            &file("bob.crt"),
            "-key",
            &file("bob.key"),
        ])
        .args(["-CAfile", &file("ca.crt")])
        .args(more)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    text(output)
}

#[test]
fn protocols_and_ciphers() {
    let (server, port) = server(&[]);
    let mut admin = server.connect();
    let mut set = |name: &str, value: &str| admin.call(&["CONFIG", "SET", name, value]).text();
    for (protocols, old, new) in [
        ("", true, true),
        ("TLSv1.2", true, false),
        ("TLSv1.3", false, true),
        ("TLSv1.1 tlsv1.2 TLSv1.3", true, true),
    ] {
        assert_eq!(set("tls-protocols", protocols), "OK");
        assert_eq!(
            s_client(port, &["-tls1_2"]).contains("Cipher is ECDHE-"),
            old,
            "{protocols}"
        );
        assert_eq!(
            s_client(port, &["-tls1_3"]).contains("Cipher is TLS_"),
            new,
            "{protocols}"
        );
    }
    assert!(set("tls-protocols", "SSLv3").contains("Unable to update TLS"));
    assert!(set("tls-protocols", "TLSv1.1").contains("Unable to update TLS"));
    // Clients prefer what they like, unless the server's order counts.
    let (small, large) = (
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
    );
    let both = format!("{small}:{large}");
    let wish = format!("{large}:{small}");
    assert_eq!(set("tls-ciphers", &both), "OK");
    assert!(s_client(port, &["-tls1_2", "-cipher", &wish]).contains(&format!("Cipher is {large}")));
    assert_eq!(set("tls-prefer-server-ciphers", "yes"), "OK");
    assert!(s_client(port, &["-tls1_2", "-cipher", &wish]).contains(&format!("Cipher is {small}")));
    assert_eq!(set("tls-ciphers", &format!("DEFAULT:-{small}")), "OK");
    assert!(
        !s_client(port, &["-tls1_2", "-cipher", small]).contains(&format!("Cipher is {small}"))
    );
    assert_eq!(
        set("tls-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"),
        "OK"
    );
    assert!(s_client(port, &["-tls1_3"]).contains("Cipher is TLS_CHACHA20_POLY1305_SHA256"));
    assert!(set("tls-ciphers", "AES128-SHA").contains("Unable to update TLS"));
    assert!(
        server
            .log()
            .contains("tls-ciphers: AES128-SHA is not known here"),
        "{}",
        server.log()
    );
}

#[test]
fn sessions_are_resumed_while_they_are_kept() {
    let (server, port) = server(&["--tls-protocols", "TLSv1.2"]);
    let mut admin = server.connect();
    let resumed = |text: String| text.matches("Reused, ").count();
    assert_eq!(resumed(s_client(port, &["-reconnect"])), 5);
    admin.line("CONFIG SET tls-session-caching no");
    assert_eq!(resumed(s_client(port, &["-reconnect"])), 0);
}

#[test]
fn a_start_that_cannot_be_is_explained() {
    let start = |words: &[&str]| {
        let port = free_port().to_string();
        let mut command = Command::new(binary());
        command
            .args(["--port", "0", "--tls-port", &port])
            .args(words);
        text(command.stdin(Stdio::null()).output().unwrap())
    };
    let said = start(&[]);
    assert!(
        said.contains("Failed to configure TLS: No tls-cert-file configured!"),
        "{said}"
    );
    let all = directives(&["--tls-key-file", &file("bob.key")]);
    let words: Vec<&str> = all.iter().map(String::as_str).collect();
    let said = start(&words);
    assert!(
        said.contains("it is not the key of the certificate"),
        "{said}"
    );
    let said = start(&words[..4]);
    assert!(
        said.contains("Either tls-ca-cert-file or tls-ca-cert-dir must be specified"),
        "{said}"
    );
    // The same before the start.
    let conf = file("check.conf");
    let lines = format!(
        "port 0\ntls-port 7\ntls-auth-clients no\ntls-cert-file {0}/server.crt\ntls-key-file {0}/server.key\ntls-ciphers DEFAULT:nonsense\n",
        crate::certs::folder()
    );
    for (more, wanted) in [
        ("", "warning: tls-ciphers: nonsense is not known here"),
        (
            "tls-key-file /none\n",
            "Failed to load private key: /none: No such file or directory\n",
        ),
    ] {
        std::fs::write(&conf, format!("{lines}{more}")).unwrap();
        let said = text(
            Command::new(binary())
                .args(["check-config", &conf])
                .output()
                .unwrap(),
        );
        assert!(said.contains(wanted), "{said}");
    }
}
