#!/usr/bin/env bash
# `make fuzz`: runs every fuzz target for so many seconds, from the committed corpus. What is found new stays under
# target/fuzz; copy what is worth keeping into tests/fuzz/corpus, which `make test` replays on the stable compiler.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-30}
target=$PWD/target/fuzz

command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz
rustup toolchain list | grep -q '^nightly' || rustup toolchain install nightly --profile minimal

# The code under test forbids `unsafe`: no sanitizer has anything to say of it, and without one the build is half as long.
options=(--fuzz-dir tests/fuzz --target-dir "$target" --sanitizer none)
for name in $(cargo +nightly fuzz list --fuzz-dir tests/fuzz); do
  printf '\n== %s\n' "$name"
  mkdir -p "$target/corpus/$name" "$target/artifacts/$name"
  cargo +nightly fuzz run "${options[@]}" "$name" "$target/corpus/$name" "tests/fuzz/corpus/$name" -- \
    -max_total_time="$seconds" -rss_limit_mb=4096 -max_len=65536 -artifact_prefix="$target/artifacts/$name/"
done
