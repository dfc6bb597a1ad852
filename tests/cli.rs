//! `ferrite cli` prints what redis-cli prints: the same calls of both on the same server and data, compared byte for byte.
//!
//! On a terminal tests/clients/cli_terminal.py tries it, which the last test runs.

mod support;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use support::{Server, TempDir, binary};

/// How the two are started.
#[derive(Clone, Copy)]
enum Which {
    Redis,
    Ferrite,
}

impl Which {
    fn command(self) -> Command {
        let mut command = match self {
            Which::Redis => Command::new("redis-cli"),
            Which::Ferrite => {
                let mut command = Command::new(binary());
                command.arg("cli");
                command
            }
        };
        command
            .env_remove("REDISCLI_AUTH")
            .env("TERM", "dumb")
            .env("HOME", "/nonexistent");
        command
    }

    /// Runs with this input to the end.
    fn run(self, args: &[&str], input: &[u8], tty: bool) -> Output {
        let mut command = self.command();
        if tty {
            command.env("FAKETTY", "1");
        }
        finish(command.args(args), input)
    }
}

fn finish(command: &mut Command, input: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("redis-cli is installed by scripts/test");
    let mut stdin = child.stdin.take().unwrap();
    // It may end without reading everything.
    let _ = stdin.write_all(input);
    drop(stdin);
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string().replace("\\n", "\n")
}

/// The same data before every call.
fn seed(server: &Server) {
    let mut client = server.connect();
    for line in [
        "FLUSHALL",
        "MSET k1 v1 k2 \"bin\\x01\\xff\\r\\n\\\"q\\\\\" k3 10 empty \"\" utf \"\\xc3\\xa9t\\xc3\\xa9\"",
        "RPUSH l a b c",
        "RPUSH twelve 1 2 3 4 5 6 7 8 9 10 11 12",
        "HSET h f v g \"a\\\"b\"",
        "ZADD z 1 a 2.5 b inf c",
        "SADD one member",
        "XADD st 1-1 a b",
        "XADD st 2-1 c d e f",
        "XGROUP CREATE st grp 0",
        "XREADGROUP GROUP grp me COUNT 1 STREAMS st >",
        "SELECT 3",
        "SET other x",
    ] {
        let reply = client.line(line);
        assert!(!reply.is_error(), "{line}: {reply:?}");
    }
}

/// One call of both on fresh data.
fn same_with(server: &Server, args: &[&str], input: &[u8], tty: bool) {
    let port = server.port().to_string();
    let args = [&["-p", &port], args].concat();
    seed(server);
    let wanted = Which::Redis.run(&args, input, tty);
    seed(server);
    let seen = Which::Ferrite.run(&args, input, tty);
    let what = format!("{args:?} {}", text(input));
    assert_eq!(text(&seen.stdout), text(&wanted.stdout), "stdout of {what}");
    assert_eq!(text(&seen.stderr), text(&wanted.stderr), "stderr of {what}");
    assert_eq!(seen.status.code(), wanted.status.code(), "code of {what}");
}

fn same(server: &Server, args: &[&str]) {
    same_with(server, args, b"", false);
}

