"""What a container of the image is to do, however it is run: run(words…) starts one."""
import os
import pathlib
import tempfile
import time

from common import check, eventually, must


def volume_of(owner, *files):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="ferrite-volume."))
    for name in files:
        (folder / name).write_text("x")
        os.chown(folder / name, owner, owner)
    return folder


def try_settings(image):
    wanted = {"VOLUME": "/data", "WORKDIR": "/data", "EXPOSE": "6379", "STOPSIGNAL": "SIGTERM", "CMD": ["redis-server"]}
    check("container: volume, folder, port, signal and command are the official image's", wanted.items() <= image.settings.items())


def try_server(image, run):
    with run() as c:
        check("container: runs without words, and answers", c.wait_ready(), c.output()[-300:])
        status = c.status()
        check("container: the server is process 1, as 999:999 without other groups",
              (status["Uid"].split()[0], status["Gid"].split()[0], status["Groups"].strip(), status["Name"]) ==
              ("999", "999", "", "redis-server"), str({k: status[k] for k in ("Uid", "Gid", "Groups", "Name")}))
        check("container: umask 0077", status["Umask"] == "0077", status["Umask"])
        check("container: protected mode is off, and other addresses are answered",
              c.cli("config", "get", "protected-mode") == "protected-mode\nno" and c.cli("-h", c.address, "set", "k", "v") == "OK")
        health = c.execute(*image.settings["HEALTHCHECK"])
        check("container: healthy", health.returncode == 0, health.stdout)
        check("container: data stays in /data, of mode 600, of user redis", c.cli("save") == "OK" and
              (lambda s: (s.st_uid, s.st_mode & 0o777) == (999, 0o600))((c.volume / "dump.rdb").stat()))
        names = ["redis-server", "redis-sentinel", "redis-cli", "redis-check-rdb", "redis-check-aof", "redis-benchmark"]
        found = c.execute("sh", "-c", f"for n in {' '.join(names)}; do command -v $n; done").stdout.split()
        check("container: all names are on the path", [f.rsplit("/")[-1] for f in found] == names, str(found))
        looked = c.execute("redis-check-rdb", "dump.rdb")
        check("container: redis-check-rdb takes the file", looked.returncode == 0, looked.stdout + looked.stderr)
        check("container: redis-benchmark runs", c.execute("redis-benchmark", "-n", "100", "-q", "-t", "set").returncode == 0)
        started = time.monotonic()
        check("container: ends with 0 at STOPSIGNAL", c.stop() == 0 and time.monotonic() - started < 5)
        check("container: logs to standard output", "Ready to accept connections" in c.output())
        with run(volume=c.volume) as again:
            check("container: the volume's data is there again", again.wait_ready() and again.cli("get", "k") == "v")


def try_words(run):
    with run("--appendonly", "yes", "--requirepass", "p w") as c:
        check("container: options alone go to the server", c.wait_ready() and c.cli("-a", "p w", "config", "get", "appendonly") == "appendonly\nyes")
        check("container: healthy with a password that it does not know", c.execute("healthcheck").returncode == 0)
        check("container: healthy with REDISCLI_AUTH", c.execute("healthcheck", env={"REDISCLI_AUTH": "p w"}).returncode == 0)
    folder = volume_of(0, "left-by-root")
    (folder / "my.conf").write_text("protected-mode yes\nport 7000\nmetrics-port 9121\n")
    with run("redis-server", "/data/my.conf", volume=folder) as c:
        check("container: redis-server with a file", c.wait_ready("-p", "7000"), c.output()[-300:])
        check("container: a file's protected-mode yes holds", "DENIED" in c.cli("-h", c.address, "-p", "7000", "ping"))
        check("container: healthy on another port, unhealthy where REDIS_PORT finds nobody", (c.execute("healthcheck").returncode,
              *(c.execute("healthcheck", env={"REDIS_PORT": p}).returncode for p in ("7000", "7001"))) == (0, 0, 1))
        check("container: what root left in the volume is the user's", (folder / "left-by-root").stat().st_uid == 999)
    with run("my.conf", volume=folder) as c:
        check("container: a file alone goes to the server", c.wait_ready("-p", "7000"), c.output()[-300:])
    with run("redis-cli", "--version") as c:
        check("container: redis-cli", c.wait_end() == 0 and c.output().startswith("redis-cli "), c.output())
    with run("sh", "-c", "id -u; echo words: $0 $1", "a b", "c") as c:
        check("container: other programs run as they are", c.wait_end() == 0 and c.output() == "0\nwords: a b c\n", c.output())
    folder = volume_of(1234)
    os.chown(folder, 1234, 1234)
    with run("--save", "60 1", user=1234, volume=folder) as c:
        check("container: --user runs as that user", c.wait_ready() and c.status()["Uid"].split()[0] == "1234", c.output()[-300:])
        check("container: --user saves", c.cli("save") == "OK" and (folder / "dump.rdb").stat().st_uid == 1234)
    with run("--nosuch", "1") as c:
        check("container: a wrong option ends it with 1", c.wait_end() == 1 and "nosuch" in c.output(), c.output())
    try_rights(run)
    folder = volume_of(0)
    (folder / "s.conf").write_text("sentinel monitor mymaster 127.0.0.1 6379 2\n")
    with run("redis-sentinel", "s.conf", volume=folder) as c:
        check("container: redis-sentinel on 26379, as user redis", c.wait_ready("-p", "26379") and
              c.status()["Uid"].split()[0] == "999", c.output()[-300:])
        check("container: the Sentinel writes its file", "sentinel myid" in (folder / "s.conf").read_text())
        check("container: the Sentinel is healthy", c.execute("healthcheck").returncode == 0)
    try_health(run)


