"""MobileNetV1: a depthwise and a 1 × 1 convolution in place of each full one.

Layers are named as timm names them ("blocks.0.0.conv_dw"), so that weights of one fit the other name by name.
"""

from __future__ import annotations

from neocog.nn.graph import Graph
from neocog.nn.layers import BatchNorm2d, Conv2d, GlobalAvgPool2d, Linear, ReLU6
from neocog.nn.shapes import ImageShape
from neocog.nn.symbol import Input, Symbol
from neocog.nn.zoo.parts import channels, multiple_of_8

STAGES = ((64,), (128, 128), (256, 256), (512,) * 6, (1024, 1024))
"""Channels of each block, table 1 of the paper; all stages but the first begin with stride 2."""


def mobilenet_v1(classes: int = 10, width: float = 1.0) -> Graph:
    """Return MobileNetV1 for images of any size, made for 224 × 224.

    Arguments:
        classes: number of outputs.
        width: what all numbers of channels are multiplied by, rounded to multiples of 8; 0.25 to 1 in the paper.

    As in its authors' code, activations are ReLU6.

    Source: Howard et al. 2017, MobileNets: efficient convolutional neural networks for mobile vision applications.
    """
    image = Input(ImageShape(224, 224, 3))
    stem = Conv2d(multiple_of_8(32 * width), 3, stride=2, padding=1, bias=False)
    x = _active(stem(image, name="conv_stem"), "bn1")
    for stage, blocks in enumerate(STAGES):
        for block, wide in enumerate(blocks):
            stride = 2 if stage and not block else 1
            x = _separable(x, f"blocks.{stage}.{block}", multiple_of_8(wide * width), stride)
    return Graph(image, Linear(classes)(GlobalAvgPool2d()(x, name="global_pool"), name="classifier"))


def mobilenet_v1_x0_5(classes: int = 10) -> Graph:
    """Return MobileNetV1 of half the usual width; see `mobilenet_v1`."""
    return mobilenet_v1(classes, 0.5)


def mobilenet_v1_x0_25(classes: int = 10) -> Graph:
    """Return MobileNetV1 of a quarter of the usual width; see `mobilenet_v1`."""
    return mobilenet_v1(classes, 0.25)


def _separable(x: Symbol, name: str, wide: int, stride: int) -> Symbol:
    """Look at each channel by itself, then mix them."""
    depthwise = Conv2d(channels(x), 3, stride=stride, padding=1, groups=channels(x), bias=False)
    x = _active(depthwise(x, name=f"{name}.conv_dw"), f"{name}.bn1")
    return _active(Conv2d(wide, 1, bias=False)(x, name=f"{name}.conv_pw"), f"{name}.bn2")


def _active(x: Symbol, name: str) -> Symbol:
    return ReLU6()(BatchNorm2d()(x, name=name), name=f"{name}.act")
