"""VGG."""

from __future__ import annotations

from neocog.nn.blocks import Sequential
from neocog.nn.layers import Conv2d, Dropout, Flatten, Layer, Linear, MaxPool2d, ReLU


def vgg(classes: int = 10) -> Sequential:
    """Return a small VGG for images of about 32 × 32 pixels: pairs of 3 × 3 convolutions between poolings.

    Source: Simonyan and Zisserman 2015, Very deep convolutional networks for large-scale image recognition.
    """
    layers: list[Layer] = []
    for channels in (32, 64, 128):
        for _ in range(2):
            layers += [Conv2d(channels, 3, padding=1), ReLU()]
        layers.append(MaxPool2d(2))
    return Sequential(*layers, Flatten(), Dropout(0.5), Linear(256), ReLU(), Linear(classes))
