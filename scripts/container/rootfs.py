"""The container image in a folder: the final stage of the Dockerfile, done with mmdebstrap and chroot; containers of it with
namespaces of their own for processes, mounts and network. An instruction or a flag that is not known here is a failure, so
that Dockerfile and test cannot drift apart."""
import hashlib
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile

from common import Asking, must, sh

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BINARY_IN_BUILDER = "/build/target/dist/ferrite"


class Image:
    """The final stage of a Dockerfile: steps that change files, and settings for those who run it."""

    def __init__(self, dockerfile):
        text = dockerfile.read_text().replace("\\\n", " ")
        lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
        last = max(i for i, line in enumerate(lines) if line.startswith("FROM "))
        self.base = lines[last].split()[1]
        self.steps, self.env, self.labels, self.settings = [], {}, {}, {}
        for line in lines[last + 1:]:
            word, rest = line.split(None, 1)
            if word in ("RUN", "COPY"):
                self.steps.append((word, rest))
            elif word == "ENV":
                self.env.update(item.split("=", 1) for item in shlex.split(rest))
            elif word == "LABEL":
                self.labels.update(item.split("=", 1) for item in shlex.split(rest))
            elif word == "HEALTHCHECK":
                self.settings[word] = json.loads(re.fullmatch(r"(?:--\S+ )*CMD (\[.*\])", rest)[1])
            elif word in ("ENTRYPOINT", "CMD"):
                self.settings[word] = json.loads(rest)
            elif word in ("VOLUME", "WORKDIR", "EXPOSE", "STOPSIGNAL"):
                self.settings[word] = rest
            else:
                sys.exit(f"FAIL the Dockerfile has {word}, which this test does not know")

    def needs_network(self, rest):
        return "apt-get" in rest

    def base_key(self):
        """What the cached base is made of: everything before the first COPY that wants only Debian."""
        parts = [self.base] + [rest for word, rest in self.steps if word == "RUN" and "apt-get" in rest]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def in_root(root, command, **options):
    """A command in the root with the host's network, as RUN has it."""
    script = (f'mount --bind /dev {root}/dev && mount -t proc proc {root}/proc && '
              f'exec chroot {root} /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin '
              f'DEBIAN_FRONTEND=noninteractive /bin/sh -c {shlex.quote(command)}')
    return must("unshare", "--mount", "--pid", "--fork", "sh", "-c", script, **options)


def prepare(image, cache):
    """The base with the packages, as an archive in the cache."""
    archive = cache / f"container-{image.base_key()}.tar"
    if archive.exists():
        return archive
    distribution, tag = image.base.split(":")
    if distribution != "debian":
        sys.exit(f"FAIL the base {image.base} is not Debian")
    cache.mkdir(parents=True, exist_ok=True)
    part = archive.with_suffix(".part.tar")
    root = pathlib.Path(tempfile.mkdtemp(prefix="ferrite-base."))
    try:
        must("mmdebstrap", "-q", "--variant=minbase", "--format=directory", tag.removesuffix("-slim"), root)
        shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
        for word, rest in image.steps:  # users first, as the Dockerfile has them: packages may look for them
            if word == "RUN" and (image.needs_network(rest) or "useradd" in rest):
                in_root(root, rest, timeout=600)
        must("tar", "-C", root, "-cf", part, "--exclude=./var/cache/apt/*", "--exclude=./var/lib/apt/lists/*",
             "--exclude=./usr/share/doc/*", "--exclude=./usr/share/locale/*", ".")
        part.rename(archive)
    finally:
        shutil.rmtree(root, ignore_errors=True)
        part.unlink(missing_ok=True)
    return archive


def build(image, archive, binary, root):
    must("tar", "-C", root, "-xf", archive)
    for word, rest in image.steps:
        if word == "RUN":
            if not image.needs_network(rest) and "useradd" not in rest:  # those are in the archive
                in_root(root, rest)
            continue
        words = rest.split()
        flags = [w for w in words if w.startswith("--")]
        *sources, target = [w for w in words if not w.startswith("--")]
        mode = next((int(f.split("=")[1], 8) for f in flags if f.startswith("--chmod=")), None)
        for flag in flags:
            if not flag.startswith(("--chmod=", "--from=builder")):
                sys.exit(f"FAIL COPY has {flag}, which this test does not know")
        for source in sources:
            if "--from=builder" in flags and source == BINARY_IN_BUILDER:
                origin = pathlib.Path(binary)
            elif "--from=builder" in flags:
                sys.exit(f"FAIL COPY takes {source} from the builder, and this test has no such file")
            else:
                origin = ROOT / source
            to = root / target.lstrip("/")
            to = to / origin.name if target.endswith("/") else to
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(origin, to)
            to.chmod(mode or 0o755)


class Container(Asking):
    """docker run, as far as it matters here: the entry point as process 1, in namespaces of its own."""

    address = "192.0.2.1"  # one that is not loopback's

    def __init__(self, image, root, *words, user=None, env=None, volume=None):
        self.image = image
        self.volume = volume or pathlib.Path(tempfile.mkdtemp(prefix="ferrite-volume."))
        self.log = open(self.volume.parent / f"{self.volume.name}.log", "w+")
        directory = image.settings["WORKDIR"]
        variables = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", **image.env, **(env or {})}
        command = [*image.settings["ENTRYPOINT"], *(words or image.settings["CMD"])]
        drop = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"] if user else []
        inner = shlex.join(["env", "-i", *(f"{k}={v}" for k, v in variables.items()), "sh", "-c",
                            f"cd {directory} && umask 0022 && exec \"$@\"", "sh", *drop, *command])
        script = (f"mount --make-rprivate / && mount --bind /dev {root}/dev && mount -t proc proc {root}/proc && "
                  f"mount --bind {self.volume} {root}{image.settings['VOLUME']} && "
                  f"ip link set lo up && ip addr add {self.address}/32 dev lo && exec chroot {root} {inner}")
        self.process = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child", "sh", "-c", script],
            stdout=self.log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)

    def first(self):
        """The process that is number 1 inside."""
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        try:
            return int(children.read_text().split()[0])
        except (OSError, IndexError):
            return None

    def execute(self, *words, env=None):
        """docker exec."""
        if self.first() is None:
            return subprocess.CompletedProcess(words, 1, "", "it has ended")
        variables = [f"{k}={v}" for k, v in {"PATH": "/usr/local/bin:/usr/bin:/bin", **(env or {})}.items()]
        return sh("nsenter", "-t", self.first(), "--mount", "--pid", "--net", "--ipc", "--uts", "--root", "--wd",
                  "env", "-i", *variables, *words)

    def running(self):
        return self.process.poll() is None

    def wait_end(self, seconds=10):
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def stop(self):
        """docker stop; the exit code, or None if it had to be killed."""
        if self.running() and self.first():
            os.kill(self.first(), getattr(signal, self.image.settings["STOPSIGNAL"]))
        code = self.wait_end()
        if code is None:
            self.process.kill()
            self.process.wait()
        return code

    def output(self):
        self.log.flush()
        return pathlib.Path(self.log.name).read_text(errors="replace")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        self.log.close()
