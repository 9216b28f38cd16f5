#!/usr/bin/env python3
"""Writes TFLite models to `tflite/` of the cache folder and what LiteRT answers to `tflite/expect/`.

Two sets: one model for every operator that is imported, in floats and quantised, and small networks; and, where the
variable CYGNET_MODELS names a folder of models, every .tflite below it on 1,000 random inputs, and on real ones: pictures
where it takes pictures, and the features of .npz files beside it that fit.

tflite/index.json lists the cases: {"model", "case", "runs", "steps": the largest difference of integers that is right,
"inputs": [{"name", "file"}], "outputs": [{"name", "file", "reference"}]}. Arrays have one more leading axis, the run; "reference" is what LiteRT's reference kernels answer where
that differs from its default interpreter, which uses XNNPACK. Where weights alone are integers ("hybrid"), LiteRT also
rounds activations while it runs; the answers are then those of the same model with its weights as floats.

Usage: tests/make_tflite.py [--seeds FOLDER]   (--seeds: writes the seeds of the fuzz target instead)
"""

import json
import os
import sys
from pathlib import Path

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

import cache
from tflite_writer import KINDS, Net, Parameters

SAME, VALID = 0, 1
NONE, RELU, RELU_N1, RELU6 = 0, 1, 2, 3
PROBABILITY = {"i8": (1 / 256, -128), "u8": (1 / 256, 0), "i16": (1 / 32768, 0)}
SIGNED_UNIT = {"i8": (1 / 128, 0), "u8": (1 / 128, 128), "i16": (1 / 32768, 0)}
ALL, EIGHT, BYTES = ("f32", "i8", "i16"), ("f32", "i8"), ("f32", "i8", "u8")
# LiteRT interpolates in tables for functions of 16 bits, and is so many steps of 1/32768 away from the function.
STEPS = {"saturating_i16": 16}
CASES: dict[str, tuple] = {}


def case(*kinds: str):
    """Registers a model: the function adds operators and gives the outputs."""

    def register(function):
        CASES[function.__name__] = (function, kinds or ("f32",))
        return function

    return register


def conv2d(n: Net, x: int, shape, stride=(1, 1), padding=SAME, act=NONE, dilation=(1, 1), gain=0.2, axis: int | None = 0) -> int:
    """A convolution of weights [O, kh, kw, I]."""
    w = n.weights(shape, axis, gain)
    options = {"padding": padding, "strideH": stride[0], "strideW": stride[1], "fusedActivationFunction": act}
    options |= {"dilationHFactor": dilation[0], "dilationWFactor": dilation[1]}
    return n.op("CONV_2D", [x, w, n.bias(shape[0], x, w)], **options)


def depthwise2d(n: Net, x: int, shape, multiplier=1, stride=(1, 1), padding=SAME, act=NONE, dilation=(1, 1)) -> int:
    """A depthwise convolution of weights [1, kh, kw, C*M]."""
    w = n.weights(shape, 3, 0.3)
    options = {"padding": padding, "strideH": stride[0], "strideW": stride[1], "fusedActivationFunction": act}
    options |= {"dilationHFactor": dilation[0], "dilationWFactor": dilation[1], "depthMultiplier": multiplier}
    return n.op("DEPTHWISE_CONV_2D", [x, w, n.bias(shape[3], x, w)], **options)


def dense(n: Net, x: int, shape, act=NONE, axis: int | None = None, bias=True, **options) -> int:
    """A product with weights [N, K]."""
    w = n.weights(shape, axis, 0.2)
    b = n.bias(shape[0], x, w) if bias else -1
    return n.op("FULLY_CONNECTED", [x, w, b], fusedActivationFunction=act, **options)


@case("f32", "i8", "u8", "i16", "hybrid")
def net(n: Net) -> list[int]:
    """A small network of the usual parts."""
    x = n.input((1, 16, 16, 3))
    x = conv2d(n, x, (8, 3, 3, 3), (2, 2), act=RELU6, axis=None if n.kind == "hybrid" else 0)
    y = depthwise2d(n, x, (1, 3, 3, 8), act=RELU)
    y = conv2d(n, y, (8, 1, 1, 8))
    x = n.op("ADD", [x, y])
    x = depthwise2d(n, x, (1, 3, 3, 8), stride=(2, 2), act=RELU)
    x = n.op("AVERAGE_POOL_2D", [x], like=x, padding=VALID, strideH=4, strideW=4, filterHeight=4, filterWidth=4)
    x = n.op("RESHAPE", [x, n.constant([1, 8])], like=x, newShape=[1, 8])
    x = dense(n, x, (5, 8))
    return [n.op("SOFTMAX", [x], fixed=PROBABILITY, beta=1.0)]


