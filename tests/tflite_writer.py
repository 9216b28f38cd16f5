"""Writes TFLite models operator by operator, in floats or quantised with ranges that were measured before."""

from dataclasses import dataclass, field

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

CODES, KINDS = schema.BuiltinOperator, schema.TensorType
NUMPY_KINDS = {
    "float32": KINDS.FLOAT32,
    "float16": KINDS.FLOAT16,
    "int8": KINDS.INT8,
    "uint8": KINDS.UINT8,
    "int16": KINDS.INT16,
    "int32": KINDS.INT32,
    "int64": KINDS.INT64,
    "bool": KINDS.BOOL,
}
# Versions that take what is written here; those of other operators are 1, and in quantised models 2.
VERSIONS = {
    "CONV_2D": 3,
    "DEPTHWISE_CONV_2D": 3,
    "FULLY_CONNECTED": 4,
    "TRANSPOSE_CONV": 3,
    "BATCH_MATMUL": 2,
    "RESIZE_BILINEAR": 3,
    "RESIZE_NEAREST_NEIGHBOR": 3,
    "QUANTIZE": 3,
    "DEQUANTIZE": 3,
    "SPLIT_V": 2,
    "STRIDED_SLICE": 2,
    "UNPACK": 2,
    "SELECT_V2": 1,
    "GATHER": 2,
    "LEAKY_RELU": 2,
    "PRELU": 1,
    "RESHAPE": 1,
    "REVERSE_SEQUENCE": 1,
    "SVDF": 3,
    "EXPAND_DIMS": 1,
    "BROADCAST_TO": 2,
    "HARD_SWISH": 1,
    "RELU_N1_TO_1": 1,
    "ABS": 2,
    "LOG": 2,
    "PACK": 2,
}
# Options whose class is not named after the operator.
OPTIONS = {
    "CONV_2D": "Conv2D",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2D",
    "AVERAGE_POOL_2D": "Pool2D",
    "MAX_POOL_2D": "Pool2D",
    "L2_POOL_2D": "Pool2D",
    "MEAN": "Reducer",
    "SUM": "Reducer",
    "REDUCE_MAX": "Reducer",
    "REDUCE_MIN": "Reducer",
    "REDUCE_PROD": "Reducer",
    "REDUCE_ANY": "Reducer",
    "BATCH_MATMUL": "BatchMatMul",
    "L2_NORMALIZATION": "L2Norm",
    "LOCAL_RESPONSE_NORMALIZATION": "LocalResponseNormalization",
    "REDUCE_ALL": "Reducer",
    "CONV_3D": "Conv3D",
    "SVDF": "SVDF",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "UnidirectionalSequenceLSTM",
}
BITS = {"i8": (np.int8, -128, 127), "u8": (np.uint8, 0, 255), "i16": (np.int16, -32768, 32767)}


@dataclass
class Parameters:
    """Scales and zero points."""

    scales: np.ndarray
    zero: int = 0
    axis: int = 0


