"""The networks that are measured, each with the shape of its images and the size of its batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from neocog.nn.blocks import Sequential
from neocog.nn.graph import IMAGE, Graph
from neocog.nn.layers import Conv2d, Flatten, Layer, Linear, ReLU
from neocog.nn.wiring import Wiring
from neocog.nn.zoo import article, efficientnet_lite0, mobilenet_v2, photo, resnet18, resnet20, resnet50, vgg


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
        trained: whether training steps are measured too.
        learning_rate: of training steps. Small: the first losses jump otherwise, and rounding grows until PyTorch
            disagrees with itself.
    """

    name: str
    net: Layer
    input_shape: tuple[int, int, int]
    batch: int
    about: str
    answered: tuple[int, ...] = ()
    trained: bool = True
    learning_rate: float = 0.0003

    @property
    def predictions(self) -> tuple[int, ...]:
        """Images of a prediction, one number for each row."""
        return self.answered or (self.batch,)

    def case(self, batch: int | None = None) -> str:
        """Return how a row of a table names it; without a batch: that of a training step."""
        return f"{self.name}, batch {batch or self.batch}"


def without_dropout(net: Layer) -> Layer:
    """Leave layers out that draw random numbers: each library draws others, and losses could not be compared."""
    if isinstance(net, Sequential):
        return Sequential(*(without_dropout(layer) for layer in net.layers if not layer.training_only))
    if not isinstance(net, Graph):
        return net
    wiring, values = Wiring(net.input), {IMAGE: IMAGE}
    for node in net.nodes:
        inputs = tuple(values[value] for value in node.inputs)
        values[node.index] = inputs[0] if node.layer.training_only else wiring.add(node.layer, node.name, inputs)
    return Graph.of(wiring, values[len(net.nodes) - 1])


def mixed(classes: int = 10) -> Sequential:
    """1 × 1 convolutions between 3 × 3 ones of stride 2, 64 to 256 channels: little that Winograd's algorithm saves."""
    layers: list[Layer] = []
    for channels in (64, 128, 256):
        layers += [Conv2d(channels, 3, stride=2, padding=1), ReLU()]
        layers += [Conv2d(min(256, 2 * channels), 1), ReLU(), Conv2d(channels, 1), ReLU()]
    return Sequential(*layers, Flatten(), Linear(classes))


def answering(name: str, make: Callable[[int], Layer], about: str) -> Network:
    """Return a network for ImageNet whose predictions are measured, of one image and of eight."""
    net, shape = without_dropout(make(1000)), (224, 224, 3)
    return Network(name, net, shape, 8, f"{about}, on 224 × 224 × 3", answered=(8, 1), trained=False)


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
            "vgg",
            without_dropout(vgg()),
            (32, 32, 3),
            64,
            "pairs of 3 × 3 convs, 32 to 128 channels, on 32 × 32 × 3",
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
        Network(
            "mobilenetv2",
            without_dropout(mobilenet_v2()),
            (96, 96, 3),
            32,
            "torchvision's MobileNetV2: seventeen inverted residual blocks, 10 classes, on 96 × 96 × 3",
            learning_rate=0.00003,
        ),
        answering("mobilenetv2-224", mobilenet_v2, "torchvision's MobileNetV2 as it was made, 1,000 classes"),
        answering("lite0", efficientnet_lite0, "EfficientNet-Lite0: sixteen inverted residual blocks, 1,000 classes"),
        answering("resnet18-224", resnet18, "torchvision's ResNet-18 as it was made, 1,000 classes"),
        answering(
            "resnet50", resnet50, "torchvision's ResNet-50: sixteen bottlenecks, 256 to 2,048 channels, 1,000 classes"
        ),
    )
}
