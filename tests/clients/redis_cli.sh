#!/usr/bin/env bash
# redis-cli against the server: single commands, a session from standard input, and its own modes.
# usage: redis_cli.sh PORT; prints one PASS or FAIL line a check; exit code 1 when one fails.
port=$1
failures=0

cli() { redis-cli -p "$port" "$@"; }

check() { # NAME SEEN WANTED
  if [[ $2 == "$3" ]]; then
    echo "PASS $1"
  else
    failures=$((failures + 1))
    echo "FAIL $1: got '$2', expected '$3'"
  fi
}

check flushall "$(cli flushall)" OK
check ping "$(cli ping)" PONG
check "set and get" "$(cli set k 'hello world') $(cli get k)" "OK hello world"
check "nil on a terminal" "$(cli --no-raw get none)" "(nil)"
check "integer on a terminal" "$(cli --no-raw incr n)" "(integer) 1"
check "error" "$(cli --no-raw lpush k x)" "(error) WRONGTYPE Operation against a key holding the wrong kind of value"
check "list on a terminal" "$(cli rpush l a b >/dev/null; cli --no-raw lrange l 0 -1)" $'1) "a"\n2) "b"'
check "session" "$(printf 'set a 1\nincr a\nselect 2\nget a\nset a two\nget a\n' | cli --no-raw)" $'OK\n(integer) 2\nOK\n(nil)\nOK\n"two"'
check "value from standard input" "$(printf 'from stdin' | cli -x set x) $(cli get x)" "OK from stdin"
check "database option" "$(cli -n 2 get a)" two
check "hash in RESP3" "$(cli hset h f v >/dev/null; cli -3 --no-raw hgetall h)" '1# "f" => "v"'
check "csv" "$(cli --csv lrange l 0 -1)" '"a","b"'
check "json" "$(cli -3 --json hgetall h)" '{"f":"v"}'
check "repeat" "$(cli -r 3 incr rep | tr '\n' ' ')" "1 2 3 "
check "pipe mode" "$(for i in $(seq 1000); do printf 'set pipe:%d %d\r\n' "$i" "$i"; done | cli --pipe | tail -1)" "errors: 0, replies: 1000"
check "scan mode" "$(cli --scan --pattern 'pipe:*' | sort -u | wc -l)" 1000
check "bigkeys" "$(cli --bigkeys | grep -c 'Sampled [0-9]* keys in the keyspace')" 1
check "memkeys" "$(cli --memkeys 2>/dev/null | grep -c 'Sampled [0-9]* keys in the keyspace')" 1
check "info" "$(cli info server | grep -c '^redis_version:[0-9]*\.[0-9]*\.[0-9]*')" 1
check "help of a container" "$(cli config help | head -1)" "CONFIG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"
check "unknown command" "$(cli --no-raw nosuch a b)" "(error) ERR unknown command 'nosuch', with args beginning with: 'a' 'b' "
exit $((failures > 0))
