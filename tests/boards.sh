#!/usr/bin/env bash
# Packages models as firmware and runs them on boards in QEMU: golden examples bit by bit, executed instructions, flash,
# RAM and stack, and whether `cygnet package --cpu` told them before anything was linked. Usage: tests/boards.sh [BUNDLE]...
# (default: the digits of tests/data, as floats and as 8-bit integers, and the models of the folder CYGNET_MODELS)
#
# A table goes to target/boards/table.tsv. Counts are instructions, not cycles; the share of kernels is that of the functions
# of cygnet-kernels. BOARDS="cortex-m4 microbit" runs on these boards alone.
#
# Without bundles it also runs models in bands (`cygnet compile --fit`), feeds a streaming wake word frame by frame, and
# follows FIRMWARE.md (tests/guide.sh).
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
source tests/install.sh
source tests/toolchain.sh
source tests/cygnet.sh

# bundles: compiles the models.
bundles() {
    local folder=$1 model name
    mkdir -p "$folder"
    rm -f "$folder"/*.cygnet
    cygnet -q compile tests/data/digits.onnx -o "$folder/digits_f32.cygnet" --target cortex-m4
    mkdir -p target/boards/pictures
    cp tests/data/digit_?.png target/boards/pictures
    cygnet -q compile tests/data/digits.onnx -o "$folder/digits_int8.cygnet" --target cortex-m4 \
        --quantize int8 --calibrate target/boards/pictures
    cygnet -q compile tests/data/digits.onnx -o "$folder/digits_int8x16.cygnet" --target cortex-m4 \
        --quantize int8x16 --calibrate target/boards/pictures
    # In less than half of its arena.
    local mnist=(tests/data/mnist.onnx --target cortex-m4 --quantize int8 --calibrate target/boards/pictures)
    cygnet -q compile "${mnist[@]}" -o target/boards/mnist.cygnet
    cygnet -q compile "${mnist[@]}" -o "$folder/mnist_fit.cygnet" --fit --max-ram 4608
    local states=() k
    for k in 0 1 2 3 4; do states+=(--state "state_$k:next_$k"); done
    cygnet -q compile tests/data/wake.onnx -o target/boards/wake.cygnet --target cortex-m4 "${states[@]}" \
        --quantize int8 --calibrate tests/data/wake_calibration.npy --calibration-samples 1000
    [ -n "${CYGNET_MODELS:-}" ] || { echo "note: CYGNET_MODELS names no folder: MLPerf Tiny's models are left out" >&2; return; }
    for model in "$CYGNET_MODELS"/*/*.tflite; do
        name=$(basename "$model" .tflite)
        cygnet -q compile "$model" -o "$folder/$name.cygnet" --target cortex-m4
    done
    # In two thirds of its arena.
    cygnet -q compile "$CYGNET_MODELS/microflow/person_detect.tflite" -o "$folder/person_detect_fit.cygnet" \
        --target cortex-m4 --fit --max-ram 37K
}

# size_of ELF: bytes of flash and of static RAM.
size_of() {
    size -A "$1" | awk '
        $1 ~ /^\.(vector_table|text|rodata|init|init\.rust|trap)/ { flash += $2 }
        $1 == ".data" { flash += $2; ram += $2 }
        $1 == ".bss" || $1 == ".uninit" { ram += $2 }
        END { print flash + 0, ram + 0 }'
}

# share LOG INSTRUCTIONS: per cent of an inference's instructions that are in functions of the kernels. The smallest
# firmware, whose counts by symbol LOG has, does one; what starts it is left out.
share() {
    awk -F '\t' -v all="$2" '$2 ~ /cygnet_kernels/ { kernels += $1 }
        END { printf "%.1f", all ? 100 * kernels / all : 0 }' "$1"
}

passed=0 failed=0 left_out=0

