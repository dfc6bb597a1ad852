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

    def until(self, holds, seconds=20):
        """Reads until this holds; whether it does."""
        end = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > end or self.read(0.05) is None:
                return holds()
        return True

    def text(self):
        return self.screen.text()

    def wait(self, wanted):
        """Reads until the screen shows this; what the screen shows."""
        self.until(lambda: wanted in self.text())
        return self.text()

    def type(self, text):
        os.write(self.fd, text.encode())

    def last(self):
        return self.text().rstrip("\n").split("\n")[-1]

    def prompt(self):
        """Waits until a line may be typed; the prompt."""
        self.until(lambda: self.last().endswith(">"))
        return self.last()

    def check_last(self, name, wanted):
        """The last line becomes this; a blank at its end does not show."""
        self.until(lambda: self.last() == wanted.rstrip())
        check(name, self.last() == wanted.rstrip(), self.last())

    def line(self, text, wanted):
        """Types a line and waits for an answer and the next prompt; the answer."""
        self.prompt()
        before = len(self.text().rstrip("\n").split("\n"))
        after = lambda: self.text().split("\n")[before:]
        self.type(text + "\r")
        self.until(lambda: wanted in "\n".join(after()) and self.last().endswith(">"))
        return "\n".join(after()).rstrip("\n").rpartition("\n")[0]

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
    s.check_last("prompt", PROMPT)
    answer = s.line("set greeting 'hello world'", "OK")
    check("a command", answer == "OK", answer)
    answer = s.line("get greeting", '"hello world"')
    check("a reply for people", answer == '"hello world"', answer)
    s.line("hset h f v", "(integer) 1")
    answer = s.line("hgetall h", "=>")
    check("RESP3 by default", answer == '1# "f" => "v"', answer)
    answer = s.line("3 incr n", "(integer) 3")
    check("repetition", answer == "(integer) 1\n(integer) 2\n(integer) 3", answer)
    answer = s.line('get "open', "Invalid")
    check("quotes that do not close", answer == "Invalid argument(s)", answer)
    s.line("select 3", "[3]>")
    s.check_last("prompt with database", f"127.0.0.1:{PORT}[3]> ")
    s.line("multi", "(TX)>")
    s.check_last("prompt in a transaction", f"127.0.0.1:{PORT}[3](TX)> ")
    s.line("discard", "[3]>")
    s.line("select 0", "OK")
    s.prompt()
    s.type("clear\r")
    s.until(lambda: s.text().strip() == PROMPT.strip())
    check("clear", s.text().strip() == PROMPT.strip(), s.text())
    call("client", "kill", "type", "normal")
    # Until the end has come: a command that is on its way by then is not sent again.
    time.sleep(0.5)
    answer = s.line("get greeting", '"hello world"')
    check("a connection that ended is made again", answer == '"hello world"', answer)
    s.type("exit\r")
    check("exit", s.end() == 0)
    lines = ["set greeting 'hello world'", "get greeting"]
    check("history file", history()[:2] == lines, history())
    mode = os.stat(f"{HOME}/.ferritecli_history").st_mode & 0o777
    check("history is private", mode == 0o600, oct(mode))


def help_hints_completion():
    s = Session("-p", PORT)
    s.prompt()
    s.type("get")
    s.check_last("hint", PROMPT + "get key")
    s.type(" x")
    s.check_last("hint of the word that is typed", PROMPT + "get x key")
    s.type(" ")
    s.check_last("no hint any more", PROMPT + "get x")
    s.type("\x15config set a ")
    s.check_last("hint of a sub-command", PROMPT + "config set a value [parameter value ...]")
    s.type("\x15object fr\t")
    s.check_last("completion", PROMPT + "object freq key")
    s.type("\x15GETD\t")
    s.check_last("completion in upper case", PROMPT + "GETDEL key")
    s.type("\x15help @sor\t")
    s.check_last("completion of topics", PROMPT + "help @sorted-set")
    s.type("\x15")
    answer = s.line("help get", "complexity")
    wanted = ["  GET key", "  summary: ", "  since: 1.0.0", "  group: string", "  complexity: O(1)"]
    check("help", all(line in answer for line in wanted), answer)
    answer = s.line("help @hyperloglog", "PFMERGE")
    check("help of a group", "PFADD key [element [element ...]]" in answer, answer)
    s.line(":set nohints", PROMPT.strip())
    s.type("get ")
    s.type("x")
    s.check_last("hints off", PROMPT + "get x")
    s.type("\x15\x04")
    check("Ctrl-D", s.end() == 0)


