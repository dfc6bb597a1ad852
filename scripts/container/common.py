"""What the container tests share: commands, and lines that say PASS or FAIL."""
import shlex
import subprocess
import sys
import time

failures = 0


def check(name, good, detail=""):
    global failures
    failures += not good
    print(f"{'PASS' if good else 'FAIL'} {name}" + (f": {detail}" if detail and not good else ""), flush=True)


def sh(*command, **options):
    return subprocess.run([str(word) for word in command], text=True, capture_output=True, errors="replace", **options)


def must(*command, **options):
    done = sh(*command, **options)
    if done.returncode:
        sys.exit(f"FAIL {shlex.join(map(str, command))[:200]}: {(done.stdout + done.stderr)[-2000:]}")
    return done.stdout


def eventually(good, seconds=60):
    """Whether good() comes true in time."""
    end = time.monotonic() + seconds
    while not good():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


class Asking:
    """What can be said to a container that has execute(), output() and running()."""

    def cli(self, *words):
        return self.execute("redis-cli", *words).stdout.strip()

    def wait_ready(self, *words, seconds=60):  # the first sync may wait for the image that was just unpacked
        # One that asks for a password says so while it loads, too: the log tells when it has loaded.
        def ready():
            said = "Ready to accept connections" in self.output()
            return said and self.cli(*words, "ping").startswith(("PONG", "NOAUTH"))
        return eventually(lambda: not self.running() or ready(), seconds) and self.running()

    def wait_quiet(self, seconds=60):
        """For one whose log says nothing, or something of an earlier start."""
        return eventually(lambda: self.cli("ping") == "PONG", seconds)

    def status(self):
        """Of the process that is number 1 inside."""
        text = self.execute("cat", "/proc/1/status").stdout
        return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
