# Shared by the shell scripts here: where things are. Source it, do not run it.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${FERRITE_CACHE:-$root/.cache}

fail() {
  echo "${0##*/}: $*" >&2
  exit 1
}

# The binary under test: FERRITE_BIN, or the release build of this checkout.
ferrite_bin() {
  local bin=${FERRITE_BIN:-${CARGO_TARGET_DIR:-$root/target}/release/ferrite}
  [[ -x $bin ]] || fail "no server binary at $bin: run 'cargo build --release', or set FERRITE_BIN"
  echo "$(cd "$(dirname "$bin")" && pwd)/$(basename "$bin")"
}

# Runs as root, through sudo where we are not root.
as_root() {
  if [[ $(id -u) -eq 0 ]]; then "$@"; else sudo "$@"; fi
}

# The Python of the virtual environment in the cache; made on first use.
python_env() {
  local python=$cache/venv/bin/python
  if [[ ! -x $python ]]; then
    mkdir -p "$cache"
    python3 -m venv "$cache/venv" >&2 || fail "python3 cannot make a virtual environment: install python3-venv"
  fi
  echo "$python"
}
