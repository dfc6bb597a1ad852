//! Masters and replicas: following, waiting, comparing.

use std::time::{Duration, Instant};

use super::{Client, Server};

/// What every server of these tests starts with.
pub const OPTIONS: &[&str] = &[
    "--enable-debug-command",
    "yes",
    "--repl-diskless-sync-delay",
    "0",
];

pub fn server(more: &[&str]) -> Server {
    Server::with_options(&[OPTIONS, more].concat())
}

/// A field of INFO; empty if it is not there.
pub fn info(client: &mut Client, field: &str) -> String {
    let text = client.call(&["INFO", "everything"]).text();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_default().trim().to_string()
}

pub fn digest(client: &mut Client) -> String {
    client.call(&["DEBUG", "DIGEST"]).text()
}

/// Waits until the condition holds.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        let late = begin.elapsed() > Duration::from_secs(30);
        assert!(!late, "{what}: not in time");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Makes a replica of a server, once that has loaded what it has.
pub fn follow(replica: &mut Client, port: u16) {
    until("it has loaded", || info(replica, "loading") == "0");
    let reply = replica.call(&["REPLICAOF", "127.0.0.1", &port.to_string()]);
    assert_eq!(reply.text(), "OK");
    until("the link is up", || {
        info(replica, "master_link_status") == "up"
    });
}

/// The replica has everything that the master has.
pub fn until_same(master: &mut Client, replica: &mut Client) {
    // Between two questions a key may expire: both are asked again until the last one has gone.
    until(
        "the replica has the offset and the data of its master",
        || {
            let offset = info(master, "master_repl_offset");
            let (left, right) = (digest(master), digest(replica));
            offset == info(replica, "master_repl_offset") && left == right
        },
    );
}
