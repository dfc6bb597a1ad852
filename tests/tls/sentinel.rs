//! Sentinels that speak TLS to servers and to each other.

#[path = "../sentinel/group.rs"]
#[allow(dead_code)]
mod group;

use std::net::SocketAddr;
use std::time::Duration;

use crate::certs::{file, say};
use crate::support::{Client, TempDir, free_port};
use group::{Kind, Process, redis_is_here, sentinel, wait};

/// A plain connection.
pub fn plain(port: u16) -> Client {
    Client::try_connect(SocketAddr::from(([127, 0, 0, 1], port))).expect("connect")
}

fn lines(tls: u16) -> String {
    let names = [
        "cert-file",
        "server.crt",
        "key-file",
        "server.key",
        "ca-cert-file",
        "ca.crt",
    ];
    let mut text = format!("tls-port {tls}\ntls-replication yes\n");
    for pair in names.chunks(2) {
        text.push_str(&format!("tls-{} {}\n", pair[0], file(pair[1])));
    }
    text
}

fn data(dir: &TempDir, tls: u16, master: Option<u16>) -> Process {
    let port = free_port();
    let process = group::data_server(Kind::Ours, dir.path(), port, None);
    let mut client = process.connect();
    for line in lines(tls).lines().rev() {
        assert_eq!(
            client.line(&format!("CONFIG SET {line}")).text(),
            "OK",
            "{line}"
        );
    }
    client.line("CONFIG REWRITE");
    if let Some(master) = master {
        assert_eq!(
            client.line(&format!("REPLICAOF 127.0.0.1 {master}")).text(),
            "OK"
        );
    }
    process
}

fn fails_over(second: Kind) {
    let dir = TempDir::new();
    let (tls, other) = (free_port(), free_port());
    let mut master = data(&dir, tls, None);
    let replica = data(&dir, other, Some(tls));
    wait("a replica", Duration::from_secs(20), || {
        replica
            .connect()
            .line("INFO replication")
            .text()
            .contains("master_link_status:up")
    });
    let start = |kind, tls| {
        let monitor = format!("sentinel monitor m 127.0.0.1 {} 2\n", master_port(&replica));
        let more = "sentinel down-after-milliseconds m 1000\nsentinel failover-timeout m 6000\n";
        sentinel(
            kind,
            dir.path(),
            free_port(),
            &format!("{}{monitor}{more}", lines(tls)),
        )
    };
    let ports = (free_port(), free_port());
    let sentinels = [start(Kind::Ours, ports.0), start(second, ports.1)];
    for sentinel in &sentinels {
        let mut client = sentinel.connect();
        wait(
            "both know each other and the replica",
            Duration::from_secs(30),
            || {
                let told = client.line("SENTINEL MASTER m");
                let field = |name: &str| told.field(name).map_or(String::new(), |v| v.text());
                (
                    field("num-other-sentinels"),
                    field("num-slaves"),
                    field("flags"),
                ) == ("1".into(), "1".into(), "master".into())
            },
        );
    }
    assert_eq!(say(ports.0, "bob", &["PING"]), "PONG");
    master.kill();
    let mut client = sentinels[0].connect();
    wait(
        "the replica has taken over",
        Duration::from_secs(40),
        || {
            let addr = client.line("SENTINEL GET-MASTER-ADDR-BY-NAME m");
            addr.items()[1].text() == other.to_string()
        },
    );
    assert!(
        replica
            .connect()
            .line("INFO replication")
            .text()
            .contains("role:master")
    );
}

fn master_port(replica: &Process) -> String {
    let info = replica.connect().line("INFO replication").text();
    let port = info
        .lines()
        .find_map(|line| line.strip_prefix("master_port:"));
    port.expect("a master").trim().to_owned()
}

#[test]
fn two_of_ours() {
    fails_over(Kind::Ours);
}

#[test]
fn one_of_ours_and_one_of_redis() {
    if redis_is_here() {
        fails_over(Kind::Redis);
    }
}
