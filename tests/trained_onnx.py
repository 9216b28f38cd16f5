#!/usr/bin/env python3
"""Networks that Cygnet trained, in ONNX Runtime: what `cygnet demo` exports, in floats and in 8-bit integers, loads there and
answers as the bundle does. Usage: tests/trained_onnx.py CYGNET
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

# Digits that the bundle is asked for too.
ASKED = 40
# Steps of 8 bits by which differences of logits may differ: ONNX Runtime may round a sum otherwise.
STEPS = 1


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    cygnet = str(Path(sys.argv[1]).resolve())
    with tempfile.TemporaryDirectory() as folder:
        tour = Path(folder) / "tour"
        subprocess.run([cygnet, "-q", "demo", "--output", str(tour)], check=True, stdout=subprocess.DEVNULL)
        images = np.frombuffer((tour / "data/digits-images.idx").read_bytes()[16:], np.uint8)
        labels = np.frombuffer((tour / "data/digits-labels.idx").read_bytes()[8:], np.uint8)
        digits = images.reshape(-1, 1, 1, 8, 8).astype(np.float32) / 255
        answers = {}
        for stage in ("model", "quantized"):
            session = onnxruntime.InferenceSession(
                str(tour / f"runs/{stage}/model.onnx"), providers=["CPUExecutionProvider"]
            )
            answers[stage] = np.concatenate([session.run(None, {"input": x})[0] for x in digits])
            right = (answers[stage].argmax(1) == labels).mean()
            print(f"{stage}: {100 * right:.2f} % of {len(labels)} digits right in ONNX Runtime")
            if right < 0.95:
                sys.exit(f"error: {stage} is not what was trained")
        # Probabilities to logits, up to a constant that a softmax does not know; the step is that of the last layer.
        model = tour / "runs/quantized/model.onnx"
        step = last_scale(model)
        far = 0.0
        for i in range(0, len(digits), len(digits) // ASKED):
            array = tour / "digit.npy"
            np.save(array, digits[i])
            told = subprocess.run(
                [cygnet, "run", str(tour / "build/digits.cygnet"), "--input", str(array), "--json", "-"],
                check=True,
                capture_output=True,
                text=True,
            )
            bundle = np.array(json.loads(told.stdout)["outputs"][0]["values"])
            logits = [np.log(np.maximum(p, 1e-30)) for p in (bundle, answers["quantized"][i])]
            difference = logits[0] - logits[1]
            far = max(far, np.abs(difference - difference[logits[0].argmax()]).max() / step)
        print(f"logits of bundle and ONNX Runtime differ by at most {far:.2f} steps of 8 bits")
        if far > STEPS + 0.01:
            sys.exit("error: ONNX Runtime and the bundle compute something else")


def last_scale(path: Path) -> float:
    """The scale of the last layer's values."""
    graph = onnx.load(path).graph
    last = [node for node in graph.node if node.op_type == "DequantizeLinear"][-1]
    scale = next(t for t in graph.initializer if t.name == last.input[1])
    return float(numpy_helper.to_array(scale))


if __name__ == "__main__":
    main()
