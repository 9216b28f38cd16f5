# Sourced: the command line for scripts. It comes from the build of the tests: another choice of packages would have Cargo
# build tract once more, with other features.

workspace=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# find_cygnet: names the command line in CYGNET, unless CYGNET names one already. Builds it with the ordinary toolchain.
find_cygnet() {
    [ -n "${CYGNET:-}" ] && return
    (cd "$workspace" && env -u RUSTC -u RUSTDOC -u RUSTC_BOOTSTRAP -u CARGO_TARGET_DIR cargo test -q --workspace --no-run --test project)
    CYGNET=$workspace/target/debug/cygnet
}

# cygnet ARGUMENT...: runs it.
cygnet() {
    env -u RUSTC -u RUSTDOC -u RUSTC_BOOTSTRAP -u CARGO_TARGET_DIR "${CYGNET:?}" "$@"
}
