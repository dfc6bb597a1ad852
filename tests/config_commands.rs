//! CONFIG over a connection: what the server makes of accepted and refused changes, and what a rewrite leaves behind.

mod support;

use std::net::TcpListener;
use std::path::Path;

use support::{Client, Server, TempDir};

fn get(client: &mut Client, name: &str) -> String {
    let reply = client.call(&["CONFIG", "GET", name]);
    assert_eq!(reply.items().len(), 2, "{name}: {reply:?}");
    reply.items()[1].text()
}

/// Sets and expects OK.
fn set(client: &mut Client, words: &[&str]) {
    let reply = client.call(&[&["CONFIG", "SET"], words].concat());
    assert_eq!(reply.text(), "OK", "{words:?}");
}

/// Sets and returns the error.
fn refused(client: &mut Client, words: &[&str]) -> String {
    let reply = client.call(&[&["CONFIG", "SET"], words].concat());
    assert!(reply.is_error(), "{words:?}: {reply:?}");
    reply.text()
}

#[test]
fn every_mutable_value_can_be_set_to_itself() {
    let server = Server::with_options(&["--enable-protected-configs", "local"]);
    let mut client = server.connect();
    let all = client.call(&["CONFIG", "GET", "*"]);
    let pairs: Vec<(String, String)> = all
        .items()
        .chunks(2)
        .map(|p| (p[0].text(), p[1].text()))
        .collect();
    assert!(pairs.len() > 200);
    for (name, value) in &pairs {
        let reply = client.call(&["CONFIG", "SET", name, value]);
        let immutable = reply.is_error() && reply.text().ends_with("can't set immutable config");
        assert!(
            reply.text() == "OK" || immutable,
            "{name} {value}: {reply:?}"
        );
        assert_eq!(&get(&mut client, name), value, "{name}");
    }
}

#[test]
fn a_change_that_cannot_be_applied_is_taken_back_whole() {
    let server = Server::start();
    let mut client = server.connect();
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let before: Vec<String> = ["maxmemory", "port", "client-query-buffer-limit"]
        .map(|name| get(&mut client, name))
        .to_vec();
    let error = refused(
        &mut client,
        &[
            "maxmemory",
            "100mb",
            "port",
            &port,
            "client-query-buffer-limit",
            "10mb",
        ],
    );
    let expected = "ERR CONFIG SET failed (possibly related to argument 'port') - Unable to listen on this port";
    assert!(error.starts_with(expected), "{error}");
    let after: Vec<String> = ["maxmemory", "port", "client-query-buffer-limit"]
        .map(|name| get(&mut client, name))
        .to_vec();
    assert_eq!(before, after);
    assert_eq!(server.connect().call(&["PING"]).text(), "PONG");
}

#[test]
fn a_new_port_is_served_and_the_old_one_is_not() {
    let server = Server::start();
    let mut client = server.connect();
    let port = support::free_port();
    set(&mut client, &["port", &port.to_string()]);
    let mut moved = Client::try_connect(([127, 0, 0, 1], port).into()).unwrap();
    assert_eq!(moved.call(&["PING"]).text(), "PONG");
    assert!(Client::try_connect(server.addr()).is_err());
}

#[test]
fn passwords_come_and_go() {
    let server = Server::start();
    let mut client = server.connect();
    set(&mut client, &["requirepass", "a b\"c"]);
    let mut stranger = server.connect();
    assert!(stranger.call(&["GET", "x"]).text().starts_with("NOAUTH"));
    assert_eq!(stranger.call(&["AUTH", "a b\"c"]).text(), "OK");
    assert_eq!(client.call(&["PING"]).text(), "PONG", "who is in stays in");
}

