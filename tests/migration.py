"""The migration guide of the README, run as it stands there: from Redis and Valkey to Ferrite and back, under writing clients.

Every code block of the README that has a name (<!-- migration: name -->) is a script here. Clients write without a break and
record what was acknowledged; afterwards all of it must be on the server that the guide leads to.

usage: migration.py FERRITE NAME=PATH… ; each NAME=PATH is a server to move from and back to.
Prints PASS and FAIL lines; exit code 1 when something failed.
"""
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

import redis

ROOT = pathlib.Path(__file__).resolve().parent.parent
FERRITE = sys.argv[1]
PEERS = dict(word.split("=", 1) for word in sys.argv[2:])
HOST = "127.0.0.1"
failures = 0
started = []


def check(name, good, detail=""):
    global failures
    failures += not good
    print(f"{'PASS' if good else 'FAIL'} {name}" + (f": {detail}" if detail and not good else ""), flush=True)


def blocks():
    found = re.findall(r"<!-- migration: (.+?) -->\n```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    return dict(found)


BLOCKS = blocks()


def free_port():
    with socket.socket() as s:
        s.bind((HOST, 0))
        return s.getsockname()[1]


class Node:
    """A place for a server: a port and a directory. Servers of the guide go to the background by themselves."""

    def __init__(self, work, name):
        self.port, self.dir = free_port(), work / name
        self.dir.mkdir()
        self.r = redis.Redis(HOST, self.port, socket_timeout=20)

    def start(self, binary, *options):
        log = open(self.dir / "log", "a")
        words = [binary, "--port", str(self.port), "--dir", str(self.dir), "--enable-debug-command", "yes",
                 "--repl-diskless-sync-delay", "0", *options]
        self.process = subprocess.Popen(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        started.append(self)
        self.wait()
        return self

    def wait(self):
        for _ in range(200):
            try:
                if self.r.ping():
                    return
            except redis.RedisError:
                pass
            time.sleep(0.05)
        raise RuntimeError(f"no server at {self.dir}: {(self.dir / 'log').read_text()[-1000:] if (self.dir / 'log').exists() else ''}")

    def stop(self):
        try:
            redis.Redis(HOST, self.port, socket_timeout=5).shutdown(nosave=True)
        except redis.RedisError:
            pass


def guide(name, old, new, work, peer, **extra):
    """Runs a block of the README; what it prints and whether it went well."""
    tools = work / "tools"
    if not tools.exists():
        tools.mkdir()
        (tools / "ferrite").symlink_to(FERRITE)
        (tools / "redis-server").symlink_to(peer)
    names = "\n".join(line for line in BLOCKS["names"].splitlines() if not re.match(r"(OLD|NEW)_HOST=", line))
    variables = dict(OLD_HOST=HOST, OLD_PORT=old.port, OLD_DIR=old.dir, NEW_HOST=HOST, NEW_PORT=new.port, NEW_DIR=new.dir, **extra)
    script = "set -e\n" + "".join(f"{k}={v}\n" for k, v in variables.items()) + names + "\n" + BLOCKS[name]
    env = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], cwd=work, env=env, capture_output=True, text=True, timeout=40)
    if done.returncode or "ERR" in done.stdout or done.stderr:
        raise RuntimeError(f"the block '{name}': {done.returncode} {done.stdout[-500:]} {done.stderr[-500:]}")


class Writers:
    """Clients that write without a break, at whichever of the two servers takes it, and keep a ledger of what was
    acknowledged. A refusal or a broken connection sends them to the other one."""

    def __init__(self, *nodes, count=4, stubborn=False):
        self.nodes, self.stubborn, self.running = nodes, stubborn, True
        self.acknowledged = [[] for _ in range(count)]
        self.gap = 0.0
        self.threads = [threading.Thread(target=self.write, args=(i,)) for i in range(count)]
        for thread in self.threads:
            thread.start()

    def write(self, number):
        at, sequence, last = 0, 0, time.monotonic()
        r = redis.Redis(HOST, self.nodes[0].port, socket_timeout=30, retry=None)
        while self.running:
            sequence += 1
            word = f"{number}:{sequence}"
            try:
                r.pipeline().set(f"ledger:{word}", sequence).rpush(f"ledger-list:{number}", word).execute()
                self.acknowledged[number].append(word)
                now = time.monotonic()
                self.gap, last = max(self.gap, now - last), now
                time.sleep(0.002)
            except redis.RedisError:
                if self.stubborn:
                    break
                r.close()
                at = 1 - at
                r = redis.Redis(HOST, self.nodes[at].port, socket_timeout=30)
                time.sleep(0.01)

    def stop(self):
        self.running = False
        for thread in self.threads:
            thread.join()
        return sum(map(len, self.acknowledged))

    def lost(self, node):
        """Acknowledged writes that are not there, or not in order."""
        missing = []
        for number, words in enumerate(self.acknowledged):
            for start in range(0, len(words), 1000):
                part = words[start:start + 1000]
                values = node.r.mget([f"ledger:{w}" for w in part])
                missing += [w for w, v in zip(part, values) if v is None]
            there = [w.decode() for w in node.r.lrange(f"ledger-list:{number}", 0, -1)]
            positions = {w: i for i, w in enumerate(there)}
            missing += [w for w in words if w not in positions]
            order = [positions[w] for w in words if w in positions]
            if order != sorted(order):
                missing.append(f"order of writer {number}")
        return missing


