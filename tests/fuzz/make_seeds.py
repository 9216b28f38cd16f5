#!/usr/bin/env python3
"""Writes the ONNX part of the seed corpus, small models of many kinds: seeds/onnx_import/NAME.onnx

The seeds are committed. What the compiler makes of them comes from `cargo run -p cygnet-tests --bin fuzz-seeds`.
Usage: tests/fuzz/make_seeds.py
"""

from pathlib import Path

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper, save

FOLDER = Path(__file__).resolve().parent / "seeds"
F, I = TensorProto.FLOAT, TensorProto.INT64


def weights(**arrays: np.ndarray) -> list:
    """Initialisers of the given names."""
    return [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()]


def value(name: str, kind: int, shape: list) -> object:
    """A graph input or output."""
    return helper.make_tensor_value_info(name, kind, shape)


def ramp(*shape: int) -> np.ndarray:
    """Small distinct floats."""
    return (np.arange(np.prod(shape), dtype=np.float32).reshape(shape) % 7 - 3) / 4


def models() -> dict:
    """The models: (nodes, inputs, outputs, initialisers)."""
    node = helper.make_node
    scalar = {"scale": np.float32(0.05), "zero": np.uint8(128)}
    then = helper.make_graph([node("Relu", ["x"], ["a"])], "then", [], [value("a", F, [2, 3])])
    other = helper.make_graph([node("Neg", ["x"], ["b"])], "other", [], [value("b", F, [2, 3])])
    body = helper.make_graph(
        [node("Identity", ["go"], ["on"]), node("Add", ["carried", "x"], ["next"])],
        "body",
        [value("i", I, []), value("go", TensorProto.BOOL, []), value("carried", F, [2, 3])],
        [value("on", TensorProto.BOOL, []), value("next", F, [2, 3])],
    )
    x, y = [value("x", F, [2, 3])], [value("y", F, [2, 3])]
    picture = [value("x", F, [1, 2, 6, 6])]
    return {
        "add": ([node("Add", ["x", "w"], ["y"])], x, y, weights(w=ramp(3))),
        "gemm": (
            [node("Gemm", ["x", "w", "b"], ["h"], transB=1), node("Softmax", ["h"], ["y"])],
            x,
            [value("y", F, [2, 4])],
            weights(w=ramp(4, 3), b=ramp(4)),
        ),
        "conv": (
            [
                node("Conv", ["x", "w", "b"], ["c"], kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2]),
                node("Relu", ["c"], ["r"]),
                node("GlobalAveragePool", ["r"], ["p"]),
                node("Flatten", ["p"], ["y"]),
            ],
            picture,
            [value("y", F, [1, 3])],
            weights(w=ramp(3, 2, 3, 3), b=ramp(3)),
        ),
        "pool": (
            [node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], strides=[2, 2])],
            picture,
            [value("y", F, [1, 2, 3, 3])],
            [],
        ),
        "dynamic": (
            [node("Shape", ["x"], ["s"]), node("Reshape", ["x", "flat"], ["v"]), node("Tanh", ["v"], ["y"])],
            [value("x", F, [1, "width"])],
            [value("y", F, ["width"])],
            weights(flat=np.array([-1], np.int64)),
        ),
        "lstm": (
            [node("LSTM", ["x", "w", "r"], ["y", "h", "c"], hidden_size=3)],
            [value("x", F, [2, 1, 4])],
            [value("y", F, [2, 1, 1, 3]), value("h", F, [1, 1, 3]), value("c", F, [1, 1, 3])],
            weights(w=ramp(1, 12, 4), r=ramp(1, 12, 3)),
        ),
        "if": (
            [node("If", ["c"], ["y"], then_branch=then, else_branch=other)],
            [value("c", TensorProto.BOOL, []), *x],
            y,
            [],
        ),
        "loop": ([node("Loop", ["n", "", "x"], ["y"], body=body)], x, y, weights(n=np.array(3, np.int64))),
        "quantised": (
            [
                node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
                node("DequantizeLinear", ["q", "scale", "zero"], ["y"]),
            ],
            x,
            y,
            weights(**scalar),
        ),
        "slice": (
            [node("Slice", ["x", "begin", "end"], ["s"]), node("Concat", ["s", "x"], ["y"], axis=0)],
            x,
            [value("y", F, [3, 3])],
            weights(begin=np.array([0], np.int64), end=np.array([1], np.int64)),
        ),
    }


def main() -> None:
    """Writes all seeds."""
    folder = FOLDER / "onnx_import"
    folder.mkdir(parents=True, exist_ok=True)
    for name, (nodes, inputs, outputs, initializers) in models().items():
        graph = helper.make_graph(nodes, name, inputs, outputs, initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        checker.check_model(model)
        save(model, folder / f"{name}.onnx")
    print(f"make_seeds: {len(models())} models are in {folder}")


if __name__ == "__main__":
    main()
