"""Residual networks with batch normalization after every convolution.

Layers are named as torchvision names them ("layer1.0.conv1"), so that weights of one fit the other name by name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from neocog.nn.graph import Graph
from neocog.nn.layers import Add, BatchNorm2d, Conv2d, GlobalAvgPool2d, Linear, MaxPool2d, ReLU
from neocog.nn.shapes import ImageShape
from neocog.nn.symbol import Input, Symbol

Block = Callable[[Symbol, str, int, int], Symbol]
"""Joins a block to a value: takes that, the name, the channels and the stride of the block."""

BLOCKS_18 = (2, 2, 2, 2)  # of each stage
BLOCKS_34 = (3, 4, 6, 3)  # of ResNet-50 too
BLOCKS_20 = (3, 3, 3)
BLOCKS_56 = (9, 9, 9)


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
    return _imagenet(_basic_block, BLOCKS_18, classes)


def resnet34(classes: int = 10) -> Graph:
    """Return ResNet-34 for photographs of 64 × 64 pixels or more, made for 224 × 224: torchvision's.

    As ResNet-18, with three, four, six and three basic blocks.

    Source: He et al. 2016, Deep residual learning for image recognition.
    """
    return _imagenet(_basic_block, BLOCKS_34, classes)


def resnet50(classes: int = 10) -> Graph:
    """Return ResNet-50 for photographs of 64 × 64 pixels or more, made for 224 × 224: torchvision's.

    Its three, four, six and three blocks are bottlenecks: 1 × 1, 3 × 3 and 1 × 1 convolutions, which end in 256, 512,
    1024 and 2048 channels. The 3 × 3 one has the stride, not the first as in the paper; it is known as ResNet v1.5.

    Source: He et al. 2016, Deep residual learning for image recognition.
    """
    return _imagenet(_bottleneck, BLOCKS_34, classes)


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
    return _cifar(BLOCKS_20, classes)


def resnet56(classes: int = 10) -> Graph:
    """Return the ResNet-56 that its inventors trained on CIFAR-10: `resnet20` with nine blocks a stage.

    Source: He et al. 2016, Deep residual learning for image recognition.
    """
    return _cifar(BLOCKS_56, classes)


def _imagenet(block: Block, blocks: Sequence[int], classes: int) -> Graph:
    image = Input(ImageShape(224, 224, 3))
    x = _normalised(image, Conv2d(64, 7, stride=2, padding=3, bias=False), "conv1", "bn1")
    x = ReLU()(x, name="relu")
    x = MaxPool2d(3, stride=2, padding=1)(x, name="maxpool")
    return _stages(image, x, 64, block, blocks, classes)


def _cifar(blocks: Sequence[int], classes: int) -> Graph:
    image = Input(ImageShape(32, 32, 3))
    x = ReLU()(_normalised(image, _convolution(16), "conv1", "bn1"), name="relu")
    return _stages(image, x, 16, _basic_block, blocks, classes)


def _stages(image: Symbol, x: Symbol, channels: int, block: Block, blocks: Sequence[int], classes: int) -> Graph:
    """Join stages of blocks to `x`, each with twice the channels of the one before, then pool and classify."""
    for stage, count in enumerate(blocks):
        for number in range(count):
            stride = 2 if stage > 0 and number == 0 else 1
            x = block(x, f"layer{stage + 1}.{number}", channels << stage, stride)
    x = GlobalAvgPool2d()(x, name="avgpool")
    return Graph(image, Linear(classes)(x, name="fc"))


def _basic_block(x: Symbol, name: str, channels: int, stride: int) -> Symbol:
    """Return relu(body(x) + x), where the body has two 3 × 3 convolutions."""
    y = _normalised(x, _convolution(channels, stride), f"{name}.conv1", f"{name}.bn1")
    y = ReLU()(y, name=f"{name}.relu1")
    y = _normalised(y, _convolution(channels), f"{name}.conv2", f"{name}.bn2")
    return ReLU()(_joined(x, y, name, channels, stride), name=f"{name}.relu2")


def _bottleneck(x: Symbol, name: str, channels: int, stride: int) -> Symbol:
    """Return relu(body(x) + x), where a 3 × 3 convolution stands between two of 1 × 1, and the last widens fourfold."""
    y = _normalised(x, Conv2d(channels, 1, bias=False), f"{name}.conv1", f"{name}.bn1")
    y = ReLU()(y, name=f"{name}.relu1")
    y = _normalised(y, _convolution(channels, stride), f"{name}.conv2", f"{name}.bn2")
    y = ReLU()(y, name=f"{name}.relu2")
    y = _normalised(y, Conv2d(4 * channels, 1, bias=False), f"{name}.conv3", f"{name}.bn3")
    return ReLU()(_joined(x, y, name, 4 * channels, stride), name=f"{name}.relu3")


def _joined(x: Symbol, y: Symbol, name: str, channels: int, stride: int) -> Symbol:
    """Return y + x; where the shapes differ, a convolution brings x to y's."""
    if x.shape != y.shape:
        shortcut = Conv2d(channels, 1, stride=stride, bias=False)
        x = _normalised(x, shortcut, f"{name}.downsample.0", f"{name}.downsample.1")
    return Add()(y, x, name=f"{name}.add")


def _convolution(channels: int, stride: int = 1) -> Conv2d:
    return Conv2d(channels, 3, stride=stride, padding=1, bias=False)  # the normalization behind it has the bias


def _normalised(x: Symbol, convolution: Conv2d, name: str, normalization: str) -> Symbol:
    return BatchNorm2d()(convolution(x, name=name), name=normalization)
