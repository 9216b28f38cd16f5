#!/usr/bin/env bash
# Runs the tests. On Debian and Ubuntu it installs what it needs, elsewhere it names what is missing.
#
#   ./test.sh                  everything: format, lints, unit tests, conformance, real models, other machines, size
#   ./test.sh --quick          format, lints and unit tests; needs no downloads beyond crates, a C compiler, node and Chromium
#   ./test.sh --data           only fetch and make the test data (the tests need it; cargo test alone does not make it)
#   ./test.sh --conformance    only the ONNX node tests
#   ./test.sh --real           only the real models
#   ./test.sh --cross          only the other machines (see tests/cross.sh)
#   ./test.sh --size           only the size of the library for devices (see tests/size.sh)
#   ./test.sh --mobile         only the Kotlin library, on the JVM and under Robolectric (see android/test.sh)
#   ./test.sh --fuzz MINUTES   each fuzz target for so long
#   ./test.sh --track          only what TensorBoard and an MLflow server, both from PyPI, are told (see tests/tracking.py)
#   ./test.sh --slurm          only a sweep whose trials are Slurm's tasks, on a cluster of this machine (see tests/slurm.sh)
#   ./test.sh --bench          Cygnet and other engines on the same models (see tests/bench/bench.py --help)
#
# Flags add up. Test data lie in .cache/models, or where CYGNET_CACHE says.
set -uo pipefail
cd "$(dirname "$0")"
source tests/install.sh

quick=0 data=0 conformance=0 real=0 cross=0 size=0 mobile=0 track=0 slurm=0 bench=0 fuzz=
[ $# -eq 0 ] && quick=1 conformance=1 real=1 cross=1 size=1 mobile=1
while [ $# -gt 0 ]; do
    case $1 in
        --quick) quick=1 ;;
        --data) data=1 ;;
        --conformance) conformance=1 ;;
        --real) real=1 ;;
        --cross) cross=1 ;;
        --size) size=1 ;;
        --mobile) mobile=1 ;;
        --track) track=1 ;;
        --slurm) slurm=1 ;;
        --bench) bench=1 ;;
        --fuzz)
            fuzz=${2:-}
            [[ $fuzz =~ ^[0-9]+$ ]] || { echo "error: --fuzz needs a number of minutes" >&2; exit 2; }
            shift
            ;;
        -h | --help) sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"; exit ;;
        *) echo "error: unknown flag $1; see ./test.sh --help" >&2; exit 2 ;;
    esac
    shift
done

export CYGNET_CACHE=${CYGNET_CACHE:-$PWD/.cache/models}
logs=$PWD/target/test-logs
mkdir -p "$logs" "$CYGNET_CACHE"
passed=0 failed=0
summary=()

