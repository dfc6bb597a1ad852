//! Command line and configuration checks of the binary, seen from outside. Nothing here needs a running server.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("ferrite-cli-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        Scratch(dir)
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn ferrite(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ferrite"))
        .args(words)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Each of these ends the start with exit code 1 and Redis' words, once.
#[test]
fn what_cannot_be_followed_ends_the_start() {
    let scratch = Scratch::new("ends");
    let dir = format!("dir {}\n", scratch.0.display());
    let refused = |text: &str| {
        let conf = scratch.file("a.conf", &format!("{dir}port 0\n{text}\n"));
        let output = ferrite(&[&conf]);
        assert_eq!(output.status.code(), Some(1), "{text}");
        (stdout(&output), stderr(&output))
    };
    for (line, reason) in [
        (
            "rename-command NOSUCH x",
            "No such command in rename-command",
        ),
        (
            "rename-command GET SET",
            "Target command name already exists",
        ),
        (
            "logfile /nosuch/a.log",
            "Can't open the log file: No such file or directory",
        ),
    ] {
        let (out, err) = refused(line);
        assert_eq!(out, "", "{line}");
        assert!(err.contains("*** FATAL CONFIG FILE ERROR (Redis "), "{err}");
        assert!(err.ends_with(&format!("{reason}\n")), "{err}");
    }
    // Each alone may be missing, but not all of them.
    let (out, _) = refused("port 1\nbind -192.0.2.77 -192.0.2.78");
    assert!(
        out.contains("Configured to not listen anywhere, exiting."),
        "{out}"
    );
    // Not a socket that somebody left behind.
    let file = scratch.file("precious", "data");
    let (out, _) = refused(&format!("unixsocket {file}"));
    assert!(
        out.contains("Failed opening Unix socket: bind: Address already in use"),
        "{out}"
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "data");
    let output = ferrite(&["--sentinel"]);
    assert_eq!(
        (output.status.code(), stdout(&output)),
        (Some(1), String::new())
    );
    let needed = "Sentinel needs config file on disk";
    assert_eq!(stderr(&output).matches(needed).count(), 1);
}

#[test]
fn version_and_help() {
    for word in ["--version", "-v"] {
        let output = ferrite(&[word]);
        assert!(output.status.success());
        let text = stdout(&output);
        let version = text
            .split(' ')
            .find_map(|word| word.strip_prefix("v="))
            .unwrap();
        assert!(
            version
                .split('.')
                .all(|number| number.parse::<u32>().is_ok()),
            "{text}"
        );
    }
    let output = ferrite(&["--help"]);
    assert!(output.status.success() && stdout(&output).contains("check-config"));
}

#[test]
fn a_wrong_line_ends_the_start_with_its_place() {
    let scratch = Scratch::new("wrong");
    let file = scratch.file("a.conf", "# fine\nport 0\nmaxmemroy 5mb\n");
    let output = ferrite(&[&file]);
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    for part in [
        "*** FATAL CONFIG FILE ERROR (Redis 7.",
        "Reading the configuration file, at line 3",
        ">>> 'maxmemroy 5mb'",
        "Bad directive or wrong number of arguments",
        "Did you mean 'maxmemory'?",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn wrong_options_end_the_start() {
    let cases: [(&[&str], &str); 4] = [
        (&["--port"], "'port'\nwrong number of arguments"),
        (
            &["--port", "6379", "6380"],
            "'port \"6379\" \"6380\"'\nwrong number of arguments",
        ),
        (
            &["--loglevel", "--bla"],
            "'loglevel \"--bla\"'\nargument(s) must be one of the following",
        ),
        (
            &["/nonexistent/a.conf"],
            "can't open config file '/nonexistent/a.conf': No such file or directory",
        ),
    ];
    for (words, expected) in cases {
        let output = ferrite(words);
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        assert!(
            stderr(&output).contains(expected),
            "{words:?}: {}",
            stderr(&output)
        );
    }
}

#[test]
fn configuration_from_standard_input() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ferrite"))
        .arg("-")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"port 0\nfoo 1\n")
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("at line 2"), "{}", stderr(&output));
}

