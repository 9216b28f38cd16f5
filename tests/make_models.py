#!/usr/bin/env python3
"""Writes the test models that no package ships as ONNX, into `made/` of the cache folder.

mobilenetv2.onnx, resnet18.onnx   the published architectures at 224 x 224 with seeded weights (He initialisation)
mobilenetv2_int8.onnx, resnet18_int8.onnx
                                  the same, quantised by ONNX Runtime: QuantizeLinear and DequantizeLinear around every
                                  operator, activations u8, weights i8 a channel
minilm.onnx                       all-MiniLM-L6-v2, from its safetensors: input_ids, attention_mask, token_type_ids
                                  (int64 [1, sequence]) -> last_hidden_state (float [1, sequence, 384])
seeded_NAME.onnx                  light_NAME of the onnx package with seeded weights in place of its constant ones, and
                                  without the final softmax: all weights alike hide most mistakes

Usage: tests/make_models.py
"""

import json
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import cache


# The light models of modest size whose activations stay bounded with random weights.
SEEDED = ("densenet121", "inception_v1", "inception_v2", "shufflenet", "squeezenet")


class Graph:
    """An ONNX graph under construction: nodes and initialisers in order of creation."""

    def __init__(self, seed: int = 0) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.random = np.random.default_rng(seed)
        self.count = 0

    def fresh(self, prefix: str) -> str:
        """A name that no other value of the graph has."""
        self.count += 1
        return f"{prefix}_{self.count}"

    def constant(self, value: np.ndarray, prefix: str = "w") -> str:
        """Adds an initialiser and returns its name."""
        name = self.fresh(prefix)
        self.initializers.append(numpy_helper.from_array(np.array(value, order="C"), name))
        return name

    def scalar(self, value: float) -> str:
        """Adds a float scalar."""
        return self.constant(np.array(value, np.float32), "c")

    def ints(self, values: list[int]) -> str:
        """Adds an int64 vector (shapes, axes)."""
        return self.constant(np.array(values, np.int64), "i")

    def node(self, kind: str, inputs: list[str], output: str | None = None, **attributes: object) -> str:
        """Adds a node with one output and returns the output's name."""
        output = output or self.fresh(kind.lower())
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def save(
        self,
        path: Path,
        inputs: list[onnx.ValueInfoProto],
        outputs: list[onnx.ValueInfoProto],
        opset: int,
    ) -> None:
        """Checks the model and writes it."""
        graph = helper.make_graph(self.nodes, path.stem, inputs, outputs, self.initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        onnx.checker.check_model(model)
        path.parent.mkdir(parents=True, exist_ok=True)
        onnx.save(model, path)


def floats(name: str, shape: list[int | str]) -> onnx.ValueInfoProto:
    """A float graph input or output."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def conv(g: Graph, x: str, cin: int, cout: int, kernel: int, stride: int = 1, group: int = 1, act: str = "relu6") -> str:
    """A convolution with He-initialised weights and 'same'-like padding, and its activation."""
    fan = cin // group * kernel * kernel
    weight = (g.random.standard_normal((cout, cin // group, kernel, kernel)) * np.sqrt(2 / fan)).astype(np.float32)
    bias = (g.random.standard_normal(cout) * 0.05).astype(np.float32)
    y = g.node(
        "Conv",
        [x, g.constant(weight), g.constant(bias, "b")],
        kernel_shape=[kernel, kernel],
        strides=[stride, stride],
        pads=[kernel // 2] * 4,
        group=group,
    )
    if act == "relu6":
        return g.node("Clip", [y, g.scalar(0), g.scalar(6)])
    return g.node("Relu", [y]) if act == "relu" else y


def classifier(g: Graph, x: str, channels: int, path: Path) -> None:
    """Global pooling and a linear layer to 1,000 classes; writes the model."""
    x = g.node("Flatten", [g.node("GlobalAveragePool", [x])], axis=1)
    weight = (g.random.standard_normal((1000, channels)) * 0.02).astype(np.float32)
    x = g.node("Gemm", [x, g.constant(weight), g.constant(np.zeros(1000, np.float32), "b")], transB=1)
    g.save(path, [floats("input", [1, 3, 224, 224])], [floats(x, [1, 1000])], 13)


def mobilenetv2(path: Path) -> None:
    """MobileNetV2 1.0 (Sandler et al. 2018, table 2)."""
    g = Graph(1)
    x = conv(g, "input", 3, 32, 3, 2)
    channels = 32
    table = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
    for expansion, width, repeats, first_stride in table:
        for i in range(repeats):
            stride = first_stride if i == 0 else 1
            hidden = channels * expansion
            y = x
            if expansion != 1:
                y = conv(g, y, channels, hidden, 1)
            y = conv(g, y, hidden, hidden, 3, stride, group=hidden)
            y = conv(g, y, hidden, width, 1, act="none")
            x = g.node("Add", [x, y]) if stride == 1 and channels == width else y
            channels = width
    classifier(g, conv(g, x, 320, 1280, 1), 1280, path)


def resnet18(path: Path) -> None:
    """ResNet-18 (He et al. 2016, table 1), batch normalisation folded."""
    g = Graph(2)
    x = conv(g, "input", 3, 64, 7, 2, act="relu")
    x = g.node("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    channels = 64
    for width, first_stride in [(64, 1), (128, 2), (256, 2), (512, 2)]:
        for i in range(2):
            stride = first_stride if i == 0 else 1
            y = conv(g, x, channels, width, 3, stride, act="relu")
            y = conv(g, y, width, width, 3, act="none")
            if stride != 1 or channels != width:
                x = conv(g, x, channels, width, 1, stride, act="none")
            x = g.node("Relu", [g.node("Add", [y, x])])
            channels = width
    classifier(g, x, 512, path)


def safetensors(path: Path) -> dict[str, np.ndarray]:
    """Reads the float32 tensors of a safetensors file."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            begin, end = entry["data_offsets"]
            raw = data[8 + size + begin : 8 + size + end]
            tensors[name] = np.frombuffer(raw, "<f4").reshape(entry["shape"])
    return tensors


def minilm(folder: Path, path: Path) -> None:
    """The BERT encoder of MiniLM as common exporters write it: layer norm and GELU in primitive operators."""
    config = json.loads((folder / "config.json").read_text())
    weights = safetensors(folder / "model.safetensors")
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    size = hidden // heads
    g = Graph()

    def linear(x: str, name: str) -> str:
        y = g.node("MatMul", [x, g.constant(weights[f"{name}.weight"].T)])
        return g.node("Add", [y, g.constant(weights[f"{name}.bias"], "b")])

    def layer_norm(x: str, name: str, output: str | None = None) -> str:
        centred = g.node("Sub", [x, g.node("ReduceMean", [x], axes=[-1])])
        variance = g.node("ReduceMean", [g.node("Pow", [centred, g.scalar(2)])], axes=[-1])
        deviation = g.node("Sqrt", [g.node("Add", [variance, g.scalar(config["layer_norm_eps"])])])
        y = g.node("Mul", [g.node("Div", [centred, deviation]), g.constant(weights[f"{name}.weight"])])
        return g.node("Add", [y, g.constant(weights[f"{name}.bias"], "b")], output)

    def split_heads(x: str, order: list[int]) -> str:
        return g.node("Transpose", [g.node("Reshape", [x, g.ints([0, 0, heads, size])])], perm=order)

    # Positions 0..sequence: a slice of the position table up to the length of input_ids.
    length = g.node("Gather", [g.node("Shape", ["input_ids"]), g.ints([1])], axis=0)
    table = g.constant(weights["embeddings.position_embeddings.weight"])
    position = g.node("Unsqueeze", [g.node("Slice", [table, g.ints([0]), length, g.ints([0])]), g.ints([0])])
    word = g.node("Gather", [g.constant(weights["embeddings.word_embeddings.weight"]), "input_ids"])
    kind = g.node("Gather", [g.constant(weights["embeddings.token_type_embeddings.weight"]), "token_type_ids"])
    x = g.node("Add", [g.node("Add", [word, kind]), position])
    x = layer_norm(x, "embeddings.LayerNorm")
    mask = g.node("Cast", [g.node("Unsqueeze", ["attention_mask", g.ints([1, 2])])], to=TensorProto.FLOAT)
    mask = g.node("Mul", [g.node("Sub", [g.scalar(1), mask]), g.scalar(-10000)])

    layers = config["num_hidden_layers"]
    for i in range(layers):
        name = f"encoder.layer.{i}"
        query = split_heads(linear(x, f"{name}.attention.self.query"), [0, 2, 1, 3])
        key = split_heads(linear(x, f"{name}.attention.self.key"), [0, 2, 3, 1])
        value = split_heads(linear(x, f"{name}.attention.self.value"), [0, 2, 1, 3])
        scores = g.node("Div", [g.node("MatMul", [query, key]), g.scalar(float(np.sqrt(size)))])
        weight = g.node("Softmax", [g.node("Add", [scores, mask])], axis=-1)
        context = g.node("Transpose", [g.node("MatMul", [weight, value])], perm=[0, 2, 1, 3])
        context = g.node("Reshape", [context, g.ints([0, 0, hidden])])
        y = g.node("Add", [linear(context, f"{name}.attention.output.dense"), x])
        x = layer_norm(y, f"{name}.attention.output.LayerNorm")
        y = linear(x, f"{name}.intermediate.dense")
        erf = g.node("Erf", [g.node("Div", [y, g.scalar(float(np.sqrt(2)))])])
        y = g.node("Mul", [g.node("Mul", [y, g.node("Add", [erf, g.scalar(1)])]), g.scalar(0.5)])
        y = g.node("Add", [linear(y, f"{name}.output.dense"), x])
        last = "last_hidden_state" if i == layers - 1 else None
        x = layer_norm(y, f"{name}.output.LayerNorm", last)

    names = ["input_ids", "attention_mask", "token_type_ids"]
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, [1, "sequence"]) for name in names]
    g.save(path, inputs, [floats("last_hidden_state", [1, "sequence", hidden])], 14)


