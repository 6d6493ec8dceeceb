"""A network with its parameters written down in ONNX, for the runtimes that read it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from neocog.engines.base import Array
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
    Flatten,
    GlobalAvgPool2d,
    GroupNorm,
    Hardsigmoid,
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
from neocog.nn.parameters import to_pytorch, variables_of
from neocog.nn.shapes import ImageShape, Shape, VectorShape
from neocog.nn.window import EvenAxis, Window, counts, pair, sides_of

OPSET = 17  # of 2022; every present runtime reads it
FORMAT = 8  # ONNX's own version of its files, of the same year
INPUT, OUTPUT = "images", "logits"


def export(graph: Graph, parameters: Mapping[str, Array], batch: int) -> bytes:
    """Return an ONNX model that takes `images` (batch, C, H, W), normalised, and gives `logits` (batch, outputs).

    Arguments:
        graph: the network; layers for training only, such as Dropout, are left out.
        parameters: name → array, in memory layout.
        batch: number of images, fixed.

    Raises:
        NotImplementedError: a layer is not written for ONNX here.
    """
    writer = Writer(batch)
    for p in variables_of(graph):
        writer.constants.append(numpy_helper.from_array(to_pytorch(p, parameters[p.name]), p.name))
    values = {IMAGE: INPUT}
    for node in graph.nodes:
        inputs = [values[value] for value in node.inputs]
        values[node.index] = inputs[0] if node.layer.training_only else _write(writer, node, inputs)
    answer = writer.in_our_order(values[graph.nodes[-1].index], graph.output)
    writer.add("Identity", answer, name=OUTPUT)
    shape = (batch, graph.input.channels, graph.input.height, graph.input.width)
    written = helper.make_graph(
        writer.operations,
        "neocog",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, (batch, *graph.answer_shape))],
        writer.constants,
    )
    model = helper.make_model(written, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=FORMAT)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


class Writer:
    """Collects operations; each has one output, which bears a name of its own."""

    def __init__(self, batch: int) -> None:
        self.batch = batch
        self.operations: list[Any] = []
        self.constants: list[Any] = []

    def add(self, kind: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        """Add an operation and return the name of its output."""
        name = name or f"{kind}_{len(self.operations)}"
        self.operations.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        """Add a constant and return its name."""
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(value, dtype), name))
        return name

    def reshape(self, value: str, *shape: int) -> str:
        """Return each image's value in another shape."""
        return self.add("Reshape", value, self.constant((self.batch, *shape), np.int64))

    def in_our_order(self, value: str, shape: Shape) -> str:
        """Return an image, or a vector that was one, in (row, column, channel) order; ONNX has the channels first."""
        image = shape.image if isinstance(shape, VectorShape) else shape
        if image is None:
            return value
        if isinstance(shape, VectorShape):
            value = self.reshape(value, image.channels, image.height, image.width)
        value = self.add("Transpose", value, perm=[0, 2, 3, 1])
        return self.reshape(value, image.size) if isinstance(shape, VectorShape) else value


Rule = Callable[[Writer, Node, Any, list[str]], str]
"""Writes one layer: takes the node, its layer and the names of its inputs, and returns the name of its output."""


def _write(writer: Writer, node: Node, inputs: list[str]) -> str:
    if type(node.layer) not in RULES:
        raise NotImplementedError(f"{node.title} is not written for ONNX here")
    return RULES[type(node.layer)](writer, node, node.layer, inputs)


def _stored(node: Node, *names: str) -> list[str]:
    """Return the names of the arrays that a layer stores, those of `names` that it has."""
    stored = {variable.name for variable in node.layer.variables(*node.shapes)}
    return [f"{node.name}.{name}" for name in names if name in stored]


def _operation(kind: str, **attributes: Any) -> Rule:
    """Return the rule of a layer that is one operation of ONNX."""
    return lambda writer, node, layer, inputs: writer.add(kind, *inputs, **attributes)


def _convolution(writer: Writer, node: Node, layer: Conv2d, inputs: list[str]) -> str:
    window = _window(node)
    dilations = [window.vertical.dilation, window.horizontal.dilation]
    settings = {"dilations": dilations, "group": layer.groups, **_walk(window)}
    return writer.add("Conv", *inputs, *_stored(node, "weight", "bias"), **settings)


def _transposed(writer: Writer, node: Node, layer: ConvTranspose2d, inputs: list[str]) -> str:
    assert isinstance(node.input, ImageShape)
    walk = _walk(layer.walk(node.input))
    more = list(pair(layer.output_padding))
    return writer.add("ConvTranspose", *inputs, *_stored(node, "weight", "bias"), output_padding=more, **walk)


def _max_pool(writer: Writer, node: Node, layer: MaxPool2d, inputs: list[str]) -> str:
    return writer.add("MaxPool", *inputs, **_walk(_window(node)))


def _average_pool(writer: Writer, node: Node, layer: AvgPool2d, inputs: list[str]) -> str:
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


