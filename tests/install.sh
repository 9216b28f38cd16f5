# Sourced by test.sh and tests/cross.sh: installs missing Debian packages, or names them.

# need PACKAGE...
need() {
    local missing=() package
    for package in "$@"; do
        if command -v dpkg-query >/dev/null && dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed'; then
            continue
        fi
        # Not every system has packages of these names: some programs speak for theirs.
        case $package in
            nodejs) command -v node >/dev/null && continue ;;
            chromium) command -v chromium chromium-browser google-chrome >/dev/null && continue ;;
            qemu-user) command -v qemu-aarch64 >/dev/null && continue ;;
            qemu-system-arm | espeak-ng | gcc | g++ | cmake) command -v "$package" >/dev/null && continue ;;
        esac
        missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return
    if ! command -v apt-get >/dev/null; then
        echo "error: these are missing (names as in Debian): ${missing[*]}" >&2
        exit 1
    fi
    local sudo=
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || { echo "error: install as root: apt-get install ${missing[*]}" >&2; exit 1; }
        sudo=sudo
    fi
    echo "installing ${missing[*]}"
    $sudo apt-get install -y -q --no-install-recommends "${missing[@]}" >/dev/null 2>&1 || {
        $sudo apt-get update -q >/dev/null
        $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" >/dev/null
    } || { echo "error: cannot install: ${missing[*]}" >&2; exit 1; }
}
