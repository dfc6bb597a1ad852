"""What the README shows is what one gets: its sessions with redis-cli, the words of check-config, and the commands that look
after files and take back a flush.

usage: readme.py FERRITE; prints PASS and FAIL lines; exit code 1 when one fails.
"""
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
FERRITE = os.path.abspath(sys.argv[1])
README = (ROOT / "README.md").read_text()
WORK = pathlib.Path(tempfile.mkdtemp(prefix="ferrite-readme."))
PROMPT = "127.0.0.1:6379> "
failures = 0


def check(name, good, detail=""):
    global failures
    failures += not good
    print(f"{'PASS' if good else 'FAIL'} README: {name}" + (f": {detail}" if detail and not good else ""), flush=True)


def run(*words, **options):
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, errors="replace", timeout=30, cwd=WORK, **options)
    return done.returncode, done.stdout + done.stderr


class Server:
    def __init__(self, *options, stdin=None):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.log = open(WORK / "log", "w+")
        words = [FERRITE, *options] if stdin is None else [FERRITE, "-"]
        words += ["--port", str(self.port)] + ([] if "--dir" in options else ["--dir", str(WORK)])
        self.process = subprocess.Popen(words, cwd=WORK, text=True, stdin=subprocess.PIPE, stdout=self.log, stderr=self.log)
        self.process.stdin.write(stdin or "")
        self.process.stdin.close()
        for _ in range(100):
            if self.cli("ping") == "PONG":
                break
            time.sleep(0.05)

    def cli(self, *words, stdin=None, raw=True):
        options = [] if raw else ["--no-raw"]
        done = subprocess.run(["redis-cli", "-p", str(self.port), *options, *words], capture_output=True, text=True, input=stdin, timeout=30)
        return (done.stdout + done.stderr).rstrip("\n") if not raw else (done.stdout + done.stderr).strip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.log.close()


def blocks(start):
    """The code blocks that begin with this text, as lists of lines."""
    return [block.splitlines() for block in re.findall(r"```\w*\n(.*?)```", README, re.S) if block.startswith(start)]


def sessions():
    """Each prompt's command gives exactly the lines below it."""
    for block in blocks(PROMPT):
        if any(line == "..." for line in block):
            continue
        first = block[0].removeprefix(PROMPT)
        conf = WORK / "session.conf"
        conf.write_text("# mine\nappendonly no\n")
        with Server(str(conf)) as server:
            wanted, at = [], 0
            while at < len(block):
                end = at + 1
                while end < len(block) and not block[end].startswith(PROMPT):
                    end += 1
                wanted.append((block[at].removeprefix(PROMPT), block[at + 1:end]))
                at = end
            wrong = []
            for command, lines in wanted:
                seen = server.cli(stdin=command + "\n", raw=False).splitlines()
                if seen != lines:
                    wrong.append(f"{command} gives {seen}")
            check(f"the session that begins with {first!r}, {len(wanted)} commands", not wrong, "; ".join(wrong))


def configuration():
    shown = blocks("$ ferrite check-config bad.conf\n")[0]
    (WORK / "bad.conf").write_text("port 7777\nmaxmemroy 100mb\nio-threads none\n")
    code, text = run(FERRITE, "check-config", "bad.conf")
    check("the words of check-config", (code, text.splitlines()) == (1, shown[1:]), text)
    (WORK / "my.conf").write_text("maxmemory 10mb\nio-threads 1\n")
    with Server("my.conf", "--maxmemory", "50mb", "--io-threads", "4") as s:
        check("options win over the file", (s.cli("config", "get", "maxmemory"), s.cli("config", "get", "io-threads")) ==
              ("maxmemory\n52428800", "io-threads\n4"))
    with Server(stdin="maxmemory 128mb\n") as s:
        check("a configuration from standard input", s.cli("config", "get", "maxmemory") == "maxmemory\n134217728", s.cli("ping"))
    check("--check-system", "..." in run(FERRITE, "--check-system")[1])
    with Server("--log-format", "json") as s:
        s.log.seek(0)
        keys = set(json.loads(s.log.readlines()[-1]))
        check("a line of the log as JSON", keys == set(json.loads(re.search(r'`(\{"pid":.*\})`', README)[1])), str(keys))


