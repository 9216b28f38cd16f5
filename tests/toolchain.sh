# Sourced by the scripts that build for other machines; `root` is the repository.

# Debian's compiler, which brings the sources of the standard library for every target.
toolchain() {
    need rustc-web cargo-web rust-web-src
    export RUSTC=/usr/bin/rustc RUSTDOC=/usr/bin/rustdoc RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=$root/target/cross
    # Debian's rustc has no rust-lld: rustup's serves, whatever its version.
    lld=$(env -u RUSTC rustc --print sysroot)/lib/rustlib/$(env -u RUSTC rustc -vV | sed -n 's/^host: //p')/bin/rust-lld
    [ -x "$lld" ] || { echo "error: rust-lld is missing below $(env -u RUSTC rustc --print sysroot)" >&2; exit 1; }
}

# Programs for wasm32-wasip1, linked with Debian's wasi-libc and run by node; `features` are what the compiler may use.
for_wasm() {
    local features=${1-+simd128}
    need wasi-libc nodejs
    mkdir -p target/cross
    # wasi-libc of 2022 lacks two thread functions that std names; nothing calls them, so they may become traps.
    # The linker's path is part of cargo's fingerprint: it stays the same from run to run.
    printf '#!/bin/sh\nexec "%s" "$@" --unresolved-symbols=ignore-all\n' "$lld" >target/cross/wasm-ld
    chmod +x target/cross/wasm-ld
    export CARGO_TARGET_WASM32_WASIP1_LINKER=$root/target/cross/wasm-ld
    export CARGO_TARGET_WASM32_WASIP1_RUNNER="node --no-warnings $root/tests/wasm/wasi-run.mjs"
    # Where cargo tells tests to put files.
    export WASI_FOLDER=$CARGO_TARGET_DIR/wasm32-wasip1/tmp
    local flags="-Clink-self-contained=no -Lnative=/usr/lib/wasm32-wasi -Clink-arg=/usr/lib/wasm32-wasi/crt1-command.o"
    export CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS="$flags ${features:+-Ctarget-feature=$features}"
}
