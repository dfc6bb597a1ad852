"""Failovers of real processes under three client libraries; scripts/failover-test starts it in a network namespace.

A ledger per client holds what the servers acknowledged. After each failover every acknowledged write must be at the
new master; what is not there was lost. A loss must be older than the lag of replication (it was acknowledged shortly
before the fault, or by a master that was cut off) and it must be reported: it stands in a divergence-*.aof of the old
master. While a master is cut off, a further client on its own host goes on writing to it.
"""
import argparse
import glob
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

HERE = pathlib.Path(__file__).resolve().parent
DOWN_AFTER = 1.0
LIMIT = 3.0
# Longer than replication ever takes here, shorter than a Sentinel needs to notice anything.
LAG = 0.5
FAILOVER_TIMEOUT = 4.0
PORT, SENTINEL = 6379, 26379
CLIENTS = {
    "redis-py": [sys.executable, str(HERE / "writer.py")],
    "ioredis": ["node", str(HERE / "writer.js")],
    "redis-rb": ["ruby", str(HERE / "writer.rb")],
}


def sh(*words):
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


class Host:
    """A namespace with one server and one Sentinel."""

    def __init__(self, number, hub):
        self.number, self.space = number, f"{hub}-{number}"
        self.ip, self.wire = f"10.77.0.{number}", f"fh{number}"
        self.processes = {}
        sh("ip", "netns", "add", self.space)
        sh("ip", "link", "add", self.wire, "type", "veth", "peer", "name", "eth0", "netns", self.space)
        sh("ip", "link", "set", self.wire, "master", "bridge")
        self.cut(False)
        inside = ["ip", "-n", self.space]
        sh(*inside, "addr", "add", f"{self.ip}/24", "dev", "eth0")
        sh(*inside, "link", "set", "eth0", "up")
        sh(*inside, "link", "set", "lo", "up")

    def cut(self, cut):
        sh("ip", "link", "set", self.wire, "down" if cut else "up")

    def run(self, name, words, log):
        words = ["ip", "netns", "exec", self.space, *words]
        self.processes[name] = subprocess.Popen(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def end(self):
        for process in self.processes.values():
            process.kill()
            process.wait()
        sh("ip", "netns", "del", self.space)


class Group:
    def __init__(self, options):
        self.options = options
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="ferrite-failover-"))
        sh("ip", "link", "set", "lo", "up")
        sh("ip", "link", "add", "bridge", "type", "bridge")
        sh("ip", "addr", "add", "10.77.0.100/24", "dev", "bridge")
        sh("ip", "link", "set", "bridge", "up")
        self.hosts = [Host(number, options.hub) for number in (1, 2, 3)]
        self.clients = {}
        # Ledger entries that have been looked at.
        self.counted = {}
        # The fault of the present round.
        self.broken = None
        for host in self.hosts:
            self.write_files(host)
            self.start(host)
        until("the servers answer", 30, lambda: all(self.server(h).ping() for h in self.hosts))
        until("two replicas", 30, lambda: self.server(self.hosts[0]).info("replication")["connected_slaves"] == 2)
        for host in self.hosts:
            words = [options.ferrite, "sentinel", str(self.dir / f"sentinel-{host.number}.conf")]
            host.run("sentinel", words, open(self.dir / f"sentinel-{host.number}.log", "a"))
        until("the Sentinels know everybody", 60, self.is_known)

    def write_files(self, host):
        home = self.home(host)
        home.mkdir()
        follow = f"replicaof {self.hosts[0].ip} {PORT}\n" if host.number != 1 else ""
        (home / "redis.conf").write_text(
            f'port {PORT}\nbind {host.ip}\nprotected-mode no\ndir {home}\nsave ""\nappendonly yes\n'
            f"repl-diskless-sync-delay 0\nrepl-timeout 5\n{follow}"
        )
        (self.dir / f"sentinel-{host.number}.conf").write_text(
            f"port {SENTINEL}\nbind {host.ip}\nprotected-mode no\ndir {self.dir}\n"
            f"sentinel monitor mymaster {self.hosts[0].ip} {PORT} 2\n"
            f"sentinel down-after-milliseconds mymaster {int(DOWN_AFTER * 1000)}\n"
            f"sentinel failover-timeout mymaster {int(FAILOVER_TIMEOUT * 1000)}\n"
        )

    def home(self, host):
        return self.dir / f"host-{host.number}"

    def start(self, host):
        server = "redis-server" if self.options.redis else self.options.ferrite
        words = [server, str(self.home(host) / "redis.conf")]
        host.run("server", words, open(self.dir / f"server-{host.number}.log", "a"))

    def server(self, host):
        return redis.Redis(host=host.ip, port=PORT, socket_timeout=0.3, socket_connect_timeout=0.3, retry=None)

    def sentinel(self, host):
        return redis.Redis(host=host.ip, port=SENTINEL, socket_timeout=0.3, socket_connect_timeout=0.3, retry=None)

    def is_known(self, hosts=None):
        for host in hosts or self.hosts:
            state = self.sentinel(host).sentinel_master("mymaster")
            replicas = self.sentinel(host).sentinel_slaves("mymaster")
            good = [r for r in replicas if r["flags"] == "slave" and r["master-link-status"] == "ok"]
            if state["flags"] != "master" or state["num-other-sentinels"] != 2 or len(good) != 2 or len(replicas) != 2:
                return False
        return True

    def views(self, hosts):
        """What Sentinels name as master; None where one does not answer."""
        found = []
        for host in hosts:
            try:
                found.append(self.sentinel(host).execute_command("SENTINEL GET-MASTER-ADDR-BY-NAME mymaster")[0].decode())
            except (redis.RedisError, OSError):
                found.append(None)
        return found

    def start_clients(self):
        places = [f"{host.ip}:{SENTINEL}" for host in self.hosts]
        for name, words in CLIENTS.items():
            log = open(self.dir / f"{name}.log", "a")
            command = [*words, f"ledger:{name}", str(self.dir / f"{name}.ledger"), *places]
            self.clients[name] = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def ledger(self, name):
        """Number and time of each acknowledged write."""
        path = self.dir / f"{name}.ledger"
        lines = path.read_text().split("\n")[:-1] if path.exists() else []
        return [(int(line.split()[0]), float(line.split()[1])) for line in lines]

    def end(self):
        for process in self.clients.values():
            process.kill()
            process.wait()
        for host in self.hosts:
            host.end()
        if not self.options.keep:
            shutil.rmtree(self.dir, ignore_errors=True)


