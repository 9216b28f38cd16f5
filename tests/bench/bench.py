#!/usr/bin/env python3
"""Times Cygnet and other engines on the same models, inputs and thread counts, interleaved in one run.

Needs Rust (cargo), Python 3.11 or newer and the network for the first run: pinned peers come from PyPI into a virtual
environment below the cache folder (`.cache/models/bench`, or in the folder that CYGNET_CACHE names). Results go to
OUTPUT: results.json, results.md, results.png.

How it measures. Each engine has a process of its own for a model and a thread count. The processes take turns (A B C A
B C ...), so that whatever disturbs the machine disturbs all; those that wait are stopped (SIGSTOP), so that their
threads do not spin. A time spans inputs set, inference, outputs fetched. Loading, the first inference and memory come
from fresh processes. Every output is compared with ONNX Runtime's: an engine that is off by more than 1e-3 of the
largest magnitude is marked, however fast it is. Quantised models (`_int8`) are ONNX graphs in the QDQ format, which every
engine reads itself, except LiteRT, whose model is written from the same integers; their answers are compared with the
same graph computed in floats, and may be off by 0.1.

Examples:
  tests/bench/bench.py --list
  tests/bench/bench.py --models mobilenetv2,resnet18 --engines cygnet,openvino --threads 1
  tests/bench/bench.py --rounds 30 --seconds 10
"""

import argparse
import datetime
import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import cache  # noqa: E402

ENGINES = ("cygnet", "onnxruntime", "openvino", "litert", "ncnn", "mnn", "tract", "rten")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)

    def names(text: str) -> list[str]:
        return [word for word in text.split(",") if word]

    parser.add_argument("--models", type=names, help="names, separated by commas (default: all)")
    parser.add_argument("--engines", type=names, default=list(ENGINES), help=f"default: {','.join(ENGINES)}")
    parser.add_argument("--threads", type=names, default=["1", "2"], help="thread counts (default: 1,2)")
    parser.add_argument("--rounds", type=int, default=10, help="turns of each engine (default: 10)")
    parser.add_argument("--seconds", type=float, default=3.0, help="time of each engine over all turns (default: 3)")
    parser.add_argument("--cold", type=int, default=3, help="fresh processes for cold start and memory (default: 3)")
    parser.add_argument("--output", type=Path, default=REPOSITORY / "target" / "bench" / "results", help="folder")
    parser.add_argument("--list", action="store_true", help="lists models and engines, measures nothing")
    parser.add_argument("--no-build", action="store_true", help="takes the binaries as they are")
    args = parser.parse_args()
    for engine in args.engines:
        if engine not in ENGINES:
            parser.error(f"unknown engine {engine}; there are {', '.join(ENGINES)}")
    if not all(t.isdigit() and int(t) for t in args.threads):
        parser.error("--threads takes positive numbers separated by commas")
    if args.rounds < 1 or args.seconds <= 0 or args.cold < 1:
        parser.error("--rounds, --seconds and --cold must be positive")
    return args


def say(text: str) -> None:
    """Progress."""
    print(text, file=sys.stderr, flush=True)


def enter_environment() -> None:
    """Makes the virtual environment when needed and starts over inside of it."""
    folder = cache.root() / "bench" / "venv"
    python = folder / "bin" / "python"
    if os.name == "nt":
        python = folder / "Scripts" / "python.exe"
    wanted = (HERE / "requirements.txt").read_text() + (HERE / "requirements-no-deps.txt").read_text()
    stamp = folder / "installed.txt"
    if not stamp.exists() or stamp.read_text() != wanted:
        say(f"bench: installing peers in {folder}")
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, "-r", str(HERE / "requirements.txt")], check=True)
        subprocess.run([*pip, "--no-deps", "-r", str(HERE / "requirements-no-deps.txt")], check=True)
        stamp.write_text(wanted)
    if Path(sys.prefix).resolve() != folder.resolve():
        os.execv(python, [str(python), str(Path(__file__).resolve()), *sys.argv[1:]])


def machine(features: list[str]) -> dict:
    """What the numbers depend on, without names."""
    model, flags = "", set()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                model = value.strip()
            if key.strip() in ("flags", "Features"):
                flags = set(value.split())
    except OSError:
        pass
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "system": f"{os.uname().sysname} {os.uname().machine}" if hasattr(os, "uname") else os.name,
        "cpu": model,
        "cores": os.cpu_count(),
        "isa": [f for f in features if f in flags],
        "load_average": load,
    }


ISA_FLAGS = ["avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimd", "asimddp", "i8mm", "sve"]


def main() -> None:
    """Runs the comparison."""
    args = arguments()
    enter_environment()

    import engines
    import measure
    import models
    import report

    chosen = args.models or list(models.MODELS)
    unknown = [name for name in chosen if name not in models.MODELS]
    if unknown:
        sys.exit(f"error: unknown models {', '.join(unknown)}; there are {', '.join(models.MODELS)}")
    if args.list:
        for name, model in models.MODELS.items():
            print(f"{name:18} {model.title}")
        print("engines:", ", ".join(ENGINES))
        return

    results = {
        "date": datetime.date.today().isoformat(),
        "machine": machine(ISA_FLAGS),
        "versions": engines.versions(REPOSITORY, args.no_build),
        "settings": {"rounds": args.rounds, "seconds": args.seconds, "cold": args.cold},
        "models": {},
        "records": [],
    }
    binaries = engines.build(REPOSITORY, args.engines, args.no_build)
    results["library_bytes"] = engines.rust_sizes(binaries)
    args.output.mkdir(parents=True, exist_ok=True)
    for name in chosen:
        try:
            with models.locked(cache.root() / "bench" / "models"):
                folder = models.prepare(name, cache.root() / "bench" / "models")
                path = engines.convert(folder, args.engines, binaries)
        except models.Missing as missing:
            say(f"{name}: skipped, {missing}")
            results["models"][name] = {"title": models.MODELS[name].title, "skipped": str(missing)}
            continue
        shapes = {i["name"]: i["shape"] for i in json.loads(path.read_text())["inputs"]}
        results["models"][name] = {"title": models.MODELS[name].title, "inputs": shapes}
        for threads in map(int, args.threads):
            say(f"{name}, {threads} thread{'s' if threads > 1 else ''}")
            records = measure.measure(path, args.engines, threads, binaries, args.rounds, args.seconds, args.cold)
            for record in records:
                record["model"] = name
                say(report.line(record))
            results["records"] += records
            # Written each time: an interrupted run keeps what it has.
            (args.output / "results.json").write_text(json.dumps(results, indent=1) + "\n")
            (args.output / "results.md").write_text(report.markdown(results))
    report.picture(results, args.output / "results.png")
    print(report.markdown(results))
    say(f"bench: results.json, results.md and results.png are in {args.output}")


if __name__ == "__main__":
    main()
