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

# The words that make a command run as root; as_root is for where a function can stand.
superuser=()
[[ $(id -u) -eq 0 ]] || superuser=(sudo)

as_root() { "${superuser[@]}" "$@"; }

# The Python of the virtual environment in the cache; made on first use.
python_env() {
  local python=$cache/venv/bin/python
  if [[ ! -x $python ]]; then
    mkdir -p "$cache"
    python3 -m venv "$cache/venv" >&2 || fail "python3 cannot make a virtual environment: install python3-venv"
  fi
  echo "$python"
}
