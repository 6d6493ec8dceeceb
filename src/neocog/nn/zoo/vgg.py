"""VGG: 3 × 3 convolutions, and poolings that halve the image.

Layers are named as torchvision names them ("features.0"), so that weights of one fit the other name by name.
"""

from __future__ import annotations

from neocog.nn.blocks import Sequential
from neocog.nn.graph import Graph
from neocog.nn.layers import AdaptiveAvgPool2d, BatchNorm2d, Conv2d, Dropout, Flatten, Layer, Linear, MaxPool2d, ReLU
from neocog.nn.shapes import ImageShape
from neocog.nn.symbol import Input

STAGES_11 = ((64,), (128,), (256, 256), (512, 512), (512, 512))  # channels of each convolution between two poolings
STAGES_16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
HIDDEN = 4096  # values of the fully connected layers


def vgg(classes: int = 10) -> Sequential:
    """Return a small VGG for images of about 32 × 32 pixels: pairs of 3 × 3 convolutions between poolings.

    Source: Simonyan and Zisserman 2015, Very deep convolutional networks for large-scale image recognition.
    """
    layers = _convolutions(((32, 32), (64, 64), (128, 128)))
    return Sequential(*layers, Flatten(), Dropout(0.5), Linear(256), ReLU(), Linear(classes))


def vgg11(classes: int = 10, batch_norm: bool = False) -> Graph:
    """Return VGG-11 (A of the paper) for images of 32 × 32 pixels or more, made for 224 × 224: torchvision's.

    Arguments:
        classes: number of outputs.
        batch_norm: whether a BatchNorm2d follows each convolution, as in torchvision's vgg11_bn.

    Source: Simonyan and Zisserman 2015, Very deep convolutional networks for large-scale image recognition.
    """
    return _vgg(STAGES_11, classes, batch_norm)


def vgg16(classes: int = 10, batch_norm: bool = False) -> Graph:
    """Return VGG-16 (D of the paper) for images of 32 × 32 pixels or more, made for 224 × 224: torchvision's.

    Arguments:
        classes: number of outputs.
        batch_norm: whether a BatchNorm2d follows each convolution, as in torchvision's vgg16_bn.

    Source: Simonyan and Zisserman 2015, Very deep convolutional networks for large-scale image recognition.
    """
    return _vgg(STAGES_16, classes, batch_norm)


def vgg11_bn(classes: int = 10) -> Graph:
    """Return VGG-11 with batch normalization; see `vgg11`."""
    return vgg11(classes, batch_norm=True)


def vgg16_bn(classes: int = 10) -> Graph:
    """Return VGG-16 with batch normalization; see `vgg16`."""
    return vgg16(classes, batch_norm=True)


def _vgg(stages: tuple[tuple[int, ...], ...], classes: int, batch_norm: bool) -> Graph:
    image = Input(ImageShape(224, 224, 3))
    features = Sequential(*_convolutions(stages, batch_norm))
    classifier = Sequential(Linear(HIDDEN), ReLU(), Dropout(0.5), Linear(HIDDEN), ReLU(), Dropout(0.5), Linear(classes))
    x = AdaptiveAvgPool2d(7)(features(image, name="features"), name="avgpool")
    return Graph(image, classifier(Flatten()(x, name="flatten"), name="classifier"))


def _convolutions(stages: tuple[tuple[int, ...], ...], batch_norm: bool = False) -> list[Layer]:
    layers: list[Layer] = []
    for stage in stages:
        for channels in stage:
            layers += [Conv2d(channels, 3, padding=1), *([BatchNorm2d()] if batch_norm else []), ReLU()]
        layers.append(MaxPool2d(2))
    return layers