# told CPU FIELD: what the packager said of the model.
told() {
    awk -F '[:,]' -v cpu="\"$1\"" -v field="\"$2\"" '
        { gsub(/ /, "") }
        $1 == "\"cpu\"" { at = $2 }
        $1 == field && at == cpu { print $2; exit }' target/boards/resources.json
}

# near WHAT TOLD MEASURED PERCENT: whether two figures are so near.
near() {
    [ "$2" = "$3" ] && [ -n "$2" ] && return
    awk -v a="$2" -v b="$3" -v percent="$4" 'BEGIN { d = a > b ? a - b : b - a; exit !(a > 0 && 100 * d <= percent * b) }' && return
    echo "error: $1: the packager says $2, measured are $3" >&2
    return 1
}

# went_well WHAT STATUS LOG: counts a run, and shows the log of one that failed.
went_well() {
    if [ "$2" -eq 0 ] && grep -q "test result: ok" "$3"; then
        passed=$((passed + 1))
        return
    fi
    failed=$((failed + 1))
    echo "error: $1: exit code $2" >&2
    cat "$3" >&2
    return 1
}

declare -A own

# emulator MACHINE: the command `qemu` that starts a firmware.
emulator() {
    qemu=(qemu-system-arm -M "$1" -nographic -monitor none -serial none -icount shift=0
        -semihosting-config enable=on,target=native -kernel)
    [ "$1" != virt ] || qemu=(qemu-system-riscv32 -M virt -cpu "rv32,a=false,f=false,d=false" -bios none
        -nographic -monitor none -icount shift=0 -kernel)
}

# build TARGET MEMORY FEATURE: the firmware around the package in target/boards/model; `elf` is where it lies.
build() {
    local variable=CARGO_TARGET_${1^^}_LINKER
    export BOARD_MEMORY=$2 "${variable//-/_}=$lld"
    elf=$CARGO_TARGET_DIR/$1/release/cygnet-board-test
    (cd tests/board && /usr/bin/cargo build -q --release -Zbuild-std=core --target "$1" --features "$3")
}

# board NAME MACHINE CLOCK TARGET CPU MEMORY MODEL: builds and runs the packaged model. CLOCK is the nanoseconds of a tick of
# the board's timer, or - where the processor counts instructions; an instruction takes one. The firmware counts how often
# the timer begins anew.
board() {
    local name=$1 machine=$2 clock=$3 target=$4 cpu=$5 memory=$6 model=$7 elf qemu log status=0 flash ram arena instructions
    local kernels
    [[ " ${BOARDS:-$name} " == *" $name "* ]] || return 0
    emulator "$machine"
    log=$root/target/boards/$model-$name.log
    # What the board takes without a model.
    if [ -z "${own[$name]:-}" ]; then
        build "$target" "$memory" empty || { failed=$((failed + 1)); return; }
        read -r flash ram < <(size_of "$elf")
        own[$name]=$flash
    fi
    # What does not fit the board is told by the linker.
    if ! build "$target" "$memory" bare 2>"$log"; then
        if grep -q "will not fit in region" "$log"; then
            left_out=$((left_out + 1))
            printf '%-24s %-10s does not fit\n' "$model" "$name"
            return
        fi
        cat "$log" >&2
        failed=$((failed + 1))
        return
    fi
    read -r flash ram < <(size_of "$elf")
    timeout 300 "${qemu[@]}" "$elf" -plugin "$root/target/boards/icount.so,out=$log.symbols" >"$log" 2>&1 </dev/null
    if ! build "$target" "$memory" checked 2>"$log"; then
        grep -q "will not fit in region" "$log" && { left_out=$((left_out + 1)); return; }
        cat "$log" >&2
        failed=$((failed + 1))
        return
    fi
    timeout 300 "${qemu[@]}" "$elf" >"$log" 2>&1 </dev/null || status=$?
    went_well "$model on $name" "$status" "$log" || return 0
    field() { awk -v name="$1" '$1 == name { print $2 }' "$log"; }
    arena=$(field arena)
    # The packager is not asked about processors without a name here.
    [ "$cpu" = - ] || { near "$model on $name: arena" "$(told "$cpu" static_bytes)" "$arena" 0 &&
        near "$model on $name: flash" "$(told "$cpu" flash_bytes)" $((flash - own[$name])) 5 &&
        near "$model on $name: stack" "$(told "$cpu" stack_bytes)" "$(field inference)" 5; } || failed=$((failed + 1))
    if [ "$clock" = - ]; then
        instructions=$(field instructions)
    else
        instructions=$(awk -v ticks="$(field ticks)" -v ns="$clock" 'BEGIN { printf "%d", ticks * ns }')
    fi
    kernels=$(share "$log.symbols" "$instructions")
    printf '%-24s %-10s flash %7d  ram %7d  arena %7d  stack %5d  instructions %9d  kernels %5.1f %%\n' \
        "$model" "$name" "$flash" "$ram" "$arena" "$(field stack)" "$instructions" "$kernels"
    printf '%s\t%s\t%d\t%d\t%d\t%d\t%d\t%s\n' \
        "$model" "$name" "$flash" "$ram" "$arena" "$(field stack)" "$instructions" "$kernels" >>target/boards/table.tsv
}

