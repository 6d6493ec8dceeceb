"""What the tests of models and of training share: a small network, and data that it can learn."""

from __future__ import annotations

import numpy as np

from neocog.model.network import Network
from neocog.nn.blocks import Sequential
from neocog.nn.layers import Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU

NET = Sequential(Conv2d(3, 3), ReLU(), MaxPool2d(2), Flatten(), Sequential(Dropout(0.2), Linear(5), ReLU()), Linear(2))


def make_small(kind: type[Network], net: Sequential = NET, shape=(6, 6, 1), names=("dark", "bright"), **settings):
    return kind(net, shape, names, **{"engine": "reference", "seed": 3, **settings})


def brightnesses() -> tuple[np.ndarray, np.ndarray]:
    """Images of two brightnesses: (60, 6, 6, 1) uint8, and their classes."""
    stream = np.random.default_rng(0)
    labels = np.arange(60) % 2
    images = stream.integers(0, 120, (60, 6, 6, 1)) + 130 * labels[:, None, None, None]
    return images.astype(np.uint8), labels