def _adaptive_average_pool(writer: Writer, node: Node, layer: AdaptiveAvgPool2d, inputs: list[str]) -> str:
    """Write rows · x · columns: each a matrix of shares."""
    assert isinstance(node.input, ImageShape)
    cuts, (x,) = layer.counted_over(node.input), inputs
    if node.output.size == channels_of(node.output):
        return writer.add("GlobalAveragePool", x)
    across = writer.add("MatMul", x, writer.constant(_shares(cuts.horizontal).T))
    return writer.add("MatMul", writer.constant(_shares(cuts.vertical)), across)


def _shares(axis: EvenAxis) -> Array:
    """Return the share of each pixel in each mean (outputs, pixels)."""
    found = np.zeros((axis.output, axis.input), np.float32)
    for place in range(axis.output):
        found[place, slice(*axis.ends(place))] = 1.0 / axis.inside(place)
    return found


def _global_average(writer: Writer, node: Node, layer: GlobalAvgPool2d, inputs: list[str]) -> str:
    return writer.add("Flatten", writer.add("GlobalAveragePool", *inputs))


def _linear(writer: Writer, node: Node, layer: Linear, inputs: list[str]) -> str:
    return writer.add("Gemm", *inputs, *_stored(node, "weight", "bias"), transB=1)


def _normalization(writer: Writer, node: Node, layer: BatchNorm2d, inputs: list[str]) -> str:
    learned = _stored(node, "weight", "bias")
    if not learned:
        channels = node.layer.variables(*node.shapes)[0].shape
        learned = [writer.constant(np.ones(channels)), writer.constant(np.zeros(channels))]
    running = _stored(node, "running_mean", "running_var")
    return writer.add("BatchNormalization", *inputs, *learned, *running, epsilon=layer.epsilon)


