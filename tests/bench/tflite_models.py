#!/usr/bin/env python3
"""Times Cygnet and LiteRT on TFLite files as they are, in turns.

tflite_models.py CYGNET FOLDER [--rounds N] [--seconds S]

CYGNET is the command line program, FOLDER holds the files, also in folders below it. Each file is compiled; then both
engines take turns in processes of their own, on one thread each, LiteRT with its default delegate (XNNPACK). Times are the
least and the median of all turns; they span an inference alone, as inputs and outputs of these models are small. LiteRT
comes from the environment that runs this script (`ai-edge-litert` in requirements.txt). Writes a Markdown table to stdout.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import report


def repaired(path: Path) -> bytes:
    """The file, with channel axes inside of their tensors: LiteRT refuses older files, whose scales of a tensor name one."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    data = path.read_bytes()
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
    changed = False
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            scales, rank = tensor.quantization, 0 if tensor.shape is None else len(tensor.shape)
            if scales is not None and scales.quantizedDimension >= max(rank, 1):
                scales.quantizedDimension, changed = 0, True
    if not changed:
        return data
    builder = flatbuffers.Builder(len(data))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def litert(path: Path, seconds: float) -> list[float]:
    """Milliseconds of inferences during `seconds`, after some that do not count."""
    import numpy as np
    from ai_edge_litert import interpreter

    engine = interpreter.Interpreter(model_content=repaired(path), num_threads=1)
    engine.allocate_tensors()
    random = np.random.default_rng(1)
    for x in engine.get_input_details():
        values = random.uniform(-1, 1, x["shape"])
        if x["dtype"] != np.float32:
            values = values * 100 + (100 if x["dtype"] == np.uint8 else 0)
        engine.set_tensor(x["index"], values.astype(x["dtype"]))
    times, end = [], time.perf_counter() + seconds * 1.25
    begin = end - seconds
    while (start := time.perf_counter()) < end or not times:
        engine.invoke()
        if start >= begin:
            times.append((time.perf_counter() - start) * 1e3)
    return times


def main() -> None:
    """Runs the comparison, or, in a process of its own, one turn of LiteRT."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cygnet", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=5, help="turns of each engine (default: 5)")
    parser.add_argument("--seconds", type=float, default=0.5, help="time of a turn of LiteRT (default: 0.5)")
    parser.add_argument("--turn", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.turn:
        print(json.dumps(litert(args.folder, args.seconds)))
        return
    files = sorted(args.folder.rglob("*.tflite"))
    if not files:
        sys.exit(f"error: there is no .tflite file in {args.folder}")
    rows = []
    for path in files:
        times: dict[str, list[float]] = {"cygnet": [], "litert": []}
        medians: dict[str, list[float]] = {"cygnet": [], "litert": []}
        with tempfile.TemporaryDirectory() as folder:
            bundle, out = Path(folder) / "model.cygnet", Path(folder) / "bench.json"
            subprocess.run([args.cygnet, "-q", "compile", path, "-o", bundle], check=True)
            for _ in range(args.rounds):
                command = [args.cygnet, "-q", "bench", bundle, "--threads", "1", "--json", out]
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
                latency = json.loads(out.read_text())
                times["cygnet"].append(latency["min_ms"])
                medians["cygnet"].append(latency["median_ms"])
                command = [sys.executable, __file__, args.cygnet, path, "--turn", "--seconds", str(args.seconds)]
                turn = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
                times["litert"].append(min(turn))
                medians["litert"].append(statistics.median(turn))
        least = {engine: min(values) * 1e3 for engine, values in times.items()}
        middle = {engine: statistics.median(values) * 1e3 for engine, values in medians.items()}
        cells = [f"{report.number(least[e])} / {report.number(middle[e])}" for e in ("cygnet", "litert")]
        rows.append([path.stem, *cells, f"{least['litert'] / least['cygnet']:.2f}"])
        print(" | ".join(rows[-1]), file=sys.stderr, flush=True)
    head = ["latency in us, least / median, 1 thread", "Cygnet", "LiteRT", "LiteRT / Cygnet"]
    print(report.table(head, rows))


if __name__ == "__main__":
    main()
