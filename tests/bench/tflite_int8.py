#!/usr/bin/env python3
"""Writes a quantised ONNX model as a LiteRT model of the same integers: nothing is quantised anew.

tflite_int8.py MODEL.onnx OUT.tflite LAYOUT.json

The model is what ONNX Runtime's quantiser makes in the QDQ format: between QuantizeLinear and DequantizeLinear stands
one operator, activations are unsigned bytes, weights signed bytes with a scale a channel, biases 32-bit integers whose
scale is that of the input times that of the weights. LiteRT's activations are signed: 128 comes off the zero point and
off every element, which leaves every value as it is. Its arithmetic differs in the rounding of sums to bytes, so results
may differ by a step. Pictures are stored channels last. What is not known here is an error that names the operator.
"""

import json
import sys
from pathlib import Path

import flatbuffers
import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as schema
from onnx import helper, numpy_helper

CODES, KINDS, OPTIONS = schema.BuiltinOperator, schema.TensorType, schema.BuiltinOptions
# Versions that take signed bytes with a scale a channel.
VERSIONS = {
    CODES.QUANTIZE: 1,
    CODES.DEQUANTIZE: 2,
    CODES.CONV_2D: 3,
    CODES.DEPTHWISE_CONV_2D: 3,
    CODES.FULLY_CONNECTED: 4,
    CODES.ADD: 2,
    CODES.MEAN: 2,
    CODES.MAX_POOL_2D: 2,
    CODES.PAD: 2,
    CODES.RESHAPE: 1,
}
NUMPY_KINDS = {"float32": KINDS.FLOAT32, "int8": KINDS.INT8, "int32": KINDS.INT32}


class Unknown(Exception):
    """What cannot be translated."""


class Writer:
    """A LiteRT model with one subgraph, built operator by operator."""

    def __init__(self) -> None:
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        self.codes: list[int] = []
        # The first buffer is the empty one.
        self.buffers = [schema.BufferT()]

    def tensor(self, name: str, shape, kind: int, scales=None, zero: int = 0, axis: int = 0, data=None) -> int:
        """Adds a tensor; with `data` it is a constant."""
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = name.encode(), [int(d) for d in shape], kind, 0
        if scales is not None:
            scales = np.atleast_1d(scales)
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = [float(s) for s in scales]
            tensor.quantization.zeroPoint = [int(zero)] * len(scales)
            tensor.quantization.quantizedDimension = axis
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            tensor.buffer = len(self.buffers)
            self.buffers.append(buffer)
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def constant(self, name: str, data: np.ndarray, scales=None, axis: int = 0) -> int:
        """Adds a constant; its zero point is 0."""
        return self.tensor(name, data.shape, NUMPY_KINDS[data.dtype.name], scales, 0, axis, data)

    def operator(self, code: int, inputs: list[int], outputs: list[int], kind: int = 0, options=None) -> None:
        """Adds an operator."""
        if code not in self.codes:
            self.codes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = self.codes.index(code), inputs, outputs
        operator.builtinOptionsType, operator.builtinOptions = kind, options
        self.graph.operators.append(operator)

    def bytes(self, inputs: list[int], outputs: list[int]) -> bytes:
        """The file."""
        model = schema.ModelT()
        model.version, model.buffers, model.subgraphs = 3, self.buffers, [self.graph]
        self.graph.inputs, self.graph.outputs = inputs, outputs
        model.operatorCodes = []
        for code in self.codes:
            entry = schema.OperatorCodeT()
            entry.builtinCode, entry.deprecatedBuiltinCode, entry.version = code, min(code, 127), VERSIONS[code]
            model.operatorCodes.append(entry)
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


