"""The container image in a Docker engine: built there, and run as users of the official image do."""
import json
import os
import pathlib
import socket
import subprocess
import tempfile
import time
import urllib.request

import checks
from common import Asking, check, eventually, must, sh

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent


class Image:
    """What the engine says of an image, in the Dockerfile's words."""

    def __init__(self, engine, name):
        self.engine, self.name = engine, name
        config = json.loads(must(*engine, "image", "inspect", name))[0]["Config"]
        self.settings = {
            "VOLUME": " ".join(config["Volumes"]), "WORKDIR": config["WorkingDir"],
            "EXPOSE": " ".join(config["ExposedPorts"]).removesuffix("/tcp"), "STOPSIGNAL": config["StopSignal"],
            "CMD": config["Cmd"], "HEALTHCHECK": config["Healthcheck"]["Test"][1:]}


class Container(Asking):
    """docker run -d; volume is a folder of this machine, options are further words for the engine."""

    def __init__(self, image, *words, user=None, env=None, volume=None, options=()):
        self.engine = image.engine
        self.volume = volume or pathlib.Path(tempfile.mkdtemp(prefix="ferrite-volume."))
        flags = [f"--user={user}"] if user else []
        flags += [f"--env={k}={v}" for k, v in (env or {}).items()]
        if not any(word.startswith("--volume") for word in options):
            flags.append(f"--volume={self.volume}:/data")
        self.id = must(*self.engine, "run", "-d", *flags, *options, image.name, *words).strip()

    def inspect(self, template):
        return sh(*self.engine, "inspect", "-f", template, self.id).stdout.strip()

    @property
    def address(self):
        return self.execute("hostname", "-i").stdout.split()[0]

    def execute(self, *words, env=None):
        return sh(*self.engine, "exec", *(f"--env={k}={v}" for k, v in (env or {}).items()), self.id, *words)

    def running(self):
        return self.inspect("{{.State.Running}}") == "true"

    def health(self):
        return self.inspect("{{.State.Health.Status}}")

    def wait_end(self, seconds=10):
        try:
            return int(sh(*self.engine, "wait", self.id, timeout=seconds).stdout)
        except subprocess.TimeoutExpired:
            return None

    def stop(self):
        must(*self.engine, "stop", self.id)
        return int(self.inspect("{{.State.ExitCode}}"))

    def output(self):
        done = sh(*self.engine, "logs", self.id)
        return done.stdout + done.stderr

    def __enter__(self):
        return self

    def __exit__(self, *_):
        sh(*self.engine, "rm", "-f", "-v", self.id)


def try_health(run):
    with run(options=["--health-interval=1s"]) as c:
        check("engine: becomes healthy", eventually(lambda: c.health() == "healthy"), c.health())
        must(*c.engine, "kill", "--signal=STOP", c.id)
        check("engine: becomes unhealthy when nobody answers", eventually(lambda: c.health() == "unhealthy"), c.health())
        must(*c.engine, "kill", "--signal=CONT", c.id)
        check("engine: becomes healthy again", eventually(lambda: c.health() == "healthy"), c.health())


def try_volumes(engine, run):
    name = f"ferrite-test-{os.getpid()}"
    try:
        with run("redis-server", "--save", "60 1", "--loglevel", "warning", options=[f"--volume={name}:/data"]) as c:
            check("engine: a named volume", c.wait_quiet() and c.cli("set", "k", "v") == "OK", c.output()[-300:])
            started = time.monotonic()
            code = c.stop()
            check("engine: docker stop saves and ends with 0", code == 0 and time.monotonic() - started < 5, f"{code}")
        with run(options=[f"--volume={name}:/data"]) as c:
            check("engine: another container finds the data", c.wait_ready() and c.cli("get", "k") == "v", c.output()[-300:])
    finally:
        sh(*engine, "volume", "rm", name)
    with run(options=["--volume=/data", "--restart=unless-stopped"]) as c:
        c.wait_ready()
        c.cli("set", "k", "v")
        must(*engine, "restart", c.id)
        check("engine: docker restart keeps the data of a volume without a name", c.wait_quiet() and c.cli("get", "k") == "v")
        c.cli("shutdown")
        check("engine: SHUTDOWN under a restart policy comes again with its data",
              eventually(lambda: c.inspect("{{.RestartCount}}") == "1") and c.wait_quiet() and c.cli("get", "k") == "v")


def try_limits(run):
    with run("--appendonly", "yes", options=["--read-only"]) as c:
        check("engine: a root file system that is read-only", c.wait_ready() and c.cli("set", "k", "v") == "OK" and
              c.cli("save") == "OK", c.output()[-300:])
    with run(options=["--cap-drop=ALL"]) as c:
        check("engine: without any capability", c.wait_ready() and c.cli("set", "k", "v") == "OK", c.output()[-300:])
    with run(options=["--security-opt=no-new-privileges", "--init"]) as c:
        check("engine: --init and no-new-privileges", c.wait_ready() and c.stop() == 0, c.output()[-300:])
    with run("--maxmemory", "1gb", options=["--memory=256m", "--ulimit=nofile=64:64"]) as c:
        check("engine: limits of memory and files", c.wait_ready() and c.cli("ping") == "PONG", c.output()[-300:])