/// Commands with all kinds of replies, as words.
const COMMANDS: &[&[&str]] = &[
    &["get", "k1"],
    &["get", "k2"],
    &["get", "empty"],
    &["get", "utf"],
    &["get", "none"],
    &["set", "new", "1"],
    &["incr", "k3"],
    &["incr", "k1"],
    &["nosuch", "a"],
    &["get"],
    &["lrange", "l", "0", "-1"],
    &["lrange", "twelve", "0", "-1"],
    &["lrange", "none", "0", "-1"],
    &["mget", "k1", "none", "k3"],
    &["hgetall", "h"],
    &["hgetall", "none"],
    &["smembers", "one"],
    &["smembers", "none"],
    &["zrange", "z", "0", "-1", "withscores"],
    &["zscore", "z", "b"],
    &["zmscore", "z", "a", "x", "c"],
    &["xrange", "st", "-", "+"],
    &["xread", "streams", "st", "0"],
    &["xinfo", "stream", "st"],
    &["xinfo", "groups", "st"],
    &["xpending", "st", "grp"],
    &["config", "get", "maxmemory*"],
    &["config", "get", "save"],
    &["info", "replication"],
    &["client", "no-evict", "off"],
    &["memory", "doctor"],
    &["latency", "doctor"],
    &["command", "info", "get"],
    &["command", "docs", "xgroup"],
    &["command", "count"],
    &["object", "encoding", "l"],
    &["scan", "0", "count", "1000", "match", "k1"],
    &["geopos", "z", "a", "x"],
    &["exists", "k1", "k2"],
    &["eval", "return {1,{2,{3,'x'},{}},false}", "0"],
    &["eval", "return redis.error_reply('My \"error\"')", "0"],
    &[
        "eval",
        "return {redis.error_reply('E a'),redis.status_reply('S')}",
        "0",
    ],
    &["eval", "redis.setresp(3); return {map={a=1}}", "0"],
    &[
        "eval",
        "redis.setresp(3); return {map={[1]={set={x=true}}}}",
        "0",
    ],
    &[
        "eval",
        "redis.setresp(3); return {map={a={map={b={1,2}}}}}",
        "0",
    ],
    &["eval", "redis.setresp(3); return {double=3.25}", "0"],
    &["eval", "redis.setresp(3); return {map={}}", "0"],
    &["eval", "redis.setresp(3); return {set={}}", "0"],
    &["eval", "return {}", "0"],
    &["debug", "protocol", "string"],
    &["debug", "protocol", "integer"],
    &["debug", "protocol", "double"],
    &["debug", "protocol", "null"],
    &["debug", "protocol", "array"],
    &["debug", "protocol", "set"],
    &["debug", "protocol", "map"],
    &["debug", "protocol", "push"],
    &["debug", "protocol", "verbatim"],
    &["debug", "protocol", "true"],
    &["debug", "protocol", "false"],
    &["debug", "stringmatch-len", "10", "*"],
];

fn server() -> Server {
    Server::with_options(&["--enable-debug-command", "yes"])
}

/// Each command by itself.
fn all_commands(options: &[&str]) {
    let server = server();
    for command in COMMANDS {
        same(&server, &[options, *command].concat());
    }
}

/// All of them in one session, which is much faster.
fn all_at_once(options: &[&str], leave_out: &[&str], tty: bool) {
    let mut session = Vec::new();
    for command in COMMANDS {
        if command.iter().any(|word| leave_out.contains(word)) {
            continue;
        }
        for word in *command {
            let word = word.replace('\\', "\\\\").replace('"', "\\\"");
            session.extend(format!("\"{word}\" ").bytes());
        }
        session.push(b'\n');
    }
    same_with(&server(), options, &session, tty);
}

#[test]
fn commands_one_by_one() {
    all_commands(&[]);
}

#[test]
fn commands_one_by_one_for_people() {
    all_commands(&["-3", "--no-raw"]);
}

#[test]
fn replies_in_every_form() {
    let forms: [&[&str]; 8] = [
        &["--no-raw"],
        &["--csv"],
        &["-2", "--json"],
        &["-3"],
        &["-3", "--no-raw"],
        &["-3", "--csv"],
        &["--json"],
        &["-d", ";", "-D", "."],
    ];
    for form in forms {
        all_at_once(form, &[], false);
    }
    all_at_once(&[], &[], true);
    // A quote inside makes redis-cli's quoted JSON broken.
    let quotes = [
        "k2",
        "h",
        "return redis.error_reply('My \"error\"')",
        "docs",
    ];
    all_at_once(&["--quoted-json"], &quotes, false);
}

