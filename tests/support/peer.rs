//! Other servers, for tests of what is exchanged with them: those that `scripts/peers` provides.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{Client, TempDir, free_port};

/// Name and binary of each server that is there.
pub fn all() -> Vec<(&'static str, PathBuf)> {
    let cache = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/peers");
    let candidates = [
        ("redis-server", PathBuf::from("/usr/bin/redis-server")),
        ("redis-8.2.3", cache.join("redis-8.2.3")),
        ("valkey-9.1.2", cache.join("valkey-9.1.2")),
    ];
    let found: Vec<_> = candidates
        .into_iter()
        .filter(|(_, path)| path.exists())
        .collect();
    if found.len() < 3 {
        println!(
            "only {} of 3 other servers are there: run scripts/peers",
            found.len()
        );
    }
    found
}

/// A running server of another kind; killed on drop.
pub struct Peer {
    child: Child,
    port: u16,
    _dir: TempDir,
}

impl Peer {
    pub fn start(binary: &Path, options: &[&str]) -> Peer {
        let (dir, port) = (TempDir::new(), free_port());
        let child = Command::new(binary)
            .args([
                "--port",
                &port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
            ])
            .args(["--dir", dir.path().to_str().expect("plain path")])
            .args([
                "--enable-debug-command",
                "yes",
                "--repl-diskless-sync-delay",
                "0",
            ])
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start the other server");
        let peer = Peer {
            child,
            port,
            _dir: dir,
        };
        let begin = Instant::now();
        while Client::try_connect(peer.addr()).is_err() {
            assert!(
                begin.elapsed() < Duration::from_secs(20),
                "{binary:?} does not start"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        peer
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn addr(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    pub fn connect(&self) -> Client {
        Client::try_connect(self.addr()).expect("connect")
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
