//! Groups of real processes: data servers and Sentinels, ours or redis-server's, on ports of their own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Client, TempDir, Value, binary, free_port};

/// Whose program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Ours,
    Redis,
}

impl Kind {
    fn program(self) -> PathBuf {
        match self {
            Kind::Ours => binary(),
            Kind::Redis => "redis-server".into(),
        }
    }
}

/// Whether redis-server can be started here; without it the mixed tests have nothing to mix with.
pub fn redis_is_here() -> bool {
    let found = Command::new("redis-server").arg("--version").output();
    if found.is_err() {
        eprintln!("skipped: there is no redis-server");
    }
    found.is_ok()
}

/// A process with a port; killed on drop.
pub struct Process {
    child: Child,
    pub port: u16,
    pub file: PathBuf,
    log: PathBuf,
}

impl Process {
    fn start(kind: Kind, dir: &Path, port: u16, args: &[&str]) -> Process {
        let log = dir.join(format!("{port}.log"));
        let out = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .expect("the log");
        let child = Command::new(kind.program())
            .args(args)
            .stdin(Stdio::null())
            .stdout(out.try_clone().expect("the log"))
            .stderr(out)
            .spawn()
            .expect("start a process");
        Process {
            child,
            port,
            file: PathBuf::new(),
            log,
        }
    }

