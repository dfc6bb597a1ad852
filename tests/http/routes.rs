//! Paths, limits, and peers that mean no good.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::client::{Observed, basic, connect, get, is_over, read, send};
use crate::support::Server;

#[test]
fn paths_and_their_answers() {
    let observed = Observed::start(&[]);
    for (path, status, kind) in [
        ("/healthz", 200, "text/plain; charset=utf-8"),
        ("/readyz", 200, "text/plain; charset=utf-8"),
        ("/metrics", 200, "text/plain; version=0.0.4; charset=utf-8"),
        (
            "/metrics?x=y",
            200,
            "text/plain; version=0.0.4; charset=utf-8",
        ),
        ("/", 200, "text/html; charset=utf-8"),
        ("/api/info", 200, "application/json"),
        ("/api/nosuch", 404, "text/plain; charset=utf-8"),
        ("/metrics/", 404, "text/plain; charset=utf-8"),
        ("/../etc/passwd", 404, "text/plain; charset=utf-8"),
        ("/favicon.ico", 404, "text/plain; charset=utf-8"),
    ] {
        let answer = observed.get(path);
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.header("Content-Type"), Some(kind), "{path}");
        assert_eq!(answer.header("X-Content-Type-Options"), Some("nosniff"));
        assert_eq!(answer.header("Access-Control-Allow-Origin"), None);
    }
    let page = observed.get("/");
    let policy = page.header("Content-Security-Policy").unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
    assert!(!policy.contains("unsafe-inline") && !page.text().contains("src=\"http"));
    assert_eq!(observed.get("/healthz").text(), "ok\n");
}

#[test]
fn connections_are_used_again_and_heads_come_in_any_pieces() {
    let observed = Observed::start(&[]);
    let mut stream = observed.connect();
    // Three at once, the last in two pieces.
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nHEAD /readyz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /he")
        .unwrap();
    assert_eq!(read(&mut stream, true).unwrap().text(), "ok\n");
    let head = read(&mut stream, false).unwrap();
    assert_eq!(
        (head.status, head.header("Content-Length")),
        (200, Some("6"))
    );
    for byte in b"althz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" {
        stream.write_all(&[*byte]).unwrap();
    }
    let last = read(&mut stream, true).unwrap();
    assert_eq!(last.header("Connection"), Some("close"));
    assert!(is_over(&mut stream));
    let mut old = observed.connect();
    old.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").unwrap();
    // A loopback address answers only to names of its own, and this one gives none.
    assert_eq!(read(&mut old, true).unwrap().status, 421);
    assert!(is_over(&mut old));
}