def fill(node):
    """Something of every type, in two databases, with times."""
    r, p = node.r, node.r.pipeline(transaction=False)
    for i in range(500):
        p.set(f"s:{i}", "v" * (i % 90)).hset(f"h:{i % 50}", f"f{i}", i).sadd(f"set:{i % 9}", i, f"m{i}")
        p.zadd(f"z:{i % 9}", {f"m{i}": i / 4}).rpush(f"l:{i % 7}", f"item{i}").setbit("bits", i * 7, 1).pfadd("hll", i)
        p.xadd("x", {"n": i, "same": 1}, id=f"{i + 1}-0")
    p.sadd("ints", *range(300)).geoadd("geo", (13.4, 52.5, "Berlin")).set("big", "x" * 300_000).set("soon", 1, ex=100_000)
    p.xgroup_create("x", "g", "0").xreadgroup("g", "c", {"x": ">"}, count=5).xack("x", "g", "1-0")
    p.function_load("#!lua name=lib\nredis.register_function{function_name='f', callback=function() return 42 end, "
                    "flags={'no-writes'}}")
    p.execute()
    redis.Redis(HOST, node.port, db=5).set("in-five", 1)
    if node.expiring_fields:
        r.execute_command("HSET", "fields", "f", 1, "g", 2)
        r.execute_command("HEXPIRE", "fields", 100_000, "FIELDS", 1, "f")


def shape(node):
    """What two servers with the same data agree on. Times of fields are in each server's digest in its own way."""
    r = node.r
    fields = (r.hgetall("fields"), r.execute_command("HTTL", "fields", "FIELDS", 1, "f")[0] > 90_000) if node.expiring_fields else None
    keys = sorted(key for key in r.scan_iter(count=1000) if key != b"fields")
    digests = r.execute_command("DEBUG", "DIGEST-VALUE", *keys)
    five = redis.Redis(HOST, node.port, db=5).get("in-five")
    return (list(zip(keys, digests)), fields, five, r.ttl("soon") > 90_000, r.fcall_ro("f", 0), r.xinfo_groups("x")[0]["pending"])


def difference(one, other):
    return [pair for pair in zip(one, other) if pair[0] != pair[1] and not isinstance(pair[0], list)] + [
        pair for pair in zip(one[0], other[0]) if pair[0] != pair[1]][:5]


def pair(work, peer, expiring_fields, *options):
    old, new = Node(work, "old"), Node(work, "new")
    old.expiring_fields = new.expiring_fields = expiring_fields
    old.start(peer, *options)
    return old, new


def by_file(name, peer, expiring, append, work):
    (work / "redis.conf").write_text(f"appendonly {append}\nenable-debug-command yes\nlogfile server.log\n")
    old, new = pair(work, peer, expiring, "--appendonly", append)
    kind = "append-only files" if append == "yes" else "RDB file"
    fill(old)
    before = shape(old)
    guide("file", old, new, work, peer)
    started.append(new)
    new.wait()
    check(f"{name}: by {kind} to Ferrite", "ferrite_version" in new.r.info("server") and shape(new) == before, str(difference(shape(new), before)))
    new.r.set("written-by-ferrite", 1)
    before = shape(new)
    guide("file back", old, new, work, peer)
    old.wait()
    check(f"{name}: by {kind} and back", "ferrite_version" not in old.r.info("server") and shape(old) == before, str(difference(shape(old), before)))


def judge(title, writers, node):
    time.sleep(0.3)
    count = writers.stop()
    lost = writers.lost(node)
    check(f"{title}: 0 of {count} acknowledged writes lost, writes waited {writers.gap * 1000:.0f} ms at most",
          count > 100 and not lost, f"{len(lost)} lost of {count}: {lost[:5]}")


