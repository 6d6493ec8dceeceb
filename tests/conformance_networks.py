"""Small networks that every engine is tried on: landmarks, and random ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from neocog.errors import ShapeError
from neocog.nn.blocks import Sequential
from neocog.nn.graph import Graph, Node, Normalisation, trace
from neocog.nn.layers import (
    AvgPool2d,
    Conv2d,
    Dropout,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
)
from neocog.nn.shapes import ImageShape
from neocog.nn.window import counts

CHANNELS = (1, 2, 3, 5, 7, 8, 16, 17, 32, 40)


def _graph(shape: tuple[int, int, int], *layers: Layer) -> Graph:
    return trace(Sequential(*layers), shape)


LANDMARKS: dict[str, Graph] = {
    "article": _graph((6, 6, 1), Conv2d(2, 3, bias=False), MaxPool2d(2), Flatten(), Linear(2)),
    "two stages": _graph(
        (14, 14, 1),
        *(Conv2d(8, 3), ReLU(), MaxPool2d(2), Conv2d(16, 3), ReLU(), MaxPool2d(2)),
        *(Flatten(), Linear(16), ReLU(), Linear(10)),
    ),
    "a window of 306 cells": _graph((21, 20, 2), Conv2d(3, 1), MaxPool2d((18, 17), 2), Flatten(), Linear(2)),
    "nothing but linear": _graph((3, 2, 5), Flatten(), Linear(7)),
    "one pixel, one class": _graph((1, 1, 1), Conv2d(1, 1), Flatten(), Linear(1)),
    "1x1 kernels": _graph((5, 4, 3), Conv2d(17, 1), ReLU(), Conv2d(7, 1, bias=False), Flatten(), Linear(4)),
    "kernel as large as the image": _graph((5, 3, 2), Conv2d(8, (5, 3)), Flatten(), ReLU(), Linear(3)),
    "11x11, stride 4": _graph((27, 31, 3), Conv2d(8, 11, stride=4, padding=2), ReLU(), MaxPool2d(3, 2), Flatten()),
    "stride beyond the kernel": _graph((11, 10, 2), Conv2d(5, 2, stride=3), ReLU(), Flatten(), Linear(4)),
    "same, even kernel": _graph((7, 8, 3), Conv2d(7, (2, 4), padding="same"), ReLU(), Flatten(), Linear(4)),
    "same, stride 2": _graph((7, 8, 3), Conv2d(4, 3, stride=2, padding="same"), Flatten(), Linear(4)),
    "dilated": _graph((9, 12, 1), Conv2d(3, 3, dilation=(2, 3), padding=(2, 3)), ReLU(), Flatten(), Linear(4)),
    "windows of nothing but padding": _graph((3, 3, 2), Conv2d(3, 2, padding=3), ReLU(), Flatten(), Linear(2)),
    "rectangular everything": _graph(
        (9, 5, 2),
        *(Conv2d(5, (1, 3), stride=(2, 1), padding=(0, 2)), MaxPool2d((2, 3), (1, 2), (1, 1)), Flatten(), Linear(8)),
    ),
    "overlapping pools": _graph((8, 9, 3), MaxPool2d(3, 1, 1), Conv2d(8, 3), MaxPool2d(3, 2), Flatten(), Linear(2)),
    "pool that leaves a rest": _graph((7, 9, 1), Conv2d(4, 1), ReLU(), MaxPool2d(2), Flatten(), Linear(2)),
    "large windows over many channels": _graph(
        (7, 6, 2), Conv2d(72, 1), MaxPool2d(5, 1, 2), ReLU(), AvgPool2d(4, 1, 1), Flatten(), Linear(2)
    ),
    "mean pools": _graph((8, 9, 3), AvgPool2d(2), ReLU(), Conv2d(4, 2), AvgPool2d(2, 1, 1), Flatten(), Linear(4)),
    "ReLU first": _graph((5, 5, 3), ReLU(), Conv2d(4, 3, padding=1), ReLU(), ReLU(), Flatten(), ReLU(), Linear(2)),
    "flatten, then ReLU": _graph((4, 4, 2), Conv2d(3, 3), Flatten(), ReLU(), Linear(3), ReLU(), Linear(2), ReLU()),
    "dropouts": _graph(
        (6, 6, 2),
        *(Dropout(0.5), Conv2d(4, 3), ReLU(), Dropout(0.75), MaxPool2d(2), Flatten(), Dropout(0.5)),
        *(Linear(8), Dropout(0.0), ReLU(), Dropout(0.5), Linear(4)),
    ),
    "nested": _graph(
        (8, 8, 3),
        Sequential(Conv2d(4, 3), ReLU()),
        Sequential(Sequential(Conv2d(5, 3, padding=1), ReLU()), MaxPool2d(2)),
        Sequential(Flatten(), Linear(6), Sequential(ReLU(), Linear(4))),
    ),
    "40 channels": _graph((4, 4, 40), Conv2d(40, 3, padding=1), ReLU(), Conv2d(33, 3), Flatten(), Linear(4)),
}


@st.composite
def networks(draw: st.DrawFn, exact: bool = False) -> Graph:
    """Draw any small network.

    Arguments:
        exact: whether means and scales must be powers of two, so that float32 rounds nothing.
    """
    shape = ImageShape(draw(st.integers(1, 13)), draw(st.integers(1, 13)), draw(st.sampled_from((1, 3, 5, *CHANNELS))))
    normalisation = draw(st.sampled_from((Normalisation(), Normalisation((1.0,), (2.0,)), Normalisation((0.5,)))))
    if not exact and draw(st.booleans()):
        normalisation = Normalisation(tuple(0.2 + 0.1 * c for c in range(shape.channels)), (0.3,))
    first, x, layers = shape, shape, []
    for _ in range(draw(st.integers(0, 4))):
        layer = draw(image_layers(x, exact))
        x = layer.output_shape(x)
        layers.append(layer)
    layers.append(Flatten())
    for _ in range(draw(st.integers(0, 3))):
        linear = st.builds(Linear, st.integers(1, 20), st.booleans())
        layers.append(draw(st.one_of(linear, st.just(ReLU()), dropouts(exact))))
    if draw(st.integers(0, 3)) or not any(isinstance(layer, Conv2d | Linear) for layer in layers):
        layers.append(Linear(draw(st.sampled_from((1, 2, 4, 7, 8, 10))), draw(st.booleans())))
    if draw(st.booleans()):
        start = draw(st.integers(0, len(layers) - 1))
        stop = draw(st.integers(start + 1, len(layers)))
        layers[start:stop] = [Sequential(*layers[start:stop])]
    return trace(Sequential(*layers), first, normalisation)


@st.composite
def image_layers(draw: st.DrawFn, x: ImageShape, exact: bool) -> Layer:
    """Draw a layer that takes images of shape `x`."""
    kind = draw(st.sampled_from(("conv", "conv", "conv", "relu", "max", "max", "avg", "dropout")))
    if kind == "relu":
        return ReLU()
    if kind == "dropout":
        return draw(dropouts(exact))
    layer = draw(convs() if kind == "conv" else pools(MaxPool2d if kind == "max" else AvgPool2d, exact))
    try:
        layer.output_shape(x)
    except ShapeError:
        return replace(layer, padding="same") if isinstance(layer, Conv2d) else type(layer)(1)
    return layer


def pairs(numbers: st.SearchStrategy[int]) -> st.SearchStrategy[int | tuple[int, int]]:
    """Draw one number for both axes, or a pair."""
    return st.one_of(numbers, st.tuples(numbers, numbers))


def convs() -> st.SearchStrategy[Conv2d]:
    """Draw convolutions, most of them of the usual sizes."""
    sides = st.tuples(st.integers(0, 3), st.integers(0, 3))
    usual = st.builds(
        Conv2d,
        st.sampled_from(CHANNELS),
        pairs(st.sampled_from((3, 1, 2, 4, 5))),
        pairs(st.sampled_from((1, 1, 2, 3))),
        st.one_of(st.just("same"), pairs(st.integers(0, 3)), st.tuples(sides, sides)),
        pairs(st.sampled_from((1, 1, 2, 3))),
        st.booleans(),
    )
    large = st.builds(
        Conv2d, st.sampled_from(CHANNELS), st.sampled_from((7, 11)), st.sampled_from((1, 2, 4)), st.just("same")
    )
    return st.one_of(usual, usual, usual, large)


@st.composite
def pools(draw: st.DrawFn, kind: type[MaxPool2d] | type[AvgPool2d], exact: bool) -> MaxPool2d | AvgPool2d:
    """Draw a pooling; the area of an exact mean is a power of two, whatever a window meets of the padding."""
    sides = (1, 2, 4) if exact and kind is AvgPool2d else (1, 2, 3, 4)
    window = draw(pairs(st.sampled_from(sides)))
    vertical, horizontal = window if isinstance(window, tuple) else (window, window)
    stride = draw(st.one_of(st.none(), pairs(st.integers(1, 3))))
    padding = draw(st.tuples(st.integers(0, vertical // 2), st.integers(0, horizontal // 2)))
    if kind is MaxPool2d:
        return MaxPool2d(window, stride, padding, draw(st.booleans()))
    if exact:
        return AvgPool2d(window, stride, padding)
    return AvgPool2d(window, stride, padding, draw(st.booleans()), draw(st.booleans()))


def cells_of(node: Node) -> np.ndarray:
    """Return how many cells count in each window of a mean (P, Q)."""
    return np.multiply.outer(*counts(node.layer.counted_over(node.input)))


def dropouts(exact: bool) -> st.SearchStrategy[Dropout]:
    """Draw a Dropout; the scale of an exact one is a power of two."""
    return st.sampled_from((0.0, 0.5, 0.75) if exact else (0.0, 0.2, 0.5, 0.75)).map(Dropout)
