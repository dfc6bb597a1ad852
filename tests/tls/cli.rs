//! What clients do all day.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;
use std::time::Duration;

use crate::certs::{Open, cli, file, say, server, text};
use crate::support::replicas::until;

fn large() -> Vec<u8> {
    (0..10_000_000u32)
        .map(|n| b'a' + (n * 7 % 23) as u8)
        .collect()
}

fn works_with(options: &[&str]) {
    let (server, port) = server(options);
    assert_eq!(say(port, "alice", &["PING"]), "PONG");
    assert_eq!(say(port, "bob", &["PING"]), "PONG");
    // Ten million bytes there and back, also in one pipeline with others.
    let path = server.dir().join("large");
    std::fs::write(&path, large()).unwrap();
    let mut set = cli(port, "bob");
    set.args(["-x", "SET", "large"])
        .stdin(File::open(&path).unwrap());
    assert_eq!(text(set.output().unwrap()), "OK");
    let got = cli(port, "bob").args(["GET", "large"]).output().unwrap();
    assert!(got.stdout.strip_suffix(b"\n") == Some(&large()));
    let mut piped = cli(port, "bob");
    let mut piped = piped
        .arg("--pipe")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = piped.stdin.take().unwrap();
    for n in 0..20_000 {
        let value = "v".repeat(n % 300);
        write!(
            input,
            "*3\r\n$3\r\nSET\r\n${}\r\nkey{n}\r\n${}\r\n{value}\r\n",
            3 + n.to_string().len(),
            value.len()
        )
        .unwrap();
        if n % 10_000 == 0 {
            write!(input, "GET large\r\n").unwrap();
        }
    }
    drop(input);
    let said = text(piped.wait_with_output().unwrap());
    assert!(said.contains("errors: 0, replies: 20002"), "{said}");
    // Most of what was sent in pipelines comes through the plain port as well.
    let mut plain = server.connect();
    assert_eq!(plain.call(&["STRLEN", "key299"]).int(), 299);
    assert_eq!(plain.call(&["DBSIZE"]).int(), 20_001);
}

#[test]
fn redis_cli_beside_the_actor() {
    works_with(&["--io-threads", "1"]);
}

#[test]
fn redis_cli_on_threads() {
    works_with(&["--io-threads", "4"]);
}

#[test]
fn messages_of_all_sizes_arrive_in_order() {
    let (server, port) = server(&[]);
    let mut listening = cli(port, "bob");
    listening.args(["SUBSCRIBE", "c"]).stdout(Stdio::piped());
    let mut listening = listening.spawn().unwrap();
    let mut lines = BufReader::new(listening.stdout.take().unwrap()).lines();
    let mut next = || lines.next().unwrap().unwrap();
    assert_eq!(
        (next(), next(), next()),
        ("subscribe".into(), "c".into(), "1".into())
    );
    let mut plain = server.connect();
    for n in [1usize, 100, 16_384, 16_385, 70_000, 1_000_000, 3] {
        let message = n.to_string().repeat(n / n.to_string().len());
        assert_eq!(plain.call(&["PUBLISH", "c", &message]).int(), 1);
        assert_eq!((next(), next()), ("message".into(), "c".into()));
        assert!(next() == message, "{n}");
    }
    listening.kill().unwrap();
    listening.wait().unwrap();
    until("it is noticed that the client is gone", || {
        plain.call(&["PUBSUB", "NUMSUB", "c"]).items()[1].int() == 0
    });
}

#[test]
fn a_reader_that_is_slow_gets_everything() {
    let (server, port) = server(&[]);
    let mut plain = server.connect();
    plain.call(&["SET", "large", &String::from_utf8(large()).unwrap()]);
    let mut slow = cli(port, "bob");
    slow.args(["-r", "3", "GET", "large"])
        .stdout(Stdio::piped());
    let mut slow = slow.spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    // Others are served meanwhile.
    assert_eq!(say(port, "bob", &["PING"]), "PONG");
    let mut out = Vec::new();
    slow.stdout.take().unwrap().read_to_end(&mut out).unwrap();
    slow.wait().unwrap();
    assert_eq!(out.len(), 3 * (large().len() + 1));
}

