"""DenseNet: each layer takes what all layers before it in its block gave.

Layers are named as torchvision names them ("features.denseblock1.denselayer1.conv1"), so that weights fit.
"""

from __future__ import annotations

from neocog.nn.graph import Graph
from neocog.nn.layers import AvgPool2d, BatchNorm2d, Concatenate, Conv2d, GlobalAvgPool2d, Linear, MaxPool2d, ReLU
from neocog.nn.shapes import ImageShape
from neocog.nn.symbol import Input, Symbol

LAYERS_121 = (6, 12, 24, 16)  # of each dense block
GROWTH = 32  # channels that each layer adds
BOTTLENECK = 4 * GROWTH  # channels between its two convolutions


def densenet121(classes: int = 10) -> Graph:
    """Return DenseNet-121 (with bottlenecks and compression) for images of 29 × 29 pixels or more, made for 224 × 224.

    Source: Huang et al. 2017, Densely connected convolutional networks; torchvision's densenet121.
    """
    image = Input(ImageShape(224, 224, 3))
    x = Conv2d(64, 7, stride=2, padding=3, bias=False)(image, name="features.conv0")
    x = _active(x, "features.norm0", "features.relu0")
    x = MaxPool2d(3, stride=2, padding=1)(x, name="features.pool0")
    channels = 64
    for block, layers in enumerate(LAYERS_121, 1):
        for layer in range(1, layers + 1):
            x = _dense_layer(x, f"features.denseblock{block}.denselayer{layer}")
        channels += layers * GROWTH
        if block < len(LAYERS_121):
            channels //= 2
            x = _transition(x, f"features.transition{block}", channels)
    x = _active(x, "features.norm5", "relu")
    return Graph(image, Linear(classes)(GlobalAvgPool2d()(x, name="avgpool"), name="classifier"))


def _dense_layer(x: Symbol, name: str) -> Symbol:
    """Join the channels that a 1 × 1 and a 3 × 3 convolution make of all that there are."""
    y = Conv2d(BOTTLENECK, 1, bias=False)(_active(x, f"{name}.norm1", f"{name}.relu1"), name=f"{name}.conv1")
    y = _active(y, f"{name}.norm2", f"{name}.relu2")
    y = Conv2d(GROWTH, 3, padding=1, bias=False)(y, name=f"{name}.conv2")
    return Concatenate()(x, y, name=f"{name}.concat")


def _transition(x: Symbol, name: str, channels: int) -> Symbol:
    """Halve the channels and the image."""
    x = Conv2d(channels, 1, bias=False)(_active(x, f"{name}.norm", f"{name}.relu"), name=f"{name}.conv")
    return AvgPool2d(2)(x, name=f"{name}.pool")


def _active(x: Symbol, norm: str, relu: str) -> Symbol:
    return ReLU()(BatchNorm2d()(x, name=norm), name=relu)
