#!/usr/bin/env bash
# A throw-away Redis for tests: `redis.sh start DIR` prints its URL, `redis.sh stop DIR` ends it, `redis.sh version` says
# which one it is.
# Installs Debian's package when it is missing (as root).
set -euo pipefail
action=$1
dir=${2:-}

server=$(command -v redis-server || command -v valkey-server || true)
if [ -z "$server" ]; then
  if [ "$(id -u)" != 0 ]; then
    echo "Redis is missing: apt-get install redis-server" >&2
    exit 1
  fi
  # Debian would start one of its own: only the program is wanted.
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends redis-server; } >&2
  server=$(command -v redis-server)
fi

case $action in
start)
  mkdir -p "$dir"
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  "$server" --bind 127.0.0.1 --port "$port" --dir "$dir" --save '' --appendonly no --daemonize yes \
    --pidfile "$dir/redis.pid" --logfile "$dir/redis.log" >"$dir/start.log" 2>&1 || { cat "$dir"/*.log >&2; exit 1; }
  for _ in $(seq 100); do
    if python3 -c "import socket; socket.create_connection(('127.0.0.1', $port), 1)" 2>/dev/null; then
      echo "redis://127.0.0.1:$port/"
      exit 0
    fi
    sleep 0.1
  done
  cat "$dir"/*.log >&2
  exit 1
  ;;
version)
  "$server" --version
  ;;
stop)
  if [ -f "$dir/redis.pid" ]; then kill "$(cat "$dir/redis.pid")" 2>/dev/null || true; fi
  rm -rf "$dir"
  ;;
esac
