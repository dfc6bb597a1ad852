//! The process as a service: log, pid file, background, supervision, signals.

mod support;

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::{TempDir, binary, free_port};

const PATIENCE: Duration = Duration::from_secs(10);

/// Polls until `check` gives a value.
fn eventually<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if let Some(value) = check() {
            return value;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("{what}: not within {PATIENCE:?}");
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn start(dir: &TempDir, words: &[&str], notify: Option<&str>) -> Child {
    let port = free_port().to_string();
    let dir = dir.path().display().to_string();
    let mut command = Command::new(binary());
    command
        .args([
            "--port",
            &port,
            "--bind",
            "127.0.0.1",
            "--dir",
            &dir,
            "--save",
            "",
        ])
        .args(words);
    match notify {
        Some(address) => command.env("NOTIFY_SOCKET", address),
        None => command.env_remove("NOTIFY_SOCKET"),
    };
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn signal(pid: u32, name: &str) {
    assert!(
        Command::new("kill")
            .args([name, &pid.to_string()])
            .status()
            .unwrap()
            .success()
    );
}

#[test]
fn log_and_pid_file_of_an_orderly_run() {
    let dir = TempDir::new();
    let (log, pid_file) = (dir.path().join("a.log"), dir.path().join("a.pid"));
    // Relative names stand in `dir`.
    let mut child = start(
        &dir,
        &[
            "--logfile",
            "a.log",
            "--pidfile",
            "a.pid",
            "--activedefrag",
            "yes",
        ],
        None,
    );
    eventually("ready", || {
        read(&log)
            .contains("* Ready to accept connections")
            .then_some(())
    });
    assert_eq!(read(&pid_file), format!("{}\n", child.id()));
    let title = read(Path::new(&format!("/proc/{}/cmdline", child.id())));
    let title = title.trim_end_matches('\0');
    assert!(title.contains(" 127.0.0.1:"), "{title}");
    // The end of a login session, and what log rotation sends, is nothing to a server.
    signal(child.id(), "-HUP");
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(child.try_wait().unwrap(), None, "SIGHUP ended the server");
    signal(child.id(), "-TERM");
    assert!(child.wait().unwrap().success());
    assert!(!pid_file.exists());
    let text = read(&log);
    assert!(text.contains("# User requested shutdown...\n"), "{text}");
    assert_eq!(text.matches("'activedefrag'").count(), 1, "{text}");
    assert!(
        text.ends_with("# Redis is now ready to exit, bye bye...\n"),
        "{text}"
    );
    for line in text.lines() {
        let (pid, rest) = line.split_once(':').unwrap_or_else(|| panic!("{line}"));
        assert_eq!(pid, child.id().to_string(), "{line}");
        let words: Vec<&str> = rest.splitn(7, ' ').collect();
        assert!(
            ["M", "C"].contains(&words[0]) && words[4].len() == 12,
            "{line}"
        );
        assert!(["#", "*", "-", "."].contains(&words[5]), "{line}");
    }
}

#[test]
fn json_lines_and_a_quiet_level() {
    let dir = TempDir::new();
    let log = dir.path().join("j.log");
    let mut child = start(
        &dir,
        &[
            "--logfile",
            "j.log",
            "--log-format",
            "json",
            "--loglevel",
            "warning",
        ],
        None,
    );
    eventually("a line", || {
        read(&log).contains("Server initialized").then_some(())
    });
    signal(child.id(), "-INT");
    assert!(child.wait().unwrap().success());
    for line in read(&log).lines() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(value["level"], "warning");
        assert_eq!(value["pid"], child.id());
    }
}

#[test]
fn systemd_hears_of_start_and_stop() {
    let dir = TempDir::new();
    let address = dir.path().join("notify.sock");
    let socket = UnixDatagram::bind(&address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut child = start(
        &dir,
        &["--supervised", "auto"],
        Some(&address.display().to_string()),
    );
    let next = || {
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    let until = |wanted: &str| {
        while !next().lines().any(|line| line == wanted) {}
    };
    until("READY=1");
    signal(child.id(), "-TERM");
    until("STOPPING=1");
    assert!(child.wait().unwrap().success());
}

#[test]
fn in_the_background() {
    let dir = TempDir::new();
    let (log, pid_file) = (dir.path().join("d.log"), dir.path().join("d.pid"));
    let mut parent = start(
        &dir,
        &[
            "--daemonize",
            "yes",
            "--logfile",
            "d.log",
            "--pidfile",
            "d.pid",
        ],
        None,
    );
    assert!(parent.wait().unwrap().success(), "the parent ends at once");
    let pid: u32 = eventually("the pid file", || read(&pid_file).trim().parse().ok());
    assert_ne!(pid, parent.id());
    eventually("ready", || {
        read(&log)
            .contains("Ready to accept connections")
            .then_some(())
    });
    signal(pid, "-TERM");
    eventually("the end", || {
        (!Path::new(&format!("/proc/{pid}")).exists()).then_some(())
    });
    assert!(!pid_file.exists());
}

#[test]
fn a_start_that_cannot_work_gives_its_reason() {
    let dir = TempDir::new();
    let dir_text = dir.path().display().to_string();
    let run = |words: &[&str]| {
        let output = Command::new(binary())
            .args(["--dir", &dir_text])
            .args(words)
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    };
    let (code, text) = run(&["--logfile", "/nonexistent/a.log"]);
    assert_eq!(code, Some(1));
    assert!(
        text.contains("Can't open the log file: No such file or directory"),
        "{text}"
    );
    let (code, text) = run(&["--port", "0"]);
    assert_eq!(code, Some(1));
    assert!(
        text.contains("Configured to not listen anywhere, exiting."),
        "{text}"
    );
}

/// Users that cannot be understood must not start a server that lets everybody in.
#[test]
fn bad_users_are_refused() {
    let dir = TempDir::new();
    std::fs::write(dir.path().join("bad.acl"), "user u +nosuch\n").unwrap();
    let place = dir.path().display().to_string();
    let cases: [(&[&str], &str); 5] = [
        (
            &["--user", "default", "on", ">secret", "+nosuch"],
            "Error in user declaration '+nosuch': Unknown command",
        ),
        (
            &["--user", "u", "on", "--user", "u", "off"],
            "Duplicate user found.",
        ),
        (
            &["--user", "u", "on", "--aclfile", "bad.acl"],
            "but not both",
        ),
        (
            &["--aclfile", "none.acl"],
            "Error loading ACLs, opening file 'none.acl': No such file or directory",
        ),
        (
            &["--aclfile", "bad.acl"],
            "bad.acl:1: Error in applying operation '+nosuch'",
        ),
    ];
    for (options, reason) in cases {
        let output = Command::new(binary())
            .args(["--port", &free_port().to_string(), "--dir", &place])
            .args(options)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned()
            + &String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success(), "{text}");
        assert!(text.contains(reason), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
}
