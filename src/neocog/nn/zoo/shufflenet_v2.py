"""ShuffleNetV2: half of the channels pass by each block, and are then mixed with the others.

Layers are named as torchvision names them ("stage2.0.branch1.0"), so that weights of one fit the other name by name.
"""

from __future__ import annotations

from neocog.nn.blocks import Sequential
from neocog.nn.graph import Graph
from neocog.nn.layers import ChannelShuffle, Concatenate, GlobalAvgPool2d, Linear, MaxPool2d, ReLU
from neocog.nn.shapes import ImageShape
from neocog.nn.symbol import Input, Symbol
from neocog.nn.zoo.parts import channels, convolution

BLOCKS = (4, 8, 4)  # of each stage; the first of a stage halves the image
CHANNELS_0_5 = (24, 48, 96, 192, 1024)  # of the stem, of the stages, of the last convolution: table 5 of the paper
CHANNELS_1_0 = (24, 116, 232, 464, 1024)


def shufflenet_v2_x0_5(classes: int = 10) -> Graph:
    """Return ShuffleNetV2 of half the usual width for images of any size, made for 224 × 224: torchvision's.

    Source: Ma et al. 2018, ShuffleNet V2: practical guidelines for efficient CNN architecture design.
    """
    return _shufflenet(CHANNELS_0_5, classes)


def shufflenet_v2_x1_0(classes: int = 10) -> Graph:
    """Return ShuffleNetV2 for images of any size, made for 224 × 224: torchvision's.

    Source: Ma et al. 2018, ShuffleNet V2: practical guidelines for efficient CNN architecture design.
    """
    return _shufflenet(CHANNELS_1_0, classes)


def _shufflenet(wide: tuple[int, ...], classes: int) -> Graph:
    image = Input(ImageShape(224, 224, 3))
    stem, *stages, last = wide
    x = convolution(stem, 3, stride=2, activation=ReLU())(image, name="conv1")
    x = MaxPool2d(3, stride=2, padding=1)(x, name="maxpool")
    for stage, (blocks, out) in enumerate(zip(BLOCKS, stages, strict=True), 2):
        for block in range(blocks):
            name = f"stage{stage}.{block}"
            x = _passing(x, name) if block else _halving(x, name, out)
    x = GlobalAvgPool2d()(convolution(last, activation=ReLU())(x, name="conv5"), name="avgpool")
    return Graph(image, Linear(classes)(x, name="fc"))


def _passing(x: Symbol, name: str) -> Symbol:
    """Let one half of the channels pass, and take the other through a block."""
    left, right = x.split(2)
    right = _body(channels(right), stride=1)(right, name=f"{name}.branch2")
    return _mixed(left, right, name)


def _halving(x: Symbol, name: str, out: int) -> Symbol:
    """Halve the image in two branches, each of which gives half of the channels."""
    depthwise = convolution(channels(x), 3, stride=2, groups=channels(x))
    left = Sequential(*depthwise.layers, *convolution(out // 2, activation=ReLU()).layers)
    right = _body(out // 2, stride=2)
    return _mixed(left(x, name=f"{name}.branch1"), right(x, name=f"{name}.branch2"), name)


def _body(out: int, stride: int) -> Sequential:
    """Return 1 × 1, 3 × 3 depthwise and 1 × 1 convolutions."""
    return Sequential(
        *convolution(out, activation=ReLU()).layers,
        *convolution(out, 3, stride, groups=out).layers,
        *convolution(out, activation=ReLU()).layers,
    )


def _mixed(left: Symbol, right: Symbol, name: str) -> Symbol:
    """Lay the channels of two branches in turn, one of each."""
    return ChannelShuffle(2)(Concatenate()(left, right, name=f"{name}.concat"), name=f"{name}.shuffle")
