"""The fully connected end: what each place of a flattened vector was, and the terms that add up to an output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neocog.explain.rules import rule_of
from neocog.explain.subject import Array, Subject, check_index, layer_node
from neocog.explain.trace import Trace, trace
from neocog.nn.graph import IMAGE, Graph
from neocog.nn.layers import Flatten, Linear
from neocog.nn.shapes import ImageShape


@dataclass(frozen=True, slots=True)
class Terms:
    """One output of a fully connected layer, term by term.

    input, weight, products: (F,).
    bias: added once; 0 without one.
    total: what the layer gives.
    order: (F,) places of the terms, the largest product (without its sign) first.
    image: the maps that the input was flattened from; None where it is no flattened image.
    """

    input: Array
    weight: Array
    products: Array
    bias: float
    total: float
    order: NDArray[np.int64]
    image: ImageShape | None


def terms(model: Subject, image: NDArray[Any], layer: int | str, output: int) -> Terms:
    """Take one output of a fully connected layer apart: `products.sum() + bias` is `total`, up to rounding in float64.

    Arguments:
        model: any neocog model.
        image: (H, W, C), uint8 or in [0, 1].
        layer: index or name of a Linear.
        output: which of its outputs, from 0.

    Raises:
        SettingError: there is no such layer or output.

    >>> from neocog.explain.lesson import lesson_image, lesson_model
    >>> seen = terms(lesson_model(), lesson_image(), 3, output=0)
    >>> seen.products.tolist(), seen.total
    ([3.0, 0.0, 0.0, 0.0, 3.0, 0.0, 1.0, 0.0], 7.0)
    """
    return terms_of(trace(model, image), layer_node(model, layer, Linear).index, output)


def terms_of(traced: Trace, index: int, output: int) -> Terms:
    """Take one output of a fully connected layer, found by its index, apart."""
    node = traced.graph.nodes[index]
    check_index("output", output, node.output.size)
    x = traced.input(index)
    weight = traced.parameters[f"{node.name}.weight"][:, output]
    bias = traced.parameters.get(f"{node.name}.bias")
    with np.errstate(all="ignore"):
        products = x * weight + 0.0  # which makes 0 of -0
    order = np.argsort(-np.abs(products), kind="stable")
    return Terms(
        x,
        weight,
        products,
        0.0 if bias is None else float(bias[output]),
        float(traced.output(index)[output]),
        order,
        flattened_image(traced.graph, index),
    )


def flattened_image(graph: Graph, index: int) -> ImageShape | None:
    """Return the maps that the input of a layer was flattened from, through layers that move no value; or None."""
    value = graph.nodes[index].inputs[0]
    while value != IMAGE:
        node = graph.nodes[value]
        if isinstance(node.layer, Flatten):
            assert isinstance(node.input, ImageShape)
            return node.input
        if not rule_of(node).in_place:
            return None
        value = node.inputs[0]  # of a join all inputs lie alike, or they would have no common meaning
    return None


def flatten_places(shape: ImageShape) -> NDArray[np.int64]:
    """Return (F, 3): the row, column and channel of each place of a flattened image.

    >>> flatten_places(ImageShape(2, 2, 3))[7].tolist()
    [1, 0, 1]
    """
    return np.stack(np.unravel_index(np.arange(shape.size), (shape.height, shape.width, shape.channels)), axis=1)