@case(*ALL, "u8")
def convolutions(n: Net) -> list[int]:
    """Strides, dilations, no padding, activations, groups."""
    x = n.input((2, 11, 9, 6))
    return [
        conv2d(n, x, (10, 3, 3, 6), (2, 1), act=RELU),
        conv2d(n, x, (7, 3, 2, 6), padding=VALID, dilation=(2, 3)),
        conv2d(n, x, (4, 1, 1, 6), act=RELU6),
    ]


@case(*EIGHT)
def grouped(n: Net) -> list[int]:
    """A convolution in three groups."""
    return [conv2d(n, n.input((1, 7, 6, 6)), (9, 3, 3, 2), act=RELU)]


@case(*EIGHT)
def depthwise(n: Net) -> list[int]:
    """Depth multipliers, strides, dilations."""
    x, one = n.input((1, 10, 9, 5)), n.input((1, 10, 9, 1))
    return [
        depthwise2d(n, x, (1, 3, 3, 5), stride=(2, 2), act=RELU6),
        depthwise2d(n, x, (1, 3, 3, 10), 2, padding=VALID),
        depthwise2d(n, x, (1, 3, 3, 5), dilation=(2, 2)),
        depthwise2d(n, one, (1, 5, 3, 8), 8, (2, 1), act=RELU),
    ]


@case(*EIGHT)
def transposed(n: Net) -> list[int]:
    """Transposed convolutions of either padding."""
    x = n.input((1, 5, 4, 6))
    results = []
    for padding, size in ((SAME, (10, 8)), (VALID, (11, 9)), (SAME, (9, 7))):
        w = n.weights((3, 3, 3, 6), 0, 0.2)
        shape = n.constant([1, *size, 3])
        results.append(n.op("TRANSPOSE_CONV", [shape, w, x, n.bias(3, x, w)], padding=padding, strideH=2, strideW=2))
    return results


@case(*BYTES)
def pools(n: Net) -> list[int]:
    """Pools with and without padding."""
    x = n.input((1, 9, 8, 5))
    average = dict(strideH=2, strideW=2, filterHeight=3, filterWidth=2)
    return [
        n.op("AVERAGE_POOL_2D", [x], like=x, padding=SAME, **average),
        n.op("AVERAGE_POOL_2D", [x], like=x, padding=VALID, **average),
        n.op("MAX_POOL_2D", [x], like=x, padding=SAME, **average),
        n.op("MAX_POOL_2D", [x], like=x, padding=VALID, fusedActivationFunction=RELU, **average),
    ]


@case("f32")
def l2_pool(n: Net) -> list[int]:
    """The root of the mean of squares."""
    return [n.op("L2_POOL_2D", [n.input((1, 6, 6, 3))], padding=VALID, strideH=2, strideW=2, filterHeight=2, filterWidth=2)]


@case(*ALL, "u8", "hybrid")
def products(n: Net) -> list[int]:
    """Dense layers."""
    x = n.input((3, 20))
    return [dense(n, x, (17, 20), RELU), dense(n, x, (4, 20), bias=False)]


@case("i8")
def narrow(n: Net) -> list[int]:
    """Weights of 4 bits."""
    x, y = n.input((2, 20)), n.input((1, 6, 6, 4))
    w, v = n.narrow_weights((7, 20), 0.2), n.narrow_weights((5, 3, 3, 4), 0.2)
    options = dict(padding=SAME, strideH=1, strideW=1, dilationHFactor=1, dilationWFactor=1)
    return [n.op("FULLY_CONNECTED", [x, w, n.bias(7, x, w)]), n.op("CONV_2D", [y, v, n.bias(5, y, v)], **options)]


@case(*EIGHT)
def rows(n: Net) -> list[int]:
    """Dense layers that keep the leading axes, or flatten."""
    x = n.input((2, 3, 12))
    return [dense(n, x, (5, 12), keepNumDims=True), dense(n, x, (5, 36), axis=0)]


@case(*EIGHT)
def batch_products(n: Net) -> list[int]:
    """Products of two activations."""
    a, b, c = n.input((2, 4, 6)), n.input((2, 6, 5)), n.input((2, 5, 6))
    return [n.op("BATCH_MATMUL", [a, b]), n.op("BATCH_MATMUL", [a, c], adjY=True)]


@case(*ALL, "u8")
def sums(n: Net) -> list[int]:
    """Sums and products, with broadcasting and activations."""
    a, b, row = n.input((2, 5, 4)), n.input((2, 5, 4), -2, 2), n.input((4,))
    return [
        n.op("ADD", [a, b]),
        n.op("ADD", [a, b], fusedActivationFunction=RELU),
        n.op("ADD", [a, row]),
        n.op("SUB", [a, b]),
        n.op("MUL", [a, b]),
        n.op("MUL", [a, n.numbers([0.5, -1, 2, 0.1])]),
    ]


