#!/bin/sh
# Serves the mock engine's model with everything on, for `make bench-gateway`: usage: gateway.sh GUICHET PORT
# Run from the root of the project. Quick once its data exists: its start is part of what is measured.
set -eu
guichet=$1
port=$2

export GUICHET_CONFIG="$PWD/deploy/config/bench.yaml"
export GUICHET__DATA="$PWD/target/bench-data"
export GUICHET__SERVER__LISTEN="127.0.0.1:$port"

# The key lives with the data that knows it: without one of them, both are made anew.
key=$GUICHET__DATA/bench.key
if [ ! -s "$key" ]; then
  rm -rf "$GUICHET__DATA"
  umask 077
  mkdir -p "$GUICHET__DATA"
  "$guichet" organization create bench
  "$guichet" project create bench --organization bench
  made=$("$guichet" key create --project bench --organization bench --name bench --json)
  printf '%s' "$made" | tr -d '\n' | sed -n 's/.*"key" *: *"\([^"]*\)".*/\1/p' >"$key.new"
  if [ ! -s "$key.new" ]; then
    echo "gateway.sh: \`key create --json\` told no key" >&2
    exit 1
  fi
  mv "$key.new" "$key"
fi
cmp -s "$key" target/bench.key || cp "$key" target/bench.key

exec "$guichet" serve
