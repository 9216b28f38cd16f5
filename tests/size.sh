#!/usr/bin/env bash
# The size of libcygnet, the shared library of the C interface, stripped: with every operator, and with the operators of
# one model. Prints bytes by operator family and fails over the bars.
# Usage: tests/size.sh
#
# Built for devices: the profile `device`, the standard library built along and for size, panics that end the process at
# once, no unwind tables. -Zbuild-std and the flags of panics are not stable, so Debian's compiler builds, as in cross.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
source tests/install.sh
source tests/cygnet.sh

# Bytes: every operator, the operators of one model.
complete_bar=900000 trimmed_bar=250000
models=${CYGNET_CACHE:-$root/.cache/models}
out=$root/target/size
mkdir -p "$out"

need rustc-web cargo-web rust-web-src gcc-aarch64-linux-gnu libc6-dev-arm64-cross binutils
find_cygnet

# operators NAME MODEL: the operators of a model's bundle.
operators() {
    [ -f "$2" ] || { echo "error: $2 is missing; make it with  ./test.sh --data" >&2; exit 1; }
    cygnet compile "$2" -o "$out/$1.cygnet" --no-golden >&2
    cygnet inspect "$out/$1.cygnet" --operators
}

# library NAME TARGET OPERATORS: builds it, and leaves it stripped as NAME.so and its symbols in NAME.symbols.
library() {
    local tools= built=$root/target/cross/$2/device/libcygnet.so
    [ "$2" = aarch64-unknown-linux-gnu ] && tools=aarch64-linux-gnu-
    CYGNET_OPERATORS=$3 RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=$root/target/cross \
        CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
        RUSTFLAGS="-Cforce-unwind-tables=no -Zunstable-options -Cpanic=immediate-abort" \
        /usr/bin/cargo build -q --profile device --target "$2" -Zbuild-std=std,panic_abort \
        -Zbuild-std-features=optimize_for_size -p cygnet-c
    "${tools}nm" -S --size-sort -C "$built" >"$out/$1.symbols"
    "${tools}strip" -s -o "$out/$1.so" "$built"
}

size() { stat -c %s "$out/$1.so"; }

# families NAME...: a table of bytes by family, a column a library. A family is a module of kernels with the operator of
# the same name.
families() {
    local name files=()
    for name in "$@"; do files+=("$out/$name.symbols"); done
    awk -v names="$*" '
        function family(s) {
            if (match(s, /cygnet_kernels::[a-z_0-9]+/)) return substr(s, RSTART + 16, RLENGTH - 16)
            if (match(s, /cygnet_runtime::op::[a-z_0-9]+/)) return substr(s, RSTART + 20, RLENGTH - 20)
            if (s ~ /cygnet_runtime/) return "(session)"
            if (s ~ /cygnet_format/) return "(format)"
            if (s ~ /cygnet/) return "(interface)"
            if (s ~ /libm|half::/) return "(libm)"
            return "(std)"
        }
        FNR == 1 { column++ }
        {
            n = 0
            hex = tolower($2)
            for (i = 1; i <= length(hex); i++) n = n * 16 + index("0123456789abcdef", substr(hex, i, 1)) - 1
            $1 = $2 = $3 = ""
            f = family($0)
            bytes[f, column] += n
            seen[f] = 1
            total[column] += n
        }
        END {
            columns = split(names, title, " ")
            printf "%-24s", "bytes by family"
            for (c = 1; c <= columns; c++) printf " %12s", title[c]
            print ""
            for (f in seen) {
                if (bytes[f, 1] < 1024) {
                    for (c = 1; c <= columns; c++) small[c] += bytes[f, c]
                    continue
                }
                line = sprintf("%-24s", f)
                for (c = 1; c <= columns; c++) line = line sprintf(" %12d", bytes[f, c])
                print line | "sort -k2,2nr"
            }
            close("sort -k2,2nr")
            printf "%-24s", "(families below 1 KiB)"
            for (c = 1; c <= columns; c++) printf " %12d", small[c]
            printf "\n%-24s", "all symbols"
            for (c = 1; c <= columns; c++) printf " %12d", total[c]
            print ""
        }
    ' "${files[@]}"
}

mobilenetv2=$(operators mobilenetv2 "$models/made/mobilenetv2.onnx")
digits=$(operators digits tests/data/digits.onnx)
library complete aarch64-unknown-linux-gnu ""
library mobilenetv2 aarch64-unknown-linux-gnu "$mobilenetv2"
library digits aarch64-unknown-linux-gnu "$digits"
library x86-64 x86_64-unknown-linux-gnu ""

echo
families complete mobilenetv2 digits
echo
failed=0
# line NAME BAR WHAT
line() {
    local bytes word=
    bytes=$(size "$1")
    if [ "$2" -gt 0 ]; then
        word="at most $2"
        [ "$bytes" -le "$2" ] || { word="OVER $2"; failed=1; }
    fi
    printf '%9d bytes  %-20s %s\n' "$bytes" "$word" "$3"
}
echo "libcygnet.so, stripped"
line complete $complete_bar "aarch64, every operator"
line mobilenetv2 $trimmed_bar "aarch64, MobileNetV2's: $mobilenetv2"
line digits $trimmed_bar "aarch64, the digit classifier's: $digits"
line x86-64 0 "x86-64, every operator"
exit $failed