def until(what, limit, done):
    end = time.time() + limit
    while time.time() < end:
        try:
            if done():
                return
        except (redis.RedisError, OSError, KeyError, IndexError):
            pass
        time.sleep(0.02)
    raise TimeoutError(f"{what}: not within {limit} s")


class Local(threading.Thread):
    """A client on the master's own host, which no cut reaches."""

    def __init__(self, group, host, began):
        super().__init__(daemon=True)
        code = (
            "import socket,sys,time\n"
            "c=socket.create_connection((sys.argv[1],int(sys.argv[2])),1); c.settimeout(1); n=int(sys.argv[3])\n"
            "while True:\n"
            "    n+=1; w=str(n).encode()\n"
            "    c.sendall(b'*3\\r\\n$4\\r\\nSADD\\r\\n$12\\r\\nledger:local\\r\\n$%d\\r\\n%s\\r\\n'%(len(w),w))\n"
            "    if c.recv(100)!=b':1\\r\\n': break\n"
            "    print(n,'%.3f'%time.time(),flush=True); time.sleep(0.005)\n"
        )
        words = ["ip", "netns", "exec", host.space, sys.executable, "-c", code, host.ip, str(PORT), str(int(began * 1000))]
        out = open(group.dir / "local.ledger", "a")
        self.process = subprocess.Popen(words, stdout=out, stderr=subprocess.DEVNULL)

    def stop(self):
        self.process.kill()
        self.process.wait()


