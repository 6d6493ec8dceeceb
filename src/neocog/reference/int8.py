"""A whole network that predicts in int8, number for number: docs/int8.md says the same in words.

What a Conv2d or a Linear multiplies are integers, and so are their sums. float64 holds them without rounding, since all
stay below 2^53. Everything else is float32, each operation rounded by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from neocog.nn.graph import IMAGE, Graph, Node
from neocog.nn.layers import Activation, Add, Conv2d, Linear, Multiply, PReLU
from neocog.nn.rewrite import ScaleShift
from neocog.nn.scales import SIGNED_LIMIT, Scales, limits_of, rounded_values, source_of, weight_scales
from neocog.reference import conv, linear
from neocog.reference.arrays import Array
from neocog.reference.network import forward_node

Float = NDArray[np.float32]
Integers = NDArray[np.float64]  # which hold whole numbers

_EACH_ROUNDED = (Activation, PReLU, Add, Multiply)
"""Layers of which every operation is rounded to float32. Others move values, or add up many in an order of the engine's
own: here they are exact, and rounded at the end."""


def forward(
    graph: Graph, parameters: Mapping[str, Float], images: Array, scales: Scales
) -> tuple[tuple[Float, ...], dict[int, Integers]]:
    """Run a network in int8.

    Arguments:
        graph: the network, without batch normalization (`neocog.nn.rewrite.fold_norms`).
        parameters: its, float32, in memory layout.
        images: (N, H, W, C), uint8 or in [0, 1].
        scales: of its rounded values.

    Returns:
        What each layer gives, as others take it, in the order of `Graph.nodes`; and the integers of the image (-1) and
        of the layers whose values are rounded, or pooled or laid out from such.

    Raises:
        SettingError: the scales are those of another network, or a weight is no finite number.

    >>> from neocog.nn.graph import trace
    >>> graph = trace(Conv2d(1, 1), (1, 2, 1))
    >>> weights = {"0.weight": np.float32([[[[127]]]]), "0.bias": np.float32([1])}
    >>> outputs, integers = forward(graph, weights, np.float32([0.51, -0.2]).reshape(1, 1, 2, 1), Scales(1 / 64))
    >>> integers[-1].ravel(), outputs[0].ravel()
    (array([ 33., -13.]), array([ 66.484375, -24.796875], dtype=float32))
    """
    scales.check(graph)
    rounded, integers, values = rounded_values(graph), {}, {}

    def note(index: int, given: Float) -> None:
        if index in rounded:
            scale = scales.of(graph, index)
            integers[index] = round_to(given, scale, limits_of(graph, index))
            given = values_of(integers[index], scale)
        values[index] = given

    note(IMAGE, normalise(graph, images))
    for node in graph.nodes:
        (first, *_) = node.inputs
        if isinstance(node.layer, Conv2d | Linear):
            note(node.index, _multiplied(node, parameters, integers[first], scales.of(graph, first)))
        elif source_of(graph, node.index) in rounded - {node.index}:
            integers[node.index] = forward_node(node, parameters, [integers[first]], None).output
            values[node.index] = values_of(integers[node.index], scales.of(graph, node.index))
        else:
            note(node.index, _computed(node, parameters, [values[number] for number in node.inputs]))
    return tuple(values[node.index] for node in graph.nodes), integers


def normalise(graph: Graph, images: Array) -> Float:
    """Return images as the first layer takes them: value · a + b, where the constants are rounded to float32."""
    mean, std = (np.array(values) for values in graph.normalisation.per_channel(graph.input.channels))
    scale = 1 / std / 255 if images.dtype == np.uint8 else 1 / std
    result: Float = images.astype(np.float32) * scale.astype(np.float32) + (-mean / std).astype(np.float32)
    return result


def round_to(values: Float, scale: np.float32, limits: tuple[int, int]) -> Integers:
    """Return the integer nearest to each value / scale, the even one of two, within the limits."""
    steps: Float = values * (np.float32(1) / scale)
    return np.clip(np.rint(steps), *limits).astype(np.float64)


def values_of(integers: Integers, scale: np.float32) -> Float:
    """Return what integers stand for."""
    result: Float = integers.astype(np.float32) * scale
    return result


def round_weights(
    weight: Float, bias: Float | None, input_scale: np.float32
) -> tuple[Integers, Integers, NDArray[np.float32]]:
    """Return the integers of weights (…, K), of their biases, and the scales (K,) of the weights."""
    scales = weight_scales(weight, bias, input_scale)
    integers = np.clip(np.rint(weight / scales), -SIGNED_LIMIT, SIGNED_LIMIT).astype(np.float64)
    shift = np.zeros(len(scales)) if bias is None else bias.astype(np.float64)
    return integers, np.rint(shift / (float(input_scale) * scales.astype(np.float64))), scales


def _multiplied(node: Node, parameters: Mapping[str, Float], x: Integers, scale: np.float32) -> Float:
    """Return what a convolution or a fully connected layer gives for integers x."""
    layer = node.layer
    weight, bias, scales = round_weights(parameters[f"{node.name}.weight"], parameters.get(f"{node.name}.bias"), scale)
    sums = conv.forward(x, weight, layer, bias) if isinstance(layer, Conv2d) else linear.forward(x, weight, bias)
    assert np.abs(sums).max(initial=0) < 1 << 31, f"{node.name}: a sum does not fit into 32 bits"
    result: Float = sums.astype(np.float32) * (scale * scales)
    return result


def _computed(node: Node, parameters: Mapping[str, Float], inputs: Sequence[Float]) -> Float:
    """Return what any other layer gives."""
    if isinstance(node.layer, ScaleShift):
        result: Float = inputs[0] * parameters[f"{node.name}.weight"] + parameters[f"{node.name}.bias"]
        return result
    if isinstance(node.layer, Add | Multiply):  # what is one value for all pixels comes last
        inputs = [inputs[place] for place in sorted(range(len(inputs)), key=node.is_pixel)]
    if isinstance(node.layer, _EACH_ROUNDED):
        return forward_node(node, parameters, inputs, None).output.astype(np.float32, copy=False)
    names = [f"{node.name}.{variable.name}" for variable in node.layer.variables(*node.shapes)]
    exact = {name: parameters[name].astype(np.float64) for name in names}
    return forward_node(node, exact, [x.astype(np.float64) for x in inputs], None).output.astype(np.float32)
