"""The models of the comparison, with constant input shapes, so that every engine knows what it runs.

Published architectures with seeded weights where only the shapes matter, real files where the cache has them. Batch
normalisation is folded, as exporters leave it. Quantised models are in ONNX Runtime's QDQ format.
"""

import contextlib
import hashlib
import json
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

import cache
import make_models
from make_models import Graph, floats

Inputs = dict[str, np.ndarray]


class Missing(Exception):
    """Why a model cannot be had."""


@dataclass(frozen=True)
class Model:
    """How to make a model and what to feed it."""

    title: str
    make: Callable[[Path], None]
    inputs: Callable[[np.random.Generator], Inputs]
    # Inputs that become constants of the model.
    constants: Callable[[], Inputs] = dict
    # Whether conditions and shapes, constant once the inputs are, are folded beforehand: most peers refuse `If`.
    fold: bool = False
    # `float32` or `int8`.
    precision: str = "float32"


def normal(name: str, *shape: int) -> Callable[[np.random.Generator], Inputs]:
    """A float input with standard normal values."""
    return lambda random: {name: random.standard_normal(shape).astype(np.float32)}


# Layers.


def activate(g: Graph, x: str, kind: str | None) -> str:
    """An activation as PyTorch's exporter writes it."""
    match kind:
        case None:
            return x
        case "relu":
            return g.node("Relu", [x])
        case "relu6":
            return g.node("Clip", [x, g.scalar(0), g.scalar(6)])
        case "hardswish":
            return g.node("HardSwish", [x])
        case "hardsigmoid":
            return g.node("HardSigmoid", [x], alpha=1 / 6, beta=0.5)
        case "silu":
            return g.node("Mul", [x, g.node("Sigmoid", [x])])
    raise ValueError(kind)


