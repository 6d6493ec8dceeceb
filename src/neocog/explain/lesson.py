"""The worked examples: a 6 × 6 image, two 3 × 3 filters, 2 × 2 max pooling, and whole numbers throughout.

The first filter looks for a line that falls to the right, the second for an upright one. Behind the pooling, an
output for each adds up what its own filter found. In the second example the image has colours, and so have the filters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


LINES = ("falling line", "upright line")


class LessonModel:
    """A worked example's network, with its weights; computed by the reference, so that nothing is compiled.

    Arguments:
        weight: (3, 3, C, 2) of its two filters.
        class_names: what each of them looks for.
    """

    def __init__(self, weight: NDArray[np.float32], class_names: tuple[str, ...]) -> None:
        self.graph: Graph = trace(lesson_net(), (6, 6, weight.shape[2]))
        sums = np.tile(np.eye(2, dtype=np.float32), (4, 1))  # the pooled cells lie as (row, column, filter)
        self.parameters: Mapping[str, NDArray[np.float32]] = MappingProxyType({"0.weight": weight, "3.weight": sums})
        self.class_names: tuple[str, ...] = class_names
        self.loss: Loss = CrossEntropy()

    def __call__(self, images: NDArray[np.generic]) -> NDArray[np.float32]:
        """Return the logits (N, 2)."""
        return forward(self.graph, self.parameters, images).logits.astype(np.float32)

    def peaks(self, images: NDArray[np.generic]) -> dict[int, NDArray[np.float32]]:
        """Return the largest value (N, 2) of each map of the convolution."""
        return {0: forward(self.graph, self.parameters, images).outputs[0].max(axis=(1, 2)).astype(np.float32)}

    def outputs(self, images: NDArray[np.generic], layers: Sequence[int]) -> dict[int, NDArray[np.float32]]:
        """Return what some layers give."""
        found = forward(self.graph, self.parameters, images).outputs
        return {index: found[index].astype(np.float32) for index in layers}


def lesson_net() -> Sequential:
    """Return the worked example's layers."""
    return Sequential(Conv2d(2, 3, bias=False), MaxPool2d(2), Flatten(), Linear(2, bias=False))


def lesson_model() -> LessonModel:
    """Return the worked example's network."""
    weight = np.array(FILTERS, np.float32).transpose(1, 2, 0)[:, :, None, :]
    return LessonModel(weight, LINES)


def lesson_examples() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return what the two filters' task is: images (32, 6, 6, 1) of a single line, falling or upright, at each of 16
    places, and their classes (32,).

    >>> images, labels = lesson_examples()
    >>> images[0, :, :, 0].astype(int).tolist()[:3], labels.tolist().count(1)
    ([[1, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0]], 16)
    """
    images = np.zeros((len(FILTERS), 4, 4, 6, 6, 1), np.float32)
    for kind, filter in enumerate(FILTERS):
        for row, column in np.ndindex(4, 4):
            images[kind, row, column, row : row + 3, column : column + 3, 0] = np.array(filter) > 0
    return images.reshape(-1, 6, 6, 1), np.repeat(np.arange(len(FILTERS)), 16)


def lesson_image() -> NDArray[np.float32]:
    """Return the worked example's image, (6, 6, 1)."""
    return np.array(IMAGE, np.float32)[:, :, None]


def colour_model() -> LessonModel:
    """Return the network of the worked example with colours: one filter looks for red that falls to the right on a blue
    ground, the other for upright green.
    """
    falling, upright = (np.array(kernel, np.float32) for kernel in FILTERS)
    nothing = np.zeros_like(falling)
    filters = ((falling, nothing, -falling), (nothing, upright, nothing - (upright > 0)))
    weight = np.array(filters, np.float32).transpose(2, 3, 1, 0)  # (3, 3, C, 2)
    return LessonModel(np.ascontiguousarray(weight), ("red falling line", "green upright line"))


def colour_image() -> NDArray[np.float32]:
    """Return the image of the worked example with colours, (6, 6, 3): red is the other example's image, green its
    mirror image, blue what is left.
    """
    red = np.array(IMAGE, np.float32)
    green = red[:, ::-1]
    return np.stack([red, green, 1 - np.maximum(red, green)], axis=-1)
