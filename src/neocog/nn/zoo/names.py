"""The known networks by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from neocog.errors import SettingError
from neocog.nn.graph import Graph, trace
from neocog.nn.layer import Layer
from neocog.nn.shapes import ImageShape
from neocog.nn.zoo.airbench import airbench94
from neocog.nn.zoo.alexnet import alexnet
from neocog.nn.zoo.article import article
from neocog.nn.zoo.convnext import convnext_atto
from neocog.nn.zoo.default import default_net
from neocog.nn.zoo.densenet import densenet121
from neocog.nn.zoo.efficientnet import efficientnet_b0, efficientnet_lite0
from neocog.nn.zoo.fast import fast32, fast224
from neocog.nn.zoo.googlenet import googlenet
from neocog.nn.zoo.lenet import lenet5
from neocog.nn.zoo.mobilenet_v1 import mobilenet_v1, mobilenet_v1_x0_5, mobilenet_v1_x0_25
from neocog.nn.zoo.mobilenet_v2 import mobilenet_v2
from neocog.nn.zoo.mobilenet_v3 import mobilenet_v3_large, mobilenet_v3_small
from neocog.nn.zoo.photo import photo
from neocog.nn.zoo.repvgg import repvgg_a0
from neocog.nn.zoo.resnet import resnet18, resnet20, resnet34, resnet50, resnet56
from neocog.nn.zoo.shufflenet_v2 import shufflenet_v2_x0_5, shufflenet_v2_x1_0
from neocog.nn.zoo.squeezenet import squeezenet1_0, squeezenet1_1
from neocog.nn.zoo.vgg import vgg, vgg11, vgg11_bn, vgg16, vgg16_bn

GREY_28 = ImageShape(28, 28, 1)
RGB_32, RGB_96, RGB_224 = (ImageShape(side, side, 3) for side in (32, 96, 224))
IMAGENET = 1000  # classes


@dataclass(frozen=True, slots=True)
class Known:
    """A network that goes by a name.

    Arguments:
        make: takes the number of classes and gives the network.
        image: what it was made for; it takes images of other sizes too.
        classes: how many it was made for; published numbers of parameters are with so many.
    """

    make: Callable[[int], Layer]
    image: ImageShape
    classes: int = 10

    def graph(self) -> Graph:
        """Return the network as it was made, every shape known."""
        return trace(self.make(self.classes), self.image)


MODELS: dict[str, Known] = {
    "airbench94": Known(airbench94, RGB_32),
    "alexnet": Known(alexnet, RGB_224, IMAGENET),
    "article": Known(article, GREY_28),
    "convnext_atto": Known(convnext_atto, RGB_224, IMAGENET),
    "densenet121": Known(densenet121, RGB_224, IMAGENET),
    "efficientnet_b0": Known(efficientnet_b0, RGB_224, IMAGENET),
    "efficientnet_lite0": Known(efficientnet_lite0, RGB_224, IMAGENET),
    "fast224": Known(fast224, RGB_224, IMAGENET),
    "fast32": Known(fast32, RGB_32),
    "googlenet": Known(googlenet, RGB_224, IMAGENET),
    "lenet5": Known(lenet5, GREY_28),
    "mobilenet_v1": Known(mobilenet_v1, RGB_224, IMAGENET),
    "mobilenet_v1_x0_25": Known(mobilenet_v1_x0_25, RGB_224, IMAGENET),
    "mobilenet_v1_x0_5": Known(mobilenet_v1_x0_5, RGB_224, IMAGENET),
    "mobilenet_v2": Known(mobilenet_v2, RGB_224, IMAGENET),
    "mobilenet_v3_large": Known(mobilenet_v3_large, RGB_224, IMAGENET),
    "mobilenet_v3_small": Known(mobilenet_v3_small, RGB_224, IMAGENET),
    "photo": Known(photo, RGB_96),
    "repvgg_a0": Known(repvgg_a0, RGB_224, IMAGENET),
    "resnet18": Known(resnet18, RGB_224, IMAGENET),
    "resnet20": Known(resnet20, RGB_32),
    "resnet34": Known(resnet34, RGB_224, IMAGENET),
    "resnet50": Known(resnet50, RGB_224, IMAGENET),
    "resnet56": Known(resnet56, RGB_32),
    "shufflenet_v2_x0_5": Known(shufflenet_v2_x0_5, RGB_224, IMAGENET),
    "shufflenet_v2_x1_0": Known(shufflenet_v2_x1_0, RGB_224, IMAGENET),
    "squeezenet1_0": Known(squeezenet1_0, RGB_224, IMAGENET),
    "squeezenet1_1": Known(squeezenet1_1, RGB_224, IMAGENET),
    "vgg": Known(vgg, RGB_32),
    "vgg11": Known(vgg11, RGB_224, IMAGENET),
    "vgg11_bn": Known(vgg11_bn, RGB_224, IMAGENET),
    "vgg16": Known(vgg16, RGB_224, IMAGENET),
    "vgg16_bn": Known(vgg16_bn, RGB_224, IMAGENET),
}


def make_net(name: str, image: ImageShape, classes: int) -> Layer:
    """Make the network called `name`; "auto" is `default_net`.

    Raises:
        SettingError: there is no such network.
    """
    if name == "auto":
        return default_net(image, classes)
    if name not in MODELS:
        raise SettingError(f"unknown model {name!r}", hint=f"known models: auto, {', '.join(sorted(MODELS))}")
    return MODELS[name].make(classes)
