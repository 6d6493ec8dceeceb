"""The network that is trained unless another is asked for."""

from __future__ import annotations

from neocog.nn.blocks import Residual, Sequential
from neocog.nn.layers import BatchNorm2d, Conv2d, Dropout, GlobalAvgPool2d, Layer, Linear, MaxPool2d, ReLU
from neocog.nn.shapes import ImageShape

PHOTO_SIDE = 64  # pixels a side, from which on an image is a photograph
PHOTO_CHANNELS = 24  # of the first convolution
PHOTO_DROPOUT = 0.2
SMALL_CHANNELS = 32
MOST_STAGES = 3
LEAST_SIDE = 4  # pixels that the last stage of a small image works on


def default_net(image: ImageShape, classes: int, width: float = 1.0) -> Sequential:
    """Choose a residual network for a size of image, of what is fast on a processor: 3 × 3 convolutions of stride 1.

    After a first convolution come stages of twice the channels each: a convolution, a pooling, and a residual block of
    two convolutions; all are followed by a normalization. Photographs are brought to a quarter before (`fast224`), and
    go through three stages of 48 to 192 channels; small images through as many as leave 4 × 4 pixels, at most three, of
    64 to 256 channels.

    Arguments:
        image: what it is for.
        classes: outputs.
        width: factor on all channels, which come in eights.

    >>> from neocog.nn.graph import trace
    >>> trace(default_net(ImageShape(28, 28, 1), 10), (28, 28, 1)).output.features
    10
    """
    side = min(image.height, image.width)
    if side >= PHOTO_SIDE:
        first = [*_convolution(PHOTO_CHANNELS, width, stride=2), MaxPool2d(2)]
        stages = _stages(PHOTO_CHANNELS, MOST_STAGES, width)
        return Sequential(*first, *stages, GlobalAvgPool2d(), Dropout(PHOTO_DROPOUT), Linear(classes))
    count = sum(side >> stage >= LEAST_SIDE for stage in range(1, MOST_STAGES + 1))
    stages = _stages(SMALL_CHANNELS, count, width)
    return Sequential(*_convolution(SMALL_CHANNELS, width), *stages, GlobalAvgPool2d(), Linear(classes))


def _stages(channels: int, count: int, width: float) -> list[Layer]:
    """Return stages behind so many channels, each with twice those of the one before."""
    layers: list[Layer] = []
    for stage in range(1, count + 1):
        own = channels << stage
        body = Sequential(*_convolution(own, width), *_convolution(own, width)[:2])
        layers += [*_convolution(own, width), MaxPool2d(2), Residual(body), ReLU()]
    return layers


def _convolution(channels: int, width: float, stride: int = 1) -> list[Layer]:
    filters = max(8, 8 * round(channels * width / 8))
    return [Conv2d(filters, 3, stride=stride, padding=1, bias=False), BatchNorm2d(), ReLU()]
