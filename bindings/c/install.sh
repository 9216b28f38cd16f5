#!/usr/bin/env bash
# Installs the C and C++ interface: headers, libraries, and what pkg-config and CMake find them by.
# Usage: bindings/c/install.sh PREFIX [FOLDER]
#   PREFIX  where include/ and lib/ go, such as /usr/local
#   FOLDER  where libcygnet.a and libcygnet.so are; without it cargo builds them first
set -euo pipefail
[ $# -ge 1 ] && [ $# -le 2 ] || { sed -n '3,5s/^# //p' "$0" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
prefix=$(cd "$1" && pwd)
if [ $# -eq 2 ]; then
    libraries=$2
else
    cargo build --release --manifest-path "$here/Cargo.toml"
    libraries=$(cargo metadata --manifest-path "$here/Cargo.toml" --no-deps --format-version 1 |
        sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/release
fi
[ -f "$libraries/libcygnet.a" ] || { echo "error: there is no libcygnet.a in $libraries" >&2; exit 1; }
version=$(sed -n '/^\[workspace.package\]/,/^$/s/^version = "\(.*\)"/\1/p' "$here/../../Cargo.toml")

mkdir -p "$prefix/include" "$prefix/lib/pkgconfig" "$prefix/lib/cmake/cygnet"
cp "$here"/include/cygnet.{h,hpp} "$prefix/include"
cp "$libraries/libcygnet.a" "$prefix/lib"
if [ -f "$libraries/libcygnet.so" ]; then cp "$libraries/libcygnet.so" "$prefix/lib"; fi
cp "$here/cmake/cygnet-config.cmake" "$prefix/lib/cmake/cygnet"
cat >"$prefix/lib/cmake/cygnet/cygnet-config-version.cmake" <<END
set(PACKAGE_VERSION "$version")
# What was asked for is not newer than what is here.
if(PACKAGE_FIND_VERSION VERSION_GREATER PACKAGE_VERSION)
  set(PACKAGE_VERSION_COMPATIBLE FALSE)
else()
  set(PACKAGE_VERSION_COMPATIBLE TRUE)
  if(PACKAGE_FIND_VERSION VERSION_EQUAL PACKAGE_VERSION)
    set(PACKAGE_VERSION_EXACT TRUE)
  endif()
endif()
END
cat >"$prefix/lib/pkgconfig/cygnet.pc" <<END
prefix=$prefix
includedir=\${prefix}/include
libdir=\${prefix}/lib

Name: cygnet
Description: Runs models that Cygnet has compiled
Version: $version
Cflags: -I\${includedir}
Libs: -L\${libdir} -lcygnet
Libs.private: -lpthread -ldl -lm
END
echo "cygnet $version is in $prefix"
