"""The network of an introductory article on convolutional networks."""

from __future__ import annotations

from neocog.nn.blocks import Sequential
from neocog.nn.layers import Conv2d, Flatten, Linear, MaxPool2d, ReLU


def article(classes: int = 10) -> Sequential:
    """Return the network of an introductory article: (convolution, pooling) twice, flatten, two fully connected layers.

    Needs images of at least 10 × 10 pixels.
    """
    return Sequential(
        Conv2d(32, 3),
        ReLU(),
        MaxPool2d(2),
        Conv2d(64, 3),
        ReLU(),
        MaxPool2d(2),
        Flatten(),
        Linear(128),
        ReLU(),
        Linear(classes),
    )