@dataclass
class Net:
    """A model with one sub-graph. `kind` is f32, i8, u8, i16 or hybrid (floats, but for weights of 8 bits)."""

    kind: str
    # Least and greatest value, and shape, of every tensor by name: from a run of the float model.
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    shapes: dict[str, list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators, self.graph.inputs, self.graph.outputs = [], [], [], []
        self.codes: list[tuple[str, int]] = []
        self.buffers = [schema.BufferT()]
        self.random = np.random.default_rng(7)
        self.parameters: list[Parameters | None] = []
        self.first: Net | None = None

    @property
    def quantised(self) -> bool:
        """True when activations are integers."""
        return self.kind in BITS

    def tensor(self, name: str, shape, dtype, parameters: Parameters | None = None, data=None) -> int:
        """Adds a tensor; with `data` it is a constant."""
        tensor = schema.TensorT()
        tensor.name, tensor.type, tensor.buffer = name.encode(), NUMPY_KINDS[np.dtype(dtype).name], 0
        tensor.shape = [int(d) for d in shape]
        if parameters is not None:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = [float(s) for s in parameters.scales]
            tensor.quantization.zeroPoint = [int(parameters.zero)] * len(parameters.scales)
            tensor.quantization.quantizedDimension = parameters.axis
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            tensor.buffer = len(self.buffers)
            self.buffers.append(buffer)
        self.graph.tensors.append(tensor)
        self.parameters.append(parameters)
        return len(self.graph.tensors) - 1

    def constant(self, data, dtype=np.int32) -> int:
        """A constant of plain numbers."""
        data = np.asarray(data, dtype)
        return self.tensor(f"constant_{len(self.graph.tensors)}", data.shape, dtype, data=data)

    def variable(self, shape, dtype, parameters: Parameters | None = None) -> int:
        """A tensor that keeps its content from run to run."""
        i = self.tensor(f"variable_{len(self.graph.tensors)}", shape, dtype, parameters)
        self.graph.tensors[i].isVariable = True
        return i

    def begin(self, name: str, value: np.ndarray) -> None:
        """Gives a resource variable its first value, in a sub-graph that runs once."""
        inner = Net("f32")
        handle = inner.op("VAR_HANDLE", [], shape=[1], dtype=np.int32, sharedName=name.encode())
        inner.graph.tensors[handle].type = KINDS.RESOURCE
        inner.op("ASSIGN_VARIABLE", [handle, inner.constant(value, np.float32)], outputs=0)
        inner.graph.name = b"begin"
        self.first = inner
        self.op("CALL_ONCE", [], outputs=0, initSubgraphIndex=1)
        self.graph.operators.insert(0, self.graph.operators.pop())

    def range(self, name: str, low: float = -1.0, high: float = 1.0) -> Parameters:
        """Parameters of an activation."""
        low, high = self.ranges.get(name, (low, high))
        _, least, greatest = BITS[self.kind]
        if self.kind == "i16":
            return Parameters(np.float32([max(abs(low), abs(high), 1e-3) / greatest]))
        low, high = min(low, 0.0), max(high, 1e-3)
        scale = np.float32((high - low) / (greatest - least))
        return Parameters(np.float32([scale]), int(np.clip(round(least - low / scale), least, greatest)))

    def input(self, shape, low: float = -1.0, high: float = 1.0, dtype=None) -> int:
        """A model input; `dtype` for plain numbers."""
        name = f"input_{len(self.graph.inputs)}"
        if dtype is None and self.quantised:
            i = self.tensor(name, shape, BITS[self.kind][0], self.range(name, low, high))
        else:
            i = self.tensor(name, shape, dtype or np.float32)
        self.graph.inputs.append(i)
        return i

    def weights(self, shape, axis: int | None = 0, gain: float = 1.0) -> int:
        """Random weights, by channel where `axis` says so; of 8 bits unless all is float."""
        data = self.random.standard_normal(shape).astype(np.float32) * gain
        name = f"weights_{len(self.graph.tensors)}"
        if self.kind == "f32":
            return self.tensor(name, shape, np.float32, data=data)
        if self.kind == "u8":
            scale = np.float32(np.abs(data).max() / 127)
            q = np.clip(np.round(data / scale) + 128, 1, 255).astype(np.uint8)
            return self.tensor(name, shape, np.uint8, Parameters(np.float32([scale]), 128), q)
        if axis is None:
            scales = np.float32([np.abs(data).max() / 127])
            spread = scales
        else:
            other = tuple(i for i in range(len(shape)) if i != axis)
            spread = (np.abs(data).max(axis=other, keepdims=True) / 127).astype(np.float32)
            scales = spread.reshape(-1)
        q = np.clip(np.round(data / spread), -127, 127).astype(np.int8)
        return self.tensor(name, shape, np.int8, Parameters(scales, 0, axis or 0), q)

    def narrow_weights(self, shape, gain: float = 1.0) -> int:
        """Random weights of 4 bits, by output channel, two to a byte."""
        data = self.random.standard_normal(shape).astype(np.float32) * gain
        name = f"weights_{len(self.graph.tensors)}"
        if self.kind == "f32":
            return self.tensor(name, shape, np.float32, data=data)
        other = tuple(range(1, len(shape)))
        spread = (np.abs(data).max(axis=other, keepdims=True) / 7).astype(np.float32)
        q = np.clip(np.round(data / spread), -7, 7).astype(np.int8).reshape(-1) & 15
        q = np.append(q, 0) if q.size % 2 else q
        i = self.tensor(name, shape, np.int8, Parameters(spread.reshape(-1)), (q[::2] | q[1::2] << 4).astype(np.int8))
        self.graph.tensors[i].type = KINDS.INT4
        return i

    def bias(self, n: int, x: int, w: int) -> int:
        """A random bias in the unit of the sums."""
        data = (self.random.standard_normal(n) * 0.3).astype(np.float32)
        name = f"bias_{len(self.graph.tensors)}"
        if not self.quantised:
            return self.tensor(name, [n], np.float32, data=data)
        scales = self.parameters[x].scales * self.parameters[w].scales
        dtype = np.int64 if self.kind == "i16" else np.int32
        return self.tensor(name, [n], dtype, Parameters(scales.astype(np.float32)), np.round(data / scales).astype(dtype))

    def numbers(self, data) -> int:
        """A constant of activations: quantised like one, in the range of its values."""
        data = np.asarray(data, np.float32)
        name = f"numbers_{len(self.graph.tensors)}"
        if not self.quantised:
            return self.tensor(name, data.shape, np.float32, data=data)
        p = self.range(name, float(data.min()), float(data.max()))
        dtype, least, greatest = BITS[self.kind]
        q = np.clip(np.round(data / p.scales[0]) + p.zero, least, greatest).astype(dtype)
        return self.tensor(name, data.shape, dtype, p, q)

    def op(self, code: str, inputs: list[int], outputs: int = 1, like: int | None = None, dtype=None, fixed=None, shape=None, **options):
        """An operator; its results are quantised in their measured range, `like` a tensor, or with `fixed` parameters
        (scale, zero) by kind; with `dtype` they are plain numbers. `shape` is for the few operators that do not work it out
        themselves. Options are named as in the schema's Python."""
        results = []
        for _ in range(outputs):
            name = f"result_{len(self.graph.tensors)}"
            likely = shape or [1] * len(self.graph.tensors[inputs[0]].shape)
            known = self.shapes.get(name, likely)
            if dtype is not None or not self.quantised:
                results.append(self.tensor(name, known, dtype or np.float32))
                continue
            if like is not None:
                parameters = self.parameters[like]
            elif fixed is not None and self.kind in fixed:
                scale, zero = fixed[self.kind]
                parameters = Parameters(np.float32([scale]), zero)
            else:
                parameters = self.range(name)
            results.append(self.tensor(name, known, BITS[self.kind][0], parameters))
        operator = schema.OperatorT()
        version = VERSIONS.get(code, 2 if self.quantised else 1)
        if (code, version) not in self.codes:
            self.codes.append((code, version))
        operator.opcodeIndex = self.codes.index((code, version))
        operator.inputs, operator.outputs = inputs, results
        stem = OPTIONS.get(code) or "".join(part.capitalize() for part in code.split("_"))
        kind = getattr(schema.BuiltinOptions, f"{stem}Options", None)
        if kind is not None:
            values = getattr(schema, f"{stem}OptionsT")()
            for name, value in options.items():
                assert hasattr(values, name), (code, name)
                setattr(values, name, value)
            operator.builtinOptionsType, operator.builtinOptions = kind, values
        else:
            assert not options, code
        self.graph.operators.append(operator)
        return results[0] if outputs == 1 else results

    def bytes(self, outputs: list[int]) -> bytes:
        """The file."""
        self.graph.outputs = outputs
        model = schema.ModelT()
        graphs = [self.graph]
        if self.first is not None:
            graphs.append(self.first.graph)
            self.first.graph.outputs = []
            for tensor in self.first.graph.tensors:
                tensor.buffer += len(self.buffers) if tensor.buffer else 0
            for operator in self.first.graph.operators:
                code = self.first.codes[operator.opcodeIndex]
                if code not in self.codes:
                    self.codes.append(code)
                operator.opcodeIndex = self.codes.index(code)
            self.buffers += self.first.buffers
        model.version, model.buffers, model.subgraphs, model.operatorCodes = 3, self.buffers, graphs, []
        for name, version in self.codes:
            code, entry = getattr(CODES, name), schema.OperatorCodeT()
            entry.builtinCode, entry.deprecatedBuiltinCode, entry.version = code, min(code, 127), version
            if name == "CUSTOM":
                entry.customCode = b"Mystery"
            model.operatorCodes.append(entry)
        builder = flatbuffers.Builder(1 << 16)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())