def in_tilt(group):
    """Sentinels that found their own clock jump: the machine stood still, and they decide nothing for half a minute."""

    def asks(host):
        try:
            return group.sentinel(host).info("sentinel")["sentinel_tilt"]
        except (redis.RedisError, OSError):
            return 0

    return any(asks(host) for host in group.hosts)


class Result:
    def __init__(self, kind):
        self.kind, self.problems = kind, []
        self.took = self.split = 0.0
        self.lost = self.reported = self.acknowledged = 0
        self.gaps = {}


def saved_numbers(group):
    """Members of ledgers in the divergence files."""
    found = {}
    for path in glob.glob(str(group.dir / "host-*" / "divergence-*.aof")):
        words = open(path, "rb").read().split(b"\r\n")
        for at, word in enumerate(words):
            # Libraries spell it as they like.
            if word.upper() == b"SADD" and at + 4 < len(words):
                key = words[at + 2].decode().removeprefix("ledger:")
                found.setdefault(key, set()).add(int(words[at + 4]))
    return found


def missing(group, master, name):
    """How many writes of a client were acknowledged since the last look, and those that the master does not have."""
    ledger = group.ledger(name)
    entries = ledger[group.counted.get(name, 0) :]
    group.counted[name] = len(ledger)
    lost, server = [], group.server(master)
    for start in range(0, len(entries), 1000):
        piece = entries[start : start + 1000]
        there = server.execute_command("SMISMEMBER", f"ledger:{name}", *(number for number, _ in piece))
        lost += [entry for entry, is_there in zip(piece, there) if not is_there]
    return len(entries), lost


def fault(group, result, host):
    process = host.processes["server"]
    if result.kind == "kill":
        process.kill()
        process.wait()
    elif result.kind == "stop":
        process.send_signal(signal.SIGSTOP)
    else:
        host.cut(True)


def heal(group, result, host):
    process = host.processes["server"]
    if result.kind == "kill":
        group.start(host)
    elif result.kind == "stop":
        process.send_signal(signal.SIGCONT)
    else:
        host.cut(False)


def one_round(group, kind):
    result = Result(kind)
    ips = {host.ip: host for host in group.hosts}
    names = set(group.views(group.hosts))
    assert len(names) == 1, f"the Sentinels do not agree: {names}"
    old = ips[names.pop()]
    others = [host for host in group.hosts if host is not old]
    time.sleep(0.5)
    began = time.time()
    local = Local(group, old, began) if kind == "cut" else None
    fault(group, result, old)
    group.broken = (result, old, local)
    began = time.time()
    # On a host that is cut off, the Sentinel knows nothing of the switch.
    asked = others if kind == "cut" else group.hosts
    until("a new master", 20, lambda: len(set(group.views(asked))) == 1 and group.views(asked)[0] != old.ip)
    new = ips[group.views(asked)[0]]
    until("a write at the new master", 10, lambda: group.server(new).set("round", began))
    result.took = time.time() - began
    if result.took > LIMIT:
        result.problems.append(f"a new master after {result.took:.2f} s")
    last = {name: 0.0 for name in CLIENTS}

    def all_write():
        for name in CLIENTS:
            entries = group.ledger(name)
            last[name] = next((at for _, at in entries if at > began + 0.3 and at > began + result.took - 1), 0.0)
        return all(last.values())

    until("all clients write again", 15, all_write)
    result.gaps = {name: at - began for name, at in last.items()}
    time.sleep(0.5)
    healed = time.time()
    heal(group, result, old)
    until("the old master follows", 30, lambda: group.server(old).role()[0] == b"slave")
    result.split = time.time() - healed
    until("its copy", 60, lambda: group.server(old).role()[3] == b"connected")
    if local:
        local.stop()
    until("everybody agrees", 60, lambda: set(group.views(group.hosts)) == {new.ip} and group.is_known())
    account(group, result, new, began)
    group.broken = None
    return result, began


def recover(group):
    """After a round that the machine itself has spoiled."""
    result, old, local = group.broken
    heal(group, result, old)
    until("everybody agrees again", 150, lambda: len(set(group.views(group.hosts))) == 1 and group.is_known())
    if local:
        local.stop()
    for name in [*CLIENTS, "local"]:
        group.counted[name] = len(group.ledger(name))
    group.broken = None


