#!/usr/bin/env bash
# A throw-away PostgreSQL for tests: `postgres.sh start DIR` prints its URL, `postgres.sh stop DIR` ends it,
# `postgres.sh version` says which one it is.
# Installs Debian's package when it is missing (as root).
set -euo pipefail
action=$1
dir=${2:-}

as_server() { # PostgreSQL refuses to run as root
  if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi
}

binaries() {
  local found
  found=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1 || true)
  if [ -z "$found" ] && command -v initdb >/dev/null; then found=$(dirname "$(command -v initdb)"); fi
  echo "$found"
}

bin=$(binaries)
if [ -z "$bin" ]; then
  if [ "$(id -u)" != 0 ]; then
    echo "PostgreSQL is missing: apt-get install postgresql" >&2
    exit 1
  fi
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq postgresql; } >&2
  bin=$(binaries)
fi

case $action in
start)
  mkdir -p "$dir"
  if [ "$(id -u)" = 0 ]; then chown postgres "$dir"; fi
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  as_server "$bin/initdb" -D "$dir/data" -U guichet -A trust -E UTF8 --locale=C.UTF-8 >"$dir.log" 2>&1
  as_server "$bin/pg_ctl" -D "$dir/data" -w -l "$dir/server.log" \
    -o "-c listen_addresses=127.0.0.1 -p $port -c unix_socket_directories='$dir' -c fsync=off -c max_connections=300" start >>"$dir.log" 2>&1 ||
    { cat "$dir.log" "$dir/server.log" >&2; exit 1; }
  echo "postgres://guichet@127.0.0.1:$port/postgres"
  ;;
version)
  "$bin/postgres" --version
  ;;
stop)
  as_server "$bin/pg_ctl" -D "$dir/data" -m immediate stop >/dev/null 2>&1 || true
  rm -rf "$dir" "$dir.log"
  ;;
esac
