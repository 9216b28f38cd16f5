#!/usr/bin/env bash
# Follows FIRMWARE.md in a fresh clone: writes the files that it shows, runs its commands in order, and looks for what it
# promises. Usage: tests/guide.sh [--as-written | --build]
#
# rustup ships no standard library for the board where only package registries can be reached, and the command line takes
# minutes to build: without --as-written, Debian's compiler with its library sources stands in for the former, and for the
# latter the executable that CYGNET names. --build does without the latter: the clone builds its command line.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
source tests/install.sh
source tests/toolchain.sh
need qemu-system-arm
# Outside of this workspace.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/home" "$work/bin"
git clone -q --shared "$root" "$work/clone"
# What is not committed yet is followed all the same.
cp FIRMWARE.md "$work/clone/"

# The guide as a script: a fenced block after a line "`NAME`" is a file, one of sh are commands.
awk '
    /^```/ && !inside { inside = 1; kind = substr($0, 4)
        if (name != "") printf "mkdir -p \"$(dirname \"%s\")\"\ncat >\"%s\" <<\"END OF FILE\"\n", name, name
        next }
    /^```/ { if (name != "") print "END OF FILE"; inside = 0; name = ""; next }
    inside && (name != "" || kind == "sh") { print; next }
    !inside && /^`[^`]+`[:,]/ { split($0, part, "`"); name = part[2]; next }
    !inside && NF { name = "" }
' FIRMWARE.md >"$work/steps"
[ "$(grep -c 'END OF FILE"$' "$work/steps")" -eq 5 ] || { echo "error: FIRMWARE.md does not show five files" >&2; exit 1; }

if [ "${1:-}" != --as-written ]; then
    [ "${1:-}" = --build ] || : "${CYGNET:?names the command line, or --as-written builds it}"
    cargo=$(rustup which cargo)
    (
        toolchain
        command_line=(mkdir -p target/release "&&" exec ln -sf "'${CYGNET:-}'" target/release/cygnet)
        [ "${1:-}" != --build ] || command_line=(exec "'$cargo'" '"$@"')
        printf '#!/bin/sh\necho "rustup $*: Debian'"'"'s library sources stand in"\n' >"$work/bin/rustup"
        cat >"$work/bin/cargo" <<END
#!/bin/sh
case "\$*" in
    "build --release -p cygnet") ${command_line[*]} ;;
    test*) exec "$cargo" "\$@" ;;
esac
export RUSTC=$RUSTC RUSTDOC=$RUSTDOC RUSTC_BOOTSTRAP=1 CARGO_UNSTABLE_BUILD_STD=core
export CARGO_TARGET_DIR=$CARGO_TARGET_DIR CARGO_TARGET_THUMBV7EM_NONE_EABIHF_LINKER=$lld
exec /usr/bin/cargo "\$@"
END
    )
    chmod +x "$work/bin/rustup" "$work/bin/cargo"
fi

export CARGO_HOME=${CARGO_HOME:-$HOME/.cargo} RUSTUP_HOME=${RUSTUP_HOME:-$HOME/.rustup}
export HOME=$work/home PATH=$work/bin:$PATH
cd "$work/clone"
bash -euo pipefail "$work/steps" >"$work/log" 2>&1 || { cat "$work/log" >&2; echo "error: FIRMWARE.md fails" >&2; exit 1; }

# said TEXT: what the guide promises.
said() {
    grep -q "$1" "$work/log" || { cat "$work/log" >&2; echo "error: nothing says: $1" >&2; exit 1; }
}
said '^golden examples agree: Ok(true)$'
# Ten probabilities.
said '^Ok(()) \[\([0-9.e-]*, \)\{9\}[0-9.e-]*\]$'
[ -s "$HOME/digits-board/digits-c/src/cortex-m4/fpv4-sp-d16-hard/libdigits.a" ] || { echo "error: no libdigits.a" >&2; exit 1; }
echo "test result: ok. 1 passed; 0 failed; FIRMWARE.md as it is"
