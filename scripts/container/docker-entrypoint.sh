#!/bin/sh
# Options or a configuration file alone belong to the server; a server started as root becomes the user redis.
# As in the official image, SKIP_DROP_PRIVS=1 keeps it root, and SKIP_FIX_PERMS=1 leaves owners and rights alone.
set -e

as_redis() { setpriv --reuid=redis --regid=redis --clear-groups --no-new-privs -- "$@"; }

# lend RIGHTS PATH: to the group redis, so that whoever mounted it keeps it, and to an owner who has them not, as 0444
lend() { chgrp redis "$2" && chmod "ug+$1" "$2"; }

# What an earlier container of another user, or the host, left in the volume; the configuration file, which CONFIG REWRITE
# and every Sentinel write beside its old self. Something mounted read-only stays as it is.
fix_rights() {
  [ "$PWD" = / ] || find . \! -user redis -exec chown redis '{}' +
  [ -f "${1-}" ] || return 0
  folder=$(cd "$(dirname "$1")" && pwd)
  case $folder in
    "$PWD" | / | /etc | /usr | /usr/local | /usr/local/etc) ;; # not folders of its own
    *) as_redis test -w "$folder" -a -x "$folder" || lend rwx "$folder" ;;
  esac
  as_redis test -r "$1" -a -w "$1" || lend rw "$1"
}

case ${1-} in
  -* | *.conf) set -- redis-server "$@" ;;
esac

case ${1-} in
  redis-server | redis-sentinel | ferrite)
    # Who may not change the user (--cap-drop) has little to drop.
    if [ "$(id -u)" = 0 ] && [ -z "${SKIP_DROP_PRIVS-}" ] && as_redis true 2>/dev/null; then
      [ -n "${SKIP_FIX_PERMS-}" ] || (fix_rights "${2-}") 2>/dev/null || true
      exec setpriv --reuid=redis --regid=redis --clear-groups --no-new-privs -- "$0" "$@"
    fi
    # Files are the server's alone, unless the container was told otherwise.
    if [ "$(umask)" = 0022 ]; then umask 0077; fi
    ;;
esac

exec "$@"
