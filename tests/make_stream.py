"""Writes tests/data/stream.onnx: a convolution that remembers the last two columns of its input.

Its state goes from the output `next` to the input `state`; a second input joins before the last layer. `cygnet package`
is tested on it: states, several inputs and outputs, slices and concatenations. Run it with the packages of
tests/requirements.txt.
"""

import cache
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def main() -> None:
    """Writes the model; its weights are seeded."""
    random = np.random.default_rng(5)

    def weights(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(random.normal(0, 0.5, shape).astype(np.float32), name)

    def value(name: str, *shape: int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    nodes = [
        helper.make_node("Concat", ["state", "frame"], ["joined"], axis=3),
        helper.make_node("Slice", ["joined", "from", "to", "axis"], ["next"]),
        helper.make_node("Conv", ["joined", "w1", "b1"], ["hidden"], kernel_shape=[1, 3]),
        helper.make_node("Relu", ["hidden"], ["features"]),
        helper.make_node("Concat", ["features", "extra"], ["both"], axis=1),
        helper.make_node("Conv", ["both", "w2", "b2"], ["score"], kernel_shape=[1, 1]),
    ]
    constants = [numpy_helper.from_array(np.array([v]), k) for k, v in [("from", 3), ("to", 5), ("axis", 3)]]
    initializers = constants + [weights("w1", 5, 4, 1, 3), weights("b1", 5), weights("w2", 3, 7, 1, 1), weights("b2", 3)]
    inputs = [value("frame", 1, 4, 1, 3), value("extra", 1, 2, 1, 3), value("state", 1, 4, 1, 2)]
    outputs = [value("features", 1, 5, 1, 3), value("score", 1, 3, 1, 3), value("next", 1, 4, 1, 2)]
    graph = helper.make_graph(nodes, "stream", inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, cache.REPOSITORY / "tests" / "data" / "stream.onnx")


if __name__ == "__main__":
    main()
