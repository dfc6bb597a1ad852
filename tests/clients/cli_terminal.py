#!/usr/bin/env python3
"""ferrite cli on a terminal: prompt, history, completion, hints, help, messages, Ctrl-C.

usage: cli_terminal.py BINARY PORT; prints one PASS or FAIL line a check; exit code 1 when one fails.
"""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time

BINARY, PORT = sys.argv[1], sys.argv[2]
HOME = tempfile.mkdtemp(prefix="ferrite-cli-")
PROMPT = f"127.0.0.1:{PORT}> "
failures = 0


def check(name, ok, seen=""):
    global failures
    print(f"PASS {name}" if ok else f"FAIL {name}: {seen!r}", flush=True)
    failures += not ok


class Screen:
    """What a terminal of 200 columns shows, as far as the line editor uses one."""

    def __init__(self):
        self.lines, self.row, self.column = [[]], 0, 0
        self.rest = ""

    def feed(self, text):
        text = self.rest + text
        self.rest = ""
        at = 0
        while at < len(text):
            if text[at] == "\x1b":
                match = re.match(r"\x1b\[([?0-9;]*)([A-Za-z])", text[at:])
                if not match:
                    if len(text) - at < 12:
                        self.rest = text[at:]
                        return
                    at += 1
                    continue
                self.control(match.group(1), match.group(2))
                at += match.end()
                continue
            self.put(text[at])
            at += 1

    def control(self, args, kind):
        n = int(args) if args.isdigit() else 0
        line = self.lines[self.row]
        if kind == "K":
            del line[self.column :]
        elif kind == "J":
            if n == 2:
                self.lines, self.row, self.column = [[]], 0, 0
            else:
                del line[self.column :]
                del self.lines[self.row + 1 :]
        elif kind == "C":
            self.column += max(n, 1)
        elif kind == "D":
            self.column = max(self.column - max(n, 1), 0)
        elif kind == "A":
            self.row = max(self.row - max(n, 1), 0)
        elif kind == "B":
            self.down(max(n, 1))
        elif kind == "G":
            self.column = max(n, 1) - 1

    def down(self, n):
        self.row += n
        while self.row >= len(self.lines):
            self.lines.append([])

    def put(self, char):
        if char == "\r":
            self.column = 0
        elif char == "\n":
            self.down(1)
        elif char == "\x08":
            self.column = max(self.column - 1, 0)
        elif char >= " ":
            line = self.lines[self.row]
            line.extend(" " * (self.column + 1 - len(line)))
            line[self.column] = char
            self.column += 1

    def text(self):
        return "\n".join("".join(line).rstrip() for line in self.lines)