def conv(
    g: Graph,
    x: str,
    cin: int,
    cout: int,
    kernel: int | tuple[int, int],
    stride: int | tuple[int, int] = 1,
    group: int = 1,
    act: str | None = None,
    pads: list[int] | None = None,
    gain: float = 2.0,
) -> str:
    """A convolution with seeded weights of variance `gain` / fan-in, and its activation."""
    kh, kw = (kernel, kernel) if isinstance(kernel, int) else kernel
    strides = [stride, stride] if isinstance(stride, int) else list(stride)
    scale = np.sqrt(gain / (cin // group * kh * kw))
    weight = (g.random.standard_normal((cout, cin // group, kh, kw)) * scale).astype(np.float32)
    bias = (g.random.standard_normal(cout) * 0.05).astype(np.float32)
    pads = pads or [kh // 2, kw // 2, kh // 2, kw // 2]
    names = [x, g.constant(weight), g.constant(bias, "b")]
    y = g.node("Conv", names, kernel_shape=[kh, kw], strides=strides, pads=pads, group=group)
    return activate(g, y, act)


def linear(g: Graph, x: str, cin: int, cout: int, act: str | None = None) -> str:
    """A linear layer on [1, cin]."""
    weight = (g.random.standard_normal((cout, cin)) * np.sqrt(1 / cin)).astype(np.float32)
    y = g.node("Gemm", [x, g.constant(weight), g.constant(np.zeros(cout, np.float32), "b")], transB=1)
    return activate(g, y, act)


def pooled(g: Graph, x: str) -> str:
    """Mean over the picture: [1, C]."""
    return g.node("Flatten", [g.node("GlobalAveragePool", [x])], axis=1)


def max_pool(g: Graph, x: str, kernel: int, stride: int, pad: int = 0, ceil: int = 0) -> str:
    """Max pooling."""
    more = {"ceil_mode": 1} if ceil else {}
    return g.node("MaxPool", [x], kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4, **more)


def write(g: Graph, path: Path, shape: list[int], outputs: list[tuple[str, list[int]]], opset: int = 14) -> None:
    """Writes a model with the one input `input`."""
    g.save(path, [floats("input", shape)], [floats(name, shape) for name, shape in outputs], opset)


# Architectures.


def mobilenetv3_small(path: Path) -> None:
    """MobileNetV3-small 1.0 (Howard et al. 2019, table 2)."""
    g = Graph(11)
    x = conv(g, "input", 3, 16, 3, 2, act="hardswish")
    channels = 16
    table = [
        (3, 16, 16, True, "relu", 2),
        (3, 72, 24, False, "relu", 2),
        (3, 88, 24, False, "relu", 1),
        (5, 96, 40, True, "hardswish", 2),
        (5, 240, 40, True, "hardswish", 1),
        (5, 240, 40, True, "hardswish", 1),
        (5, 120, 48, True, "hardswish", 1),
        (5, 144, 48, True, "hardswish", 1),
        (5, 288, 96, True, "hardswish", 2),
        (5, 576, 96, True, "hardswish", 1),
        (5, 576, 96, True, "hardswish", 1),
    ]
    for kernel, hidden, width, squeeze, act, stride in table:
        y = x if hidden == channels else conv(g, x, channels, hidden, 1, act=act)
        y = conv(g, y, hidden, hidden, kernel, stride, group=hidden, act=act)
        if squeeze:
            narrow = max(8, (hidden // 4 + 4) // 8 * 8)
            s = conv(g, g.node("GlobalAveragePool", [y]), hidden, narrow, 1, act="relu")
            y = g.node("Mul", [conv(g, s, narrow, hidden, 1, act="hardsigmoid"), y])
        y = conv(g, y, hidden, width, 1, gain=1)
        x = g.node("Add", [x, y]) if stride == 1 and channels == width else y
        channels = width
    x = pooled(g, conv(g, x, 96, 576, 1, act="hardswish"))
    x = linear(g, linear(g, x, 576, 1024, "hardswish"), 1024, 1000)
    write(g, path, [1, 3, 224, 224], [(x, [1, 1000])])


def efficientnet_lite0(path: Path) -> None:
    """EfficientNet-Lite0 (TensorFlow's variant of Tan and Le 2019 without squeeze-excite; ReLU6, fixed stem and head)."""
    g = Graph(12)
    x = conv(g, "input", 3, 32, 3, 2, act="relu6")
    channels = 32
    table = [
        (1, 3, 1, 16, 1),
        (6, 3, 2, 24, 2),
        (6, 5, 2, 40, 2),
        (6, 3, 2, 80, 3),
        (6, 5, 1, 112, 3),
        (6, 5, 2, 192, 4),
        (6, 3, 1, 320, 1),
    ]
    for expansion, kernel, first_stride, width, repeats in table:
        for i in range(repeats):
            stride = first_stride if i == 0 else 1
            hidden = channels * expansion
            y = x if expansion == 1 else conv(g, x, channels, hidden, 1, act="relu6")
            y = conv(g, y, hidden, hidden, kernel, stride, group=hidden, act="relu6")
            y = conv(g, y, hidden, width, 1, gain=1)
            x = g.node("Add", [x, y]) if stride == 1 and channels == width else y
            channels = width
    x = linear(g, pooled(g, conv(g, x, 320, 1280, 1, act="relu6")), 1280, 1000)
    write(g, path, [1, 3, 224, 224], [(x, [1, 1000])])


def resnet50(path: Path) -> None:
    """ResNet-50 (He et al. 2016, table 1), stride in the 3 x 3 convolution."""
    g = Graph(13)
    x = max_pool(g, conv(g, "input", 3, 64, 7, 2, act="relu"), 3, 2, 1)
    channels = 64
    for width, first_stride, repeats in [(64, 1, 3), (128, 2, 4), (256, 2, 6), (512, 2, 3)]:
        for i in range(repeats):
            stride = first_stride if i == 0 else 1
            y = conv(g, x, channels, width, 1, act="relu")
            y = conv(g, y, width, width, 3, stride, act="relu")
            y = conv(g, y, width, 4 * width, 1, gain=0.5)
            if i == 0:
                x = conv(g, x, channels, 4 * width, 1, stride, gain=1)
            x = g.node("Relu", [g.node("Add", [y, x])])
            channels = 4 * width
    write(g, path, [1, 3, 224, 224], [(linear(g, pooled(g, x), channels, 1000), [1, 1000])])


def squeezenet(path: Path) -> None:
    """SqueezeNet 1.1 (Iandola et al. 2016 and its later release)."""
    g = Graph(14)
    x = conv(g, "input", 3, 64, 3, 2, act="relu", pads=[0, 0, 0, 0])
    channels = 64
    for narrow, wide, pool in [
        (16, 64, True),
        (16, 64, False),
        (32, 128, True),
        (32, 128, False),
        (48, 192, True),
        (48, 192, False),
        (64, 256, False),
        (64, 256, False),
    ]:
        if pool:
            x = max_pool(g, x, 3, 2)
        s = conv(g, x, channels, narrow, 1, act="relu")
        x = g.node("Concat", [conv(g, s, narrow, wide, 1, act="relu"), conv(g, s, narrow, wide, 3, act="relu")], axis=1)
        channels = 2 * wide
    x = pooled(g, conv(g, x, channels, 1000, 1, act="relu"))
    write(g, path, [1, 3, 224, 224], [(x, [1, 1000])])


def shufflenetv2(path: Path) -> None:
    """ShuffleNetV2 1.0 (Ma et al. 2018, table 5): the shuffle is reshape, transpose, reshape."""
    g = Graph(15)
    x = max_pool(g, conv(g, "input", 3, 24, 3, 2, act="relu"), 3, 2, 1)
    channels, size = 24, 56

    def right_branch(x: str, cin: int, half: int, stride: int) -> str:
        y = conv(g, x, cin, half, 1, act="relu")
        y = conv(g, y, half, half, 3, stride, group=half)
        return conv(g, y, half, half, 1, act="relu")

    for width, repeats in [(116, 4), (232, 8), (464, 4)]:
        half = width // 2
        for i in range(repeats):
            if i == 0:
                left = conv(g, conv(g, x, channels, channels, 3, 2, group=channels), channels, half, 1, act="relu")
                right = right_branch(x, channels, half, 2)
                size //= 2
            else:
                left, right = g.fresh("left"), g.fresh("right")
                split = helper.make_node("Split", [x, g.ints([half, half])], [left, right], name=g.fresh("split"), axis=1)
                g.nodes.append(split)
                right = right_branch(right, half, half, 1)
            x = g.node("Concat", [left, right], axis=1)
            x = g.node("Reshape", [x, g.ints([1, 2, half, size, size])])
            x = g.node("Transpose", [x], perm=[0, 2, 1, 3, 4])
            x = g.node("Reshape", [x, g.ints([1, width, size, size])])
            channels = width
    x = linear(g, pooled(g, conv(g, x, 464, 1024, 1, act="relu")), 1024, 1000)
    write(g, path, [1, 3, 224, 224], [(x, [1, 1000])])


def ds_cnn(path: Path) -> None:
    """DS-CNN small (Zhang et al. 2017): 49 frames of 10 cepstral coefficients, 12 words."""
    g = Graph(16)
    x = conv(g, "input", 1, 64, (10, 4), 2, act="relu", pads=[4, 1, 5, 1])
    for _ in range(4):
        x = conv(g, x, 64, 64, 3, group=64, act="relu")
        x = conv(g, x, 64, 64, 1, act="relu")
    x = g.node("Softmax", [linear(g, pooled(g, x), 64, 12)], axis=1)
    write(g, path, [1, 1, 49, 10], [(x, [1, 12])])


def detector(path: Path) -> None:
    """A detector of the shape of YOLOv8n at 320 x 320: C2f, SPPF, upsample and concat; the raw maps of three strides."""
    g = Graph(17)

    def layer(x: str, cin: int, cout: int, kernel: int = 3, stride: int = 1) -> str:
        return conv(g, x, cin, cout, kernel, stride, act="silu")

    def halves(x: str, half: int) -> tuple[str, str]:
        a, b = g.fresh("half"), g.fresh("half")
        g.nodes.append(helper.make_node("Split", [x, g.ints([half, half])], [a, b], name=g.fresh("split"), axis=1))
        return a, b

    def c2f(x: str, cin: int, cout: int, repeats: int, shortcut: bool) -> str:
        half = cout // 2
        parts = list(halves(layer(x, cin, cout, 1), half))
        for _ in range(repeats):
            y = layer(layer(parts[-1], half, half), half, half)
            parts.append(g.node("Add", [parts[-1], y]) if shortcut else y)
        return layer(g.node("Concat", parts, axis=1), (2 + repeats) * half, cout, 1)

    def up(x: str) -> str:
        scales = g.constant(np.array([1, 1, 2, 2], np.float32), "scales")
        how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return g.node("Resize", [x, "", scales], **how)

    def join(*parts: str) -> str:
        return g.node("Concat", list(parts), axis=1)

    x = layer(layer("input", 3, 16, stride=2), 16, 32, stride=2)
    x = layer(c2f(x, 32, 32, 1, True), 32, 64, stride=2)
    p3 = c2f(x, 64, 64, 2, True)
    p4 = c2f(layer(p3, 64, 128, stride=2), 128, 128, 2, True)
    x = c2f(layer(p4, 128, 256, stride=2), 256, 256, 1, True)
    x = layer(x, 256, 128, 1)
    pools = [x]
    for _ in range(3):
        pools.append(max_pool(g, pools[-1], 5, 1, 2))
    p5 = layer(join(*pools), 512, 256, 1)
    n4 = c2f(join(up(p5), p4), 384, 128, 1, False)
    n3 = c2f(join(up(n4), p3), 192, 64, 1, False)
    m4 = c2f(join(layer(n3, 64, 64, stride=2), n4), 192, 128, 1, False)
    m5 = c2f(join(layer(m4, 128, 128, stride=2), p5), 384, 256, 1, False)
    outputs = []
    for x, channels, size in [(n3, 64, 40), (m4, 128, 20), (m5, 256, 10)]:
        box = conv(g, layer(layer(x, channels, 64), 64, 64), 64, 64, 1)
        kind = conv(g, layer(layer(x, channels, 80), 80, 80), 80, 80, 1)
        outputs.append((join(box, kind), [1, 144, size, size]))
    write(g, path, [1, 3, 320, 320], outputs)


def cached(*parts: str) -> Callable[[Path], None]:
    """A model of the test data."""

    def make(path: Path) -> None:
        source = cache.root().joinpath(*parts)
        if not source.exists():
            raise Missing(f"{'/'.join(parts)} is not in the cache: ./test.sh --data fetches it")
        path.write_bytes(source.read_bytes())

    return make


def sentence(random: np.random.Generator) -> Inputs:
    """128 word pieces, no padding."""
    ids = random.integers(1000, 30000, (1, 128))
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}


def voice(random: np.random.Generator) -> Inputs:
    """A frame of noise, with its 64 samples of context, and a state."""
    return {
        "input": (random.standard_normal((1, 576)) * 0.1).astype(np.float32),
        "state": (random.standard_normal((2, 1, 128)) * 0.1).astype(np.float32),
    }


def page(name: str, height: int, width: int) -> Callable[[np.random.Generator], Inputs]:
    """Dark strokes on light paper, normalised to -1..1: a text network sees something of its kind."""

    def make(random: np.random.Generator) -> Inputs:
        picture = np.full((3, height, width), 0.9)
        for top in range(8, height - 24, 32):
            for left in range(8, width - 12, 12):
                if random.random() < 0.8:
                    h, w = random.integers(2, 24), random.integers(2, 10)
                    picture[:, top : top + h, left : left + 2] = -0.8
                    picture[:, top + h // 2 : top + h // 2 + 2, left : left + w] = -0.8
        picture += random.standard_normal(picture.shape) * 0.02
        return {name: picture[None].astype(np.float32)}

    return make


PICTURE = normal("input", 1, 3, 224, 224)
MODELS = {
    "mobilenetv2": Model("MobileNetV2 1.0, 224 x 224", make_models.mobilenetv2, PICTURE),
    "mobilenetv3_small": Model("MobileNetV3-small, 224 x 224", mobilenetv3_small, PICTURE),
    "efficientnet_lite0": Model("EfficientNet-Lite0, 224 x 224", efficientnet_lite0, PICTURE),
    "resnet18": Model("ResNet-18, 224 x 224", make_models.resnet18, PICTURE),
    "resnet50": Model("ResNet-50, 224 x 224", resnet50, PICTURE),
    "squeezenet": Model("SqueezeNet 1.1, 224 x 224", squeezenet, PICTURE),
    "shufflenetv2": Model("ShuffleNetV2 1.0, 224 x 224", shufflenetv2, PICTURE),
    "detector": Model("YOLOv8n-shaped detector, 320 x 320, raw maps", detector, normal("input", 1, 3, 320, 320)),
    "ppocr_det": Model("PP-OCRv4 detection, 640 x 640", cached("ppocr", "det.onnx"), page("x", 640, 640)),
    "ppocr_rec": Model("PP-OCRv4 recognition, 48 x 320", cached("ppocr", "rec.onnx"), page("x", 48, 320)),
    "minilm": Model("all-MiniLM-L6-v2, 128 tokens", cached("made", "minilm.onnx"), sentence),
    "silero_vad": Model(
        "silero-vad, a frame of 32 ms",
        cached("silero", "silero_vad_16k_op15.onnx"),
        voice,
        lambda: {"sr": np.array(16000, np.int64)},
        fold=True,
    ),
    "ds_cnn": Model("DS-CNN keyword spotting, 49 x 10", ds_cnn, normal("input", 1, 1, 49, 10)),
    "mobilenetv2_int8": Model(
        "MobileNetV2 1.0, 224 x 224, int8", cached("made", "mobilenetv2_int8.onnx"), PICTURE, precision="int8"
    ),
    "resnet18_int8": Model("ResNet-18, 224 x 224, int8", cached("made", "resnet18_int8.onnx"), PICTURE, precision="int8"),
}


def fix_shapes(path: Path, values: Inputs, constants: Inputs) -> None:
    """Makes the input shapes those of `values`, and inputs in `constants` initialisers; drops what else shapes say."""
    model = onnx.load(path)
    graph = model.graph
    kept = [i for i in graph.input if i.name in values]
    if len(kept) != len(values):
        raise Missing(f"its inputs are {', '.join(i.name for i in graph.input)}")
    for entry in kept:
        shape = entry.type.tensor_type.shape
        shape.ClearField("dim")
        for size in values[entry.name].shape:
            shape.dim.add().dim_value = size
    graph.ClearField("input")
    graph.input.extend(kept)
    for name, value in constants.items():
        graph.initializer.append(numpy_helper.from_array(value, name))
    graph.ClearField("value_info")
    onnx.save(model, path)


def folded(source: Path, out: Path) -> Path:
    """The model after ONNX Runtime's basic level: constants folded, branches resolved, standard operators only."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(out)
    onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
    return out


@contextlib.contextmanager
def locked(root: Path):
    """Keeps other runs with the same cache from writing meanwhile."""
    root.mkdir(parents=True, exist_ok=True)
    with open(root / "lock", "w") as file:
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        except ImportError:
            pass
        yield


def prepare(name: str, root: Path) -> Path:
    """The folder of a model: model.onnx, its inputs, what ONNX Runtime answers in floats, and spec.json about them."""
    folder = root / name
    path, spec = folder / "model.onnx", folder / "spec.json"
    digest = hashlib.sha256()
    for source in (__file__, make_models.__file__):
        digest.update(Path(source).read_bytes())
    if spec.exists() and json.loads(spec.read_text()).get("made_by") == digest.hexdigest():
        return folder
    import onnxruntime

    print(f"bench: making {name}", file=sys.stderr)
    model = MODELS[name]
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / "made.onnx"
    model.make(made)
    values = model.inputs(np.random.default_rng(zlib.crc32(name.encode())))
    fix_shapes(made, values, model.constants())
    if model.fold:
        folded(made, folder / "folded.onnx").replace(made)
    options = onnxruntime.SessionOptions()
    if model.precision == "int8":
        # What the graph says, in floats: an answer that favours no engine's integers.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(made), options, providers=["CPUExecutionProvider"])
    names = [i.name for i in session.get_inputs()]
    answers = session.run(None, values)
    # The shapes of the outputs are known now.
    proto = onnx.load(made)
    for entry, answer in zip(proto.graph.output, answers):
        entry.type.tensor_type.shape.ClearField("dim")
        for size in answer.shape:
            entry.type.tensor_type.shape.dim.add().dim_value = size
    onnx.save(proto, made)
    # What was converted from the same bytes stays.
    if path.exists() and path.read_bytes() == made.read_bytes():
        made.unlink()
    else:
        made.replace(path)
    description = {"made_by": digest.hexdigest(), "precision": model.precision, "onnx": str(path)}
    description |= {"inputs": [], "outputs": []}
    roles = {
        "input": [(n, values[n]) for n in names],
        "output": list(zip((o.name for o in session.get_outputs()), answers)),
    }
    for role, entries in roles.items():
        for i, (entry, value) in enumerate(entries):
            file = folder / f"{role}_{i}.bin"
            value.tofile(file)
            description[f"{role}s"].append(
                {"name": entry, "shape": list(value.shape), "dtype": value.dtype.name, "file": str(file)}
            )
    spec.write_text(json.dumps(description, indent=1) + "\n")
    return folder