@case(*EIGHT)
def extremes(n: Net) -> list[int]:
    """Maxima, minima, squared differences."""
    a, b = n.input((2, 5, 4)), n.input((2, 5, 4))
    return [n.op("MAXIMUM", [a, b], like=a), n.op("MINIMUM", [a, b], like=a), n.op("SQUARED_DIFFERENCE", [a, b])]


@case("f32")
def quotients(n: Net) -> list[int]:
    """Quotients, powers, remainders."""
    a, b = n.input((2, 5, 4), 0.2, 3), n.input((2, 5, 4), 0.2, 3)
    names = ("DIV", "POW", "FLOOR_DIV", "FLOOR_MOD")
    return [n.op(name, [a, b]) for name in names] + [n.op("ADD_N", [a, b, a])]


@case("f32")
def integers(n: Net) -> list[int]:
    """Arithmetic on 32-bit integers."""
    a, b = n.input((3, 4), -40, 40, np.int32), n.input((3, 4), 1, 9, np.int32)
    names = ("ADD", "SUB", "MUL", "FLOOR_DIV", "FLOOR_MOD", "MAXIMUM", "MINIMUM")
    return [n.op(name, [a, b], dtype=np.int32) for name in names] + [n.op("CAST", [a], dtype=np.float32)]


@case("f32")
def functions(n: Net) -> list[int]:
    """Functions of one input."""
    x, p = n.input((3, 14), -4, 4), n.input((3, 14), 0.1, 4)
    signed = ("ABS", "NEG", "EXP", "SIN", "COS", "FLOOR", "CEIL", "ROUND", "SIGN", "SQUARE", "ELU", "GELU", "RELU_0_TO_1")
    return [n.op(name, [x]) for name in signed] + [n.op(name, [p]) for name in ("LOG", "SQRT", "RSQRT")]


@case(*EIGHT)
def activations(n: Net) -> list[int]:
    """Activation functions."""
    x = n.input((3, 14), -4, 4)
    slopes = n.numbers(np.linspace(-0.5, 0.7, 14))
    return [
        n.op("RELU", [x]),
        n.op("RELU6", [x]),
        n.op("RELU_N1_TO_1", [x]),
        n.op("LOGISTIC", [x], fixed=PROBABILITY),
        n.op("TANH", [x], fixed=SIGNED_UNIT),
        n.op("HARD_SWISH", [x]),
        n.op("LEAKY_RELU", [x], alpha=0.2),
        n.op("PRELU", [x, slopes]),
    ]


@case(*ALL)
def saturating(n: Net) -> list[int]:
    """Sigmoid, tanh and softmax of 16 bits have results of fixed scale, too."""
    x = n.input((3, 14), -7, 7)
    return [
        n.op("LOGISTIC", [x], fixed=PROBABILITY),
        n.op("TANH", [x], fixed=SIGNED_UNIT),
        n.op("SOFTMAX", [x], fixed=PROBABILITY, beta=1.0),
        n.op("SOFTMAX", [x], fixed=PROBABILITY, beta=0.5),
    ]


@case(*EIGHT)
def normalised(n: Net) -> list[int]:
    """Normalisation of the last axis."""
    x = n.input((2, 3, 3, 9), -3, 3)
    log = {"i8": (16 / 256, 127)}
    return [n.op("L2_NORMALIZATION", [x], fixed=SIGNED_UNIT), n.op("LOG_SOFTMAX", [x], fixed=log)]


@case("f32")
def local_response(n: Net) -> list[int]:
    """Across channels."""
    return [n.op("LOCAL_RESPONSE_NORMALIZATION", [n.input((1, 4, 4, 9))], radius=2, bias=1.0, alpha=0.3, beta=0.75)]


@case(*EIGHT)
def reductions(n: Net) -> list[int]:
    """Means, sums, extremes."""
    x = n.input((2, 6, 5, 7))
    axes, last = n.constant([1, 2]), n.constant([-1])
    return [
        n.op("MEAN", [x, axes], keepDims=True),
        n.op("MEAN", [x, axes], keepDims=False),
        n.op("MEAN", [x, last], keepDims=False),
        n.op("SUM", [x, last], keepDims=True),
        n.op("REDUCE_MAX", [x, axes], like=x, keepDims=False),
        n.op("REDUCE_MIN", [x, last], like=x, keepDims=True),
    ]


