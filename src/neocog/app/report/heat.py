"""What in a picture spoke for an answer: Grad-CAM, for as many pictures as a report may take time for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neocog.explain.gradcam import placing_layer, quick_gradcams
from neocog.model.network import Network
from neocog.nn.graph import Graph
from neocog.nn.summary import multiply_adds

WORK = 25_000_000_000
"""Multiply-adds that the heat maps of a report may take, forwards: some two seconds."""

LEAST = 4
"""Pictures that get one in any case."""

SIDES = 5
"""Rows and columns that maps must have to say where something is; the last ones of a small image may be of 2 x 2."""


@dataclass(frozen=True, slots=True)
class Heat:
    """Heat maps.

    Arguments:
        layer: name of the layer whose maps they weigh, as in `model.summary()`. kind: what it is.
        grids: (n, rows, columns) from 0 to 255, the largest value of each.
    """

    layer: str
    kind: str
    grids: NDArray[np.uint8]


def affordable(graph: Graph, rows: Sequence[int]) -> list[int]:
    """Return as many of some rows, from the first on, as there is time for."""
    once = max(1, sum(multiply_adds(node) for node in graph.nodes))
    return list(rows[: max(LEAST, WORK // once)])


def grids(model: Network, images: NDArray[np.generic], classes: NDArray[np.int64]) -> Heat:
    """Return where in images (n, H, W, C) a class of each, by its index, was seen."""
    layer = placing_layer(model.graph, SIDES)
    found = quick_gradcams(model, images, classes.tolist(), layer=layer)
    largest = found.max(axis=(1, 2), keepdims=True)
    scaled = np.round(255 * found / np.where(largest > 0, largest, 1)).astype(np.uint8)
    node = model.graph.nodes[layer]
    return Heat(node.name, type(node.layer).__name__, scaled)
