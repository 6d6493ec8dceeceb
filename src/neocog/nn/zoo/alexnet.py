"""AlexNet."""

from __future__ import annotations

from neocog.nn.blocks import Sequential
from neocog.nn.graph import Graph
from neocog.nn.layers import AdaptiveAvgPool2d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU
from neocog.nn.shapes import ImageShape
from neocog.nn.symbol import Input


def alexnet(classes: int = 10) -> Graph:
    """Return AlexNet for images of 63 × 63 pixels or more, made for 224 × 224: torchvision's.

    It is the later form for one graphics processor, without local response normalization.

    Source: Krizhevsky 2014, One weird trick for parallelizing convolutional neural networks; the first form is of
    Krizhevsky, Sutskever and Hinton 2012, ImageNet classification with deep convolutional neural networks.
    """
    image = Input(ImageShape(224, 224, 3))
    features = Sequential(
        Conv2d(64, 11, stride=4, padding=2),
        ReLU(),
        MaxPool2d(3, stride=2),
        Conv2d(192, 5, padding=2),
        ReLU(),
        MaxPool2d(3, stride=2),
        Conv2d(384, 3, padding=1),
        ReLU(),
        Conv2d(256, 3, padding=1),
        ReLU(),
        Conv2d(256, 3, padding=1),
        ReLU(),
        MaxPool2d(3, stride=2),
    )
    classifier = Sequential(Dropout(0.5), Linear(4096), ReLU(), Dropout(0.5), Linear(4096), ReLU(), Linear(classes))
    x = AdaptiveAvgPool2d(6)(features(image, name="features"), name="avgpool")
    return Graph(image, classifier(Flatten()(x, name="flatten"), name="classifier"))