@case("f32")
def searches(n: Net) -> list[int]:
    """Positions of extremes, running sums, products, the largest few."""
    x = n.input((3, 6, 5))
    top = n.op("TOPK_V2", [x, n.constant(2)], outputs=2)
    n.graph.tensors[top[1]].type = 2
    return [
        n.op("ARG_MAX", [x, n.constant([1])], dtype=np.int32, outputType=2),
        n.op("ARG_MIN", [x, n.constant([-1])], dtype=np.int64, outputType=4),
        n.op("CUMSUM", [x, n.constant(1)], exclusive=True),
        n.op("REDUCE_PROD", [x, n.constant([2])]),
        *top,
    ]


@case(*ALL)
def movements(n: Net) -> list[int]:
    """What moves elements keeps them."""
    x = n.input((2, 4, 6, 3))
    flat = n.op("RESHAPE", [x, n.constant([2, -1])], like=x, newShape=[2, -1])
    one = n.op("EXPAND_DIMS", [flat, n.constant(1)], like=x)
    return [
        flat,
        n.op("SQUEEZE", [one], like=x, squeezeDims=[1]),
        n.op("TRANSPOSE", [x, n.constant([0, 3, 1, 2])], like=x),
        n.op("SLICE", [x, n.constant([0, 1, 2, 0]), n.constant([2, 2, -1, 3])], like=x, shape=[2, 2, 4, 3]),
        n.op(
            "STRIDED_SLICE",
            [x, n.constant([0, 3, 0, 1]), n.constant([2, 0, 6, 2]), n.constant([1, -1, 2, 1])],
            like=x,
            beginMask=1,
            endMask=2,
            shrinkAxisMask=8,
        ),
        n.op("PAD", [x, n.constant([[0, 0], [1, 2], [0, 1], [0, 0]])], like=x),
        n.op("GATHER", [x, n.constant([2, 0, 1])], like=x, axis=2),
    ]


@case(*EIGHT)
def parts(n: Net) -> list[int]:
    """Split, joined, packed."""
    x, y = n.input((2, 6, 4)), n.input((2, 6, 4))
    half = n.op("SPLIT", [n.constant(1), x], outputs=2, like=x, numSplits=2)
    three = n.op("SPLIT_V", [x, n.constant([1, 3, 2]), n.constant(1)], outputs=3, like=x, numSplits=3)
    rows = n.op("UNPACK", [x], outputs=2, like=x, num=2, axis=0)
    return [
        *half,
        *three,
        *rows,
        n.op("CONCATENATION", [x, y], like=x, axis=-1),
        n.op("PACK", [x, y], like=x, valuesCount=2, axis=1),
        n.op("REVERSE_V2", [x, n.constant([1])], like=x),
        n.op("TILE", [x, n.constant([1, 2, 1])], like=x),
    ]


@case("u8")
def joined_scales(n: Net) -> list[int]:
    """Operands of other scales than the result's."""
    x, y = n.input((2, 6), -1, 1), n.input((2, 6), -3, 2)
    return [n.op("CONCATENATION", [x, y], axis=1)]


@case(*EIGHT)
def mirrored(n: Net) -> list[int]:
    """Padding with what is inside."""
    x = n.input((1, 5, 4, 2))
    pads = n.constant([[0, 0], [2, 3], [1, 2], [0, 0]])
    return [n.op("MIRROR_PAD", [x, pads], like=x, mode=mode) for mode in (0, 1)]


@case("f32")
def padded(n: Net) -> list[int]:
    """Padding with a value."""
    x = n.input((1, 5, 4, 2))
    value = n.constant(0.75, np.float32)
    return [n.op("PADV2", [x, n.constant([[0, 0], [2, 0], [1, 2], [0, 1]]), value])]


@case(*EIGHT)
def blocks(n: Net) -> list[int]:
    """Blocks between space, depth and batch."""
    x = n.input((1, 4, 6, 8))
    batch = n.op("SPACE_TO_BATCH_ND", [x, n.constant([2, 2]), n.constant([[1, 1], [0, 2]])], like=x)
    return [
        n.op("DEPTH_TO_SPACE", [x], like=x, blockSize=2),
        n.op("SPACE_TO_DEPTH", [x], like=x, blockSize=2),
        batch,
        n.op("BATCH_TO_SPACE_ND", [batch, n.constant([2, 2]), n.constant([[1, 1], [0, 2]])], like=x),
    ]


@case(*EIGHT)
def dilated_by_batches(n: Net) -> list[int]:
    """How older converters write a dilated convolution."""
    x = n.input((1, 8, 8, 4))
    x = n.op("SPACE_TO_BATCH_ND", [x, n.constant([2, 2]), n.constant([[2, 2], [2, 2]])], like=x)
    x = conv2d(n, x, (5, 3, 3, 4), padding=VALID, act=RELU)
    return [n.op("BATCH_TO_SPACE_ND", [x, n.constant([2, 2]), n.constant([[0, 0], [0, 0]])], like=x)]


