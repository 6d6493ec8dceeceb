"""SqueezeNet: as accurate as AlexNet with a fiftieth of its parameters.

Layers are named as torchvision names them ("features.3.squeeze"), so that weights of one fit the other name by name.
"""

from __future__ import annotations

from neocog.nn.blocks import Sequential
from neocog.nn.graph import Graph
from neocog.nn.layers import Concatenate, Conv2d, Dropout, GlobalAvgPool2d, MaxPool2d, ReLU
from neocog.nn.shapes import ImageShape
from neocog.nn.symbol import Input, Symbol

Fire = tuple[int, int]  # channels that a block squeezes to, and those of each of the two convolutions that widen again
POOL = None
PLAN_1_0 = ((16, 64), (16, 64), (32, 128), POOL, (32, 128), (48, 192), (48, 192), (64, 256), POOL, (64, 256))
PLAN_1_1 = ((16, 64), (16, 64), POOL, (32, 128), (32, 128), POOL, (48, 192), (48, 192), (64, 256), (64, 256))


def squeezenet1_0(classes: int = 10) -> Graph:
    """Return SqueezeNet 1.0 for images of 21 × 21 pixels or more, made for 224 × 224: torchvision's.

    Source: Iandola et al. 2016, SqueezeNet: AlexNet-level accuracy with 50× fewer parameters and < 0.5 MB model size.
    """
    return _squeezenet(Conv2d(96, 7, stride=2), PLAN_1_0, classes)


def squeezenet1_1(classes: int = 10) -> Graph:
    """Return SqueezeNet 1.1, its authors' later form with 2.4 times less work, for images of 17 × 17 pixels or more.

    Source: Iandola et al. 2016, and their release of 1.1.
    """
    return _squeezenet(Conv2d(64, 3, stride=2), PLAN_1_1, classes)


def _squeezenet(stem: Conv2d, plan: tuple[Fire | None, ...], classes: int) -> Graph:
    image = Input(ImageShape(224, 224, 3))
    x = ReLU()(stem(image, name="features.0"), name="features.1")
    for number, fire in enumerate((POOL, *plan), 2):
        name = f"features.{number}"
        x = MaxPool2d(3, stride=2, ceil_mode=True)(x, name=name) if fire is POOL else _fire(x, name, *fire)
    x = Sequential(Dropout(0.5), Conv2d(classes, 1), ReLU())(x, name="classifier")
    return Graph(image, GlobalAvgPool2d()(x, name="classifier.3"))


def _fire(x: Symbol, name: str, squeezed: int, widened: int) -> Symbol:
    """Squeeze the channels by a 1 × 1 convolution, and widen them by one of 1 × 1 beside one of 3 × 3."""
    x = Conv2d(squeezed, 1)(x, name=f"{name}.squeeze")
    x = ReLU()(x, name=f"{name}.squeeze_activation")
    branches = []
    for kernel, branch in ((1, "expand1x1"), (3, "expand3x3")):
        y = Conv2d(widened, kernel, padding=kernel // 2)(x, name=f"{name}.{branch}")
        branches.append(ReLU()(y, name=f"{name}.{branch}_activation"))
    return Concatenate()(*branches, name=f"{name}.concat")
