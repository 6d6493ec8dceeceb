"""The network that is trained unless another is asked for."""

from __future__ import annotations

from neocog.nn.blocks import Sequential
from neocog.nn.layers import Conv2d, Dropout, Flatten, Layer, Linear, MaxPool2d, ReLU
from neocog.nn.shapes import ImageShape


def default_net(image: ImageShape, classes: int) -> Sequential:
    """Choose a network for a size of image: as many pooling stages as leave at least 3 × 3 pixels, at most five.

    >>> from neocog.nn.graph import trace
    >>> trace(default_net(ImageShape(28, 28, 1), 10), (28, 28, 1)).output.features
    10
    """
    layers: list[Layer] = []
    side, channels = min(image.height, image.width), 32
    for _ in range(5):
        layers += [Conv2d(channels, 3, padding="same"), ReLU()]
        if side < 6:
            break
        layers.append(MaxPool2d(2))
        side //= 2
        channels = min(128, channels * 2)
    return Sequential(*layers, Flatten(), Dropout(0.25), Linear(128), ReLU(), Dropout(0.25), Linear(classes))
