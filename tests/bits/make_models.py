#!/usr/bin/env python3
"""Makes the integer programs in `models/` whose steps are compared on every machine.

mobile.cyg   a random network with what mobile networks have: HardSwish, depthwise 3 x 3 and 5 x 5, squeeze and excite, a
             residual, Relu6, pools, a classifier; quantised on noise
wide.cyg     a random network of what is integer with 16-bit activations: depthwise and grouped convolutions, a gate, a
             residual, Relu6, pools, a concatenation, a classifier; quantised on noise
digits.cyg   the digit classifier of `tests/data`, quantised on its ten pictures

Needs numpy and onnx (tests/requirements.txt) and a built `cygnet`, which CYGNET names (default: target/release/cygnet).
After it, `digests.tsv` has to be recorded anew. Usage: tests/bits/make_models.py
"""

import os
import subprocess
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CYGNET = Path(os.environ.get("CYGNET") or ROOT / "target" / "release" / "cygnet")


class Net:
    """A graph under construction; every layer gives the name of its result."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def constant(self, values: np.ndarray) -> str:
        """A constant."""
        name = f"c{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(values.astype(np.float32), name))
        return name

    def node(self, op: str, inputs: list[str], **attributes: object) -> str:
        """A node with one result."""
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def conv(self, x: str, channels: tuple[int, int], k: int, stride: int = 1, group: int = 1) -> str:
        """A convolution of channels[0] to channels[1] with a bias."""
        depth = channels[0] // group
        w = self.random.normal(0, 1.6 / np.sqrt(depth * k * k), (channels[1], depth, k, k))
        inputs = [x, self.constant(w), self.constant(self.random.normal(0, 0.2, channels[1]))]
        pads = [k // 2] * 4
        return self.node("Conv", inputs, kernel_shape=[k, k], strides=[stride] * 2, pads=pads, group=group)


def mobile() -> onnx.ModelProto:
    """The random network: [1, 3, 26, 22] to [1, 11]."""
    net = Net(5)
    x = net.node("HardSwish", [net.conv("x", (3, 12), 3, 2)])
    y = net.node("HardSwish", [net.conv(x, (12, 12), 5, 1, 12)])
    s = net.node("GlobalAveragePool", [y])
    s = net.node("Relu", [net.conv(s, (12, 5), 1)])
    s = net.node("HardSigmoid", [net.conv(s, (5, 12), 1)], alpha=1 / 6, beta=0.5)
    x = net.node("Add", [x, net.node("Mul", [y, s])])
    y = net.conv(x, (12, 12), 1)
    x = net.node("Add", [x, y])
    x = net.node("HardSwish", [net.conv(x, (12, 28), 1)])
    x = net.conv(x, (28, 28), 3, 2, 28)
    x = net.node("Clip", [x, net.constant(np.array(0)), net.constant(np.array(6))])
    x = net.conv(x, (28, 20), 1)
    x = net.node("AveragePool", [x], kernel_shape=[2, 2], strides=[2, 2])
    x = net.node("HardSwish", [net.conv(x, (20, 36), 3)])
    x = net.node("Flatten", [net.node("GlobalAveragePool", [x])])
    w, b = net.random.normal(0, 0.3, (36, 11)), net.random.normal(0, 0.2, 11)
    net.nodes.append(helper.make_node("Gemm", [x, net.constant(w), net.constant(b)], ["y"]))
    value = helper.make_tensor_value_info
    inputs = [value("x", TensorProto.FLOAT, [1, 3, 26, 22])]
    graph = helper.make_graph(net.nodes, "mobile", inputs, [value("y", TensorProto.FLOAT, [1, 11])], net.weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def wide() -> onnx.ModelProto:
    """The network for 16-bit activations: [1, 3, 18, 14] to [1, 9]."""
    net = Net(7)
    x = net.node("Relu", [net.conv("x", (3, 20), 3, 2)])
    y = net.node("Relu", [net.conv(x, (20, 20), 5, 1, 20)])
    s = net.node("GlobalAveragePool", [y])
    s = net.node("Relu", [net.conv(s, (20, 7), 1)])
    s = net.node("Relu", [net.conv(s, (7, 20), 1)])
    y = net.conv(net.node("Mul", [y, s]), (20, 20), 1)
    x = net.node("Add", [x, y])
    y = net.conv(x, (20, 40), 3, 1, 2)
    y = net.node("Clip", [y, net.constant(np.array(0)), net.constant(np.array(6))])
    y = net.node("MaxPool", [y], kernel_shape=[2, 2], strides=[2, 2])
    x = net.node("AveragePool", [x], kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1])
    x = net.node("Concat", [x, net.conv(y, (40, 24), 1)], axis=1)
    x = net.node("Flatten", [net.node("Relu", [net.conv(x, (44, 12), 3, 2)])])
    w, b = net.random.normal(0, 0.3, (12 * 2 * 2, 9)), net.random.normal(0, 0.2, 9)
    net.nodes.append(helper.make_node("Gemm", [x, net.constant(w), net.constant(b)], ["y"]))
    value = helper.make_tensor_value_info
    inputs = [value("x", TensorProto.FLOAT, [1, 3, 18, 14])]
    graph = helper.make_graph(net.nodes, "wide", inputs, [value("y", TensorProto.FLOAT, [1, 9])], net.weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def program(model: Path, samples: np.ndarray, name: str, target: Path, folder: Path, precision: str = "int8") -> None:
    """Quantises a model on samples of its input and keeps the program."""
    calibration, bundle = folder / "samples.npz", folder / "out.cygnet"
    np.savez(calibration, **{name: samples})
    command = [CYGNET, "compile", model, "-o", bundle, "--quantize", precision, "--calibrate", calibration]
    subprocess.run([str(c) for c in command], check=True, stdout=subprocess.DEVNULL)
    with zipfile.ZipFile(bundle) as archive:
        target.write_bytes(archive.read("program.cyg"))
    print(f"{target.name}: {target.stat().st_size} bytes")


def main() -> None:
    """Writes the programs."""
    models = HERE / "models"
    models.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        onnx.save(mobile(), folder / "mobile.onnx")
        noise = np.random.default_rng(6).normal(0, 1, (32, 1, 3, 26, 22)).astype(np.float32)
        program(folder / "mobile.onnx", noise, "x", models / "mobile.cyg", folder)
        onnx.save(wide(), folder / "wide.onnx")
        noise = np.random.default_rng(8).normal(0, 1, (32, 1, 3, 18, 14)).astype(np.float32)
        program(folder / "wide.onnx", noise, "x", models / "wide.cyg", folder, "int8x16")
        pictures = np.load(ROOT / "tests" / "data" / "digits_input.npy").astype(np.float32) / 255
        pictures = pictures.reshape(-1, 1, 1, 28, 28)
        program(ROOT / "tests" / "data" / "digits.onnx", pictures, "image", models / "digits.cyg", folder)


if __name__ == "__main__":
    main()
