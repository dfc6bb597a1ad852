//! What the black-box tests share: a server process of its own for each test, and a raw RESP client.
//!
//! The binary under test is the one cargo built, or the one that `FERRITE_BIN` names; the latter lets the same
//! tests run against another server, which is how the tests themselves are checked.
#![allow(dead_code)] // every test file compiles this module and uses its own part of it

pub mod later;
pub mod peer;
pub mod proxy;
pub mod replicas;
pub mod resp;
pub mod shape;
pub mod words;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

pub use resp::{Client, Value};

const START_TIMEOUT: Duration = Duration::from_secs(20);

/// The path of the binary under test.
pub fn binary() -> PathBuf {
    match std::env::var_os("FERRITE_BIN") {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(env!("CARGO_BIN_EXE_ferrite")),
    }
}

/// Options for every server, from `FERRITE_OPTIONS`: the same tests run with `--io-threads 4` as well.
fn more_options() -> Vec<String> {
    let text = std::env::var("FERRITE_OPTIONS").unwrap_or_default();
    text.split_ascii_whitespace().map(str::to_string).collect()
}

/// Reads a JSON file of `tests/assets/reference`.
pub fn reference(name: &str) -> serde_json::Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/assets/reference")
        .join(name);
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A port that nothing listens on at this moment.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind a port");
    listener.local_addr().expect("local address").port()
}

/// A directory of its own below the system's temporary one; removed on drop.
pub struct TempDir(PathBuf);

impl TempDir {
    pub fn new() -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("ferrite-test-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("make a temporary directory");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A running server; killed on drop.
pub struct Server {
    child: Child,
    port: u16,
    dir: TempDir,
}

impl Server {
    /// Starts with the defaults of the tests: own port, own directory, no save points.
    pub fn start() -> Self {
        Self::with_options(&[])
    }

    /// Starts with further directives, each a name and its value as on the command line:
    /// `&["--maxmemory", "1mb"]`.
    pub fn with_options(options: &[&str]) -> Self {
        Self::with_words(&[], options)
    }

    /// Starts with a configuration file.
    pub fn with_file(path: &str) -> Self {
        Self::with_words(&[path], &[])
    }

    fn with_words(file: &[&str], options: &[&str]) -> Self {
        // Between finding a free port and binding it somebody else may take it: then try another.
        for _ in 0..5 {
            if let Some(server) = Self::try_start(file, options) {
                return server;
            }
        }
        panic!(
            "{} does not start with {options:?}: run it by hand to see why",
            binary().display()
        );
    }

    fn try_start(file: &[&str], options: &[&str]) -> Option<Self> {
        let dir = TempDir::new();
        let port = free_port();
        let log = std::fs::File::create(dir.path().join("stdout.txt")).expect("create the log");
        let errors = log.try_clone().expect("share the log");
        let child = Command::new(binary())
            .args(file)
            .args(["--port", &port.to_string()])
            .args(["--bind", "127.0.0.1"])
            .args(["--dir", dir.path().to_str().expect("plain path")])
            .args(["--save", ""])
            .args(more_options())
            .args(options)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .unwrap_or_else(|error| panic!("start {}: {error}", binary().display()));
        let mut server = Self { child, port, dir };
        server.wait_until_ready().then_some(server)
    }

    fn wait_until_ready(&mut self) -> bool {
        let start = Instant::now();
        while start.elapsed() < START_TIMEOUT {
            if let Ok(Some(status)) = self.child.try_wait() {
                eprintln!("server ended with {status}:\n{}", self.log());
                return false;
            }
            if let Ok(mut client) = Client::try_connect(self.addr()) {
                // Any reply will do: with a password set it is an error, and the server is ready all the same.
                if client.send(&["PING"]).is_ok() && client.read().is_ok() {
                    return true;
                }
            }
            sleep(Duration::from_millis(10));
        }
        eprintln!("server not ready in time:\n{}", self.log());
        false
    }

    pub fn addr(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// What the server has written to its standard output and error so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("stdout.txt")).unwrap_or_default()
    }

    /// A new RESP2 connection.
    pub fn connect(&self) -> Client {
        Client::try_connect(self.addr()).expect("connect")
    }

    /// A new connection that has switched to RESP3.
    pub fn connect_resp3(&self) -> Client {
        let mut client = self.connect();
        let reply = client.call(&["HELLO", "3"]);
        assert!(matches!(reply, Value::Map(_)), "HELLO 3 replied {reply:?}");
        client
    }

    /// True while the process lives.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for the process to end and gives its exit code (`None` after a signal).
    pub fn wait_for_exit(&mut self, timeout: Duration) -> Option<i32> {
        let start = Instant::now();
        while start.elapsed() < timeout {
            if let Ok(Some(status)) = self.child.try_wait() {
                return status.code();
            }
            sleep(Duration::from_millis(10));
        }
        panic!("server still runs after {timeout:?}:\n{}", self.log());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