#[test]
fn options() {
    let server = server();
    let call = |line: &str| {
        let words = support::words::split(line).expect("balanced quotes");
        let words: Vec<String> = words
            .into_iter()
            .map(|word| String::from_utf8(word).unwrap())
            .collect();
        same(
            &server,
            &words.iter().map(String::as_str).collect::<Vec<_>>(),
        );
    };
    for line in [
        "-n 3 get other",
        "-n 99 get k1",
        "-n 3 --no-raw --scan",
        "-a wrong get k1",
        "-a wrong --no-auth-warning get k1",
        "--pass wrong get k1",
        "--user default -a any --no-auth-warning get k1",
        "--user nobody --pass any --no-auth-warning get k1",
        "-r 3 incr k3",
        "-r 2 -i 0.01 incr k3",
        "-r 2 --csv lrange l 0 -1",
        "-d , lrange l 0 -1",
        "-d ; -D . lrange l 0 -1",
        "-D X get k1",
        "--no-raw -D X get k1",
        "-D \"\" --raw dump k1",
        "-e incr k1",
        "-e get k1",
        "-e --no-raw nosuch",
        "-e -r 3 incr k1",
        "--quoted-input set '\"null-\\x00-x\"' v",
        "--quoted-input get '\"unterminated'",
        "--quoted-input get '\"two\" \"words\"'",
        "--nosuch",
        "-X",
        "-p",
        "-x -X tag get",
        "-2 -3 ping",
        "--show-pushes maybe ping",
        "-u nosuch://127.0.0.1 ping",
        "-u redis://a%zz@127.0.0.1 ping",
        "-h 127.0.0.1 ping",
        "-h 127.0.0.1 -p 1 ping",
        "-s /nonexistent/socket ping",
        "--show-pushes no -3 debug protocol push",
        "-3 --show-pushes yes debug protocol push",
        "-3 --show-pushes yes --no-raw debug protocol push",
        "--no-raw subscribe",
        "--scan",
        "--scan --pattern k*",
        "--scan --quoted-pattern '\"\\x6b*\"'",
        "--no-raw --scan --pattern k2",
        "--json --scan --pattern k1",
        "--scan --pattern nothing*",
        "--bigkeys",
        "--bigkeys --pattern k*",
        "--memkeys",
        "--memkeys-samples 2",
        "--hotkeys",
        "--eval /nonexistent.lua a",
        "--rdb /nonexistent/directory/file",
    ] {
        call(line);
    }
}

#[test]
fn standard_input_as_an_argument() {
    let server = server();
    for (line, input) in [
        (&["-x", "set", "x"][..], &b"some\nthing\xff"[..]),
        (&["-x", "append", "k1"], b""),
        (&["-x"], b"ping"),
        (&["-X", "tag", "set", "tag", "v"], b"name"),
        (&["-X", "tag", "set", "a", "b"], b"name"),
        (&["-X", "tag"], b"name"),
    ] {
        same_with(&server, line, input, false);
    }
}

const SESSION: &str = "set a 1\n\n   \nincr a\n3 incr a\n0 incr a\n-1 incr a\n\"unbalanced\nget \"\"a\nget \"k1\"\n\
    get 'k1'\nset \"\\x41\\n\" b\nget \"\\x41\\n\"\nselect 3\nget other\nselect 99\nmulti\nset x 1\nselect 5\nget x\nexec\ndiscard\n\
    hgetall h\nhello 3\nhgetall h\nhello 2\nnosuch a b\nlrange l 0 -1\ninfo keyspace\n:nosuch\n:set nosuch\nrestart\n\
    auth wrong\nreset\nget k1\nping\nquit\nping\n";

#[test]
fn a_session_from_a_pipe() {
    let calls = [
        &[][..],
        &["--no-raw"],
        &["--csv"],
        &["--json"],
        &["-3"],
        &["-n", "3"],
    ];
    for (options, tty) in calls
        .map(|options| (options, false))
        .into_iter()
        .chain([(&[][..], true)])
    {
        // Two servers that do not know of each other give their clients the same numbers.
        let run = |which: Which| {
            let server = server();
            seed(&server);
            let port = server.port().to_string();
            let args = [&["-p", &port], options].concat();
            which.run(&args, SESSION.as_bytes(), tty)
        };
        let (wanted, seen) = (run(Which::Redis), run(Which::Ferrite));
        assert_eq!(
            text(&seen.stdout),
            text(&wanted.stdout),
            "{options:?} {tty}"
        );
        assert_eq!(
            text(&seen.stderr),
            text(&wanted.stderr),
            "{options:?} {tty}"
        );
        assert_eq!(seen.status.code(), wanted.status.code());
    }
    let server = server();
    // The last line needs no end.
    same_with(&server, &[], b"get k1\nget k3", false);
}

