"""GoogLeNet: Inception-v1.

Layers are named as torchvision names them ("inception3a.branch2.0.conv"), so that weights of one fit the other.
"""

from __future__ import annotations

from neocog.nn.graph import Graph
from neocog.nn.layers import BatchNorm2d, Concatenate, Conv2d, Dropout, GlobalAvgPool2d, Linear, MaxPool2d, ReLU
from neocog.nn.shapes import ImageShape
from neocog.nn.symbol import Input, Symbol

# Table 1 of the paper: channels of the 1 × 1 convolution; of the 1 × 1 before the 3 × 3, and of that; the same for the
# next branch; and of the 1 × 1 behind the pooling. Between them: windows of poolings that halve the image
INCEPTIONS: dict[str, tuple[int, ...] | int] = {
    "inception3a": (64, 96, 128, 16, 32, 32),
    "inception3b": (128, 128, 192, 32, 96, 64),
    "maxpool3": 3,
    "inception4a": (192, 96, 208, 16, 48, 64),
    "inception4b": (160, 112, 224, 24, 64, 64),
    "inception4c": (128, 128, 256, 24, 64, 64),
    "inception4d": (112, 144, 288, 32, 64, 64),
    "inception4e": (256, 160, 320, 32, 128, 128),
    "maxpool4": 2,
    "inception5a": (256, 160, 320, 32, 128, 128),
    "inception5b": (384, 192, 384, 48, 128, 128),
}


def googlenet(classes: int = 10) -> Graph:
    """Return GoogLeNet (Inception-v1) for images of 15 × 15 pixels or more, made for 224 × 224: torchvision's.

    As there, a BatchNorm2d follows each convolution, the branch of 5 × 5 convolutions has 3 × 3 ones, and the two
    auxiliary classifiers of the paper, which only help a training along, are left out.

    Source: Szegedy et al. 2015, Going deeper with convolutions.
    """
    image = Input(ImageShape(224, 224, 3))
    x = _convolution(image, "conv1", 64, 7, stride=2)
    x = MaxPool2d(3, stride=2, ceil_mode=True)(x, name="maxpool1")
    x = _convolution(x, "conv2", 64, 1)
    x = _convolution(x, "conv3", 192, 3)
    x = MaxPool2d(3, stride=2, ceil_mode=True)(x, name="maxpool2")
    for name, row in INCEPTIONS.items():
        x = MaxPool2d(row, stride=2, ceil_mode=True)(x, name=name) if isinstance(row, int) else _inception(x, name, row)
    x = Dropout(0.2)(GlobalAvgPool2d()(x, name="avgpool"), name="dropout")
    return Graph(image, Linear(classes)(x, name="fc"))


def _inception(x: Symbol, name: str, row: tuple[int, ...]) -> Symbol:
    """Join four branches: 1 × 1, 1 × 1 and 3 × 3 twice, and a pooling with a 1 × 1."""
    alone, before_first, first, before_second, second, pooled = row
    branches = [_convolution(x, f"{name}.branch1", alone, 1)]
    for branch, before, channels in (("branch2", before_first, first), ("branch3", before_second, second)):
        y = _convolution(x, f"{name}.{branch}.0", before, 1)
        branches.append(_convolution(y, f"{name}.{branch}.1", channels, 3))
    y = MaxPool2d(3, stride=1, padding=1)(x, name=f"{name}.branch4.0")
    branches.append(_convolution(y, f"{name}.branch4.1", pooled, 1))
    return Concatenate()(*branches, name=f"{name}.concat")


def _convolution(x: Symbol, name: str, channels: int, kernel: int, stride: int = 1) -> Symbol:
    x = Conv2d(channels, kernel, stride=stride, padding=kernel // 2, bias=False)(x, name=f"{name}.conv")
    return ReLU()(BatchNorm2d(epsilon=0.001)(x, name=f"{name}.bn"), name=f"{name}.relu")
