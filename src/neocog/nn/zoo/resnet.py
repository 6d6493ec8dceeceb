"""Residual networks with batch normalization after every convolution.

Layers are named as torchvision names them ("layer1.0.conv1"), so that weights of one fit the other name by name.
"""

from __future__ import annotations

from collections.abc import Sequence

from neocog.nn.graph import Graph
from neocog.nn.layers import Add, BatchNorm2d, Conv2d, GlobalAvgPool2d, Linear, MaxPool2d, ReLU
from neocog.nn.shapes import ImageShape
from neocog.nn.symbol import Input, Symbol

BLOCKS_18 = (2, 2, 2, 2)  # of each stage
BLOCKS_20 = (3, 3, 3)


def resnet18(classes: int = 10) -> Graph:
    """Return ResNet-18 for photographs of 64 × 64 pixels or more, made for 224 × 224: torchvision's.

    A 7 × 7 convolution of stride 2 and a max pooling shrink the image to a quarter; four stages of two basic blocks
    have 64, 128, 256 and 512 channels.

    Source: He et al. 2016, Deep residual learning for image recognition.

    >>> from neocog.nn.graph import trace
    >>> from neocog.nn.parameters import parameters_of
    >>> sum(p.size for p in parameters_of(trace(resnet18(1000), (224, 224, 3))))
    11689512
    """
    image = Input(ImageShape(224, 224, 3))
    x = _normalised(image, Conv2d(64, 7, stride=2, padding=3, bias=False), "conv1", "bn1")
    x = ReLU()(x, name="relu")
    x = MaxPool2d(3, stride=2, padding=1)(x, name="maxpool")
    return _stages(image, x, 64, BLOCKS_18, classes)


def resnet20(classes: int = 10) -> Graph:
    """Return the ResNet-20 that its inventors trained on CIFAR-10, for images of about 32 × 32 pixels.

    A 3 × 3 convolution keeps the size of the image; three stages of three basic blocks have 16, 32 and 64 channels.
    Where these grow, the shortcut is a 1 × 1 convolution (option B of the paper), as is usual today. The paper's
    figures for CIFAR-10 are of option A, which fills up with zeros and has 2,752 parameters less.

    Source: He et al. 2016, Deep residual learning for image recognition.

    >>> from neocog.nn.graph import trace
    >>> from neocog.nn.parameters import parameters_of
    >>> sum(p.size for p in parameters_of(trace(resnet20(), (32, 32, 3))))
    272474
    """
    image = Input(ImageShape(32, 32, 3))
    x = ReLU()(_normalised(image, _convolution(16), "conv1", "bn1"), name="relu")
    return _stages(image, x, 16, BLOCKS_20, classes)


def _stages(image: Symbol, x: Symbol, channels: int, blocks: Sequence[int], classes: int) -> Graph:
    """Join stages of basic blocks to `x`, each with twice the channels of the one before, then pool and classify."""
    for stage, count in enumerate(blocks):
        for block in range(count):
            stride = 2 if stage > 0 and block == 0 else 1
            x = _basic_block(x, f"layer{stage + 1}.{block}", channels << stage, stride)
    x = GlobalAvgPool2d()(x, name="avgpool")
    return Graph(image, Linear(classes)(x, name="fc"))


def _basic_block(x: Symbol, name: str, channels: int, stride: int) -> Symbol:
    """Return relu(body(x) + x), where the body has two convolutions; a stride needs a convolution of x too."""
    y = _normalised(x, _convolution(channels, stride), f"{name}.conv1", f"{name}.bn1")
    y = ReLU()(y, name=f"{name}.relu1")
    y = _normalised(y, _convolution(channels), f"{name}.conv2", f"{name}.bn2")
    if stride != 1:
        shortcut = Conv2d(channels, 1, stride=stride, bias=False)
        x = _normalised(x, shortcut, f"{name}.downsample.0", f"{name}.downsample.1")
    return ReLU()(Add()(y, x, name=f"{name}.add"), name=f"{name}.relu2")


def _convolution(channels: int, stride: int = 1) -> Conv2d:
    return Conv2d(channels, 3, stride=stride, padding=1, bias=False)  # the normalization behind it has the bias


def _normalised(x: Symbol, convolution: Conv2d, name: str, normalization: str) -> Symbol:
    return BatchNorm2d()(convolution(x, name=name), name=normalization)
