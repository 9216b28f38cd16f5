#!/usr/bin/env bash
# Runs one fuzz target for some seconds on the committed seeds and what earlier runs found.
# Usage: tests/fuzz/run.sh --list | TARGET SECONDS
#
# With a nightly toolchain the address sanitizer is on; without, the stable one serves with coverage only
# (RUSTC_BOOTSTRAP lets the flags through).
set -euo pipefail
cd "$(dirname "$0")"
if [ "${1:-}" = --list ]; then
    sed -n 's/^name = "\(.*_.*\)"$/\1/p' Cargo.toml
    exit
fi
target=${1:?a target, see --list} seconds=${2:?seconds}
command -v cargo-fuzz >/dev/null || cargo install --quiet cargo-fuzz
export PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
toolchain=() flags=()
if rustup toolchain list 2>/dev/null | grep -q '^nightly'; then
    toolchain=(+nightly)
else
    export RUSTC_BOOTSTRAP=1
    flags=(--sanitizer none)
fi
corpus=../../target/fuzz/corpus/$target
mkdir -p "$corpus" "../../target/fuzz/artifacts/$target"
# The first folder takes new inputs; the seeds are only read. Inputs above 64 KB add time, not paths.
cargo "${toolchain[@]}" fuzz run --fuzz-dir . --target-dir ../../target/fuzz "${flags[@]}" "$target" "$corpus" "seeds/$target" -- \
    -max_total_time="$seconds" -max_len=65536 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
    -artifact_prefix="../../target/fuzz/artifacts/$target/"
