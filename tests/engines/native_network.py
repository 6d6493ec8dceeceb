"""A network with a layer of each kind that threads share in another way, and batches for it."""

from __future__ import annotations

import numpy as np

from neocog.nn.blocks import Sequential
from neocog.nn.graph import Graph, trace
from neocog.nn.layers import AvgPool2d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU

NET = Sequential(
    Conv2d(20, 3, padding=1),
    ReLU(),
    MaxPool2d(3, 2, 1),
    Dropout(0.3),
    Conv2d(24, (3, 2), stride=2, padding="same"),
    ReLU(),
    AvgPool2d(2),
    Flatten(),
    Linear(33),
    ReLU(),
    Linear(4),
)
GRAPH = trace(NET, (15, 18, 3))


def batch(graph: Graph, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw images and labels."""
    random = np.random.default_rng(seed)
    shape = (count, graph.input.height, graph.input.width, graph.input.channels)
    return random.integers(0, 256, shape, np.uint8), random.integers(0, graph.classes, count).astype(np.int32)
