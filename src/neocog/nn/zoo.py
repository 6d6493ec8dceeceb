"""Known networks as plain functions of the number of classes, and the default choice for a size of image."""

from __future__ import annotations

from collections.abc import Callable

from neocog.errors import SettingError
from neocog.nn.blocks import Sequential
from neocog.nn.layers import AvgPool2d, Conv2d, Dropout, Flatten, Layer, Linear, MaxPool2d, ReLU
from neocog.nn.shapes import ImageShape


def article(classes: int = 10) -> Sequential:
    """The network of an introductory article: (convolution, pooling) twice, flatten, two fully connected layers.

    Needs images of at least 10 × 10 pixels.
    """
    return Sequential(
        Conv2d(32, 3),
        ReLU(),
        MaxPool2d(2),
        Conv2d(64, 3),
        ReLU(),
        MaxPool2d(2),
        Flatten(),
        Linear(128),
        ReLU(),
        Linear(classes),
    )


def photo(classes: int = 10) -> Sequential:
    """Four stages of convolution and pooling, 32 to 128 channels, for photographs of about 96 × 96 pixels."""
    layers: list[Layer] = []
    for channels in (32, 64, 128, 128):
        layers += [Conv2d(channels, 3, padding=1), ReLU(), MaxPool2d(2)]
    return Sequential(*layers, Flatten(), Linear(256), ReLU(), Linear(classes))


def lenet5(classes: int = 10) -> Sequential:
    """LeNet-5 for images of at least 12 × 12 pixels, with ReLU and full channel connections.

    Source: LeCun et al. 1998, Gradient-based learning applied to document recognition, whose trained averages, tanh
    units and partial connection table are left out, as in most present-day renderings.
    """
    return Sequential(
        Conv2d(6, 5, padding=2),
        ReLU(),
        AvgPool2d(2),
        Conv2d(16, 5),
        ReLU(),
        AvgPool2d(2),
        Flatten(),
        Linear(120),
        ReLU(),
        Linear(84),
        ReLU(),
        Linear(classes),
    )


def vgg(classes: int = 10) -> Sequential:
    """A small VGG for images of about 32 × 32 pixels: pairs of 3 × 3 convolutions between poolings.

    Source: Simonyan and Zisserman 2015, Very deep convolutional networks for large-scale image recognition.
    """
    layers: list[Layer] = []
    for channels in (32, 64, 128):
        for _ in range(2):
            layers += [Conv2d(channels, 3, padding=1), ReLU()]
        layers.append(MaxPool2d(2))
    return Sequential(*layers, Flatten(), Dropout(0.5), Linear(256), ReLU(), Linear(classes))


MODELS: dict[str, Callable[[int], Sequential]] = {"article": article, "lenet5": lenet5, "photo": photo, "vgg": vgg}


def default_net(image: ImageShape, classes: int) -> Sequential:
    """Choose a network for a size of image: as many pooling stages as leave at least 3 × 3 pixels, at most five.

    >>> from neocog.nn.graph import trace
    >>> trace(default_net(ImageShape(28, 28, 1), 10), (28, 28, 1)).output.features
    10
    """
    layers: list[Layer] = []
    side, channels = min(image.height, image.width), 32
    for _ in range(5):
        layers += [Conv2d(channels, 3, padding="same"), ReLU()]
        if side < 6:
            break
        layers.append(MaxPool2d(2))
        side //= 2
        channels = min(128, channels * 2)
    return Sequential(*layers, Flatten(), Dropout(0.25), Linear(128), ReLU(), Dropout(0.25), Linear(classes))


def make_net(name: str, image: ImageShape, classes: int) -> Sequential:
    """Make the network called `name`; "auto" is `default_net`.

    Raises:
        SettingError: there is no such network.
    """
    if name == "auto":
        return default_net(image, classes)
    if name not in MODELS:
        raise SettingError(f"unknown model {name!r}", hint=f"known models: auto, {', '.join(sorted(MODELS))}")
    return MODELS[name](classes)