def snapshots():
    with Server("--save", "") as s:
        s.cli(stdin="\n".join(f"set k:{i} {'v' * 50}{i}" for i in range(2000)))
        check("SAVE", s.cli("save") == "OK")
    check("check-rdb", run(FERRITE, "check-rdb", "dump.rdb")[0] == 0)
    code, text = run(FERRITE, "check-rdb", "--stats", "dump.rdb")
    check("check-rdb --stats", code == 0 and "string" in text, text)
    good = (WORK / "dump.rdb").read_bytes()
    half = len(good) // 2
    (WORK / "dump.rdb").write_bytes(good[:half] + bytes([good[half] ^ 1]) + good[half + 1:])
    code, text = run(FERRITE, "check-rdb", "dump.rdb")
    check("check-rdb finds a flipped bit", code == 1, text)
    (WORK / "dump.rdb").write_bytes(good[:half] + b"\xff" * 200 + good[half + 200:])
    code, text = run(FERRITE, "check-rdb", "dump.rdb")
    check("check-rdb names the offset of damage", code == 1 and "offset" in text, text)
    code, text = run(FERRITE, "check-rdb", "dump.rdb", "--salvage", "new.rdb")
    check("check-rdb --salvage", (WORK / "new.rdb").exists(), text)
    code, text = run(FERRITE, "--port", "0", "--unixsocket", WORK / "s", "--dir", WORK)
    check("a damaged file stops the start", code != 0 and "dump.rdb" in text, text[-300:])
    (WORK / "dump.rdb").unlink()