#[test]
fn mass_insertion() {
    let server = server();
    let mut many = Vec::new();
    for n in 0..20_000 {
        many.extend(format!("set key:{n} {n}\r\n").bytes());
    }
    let large = format!(
        "*3\r\n$3\r\nSET\r\n$1\r\nl\r\n$3000000\r\n{}\r\n",
        "x".repeat(3_000_000)
    );
    for input in [
        &b""[..],
        b"set p 1\r\nincr p\r\nnosuch\r\n*2\r\n$3\r\nget\r\n$1\r\np\r\n",
        b"set p 1\r\nincr p",
        &many,
        large.as_bytes(),
    ] {
        same_with(&server, &["--pipe"], input, false);
    }
    assert_eq!(server.connect().line("STRLEN l").int(), 3_000_000);
}

#[test]
fn scripts_from_files() {
    let server = server();
    let dir = TempDir::new();
    let file = dir.path().join("s.lua");
    std::fs::write(&file, "return {KEYS, ARGV, #ARGV}").unwrap();
    let file = file.to_str().unwrap();
    for args in [&["a", "b", ",", "c"][..], &["a"], &[",", "c", ","], &[]] {
        same(&server, &[&["--no-raw", "--eval", file], args].concat());
    }
}

#[test]
fn large_and_deep_replies() {
    let server = server();
    let mut client = server.connect();
    client.line("DEBUG POPULATE 20000 key 100");
    let list = "for i=1,30000 do redis.call('rpush','big',i) end";
    client.call(&["EVAL", list, "0"]);
    let port = server.port().to_string();
    let deep = "local t={1} for i=1,100 do t={t,i} end return t";
    for args in [
        &["lrange", "big", "0", "-1"][..],
        &["--no-raw", "lrange", "big", "0", "-1"],
        &["--no-raw", "eval", deep, "0"],
        &["--json", "eval", deep, "0"],
        &["--scan", "--pattern", "key:1*"],
        &["--bigkeys"],
        &["--no-raw", "command", "docs"],
        &["-3", "--json", "command"],
    ] {
        let args = [&["-p", &port], args].concat();
        let wanted = Which::Redis.run(&args, b"", false);
        let seen = Which::Ferrite.run(&args, b"", false);
        assert!(seen.stdout == wanted.stdout, "{args:?}");
        assert_eq!(seen.status.code(), wanted.status.code());
    }
}

#[test]
fn hot_keys_of_an_lfu_policy() {
    let server = Server::with_options(&["--maxmemory-policy", "allkeys-lfu"]);
    seed(&server);
    let mut client = server.connect();
    for _ in 0..200 {
        client.line("GET k1");
    }
    let port = server.port().to_string();
    let args = ["-p", &port, "--hotkeys", "--pattern", "k1"];
    let wanted = Which::Redis.run(&args, b"", false);
    let seen = Which::Ferrite.run(&args, b"", false);
    assert_eq!(text(&seen.stdout), text(&wanted.stdout));
}

/// Digits are replaced: what is measured differs, its form does not.
fn form(bytes: &[u8]) -> String {
    let mut form = String::new();
    for c in String::from_utf8_lossy(bytes).chars() {
        let c = if c.is_ascii_digit() { '9' } else { c };
        if !(c == '9' && form.ends_with('9')) {
            form.push(c);
        }
    }
    form
}

