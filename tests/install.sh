#!/usr/bin/env bash
# scripts/install in a folder and, where namespaces can be made, as root on a machine that is thrown away; the units; and
# Debian's own /etc/redis/redis.conf.
# usage: install.sh FERRITE; prints PASS, FAIL and SKIP lines; exit code 1 when something failed.
set -uo pipefail
bin=$(realpath "$1")
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

check() {
  local name=$1
  shift
  if "$@" >"$work/check.log" 2>&1; then
    echo "PASS install: $name"
  else
    failed=1
    echo "FAIL install: $name: $(tail -5 "$work/check.log" | tr '\n' ' ')"
  fi
}

tree() { (cd "$1" && find . -printf '%p %m %l\n' | sort && find . -type f -exec sha256sum {} + | sort); }
installs() { "$root/scripts/install" --destdir "$work/tree" --bin "$bin" "$@" >"$work/out" 2>&1; }
says() { grep -q "$1" "$work/out"; }

etc=$work/tree/etc/redis bindir=$work/tree/usr/local/bin units=$work/tree/usr/local/lib/systemd/system
check "into a folder" installs
check "the binary under all its names" bash -c "for n in ferrite redis-server redis-sentinel redis-check-rdb redis-check-aof; do
  [[ -x $bindir/\$n ]] || exit 1; done; $bindir/redis-server --version | grep -q v=7 && $bindir/redis-check-rdb --help | grep -q check-rdb"
check "the configuration names the data's folder" grep -qx 'dir /var/lib/redis' "$etc/redis.conf"
check "the configuration can be used" "$bin" check-config "$etc/redis.conf" "$etc/sentinel.conf"
tree "$work/tree" >"$work/first"
check "a second time" installs
tree "$work/tree" >"$work/second"
check "a second time changes nothing" cmp "$work/first" "$work/second"

echo 'maxmemory 1gb' >>"$etc/redis.conf"
check "over a changed configuration" installs
check "a changed configuration stays, without a word where nothing new is to be said" \
  bash -c "grep -qx 'maxmemory 1gb' $etc/redis.conf && [[ ! -e $etc/redis.conf.new ]]"
echo '# as an older version had it' >"$work/tree/usr/local/share/ferrite/redis.conf"
installs
check "the new version's configuration stands beside a changed one" \
  bash -c "grep -qx 'maxmemory 1gb' $etc/redis.conf && grep -qx 'dir /var/lib/redis' $etc/redis.conf.new"
check "... and that is said" says "kept .*/redis.conf;"
rm "$bindir/redis-server" && echo theirs >"$bindir/redis-server"
installs
check "somebody else's redis-server is left alone" grep -qx theirs "$bindir/redis-server"
echo data >"$work/tree/var/lib/redis/dump.rdb"
check "uninstall" installs --uninstall
(cd "$work/tree" && find . -type f | sort) >"$work/left"
printf '%s\n' ./etc/redis/redis.conf ./usr/local/bin/redis-server ./var/lib/redis/dump.rdb >"$work/wanted"
check "uninstall leaves data, a changed configuration and what is not ours" diff "$work/wanted" "$work/left"
rm -rf "$work/tree"
installs && installs --uninstall
check "uninstall of what was not touched leaves no file" bash -c "[[ -z \$(find $work/tree ! -type d) ]]"
check "a wrong option is refused" bash -c "! $root/scripts/install --nosuch"

installs --prefix /opt/ferrite
units=$work/tree/opt/ferrite/lib/systemd/system
check "--prefix is in the units" grep -q '^ExecStart=/opt/ferrite/bin/ferrite /etc/redis/redis.conf ' "$units/ferrite.service"
# Without the order, systemd starts it while the other one still saves; a shared folder goes away with the first that ends.
check "a unit begins when what it is in conflict with has ended" bash -c "for u in $units/*.service; do
  for other in \$(sed -n 's/^Conflicts=//p' \$u); do grep -q \"^After=.*\\b\$other\" \$u || exit 1; done; done"
check "each unit has a folder in /run of its own" bash -c "[[ -z \$(grep -h ^RuntimeDirectory= $units/*.service | sort | uniq -d) ]]"
if command -v systemd-analyze >/dev/null; then
  mkdir "$work/units"
  for unit in ferrite ferrite-sentinel; do
    sed "s|/opt/ferrite/bin|$work/tree/opt/ferrite/bin|" "$units/$unit.service" >"$work/units/$unit.service"
    systemd-analyze verify "$work/units/$unit.service" >"$work/verify" 2>&1
    check "systemd-analyze verify $unit has nothing to say of it" bash -c "! grep -F '$unit.service' $work/verify"
  done