    pub fn connect(&self) -> Client {
        connect(self.port)
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// `kill -NAME`
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([format!("-{name}"), self.child.id().to_string()])
            .status();
        assert!(status.expect("kill").success());
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

pub fn connect(port: u16) -> Client {
    let addr = SocketAddr::from(([127, 0, 0, 1], port));
    let begin = Instant::now();
    loop {
        match Client::try_connect(addr) {
            Ok(mut client) => {
                if client.send(&["PING"]).is_ok() && client.read().is_ok() {
                    return client;
                }
            }
            Err(error) if begin.elapsed() > Duration::from_secs(20) => {
                panic!("port {port}: {error}")
            }
            Err(_) => {}
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until `done` says so.
pub fn wait(what: &str, limit: Duration, mut done: impl FnMut() -> bool) -> Duration {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    begin.elapsed()
}

pub fn data_server(kind: Kind, dir: &Path, port: u16, master: Option<u16>) -> Process {
    let (port_text, data) = (port.to_string(), dir.join(port.to_string()));
    std::fs::create_dir_all(&data).expect("a directory");
    // With a file, so that CONFIG REWRITE of a failover lasts.
    let file = data.join("redis.conf");
    if !file.exists() {
        let mut text = format!(
            "port {port_text}\nbind 127.0.0.1\ndir {}\nsave \"\"\nrepl-diskless-sync-delay 0\n",
            data.display()
        );
        if let Some(master) = master {
            text.push_str(&format!("replicaof 127.0.0.1 {master}\n"));
        }
        std::fs::write(&file, text).expect("the configuration");
    }
    let mut process = Process::start(kind, dir, port, &[file.to_str().expect("plain path")]);
    process.file = file;
    process
}

pub fn sentinel(kind: Kind, dir: &Path, port: u16, lines: &str) -> Process {
    let file = dir.join(format!("sentinel-{port}.conf"));
    if !file.exists() {
        let text = format!(
            "# a Sentinel\nport {port}\nbind 127.0.0.1\ndir {}\n{lines}",
            dir.display()
        );
        std::fs::write(&file, text).expect("the configuration");
    }
    let path = file.to_str().expect("plain path");
    let mut process = match kind {
        Kind::Ours => Process::start(kind, dir, port, &["sentinel", path]),
        Kind::Redis => Process::start(kind, dir, port, &[path, "--sentinel"]),
    };
    process.file = file;
    process
}

pub struct Group {
    pub servers: Vec<Process>,
    pub sentinels: Vec<Process>,
    data: Kind,
    pub dir: TempDir,
}

impl Group {
    /// A master with two replicas, and Sentinels that know them and each other.
    pub fn start(data: Kind, sentinels: &[Kind]) -> Group {
        Group::with(data, sentinels, "")
    }

    pub fn with(data: Kind, kinds: &[Kind], more: &str) -> Group {
        let dir = TempDir::new();
        let first = free_port();
        let mut servers = vec![data_server(data, dir.path(), first, None)];
        connect(first);
        for _ in 0..2 {
            servers.push(data_server(data, dir.path(), free_port(), Some(first)));
        }
        servers.iter().for_each(|s| drop(s.connect()));
        let synced = || {
            let mut master = connect(first);
            let info = master.call(&["INFO", "replication"]).text();
            info.matches("state=online").count() == 2
        };
        wait("replicas in sync", Duration::from_secs(30), synced);
        let quorum = kinds.len() / 2 + 1;
        let lines = format!(
            "sentinel monitor mymaster 127.0.0.1 {first} {quorum}\n# patience\nsentinel down-after-milliseconds mymaster 1000\nsentinel failover-timeout mymaster 8000\n{more}"
        );
        let sentinels: Vec<Process> = kinds
            .iter()
            .map(|kind| sentinel(*kind, dir.path(), free_port(), &lines))
            .collect();
        let group = Group {
            servers,
            sentinels,
            data,
            dir,
        };
        group.wait_until_known();
        group
    }

    pub fn wait_until_known(&self) {
        let others = (self.sentinels.len() - 1).to_string();
        wait("everybody known", Duration::from_secs(30), || {
            self.sentinels.iter().all(|s| {
                let master = s.connect().call(&["SENTINEL", "MASTER", "mymaster"]);
                let field = |name| master.field(name).map(|v| v.text());
                field("num-other-sentinels").as_deref() == Some(&others)
                    && field("num-slaves").as_deref() == Some("2")
                    && field("flags").as_deref() == Some("master")
                    && all_replicas_answer(s)
            })
        });
    }

    /// The master's port that a Sentinel names.
    pub fn master_of(&self, sentinel: usize) -> u16 {
        let reply = self.sentinels[sentinel].connect().call(&[
            "SENTINEL",
            "GET-MASTER-ADDR-BY-NAME",
            "mymaster",
        ]);
        reply.items()[1].text().parse().expect("a port")
    }

    /// What all Sentinels that answer agree on.
    pub fn agreed(&self) -> Option<u16> {
        let mut ports: Vec<u16> = (0..self.sentinels.len())
            .map(|i| self.master_of(i))
            .collect();
        ports.dedup();
        (ports.len() == 1).then(|| ports[0])
    }

    pub fn server(&mut self, port: u16) -> &mut Process {
        let found = self.servers.iter_mut().find(|s| s.port == port);
        found.expect("a server of the group")
    }

    /// Starts a server that was killed anew, on its port and with its configuration.
    pub fn restart(&mut self, port: u16) {
        let (data, dir) = (self.data, self.dir.path().to_owned());
        *self.server(port) = data_server(data, &dir, port, None);
    }

    /// Waits for a new master that all agree on; returns it and the time it took.
    pub fn wait_for_switch(&self, old: u16, limit: Duration) -> (u16, Duration) {
        let mut new = old;
        let took = wait("a new master", limit, || {
            new = self.agreed().unwrap_or(old);
            new != old && role(new) == "master"
        });
        (new, took)
    }

    /// Waits until all other servers follow the master.
    pub fn wait_until_followed(&self, master: u16, limit: Duration) {
        wait("the others follow", limit, || {
            let others = self.servers.iter().filter(|s| s.port != master);
            others.into_iter().all(|s| {
                let Some(role) = ask(s.port, &["ROLE"]) else {
                    return false;
                };
                let items = role.items();
                items[0].text() == "slave"
                    && items[2] == Value::Int(i64::from(master))
                    && items[3].text() == "connected"
            })
        });
    }
}

/// Who reads of a failed test wants to know what the Sentinels saw.
impl Drop for Group {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for sentinel in &self.sentinels {
                println!("-- Sentinel on port {}:\n{}", sentinel.port, sentinel.log());
            }
        }
    }
}

fn all_replicas_answer(sentinel: &Process) -> bool {
    let replicas = sentinel
        .connect()
        .call(&["SENTINEL", "REPLICAS", "mymaster"]);
    replicas.items().iter().all(|r| {
        let field = |name| r.field(name).map(|v| v.text()).unwrap_or_default();
        field("flags") == "slave" && field("runid").len() == 40
    })
}

/// Asks a server whose connections a failover may end at any moment.
pub fn ask(port: u16, command: &[&str]) -> Option<Value> {
    let mut client = connect(port);
    client.send(command).ok()?;
    client.read().ok()
}

pub fn role(port: u16) -> String {
    ask(port, &["ROLE"]).map_or(String::new(), |role| role.items()[0].text())
}