class Session:
    def __init__(self, *args, env=None):
        self.screen = Screen()
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update({"TERM": "xterm", "HOME": HOME, **(env or {})})
            for name in ("REDISCLI_HISTFILE", "REDISCLI_AUTH"):
                if name not in (env or {}):
                    os.environ.pop(name, None)
            os.execv(BINARY, [BINARY, "cli", *args])
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))

    def read(self, seconds):
        if not select.select([self.fd], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self.fd, 1 << 16)
        except OSError:
            return None
        self.screen.feed(data.decode(errors="replace"))
        return True if data else None

    def wait(self, wanted, seconds=10):
        """Reads until the screen shows this; what the screen shows."""
        end = time.monotonic() + seconds
        while wanted not in self.screen.text() and time.monotonic() < end:
            if self.read(0.05) is None:
                break
        return self.screen.text()

    def settle(self):
        while self.read(0.15):
            pass
        return self.screen.text()

    def type(self, text):
        os.write(self.fd, text.encode())

    def last(self):
        return self.settle().rstrip("\n").split("\n")[-1]

    def line(self, text, wanted):
        """Types a line and waits for an answer and the next prompt; the answer."""
        self.settle()
        before = len(self.screen.lines)
        self.type(text + "\r")
        self.wait(wanted)
        self.settle()
        lines = self.screen.text().split("\n")
        return "\n".join(lines[before:-1])

    def end(self, seconds=5):
        """The exit code, once it ends."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.read(0.01)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                os.close(self.fd)
                return os.waitstatus_to_exitcode(status)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.fd)
        return None


def call(*words):
    return subprocess.run(
        [BINARY, "cli", "-p", PORT, *words], capture_output=True, text=True, timeout=20
    ).stdout.strip()


def history():
    try:
        with open(f"{HOME}/.ferritecli_history") as file:
            return file.read().splitlines()
    except FileNotFoundError:
        return []


def commands_and_prompt():
    s = Session("-p", PORT)
    check("prompt", s.wait(PROMPT.strip()).endswith(PROMPT.strip()), s.screen.text())
    answer = s.line("set greeting 'hello world'", "OK")
    check("a command", answer == "OK", answer)
    answer = s.line("get greeting", '"hello world"')
    check("a reply for people", answer == '"hello world"', answer)
    answer = s.line("hset h f v", "(integer) 1")
    answer = s.line("hgetall h", "=>")
    check("RESP3 by default", answer == '1# "f" => "v"', answer)
    answer = s.line("3 incr n", "(integer) 3")
    check("repetition", answer == "(integer) 1\n(integer) 2\n(integer) 3", answer)
    answer = s.line('get "open', "Invalid")
    check("quotes that do not close", answer == "Invalid argument(s)", answer)
    s.line("select 3", "[3]>")
    check("prompt with database", s.last() == f"127.0.0.1:{PORT}[3]>", s.last())
    s.line("multi", "(TX)>")
    check("prompt in a transaction", s.last() == f"127.0.0.1:{PORT}[3](TX)>", s.last())
    s.line("discard", "[3]>")
    s.line("select 0", PROMPT.strip())
    s.line("clear", PROMPT.strip())
    check("clear", s.settle().strip() == PROMPT.strip(), s.settle())
    call("client", "kill", "type", "normal")
    answer = s.line("get greeting", '"hello world"')
    check("a connection that ended is made again", answer == '"hello world"', answer)
    s.type("exit\r")
    check("exit", s.end() == 0)
    check(
        "history file",
        history()[:2] == ["set greeting 'hello world'", "get greeting"],
        history(),
    )
    mode = os.stat(f"{HOME}/.ferritecli_history").st_mode & 0o777
    check("history is private", mode == 0o600, oct(mode))


def help_hints_completion():
    s = Session("-p", PORT)
    s.wait(PROMPT.strip())
    s.type("get")
    check("hint", s.last() == PROMPT + "get key", s.last())
    s.type(" ")
    check("hint behind a blank", s.last() == PROMPT + "get key", s.last())
    s.type("x ")
    check("no hint any more", s.last() == (PROMPT + "get x").strip(), s.last())
    s.type("\x15config set a ")
    wanted = PROMPT + "config set a value [parameter value ...]"
    check("hint of a sub-command", s.last() == wanted, s.last())
    s.type("\x15object fr\t")
    check("completion", s.last().startswith(PROMPT + "object freq"), s.last())
    s.type("\x15GETD\t")
    check("completion in upper case", s.last() == PROMPT + "GETDEL key", s.last())
    s.type("\x15help @sor\t")
    check("completion of topics", s.last() == PROMPT + "help @sorted-set", s.last())
    s.type("\x15")
    answer = s.line("help get", "complexity")
    wanted = ["  GET key", "  summary: ", "  since: 1.0.0", "  group: string", "  complexity: O(1)"]
    check("help", all(line in answer for line in wanted), answer)
    answer = s.line("help @hyperloglog", "PFMERGE")
    check("help of a group", "PFADD key [element [element ...]]" in answer, answer)
    s.line(":set nohints", PROMPT.strip())
    s.type("get")
    check("hints off", s.last() == PROMPT + "get", s.last())
    s.type("\x15\x04")
    check("Ctrl-D", s.end() == 0)


def former_lines():
    s = Session("-p", PORT)
    s.wait(PROMPT.strip())
    s.line("auth sesame", "error")
    s.line("config set requirepass ''", "OK")
    s.line("acl setuser ann >sesame", "OK")
    s.line("hello 3 auth default sesame", "=>")
    s.line("ping last", '"last"')
    s.type("\x1b[A")
    check("the line before", s.last().startswith(PROMPT + "ping last"), s.last())
    s.type("\x1b[A")
    check("secrets are not kept", "sesame" not in s.last(), s.last())
    s.type("\x15quit\r")
    check("quit", s.end() == 0)
    text = "\n".join(history())
    check("secrets are not written", "sesame" not in text and "requirepass" not in text, text)
    check("other lines are", "ping last" in text, text)
    s = Session("-p", PORT)
    s.wait(PROMPT.strip())
    s.type("\x1b[A\x1b[A")
    check("lines of the last session", s.last().startswith(PROMPT + "ping last"), s.last())
    s.type("\x03")
    check("Ctrl-C at the prompt ends it", s.end() == 0)
    other = f"{HOME}/other"
    s = Session("-p", PORT, env={"REDISCLI_HISTFILE": other})
    s.wait(PROMPT.strip())
    s.line("ping other", '"other"')
    s.type("\x04")
    s.end()
    with open(other) as file:
        text = file.read()
    check("REDISCLI_HISTFILE", text == "ping other\n", text)
    call("acl", "deluser", "ann")


def messages():
    s = Session("-p", PORT)
    s.wait(PROMPT.strip())
    answer = s.line("subscribe a b", "(subscribed mode)>")
    check("subscribe", answer.endswith('1) "subscribe"\n2) "b"\n3) (integer) 2'), answer)
    s.type("ping ha")
    s.settle()
    call("publish", "a", "hello")
    text = s.wait('3) "hello"')
    text = s.settle()
    check("a message above the line that is typed", '2) "a"\n3) "hello"\n' in text, text)
    check("the line goes on", "(subscribed mode)> ping ha" in s.last(), s.last())
    s.type("llo\r")
    s.wait('"hallo"')
    check("commands go on", '"hallo"' in s.settle(), s.settle())
    s.type("\x03")
    check("Ctrl-C leaves the channels", s.last() == PROMPT.strip(), s.last())
    answer = s.line("monitor", "(monitor mode)>")
    check("monitor", answer == "OK", answer)
    call("set", "seen", "by monitor")
    s.wait('"by monitor"')
    check("what monitor shows", '"set" "seen" "by monitor"' in s.settle(), s.settle())
    answer = s.line("get seen", '"by monitor"')
    check("a command leaves monitor", answer.endswith('"by monitor"'), answer)
    check("and its prompt", s.last() == PROMPT.strip(), s.last())
    s.line("client tracking on", "OK")
    s.line("get seen", '"by monitor"')
    call("set", "seen", "again")
    s.wait("-> invalidate")
    check("invalidations", "-> invalidate: 'seen'" in s.settle(), s.settle())
    s.type("blpop nothing 0\r")
    s.settle()
    s.type("\x03")
    s.wait("^C")
    check("Ctrl-C ends a command that waits", s.last() == PROMPT.strip(), s.last())
    answer = s.line("get seen", '"again"')
    check("the session goes on", answer == '"again"', answer)
    # More at once than a screen holds, while a line is typed and sent: nothing gets stuck.
    s.line("subscribe many", "(subscribed mode)>")
    flood = "".join(f"publish many {n}\n" for n in range(3000))
    process = subprocess.Popen(
        [BINARY, "cli", "-p", PORT], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    process.stdin.write(flood)
    process.stdin.close()
    for _ in range(5):
        s.type("ping\r")
        s.settle()
    process.wait(20)
    s.wait('3) "2999"')
    check("many messages", '3) "2999"' in s.settle(), s.last())
    numbers = re.findall(r'3\) "(\d+)"', s.screen.text())
    check("all of them, in order", numbers == [str(n) for n in range(3000)], numbers[-5:])
    s.type("\x03")
    s.settle()
    s.type("quit\r")
    check("the end of it", s.end() == 0)


def without_a_server():
    s = Session("-p", "1")
    text = s.wait("not connected>")
    wanted = "Could not connect to Redis at 127.0.0.1:1: Connection refused"
    check("connection refused", wanted in text, text)
    check("prompt without a connection", s.last() == "not connected>", s.last())
    s.type("get")
    check("hints of our own table", s.last() == "not connected> get key", s.last())
    s.type("\x15")
    s.line(f"connect 127.0.0.1 {PORT}", PROMPT.strip())
    answer = s.line("ping", "PONG")
    check("connect", answer == "PONG", answer)
    s.type("\x04")
    s.end()
    s = Session("-p", PORT, "--askpass", "ping")
    s.wait("password:")
    s.type("ab\x7fc\r")
    text = s.wait("PONG")
    check("askpass", "Please input password: **" in text and "PONG" in text, text)
    s.end()


def main():
    call("flushall")
    for part in (commands_and_prompt, help_hints_completion, former_lines, messages, without_a_server):
        part()
    return failures > 0


sys.exit(main())