#[test]
fn what_the_server_tells_of_itself() {
    let (server, port) = server(&[]);
    let mut plain = server.connect();
    let info = plain.call(&["INFO", "server"]).text();
    assert!(
        info.contains(&format!("tcp_port:{}\r\n", server.port())),
        "{info}"
    );
    let listener = format!("listener1:name=tls,bind=127.0.0.1,port={port}\r\n");
    assert!(info.contains(&listener), "{info}");
    let mut open = Open::new(port, "bob");
    assert_eq!(open.line("CLIENT NO-EVICT ON"), "+OK");
    let list = plain.call(&["CLIENT", "LIST"]).text();
    assert!(
        list.contains(&format!(" laddr=127.0.0.1:{port} ")),
        "{list}"
    );
    assert!(server.log().contains("Ready to accept connections tls"));
}

#[test]
fn ports_can_be_switched() {
    let (server, tls) = server(&["--tls-auth-clients", "no"]);
    let plain = server.port();
    let mut admin = server.connect();
    let mut set = |words: &[&str]| admin.call(&[&["CONFIG", "SET"], words].concat()).text();
    assert_eq!(set(&["port", "0"]), "OK");
    assert_eq!(say(tls, "", &["PING"]), "PONG");
    assert!(say(tls, "", &["INFO", "server"]).contains(&format!("tcp_port:{tls}\r\n")));
    assert!(std::net::TcpStream::connect(("127.0.0.1", plain)).is_err());
    let other = crate::support::free_port().to_string();
    assert_eq!(set(&["tls-port", &other]), "OK");
    assert!(std::net::TcpStream::connect(("127.0.0.1", tls)).is_err());
    assert_eq!(say(other.parse().unwrap(), "", &["PING"]), "PONG");
    assert_eq!(set(&["tls-port", "0", "port", &other]), "OK");
    assert_eq!(
        crate::sentinel::plain(other.parse().unwrap())
            .line("PING")
            .text(),
        "PONG"
    );
    assert_eq!(
        set(&["tls-port", &other]),
        "ERR CONFIG SET failed (possibly related to argument 'tls-port') - Unable to listen on this port. Check server logs."
    );
    assert_eq!(
        crate::sentinel::plain(other.parse().unwrap())
            .line("PING")
            .text(),
        "PONG"
    );
}

#[test]
fn keys_may_be_encrypted() {
    let (server, port) = server(&["--tls-auth-clients", "no"]);
    let mut admin = server.connect();
    let mut set = |words: &[&str]| admin.call(&[&["CONFIG", "SET"], words].concat()).text();
    let locked = file("server.locked.key");
    let refused = "ERR CONFIG SET failed (possibly related to argument 'tls-key-file') - Unable to update TLS configuration. Check server logs.";
    assert_eq!(set(&["tls-key-file", &locked]), refused);
    assert_eq!(
        set(&["tls-key-file", &locked, "tls-key-file-pass", "12345"]),
        refused
    );
    assert_eq!(set(&["tls-key-file-pass", "1234"]), "OK");
    assert_eq!(set(&["tls-key-file", &locked]), "OK");
    assert_eq!(say(port, "", &["PING"]), "PONG");
    // OpenSSL's old way, which needs MD5 and no salt worth its name.
    let old = (file("alice.crt"), file("alice.old.key"));
    let refused = set(&["tls-cert-file", &old.0, "tls-key-file", &old.1]);
    assert!(refused.contains("Unable to update TLS"), "{refused}");
    let log = server.log();
    assert!(log.contains("there is no password for it"), "{log}");
    assert!(log.contains("openssl pkcs8 -topk8"), "{log}");
    assert!(!log.contains("1234"), "{log}");
}

#[test]
fn keys_move_to_another_server() {
    let (from, _) = server(&["--tls-cluster", "yes"]);
    let (to, port) = server(&[]);
    let (mut here, mut there) = (from.connect(), to.connect());
    for n in 0..50 {
        here.call(&["SET", &format!("k{n}"), &"x".repeat(n * 1000)]);
    }
    for round in ["k1 k2 k3", "k4 k5 k49"] {
        let line = format!("MIGRATE 127.0.0.1 {port} \"\" 0 5000 KEYS {round}");
        assert_eq!(here.line(&line).text(), "OK");
    }
    assert_eq!(there.line("STRLEN k49").int(), 49_000);
    assert_eq!(here.line("DBSIZE").int(), 44);
    let plain = here
        .line(&format!("MIGRATE 127.0.0.1 {} k6 0 500", to.port()))
        .text();
    assert!(plain.starts_with("IOERR error or timeout"), "{plain}");
}
