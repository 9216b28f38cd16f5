#!/usr/bin/env python3
"""Translates the ONNX models of the comparison to TensorFlow, channels last, and from there to LiteRT.

tflite.py MODEL.onnx OUT.tflite LAYOUT.json

A tensor is kept with the order in which its ONNX axes are stored: (0, 2, 3, 1) for what convolutions and pools make,
and the plain order for the rest. Transposes appear only where an operator needs the other order. What is not known here
is an error that names the operator.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import tensorflow as tf
from onnx import helper, numpy_helper

LAST = (0, 2, 3, 1)
# A picture whose channels are split in groups: [N, g, c, H, W] stored as [N, H, W, g, c].
GROUPED = (0, 3, 4, 1, 2)


class Unknown(Exception):
    """What cannot be translated."""


class Value:
    """A TensorFlow tensor (or constant array) and the order of its ONNX axes."""

    def __init__(self, tensor, order: tuple[int, ...] | None = None) -> None:
        self.tensor = tensor
        self.order = order or tuple(range(len(tensor.shape)))

    @property
    def constant(self) -> bool:
        return isinstance(self.tensor, np.ndarray)

    @property
    def plain(self) -> bool:
        return self.order == tuple(range(len(self.order)))

    @property
    def shape(self) -> list[int]:
        """Shape in ONNX order."""
        return [int(self.tensor.shape[self.order.index(axis)]) for axis in range(len(self.order))]

    def stored(self, order: tuple[int, ...]):
        """The tensor with its axes stored in another order."""
        if order == self.order:
            return self.tensor
        permutation = [self.order.index(axis) for axis in order]
        # Axes of size 1 may move without data.
        if [p for p in permutation if self.tensor.shape[p] != 1] == sorted(
            p for p in permutation if self.tensor.shape[p] != 1
        ):
            shape = [int(self.tensor.shape[p]) for p in permutation]
            return self.tensor.reshape(shape) if self.constant else tf.reshape(self.tensor, shape)
        return self.tensor.transpose(permutation) if self.constant else tf.transpose(self.tensor, permutation)

    def as_plain(self):
        return self.stored(tuple(range(len(self.order))))


class Translator:
    """Translates one graph node by node inside of a TensorFlow function."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.graph = model.graph
        self.values: dict[str, Value] = {}
        self.producers = {name: node for node in self.graph.node for name in node.output}
        for tensor in self.graph.initializer:
            self.values[tensor.name] = Value(numpy_helper.to_array(tensor))

    # Access to a node.

    def attributes(self, node: onnx.NodeProto) -> dict:
        return {a.name: helper.get_attribute_value(a) for a in node.attribute}

    def value(self, node: onnx.NodeProto, i: int) -> Value:
        return self.values[node.input[i]]

    def const(self, node: onnx.NodeProto, i: int) -> np.ndarray | None:
        """A constant input; `None` when it is left out."""
        if i >= len(node.input) or not node.input[i]:
            return None
        value = self.values[node.input[i]]
        if not value.constant:
            raise Unknown(f"{node.op_type} with a computed input {i}")
        return value.as_plain()

    def run(self, inputs: list) -> list[Value]:
        """Translates everything; gives the outputs."""
        for entry, tensor in zip(self.graph.input, inputs):
            self.values[entry.name] = Value(tensor, LAST if len(tensor.shape) == 4 else None)
        for node in self.graph.node:
            translate = getattr(self, f"op_{node.op_type.lower()}", None)
            if translate is None:
                raise Unknown(f"operator {node.op_type}")
            results = translate(node, self.attributes(node))
            for name, value in zip(node.output, results if isinstance(results, list) else [results]):
                self.values[name] = value
        return [self.values[output.name] for output in self.graph.output]

    # Spatial operators.

    def pad_or_same(self, x, kernel, strides, pads, dilations, fill=0.0):
        """`SAME` where TensorFlow means the same padding, otherwise an explicit pad and `VALID`."""
        same = []
        for axis in range(2):
            size, step = int(x.shape[1 + axis]), strides[axis]
            total = max((-(-size // step) - 1) * step + (kernel[axis] - 1) * dilations[axis] + 1 - size, 0)
            same += [(total // 2, total - total // 2)]
        wanted = [(pads[0], pads[2]), (pads[1], pads[3])]
        if wanted == [(0, 0), (0, 0)]:
            return x, "VALID"
        if wanted == same:
            return x, "SAME"
        return tf.pad(x, [(0, 0), *wanted, (0, 0)], constant_values=fill), "VALID"

    def geometry(self, a: dict, rank: int = 2):
        kernel = list(a["kernel_shape"])
        if a.get("auto_pad", b"NOTSET") not in (b"NOTSET", b""):
            raise Unknown("auto_pad")
        return (
            kernel,
            list(a.get("strides", [1] * rank)),
            list(a.get("pads", [0] * 2 * rank)),
            list(a.get("dilations", [1] * rank)),
        )

    def op_conv(self, node, a):
        x, weight, bias = self.value(node, 0), self.const(node, 1), self.const(node, 2)
        a.setdefault("kernel_shape", weight.shape[2:])
        rank = weight.ndim - 2
        kernel, strides, pads, dilations = self.geometry(a, rank)
        if rank == 1:
            # [N, C, L] as a picture of height 1.
            n, c, length = x.shape
            stored = tf.reshape(x.stored((0, 2, 1)), [n, 1, length, c])
            weight = weight[:, :, None, :]
            kernel, strides, dilations = [1, *kernel], [1, *strides], [1, *dilations]
            pads = [0, pads[0], 0, pads[1]]
        else:
            stored = x.stored(LAST)
        group, channels = a.get("group", 1), int(stored.shape[3])
        stored, padding = self.pad_or_same(stored, kernel, strides, pads, dilations)
        if group == channels and group > 1:
            kernels = weight.reshape(group, -1, *weight.shape[2:]).transpose(2, 3, 0, 1)
            y = tf.nn.depthwise_conv2d(stored, kernels, [1, *strides, 1], padding, dilations=dilations)
        else:
            y = tf.nn.conv2d(stored, weight.transpose(2, 3, 1, 0), [1, *strides, 1], padding, dilations=dilations)
        if bias is not None:
            y = tf.nn.bias_add(y, bias)
        if rank == 1:
            n, _, length, c = y.shape
            return Value(tf.reshape(y, [n, length, c]), (0, 2, 1))
        return Value(y, LAST)

    def op_convtranspose(self, node, a):
        x, weight, bias = self.value(node, 0).stored(LAST), self.const(node, 1), self.const(node, 2)
        a.setdefault("kernel_shape", weight.shape[2:])
        kernel, strides, pads, dilations = self.geometry(a)
        if any(pads) or any(a.get("output_padding", [])) or a.get("group", 1) != 1 or dilations != [1, 1]:
            raise Unknown("ConvTranspose with padding, groups or dilations")
        size = [(int(x.shape[1 + i]) - 1) * strides[i] + kernel[i] for i in range(2)]
        shape = [int(x.shape[0]), *size, weight.shape[1]]
        y = tf.nn.conv2d_transpose(x, weight.transpose(2, 3, 1, 0), shape, [1, *strides, 1], "VALID")
        return Value(y if bias is None else tf.nn.bias_add(y, bias), LAST)

    def op_maxpool(self, node, a):
        kernel, strides, pads, dilations = self.geometry(a)
        if a.get("ceil_mode", 0) or dilations != [1, 1]:
            raise Unknown("MaxPool with ceil_mode or dilations")
        # Zero does as padding where nothing is negative.
        producer = self.producers.get(node.input[0])
        fill = 0.0 if producer is not None and producer.op_type == "Relu" else float(np.finfo(np.float32).min)
        x, padding = self.pad_or_same(self.value(node, 0).stored(LAST), kernel, strides, pads, dilations, fill)
        return Value(tf.nn.max_pool2d(x, kernel, strides, padding), LAST)

    def op_averagepool(self, node, a):
        kernel, strides, pads, _ = self.geometry(a)
        if a.get("ceil_mode", 0) or any(pads):
            raise Unknown("AveragePool with padding or ceil_mode")
        return Value(tf.nn.avg_pool2d(self.value(node, 0).stored(LAST), kernel, strides, "VALID"), LAST)

    def op_globalaveragepool(self, node, a):
        return Value(tf.reduce_mean(self.value(node, 0).stored(LAST), [1, 2], keepdims=True), LAST)

    def op_resize(self, node, a):
        x = self.value(node, 0).stored(LAST)
        scales, sizes = self.const(node, 2), self.const(node, 3)
        way = (a.get("mode", b"nearest"), a.get("coordinate_transformation_mode", b"half_pixel"))
        rounding = a.get("nearest_mode", b"round_prefer_floor")
        if way[0] != b"nearest" or way[1] != b"asymmetric" or rounding != b"floor":
            raise Unknown(f"Resize {way[0].decode()}, {way[1].decode()}, {rounding.decode()}")
        if sizes is None:
            sizes = [int(np.floor(s * d)) for s, d in zip(scales, self.value(node, 0).shape)]
        return Value(tf.compat.v1.image.resize_nearest_neighbor(x, [int(s) for s in sizes[2:]]), LAST)

    def op_batchnormalization(self, node, a):
        scale, offset, mean, variance = (self.const(node, i) for i in range(1, 5))
        factor = scale / np.sqrt(variance + a.get("epsilon", 1e-5))
        return Value(self.value(node, 0).stored(LAST) * factor + (offset - mean * factor), LAST)

    # Elementwise.

    def elementwise(self, node, function):
        operands = [self.values[name] for name in node.input]
        rank = max(len(v.order) for v in operands)
        order = next((v.order for v in operands if not v.plain and len(v.order) == rank), tuple(range(rank)))
        tensors = []
        for v in operands:
            if 0 < len(v.order) < rank and (order != tuple(range(rank)) or not v.plain):
                shape = [1] * (rank - len(v.order)) + v.shape
                plain = v.as_plain()
                v = Value(plain.reshape(shape) if v.constant else tf.reshape(plain, shape))
            tensors.append(v.stored(order) if len(v.order) == rank else v.tensor)
        return Value(function(*tensors), order)

    def op_add(self, node, a):
        return self.elementwise(node, lambda x, y: x + y)

    def op_sub(self, node, a):
        return self.elementwise(node, lambda x, y: x - y)

    def op_div(self, node, a):
        return self.elementwise(node, lambda x, y: x / y)

    def op_mul(self, node, a):
        return self.gelu(node) or self.elementwise(node, lambda x, y: x * y)

    def gelu(self, node) -> Value | None:
        """0.5 * (y * (1 + erf(y / sqrt 2))) is one operator of LiteRT."""
        inner = self.producers.get(node.input[0])
        half = self.values[node.input[1]]
        if inner is None or inner.op_type != "Mul" or not half.constant or half.tensor.size != 1 or half.tensor != 0.5:
            return None
        one = self.producers.get(inner.input[1])
        erf = self.producers.get(one.input[0]) if one is not None and one.op_type == "Add" else None
        scaled = self.producers.get(erf.input[0]) if erf is not None and erf.op_type == "Erf" else None
        if scaled is None or scaled.op_type != "Div" or scaled.input[0] != inner.input[0]:
            return None
        y = self.values[inner.input[0]]
        return Value(tf.nn.gelu(y.tensor, approximate=False), y.order)

    def op_pow(self, node, a):
        if np.all(self.const(node, 1) == 2):
            return self.unary(node, tf.square)
        return self.elementwise(node, tf.pow)

    def unary(self, node, function):
        x = self.value(node, 0)
        return Value(function(x.tensor), x.order)

    def op_relu(self, node, a):
        return self.unary(node, tf.nn.relu)

    def op_sigmoid(self, node, a):
        return self.unary(node, tf.sigmoid)

    def op_tanh(self, node, a):
        return self.unary(node, tf.tanh)

    def op_sqrt(self, node, a):
        return self.unary(node, tf.sqrt)

    def op_erf(self, node, a):
        return self.unary(node, tf.math.erf)

    def op_identity(self, node, a):
        return self.value(node, 0)

    op_dropout = op_identity

    def op_cast(self, node, a):
        kind = tf.as_dtype(helper.tensor_dtype_to_np_dtype(a["to"]))
        return self.unary(node, lambda x: tf.cast(x, kind))

    def op_clip(self, node, a):
        low, high = self.const(node, 1), self.const(node, 2)
        if low == 0 and high == 6:
            return self.unary(node, tf.nn.relu6)
        if low is None or high is None:
            raise Unknown("Clip without a bound")
        return self.unary(node, lambda x: tf.clip_by_value(x, float(low), float(high)))

    def op_hardswish(self, node, a):
        return self.unary(node, lambda x: x * tf.nn.relu6(x + 3.0) * (1 / 6))

    def op_hardsigmoid(self, node, a):
        alpha, beta = a.get("alpha", 0.2), a.get("beta", 0.5)
        if abs(alpha - 1 / 6) < 1e-6 and beta == 0.5:
            return self.unary(node, lambda x: tf.nn.relu6(x + 3.0) * (1 / 6))
        return self.unary(node, lambda x: tf.nn.relu6(x * (6 * alpha) + 6 * beta) * (1 / 6))

    # Movement.

    def axis(self, value: Value, axis: int) -> int:
        """Where an ONNX axis is stored."""
        return value.order.index(axis % len(value.order))

    def op_concat(self, node, a):
        values = [self.values[name] for name in node.input]
        order = next((v.order for v in values if not v.plain), values[0].order)
        axis = order.index(a["axis"] % len(order))
        return Value(tf.concat([v.stored(order) for v in values], axis), order)

    def op_split(self, node, a):
        x = self.value(node, 0)
        sizes = a.get("split")
        if sizes is None:
            sizes = self.const(node, 1)
        axis = self.axis(x, a.get("axis", 0))
        if sizes is None:
            sizes = [int(x.tensor.shape[axis]) // len(node.output)] * len(node.output)
        return [Value(part, x.order) for part in tf.split(x.tensor, [int(s) for s in sizes], axis)]

    def op_slice(self, node, a):
        x = self.value(node, 0)
        starts, ends = self.const(node, 1), self.const(node, 2)
        axes, steps = self.const(node, 3), self.const(node, 4)
        axes = list(range(len(starts))) if axes is None else axes
        steps = [1] * len(starts) if steps is None else steps
        where = [slice(None)] * len(x.order)
        for start, end, axis, step in zip(starts, ends, axes, steps):
            size = x.shape[axis]
            if step < 0:
                raise Unknown("Slice backwards")
            bound = lambda v: int(min(max(v + size if v < 0 else v, 0), size))  # noqa: E731
            where[self.axis(x, int(axis))] = slice(bound(start), bound(end), int(step))
        return Value(x.tensor[tuple(where)], x.order)

    def op_gather(self, node, a):
        x, index = self.value(node, 0), self.value(node, 1)
        return Value(tf.gather(x.as_plain(), index.as_plain(), axis=a.get("axis", 0)))

    def reshaped(self, x: Value, shape: list[int]) -> Value:
        """A reshape in ONNX order; splits and merges of channels stay where channels are."""
        old = x.shape
        if x.order == LAST and len(shape) == 5 and shape[0] == old[0] and shape[3:] == old[2:]:
            n, g, c, h, w = shape
            return Value(tf.reshape(x.tensor, [n, h, w, g, c]), GROUPED)
        if x.order == GROUPED and len(shape) == 4 and shape[0] == old[0] and shape[2:] == old[3:]:
            n, c, h, w = shape
            return Value(tf.reshape(x.tensor, [n, h, w, c]), LAST)
        return Value(tf.reshape(x.as_plain(), shape))

    def op_reshape(self, node, a):
        x, target = self.value(node, 0), [int(s) for s in self.const(node, 1)]
        shape = [x.shape[i] if s == 0 else s for i, s in enumerate(target)]
        if -1 in shape:
            known = int(np.prod([s for s in shape if s != -1]))
            shape[shape.index(-1)] = int(np.prod(x.shape)) // known
        return self.reshaped(x, shape)

    def op_flatten(self, node, a):
        x, axis = self.value(node, 0), a.get("axis", 1)
        return self.reshaped(x, [int(np.prod(x.shape[:axis])), int(np.prod(x.shape[axis:]))])

    def op_squeeze(self, node, a):
        x = self.value(node, 0)
        axes = a.get("axes")
        axes = self.const(node, 1) if axes is None else axes
        gone = {int(i) % len(x.order) for i in axes} if axes is not None else {i for i, s in enumerate(x.shape) if s == 1}
        return self.reshaped(x, [s for i, s in enumerate(x.shape) if i not in gone])

    def op_unsqueeze(self, node, a):
        x = self.value(node, 0)
        axes = a.get("axes")
        axes = self.const(node, 1) if axes is None else axes
        shape = list(x.shape)
        for axis in sorted(int(i) % (len(x.order) + len(axes)) for i in axes):
            shape.insert(axis, 1)
        return self.reshaped(x, shape)

    def op_transpose(self, node, a):
        x, perm = self.value(node, 0), a["perm"]
        # Axis i of the result is axis perm[i] of x; the stored order of the result in axes of x.
        order = GROUPED if x.order == GROUPED else tuple(range(len(perm)))
        return Value(x.stored(tuple(perm[axis] for axis in order)), order)

    def op_pad(self, node, a):
        x, pads = self.value(node, 0), self.const(node, 1)
        mode = {b"constant": "CONSTANT", b"reflect": "REFLECT"}.get(a.get("mode", b"constant"))
        rank = len(x.order)
        if mode is None or len(node.input) > 3:
            raise Unknown("Pad with axes or edge mode")
        amounts = [(int(pads[axis]), int(pads[rank + axis])) for axis in x.order]
        return Value(tf.pad(x.tensor, amounts, mode), x.order)

    # Reductions, linear algebra, recurrence.

    def op_reducemean(self, node, a):
        x = self.value(node, 0)
        axes = a.get("axes")
        axes = self.const(node, 1) if axes is None else axes
        keep = bool(a.get("keepdims", 1))
        if not keep and not x.plain:
            x = Value(x.as_plain())
        return Value(tf.reduce_mean(x.tensor, [self.axis(x, int(i)) for i in axes], keepdims=keep), x.order if keep else None)

    def op_softmax(self, node, a):
        x = self.value(node, 0)
        return Value(tf.nn.softmax(x.tensor, self.axis(x, a.get("axis", -1))), x.order)

    def op_matmul(self, node, a):
        return Value(tf.matmul(self.value(node, 0).as_plain(), self.value(node, 1).as_plain()))

    def op_gemm(self, node, a):
        if a.get("alpha", 1) != 1 or a.get("beta", 1) != 1 or a.get("transA", 0):
            raise Unknown("Gemm with alpha, beta or transA")
        weight = self.const(node, 1)
        y = tf.matmul(self.value(node, 0).as_plain(), weight.T if a.get("transB", 0) else weight)
        bias = self.const(node, 2)
        return Value(y if bias is None else tf.nn.bias_add(y, bias) if bias.ndim == 1 else y + bias)

    def op_lstm(self, node, a):
        """One step of one direction with the default activations."""
        x = self.value(node, 0).as_plain()
        if int(x.shape[0]) != 1 or a.get("direction", b"forward") != b"forward" or "activations" in a:
            raise Unknown("LSTM of several steps or directions")
        weight, recurrent, bias = self.const(node, 1)[0], self.const(node, 2)[0], self.const(node, 3)[0]
        size = recurrent.shape[1]
        state, cell = (self.value(node, i).as_plain()[0] for i in (5, 6))
        gates = tf.matmul(x[0], weight.T) + tf.matmul(state, recurrent.T) + (bias[: 4 * size] + bias[4 * size :])
        i, o, f, c = tf.split(gates, 4, axis=1)
        cell = tf.sigmoid(f) * cell + tf.sigmoid(i) * tf.tanh(c)
        state = tf.sigmoid(o) * tf.tanh(cell)
        return [Value(state[None, None]), Value(state[None]), Value(cell[None])]


def main() -> None:
    """Translates and converts."""
    source, out, layout = map(Path, sys.argv[1:4])
    model = onnx.load(source)
    given = {t.name for t in model.graph.initializer}
    inputs = [i for i in model.graph.input if i.name not in given]
    model.graph.ClearField("input")
    model.graph.input.extend(inputs)
    names = {}
    orders: dict[str, list] = {"inputs": [], "outputs": []}
    signature = []
    for i, entry in enumerate(inputs):
        shape = [d.dim_value for d in entry.type.tensor_type.shape.dim]
        kind = tf.as_dtype(helper.tensor_dtype_to_np_dtype(entry.type.tensor_type.elem_type))
        orders["inputs"].append("nhwc" if len(shape) == 4 else "plain")
        if len(shape) == 4:
            shape = [shape[axis] for axis in LAST]
        names[f"input_{i}"] = i
        signature.append(tf.TensorSpec(shape, kind, f"input_{i}"))

    def body(*tensors):
        results = Translator(model).run(list(tensors))
        orders["outputs"] = ["nhwc" if r.order == LAST else "plain" for r in results]
        stored = [r.tensor if r.order == LAST else r.as_plain() for r in results]
        return {f"output_{i}": tf.identity(t) for i, t in enumerate(stored)}

    try:
        function = tf.function(body, input_signature=signature)
        module = tf.Module()
        module.function = function
        with tempfile.TemporaryDirectory() as folder:
            concrete = function.get_concrete_function()
            tf.saved_model.save(module, folder, signatures={"serving_default": concrete})
            data = tf.lite.TFLiteConverter.from_saved_model(folder).convert()
    except Unknown as unknown:
        sys.exit(f"tflite.py does not translate {unknown}")
    out.write_bytes(data)
    runner = tf.lite.Interpreter(model_content=data).get_signature_runner("serving_default")
    inside, outside = runner.get_input_details(), runner.get_output_details()
    orders["input_tensors"] = [int(inside[f"input_{i}"]["index"]) for i in range(len(inside))]
    orders["output_tensors"] = [int(outside[f"output_{i}"]["index"]) for i in range(len(outside))]
    layout.write_text(json.dumps(orders) + "\n")


if __name__ == "__main__":
    main()
