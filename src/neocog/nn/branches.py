"""Convolutions of one value that are added up become one: what a network that only predicts need not keep apart."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from neocog.nn.graph import IMAGE, Graph, Node
from neocog.nn.layers import Add, BatchNorm2d, Conv2d
from neocog.nn.parameters import Array, variables_of
from neocog.nn.rewrite import Folded, ScaleShift, fold_norms
from neocog.nn.shapes import ImageShape
from neocog.nn.window import WindowAxis
from neocog.nn.wiring import Wiring

Exact = NDArray[np.float64]


def fold_branches(graph: Graph, parameters: Mapping[str, Array]) -> tuple[Graph, dict[str, Array]]:
    """Fold batch normalizations into the convolutions before them, and an Add of convolutions of one value, that value
    itself among them or not, into one convolution as large as the largest.

    Arguments:
        graph: the network.
        parameters: name → array, in memory layout, buffers too.

    Returns:
        A network that predicts the same, and its parameters, worked out in float64. A convolution has the name of the
        largest that went into it; normalizations that follow no convolution stay.

    Source: Ding et al. 2021, RepVGG: making VGG-style ConvNets great again.

    >>> from neocog.nn.blocks import Residual, Sequential
    >>> from neocog.nn.graph import trace
    >>> from neocog.nn.layers import BatchNorm2d
    >>> from neocog.nn.parameters import initial_parameters
    >>> three = Residual(Residual(Conv2d(4, 3, padding=1, bias=False)), shortcut=Conv2d(4, 1))
    >>> graph = trace(three, (8, 8, 4))
    >>> [type(node.layer).__name__ for node in fold_branches(graph, initial_parameters(graph))[0].nodes]
    ['Conv2d']
    """
    folded = fold_norms(graph)
    values = folded.exact(parameters)
    plain = folded.graph
    while found := next(((node, parts) for node in plain.nodes if (parts := _branches(plain, node))), None):
        plain = _joined(plain, values, *found)
    plain = _with_norms(folded, plain)
    return plain, {
        p.name: parameters[p.name] if isinstance(p.node.layer, BatchNorm2d) else values[p.name].astype(np.float32)
        for p in variables_of(plain)
    }


def _branches(graph: Graph, add: Node) -> list[Node | None] | None:
    """Return the branches of an Add for which one convolution can stand, None for one that gives what all take.

    There are none where the node is another layer, or where the branches do not fit each other.
    """
    if not isinstance(add.layer, Add) or not isinstance(add.output, ImageShape):
        return None
    branches = [_branch(graph, value) for value in add.inputs]
    sources = {value if node is None else node.inputs[0] for value, node in zip(add.inputs, branches, strict=True)}
    convolutions = [node for node in branches if node is not None and isinstance(node.layer, Conv2d)]
    if len(sources) > 1 or not convolutions:
        return None
    strides = {_stride(node) for node in convolutions}
    per_group = {node.weight_shape[2] for node in convolutions if node.weight_shape is not None}
    as_it_is = len(convolutions) < len(branches)  # one that does not move pixels or channels
    fits = not as_it_is or (strides == {(1, 1)} and convolutions[0].input == add.output)
    return branches if len(strides) == 1 and len(per_group) == 1 and fits else None


def _branch(graph: Graph, value: int) -> Node | None:
    """Return the convolution or scaling that gives a value to an Add alone, if it is one that can be joined."""
    if value == IMAGE or len(graph.consumers(value)) > 1:
        return None
    node = graph.nodes[value]
    joins = isinstance(node.layer, ScaleShift) or (isinstance(node.layer, Conv2d) and _is_centred(node))
    return node if joins else None


def _is_centred(node: Node) -> bool:
    """Whether each window of a convolution has the pixel of its output, times the stride, in its middle."""
    return all(
        axis.dilation == 1 and axis.kernel == 2 * axis.before + 1 and axis.output == -(-axis.input // axis.stride)
        for axis in _axes(node)
    )


def _axes(node: Node) -> tuple[WindowAxis, WindowAxis]:
    assert isinstance(node.layer, Conv2d)
    assert isinstance(node.input, ImageShape)
    window = node.layer.window_over(node.input)
    return window.vertical, window.horizontal


def _stride(node: Node) -> tuple[int, ...]:
    return tuple(axis.stride for axis in _axes(node))


def _joined(graph: Graph, values: dict[str, Exact], add: Node, branches: list[Node | None]) -> Graph:
    """Put one convolution in the place of an Add and its branches, and its parameters among the values."""
    convolutions = [node for node in branches if node is not None and isinstance(node.layer, Conv2d)]
    largest = max(convolutions, key=lambda node: math.prod(axis.kernel for axis in _axes(node)))
    kernel = tuple(max(axis.kernel for axis in axes) for axes in zip(*map(_axes, convolutions), strict=True))
    assert largest.weight_shape is not None
    weight, bias = np.zeros((*kernel, *largest.weight_shape[2:])), np.zeros(largest.weight_shape[3])
    for node in branches:
        if node is not None and isinstance(node.layer, Conv2d):
            part = values[f"{node.name}.weight"]
            top, left = ((whole - own) // 2 for whole, own in zip(kernel, part.shape, strict=False))
            weight[top : top + part.shape[0], left : left + part.shape[1]] += part
        else:  # channel i of its group goes to filter i alone
            filters = np.arange(len(bias))
            scale = 1.0 if node is None else values[f"{node.name}.weight"]
            weight[kernel[0] // 2, kernel[1] // 2, filters % weight.shape[2], filters] += scale
        if node is not None:
            bias += values.get(f"{node.name}.bias", 0.0)
    values[f"{largest.name}.weight"], values[f"{largest.name}.bias"] = weight, bias
    padding = (kernel[0] // 2, kernel[1] // 2)
    assert isinstance(largest.layer, Conv2d)
    layer = replace(largest.layer, kernel=(kernel[0], kernel[1]), padding=padding, bias=True)
    gone = {node.index for node in branches if node is not None}
    wiring, now = Wiring(graph.input), {IMAGE: IMAGE}
    for node in graph.nodes:
        if node.index == add.index:
            now[node.index] = wiring.add(layer, largest.name, (now[largest.inputs[0]],))
        elif node.index not in gone:
            now[node.index] = wiring.add(node.layer, node.name, tuple(now[value] for value in node.inputs))
    return Graph.of(wiring, now[len(graph.nodes) - 1], graph.normalisation)


def _with_norms(folded: Folded, plain: Graph) -> Graph:
    """Return a network with the normalizations that its scalings stand for, which files know and trainings move."""
    wiring = Wiring(plain.input)
    for node in plain.nodes:
        layer = folded.norms[node.name].layer if isinstance(node.layer, ScaleShift) else node.layer
        wiring.add(layer, node.name, node.inputs)
    return Graph.of(wiring, len(plain.nodes) - 1, plain.normalisation)