class Translator:
    """Translates one quantised graph."""

    def __init__(self, model: onnx.ModelProto) -> None:
        model = onnx.shape_inference.infer_shapes(model)
        self.graph = model.graph
        self.constants = {t.name: numpy_helper.to_array(t) for t in self.graph.initializer}
        self.producers = {name: node for node in self.graph.node for name in node.output}
        self.readers: dict[str, list] = {}
        for node in self.graph.node:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)
        described = [*self.graph.value_info, *self.graph.input, *self.graph.output]
        self.shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in described}
        self.out = Writer()
        # LiteRT's tensor of each name.
        self.tensors: dict[str, int] = {}

    def stored(self, name: str) -> list[int]:
        """A shape as LiteRT has it."""
        shape = self.shapes[name]
        return [shape[i] for i in (0, 2, 3, 1)] if len(shape) == 4 else shape

    def bytes_of(self, name: str, scale: str, zero: str) -> int:
        """A new tensor of signed bytes for the activation `name`."""
        point = self.constants[zero]
        if point.dtype != np.uint8 or point.size != 1:
            raise Unknown(f"{name}: activations of {point.dtype}")
        return self.out.tensor(name, self.stored(name), KINDS.INT8, self.constants[scale], int(point) - 128)

    def dequantised(self, name: str) -> onnx.NodeProto:
        """The DequantizeLinear that gives a name."""
        node = self.producers.get(name)
        if node is None or node.op_type != "DequantizeLinear":
            raise Unknown(f"{name}: does not come from integers")
        return node

    def activation(self, name: str) -> int:
        """The bytes behind an operator's input."""
        return self.tensors[self.dequantised(name).input[0]]

    def weights(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """The integers of a weight or bias, and their scales."""
        values, scales, zeros = (self.constants[i] for i in self.dequantised(name).input)
        if np.any(zeros):
            raise Unknown(f"{name}: weights with a zero point")
        return values, scales

    def result(self, node: onnx.NodeProto) -> int:
        """The bytes that the one reader of an operator's result makes of it."""
        readers = self.readers.get(node.output[0], [])
        if len(readers) != 1 or readers[0].op_type != "QuantizeLinear":
            raise Unknown(f"{node.op_type} {node.name}: its result is not quantised at once")
        quantise = readers[0]
        self.tensors[quantise.output[0]] = self.bytes_of(quantise.output[0], *quantise.input[1:3])
        return self.tensors[quantise.output[0]]

    def windows(self, node: onnx.NodeProto, a: dict, x: int) -> tuple[int, list[int], int]:
        """The input of a window operator, padded where LiteRT has no such padding; strides and LiteRT's padding."""
        kernel, strides = a["kernel_shape"], a.get("strides", [1, 1])
        pads, shape = a.get("pads", [0] * 4), list(self.out.graph.tensors[x].shape)
        if a.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"") or a.get("dilations", [1, 1]) != [1, 1]:
            raise Unknown(f"{node.op_type} {node.name}: automatic padding or dilations")
        if not any(pads):
            return x, strides, schema.Padding.VALID
        same = []
        for size, k, s in zip(shape[1:3], kernel, strides):
            total = max((-(-size // s) - 1) * s + k - size, 0)
            same.append((total // 2, total - total // 2))
        wanted = [(pads[0], pads[2]), (pads[1], pads[3])]
        if same == wanted:
            return x, strides, schema.Padding.SAME
        amounts = np.array([(0, 0), *wanted, (0, 0)], np.int32)
        quantisation = self.out.graph.tensors[x].quantization
        if node.op_type == "MaxPool" and quantisation.zeroPoint[0] != -128:
            # Padding is the zero point, which must be what no element is less than.
            raise Unknown(f"MaxPool {node.name}: padding of values below zero")
        padded = [d + sum(p) for d, p in zip(shape, amounts.tolist())]
        y = self.out.tensor(f"{node.name}_padded", padded, KINDS.INT8, quantisation.scale, quantisation.zeroPoint[0])
        amounts = self.out.constant(f"{node.name}_pads", amounts)
        self.out.operator(CODES.PAD, [x, amounts], [y], OPTIONS.PadOptions, schema.PadOptionsT())
        return y, strides, schema.Padding.VALID

    def quantizelinear(self, node: onnx.NodeProto, a: dict) -> None:
        if node.input[0] not in self.tensors:
            # The result of an operator, which has taken it along.
            return
        y = self.tensors[node.output[0]] = self.bytes_of(node.output[0], *node.input[1:3])
        self.out.operator(CODES.QUANTIZE, [self.tensors[node.input[0]]], [y], OPTIONS.QuantizeOptions, schema.QuantizeOptionsT())

    def dequantizelinear(self, node: onnx.NodeProto, a: dict) -> None:
        if node.output[0] not in {o.name for o in self.graph.output}:
            return
        y = self.tensors[node.output[0]] = self.out.tensor(node.output[0], self.stored(node.output[0]), KINDS.FLOAT32)
        x = self.tensors[node.input[0]]
        self.out.operator(CODES.DEQUANTIZE, [x], [y], OPTIONS.DequantizeOptions, schema.DequantizeOptionsT())

    def conv(self, node: onnx.NodeProto, a: dict) -> None:
        (weight, scales), (bias, bias_scales) = self.weights(node.input[1]), self.weights(node.input[2])
        x = self.activation(node.input[0])
        channels, group = self.out.graph.tensors[x].shape[3], a.get("group", 1)
        a.setdefault("kernel_shape", list(weight.shape[2:]))
        x, strides, padding = self.windows(node, a, x)
        if group == 1:
            code, kind, options = CODES.CONV_2D, OPTIONS.Conv2DOptions, schema.Conv2DOptionsT()
            weight, axis = weight.transpose(0, 2, 3, 1), 0
        elif group == channels and weight.shape[:2] == (channels, 1):
            code, kind, options = CODES.DEPTHWISE_CONV_2D, OPTIONS.DepthwiseConv2DOptions, schema.DepthwiseConv2DOptionsT()
            weight, axis = weight.transpose(1, 2, 3, 0), 3
            options.depthMultiplier = 1
        else:
            raise Unknown(f"Conv {node.name}: {group} groups")
        options.strideH, options.strideW, options.padding = *strides, padding
        options.dilationHFactor = options.dilationWFactor = 1
        operands = [x, self.out.constant(node.input[1], weight, scales, axis)]
        operands.append(self.out.constant(node.input[2], bias, bias_scales))
        self.out.operator(code, operands, [self.result(node)], kind, options)

    def gemm(self, node: onnx.NodeProto, a: dict) -> None:
        if a.get("alpha", 1) != 1 or a.get("beta", 1) != 1 or a.get("transA", 0) or not a.get("transB", 0):
            raise Unknown(f"Gemm {node.name} with alpha, beta or another order")
        (weight, scales), (bias, bias_scales) = self.weights(node.input[1]), self.weights(node.input[2])
        operands = [self.activation(node.input[0]), self.out.constant(node.input[1], weight, scales)]
        operands.append(self.out.constant(node.input[2], bias, bias_scales))
        options = schema.FullyConnectedOptionsT()
        self.out.operator(CODES.FULLY_CONNECTED, operands, [self.result(node)], OPTIONS.FullyConnectedOptions, options)

    def add(self, node: onnx.NodeProto, a: dict) -> None:
        operands = [self.activation(name) for name in node.input]
        self.out.operator(CODES.ADD, operands, [self.result(node)], OPTIONS.AddOptions, schema.AddOptionsT())

    def maxpool(self, node: onnx.NodeProto, a: dict) -> None:
        if a.get("ceil_mode", 0):
            raise Unknown(f"MaxPool {node.name} with ceil_mode")
        x, strides, padding = self.windows(node, a, self.activation(node.input[0]))
        options = schema.Pool2DOptionsT()
        options.filterHeight, options.filterWidth = a["kernel_shape"]
        options.strideH, options.strideW, options.padding = *strides, padding
        self.out.operator(CODES.MAX_POOL_2D, [x], [self.result(node)], OPTIONS.Pool2DOptions, options)

    def globalaveragepool(self, node: onnx.NodeProto, a: dict) -> None:
        axes = self.out.constant(f"{node.name}_axes", np.array([1, 2], np.int32))
        options = schema.ReducerOptionsT()
        options.keepDims = True
        operands = [self.activation(node.input[0]), axes]
        self.out.operator(CODES.MEAN, operands, [self.result(node)], OPTIONS.ReducerOptions, options)

    def flatten(self, node: onnx.NodeProto, a: dict) -> None:
        x = self.activation(node.input[0])
        shape = self.out.graph.tensors[x].shape
        if a.get("axis", 1) != 1 or any(d != 1 for d in shape[1:-1]):
            raise Unknown(f"Flatten {node.name} of more than channels")
        target = self.out.constant(f"{node.name}_shape", np.array([shape[0], shape[-1]], np.int32))
        options = schema.ReshapeOptionsT()
        options.newShape = [shape[0], shape[-1]]
        self.out.operator(CODES.RESHAPE, [x, target], [self.result(node)], OPTIONS.ReshapeOptions, options)

    def run(self) -> tuple[bytes, dict]:
        """The file, and how tensors lie inside of it."""
        inputs = [i.name for i in self.graph.input if i.name not in self.constants]
        outputs = [o.name for o in self.graph.output]
        for name in inputs:
            self.tensors[name] = self.out.tensor(name, self.stored(name), KINDS.FLOAT32)
        for node in self.graph.node:
            translate = getattr(self, node.op_type.lower(), None)
            if node.op_type.lower() not in OPERATORS or translate is None:
                raise Unknown(f"operator {node.op_type}")
            translate(node, {a.name: helper.get_attribute_value(a) for a in node.attribute})
        order = lambda names: ["nhwc" if len(self.shapes[n]) == 4 else "plain" for n in names]  # noqa: E731
        layout = {
            "inputs": order(inputs),
            "outputs": order(outputs),
            "input_tensors": [self.tensors[n] for n in inputs],
            "output_tensors": [self.tensors[n] for n in outputs],
        }
        return self.out.bytes(layout["input_tensors"], layout["output_tensors"]), layout


OPERATORS = (
    "quantizelinear",
    "dequantizelinear",
    "conv",
    "gemm",
    "add",
    "maxpool",
    "globalaveragepool",
    "flatten",
)


def main() -> None:
    """Translates."""
    source, out, layout = map(Path, sys.argv[1:4])
    try:
        data, description = Translator(onnx.load(source)).run()
    except Unknown as unknown:
        sys.exit(f"tflite_int8.py does not translate {unknown}")
    out.write_bytes(data)
    layout.write_text(json.dumps(description) + "\n")


if __name__ == "__main__":
    main()
