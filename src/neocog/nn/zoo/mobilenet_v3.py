"""MobileNetV3: V2's blocks with squeeze-and-excitation and hard swish, found by a search on telephones.

Layers are named as torchvision names them ("features.1.block.0.0"), so that weights of one fit the other name by name.
"""

from __future__ import annotations

from neocog.nn.blocks import Sequential, SqueezeExcite
from neocog.nn.graph import Graph
from neocog.nn.layers import Add, BatchNorm2d, Dropout, GlobalAvgPool2d, Hardsigmoid, Hardswish, Layer, Linear, ReLU
from neocog.nn.shapes import ImageShape
from neocog.nn.symbol import Input, Symbol
from neocog.nn.zoo.parts import channels, convolution, multiple_of_8

RE, HS = ReLU(), Hardswish()
NORM = BatchNorm2d(momentum=0.01, epsilon=0.001)

# Tables 1 and 2 of the paper: kernel, channels inside, channels, whether squeezed and excited, activation, stride
LARGE = (
    (3, 16, 16, False, RE, 1),
    (3, 64, 24, False, RE, 2),
    (3, 72, 24, False, RE, 1),
    (5, 72, 40, True, RE, 2),
    (5, 120, 40, True, RE, 1),
    (5, 120, 40, True, RE, 1),
    (3, 240, 80, False, HS, 2),
    (3, 200, 80, False, HS, 1),
    (3, 184, 80, False, HS, 1),
    (3, 184, 80, False, HS, 1),
    (3, 480, 112, True, HS, 1),
    (3, 672, 112, True, HS, 1),
    (5, 672, 160, True, HS, 2),
    (5, 960, 160, True, HS, 1),
    (5, 960, 160, True, HS, 1),
)
SMALL = (
    (3, 16, 16, True, RE, 2),
    (3, 72, 24, False, RE, 2),
    (3, 88, 24, False, RE, 1),
    (5, 96, 40, True, HS, 2),
    (5, 240, 40, True, HS, 1),
    (5, 240, 40, True, HS, 1),
    (5, 120, 48, True, HS, 1),
    (5, 144, 48, True, HS, 1),
    (5, 288, 96, True, HS, 2),
    (5, 576, 96, True, HS, 1),
    (5, 576, 96, True, HS, 1),
)


def mobilenet_v3_small(classes: int = 10) -> Graph:
    """Return MobileNetV3-small for images of any size, made for 224 × 224: torchvision's.

    Source: Howard et al. 2019, Searching for MobileNetV3.
    """
    return _mobilenet_v3(SMALL, 1024, classes)


def mobilenet_v3_large(classes: int = 10) -> Graph:
    """Return MobileNetV3-large for images of any size, made for 224 × 224: torchvision's.

    Source: Howard et al. 2019, Searching for MobileNetV3.
    """
    return _mobilenet_v3(LARGE, 1280, classes)


def _mobilenet_v3(rows: tuple[tuple[int, int, int, bool, Layer, int], ...], hidden: int, classes: int) -> Graph:
    image = Input(ImageShape(224, 224, 3))
    x = convolution(16, 3, stride=2, activation=HS, norm=NORM)(image, name="features.0")
    for number, row in enumerate(rows, 1):
        x = _block(x, f"features.{number}", *row)
    x = convolution(6 * channels(x), activation=HS, norm=NORM)(x, name=f"features.{len(rows) + 1}")
    x = GlobalAvgPool2d()(x, name="avgpool")
    return Graph(image, Sequential(Linear(hidden), HS, Dropout(0.2), Linear(classes))(x, name="classifier"))


def _block(
    x: Symbol, name: str, kernel: int, inside: int, wide: int, excited: bool, activation: Layer, stride: int
) -> Symbol:
    """Widen, look at each channel by itself, weigh the channels, and narrow; add x where shapes allow."""
    layers: list[Layer] = [] if inside == channels(x) else [convolution(inside, activation=activation, norm=NORM)]
    layers.append(convolution(inside, kernel, stride, groups=inside, activation=activation, norm=NORM))
    if excited:
        layers.append(SqueezeExcite(squeezed=multiple_of_8(inside // 4), gate=Hardsigmoid()))
    y = Sequential(*layers, convolution(wide, norm=NORM))(x, name=f"{name}.block")
    return Add()(y, x, name=f"{name}.add") if y.shape == x.shape else y