@case(*EIGHT)
def resized(n: Net) -> list[int]:
    """Images in other sizes, by each rule for coordinates."""
    x = n.input((1, 5, 7, 3))
    results = []
    for name in ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"):
        for size in ((10, 14), (3, 4), (8, 9)):
            for corners, centres in ((False, False), (True, False), (False, True)):
                flags = dict(alignCorners=corners, halfPixelCenters=centres)
                results.append(n.op(name, [x, n.constant(list(size))], like=x, **flags))
    return results


@case("f32")
def comparisons(n: Net) -> list[int]:
    """Comparisons, logic, selection."""
    a, b = n.input((3, 5)), n.input((3, 5))
    names = ("LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL", "EQUAL", "NOT_EQUAL")
    tests = [n.op(name, [a, b], dtype=np.bool_) for name in names]
    both = n.op("LOGICAL_AND", [tests[0], tests[5]], dtype=np.bool_)
    either = n.op("LOGICAL_OR", [tests[2], both], dtype=np.bool_)
    neither = n.op("LOGICAL_NOT", [either], dtype=np.bool_)
    return [*tests, both, either, neither, n.op("SELECT_V2", [both, a, b]), n.op("SELECT", [either, b, a])]


@case("f32")
def lookups(n: Net) -> list[int]:
    """Gathered, scattered, one-hot."""
    table, at = n.input((6, 4)), n.input((3,), 0, 5, np.int32)
    pairs = n.constant([[0, 1], [5, 3], [2, 2]])
    on, off = n.constant(2.0, np.float32), n.constant(-1.0, np.float32)
    return [
        n.op("GATHER", [table, at], axis=0),
        n.op("GATHER_ND", [table, pairs]),
        n.op("EMBEDDING_LOOKUP", [at, table]),
        n.op("ONE_HOT", [at, n.constant(6), on, off], axis=-1),
        n.op("SCATTER_ND", [n.constant([[1], [4], [1]]), n.op("GATHER", [table, at], axis=0), n.constant([6, 4])]),
    ]


@case("f32")
def shapes(n: Net) -> list[int]:
    """A shape taken apart and put together."""
    x = n.input((2, 3, 4))
    shape = n.op("SHAPE", [x], dtype=np.int32, outType=2)
    first = n.op(
        "STRIDED_SLICE", [shape, n.constant([0]), n.constant([1]), n.constant([1])], dtype=np.int32, shrinkAxisMask=1
    )
    target = n.op("PACK", [first, n.constant(12)], dtype=np.int32, valuesCount=2)
    return [
        n.op("RESHAPE", [x, target]),
        n.op("FILL", [shape, n.constant(1.5, np.float32)]),
        n.op("BROADCAST_TO", [n.constant([1.0, 2.0, 3.0, 4.0], np.float32), shape]),
        n.op("ZEROS_LIKE", [x]),
        n.op("RANK", [x], dtype=np.int32),
        n.op("RANGE", [n.constant(1), n.constant(9), n.constant(3)], dtype=np.int32),
    ]


@case(*EIGHT, "hybrid")
def filters(n: Net) -> list[int]:
    """A layer that keeps the features of earlier runs."""
    x = n.input((1, 10))
    features = n.weights((8, 10), None, 0.3)
    integers = n.kind == "i8"
    time = n.random.standard_normal((8, 5)).astype(np.float32) * 0.4
    held = Parameters(np.float32([1 / 4096])) if integers else None
    if integers:
        p = Parameters(np.float32([np.abs(time).max() / 32767]))
        time = n.tensor("time", time.shape, np.int16, p, np.round(time / p.scales[0]).astype(np.int16))
    else:
        time = n.tensor("time", time.shape, np.float32, data=time)
    state = n.variable((1, 40), np.int16 if integers else np.float32, held)
    bias = n.bias(4, state, time) if integers else n.constant(np.linspace(-0.3, 0.3, 4), np.float32)
    return [n.op("SVDF", [x, features, time, bias, state], rank=2, fusedActivationFunction=RELU)]


@case("f32")
def recurrent(n: Net) -> list[int]:
    """A layer of LSTM cells whose states live on."""
    x = n.input((2, 4, 6))
    w = [n.weights((5, 6), None, 0.5) for _ in range(4)]
    r = [n.weights((5, 5), None, 0.5) for _ in range(4)]
    b = [n.weights((5,), None, 0.5) for _ in range(4)]
    states = [n.variable((2, 5), np.float32) for _ in range(2)]
    operands = [x, *w, *r, -1, -1, -1, *b, -1, -1, *states, -1, -1, -1, -1]
    return [n.op("UNIDIRECTIONAL_SEQUENCE_LSTM", operands, fusedActivationFunction=4, timeMajor=False)]


