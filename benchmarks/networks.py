"""The networks that are measured, each with the shape of its images and the size of its batch."""

from __future__ import annotations

from dataclasses import dataclass

from neocog.nn.blocks import Sequential
from neocog.nn.layers import Conv2d, Dropout, Flatten, Layer, Linear, ReLU
from neocog.nn.zoo import article, photo, resnet18, resnet20, vgg


@dataclass(frozen=True, slots=True)
class Network:
    """A network to measure.

    Arguments:
        name: how options and tables call it.
        net: the layers. None of them draws random numbers, so that all sides can be held to the same outputs.
        input_shape: (height, width, channels), pixels.
        batch: images of a training step.
        about: what it is, for the report.
        answered: images of a prediction, one number for each row of a table; none: as many as of a training step.
    """

    name: str
    net: Layer
    input_shape: tuple[int, int, int]
    batch: int
    about: str
    answered: tuple[int, ...] = ()

    @property
    def predictions(self) -> tuple[int, ...]:
        """Images of a prediction, one number for each row."""
        return self.answered or (self.batch,)

    def case(self, batch: int | None = None) -> str:
        """Return how a row of a table names it; without a batch: that of a training step."""
        return f"{self.name}, batch {batch or self.batch}"


def without_dropout(net: Sequential) -> Sequential:
    """Leave the Dropout layers out: each library draws other values, and losses could not be compared."""
    return Sequential(*(layer for layer in net.layers if not isinstance(layer, Dropout)))


def mixed(classes: int = 10) -> Sequential:
    """1 × 1 convolutions between 3 × 3 ones of stride 2, 64 to 256 channels: nothing that Winograd's algorithm fits."""
    layers: list[Layer] = []
    for channels in (64, 128, 256):
        layers += [Conv2d(channels, 3, stride=2, padding=1), ReLU()]
        layers += [Conv2d(min(256, 2 * channels), 1), ReLU(), Conv2d(channels, 1), ReLU()]
    return Sequential(*layers, Flatten(), Linear(classes))


NETWORKS = {
    network.name: network
    for network in (
        Network(
            "article",
            article(),
            (28, 28, 1),
            64,
            "conv 32 - pool - conv 64 - pool - fc 128 - fc 10 on 28 × 28 × 1",
            answered=(64, 1),
        ),
        Network(
            "photo", photo(), (96, 96, 3), 32, "four times conv and pool, 32 to 128 channels, fc 256 on 96 × 96 × 3"
        ),
        Network(
            "vgg", without_dropout(vgg()), (32, 32, 3), 64, "pairs of 3 × 3 convs, 32 to 128 channels, on 32 × 32 × 3"
        ),
        Network(
            "mixed",
            mixed(),
            (32, 32, 3),
            32,
            "1 × 1 convs between 3 × 3 ones of stride 2, to 256 channels, on 32 × 32 × 3",
        ),
        Network(
            "resnet20",
            resnet20(),
            (32, 32, 3),
            128,
            "ResNet-20 for CIFAR-10: nine residual blocks, 16 to 64 channels, batch normalization, on 32 × 32 × 3",
            answered=(64, 1),
        ),
        Network(
            "resnet18",
            resnet18(),
            (96, 96, 3),
            32,
            "torchvision's ResNet-18: eight residual blocks, 64 to 512 channels, 10 classes, on 96 × 96 × 3",
            answered=(64, 1),
        ),
    )
}
