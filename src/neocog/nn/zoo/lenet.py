"""LeNet."""

from __future__ import annotations

from neocog.nn.blocks import Sequential
from neocog.nn.layers import AvgPool2d, Conv2d, Flatten, Linear, ReLU


def lenet5(classes: int = 10) -> Sequential:
    """Return LeNet-5 for images of at least 12 × 12 pixels, with ReLU and full channel connections.

    Source: LeCun et al. 1998, Gradient-based learning applied to document recognition, whose trained averages, tanh
    units and partial connection table are left out, as in most present-day renderings.
    """
    return Sequential(
        Conv2d(6, 5, padding=2),
        ReLU(),
        AvgPool2d(2),
        Conv2d(16, 5),
        ReLU(),
        AvgPool2d(2),
        Flatten(),
        Linear(120),
        ReLU(),
        Linear(84),
        ReLU(),
        Linear(classes),
    )