def append_only_file():
    manifest = "appendonlydir/appendonly.aof.manifest"
    with Server("--appendonly", "yes", "--aof-timestamp-enabled", "yes", "--save", "") as s:
        s.cli(stdin="\n".join(f"set user:{i} {i}" for i in range(100)))
        time.sleep(1.1)
        moment = int(time.time())
        time.sleep(1.1)
        s.cli("set", "late", "1")
        s.cli("flushall")
        check("WAITAOF 1 0", s.cli("waitaof", "1", "0", "1000") == "1\n0")
    check("check-aof", run(FERRITE, "check-aof", manifest)[0] == 0)
    for words, keys in ((["--before", "flushall"], "101"), (["--at", moment], "100")):
        out = f"old-{keys}"
        code, text = run(FERRITE, "restore", *words, "--out", out, manifest)
        with Server("--appendonly", "yes", "--dir", str(WORK / out)) as s:
            check(f"restore {words[0]}", code == 0 and s.cli("dbsize") == keys, text + s.cli("dbsize"))
    part = next((WORK / "appendonlydir").glob("*.incr.aof"))
    data = bytearray(part.read_bytes())
    data[len(data) // 3] ^= 0x01
    part.write_bytes(data)
    code, text = run(FERRITE, "check-aof", manifest)
    check("check-aof finds a flipped bit", code != 0, text)
    code, text = run(FERRITE, "check-aof", "--fix", manifest, input="y\n")
    check("check-aof --fix goes on behind it", run(FERRITE, "check-aof", manifest)[0] == 0, text)


def undo():
    with Server("--undo-window", "300", "--save", "") as s:
        s.cli("mset", "a", "1", "b", "2")
        s.cli("flushall")
        check("FERRITE UNDOLIST", "flushall" in s.cli("ferrite", "undolist").lower(), s.cli("ferrite", "undolist"))
        check("mem_undo in INFO", "mem_undo:" in s.cli("info", "memory"))
        s.cli("set", "a", "new")
        check("FERRITE UNDO is refused where keys were written", "ERR" in s.cli("ferrite", "undo") or "-" == s.cli("ferrite", "undo")[:1], s.cli("ferrite", "undo"))
        s.cli("ferrite", "undo", "keep")
        check("FERRITE UNDO KEEP", s.cli("mget", "a", "b") == "new\n2", s.cli("mget", "a", "b"))
        s.cli("flushdb")
        s.cli("set", "a", "newer")
        s.cli("ferrite", "undo", "replace")
        check("FERRITE UNDO REPLACE", s.cli("mget", "a", "b") == "new\n2", s.cli("mget", "a", "b"))


def shell(lines, port=6379):
    """Runs lines of the README in a shell where `ferrite` is the binary; the server's port may be another one."""
    text = "\n".join(lines).replace("ferrite cli", f"ferrite cli -p {port}").replace("redis-cli", f"redis-cli -p {port}").replace("6379", str(port))
    tools = WORK / "bin"
    tools.mkdir(exist_ok=True)
    if not (tools / "ferrite").exists():
        (tools / "ferrite").symlink_to(FERRITE)
    return run("bash", "-c", text, env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"})


def client():
    with Server("--save", "") as s:
        s.cli("-n", "3", "mset", "user:1", "a", "user:2", "b", "x", "c")
        s.cli("hset", "user:1", "name", "Ada")
        (WORK / "commands.resp").write_bytes(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\n")
        code, text = shell(blocks("ferrite cli")[0], s.port)
        wanted = ["2\n", '{"name":"Ada"}', "errors: 0, replies: 1", "Biggest"]
        check("the lines of ferrite cli", code == 0 and all(w in text for w in wanted) and (WORK / "backup.rdb").exists(), text)
        code, text = shell(["ferrite cli help set"], s.port)
        check("help SET", code == 0 and "SET key value" in text and "summary:" in text, text)


def certificates():
    code, text = shell(blocks("openssl req -x509")[0])
    check("certificates for a try", code == 0, text)
    start, ask = blocks("ferrite --port 0 --tls-port")[0]
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    server = subprocess.Popen([FERRITE, *start.replace("6379", str(port)).split()[1:], "--save", ""], cwd=WORK, stdout=subprocess.DEVNULL)
    try:
        for _ in range(100):
            text = shell([ask], port)[1]
            if text == "PONG\n":
                break
            time.sleep(0.05)
        check("PING over TLS", text == "PONG\n", text)
    finally:
        server.kill()
        server.wait()


def observability():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    with Server("--metrics-port", str(port), "--save", "", "--track-prefix", "user:*") as s:
        for path, part in (("/", "<html"), ("/metrics", "redis_connected_clients"), ("/metrics", "ferrite_prefix_keys"), ("/healthz", "ok"), ("/readyz", "ready")):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
                check(f"{path} has {part}", part in answer.read().decode().lower())
        s.cli("set", "user:1", "x")
        lines = s.cli("ferrite", "prefixes").split("\n")
        shown = re.findall(r'"(\w+)"', "\n".join(next(b for b in blocks(PROMPT) if "FERRITE PREFIXES" in b[0])))
        check("fields of FERRITE PREFIXES", [w for w in shown if w in lines] == shown and lines[lines.index("keys") + 1] == "1", str(lines))
        # The rights that the README gives the console's user are rights.
        rules = re.search(r"`(~\* \+info.*?)`", README, re.S)[1].split()
        check("the console's user", s.cli("acl", "setuser", "eye", "on", ">pw", *rules) == "OK")
        code = s.cli("config", "set", "metrics-port", "0")
        check("metrics-port 0 closes it", code == "OK")


def facts():
    with Server("--save", "", "--enable-debug-command", "yes") as s:
        said = re.search(r"DEBUG has a subset: (.*?) and some more", README, re.S)[1]
        names = re.findall(r"[A-Z][A-Z-]+", said)
        helped = s.cli("debug", "help").upper()
        check("DEBUG HELP lists them", all(name in helped for name in names), str([n for n in names if n not in helped]))
        info = s.cli("info", "everything")
        fields = ["ferrite_version", "redis_version:7.4.2", "divergence_saved_files", "divergence_saved_commands",
                  "divergence_not_saved", "divergence_last_status"]
        check("fields of INFO", all(f in info for f in fields), str([f for f in fields if f not in info]))
        said = re.search(r"Later commands are there all the same: (.*?)\.", README, re.S)[1].lower().replace("\n", " ")
        later = {c.strip() for c in said.split(",") if c.strip().isalpha()}
        listed = set(s.cli("command", "list").lower().split())
        check("later commands", len(later) > 5 and later <= listed, str(later - listed))
        check("activedefrag is refused", "ERR" in s.cli("config", "set", "activedefrag", "yes"))
        check("16 databases, 10000 clients, 512 MB", [s.cli("config", "get", n).split("\n")[1] for n in
              ("databases", "maxclients", "proto-max-bulk-len")] == ["16", "10000", str(512 << 20)])
    links = re.findall(r"\]\((?!http|#)([^)#]+)", README)
    check("links lead to files", all((ROOT / link).exists() for link in links), str([x for x in links if not (ROOT / x).exists()]))
    heads = {re.sub(r"[^a-z0-9 -]", "", h.lower()).replace(" ", "-") for h in re.findall(r"^#+ (.*)$", README, re.M)}
    inner = re.findall(r"\]\(#([^)]+)\)", README)
    check("links lead to headings", set(inner) <= heads, str(set(inner) - heads))


def main():
    for part in (sessions, configuration, snapshots, append_only_file, undo, client, certificates, observability, facts):
        try:
            part()
        except Exception as error:  # a part that cannot even run is a failure
            check(part.__name__, False, repr(error))
    subprocess.run(["rm", "-rf", str(WORK)])
    sys.exit(1 if failures else 0)


main()