#[test]
fn hostile_heads() {
    let observed = Observed::start(&[]);
    let head = |lines: &str| {
        format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n").into_bytes()
    };
    let long = format!("X: {}\r\n", "y".repeat(9000));
    let many = "X: y\r\n".repeat(100);
    let cases: &[(Vec<u8>, u16)] = &[
        (b"\r\n\r\n".to_vec(), 400),
        (b"\xff\xfe\0\x01\r\n\r\n".to_vec(), 400),
        (b"*1\r\n$4\r\nPING\r\n\r\n".to_vec(), 400),
        (b"GET / HTTP/3.0\r\n\r\n".to_vec(), 505),
        (b"GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), 400),
        (
            b"POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999\r\n\r\nabc"
                .to_vec(),
            405,
        ),
        (
            b"DELETE /api/value HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
            405,
        ),
        (
            b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
            405,
        ),
        (head("Content-Length: 5\r\n"), 413),
        (head("Transfer-Encoding: chunked\r\n"), 413),
        (head("Content-Length: 0\r\nContent-Length: 0\r\n"), 400),
        (head("Host: localhost\r\n"), 400),
        (head("A B: c\r\n"), 400),
        (head(" folded\r\n"), 400),
        (head(&long), 431),
        (head(&many), 431),
        (vec![b'A'; 20_000], 431),
    ];
    for (bytes, status) in cases {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
        let answer = send(observed.port, bytes).unwrap_or_else(|| panic!("{shown:?}: no answer"));
        assert_eq!(answer.status, *status, "{shown:?}");
        assert_eq!(answer.header("Connection"), Some("close"), "{shown:?}");
    }
    // What looks like a second request behind a refused body is none.
    let smuggled = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 40\r\n\r\nGET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut stream = observed.connect();
    stream.write_all(smuggled).unwrap();
    assert_eq!(read(&mut stream, true).unwrap().status, 413);
    assert!(read(&mut stream, true).is_none());
    assert_eq!(observed.get("/healthz").status, 200);
}

#[test]
fn slow_and_many_peers_hold_up_nobody() {
    let observed = Observed::start(&[]);
    let begin = Instant::now();
    let mut slow = observed.connect();
    slow.write_all(b"GET /healthz HT").unwrap();
    let mut silent = observed.connect();
    let crowd: Vec<_> = (0..300)
        .map(|_| {
            let mut stream = observed.connect();
            stream.write_all(b"GET / HT").unwrap();
            stream
        })
        .collect();
    for _ in 0..20 {
        assert_eq!(observed.get("/healthz").status, 200);
    }
    assert!(
        begin.elapsed() < Duration::from_secs(4),
        "the crowd held up others"
    );
    drop(crowd);
    // The first had to make room for the crowd; had they not, their time would be over by now.
    assert!(is_over(&mut silent) && is_over(&mut slow));
    let mut slow = observed.connect();
    slow.write_all(b"GET /healthz HT").unwrap();
    assert_eq!(read(&mut slow, true).map(|answer| answer.status), Some(408));
    assert!(is_over(&mut slow));
    let mut client = observed.server.connect();
    assert_eq!(client.line("PING").text(), "PONG");
}

#[test]
fn strangers_pages_reach_nothing() {
    let observed = Observed::start(&["--metrics-hosts", "redis.example.com", "metrics.test"]);
    let ask = |host: &str, path: &str, lines: &str| {
        let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n");
        send(observed.port, head.as_bytes()).unwrap().status
    };
    for path in ["/", "/api/info", "/api/keys", "/metrics", "/healthz"] {
        assert_eq!(ask("evil.example", path, ""), 421, "{path}");
        assert_eq!(ask("127.0.0.1.evil.example:80", path, ""), 421, "{path}");
        assert_eq!(ask("redis.example.com", path, ""), 200, "{path}");
        assert_eq!(ask("METRICS.test:9121", path, ""), 200, "{path}");
        assert_eq!(ask("[::1]:9121", path, ""), 200, "{path}");
    }
    for site in ["cross-site", "same-site"] {
        let line = format!("Sec-Fetch-Site: {site}\r\n");
        assert_eq!(ask("localhost", "/api/info", &line), 403);
        assert_eq!(
            ask("localhost", "/", &line),
            200,
            "a link to the page is no danger"
        );
    }
    assert_eq!(
        ask("localhost", "/api/info", "Sec-Fetch-Site: same-origin\r\n"),
        200
    );
}

#[test]
fn the_console_asks_for_a_login_and_metrics_do_not() {
    let observed = Observed::start(&["--requirepass", "secret"]);
    for path in ["/metrics", "/healthz", "/readyz"] {
        assert_eq!(observed.get(path).status, 200, "{path}");
    }
    for path in ["/", "/api/info", "/api/keys", "/api/value?key=a"] {
        let answer = observed.get(path);
        assert_eq!(answer.status, 401, "{path}");
        assert!(
            answer
                .header("WWW-Authenticate")
                .unwrap()
                .starts_with("Basic realm=")
        );
        assert_eq!(
            observed.get_as("default", "secret", path).status,
            200,
            "{path}"
        );
        assert_eq!(observed.get_as("", "secret", path).status, 200, "{path}");
        for line in [
            "Authorization: Basic\r\n",
            "Authorization: Bearer x\r\n",
            "Authorization: Basic ????\r\n",
        ] {
            assert_eq!(get(observed.port, path, line).status, 401, "{line}");
        }
    }
    let mut client = observed.server.connect();
    client.line("AUTH secret");
    client.line("ACL LOG RESET");
    assert_eq!(observed.get_as("default", "wrong", "/").status, 401);
    let log = client.line("ACL LOG");
    let field = |name: &str| log.items()[0].field(name).unwrap().text();
    assert_eq!(
        (field("reason"), field("object")),
        ("auth".into(), "http".into())
    );
    client.line("CONFIG SET requirepass ''");
    assert_eq!(observed.get("/api/info").status, 200);
}

#[test]
fn guessing_passwords_is_slow() {
    let observed = Observed::start(&["--requirepass", "secret"]);
    assert_eq!(
        observed.get_as("default", "secret", "/api/info").status,
        200
    );
    let statuses: Vec<u16> = (0..30)
        .map(|n| observed.get_as("default", &format!("guess{n}"), "/").status)
        .collect();
    assert_eq!(statuses[..10], [401; 10]);
    assert!(
        statuses.iter().filter(|s| **s == 429).count() >= 18,
        "{statuses:?}"
    );
    assert_eq!(observed.get_as("other", "x", "/").status, 429);
    // Whoever has logged in before goes on, and so do probes.
    assert_eq!(
        observed.get_as("default", "secret", "/api/info").status,
        200
    );
    assert_eq!(observed.get("/metrics").status, 200);
    assert_eq!(
        get(observed.port, "/", &basic("default", "secret")).status,
        200
    );
}

#[test]
fn the_console_sees_what_its_user_may_see() {
    let observed = Observed::start(&["--requirepass", "secret"]);
    let mut client = observed.server.connect();
    client.line("AUTH secret");
    client.line("SET app:1 one");
    client.line("SET other:1 two");
    let rules = "on >pw %R~app:* +info +scan +type +get +getrange +strlen +pttl +acl|whoami";
    assert_eq!(
        client.line(&format!("ACL SETUSER viewer {rules}")).text(),
        "OK"
    );
    client.line("ACL SETUSER gone off >pw ~* +@all");
    let ask = |path: &str| observed.get_as("viewer", "pw", path);
    assert_eq!(observed.get_as("gone", "pw", "/").status, 401);
    let info = ask("/api/info").json();
    assert_eq!(info["user"], "viewer");
    assert!(info["info"].as_str().unwrap().contains("redis_version:"));
    let slow = ask("/api/slowlog").json();
    assert!(
        slow["slowlog"]["error"]
            .as_str()
            .unwrap()
            .starts_with("NOPERM"),
        "{slow}"
    );
    let value = ask("/api/value?key=app:1").json();
    assert_eq!(
        (&value["items"], &value["type"]),
        (&"one".into(), &"string".into())
    );
    assert!(
        value["memory"]["error"]
            .as_str()
            .unwrap()
            .starts_with("NOPERM"),
        "{value}"
    );
    let other = ask("/api/value?key=other:1").json();
    assert!(
        other["type"]["error"]
            .as_str()
            .unwrap()
            .starts_with("NOPERM"),
        "{other}"
    );
    assert!(other.get("items").is_none(), "{other}");
}

/// The rights that the README names are enough.
#[test]
fn a_user_for_the_console_needs_few_rights() {
    let readme = include_str!("../../README.md");
    let begin = readme.find("`~* +info").expect("the rights") + 1;
    let end = begin + readme[begin..].find('`').unwrap();
    let rights: Vec<&str> = readme[begin..end].split_whitespace().collect();
    let observed = Observed::start(&["--requirepass", "secret"]);
    let mut client = observed.server.connect();
    client.line("AUTH secret");
    client.line("XADD key * f v");
    let rule = ["ACL", "SETUSER", "viewer", "on", ">pw"];
    client.call(&[&rule[..], &rights].concat());
    let ask = |path: &str| observed.get_as("viewer", "pw", path).json();
    for path in ["info", "latency", "slowlog", "clients", "prefixes", "keys"] {
        let answer = ask(&format!("/api/{path}"));
        for (name, value) in answer.as_object().unwrap() {
            assert!(value.get("error").is_none(), "{path} {name}: {value}");
        }
    }
    let key = &ask("/api/keys")["keys"][0];
    assert!(key["memory"].is_u64() && key["encoding"] == "stream" && key["pttl"] == -1);
    let value = ask("/api/value?key=key");
    assert!(
        value["items"]["error"]
            .as_str()
            .unwrap()
            .starts_with("NOPERM")
    );
    client.line("ACL SETUSER viewer +@read");
    let value = ask("/api/value?key=key");
    assert!(
        value["items"][0][1].is_array() && value["groups"].is_array(),
        "{value}"
    );
}

#[test]
fn looking_changes_nothing() {
    let observed = Observed::start(&["--maxmemory-policy", "allkeys-lru"]);
    let mut client = observed.server.connect();
    client.line("SET a 1");
    client.line("HSET h f v");
    let digest = || {
        let mut client = observed.server.connect();
        (client.line("DEBUG DIGEST"), client.line("DBSIZE"))
    };
    let before = format!("{:?}", digest());
    std::thread::sleep(Duration::from_millis(1100));
    for path in [
        "keys",
        "value?key=a",
        "value?key=h",
        "info",
        "latency",
        "clients",
        "slowlog",
        "prefixes",
    ] {
        observed.api(path);
    }
    assert_eq!(format!("{:?}", digest()), before);
    assert!(
        client.line("OBJECT IDLETIME a").int() >= 1,
        "a look is no use"
    );
    assert_eq!(
        observed.metric("redis_connected_clients").as_deref(),
        Some("1")
    );
}

#[test]
fn the_port_opens_moves_and_closes_at_run_time() {
    let server = Server::start();
    let mut client = server.connect();
    assert_eq!(
        client
            .line("CONFIG GET metrics-*")
            .field("metrics-port")
            .unwrap()
            .text(),
        "0"
    );
    let (first, second) = (crate::support::free_port(), crate::support::free_port());
    assert_eq!(
        client
            .line(&format!("CONFIG SET metrics-port {first}"))
            .text(),
        "OK"
    );
    assert_eq!(get(first, "/healthz", "").status, 200);
    let mut kept = connect(first);
    assert_eq!(
        client
            .line(&format!("CONFIG SET metrics-port {second}"))
            .text(),
        "OK"
    );
    assert_eq!(get(second, "/healthz", "").status, 200);
    assert!(is_over(&mut kept), "connections end with their port");
    assert!(std::net::TcpStream::connect(("127.0.0.1", first)).is_err());
    // A port that is taken is refused, and the present one stays.
    let refused = client.line(&format!("CONFIG SET metrics-port {}", server.port()));
    assert!(
        refused
            .text()
            .starts_with("ERR CONFIG SET failed (possibly related to argument 'metrics-port')")
    );
    assert_eq!(get(second, "/healthz", "").status, 200);
    assert!(client.line("CONFIG SET metrics-bind 192.0.2.1").is_error());
    assert_eq!(get(second, "/healthz", "").status, 200);
    assert_eq!(
        client
            .line("CONFIG SET metrics-hosts 'a.example b.example'")
            .text(),
        "OK"
    );
    let head = b"GET /healthz HTTP/1.1\r\nHost: b.example\r\n\r\n";
    assert_eq!(send(second, head).unwrap().status, 200);
    assert_eq!(client.line("CONFIG SET metrics-port 0").text(), "OK");
    assert!(std::net::TcpStream::connect(("127.0.0.1", second)).is_err());
    for _ in 0..20 {
        client.line(&format!("CONFIG SET metrics-port {first}"));
        assert_eq!(get(first, "/healthz", "").status, 200);
        client.line("CONFIG SET metrics-port 0");
    }
    let threads = std::fs::read_dir(format!("/proc/{}/task", server.pid()))
        .unwrap()
        .count();
    assert!(threads < 20, "{threads} threads");
}
