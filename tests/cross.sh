#!/usr/bin/env bash
# Runs tests on other machines: aarch64 under QEMU with every and with no extension, WebAssembly in node, and
# Cortex-M and RISC-V boards without heap. Usage: tests/cross.sh [host|aarch64|wasm|cortex_m|boards|bits|layers]...   (default: all)
#
# tests/bits compares the bits of the integer kernels on all of them, and here, with one recorded table; `bits` runs
# that alone. `layers`, which is not part of all, counts the executed instructions of layers on the boards.
#
# rustup ships no standard library for these targets where only package registries can be reached, so they are built
# with Debian's compiler and its library sources (-Zbuild-std needs RUSTC_BOOTSTRAP there).
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
source tests/install.sh
source tests/toolchain.sh
source tests/cygnet.sh

declare -a summary=()
failed=0

note() { printf '\n== %s\n' "$*"; }

# result NAME LOGFILE STATUS: counts the tests of a cargo run.
result() {
    local passed
    passed=$(awk '/^test result:/ { n += $4 } END { print n + 0 }' "$2")
    if [ "$3" -ne 0 ]; then
        failed=$((failed + 1))
        summary+=("$1: FAILED ($passed tests passed)")
    elif [ "$passed" -eq 0 ]; then
        failed=$((failed + 1))
        summary+=("$1: FAILED (no test ran)")
    else
        summary+=("$1: $passed tests passed")
    fi
}

# libraries TARGET NAME ARGUMENT...: the unit tests of the crates that run on devices.
libraries() {
    local target=$1 name=$2 log=$root/target/cross/$2.log status=0
    shift 2
    note "$name"
    /usr/bin/cargo test --release --no-fail-fast --target "$target" "$@" \
        -p cygnet-format -p cygnet-kernels -p cygnet-runtime 2>&1 | tee "$log" || status=$?
    result "$name" "$log" "$status"
}

# bits NAME ISA ARGUMENT...: the digests of the integer kernels; arguments go to cargo. Dense convolutions have to run,
# among others, by the instruction set.
bits() {
    local name=bits-$1 isa=$2 log=$root/target/cross/bits-$1.log status=0
    shift 2
    note "$name"
    (cd tests/bits && timeout 900 /usr/bin/cargo run -q --release --bin digests "$@") 2>&1 | tee "$log" || status=$?
    grep -q ": dense by $isa," "$log" || { echo "error: nothing ran by $isa" >&2; status=1; }
    result "$name" "$log" "$status"
}

host() {
    mkdir -p target/cross
    local isa=scalar
    if grep -qs avx2 /proc/cpuinfo; then isa=avx2; fi
    if grep -qs avx512_vnni /proc/cpuinfo; then isa=avx512vnni; fi
    if grep -qs asimd /proc/cpuinfo; then isa=neon; fi
    if grep -qs asimddp /proc/cpuinfo; then isa=dotprod; fi
    if grep -qs i8mm /proc/cpuinfo; then isa=i8mm; fi
    bits host $isa
    bits host-narrow scalar --no-default-features --features narrow
}

for_aarch64() {
    need gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user
    mkdir -p target/cross
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
}

bits_aarch64() {
    for_aarch64
    local isa cpu
    for cpu in max neoverse-n1 cortex-a53; do
        case $cpu in
            max) isa=i8mm ;;
            neoverse-n1) isa=dotprod ;;
            *) isa=neon ;;
        esac
        export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -cpu $cpu -L /usr/aarch64-linux-gnu"
        bits "aarch64-$cpu" $isa -Zbuild-std --target aarch64-unknown-linux-gnu
    done
}

aarch64() {
    for_aarch64
    local cpu
    for cpu in max cortex-a53; do
        export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -cpu $cpu -L /usr/aarch64-linux-gnu"
        libraries aarch64-unknown-linux-gnu "aarch64-$cpu" -Zbuild-std --lib --tests
    done
    bits_aarch64
}

bits_wasm() {
    for_wasm
    bits wasm-simd128 simd128 -Zbuild-std=std,panic_abort --target wasm32-wasip1
}

wasm() {
    for_wasm
    libraries wasm32-wasip1 wasm-simd128 -Zbuild-std=std,panic_abort -Zpanic-abort-tests --lib --tests
    bits_wasm
}