#[test]
fn a_rewritten_file_starts_the_same_server() {
    let dir = TempDir::new();
    let file = dir.path().join("r.conf");
    std::fs::write(
        &file,
        "# mine\nhash-max-ziplist-entries 20\nsave 900 1\nslowlog-max-len 5\n",
    )
    .unwrap();
    let path = file.display().to_string();
    let socket = dir.path().join("s.sock").display().to_string();
    let start = |file: &Path| {
        let mut command = std::process::Command::new(support::binary());
        command
            .arg(file)
            .args(["--port", "0", "--unixsocket", &socket]);
        command.stdout(std::process::Stdio::null()).spawn().unwrap()
    };
    let talk = |words: &[&str]| -> String {
        use std::io::{Read, Write};
        for _ in 0..200 {
            if let Ok(mut stream) = std::os::unix::net::UnixStream::connect(&socket) {
                stream.write_all(&support::resp::encode(words)).unwrap();
                stream.write_all(&support::resp::encode(&["QUIT"])).unwrap();
                let mut reply = String::new();
                stream.read_to_string(&mut reply).unwrap();
                return reply;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        panic!("no server at {socket}");
    };
    let mut child = start(&file);
    assert!(
        talk(&[
            "CONFIG",
            "SET",
            "hash-max-listpack-entries",
            "30",
            "save",
            "60 5",
            "requirepass",
            "x\ny"
        ])
        .starts_with("+OK")
    );
    assert!(talk(&["AUTH", "x\ny"]).starts_with("+OK"));
    let rewrite = [
        support::resp::encode(&["AUTH", "x\ny"]),
        support::resp::encode(&["CONFIG", "REWRITE"]),
    ]
    .concat();
    {
        use std::io::{Read, Write};
        let mut stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
        stream.write_all(&rewrite).unwrap();
        let mut reply = [0; 10];
        stream.read_exact(&mut reply).unwrap();
        assert_eq!(&reply, b"+OK\r\n+OK\r\n");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(
        text.starts_with("# mine\nhash-max-listpack-entries 30\nsave 60 5\nslowlog-max-len 5\n"),
        "{text}"
    );
    assert!(text.contains("\nrequirepass \"x\\ny\"\n"), "{text}");
    let check = std::process::Command::new(support::binary())
        .args(["check-config", &path])
        .output()
        .unwrap();
    assert!(
        check.status.success(),
        "{}",
        String::from_utf8_lossy(&check.stdout)
    );
}

fn oom_score(server: &Server) -> i32 {
    let path = format!("/proc/{}/oom_score_adj", server.pid());
    std::fs::read_to_string(path)
        .unwrap()
        .trim()
        .parse()
        .unwrap()
}

/// Tests may run with a score of their own.
fn own_oom_score() -> i32 {
    let text = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap();
    text.trim().parse().unwrap()
}

#[test]
fn the_score_for_the_out_of_memory_killer_follows_role_and_settings() {
    let own = own_oom_score();
    let options = [
        "--oom-score-adj",
        "yes",
        "--oom-score-adj-values",
        "10 20 30",
    ];
    let server = Server::with_options(&options);
    let mut client = server.connect();
    assert_eq!(oom_score(&server), own + 10, "from the start");
    set(&mut client, &["oom-score-adj-values", "15 25 35"]);
    assert_eq!(oom_score(&server), own + 15);
    // Nobody listens there.
    assert_eq!(client.call(&["REPLICAOF", "127.0.0.1", "1"]).text(), "OK");
    assert_eq!(oom_score(&server), own + 25, "a replica");
    assert_eq!(client.call(&["REPLICAOF", "NO", "ONE"]).text(), "OK");
    assert_eq!(oom_score(&server), own + 15);
    set(&mut client, &["oom-score-adj", "absolute"]);
    assert_eq!(oom_score(&server), 15);
    set(&mut client, &["oom-score-adj", "no"]);
    assert_eq!(oom_score(&server), own, "as it was before");
}

#[test]
fn log_lines_show_the_role() {
    let server = Server::with_options(&["--enable-debug-command", "yes"]);
    let mut client = server.connect();
    let pid = server.pid();
    assert_eq!(client.call(&["REPLICAOF", "127.0.0.1", "1"]).text(), "OK");
    let say = |client: &mut Client, word| {
        let reply = client.call(&["DEBUG", "LOG", word]);
        assert_eq!(reply.text(), "OK");
    };
    say(&mut client, "while-replica");
    assert_eq!(client.call(&["REPLICAOF", "NO", "ONE"]).text(), "OK");
    say(&mut client, "as-master-again");
    let log = server.log();
    let letter = |word: &str| {
        let line = log.lines().find(|line| line.contains(word));
        let line = line.unwrap_or_else(|| panic!("no line with {word}:\n{log}"));
        line.strip_prefix(&format!("{pid}:")).unwrap()[..1].to_owned()
    };
    assert_eq!(letter("Server initialized"), "M");
    assert_eq!(letter("while-replica"), "S");
    assert_eq!(letter("as-master-again"), "M");
}

#[test]
fn the_process_title_follows_its_template() {
    let server = Server::start();
    let mut client = server.connect();
    set(&mut client, &["proc-title-template", "{port} {title}"]);
    let shown = std::fs::read(format!("/proc/{}/cmdline", server.pid())).unwrap();
    let shown = String::from_utf8_lossy(&shown).into_owned();
    assert!(shown.starts_with(&server.port().to_string()), "{shown}");
}
