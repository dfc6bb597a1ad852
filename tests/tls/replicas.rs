//! Replication over TLS, among our own and with other servers.

use std::path::PathBuf;

use crate::certs::{directives, server};
use crate::support::peer::{self, Peer};
use crate::support::replicas::{OPTIONS, digest, follow, info, until, until_same};
use crate::support::{Client, free_port};

fn fill(client: &mut Client) {
    for n in 0..300 {
        client.call(&["SET", &format!("k{n}"), &"value".repeat(n * 20)]);
        client.call(&["RPUSH", &format!("l{}", n % 7), &n.to_string()]);
    }
}

/// A server whose links have TLS.
fn linked(more: &[&str]) -> (crate::support::Server, u16) {
    server(&[OPTIONS, &["--tls-replication", "yes"], more].concat())
}

#[test]
fn our_own() {
    for options in [
        &["--repl-diskless-sync", "yes"],
        &["--repl-diskless-sync", "no"],
    ] {
        let (master, port) = linked(options);
        let (replica, own_port) = linked(&[]);
        let (mut m, mut r) = (master.connect(), replica.connect());
        fill(&mut m);
        follow(&mut r, port);
        until_same(&mut m, &mut r);
        // Much at once, both ways: the stream and what is acknowledged.
        let large = "x".repeat(3_000_000);
        for n in 0..5 {
            m.call(&["SET", &format!("large{n}"), &large]);
            assert_eq!(m.call(&["WAIT", "1", "5000"]).int(), 1);
        }
        until_same(&mut m, &mut r);
        let told = m.call(&["INFO", "replication"]).text();
        assert!(
            told.contains(&format!("port={own_port},state=online")),
            "{told}"
        );
        // After a cut it goes on where it was.
        m.call(&["CLIENT", "KILL", "TYPE", "replica"]);
        m.call(&["SET", "after", "cut"]);
        until("the link is up again", || {
            info(&mut r, "master_link_status") == "up"
        });
        until_same(&mut m, &mut r);
        assert_eq!(info(&mut m, "sync_full"), "1");
    }
}

#[test]
fn without_tls_there_is_no_link_to_a_tls_port() {
    let (master, port) = linked(&[]);
    let (replica, _) = server(OPTIONS);
    let mut r = replica.connect();
    r.call(&["REPLICAOF", "127.0.0.1", &port.to_string()]);
    until("it is turned away", || {
        master.log().contains("wrong version number")
    });
    assert_eq!(info(&mut r, "master_link_status"), "down");
    // The directive takes effect at once.
    assert_eq!(r.line("CONFIG SET tls-replication yes").text(), "OK");
    until("the link is up", || {
        info(&mut r, "master_link_status") == "up"
    });
    // Nor does a TLS link come to be with a plain port.
    r.call(&["REPLICAOF", "127.0.0.1", &master.port().to_string()]);
    until("that is told", || {
        replica.log().contains("Error condition on socket for SYNC")
    });
    assert_eq!(info(&mut r, "master_link_status"), "down");
}

#[test]
fn a_master_must_show_the_expected_name() {
    let (_master, port) = linked(&[]);
    let (replica, _) = linked(&["--tls-expected-peer-name", "elsewhere localhost"]);
    let mut r = replica.connect();
    follow(&mut r, port);
    r.line("REPLICAOF NO ONE");
    r.line("CONFIG SET tls-expected-peer-name elsewhere");
    r.call(&["REPLICAOF", "127.0.0.1", &port.to_string()]);
    until("it is refused", || {
        replica.log().contains("NotValidForName")
    });
    assert_eq!(info(&mut r, "master_link_status"), "down");
}

/// The other servers that were built with TLS.
fn peers() -> Vec<(&'static str, PathBuf)> {
    let with_tls = |path: &PathBuf| {
        let mut command = std::process::Command::new(path);
        let words = ["--port", "0", "--tls-port", "0", "--tls-cluster", "yes"];
        let output = command
            .args(words)
            .stdin(std::process::Stdio::null())
            .output();
        let said = output.map(crate::certs::text).unwrap_or_default();
        said.contains("No tls-cert-file")
    };
    peer::all()
        .into_iter()
        .filter(|(_, path)| with_tls(path))
        .collect()
}

#[test]
fn with_other_servers() {
    for (name, path) in peers() {
        println!("{name}");
        let other_port = free_port();
        let words = directives(&[
            "--tls-port",
            &other_port.to_string(),
            "--tls-replication",
            "yes",
        ]);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let other = Peer::start(&path, &words);
        let (ours, our_port) = linked(&[]);
        let (mut o, mut u) = (other.connect(), ours.connect());
        fill(&mut o);
        follow(&mut u, other_port);
        until_same(&mut o, &mut u);
        o.call(&["SET", "more", &"y".repeat(2_000_000)]);
        until_same(&mut o, &mut u);
        assert!(info(&mut o, "slave0").contains(&format!("port={our_port}")));
        u.line("REPLICAOF NO ONE");
        u.call(&["SET", "ours", "now"]);
        follow(&mut o, our_port);
        until("both have the same", || digest(&mut o) == digest(&mut u));
        u.call(&["SET", "more", &"z".repeat(2_000_000)]);
        until("both have the same", || digest(&mut o) == digest(&mut u));
    }
}
