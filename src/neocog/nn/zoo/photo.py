"""A plain network for photographs."""

from __future__ import annotations

from neocog.nn.blocks import Sequential
from neocog.nn.layers import Conv2d, Flatten, Layer, Linear, MaxPool2d, ReLU


def photo(classes: int = 10) -> Sequential:
    """Return four stages of convolution and pooling, 32 to 128 channels, for photographs of about 96 × 96 pixels."""
    layers: list[Layer] = []
    for channels in (32, 64, 128, 128):
        layers += [Conv2d(channels, 3, padding=1), ReLU(), MaxPool2d(2)]
    return Sequential(*layers, Flatten(), Linear(256), ReLU(), Linear(classes))
