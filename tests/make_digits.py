#!/usr/bin/env python3
"""Trains `tests/data/digits.onnx`, the small model that first runs and microcontroller tests use.

A depthwise-separable net of some 4,700 weights that reads one digit of 28 x 28 grey values (0 black to 1 white ink) and
gives ten probabilities. Training data are digits rendered with the fonts of the DejaVu and Noto packages, moved,
turned and blurred at random; a fifth of the fonts is held out. Plain numpy, seeded; the outcome is committed, so this
script runs only when the model shall change. Usage: tests/make_digits.py
"""

import sys
from pathlib import Path

import numpy as np
import onnx
from numpy.lib.stride_tricks import sliding_window_view
from onnx import helper, numpy_helper
from PIL import Image, ImageDraw, ImageFilter, ImageFont

import cache

CHANNELS = (8, 16, 24)
FONTS = Path("/usr/share/fonts/truetype")


def fonts() -> list[Path]:
    """Latin text fonts whose digits look like ordinary digits."""
    found = sorted(FONTS.glob("dejavu/DejaVu*.ttf"))
    for family in ("NotoSans", "NotoSerif", "NotoSansMono", "NotoSansDisplay", "NotoSerifDisplay"):
        found += sorted(FONTS.glob(f"noto/{family}-*.ttf"))
    found = [path for path in found if "Math" not in path.name]
    if len(found) < 10:
        sys.exit("error: too few fonts; install fonts-dejavu-core fonts-dejavu-extra fonts-noto-core")
    return found


def render(digit: int, font: Path, random: np.random.Generator) -> np.ndarray:
    """One digit, 28 x 28, values 0 to 1."""
    size = int(random.integers(18, 26))
    picture = Image.new("L", (56, 56))
    pen = ImageDraw.Draw(picture)
    at = (28 + random.uniform(-3, 3), 28 + random.uniform(-3, 3))
    pen.text(at, str(digit), fill=255, font=ImageFont.truetype(str(font), size), anchor="mm")
    picture = picture.rotate(random.uniform(-14, 14), Image.Resampling.BILINEAR)
    picture = picture.filter(ImageFilter.GaussianBlur(random.uniform(0.2, 0.9)))
    ink = np.asarray(picture.crop((14, 14, 42, 42)), np.float32) / 255
    ink = ink * random.uniform(0.7, 1.0) + random.normal(0, 0.03, ink.shape)
    return np.clip(ink, 0, 1).astype(np.float32)


