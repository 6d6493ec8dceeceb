"""MobileNetV2: inverted residual blocks, wide inside and narrow between.

Layers are named as torchvision names them ("features.1.conv.0.0"), so that weights of one fit the other name by name.
"""

from __future__ import annotations

from neocog.nn.blocks import Sequential
from neocog.nn.graph import Graph
from neocog.nn.layers import Add, Dropout, GlobalAvgPool2d, Layer, Linear, ReLU6
from neocog.nn.shapes import ImageShape
from neocog.nn.symbol import Input, Symbol
from neocog.nn.zoo.parts import channels, convolution, multiple_of_8

# Table 2 of the paper: how much wider a block is inside, its channels, how many there are, stride of the first
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def mobilenet_v2(classes: int = 10, width: float = 1.0) -> Graph:
    """Return MobileNetV2 for images of any size, made for 224 × 224: torchvision's.

    Arguments:
        classes: number of outputs.
        width: what all numbers of channels are multiplied by, rounded to multiples of 8; the last 1 × 1 convolution
            has at least 1280.

    Source: Sandler et al. 2018, MobileNetV2: inverted residuals and linear bottlenecks.
    """
    image = Input(ImageShape(224, 224, 3))
    x = convolution(multiple_of_8(32 * width), 3, stride=2, activation=ReLU6())(image, name="features.0")
    number = 1
    for expansion, wide, blocks, stride in STAGES:
        for block in range(blocks):
            step = 1 if block else stride
            x = _inverted_residual(x, f"features.{number}", expansion, multiple_of_8(wide * width), step)
            number += 1
    last = multiple_of_8(1280 * max(1.0, width))
    x = convolution(last, activation=ReLU6())(x, name=f"features.{number}")
    x = GlobalAvgPool2d()(x, name="avgpool")
    return Graph(image, Sequential(Dropout(0.2), Linear(classes))(x, name="classifier"))


def _inverted_residual(x: Symbol, name: str, expansion: int, wide: int, stride: int) -> Symbol:
    """Widen, look at each channel by itself, and narrow without an activation; add x where shapes allow."""
    inside = channels(x) * expansion
    layers: list[Layer] = [] if expansion == 1 else [convolution(inside, activation=ReLU6())]
    layers.append(convolution(inside, 3, stride, groups=inside, activation=ReLU6()))
    body = Sequential(*layers, *convolution(wide).layers)
    y = body(x, name=f"{name}.conv")
    return Add()(y, x, name=f"{name}.add") if y.shape == x.shape else y
