//! Files go both ways between this server and Redis and Valkey: all types, expiries, several databases, equal digests.
//!
//! The others are redis-server 7.0.15 of the system, and what scripts/peers keeps in .cache/peers; one that is not there is
//! left out.

mod support;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::{Client, TempDir, binary, free_port};

/// A server of whatever make, with the data of a directory.
struct Any {
    child: Child,
    client: Client,
}

impl Any {
    #[allow(clippy::zombie_processes)] // A server that does not start ends the test.
    fn start(program: &Path, dir: &Path) -> Any {
        let port = free_port();
        let mut child = Command::new(program)
            .args([
                "--port",
                &port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
            ])
            .args(["--dir", dir.to_str().expect("plain path")])
            .args(["--enable-debug-command", "yes"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start a server");
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(30) {
            if let Ok(mut client) = Client::try_connect(([127, 0, 0, 1], port).into())
                && client.send(&["PING"]).is_ok()
                && client.read().is_ok_and(|reply| reply.text() == "PONG")
            {
                return Any { child, client };
            }
            if let Ok(Some(status)) = child.try_wait() {
                panic!("{} ended with {status}", program.display());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("{} does not start", program.display());
    }

    fn ok(&mut self, line: &str) {
        let reply = self.client.line(line);
        assert!(!reply.is_error(), "{line}: {reply:?}");
    }

    /// The digest of everything, but for hashes whose fields end: servers do not agree on theirs. Of these the content.
    fn digest(&mut self) -> String {
        let hashes = [
            "HPEXPIRETIME fields FIELDS 3 a b c",
            "HMGET fields a b c",
            "HPEXPIRETIME manyfields FIELDS 3 field:1 field:2 field:599",
            "HLEN manyfields",
            "HGET manyfields field:598",
        ];
        let shown = hashes.map(|line| format!("{:?}", self.client.line(line)));
        self.client.line("DEL fields manyfields");
        let rest = self.client.call(&["DEBUG", "DIGEST"]).text();
        format!(
            "{rest} {}",
            if shown[3].contains("600") {
                shown.join(" ")
            } else {
                String::new()
            }
        )
    }
}

impl Drop for Any {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All types in their small and large forms, in three databases.
fn fill(server: &mut Any, field_expiry: bool) {
    for n in 0..200 {
        for line in [
            format!("SET string:{n} 'value of {n}'"),
            format!("SET number:{n} {}", n * 123_456_789i64),
            format!("SET volatile:{n} x PXAT {}", 4_102_444_800_000i64 + n),
            format!("RPUSH list element:{n}:{n:060} {n}"),
            format!("SADD ints {n}"),
            format!("SADD wide {}", n << 40),
            format!("SADD set member:{n} {n}"),
            format!("ZADD zset {n}.25 member:{n}"),
            format!("HSET hash field:{n} {n}"),
            format!("XADD stream {}-{n} field {n} other text", n + 1),
            format!("PFADD hll {n}"),
        ] {
            server.ok(&line);
        }
    }
    for line in [
        "APPEND string:1 more",
        "SETRANGE long 5000 end",
        "SETRANGE noise 70000 end",
        "RPUSH small a 1 300 -70000 5000000000",
        "SADD packed a b 5",
        // What every server prints alike: later ones write other scores in another way into the digest.
        "ZADD packedz 1 a 2.5 b inf c -inf d -0.5 e 4096 f",
        "HSET packedh f v g 12",
        "GEOADD geo 13.361389 38.115556 palermo",
        "XDEL stream 7-6 8-7",
        "XGROUP CREATE stream group 0",
        "XGROUP CREATE stream other 50-0 ENTRIESREAD 49",
        "XREADGROUP GROUP group alice COUNT 9 STREAMS stream >",
        "XREADGROUP GROUP group bob COUNT 3 STREAMS stream >",
        "XACK stream group 3-2",
        "XGROUP CREATECONSUMER stream group carol",
        "XADD gone 1-1 a b",
        "XDEL gone 1-1",
        "SELECT 1",
        "SET other database",
        "SELECT 15",
        "SADD last one",
        "EXPIREAT last 4102444800",
        "SELECT 0",
    ] {
        server.ok(line);
    }
    if field_expiry {
        server.ok("HSET fields a 1 b 2 c 3");
        server.ok("HPEXPIREAT fields 4102444800000 FIELDS 1 a");
        server.ok("HPEXPIREAT fields 4102444900000 FIELDS 1 c");
        for n in 0..600 {
            server.ok(&format!("HSET manyfields field:{n} {n}"));
        }
        server.ok("HPEXPIREAT manyfields 4102444800000 FIELDS 2 field:1 field:599");
    }
}

/// Fills and saves with one, loads with the other.
fn carry(from: &Path, to: &Path, field_expiry: bool) {
    let dir = TempDir::new();
    let digest = {
        let mut server = Any::start(from, dir.path());
        fill(&mut server, field_expiry);
        server.ok("SAVE");
        server.digest()
    };
    let what = format!("{} to {}", from.display(), to.display());
    let mut server = Any::start(to, dir.path());
    assert_eq!(server.digest(), digest, "{what}");
    assert_eq!(
        server.client.line("PTTL volatile:0").int() / 1_000_000_000,
        {
            let now = std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap();
            (4_102_444_800_000 - now.as_millis() as i64) / 1_000_000_000
        }
    );
    let pending = server.client.line("XPENDING stream group");
    assert_eq!(pending.items()[0].int(), 11, "{what}: {pending:?}");
    assert_eq!(
        server
            .client
            .line("XINFO CONSUMERS stream group")
            .items()
            .len(),
        3
    );
}

fn peer(name: &str) -> Option<PathBuf> {
    let cache = std::env::var_os("FERRITE_CACHE").map(PathBuf::from);
    let cache = cache.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache"));
    let path = match name {
        "redis-7.0.15" => PathBuf::from("/usr/bin/redis-server"),
        name => cache.join("peers").join(name),
    };
    if path.exists() {
        return Some(path);
    }
    println!("{name} is not here: left out (scripts/peers fetches it)");
    None
}

#[test]
fn files_go_to_and_from_redis_7_0() {
    if let Some(peer) = peer("redis-7.0.15") {
        carry(&peer, &binary(), false);
        carry(&binary(), &peer, false);
    }
}

#[test]
fn files_go_to_and_from_redis_8_2() {
    if let Some(peer) = peer("redis-8.2.3") {
        carry(&peer, &binary(), true);
        carry(&binary(), &peer, true);
    }
}

/// Valkey does not read how Redis writes the expiries of fields; we read both.
#[test]
fn files_go_to_and_from_valkey_9_1() {
    if let Some(peer) = peer("valkey-9.1.2") {
        carry(&peer, &binary(), true);
        carry(&binary(), &peer, false);
    }
}
