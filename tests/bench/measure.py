"""Runs the workers of one model and one thread count, in turns."""

import json
import os
import selectors
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
# Beyond this part of the largest magnitude an answer counts as wrong. Roundings of 8-bit activations add up over layers:
# the quantised models of the comparison are 0.02 to 0.09 away from their float ones.
TOLERANCES = {"float32": 1e-3, "int8": 0.1}
# A worker that says nothing for so long is given up.
PATIENCE_SECONDS = 300


class Failed(Exception):
    """A worker's reason."""


class Worker:
    """A process with one engine and one model; stopped except in its turn."""

    def __init__(self, engine: str, spec: Path, threads: int, binaries: dict[str, Path]) -> None:
        self.engine = engine
        self.folder = tempfile.TemporaryDirectory(prefix="cygnet-bench-")
        self.outputs = Path(self.folder.name) / "outputs"
        self.log = open(Path(self.folder.name) / "log", "w+b")
        if engine in binaries:
            command = [str(binaries[engine])]
        else:
            command = [sys.executable, str(HERE / "worker.py"), engine]
        command += [str(spec), str(threads), str(self.outputs)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, start_new_session=True
        )
        self.rest = b""
        try:
            self.ready = self.read()
        except Failed:
            self.close()
            raise

    def read(self) -> dict:
        """The next answer."""
        stdout = self.process.stdout
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while b"\n" not in self.rest:
                if not selector.select(PATIENCE_SECONDS):
                    raise Failed(f"no answer within {PATIENCE_SECONDS} s")
                chunk = os.read(stdout.fileno(), 1 << 16)
                if not chunk:
                    raise Failed(self.last_words())
                self.rest += chunk
        line, _, self.rest = self.rest.partition(b"\n")
        answer = json.loads(line)
        if "error" in answer:
            raise Failed(answer["error"])
        return answer

    def last_words(self) -> str:
        """Why the process ended without an answer."""
        code = self.process.wait(10)
        self.log.seek(0)
        lines = [l for l in self.log.read().decode(errors="replace").splitlines() if l.strip()]
        reason = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return f"{reason}: {lines[-1][:300]}" if lines else reason

    def run(self, warmup: int, count: int) -> dict:
        """Its turn: the times of `count` runs."""
        self.process.send_signal(signal.SIGCONT)
        try:
            self.process.stdin.write(f"run {warmup} {count}\n".encode())
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Failed(self.last_words()) from None
        answer = self.read()
        self.process.send_signal(signal.SIGSTOP)
        return answer

    def stop(self) -> None:
        """Lets it wait without using the machine."""
        self.process.send_signal(signal.SIGSTOP)

    def close(self) -> None:
        """Ends the process."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        self.log.close()
        self.folder.cleanup()


def difference(spec: dict, outputs: Path) -> float:
    """Largest difference to ONNX Runtime relative to the largest magnitude, the worst of all outputs."""
    worst = 0.0
    for i, output in enumerate(spec["outputs"]):
        want = np.fromfile(output["file"], np.float32)
        got = np.fromfile(outputs / f"{i}.bin", np.float32)
        if got.size != want.size or not np.isfinite(got).all():
            return float("inf")
        worst = max(worst, float(np.abs(got - want).max() / max(np.abs(want).max(), 1e-30)))
    return worst


def measure(
    path: Path, engines: list[str], threads: int, binaries: dict[str, Path], rounds: int, seconds: float, cold: int
) -> list[dict]:
    """One record an engine; `path` is the specification of the model."""
    spec = json.loads(path.read_text())
    records = {}
    for engine in engines:
        failure = spec.get(f"{'tflite' if engine == 'litert' else engine}_error")
        records[engine] = {"engine": engine, "threads": threads, "precision": spec["precision"], "failure": failure}
    fresh: dict[str, list[dict]] = {e: [] for e in engines}
    # What a process of the kind has without an engine.
    empty = {}
    for kind in ("python", "rust"):
        if any((e in binaries) == (kind == "rust") for e in engines):
            names = {"empty": binaries["empty"]} if kind == "rust" else {}
            worker = Worker("empty", path, threads, names)
            empty[kind] = worker.ready["peak_rss"]
            worker.close()

    # The last fresh process of each engine stays for the turns.
    live: dict[str, Worker] = {}
    for turn in range(cold):
        for engine in engines:
            if records[engine]["failure"]:
                continue
            try:
                worker = Worker(engine, path, threads, binaries)
                fresh[engine].append(worker.ready)
                if turn == cold - 1:
                    records[engine]["difference"] = difference(spec, worker.outputs)
                    worker.stop()
                    live[engine] = worker
                else:
                    worker.close()
            except Failed as failed:
                records[engine]["failure"] = str(failed)

    times: dict[str, list[int]] = {e: [] for e in live}
    clocks = {e: [0, 0] for e in live}
    cpu: dict[str, list[float]] = {e: [] for e in live}
    counts: dict[str, int] = {}
    for turn in range(rounds + 1):
        for engine, worker in list(live.items()):
            try:
                if turn == 0:
                    # Warm up, and learn how many runs fill a turn.
                    guess = min(worker.run(1, 3)["times"]) / 1e9
                    counts[engine] = min(max(int(seconds / rounds / guess), 1), 2000)
                    continue
                answer = worker.run(1, counts[engine])
                times[engine] += answer["times"]
                clocks[engine][0] += answer["cpu_ns"] or 0
                cpu[engine].append((answer["cpu_ns"] or 0) / counts[engine])
                clocks[engine][1] += answer["wall_ns"]
            except Failed as failed:
                records[engine]["failure"] = str(failed)
                worker.close()
                del live[engine]
    for engine, worker in live.items():
        record, ready = records[engine], fresh[engine]
        ordered = sorted(times[engine])
        kind = "rust" if engine in binaries else "python"
        record["runs"] = len(ordered)
        record["min_ms"] = ordered[0] / 1e6
        record["median_ms"] = statistics.median(ordered) / 1e6
        # CPU time of all threads an inference, mean of the best turn: what still compares when others use the machine.
        record["cpu_ms"] = min(cpu[engine]) / 1e6
        # Above the thread count: more threads than told.
        record["cpu_per_wall"] = clocks[engine][0] / clocks[engine][1]
        for key, values in {
            "load_ms": [r["load_ns"] for r in ready],
            "first_ms": [r["first_ns"] for r in ready],
            "cold_ms": [r["load_ns"] + r["first_ns"] for r in ready],
        }.items():
            record[key] = min(values) / 1e6
            record[f"{key[:-3]}_median_ms"] = statistics.median(values) / 1e6
        if ready[0]["peak_rss"]:
            record["peak_bytes"] = statistics.median(r["peak_rss"] for r in ready)
            # The same process before it opened the model, its library imported.
            record["base_bytes"] = statistics.median(r["base_rss"] for r in ready)
            record["empty_bytes"] = empty[kind]
            record["model_bytes"] = record["peak_bytes"] - record["base_bytes"]
        record["library_bytes"] = ready[0].get("library_bytes")
        record["about"] = ready[0].get("about", "")
        record["wrong"] = record["difference"] > TOLERANCES[record["precision"]]
        worker.close()
    return list(records.values())
