"""redis-py and ioredis through failovers, with Sentinels and servers of Ferrite on free ports.

usage: sentinel.py FERRITE [ROUNDS]; prints one PASS or FAIL line a check; exit code 1 when one fails. Masters are killed,
stopped and switched by hand, in turns. Every acknowledged write of a planned failover must be there afterwards; of the
others, all but those within the replication lag.
"""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import redis
from redis.sentinel import Sentinel

FERRITE = sys.argv[1]
ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 3
failures = 0


def check(name, good, seen=""):
    global failures
    failures += not good
    print(f"{'PASS' if good else 'FAIL'} {name} {seen}", flush=True)


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Group:
    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="ferrite-sentinel-"))
        self.data = free_ports(3)
        self.sentinels = free_ports(3)
        self.processes = {}
        for port in self.data:
            follow = f"replicaof 127.0.0.1 {self.data[0]}\n" if port != self.data[0] else ""
            self.start(port, f'save ""\n{follow}')
        for port in self.sentinels:
            self.start(
                port,
                f"sentinel monitor mymaster 127.0.0.1 {self.data[0]} 2\n"
                "sentinel down-after-milliseconds mymaster 1000\nsentinel failover-timeout mymaster 6000\n",
                ["sentinel"],
            )

    def start(self, port, lines="", words=()):
        file = self.dir / f"{port}.conf"
        if lines:
            data = self.dir / str(port)
            data.mkdir()
            file.write_text(f"port {port}\nbind 127.0.0.1\ndir {data}\n{lines}")
        log = open(self.dir / f"{port}.log", "a")
        self.processes[port] = subprocess.Popen([FERRITE, *words, str(file)], stdout=log, stderr=log)

    def end(self):
        for process in self.processes.values():
            process.kill()
            process.wait()
        shutil.rmtree(self.dir)


def until(what, limit, done):
    end = time.time() + limit
    while time.time() < end:
        try:
            if done():
                return True
        except (redis.RedisError, OSError):
            pass
        time.sleep(0.05)
    check(what, False, f"not within {limit} s")
    return False


class Writer(threading.Thread):
    """Adds numbers to a set at the master; keeps what was acknowledged, with its time."""

    def __init__(self, sentinel, key):
        super().__init__(daemon=True)
        self.master = sentinel.master_for("mymaster", socket_timeout=0.5)
        self.key, self.acknowledged, self.going, self.gap = key, [], True, 0.0

    def run(self):
        number, last = 0, time.time()
        while self.going:
            number += 1
            try:
                if self.master.sadd(self.key, number) == 1:
                    now = time.time()
                    self.acknowledged.append((now, number))
                    self.gap, last = max(self.gap, now - last), now
            except (redis.RedisError, OSError):
                time.sleep(0.02)


def one_round(group, sentinel, how, number):
    name = f"round {number}, {how}"
    before = sentinel.discover_master("mymaster")
    ready = lambda: len(sentinel.discover_slaves("mymaster")) == 2 and all(
        s["master-link-status"] == "ok" for s in sentinel.sentinels[0].sentinel_slaves("mymaster")
    )
    if not until(f"{name}: two good replicas", 60, ready):
        return
    writer = Writer(sentinel, f"round:{number}")
    writer.start()
    time.sleep(0.5)
    began, old = time.time(), group.processes[before[1]]
    if how == "kill":
        old.kill()
        old.wait()
    elif how == "stop":
        old.send_signal(signal.SIGSTOP)
    else:
        port = group.sentinels[0]
        if not until(f"{name}: the order", 40, lambda: redis.Redis(port=port).execute_command("SENTINEL FAILOVER mymaster")):
            return
    found = lambda: sentinel.discover_master("mymaster") != before
    if not until(f"{name}: a new master", 20, found):
        return
    took = time.time() - began
    time.sleep(2)
    writer.going = False
    writer.join()
    check(f"{name}: a new master in time", took < 4, f"{took:.2f} s, no write for {writer.gap:.2f} s")
    there = {int(n) for n in sentinel.master_for("mymaster").smembers(writer.key)}
    lost = [at for at, n in writer.acknowledged if n not in there]
    if how == "hand":
        check(f"{name}: nothing is lost", not lost, f"{len(lost)} of {len(writer.acknowledged)}")
    else:
        late = [at for at in lost if began - at > 0.2]
        check(f"{name}: losses within the lag", not late, f"{len(lost)} of {len(writer.acknowledged)}")
    check(f"{name}: writes go on", writer.acknowledged and writer.acknowledged[-1][0] > began + took)
    if how == "kill":
        group.start(before[1])
    elif how == "stop":
        old.send_signal(signal.SIGCONT)
    role = lambda: redis.Redis(port=before[1], socket_timeout=1).role()[0] == b"slave"
    until(f"{name}: the old master follows", 60, role)
    time.sleep(max(0, 13 - (time.time() - began)))


def ioredis(group, sentinel):
    """Another library, in a process of its own: it counts while the master dies."""
    script = pathlib.Path(__file__).with_name("sentinel.js")
    if not shutil.which("node") or not os.environ.get("NODE_PATH"):
        return
    node = subprocess.Popen(["node", str(script), *map(str, group.sentinels)], stdout=subprocess.PIPE, text=True)
    time.sleep(2)
    before = sentinel.discover_master("mymaster")
    group.processes[before[1]].kill()
    text, _ = node.communicate(timeout=60)
    check("ioredis: writes before and after", node.returncode == 0, text.strip())


def main():
    group = Group()
    try:
        sentinel = Sentinel([("127.0.0.1", port) for port in group.sentinels], socket_timeout=0.5)
        known = lambda: all(
            redis.Redis(port=port).info("sentinel")["master0"]["sentinels"] == 3 for port in group.sentinels
        )
        until("the Sentinels know each other", 30, known)
        for number in range(ROUNDS):
            one_round(group, sentinel, ["kill", "stop", "hand"][number % 3], number)
        ioredis(group, sentinel)
    finally:
        group.end()
    sys.exit(1 if failures else 0)


main()
