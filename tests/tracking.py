#!/usr/bin/env python3
"""A training that tells TensorBoard and MLflow: TensorBoard's own reader reads the event files, and a real MLflow server,
started here, has the run. Usage: tests/tracking.py CYGNET (a Python with tensorboard and mlflow from PyPI)."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

TOML = """name = "digits"
[data]
images = "data/digits-images.idx"
labels = "data/digits-labels.idx"
[model]
architecture = "tiny"
channels = 4
[train]
epochs = {epochs}
batch = 64
rate = 0.006
[track]
tensorboard = true
mlflow = "http://127.0.0.1:{port}"
experiment = "digits of eight"
"""


def ask(port: int, call: str, body: dict) -> dict:
    """An answer of the server's REST API."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/2.0/mlflow/{call}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def check(condition: bool, what: str) -> None:
    """Ends with an error unless the condition holds."""
    if not condition:
        sys.exit(f"error: {what}")


def train(cygnet: str, project: Path, epochs: int, port: int) -> dict:
    """What `cygnet train` came to."""
    (project / "cygnet.toml").write_text(TOML.format(epochs=epochs, port=port))
    done = subprocess.run([cygnet, "-q", "train", "--project", project, "--json", "-"], capture_output=True, text=True)
    check(done.returncode == 0, done.stderr)
    return json.loads(done.stdout)


def scalars(folder: Path) -> dict[str, list]:
    """What TensorBoard shows of a run."""
    board = EventAccumulator(str(folder))
    board.Reload()
    return {tag: board.Scalars(tag) for tag in board.Tags()["scalars"]}


def main() -> None:
    """Trains, and looks at what was told."""
    cygnet = os.path.abspath(sys.argv[1])
    data = Path(__file__).parent.parent / "compiler" / "cli" / "data"
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "project"
        (project / "data").mkdir(parents=True)
        for name in ("digits-images.idx", "digits-labels.idx"):
            shutil.copy(data / name, project / "data")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        server = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
             "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", f"{folder}/artifacts"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )
        try:
            for _ in range(240):
                try:
                    ask(port, "experiments/search", {"max_results": 1})
                    break
                except OSError:
                    time.sleep(0.5)
            trained = train(cygnet, project, 3, port)["model"]

            seen = scalars(project / "runs" / "model")
            check(set(seen) == {"loss/training", "loss/validation", "right/validation", "rate"}, f"TensorBoard has {set(seen)}")
            check([s.step for s in seen["loss/training"]] == [1, 2, 3], f"{seen['loss/training']}")
            losses = [s.value for s in seen["loss/training"]]
            check(losses[2] < losses[0], f"losses {losses}")
            check(abs(time.time() - seen["rate"][-1].wall_time) < 600, "times are not those of the clock")

            experiments = ask(port, "experiments/search", {"max_results": 10, "filter": "name = 'digits of eight'"})["experiments"]
            check(len(experiments) == 1, f"{experiments}")
            wanted = {"experiment_ids": [experiments[0]["experiment_id"]], "max_results": 10}
            runs = ask(port, "runs/search", wanted)["runs"]
            check(len(runs) == 1 and runs[0]["info"]["status"] == "FINISHED", f"{runs}")
            parameters = {p["key"]: p["value"] for p in runs[0]["data"]["params"]}
            check(parameters["epochs"] == "3" and parameters["optimizer"] == "adamw", f"{parameters}")
            metrics = {m["key"]: m["value"] for m in runs[0]["data"]["metrics"]}
            check(abs(metrics["right/test"] - trained["test_accuracy"]) < 1e-6, f"{metrics}")
            with urllib.request.urlopen(
                f"http://127.0.0.1:{port}/api/2.0/mlflow/metrics/get-history?run_id={runs[0]['info']['run_id']}&metric_key=loss/training",
                timeout=30,
            ) as answer:
                history = json.load(answer)["metrics"]
            told = [m["value"] for m in sorted(history, key=lambda m: m["step"])]
            check(all(abs(a - b) < 1e-6 for a, b in zip(told, losses, strict=True)), f"{told} {losses}")

            # Other settings are another run, with events of its own; what is done is told once.
            train(cygnet, project, 2, port)
            train(cygnet, project, 2, port)
            check([s.step for s in scalars(project / "runs" / "model")["rate"]] == [1, 2], "old events stay")
            check(len(ask(port, "runs/search", wanted)["runs"]) == 2, "a run is told twice, or not at all")
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait()

        # Without its server, training says so before it begins.
        (project / "cygnet.toml").write_text(TOML.format(epochs=1, port=port))
        refused = subprocess.run([cygnet, "-q", "train", "--project", project], capture_output=True, text=True)
        check(refused.returncode == 1 and "does not answer" in refused.stderr, refused.stderr)
    print("ok: TensorBoard reads the events, MLflow has the runs")


if __name__ == "__main__":
    main()
