"""The worked example: a 6 × 6 image, two 3 × 3 filters, 2 × 2 max pooling, and whole numbers throughout.

The first filter looks for a line that falls to the right, the second for an upright one. Behind the pooling, an
output for each adds up what its own filter found.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from neocog.nn.blocks import Sequential
from neocog.nn.graph import Graph, trace
from neocog.nn.layers import Conv2d, Flatten, Linear, MaxPool2d
from neocog.nn.losses import CrossEntropy, Loss
from neocog.reference.network import forward

IMAGE = (
    (1, 0, 0, 0, 0, 1),
    (0, 1, 0, 0, 1, 0),
    (0, 0, 1, 1, 0, 0),
    (1, 0, 0, 0, 1, 0),
    (0, 1, 0, 0, 1, 0),
    (0, 0, 1, 0, 1, 0),
)
FILTERS = (
    ((1, -1, -1), (-1, 1, -1), (-1, -1, 1)),
    ((-1, 1, -1), (-1, 1, -1), (-1, 1, -1)),
)


class LessonModel:
    """The worked example's network, with its weights; computed by the reference, so that nothing is compiled."""

    def __init__(self) -> None:
        net = Sequential(Conv2d(2, 3, bias=False), MaxPool2d(2), Flatten(), Linear(2, bias=False))
        self.graph: Graph = trace(net, (6, 6, 1))
        weight = np.array(FILTERS, np.float32).transpose(1, 2, 0)[:, :, None, :]
        sums = np.tile(np.eye(2, dtype=np.float32), (4, 1))  # the pooled cells lie as (row, column, filter)
        self.parameters: Mapping[str, NDArray[np.float32]] = MappingProxyType({"0.weight": weight, "3.weight": sums})
        self.class_names: tuple[str, ...] = ("falling line", "upright line")
        self.loss: Loss = CrossEntropy()

    def __call__(self, images: NDArray[np.generic]) -> NDArray[np.float32]:
        """Return the logits (N, 2)."""
        return forward(self.graph, self.parameters, images).logits.astype(np.float32)

    def peaks(self, images: NDArray[np.generic]) -> dict[int, NDArray[np.float32]]:
        """Return the largest value (N, 2) of each map of the convolution."""
        return {0: forward(self.graph, self.parameters, images).outputs[0].max(axis=(1, 2)).astype(np.float32)}


def lesson_model() -> LessonModel:
    """Return the worked example's network."""
    return LessonModel()


def lesson_image() -> NDArray[np.float32]:
    """Return the worked example's image, (6, 6, 1)."""
    return np.array(IMAGE, np.float32)[:, :, None]