def data(paths: list[Path], count: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Pictures [count, 28, 28, 1] and their digits [count]."""
    labels = random.integers(0, 10, count)
    pictures = [render(int(d), paths[random.integers(len(paths))], random) for d in labels]
    return np.stack(pictures)[..., None], labels


def windows(x: np.ndarray) -> np.ndarray:
    """The 3 x 3 windows at stride 2 with padding 1 of x [n, h, w, c], as [n, h/2, w/2, c, 3, 3]."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return sliding_window_view(padded, (3, 3), (1, 2))[:, ::2, ::2]


def unwindow(grad: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The transpose of `windows`."""
    out = np.zeros((shape[0], shape[1] + 2, shape[2] + 2, shape[3]), np.float32)
    high, wide = grad.shape[1:3]
    for i in range(3):
        for j in range(3):
            out[:, i : i + 2 * high : 2, j : j + 2 * wide : 2] += grad[..., i, j]
    return out[:, 1:-1, 1:-1]


def initial(random: np.random.Generator) -> dict[str, np.ndarray]:
    """He-initialised weights: one full convolution, two depthwise + pointwise pairs, a linear layer."""
    first, second, third = CHANNELS

    def weight(fan: int, *shape: int) -> np.ndarray:
        return (random.standard_normal(shape) * np.sqrt(2 / fan)).astype(np.float32)

    return {
        "w1": weight(9, 9, first),
        "b1": np.zeros(first, np.float32),
        "d2": weight(9, first, 3, 3),
        "w2": weight(first, first, second),
        "b2": np.zeros(second, np.float32),
        "d3": weight(9, second, 3, 3),
        "w3": weight(second, second, third),
        "b3": np.zeros(third, np.float32),
        "w4": weight(2 * third * 16, third * 16, 10),
        "b4": np.zeros(10, np.float32),
    }


def forward(p: dict[str, np.ndarray], x: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Logits [n, 10] and what the backward pass needs."""
    n = len(x)
    v1 = windows(x)
    a1 = np.maximum(v1.reshape(n, 14, 14, 9) @ p["w1"] + p["b1"], 0)
    v2 = windows(a1)
    m2 = np.einsum("nhwcij,cij->nhwc", v2, p["d2"])
    a2 = np.maximum(m2 @ p["w2"] + p["b2"], 0)
    v3 = windows(np.pad(a2, ((0, 0), (0, 1), (0, 1), (0, 0))))
    m3 = np.einsum("nhwcij,cij->nhwc", v3, p["d3"])
    a3 = np.maximum(m3 @ p["w3"] + p["b3"], 0)
    # The ONNX graph flattens [n, c, h, w].
    flat = a3.transpose(0, 3, 1, 2).reshape(n, -1)
    return flat @ p["w4"] + p["b4"], [v1, a1, v2, m2, a2, v3, m3, a3, flat]


def gradients(p: dict[str, np.ndarray], x: np.ndarray, labels: np.ndarray) -> tuple[float, dict[str, np.ndarray]]:
    """Cross-entropy and its gradient."""
    n = len(x)
    logits, (v1, a1, v2, m2, a2, v3, m3, a3, flat) = forward(p, x)
    logits = logits - logits.max(1, keepdims=True)
    probability = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    loss = -np.log(probability[np.arange(n), labels] + 1e-9).mean()
    g = probability
    g[np.arange(n), labels] -= 1
    g /= n
    out = {"w4": flat.T @ g, "b4": g.sum(0)}
    side = a3.shape[1]
    g = (g @ p["w4"].T).reshape(n, CHANNELS[2], side, side).transpose(0, 2, 3, 1) * (a3 > 0)
    out["w3"] = np.tensordot(m3, g, ([0, 1, 2], [0, 1, 2]))
    out["b3"] = g.sum((0, 1, 2))
    g = g @ p["w3"].T
    out["d3"] = np.einsum("nhwcij,nhwc->cij", v3, g)
    g = unwindow(g[..., None, None] * p["d3"], (n, 8, 8, CHANNELS[1]))[:, :7, :7] * (a2 > 0)
    out["w2"] = np.tensordot(m2, g, ([0, 1, 2], [0, 1, 2]))
    out["b2"] = g.sum((0, 1, 2))
    g = g @ p["w2"].T
    out["d2"] = np.einsum("nhwcij,nhwc->cij", v2, g)
    g = unwindow(g[..., None, None] * p["d2"], a1.shape) * (a1 > 0)
    out["w1"] = np.tensordot(v1.reshape(n, 14, 14, 9), g, ([0, 1, 2], [0, 1, 2]))
    out["b1"] = g.sum((0, 1, 2))
    return float(loss), out


def train(paths: list[Path], random: np.random.Generator) -> dict[str, np.ndarray]:
    """Adam over a fixed set of renderings (Kingma & Ba 2015)."""
    x, labels = data(paths, 12000, random)
    p = initial(random)
    mean = {k: np.zeros_like(v) for k, v in p.items()}
    square = {k: np.zeros_like(v) for k, v in p.items()}
    step, epochs = 0, 14
    for epoch in range(epochs):
        order = random.permutation(len(x))
        total = 0.0
        for start in range(0, len(x), 100):
            batch = order[start : start + 100]
            loss, grad = gradients(p, x[batch], labels[batch])
            total += loss * len(batch)
            step += 1
            rate = 3e-3 * 0.5 * (1 + np.cos(np.pi * step / (epochs * len(x) / 100)))
            for k, value in grad.items():
                mean[k] = 0.9 * mean[k] + 0.1 * value
                square[k] = 0.999 * square[k] + 0.001 * value**2
                update = mean[k] / (1 - 0.9**step) / (np.sqrt(square[k] / (1 - 0.999**step)) + 1e-8)
                p[k] = (p[k] - rate * update).astype(np.float32)
        print(f"epoch {epoch + 1}: loss {total / len(x):.4f}", flush=True)
    return p


def export(p: dict[str, np.ndarray], path: Path) -> None:
    """Writes the net as ONNX."""
    first, second, third = CHANNELS
    weights = {
        "conv1.weight": p["w1"].T.reshape(first, 1, 3, 3),
        "conv1.bias": p["b1"],
        "depthwise2.weight": p["d2"][:, None],
        "conv2.weight": p["w2"].T[:, :, None, None],
        "conv2.bias": p["b2"],
        "depthwise3.weight": p["d3"][:, None],
        "conv3.weight": p["w3"].T[:, :, None, None],
        "conv3.bias": p["b3"],
        "classifier.weight": p["w4"].T,
        "classifier.bias": p["b4"],
    }
    stride = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
    point = {"kernel_shape": [1, 1]}

    def node(kind: str, inputs: list[str], output: str, **attributes: object) -> onnx.NodeProto:
        return helper.make_node(kind, inputs, [output], name=output, **attributes)

    nodes = [
        node("Conv", ["image", "conv1.weight", "conv1.bias"], "conv1", **stride),
        node("Relu", ["conv1"], "relu1"),
        node("Conv", ["relu1", "depthwise2.weight"], "depthwise2", group=first, **stride),
        node("Conv", ["depthwise2", "conv2.weight", "conv2.bias"], "conv2", **point),
        node("Relu", ["conv2"], "relu2"),
        node("Conv", ["relu2", "depthwise3.weight"], "depthwise3", group=second, **stride),
        node("Conv", ["depthwise3", "conv3.weight", "conv3.bias"], "conv3", **point),
        node("Relu", ["conv3"], "relu3"),
        node("Flatten", ["relu3"], "flat", axis=1),
        node("Gemm", ["flat", "classifier.weight", "classifier.bias"], "logits", transB=1),
        node("Softmax", ["logits"], "probabilities", axis=1),
    ]
    image = helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, [1, 1, 28, 28])
    result = helper.make_tensor_value_info("probabilities", onnx.TensorProto.FLOAT, [1, 10])
    initializers = [numpy_helper.from_array(np.array(v, np.float32, order="C"), k) for k, v in weights.items()]
    graph = helper.make_graph(nodes, "digits", [image], [result], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def main() -> None:
    """Trains, reports the accuracy on held-out fonts, writes the model and ten pictures of held-out fonts."""
    random = np.random.default_rng(7)
    paths = fonts()
    held_out = paths[::5]
    p = train([path for path in paths if path not in held_out], random)
    x, labels = data(held_out, 2000, random)
    accuracy = float((forward(p, x)[0].argmax(1) == labels).mean())
    print(f"accuracy on {len(held_out)} held-out fonts: {accuracy:.4f}")
    if accuracy < 0.95:
        sys.exit("error: the model is too poor to ship")
    folder = cache.REPOSITORY / "tests" / "data"
    folder.mkdir(exist_ok=True)
    export(p, folder / "digits.onnx")
    for digit in range(10):
        ink = render(digit, held_out[digit % len(held_out)], random)
        Image.fromarray((ink * 255).round().astype(np.uint8)).save(folder / f"digit_{digit}.png", optimize=True)


if __name__ == "__main__":
    main()