# elements FILE.npy: its elements, without what precedes them.
elements() {
    tail -c "+$((11 + $(od -An -tu2 -j8 -N2 "$1")))" "$1"
}

# stream_firmware BUNDLE: a wake word with state, fed frame by frame; what the host gives for the frames is expected.
stream_firmware() {
    local clip log=$root/target/boards/stream.log
    export BOARD_FRAMES=$root/target/boards/frames
    mkdir -p "$BOARD_FRAMES"
    for clip in yes no; do
        cygnet -q run "$1" --input "tests/data/wake_$clip.npy" --stream --output "$BOARD_FRAMES" >"$log" || {
            went_well "frames on the host" $? "$log"
            return 0
        }
        elements "tests/data/wake_$clip.npy" >"$BOARD_FRAMES/$clip.frames"
        elements "$BOARD_FRAMES/score.npy" >"$BOARD_FRAMES/$clip.scores"
    done
    package "$1" || {
        failed=$((failed + 1))
        return 0
    }
    stream_board cortex-m4 mps2-an386 thumbv7em-none-eabihf mps2
    stream_board microbit microbit thumbv6m-none-eabi microbit
    stream_board rv32imc virt riscv32imc-unknown-none-elf virt
}

# stream_board NAME MACHINE TARGET MEMORY
stream_board() {
    local elf qemu log=$root/target/boards/stream-$1.log status=0
    [[ " ${BOARDS:-$1} " == *" $1 "* ]] || return 0
    emulator "$2"
    build "$3" "$4" stream 2>"$log" && timeout 300 "${qemu[@]}" "$elf" >"$log" 2>&1 </dev/null || status=$?
    went_well "wake word on $1" "$status" "$log" || return 0
    printf '%-24s %-10s %s\n' wake "$1" "$(grep -v '^test result' "$log" | paste -sd ' ')"
}

# package BUNDLE [--cpu CPU]...: writes target/boards/model, and what the processors give to target/boards/resources.json.
package() {
    # For processors the command line starts cargo, which builds Rust's own library too.
    CARGO_UNSTABLE_BUILD_STD=core CARGO=/usr/bin/cargo "$CYGNET" -q package "$@" --target firmware \
        -o target/boards/model --name model --json target/boards/resources.json >/dev/null
}

# same_answers BUNDLE BUNDLE: whether two programs have the same golden examples, inputs and answers, bit by bit.
same_answers() {
    local log=$root/target/boards/fit.log status=0
    cmp <(unzip -p "$1" golden/0.cygt) <(unzip -p "$2" golden/0.cygt) >"$log" 2>&1 || status=$?
    [ $status -ne 0 ] || echo "test result: ok" >"$log"
    went_well "$(basename "$2") as $(basename "$1")" $status "$log" || return 0
}

