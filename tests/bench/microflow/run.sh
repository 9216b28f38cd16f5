#!/usr/bin/env bash
# MicroFlow 0.1.3 on QEMU's Cortex-M4F board: executed instructions of one inference, and flash.
# Usage: CYGNET_MODELS=FOLDER tests/bench/microflow/run.sh   (FOLDER holds microflow/{sine,speech,person_detect}.tflite)
set -euo pipefail
cd "$(dirname "$0")/../../.."
root=$PWD
source tests/install.sh
source tests/toolchain.sh
need qemu-system-arm
: "${CYGNET_MODELS:?names the folder that holds microflow/sine.tflite}"
toolchain
export CARGO_TARGET_THUMBV7EM_NONE_EABIHF_LINKER=$lld
cd tests/bench/microflow
mkdir -p models
cp "$CYGNET_MODELS"/microflow/*.tflite models/
elf=$CARGO_TARGET_DIR/thumbv7em-none-eabihf/release/cygnet-microflow
for model in sine speech person_detect; do
    /usr/bin/cargo build -q --release -Zbuild-std=core --target thumbv7em-none-eabihf --features $model
    # An instruction takes 1 ns of the board's time, a tick 40 ns.
    ticks=$(timeout 300 qemu-system-arm -M mps2-an386 -nographic -monitor none -serial none -icount shift=0 \
        -semihosting-config enable=on,target=native -kernel "$elf" | awk '/^ticks/ { print $2 }')
    printf '%-16s flash %7d  instructions %10d\n' $model "$(size "$elf" | awk 'NR == 2 { print $1 + $2 }')" $((ticks * 40))
done
