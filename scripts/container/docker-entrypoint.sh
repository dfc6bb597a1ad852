#!/bin/sh
# Options or a configuration file alone belong to the server; a server started as root becomes the user redis.
set -e

case ${1-} in
  -* | *.conf) set -- redis-server "$@" ;;
esac

case ${1-} in
  redis-server | redis-sentinel | ferrite)
    if [ "$(id -u)" = 0 ]; then
      # What an earlier container of another user, or the host, left in the volume. A read-only one stays as it is.
      find . \! -user redis -exec chown redis '{}' + 2>/dev/null || true
      exec setpriv --reuid=redis --regid=redis --clear-groups -- "$0" "$@"
    fi
    # Files are the server's alone, unless the container was told otherwise.
    if [ "$(umask)" = 0022 ]; then umask 0077; fi
    ;;
esac

exec "$@"