else
  echo "SKIP install: no systemd-analyze"
fi

# What systemd does with Type=notify: the socket, the words, the end.
cat >"$work/notify.py" <<'PYTHON'
import os, shlex, signal, socket, subprocess, sys
unit, binary, folder = sys.argv[1:]
line = next(l for l in open(unit) if l.startswith("ExecStart="))
words = shlex.split(line.removeprefix("ExecStart="))
words = [binary] + [f"{folder}/redis.conf" if w == "/etc/redis/redis.conf" else w for w in words[1:]]
open(f"{folder}/redis.conf", "w").write(f"daemonize yes\nport 0\nunixsocket {folder}/s\ndir {folder}\n")
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(f"{folder}/notify")
s.settimeout(10)
process = subprocess.Popen(words, env={**os.environ, "NOTIFY_SOCKET": f"{folder}/notify"}, stdout=subprocess.DEVNULL)
assert b"READY=1" in s.recv(1000).split(b"\n")
process.send_signal(signal.SIGTERM)
assert s.recv(1000) == b"STOPPING=1"
assert process.wait(10) == 0
PYTHON
mkdir "$work/notify.d"
check "the unit's command says READY=1 and STOPPING=1" python3 "$work/notify.py" "$units/ferrite.service" "$bin" "$work/notify.d"

# The rest wants a machine of its own: folders that go away, a network without a way out.
if [[ $(id -u) -ne 0 ]] || ! unshare --mount --net true 2>/dev/null; then
  echo "SKIP install: as root, and Debian's configuration: needs root and namespaces"
  exit "$failed"
fi
cat >"$work/machine.sh" <<'MACHINE'
set -eu
what=$1 bin=$2 root=$3
mount --make-rprivate /
ip link set lo up
getent passwd redis >/dev/null || exit 9
as_redis() { setpriv --reuid=redis --regid=redis --init-groups "$@"; }
answers() { for _ in $(seq 100); do [ "$(redis-cli "$@" ping 2>/dev/null)" = PONG ] && return; sleep 0.1; done; echo "no answer"; return 1; }
for folder in /var/lib/redis /var/log/redis /run/redis; do
  mkdir -p $folder && mount -t tmpfs tmpfs $folder && chown redis:redis $folder
done
if [ "$what" = debian ]; then
  as_redis "$bin" /etc/redis/redis.conf # goes to the background, as that file says
  answers
  [ "$(redis-cli config get dir | tail -1)" = /var/lib/redis ]
  [ "$(cat /run/redis/redis-server.pid)" = "$(redis-cli info server | tr -d '\r' | sed -n 's/^process_id://p')" ]
  redis-cli set k v && redis-cli shutdown && ls -l /var/lib/redis/dump.rdb /var/log/redis/redis-server.log
else
  mount -t tmpfs tmpfs /usr/local
  mkdir -p /etc/redis && mount -t tmpfs tmpfs /etc/redis
  "$root/scripts/install" --bin "$bin"
  [ "$(stat -c %U:%G:%a /etc/redis/redis.conf)" = redis:redis:640 ]
  [ "$(stat -c %U:%G:%a /var/lib/redis)" = redis:redis:750 ]
  as_redis /usr/local/bin/redis-server /etc/redis/redis.conf >/dev/null &
  answers
  [ "$(redis-cli config set maxmemory 1gb)$(redis-cli config rewrite)" = OKOK ]
  grep -qx 'maxmemory 1073741824' /etc/redis/redis.conf || grep -x 'maxmemory 1gb' /etc/redis/redis.conf
  as_redis /usr/local/bin/redis-sentinel /etc/redis/sentinel.conf >/dev/null &
  answers -p 26379
  redis-cli -p 26379 shutdown || true
  redis-cli shutdown
  "$root/scripts/install" --uninstall
  [ -e /etc/redis/redis.conf ] && [ ! -e /usr/local/bin/ferrite ]
fi
MACHINE
machine() { unshare --mount --net --pid --fork --mount-proc timeout 60 sh -x "$work/machine.sh" "$1" "$bin" "$root"; }
if getent passwd redis >/dev/null && [[ -e /etc/redis/redis.conf ]]; then
  check "Debian's /etc/redis/redis.conf starts, as user redis, in the background" machine debian
  check "... and check-config finds nothing wrong in it" "$bin" check-config /etc/redis/redis.conf
  check "as root: owners, a server and a Sentinel as user redis, CONFIG REWRITE, uninstall" machine install
else
  echo "SKIP install: Debian's redis-server is not installed"
fi
exit "$failed"
