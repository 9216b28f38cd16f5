#!/usr/bin/env python3
"""Executed WebAssembly instructions of one inference: three runs less one, halved, in wasmtime, whose fuel counts them.

Usage: count.py INFER.wasm BUNDLE...   (needs the package wasmtime; tests/icount.sh -w calls it)
"""

import sys
from pathlib import Path

from wasmtime import Config, Engine, ExitTrap, Linker, Module, Store, WasiConfig

PLENTY = 1 << 60


def spent(engine: Engine, linker: Linker, module: Module, bundle: Path, runs: int) -> int:
    """Instructions of a whole process that runs a bundle so often."""
    store = Store(engine)
    store.set_fuel(PLENTY)
    wasi = WasiConfig()
    wasi.argv = ("infer", f"/models/{bundle.name}", str(runs))
    wasi.preopen_dir(str(bundle.parent), "/models")
    store.set_wasi(wasi)
    instance = linker.instantiate(store, module)
    try:
        instance.exports(store)["_start"](store)
    except ExitTrap as exit:
        if exit.code != 0:
            sys.exit(f"error: {bundle} does not run")
    return PLENTY - store.get_fuel()


def main() -> None:
    program, *bundles = sys.argv[1:]
    config = Config()
    config.consume_fuel = True
    engine = Engine(config)
    linker = Linker(engine)
    linker.define_wasi()
    module = Module.from_file(engine, program)
    for bundle in map(Path, bundles):
        bundle = bundle.resolve()
        once, thrice = (spent(engine, linker, module, bundle, runs) for runs in (1, 3))
        print(f"{bundle.stem}\t{(thrice - once) / 2e6:.2f} million instructions an inference")


main()