# told_of FIELD: what `compile --resources` said of the model.
told_of() {
    awk -F '[:,]' -v field="\"$1\"" '{ gsub(/ /, "") } $1 == field { print $2; exit }' target/boards/compile.json
}

# compile_with_resources MODEL ARGUMENT...
compile_with_resources() {
    CARGO_UNSTABLE_BUILD_STD=core CARGO=/usr/bin/cargo "$CYGNET" compile "$@" --target cortex-m4 --resources \
        -o target/boards/compile.cygnet --json target/boards/compile.json
}

# same_resources: whether it said what `package --cpu` says. Both compile the same source in folders of their own, whose names
# are in symbols: compilers then spill a register more or less.
same_resources() {
    local field
    for field in ram_bytes static_bytes stack_bytes flash_bytes code_bytes; do
        near "$field" "$(told_of $field)" "$(told cortex-m4f $field)" 1 || return 1
    done
}

# resources MODEL ARGUMENT...: what `compile --resources` tells of a model is what its package tells, --fit keeps a budget that
# counts the stack, and a budget that is too small is refused by exit code 3.
resources() {
    local log=$root/target/boards/compile.log status=0 budget=0 code=0
    compile_with_resources "$@" >"$log" 2>&1 && package target/boards/compile.cygnet --cpu cortex-m4f >>"$log" 2>&1 &&
        same_resources 2>>"$log" || status=$?
    if [ $status -eq 0 ]; then
        budget=$(($(told_of ram_bytes) - 2048))
        compile_with_resources "$@" --fit --max-ram $budget >>"$log" 2>&1 &&
            [ "$(told_of ram_bytes)" -le $budget ] || status=$?
        compile_with_resources "$@" --max-ram $budget >>"$log" 2>&1 || code=$?
        if [ $code -ne 3 ] || ! grep -q "the stack" "$log"; then status=1; fi
    fi
    [ $status -ne 0 ] || echo "test result: ok" >>"$log"
    went_well "compile --resources" $status "$log" || return 0
    printf '%-24s %-10s compile --resources as package --cpu; --fit keeps %d bytes with the stack\n' \
        "$(basename "$1")" cortex-m4 $budget
}

# guide: FIRMWARE.md, followed.
guide() {
    local log=$root/target/boards/guide.log status=0
    env -u RUSTC -u RUSTDOC -u RUSTC_BOOTSTRAP -u CARGO_TARGET_DIR CYGNET="$CYGNET" tests/guide.sh >"$log" 2>&1 || status=$?
    went_well "FIRMWARE.md" $status "$log" || return 0
    printf '%-24s %-10s in a fresh clone\n' FIRMWARE.md cortex-m4
}

# c_firmware BUNDLE: firmware in C against the package's static library.
c_firmware() {
    local log=$root/target/boards/c.log status=0 folder=$root/target/boards/c
    local flags=(-mcpu=cortex-m4 -mthumb -mfloat-abi=hard -mfpu=fpv4-sp-d16 -Os -Wall -Wextra -Werror)
    # The command line starts cargo, which builds Rust's own library too.
    CARGO_UNSTABLE_BUILD_STD=core CARGO=/usr/bin/cargo "$CYGNET" -q package "$1" --target firmware --lang c --cpu cortex-m4f --cpu riscv32imc \
        -o "$folder/model" --name model >"$log" &&
        arm-none-eabi-gcc "${flags[@]}" -c tests/board/c/start.c -o "$folder/start.o" &&
        arm-none-eabi-gcc -std=c99 -pedantic "${flags[@]}" -nostartfiles --specs=rdimon.specs --specs=nano.specs \
            -u _printf_float -Wl,--gc-sections -T tests/board/c/board.ld -I"$folder/model/src" "$folder/start.o" \
            tests/board/c/main.c -L"$folder/model/src/cortex-m4/fpv4-sp-d16-hard" -lmodel -o "$folder/firmware.elf" &&
        timeout 120 qemu-system-arm -M mps2-an386 -nographic -monitor none -serial none \
            -semihosting-config enable=on,target=native -kernel "$folder/firmware.elf" >"$log" 2>&1 </dev/null || status=$?
    went_well "firmware in C" "$status" "$log" || return 0
    printf '%-24s %-10s in C, by arm-none-eabi-gcc\n' "$(basename "$1" .cygnet)" cortex-m4
}

