#!/usr/bin/env python3
"""Assembles the Android library as a Maven repository.

    android/aar.py --classes cygnet.jar --lib arm64-v8a=libcygnet_jni.so [--lib x86_64=...] --out FOLDER

FOLDER then holds dev/cygnet/cygnet-android/VERSION with the .aar, its .pom, .module and -sources.jar, and checksums; Gradle
reads it with  maven { url = uri(FOLDER) }. The same input gives the same bytes. A library for devices must be linked for pages
of 16 KiB, which is checked.
"""

import argparse
import hashlib
import io
import json
import pathlib
import re
import struct
import sys
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
GROUP, NAME = "dev.cygnet", "cygnet-android"
COROUTINES = ("org.jetbrains.kotlinx", "kotlinx-coroutines-core", "1.10.2")
# ABI: machine of its ELF files (System V ABI, e_machine) and bytes of an address.
ABIS = {"arm64-v8a": (183, 2), "x86_64": (62, 2), "armeabi-v7a": (40, 1), "x86": (3, 1)}
PAGE = 16384


def fail(text):
    sys.exit(f"error: {text}")


def check_library(abi, path):
    """Refuses what Android would not load: another machine, or segments aligned to less than a page."""
    if abi not in ABIS:
        fail(f"there is no ABI {abi}: there are {', '.join(ABIS)}")
    data = path.read_bytes()
    machine, width = ABIS[abi]
    if data[:4] != b"\x7fELF" or data[4] != width or struct.unpack_from("<H", data, 18)[0] != machine:
        fail(f"{path} is no ELF library for {abi}")
    if width == 2:
        table, size, count = struct.unpack_from("<Q", data, 32)[0], *struct.unpack_from("<HH", data, 54)
        for i in range(count):
            kind, alignment = struct.unpack_from("<I", data, table + i * size)[0], struct.unpack_from("<Q", data, table + i * size + 48)[0]
            if kind == 1 and alignment < PAGE:
                fail(f"{path} is aligned to pages of {alignment} bytes: link with -C link-arg=-Wl,-z,max-page-size={PAGE}")
    if b"Java_dev_cygnet_Native_openPath" not in data:
        fail(f"{path} does not export the native methods: it is another library")
    return data


def archive(entries):
    """A ZIP without a clock, entries in order of their names."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as to:
        for name in sorted(entries):
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            to.writestr(info, entries[name])
    return out.getvalue()


def version():
    manifest = (HERE.parent / "Cargo.toml").read_text()
    return re.search(r'\[workspace\.package\]\nversion = "([^"]+)"', manifest).group(1)


def pom(version):
    group, name, needed = COROUTINES
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>{GROUP}</groupId>
  <artifactId>{NAME}</artifactId>
  <version>{version}</version>
  <packaging>aar</packaging>
  <name>Cygnet for Android</name>
  <description>Runs models that Cygnet has compiled: pictures, sounds and tensors to typed answers</description>
  <licenses>
    <license><name>MIT</name></license>
    <license><name>Apache-2.0</name></license>
  </licenses>
  <dependencies>
    <dependency><groupId>{group}</groupId><artifactId>{name}</artifactId><version>{needed}</version><scope>compile</scope></dependency>
  </dependencies>
</project>
"""


def module(version, files):
    """Gradle Module Metadata 1.1."""
    group, name, needed = COROUTINES
    described = lambda file: {
        "name": file,
        "url": file,
        "size": len(files[file]),
        **{kind: hashlib.new(kind, files[file]).hexdigest() for kind in ("sha512", "sha256", "sha1", "md5")},
    }
    dependency = {"group": group, "module": name, "version": {"requires": needed}}
    variant = lambda usage: {
        "name": f"release{usage}Elements",
        "attributes": {
            "org.gradle.category": "library",
            "org.gradle.dependency.bundling": "external",
            "org.gradle.libraryelements": "aar",
            "org.gradle.usage": f"java-{usage.lower()}",
        },
        "dependencies": [dependency],
        "files": [described(f"{NAME}-{version}.aar")],
    }
    sources = {
        "name": "releaseSourcesElements",
        "attributes": {
            "org.gradle.category": "documentation",
            "org.gradle.dependency.bundling": "external",
            "org.gradle.docstype": "sources",
            "org.gradle.usage": "java-runtime",
        },
        "files": [described(f"{NAME}-{version}-sources.jar")],
    }
    metadata = {
        "formatVersion": "1.1",
        "component": {"group": GROUP, "module": NAME, "version": version, "attributes": {"org.gradle.status": "release"}},
        "createdBy": {"cygnet": {"version": version}},
        "variants": [variant("Api"), variant("Runtime"), sources],
    }
    return json.dumps(metadata, indent=2) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=pathlib.Path, required=True)
    parser.add_argument("--lib", action="append", required=True, metavar="ABI=FILE")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    args = parser.parse_args()
    release, library = version(), HERE / "cygnet"
    with zipfile.ZipFile(args.classes) as jar:
        classes = {name: jar.read(name) for name in jar.namelist() if not name.endswith("/")}
    if "dev/cygnet/CygnetAndroid.class" not in classes:
        fail(f"{args.classes} lacks the classes for Android: android/test.sh makes target/android/cygnet.jar")
    aar = {
        "AndroidManifest.xml": (library / "src/main/AndroidManifest.xml").read_bytes(),
        "classes.jar": archive(classes),
        "proguard.txt": (library / "consumer-rules.pro").read_bytes(),
        "R.txt": b"",
        "META-INF/com/android/build/gradle/aar-metadata.properties": b"aarFormatVersion=1.0\naarMetadataVersion=1.0\nminCompileSdk=1\n",
    }
    for word in args.lib:
        abi, _, file = word.partition("=")
        path = pathlib.Path(file)
        if not path.is_file():
            fail(f"--lib {word}: write ABI=FILE; there is no file `{file}`")
        aar[f"jni/{abi}/libcygnet_jni.so"] = check_library(abi, path)
    sources = {}
    for part in ("main", "android"):
        root = library / "src" / part / "kotlin"
        sources.update({str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*.kt")})
    files = {
        f"{NAME}-{release}.aar": archive(aar),
        f"{NAME}-{release}-sources.jar": archive(sources),
        f"{NAME}-{release}.pom": pom(release).encode(),
    }
    files[f"{NAME}-{release}.module"] = module(release, files).encode()
    folder = args.out / GROUP.replace(".", "/") / NAME / release
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
        for kind in ("md5", "sha1", "sha256", "sha512"):
            (folder / f"{name}.{kind}").write_text(hashlib.new(kind, data).hexdigest())
    print(f"{folder / name.replace('.module', '.aar')}: {len(files[f'{NAME}-{release}.aar'])} bytes")


main()