def try_rights(run):
    folder = volume_of(0, "left-by-root")
    with run(env={"SKIP_FIX_PERMS": "1", "SKIP_DROP_PRIVS": "1"}, volume=folder) as c:
        check("container: SKIP_DROP_PRIVS and SKIP_FIX_PERMS keep root, and what is root's",
              c.wait_ready() and c.status()["Uid"].split()[0] == "0" and (folder / "left-by-root").stat().st_uid == 0)
    # A configuration of somebody's own, in a folder of his own, as it may be mounted.
    conf = "/usr/local/etc/redis/redis.conf"
    make = (f"mkdir -m 700 ${{1%/*}} && echo maxmemory 1mb >$1 && chmod 600 $1 && chown -R 1234 ${{1%/*}} && "
            "exec docker-entrypoint.sh redis-server $1")
    with run("sh", "-c", make, "sh", conf) as c:
        check("container: a configuration that only its owner may read", c.wait_ready(), c.output()[-300:])
        check("container: CONFIG REWRITE", (c.cli("config", "set", "maxmemory", "2mb"), c.cli("config", "rewrite")) == ("OK", "OK") and
              "maxmemory 2" in c.execute("cat", conf).stdout, c.output()[-300:])
        owner = c.execute("stat", "-c", "%u", conf.rsplit("/", 1)[0]).stdout
        check("container: its folder stays its owner's", owner == "1234\n", owner)


def try_health(run):
    """A container that is called unhealthy may be ended by whoever runs it: also those are healthy that are not on port 6379."""
    for name, words in {
            "one address": "--bind 127.0.0.1",
            "IPv6 alone": "--bind ::1", "a socket file alone": "--port 0 --unixsocket /tmp/s"}.items():
        with run(*words.split()) as c:
            good = eventually(lambda: "Ready to accept" in c.output() or not c.running()) and c.execute("healthcheck")
            if "Cannot assign requested address" in c.output():
                print(f"SKIP container: {name}: containers here have none")
                continue
            check(f"container: healthy on {name}", good and good.returncode == 0, c.output()[-300:])
    with run("sleep", "100") as c:
        check("container: healthy without a server", eventually(lambda: c.execute("healthcheck").returncode == 0))
    folder = volume_of(0)
    must("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "10", "-subj", "/CN=localhost",
         "-keyout", folder / "key", "-out", folder / "cert")
    for wanted in "yes", "no":
        words = f"--port 0 --tls-port 6390 --tls-key-file key --tls-cert-file cert --tls-ca-cert-file cert --tls-auth-clients {wanted}"
        with run(*words.split(), volume=folder) as c:
            check(f"container: healthy with TLS alone, tls-auth-clients {wanted}", eventually(
                lambda: "Ready to accept" in c.output() or not c.running()) and c.execute("healthcheck").returncode == 0, c.output()[-300:])
