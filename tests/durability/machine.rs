//! A server whose directory outlives it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Client, TempDir, Value, binary, free_port};

pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct Machine {
    pub dir: TempDir,
    pub options: Vec<String>,
    pub failpoints: String,
    /// What stands before the server on its command line, such as strace.
    pub wrapper: Vec<String>,
    /// Another server than ours.
    pub binary: Option<PathBuf>,
    child: Option<Child>,
    port: u16,
}

/// Rounds of each kind of crash.
pub fn rounds(short: u32) -> u32 {
    std::env::var("FERRITE_CRASH_ROUNDS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(short)
}

impl Machine {
    pub fn new(options: &[&str]) -> Machine {
        Machine {
            dir: TempDir::new(),
            options: options.iter().map(|o| o.to_string()).collect(),
            failpoints: String::new(),
            wrapper: Vec::new(),
            binary: None,
            child: None,
            port: 0,
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn aof(&self, name: &str) -> PathBuf {
        self.path("appendonlydir").join(name)
    }

    /// Starts; false if the server ended instead of serving.
    pub fn try_start(&mut self) -> bool {
        self.port = free_port();
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path("log.txt"))
            .expect("a log");
        let errors = log.try_clone().expect("share the log");
        let program = self.binary.clone().unwrap_or_else(binary);
        let mut words: Vec<String> = self.wrapper.clone();
        words.push(program.display().to_string());
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .args([
                "--port",
                &self.port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
            ])
            .args(["--dir", self.dir.path().to_str().expect("a plain path")])
            .args(&self.options)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors);
        if !self.failpoints.is_empty() {
            command.env("FERRITE_FAILPOINTS", &self.failpoints);
        }
        self.child = Some(command.spawn().expect("start the server"));
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            if !self.is_running() {
                return false;
            }
            if let Ok(mut client) = Client::try_connect(self.addr())
                && client.send(&["PING"]).is_ok()
                && let Ok(reply) = client.read()
                && !reply.text().contains("LOADING")
            {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("the server neither serves nor ends:\n{}", self.log());
    }

    pub fn start(&mut self) {
        assert!(
            self.try_start(),
            "the server ended at start:\n{}",
            self.log()
        );
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.as_mut().map(Child::try_wait), Some(Ok(None)))
    }

    pub fn addr(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    pub fn connect(&self) -> Client {
        let mut client = Client::try_connect(self.addr()).expect("connect");
        client.set_read_timeout(PATIENCE);
        client
    }

    pub fn call(&self, line: &str) -> Value {
        self.connect().line(line)
    }

    pub fn info(&self, field: &str) -> String {
        let text = self.call("INFO persistence").text();
        let line = text
            .lines()
            .find_map(|l| l.strip_prefix(&format!("{field}:")).map(str::to_owned));
        line.unwrap_or_default()
    }

    /// The server itself, where something stands before it on its command line.
    pub fn process_id(&self) -> i32 {
        let text = self.call("INFO server").text();
        let pid = text.lines().find_map(|l| l.strip_prefix("process_id:"));
        pid.and_then(|pid| pid.trim().parse().ok())
            .expect("the process")
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Ends in good order.
    pub fn shut_down(&mut self) {
        let mut client = self.connect();
        let _ = client.send(&["SHUTDOWN", "NOSAVE"]);
        let _ = client.read();
        self.wait_until("the end", |m| !m.is_running());
        self.child = None;
    }

    pub fn wait_until(&mut self, what: &str, mut check: impl FnMut(&mut Machine) -> bool) {
        let begin = Instant::now();
        while !check(self) {
            assert!(
                begin.elapsed() < PATIENCE,
                "{what}: not in time\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn wait_rewrite(&mut self) {
        self.wait_until("the rewrite", |m| {
            m.info("aof_rewrite_in_progress") == "0" && m.info("aof_rewrite_scheduled") == "0"
        });
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log.txt")).unwrap_or_default()
    }

    pub fn digest(&self) -> String {
        self.call("DEBUG DIGEST").text()
    }

    /// The increment that the manifest names last.
    pub fn last_incr(&self) -> PathBuf {
        let text =
            std::fs::read_to_string(self.aof("appendonly.aof.manifest")).expect("a manifest");
        let name = text
            .lines()
            .rev()
            .find(|l| l.ends_with("type i"))
            .and_then(|l| l.split(' ').nth(1))
            .expect("an increment");
        self.aof(name)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a mode of the command line; its output and whether it ended well.
pub fn tool(words: &[&str], input: &str) -> (String, bool) {
    use std::io::Write;
    let mut child = Command::new(binary())
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start the tool");
    child
        .stdin
        .take()
        .expect("its input")
        .write_all(input.as_bytes())
        .expect("write to it");
    let output = child.wait_with_output().expect("its end");
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    (text, output.status.success())
}

pub fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("make a directory");
    for entry in std::fs::read_dir(from).expect("read a directory").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).expect("copy a file");
        }
    }
}
