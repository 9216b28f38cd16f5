#!/usr/bin/env bash
# Executed WebAssembly instructions of one inference, with simd128 and without: one thread, the difference of three runs
# and one run, halved. Usage: tests/wasm/count.sh BUNDLE...
# Bundles have inputs of fixed shapes and of type f32. Instructions are those of WebAssembly, not of a processor.
set -euo pipefail
bundles=()
for bundle in "$@"; do bundles+=("$(realpath "$bundle")"); done
[ ${#bundles[@]} -gt 0 ] || { sed -n 's/^# \(.*Usage: \)/\1/p' "$0" >&2; exit 2; }
cd "$(dirname "$0")/../.."
root=$PWD
source tests/install.sh
source tests/toolchain.sh

toolchain
need python3 python3-venv
environment=$root/target/cross/count-venv
[ -x "$environment/bin/python" ] || python3 -m venv "$environment"
"$environment/bin/python" -m pip install -q --disable-pip-version-check wasmtime==50.0.1

for features in +simd128 ""; do
    for_wasm "$features"
    # A folder for each: builds for one would throw away the other's.
    export CARGO_TARGET_DIR=$root/target/cross
    [ -n "$features" ] || CARGO_TARGET_DIR+=/plain
    /usr/bin/cargo build -q --release --target wasm32-wasip1 -Zbuild-std=std,panic_abort -p cygnet-runtime --example infer
    echo "${features:-without simd128}:"
    "$environment/bin/python" tests/wasm/count.py "$CARGO_TARGET_DIR/wasm32-wasip1/release/examples/infer.wasm" "${bundles[@]}"
done