# layouts: the package of c_firmware as a module of Zephyr, whose firmware runs, and as a component of ESP-IDF. A processor
# that it has no library for is refused by name.
layouts() {
    local log=$root/target/boards/layouts.log folder=$root/target/boards/c status=0
    local configure=(cmake -S tests/board/c/layouts -DMODEL="$folder/model")
    local arm=(-DCMAKE_SYSTEM_NAME=Generic -DCMAKE_C_COMPILER=arm-none-eabi-gcc -DSYSTEM=zephyr)
    rm -rf "$folder/zephyr" "$folder/esp-idf"
    {
        "${configure[@]}" -B "$folder/zephyr" "${arm[@]}" -DCONFIG_CPU_CORTEX_M4=y -DCONFIG_FP_HARDABI=y &&
            cmake --build "$folder/zephyr" &&
            timeout 120 qemu-system-arm -M mps2-an386 -nographic -monitor none -serial none \
                -semihosting-config enable=on,target=native -kernel "$folder/zephyr/firmware" </dev/null &&
            "${configure[@]}" -B "$folder/esp-idf" -DSYSTEM=esp-idf && cmake --build "$folder/esp-idf"
    } >"$log" 2>&1 || status=$?
    rm -rf "$folder/zephyr" "$folder/esp-idf"
    if "${configure[@]}" -B "$folder/zephyr" "${arm[@]}" -DCONFIG_CPU_CORTEX_M3=y >>"$log" 2>&1 ||
        "${configure[@]}" -B "$folder/esp-idf" -DSYSTEM=esp-idf -DCONFIG_IDF_TARGET_ARCH_XTENSA=y >>"$log" 2>&1 ||
        [ "$(grep -c "has no library for this processor" "$log")" -ne 2 ]; then
        status=1
    fi
    went_well "layouts of build systems" $status "$log" || return 0
    printf '%-24s %-10s as a module of Zephyr, as a component of ESP-IDF\n' model cortex-m4
}

# c_interface BUNDLE: libcygnet without std, with the operators of the bundle, in C and C++ firmware: the interpreter over
# models in flash.
c_interface() {
    local log=$root/target/boards/api.log folder=$root/target/boards/api arena status compiler
    local target=thumbv7em-none-eabihf
    local flags=(-mcpu=cortex-m4 -mthumb -mfloat-abi=hard -mfpu=fpv4-sp-d16 -Os -Wall -Wextra -Werror)
    mkdir -p "$folder"
    unzip -p "$1" program.cyg >"$folder/program.cyg"
    arena=$(cygnet inspect "$1" --json - | awk -F '[:,]' '/"arena_bytes"/ { gsub(/ /, ""); print $2; exit }')
    CYGNET_OPERATORS=$(cygnet inspect "$1" --operators) /usr/bin/cargo rustc -q -Zbuild-std=core --profile device \
        --target $target -p cygnet-c --no-default-features --crate-type staticlib 2>"$log" || {
        went_well "libcygnet for $target" $? "$log"
        return 0
    }
    arm-none-eabi-gcc "${flags[@]}" -c tests/board/c/start.c -o "$folder/start.o"
    for compiler in "arm-none-eabi-gcc -std=gnu99 -x c" "arm-none-eabi-g++ -std=gnu++17 -fno-exceptions -fno-rtti -x c++"; do
        status=0
        # shellcheck disable=SC2086
        $compiler "${flags[@]}" -DARENA_BYTES="$arena" -DBUNDLE="\"$1\"" \
            -DPROGRAM="\"$folder/program.cyg\"" -Ibindings/c/include -c tests/board/c/api.c \
            -o "$folder/api.o" >"$log" 2>&1 &&
            arm-none-eabi-gcc "${flags[@]}" -nostartfiles --specs=rdimon.specs --specs=nano.specs -Wl,--gc-sections \
                -T tests/board/c/board.ld "$folder/start.o" "$folder/api.o" \
                -L"$CARGO_TARGET_DIR/$target/device" -lcygnet -o "$folder/api.elf" >"$log" 2>&1 &&
            timeout 120 qemu-system-arm -M mps2-an386 -nographic -monitor none -serial none \
                -semihosting-config enable=on,target=native -kernel "$folder/api.elf" >"$log" 2>&1 </dev/null || status=$?
        went_well "libcygnet from ${compiler##* }" "$status" "$log" || continue
        printf '%-24s %-10s libcygnet from %s: %s\n' "$(basename "$1" .cygnet)" cortex-m4 "${compiler##* }" \
            "$(grep '^cygnet ' "$log")"
    done
}