@case("f32")
def resources(n: Net) -> list[int]:
    """A running sum in a variable that operators read and assign."""
    x = n.input((2, 3))
    handle = n.op("VAR_HANDLE", [], shape=[1], dtype=np.int32, sharedName=b"sum")
    n.graph.tensors[handle].type = KINDS.RESOURCE
    before = n.op("READ_VARIABLE", [handle], shape=[2, 3])
    after = n.op("ADD", [before, x])
    n.op("ASSIGN_VARIABLE", [handle, after], outputs=0)
    n.begin("sum", np.arange(6, dtype=np.float32).reshape(2, 3))
    return [n.op("MUL", [after, n.constant(0.5, np.float32)])]


@case(*EIGHT)
def deeper(n: Net) -> list[int]:
    """Convolutions over three axes, in floats; gathered by batch, cut by length."""
    x = n.input((2, 4, 6))
    at = n.constant([[1, 3], [0, 2]])
    lengths = n.constant([3, 1])
    results = [n.op("GATHER", [x, at], like=x, axis=1, batchDims=1)]
    if n.kind != "i8":
        results.append(n.op("REVERSE_SEQUENCE", [x, lengths], like=x, seqDim=1, batchDim=0))
    return results


@case("f32")
def volumes(n: Net) -> list[int]:
    """A convolution of depth, height and width."""
    x = n.input((1, 5, 6, 7, 3))
    w = n.weights((2, 3, 3, 3, 4), 4, 0.2)
    options = dict(strideD=1, strideH=2, strideW=1, dilationDFactor=1, dilationHFactor=1, dilationWFactor=1)
    return [n.op("CONV_3D", [x, w, n.bias(4, x, w)], fusedActivationFunction=RELU, padding=SAME, **options)]


@case("f32")
def truths(n: Net) -> list[int]:
    """Reductions of truth values, and rounding as training does."""
    a, b = n.input((3, 5)), n.input((3, 5))
    less = n.op("LESS", [a, b], dtype=np.bool_)
    any_of = n.op("REDUCE_ANY", [less, n.constant([1])], dtype=np.bool_, keepDims=False)
    all_of = n.op("REDUCE_ALL", [less, n.constant([0])], dtype=np.bool_, keepDims=True)
    return [any_of, all_of, n.op("FAKE_QUANT", [a], min=-0.8, max=0.9, numBits=8)]


@case("i8", "u8", "i16")
def converted(n: Net) -> list[int]:
    """Between floats, integers, and integers of other scales."""
    x = n.input((2, 9))
    y = n.op("DEQUANTIZE", [x], dtype=np.float32)
    n.ranges["result_2"] = (-0.5, 0.7)
    return [y, n.op("QUANTIZE", [y]), *([n.op("QUANTIZE", [x])] if n.kind != "u8" else [])]


@case("f32")
def halves(n: Net) -> list[int]:
    """Weights stored as half floats."""
    x = n.input((2, 9))
    w = n.random.standard_normal((4, 9)).astype(np.float16)
    w = n.op("DEQUANTIZE", [n.constant(w, np.float16)])
    return [n.op("FULLY_CONNECTED", [x, w, -1])]


def refused() -> bytes:
    """A model with three problems."""
    n = Net("f32")
    x = n.input((1, 4, 4, 3))
    spectrum = n.op("RFFT2D", [x, n.constant([4, 4])])
    mystery = n.op("CUSTOM", [x])
    other = conv2d(n, x, (5, 3, 3, 4))
    return n.bytes([n.op("ADD", [spectrum, mystery]), other])


def feeds(details: list[dict], n: Net | None, runs: int, seed: int) -> list[np.ndarray]:
    """Seeded inputs, one more leading axis: integers over all their range, floats normal or in the range of the case."""
    random = np.random.default_rng(seed)
    arrays = []
    for d in details:
        shape, dtype = (runs, *d["shape"]), d["dtype"]
        low, high = (n.limits[d["name"]] if n else (None, None))
        if dtype == np.float32:
            data = random.uniform(low, high, shape) if n else random.standard_normal(shape)
            arrays.append(data.astype(np.float32))
        elif len(d["quantization_parameters"]["scales"]) or n is None:
            bounds = np.iinfo(dtype)
            arrays.append(random.integers(bounds.min, bounds.max, shape, dtype, endpoint=True))
        else:
            arrays.append(random.integers(low, high, shape, dtype, endpoint=True))
    return arrays