#[test]
fn check_config_tells_scripts_by_its_code() {
    let scratch = Scratch::new("check");
    let dir = scratch.0.display();
    let socket = format!("port 0\nunixsocket {dir}/s.sock\ndir {dir}\n");
    let good = scratch.file("good.conf", &socket);
    let bad = scratch.file("bad.conf", &format!("{socket}port x\nsave 1\n"));
    let odd = scratch.file(
        "odd.conf",
        &format!("{socket}maxmemory-policy allkeys-lru\n"),
    );

    let output = ferrite(&["check-config", &good]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));

    let output = ferrite(&["check-config", &good, &bad]);
    assert_eq!(output.status.code(), Some(1));
    let text = stdout(&output);
    assert!(
        text.contains("bad.conf: line 4: error: 'port x': argument couldn't be parsed"),
        "{text}"
    );
    assert!(
        text.contains("bad.conf: line 5: error: 'save 1': Invalid save parameters"),
        "{text}"
    );
    assert!(
        text.contains("good.conf: ok (errors: 0, warnings: 0)"),
        "{text}"
    );

    assert_eq!(ferrite(&["check-config", &odd]).status.code(), Some(0));
    assert_eq!(
        ferrite(&["check-config", "--strict", &odd]).status.code(),
        Some(1)
    );
    assert_eq!(ferrite(&["check-config"]).status.code(), Some(2));
}

#[test]
fn check_config_understands_a_sentinels_file() {
    let scratch = Scratch::new("sentinel");
    let dir = scratch.0.display();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let head =
        format!("port {port}\nbind 127.0.0.1\ndir {dir}\nsentinel monitor m 127.0.0.1 6379 2\n");
    let good = scratch.file(
        "good.conf",
        &format!("{head}sentinel down-after-milliseconds m 1000\n"),
    );
    let output = ferrite(&["check-config", "--strict", &good]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(
        text.contains("ok for a Sentinel (errors: 0, warnings: 0)"),
        "{text}"
    );
    assert!(
        !std::fs::read_to_string(&good).unwrap().contains("myid"),
        "nothing is written"
    );

    let bad = scratch.file(
        "bad.conf",
        &format!(
            "{head}sentinel down-after-milliseconds other 5\nsentinel quorum m 5\nport x\nsentinel parallel-syncs m 0\nsentinel auth-pass m secret\n"
        ),
    );
    let output = ferrite(&["check-config", &bad]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1));
    for wanted in [
        "line 5: error: 'sentinel down-after-milliseconds other 5': No such master with specified name.",
        "line 6: error: 'sentinel quorum m 5': Unrecognized sentinel configuration statement.",
        "line 7: error: 'port x': argument couldn't be parsed into an integer",
        "line 8: error: 'sentinel parallel-syncs m 0': Invalid number of parallel syncs.",
        "not usable for a Sentinel (errors: 4,",
    ] {
        assert!(text.contains(wanted), "{wanted} in {text}");
    }

    let id = |c: &str| c.repeat(40);
    let odd = scratch.file(
        "odd.conf",
        &format!(
            "{head}sentinel monitor n 127.0.0.1 6380 5\nsentinel known-sentinel n 127.0.0.1 5 {}\nsentinel monitor o 127.0.0.1 6381 1\nsentinel auth-pass o secret\n",
            id("a")
        ),
    );
    let text = stdout(&ferrite(&["check-config", &odd]));
    for wanted in [
        "n: a quorum of 5 cannot be reached by the 2 Sentinels that this file knows",
        "o: with a quorum of 1",
        "holds a password",
    ] {
        assert!(text.contains(wanted), "{wanted} in {text}");
    }
    let none = scratch.file(
        "none.conf",
        &format!(
            "port {port}\nbind 127.0.0.1\ndir {dir}\nsentinel myid {}\n",
            id("b")
        ),
    );
    let text = stdout(&ferrite(&["check-config", &none]));
    assert!(text.contains("monitors nothing"), "{text}");
}

#[test]
fn file_tools_say_which_file_is_missing() {
    for words in [
        &["check-aof", "no-such-file"],
        &["check-rdb", "no-such-file"],
    ] {
        let output = ferrite(words);
        assert_eq!(output.status.code(), Some(1));
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            stderr(&output)
        );
        assert!(
            text.contains("no-such-file") || text.contains("No such file"),
            "{text}"
        );
    }
}