# step NAME COMMAND...: runs a part; its tests of cargo and JUnit count one each, a part without tests counts as one.
step() {
    local name=$1 log=$logs/$1.log begin=$SECONDS status=0 p f
    shift
    printf '\n== %s\n' "$name"
    "$@" 2>&1 | tee "$log" || status=$?
    read -r p f < <(awk '/^test result:/ { p += $4; f += $6 }
        /^OK \([0-9]+ tests?\)/ { p += substr($2, 2) }
        /^Tests run: [0-9]+,  Failures: [0-9]+/ { p += $3 - $5; f += $5 }
        END { print p + 0, f + 0 }' "$log")
    if [ $((p + f)) -eq 0 ]; then
        [ "$status" -eq 0 ] && p=1 || f=1
    elif [ "$status" -ne 0 ] && [ "$f" -eq 0 ]; then
        f=1
    fi
    passed=$((passed + p)) failed=$((failed + f))
    summary+=("$(printf '%-12s %5d passed %4d failed %6d s' "$name" "$p" "$f" $((SECONDS - begin)))")
    return "$status"
}

# A Python with the packages of tests/requirements.txt: the present one, or a virtual environment beside the cache.
python=python3
find_python() {
    need python3
    local probe='import sys, importlib.metadata as m
for line in open("tests/requirements.txt"):
    name, _, version = line.strip().partition("==")
    if version and m.version(name) != version:
        sys.exit(1)'
    python3 -c "$probe" 2>/dev/null && return
    local environment=$CYGNET_CACHE/../venv
    python=$environment/bin/python
    "$python" -c "$probe" 2>/dev/null && return
    python3 -c 'import ensurepip, venv' 2>/dev/null || need python3-venv
    python3 -m venv "$environment" && "$python" -m pip install -q --disable-pip-version-check -r tests/requirements.txt
}

make_data() {
    need espeak-ng fonts-dejavu-core fonts-dejavu-extra fonts-noto-core
    find_python || { echo "error: no Python with the packages of tests/requirements.txt" >&2; return 1; }
    "$python" tests/fetch.py && "$python" tests/make_models.py && "$python" tests/make_efficientnet.py && "$python" tests/make_inputs.py && "$python" tests/make_accuracy.py && "$python" tests/expect.py && "$python" tests/make_tflite.py
}

# cargo fmt follows `mod` items only, and misses operators (a macro declares them) and crates outside the workspace.
check_format() {
    local sources
    mapfile -d '' sources < <(git ls-files -z '*.rs')
    cargo fmt --all --check && rustfmt --check --edition 2024 "${sources[@]}" && return
    echo "error: format with  git ls-files -z '*.rs' | xargs -0 rustfmt --edition 2024" >&2
    return 1
}

# Every package is named, though one has the tests: with another choice Cargo builds tract once more, with other features.
with_data() {
    cargo test --workspace --features cygnet-tests/data "$@"
}

# What training exports, in ONNX Runtime.
trained_onnx() {
    source tests/cygnet.sh
    # A step is a process of its own: what another found is not known here.
    find_python && find_cygnet && "$python" tests/trained_onnx.py "$CYGNET"
}

# TensorBoard and MLflow, in an environment of their own.
run_track() {
    source tests/cygnet.sh
    need python3 python3-venv
    local environment=$CYGNET_CACHE/../venv-track
    [ -x "$environment/bin/python" ] || python3 -m venv "$environment"
    "$environment/bin/python" -m pip install -q --disable-pip-version-check -r tests/requirements-track.txt || return
    find_cygnet && "$environment/bin/python" tests/tracking.py "$CYGNET"
}

# What the unit tests have compiled serves, where they ran.
run_mobile() {
    [ $quick -eq 0 ] || local -x CYGNET_PROFILE=dev
    android/test.sh
}

run_fuzz() {
    local target status=0
    for target in $(tests/fuzz/run.sh --list); do
        tests/fuzz/run.sh "$target" $((fuzz * 60)) || { echo "error: $target found something" >&2; status=1; }
    done
    return $status
}

run_bench() {
    need python3 python3-venv
    python3 tests/bench/bench.py
}

command -v cargo >/dev/null || { echo "error: cargo is missing; install Rust with rustup" >&2; exit 1; }
# Stop before the long parts when the data cannot be had: every one of them would fail with the same message.
if [ $((data + conformance + real + size + bench)) -gt 0 ]; then
    step data make_data || { printf '\n%d passed, %d failed\n' "$passed" "$failed"; exit 1; }
fi
if [ $quick -eq 1 ]; then
    for component in rustfmt clippy; do
        cargo "${component/rustfmt/fmt}" --version >/dev/null 2>&1 || rustup component add "$component"
    done
    step format check_format
    # Tests of the C interface and of packages compile programs; those of pages look at them in a browser.
    need gcc g++ cmake make pkg-config valgrind nodejs chromium
    step lints cargo clippy --workspace --all-targets --features cygnet-tests/data -- -D warnings
    step units cargo test --workspace
fi
[ $conformance -eq 1 ] && step conformance with_data --test conformance -- --nocapture
[ $real -eq 1 ] && step real with_data --test real_models --test tflite -- --nocapture --test-threads=2
[ $real -eq 1 ] && step quantised with_data --test quantisation -- --nocapture --test-threads=2
[ $real -eq 1 ] && step accuracy with_data --test accuracy -- --nocapture --test-threads=2
[ $real -eq 1 ] && step compressed with_data --test compression -- --nocapture --test-threads=2
[ $real -eq 1 ] && step exported trained_onnx
[ $cross -eq 1 ] && step cross tests/cross.sh
[ $size -eq 1 ] && step size tests/size.sh
[ $mobile -eq 1 ] && step mobile run_mobile
[ $track -eq 1 ] && step track run_track
[ $slurm -eq 1 ] && step slurm tests/slurm.sh
[ -n "$fuzz" ] && step fuzz run_fuzz
[ $bench -eq 1 ] && step bench run_bench

printf '\n== summary\n'
printf '%s\n' "${summary[@]}"
printf '\n%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
