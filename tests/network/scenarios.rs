//! What must hold on every connection, however the bytes come: each scenario starts a server of its own with the
//! given options. `tests/network.rs` runs them as they are, `tests/io_threads.rs` with I/O threads.

mod ends;
mod limits;
mod requests;

pub use ends::*;
pub use limits::*;
pub use requests::*;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use crate::support::resp::encode;
use crate::support::{Client, Server, TempDir, Value};

const PATIENCE: Duration = Duration::from_secs(20);
const MIB: u64 = 1 << 20;

/// A connection as the system gives it.
fn raw(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.addr()).expect("connect");
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Everything that comes until the server closes.
fn read_all(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("{error} after {} bytes", bytes.len()),
    }
    bytes
}

fn read_exactly(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).expect("the reply");
    bytes
}

/// Sends, and expects exactly these bytes and then the end.
fn converse_until_closed(server: &Server, request: &[u8], reply: &[u8]) {
    let mut stream = raw(server);
    stream.write_all(request).unwrap();
    let got = read_all(&mut stream);
    assert_eq!(
        String::from_utf8_lossy(&got),
        String::from_utf8_lossy(reply),
        "to {:?}",
        String::from_utf8_lossy(&request[..request.len().min(200)])
    );
}

/// Resident memory of the server in bytes.
fn rss(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_ascii_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        * 1024
}

fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let start = Instant::now();
    while !check() {
        assert!(
            start.elapsed() < PATIENCE,
            "{what}: not within {PATIENCE:?}"
        );
        sleep(Duration::from_millis(10));
    }
}

fn info_field(client: &mut Client, name: &str) -> String {
    let text = client.call(&["INFO", "everything"]).text();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{name}:")));
    line.unwrap_or_else(|| panic!("INFO has {name}"))
        .to_string()
}

/// Alive, without a panic, and answering.
fn assert_well(server: &mut Server) {
    assert!(server.is_running(), "{}", server.log());
    let log = server.log();
    assert!(!log.contains("panic"), "{log}");
    assert_eq!(
        server.connect().call(&["PING"]),
        Value::Simple("PONG".into())
    );
}