def seeded(source: Path, path: Path) -> None:
    """A light model with random weights: He-initialised where the rank is above 1, near the neutral value elsewhere."""
    model = onnx.load(cache.need(source, "tests/fetch.py"))
    graph = model.graph
    random = np.random.default_rng(3)
    shapes = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    normalisation = {}
    for node in graph.node:
        if node.op_type == "BatchNormalization":
            normalisation.update(zip(node.input[1:], ("scale", "bias", "mean", "variance")))
    kept, made = [], []
    for node in graph.node:
        if node.op_type != "ConstantOfShape":
            kept.append(node)
            continue
        shape = tuple(shapes[node.input[0]].tolist())
        role = normalisation.get(node.output[0])
        if len(shape) > 1:
            value = random.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
        elif role in ("scale", "variance"):
            value = random.uniform(0.7, 1.3, shape)
        else:
            value = random.standard_normal(shape) * 0.1
        made.append(numpy_helper.from_array(value.astype(np.float32), node.output[0]))
    if kept[-1].op_type == "Softmax":
        graph.output[0].name = kept.pop().input[0]
    model.ir_version = 8  # below 4 an initialiser must be a graph input too
    used = {name for node in kept for name in node.input}
    made += [i for i in graph.initializer if i.name in used]
    inputs = [i for i in graph.input if i.name in used]
    for field, values in (("node", kept), ("initializer", made), ("input", inputs)):
        graph.ClearField(field)
        getattr(graph, field).extend(values)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def quantised(source: Path, path: Path) -> None:
    """The static quantisation of a model, calibrated on seeded noise."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Noise(CalibrationDataReader):
        """Eight normalised pictures of noise."""

        def __init__(self) -> None:
            random = np.random.default_rng(0)
            self.rest = [{"input": random.standard_normal((1, 3, 224, 224)).astype(np.float32)} for _ in range(8)]

        def get_next(self) -> dict | None:
            """The next feeds."""
            return self.rest.pop() if self.rest else None

    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder) / "ready.onnx"
        quant_pre_process(str(source), str(ready))
        quantize_static(
            str(ready),
            str(path),
            Noise(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )


def main() -> None:
    """Writes all models that are not there yet."""
    root = cache.root()
    made = root / "made"
    encoder = cache.need(root / "minilm" / "model.safetensors", "tests/fetch.py").parent
    makers = {
        "mobilenetv2.onnx": mobilenetv2,
        "resnet18.onnx": resnet18,
        "mobilenetv2_int8.onnx": lambda path: quantised(made / "mobilenetv2.onnx", path),
        "resnet18_int8.onnx": lambda path: quantised(made / "resnet18.onnx", path),
        "minilm.onnx": lambda path: minilm(encoder, path),
    }
    for name in SEEDED:
        source = root / "onnx" / "light" / f"light_{name}.onnx"
        makers[f"seeded_{name}.onnx"] = lambda path, source=source: seeded(source, path)
    for name, make in makers.items():
        # Models change only with this file: an older model is made anew.
        path = made / name
        if not path.exists() or path.stat().st_mtime < Path(__file__).stat().st_mtime:
            make(path)
            print(f"make_models: {name} written ({path.stat().st_size / 1e6:.1f} MB)")
    print(f"make_models: all models are in {made}")


if __name__ == "__main__":
    main()