def answers(model: bytes, arrays: list[np.ndarray], resolver: OpResolverType) -> tuple[list[dict], list[np.ndarray]]:
    """LiteRT's outputs, one more leading axis. States live from run to run."""
    interpreter = Interpreter(model_content=model, experimental_op_resolver_type=resolver, num_threads=1)
    interpreter.allocate_tensors()
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    results: list[list[np.ndarray]] = [[] for _ in outputs]
    for run in range(len(arrays[0])):
        for d, array in zip(inputs, arrays):
            interpreter.set_tensor(d["index"], array[run])
        interpreter.invoke()
        for d, result in zip(outputs, results):
            result.append(interpreter.get_tensor(d["index"]))
    return outputs, [np.stack(r) for r in results]


def answerable(model: bytes) -> bytes:
    """The model as LiteRT is asked: with the weights of its hybrid operators as floats, and without axes of scales that
    a list does not have, which older converters wrote and LiteRT refuses."""
    tree = schema.ModelT.InitFromObj(schema.Model.GetRootAs(model, 0))
    changed = False
    for graph in tree.subgraphs:
        for tensor in graph.tensors:
            scales = tensor.quantization
            if scales is not None and scales.quantizedDimension >= max(len(tensor.shape), 1):
                scales.quantizedDimension, changed = 0, True
        for operator in graph.operators:
            tensors = [graph.tensors[i] for i in operator.inputs if i >= 0]
            weights = tensors[1] if len(tensors) > 1 else None
            data = tree.buffers[weights.buffer].data if weights is not None else None
            hybrid = data is not None and weights.type == KINDS.INT8 and tensors[0].type == KINDS.FLOAT32
            if not hybrid or weights.quantization is None or weights.quantization.scale is None:
                continue
            scales = np.float32(weights.quantization.scale)
            shape = [1] * len(weights.shape)
            shape[weights.quantization.quantizedDimension] = len(scales)
            values = np.frombuffer(bytes(data), np.int8).reshape(weights.shape) * scales.reshape(shape)
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(values.astype(np.float32).tobytes(), np.uint8)
            weights.type, weights.quantization, weights.buffer = KINDS.FLOAT32, None, len(tree.buffers)
            tree.buffers.append(buffer)
            changed = True
    if not changed:
        return model
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(tree.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def pictures(details: dict) -> np.ndarray | None:
    """Real pictures as a model takes them: bytes over all their range; floats from 0 to 255 of which the model's first
    layer makes what it likes; `None` when it takes no pictures."""
    from PIL import Image
    from skimage import data

    shape = tuple(details["shape"])
    if len(shape) != 4 or min(shape[1:3]) < 32 or shape[3] not in (1, 3):
        return None
    arrays = []
    for name in ("astronaut", "coffee", "chelsea", "rocket", "camera", "horse", "page", "coins"):
        picture = np.asarray(getattr(data, name)())
        picture = picture * np.uint8(255) if picture.dtype == bool else picture
        image = Image.fromarray(picture).convert("L" if shape[3] == 1 else "RGB")
        pixels = np.asarray(image.resize((shape[2], shape[1])), np.float32).reshape(shape)
        if details["dtype"] == np.float32:
            arrays.append(pixels if shape[1] == 32 else pixels / 255)
        else:
            arrays.append((pixels + np.iinfo(details["dtype"]).min).astype(details["dtype"]))
    return np.stack(arrays)


def features(file: Path, details: dict) -> np.ndarray | None:
    """The arrays of the .npz files beside a model that have its input's shape, quantised like it."""
    found = []
    shape = tuple(details["shape"])
    for path in sorted(file.parent.glob("*.npz")):
        for array in np.load(path).values():
            if array.ndim and array.dtype.kind == "f" and array[0].size == np.prod(shape):
                found.append(array.reshape(-1, *shape))
    if not found or details["dtype"] not in (np.int8, np.float32):
        return None
    values = np.concatenate(found).astype(np.float32)
    if details["dtype"] == np.float32:
        return values
    scale, zero = details["quantization"]
    return np.clip(np.round(values / scale) + zero, -128, 127).astype(np.int8)


class Recorder:
    """Cases written so far."""

    def __init__(self, root: Path) -> None:
        self.root, self.index = root, []

    def add(self, path: str, case: str, model: bytes, details: list[dict], arrays: list[np.ndarray]) -> None:
        """Runs both kinds of kernels and writes what they answer."""
        folder = self.root / "tflite" / "expect" / path.replace("/", "_").removesuffix(".tflite") / case
        folder.mkdir(parents=True, exist_ok=True)
        steps = STEPS.get(path.removeprefix("tflite/").removesuffix(".tflite"), 1)
        entry = {"model": path, "case": case, "runs": len(arrays[0]), "steps": steps, "inputs": [], "outputs": []}
        try:
            outputs, results = answers(model, arrays, OpResolverType.AUTO)
        except RuntimeError:
            # XNNPACK takes some models of the one operator and then cannot run them.
            outputs, results = answers(model, arrays, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
        try:
            _, plain = answers(model, arrays, OpResolverType.BUILTIN_REF)
        except ValueError:
            # A few operators have no reference kernel.
            plain = results

        def save(name: str, array: np.ndarray) -> str:
            np.save(folder / name, array)
            return str((folder / name).relative_to(self.root))

        for i, (d, array) in enumerate(zip(details, arrays)):
            entry["inputs"].append({"name": d["name"], "file": save(f"input_{i}.npy", array)})
        for i, (d, array, other) in enumerate(zip(outputs, results, plain)):
            output = {"name": d["name"], "file": save(f"output_{i}.npy", array)}
            if not np.array_equal(array, other, equal_nan=array.dtype.kind == "f"):
                output["reference"] = save(f"reference_{i}.npy", other)
            entry["outputs"].append(output)
        self.index.append(entry)


def built(function, kind: str) -> tuple[bytes, Net]:
    """A case's model: its float form gives shapes and ranges."""
    first = Net("f32")
    limits: dict[str, tuple[float, float]] = {}
    plain = first.input

    def remembered(shape, low=-1.0, high=1.0, dtype=None):
        limits[f"input_{len(first.graph.inputs)}"] = (low, high)
        return plain(shape, low, high, dtype)

    first.input = remembered
    converts = function is CASES["converted"][0]
    model = first.bytes(function(first)) if not converts else None
    ranges, shapes = {}, {}
    if converts:
        limits["input_0"] = (-1.0, 1.0)
    else:
        interpreter = Interpreter(
            model_content=model,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            experimental_preserve_all_tensors=True,
        )
        interpreter.allocate_tensors()
        first.limits = limits
        arrays = feeds(interpreter.get_input_details(), first, 8, 1)
        for run in range(8):
            for d, array in zip(interpreter.get_input_details(), arrays):
                interpreter.set_tensor(d["index"], array[run])
            interpreter.invoke()
            for d in interpreter.get_tensor_details():
                value = interpreter.get_tensor(d["index"])
                shapes[d["name"]] = list(value.shape)
                if value.dtype == np.float32 and d["name"].startswith("result"):
                    low, high = ranges.get(d["name"], (0.0, 0.0))
                    ranges[d["name"]] = (min(low, float(value.min())), max(high, float(value.max())))
    net = Net(kind, ranges, shapes)
    net.limits = limits
    return net.bytes(function(net)), net


def main() -> None:
    """Writes models and answers."""
    if sys.argv[1:2] == ["--seeds"]:
        for name, kind in (("net", "f32"), ("net", "i8"), ("net", "i16"), ("movements", "f32"), ("parts", "i8"), ("shapes", "f32")):
            (Path(sys.argv[2]) / f"{name}_{kind}.tflite").write_bytes(built(CASES[name][0], kind)[0])
        (Path(sys.argv[2]) / "refused.tflite").write_bytes(refused())
        return
    root = cache.root()
    recorder = Recorder(root)
    (root / "tflite").mkdir(exist_ok=True)
    for name, (function, kinds) in CASES.items():
        for kind in kinds:
            model, net = built(function, kind)
            path = f"tflite/{name}_{kind}.tflite"
            (root / path).write_bytes(model)
            interpreter = Interpreter(model_content=model)
            details = interpreter.get_input_details()
            runs = 200 if name == "net" else 16
            recorder.add(path, "random", answerable(model), details, feeds(details, net, runs, 5))
    given = os.environ.get("CYGNET_MODELS")
    for file in sorted(Path(given).rglob("*.tflite")) if given else []:
        model, path = answerable(file.read_bytes()), str(file.relative_to(given))
        details = Interpreter(model_content=model).get_input_details()
        recorder.add(f"models/{path}", "random", model, details, feeds(details, None, 1000, 5))
        for name, arrays in (("pictures", pictures(details[0])), ("features", features(file, details[0]))):
            if arrays is not None:
                recorder.add(f"models/{path}", name, model, details, [arrays])
    (root / "tflite" / "index.json").write_text(json.dumps(recorder.index, indent=1) + "\n")
    print(f"make_tflite: {len(recorder.index)} cases are in {root / 'tflite'}")


if __name__ == "__main__":
    main()
