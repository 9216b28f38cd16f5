#!/usr/bin/env bash
# Executed instructions of one inference on aarch64, counted in QEMU user mode: one thread, the difference of three runs
# and one run, halved, so that loading and the first run's page faults do not count.
# Usage: tests/icount.sh [-c CPU] [-i ISA] [-f] BUNDLE...
#   -c CPU   QEMU's CPU model (default neoverse-n1: NEON with dot products, no SVE)
#   -i ISA   narrow the instruction set, as `cygnet bench --isa` does
#   -f       also by function, the largest first
# Bundles have inputs of fixed shapes and of type f32.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
source tests/install.sh

cpu=neoverse-n1 isa= functions=
while getopts c:i:f flag; do
    case $flag in
        c) cpu=$OPTARG ;;
        i) isa=$OPTARG ;;
        f) functions=1 ;;
        *) exit 2 ;;
    esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || { echo "usage: tests/icount.sh [-c CPU] [-i ISA] [-f] BUNDLE..." >&2; exit 2; }

need rustc-web cargo-web rust-web-src gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user
out=$root/target/cross/icount
mkdir -p "$out"
cc -O2 -shared -fPIC -o "$out/icount.so" tests/icount.c
RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=$root/target/cross \
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
    /usr/bin/cargo build -q --release --target aarch64-unknown-linux-gnu -Zbuild-std \
    -p cygnet-runtime --example infer
program=$root/target/cross/aarch64-unknown-linux-gnu/release/examples/infer

# count BUNDLE RUNS FILE: instructions by symbol.
count() {
    qemu-aarch64 -cpu "$cpu" -L /usr/aarch64-linux-gnu -plugin "$out/icount.so,out=$3" \
        "$program" "$1" "$2" $isa >"$out/said"
}

for bundle in "$@"; do
    count "$bundle" 1 "$out/once"
    count "$bundle" 3 "$out/thrice"
    awk -F '\t' -v name="$(basename "$bundle" .cygnet)" -v cpu="$cpu" -v said="$(cut -d: -f1 "$out/said")" '
        NR == FNR { once[$2] = $1; sum -= $1; next }
        { sum += $1; d = ($1 - once[$2]) / 2; if (d > 0) print d "\t" $2 > "'"$out/functions"'" }
        END { printf "%s\t%.2f million instructions an inference\t%s\t%s\n", name, sum / 2e6, said, cpu }
    ' "$out/once" "$out/thrice"
    if [ -n "$functions" ]; then
        sort -rn "$out/functions" | head -20 | c++filt |
            awk -F '\t' '{ printf "%10.3f  %s\n", $1 / 1e6, $2 }'
    fi
done