#[test]
fn latency() {
    let server = server();
    let port = server.port().to_string();
    for options in [&[][..], &["--raw"], &["--csv"], &["--json"]] {
        let args = [&["-p", &port, "--latency", "-i", "0.1"], options].concat();
        let wanted = Which::Redis.run(&args, b"", false);
        let seen = Which::Ferrite.run(&args, b"", false);
        assert_eq!(form(&seen.stdout), form(&wanted.stdout), "{options:?}");
        assert_eq!(seen.status.code(), wanted.status.code());
    }
    let told = Which::Ferrite.run(&["--intrinsic-latency", "0.1"], b"", false);
    let told = form(&told.stdout);
    let end = "\n9 total runs (avg latency: 9.9 microseconds / 9.9 nanoseconds per run).\n\
        Worst run took 9x longer than the average latency.\n";
    assert!(told.ends_with(end), "{told}");
}

fn rdb(which: Which, server: &str, options: &[&str], file: &Path) -> String {
    let file = file.to_str().unwrap();
    let args = [&["-p", server], options, &[file]].concat();
    let output = which.run(&args, b"", false);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    text(&output.stderr).replace(file, "FILE")
}

/// Both forms of a transfer, from Ferrite and from redis-server.
#[test]
fn data_sets_as_files() {
    let dir = TempDir::new();
    let redis = support::peer::Peer::start(Path::new("/usr/bin/redis-server"), &[]);
    let ferrite = Server::with_options(&["--repl-diskless-sync-delay", "0"]);
    for port in [ferrite.port(), redis.port()] {
        let mut client =
            support::Client::try_connect(std::net::SocketAddr::from(([127, 0, 0, 1], port)))
                .unwrap();
        for n in 0..500 {
            client.line(&format!("SET key:{n} {}", "v".repeat(n + 1)));
        }
        let port = port.to_string();
        for diskless in ["yes", "no"] {
            client.line(&format!("CONFIG SET repl-diskless-sync {diskless}"));
            let (ours, theirs) = (dir.path().join("ours"), dir.path().join("theirs"));
            for options in [&["--rdb"][..], &["--functions-rdb"]] {
                let wanted = rdb(Which::Redis, &port, options, &theirs);
                let seen = rdb(Which::Ferrite, &port, options, &ours);
                assert_eq!(form(seen.as_bytes()), form(wanted.as_bytes()));
                let check = Command::new(binary())
                    .arg("check-rdb")
                    .arg(&ours)
                    .output()
                    .unwrap();
                assert!(check.status.success(), "{}", text(&check.stdout));
            }
            rdb(Which::Ferrite, &port, &["--rdb"], &ours);
            let loaded = Server::with_options(&[
                "--dir",
                dir.path().to_str().unwrap(),
                "--dbfilename",
                "ours",
            ]);
            let mut client = loaded.connect();
            while client.line("DBSIZE").is_error() {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            assert_eq!(client.line("DBSIZE").int(), 500);
            let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
            assert_eq!(left.len(), 2, "no temporary file is left: {left:?}");
        }
        let args = ["-p", &port, "--rdb", "-"];
        let streamed = Which::Ferrite.run(&args, b"", false);
        assert!(streamed.stdout.starts_with(b"REDIS0"));
    }
}

/// A program that runs until it is killed, and what it has written.
struct Running {
    child: std::process::Child,
    file: std::path::PathBuf,
}

impl Running {
    fn start(server: &Server, args: &[&str], dir: &TempDir, name: &str) -> Running {
        let file = dir.path().join(name);
        let out = std::fs::File::create(&file).unwrap();
        let child = Which::Ferrite
            .command()
            .args(["-p", &server.port().to_string()])
            .args(args)
            .stdin(Stdio::null())
            .stderr(out.try_clone().unwrap())
            .stdout(out)
            .spawn()
            .unwrap();
        Running { child, file }
    }

    fn text(&self) -> String {
        std::fs::read_to_string(&self.file).unwrap()
    }

    /// Waits until it has written this.
    fn wait_for(&self, wanted: &str) -> String {
        let begin = std::time::Instant::now();
        while !self.text().contains(wanted) {
            assert!(
                begin.elapsed().as_secs() < 10,
                "no {wanted:?} in {:?}",
                self.text()
            );
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        self.text()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn what_goes_on_until_it_is_stopped() {
    let server = server();
    let dir = TempDir::new();
    let mut client = server.connect();
    let start = |args: &[&str], name: &str| Running::start(&server, args, &dir, name);
    let subscribed = start(&["--no-raw", "subscribe", "a", "b"], "1");
    subscribed.wait_for("2) \"b\"\n3) (integer) 2\n");
    let raw = start(&["-3", "psubscribe", "a*"], "2");
    raw.wait_for("psubscribe\na*\n1\n");
    client.line("PUBLISH a hello");
    let text = subscribed.wait_for("1) \"message\"\n2) \"a\"\n3) \"hello\"\n");
    assert!(text.starts_with("Reading messages... (press Ctrl-C to quit)\n1) \"subscribe\"\n"));
    raw.wait_for("pmessage\na*\na\nhello\n");
    let monitor = start(&["monitor"], "3");
    monitor.wait_for("OK\n");
    client.line("SET seen 1");
    monitor.wait_for("\"SET\" \"seen\" \"1\"\n");
    let replica = start(&["--replica"], "4");
    replica.wait_for(" Logging commands from master.\n");
    client.line("SET seen 2");
    replica.wait_for("\"SET\",\"seen\",\"2\"\n");
    let stat = start(&["--stat", "-i", "0.05"], "5");
    stat.wait_for(
        "keys       mem      clients blocked requests            connections          \n1  ",
    );
    client.line("CLIENT KILL TYPE pubsub");
    subscribed.wait_for("Error: Server closed the connection\n");
    client.line("CLIENT KILL TYPE replica");
    replica.wait_for("Error: Server closed the connection\n");
}

/// Redirections, as cluster nodes give them.
#[test]
fn redirections_are_followed() {
    use std::net::TcpListener;
    let server = server();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let place = server.port();
    let node = std::thread::spawn(move || {
        for kind in ["MOVED", "ASK"] {
            let (mut peer, _) = listener.accept().unwrap();
            let mut request = [0; 1000];
            let n = std::io::Read::read(&mut peer, &mut request).unwrap();
            assert!(n > 0);
            write!(peer, "-{kind} 12182 127.0.0.1:{place}\r\n").unwrap();
        }
    });
    let told = Which::Ferrite.run(&["-p", &port, "-c", "set", "k", "v"], b"", false);
    assert_eq!(text(&told.stdout), "OK\n");
    // ASKING is refused outside of a cluster, and the command goes on.
    let told = Which::Ferrite.run(&["-p", &port, "-c", "get", "k"], b"", false);
    assert_eq!(text(&told.stdout), "v\n");
    node.join().unwrap();
}

#[test]
fn a_session_survives_the_end_of_its_connection() {
    let server = Server::with_options(&["--requirepass", "secret"]);
    let port = server.port().to_string();
    let input =
        b"auth secret\nselect 3\nset a 1\nclient kill type normal skipme no\nget a\nget a\n";
    let told = Which::Ferrite.run(&["-p", &port], input, false);
    let out = text(&told.stdout);
    // The server ends the connection before or behind the reply.
    let out = out.replace("OK\nOK\nOK\n1\n1\n1\n", "OK\nOK\nOK\n1\n1\n");
    assert_eq!(out, "OK\nOK\nOK\n1\n1\n", "{}", text(&told.stderr));
}

#[test]
fn help_and_version() {
    let help = Which::Ferrite.run(&["--help"], b"", false);
    assert_eq!(help.status.code(), Some(0));
    let help = String::from_utf8(help.stdout).unwrap();
    for line in String::from_utf8(Which::Redis.run(&["--help"], b"", false).stdout)
        .unwrap()
        .lines()
    {
        let word = line.trim_start().split(' ').next().unwrap_or_default();
        let others = [
            "--tls-ciphers",
            "--tls-ciphersuites",
            "--lru-test",
            "--ldb",
            "--ldb-sync-mode",
            "--cluster",
        ];
        if line.starts_with("  -") && !others.contains(&word) {
            assert!(
                help.contains(&format!("\n  {word}")),
                "{word} has no line in --help"
            );
        }
    }
    assert!(help.lines().all(|line| line.len() <= 90));
    let version = Which::Ferrite.run(&["--version"], b"", false);
    assert!(version.stdout.starts_with(b"redis-cli 7."));
    let told = Which::Ferrite.run(&["-p", "1"], b"help get\nhelp @pubsub\n", false);
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(
        told.contains("  GET key\n  summary: ") && told.contains("  PUBLISH channel message\n")
    );
    // As a command of the shell, and without a server.
    let told = Which::Ferrite.run(&["-p", "1", "HELP", "@pubsub"], b"", false);
    assert_eq!(told.status.code(), Some(0));
    assert!(text(&told.stdout).contains("  PUBLISH channel message\n"));
    let told = Which::Ferrite.run(&["--cluster", "info"], b"", false);
    assert_eq!(told.status.code(), Some(1));
    assert!(text(&told.stderr).contains("redis-cli --cluster"));
}

#[test]
fn on_a_terminal() {
    let server = server();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/cli_terminal.py");
    let mut command = Command::new("python3");
    command
        .arg(script)
        .arg(binary())
        .arg(server.port().to_string());
    let told = finish(&mut command, b"");
    let out = String::from_utf8_lossy(&told.stdout).into_owned();
    let failed: Vec<&str> = out
        .lines()
        .filter(|line| !line.starts_with("PASS "))
        .collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert_eq!(told.status.code(), Some(0), "{}", text(&told.stderr));
    assert!(out.lines().count() >= 50, "{out}");
}

#[test]
fn with_tls() {
    let dir = TempDir::new();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (cert, key) = (path("s.crt"), path("s.key"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ])
        .args([
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-keyout",
            &key,
            "-out",
            &cert,
        ])
        .output()
        .unwrap();
    assert!(made.status.success());
    let port = support::free_port().to_string();
    let files = [
        "--tls-cert-file",
        &cert,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &cert,
    ];
    let server = Server::with_options(&[&["--tls-port", &port][..], &files].concat());
    let call = |options: &[&str], input: &[u8]| {
        let told = Which::Ferrite.run(&[&["-p", &port], options].concat(), input, false);
        (text(&told.stdout), told.status.code(), text(&told.stderr))
    };
    let own = ["--tls", "--cacert", &cert, "--cert", &cert, "--key", &key];
    assert_eq!(
        call(&[&own[..], &["set", "k", "v"]].concat(), b"").0,
        "OK\n"
    );
    let trusting = ["--tls", "--insecure", "--cert", &cert, "--key", &key];
    assert_eq!(call(&[&trusting[..], &["get", "k"]].concat(), b"").0, "v\n");
    let uri = format!("rediss://localhost:{port}/3");
    assert_eq!(
        call(&[&own[..], &["-u", &uri, "get", "k"]].concat(), b"").0,
        "\n"
    );
    let strangers = call(&["--tls", "--cert", &cert, "--key", &key, "ping"], b"");
    assert_eq!(strangers.1, Some(1));
    assert!(strangers.2.contains("TLS handshake: "), "{}", strangers.2);
    // Large values in both directions, and many replies while much is sent.
    let large = vec![b'x'; 5_000_000];
    assert_eq!(
        call(&[&own[..], &["-x", "set", "large"]].concat(), &large).0,
        "OK\n"
    );
    assert_eq!(
        call(&[&own[..], &["get", "large"]].concat(), b"").0.len(),
        large.len() + 1
    );
    let many: String = (0..20_000)
        .map(|n| {
            let now_and_then = if n % 5000 == 0 { "get large\r\n" } else { "" };
            format!("set key:{n} {n}\r\n{now_and_then}")
        })
        .collect();
    let piped = call(&[&own[..], &["--pipe"]].concat(), many.as_bytes()).0;
    assert!(piped.ends_with("errors: 0, replies: 20004\n"), "{piped}");
    drop(server);
}
