#!/usr/bin/env bash
# Builds the native library for this machine, compiles the Kotlin library and runs its tests on the JVM, those of Android's
# types under Robolectric. What it needs comes from Debian, npm and Maven Central, by name and version, into target/android.
set -euo pipefail
cd "$(dirname "$0")/.."
source tests/install.sh

kotlin_version=2.4.20
# dev takes what `cargo test` has compiled already, but its overhead of calls says little.
profile=${CYGNET_PROFILE:-release}
out=$PWD/target/android
npm=$out/npm jars=$out/jars kotlin=$out/npm/node_modules/kotlin-compiler
mkdir -p "$out"

# Debian names the JDK by version; what is there serves.
command -v javac >/dev/null || need default-jdk-headless
command -v mvn >/dev/null || need maven
command -v npm >/dev/null || need npm
command -v unzip >/dev/null || need unzip

if ! grep -qs "\"version\": \"$kotlin_version\"" "$kotlin/package.json"; then
    npm install --no-audit --no-fund --prefix "$npm" "kotlin-compiler@$kotlin_version"
    chmod +x "$kotlin"/bin/*
fi
# Complete once it holds the list it was made from.
if ! cmp -s android/pom.xml "$jars/pom.xml"; then
    rm -rf "$jars"
    mvn -q -B -f android/pom.xml dependency:copy-dependencies -DoutputDirectory="$jars"
    for archive in "$jars"/*.aar; do
        unzip -p "$archive" classes.jar >"${archive%.aar}.jar"
    done
    cp android/pom.xml "$jars/pom.xml"
fi
android=$(echo "$jars"/android-all-instrumented-*.jar)

cargo build --profile "$profile" -p cygnet-jni --lib
cargo run -q --profile "$profile" -p cygnet-jni --example bundles "$out/bundles"
target=$(cargo metadata --no-deps --format-version 1 | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
library=$target/${profile/#dev/debug}/libcygnet_jni.so

# join SEPARATOR WORD...
join() {
    local IFS=$1
    shift
    echo "$*"
}
# Java 11 is what Android's tools take from all versions of Android that are supported (24 and later).
kotlinc() {
    bash "$kotlin/bin/kotlinc" -jvm-target 11 -Xjdk-release=11 -no-reflect "$@"
}
source_folder=android/cygnet/src
runtime=$kotlin/lib/kotlin-stdlib.jar:$kotlin/lib/kotlinx-coroutines-core-jvm.jar
mapfile -t test_jars < <(ls "$jars"/*.jar | grep -v /android-all)
tools=$(join : "${test_jars[@]}")

echo "== compiling"
# The part without Android compiles alone. Robolectric's Android is woven with interfaces of its own.
kotlinc -Werror -Xexplicit-api=strict -module-name cygnet -cp "$runtime" -d "$out/cygnet-jvm.jar" "$source_folder/main/kotlin"
kotlinc -Werror -Xexplicit-api=strict -module-name cygnet -cp "$runtime:$tools:$android" -d "$out/cygnet.jar" "$source_folder"/{main,android}/kotlin
# The archive, twice the same; the tests run what is in it.
echo "== assembling"
need python3
rm -rf "$out/maven" "$out/again" "$out/aar"
for folder in maven again; do
    python3 android/aar.py --classes "$out/cygnet.jar" --lib "x86_64=$library" --out "$out/$folder"
done
diff -r "$out/maven" "$out/again"
unzip -q "$out"/maven/dev/cygnet/cygnet-android/*/*.aar -d "$out/aar"
library=$out/aar/jni/x86_64/libcygnet_jni.so

echo "== compiling the tests"
kotlinc -module-name cygnet_test -Xfriend-paths="$out/aar/classes.jar" -cp "$out/aar/classes.jar:$runtime:$tools:$android" \
    -d "$out/tests.jar" "$source_folder"/{test,androidTest}/kotlin

echo "== running"
# run CLASS...: Android's classes come last: Robolectric's loader has its own.
run() {
    java "${checks[@]}" -Dcygnet.library="$library" -Dcygnet.bundles="$out/bundles" \
        -Drobolectric.offline=true -Drobolectric.dependency.dir="$jars" -Drobolectric.logging=stderr \
        -cp "$out/tests.jar:$out/aar/classes.jar:$runtime:$tools:$android" org.junit.runner.JUnitCore "${@/#/dev.cygnet.}"
}
# The virtual machine looks at every native call, and what it complains of is a failure.
checks=(-Xcheck:jni)
mapfile -t classes < <(basename -s .kt -a "$source_folder"/test/kotlin/dev/cygnet/*Test.kt | grep -v EndureTest)
run "${classes[@]}" 2>&1 | tee "$out/tests.log"
! grep -E '^(Warning|WARNING|FATAL).*(JNI|Critical)' "$out/tests.log"
# Robolectric's class loader is another, and a library belongs to one.
checks=()
run BitmapTest 2>&1 | tee -a "$out/tests.log"
# Resident memory is what is looked at here: Java's heap is all of it from the start.
checks=(-Xms64m -Xmx64m -XX:+AlwaysPreTouch -XX:+UseSerialGC)
run EndureTest 2>&1 | tee -a "$out/tests.log"