def account(group, result, new, began):
    saved = saved_numbers(group)
    for name in [*CLIENTS, "local"]:
        count, lost = missing(group, new, name)
        result.acknowledged += count
        result.lost += len(lost)
        reported = [number for number, _ in lost if number in saved.get(name, ())]
        result.reported += len(reported)
        if len(reported) < len(lost) and not group.options.redis:
            result.problems.append(f"{name}: {len(lost) - len(reported)} lost writes are in no divergence file")
        late = [at - began for _, at in lost if at < began - LAG]
        if late and name != "local":
            result.problems.append(f"{name}: lost {len(late)} writes from {-min(late):.2f} s before the fault")
    roles = [group.server(host).role()[0] for host in group.hosts]
    if sorted(roles) != [b"master", b"slave", b"slave"]:
        result.problems.append(f"roles at the end: {roles}")


def show(number, result):
    gaps = ", ".join(f"{name} {gap:.2f}" for name, gap in result.gaps.items())
    good = "PASS" if not result.problems else "FAIL"
    print(
        f"{good} {number} {result.kind}: new master {result.took:.2f} s; clients: {gaps}; old master follows "
        f"{result.split:.2f} s after its return; lost {result.lost} of {result.acknowledged}, in files {result.reported}"
        + "".join(f"; {problem}" for problem in result.problems),
        flush=True,
    )


def table(results):
    print(f"\n{'':6} rounds  failed  new master median/worst  writes again worst  old one follows worst  lost  in files")
    for kind in dict.fromkeys(result.kind for result in results):
        mine = [result for result in results if result.kind == kind]
        took = sorted(result.took for result in mine)
        gap = max((max(result.gaps.values(), default=0) for result in mine), default=0)
        print(
            f"{kind:6} {len(mine):6}  {sum(bool(r.problems) for r in mine):6}  {took[len(took) // 2]:13.2f} / {took[-1]:.2f} s"
            f"  {gap:16.2f} s  {max(r.split for r in mine):19.2f} s  {sum(r.lost for r in mine):4}  {sum(r.reported for r in mine):8}"
        )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("ferrite")
    parser.add_argument("hub")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--kinds", default="kill,stop,cut")
    parser.add_argument("--redis", action="store_true")
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    group, results, skipped = None, [], 0
    try:
        group = Group(options)
        group.start_clients()
        until("all clients write", 20, lambda: all(len(group.ledger(name)) > 20 for name in CLIENTS))
        for number in range(options.rounds):
            for kind in options.kinds.split(","):
                while in_tilt(group):
                    time.sleep(1)
                try:
                    result, began = one_round(group, kind)
                except (TimeoutError, AssertionError) as error:
                    if group.broken and in_tilt(group):
                        skipped += 1
                        print(f"SKIP {number + 1} {kind}: the machine stood still for seconds (TILT): {error}", flush=True)
                        recover(group)
                        continue
                    result, began = Result(kind), time.time()
                    result.problems.append(str(error))
                    results.append(result)
                    show(number + 1, result)
                    options.keep = True
                    raise
                results.append(result)
                show(number + 1, result)
                # Two tries of one group keep this distance; what is measured is not the pause.
                time.sleep(max(0.0, 2 * FAILOVER_TIMEOUT + 1 - (time.time() - began)))
        dead = [name for name, process in group.clients.items() if process.poll() is not None]
        if dead:
            results.append(Result("end"))
            results[-1].problems.append(f"clients died: {dead}")
            print(f"FAIL clients died: {dead}")
    except (TimeoutError, AssertionError) as error:
        print(f"FAIL {error}")
    finally:
        if group:
            if any(result.problems for result in results):
                options.keep = True
                print(f"logs and ledgers are in {group.dir}")
            group.end()
    table(results)
    if skipped:
        print(f"{skipped} rounds skipped because the machine stood still")
    wanted = options.rounds * len(options.kinds.split(","))
    sys.exit(any(result.problems for result in results) or len(results) + skipped < wanted)


main()