def try_network(engine, image, run):
    with run(options=["--publish=127.0.0.1::6379"]) as c:
        c.wait_ready()
        host, port = must(*engine, "port", c.id, "6379").split()[0].rsplit(":", 1)
        with socket.create_connection((host, int(port)), 5) as s:
            s.sendall(b"PING\r\n")
            check("engine: a published port answers", s.recv(100) == b"+PONG\r\n")
    name = f"ferrite-test-{os.getpid()}"
    must(*engine, "network", "create", name)
    try:
        with run(options=[f"--network={name}", f"--name={name}-server"]) as c:
            c.wait_ready()
            said = sh(*engine, "run", "--rm", "-i", f"--network={name}", image.name, "redis-cli", "-h", f"{name}-server", input="set k v\nget k\n")
            check("engine: redis-cli in another container", said.stdout == "OK\nv\n", said.stdout + said.stderr)
    finally:
        sh(*engine, "network", "rm", name)


def try_configuration(engine, image, run):
    folder = checks.volume_of(1234)
    os.chown(folder, 1234, 1234)
    (folder / "redis.conf").write_text("maxmemory 1mb\n")
    (folder / "redis.conf").chmod(0o600)
    os.chown(folder / "redis.conf", 1234, 1234)
    inside = "/usr/local/etc/redis"
    with run("redis-server", f"{inside}/redis.conf", options=[f"--volume={folder}:{inside}", "--volume=/data"]) as c:
        check("engine: a configuration's folder is mounted", c.wait_ready() and c.cli("config", "get", "maxmemory").endswith("1048576"), c.output()[-300:])
        c.cli("config", "set", "maxmemory", "2mb")
        said = c.cli("config", "rewrite")
        check("engine: CONFIG REWRITE in a mounted folder", said == "OK" and "maxmemory 2" in (folder / "redis.conf").read_text(), said)
        check("engine: the folder is still its owner's", folder.stat().st_uid == 1234)
    with run("redis-server", "/etc/my.conf", options=[f"--volume={folder}/redis.conf:/etc/my.conf:ro", "--volume=/data"]) as c:
        check("engine: a configuration file is mounted read-only", c.wait_ready(), c.output()[-300:])
    (folder / "sentinel.conf").write_text("sentinel monitor mymaster 127.0.0.1 6379 2\n")
    with run("redis-sentinel", f"{inside}/sentinel.conf", options=[f"--volume={folder}:{inside}", "--volume=/data"]) as c:
        check("engine: a Sentinel writes its file in a mounted folder", c.wait_ready("-p", "26379") and
              "sentinel myid" in (folder / "sentinel.conf").read_text(), c.output()[-300:])
    (folder / "Dockerfile").write_text(f'FROM {image.name}\nCOPY redis.conf {inside}/redis.conf\nCMD ["redis-server", "{inside}/redis.conf"]\n')
    (folder / "redis.conf").write_text("maxmemory 3mb\n")
    (folder / "redis.conf").chmod(0o644)
    name = f"{image.name.split(':')[0]}-derived"
    sh(*engine, "build", "-t", name, folder, env={**os.environ, "DOCKER_BUILDKIT": "1"})
    try:
        with Container(Image(engine, name)) as c:
            check("engine: an image that is built on this one", c.wait_ready() and c.cli("config", "get", "maxmemory").endswith("3145728"), c.output()[-300:])
    finally:
        sh(*engine, "image", "rm", name)


def try_compose(engine, image):
    """The group of the Compose file, as its comment says: the web application goes on when the master is stopped."""
    version = sh(*engine, "compose", "version", "--short").stdout.strip().removeprefix("v")
    if tuple(map(int, version.split(".")[:2] if version else (0, 0))) < (2, 23):
        print(f"SKIP compose: wants Compose 2.23 or later, which knows content in configs; here: {version or 'none'}")
        return
    file = pathlib.Path(tempfile.mkdtemp(prefix="ferrite-compose.")) / "compose.yaml"
    text = (HERE / "compose.example.yaml").read_text()
    file.write_text(text.replace("image: ferrite", f"image: {image.name}").replace('"8080:8080"', '"127.0.0.1::8080"'))
    compose = [*engine, "compose", "-p", f"ferrite-test-{os.getpid()}", "-f", file]

    def visit():
        try:
            address = sh(*compose, "port", "web", "8080").stdout.strip()
            return urllib.request.urlopen(f"http://{address}", timeout=5).read().decode()
        except (OSError, ValueError) as error:
            return str(error)

    try:
        must(*compose, "up", "-d", "--scale", "sentinel=3")
        check("compose: the web application counts visits", eventually(lambda: visit().startswith("visit ")), visit())
        before = int(visit().split()[1])
        check("compose: three Sentinels know each other", eventually(lambda: sh(
            *compose, "exec", "sentinel", "redis-cli", "-p", "26379", "info", "sentinel").stdout.strip().endswith("slaves=2,sentinels=3")))
        must(*compose, "stop", "master")
        check("compose: it goes on without the master", eventually(lambda: " at replica-" in visit()), visit())
        check("compose: no visit is forgotten", int(visit().split()[1]) > before)
        must(*compose, "start", "master")
        link = lambda: sh(*compose, "exec", "master", "redis-cli", "info", "replication").stdout
        check("compose: the old master comes back as a replica", eventually(lambda: "master_link_status:up" in link()), link())
    finally:
        sh(*compose, "down", "-v", "-t", "5")


def everything(engine, name):
    if not name:
        name = "ferrite-test"
        dockerfile = (HERE / "Dockerfile").relative_to(ROOT)
        must(*engine, "build", "-f", dockerfile, "-t", name, ".", cwd=ROOT, env={**os.environ, "DOCKER_BUILDKIT": "1"})
    image = Image(engine, name)

    def run(*words, **options):
        return Container(image, *words, **options)

    checks.try_settings(image)
    checks.try_server(image, run)
    checks.try_words(run)
    try_health(run)
    try_volumes(engine, run)
    try_limits(run)
    try_network(engine, image, run)
    try_configuration(engine, image, run)
    try_compose(engine, image)
