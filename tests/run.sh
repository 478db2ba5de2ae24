#!/usr/bin/env bash
# `make test`: sets up what tests need (PostgreSQL, Redis, OCR, real clients, reference statistics, a real engine), runs all
# of them, and ends with a line for each backend saying what ran. What cannot be set up fails; nothing is skipped in silence.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
chmod 711 "$work"
finish() {
  tests/postgres.sh stop "$work/postgres" || true
  tests/redis.sh stop "$work/redis" || true
  if [ -n "${engines:-}" ]; then kill "$engines" 2>/dev/null || true; wait "$engines" 2>/dev/null || true; fi
  rm -rf "$work"
}
trap finish EXIT

say() { printf '\n== %s\n' "$1"; }

say "PostgreSQL"
GUICHET_TEST_POSTGRES_URL=$(tests/postgres.sh start "$work/postgres")
export GUICHET_TEST_POSTGRES_URL
echo "ready"

say "Redis"
GUICHET_TEST_REDIS_URL=$(tests/redis.sh start "$work/redis")
export GUICHET_TEST_REDIS_URL
echo "ready"

say "OCR"
tests/ocr.sh install
echo "ready"

# Downloads go on while the code compiles.
tests/clients/install.sh >"$work/clients.log" 2>&1 &
clients=$!
tests/eval/install.sh >"$work/references.log" 2>&1 &
references=$!
python3 deploy/demo/demo.py fetch --small >"$work/engines.log" 2>&1 &
fetch=$!

say "Build"
cargo build --locked --package gateway --bin guichet
cargo test --locked --workspace --no-run

say "Real clients"
wait "$clients" || { cat "$work/clients.log"; exit 1; }
tail -n 3 "$work/clients.log"

say "Reference statistics"
wait "$references" || { cat "$work/references.log"; exit 1; }
echo "ready"

say "Real engine (0.5B chat model, multilingual-e5-small)"
wait "$fetch" || { cat "$work/engines.log"; exit 1; }
mkfifo "$work/hold"
python3 deploy/demo/demo.py engines --small <"$work/hold" >"$work/engines.json" 2>"$work/engines.err" &
engines=$!
exec 9>"$work/hold"
for _ in $(seq 1200); do
  [ -s "$work/engines.json" ] && break
  kill -0 "$engines" 2>/dev/null || { cat "$work/engines.err"; exit 1; }
  sleep 0.1
done
[ -s "$work/engines.json" ] || { cat "$work/engines.err"; echo "the engines did not start in two minutes"; exit 1; }
GUICHET_TEST_ENGINES=$(cat "$work/engines.json")
export GUICHET_TEST_ENGINES
echo "ready"

say "Demonstration's own parts"
python3 -m unittest discover -s deploy/demo

say "Tests"
if command -v cargo-nextest >/dev/null; then
  # Doc tests are not nextest's; the workspace has none to run.
  cargo nextest run --locked --workspace --no-fail-fast 2>&1 | tee "$work/tests.log"
else
  cargo test --locked --workspace --no-fail-fast 2>&1 | tee "$work/tests.log"
fi

ran() { grep -cE "(PASS|ok).*$1|$1.*\.\.\. ok" "$work/tests.log" || true; }
say "What ran"
echo "SQLite:      $(ran 'sqlite::') behaviour tests"
echo "PostgreSQL:  $(ran 'postgres::') behaviour tests ($(tests/postgres.sh version))"
echo "Redis:       $(ran '(redis|agreement|replicas)::') behaviour tests ($(tests/redis.sh version | cut -d ' ' -f 1-3))"
echo "OCR:         $(ran 'ocr::') behaviour tests ($(tests/ocr.sh version))"
echo "Clients:     $(ran 'clients') ($(tests/clients/run.sh list | tr '\n' ' '))"
echo "Statistics:  $(ran '(annotators|comparisons|coverage|means|speed|texts)::[a-z_]+') tests beside $(grep -c == tests/eval/requirements.txt) Python packages (tests/eval/requirements.txt)"
echo "Real engine: $(ran 'real_engine') tests (llama.cpp with Qwen2.5-Coder-0.5B, multilingual-e5-small)"