# board NAME MACHINE TARGET COMMAND...: runs a command whose programs go to a board in QEMU; an instruction takes 16 ns
# of the board's time.
board() {
    local variable=CARGO_TARGET_${3^^}
    variable=${variable//-/_}
    local qemu="qemu-system-arm -M $2 -nographic -monitor none -serial none -icount shift=4"
    export "${variable}_LINKER=$lld" \
        "${variable}_RUNNER=$qemu -semihosting-config enable=on,target=native -kernel"
    "${@:4}"
}

# layers_of NAME TARGET: executed instructions of layers, with weights as bundles and as packages have them.
layers_of() {
    local run=(/usr/bin/cargo run -q --release --bin layers -Zbuild-std=core,alloc --target "$2")
    note "layers on $1, weights of bundles"
    (cd tests/bits && "${run[@]}")
    note "layers on $1, weights of packages"
    (cd tests/bits && "${run[@]}" --no-default-features --features narrow)
}

layers() {
    need qemu-system-arm
    board cortex-m4 mps2-an386 thumbv7em-none-eabihf layers_of cortex-m4 thumbv7em-none-eabihf
    board cortex-m3 mps2-an385 thumbv7m-none-eabi layers_of cortex-m3 thumbv7m-none-eabi
}

bits_boards() {
    need qemu-system-arm
    mkdir -p target/cross
    local target=thumbv7em-none-eabihf
    local narrow="--no-default-features --features narrow"
    board cortex-m4 mps2-an386 $target bits cortex-m4 dsp -Zbuild-std=core,alloc --target $target
    board cortex-m4 mps2-an386 $target bits cortex-m4-narrow dsp -Zbuild-std=core,alloc --target $target $narrow
    target=thumbv7m-none-eabi
    board cortex-m3 mps2-an385 $target bits cortex-m3 scalar -Zbuild-std=core,alloc --target $target
    board cortex-m3 mps2-an385 $target bits cortex-m3-narrow scalar -Zbuild-std=core,alloc --target $target $narrow
}

cortex_m() {
    need qemu-system-arm
    note cortex-m4
    mkdir -p target/cross
    # The program comes from the compiler on this machine, with the ordinary toolchain.
    find_cygnet
    cygnet compile tests/data/digits.onnx -o target/cross/digits.cygnet
    python3 -m zipfile -e target/cross/digits.cygnet target/cross/digits
    export CYGNET_PROGRAM=$root/target/cross/digits/program.cyg
    export CARGO_TARGET_THUMBV7EM_NONE_EABIHF_LINKER=$lld
    local board="qemu-system-arm -M mps2-an386 -nographic -monitor none -icount shift=6"
    export CARGO_TARGET_THUMBV7EM_NONE_EABIHF_RUNNER="$board -semihosting-config enable=on,target=native -kernel"
    local status=0
    (
        cd tests/firmware
        timeout 900 /usr/bin/cargo run --release -Zbuild-std=core,alloc --target thumbv7em-none-eabihf
    ) 2>&1 | tee target/cross/cortex-m4.log || status=$?
    result cortex-m4 target/cross/cortex-m4.log "$status"
    bits_boards
}

# boards: packaged models on Cortex-M and RISC-V boards.
boards() {
    local log=$root/target/cross/boards.log status=0
    mkdir -p target/cross
    note "packaged models on boards"
    env -u RUSTC -u RUSTDOC -u RUSTC_BOOTSTRAP -u CARGO_TARGET_DIR tests/boards.sh 2>&1 | tee "$log" || status=$?
    result boards "$log" "$status"
}

toolchain
for part in "${@:-all}"; do
    case $part in
        all) host; aarch64; wasm; cortex_m; boards ;;
        bits) host; bits_aarch64; bits_wasm; bits_boards ;;
        host | aarch64 | wasm | cortex_m | boards | layers | bits_aarch64 | bits_wasm | bits_boards) "$part" ;;
        *) echo "error: unknown part $part; known are host, aarch64, wasm, cortex_m, boards, bits, layers" >&2; exit 2 ;;
    esac
done
note "other machines"
printf '%s\n' "${summary[@]}"
exit $((failed > 0))
