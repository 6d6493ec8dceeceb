"""The operations of ONNX that each layer becomes.

ONNX has an image's channels first, and so lays its Flatten out; where the order of a vector's values matters, they are
brought into ours. Operations are those of opset 17, but for the few that a later one has and that say more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import numpy as np

from neocog.engines.base import Array
from neocog.interop.onnx.writer import OnnxWriter
from neocog.nn.graph import IMAGE, Graph, Node
from neocog.nn.layer import Layer, channels_of
from neocog.nn.layers import (
    ELU,
    GELU,
    AdaptiveAvgPool2d,
    Add,
    AvgPool2d,
    BatchNorm2d,
    ChannelShuffle,
    Concatenate,
    Conv2d,
    ConvTranspose2d,
    Dropout,
    Dropout2d,
    DropPath,
    Flatten,
    GlobalAvgPool2d,
    GroupNorm,
    Hardsigmoid,
    Hardswish,
    LayerNorm2d,
    LayerScale,
    LeakyReLU,
    Linear,
    LocalResponseNorm,
    Maxout,
    MaxPool2d,
    Multiply,
    PixelShuffle,
    PReLU,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Slice,
    Softmax,
    Tanh,
    Upsample,
)
from neocog.nn.shapes import ImageShape, VectorShape
from neocog.nn.window import EvenAxis, Window, counts, pair, sides_of

GELU_SINCE, GROUPS_SINCE, AXES_SINCE = 20, 21, 18
"""The opsets from which there is a Gelu, a GroupNormalization, and reductions that take their axes as an input."""

Rule = Callable[[OnnxWriter, Node, Any, list[str]], str]
"""Writes one layer: takes the node, its layer and the names of its inputs, and returns the name of what it gives."""


def write_layers(writer: OnnxWriter, graph: Graph, image: str) -> str:
    """Write a network.

    Arguments:
        writer: where to.
        graph: the network.
        image: what its first layers take: normalised images, channels first.

    Returns:
        The name of what the last layer gives, with channels last where that is an image.
    """
    values = {IMAGE: image}
    for node in graph.nodes:
        writer.begin(node.name)
        inputs = [values[value] for value in node.inputs]
        value = RULES[type(node.layer)](writer, node, node.layer, inputs)
        values[node.index] = writer.named(value, node.name)
    return writer.in_our_order(values[graph.nodes[-1].index], graph.output)


def _operation(kind: str, **attributes: Any) -> Rule:
    """Return the rule of a layer that is one operation of ONNX."""
    return lambda writer, node, layer, inputs: writer.add(kind, *inputs, **attributes)


def _nothing(writer: OnnxWriter, node: Node, layer: Layer, inputs: list[str]) -> str:
    """Leave a layer out that only training has."""
    return inputs[0]


# Sums of products -----------------------------------------------------------------------------------------------------


def _convolution(writer: OnnxWriter, node: Node, layer: Conv2d, inputs: list[str]) -> str:
    window = _window(node)
    dilations = [window.vertical.dilation, window.horizontal.dilation]
    return writer.add(
        "Conv", *inputs, *_weights(writer, node), dilations=dilations, group=layer.groups, **_walk(window)
    )


def _transposed(writer: OnnxWriter, node: Node, layer: ConvTranspose2d, inputs: list[str]) -> str:
    assert isinstance(node.input, ImageShape)
    walk, more = _walk(layer.walk(node.input)), list(pair(layer.output_padding))
    dilations = list(pair(layer.dilation))
    weights = _weights(writer, node)
    return writer.add("ConvTranspose", *inputs, *weights, output_padding=more, dilations=dilations, **walk)


def _linear(writer: OnnxWriter, node: Node, layer: Linear, inputs: list[str]) -> str:
    return writer.add("Gemm", *inputs, *_weights(writer, node), transB=1)


def _weights(writer: OnnxWriter, node: Node) -> list[str]:
    """Return the weight and bias of a layer, those that it has."""
    there = {variable.name for variable in node.layer.variables(*node.shapes)}
    return [writer.stored(node, name) for name in ("weight", "bias") if name in there]


# Pooling --------------------------------------------------------------------------------------------------------------


def _max_pool(writer: OnnxWriter, node: Node, layer: MaxPool2d, inputs: list[str]) -> str:
    return writer.add("MaxPool", *inputs, **_walk(_window(node)))


def _average_pool(writer: OnnxWriter, node: Node, layer: AvgPool2d, inputs: list[str]) -> str:
    assert isinstance(node.input, ImageShape)
    window, counted, (x,) = layer.window_over(node.input), layer.counted_over(node.input), inputs
    if counts(window) == counts(counted):
        return writer.add("AveragePool", x, count_include_pad=0, **_walk(window))
    if all(axis.taps_inside() == axis.output * axis.kernel for axis in (counted.vertical, counted.horizontal)):
        return writer.add("AveragePool", x, count_include_pad=1, **_walk(window))
    # Of the padding some counts and some does not: what counts becomes part of the image.
    assert layer.padding != "same"  # which counts as a whole
    (top, bottom), (left, right) = sides_of(layer.padding)
    padded = writer.add("Pad", x, writer.constant((0, 0, top, left, 0, 0, bottom, right), np.int64))
    return writer.add("AveragePool", padded, count_include_pad=0, **_walk(counted))


def _adaptive_average_pool(writer: OnnxWriter, node: Node, layer: AdaptiveAvgPool2d, inputs: list[str]) -> str:
    assert isinstance(node.input, ImageShape)
    window, (x,) = layer.window_over(node.input), inputs
    if node.output == node.input:
        return x
    if node.output.size == channels_of(node.output):
        return writer.add("GlobalAveragePool", x)
    if window is not None:
        return writer.add("AveragePool", x, **_walk(window))
    # Windows of several sizes: rows · x · columns, each a matrix of shares.
    cuts = layer.counted_over(node.input)
    across = writer.add("MatMul", x, writer.constant(_shares(cuts.horizontal).T))
    return writer.add("MatMul", writer.constant(_shares(cuts.vertical)), across)


def _shares(axis: EvenAxis) -> Array:
    """Return the share of each pixel in each mean (outputs, pixels)."""
    found = np.zeros((axis.output, axis.input), np.float32)
    for place in range(axis.output):
        found[place, slice(*axis.ends(place))] = 1.0 / axis.inside(place)
    return found


def _global_average(writer: OnnxWriter, node: Node, layer: GlobalAvgPool2d, inputs: list[str]) -> str:
    return writer.add("Flatten", writer.add("GlobalAveragePool", *inputs))


def _window(node: Node) -> Window:
    assert isinstance(node.input, ImageShape)
    window = node.layer.window_over(node.input)
    assert window is not None
    return window


def _walk(window: Window) -> dict[str, Any]:
    vertical, horizontal = window.vertical, window.horizontal
    return {
        "kernel_shape": [vertical.kernel, horizontal.kernel],
        "strides": [vertical.stride, horizontal.stride],
        "pads": [vertical.before, horizontal.before, vertical.after, horizontal.after],
    }


# Normalizations -------------------------------------------------------------------------------------------------------


def _batch_normalization(writer: OnnxWriter, node: Node, layer: BatchNorm2d, inputs: list[str]) -> str:
    learned = _scale_and_shift(writer, node, channels_of(node.input))
    running = (writer.stored(node, name) for name in ("running_mean", "running_var"))
    keeps = 1.0 - layer.momentum  # which is what ONNX calls momentum
    return writer.add("BatchNormalization", *inputs, *learned, *running, epsilon=layer.epsilon, momentum=keeps)


def _group_normalization(writer: OnnxWriter, node: Node, layer: GroupNorm, inputs: list[str]) -> str:
    image = node.output
    assert isinstance(image, ImageShape)
    if writer.opset >= GROUPS_SINCE:
        learned = _scale_and_shift(writer, node, image.channels)
        groups, epsilon = layer.groups, layer.epsilon
        return writer.add("GroupNormalization", *inputs, *learned, num_groups=groups, epsilon=epsilon)
    # Each group as one channel of an image.
    runs = writer.reshape(inputs[0], layer.groups, image.size // layer.groups)
    plain = (writer.constant(np.full(layer.groups, value)) for value in (1.0, 0.0))
    y = writer.add("InstanceNormalization", runs, *plain, epsilon=layer.epsilon)
    y = writer.reshape(y, image.channels, image.height, image.width)
    if not layer.affine:
        return y
    weight, bias = (writer.stored(node, name, image.channels, 1, 1) for name in ("weight", "bias"))
    return writer.add("Add", writer.add("Mul", y, weight), bias)


def _layer_normalization(writer: OnnxWriter, node: Node, layer: LayerNorm2d, inputs: list[str]) -> str:
    """Bring the channels behind, and to their place again: ONNX normalises the last axes."""
    (x,) = inputs
    learned = _scale_and_shift(writer, node, channels_of(node.input))
    if isinstance(node.input, VectorShape):
        return writer.add("LayerNormalization", x, *learned, axis=-1, epsilon=layer.epsilon)
    x = writer.add("Transpose", x, perm=[0, 2, 3, 1])
    y = writer.add("LayerNormalization", x, *learned, axis=-1, epsilon=layer.epsilon)
    return writer.add("Transpose", y, perm=[0, 3, 1, 2])


def _scale_and_shift(writer: OnnxWriter, node: Node, channels: int) -> list[str]:
    """Return what a normalization has learned, or ones and zeros."""
    return _weights(writer, node) or [writer.constant(np.full(channels, value)) for value in (1.0, 0.0)]


def _local_response(writer: OnnxWriter, node: Node, layer: LocalResponseNorm, inputs: list[str]) -> str:
    """Write LRN; where the window is even, which runtimes refuse, a mean over a line of channels, and what follows."""
    (x,), image = inputs, node.output
    assert isinstance(image, ImageShape)
    if layer.size % 2:
        return writer.add("LRN", x, size=layer.size, alpha=layer.alpha, beta=layer.beta, bias=layer.k)
    before, behind = layer.size // 2, (layer.size - 1) // 2
    lines = writer.reshape(writer.add("Mul", x, x), 1, image.channels, image.height * image.width)
    pads = writer.constant((0, 0, before, 0, 0, 0, behind, 0), np.int64)
    means = writer.add("AveragePool", writer.add("Pad", lines, pads), kernel_shape=[layer.size, 1], strides=[1, 1])
    means = writer.reshape(means, image.channels, image.height, image.width)
    base = writer.add("Add", writer.add("Mul", means, writer.constant(layer.alpha)), writer.constant(layer.k))
    return writer.add("Div", x, writer.add("Pow", base, writer.constant(layer.beta)))


# Joins, and what moves values -----------------------------------------------------------------------------------------


def _join(kind: str) -> Rule:
    def rule(writer: OnnxWriter, node: Node, layer: Layer, inputs: list[str]) -> str:
        alike = [writer.in_order_of(x, shape, node.output) for x, shape in zip(inputs, node.shapes, strict=True)]
        return reduce(lambda left, right: writer.add(kind, left, right), alike)

    return rule


def _concatenate(writer: OnnxWriter, node: Node, layer: Concatenate, inputs: list[str]) -> str:
    if isinstance(node.output, VectorShape):
        inputs = [writer.in_our_order(value, shape) for value, shape in zip(inputs, node.shapes, strict=True)]
    return writer.add("Concat", *inputs, axis=1)


def _slice(writer: OnnxWriter, node: Node, layer: Slice, inputs: list[str]) -> str:
    x = _vector_in_our_order(writer, node, inputs)
    start, stop = layer.span(node.input)
    return writer.add("Slice", x, *(writer.constant([number], np.int64) for number in (start, stop, 1)))


def _shuffle(writer: OnnxWriter, node: Node, layer: ChannelShuffle, inputs: list[str]) -> str:
    image = node.output
    assert isinstance(image, ImageShape)
    runs = writer.reshape(inputs[0], layer.groups, image.channels // layer.groups, image.height, image.width)
    dealt = writer.add("Transpose", runs, perm=[0, 2, 1, 3, 4])
    return writer.reshape(dealt, image.channels, image.height, image.width)


def _pixel_shuffle(writer: OnnxWriter, node: Node, layer: PixelShuffle, inputs: list[str]) -> str:
    return writer.add("DepthToSpace", *inputs, blocksize=layer.factor, mode="CRD")


def _upsample(writer: OnnxWriter, node: Node, layer: Upsample, inputs: list[str]) -> str:
    scales = writer.constant([1.0, 1.0, *pair(layer.scale)])
    if layer.mode == "nearest":
        way = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    else:
        way = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    return writer.add("Resize", *inputs, "", scales, **way)


def _vector_in_our_order(writer: OnnxWriter, node: Node, inputs: list[str]) -> str:
    return writer.in_our_order(inputs[0], node.input) if isinstance(node.input, VectorShape) else inputs[0]


# Functions of one value, and of the channels --------------------------------------------------------------------------


def _relu6(writer: OnnxWriter, node: Node, layer: ReLU6, inputs: list[str]) -> str:
    return writer.add("Clip", *inputs, writer.constant(0.0), writer.constant(6.0))


def _leaky_relu(writer: OnnxWriter, node: Node, layer: LeakyReLU, inputs: list[str]) -> str:
    return writer.add("LeakyRelu", *inputs, alpha=layer.slope)


def _elu(writer: OnnxWriter, node: Node, layer: ELU, inputs: list[str]) -> str:
    return writer.add("Elu", *inputs, alpha=layer.alpha)


def _silu(writer: OnnxWriter, node: Node, layer: SiLU, inputs: list[str]) -> str:
    return writer.add("Mul", *inputs, writer.add("Sigmoid", *inputs))


def _gelu(writer: OnnxWriter, node: Node, layer: GELU, inputs: list[str]) -> str:
    """Write Gelu, or what it is made of: x / 2 · (1 + f(x))."""
    (x,) = inputs
    if writer.opset >= GELU_SINCE:
        return writer.add("Gelu", x, approximate=layer.approximate)
    half, one = writer.constant(0.5), writer.constant(1.0)
    if layer.approximate == "tanh":
        cubed = writer.add("Mul", writer.add("Mul", x, x), writer.add("Mul", x, writer.constant(0.044715)))
        inner = writer.add("Mul", writer.add("Add", x, cubed), writer.constant(math.sqrt(2.0 / math.pi)))
        outer = writer.add("Tanh", inner)
    else:
        outer = writer.add("Erf", writer.add("Mul", x, writer.constant(math.sqrt(0.5))))
    return writer.add("Mul", writer.add("Mul", x, half), writer.add("Add", outer, one))


def _each_channel(kind: str) -> Rule:
    """Return the rule of an operation that takes one weight for each channel."""

    def rule(writer: OnnxWriter, node: Node, layer: Layer, inputs: list[str]) -> str:
        around = (1, 1) if isinstance(node.input, ImageShape) else ()
        return writer.add(kind, *inputs, writer.stored(node, "weight", channels_of(node.input), *around))

    return rule


def _maxout(writer: OnnxWriter, node: Node, layer: Maxout, inputs: list[str]) -> str:
    x, shape = _vector_in_our_order(writer, node, inputs), node.output
    sides = (shape.height, shape.width) if isinstance(shape, ImageShape) else ()
    pieces = writer.reshape(x, layer.pieces, channels_of(shape), *sides)
    if writer.opset >= AXES_SINCE:
        return writer.add("ReduceMax", pieces, writer.constant([1], np.int64), keepdims=0)
    return writer.add("ReduceMax", pieces, axes=[1], keepdims=0)


RULES: Mapping[type[Layer], Rule] = {
    Add: _join("Add"),
    AdaptiveAvgPool2d: _adaptive_average_pool,
    AvgPool2d: _average_pool,
    BatchNorm2d: _batch_normalization,
    ChannelShuffle: _shuffle,
    Concatenate: _concatenate,
    Conv2d: _convolution,
    ConvTranspose2d: _transposed,
    Dropout: _nothing,
    Dropout2d: _nothing,
    DropPath: _nothing,
    ELU: _elu,
    Flatten: _operation("Flatten"),
    GELU: _gelu,
    GlobalAvgPool2d: _global_average,
    GroupNorm: _group_normalization,
    Hardsigmoid: _operation("HardSigmoid", alpha=1.0 / 6.0, beta=0.5),
    Hardswish: _operation("HardSwish"),
    LayerNorm2d: _layer_normalization,
    LayerScale: _each_channel("Mul"),
    LeakyReLU: _leaky_relu,
    Linear: _linear,
    LocalResponseNorm: _local_response,
    MaxPool2d: _max_pool,
    Maxout: _maxout,
    Multiply: _join("Mul"),
    PixelShuffle: _pixel_shuffle,
    PReLU: _each_channel("PRelu"),
    ReLU: _operation("Relu"),
    ReLU6: _relu6,
    SiLU: _silu,
    Sigmoid: _operation("Sigmoid"),
    Slice: _slice,
    Softmax: _operation("Softmax", axis=1),
    Tanh: _operation("Tanh"),
    Upsample: _upsample,
}
"""From a layer to its operations."""