def former_lines():
    s = Session("-p", PORT)
    s.prompt()
    s.line("auth sesame", "error")
    s.line("config set requirepass ''", "OK")
    s.line("acl setuser ann >sesame", "OK")
    s.line("hello 3 auth default sesame", "=>")
    s.line("ping last", '"last"')
    s.type("\x1b[A")
    s.check_last("the line before", PROMPT + "ping last [message]")
    s.type("\x1b[A")
    s.check_last("secrets are not kept", PROMPT + ":set nohints")
    s.type("\x15quit\r")
    check("quit", s.end() == 0)
    text = "\n".join(history())
    check("secrets are not written", "sesame" not in text and "requirepass" not in text, text)
    check("other lines are", "ping last" in text, text)
    s = Session("-p", PORT)
    s.prompt()
    s.type("\x1b[A\x1b[A")
    s.check_last("lines of the last session", PROMPT + "ping last [message]")
    s.type("\x03")
    check("Ctrl-C at the prompt ends it", s.end() == 0)
    other = f"{HOME}/other"
    s = Session("-p", PORT, env={"REDISCLI_HISTFILE": other})
    s.line("ping other", '"other"')
    s.type("\x04")
    s.end()
    with open(other) as file:
        text = file.read()
    check("REDISCLI_HISTFILE", text == "ping other\n", text)
    call("acl", "deluser", "ann")


def messages():
    s = Session("-p", PORT)
    answer = s.line("subscribe a b", "(subscribed mode)>")
    check("subscribe", answer.endswith('1) "subscribe"\n2) "b"\n3) (integer) 2'), answer)
    s.type("ping ha")
    s.wait("> ping ha")
    call("publish", "a", "hello")
    line = f"127.0.0.1:{PORT}(subscribed mode)> ping ha [message]"
    s.until(lambda: s.text().rstrip().endswith('3) "hello"\n' + line))
    check("a message above the line that is typed", '2) "a"\n3) "hello"\n' in s.text(), s.text())
    s.check_last("the line goes on", line)
    s.type("llo\r")
    s.wait('"hallo"')
    check("commands go on", '"hallo"' in s.text(), s.text())
    s.prompt()
    s.type("\x03")
    s.check_last("Ctrl-C leaves the channels", PROMPT)
    answer = s.line("monitor", "(monitor mode)>")
    check("monitor", answer == "OK", answer)
    call("set", "seen", "by monitor")
    s.wait('"set" "seen" "by monitor"')
    check("what monitor shows", '"set" "seen" "by monitor"' in s.text(), s.text())
    answer = s.line("get seen", PROMPT.strip())
    check("a command leaves monitor", answer.endswith('"by monitor"'), answer)
    s.check_last("and its prompt", PROMPT)
    s.line("client tracking on", "OK")
    s.line("get seen", '"by monitor"')
    call("set", "seen", "again")
    s.wait("-> invalidate: 'seen'")
    check("invalidations", "-> invalidate: 'seen'" in s.text(), s.text())
    s.prompt()
    s.type("blpop nothing 0\r")
    s.until(lambda: "blocked_clients:1" in call("info", "clients"))
    s.type("\x03")
    s.check_last("Ctrl-C ends a command that waits", PROMPT)
    answer = s.line("get seen", '"again"')
    check("the session goes on", answer.endswith('"again"'), answer)
    # More at once than a screen holds, while lines are typed and sent: nothing gets stuck or lost.
    s.line("subscribe many", "(subscribed mode)>")
    flood = "".join(f"publish many {n}\n" for n in range(3000))
    process = subprocess.Popen(
        [BINARY, "cli", "-p", PORT], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    process.stdin.write(flood)
    process.stdin.close()
    for _ in range(5):
        s.type("ping\r")
        s.read(0.05)
    process.wait(20)
    s.wait('3) "2999"')
    check("many messages", '3) "2999"' in s.text(), s.last())
    numbers = re.findall(r'3\) "(\d+)"', s.text())
    # What came at the very moment a line was sent is shown with the next prompt, behind what came with the reply.
    missing = set(range(3000)) - {int(n) for n in numbers}
    check("all of them, once", not missing and len(numbers) == 3000, (len(numbers), missing))
    s.prompt()
    s.type("\x03")
    s.until(lambda: s.last() == PROMPT.strip())
    s.type("quit\r")
    check("the end of it", s.end() == 0)


def without_a_server():
    s = Session("-p", "1")
    text = s.wait("not connected>")
    wanted = "Could not connect to Redis at 127.0.0.1:1: Connection refused"
    check("connection refused", wanted in text, text)
    s.check_last("prompt without a connection", "not connected> ")
    s.type("get")
    s.check_last("hints of our own table", "not connected> get key")
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