need unzip cmake qemu-system-arm qemu-system-misc gcc-arm-none-eabi libnewlib-arm-none-eabi
mkdir -p target/boards
cc -O2 -shared -fPIC -o target/boards/icount.so tests/icount.c
find_cygnet
toolchain
if [ $# -eq 0 ]; then
    bundles target/boards/bundles
    guide
    resources tests/data/mnist.onnx --quantize int8 --calibrate target/boards/pictures
    stream_firmware target/boards/wake.cygnet
    for bundle in target/boards/bundles/*_fit.cygnet; do
        whole=${bundle%_fit.cygnet}.cygnet
        [ -e "$whole" ] || whole=target/boards/$(basename "$whole")
        same_answers "$whole" "$bundle"
    done
    set -- target/boards/bundles/*.cygnet
fi
# A model that fits is enough.
for bundle in "$@"; do
    case $bundle in
        */digits_int8.cygnet)
            c_firmware "$bundle"
            layouts
            c_interface "$bundle"
            ;;
    esac
done
printf 'model\tboard\tflash\tram\tarena\tstack\tinstructions\tkernels\n' >target/boards/table.tsv
for bundle in "$@"; do
    model=$(basename "$bundle" .cygnet)
    boards=${BOARDS:-}
    cpus=(--cpu cortex-m4f --cpu cortex-m3 --cpu riscv32imc)
    # What bands give is the same on all boards.
    if [[ $model == *_fit ]]; then
        BOARDS=${BOARDS:-cortex-m4}
        cpus=(--cpu cortex-m4f)
    fi
    if ! package "$bundle" "${cpus[@]}"; then
        failed=$((failed + 1))
        BOARDS=$boards
        continue
    fi
    board cortex-m4 mps2-an386 40 thumbv7em-none-eabihf cortex-m4f mps2 "$model"
    board cortex-m7 mps2-an500 40 thumbv7em-none-eabihf cortex-m4f mps2 "$model"
    board cortex-m55 mps3-an547 31.25 thumbv7em-none-eabihf cortex-m4f mps2 "$model"
    board cortex-m3 mps2-an385 40 thumbv7m-none-eabi cortex-m3 mps2 "$model"
    board lm3s6965 lm3s6965evb 80 thumbv7m-none-eabi cortex-m3 lm3s6965 "$model"
    board microbit microbit 62.5 thumbv6m-none-eabi - microbit "$model"
    board rv32imc virt - riscv32imc-unknown-none-elf riscv32imc virt "$model"
    BOARDS=$boards
done
echo "test result: $([ $failed -eq 0 ] && echo ok || echo FAILED). $passed passed; $failed failed; $left_out too large for a board"
[ $((failed == 0 && passed > 0)) -eq 1 ]
