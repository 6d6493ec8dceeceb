"""Networks of our own, which train and answer fast on a processor.

Their work is 3 × 3 convolutions of stride 1, which run by Winograd's algorithm, and poolings, which run in the last
lines of the convolutions before them. What is narrow is cheap; what is deep has residual blocks.
"""

from __future__ import annotations

from neocog.nn.blocks import Residual, Sequential
from neocog.nn.layers import BatchNorm2d, Conv2d, Dropout, GlobalAvgPool2d, Layer, Linear, MaxPool2d, ReLU


def fast32(classes: int = 10) -> Sequential:
    """Return a small fast network for images of about 32 × 32 pixels, such as CIFAR-10.

    Three stages of 32, 64 and 128 channels; a pooling halves the image before the second and the third, which end in
    a residual block.
    """
    return Sequential(
        *_convolution(32),
        *_convolution(64),
        MaxPool2d(2),
        _residual(64),
        ReLU(),
        *_convolution(128),
        MaxPool2d(2),
        _residual(128),
        ReLU(),
        GlobalAvgPool2d(),
        Dropout(0.1),
        Linear(classes),
    )


def fast224(classes: int = 10) -> Sequential:
    """Return a small fast network for photographs of about 96 × 96 to 224 × 224 pixels.

    A convolution of stride 2 and a pooling bring the image to a quarter; three stages of 48, 96 and 192 channels, which
    cost about the same each, begin with a convolution and a pooling and end in a residual block.
    """
    layers: list[Layer] = [*_convolution(24, stride=2), MaxPool2d(2)]
    for channels in (48, 96, 192):
        layers += [*_convolution(channels), MaxPool2d(2), _residual(channels), ReLU()]
    return Sequential(*layers, GlobalAvgPool2d(), Dropout(0.2), Linear(classes))


def _residual(channels: int) -> Residual:
    first, second = _convolution(channels), _convolution(channels)
    return Residual(Sequential(*first, *second[:2]))


def _convolution(channels: int, stride: int = 1) -> tuple[Layer, Layer, Layer]:
    return Conv2d(channels, 3, stride=stride, padding=1, bias=False), BatchNorm2d(), ReLU()
