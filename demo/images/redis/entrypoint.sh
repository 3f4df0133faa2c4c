#!/bin/sh
# As in the official image: arguments alone go to redis-server, which runs as redis and takes
# connections from the container's network.
set -eu
case ${1:-} in -* | *.conf) set -- redis-server "$@" ;; esac
[ "$1" = redis-server ] || exec "$@"
case " $* " in *" --protected-mode "* | *.conf*) ;; *) set -- "$@" --protected-mode no ;; esac
[ "$(id -u)" = 0 ] || exec "$@"
find . \! -user redis -exec chown redis '{}' +
exec setpriv --reuid=redis --regid=redis --init-groups "$@"