def by_replication(name, peer, expiring, block, work):
    old, new = pair(work, peer, expiring, "--save", "")
    fill(old)
    new.start(FERRITE, "--save", "")
    writers = Writers(old, new)
    time.sleep(0.3)
    guide("follow", old, new, work, peer)
    time.sleep(0.3)
    guide(block, old, new, work, peer)
    judge(f"{name}: {block} to Ferrite", writers, new)
    wait_equal(f"{name}: {block}: the old server follows", old, new)
    writers = Writers(new, old)
    time.sleep(0.3)
    guide(block, new, old, work, peer)
    judge(f"{name}: {block} and back", writers, old)
    wait_equal(f"{name}: {block} back: Ferrite follows", new, old)


def wait_equal(title, replica, master):
    for _ in range(100):
        try:
            if replica.r.role()[0] == b"slave" and shape(replica) == shape(master):
                return check(title, True)
        except redis.RedisError:
            pass
        time.sleep(0.1)
    check(title, False, f"{replica.r.role()} {difference(shape(replica), shape(master))}")


def careless(peer, work):
    """The ledger notices a cut-over that does not wait."""
    old, new = pair(work, peer, False, "--save", "")
    new.start(FERRITE, "--save", "")
    new.r.replicaof(HOST, old.port)
    while new.r.info("replication")["master_link_status"] != "up":
        time.sleep(0.05)
    writers = Writers(old, new, stubborn=True)
    time.sleep(0.3)
    new.r.replicaof("NO", "ONE")
    time.sleep(0.2)
    old.stop()
    count = writers.stop()
    check("control: a careless cut-over loses writes, and this test sees it", writers.lost(new) and count, f"{count} writes")


def with_sentinels(title, peer, sentinel, work):
    old, new = pair(work, peer, False, "--save", "")
    new.start(FERRITE, "--save", "")
    nodes = []
    for i in range(3):
        node = Node(work, f"sentinel-{i}")
        conf = node.dir / "s.conf"
        conf.write_text(f"port {node.port}\ndir {node.dir}\nsentinel monitor mymaster {HOST} {old.port} 2\n"
                        "sentinel down-after-milliseconds mymaster 3000\nsentinel failover-timeout mymaster 20000\n")
        log = open(node.dir / "log", "w")
        node.process = subprocess.Popen([sentinel, str(conf), "--sentinel"], stdout=log, stderr=log)
        started.append(node)
        node.wait()
        nodes.append(node)
    writers = Writers(old, new)
    time.sleep(0.3)
    guide("sentinel", old, new, work, peer, SENTINEL_HOST=HOST, SENTINEL_PORT=nodes[0].port)
    judge(f"{title}: sentinel failover to Ferrite", writers, new)
    for _ in range(150):  # the others learn it from the one that led
        named = [node.r.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster")[1] for node in nodes]
        if set(named) == {str(new.port).encode()}:
            break
        time.sleep(0.1)
    check(f"{title}: all Sentinels name Ferrite", set(named) == {str(new.port).encode()}, str(named))


def case(title, run, *words):
    begun = time.monotonic()
    work = pathlib.Path(tempfile.mkdtemp(prefix="ferrite-migration."))
    try:
        run(*words, work)
    except Exception as error:  # a case that cannot even run is a failure
        check(title, False, repr(error))
    for node in started:
        node.stop()
        if hasattr(node, "process"):
            node.process.kill()
            node.process.wait()
    print(f"{title}: {time.monotonic() - begun:.0f} seconds", flush=True)
    started.clear()
    shutil.rmtree(work, ignore_errors=True)


def main():
    for name, peer in PEERS.items():
        # Redis 7.4 and Valkey 9 have fields that expire, each in files of its own format; Ferrite writes that of Redis.
        expiring = not name.startswith(("redis-7.0", "valkey"))
        for append in ("no", "yes"):
            case(f"{name}: by file, appendonly {append}", by_file, name, peer, expiring, append)
        for block in ("cut over", "failover"):
            case(f"{name}: {block}", by_replication, name, peer, expiring, block)
    first = next(iter(PEERS.values()))
    case("Sentinels of Redis", with_sentinels, "Sentinels of Redis", first, first)
    case("Sentinels of Ferrite", with_sentinels, "Sentinels of Ferrite", first, FERRITE)
    case("control", careless, first)
    sys.exit(1 if failures else 0)


main()