def _group_normalization(writer: Writer, node: Node, layer: GroupNorm, inputs: list[str]) -> str:
    """Normalise each group as one channel of an image; GroupNormalization is an operation of its own since opset 18."""
    image = node.output
    assert isinstance(image, ImageShape)
    groups = writer.reshape(inputs[0], layer.groups, image.size // layer.groups)
    scale, shift = (writer.constant(np.full(layer.groups, value)) for value in (1.0, 0.0))
    y = writer.add("InstanceNormalization", groups, scale, shift, epsilon=layer.epsilon)
    y = writer.reshape(y, image.channels, image.height, image.width)
    for kind, name in zip(("Mul", "Add"), _stored(node, "weight", "bias"), strict=False):  # none, or both
        y = writer.add(kind, y, writer.add("Unsqueeze", name, writer.constant((1, 2), np.int64)))
    return y


def _local_response(writer: Writer, node: Node, layer: LocalResponseNorm, inputs: list[str]) -> str:
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


def _layer_normalization(writer: Writer, node: Node, layer: LayerNorm2d, inputs: list[str]) -> str:
    """Bring the channels behind, and to their place again: ONNX normalises the last axes."""
    (x,) = inputs
    learned = _stored(node, "weight", "bias") or [writer.constant(np.ones(channels_of(node.input)))]
    if isinstance(node.input, VectorShape):
        return writer.add("LayerNormalization", x, *learned, axis=-1, epsilon=layer.epsilon)
    x = writer.add("Transpose", x, perm=[0, 2, 3, 1])
    y = writer.add("LayerNormalization", x, *learned, axis=-1, epsilon=layer.epsilon)
    return writer.add("Transpose", y, perm=[0, 3, 1, 2])


def _join(kind: str) -> Rule:
    def rule(writer: Writer, node: Node, layer: Layer, inputs: list[str]) -> str:
        value = inputs[0]
        if len({shape.image if isinstance(shape, VectorShape) else None for shape in node.shapes}) > 1:
            raise NotImplementedError(f"{node.title}: vectors in several orders are not written for ONNX here")
        for other in inputs[1:]:
            value = writer.add(kind, value, other)
        return value

    return rule


def _concatenate(writer: Writer, node: Node, layer: Concatenate, inputs: list[str]) -> str:
    if isinstance(node.output, VectorShape):
        inputs = [writer.in_our_order(value, shape) for value, shape in zip(inputs, node.shapes, strict=True)]
    return writer.add("Concat", *inputs, axis=1)


def _slice(writer: Writer, node: Node, layer: Slice, inputs: list[str]) -> str:
    (x,) = inputs
    if isinstance(node.input, VectorShape):
        x = writer.in_our_order(x, node.input)
    start, stop = layer.span(node.input)
    return writer.add("Slice", x, *(writer.constant([number], np.int64) for number in (start, stop, 1)))


def _shuffle(writer: Writer, node: Node, layer: ChannelShuffle, inputs: list[str]) -> str:
    image = node.output
    assert isinstance(image, ImageShape)
    runs = writer.reshape(inputs[0], layer.groups, image.channels // layer.groups, image.height, image.width)
    dealt = writer.add("Transpose", runs, perm=[0, 2, 1, 3, 4])
    return writer.reshape(dealt, image.channels, image.height, image.width)


def _pixel_shuffle(writer: Writer, node: Node, layer: PixelShuffle, inputs: list[str]) -> str:
    return writer.add("DepthToSpace", *inputs, blocksize=layer.factor, mode="CRD")


def _upsample(writer: Writer, node: Node, layer: Upsample, inputs: list[str]) -> str:
    scales = writer.constant([1.0, 1.0, *pair(layer.scale)])
    if layer.mode == "nearest":
        way = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    else:
        way = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    return writer.add("Resize", *inputs, "", scales, **way)


def _layer_scale(writer: Writer, node: Node, layer: LayerScale, inputs: list[str]) -> str:
    return writer.add("Mul", *inputs, _for_each_channel(writer, node))


def _prelu(writer: Writer, node: Node, layer: PReLU, inputs: list[str]) -> str:
    return writer.add("PRelu", *inputs, _for_each_channel(writer, node))


def _for_each_channel(writer: Writer, node: Node) -> str:
    """Return the weights of a layer that has one a channel, in the shape of an image where it takes one."""
    (weight,) = _stored(node, "weight")
    return (
        writer.add("Unsqueeze", weight, writer.constant((1, 2), np.int64))
        if isinstance(node.input, ImageShape)
        else weight
    )


def _relu6(writer: Writer, node: Node, layer: ReLU6, inputs: list[str]) -> str:
    return writer.add("Clip", *inputs, writer.constant(0.0), writer.constant(6.0))


def _leaky_relu(writer: Writer, node: Node, layer: LeakyReLU, inputs: list[str]) -> str:
    return writer.add("LeakyRelu", *inputs, alpha=layer.slope)


def _elu(writer: Writer, node: Node, layer: ELU, inputs: list[str]) -> str:
    return writer.add("Elu", *inputs, alpha=layer.alpha)


def _silu(writer: Writer, node: Node, layer: SiLU, inputs: list[str]) -> str:
    return writer.add("Mul", *inputs, writer.add("Sigmoid", *inputs))


def _gelu(writer: Writer, node: Node, layer: GELU, inputs: list[str]) -> str:
    """Write x / 2 · (1 + f(x)); GELU is an operation of its own only since opset 20."""
    (x,) = inputs
    half, one = writer.constant(0.5), writer.constant(1.0)
    if layer.approximate == "tanh":
        cubed = writer.add("Mul", writer.add("Mul", x, x), writer.add("Mul", x, writer.constant(0.044715)))
        inner = writer.add("Mul", writer.add("Add", x, cubed), writer.constant(math.sqrt(2.0 / math.pi)))
        outer = writer.add("Tanh", inner)
    else:
        outer = writer.add("Erf", writer.add("Mul", x, writer.constant(math.sqrt(0.5))))
    return writer.add("Mul", writer.add("Mul", x, half), writer.add("Add", outer, one))


def _maxout(writer: Writer, node: Node, layer: Maxout, inputs: list[str]) -> str:
    (x,) = inputs
    if isinstance(node.input, VectorShape):
        x = writer.in_our_order(x, node.input)
    shape = node.output
    rest = (shape.height, shape.width) if isinstance(shape, ImageShape) else ()
    channels = shape.channels if isinstance(shape, ImageShape) else shape.features
    pieces = writer.reshape(x, layer.pieces, channels, *rest)
    return writer.add("ReduceMax", pieces, axes=[1], keepdims=0)


RULES: dict[type[Layer], Rule] = {
    Add: _join("Add"),
    AdaptiveAvgPool2d: _adaptive_average_pool,
    AvgPool2d: _average_pool,
    BatchNorm2d: _normalization,
    ChannelShuffle: _shuffle,
    Concatenate: _concatenate,
    Conv2d: _convolution,
    ConvTranspose2d: _transposed,
    ELU: _elu,
    Flatten: _operation("Flatten"),
    GELU: _gelu,
    GlobalAvgPool2d: _global_average,
    GroupNorm: _group_normalization,
    Hardsigmoid: _operation("HardSigmoid", alpha=1.0 / 6.0, beta=0.5),
    LayerNorm2d: _layer_normalization,
    LayerScale: _layer_scale,
    LeakyReLU: _leaky_relu,
    Linear: _linear,
    LocalResponseNorm: _local_response,
    MaxPool2d: _max_pool,
    Maxout: _maxout,
    Multiply: _join("Mul"),
    PixelShuffle: _pixel_shuffle,
    PReLU: _prelu,
    ReLU: _operation("Relu"),
    ReLU6: _relu6,
    SiLU: _silu,
    Sigmoid: _operation("Sigmoid"),
    Slice: _slice,
    Softmax: _operation("Softmax", axis=1),
    Tanh: _operation("Tanh"),
    Upsample: _upsample,
}


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
